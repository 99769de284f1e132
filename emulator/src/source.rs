//! Which source a run reads from: how people write it, and how it is opened.
//!
//! The reader knows [`Source`] only. What a kind of source cannot do (begin again, begin at an
//! orbit) is refused here, before a thread starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use scout40_replay::framing::CONNECTIONS_MAX;
use scout40_replay::generate::{
    GeneratedStream, GeneratorModel, GeneratorSource, PileUp, Placement,
};
use scout40_replay::source::{EncodedSource, FileSource, Source, SourceFacts};

use crate::affinity::allowed_cores;
use crate::config::{RunConfig, SchemeChoice, UsageError};
use crate::generate::first_blocks;
use crate::network::{Counters, DthSource, Framing, NetworkOptions, TcpSource};
use crate::reader::Decoders;

/// A source as people write it.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSpec {
    /// A stream file.
    File(PathBuf),
    /// `HOST:PORT` of each connection that the stream comes over.
    Tcp(Vec<String>),
    /// Events of a statistical model, without end.
    Generator(GeneratorSpec),
}

/// A generator as people write it: `generator:pile-up=60,seed=1,pool=1000000,model=PATH`.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorSpec {
    /// How many collisions pile up.
    pub pile_up: PileUp,
    /// Seed of the events.
    pub rng_seed: u64,
    /// Events that are made beforehand and come again and again; 0: each is made when it is read.
    pub pool: u64,
    /// The model; the shipped one by default.
    pub model: Option<PathBuf>,
}

/// Events of a pool by default: about 90 MB, a second's work.
const POOL_EVENTS: u64 = 1_000_000;
/// Most events of a pool.
const POOL_EVENTS_MAX: u64 = 100_000_000;

impl Default for GeneratorSpec {
    fn default() -> GeneratorSpec {
        GeneratorSpec { pile_up: PileUp::Fitted, rng_seed: 1, pool: POOL_EVENTS, model: None }
    }
}

impl std::str::FromStr for GeneratorSpec {
    type Err = String;

    /// What follows `generator:`, or nothing.
    fn from_str(text: &str) -> Result<GeneratorSpec, String> {
        let mut spec = GeneratorSpec::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let number =
                || value.parse::<u64>().map_err(|_| format!("expected `{name}=N`, found `{part}`"));
            match name {
                "pile-up" => spec.pile_up = value.parse()?,
                "seed" => spec.rng_seed = number()?,
                "pool" => {
                    spec.pool = number()?;
                    if spec.pool > POOL_EVENTS_MAX {
                        return Err(format!(
                            "expected a pool of at most {POOL_EVENTS_MAX} events, found `{part}`"
                        ));
                    }
                }
                "model" if !value.is_empty() => spec.model = Some(value.into()),
                _ => {
                    return Err(format!(
                        "expected `pile-up=`, `seed=`, `pool=` or `model=` after `generator:`, found `{part}`"
                    ));
                }
            }
        }
        Ok(spec)
    }
}

impl std::fmt::Display for GeneratorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "generator:pile-up={},seed={},pool={}", self.pile_up, self.rng_seed, self.pool)?;
        self.model.as_ref().map_or(Ok(()), |path| write!(f, ",model={}", path.display()))
    }
}

impl std::str::FromStr for SourceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<SourceSpec, String> {
        if text == "generator" {
            return Ok(SourceSpec::Generator(GeneratorSpec::default()));
        }
        if let Some(options) = text.strip_prefix("generator:") {
            return options.parse().map(SourceSpec::Generator);
        }
        match text.split_once("://") {
            None => Ok(SourceSpec::File(text.into())),
            Some(("tcp", addresses)) => tcp_addresses(addresses).map(SourceSpec::Tcp),
            Some((scheme, _)) => {
                Err(format!("expected a file or `tcp://HOST:PORT`, found `{scheme}://`"))
            }
        }
    }
}

