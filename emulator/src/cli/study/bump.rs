//! `scout40 study bump`: is there a bump on the falling spectrum of what the trigger accepts?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use scout40_studies::Error;
use scout40_studies::bump::{Elsewhere, Scanned, Spectrum as Counts};
use scout40_studies::nplm::null::{empirical_p_value, z_from_p};
#[cfg(feature = "plot")]
use scout40_studies::plot::{Axis, Plot, PlotError};
use scout40_studies::rate::Interval;
#[cfg(feature = "plot")]
use scout40_studies::rate::{ONE_SIGMA, garwood};
use serde_json::json;

use super::inputs::ToyOutputArgs;
use super::peak::PeakArgs;
use super::report::TOOL;
use crate::cli::engine::EngineArgs;
use crate::cli::output::{print, progress_bar};
use crate::cli::parse;
use crate::config::{LoadedModel, UsageError};
use crate::observables::{Observable, Selection, select};
use crate::study::sample::{Request, Role, spectrum};

/// Scans a spectrum for a Gaussian bump.
///
/// A smooth background alone is compared with background and a Gaussian of fixed width at each mean of the scan, by
/// the extended likelihood ratio of Poisson counts or, with `--unbinned`, of the events themselves. Toys of the fitted
/// background tell how often a fluctuation anywhere in the scan is as large (the look-elsewhere effect).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # dijet masses of the 5 % strangest crossings, with a signal put in
  scout40 study bump --model ae.model --input zb.s40 --accept 0.05 --inject leptoquark.s40 --fraction 0.002 \\
      --range 100..900 --bins 40 --width 60 -o bump
  # the same, event by event
  scout40 study bump --model ae.model --input zb.s40 --accept 0.05 --width 60 --unbinned
  # counts from a table with the columns low,high,count
  scout40 study bump --counts spectrum.csv --width 20 --background-shape exponential:3")]
pub struct BumpArgs {
    /// Counts: a CSV with a header and the columns low edge, high edge, count
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = [
        "model", "input", "inject", "fraction", "accept", "observable", "range", "bins", "unbinned", "isa", "plan",
    ])]
    counts: Option<PathBuf>,
    /// The model that accepts events
    #[arg(long, value_name = "M.model", required_unless_present = "counts")]
    model: Option<PathBuf>,
    /// The events
    #[arg(long, value_name = "D.s40", required_unless_present = "counts")]
    input: Option<PathBuf>,
    /// A signal to put in
    #[arg(long, value_name = "S.s40", requires = "fraction")]
    inject: Option<PathBuf>,
    /// Into which fraction of the crossings
    #[arg(long, value_name = "FRACTION", requires = "inject", value_parser = parse::between(0.0, 1.0))]
    fraction: Option<f64>,
    /// Part of the crossings that the cut on the score accepts
    #[arg(long, default_value_t = 0.05, value_name = "FRACTION", value_parser = parse::fraction)]
    accept: f64,
    /// What the spectrum is of: `score`, or an observable: `dijet_mass`, `dimuon_mass`, `ht`, `met`,
    /// `jet0_pt`, `jet_n30`, ... (another name lists them)
    #[arg(long, default_value = "dijet_mass", value_parser = Observable::from_name, value_name = "NAME")]
    observable: Observable,
    #[command(flatten)]
    peak: PeakArgs,
    /// Standard deviation of the bump
    #[arg(long, value_name = "SIGMA", value_parser = parse::positive)]
    width: f64,
    /// Toys for the look-elsewhere effect
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    toys: u64,
    /// Seed of the toys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    output: ToyOutputArgs,
}

/// Up to here each whole number is a number in floating point of its own.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

/// What toys of the background alone say of the largest q₀.
struct Global {
    toys: usize,
    /// Toys whose fits failed. They might have been anything: they count as larger.
    failed: usize,
    counted: Interval,
    /// None where too many failed.
    elsewhere: Option<Elsewhere>,
}

