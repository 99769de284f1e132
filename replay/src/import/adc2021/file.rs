//! One ADC2021 file: its data sets, types and shapes checked, read in slices of whole chunks.

use std::ops::Range;
use std::path::Path;

use rust_hdf5::{DatatypeMessage, H5Dataset, H5File, Hdf5Error};

use super::kinematics;
use crate::event::{Column, ColumnSet};
use crate::import::ImportError;
use crate::import::files::name_of;
use crate::import::guard::caught;
use crate::import::hdf5::{self, Window, damaged, wrong_type};

/// Slots of one event: MET, 4 e/gammas, 4 muons, 10 jets.
pub(super) const SLOTS: usize = 19;
/// Values of one slot: pT, eta, phi, class.
pub(super) const FEATURES: usize = 4;
const VALUES_PER_EVENT: usize = SLOTS * FEATURES;

pub(in crate::import) const PARTICLES: &str = "Particles";
const EVENT_NUMBER: &str = "EvtId";
const PILE_UP: &str = "n_pu";

/// An open file, with its place in it.
pub(super) struct OpenFile {
    name: String,
    n_rows: u64,
    columns: ColumnSet,
    // Data sets share the file through a counter: it stays open as long as one of them does.
    particles: H5Dataset,
    particles_are_f32: bool,
    event_number: Option<H5Dataset>,
    pile_up: Option<H5Dataset>,
    window: Window,
    slice: Slice,
}

/// Rows in memory.
#[derive(Default)]
struct Slice {
    /// **Shape**: `(rows, SLOTS, FEATURES)`.
    particles: Vec<f64>,
    scratch: Vec<f32>,
    event_numbers: Vec<i64>,
    pile_up: Vec<f32>,
}

/// Rows that go into one chunk of events.
pub(super) struct Piece<'a> {
    pub file: &'a str,
    /// Row of the first, within the file.
    pub first_row: u64,
    /// **Shape**: `(rows, SLOTS, FEATURES)`. **Units**: GeV, 1, rad, 1.
    pub particles: &'a [f64],
    /// One per row, or empty.
    pub pile_up: &'a [f32],
    event_numbers: &'a [i64],
}

impl Piece<'_> {
    pub(super) fn n_rows(&self) -> usize {
        self.particles.len() / VALUES_PER_EVENT
    }

    pub(super) fn copy_event_numbers(&self, to: &mut Vec<u64>) -> Result<(), ImportError> {
        for (i, &number) in self.event_numbers.iter().enumerate() {
            to.push(u64::try_from(number).map_err(|_| ImportError::Value {
                file: self.file.into(),
                row: self.first_row + i as u64,
                column: EVENT_NUMBER.into(),
                expected: "a value of at least 0".into(),
                found: number.to_string(),
            })?);
        }
        Ok(())
    }
}

