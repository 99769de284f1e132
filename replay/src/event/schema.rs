//! The one table of columns: names, types, field ranges, units, and which are stored together.

use std::fmt;

use crate::units;

/// What a column has one entry of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Collection {
    /// Muons, up to 16 per crossing.
    Muon = 0,
    /// Electrons and photons, up to 12.
    EGamma = 1,
    /// Jets, up to 12.
    Jet = 2,
    /// Hadronic taus, up to 12.
    Tau = 3,
    /// One entry per crossing.
    Crossing = 4,
}

impl Collection {
    /// The collections of objects, in the order of their multiplicity columns.
    pub const OBJECTS: [Collection; 4] =
        [Collection::Muon, Collection::EGamma, Collection::Jet, Collection::Tau];

    /// Most objects of this kind in one crossing.
    #[must_use]
    pub const fn capacity(self) -> usize {
        match self {
            Collection::Muon => 16,
            Collection::EGamma | Collection::Jet | Collection::Tau => 12,
            Collection::Crossing => 1,
        }
    }

    /// Name in files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Collection::Muon => "muon",
            Collection::EGamma => "egamma",
            Collection::Jet => "jet",
            Collection::Tau => "tau",
            Collection::Crossing => "crossing",
        }
    }

    /// The column that holds the multiplicity of these objects; `None` for crossings.
    #[must_use]
    pub const fn count_column(self) -> Option<Column> {
        match self {
            Collection::Muon => Some(Column::MuonN),
            Collection::EGamma => Some(Column::EGammaN),
            Collection::Jet => Some(Column::JetN),
            Collection::Tau => Some(Column::TauN),
            Collection::Crossing => None,
        }
    }

    /// The columns pT, eta, phi of these objects; `None` for crossings.
    #[must_use]
    pub const fn kinematics(self) -> Option<[Column; 3]> {
        match self {
            Collection::Muon => Some([Column::MuonPt, Column::MuonEta, Column::MuonPhi]),
            Collection::EGamma => Some([Column::EGammaPt, Column::EGammaEta, Column::EGammaPhi]),
            Collection::Jet => Some([Column::JetPt, Column::JetEta, Column::JetPhi]),
            Collection::Tau => Some([Column::TauPt, Column::TauEta, Column::TauPhi]),
            Collection::Crossing => None,
        }
    }
}

/// How an entry is held in memory and in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// `u8`
    U8,
    /// `i16`
    I16,
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `u64`
    U64,
    /// `i64`
    I64,
    /// `f32`
    F32,
    /// `f64`
    F64,
}

impl Dtype {
    /// Bytes of one entry.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::I16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
        }
    }

    /// Name as in the stream header and in numpy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::U8 => "u8",
            Dtype::I16 => "i16",
            Dtype::U32 => "u32",
            Dtype::I32 => "i32",
            Dtype::U64 => "u64",
            Dtype::I64 => "i64",
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
        }
    }
}

/// Columns that are compressed together: what a reader can skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Group {
    /// Crossing numbers; always read.
    Crossing = 0,
    /// Multiplicities; always read.
    Counts = 1,
    /// Missing transverse energy.
    Met = 2,
    /// Muon kinematics at the vertex.
    Muon = 3,
    /// E/gamma kinematics.
    EGamma = 4,
    /// Jet kinematics.
    Jet = 5,
    /// Tau kinematics.
    Tau = 6,
    /// The other energy sums.
    Sums = 7,
    /// What else is known of muons.
    MuonExtra = 8,
    /// What else is known of e/gammas.
    EGammaExtra = 9,
    /// What else is known of jets.
    JetExtra = 10,
    /// What else is known of taus.
    TauExtra = 11,
    /// Event number and time.
    Event = 12,
    /// Luminosity section.
    Lumi = 13,
    /// Label, recorded decision, order.
    Label = 14,
    /// Pile-up.
    PileUp = 15,
    /// Which injected process, and which of its events.
    Truth = 16,
    /// Event weight.
    Weight = 17,
    /// Scores and line decisions, in accepted streams.
    Score = 18,
}

