//! The cuts of a menu on many events at once.
//!
//! Each condition is evaluated once, however many lines have it, on its columns as they lie in the
//! block: most pT thresholds are above nearly all objects, and a stretch of objects whose hardest is below
//! the threshold is passed over. [`Cut::passes`] says what a condition is; this gives the same.

use std::ops::Range;

use scout40_replay::event::{Block, Collection};

use super::cut::Cut;
use super::{Mask, Menu, Rule};

/// Objects that are passed over together.
const STRETCH: usize = 32;

/// The conditions of a menu's cut lines.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Different ones.
    cuts: Vec<Cut>,
    /// Number of a line in the menu, and which conditions it asks for.
    lines: Vec<(usize, Vec<usize>)>,
    /// Events that pass each condition.
    passed: Vec<Mask>,
}

impl Conditions {
    /// Those of a menu.
    #[must_use]
    pub fn new(menu: &Menu) -> Conditions {
        let mut all = Conditions::default();
        for (number, line) in menu.lines().iter().enumerate() {
            if let Rule::Cut(cuts) = &line.rule {
                let of_line = cuts.iter().map(|cut| all.number(*cut)).collect();
                all.lines.push((number, of_line));
            }
        }
        all.passed = vec![Mask::default(); all.cuts.len()];
        all
    }

    fn number(&mut self, cut: Cut) -> usize {
        self.cuts.iter().position(|known| *known == cut).unwrap_or_else(|| {
            self.cuts.push(cut);
            self.cuts.len() - 1
        })
    }

    /// Fills in, for each cut line, which of the events `range` of `block` it selects: bits from
    /// `first_lane` on. Other bits stay as they are.
    ///
    /// **Real-time**: allocates nothing.
    ///
    /// # Panics
    /// If the block has no such events, or the masks no such lanes or lines.
    pub fn evaluate(
        &mut self,
        block: &Block,
        range: Range<usize>,
        first_lane: usize,
        selected: &mut [Mask],
    ) {
        if self.lines.is_empty() {
            return;
        }
        for (cut, passed) in self.cuts.iter().zip(&mut self.passed) {
            *passed = Mask::default();
            cut.mark(block, range.clone(), first_lane, passed);
        }
        let mut window = Mask::default();
        for lane in first_lane..first_lane + range.len() {
            window[lane / 64] |= 1 << (lane % 64);
        }
        for (line, conditions) in &self.lines {
            for (word, selected) in selected[*line].iter_mut().enumerate() {
                let all = conditions.iter().fold(u64::MAX, |all, &k| all & self.passed[k][word]);
                *selected = *selected & !window[word] | all & window[word];
            }
        }
    }
}

