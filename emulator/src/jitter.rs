//! What the machine itself does to a thread that only looks at the clock.
//!
//! Between two readings lie some ns if the thread ran, and more if something else did: an
//! interrupt, another thread, or another tenant of the processor below a virtual machine. No
//! latency of a trigger on this machine has a better tail than that.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::latency::new_histogram;

/// Gaps from which on the thread is taken to have stood still, in ns. **Source**: a reading takes
/// some 10 ns and a missed cache line 0.1 µs, so that what takes longer is no work of its own.
pub const STALL_NS: u64 = 1000;
/// Lengths of gaps that are counted, in µs: at least so long.
pub const LIMITS_US: [u64; 4] = [1, 10, 100, 1000];

/// Gaps between readings of the clock.
#[derive(Debug)]
pub struct Jitter {
    /// All gaps, in ns.
    pub gaps: Histogram<u64>,
    /// How long it was looked at, in ns.
    pub total_ns: u64,
    /// Time in gaps of at least [`STALL_NS`], in ns.
    pub stalled_ns: u64,
    /// How many gaps were at least so long, for each of [`LIMITS_US`].
    pub counts: [u64; LIMITS_US.len()],
}

/// The same as numbers for a file.
#[derive(Debug, Serialize)]
pub struct JitterRecord {
    /// Which core.
    pub core: usize,
    /// How long it was looked at.
    pub total_s: f64,
    /// Share of that in gaps of at least [`STALL_NS`].
    pub stalled_share: f64,
    /// Readings of the clock.
    pub readings: u64,
    /// Gaps in ns: median, 99.99 %, 99.9999 %, longest.
    pub gap_ns: [u64; 4],
    /// Lengths that are counted, in µs.
    pub at_least_us: [u64; LIMITS_US.len()],
    /// How many gaps were at least so long.
    pub counts: [u64; LIMITS_US.len()],
}

/// Reads the clock again and again for so long, or until `go_on` says no.
pub fn watch(
    mut now_ps: impl FnMut() -> u64,
    duration_ps: u64,
    mut go_on: impl FnMut() -> bool,
) -> Jitter {
    let mut jitter =
        Jitter { gaps: new_histogram(), total_ns: 0, stalled_ns: 0, counts: [0; LIMITS_US.len()] };
    let begin = now_ps();
    let mut before = begin;
    while before - begin < duration_ps && go_on() {
        let now = now_ps();
        jitter.record((now - before) / 1000);
        before = now;
    }
    jitter.total_ns = (before - begin) / 1000;
    jitter
}

impl Jitter {
    fn record(&mut self, gap_ns: u64) {
        self.gaps.saturating_record(gap_ns);
        if gap_ns >= STALL_NS {
            self.stalled_ns += gap_ns;
            for (count, limit) in self.counts.iter_mut().zip(LIMITS_US) {
                *count += u64::from(gap_ns >= 1000 * limit);
            }
        }
    }

    /// The numbers, for a file.
    #[must_use]
    pub fn record_of(&self, core: usize) -> JitterRecord {
        let quantile = |q: f64| self.gaps.value_at_quantile(q);
        JitterRecord {
            core,
            total_s: self.total_ns as f64 * 1e-9,
            stalled_share: self.stalled_ns as f64 / self.total_ns.max(1) as f64,
            readings: self.gaps.len(),
            gap_ns: [quantile(0.5), quantile(0.9999), quantile(0.999_999), self.gaps.max()],
            at_least_us: LIMITS_US,
            counts: self.counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_from_readings_and_added_up() {
        // Readings every 10 ns, but after the third 1.5 µs pass, and after the fifth 200 µs.
        let gaps_ns = [10, 10, 1500, 10, 200_000, 10, 10, 10];
        let mut times = vec![5_000_000];
        for gap in gaps_ns {
            times.push(times.last().unwrap() + gap * 1000);
        }
        let mut times = times.into_iter();
        let mut left = gaps_ns.len() + 1;
        let jitter = watch(
            || times.next().unwrap(),
            u64::MAX,
            || {
                left -= 1;
                left > 0
            },
        );
        assert_eq!(jitter.total_ns, gaps_ns.iter().sum::<u64>());
        assert_eq!(jitter.stalled_ns, 201_500);
        assert_eq!(jitter.counts, [2, 1, 1, 0]);
        let record = jitter.record_of(3);
        assert_eq!((record.core, record.readings, record.gap_ns[0]), (3, 8, 10));
        assert!(record.gap_ns[3] >= 200_000);
    }

    #[test]
    fn it_ends_when_the_time_is_over() {
        let mut now = 0;
        let jitter = watch(
            || {
                now += 20_000;
                now
            },
            1_000_000,
            || true,
        );
        assert_eq!(jitter.gaps.len(), 50);
        assert_eq!(jitter.counts, [0; 4]);
    }
}
