//! Trainings as data: the options of `scout40 train`, from a TOML file or from what a model file says of how it was
//! trained, so that studies train as the command does.
//!
//! ```toml
//! [[model]]
//! name = "deep"               # how it is called in tables
//! kind = "forest"             # or "variational", "reconstruction", "convolutional": autoencoders
//! trees = 100                 # options of `scout40 train forest`, without their dashes
//! sample-size = 10000
//! ```

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args as _, Command, FromArgMatches as _};
use scout40_models::Model;
use scout40_models::file::Content;

use super::{Kind, TrainArgs, TrainingStream, autoencoder, forest};
use crate::config::{UsageError, read_model};

/// A training that can be done on any rows.
pub struct Recipe {
    /// How the model is called.
    pub name: String,
    /// `forest` or `autoencoder`, then options, as on the command line.
    words: Vec<String>,
}

impl Recipe {
    /// The training of these words.
    ///
    /// # Errors
    /// Words that `scout40 train` refuses.
    pub fn new(name: &str, words: Vec<String>) -> Result<Recipe> {
        let recipe = Recipe { name: name.to_owned(), words };
        recipe.parsed(Path::new("input"), None)?;
        Ok(recipe)
    }

    /// Those of a file: a TOML of recipes, or a model to be trained again.
    ///
    /// # Errors
    /// A file that cannot be read or holds neither.
    pub fn read(path: &Path) -> Result<Vec<Recipe>> {
        let attempt = || format!("while reading recipes from `{}`", path.display());
        if path.extension().is_none_or(|extension| extension != "toml") {
            let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
            let words = words_of_model(&read_model(path)?).with_context(attempt)?;
            return Ok(vec![Recipe::new(&name, words).with_context(attempt)?]);
        }
        let text = std::fs::read_to_string(path).with_context(attempt)?;
        let table: toml::Table = text.parse().map_err(anyhow::Error::new).with_context(attempt)?;
        recipes(&table).with_context(attempt)
    }

    /// The words, as they are recorded.
    #[must_use]
    pub fn words(&self) -> String {
        self.words.join(" ")
    }

    /// The seed that the words say.
    ///
    /// # Errors
    /// None: the words have been read before.
    pub fn rng_seed(&self) -> Result<u64> {
        Ok(match self.parsed(Path::new("input"), None)? {
            Kind::Forest(args) => args.seed,
            Kind::Autoencoder(args) => args.seed,
        })
    }

    /// Trains on these rows of a stream, with another seed if one is given.
    ///
    /// # Errors
    /// Those of `scout40 train`.
    pub fn train(&self, input: &Path, rows: &[Range<u64>], rng_seed: Option<u64>) -> Result<Model> {
        let trained = match self.parsed(input, rng_seed)? {
            Kind::Forest(args) => {
                let mut stream = TrainingStream::of_rows(&args.rows, |_| Ok(rows.to_vec()))?;
                forest::trained(&args, &mut stream)
            }
            Kind::Autoencoder(args) => {
                let mut stream = TrainingStream::of_rows(&args.rows, |_| Ok(rows.to_vec()))?;
                autoencoder::trained(&args, &mut stream)
            }
        };
        trained.with_context(|| format!("while training `{}`", self.name))
    }

    fn parsed(&self, input: &Path, rng_seed: Option<u64>) -> Result<Kind> {
        let mut words = vec!["train".to_owned()];
        words.extend(self.words.iter().cloned());
        words.extend(["--input".to_owned(), input.display().to_string()]);
        words.extend(["--output".to_owned(), "unused".to_owned()]);
        let command = TrainArgs::augment_args(Command::new("train"));
        let matches = command.try_get_matches_from(words).map_err(|error| {
            let text = error.render().to_string();
            // The rest is about a command line that nobody typed.
            let first = text.lines().next().unwrap_or_default();
            UsageError(format!("`{}`: {}", self.name, first.trim_start_matches("error: ")))
        })?;
        let mut kind = TrainArgs::from_arg_matches(&matches)?.kind;
        if let Some(rng_seed) = rng_seed {
            match &mut kind {
                Kind::Forest(args) => args.seed = rng_seed,
                Kind::Autoencoder(args) => args.seed = rng_seed,
            }
        }
        Ok(kind)
    }
}

