//! Counts, rates and thresholds.
//!
//! A rate is accepted / scored × the rate of colliding crossings. Intervals are central, at
//! 68.27 % confidence: Garwood for a Poisson count, Clopper–Pearson for a binomial fraction.
//! Both are exact (they never undercover), so for small counts they are wide.
//!
//! A sample that is replayed several times is still one sample: counts are scaled to the number of
//! distinct events before the interval is taken, and the interval back.

use scout40_models::Score;
use statrs::distribution::{Beta, Continuous, ContinuousCDF, Gamma, Normal};

use crate::score_map::{self, ScoreMap};

/// Probability content of one standard deviation: erf(1/√2).
pub const ONE_SIGMA: f64 = 0.682_689_492_137_085_9;

/// A value with its central confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The same in other units.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Interval {
        Interval { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }
}

/// Interval for the mean of a Poisson count.
///
/// **Source**: F. Garwood, Biometrika 28 (1936) 437: χ² quantiles with 2n and 2n + 2 degrees of
/// freedom, here as gamma quantiles of shape n and n + 1.
///
/// # Panics
/// If `confidence` is not within 0 to 1.
#[must_use]
pub fn garwood(n: u64, confidence: f64) -> Interval {
    garwood_of(n as f64, confidence)
}

/// The same for a count that was scaled to distinct events, and so may have a fraction.
pub(crate) fn garwood_of(count: f64, confidence: f64) -> Interval {
    assert!(confidence > 0.0 && confidence < 1.0);
    let tail = (1.0 - confidence) / 2.0;
    let quantile =
        |shape: f64, p: f64| Gamma::new(shape, 1.0).expect("a positive shape").inverse_cdf(p);
    Interval {
        value: count,
        low: if count == 0.0 { 0.0 } else { quantile(count, tail) },
        high: quantile(count + 1.0, 1.0 - tail),
    }
}

/// Interval for the probability behind `k` of `n`; 0 to 1 where `n` is zero.
///
/// **Source**: C. Clopper, E. Pearson, Biometrika 26 (1934) 404, as beta quantiles.
///
/// # Panics
/// If `k` exceeds `n` or `confidence` is not within 0 to 1.
#[must_use]
pub fn clopper_pearson(k: u64, n: u64, confidence: f64) -> Interval {
    assert!(k <= n);
    if n == 0 {
        return Interval { value: 0.0, low: 0.0, high: 1.0 };
    }
    clopper_pearson_of(k as f64, n as f64, confidence)
}

/// The same for numbers that were scaled to distinct events.
pub(crate) fn clopper_pearson_of(k: f64, n: f64, confidence: f64) -> Interval {
    assert!(confidence > 0.0 && confidence < 1.0);
    let tail = (1.0 - confidence) / 2.0;
    let failed = n - k;
    Interval {
        value: k / n,
        low: if k <= 0.0 { 0.0 } else { beta_quantile(k, failed + 1.0, tail) },
        high: if failed <= 0.0 { 1.0 } else { beta_quantile(k + 1.0, failed, 1.0 - tail) },
    }
}

/// Where a beta distribution has the probability `p` below it: Newton's steps between two ends that close in. (The
/// library's own search does not end for some thousands of 10⁸.)
fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    if a.min(b) > BETA_MAX {
        return beta_quantile_expanded(a, b, p);
    }
    let beta = Beta::new(a, b).expect("positive shapes");
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    let mut x = a / (a + b);
    // Halving alone would reach any place that a number can tell from its neighbours.
    for _ in 0..1100 {
        let excess = beta.cdf(x) - p;
        if excess > 0.0 {
            high = x;
        } else {
            low = x;
        }
        let newton = x - excess / beta.pdf(x);
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        if (next - x).abs() <= 2.0 * f64::EPSILON * x {
            return next;
        }
        x = next;
    }
    x
}

/// Above this the library's continued fraction ends before it has converged.
const BETA_MAX: f64 = 1e6;

/// The expansion about the normal distribution, up to the kurtosis: what follows is of the order of
/// (1 / min(a, b))^1.5 standard deviations.
///
/// **Source**: E. Cornish, R. Fisher, Rev. Inst. Int. Stat. 5 (1938) 307.
fn beta_quantile_expanded(a: f64, b: f64, p: f64) -> f64 {
    let z = Normal::standard().inverse_cdf(p);
    let (sum, product) = (a + b, a * b);
    let deviation = (product / (sum + 1.0)).sqrt() / sum;
    let skewness = 2.0 * (b - a) * ((sum + 1.0) / product).sqrt() / (sum + 2.0);
    let kurtosis = 6.0 * ((a - b).powi(2) * (sum + 1.0) - product * (sum + 2.0))
        / (product * (sum + 2.0) * (sum + 3.0));
    let of_skewness = skewness * (z * z - 1.0) / 6.0;
    let of_kurtosis = kurtosis * (z.powi(3) - 3.0 * z) / 24.0;
    let of_square = skewness * skewness * (2.0 * z.powi(3) - 5.0 * z) / 36.0;
    a / sum + deviation * (z + of_skewness + of_kurtosis - of_square)
}

