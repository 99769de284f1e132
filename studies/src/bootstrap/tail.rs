//! The part of a background sample that can decide on a threshold.
//!
//! At 10 kHz of 30.9 MHz, 129 of 400 000 events pass. Which threshold lets 129 events of a resample pass
//! depends only on how often the events with the highest scores were drawn. So the events are put into an
//! order in which these come first (of every model, with all events that are tied), numbers below
//! the sample's size are drawn as always, and only those that fall into this **tail** are counted.
//! This leaves nothing out: if what was drawn from the tail does not exceed the target, so that
//! the threshold lies below it, [`Tail::threshold`] says so and the resample is repeated with
//! all events counted.

use scout40_models::Score;

use super::paired::Paired;

/// A background sample, those events first that matter.
#[derive(Debug)]
pub(super) struct Tail {
    /// Event at each position: the tail, then all others.
    pub(super) events: Vec<u32>,
    /// How many positions the tail has.
    pub(super) len: usize,
    /// For each model the positions of the tail, highest score first, as (score, position).
    descending: Vec<Vec<(Score, u32)>>,
}

impl Tail {
    /// A tail with at least the `n_top` highest scores of each model.
    pub(super) fn new(background: &Paired, n_top: usize) -> Tail {
        let n = background.n_events();
        let mut in_tail = vec![false; n];
        let mut lowest = Vec::new();
        for model in 0..background.n_models() {
            let score = |event: usize| background.event(event)[model];
            let mut scores: Vec<Score> = (0..n).map(score).collect();
            let last = n_top.clamp(1, n) - 1;
            let (_, &mut cut, _) = scores.select_nth_unstable_by(last, |a, b| b.cmp(a));
            (0..n).for_each(|event| in_tail[event] |= score(event) >= cut);
            lowest.push(cut);
        }
        let (mut events, others): (Vec<u32>, Vec<u32>) =
            (0..n as u32).partition(|&event| in_tail[event as usize]);
        let len = events.len();
        events.extend(others);
        let descending = |model: usize| {
            let scored = (0..len as u32).map(|position| {
                (background.event(events[position as usize] as usize)[model], position)
            });
            // Below its cut a model lacks events that are in no tail.
            let mut scored: Vec<_> = scored.filter(|&(score, _)| score >= lowest[model]).collect();
            scored.sort_unstable_by(|a, b| b.cmp(a));
            scored
        };
        let descending = (0..background.n_models()).map(descending).collect();
        Tail { events, len, descending }
    }

    /// Whether the tail is the whole sample.
    pub(super) fn is_complete(&self) -> bool {
        self.len == self.events.len()
    }

    /// The loosest threshold of a model that is `allowed`, given how much was drawn of each
    /// position of the tail; `None` if it may lie below the tail.
    pub(super) fn threshold(
        &self,
        model: usize,
        drawn: &[f64],
        allowed: impl Fn(f64) -> bool,
    ) -> Option<i64> {
        let (mut accepted, mut last) = (0.0, None);
        for tied in self.descending[model].chunk_by(|a, b| a.0 == b.0) {
            let here: f64 = tied.iter().map(|&(_, position)| drawn[position as usize]).sum();
            accepted += here;
            let score = i64::from(tied[0].0);
            if !allowed(accepted) {
                return Some(score + 1);
            }
            // A score that was not drawn does not occur in the resample.
            if here > 0.0 {
                last = Some(score);
            }
        }
        last.filter(|_| self.is_complete())
    }
}
