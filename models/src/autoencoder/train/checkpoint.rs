//! Checkpoints: everything that a training needs to go on as if it had not stopped.
//!
//! ```text
//! byte  0  magic "S40TRAIN"                      8 bytes
//!       8  format version                        u32, little-endian like all that follow
//!      12  0                                     u32
//!      16  xxh3 of the payload                   u64
//!      24  payload: rkyv archive                 to the end of the file
//! ```
//!
//! A checkpoint belongs to one configuration and to the same rows: anything else is refused, since
//! the result would be that of neither. It is no archive format: another version trains anew.

use std::path::Path;

use rkyv::rancor::BoxedError;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::adam::Adam;
use crate::error::{Error, Result};
use crate::file::{io_error, write_whole};

const MAGIC: [u8; 8] = *b"S40TRAIN";
const VERSION: u32 = 3;
const HEADER_BYTES: usize = 24;

/// What one pass over the rows gave.
#[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Whether it was one of fine-tuning.
    pub is_fine_tuning: bool,
    /// Mean loss of its steps, each before its update.
    pub training_loss: f64,
    /// Loss of the rows held back, after the last step; none if there are none.
    pub validation_loss: Option<f64>,
    /// Of the last step.
    pub learning_rate: f64,
    /// Time that it took, interruptions left out.
    pub seconds: f64,
}

/// The numbers with the lowest validation loss.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) epoch: u32,
    pub(super) loss: f64,
    pub(super) parameters: Vec<f32>,
}

/// The second part of a training, with the network as its integer twin will be.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct FineTuning {
    /// Epochs completed before.
    pub(super) after: u32,
    /// The best numbers of the first part: those of the float twin.
    pub(super) float: Vec<f32>,
    /// Fractional bits that the outputs of each layer should have.
    pub(super) output_bits: Vec<i32>,
}

/// How far a training is.
#[derive(Clone, Debug, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct State {
    /// Epochs completed.
    pub(super) epoch: u32,
    /// Steps completed of the current one.
    pub(super) step: u32,
    /// Sum of their losses.
    pub(super) loss_sum: f64,
    /// Time spent on them.
    pub(super) seconds: f64,
    pub(super) parameters: Vec<f32>,
    pub(super) adam: Adam,
    /// Of the current part.
    pub(super) best: Option<Best>,
    pub(super) fine_tuning: Option<FineTuning>,
    pub(super) history: Vec<EpochRecord>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Payload {
    settings: Vec<(String, String)>,
    rows_digest: u64,
    state: State,
}

fn bad(
    path: &Path,
    what: impl Into<String>,
    expected: impl ToString,
    found: impl ToString,
    hint: &'static str,
) -> Error {
    Error::Checkpoint {
        path: path.to_owned(),
        what: what.into(),
        expected: expected.to_string(),
        found: found.to_string(),
        hint,
    }
}

/// Writes a checkpoint, whole or not at all.
pub(super) fn write(
    path: &Path,
    settings: Vec<(String, String)>,
    rows_digest: u64,
    state: &State,
) -> Result<()> {
    let payload = Payload { settings, rows_digest, state: state.clone() };
    let payload = rkyv::to_bytes::<BoxedError>(&payload).expect("writing to memory does not fail");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(xxh3_64(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    write_whole(path, &bytes, "writing the checkpoint")
}

/// What the state of a training must fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) n_parameters: usize,
    /// Of the integer network.
    pub(super) n_layers: usize,
    pub(super) steps_per_epoch: u32,
}

/// Reads the checkpoint of a training with these settings, rows and sizes.
pub(super) fn read(
    path: &Path,
    settings: &[(String, String)],
    rows_digest: u64,
    sizes: Sizes,
) -> Result<State> {
    const ANEW: &str = "train without `--resume`, from the beginning";
    let bytes = std::fs::read(path).map_err(io_error(path, "reading the checkpoint"))?;
    let payload = intact(path, &bytes)?;
    for (ours, theirs) in settings.iter().zip(&payload.settings) {
        if ours != theirs {
            let shown = |(name, value): &(String, String)| format!("{name} {value}");
            const HINT: &str = "resume with the settings that the training was started with";
            return Err(bad(path, "settings", shown(ours), shown(theirs), HINT));
        }
    }
    let state = payload.state;
    if settings.len() != payload.settings.len() {
        let (ours, theirs) = (settings.len(), payload.settings.len());
        return Err(bad(path, "number of settings", ours, theirs, ANEW));
    }
    if payload.rows_digest != rows_digest {
        let hex = |digest: u64| format!("{digest:016x}");
        let (ours, theirs) = (hex(rows_digest), hex(payload.rows_digest));
        const HINT: &str = "resume with the same stream, rows, features and scales of inputs";
        return Err(bad(path, "checksum of the training rows", ours, theirs, HINT));
    }
    let lengths = [state.parameters.len(), state.adam.n_parameters()];
    let best = state.best.as_ref().map(|best| best.parameters.len());
    let float = state.fine_tuning.as_ref().map(|part| part.float.len());
    let is_possible =
        |part: &FineTuning| part.after <= state.epoch && part.output_bits.len() == sizes.n_layers;
    if state.step >= sizes.steps_per_epoch || !state.fine_tuning.as_ref().is_none_or(is_possible) {
        let found = format!("epoch {}, step {}, {:?}", state.epoch, state.step, state.fine_tuning);
        return Err(bad(path, "progress", "what this training can have reached", found, ANEW));
    }
    if let Some(found) =
        lengths.into_iter().chain(best).chain(float).find(|&n| n != sizes.n_parameters)
    {
        return Err(bad(path, "numbers of the network", sizes.n_parameters, found, ANEW));
    }
    Ok(state)
}

fn intact(path: &Path, bytes: &[u8]) -> Result<Payload> {
    const HINT: &str = "the file is damaged or none of ours: train without `--resume`";
    let n = bytes.len();
    if n < HEADER_BYTES {
        let expected = format!("{HEADER_BYTES} bytes or more");
        return Err(bad(path, "header", expected, format!("{n} bytes"), HINT));
    }
    if bytes[..8] != MAGIC {
        return Err(bad(path, "magic", "S40TRAIN", bytes[..8].escape_ascii(), HINT));
    }
    let version = u32::from_le_bytes(std::array::from_fn(|k| bytes[8 + k]));
    if version != VERSION {
        return Err(bad(path, "format version", VERSION, version, HINT));
    }
    let (expected, found) = (
        u64::from_le_bytes(std::array::from_fn(|k| bytes[16 + k])),
        xxh3_64(&bytes[HEADER_BYTES..]),
    );
    if expected != found || bytes[12..16] != [0; 4] {
        let (expected, found) = (format!("{expected:016x}"), format!("{found:016x}"));
        return Err(bad(path, "checksum", expected, found, HINT));
    }
    let mut aligned: AlignedVec = AlignedVec::with_capacity(n - HEADER_BYTES);
    aligned.extend_from_slice(&bytes[HEADER_BYTES..]);
    rkyv::from_bytes::<Payload, BoxedError>(&aligned)
        .map_err(|error| bad(path, "payload", "a valid archive", error, HINT))
}
