//! Projects of hls4ml give what its compiled C++ gives, bit for bit.
//!
//! `fixtures/reference/hls/` has two that hls4ml wrote, with random inputs and outputs:
//! `make_hls4ml.py` there made them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use scout40_models::fixed::{Exact, Fixed};
use scout40_models::hls::{Detector, Network};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/hls")
}

fn codes(name: &str) -> Vec<i64> {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    let codes = bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()));
    codes.map(i64::from).collect()
}

#[test]
fn dense_networks_give_what_the_compiled_project_gives() {
    for name in ["dense", "residual"] {
        let network = Network::read_project(&folder().join(name)).unwrap();
        let (inputs, outputs) =
            (codes(&format!("{name}.inputs")), codes(&format!("{name}.outputs")));
        let (n_in, n_out) = (network.input().length, network.output().length);
        assert_eq!((inputs.len(), outputs.len()), (400 * n_in, 400 * n_out), "{name}");
        for (input, expected) in inputs.chunks_exact(n_in).zip(outputs.chunks_exact(n_out)) {
            let format = network.input().format;
            let input: Vec<Fixed> = input.iter().map(|&code| format.with_code(code)).collect();
            let found: Vec<i64> = network.evaluate(&input).into_iter().map(Fixed::code).collect();
            assert_eq!(found, expected, "{name}: {input:?}");
        }
    }
}

/// Five outputs of `ap_fixed<16,8>`: squares of 32 bits with 16 below the point, three bits for their
/// sum, so that 11 below it are left of 30.
#[test]
fn the_score_of_several_outputs_is_the_sum_of_their_squares_in_thirty_bits() {
    let network = Network::read_project(&folder().join("dense")).unwrap();
    let detector = Detector::of_project(network.clone()).unwrap();
    assert_eq!(detector.score_bits(), 11);
    let format = network.input().format;
    for case in 0..300_i64 {
        let row: Vec<i16> = (0..16).map(|k| (case * 37 + k * 11) as i16 % 33 - 16).collect();
        let input: Vec<Fixed> =
            row.iter().map(|&x| format.cast(Exact::integer(x.into()))).collect();
        let squares = network.evaluate(&input).into_iter().map(|y| (y.code() * y.code()) >> 5);
        assert_eq!(i64::from(detector.score(&row)), squares.sum::<i64>(), "{row:?}");
    }
}

#[test]
fn the_firmware_folder_itself_is_as_good() {
    let whole = Network::read_project(&folder().join("dense")).unwrap();
    assert_eq!(Network::read_project(&folder().join("dense/firmware")).unwrap(), whole);
}

#[test]
fn what_is_no_project_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let error = Network::read_project(empty.path()).unwrap_err().to_string();
    assert!(error.contains("expected a file `parameters.h`, found none"), "{error}");
    for file in ["defines.h", "parameters.h"] {
        std::fs::copy(folder().join("dense/firmware").join(file), empty.path().join(file)).unwrap();
    }
    let error = Network::read_project(empty.path()).unwrap_err().to_string();
    assert!(error.contains("weights/w2.h"), "{error}");
    std::fs::create_dir(empty.path().join("weights")).unwrap();
    for file in ["weights/w2.h", "weights/b2.h", "weights/w4.h", "weights/b4.h"] {
        std::fs::copy(folder().join("dense/firmware").join(file), empty.path().join(file)).unwrap();
    }
    let error = Network::read_project(empty.path()).unwrap_err().to_string();
    assert!(error.contains("expected one `.cpp`") && error.contains("found 0 of them"), "{error}");
}
