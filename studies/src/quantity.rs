//! Observables of an event by name: `met`, `ht`, `jet0_pt`, `jet_n30`, `dijet_mass`, …
//!
//! Values are physical: GeV, rad. Events that lack what an observable is about (a second jet, say)
//! have none. Objects are numbered as the stream holds them, descending in pT.

use std::f64::consts::{PI, TAU};

use scout40_replay::event::{Collection, Column, ColumnSet, EventRef};

use crate::error::Error;

/// Least transverse momentum and largest |eta| of a jet that counts for `ht`, as in CMS's Level-1 sum.
const HT_JET_PT_GEV: f64 = 30.0;
const HT_JET_ETA: f64 = 2.5;

/// An observable.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A transverse sum as recorded.
    Sum(Column),
    /// Scalar sum of the jets' pT.
    JetHt,
    /// Scalar sum of missing energy and all muons, e/gammas and jets.
    ScalarSum,
    PileUp,
    /// A field of the n-th object.
    Field(Collection, usize, Field),
    /// Number of objects of at least so many GeV.
    Count(Collection, f64),
    /// Invariant mass of the two objects of highest pT.
    Mass(Collection),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Pt = 0,
    Eta = 1,
    Phi = 2,
}

/// How a histogram of an observable may be binned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binning {
    /// Number of bins.
    pub n_bins: u32,
    /// Lower end.
    pub min: f64,
    /// Upper end.
    pub max: f64,
}

/// Names without numbers in them.
const PLAIN: [(&str, Kind); 12] = [
    ("met", Kind::Sum(Column::MetPt)),
    ("et", Kind::Sum(Column::EtPt)),
    ("ht", Kind::JetHt),
    ("ht_recorded", Kind::Sum(Column::HtPt)),
    ("mht", Kind::Sum(Column::MhtPt)),
    ("scalar_sum", Kind::ScalarSum),
    ("pile_up", Kind::PileUp),
    ("dijet_mass", Kind::Mass(Collection::Jet)),
    ("dimuon_mass", Kind::Mass(Collection::Muon)),
    ("diegamma_mass", Kind::Mass(Collection::EGamma)),
    ("ditau_mass", Kind::Mass(Collection::Tau)),
    ("jet_n", Kind::Count(Collection::Jet, 0.0)),
];

