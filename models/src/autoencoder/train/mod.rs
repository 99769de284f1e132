//! Training of autoencoders: rows in, an [`Autoencoder`] out.
//!
//! ```text
//! stream ─► Calibration ─► scales ─┐
//! stream ─────────────────────────►┴► CodeRows ─► Trainer ─► Autoencoder
//!                                                 │  ▲
//!                                     checkpoint ◄┘  └ observer: progress, stop
//! ```
//!
//! A training has two parts. First the network is trained in floating point; then, from the best
//! numbers so far, as what its integer twin will be: with rounded weights and values, whose scales
//! are chosen between the parts and stay.
//!
//! Every random choice comes from a stream of its own that is derived from the seed: the initial
//! numbers, the order of the rows in each epoch, the noise of each step. So a training that was
//! interrupted after any step goes on as if nothing had been, and the same rows, settings and seed
//! give the same network on the same machine. On another one, other vector instructions may round
//! differently; what a model file holds is what counts.
//!
//! Gradients come from `burn_tensor` on one thread; the rest is here. No wall-clock time is read:
//! whoever trains brings it.

mod adam;
mod checkpoint;
mod config;
mod convolution;
mod network;
mod rows;

use std::path::Path;

use crate::autoencoder::Autoencoder;
use crate::autoencoder::float::{CODES_PER_UNIT, FloatNet};
use crate::autoencoder::quantise::{output_bits, quantise};
use crate::error::{Error, Result};
use crate::forest::rng::TreeRng as SeededRng;
use adam::Adam;
use checkpoint::{Best, FineTuning, Sizes, State};
use network::{Batch, Network, standard_normal};

pub use checkpoint::EpochRecord;
pub use config::{Architecture, AutoencoderConfig, Loss, Schedule};
pub use rows::{BEYOND_BULK, BULK_CODES, Calibration, CodeRows};

/// Rows of a step of validation.
const VALIDATION_ROWS: usize = 4096;

/// Most rows that the scales of the integer network are taken from.
const QUANTISATION_ROWS: usize = 50_000;

/// Random streams of validation: beyond those of 2^31 epochs.
const VALIDATION_STREAM: u64 = 1 << 63;

/// Who watches a training.
pub trait Observer {
    /// Seconds since some fixed moment.
    fn now_s(&mut self) -> f64;
    /// After each step: how many of how many are done. Returns whether to go on.
    fn after_step(&mut self, done: u64, of: u64) -> bool;
    /// After each epoch.
    fn after_epoch(&mut self, record: &EpochRecord);
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Finished,
    /// The validation loss has not fallen for as many epochs as patience allowed.
    NoProgress,
    /// The observer said stop; the checkpoint, if there is one, holds everything so far.
    Interrupted,
}

/// A training.
#[derive(Clone, Debug)]
pub struct Trainer<'a> {
    config: AutoencoderConfig,
    network: Network,
    rows: &'a CodeRows,
    codes: &'a [u8],
    rows_digest: u64,
    n_training: usize,
    /// Highest code of each feature that training sees.
    most: Vec<u8>,
    state: State,
}

/// How many of `n_rows` are trained on; the rest, the last ones, are held back.
#[must_use]
pub fn n_training_rows(config: &AutoencoderConfig, n_rows: u64) -> u64 {
    n_rows - (n_rows as f64 * config.validation_fraction) as u64
}

