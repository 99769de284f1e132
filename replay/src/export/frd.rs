//! A folder of FRD files, as the experiment's writes them.
//!
//! ```text
//! OUT/run398183/run398183_ls0261_index000000.raw      the first source
//!               run398183_ls0261_index000000.raw_1    the second, and so on
//!               run398183_ls0261_index000001.raw      4096 orbits later
//! ```
//!
//! Phase-2 files have one source and end in `_ts00.raw`. Files end with a luminosity section, a
//! run, or after 4096 orbits; each source has a record for every orbit, also an empty one.

use std::fs;
use std::path::{Path, PathBuf};

use super::output::{OutputFile, orbits};
use super::unfinished::Unfinished;
use super::words::{BEYOND, OrbitWords, SUPPRESSED, summary};
use super::{ExportError, ExportSummary, Exporter};
use crate::event::{Block, Column, ColumnSet, Group};
use crate::lhc::{Bx, lumi_section_of_orbit};
use crate::raw::crossing::Crossing;
use crate::raw::frd::{EventHeader, FileHeader};
use crate::raw::objects::Payload;
use crate::raw::run3::{self, Source};

/// Orbits of one file: 2^12, as the Phase-2 receiver has it.
const ORBITS_PER_FILE_LOG2: u32 = 12;

/// What is written into records.
enum Content {
    /// A file for each source.
    Run3 {
        sources: Vec<Source>,
        crossing: Crossing,
    },
    Phase2(OrbitWords),
}

/// What all files of a set have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileKey {
    run: u32,
    lumi: u32,
    part: u32,
}

/// The open files of one set.
struct FileSet {
    key: FileKey,
    files: Vec<OutputFile>,
    n_orbits: u32,
}

pub(super) struct FrdExporter {
    output: Unfinished,
    columns: ColumnSet,
    content: Content,
    set: Option<FileSet>,
    /// Sets of the current run and luminosity section before this one.
    index: u32,
    payloads: Vec<Vec<u8>>,
    /// Crossings without an object.
    suppressed: u64,
    /// Objects beyond what an event can hold.
    beyond: u64,
    summary: ExportSummary,
}

impl FrdExporter {
    /// Blocks of Run-3 sources.
    pub(super) fn run3(
        path: &Path,
        columns: ColumnSet,
        sources: Vec<Source>,
    ) -> Result<FrdExporter, ExportError> {
        let carried = sources.iter().map(|source| source.columns());
        let carried = carried.fold(Group::Lumi.columns(), ColumnSet::union);
        let has_muons = sources.contains(&Source::Muons);
        let summary = ExportSummary {
            left_out: columns.minus(carried).minus(ColumnSet::skeleton()),
            made_up_quality: has_muons && !columns.contains(Column::MuonQual),
            ..ExportSummary::default()
        };
        let content = Content::Run3 { sources, crossing: Crossing::default() };
        FrdExporter::create(path, columns, content, summary)
    }

    /// Phase-2 events.
    pub(super) fn phase2(
        path: &Path,
        columns: ColumnSet,
        payload: Payload,
    ) -> Result<FrdExporter, ExportError> {
        let content = Content::Phase2(OrbitWords::new(payload, columns));
        FrdExporter::create(path, columns, content, summary(payload, columns))
    }

    fn create(
        path: &Path,
        columns: ColumnSet,
        content: Content,
        summary: ExportSummary,
    ) -> Result<FrdExporter, ExportError> {
        let n_files = match &content {
            Content::Run3 { sources, .. } => sources.len(),
            Content::Phase2(_) => 1,
        };
        let output = Unfinished::folder(path)?;
        let payloads = vec![Vec::new(); n_files];
        let (suppressed, beyond) = (0, 0);
        Ok(FrdExporter {
            output,
            columns,
            content,
            set: None,
            index: 0,
            payloads,
            suppressed,
            beyond,
            summary,
        })
    }

