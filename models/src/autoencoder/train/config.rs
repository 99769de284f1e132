//! What is trained and how: every setting, checked before anything is read.

use super::convolution::{IMAGE_FIELDS, Image};
use crate::autoencoder::float::{MAX_LAYERS, MAX_OUTPUTS, MAX_WIDTH};
use crate::error::{Error, Result};

/// The kind of network.
#[derive(Clone, Debug, PartialEq)]
pub enum Architecture {
    /// A variational autoencoder. Only the encoder with the means of the latent variables is kept;
    /// the score is their squared length. **Source**: AXOL1TL, CMS DP-2023/079.
    Variational {
        /// Widths of the layers before the latent variables; the decoder has them in reverse.
        hidden: Vec<u32>,
        /// Number of latent variables.
        latent: u32,
        /// Weight of the Kullback–Leibler divergence against the squared error of one event.
        /// For a Gaussian error of standard deviation s, 2 s² is the evidence lower bound.
        beta: f64,
    },
    /// An autoencoder; the score is the squared error of what it reconstructs.
    Reconstruction {
        /// Widths of the layers between inputs and outputs.
        hidden: Vec<u32>,
    },
    /// The published convolutional autoencoder; events are images of objects with three fields.
    /// The score is the squared error of the whole image. **Source**: `convolution.rs`.
    Convolutional {
        /// Kernels of 3 × 3.
        filters: u32,
        /// Number of latent variables.
        latent: u32,
    },
}

const MAX_EPOCHS: u32 = 100_000;

/// Caps of hidden values that can be asked for.
const MIN_CAP: f32 = 1.0 / 256.0;
const MAX_CAP: f32 = 256.0;

/// Learning rate of fine-tuning, in units of the other.
const FINE_TUNING_RATE: f64 = 0.1;

impl Architecture {
    /// 32-16-8, weight of the divergence 0.01.
    #[must_use]
    pub fn variational() -> Architecture {
        Architecture::Variational { hidden: vec![32, 16], latent: 8, beta: 0.01 }
    }

    /// 32-16-8-16-32.
    #[must_use]
    pub fn reconstruction() -> Architecture {
        Architecture::Reconstruction { hidden: vec![32, 16, 8, 16, 32] }
    }

    /// Ten filters, eight latent variables.
    #[must_use]
    pub fn convolutional() -> Architecture {
        Architecture::Convolutional { filters: 10, latent: 8 }
    }
}

/// What an error e of one output costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// e².
    Mse,
    /// e² up to delta, then the tangent 2 delta |e| − delta²: far outliers pull no stronger.
    Huber {
        /// Where the parabola ends; 1.0 is 128 codes.
        delta: f64,
    },
}

/// How the learning rate changes after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Along half a cosine down to zero at the last step.
    Cosine,
}

/// Every setting of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoencoderConfig {
    /// The kind of network and its widths.
    pub architecture: Architecture,
    /// Features that are reconstructed, in order; none: all.
    pub targets: Vec<u16>,
    /// What an error costs.
    pub loss: Loss,
    /// Power of two near which hidden values are clipped, at 255/256 of it, so that it is the
    /// largest of 256 codes; infinity: nowhere.
    pub cap: f32,
    /// Largest learning rate, after the warm-up.
    pub learning_rate: f64,
    /// What becomes of it.
    pub schedule: Schedule,
    /// Epochs, or a part of one, over which the learning rate grows from zero.
    pub warm_up: f64,
    /// Decoupled decay of weights, per step in units of the learning rate (AdamW).
    pub weight_decay: f64,
    /// Most passes over the training rows.
    pub epochs: u32,
    /// Passes after those in which the network is what its integer twin will be, at a tenth of the
    /// learning rate.
    pub fine_tuning_epochs: u32,
    /// Rows of a step.
    pub batch_size: u32,
    /// Part of the rows, the last ones, that is not trained on.
    pub validation_fraction: f64,
    /// Epochs without a lower validation loss after which training ends; none: never.
    pub patience: Option<u32>,
    /// Quantile of each feature at which codes are clipped in training, so that what lies beyond
    /// is never learnt; none: nowhere. The finished network sees codes unclipped.
    pub clip_quantile: Option<f64>,
    /// Seed of every random choice.
    pub rng_seed: u64,
}

