//! What a search for a bump looks for: options that `bump` and the toys of `power` share.

use anyhow::Result;
use clap::Args;
use scout40_studies::bump::{Background, Scan};
use scout40_studies::observable::Histogram;

use crate::cli::parse;
use crate::config::UsageError;

/// A falling spectrum and the means to try on it. What is not given has a default, so that it can be told
/// whether it was given where nobody looks at it.
#[derive(Args, Debug)]
pub struct PeakArgs {
    /// Range of the spectrum [default: 100..900]
    #[arg(long, value_parser = parse::interval, value_name = "LOW..HIGH", allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
    /// Number of bins; of an unbinned fit those of pictures and pulls [default: 40]
    #[arg(long, value_parser = clap::value_parser!(u32).range(4..=100_000))]
    bins: Option<u32>,
    /// Means to scan, within the range; default: the range without one width at its ends
    #[arg(long, value_parser = parse::interval, value_name = "LOW..HIGH", allow_hyphen_values = true)]
    scan: Option<(f64, f64)>,
    /// `exponential:N` (a polynomial of degree N in the exponent) or `polynomial:N` [default: exponential:3]
    #[arg(long, value_parser = shape, value_name = "SHAPE")]
    background_shape: Option<Background>,
    /// Fit events one by one instead of counts in bins
    #[arg(long)]
    pub unbinned: bool,
}

impl PeakArgs {
    /// Which options were given.
    pub fn given(&self) -> [(&'static str, bool); 5] {
        [
            ("--range", self.range.is_some()),
            ("--bins", self.bins.is_some()),
            ("--scan", self.scan.is_some()),
            ("--background-shape", self.background_shape.is_some()),
            ("--unbinned", self.unbinned),
        ]
    }

    /// Edges of the bins.
    pub fn edges(&self) -> Result<Vec<f64>> {
        let (low, high) = self.range.unwrap_or((100.0, 900.0));
        Ok(Histogram::uniform(self.bins.unwrap_or(40), low, high)?.edges().to_vec())
    }

    /// The means to try between these edges.
    pub fn scan(&self, edges: &[f64], width: f64) -> Result<Scan> {
        let (first, last) = (edges[0], edges[edges.len() - 1]);
        let ends = (first + width, last - width);
        if self.scan.is_none() && ends.0 > ends.1 {
            let text = format!(
                "`--width`: expected at most half of the spectrum from {first} to {last}, found {width}"
            );
            return Err(UsageError(text).into());
        }
        let (low, high) = self.scan.unwrap_or(ends);
        if low < first || high > last {
            let text = format!(
                "`--scan`: expected means within the spectrum from {first} to {last}, found {low}..{high}"
            );
            return Err(UsageError(text).into());
        }
        let background = self.background_shape.unwrap_or(Background::Exponential { degree: 3 });
        Ok(Scan::new(background, low, high, width)?)
    }
}

fn shape(text: &str) -> Result<Background, String> {
    let expected =
        || format!("expected `exponential:N` or `polynomial:N`, N from 0 to 10, found `{text}`");
    let (kind, degree) = text.split_once(':').ok_or_else(expected)?;
    let degree = degree.parse().ok().filter(|n| *n <= 10).ok_or_else(expected)?;
    match kind {
        "exponential" => Ok(Background::Exponential { degree }),
        "polynomial" => Ok(Background::Polynomial { degree }),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read() {
        assert_eq!(shape("exponential:3"), Ok(Background::Exponential { degree: 3 }));
        assert_eq!(shape("polynomial:0"), Ok(Background::Polynomial { degree: 0 }));
        for bad in ["", "exponential", "cubic:3", "polynomial:11", "polynomial:-1"] {
            assert!(shape(bad).is_err(), "{bad}");
        }
    }
}
