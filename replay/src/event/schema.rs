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
    /// Phase 2: candidates of the particle-flow algorithm with pile-up mitigation, up to 255.
    Puppi = 4,
    /// Phase 2: muons with a track of the inner tracker, up to 170.
    TrackMuon = 5,
    /// Stubs of the barrel muon track finder, up to 3060: 255 from each of twelve sectors.
    Stub = 6,
    /// One entry per crossing.
    Crossing = 7,
}

impl Collection {
    /// The objects of the Run-3 trigger, in the order of their multiplicity columns. Every block
    /// counts them.
    pub const OBJECTS: [Collection; 4] =
        [Collection::Muon, Collection::EGamma, Collection::Jet, Collection::Tau];

    /// The other collections of objects. A block counts them only if it holds the column of their
    /// multiplicity; else it has none of them.
    pub const FURTHER: [Collection; 3] =
        [Collection::Puppi, Collection::TrackMuon, Collection::Stub];

    /// Every collection of objects; each one's number is its place here.
    pub const ALL_OBJECTS: [Collection; 7] = [
        Collection::Muon,
        Collection::EGamma,
        Collection::Jet,
        Collection::Tau,
        Collection::Puppi,
        Collection::TrackMuon,
        Collection::Stub,
    ];

    /// Most objects of this kind in one crossing.
    #[must_use]
    pub const fn capacity(self) -> usize {
        match self {
            Collection::Muon => 16,
            Collection::EGamma | Collection::Jet | Collection::Tau => 12,
            Collection::Puppi => 255,
            Collection::TrackMuon => 170,
            Collection::Stub => 3060,
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
            Collection::Puppi => "puppi",
            Collection::TrackMuon => "track_muon",
            Collection::Stub => "stub",
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
            Collection::Puppi => Some(Column::PuppiN),
            Collection::TrackMuon => Some(Column::TrackMuonN),
            Collection::Stub => Some(Column::StubN),
            Collection::Crossing => None,
        }
    }

    /// The columns pT, eta, phi of these objects; `None` for crossings, and for stubs, which have
    /// no pT. All are of type `i16` for the objects of Run 3; pT of track muons is not.
    #[must_use]
    pub const fn kinematics(self) -> Option<[Column; 3]> {
        match self {
            Collection::Muon => Some([Column::MuonPt, Column::MuonEta, Column::MuonPhi]),
            Collection::EGamma => Some([Column::EGammaPt, Column::EGammaEta, Column::EGammaPhi]),
            Collection::Jet => Some([Column::JetPt, Column::JetEta, Column::JetPhi]),
            Collection::Tau => Some([Column::TauPt, Column::TauEta, Column::TauPhi]),
            Collection::Puppi => Some([Column::PuppiPt, Column::PuppiEta, Column::PuppiPhi]),
            Collection::TrackMuon => {
                Some([Column::TrackMuonPt, Column::TrackMuonEta, Column::TrackMuonPhi])
            }
            Collection::Stub | Collection::Crossing => None,
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
    /// Asymmetries, minimum-bias counts, centrality.
    SumsExtra = 19,
    /// Isolation and displacement of muons.
    MuonFlags = 20,
    /// Displacement of jets.
    JetFlags = 21,
    /// Multiplicities of what not every stream has.
    FurtherCounts = 22,
    /// Kinematics of Puppi candidates.
    Puppi = 23,
    /// What else is known of Puppi candidates.
    PuppiExtra = 24,
    /// Kinematics of track muons.
    TrackMuon = 25,
    /// What else is known of track muons.
    TrackMuonExtra = 26,
    /// Stubs.
    Stub = 27,
}

impl Group {
    /// All groups, in the order in which a block stores them.
    pub const ALL: [Group; 28] = [
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
        Group::SumsExtra,
        Group::MuonFlags,
        Group::JetFlags,
        Group::FurtherCounts,
        Group::Puppi,
        Group::PuppiExtra,
        Group::TrackMuon,
        Group::TrackMuonExtra,
        Group::Stub,
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
            Group::SumsExtra => "sums-extra",
            Group::MuonFlags => "muon-flags",
            Group::JetFlags => "jet-flags",
            Group::FurtherCounts => "further-counts",
            Group::Puppi => "puppi",
            Group::PuppiExtra => "puppi-extra",
            Group::TrackMuon => "track-muon",
            Group::TrackMuonExtra => "track-muon-extra",
            Group::Stub => "stub",
        }
    }

    /// The group with this number in a file.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Group> {
        Group::ALL.get(usize::from(number)).copied()
    }

