//! The layout of ADC2021: `Particles` of shape (events, 19, 4), in GeV and rad, 64-bit floats.

use std::path::Path;

use super::hdf5::{Hdf5File, Rows, check_columns, held, lost, objects};
use super::{ExportError, ExportSummary, Exporter};
use crate::event::{Block, Collection, Column, ColumnSet};
use crate::units;

const SLOTS: usize = 19;
const FEATURES: usize = 4;
/// Collection, first slot, number of slots, class.
const KINDS: [(Collection, usize, usize, f64); 3] =
    [(Collection::EGamma, 1, 4, 2.0), (Collection::Muon, 5, 4, 3.0), (Collection::Jet, 9, 10, 4.0)];
const CLASSES: [&str; 4] =
    ["MET_class_1", "Four_Ele_class_2", "Four_Mu_class_3", "Ten_Jet_class_4"];

/// Writes one file.
pub(super) struct Adc2021Exporter {
    file: Hdf5File,
    columns: ColumnSet,
    particles: Rows<f64>,
    event_numbers: Option<Rows<i64>>,
    pile_up: Option<Rows<i32>>,
    beyond: [u64; 3],
    muons_of_zero: u64,
    directions: u64,
    fractions: u64,
    large_numbers: u64,
    n_taus: u64,
    crossings: u64,
}

impl Adc2021Exporter {
    pub(super) fn create(path: &Path, columns: ColumnSet) -> Result<Self, ExportError> {
        check_columns(columns, "ADC2021")?;
        let file = Hdf5File::create(path)?;
        file.texts("Particles_Names", &["Pt", "Eta", "Phi", "Class"], 5)?;
        file.texts("Particles_Classes", &CLASSES, 16)?;
        let has = |column| columns.contains(column);
        Ok(Adc2021Exporter {
            particles: file.rows("Particles", &[SLOTS, FEATURES])?,
            event_numbers: has(Column::Event).then(|| file.rows("EvtId", &[])).transpose()?,
            pile_up: has(Column::PileUp).then(|| file.rows("n_pu", &[])).transpose()?,
            file,
            columns,
            beyond: [0; 3],
            muons_of_zero: 0,
            directions: 0,
            fractions: 0,
            large_numbers: 0,
            n_taus: 0,
            crossings: 0,
        })
    }

    fn push_event(&mut self, block: &Block, event: usize) {
        let mut row = [[0.0; FEATURES]; SLOTS];
        let met = [Column::MetPt, Column::MetPhi].map(|column| block.get::<i16>(column)[event]);
        row[0] =
            [units::calo_pt_gev_from_hw(met[0]), 0.0, units::calo_phi_rad_from_hw(met[1]), 1.0];
        // A slot of 0 GeV is empty, whatever its phi.
        self.directions += u64::from(met[0] == 0 && met[1] != 0);
        for ((collection, first, n, class), beyond) in KINDS.into_iter().zip(&mut self.beyond) {
            let mut slots = row[first..first + n].iter_mut();
            for [pt, eta, phi] in objects(block, event, collection) {
                let is_muon = collection == Collection::Muon;
                let values = match is_muon {
                    true => [
                        units::muon_pt_gev_from_hw(pt),
                        units::muon_eta_from_hw(eta),
                        units::muon_phi_rad_from_hw(phi),
                    ],
                    false => [
                        units::calo_pt_gev_from_hw(pt),
                        units::calo_eta_from_hw(eta),
                        units::calo_phi_rad_from_hw(phi),
                    ],
                };
                if is_muon && pt <= 1 {
                    self.muons_of_zero += 1;
                } else if let Some(slot) = slots.next() {
                    *slot = [values[0], values[1], values[2], class];
                } else {
                    *beyond += 1;
                }
            }
        }
        self.particles.values.extend(row.as_flattened());
    }
}

impl Exporter for Adc2021Exporter {
    fn write(&mut self, block: &Block) -> Result<(), ExportError> {
        block.check_shape()?;
        for event in 0..block.len() {
            self.push_event(block, event);
        }
        self.crossings += block.len() as u64;
        self.n_taus += block.n_entries(Collection::Tau) as u64;
        let file = &self.file.unfinished;
        self.particles.flush(file, false)?;
        if let Some(rows) = &mut self.event_numbers {
            for &number in block.get::<u64>(Column::Event) {
                let known = i64::try_from(number);
                self.large_numbers += u64::from(known.is_err());
                rows.values.push(known.unwrap_or(i64::MAX));
            }
            rows.flush(file, false)?;
        }
        if let Some(rows) = &mut self.pile_up {
            for &n in block.get::<f32>(Column::PileUp) {
                self.fractions += u64::from(n.fract() != 0.0);
                rows.values.push(n.round() as i32);
            }
            rows.flush(file, false)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ExportSummary, ExportError> {
        self.particles.flush(&self.file.unfinished, true)?;
        if let Some(rows) = &mut self.event_numbers {
            rows.flush(&self.file.unfinished, true)?;
        }
        if let Some(rows) = &mut self.pile_up {
            rows.flush(&self.file.unfinished, true)?;
        }
        let file = self.file.finish()?;
        let held = held().with(Column::Event).with(Column::PileUp);
        let [egamma, muon, jet] = self.beyond;
        Ok(ExportSummary {
            files: vec![file],
            crossings: self.crossings,
            left_out: lost(self.columns, held, self.n_taus),
            left_out_values: vec![
                (egamma, "e/gammas beyond 4"),
                (muon, "muons beyond 4"),
                (jet, "jets beyond 10"),
                (self.muons_of_zero, "muons of 0 GeV, whose slots would be empty"),
                (self.directions, "directions of missing energy of 0 GeV"),
                (self.fractions, "fractions of mean pile-up, rounded"),
                (self.large_numbers, "event numbers beyond 63 bits, set to the largest"),
            ],
            ..ExportSummary::default()
        })
    }
}
