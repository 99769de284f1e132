//! Puts the orbits of all connections in order.
//!
//! The lowest orbit that any connection has comes next. That waits until every open connection has
//! brought an orbit or has been given up. Orbit numbers that are passed over count as missing. Of a run only
//! the lowest five bits are sent: the next is at most fifteen later, anything else is an earlier one.

use scout40_replay::format::FormatError;
use scout40_replay::framing::native::n_events;
use scout40_replay::source::Delivery;
use tokio::sync::mpsc::{Receiver, Sender};

use super::link::Message;
use super::{Item, Part};
use crate::network::Counters;
use crate::network::buffer::Spares;

/// Values of what is sent of a run.
const RUNS: u32 = 32;

/// The run of these lowest bits that is nearest to the last one; one before the first is the first.
fn run_after(last: u32, bits: u32) -> u32 {
    let later = bits.wrapping_sub(last) % RUNS;
    if later < RUNS / 2 { last + later } else { (last + later).saturating_sub(RUNS) }
}

/// A connection as seen from here.
struct Input {
    from: Receiver<Message>,
    front: Option<Part>,
    is_open: bool,
}

/// The reader is gone.
struct Unwanted;

/// Puts orbits in order.
pub(super) struct Merge<'a> {
    inputs: Vec<Input>,
    out: Sender<Item>,
    counters: &'a Counters,
    spares: &'a Spares,
    /// Run and orbit that came last.
    last: Option<(u32, u32)>,
}

impl<'a> Merge<'a> {
    /// Of these connections.
    pub fn new(
        inputs: Vec<Receiver<Message>>,
        out: Sender<Item>,
        counters: &'a Counters,
        spares: &'a Spares,
    ) -> Merge<'a> {
        let input = |from| Input { from, front: None, is_open: true };
        let inputs = inputs.into_iter().map(input).collect();
        Merge { inputs, out, counters, spares, last: None }
    }

    /// Runs until all connections have ended or the reader is gone.
    pub async fn run(mut self) {
        // A reader that is gone needs no last word.
        let _ = self.merge().await;
    }

    async fn merge(&mut self) -> Result<(), Unwanted> {
        loop {
            for k in 0..self.inputs.len() {
                self.find_front(k).await?;
            }
            let fronts = || self.inputs.iter().filter_map(|input| input.front.as_ref());
            let Some(any) = fronts().next() else {
                return self.say(Delivery::End).await;
            };
            let last_run = self.last.map_or(any.run, |(run, _)| run);
            let number = |part: &Part| (run_after(last_run, part.run), part.orbit);
            let next = fronts().map(number).min().expect("there is one");
            let take = |input: &mut Input| {
                let mut part = input.front.take_if(|part| number(part) == next)?;
                part.run = next.0;
                Some(part)
            };
            let mut parts = self.inputs.iter_mut().filter_map(take);
            let first = parts.next().expect("the lowest orbit is somebody's");
            // Allocates nothing where there are none.
            let others = parts.collect();
            self.hand_on(first, others).await?;
        }
    }

    /// Waits until a connection has brought an orbit, or will bring none.
    async fn find_front(&mut self, k: usize) -> Result<(), Unwanted> {
        while self.inputs[k].is_open && self.inputs[k].front.is_none() {
            match self.inputs[k].from.recv().await {
                Some(Message::Orbit(part)) => self.inputs[k].front = Some(part),
                Some(Message::Unreadable(problem)) => {
                    self.counters.corrupt_blocks.add(1);
                    let problem = FormatError::Corrupt { what: "orbit", offset: 0, problem };
                    self.say(Delivery::Corrupt { n_crossings: 0, problem }).await?;
                }
                Some(Message::GaveUp(why)) => {
                    self.inputs[k].is_open = false;
                    let problem = format!("a connection was given up: {why}");
                    self.say(Delivery::Missing { n_crossings: 0, problem }).await?;
                }
                None => self.inputs[k].is_open = false,
            }
        }
        Ok(())
    }

    async fn hand_on(&mut self, first: Part, others: Vec<Part>) -> Result<(), Unwanted> {
        let (run, orbit) = (first.run, first.orbit);
        if let Some((last_run, last)) = self.last {
            if (run, orbit) <= (last_run, last) {
                self.counters.late_orbits.add(1);
                for part in std::iter::once(first).chain(others) {
                    self.counters.late_crossings.add(n_events(&part.payload));
                    self.spares.put(part.payload);
                }
                return Ok(());
            }
            if run == last_run {
                self.counters.missing_orbits.add(u64::from(orbit - last) - 1);
            }
        }
        self.last = Some((run, orbit));
        self.counters.blocks_delivered.add(1);
        self.out.send(Item::Orbit { first, others }).await.map_err(|_| Unwanted)
    }

    async fn say(&self, delivery: Delivery) -> Result<(), Unwanted> {
        self.out.send(Item::Other(delivery)).await.map_err(|_| Unwanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_on_where_their_lowest_bits_begin_again() {
        for (last, bits, run) in [
            (5, 5, 5),
            (31, 0, 32),
            (31, 31, 31),
            (32, 31, 31),
            (63, 1, 65),
            (40, 7, 39),
            (3, 30, 0),
        ] {
            assert_eq!(run_after(last, bits), run, "{last} {bits}");
        }
    }
}
