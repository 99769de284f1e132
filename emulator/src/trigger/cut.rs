//! Cuts on the objects of one event: "at least n of these with pT, |eta| and quality such".
//!
//! Thresholds are given in physical units and turned into hardware codes once, rounded to the
//! stricter code, so that the comparison is between integers.

use scout40_replay::event::{Block, Collection, Column, ColumnSet, EventRef};
use scout40_replay::units;
use serde::Deserialize;

/// What a cut is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names of the objects")]
pub enum CutObject {
    Muon,
    Egamma,
    Jet,
    Tau,
    Met,
    Et,
    Ht,
    Mht,
}

/// One condition as a menu file writes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutSpec {
    object: CutObject,
    /// Smallest pT in GeV.
    pt_gev: f64,
    /// Smallest number of such objects.
    #[serde(default = "one")]
    count: u8,
    /// Largest |eta|.
    eta_max: Option<f64>,
    /// Smallest |eta|.
    eta_min: Option<f64>,
    /// Smallest muon quality.
    quality_min: Option<u8>,
}

fn one() -> u8 {
    1
}

/// Why a cut makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// A number that is none, or out of reach.
    #[error("{what}: expected {expected}, found {found}")]
    Value {
        /// Which field.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// A field that this object does not have.
    #[error("{object:?} has no {field}")]
    Field {
        /// The object.
        object: CutObject,
        /// The field.
        field: &'static str,
    },
}

/// One condition in hardware codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub(super) collection: Collection,
    pub(super) pt: Column,
    pub(super) pt_min: i16,
    pub(super) count: usize,
    /// The column, smallest and largest |eta| code.
    eta: Option<(Column, u16, u16)>,
    quality_min: Option<u8>,
}

impl CutObject {
    /// Its collection, its pT column and, if it has one, its eta column.
    fn columns(self) -> (Collection, Column, Option<Column>) {
        let objects = |collection: Collection| {
            let [pt, eta, _] = collection.kinematics().expect("objects have kinematics");
            (collection, pt, Some(eta))
        };
        match self {
            CutObject::Muon => objects(Collection::Muon),
            CutObject::Egamma => objects(Collection::EGamma),
            CutObject::Jet => objects(Collection::Jet),
            CutObject::Tau => objects(Collection::Tau),
            CutObject::Met => (Collection::Crossing, Column::MetPt, None),
            CutObject::Et => (Collection::Crossing, Column::EtPt, None),
            CutObject::Ht => (Collection::Crossing, Column::HtPt, None),
            CutObject::Mht => (Collection::Crossing, Column::MhtPt, None),
        }
    }
}

impl Cut {
    /// The condition in hardware codes.
    ///
    /// # Errors
    /// Numbers that are not finite or out of reach, fields that the object does not have.
    pub fn new(spec: &CutSpec) -> Result<Cut, CutError> {
        let is_muon = spec.object == CutObject::Muon;
        let (collection, pt, eta) = spec.object.columns();
        let value = |what, expected, found| CutError::Value { what, expected, found };
        if !(0.0..=1e6).contains(&spec.pt_gev) {
            return Err(value("pt_gev", "a number within 0..=1e6", spec.pt_gev));
        }
        let count = usize::from(spec.count);
        if count == 0 || count > collection.capacity() {
            return Err(value("count", "1 to the capacity", f64::from(spec.count)));
        }
        if spec.quality_min.is_some() && !is_muon {
            return Err(CutError::Field { object: spec.object, field: "quality_min" });
        }
        let offset = if is_muon { 1.0 } else { 0.0 };
        let code = (spec.pt_gev / units::PT_LSB_GEV + offset).ceil();
        let eta = match (spec.eta_min, spec.eta_max, eta) {
            (None, None, _) => None,
            (min, max, Some(column)) => Some(eta_window(column, min, max)?),
            (min, _, None) => {
                let field = if min.is_some() { "eta_min" } else { "eta_max" };
                return Err(CutError::Field { object: spec.object, field });
            }
        };
        let pt_min = code.min(f64::from(i16::MAX)) as i16;
        Ok(Cut { collection, pt, pt_min, count, eta, quality_min: spec.quality_min })
    }

    /// Columns that it looks at.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        let mut set = ColumnSet::EMPTY.with(self.pt);
        if let Some((eta, ..)) = self.eta {
            set = set.with(eta);
        }
        if self.quality_min.is_some() {
            set = set.with(Column::MuonQual);
        }
        set
    }

    /// Whether an event passes. **Real-time**: O(objects), allocates nothing.
    #[must_use]
    pub fn passes(&self, event: EventRef<'_>) -> bool {
        let pts = event.values::<i16>(self.pt);
        if self.collection == Collection::Crossing {
            return pts[0] >= self.pt_min;
        }
        let first = event.entry_range(self.collection).start;
        let good = |&k: &usize| pts[k] >= self.pt_min && self.is_good(event.block(), first + k);
        (0..pts.len()).filter(good).count() >= self.count
    }

    /// Whether an object of a block, by its number in the flat columns, passes all but the pT.
    pub(super) fn is_good(&self, block: &Block, object: usize) -> bool {
        let is_within = |(column, min, max): (Column, u16, u16)| {
            (min..=max).contains(&block.get::<i16>(column)[object].unsigned_abs())
        };
        self.eta.is_none_or(is_within)
            && self.quality_min.is_none_or(|min| block.get::<u8>(Column::MuonQual)[object] >= min)
    }
}

