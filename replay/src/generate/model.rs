//! What a generator knows: a small file of counts, hazards and exponents.
//!
//! [`fit`](super::fit()) makes a model; `docs/generator.md` says what is in it and what is not. Numbers
//! from a file are believed once its checksum has been verified and everything that is used as an
//! index or a length has been checked.

use std::ops::Range;

use rkyv::{Archive, Deserialize, Serialize};

use super::GenerateError;
use super::histogram::Histogram;
use super::spectrum::{CODES, Hazard, SEGMENTS};
use crate::event::{Collection, Column, ColumnSet, Dtype};

/// Most pile-up collisions of a crossing.
pub const PILE_UP_MAX: u16 = 400;

/// Least reference pile-up: keeps factors, powers of the ratio to it up to the twentieth, finite.
const REFERENCE_MIN: f64 = 0.01;
/// Sums of codes that bins tell apart: from here on, all are as the one before.
pub(super) const SUM_CODES: usize = 4 * CODES;
/// Most bins of anything.
const BINS_MAX: usize = 64;
/// Most hazards of a kind: each becomes tables of up to 60 kB, a few kB in most models.
const HAZARDS_MAX: usize = 2048;

/// Events as a statistical model knows them.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct GeneratorModel {
    /// The stream that it was fitted to.
    pub fitted_to: FittedTo,
    /// Columns of that stream that are generated, but for those of the crossing.
    pub columns: Vec<String>,
    /// Columns of that stream that are not.
    pub left_out: Vec<String>,
    /// Label of every event.
    pub label: i32,
    /// Pile-up, if the stream knew it.
    pub pile_up: Option<PileUpModel>,
    /// Lower edges of bins of the number of jets; the first is 0.
    pub jet_bins: Vec<u16>,
    /// Lower edges of bins of the leading jet's pT code; the first is 0.
    pub lead_bins: Vec<u16>,
    /// Lower edges of bins of the sum of the jets' pT codes; the first is 0.
    pub sum_bins: Vec<u16>,
    /// Kinds of objects, jets first if there are any.
    pub kinds: Vec<KindModel>,
    /// Energy sums, each after what it depends on.
    pub scalars: Vec<ScalarModel>,
    /// What else objects have.
    pub extras: Vec<ExtraModel>,
}

/// What a model was fitted to.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FittedTo {
    /// Name of the sample.
    pub sample: String,
    /// Digest of the stream.
    pub digest: u64,
    /// Events used, the first ones.
    pub n_events: u64,
}

/// Pile-up of the stream that a model was fitted to.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct PileUpModel {
    /// Its mean: where factors that depend on pile-up are 1.
    pub reference: f64,
    /// Its distribution.
    pub histogram: Histogram,
}

/// What of the jets others depend on.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Nothing.
    Nothing,
    /// The leading jet's pT. Azimuths of later jets depend on it, hazards that are fitted now do not.
    Lead,
    /// The number of jets.
    Jets,
    /// The sum of the jets' pT.
    Sum,
    /// That and the leading jet's pT.
    SumAndLead,
}

/// Number of [`Context`]s.
pub(super) const CONTEXTS: usize = Context::SumAndLead as usize + 1;

/// A kind of objects.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct KindModel {
    /// Its name.
    pub collection: String,
    /// Lower edges of ranges of pT codes with an exponent each; the first is 0.
    pub segments: Vec<u16>,
    /// By rank in pT.
    pub ranks: Vec<RankModel>,
    /// Lower edges of bins of pT codes for directions; the first is 0.
    pub pt_bins: Vec<u16>,
    /// Where they go.
    pub directions: Directions,
}

/// The objects of one rank of a kind.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct RankModel {
    /// What hazards depend on.
    pub context: Context,
    /// Lower edges of bins of the pT code of the object before; the first is 0.
    pub previous_bins: Vec<u16>,
    /// λ goes as pile-up to this power, for each segment.
    pub exponents: Vec<f64>,
    /// λ for each context, and within it for each bin of the object before.
    pub hazards: Vec<Hazard>,
}