impl Group {
    /// All groups, in the order in which a block stores them.
    pub const ALL: [Group; 19] = [
        Group::Crossing,
        Group::Counts,
        Group::Met,
        Group::Muon,
        Group::EGamma,
        Group::Jet,
        Group::Tau,
        Group::Sums,
        Group::MuonExtra,
        Group::EGammaExtra,
        Group::JetExtra,
        Group::TauExtra,
        Group::Event,
        Group::Lumi,
        Group::Label,
        Group::PileUp,
        Group::Truth,
        Group::Weight,
        Group::Score,
    ];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Group::Crossing => "crossing",
            Group::Counts => "counts",
            Group::Met => "met",
            Group::Muon => "muon",
            Group::EGamma => "egamma",
            Group::Jet => "jet",
            Group::Tau => "tau",
            Group::Sums => "sums",
            Group::MuonExtra => "muon-extra",
            Group::EGammaExtra => "egamma-extra",
            Group::JetExtra => "jet-extra",
            Group::TauExtra => "tau-extra",
            Group::Event => "event",
            Group::Lumi => "lumi",
            Group::Label => "label",
            Group::PileUp => "pile-up",
            Group::Truth => "truth",
            Group::Weight => "weight",
            Group::Score => "score",
        }
    }

    /// The group with this number in a file.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Group> {
        Group::ALL.get(usize::from(number)).copied()
    }

    /// The columns of this group.
    #[must_use]
    pub fn columns(self) -> ColumnSet {
        COLUMNS.iter().filter(|spec| spec.group == self).map(|spec| spec.column).collect()
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec {
    /// Which column.
    pub column: Column,
    /// Name in the stream header and in tables.
    pub name: &'static str,
    /// What it has one entry of.
    pub collection: Collection,
    /// With which columns it is compressed.
    pub group: Group,
    /// Type of an entry.
    pub dtype: Dtype,
    /// Smallest and largest value that the field can hold; `None` where any value is good.
    pub range: Option<(i64, i64)>,
    /// Physical size of one code, 0 where a code has no unit.
    pub lsb: f64,
    /// Physical unit, empty where none.
    pub unit: &'static str,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $id:ident $name:literal $collection:ident $group:ident $dtype:ident
       $range:expr, $lsb:expr, $unit:literal;)*) => {
        /// Identity of a column; its number is its place in [`COLUMNS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Column { $($(#[$doc])* $id),* }

        /// Every column there is, in the order of [`Column`].
        pub const COLUMNS: &[ColumnSpec] = &[$(ColumnSpec {
            column: Column::$id, name: $name, collection: Collection::$collection,
            group: Group::$group, dtype: Dtype::$dtype, range: $range, lsb: $lsb, unit: $unit,
        }),*];
    };
}

const PT: f64 = units::PT_LSB_GEV;
const ETA: f64 = units::CALO_ETA_LSB;
const PHI: f64 = std::f64::consts::TAU / units::CALO_PHI_CODES as f64;
const MU_ETA: f64 = units::MUON_ETA_LSB;
const MU_PHI: f64 = std::f64::consts::TAU / units::MUON_PHI_CODES as f64;
const PHI_MAX: i64 = units::CALO_PHI_CODES - 1;
const MU_PHI_MAX: i64 = units::MUON_PHI_CODES - 1;

