//! The generated function, read as a network.
//!
//! It declares arrays, which become tensors, and calls layers, which become steps. Every size and type
//! that is said twice, in the function, in the configuration of a layer or beside the weights, is
//! compared; a layer that is not known, or computes in another order, is refused.

use std::collections::HashMap;

use super::declarations::{Config, Cursor, Declarations, TypeName};
use super::network::{Dense, Layer, Network, Step, Tensor};
use super::source::Place;
use crate::error::Result;
use crate::fixed::{Fixed, Format};

/// Longest tensor.
const MAX_LENGTH: i64 = 1 << 14;
/// Most tensors of a network.
const MAX_TENSORS: usize = 1 << 10;

/// The function in a source file, with what its headers declare.
pub(super) fn network<'a>(mut cursor: Cursor<'a>, declared: &Declarations<'a>) -> Result<Network> {
    let in_namespace = cursor.passes("namespace");
    if in_namespace {
        cursor.name()?;
        cursor.expect("{")?;
    }
    cursor.expect("void")?;
    let mut reader = Reader {
        declared,
        network: Network {
            name: cursor.name()?.into(),
            tensors: Vec::new(),
            steps: Vec::new(),
            output: 0,
        },
        names: HashMap::new(),
    };
    cursor.expect("(")?;
    reader.tensor(&mut cursor)?;
    cursor.expect(",")?;
    reader.network.output = reader.tensor(&mut cursor)?;
    cursor.expect(")")?;
    cursor.expect("{")?;
    while !cursor.passes("}") {
        match cursor.rest() {
            [first, second, ..] if first.text() == "nnet" && second.text() == "::" => {
                reader.call(&mut cursor)?;
            }
            [_, second, third, ..] if second.text() == "::" => {
                return Err(cursor.place().refused(
                    "layers of `nnet::` with weights in arrays",
                    format!("`{}`, weights inside generated code", third.text()),
                ));
            }
            _ => {
                reader.tensor(&mut cursor)?;
                cursor.expect(";")?;
            }
        }
    }
    if in_namespace {
        cursor.expect("}")?;
    }
    if let Some(more) = cursor.peek() {
        return Err(cursor.place().refused("the end of the file", format!("`{more}`")));
    }
    let network = reader.network;
    if !network.steps.iter().any(|step| step.output == network.output) {
        let expected = format!("a layer that fills `{}`", network.output().name);
        return Err(cursor.place().refused(expected, "none"));
    }
    Ok(network)
}

struct Reader<'d, 'a> {
    declared: &'d Declarations<'a>,
    network: Network,
    names: HashMap<&'a str, usize>,
}

/// A call: which layer, its template arguments, its arguments.
struct Call<'a> {
    function: &'a str,
    /// All but the last.
    formats: Vec<Format>,
    /// Named by the last.
    config: &'a str,
    arguments: Vec<&'a str>,
    place: Place<'a>,
}

