//! A ROOT file: its header, its keys, and the objects that they point to.
//!
//! Everything is read by place and length, both checked against the size of the file and against
//! limits before memory is asked for.
//!
//! **Source**: ROOT `io/io/doc/TFile/{header,dobject,gap,datarecord}.md`.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::Path;

use super::bytes::{Bytes, Malformed, Read};
use super::compression::decompress;
use crate::import::ImportError;
use crate::import::files::name_of;

/// From this version of a file on places have 64 bits.
const WIDE_FILE: i32 = 1_000_000;
/// From this version of a key or folder on places have 64 bits.
const WIDE_KEY: u16 = 1000;
const HEADER_BYTES_MAX: u64 = 100;
/// Most bytes of a key and of what it describes of itself.
const KEY_BYTES_MAX: usize = 1 << 16;
/// Most bytes of an object, decompressed: a tree with thousands of branches has some millions, a
/// basket less.
const OBJECT_BYTES_MAX: usize = 1 << 28;

/// An open file.
pub(super) struct RootFile {
    pub name: String,
    file: File,
    bytes: u64,
    /// As it stands in the file.
    raw: Vec<u8>,
}

/// What describes an object.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Bytes in the file, the key's own among them.
    pub n_bytes: usize,
    /// Bytes of the object, decompressed.
    pub object_bytes: usize,
    pub key_bytes: usize,
    pub place: u64,
    /// Objects of one name are told apart by it; the highest was written last.
    cycle: i16,
    pub class: String,
    pub name: String,
}

impl RootFile {
    pub(super) fn open(path: &Path) -> Result<RootFile, ImportError> {
        let file = File::open(path).map_err(ImportError::io(path, "open it"))?;
        let bytes = file.metadata().map_err(ImportError::io(path, "open it"))?.len();
        Ok(RootFile { name: name_of(path), file, bytes, raw: Vec::new() })
    }

    /// The keys of the outermost folder.
    pub(super) fn top(&mut self) -> Result<Vec<Key>, ImportError> {
        let n = self.bytes.min(HEADER_BYTES_MAX) as usize;
        let raw = self.read(0, n, "header")?;
        let folder = top_folder(raw).map_err(|error| damaged(&self.name, "header", 0, &error))?;
        self.keys(folder)
    }

    /// The keys of a folder by the place of its description.
    fn keys(&mut self, folder: u64) -> Result<Vec<Key>, ImportError> {
        let n = self.bytes.saturating_sub(folder).min(HEADER_BYTES_MAX) as usize;
        let raw = self.read(folder, n, "folder")?;
        let (place, n) =
            key_list(raw).map_err(|error| damaged(&self.name, "folder", folder, &error))?;
        if n > OBJECT_BYTES_MAX {
            let error = Malformed { at: 0, reason: format!("a list of keys of {n} bytes") };
            return Err(damaged(&self.name, "folder", folder, &error));
        }
        let raw = self.read(place, n, "list of keys")?;
        keys(raw).map_err(|error| damaged(&self.name, "list of keys", place, &error))
    }

    /// The key of what is called `name`, which may be inside of folders: `folder/name`. The one
    /// that was written last, if there are several.
    pub(super) fn find(&mut self, name: &str) -> Result<Option<Key>, ImportError> {
        let mut keys = self.top()?;
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            let named = keys.into_iter().filter(|key| key.name == part);
            let Some(key) = named.max_by_key(|key| key.cycle) else { return Ok(None) };
            if parts.peek().is_none() {
                return Ok(Some(key));
            }
            if !matches!(&key.class[..], "TDirectory" | "TDirectoryFile") {
                return Ok(None);
            }
            keys = self.keys(key.place.saturating_add(key.key_bytes as u64))?;
        }
        Ok(None)
    }

    /// Replaces `out` by the object of a key, decompressed.
    pub(super) fn object(&mut self, key: &Key, out: &mut Vec<u8>) -> Result<(), ImportError> {
        let n = key.n_bytes - key.key_bytes;
        let what = format!("{} `{}`", key.class, key.name);
        let place = key.place + key.key_bytes as u64;
        self.read(place, n, &what)?;
        let done = unpack(&self.raw, key.object_bytes, out);
        done.map_err(|reason| damaged(&self.name, &what, place, &Malformed { at: 0, reason }))
    }

    /// Replaces `out` by the data of the basket at `place`, `n_bytes` long with its key; returns
    /// what its key says.
    pub(super) fn basket(
        &mut self,
        place: u64,
        n_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<BasketHead, ImportError> {
        let raw = self.read(place, n_bytes, "basket")?;
        let result = basket_head(raw, place).and_then(|head| {
            let data = &raw[head.key.key_bytes..];
            let done = unpack(data, head.key.object_bytes, out);
            done.map_err(|reason| Malformed { at: head.key.key_bytes, reason })?;
            Ok(head)
        });
        result.map_err(|error| damaged(&self.name, "basket", place, &error))
    }

    fn read(&mut self, place: u64, n: usize, what: &str) -> Result<&[u8], ImportError> {
        let within = place.checked_add(n as u64).is_some_and(|end| end <= self.bytes);
        if !within || n > OBJECT_BYTES_MAX + KEY_BYTES_MAX {
            let reason = match within {
                true => format!("{n} bytes, more than any object has"),
                false => format!("{n} bytes, but the file ends at byte {}", self.bytes),
            };
            return Err(damaged(&self.name, what, place, &Malformed { at: 0, reason }));
        }
        self.raw.resize(n, 0);
        let read = self.file.seek(SeekFrom::Start(place));
        let read = read.and_then(|_| self.file.read_exact(&mut self.raw));
        read.map_err(ImportError::io(Path::new(&self.name), "read it"))?;
        Ok(&self.raw)
    }
}

