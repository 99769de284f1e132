//! The pT of the next object of a kind, given the one before it: hazards from high to low codes.
//!
//! Objects of a crossing are sorted by pT. Going down from the code of the one before, at each code
//! x there is a chance that the next object is there: 1 − exp(−λ(x)). Where the way ends, below the
//! lowest code, there is no further object, so that multiplicities follow from the same numbers. λ
//! depends on the rank, on a context (what is known of the crossing, and how hard the object before was)
//! and, as (pile-up / reference)^exponent, on pile-up: proportional hazards.
//!
//! **Source**: Cox, J. R. Stat. Soc. B 34 (1972) 187, with log-log link for discrete codes.

use std::ops::Range;

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

/// Places of the longest guide: sums from 2^20 on share the last one.
const GUIDE_MAX: usize = (36 + 20) << 5;
/// More than any sum of λ, and finite with any factor: λ are below 1e6, factors of pile-up below 1e93, which the
/// model's check has seen to.
const BEYOND: f64 = 1e150;

/// Place of a positive sum in a guide: its exponent and the first bits of its mantissa. How long the guide is,
/// is not its business.
#[inline]
fn guide_place(sum: f64) -> usize {
    (sum.to_bits() >> 47).saturating_sub(GUIDE_FROM) as usize
}

/// The smallest sum of a place of a guide.
fn guide_least(place: usize) -> f64 {
    if place == 0 { 0.0 } else { f64::from_bits((GUIDE_FROM + place as u64) << 47) }
}

/// A way down the codes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    /// Sum of λ where it ends, beginning with the highest code.
    sum: f64,
    /// Where among the sums the object is, or above.
    at_most: u32,
}

/// Where ways begin.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Sum of λ over all codes above.
    above: f64,
    /// The first place of the guide, and how many follow.
    guide: u32,
    last_place: u16,
    hazard: u16,
}

/// Sums of λ of one hazard, by segment of codes.
#[derive(Clone, Debug)]
struct Segments {
    within: [f64; SEGMENTS],
    /// Over all codes beyond each.
    beyond: [f64; SEGMENTS],
}

/// Hazards of one rank, ready to draw from.
///
/// One look at where a way begins tells all that the draw needs, and tables are as short as they can be: what
/// is drawn from most stays close.
#[derive(Clone, Debug)]
pub(super) struct Hazards {
    /// For each context, of each code of the object before.
    starts: Vec<Start>,
    /// Codes that an object before can have.
    n_starts: usize,
    /// Of each code.
    segment_of: Vec<u8>,
    /// Of each hazard.
    segments: Vec<Segments>,
    /// One hazard after the other, of each place of its guide: where the highest code is whose sum is at least
    /// the smallest of the place.
    guides: Vec<u32>,
    /// One hazard after the other, from the code below its lowest up: sum of λ over all codes from this one
    /// on. The first is infinite: whatever the sum, there is no object below the lowest code.
    sums: Vec<f64>,
    /// Codes of those; 0 in the place of the first.
    codes: Vec<u16>,
}

impl Hazards {
    /// For each context, and within it for each bin of the object before (lower edges `previous`), a hazard.
    /// `max` is the highest code. `segments` are lower edges, the first 0, and `factors` what λ is multiplied
    /// with there, once and for all.
    pub(super) fn new(
        hazards: &[Hazard],
        previous: &[u16],
        max: u16,
        segments: &[u16],
        factors: [f64; SEGMENTS],
    ) -> Hazards {
        let n_starts = usize::from(max) + 1;
        let segment = |code| segments.partition_point(|&edge| usize::from(edge) <= code) - 1;
        let mut all = Hazards {
            starts: Vec::with_capacity(hazards.len().div_ceil(previous.len()) * n_starts),
            n_starts,
            segment_of: (0..n_starts).map(|code| segment(code) as u8).collect(),
            segments: Vec::new(),
            guides: Vec::new(),
            sums: Vec::new(),
            codes: Vec::new(),
        };
        let ends = previous[1..].iter().map(|&edge| usize::from(edge)).chain([n_starts]);
        let bins = previous.iter().map(|&edge| usize::from(edge)).zip(ends);
        for (hazard, (first, end)) in hazards.iter().zip(bins.cycle()) {
            let mut lambdas = hazard.expanded(max.into());
            for (code, lambda) in lambdas.iter_mut().enumerate().take(n_starts) {
                *lambda *= factors[segment(code)];
            }
            all.add(&lambdas, first.min(n_starts)..end.min(n_starts), segments);
        }
        all
    }

