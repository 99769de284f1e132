//! Puts simulated signal among the background, always the same for the same seed.
//!
//! A crossing's fate depends on nothing but (rng_seed, CrossingId): u = hash → [0, 1), the
//! signals partition [0, Σ fractions), and a second hash picks the signal's event. So the result
//! does not depend on batches, threads or where a run begins. Which event was injected is kept
//! as truth beside the features, never inside.
//!
//! `replace` puts the signal event in the place of the recorded one (signal simulation holds its
//! own pile-up); `overlay` concatenates the objects, sorts by pT, keeps what fits, and adds
//! missing energies as vectors. Sums without direction are added.

use std::str::FromStr;

use crate::event::{Block, Collection, Column, ColumnSet};
use crate::lhc::CrossingId;
use crate::units;

/// Most events of one signal: its index is a `u32`, and all are held in memory.
pub const SIGNAL_EVENTS_MAX: usize = 1 << 26;

/// Missing energies and their azimuths, which add as vectors.
const VECTORS: [(Column, Column); 4] = [
    (Column::MetPt, Column::MetPhi),
    (Column::MhtPt, Column::MhtPhi),
    (Column::MetHfPt, Column::MetHfPhi),
    (Column::MhtHfPt, Column::MhtHfPhi),
];

/// Columns without which an overlay of `columns` would be wrong: objects are merged by pT, and
/// missing energies add as vectors.
#[must_use]
pub fn overlay_columns(columns: ColumnSet) -> ColumnSet {
    let mut set = columns;
    for collection in Collection::OBJECTS {
        let kinematics: ColumnSet = collection.kinematics().into_iter().flatten().collect();
        let is_of =
            |c: Column| c.spec().collection == collection || Some(c) == collection.count_column();
        if columns.iter().any(is_of) {
            set = set.union(kinematics);
        }
    }
    for (pt, phi) in VECTORS {
        if columns.contains(pt) || columns.contains(phi) {
            set = set.with(pt).with(phi);
        }
    }
    set
}

/// What becomes of the recorded event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It gives way to the signal event.
    #[default]
    Replace,
    /// The signal's objects are added to it.
    Overlay,
}

/// `SIGNAL.s40@0.01`, `SIGNAL.s40@0.01:overlay`: what is injected, how often, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct InjectionSpec {
    /// The signal's stream file.
    pub path: String,
    /// Fraction of colliding crossings, 0 to 1.
    pub fraction: f64,
    /// What becomes of the recorded event.
    pub mode: Mode,
}

impl FromStr for InjectionSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<InjectionSpec, String> {
        let expected =
            || format!("expected `SIGNAL.s40@FRACTION` or `...@FRACTION:overlay`, found `{text}`");
        let (path, rest) = text.rsplit_once('@').ok_or_else(expected)?;
        let (fraction, mode) = match rest.split_once(':') {
            None | Some((_, "replace")) => (rest.trim_end_matches(":replace"), Mode::Replace),
            Some((fraction, "overlay")) => (fraction, Mode::Overlay),
            Some(_) => return Err(expected()),
        };
        let fraction: f64 = fraction.parse().map_err(|_| expected())?;
        if path.is_empty() {
            return Err(expected());
        }
        if !(0.0..=1.0).contains(&fraction) {
            return Err(format!("expected a fraction within 0..=1, found {fraction}"));
        }
        Ok(InjectionSpec { path: path.into(), fraction, mode })
    }
}

/// One signal, held in memory.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Name of the process.
    pub name: String,
    /// Its events.
    pub events: Block,
    /// Fraction of colliding crossings.
    pub fraction: f64,
    /// What becomes of the recorded event.
    pub mode: Mode,
}

