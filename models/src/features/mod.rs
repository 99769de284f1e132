//! From an event to a row of integers: the only place where physics becomes numbers.
//!
//! A [`FeatureSpec`] is an ordered list of features. Each is one entry of one column of the event
//! model (for objects: of the object with a given rank in pT), possibly divided by a power of two,
//! or a constant zero. Objects that an event does not have are zero. Three layouts have names,
//! others are spelled out; the syntax is described at [`FeatureSpec::parse`]:
//!
//! | name | contents |
//! |---|---|
//! | `l1-57` | MET, 4 e/gammas, 4 muons, 10 jets, each pT, eta, phi: hardware integers as they are (muon pT codes with their offset of 1); MET has no eta: 0 |
//! | `axol1tl` | the same with every pT halved, rounded down, as the firmware does |
//! | `thesis-99` | MET, 12 e/gammas, 8 muons, 12 jets; `:muon-units=calo` gives muon eta and phi in calorimeter codes |
//!
//! A [`FillPlan`] is a specification made ready to fill rows. Labels, truth and scores are no
//! features, and nothing here scales or normalises: models that need it bring their own numbers.

mod fill;
mod syntax;

use std::fmt;
use std::ops::RangeInclusive;

use scout40_replay::event::{Collection, Column, ColumnSet, Dtype};
use scout40_replay::units::CALO_PHI_CODES;

use crate::error::{Error, Result};
pub use fill::FillPlan;

/// Most features in a row.
pub const MAX_FEATURES: usize = 1024;

/// What is done to a hardware integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// Nothing.
    Identity,
    /// Divided by two, rounded down.
    Halve,
    /// Divided by four, rounded to the nearest, halves away from zero: muon eta in calorimeter
    /// codes, since 0.0435 / 0.010875 = 4.
    Quarter,
    /// The same, and a full turn of 144 is 0: muon phi in calorimeter codes, since 576 / 144 = 4.
    QuarterTurn,
}

impl Transform {
    /// The transformed value; never decreases within a turn.
    #[must_use]
    #[inline]
    pub fn apply(self, x: i16) -> i16 {
        let quarter = |x: i16| ((i32::from(x) + 2 + i32::from(x >> 15)) >> 2) as i16;
        match self {
            Transform::Identity => x,
            Transform::Halve => x >> 1,
            Transform::Quarter => quarter(x),
            Transform::QuarterTurn => {
                let code = quarter(x);
                if i64::from(code) == CALO_PHI_CODES { 0 } else { code }
            }
        }
    }

    /// The same for a code that may need more than 16 bits; its transformed value does not.
    #[must_use]
    pub(crate) fn apply_wide(self, x: i32) -> i16 {
        match self {
            Transform::Halve => (x >> 1) as i16,
            Transform::Quarter => ((x + 2 + (x >> 31)) >> 2) as i16,
            Transform::Identity | Transform::QuarterTurn => self.apply(x as i16),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Transform::Identity => "",
            Transform::Halve => "_half",
            Transform::Quarter | Transform::QuarterTurn => "_quarter",
        }
    }
}

/// One number of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Always zero.
    Zero,
    /// An entry of a column.
    Value {
        /// Which column.
        column: Column,
        /// Rank of the object, from 0; 0 for columns with one entry per crossing.
        index: u8,
        /// What is done to it.
        transform: Transform,
    },
}

impl Feature {
    /// Checks what no text can get past [`FeatureSpec::parse`], for what comes from files.
    pub(crate) fn new(
        column: Column,
        index: u8,
        transform: Transform,
    ) -> std::result::Result<Feature, String> {
        let spec = column.spec();
        if is_wide(column) && !matches!(transform, Transform::Halve | Transform::Quarter) {
            return Err(format!(
                "`{}` does not fit 16 bits: expected it divided by 2 or 4, found it whole \
                 (`{}` does fit)",
                spec.name,
                features_of(ColumnSet::EMPTY.with(column))
            ));
        }
        if !is_usable(column) && !is_wide(column) {
            return Err(format!(
                "`{}` is no feature: expected a quantity of the event within 16 bits, one of {}",
                spec.name,
                syntax::usable_names()
            ));
        }
        let capacity = spec.collection.capacity();
        if usize::from(index) >= capacity {
            return Err(format!(
                "`{}` has entries 0 to {}, found {index}",
                spec.name,
                capacity - 1
            ));
        }
        Ok(Feature::Value { column, index, transform })
    }

