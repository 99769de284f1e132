//! How well a score tells a signal from the background: ROC and precision–recall curves.
//!
//! Accept iff `score >= threshold`, so events with the same score stand or fall together, and the
//! curve has one point for each score that occurs. AUROC is the area under its straight lines: the
//! probability that a signal event has the higher score, where a tie counts one half. Average
//! precision is the step-wise sum Σ (Rₙ − Rₙ₋₁) Pₙ. All equal what scikit-learn computes from
//! the same scores and weights (`roc_curve`, `roc_auc_score`, `precision_recall_curve`,
//! `average_precision_score`), to rounding.
//!
//! Precision depends on how much signal there is. In a test sample that is arbitrary, so it is
//! always asked for at a stated prevalence; [`Roc::sample_prevalence`] is that of the sample.

use std::cmp::Ordering;

use scout40_models::Score;

use crate::error::{Error, check};
use crate::rate::Interval;
use crate::spectrum::Spectrum;

/// A background and a signal, scored by the same model.
#[derive(Clone, Copy, Debug)]
pub struct Roc<'a> {
    pub(crate) background: &'a Spectrum,
    pub(crate) signal: &'a Spectrum,
}

/// A point of the ROC curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// Accept iff score >= threshold; `None` for the start, where nothing is accepted.
    pub threshold: Option<Score>,
    /// Fraction of the background that is accepted.
    pub false_positive_rate: f64,
    /// Fraction of the signal that is accepted.
    pub signal_efficiency: f64,
}

/// A point of the precision–recall curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Accept iff score >= threshold.
    pub threshold: Score,
    /// Fraction of what is accepted that is signal.
    pub precision: f64,
    /// Fraction of the signal that is accepted.
    pub recall: f64,
}

/// A threshold and what it does, with intervals at 68.27 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkingPoint {
    /// Accept iff score >= threshold.
    pub threshold: Score,
    /// Fraction of the background that is accepted (Clopper–Pearson).
    pub false_positive_rate: Interval,
    /// Fraction of the signal that is accepted (Clopper–Pearson).
    pub signal_efficiency: Interval,
}

