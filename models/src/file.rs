//! Model files: everything that a score depends on, and where it came from.
//!
//! ```text
//! byte  0  magic "S40MODEL"                      8 bytes
//!       8  format version                        u32, little-endian like all that follow
//!      12  kind: 1 = isolation forest, 2 = autoencoder, 3 = fixed-point network   u32
//!      16  length of the payload                 u64
//!      24  xxh3 of the payload: the digest       u64
//!      32  xxh3 of the 32 bytes before           u64
//!      40  payload: rkyv archive                 to the end of the file
//! ```
//!
//! Reading trusts nothing: header, length and checksums are compared, the archive is validated,
//! and then everything that evaluation relies on (features that exist, trees that end, sums that
//! fit). The same model always gives the same bytes. Writing goes to a temporary name in the same
//! folder, is synchronised and then renamed, so that there is never half a model under its name.
//!
//! Columns are stored by name, so that new columns in the event model leave old files readable.
//! Nothing here is mapped into memory: a model is decoded once and then owned.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rkyv::rancor::BoxedError;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use scout40_replay::event::Column;
use xxhash_rust::xxh3::xxh3_64;

use crate::autoencoder::Autoencoder;
use crate::autoencoder::float::{FloatNet, FloatParts};
use crate::autoencoder::integer::{IntegerNet, IntegerParts};
use crate::autoencoder::scorer::NetScorer;
use crate::error::{Error, Result};
use crate::features::{Feature, FeatureSpec, Transform};
use crate::forest::plan::{ForestScorer, PlanChoice};
use crate::forest::{Forest, ForestParts};
use crate::hls::{Detector, DetectorParts, DetectorScorer};
use crate::kernels::isa::Isa;
use crate::scorer::Scorer;

/// First bytes of a model file.
pub const MAGIC: [u8; 8] = *b"S40MODEL";
/// Version of the format that this version writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Kind number of an isolation forest.
const KIND_FOREST: u32 = 1;
/// Kind number of an autoencoder.
const KIND_AUTOENCODER: u32 = 2;
/// Kind number of a network of fixed-point numbers.
const KIND_DETECTOR: u32 = 3;
const HEADER_BYTES: usize = 40;

/// Rows that a model was trained on, so that they can be kept out of calibration.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TrainingInput {
    /// Name of the stream.
    pub name: String,
    /// Checksum of the stream.
    pub digest: u64,
    /// First row that was used.
    pub first_row: u64,
    /// Number of rows from there on.
    pub n_rows: u64,
}

/// Where a model came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Provenance {
    /// Name and version of the tool.
    pub tool: String,
    /// Settings of the training, in the order in which they are shown.
    pub settings: Vec<(String, String)>,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// What it was trained on.
    pub inputs: Vec<TrainingInput>,
}

/// A feature as it is stored.
#[derive(Archive, Serialize, Deserialize)]
struct StoredFeature {
    /// Name of the column; empty for a constant zero.
    column: String,
    index: u8,
    /// 0 identity, 1 halved, 2 quartered, 3 quartered turn.
    transform: u8,
}

#[derive(Archive, Serialize, Deserialize)]
struct ForestPayload {
    spec_text: String,
    features: Vec<StoredFeature>,
    forest: ForestParts,
    provenance: Provenance,
}

#[derive(Archive, Serialize, Deserialize)]
struct AutoencoderPayload {
    spec_text: String,
    features: Vec<StoredFeature>,
    float: FloatParts,
    integer: IntegerParts,
    provenance: Provenance,
}

#[derive(Archive, Serialize, Deserialize)]
struct DetectorPayload {
    spec_text: String,
    features: Vec<StoredFeature>,
    detector: DetectorParts,
    provenance: Provenance,
}

/// What gives the score.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// An isolation forest.
    Forest(Forest),
    /// An autoencoder.
    Autoencoder(Autoencoder),
    /// A network of fixed-point numbers, as firmware has it.
    Detector(Detector),
}

impl From<Detector> for Content {
    fn from(detector: Detector) -> Content {
        Content::Detector(detector)
    }
}

impl From<Forest> for Content {
    fn from(forest: Forest) -> Content {
        Content::Forest(forest)
    }
}

impl From<Autoencoder> for Content {
    fn from(autoencoder: Autoencoder) -> Content {
        Content::Autoencoder(autoencoder)
    }
}

