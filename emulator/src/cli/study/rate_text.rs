//! How `study rate` is shown: tables for people, a CSV and records for everything else.

use std::fmt::Write as _;

use scout40_replay::lhc::FillingScheme;
use scout40_studies::menu_counts::Taken;
use serde::Serialize;

use super::rate::{Counted, Results};
use super::report::{aligned, background_text, ends, percent, quoted, row, short, signals_text};
use crate::study::pile_up::{Curve, Predicted, RateOfPileUp};
use crate::study::points::{Measured, WorkingPoint};

/// A line of the menu, as it is recorded.
#[derive(Clone, Debug, Serialize)]
pub struct LineRecord {
    pub name: String,
    pub prescale: u32,
    pub rate_khz: Measured,
    pub pure_rate_khz: Measured,
    /// Rate of what each working point takes, too.
    pub rate_with_point_khz: Vec<Measured>,
}

/// A signal, as it is recorded.
#[derive(Clone, Debug, Serialize)]
pub struct SignalRecord {
    pub name: String,
    pub sample: crate::study::sample::Sample,
    /// Of each working point.
    pub efficiency: Vec<Measured>,
    /// Of each line, alone and of all.
    pub line_efficiency: Vec<Measured>,
    pub line_pure_efficiency: Vec<Measured>,
    /// Of the whole menu; none if there is none.
    pub menu_efficiency: Option<Measured>,
    /// What each working point adds to it.
    pub added_efficiency: Vec<Measured>,
}

/// Everything, as tables.
pub fn table(results: &Results, scheme: &FillingScheme) -> String {
    let background = &results.background;
    let n_effective = background.spectrum.effective_events();
    let mut text = background_text(&background.sample, n_effective, scheme);
    text += &signals_text(results.signals.iter().map(|s| (s.name.as_str(), s.sample.n_events)));
    text.push('\n');
    text += &points_text(&results.points, n_effective, results.collision_rate_hz);
    if !results.signals.is_empty() {
        text += "\nefficiency [%], 68 % intervals\n";
        text += &efficiencies(results);
    }
    if !results.lines.is_empty() {
        text += &menu_text(results);
    }
    results.pile_up.iter().for_each(|rate| text += &pile_up_text(rate));
    text
}

/// Working points: threshold, rate, and where the threshold might be as well.
pub fn points_text(points: &[WorkingPoint], n_effective: f64, collision_rate_hz: f64) -> String {
    let mut rows = vec![row([
        "working point",
        "threshold (raw)",
        "score",
        "rate [kHz]",
        "68 % interval",
        "events",
        "threshold within 68 %",
    ])];
    for point in points {
        let strict = point.threshold_strict.map_or("above all".to_owned(), |t| t.to_string());
        let within =
            point.threshold_loose.map_or(String::new(), |loose| format!("{loose} .. {strict}"));
        rows.push(vec![
            point.name.clone(),
            point.threshold.to_string(),
            point.display.map_or(String::new(), |display| format!("{display:.6}")),
            short(point.rate_khz.value),
            ends(point.rate_khz),
            format!("{:.0}", point.n_accepted),
            within,
        ]);
    }
    let mut text = aligned(&rows);
    for point in points.iter().filter(|point| point.n_accepted < 100.0) {
        let Some(target_khz) = point.target_khz else { continue };
        let needed = 100.0 * collision_rate_hz / 1000.0 / target_khz;
        let _ = writeln!(
            text,
            "note       {} rests on {:.0} of {n_effective:.0} events; {needed:.2e} would tell its rate to 10 %",
            point.name, point.n_accepted
        );
    }
    text
}

fn efficiencies(results: &Results) -> String {
    let names = results.points.iter().map(|point| point.name.clone());
    let mut rows = vec![std::iter::once(String::new()).chain(names).collect::<Vec<_>>()];
    for signal in &results.signals {
        let cells = efficiency(results, signal).into_iter().map(percent);
        rows.push(std::iter::once(escaped(&signal.name)).chain(cells).collect());
    }
    aligned(&rows)
}

