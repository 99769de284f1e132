//! From a row of integers to a score: scaled inputs, a network of fixed-point numbers, a loss.
//!
//! ```text
//! i16 → unscaled − offset → unscaled >> shift → input → network → loss → score = loss × 2^score_bits
//! ```
//!
//! Every arrow is a cast into a type of the source. A shift keeps its operand's type, so it drops bits
//! before the cast into the input type rounds. This is the specification, number by number; what is
//! faster is [`Program`](super::program::Program).

use std::fmt;

use super::network::Network;
use crate::error::{Error, Result};
use crate::fixed::{Exact, Fixed, Format};
use crate::rows::Rows;
use crate::scorer::Score;

/// Bits of a score without its sign.
const MAX_SCORE_BITS: i32 = 30;

/// What of the network's output is the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The sum of the squares of all outputs.
    SumOfSquares,
    /// The only output itself.
    Output,
}

/// Where a network came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The emulator of the CMS Global Trigger, this version of it.
    Axol1tl {
        /// 1, 3, 4 or 5, and what has the same form.
        version: u32,
    },
    /// A project that hls4ml wrote.
    Project,
}

/// How the integers of a row become the inputs of the network. **Shape**: one of each for an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// What integers and differences are cast to.
    pub unscaled: Format,
    /// What is subtracted.
    pub offsets: Vec<Fixed>,
    /// Bits to shift to the right; to the left, if negative.
    pub shifts: Vec<i32>,
}

impl Scaling {
    /// Integers are assigned to the inputs as they are.
    ///
    /// # Panics
    /// Never: there is a format of 16 bits.
    #[must_use]
    pub fn none(n_inputs: usize) -> Scaling {
        let unscaled = Format::new(true, 16, 16).expect("a format");
        Scaling { unscaled, offsets: vec![unscaled.zero(); n_inputs], shifts: vec![0; n_inputs] }
    }
}

/// A network that scores rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detector {
    pub(super) origin: Origin,
    pub(super) scaling: Scaling,
    pub(super) network: Network,
    pub(super) loss: Loss,
    pub(super) loss_format: Format,
    pub(super) score_bits: i32,
}

impl Detector {
    /// What scores with this network.
    ///
    /// # Errors
    /// If scaling and network do not fit, or scores would not be integers of at most 30 bits.
    pub fn new(
        origin: Origin,
        scaling: Scaling,
        network: Network,
        (loss, loss_format): (Loss, Format),
        score_bits: i32,
    ) -> Result<Detector> {
        let fail =
            |what, expected: String, found: String| Err(Error::network(what, expected, found));
        let n_inputs = network.input().length;
        for (what, found) in
            [("offsets", scaling.offsets.len()), ("shifts of inputs", scaling.shifts.len())]
        {
            if found != n_inputs {
                return fail(what, n_inputs.to_string(), found.to_string());
            }
        }
        let n_outputs = network.output().length;
        if loss == Loss::Output && n_outputs != 1 {
            return fail("outputs", "one that is the loss".into(), n_outputs.to_string());
        }
        let fits = (0..=MAX_SCORE_BITS).contains(&score_bits)
            && loss_format.fraction_bits() <= score_bits
            && loss_format.integer_bits() + score_bits <= MAX_SCORE_BITS;
        if !fits {
            let factor = 2_f64.powi(score_bits);
            let expected =
                format!("one whose {factor}-fold is an integer of at most {MAX_SCORE_BITS} bits");
            return fail("loss", expected, loss_format.to_string());
        }
        Ok(Detector { origin, scaling, network, loss, loss_format, score_bits })
    }

    /// A network of hls4ml whose inputs are integers of a row as they are, and whose loss is its only
    /// output, or the sum of the squares of several: exact, or each square rounded down to what a score
    /// of 30 bits leaves room for.
    ///
    /// # Errors
    /// If scores would not be integers of at most 30 bits.
    pub fn of_project(network: Network) -> Result<Detector> {
        let output = network.output();
        let (loss, format) = match output.length {
            1 => (Loss::Output, output.format),
            n => {
                let room = n.next_power_of_two().trailing_zeros();
                let integer_bits = 2 * output.format.integer_bits() + room as i32;
                // Bits below those that a score can have are dropped from each square.
                let fraction_bits =
                    (2 * output.format.fraction_bits()).min(MAX_SCORE_BITS - integer_bits);
                let width = (integer_bits + fraction_bits).max(0).unsigned_abs();
                let format = Format::new(false, width, integer_bits).map_err(|expected| {
                    let found = format!("{n} outputs of {}", output.format);
                    Error::network("sum of squares", expected, found)
                })?;
                (Loss::SumOfSquares, format)
            }
        };
        let score_bits = format.fraction_bits().max(0);
        let scaling = Scaling::none(network.input().length);
        Detector::new(Origin::Project, scaling, network, (loss, format), score_bits)
    }

