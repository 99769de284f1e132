//! What training keeps of a stream: how its values become codes, and the codes.
//!
//! The stream is read twice. First a [`Calibration`] counts how often the values of falling
//! features occur (transverse momenta, multiplicities) and chooses the power of two that brings
//! their bulk below 128 codes. Then a [`CodeRows`] keeps every row as one byte per feature.

use std::collections::BTreeMap;

use scout40_replay::event::{Block, Collection};
use xxhash_rust::xxh3::Xxh3;

use crate::autoencoder::float::{InputScale, SHIFTS};
use crate::error::{Error, Result};
use crate::features::{Feature, FeatureSpec, FillPlan};
use crate::rows::{MAX_BATCH, RowBuffer};

/// Codes that the bulk of a falling feature stays below.
pub const BULK_CODES: i32 = 128;
/// Part of the events whose leading object may lie beyond.
pub const BEYOND_BULK: f64 = 1e-4;
/// Code of 0 for features with a sign.
const MIDDLE: i32 = 128;
const N_VALUES: usize = 1 << 16;

/// Hands the rows of a block to `each`, up to [`MAX_BATCH`] at a time.
fn each_batch(
    plan: &FillPlan,
    buffer: &mut RowBuffer,
    block: &Block,
    each: &mut dyn FnMut(&RowBuffer, usize),
) {
    for start in (0..block.len()).step_by(MAX_BATCH) {
        let n = (block.len() - start).min(MAX_BATCH);
        plan.fill(block, start..start + n, buffer, 0);
        buffer.set_len(n);
        each(buffer, n);
    }
}

/// The features of one quantity, whatever the rank of the object: one shift for all of them.
#[derive(Clone, Debug)]
struct Quantity {
    /// Name of its collection, or of the column of a quantity of the crossing up to `_`.
    name: String,
    /// Of the object with the highest pT among the features.
    leading: usize,
    features: Vec<usize>,
    /// Events by value of the leading object, counted from `i16::MIN`.
    counts: Vec<u64>,
}

/// Chooses the scale of every feature.
///
/// * Falling features (all but the next) keep 0 as code 0. Their shift is the smallest that brings
///   the quantile 1 − [`BEYOND_BULK`] of the leading object below [`BULK_CODES`]; objects of lower
///   rank share it, so that equal momenta have equal codes.
/// * Features with a sign or a turn (eta, phi) have 0 in the middle, at code 128, and the smallest
///   shift with which their range fits a byte.
#[derive(Clone, Debug)]
pub struct Calibration {
    spec: FeatureSpec,
    plan: FillPlan,
    buffer: RowBuffer,
    quantities: Vec<Quantity>,
    /// Rows still to be counted.
    n_left: u64,
}

impl Calibration {
    /// Nothing counted yet; of the rows that come, only the first `n_rows` will be.
    #[must_use]
    pub fn new(spec: &FeatureSpec, n_rows: u64) -> Calibration {
        let mut quantities: BTreeMap<(&str, String), Quantity> = BTreeMap::new();
        let mut leading_rank: BTreeMap<(&str, String), u8> = BTreeMap::new();
        for (place, &feature) in spec.features().iter().enumerate() {
            let Feature::Value { column, index, transform } = feature else { continue };
            if is_centred(feature) {
                continue;
            }
            let key = (column.spec().name, format!("{transform:?}"));
            let quantity = quantities.entry(key.clone()).or_insert_with(|| Quantity {
                name: quantity_name(feature),
                leading: place,
                features: Vec::new(),
                counts: vec![0; N_VALUES],
            });
            quantity.features.push(place);
            let rank = leading_rank.entry(key).or_insert(index);
            if index < *rank {
                (*rank, quantity.leading) = (index, place);
            }
        }
        Calibration {
            plan: FillPlan::new(spec),
            buffer: RowBuffer::new(spec.len()),
            spec: spec.clone(),
            quantities: quantities.into_values().collect(),
            n_left: n_rows,
        }
    }

    /// Counts the values of the next block.
    ///
    /// # Errors
    /// If the block lacks columns of the features.
    pub fn collect(&mut self, block: &Block) -> Result<()> {
        self.spec.check(block.columns())?;
        let (quantities, n_left) = (&mut self.quantities, &mut self.n_left);
        each_batch(&self.plan, &mut self.buffer, block, &mut |rows, n| {
            let n = (n as u64).min(*n_left) as usize;
            for quantity in quantities.iter_mut() {
                for &x in &rows.column(quantity.leading)[..n] {
                    quantity.counts[(i32::from(x) - i32::from(i16::MIN)) as usize] += 1;
                }
            }
            *n_left -= n as u64;
        });
        Ok(())
    }