/// Where objects go.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Directions {
    /// Jets: the second one away from the first, the others with regard to the first.
    Jets {
        /// Eta, for each bin of pT.
        eta: Vec<Histogram>,
        /// Phi of the first.
        phi: Histogram,
        /// Lower edges of bins of the first jet's eta code.
        eta_bins: Vec<i16>,
        /// Eta of the second, for each bin of its pT, and within it for each bin of the first's eta.
        second_eta: Vec<Histogram>,
        /// Phi of the second less that of the first, for each bin of its pT.
        second_phi: Vec<Histogram>,
        /// Phi of others less that of the first, for each bin of the first's pT.
        later_phi: Vec<Histogram>,
    },
    /// Others: in a jet, or anywhere.
    Loose {
        /// Eta of those in no jet, for each bin of pT.
        eta: Vec<Histogram>,
        /// Phi of those in no jet.
        phi: Histogram,
        /// Smallest and largest eta code: jets beyond have none of these in them.
        eta_range: [i16; 2],
        /// Chance to be in a jet that is not taken, for each bin of pT, and within it for each bin of
        /// the ratio of the jet's pT to the object's: quarters of octaves, from one octave below.
        in_jet: Vec<f32>,
        /// Eta of those in a jet, for each eta code of a jet within `eta_range`: towers are not everywhere of one size.
        eta_in_jet: Vec<Histogram>,
        /// Phi less that of the jet.
        phi_offset: Histogram,
    },
}

/// Bins of the ratio of two transverse momenta.
pub(super) const RATIO_BINS: usize = 16;

/// What the distribution of a sum is conditional on.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    /// The vector sum of the jets' transverse momenta.
    JetVector,
    /// The same with pT^1.5 in the place of pT: to which missing energy is more opposite than to the
    /// sum itself, since soft jets are mostly pile-up.
    HardJetVector,
    /// Their scalar sum.
    JetSum,
    /// Missing transverse energy.
    Met,
}

/// An energy sum, with its direction if it has one.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ScalarModel {
    /// Its column.
    pub column: String,
    /// The column of its azimuth.
    pub direction: Option<String>,
    /// What of the jets it depends on in bins that all sums share.
    pub context: Context,
    /// What it depends on in bins of its own.
    pub predictor: Predictor,
    /// Lower edges of bins of the predictor (of the square of a vector); the first is 0.
    pub edges: Vec<f64>,
    /// It goes as pile-up to this power.
    pub exponent: f64,
    /// Codes at the reference pile-up, for each context, and within it for each bin of the predictor.
    pub codes: Vec<Histogram>,
    /// Lower edges of bins of its code, for the direction; the first is 0.
    pub code_bins: Vec<u16>,
    /// Azimuth less that of the predictor, for each bin of the predictor, and within it of the code.
    pub angles: Vec<Histogram>,
}

/// Something else that objects have, independent of everything or of all but one column.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ExtraModel {
    /// Its column.
    pub column: String,
    /// The column that values are relative to.
    pub base: Option<String>,
    /// Values, or differences.
    pub values: Histogram,
}

impl KindModel {
    /// The kind of objects.
    pub(super) fn kind(&self) -> Option<Collection> {
        Collection::OBJECTS.into_iter().find(|collection| collection.name() == self.collection)
    }
}

impl GeneratorModel {
    /// The columns that are generated, with those of the crossing.
    ///
    /// # Errors
    /// A column that this version does not know.
    pub fn column_set(&self) -> Result<ColumnSet, GenerateError> {
        let mut set = ColumnSet::skeleton();
        for name in &self.columns {
            set = set.with(column_of(name)?);
        }
        Ok(set)
    }

    /// Whether there is a kind of objects.
    pub(super) fn kind(&self, collection: Collection) -> Option<&KindModel> {
        self.kinds.iter().find(|kind| kind.kind() == Some(collection))
    }

