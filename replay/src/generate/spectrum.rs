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

/// Most ranges of codes with an exponent of pile-up each.
pub(super) const SEGMENTS: usize = 4;

/// A guide to the sums has 32 places for each power of two, from this one up.
const GUIDE_FROM: u64 = (1023 - 36) << 5;
/// Places of a guide: sums up to 2^6 have their own.
const GUIDE: usize = (36 + 6) << 5;
/// Codes that a guide is looked at again without a branch.
const STEPS: usize = 2;

/// Place of a positive sum: its exponent and the first bits of its mantissa.
#[inline]
fn guide_place(sum: f64) -> usize {
    ((sum.to_bits() >> 47).saturating_sub(GUIDE_FROM) as usize).min(GUIDE - 1)
}

/// A hazard, ready to draw from.
#[derive(Clone, Debug)]
pub(super) struct HazardTable {
    /// Sum of λ over all codes from this one on; the entry after the highest code is 0.
    sums: Vec<f64>,
    /// The same from the edges of segments on, and 0 after the last.
    at_edges: [f64; SEGMENTS + 1],
    edges: [u16; SEGMENTS],
    /// The highest code whose sum is at least the smallest of a place.
    guide: Vec<u16>,
}

impl HazardTable {
    pub(super) fn new(hazard: &Hazard, max: u16, segments: &[u16]) -> HazardTable {
        let lambdas = hazard.expanded(usize::from(max));
        let mut sums = vec![0.0; usize::from(max) + 2];
        for code in (0..=usize::from(max)).rev() {
            sums[code] = sums[code + 1] + lambdas[code];
        }
        let mut code = usize::from(max);
        let highest = |place: usize| {
            let least =
                if place == 0 { 0.0 } else { f64::from_bits((GUIDE_FROM + place as u64) << 47) };
            while code > 0 && sums[code] < least {
                code -= 1;
            }
            code as u16
        };
        let guide = (0..GUIDE).map(highest).collect();
        let mut table =
            HazardTable { at_edges: [0.0; SEGMENTS + 1], edges: [max; SEGMENTS], guide, sums };
        for (k, &edge) in segments.iter().take(SEGMENTS).enumerate() {
            table.edges[k] = edge.min(max);
            table.at_edges[k] = table.sums[usize::from(edge.min(max + 1))];
        }
        table
    }

    /// The code of the next object at or below `start`, which is in segment `segment`; 0 if there is
    /// none: where the sum of λ from `start` down, each times the factor of its segment, reaches
    /// `deviate`.
    #[inline]
    pub(super) fn draw(
        &self,
        start: u16,
        segment: usize,
        deviate: f64,
        factors: &[f64; SEGMENTS],
    ) -> u16 {
        // Sums with their factors, from the edges on.
        let mut scaled = [0.0; SEGMENTS + 1];
        for k in (0..SEGMENTS).rev() {
            scaled[k] = scaled[k + 1] + (self.at_edges[k] - self.at_edges[k + 1]) * factors[k];
        }
        let above_start = self.sums[usize::from(start) + 1] - self.at_edges[segment + 1];
        let target = deviate + scaled[segment + 1] + above_start * factors[segment];
        let segments_reached = scaled[..SEGMENTS].iter().filter(|&&sum| sum >= target).count();
        if segments_reached == 0 {
            return 0;
        }
        let k = segments_reached - 1;
        let sum = self.at_edges[k + 1] + (target - scaled[k + 1]) / factors[k];
        self.code_at(sum).max(self.edges[k]).min(start)
    }

    /// The highest code whose sum is at least `sum`.
    #[inline]
    fn code_at(&self, sum: f64) -> u16 {
        let mut code = usize::from(self.guide[guide_place(sum)]);
        for _ in 0..STEPS {
            code -= usize::from(self.sums[code] < sum && code > 0);
        }
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
        let edges = [0, 22, 30];
        let table = HazardTable::new(&hazard(), 511, &edges);
        let lambdas = hazard().expanded(511);
        let factors = [1.5, 0.7, 2.0, 1.0];
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
            let segment = edges.iter().rposition(|&edge| edge <= start).unwrap();
            let found = table.draw(start, segment, deviate, &factors);
            // Sums are added up in another order: a deviate on a boundary may go either way.
            assert!(
                found == expected || left.abs() < 1e-12,
                "{start} {deviate}: {found} {expected}"
            );
        }
    }

    #[test]
    fn codes_are_drawn_as_often_as_their_hazards_say() {
        let table = HazardTable::new(&hazard(), 511, &[0]);
        let lambdas = hazard().expanded(511);
        let mut random = Seed::new(2).crossing(0);
        let exponential = Exponential::new();
        let n = 1_000_000;
        let mut counts = vec![0_u32; 512];
        for _ in 0..n {
            let deviate = exponential.of_word(random.word());
            counts[usize::from(table.draw(511, 0, deviate, &[1.0; SEGMENTS]))] += 1;
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
