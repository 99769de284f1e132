//! Connections of one stream put together again, by the numbers of their frames.
//!
//! Connection k of N carries the frames whose number is k modulo N. The next frame is waited for on
//! its connection, while the others fill their parts of the buffer. A frame is missing once its
//! connection has brought a later one, has ended or has been given up; then the lowest number that
//! any connection has comes next. Blocks go on only if their orbits are after all that went before.

use scout40_replay::format::{EncodedBlock, FormatError};
use scout40_replay::framing::{FrameHead, FrameKind, StreamIdentity};
use scout40_replay::source::{Delivery, Section};
use tokio::sync::mpsc::{Receiver, Sender};

use super::Counters;
use super::buffer::Room;
use super::client::{Arrived, Message};

/// What the reader gets.
pub enum Item {
    /// A block, and its part of the buffer.
    Block(Section, Room),
    /// A word about what is not there.
    Other(Delivery),
}

/// A connection as seen from here.
struct Input {
    from: Receiver<Message>,
    /// Its next frame, if that has come.
    front: Option<Arrived>,
    is_open: bool,
}

/// The reader is gone.
struct Unwanted;

/// Puts frames in order.
pub struct Merge<'a> {
    inputs: Vec<Input>,
    out: Sender<Item>,
    counters: &'a Counters,
    identity: StreamIdentity,
    /// Number of the next frame.
    next: u64,
    /// Number at which the stream ends, once a connection has said so.
    end: Option<u64>,
    /// Run and orbit of the last crossing that went on.
    last: Option<(u32, u32)>,
    /// Frames are missing before the next block.
    after_gap: bool,
    /// Crossings that came, or of which it is known why they do not.
    accounted: u64,
    /// Crossings of frames that were cut when their connection was given up.
    cut: u64,
    /// Bytes that have gone on.
    offset: u64,
}

