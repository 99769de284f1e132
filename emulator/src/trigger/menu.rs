//! The menu: trigger lines, from a TOML file or from the command line.
//!
//! ```toml
//! [[line]]
//! name = "AD_Tight"
//! kind = "score"
//! threshold = 0.62            # display units, or "raw:-12345" for the model's integers
//! model = "forest"            # name of the model's file; needed if a run has several models
//! prescale = 1
//!
//! [[line]]
//! name = "SingleMu22"
//! kind = "cut"
//! prescale = 10
//! require = [{ object = "muon", pt_gev = 22.0, eta_max = 2.4 }]
//! ```

use std::num::NonZeroU32;
use std::str::FromStr;

use scout40_models::{Score, Scorer};
use scout40_replay::event::ColumnSet;
use serde::Deserialize;

use super::Prescale;
use super::cut::{Cut, CutError, CutSpec};

/// Most lines of a menu: their decisions are the bits of a `u64`.
pub const LINES_MAX: usize = 64;

/// A threshold on the score as people write it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// In the model's display units; rounds to the stricter integer.
    Display(f64),
    /// In the model's integers.
    Raw(Score),
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        let expected =
            || format!("expected a threshold such as `0.62` or `raw:-1234`, found `{text}`");
        match text.strip_prefix("raw:") {
            Some(raw) => raw.parse().map(Threshold::Raw).map_err(|_| expected()),
            None => {
                let value: f64 = text.parse().map_err(|_| expected())?;
                if value.is_nan() { Err(expected()) } else { Ok(Threshold::Display(value)) }
            }
        }
    }
}

/// How a line decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Accept iff score >= threshold.
    Score {
        /// Which model's score, counted from 0.
        model: usize,
        /// Its name, if there are several.
        of: Option<String>,
        /// In the model's integers.
        raw: Score,
        /// In its display units.
        display: f64,
    },
    /// Accept iff all cuts pass.
    Cut(Vec<Cut>),
}

/// One trigger line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name, unique in the menu.
    pub name: String,
    /// How it decides.
    pub rule: Rule,
    /// Keeps one in so many.
    pub prescale: NonZeroU32,
}

impl Line {
    /// The threshold of a line that keeps all events from it on, from what [`Line::describe`] says of it: one
    /// without prescale, on the score of the only model.
    #[must_use]
    pub fn keeps_all_from(description: &str) -> Option<Score> {
        let (_, raw) = description.strip_prefix("score >= ")?.split_once(" (raw ")?;
        raw.strip_suffix(')')?.parse().ok()
    }

    /// How it decides, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let rule = match &self.rule {
            Rule::Score { of, raw, display, .. } => {
                let of = of.as_ref().map_or(String::new(), |name| format!(" of {name}"));
                format!("score{of} >= {display:.6} (raw {raw})")
            }
            Rule::Cut(cuts) => format!("{} cut(s)", cuts.len()),
        };
        match self.prescale.get() {
            1 => rule,
            n => format!("{rule}, 1 in {n}"),
        }
    }
}

/// Why a menu was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MenuError {
    /// The text is no menu.
    #[error("menu: {0}")]
    Toml(String),
    /// A line is wrong.
    #[error("line `{line}`: {problem}")]
    Line {
        /// Its name.
        line: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Too many lines.
    #[error("expected at most {LINES_MAX} lines, found {0}")]
    TooMany(usize),
    /// A score line without a model.
    #[error("line `{0}` needs a score\nhint: give a model with `--model`")]
    NoModel(String),
}