impl<'a> Roc<'a> {
    /// The two spectra, of scores of the same model.
    #[must_use]
    pub fn new(background: &'a Spectrum, signal: &'a Spectrum) -> Roc<'a> {
        Roc { background, signal }
    }

    /// Area under the ROC curve.
    #[must_use]
    pub fn auroc(&self) -> f64 {
        let placements = placements(self.signal, self.background);
        let steps = self.signal.steps().iter().zip(placements);
        steps.map(|(step, below)| step.weight * below).sum::<f64>() / self.signal.total()
    }

    /// Area under the ROC curve with its standard error from the spread of the events of both samples; of
    /// weighted events as of as many equal ones as they are worth. Infinite for a single event.
    ///
    /// **Source**: E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988) 837.
    #[must_use]
    pub fn auroc_with_error(&self) -> (f64, f64) {
        let above = placements(self.signal, self.background);
        let below = placements(self.background, self.signal);
        let variance = |sample: &Spectrum, placements: &[f64]| {
            let total = sample.total();
            let weighted = |f: &dyn Fn(f64) -> f64| {
                let terms = sample.steps().iter().zip(placements).map(|(s, &p)| s.weight * f(p));
                terms.sum::<f64>() / total
            };
            let mean = weighted(&|p| p);
            // Of n events, one degree of freedom goes to the mean: n − 1 instead of n.
            let n = sample.effective_events();
            if n > 1.0 { weighted(&|p| (p - mean).powi(2)) / (n - 1.0) } else { f64::INFINITY }
        };
        let variance = variance(self.signal, &above) + variance(self.background, &below);
        (self.auroc(), variance.sqrt())
    }

    /// The ROC curve from (0, 0) to (1, 1): one point for each score that occurs in either sample.
    #[must_use]
    pub fn points(&self) -> Vec<RocPoint> {
        let start = RocPoint { threshold: None, false_positive_rate: 0.0, signal_efficiency: 0.0 };
        let (n_background, n_signal) = (self.background.total(), self.signal.total());
        let point = |(threshold, background, signal)| RocPoint {
            threshold: Some(threshold),
            false_positive_rate: background / n_background,
            signal_efficiency: signal / n_signal,
        };
        std::iter::once(start).chain(self.accepted().into_iter().map(point)).collect()
    }

    /// The ROC curve without points that lie on the straight line between their neighbours, for
    /// drawing.
    #[must_use]
    pub fn corners(&self) -> Vec<RocPoint> {
        let mut corners: Vec<RocPoint> = Vec::new();
        for point in self.points() {
            while let [.., a, b] = corners[..] {
                let ahead = (b.false_positive_rate - a.false_positive_rate)
                    * (point.signal_efficiency - b.signal_efficiency);
                let aside = (b.signal_efficiency - a.signal_efficiency)
                    * (point.false_positive_rate - b.false_positive_rate);
                if (ahead - aside).abs() > 1e-15 {
                    break;
                }
                corners.pop();
            }
            corners.push(point);
        }
        corners
    }

    /// Fraction of the sample's weight that is signal.
    #[must_use]
    pub fn sample_prevalence(&self) -> f64 {
        self.signal.total() / (self.signal.total() + self.background.total())
    }

    /// The precision–recall curve at this prevalence, highest threshold first.
    ///
    /// # Errors
    /// A prevalence that is not between 0 and 1.
    pub fn precision_recall(&self, prevalence: f64) -> Result<Vec<PrecisionRecall>, Error> {
        let within = prevalence > 0.0 && prevalence < 1.0;
        check(within, "prevalence", "a fraction between 0 and 1", prevalence)?;
        let point = |point: &RocPoint| {
            let signal = prevalence * point.signal_efficiency;
            let background = (1.0 - prevalence) * point.false_positive_rate;
            Some(PrecisionRecall {
                threshold: point.threshold?,
                precision: signal / (signal + background),
                recall: point.signal_efficiency,
            })
        };
        Ok(self.points().iter().filter_map(point).collect())
    }

    /// Average precision at this prevalence.
    ///
    /// # Errors
    /// A prevalence that is not between 0 and 1.
    pub fn average_precision(&self, prevalence: f64) -> Result<f64, Error> {
        let (mut sum, mut recall) = (0.0, 0.0);
        for point in self.precision_recall(prevalence)? {
            sum += (point.recall - recall) * point.precision;
            recall = point.recall;
        }
        Ok(sum)
    }

    /// What this threshold does.
    #[must_use]
    pub fn at_threshold(&self, threshold: Score) -> WorkingPoint {
        WorkingPoint {
            threshold,
            false_positive_rate: self.background.efficiency(threshold),
            signal_efficiency: self.signal.efficiency(threshold),
        }
    }

    /// The loosest threshold whose false positive rate does not exceed this one.
    ///
    /// # Errors
    /// Those of [`Spectrum::threshold_for_fraction`].
    pub fn at_false_positive_rate(&self, false_positive_rate: f64) -> Result<WorkingPoint, Error> {
        Ok(self.at_threshold(self.background.threshold_for_fraction(false_positive_rate)?))
    }

    /// The loosest threshold whose background rate does not exceed `target_khz`.
    ///
    /// # Errors
    /// Those of [`Spectrum::threshold_for_rate`].
    pub fn at_rate(&self, collision_rate_hz: f64, target_khz: f64) -> Result<WorkingPoint, Error> {
        let threshold = self.background.threshold_for_rate(collision_rate_hz, target_khz)?;
        Ok(self.at_threshold(threshold))
    }

    /// For every score that occurs, highest first: accepted background and accepted signal.
    pub(crate) fn accepted(&self) -> Vec<(Score, f64, f64)> {
        let (background, signal) = (self.background.steps(), self.signal.steps());
        let mut merged = Vec::with_capacity(background.len() + signal.len());
        let (mut b, mut s) = (0, 0);
        let (mut background_sum, mut signal_sum) = (0.0, 0.0);
        while b < background.len() || s < signal.len() {
            let order = match (background.get(b), signal.get(s)) {
                (Some(b), Some(s)) => b.score.cmp(&s.score),
                (Some(_), None) => Ordering::Greater,
                _ => Ordering::Less,
            };
            let mut score = Score::MIN;
            if order != Ordering::Less {
                (score, background_sum) = (background[b].score, background[b].accepted);
                b += 1;
            }
            if order != Ordering::Greater {
                (score, signal_sum) = (signal[s].score, signal[s].accepted);
                s += 1;
            }
            merged.push((score, background_sum, signal_sum));
        }
        merged
    }
}

