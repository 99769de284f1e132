//! Toy studies as a table and as CSV.

use std::fmt::Write as _;

use crate::new_physics::{LEVELS, Outcome};

/// The table for people.
pub fn table(outcomes: &[(String, Outcome)], [exposures, strengths]: [&str; 2]) -> String {
    let mut text = String::new();
    for (observable, outcome) in outcomes {
        // Writing to a string cannot fail.
        for null in &outcome.nulls {
            let _ = writeln!(
                text,
                "{observable}: exposure {} {exposures}, {:.0} background events expected, {} in the reference\n\
                 null       {} toys: chi squared of {:.2} ± {:.2} dof, KS p-value {:.3}",
                null.exposure,
                null.n_expected,
                null.n_reference,
                null.t.len(),
                null.dof,
                null.dof_error,
                null.ks_p_value
            );
            if null.ks_p_value < 0.01 {
                text += "note       that chi squared does not describe the toys: trust empirical Z only\n";
            }
            if (null.n_reference as f64) < 5.0 * null.n_expected {
                text += "note       the reference is less than five times the data: its fluctuations count too\n";
            }
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
                let cell =
                    |x: Option<f64>| x.map_or("none tried".to_owned(), |x| format!("{x:.2e}"));
                let [two, five] = reach.strengths.map(cell);
                let _ = writeln!(text, "{:<16} {two:>12} {five:>12}", reach.signal);
            }
            text.push('\n');
        }
    }
    text
}

/// One line for each point.
pub fn csv(outcomes: &[(String, Outcome)]) -> String {
    let mut text = "observable,exposure,signal,strength,toys,median_z,median_z_error,z_low,z_high,\
                    z_empirical,z_empirical_is_limit,power_2,power_5,null_dof,null_dof_error,null_ks_p\n"
        .to_owned();
    for (observable, outcome) in outcomes {
        for point in &outcome.points {
            let null = outcome
                .nulls
                .iter()
                .find(|null| null.exposure.to_bits() == point.exposure.to_bits());
            let of_null = null.map_or([f64::NAN; 3], |n| [n.dof, n.dof_error, n.ks_p_value]);
            let name = point.signal.replace('"', "\"\"");
            let _ = writeln!(
                text,
                "{observable},{},\"{name}\",{},{},{},{},{},{},{},{},{},{},{},{},{}",
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
                of_null[0],
                of_null[1],
                of_null[2]
            );
        }
    }
    text
}
