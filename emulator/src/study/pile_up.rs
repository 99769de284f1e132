//! The rate of working points as a function of pile-up: measured in ranges of it, fitted by a straight line and
//! a parabola, forecast to pile-up that no sample has, and checked where one has it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use scout40_replay::event::{Column, ColumnSet};
use scout40_studies::pile_up::{PileUpCounts, RateAtPileUp};
use scout40_studies::rate::ONE_SIGMA;
use scout40_studies::regression::{Fit, Point, fit};
use serde::Serialize;

use super::points::{Measured, WorkingPoint};
use super::sample::{Request, Role, Sample, check_scores, read};
use crate::config::LoadedModel;

/// Largest pile-up that is looked at: several times what the LHC will ever have.
const PILE_UP_MAX: f64 = 1000.0;

/// Ranges with a smaller part of the crossings count in fits, but say nothing by themselves.
const SHOWN_FROM: f64 = 1e-3;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Forecast<'a> {
    /// Samples that curves are fitted to.
    pub fitted: &'a [PathBuf],
    /// Samples that forecasts are compared with.
    pub checked: &'a [PathBuf],
    /// Pile-up to forecast for.
    pub at: &'a [f64],
    /// Width of a range.
    pub width: f64,
    /// Rate of collisions.
    pub collision_rate_hz: f64,
}

/// A curve at a pile-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Predicted {
    /// Pile-up.
    pub pile_up: f64,
    /// The curve, with the 68.27 % interval of the curve.
    pub curve_khz: Measured,
    /// The same with the interval for one further range of `n_crossings`.
    pub prediction_khz: Measured,
    /// Crossings of that range, as many equal ones as they are worth.
    pub n_crossings: f64,
    /// What was measured there, if anything was.
    pub measured_khz: Option<Measured>,
}

/// A polynomial and what it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// `line` or `parabola`.
    pub name: &'static str,
    /// Coefficients of 1, x, x² in kHz, with standard errors.
    pub coefficients: Vec<(f64, f64)>,
    /// Fraction of the variance that it explains.
    pub r_squared: f64,
    /// Probability of a highest coefficient so far from zero, were it zero.
    pub p_value_of_highest: f64,
    /// At the pile-up that was asked for.
    pub forecasts: Vec<Predicted>,
    /// In the ranges of samples that were not fitted.
    pub checks: Vec<Predicted>,
    /// The same for all their crossings together, at their mean pile-up: intervals are means over the
    /// ranges, as if what is wrong were wrong everywhere.
    pub whole: Option<Predicted>,
    /// To draw it.
    #[serde(skip)]
    pub fit: Fit,
}

/// Rate of one working point as a function of pile-up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateOfPileUp {
    /// The working point.
    pub point: String,
    /// Ranges of the fitted samples: mean pile-up, rate, crossings (as many equal ones as they are worth).
    pub measured: Vec<(f64, Measured, f64)>,
    /// The curves through them.
    pub curves: Vec<Curve>,
    /// To draw them.
    #[serde(skip)]
    pub fitted: Vec<RateAtPileUp>,
    /// The same of samples that were not fitted.
    #[serde(skip)]
    pub checked: Vec<RateAtPileUp>,
}

/// Measures, fits and forecasts; one result for each working point.
///
/// # Errors
/// Streams that cannot be read or do not know their pile-up, fewer ranges than a parabola needs.
pub fn forecast(
    forecast: &Forecast,
    model: Option<&LoadedModel>,
    points: &[WorkingPoint],
    progress: &mut dyn FnMut(u64),
) -> Result<(Vec<Sample>, Vec<RateOfPileUp>)> {
    let (mut samples, fitted) = count(forecast.fitted, forecast.width, model, points, progress)?;
    let (others, checked) = count(forecast.checked, forecast.width, model, points, progress)?;
    samples.extend(others);
    let rate_hz = forecast.collision_rate_hz;
    let of_point = |(point, (fitted, checked)): (&WorkingPoint, (&PileUpCounts, &PileUpCounts))| {
        let all = checked.rate(rate_hz);
        of_rates(&point.name, &fitted.rates(rate_hz), (&checked.rates(rate_hz), all), forecast.at)
            .with_context(|| format!("while fitting the rate of {} to pile-up", point.name))
    };
    let both = points.iter().zip(fitted.iter().zip(&checked));
    Ok((samples, both.map(of_point).collect::<Result<_>>()?))
}

