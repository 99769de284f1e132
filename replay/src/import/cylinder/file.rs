//! One file of the layout: its data sets, types and shapes checked, read in slices of whole chunks.

use std::ops::Range;
use std::path::Path;

use rust_hdf5::{DatatypeMessage, H5Dataset, H5File, Hdf5Error};

use super::FULL_DATA;
use crate::event::{Block, Collection, Column, ColumnSet, Group};
use crate::import::ImportError;
use crate::import::files::name_of;
use crate::import::guard::caught;
use crate::import::hdf5::{self, Window, damaged, wrong_type};

/// Values of one object: pT, eta, phi.
pub(crate) const FEATURES: usize = 3;
const EVENT_INFO: &str = "event_info";
/// Values of one event in it: run, luminosity section, event, crossing, vertices, good vertices.
const INFO_VALUES: usize = 6;

/// How many slots each collection has. Slot 0 is MET; e/gammas, muons and jets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    pub egamma: usize,
    pub muon: usize,
    pub jet: usize,
}

impl Slots {
    pub(crate) const FULL: Slots = Slots { egamma: 12, muon: 8, jet: 12 };
    pub(crate) const REDUCED: Slots = Slots { egamma: 4, muon: 4, jet: 10 };

    /// All slots, that of MET too.
    pub(crate) const fn n(self) -> usize {
        1 + self.egamma + self.muon + self.jet
    }

    /// The slots of a data set of this shape, if it is of the layout.
    pub(super) fn of(shape: &[usize]) -> Option<Slots> {
        let n = match *shape {
            [_, n, FEATURES] => n,
            [_, values] if values % FEATURES == 0 => values / FEATURES,
            _ => return None,
        };
        [Slots::FULL, Slots::REDUCED].into_iter().find(|slots| slots.n() == n)
    }

    pub(crate) fn of_collection(self, collection: Collection) -> Range<usize> {
        let muons = 1 + self.egamma;
        let jets = muons + self.muon;
        match collection {
            Collection::EGamma => 1..muons,
            Collection::Muon => muons..jets,
            Collection::Jet => jets..self.n(),
            _ => 0..0,
        }
    }
}

/// An open file, with its place in it.
pub(super) struct OpenFile {
    name: String,
    key: String,
    n_rows: u64,
    columns: ColumnSet,
    slots: Slots,
    objects: H5Dataset,
    info: Option<H5Dataset>,
    decision: Option<H5Dataset>,
    window: Window,
    values: Vec<f64>,
    info_values: Vec<f64>,
    decisions: Vec<f64>,
}

/// Rows that go into one chunk of events.
pub(super) struct Piece<'a> {
    file: &'a str,
    key: &'a str,
    pub slots: Slots,
    /// Row of the first, within the file.
    first_row: u64,
    /// **Shape**: `(rows, slots, FEATURES)`.
    values: &'a [f64],
    /// **Shape**: `(rows, INFO_VALUES)`, or empty.
    info: &'a [f64],
    /// One per row, or empty.
    decisions: &'a [f64],
}

impl OpenFile {
    /// Opens a file to read its objects and those of `columns` that it has.
    pub(super) fn open(path: &Path, key: &str, columns: ColumnSet) -> Result<Self, ImportError> {
        let name = name_of(path);
        let file = hdf5::open(path, &name)?;
        let Some(objects) = hdf5::data_set(&file, key, &name)? else {
            let (what, missing) = ("data set", key.escape_default().to_string());
            return Err(ImportError::Missing { file: name, what, missing });
        };
        let shape = objects.shape();
        let Some(slots) = Slots::of(&shape) else {
            let expected = "shape (events, 33, 3), (events, 19, 3), (events, 99) or (events, 57)";
            return Err(wrong_type(&name, key, expected, format!("shape {shape:?}")));
        };
        check_number(&objects, key, &name)?;
        let n_rows = shape[0];
        let beside = beside(&file, key, &name, columns, n_rows)?;
        let chunk_rows = hdf5::chunk_rows(&objects, key, n_rows, &name)?;
        let mut columns = ColumnSet::skeleton().union(beside.columns);
        for group in [Group::Met, Group::Muon, Group::EGamma, Group::Jet] {
            columns = columns.union(group.columns());
        }
        Ok(OpenFile {
            name,
            key: key.into(),
            n_rows: n_rows as u64,
            columns,
            slots,
            objects,
            info: beside.info,
            decision: beside.decision,
            window: Window::new(chunk_rows, n_rows as u64),
            values: Vec::new(),
            info_values: Vec::new(),
            decisions: Vec::new(),
        })
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    pub(super) fn columns(&self) -> ColumnSet {
        self.columns
    }

    /// Goes to the first of `rows` and stops after the last.
    pub(super) fn seek(&mut self, rows: Range<u64>) {
        self.window.seek(rows);
    }

    /// The next rows, at most `max`; `None` at the end.
    pub(super) fn read(&mut self, max: usize) -> Result<Option<Piece<'_>>, ImportError> {
        if self.window.is_done() {
            return Ok(None);
        }
        if let Some(rows) = self.window.missing() {
            self.load(rows)?;
        }
        let (first_row, places) = self.window.take(max);
        let part = |n: usize| places.start * n..places.end * n;
        Ok(Some(Piece {
            file: &self.name,
            key: &self.key,
            slots: self.slots,
            first_row,
            values: &self.values[part(self.slots.n() * FEATURES)],
            info: self.info_values.get(part(INFO_VALUES)).unwrap_or_default(),
            decisions: self.decisions.get(part(1)).unwrap_or_default(),
        }))
    }

