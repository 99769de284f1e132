//! The models of a run: read, named, and which of them share rows.
//!
//! Several models may score the same stream. Those with equal feature specifications score the same
//! rows, which are filled once; every other specification has rows of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use scout40_models::{FillPlan, Isa, Model, PlanChoice, Scorer};

use crate::trigger::ScoredModel;

/// Most models of a run.
pub const MODELS_MAX: usize = 16;

/// How models are evaluated; changes no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Which instructions.
    pub isa: Isa,
    /// Which plan.
    pub plan: PlanChoice,
}

impl Default for Engine {
    fn default() -> Engine {
        Engine { isa: Isa::best(), plan: PlanChoice::Auto }
    }
}

/// A model, ready to score.
pub struct LoadedModel {
    /// What lines of a menu call it: the name of its file without the ending.
    pub name: String,
    /// Its file, as it was given.
    pub path: PathBuf,
    /// As read.
    pub model: Model,
    /// Scores.
    pub scorer: Box<dyn Scorer>,
    /// Fills rows.
    pub plan: FillPlan,
    /// Which buffer of rows it scores.
    pub rows: usize,
    /// Whether it is the first to score these rows, whose plan fills them.
    pub is_filler: bool,
}

/// Reads a model file.
///
/// # Errors
/// A file that cannot be read or is no model, with its name.
pub fn read_model(path: &Path) -> Result<Model> {
    Model::read(path).with_context(|| format!("while reading the model `{}`", path.display()))
}

impl LoadedModel {
    /// Reads a model file.
    ///
    /// # Errors
    /// A file that cannot be read or is no model, or a plan that cannot evaluate it.
    pub fn read(path: &Path, engine: Engine) -> Result<LoadedModel> {
        LoadedModel::of(read_model(path)?, path, engine)
            .with_context(|| format!("`{}` cannot be evaluated so", path.display()))
    }

    /// A model that is in memory.
    ///
    /// # Errors
    /// A plan that cannot evaluate it.
    pub fn new(model: Model, engine: Engine) -> Result<LoadedModel> {
        LoadedModel::of(model, Path::new(""), engine)
    }

    fn of(model: Model, path: &Path, engine: Engine) -> Result<LoadedModel> {
        let scorer = model.scorer_with(engine.isa, engine.plan)?;
        let plan = FillPlan::with_isa(model.spec(), engine.isa);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(LoadedModel { name, path: path.into(), model, scorer, plan, rows: 0, is_filler: true })
    }
}

/// Reads the models of a run; names that are taken get a number.
///
/// # Errors
/// As [`LoadedModel::read`].
pub fn load_models(paths: &[PathBuf], engine: Engine) -> Result<Vec<LoadedModel>> {
    let mut models: Vec<LoadedModel> = Vec::new();
    let mut n_buffers = 0;
    for path in paths {
        let mut model = LoadedModel::read(path, engine)?;
        let base = model.name.clone();
        let mut number = 2;
        while models.iter().any(|other| other.name == model.name) {
            model.name = format!("{base}-{number}");
            number += 1;
        }
        match models.iter().find(|other| other.model.spec() == model.model.spec()) {
            Some(same) => (model.rows, model.is_filler) = (same.rows, false),
            None => {
                model.rows = n_buffers;
                n_buffers += 1;
            }
        }
        models.push(model);
    }
    Ok(models)
}

/// The models whose plans fill the buffers of rows, in the order of these.
pub fn fillers(models: &[LoadedModel]) -> impl Iterator<Item = &LoadedModel> {
    models.iter().filter(|model| model.is_filler)
}

/// The models as a menu sees them.
#[must_use]
pub fn scored_models(models: &[LoadedModel]) -> Vec<ScoredModel<'_>> {
    models
        .iter()
        .map(|model| ScoredModel { name: &model.name, scorer: model.scorer.as_ref() })
        .collect()
}