impl OpenFile {
    /// Opens a file to read its particles and those of `columns` that it has.
    pub(super) fn open(path: &Path, columns: ColumnSet) -> Result<OpenFile, ImportError> {
        let name = name_of(path);
        let file = hdf5::open(path, &name)?;
        let Some(particles) = hdf5::data_set(&file, PARTICLES, &name)? else {
            let (what, missing) = ("data set", PARTICLES.into());
            return Err(ImportError::Missing { file: name, what, missing });
        };
        let particles_are_f32 = is_f32(&particles, &name)?;
        let n_rows = match particles.shape()[..] {
            [n_rows, SLOTS, FEATURES] => n_rows,
            ref other => {
                let expected = "shape (events, 19, 4)";
                let found = format!("shape {other:?}");
                return Err(wrong_type(&name, PARTICLES, expected, found));
            }
        };
        let wanted = |column| columns.contains(column);
        let event_number = optional(&file, EVENT_NUMBER, n_rows, wanted(Column::Event), &name)?;
        let pile_up = optional(&file, PILE_UP, n_rows, wanted(Column::PileUp), &name)?;
        let chunk_rows = hdf5::chunk_rows(&particles, PARTICLES, n_rows, &name)?;
        let mut columns = kinematics();
        if event_number.is_some() {
            columns = columns.with(Column::Event);
        }
        if pile_up.is_some() {
            columns = columns.with(Column::PileUp);
        }
        Ok(OpenFile {
            n_rows: n_rows as u64,
            columns,
            particles,
            particles_are_f32,
            event_number,
            pile_up,
            window: Window::new(chunk_rows, n_rows as u64),
            slice: Slice::default(),
            name,
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
        let slice = &self.slice;
        let (first_row, places) = self.window.take(max);
        let (first, end) = (places.start, places.end);
        Ok(Some(Piece {
            file: &self.name,
            first_row,
            particles: &slice.particles[first * VALUES_PER_EVENT..end * VALUES_PER_EVENT],
            pile_up: slice.pile_up.get(first..end).unwrap_or_default(),
            event_numbers: slice.event_numbers.get(first..end).unwrap_or_default(),
        }))
    }

    fn load(&mut self, rows: Range<u64>) -> Result<(), ImportError> {
        let Range { start, end } = rows;
        let n_rows = (end - start) as usize;
        let located = |what: &str, error| {
            damaged(&self.name, &format!("{what} in rows {start}..{end}"), &error)
        };
        let from = [start as usize, 0, 0];
        let counts = [n_rows, SLOTS, FEATURES];
        let slice = &mut self.slice;
        let particles = &self.particles;
        let read = if self.particles_are_f32 {
            slice.scratch.resize(n_rows * VALUES_PER_EVENT, 0.0);
            let to = &mut slice.scratch;
            caught(|| particles.read_slice_into(to, &from, &counts), Hdf5Error::InvalidState)
        } else {
            slice.particles.resize(n_rows * VALUES_PER_EVENT, 0.0);
            let to = &mut slice.particles;
            caught(|| particles.read_slice_into(to, &from, &counts), Hdf5Error::InvalidState)
        };
        read.map_err(|error| located(PARTICLES, error))?;
        if self.particles_are_f32 {
            slice.particles.clear();
            slice.particles.extend(slice.scratch.iter().map(|&x| f64::from(x)));
        }
        let integers = |set: &H5Dataset| {
            let read = || set.read_numeric_slice_as::<i64>(&from[..1], &counts[..1]);
            caught(read, Hdf5Error::InvalidState)
        };
        if let Some(set) = &self.event_number {
            slice.event_numbers = integers(set).map_err(|error| located(EVENT_NUMBER, error))?;
        }
        if let Some(set) = &self.pile_up {
            let values = integers(set).map_err(|error| located(PILE_UP, error))?;
            slice.pile_up.clear();
            slice.pile_up.extend(values.iter().map(|&n| n as f32));
        }
        self.window.set_loaded(start..end);
        Ok(())
    }
}

fn is_f32(set: &H5Dataset, file: &str) -> Result<bool, ImportError> {
    match set.datatype().map_err(|error| damaged(file, PARTICLES, &error))? {
        DatatypeMessage::FloatingPoint { size: 4, .. } => Ok(true),
        DatatypeMessage::FloatingPoint { size: 8, .. } => Ok(false),
        other => Err(wrong_type(file, PARTICLES, "f32 or f64", other.to_string())),
    }
}

/// A data set of one integer per event, if wanted and there.
fn optional(
    file: &H5File,
    set_name: &str,
    n_rows: usize,
    wanted: bool,
    name: &str,
) -> Result<Option<H5Dataset>, ImportError> {
    if !wanted {
        return Ok(None);
    }
    let Some(set) = hdf5::data_set(file, set_name, name)? else { return Ok(None) };
    match set.datatype().map_err(|error| damaged(name, set_name, &error))? {
        DatatypeMessage::FixedPoint { .. } => {}
        other => return Err(wrong_type(name, set_name, "an integer type", other.to_string())),
    }
    match set.shape()[..] {
        [found] if found == n_rows => Ok(Some(set)),
        [found] => Err(ImportError::ColumnLength {
            file: name.into(),
            column: set_name.into(),
            expected: n_rows as u64,
            found: found as u64,
        }),
        ref other => Err(wrong_type(name, set_name, "shape (events)", format!("shape {other:?}"))),
    }
}
