//! Whole trainings of a few seconds: what they reach, repeat, resume and refuse.

use super::*;
use crate::features::FeatureSpec;
use crate::testing::l1_block;

/// Events with three jets and the missing transverse energy.
fn rows(n_events: usize, rng_seed: u64) -> CodeRows {
    rows_of("met.pt, jet[0..3].(pt,eta), zero", n_events, rng_seed)
}

fn rows_of(features: &str, n_events: usize, rng_seed: u64) -> CodeRows {
    let spec = FeatureSpec::parse(features).unwrap();
    let block = l1_block(n_events, rng_seed);
    let mut calibration = Calibration::new(&spec, n_events as u64);
    calibration.collect(&block).unwrap();
    let scales = calibration.scales(&[]).unwrap();
    let mut rows = CodeRows::new(&spec, scales, n_events as u64).unwrap();
    rows.collect(&block).unwrap();
    rows
}

fn config() -> AutoencoderConfig {
    AutoencoderConfig {
        architecture: Architecture::Variational { hidden: vec![12, 6], latent: 2, beta: 0.01 },
        epochs: 4,
        fine_tuning_epochs: 0,
        batch_size: 64,
        learning_rate: 3e-3,
        ..Default::default()
    }
}

fn reconstruction() -> AutoencoderConfig {
    AutoencoderConfig {
        architecture: Architecture::Reconstruction { hidden: vec![12, 3, 12] },
        loss: Loss::Huber { delta: 0.5 },
        targets: vec![0, 1, 3, 5],
        clip_quantile: Some(0.99),
        weight_decay: 0.01,
        ..config()
    }
}

/// Time that stands still, and a stop after a number of steps.
#[derive(Default)]
struct Watch {
    stop_at: Option<u64>,
    epochs: Vec<EpochRecord>,
}

impl Observer for Watch {
    fn now_s(&mut self) -> f64 {
        0.0
    }

    fn after_step(&mut self, done: u64, of: u64) -> bool {
        assert!(done <= of);
        self.stop_at != Some(done)
    }

    fn after_epoch(&mut self, record: &EpochRecord) {
        self.epochs.push(*record);
    }
}

#[test]
fn the_loss_falls_and_the_best_epoch_is_kept() {
    let rows = rows(2000, 1);
    for config in [config(), reconstruction()] {
        let mut trainer = Trainer::new(config.clone(), &rows).unwrap();
        let before = trainer.validation_loss().unwrap();
        let mut watch = Watch::default();
        assert_eq!(trainer.run(None, &mut watch).unwrap(), Ending::Finished);
        assert_eq!(watch.epochs, trainer.history());
        let losses: Vec<f64> = watch.epochs.iter().map(|e| e.validation_loss.unwrap()).collect();
        assert!(losses[3] < 0.9 * before && losses[3] < losses[0], "{before} {losses:?}");
        assert!(watch.epochs[3].training_loss < watch.epochs[0].training_loss);
        let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let best = trainer.best_epoch() as usize;
        assert_eq!(losses[best - 1].to_bits(), lowest.to_bits());
        let net = trainer.autoencoder().unwrap().float;
        assert_eq!(net.parts().targets, net_targets(&config));
        assert_eq!(net.parts().inputs, rows.scales());
    }
}

#[test]
fn fine_tuning_starts_at_the_best_numbers_and_keeps_the_best_of_its_own() {
    let rows = rows(2000, 11);
    let config = AutoencoderConfig { epochs: 3, fine_tuning_epochs: 3, ..reconstruction() };
    let mut first =
        Trainer::new(AutoencoderConfig { fine_tuning_epochs: 0, ..config.clone() }, &rows).unwrap();
    first.run(None, &mut Watch::default()).unwrap();
    let mut trainer = Trainer::new(config, &rows).unwrap();
    let mut watch = Watch::default();
    assert_eq!(trainer.run(None, &mut watch).unwrap(), Ending::Finished);
    let parts: Vec<bool> = watch.epochs.iter().map(|epoch| epoch.is_fine_tuning).collect();
    assert_eq!(parts, [false, false, false, true, true, true]);
    assert_eq!(watch.epochs[..3], first.history()[..]);
    let rates: Vec<f64> = watch.epochs.iter().map(|epoch| epoch.learning_rate).collect();
    assert!(rates[3] < 3.1e-4 && rates[5] < 1e-5, "{rates:?}");
    // What rounding alone makes of the first part.
    let mut start = Trainer::new(trainer.config.clone(), &rows).unwrap();
    start.state = first.state.clone();
    start.begin_fine_tuning().unwrap();
    assert_eq!(start.best_epoch(), first.best_epoch());
    let before = start.state.best.as_ref().unwrap().loss;
    let after = trainer.state.best.as_ref().unwrap().loss;
    assert!(after < before, "{before} {after}");
    // Integers are on the grid that was trained on; the float twin is what the first part left.
    let autoencoder = trainer.autoencoder().unwrap();
    let bits = &trainer.state.fine_tuning.as_ref().unwrap().output_bits;
    let best = trainer.net(trainer.best_parameters()).unwrap();
    assert_eq!(autoencoder.integer, quantise(&best, bits).unwrap());
    assert_eq!(autoencoder.float, first.autoencoder().unwrap().float);
}