/// Why signals cannot be injected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// The fractions do not fit into the crossings.
    #[error("expected signal fractions that add up to at most 1, found {0}")]
    Fractions(f64),
    /// A signal has no events, or too many.
    #[error("signal `{name}`: expected 1..={SIGNAL_EVENTS_MAX} events, found {found}")]
    Events {
        /// Name of the process.
        name: String,
        /// Events found.
        found: usize,
    },
    /// Objects that are not merged.
    #[error(
        "signal `{name}`: Puppi candidates, track muons and stubs cannot be overlaid\n\
         hint: without `:overlay` it replaces the recorded event"
    )]
    Overlay {
        /// Name of the process.
        name: String,
    },
    /// A signal lacks columns that the background has and the run needs.
    #[error("signal `{name}` lacks columns {missing}\nhint: convert it again with them")]
    Columns {
        /// Name of the process.
        name: String,
        /// Names of the columns.
        missing: String,
    },
}

/// Which signal event goes into a crossing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Index of the signal.
    pub signal: usize,
    /// Index of its event.
    pub event: usize,
}

/// XXH3 (64 bits, seeded) of a crossing's twelve bytes, and of nothing else.
///
/// What the seed contributes is computed once, what is left are two multiplications; the library
/// would find out the length each time.
#[derive(Clone, Copy, Debug)]
struct CrossingHash {
    /// What the first eight bytes and the last eight are combined with.
    flips: [u64; 2],
}

impl CrossingHash {
    fn new(seed: u64) -> CrossingHash {
        // Bytes 24 to 55 of the secret that XXH3 begins with.
        const SECRET: [u64; 4] = [
            0x1F67_B3B7_A4A4_4072,
            0x78E5_C0CC_4EE6_79CB,
            0x2172_FFCC_7DD0_5A82,
            0x8E24_43F7_7446_08B8,
        ];
        let low = (SECRET[0] ^ SECRET[1]).wrapping_add(seed);
        CrossingHash { flips: [low, (SECRET[2] ^ SECRET[3]).wrapping_sub(seed)] }
    }

    #[inline(always)]
    fn of(self, id: CrossingId) -> u64 {
        let orbit = u64::from(id.orbit);
        let low = (u64::from(id.run) | orbit << 32) ^ self.flips[0];
        let high = (orbit | u64::from(id.bx) << 32) ^ self.flips[1];
        let product = u128::from(low) * u128::from(high);
        let folded = product as u64 ^ (product >> 64) as u64;
        let sum = 12_u64.wrapping_add(low.swap_bytes()).wrapping_add(high).wrapping_add(folded);
        let mixed = (sum ^ sum >> 37).wrapping_mul(0x1656_6791_9E37_79F9);
        mixed ^ mixed >> 32
    }
}

/// Decides what is injected where.
#[derive(Clone, Debug)]
pub struct Injector {
    hash: CrossingHash,
    second_hash: CrossingHash,
    signals: Vec<Signal>,
    /// A crossing whose hash is below entry k, and not below k − 1, gets signal k.
    limits: Vec<u64>,
}

impl Injector {
    /// An injector of these signals into events with the columns `needed`.
    ///
    /// # Errors
    /// Fractions that add up to more than one, a signal without events or without columns.
    pub fn new(
        rng_seed: u64,
        signals: Vec<Signal>,
        needed: ColumnSet,
    ) -> Result<Injector, InjectError> {
        let mut limits = Vec::with_capacity(signals.len());
        let mut sum = 0.0;
        for signal in &signals {
            let found = signal.events.len();
            if found == 0 || found > SIGNAL_EVENTS_MAX {
                return Err(InjectError::Events { name: signal.name.clone(), found });
            }
            let further = Collection::FURTHER.into_iter().filter_map(Collection::count_column);
            let further = further.collect::<ColumnSet>().intersection(needed);
            if signal.mode == Mode::Overlay && !further.is_empty() {
                return Err(InjectError::Overlay { name: signal.name.clone() });
            }
            let missing = needed.minus(signal.events.columns());
            if !missing.is_empty() {
                let (name, missing) = (signal.name.clone(), missing.names());
                return Err(InjectError::Columns { name, missing });
            }
            sum += signal.fraction;
            // 2^64 · fraction; a sum of one saturates to the last u64, 5e-20 short of it.
            limits.push((sum * 2.0_f64.powi(64)) as u64);
        }
        // A few fractions that add up to one may exceed it by rounding.
        if sum > 1.0 + 1e-12 {
            return Err(InjectError::Fractions(sum));
        }
        let (hash, second_hash) = (CrossingHash::new(rng_seed), CrossingHash::new(!rng_seed));
        Ok(Injector { hash, second_hash, signals, limits })
    }

