//! Is one model better than another? The paired bootstrap.
//!
//! Two efficiencies at 10 kHz of the same events differ by more or less than chance; their own
//! intervals do not tell, because what fluctuates is common to both: the events. So background and
//! signals are resampled (as many events as there are, drawn with replacement), for all models at
//! once; in each resample the thresholds are derived anew from its background, and efficiencies,
//! their differences and ratios follow. The spread over resamples is the standard error, its
//! percentiles are the interval. An event keeps its weight; the sum of weights of a resample is its own.
//! **Source**: B. Efron, R. Tibshirani, "An introduction to the bootstrap" (1993), chapters 6, 13.
//!
//! ```
//! use scout40_studies::bootstrap::{Options, Paired, Sample, paired_bootstrap};
//!
//! let background: Vec<i32> = (0..10_000).map(|k| k * 7919 % 10_007).collect();
//! let noisy: Vec<i32> = background.iter().map(|x| x * 31 % 10_007).collect();
//! let (first, second) = ([9_000, 9_990, 9_995, 9_999], [5_000, 4_000, 9_996, 9_000]);
//! let background = Paired::new(&[&background, &noisy])?;
//! let signal = Paired::new(&[&first, &second])?;
//! let options = Options {
//!     targets_khz: vec![10.0],
//!     collision_rate_hz: 1e6,
//!     resamples: 200,
//!     rng_seed: 1,
//! };
//! let result = paired_bootstrap(&background, &[signal], &options)?;
//! let better_by = result.difference(0, Sample::Mean, 0, 1, 0.95);
//! assert_eq!(better_by.value, 0.5);
//! assert!(better_by.low < better_by.value && better_by.value < better_by.high);
//! # Ok::<(), scout40_studies::Error>(())
//! ```
//!
//! This takes as long as drawing the numbers: `tail.rs` says why most of the background needs no more
//! than that. Resamples are dealt to the threads of the current rayon pool and have random streams of their
//! own, so the result does not depend on how many there are.

mod estimate;
mod paired;
mod tail;

use std::sync::OnceLock;

use rayon::prelude::*;

pub use estimate::{Bootstrap, Estimate, Sample};
pub use paired::Paired;
use tail::Tail;

use crate::error::{Error, check};
use crate::rate::CalibrateError;
use crate::rng::Stream;

/// What to ask of each resample, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Background rates at which efficiencies are compared, in kHz.
    pub targets_khz: Vec<f64>,
    /// Rate of colliding crossings.
    pub collision_rate_hz: f64,
    /// Number of resamples; at least 2.
    pub resamples: u32,
    /// Same seed, same result.
    pub rng_seed: u64,
}

/// Resamples a background and signals that several models have scored.
///
/// # Errors
/// Samples of different numbers of models, no signals, fewer than two resamples, and targets for
/// which the background is too small.
///
/// # Panics
/// Never: where the whole background is counted there is a threshold.
pub fn paired_bootstrap(
    background: &Paired,
    signals: &[Paired],
    options: &Options,
) -> Result<Bootstrap, Error> {
    check_samples(background, signals, options)?;
    let problem = Problem { background, signals, options };
    let step_khz = options.collision_rate_hz / background.n_events() as f64 / 1000.0;
    let highest_khz = options.targets_khz.iter().copied().fold(0.0, f64::max);
    let tail = problem.tail(highest_khz / step_khz, TAIL_SIGMAS);
    let complete = OnceLock::new();
    let complete = || complete.get_or_init(|| Tail::new(background, usize::MAX));
    let resampled: Vec<Vec<f64>> = (0..u64::from(options.resamples))
        .into_par_iter()
        .map(|number| {
            let in_tail = problem.resample(number, &tail);
            in_tail.or_else(|| problem.resample(number, complete())).expect("all is counted")
        })
        .collect();
    Ok(Bootstrap {
        n_signals: signals.len(),
        n_models: background.n_models(),
        observed: problem.observed(complete()),
        resampled,
    })
}

/// The tail has as many events as the target accepts and this many standard deviations more, so
/// that no resample ever has to be repeated.
const TAIL_SIGMAS: f64 = 10.0;

