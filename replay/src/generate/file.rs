//! Generator models as files: `docs/format.md` has every byte.

use std::io::Read;
use std::path::Path;

use rkyv::rancor::BoxedError;
use rkyv::util::AlignedVec;
use xxhash_rust::xxh3::xxh3_64;

use super::model::GeneratorModel;
use super::{GenerateError, file_error};
use crate::format::temporary_name;

/// First bytes of every generator model.
const MAGIC: [u8; 8] = *b"S40GENER";
/// The version that this code writes, and the only one that it reads.
const VERSION: u32 = 2;
/// Bytes before the payload.
const HEAD_BYTES: usize = 40;
/// Longest payload, uncompressed.
const PAYLOAD_BYTES_MAX: u64 = 1 << 24;
/// Compression of the payload.
const LEVEL: i32 = 19;

impl GeneratorModel {
    /// Reads a model.
    ///
    /// # Errors
    /// A file that cannot be read, is no model, or is damaged.
    pub fn read(path: &Path) -> Result<GeneratorModel, GenerateError> {
        let io = |source| GenerateError::Io { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        // What is longer than any model is not read to its end.
        file.take(PAYLOAD_BYTES_MAX + HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(io)?;
        GeneratorModel::from_bytes(&bytes).map_err(|error| file_error(path, error))
    }

    /// Writes a model, which either is whole or does not exist.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<u64, GenerateError> {
        let io = |source| GenerateError::Io { path: path.into(), source };
        let temporary = temporary_name(path);
        let bytes = self.to_bytes()?;
        let written = std::fs::write(&temporary, &bytes)
            .and_then(|()| std::fs::File::open(&temporary)?.sync_all())
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // What is left has a temporary name; a failure to remove it changes nothing.
            let _ = std::fs::remove_file(&temporary);
        }
        written.map_err(io)?;
        Ok(bytes.len() as u64)
    }

    /// As the bytes of a file.
    ///
    /// # Errors
    /// If zstd runs out of memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>, GenerateError> {
        let payload =
            rkyv::to_bytes::<BoxedError>(self).map_err(|error| corrupt(error.to_string()))?;
        let packed =
            zstd::bulk::compress(&payload, LEVEL).map_err(|error| corrupt(error.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend((payload.len() as u64).to_le_bytes());
        bytes.extend(xxh3_64(&packed).to_le_bytes());
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes.extend(packed);
        Ok(bytes)
    }

    /// From the bytes of a file.
    ///
    /// # Errors
    /// Bytes that are no model, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<GeneratorModel, GenerateError> {
        if bytes.len() < HEAD_BYTES || !bytes.starts_with(&MAGIC) {
            let found = bytes[..bytes.len().min(8)].escape_ascii().to_string();
            return Err(GenerateError::NotAModel { found });
        }
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let version = word(8) as u32;
        if version > VERSION {
            return Err(GenerateError::NewerVersion { found: version, newest: VERSION });
        }
        if version < VERSION {
            return Err(GenerateError::OlderVersion { found: version, oldest: VERSION });
        }
        if word(32) != xxh3_64(&bytes[..32]) || word(8) != u64::from(VERSION) {
            return Err(corrupt("its first 40 bytes do not match their checksum"));
        }
        let (length, checksum) = (word(16), word(24));
        if length > PAYLOAD_BYTES_MAX {
            let problem = format!("expected at most {PAYLOAD_BYTES_MAX} bytes, found {length}");
            return Err(corrupt(problem));
        }
        let found = xxh3_64(&bytes[HEAD_BYTES..]);
        if found != checksum {
            return Err(corrupt(format!(
                "bytes from {HEAD_BYTES} on: expected xxh3 {checksum:016x}, found {found:016x}"
            )));
        }
        let payload = zstd::bulk::decompress(&bytes[HEAD_BYTES..], length as usize)
            .map_err(|error| corrupt(format!("bytes from {HEAD_BYTES} on: {error}")))?;
        if payload.len() as u64 != length {
            let problem = format!("payload: expected {length} bytes, found {}", payload.len());
            return Err(corrupt(problem));
        }
        let mut aligned = AlignedVec::<16>::with_capacity(payload.len());
        aligned.extend_from_slice(&payload);
        let model = rkyv::from_bytes::<GeneratorModel, BoxedError>(&aligned)
            .map_err(|error| corrupt(error.to_string()))?;
        model.check()?;
        Ok(model)
    }
}

fn corrupt(problem: impl Into<String>) -> GenerateError {
    GenerateError::Corrupt { problem: problem.into() }
}