impl Default for AutoencoderConfig {
    fn default() -> AutoencoderConfig {
        AutoencoderConfig {
            architecture: Architecture::variational(),
            targets: Vec::new(),
            loss: Loss::Mse,
            cap: 4.0,
            learning_rate: 3e-3,
            schedule: Schedule::Cosine,
            warm_up: 0.5,
            weight_decay: 0.0,
            epochs: 10,
            fine_tuning_epochs: 2,
            batch_size: 1024,
            validation_fraction: 0.1,
            patience: Some(5),
            clip_quantile: None,
            rng_seed: 1,
        }
    }
}

impl AutoencoderConfig {
    /// Checks the settings against rows of `n_features`.
    ///
    /// # Errors
    /// Names the first setting that cannot be.
    pub fn check(&self, n_features: usize) -> Result<()> {
        self.check_shape(n_features)?;
        let positive = "a positive number";
        let numbers = [
            ("learning rate", self.learning_rate, positive, f64::MIN_POSITIVE..f64::INFINITY),
            ("warm-up", self.warm_up, "epochs, 0 or more", 0.0..f64::INFINITY),
            ("weight decay", self.weight_decay, "0 or more", 0.0..f64::INFINITY),
            ("validation fraction", self.validation_fraction, "0 to below 1", 0.0..1.0),
            ("beta", self.beta(), "0 or more", 0.0..f64::INFINITY),
            ("delta of the Huber loss", self.delta(), positive, f64::MIN_POSITIVE..f64::INFINITY),
            ("clip quantile", self.clip_quantile.unwrap_or(0.5), "above 0, below 1", 1e-9..1.0),
        ];
        for (setting, found, expected, range) in numbers {
            if !range.contains(&found) {
                return Err(Error::setting(setting, expected, found));
            }
        }
        let is_power = self.cap.is_normal() && self.cap.to_bits().trailing_zeros() >= 23;
        if self.cap != f32::INFINITY && !(is_power && (MIN_CAP..=MAX_CAP).contains(&self.cap)) {
            let expected = format!("none, or a power of two from {MIN_CAP} to {MAX_CAP}");
            return Err(Error::setting("cap of hidden values", expected, self.cap));
        }
        if self.fine_tuning_epochs > MAX_EPOCHS {
            let expected = format!("0 to {MAX_EPOCHS}");
            return Err(Error::setting("epochs of fine-tuning", expected, self.fine_tuning_epochs));
        }
        let counts = [
            ("epochs", self.epochs, MAX_EPOCHS),
            ("batch size", self.batch_size, 1 << 20),
            ("patience", self.patience.unwrap_or(1), MAX_EPOCHS),
        ];
        for (setting, found, most) in counts {
            if !(1..=most).contains(&found) {
                return Err(Error::setting(setting, format!("1 to {most}"), found));
            }
        }
        if self.patience.is_some() && self.validation_fraction == 0.0 {
            let expected = "none, as no row is left for validation";
            return Err(Error::setting("patience", expected, self.patience.unwrap_or(0)));
        }
        Ok(())
    }

