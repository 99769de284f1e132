//! What a stream says of itself: the header, and the index of its blocks.
//!
//! Both are rkyv archives; they are validated (structure by rkyv, content by an xxh3 of the
//! section) before a field is used. They hold no time of writing and no host name, so the same
//! events make the same bytes.

use rkyv::rancor::BoxedError;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::FormatError;
use crate::event::{Collection, Column, ColumnSet};
use crate::lhc::FillingScheme;

/// What the events of a stream are.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Recorded by the experiment.
    Data,
    /// Unbiased background, recorded or simulated.
    ZeroBias,
    /// A simulated signal.
    Signal,
    /// Selected by a run of the emulator.
    Accepted,
}

impl SampleKind {
    /// As shown and as typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SampleKind::Data => "data",
            SampleKind::ZeroBias => "zero-bias",
            SampleKind::Signal => "signal",
            SampleKind::Accepted => "accepted",
        }
    }
}

/// One column as the header describes it, for readers in other languages.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ColumnRecord {
    /// Name as in the column table.
    pub name: String,
    /// What it has one entry of.
    pub collection: String,
    /// Type of an entry.
    pub dtype: String,
    /// Physical size of one code, 0 where it has none.
    pub lsb: f64,
    /// Physical unit.
    pub unit: String,
}

/// The filling scheme that the crossings were placed in.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SchemeRecord {
    /// Its name.
    pub name: String,
    /// Colliding crossings, `[first, last]`, 1-based and inclusive.
    pub ranges: Vec<[u32; 2]>,
}

/// A file that events came from.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// File name without folder.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// xxh3 of its bytes.
    pub xxh3: u64,
    /// First row used.
    pub first_row: u64,
    /// Number of rows used.
    pub n_rows: u64,
}

/// Where a stream comes from.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Tool and version that wrote it.
    pub tool: String,
    /// Everything that determined the result, as name and value.
    pub settings: Vec<(String, String)>,
    /// The files it was made from, in order.
    pub sources: Vec<SourceRecord>,
}

/// A trigger line whose decision is in bit k of the `lines` column.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct LineRecord {
    /// Name of the line.
    pub name: String,
    /// How it decides, for people.
    pub rule: String,
}

/// The HEAD section.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct StreamHeader {
    /// What the events are.
    pub kind: SampleKind,
    /// Name of the sample.
    pub sample: String,
    /// Columns that every block holds.
    pub columns: Vec<ColumnRecord>,
    /// Most objects per crossing, by collection.
    pub capacities: Vec<(String, u32)>,
    /// The filling scheme, where one is known.
    pub filling_scheme: Option<SchemeRecord>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Names of the processes that `truth_process` 1, 2, ... stands for.
    pub processes: Vec<String>,
    /// Lines that the bits of `lines` stand for.
    pub lines: Vec<LineRecord>,
}

