//! `scout40 study nplm` and `study power`: would new physics be noticed in what the trigger accepts?

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use scout40_studies::nplm::kernel::KernelConfig;
use scout40_studies::nplm::network::NetworkConfig;
use scout40_studies::nplm::{Benchmark, EXP1D, Pool, Sample, Scaling, pairwise_distance};
use serde::Serialize;
use serde_json::{Value, json};

use super::inputs::{ToyOutputArgs, each_once};
#[cfg(feature = "plot")]
use super::nplm_figures;
use super::nplm_text::{csv, table};
use super::peak::PeakArgs;
use super::report::TOOL;
use crate::cli::engine::EngineArgs;
use crate::cli::output::{print, progress_bar};
use crate::cli::parse;
use crate::config::{LoadedModel, UsageError};
use crate::new_physics::{Norm, Outcome, Settings, Source, Test, run as run_toys};
use crate::observables::{Observable, Selected, Selection, select};
use crate::study::sample::{Request, Role, spectrum};

/// Tests accepted events for any deviation from a reference (New Physics Learning Machine).
///
/// Cuts on a model's score, divides the accepted background at random into data and reference, puts signal
/// into the data, and asks how significant the difference is: as a function of the injected fraction of
/// crossings, with medians and 68 % bands over toys. No signal is assumed by the test. With
/// `--benchmark` data come from published densities instead.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # the published 1-D example: null dof 9.58, median Z 2.43, 2.82, 3.04
  scout40 study nplm --benchmark exp1d --null-toys 300 --toys 100 -o exp1d
  # the trigger: which fraction of crossings with signal would be noticed?
  scout40 study nplm --model ae.model --background zb.s40 --signal SVJ.s40 Ato4l.s40 \\
      --accept 0.02 --exposure 50000 --observables dijet_mass score --strengths 1e-4,1e-3,1e-2 -o trigger
  # the expected number of events is known to 5 %
  scout40 study nplm --model ae.model --background zb.s40 --signal SVJ.s40 --accept 0.02 \\
      --test network --norm-error 0.05 --observables score --strengths 1e-3,1e-2")]
pub struct NplmArgs {
    #[command(flatten)]
    study: ToyArgs,
    /// Size of the data: crossings, or a factor of the benchmark's; default: 1 for a benchmark, a tenth of the
    /// background otherwise
    #[arg(long, value_name = "X", value_parser = parse::positive)]
    exposure: Option<f64>,
}

/// Distribution of a test over toys, for each exposure and strength of a signal.
///
/// The table tells how often each exposure would show each strength with 2 and 5 standard deviations.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # how long must one measure? A counting experiment beside the kernel test
  scout40 study power --benchmark exp1d --test count --exposures 1,2,4,8 --strengths 0.5,1,2
  scout40 study power --model ae.model --background zb.s40 --signal SVJ.s40 --accept 0.02 \\
      --exposures 10000,30000,100000 --strengths 1e-3,3e-3 -o power
  # a search for a bump of 60 GeV on dijet masses instead
  scout40 study power --model ae.model --background zb.s40 --signal leptoquark.s40 --observables dijet_mass \\
      --test bump --width 60 --exposures 10000,30000 --strengths 3e-3,1e-2")]
pub struct PowerArgs {
    #[command(flatten)]
    study: ToyArgs,
    /// Sizes of the data, each once: crossings, or factors of the benchmark's
    #[arg(long, required = true, value_delimiter = ',', value_name = "X,...", value_parser = parse::positive)]
    exposures: Vec<f64>,
}