/// A model: what rows it takes, how it scores them, where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    spec: FeatureSpec,
    content: Content,
    provenance: Provenance,
    digest: u64,
}

impl Model {
    /// A model of a forest or a network that takes such rows.
    ///
    /// # Errors
    /// If it takes rows of another width.
    pub fn new(
        spec: FeatureSpec,
        content: impl Into<Content>,
        provenance: Provenance,
    ) -> Result<Model> {
        let content = content.into();
        let (wanted, found) = (format!("{} as in `{spec}`", spec.len()), content.n_features());
        if spec.len() != found {
            let what = "number of features";
            return Err(match content {
                Content::Forest(_) => Error::forest(what, wanted, found),
                Content::Autoencoder(_) | Content::Detector(_) => {
                    Error::network(what, wanted, found.to_string())
                }
            });
        }
        let mut model = Model { spec, content, provenance, digest: 0 };
        model.digest = xxh3_64(&model.payload());
        Ok(model)
    }

    /// What the rows consist of.
    #[must_use]
    pub fn spec(&self) -> &FeatureSpec {
        &self.spec
    }

    /// What gives the score.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The forest, if it is one.
    #[must_use]
    pub fn forest(&self) -> Option<&Forest> {
        match &self.content {
            Content::Forest(forest) => Some(forest),
            Content::Autoencoder(_) | Content::Detector(_) => None,
        }
    }

    /// Where it came from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// xxh3 of the payload: equal for equal models.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The model, ready to score by the cheapest plan on the best instructions.
    #[must_use]
    pub fn scorer(&self) -> Box<dyn Scorer> {
        match &self.content {
            Content::Forest(forest) => Box::new(ForestScorer::cheapest(forest, Isa::best())),
            Content::Autoencoder(autoencoder) => {
                Box::new(NetScorer::new(&autoencoder.integer, Isa::best()))
            }
            Content::Detector(detector) => Box::new(DetectorScorer::new(detector, Isa::best())),
        }
    }

    /// The model, ready to score by that plan on these instructions.
    ///
    /// # Errors
    /// If the plan cannot evaluate it.
    pub fn scorer_with(&self, isa: Isa, plan: PlanChoice) -> Result<Box<dyn Scorer>> {
        match &self.content {
            Content::Forest(forest) => Ok(Box::new(ForestScorer::new(forest, isa, plan)?)),
            Content::Autoencoder(autoencoder) if plan == PlanChoice::Auto => {
                Ok(Box::new(NetScorer::new(&autoencoder.integer, isa)))
            }
            Content::Detector(detector) if plan == PlanChoice::Auto => {
                Ok(Box::new(DetectorScorer::new(detector, isa)))
            }
            Content::Autoencoder(_) | Content::Detector(_) => {
                let found = "a network, which has no plans";
                Err(Error::setting("plan", "a forest, or the plan `auto`", found))
            }
        }
    }

