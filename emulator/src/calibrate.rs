//! Turns target rates into thresholds, with a background stream as the studies read it.
//!
//! Events that the model was trained on, and injected ones, say nothing about the background
//! rate; they are left out.

use std::path::Path;

use anyhow::{Context, Result};
use scout40_models::Score;
use scout40_studies::rate::Interval;
use serde::Serialize;

use crate::config::LoadedModel;
use crate::study::sample::{Request, Role, spectrum};

/// A target rate and the threshold that it came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Name of the line.
    pub line: String,
    /// Name of the model that scores.
    pub model: String,
    /// Rate that was asked for.
    pub target_khz: f64,
    /// Accept iff score >= threshold, in the model's integers.
    pub threshold: Score,
    /// Background events that were used.
    pub scored: u64,
    /// Of those, accepted; as many equal ones as they are worth where events have weights.
    pub accepted: u64,
    /// Rate that the threshold is estimated to have, with its 68.27 % interval.
    pub rate_khz: f64,
    /// Lower end.
    pub rate_khz_low: f64,
    /// Upper end.
    pub rate_khz_high: f64,
    /// Digest of the background stream.
    pub stream_digest: String,
    /// Events left out because the model was trained on them.
    pub excluded_training: u64,
    /// Events left out because they were injected.
    pub excluded_signal: u64,
}

/// Fills in the thresholds of `calibrations` from the background stream `path`.
///
/// # Errors
/// A stream that cannot be used, or is too short for a target.
pub fn calibrate(
    path: &Path,
    model: &LoadedModel,
    collision_rate_hz: f64,
    calibrations: &mut [Calibration],
) -> Result<()> {
    let attempt = || format!("while calibrating with `{}`", path.display());
    let request = Request::new(path, Role::Background);
    let (sample, background) =
        spectrum(&request, Some(model), None, &mut |_| ()).with_context(attempt)?;
    for calibration in calibrations {
        let threshold = background
            .threshold_for_rate(collision_rate_hz, calibration.target_khz)
            .with_context(attempt)?;
        let Interval { value, low, high } = background.rate_khz(threshold, collision_rate_hz);
        *calibration = Calibration {
            line: std::mem::take(&mut calibration.line),
            model: std::mem::take(&mut calibration.model),
            target_khz: calibration.target_khz,
            threshold,
            scored: sample.n_events,
            accepted: background.effective_accepted(threshold).round() as u64,
            rate_khz: value,
            rate_khz_low: low,
            rate_khz_high: high,
            stream_digest: sample.digest.clone(),
            excluded_training: sample.n_left_out_as_trained_on,
            excluded_signal: sample.n_left_out_as_injected,
        };
    }
    Ok(())
}
