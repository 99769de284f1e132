//! `scout40 import`: takes over models that other libraries made.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use scout40_models::file::Provenance;
use scout40_models::forest::import::{Imported, isotree, sklearn};
use scout40_models::hls::{Detector, Network, axol1tl};
use scout40_models::{Error, FeatureSpec, Model};
use xxhash_rust::xxh3::xxh3_64;

use super::output::{print, refuse_overwrite};
use crate::config::UsageError;

/// Takes over a model that another library made, so that it scores as there.
#[derive(Args, Debug)]
pub struct ImportArgs {
    #[command(subcommand)]
    library: Library,
}

#[derive(Subcommand, Debug)]
enum Library {
    /// An isotree model: the JSON of its trees
    ///
    /// Any scoring metric, with ndim = 1, numeric columns, and penalize_range where leaves are path
    /// lengths. The displayed score is isotree's `predict`.
    #[command(after_help = ISOTREE)]
    Isotree(FileArgs),
    /// A scikit-learn IsolationForest
    ///
    /// The displayed score is scikit-learn's `-score_samples`.
    #[command(after_help = SKLEARN)]
    Sklearn(FileArgs),
    /// AXOL1TL, the anomaly detector of the CMS Global Trigger
    ///
    /// From a checkout of its public emulator, which is yours to supply: versions 1, 3, 4 and 5. Sources
    /// are parsed, not compiled. Scores are the trigger's integers, loss × 16.
    #[command(name = "axol1tl", after_help = AXOL1TL)]
    Axol1tl(Axol1tlArgs),
    /// A dense network that hls4ml wrote: a project folder
    ///
    /// Integers of a row are assigned to the inputs as they are. The score is the only output, or the
    /// sum of the squares of several.
    #[command(name = "hls4ml", after_help = HLS4ML)]
    Hls4ml(ProjectArgs),
}

const AXOL1TL: &str = "\
Example:
  git clone https://github.com/cms-hls4ml/AXOL1TL
  scout40 import axol1tl AXOL1TL/AXOL1TL_v5 -o axo-v5.model
  scout40 run zb.s40 --model axo-v5.model --target-rate 1kHz --calibrate other-zb.s40

Version 6 has its weights inside generated code and is refused.";

const HLS4ML: &str = "\
Example:
  scout40 import hls4ml my-hls-test -o mine.model --features 'met.pt, jet[0..4].(pt,eta)'

The folder is the one with `firmware/`, or `firmware` itself. Layers: dense, relu, linear, add,
subtract, dot1d, with ap_fixed and ap_ufixed types of at most 48 bits.";