/// A window of |eta| in codes, rounded to the stricter ones.
fn eta_window(
    column: Column,
    min: Option<f64>,
    max: Option<f64>,
) -> Result<(Column, u16, u16), CutError> {
    let within = |what, value: f64| {
        let expected = "a number within 0..=10";
        let fits = (0.0..=10.0).contains(&value);
        if fits { Ok(value) } else { Err(CutError::Value { what, expected, found: value }) }
    };
    let lsb = column.spec().lsb;
    // Of ten, the finest scale has fewer than 1000 codes.
    let lowest = min.map_or(Ok(0.0), |min| within("eta_min", min))? / lsb;
    let highest = max.map_or(Ok(10.0), |max| within("eta_max", max))? / lsb;
    if lowest > highest {
        let expected = "no more than eta_max";
        let found = min.unwrap_or_default();
        return Err(CutError::Value { what: "eta_min", expected, found });
    }
    Ok((column, lowest.ceil() as u16, highest.floor() as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scout40_replay::event::Group;

    fn cut(text: &str) -> Result<Cut, CutError> {
        Cut::new(&toml::from_str(text).unwrap())
    }

    /// One event with muons of these pT codes, eta codes and qualities, and 40 GeV of MET.
    fn event(muons: &[(i16, i16, u8)]) -> Block {
        let columns = [Group::Muon, Group::MuonExtra, Group::Met].map(Group::columns);
        let mut block = Block::new(columns.into_iter().fold(ColumnSet::EMPTY, ColumnSet::union));
        block.get_mut::<u32>(Column::Orbit).push(0);
        block.get_mut::<i16>(Column::Bx).push(1);
        block.get_mut::<u8>(Column::MuonN).push(muons.len() as u8);
        for column in [Column::EGammaN, Column::JetN, Column::TauN] {
            block.get_mut::<u8>(column).push(0);
        }
        block.get_mut::<i16>(Column::MuonPt).extend(muons.iter().map(|m| m.0));
        block.get_mut::<i16>(Column::MuonEta).extend(muons.iter().map(|m| m.1));
        block.get_mut::<u8>(Column::MuonQual).extend(muons.iter().map(|m| m.2));
        block.get_mut::<i16>(Column::MetPt).push(80);
        block.index_objects().unwrap();
        block
    }

    #[test]
    fn thresholds_are_at_the_code_that_has_at_least_the_pt_asked_for() {
        let cut = cut("object = 'muon'\npt_gev = 22").unwrap();
        // Code 45 is 22.0 GeV: muon codes have an offset of one.
        assert!(cut.passes(event(&[(45, 0, 12)]).event(0)));
        assert!(!cut.passes(event(&[(44, 0, 12)]).event(0)));
        assert!(!cut.passes(event(&[]).event(0)));
    }

    #[test]
    fn all_conditions_must_hold_for_the_same_object_as_often_as_asked() {
        let text = "object = 'muon'\npt_gev = 5\ncount = 2\neta_max = 1.5\nquality_min = 8";
        let cut = cut(text).unwrap();
        let eta_code = (1.5 / units::MUON_ETA_LSB).floor() as i16;
        let good = (11, -eta_code, 8);
        assert!(cut.passes(event(&[good, good]).event(0)));
        assert!(!cut.passes(event(&[good]).event(0)), "two are asked for");
        assert!(!cut.passes(event(&[good, (11, eta_code + 1, 8)]).event(0)), "eta");
        assert!(!cut.passes(event(&[good, (11, 0, 4)]).event(0)), "quality");
        assert!(!cut.passes(event(&[good, (10, 0, 8)]).event(0)), "pT");
        assert_eq!(cut.columns().iter().count(), 3);
    }

    #[test]
    fn a_window_of_eta_has_two_ends_on_both_sides() {
        let text = "object = 'muon'\npt_gev = 5\neta_min = 1.2\neta_max = 2.0";
        let cut = cut(text).unwrap();
        let (low, high) = (1.2 / units::MUON_ETA_LSB, 2.0 / units::MUON_ETA_LSB);
        let (low, high) = (low.ceil() as i16, high.floor() as i16);
        for (eta, passes) in [(low, true), (low - 1, false), (high, true), (high + 1, false)] {
            for eta in [eta, -eta] {
                assert_eq!(cut.passes(event(&[(45, eta, 12)]).event(0)), passes, "{eta}");
            }
        }
    }

    #[test]
    fn sums_are_compared_as_they_are() {
        let block = event(&[]);
        assert!(cut("object = 'met'\npt_gev = 40").unwrap().passes(block.event(0)));
        assert!(!cut("object = 'met'\npt_gev = 40.1").unwrap().passes(block.event(0)));
    }

    #[test]
    fn cuts_that_make_no_sense_are_refused() {
        for bad in [
            "object = 'muon'\npt_gev = nan",
            "object = 'muon'\npt_gev = -1",
            "object = 'muon'\npt_gev = 5\ncount = 0",
            "object = 'met'\npt_gev = 5\ncount = 2",
            "object = 'met'\npt_gev = 5\neta_max = 2",
            "object = 'met'\npt_gev = 5\neta_min = 2",
            "object = 'jet'\npt_gev = 5\neta_min = 2\neta_max = 1.5",
            "object = 'jet'\npt_gev = 5\neta_min = -1",
            "object = 'jet'\npt_gev = 5\nquality_min = 2",
            "object = 'jet'\npt_gev = 5\neta_max = inf",
        ] {
            assert!(cut(bad).is_err(), "{bad}");
        }
    }
}