    /// The bytes of a model file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = self.payload();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend(self.content.kind().to_le_bytes());
        bytes.extend((payload.len() as u64).to_le_bytes());
        bytes.extend(xxh3_64(&payload).to_le_bytes());
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes.extend_from_slice(&payload);
        bytes
    }

    fn payload(&self) -> AlignedVec {
        let spec_text = self.spec.to_string();
        let features = self.spec.features().iter().map(store_feature).collect();
        let provenance = self.provenance.clone();
        let bytes = match &self.content {
            Content::Forest(forest) => {
                let forest = forest.parts().clone();
                let payload = ForestPayload { spec_text, features, forest, provenance };
                rkyv::to_bytes::<BoxedError>(&payload)
            }
            Content::Autoencoder(Autoencoder { float, integer }) => {
                let (float, integer) = (float.parts().clone(), integer.parts().clone());
                let payload =
                    AutoencoderPayload { spec_text, features, float, integer, provenance };
                rkyv::to_bytes::<BoxedError>(&payload)
            }
            Content::Detector(detector) => {
                let detector = detector.to_parts();
                let payload = DetectorPayload { spec_text, features, detector, provenance };
                rkyv::to_bytes::<BoxedError>(&payload)
            }
        };
        bytes.expect("writing to memory does not fail")
    }

    /// Reads the bytes of a model file.
    ///
    /// # Errors
    /// If they are not those of an intact model file of a version that is known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        let (kind, digest) = check_header(bytes)?;
        let mut aligned: AlignedVec = AlignedVec::with_capacity(bytes.len() - HEADER_BYTES);
        aligned.extend_from_slice(&bytes[HEADER_BYTES..]);
        let (spec_text, features, content, provenance) = match kind {
            KIND_AUTOENCODER => {
                let archive = rkyv::access::<ArchivedAutoencoderPayload, BoxedError>(&aligned)
                    .map_err(bad_archive)?;
                let payload = rkyv::deserialize::<AutoencoderPayload, BoxedError>(archive)
                    .map_err(bad_archive)?;
                let float = FloatNet::new(payload.float)?;
                let integer = IntegerNet::new(payload.integer)?;
                let content = Content::Autoencoder(Autoencoder::new(float, integer)?);
                (payload.spec_text, payload.features, content, payload.provenance)
            }
            KIND_DETECTOR => {
                let archive = rkyv::access::<ArchivedDetectorPayload, BoxedError>(&aligned)
                    .map_err(bad_archive)?;
                let payload = rkyv::deserialize::<DetectorPayload, BoxedError>(archive)
                    .map_err(bad_archive)?;
                let content = Content::Detector(Detector::from_parts(payload.detector)?);
                (payload.spec_text, payload.features, content, payload.provenance)
            }
            _ => {
                let archive = rkyv::access::<ArchivedForestPayload, BoxedError>(&aligned)
                    .map_err(bad_archive)?;
                let payload =
                    rkyv::deserialize::<ForestPayload, BoxedError>(archive).map_err(bad_archive)?;
                let content = Content::Forest(Forest::new(payload.forest)?);
                (payload.spec_text, payload.features, content, payload.provenance)
            }
        };
        let features = features.iter().map(load_feature).collect::<Result<_>>()?;
        let spec = FeatureSpec::from_parts(spec_text, features);
        // The digest stays that of the file, even if archives are one day laid out differently.
        Ok(Model { digest, ..Model::new(spec, content, provenance)? })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// If it cannot be read, or as [`Model::from_bytes`].
    pub fn read(path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(io_error(path, "reading the model"))?;
        Model::from_bytes(&bytes)
    }

    /// Writes a model file, whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written to. Nothing is left behind.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_whole(path.as_ref(), &self.to_bytes(), "writing the model")
    }
}

impl Content {
    fn kind(&self) -> u32 {
        match self {
            Content::Forest(_) => KIND_FOREST,
            Content::Autoencoder(_) => KIND_AUTOENCODER,
            Content::Detector(_) => KIND_DETECTOR,
        }
    }

    /// Values that it expects in a row.
    #[must_use]
    pub fn n_features(&self) -> usize {
        match self {
            Content::Forest(forest) => forest.parts().n_features as usize,
            Content::Autoencoder(autoencoder) => autoencoder.float.parts().inputs.len(),
            Content::Detector(detector) => detector.n_features(),
        }
    }
}

/// Writes a file under a temporary name and renames it: whole or not at all. `action` is what an
/// error says was being done.
///
/// # Errors
/// If the folder cannot be written to. Nothing is left behind.
pub fn write_whole(path: &Path, bytes: &[u8], action: &'static str) -> Result<()> {
    let temporary = temporary_name(path).map_err(io_error(path, action))?;
    let written = write_and_sync(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        // The error that is returned says more than a second one about the left-over.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(io_error(path, action))
}

fn temporary_name(path: &Path) -> std::io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a file name"));
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the new name itself durable, where folders can be synchronised.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

pub(crate) fn io_error(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, action, source }
}

fn store_feature(feature: &Feature) -> StoredFeature {
    match *feature {
        Feature::Zero => StoredFeature { column: String::new(), index: 0, transform: 0 },
        Feature::Value { column, index, transform } => StoredFeature {
            column: column.spec().name.to_owned(),
            index,
            transform: match transform {
                Transform::Identity => 0,
                Transform::Halve => 1,
                Transform::Quarter => 2,
                Transform::QuarterTurn => 3,
            },
        },
    }
}

fn load_feature(stored: &StoredFeature) -> Result<Feature> {
    let bad = |expected: &str, found: String| {
        format_error(HEADER_BYTES, "a feature", expected.to_owned(), found)
    };
    if stored.column.is_empty() {
        return Ok(Feature::Zero);
    }
    let column = Column::from_name(&stored.column)
        .ok_or_else(|| bad("a column of the event model", format!("`{}`", stored.column)))?;
    let transform = match stored.transform {
        0 => Transform::Identity,
        1 => Transform::Halve,
        2 => Transform::Quarter,
        3 => Transform::QuarterTurn,
        other => return Err(bad("a transform from 0 to 3", other.to_string())),
    };
    Feature::new(column, stored.index, transform)
        .map_err(|problem| bad("an entry of a column", problem))
}

