//! `scout40 export`: models of ours for other programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use scout40_models::export::hls4ml::{BUILD_PY, network_json};
use scout40_models::export::onnx::{Form, onnx};
use scout40_models::file::{Content, write_whole};
use scout40_models::{Autoencoder, Model};

use super::output::{print, refuse_overwrite};
use crate::config::{UsageError, read_model};

/// Writes an autoencoder for other programs: ONNX, or what hls4ml makes firmware of.
#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(subcommand)]
    to: To,
}

#[derive(Subcommand, Debug)]
enum To {
    /// An ONNX file, from rows of 16-bit integers to scores
    #[command(after_help = ONNX)]
    Onnx(OnnxArgs),
    /// A folder with types, weights and a script that makes an hls4ml project of them
    #[command(name = "hls4ml", after_help = HLS4ML)]
    Hls4ml(FolderArgs),
}

const ONNX: &str = "\
Examples:
  scout40 export onnx autoencoder.model -o autoencoder.onnx
  scout40 export onnx autoencoder.model -o float.onnx --form float

The input `rows` is int16 (n, features), in the order that `scout40 inspect` shows. The output `score`
is the integer that scout40 decides by, or what the network before quantisation gives, as float.";

const HLS4ML: &str = "\
Example:
  scout40 export hls4ml autoencoder.model -o autoencoder-hls
  python autoencoder-hls/build.py --compile

The project's inputs are codes of 8 bits, which `codes` in build.py makes of a row; its output is the
integer score.";

#[derive(Args, Debug)]
struct OnnxArgs {
    /// The model: an autoencoder
    #[arg(value_name = "M.model")]
    model: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "M.onnx")]
    output: PathBuf,
    /// Which of the two networks in a model
    #[arg(long, default_value = "integer")]
    form: FormArg,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
struct FolderArgs {
    /// The model: an autoencoder
    #[arg(value_name = "M.model")]
    model: PathBuf,
    /// The folder to write, must not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum FormArg {
    /// As it scores
    Integer,
    /// As training left it
    Float,
}

pub fn run(args: &ExportArgs) -> Result<()> {
    match &args.to {
        To::Onnx(args) => {
            refuse_overwrite(&args.output, args.force)?;
            let model = read_model(&args.model)?;
            let form = match args.form {
                FormArg::Integer => Form::Integer,
                FormArg::Float => Form::Float,
            };
            let bytes = onnx(model.spec(), autoencoder(&model, &args.model)?, form);
            write_whole(&args.output, &bytes, "writing the ONNX file")?;
            print(&format!("{}: {} bytes\n", args.output.display(), bytes.len()))
        }
        To::Hls4ml(args) => {
            if args.output.exists() {
                let text = format!("`{}` exists\nhint: name a new folder", args.output.display());
                return Err(UsageError(text).into());
            }
            let model = read_model(&args.model)?;
            let net = &autoencoder(&model, &args.model)?.integer;
            let json = network_json(model.spec(), net, &project_name(&args.model))?;
            write_folder(&args.output, &json)
                .with_context(|| format!("while writing `{}`", args.output.display()))?;
            let folder = args.output.display();
            print(&format!(
                "{folder}: network.json, build.py\nnext       python {folder}/build.py --compile\n"
            ))
        }
    }
}

fn autoencoder<'a>(model: &'a Model, path: &Path) -> Result<&'a Autoencoder> {
    match model.content() {
        Content::Autoencoder(autoencoder) => Ok(autoencoder),
        Content::Forest(_) => bail!(
            "`{}`: expected an autoencoder, found a forest\nhint: forests have no layers to export",
            path.display()
        ),
        Content::Detector(_) => bail!(
            "`{}`: expected an autoencoder of ours, found an imported network\n\
             hint: its own project is what hls4ml and others take",
            path.display()
        ),
    }
}

/// A name that C++ takes.
fn project_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("scout40_{}", stem.chars().map(safe).collect::<String>())
}

/// Writes both files into a folder of a temporary name, and renames it.
fn write_folder(folder: &Path, json: &str) -> std::io::Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    std::fs::create_dir(&temporary)?;
    let written = std::fs::write(temporary.join("network.json"), json)
        .and_then(|()| std::fs::write(temporary.join("build.py"), BUILD_PY))
        .and_then(|()| std::fs::rename(&temporary, folder));
    if written.is_err() {
        // The error that is returned says more than a second one about the left-over.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    written
}
