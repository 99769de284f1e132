//! A network, ready to score.

use super::integer::{IntegerNet, MAX_DISTANCE};
use crate::kernels::isa::Isa;
use crate::kernels::network::Network;
use crate::rows::Rows;
use crate::scorer::{Evaluation, Score, Scorer, Scratch};

/// Scores rows with a network in integers.
#[derive(Clone, Debug)]
pub struct NetScorer {
    network: Network,
    isa: Isa,
    n_features: usize,
    n_outputs: usize,
    score_bits: i8,
}

impl NetScorer {
    /// The network on these instructions.
    #[must_use]
    pub fn new(net: &IntegerNet, isa: Isa) -> NetScorer {
        let parts = net.parts();
        NetScorer {
            network: Network::new(net),
            isa,
            n_features: parts.inputs.len(),
            n_outputs: parts.layers.last().map_or(0, |layer| layer.biases.len()),
            score_bits: parts.score_bits,
        }
    }
}

impl Scorer for NetScorer {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation { plan: "network", isa: self.isa.name() }
    }

    fn scratch(&self) -> Scratch {
        Scratch::new(self.network.n_lanes())
    }

    fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        self.network.score(self.isa, rows, &mut scratch.lanes, out);
    }

    fn range(&self) -> (Score, Score) {
        (0, self.n_outputs as Score * MAX_DISTANCE * MAX_DISTANCE)
    }

    fn fraction_bits(&self) -> u32 {
        self.score_bits.max(0).unsigned_abs().into()
    }

    /// The squared distance, with a code of 128 as 1.
    fn display(&self, score: Score) -> f64 {
        f64::from(score) * 2_f64.powi((-self.score_bits).into())
    }
}