    /// Checks everything that is used as an index or a length, and that each column is made once.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<(), GenerateError> {
        self.column_set()?;
        let bins = [&self.jet_bins, &self.lead_bins, &self.sum_bins];
        sound(bins.into_iter().all(|bins| are_edges(bins)), "bins of jets")?;
        if let Some(pile_up) = &self.pile_up {
            let most = f64::from(PILE_UP_MAX);
            let in_range = (REFERENCE_MIN..=most).contains(&pile_up.reference);
            sound(in_range, "reference pile-up")?;
            let last = i64::from(pile_up.histogram.first) + pile_up.histogram.weights.len() as i64;
            let fits = pile_up.histogram.first >= 0 && last <= i64::from(PILE_UP_MAX) + 1;
            let any = pile_up.histogram.weights.iter().any(|&weight| weight > 0.0);
            sound(pile_up.histogram.is_sound() && fits && any, "pile-up")?;
        }
        for (place, kind) in self.kinds.iter().enumerate() {
            let collection = kind.kind().ok_or_else(|| unsound("kind of objects"))?;
            let is_first =
                self.kinds[..place].iter().all(|other| other.collection != kind.collection);
            sound(is_first && (collection != Collection::Jet || place == 0), "order of kinds")?;
            self.check_kind(kind, collection)?;
        }
        self.scalars.iter().try_for_each(|scalar| self.check_scalar(scalar))?;
        self.extras.iter().try_for_each(check_extra)?;
        self.check_columns()
    }

    /// A column that nothing makes would be empty beside others that are not, and one that is made twice too long:
    /// both would be found when a block is written, long after.
    fn check_columns(&self) -> Result<(), GenerateError> {
        // What every crossing has, and what follows from its number.
        let mut made = ColumnSet::skeleton().with(Column::Lumi);
        made = made.with(Column::Event).with(Column::Label);
        if self.pile_up.is_some() {
            made = made.with(Column::PileUp);
        }
        let of_kinds = self.kinds.iter().filter_map(|kind| kind.kind()?.kinematics()).flatten();
        let names = self.scalars.iter().flat_map(|s| [Some(&s.column), s.direction.as_ref()]);
        let names = names.flatten().chain(self.extras.iter().map(|extra| &extra.column));
        for column in of_kinds.map(Ok).chain(names.map(|name| column_of(name))) {
            let column = column?;
            if made.contains(column) {
                let (column, problem) = (column.spec().name, "is made twice");
                return Err(GenerateError::Column { column, problem });
            }
            made = made.with(column);
        }
        // More than is listed may be made: while a model is fitted nothing is listed.
        match self.column_set()?.minus(made).iter().next() {
            Some(column) => {
                let problem = "is to be generated, but nothing in the model makes it";
                Err(GenerateError::Column { column: column.spec().name, problem })
            }
            None => Ok(()),
        }
    }

    /// Number of contexts.
    pub(super) fn n_contexts(&self, context: Context) -> usize {
        match context {
            Context::Nothing => 1,
            Context::Lead => self.lead_bins.len(),
            Context::Jets => self.jet_bins.len(),
            Context::Sum => self.sum_bins.len(),
            Context::SumAndLead => self.sum_bins.len() * self.lead_bins.len(),
        }
    }

    fn check_kind(&self, kind: &KindModel, collection: Collection) -> Result<(), GenerateError> {
        sound(kind.ranks.len() <= collection.capacity(), "number of ranks")?;
        sound(are_edges(&kind.segments) && kind.segments.len() <= SEGMENTS, "segments")?;
        sound(are_edges(&kind.pt_bins), "bins of pT")?;
        let n_hazards: usize = kind.ranks.iter().map(|rank| rank.hazards.len()).sum();
        sound(n_hazards <= HAZARDS_MAX, "number of hazards")?;
        for rank in &kind.ranks {
            let n = self.n_contexts(rank.context) * rank.previous_bins.len();
            sound(are_edges(&rank.previous_bins) && rank.hazards.len() == n, "contexts")?;
            let exponents = rank.exponents.iter().all(|exponent| exponent.abs() <= 20.0);
            sound(rank.exponents.len() == kind.segments.len() && exponents, "exponents")?;
            sound(rank.hazards.iter().all(Hazard::is_sound), "hazards")?;
        }
        let n = kind.pt_bins.len();
        let range = eta_range(collection);
        let (etas, others) = match &kind.directions {
            Directions::Jets { eta, phi, eta_bins, second_eta, second_phi, later_phi } => {
                let is_jet = collection == Collection::Jet;
                let is_list = (1..=BINS_MAX).contains(&eta_bins.len()) && eta_bins.is_sorted();
                sound(is_jet && is_list, "bins of eta")?;
                sound(eta.len() == n && second_phi.len() == n, "directions by pT")?;
                sound(second_eta.len() == n * eta_bins.len(), "directions of second jets")?;
                sound(later_phi.len() == self.lead_bins.len(), "directions of later jets")?;
                (
                    eta.iter().chain(second_eta).collect::<Vec<_>>(),
                    second_phi.iter().chain(later_phi).chain([phi]).collect::<Vec<_>>(),
                )
            }
            Directions::Loose {
                eta,
                phi,
                eta_range: [low, high],
                in_jet,
                eta_in_jet,
                phi_offset,
            } => {
                let within =
                    range.0 <= i32::from(*low) && low <= high && i32::from(*high) <= range.1;
                sound(collection != Collection::Jet && within, "range of eta")?;
                let of_jets = jet_etas([*low, *high], collection).len();
                sound(eta.len() == n && eta_in_jet.len() == of_jets, "directions by pT")?;
                let chances = in_jet.iter().all(|chance| (0.0..=1.0).contains(chance));
                sound(in_jet.len() == n * RATIO_BINS && chances, "chances to be in a jet")?;
                (eta.iter().chain(eta_in_jet).collect(), vec![phi, phi_offset])
            }
        };
        let of_turn = |histogram: &&Histogram| {
            let turn = phi_codes(collection);
            let end = i64::from(histogram.first) + histogram.weights.len() as i64;
            histogram.is_sound() && histogram.first >= -turn && end <= i64::from(turn)
        };
        let of_eta = |histogram: &&Histogram| {
            let end = i64::from(histogram.first) + histogram.weights.len() as i64;
            histogram.is_sound() && histogram.first >= range.0 && end <= i64::from(range.1) + 1
        };
        sound(etas.iter().all(of_eta) && others.iter().all(of_turn), "directions")
    }

    fn check_scalar(&self, scalar: &ScalarModel) -> Result<(), GenerateError> {
        let column = column_of(&scalar.column)?;
        let direction = scalar.direction.as_deref().map(column_of).transpose()?;
        let of_crossing = |column: Column| {
            column.spec().dtype == Dtype::I16 && column.spec().collection == Collection::Crossing
        };
        sound(of_crossing(column) && direction.is_none_or(of_crossing), "columns of sums")?;
        let edges = scalar.edges.first() == Some(&0.0) && scalar.edges.is_sorted();
        let edges = edges && scalar.edges.len() <= BINS_MAX;
        sound(edges && scalar.exponent.abs() <= 20.0, "bins of the predictor")?;
        sound(are_edges(&scalar.code_bins), "bins of a sum")?;
        let n_contexts = self.n_contexts(scalar.context);
        sound(scalar.codes.len() == n_contexts * scalar.edges.len(), "sums")?;
        let n_angles = scalar.edges.len() * scalar.code_bins.len();
        let wanted = if direction.is_some() { n_angles } else { 0 };
        sound(scalar.angles.len() == wanted, "directions of sums")?;
        let max = column.spec().range.map_or(0, |(_, max)| max);
        let codes = scalar.codes.iter().all(|codes| {
            let end = i64::from(codes.first) + codes.weights.len() as i64;
            codes.is_sound() && codes.first >= 0 && end <= max + 1
        });
        let turn = super::angles::TURN;
        let angles = scalar.angles.iter().all(|angles| {
            let end = i64::from(angles.first) + angles.weights.len() as i64;
            angles.is_sound() && angles.first >= -turn && end <= i64::from(turn)
        });
        sound(codes && angles, "sums")
    }
}