#[test]
fn convolutional_networks_are_trained_and_become_dense() {
    let rows = rows_of("met.(pt), zero, met.(phi), jet[0..4].(pt,eta,phi)", 1500, 12);
    let config = AutoencoderConfig {
        architecture: Architecture::Convolutional { filters: 3, latent: 4 },
        fine_tuning_epochs: 1,
        ..config()
    };
    let mut trainer = Trainer::new(config.clone(), &rows).unwrap();
    let before = trainer.validation_loss().unwrap();
    assert_eq!(trainer.run(None, &mut Watch::default()).unwrap(), Ending::Finished);
    assert!(trainer.state.best.as_ref().unwrap().loss < 0.8 * before);
    let net = trainer.autoencoder().unwrap().float;
    let widths: Vec<usize> = net.parts().layers.iter().map(|l| l.biases.len()).collect();
    assert_eq!(widths, [18, 4, 18, 15]);
    // Two kernels, two dense layers between them, and their biases.
    let n_numbers = 3 * 9 + 3 + (18 * 4 + 4) + (4 * 18 + 18) + 3 * 9 + 1;
    assert_eq!(trainer.state.parameters.len(), n_numbers);
    let flat = self::rows(700, 12);
    let error = Trainer::new(config, &flat).unwrap_err().to_string();
    assert!(error.contains("objects of (pt, eta, phi)"), "{error}");
}

fn net_targets(config: &AutoencoderConfig) -> Vec<u16> {
    match config.architecture {
        Architecture::Variational { .. } => Vec::new(),
        Architecture::Reconstruction { .. } => config.targets.clone(),
        Architecture::Convolutional { .. } => (0..8).collect(),
    }
}

#[test]
fn the_same_seed_gives_the_same_network_and_another_one_another() {
    let rows = rows(700, 2);
    let trained = |rng_seed| {
        let config = AutoencoderConfig { rng_seed, epochs: 2, ..config() };
        let mut trainer = Trainer::new(config, &rows).unwrap();
        trainer.run(None, &mut Watch::default()).unwrap();
        trainer.autoencoder().unwrap().float
    };
    assert_eq!(trained(5), trained(5));
    assert_ne!(trained(5), trained(6));
}

