//! AXOL1TL, the anomaly detector of the CMS Global Trigger, from a checkout of its public emulator.
//!
//! The checkout (`cms-hls4ml/AXOL1TL`) is the user's to supply: it has no licence, so nothing of it is
//! here. [`Axol1tl::read`] takes one of its folders `AXOL1TL_v1`, `_v3`, `_v4` or `_v5`, without
//! compiling anything:
//!
//! | file | what it says |
//! |---|---|
//! | `NN/defines.h` | types and sizes; the namespace names the version |
//! | `NN/parameters.h`, `NN/weights.h` or `NN/weights/*.h` | layers and weights |
//! | `NN/GTADModel_vN.cpp` | which layer takes what |
//! | `scales.h` | offset and shift of each input |
//! | `GTADModel_emulator_vN.cpp` | how inputs are scaled, and what of the output is the loss |
//!
//! What an event goes through, every arrow a cast into a type of the source:
//!
//! ```text
//! i16 → unscaled − offset → unscaled >> shift → input → network → loss → score = loss × 16
//! ```
//!
//! Three traps. A shift keeps its operand's type, so it drops bits before the cast into the input type
//! rounds. Offsets of type `ap_fixed<10,10>` lose their half. Types without modes truncate and wrap,
//! the accumulators among them. Version 6 has its weights inside generated code and is refused.

use std::path::Path;

use super::declarations::{Cursor, Declarations};
use super::function::network;
use super::network::Network;
use super::project::Headers;
use super::source::{Place, Source, refused};
use crate::error::{Error, Result};
use crate::fixed::{Exact, Fixed, Format};
use crate::rows::Rows;
use crate::scorer::Score;

/// Values in a row of the `axol1tl` features.
pub const N_FEATURES: usize = 57;

/// Fractional bits of a score: the trigger multiplies the loss by 16.
pub const SCORE_BITS: i32 = 4;

/// What of the network's output is the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The sum of the squares of all outputs.
    SumOfSquares,
    /// The only output itself.
    Output,
}

/// The trigger's anomaly detector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axol1tl {
    version: u32,
    unscaled: Format,
    offsets: Vec<Fixed>,
    shifts: Vec<i32>,
    network: Network,
    loss: Loss,
    loss_format: Format,
}

impl Axol1tl {
    /// Reads a folder `AXOL1TL_vN` of a checkout.
    ///
    /// # Errors
    /// If it is not one, if a file is missing, cut or not of the known form, if sizes and types that
    /// are said twice differ, or if numbers are too wide: with file, line and reason.
    pub fn read(folder: &Path) -> Result<Axol1tl> {
        let inner = versions(folder)?;
        if !folder.join("NN").is_dir() {
            let found = match &inner[..] {
                [] => "neither `NN` nor `AXOL1TL_v…`".to_owned(),
                several => format!("{}: name one of them", several.join(", ")),
            };
            return Err(refused(
                folder.display().to_string(),
                "a folder `AXOL1TL_v…` of a checkout",
                found,
            ));
        }
        let headers = Headers::read(folder, "NN/", &["scales.h"])?;
        let declared = headers.declarations()?;
        let version = version(&declared)?;
        let function = Source::read(folder, &format!("NN/GTADModel_v{version}.cpp"))?;
        let network = network(Cursor::new(&function)?.0, &declared)?;
        let emulator = Source::read(folder, &format!("GTADModel_emulator_v{version}.cpp"))?;
        let loss = loss(&emulator)?;
        let detector = Axol1tl::assemble(version, &declared, network, loss)?;
        detector.check()?;
        Ok(detector)
    }

