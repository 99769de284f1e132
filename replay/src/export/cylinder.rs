//! The training layout of AXOL1TL: hardware integers of shape (events, 33 or 19, 3), 16 bits each.
//!
//! Integers where the published files have 16-bit floats, because those cannot hold codes beyond
//! 2048; numpy computes with both alike.

use std::path::Path;

use super::hdf5::{Hdf5File, Rows, check_columns, held, lost, objects};
use super::{ExportError, ExportSummary, Exporter};
use crate::event::{Block, Collection, Column, ColumnSet};
use crate::import::cylinder::{FEATURES, FULL_DATA, Slots};

const INFO_VALUES: usize = 6;
const OBJECTS: [Collection; 3] = [Collection::EGamma, Collection::Muon, Collection::Jet];

/// Writes one file.
pub(super) struct CylinderExporter {
    file: Hdf5File,
    columns: ColumnSet,
    slots: Slots,
    objects: Rows<i16>,
    /// With background only: signals have none.
    info: Option<Rows<f64>>,
    decisions: Option<Rows<u8>>,
    beyond: [u64; 3],
    large_numbers: u64,
    n_taus: u64,
    crossings: u64,
}

impl CylinderExporter {
    pub(super) fn create(
        path: &Path,
        columns: ColumnSet,
        key: &str,
        reduced: bool,
    ) -> Result<Self, ExportError> {
        check_columns(columns, "the training layout")?;
        let slots = if reduced { Slots::REDUCED } else { Slots::FULL };
        let file = Hdf5File::create(path)?;
        let objects = file.rows(key, &[slots.n(), FEATURES])?;
        let is_full = key == FULL_DATA;
        let info = is_full.then(|| file.rows("event_info", &[INFO_VALUES])).transpose()?;
        let name = if is_full { "L1bit".into() } else { format!("{key}_l1bit") };
        let has_decisions = columns.contains(Column::L1Accept);
        let decisions = has_decisions.then(|| file.rows(&name, &[])).transpose()?;
        Ok(CylinderExporter {
            file,
            columns,
            slots,
            objects,
            info,
            decisions,
            beyond: [0; 3],
            large_numbers: 0,
            n_taus: 0,
            crossings: 0,
        })
    }

    fn push_event(&mut self, block: &Block, event: usize) {
        let begin = self.objects.values.len();
        self.objects.values.resize(begin + self.slots.n() * FEATURES, 0);
        let row = &mut self.objects.values[begin..];
        row[0] = block.get::<i16>(Column::MetPt)[event];
        row[2] = block.get::<i16>(Column::MetPhi)[event];
        for (collection, beyond) in OBJECTS.into_iter().zip(&mut self.beyond) {
            let range = self.slots.of_collection(collection);
            let (slots, _) = row[range.start * FEATURES..range.end * FEATURES].as_chunks_mut();
            let mut slots = slots.iter_mut();
            for object in objects(block, event, collection) {
                match slots.next() {
                    Some(slot) => *slot = object,
                    None => *beyond += 1,
                }
            }
        }
    }

    /// Run, luminosity section, event, crossing, vertices, good vertices; NaN where unknown.
    fn push_info(&mut self, block: &Block) {
        let Some(info) = &mut self.info else { return };
        let has = |column| block.columns().contains(column);
        for event in 0..block.len() {
            let id = block.crossing_id(event);
            let mut row = [f64::NAN; INFO_VALUES];
            (row[0], row[3]) = (id.run.into(), id.bx.into());
            if has(Column::Lumi) {
                row[1] = block.get::<u32>(Column::Lumi)[event].into();
            }
            if has(Column::Event) {
                let number = block.get::<u64>(Column::Event)[event];
                self.large_numbers += u64::from(number > 1 << 53);
                row[2] = number as f64;
            }
            if has(Column::PileUp) {
                row[4] = block.get::<f32>(Column::PileUp)[event].into();
            }
            info.values.extend(row);
        }
    }
}

impl Exporter for CylinderExporter {
    fn write(&mut self, block: &Block) -> Result<(), ExportError> {
        block.check_shape()?;
        for event in 0..block.len() {
            self.push_event(block, event);
        }
        self.push_info(block);
        self.crossings += block.len() as u64;
        self.n_taus += block.n_entries(Collection::Tau) as u64;
        let file = &self.file.unfinished;
        self.objects.flush(file, false)?;
        if let Some(rows) = &mut self.info {
            rows.flush(file, false)?;
        }
        if let Some(rows) = &mut self.decisions {
            rows.values.extend_from_slice(block.get::<u8>(Column::L1Accept));
            rows.flush(file, false)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ExportSummary, ExportError> {
        self.objects.flush(&self.file.unfinished, true)?;
        if let Some(rows) = &mut self.info {
            rows.flush(&self.file.unfinished, true)?;
        }
        if let Some(rows) = &mut self.decisions {
            rows.flush(&self.file.unfinished, true)?;
        }
        let file = self.file.finish()?;
        let mut held = held().with(Column::L1Accept);
        if self.info.is_some() {
            let info = [Column::Bx, Column::Lumi, Column::Event, Column::PileUp];
            held = info.into_iter().fold(held, ColumnSet::with);
        }
        let [egamma, muon, jet] = self.beyond;
        let counts = match self.slots == Slots::FULL {
            true => vec![
                (egamma, "e/gammas beyond 12"),
                (muon, "muons beyond 8"),
                (jet, "jets beyond 12"),
                (self.large_numbers, "event numbers beyond 2^53, rounded"),
            ],
            false => vec![
                (egamma, "e/gammas beyond 4"),
                (muon, "muons beyond 4"),
                (jet, "jets beyond 10"),
                (self.large_numbers, "event numbers beyond 2^53, rounded"),
            ],
        };
        Ok(ExportSummary {
            files: vec![file],
            crossings: self.crossings,
            left_out: lost(self.columns, held, self.n_taus),
            left_out_values: counts,
            ..ExportSummary::default()
        })
    }
}
