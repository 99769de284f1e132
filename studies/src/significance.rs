//! Which threshold would show a signal best.
//!
//! **Significance improvement** ε_S / √ε_B: by how much a cut raises S/√B, whatever S and B are. It grows without
//! limit where hardly any background is left and fluctuates there, so a least number of background events
//! has to be asked for.
//!
//! **Approximate median significance**: AMS = √(2 [(s + b + b_r) ln(1 + s / (b + b_r)) − s]) for expected
//! yields s and b, where b_r keeps the optimum away from thresholds with little background (10 in the HiggsML
//! challenge). Weights are expected yields.
//! **Source**: G. Cowan et al., EPJC 71 (2011) 1554, eq. 97; C. Adam-Bourdarios et al., JMLR W&CP 42
//! (2015) 19, eq. 7.

use scout40_models::Score;

use crate::error::{Error, check};
use crate::roc::Roc;

/// A threshold and how good it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimum {
    /// Accept iff score >= threshold.
    pub threshold: Score,
    /// Significance improvement or AMS.
    pub value: f64,
    /// Accepted background, in weights.
    pub background: f64,
    /// Accepted signal, in weights.
    pub signal: f64,
}

/// Significance improvement of a threshold with its standard error; zero ± zero where no signal is
/// accepted, and infinite where no background is.
///
/// The error is that of two binomial fractions of the effective numbers of events.
#[must_use]
pub fn significance_improvement(roc: &Roc, threshold: Score) -> (f64, f64) {
    let point = roc.at_threshold(threshold);
    let (signal, background) = (point.signal_efficiency.value, point.false_positive_rate.value);
    if signal == 0.0 {
        return (0.0, 0.0);
    }
    if background == 0.0 {
        return (f64::INFINITY, f64::INFINITY);
    }
    let value = signal / background.sqrt();
    let relative_variance = |fraction: f64, n: f64| (1.0 - fraction) / (fraction * n);
    let variance = relative_variance(signal, roc.signal.effective_events())
        + relative_variance(background, roc.background.effective_events()) / 4.0;
    (value, value * variance.sqrt())
}

/// The threshold with the largest significance improvement among those that leave background
/// worth at least `min_background` events; the strictest of equal ones.
///
/// # Errors
/// `min_background` below one or more than there is.
pub fn best_significance_improvement(roc: &Roc, min_background: f64) -> Result<Optimum, Error> {
    let found = roc.background.effective_events();
    let possible = (1.0..=found).contains(&min_background);
    let expected = "at least 1 and no more than there are";
    check(possible, "least number of background events", expected, min_background)?;
    let (total, signal_total) = (roc.background.total(), roc.signal.total());
    let allowed = |&(threshold, ..): &(Score, f64, f64)| {
        roc.background.effective_accepted(threshold) >= min_background
    };
    let value = |background: f64, signal: f64| signal / signal_total / (background / total).sqrt();
    Ok(best(roc.accepted().into_iter().filter(allowed), value))
}

/// Approximate median significance of `signal` expected events over `background`, regularised by
/// `b_r` events.
#[must_use]
pub fn ams(signal: f64, background: f64, b_r: f64) -> f64 {
    let expected = background + b_r;
    let x = signal / expected;
    // (1 + x) ln(1 + x) − x loses all digits for small x: there its series.
    let bracket = if x < 0.02 {
        (2..12).rev().fold(0.0, |sum, k| {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            sum * x + sign / f64::from(k * (k - 1))
        }) * x
            * x
    } else {
        (1.0 + x) * x.ln_1p() - x
    };
    (2.0 * expected * bracket).sqrt()
}

/// The threshold with the largest AMS; the strictest of equal ones. Weights are expected yields.
///
/// # Errors
/// A `b_r` that is not above zero: without, a threshold above all background would be infinitely good.
pub fn best_ams(roc: &Roc, b_r: f64) -> Result<Optimum, Error> {
    best_ams_of(roc, b_r, Yields { signal: roc.signal.total(), background: roc.background.total() })
}

/// What the whole samples stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yields {
    /// Expected number of signal events before any cut.
    pub signal: f64,
    /// The same of background.
    pub background: f64,
}