pub fn run(args: &BumpArgs) -> Result<()> {
    let (spectrum, input) = match &args.counts {
        Some(path) => from_table(path)?,
        None => from_events(args)?,
    };
    let scan = args.peak.scan(spectrum.edges(), args.width)?;
    let scanned = scan.run(&spectrum)?;
    let configuration = json!({
        "input": input, "edges": spectrum.edges(), "counts": spectrum.counts(), "width": args.width,
        "means": [scan.means[0], scan.means[scan.means.len() - 1], scan.means.len()],
        "background": format!("{:?}", scan.background), "unbinned": args.peak.unbinned, "rng_seed": args.seed,
    });
    let (mut journal, outputs) = args.output.open(&configuration)?;
    let bar = progress_bar(args.toys, "toys");
    let toy = |number| scan.toy(&spectrum, &scanned.null, args.seed, number);
    let mut toys = journal.run("null", args.toys, toy, || bar.inc(1))?;
    bar.finish_and_clear();
    let failed = toys.iter().filter(|q0| q0.is_nan()).count();
    toys.iter_mut().filter(|q0| q0.is_nan()).for_each(|q0| *q0 = f64::INFINITY);
    let elsewhere = match Elsewhere::fit(&toys, args.seed) {
        Err(Error::ToysFailed { .. }) => None,
        found => Some(found?),
    };
    let global = Global {
        toys: toys.len(),
        failed,
        counted: empirical_p_value(&toys, scanned.largest_q0()),
        elsewhere,
    };
    let text = table(&scanned, &spectrum, &global);
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let hypotheses: Vec<_> = scanned
        .hypotheses
        .iter()
        .map(|h| json!({ "mean": h.mean, "signal": h.signal, "signal_error": h.signal_error, "q0": h.q0 }))
        .collect();
    let (p, elsewhere) = (&global.counted, global.elsewhere.as_ref());
    let report = json!({
        "tool": TOOL, "study": "bump",
        "configuration": configuration, "coefficients": scanned.null.coefficients,
        "deviance": scanned.null.deviance, "expected": scanned.null.expected,
        "pulls": scanned.pulls(&spectrum), "hypotheses": hypotheses,
        "global_p_value": [p.value, p.low, p.high], "toys": global.toys, "toys_not_converged": failed,
        "upcrossings": elsewhere.map(|e| e.upcrossings),
        "upcrossings_error": elsewhere.map(|e| e.upcrossings_error),
        "upcrossings_ks_p_value": elsewhere.map(|e| e.ks_p_value),
        "global_p_value_extrapolated": elsewhere.map(|e| e.p_value(scanned.largest_q0())),
    });
    outputs.write(&report, &csv(&scanned))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    outputs.figure("spectrum", figure(args, &spectrum, &scanned));
    print(&text)?;
    print(&outputs.text())
}

fn from_table(path: &Path) -> Result<(Counts, serde_json::Value)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("while reading the counts `{}`", path.display()))?;
    let (mut edges, mut counts) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let refuse = |expected: &str| {
            let (file, number) = (path.display(), number + 1);
            anyhow!("`{file}`, line {number}: expected {expected}, found `{line}`")
        };
        let numbers: Result<Vec<f64>, _> =
            line.split(',').map(|word| word.trim().parse()).collect();
        if number == 0 {
            // Not to lose a bin where there is no header.
            ensure!(numbers.is_err(), refuse("a header such as `low,high,count`"));
            continue;
        }
        let Ok([low, high, count]) = numbers.as_deref() else {
            return Err(refuse("three numbers: low edge, high edge, count"));
        };
        let begins = edges.last().is_none_or(|last: &f64| last.to_bits() == low.to_bits());
        ensure!(begins, refuse("a bin that begins where the one before ends"));
        // What is fitted are Poisson counts, and toys of them: a sum of weights has another likelihood.
        let is_count = *count >= 0.0 && count.fract() == 0.0 && *count <= COUNT_MAX;
        ensure!(is_count, refuse("a count of events, a whole number"));
        if edges.is_empty() {
            edges.push(*low);
        }
        edges.push(*high);
        counts.push(*count);
    }
    let attempt = || format!("while reading the counts `{}`", path.display());
    let spectrum = Counts::new(&edges, &counts).with_context(attempt)?;
    Ok((spectrum, json!({ "counts": path.display().to_string() })))
}