impl Quantity {
    /// The observable of this name.
    ///
    /// # Errors
    /// A name that is none: the error lists those that are.
    pub fn parse(name: &str) -> Result<Quantity, Error> {
        let plain = PLAIN.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind);
        let kind = plain.or_else(|| of_objects(name));
        match kind {
            Some(kind) => Ok(Quantity { name: name.to_owned(), kind }),
            None => Err(Error::Observable { found: name.to_owned(), known: known() }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Columns that it looks at.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        let of = |columns: &[Column]| columns.iter().copied().collect();
        match self.kind {
            Kind::Sum(column) => of(&[column]),
            Kind::JetHt => of(&[Column::JetPt, Column::JetEta]),
            Kind::ScalarSum => {
                of(&[Column::MetPt, Column::MuonPt, Column::EGammaPt, Column::JetPt])
            }
            Kind::PileUp => of(&[Column::PileUp]),
            Kind::Field(collection, _, field) => {
                collection.kinematics().iter().map(|all| all[field as usize]).collect()
            }
            Kind::Count(collection, _) => {
                collection.kinematics().iter().map(|&[pt, ..]| pt).collect()
            }
            Kind::Mass(collection) => collection.kinematics().into_iter().flatten().collect(),
        }
    }

    /// What an event has of it, if anything.
    #[must_use]
    pub fn value(&self, event: EventRef<'_>) -> Option<f64> {
        match self.kind {
            Kind::Sum(column) => Some(physical(column, event.value::<i16>(column))),
            Kind::PileUp => Some(f64::from(event.value::<f32>(Column::PileUp))),
            Kind::JetHt => {
                let pts = event.values::<i16>(Column::JetPt).iter();
                let jets = pts.zip(event.values::<i16>(Column::JetEta));
                let jet = |(&pt, &eta): (&i16, &i16)| {
                    let pt = physical(Column::JetPt, pt);
                    let central = physical(Column::JetEta, eta).abs() <= HT_JET_ETA;
                    if pt >= HT_JET_PT_GEV && central { pt } else { 0.0 }
                };
                Some(jets.map(jet).sum())
            }
            Kind::ScalarSum => {
                let sum = |column| {
                    event.values::<i16>(column).iter().map(|&pt| physical(column, pt)).sum::<f64>()
                };
                let objects = [Column::MuonPt, Column::EGammaPt, Column::JetPt].map(sum);
                Some(sum(Column::MetPt) + objects.iter().sum::<f64>())
            }
            Kind::Field(collection, place, field) => {
                let column = collection.kinematics()?[field as usize];
                event.values::<i16>(column).get(place).map(|&code| physical(column, code))
            }
            Kind::Count(collection, pt_gev) => {
                let column = collection.kinematics()?[0];
                let pts = event.values::<i16>(column).iter();
                Some(pts.filter(|&&pt| physical(column, pt) >= pt_gev).count() as f64)
            }
            Kind::Mass(collection) => mass(event, collection.kinematics()?),
        }
    }

    /// For an axis, with marks for raised and lowered parts as figures have them.
    #[must_use]
    pub fn label(&self) -> String {
        match self.kind {
            Kind::Sum(Column::MetPt) => "Missing transverse energy".to_owned(),
            Kind::Sum(Column::EtPt) => "Total transverse energy".to_owned(),
            Kind::Sum(Column::MhtPt) => "Missing H_{T}".to_owned(),
            Kind::Sum(_) => "H_{T} as recorded".to_owned(),
            Kind::JetHt => "H_{T}".to_owned(),
            Kind::ScalarSum => "Scalar sum of all objects".to_owned(),
            Kind::PileUp => "Pile-up".to_owned(),
            Kind::Field(collection, place, field) => {
                let field = ["p_{T}", "η", "φ"][field as usize];
                let ordinal = match place {
                    0 => "leading".to_owned(),
                    1 => "second".to_owned(),
                    2 => "third".to_owned(),
                    n => format!("{}th", n + 1),
                };
                format!("{field} of the {ordinal} {}", word(collection))
            }
            Kind::Count(collection, pt_gev) if pt_gev > 0.0 => {
                format!("Number of {}s with p_{{T}} ≥ {pt_gev} GeV", word(collection))
            }
            Kind::Count(collection, _) => format!("Number of {}s", word(collection)),
            Kind::Mass(collection) => {
                format!("Mass of the two leading {}s", word(collection))
            }
        }
    }

    /// Its unit, empty where there is none.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Sum(_) | Kind::JetHt | Kind::ScalarSum | Kind::Mass(_) => "GeV",
            Kind::Field(_, _, Field::Pt) => "GeV",
            Kind::Field(_, _, Field::Phi) => "rad",
            Kind::Field(_, _, Field::Eta) | Kind::Count(..) | Kind::PileUp => "",
        }
    }

    /// Bins that suit zero bias and what a trigger takes of it.
    #[must_use]
    pub fn binning(&self) -> Binning {
        let bins = |n_bins, min, max| Binning { n_bins, min, max };
        match self.kind {
            Kind::Sum(Column::MetPt | Column::MhtPt) => bins(40, 0.0, 160.0),
            Kind::Sum(_) | Kind::JetHt | Kind::ScalarSum => bins(50, 0.0, 1000.0),
            Kind::PileUp => bins(60, 0.0, 120.0),
            Kind::Field(Collection::Jet, _, Field::Pt) => bins(50, 0.0, 300.0),
            Kind::Field(_, _, Field::Pt) => bins(50, 0.0, 100.0),
            Kind::Field(_, _, Field::Eta) => bins(50, -5.0, 5.0),
            Kind::Field(_, _, Field::Phi) => bins(48, -PI, PI),
            Kind::Count(..) => bins(13, -0.5, 12.5),
            Kind::Mass(Collection::Jet) => bins(50, 0.0, 1000.0),
            Kind::Mass(_) => bins(50, 0.0, 200.0),
        }
    }
}

