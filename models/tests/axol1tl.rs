//! The trigger's network from a checkout of its emulator gives the emulator's scores, bit for bit.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod rows;

use std::path::{Path, PathBuf};

use scout40_models::hls::axol1tl::{self, N_FEATURES, versions};
use scout40_models::hls::{Bounds, Detector, DetectorScorer, Layer, Network, Origin};
use scout40_models::{Isa, MAX_BATCH, RowBuffer, Scorer};

use rows::{N_OBJECTS, object};

/// Small random networks in the form of the emulators, and their scores: `make_hls.py` there.
const VERSIONS: [&str; 3] = ["AXOL1TL_v1", "AXOL1TL_v4", "AXOL1TL_v5"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/hls")
}

fn row(index: usize) -> Vec<i16> {
    (0..N_OBJECTS).flat_map(|k| object(index, k)).collect()
}

fn numbers(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// A copy of one version in which `change` was made to one file.
fn changed(version: &str, file: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder().join(version), copy.path());
    let path = copy.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let other = change(text.clone());
    assert_ne!(text, other, "{file} has nothing to change");
    std::fs::write(path, other).unwrap();
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn networks_compiled_with_the_original_headers_give_the_same_scores() {
    for version in VERSIONS {
        let detector = axol1tl::read(&folder().join(version)).unwrap();
        let scores = numbers(&std::fs::read(folder().join(format!("{version}.scores"))).unwrap());
        assert_eq!(scores.len(), 2000, "{version}");
        for (index, &score) in scores.iter().enumerate() {
            assert_eq!(detector.score(&row(index)), score, "{version}, row {index}");
        }
        let (low, high) = detector.range();
        assert!(scores.iter().all(|score| (low..=high).contains(score)));
    }
}

#[test]
fn a_batch_has_the_scores_of_its_rows() {
    let detector = axol1tl::read(&folder().join("AXOL1TL_v5")).unwrap();
    let mut batch = RowBuffer::new(N_FEATURES);
    batch.set_len(MAX_BATCH);
    for event in 0..MAX_BATCH {
        for (feature, value) in row(event).into_iter().enumerate() {
            batch.column_mut(feature)[event] = value;
        }
    }
    let mut scores = vec![0; MAX_BATCH];
    detector.score_rows(batch.rows(), &mut scores);
    let expected: Vec<i32> = (0..MAX_BATCH).map(|event| detector.score(&row(event))).collect();
    assert_eq!(scores, expected);
}

fn shape(network: &Network) -> Vec<String> {
    let name = |layer: &Layer| match layer {
        Layer::Dense(dense) => format!("dense {}", dense.n_nonzero()),
        Layer::Relu { .. } => "relu".into(),
        Layer::Linear { .. } => "linear".into(),
        Layer::Add { .. } => "add".into(),
        Layer::Subtract { .. } => "subtract".into(),
        Layer::Dot { .. } => "dot".into(),
    };
    network.steps.iter().map(|step| name(&step.layer)).collect()
}

#[test]
fn it_says_what_was_found() {
    let detector = axol1tl::read(&folder().join("AXOL1TL_v1")).unwrap();
    assert_eq!(detector.origin(), Origin::Axol1tl { version: 1 });
    assert_eq!(shape(detector.network())[1..], ["relu", "dense 36", "relu", "dense 13", "linear"]);
    let text = detector.to_string();
    assert!(text.contains("AXOL1TL v1, offsets ap_fixed<10,9>"), "{text}");
    let layer = "layer4_out: dense of relu2_out, 36 of 84 weights ap_fixed<6,3>, biases \
                 ap_fixed<10,7>, sums ap_fixed<12,8> -> 7 x ap_fixed<11,8>";
    assert!(text.contains(layer), "{text}");
    assert!(text.contains("the sum of squares as ap_ufixed<18,14>"), "{text}");
    assert_eq!(versions(&folder()).unwrap(), VERSIONS);
}

/// One file of the second network, what is replaced in it, by what, and part of the reason.
const REFUSED: [[&str; 4]; 18] = [
    ["NN/defines.h", "hls4ml_axol1tl_v4", "something_else", "`something_else"],
    ["NN/defines.h", "ap_fixed<29,16>", "ap_fixed<70,16>", "width of 1 to 48"],
    ["NN/defines.h", "ap_fixed<29,16>", "float", "`float`"],
    ["NN/defines.h", "AP_SAT", "AP_WRAP_SM", "AP_SAT_SYM"],
    ["NN/defines.h", "ap_ufixed<18,14>", "ap_ufixed<18,10>", "16-fold"],
    ["NN/weights.h", "= {", "= { {", "a number"],
    ["NN/weights.h", "0.000, ", "", "627 elements of `w2`"],
    ["NN/weights.h", "0.000", "nan", "`nan`"],
    ["NN/parameters.h", "n_out = 11", "n_out = 12", "NN/parameters.h, line 17"],
    ["NN/parameters.h", "nnet::latency", "nnet::resource", "`latency`"],
    ["NN/parameters.h", "product::mult", "product::weight_binary", "`mult`"],
    ["NN/parameters.h", "weights.h", "weights/../../x.h", "of this folder"],
    ["NN/weights.h", "layer2_weight_t", "layer2_bias_t", "as `weight_t` of its layer"],
    ["NN/GTADModel_v4.cpp", "nnet::relu", "nnet::sigmoid", "`nnet::sigmoid`"],
    ["NN/GTADModel_v4.cpp", "nnet::dense", "GTADModel_v4::dense_da_3", "generated code"],
    ["NN/GTADModel_v4.cpp", "    nnet::", "    if (0) nnet::", "line 16"],
    ["scales.h", "ap_fixed<5,5>", "ap_fixed<5,4>", "shifts that are integers"],
    ["GTADModel_emulator_v4.cpp", "result_p[i] * ", "2 * ", "a loss"],
];

#[test]
fn what_is_not_a_known_network_is_refused_with_file_line_and_reason() {
    for [file, from, to, reason] in REFUSED {
        let copy = changed("AXOL1TL_v4", file, |text| text.replacen(from, to, 1));
        let error = axol1tl::read(copy.path()).unwrap_err().to_string();
        assert!(error.contains(file), "expected `{file}` in: {error}");
        assert!(error.contains(reason), "{file}: expected `{reason}` in: {error}");
    }
}

#[test]
fn files_that_are_cut_are_refused() {
    for file in ["NN/defines.h", "NN/weights/w4.h", "NN/parameters.h", "NN/GTADModel_v1.cpp"] {
        let copy = changed("AXOL1TL_v1", file, |text| text[..text.len() / 2].to_owned());
        let error = axol1tl::read(copy.path()).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("looks cut"), "{error}");
    }
}