fn from_events(args: &BumpArgs) -> Result<(Counts, serde_json::Value)> {
    let missing = || UsageError("give `--model` and `--input`, or `--counts`".to_owned());
    let (model_path, input) =
        args.model.as_deref().zip(args.input.as_deref()).ok_or_else(missing)?;
    // What cannot be scanned is refused before streams are scored.
    args.peak.scan(&args.peak.edges()?, args.width)?;
    let model = LoadedModel::read(model_path, args.engine.into())?;
    let bar = progress_bar(0, "scoring");
    let background = Request::new(input, Role::Background);
    let (_, scores) = spectrum(&background, Some(&model), None, &mut |n| bar.inc(n))?;
    let threshold = scores.threshold_for_fraction(args.accept)?;
    let observables = std::slice::from_ref(&args.observable);
    let selection = Selection { model: &model, observables, threshold };
    let data = select(input, Role::Background, &selection, &mut |n| bar.inc(n))?;
    ensure!(
        !data.is_weighted,
        "events of `{}` have weights, so that counts of them are not those of a Poisson process\n\
         hint: `study nplm` takes weights",
        input.display()
    );
    let mut values = data.sample.columns[0].clone();
    let mut injected = 0;
    if let (Some(path), Some(fraction)) = (&args.inject, args.fraction) {
        let signal = select(path, Role::Signal, &selection, &mut |n| bar.inc(n))?;
        ensure!(
            !signal.is_weighted,
            "events of `{}` have weights, so that the first of them are no sample of it\n\
             hint: `study nplm` takes weights",
            path.display()
        );
        injected = (fraction * data.n_events as f64 * signal.efficiency()).round() as usize;
        let signal = &signal.sample.columns[0];
        if injected > signal.len() {
            let text = format!(
                "`{}` has {} accepted events, {injected} are needed\nhint: a smaller --fraction",
                path.display(),
                signal.len()
            );
            return Err(UsageError(text).into());
        }
        values.extend_from_slice(&signal[..injected]);
    }
    bar.finish_and_clear();
    let record = json!({
        "model": model_path.display().to_string(), "input": input.display().to_string(),
        "digest": data.digest, "n_events": data.n_events, "accept": args.accept, "threshold_raw": threshold,
        "observable": args.observable.name(), "inject": args.inject.as_ref().map(|p| p.display().to_string()),
        "fraction": args.fraction, "injected_events": injected,
    });
    let edges = args.peak.edges()?;
    let spectrum = match args.peak.unbinned {
        true => Counts::unbinned(&edges, &values),
        false => Counts::counted(&edges, &values),
    };
    let attempt = || format!("while filling the spectrum of {}", args.observable.name());
    Ok((spectrum.with_context(attempt)?, record))
}

fn table(scanned: &Scanned, spectrum: &Counts, global: &Global) -> String {
    let bins = spectrum.counts().len();
    let total: f64 = spectrum.counts().iter().sum();
    let (low, high) = (spectrum.edges()[0], spectrum.edges()[bins]);
    let mut text = if spectrum.is_unbinned() {
        let squares: f64 = scanned.pulls(spectrum).iter().map(|pull| pull * pull).sum();
        format!(
            "spectrum   {total:.0} events from {low} to {high}, one by one\n\
             background alone: pulls of {bins} bins squared sum to {squares:.1}\n"
        )
    } else {
        format!(
            "spectrum   {total:.0} events in {bins} bins from {low} to {high}\n\
             background alone: deviance {:.1} for {} degrees of freedom\n",
            scanned.null.deviance,
            bins - scanned.null.coefficients.len()
        )
    };
    let Some((best, _)) = &scanned.best else {
        return text + "no mean has more events than the background\n";
    };
    let Global { toys, failed, counted: p, elsewhere } = global;
    let limit = if p.value == 0.0 { "> " } else { "" };
    let z = z_from_p(p.value.max(1.0 / *toys as f64));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "largest    at {:.1}: {:.0} ± {:.0} signal events, local Z {:.2}\n\
         global     p-value {:.4} ({:.4} .. {:.4}) from {toys} toys, Z {limit}{z:.2}",
        best.mean,
        best.signal,
        best.signal_error,
        best.z_local(),
        p.value,
        p.low,
        p.high
    );
    match elsewhere {
        Some(elsewhere) => {
            let _ = writeln!(
                text,
                "beyond     p-value {:.2e}, Z {:.2}, of {:.1} ± {:.1} upward crossings of the level 0 \
                 (fitted to the toys, KS p-value {:.2})",
                elsewhere.p_value(best.q0),
                elsewhere.z_score(best.q0),
                elsewhere.upcrossings,
                elsewhere.upcrossings_error,
                elsewhere.ks_p_value
            );
            if elsewhere.ks_p_value < 0.01 {
                text += "note       crossings do not describe the toys: trust their number only\n";
            }
        }
        None => text += "beyond     unknown: too many fits of toys failed\n",
    }
    if *failed > 0 {
        let _ = writeln!(
            text,
            "note       fits of {failed} toys did not converge: they count as larger"
        );
    }
    text
}

