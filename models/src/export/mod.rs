//! Our autoencoders for other programs: ONNX files, and descriptions that hls4ml makes firmware of.
//!
//! Both say exactly what scores here: [`onnx`] in floating point or in integers, [`hls4ml`] in fixed-point
//! types in which the integers are the integers of [`IntegerNet`](crate::autoencoder::integer::IntegerNet).
//! Nothing here calls another library; `fixtures/reference/make_export.py` compares with them.

pub mod hls4ml;
pub mod onnx;
mod protobuf;
