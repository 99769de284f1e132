//! An autoencoder as an ONNX file, from rows of integers to scores.
//!
//! ```text
//! rows   int16 (n, features)  ─►  codes  ─►  layers  ─►  score (n)
//! ```
//!
//! [`Form::Float`] is the network that training left, in 32-bit floating point. [`Form::Integer`] is the
//! one that decides: products and sums are of integers (`MatMulInteger`), shifts are multiplications by
//! powers of two in 64-bit floating point, rounded down, where every number is an integer below 2^53:
//! so scores are exact. Operators are those of opset 13, which every runtime of today has.
//!
//! Source of field numbers: `onnx/onnx.proto` of <https://github.com/onnx/onnx>.

use super::protobuf::Message;
use crate::autoencoder::Autoencoder;
use crate::autoencoder::float::{CODES_PER_UNIT, FloatNet, InputScale};
use crate::autoencoder::integer::{IntegerLayer, IntegerNet, MAX_DISTANCE};
use crate::features::FeatureSpec;

const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As training left it.
    Float,
    /// As it scores.
    Integer,
}

/// Types of elements, by their numbers.
#[derive(Clone, Copy)]
enum Element {
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    Double = 11,
}

/// The bytes of an ONNX file.
#[must_use]
pub fn onnx(spec: &FeatureSpec, autoencoder: &Autoencoder, form: Form) -> Vec<u8> {
    let n_features = autoencoder.integer.parts().inputs.len();
    let mut graph = Graph::default();
    let (name, element) = match form {
        Form::Float => {
            graph.float_net(&autoencoder.float);
            ("scout40_float", Element::Float)
        }
        Form::Integer => {
            graph.integer_net(&autoencoder.integer);
            ("scout40_integer", Element::Int32)
        }
    };
    let rows = value("rows", Element::Int16, Some(n_features));
    let score = value("score", element, None);
    let graph = Message::default()
        .messages(1, &graph.nodes)
        .text(2, name)
        .messages(5, &graph.initializers)
        .message(11, &rows)
        .message(12, &score);
    let property = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
    let properties = [
        property("features", &spec.to_string()),
        property("names", &spec.names().join(",")),
        property("score_bits", &autoencoder.integer.parts().score_bits.to_string()),
    ];
    Message::default()
        .int(1, IR_VERSION)
        .text(2, "scout40")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, &graph)
        .message(8, &Message::default().text(1, "").int(2, OPSET))
        .messages(14, &properties)
        .into_bytes()
}