    fn load(&mut self, rows: Range<u64>) -> Result<(), ImportError> {
        let (start, n) = (rows.start as usize, (rows.end - rows.start) as usize);
        let located = |set: &str, error| {
            damaged(&self.name, &format!("{set} in rows {}..{}", rows.start, rows.end), &error)
        };
        let mut counts = self.objects.shape();
        counts[0] = n;
        let from = [start, 0, 0];
        self.values = hdf5::numbers(&self.objects, &from[..counts.len()], &counts)
            .map_err(|error| located(&self.key, error))?;
        if let Some(info) = &self.info {
            self.info_values = hdf5::numbers(info, &[start, 0], &[n, INFO_VALUES])
                .map_err(|error| located(EVENT_INFO, error))?;
        }
        if let Some(decision) = &self.decision {
            self.decisions = bits(decision, start, n)
                .map_err(|error| located(&decision_name(&self.key), error))?;
        }
        self.window.set_loaded(rows);
        Ok(())
    }
}

/// Decisions: booleans, which h5py writes as an enumeration of bytes, or numbers.
fn bits(set: &H5Dataset, start: usize, n: usize) -> Result<Vec<f64>, Hdf5Error> {
    if set.element_size() == 1 {
        let read = || set.read_slice::<u8>(&[start], &[n]);
        return Ok(caught(read, Hdf5Error::InvalidState)?.into_iter().map(f64::from).collect());
    }
    hdf5::numbers(set, &[start], &[n])
}

fn decision_name(key: &str) -> String {
    if key == FULL_DATA { "L1bit".into() } else { format!("{key}_l1bit") }
}

/// What stands beside the objects.
struct Beside {
    info: Option<H5Dataset>,
    decision: Option<H5Dataset>,
    columns: ColumnSet,
}

fn beside(
    file: &H5File,
    key: &str,
    name: &str,
    wanted: ColumnSet,
    n_rows: usize,
) -> Result<Beside, ImportError> {
    let mut found = Beside { info: None, decision: None, columns: ColumnSet::EMPTY };
    let of_info = [Column::Lumi, Column::Event, Column::PileUp];
    // It describes the background: signals have none.
    if key == FULL_DATA
        && of_info.into_iter().any(|column| wanted.contains(column))
        && let Some(set) = hdf5::data_set(file, EVENT_INFO, name)?
    {
        let shape = set.shape();
        if shape != [n_rows, INFO_VALUES] {
            let found = format!("shape {shape:?} beside {n_rows} events");
            return Err(wrong_type(name, EVENT_INFO, "shape (events, 6)", found));
        }
        check_number(&set, EVENT_INFO, name)?;
        // Whoever wrote the file may not have known some of them.
        if n_rows > 0 {
            let first = hdf5::numbers(&set, &[0, 0], &[1, INFO_VALUES])
                .map_err(|error| damaged(name, EVENT_INFO, &error))?;
            let known = |(column, at): (Column, usize)| {
                (wanted.contains(column) && first[at].is_finite()).then_some(column)
            };
            found.columns = of_info.into_iter().zip([1, 2, 4]).filter_map(known).collect();
        }
        found.info = Some(set);
    }
    let decision = decision_name(key);
    if wanted.contains(Column::L1Accept)
        && let Some(set) = hdf5::data_set(file, &decision, name)?
    {
        let shape = set.shape();
        if shape != [n_rows] {
            let found = format!("shape {shape:?} beside {n_rows} events");
            return Err(wrong_type(name, &decision, "shape (events)", found));
        }
        found.decision = Some(set);
        found.columns = found.columns.with(Column::L1Accept);
    }
    Ok(found)
}