    /// A hazard with these λ of all codes, of ways that begin at `starts`. What is above those is not gone
    /// through: large λ there would make all sums large, and the guide coarse.
    fn add(&mut self, lambdas: &[f64], starts: Range<usize>, segments: &[u16]) {
        let end = starts.end;
        let lowest = (1..end).find(|&code| lambdas[code] > 0.0).unwrap_or(end + 1);
        let below = lowest - 1;
        let mut sums = vec![0.0; end - below + 1];
        for code in (lowest..end).rev() {
            sums[code - below] = sums[code - below + 1] + lambdas[code];
        }
        let mut from_edges = [0.0; SEGMENTS + 1];
        for (sum, &edge) in from_edges.iter_mut().zip(segments) {
            *sum = sums[usize::from(edge).max(lowest).min(end) - below];
        }
        let n_places = sums.get(1).map_or(1, |&sum| (guide_place(sum) + 2).min(GUIDE_MAX));
        sums[0] = f64::INFINITY;
        let (first_place, first_sum) = (self.guides.len() as u32, self.sums.len() as u32);
        let mut highest = sums.len() - 1;
        self.guides.extend((0..n_places).map(|place| {
            while sums[highest] < guide_least(place) {
                highest -= 1;
            }
            first_sum + highest as u32
        }));
        self.starts.extend(starts.map(|start| Start {
            // Of a way that begins below the lowest code: more than any sum, but not what no sum is below.
            above: sums[(start + 1).saturating_sub(below)].min(BEYOND),
            guide: first_place,
            last_place: (n_places - 1) as u16,
            hazard: self.segments.len() as u16,
        }));
        self.segments.push(Segments {
            within: std::array::from_fn(|k| from_edges[k] - from_edges[k + 1]),
            beyond: std::array::from_fn(|k| from_edges[k + 1]),
        });
        self.codes.extend((below..=end).map(|code| if code == below { 0 } else { code as u16 }));
        self.sums.extend(sums);
    }

    #[inline]
    fn start(&self, context: u16, start: u16) -> &Start {
        &self.starts[usize::from(context) * self.n_starts + usize::from(start)]
    }

    /// Where the way down from `start` by `deviate` ends.
    #[inline]
    pub(super) fn way(&self, context: u16, start: u16, deviate: f64) -> Way {
        let start = self.start(context, start);
        self.way_to(start, start.above + deviate)
    }

    /// The same with each λ times the factor of its segment.
    #[inline]
    pub(super) fn way_with(
        &self,
        context: u16,
        start: u16,
        deviate: f64,
        factors: &Factors,
    ) -> Way {
        let segment = usize::from(self.segment_of[usize::from(start)]) % SEGMENTS;
        let start = self.start(context, start);
        let Segments { within, beyond } = &self.segments[usize::from(start.hazard)];
        // Sums with their factors, beyond each segment.
        let mut scaled = [0.0; SEGMENTS];
        scaled[2] = within[3] * factors.of[3];
        scaled[1] = scaled[2] + within[2] * factors.of[2];
        scaled[0] = scaled[1] + within[1] * factors.of[1];
        let above_start = (start.above - beyond[segment]) * factors.of[segment];
        let target = deviate + scaled[segment] + above_start;
        // The lowest segment, if not even that is reached: then what is left leads beyond its sum.
        let k = scaled[..SEGMENTS - 1].iter().filter(|&&sum| sum >= target).count();
        let sum = beyond[k] + (target - scaled[k]) * factors.inverse[k];
        // Rounding never leads upwards.
        self.way_to(start, sum.max(start.above))
    }

    #[inline]
    fn way_to(&self, start: &Start, sum: f64) -> Way {
        let place = guide_place(sum).min(start.last_place.into());
        Way { sum, at_most: self.guides[start.guide as usize + place] }
    }