#[test]
fn folders_that_are_no_checkout_are_refused() {
    let error = axol1tl::read(&folder()).unwrap_err().to_string();
    assert!(error.contains("AXOL1TL_v1, AXOL1TL_v4, AXOL1TL_v5: name one"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = axol1tl::read(empty.path()).unwrap_err().to_string();
    assert!(error.contains("neither `NN`"), "{error}");
    let error = axol1tl::read(&empty.path().join("absent")).unwrap_err().to_string();
    assert!(error.contains("expected a folder, found nothing\nhint:"), "{error}");
    for file in ["scales.h", "NN/defines.h", "NN/weights/b6.h", "NN/GTADModel_v1.cpp"] {
        let copy = changed("AXOL1TL_v1", file, |text| text + " ");
        std::fs::remove_file(copy.path().join(file)).unwrap();
        let error = axol1tl::read(copy.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("a file `{file}`")) && error.contains("hint:"), "{error}");
    }
}

/// Whatever is lost or repeated: an error or a network, never a panic.
#[test]
fn no_cut_or_repeated_piece_of_a_file_makes_it_panic() {
    let files =
        ["NN/defines.h", "NN/parameters.h", "NN/weights.h", "NN/GTADModel_v5.cpp", "scales.h"];
    let (mut refused, mut read) = (0, 0);
    for file in files.into_iter().chain(["GTADModel_emulator_v5.cpp"]) {
        let length = std::fs::read(folder().join("AXOL1TL_v5").join(file)).unwrap().len();
        for step in 0..40 {
            let (at, size) = (step * (length - 1) / 40, 1 + step % 7);
            let end = (at + size).min(length);
            for twice in [false, true] {
                let copy = changed("AXOL1TL_v5", file, |text| {
                    let middle = if twice { text[at..end].repeat(2) } else { String::new() };
                    format!("{}{middle}{}", &text[..at], &text[end..])
                });
                match axol1tl::read(copy.path()) {
                    Ok(detector) => {
                        read += 1;
                        let _ = detector.score(&row(0));
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 100 && read > 50, "{refused} refused, {read} read");
}

/// The real one, which is the user's to supply: `SCOUT40_AXOL1TL` names a checkout of
/// `cms-hls4ml/AXOL1TL`, `SCOUT40_AXOL1TL_GOLDEN` a folder of vectors: `v3.rows` (16-bit integers,
/// little-endian, 57 to an event) and `v3.scores` (32-bit integers, loss × 16), and so on.
#[test]
fn a_real_checkout_gives_the_scores_of_the_compiled_emulator() {
    let Some(checkout) = std::env::var_os("SCOUT40_AXOL1TL").map(PathBuf::from) else { return };
    let golden = std::env::var_os("SCOUT40_AXOL1TL_GOLDEN").map(PathBuf::from);
    let found = versions(&checkout).unwrap();
    assert!(!found.is_empty(), "no AXOL1TL_v… in {}", checkout.display());
    for name in found {
        let read = axol1tl::read(&checkout.join(&name));
        if name == "AXOL1TL_v6" {
            assert!(read.unwrap_err().to_string().contains("generated code"));
            continue;
        }
        let detector = read.unwrap();
        println!("{detector}\n{}", Bounds::new(detector.network()));
        let Origin::Axol1tl { version } = detector.origin() else { panic!("{detector}") };
        assert_eq!(name, format!("AXOL1TL_v{version}"));
        let Some(golden) = &golden else { continue };
        let file = |end| std::fs::read(golden.join(format!("v{version}.{end}")));
        let (Ok(rows), Ok(scores)) = (file("rows"), file("scores")) else { continue };
        assert_eq!(mismatches(&detector, &rows, &scores), 0, "{name}");
        println!("{name}: {} events agree", scores.len() / 4);
    }
}

fn mismatches(detector: &Detector, rows: &[u8], scores: &[u8]) -> usize {
    let rows: Vec<i16> =
        rows.chunks_exact(2).map(|b| i16::from_le_bytes(b.try_into().unwrap())).collect();
    let scores = numbers(scores);
    assert_eq!(rows.len() / N_FEATURES, scores.len());
    let wrong = |(row, score): &(&[i16], &i32)| detector.score(row) != **score;
    let slow = rows.chunks_exact(N_FEATURES).zip(&scores).filter(wrong).count();
    let scorer = DetectorScorer::new(detector, Isa::best());
    assert_eq!(scorer.why_slow(), None);
    let (mut batch, mut scratch) = (RowBuffer::new(N_FEATURES), scorer.scratch());
    let mut fast = 0;
    for (rows, scores) in rows.chunks(MAX_BATCH * N_FEATURES).zip(scores.chunks(MAX_BATCH)) {
        batch.set_len(scores.len());
        for (event, row) in rows.chunks_exact(N_FEATURES).enumerate() {
            row.iter().enumerate().for_each(|(k, &value)| batch.column_mut(k)[event] = value);
        }
        let mut out = vec![0; scores.len()];
        scorer.score(batch.rows(), &mut scratch, &mut out);
        fast += out.iter().zip(scores).filter(|(a, b)| a != b).count();
    }
    slow + fast
}
