//! `scout40 study tune`: which hyper-parameters find most, and at what cost.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use scout40_replay::source::FileSource;
use scout40_studies::spectrum::Spectrum;
use serde::{Deserialize, Serialize};

use super::inputs::{
    BackgroundArgs, OutputArgs, SchemeArgs, SignalArgs, scored, scored_signal, targets_khz,
    tell_of_new_journal,
};
use super::report::{TOOL, aligned, quoted, row, short};
use crate::cli::engine::EngineArgs;
use crate::cli::output::{print, progress_bar};
use crate::cli::parse;
use crate::cli::train::recipe::{Recipe, words_of_table};
use crate::clock::Clock;
use crate::config::{LoadedModel, UsageError};
use crate::study::cost::ns_per_event;
use crate::study::journal::Journal;
use crate::study::roc::{Settings, Target, reached};
use crate::study::sample::{Request, Role, check_out_of, n_crossings, rows_within};
use crate::study::search::{Candidate, candidates, front};

/// Searches hyper-parameters: a grid, or candidates drawn at random.
///
/// Each candidate is trained on the first rows of the background and tested on the rest (or on
/// `--test`): mean AUROC over the signals, mean efficiency at fixed background rates, nanoseconds
/// per event on one thread. The journal remembers finished candidates, so that a search which was
/// interrupted goes on with `--resume`.
#[derive(Args, Debug)]
#[command(after_help = "\
A search (TOML) is a recipe with lists, or ranges for --random:
  [[search]]
  name = \"forests\"
  kind = \"forest\"                     # or \"variational\", \"reconstruction\", \"convolutional\"
  trees = [50, 100, 200]              # options of `scout40 train`
  sample-size = { min = 256, max = 20000, log = true }  # with --random

Examples:
  scout40 study tune search.toml --background zb.s40 --signal *.s40 --journal search.journal -o report
  scout40 study tune search.toml --background zb.s40 --signal *.s40 --journal search.journal \\
      --random 50 --objective 1kHz --resume")]
pub struct TuneArgs {
    /// What to try (TOML)
    search: PathBuf,
    #[command(flatten)]
    events: BackgroundArgs,
    /// Test with this background instead of the last rows of the other
    #[arg(long, value_name = "B2.s40")]
    test: Option<PathBuf>,
    /// Part of the rows, the last ones, to test with
    #[arg(long, default_value_t = 0.3, value_parser = parse::part, value_name = "FRACTION", conflicts_with = "test")]
    held_out: f64,
    #[command(flatten)]
    signals: SignalArgs,
    /// What is best: `auroc`, or the mean efficiency at a background rate such as `1kHz`
    #[arg(long, default_value = "auroc", value_parser = objective, value_name = "auroc|RATE")]
    objective: Objective,
    /// Background rates to measure efficiencies at, besides that of the objective
    #[arg(long, value_delimiter = ',', default_value = "1kHz,10kHz", value_parser = parse::frequency,
          value_name = "RATE,...")]
    rates: Vec<f64>,
    /// Draw so many candidates of each search instead of trying all combinations
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    random: Option<u32>,
    /// Seed of what is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seed of the trainings
    #[arg(long, default_value_t = 1)]
    train_seed: u64,
    /// Where finished candidates are written down
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
    /// Go on with the journal
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    scheme: SchemeArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Objective {
    Auroc,
    EfficiencyAtKhz(f64),
}

fn objective(text: &str) -> Result<Objective, String> {
    match text {
        "auroc" => Ok(Objective::Auroc),
        rate => {
            parse::frequency(rate).map(|hz| Objective::EfficiencyAtKhz(hz / 1000.0)).map_err(|_| {
                format!("expected `auroc` or a background rate such as `1kHz`, found `{text}`")
            })
        }
    }
}

/// What all entries of a journal have in common.
#[derive(Serialize)]
struct Head {
    tool: &'static str,
    background: String,
    rows: Range<u64>,
    test: Option<String>,
    signals: Vec<String>,
    collision_rate_hz: f64,
    rates_khz: Vec<f64>,
    train_seed: u64,
}

/// A finished candidate.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    /// Options of `scout40 train`: what it is known by.
    words: String,
    /// Nothing, or why it could not be trained.
    failed: Option<String>,
    auroc: Vec<f64>,
    /// Mean over signals at each rate; none where the background is too small.
    efficiency: Vec<Option<f64>>,
    /// None where it failed.
    ns_per_event: Option<f64>,
    training_s: f64,
    model_digest: String,
}

/// A candidate with its result.
#[derive(Clone, Serialize)]
struct Tried {
    search: String,
    chosen: String,
    /// What the objective is; none where it failed or cannot be told.
    value: Option<f64>,
    is_on_front: bool,
    entry: Entry,
}

