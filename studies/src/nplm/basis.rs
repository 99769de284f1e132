//! The space of functions of a kernel test: sums of Gaussians around M centres, in an orthonormal basis.
//!
//! f(x) = Σ_i α_i k(x, x_i) with the penalty λ αᵀ K α. Of a smooth kernel the M Gaussians are almost
//! dependent: 3000 of width 0.3 on the unit interval span, to 13 digits, fifteen dimensions. **Pivoted
//! incomplete Cholesky** of K finds that: it takes centre after centre, always the one that is worst represented by
//! those before, until what is left of every centre's k(x, x) = 1 is below a tolerance. With L
//! of the r centres z that it took, the functions φ(x) = L⁻¹ k(z, x) are orthonormal, f(x) = u·φ(x),
//! and the penalty is λ |u|². What is dropped changes f by less than √tolerance |u|: far below
//! what a λ above the tolerance lets count. The rows of the whole factor are φ at the M centres.
//!
//! Nothing of the size n × M exists, and only r columns of K are ever evaluated.
//! **Source**: S. Fine, K. Scheinberg, JMLR 2 (2001) 243; Nyström centres as in A. Rudi et al.,
//! "FALKON", NIPS 2017.

use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatMut, Par};

use super::vector::exp_all;

/// Events that are evaluated together: a column of them is 2 kB, some dozens fit into a first-level cache.
pub(super) const BLOCK: usize = 256;

/// Orthonormal functions made of Gaussians.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    /// 1 / (2 σ²).
    sharpness: f64,
    /// `[pivot][observable]`.
    pivots: Vec<Vec<f64>>,
    /// Lower triangle, r × r.
    factor: Mat<f64>,
    /// The functions at all centres, M × r.
    pub(super) at_centres: Mat<f64>,
    /// What is left of k(x, x) = 1 at the worst represented centre.
    pub(super) residual: f64,
}

impl Basis {
    /// The basis of Gaussians of width `sigma` around centres, `[observable][centre]`, to a tolerance
    /// or a largest number of functions.
    pub(super) fn new(
        centres: &[Vec<f64>],
        sigma: f64,
        tolerance: f64,
        max_functions: usize,
    ) -> Basis {
        let m = centres[0].len();
        let sharpness = 0.5 / (sigma * sigma);
        // `[function][centre]`.
        let mut columns: Vec<Vec<f64>> = Vec::new();
        let mut left = vec![1.0_f64; m];
        let mut chosen: Vec<usize> = Vec::new();
        let mut residual = 1.0;
        while chosen.len() < max_functions.min(m) {
            let worst = (0..m).fold(0, |worst, k| if left[k] > left[worst] { k } else { worst });
            residual = left[worst];
            if residual <= tolerance {
                break;
            }
            let pivot: Vec<f64> = centres.iter().map(|column| column[worst]).collect();
            let mut column = vec![0.0; m];
            squared_distances(centres, 0..m, &pivot, sharpness, &mut column);
            exp_all(&mut column);
            for earlier in &columns {
                let factor = earlier[worst];
                column.iter_mut().zip(earlier).for_each(|(c, e)| *c -= factor * e);
            }
            let scale = 1.0 / residual.sqrt();
            for (value, left) in column.iter_mut().zip(&mut left) {
                *value *= scale;
                *left = (*left - *value * *value).max(0.0);
            }
            // Exactly what the recursion gives, and no rounding picks it again.
            column[worst] = residual.sqrt();
            left[worst] = 0.0;
            columns.push(column);
            chosen.push(worst);
        }
        if chosen.len() == m {
            residual = 0.0;
        }
        let r = chosen.len();
        let lower = |row: usize, function: usize| {
            if function <= row { columns[function][chosen[row]] } else { 0.0 }
        };
        let pivot = |&k: &usize| centres.iter().map(|column| column[k]).collect();
        Basis {
            sharpness,
            pivots: chosen.iter().map(pivot).collect(),
            factor: Mat::from_fn(r, r, lower),
            at_centres: Mat::from_fn(m, r, |centre, function| columns[function][centre]),
            residual,
        }
    }

