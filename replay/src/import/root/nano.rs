//! Which branches of NanoAOD become which columns.
//!
//! Central NanoAOD, the detailed one of the Level-1 group (L1DPG) and that of Level-1 scouting have
//! the same tables: `L1Mu`, `L1EG`, `L1Jet`, `L1Tau`, `L1EtSum`, each with a counter `n<table>`.
//! Where a table has hardware integers (`hwPt` …) they are taken, else physical values. A scouting
//! file is one that knows orbits and crossings but no event numbers.
//!
//! **Source**: CMSSW `PhysicsTools/NanoAOD/python/l1trig_cff.py`, `L1TriggerScouting/NanoAOD`,
//! `DataFormats/L1Trigger/interface/EtSum.h`.

use super::branch::{Reader, Values};
use super::tree::{Branch, Tree};
use crate::event::{Collection, Column, ColumnSet, Group};
use crate::import::ImportError;
use crate::import::physical::{self, Kind};
use crate::units;

/// A branch that is read, with its values in the current rows.
pub(super) struct Source {
    pub reader: Reader,
    pub name: String,
    /// Index of the source that counts its values.
    pub counter: Option<usize>,
    pub values: Values,
}

/// Which sources of a file have what. Numbers are indices of sources.
#[derive(Default)]
pub(super) struct Layout {
    pub sources: Vec<Source>,
    pub run: Option<usize>,
    pub orbit: Option<usize>,
    pub bx: Option<usize>,
    /// Columns with one value per event.
    pub scalars: Vec<(Column, usize)>,
    pub tables: Vec<Table>,
    pub sums: Option<Sums>,
}

/// A table of objects.
pub(super) struct Table {
    pub kind: &'static Kind,
    pub counter: usize,
    pub kinematics: Kinematics,
    pub crossing: Option<usize>,
    pub extras: Vec<Extra>,
}

/// pT, eta, phi.
#[derive(Clone, Copy)]
pub(super) enum Kinematics {
    Hardware([usize; 3]),
    Physical([usize; 3]),
}

/// What else is known of the objects of a table.
pub(super) struct Extra {
    pub column: Column,
    pub source: usize,
    pub convert: Convert,
}

/// How a value becomes the integer of its column.
#[derive(Clone, Copy)]
pub(super) enum Convert {
    /// It is one.
    Integer,
    Eta,
    Phi,
    PtUnconstrained {
        lsb_gev: f64,
    },
    /// A bit that means negative, if the value of another source is not zero.
    ChargeBit {
        valid: usize,
    },
}

/// The energy sums.
pub(super) enum Sums {
    /// A list with a type for each entry.
    List {
        counter: usize,
        kinds: usize,
        pt: usize,
        phi: usize,
        hardware: bool,
        crossing: Option<usize>,
    },
    /// One value per event and column.
    Columns { columns: Vec<(Column, usize)>, hardware: bool },
}

/// A type of entries in a list of sums, the column of its size and that of its azimuth.
pub(super) const SUM_TYPES: [(i64, Column, Option<Column>); 7] = [
    (0, Column::EtPt, None),
    (16, Column::EtEmPt, None),
    (2, Column::MetPt, Some(Column::MetPhi)),
    (1, Column::HtPt, None),
    (3, Column::MhtPt, Some(Column::MhtPhi)),
    (8, Column::MetHfPt, Some(Column::MetHfPhi)),
    (20, Column::MhtHfPt, Some(Column::MhtHfPhi)),
];
/// The type that counts towers: an integer, whatever the other sums are.
pub(super) const TOWER_COUNT: i64 = 21;

/// Names of sums where each is a branch.
const SUM_BRANCHES: [(&str, Column); 11] = [
    ("totalEt", Column::EtPt),
    ("totalEtEm", Column::EtEmPt),
    ("missEt", Column::MetPt),
    ("missEtPhi", Column::MetPhi),
    ("totalHt", Column::HtPt),
    ("missHt", Column::MhtPt),
    ("missHtPhi", Column::MhtPhi),
    ("missEtHF", Column::MetHfPt),
    ("missEtHFPhi", Column::MetHfPhi),
    ("missHtHF", Column::MhtHfPt),
    ("missHtHFPhi", Column::MhtHfPhi),
];

