//! A detector, ready to score: by its program where there is one, else by the specification.

use super::detector::Detector;
use super::program::Program;
use crate::kernels::fixed;
use crate::kernels::isa::Isa;
use crate::rows::Rows;
use crate::scorer::{Evaluation, Score, Scorer, Scratch};

/// Scores rows with a detector.
#[derive(Clone, Debug)]
pub struct DetectorScorer {
    detector: Detector,
    program: Result<Program, String>,
    isa: Isa,
}

impl DetectorScorer {
    /// The detector on these instructions.
    #[must_use]
    pub fn new(detector: &Detector, isa: Isa) -> DetectorScorer {
        DetectorScorer { detector: detector.clone(), program: Program::new(detector), isa }
    }

    /// The detector by its specification: number by number, with 128 bits to each.
    #[must_use]
    pub fn by_specification(detector: &Detector) -> DetectorScorer {
        let program = Err("as was asked for".to_owned());
        DetectorScorer { detector: detector.clone(), program, isa: Isa::best() }
    }

    /// Why 32 bits are not proven to be enough, if they are not.
    #[must_use]
    pub fn why_slow(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }
}

impl Scorer for DetectorScorer {
    fn n_features(&self) -> usize {
        self.detector.n_features()
    }

    fn evaluation(&self) -> Evaluation {
        match &self.program {
            Ok(_) => Evaluation { plan: "fixed-point network", isa: self.isa.name() },
            Err(_) => Evaluation { plan: "number by number", isa: "portable" },
        }
    }

    fn scratch(&self) -> Scratch {
        match &self.program {
            Ok(program) => Scratch::new(fixed::n_lanes(program)),
            Err(_) => Scratch { numbers: self.detector.network.zeros(), ..Scratch::default() },
        }
    }

    fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        match &self.program {
            Ok(program) => fixed::score(program, self.isa, rows, &mut scratch.lanes, out),
            Err(_) => self.detector.score_rows_in(rows, &mut scratch.numbers, out),
        }
    }

    fn range(&self) -> (Score, Score) {
        self.detector.range()
    }

    fn fraction_bits(&self) -> u32 {
        match self.detector.origin() {
            // People read and write the trigger's own integers.
            super::Origin::Axol1tl { .. } => 0,
            super::Origin::Project => self.detector.score_bits(),
        }
    }

    /// The score as the trigger has it: the loss times 16; of a project, the loss.
    fn display(&self, score: Score) -> f64 {
        f64::from(score) / 2_f64.powi(self.fraction_bits().cast_signed())
    }
}
