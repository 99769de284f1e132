//! `rates.csv`: accepted counts and rates per line, per interval and per luminosity section.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use scout40_studies::rate::rate_khz;

/// One line of the menu in one span of the run. Background only.
#[derive(Clone, Debug, PartialEq)]
pub struct RateRow {
    /// `interval` or `lumi`.
    pub span: &'static str,
    /// Run number.
    pub run: u32,
    /// Number of the interval, or luminosity section.
    pub number: u64,
    /// Name of the line.
    pub line: String,
    /// Background crossings scored.
    pub scored: u64,
    /// Of those, accepted.
    pub accepted: u64,
    /// Of those, accepted by no other line.
    pub pure: u64,
}

/// Writes the rows with their Poisson intervals at 68.27 %; at most `distinct` crossings differ.
///
/// # Errors
/// The operating system's refusal.
pub fn write_rates(
    path: &Path,
    rows: &[RateRow],
    distinct: u64,
    collision_rate_hz: f64,
) -> Result<()> {
    let mut text =
        String::from("span,run,number,line,scored,accepted,rate_khz,rate_khz_low,rate_khz_high,");
    text.push_str("pure,pure_rate_khz\n");
    for row in rows {
        let rate = rate_khz(row.accepted, row.scored, distinct, collision_rate_hz);
        let pure_rate = rate_khz(row.pure, row.scored, distinct, collision_rate_hz);
        let RateRow { span, run, number, line, scored, accepted, pure } = row;
        let line = csv_field(line);
        writeln!(
            text,
            "{span},{run},{number},{line},{scored},{accepted},{:.6},{:.6},{:.6},{pure},{:.6}",
            rate.value, rate.low, rate.high, pure_rate.value
        )
        .expect("writing to a string");
    }
    std::fs::write(path, text).with_context(|| format!("while writing `{}`", path.display()))
}

/// A text as a CSV field: quoted where it must be.
#[must_use]
pub fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_rates_with_their_intervals() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.csv");
        let row = RateRow {
            span: "lumi",
            run: 1,
            number: 2,
            line: "a,b".into(),
            scored: 1000,
            accepted: 0,
            pure: 0,
        };
        write_rates(&path, &[row], u64::MAX, 1e6).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(last, "lumi,1,2,\"a,b\",1000,0,0.000000,0.000000,1.841022,0,0.000000");
    }
}