#[derive(Args, Debug)]
struct Axol1tlArgs {
    /// A folder `AXOL1TL_v…` of the checkout
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The model file to write
    #[arg(short, long, value_name = "M.model")]
    output: PathBuf,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
struct ProjectArgs {
    /// The project folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The model file to write
    #[arg(short, long, value_name = "M.model")]
    output: PathBuf,
    /// What the inputs are: `l1-57`, `axol1tl`, `thesis-99`, or features such as
    /// `met.pt, jet[0..4].pt`
    #[arg(long, value_name = "SPEC")]
    features: String,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

const ISOTREE: &str = r#"Examples:
  scout40 import isotree MODEL.json -o forest.model --features l1-57
  scout40 import isotree MODEL.json -o met.model --features 'met.pt, jet[0..4].(pt,eta)'

How to write MODEL.json from a fitted model, in Python:
  import json
  from importlib.metadata import version
  names = [f"column_{k}" for k in range(model.n_features_in_)]
  document = {"library": "isotree", "version": version("isotree"),
              "n_features": model.n_features_in_, "sample_size": model.sample_size_,
              "settings": model.get_params(), "trees": model.to_json(column_names=names)}
  json.dump(document, open("MODEL.json", "w"), default=str)

to_json() rounds thresholds to six decimals: one in two million falls on another integer.
`isotree_json` in fixtures/reference/export.py writes them exactly."#;

const SKLEARN: &str = r#"Examples:
  scout40 import sklearn FOREST.json -o forest.model --features l1-57

How to write FOREST.json from a fitted model, in Python:
  import json, sklearn
  trees = []
  for estimator, features in zip(model.estimators_, model.estimators_features_):
      t = estimator.tree_
      trees.append({"feature": [int(features[f]) if f >= 0 else -1 for f in t.feature],
                    "threshold": t.threshold.tolist(), "left": t.children_left.tolist(),
                    "right": t.children_right.tolist(), "n_samples": t.n_node_samples.tolist()})
  document = {"library": "scikit-learn", "version": sklearn.__version__,
              "n_features": model.n_features_in_, "sample_size": model.max_samples_,
              "settings": model.get_params(), "trees": trees}
  json.dump(document, open("FOREST.json", "w"), default=str)

`sklearn_json` in fixtures/reference/export.py does the same."#;

#[derive(Args, Debug)]
struct FileArgs {
    /// The forest as JSON: see below
    #[arg(value_name = "MODEL.json")]
    input: PathBuf,
    /// The model file to write
    #[arg(short, long, value_name = "M.model")]
    output: PathBuf,
    /// What the columns are that the model was trained on: `l1-57`, `axol1tl`, `thesis-99`, or
    /// features such as `met.pt, jet[0..4].pt`
    #[arg(long, value_name = "SPEC")]
    features: String,
    /// Fractional bits of the score; default: as many as fit, 16 to 24
    #[arg(long, value_name = "N")]
    fraction_bits: Option<u32>,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

/// Reads the JSON of a library.
type Read = fn(&str, Option<u32>) -> Result<Imported, Error>;

pub fn run(args: &ImportArgs) -> Result<()> {
    match &args.library {
        Library::Isotree(args) => import_file(args, isotree::read),
        Library::Sklearn(args) => import_file(args, sklearn::read),
        Library::Axol1tl(args) => {
            refuse_overwrite(&args.output, args.force)?;
            let spec = FeatureSpec::parse("axol1tl")?;
            import_folder(&args.folder, &args.output, spec, axol1tl::read)
        }
        Library::Hls4ml(args) => {
            refuse_overwrite(&args.output, args.force)?;
            let spec = FeatureSpec::parse(&args.features).map_err(|e| UsageError(e.to_string()))?;
            let read = |folder: &Path| Detector::of_project(Network::read_project(folder)?);
            import_folder(&args.folder, &args.output, spec, read)
        }
    }
}

/// Takes over a network from the sources in a folder.
fn import_folder(
    folder: &Path,
    output: &Path,
    spec: FeatureSpec,
    read: impl Fn(&Path) -> Result<Detector, Error>,
) -> Result<()> {
    let detector = read(folder).with_context(|| attempt(folder))?;
    let (expected, found) = (spec.len(), detector.n_features());
    if expected != found {
        bail!(
            "the network takes {found} inputs, `{spec}` makes {expected}\n\
             hint: `--features` has to name them, in their order"
        );
    }
    let name = folder.canonicalize().ok();
    let name = name.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let settings = vec![
        ("library".to_owned(), "hls4ml".to_owned()),
        ("network".to_owned(), detector.network().name.clone()),
        ("folder".to_owned(), name.into_owned()),
    ];
    let model = Model::new(spec, detector, provenance(settings, 0))?;
    model.write(output)?;
    let text = format!("{}: imported from {}\n", output.display(), folder.display());
    print(&(text + &super::inspect::model_text(&model)))
}

fn provenance(settings: Vec<(String, String)>, rng_seed: u64) -> Provenance {
    let tool = concat!("scout40 ", env!("CARGO_PKG_VERSION")).into();
    Provenance { tool, settings, rng_seed, inputs: vec![] }
}

fn import_file(args: &FileArgs, read: Read) -> Result<()> {
    refuse_overwrite(&args.output, args.force)?;
    let spec = FeatureSpec::parse(&args.features).map_err(|e| UsageError(e.to_string()))?;
    let bytes = std::fs::read(&args.input).with_context(|| attempt(&args.input))?;
    let model = import(args, read, spec, &bytes).with_context(|| attempt(&args.input))?;
    model.write(&args.output)?;
    let text = format!("{}: imported from {}\n", args.output.display(), args.input.display());
    print(&(text + &super::inspect::model_text(&model)))
}

fn attempt(path: &Path) -> String {
    format!("while importing `{}`", path.display())
}

fn import(args: &FileArgs, read: Read, spec: FeatureSpec, bytes: &[u8]) -> Result<Model> {
    let text = std::str::from_utf8(bytes).with_context(|| {
        "expected JSON in UTF-8\nhint: `--help` shows how to write it; pickles and isotree's \
         `export_model` are other formats"
    })?;
    let imported = read(text, args.fraction_bits)?;
    let (expected, found) = (spec.len(), imported.forest.parts().n_features);
    if expected != found as usize {
        bail!(
            "the model takes rows of {found} features, `{spec}` makes {expected}\n\
             hint: `--features` has to name those that it was trained on, in their order"
        );
    }
    let name = args.input.file_name().unwrap_or_default().to_string_lossy();
    let mut settings = vec![
        ("library".to_owned(), imported.library),
        ("file".to_owned(), name.into_owned()),
        ("file_xxh3".to_owned(), format!("{:016x}", xxh3_64(bytes))),
    ];
    settings.extend(imported.settings);
    let provenance = provenance(settings, imported.rng_seed.unwrap_or(0));
    Ok(Model::new(spec, imported.forest, provenance)?)
}
