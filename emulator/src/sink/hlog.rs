//! `latency.hlog`: interval histograms that the standard HdrHistogram tools read.
//!
//! One line per interval and latency, tagged `total`, `queueing`, `service`; values in ns. Lines
//! are kept in memory as text (about 8 kB per interval) and written at the end, so that a run
//! makes no system call for them.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::latency::Latencies;

/// Collects the lines of the log.
pub struct LatencyLog {
    builder: IntervalLogWriterBuilder,
    serializer: V2DeflateSerializer,
    header_len: usize,
    text: Vec<u8>,
}

impl LatencyLog {
    /// A log of a run that started at `start`.
    ///
    /// # Errors
    /// Never in practice: writing to memory.
    pub fn new(start: SystemTime) -> io::Result<LatencyLog> {
        let mut builder = IntervalLogWriterBuilder::new();
        builder
            .add_comment("scout40 latency in ns")
            .with_start_time(start)
            .with_base_time(start)
            .with_max_value_divisor(1.0);
        let mut serializer = V2DeflateSerializer::new();
        let mut text = Vec::new();
        builder.begin_log_with(&mut text, &mut serializer)?;
        Ok(LatencyLog { builder, serializer, header_len: text.len(), text })
    }

    /// Adds an interval. Times are since the start of the run.
    ///
    /// # Errors
    /// Never in practice: writing to memory.
    pub fn add(&mut self, start: Duration, length: Duration, of: &Latencies) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut writer = self.builder.begin_log_with(&mut lines, &mut self.serializer)?;
        for (name, histogram) in of.named() {
            if !histogram.is_empty() {
                writer
                    .write_histogram(histogram, start, length, Tag::new(name))
                    .map_err(|error| io::Error::other(format!("{error:?}")))?;
            }
        }
        // The library begins every log with its header; only the first is wanted.
        self.text.extend_from_slice(&lines[self.header_len..]);
        Ok(())
    }

    /// Writes the log.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, &self.text)
            .with_context(|| format!("while writing `{}`", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn intervals_are_read_back_with_their_tags_and_counts() {
        let mut log = LatencyLog::new(SystemTime::UNIX_EPOCH).unwrap();
        let mut latencies = Latencies::default();
        latencies.total.record_n(1234, 10).unwrap();
        latencies.service.record_n(777, 5).unwrap();
        let second = Duration::from_secs(1);
        log.add(Duration::ZERO, second, &latencies).unwrap();
        log.add(second, second, &latencies).unwrap();
        let mut read = Vec::new();
        for entry in IntervalLogIterator::new(&log.text) {
            if let LogEntry::Interval(line) = entry.unwrap() {
                use base64::Engine;
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(line.encoded_histogram())
                    .unwrap();
                let histogram: hdrhistogram::Histogram<u64> =
                    Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
                let tag = line.tag().unwrap().as_str().to_owned();
                read.push((tag, line.start_timestamp(), histogram.len()));
            }
        }
        let expected = [Duration::ZERO, second]
            .into_iter()
            .flat_map(|at| [("total".to_owned(), at, 10), ("service".to_owned(), at, 5)]);
        assert_eq!(read, expected.collect::<Vec<_>>());
    }
}