fn efficiency(results: &Results, signal: &Counted) -> Vec<Measured> {
    let points = results.points.iter();
    points.map(|point| signal.spectrum.efficiency(point.threshold).into()).collect()
}

fn escaped(name: &str) -> String {
    name.escape_debug().to_string()
}

/// Rates of lines, what is theirs alone, and what the working points share with and add to them.
fn menu_text(results: &Results) -> String {
    let (points, counts) = (&results.points, &results.background.counts);
    let rate = |taken| -> Measured { counts.rate_khz(taken, results.collision_rate_hz).into() };
    let with = points.iter().map(|point| format!("with {} [kHz]", point.name));
    let head = row(["line", "1 in", "rate [kHz]", "68 % interval", "pure [kHz]"]);
    let mut rows = vec![head.into_iter().chain(with).collect::<Vec<_>>()];
    let prescales = results.lines.prescales();
    for (line, (name, prescale)) in results.lines.names().iter().zip(prescales).enumerate() {
        let all = rate(Taken::ByLine(line));
        let mut cells = vec![escaped(name), prescale.to_string(), short(all.value), ends(all)];
        cells.push(short(rate(Taken::ByLineAlone(line)).value));
        let both = (0..points.len()).map(|point| short(rate(Taken::ByBoth(line, point)).value));
        cells.extend(both);
        rows.push(cells);
    }
    let menu = rate(Taken::ByMenu);
    rows.push(row(["menu", "", &short(menu.value), &ends(menu)]));
    for (k, point) in points.iter().enumerate() {
        let (all, pure) = (rate(Taken::ByPoint(k)), rate(Taken::ByPointAlone(k)));
        rows.push(row([&point.name, "", &short(all.value), &ends(all), &short(pure.value)]));
        let both = rate(Taken::ByMenuOrPoint(k));
        rows.push(row([&format!("menu or {}", point.name), "", &short(both.value), &ends(both)]));
    }
    let mut text = format!(
        "\nrates of the menu and beside it (pure: taken by nothing else)\n{}",
        aligned(&rows)
    );
    if !results.signals.is_empty() {
        text += "\nefficiency [%] (added: taken by no line of the menu)\n";
        text += &menu_efficiencies(results);
    }
    text
}

fn menu_efficiencies(results: &Results) -> String {
    let names = results.signals.iter().map(|signal| escaped(&signal.name));
    let mut rows = vec![std::iter::once(String::new()).chain(names).collect::<Vec<_>>()];
    let mut add = |name: String, taken: Taken| {
        let cell = |signal: &Counted| short(100.0 * signal.counts.efficiency(taken).value);
        let cells = results.signals.iter().map(cell);
        rows.push(std::iter::once(name).chain(cells).collect());
    };
    for (line, name) in results.lines.names().iter().enumerate() {
        add(escaped(name), Taken::ByLine(line));
    }
    add("menu".to_owned(), Taken::ByMenu);
    for (k, point) in results.points.iter().enumerate() {
        add(point.name.clone(), Taken::ByPoint(k));
        add(format!("{} added", point.name), Taken::ByPointAlone(k));
        add(format!("menu or {}", point.name), Taken::ByMenuOrPoint(k));
    }
    aligned(&rows)
}

/// Rates in ranges of pile-up, the curves, and what they forecast.
fn pile_up_text(rate: &RateOfPileUp) -> String {
    let mut text = format!("\nrate of {} as a function of pile-up\n", rate.point);
    let mut rows = vec![row(["pile-up", "crossings", "rate [kHz]", "68 % interval"])];
    for &(pile_up, khz, n_crossings) in &rate.measured {
        rows.push(row([
            &format!("{pile_up:.1}"),
            &format!("{n_crossings:.0}"),
            &short(khz.value),
            &ends(khz),
        ]));
    }
    text += &aligned(&rows);
    for curve in &rate.curves {
        let _ = writeln!(text, "{}", curve_text(curve));
    }
    text += &forecasts_text(rate);
    rate.curves.iter().for_each(|curve| text += &check_text(curve));
    text
}

