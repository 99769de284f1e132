//! Autoencoders: small dense networks whose score says how badly an event fits the background.
//!
//! A network exists twice. [`float`] is what training leaves; [`integer`] is what decides: all of
//! its arithmetic is on integers of known size, so scores are the same on every machine.
//! [`quantise`] makes the second from the first, or from what fine-tuning on its grid made of it.
//!
//! ```text
//! row of i16 ─► codes u8 ─► layer ─► u8 ─► layer ─► u8 … last layer ─► y       hidden: clipped ReLU
//!               │ offset, shift                                         │
//!               └────────────── targets ──────────────► Σ (target − y)² ┴► score
//! ```
//!
//! Two scores: of a *reconstruction* autoencoder, the targets are some or all of the codes; of an
//! *encoder* (a variational autoencoder without its decoder, as AXOL1TL's), all targets are 0, and
//! the score is the squared length of the latent vector.

pub mod float;
pub mod integer;
pub mod quantise;
pub mod scorer;
#[cfg(feature = "train")]
pub mod train;

use crate::error::{Error, Result};
use float::FloatNet;
use integer::IntegerNet;

/// A trained network and the integer one that was made from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoencoder {
    /// As training in floating point left it: what integers are compared with.
    pub float: FloatNet,
    /// What scores.
    pub integer: IntegerNet,
}

impl Autoencoder {
    /// Both, if they take the same rows.
    ///
    /// # Errors
    /// If they do not.
    pub fn new(float: FloatNet, integer: IntegerNet) -> Result<Autoencoder> {
        let (inputs, found) = (&float.parts().inputs, &integer.parts().inputs);
        if inputs != found {
            let expected = "those of the network in floating point".to_owned();
            return Err(Error::network("inputs in integers", expected, "others".to_owned()));
        }
        Ok(Autoencoder { float, integer })
    }
}
