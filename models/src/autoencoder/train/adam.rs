//! Adam with decoupled decay of weights, on one flat array of numbers.
//!
//! **Source**: Kingma and Ba, ICLR 2015; decay: Loshchilov and Hutter, ICLR 2019.

use std::ops::Range;

use rkyv::{Archive, Deserialize, Serialize};

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// Longest gradient that is followed; a longer one is scaled down to it. The first steps of a training
/// have gradients a thousand times as long as later ones, and the running mean of their
/// squares would slow down some ten thousand steps.
const MAX_LENGTH: f32 = 1.0;

/// What the optimiser remembers.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(super) struct Adam {
    /// Running mean of the gradient. **Shape**: that of the numbers.
    mean: Vec<f32>,
    /// Running mean of its square.
    square: Vec<f32>,
    /// Steps done.
    n_steps: u64,
}

impl Adam {
    pub(super) fn new(n_parameters: usize) -> Adam {
        Adam { mean: vec![0.0; n_parameters], square: vec![0.0; n_parameters], n_steps: 0 }
    }

    /// Numbers that it is for.
    pub(super) fn n_parameters(&self) -> usize {
        self.mean.len().min(self.square.len())
    }

    /// Moves the numbers against the gradient; those in `decayed` lose `decay` of themselves, too.
    pub(super) fn step(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        learning_rate: f32,
        decayed: &[Range<usize>],
        decay: f32,
    ) {
        self.n_steps += 1;
        if decay > 0.0 {
            for range in decayed {
                parameters[range.clone()].iter_mut().for_each(|p| *p -= decay * *p);
            }
        }
        let length =
            gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt() as f32;
        let scale = if length > MAX_LENGTH { MAX_LENGTH / length } else { 1.0 };
        // After so many steps both corrections are 1 to the last bit.
        let n = self.n_steps.min(100_000) as i32;
        let (bias_1, bias_2) = (1.0 - BETA_1.powi(n), 1.0 - BETA_2.powi(n));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((p, &g), (mean, square)) in parameters.iter_mut().zip(gradient).zip(moments) {
            let g = scale * g;
            *mean = BETA_1 * *mean + (1.0 - BETA_1) * g;
            *square = BETA_2 * *square + (1.0 - BETA_2) * g * g;
            *p -= learning_rate * (*mean / bias_1) / ((*square / bias_2).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_are_those_worked_by_hand() {
        // First step: mean / bias = g, root of square / bias = |g|: the step is the learning rate.
        let mut adam = Adam::new(2);
        let mut p = [1.0, -2.0];
        adam.step(&mut p, &[0.5, -0.8], 0.1, &[], 0.0);
        assert!((p[0] - 0.9).abs() < 1e-6 && (p[1] + 1.9).abs() < 1e-6, "{p:?}");
        // Second: mean 0.1·(0.9·0.5 + 0.25) / 0.19, square 0.001·(0.999·0.25 + 0.0625) / 0.001999.
        adam.step(&mut p, &[0.25, -0.8], 0.1, &[], 0.0);
        let (mean, square) = (0.07 / 0.19, 0.000_312_25 / 0.001_999);
        let expected = 0.9 - 0.1 * mean / f32::sqrt(square);
        assert!((p[0] - expected).abs() < 1e-5, "{} {expected}", p[0]);
        assert!((p[1] + 1.8).abs() < 1e-5, "{}", p[1]);
    }

    #[test]
    fn long_gradients_are_followed_as_short_ones_of_their_direction() {
        let stepped = |gradient: [f32; 2]| {
            let mut adam = Adam::new(2);
            let mut p = [0.0, 0.0];
            adam.step(&mut p, &gradient, 0.1, &[], 0.0);
            adam.step(&mut p, &[0.1, -0.1], 0.1, &[], 0.0);
            p
        };
        let distance = |[a, b]: [f32; 2], [c, d]: [f32; 2]| (a - c).hypot(b - d);
        let unit = stepped([0.6, -0.8]);
        assert!(distance(stepped([3000.0, -4000.0]), unit) < 1e-6);
        assert!(distance(stepped([0.3, -0.4]), unit) > 1e-3);
    }

    #[test]
    fn only_weights_decay() {
        let mut adam = Adam::new(2);
        let mut p = [1.0, 1.0];
        let first = 0..1;
        adam.step(&mut p, &[0.0, 0.0], 0.1, &[first], 0.25);
        assert_eq!(p.map(f32::to_bits), [0.75f32, 1.0].map(f32::to_bits));
    }

    #[test]
    fn it_finds_the_bottom_of_a_bowl() {
        let mut adam = Adam::new(2);
        let mut p = [3.0, -1.0];
        for _ in 0..2000 {
            let gradient = [2.0 * (p[0] - 1.0), 20.0 * (p[1] - 2.0)];
            adam.step(&mut p, &gradient, 0.01, &[], 0.0);
        }
        assert!((p[0] - 1.0).abs() < 1e-3 && (p[1] - 2.0).abs() < 1e-3, "{p:?}");
    }
}