/// The recipes of a TOML file.
fn recipes(table: &toml::Table) -> Result<Vec<Recipe>> {
    if let Some(other) = table.keys().find(|key| *key != "model") {
        bail!("expected tables `[[model]]`, found `{other}`");
    }
    let models = table.get("model").and_then(toml::Value::as_array);
    let models = models.context("expected at least one table `[[model]]`, found none")?;
    let mut recipes: Vec<Recipe> = Vec::new();
    for (place, model) in models.iter().enumerate() {
        let settings = model.as_table().context("expected a table for each model")?;
        let name = settings.get("name").and_then(toml::Value::as_str);
        let name = name.map_or_else(|| format!("model {}", place + 1), str::to_owned);
        ensure!(recipes.iter().all(|recipe| recipe.name != name), "two models are called `{name}`");
        let words = words_of_table(settings).with_context(|| format!("in the model `{name}`"))?;
        recipes.push(Recipe::new(&name, words)?);
    }
    Ok(recipes)
}

/// The words of a table of options: `kind`, then all but `name`.
///
/// # Errors
/// No kind, and values that are no options.
pub fn words_of_table(settings: &toml::Table) -> Result<Vec<String>> {
    let kind = settings.get("kind").and_then(toml::Value::as_str).unwrap_or_default();
    let mut words = match kind {
        "forest" => vec![kind.to_owned()],
        "variational" | "reconstruction" | "convolutional" => {
            vec!["autoencoder".to_owned(), format!("--kind={kind}")]
        }
        _ => bail!(
            "expected `kind` to be \"forest\", or of autoencoders \"variational\", \"reconstruction\" or \
             \"convolutional\", found \"{kind}\""
        ),
    };
    for (option, value) in settings.iter().filter(|(key, _)| *key != "kind" && *key != "name") {
        // These are for whoever trains to say.
        let theirs =
            ["input", "output", "rows", "seed", "resume", "force", "keep-checkpoint", "threads"];
        ensure!(!theirs.contains(&option.as_str()), "`{option}` cannot be set in a recipe");
        words.push(option_word(option, value)?);
    }
    Ok(words)
}

/// `--option=value`.
fn option_word(option: &str, value: &toml::Value) -> Result<String> {
    let value = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        other => bail!("`{option}`: expected text or a number, found {other}"),
    };
    Ok(format!("--{option}={value}"))
}

/// The words that a model was trained with.
fn words_of_model(model: &Model) -> Result<Vec<String>> {
    let settings = &model.provenance().settings;
    let of = |name: &str| settings.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let mut words = match model.content() {
        Content::Forest(_) => {
            let is_ours = of("trainer").is_some_and(|trainer| trainer == "Scout40");
            ensure!(
                is_ours,
                "the model was not trained by `scout40 train`, so it cannot be trained again\n\
                 hint: evaluate it as it is with `--model`, or write a recipe (TOML)"
            );
            vec!["forest".to_owned()]
        }
        Content::Autoencoder(_) => {
            let kind = of("architecture").context("the model does not say how it was trained")?;
            vec!["autoencoder".to_owned(), format!("--kind={kind}")]
        }
        Content::Detector(_) => bail!(
            "the model is an imported network, which cannot be trained again\n\
             hint: evaluate it as it is with `--model`"
        ),
    };
    words.push(format!("--features={}", model.spec()));
    for (name, value) in settings {
        let value = match (name.as_str(), value.as_str()) {
            ("trainer" | "architecture" | "rng_seed" | "best_epoch", _) => continue,
            ("clip_quantile", "none") => continue,
            ("hidden", "") => "none".to_owned(),
            ("cap", "inf") => "none".to_owned(),
            ("targets", places) if places != "all" => {
                let names = model.spec().names();
                let name = |place: &str| names.get(place.parse::<usize>().ok()?).cloned();
                let names: Option<Vec<String>> = places.split(',').map(name).collect();
                names.context("the model names targets that it does not have")?.join(",")
            }
            (_, value) => value.to_owned(),
        };
        words.push(format!("--{}={value}", name.replace('_', "-")));
    }
    Ok(words)
}

