//! What a search for a bump looks for: options that `bump` and the toys of `power` share.

use anyhow::Result;
use clap::Args;
use scout40_studies::bump::{Background, Scan};
use scout40_studies::observable::Histogram;

use crate::cli::parse;

/// A falling spectrum and the means to try on it.
#[derive(Args, Debug)]
pub struct PeakArgs {
    /// Range of the spectrum
    #[arg(long, default_value = "100..900", value_parser = parse::interval, value_name = "LOW..HIGH",
          allow_hyphen_values = true)]
    range: (f64, f64),
    /// Number of bins; of an unbinned fit those of pictures and pulls
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(4..=100_000))]
    bins: u32,
    /// Means to scan; default: the range without one width at its ends
    #[arg(long, value_parser = parse::interval, value_name = "LOW..HIGH", allow_hyphen_values = true)]
    scan: Option<(f64, f64)>,
    /// `exponential:N` (a polynomial of degree N in the exponent) or `polynomial:N`
    #[arg(long, default_value = "exponential:3", value_parser = shape, value_name = "SHAPE")]
    background_shape: Background,
    /// Fit events one by one instead of counts in bins
    #[arg(long)]
    pub unbinned: bool,
}

impl PeakArgs {
    /// Edges of the bins.
    pub fn edges(&self) -> Result<Vec<f64>> {
        let (low, high) = self.range;
        Ok(Histogram::uniform(self.bins, low, high)?.edges().to_vec())
    }

    /// The means to try between these edges.
    pub fn scan(&self, edges: &[f64], width: f64) -> Result<Scan> {
        let ends = (edges[0] + width, edges[edges.len() - 1] - width);
        let (low, high) = self.scan.unwrap_or(ends);
        Ok(Scan::new(self.background_shape, low, high, width)?)
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