/// Crossings and accepted ones in ranges of pile-up, over all streams: one for each working point.
fn count(
    paths: &[PathBuf],
    width: f64,
    model: Option<&LoadedModel>,
    points: &[WorkingPoint],
    progress: &mut dyn FnMut(u64),
) -> Result<(Vec<Sample>, Vec<PileUpCounts>)> {
    let n_edges = (PILE_UP_MAX / width).ceil() as usize;
    let edges: Vec<f64> = (0..=n_edges).map(|k| k as f64 * width).collect();
    let mut counts = vec![PileUpCounts::new(&edges)?; points.len()];
    let mut samples = Vec::new();
    let (mut pile_up, mut accepted) = (Vec::new(), Vec::new());
    for path in paths {
        check_scores(path, model)?;
        let columns = ColumnSet::EMPTY.with(Column::PileUp);
        let request = Request { columns, ..Request::new(path, Role::Background) };
        samples.push(read(&request, model, &mut |events| {
            progress(events.block.len() as u64);
            let weights = (!events.weights.is_empty()).then_some(events.weights);
            let all = events.block.get::<f32>(Column::PileUp);
            pile_up.clear();
            pile_up.extend(events.kept.iter().map(|&event| all[event]));
            for (point, counts) in points.iter().zip(&mut counts) {
                accepted.clear();
                accepted.extend(events.scores.iter().map(|&score| score >= point.threshold));
                counts.add(&pile_up, &accepted, weights)?;
            }
            Ok(())
        })?);
    }
    Ok((samples, counts))
}

fn of_rates(
    point: &str,
    fitted: &[RateAtPileUp],
    (checked, all_checked): (&[RateAtPileUp], Option<RateAtPileUp>),
    at: &[f64],
) -> Result<RateOfPileUp> {
    let points: Vec<Point> = fitted.iter().map(RateAtPileUp::point).collect();
    let mut sizes: Vec<f64> = fitted.iter().map(|range| range.n_crossings).collect();
    sizes.sort_by(f64::total_cmp);
    // A forecast range has as many crossings as most of those measured.
    let typical = sizes.get(sizes.len() / 2).copied().unwrap_or(1.0);
    let mut curves = Vec::new();
    for (name, degree) in [("line", 1), ("parabola", 2)] {
        let fit = fit(&points, degree).context(
            "hint: fit samples of different pile-up, or narrower ranges with `--pile-up-width`",
        )?;
        let predicted = |pile_up: f64, n_crossings: f64, measured: Option<Measured>| {
            let found = fit.predict(pile_up, n_crossings, ONE_SIGMA)?;
            Ok(Predicted {
                pile_up,
                curve_khz: found.curve.into(),
                prediction_khz: found.point.into(),
                n_crossings,
                measured_khz: measured,
            })
        };
        let check = |range: &RateAtPileUp| {
            predicted(range.pile_up, range.n_crossings, Some(range.rate_khz.into()))
        };
        let checks = checked.iter().map(check).collect::<Result<Vec<Predicted>>>()?;
        curves.push(Curve {
            name,
            coefficients: fit.coefficients(),
            r_squared: fit.r_squared(),
            p_value_of_highest: fit.p_value_of_highest(),
            forecasts: at.iter().map(|&x| predicted(x, typical, None)).collect::<Result<_>>()?,
            whole: whole(&checks, checked, all_checked),
            checks: checks
                .into_iter()
                .filter(|check| is_shown(check.n_crossings, checked))
                .collect(),
            fit: fit.clone(),
        });
    }
    let shown = |ranges: &[RateAtPileUp]| -> Vec<RateAtPileUp> {
        ranges.iter().filter(|range| is_shown(range.n_crossings, ranges)).copied().collect()
    };
    let (fitted, checked) = (shown(fitted), shown(checked));
    let range = |range: &RateAtPileUp| (range.pile_up, range.rate_khz.into(), range.n_crossings);
    let measured = fitted.iter().map(range).collect();
    Ok(RateOfPileUp { point: point.to_owned(), measured, curves, fitted, checked })
}

