//! From values of branches to a chunk of events.
//!
//! Hardware integers are checked against their field, physical values encoded to the nearest code.
//! Objects of neighbouring crossings and those without pT are left out; the others are put into
//! descending pT code, equal ones in the order of the file.

use super::branch::Values;
use super::nano::{Convert, Kinematics, Layout, SUM_TYPES, Source, Sums, TOWER_COUNT, Table};
use crate::event::{Block, Collection, Column, ColumnSet, Dtype};
use crate::import::{Chunk, ImportError, ImportTally, all_ones, physical};
use crate::units;

/// Turns values into chunks. Keeps what it allocates.
#[derive(Default)]
pub(super) struct Encoder {
    pub tally: ImportTally,
    /// Whether events have recorded crossing numbers.
    pub placed: bool,
    pub columns: ColumnSet,
    /// Codes of an object and its place among the values.
    objects: Vec<([i16; 3], usize)>,
}

/// Rows of a file that have been read.
pub(super) struct Rows<'a> {
    pub file: &'a str,
    pub layout: &'a Layout,
    pub first: u64,
    pub n: usize,
}

impl Rows<'_> {
    fn source(&self, index: usize) -> &Source {
        &self.layout.sources[index]
    }

    fn values(&self, index: usize) -> &Values {
        &self.layout.sources[index].values
    }

    fn integers(&self, index: usize) -> &[i64] {
        &self.values(index).integers
    }

    /// A value, be it integer or real.
    fn number(&self, index: usize, at: usize) -> f64 {
        let values = self.values(index);
        values.reals.get(at).copied().unwrap_or_else(|| values.integers[at] as f64)
    }

    fn error(&self, source: usize, row: usize, expected: String, found: String) -> ImportError {
        ImportError::Value {
            file: self.file.into(),
            row: self.first + row as u64,
            column: self.source(source).name.clone(),
            expected,
            found,
        }
    }

    /// An integer that its column can hold.
    fn integer(
        &self,
        source: usize,
        row: usize,
        at: usize,
        (min, max): (i64, i64),
    ) -> Result<i64, ImportError> {
        let value = self.integers(source)[at];
        if (min..=max).contains(&value) {
            return Ok(value);
        }
        let expected = format!("a value within {min}..={max}");
        Err(self.error(source, row, expected, value.to_string()))
    }

    fn finite(&self, source: usize, row: usize, at: usize) -> Result<f64, ImportError> {
        let value = self.values(source).reals[at];
        if value.is_finite() {
            return Ok(value);
        }
        Err(self.error(source, row, "a finite value".into(), value.to_string()))
    }

    /// Whether an event has recorded crossing numbers.
    pub(super) fn is_placed(&self, row: usize) -> bool {
        let known = |source: Option<usize>| source.map(|source| self.integers(source)[row]);
        match (self.layout.run, known(self.layout.orbit), known(self.layout.bx)) {
            (Some(_), Some(orbit), Some(bx)) => !(all_ones(orbit) && all_ones(bx)),
            _ => false,
        }
    }

    /// Columns of the sums that are in the lists of these events.
    pub(super) fn listed_sums(&self) -> ColumnSet {
        let Some(Sums::List { kinds, hardware, .. }) = &self.layout.sums else {
            return ColumnSet::EMPTY;
        };
        let listed = self.integers(*kinds);
        let types = SUM_TYPES.iter().filter(|(kind, ..)| listed.contains(kind));
        let mut columns: ColumnSet =
            types.flat_map(|&(_, pt, phi)| std::iter::once(pt).chain(phi)).collect();
        if listed.contains(&TOWER_COUNT) && (*hardware || self.is_scouting()) {
            columns = columns.with(Column::TowerCount);
        }
        columns
    }

    fn is_scouting(&self) -> bool {
        let events = self.layout.scalars.iter().any(|&(column, _)| column == Column::Event);
        self.layout.orbit.is_some() && self.layout.bx.is_some() && !events
    }
}