    /// The signals, in the order of their truth numbers 1, 2, ...
    #[must_use]
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// What goes into crossing `id`, if anything.
    ///
    /// **Real-time**: one hash of 12 bytes; a second one where something is injected.
    #[must_use]
    #[inline]
    pub fn pick(&self, id: CrossingId) -> Option<Pick> {
        let u = self.hash.of(id);
        // Most crossings get nothing, and the last limit alone says so.
        if u >= *self.limits.last()? {
            return None;
        }
        let signal = self.limits.iter().position(|&limit| u < limit)?;
        let n = self.signals[signal].events.len() as u64;
        Some(Pick { signal, event: (self.second_hash.of(id) % n) as usize })
    }

    /// Makes `out` hold one event: crossing `at` of `background` after injection of `pick`.
    /// Its identity, and per-crossing columns that the signal does not decide (event number,
    /// time, luminosity section), are the background's.
    pub fn merge(&self, background: &Block, at: usize, pick: Pick, out: &mut Block) {
        let signal = &self.signals[pick.signal];
        out.reset(background.run, background.columns());
        match signal.mode {
            Mode::Replace => out.push_event(&signal.events, pick.event),
            Mode::Overlay => overlay(background, at, &signal.events, pick.event, out),
        }
        for column in [Column::Orbit, Column::Lumi] {
            copy_entry::<u32>(background, at, column, out);
        }
        for column in [Column::Event, Column::Time] {
            copy_entry::<u64>(background, at, column, out);
        }
        copy_entry::<i16>(background, at, Column::Bx, out);
    }
}

fn copy_entry<T: crate::event::Element>(from: &Block, at: usize, column: Column, to: &mut Block) {
    if to.columns().contains(column) && from.columns().contains(column) {
        to.get_mut::<T>(column)[0] = from.get::<T>(column)[at];
    }
}

fn overlay(background: &Block, at: usize, signal: &Block, event: usize, out: &mut Block) {
    // Begin with the background's event, so that every column has its entry.
    out.push_event(background, at);
    for collection in Collection::OBJECTS {
        overlay_objects(background.event(at), signal.event(event), collection, out);
    }
    out.index_objects().expect("objects are capped");
    for column in [Column::EtPt, Column::EtEmPt, Column::HtPt, Column::TowerCount] {
        add_scalar(signal, event, column, out);
    }
    for (pt, phi) in VECTORS {
        add_vector(signal, event, pt, phi, out);
    }
}

/// Rewrites the objects of one collection: those of both events, by descending pT, capped.
fn overlay_objects(
    background: crate::event::EventRef<'_>,
    signal: crate::event::EventRef<'_>,
    collection: Collection,
    out: &mut Block,
) {
    let [pt_column, ..] = collection.kinematics().expect("objects have kinematics");
    let count_column = collection.count_column().expect("objects are counted");
    if !out.columns().contains(pt_column) {
        return;
    }
    let pts = [background.values::<i16>(pt_column), signal.values::<i16>(pt_column)];
    let mut order = [(0, 0); 2 * Collection::Muon.capacity()];
    let mut n = 0;
    for (source, pts) in pts.iter().enumerate() {
        for k in 0..pts.len() {
            order[n] = (source, k);
            n += 1;
        }
    }
    let by_pt = |&(source, k): &(usize, usize)| (std::cmp::Reverse(pts[source][k]), source, k);
    order[..n].sort_unstable_by_key(by_pt);
    let order = &order[..n.min(collection.capacity())];
    let events = [background, signal];
    for column in out.columns().iter().filter(|c| c.spec().collection == collection) {
        match column.spec().dtype {
            crate::event::Dtype::U8 => reorder::<u8>(&events, order, column, out),
            _ => reorder::<i16>(&events, order, column, out),
        }
    }
    out.get_mut::<u8>(count_column)[0] = order.len() as u8;
}