/// `HOST:PORT[,HOST:PORT…]`.
fn tcp_addresses(text: &str) -> Result<Vec<String>, String> {
    let addresses: Vec<String> = text.trim_end_matches('/').split(',').map(String::from).collect();
    for address in &addresses {
        let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        if !matches!(port, Some((host, Ok(port))) if !host.is_empty() && port > 0) {
            return Err(format!("expected `tcp://HOST:PORT[,HOST:PORT...]`, found `{address}`"));
        }
    }
    if addresses.len() > CONNECTIONS_MAX as usize {
        return Err(format!(
            "expected at most {CONNECTIONS_MAX} connections, found {}",
            addresses.len()
        ));
    }
    Ok(addresses)
}

impl From<PathBuf> for SourceSpec {
    fn from(path: PathBuf) -> SourceSpec {
        SourceSpec::File(path)
    }
}

impl From<&Path> for SourceSpec {
    fn from(path: &Path) -> SourceSpec {
        SourceSpec::File(path.into())
    }
}

impl std::fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceSpec::File(path) => path.display().fmt(f),
            SourceSpec::Tcp(addresses) => write!(f, "tcp://{}", addresses.join(",")),
            SourceSpec::Generator(spec) => spec.fmt(f),
        }
    }
}

/// A source that a run can begin with.
pub struct OpenSource {
    /// Where events come from.
    pub source: Box<dyn Source>,
    /// What is known of it beforehand.
    pub facts: SourceFacts,
    /// What is counted while it is received, if it comes over the network.
    pub network: Option<Arc<Counters>>,
}

/// Opens the source of a run and goes to where it begins. Threads on the cores `decoders` decode.
///
/// # Errors
/// A source that cannot be opened, or cannot do what the configuration asks for.
pub fn open_source(
    config: &RunConfig,
    decoders: &[usize],
    warnings: &mut Vec<String>,
) -> Result<OpenSource> {
    check_request(config)?;
    let mut network = None;
    let source: Box<dyn Source> = match &config.source {
        SourceSpec::File(path) => {
            decoded_by(Box::new(open_file(path, config.from_orbit, warnings)?), decoders)?
        }
        SourceSpec::Tcp(addresses) => {
            let counters = network.insert(Arc::new(Counters::default()));
            open_network(addresses, config.network, decoders, Arc::clone(counters), warnings)?
        }
        SourceSpec::Generator(spec) => Box::new(open_generator(spec)?),
    };
    let facts = source.facts();
    check_facts(config, &facts)?;
    Ok(OpenSource { source, facts, network })
}

fn open_network(
    addresses: &[String],
    options: NetworkOptions,
    decoders: &[usize],
    counters: Arc<Counters>,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn Source>> {
    if options.framing == Framing::S40 {
        let source = TcpSource::open(addresses, options, counters)?;
        return decoded_by(Box::new(source), decoders);
    }
    if !decoders.is_empty() {
        warnings.push(
            "`--readers`: orbits of `--framing dth256` are decoded by the reader itself".into(),
        );
    }
    Ok(Box::new(DthSource::open(addresses, options, counters)?))
}

/// The source itself, or threads on these cores that decode what it delivers.
fn decoded_by<S: EncodedSource + 'static>(
    source: Box<S>,
    decoders: &[usize],
) -> Result<Box<dyn Source>> {
    if decoders.is_empty() {
        return Ok(source);
    }
    let threads = Decoders::start(source, decoders).context("while starting `--readers`")?;
    Ok(Box::new(threads))
}

fn open_file(
    path: &Path,
    from_orbit: Option<u32>,
    warnings: &mut Vec<String>,
) -> Result<FileSource> {
    let mut source = FileSource::open(path)?;
    if let Some(problem) = &source.info().index_problem {
        warnings.push(format!(
            "`{}` has lost its index ({problem}): read up to the last whole block",
            path.display()
        ));
    }
    if let Some(orbit) = from_orbit {
        source.seek_orbit(orbit)?;
        let blocks = source.info().index.iter().flat_map(|index| &index.blocks);
        let first = blocks.clone().map(|block| block.first_orbit).min().unwrap_or(0);
        let last = blocks.map(|block| block.last_orbit).max().unwrap_or(0);
        ensure!(
            orbit <= last,
            "`{}` has no crossing at orbit {orbit} or after it: its orbits are {first}..={last}\n\
             hint: choose `--from-orbit` among them",
            path.display()
        );
    }
    Ok(source)
}