    fn assemble(
        version: u32,
        declared: &Declarations<'_>,
        network: Network,
        loss: Loss,
    ) -> Result<Axol1tl> {
        let array = |name: &str| {
            let array = declared.arrays.get(name);
            let array = array
                .ok_or_else(|| refused("scales.h", format!("elements of `{name}`"), "none"))?;
            if array.values.len() != network.input().length {
                let expected =
                    format!("{} elements of `{name}`, one for each input", network.input().length);
                return Err(array.place.refused(expected, array.values.len().to_string()));
            }
            Ok(array)
        };
        let (offsets, shifts) = (array("ad_offsets")?, array("ad_shift")?);
        if shifts.element.fraction_bits() != 0 {
            return Err(shifts
                .place
                .refused("shifts that are integers", shifts.element.to_string()));
        }
        let named = |name| declared.named_format(name, "NN/defines.h");
        Ok(Axol1tl {
            version,
            unscaled: named("unscaled_t")?,
            offsets: offsets.values.clone(),
            // A code of at most 48 bits may be beyond 32: that many places shift everything out.
            shifts: shifts.values.iter().map(|x| x.code().clamp(-64, 64) as i32).collect(),
            network,
            loss,
            loss_format: named("resultsq_t")?,
        })
    }

    /// What the network's own files do not promise.
    fn check(&self) -> Result<()> {
        let expect = |holds: bool, expected: String, found: String| {
            if holds { Ok(()) } else { Err(refused("NN/defines.h", expected, found)) }
        };
        let (n_inputs, n_outputs) = (self.network.input().length, self.network.output().length);
        let of_inputs = format!("{N_FEATURES} inputs");
        expect(n_inputs == N_FEATURES, of_inputs, n_inputs.to_string())?;
        let one_output = self.loss != Loss::Output || n_outputs == 1;
        expect(one_output, "one output that is the loss".into(), format!("{n_outputs} outputs"))?;
        let format = self.loss_format;
        let integer_bits = format.width() as i32 - format.fraction_bits();
        let fits = format.fraction_bits() <= SCORE_BITS && integer_bits + SCORE_BITS <= 30;
        let expected = "a loss whose 16-fold is an integer of at most 30 bits".into();
        expect(fits, expected, format.to_string())
    }

    /// 1, 3, 4 or 5, and what has the same form.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The network between scaled inputs and loss.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The inputs of the network. **Shape**: [`N_FEATURES`].
    ///
    /// # Panics
    /// If the row has another length.
    #[must_use]
    pub fn scaled(&self, row: &[i16]) -> Vec<Fixed> {
        assert_eq!(row.len(), N_FEATURES, "values in a row");
        let input = self.network.input().format;
        let scales = self.offsets.iter().zip(&self.shifts);
        let scaled = row.iter().zip(scales).map(|(&value, (&offset, &shift))| {
            let value = self.unscaled.cast(Exact::integer(value.into()));
            let difference = self.unscaled.cast(value.minus(offset));
            input.cast(difference.shifted_right(shift).exact())
        });
        scaled.collect()
    }

    /// The score of one row of the features `axol1tl`, as the trigger has it: the loss times 16.
    ///
    /// The specification of all that is faster.
    ///
    /// # Panics
    /// If the row has not [`N_FEATURES`] values.
    #[must_use]
    pub fn score(&self, row: &[i16]) -> Score {
        let outputs = self.network.evaluate(&self.scaled(row));
        let loss = match self.loss {
            Loss::Output => self.loss_format.cast(outputs[0].exact()),
            Loss::SumOfSquares => {
                let squares: Vec<Fixed> =
                    outputs.iter().map(|&x| self.loss_format.cast(x.times(x))).collect();
                balanced_sum(&squares)
            }
        };
        // `check` has seen that this fits.
        (loss.code() << (SCORE_BITS - self.loss_format.fraction_bits())) as Score
    }

