//! Toys from samples of events: what a trigger accepted, divided at random into data and reference.
//!
//! For each toy a Poisson number of background events is drawn without replacement as data, and from the rest the
//! reference, so that they share no event within a toy. Different toys do share some: their statistics are
//! independent as far as the pool is larger than what one toy takes. Weighted events enter the data with a
//! probability in proportion to their weight, and the reference with their weight.

use super::experiment::{Experiment, Sample};
use crate::error::{Error, check};
use crate::rng::Stream;
use crate::weights::check_weights;

/// Events to draw from.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Background.
    pub background: Sample,
    /// Where the reference is drawn from; none: from what the data leave of the background.
    pub reference: Option<Sample>,
    /// Signal.
    pub signal: Sample,
    /// Expected background events in the data.
    pub n_expected: f64,
    /// Logarithm of the factor by which the data exceed what is expected, signal too; 0: what is expected is right.
    pub norm: f64,
    /// Events of the reference.
    pub n_reference: usize,
}

impl Pool {
    /// Checks that toys can be drawn.
    ///
    /// # Errors
    /// Other numbers of observables, expectations that are none, a pool without weight, and one that is too
    /// small for data and reference.
    pub fn check(&self) -> Result<(), Error> {
        let positive = self.n_expected > 0.0 && self.n_expected.is_finite();
        check(positive, "expected background events", "a number above zero", self.n_expected)?;
        check(self.norm.is_finite(), "norm of the data", "a finite number", self.norm)?;
        check(self.n_reference > 0, "reference events", "at least 1", self.n_reference as f64)?;
        let samples = [Some(&self.background), self.reference.as_ref(), Some(&self.signal)];
        for sample in samples.into_iter().flatten() {
            let (expected, found) = (self.background.columns.len(), sample.columns.len());
            if expected != found {
                return Err(Error::Length { what: "observables of a sample", expected, found });
            }
            check_weights(sample.len(), &sample.weights)?;
        }
        // A toy without data has no test: of so many expected events one in 10¹³ has none.
        let enough_data = "at least 30 (take a larger exposure or a looser cut)";
        check(self.n_expected >= 30.0, "expected background events", enough_data, self.n_expected)?;
        for sample in [Some(&self.background), self.reference.as_ref()].into_iter().flatten() {
            if !sample.weights.iter().any(|&weight| weight > 0.0) {
                return Err(Error::NoWeight { events: sample.len() as u64 });
            }
        }
        let data = self.most_data();
        let found = self.background.len() as f64;
        match &self.reference {
            None => enough(
                "background pool (data and reference)",
                data + self.n_reference as f64,
                found,
            ),
            Some(reference) => {
                enough("background pool (data)", data, found)?;
                enough("reference pool", self.n_reference as f64, reference.len() as f64)
            }
        }
    }

    /// More background events than the data of any toy have: five deviations above what is expected.
    #[must_use]
    pub fn most_data(&self) -> f64 {
        let mean = (self.n_expected * self.norm.exp()).max(0.0);
        mean + 5.0 * mean.sqrt()
    }

    /// Draws a toy with this expected number of signal events.
    ///
    /// # Errors
    /// As [`Pool::check`], and more signal than there is.
    pub fn draw(&self, n_signal: f64, rng_seed: u64, number: u64) -> Result<Experiment, Error> {
        let mut stream = Stream::of(rng_seed, number);
        let factor = self.norm.exp();
        let wanted = stream.poisson(self.n_expected * factor) as usize;
        let (mut data, rest) = divide(&self.background, wanted, &mut stream)?;
        let n_signal = stream.poisson(n_signal * factor) as usize;
        let (signal, _) = divide(&self.signal, n_signal, &mut stream)?;
        let mut reference = match &self.reference {
            None => rest,
            Some(reference) => (0..reference.len() as u32).collect(),
        };
        stream.shuffle_front(&mut reference, self.n_reference);
        reference.truncate(self.n_reference);
        let pool = self.reference.as_ref().unwrap_or(&self.background);
        let mut reference = pool.select(&reference);
        let total: f64 = reference.weights.iter().sum();
        reference.weights.iter_mut().for_each(|weight| *weight *= self.n_expected / total);
        data.sort_unstable();
        let mut data = self.background.select(&data);
        data.append(&self.signal.select(&signal));
        data.weights.fill(1.0);
        Experiment::new(reference, &data)
    }
}

fn enough(what: &'static str, needed: f64, found: f64) -> Result<(), Error> {
    if found >= needed { Ok(()) } else { Err(Error::SmallPool { what, needed, found }) }
}

