//! What the benches share: the fixtures as blocks, checksums of columns, and the head of a record.
//!
//! Each bench is its own program under `benches/`; README.md says what they show. Every one of
//! them runs at a smoke size unless cargo asks for a bench ([`is_smoke`]).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use scout40_models::{FeatureSpec, FillPlan, RowBuffer};
use scout40_replay::event::{Block, Column, ColumnSet, Dtype};
use scout40_replay::format::{
    Compression, SampleKind, Step, StreamDecoder, StreamHeader, StreamWriter,
};
use scout40_replay::source::{Delivery, FileSource, Source};

/// Orbits that are read at smoke size.
pub const SMOKE_ORBITS: usize = 3;

/// A fixture by its path in `fixtures/`.
#[must_use]
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)
}

/// Whether to do the least that shows that a bench works: `cargo test --benches` and `--test`.
#[must_use]
pub fn is_smoke() -> bool {
    let has = |option: &str| std::env::args().any(|arg| arg == option);
    has("--test") || !has("--bench")
}

/// A layout of rows by its name.
///
/// # Panics
/// If there is no such layout.
#[must_use]
pub fn layout(name: &str) -> FeatureSpec {
    FeatureSpec::parse(name).expect("a layout that exists")
}

/// The first orbits of the zero-bias fixture (109 in all) with the columns that `l1-57` looks at,
/// in blocks of so many orbits. At smoke size, very few.
///
/// # Panics
/// If the fixture is missing or damaged.
#[must_use]
pub fn zero_bias(orbits_per_block: usize, most_orbits: usize) -> Vec<Block> {
    let most_orbits = if is_smoke() { SMOKE_ORBITS } else { most_orbits };
    let wanted = layout("l1-57").columns().union(ColumnSet::skeleton());
    let mut source = FileSource::open(&fixture("streams/zero-bias.s40")).expect("the fixture");
    let (mut out, mut from) = (Vec::<Block>::new(), Block::default());
    let (mut n_orbits, mut last_orbit) = (0, None);
    loop {
        match source.next_block(wanted, &mut from).expect("the fixture can be read") {
            Delivery::Block => {}
            Delivery::End => return out,
            trouble => panic!("the fixture is damaged: {trouble:?}"),
        }
        for event in 0..from.len() {
            let id = from.crossing_id(event);
            if last_orbit != Some(id.orbit) {
                last_orbit = Some(id.orbit);
                if n_orbits == most_orbits {
                    return out;
                }
                if n_orbits % orbits_per_block == 0 {
                    let mut block = Block::new(wanted);
                    block.run = id.run;
                    out.push(block);
                }
                n_orbits += 1;
            }
            out.last_mut().expect("an orbit begins a block").push_event(&from, event);
        }
    }
}

/// Crossings in all blocks.
#[must_use]
pub fn n_events(blocks: &[Block]) -> u64 {
    blocks.iter().map(|block| block.len() as u64).sum()
}

/// Writes blocks as a stream file and returns its bytes.
///
/// # Panics
/// If the system refuses.
#[must_use]
pub fn encode(blocks: &[Block], compression: Compression, path: &Path) -> Vec<u8> {
    let header = StreamHeader::new(SampleKind::ZeroBias, "bench", blocks[0].columns());
    let mut writer = StreamWriter::create(path, &header, compression).expect("a writer");
    blocks.iter().for_each(|block| writer.write(block).expect("a whole block"));
    writer.finish().expect("a finished file");
    std::fs::read(path).expect("the file just written")
}

/// Steps through a stream in memory; `on_block` sees the decoder at every block.
///
/// # Panics
/// If it is damaged.
pub fn walk(bytes: &[u8], mut on_block: impl FnMut(&StreamDecoder)) {
    let (mut decoder, mut rest) = (StreamDecoder::new(), bytes);
    loop {
        match decoder.step().expect("a valid stream") {
            Step::NeedMore(n) => {
                let n = n.max(1 << 16).min(rest.len());
                decoder.space(n)[..n].copy_from_slice(&rest[..n]);
                decoder.commit(n);
                rest = &rest[n..];
            }
            Step::Block => on_block(&decoder),
            Step::End => return,
            Step::Header(_) | Step::Index(_) => {}
        }
    }
}