/// What a basket says of itself.
#[derive(Debug)]
pub(super) struct BasketHead {
    pub key: Key,
    pub n_entries: usize,
    /// Bytes of values; offsets of entries may follow.
    pub value_bytes: usize,
}

/// An error that names the place in the file.
pub(super) fn damaged(file: &str, what: &str, place: u64, error: &Malformed) -> ImportError {
    ImportError::Damaged {
        file: file.into(),
        what: format!("{what} at byte {}", place.saturating_add(error.at as u64)),
        reason: error.reason.clone(),
    }
}

fn unpack(raw: &[u8], n: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if raw.len() == n {
        out.clear();
        out.extend_from_slice(raw);
        return Ok(());
    }
    decompress(raw, n, out)
}

/// Where the outermost folder is described.
fn top_folder(raw: &[u8]) -> Read<u64> {
    let mut bytes = Bytes::new(raw);
    bytes.take(4)?;
    let wide = bytes.i32()? >= WIDE_FILE;
    let begin = bytes.i32()?;
    bytes.pointer(wide)?;
    bytes.pointer(wide)?;
    bytes.take(8)?;
    let name_bytes = bytes.i32()?;
    match (u64::try_from(begin), u64::try_from(name_bytes)) {
        (Ok(begin), Ok(name_bytes)) => Ok(begin + name_bytes),
        _ => bytes.malformed("places below zero"),
    }
}

/// Place and length of the list of a folder's keys.
fn key_list(raw: &[u8]) -> Read<(u64, usize)> {
    let mut bytes = Bytes::new(raw);
    let wide = bytes.u16()? > WIDE_KEY;
    bytes.take(8)?;
    let n = bytes.count()?;
    bytes.take(4)?;
    bytes.pointer(wide)?;
    bytes.pointer(wide)?;
    Ok((bytes.pointer(wide)?, n))
}

fn keys(raw: &[u8]) -> Read<Vec<Key>> {
    let mut bytes = Bytes::new(raw);
    // The list has a key of its own.
    let own = key(&mut bytes)?;
    bytes.go_to(own.key_bytes)?;
    let n = bytes.count()?;
    let mut keys = Vec::new();
    for _ in 0..n {
        keys.push(key(&mut bytes)?);
    }
    Ok(keys)
}

fn key(bytes: &mut Bytes<'_>) -> Read<Key> {
    let (n_bytes, version) = (bytes.count()?, bytes.u16()?);
    let object_bytes = bytes.count()?;
    bytes.take(4)?;
    let (key_bytes, cycle) = (bytes.i16()?, bytes.i16()?);
    let place = bytes.pointer(version > WIDE_KEY)?;
    bytes.pointer(version > WIDE_KEY)?;
    let (class, name) = (bytes.string()?, bytes.string()?);
    bytes.string()?;
    let Ok(key_bytes) = usize::try_from(key_bytes) else {
        return bytes.malformed(format!("a key of {key_bytes} bytes"));
    };
    if key_bytes > n_bytes || n_bytes - key_bytes > OBJECT_BYTES_MAX {
        return bytes.malformed(format!("a key of {key_bytes} bytes in a record of {n_bytes}"));
    }
    if object_bytes > OBJECT_BYTES_MAX {
        return bytes.malformed(format!("an object of {object_bytes} bytes"));
    }
    Ok(Key { n_bytes, object_bytes, key_bytes, place, cycle, class, name })
}

fn basket_head(raw: &[u8], place: u64) -> Read<BasketHead> {
    let mut bytes = Bytes::new(&raw[..raw.len().min(KEY_BYTES_MAX)]);
    let key = key(&mut bytes)?;
    if key.class != "TBasket" || key.place != place || key.n_bytes != raw.len() {
        let (class, n) = (key.class.escape_default(), key.n_bytes);
        return bytes.malformed(format!("a `{class}` of {n} bytes instead of a TBasket"));
    }
    bytes.take(10)?;
    let (n_entries, last) = (bytes.count()?, bytes.count()?);
    bytes.take(1)?;
    bytes.go_to(key.key_bytes)?;
    match last.checked_sub(key.key_bytes) {
        Some(value_bytes) if value_bytes <= key.object_bytes => {
            Ok(BasketHead { key, n_entries, value_bytes })
        }
        _ => bytes.malformed(format!("values up to byte {last}")),
    }
}
