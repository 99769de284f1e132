//! The one clock of a run: the time stamp counter, or a hand that tests move.
//!
//! Times are picoseconds since the clock was made. Nothing else in the workspace reads a clock,
//! so that tests can inject time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that all threads of a run share.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's time stamp counter, calibrated.
    Counter {
        /// Reads and scales it.
        clock: quanta::Clock,
        /// Its reading when the clock was made.
        start: u64,
    },
    /// Time in ps, moved by whoever holds the other handle.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Clock {
        let clock = quanta::Clock::new();
        let start = clock.raw();
        Clock::Counter { clock, start }
    }

    /// A clock that stands still until its handle is moved.
    #[must_use]
    pub fn manual() -> (Clock, Arc<AtomicU64>) {
        let hand = Arc::new(AtomicU64::new(0));
        (Clock::Manual(Arc::clone(&hand)), hand)
    }

    /// Picoseconds since the clock was made. **Real-time**: no system call, about 10 ns.
    #[must_use]
    pub fn now_ps(&self) -> u64 {
        match self {
            Clock::Counter { clock, start } => clock.delta_as_nanos(*start, clock.raw()) * 1000,
            // Relaxed: the hand publishes nothing but itself.
            Clock::Manual(hand) => hand.load(Ordering::Relaxed),
        }
    }

    /// Seconds since the clock was made.
    #[must_use]
    pub fn now_s(&self) -> f64 {
        self.now_ps() as f64 * 1e-12
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_run_backwards() {
        let clock = Clock::start();
        let times: Vec<u64> = (0..1000).map(|_| clock.now_ps()).collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn a_manual_clock_goes_where_its_hand_goes() {
        let (clock, hand) = Clock::manual();
        hand.store(1_500_000_000_000, Ordering::Relaxed);
        assert_eq!(clock.now_ps(), 1_500_000_000_000);
        assert!((clock.clone().now_s() - 1.5).abs() < 1e-12);
    }
}
