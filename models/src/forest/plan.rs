//! How a forest is evaluated: on its side or by walking, and which is cheaper.
//!
//! Walking costs what the paths cost: trees times depths. Evaluation on the side costs what the
//! nodes cost, but shared by a batch of 512: by machine code written for the forest, or by streams
//! of operations where there is none. All give the same scores, so the choice is one of
//! speed only. The costs are counts of operations times measured times per operation; they need
//! to be right about which plan wins, not about the nanoseconds.

use super::Forest;
use super::interleaved::ForestInterleaved;
use super::sliced::{ForestCompiled, ForestSliced, MAX_NODES, SlicedCounts};
use super::walk::ForestWalk;
use crate::error::{Error, Result};
use crate::kernels::isa::Isa;
use crate::rows::{MAX_BATCH, Rows};
use crate::scorer::{Evaluation, Score, Scorer, Scratch};

/// How much longer a walk takes that goes event by event, about.
const PLAIN_FACTOR: f64 = 10.0;

/// Which plan to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlanChoice {
    /// The cheaper one.
    #[default]
    Auto,
    /// On its side, 512 crossings at once.
    Sliced,
    /// Every event by itself, many in flight.
    Walk,
    /// On its side, by machine code written for the forest.
    Compiled,
}

impl PlanChoice {
    /// Names, as users type them.
    pub const NAMES: [&str; 4] = ["auto", "sliced", "walk", "compiled"];

    /// The one of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_name(name: &str) -> Result<PlanChoice> {
        match name {
            "auto" => Ok(PlanChoice::Auto),
            "sliced" => Ok(PlanChoice::Sliced),
            "walk" => Ok(PlanChoice::Walk),
            "compiled" => Ok(PlanChoice::Compiled),
            _ => Err(Error::setting("plan", PlanChoice::NAMES.join(", "), name)),
        }
    }
}

/// What the plans of a forest would cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanCosts {
    /// Estimated ns per event by walking.
    pub walk_ns: f64,
    /// Estimated ns per event on the side, in full batches, by code or by streams; `None` where
    /// there is no such plan.
    pub sliced_ns: Option<f64>,
    /// What that consists of.
    pub counts: Option<SlicedCounts>,
}

#[derive(Clone, Debug)]
enum Plan {
    /// One event after the other, where nothing else can.
    Plain,
    Walk(ForestInterleaved),
    Sliced(ForestSliced),
    Compiled(ForestCompiled),
}

/// A forest, ready to score.
#[derive(Clone, Debug)]
pub struct ForestScorer {
    walk: ForestWalk,
    plan: Plan,
    isa: Isa,
    costs: PlanCosts,
}

impl ForestScorer {
    /// The forest with the cheapest plan for these instructions.
    #[must_use]
    pub fn cheapest(forest: &Forest, isa: Isa) -> ForestScorer {
        // Where code can be written, it is faster than streams of operations.
        if let Some(compiled) = ForestCompiled::new(forest, isa)
            && compiled_ns(isa, &compiled.counts()) < walk_ns(forest)
        {
            return ForestScorer::compiling(forest, isa, compiled);
        }
        match ForestSliced::new(forest) {
            None => ForestScorer::walking(forest, isa),
            Some(sliced) if sliced_ns(isa, &sliced.counts()) < walk_ns(forest) => {
                ForestScorer::slicing(forest, isa, sliced)
            }
            Some(sliced) => {
                let counts = sliced.counts();
                let mut scorer = ForestScorer::walking(forest, isa);
                scorer.costs.sliced_ns = Some(sliced_ns(isa, &counts));
                scorer.costs.counts = Some(counts);
                scorer
            }
        }
    }

    /// The forest with the plan that is asked for.
    ///
    /// # Errors
    /// If that plan cannot evaluate this forest.
    pub fn new(forest: &Forest, isa: Isa, choice: PlanChoice) -> Result<ForestScorer> {
        match choice {
            PlanChoice::Auto => Ok(ForestScorer::cheapest(forest, isa)),
            PlanChoice::Walk => Ok(ForestScorer::walking(forest, isa)),
            PlanChoice::Sliced => {
                let sliced = ForestSliced::new(forest).ok_or_else(|| {
                    let expected = format!(
                        "an axis-parallel forest of at most {MAX_NODES} nodes without a range penalty"
                    );
                    Error::forest("plan `sliced`", expected, "another one: take the plan `walk`")
                })?;
                Ok(ForestScorer::slicing(forest, isa, sliced))
            }
            PlanChoice::Compiled => {
                let compiled = ForestCompiled::new(forest, isa).ok_or_else(|| {
                    let expected = format!(
                        "an axis-parallel forest of at most {MAX_NODES} nodes without a range \
                         penalty, on avx2 or avx512, and a system that lets memory become executable"
                    );
                    Error::forest("plan `compiled`", expected, "otherwise: take the plan `auto`")
                })?;
                Ok(ForestScorer::compiling(forest, isa, compiled))
            }
        }
    }

