//! The published benchmarks of the test for new physics, beside what was published.
//!
//! `cargo run --release --workspace --example nplm_benchmark -- kernel FOLDER [NULL TOYS [SIGNAL TOYS]]`, or `network`. The folder
//! gets the toys (`NAME.toys`, from which a run goes on that was interrupted) and the table
//! (`NAME.txt`). `studies/validation/` has both as they were made.

use std::fmt::Write as _;
use std::path::Path;

use scout40_studies::Error;
use scout40_studies::nplm::kernel::{self, KernelConfig};
use scout40_studies::nplm::network::{self, NetworkConfig, Nuisances};
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

/// NPLM_package, example_1D: [1, 4, 1], clipped at 9, nuisances of norm and scale of 5 %, chi^2 of 13.
fn network_version(run: &mut Run, n_null: u64, n_signal: u64) -> Result<(), Error> {
    const ERROR: f64 = 0.05;
    let config = NetworkConfig::published();
    let slope = |x: &[f64]| x[0] - 1.0;
    let toys = |run: &mut Run, name: &str, set: u64, n, benchmark: Benchmark| {
        run.toys(name, n, |number| {
            let experiment = benchmark.draw(0.0, 0.0, seed(set), number)?;
            // Measured elsewhere, around what is true: 0.
            let [norm, scale] = network::measured_around([0.0; 2], ERROR, seed(set) + 2, number);
            let nuisances = Nuisances { norm, scale: Some((scale, &slope)) };
            Ok(network::fit(&experiment, &config, Some(&nuisances), seed(set) + 1, number)?.t)
        })
    };
    let null = toys(run, "null", 4, n_null, Benchmark::nplm_package().without_signal())?;
    let chi = ChiSquared::with_dof(&null, config.n_parameters(1) as f64)?;
    let median = Band::of(&null, 1)?;
    let _ = writeln!(
        run.table,
        "null      median t {:.2} ± {:.2}, KS p-value for 13 dof {:.2}   published 11.42 (12.34 expected), 0.08",
        median.median, median.error, chi.ks_p_value
    );
    let t = toys(run, "signal", 5, n_signal, Benchmark::nplm_package())?;
    run.signal("signal", &t, &chi, 2.65)
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