    /// Every value that it can have, given that the events are valid.
    #[must_use]
    pub fn range(self) -> RangeInclusive<i16> {
        let Feature::Value { column, transform, .. } = self else {
            return 0..=0;
        };
        let spec = column.spec();
        let (min, max) = spec.range.unwrap_or((i16::MIN.into(), i16::MAX.into()));
        let (min, max) = (transform.apply_wide(min as i32), transform.apply_wide(max as i32));
        match (transform, spec.collection) {
            (Transform::QuarterTurn, _) => 0..=CALO_PHI_CODES as i16 - 1,
            (_, Collection::Crossing) => min..=max,
            _ => min.min(0)..=max.max(0),
        }
    }

    fn name(self, place: usize) -> String {
        let Feature::Value { column, index, transform } = self else {
            return format!("zero{place}");
        };
        let spec = column.spec();
        match spec.name.strip_prefix(spec.collection.name()) {
            Some(rest) => format!("{}{index}{rest}{}", spec.collection.name(), transform.suffix()),
            None => format!("{}{}", spec.name, transform.suffix()),
        }
    }
}

/// Whether a column is a quantity of the event that fits 16 bits.
fn is_usable(column: Column) -> bool {
    let spec = column.spec();
    spec.range.is_some() && matches!(spec.dtype, Dtype::U8 | Dtype::I16)
}

/// Whether a column is a quantity of the event that fits 16 bits once it is halved.
fn is_wide(column: Column) -> bool {
    let spec = column.spec();
    let fits = |(min, max): (i64, i64)| min >= -0x1_0000 && max < 0x1_0000;
    spec.dtype == Dtype::I32 && spec.range.is_some_and(fits)
}

/// What can be features of events with these columns, as a specification writes it.
///
/// # Examples
/// ```
/// use scout40_models::features_of;
/// use scout40_replay::event::{Column, Group};
/// let columns = Group::TrackMuon.columns().with(Column::MetPt);
/// assert_eq!(features_of(columns), "met_pt, track_muon[0..170].(pt/2,eta,phi)");
/// ```
#[must_use]
pub fn features_of(columns: ColumnSet) -> String {
    let mut texts = Vec::new();
    let can_be = |column: &Column| is_usable(*column) || is_wide(*column);
    let of = |collection: Collection| {
        columns.iter().filter(can_be).filter(move |c| c.spec().collection == collection)
    };
    texts.extend(of(Collection::Crossing).map(|column| column.spec().name.to_owned()));
    for collection in Collection::ALL_OBJECTS {
        let field = |column: Column| {
            let field = &column.spec().name[collection.name().len() + 1..];
            format!("{field}{}", if is_wide(column) { "/2" } else { "" })
        };
        let fields: Vec<String> = of(collection).map(field).collect();
        if !fields.is_empty() {
            let (name, capacity) = (collection.name(), collection.capacity().min(255));
            texts.push(format!("{name}[0..{capacity}].({})", fields.join(",")));
        }
    }
    texts.join(", ")
}

/// What the rows of a model consist of. Two specifications are equal if they give equal rows,
/// whatever text they were made from.
#[derive(Clone, Debug)]
pub struct FeatureSpec {
    text: String,
    features: Vec<Feature>,
}

impl PartialEq for FeatureSpec {
    fn eq(&self, other: &FeatureSpec) -> bool {
        self.features == other.features
    }
}

impl Eq for FeatureSpec {}