#[test]
fn a_resumed_training_ends_as_an_uninterrupted_one() {
    let rows = rows(1000, 3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.checkpoint");
    let fine_tuned = AutoencoderConfig { epochs: 2, fine_tuning_epochs: 2, ..reconstruction() };
    for config in [config(), reconstruction(), fine_tuned] {
        let mut whole = Trainer::new(config.clone(), &rows).unwrap();
        whole.run(None, &mut Watch::default()).unwrap();
        assert_eq!(whole.steps_per_epoch(), 14);
        // In the middle of an epoch, at the end of one or of the first part, later, at the very end.
        for stop_at in [1, 20, 28, 29, 47, 56] {
            let mut first = Trainer::new(config.clone(), &rows).unwrap();
            let mut watch = Watch { stop_at: Some(stop_at), ..Watch::default() };
            assert_eq!(first.run(Some(&path), &mut watch).unwrap(), Ending::Interrupted);
            assert_eq!(first.n_steps_done(), stop_at);
            let mut second = Trainer::resume(config.clone(), &rows, &path).unwrap();
            assert_eq!(second.state, first.state);
            let ending = second.run(Some(&path), &mut Watch::default()).unwrap();
            assert_eq!(ending, Ending::Finished);
            assert_eq!(second.state, whole.state, "stopped after step {stop_at}");
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_and_leaves_the_last_checkpoint() {
    let rows = rows(700, 4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.checkpoint");
    let config = AutoencoderConfig { epochs: 3, ..config() };
    let mut trainer = Trainer::new(config, &rows).unwrap();
    let mut watch = Watch { stop_at: Some(9), ..Watch::default() };
    trainer.run(Some(&path), &mut watch).unwrap();
    let before = std::fs::read(&path).unwrap();
    trainer.state.parameters[0] = f32::NAN;
    let error = trainer.run(Some(&path), &mut watch).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 2, step: 1, .. }), "{error}");
    assert!(error.to_string().contains("epoch 2, step 1: expected a finite loss, found NaN"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let wild = AutoencoderConfig { learning_rate: 1e30, ..self::config() };
    let error = Trainer::new(wild, &rows).unwrap().run(None, &mut watch).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 1, .. }), "{error}");
}

#[test]
fn training_ends_when_validation_no_longer_improves() {
    let rows = rows(700, 5);
    // Steps that are far too large to settle.
    let config = AutoencoderConfig {
        learning_rate: 0.5,
        schedule: Schedule::Constant,
        epochs: 200,
        patience: Some(2),
        ..config()
    };
    let mut trainer = Trainer::new(config, &rows).unwrap();
    assert_eq!(trainer.run(None, &mut Watch::default()).unwrap(), Ending::NoProgress);
    assert_eq!(trainer.history().len() as u32, trainer.best_epoch() + 2);
}

#[test]
fn checkpoints_of_other_settings_or_rows_are_refused() {
    let (rows, others) = (rows(700, 6), self::rows(700, 7));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.checkpoint");
    let config = AutoencoderConfig { epochs: 1, ..config() };
    Trainer::new(config.clone(), &rows).unwrap().run(Some(&path), &mut Watch::default()).unwrap();
    let refuse = |config: AutoencoderConfig, rows: &CodeRows, what: &str| {
        let error = Trainer::resume(config, rows, &path).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("hint:"), "{error}");
    };
    let other = AutoencoderConfig { learning_rate: 0.5, ..config.clone() };
    refuse(other, &rows, "expected learning_rate 0.5, found learning_rate 0.003");
    refuse(reconstruction(), &rows, "expected architecture reconstruction");
    refuse(config.clone(), &others, "checksum of the training rows");
    let missing = Trainer::resume(config, &rows, &folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("reading the checkpoint"), "{missing}");
}

#[test]
fn damaged_checkpoints_are_refused() {
    let rows = rows(700, 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.checkpoint");
    let config = AutoencoderConfig { epochs: 1, ..config() };
    Trainer::new(config.clone(), &rows).unwrap().run(Some(&path), &mut Watch::default()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let refuse = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = Trainer::resume(config.clone(), &rows, &path).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    };
    (0..whole.len()).step_by(37).for_each(|n| refuse(&whole[..n]));
    for at in (0..24).chain((24..whole.len()).step_by(101)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        refuse(&damaged);
    }
}

#[test]
fn too_few_events_are_refused() {
    let rows = rows(70, 9);
    let error = Trainer::new(config(), &rows).unwrap_err().to_string();
    assert!(error.contains("training rows: expected at least 64"), "{error}");
    assert!(error.contains("found 63"), "{error}");
    let config = AutoencoderConfig { batch_size: 16, validation_fraction: 0.01, ..config() };
    let error = Trainer::new(config, &rows).unwrap_err().to_string();
    assert!(error.contains("validation rows"), "{error}");
}

#[test]
fn codes_are_clipped_at_their_quantile_in_training_only() {
    let codes: Vec<u8> = (0..200u8).flat_map(|code| [code, 7]).collect();
    assert_eq!(highest_codes(&codes, 2, Some(0.95)), [189, 7]);
    assert_eq!(highest_codes(&codes, 2, None), [255, 255]);
    let rows = rows(700, 10);
    let clipped = Trainer::new(reconstruction(), &rows).unwrap();
    let batch = clipped.batch(0..700, clipped.rng(0));
    let most = f32::from(clipped.most[0]) / 128.0;
    assert!(batch.inputs.chunks(8).all(|row| row[0] <= most));
    assert!(rows.codes().unwrap().chunks(8).any(|row| row[0] > clipped.most[0]));
    assert_eq!(clipped.autoencoder().unwrap().float.parts().inputs, rows.scales());
}
