//! The pT of the next object of a kind, given the one before it: hazards from high to low codes.
//!
//! Objects of a crossing are sorted by pT. Going down from the code of the one before, at each code
//! x there is a chance that the next object is there: 1 − exp(−λ(x)). Where the way ends, below the
//! lowest code, there is no further object, so that multiplicities follow from the same numbers. λ
//! depends on the rank, on a context (what is known of the crossing, and how hard the object before was)
//! and, as (pile-up / reference)^exponent, on pile-up: proportional hazards.
//!
//! **Source**: Cox, J. R. Stat. Soc. B 34 (1972) 187, with log-log link for discrete codes.

use std::hint::select_unpredictable;

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

/// What λ is multiplied with in each segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    of: [f64; SEGMENTS],
    inverse: [f64; SEGMENTS],
}

impl Factors {
    pub(super) fn new(of: [f64; SEGMENTS]) -> Factors {
        Factors { of, inverse: of.map(|factor| 1.0 / factor) }
    }
}

/// A guide to the sums has 32 places for each power of two, from this one up.
const GUIDE_FROM: u64 = (1023 - 36) << 5;
/// Places of a guide: sums up to 2^6 have their own.
const GUIDE: usize = (36 + 6) << 5;
/// Codes that are looked at beyond the guide's without a branch.
const STEPS: usize = 2;

/// Place of a positive sum in a guide: its exponent and the first bits of its mantissa.
#[inline]
fn guide_place(sum: f64) -> usize {
    ((sum.to_bits() >> 47).saturating_sub(GUIDE_FROM) as usize).min(GUIDE - 1)
}

/// The smallest sum of a place of a guide.
fn guide_least(place: usize) -> f64 {
    if place == 0 { 0.0 } else { f64::from_bits((GUIDE_FROM + place as u64) << 47) }
}

/// A hazard, ready to draw from.
#[derive(Clone, Debug)]
struct Table {
    /// Sum of λ in each segment.
    within: [f64; SEGMENTS],
    /// Sum of λ over all codes beyond each segment.
    beyond: [f64; SEGMENTS],
    /// Of each code: sum of λ over all codes from this one on. Below the lowest code there is no object,
    /// whatever the sum: it is infinite.
    sums: [f64; CODES + 1],
    /// The highest code whose sum is at least the smallest of a place.
    guide: [u16; GUIDE],
}

/// Hazards, ready to draw from.
#[derive(Clone, Debug)]
pub(super) struct Hazards {
    tables: Vec<Table>,
}

impl Hazards {
    /// Of hazards that are drawn from only where the object before is below a code. `segments` are lower
    /// edges, the first 0.
    pub(super) fn new(
        hazards: &[Hazard],
        below: impl Iterator<Item = usize>,
        max: u16,
        segments: &[u16],
    ) -> Hazards {
        let table =
            |(hazard, below): (&Hazard, usize)| Table::new(hazard, below, max.into(), segments);
        Hazards { tables: hazards.iter().zip(below).map(table).collect() }
    }

    /// Where the way down from `start`, which is in segment `segment`, ends: the sum of λ, beginning with the
    /// highest code, at which that from `start` down, each λ times the factor of its segment, reaches
    /// `deviate`.
    #[inline]
    pub(super) fn sum_at(
        &self,
        table: usize,
        start: u16,
        segment: usize,
        deviate: f64,
        factors: &Factors,
    ) -> f64 {
        let Table { within, beyond, sums, .. } = &self.tables[table];
        let (start, segment) = (usize::from(start) % CODES, segment % SEGMENTS);
        // Sums with their factors, beyond each segment.
        let mut scaled = [0.0; SEGMENTS];
        scaled[2] = within[3] * factors.of[3];
        scaled[1] = scaled[2] + within[2] * factors.of[2];
        scaled[0] = scaled[1] + within[1] * factors.of[1];
        let above_start = (sums[start + 1] - beyond[segment]) * factors.of[segment];
        let target = deviate + scaled[segment] + above_start;
        // The lowest segment, if not even that is reached: then what is left leads beyond its sum.
        let k = scaled[..SEGMENTS - 1].iter().filter(|&&sum| sum >= target).count();
        beyond[k] + (target - scaled[k]) * factors.inverse[k]
    }

