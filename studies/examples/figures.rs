//! One figure of each kind, from made-up numbers, to look at after a change to `plot`.
//!
//! `cargo run -p scout40-studies --features plot --example figures -- FOLDER`

use std::path::Path;

use scout40_studies::plot::{Axis, Plot, PlotError};
use scout40_studies::rate::{Interval, ONE_SIGMA, garwood};

const SIGNALS: [&str; 8] = [
    "A → 4ℓ",
    "H → aa → 4τ",
    "H → aa → 4b",
    "semivisible jets",
    "VBF H → invisible",
    "H^{±} → τν",
    "light H → ττ",
    "leptoquark",
];

/// Numbers from 0 to 1 that look random.
fn random(k: usize) -> f64 {
    let x = (k as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ x >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(23) as f64 / u64::MAX as f64
}

fn deviate(k: usize) -> f64 {
    (0..12).map(|j| random(12 * k + j)).sum::<f64>() - 6.0
}

fn roc(folder: &Path) -> Result<(), PlotError> {
    let y = Axis::linear("Signal efficiency");
    let mut plot = Plot::new("Isolation forest, 100 trees", Axis::log("False positive rate"), y)
        .note("300 499 zero-bias crossings, pile-up 60");
    for (k, name) in SIGNALS.iter().enumerate() {
        let power = 0.06 + 0.05 * k as f64;
        let x = (0..400).map(|i| 10f64.powf(-5.5 + 5.5 * f64::from(i) / 399.0));
        plot = plot.line(name, &x.map(|x| (x, x.powf(power))).collect::<Vec<_>>());
    }
    plot.mark_x(3.2e-4, "10 kHz").save(&folder.join("roc")).map(drop)
}

fn loss(folder: &Path) -> Result<(), PlotError> {
    let curve = |floor: f64, noise: usize| -> Vec<(f64, f64)> {
        let loss = |k: usize| floor + 2.0 * (-(k as f64) / 9.0).exp() + 0.02 * deviate(k + noise);
        (0..60).map(|k| (k as f64, loss(k))).collect()
    };
    Plot::new("Variational autoencoder 57-32-16-8", Axis::linear("Epoch"), Axis::linear("Loss"))
        .line("training", &curve(0.5, 0))
        .line("validation", &curve(0.62, 100))
        .mark_x(41.0, "best")
        .save(&folder.join("loss"))
        .map(drop)
}

fn efficiency(folder: &Path) -> Result<(), PlotError> {
    let x = Axis::log("Background rate").unit("kHz");
    let mut plot = Plot::new("Two models on the same events", x, Axis::log("Signal efficiency"));
    for (k, name) in ["isolation forest", "autoencoder"].iter().enumerate() {
        let rates = (0..25).map(|i| 0.3 * 1.35_f64.powi(i));
        let value = |x: f64| 1e-3 * (k as f64 * 2.0 + 1.0) * x.powf(0.6);
        let error = |x: f64| 0.3 * value(x) / x.powf(0.3);
        let curve: Vec<_> = rates.clone().map(|x| (x, value(x))).collect();
        let band = rates.clone().map(|x| (x, value(x) - error(x), value(x) + error(x)));
        plot = plot.band(name, &band.collect::<Vec<_>>()).line(name, &curve);
        let interval = |x: f64| {
            let (value, error) = (value(x) * 1.1, error(x));
            (x, Interval { value, low: value - error, high: value + error })
        };
        let points: Vec<_> = rates.step_by(4).map(interval).collect();
        plot = plot.points(["forest, data", "autoencoder, data"][k], &points);
    }
    plot.save(&folder.join("efficiency")).map(drop)
}

fn sculpting(folder: &Path) -> Result<(), PlotError> {
    let edges: Vec<f64> = (0..=40).map(|k| 25.0 * f64::from(k)).collect();
    let expected = |k: i32| 3e5 * (-f64::from(k) / 3.5).exp();
    let before: Vec<_> = (0..40).map(|k| garwood(expected(k) as u64, ONE_SIGMA)).collect();
    let passing = |k: i32| (expected(k) * f64::from(k + 1) / 60.0) as u64;
    let after: Vec<_> = (0..40).map(|k| garwood(passing(k), ONE_SIGMA)).collect();
    let ratio = |(before, after): (&Interval, &Interval)| after.scaled(1.0 / before.value.max(1.0));
    let ratio: Vec<_> = before.iter().zip(&after).map(ratio).collect();
    let x = Axis::linear("H_{T}").unit("GeV");
    Plot::new("Before and after score ≥ 8421", x, Axis::log("Events / 25 GeV"))
        .note("10 kHz")
        .steps("before", &edges, &before)
        .steps("after", &edges, &after)
        .lower(Axis::linear("after / before").range(0.0, 1.0))
        .steps("after", &edges, &ratio)
        .mark_y(0.5, "")
        .save(&folder.join("sculpting"))
        .map(drop)
}

fn agreement(folder: &Path) -> Result<(), PlotError> {
    let float = |k: usize| 40.0 + 12.0 * deviate(k) + 5.0 * deviate(k + 7777).powi(2);
    let points: Vec<_> =
        (0..40_000).map(|k| (float(k), 16.0 * float(k) + 25.0 * deviate(k + 31))).collect();
    Plot::new(
        "Quantisation",
        Axis::linear("Score in floating point"),
        Axis::linear("Score in integers"),
    )
    .note("40 000 crossings")
    .density("Crossings per cell", &points)
    .save(&folder.join("agreement"))
    .map(drop)
}

fn pile_up(folder: &Path) -> Result<(), PlotError> {
    let points = |k: usize| {
        let x = 20.0 + 5.0 * k as f64;
        let value = 0.002 * x * x + 0.5 * deviate(k);
        (x, Interval { value, low: value - 0.5, high: value + 0.5 })
    };
    let points: Vec<_> = (0..13).map(points).collect();
    let curve: Vec<_> = (15..90).map(|k| (f64::from(k), 0.002 * f64::from(k * k))).collect();
    let band: Vec<_> = curve.iter().map(|&(x, y)| (x, y - 0.6, y + 0.6)).collect();
    Plot::new("Rate and pile-up", Axis::linear("Pile-up"), Axis::linear("Rate").unit("kHz"))
        .points("measured", &points)
        .band("quadratic fit", &band)
        .line("quadratic fit", &curve)
        .save(&folder.join("pile-up"))
        .map(drop)
}

fn main() -> Result<(), PlotError> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder = Path::new(&folder);
    for figure in [roc, loss, efficiency, sculpting, agreement, pile_up] {
        figure(folder)?;
    }
    Ok(())
}