/// For each step of a spectrum the fraction of the other that is below it; of ties, half.
fn placements(spectrum: &Spectrum, other: &Spectrum) -> Vec<f64> {
    let total = other.total();
    let mut others = other.steps().iter().peekable();
    let mut above = 0.0;
    let mut below = |score: Score| {
        while let Some(step) = others.next_if(|step| step.score > score) {
            above = step.accepted;
        }
        let tied = others.peek().filter(|step| step.score == score).map_or(0.0, |step| step.weight);
        (total - above - tied / 2.0) / total
    };
    spectrum.steps().iter().map(|step| below(step.score)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }

    #[test]
    fn auroc_is_the_fraction_of_pairs_that_are_ordered_with_ties_as_halves() {
        let (background, signal) = ([1, 2, 2, 5, -3], [2, 7, 2, 1, 0, 5]);
        let pair = |(b, s): (Score, Score)| match s.cmp(&b) {
            Ordering::Greater => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Less => 0.0,
        };
        let pairs = background.iter().flat_map(|&b| signal.iter().map(move |&s| (b, s)));
        let expected = pairs.map(pair).sum::<f64>() / 30.0;
        let spectra = (Spectrum::of(&background).unwrap(), Spectrum::of(&signal).unwrap());
        let roc = Roc::new(&spectra.0, &spectra.1);
        assert_close(roc.auroc(), expected);
        assert_close(Roc::new(&spectra.1, &spectra.0).auroc(), 1.0 - expected);
        let trapezoid = |pair: &[RocPoint]| {
            (pair[1].false_positive_rate - pair[0].false_positive_rate)
                * (pair[1].signal_efficiency + pair[0].signal_efficiency)
                / 2.0
        };
        assert_close(roc.points().windows(2).map(trapezoid).sum(), expected);
        assert_close(roc.corners().windows(2).map(trapezoid).sum(), expected);
        assert!(roc.corners().len() < roc.points().len());
    }

    #[test]
    fn the_error_of_the_area_is_that_of_all_pairs() {
        let background: Vec<Score> = (0..90).map(|k| k * k % 47).collect();
        let signal: Vec<Score> = (0..40).map(|k| 8 + k * k % 51).collect();
        let pair = |s: Score, b: Score| f64::from(s > b) + f64::from(s == b) / 2.0;
        // Variance of the mean over the other sample, from its definition.
        let variance_of_mean = |values: Vec<f64>| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
        };
        let of_signal =
            signal.iter().map(|&s| background.iter().map(|&b| pair(s, b)).sum::<f64>() / 90.0);
        let of_background =
            background.iter().map(|&b| signal.iter().map(|&s| pair(s, b)).sum::<f64>() / 40.0);
        let expected =
            variance_of_mean(of_signal.collect()) + variance_of_mean(of_background.collect());
        let weigh =
            |scores: &[Score]| Spectrum::weighted(scores, &vec![0.5; scores.len()]).unwrap();
        let plain = (Spectrum::of(&background).unwrap(), Spectrum::of(&signal).unwrap());
        let (area, error) = Roc::new(&plain.0, &plain.1).auroc_with_error();
        assert_close(error, expected.sqrt());
        let (weighted_area, error) =
            Roc::new(&weigh(&background), &weigh(&signal)).auroc_with_error();
        assert_close(error, expected.sqrt());
        assert_close(area, weighted_area);
    }

    #[test]
    fn an_integer_weight_is_the_event_repeated() {
        let (scores, weights) = ([3, 9, 3, 4, 8], [2.0, 1.0, 3.0, 0.0, 1.0]);
        let repeated = [3, 3, 9, 3, 3, 3, 8];
        let weighted = Spectrum::weighted(&scores, &weights).unwrap();
        let plain = Spectrum::of(&repeated).unwrap();
        let signal = Spectrum::of(&[4, 9, 5, 3]).unwrap();
        assert_eq!(Roc::new(&weighted, &signal).points(), Roc::new(&plain, &signal).points());
        assert_close(Roc::new(&weighted, &signal).auroc(), Roc::new(&plain, &signal).auroc());
        let scaled = Spectrum::weighted(&repeated, &[0.25; 7]).unwrap();
        for threshold in [-5, 3, 4, 9, 10] {
            let (plain, scaled) = (plain.efficiency(threshold), scaled.efficiency(threshold));
            assert_close(scaled.low, plain.low);
            assert_close(scaled.high, plain.high);
        }
        for threshold in [3, 9, 10] {
            let (plain, scaled) = (plain.rate_khz(threshold, 1e4), scaled.rate_khz(threshold, 1e4));
            assert_close(scaled.value, plain.value);
            assert_close(scaled.low, plain.low);
            assert!((scaled.high / plain.high - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn working_points_are_the_loosest_that_do_not_exceed_what_is_asked() {
        let background: Vec<Score> = (0..1000).map(|k| k / 2).collect();
        let (background, signal) = (Spectrum::of(&background), Spectrum::of(&[499, 498, 10, 10]));
        let (background, signal) = (background.unwrap(), signal.unwrap());
        let roc = Roc::new(&background, &signal);
        let at = roc.at_false_positive_rate(0.0041).unwrap();
        assert_eq!(at.threshold, 498);
        assert_close(at.false_positive_rate.value, 0.004);
        assert_close(at.signal_efficiency.value, 0.5);
        assert!(at.signal_efficiency.low < 0.5 && at.signal_efficiency.high > 0.5);
        // 4.1 of 1000 kHz is the same fraction; less than the tie at the top accepts nothing.
        assert_eq!(roc.at_rate(1e6, 4.1).unwrap(), at);
        assert_eq!(roc.at_rate(1e6, 1.5).unwrap().threshold, 500);
        assert_close(roc.at_rate(1e6, 1.5).unwrap().signal_efficiency.value, 0.0);
        assert_eq!(roc.at_false_positive_rate(1.0).unwrap().threshold, 0);
        let error = roc.at_false_positive_rate(1e-4).unwrap_err();
        assert!(matches!(error, Error::TooFew { needed: 10_000, .. }), "{error}");
        assert!(roc.at_rate(1e6, 0.1).is_err());
        assert!(roc.at_false_positive_rate(f64::NAN).is_err());
        assert!(roc.average_precision(1.0).is_err());
    }

    #[test]
    fn a_spectrum_calibrates_as_counts_do() {
        let scores: Vec<Score> = (0..5000).map(|k: Score| (k * k % 1013) / 7).collect();
        let mut counts = crate::rate::ScoreCounts::default();
        counts.add(&scores);
        let spectrum = Spectrum::of(&scores).unwrap();
        for target_khz in [7.0, 100.0, 1234.5, 30_000.0, 1e6] {
            let counted = crate::rate::threshold_for_rate(&counts, 30.9e6, target_khz).unwrap();
            let threshold = spectrum.threshold_for_rate(30.9e6, target_khz).unwrap();
            assert_eq!(threshold, counted.threshold);
            let rate = spectrum.rate_khz(threshold, 30.9e6);
            assert!((rate.high / counted.rate_khz.high - 1.0).abs() < 1e-12);
        }
        let few = crate::rate::threshold_for_rate(&counts, 30.9e6, 1.0).unwrap_err();
        assert_eq!(spectrum.threshold_for_rate(30.9e6, 1.0).unwrap_err(), few);
    }

    #[test]
    fn samples_that_weigh_nothing_are_refused() {
        assert_eq!(Spectrum::of(&[]), Err(Error::NoEvents { what: "scored events" }));
        assert_eq!(Spectrum::weighted(&[1, 2], &[0.0, 0.0]), Err(Error::NoWeight { events: 2 }));
        assert!(matches!(Spectrum::weighted(&[1], &[-0.5]), Err(Error::Weight { .. })));
    }
}
