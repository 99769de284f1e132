//! Which branch of the public data set becomes which column.
//!
//! Source: data set `anomaly_detection_cmsl1t`, Zenodo 10.5281/zenodo.21787779. Its columns are
//! called `<collection>_<branch>`; everything else in a file is ignored.

use crate::event::{Collection, Column, ColumnSet};

/// Where the values of a branch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Run number, which is no column of a block.
    Run,
    /// A column.
    Column(Column),
}

/// Types of values that a branch may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepts {
    Integer,
    IntegerOrBool,
    IntegerOrReal,
}

/// One branch.
#[derive(Debug)]
pub(crate) struct Branch {
    pub name: &'static str,
    pub field: Field,
    pub accepts: Accepts,
}

impl Branch {
    /// Whether there is one value per object, not one per row.
    pub(crate) fn collection(&self) -> Collection {
        match self.field {
            Field::Run => Collection::Crossing,
            Field::Column(column) => column.spec().collection,
        }
    }

    /// Whether a file is of no use without it.
    pub(crate) fn required(&self) -> bool {
        let Field::Column(column) = self.field else { return false };
        let kinematics = |c: Collection| c.kinematics().is_some_and(|k| k.contains(&column));
        matches!(column, Column::MetPt | Column::MetPhi)
            || [Collection::Muon, Collection::EGamma, Collection::Jet].into_iter().any(kinematics)
    }
}

const fn integer(name: &'static str, column: Column) -> Branch {
    Branch { name, field: Field::Column(column), accepts: Accepts::Integer }
}

/// Every branch that is read.
pub(crate) const BRANCHES: &[Branch] = &[
    Branch { name: "run", field: Field::Run, accepts: Accepts::Integer },
    integer("orbit", Column::Orbit),
    integer("bx", Column::Bx),
    integer("lumi", Column::Lumi),
    integer("event", Column::Event),
    integer("time", Column::Time),
    integer("label", Column::Label),
    integer("order", Column::Order),
    Branch {
        name: "L1bit",
        field: Field::Column(Column::L1Accept),
        accepts: Accepts::IntegerOrBool,
    },
    Branch {
        name: "nPV_True",
        field: Field::Column(Column::PileUp),
        accepts: Accepts::IntegerOrReal,
    },
    integer("MET_Et", Column::MetPt),
    integer("MET_phi", Column::MetPhi),
    integer("muons_muonIEt", Column::MuonPt),
    integer("muons_muonIEtaAtVtx", Column::MuonEta),
    integer("muons_muonIPhiAtVtx", Column::MuonPhi),
    integer("muons_muonQual", Column::MuonQual),
    integer("muons_muonChg", Column::MuonCharge),
    integer("muons_muonTfMuonIdx", Column::MuonTfIndex),
    integer("muons_muonIPhi", Column::MuonPhiRaw),
    integer("muons_muonIEta", Column::MuonEtaRaw),
    integer("muons_muonIEtUnconstrained", Column::MuonPtUnconstrained),
    integer("egammas_egIEt", Column::EGammaPt),
    integer("egammas_egIEta", Column::EGammaEta),
    integer("egammas_egIPhi", Column::EGammaPhi),
    integer("egammas_egIso", Column::EGammaIso),
    integer("jets_jetIEt", Column::JetPt),
    integer("jets_jetIEta", Column::JetEta),
    integer("jets_jetIPhi", Column::JetPhi),
    integer("jets_jetHwQual", Column::JetQual),
    integer("jets_jetRawEt", Column::JetRawPt),
    integer("taus_tauIEt", Column::TauPt),
    integer("taus_tauIEta", Column::TauEta),
    integer("taus_tauIPhi", Column::TauPhi),
    integer("taus_tauIso", Column::TauIso),
    integer("ET_Et", Column::EtPt),
    integer("ET_ETTEM", Column::EtEmPt),
    integer("HT_Et", Column::HtPt),
    integer("HT_tower_count", Column::TowerCount),
    integer("MHT_Et", Column::MhtPt),
    integer("MHT_phi", Column::MhtPhi),
    integer("FET_Et", Column::MetHfPt),
    integer("FET_phi", Column::MetHfPhi),
    integer("FHT_Et", Column::MhtHfPt),
    integer("FHT_phi", Column::MhtHfPhi),
];

/// Names of branches that are missing in a file with these columns. Taus may be absent, but not
/// in part.
pub(crate) fn missing(columns: ColumnSet) -> Vec<&'static str> {
    let some_taus = BRANCHES.iter().any(|b| match b.field {
        Field::Column(c) => b.collection() == Collection::Tau && columns.contains(c),
        Field::Run => false,
    });
    let needed = |b: &Branch, column: Column| {
        let tau = [Column::TauPt, Column::TauEta, Column::TauPhi].contains(&column);
        b.required() || (some_taus && tau)
    };
    let lacks = |b: &&Branch| match b.field {
        Field::Column(column) => needed(b, column) && !columns.contains(column),
        Field::Run => false,
    };
    BRANCHES.iter().filter(lacks).map(|b| b.name).collect()
}
