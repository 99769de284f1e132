//! An autoencoder as hls4ml takes it: layers, types and weights, and a script that makes a project of them.
//!
//! All types are chosen so that the fixed-point numbers are the integers of the network:
//!
//! | here | there |
//! |---|---|
//! | codes, 0 to 255 | `ap_ufixed<8,8>` |
//! | weight or bias of an output that is shifted by s | the same times 2^−s |
//! | sums | as many fractional bits as the largest s, wide enough for every sum |
//! | `(b + Σ w x) >> s` within 0 to 255 | relu into `ap_ufixed<8,8,AP_TRN,AP_SAT>` |
//! | distances within ±4095 | a cast into `ap_fixed<13,13,AP_TRN,AP_SAT_SYM>` |
//! | the sum of their squares | `dot1d` of distances with themselves |
//!
//! So the output of the project is our score. What makes codes of a row (`(x − offset) >> shift`, within
//! 0 to 255) comes before it, as the trigger's scaling does, and is in the description.

use std::fmt::Write as _;

use crate::autoencoder::integer::{IntegerLayer, IntegerNet, MAX_DISTANCE};
use crate::error::{Error, Result};
use crate::features::FeatureSpec;

/// The script that makes, compiles and checks a project of `network.json`.
pub const BUILD_PY: &str = include_str!("build.py");

/// Most bits of a type: what floating-point numbers of 64 bits hold exactly, and less.
const MAX_WIDTH: u32 = 48;
/// Bits of a distance, with its sign.
const DISTANCE_BITS: u32 = 13;

/// `network.json`: the layers of a project with types and weights.
///
/// # Errors
/// If a layer needs types of more than 48 bits.
pub fn network_json(spec: &FeatureSpec, net: &IntegerNet, name: &str) -> Result<String> {
    let parts = net.parts();
    let mut layers = Vec::new();
    let mut source = "codes".to_owned();
    let n_layers = parts.layers.len();
    for (k, layer) in parts.layers.iter().enumerate() {
        let (number, is_last) = (k + 1, k + 1 == n_layers);
        let types = Types::new(layer, number)?;
        let result = match (is_last, parts.targets.is_empty()) {
            (false, _) => types.sums.clone(),
            (true, true) => distance(),
            (true, false) => format!("ap_fixed<{0},{0}>", types.integer_bits),
        };
        let dense = format!("fc{number}");
        layers.push(types.dense(layer, &dense, &source, &result));
        source = dense;
        if !is_last {
            let relu = format!("relu{number}");
            layers.push(format!(
                "{{\"name\": \"{relu}\", \"kind\": \"relu\", \"inputs\": [\"{source}\"], \"n_in\": {}, \
                 \"result\": \"ap_ufixed<8,8,AP_TRN,AP_SAT>\"}}",
                layer.biases.len()
            ));
            source = relu;
        }
    }
    if !parts.targets.is_empty() {
        let bits = u32::from(parts.target_bits);
        layers.push(targets(&parts.targets, parts.inputs.len(), bits));
        layers.push(format!(
            "{{\"name\": \"distance\", \"kind\": \"subtract\", \"inputs\": [\"targets\", \"{source}\"], \
             \"n_in\": {}, \"result\": \"{}\"}}",
            parts.targets.len(),
            distance()
        ));
        source = "distance".to_owned();
    }
    let n_outputs = parts.layers[n_layers - 1].biases.len() as i64;
    let bits = bits_of(n_outputs * i64::from(MAX_DISTANCE).pow(2)) - 1;
    layers.push(format!(
        "{{\"name\": \"score\", \"kind\": \"dot1d\", \"inputs\": [\"{source}\", \"{source}\"], \"n_in\": {n_outputs}, \
         \"accum\": \"ap_ufixed<{bits},{bits}>\", \"result\": \"ap_ufixed<{bits},{bits}>\"}}"
    ));
    let inputs = parts.inputs.iter().map(|s| format!("[{}, {}]", s.offset, s.shift));
    let names = spec.names().into_iter().map(|name| format!("\"{name}\""));
    Ok(format!(
        "{{\n\"format\": \"scout40 hls4ml 1\",\n\"name\": \"{name}\",\n\"features\": [{}],\n\
         \"offsets_and_shifts\": [{}],\n\"score_bits\": {},\n\"input\": {{\"name\": \"codes\", \
         \"n\": {}, \"type\": \"ap_ufixed<8,8>\"}},\n\"layers\": [\n{}\n]\n}}\n",
        names.collect::<Vec<_>>().join(", "),
        inputs.collect::<Vec<_>>().join(", "),
        parts.score_bits,
        parts.inputs.len(),
        layers.join(",\n")
    ))
}