fn check_samples(background: &Paired, signals: &[Paired], options: &Options) -> Result<(), Error> {
    let expected = background.n_models();
    for signal in signals {
        if signal.n_models() != expected {
            let found = signal.n_models();
            return Err(Error::Length { what: "models of a signal", expected, found });
        }
    }
    if signals.is_empty() {
        return Err(Error::NoEvents { what: "signals" });
    }
    let resamples = f64::from(options.resamples);
    check(options.resamples >= 2, "resamples", "at least 2", resamples)?;
    if options.targets_khz.is_empty() {
        return Err(Error::NoEvents { what: "target rates" });
    }
    for &target_khz in &options.targets_khz {
        if !(target_khz > 0.0 && target_khz.is_finite()) {
            return Err(CalibrateError::Target { found: target_khz }.into());
        }
        let events = background.effective_events();
        let step_khz = options.collision_rate_hz / events / 1000.0;
        if step_khz > target_khz {
            let needed = (options.collision_rate_hz / 1000.0 / target_khz).ceil() as u64;
            let found = events as u64;
            return Err(CalibrateError::TooFew { target_khz, step_khz, needed, found }.into());
        }
    }
    Ok(())
}

/// What all resamples share.
struct Problem<'a> {
    background: &'a Paired,
    signals: &'a [Paired],
    options: &'a Options,
}

impl Problem<'_> {
    /// The part of the background that decides where about `n_accepted` events pass.
    fn tail(&self, n_accepted: f64, sigmas: f64) -> Tail {
        // The sum of weights of a resample needs all of them.
        let n_top = if self.background.is_weighted() {
            usize::MAX
        } else {
            (n_accepted + sigmas * (n_accepted.sqrt() + 1.0)) as usize + 1
        };
        Tail::new(self.background, n_top)
    }

    /// Efficiencies in the sample itself, `[target][signal, then their mean][model]`.
    fn observed(&self, complete: &Tail) -> Vec<f64> {
        let weight = |&event: &u32| self.background.weight(event as usize);
        let drawn: Vec<f64> = complete.events.iter().map(weight).collect();
        let thresholds = self.thresholds(complete, &drawn).expect("all is counted");
        self.efficiencies(&thresholds, None)
    }

    /// The same in a resample; `None` if a threshold may lie below the tail.
    fn resample(&self, number: u64, tail: &Tail) -> Option<Vec<f64>> {
        let mut stream = Stream::of(self.options.rng_seed, number);
        let n = self.background.n_events() as u64;
        let mut drawn = vec![0.0; tail.len];
        for _ in 0..n {
            if let Some(times) = drawn.get_mut(stream.below(n) as usize) {
                *times += 1.0;
            }
        }
        if self.background.is_weighted() {
            for (times, &event) in drawn.iter_mut().zip(&tail.events) {
                *times *= self.background.weight(event as usize);
            }
        }
        let thresholds = self.thresholds(tail, &drawn)?;
        Some(self.efficiencies(&thresholds, Some(&mut stream)))
    }

    /// `[target][model]`, from the weight that was drawn at each position of the tail.
    fn thresholds(&self, tail: &Tail, drawn: &[f64]) -> Option<Vec<i64>> {
        let total = if self.background.is_weighted() {
            drawn.iter().sum()
        } else {
            self.background.n_events() as f64
        };
        let khz_of_weight = self.options.collision_rate_hz / total / 1000.0;
        let mut thresholds = Vec::new();
        for &target_khz in &self.options.targets_khz {
            for model in 0..self.background.n_models() {
                let allowed = |accepted: f64| accepted * khz_of_weight <= target_khz;
                thresholds.push(tail.threshold(model, drawn, allowed)?);
            }
        }
        Some(thresholds)
    }

    /// Efficiencies and their mean over signals, of all events or of as many that are drawn.
    fn efficiencies(&self, thresholds: &[i64], mut stream: Option<&mut Stream>) -> Vec<f64> {
        let n_models = self.background.n_models();
        let (n_targets, n_rows) = (thresholds.len() / n_models, self.signals.len() + 1);
        let mut efficiencies = vec![0.0; n_targets * n_rows * n_models];
        let mut accepted = vec![0.0; thresholds.len()];
        for (row, signal) in self.signals.iter().enumerate() {
            let total = accept(signal, thresholds, stream.as_deref_mut(), &mut accepted);
            for target in 0..n_targets {
                for model in 0..n_models {
                    // A resample of events that weigh nothing has no efficiency: none is found.
                    let passed = accepted[target * n_models + model];
                    let efficiency = if total > 0.0 { passed / total } else { 0.0 };
                    let at = |row| (target * n_rows + row) * n_models + model;
                    efficiencies[at(row)] = efficiency;
                    efficiencies[at(n_rows - 1)] += efficiency / self.signals.len() as f64;
                }
            }
        }
        efficiencies
    }
}