impl fmt::Display for FeatureSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FeatureSpec {
    /// Reads a specification: the name of a layout, or features separated by commas.
    ///
    /// ```text
    /// spec    = layout | item { "," item }
    /// layout  = "l1-57" | "axol1tl" | "thesis-99" [ ":muon-units=" ( "calo" | "hw" ) ]
    /// item    = "zero" | name value | object "[" index "]" value
    /// value   = "." field | "." "(" field { "," field } ")"
    /// field   = name [ "/2" | "/4" ]          of the columns of the event model:
    /// index   = number | number ".." number   `jet` and `pt` make `jet_pt`; the end is excluded
    /// ```
    ///
    /// Objects are those of Run 3 (`muon`, `egamma`, `jet`, `tau`) and of streams that have them
    /// `puppi`, `track_muon` and `stub`. pT of a track muon has to be divided, so that it fits.
    ///
    /// `/2` rounds down, `/4` to the nearest. Several objects with several fields go object by
    /// object: `jet[0..2].(pt,eta)` is `jet0_pt, jet0_eta, jet1_pt, jet1_eta`.
    ///
    /// # Errors
    /// The first thing that is not understood, where it is, and what exists instead.
    ///
    /// # Examples
    /// ```
    /// use scout40_models::FeatureSpec;
    /// let spec = FeatureSpec::parse("met.pt, jet[0..2].(pt,eta), muon[0].qual, jet.n, ht.pt/2")?;
    /// assert_eq!(spec.names()[1..4], ["jet0_pt", "jet0_eta", "jet1_pt"]);
    /// assert_eq!(FeatureSpec::parse("l1-57")?.len(), 57);
    /// # Ok::<(), scout40_models::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<FeatureSpec> {
        let features = syntax::parse(text)?;
        Ok(FeatureSpec { text: text.trim().to_owned(), features })
    }

    /// A specification as it stands in a model file.
    pub(crate) fn from_parts(text: String, features: Vec<Feature>) -> FeatureSpec {
        FeatureSpec { text, features }
    }

    /// The features in order.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Number of features.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there is none: never, for a specification that was parsed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// A name for each feature, such as `jet0_pt`, `ht_pt_half`, and `zero1` for a constant.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.features.iter().enumerate().map(|(place, feature)| feature.name(place)).collect()
    }

    /// The columns that the features are made of.
    #[must_use]
    pub fn columns(&self) -> ColumnSet {
        let column = |feature: &Feature| match *feature {
            Feature::Zero => None,
            Feature::Value { column, .. } => Some(column),
        };
        self.features.iter().filter_map(column).collect()
    }

    /// Checks that events with these columns have what the features need.
    ///
    /// # Errors
    /// Names the columns that are missing.
    pub fn check(&self, columns: ColumnSet) -> Result<()> {
        let missing = self.columns().minus(columns);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::MissingColumns { missing: missing.names(), found: features_of(columns) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartered_codes_are_the_nearest_and_wrap_at_a_full_turn() {
        for x in i16::MIN..=i16::MAX {
            let nearest = (f64::from(x) / 4.0).round() as i16;
            assert_eq!(Transform::Quarter.apply(x), nearest, "{x}");
            assert_eq!(Transform::Halve.apply(x), (f64::from(x) / 2.0).floor() as i16, "{x}");
            for transform in [Transform::Identity, Transform::Halve, Transform::Quarter] {
                assert_eq!(transform.apply_wide(x.into()), transform.apply(x), "{x}");
            }
        }
        for phi in 0..576 {
            let nearest = (f64::from(phi) / 4.0).round() as i16 % 144;
            assert_eq!(Transform::QuarterTurn.apply(phi), nearest, "{phi}");
        }
    }

    #[test]
    fn muons_in_calorimeter_units_point_where_they_pointed() {
        use scout40_replay::units;
        for eta in (-255..=255).filter(|eta| eta % 4 != 2 && eta % 4 != -2) {
            let expected = units::calo_hw_from_eta(units::muon_eta_from_hw(eta));
            assert_eq!(Transform::Quarter.apply(eta), expected, "eta {eta}");
        }
        for phi in (0..576).filter(|phi| phi % 4 != 2) {
            let expected = units::calo_hw_from_phi_rad(units::muon_phi_rad_from_hw(phi));
            assert_eq!(Transform::QuarterTurn.apply(phi), expected, "phi {phi}");
        }
    }

    #[test]
    fn ranges_hold_every_transformed_code_and_the_zero_of_missing_objects() {
        let spec =
            FeatureSpec::parse("thesis-99:muon-units=calo, axol1tl".split(',').next().unwrap());
        for &feature in spec.unwrap().features() {
            let Feature::Value { column, transform, .. } = feature else { continue };
            let (min, max) = column.spec().range.unwrap();
            let range = feature.range();
            assert!(range.contains(&0));
            for x in min..=max {
                assert!(range.contains(&transform.apply(x as i16)), "{} {x}", column.spec().name);
            }
        }
        let range = |text: &str| FeatureSpec::parse(text).unwrap().features()[0].range();
        assert_eq!(range("muon[0].eta/4"), -64..=64);
        assert_eq!(range("muon[0].phi/4"), 0..=143);
        assert_eq!(range("jet[0].pt/2"), 0..=1023);
        assert_eq!(range("zero"), 0..=0);
    }

    #[test]
    fn specifications_are_equal_if_their_rows_are() {
        let spelled = "met.pt, zero, met.phi, egamma[0..4].(pt,eta,phi), \
                       muon[0..4].(pt,eta,phi), jet[0..10].(pt,eta,phi)";
        let spelled = FeatureSpec::parse(spelled).unwrap();
        assert_eq!(spelled, FeatureSpec::parse("l1-57").unwrap());
        assert_ne!(spelled, FeatureSpec::parse("axol1tl").unwrap());
    }

    #[test]
    fn missing_columns_are_named() {
        let spec = FeatureSpec::parse("met.pt, muon[0].qual").unwrap();
        spec.check(ColumnSet::ALL).unwrap();
        let error = spec.check(ColumnSet::skeleton().with(Column::MetPt)).unwrap_err();
        assert!(error.to_string().contains("muon_qual"), "{error}");
        let text = error.to_string();
        let (missing, found) = text.split_once("features of").unwrap();
        assert!(!missing.contains("met_pt") && found.contains("met_pt"), "{error}");
    }
}