/// What `STEM.json` holds.
#[derive(Serialize)]
struct Report<'a> {
    head: &'a Head,
    search: String,
    objective: Objective,
    random: Option<u32>,
    rng_seed: u64,
    tried: &'a [Tried],
}

pub fn run(args: &TuneArgs) -> Result<()> {
    let scheme = args.scheme.load()?;
    let outputs = args.output.files()?;
    let attempt = || format!("while reading the search `{}`", args.search.display());
    let text = std::fs::read_to_string(&args.search).with_context(attempt)?;
    let found = candidates(&text, args.random, args.seed).with_context(attempt)?;
    let recipes = found.iter().map(recipe).collect::<Result<Vec<_>>>().with_context(attempt)?;
    let split = split(args)?;
    let head = head(args, &split, scheme.collision_rate_hz())?;
    if args.journal.exists() && !args.resume {
        let path = args.journal.display();
        ensure!(
            args.output.force,
            UsageError(format!(
                "`{path}` is left of an earlier search\n\
                 hint: `--resume` goes on with it, `--force` begins anew"
            ))
        );
        std::fs::remove_file(&args.journal).with_context(|| format!("while removing `{path}`"))?;
    }
    if args.resume {
        tell_of_new_journal(&args.journal);
    }
    let (mut journal, mut entries): (Journal, Vec<Entry>) = Journal::open(&args.journal, &head)?;
    let bar = progress_bar(recipes.len() as u64, "candidates");
    for recipe in &recipes {
        if !entries.iter().any(|entry| entry.words == recipe.words()) {
            let entry = try_out(args, &split, &head, recipe)?;
            journal.push(&entry)?;
            entries.push(entry);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let tried = ranked(args, &head, &found, &recipes, &entries);
    let text = table(args, &head, &tried);
    #[cfg_attr(not(feature = "plot"), expect(unused_mut, reason = "figures are remembered"))]
    let Some(mut outputs) = outputs else {
        print(&text)?;
        return refuse_nothing(&tried);
    };
    let report = Report {
        head: &head,
        search: text_of(&args.search),
        objective: args.objective,
        random: args.random,
        rng_seed: args.seed,
        tried: &tried,
    };
    outputs.write(&report, &csv(&head, &tried))?;
    // Before anything is printed: a reader of stdout that has gone away ends the command.
    #[cfg(feature = "plot")]
    outputs.figure("front", Ok(figure(&head, &tried)));
    print(&text)?;
    print(&outputs.text())?;
    refuse_nothing(&tried)
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

fn recipe(candidate: &Candidate) -> Result<Recipe> {
    let name = format!("{} {}", candidate.search, candidate.chosen);
    Recipe::new(name.trim_end(), words_of_table(&candidate.settings)?)
}

/// What is trained on and tested with.
struct Split {
    training: Range<u64>,
    test: (PathBuf, Option<Range<u64>>),
}

fn split(args: &TuneArgs) -> Result<Split> {
    let streams = args.signals.paths.iter().chain([&args.events.background]).chain(&args.test);
    streams.clone().try_for_each(|path| check_out_of(path, None))?;
    let rows = rows_within(
        args.events.rows.as_ref(),
        n_crossings(&args.events.background),
        &args.events.background,
    )?;
    if let Some(test) = &args.test {
        return Ok(Split { training: rows, test: (test.clone(), None) });
    }
    let n_held_out = ((rows.end - rows.start) as f64 * args.held_out).round() as u64;
    let edge = rows.end - n_held_out;
    Ok(Split {
        training: rows.start..edge,
        test: (args.events.background.clone(), Some(edge..rows.end)),
    })
}

fn head(args: &TuneArgs, split: &Split, collision_rate_hz: f64) -> Result<Head> {
    let digest = |path: &PathBuf| -> Result<String> {
        let index = FileSource::open(path)?.info().index.clone();
        let index = index.with_context(|| format!("`{}` has no index", path.display()))?;
        Ok(format!("{:016x}", index.digest))
    };
    let mut rates_khz = targets_khz(&args.rates, collision_rate_hz)?;
    if let Objective::EfficiencyAtKhz(khz) = args.objective
        && !rates_khz.contains(&khz)
    {
        rates_khz.push(khz);
    }
    Ok(Head {
        tool: TOOL,
        background: digest(&args.events.background)?,
        rows: split.training.clone(),
        test: args.test.as_ref().map(digest).transpose()?,
        signals: args.signals.paths.iter().map(digest).collect::<Result<_>>()?,
        collision_rate_hz,
        rates_khz,
        train_seed: args.train_seed,
    })
}

/// Trains and tests a candidate; one that cannot be trained is a result, too.
fn try_out(args: &TuneArgs, split: &Split, head: &Head, recipe: &Recipe) -> Result<Entry> {
    let clock = Clock::start();
    let rows = std::slice::from_ref(&split.training);
    let model = recipe.train(&args.events.background, rows, Some(args.train_seed));
    let training_s = clock.now_s();
    let model = match model.and_then(|model| LoadedModel::new(model, args.engine.into())) {
        Ok(model) => model,
        Err(error) => {
            return Ok(Entry {
                words: recipe.words(),
                failed: Some(format!("{error:#}")),
                auroc: Vec::new(),
                efficiency: Vec::new(),
                ns_per_event: None,
                training_s,
                model_digest: String::new(),
            });
        }
    };
    let (path, rows) = (split.test.0.as_path(), split.test.1.as_ref());
    let request = Request { rows, ..Request::new(path, Role::Background) };
    let (_, background) = scored(&request, Some(&model), None)?;
    let signal = |path: &PathBuf| Ok(scored_signal(path, Some(&model))?.1);
    let signals = args.signals.paths.iter().map(signal).collect::<Result<Vec<Spectrum>>>()?;
    let settings = Settings {
        collision_rate_hz: head.collision_rate_hz,
        targets: head.rates_khz.iter().map(|&khz| Target::RateKhz(khz)).collect(),
        prevalence: 0.5,
    };
    let reached = reached(&background, &signals.iter().collect::<Vec<_>>(), &settings)?;
    let mean = |at: &crate::study::roc::AtTarget| {
        at.efficiency.iter().map(|x| x.value).sum::<f64>() / at.efficiency.len() as f64
    };
    Ok(Entry {
        words: recipe.words(),
        failed: None,
        auroc: reached.auroc,
        efficiency: reached.targets.iter().map(|at| at.as_ref().map(mean)).collect(),
        ns_per_event: Some(ns_per_event(&mut FileSource::open(path)?, &model, &clock)?),
        training_s,
        model_digest: format!("{:016x}", model.model.digest()),
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Best first, failures last.
fn ranked(
    args: &TuneArgs,
    head: &Head,
    found: &[Candidate],
    recipes: &[Recipe],
    entries: &[Entry],
) -> Vec<Tried> {
    let mut tried = Vec::new();
    for (candidate, recipe) in found.iter().zip(recipes) {
        let Some(entry) = entries.iter().find(|entry| entry.words == recipe.words()) else {
            continue;
        };
        let value = match args.objective {
            Objective::Auroc => mean(&entry.auroc),
            Objective::EfficiencyAtKhz(khz) => {
                let place = head.rates_khz.iter().position(|&rate| rate.to_bits() == khz.to_bits());
                place.and_then(|place| entry.efficiency.get(place).copied().flatten())
            }
        };
        tried.push(Tried {
            search: candidate.search.clone(),
            chosen: candidate.chosen.clone(),
            value,
            is_on_front: false,
            entry: entry.clone(),
        });
    }
    let benefit = |tried: &Tried| benefit(&tried.entry).unwrap_or(f64::NEG_INFINITY);
    let cost = |tried: &Tried| tried.entry.ns_per_event.unwrap_or(f64::INFINITY);
    let points: Vec<(f64, f64)> = tried.iter().map(|t| (cost(t), benefit(t))).collect();
    for (tried, on_front) in tried.iter_mut().zip(front(&points)) {
        tried.is_on_front = on_front && tried.entry.failed.is_none();
    }
    let order = |tried: &Tried| tried.value.unwrap_or(f64::NEG_INFINITY);
    tried.sort_by(|a, b| order(b).total_cmp(&order(a)));
    tried
}

/// An error where no candidate could be measured.
fn refuse_nothing(tried: &[Tried]) -> Result<()> {
    match tried.iter().find_map(|tried| tried.entry.failed.as_ref()) {
        Some(why) if tried.iter().all(|tried| tried.entry.failed.is_some()) => {
            bail!("all candidates failed, the first because of: {why}")
        }
        _ => Ok(()),
    }
}

/// What cost is set against: the mean efficiency at the first rate, or where that is not known the AUROC.
fn benefit(entry: &Entry) -> Option<f64> {
    entry.efficiency.first().copied().flatten().or_else(|| mean(&entry.auroc))
}

fn table(args: &TuneArgs, head: &Head, tried: &[Tried]) -> String {
    let objective = match args.objective {
        Objective::Auroc => "mean AUROC".to_owned(),
        Objective::EfficiencyAtKhz(khz) => format!("mean efficiency at {khz} kHz"),
    };
    let n_failed = tried.iter().filter(|tried| tried.entry.failed.is_some()).count();
    let mut text = format!(
        "{} candidates, {n_failed} of them failed; sorted by {objective}; * on the front of cost\n\n",
        tried.len()
    );
    let rates = head.rates_khz.iter().map(|khz| format!("[%] at {khz} kHz"));
    let first = row(["search", "", "AUROC"]).into_iter().chain(rates);
    let mut rows =
        vec![first.chain(row(["ns / event", "training [s]", "settings"])).collect::<Vec<_>>()];
    for tried in tried.iter().filter(|tried| tried.entry.failed.is_none()) {
        let entry = &tried.entry;
        let front = if tried.is_on_front { "*" } else { "" };
        let auroc = mean(&entry.auroc).map_or("-".to_owned(), |x| format!("{x:.4}"));
        let mut cells = vec![tried.search.escape_debug().to_string(), front.to_owned(), auroc];
        let percent = |x: &Option<f64>| x.map_or("-".to_owned(), |x| short(100.0 * x));
        cells.extend(entry.efficiency.iter().map(percent));
        let ns = entry.ns_per_event.map_or("-".to_owned(), short);
        cells.extend([ns, short(entry.training_s), tried.chosen.clone()]);
        rows.push(cells);
    }
    text += &aligned(&rows);
    for tried in tried {
        if let Some(reason) = &tried.entry.failed {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "failed     {} {}: {reason}", tried.search, tried.chosen);
        }
    }
    text
}

fn csv(head: &Head, tried: &[Tried]) -> String {
    let mut text = "search,settings,objective,is_on_front,auroc".to_owned();
    for khz in &head.rates_khz {
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, ",efficiency_at_{khz}_khz");
    }
    text += ",ns_per_event,training_s,failed,words\n";
    for tried in tried {
        let entry = &tried.entry;
        let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
        let _ = write!(
            text,
            "{},{},{},{},{}",
            quoted(&tried.search),
            quoted(&tried.chosen),
            number(tried.value),
            tried.is_on_front,
            number(mean(&entry.auroc))
        );
        for place in 0..head.rates_khz.len() {
            let _ = write!(text, ",{}", number(entry.efficiency.get(place).copied().flatten()));
        }
        let _ = writeln!(
            text,
            ",{},{},{},{}",
            number(entry.ns_per_event),
            entry.training_s,
            quoted(entry.failed.as_deref().unwrap_or_default()),
            quoted(&entry.words)
        );
    }
    text
}

/// Physics against cost: every candidate, and the front.
#[cfg(feature = "plot")]
fn figure(head: &Head, tried: &[Tried]) -> scout40_studies::plot::Plot {
    use scout40_studies::plot::{Axis, Plot};
    let done = || tried.iter().filter(|tried| tried.entry.failed.is_none());
    let has_rate = done().any(|tried| tried.entry.efficiency.first().copied().flatten().is_some());
    let y = match head.rates_khz.first() {
        Some(khz) if has_rate => Axis::log(&format!("Mean signal efficiency at {khz} kHz")),
        _ => Axis::linear("Mean AUROC"),
    };
    let x = Axis::log("Cost of an event on one thread").unit("ns");
    let note = format!("{} candidates", done().count());
    let mut plot = Plot::new("What cost buys", x, y).note(&note);
    let mut searches: Vec<&str> = done().map(|tried| tried.search.as_str()).collect();
    searches.sort_unstable();
    searches.dedup();
    let point = |tried: &Tried| Some((tried.entry.ns_per_event?, benefit(&tried.entry)?));
    for search in searches {
        let points: Vec<_> = done().filter(|t| t.search == search).filter_map(point).collect();
        plot = plot.scatter(search, &points);
    }
    let mut front: Vec<(f64, f64)> = done().filter(|t| t.is_on_front).filter_map(point).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    // What can be had for a cost is what can be had for less: steps, up to the largest cost.
    let dearest = done().filter_map(point).map(|(cost, _)| cost).fold(0.0, f64::max);
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (cost, found) in front {
        steps.extend(steps.last().map(|&(_, before)| (cost, before)));
        steps.push((cost, found));
    }
    steps.extend(steps.last().map(|&(_, found)| (dearest, found)));
    plot.line("front", &steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_as_they_are_written() {
        assert_eq!(objective("auroc"), Ok(Objective::Auroc));
        assert_eq!(objective("2kHz"), Ok(Objective::EfficiencyAtKhz(2.0)));
        assert!(objective("best").unwrap_err().contains("`auroc` or a background rate"));
    }
}