    fn check_shape(&self, n_features: usize) -> Result<()> {
        if !(1..=MAX_WIDTH).contains(&n_features) {
            return Err(Error::setting("features", format!("1 to {MAX_WIDTH}"), n_features));
        }
        let convolutional;
        let (hidden, outputs) = match &self.architecture {
            Architecture::Variational { hidden, latent, .. } => (hidden, *latent as usize),
            Architecture::Reconstruction { hidden } => (hidden, self.n_targets(n_features)),
            &Architecture::Convolutional { filters, latent } => {
                if !n_features.is_multiple_of(IMAGE_FIELDS) || n_features < 2 * IMAGE_FIELDS {
                    let expected = "two or more objects of (pt, eta, phi)";
                    return Err(Error::setting("features of an image", expected, n_features));
                }
                if !self.targets.is_empty() {
                    let expected = "all, as the whole image is reconstructed";
                    return Err(Error::setting("targets", expected, self.targets.len()));
                }
                let most = MAX_WIDTH as u32;
                if !(1..=most).contains(&filters) {
                    return Err(Error::setting("filters", format!("1 to {most}"), filters));
                }
                let hidden = Image::new(filters, n_features).n_hidden() as u32;
                convolutional = vec![hidden, latent, hidden];
                (&convolutional, n_features)
            }
        };
        if hidden.len() >= MAX_LAYERS {
            let expected = format!("at most {}", MAX_LAYERS - 1);
            return Err(Error::setting("hidden layers", expected, hidden.len()));
        }
        if let Some(width) = hidden.iter().find(|&&w| !(1..=MAX_WIDTH).contains(&(w as usize))) {
            return Err(Error::setting("width of a layer", format!("1 to {MAX_WIDTH}"), width));
        }
        if !(1..=MAX_OUTPUTS).contains(&outputs) {
            let expected = format!("1 to {MAX_OUTPUTS}");
            return Err(Error::setting("outputs of the network", expected, outputs));
        }
        if let Some(target) = self.targets.iter().find(|&&t| usize::from(t) >= n_features) {
            let expected = format!("features below {n_features}");
            return Err(Error::setting("targets", expected, target));
        }
        Ok(())
    }

    /// Number of features that are reconstructed.
    pub(super) fn n_targets(&self, n_features: usize) -> usize {
        if self.targets.is_empty() { n_features } else { self.targets.len() }
    }

    /// Weight of the divergence; 0 where there is none.
    pub(super) fn beta(&self) -> f64 {
        match self.architecture {
            Architecture::Variational { beta, .. } => beta,
            Architecture::Reconstruction { .. } | Architecture::Convolutional { .. } => 0.0,
        }
    }

    /// Where the loss becomes linear; anything where it does not.
    fn delta(&self) -> f64 {
        match self.loss {
            Loss::Mse => 1.0,
            Loss::Huber { delta } => delta,
        }
    }

    /// Where hidden values are clipped.
    pub(super) fn clipped_at(&self) -> f32 {
        self.cap * (255.0 / 256.0)
    }

    /// Learning rate of a step of fine-tuning, counted from 0, of `n_steps` in all.
    pub(super) fn fine_tuning_rate_at(&self, step: u64, n_steps: u64) -> f64 {
        FINE_TUNING_RATE * self.scheduled(step as f64 / (n_steps as f64).max(1.0))
    }

    /// The learning rate when some part of all steps is done.
    fn scheduled(&self, done: f64) -> f64 {
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }

    /// Learning rate of a step, counted from 0, of `n_steps` in all.
    pub(super) fn learning_rate_at(&self, step: u64, n_steps: u64, steps_per_epoch: u64) -> f64 {
        let warm_up = (self.warm_up * steps_per_epoch as f64).min(n_steps as f64);
        let step = step as f64;
        if step + 1.0 < warm_up {
            return self.learning_rate * (step + 1.0) / warm_up;
        }
        self.scheduled((step - warm_up).max(0.0) / (n_steps as f64 - warm_up).max(1.0))
    }