impl<'a> Trainer<'a> {
    /// Initial numbers, nothing trained.
    ///
    /// # Errors
    /// If a setting cannot be, rows are missing, all are equal, or they are too few for one step.
    pub fn new(config: AutoencoderConfig, rows: &'a CodeRows) -> Result<Trainer<'a>> {
        config.check(rows.n_features())?;
        let codes = rows.codes()?;
        let n_rows = codes.len() / rows.n_features();
        let n_training = n_training_rows(&config, n_rows as u64) as usize;
        let held_back = n_rows - n_training;
        if n_training < config.batch_size as usize {
            let expected = format!("at least {}, the rows of one step", config.batch_size);
            return Err(Error::setting("training rows", expected, n_training));
        }
        if config.validation_fraction > 0.0 && held_back == 0 {
            return Err(Error::setting("validation rows", "at least 1", held_back));
        }
        let network = Network::new(&config, rows.n_features());
        let parameters = network.initial(&mut SeededRng::of_tree(config.rng_seed, 0));
        let state = State {
            epoch: 0,
            step: 0,
            loss_sum: 0.0,
            seconds: 0.0,
            adam: Adam::new(parameters.len()),
            parameters,
            best: None,
            fine_tuning: None,
            history: Vec::new(),
        };
        let training = &codes[..n_training * rows.n_features()];
        let most = highest_codes(training, rows.n_features(), config.clip_quantile);
        let rows_digest = rows.digest();
        Ok(Trainer { config, network, rows, codes, rows_digest, n_training, most, state })
    }

    /// What a checkpoint left.
    ///
    /// # Errors
    /// As [`Trainer::new`], and if the checkpoint is damaged or belongs to other settings or rows.
    pub fn resume(
        config: AutoencoderConfig,
        rows: &'a CodeRows,
        checkpoint: &Path,
    ) -> Result<Trainer<'a>> {
        let mut trainer = Trainer::new(config, rows)?;
        let settings = trainer.config.settings();
        let sizes = Sizes {
            n_parameters: trainer.network.n_parameters(),
            n_layers: trainer.network.n_kept_layers(),
            steps_per_epoch: trainer.steps_per_epoch(),
        };
        trainer.state = checkpoint::read(checkpoint, &settings, trainer.rows_digest, sizes)?;
        Ok(trainer)
    }