#[derive(Args, Debug)]
struct ToyArgs {
    /// The published densities instead of streams
    #[arg(long, value_enum, conflicts_with_all = [
        "model", "background", "reference", "signal", "accept", "observables", "isa", "plan",
    ])]
    benchmark: Option<BenchmarkName>,
    /// The model that accepts events
    #[arg(long, value_name = "M.model", required_unless_present = "benchmark")]
    model: Option<PathBuf>,
    /// The background: data and, without `--reference`, reference
    #[arg(long, value_name = "B.s40", required_unless_present = "benchmark")]
    background: Option<PathBuf>,
    /// Where the reference is drawn from
    #[arg(long, value_name = "R.s40", requires = "background")]
    reference: Option<PathBuf>,
    /// The signals
    #[arg(long, num_args = 1.., value_name = "S.s40", required_unless_present = "benchmark")]
    signal: Vec<PathBuf>,
    /// Part of the background's crossings that the cut on the score accepts
    #[arg(long, default_value_t = 0.05, value_name = "FRACTION", value_parser = parse::fraction)]
    accept: f64,
    /// What to look at, each by a test of its own: `score`, or an observable: `dijet_mass`, `ht`, `met`,
    /// `jet0_pt`, ... (another name lists them); `a+b` for both in one test. Each test once
    #[arg(long, num_args = 1.., default_values = ["dijet_mass", "score"], value_name = "NAME")]
    observables: Vec<String>,
    /// Injected fractions of crossings, or factors of the benchmark's signal, each once
    #[arg(long, value_delimiter = ',', value_name = "X,...", value_parser = parse::positive)]
    strengths: Vec<f64>,
    /// Events of the reference; default: all that the data leave
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    reference_events: Option<u32>,
    /// The test
    #[arg(long, value_enum, default_value = "kernel")]
    test: TestName,
    #[command(flatten)]
    peak: PeakArgs,
    /// Standard deviation of the bump that `--test bump` looks for
    #[arg(long, value_name = "SIGMA", required_if_eq("test", "bump"), value_parser = parse::positive)]
    width: Option<f64>,
    /// Width of the Gaussians of the kernel test; default: the 90 % quantile of distances between reference
    /// events (exp1d: 0.3)
    #[arg(long, value_name = "SIGMA", value_parser = parse::positive)]
    sigma: Option<f64>,
    /// Number of centres of the kernel test [default: 3000]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..))]
    centres: Option<u32>,
    /// Penalty of the kernel test [default: 1e-10]
    #[arg(long, value_name = "LAMBDA", value_parser = parse::positive)]
    lambda: Option<f64>,
    /// Steps of the network's training; the published toys took 300000, of which the last 200000 add 0.2 to t
    /// [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    epochs: Option<u32>,
    /// Uncertainty of the expected number of events, 0.05 for 5 %: a nuisance parameter of the network test
    #[arg(long, value_name = "FRACTION", value_parser = parse::fraction)]
    norm_error: Option<f64>,
    /// Makes the data of all toys e^X times as many as expected, to see what becomes of a test
    // e^5 is beyond anything that is still called an uncertainty.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_name = "X",
          value_parser = parse::between(-5.0, 5.0))]
    norm_shift: f64,
    /// Toys without signal; at least 10
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    null_toys: u64,
    /// Toys with each signal and strength
    #[arg(long, default_value_t = 100, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    toys: u64,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    output: ToyOutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchmarkName {
    /// EPJC 82 (2022) 879, appendix C
    Exp1d,
    /// `example_1D` of `NPLM_package`
    NplmPackage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TestName {
    /// Logistic regression with Gaussian kernels
    Kernel,
    /// A network of four sigmoids
    Network,
    /// The number of events alone
    Count,
    /// A bump on the spectrum: the largest likelihood ratio of a scan, as `study bump` has it
    Bump,
}

/// What `STEM.json` holds: enough to do it again.
#[derive(Serialize)]
struct Report<'a> {
    tool: &'static str,
    study: &'static str,
    configuration: &'a Value,
    outcomes: &'a [(String, Outcome)],
}

/// Name of a list of observables, sources of the signals by name, and the test.
type OneTest = (String, Vec<(String, Source)>, Test);

