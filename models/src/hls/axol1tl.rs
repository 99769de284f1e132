//! AXOL1TL, the anomaly detector of the CMS Global Trigger, from a checkout of its public emulator.
//!
//! The checkout (`cms-hls4ml/AXOL1TL`) is the user's to supply: it has no licence, so nothing of it is
//! here. [`read`] takes one of its folders `AXOL1TL_v1`, `_v3`, `_v4` or `_v5`, without
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
use super::detector::{Detector, Loss, Origin, Scaling};
use super::function::network;
use super::network::Network;
use super::project::Headers;
use super::source::{Place, Source, check_folder, refused};
use crate::error::{Error, Result};
use crate::fixed::Format;

/// Values in a row of the `axol1tl` features.
pub const N_FEATURES: usize = 57;

/// Fractional bits of a score: the trigger multiplies the loss by 16.
pub const SCORE_BITS: i32 = 4;

/// Reads a folder `AXOL1TL_vN` of a checkout.
///
/// # Errors
/// If it is not one, if a file is missing, cut or not of the known form, if sizes and types that
/// are said twice differ, or if numbers are too wide: with file, line and reason.
pub fn read(folder: &Path) -> Result<Detector> {
    check_folder(folder)?;
    let inner = versions(folder)?;
    if !folder.join("NN").is_dir() {
        let found = match &inner[..] {
            [] => "neither `NN` nor `AXOL1TL_v…`".to_owned(),
            several => format!("{}: name one of them", several.join(", ")),
        };
        let expected = "a folder `AXOL1TL_v…` of a checkout";
        return Err(refused(folder.display().to_string(), expected, found));
    }
    let headers = Headers::read(folder, "NN/", &["scales.h"])?;
    let declared = headers.declarations()?;
    let version = version(&declared)?;
    let function = Source::read(folder, &format!("NN/GTADModel_v{version}.cpp"))?;
    let network = network(Cursor::new(&function)?.0, &declared)?;
    let emulator = Source::read(folder, &format!("GTADModel_emulator_v{version}.cpp"))?;
    let loss = loss(&emulator)?;
    let loss_format = declared.named_format("resultsq_t", "NN/defines.h")?;
    check(&network, loss, loss_format)?;
    let scaling = scaling(&declared, &network)?;
    let origin = Origin::Axol1tl { version };
    Detector::new(origin, scaling, network, (loss, loss_format), SCORE_BITS)
}

fn scaling(declared: &Declarations<'_>, network: &Network) -> Result<Scaling> {
    let n_inputs = network.input().length;
    let array = |name: &str| {
        let array = declared.arrays.get(name);
        let array =
            array.ok_or_else(|| refused("scales.h", format!("elements of `{name}`"), "none"))?;
        if array.values.len() != n_inputs {
            let expected = format!("{n_inputs} elements of `{name}`, one for each input");
            return Err(array.place.refused(expected, array.values.len().to_string()));
        }
        Ok(array)
    };
    let (offsets, shifts) = (array("ad_offsets")?, array("ad_shift")?);
    if shifts.element.fraction_bits() != 0 {
        let found = shifts.element.to_string();
        return Err(shifts.place.refused("shifts that are integers", found));
    }
    Ok(Scaling {
        unscaled: declared.named_format("unscaled_t", "NN/defines.h")?,
        offsets: offsets.values.clone(),
        // A code of at most 48 bits may be beyond 32: that many places shift everything out.
        shifts: shifts.values.iter().map(|x| x.code().clamp(-64, 64) as i32).collect(),
    })
}

/// What the network's own files do not promise.
fn check(network: &Network, loss: Loss, loss_format: Format) -> Result<()> {
    let expect = |holds: bool, expected: String, found: String| {
        if holds { Ok(()) } else { Err(refused("NN/defines.h", expected, found)) }
    };
    let (n_inputs, n_outputs) = (network.input().length, network.output().length);
    expect(n_inputs == N_FEATURES, format!("{N_FEATURES} inputs"), n_inputs.to_string())?;
    let one_output = loss != Loss::Output || n_outputs == 1;
    expect(one_output, "one output that is the loss".into(), format!("{n_outputs} outputs"))?;
    let fits =
        loss_format.fraction_bits() <= SCORE_BITS && loss_format.integer_bits() + SCORE_BITS <= 30;
    let expected = "a loss whose 16-fold is an integer of at most 30 bits".into();
    expect(fits, expected, loss_format.to_string())
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