    /// Trains to the end or until the observer says stop. After each epoch, and when it is
    /// stopped, everything is written to the checkpoint, if there is one.
    ///
    /// # Errors
    /// If the loss is no longer finite (the checkpoint is then that of the last good epoch), or a
    /// checkpoint cannot be written.
    pub fn run(
        &mut self,
        checkpoint: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<Ending> {
        loop {
            if self.is_part_over() {
                let is_last = self.state.fine_tuning.is_some();
                if is_last || self.config.fine_tuning_epochs == 0 {
                    return Ok(self.ending());
                }
                self.begin_fine_tuning()?;
            }
            let go_on = self.steps(observer)?;
            if self.state.step == self.steps_per_epoch() {
                self.finish_epoch(observer)?;
            }
            if let Some(path) = checkpoint {
                checkpoint::write(path, self.config.settings(), self.rows_digest, &self.state)?;
            }
            if !go_on {
                return Ok(Ending::Interrupted);
            }
        }
    }

    /// Every epoch so far.
    #[must_use]
    pub fn history(&self) -> &[EpochRecord] {
        &self.state.history
    }

    /// Steps done so far.
    #[must_use]
    pub fn n_steps_done(&self) -> u64 {
        u64::from(self.state.epoch) * u64::from(self.steps_per_epoch()) + u64::from(self.state.step)
    }

    /// Steps of all epochs, as far as is known: the first part may end early.
    #[must_use]
    pub fn n_steps(&self) -> u64 {
        let first = self.state.fine_tuning.as_ref().map_or(self.config.epochs, |part| part.after);
        u64::from(first + self.config.fine_tuning_epochs) * u64::from(self.steps_per_epoch())
    }

    /// The epoch that the integers of [`Trainer::autoencoder`] are of: the one with the lowest
    /// validation loss of the last part, or the best of the part before; without validation the
    /// very last. 0 before the first has ended.
    #[must_use]
    pub fn best_epoch(&self) -> u32 {
        self.state.best.as_ref().map_or(self.state.epoch, |best| best.epoch)
    }

    /// The network as the first part left it, and the integer one of the best epoch: of the second
    /// part if there was one, else made from the first.
    ///
    /// # Errors
    /// If its numbers are not finite, or too large for the integer path.
    pub fn autoencoder(&self) -> Result<Autoencoder> {
        let best = self.net(self.best_parameters())?;
        let Some(part) = &self.state.fine_tuning else {
            let integer = quantise(&best, &self.output_bits(&best)?)?;
            return Autoencoder::new(best, integer);
        };
        Autoencoder::new(self.net(&part.float)?, quantise(&best, &part.output_bits)?)
    }

    fn best_parameters(&self) -> &[f32] {
        self.state.best.as_ref().map_or(&self.state.parameters, |best| &best.parameters)
    }

    fn net(&self, parameters: &[f32]) -> Result<FloatNet> {
        self.network.export(parameters, self.rows.scales())
    }

    fn output_bits(&self, net: &FloatNet) -> Result<Vec<i32>> {
        output_bits(net, &self.rows.some_rows(QUANTISATION_ROWS, self.n_training as u64))
    }

    fn steps_per_epoch(&self) -> u32 {
        // Rows that fill no step are left out; each epoch others.
        self.n_training as u32 / self.config.batch_size
    }

    fn is_part_over(&self) -> bool {
        if let Some(part) = &self.state.fine_tuning {
            return self.state.epoch - part.after >= self.config.fine_tuning_epochs;
        }
        let since_best = self.state.epoch - self.best_epoch();
        self.state.epoch >= self.config.epochs
            || self.config.patience.is_some_and(|patience| since_best >= patience)
    }

    fn ending(&self) -> Ending {
        let part = self.state.fine_tuning.as_ref();
        let n_epochs = part.map_or(self.state.epoch, |part| part.after);
        if n_epochs < self.config.epochs { Ending::NoProgress } else { Ending::Finished }
    }

    /// From the best numbers so far, with an optimiser that remembers nothing.
    fn begin_fine_tuning(&mut self) -> Result<()> {
        let (epoch, float) = (self.best_epoch(), self.best_parameters().to_vec());
        let output_bits = self.output_bits(&self.net(&float)?)?;
        let state = &mut self.state;
        state.parameters.clone_from(&float);
        state.best = None;
        state.adam = Adam::new(float.len());
        state.fine_tuning = Some(FineTuning { after: state.epoch, float, output_bits });
        // What rounding alone makes of them is the first to beat.
        if let Some(loss) = self.validation_loss() {
            if !loss.is_finite() {
                return Err(self.diverged(loss));
            }
            let parameters = self.state.parameters.clone();
            self.state.best = Some(Best { epoch, loss, parameters });
        }
        Ok(())
    }

    /// What the layers of the integer twin should have, while fine-tuning.
    fn bits(&self) -> Option<&[i32]> {
        self.state.fine_tuning.as_ref().map(|part| part.output_bits.as_slice())
    }

    fn learning_rate_at(&self, step: u64) -> f64 {
        let per_epoch = u64::from(self.steps_per_epoch());
        match &self.state.fine_tuning {
            None => {
                let n_steps = u64::from(self.config.epochs) * per_epoch;
                self.config.learning_rate_at(step, n_steps, per_epoch)
            }
            Some(part) => {
                let n_steps = u64::from(self.config.fine_tuning_epochs) * per_epoch;
                self.config.fine_tuning_rate_at(step - u64::from(part.after) * per_epoch, n_steps)
            }
        }
    }

    /// The steps that the epoch still lacks. Returns whether the observer wants to go on.
    fn steps(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let order = self.order();
        let (size, n_steps) = (self.config.batch_size as usize, self.n_steps());
        let steps_per_epoch = self.steps_per_epoch();
        let decayed = self.network.weights();
        let start_s = observer.now_s() - self.state.seconds;
        let mut go_on = true;
        while go_on && self.state.step < steps_per_epoch {
            let rows = &order[self.state.step as usize * size..][..size];
            let noise = self.rng(self.state.step + 1);
            let batch = self.batch(rows.iter().map(|&row| row as usize), noise);
            let (loss, gradient) =
                self.network.gradient(&self.state.parameters, &batch, self.bits());
            if !loss.is_finite() {
                return Err(self.diverged(loss.into()));
            }
            let step = self.n_steps_done();
            let rate = self.learning_rate_at(step);
            let decay = (rate * self.config.weight_decay) as f32;
            let State { adam, parameters, .. } = &mut self.state;
            adam.step(parameters, &gradient, rate as f32, &decayed, decay);
            self.state.step += 1;
            self.state.loss_sum += f64::from(loss);
            go_on = observer.after_step(step + 1, n_steps);
        }
        self.state.seconds = observer.now_s() - start_s;
        // What a checkpoint holds must be fit to go on with.
        match self.state.parameters.iter().find(|p| !p.is_finite()) {
            Some(&parameter) => Err(self.diverged(parameter.into())),
            None => Ok(go_on),
        }
    }

    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let start_s = observer.now_s();
        let validation_loss = self.validation_loss();
        if let Some(loss) = validation_loss.filter(|loss| !loss.is_finite()) {
            return Err(self.diverged(loss));
        }
        let n_steps = self.steps_per_epoch();
        let last = self.n_steps_done() - 1;
        let record = EpochRecord {
            epoch: self.state.epoch + 1,
            is_fine_tuning: self.state.fine_tuning.is_some(),
            training_loss: self.state.loss_sum / f64::from(n_steps),
            validation_loss,
            learning_rate: self.learning_rate_at(last),
            seconds: self.state.seconds + observer.now_s() - start_s,
        };
        let state = &mut self.state;
        if let Some(loss) = validation_loss
            && state.best.as_ref().is_none_or(|best| loss < best.loss)
        {
            let parameters = state.parameters.clone();
            state.best = Some(Best { epoch: record.epoch, loss, parameters });
        }
        state.history.push(record);
        (state.epoch, state.step) = (record.epoch, 0);
        (state.loss_sum, state.seconds) = (0.0, 0.0);
        observer.after_epoch(&record);
        Ok(())
    }