/// The threshold with the largest AMS if the samples stand for these yields; the strictest of equal ones.
/// [`Optimum::signal`] and [`Optimum::background`] are expected yields, too.
///
/// # Errors
/// A `b_r` or yields that are not above zero.
pub fn best_ams_of(roc: &Roc, b_r: f64, yields: Yields) -> Result<Optimum, Error> {
    let positive =
        |setting, expected, x: f64| check(x > 0.0 && x.is_finite(), setting, expected, x);
    positive("b_r", "a number of events above zero", b_r)?;
    positive("expected signal", "a number of events above zero", yields.signal)?;
    positive("expected background", "a number of events above zero", yields.background)?;
    let per_signal = yields.signal / roc.signal.total();
    let per_background = yields.background / roc.background.total();
    let scaled = |(threshold, background, signal): (Score, f64, f64)| {
        (threshold, background * per_background, signal * per_signal)
    };
    let value = |background, signal| ams(signal, background, b_r);
    Ok(best(roc.accepted().into_iter().map(scaled), value))
}

fn best(
    accepted: impl Iterator<Item = (Score, f64, f64)>,
    value: impl Fn(f64, f64) -> f64,
) -> Optimum {
    let optimum = |(threshold, background, signal)| Optimum {
        threshold,
        value: value(background, signal),
        background,
        signal,
    };
    let better = |a: Optimum, b: Optimum| if b.value > a.value { b } else { a };
    accepted.map(optimum).reduce(better).expect("spectra have scores")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::Spectrum;

    fn spectra() -> (Spectrum, Spectrum) {
        let background: Vec<Score> =
            (0..2000).map(|k: Score| (k * 17 % 101) + (k * 31 % 83)).collect();
        let signal: Vec<Score> = (0..300).map(|k| 90 + k * 13 % 103).collect();
        (Spectrum::of(&background).unwrap(), Spectrum::of(&signal).unwrap())
    }

    #[test]
    fn the_best_thresholds_are_the_best_of_all() {
        let (background, signal) = spectra();
        let roc = Roc::new(&background, &signal);
        let scores: Vec<Score> = (-1..200).collect();
        for least in [1.0, 30.0, 500.0] {
            let found = best_significance_improvement(&roc, least).unwrap();
            let enough = scores.iter().filter(|&&t| background.accepted(t) >= least);
            let highest = enough.map(|&t| significance_improvement(&roc, t).0).fold(0.0, f64::max);
            assert!((found.value - highest).abs() < 1e-12, "{found:?} {highest}");
            assert!(found.background >= least);
        }
        for b_r in [0.5, 10.0, 1000.0] {
            let found = best_ams(&roc, b_r).unwrap();
            let value = |&t: &Score| ams(signal.accepted(t), background.accepted(t), b_r);
            let highest = scores.iter().map(value).fold(0.0, f64::max);
            assert!((found.value - highest).abs() < 1e-12, "{found:?} {highest}");
            assert!((value(&found.threshold) - highest).abs() < 1e-12);
        }
        assert!(best_ams(&roc, 0.0).is_err());
        let yields = Yields { signal: 3.0, background: 5e4 };
        let found = best_ams_of(&roc, 10.0, yields).unwrap();
        let value =
            |&t: &Score| ams(signal.accepted(t) / 100.0, background.accepted(t) * 25.0, 10.0);
        let highest = scores.iter().map(value).fold(0.0, f64::max);
        assert!((found.value - highest).abs() < 1e-12, "{found:?} {highest}");
        assert!((value(&found.threshold) - highest).abs() < 1e-12);
        assert!(best_ams_of(&roc, 10.0, Yields { signal: 0.0, ..yields }).is_err());
        assert!(best_significance_improvement(&roc, 2001.0).is_err());
        assert!(best_significance_improvement(&roc, 0.0).is_err());
    }

    #[test]
    fn without_a_cut_nothing_improves() {
        let (background, signal) = spectra();
        let roc = Roc::new(&background, &signal);
        let (value, error) = significance_improvement(&roc, 0);
        assert!((value - 1.0).abs() < 1e-15 && error == 0.0);
        assert_eq!(significance_improvement(&roc, 1000), (0.0, 0.0));
        assert!(significance_improvement(&roc, 184).0.is_infinite());
    }

    #[test]
    fn series_and_logarithm_of_the_ams_meet() {
        let plain = |s: f64, b: f64| (2.0 * ((s + b) * (s / b).ln_1p() - s)).sqrt();
        for x in [0.0199, 0.0201] {
            assert!((ams(x * 1e4, 9990.0, 10.0) / plain(x * 1e4, 1e4) - 1.0).abs() < 1e-12);
        }
        // Far below: s / √b (1 − s / 6b).
        assert!((ams(1.0, 1e12, 0.0) / 1e-6 - (1.0 - 1e-12 / 6.0)).abs() < 1e-15);
    }
}
