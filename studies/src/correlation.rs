//! How much two scores of the same events agree: Pearson's and Spearman's correlation.
//!
//! Scores are integers, and so are twice their ranks (tied events share the mean of their ranks).
//! All sums are taken in integers and without rounding, so that neither the order of the events nor
//! large offsets matter; only the final quotient is rounded.

use scout40_models::Score;

use crate::error::Error;

/// Pearson's correlation coefficient of two scores of the same events.
///
/// # Errors
/// Lists of different lengths, and a list with fewer than two different values.
pub fn pearson(first: &[Score], second: &[Score]) -> Result<f64, Error> {
    correlate(&widened(first), &widened(second))
}

/// Spearman's rank correlation of two scores of the same events: Pearson's of their ranks, where
/// events with equal scores share the mean of the ranks that they take up.
///
/// # Errors
/// Lists of different lengths, and a list with fewer than two different values.
pub fn spearman(first: &[Score], second: &[Score]) -> Result<f64, Error> {
    correlate(&doubled_ranks(first), &doubled_ranks(second))
}

fn widened(scores: &[Score]) -> Vec<i64> {
    scores.iter().map(|&score| i64::from(score)).collect()
}

/// Twice the rank of each event, counted from 1.
fn doubled_ranks(scores: &[Score]) -> Vec<i64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by_key(|&event| scores[event]);
    let mut ranks = vec![0; scores.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let after = before + tied.len();
        tied.iter().for_each(|&event| ranks[event] = (before + after + 1) as i64);
        before = after;
    }
    ranks
}

fn correlate(x: &[i64], y: &[i64]) -> Result<f64, Error> {
    if x.len() != y.len() {
        return Err(Error::Length { what: "second scores", expected: x.len(), found: y.len() });
    }
    let n = x.len() as i128;
    // Values are below 2^34 and events fewer than 2^28 in any memory: products stay below 2^125.
    let sum = |a: &[i64]| a.iter().map(|&a| i128::from(a)).sum::<i128>();
    let product = |a: &[i64], b: &[i64]| {
        let products = a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b));
        n * products.sum::<i128>() - sum(a) * sum(b)
    };
    let (xx, yy) = (product(x, x), product(y, y));
    for (what, values, square) in [("first scores", x, xx), ("second scores", y, yy)] {
        if square == 0 {
            let found = values.first().map_or(f64::NAN, |&value| value as f64);
            return Err(Error::Constant { what, found });
        }
    }
    Ok(product(x, y) as f64 / (xx as f64 * yy as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_exact() {
        let x = [Score::MIN, -1, 0, Score::MAX];
        assert_eq!(spearman(&x, &[1, 2, 3, 4]).unwrap().to_bits(), 1.0_f64.to_bits());
        assert_eq!(spearman(&x, &[9, 7, 5, 3]).unwrap().to_bits(), (-1.0_f64).to_bits());
        assert!((pearson(&x, &x).unwrap() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn tied_events_share_the_mean_of_their_ranks() {
        assert_eq!(doubled_ranks(&[7, 3, 7, 7, 1]), [8, 4, 8, 8, 2]);
    }

    #[test]
    fn what_does_not_vary_does_not_correlate() {
        let constant = pearson(&[1, 2, 3], &[5, 5, 5]).unwrap_err();
        assert_eq!(constant, Error::Constant { what: "second scores", found: 5.0 });
        assert!(spearman(&[4], &[4]).is_err());
        assert!(pearson(&[], &[]).is_err());
        assert!(matches!(pearson(&[1, 2], &[1]), Err(Error::Length { expected: 2, .. })));
    }
}
