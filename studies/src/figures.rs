//! The figures of the studies: each from what a study returns, as a [`Plot`] that can still be added to.

use crate::observable::Histogram;
use crate::pile_up::RateAtPileUp;
use crate::plot::{Axis, Plot};
use crate::rate::{Interval, ONE_SIGMA};
use crate::regression::Fit;
use crate::roc::Roc;
use crate::scan::ScanPoint;
use crate::sculpting::Sculpting;

/// ROC curves of several signals, false positive rates on a log axis from what one background event
/// stands for.
#[must_use]
pub fn roc(title: &str, curves: &[(&str, Roc)]) -> Plot {
    let one_event = |roc: &Roc| 1.0 / roc.background.effective_events();
    let lowest = curves.iter().map(|(_, roc)| one_event(roc)).fold(0.1, f64::min);
    let x = Axis::log("False positive rate").range(lowest, 1.0);
    let plot = Plot::new(title, x, Axis::linear("Signal efficiency"));
    curves.iter().fold(plot, |plot, (name, roc)| {
        let corners = roc.corners();
        let points = corners.iter().map(|p| (p.false_positive_rate, p.signal_efficiency));
        plot.line(name, &points.collect::<Vec<_>>())
    })
}

/// Efficiency of each signal as a function of the background rate, with its interval as a band.
/// `names`: one for each signal of the scan.
#[must_use]
pub fn efficiency_at_rate(title: &str, names: &[&str], points: &[ScanPoint]) -> Plot {
    let x = Axis::log("Background rate").unit("kHz");
    with_efficiencies(Plot::new(title, x, Axis::log("Signal efficiency")), names, points)
}

/// Adds such curves to a figure: those of another model, say.
#[must_use]
pub fn with_efficiencies(plot: Plot, names: &[&str], points: &[ScanPoint]) -> Plot {
    names.iter().enumerate().fold(plot, |plot, (signal, name)| {
        let efficiency =
            |point: &ScanPoint| (point.rate_khz.value, point.signal_efficiencies[signal]);
        // What finds nothing yet has no place on a log axis, and neither has a band down to zero.
        let found = points.iter().map(efficiency).filter(|(_, interval)| interval.low > 0.0);
        plot.curve(name, &found.collect::<Vec<_>>())
    })
}

/// Background rate as a function of the threshold, with its interval.
#[must_use]
pub fn rate_at_threshold(title: &str, points: &[ScanPoint]) -> Plot {
    let shown = points.iter().map(|point| (f64::from(point.threshold), point.rate_khz));
    Plot::new(title, Axis::linear("Threshold"), Axis::log("Background rate").unit("kHz"))
        .curve("", &shown.collect::<Vec<_>>())
}

/// An observable of all and of accepted events, and below them the ratio of the shapes.
#[must_use]
pub fn sculpting(
    title: &str,
    observable: Axis,
    all: &Histogram,
    accepted: &Histogram,
    found: &Sculpting,
) -> Plot {
    let distances = format!(
        "Jensen–Shannon {:.3}, Kolmogorov–Smirnov {:.3}",
        found.jensen_shannon, found.kolmogorov_smirnov
    );
    // Empty bins are not drawn as what they could have been: nothing there is known of the shape.
    let filled = |bins: Vec<Interval>| -> Vec<Interval> {
        let exact = |bin: Interval| Interval { low: bin.value, high: bin.value, ..bin };
        bins.into_iter().map(|bin| if bin.value > 0.0 { bin } else { exact(bin) }).collect()
    };
    let (all_bins, accepted_bins) = (filled(all.bins()), filled(accepted.bins()));
    let nothing = Interval { value: f64::NAN, low: f64::NAN, high: f64::NAN };
    let ratio =
        |(ratio, all): (&Interval, &Interval)| if all.value > 0.0 { *ratio } else { nothing };
    let ratios: Vec<Interval> = found.shape_ratios.iter().zip(&all_bins).map(ratio).collect();
    let highest = ratios.iter().map(|ratio| ratio.value).fold(1.0, f64::max);
    Plot::new(title, observable, Axis::log("Events per bin"))
        .note(&distances)
        .steps("all", all.edges(), &all_bins)
        .steps("accepted", all.edges(), &accepted_bins)
        .lower(Axis::linear("Shape ratio").range(0.0, 1.25 * highest))
        .mark_y(1.0, "")
        .steps("accepted", all.edges(), &ratios)
}

