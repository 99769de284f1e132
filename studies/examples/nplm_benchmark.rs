//! The published benchmarks of the test for new physics, beside what was published.
//!
//! `cargo run --release --workspace --example nplm_benchmark -- kernel FOLDER [NULL TOYS [SIGNAL TOYS]]`, or `network` (the published
//! numbers of toys are 300 100, and 100 96). The folder gets the toys (`NAME.toys`, from which a run goes on that was interrupted) and the table
//! (`NAME.txt`). `studies/validation/` has both as they were made.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;

use scout40_studies::Error;
use scout40_studies::nplm::kernel::{self, KernelConfig};
use scout40_studies::nplm::network::{self, Clip, NetworkConfig, Nuisances};
use scout40_studies::nplm::null::{Band, ChiSquared};
use scout40_studies::nplm::toys::Journal;
use scout40_studies::nplm::{Benchmark, EXP1D};

const RNG_SEED: u64 = 20_220_822;

/// Toys of a set have a seed of their own: its place.
fn seed(set: u64) -> u64 {
    RNG_SEED + 1000 * set
}

struct Run<'a> {
    journal: &'a mut Journal,
    table: String,
}

impl Run<'_> {
    fn toys(
        &mut self,
        set: &str,
        n: u64,
        toy: impl Fn(u64) -> Result<f64, Error> + Sync,
    ) -> Result<Vec<f64>, Error> {
        eprintln!("{set}: {n} toys");
        self.journal.run(set, n, toy, || eprint!("."))
    }

    fn signal(
        &mut self,
        name: &str,
        t: &[f64],
        chi: &ChiSquared,
        published: f64,
    ) -> Result<(), Error> {
        let z: Vec<f64> = t.iter().map(|&t| chi.z_score(t)).collect();
        let (z, t) = (Band::of(&z, 1)?, Band::of(t, 1)?);
        let _ = writeln!(
            self.table,
            "{name:<8}  median t {:6.2} ± {:.2}   median Z {:.2} ± {:.2} (68 %: {:.2} .. {:.2})   published {published:.2}",
            t.median, t.error, z.median, z.error, z.low, z.high
        );
        Ok(())
    }
}

/// EPJC 82 (2022) 879, appendix C: M = 3000, sigma = 0.3, lambda = 1e-10, one Newton step.
fn kernel_version(run: &mut Run, n_null: u64, n_signal: u64) -> Result<(), Error> {
    let config = KernelConfig::published(0.3, 3000, 1e-10);
    let toys = |run: &mut Run, name: &str, set: u64, n, benchmark: Benchmark| {
        run.toys(name, n, |number| {
            let experiment = benchmark.draw(0.0, 0.0, seed(set), number)?;
            Ok(kernel::fit(&experiment, &config, seed(set) + 1, number)?.t)
        })
    };
    let null = toys(run, "null", 0, n_null, Benchmark::exp1d(0).without_signal())?;
    let chi = ChiSquared::fit(&null, 1)?;
    let _ = writeln!(
        run.table,
        "null      dof {:.2} ± {:.2}, KS p-value {:.2}   published 9.58",
        chi.dof, chi.dof_error, chi.ks_p_value
    );
    for (signal, published) in [2.43, 2.82, 3.04].into_iter().enumerate() {
        let benchmark = Benchmark::exp1d(signal);
        let t = toys(run, EXP1D[signal], 1 + signal as u64, n_signal, benchmark)?;
        run.signal(EXP1D[signal], &t, &chi, published)?;
    }
    Ok(())
}

/// Steps after which the package's toys noted tau, and so do ours.
const NOTED: [u32; 8] = [0, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000, 300_000];

/// A set of toys of NPLM_package, example_1D.
struct Example {
    name: &'static str,
    benchmark: Benchmark,
    clip: Clip,
    /// Logarithm of the factor by which the data exceed what is expected.
    norm: f64,
    /// Error of the measurements of norm and scale.
    error: f64,
    /// Its place.
    set: u64,
}

impl Example {
    /// t, Delta, tau without and with nodes at the end, and tau along the training.
    fn toy(&self, number: u64) -> Result<[f64; 12], Error> {
        let slope = |x: &[f64]| x[0] - 1.0;
        let config = NetworkConfig {
            clip: self.clip,
            note_every: NonZeroU32::new(10_000),
            ..NetworkConfig::published()
        };
        let experiment = self.benchmark.draw(self.norm, 0.0, seed(self.set), number)?;
        // Measured elsewhere, around what is true.
        let [norm, scale] =
            network::measured_around([self.norm, 0.0], self.error, seed(self.set) + 2, number);
        let nuisances = Nuisances { norm, scale: Some((scale, &slope)) };
        let fit = network::fit(&experiment, &config, Some(&nuisances), seed(self.set) + 1, number)?;
        let mut values = [fit.t, fit.delta, fit.tau, fit.tau - fit.compression].into_iter().chain(
            fit.history.iter().filter(|(step, _)| NOTED.contains(step)).map(|(_, tau)| *tau),
        );
        Ok(std::array::from_fn(|_| values.next().unwrap_or(f64::NAN)))
    }
}

