//! From physical quantities in slots to columns of hardware integers.
//!
//! Source of the layout: Zenodo 5046389; of the codes: [`units`]. Objects are put into descending
//! pT code; equal ones keep the order of their slots.

use std::ops::Range;

use super::file::{FEATURES, Piece, SLOTS};
use crate::event::{Block, Collection, Column};
use crate::import::{Chunk, ImportError, ImportTally};
use crate::units;

/// A kind of object: where its slots are, and how its values are encoded.
struct Kind {
    collection: Collection,
    slots: Range<usize>,
    class: f64,
    pt_max: i64,
    /// Added to the pT code before rounding: a muon's code has an offset of one.
    pt_offset: f64,
    pt: fn(f64, i64) -> i16,
    eta: fn(f64) -> i16,
    eta_limit: f64,
    phi: fn(f64) -> i16,
}

const MET_CLASS: f64 = 1.0;

const KINDS: [Kind; 3] = [
    Kind {
        collection: Collection::EGamma,
        slots: 1..5,
        class: 2.0,
        pt_max: units::EGAMMA_PT_MAX,
        pt_offset: 0.0,
        pt: units::calo_hw_from_pt_gev,
        eta: units::calo_hw_from_eta,
        eta_limit: 127.5 * units::CALO_ETA_LSB,
        phi: units::calo_hw_from_phi_rad,
    },
    Kind {
        collection: Collection::Muon,
        slots: 5..9,
        class: 3.0,
        pt_max: units::MUON_PT_MAX,
        pt_offset: 1.0,
        pt: |pt_gev, _| units::muon_hw_from_pt_gev(pt_gev),
        eta: units::muon_hw_from_eta,
        eta_limit: 255.5 * units::MUON_ETA_LSB,
        phi: units::muon_hw_from_phi_rad,
    },
    Kind {
        collection: Collection::Jet,
        slots: 9..19,
        class: 4.0,
        pt_max: units::JET_PT_MAX,
        pt_offset: 0.0,
        pt: units::calo_hw_from_pt_gev,
        eta: units::calo_hw_from_eta,
        eta_limit: 127.5 * units::CALO_ETA_LSB,
        phi: units::calo_hw_from_phi_rad,
    },
];

const _: () = assert!(KINDS[2].slots.end == SLOTS);

/// Turns pieces into chunks.
#[derive(Default)]
pub(super) struct Encoder {
    pub tally: ImportTally,
    objects: Vec<[i16; 3]>,
}

/// pT, eta, phi of one slot that has been checked.
type Slot = [f64; 3];

impl Encoder {
    /// Appends the events of `piece` to `chunk`: MET, multiplicities and kinematics.
    pub(super) fn encode(
        &mut self,
        piece: &Piece<'_>,
        chunk: &mut Chunk,
    ) -> Result<(), ImportError> {
        for row in 0..piece.n_rows() {
            self.encode_met(slot(piece, row, 0, MET_CLASS)?, &mut chunk.events);
            for kind in &KINDS {
                self.encode_objects(piece, row, kind, &mut chunk.events)?;
            }
        }
        self.tally.rows += piece.n_rows() as u64;
        self.tally.kept += piece.n_rows() as u64;
        Ok(())
    }

    fn encode_met(&mut self, slot: Option<Slot>, block: &mut Block) {
        let [pt, _, phi] = slot.unwrap_or_default();
        self.clamped_if(pt / units::PT_LSB_GEV, units::SUM_PT_MAX);
        block.get_mut::<i16>(Column::MetPt).push(units::sum_hw_from_pt_gev(pt));
        block.get_mut::<i16>(Column::MetPhi).push(units::calo_hw_from_phi_rad(phi));
    }

    fn encode_objects(
        &mut self,
        piece: &Piece<'_>,
        row: usize,
        kind: &Kind,
        block: &mut Block,
    ) -> Result<(), ImportError> {
        let (Some(columns), Some(count)) =
            (kind.collection.kinematics(), kind.collection.count_column())
        else {
            return Ok(());
        };
        self.objects.clear();
        for index in kind.slots.clone() {
            if let Some([pt, eta, phi]) = slot(piece, row, index, kind.class)? {
                self.clamped_if(pt / units::PT_LSB_GEV + kind.pt_offset, kind.pt_max);
                self.tally.clamped += u64::from(eta.abs() >= kind.eta_limit);
                let code = [(kind.pt)(pt, kind.pt_max), (kind.eta)(eta), (kind.phi)(phi)];
                self.objects.push(code);
            }
        }
        if !self.objects.is_sorted_by(|a, b| a[0] >= b[0]) {
            self.objects.sort_by_key(|object| std::cmp::Reverse(object[0]));
            self.tally.resorted_lists += 1;
        }
        block.get_mut::<u8>(count).push(self.objects.len() as u8);
        for (i, column) in columns.into_iter().enumerate() {
            block.get_mut::<i16>(column).extend(self.objects.iter().map(|object| object[i]));
        }
        Ok(())
    }

    fn clamped_if(&mut self, code: f64, max: i64) {
        self.tally.clamped += u64::from(code.round() > max as f64);
    }
}

/// One slot, checked; `None` if it is empty.
fn slot(
    piece: &Piece<'_>,
    row: usize,
    index: usize,
    class: f64,
) -> Result<Option<Slot>, ImportError> {
    let begin = (row * SLOTS + index) * FEATURES;
    let values = &piece.particles[begin..begin + FEATURES];
    let [pt, eta, phi] = [values[0], values[1], values[2]];
    let found_class = values[3];
    let error = |feature: &str, expected: String, found: f64| ImportError::Value {
        file: piece.file.into(),
        row: piece.first_row + row as u64,
        column: format!("Particles, slot {index}, {feature}"),
        expected,
        found: found.to_string(),
    };
    if ![0.0, class].contains(&found_class) {
        return Err(error("class", format!("{class} or 0"), found_class));
    }
    if !pt.is_finite() || pt < 0.0 {
        return Err(error("pT", "a finite value of at least 0".into(), pt));
    }
    if pt <= 0.0 {
        return Ok(None);
    }
    for (feature, value) in [("eta", eta), ("phi", phi)] {
        if !value.is_finite() {
            return Err(error(feature, "a finite value".into(), value));
        }
    }
    Ok(Some([pt, eta, phi]))
}
