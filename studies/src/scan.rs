//! Which threshold for which rate, and what it finds of each signal.

use scout40_models::Score;

use crate::error::{Error, check};
use crate::rate::{CalibrateError, Interval};
use crate::spectrum::Spectrum;

/// What a threshold does; intervals at 68.27 %.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanPoint {
    /// Accept iff score >= threshold.
    pub threshold: Score,
    /// Rate of the background (Garwood).
    pub rate_khz: Interval,
    /// Fraction of each signal that is accepted (Clopper–Pearson).
    pub signal_efficiencies: Vec<Interval>,
}

/// The threshold for a target rate.
#[derive(Clone, Debug, PartialEq)]
pub struct RateRow {
    /// What was asked for.
    pub target_khz: f64,
    /// The loosest threshold whose rate does not exceed the target, and what it does.
    pub at: ScanPoint,
    /// The loosest threshold at which even the upper end of the rate's interval does not exceed the
    /// target; `None` where that of no accepted events at all does.
    pub strict: Option<Score>,
    /// The loosest threshold at which the lower end does not. With about 68 % probability the
    /// threshold that truly has the target rate is between the two.
    pub loose: Score,
}

/// What this threshold does.
#[must_use]
pub fn at_threshold(
    background: &Spectrum,
    signals: &[&Spectrum],
    collision_rate_hz: f64,
    threshold: Score,
) -> ScanPoint {
    ScanPoint {
        threshold,
        rate_khz: background.rate_khz(threshold, collision_rate_hz),
        signal_efficiencies: signals.iter().map(|signal| signal.efficiency(threshold)).collect(),
    }
}

/// The threshold for a target rate.
///
/// # Errors
/// Those of [`Spectrum::threshold_for_rate`].
pub fn at_rate(
    background: &Spectrum,
    signals: &[&Spectrum],
    collision_rate_hz: f64,
    target_khz: f64,
) -> Result<RateRow, CalibrateError> {
    let threshold = background.threshold_for_rate(collision_rate_hz, target_khz)?;
    // Ends of intervals rise with what is accepted, so there is one place where they get too high.
    let steps = background.steps();
    let passing = |end: fn(Interval) -> f64| {
        steps.partition_point(|step| {
            end(background.rate_khz(step.score, collision_rate_hz)) <= target_khz
        })
    };
    let above = |passing: usize| match passing.checked_sub(1) {
        Some(last) => steps[last].score,
        None => steps[0].score.saturating_add(1),
    };
    let strict = above(passing(|rate| rate.high));
    let safe = background.rate_khz(strict, collision_rate_hz).high <= target_khz;
    Ok(RateRow {
        target_khz,
        at: at_threshold(background, signals, collision_rate_hz, threshold),
        strict: safe.then_some(strict),
        loose: above(passing(|rate| rate.low)),
    })
}

/// From the rate that one event stands for to that of all crossings, `per_decade` points for each
/// factor of ten: efficiencies as a function of rate. Points with the same threshold are one.
///
/// # Errors
/// No points per decade, or a collision rate that is none.
pub fn scan(
    background: &Spectrum,
    signals: &[&Spectrum],
    collision_rate_hz: f64,
    per_decade: u32,
) -> Result<Vec<ScanPoint>, Error> {
    let within = (1..=1000).contains(&per_decade);
    check(within, "points per decade", "1 to 1000", f64::from(per_decade))?;
    let rate = collision_rate_hz;
    check(rate > 0.0 && rate.is_finite(), "collision rate", "a number of Hz above zero", rate)?;
    let highest_khz = collision_rate_hz / 1000.0;
    let decades = background.effective_events().log10();
    let n_points = (decades * f64::from(per_decade)).floor() as i32;
    let mut points: Vec<ScanPoint> = Vec::new();
    for k in (0..=n_points).rev() {
        let target_khz = highest_khz * 10f64.powf(f64::from(-k) / f64::from(per_decade));
        let threshold = match background.threshold_for_rate(collision_rate_hz, target_khz) {
            // Higher rates are no more known.
            Err(CalibrateError::NotKept { .. }) => break,
            found => found?,
        };
        if points.last().is_none_or(|last| last.threshold != threshold) {
            points.push(at_threshold(background, signals, collision_rate_hz, threshold));
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectra() -> (Spectrum, Spectrum) {
        let background: Vec<Score> =
            (0..100_000).map(|k: Score| (k * 7 % 1009) * (k % 97)).collect();
        let signal: Vec<Score> = (0..500).map(|k| 190 * k).collect();
        (Spectrum::of(&background).unwrap(), Spectrum::of(&signal).unwrap())
    }

    #[test]
    fn a_row_has_the_calibrated_threshold_between_a_stricter_and_a_looser_one() {
        let (background, signal) = spectra();
        for target_khz in [1.0, 10.0, 333.0, 5000.0] {
            let row = at_rate(&background, &[&signal, &background], 30.9e6, target_khz).unwrap();
            assert_eq!(
                row.at.threshold,
                background.threshold_for_rate(30.9e6, target_khz).unwrap()
            );
            assert!(row.at.rate_khz.value <= target_khz);
            assert_eq!(row.at.signal_efficiencies[0], signal.efficiency(row.at.threshold));
            assert_eq!(row.at.signal_efficiencies.len(), 2);
            assert!(row.loose <= row.at.threshold);
            let rate = |threshold: Score| background.rate_khz(threshold, 30.9e6);
            assert!(rate(row.loose).low <= target_khz);
            let next = background.steps().iter().find(|step| step.score < row.loose).unwrap();
            assert!(rate(next.score).low > target_khz);
            let strict = row.strict.unwrap();
            assert!(strict >= row.at.threshold && rate(strict).high <= target_khz);
            let next = background.steps().iter().find(|step| step.score < strict).unwrap();
            assert!(rate(next.score).high > target_khz);
        }
    }

    #[test]
    fn a_target_of_one_event_has_no_safe_threshold() {
        let (background, _) = spectra();
        // 0.309 kHz per event: the upper end for none is 1.84 of them.
        let row = at_rate(&background, &[], 30.9e6, 0.4).unwrap();
        assert_eq!(row.strict, None);
        assert!(at_rate(&background, &[], 30.9e6, 0.3).is_err());
    }

    #[test]
    fn a_scan_rises_from_one_event_to_everything() {
        let (background, signal) = spectra();
        let points = scan(&background, &[&signal], 30.9e6, 10).unwrap();
        assert!(points.windows(2).all(|pair| {
            pair[0].threshold > pair[1].threshold
                && pair[0].rate_khz.value < pair[1].rate_khz.value
                && pair[0].signal_efficiencies[0].value <= pair[1].signal_efficiencies[0].value
        }));
        let last = points.last().unwrap();
        assert!((last.rate_khz.value - 30_900.0).abs() < 1e-9 && last.threshold == 0);
        assert!(points[0].rate_khz.value < 0.32 * 1.26);
        assert!((30..=51).contains(&points.len()), "{}", points.len());
        assert!(scan(&background, &[], 30.9e6, 0).is_err());
    }
}