/// What the curves forecast, and what was measured where it was.
fn forecasts_text(rate: &RateOfPileUp) -> String {
    let mut rows = Vec::new();
    let predicted = |curve: &Curve, x: &Predicted| {
        let measured = x.measured_khz.map_or(row(["", ""]), |m| vec![short(m.value), ends(m)]);
        let mut cells = vec![
            format!("{:.1}", x.pile_up),
            curve.name.to_owned(),
            short(x.curve_khz.value),
            ends(x.curve_khz),
            ends(x.prediction_khz),
        ];
        cells.extend(measured);
        cells
    };
    for curve in &rate.curves {
        rows.extend(curve.forecasts.iter().map(|x| predicted(curve, x)));
    }
    for curve in &rate.curves {
        rows.extend(curve.checks.iter().map(|x| predicted(curve, x)));
    }
    if !rows.is_empty() {
        rows.insert(
            0,
            row([
                "pile-up",
                "curve",
                "forecast [kHz]",
                "of the curve",
                "of a range",
                "measured",
                "68 % interval",
            ]),
        );
    }
    aligned(&rows)
}

/// How what was not fitted agrees with a curve.
fn check_text(curve: &Curve) -> String {
    let mut text = String::new();
    if curve.checks.is_empty() {
        return text;
    }
    let within = |x: &&Predicted| {
        x.measured_khz
            .is_some_and(|m| m.value >= x.prediction_khz.low && m.value <= x.prediction_khz.high)
    };
    let n_within = curve.checks.iter().filter(within).count();
    let n = curve.checks.len();
    let _ = writeln!(
        text,
        "{}: {n_within} of {n} ranges that were not fitted lie within the 68 % interval of a range",
        curve.name
    );
    if let (Some(x), Some(measured)) = (curve.whole, curve.whole.and_then(|x| x.measured_khz)) {
        let _ = writeln!(
            text,
            "{}: all {:.0} crossings that were not fitted, mean pile-up {:.1}: forecast {} ({}), \
             measured {} ({}) kHz",
            curve.name,
            x.n_crossings,
            x.pile_up,
            short(x.curve_khz.value),
            ends(x.curve_khz),
            short(measured.value),
            ends(measured)
        );
    }
    text
}

fn curve_text(curve: &Curve) -> String {
    let terms = curve.coefficients.iter().enumerate().map(|(power, (value, error))| {
        let x = ["", " x", " x^2"][power];
        format!("({} +- {}){x}", short(*value), short(*error))
    });
    let terms: Vec<String> = terms.collect();
    format!(
        "{:<9} {} kHz; R^2 {:.4}, p of the highest term {}",
        curve.name,
        terms.join(" + "),
        curve.r_squared,
        short(curve.p_value_of_highest)
    )
}

/// The lines, as they are recorded.
pub fn line_records(results: &Results) -> Vec<LineRecord> {
    let counts = &results.background.counts;
    let rate = |taken| -> Measured { counts.rate_khz(taken, results.collision_rate_hz).into() };
    let with = |line| (0..results.points.len()).map(move |point| Taken::ByBoth(line, point));
    let names = results.lines.names();
    let record = |(line, (name, prescale)): (usize, (&&str, u32))| LineRecord {
        name: (*name).to_owned(),
        prescale,
        rate_khz: rate(Taken::ByLine(line)),
        pure_rate_khz: rate(Taken::ByLineAlone(line)),
        rate_with_point_khz: with(line).map(rate).collect(),
    };
    names.iter().zip(results.lines.prescales()).enumerate().map(record).collect()
}

