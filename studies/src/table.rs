//! Scores from tables of the public challenges, with their weights: a column as a score.
//!
//! Scores of studies are integers. A value becomes the nearest multiple of a step, so that every cut on
//! the column at a multiple of it is a threshold; a missing value is below all of them.

use scout40_models::Score;
use scout40_replay::table::Table;

use crate::error::{Error, check};
use crate::spectrum::Spectrum;

/// Values as integer scores of this step; those that are missing get the lowest score, those beyond
/// the range its end.
///
/// # Errors
/// A step that is not above zero.
pub fn scores_from_values(values: &[f64], step: f64) -> Result<Vec<Score>, Error> {
    check(step > 0.0 && step.is_finite(), "step of scores", "a number above zero", step)?;
    let score = |&value: &f64| match value.is_nan() {
        true => Score::MIN,
        false => {
            (value / step).round().clamp(f64::from(Score::MIN + 1), f64::from(Score::MAX)) as Score
        }
    };
    Ok(values.iter().map(score).collect())
}

/// Spectra of rows with and without a label, background first: each row counts with its weight.
///
/// # Errors
/// Lists of different lengths, weights that no event can have, no row or no weight on either side.
pub fn spectra(table: &Table, scores: &[Score], signal: u32) -> Result<[Spectrum; 2], Error> {
    if scores.len() != table.len() {
        let (what, expected, found) = ("scores", table.len(), scores.len());
        return Err(Error::Length { what, expected, found });
    }
    let of = |is_signal: bool| {
        let rows = (0..scores.len()).filter(|&row| (table.labels[row] == signal) == is_signal);
        let (scores, weights): (Vec<Score>, Vec<f64>) =
            rows.map(|row| (scores[row], table.weights[row])).unzip();
        Spectrum::weighted(&scores, &weights)
    };
    Ok([of(false)?, of(true)?])
}
