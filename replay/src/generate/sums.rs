//! Energy sums and their directions, given the jets.

use super::GenerateError;
use super::angles::{Angles, TURN, Vector, square, wrapped};
use super::histogram::Alias;
use super::model::{Predictor, ScalarModel, column_of};
use super::objects::{Bins, Event};
use super::random::{Random, power};
use crate::event::Column;
use crate::units::SUM_PT_MAX;

/// An energy sum, ready to draw.
pub(super) struct ScalarTable {
    pub(super) column: Column,
    pub(super) direction: Option<Column>,
    predictor: Predictor,
    edges: Vec<f64>,
    /// Factor of each pile-up that can be.
    factors: Vec<f64>,
    codes: Vec<Alias>,
    code_bins: Bins,
    angles: Vec<Alias>,
    max: i32,
}

impl ScalarTable {
    pub(super) fn new(model: &ScalarModel, relative: &[f64]) -> Result<ScalarTable, GenerateError> {
        let column = column_of(&model.column)?;
        let all = |histograms: &[_]| histograms.iter().map(Alias::new).collect();
        Ok(ScalarTable {
            column,
            direction: model.direction.as_deref().map(column_of).transpose()?,
            predictor: model.predictor,
            edges: model.edges.clone(),
            factors: relative.iter().map(|&relative| power(relative, model.exponent)).collect(),
            codes: all(&model.codes),
            code_bins: Bins::new(&model.code_bins, SUM_PT_MAX as usize + 1),
            angles: all(&model.angles),
            max: column.spec().range.map_or(0, |(_, max)| max as i32),
        })
    }

    /// Code, and azimuth if it has one. `met` is missing energy, if that has been drawn.
    #[inline]
    pub(super) fn draw(
        &self,
        event: &Event,
        met: (i16, i16),
        angles: &Angles,
        random: &mut Random,
    ) -> (i16, i16) {
        let vector = || vector_of(self.predictor, event, met, angles);
        let bin = bin_of(&self.edges, predictor_of(self.predictor, event, met));
        let at_reference = self.codes[event.jet_bin * self.edges.len() + bin].draw(random);
        let factor = self.factors[event.pile_up];
        // Uniform within its code: then a factor leaves no gaps.
        let within = f64::from(random.bits()) * (1.0 / (1_u64 << 32) as f64);
        let code = ((f64::from(at_reference) + within) * factor) as i32;
        let code = code.min(self.max);
        if self.angles.is_empty() {
            return (code as i16, 0);
        }
        let angle = &self.angles[bin * self.code_bins.n + self.code_bins.of(code as usize)];
        let phi = wrapped(angles.code(vector()) + angle.draw(random), TURN);
        (code as i16, phi as i16)
    }
}

/// What a sum's distribution is conditional on: its square if it is a vector.
#[inline]
pub(super) fn predictor_of(predictor: Predictor, event: &Event, met: (i16, i16)) -> f64 {
    match predictor {
        Predictor::JetVector => square(event.jet_vector),
        Predictor::HardJetVector => square(event.hard_vector),
        Predictor::JetSum => event.jet_sum as f64,
        Predictor::Met => f64::from(met.0) * f64::from(met.0),
    }
}

/// The vector that directions are relative to.
#[inline]
pub(super) fn vector_of(
    predictor: Predictor,
    event: &Event,
    met: (i16, i16),
    angles: &Angles,
) -> Vector {
    match predictor {
        Predictor::JetVector | Predictor::JetSum => event.jet_vector,
        Predictor::HardJetVector => event.hard_vector,
        Predictor::Met => {
            let mut vector = [0, 0];
            angles.add(&mut vector, met.0.max(1).into(), met.1);
            vector
        }
    }
}

/// The bin of a value, by lower edges of which the first is 0.
#[inline]
pub(super) fn bin_of(edges: &[f64], value: f64) -> usize {
    edges[1..].iter().filter(|&&edge| edge <= value).count()
}