/// The signals, as they are recorded.
pub fn signal_records(results: &Results) -> Vec<SignalRecord> {
    let (n_lines, n_points) = (results.lines.names().len(), results.points.len());
    let record = |signal: &Counted| {
        let of = |taken| -> Measured { signal.counts.efficiency(taken).into() };
        SignalRecord {
            name: signal.name.clone(),
            sample: signal.sample.clone(),
            efficiency: efficiency(results, signal),
            line_efficiency: (0..n_lines).map(|line| of(Taken::ByLine(line))).collect(),
            line_pure_efficiency: (0..n_lines).map(|line| of(Taken::ByLineAlone(line))).collect(),
            menu_efficiency: (n_lines > 0).then(|| of(Taken::ByMenu)),
            added_efficiency: if n_lines > 0 {
                (0..n_points).map(|point| of(Taken::ByPointAlone(point))).collect()
            } else {
                Vec::new()
            },
        }
    };
    results.signals.iter().map(record).collect()
}

/// One line for each line of the menu or working point, and sample: rates of the background, efficiencies of
/// signals.
pub fn csv(results: &Results) -> String {
    let mut text = "sample,what,quantity,value,low,high\n".to_owned();
    let mut add = |sample: &str, what: &str, quantity: &str, x: Measured| {
        let Measured { value, low, high } = x;
        let (sample, what) = (quoted(sample), quoted(what));
        let _ = writeln!(text, "{sample},{what},{quantity},{value},{low},{high}");
    };
    let background = &results.background;
    for point in &results.points {
        let threshold = f64::from(point.threshold);
        let exact = Measured { value: threshold, low: threshold, high: threshold };
        add(&background.name, &point.name, "threshold", exact);
        add(&background.name, &point.name, "rate_khz", point.rate_khz);
    }
    for signal in &results.signals {
        for (point, x) in results.points.iter().zip(efficiency(results, signal)) {
            add(&signal.name, &point.name, "efficiency", x);
        }
    }
    if !results.lines.is_empty() {
        for (what, taken) in everything(results) {
            let rate = |taken| background.counts.rate_khz(taken, results.collision_rate_hz).into();
            let pure = match taken {
                Taken::ByLine(line) => Some(Taken::ByLineAlone(line)),
                Taken::ByPoint(point) => Some(Taken::ByPointAlone(point)),
                _ => None,
            };
            add(&background.name, &what, "menu_rate_khz", rate(taken));
            if let Some(pure) = pure {
                add(&background.name, &what, "pure_rate_khz", rate(pure));
            }
            for signal in &results.signals {
                let of = |taken| signal.counts.efficiency(taken).into();
                add(&signal.name, &what, "menu_efficiency", of(taken));
                if let Some(pure) = pure {
                    add(&signal.name, &what, "pure_efficiency", of(pure));
                }
            }
        }
    }
    for rate in &results.pile_up {
        for &(pile_up, khz, _) in &rate.measured {
            add(&format!("pile-up {pile_up}"), &rate.point, "rate_khz", khz);
        }
        for curve in &rate.curves {
            for x in curve.forecasts.iter().chain(&curve.checks) {
                let what = format!("{} {}", rate.point, curve.name);
                add(&format!("pile-up {}", x.pile_up), &what, "forecast_khz", x.prediction_khz);
                if let Some(measured) = x.measured_khz {
                    add(&format!("pile-up {}", x.pile_up), &what, "measured_khz", measured);
                }
            }
        }
    }
    text
}

/// Lines, the menu, working points, and the menu with each of them.
fn everything(results: &Results) -> Vec<(String, Taken)> {
    let names = results.lines.names();
    let lines = names.iter().enumerate().map(|(k, name)| ((*name).to_owned(), Taken::ByLine(k)));
    let mut all: Vec<(String, Taken)> = lines.collect();
    all.push(("menu".to_owned(), Taken::ByMenu));
    for (k, point) in results.points.iter().enumerate() {
        all.push((point.name.clone(), Taken::ByPoint(k)));
        all.push((format!("menu or {}", point.name), Taken::ByMenuOrPoint(k)));
    }
    all
}
