//! How `study roc` is shown: one table for each quantity, models side by side; a CSV for everything else.

use std::fmt::Write as _;

use scout40_replay::lhc::FillingScheme;

use super::report::{aligned, quoted, short, signals_text};
use super::roc::{Contender, Results};
use crate::cli::output::grouped;
use crate::study::points::Measured;
use crate::study::roc::{Spread, TargetSummary};

/// Everything, as tables.
pub fn table(results: &Results, scheme: &FillingScheme) -> String {
    let mut text = format!(
        "collisions {:.3} MHz in {} slots ({})\n",
        scheme.collision_rate_hz() / 1e6,
        scheme.n_colliding(),
        scheme.name().escape_debug()
    );
    text += &signals_text(results.signals.iter().map(|(name, s)| (name.as_str(), s.n_events)));
    for contender in &results.contenders {
        text += &contender_text(contender);
    }
    let n_signals = results.signals.len();
    text += "\nAUROC\n";
    text += &rows(results, &|contender, k| {
        let x = contender.summary.auroc[k];
        // The spread of trainings, or what the events of one leave open.
        let error = x.std.or_else(|| contender.summary.auroc_error.get(k).copied());
        error.map_or(format!("{:.4}", x.mean), |error| format!("{:.4} +- {error:.4}", x.mean))
    });
    let prevalence = results.settings.prevalence;
    let _ = writeln!(text, "\naverage precision at a prevalence of {prevalence}");
    text += &rows(results, &|contender, k| spread(contender.summary.average_precision[k], 1.0));
    for (place, target) in results.settings.targets.iter().enumerate() {
        let _ = writeln!(text, "\nefficiency [%] at {}, 68 % intervals", target.name());
        text += &rows(results, &|contender, k| {
            let target = contender.summary.targets[place].as_ref();
            target.map_or("-".to_owned(), |at| efficiency(at, k, n_signals))
        });
        for contender in &results.contenders {
            text += &target_note(results, contender, place);
        }
    }
    text
}

fn contender_text(contender: &Contender) -> String {
    let n: Vec<u64> = contender.trainings.iter().map(|t| t.background.n_events).collect();
    let (least, most) = (n.iter().min().copied(), n.iter().max().copied());
    let tested = match (least.unwrap_or(0), most.unwrap_or(0)) {
        (least, most) if least == most => grouped(least),
        (least, most) => format!("{} to {}", grouped(least), grouped(most)),
    };
    let what = match contender.trainings.iter().any(|training| training.fold.is_some()) {
        true => format!("{} trainings, each", contender.trainings.len()),
        false => "as it is,".to_owned(),
    };
    let (name, recipe) = (contender.name.escape_debug(), contender.recipe.escape_debug());
    format!("model      {name}: {what} tested on {tested} background events: {recipe}\n")
}

/// Signals and their mean below each other, models side by side.
fn rows(results: &Results, cell: &dyn Fn(&Contender, usize) -> String) -> String {
    let escaped = |name: &str| name.escape_debug().to_string();
    let head = results.contenders.iter().map(|contender| escaped(&contender.name));
    let mut rows = vec![std::iter::once(String::new()).chain(head).collect::<Vec<_>>()];
    let names = results.signals.iter().map(|(name, _)| escaped(name));
    for (k, name) in names.chain(["mean".to_owned()]).enumerate() {
        let cells = results.contenders.iter().map(|contender| cell(contender, k));
        rows.push(std::iter::once(name).chain(cells).collect());
    }
    aligned(&rows)
}

fn spread(x: Spread, factor: f64) -> String {
    let mean = short(factor * x.mean);
    x.std.map_or(mean.clone(), |std| format!("{mean} +- {}", short(factor * std)))
}

fn efficiency(at: &TargetSummary, k: usize, n_signals: usize) -> String {
    let value = spread(at.efficiency[k], 100.0);
    if k == n_signals {
        return value;
    }
    let Measured { low, high, .. } = at.interval[k];
    format!("{value} ({} .. {})", short(100.0 * low), short(100.0 * high))
}

/// How well the threshold is known, or how many events it would need.
fn target_note(results: &Results, contender: &Contender, place: usize) -> String {
    let khz = results.settings.targets[place].khz(results.settings.collision_rate_hz);
    let fraction = khz * 1000.0 / results.settings.collision_rate_hz;
    let name = contender.name.escape_debug();
    match &contender.summary.targets[place] {
        Some(at) if at.n_accepted < 100.0 => format!(
            "note       {name}: a threshold rests on {:.1} background events, its rate is known to {:.0} %; \
             {:.2e} events would tell it to 10 %\n",
            at.n_accepted,
            100.0 / at.n_accepted.max(1.0).sqrt(),
            100.0 / fraction
        ),
        Some(_) => String::new(),
        None => format!(
            "note       {name}: no threshold, this rate needs at least {:.0} background events in each test\n",
            (1.0 / fraction).ceil()
        ),
    }
}

/// One line for each training, signal and target.
pub fn csv(results: &Results) -> String {
    let mut text = "model,fold,rng_seed,signal,auroc,auroc_error,average_precision,target,threshold,\
                    false_positive_rate,efficiency,efficiency_low,efficiency_high,efficiency_strict,\
                    efficiency_loose\n"
        .to_owned();
    for contender in &results.contenders {
        for training in &contender.trainings {
            let reached = &training.reached;
            for (k, (signal, _)) in results.signals.iter().enumerate() {
                for (target, at) in results.settings.targets.iter().zip(&reached.targets) {
                    let number = |x: Option<u64>| x.map_or(String::new(), |x| x.to_string());
                    let at = at.as_ref().map_or(",,,,,,".to_owned(), |at| {
                        let x = at.efficiency[k];
                        let strict =
                            at.efficiency_strict[k].map_or(String::new(), |x| x.to_string());
                        format!(
                            "{},{},{},{},{},{strict},{}",
                            at.threshold,
                            at.false_positive_rate.value,
                            x.value,
                            x.low,
                            x.high,
                            at.efficiency_loose[k]
                        )
                    });
                    // Writing to a string cannot fail.
                    let _ = writeln!(
                        text,
                        "{},{},{},{},{},{},{},{},{at}",
                        quoted(&contender.name),
                        number(training.fold.map(|fold| fold as u64)),
                        number(training.rng_seed),
                        quoted(signal),
                        reached.auroc[k],
                        reached.auroc_error[k],
                        reached.average_precision[k],
                        target.name()
                    );
                }
            }
        }
    }
    text
}