fn csv(scanned: &Scanned) -> String {
    let mut text = "mean,signal,signal_error,q0,z_local\n".to_owned();
    for h in &scanned.hypotheses {
        let _ =
            writeln!(text, "{},{},{},{},{}", h.mean, h.signal, h.signal_error, h.q0, h.z_local());
    }
    text
}

#[cfg(feature = "plot")]
fn figure(args: &BumpArgs, spectrum: &Counts, scanned: &Scanned) -> Result<Plot, PlotError> {
    let (name, unit) = match args.counts {
        Some(_) => ("x".to_owned(), ""),
        None => (args.observable.label(), args.observable.unit()),
    };
    let x = Axis::linear(&name);
    let x = if unit.is_empty() { x } else { x.unit(unit) };
    let edges = spectrum.edges();
    let interval = |&n: &f64| garwood(n as u64, ONE_SIGMA);
    let exact = |value: f64| Interval { value, low: value, high: value };
    let mut plot = Plot::new("Search for a bump", x, Axis::log("Events per bin")).steps(
        "data",
        edges,
        &spectrum.counts().iter().map(interval).collect::<Vec<_>>(),
    );
    let of = |expected: &[f64]| expected.iter().map(|&nu| exact(nu)).collect::<Vec<_>>();
    plot = plot.steps("background alone", edges, &of(&scanned.null.expected));
    if let Some((best, fit)) = &scanned.best {
        plot = plot.note(&format!("local Z {:.2} at {:.0}", best.z_local(), best.mean)).steps(
            "background and bump",
            edges,
            &of(&fit.expected),
        );
    }
    let pulls: Vec<Interval> = scanned.pulls(spectrum).into_iter().map(exact).collect();
    Ok(plot.lower(Axis::linear("Pull")).steps("background alone", edges, &pulls).mark_y(0.0, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_counts_are_read_and_gaps_refused_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.csv");
        std::fs::write(&path, "low,high,count\n0,1,5\n1,3,7\n3,4,1\n4,5,0\n").unwrap();
        let (spectrum, _) = from_table(&path).unwrap();
        assert_eq!(spectrum.edges(), [0.0, 1.0, 3.0, 4.0, 5.0]);
        assert_eq!(spectrum.counts(), [5.0, 7.0, 1.0, 0.0]);
        std::fs::write(&path, "low,high,count\n0,1,5\n2,3,7\n").unwrap();
        assert!(from_table(&path).unwrap_err().to_string().contains("line 3"));
        std::fs::write(&path, "low,high,count\n0,1\n").unwrap();
        assert!(from_table(&path).unwrap_err().to_string().contains("three numbers"));
    }

    #[test]
    fn what_is_no_count_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.csv");
        for bad in ["3.5", "-1", "nan", "inf", "1e300"] {
            let text = format!("low,high,count\n0,1,5\n\n1,2,{bad}\n2,3,1\n3,4,1\n");
            std::fs::write(&path, text).unwrap();
            let error = from_table(&path).unwrap_err();
            assert!(error.to_string().contains("line 4: expected a count"), "{error}");
            assert!(!error.is::<UsageError>());
        }
        std::fs::write(&path, "0,1,5\n1,2,5\n2,3,5\n3,4,5\n4,5,5\n").unwrap();
        let error = from_table(&path).unwrap_err().to_string();
        assert!(error.contains("line 1: expected a header"), "{error}");
    }
}