/// An input or output: `(n)` or `(n, width)`.
fn value(name: &str, element: Element, width: Option<usize>) -> Message {
    let n = Message::default().text(2, "n");
    let width = width.map(|width| Message::default().int(1, width as i64));
    let dimensions: Vec<Message> = [n].into_iter().chain(width).collect();
    let shape = Message::default().messages(1, &dimensions);
    let tensor = Message::default().int(1, element as i64).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// Attributes of nodes that are integers, by name.
type Attributes<'a> = &'a [(&'a str, i64)];

#[derive(Default)]
struct Graph {
    nodes: Vec<Message>,
    initializers: Vec<Message>,
}

impl Graph {
    /// An operation; its output has the name that is returned.
    fn node(&mut self, operator: &str, inputs: &[&str], attributes: Attributes<'_>) -> String {
        let output = format!("{}{}", operator.to_lowercase(), self.nodes.len());
        self.node_to(&output, operator, inputs, attributes);
        output
    }

    fn node_to(
        &mut self,
        output: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Attributes<'_>,
    ) {
        const INT: i64 = 2;
        let attributes: Vec<Message> = attributes
            .iter()
            .map(|&(name, value)| Message::default().text(1, name).int(3, value).int(20, INT))
            .collect();
        let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        let node = node.text(2, output).text(3, output).text(4, operator);
        self.nodes.push(node.messages(5, &attributes));
    }

    /// A constant; without dimensions, a number.
    fn constant(&mut self, dimensions: &[usize], element: Element, bytes: &[u8]) -> String {
        let name = format!("constant{}", self.initializers.len());
        let of_size = |tensor: Message, &size: &usize| tensor.int(1, size as i64);
        let tensor = dimensions.iter().fold(Message::default(), of_size);
        let tensor = tensor.int(2, element as i64).text(8, &name).bytes(9, bytes);
        self.initializers.push(tensor);
        name
    }

    fn floats(&mut self, dimensions: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.constant(dimensions, Element::Float, &bytes)
    }

    fn doubles(&mut self, dimensions: &[usize], values: impl IntoIterator<Item = f64>) -> String {
        let bytes: Vec<u8> = values.into_iter().flat_map(f64::to_le_bytes).collect();
        self.constant(dimensions, Element::Double, &bytes)
    }

    fn int64s(&mut self, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(&[values.len()], Element::Int64, &bytes)
    }

    fn cast(&mut self, x: &str, element: Element) -> String {
        self.node("Cast", &[x], &[("to", element as i64)])
    }

    /// The sum over outputs of what is squared.
    fn sum_of_squares(&mut self, x: &str, output: Option<&str>) -> String {
        let squares = self.node("Mul", &[x, x], &[]);
        let axes = self.int64s(&[1]);
        let inputs = [&squares[..], &axes];
        match output {
            Some(output) => {
                self.node_to(output, "ReduceSum", &inputs, &[("keepdims", 0)]);
                output.to_owned()
            }
            None => self.node("ReduceSum", &inputs, &[("keepdims", 0)]),
        }
    }

    /// The columns that outputs are compared with.
    fn gathered(&mut self, x: &str, targets: &[u16]) -> String {
        let targets: Vec<i64> = targets.iter().map(|&target| target.into()).collect();
        let targets = self.int64s(&targets);
        self.node("Gather", &[x, &targets], &[("axis", 1)])
    }

    fn float_net(&mut self, net: &FloatNet) {
        let parts = net.parts();
        let n = parts.inputs.len();
        let rows = self.cast("rows", Element::Float);
        let offsets = self.floats(&[n], parts.inputs.iter().map(|s| f32::from(s.offset)));
        let scales = self.floats(&[n], parts.inputs.iter().map(|&s| scale(s) as f32));
        let x = self.node("Sub", &[&rows, &offsets], &[]);
        let x = self.node("Mul", &[&x, &scales], &[]);
        let x = self.node("Floor", &[&x], &[]);
        let (zero, most) = (self.floats(&[], [0.0]), self.floats(&[], [255.0]));
        let codes = self.node("Clip", &[&x, &zero, &most], &[]);
        let unit = self.floats(&[], [1.0 / CODES_PER_UNIT]);
        let inputs = self.node("Mul", &[&codes, &unit], &[]);
        let cap = self.floats(&[], [parts.cap.min(f32::MAX)]);
        let mut x = inputs.clone();
        for (k, layer) in parts.layers.iter().enumerate() {
            let (n_out, n_in) = (layer.biases.len(), layer.n_inputs as usize);
            let weights = self.floats(&[n_out, n_in], layer.weights.iter().copied());
            let biases = self.floats(&[n_out], layer.biases.iter().copied());
            x = self.node("Gemm", &[&x, &weights, &biases], &[("transB", 1)]);
            if k + 1 < parts.layers.len() {
                x = self.node("Clip", &[&x, &zero, &cap], &[]);
            }
        }
        if !parts.targets.is_empty() {
            let targets = self.gathered(&inputs, &parts.targets);
            x = self.node("Sub", &[&targets, &x], &[]);
        }
        self.sum_of_squares(&x, Some("score"));
    }

    fn integer_net(&mut self, net: &IntegerNet) {
        let parts = net.parts();
        let n = parts.inputs.len();
        let rows = self.cast("rows", Element::Double);
        let offsets = self.doubles(&[n], parts.inputs.iter().map(|s| f64::from(s.offset)));
        let scales = self.doubles(&[n], parts.inputs.iter().map(|&s| scale(s)));
        let x = self.node("Sub", &[&rows, &offsets], &[]);
        let x = self.node("Mul", &[&x, &scales], &[]);
        let x = self.node("Floor", &[&x], &[]);
        let (zero, most) = (self.doubles(&[], [0.0]), self.doubles(&[], [255.0]));
        let codes = self.node("Clip", &[&x, &zero, &most], &[]);
        let mut x = codes.clone();
        for (k, layer) in parts.layers.iter().enumerate() {
            x = self.integer_layer(layer, &x);
            if k + 1 < parts.layers.len() {
                x = self.node("Clip", &[&x, &zero, &most], &[]);
            }
        }
        if !parts.targets.is_empty() {
            let targets = self.gathered(&codes, &parts.targets);
            let unit = self.doubles(&[], [f64::from(1_u32 << parts.target_bits)]);
            let targets = self.node("Mul", &[&targets, &unit], &[]);
            x = self.node("Sub", &[&targets, &x], &[]);
        }
        let x = self.node("Abs", &[&x], &[]);
        let furthest = self.doubles(&[], [f64::from(MAX_DISTANCE)]);
        let x = self.node("Clip", &[&x, &zero, &furthest], &[]);
        let sum = self.sum_of_squares(&x, None);
        self.node_to("score", "Cast", &[&sum], &[("to", Element::Int32 as i64)]);
    }

    /// Sums of a layer, shifted.
    fn integer_layer(&mut self, layer: &IntegerLayer, codes: &str) -> String {
        let (n_out, n_in) = (layer.biases.len(), layer.n_inputs as usize);
        let columns = (0..n_in).flat_map(|input| {
            layer.weights.iter().skip(input).step_by(n_in).map(|w| w.cast_unsigned())
        });
        let columns: Vec<u8> = columns.collect();
        let weights = self.constant(&[n_in, n_out], Element::Int8, &columns);
        let biases: Vec<u8> = layer.biases.iter().flat_map(|b| b.to_le_bytes()).collect();
        let biases = self.constant(&[n_out], Element::Int32, &biases);
        let shifts = layer.shifts.iter().map(|&shift| 2_f64.powi(-i32::from(shift)));
        let shifts = self.doubles(&[n_out], shifts);
        let codes = self.cast(codes, Element::Uint8);
        let sums = self.node("MatMulInteger", &[&codes, &weights], &[]);
        let sums = self.node("Add", &[&sums, &biases], &[]);
        let sums = self.cast(&sums, Element::Double);
        let shifted = self.node("Mul", &[&sums, &shifts], &[]);
        self.node("Floor", &[&shifted], &[])
    }
}

/// What a difference is multiplied by.
fn scale(scale: InputScale) -> f64 {
    2_f64.powi(-i32::from(scale.shift))
}