const TABLES: [(&Kind, &[&str]); 4] = [
    (&physical::MUON, &["L1Mu", "L1Muon"]),
    (&physical::EGAMMA, &["L1EG"]),
    (&physical::JET, &["L1Jet"]),
    (&physical::TAU, &["L1Tau"]),
];

impl Layout {
    /// The layout of a tree, of which only what goes into `wanted` is read.
    ///
    /// # Errors
    /// No Level-1 table, or branches of types that are not read.
    pub(super) fn of(tree: &Tree, file: &str, wanted: ColumnSet) -> Result<Layout, ImportError> {
        Builder { tree, file, wanted, layout: Layout::default() }.build()
    }

    /// The columns that it fills. Which sums a list has shows in its entries: not among these.
    pub(super) fn columns(&self) -> ColumnSet {
        let mut columns: ColumnSet = self.scalars.iter().map(|&(column, _)| column).collect();
        for table in &self.tables {
            let kinematics = table.kind.collection.kinematics().into_iter().flatten();
            columns = columns.union(kinematics.collect());
            columns = columns.union(table.extras.iter().map(|extra| extra.column).collect());
        }
        if let Some(Sums::Columns { columns: sums, .. }) = &self.sums {
            columns = columns.union(sums.iter().map(|&(column, _)| column).collect());
        }
        columns
    }
}

struct Builder<'a> {
    tree: &'a Tree,
    file: &'a str,
    wanted: ColumnSet,
    layout: Layout,
}

