//! Puts the orbits of all connections in order.
//!
//! The lowest orbit that any connection has comes next. That waits until every open connection has
//! brought an orbit or has been given up. Orbit numbers that are passed over count as missing.

use scout40_replay::format::FormatError;
use scout40_replay::framing::native::n_events;
use scout40_replay::source::Delivery;
use tokio::sync::mpsc::{Receiver, Sender};

use super::link::Message;
use super::{Item, Part};
use crate::network::Counters;
use crate::network::buffer::Spares;

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
            let fronts = self.inputs.iter().filter_map(|input| input.front.as_ref());
            let Some(orbit) = fronts.map(|part| part.orbit).min() else {
                return self.say(Delivery::End).await;
            };
            let mut parts = self
                .inputs
                .iter_mut()
                .filter_map(|input| input.front.take_if(|part| part.orbit == orbit));
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
        if let Some((last_run, last)) = self.last
            && last_run == run
        {
            if orbit <= last {
                self.counters.late_orbits.add(1);
                for part in std::iter::once(first).chain(others) {
                    self.counters.late_crossings.add(n_events(&part.payload));
                    self.spares.put(part.payload);
                }
                return Ok(());
            }
            self.counters.missing_orbits.add(u64::from(orbit - last) - 1);
        }
        self.last = Some((run, orbit));
        self.counters.blocks_delivered.add(1);
        self.out.send(Item::Orbit { first, others }).await.map_err(|_| Unwanted)
    }

    async fn say(&self, delivery: Delivery) -> Result<(), Unwanted> {
        self.out.send(Item::Other(delivery)).await.map_err(|_| Unwanted)
    }
}