/// Names of what can be asked for, as patterns.
fn known() -> String {
    let plain = PLAIN.iter().filter(|(name, _)| *name != "jet_n").map(|(name, _)| *name);
    let patterns = ["OBJECTk_pt", "OBJECTk_eta", "OBJECTk_phi", "OBJECT_n", "OBJECT_nGEV"];
    let names: Vec<&str> = plain.chain(patterns).collect();
    format!(
        "{} (OBJECT is muon, egamma, jet or tau, k its place from 0, GEV a least pT: jet0_pt, jet_n30)",
        names.join(", ")
    )
}

/// `jet0_pt`, `muon_n`, `jet_n30`.
fn of_objects(name: &str) -> Option<Kind> {
    let of = |c: &Collection| name.strip_prefix(c.name()).map(|rest| (*c, rest));
    let (collection, rest) = Collection::OBJECTS.iter().find_map(of)?;
    if let Some(least) = rest.strip_prefix("_n") {
        let pt_gev = if least.is_empty() { 0.0 } else { digits(least)? as f64 };
        return Some(Kind::Count(collection, pt_gev));
    }
    let (place, field) = rest.split_once('_')?;
    let place = digits(place)?;
    let field = match field {
        "pt" => Field::Pt,
        "eta" => Field::Eta,
        "phi" => Field::Phi,
        _ => return None,
    };
    (place < collection.capacity()).then_some(Kind::Field(collection, place, field))
}

/// A short number without a sign.
fn digits(text: &str) -> Option<usize> {
    let all = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

fn word(collection: Collection) -> &'static str {
    match collection {
        Collection::EGamma => "e/gamma",
        other => other.name(),
    }
}

/// A code in physical units; azimuths within −π to π.
fn physical(column: Column, code: i16) -> f64 {
    let lsb = column.spec().lsb;
    match column {
        // Code 1 is 0 GeV.
        Column::MuonPt => lsb * (f64::from(code) - 1.0).max(0.0),
        Column::MuonPhi | Column::EGammaPhi | Column::JetPhi | Column::TauPhi => {
            let phi = lsb * f64::from(code);
            if phi >= PI { phi - TAU } else { phi }
        }
        _ => lsb * f64::from(code),
    }
}

