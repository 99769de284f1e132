//! One file of Native64 events, bare or in blocks of DTHBasic256.

use std::path::Path;

use super::output::{OutputFile, orbits};
use super::unfinished::Unfinished;
use super::{ExportError, ExportSummary, Exporter};
use crate::event::{Block, Column, ColumnSet};
use crate::lhc::Bx;
use crate::raw::crossing::Crossing;
use crate::raw::dth;
use crate::raw::native64::{OrbitHeader, push_event};
use crate::raw::objects::{self, Payload};

/// Makes the words of orbits. Reuses its buffers.
#[derive(Debug)]
pub(super) struct OrbitWords {
    payload: Payload,
    columns: ColumnSet,
    crossing: Crossing,
    words: Vec<u64>,
}

impl OrbitWords {
    pub(super) fn new(payload: Payload, columns: ColumnSet) -> OrbitWords {
        OrbitWords { payload, columns, crossing: Crossing::default(), words: Vec::new() }
    }

    /// Appends the event of a crossing, also if it has no objects. Returns how many words had no
    /// room.
    pub(super) fn push(&mut self, block: &Block, index: usize, out: &mut Vec<u8>) -> u64 {
        let id = block.crossing_id(index);
        let bx = Bx::new(id.bx.into()).expect("blocks hold crossings of the orbit");
        self.crossing.fill(block.event(index), self.columns);
        let beyond = self.payload.write(&self.crossing, bx, &mut self.words);
        push_event(objects::header(block.run, id.orbit, bx), &self.words, out);
        beyond as u64
    }
}

/// What [`ExportSummary::left_out_values`] counts.
pub(super) const BEYOND: &str = "words for which an event has no room";
pub(super) const SUPPRESSED: &str = "crossings without an object, which are suppressed";

/// What of a stream's columns the words carry, as a summary begins.
pub(super) fn summary(payload: Payload, columns: ColumnSet) -> ExportSummary {
    let made_up_quality = payload == Payload::Run3
        && columns.contains(Column::MuonPt)
        && !columns.contains(Column::MuonQual);
    ExportSummary {
        left_out: objects::left_out(payload, columns),
        payload: Some(payload),
        made_up_quality,
        ..ExportSummary::default()
    }
}

pub(super) struct WordsExporter {
    output: Unfinished,
    file: OutputFile,
    in_blocks: bool,
    orbit_words: OrbitWords,
    orbit: Vec<u8>,
    blocks: Vec<u8>,
    beyond: u64,
    summary: ExportSummary,
}

impl WordsExporter {
    pub(super) fn create(
        path: &Path,
        columns: ColumnSet,
        payload: Payload,
        in_blocks: bool,
    ) -> Result<WordsExporter, ExportError> {
        let output = Unfinished::file(path);
        let file = OutputFile::create(output.temporary())?;
        let orbit_words = OrbitWords::new(payload, columns);
        let (orbit, blocks) = (Vec::new(), Vec::new());
        let summary = summary(payload, columns);
        let beyond = 0;
        Ok(WordsExporter { output, file, in_blocks, orbit_words, orbit, blocks, beyond, summary })
    }
}

impl Exporter for WordsExporter {
    fn write(&mut self, block: &Block) -> Result<(), ExportError> {
        for (orbit, crossings) in orbits(block) {
            self.orbit.clear();
            self.summary.crossings += crossings.len() as u64;
            for index in crossings {
                let beyond = self.orbit_words.push(block, index, &mut self.orbit);
                self.beyond += beyond;
            }
            if self.in_blocks {
                let (run, n_words) = ((block.run & 0x1f) as u8, (self.orbit.len() / 8) as u32);
                let header = OrbitHeader { error: false, run, orbit, n_words };
                self.blocks.clear();
                dth::push_orbit(Some(header), &self.orbit, &mut self.blocks);
                self.file.put(&self.blocks)?;
            } else {
                self.file.put(&self.orbit)?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<ExportSummary, ExportError> {
        let WordsExporter { mut output, file, mut summary, beyond, .. } = *self;
        summary.left_out_values = vec![(beyond, BEYOND)];
        let path = output.path().to_owned();
        summary.files.push((path, file.finish(&[])?));
        output.name()?;
        Ok(summary)
    }
}