    /// The code of the object that is there: the highest one the sum of which is more than the way's; 0 if there
    /// is none.
    #[inline]
    pub(super) fn code(&self, Way { sum, at_most }: Way) -> u16 {
        // One step is seldom needed, a second one hardly ever.
        let mut place = at_most as usize - usize::from(self.sums[at_most as usize] <= sum);
        while self.sums[place] <= sum {
            place -= 1;
        }
        self.codes[place]
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
        let tables = Hazards::new(hazards, previous, max, edges, [1.0; SEGMENTS]);
        let once = [0.7, 1.9, 0.4, 1.2];
        let tables_once = Hazards::new(hazards, previous, max, edges, once);
        let ends: Vec<u16> = previous[1..].iter().copied().chain([max + 1]).collect();
        let exponential = Exponential::new();
        for (table, hazard) in hazards.iter().enumerate() {
            let lambdas = hazard.expanded(usize::from(max));
            let (context, bin) = ((table / previous.len()) as u16, table % previous.len());
            for i in (0..n).map(|i| table * n + i) {
                let [which, rare] = random.halves(2 * i);
                let start = starts[which as usize % starts.len()];
                let start = start.clamp(previous[bin].min(max), max.min(ends[bin] - 1));
                // Small deviates lead to the tail.
                let deviate =
                    exponential.of_word(random.word(2 * i + 1) >> (rare % 4 * (rare >> 28)));
                let factors = [0, 3, 6, 9].map(|k| 0.4 + f64::from(which >> (8 + k) & 7) * 0.3);
                let way = tables.way_with(context, start, deviate, &Factors::new(factors));
                let found = [
                    (tables.code(way), factors),
                    (tables.code(tables.way(context, start, deviate)), [1.0; SEGMENTS]),
                    (tables_once.code(tables_once.way(context, start, deviate)), once),
                ];
                for (found, factors) in found {
                    let (expected, margin) = walk(&lambdas, edges, start, deviate, factors);
                    // Sums are added up in another order: a deviate on a boundary may go either way.
                    assert!(
                        found == expected || margin < 1e-12,
                        "table {table}, from {start} by {deviate}: {found} for {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_guide_has_a_place_for_every_sum() {
        let random = Seed::new(9).crossing(0);
        for i in 0..100_000 {
            let sum = random.uniform(i) * exp(f64::from(i as i32 % 40 - 30));
            let place = guide_place(sum);
            assert!(guide_least(place) <= sum && guide_least(place + 1) > sum, "{sum}");
        }
        assert_eq!(guide_place(0.0), 0);
        assert!((1..2000).all(|place| guide_least(place - 1) < guide_least(place)));
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
    fn ways_of_no_length_do_not_lead_to_codes_without_a_hazard_nor_upwards() {
        let tables = Hazards::new(&[hazard()], &[0], 511, &[0, 22, 30], [1.0; SEGMENTS]);
        let factors = Factors::new([0.3, 1.7, 1e90, 1.0]);
        for deviate in [0.0, 1e-300, 1e-20] {
            for (start, expected) in [(22, 21), (21, 21), (20, 20), (19, 0), (5, 0), (0, 0)] {
                assert_eq!(tables.code(tables.way(0, start, deviate)), expected, "{start}");
                let way = tables.way_with(0, start, deviate, &factors);
                assert_eq!(tables.code(way), expected, "{start} with factors");
            }
        }
        // As large as a sound model can make them.
        let all = Hazard { lambdas: vec![1e6; 400], ..hazard() };
        let huge = Hazards::new(&[all], &[0], 511, &[0], [1e93; SEGMENTS]);
        for start in [511, 100, 20, 19, 0] {
            let code = huge.code(huge.way(0, start, 1.0));
            assert_eq!(code, if start < 20 { 0 } else { start }, "{start}");
        }
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
        let table = Hazards::new(&[hazard()], &[0], 511, &[0], [1.0; SEGMENTS]);
        let lambdas = hazard().expanded(511);
        let random = Seed::new(2).crossing(0);
        let exponential = Exponential::new();
        let n = 1_000_000;
        let mut counts = vec![0_u32; 512];
        for i in 0..n {
            let deviate = exponential.of_word(random.word(i));
            counts[usize::from(table.code(table.way(0, 511, deviate)))] += 1;
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
