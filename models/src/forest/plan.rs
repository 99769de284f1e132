//! How a forest is evaluated: on its side or by walking, and which is cheaper.
//!
//! Walking costs what the paths cost: trees times depths. Evaluation on the side costs what the
//! nodes cost, but shared by a batch of 512. Both give the same scores, so the choice is one of
//! speed only. The costs are counts of operations times measured times per operation; they need
//! to be right about which plan wins, not about the nanoseconds.

use super::Forest;
use super::interleaved::ForestInterleaved;
use super::sliced::{ForestSliced, SlicedCounts};
use super::walk::ForestWalk;
use crate::error::{Error, Result};
use crate::kernels::isa::Isa;
use crate::rows::{MAX_BATCH, Rows};
use crate::scorer::{Evaluation, Score, Scorer, Scratch};

/// Largest working memory of evaluation on the side; beyond, a walk is what is left.
const MAX_MEMORY_BYTES: usize = 256 << 20;

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
}

impl PlanChoice {
    /// Names, as users type them.
    pub const NAMES: [&str; 3] = ["auto", "sliced", "walk"];

    /// The one of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_name(name: &str) -> Result<PlanChoice> {
        match name {
            "auto" => Ok(PlanChoice::Auto),
            "sliced" => Ok(PlanChoice::Sliced),
            "walk" => Ok(PlanChoice::Walk),
            _ => Err(Error::setting("plan", PlanChoice::NAMES.join(", "), name)),
        }
    }
}

/// What the plans of a forest would cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanCosts {
    /// Estimated ns per event by walking.
    pub walk_ns: f64,
    /// Estimated ns per event on the side, in full batches; `None` where there is no such plan.
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
}

impl Plan {
    fn walk(forest: &Forest, isa: Isa) -> Plan {
        ForestInterleaved::new(forest, isa).map_or(Plan::Plain, Plan::Walk)
    }
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
        let walk = ForestWalk::new(forest);
        let sliced = ForestSliced::new(forest);
        let counts = sliced.as_ref().map(ForestSliced::counts);
        let costs = PlanCosts {
            walk_ns: walk_ns(forest),
            sliced_ns: counts.map(|counts| sliced_ns(isa, &counts)),
            counts,
        };
        let fits = counts.is_some_and(|counts| counts.memory_bytes <= MAX_MEMORY_BYTES);
        let is_cheaper = costs.sliced_ns.is_some_and(|ns| ns < costs.walk_ns);
        let plan = match sliced {
            Some(sliced) if fits && is_cheaper => Plan::Sliced(sliced),
            _ => Plan::walk(forest, isa),
        };
        ForestScorer { walk, plan, isa, costs }
    }

    /// The forest with the plan that is asked for.
    ///
    /// # Errors
    /// If that plan cannot evaluate this forest.
    pub fn new(forest: &Forest, isa: Isa, choice: PlanChoice) -> Result<ForestScorer> {
        let mut scorer = ForestScorer::cheapest(forest, isa);
        match choice {
            PlanChoice::Auto => {}
            PlanChoice::Walk => scorer.plan = Plan::walk(forest, isa),
            PlanChoice::Sliced => {
                let Some(sliced) = ForestSliced::new(forest) else {
                    let expected = "an axis-parallel forest without a range penalty";
                    let found = "another one: take the plan `walk`";
                    return Err(Error::forest("plan `sliced`", expected, found));
                };
                let bytes = sliced.counts().memory_bytes;
                if bytes > MAX_MEMORY_BYTES {
                    let expected = format!("at most {} MiB of memory", MAX_MEMORY_BYTES >> 20);
                    let found = format!("{} MiB: take the plan `walk`", bytes >> 20);
                    return Err(Error::forest("plan `sliced`", expected, found));
                }
                scorer.plan = Plan::Sliced(sliced);
            }
        }
        Ok(scorer)
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
        let plan = match self.plan {
            Plan::Plain | Plan::Walk(_) => "walk",
            Plan::Sliced(_) => "sliced",
        };
        Evaluation { plan, isa: self.isa.name() }
    }

    fn scratch(&self) -> Scratch {
        match &self.plan {
            Plan::Plain => self.walk.scratch(),
            Plan::Walk(walk) => walk.scratch(),
            Plan::Sliced(sliced) => sliced.scratch(),
        }
    }

    fn score(&self, rows: Rows<'_>, scratch: &mut Scratch, out: &mut [Score]) {
        match &self.plan {
            Plan::Plain => self.walk.score(rows, scratch, out),
            Plan::Walk(walk) => walk.score(rows, scratch, out),
            Plan::Sliced(sliced) => sliced.score(self.isa, rows, scratch, out),
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

/// Every tree is walked to its depth.
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
        "avx512" => 0.4,
        "avx2" => 0.9,
        _ => 3.0,
    };
    words as f64 * ns_per_word / MAX_BATCH as f64
}