impl<'a> Merge<'a> {
    /// Of these connections, from frame 0 on.
    pub fn new(
        inputs: Vec<Receiver<Message>>,
        out: Sender<Item>,
        counters: &'a Counters,
        identity: StreamIdentity,
    ) -> Merge<'a> {
        let input = |from| Input { from, front: None, is_open: true };
        Merge {
            inputs: inputs.into_iter().map(input).collect(),
            out,
            counters,
            identity,
            next: 0,
            end: None,
            last: None,
            after_gap: false,
            accounted: 0,
            cut: 0,
            offset: 0,
        }
    }

    /// Runs until all connections have ended or the reader is gone.
    pub async fn run(mut self) {
        // A reader that is gone needs no last word.
        let _ = self.merge().await;
    }

    async fn merge(&mut self) -> Result<(), Unwanted> {
        loop {
            let k = (self.next % self.inputs.len() as u64) as usize;
            self.find_front(k).await?;
            let is_next = self.inputs[k].front.as_ref().is_some_and(|f| f.head.number == self.next);
            if !is_next && !self.go_past_gap().await? {
                return self.finish().await;
            }
            if is_next && let Some(frame) = self.inputs[k].front.take() {
                self.next += 1;
                self.hand_on(frame).await?;
            }
        }
    }

    /// Waits until the next frame of a connection has come, or it will bring none.
    async fn find_front(&mut self, k: usize) -> Result<(), Unwanted> {
        while self.inputs[k].is_open && self.inputs[k].front.is_none() {
            match self.inputs[k].from.recv().await {
                Some(Message::Frame(frame)) => self.inputs[k].front = Some(frame),
                Some(Message::Ended(number)) => {
                    self.inputs[k].is_open = false;
                    self.end = self.end.max(Some(number));
                }
                Some(Message::GaveUp { cut, why }) => {
                    self.inputs[k].is_open = false;
                    let n = cut.map_or(0, |head: FrameHead| u64::from(head.n_crossings));
                    self.cut += n;
                    let problem = format!("a connection was given up: {why}");
                    self.say(Delivery::Missing { n_crossings: 0, problem }).await?;
                }
                None => self.inputs[k].is_open = false,
            }
        }
        Ok(())
    }

    /// Goes on with the lowest number that any connection has; false if none has any.
    async fn go_past_gap(&mut self) -> Result<bool, Unwanted> {
        let mut lowest = None;
        for k in 0..self.inputs.len() {
            self.find_front(k).await?;
            let number = self.inputs[k].front.as_ref().map(|frame| frame.head.number);
            lowest = [lowest, number].into_iter().flatten().min();
        }
        let Some(lowest) = lowest else { return Ok(false) };
        if lowest > self.next {
            self.miss(lowest).await?;
        }
        Ok(true)
    }

    /// Frames from the next one up to `number` never came.
    async fn miss(&mut self, number: u64) -> Result<(), Unwanted> {
        let n = number - self.next;
        self.counters.missing_frames.add(n);
        let problem = format!("frames {} to {} never came", self.next, number - 1);
        self.next = number;
        self.after_gap = true;
        self.say(Delivery::Missing { n_crossings: 0, problem }).await
    }

    async fn hand_on(&mut self, frame: Arrived) -> Result<(), Unwanted> {
        let Arrived { head, payload, room } = frame;
        let n = u64::from(head.n_crossings);
        self.accounted += n;
        match (head.kind, room) {
            (FrameKind::Block, Some(room)) => self.block(head, payload, room).await,
            (FrameKind::Dropped, _) => {
                self.counters.sender_dropped_orbits.add(head.orbits.into());
                self.counters.sender_dropped_crossings.add(n);
                let problem = format!("the sender was late and dropped {n} crossings");
                self.say(Delivery::Missing { n_crossings: n, problem }).await
            }
            _ => {
                let problem = "the sender could not read it";
                let problem = FormatError::Corrupt {
                    what: "frame",
                    offset: self.offset,
                    problem: format!("number {}: {problem}", head.number),
                };
                self.corrupt(head.n_crossings, problem).await
            }
        }
    }

    async fn block(&mut self, head: FrameHead, bytes: Vec<u8>, room: Room) -> Result<(), Unwanted> {
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        let section = Section { bytes, offset, orbit_shift: head.orbits };
        let meta = match EncodedBlock::parse(&section.bytes, offset) {
            Ok(encoded) => encoded.meta,
            Err(problem) => return self.corrupt(head.n_crossings, problem).await,
        };
        let shifted = |orbit: u32| orbit.checked_add(head.orbits);
        let (Some(first), Some(last)) = (shifted(meta.first_orbit), shifted(meta.last_orbit))
        else {
            let problem = "its orbits run beyond 32 bits".into();
            let problem = FormatError::Corrupt { what: "block", offset, problem };
            return self.corrupt(head.n_crossings, problem).await;
        };
        if meta.n_crossings != head.n_crossings || first > last {
            let problem = format!(
                "expected {} crossings in ascending orbits, found {} from {first} to {last}",
                head.n_crossings, meta.n_crossings
            );
            let problem = FormatError::Corrupt { what: "block", offset, problem };
            return self.corrupt(head.n_crossings, problem).await;
        }
        if let Some((run, orbit)) = self.last
            && (meta.run, first) <= (run, orbit)
        {
            self.counters.late_orbits.add(u64::from(last - first) + 1);
            self.counters.late_crossings.add(meta.n_crossings.into());
            let problem = format!("orbits {first} to {last} came after orbit {orbit}: not used");
            return self.say(Delivery::Missing { n_crossings: 0, problem }).await;
        }
        if let (true, Some((run, orbit))) = (std::mem::take(&mut self.after_gap), self.last)
            && run == meta.run
        {
            self.counters.missing_orbits.add(u64::from(first - orbit) - 1);
        }
        self.last = Some((meta.run, last));
        self.counters.blocks_delivered.add(1);
        self.send(Item::Block(section, room)).await
    }

    async fn corrupt(&mut self, n_crossings: u32, problem: FormatError) -> Result<(), Unwanted> {
        self.counters.corrupt_blocks.add(1);
        self.say(Delivery::Corrupt { n_crossings, problem }).await
    }

    /// Says what is missing at the end, and whether that was cut.
    async fn finish(&mut self) -> Result<(), Unwanted> {
        if let Some(end) = self.end.filter(|&end| end > self.next) {
            self.miss(end).await?;
        }
        // The stream has so many crossings; the number is the peer's and may be anything.
        let all = if self.identity.repeats { 0 } else { self.identity.n_crossings };
        let missing = all.saturating_sub(self.accounted).saturating_sub(self.cut);
        if missing > 0 {
            let problem = format!("{missing} crossings of the stream never came");
            self.say(Delivery::Missing { n_crossings: missing, problem }).await?;
        }
        let end = match u32::try_from(self.cut) {
            Ok(0) => Delivery::End,
            cut => {
                let n_crossings = cut.unwrap_or(u32::MAX);
                Delivery::Truncated { n_crossings, offset: self.offset }
            }
        };
        self.say(end).await
    }

    async fn say(&mut self, delivery: Delivery) -> Result<(), Unwanted> {
        self.send(Item::Other(delivery)).await
    }

    async fn send(&mut self, item: Item) -> Result<(), Unwanted> {
        self.out.send(item).await.map_err(|_| Unwanted)
    }
}