columns! {
    /// Orbit number.
    Orbit "orbit" Crossing Crossing U32 None, 0.0, "";
    /// Crossing number.
    Bx "bx" Crossing Crossing I16 Some((1, 3564)), 0.0, "";
    /// Number of muons.
    MuonN "muon_n" Crossing Counts U8 Some((0, 16)), 0.0, "";
    /// Number of e/gammas.
    EGammaN "egamma_n" Crossing Counts U8 Some((0, 12)), 0.0, "";
    /// Number of jets.
    JetN "jet_n" Crossing Counts U8 Some((0, 12)), 0.0, "";
    /// Number of taus.
    TauN "tau_n" Crossing Counts U8 Some((0, 12)), 0.0, "";
    /// Missing transverse energy.
    MetPt "met_pt" Crossing Met I16 Some((0, units::SUM_PT_MAX)), PT, "GeV";
    /// Its azimuth.
    MetPhi "met_phi" Crossing Met I16 Some((0, PHI_MAX)), PHI, "rad";
    /// Muon pT (code has an offset of 1).
    MuonPt "muon_pt" Muon Muon I16 Some((0, units::MUON_PT_MAX)), PT, "GeV";
    /// Muon eta at the vertex.
    MuonEta "muon_eta" Muon Muon I16 Some((-256, 255)), MU_ETA, "";
    /// Muon phi at the vertex.
    MuonPhi "muon_phi" Muon Muon I16 Some((0, MU_PHI_MAX)), MU_PHI, "rad";
    /// E/gamma ET.
    EGammaPt "egamma_pt" EGamma EGamma I16 Some((0, units::EGAMMA_PT_MAX)), PT, "GeV";
    /// E/gamma eta.
    EGammaEta "egamma_eta" EGamma EGamma I16 Some((-128, 127)), ETA, "";
    /// E/gamma phi.
    EGammaPhi "egamma_phi" EGamma EGamma I16 Some((0, PHI_MAX)), PHI, "rad";
    /// Jet ET.
    JetPt "jet_pt" Jet Jet I16 Some((0, units::JET_PT_MAX)), PT, "GeV";
    /// Jet eta.
    JetEta "jet_eta" Jet Jet I16 Some((-128, 127)), ETA, "";
    /// Jet phi.
    JetPhi "jet_phi" Jet Jet I16 Some((0, PHI_MAX)), PHI, "rad";
    /// Tau ET.
    TauPt "tau_pt" Tau Tau I16 Some((0, units::EGAMMA_PT_MAX)), PT, "GeV";
    /// Tau eta.
    TauEta "tau_eta" Tau Tau I16 Some((-128, 127)), ETA, "";
    /// Tau phi.
    TauPhi "tau_phi" Tau Tau I16 Some((0, PHI_MAX)), PHI, "rad";
    /// Total ET.
    EtPt "et_pt" Crossing Sums I16 Some((0, units::SUM_PT_MAX)), PT, "GeV";
    /// Total electromagnetic ET.
    EtEmPt "et_em_pt" Crossing Sums I16 Some((0, units::SUM_PT_MAX)), PT, "GeV";
    /// Scalar sum of jet ET.
    HtPt "ht_pt" Crossing Sums I16 Some((0, units::SUM_PT_MAX)), PT, "GeV";
    /// Number of calorimeter towers above threshold.
    TowerCount "tower_count" Crossing Sums I16 Some((0, 8191)), 0.0, "";
    /// Missing HT.
    MhtPt "mht_pt" Crossing Sums I16 Some((0, units::SUM_PT_MAX)), PT, "GeV";
    /// Its azimuth.
    MhtPhi "mht_phi" Crossing Sums I16 Some((0, PHI_MAX)), PHI, "rad";
    /// Missing ET with the forward calorimeter.
    MetHfPt "met_hf_pt" Crossing Sums I16 Some((0, units::SUM_PT_MAX)), PT, "GeV";
    /// Its azimuth.
    MetHfPhi "met_hf_phi" Crossing Sums I16 Some((0, PHI_MAX)), PHI, "rad";
    /// Missing HT with the forward calorimeter.
    MhtHfPt "mht_hf_pt" Crossing Sums I16 Some((0, units::SUM_PT_MAX)), PT, "GeV";
    /// Its azimuth.
    MhtHfPhi "mht_hf_phi" Crossing Sums I16 Some((0, PHI_MAX)), PHI, "rad";
    /// Muon quality: 12 single, 8 double, 4 open.
    MuonQual "muon_qual" Muon MuonExtra U8 Some((0, 15)), 0.0, "";
    /// Muon charge, 0 where it is not valid.
    MuonCharge "muon_charge" Muon MuonExtra I16 Some((-1, 1)), 0.0, "e";
    /// Track-finder index.
    MuonTfIndex "muon_tf_index" Muon MuonExtra U8 Some((0, 127)), 0.0, "";
    /// Muon phi at the muon system.
    MuonPhiRaw "muon_phi_raw" Muon MuonExtra I16 Some((0, MU_PHI_MAX)), MU_PHI, "rad";
    /// Muon eta at the muon system.
    MuonEtaRaw "muon_eta_raw" Muon MuonExtra I16 Some((-256, 255)), MU_ETA, "";
    /// Muon pT without beam-spot constraint (code has an offset of 1).
    MuonPtUnconstrained "muon_pt_unconstrained" Muon MuonExtra I16 Some((0, 255)),
        units::MUON_PT_UNCONSTRAINED_LSB_GEV, "GeV";
    /// E/gamma isolation bits.
    EGammaIso "egamma_iso" EGamma EGammaExtra U8 Some((0, 3)), 0.0, "";
    /// Jet quality bits.
    JetQual "jet_qual" Jet JetExtra U8 Some((0, 255)), 0.0, "";
    /// Uncalibrated jet ET.
    JetRawPt "jet_raw_pt" Jet JetExtra I16 Some((0, 32_767)), PT, "GeV";
    /// Tau isolation bits.
    TauIso "tau_iso" Tau TauExtra U8 Some((0, 3)), 0.0, "";
    /// Event number as recorded.
    Event "event" Crossing Event U64 None, 0.0, "";
    /// Time as recorded: seconds << 32 | microseconds.
    Time "time" Crossing Event U64 None, 0.0, "";
    /// Luminosity section as recorded.
    Lumi "lumi" Crossing Lumi U32 None, 0.0, "";
    /// 0 zero bias, negative simulated normal, positive signal.
    Label "label" Crossing Label I32 None, 0.0, "";
    /// Recorded decision of the unprescaled menu.
    L1Accept "l1_accept" Crossing Label U8 Some((0, 1)), 0.0, "";
    /// Place in the standard preprocessing; -1 = removed by it (saturated).
    Order "order" Crossing Label I64 None, 0.0, "";
    /// Number of pile-up collisions, or its luminosity-section average.
    PileUp "pile_up" Crossing PileUp F32 None, 0.0, "collisions";
    /// 0 background, k = k-th injected process of the header.
    TruthProcess "truth_process" Crossing Truth U8 None, 0.0, "";
    /// Index of the injected event in its own file.
    TruthEvent "truth_event" Crossing Truth U32 None, 0.0, "";
    /// Event weight.
    Weight "weight" Crossing Weight F64 None, 0.0, "";
    /// Anomaly score in the model's integers.
    Score "score" Crossing Score I32 None, 0.0, "";
    /// Bit k = accepted by line k of the header.
    Lines "lines" Crossing Score U64 None, 0.0, "";
}