    /// What the columns of this group have one entry of.
    ///
    /// # Panics
    /// Never: every group has a column.
    #[must_use]
    pub fn collection(self) -> Collection {
        let first = COLUMNS.iter().find(|spec| spec.group == self);
        first.expect("every group has a column").collection
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
    /// Asymmetry of the towers.
    AsymEt "asym_et" Crossing SumsExtra I16 Some((0, 255)), 0.0, "";
    /// Asymmetry of the jets.
    AsymHt "asym_ht" Crossing SumsExtra I16 Some((0, 255)), 0.0, "";
    /// Asymmetry of the towers, with the forward calorimeter.
    AsymEtHf "asym_et_hf" Crossing SumsExtra I16 Some((0, 255)), 0.0, "";
    /// Asymmetry of the jets, with the forward calorimeter.
    AsymHtHf "asym_ht_hf" Crossing SumsExtra I16 Some((0, 255)), 0.0, "";
    /// Minimum-bias count of the forward calorimeter, plus side, threshold 0.
    MinBiasHfP0 "min_bias_hf_p0" Crossing SumsExtra U8 Some((0, 15)), 0.0, "";
    /// Minimum-bias count of the forward calorimeter, minus side, threshold 0.
    MinBiasHfM0 "min_bias_hf_m0" Crossing SumsExtra U8 Some((0, 15)), 0.0, "";
    /// Minimum-bias count of the forward calorimeter, plus side, threshold 1.
    MinBiasHfP1 "min_bias_hf_p1" Crossing SumsExtra U8 Some((0, 15)), 0.0, "";
    /// Minimum-bias count of the forward calorimeter, minus side, threshold 1.
    MinBiasHfM1 "min_bias_hf_m1" Crossing SumsExtra U8 Some((0, 15)), 0.0, "";
    /// Centrality bits.
    Centrality "centrality" Crossing SumsExtra U8 Some((0, 255)), 0.0, "";
    /// Muon isolation bits.
    MuonIso "muon_iso" Muon MuonFlags U8 Some((0, 3)), 0.0, "";
    /// Muon displacement bits.
    MuonDxy "muon_dxy" Muon MuonFlags U8 Some((0, 3)), 0.0, "";
    /// Jet flagged as displaced.
    JetDisplaced "jet_displaced" Jet JetFlags U8 Some((0, 1)), 0.0, "";
    /// Number of Puppi candidates.
    PuppiN "puppi_n" Crossing FurtherCounts I16 Some((0, 255)), 0.0, "";
    /// Number of track muons.
    TrackMuonN "track_muon_n" Crossing FurtherCounts I16 Some((0, 170)), 0.0, "";
    /// Number of stubs.
    StubN "stub_n" Crossing FurtherCounts I16 Some((0, 3060)), 0.0, "";
    /// Puppi pT.
    PuppiPt "puppi_pt" Puppi Puppi I16 Some((0, 16_383)), units::PUPPI_PT_LSB_GEV, "GeV";
    /// Puppi eta.
    PuppiEta "puppi_eta" Puppi Puppi I16 Some((-2048, 2047)), units::PUPPI_ANGLE_LSB, "";
    /// Puppi phi.
    PuppiPhi "puppi_phi" Puppi Puppi I16 Some((-1024, 1023)), units::PUPPI_ANGLE_LSB, "rad";
    /// 0 neutral hadron, 1 photon, 2, 3 charged hadron, 4, 5 electron, 6, 7 muon; odd = positive.
    PuppiPid "puppi_pid" Puppi PuppiExtra U8 Some((0, 7)), 0.0, "";
    /// Longitudinal position of charged candidates, 0 of neutral ones.
    PuppiZ0 "puppi_z0" Puppi PuppiExtra I16 Some((-512, 511)), units::PHASE2_Z0_LSB_CM, "cm";
    /// Transverse impact parameter of charged candidates, 0 of neutral ones.
    PuppiDxy "puppi_dxy" Puppi PuppiExtra I16 Some((-128, 127)), units::PUPPI_DXY_LSB_CM, "cm";
    /// Quality of charged candidates, 0 of neutral ones.
    PuppiQual "puppi_qual" Puppi PuppiExtra U8 Some((0, 7)), 0.0, "";
    /// Puppi weight of neutral candidates, 0 of charged ones.
    PuppiWeight "puppi_weight" Puppi PuppiExtra I16 Some((0, 1023)), units::PUPPI_WEIGHT_LSB, "";
    /// Identification bits of neutral candidates, 0 of charged ones.
    PuppiId "puppi_id" Puppi PuppiExtra U8 Some((0, 63)), 0.0, "";
    /// Track muon pT: does not fit 16 bits.
    TrackMuonPt "track_muon_pt" TrackMuon TrackMuon I32 Some((0, 65_535)),
        units::TRACK_MUON_PT_LSB_GEV, "GeV";
    /// Track muon eta.
    TrackMuonEta "track_muon_eta" TrackMuon TrackMuon I16 Some((-8192, 8191)),
        units::TRACK_MUON_ANGLE_LSB, "";
    /// Track muon phi.
    TrackMuonPhi "track_muon_phi" TrackMuon TrackMuon I16 Some((-4096, 4095)),
        units::TRACK_MUON_ANGLE_LSB, "rad";
    /// Track muon longitudinal position.
    TrackMuonZ0 "track_muon_z0" TrackMuon TrackMuonExtra I16 Some((-512, 511)),
        units::PHASE2_Z0_LSB_CM, "cm";
    /// Track muon impact parameter.
    TrackMuonD0 "track_muon_d0" TrackMuon TrackMuonExtra I16 Some((-512, 511)),
        units::TRACK_MUON_D0_LSB_CM, "cm";
    /// Track muon charge.
    TrackMuonCharge "track_muon_charge" TrackMuon TrackMuonExtra I16 Some((-1, 1)), 0.0, "e";
    /// Track muon quality.
    TrackMuonQual "track_muon_qual" TrackMuon TrackMuonExtra U8 Some((0, 15)), 0.0, "";
    /// Track muon isolation.
    TrackMuonIso "track_muon_iso" TrackMuon TrackMuonExtra U8 Some((0, 15)), 0.0, "";
    /// Track muon velocity.
    TrackMuonBeta "track_muon_beta" TrackMuon TrackMuonExtra U8 Some((0, 15)),
        units::TRACK_MUON_BETA_LSB, "c";
    /// Stub phi within its sector.
    StubPhi "stub_phi" Stub Stub I16 Some((-2048, 2047)), 0.0, "";
    /// Stub bending angle.
    StubPhiB "stub_phi_b" Stub Stub I16 Some((-512, 511)), 0.0, "";
    /// Stub quality.
    StubQual "stub_qual" Stub Stub U8 Some((0, 7)), 0.0, "";
    /// Stub eta bits.
    StubEta "stub_eta" Stub Stub U8 Some((0, 127)), 0.0, "";
    /// Quality of the stub's eta, a bit for each of its bits.
    StubQeta "stub_qeta" Stub Stub U8 Some((0, 127)), 0.0, "";
    /// Station, 1 to 4.
    StubStation "stub_station" Stub Stub U8 Some((1, 4)), 0.0, "";
    /// Wheel; the detector has −2 to 2.
    StubWheel "stub_wheel" Stub Stub I16 Some((-4, 3)), 0.0, "";
    /// Sector, 0 to 11.
    StubSector "stub_sector" Stub Stub U8 Some((0, 11)), 0.0, "";
    /// 1 for the first stub of its sector, station and wheel, 0 for later ones.
    StubTag "stub_tag" Stub Stub U8 Some((0, 1)), 0.0, "";
}

const _: () = assert!(COLUMNS.len() <= 128, "a ColumnSet is 128 bits");

impl Column {
    /// Its row of the table.
    #[must_use]
    pub const fn spec(self) -> &'static ColumnSpec {
        &COLUMNS[self as usize]
    }