/// Paths of recipes, all read.
///
/// # Errors
/// Those of [`Recipe::read`], and two of one name.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Recipe>> {
    let mut all: Vec<Recipe> = Vec::new();
    for path in paths {
        for recipe in Recipe::read(path)? {
            ensure!(
                all.iter().all(|other| other.name != recipe.name),
                "two recipes are called `{}`",
                recipe.name
            );
            all.push(recipe);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
    }

    #[test]
    fn a_model_trained_by_its_own_recipe_on_the_same_rows_is_the_same() {
        let stream = fixture("streams/hChToTauNu.s40");
        let texts = [
            "[[model]]\nkind = 'forest'\ntrees = 5\nsample-size = 64\nvariant = 'sciforest'\ntries = 3",
            "[[model]]\nkind = 'variational'\nfeatures = 'met.pt, muon[0..2].(pt,eta), jet[0..2].pt'\n\
             hidden = '4'\nlatent = 2\nepochs = 1\nfine-tuning-epochs = 1\nbatch-size = 256\n\
             shift = 'met=1,muon=-1,jet=1'\nclip-quantile = 0.99\nloss = 'huber:0.1'",
        ];
        for text in texts {
            let recipe = recipes(&text.parse().unwrap()).unwrap().remove(0);
            let rows = [0..1000, 2000..3000];
            let model = recipe.train(&stream, &rows, Some(7)).unwrap();
            let inputs = &model.provenance().inputs;
            assert_eq!((inputs[0].n_rows, inputs[1].first_row, inputs.len()), (1000, 2000, 2));
            assert_eq!(model.provenance().rng_seed, 7);
            let again = Recipe::new("again", words_of_model(&model).unwrap()).unwrap();
            let twin = again.train(&stream, &rows, Some(7)).unwrap();
            assert_eq!(twin.to_bytes(), model.to_bytes(), "{}", again.words());
            assert_ne!(again.train(&stream, &rows, Some(8)).unwrap().to_bytes(), model.to_bytes());
        }
    }

    #[test]
    fn the_shipped_models_have_recipes() {
        for name in ["forest", "autoencoder", "deep"] {
            let recipes = Recipe::read(&fixture(&format!("models/{name}.model"))).unwrap();
            assert_eq!((recipes.len(), recipes[0].name.as_str()), (1, name));
        }
    }

    #[test]
    fn recipes_that_cannot_be_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "`[[model]]`"),
            ("trees = 5", "found `trees`"),
            ("[[model]]\ntrees = 5", "`kind` to be \"forest\""),
            ("[[model]]\nkind = 'autoencoder'", "found \"autoencoder\""),
            ("[[model]]\nkind = 'forest'\nbranches = 5", "--branches"),
            ("[[model]]\nkind = 'forest'\ntrees = 'many'", "many"),
            ("[[model]]\nkind = 'forest'\nseed = 5", "`seed` cannot be set"),
            ("[[model]]\nkind = 'forest'\ntrees = [5, 6]", "`trees`: expected text or a number"),
            (
                "[[model]]\nname='a'\nkind='forest'\n[[model]]\nname='a'\nkind='forest'",
                "called `a`",
            ),
        ] {
            let Err(error) = recipes(&text.parse().unwrap()) else { panic!("{text}") };
            assert!(format!("{error:#}").contains(reason), "{text}: {error:#}");
        }
    }
}
