//! The pT of the next object of a kind, given the one before it: hazards from high to low codes.
//!
//! Objects of a crossing are sorted by pT. Going down from the code of the one before, at each code
//! x there is a chance that the next object is there: 1 − exp(−λ(x)). Where the way ends, below the
//! lowest code, there is no further object, so that multiplicities follow from the same numbers. λ
//! depends on the rank, on a context (what is known of the crossing, and how hard the object before was)
//! and, as (pile-up / reference)^exponent, on pile-up: proportional hazards.
//!
//! **Source**: Cox, J. R. Stat. Soc. B 34 (1972) 187, with log-log link for discrete codes.

use rkyv::{Archive, Deserialize, Serialize};

use super::random::power;

/// Highest code of a pT that there is, plus one.
pub(super) const CODES: usize = 2048;

/// λ of one context.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Hazard {
    /// The lowest code.
    pub first: u16,
    /// λ of it and of those after it, at the reference pile-up.
    pub lambdas: Vec<f32>,
    /// Above those, λ falls from the last one as code^−`tail`.
    pub tail: f64,
}

impl Hazard {
    pub(super) fn is_sound(&self) -> bool {
        usize::from(self.first) + self.lambdas.len() <= CODES
            && self.lambdas.iter().all(|lambda| (0.0..1e6).contains(lambda))
            && (0.0..100.0).contains(&self.tail)
    }

    /// λ of every code up to `max`.
    fn expanded(&self, max: usize) -> Vec<f64> {
        let mut lambdas = vec![0.0; CODES];
        let first = usize::from(self.first);
        for (code, &lambda) in (first..).zip(&self.lambdas) {
            lambdas[code] = f64::from(lambda);
        }
        if let Some(&last) = self.lambdas.last().filter(|&&last| last > 0.0) {
            let end = first + self.lambdas.len();
            for (code, lambda) in lambdas.iter_mut().enumerate().take(max + 1).skip(end) {
                *lambda = f64::from(last) * power(code as f64 / (end as f64 - 1.0), -self.tail);
            }
        }
        lambdas
    }
}

/// A guide to the sums has 16 places for each power of two, from this one up.
const GUIDE_FROM: u64 = (1023 - 36) << 4;
/// Places of a guide: sums up to 2^8 have their own.
const GUIDE: usize = (36 + 8) << 4;

/// Place of a positive sum: its exponent and the first bits of its mantissa.
#[inline]
fn guide_place(sum: f64) -> usize {
    ((sum.to_bits() >> 48).saturating_sub(GUIDE_FROM) as usize).min(GUIDE - 1)
}

/// A hazard, ready to draw from.
#[derive(Clone, Debug)]
pub(super) struct HazardTable {
    /// Sum of λ over all codes from this one on; the entry after the highest code is 0.
    sums: Vec<f64>,
    /// The highest code whose sum is at least the smallest of a place.
    guide: Vec<u16>,
}

impl HazardTable {
    pub(super) fn new(hazard: &Hazard, max: usize) -> HazardTable {
        let lambdas = hazard.expanded(max);
        let mut sums = vec![0.0; max + 2];
        for code in (0..=max).rev() {
            sums[code] = sums[code + 1] + lambdas[code];
        }
        let mut code = max;
        let highest = |place: usize| {
            let least =
                if place == 0 { 0.0 } else { f64::from_bits((GUIDE_FROM + place as u64) << 48) };
            while code > 0 && sums[code] < least {
                code -= 1;
            }
            code as u16
        };
        let guide = (0..GUIDE).map(highest).collect();
        HazardTable { sums, guide }
    }

    /// The code of the next object at or below `start`, 0 if there is none: where the sum of λ from
    /// `start` down reaches `deviate`. λ counts `factors[s]` times for codes from `edges[s]` on, up to
    /// `edges[s + 1]`.
    #[inline]
    pub(super) fn draw(&self, start: u16, deviate: f64, edges: &[u16], factors: &[f64]) -> u16 {
        let mut from = self.sums[usize::from(start) + 1];
        let mut left = deviate;
        for (&edge, &factor) in edges.iter().zip(factors).rev() {
            let to = self.sums[usize::from(edge)];
            let within = (to - from) * factor;
            if within >= left && within > 0.0 {
                return self.code_at(from + left / factor).max(edge).min(start);
            }
            if to > from {
                left -= within;
                from = to;
            }
        }
        0
    }

    /// The highest code whose sum is at least `sum`.
    #[inline]
    fn code_at(&self, sum: f64) -> u16 {
        let mut code = usize::from(self.guide[guide_place(sum)]);
        while code > 0 && self.sums[code] < sum {
            code -= 1;
        }
        code as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::random::{Exponential, Seed, exp};

    fn hazard() -> Hazard {
        Hazard { first: 20, lambdas: vec![0.3, 0.2, 0.0, 0.5, 0.1, 0.05], tail: 4.0 }
    }

    #[test]
    fn a_draw_is_where_a_walk_down_the_codes_arrives() {
        let table = HazardTable::new(&hazard(), 511);
        let lambdas = hazard().expanded(511);
        let edges = [0, 22, 30];
        let factors = [1.5, 0.7, 2.0];
        let mut random = Seed::new(1).crossing(0);
        let exponential = Exponential::new();
        for _ in 0..200_000 {
            let start = [511, 24, 23, 22, 21, 20, 40, 5][random.word() as usize % 8];
            let deviate = exponential.of_word(random.word());
            let mut left = deviate;
            let mut expected = 0;
            for code in (0..=start).rev() {
                let segment = edges.iter().rposition(|&edge| edge <= code).unwrap();
                left -= lambdas[usize::from(code)] * factors[segment];
                if left <= 0.0 {
                    expected = code;
                    break;
                }
            }
            let found = table.draw(start, deviate, &edges, &factors);
            // Sums are added up in another order: a deviate on a boundary may go either way.
            assert!(
                found == expected || left.abs() < 1e-12,
                "{start} {deviate}: {found} {expected}"
            );
        }
    }

    #[test]
    fn codes_are_drawn_as_often_as_their_hazards_say() {
        let table = HazardTable::new(&hazard(), 511);
        let lambdas = hazard().expanded(511);
        let mut random = Seed::new(2).crossing(0);
        let exponential = Exponential::new();
        let n = 1_000_000;
        let mut counts = vec![0_u32; 512];
        for _ in 0..n {
            let deviate = exponential.of_word(random.word());
            counts[usize::from(table.draw(511, deviate, &[0], &[1.0]))] += 1;
        }
        let mut reaches = 1.0;
        for code in (0..512).rev() {
            let p = if code == 0 { reaches } else { reaches * (1.0 - exp(-lambdas[code])) };
            reaches -= if code == 0 { 0.0 } else { p };
            let sigma = (f64::from(n) * p * (1.0 - p)).sqrt();
            // 6 standard deviations, or less than one event.
            let off = (f64::from(counts[code]) - f64::from(n) * p).abs();
            assert!(off <= 6.0 * sigma + 1.0, "{code}: {} for {}", counts[code], f64::from(n) * p);
        }
        assert!(counts[26..].iter().sum::<u32>() > 0, "the tail is drawn from");
    }
}