fn distance() -> String {
    format!("ap_fixed<{DISTANCE_BITS},{DISTANCE_BITS},AP_TRN,AP_SAT_SYM>")
}

/// Bits of a signed integer that holds a number and its negative.
fn bits_of(magnitude: i64) -> u32 {
    65 - magnitude.leading_zeros()
}

/// The types of a dense layer.
struct Types {
    fraction_bits: u32,
    integer_bits: u32,
    weights: String,
    biases: String,
    sums: String,
}

impl Types {
    fn new(layer: &IntegerLayer, number: usize) -> Result<Types> {
        let fraction_bits = layer.shifts.iter().copied().max().map_or(0, u32::from);
        let n_in = layer.n_inputs as usize;
        let (mut weights, mut biases, mut sums) = (0_i64, 0_i64, 0_i64);
        for ((row, &bias), &shift) in
            layer.weights.chunks_exact(n_in).zip(&layer.biases).zip(&layer.shifts)
        {
            let left = fraction_bits - u32::from(shift);
            let code = |x: i64| x.abs() << left;
            weights = row.iter().map(|&w| code(w.into())).max().unwrap_or(0).max(weights);
            biases = biases.max(code(bias.into()));
            let of_row: i64 = row.iter().map(|&w| 255 * code(w.into())).sum();
            sums = sums.max(of_row + code(bias.into()));
        }
        let width = bits_of(sums).max(fraction_bits + 2);
        if width > MAX_WIDTH {
            let expected = format!("sums of at most {MAX_WIDTH} bits in layer {number}");
            return Err(Error::network("types for hls4ml", expected, format!("{width}")));
        }
        let fixed = |width: u32| {
            let integer_bits = i64::from(width) - i64::from(fraction_bits);
            format!("ap_fixed<{width},{integer_bits}>")
        };
        Ok(Types {
            fraction_bits,
            integer_bits: width - fraction_bits,
            weights: fixed(bits_of(weights)),
            biases: fixed(bits_of(biases)),
            sums: fixed(width),
        })
    }

    fn dense(&self, layer: &IntegerLayer, name: &str, source: &str, result: &str) -> String {
        let (n_in, n_out) = (layer.n_inputs as usize, layer.biases.len());
        let left = |output: usize| self.fraction_bits - u32::from(layer.shifts[output]);
        let weight = |k: usize| {
            let (input, output) = (k / n_out, k % n_out);
            i64::from(layer.weights[output * n_in + input]) << left(output)
        };
        let bias = |output: usize| i64::from(layer.biases[output]) << left(output);
        dense(
            name,
            source,
            [n_in, n_out],
            [&self.weights, &self.biases, &self.sums, result],
            self.fraction_bits,
            [(0..n_in * n_out).map(weight).collect(), (0..n_out).map(bias).collect()],
        )
    }
}

/// A dense layer that picks the targets among the codes, times 2^bits.
fn targets(targets: &[u16], n_in: usize, bits: u32) -> String {
    let n_out = targets.len();
    let weight = |k: usize| i64::from(usize::from(targets[k % n_out]) == k / n_out) << bits;
    let of_weights = format!("ap_fixed<{0},{0}>", bits + 2);
    let sums = format!("ap_fixed<{0},{0}>", bits + 9);
    let codes = [(0..n_in * n_out).map(weight).collect(), vec![0; n_out]];
    dense("targets", "codes", [n_in, n_out], [&of_weights, &of_weights, &sums, &sums], 0, codes)
}

fn dense(
    name: &str,
    source: &str,
    [n_in, n_out]: [usize; 2],
    [weight, bias, accum, result]: [&str; 4],
    fraction_bits: u32,
    [weights, biases]: [Vec<i64>; 2],
) -> String {
    let mut text = format!(
        "{{\"name\": \"{name}\", \"kind\": \"dense\", \"inputs\": [\"{source}\"], \"n_in\": {n_in}, \
         \"n_out\": {n_out},\n \"weight\": \"{weight}\", \"bias\": \"{bias}\", \"accum\": \"{accum}\", \
         \"result\": \"{result}\",\n \"fraction_bits\": {fraction_bits},\n"
    );
    // Writing to a string cannot fail.
    let _ = writeln!(text, " \"weights\": {weights:?},");
    let _ = write!(text, " \"biases\": {biases:?}}}");
    text
}