fn is_shown(n_crossings: f64, ranges: &[RateAtPileUp]) -> bool {
    let all: f64 = ranges.iter().map(|range| range.n_crossings).sum();
    n_crossings >= SHOWN_FROM * all
}

/// All ranges together: the mean of the curve over them, each as often as its crossings weigh.
fn whole(
    checks: &[Predicted],
    checked: &[RateAtPileUp],
    all: Option<RateAtPileUp>,
) -> Option<Predicted> {
    let all = all?;
    let mean = |of: &dyn Fn(&Predicted) -> f64| {
        let terms = checks.iter().zip(checked).map(|(check, range)| range.weight * of(check));
        terms.sum::<f64>() / all.weight
    };
    let curve_khz = Measured {
        value: mean(&|check| check.curve_khz.value),
        low: mean(&|check| check.curve_khz.low),
        high: mean(&|check| check.curve_khz.high),
    };
    Some(Predicted {
        pile_up: all.pile_up,
        curve_khz,
        // Of so many crossings the curve is all that there is to be uncertain of.
        prediction_khz: curve_khz,
        n_crossings: all.n_crossings,
        measured_khz: Some(all.rate_khz.into()),
    })
}

#[cfg(test)]
mod tests {
    use scout40_studies::rate::rate_khz;

    use super::*;

    #[test]
    fn a_parabola_through_two_samples_forecasts_a_third() {
        // Exact fractions: 2·10⁻⁶ × pile-up² of crossings.
        let range = |pile_up: u64| RateAtPileUp {
            pile_up: pile_up as f64,
            rate_khz: rate_khz(2 * pile_up * pile_up, 1_000_000, 1_000_000, 30e6),
            n_crossings: 1e6,
            weight: 1e6,
        };
        let fitted: Vec<RateAtPileUp> = (30..=70).step_by(5).map(range).collect();
        let checked: Vec<RateAtPileUp> = [80, 90].map(range).to_vec();
        let mut counts = PileUpCounts::new(&[75.0, 85.0, 95.0]).unwrap();
        for pile_up in [80_u32, 90] {
            let accepted: Vec<bool> = (0..1_000_000).map(|k| k < 2 * pile_up * pile_up).collect();
            counts.add(&vec![pile_up as f32; accepted.len()], &accepted, None).unwrap();
        }
        let all = counts.rate(30e6).unwrap();
        assert!((all.rate_khz.value - 30e3 * (6400.0 + 8100.0) * 1e-6).abs() < 1e-9);
        assert_eq!(counts.rates(30e6), checked);
        let found = of_rates("AD", &fitted, (&checked, Some(all)), &[100.0]).unwrap();
        let [line, parabola] = &found.curves[..] else { panic!("two curves") };
        let exact = 30e3 * 2e-6 * 1e4;
        assert!((parabola.forecasts[0].curve_khz.value - exact).abs() < 1e-6 * exact);
        assert!(line.forecasts[0].curve_khz.value < 0.95 * exact);
        let check = parabola.checks[1];
        assert!((check.curve_khz.value - check.measured_khz.unwrap().value).abs() < 1e-6 * exact);
        assert!(parabola.r_squared > line.r_squared);
        let whole = parabola.whole.unwrap();
        assert!((whole.curve_khz.value - all.rate_khz.value).abs() < 1e-6, "{whole:?}");
        let few = of_rates("AD", &[range(30), range(40)], (&[], None), &[]).unwrap_err();
        assert!(format!("{few:#}").contains("hint: fit samples of different pile-up"), "{few:#}");
    }
}