    /// The code of the object that is there: the highest one whose sum is at least `sum`; 0 if there is none.
    #[inline]
    pub(super) fn code_at(&self, table: usize, sum: f64) -> u16 {
        let Table { sums, guide, .. } = &self.tables[table];
        let mut code = usize::from(guide[guide_place(sum)]);
        for _ in 0..STEPS {
            code -= usize::from(sums[code % CODES] < sum);
        }
        while sums[code % CODES] < sum {
            code -= 1;
        }
        select_unpredictable(sums[code % CODES] == f64::INFINITY, 0, code as u16)
    }
}

impl Table {
    fn new(hazard: &Hazard, below: usize, max: usize, segments: &[u16]) -> Table {
        let mut lambdas = hazard.expanded(max);
        // Never gone through: large λ there would make all sums large, and the guide coarse.
        lambdas[below.min(CODES)..].fill(0.0);
        let mut sums = [0.0; CODES + 1];
        for code in (1..CODES).rev() {
            sums[code] = sums[code + 1] + lambdas[code];
        }
        let mut from_edges = [0.0; SEGMENTS + 1];
        for (sum, &edge) in from_edges.iter_mut().zip(segments) {
            *sum = sums[usize::from(edge).clamp(1, CODES)];
        }
        let lowest = (1..CODES).find(|&code| lambdas[code] > 0.0).unwrap_or(CODES);
        sums[..lowest].fill(f64::INFINITY);
        let mut highest = max;
        let guide = std::array::from_fn(|place| {
            while sums[highest] < guide_least(place) {
                highest -= 1;
            }
            highest as u16
        });
        Table {
            within: std::array::from_fn(|k| from_edges[k] - from_edges[k + 1]),
            beyond: std::array::from_fn(|k| from_edges[k + 1]),
            sums,
            guide,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::GeneratorModel;
    use crate::generate::random::{Exponential, Random, Seed, exp};

    fn hazard() -> Hazard {
        Hazard { first: 20, lambdas: vec![0.3, 0.2, 0.0, 0.5, 0.1, 0.05], tail: 4.0 }
    }

    /// Code by code, and how far the last one is from its edges.
    fn walk(
        lambdas: &[f64],
        edges: &[u16],
        start: u16,
        deviate: f64,
        factors: [f64; SEGMENTS],
    ) -> (u16, f64) {
        let mut left = deviate;
        let mut margin = f64::INFINITY;
        for code in (1..=start).rev() {
            let segment = edges.iter().rposition(|&edge| edge <= code).unwrap();
            left -= lambdas[usize::from(code)] * factors[segment];
            margin = margin.min(left.abs());
            if left <= 0.0 {
                return (code, margin);
            }
        }
        (0, margin)
    }

    fn assert_draws_are_walks(
        hazards: &[Hazard],
        previous: &[u16],
        max: u16,
        edges: &[u16],
        starts: &[u16],
        n: usize,
        random: Random,
    ) {
        let ends = previous[1..].iter().map(|&edge| usize::from(edge)).chain([CODES]);
        let ends: Vec<usize> = ends.collect();
        let tables = Hazards::new(hazards, ends.iter().copied().cycle(), max, edges);
        let exponential = Exponential::new();
        for (table, hazard) in hazards.iter().enumerate() {
            let lambdas = hazard.expanded(usize::from(max));
            let bin = table % previous.len();
            for i in (0..n).map(|i| table * n + i) {
                let [which, rare] = random.halves(2 * i);
                let start = starts[which as usize % starts.len()];
                let start = start.clamp(previous[bin], max.min(ends[bin] as u16 - 1));
                // Small deviates lead to the tail.
                let deviate =
                    exponential.of_word(random.word(2 * i + 1) >> (rare % 4 * (rare >> 28)));
                let factors = [0, 3, 6, 9].map(|k| 0.4 + f64::from(which >> (8 + k) & 7) * 0.3);
                let segment = edges.iter().rposition(|&edge| edge <= start).unwrap();
                let sum = tables.sum_at(table, start, segment, deviate, &Factors::new(factors));
                let found = tables.code_at(table, sum).min(start);
                let (expected, margin) = walk(&lambdas, edges, start, deviate, factors);
                // Sums are added up in another order: a deviate on a boundary may go either way.
                assert!(
                    found == expected || margin < 1e-12,
                    "table {table}, from {start} by {deviate}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn a_guide_has_a_place_for_every_sum() {
        let random = Seed::new(9).crossing(0);
        for i in 0..100_000 {
            let sum = random.uniform(i) * exp(f64::from(i as i32 % 40 - 30));
            let place = guide_place(sum);
            assert!(place < GUIDE && guide_least(place) <= sum, "{sum}");
            assert!(place == GUIDE - 1 || guide_least(place + 1) >= sum, "{sum}");
        }
        assert_eq!(guide_place(f64::INFINITY), GUIDE - 1);
        assert_eq!(guide_place(0.0), 0);
        assert!((1..GUIDE).all(|place| guide_least(place - 1) < guide_least(place)));
    }

    #[test]
    fn a_draw_is_where_a_walk_down_the_codes_arrives() {
        let starts = [511, 24, 23, 22, 21, 20, 40, 5, 19];
        let random = Seed::new(1).crossing(0);
        let few = Hazard { first: 0, lambdas: vec![0.3, 0.0, 0.4], tail: 1.0 };
        let hazards = [hazard(), Hazard::default(), few];
        assert_draws_are_walks(&hazards[..1], &[0], 511, &[0, 22, 30], &starts, 200_000, random);
        assert_draws_are_walks(&hazards, &[0], 511, &[0, 22, 30, 600], &starts, 20_000, random);
        assert_draws_are_walks(&hazards, &[0], 511, &[0], &starts, 20_000, random);
        assert_draws_are_walks(&hazards[1..2], &[0], 511, &[0], &starts, 10, random);
    }

    #[test]
    fn draws_from_the_shipped_model_are_walks_for_every_rank_and_context() {
        let model = GeneratorModel::shipped();
        let random = Seed::new(4).crossing(0);
        for kind in &model.kinds {
            let [pt, ..] = kind.kind().unwrap().kinematics().unwrap();
            let max = pt.spec().range.unwrap().1 as u16;
            for rank in &kind.ranks {
                let (previous, segments) = (&rank.previous_bins, &kind.segments);
                let starts = [&previous[..], &[max, 60, 100, 33, 21]].concat();
                assert_draws_are_walks(
                    &rank.hazards,
                    previous,
                    max,
                    segments,
                    &starts,
                    300,
                    random,
                );
            }
        }
    }

    #[test]
    fn codes_are_drawn_as_often_as_their_hazards_say() {
        let table = Hazards::new(&[hazard()], [CODES].into_iter(), 511, &[0]);
        let lambdas = hazard().expanded(511);
        let random = Seed::new(2).crossing(0);
        let exponential = Exponential::new();
        let n = 1_000_000;
        let mut counts = vec![0_u32; 512];
        for i in 0..n {
            let deviate = exponential.of_word(random.word(i));
            let sum = table.sum_at(0, 511, 0, deviate, &Factors::new([1.0; SEGMENTS]));
            counts[usize::from(table.code_at(0, sum))] += 1;
        }
        let mut reaches = 1.0;
        for code in (0..512).rev() {
            let p = if code == 0 { reaches } else { reaches * (1.0 - exp(-lambdas[code])) };
            reaches -= if code == 0 { 0.0 } else { p };
            let sigma = (n as f64 * p * (1.0 - p)).sqrt();
            // 6 standard deviations, or less than one event.
            let off = (f64::from(counts[code]) - n as f64 * p).abs();
            assert!(off <= 6.0 * sigma + 1.0, "{code}: {} for {}", counts[code], n as f64 * p);
        }
        assert!(counts[26..].iter().sum::<u32>() > 0, "the tail is drawn from");
    }
}