/// NPLM_package, example_1D: [1, 4, 1], weights clipped at 9, chi^2 of 13, two sets of toys as their configurations say.
fn network_version(run: &mut Run, n_null: u64, n_signal: u64) -> Result<(), Error> {
    let (signal, null) = (Benchmark::nplm_package(), Benchmark::nplm_package().without_signal());
    let of = |name, benchmark, clip, norm, error, set| Example {
        name,
        benchmark,
        clip,
        norm,
        error,
        set,
    };
    let examples = [
        // Before norms were in units of their errors: 0.15, not 0.15 * 0.15.
        of("NP0", null, Clip::Weights, 0.15, 0.15, 4),
        of("NP1", signal, Clip::Weights, 0.0, 0.05, 5),
        of("NP0/biases_clipped", null, Clip::All, 0.15, 0.15, 4),
        of("NP1/biases_clipped", signal, Clip::All, 0.0, 0.05, 5),
    ];
    for example in &examples {
        let n = if example.norm > 0.0 { n_null } else { n_signal };
        // What only shows the effect of one setting needs fewer.
        let n = if example.clip == Clip::All { n / 4 } else { n };
        network_set(run, example, n)?;
    }
    Ok(())
}

fn network_set(run: &mut Run, example: &Example, n: u64) -> Result<(), Error> {
    let name = example.name;
    let ends = ["", "/delta", "/tau", "/tau_of_nodes"].map(|part| format!("{name}{part}"));
    let noted = NOTED.map(|step| format!("{name}/tau@{step}"));
    let sets: Vec<&str> = ends.iter().chain(&noted).map(String::as_str).collect();
    let sets: [&str; 12] = std::array::from_fn(|k| sets[k]);
    eprintln!("{name}: {n} toys");
    let values = run.journal.run_parts(sets, n, |number| example.toy(number), || eprint!("."))?;
    let [t, delta, tau, of_nodes, ..] = &values;
    let chi = ChiSquared::with_dof(t, 13.0)?;
    let z = |list: &[f64]| list.iter().map(|&t| chi.z_score(t)).collect::<Vec<_>>();
    let mean = t.iter().sum::<f64>() / n as f64;
    let deviation = (t.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
    let nodes = tau.iter().zip(of_nodes).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    let (band, z_t, z_tau) = (Band::of(t, 1)?, Band::of(&z(t), 1)?, Band::of(&z(tau), 1)?);
    let _ = writeln!(
        run.table,
        "{name}, {n} toys\n  t: median {:.2} ± {:.2}, mean {mean:.2} ± {:.2}, deviation {deviation:.2}, KS p-value for 13 dof {:.3}",
        band.median,
        band.error,
        deviation / (n as f64).sqrt(),
        chi.ks_p_value,
    );
    let _ = writeln!(
        run.table,
        "  Z of t: median {:.2} ± {:.2} (68 %: {:.2} .. {:.2}); of tau {:.2} ± {:.2}; Delta: median {:.2}; tau by nodes differs by at most {nodes:.1e}",
        z_t.median,
        z_t.error,
        z_t.low,
        z_t.high,
        z_tau.median,
        z_tau.error,
        Band::of(delta, 1)?.median,
    );
    for (step, tau) in NOTED.iter().zip(&values[4..]) {
        let t: Vec<f64> = tau.iter().zip(delta).map(|(tau, delta)| tau - delta).collect();
        let band = Band::of(&t, 1)?;
        let _ = writeln!(
            run.table,
            "  after {step:>6} steps: tau - Delta median {:8.2} ± {:.2} (68 %: {:.2} .. {:.2})",
            band.median, band.error, band.low, band.high
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [version, folder, rest @ ..] = arguments.as_slice() else {
        return Err("usage: nplm_benchmark kernel|network FOLDER [NULL TOYS [SIGNAL TOYS]]".into());
    };
    let number = |k: usize, default| rest.get(k).map_or(Ok(default), |text| text.parse::<u64>());
    let (n_null, n_signal) = (number(0, 300)?, number(1, 100)?);
    let path = Path::new(folder).join(format!("nplm-{version}.toys"));
    let mut journal = Journal::resume(&path, &format!("nplm {version}, seed {RNG_SEED}"))?;
    let mut run = Run { journal: &mut journal, table: String::new() };
    match version.as_str() {
        "kernel" => kernel_version(&mut run, n_null, n_signal)?,
        "network" => network_version(&mut run, n_null, n_signal)?,
        other => return Err(format!("expected kernel or network, found {other}").into()),
    }
    let table = format!("{n_null} toys without signal, {n_signal} with each\n{}", run.table);
    eprintln!();
    print!("{table}");
    std::fs::write(Path::new(folder).join(format!("nplm-{version}.txt")), table)?;
    Ok(())
}
