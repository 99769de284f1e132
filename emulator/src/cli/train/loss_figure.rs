//! The loss curve as a figure.

use std::path::Path;

use anyhow::Result;
use scout40_models::autoencoder::train::EpochRecord;
use scout40_studies::plot::{Axis, Plot};

/// Writes the figure of a loss curve as `STEM.svg` and `STEM.png`.
pub fn write(stem: &Path, history: &[EpochRecord], best_epoch: u32) -> Result<()> {
    let curve = |loss: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        let point = |record: &EpochRecord| Some((f64::from(record.epoch), loss(record)?));
        history.iter().filter_map(point).collect()
    };
    let title = stem.file_name().unwrap_or_default().to_string_lossy();
    let loss = Axis::log("Loss of an event");
    let training = curve(&|record| Some(record.training_loss));
    let mut plot = Plot::new(&title, Axis::linear("Epoch"), loss)
        .line("training", &training)
        .scatter("training", &training);
    let validation = curve(&|record| record.validation_loss);
    if !validation.is_empty() {
        plot = plot.line("validation", &validation).scatter("validation", &validation);
    }
    if let Some(first) = history.iter().find(|record| record.is_fine_tuning) {
        plot = plot.mark_x(f64::from(first.epoch) - 0.5, "integers");
    }
    plot.mark_x(best_epoch.into(), "best").save(stem)?;
    Ok(())
}