    /// The scale of every feature, in order. `given` overrides shifts of falling features by the
    /// name of their collection, or what stands before `_` in the name of a quantity of the
    /// crossing: `("met", 1)`, `("jet", 2)`.
    ///
    /// # Errors
    /// If a name is none of a falling feature, or a shift cannot be.
    pub fn scales(&self, given: &[(String, i8)]) -> Result<Vec<InputScale>> {
        for (name, shift) in given {
            if !SHIFTS.contains(shift) {
                return Err(Error::setting("shift of an input", format!("{SHIFTS:?}"), shift));
            }
            if !self.quantities.iter().any(|quantity| quantity.name == *name) {
                let mut names: Vec<&str> =
                    self.quantities.iter().map(|quantity| quantity.name.as_str()).collect();
                names.dedup();
                let expected = format!("one of {}", names.join(", "));
                return Err(Error::setting("shift of an input", expected, name));
            }
        }
        let mut scales: Vec<InputScale> =
            self.spec.features().iter().map(|&feature| centred(feature)).collect();
        for quantity in &self.quantities {
            let given = given.iter().find(|(name, _)| *name == quantity.name);
            let shift = given.map_or_else(|| bulk_shift(&quantity.counts), |&(_, shift)| shift);
            for &feature in &quantity.features {
                scales[feature] = InputScale { offset: 0, shift };
            }
        }
        Ok(scales)
    }
}

fn quantity_name(feature: Feature) -> String {
    let Feature::Value { column, .. } = feature else { return "zero".to_owned() };
    let spec = column.spec();
    match spec.collection {
        Collection::Crossing => spec.name.split('_').next().unwrap_or(spec.name).to_owned(),
        objects => objects.name().to_owned(),
    }
}

fn is_centred(feature: Feature) -> bool {
    let Feature::Value { column, .. } = feature else { return false };
    let name = column.spec().name;
    name.ends_with("eta") || name.ends_with("phi") || *feature.range().start() < 0
}

/// Zero in the middle, the whole range within a byte.
fn centred(feature: Feature) -> InputScale {
    if !is_centred(feature) {
        return InputScale::default();
    }
    let range = feature.range();
    let (min, max) = (i32::from(*range.start()), i32::from(*range.end()));
    let fits = |shift: &i32| min >> shift >= -MIDDLE && max >> shift < 256 - MIDDLE;
    let shift = (0..=8).find(fits).unwrap_or(8);
    InputScale { offset: (-(MIDDLE << shift)).max(i16::MIN.into()) as i16, shift: shift as i8 }
}

/// The smallest shift that leaves only a part of [`BEYOND_BULK`] at [`BULK_CODES`] or above.
fn bulk_shift(counts: &[u64]) -> i8 {
    let n_rows: u64 = counts.iter().sum();
    let allowed = (n_rows as f64 * BEYOND_BULK) as u64;
    let mut beyond = 0;
    let quantile = counts.iter().rposition(|&n| {
        beyond += n;
        beyond > allowed
    });
    // Values are counted from i16::MIN; falling features have none below 0.
    let quantile = quantile.map_or(0, |place| place as i32 + i32::from(i16::MIN)).max(0);
    if quantile == 0 {
        return 0;
    }
    let code = |shift: i8| if shift < 0 { quantile << -shift } else { quantile >> shift };
    SHIFTS.into_iter().find(|&shift| code(shift) < BULK_CODES).unwrap_or(*SHIFTS.end())
}

/// Rows of a stream as codes.
#[derive(Clone, Debug)]
pub struct CodeRows {
    spec: FeatureSpec,
    plan: FillPlan,
    buffer: RowBuffer,
    scales: Vec<InputScale>,
    n_rows: u64,
    /// **Shape**: `(rows collected, n_features)`, row-major.
    codes: Vec<u8>,
}

