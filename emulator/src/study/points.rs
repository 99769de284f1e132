//! Working points: thresholds with names, found for target rates or given, and the menu file of them that
//! `scout40 run --menu` takes.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use scout40_models::Score;
use scout40_studies::rate::Interval;
use scout40_studies::scan::{at_rate, at_threshold};
use scout40_studies::spectrum::Spectrum;
use serde::Serialize;

use crate::config::LoadedModel;
use crate::trigger::Threshold;

/// A number with its 68.27 % interval, as it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl From<Interval> for Measured {
    fn from(Interval { value, low, high }: Interval) -> Measured {
        Measured { value, low, high }
    }
}

/// A threshold and what it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkingPoint {
    /// Name of its trigger line.
    pub name: String,
    /// Rate that was asked for, if one was.
    pub target_khz: Option<f64>,
    /// Accept iff score >= threshold, in the model's integers.
    pub threshold: Score,
    /// The same as people read it, if there is a model to tell.
    pub display: Option<f64>,
    /// Rate of the background (Garwood).
    pub rate_khz: Measured,
    /// Background events that it accepts, as many equal ones as they are worth.
    pub n_accepted: f64,
    /// The loosest threshold at which even the upper end of the rate's interval keeps the target; `None`
    /// where that of no event at all exceeds it, or no rate was asked for.
    pub threshold_strict: Option<Score>,
    /// The loosest threshold at which the lower end does.
    pub threshold_loose: Option<Score>,
}

/// The working points of these rates, then of these thresholds.
///
/// # Errors
/// A background too small for a rate (the error says how many events it needs), a threshold in display units
/// without a model.
pub fn working_points(
    background: &Spectrum,
    collision_rate_hz: f64,
    targets_khz: &[f64],
    thresholds: &[Threshold],
    model: Option<&LoadedModel>,
) -> Result<Vec<WorkingPoint>> {
    let display = |threshold| model.map(|model| model.scorer.display(threshold));
    let mut points = Vec::new();
    for &target_khz in targets_khz {
        let row = at_rate(background, &[], collision_rate_hz, target_khz)?;
        points.push(WorkingPoint {
            name: format!("AD_{}", rate_name(target_khz)),
            target_khz: Some(target_khz),
            threshold: row.at.threshold,
            display: display(row.at.threshold),
            rate_khz: row.at.rate_khz.into(),
            n_accepted: background.effective_accepted(row.at.threshold),
            threshold_strict: row.strict,
            threshold_loose: Some(row.loose),
        });
    }
    for &threshold in thresholds {
        let raw = raw(threshold, model)?;
        points.push(WorkingPoint {
            name: format!("AD_raw{raw}"),
            target_khz: None,
            threshold: raw,
            display: display(raw),
            rate_khz: at_threshold(background, &[], collision_rate_hz, raw).rate_khz.into(),
            n_accepted: background.effective_accepted(raw),
            threshold_strict: None,
            threshold_loose: None,
        });
    }
    for (k, point) in points.iter().enumerate() {
        let is_new = points[..k].iter().all(|earlier| earlier.name != point.name);
        ensure!(is_new, "the working point `{}` is asked for twice", point.name);
    }
    Ok(points)
}

/// A threshold in the model's integers.
///
/// # Errors
/// Display units without a model.
pub fn raw(threshold: Threshold, model: Option<&LoadedModel>) -> Result<Score> {
    match (threshold, model) {
        (Threshold::Raw(raw), _) => Ok(raw),
        (Threshold::Display(value), Some(model)) => {
            Ok(model.scorer.threshold_from_display(value)?)
        }
        (Threshold::Display(value), None) => anyhow::bail!(
            "expected a threshold in the model's integers where no model is given, found {value}\n\
             hint: `raw:N`, or `--model`"
        ),
    }
}

/// `1kHz`, `0.5kHz`, `2MHz`: as it is typed, without blanks.
#[must_use]
pub fn rate_name(khz: f64) -> String {
    if khz >= 1000.0 {
        format!("{}MHz", khz / 1000.0)
    } else if khz >= 1.0 {
        format!("{khz}kHz")
    } else {
        format!("{}Hz", (khz * 1e6).round() / 1000.0)
    }
}

/// A menu of working points, as text: `remarks` go to its head, line by line.
#[must_use]
pub fn menu_toml(points: &[WorkingPoint], remarks: &[String]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail, here and below.
    for remark in remarks {
        // A line break in a name would end the remark.
        let _ = writeln!(text, "# {}", remark.escape_debug());
    }
    for point in points {
        let Measured { value, low, high } = point.rate_khz;
        let _ = writeln!(
            text,
            "\n# background rate {value:.4} kHz, 68 % interval {low:.4} to {high:.4}"
        );
        let _ = writeln!(text, "[[line]]\nname = {:?}\nkind = \"score\"", point.name);
        let display = point.display.map_or(String::new(), |display| format!(" # {display:.6}"));
        let _ = writeln!(text, "threshold = \"raw:{}\"{display}", point.threshold);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_points_are_those_of_rates_and_thresholds_and_have_names_of_their_own() {
        let background = Spectrum::of(&(0..10_000).collect::<Vec<Score>>()).unwrap();
        let points = working_points(
            &background,
            10e6,
            &[1.0, 100.0, 0.9999e4],
            &[Threshold::Raw(7000)],
            None,
        )
        .unwrap();
        let names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
        assert_eq!(names, ["AD_1kHz", "AD_100kHz", "AD_9.999MHz", "AD_raw7000"]);
        assert_eq!(points[1].threshold, 9900);
        assert!((points[1].rate_khz.value - 100.0).abs() < 1e-9);
        assert!((points[3].rate_khz.value - 3000.0).abs() < 1e-9);
        assert!((points[1].n_accepted - 100.0).abs() < 1e-9);
        let loose = points[1].threshold_loose.unwrap();
        assert!(loose < 9900 && points[1].threshold_strict.unwrap() > 9900);
        let twice = working_points(&background, 10e6, &[1.0, 1.0], &[], None).unwrap_err();
        assert!(twice.to_string().contains("`AD_1kHz` is asked for twice"));
        let display = working_points(&background, 10e6, &[], &[Threshold::Display(0.5)], None);
        assert!(display.unwrap_err().to_string().contains("raw:N"));
        let few = working_points(&background, 10e6, &[0.5], &[], None).unwrap_err().to_string();
        assert!(few.contains("at least 20000") && few.contains("10 %"), "{few}");
        assert_eq!([0.25, 1.5, 30_000.0].map(rate_name), ["250Hz", "1.5kHz", "30MHz"]);
    }

    #[test]
    fn the_menu_of_working_points_is_a_menu() {
        let background = Spectrum::of(&(-5000..5000).collect::<Vec<Score>>()).unwrap();
        let thresholds = [Threshold::Raw(-4000)];
        let points = working_points(&background, 10e6, &[10.0], &thresholds, None).unwrap();
        let text = menu_toml(&points, &["made of `a\nb`".to_owned()]);
        let parsed: toml::Table = text.parse().unwrap();
        let lines = parsed["line"].as_array().unwrap();
        assert_eq!(lines[0]["threshold"].as_str(), Some("raw:4990"));
        assert_eq!(lines[1]["threshold"].as_str(), Some("raw:-4000"));
        assert!(text.starts_with("# made of `a\\nb`"));
    }
}
