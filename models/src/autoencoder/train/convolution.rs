//! Layers that share their numbers: convolutions, written down as what they are to every other part
//! of the project, dense layers.
//!
//! An event is an image of one row for each object and one column for each field. The published
//! convolutional autoencoder of 40 MHz scouting is
//!
//! ```text
//! image ─► 3 × 3, filters ─► mean of two objects ─► rectifier ─► dense, latent ─► rectifier ─┐
//! image ◄── 3 × 3 ◄── each object twice ◄── rectifier ◄── dense ◄───────────────────────────┘
//! ```
//!
//! Both ends are linear between their inputs and the next rectifier, so each is one dense layer whose
//! weights are sums of the numbers of its kernel. [`Sharing`] holds the matrix that makes the one
//! from the other; training moves the kernel, and the finished network has dense layers only.
//!
//! **Source**: ADC2021 example code (mpp-hep), as used by J. Prendi's thesis, "Foraging for new
//! physics". What differs: the scale of the batch normalisation is left to the kernel, its offset is
//! a bias for each filter; the outputs are not rectified, as no layer of ours ends with a rectifier.

/// Side of a kernel.
const KERNEL: usize = 3;
/// Fields of an object: pT, eta, phi.
pub(super) const IMAGE_FIELDS: usize = 3;
/// Objects that are averaged.
const POOL: usize = 2;

/// How the weights and biases of a layer come from fewer numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sharing {
    /// Numbers that the weights come from.
    pub(super) n_weights: usize,
    /// Numbers that the biases come from.
    pub(super) n_biases: usize,
    /// Inputs of one output that a number of the kernel acts on.
    pub(super) fan_in: usize,
    /// **Shape**: `(n_inputs · n_outputs, n_weights)`, row-major.
    pub(super) weights: Vec<f32>,
    /// **Shape**: `(n_outputs, n_biases)`, row-major.
    pub(super) biases: Vec<f32>,
}

impl Sharing {
    /// The weights of all connections, from the numbers of the kernel. **Shape**: `(n_inputs,
    /// n_outputs)`, row-major.
    pub(super) fn all_weights(&self, own: &[f32]) -> Vec<f32> {
        product(&self.weights, own)
    }

    /// The biases of all outputs.
    pub(super) fn all_biases(&self, own: &[f32]) -> Vec<f32> {
        product(&self.biases, own)
    }
}

fn product(matrix: &[f32], vector: &[f32]) -> Vec<f32> {
    let rows = matrix.chunks_exact(vector.len());
    rows.map(|row| row.iter().zip(vector).map(|(m, v)| m * v).sum()).collect()
}

/// An event as an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// Rows of the image.
    pub(super) n_objects: usize,
    /// Columns of the image.
    pub(super) n_fields: usize,
    /// Kernels.
    pub(super) n_filters: usize,
}

impl Image {
    /// An event of objects with three fields each.
    pub(super) fn new(n_filters: u32, n_features: usize) -> Image {
        let n_fields = IMAGE_FIELDS;
        Image { n_objects: n_features / n_fields, n_fields, n_filters: n_filters as usize }
    }

    /// Objects after averaging; one that is left over is not looked at.
    fn n_pooled(self) -> usize {
        self.n_objects / POOL
    }

    /// Width of what the first rectifier sees: `(pooled objects, fields, filters)`.
    pub(super) fn n_hidden(self) -> usize {
        self.n_pooled() * self.n_fields * self.n_filters
    }

    fn n_pixels(self) -> usize {
        self.n_objects * self.n_fields
    }

    /// Place in the kernel for an input seen from an output, if it is within.
    fn tap(self, output: (usize, usize), input: (usize, usize)) -> Option<usize> {
        let middle = KERNEL / 2;
        let row = (input.0 + middle).checked_sub(output.0).filter(|&row| row < KERNEL)?;
        let column = (input.1 + middle).checked_sub(output.1).filter(|&column| column < KERNEL)?;
        Some(row * KERNEL + column)
    }

    /// From the image to averaged filters. Kernels have the shape `(filters, 3, 3)`.
    pub(super) fn encoder(self) -> Sharing {
        let n_weights = self.n_filters * KERNEL * KERNEL;
        let (n_inputs, n_outputs) = (self.n_pixels(), self.n_hidden());
        let mut weights = vec![0.0; n_inputs * n_outputs * n_weights];
        let mut biases = vec![0.0; n_outputs * self.n_filters];
        for (output, (pooled, column, filter)) in self.hidden_places().enumerate() {
            biases[output * self.n_filters + filter] = 1.0;
            for (input, place) in self.pixel_places().enumerate() {
                for object in pooled * POOL..(pooled + 1) * POOL {
                    if let Some(tap) = self.tap((object, column), place) {
                        let number = filter * KERNEL * KERNEL + tap;
                        weights[(input * n_outputs + output) * n_weights + number] +=
                            1.0 / POOL as f32;
                    }
                }
            }
        }
        let fan_in = KERNEL * KERNEL;
        Sharing { n_weights, n_biases: self.n_filters, fan_in, weights, biases }
    }