impl CodeRows {
    /// Nothing collected yet of a stream, or a part of one, with `n_rows` rows.
    ///
    /// # Errors
    /// If there is not one scale for every feature.
    pub fn new(spec: &FeatureSpec, scales: Vec<InputScale>, n_rows: u64) -> Result<CodeRows> {
        if scales.len() != spec.len() {
            return Err(Error::setting("scales of inputs", spec.len().to_string(), scales.len()));
        }
        Ok(CodeRows {
            plan: FillPlan::new(spec),
            buffer: RowBuffer::new(spec.len()),
            spec: spec.clone(),
            scales,
            n_rows,
            codes: Vec::new(),
        })
    }

    /// Keeps the rows of the next block.
    ///
    /// # Errors
    /// If the block lacks columns of the features.
    pub fn collect(&mut self, block: &Block) -> Result<()> {
        self.spec.check(block.columns())?;
        let (codes, scales, width) = (&mut self.codes, &self.scales, self.spec.len());
        each_batch(&self.plan, &mut self.buffer, block, &mut |rows, n| {
            let start = codes.len();
            codes.resize(start + n * width, 0);
            for (feature, scale) in scales.iter().enumerate() {
                let to = codes[start + feature..].iter_mut().step_by(width);
                to.zip(&rows.column(feature)[..n]).for_each(|(code, &x)| *code = scale.code(x));
            }
        });
        Ok(())
    }

    /// How values became codes. **Shape**: `n_features`.
    #[must_use]
    pub fn scales(&self) -> &[InputScale] {
        &self.scales
    }

    /// At most `n` rows, evenly from the first `of`, as values that have the codes of the stream:
    /// what a network sees of them is the same. **Shape**: `(rows, n_features)`, row-major.
    #[must_use]
    pub fn some_rows(&self, n: usize, of: u64) -> Vec<i16> {
        let width = self.spec.len();
        let of = (of as usize).min(self.codes.len() / width);
        let every = of.div_ceil(n.max(1)).max(1);
        let rows = self.codes.chunks_exact(width).take(of).step_by(every);
        let value = |(&code, scale): (&u8, &InputScale)| {
            let (code, shift) = (i32::from(code), scale.shift);
            // Rounded up: the highest code, which has no value of its own, stays the highest.
            let above =
                if shift < 0 { (code + (1 << -shift) - 1) >> -shift } else { code << shift };
            (i32::from(scale.offset) + above).clamp(i16::MIN.into(), i16::MAX.into()) as i16
        };
        rows.flat_map(|row| row.iter().zip(&self.scales).map(value)).collect()
    }

    /// Width of a row.
    pub(super) fn n_features(&self) -> usize {
        self.spec.len()
    }

    /// The codes, once all are there. **Shape**: `(n_rows, n_features)`, row-major.
    pub(super) fn codes(&self) -> Result<&[u8]> {
        let found = (self.codes.len() / self.spec.len()) as u64;
        if found != self.n_rows {
            return Err(Error::RowCount { expected: self.n_rows, found });
        }
        let constant = match self.codes.chunks_exact(self.spec.len()).next() {
            Some(first) => self.codes.chunks_exact(first.len()).all(|row| row == first),
            None => false,
        };
        if constant {
            let n_rows = self.n_rows as usize;
            return Err(Error::Constant { n_features: self.spec.len(), n_rows });
        }
        Ok(&self.codes)
    }