/// A checksum of columns that does not depend on where blocks begin and end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnChecksum {
    by_column: std::collections::BTreeMap<&'static str, u64>,
}

impl ColumnChecksum {
    /// Adds the columns of the next block.
    ///
    /// # Panics
    /// For columns of types that no bench decodes.
    pub fn add(&mut self, block: &Block) {
        for column in block.columns().iter() {
            match column.spec().dtype {
                Dtype::U8 => self.fold(column, block.get::<u8>(column).iter().map(|&x| x.into())),
                Dtype::I16 => self.fold(column, block.get::<i16>(column).iter().map(|&x| x.into())),
                Dtype::U32 => self.fold(column, block.get::<u32>(column).iter().map(|&x| x.into())),
                other => panic!("no bench decodes columns of {}", other.name()),
            }
        }
    }

    fn fold(&mut self, column: Column, entries: impl Iterator<Item = i64>) {
        let sum = self.by_column.entry(column.spec().name).or_default();
        *sum = entries.fold(*sum, |sum, x| mix(sum, x.cast_unsigned()));
    }

    /// Of all blocks.
    #[must_use]
    pub fn of(blocks: &[Block]) -> ColumnChecksum {
        let mut sum = ColumnChecksum::default();
        blocks.iter().for_each(|block| sum.add(block));
        sum
    }
}

/// One step of a checksum that depends on the order of what goes in.
#[must_use]
pub fn mix(sum: u64, x: u64) -> u64 {
    (sum ^ x).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}

/// Rows of the first `n` events in batches of `batch` (the last one of a block is cut).
#[must_use]
pub fn batches(blocks: &[Block], spec: &FeatureSpec, batch: usize, n: usize) -> Vec<RowBuffer> {
    let plan = FillPlan::new(spec);
    let (mut out, mut left) = (Vec::new(), n);
    for block in blocks {
        for begin in (0..block.len()).step_by(batch) {
            let len = (block.len() - begin).min(batch).min(left);
            if len == 0 {
                return out;
            }
            let mut rows = RowBuffer::new(spec.len());
            plan.fill(block, begin..begin + len, &mut rows, 0);
            rows.set_len(len);
            out.push(rows);
            left -= len;
        }
    }
    out
}

/// The head of every recorded run: processor, kernel, isolation, compiler, commit.
#[must_use]
pub fn machine() -> String {
    let mut text = String::new();
    let kernel = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let isolation = kernel.split_whitespace().filter(|word| {
        ["isolcpus=", "nohz_full=", "rcu_nocbs="].iter().any(|option| word.starts_with(option))
    });
    let isolation = isolation.collect::<Vec<_>>().join(" ");
    let lines = [
        ("date", output("date", &["-u", "+%F %R UTC"])),
        ("kernel", output("uname", &["-srm"])),
        ("isolation", if isolation.is_empty() { "none".into() } else { isolation }),
        ("rustc", output("rustc", &["--version"])),
        ("commit", output("git", &["describe", "--always", "--dirty"])),
        ("load", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().into()),
    ];
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {value}");
    }
    let _ = writeln!(text, "\n{}", output("lscpu", &[]));
    text
}

/// What a program prints, or why there is nothing.
fn output(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim_end().into(),
        Err(error) => format!("unknown ({program}: {error})"),
    }
}

/// Prints a report, and writes it under `--record DIR` as `<bench>.txt` with the machine above it.
///
/// # Panics
/// If it cannot be written.
pub fn report(bench: &str, text: &str) {
    println!("{text}");
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == "--record") else { return };
    let folder = Path::new(arguments.get(at + 1).expect("a folder after `--record`"));
    std::fs::create_dir_all(folder).expect("a folder that can be made");
    let path = folder.join(format!("{bench}.txt"));
    std::fs::write(&path, format!("{}\n{text}\n", machine())).expect("a file that can be written");
    println!("written    {}", path.display());
}