const _: () = assert!(COLUMNS.len() <= 128, "a ColumnSet is 128 bits");

impl Column {
    /// Its row of the table.
    #[must_use]
    pub const fn spec(self) -> &'static ColumnSpec {
        &COLUMNS[self as usize]
    }

    /// The column with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Column> {
        COLUMNS.iter().find(|spec| spec.name == name).map(|spec| spec.column)
    }
}

/// A set of columns.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ColumnSet(u128);

impl ColumnSet {
    /// No column.
    pub const EMPTY: ColumnSet = ColumnSet(0);
    /// Every column there is.
    pub const ALL: ColumnSet = ColumnSet((1 << COLUMNS.len()) - 1);

    /// Crossing numbers and multiplicities: what every block has.
    #[must_use]
    pub fn skeleton() -> ColumnSet {
        Group::Crossing.columns().union(Group::Counts.columns())
    }

    /// Whether `column` is in the set.
    #[must_use]
    pub const fn contains(self, column: Column) -> bool {
        self.0 >> column as usize & 1 == 1
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn contains_all(self, other: ColumnSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set with `column` in it.
    #[must_use]
    pub const fn with(self, column: Column) -> ColumnSet {
        ColumnSet(self.0 | 1 << column as usize)
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: ColumnSet) -> ColumnSet {
        ColumnSet(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: ColumnSet) -> ColumnSet {
        ColumnSet(self.0 & other.0)
    }

    /// What is in this one only.
    #[must_use]
    pub const fn minus(self, other: ColumnSet) -> ColumnSet {
        ColumnSet(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The columns, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Column> {
        COLUMNS.iter().map(|spec| spec.column).filter(move |&c| self.contains(c))
    }

    /// Names, comma-separated: for messages.
    #[must_use]
    pub fn names(self) -> String {
        self.iter().map(|c| c.spec().name).collect::<Vec<_>>().join(", ")
    }
}

impl FromIterator<Column> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = Column>>(columns: I) -> ColumnSet {
        columns.into_iter().fold(ColumnSet::EMPTY, ColumnSet::with)
    }
}

impl fmt::Debug for ColumnSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ColumnSet({})", self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_names_are_unique() {
        for (index, spec) in COLUMNS.iter().enumerate() {
            assert_eq!(spec.column as usize, index);
            assert_eq!(Column::from_name(spec.name), Some(spec.column), "{}", spec.name);
        }
    }

    #[test]
    fn groups_are_numbered_by_their_place_and_hold_columns_of_one_collection_only() {
        for (number, group) in Group::ALL.into_iter().enumerate() {
            assert_eq!(group as usize, number);
            let columns: Vec<Column> = group.columns().iter().collect();
            assert!(!columns.is_empty(), "{}", group.name());
            let first = columns[0].spec().collection;
            assert!(columns.iter().all(|c| c.spec().collection == first), "{}", group.name());
        }
    }

    #[test]
    fn multiplicity_ranges_are_the_capacities() {
        for collection in Collection::OBJECTS {
            let count = collection.count_column().unwrap();
            assert_eq!(count.spec().range, Some((0, collection.capacity() as i64)));
            for column in collection.kinematics().unwrap() {
                assert_eq!(column.spec().collection, collection);
            }
        }
    }

    #[test]
    fn sets_behave_like_sets() {
        let a = Group::Met.columns();
        assert!(a.contains(Column::MetPt) && !a.contains(Column::JetPt));
        assert!(ColumnSet::ALL.contains_all(a) && ColumnSet::ALL.minus(ColumnSet::ALL).is_empty());
        assert_eq!(a.iter().count(), 2);
        assert_eq!(a.union(ColumnSet::skeleton()).intersection(a), a);
    }
}