/// A generator whose orbits fill the LHC's scheme; the scheme of the run decides on slots.
fn open_generator(spec: &GeneratorSpec) -> Result<GeneratorSource> {
    let model = match &spec.model {
        Some(path) => GeneratorModel::read(path)?,
        None => GeneratorModel::shipped(),
    };
    let placement = Placement::default();
    let orbits = u64::from(u32::MAX - placement.first_orbit);
    let n_events = orbits * u64::from(placement.scheme.n_colliding());
    let stream = GeneratedStream::new(&model, spec.pile_up, spec.rng_seed, placement, n_events)?;
    let n_blocks = spec.pool.div_ceil(stream.events_per_block());
    let pool = first_blocks(&stream, n_blocks, allowed_cores().len());
    Ok(GeneratorSource::new(stream, pool))
}

/// What a kind of source cannot do: refused before anybody connects or makes events.
fn check_request(config: &RunConfig) -> Result<(), UsageError> {
    let name = &config.source;
    if config.from_orbit.is_some() && !matches!(name, SourceSpec::File(_)) {
        return Err(UsageError(format!(
            "`--from-orbit` needs a file, found `{name}`\nhint: a file's index tells where an orbit is"
        )));
    }
    if config.repeat && matches!(name, SourceSpec::Tcp(_)) {
        return Err(UsageError(format!(
            "`--repeat` needs a source that can begin again, found `{name}`\n\
             hint: leave it out; `scout40 serve STREAM --repeat` sends a stream again and again"
        )));
    }
    Ok(())
}

fn check_facts(config: &RunConfig, facts: &SourceFacts) -> Result<()> {
    let name = &config.source;
    if config.repeat && !facts.can_rewind {
        return Err(UsageError(format!(
            "`--repeat` needs a source that can begin again, found `{name}`\n\
             hint: leave it out; it goes on as long as it is asked to"
        ))
        .into());
    }
    // Orbits run on in a repeat and give slots and places, but every run counts its own.
    let needs_one_run =
        config.repeat || config.scheme == SchemeChoice::Recorded || config.from_orbit.is_some();
    if let (true, Some((first, last))) = (needs_one_run, facts.runs) {
        ensure!(
            first == last,
            "`{name}` holds the runs {first}..={last}: `--repeat`, `--filling-scheme recorded` and \
             `--from-orbit` need a stream of one run\nhint: convert one run at a time"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_file_unless_it_names_a_scheme() {
        assert_eq!("a/b.s40".parse(), Ok(SourceSpec::File("a/b.s40".into())));
        let tcp: SourceSpec = "tcp://a:1,[::1]:65535/".parse().unwrap();
        assert_eq!(tcp, SourceSpec::Tcp(vec!["a:1".into(), "[::1]:65535".into()]));
        assert_eq!(tcp.to_string(), "tcp://a:1,[::1]:65535");
        let many = format!("tcp://{}a:1", "a:1,".repeat(256));
        for bad in ["ftp://host", "tcp://", "tcp://a", "tcp://a:b", "tcp://:1", "tcp://a:0", &many]
        {
            assert!(bad.parse::<SourceSpec>().is_err(), "{bad}");
        }
        assert_eq!(SourceSpec::from(Path::new("x.s40")).to_string(), "x.s40");
    }

    #[test]
    fn a_generator_is_read_as_it_is_written() {
        let default = SourceSpec::Generator(GeneratorSpec::default());
        assert_eq!("generator".parse(), Ok(default.clone()));
        assert_eq!("generator:".parse(), Ok(default));
        let spec = GeneratorSpec {
            pile_up: PileUp::Poisson(75.0),
            rng_seed: 7,
            pool: 0,
            model: Some("a.generator".into()),
        };
        let text = "generator:pile-up=poisson:75,seed=7,pool=0,model=a.generator";
        assert_eq!(text.parse(), Ok(SourceSpec::Generator(spec.clone())));
        assert_eq!(spec.to_string(), text);
        for bad in
            ["pile-up=0", "seed=-1", "pool=x", "pool=100000001", "speed=1", "model=", "pile-up"]
        {
            assert!(format!("generator:{bad}").parse::<SourceSpec>().is_err(), "{bad}");
        }
    }
}