fn limits(column: Column) -> (i64, i64) {
    let spec = column.spec();
    spec.range.unwrap_or(match spec.dtype {
        Dtype::U32 => (0, i64::from(u32::MAX)),
        _ => (i64::MIN, i64::MAX),
    })
}

/// Appends an integer that is known to fit.
fn put(block: &mut Block, column: Column, value: i64) {
    match column.spec().dtype {
        Dtype::U8 => block.get_mut::<u8>(column).push(value as u8),
        Dtype::U32 => block.get_mut::<u32>(column).push(value as u32),
        Dtype::U64 => block.get_mut::<u64>(column).push(value.cast_unsigned()),
        Dtype::F32 => block.get_mut::<f32>(column).push(value as f32),
        _ => block.get_mut::<i16>(column).push(value as i16),
    }
}

impl Encoder {
    pub(super) fn new(columns: ColumnSet, placed: bool) -> Encoder {
        Encoder { columns, placed, ..Encoder::default() }
    }

    /// Replaces `chunk` by the events of `rows`.
    pub(super) fn encode(&mut self, rows: &Rows<'_>, chunk: &mut Chunk) -> Result<(), ImportError> {
        chunk.reset(self.columns);
        self.crossings(rows, chunk)?;
        let block = &mut chunk.events;
        for &(column, source) in &rows.layout.scalars {
            if !self.columns.contains(column) {
                continue;
            }
            for row in 0..rows.n {
                put(block, column, rows.integer(source, row, row, limits(column))?);
            }
        }
        for collection in Collection::OBJECTS {
            let table = rows.layout.tables.iter().find(|t| t.kind.collection == collection);
            self.objects_of(rows, collection, table, block)?;
        }
        match &rows.layout.sums {
            Some(Sums::List { .. }) => self.sum_lists(rows, block)?,
            Some(Sums::Columns { columns, hardware }) => {
                self.sum_columns(rows, columns, *hardware, block)?;
            }
            None => {}
        }
        self.tally.rows += rows.n as u64;
        self.tally.kept += rows.n as u64;
        chunk.events.index_objects().map_err(ImportError::Chunk)
    }

    fn crossings(&self, rows: &Rows<'_>, chunk: &mut Chunk) -> Result<(), ImportError> {
        for row in 0..rows.n {
            let found = rows.is_placed(row);
            if found != self.placed {
                let name = |placed| if placed { "recorded" } else { "no" };
                return Err(ImportError::MixedPlacement {
                    file: rows.file.into(),
                    row: rows.first + row as u64,
                    expected: name(self.placed),
                    found: name(found),
                });
            }
            let layout = rows.layout;
            let number = |source: Option<usize>, limits| match source {
                Some(source) if found => rows.integer(source, row, row, limits),
                _ => Ok(0),
            };
            let run = number(layout.run, (0, i64::from(u32::MAX)))?;
            let orbit = number(layout.orbit, limits(Column::Orbit))?;
            let bx = number(layout.bx, limits(Column::Bx))?;
            chunk.runs.push(run as u32);
            put(&mut chunk.events, Column::Orbit, orbit);
            put(&mut chunk.events, Column::Bx, bx);
        }
        Ok(())
    }