/// Efficiency of `accepted` of `scored` events, of which at most `distinct` differ, with its
/// Clopper–Pearson interval at one standard deviation; 0 to 1 where nothing was scored.
///
/// # Panics
/// If more events were accepted than scored.
#[must_use]
pub fn efficiency(accepted: u64, scored: u64, distinct: u64) -> Interval {
    assert!(accepted <= scored);
    let n = scored.min(distinct);
    if n == 0 {
        return Interval { value: 0.0, low: 0.0, high: 1.0 };
    }
    let k = accepted as f64 / scored as f64 * n as f64;
    clopper_pearson_of(k, n as f64, ONE_SIGMA)
}

/// Rate in kHz of a line that accepted `accepted` of `scored` crossings, of which at most
/// `distinct` differ, with its Poisson interval at one standard deviation. Zero with an infinite
/// upper end where nothing was scored.
#[must_use]
pub fn rate_khz(accepted: u64, scored: u64, distinct: u64, collision_rate_hz: f64) -> Interval {
    let n = scored.min(distinct);
    if n == 0 {
        return Interval { value: 0.0, low: 0.0, high: f64::INFINITY };
    }
    let count = accepted as f64 / scored as f64 * n as f64;
    garwood_of(count, ONE_SIGMA).scaled(collision_rate_hz / n as f64 / 1000.0)
}

/// How often each score occurred. Merging is exact in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreCounts {
    counts: ScoreMap<u64>,
    total: u64,
}

impl ScoreCounts {
    /// Counts scores.
    pub fn add(&mut self, scores: &[Score]) {
        for &score in scores {
            *self.counts.entry(score).or_default() += 1;
        }
        self.total += scores.len() as u64;
    }

    /// Counts `n` events of one score.
    pub fn add_times(&mut self, score: Score, n: u64) {
        if n > 0 {
            *self.counts.entry(score).or_default() += n;
            self.total += n;
        }
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &ScoreCounts) {
        for (&score, &n) in &other.counts {
            *self.counts.entry(score).or_default() += n;
        }
        self.total += other.total;
    }

    /// Score and number of events with it, highest score first.
    pub fn descending(&self) -> impl Iterator<Item = (Score, u64)> {
        score_map::descending(&self.counts).into_iter().map(|(score, &n)| (score, n))
    }

    /// Number of events.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Events with a score of at least `threshold`.
    #[must_use]
    pub fn accepted(&self, threshold: Score) -> u64 {
        let passing = self.counts.iter().filter(|&(&score, _)| score >= threshold);
        passing.map(|(_, &n)| n).sum()
    }
}

/// A threshold for a target rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// Accept iff score >= threshold.
    pub threshold: Score,
    /// Events of the sample that pass it.
    pub accepted: u64,
    /// Events of the sample.
    pub scored: u64,
    /// Estimated rate in kHz.
    pub rate_khz: Interval,
}

/// Why there is no threshold for a rate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// The sample says nothing.
    #[error("expected background events to calibrate with, found none")]
    NoEvents,
    /// One event of the sample stands for more than the target.
    #[error(
        "a target of {target_khz} kHz needs at least {needed} background events (one accepted event \
         each {step_khz:.3} kHz), and a hundred times as many to be known to 10 %; found {found}\n\
         hint: calibrate with more events or raise the target"
    )]
    TooFew {
        /// The target.
        target_khz: f64,
        /// Rate that one event stands for.
        step_khz: f64,
        /// Events that the target needs for one accepted event.
        needed: u64,
        /// Events found.
        found: u64,
    },
    /// Looser thresholds are known of events alone that were not kept.
    #[error(
        "a target of {target_khz} kHz needs events of lower scores than the run kept all of: those have \
         {highest_khz:.4} kHz\n\
         hint: ask for no more than that, or give the stream that the run read"
    )]
    NotKept {
        /// The target.
        target_khz: f64,
        /// Rate of the loosest threshold at which all were kept.
        highest_khz: f64,
    },
    /// A target that no rate can have.
    #[error("target rate: expected a finite number of kHz above zero, found {found}")]
    Target {
        /// What was given.
        found: f64,
    },
    /// The highest score that there is occurs too often.
    #[error(
        "no threshold keeps the rate at {target_khz} kHz: the highest number that a score can be, \
         {highest}, occurs at more\nhint: the scores saturate, so the model needs a coarser scale",
        highest = Score::MAX
    )]
    Saturated {
        /// The target.
        target_khz: f64,
    },
}