fn reorder<T: crate::event::Element>(
    events: &[crate::event::EventRef<'_>; 2],
    order: &[(usize, usize)],
    column: Column,
    out: &mut Block,
) {
    let entries = [events[0].values::<T>(column), events[1].values::<T>(column)];
    let to = out.get_mut::<T>(column);
    to.clear();
    to.extend(order.iter().map(|&(source, k)| entries[source].get(k).copied().unwrap_or_default()));
}

fn add_scalar(signal: &Block, event: usize, column: Column, out: &mut Block) {
    if !out.columns().contains(column) {
        return;
    }
    let most = column.spec().range.map_or(i64::from(i16::MAX), |(_, max)| max);
    let entry = &mut out.get_mut::<i16>(column)[0];
    let sum = i64::from(*entry) + i64::from(signal.event(event).value::<i16>(column));
    *entry = sum.min(most) as i16;
}

fn add_vector(signal: &Block, event: usize, pt: Column, phi: Column, out: &mut Block) {
    if !out.columns().contains(pt) || !out.columns().contains(phi) {
        return;
    }
    let vector = |pt_hw: i16, phi_hw: i16| {
        let (pt_gev, phi_rad) =
            (units::calo_pt_gev_from_hw(pt_hw), units::calo_phi_rad_from_hw(phi_hw));
        (pt_gev * phi_rad.cos(), pt_gev * phi_rad.sin())
    };
    let other = signal.event(event);
    let (x1, y1) = vector(out.get::<i16>(pt)[0], out.get::<i16>(phi)[0]);
    let (x2, y2) = vector(other.value(pt), other.value(phi));
    let (x, y) = (x1 + x2, y1 + y2);
    out.get_mut::<i16>(pt)[0] = units::sum_hw_from_pt_gev(x.hypot(y));
    out.get_mut::<i16>(phi)[0] = units::calo_hw_from_phi_rad(y.atan2(x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Group;
    use xxhash_rust::xxh3::xxh3_64_with_seed;

    fn event(bx: i16, jets: &[i16], met: (i16, i16)) -> Block {
        let columns = Group::Jet.columns().union(Group::Met.columns());
        let mut block = Block::new(columns.with(Column::Lumi));
        block.get_mut::<u32>(Column::Orbit).push(9);
        block.get_mut::<i16>(Column::Bx).push(bx);
        block.get_mut::<u32>(Column::Lumi).push(3);
        for column in [Column::MuonN, Column::EGammaN, Column::TauN] {
            block.get_mut::<u8>(column).push(0);
        }
        block.get_mut::<u8>(Column::JetN).push(jets.len() as u8);
        block.get_mut::<i16>(Column::JetPt).extend(jets);
        block.get_mut::<i16>(Column::JetEta).extend(jets.iter().map(|pt| pt % 50));
        block.get_mut::<i16>(Column::JetPhi).extend(jets.iter().map(|pt| pt % 144));
        block.get_mut::<i16>(Column::MetPt).push(met.0);
        block.get_mut::<i16>(Column::MetPhi).push(met.1);
        block.index_objects().unwrap();
        block.check().unwrap();
        block
    }

    fn signal(fraction: f64, mode: Mode, events: Block) -> Signal {
        Signal { name: "s".into(), events, fraction, mode }
    }

    fn injector(signals: Vec<Signal>) -> Injector {
        Injector::new(7, signals, ColumnSet::EMPTY).unwrap()
    }

    #[test]
    fn the_injected_fraction_is_the_one_asked_for_and_keyed_on_the_crossing_alone() {
        let events = event(1, &[], (0, 0));
        let both = injector(vec![
            signal(0.02, Mode::Replace, events.clone()),
            signal(0.05, Mode::Replace, events),
        ]);
        let mut counts = [0_u32; 2];
        let n = 200_000;
        for i in 0..n {
            let id = CrossingId { run: 1, orbit: i / 3564, bx: (i % 3564 + 1) as u16 };
            if let Some(pick) = both.pick(id) {
                counts[pick.signal] += 1;
                assert_eq!(both.pick(id), Some(pick));
            }
        }
        // Five standard deviations of a binomial: false failure below 1e-6.
        for (count, fraction) in counts.into_iter().zip([0.02, 0.05]) {
            let expected = f64::from(n) * fraction;
            assert!((f64::from(count) - expected).abs() < 5.0 * expected.sqrt(), "{count}");
        }
    }

    #[test]
    fn the_hash_of_a_crossing_is_that_of_the_library() {
        let mut x = 1_u64;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x ^ x >> 29
        };
        for n in 0..100_000 {
            let seed = [0, 1, u64::MAX, next()][n % 4];
            let id = match n % 3 {
                0 => CrossingId { run: 0, orbit: n as u32, bx: 1 },
                1 => CrossingId { run: u32::MAX, orbit: u32::MAX, bx: u16::MAX },
                _ => CrossingId { run: next() as u32, orbit: next() as u32, bx: next() as u16 },
            };
            let expected = xxh3_64_with_seed(&id.to_bytes(), seed);
            assert_eq!(CrossingHash::new(seed).of(id), expected, "{id:?}, seed {seed}");
        }
    }

    #[test]
    fn another_seed_injects_elsewhere() {
        let make = |seed| {
            let events = event(1, &[], (0, 0));
            Injector::new(seed, vec![signal(0.5, Mode::Replace, events)], ColumnSet::EMPTY).unwrap()
        };
        let (a, b) = (make(1), make(2));
        let ids = (1..=1000).map(|bx| CrossingId { run: 1, orbit: 1, bx });
        let differ = ids.filter(|&id| a.pick(id).is_some() != b.pick(id).is_some()).count();
        assert!((350..650).contains(&differ), "{differ}");
    }

    #[test]
    fn every_signal_event_is_picked_about_equally_often() {
        let mut events = event(1, &[], (0, 0));
        let one = events.clone();
        (1..10).for_each(|_| events.push_event(&one, 0));
        let all = injector(vec![signal(1.0, Mode::Replace, events)]);
        let mut counts = [0_i32; 10];
        for bx in 1..=3564 {
            let pick = all.pick(CrossingId { run: 2, orbit: 0, bx }).expect("a fraction of one");
            counts[pick.event] += 1;
        }
        // 356 expected, standard deviation 18; six of them.
        assert!(counts.iter().all(|&n| (n - 356).abs() < 108), "{counts:?}");
    }

    #[test]
    fn a_replaced_event_keeps_its_crossing_and_nothing_else() {
        let background = event(44, &[80, 30], (10, 0));
        let inject = injector(vec![signal(1.0, Mode::Replace, event(5, &[200], (90, 72)))]);
        let mut out = Block::default();
        inject.merge(&background, 0, Pick { signal: 0, event: 0 }, &mut out);
        out.check().unwrap();
        assert_eq!(out.event(0).id(), background.event(0).id());
        assert_eq!(out.get::<u32>(Column::Lumi), [3]);
        assert_eq!(out.get::<i16>(Column::JetPt), [200]);
        assert_eq!(out.get::<i16>(Column::MetPt), [90]);
    }

    #[test]
    fn overlaid_objects_are_sorted_and_capped_and_missing_energy_adds_as_a_vector() {
        let background = event(44, &[80, 70, 60, 50, 40, 30, 20], (60, 0));
        let inject = injector(vec![signal(
            1.0,
            Mode::Overlay,
            event(5, &[75, 65, 5, 4, 3, 2, 1], (80, 36)),
        )]);
        let mut out = Block::default();
        inject.merge(&background, 0, Pick { signal: 0, event: 0 }, &mut out);
        out.check().unwrap();
        assert_eq!(out.get::<i16>(Column::JetPt), [80, 75, 70, 65, 60, 50, 40, 30, 20, 5, 4, 3]);
        assert_eq!(out.get::<i16>(Column::JetEta)[1], 75 % 50, "columns stay together");
        // 30 GeV at phi 0 and 40 GeV at π/2 make 50 GeV at 53.13°.
        assert_eq!(out.get::<i16>(Column::MetPt), [100]);
        assert_eq!(out.get::<i16>(Column::MetPhi), [21]);
        assert_eq!(out.event(0).id(), background.event(0).id());
    }

    #[test]
    fn an_overlay_needs_what_its_columns_are_merged_by() {
        let set = |columns: &[Column]| columns.iter().copied().collect::<ColumnSet>();
        let needed = overlay_columns(set(&[Column::JetEta, Column::MetPt, Column::MuonN]));
        let expected = [
            Column::JetPt,
            Column::JetEta,
            Column::JetPhi,
            Column::MetPt,
            Column::MetPhi,
            Column::MuonN,
            Column::MuonPt,
            Column::MuonEta,
            Column::MuonPhi,
        ];
        assert_eq!(needed, set(&expected));
        assert_eq!(overlay_columns(ColumnSet::EMPTY), ColumnSet::EMPTY);
    }

    #[test]
    fn a_signal_without_a_column_of_the_background_overlays_zeros() {
        let mut background = Block::new(event(1, &[], (0, 0)).columns().with(Column::JetQual));
        background.push_event(&event(44, &[80, 30], (10, 0)), 0);
        background.get_mut::<u8>(Column::JetQual).copy_from_slice(&[3, 2]);
        let inject = injector(vec![signal(1.0, Mode::Overlay, event(5, &[50], (0, 0)))]);
        let mut out = Block::default();
        inject.merge(&background, 0, Pick { signal: 0, event: 0 }, &mut out);
        out.check().unwrap();
        assert_eq!(out.get::<i16>(Column::JetPt), [80, 50, 30]);
        assert_eq!(out.get::<u8>(Column::JetQual), [3, 0, 2]);
    }

    #[test]
    fn impossible_injections_are_refused() {
        let one = || event(1, &[], (0, 0));
        let too_much = vec![signal(0.6, Mode::Replace, one()), signal(0.5, Mode::Replace, one())];
        let error = Injector::new(0, too_much, ColumnSet::EMPTY).unwrap_err();
        assert!(matches!(error, InjectError::Fractions(_)));
        let none = vec![signal(0.1, Mode::Replace, Block::default())];
        let error = Injector::new(0, none, ColumnSet::EMPTY).unwrap_err();
        assert!(matches!(error, InjectError::Events { found: 0, .. }));
        let needed = Group::Stub.columns().counted();
        let with_stubs = signal(0.1, Mode::Overlay, event(1, &[], (0, 0)));
        let error = Injector::new(1, vec![with_stubs], needed).unwrap_err();
        assert!(matches!(error, InjectError::Overlay { .. }));
        let lacking = vec![signal(0.1, Mode::Replace, one())];
        let error = Injector::new(0, lacking, Group::Muon.columns()).unwrap_err();
        assert!(error.to_string().contains("muon_pt"), "{error}");
    }

    #[test]
    fn specifications_are_read_and_bad_ones_refused() {
        let spec: InjectionSpec = "a@b.s40@0.25:overlay".parse().unwrap();
        assert_eq!((spec.path.as_str(), spec.mode), ("a@b.s40", Mode::Overlay));
        assert!("x.s40@0.5".parse::<InjectionSpec>().is_ok());
        for bad in ["x.s40", "x.s40@", "x.s40@1.5", "x.s40@nan", "@0.5", "x@0.5:onto", "x@-1"] {
            assert!(bad.parse::<InjectionSpec>().is_err(), "{bad}");
        }
    }
}