    fn objects_of(
        &mut self,
        rows: &Rows<'_>,
        collection: Collection,
        table: Option<&Table>,
        block: &mut Block,
    ) -> Result<(), ImportError> {
        let (Some(count), Some(columns)) = (collection.count_column(), collection.kinematics())
        else {
            return Ok(());
        };
        let Some(table) = table.filter(|_| self.columns.contains(columns[0])) else {
            block.get_mut::<u8>(count).resize(rows.n, 0);
            return Ok(());
        };
        let mut begin = 0;
        for row in 0..rows.n {
            let end = begin + rows.integers(table.counter)[row] as usize;
            self.select(rows, row, table, begin..end)?;
            if self.objects.len() > collection.capacity() {
                return Err(ImportError::Capacity {
                    file: rows.file.into(),
                    row: rows.first + row as u64,
                    collection: collection.name(),
                    capacity: collection.capacity(),
                    found: self.objects.len(),
                });
            }
            block.get_mut::<u8>(count).push(self.objects.len() as u8);
            for (i, column) in columns.into_iter().enumerate() {
                let codes = self.objects.iter().map(|(codes, _)| codes[i]);
                block.get_mut::<i16>(column).extend(codes);
            }
            for extra in table.extras.iter().filter(|extra| self.columns.contains(extra.column)) {
                for &(_, at) in &self.objects {
                    let value = convert(rows, row, extra.source, at, extra.column, extra.convert)?;
                    put(block, extra.column, value);
                }
            }
            begin = end;
        }
        Ok(())
    }

    /// Lists the objects of an event in descending pT code.
    fn select(
        &mut self,
        rows: &Rows<'_>,
        row: usize,
        table: &Table,
        entries: std::ops::Range<usize>,
    ) -> Result<(), ImportError> {
        self.objects.clear();
        let columns = table.kind.collection.kinematics().unwrap_or([Column::JetPt; 3]);
        let is_muon = table.kind.collection == Collection::Muon;
        for at in entries {
            if table.crossing.is_some_and(|source| rows.integers(source)[at] != 0) {
                self.tally.other_crossings += 1;
                continue;
            }
            let codes = match table.kinematics {
                Kinematics::Hardware(sources) => {
                    let mut codes = [0; 3];
                    for ((code, source), column) in codes.iter_mut().zip(sources).zip(columns) {
                        *code = rows.integer(source, row, at, limits(column))? as i16;
                    }
                    (codes[0] != 0).then_some(codes)
                }
                Kinematics::Physical([pt, eta, phi]) => {
                    let pt_gev = rows.finite(pt, row, at)?;
                    // A muon of code 1 has 0 GeV.
                    if pt_gev < 0.0 || (pt_gev <= 0.0 && !is_muon) {
                        None
                    } else {
                        let (eta, phi) = (rows.finite(eta, row, at)?, rows.finite(phi, row, at)?);
                        let (codes, clamped) = table.kind.encode([pt_gev, eta, phi]);
                        self.tally.clamped += clamped;
                        Some(codes)
                    }
                }
            };
            match codes {
                Some(codes) => self.objects.push((codes, at)),
                None => self.tally.empty_objects += 1,
            }
        }
        if !self.objects.is_sorted_by(|a, b| a.0[0] >= b.0[0]) {
            self.objects.sort_by_key(|(codes, _)| std::cmp::Reverse(codes[0]));
            self.tally.resorted_lists += 1;
        }
        Ok(())
    }

    fn sum_lists(&mut self, rows: &Rows<'_>, block: &mut Block) -> Result<(), ImportError> {
        let Some(Sums::List { counter, kinds, pt, phi, hardware, crossing }) = &rows.layout.sums
        else {
            return Ok(());
        };
        let mut begin = 0;
        for row in 0..rows.n {
            let end = begin + rows.integers(*counter)[row] as usize;
            let here = |at: &usize| crossing.is_none_or(|source| rows.integers(source)[*at] == 0);
            self.tally.other_crossings += (begin..end).filter(|at| !here(at)).count() as u64;
            let of_kind = |kind: i64| {
                let mut found =
                    (begin..end).filter(|at| here(at) && rows.integers(*kinds)[*at] == kind);
                match (found.next(), found.next()) {
                    (at, None) => Ok(at),
                    _ => Err(rows.error(
                        *kinds,
                        row,
                        "each type of sum once".into(),
                        format!("type {kind} twice"),
                    )),
                }
            };
            for (kind, pt_column, phi_column) in SUM_TYPES {
                if !self.columns.contains(pt_column) {
                    continue;
                }
                let codes = match of_kind(kind)? {
                    None => [0, 0],
                    Some(at) if *hardware => {
                        let pt = rows.integer(*pt, row, at, limits(pt_column))?;
                        let phi_limits = phi_column.map_or((i64::MIN, i64::MAX), limits);
                        [pt as i16, rows.integer(*phi, row, at, phi_limits)? as i16]
                    }
                    Some(at) => self.sum(rows, row, (*pt, at), Some((*phi, at)))?,
                };
                block.get_mut::<i16>(pt_column).push(codes[0]);
                if let Some(column) = phi_column.filter(|&column| self.columns.contains(column)) {
                    block.get_mut::<i16>(column).push(codes[1]);
                }
            }
            if self.columns.contains(Column::TowerCount) {
                let n = of_kind(TOWER_COUNT)?.map_or(0.0, |at| rows.number(*pt, at));
                let (min, max) = limits(Column::TowerCount);
                if !(min as f64..=max as f64).contains(&n) {
                    let expected = format!("a number of towers within {min}..={max}");
                    return Err(rows.error(*pt, row, expected, n.to_string()));
                }
                put(block, Column::TowerCount, n.round() as i64);
            }
            begin = end;
        }
        Ok(())
    }

