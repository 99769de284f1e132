//! Toy studies as figures: significance against strength, and the statistic without signal beside what describes it.

use scout40_studies::observable::Histogram;
use scout40_studies::plot::{Axis, Plot};
use scout40_studies::rate::Interval;

use super::report::Outputs;
use crate::new_physics::{LEVELS, Null, Outcome, Shape};

/// Bins of the statistic.
const N_BINS: u32 = 30;

/// Writes all figures; one that cannot be drawn is told of and costs nothing else.
pub fn write(outputs: &mut Outputs, outcomes: &[(String, Outcome)], units: [&str; 2]) {
    for (observable, outcome) in outcomes {
        for null in &outcome.nulls {
            let place =
                if outcome.nulls.len() > 1 { format!("-{}", null.exposure) } else { String::new() };
            let plot = significance(observable, outcome, null, units);
            outputs.figure(&format!("{observable}{place}-z"), Ok(plot));
            match statistic(observable, null) {
                Ok(plot) => outputs.figure(&format!("{observable}{place}-null"), Ok(plot)),
                Err(error) => eprintln!("note: no figure of the null: {error}"),
            }
        }
    }
}

fn significance(observable: &str, outcome: &Outcome, null: &Null, units: [&str; 2]) -> Plot {
    let mut points: Vec<_> =
        outcome.points.iter().filter(|p| p.exposure.to_bits() == null.exposure.to_bits()).collect();
    points.sort_by(|a, b| a.signal.cmp(&b.signal).then(a.strength.total_cmp(&b.strength)));
    let one_strength =
        points.windows(2).all(|pair| pair[0].strength.to_bits() == pair[1].strength.to_bits());
    let name = if units[1] == "of crossings" {
        "Injected fraction of crossings"
    } else {
        "Signal strength"
    };
    let x = if one_strength { Axis::linear(name) } else { Axis::log(name) };
    let note =
        format!("{:.0} background events, {} in the reference", null.n_expected, null.n_reference);
    let title = format!("Test of {observable}");
    let mut plot = Plot::new(&title, x, Axis::linear("Median significance Z")).note(&note);
    for level in LEVELS {
        plot = plot.mark_y(level, &format!("{level} σ"));
    }
    for same in points.chunk_by(|a, b| a.signal == b.signal) {
        let of =
            |z: &crate::new_physics::Spread| Interval { value: z.value, low: z.low, high: z.high };
        let curve: Vec<(f64, Interval)> = same.iter().map(|p| (p.strength, of(&p.z))).collect();
        let signal = &same[0].signal;
        plot = match one_strength {
            true => plot.points(signal, &curve),
            false => plot.curve(signal, &straight_in_strength(&curve)),
        };
    }
    plot
}

/// Pieces of a line between two strengths: each is straight on the logarithmic axis, all of them as good as the
/// curve that a straight line in the strength is there.
const N_PIECES: u32 = 24;

/// The curve by which the table finds the strength that reaches a level: straight between strengths, not between
/// their logarithms.
fn straight_in_strength(curve: &[(f64, Interval)]) -> Vec<(f64, Interval)> {
    let between = |pair: &[(f64, Interval)]| {
        let [(x, y), (x_after, after)] = [pair[0], pair[1]];
        (0..N_PIECES).map(move |k| {
            // Equal pieces on the axis.
            let at = x * (x_after / x).powf(f64::from(k) / f64::from(N_PIECES));
            let part = (at - x) / (x_after - x);
            let mix = |from: f64, to: f64| if k == 0 { from } else { from + part * (to - from) };
            let value = mix(y.value, after.value);
            (at, Interval { value, low: mix(y.low, after.low), high: mix(y.high, after.high) })
        })
    };
    curve.windows(2).flat_map(between).chain(curve.last().copied()).collect()
}

fn statistic(observable: &str, null: &Null) -> Result<Plot, scout40_studies::Error> {
    // Toys whose fits failed are infinite.
    let finite: Vec<f64> = null.t.iter().copied().filter(|t| t.is_finite()).collect();
    let highest = finite.iter().copied().fold(0.0, f64::max);
    let lowest = finite.iter().copied().fold(0.0, f64::min);
    let mut histogram = Histogram::uniform(N_BINS, lowest, 1.05 * highest.max(1.0))?;
    histogram.fill(&finite)?;
    let edges = histogram.edges().to_vec();
    let n = null.t.len() as f64;
    let expected: Vec<(f64, f64)> = edges
        .windows(2)
        .map(|pair| {
            let inside = null.shape.p_value(pair[0]) - null.shape.p_value(pair[1]);
            ((pair[0] + pair[1]) / 2.0, n * inside)
        })
        .collect();
    let described_by = match null.shape {
        Shape::ChiSquared { dof, .. } => format!("χ² of {dof:.2} degrees of freedom"),
        Shape::Elsewhere { upcrossings, .. } => format!("{upcrossings:.1} upward crossings"),
    };
    let title = format!("{observable}: toys without signal");
    let note = format!("KS p-value {:.2}", null.ks_p_value);
    Ok(Plot::new(&title, Axis::linear("Statistic t"), Axis::linear("Toys per bin"))
        .note(&note)
        .steps("toys", &edges, &histogram.bins())
        .line(&described_by, &expected))
}

#[cfg(test)]
mod tests {
    use scout40_studies::power::crossing;

    use super::*;

    #[test]
    fn the_figure_reaches_a_level_where_the_table_says() {
        let of =
            |(x, value): (f64, f64)| (x, Interval { value, low: value - 1.0, high: value + 2.0 });
        let curve = [(1e-4, 0.1), (1e-3, 1.2), (1e-2, 6.0)].map(of);
        let drawn = straight_in_strength(&curve);
        assert!(curve.iter().all(|point| drawn.contains(point)), "what was measured stays");
        let table: Vec<_> = curve.iter().map(|(x, y)| (*x, y.value, 0.0)).collect();
        for level in [0.5, 2.0, 5.0] {
            let (expected, _) = crossing(&table, level).unwrap();
            // As it is drawn: straight in the logarithm from point to point.
            let pair = drawn.windows(2).find(|pair| pair[1].1.value >= level).unwrap();
            let [(x, y), (x_after, after)] = [pair[0], pair[1]];
            let part = (level - y.value) / (after.value - y.value);
            let seen = x * (x_after / x).powf(part);
            assert!((seen / expected - 1.0).abs() < 5e-3, "{level}: {seen} {expected}");
        }
        let widths = drawn.iter().map(|(_, y)| y.high - y.low);
        assert!(widths.into_iter().all(|width| (width - 3.0).abs() < 1e-12));
        assert!(straight_in_strength(&[]).is_empty());
    }
}
