//! What is exported is what other programs gave the expected results with.
//!
//! `fixtures/reference/export/` has the files that `make_export.py` there exported from
//! `fixtures/models/autoencoder.model`, and what onnxruntime and hls4ml's compiled C++ made of rows: if
//! an export changes, so must they.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod rows;

use std::path::{Path, PathBuf};

use scout40_models::export::hls4ml::network_json;
use scout40_models::export::onnx::{Form, onnx};
use scout40_models::file::Content;
use scout40_models::fixed::{Exact, Fixed};
use scout40_models::hls::{Bounds, Network};
use scout40_models::{Autoencoder, Model};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn model() -> Model {
    Model::read(fixtures("models/autoencoder.model")).unwrap()
}

fn autoencoder(model: &Model) -> &Autoencoder {
    let Content::Autoencoder(autoencoder) = model.content() else { panic!("an autoencoder") };
    autoencoder
}

fn expected(name: &str) -> Vec<u8> {
    std::fs::read(fixtures("reference/export").join(name)).unwrap()
}

/// The rows that the other programs scored: as many values of `rows` as there are features.
fn row(index: usize, n_features: usize) -> Vec<i16> {
    (0..rows::N_OBJECTS).flat_map(|k| rows::object(index, k)).take(n_features).collect()
}

#[test]
fn files_are_those_that_onnxruntime_scored_with_and_scores_agree() {
    let model = model();
    let autoencoder = autoencoder(&model);
    let n_features = model.spec().len();
    for (form, name) in [(Form::Float, "float"), (Form::Integer, "integer")] {
        let bytes = onnx(model.spec(), autoencoder, form);
        assert!(bytes == expected(&format!("autoencoder-{name}.onnx")), "{name} has changed");
    }
    let integers = expected("onnxruntime-integer.scores");
    let floats = expected("onnxruntime-float.scores");
    assert_eq!((integers.len(), floats.len()), (2000 * 4, 2000 * 4));
    let pairs = integers.chunks_exact(4).zip(floats.chunks_exact(4)).enumerate();
    for (index, (integer, float)) in pairs {
        let row = row(index, n_features);
        let integer = i32::from_le_bytes(integer.try_into().unwrap());
        assert_eq!(autoencoder.integer.score(&row), integer, "row {index}");
        let float = f32::from_le_bytes(float.try_into().unwrap());
        let own = autoencoder.float.score(&row);
        assert!((own - float).abs() <= 1e-5 * own.abs().max(1.0), "row {index}: {own} and {float}");
    }
}

#[test]
fn the_description_for_hls4ml_is_the_one_that_its_project_was_made_of() {
    let model = model();
    let json = network_json(model.spec(), &autoencoder(&model).integer, "scout40_autoencoder");
    assert!(json.unwrap().as_bytes() == expected("network.json"), "it has changed");
}

#[test]
fn the_project_that_hls4ml_wrote_gives_our_scores() {
    let model = model();
    let net = &autoencoder(&model).integer;
    let network = Network::read_project(&fixtures("reference/export/project")).unwrap();
    let scores = expected("hls4ml.scores");
    assert_eq!(scores.len(), 2000 * 4);
    for (index, score) in scores.chunks_exact(4).enumerate() {
        let row = row(index, model.spec().len());
        let codes = net.codes(&row);
        let input: Vec<Fixed> = codes
            .iter()
            .map(|&code| network.input().format.cast(Exact::integer(code.into())))
            .collect();
        let found = network.evaluate(&input)[0].code();
        assert_eq!(found, i64::from(net.score(&row)), "row {index}");
        assert_eq!(found, i64::from(i32::from_le_bytes(score.try_into().unwrap())), "row {index}");
    }
    assert!(Bounds::new(&network).sums.iter().flatten().all(|sums| !sums.overflows));
}
