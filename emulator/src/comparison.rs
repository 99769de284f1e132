//! Several models on the same events: which finds more signal at the same background rate, and is
//! the difference more than chance?
//!
//! All models score every event of a background and of signals. Events that any of them was trained
//! on are left out for all, so that they are compared on the same ones; so is signal that was injected into
//! the background. An autoencoder can bring
//! its **float twin**, the network as it was trained, as a model of its own: its scores are rounded to
//! the units of the integer score, in which both can be ordered and correlated.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use scout40_models::file::Content;
use scout40_models::{RowBuffer, Score};
use scout40_replay::event::Block;
use scout40_studies::bootstrap::{Bootstrap, Options, Paired, Sample, paired_bootstrap};
use scout40_studies::correlation::{pearson, spearman};
use scout40_studies::rate::ONE_SIGMA;
use scout40_studies::roc::Roc;
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use crate::batch::BATCH_MAX;
use crate::config::LoadedModel;
use crate::study::sample::{Request, Role, read};

/// What scores the events.
#[expect(missing_debug_implementations, reason = "a scorer has none")]
pub struct Contestant<'a> {
    /// As it is called in tables.
    pub name: String,
    /// The model.
    pub model: &'a LoadedModel,
    /// Whether it is the float twin of an autoencoder.
    pub is_float: bool,
}

/// A sample, scored by every contestant.
#[derive(Clone, Debug)]
pub struct Scored {
    /// What its stream says that it is.
    pub name: String,
    /// Digest of the stream.
    pub digest: String,
    /// Events left out because a model was trained on them.
    pub n_training: u64,
    /// Events left out because they were injected into the background.
    pub n_injected: u64,
    /// `[contestant][event]`.
    pub scores: Vec<Vec<Score>>,
}

impl Scored {
    /// Number of events.
    #[must_use]
    pub fn n_events(&self) -> usize {
        self.scores.first().map_or(0, Vec::len)
    }
}

/// Scores a stream with every contestant; `rows` are those to look at, none: all.
///
/// # Errors
/// A stream that cannot be used, has no index, has not so many rows, whose events have weights, or that holds no event
/// that may be looked at.
pub fn score_sample(
    path: &Path,
    role: Role,
    rows: Option<&Range<u64>>,
    contestants: &[Contestant],
    progress: &mut dyn FnMut(u64),
) -> Result<Scored> {
    let models: Vec<&LoadedModel> = contestants.iter().map(|c| c.model).collect();
    let request = Request { rows, not_trained_on: &models, ..Request::new(path, role) };
    let mut sample = None;
    let mut scores = Vec::with_capacity(contestants.len());
    for contestant in contestants {
        let mut kept = Vec::new();
        let mut float = FloatTwin::of(contestant);
        sample = Some(read(&request, Some(contestant.model), &mut |events| {
            match &mut float {
                Some(twin) => {
                    let scores = twin.scores(events.block);
                    kept.extend(events.kept.iter().map(|&event| scores[event]));
                }
                None => kept.extend_from_slice(events.scores),
            }
            progress(events.block.len() as u64);
            Ok(())
        })?);
        scores.push(kept);
    }
    let sample = sample.context("expected a model to compare, found none")?;
    ensure!(
        !sample.is_weighted,
        "events of `{}` have weights, which a paired bootstrap would have to draw by\n\
         hint: `study roc` and `study rate` take weights",
        path.display()
    );
    Ok(Scored {
        name: sample.name,
        digest: sample.digest,
        n_training: sample.n_left_out_as_trained_on,
        n_injected: sample.n_left_out_as_injected,
        scores,
    })
}

/// Evaluates the network in floating point, event by event.
struct FloatTwin<'a> {
    model: &'a LoadedModel,
    /// Scores in units of the integer ones.
    scores: Vec<Score>,
    rows: RowBuffer,
}

impl<'a> FloatTwin<'a> {
    /// The twin, if that is what is asked for.
    fn of(contestant: &Contestant<'a>) -> Option<FloatTwin<'a>> {
        let model = contestant.model;
        let rows = RowBuffer::new(model.scorer.n_features());
        contestant.is_float.then_some(FloatTwin { model, scores: Vec::new(), rows })
    }

    fn scores(&mut self, block: &Block) -> &[Score] {
        self.scores.clear();
        let Content::Autoencoder(autoencoder) = self.model.model.content() else {
            // Only autoencoders have twins; the command line asks for no others.
            return &self.scores;
        };
        let unit = 2_f32.powi(autoencoder.integer.parts().score_bits.into());
        let mut row = vec![0; self.model.scorer.n_features()];
        for first in (0..block.len()).step_by(BATCH_MAX) {
            let range = first..block.len().min(first + BATCH_MAX);
            self.rows.set_len(range.len());
            self.model.plan.fill(block, range.clone(), &mut self.rows, 0);
            for event in 0..range.len() {
                let value = |(feature, x): (usize, &mut i16)| {
                    *x = self.rows.column(feature)[event];
                };
                row.iter_mut().enumerate().for_each(value);
                // Saturates where no integer score could follow.
                self.scores.push((autoencoder.float.score(&row) * unit).round() as Score);
            }
        }
        &self.scores
    }
}

/// A number with its 68.27 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A model at a background rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtRate {
    /// Rate that was asked for.
    pub rate_khz: f64,
    /// Accept iff score >= threshold, in the model's integers.
    pub threshold: Score,
    /// Efficiency of each signal, with Clopper–Pearson intervals.
    pub efficiency: Vec<Measured>,
    /// Their mean, with its interval over resamples.
    pub mean: Measured,
    /// Efficiency over that of the first model: each signal, then the mean. Intervals are of the
    /// paired bootstrap.
    pub ratio_to_first: Vec<Measured>,
}