    /// Whether streams of format version 1 can hold it.
    #[must_use]
    pub const fn is_of_version_1(self) -> bool {
        self as usize <= Column::Lines as usize
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

    /// The set, and the multiplicity of everything of which it has a column.
    #[must_use]
    pub fn counted(self) -> ColumnSet {
        Collection::FURTHER.into_iter().filter_map(Collection::count_column).fold(
            self,
            |set, count| {
                let is_counted = |c: Column| c.spec().collection.count_column() == Some(count);
                if set.iter().any(is_counted) { set.with(count) } else { set }
            },
        )
    }

    /// Crossing numbers and multiplicities of the objects of Run 3: what every block has.
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
            assert_eq!(group.collection(), first);
        }
    }

    #[test]
    fn multiplicity_ranges_are_the_capacities() {
        for (number, collection) in Collection::ALL_OBJECTS.into_iter().enumerate() {
            assert_eq!(collection as usize, number);
            let count = collection.count_column().unwrap();
            assert_eq!(count.spec().range, Some((0, collection.capacity() as i64)));
            let kinematics = collection.kinematics().into_iter().flatten();
            assert!(kinematics.into_iter().all(|c| c.spec().collection == collection));
            assert_eq!(ColumnSet::skeleton().contains(count), number < 4);
        }
        let (of_four, others) = Collection::ALL_OBJECTS.split_at(4);
        assert!(of_four == Collection::OBJECTS && others == Collection::FURTHER);
    }

    #[test]
    fn what_not_every_stream_has_brings_its_multiplicity() {
        let stubs = ColumnSet::EMPTY.with(Column::StubPhi);
        assert_eq!(stubs.counted(), stubs.with(Column::StubN));
        assert_eq!(Group::Jet.columns().counted(), Group::Jet.columns());
        assert!(ColumnSet::EMPTY.counted().is_empty());
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