    /// Number of functions.
    pub(super) fn len(&self) -> usize {
        self.pivots.len()
    }

    /// Evaluates all functions at events, `[observable][event]`. **Shape** of the result:
    /// `[function][BLOCK]`; what is beyond the range stays.
    pub(super) fn evaluate(
        &self,
        columns: &[Vec<f64>],
        range: std::ops::Range<usize>,
        block: &mut [f64],
    ) {
        let n = range.len();
        for (pivot, values) in self.pivots.iter().zip(block.chunks_exact_mut(BLOCK)) {
            squared_distances(columns, range.clone(), pivot, self.sharpness, &mut values[..n]);
            exp_all(&mut values[..n]);
        }
        let rows = MatMut::from_column_major_slice_mut(block, BLOCK, self.len());
        let functions = rows.subrows_mut(0, n).transpose_mut();
        solve_lower_triangular_in_place(self.factor.as_ref(), functions, Par::Seq);
    }
}

/// −|x − z|² × sharpness for a range of events.
fn squared_distances(
    columns: &[Vec<f64>],
    range: std::ops::Range<usize>,
    pivot: &[f64],
    sharpness: f64,
    into: &mut [f64],
) {
    into.fill(0.0);
    for (column, z) in columns.iter().zip(pivot) {
        for (sum, x) in into.iter_mut().zip(&column[range.clone()]) {
            *sum -= (x - z) * (x - z) * sharpness;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn centres(dimensions: usize, m: usize) -> Vec<Vec<f64>> {
        let mut stream = Stream::of(11, dimensions as u64);
        (0..dimensions).map(|_| (0..m).map(|_| stream.uniform()).collect()).collect()
    }

    #[test]
    fn products_of_functions_are_kernels() {
        for (dimensions, sigma, m) in [(1, 0.3, 400), (2, 0.5, 300), (5, 0.7, 60)] {
            let centres = centres(dimensions, m);
            let basis = Basis::new(&centres, sigma, 1e-13, 1000);
            assert!(basis.residual <= 1e-13 && basis.len() <= m);
            let mut block = vec![f64::NAN; basis.len() * BLOCK];
            let n = m.min(BLOCK);
            basis.evaluate(&centres, 0..n, &mut block);
            for (i, j) in [(0, 0), (1, 2), (7, 50), (n - 1, 3)] {
                let phi = |k: usize| block.iter().skip(k).step_by(BLOCK);
                let product: f64 = phi(i).zip(phi(j)).map(|(a, b)| a * b).sum();
                let square: f64 = centres.iter().map(|c| (c[i] - c[j]).powi(2)).sum();
                let kernel = (-square / (2.0 * sigma * sigma)).exp();
                assert!((product - kernel).abs() < 1e-12, "{dimensions}: {product} {kernel}");
                // The rows of the factor are the functions at the centres.
                for (function, value) in phi(i).enumerate() {
                    assert!((basis.at_centres[(i, function)] - value).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_smooth_kernel_in_one_dimension_needs_few_functions_and_a_narrow_one_all() {
        let centres = centres(1, 200);
        assert!((10..20).contains(&Basis::new(&centres, 0.3, 1e-13, 1000).len()));
        let all = Basis::new(&centres, 1e-6, 1e-13, 1000);
        assert_eq!((all.len(), all.residual), (200, 0.0));
        let capped = Basis::new(&centres, 0.01, 1e-13, 7);
        assert!(capped.len() == 7 && capped.residual > 0.1);
    }

    #[test]
    fn repeated_centres_count_once() {
        let mut centres = centres(1, 30);
        let copy = centres[0].clone();
        centres[0].extend(copy);
        assert!(Basis::new(&centres, 1e-6, 1e-13, 1000).len() == 30);
    }
}