/// Of the two objects with the highest pT: √(2 pT₁ pT₂ (cosh Δη − cos Δφ)), massless as the trigger
/// has them.
fn mass(event: EventRef<'_>, [pt, eta, phi]: [Column; 3]) -> Option<f64> {
    let pts = event.values::<i16>(pt);
    let highest = |not: Option<usize>| {
        let others = (0..pts.len()).filter(|&k| Some(k) != not);
        // Of equal ones the first.
        others.reduce(|best, k| if pts[k] > pts[best] { k } else { best })
    };
    let first = highest(None)?;
    let second = highest(Some(first))?;
    let value = |column: Column, k: usize| physical(column, event.values::<i16>(column)[k]);
    let (d_eta, d_phi) =
        (value(eta, first) - value(eta, second), value(phi, first) - value(phi, second));
    let squared = 2.0 * value(pt, first) * value(pt, second) * (d_eta.cosh() - d_phi.cos());
    Some(squared.max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use scout40_replay::event::{Block, Group};

    /// One event with these jets (pT, eta, phi codes), these muons and 40 GeV of MET.
    fn event(jets: &[(i16, i16, i16)], muons: &[(i16, i16, i16)]) -> Block {
        let groups = [Group::Jet, Group::Muon, Group::EGamma, Group::Met, Group::PileUp];
        let columns =
            groups.map(Group::columns).into_iter().fold(ColumnSet::EMPTY, ColumnSet::union);
        let mut block = Block::new(columns);
        block.get_mut::<u32>(Column::Orbit).push(0);
        block.get_mut::<i16>(Column::Bx).push(1);
        block.get_mut::<u8>(Column::MuonN).push(muons.len() as u8);
        block.get_mut::<u8>(Column::JetN).push(jets.len() as u8);
        block.get_mut::<u8>(Column::EGammaN).push(0);
        block.get_mut::<u8>(Column::TauN).push(0);
        let mut fill = |objects: &[(i16, i16, i16)], [pt, eta, phi]: [Column; 3]| {
            block.get_mut::<i16>(pt).extend(objects.iter().map(|o| o.0));
            block.get_mut::<i16>(eta).extend(objects.iter().map(|o| o.1));
            block.get_mut::<i16>(phi).extend(objects.iter().map(|o| o.2));
        };
        fill(jets, Collection::Jet.kinematics().unwrap());
        fill(muons, Collection::Muon.kinematics().unwrap());
        block.get_mut::<i16>(Column::MetPt).push(80);
        block.get_mut::<i16>(Column::MetPhi).push(0);
        block.get_mut::<f32>(Column::PileUp).push(61.5);
        block.index_objects().unwrap();
        block
    }

    fn value(name: &str, block: &Block) -> Option<f64> {
        Quantity::parse(name).unwrap().value(block.event(0))
    }

    #[test]
    fn observables_are_in_physical_units() {
        let block = event(&[(200, 10, 72), (100, -10, 0), (50, 100, 7)], &[(45, 100, 288)]);
        let close = |name: &str, expected: f64| {
            let found = value(name, &block).unwrap();
            assert!((found - expected).abs() < 1e-9, "{name}: {found} {expected}");
        };
        close("met", 40.0);
        close("jet0_pt", 100.0);
        close("jet1_eta", -0.435);
        close("jet0_phi", -PI);
        close("muon0_pt", 22.0);
        close("muon0_phi", -PI);
        // The third jet is forward and soft.
        close("ht", 150.0);
        close("scalar_sum", 40.0 + 22.0 + 175.0);
        close("jet_n", 3.0);
        close("jet_n50", 2.0);
        close("jet_n51", 1.0);
        close("egamma_n", 0.0);
        close("pile_up", 61.5);
        assert_eq!(value("jet3_pt", &block), None);
        assert_eq!(value("dimuon_mass", &block), None);
    }

    #[test]
    fn a_mass_is_that_of_the_four_vectors_of_the_two_hardest_objects() {
        // Not in order: the two hardest are the last two.
        let objects = [(30, 5, 3), (300, -12, 140), (180, 33, 20)];
        let block = event(&objects, &[]);
        let vector = |&(pt, eta, phi): &(i16, i16, i16)| {
            let (pt, eta) = (0.5 * f64::from(pt), 0.0435 * f64::from(eta));
            let phi = TAU / 144.0 * f64::from(phi);
            [pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()]
        };
        let (a, b) = (vector(&objects[1]), vector(&objects[2]));
        let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let expected = (sum[3].powi(2) - sum[0].powi(2) - sum[1].powi(2) - sum[2].powi(2)).sqrt();
        let found = value("dijet_mass", &block).unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    #[test]
    fn names_that_are_none_are_answered_with_those_that_are() {
        for bad in ["", "jet", "jet0", "jet12_pt", "jet0_mass", "jet_n-1", "jet_n1e3", "photon0_pt"]
        {
            let error = Quantity::parse(bad).unwrap_err().to_string();
            assert!(error.contains("dijet_mass") && error.contains("jet0_pt"), "{error}");
        }
        let names = ["met", "jet0_pt", "muon_n", "tau3_eta", "egamma_n12", "ditau_mass"];
        for name in names {
            let quantity = Quantity::parse(name).unwrap();
            assert!(!quantity.columns().is_empty() && !quantity.label().is_empty());
            let Binning { n_bins, min, max } = quantity.binning();
            assert!(n_bins > 0 && min < max);
        }
    }
}