fn check_extra(extra: &ExtraModel) -> Result<(), GenerateError> {
    let column = column_of(&extra.column)?;
    let small = matches!(column.spec().dtype, Dtype::U8 | Dtype::I16);
    let of_objects = Collection::OBJECTS.contains(&column.spec().collection);
    if let Some(base) = extra.base.as_deref().map(column_of).transpose()? {
        let fits =
            base.spec().dtype == Dtype::I16 && base.spec().collection == column.spec().collection;
        sound(fits, "what a column is relative to")?;
    }
    sound(small && of_objects && column.spec().range.is_some(), "other columns")?;
    sound(extra.values.is_sound(), "other columns")
}

/// Codes of a full turn of a kind of objects.
pub(super) fn phi_codes(collection: Collection) -> i32 {
    super::angles::TURN * finer(collection)
}

/// How many codes of eta or phi of a kind of objects are one of the calorimeter.
pub(super) fn finer(collection: Collection) -> i32 {
    if collection == Collection::Muon { 4 } else { 1 }
}

/// Eta codes of jets that an object of a kind may be in, if its own are within a range.
pub(super) fn jet_etas([low, high]: [i16; 2], collection: Collection) -> Range<i16> {
    let finer = finer(collection) as i16;
    -(-low).div_euclid(finer)..high.div_euclid(finer) + 1
}

/// Smallest and largest eta code of a kind of objects.
fn eta_range(collection: Collection) -> (i32, i32) {
    let range = collection.kinematics().and_then(|[_, eta, _]| eta.spec().range);
    range.map_or((0, 0), |(min, max)| (min as i32, max as i32))
}

pub(super) fn column_of(name: &str) -> Result<Column, GenerateError> {
    Column::from_name(name).ok_or_else(|| unsound("name of a column"))
}

fn are_edges(edges: &[u16]) -> bool {
    let ascend = edges.windows(2).all(|pair| pair[0] < pair[1]);
    let few = edges.len() <= BINS_MAX && edges.iter().all(|&edge| usize::from(edge) < SUM_CODES);
    edges.first() == Some(&0) && ascend && few
}

fn unsound(what: &'static str) -> GenerateError {
    GenerateError::Unsound { what }
}

fn sound(holds: bool, what: &'static str) -> Result<(), GenerateError> {
    if holds { Ok(()) } else { Err(unsound(what)) }
}