    /// Where it came from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The network between scaled inputs and loss.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// How the integers of a row become inputs.
    #[must_use]
    pub fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// Values that it expects in a row.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.network.input().length
    }

    /// The score is the loss times 2 to this power.
    #[must_use]
    pub fn score_bits(&self) -> u32 {
        self.score_bits.unsigned_abs()
    }

    /// The input of the network that comes of a value.
    #[must_use]
    pub fn scaled_value(&self, input: usize, value: i16) -> Fixed {
        let Scaling { unscaled, offsets, shifts } = &self.scaling;
        let value = unscaled.cast(Exact::integer(value.into()));
        let difference = unscaled.cast(value.minus(offsets[input]));
        self.network.input().format.cast(difference.shifted_right(shifts[input]).exact())
    }

    /// The inputs of the network. **Shape**: [`Detector::n_features`].
    ///
    /// # Panics
    /// If the row has another length.
    #[must_use]
    pub fn scaled(&self, row: &[i16]) -> Vec<Fixed> {
        assert_eq!(row.len(), self.n_features(), "values in a row");
        row.iter().enumerate().map(|(k, &value)| self.scaled_value(k, value)).collect()
    }

    /// The score of one row: of the trigger's, the loss times 16, as the trigger has it.
    ///
    /// The specification of all that is faster.
    ///
    /// # Panics
    /// If the row has not [`Detector::n_features`] values.
    #[must_use]
    pub fn score(&self, row: &[i16]) -> Score {
        assert_eq!(row.len(), self.n_features(), "values in a row");
        self.score_of(|feature| row[feature], &mut self.network.zeros())
    }

    /// The same in memory that [`Network::zeros`] made. **Real-time**: allocates nothing.
    pub(super) fn score_of(
        &self,
        value: impl Fn(usize) -> i16,
        values: &mut [Vec<Fixed>],
    ) -> Score {
        for (feature, x) in values[0].iter_mut().enumerate() {
            *x = self.scaled_value(feature, value(feature));
        }
        self.network.fill(values);
        let outputs = &values[self.network.output];
        let loss = match self.loss {
            Loss::Output => self.loss_format.cast(outputs[0].exact()),
            Loss::SumOfSquares => sum_of_squares(outputs, self.loss_format),
        };
        // `new` has seen that this fits.
        (loss.code() << (self.score_bits - self.loss_format.fraction_bits())) as Score
    }

    /// The scores of a batch. **Shape**: `out` has `rows.n_events()` entries.
    ///
    /// # Panics
    /// If the rows are not of [`Detector::n_features`], or `out` has another length.
    pub fn score_rows(&self, rows: Rows<'_>, out: &mut [Score]) {
        let mut values = self.network.zeros();
        self.score_rows_in(rows, &mut values, out);
    }

    /// The same in memory that [`Network::zeros`] made. **Real-time**: allocates nothing.
    pub(super) fn score_rows_in(
        &self,
        rows: Rows<'_>,
        values: &mut [Vec<Fixed>],
        out: &mut [Score],
    ) {
        assert_eq!(rows.n_features(), self.n_features(), "rows of another specification");
        assert_eq!(rows.n_events(), out.len(), "one score per event");
        for (event, score) in out.iter_mut().enumerate() {
            *score = self.score_of(|feature| rows.column(feature)[event], values);
        }
    }

    /// Smallest and largest score that there can be.
    #[must_use]
    pub fn range(&self) -> (Score, Score) {
        let shift = self.score_bits - self.loss_format.fraction_bits();
        let (low, high) = self.loss_format.codes();
        ((low << shift) as Score, (high << shift) as Score)
    }

    /// Inputs that change no score.
    #[must_use]
    pub fn n_unused_features(&self) -> usize {
        self.network.used(0).iter().filter(|used| !**used).count()
    }
}

/// The sum of the squares as `nnet::reduce` has it: halves first, of which the left one is a power of
/// two.
fn sum_of_squares(values: &[Fixed], format: Format) -> Fixed {
    match values {
        [one] => format.cast(one.times(*one)),
        several => {
            let (left, right) = several.split_at(several.len().next_power_of_two() / 2);
            format.cast(sum_of_squares(left, format).plus(sum_of_squares(right, format)))
        }
    }
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loss = match self.loss {
            Loss::Output => "the output",
            Loss::SumOfSquares => "the sum of squares",
        };
        match self.origin {
            Origin::Axol1tl { version } => writeln!(
                f,
                "AXOL1TL v{version}, offsets {}, differences {}",
                self.scaling.offsets[0].format(),
                self.scaling.unscaled
            )?,
            Origin::Project => writeln!(f, "hls4ml project, integers as inputs")?,
        }
        write!(f, "{}\nloss: {loss} as {}", self.network, self.loss_format)
    }
}
