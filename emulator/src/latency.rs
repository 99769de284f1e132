//! Latency of every event, recorded in runs.
//!
//! Events of neighbouring slots that are decided together have latencies that fall by one slot
//! period each: an arithmetic sequence. With bins of period / k, such a run occupies every k-th
//! bin from its first latency down, so it is recorded by two writes into a difference array,
//! whatever its length; the counts are recovered when an interval ends:
//!
//! ```text
//! k = 4, run of 3 from bin 9:   differences  +1 at 9, −1 at 9 − 3·4
//!                               counts       n[b] = n[b + 4] + difference[b]  →  9, 5, 1
//! ```
//!
//! At the LHC's rate bins are 3.1 ns wide up to 0.8 ms, and as wide as a slot up to 6.5 ms; what is
//! later than that goes one by one into an HDR histogram with three significant digits, where
//! everything ends up in the end. A run that cannot keep up has latencies about as long as the
//! arrival ring is deep: that is when recording has to be cheap.

use hdrhistogram::Histogram;
use scout40_replay::pacing::{SlotClock, SlotRun};

/// Widest bins of the fine range and of the one beyond.
const BIN_PS_MAX: [f64; 2] = [3200.0, 51_200.0];
/// Bins of a range.
const BINS: usize = 1 << 18;
/// Largest latency that is told apart: one minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Significant decimal digits of the HDR histograms.
const DIGITS: u8 = 3;

/// An empty latency histogram in ns.
///
/// # Panics
/// Never: the bounds are constants that the library accepts.
#[must_use]
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("constant bounds")
}

/// Bins of one width, with the differences between their counts.
struct Bins {
    /// Bins per slot period.
    stride: usize,
    bins_per_ps: f64,
    differences: Vec<i32>,
    /// The highest bin written since the last drain.
    highest: usize,
}

impl Bins {
    fn new(period_ps: f64, bin_ps_max: f64) -> Bins {
        let stride = ((period_ps / bin_ps_max).ceil() as usize).max(1);
        let bins_per_ps = stride as f64 / period_ps;
        Bins { stride, bins_per_ps, differences: vec![0; BINS], highest: 0 }
    }

    /// Records latencies of `first_ps` and below, one for each of `len` slots; false if the first
    /// is beyond the bins.
    fn record(&mut self, first_ps: u64, len: u32) -> bool {
        // The last slot of a run is due when it is decided, or before: a product that is a hair
        // below the bin of a latency of zero must not lose it.
        let of_last = self.stride * (len as usize - 1);
        let bin = ((first_ps as f64 * self.bins_per_ps) as usize).max(of_last);
        if bin >= BINS {
            return false;
        }
        self.differences[bin] += 1;
        if let Some(end) = bin.checked_sub(self.stride * len as usize) {
            self.differences[end] -= 1;
        }
        self.highest = self.highest.max(bin);
        true
    }

    fn drain_into(&mut self, to: &mut Histogram<u64>) {
        for bin in (0..=self.highest).rev() {
            let above = self.differences.get(bin + self.stride).copied().unwrap_or(0);
            self.differences[bin] += above;
        }
        for (bin, n) in self.differences[..=self.highest].iter_mut().enumerate() {
            if *n > 0 {
                let centre_ns = (bin as f64 + 0.5) / self.bins_per_ps / 1000.0;
                to.saturating_record_n(centre_ns as u64, u64::from(n.cast_unsigned()));
            }
            *n = 0;
        }
        self.highest = 0;
    }
}

/// Latencies of runs of slots that were decided at one time.
pub struct RunHistogram {
    clock: SlotClock,
    /// Fine bins, and wider ones for what is later.
    ranges: [Bins; 2],
    late: Histogram<u64>,
}

impl RunHistogram {
    /// An empty one for slots of this clock.
    #[must_use]
    pub fn new(clock: SlotClock) -> RunHistogram {
        let ranges = BIN_PS_MAX.map(|widest| Bins::new(clock.period_ps(), widest));
        RunHistogram { clock, ranges, late: new_histogram() }
    }

    /// Records `at_ps − due` for every slot of the run.
    ///
    /// **Real-time**: allocates nothing; two writes unless a latency is beyond all bins.
    pub fn record(&mut self, run: SlotRun, at_ps: u64) {
        let first_ps = at_ps.saturating_sub(self.clock.due_ps(run.first));
        if self.ranges.iter_mut().any(|bins| bins.record(first_ps, run.len)) {
            return;
        }
        for slot in run.first..=run.last() {
            let latency_ps = at_ps.saturating_sub(self.clock.due_ps(slot));
            self.late.saturating_record(latency_ps / 1000);
        }
    }

    /// Adds what has been recorded to `to` and begins anew. Allocates nothing.
    ///
    /// # Panics
    /// Never: all histograms have the same bounds.
    pub fn drain_into(&mut self, to: &mut Histogram<u64>) {
        self.ranges.iter_mut().for_each(|bins| bins.drain_into(to));
        to.add(&self.late).expect("both have the same bounds");
        self.late.reset();
    }
}

/// The three latencies of an interval or of a run, in ns.
pub struct Latencies {
    /// Decided − due.
    pub total: Histogram<u64>,
    /// Scoring started − due.
    pub queueing: Histogram<u64>,
    /// Decided − scoring started.
    pub service: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { total: new_histogram(), queueing: new_histogram(), service: new_histogram() }
    }
}

impl Latencies {
    /// The histograms with the names that outputs use.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &Histogram<u64>); 3] {
        [("total", &self.total), ("queueing", &self.queueing), ("service", &self.service)]
    }
}