impl Cut {
    /// Sets the bits of events that pass.
    fn mark(&self, block: &Block, range: Range<usize>, first_lane: usize, passed: &mut Mask) {
        let mut set = |lane: usize| passed[lane / 64] |= 1 << (lane % 64);
        if self.collection == Collection::Crossing {
            let codes = block.get::<i16>(self.pt).get(range).unwrap_or_default();
            for (lane, &code) in (first_lane..).zip(codes) {
                if code >= self.pt_min {
                    set(lane);
                }
            }
            return;
        }
        let offsets = block.offsets(self.collection);
        let objects = block.entry_range_of(self.collection, range.clone());
        let pts = block.get::<i16>(self.pt).get(objects.clone()).unwrap_or_default();
        let mut event = range.start;
        let mut found = 0;
        for (stretch, pts) in pts.chunks(STRETCH).enumerate() {
            if pts.iter().fold(i16::MIN, |hardest, &pt| hardest.max(pt)) < self.pt_min {
                continue;
            }
            for (object, &pt) in (objects.start + stretch * STRETCH..).zip(pts) {
                if pt < self.pt_min || !self.is_good(block, object) {
                    continue;
                }
                while offsets[event + 1] as usize <= object {
                    event += 1;
                    found = 0;
                }
                found += 1;
                if found == self.count {
                    set(first_lane + event - range.start);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scout40_replay::event::{Column, ColumnSet, Group};

    /// Any numbers, from a multiplicative generator.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) % n
        }
    }

    fn block(numbers: &mut Numbers, n_events: usize) -> Block {
        let groups = [Group::Muon, Group::MuonExtra, Group::EGamma, Group::Jet, Group::Met];
        let columns =
            groups.map(Group::columns).into_iter().fold(ColumnSet::EMPTY, ColumnSet::union);
        let mut block = Block::new(columns);
        for event in 0..n_events {
            block.get_mut::<u32>(Column::Orbit).push(0);
            block.get_mut::<i16>(Column::Bx).push(1 + event as i16);
            block.get_mut::<i16>(Column::MetPt).push(numbers.below(200) as i16);
            block.get_mut::<u8>(Column::TauN).push(0);
            for (count, capacity) in [(Column::MuonN, 8), (Column::EGammaN, 12), (Column::JetN, 12)]
            {
                let n = if numbers.below(3) == 0 { 0 } else { numbers.below(capacity + 1) };
                block.get_mut::<u8>(count).push(n as u8);
                let collection = match count {
                    Column::MuonN => Collection::Muon,
                    Column::EGammaN => Collection::EGamma,
                    _ => Collection::Jet,
                };
                let [pt, eta, phi] = collection.kinematics().unwrap();
                for _ in 0..n {
                    let hard = if numbers.below(20) == 0 { 500 } else { 60 };
                    block.get_mut::<i16>(pt).push(numbers.below(hard) as i16);
                    block.get_mut::<i16>(eta).push(numbers.below(400) as i16 - 200);
                    block.get_mut::<i16>(phi).push(0);
                    if count == Column::MuonN {
                        block.get_mut::<u8>(Column::MuonQual).push(numbers.below(16) as u8);
                    }
                }
            }
        }
        block.index_objects().unwrap();
        block
    }

    const MENU: &str = r#"
        line = [
            { name = "a", kind = "cut", require = [{ object = "muon", pt_gev = 22.0 }] },
            { name = "b", kind = "cut", require = [
                { object = "muon", pt_gev = 3.0, count = 2, eta_max = 1.5, quality_min = 8 },
                { object = "met", pt_gev = 40.0 },
            ] },
            { name = "c", kind = "cut", require = [{ object = "jet", pt_gev = 0.0, count = 12 }] },
            { name = "d", kind = "cut", require = [
                { object = "egamma", pt_gev = 28.0, eta_min = 0.5 },
                { object = "muon", pt_gev = 22.0 },
            ] },
            { name = "e", kind = "cut", require = [{ object = "met", pt_gev = 99.0 }] },
            { name = "f", kind = "cut", require = [{ object = "tau", pt_gev = 0.0 }] },
            { name = "g", kind = "cut", require = [{ object = "jet", pt_gev = 900.0 }] },
        ]"#;

    fn menu() -> Menu {
        let mut menu = Menu::default();
        menu.add_toml(MENU, &[]).unwrap();
        menu
    }

    #[test]
    fn many_events_at_once_pass_the_cuts_that_they_pass_one_by_one() {
        let menu = menu();
        let mut conditions = Conditions::new(&menu);
        assert_eq!(conditions.cuts.len(), 8, "the muon of 22 GeV is one condition");
        let mut numbers = Numbers(7);
        let mut n_passed = vec![0; menu.lines().len()];
        for _ in 0..60 {
            let block = block(&mut numbers, 600);
            let n = numbers.below(513) as usize;
            let first = numbers.below(88) as usize;
            let lane = numbers.below(513 - n as u64) as usize;
            // What was there before stays beside the events, and is overwritten where they are.
            let before = std::array::from_fn(|_| numbers.below(u64::MAX));
            let mut selected = vec![before; menu.lines().len()];
            conditions.evaluate(&block, first..first + n, lane, &mut selected);
            for (k, line) in menu.lines().iter().enumerate() {
                let Rule::Cut(cuts) = &line.rule else { unreachable!("all lines are cuts") };
                for bit in 0..512 {
                    let is_set = selected[k][bit / 64] >> (bit % 64) & 1 == 1;
                    let expected = if (lane..lane + n).contains(&bit) {
                        let event = block.event(first + bit - lane);
                        cuts.iter().all(|cut| cut.passes(event))
                    } else {
                        before[bit / 64] >> (bit % 64) & 1 == 1
                    };
                    assert_eq!(is_set, expected, "line {} lane {bit}", line.name);
                    n_passed[k] += usize::from(expected && (lane..lane + n).contains(&bit));
                }
            }
        }
        assert!(n_passed[..5].iter().all(|&n| n > 20), "{n_passed:?}");
        assert_eq!(n_passed[5..], [0, 0]);
    }
}
