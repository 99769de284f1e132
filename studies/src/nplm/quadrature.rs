//! Many events of one observable as few nodes: what a smooth function sums up to is the same.
//!
//! Training a network takes 10⁴ to 10⁵ passes over 2·10⁵ reference events, although all that is asked of them are sums
//! Σ w g(x) of functions that hardly change between neighbours: with weights clipped at c no network varies
//! over less than 1/c. Events between two edges are replaced by the two nodes of the **Gauss rule of the events
//! themselves**: their positions and weights reproduce Σw, Σwx, Σwx² and Σwx³, so that the error of a sum is of the
//! fourth order in the distance of the edges. Statistics are evaluated on all events nonetheless: what
//! remains is an error in the place of the minimum, which changes its value in the second order.

/// Nodes of events between edges at multiples of `width`. **Shape**: positions, weights.
pub(super) fn compress(x: &[f64], weights: &[f64], width: f64) -> (Vec<f64>, Vec<f64>) {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let bin = |event: usize| (x[event] / width).floor();
    let (mut nodes, mut sums) = (Vec::new(), Vec::new());
    for events in order.chunk_by(|&a, &b| bin(a).total_cmp(&bin(b)).is_eq()) {
        let total: f64 = events.iter().map(|&event| weights[event]).sum();
        if events.len() < 3 || total <= 0.0 {
            nodes.extend(events.iter().map(|&event| x[event]));
            sums.extend(events.iter().map(|&event| weights[event]));
            continue;
        }
        let average = |value: &dyn Fn(usize) -> f64| {
            events.iter().map(|&event| weights[event] * value(event)).sum::<f64>() / total
        };
        let mean = average(&|event| x[event]);
        let second = average(&|event| (x[event] - mean).powi(2));
        let deviation = second.sqrt();
        if deviation <= 1e-9 * width {
            nodes.push(mean);
            sums.push(total);
            continue;
        }
        let skewness = average(&|event| (x[event] - mean).powi(3)) / (second * deviation);
        // Zeros of the second orthogonal polynomial, z² − skewness z − 1.
        let root = (1.0 + skewness * skewness / 4.0).sqrt();
        let (left, right) = (skewness / 2.0 - root, skewness / 2.0 + root);
        nodes.extend([mean + deviation * left, mean + deviation * right]);
        sums.extend([total * right / (right - left), -total * left / (right - left)]);
    }
    (nodes, sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn sums_of_cubics_are_exact_and_those_of_smooth_functions_close() {
        let mut stream = Stream::of(31, 0);
        let x: Vec<f64> = (0..5000).map(|_| stream.exponential()).collect();
        let weights: Vec<f64> = (0..5000).map(|_| 0.5 + stream.uniform()).collect();
        let (nodes, sums) = compress(&x, &weights, 0.02);
        assert!(nodes.len() < 1000 && nodes.len() == sums.len(), "{}", nodes.len());
        assert!(sums.iter().all(|&sum| sum > 0.0));
        let integrate = |x: &[f64], w: &[f64], g: &dyn Fn(f64) -> f64| -> f64 {
            x.iter().zip(w).map(|(&x, w)| w * g(x)).sum()
        };
        for power in 0..4 {
            let g = |x: f64| x.powi(power);
            let (all, few) = (integrate(&x, &weights, &g), integrate(&nodes, &sums, &g));
            assert!((few / all - 1.0).abs() < 1e-12, "{power}: {few} {all}");
        }
        // The steepest step of a network with weights up to 9.
        let g = |x: f64| 9.0 / (1.0 + (-9.0 * (x - 1.0)).exp());
        let (all, few) = (integrate(&x, &weights, &g), integrate(&nodes, &sums, &g));
        assert!((few / all - 1.0).abs() < 1e-8, "{few} {all}");
    }

    #[test]
    fn few_and_equal_events_stay() {
        let (nodes, sums) = compress(&[3.0, 1.0, 1.001], &[1.0, 2.0, 3.0], 0.1);
        assert_eq!((nodes, sums), (vec![1.0, 1.001, 3.0], vec![2.0, 3.0, 1.0]));
        let (nodes, sums) = compress(&[2.0; 5], &[1.0; 5], 0.1);
        assert_eq!((nodes, sums), (vec![2.0], vec![5.0]));
        assert_eq!(compress(&[], &[], 0.1).0, Vec::<f64>::new());
    }
}