/// Records the latencies of a run, interval by interval.
pub struct LatencyRecorder {
    paced: Option<(RunHistogram, RunHistogram)>,
    interval: Latencies,
    whole: Latencies,
}

impl LatencyRecorder {
    /// For a run with this clock; without one there are no due times, and only service is known.
    #[must_use]
    pub fn new(clock: Option<SlotClock>) -> LatencyRecorder {
        LatencyRecorder {
            paced: clock.map(|clock| (RunHistogram::new(clock), RunHistogram::new(clock))),
            interval: Latencies::default(),
            whole: Latencies::default(),
        }
    }

    /// Records a batch of `n` events in these slots. Times are ps since the start of the run.
    pub fn record(&mut self, runs: &[SlotRun], n: usize, started_ps: u64, decided_ps: u64) {
        if let Some((total, queueing)) = &mut self.paced {
            for &run in runs {
                total.record(run, decided_ps);
                queueing.record(run, started_ps);
            }
        }
        let service_ns = decided_ps.saturating_sub(started_ps) / 1000;
        self.interval.service.saturating_record_n(service_ns, n as u64);
    }

    /// Ends an interval: shows its histograms, adds them to those of the run, begins anew.
    ///
    /// # Panics
    /// Never: all histograms have the same bounds.
    pub fn end_interval<R>(&mut self, show: impl FnOnce(&Latencies) -> R) -> R {
        if let Some((total, queueing)) = &mut self.paced {
            total.drain_into(&mut self.interval.total);
            queueing.drain_into(&mut self.interval.queueing);
        }
        let shown = show(&self.interval);
        let Latencies { total, queueing, service } = &mut self.interval;
        for (of_interval, of_run) in [
            (total, &mut self.whole.total),
            (queueing, &mut self.whole.queueing),
            (service, &mut self.whole.service),
        ] {
            of_run.add(&*of_interval).expect("both have the same bounds");
            of_interval.reset();
        }
        shown
    }

    /// The latencies of all intervals that have ended.
    #[must_use]
    pub fn whole(&self) -> &Latencies {
        &self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scout40_replay::pacing::Rate;

    /// One event at a time, at full precision.
    fn naive(clock: SlotClock, records: &[(SlotRun, u64)]) -> Vec<u64> {
        let latencies = records.iter().flat_map(|&(run, at_ps)| {
            (run.first..=run.last()).map(move |slot| (at_ps - clock.due_ps(slot)) / 1000)
        });
        let mut sorted: Vec<u64> = latencies.collect();
        sorted.sort_unstable();
        sorted
    }

    #[test]
    fn recording_runs_equals_recording_events_to_within_a_bin() {
        for rate in [Rate::LHC, Rate::Hz(10_000_000), Rate::Hz(1000)] {
            let clock = rate.clock().unwrap();
            let mut state = 9_u64;
            let mut records = Vec::new();
            for i in 0..500 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let run = SlotRun { first: i * 600, len: (state >> 33) as u32 % 512 + 1 };
                // Some within the fine range, some beyond it, some beyond the wider one.
                let most_ps = [20_000_000_000, 5_000_000_000][..].get(i as usize % 10);
                let wait_ps = (state >> 20) % most_ps.unwrap_or(&20_000_000);
                records.push((run, clock.due_ps(run.last()) + wait_ps));
            }
            let mut runs = RunHistogram::new(clock);
            records.iter().for_each(|&(run, at_ps)| runs.record(run, at_ps));
            let mut histogram = new_histogram();
            runs.drain_into(&mut histogram);
            let expected = naive(clock, &records);
            assert_eq!(histogram.len(), expected.len() as u64);
            for quantile in [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let index = ((expected.len() as f64 * quantile).ceil() as usize).max(1) - 1;
                let (found, exact) = (histogram.value_at_quantile(quantile), expected[index]);
                // A bin of 3.2 ns, or of 1/1024 where values are large.
                let tolerance = 4 + exact / 512;
                assert!(found.abs_diff(exact) <= tolerance, "{rate:?} {quantile}: {found} {exact}");
            }
        }
    }

    #[test]
    fn a_slot_that_is_decided_when_it_is_due_is_counted() {
        for rate in [Rate::LHC, Rate::Hz(10_000_000), Rate::Hz(500_000), Rate::Hz(200_000)] {
            let clock = rate.clock().unwrap();
            for len in 1..=512 {
                let run = SlotRun { first: 7, len };
                let mut runs = RunHistogram::new(clock);
                runs.record(run, clock.due_ps(run.last()));
                let mut histogram = new_histogram();
                runs.drain_into(&mut histogram);
                assert_eq!(histogram.len(), u64::from(len), "{rate:?}");
            }
        }
    }

    #[test]
    fn draining_begins_anew() {
        let mut runs = RunHistogram::new(Rate::LHC.clock().unwrap());
        runs.record(SlotRun { first: 0, len: 100 }, 10_000_000);
        let mut first = new_histogram();
        runs.drain_into(&mut first);
        let mut second = new_histogram();
        runs.drain_into(&mut second);
        assert_eq!((first.len(), second.len()), (100, 0));
    }

    #[test]
    fn a_recorder_without_a_clock_knows_service_only() {
        let mut recorder = LatencyRecorder::new(None);
        recorder.record(&[SlotRun { first: 0, len: 64 }], 64, 5_000_000, 7_000_000);
        recorder.end_interval(|interval| assert_eq!(interval.service.len(), 64));
        assert_eq!(recorder.whole().service.max(), 2000);
        assert!(recorder.whole().total.is_empty());
    }
}