/// What a model reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// The model.
    pub model: String,
    /// Area under the ROC curve, for each signal.
    pub auroc: Vec<f64>,
    /// At each rate.
    pub rates: Vec<AtRate>,
}

/// How a float twin and its integer network agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The integer network.
    pub model: String,
    /// Spearman's rank correlation: of the background, then of each signal; none where a score
    /// never varies.
    pub rank_correlation: Vec<Option<f64>>,
    /// Pearson's correlation of the scores.
    pub correlation: Vec<Option<f64>>,
    /// Efficiency of the integer network over that of its twin: for each rate, each signal, then the
    /// mean. Intervals are of the paired bootstrap.
    pub ratio: Vec<Vec<Measured>>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Names of the signals.
    pub signals: Vec<String>,
    /// One for each contestant.
    pub models: Vec<Reached>,
    /// One for each float twin.
    pub twins: Vec<Agreement>,
}

/// Compares the models.
///
/// # Errors
/// A background that is too small for a rate, and settings that cannot be.
pub fn compare(
    contestants: &[Contestant],
    background: &Scored,
    signals: &[Scored],
    options: &Options,
) -> Result<Comparison> {
    let paired = |sample: &Scored| {
        let lists: Vec<&[Score]> = sample.scores.iter().map(Vec::as_slice).collect();
        Paired::new(&lists)
    };
    let paired_signals = signals.iter().map(paired).collect::<Result<Vec<_>, _>>()?;
    let bootstrap = paired_bootstrap(&paired(background)?, &paired_signals, options)?;
    let mut models = Vec::new();
    let mut twins = Vec::new();
    for (k, contestant) in contestants.iter().enumerate() {
        models.push(reached(contestant, k, background, signals, options, &bootstrap)?);
        if contestant.is_float {
            // A twin stands right after its integer network.
            twins.push(agreement(
                &contestants[k - 1].name,
                k,
                background,
                signals,
                options,
                &bootstrap,
            )?);
        }
    }
    Ok(Comparison { signals: signals.iter().map(|s| s.name.clone()).collect(), models, twins })
}

/// Each signal, then the mean.
fn samples(signals: &[Scored]) -> impl Iterator<Item = Sample> {
    (0..signals.len()).map(Sample::Signal).chain([Sample::Mean])
}

fn reached(
    contestant: &Contestant,
    k: usize,
    background: &Scored,
    signals: &[Scored],
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Reached> {
    let background = Spectrum::of(&background.scores[k])?;
    let spectra =
        signals.iter().map(|s| Spectrum::of(&s.scores[k])).collect::<Result<Vec<_>, _>>()?;
    let rate = |(target, &rate_khz): (usize, &f64)| -> Result<AtRate> {
        let threshold = background.threshold_for_rate(options.collision_rate_hz, rate_khz)?;
        let efficiency = |spectrum: &Spectrum| {
            let found = spectrum.efficiency(threshold);
            Measured { value: found.value, low: found.low, high: found.high }
        };
        let mean = bootstrap.efficiency(target, Sample::Mean, k, ONE_SIGMA);
        let ratio = |of| measured(bootstrap.ratio(target, of, k, 0, ONE_SIGMA));
        Ok(AtRate {
            rate_khz,
            threshold,
            efficiency: spectra.iter().map(efficiency).collect(),
            mean: measured(mean),
            ratio_to_first: samples(signals).map(ratio).collect(),
        })
    };
    Ok(Reached {
        model: contestant.name.clone(),
        auroc: spectra.iter().map(|signal| Roc::new(&background, signal).auroc()).collect(),
        rates: options.targets_khz.iter().enumerate().map(rate).collect::<Result<_>>()?,
    })
}

fn agreement(
    model: &str,
    k: usize,
    background: &Scored,
    signals: &[Scored],
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Agreement> {
    let all = || std::iter::once(background).chain(signals);
    // Lists are of the same length, so it fails only where a score never varies.
    let correlations = |f: fn(&[Score], &[Score]) -> Result<f64, scout40_studies::Error>| {
        all().map(|s| f(&s.scores[k - 1], &s.scores[k]).ok()).collect()
    };
    let ratios = |target| {
        let ratio = |of| measured(bootstrap.ratio(target, of, k - 1, k, ONE_SIGMA));
        samples(signals).map(ratio).collect()
    };
    Ok(Agreement {
        model: model.to_owned(),
        rank_correlation: correlations(spearman),
        correlation: correlations(pearson),
        ratio: (0..options.targets_khz.len()).map(ratios).collect(),
    })
}

fn measured(estimate: scout40_studies::bootstrap::Estimate) -> Measured {
    Measured { value: estimate.value, low: estimate.low, high: estimate.high }
}