fn format_error(offset: usize, what: &'static str, expected: String, found: String) -> Error {
    let remedy = "the file is damaged or was made by hand: copy it again or train it again";
    Error::Format { offset, what, expected, found, remedy }
}

fn bad_archive(error: BoxedError) -> Error {
    format_error(HEADER_BYTES, "payload", "a valid archive".to_owned(), error.to_string())
}

/// Checks everything before the payload, and the payload's checksum. Returns the kind and the latter.
fn check_header(bytes: &[u8]) -> Result<(u32, u64)> {
    let n = bytes.len();
    if n < MAGIC.len() || bytes[..8] != MAGIC {
        let (expected, found) = match n {
            0 => ("a model", "an empty file".to_owned()),
            _ => ("S40MODEL", format!("{}", bytes[..n.min(8)].escape_ascii())),
        };
        let remedy = "this is not a model file: check the path";
        let expected = expected.to_owned();
        return Err(Error::Format { offset: 0, what: "magic", expected, found, remedy });
    }
    if n < HEADER_BYTES {
        let expected = format!("{HEADER_BYTES} bytes");
        return Err(format_error(n, "header", expected, format!("{n}")));
    }
    let u32_at = |at| u32::from_le_bytes(std::array::from_fn(|k| bytes[at + k]));
    let u64_at = |at| u64::from_le_bytes(std::array::from_fn(|k| bytes[at + k]));
    let hex = |digest: u64| format!("{digest:016x}");
    let unknown = |offset, what, expected: String, found: u32| {
        let remedy = "it was written by a newer scout40: update this one";
        Error::Format { offset, what, expected, found: found.to_string(), remedy }
    };
    if !(1..=FORMAT_VERSION).contains(&u32_at(8)) {
        return Err(unknown(8, "format version", format!("1 to {FORMAT_VERSION}"), u32_at(8)));
    }
    // After the version: a newer header may have its checksum elsewhere.
    let checksum = xxh3_64(&bytes[..32]);
    if u64_at(32) != checksum {
        return Err(format_error(32, "checksum of the header", hex(checksum), hex(u64_at(32))));
    }
    let kind = u32_at(12);
    if !(KIND_FOREST..=KIND_DETECTOR).contains(&kind) {
        let expected = format!("{KIND_FOREST} to {KIND_DETECTOR}");
        return Err(unknown(12, "kind of model", expected, kind));
    }
    let found = (n - HEADER_BYTES) as u64;
    if u64_at(16) != found {
        let expected = format!("{} bytes", u64_at(16));
        return Err(format_error(16, "length of the payload", expected, found.to_string()));
    }
    let digest = xxh3_64(&bytes[HEADER_BYTES..]);
    if u64_at(24) != digest {
        return Err(format_error(24, "checksum of the payload", hex(u64_at(24)), hex(digest)));
    }
    Ok((kind, digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoder::float::{DenseLayer, InputScale};
    use crate::autoencoder::quantise::{output_bits, quantise};
    use crate::rows::RowBuffer;
    use crate::testing::{Random, naive_score, random_forest, stump};

    fn small() -> Model {
        let spec = FeatureSpec::parse("met.pt, muon[1].phi/4").unwrap();
        let provenance = Provenance {
            tool: "scout40 0.1.0".to_owned(),
            settings: vec![("trees".to_owned(), "1".to_owned())],
            rng_seed: 7,
            inputs: vec![TrainingInput {
                name: "zero_bias.s40".to_owned(),
                digest: 0x1234,
                first_row: 10,
                n_rows: 20,
            }],
        };
        Model::new(spec, stump(), provenance).unwrap()
    }

    /// A header that fits a payload, whatever the payload is.
    fn with_header(version: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend((payload.len() as u64).to_le_bytes());
        bytes.extend(xxh3_64(payload).to_le_bytes());
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn models_survive_the_way_to_bytes_and_back_and_are_byte_stable() {
        let mut random = Random(1);
        for (text, extended) in [("l1-57", false), ("thesis-99:muon-units=calo", true)] {
            let spec = FeatureSpec::parse(text).unwrap();
            let forest = random_forest(&mut random, 5, spec.len(), 6, extended);
            let model = Model::new(spec, forest, small().provenance).unwrap();
            let bytes = model.to_bytes();
            let back = Model::from_bytes(&bytes).unwrap();
            assert_eq!(back, model);
            assert_eq!(back.spec().to_string(), text);
            assert_eq!(back.to_bytes(), bytes);
            assert_eq!(back.digest(), xxh3_64(&bytes[HEADER_BYTES..]));
        }
    }

    #[test]
    fn a_model_scores_as_its_forest_does() {
        let model = small();
        let mut rows = RowBuffer::new(2);
        rows.set_len(3);
        rows.column_mut(1)[..3].copy_from_slice(&[-6, -5, -4]);
        let scorer = model.scorer();
        let mut out = [0; 3];
        scorer.score(rows.rows(), &mut scorer.scratch(), &mut out);
        assert_eq!(out, [-32, -32, -16]);
        assert_eq!(out[2], naive_score(model.forest().unwrap(), &rows, 2));
    }

    fn small_autoencoder() -> Model {
        let layer = |n_inputs, weights: &[f32], biases: &[f32]| DenseLayer {
            n_inputs,
            weights: weights.to_vec(),
            biases: biases.to_vec(),
        };
        let float = FloatNet::new(FloatParts {
            inputs: vec![InputScale { offset: -3, shift: 1 }; 2],
            layers: vec![layer(2, &[0.5, -0.25], &[0.125]), layer(1, &[1.0, 2.0], &[0.0, -0.5])],
            cap: 2.0,
            targets: vec![0, 1],
        })
        .unwrap();
        let bits = output_bits(&float, &[10, 20, 300, 4]).unwrap();
        let integer = quantise(&float, &bits).unwrap();
        let Model { spec, provenance, .. } = small();
        Model::new(spec, Autoencoder::new(float, integer).unwrap(), provenance).unwrap()
    }

    #[test]
    fn an_autoencoder_survives_the_way_to_bytes_and_back_and_scores_as_before() {
        let model = small_autoencoder();
        let bytes = model.to_bytes();
        let back = Model::from_bytes(&bytes).unwrap();
        assert_eq!(back, model);
        assert_eq!(back.to_bytes(), bytes);
        assert!(back.forest().is_none());
        let mut rows = RowBuffer::new(2);
        rows.set_len(2);
        rows.column_mut(0)[..2].copy_from_slice(&[77, 300]);
        rows.column_mut(1)[..2].copy_from_slice(&[-3, 5]);
        let Content::Autoencoder(autoencoder) = back.content() else { panic!("another kind") };
        let expected = [[77, -3], [300, 5]].map(|row| autoencoder.integer.score(&row));
        let scorer = back.scorer();
        let mut out = [0; 2];
        scorer.score(rows.rows(), &mut scorer.scratch(), &mut out);
        assert_eq!(out, expected);
        let error = back.scorer_with(Isa::best(), PlanChoice::Sliced).err().unwrap().to_string();
        assert!(error.contains("a network, which has no plans"), "{error}");
        let three = FeatureSpec::parse("met.pt, met.phi, jet[0].pt").unwrap();
        let error = Model::new(three, autoencoder.clone(), Provenance::default()).unwrap_err();
        assert!(error.to_string().contains("number of features"), "{error}");
    }

    #[test]
    fn damage_of_an_autoencoder_behind_right_checksums_never_panics() {
        let bytes = small_autoencoder().to_bytes();
        let payload = &bytes[HEADER_BYTES..];
        for at in 0..payload.len() {
            for flip in [0x01, 0x02, 0x80, 0xff] {
                let mut damaged = payload.to_vec();
                damaged[at] ^= flip;
                // Some changes make another valid model: those score without harm.
                if let Ok(model) = Model::from_bytes(&with_header(FORMAT_VERSION, 2, &damaged)) {
                    let mut rows = RowBuffer::new(2);
                    rows.set_len(1);
                    let scorer = model.scorer();
                    scorer.score(rows.rows(), &mut scorer.scratch(), &mut [0]);
                }
            }
        }
    }

    #[test]
    fn a_network_of_fixed_point_numbers_survives_the_way_and_damage_of_it_never_panics() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/reference/hls/dense");
        let network = crate::hls::Network::read_project(&folder).unwrap();
        let detector = Detector::of_project(network).unwrap();
        let spec = FeatureSpec::parse("jet[0..8].(pt,eta)").unwrap();
        let model = Model::new(spec, detector, Provenance::default()).unwrap();
        let bytes = model.to_bytes();
        let back = Model::from_bytes(&bytes).unwrap();
        assert_eq!((&back, &back.to_bytes()), (&model, &bytes));
        assert!(back.scorer_with(Isa::best(), PlanChoice::Walk).is_err());
        let payload = &bytes[HEADER_BYTES..];
        let mut rows = RowBuffer::new(16);
        rows.set_len(3);
        let mut n_read = 0;
        for at in (0..payload.len()).step_by(3) {
            for flip in [0x01, 0x02, 0x80, 0xff] {
                let mut damaged = payload.to_vec();
                damaged[at] ^= flip;
                // Some changes make another valid model: those score without harm.
                if let Ok(model) = Model::from_bytes(&with_header(FORMAT_VERSION, 3, &damaged)) {
                    n_read += 1;
                    let portable = Isa::from_name("portable").unwrap();
                    for isa in [portable, Isa::best()] {
                        let scorer = model.scorer_with(isa, PlanChoice::Auto).unwrap();
                        scorer.score(rows.rows(), &mut scorer.scratch(), &mut [0; 3]);
                    }
                }
            }
        }
        assert!(n_read > 100, "{n_read} were read");
    }

    #[test]
    fn every_flipped_bit_of_a_byte_is_refused() {
        let bytes = small().to_bytes();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                assert!(Model::from_bytes(&damaged).is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn every_truncation_and_every_extension_is_refused() {
        let bytes = small().to_bytes();
        for n in 0..bytes.len() {
            assert!(Model::from_bytes(&bytes[..n]).is_err(), "{n} bytes");
        }
        assert!(Model::from_bytes(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn damage_behind_right_checksums_never_panics() {
        let bytes = small().to_bytes();
        let payload = &bytes[HEADER_BYTES..];
        for at in 0..payload.len() {
            for flip in [0x01, 0x02, 0x80, 0xff] {
                let mut damaged = payload.to_vec();
                damaged[at] ^= flip;
                // Some changes make another valid model (a threshold, a name): those may pass.
                if let Ok(model) = Model::from_bytes(&with_header(FORMAT_VERSION, 1, &damaged)) {
                    let mut rows = RowBuffer::new(2);
                    rows.set_len(1);
                    let scorer = model.scorer();
                    scorer.score(rows.rows(), &mut scorer.scratch(), &mut [0]);
                }
            }
        }
    }

    #[test]
    fn what_is_no_model_or_a_newer_one_is_told_apart() {
        let refusal = |bytes: &[u8]| Model::from_bytes(bytes).unwrap_err().to_string();
        assert!(refusal(b"").contains("empty file"));
        assert!(refusal(b"PAR1").contains("expected S40MODEL, found PAR1"));
        assert!(refusal(&[0xff; 100]).contains("check the path"));
        let payload = small().to_bytes().split_off(HEADER_BYTES);
        let newer = refusal(&with_header(FORMAT_VERSION + 1, 1, &payload));
        assert!(newer.contains("expected 1 to 1, found 2") && newer.contains("update"), "{newer}");
        // Even where the rest of the header is not as this version would have it.
        let mut other = with_header(FORMAT_VERSION + 1, 1, &payload);
        other[35] ^= 1;
        assert_eq!(refusal(&other), newer);
        assert!(refusal(&with_header(0, 1, &payload)).contains("found 0"));
        assert!(refusal(&with_header(1, 9, &payload)).contains("kind of model"));
        assert!(refusal(&with_header(1, 1, b"")).contains("payload"));
    }

    #[test]
    fn a_forest_of_another_width_is_refused() {
        let spec = FeatureSpec::parse("l1-57").unwrap();
        let error = Model::new(spec, stump(), Provenance::default()).unwrap_err().to_string();
        assert!(error.contains("expected 57 as in `l1-57`, found 2"), "{error}");
    }

    #[test]
    fn a_file_is_written_whole_and_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.model");
        small().write(&path).unwrap();
        small().write(&path).unwrap();
        assert_eq!(Model::read(&path).unwrap(), small());
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a.model"]);
        let missing = folder.path().join("none").join("a.model");
        assert!(small().write(&missing).unwrap_err().to_string().contains("while writing"));
        assert!(Model::read(&missing).unwrap_err().to_string().contains("while reading"));
        assert!(small().write(folder.path().join("..")).is_err());
    }
}
