//! A model's tensors, described: names, shapes and what fills them. The data is made while it is written.

use super::safetensors::Dtype;

/// The tensors of one file, in order.
pub(crate) struct Weights {
    pub(crate) seed: u64,
    pub(crate) metadata: Vec<(&'static str, String)>,
    pub(crate) tensors: Vec<Tensor>,
    dtype: Dtype,
}

/// One tensor.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    /// Outermost dimension first; empty for a single number.
    pub(crate) shape: Vec<usize>,
    pub(crate) fill: Fill,
}

/// What a tensor holds.
pub(crate) enum Fill {
    Value(f32),
    Noise { deviation: f32 },
}

impl Tensor {
    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The layers of a neural network. Noise is scaled by the number of a layer's inputs, so that values neither grow nor
/// vanish on their way through; `gain` is a factor on top of that.
impl Weights {
    pub(crate) fn new(seed: u64, dtype: Dtype) -> Weights {
        Weights { seed, metadata: Vec::new(), tensors: Vec::new(), dtype }
    }

    pub(crate) fn noise(&mut self, name: &str, shape: &[usize], deviation: f32) {
        self.push(name, self.dtype, shape, Fill::Noise { deviation });
    }

    pub(crate) fn scalar(&mut self, name: &str, dtype: Dtype, value: f32) {
        self.push(name, dtype, &[], Fill::Value(value));
    }

    /// A linear layer with bias, of `outputs` × `inputs` weights.
    pub(crate) fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.matrix(name, outputs, inputs);
        self.noise(&format!("{name}.bias"), &[outputs], 0.01);
    }

    /// A linear layer without bias.
    pub(crate) fn matrix(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.noise(&format!("{name}.weight"), &[outputs, inputs], fan_in(1.0, inputs));
    }

    /// A convolution with bias, with a square kernel of `size`.
    pub(crate) fn conv(&mut self, name: &str, outputs: usize, inputs: usize, size: usize, gain: f32) {
        self.kernel(name, outputs, inputs, size, gain);
        self.noise(&format!("{name}.bias"), &[outputs], 0.01);
    }

    /// A convolution without bias.
    pub(crate) fn kernel(&mut self, name: &str, outputs: usize, inputs: usize, size: usize, gain: f32) {
        let shape = [outputs, inputs, size, size];
        self.noise(&format!("{name}.weight"), &shape, fan_in(gain, inputs * size * size));
    }

    /// A normalisation that changes nothing.
    pub(crate) fn norm(&mut self, name: &str, channels: usize) {
        self.push(&format!("{name}.weight"), self.dtype, &[channels], Fill::Value(1.0));
        self.push(&format!("{name}.bias"), self.dtype, &[channels], Fill::Value(0.0));
    }

    /// A bias of one value, in place of the noise of the layer just added.
    pub(crate) fn rebias(&mut self, value: f32) {
        if let Some(bias) = self.tensors.last_mut() {
            bias.fill = Fill::Value(value);
        }
    }

    fn push(&mut self, name: &str, dtype: Dtype, shape: &[usize], fill: Fill) {
        self.tensors.push(Tensor { name: name.to_owned(), dtype, shape: shape.to_vec(), fill });
    }
}

fn fan_in(gain: f32, inputs: usize) -> f32 {
    gain / (inputs as f32).sqrt()
}
