//! `scout40 study bump`: is there a bump on the falling spectrum of what the trigger accepts?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use scout40_models::file::write_whole;
use scout40_studies::bump::{Background, Scan, Scanned, Spectrum as Counts};
use scout40_studies::nplm::null::{empirical_p_value, z_from_p};
use scout40_studies::nplm::toys::Journal;
use scout40_studies::observable::Histogram;
#[cfg(feature = "plot")]
use scout40_studies::plot::{Axis, Plot, Saved};
#[cfg(feature = "plot")]
use scout40_studies::rate::{Interval, ONE_SIGMA, garwood};
use scout40_studies::spectrum::Spectrum;
use serde_json::json;

use crate::cli::engine::EngineArgs;
use crate::cli::output::{appended, print, progress_bar, refuse_overwrite};
use crate::comparison::Role;
use crate::config::{LoadedModel, UsageError};
use crate::observables::{Observable, Selection, background_scores, select};

/// Scans a spectrum for a Gaussian bump.
///
/// A smooth background alone is compared with background and a Gaussian of fixed width at each mean of the scan, by
/// the likelihood ratio of Poisson counts. Toys of the fitted background tell how often a fluctuation anywhere in the
/// scan is as large (the look-elsewhere effect).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # dijet masses of the 5 % strangest crossings, with a signal put in
  scout40 study bump --model ae.model --input zb.s40 --accept 0.05 --inject leptoquark.s40 --fraction 0.002 \\
      --range 100..900 --bins 40 --width 60 -o bump
  # counts from a table with the columns low,high,count
  scout40 study bump --counts spectrum.csv --width 20 --background-shape exponential:3")]
pub struct BumpArgs {
    /// Counts: a CSV with a header and the columns low edge, high edge, count
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["model", "input"])]
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
    #[arg(long, value_name = "FRACTION", requires = "inject")]
    fraction: Option<f64>,
    /// Part of the crossings that the cut on the score accepts
    #[arg(long, default_value_t = 0.05, value_name = "FRACTION")]
    accept: f64,
    /// What the spectrum is of: `score`, or an observable: `dijet_mass`, `dimuon_mass`, `ht`, `met`,
    /// `jet0_pt`, `jet_n30`, ... (another name lists them)
    #[arg(long, default_value = "dijet_mass", value_parser = Observable::from_name, value_name = "NAME")]
    observable: Observable,
    /// Range of the spectrum
    #[arg(long, default_value = "100..900", value_parser = range, value_name = "LOW..HIGH")]
    range: (f64, f64),
    /// Number of bins
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(4..=100_000))]
    bins: u32,
    /// Standard deviation of the bump
    #[arg(long, value_name = "SIGMA")]
    width: f64,
    /// Means to scan; default: the range without one width at its ends
    #[arg(long, value_parser = range, value_name = "LOW..HIGH")]
    scan: Option<(f64, f64)>,
    /// `exponential:N` (a polynomial of degree N in the exponent) or `polynomial:N`
    #[arg(long, default_value = "exponential:3", value_parser = shape, value_name = "SHAPE")]
    background_shape: Background,
    /// Toys for the look-elsewhere effect
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    toys: u64,
    /// Seed of the toys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    engine: EngineArgs,
    /// Write `STEM.json`, `STEM.csv` and a figure, and toys as they end to `STEM.toys`
    #[arg(short, long, value_name = "STEM")]
    output: Option<PathBuf>,
    /// Go on from `STEM.toys`
    #[arg(long, requires = "output")]
    resume: bool,
    /// Overwrite the outputs
    #[arg(long)]
    force: bool,
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let expected = || format!("expected a range such as `100..900`, found `{text}`");
    let (low, high) = text.split_once("..").ok_or_else(expected)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| expected());
    let (low, high) = (number(low)?, number(high)?);
    if low < high && low.is_finite() && high.is_finite() {
        Ok((low, high))
    } else {
        Err(expected())
    }
}

fn shape(text: &str) -> Result<Background, String> {
    let expected =
        || format!("expected `exponential:N` or `polynomial:N`, N from 0 to 10, found `{text}`");
    let (kind, degree) = text.split_once(':').ok_or_else(expected)?;
    let degree = degree.parse().ok().filter(|n| *n <= 10).ok_or_else(expected)?;
    match kind {
        "exponential" => Ok(Background::Exponential { degree }),
        "polynomial" => Ok(Background::Polynomial { degree }),
        _ => Err(expected()),
    }
}