/// Sums up the weights that pass each threshold (`[target][model]`) of all events, or of as many
/// that are drawn, and returns the sum of their weights.
fn accept(
    signal: &Paired,
    thresholds: &[i64],
    mut stream: Option<&mut Stream>,
    accepted: &mut [f64],
) -> f64 {
    accepted.fill(0.0);
    let n = signal.n_events();
    let mut total = 0.0;
    for event in 0..n {
        let event = stream.as_mut().map_or(event, |stream| stream.below(n as u64) as usize);
        let (weight, scores) = (signal.weight(event), signal.event(event));
        total += weight;
        let targets = thresholds.chunks_exact(scores.len());
        for (accepted, thresholds) in accepted.chunks_exact_mut(scores.len()).zip(targets) {
            for ((accepted, &threshold), &score) in accepted.iter_mut().zip(thresholds).zip(scores)
            {
                *accepted += if i64::from(score) >= threshold { weight } else { 0.0 };
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use scout40_models::Score;

    use super::*;
    use crate::roc::Roc;
    use crate::spectrum::Spectrum;

    /// A background of many ties, whose second model is related to the first, and two signals.
    fn samples(n_background: u64, n_signal: u64, weighted: bool) -> (Paired, Vec<Paired>) {
        let sample = |number: u64, n: u64, shift: i32| {
            let mut stream = Stream::of(99, number);
            let mut draw = |range: u64| stream.below(range) as Score;
            let common: Vec<Score> = (0..n).map(|_| draw(300) * draw(300) / 700).collect();
            let first: Vec<Score> = common.iter().map(|x| x + draw(20) + shift).collect();
            let second: Vec<Score> = common.iter().map(|x| -500 + x + draw(60) + shift).collect();
            if !weighted {
                return Paired::new(&[&first, &second]).unwrap();
            }
            // Eighths, so that sums are exact in any order.
            let weights: Vec<f64> = (0..n).map(|_| f64::from(draw(16)) / 8.0).collect();
            Paired::weighted(&[&first, &second], &weights).unwrap()
        };
        let signals = vec![sample(1, n_signal, 25), sample(2, n_signal + 7, 40)];
        (sample(0, n_background, 0), signals)
    }

    fn options(targets_khz: &[f64], resamples: u32) -> Options {
        let targets_khz = targets_khz.to_vec();
        Options { targets_khz, collision_rate_hz: 30.9e6, resamples, rng_seed: 7 }
    }

    fn spectrum(sample: &Paired, drawn: &[usize], model: usize) -> Spectrum {
        let scores: Vec<Score> = drawn.iter().map(|&event| sample.event(event)[model]).collect();
        let weights: Vec<f64> = drawn.iter().map(|&event| sample.weight(event)).collect();
        Spectrum::weighted(&scores, &weights).unwrap()
    }

    /// Draws whole resamples and asks their ROC curves: nothing is left out, nothing is shared.
    fn obvious(problem: &Problem, tail: &Tail, number: u64) -> Vec<f64> {
        let mut stream = Stream::of(problem.options.rng_seed, number);
        let n = problem.background.n_events() as u64;
        let event = |position: u64| tail.events[position as usize] as usize;
        let background: Vec<usize> = (0..n).map(|_| event(stream.below(n))).collect();
        let signals: Vec<Vec<usize>> = problem
            .signals
            .iter()
            .map(|signal| {
                let n = signal.n_events() as u64;
                (0..n).map(|_| stream.below(n) as usize).collect()
            })
            .collect();
        let mut efficiencies = Vec::new();
        for &target_khz in &problem.options.targets_khz {
            let mut mean = vec![0.0; problem.background.n_models()];
            for (signal, drawn) in problem.signals.iter().zip(&signals) {
                for (model, mean) in mean.iter_mut().enumerate() {
                    let background = spectrum(problem.background, &background, model);
                    let signal = spectrum(signal, drawn, model);
                    let roc = Roc::new(&background, &signal);
                    let collision_rate_hz = problem.options.collision_rate_hz;
                    let point = roc.at_rate(collision_rate_hz, target_khz).unwrap();
                    efficiencies.push(point.signal_efficiency.value);
                    *mean += point.signal_efficiency.value / signals.len() as f64;
                }
            }
            efficiencies.extend(mean);
        }
        efficiencies
    }

    #[test]
    fn resamples_are_those_of_the_obvious_way_bit_for_bit() {
        for weighted in [false, true] {
            let (background, signals) = samples(3000, 200, weighted);
            // Ten kHz per event, so that targets are met exactly.
            let options = Options { collision_rate_hz: 30e6, ..options(&[60.0, 500.0], 40) };
            let problem = Problem { background: &background, signals: &signals, options: &options };
            let result = paired_bootstrap(&background, &signals, &options).unwrap();
            let tail = problem.tail(500.0 / 10.0, TAIL_SIGMAS);
            assert_eq!(tail.is_complete(), weighted);
            for (number, found) in (0..).zip(&result.resampled) {
                assert_eq!(found, &obvious(&problem, &tail, number), "resample {number}");
            }
            assert!(result.resampled[0] != result.resampled[1]);
        }
    }

    #[test]
    fn a_tail_that_is_too_short_says_so_and_is_never_wrong() {
        let (background, signals) = samples(3000, 50, false);
        let options = options(&[500.0], 60);
        let problem = Problem { background: &background, signals: &signals, options: &options };
        // About as many events as are accepted, so that every other resample has to be repeated.
        let tail = problem.tail(500.0 / 10.3, 0.0);
        let short: Vec<_> = (0..60).map(|number| problem.resample(number, &tail)).collect();
        let refused = short.iter().filter(|resample| resample.is_none()).count();
        assert!((5..55).contains(&refused), "{refused}");
        for (number, found) in (0..).zip(short) {
            assert!(found.is_none_or(|found| found == obvious(&problem, &tail, number)));
        }
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let (background, signals) = samples(2000, 100, false);
        let options = options(&[100.0], 30);
        let run = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| paired_bootstrap(&background, &signals, &options).unwrap())
        };
        let one = run(1);
        assert_eq!(run(2), one);
        assert_eq!(run(5), one);
        let other = Options { rng_seed: 8, ..options.clone() };
        assert_ne!(paired_bootstrap(&background, &signals, &other).unwrap(), one);
    }

    #[test]
    fn a_model_compared_with_itself_differs_by_nothing() {
        let scores: Vec<Score> = (0..3000).map(|k| k % 1000).collect();
        let background = Paired::new(&[&scores, &scores]).unwrap();
        let signal = Paired::new(&[&scores[900..1100], &scores[900..1100]]).unwrap();
        let result = paired_bootstrap(&background, &[signal], &options(&[300.0], 50)).unwrap();
        let difference = result.difference(0, Sample::Signal(0), 0, 1, 0.9);
        let zero = Estimate { value: 0.0, standard_error: 0.0, low: 0.0, high: 0.0, undefined: 0 };
        assert_eq!(difference, zero);
        let ratio = result.ratio(0, Sample::Mean, 1, 0, 0.9);
        assert_eq!(ratio, Estimate { value: 1.0, low: 1.0, high: 1.0, ..zero });
        assert!(result.efficiency(0, Sample::Mean, 0, 0.9).standard_error > 0.0);
    }

    #[test]
    fn ratios_without_a_denominator_are_infinite_or_counted_as_undefined() {
        let scores: Vec<Score> = (0..1000).collect();
        let background = Paired::new(&[&scores, &scores]).unwrap();
        let signal = Paired::new(&[&[1500, 0], &[0, 0]]).unwrap();
        let result = paired_bootstrap(&background, &[signal], &options(&[100.0], 400)).unwrap();
        let ratio = result.ratio(0, Sample::Mean, 0, 1, 0.5);
        assert!(ratio.value.is_infinite() && ratio.standard_error.is_infinite());
        // Neither of two draws is the event that is found in one of four resamples: 100 ± 8.7.
        assert!((48..152).contains(&ratio.undefined), "{}", ratio.undefined);
    }

    #[test]
    fn what_cannot_be_resampled_is_refused() {
        let (background, signals) = samples(2000, 50, false);
        let refused = |background: &Paired, signals: &[Paired], options: &Options| {
            paired_bootstrap(background, signals, options).unwrap_err()
        };
        let good = options(&[100.0], 10);
        let one = Options { resamples: 1, ..good.clone() };
        assert!(matches!(refused(&background, &signals, &one), Error::Setting { .. }));
        let low = Options { targets_khz: vec![1.0], ..good.clone() };
        let error = refused(&background, &signals, &low);
        assert!(matches!(error, Error::Calibrate(CalibrateError::TooFew { needed: 30_900, .. })));
        assert!(matches!(refused(&background, &[], &good), Error::NoEvents { .. }));
        let single = Paired::new(&[&[1, 2]]).unwrap();
        assert!(matches!(refused(&background, &[single], &good), Error::Length { .. }));
        let lengths = Paired::new(&[&[1, 2], &[1]]).unwrap_err();
        assert!(matches!(lengths, Error::Length { expected: 2, found: 1, .. }));
        let nothing = Paired::weighted(&[&[1, 2]], &[0.0, 0.0]).unwrap_err();
        assert_eq!(nothing, Error::NoWeight { events: 2 });
    }
}