impl Builder<'_> {
    fn build(mut self) -> Result<Layout, ImportError> {
        self.layout.run = self.integer("run")?;
        self.layout.orbit = self.integer("orbitNumber")?;
        self.layout.bx = self.integer("bunchCrossing")?;
        let placed = self.layout.orbit.is_some() && self.layout.bx.is_some();
        let scouting = placed && !self.has("event");
        for (name, column) in [
            ("luminosityBlock", Column::Lumi),
            ("event", Column::Event),
            ("Pileup_nPU", Column::PileUp),
        ] {
            if self.wanted.contains(column)
                && let Some(source) = self.integer(name)?
            {
                self.layout.scalars.push((column, source));
            }
        }
        for (kind, names) in TABLES {
            let Some(name) = names.iter().find(|name| self.has(&format!("n{name}"))) else {
                continue;
            };
            let wanted =
                kind.collection.kinematics().is_some_and(|[pt, ..]| self.wanted.contains(pt));
            if wanted {
                let table = self.table(kind, name, scouting)?;
                self.layout.tables.push(table);
            }
        }
        self.layout.sums = self.sums()?;
        if self.layout.tables.is_empty()
            && self.layout.sums.is_none()
            && self.wanted == ColumnSet::ALL
        {
            return Err(ImportError::Missing {
                file: self.file.into(),
                what: "tables of Level-1 objects",
                missing: "nL1Mu, nL1EG, nL1Jet, nL1Tau or nL1EtSum with their branches".into(),
            });
        }
        Ok(self.layout)
    }

    fn table(
        &mut self,
        kind: &'static Kind,
        name: &str,
        scouting: bool,
    ) -> Result<Table, ImportError> {
        let is_muon = kind.collection == Collection::Muon;
        let [hardware, physical] = match is_muon {
            true => [["hwPt", "hwEtaAtVtx", "hwPhiAtVtx"], ["pt", "etaAtVtx", "phiAtVtx"]],
            false => [["hwPt", "hwEta", "hwPhi"], ["pt", "eta", "phi"]],
        };
        let all =
            |fields: [&str; 3]| fields.iter().all(|field| self.has(&format!("{name}_{field}")));
        let is_hardware = all(hardware);
        let fields = if is_hardware { hardware } else { physical };
        let mut sources = [0; 3];
        for (source, field) in sources.iter_mut().zip(fields) {
            *source = self.required(&format!("{name}_{field}"), !is_hardware)?;
        }
        let kinematics =
            if is_hardware { Kinematics::Hardware(sources) } else { Kinematics::Physical(sources) };
        let crossing = self.field(name, "bx", false)?;
        let extras = self.extras(kind.collection, name, scouting)?;
        // A table is counted by the counter of its first branch.
        let counter = self.layout.sources[sources[0]].counter;
        let Some(counter) = counter else {
            let branch = self.layout.sources[sources[0]].name.clone();
            return Err(self.unsupported(
                &branch,
                "a list of values",
                "one value per event".into(),
            ));
        };
        let others = sources.into_iter().chain(crossing).chain(extras.iter().map(|e| e.source));
        for source in others {
            if self.layout.sources[source].counter != Some(counter) {
                let (branch, counter) =
                    (self.layout.sources[source].name.clone(), &self.layout.sources[counter].name);
                let expected = format!("as many values as {counter} says");
                return Err(self.unsupported(&branch, &expected, "another counter".into()));
            }
        }
        Ok(Table { kind, counter, kinematics, crossing, extras })
    }

    fn extras(
        &mut self,
        collection: Collection,
        name: &str,
        scouting: bool,
    ) -> Result<Vec<Extra>, ImportError> {
        use Convert::{Eta, Integer, Phi, PtUnconstrained};
        let lsb_gev = match scouting {
            true => units::MUON_PT_UNCONSTRAINED_LSB_GEV,
            false => units::MUON_PT_UNCONSTRAINED_OFFLINE_LSB_GEV,
        };
        let fields: &[(Column, &str, Convert)] = match collection {
            Collection::Muon => &[
                (Column::MuonQual, "hwQual", Integer),
                (Column::MuonQual, "hwQuality", Integer),
                (Column::MuonTfIndex, "tfMuonIndex", Integer),
                (Column::MuonIso, "hwIso", Integer),
                (Column::MuonDxy, "hwDXY", Integer),
                (Column::MuonEtaRaw, "hwEta", Integer),
                (Column::MuonEtaRaw, "eta", Eta),
                (Column::MuonPhiRaw, "hwPhi", Integer),
                (Column::MuonPhiRaw, "phi", Phi),
                (Column::MuonPtUnconstrained, "hwPtUnconstrained", Integer),
                (Column::MuonPtUnconstrained, "ptUnconstrained", PtUnconstrained { lsb_gev }),
            ],
            Collection::EGamma => &[(Column::EGammaIso, "hwIso", Integer)],
            Collection::Jet => {
                &[(Column::JetQual, "hwQual", Integer), (Column::JetRawPt, "rawEt", Integer)]
            }
            Collection::Tau => &[(Column::TauIso, "hwIso", Integer)],
            _ => &[],
        };
        let mut extras: Vec<Extra> = Vec::new();
        for &(column, field, convert) in fields {
            if !self.wanted.contains(column) || extras.iter().any(|extra| extra.column == column) {
                continue;
            }
            let real = !matches!(convert, Integer);
            if let Some(source) = self.field(name, field, real)? {
                extras.push(Extra { column, source, convert });
            }
        }
        if collection == Collection::Muon && self.wanted.contains(Column::MuonCharge) {
            extras.extend(self.charge(name, scouting)?);
        }
        Ok(extras)
    }

    /// Scouting has charges; the detailed tables a bit and whether it is valid; the central ones the
    /// bit alone, of which nobody can tell what zero means.
    fn charge(&mut self, name: &str, scouting: bool) -> Result<Option<Extra>, ImportError> {
        let convert = match self.field(name, "hwChargeValid", false)? {
            Some(valid) => Convert::ChargeBit { valid },
            None if scouting => Convert::Integer,
            None => return Ok(None),
        };
        let source = self.field(name, "hwCharge", false)?;
        Ok(source.map(|source| Extra { column: Column::MuonCharge, source, convert }))
    }

    fn sums(&mut self) -> Result<Option<Sums>, ImportError> {
        let wanted = Group::Sums.columns().union(Group::Met.columns());
        if self.wanted.intersection(wanted).is_empty() {
            return Ok(None);
        }
        let name = "L1EtSum";
        if self.has("nL1EtSum") {
            let hardware = self.has("L1EtSum_hwPt") && self.has("L1EtSum_hwPhi");
            let (pt, phi) = if hardware { ("hwPt", "hwPhi") } else { ("pt", "phi") };
            let pt = self.required(&format!("{name}_{pt}"), !hardware)?;
            let phi = self.required(&format!("{name}_{phi}"), !hardware)?;
            let kinds = self.required("L1EtSum_etSumType", false)?;
            let crossing = self.field(name, "bx", false)?;
            let counter = self.layout.sources[kinds].counter;
            let same = [pt, phi].into_iter().chain(crossing);
            let Some(counter) = counter.filter(|counter| {
                same.clone().all(|source| self.layout.sources[source].counter == Some(*counter))
            }) else {
                let found = "other counters".into();
                return Err(self.unsupported(
                    "L1EtSum_etSumType",
                    "lists counted by nL1EtSum",
                    found,
                ));
            };
            return Ok(Some(Sums::List { counter, kinds, pt, phi, hardware, crossing }));
        }
        let hardware = self.has("L1EtSum_hwMissEt");
        let mut columns = Vec::new();
        for (field, column) in SUM_BRANCHES {
            let field = match hardware {
                true => format!("hw{}{}", field[..1].to_uppercase(), &field[1..]),
                false => field.to_owned(),
            };
            let branch = format!("{name}_{field}");
            if self.wanted.contains(column) && self.has(&branch) {
                columns.push((column, self.source(&branch)?));
            }
        }
        if let Some(source) = self.field(name, "towerCount", false)? {
            columns.push((Column::TowerCount, source));
        }
        Ok((!columns.is_empty()).then_some(Sums::Columns { columns, hardware }))
    }

    fn branch(&self, name: &str) -> Option<&Branch> {
        self.tree.branches.iter().find(|branch| branch.name == name)
    }

    fn has(&self, name: &str) -> bool {
        self.branch(name).is_some()
    }

    /// An optional branch of integers.
    fn integer(&mut self, name: &str) -> Result<Option<usize>, ImportError> {
        if self.has(name) { self.required(name, false).map(Some) } else { Ok(None) }
    }

    /// An optional branch of a table.
    fn field(
        &mut self,
        table: &str,
        field: &str,
        real: bool,
    ) -> Result<Option<usize>, ImportError> {
        let name = format!("{table}_{field}");
        if self.has(&name) { self.required(&name, real).map(Some) } else { Ok(None) }
    }

    /// A branch of reals or of integers.
    fn required(&mut self, name: &str, real: bool) -> Result<usize, ImportError> {
        let source = self.source(name)?;
        if self.layout.sources[source].reader.number().is_real() != real {
            let (expected, found) = match real {
                true => ("a real type", "integers"),
                false => ("an integer type", "reals"),
            };
            return Err(self.unsupported(name, expected, found.into()));
        }
        Ok(source)
    }

    /// The source for a branch, and before it the one that counts it.
    fn source(&mut self, name: &str) -> Result<usize, ImportError> {
        if let Some(index) = self.layout.sources.iter().position(|source| source.name == name) {
            return Ok(index);
        }
        let Some(branch) = self.branch(name).cloned() else {
            let (what, missing) = ("branch", name.into());
            return Err(ImportError::Missing { file: self.file.into(), what, missing });
        };
        let leaf = match &branch.leaf {
            Ok(leaf) => leaf,
            Err(reason) => {
                let expected = "numbers in baskets, one or as many as a counter says";
                return Err(self.unsupported(name, expected, reason.clone()));
            }
        };
        if branch.n_entries != self.tree.n_entries {
            return Err(ImportError::ColumnLength {
                file: self.file.into(),
                column: name.into(),
                expected: self.tree.n_entries,
                found: branch.n_entries,
            });
        }
        let counter = match &leaf.counter {
            Some(counter) => {
                let counted = |b: &Branch| matches!(&b.leaf, Ok(leaf) if leaf.counter.is_some());
                if self.branch(counter).is_some_and(counted) {
                    let found = format!("a list as the counter of {name}");
                    return Err(self.unsupported(counter, "one number per event", found));
                }
                Some(self.required(counter, false)?)
            }
            None => None,
        };
        let (reader, name) = (Reader::new(&branch, leaf), name.to_owned());
        self.layout.sources.push(Source { reader, name, counter, values: Values::default() });
        Ok(self.layout.sources.len() - 1)
    }

    fn unsupported(&self, branch: &str, expected: &str, found: String) -> ImportError {
        ImportError::Unsupported {
            file: self.file.into(),
            what: branch.into(),
            expected: expected.into(),
            found,
            hint: REWRITE,
        }
    }
}

pub(super) const REWRITE: &str = "rewrite the file as a tree of plain branches, in Python: \
     `uproot.recreate(OUT).mktree(\"Events\", uproot.open(IN)[\"Events\"].arrays(...))`";
