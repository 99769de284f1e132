//! How wide the Gaussians of the kernel are: a quantile of the distances between pairs of events.

use crate::error::{Error, check};
use crate::nplm::Sample;
use crate::rng::Stream;

/// Pairs grow with the square: of more events than this, so many are drawn. Two million pairs.
const MAX_EVENTS: usize = 2000;

/// The quantile of pairwise distances in a sample (published: 0.9).
///
/// Of more than 2000 events, so many are drawn: the standard error of the 90 % quantile is then about 1 %.
///
/// # Errors
/// Fewer than two events, a quantile outside 0…1, and events that are all alike.
pub fn pairwise_distance(sample: &Sample, quantile: f64, rng_seed: u64) -> Result<f64, Error> {
    check((0.0..=1.0).contains(&quantile), "quantile", "0 to 1", quantile)?;
    check(sample.len() >= 2, "number of events", "at least 2", sample.len() as f64)?;
    let mut events: Vec<usize> = (0..sample.len()).collect();
    if events.len() > MAX_EVENTS {
        Stream::of(rng_seed, 0).shuffle_front(&mut events, MAX_EVENTS);
        events.truncate(MAX_EVENTS);
    }
    let mut distances = Vec::with_capacity(events.len() * (events.len() - 1) / 2);
    for (k, &first) in events.iter().enumerate() {
        for &second in &events[..k] {
            let square = |column: &Vec<f64>| (column[first] - column[second]).powi(2);
            distances.push(sample.columns.iter().map(square).sum::<f64>().sqrt());
        }
    }
    let place = (quantile * (distances.len() - 1) as f64).round() as usize;
    let (_, &mut distance, _) = distances.select_nth_unstable_by(place, f64::total_cmp);
    if distance > 0.0 && distance.is_finite() {
        return Ok(distance);
    }
    Err(Error::Constant { what: "distance between events", found: distance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_distances_are_those_of_all_pairs() {
        // Distances 1, 2, 3, 4 occur 4, 3, 2, 1 times.
        let line = Sample::equal(vec![vec![0.0, 1.0, 2.0, 3.0, 4.0]], 1.0);
        let distance = |quantile| pairwise_distance(&line, quantile, 1).unwrap();
        assert_eq!((distance(0.0), distance(0.5), distance(1.0)), (1.0, 2.0, 4.0));
        let corner = Sample::equal(vec![vec![0.0, 3.0], vec![0.0, 4.0]], 1.0);
        assert_eq!(pairwise_distance(&corner, 0.9, 1), Ok(5.0));
        let same = Sample::equal(vec![vec![1.0; 3]], 1.0);
        assert!(pairwise_distance(&same, 0.9, 1).is_err());
    }

    #[test]
    fn the_exponential_has_its_published_width() {
        // |x − y| of two exponential numbers is exponential again: ln 10 / 8 = 0.288, "≈ 0.3".
        let mut stream = Stream::of(1, 1);
        let x = (0..100_000).map(|_| stream.exponential() / 8.0).collect();
        let width = pairwise_distance(&Sample::equal(vec![x], 1.0), 0.9, 1).unwrap();
        assert!((width / 0.2878 - 1.0).abs() < 0.05, "{width}");
    }
}
