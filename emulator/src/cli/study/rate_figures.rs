//! The figures of `study rate`: rate against threshold, efficiency against rate, rate against pile-up.

use anyhow::Result;
use scout40_studies::figures::{efficiency_at_rate, pile_up, rate_at_threshold};
use scout40_studies::pile_up::RateAtPileUp;
use scout40_studies::scan::scan;
use scout40_studies::spectrum::Spectrum;

use super::rate::Results;
use super::report::Outputs;
use crate::study::pile_up::RateOfPileUp;

/// Points for each factor of ten in rate.
const PER_DECADE: u32 = 20;

/// Writes all of them.
///
/// # Errors
/// A filling scheme without collisions.
pub fn write(outputs: &mut Outputs, results: &Results) -> Result<()> {
    let background = &results.background;
    let signals: Vec<&Spectrum> = results.signals.iter().map(|s| &s.spectrum).collect();
    let names: Vec<&str> = results.signals.iter().map(|signal| signal.name.as_str()).collect();
    let points = scan(&background.spectrum, &signals, results.collision_rate_hz, PER_DECADE)?;
    let note = format!("{}: {} events", background.name, background.sample.n_events);
    let mut plot = rate_at_threshold("Rate and threshold", &points).note(&note);
    for point in &results.points {
        plot = plot.mark_x(point.threshold.into(), &point.name);
    }
    outputs.figure("threshold", Ok(plot));
    if !signals.is_empty() {
        let mut plot = efficiency_at_rate("Signals", &names, &points).note(&note);
        for point in &results.points {
            plot = plot.mark_x(point.rate_khz.value, &point.name);
        }
        outputs.figure("efficiency", Ok(plot));
    }
    for rate in &results.pile_up {
        outputs.figure(&format!("pile_up {}", rate.point), Ok(of_pile_up(rate)));
    }
    Ok(())
}

fn of_pile_up(rate: &RateOfPileUp) -> scout40_studies::plot::Plot {
    let curves: Vec<_> = rate.curves.iter().map(|curve| (curve.name, &curve.fit)).collect();
    let of = |ranges: &[RateAtPileUp]| ranges.iter().map(|range| range.pile_up).fold(0.0, f64::max);
    let forecasts = rate.curves.iter().flat_map(|curve| &curve.forecasts).map(|x| x.pile_up);
    let up_to = forecasts.fold(of(&rate.fitted).max(of(&rate.checked)), f64::max);
    let plot = pile_up(&format!("Rate of {}", rate.point), &rate.fitted, &curves, up_to);
    if rate.checked.is_empty() {
        return plot;
    }
    let checked: Vec<_> = rate.checked.iter().map(|x| (x.pile_up, x.rate_khz)).collect();
    plot.points("measured, not fitted", &checked)
}
