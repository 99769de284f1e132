//! Adam on all events at once.

use super::model::{Events, Model};
use super::{Clip, NetworkConfig};

/// Adam's constants, as keras has them.
const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-7;

/// What a training leaves beside the parameters.
pub(super) struct Trained {
    /// −2 L at the end.
    pub(super) tau: f64,
    /// Its change in the last tenth.
    pub(super) drift: f64,
    pub(super) history: Vec<(u32, f64)>,
}

/// Moves the parameters, network and nuisances, for a fixed number of steps.
pub(super) fn train(
    model: &mut Model,
    events: &Events,
    config: &NetworkConfig,
    parameters: &mut [f64],
) -> Trained {
    let clipped = clipped(model, config, parameters.len());
    let mut gradient = vec![0.0; parameters.len()];
    let mut moments = (gradient.clone(), gradient.clone());
    let mut history = Vec::new();
    let mut before = 0.0;
    let mut epoch = 0;
    loop {
        let loss = model.loss(parameters, events, Some(&mut gradient));
        if config.note_every.is_some_and(|every| epoch % every == 0) {
            history.push((epoch, -2.0 * loss));
        }
        if epoch == config.epochs - config.epochs / 10 {
            before = loss;
        }
        if epoch == config.epochs {
            return Trained { tau: -2.0 * loss, drift: 2.0 * (before - loss), history };
        }
        epoch += 1;
        let power = epoch as i32;
        let rate =
            config.learning_rate * (1.0 - BETA.1.powi(power)).sqrt() / (1.0 - BETA.0.powi(power));
        for (k, parameter) in parameters.iter_mut().enumerate() {
            let g = gradient[k];
            moments.0[k] += (1.0 - BETA.0) * (g - moments.0[k]);
            moments.1[k] += (1.0 - BETA.1) * (g * g - moments.1[k]);
            *parameter -= rate * moments.0[k] / (moments.1[k].sqrt() + EPSILON);
            if clipped[k] {
                *parameter = parameter.clamp(-config.weight_clip, config.weight_clip);
            }
        }
    }
}

/// Which parameters are clipped; nuisances never are.
fn clipped(model: &Model, config: &NetworkConfig, n: usize) -> Vec<bool> {
    let (d, h) = (model.dimensions, model.hidden);
    let weight = |k: usize| k < h * d || (h * (d + 1)..h * (d + 2)).contains(&k);
    let one = |k: usize| match config.clip {
        Clip::Weights => weight(k),
        Clip::All => k < config.n_parameters(d),
    };
    (0..n).map(one).collect()
}