pub fn run(args: &BumpArgs) -> Result<()> {
    let (edges, counts, input) = match &args.counts {
        Some(path) => from_table(path)?,
        None => from_events(args)?,
    };
    let spectrum = Counts::new(&edges, &counts)?;
    let ends = (edges[0], edges[edges.len() - 1]);
    let (low, high) = args.scan.unwrap_or((ends.0 + args.width, ends.1 - args.width));
    let scan = Scan::new(args.background_shape, low, high, args.width)?;
    let scanned = scan.run(&spectrum)?;
    let configuration = json!({
        "input": input, "edges": edges, "counts": counts, "width": args.width, "scan": [low, high],
        "background": format!("{:?}", args.background_shape), "rng_seed": args.seed,
    });
    let mut journal = match &args.output {
        None => Journal::in_memory(),
        Some(stem) if args.resume => {
            Journal::resume(&appended(stem, ".toys"), &configuration.to_string())?
        }
        Some(stem) => {
            for ending in [".toys", ".json", ".csv"] {
                refuse_overwrite(&appended(stem, ending), args.force)?;
            }
            Journal::create(&appended(stem, ".toys"), &configuration.to_string())?
        }
    };
    let bar = progress_bar(args.toys, "toys");
    let toy = |number| scan.toy(&spectrum, &scanned.null.expected, args.seed, number);
    let toys = journal.run("null", args.toys, toy, || bar.inc(1))?;
    bar.finish_and_clear();
    let failed = toys.iter().filter(|q0| q0.is_nan()).count();
    // A toy whose fit failed might have been anything: it counts as larger.
    let counted: Vec<f64> =
        toys.iter().map(|q| if q.is_nan() { f64::INFINITY } else { *q }).collect();
    let p = empirical_p_value(&counted, scanned.largest_q0());
    let text = table(&scanned, &spectrum, &counted, failed);
    let Some(stem) = &args.output else { return print(&text) };
    let hypotheses: Vec<_> = scanned
        .hypotheses
        .iter()
        .map(|h| json!({ "mean": h.mean, "signal": h.signal, "signal_error": h.signal_error, "q0": h.q0 }))
        .collect();
    let report = json!({
        "tool": concat!("scout40 ", env!("CARGO_PKG_VERSION")), "study": "bump",
        "configuration": configuration, "coefficients": scanned.null.coefficients,
        "deviance": scanned.null.deviance, "expected": scanned.null.expected,
        "pulls": scanned.pulls(&spectrum), "hypotheses": hypotheses,
        "global_p_value": [p.value, p.low, p.high], "toys": toys.len(), "toys_not_converged": failed,
    });
    let json = serde_json::to_string_pretty(&report)? + "\n";
    write_whole(&appended(stem, ".json"), json.as_bytes(), "writing the report")?;
    write_whole(&appended(stem, ".csv"), csv(&scanned).as_bytes(), "writing the report")?;
    #[cfg(feature = "plot")]
    figure(args, stem, &spectrum, &scanned);
    print(&text)?;
    print(&format!("written    {}.json, .csv, figure beside\n", stem.display()))
}

/// Edges, counts and where they are from.
type Table = (Vec<f64>, Vec<f64>, serde_json::Value);

fn from_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("while reading the counts `{}`", path.display()))?;
    let (mut edges, mut counts) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        let refuse = |expected: &str| {
            let text = format!(
                "`{}`, line {}: expected {expected}, found `{line}`",
                path.display(),
                number + 1
            );
            UsageError(text)
        };
        let numbers: Result<Vec<f64>, _> =
            line.split(',').map(|word| word.trim().parse()).collect();
        let Ok([low, high, count]) = numbers.as_deref() else {
            return Err(refuse("three numbers: low edge, high edge, count").into());
        };
        if edges.last().is_some_and(|last: &f64| last.to_bits() != low.to_bits()) {
            return Err(refuse("a bin that begins where the one before ends").into());
        }
        if edges.is_empty() {
            edges.push(*low);
        }
        edges.push(*high);
        counts.push(*count);
    }
    Ok((edges, counts, json!({ "counts": path.display().to_string() })))
}