/// The loosest threshold that is `allowed`, from scores in descending order with what is accepted
/// at each: one above the first score that is too much (no event lies between it and the next), or
/// the last score where none is; nothing where no score is above the top.
pub(crate) fn loosest(
    descending: impl Iterator<Item = (Score, f64)>,
    allowed: impl Fn(f64) -> bool,
) -> Option<Score> {
    let mut last = None;
    for (score, accepted) in descending {
        if !allowed(accepted) {
            return score.checked_add(1);
        }
        last = Some(score);
    }
    last
}

/// The loosest threshold whose estimated rate does not exceed `target_khz`.
///
/// # Errors
/// A sample in which a single event stands for more than the target (any threshold would be an
/// extrapolation), and scores of which too many have the highest number that there is.
pub fn threshold_for_rate(
    counts: &ScoreCounts,
    collision_rate_hz: f64,
    target_khz: f64,
) -> Result<Calibrated, CalibrateError> {
    if !(target_khz > 0.0 && target_khz.is_finite()) {
        return Err(CalibrateError::Target { found: target_khz });
    }
    let scored = counts.total();
    if scored == 0 {
        return Err(CalibrateError::NoEvents);
    }
    let step_khz = collision_rate_hz / scored as f64 / 1000.0;
    if step_khz > target_khz {
        let needed = (collision_rate_hz / 1000.0 / target_khz).ceil() as u64;
        return Err(CalibrateError::TooFew { target_khz, step_khz, needed, found: scored });
    }
    let descending = counts.descending().scan(0, |accepted, (score, n)| {
        *accepted += n;
        Some((score, *accepted as f64))
    });
    let threshold = loosest(descending, |accepted| accepted * step_khz <= target_khz)
        .ok_or(CalibrateError::Saturated { target_khz })?;
    let accepted = counts.accepted(threshold);
    let rate_khz = rate_khz(accepted, scored, scored, collision_rate_hz);
    Ok(Calibrated { threshold, accepted, scored, rate_khz })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs() + 1e-12, "{found} {expected}");
    }

    /// Values of scipy.stats 1.17.1: `chi2.ppf([tail, 1 - tail], [2n, 2n + 2]) / 2`.
    #[test]
    fn garwood_intervals_agree_with_scipy() {
        for (n, low, high) in SCIPY_GARWOOD {
            let interval = garwood(n, ONE_SIGMA);
            assert_close(interval.low, low);
            assert_close(interval.high, high);
        }
    }

    /// Values of scipy.stats 1.17.1: `beta.ppf(tail, k, n - k + 1)`, `beta.ppf(1 - tail, k + 1, n - k)`.
    #[test]
    fn intervals_of_a_hundred_million_events_agree_with_scipy() {
        // scipy.stats.beta.ppf, chi2.ppf / 2. The logarithms of their norms are differences of 10⁹, good to 1e-7.
        let n = 100_000_000;
        for (k, binomial, poisson) in [
            (
                3236,
                [3.17911796984248e-5, 3.2938907588873646e-5],
                [3179.117081543341, 3293.891712339962],
            ),
            (
                32_359,
                [3.2179143635866544e-4, 3.2539858495585027e-4],
                [32179.114851683356, 32539.887928304302],
            ),
        ] {
            let (found, count) = (clopper_pearson(k, n, ONE_SIGMA), garwood(k, ONE_SIGMA));
            for (ends, [low, high]) in [(found, binomial), (count, poisson)] {
                let allowed = 1e-4 * (high - low);
                assert!((ends.low - low).abs() < allowed, "{ends:?}");
                assert!((ends.high - high).abs() < allowed, "{ends:?}");
            }
        }
    }

    /// As above, where the library's beta distribution gives ends in the wrong order.
    #[test]
    fn intervals_of_millions_of_accepted_events_agree_with_scipy() {
        for (k, n, low, high) in [
            (1_200_000, 3_000_000, 0.3997170240197139, 0.4002830426862233),
            (5_000_000, 100_000_000, 0.04997820500611396, 0.05002180399595075),
            (50_000_000, 100_000_000, 0.49994999500025, 0.50005000499975),
            (1_000_000_000, 4_000_000_000, 0.24999315340553302, 0.2500068467194693),
        ] {
            let found = clopper_pearson(k, n, ONE_SIGMA);
            // Of the expansion 1e-9 of half the width is left, of scipy's numbers some 1e-7.
            let allowed = 1e-6 * (high - low);
            assert!((found.low - low).abs() < allowed, "{k}: {found:?}");
            assert!((found.high - high).abs() < allowed, "{k}: {found:?}");
        }
    }

    #[test]
    fn clopper_pearson_intervals_agree_with_scipy() {
        for (k, n, low, high) in SCIPY_CLOPPER_PEARSON {
            let interval = clopper_pearson(k, n, ONE_SIGMA);
            assert_close(interval.low, low);
            assert_close(interval.high, high);
        }
    }

    #[test]
    fn a_rate_is_the_accepted_fraction_of_the_collision_rate() {
        let rate = rate_khz(10, 300_000, 300_000, 30.9e6);
        assert_close(rate.value, 1.03);
        assert!(rate.low < rate.value && rate.value < rate.high);
        assert!(rate_khz(0, 0, 10, 30.9e6).high.is_infinite());
    }

    #[test]
    fn replaying_a_sample_does_not_make_it_larger() {
        let once = rate_khz(10, 300_000, 300_000, 30.9e6);
        let often = rate_khz(200, 6_000_000, 300_000, 30.9e6);
        assert_close(often.value, once.value);
        assert_close(often.low, once.low);
        assert_close(often.high, once.high);
        let (once, often) = (efficiency(7, 100, 100), efficiency(7000, 100_000, 100));
        assert_close(often.low, once.low);
        assert_close(often.high, once.high);
        assert_close(efficiency(7, 100, u64::MAX).low, clopper_pearson(7, 100, ONE_SIGMA).low);
        assert_eq!(efficiency(0, 0, 5).high.to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn the_threshold_is_the_loosest_that_does_not_exceed_the_target() {
        let mut counts = ScoreCounts::default();
        counts.add(&[5, 5, 5, 7, 7, 9]);
        let at = |khz| threshold_for_rate(&counts, 6000.0, khz).unwrap();
        assert_eq!((at(1.0).threshold, at(1.0).accepted), (8, 1));
        assert_eq!((at(2.9).threshold, at(2.9).accepted), (8, 1));
        assert_eq!((at(3.0).threshold, at(3.0).accepted), (6, 3));
        assert_eq!((at(99.0).threshold, at(99.0).accepted), (5, 6));
        assert_eq!(counts.accepted(7), 3);
    }

    #[test]
    fn ties_at_the_top_may_leave_nothing_to_accept() {
        let mut counts = ScoreCounts::default();
        counts.add(&[9, 9, 9]);
        let calibrated = threshold_for_rate(&counts, 3000.0, 2.0).unwrap();
        assert_eq!((calibrated.threshold, calibrated.accepted), (10, 0));
        assert!(calibrated.rate_khz.high > 0.0);
    }

    #[test]
    fn scores_that_saturate_have_no_threshold() {
        let mut counts = ScoreCounts::default();
        counts.add(&[Score::MAX, Score::MAX, Score::MAX - 1]);
        let at = |khz| threshold_for_rate(&counts, 3000.0, khz);
        assert_eq!(at(1.0), Err(CalibrateError::Saturated { target_khz: 1.0 }));
        assert_eq!(at(2.0).unwrap().threshold, Score::MAX);
        assert!(matches!(at(f64::NAN), Err(CalibrateError::Target { .. })));
        assert!(matches!(at(0.0), Err(CalibrateError::Target { .. })));
    }

    #[test]
    fn a_target_below_one_event_is_refused_with_the_number_that_it_needs() {
        let mut counts = ScoreCounts::default();
        counts.add(&[1; 1000]);
        let error = threshold_for_rate(&counts, 30.9e6, 1.0).unwrap_err();
        assert!(matches!(error, CalibrateError::TooFew { needed: 30_900, found: 1000, .. }));
        let none = threshold_for_rate(&ScoreCounts::default(), 30.9e6, 1.0);
        assert_eq!(none.unwrap_err(), CalibrateError::NoEvents);
    }

    const SCIPY_GARWOOD: [(u64, f64, f64); 6] = [
        (0, 0.0, 1.84102164501),
        (1, 0.172753779023, 3.29952655912),
        (3, 1.36729531389, 5.91818583288),
        (10, 6.89130556064, 14.266949761),
        (100, 90.0167451771, 111.033360941),
        (100_000, 99683.7727611, 100317.22882),
    ];
    const SCIPY_CLOPPER_PEARSON: [(u64, u64, f64, f64); 6] = [
        (0, 10, 0.0, 0.1681491861379764),
        (1, 10, 0.017127014136728243, 0.29413538963846697),
        (10, 10, 0.8318508138620236, 1.0),
        (13, 400_000, 2.3603419666015444e-05, 4.4243673631823875e-05),
        (500, 1_000, 0.48369702103800044, 0.5163029789619995),
        (39990, 40_000, 0.9996433452801634, 0.999827712819425),
    ];
}