/// Sources for each list of observables, and what the report says of them.
struct Prepared {
    tests: Vec<OneTest>,
    record: Value,
    default_exposure: f64,
    /// What an exposure and a strength are.
    units: [&'static str; 2],
}

pub fn run_nplm(args: &NplmArgs) -> Result<()> {
    let prepared = prepare(&args.study)?;
    let exposure = args.exposure.unwrap_or(prepared.default_exposure);
    run(&args.study, prepared, vec![exposure], "nplm")
}

pub fn run_power(args: &PowerArgs) -> Result<()> {
    each_once("--exposures", &args.exposures)?;
    run(&args.study, prepare(&args.study)?, args.exposures.clone(), "power")
}

fn run(args: &ToyArgs, prepared: Prepared, exposures: Vec<f64>, study: &'static str) -> Result<()> {
    let mut strengths = args.strengths.clone();
    if strengths.is_empty() {
        strengths = if args.benchmark.is_some() { vec![1.0] } else { vec![1e-3, 1e-2] };
    }
    strengths.sort_by(f64::total_cmp);
    let norm = Norm { error: args.norm_error, shift: args.norm_shift };
    let configuration = json!({
        "input": prepared.record, "observables": args.observables, "exposures": exposures,
        "strengths": strengths, "units": prepared.units,
        "reference_events": args.reference_events, "test": format!("{:?}", args.test),
        "settings": prepared.tests.iter().map(|(_, _, test)| format!("{test:?}")).collect::<Vec<_>>(),
        "norm_error": norm.error, "norm_shift": norm.shift,
        "null_toys": args.null_toys, "toys": args.toys, "rng_seed": args.seed,
    });
    // Toys may be added: their number is no part of what a toy is.
    let mut of_toys = configuration.clone();
    for key in ["null_toys", "toys", "units"] {
        of_toys[key] = Value::Null;
    }
    let (mut journal, outputs) = args.output.open(&of_toys)?;
    let n_signals: u64 = prepared.tests.iter().map(|(_, sources, _)| sources.len() as u64).sum();
    let n_tests = prepared.tests.len() as u64;
    let per_exposure = n_tests * args.null_toys + n_signals * strengths.len() as u64 * args.toys;
    let bar = progress_bar(exposures.len() as u64 * per_exposure, "toys");
    let mut outcomes = Vec::new();
    for (name, sources, test) in prepared.tests {
        let settings = Settings {
            dof: match &test {
                Test::Kernel(_) | Test::Bump { .. } => None,
                Test::Network(config) => Some(config.n_parameters(name.split('+').count()) as f64),
                Test::Count => Some(1.0),
            },
            test,
            norm,
            exposures: exposures.clone(),
            strengths: strengths.clone(),
            null_toys: args.null_toys,
            toys: args.toys,
            rng_seed: args.seed,
        };
        outcomes.push((
            name.clone(),
            run_toys(&name, &sources, &settings, &mut journal, &|| bar.inc(1))?,
        ));
    }
    bar.finish_and_clear();
    let text = norm_line(norm) + &table(&outcomes, prepared.units);
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else { return print(&text) };
    let report = Report { tool: TOOL, study, configuration: &configuration, outcomes: &outcomes };
    outputs.write(&report, &csv(&outcomes))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    nplm_figures::write(&mut outputs, &outcomes, prepared.units);
    print(&text)?;
    print(&outputs.text())
}

/// Options of one test beside another would say nothing; clap knows no conflict with a value.
fn check_options(args: &ToyArgs) -> Result<()> {
    let given = [
        (TestName::Kernel, "--sigma", args.sigma.is_some()),
        (TestName::Kernel, "--centres", args.centres.is_some()),
        (TestName::Kernel, "--lambda", args.lambda.is_some()),
        (TestName::Network, "--epochs", args.epochs.is_some()),
        (TestName::Network, "--norm-error", args.norm_error.is_some()),
        (TestName::Bump, "--width", args.width.is_some()),
    ];
    let of_peak = args.peak.given().map(|(option, is_given)| (TestName::Bump, option, is_given));
    let mut wrong = given.into_iter().chain(of_peak);
    match wrong.find(|(test, _, is_given)| *is_given && *test != args.test) {
        Some((test, option, _)) => {
            let [test, asked] = [test, args.test].map(|test| {
                test.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
            });
            let text = format!(
                "`{option}` belongs to `--test {test}` and does nothing with `--test {asked}`\n\
                 hint: leave it out, or add `--test {test}`"
            );
            Err(UsageError(text).into())
        }
        None => Ok(()),
    }
}

/// `a+b` and `b+a` are one test, and `a+a` has no more to look at than `a`.
fn each_once_in_any_order(lists: &[String]) -> Result<()> {
    let sorted = |list: &String| {
        let mut names: Vec<&str> = list.split('+').collect();
        each_once("--observables", &names)?;
        names.sort_unstable();
        Ok(names.join("+"))
    };
    each_once("--observables", &lists.iter().map(sorted).collect::<Result<Vec<_>>>()?)
}

/// What the table says of the norm; nothing where nothing was asked.
fn norm_line(norm: Norm) -> String {
    let known = norm.error.map_or("taken as exact".to_owned(), |error| {
        format!("known to {:.3} %, fitted with the data", 100.0 * error)
    });
    let factor = norm.shift.exp();
    if norm == Norm::default() {
        String::new()
    } else {
        format!("norm       {known}; the data are {factor:.4} times what is expected\n")
    }
}

fn prepare(args: &ToyArgs) -> Result<Prepared> {
    // Wrong options are refused before streams are scored.
    check_options(args)?;
    each_once("--strengths", &args.strengths)?;
    each_once_in_any_order(&args.observables)?;
    match args.benchmark {
        Some(benchmark) => prepare_benchmark(args, benchmark),
        None => prepare_events(args),
    }
}

fn test(args: &ToyArgs, sigma: f64) -> Result<Test> {
    Ok(match args.test {
        TestName::Kernel => {
            let centres = args.centres.unwrap_or(3000) as usize;
            Test::Kernel(KernelConfig::published(sigma, centres, args.lambda.unwrap_or(1e-10)))
        }
        TestName::Network => {
            let epochs = args.epochs.unwrap_or(100_000);
            Test::Network(NetworkConfig { epochs, ..NetworkConfig::published() })
        }
        TestName::Count => Test::Count,
        TestName::Bump => {
            let missing = || UsageError("`--test bump` needs `--width`".to_owned());
            let (edges, width) = (args.peak.edges()?, args.width.ok_or_else(missing)?);
            let scan = args.peak.scan(&edges, width)?;
            Test::Bump { scan, edges, unbinned: args.peak.unbinned }
        }
    })
}

fn prepare_benchmark(args: &ToyArgs, benchmark: BenchmarkName) -> Result<Prepared> {
    let sized = |benchmark: Benchmark| {
        let n = args.reference_events.unwrap_or(benchmark.n_reference);
        Source::Benchmark(Benchmark { n_reference: n, ..benchmark })
    };
    let (sources, sigma): (Vec<_>, f64) = match benchmark {
        BenchmarkName::Exp1d => {
            let source =
                |(k, name): (usize, &&str)| ((*name).to_owned(), sized(Benchmark::exp1d(k)));
            (EXP1D.iter().enumerate().map(source).collect(), 0.3)
        }
        // The same distances, of another scale.
        BenchmarkName::NplmPackage => {
            (vec![("peak".to_owned(), sized(Benchmark::nplm_package()))], 2.4)
        }
    };
    Ok(Prepared {
        tests: vec![("x".to_owned(), sources, test(args, args.sigma.unwrap_or(sigma))?)],
        record: json!({ "benchmark": format!("{benchmark:?}") }),
        default_exposure: 1.0,
        units: ["of the published data", "of the published signal"],
    })
}

fn prepare_events(args: &ToyArgs) -> Result<Prepared> {
    let missing =
        || UsageError("give `--model`, `--background` and `--signal`, or `--benchmark`".to_owned());
    let (model_path, background_path) =
        args.model.as_deref().zip(args.background.as_deref()).ok_or_else(missing)?;
    let lists = args
        .observables
        .iter()
        .map(|list| list.split('+').map(Observable::from_name).collect::<Result<Vec<_>, _>>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| UsageError(format!("observable: {error}")))?;
    if args.test == TestName::Bump
        && let Some(list) = args.observables.iter().find(|list| list.contains('+'))
    {
        let text = format!("`--test bump` looks at one observable, found `{list}`");
        return Err(UsageError(text).into());
    }
    let all: Vec<Observable> = lists.iter().flatten().cloned().collect();
    let model = LoadedModel::read(model_path, args.engine.into())?;
    let bar = progress_bar(0, "scoring");
    let request = Request::new(background_path, Role::Background);
    let (_, scores) = spectrum(&request, Some(&model), None, &mut |n| bar.inc(n))?;
    let threshold = scores.threshold_for_fraction(args.accept)?;
    let selection = Selection { model: &model, observables: &all, threshold };
    let read = |path: &Path, role| select(path, role, &selection, &mut |n| bar.inc(n));
    let background = read(background_path, Role::Background)?;
    let reference = args.reference.as_deref().map(|p| read(p, Role::Background)).transpose()?;
    let signals =
        args.signal.iter().map(|path| read(path, Role::Signal)).collect::<Result<Vec<_>>>()?;
    bar.finish_and_clear();
    let sample_record = |path: &Path, s: &Selected| {
        json!({ "path": path.display().to_string(), "name": s.name, "digest": s.digest,
                "n_events": s.n_events, "n_accepted": s.sample.len() })
    };
    let record = json!({
        "model": model_path.display().to_string(), "model_digest": format!("{:016x}", model.model.digest()),
        "accept": args.accept, "threshold_raw": threshold,
        "background": sample_record(background_path, &background),
        "reference": args.reference.as_deref().zip(reference.as_ref()).map(|(p, s)| sample_record(p, s)),
        "signals": args.signal.iter().zip(&signals).map(|(p, s)| sample_record(p, s)).collect::<Vec<_>>(),
    });
    let tests = tests(args, &lists, &background, reference.as_ref(), &signals)?;
    let default_exposure = (background.n_events / 10) as f64;
    Ok(Prepared { tests, record, default_exposure, units: ["crossings", "of crossings"] })
}

/// A test for each list of observables; the columns of the samples are theirs, one list after the other.
fn tests(
    args: &ToyArgs,
    lists: &[Vec<Observable>],
    background: &Selected,
    reference: Option<&Selected>,
    signals: &[Selected],
) -> Result<Vec<OneTest>> {
    let mut tests = Vec::new();
    let mut first = 0;
    for (name, list) in args.observables.iter().zip(lists) {
        let part = |sample: &Sample| Sample {
            columns: sample.columns[first..first + list.len()].to_vec(),
            weights: sample.weights.clone(),
        };
        let mut pool = part(&background.sample);
        let mut of_reference = reference.map(|selected| part(&selected.sample));
        // A bump is looked for where it is.
        let scaling = match args.test {
            TestName::Bump => None,
            _ => Some(Scaling::of(of_reference.as_ref().unwrap_or(&pool))?),
        };
        let scale = |sample: &mut Sample| scaling.iter().for_each(|scaling| scaling.apply(sample));
        scale(&mut pool);
        of_reference.iter_mut().for_each(scale);
        let sigma = match args.sigma {
            Some(sigma) => sigma,
            // Nobody asks.
            None if args.test != TestName::Kernel => 1.0,
            None => pairwise_distance(of_reference.as_ref().unwrap_or(&pool), 0.9, args.seed)?,
        };
        let mut sources = Vec::new();
        for signal in signals {
            let mut sample = part(&signal.sample);
            scale(&mut sample);
            let pool = Pool {
                background: pool.clone(),
                reference: of_reference.clone(),
                signal: sample,
                n_expected: 1.0,
                norm: 0.0,
                n_reference: 1,
            };
            sources.push((
                signal.name.clone(),
                Source::Events {
                    pool: Box::new(pool),
                    background_efficiency: background.efficiency(),
                    signal_efficiency: signal.efficiency(),
                    n_reference: args.reference_events.map(|n| n as usize),
                },
            ));
        }
        tests.push((name.clone(), sources, test(args, sigma)?));
        first += list.len();
    }
    Ok(tests)
}
