//! From physical quantities in slots to columns of hardware integers.
//!
//! Source of the layout: Zenodo 5046389; of the codes: [`units`](crate::units). Objects are put into descending
//! pT code; equal ones keep the order of their slots.

use std::ops::Range;

use super::file::{FEATURES, Piece, SLOTS};
use crate::event::{Block, Column};
use crate::import::physical::{self, Kind};
use crate::import::{Chunk, ImportError, ImportTally};

/// A kind of object: where its slots are, and how its values are encoded.
pub(super) struct Slots {
    pub kind: &'static Kind,
    pub slots: Range<usize>,
    pub class: f64,
}

pub(super) const MET_CLASS: f64 = 1.0;

pub(super) const KINDS: [Slots; 3] = [
    Slots { kind: &physical::EGAMMA, slots: 1..5, class: 2.0 },
    Slots { kind: &physical::MUON, slots: 5..9, class: 3.0 },
    Slots { kind: &physical::JET, slots: 9..19, class: 4.0 },
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
        let ([pt, phi], clamped) = physical::encode_sum(pt, phi);
        self.tally.clamped += clamped;
        block.get_mut::<i16>(Column::MetPt).push(pt);
        block.get_mut::<i16>(Column::MetPhi).push(phi);
    }

    fn encode_objects(
        &mut self,
        piece: &Piece<'_>,
        row: usize,
        Slots { kind, slots, class }: &Slots,
        block: &mut Block,
    ) -> Result<(), ImportError> {
        let (Some(columns), Some(count)) =
            (kind.collection.kinematics(), kind.collection.count_column())
        else {
            return Ok(());
        };
        self.objects.clear();
        for index in slots.clone() {
            if let Some(values) = slot(piece, row, index, *class)? {
                let (codes, clamped) = kind.encode(values);
                self.tally.clamped += clamped;
                self.objects.push(codes);
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
