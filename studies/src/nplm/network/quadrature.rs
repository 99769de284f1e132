//! Many events of one observable as few nodes: what a smooth function sums up to is the same.
//!
//! Training a network takes 10⁵ passes over 2·10⁵ reference events, although all that is asked of them are sums
//! Σ w g(x) of functions that hardly change between neighbours: with weights clipped at c no network varies
//! over less than 1/c. Events between two edges, 2/c apart, are replaced by the nodes of the **Gauss rule of the events
//! themselves**: five positions and weights that reproduce Σ w x^k up to k = 9. The rule follows from the events'
//! orthogonal polynomials: nodes are the eigenvalues of the matrix of their recurrence, weights the squares of the
//! eigenvectors' first components (Golub and Welsch, Math. Comp. 23 (1969) 221). Statistics are evaluated on
//! all events nonetheless: what remains is an error in the place of the minimum, which changes its value in
//! the second order.

use faer::{Mat, Side};

/// Distance of edges, in units of the shortest distance over which a network varies.
pub(super) const WIDTH: f64 = 2.0;
/// Nodes between two edges.
const NODES: usize = 5;

/// Nodes of events between edges at multiples of `width`. **Shape**: positions, weights.
pub(super) fn compress(x: &[f64], weights: &[f64], width: f64) -> (Vec<f64>, Vec<f64>) {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let bin = |event: usize| (x[event] / width).floor();
    let (mut nodes, mut sums) = (Vec::new(), Vec::new());
    for events in order.chunk_by(|&a, &b| bin(a).total_cmp(&bin(b)).is_eq()) {
        // Equal events are one: observables of the trigger are integers.
        let (mut points, mut masses): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        for &event in events {
            match (points.last(), masses.last_mut()) {
                (Some(last), Some(mass)) if last.total_cmp(&x[event]).is_eq() => {
                    *mass += weights[event];
                }
                _ => {
                    points.push(x[event]);
                    masses.push(weights[event]);
                }
            }
        }
        let total: f64 = masses.iter().sum();
        if total <= 0.0 {
            continue;
        }
        let few = if points.len() > NODES { rule(&points, &masses, total) } else { None };
        let (points, masses) = few.unwrap_or((points, masses));
        nodes.extend(points);
        sums.extend(masses);
    }
    (nodes, sums)
}

/// The Gauss rule of points in ascending order; none where it cannot be found.
fn rule(points: &[f64], masses: &[f64], total: f64) -> Option<(Vec<f64>, Vec<f64>)> {
    let (first, last) = (points[0], points[points.len() - 1]);
    let (middle, half) = ((first + last) / 2.0, (last - first) / 2.0);
    let z: Vec<f64> = points.iter().map(|x| (x - middle) / half).collect();
    let mut matrix = Mat::<f64>::zeros(NODES, NODES);
    // The polynomial of each degree at the points, of unit length, and the one before.
    let mut now = vec![1.0 / total.sqrt(); z.len()];
    let mut before = vec![0.0; z.len()];
    let mut beta = 0.0;
    let mut n = NODES;
    for degree in 0..NODES {
        let inner = |f: &dyn Fn(usize) -> f64| -> f64 {
            (0..z.len()).map(|k| masses[k] * f(k)).sum::<f64>()
        };
        let alpha = inner(&|k| z[k] * now[k] * now[k]);
        matrix[(degree, degree)] = alpha;
        if degree + 1 == NODES {
            break;
        }
        let next: Vec<f64> =
            (0..z.len()).map(|k| (z[k] - alpha) * now[k] - beta * before[k]).collect();
        beta = inner(&|k| next[k] * next[k]).sqrt();
        // Nearly all weight sits on fewer points: they are the rule.
        if beta < 1e-10 {
            n = degree + 1;
            break;
        }
        matrix[(degree, degree + 1)] = beta;
        matrix[(degree + 1, degree)] = beta;
        before = std::mem::replace(&mut now, next.iter().map(|p| p / beta).collect());
    }
    let eigen = matrix.submatrix(0, 0, n, n).self_adjoint_eigen(Side::Lower).ok()?;
    let position = |k: usize| middle + half * eigen.S()[k];
    let weight = |k: usize| total * eigen.U()[(0, k)] * eigen.U()[(0, k)];
    let rule: (Vec<f64>, Vec<f64>) = ((0..n).map(position).collect(), (0..n).map(weight).collect());
    rule.0.iter().chain(&rule.1).all(|x| x.is_finite()).then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn integrate(x: &[f64], w: &[f64], g: &dyn Fn(f64) -> f64) -> f64 {
        x.iter().zip(w).map(|(&x, w)| w * g(x)).sum()
    }

    #[test]
    fn sums_of_polynomials_are_exact_and_those_of_smooth_functions_close() {
        let mut stream = Stream::of(31, 0);
        let x: Vec<f64> = (0..50_000).map(|_| stream.exponential()).collect();
        let weights: Vec<f64> = (0..50_000).map(|_| 0.5 + stream.uniform()).collect();
        let (nodes, sums) = compress(&x, &weights, WIDTH / 9.0);
        assert!(nodes.len() < 250 && nodes.len() == sums.len(), "{}", nodes.len());
        assert!(sums.iter().all(|&sum| sum > 0.0));
        for power in 0..10 {
            let g = |x: f64| x.powi(power);
            let (all, few) = (integrate(&x, &weights, &g), integrate(&nodes, &sums, &g));
            assert!((few / all - 1.0).abs() < 1e-12, "{power}: {few} {all}");
        }
        // The steepest step of a network with weights up to 9, and its exponential.
        let step = |x: f64| 9.0 / (1.0 + (-9.0 * (x - 1.0)).exp());
        for (g, tolerance) in [(&step as &dyn Fn(f64) -> f64, 1e-7), (&|x| step(x).exp(), 1e-4)] {
            let (all, few) = (integrate(&x, &weights, g), integrate(&nodes, &sums, g));
            assert!((few / all - 1.0).abs() < tolerance, "{few} {all}");
        }
    }

    #[test]
    fn few_and_equal_events_stay() {
        let (nodes, sums) = compress(&[3.0, 1.0, 1.001], &[1.0, 2.0, 3.0], 0.1);
        assert_eq!((nodes, sums), (vec![1.0, 1.001, 3.0], vec![2.0, 3.0, 1.0]));
        let (nodes, sums) = compress(&[2.0; 50], &[1.0; 50], 0.1);
        assert_eq!((nodes, sums), (vec![2.0], vec![50.0]));
        assert_eq!(compress(&[], &[], 0.1).0, Vec::<f64>::new());
        let (nodes, sums) = compress(&[1.0, 2.0], &[0.0, 1.0], 5.0);
        assert_eq!((nodes, sums), (vec![1.0, 2.0], vec![0.0, 1.0]));
    }

    #[test]
    fn points_that_hardly_differ_or_weigh_nothing_make_no_trouble() {
        let x: Vec<f64> = (0..40).map(|k| 1.0 + f64::from(k % 8) * 1e-16 * f64::from(k)).collect();
        let clustered: Vec<f64> = x.iter().enumerate().map(|(k, x)| x + (k % 2) as f64).collect();
        for x in [x, clustered] {
            for w in [vec![1.0; 40], (0..40).map(|k| 10_f64.powi(-8 * k)).collect()] {
                let (nodes, sums) = compress(&x, &w, 10.0);
                let (all, few) =
                    (integrate(&x, &w, &f64::exp), integrate(&nodes, &sums, &f64::exp));
                assert!((few / all - 1.0).abs() < 1e-12, "{few} {all} {nodes:?} {sums:?}");
            }
        }
    }
}
