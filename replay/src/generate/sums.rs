//! Energy sums and their directions, given the jets.

use super::GenerateError;
use super::angles::{Angles, TURN, Vector, square, wrapped};
use super::batch::{BATCH, Batch, JetSums, draws};
use super::histogram::Aliases;
use super::model::{Context, Predictor, ScalarModel, column_of};
use super::objects::Bins;
use super::random::power;
use crate::event::Column;
use crate::units::SUM_PT_MAX;

/// An energy sum, ready to draw.
pub(super) struct ScalarTable {
    pub(super) column: Column,
    pub(super) direction: Option<Column>,
    context: Context,
    predictor: Predictor,
    edges: Vec<f64>,
    /// Factor of each pile-up that can be.
    factors: Vec<f64>,
    /// By the context and the predictor.
    codes: Aliases,
    code_bins: Bins,
    /// By the predictor and the code, if it has a direction.
    angles: Aliases,
    max: i32,
    /// Its number among the sums of the model.
    number: usize,
}

impl ScalarTable {
    pub(super) fn new(
        model: &ScalarModel,
        number: usize,
        relative: &[f64],
    ) -> Result<ScalarTable, GenerateError> {
        let column = column_of(&model.column)?;
        Ok(ScalarTable {
            column,
            direction: model.direction.as_deref().map(column_of).transpose()?,
            context: model.context,
            predictor: model.predictor,
            edges: model.edges.clone(),
            factors: relative.iter().map(|&relative| power(relative, model.exponent)).collect(),
            codes: Aliases::new(&model.codes),
            code_bins: Bins::new(&model.code_bins, SUM_PT_MAX as usize + 1),
            angles: Aliases::new(&model.angles),
            max: column.spec().range.map_or(0, |(_, max)| max as i32),
            number,
        })
    }

    /// Code, and azimuth if it has one, of each lane. `mets` are missing energies, if those have been drawn.
    pub(super) fn draw(
        &self,
        batch: &Batch,
        mets: &[(i16, i16); BATCH],
        angles: &Angles,
        to: &mut [(i16, i16); BATCH],
    ) {
        // Steps of all lanes together, as pT are drawn.
        let mut bins = [0; BATCH];
        for (lane, bin) in bins[..batch.n].iter_mut().enumerate() {
            let value = predictor_of(self.predictor, &batch.jet_sums[lane], mets[lane]);
            *bin = bin_of(&self.edges, value);
        }
        let contexts = &batch.contexts[self.context as usize];
        for lane in 0..batch.n {
            let [for_code, for_place] = batch.randoms[lane].halves(draws::scalar(self.number));
            let table = usize::from(contexts[lane]) * self.edges.len() + bins[lane];
            let at_reference = self.codes.draw(table, for_code);
            // Uniform within its code: then a factor leaves no gaps.
            let within = f64::from(for_place) * (1.0 / (1_u64 << 32) as f64);
            let factor = self.factors[usize::from(batch.pile_ups[lane])];
            let code = ((f64::from(at_reference) + within) * factor) as i32;
            to[lane].0 = code.min(self.max) as i16;
        }
        if self.direction.is_none() {
            return;
        }
        for (lane, (code, phi)) in to[..batch.n].iter_mut().enumerate() {
            let [for_angle, _] = batch.randoms[lane].halves(draws::scalar(self.number) + 1);
            let table = bins[lane] * self.code_bins.n + self.code_bins.of(*code as usize);
            let vector = vector_of(self.predictor, &batch.jet_sums[lane], mets[lane], angles);
            let relative = self.angles.draw(table, for_angle);
            *phi = wrapped(angles.code(vector) + relative, TURN) as i16;
        }
    }
}

/// What a sum's distribution is conditional on: its square if it is a vector.
#[inline]
pub(super) fn predictor_of(predictor: Predictor, jets: &JetSums, met: (i16, i16)) -> f64 {
    match predictor {
        Predictor::JetVector => square(jets.vector),
        Predictor::HardJetVector => square(jets.hard),
        Predictor::JetSum => jets.scalar as f64,
        Predictor::Met => f64::from(met.0) * f64::from(met.0),
    }
}

/// The vector that directions are relative to.
#[inline]
pub(super) fn vector_of(
    predictor: Predictor,
    jets: &JetSums,
    met: (i16, i16),
    angles: &Angles,
) -> Vector {
    match predictor {
        Predictor::JetVector | Predictor::JetSum => jets.vector,
        Predictor::HardJetVector => jets.hard,
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