/// Draws events in proportion to their weights, and returns them and the rest.
fn divide(
    sample: &Sample,
    wanted: usize,
    stream: &mut Stream,
) -> Result<(Vec<u32>, Vec<u32>), Error> {
    let mut left: Vec<u32> = (0..sample.len() as u32).collect();
    let highest = sample.weights.iter().copied().fold(0.0, f64::max);
    let mut drawn = Vec::with_capacity(wanted);
    while drawn.len() < wanted {
        if left.is_empty() {
            let (needed, found) = (wanted as f64, sample.len() as f64);
            return Err(Error::SmallPool { what: "pool of events", needed, found });
        }
        let place = stream.below(left.len() as u64) as usize;
        let weight = sample.weights[left[place] as usize];
        if weight >= highest || stream.uniform() * highest < weight {
            drawn.push(left.swap_remove(place));
        } else if weight == 0.0 {
            // Never data; without this a pool of nothing else would never end.
            left.swap_remove(place);
        }
    }
    Ok((drawn, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let background: Vec<f64> = (0..5000).map(f64::from).collect();
        let signal: Vec<f64> = (0..100).map(|k| -1.0 - f64::from(k)).collect();
        Pool {
            background: Sample::equal(vec![background], 1.0),
            reference: None,
            signal: Sample::equal(vec![signal], 1.0),
            n_expected: 400.0,
            norm: 0.0,
            n_reference: 4000,
        }
    }

    #[test]
    fn data_and_reference_share_no_event() {
        let pool = pool();
        pool.check().unwrap();
        let mut sizes = 0;
        for number in 0..20 {
            let toy = pool.draw(10.0, 1, number).unwrap();
            let mut values = toy.columns()[0].clone();
            values.sort_by(f64::total_cmp);
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(toy.n_reference(), 4000);
            let weights: f64 = toy.weights()[..4000].iter().sum();
            assert!((weights - 400.0).abs() < 1e-9);
            assert!(toy.columns()[0][..4000].iter().all(|&x| x >= 0.0));
            sizes += toy.len() - 4000;
        }
        // 20 toys of 410: standard deviation 91.
        assert!(sizes.abs_diff(8200) < 460, "{sizes}");
        assert_eq!(pool.draw(10.0, 1, 3), pool.draw(10.0, 1, 3));
        assert_ne!(pool.draw(10.0, 1, 3), pool.draw(10.0, 1, 4));
    }

    #[test]
    fn a_norm_changes_the_data_and_not_what_is_expected() {
        let pool = Pool { norm: 0.5, ..pool() };
        let mut sizes = 0;
        for number in 0..20 {
            let toy = pool.draw(10.0, 1, number).unwrap();
            let weights: f64 = toy.weights()[..4000].iter().sum();
            assert!((weights - 400.0).abs() < 1e-9);
            sizes += toy.len() - 4000;
        }
        // 20 toys of 410 e^0.5 = 676: standard deviation 116.
        assert!(sizes.abs_diff(13_520) < 580, "{sizes}");
        assert!(Pool { norm: f64::INFINITY, ..pool.clone() }.check().is_err());
        let large = Pool { norm: 2.0, ..pool }.check().unwrap_err().to_string();
        assert!(large.contains("hint:"), "{large}");
    }

    #[test]
    fn weighted_events_are_data_in_proportion() {
        let mut pool = pool();
        pool.background.weights = (0..5000).map(|k| f64::from(k % 3)).collect();
        pool.reference = Some(pool.background.clone());
        pool.n_reference = 5000;
        let mut counts = [0_i32; 3];
        for number in 0..20 {
            let toy = pool.draw(0.0, 1, number).unwrap();
            toy.columns()[0][5000..].iter().for_each(|x| counts[*x as usize % 3] += 1);
        }
        // Once and twice: a third and two thirds of some 8000, give or take 42, less what a pool of 5000
        // gives twice as readily.
        assert_eq!(counts[0], 0);
        let part = f64::from(counts[2]) / f64::from(counts[1] + counts[2]);
        assert!((part - 2.0 / 3.0).abs() < 0.04, "{counts:?}");
    }

    #[test]
    fn pools_that_are_too_small_say_what_they_need() {
        let small = Pool { n_reference: 4600, ..pool() };
        let error = small.check().unwrap_err().to_string();
        assert!(error.contains("5100") && error.contains("5000"), "{error}");
        assert!(pool().draw(500.0, 1, 0).is_err());
        assert!(Pool { n_expected: f64::NAN, ..pool() }.check().is_err());
        let none = Pool { n_expected: 2.5, ..pool() }.check().unwrap_err().to_string();
        assert!(none.contains("at least 30") && none.contains("found 2.5"), "{none}");
    }
}