fn from_events(args: &BumpArgs) -> Result<Table> {
    let missing = || UsageError("give `--model` and `--input`, or `--counts`".to_owned());
    let (model_path, input) =
        args.model.as_deref().zip(args.input.as_deref()).ok_or_else(missing)?;
    let model = LoadedModel::read(model_path, args.engine.into())?;
    let bar = progress_bar(0, "scoring");
    let spectrum = Spectrum::of(&background_scores(input, &model, &mut |n| bar.inc(n))?)?;
    let threshold = spectrum.threshold_for_fraction(args.accept)?;
    let observables = std::slice::from_ref(&args.observable);
    let selection = Selection { model: &model, observables, threshold };
    let data = select(input, Role::Background, &selection, &mut |n| bar.inc(n))?;
    let mut histogram = Histogram::uniform(args.bins, args.range.0, args.range.1)?;
    histogram.fill(&data.sample.columns[0])?;
    let mut injected = 0;
    if let (Some(path), Some(fraction)) = (&args.inject, args.fraction) {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(UsageError(format!("--fraction: expected 0 to 1, found {fraction}")).into());
        }
        let signal = select(path, Role::Signal, &selection, &mut |n| bar.inc(n))?;
        injected = (fraction * data.n_events as f64 * signal.efficiency()).round() as usize;
        let values = &signal.sample.columns[0];
        if injected > values.len() {
            let text = format!(
                "`{}` has {} accepted events, {injected} are needed\nhint: a smaller --fraction",
                path.display(),
                values.len()
            );
            return Err(UsageError(text).into());
        }
        histogram.fill(&values[..injected])?;
    }
    bar.finish_and_clear();
    let contents = histogram.contents();
    let counts = contents[1..contents.len() - 1].iter().map(|content| content.weight).collect();
    let record = json!({
        "model": model_path.display().to_string(), "input": input.display().to_string(),
        "digest": data.digest, "n_events": data.n_events, "accept": args.accept, "threshold_raw": threshold,
        "observable": args.observable.name(), "inject": args.inject.as_ref().map(|p| p.display().to_string()),
        "fraction": args.fraction, "injected_events": injected,
    });
    Ok((histogram.edges().to_vec(), counts, record))
}

fn table(scanned: &Scanned, spectrum: &Counts, toys: &[f64], failed: usize) -> String {
    let mut text = String::new();
    let bins = spectrum.counts().len();
    let dof = bins - scanned.null.coefficients.len();
    let total: f64 = spectrum.counts().iter().sum();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "spectrum   {total:.0} events in {bins} bins from {} to {}\n\
         background alone: deviance {:.1} for {dof} degrees of freedom",
        spectrum.edges()[0],
        spectrum.edges()[bins],
        scanned.null.deviance
    );
    let Some((best, _)) = &scanned.best else {
        return text + "no mean has more events than the background\n";
    };
    let p = empirical_p_value(toys, best.q0);
    let limit = if p.value == 0.0 { "> " } else { "" };
    let global = z_from_p(p.value.max(1.0 / toys.len() as f64));
    let _ = writeln!(
        text,
        "largest    at {:.1}: {:.0} ± {:.0} signal events, local Z {:.2}\n\
         global     p-value {:.4} ({:.4} .. {:.4}) from {} toys, Z {limit}{global:.2}",
        best.mean,
        best.signal,
        best.signal_error,
        best.z_local(),
        p.value,
        p.low,
        p.high,
        toys.len()
    );
    if failed > 0 {
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
fn figure(args: &BumpArgs, stem: &Path, spectrum: &Counts, scanned: &Scanned) {
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
    let plot =
        plot.lower(Axis::linear("Pull")).steps("background alone", edges, &pulls).mark_y(0.0, "");
    let files = Saved::of(stem);
    let force = args.force || args.resume;
    let saved = refuse_overwrite(&files.svg, force)
        .and_then(|()| refuse_overwrite(&files.png, force))
        .and_then(|()| Ok(plot.save(stem)?));
    if let Err(error) = saved {
        eprintln!("note: no figure `{}`: {error}", stem.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_ranges_are_read() {
        assert_eq!(shape("exponential:3"), Ok(Background::Exponential { degree: 3 }));
        assert_eq!(shape("polynomial:0"), Ok(Background::Polynomial { degree: 0 }));
        for bad in ["", "exponential", "cubic:3", "polynomial:11", "polynomial:-1"] {
            assert!(shape(bad).is_err(), "{bad}");
        }
        assert_eq!(range("100..900.5"), Ok((100.0, 900.5)));
        for bad in ["", "5", "5..5", "9..1", "a..b", "nan..1"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_of_counts_are_read_and_gaps_refused_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.csv");
        std::fs::write(&path, "low,high,count\n0,1,5\n1,3,7\n").unwrap();
        let (edges, counts, _) = from_table(&path).unwrap();
        assert_eq!((edges, counts), (vec![0.0, 1.0, 3.0], vec![5.0, 7.0]));
        std::fs::write(&path, "low,high,count\n0,1,5\n2,3,7\n").unwrap();
        assert!(from_table(&path).unwrap_err().to_string().contains("line 3"));
        std::fs::write(&path, "low,high,count\n0,1\n").unwrap();
        assert!(from_table(&path).unwrap_err().to_string().contains("three numbers"));
    }
}