impl MenuError {
    fn line(line: &str, problem: impl ToString) -> MenuError {
        MenuError::Line { line: line.into(), problem: problem.to_string() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MenuFile {
    #[serde(default)]
    line: Vec<LineSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineSpec {
    name: String,
    kind: Kind,
    threshold: Option<toml::Value>,
    model: Option<String>,
    prescale: Option<NonZeroU32>,
    require: Option<Vec<CutSpec>>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Score,
    Cut,
}

/// A model as lines see it.
#[derive(Clone, Copy)]
pub struct ScoredModel<'a> {
    /// What lines call it.
    pub name: &'a str,
    /// Translates thresholds.
    pub scorer: &'a dyn Scorer,
}

/// The lines of a run. At most 64, with unique names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Menu {
    lines: Vec<Line>,
}

impl Menu {
    /// The lines, in order: line k is bit k of a decision.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Adds a line that cuts on the score of the `model`-th of `models`.
    ///
    /// # Errors
    /// A name that is taken, a threshold that the model cannot have, too many lines.
    ///
    /// # Panics
    /// If there is no such model.
    pub fn add_score_line(
        &mut self,
        name: &str,
        threshold: Threshold,
        prescale: NonZeroU32,
        models: &[ScoredModel<'_>],
        model: usize,
    ) -> Result<(), MenuError> {
        let ScoredModel { name: of, scorer } = models[model];
        let of = (models.len() > 1).then(|| of.to_owned());
        let raw = match threshold {
            Threshold::Raw(raw) => raw,
            Threshold::Display(value) => scorer
                .threshold_from_display(value)
                .map_err(|error| MenuError::line(name, error))?,
        };
        let rule = Rule::Score { model, of, raw, display: scorer.display(raw) };
        self.add(Line { name: name.into(), rule, prescale })
    }

    /// Adds the lines of a TOML menu.
    ///
    /// # Errors
    /// Text that is no menu, a line that makes no sense, a score line without a model.
    pub fn add_toml(&mut self, text: &str, models: &[ScoredModel<'_>]) -> Result<(), MenuError> {
        let file: MenuFile =
            toml::from_str(text).map_err(|error| MenuError::Toml(error.to_string()))?;
        for spec in &file.line {
            let prescale = spec.prescale.unwrap_or(NonZeroU32::MIN);
            match (spec.kind, &spec.threshold, &spec.require) {
                (Kind::Score, Some(value), None) => {
                    let model = model_of(spec, models)?;
                    let threshold = threshold_of(value)
                        .map_err(|problem| MenuError::line(&spec.name, problem))?;
                    self.add_score_line(&spec.name, threshold, prescale, models, model)?;
                }
                (Kind::Cut, None, Some(cuts)) if !cuts.is_empty() && spec.model.is_none() => {
                    let cuts: Result<Vec<Cut>, CutError> = cuts.iter().map(Cut::new).collect();
                    let cuts = cuts.map_err(|error| MenuError::line(&spec.name, error))?;
                    self.add(Line { name: spec.name.clone(), rule: Rule::Cut(cuts), prescale })?;
                }
                (Kind::Score, ..) => {
                    let problem = "expected `threshold` and no `require` for kind = \"score\"";
                    return Err(MenuError::line(&spec.name, problem));
                }
                (Kind::Cut, ..) => {
                    let problem =
                        "expected `require` and neither `threshold` nor `model` for kind = \"cut\"";
                    return Err(MenuError::line(&spec.name, problem));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, line: Line) -> Result<(), MenuError> {
        if line.name.is_empty() || self.lines.iter().any(|other| other.name == line.name) {
            return Err(MenuError::line(&line.name, "expected a name of its own"));
        }
        if self.lines.len() == LINES_MAX {
            return Err(MenuError::TooMany(LINES_MAX + 1));
        }
        self.lines.push(line);
        Ok(())
    }

    /// Columns that the cuts look at.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        let cuts = self.lines.iter().flat_map(|line| match &line.rule {
            Rule::Cut(cuts) => cuts.as_slice(),
            Rule::Score { .. } => &[],
        });
        cuts.map(Cut::columns).fold(ColumnSet::EMPTY, ColumnSet::union)
    }

    /// The prescales, in the order of the lines.
    #[must_use]
    pub fn prescales(&self) -> Vec<Prescale> {
        self.lines.iter().map(|line| Prescale::new(&line.name, line.prescale)).collect()
    }

    /// What determines the decisions, as text: for the digest and for provenance.
    #[must_use]
    pub fn canonical(&self) -> String {
        let line = |line: &Line| match &line.rule {
            Rule::Score { of, raw, .. } => {
                let of = of.as_ref().map_or(String::new(), |name| format!(" of {name}"));
                format!("{}: score{of} >= {raw} / {}\n", line.name, line.prescale)
            }
            Rule::Cut(cuts) => format!("{}: {cuts:?} / {}\n", line.name, line.prescale),
        };
        self.lines.iter().map(line).collect()
    }
}

/// Which model a score line is about: the one it names, or the only one.
fn model_of(spec: &LineSpec, models: &[ScoredModel<'_>]) -> Result<usize, MenuError> {
    let names = || models.iter().map(|m| format!("`{}`", m.name)).collect::<Vec<_>>().join(", ");
    match (&spec.model, models) {
        (_, []) => Err(MenuError::NoModel(spec.name.clone())),
        (None, [_]) => Ok(0),
        (None, _) => {
            let problem = format!("expected `model = ...`, one of {}", names());
            Err(MenuError::line(&spec.name, problem))
        }
        (Some(name), _) => models.iter().position(|m| m.name == name).ok_or_else(|| {
            let problem = format!(
                "expected a model among {}, found `{name}`\n\
                 hint: a model is called as its file, without `.model`",
                names()
            );
            MenuError::line(&spec.name, problem)
        }),
    }
}

fn threshold_of(value: &toml::Value) -> Result<Threshold, String> {
    match value {
        toml::Value::Float(number) => number.to_string().parse(),
        toml::Value::Integer(number) => number.to_string().parse(),
        toml::Value::String(text) => text.parse(),
        other => Err(format!("expected a threshold, found {other}")),
    }
}