/// Rates in ranges of pile-up and curves fitted to them, each with the interval of the curve, from the
/// lowest pile-up measured `up_to` this one. Error bars of ranges with few crossings may leave
/// the figure.
#[must_use]
pub fn pile_up(title: &str, rates: &[RateAtPileUp], fits: &[(&str, &Fit)], up_to: f64) -> Plot {
    const STEPS: u32 = 200;
    let from = rates.iter().map(|rate| rate.pile_up).fold(up_to, f64::min);
    let measured: Vec<_> = rates.iter().map(|rate| (rate.pile_up, rate.rate_khz)).collect();
    let curves: Vec<(&str, Vec<(f64, Interval)>)> = fits
        .iter()
        .map(|(name, fit)| {
            let at = |k: u32| {
                let x = from + (up_to - from) * f64::from(k) / f64::from(STEPS);
                fit.predict(x, 1.0, ONE_SIGMA).ok().map(|predicted| (x, predicted.curve))
            };
            (*name, (0..=STEPS).filter_map(at).collect())
        })
        .collect();
    let values = measured.iter().map(|(_, rate)| rate.value);
    let ends = curves.iter().flat_map(|(_, curve)| curve.iter().map(|(_, rate)| rate.high));
    let highest = values.chain(ends).fold(0.0, f64::max);
    let room = 0.05 * (up_to - from);
    let x = Axis::linear("Pile-up").range(from - room, up_to + room);
    let y = Axis::linear("Rate").unit("kHz").range(0.0, 1.1 * highest);
    let plot = Plot::new(title, x, y).points("measured", &measured);
    curves.iter().fold(plot, |plot, (name, curve)| plot.curve(name, curve))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::{Point, fit};
    use crate::scan::scan;
    use crate::spectrum::Spectrum;

    fn spectra() -> (Spectrum, Spectrum) {
        let background: Vec<i32> = (0..20_000).map(|k| (k * 7 % 1009) * (k % 97)).collect();
        let signal: Vec<i32> = (0..500).map(|k| 190 * k).collect();
        (Spectrum::of(&background).unwrap(), Spectrum::of(&signal).unwrap())
    }

    #[test]
    fn every_study_has_its_figure() {
        let (background, signal) = spectra();
        let curves = roc("ROC", &[("a signal", Roc::new(&background, &signal))]).to_svg().unwrap();
        assert!(curves.contains(">a signal<") && curves.contains(">False positive rate<"));
        let points = scan(&background, &[&signal], 30.9e6, 20).unwrap();
        let svg = efficiency_at_rate("scan", &["a signal"], &points).to_svg().unwrap();
        assert!(svg.contains(">a signal<") && svg.contains(">Background rate [kHz]<"));
        let svg = rate_at_threshold("scan", &points).to_svg().unwrap();
        assert!(svg.contains(">Threshold<"));
        let empty = Histogram::uniform(10, 0.0, 100.0).unwrap();
        let (mut all, mut accepted) = (empty.clone(), empty);
        all.fill(&(0..90).map(f64::from).collect::<Vec<_>>()).unwrap();
        accepted.fill(&(60..90).map(f64::from).collect::<Vec<_>>()).unwrap();
        let found = crate::sculpting::sculpting(&all, &accepted).unwrap();
        let axis = Axis::linear("H_{T}").unit("GeV");
        let svg = sculpting("cut", axis, &all, &accepted, &found).to_svg().unwrap();
        let distance = format!("Kolmogorov–Smirnov {:.3}", 2.0 / 3.0);
        assert!(svg.contains(&distance) && svg.contains(">Shape ratio<"));
    }

    #[test]
    fn rates_and_their_fits_share_a_figure() {
        let rate = |k: u32| RateAtPileUp {
            pile_up: f64::from(10 * k),
            rate_khz: crate::rate::garwood(u64::from(k * k), ONE_SIGMA),
            n_crossings: 1000.0,
            weight: 1000.0,
        };
        let rates: Vec<RateAtPileUp> = (2..10).map(rate).collect();
        let points: Vec<Point> = rates.iter().map(RateAtPileUp::point).collect();
        let fits = [fit(&points, 1).unwrap(), fit(&points, 2).unwrap()];
        let fits = [("straight line", &fits[0]), ("parabola", &fits[1])];
        let svg = pile_up("growth", &rates, &fits, 140.0).to_svg().unwrap();
        for name in ["measured", "straight line", "parabola", "140"] {
            assert!(svg.contains(&format!(">{name}<")), "{name}");
        }
    }
}