fn check_number(set: &H5Dataset, set_name: &str, file: &str) -> Result<(), ImportError> {
    match set.datatype().map_err(|error| damaged(file, set_name, &error))? {
        DatatypeMessage::FloatingPoint { .. } | DatatypeMessage::FixedPoint { .. } => Ok(()),
        other => Err(wrong_type(file, set_name, "integers or floats", other.to_string())),
    }
}

impl Piece<'_> {
    pub(super) fn n_rows(&self) -> usize {
        self.values.len() / (self.slots.n() * FEATURES)
    }

    /// Codes of MET and its azimuth.
    pub(super) fn met(&self, row: usize) -> Result<[i16; 2], ImportError> {
        Ok([self.code(row, 0, 0, Column::MetPt)?, self.code(row, 0, 2, Column::MetPhi)?])
    }

    /// Codes of an object; `None` where its slot is empty, whatever eta and phi are.
    pub(super) fn object(
        &self,
        row: usize,
        slot: usize,
        collection: Collection,
    ) -> Result<Option<[i16; 3]>, ImportError> {
        let Some([pt, eta, phi]) = collection.kinematics() else { return Ok(None) };
        Ok(match self.code(row, slot, 0, pt)? {
            0 => None,
            pt => Some([pt, self.code(row, slot, 1, eta)?, self.code(row, slot, 2, phi)?]),
        })
    }

    fn code(&self, row: usize, slot: usize, at: usize, column: Column) -> Result<i16, ImportError> {
        let value = self.values[(row * self.slots.n() + slot) * FEATURES + at];
        let (min, max) = column.spec().range.unwrap_or((i16::MIN.into(), i16::MAX.into()));
        if value.fract() == 0.0 && (min as f64..=max as f64).contains(&value) {
            return Ok(value as i16);
        }
        Err(self.error(
            row,
            format!("{}, object {slot}, {}", self.key, column.spec().name),
            format!("a hardware integer within {min}..={max}, not GeV or rad"),
            value,
        ))
    }

    fn error(&self, row: usize, column: String, expected: String, found: f64) -> ImportError {
        ImportError::Value {
            file: self.file.into(),
            row: self.first_row + row as u64,
            column,
            expected,
            found: found.to_string(),
        }
    }

    /// Copies what stands beside the objects.
    pub(super) fn copy_beside(
        &self,
        columns: ColumnSet,
        to: &mut Block,
    ) -> Result<(), ImportError> {
        for row in 0..self.n_rows() {
            let info = |at: usize| self.info[row * INFO_VALUES + at];
            let whole = |value: f64, max: f64, column: String| {
                if value.fract() == 0.0 && (0.0..=max).contains(&value) {
                    return Ok(value);
                }
                let expected = format!("an integer within 0..={max}");
                Err(self.error(row, column, expected, value))
            };
            let named = |what: &str| format!("{EVENT_INFO}, {what}");
            if columns.contains(Column::Lumi) {
                let lumi = whole(info(1), f64::from(u32::MAX), named("luminosity section"))?;
                to.get_mut::<u32>(Column::Lumi).push(lumi as u32);
            }
            if columns.contains(Column::Event) {
                let event = whole(info(2), (1_u64 << 53) as f64, named("event"))?;
                to.get_mut::<u64>(Column::Event).push(event as u64);
            }
            if columns.contains(Column::PileUp) {
                let vertices = info(4);
                if !vertices.is_finite() {
                    let expected = "a finite value".into();
                    return Err(self.error(row, named("vertices"), expected, vertices));
                }
                to.get_mut::<f32>(Column::PileUp).push(vertices as f32);
            }
            if columns.contains(Column::L1Accept) {
                let bit = whole(self.decisions[row], 1.0, decision_name(self.key))?;
                to.get_mut::<u8>(Column::L1Accept).push(bit as u8);
            }
        }
        Ok(())
    }
}
