//! A comparison as figures: efficiency against background rate, and integers against floating point.

use anyhow::Result;
use scout40_models::Score;
use scout40_studies::bootstrap::Options;
use scout40_studies::plot::{Axis, Plot};
use scout40_studies::spectrum::Spectrum;

use super::report::Outputs;
use crate::comparison::{Contestant, Scored};

/// Points of a curve.
const N_POINTS: usize = 80;
/// Curves end at this part of the rate of collisions.
const MAX_FRACTION: f64 = 0.1;

/// Writes all figures as SVG and PNG.
pub fn write(
    outputs: &mut Outputs,
    contestants: &[Contestant],
    background: &Scored,
    signals: &[Scored],
    options: &Options,
) {
    match figures(contestants, background, signals, options) {
        Ok(figures) => figures.into_iter().for_each(|(name, plot)| outputs.figure(&name, Ok(plot))),
        Err(error) => eprintln!("note: no figures: {error}"),
    }
}

/// Names and figures: efficiencies of each signal and of their mean, then twins.
fn figures(
    contestants: &[Contestant],
    background: &Scored,
    signals: &[Scored],
    options: &Options,
) -> Result<Vec<(String, Plot)>> {
    let rates = rates_khz(background, options);
    // `[model][rate]`, here and below.
    let mut thresholds: Vec<Vec<Score>> = Vec::with_capacity(contestants.len());
    for scores in &background.scores {
        let spectrum = Spectrum::of(scores)?;
        let threshold = |&khz: &f64| spectrum.threshold_for_rate(options.collision_rate_hz, khz);
        thresholds.push(rates.iter().map(threshold).collect::<Result<_, _>>()?);
    }
    let mut figures = Vec::new();
    let mut sums = vec![vec![0.0; rates.len()]; contestants.len()];
    for signal in signals {
        let mut plot = figure(&signal.name, background, options);
        for (k, contestant) in contestants.iter().enumerate() {
            let spectrum = Spectrum::of(&signal.scores[k])?;
            let efficiencies =
                thresholds[k].iter().map(|&threshold| spectrum.efficiency(threshold));
            let curve: Vec<_> = rates.iter().copied().zip(efficiencies).collect();
            sums[k].iter_mut().zip(&curve).for_each(|(sum, (_, y))| *sum += y.value);
            plot = plot.curve(&contestant.name, &curve);
        }
        figures.push((signal.name.clone(), plot));
    }
    let mut plot = figure(&format!("Mean of {} signals", signals.len()), background, options);
    for (contestant, sums) in contestants.iter().zip(&sums) {
        let mean = |(&x, sum): (&f64, &f64)| (x, sum / signals.len() as f64);
        let line: Vec<_> = rates.iter().zip(sums).map(mean).collect();
        plot = plot.line(&contestant.name, &line);
    }
    figures.push(("mean".to_owned(), plot));
    for (k, contestant) in contestants.iter().enumerate().filter(|(_, c)| c.is_float) {
        figures.push((contestant.name.clone(), twin(contestant, k, background)));
    }
    Ok(figures)
}

fn figure(title: &str, background: &Scored, options: &Options) -> Plot {
    let x = Axis::log("Background rate").unit("kHz");
    let note = format!("{}: {} events", background.name, background.n_events());
    let mut plot = Plot::new(title, x, Axis::log("Signal efficiency")).note(&note);
    for rate_khz in &options.targets_khz {
        plot = plot.mark_x(*rate_khz, &format!("{rate_khz} kHz"));
    }
    plot
}

/// From a few events to a part of all.
fn rates_khz(background: &Scored, options: &Options) -> Vec<f64> {
    let collisions_khz = options.collision_rate_hz / 1000.0;
    let from = 3.0 * collisions_khz / background.n_events() as f64;
    let to = (MAX_FRACTION * collisions_khz).max(2.0 * from).min(collisions_khz);
    let step = (to / from).ln() / (N_POINTS - 1) as f64;
    (0..N_POINTS).map(|k| from * (step * k as f64).exp()).collect()
}

/// Scores in floating point against those in integers.
fn twin(twin: &Contestant, k: usize, background: &Scored) -> Plot {
    // A twin stands right after its integer network. Zeros have no logarithm.
    let (integers, floats) = (&background.scores[k - 1], &background.scores[k]);
    let display = |score: i32| twin.model.scorer.display(score.max(1));
    let point = |(&float, &integer): (&i32, &i32)| (display(float), display(integer));
    let points: Vec<_> = floats.iter().zip(integers).map(point).collect();
    Plot::new(&twin.name, Axis::log("Score in floating point"), Axis::log("Score in integers"))
        .note(&format!("{}: {} events", background.name, background.n_events()))
        .density("Events", &points)
}
