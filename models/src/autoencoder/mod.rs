//! Autoencoders: small dense networks whose score says how badly an event fits the background.
//!
//! A network exists twice: in floating point ([`float`]), which training works on, and in integers,
//! which decide.
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
#[cfg(feature = "train")]
pub mod train;