    /// The scores of a batch. **Shape**: `out` has `rows.n_events()` entries.
    ///
    /// # Panics
    /// If the rows have not [`N_FEATURES`] features, or `out` another length.
    pub fn score_rows(&self, rows: Rows<'_>, out: &mut [Score]) {
        assert_eq!((rows.n_features(), rows.n_events()), (N_FEATURES, out.len()));
        for (event, score) in out.iter_mut().enumerate() {
            let row: Vec<i16> = (0..N_FEATURES).map(|k| rows.column(k)[event]).collect();
            *score = self.score(&row);
        }
    }

    /// Smallest and largest score that there can be.
    #[must_use]
    pub fn range(&self) -> (Score, Score) {
        let shift = SCORE_BITS - self.loss_format.fraction_bits();
        let (low, high) = self.loss_format.codes();
        ((low << shift) as Score, (high << shift) as Score)
    }
}

impl std::fmt::Display for Axol1tl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let loss = match self.loss {
            Loss::Output => "the output",
            Loss::SumOfSquares => "the sum of squares",
        };
        writeln!(
            f,
            "AXOL1TL v{}, offsets {}, differences {}",
            self.version,
            self.offsets[0].format(),
            self.unscaled
        )?;
        write!(f, "{}\nloss: {loss} as {}", self.network, self.loss_format)
    }
}

/// The sum as `nnet::reduce` has it: halves first, of which the left one is a power of two.
fn balanced_sum(values: &[Fixed]) -> Fixed {
    match values {
        [one] => *one,
        several => {
            let (left, right) = several.split_at(several.len().next_power_of_two() / 2);
            let (left, right) = (balanced_sum(left), balanced_sum(right));
            left.format().cast(left.plus(right))
        }
    }
}

/// Names of the folders `AXOL1TL_v…` in a folder.
///
/// # Errors
/// If it cannot be listed.
pub fn versions(folder: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::Io { path: folder.to_owned(), action: "listing it", source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("AXOL1TL_v") && entry.path().is_dir() {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// The number in the namespace `hls4ml_axol1tl_vN`.
fn version(declared: &Declarations<'_>) -> Result<u32> {
    let found = declared.namespaces.join(", ");
    match declared.namespaces[..] {
        [name] => name.strip_prefix("hls4ml_axol1tl_v").and_then(|number| number.parse().ok()),
        _ => None,
    }
    .ok_or_else(|| {
        refused("NN/defines.h", "one namespace `hls4ml_axol1tl_v…`", format!("`{found}`"))
    })
}

/// Checks that inputs are scaled as here, and finds what the loss is.
fn loss(emulator: &Source) -> Result<Loss> {
    let (cursor, _) = Cursor::new(emulator)?;
    let mut words: Vec<&str> = Vec::new();
    for token in cursor.rest() {
        words.push(token.text());
        // `hls4ml_axol1tl_v5::ad_shift` is `ad_shift`.
        if let [.., _, "::", _] = words[..] {
            let name = words.pop().expect("there are three");
            words.truncate(words.len() - 2);
            words.push(name);
        }
    }
    let says = |text: &str| {
        let wanted: Vec<&str> = text.split(' ').collect();
        words.windows(wanted.len()).any(|part| part == wanted)
    };
    let place = Place { source: emulator, line: 1 };
    for step in [
        "unscaled_t tmp0 = unscaled [ i ] - ad_offsets [ i ] ;",
        "input_t tmp1 = tmp0 > > ad_shift [ i ] ;",
        "scaled [ i ] = tmp1 ;",
    ] {
        if !says(step) {
            return Err(place.refused(format!("inputs scaled by `{step}`"), "another way"));
        }
    }
    let squares = says("squares [ i ] = result_p [ i ] * result_p [ i ] ;")
        && says("square_sum = reduce < resultsq_t ,")
        && says("return square_sum ;");
    let output = says("loss = result_p [ 0 ] ;") && says("return loss ;");
    match (squares, output) {
        (true, false) => Ok(Loss::SumOfSquares),
        (false, true) => Ok(Loss::Output),
        _ => Err(place.refused("a loss that is the sum of squares or the output", "another one")),
    }
}