    fn walking(forest: &Forest, isa: Isa) -> ForestScorer {
        let plan = ForestInterleaved::new(forest, isa).map_or(Plan::Plain, Plan::Walk);
        let plain_factor = if matches!(plan, Plan::Plain) { PLAIN_FACTOR } else { 1.0 };
        let walk_ns = walk_ns(forest) * plain_factor;
        let costs = PlanCosts { walk_ns, sliced_ns: None, counts: None };
        ForestScorer { walk: ForestWalk::new(forest), plan, isa, costs }
    }

    fn compiling(forest: &Forest, isa: Isa, compiled: ForestCompiled) -> ForestScorer {
        let counts = compiled.counts();
        let costs = PlanCosts {
            walk_ns: walk_ns(forest),
            sliced_ns: Some(compiled_ns(isa, &counts)),
            counts: Some(counts),
        };
        let plan = Plan::Compiled(compiled);
        ForestScorer { walk: ForestWalk::new(forest), plan, isa, costs }
    }

    fn slicing(forest: &Forest, isa: Isa, sliced: ForestSliced) -> ForestScorer {
        let counts = sliced.counts();
        let costs = PlanCosts {
            walk_ns: walk_ns(forest),
            sliced_ns: Some(sliced_ns(isa, &counts)),
            counts: Some(counts),
        };
        let plan = Plan::Sliced(sliced);
        ForestScorer { walk: ForestWalk::new(forest), plan, isa, costs }
    }

    /// What the plans would cost.
    #[must_use]
    pub fn costs(&self) -> &PlanCosts {
        &self.costs
    }
}

impl Scorer for ForestScorer {
    fn n_features(&self) -> usize {
        self.walk.n_features()
    }

    fn evaluation(&self) -> Evaluation {
        match self.plan {
            Plan::Plain => Evaluation { plan: "walk", isa: "portable" },
            Plan::Walk(_) => Evaluation { plan: "walk", isa: self.isa.name() },
            Plan::Sliced(_) => Evaluation { plan: "sliced", isa: self.isa.name() },
            Plan::Compiled(_) => Evaluation { plan: "compiled", isa: self.isa.name() },
        }
    }

    fn scratch(&self) -> Scratch {
        match &self.plan {
            Plan::Plain => self.walk.scratch(),
            Plan::Walk(walk) => walk.scratch(),
            Plan::Sliced(sliced) => sliced.scratch(),
            Plan::Compiled(compiled) => compiled.scratch(),
        }
    }

    fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        match &self.plan {
            Plan::Plain => self.walk.score(rows, scratch, out),
            Plan::Walk(walk) => walk.score(rows, scratch, out),
            Plan::Sliced(sliced) => sliced.score(self.isa, rows, scratch, out),
            Plan::Compiled(compiled) => compiled.score(rows, scratch, out),
        }
    }

    fn range(&self) -> (Score, Score) {
        self.walk.range()
    }

    fn fraction_bits(&self) -> u32 {
        self.walk.fraction_bits()
    }

    fn display(&self, score: Score) -> f64 {
        self.walk.display(score)
    }
}

/// Every tree is walked to its depth. Here and below: measured on one core of an Intel Xeon
/// (Emerald Rapids) at about 3.1 GHz that it shared with others.
fn walk_ns(forest: &Forest) -> f64 {
    let depth = |tree| forest.depths(tree).into_iter().max().unwrap_or(0);
    let steps: u32 = (0..forest.n_trees()).map(depth).sum();
    f64::from(steps) * 0.7
}

fn sliced_ns(isa: Isa, counts: &SlicedCounts) -> f64 {
    let words = counts.windows * 60
        + counts.masks
        + counts.reaches
        + counts.reach_padding
        + counts.lines_counted
        + counts.reaches_counted;
    let ns_per_word = match isa.name() {
        "avx512" => 0.95,
        "avx2" => 1.5,
        _ => 5.0,
    };
    words as f64 * ns_per_word / MAX_BATCH as f64
}

fn compiled_ns(isa: Isa, counts: &SlicedCounts) -> f64 {
    let words = counts.windows * 60
        + 2 * counts.masks
        + counts.reaches
        + counts.summed
        + counts.lines_counted;
    let ns_per_word = if isa.name() == "avx512" { 0.45 } else { 0.75 };
    words as f64 * ns_per_word / MAX_BATCH as f64
}