    /// Makes the payload of each file for one orbit.
    fn fill_payloads(&mut self, block: &Block, orbit: u32, crossings: std::ops::Range<usize>) {
        self.payloads.iter_mut().for_each(Vec::clear);
        match &mut self.content {
            Content::Phase2(words) => {
                for index in crossings {
                    let beyond = words.push(block, index, &mut self.payloads[0]);
                    self.beyond += beyond;
                }
            }
            Content::Run3 { sources, crossing } => {
                for (source, payload) in sources.iter().zip(&mut self.payloads) {
                    payload.extend(source.id().to_le_bytes());
                }
                let size = |payloads: &[Vec<u8>]| payloads.iter().map(Vec::len).sum::<usize>();
                for index in crossings {
                    let bx = block.crossing_id(index).bx.into();
                    let bx = Bx::new(bx).expect("blocks hold crossings of the orbit");
                    crossing.fill(block.event(index), self.columns);
                    let before = size(&self.payloads);
                    for (&source, payload) in sources.iter().zip(&mut self.payloads) {
                        run3::encode(source, orbit, bx, crossing, payload);
                    }
                    self.suppressed += u64::from(size(&self.payloads) == before);
                }
            }
        }
    }

    /// Sees that the open files are those of this orbit.
    fn turn_to(&mut self, key: FileKey) -> Result<(), ExportError> {
        if self.set.as_ref().is_some_and(|set| set.key == key) {
            return Ok(());
        }
        let same_lumi = |set: &FileSet| (set.key.run, set.key.lumi) == (key.run, key.lumi);
        self.index = if self.set.as_ref().is_some_and(same_lumi) { self.index + 1 } else { 0 };
        self.close()?;
        let folder = format!("run{:06}", key.run);
        let path = self.output.temporary().join(&folder);
        fs::create_dir_all(&path).map_err(ExportError::io(&path, "create the folder"))?;
        let ending = if matches!(self.content, Content::Run3 { .. }) { "" } else { "_ts00" };
        let stem =
            format!("run{:06}_ls{:04}_index{:06}{ending}.raw", key.run, key.lumi, self.index);
        let mut files = Vec::new();
        for k in 0..self.payloads.len() {
            let name = if k == 0 { stem.clone() } else { format!("{stem}_{k}") };
            let mut file = OutputFile::create(&path.join(&name))?;
            file.put(&FileHeader::new(key.run, key.lumi, 0, 0).to_bytes())?;
            files.push(file);
            let shown: PathBuf = self.output.path().join(&folder).join(name);
            self.summary.files.push((shown, 0));
        }
        self.set = Some(FileSet { key, files, n_orbits: 0 });
        Ok(())
    }

    /// Completes the headers of the open files.
    fn close(&mut self) -> Result<(), ExportError> {
        let Some(FileSet { key, files, n_orbits }) = self.set.take() else { return Ok(()) };
        let first = self.summary.files.len() - files.len();
        for (file, told) in files.into_iter().zip(&mut self.summary.files[first..]) {
            let header = FileHeader::new(key.run, key.lumi, n_orbits, file.bytes());
            told.1 = file.finish(&header.to_bytes())?;
        }
        Ok(())
    }
}

impl Exporter for FrdExporter {
    fn write(&mut self, block: &Block) -> Result<(), ExportError> {
        for (orbit, crossings) in orbits(block) {
            let recorded = block.get::<u32>(Column::Lumi).get(crossings.start).copied();
            let lumi = recorded.unwrap_or_else(|| lumi_section_of_orbit(orbit));
            let run = block.run;
            self.turn_to(FileKey { run, lumi, part: orbit >> ORBITS_PER_FILE_LOG2 })?;
            self.summary.crossings += crossings.len() as u64;
            self.fill_payloads(block, orbit, crossings);
            let set = self.set.as_mut().expect("the files of this orbit are open");
            set.n_orbits += 1;
            for (file, payload) in set.files.iter_mut().zip(&self.payloads) {
                // Bounded by what the crossings of one orbit can hold.
                let header = EventHeader::new(run, lumi, orbit, payload.len() as u32);
                file.put(&header.to_bytes())?;
                file.put(payload)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ExportSummary, ExportError> {
        self.close()?;
        let FrdExporter { mut output, mut summary, suppressed, beyond, .. } = *self;
        summary.left_out_values = vec![(suppressed, SUPPRESSED), (beyond, BEYOND)];
        output.name()?;
        Ok(summary)
    }
}