impl<'a> Reader<'_, 'a> {
    /// `TYPE NAME [ SIZE ]`.
    fn tensor(&mut self, cursor: &mut Cursor<'a>) -> Result<usize> {
        let place = cursor.place();
        let format = self.declared.format_of(&cursor.type_name()?)?;
        let name = cursor.name()?;
        cursor.expect("[")?;
        let size = cursor.until("]")?;
        let size = self.declared.integer_of(&size, place)?;
        if !(1..=MAX_LENGTH).contains(&size) {
            return Err(place.refused(format!("1 to {MAX_LENGTH} numbers"), size.to_string()));
        }
        let index = self.network.tensors.len();
        if index == MAX_TENSORS {
            return Err(place.refused(format!("at most {MAX_TENSORS} arrays"), "more"));
        }
        if self.names.insert(name, index).is_some() {
            return Err(place.refused("each array once", format!("`{name}` again")));
        }
        self.network.tensors.push(Tensor { name: name.into(), length: size as usize, format });
        Ok(index)
    }

    /// `nnet::LAYER<…>(…);`
    fn call(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        let place = cursor.place();
        let written = cursor.type_name()?;
        let function = *written.path.last().expect("a path has a name");
        let mut formats = Vec::new();
        let Some((config, types)) = written.arguments.split_last() else {
            return Err(place.refused("`<…>` of a layer", "none"));
        };
        for part in types.split(|token| token.text() == ",").filter(|part| !part.is_empty()) {
            let [token] = part else {
                return Err(place.refused("names of types", format!("{} words", part.len())));
            };
            let path = vec![token.text()];
            let named = TypeName { path, arguments: Vec::new(), place };
            formats.push(self.declared.format_of(&named)?);
        }
        cursor.expect("(")?;
        let words = cursor.until(")")?;
        cursor.expect(";")?;
        let arguments =
            words.iter().map(|token| token.text()).filter(|&word| word != ",").collect();
        let call = Call { function, formats, config: config.text(), arguments, place };
        let (output, layer) = self.layer(&call)?;
        let is_filled = |step: &Step| step.output == output;
        if output == 0 || self.network.steps.iter().any(is_filled) {
            let name = &self.network.tensors[output].name;
            return Err(place.refused("each array filled once", format!("`{name}` again")));
        }
        self.network.steps.push(Step { output, layer });
        Ok(())
    }

    fn layer(&self, call: &Call<'a>) -> Result<(usize, Layer)> {
        let base = |wanted: &str| self.config(call, wanted);
        match (call.function, &call.arguments[..]) {
            ("dense", &[input, output, weights, biases]) => {
                let [input, output] = self.connected(call, [input, output])?;
                let config = base("nnet::dense_config")?;
                let dense = self.dense(config, input, output, [weights, biases], call.place)?;
                Ok((output, Layer::Dense(dense)))
            }
            (name @ ("relu" | "linear"), &[input, output]) => {
                let [input, output] = self.connected(call, [input, output])?;
                let config = base("nnet::activ_config")?;
                self.same_length(config, "n_in", &[input, output])?;
                let relu = name == "relu";
                Ok((output, if relu { Layer::Relu { input } } else { Layer::Linear { input } }))
            }
            (name @ ("add" | "subtract"), &[a, b, output]) => {
                let [a, b, output] = self.connected(call, [a, b, output])?;
                self.same_length(base("nnet::merge_config")?, "n_elem", &[a, b, output])?;
                let inputs = [a, b];
                let add = name == "add";
                Ok((output, if add { Layer::Add { inputs } } else { Layer::Subtract { inputs } }))
            }
            ("dot1d", &[a, b, output]) => {
                let [a, b, output] = self.connected(call, [a, b, output])?;
                let config = base("nnet::dot_config")?;
                self.same_length(config, "n_in", &[a, b])?;
                self.same_length(config, "n_out", &[output])?;
                self.plain_products(config)?;
                let length = self.network.tensors[output].length;
                if length != 1 {
                    return Err(call
                        .place
                        .refused("a dot product of one number", length.to_string()));
                }
                let accumulator = self.declared.format_in(config, "accum_t")?;
                Ok((output, Layer::Dot { inputs: [a, b], accumulator }))
            }
            (other, arguments) => Err(call.place.refused(
                "dense, relu, linear, add, subtract or dot1d",
                format!("`nnet::{other}` of {} arguments", arguments.len()),
            )),
        }
    }

    /// The places of tensors, whose formats must be those of the call.
    fn connected<const N: usize>(&self, call: &Call<'a>, names: [&str; N]) -> Result<[usize; N]> {
        let mut found = [0; N];
        if call.formats.len() != N {
            let expected = format!("{N} types and a configuration");
            return Err(call.place.refused(expected, format!("{} types", call.formats.len())));
        }
        for ((slot, name), &format) in found.iter_mut().zip(names).zip(&call.formats) {
            let known = self.names.get(name);
            *slot = *known.ok_or_else(|| {
                call.place.refused("arrays that were declared", format!("`{name}`"))
            })?;
            let tensor = &self.network.tensors[*slot];
            if tensor.format != format {
                let expected = format!("`{name}` as {}, as declared", tensor.format);
                return Err(call.place.refused(expected, format.to_string()));
            }
        }
        for &input in &found[..N - 1] {
            let is_ready = input == 0 || self.network.steps.iter().any(|step| step.output == input);
            if !is_ready {
                let name = &self.network.tensors[input].name;
                return Err(call.place.refused("an input that is filled", format!("`{name}`")));
            }
        }
        Ok(found)
    }

    fn config(&self, call: &Call<'a>, base: &str) -> Result<&Config<'a>> {
        let config = self.declared.configs.get(call.config).ok_or_else(|| {
            call.place.refused(format!("a configuration `{}`", call.config), "none in parameters.h")
        })?;
        if config.base != base {
            return Err(config.place.refused(format!("`{base}`"), format!("`{}`", config.base)));
        }
        Ok(config)
    }

    /// Refuses a size in the configuration that is not the length of these tensors.
    fn same_length(&self, config: &Config<'a>, name: &str, tensors: &[usize]) -> Result<()> {
        let setting = config.settings.get(name);
        let setting = setting.ok_or_else(|| config.place.refused(format!("`{name}`"), "none"))?;
        let size = self.declared.integer_of(&setting.tokens, setting.place)?;
        for Tensor { name: tensor, length, .. } in tensors.iter().map(|&i| &self.network.tensors[i])
        {
            if *length as i64 != size {
                let expected = format!("`{name}` to be the length of `{tensor}`, {length}");
                return Err(setting.place.refused(expected, size.to_string()));
            }
        }
        Ok(())
    }

    /// Refuses products that are not multiplications, and orders of summation other than the usual.
    fn plain_products(&self, config: &Config<'a>) -> Result<()> {
        for (name, wanted) in [
            ("product", "mult"),
            ("strategy", "latency"),
            ("kernel", "DenseLatency"),
            ("io_type", "io_parallel"),
        ] {
            let Some(setting) = config.settings.get(name) else { continue };
            if !setting.tokens.iter().any(|token| token.text() == wanted) {
                let found: String = setting.tokens.iter().map(|token| token.text()).collect();
                return Err(setting.place.refused(format!("`{wanted}`"), format!("`{found}`")));
            }
        }
        Ok(())
    }

    fn dense(
        &self,
        config: &Config<'a>,
        input: usize,
        output: usize,
        [weights, biases]: [&str; 2],
        place: Place<'a>,
    ) -> Result<Dense> {
        self.same_length(config, "n_in", &[input])?;
        self.same_length(config, "n_out", &[output])?;
        self.plain_products(config)?;
        let tensors = &self.network.tensors;
        let binary = |format: Format| format.width() == 1 && !format.is_signed();
        if binary(tensors[input].format) {
            return Err(place.refused("inputs of two bits or more", "one bit, which means ±1"));
        }
        let n_out = tensors[output].length;
        let weights =
            self.array(config, "weight_t", weights, tensors[input].length * n_out, place)?;
        let biases = self.array(config, "bias_t", biases, n_out, place)?;
        let accumulator = self.declared.format_in(config, "accum_t")?;
        Ok(Dense { input, weights, biases, accumulator })
    }

    fn array(
        &self,
        config: &Config<'a>,
        type_name: &str,
        name: &str,
        length: usize,
        place: Place<'a>,
    ) -> Result<Vec<Fixed>> {
        let array = self.declared.arrays.get(name);
        let array = array.ok_or_else(|| place.refused(format!("elements of `{name}`"), "none"))?;
        if array.values.len() != length {
            let expected = format!("{length} elements of `{name}`, as the layer needs");
            return Err(array.place.refused(expected, array.values.len().to_string()));
        }
        let format = self.declared.format_in(config, type_name)?;
        if array.element != format {
            let expected = format!("`{name}` of {format}, as `{type_name}` of its layer");
            return Err(array.place.refused(expected, array.element.to_string()));
        }
        Ok(array.values.clone())
    }
}