    /// From filters to the image: every pooled object twice, empty objects before the first for
    /// those that pooling left over, then one kernel of the shape `(filters, 3, 3)`.
    pub(super) fn decoder(self) -> Sharing {
        let n_weights = self.n_filters * KERNEL * KERNEL;
        let (n_inputs, n_outputs) = (self.n_hidden(), self.n_pixels());
        let n_empty = self.n_objects - self.n_pooled() * POOL;
        let mut weights = vec![0.0; n_inputs * n_outputs * n_weights];
        for (input, (pooled, column, filter)) in self.hidden_places().enumerate() {
            for (output, place) in self.pixel_places().enumerate() {
                for copy in 0..POOL {
                    let object = n_empty + pooled * POOL + copy;
                    if let Some(tap) = self.tap(place, (object, column)) {
                        let number = filter * KERNEL * KERNEL + tap;
                        weights[(input * n_outputs + output) * n_weights + number] += 1.0;
                    }
                }
            }
        }
        let fan_in = n_weights;
        Sharing { n_weights, n_biases: 1, fan_in, weights, biases: vec![1.0; n_outputs] }
    }

    /// Object, field and filter of what the first rectifier sees, in order.
    fn hidden_places(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let Image { n_fields, n_filters, .. } = self;
        (0..self.n_hidden())
            .map(move |k| (k / n_filters / n_fields, k / n_filters % n_fields, k % n_filters))
    }

    /// Object and field of the pixels, in order.
    fn pixel_places(self) -> impl Iterator<Item = (usize, usize)> {
        let n_fields = self.n_fields;
        (0..self.n_pixels()).map(move |k| (k / n_fields, k % n_fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const IMAGE: Image = Image { n_objects: 5, n_fields: 3, n_filters: 2 };

    fn numbers(random: &mut Random, n: usize) -> Vec<f32> {
        (0..n).map(|_| random.within(-50, 50) as f32).collect()
    }

    /// y = x W + b.
    fn dense(sharing: &Sharing, kernel: &[f32], biases: &[f32], x: &[f32]) -> Vec<f32> {
        let (weights, mut y) = (sharing.all_weights(kernel), sharing.all_biases(biases));
        let n_outputs = y.len();
        for (x, weights) in x.iter().zip(weights.chunks_exact(n_outputs)) {
            y.iter_mut().zip(weights).for_each(|(y, w)| *y += x * w);
        }
        y
    }

    /// The pixel of a padded image of one channel.
    fn pixel(image: &[f32], row: isize, column: isize, n_rows: isize) -> f32 {
        let is_within = (0..n_rows).contains(&row) && (0..3).contains(&column);
        if is_within { image[(row * 3 + column) as usize] } else { 0.0 }
    }

    /// One 3 × 3 kernel over an image of one channel, zeros around it.
    fn convolved(image: &[f32], kernel: &[f32]) -> Vec<f32> {
        let n_rows = image.len() as isize / 3;
        let mut y = Vec::new();
        for row in 0..n_rows {
            for column in 0..3 {
                let mut sum = 0.0;
                for (k, weight) in kernel.iter().enumerate() {
                    let (dy, dx) = (k as isize / 3 - 1, k as isize % 3 - 1);
                    sum += weight * pixel(image, row + dy, column + dx, n_rows);
                }
                y.push(sum);
            }
        }
        y
    }

    #[test]
    fn the_encoder_is_convolution_then_mean_of_two() {
        let mut random = Random(31);
        let kernel = numbers(&mut random, 18);
        let biases = numbers(&mut random, 2);
        let image = numbers(&mut random, 15);
        let found = dense(&IMAGE.encoder(), &kernel, &biases, &image);
        assert_eq!(found.len(), 12);
        for filter in 0..2 {
            let full = convolved(&image, &kernel[filter * 9..][..9]);
            for pooled in 0..2 {
                for column in 0..3 {
                    let pair = full[pooled * 6 + column] + full[pooled * 6 + 3 + column];
                    let expected = biases[filter] + pair / 2.0;
                    let found = found[(pooled * 3 + column) * 2 + filter];
                    assert!((found - expected).abs() < 1e-3, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn the_decoder_is_upsampling_padding_then_convolution() {
        let mut random = Random(32);
        let kernel = numbers(&mut random, 18);
        let hidden = numbers(&mut random, 12);
        let found = dense(&IMAGE.decoder(), &kernel, &[7.0], &hidden);
        let mut expected = vec![7.0; 15];
        for filter in 0..2 {
            let mut image = vec![0.0; 15];
            for object in 1..5 {
                for column in 0..3 {
                    let pooled = (object - 1) / 2;
                    image[object * 3 + column] = hidden[(pooled * 3 + column) * 2 + filter];
                }
            }
            let full = convolved(&image, &kernel[filter * 9..][..9]);
            expected.iter_mut().zip(full).for_each(|(sum, y)| *sum += y);
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-2, "{found} {expected}");
        }
    }
}
