//! Toy studies as a table and as CSV.

use std::fmt::Write as _;

use crate::new_physics::{LEVELS, Null, Outcome, Shape};

/// The table for people.
pub fn table(outcomes: &[(String, Outcome)], [exposures, strengths]: [&str; 2]) -> String {
    let mut text = String::new();
    for (observable, outcome) in outcomes {
        // Writing to a string cannot fail.
        for null in &outcome.nulls {
            text += &null_text(observable, null, exposures);
            let _ = writeln!(
                text,
                "{:<16} {:>12} {:>9} {:>7} {:>16} {:>12} {:>9} {:>9}",
                "signal",
                "strength",
                "median Z",
                "error",
                "68 % of toys",
                "empirical Z",
                "P(Z >= 2)",
                "P(Z >= 5)"
            );
            for point in
                outcome.points.iter().filter(|p| p.exposure.to_bits() == null.exposure.to_bits())
            {
                let band = format!("{:.2} .. {:.2}", point.z.low, point.z.high);
                let limit = if point.z_empirical_is_limit { "> " } else { "" };
                let _ = writeln!(
                    text,
                    "{:<16} {:>12} {:>9.2} {:>7.2} {:>16} {:>12} {:>9.2} {:>9.2}",
                    point.signal,
                    point.strength,
                    point.z.value,
                    point.z.error,
                    band,
                    format!("{limit}{:.2}", point.z_empirical),
                    point.power[0].value,
                    point.power[1].value
                );
            }
            let _ = writeln!(
                text,
                "smallest strength ({strengths}) with median Z of at least {} and {}",
                LEVELS[0], LEVELS[1]
            );
            for reach in
                outcome.reach.iter().filter(|r| r.exposure.to_bits() == null.exposure.to_bits())
            {
                let cell = |k: usize| match (reach.strengths[k], reach.errors[k]) {
                    (Some(x), Some(error)) => format!("{x:.2e} ± {error:.1e}"),
                    (Some(x), None) => format!("<= {x:.2e}"),
                    (None, _) => "none tried".to_owned(),
                };
                let _ = writeln!(text, "{:<16} {:>18} {:>18}", reach.signal, cell(0), cell(1));
            }
            text.push('\n');
        }
    }
    text
}

/// A statistic that still changes more in the last tenth of its training is told of: toys of 13 degrees of freedom
/// scatter by 5, so ten times as much would begin to matter.
const MOST_DRIFT: f64 = 0.1;

/// What toys without signal said.
fn null_text(observable: &str, null: &Null, exposures: &str) -> String {
    let described_by = match null.shape {
        Shape::ChiSquared { dof, dof_error } => {
            format!("chi squared of {dof:.2} ± {dof_error:.2} dof")
        }
        Shape::Elsewhere { upcrossings, upcrossings_error } => {
            format!("{upcrossings:.1} ± {upcrossings_error:.1} upward crossings of the level 0")
        }
    };
    let reference = match null.shape {
        Shape::ChiSquared { .. } => format!(", {} in the reference", null.n_reference),
        Shape::Elsewhere { .. } => String::new(),
    };
    let mut text = format!(
        "{observable}: exposure {} {exposures}, {:.0} background events expected{reference}\n\
         null       {} toys: {described_by}, KS p-value {:.3}\n",
        null.exposure,
        null.n_expected,
        null.t.len(),
        null.ks_p_value
    );
    if null.ks_p_value < 0.01 {
        text += "note       that does not describe the toys: trust empirical Z only\n";
    }
    if !reference.is_empty() && (null.n_reference as f64) < 5.0 * null.n_expected {
        text += "note       the reference is less than five times the data: its fluctuations count too\n";
    }
    if let Some(drift) = null.drift.filter(|drift| drift.abs() > MOST_DRIFT) {
        text += &format!(
            "note       t of the first toy changed by {drift:.2} in the last tenth of its training: take more `--epochs`\n"
        );
    }
    if null.n_not_converged > 0 {
        let n = null.n_not_converged;
        text += &format!(
            "note       fits of {n} of these toys did not converge: they count as larger\n"
        );
    }
    text
}

/// One line for each point.
pub fn csv(outcomes: &[(String, Outcome)]) -> String {
    let mut text = "observable,exposure,signal,strength,toys,median_z,median_z_error,z_low,z_high,\
                    z_empirical,z_empirical_is_limit,power_2,power_5,null_dof,null_dof_error,null_ks_p,\
                    null_upcrossings,null_upcrossings_error,not_converged\n"
        .to_owned();
    for (observable, outcome) in outcomes {
        for point in &outcome.points {
            let null = outcome
                .nulls
                .iter()
                .find(|null| null.exposure.to_bits() == point.exposure.to_bits());
            let ks_p_value = null.map_or(f64::NAN, |null| null.ks_p_value);
            let [dof, elsewhere] = match null.map(|null| null.shape) {
                Some(Shape::ChiSquared { dof, dof_error }) => {
                    [format!("{dof},{dof_error}"), ",".to_owned()]
                }
                Some(Shape::Elsewhere { upcrossings, upcrossings_error }) => {
                    [",".to_owned(), format!("{upcrossings},{upcrossings_error}")]
                }
                None => [",".to_owned(), ",".to_owned()],
            };
            let name = point.signal.replace('"', "\"\"");
            let _ = writeln!(
                text,
                "{observable},{},\"{name}\",{},{},{},{},{},{},{},{},{},{},{dof},{ks_p_value},{elsewhere},{}",
                point.exposure,
                point.strength,
                point.t.len(),
                point.z.value,
                point.z.error,
                point.z.low,
                point.z.high,
                point.z_empirical,
                point.z_empirical_is_limit,
                point.power[0].value,
                point.power[1].value,
                point.n_not_converged
            );
        }
    }
    text
}