    /// Every setting by its name, as it is recorded in models and compared with checkpoints.
    #[must_use]
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        let mut add = |name: &str, value: String| settings.push((name.to_owned(), value));
        let list = |widths: &[u32]| widths.iter().map(u32::to_string).collect::<Vec<_>>().join("-");
        match &self.architecture {
            Architecture::Variational { hidden, latent, beta } => {
                add("architecture", "variational".to_owned());
                add("hidden", list(hidden));
                add("latent", latent.to_string());
                add("beta", beta.to_string());
            }
            Architecture::Reconstruction { hidden } => {
                add("architecture", "reconstruction".to_owned());
                add("hidden", list(hidden));
            }
            Architecture::Convolutional { filters, latent } => {
                add("architecture", "convolutional".to_owned());
                add("filters", filters.to_string());
                add("latent", latent.to_string());
            }
        }
        let targets: Vec<String> = self.targets.iter().map(u16::to_string).collect();
        let targets = if targets.is_empty() { "all".to_owned() } else { targets.join(",") };
        add("targets", targets);
        add(
            "loss",
            match self.loss {
                Loss::Mse => "mse".to_owned(),
                Loss::Huber { delta } => format!("huber:{delta}"),
            },
        );
        add("cap", self.cap.to_string());
        add("learning_rate", self.learning_rate.to_string());
        add("schedule", format!("{:?}", self.schedule).to_lowercase());
        add("warm_up", self.warm_up.to_string());
        add("weight_decay", self.weight_decay.to_string());
        add("epochs", self.epochs.to_string());
        add("fine_tuning_epochs", self.fine_tuning_epochs.to_string());
        add("batch_size", self.batch_size.to_string());
        add("validation_fraction", self.validation_fraction.to_string());
        add("patience", self.patience.map_or("none".to_owned(), |p| p.to_string()));
        add("clip_quantile", self.clip_quantile.map_or("none".to_owned(), |q| q.to_string()));
        add("rng_seed", self.rng_seed.to_string());
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_named() {
        let refuse = |change: fn(&mut AutoencoderConfig), what: &str| {
            let mut config = AutoencoderConfig::default();
            config.check(57).unwrap();
            change(&mut config);
            let error = config.check(57).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("expected"), "{error}");
        };
        let hidden = |hidden| Architecture::Reconstruction { hidden };
        refuse(|c| c.learning_rate = 0.0, "learning rate");
        refuse(|c| c.learning_rate = f64::NAN, "learning rate");
        refuse(|c| c.warm_up = -1.0, "warm-up");
        refuse(|c| c.weight_decay = f64::INFINITY, "weight decay");
        refuse(|c| c.validation_fraction = 1.0, "validation fraction");
        refuse(|c| c.validation_fraction = 0.0, "patience");
        refuse(|c| c.loss = Loss::Huber { delta: 0.0 }, "Huber");
        refuse(|c| c.clip_quantile = Some(1.0), "clip quantile");
        refuse(|c| c.cap = 0.0, "cap");
        refuse(|c| c.cap = 0.75, "power of two");
        refuse(|c| c.cap = f32::NAN, "power of two");
        refuse(|c| c.fine_tuning_epochs = u32::MAX, "fine-tuning: expected 0 to");
        refuse(|c| c.epochs = 0, "epochs");
        refuse(|c| c.batch_size = 0, "batch size");
        refuse(|c| c.patience = Some(0), "patience");
        refuse(|c| c.targets = vec![57], "targets");
        let mut config =
            AutoencoderConfig { architecture: hidden(vec![3, 0]), ..Default::default() };
        assert!(config.check(57).unwrap_err().to_string().contains("width"));
        config.architecture = hidden(vec![8; 16]);
        assert!(config.check(57).unwrap_err().to_string().contains("hidden layers"));
        config.architecture = hidden(vec![]);
        config.check(127).unwrap();
        assert!(config.check(128).unwrap_err().to_string().contains("outputs"));
        config.architecture = Architecture::convolutional();
        config.check(57).unwrap();
        assert!(config.check(56).unwrap_err().to_string().contains("objects of (pt, eta, phi)"));
        config.architecture = Architecture::Convolutional { filters: 40, latent: 8 };
        assert!(config.check(57).unwrap_err().to_string().contains("width"));
        config.architecture = Architecture::Variational { hidden: vec![], latent: 0, beta: 1.0 };
        assert!(config.check(57).unwrap_err().to_string().contains("outputs"));
    }

    #[test]
    fn the_learning_rate_warms_up_and_falls_along_a_cosine() {
        let mut config =
            AutoencoderConfig { learning_rate: 2.0, warm_up: 0.5, ..Default::default() };
        let at = |config: &AutoencoderConfig, step| config.learning_rate_at(step, 105, 10);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        near(at(&config, 0), 0.4);
        near(at(&config, 3), 1.6);
        near(at(&config, 5), 2.0);
        near(at(&config, 55), 1.0);
        near(at(&config, 105), 0.0);
        config.schedule = Schedule::Constant;
        near(at(&config, 104), 2.0);
        config.warm_up = 0.0;
        near(at(&config, 0), 2.0);
    }
}