    fn diverged(&self, loss: f64) -> Error {
        let (epoch, step) = (self.state.epoch + 1, self.state.step + 1);
        Error::Diverged { epoch, step: step.min(self.steps_per_epoch()), loss }
    }

    /// The training rows in the order of the current epoch.
    fn order(&self) -> Vec<u32> {
        let mut rng = self.rng(0);
        let mut order: Vec<u32> = (0..self.n_training as u32).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, rng.below(last as u64 + 1) as usize);
        }
        order
    }

    /// A random stream of the current epoch; that of a step is its number, counted from 1.
    fn rng(&self, stream: u32) -> SeededRng {
        let epoch = u64::from(self.state.epoch) + 1;
        SeededRng::of_tree(self.config.rng_seed, epoch << 32 | u64::from(stream))
    }

    fn batch(&self, rows: impl Iterator<Item = usize>, mut rng: SeededRng) -> Batch {
        let width = self.rows.n_features();
        let mut inputs = Vec::with_capacity(rows.size_hint().0 * width);
        for row in rows {
            let codes = self.codes[row * width..][..width].iter().zip(&self.most);
            inputs.extend(codes.map(|(&code, &most)| f32::from(code.min(most)) / CODES_PER_UNIT));
        }
        let n_noise = inputs.len() / width * self.network.noise_width();
        let noise = (0..n_noise).map(|_| standard_normal(&mut rng)).collect();
        Batch { inputs, noise }
    }

    /// Mean loss of the rows held back, with the same noise whenever it is asked for: without any,
    /// the epoch with the least faithful variances would look best.
    fn validation_loss(&self) -> Option<f64> {
        let n_rows = self.codes.len() / self.rows.n_features();
        let mut sum = 0.0;
        for start in (self.n_training..n_rows).step_by(VALIDATION_ROWS) {
            let end = (start + VALIDATION_ROWS).min(n_rows);
            let rng = SeededRng::of_tree(self.config.rng_seed, VALIDATION_STREAM | start as u64);
            let batch = self.batch(start..end, rng);
            let loss = self.network.loss_of(&self.state.parameters, &batch, self.bits());
            sum += f64::from(loss) * (end - start) as f64;
        }
        (n_rows > self.n_training).then(|| sum / (n_rows - self.n_training) as f64)
    }
}

/// The code at a quantile of each feature; without one, the highest there is.
fn highest_codes(codes: &[u8], n_features: usize, quantile: Option<f64>) -> Vec<u8> {
    let Some(quantile) = quantile else { return vec![u8::MAX; n_features] };
    let mut counts = vec![[0u64; 256]; n_features];
    for row in codes.chunks_exact(n_features) {
        row.iter().zip(&mut counts).for_each(|(&code, counts)| counts[usize::from(code)] += 1);
    }
    let allowed = ((codes.len() / n_features) as f64 * (1.0 - quantile)) as u64;
    let highest = |counts: &[u64; 256]| {
        let mut beyond = 0;
        let place = counts.iter().rposition(|&n| {
            beyond += n;
            beyond > allowed
        });
        place.unwrap_or(0) as u8
    };
    counts.iter().map(highest).collect()
}

#[cfg(test)]
mod tests;
