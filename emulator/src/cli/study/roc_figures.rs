//! The figures of `study roc`: for each model ROC and precision-recall curves, means over trainings with the
//! standard deviation as a band; for all models the mean over signals.

use scout40_studies::plot::{Axis, Plot};

use super::report::Outputs;
use super::roc::{Contender, Results};
use crate::study::roc::{Spread, false_positive_rates, recalls};

/// Writes all of them.
pub fn write(outputs: &mut Outputs, results: &Results) {
    for contender in &results.contenders {
        outputs.figure(&format!("roc {}", contender.name), Ok(roc(results, contender)));
        outputs.figure(&format!("pr {}", contender.name), Ok(precision_recall(results, contender)));
    }
    if results.contenders.len() > 1 {
        outputs.figure("roc mean", Ok(mean(results)));
    }
}

fn note(contender: &Contender) -> String {
    let n = contender.trainings.len();
    let trainings = if n == 1 { String::new() } else { format!("mean of {n} trainings, ") };
    let events = contender.trainings.first().map_or(0, |training| training.background.n_events);
    format!("{trainings}{events} background events")
}

/// Axes of a ROC curve: from where curves begin.
fn axes(results: &Results, title: &str) -> Plot {
    let worth =
        results.contenders.iter().flat_map(|c| &c.trainings).map(|t| t.reached.n_background);
    let lowest = 1.0 / worth.fold(10.0, f64::max);
    let x = Axis::log("False positive rate").range(lowest, 1.0);
    // Less than one event of a signal is nothing that was seen.
    let n_signal = results.signals.iter().map(|(_, sample)| sample.n_events).max().unwrap_or(10);
    let y = Axis::log("Signal efficiency").range(0.5 / n_signal.max(10) as f64, 1.2);
    let mut plot = Plot::new(title, x, y);
    for target in &results.settings.targets {
        let khz = target.khz(results.settings.collision_rate_hz);
        let fraction = khz * 1000.0 / results.settings.collision_rate_hz;
        if (lowest..=1.0).contains(&fraction) {
            let name = target.name().replace("false positive rate ", "");
            plot = plot.mark_x(fraction, &name);
        }
    }
    plot
}

/// A curve with its band, from the values of trainings at each x.
fn curve(plot: Plot, name: &str, points: impl Iterator<Item = (f64, Vec<f64>)>) -> Plot {
    let (mut band, mut line) = (Vec::new(), Vec::new());
    for (x, values) in points {
        let Some(Spread { mean, std }) = Spread::of(&values).filter(|spread| spread.mean > 0.0)
        else {
            continue;
        };
        line.push((x, mean));
        let std = std.unwrap_or(0.0);
        // A log axis shows nothing below zero.
        band.push((x, (mean - std).max(mean / 100.0), mean + std));
    }
    plot.band(name, &band).line(name, &line)
}

fn roc(results: &Results, contender: &Contender) -> Plot {
    let plot = axes(results, &contender.name).note(&note(contender));
    results.signals.iter().enumerate().fold(plot, |plot, (signal, (name, _))| {
        let at = |(place, x): (usize, f64)| {
            let of = contender.trainings.iter().filter_map(|t| t.reached.roc[signal][place]);
            (x, of.collect())
        };
        curve(plot, name, false_positive_rates().into_iter().enumerate().map(at))
    })
}

fn precision_recall(results: &Results, contender: &Contender) -> Plot {
    let y = Axis::log("Precision");
    let title = format!("{}, prevalence {}", contender.name, results.settings.prevalence);
    let plot = Plot::new(&title, Axis::linear("Recall").range(0.0, 1.0), y).note(&note(contender));
    results.signals.iter().enumerate().fold(plot, |plot, (signal, (name, _))| {
        let at = |(place, x): (usize, f64)| {
            let of = contender.trainings.iter().map(|t| t.reached.precision[signal][place]);
            (x, of.collect())
        };
        curve(plot, name, recalls().into_iter().enumerate().map(at))
    })
}

/// Mean over signals of each model.
fn mean(results: &Results) -> Plot {
    let title = format!("Mean of {} signals", results.signals.len());
    results.contenders.iter().fold(axes(results, &title), |plot, contender| {
        let at = |(place, x): (usize, f64)| {
            let of = contender.trainings.iter().filter_map(|training| {
                let values = training.reached.roc.iter().map(|roc| roc[place]);
                let values: Option<Vec<f64>> = values.collect();
                values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
            });
            (x, of.collect())
        };
        curve(plot, &contender.name, false_positive_rates().into_iter().enumerate().map(at))
    })
}