    /// Checksum of codes and scales: whether a checkpoint belongs to them.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for scale in &self.scales {
            hasher.update(&scale.offset.to_le_bytes());
            hasher.update(&scale.shift.to_le_bytes());
        }
        hasher.update(&self.codes);
        hasher.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{l1_block, met_block, part_of};

    #[test]
    fn the_bulk_of_the_leading_object_decides_the_shift_of_all_ranks() {
        // Of 17 821 events one may lie beyond, and one does; 3563 >> 5 = 111.
        let spec = FeatureSpec::parse("met.pt").unwrap();
        let mut calibration = Calibration::new(&spec, u64::MAX);
        (0..5).for_each(|_| calibration.collect(&met_block(0..3564)).unwrap());
        calibration.collect(&met_block(4000..4001)).unwrap();
        assert_eq!(calibration.scales(&[]).unwrap(), [InputScale { offset: 0, shift: 5 }]);
        // Of the first 200 rows none may lie beyond: 199 is too large for 128 codes.
        let mut calibration = Calibration::new(&spec, 200);
        calibration.collect(&met_block(0..3564)).unwrap();
        assert_eq!(calibration.scales(&[]).unwrap()[0].shift, 1);

        let spec = FeatureSpec::parse("jet[1..3].pt, jet[0].pt, muon[0].pt").unwrap();
        let mut calibration = Calibration::new(&spec, u64::MAX);
        calibration.collect(&l1_block(3000, 1)).unwrap();
        let scales = calibration.scales(&[("muon".to_owned(), -2)]).unwrap();
        assert!(scales[..3].iter().all(|&scale| scale == scales[2]), "{scales:?}");
        assert_eq!(scales[3], InputScale { offset: 0, shift: -2 });
    }

    #[test]
    fn shifts_are_the_smallest_with_codes_below_128() {
        let shift = |value: i32| {
            let mut counts = vec![0; N_VALUES];
            counts[(value - i32::from(i16::MIN)) as usize] = 9;
            bulk_shift(&counts)
        };
        assert_eq!(
            [0, 1, 3, 63, 64, 127, 128, 255, 256].map(shift),
            [0, -6, -5, -1, 0, 0, 1, 1, 2]
        );
        assert_eq!(shift(i16::MAX.into()), 8);
        assert_eq!(bulk_shift(&vec![0; N_VALUES]), 0);
    }

    #[test]
    fn angles_have_their_zero_at_code_128_and_fit_a_byte() {
        let spec = FeatureSpec::parse("jet[0].(eta,phi), muon[0].(eta,phi), zero").unwrap();
        let scales = Calibration::new(&spec, 0).scales(&[]).unwrap();
        for (scale, feature) in scales.iter().zip(&spec.features()[..4]) {
            let range = feature.range();
            assert_eq!(scale.code(0), 128);
            assert!(scale.code(*range.start()) < 129 && scale.code(*range.end()) > 190);
            let wide = InputScale { offset: scale.offset, shift: scale.shift };
            let far = i32::from(*range.end()) - i32::from(wide.offset);
            assert!(far >> wide.shift <= 255, "{feature:?} would be clipped");
        }
        assert_eq!(scales[4], InputScale::default());
    }

    #[test]
    fn shifts_of_unknown_quantities_are_refused() {
        let spec = FeatureSpec::parse("l1-57").unwrap();
        let calibration = Calibration::new(&spec, 0);
        let error = calibration.scales(&[("photon".to_owned(), 1)]).unwrap_err().to_string();
        assert!(error.contains("egamma, jet, met, muon") && error.contains("photon"), "{error}");
        let error = calibration.scales(&[("jet".to_owned(), 16)]).unwrap_err().to_string();
        assert!(error.contains("-7..=15"), "{error}");
    }

    #[test]
    fn rows_become_codes_whatever_the_blocks() {
        let spec = FeatureSpec::parse("l1-57").unwrap();
        let block = l1_block(1500, 2);
        let mut calibration = Calibration::new(&spec, 1500);
        calibration.collect(&block).unwrap();
        let scales = calibration.scales(&[]).unwrap();
        let mut whole = CodeRows::new(&spec, scales.clone(), 1500).unwrap();
        whole.collect(&block).unwrap();
        let mut parts = CodeRows::new(&spec, scales.clone(), 1500).unwrap();
        for range in [0..1, 1..1, 1..700, 700..1500] {
            parts.collect(&part_of(&block, range)).unwrap();
        }
        assert_eq!(whole.codes().unwrap(), parts.codes().unwrap());
        assert_eq!(whole.digest(), parts.digest());
        let mut rows = RowBuffer::new(57);
        FillPlan::new(&spec).fill(&block, 901..902, &mut rows, 0);
        rows.set_len(1);
        let codes: Vec<u8> = (0..57).map(|f| scales[f].code(rows.column(f)[0])).collect();
        assert_eq!(whole.codes().unwrap()[901 * 57..][..57], codes);
        let some = whole.some_rows(100, 1000);
        assert_eq!(some.len(), 100 * 57);
        for (k, row) in some.chunks(57).enumerate() {
            let codes: Vec<u8> = row.iter().zip(&scales).map(|(&x, scale)| scale.code(x)).collect();
            assert_eq!(whole.codes().unwrap()[10 * k * 57..][..57], codes);
        }
        assert!(whole.some_rows(0, 0).is_empty());
        let mut short = CodeRows::new(&spec, scales, 1501).unwrap();
        short.collect(&block).unwrap();
        assert!(matches!(short.codes(), Err(Error::RowCount { expected: 1501, found: 1500 })));
    }
}