    /// Codes of a sum and, if it has one, of its azimuth.
    fn sum(
        &mut self,
        rows: &Rows<'_>,
        row: usize,
        (pt, pt_at): (usize, usize),
        phi: Option<(usize, usize)>,
    ) -> Result<[i16; 2], ImportError> {
        let phi_rad = match phi {
            Some((source, at)) => rows.finite(source, row, at)?,
            None => 0.0,
        };
        let (codes, clamped) = physical::encode_sum(rows.finite(pt, row, pt_at)?, phi_rad);
        self.tally.clamped += clamped;
        Ok(codes)
    }

    fn sum_columns(
        &mut self,
        rows: &Rows<'_>,
        columns: &[(Column, usize)],
        hardware: bool,
        block: &mut Block,
    ) -> Result<(), ImportError> {
        let wanted = self.columns;
        for &(column, source) in columns.iter().filter(|(column, _)| wanted.contains(*column)) {
            let values = rows.values(source);
            for row in 0..rows.n {
                let code = if values.reals.is_empty() {
                    rows.integer(source, row, row, limits(column))? as i16
                } else if hardware {
                    // Of the codes that scouting tables write as reals, every one is exact.
                    let code = rows.finite(source, row, row)?;
                    let (min, max) = limits(column);
                    if code.fract() != 0.0 || code < min as f64 || code > max as f64 {
                        let expected = format!("an integer within {min}..={max}");
                        return Err(rows.error(source, row, expected, code.to_string()));
                    }
                    code as i16
                } else if column.spec().unit == "rad" {
                    units::calo_hw_from_phi_rad(rows.finite(source, row, row)?)
                } else {
                    self.sum(rows, row, (source, row), None)?[0]
                };
                block.get_mut::<i16>(column).push(code);
            }
        }
        Ok(())
    }
}

/// The integer of a column from one value.
fn convert(
    rows: &Rows<'_>,
    row: usize,
    source: usize,
    at: usize,
    column: Column,
    how: Convert,
) -> Result<i64, ImportError> {
    Ok(match how {
        Convert::Integer => rows.integer(source, row, at, limits(column))?,
        Convert::Eta => units::muon_hw_from_eta(rows.finite(source, row, at)?).into(),
        Convert::Phi => units::muon_hw_from_phi_rad(rows.finite(source, row, at)?).into(),
        Convert::PtUnconstrained { lsb_gev } => {
            let pt_gev = rows.finite(source, row, at)?;
            units::muon_hw_from_pt_unconstrained_gev(pt_gev, lsb_gev).into()
        }
        Convert::ChargeBit { valid } => match rows.integers(valid)[at] {
            0 => 0,
            _ => 1 - 2 * rows.integer(source, row, at, (0, 1))?,
        },
    })
}