impl StreamHeader {
    /// A header for blocks with these columns; the rest is to be filled in.
    #[must_use]
    pub fn new(kind: SampleKind, sample: &str, columns: ColumnSet) -> StreamHeader {
        let record = |column: Column| {
            let spec = column.spec();
            ColumnRecord {
                name: spec.name.into(),
                collection: spec.collection.name().into(),
                dtype: spec.dtype.name().into(),
                lsb: spec.lsb,
                unit: spec.unit.into(),
            }
        };
        let capacity = |c: Collection| (c.name().to_owned(), c.capacity() as u32);
        let columns = columns.counted().union(ColumnSet::skeleton());
        let is_counted =
            |c: &Collection| c.count_column().is_some_and(|count| columns.contains(count));
        StreamHeader {
            kind,
            sample: sample.into(),
            columns: columns.iter().map(record).collect(),
            capacities: Collection::ALL_OBJECTS
                .into_iter()
                .filter(is_counted)
                .map(capacity)
                .collect(),
            filling_scheme: None,
            provenance: Provenance {
                tool: concat!("scout40 ", env!("CARGO_PKG_VERSION")).into(),
                ..Provenance::default()
            },
            processes: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The columns as a set.
    ///
    /// # Errors
    /// A column that this version does not know, of another type than it knows, or a missing
    /// crossing number or multiplicity.
    pub fn column_set(&self) -> Result<ColumnSet, FormatError> {
        let mut set = ColumnSet::EMPTY;
        for record in &self.columns {
            match Column::from_name(&record.name) {
                Some(column) if column.spec().dtype.name() == record.dtype => {
                    set = set.with(column);
                }
                _ => {
                    let problem = format!(
                        "column `{}` of type {} is not known to this version",
                        record.name, record.dtype
                    );
                    return Err(FormatError::corrupt("header", 0, problem));
                }
            }
        }
        let missing = set.counted().union(ColumnSet::skeleton()).minus(set);
        if missing.is_empty() {
            Ok(set)
        } else {
            Err(FormatError::MissingColumns { missing: missing.names() })
        }
    }

    /// The oldest format version that can hold its columns.
    ///
    /// # Errors
    /// As [`StreamHeader::column_set`].
    pub fn format_version(&self) -> Result<u32, FormatError> {
        let is_old = self.column_set()?.iter().all(Column::is_of_version_1);
        Ok(if is_old { 1 } else { 2 })
    }

    /// The filling scheme that the crossings were placed in, where one is known.
    #[must_use]
    pub fn scheme(&self) -> Option<FillingScheme> {
        let record = self.filling_scheme.as_ref()?;
        FillingScheme::from_ranges(&record.name, &record.ranges).ok()
    }
}

/// One block in the index.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Where its section begins, in bytes from the start of the stream.
    pub offset: u64,
    /// Crossings before it.
    pub first_crossing: u64,
    /// Crossings in it.
    pub n_crossings: u32,
    /// Its run.
    pub run: u32,
    /// Orbit of its first crossing.
    pub first_orbit: u32,
    /// Orbit of its last crossing.
    pub last_orbit: u32,
    /// Luminosity section of its first crossing.
    pub first_lumi: u32,
    /// Luminosity section of its last crossing.
    pub last_lumi: u32,
}

/// The INDX section.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamIndex {
    /// Every block, in order.
    pub blocks: Vec<IndexEntry>,
    /// Crossings in the stream.
    pub n_crossings: u64,
    /// Muons, e/gammas, jets, taus in the stream. What not every stream has is not counted here.
    pub n_objects: [u64; 4],
    /// xxh3 of the meta parts of all blocks, in order: the identity of the content.
    pub digest: u64,
}

impl StreamIndex {
    /// Number of the block that holds orbit `orbit`, or of the first one after it.
    #[must_use]
    pub fn block_at_orbit(&self, orbit: u32) -> usize {
        self.blocks.partition_point(|block| block.last_orbit < orbit)
    }
}

/// Makes the digest of a stream: [`StreamIndex::digest`].
#[derive(Default)]
pub struct StreamDigest(Xxh3);

impl StreamDigest {
    /// Goes on by the meta part of the next block.
    pub fn add(&mut self, meta_bytes: &[u8]) {
        self.0.update(meta_bytes);
    }

    /// The digest of the blocks so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.digest()
    }
}

macro_rules! archive_bytes {
    ($($ty:ty, $what:literal;)*) => {$(
        impl $ty {
            pub(crate) fn to_archive(&self) -> Vec<u8> {
                rkyv::to_bytes::<BoxedError>(self).expect("strings and integers archive").to_vec()
            }

            pub(crate) fn from_archive(bytes: &[u8], offset: u64) -> Result<Self, FormatError> {
                let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
                aligned.extend_from_slice(bytes);
                rkyv::from_bytes::<Self, BoxedError>(&aligned)
                    .map_err(|error| FormatError::corrupt($what, offset, error.to_string()))
            }
        }
    )*};
}
archive_bytes!(StreamHeader, "header"; StreamIndex, "index";);
