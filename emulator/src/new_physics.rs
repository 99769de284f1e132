//! Toy studies of tests for new physics: significance for each signal, exposure and strength.
//!
//! Toys come from samples of events that a trigger accepted, or from the densities of a published benchmark.
//! Toys without signal tell what the statistic means; with signal, how often it would be noticed.

use anyhow::Result;
use scout40_studies::Error;
use scout40_studies::bump::{Elsewhere, Scan, Spectrum};
use scout40_studies::nplm::kernel::{self, KernelConfig};
use scout40_studies::nplm::network::{self, NetworkConfig, NetworkFit, Nuisances, measured_around};
use scout40_studies::nplm::null::{Band, ChiSquared, empirical_p_value, z_from_p};
use scout40_studies::nplm::toys::Journal;
use scout40_studies::nplm::{Benchmark, Experiment, Pool};
use scout40_studies::power::{Grid, Point, crossing};
use scout40_studies::rate::Interval;
use serde::Serialize;

/// Which test.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Of the shape and number of events, with kernels.
    Kernel(KernelConfig),
    /// The same with a network.
    Network(NetworkConfig),
    /// Of the number of events alone: what any test of shapes should beat.
    Count,
    /// Of a bump on the spectrum of the one observable: the largest likelihood ratio of a scan. The reference is not
    /// looked at.
    Bump {
        /// The means.
        scan: Scan,
        /// Edges of the bins.
        edges: Vec<f64>,
        /// Whether events are fitted one by one.
        unbinned: bool,
    },
}

/// How well the expected number of events is known, in logarithms: 0.05 is five per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Norm {
    /// Standard error of its measurement elsewhere, which the network test profiles; none: taken as exact.
    pub error: Option<f64>,
    /// By how much the data of all toys, with signal or without, differ from it.
    pub shift: f64,
}

/// Sets the seeds of measurements apart from those of trainings.
const MEASUREMENTS: u64 = 0x6d65_6173_7572_6564;

impl Test {
    /// NaN where a fit did not converge, which is for whoever counts toys to count.
    fn statistic(
        &self,
        experiment: &Experiment,
        norm: Norm,
        seed: u64,
        number: u64,
    ) -> Result<f64, Error> {
        match self {
            Test::Kernel(config) => Ok(kernel::fit(experiment, config, seed, number)?.t),
            Test::Network(config) => Ok(trained(experiment, config, norm, seed, number)?.t),
            Test::Count => {
                let (reference, data) = experiment.weights().split_at(experiment.n_reference());
                let (expected, found) = (reference.iter().sum::<f64>(), data.iter().sum::<f64>());
                Ok(2.0 * (found * (found / expected).ln() - (found - expected)))
            }
            Test::Bump { scan, edges, unbinned } => {
                let values = &experiment.columns()[0][experiment.n_reference()..];
                let spectrum = match unbinned {
                    true => Spectrum::unbinned(edges, values),
                    false => Spectrum::counted(edges, values),
                };
                match spectrum {
                    Ok(spectrum) => scan.largest_q0(&spectrum),
                    // Nothing is no excess.
                    Err(Error::NoEvents { .. }) => Ok(0.0),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// The network test of a toy.
fn trained(
    experiment: &Experiment,
    config: &NetworkConfig,
    norm: Norm,
    seed: u64,
    number: u64,
) -> Result<NetworkFit, Error> {
    let nuisances = norm.error.map(|error| {
        let key = seed.wrapping_add(MEASUREMENTS);
        let [norm, _] = measured_around([norm.shift, 0.0], error, key, number);
        Nuisances { norm, scale: None }
    });
    network::fit(experiment, config, nuisances.as_ref(), seed, number)
}

/// Where toys of one signal come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Events. A strength is a fraction of crossings; an exposure a number of crossings.
    Events {
        /// Accepted events; what is expected is set for each exposure.
        pool: Box<Pool>,
        /// Part of the background's crossings that is accepted.
        background_efficiency: f64,
        /// Part of the signal's.
        signal_efficiency: f64,
        /// Events of the reference; none: what the data leave.
        n_reference: Option<usize>,
    },
    /// Densities. A strength multiplies the published signal, an exposure all of the data.
    Benchmark(Benchmark),
}

impl Source {
    /// The source for an exposure, with data of this norm.
    ///
    /// # Errors
    /// A pool that is too small for it.
    pub fn at(&self, exposure: f64, norm: f64) -> Result<Source, Error> {
        Ok(match self {
            Source::Benchmark(benchmark) => Source::Benchmark(benchmark.with_exposure(exposure)),
            Source::Events { pool, background_efficiency, signal_efficiency, n_reference } => {
                let mut pool = pool.clone();
                pool.n_expected = exposure * background_efficiency;
                pool.norm = norm;
                let left = (pool.background.len() as f64 - pool.most_data()).max(1.0) as usize;
                pool.n_reference = n_reference.unwrap_or(left);
                pool.check()?;
                Source::Events {
                    pool,
                    background_efficiency: *background_efficiency,
                    signal_efficiency: *signal_efficiency,
                    n_reference: *n_reference,
                }
            }
        })
    }

    /// Expected background events in the data, and events of the reference.
    #[must_use]
    pub fn sizes(&self) -> (f64, usize) {
        match self {
            Source::Events { pool, .. } => (pool.n_expected, pool.n_reference),
            Source::Benchmark(b) => (b.n_expected, b.n_reference as usize),
        }
    }

    fn draw(
        &self,
        exposure: f64,
        strength: f64,
        norm: f64,
        seed: u64,
        number: u64,
    ) -> Result<Experiment, Error> {
        match self {
            Source::Events { pool, signal_efficiency, .. } => {
                pool.draw(strength * exposure * signal_efficiency, seed, number)
            }
            Source::Benchmark(benchmark) => {
                let n_signal = benchmark.n_signal * strength;
                Benchmark { n_signal, ..*benchmark }.draw(norm, 0.0, seed, number)
            }
        }
    }
}

/// Everything that a study depends on, beside the sources.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The test.
    pub test: Test,
    /// What is known of the expected number of events, and true.
    pub norm: Norm,
    /// Exposures.
    pub exposures: Vec<f64>,
    /// Strengths above zero, ascending.
    pub strengths: Vec<f64>,
    /// Toys without signal.
    pub null_toys: u64,
    /// Toys with each strength.
    pub toys: u64,
    /// All random numbers follow from it.
    pub rng_seed: u64,
    /// Degrees of freedom of the null, if they are not to be fitted.
    pub dof: Option<f64>,
}

/// A number with its ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Median, or estimate.
    pub value: f64,
    /// Lower end of 68.27 %.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard error of the median.
    pub error: f64,
}

impl From<Band> for Spread {
    fn from(band: Band) -> Spread {
        Spread { value: band.median, low: band.low, high: band.high, error: band.error }
    }
}

/// What describes the statistics of toys without signal, beyond their number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Shape {
    /// A χ².
    ChiSquared {
        /// Degrees of freedom.
        dof: f64,
        /// Their standard error; 0 where they were given.
        dof_error: f64,
    },
    /// The largest of a scan.
    Elsewhere {
        /// Upward crossings of the level 0.
        upcrossings: f64,
        /// Their standard error.
        upcrossings_error: f64,
    },
}

impl Shape {
    /// The shape of these toys, and the probability of a larger Kolmogorov–Smirnov distance to it.
    fn of(t: &[f64], settings: &Settings) -> Result<(Shape, f64), Error> {
        if let Test::Bump { .. } = settings.test {
            let found = Elsewhere::fit(t, settings.rng_seed)?;
            let Elsewhere { upcrossings, upcrossings_error, ks_p_value, .. } = found;
            return Ok((Shape::Elsewhere { upcrossings, upcrossings_error }, ks_p_value));
        }
        let chi = match settings.dof {
            Some(dof) => ChiSquared::with_dof(t, dof)?,
            None => ChiSquared::fit(t, settings.rng_seed)?,
        };
        let ChiSquared { dof, dof_error, ks_p_value, .. } = chi;
        Ok((Shape::ChiSquared { dof, dof_error }, ks_p_value))
    }

    /// Probability of a statistic at least as large.
    #[must_use]
    pub fn p_value(self, t: f64) -> f64 {
        let (ks_distance, ks_p_value) = (0.0, 1.0);
        match self {
            Shape::ChiSquared { dof, dof_error } => {
                ChiSquared { dof, dof_error, ks_distance, ks_p_value }.p_value(t)
            }
            Shape::Elsewhere { upcrossings, upcrossings_error } => {
                Elsewhere { upcrossings, upcrossings_error, ks_distance, ks_p_value }.p_value(t)
            }
        }
    }

    /// Its significance.
    #[must_use]
    pub fn z_score(self, t: f64) -> f64 {
        z_from_p(self.p_value(t))
    }
}

/// Toys without signal.
#[derive(Clone, Debug, Serialize)]
pub struct Null {
    /// Size of the data.
    pub exposure: f64,
    /// Expected background events.
    pub n_expected: f64,
    /// Events of the reference.
    pub n_reference: usize,
    /// What describes the toys.
    #[serde(flatten)]
    pub shape: Shape,
    /// Whether it does.
    pub ks_p_value: f64,
    /// The statistics; of toys whose fits failed infinite: they might have been anything.
    pub t: Vec<f64>,
    /// How many these are.
    pub n_not_converged: usize,
    /// Of the network test: by how much the first toy's statistic still changed in the last tenth of its training.
    pub drift: Option<f64>,
}

/// Toys with signal.
#[derive(Clone, Debug, Serialize)]
pub struct AtStrength {
    /// The signal.
    pub signal: String,
    /// Size of the data.
    pub exposure: f64,
    /// Strength of the signal.
    pub strength: f64,
    /// Significances by the shape of the null.
    pub z: Spread,
    /// Significance of the median toy by counting toys without signal; where none is as large, that of one.
    pub z_empirical: f64,
    /// Whether that is only a lower limit.
    pub z_empirical_is_limit: bool,
    /// Fraction of toys with Z of at least 2 and 5.
    pub power: [Spread; 2],
    /// The statistics; of toys whose fits failed 0: nothing was noticed.
    pub t: Vec<f64>,
    /// How many these are.
    pub n_not_converged: usize,
}

/// The strength at which the median reaches Z = 2 and 5.
#[derive(Clone, Debug, Serialize)]
pub struct Reach {
    /// The signal.
    pub signal: String,
    /// Size of the data.
    pub exposure: f64,
    /// For Z = 2 and 5; none where no strength that was tried is enough, and the smallest one where even that is.
    pub strengths: [Option<f64>; 2],
    /// Their standard errors, from those of the medians that they lie between; none for the smallest one.
    pub errors: [Option<f64>; 2],
}

/// Levels of significance that are asked for.
pub const LEVELS: [f64; 2] = [2.0, 5.0];

/// What was found with one list of observables.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// For each exposure.
    pub nulls: Vec<Null>,
    /// For each signal, exposure and strength.
    pub points: Vec<AtStrength>,
    /// For each signal and exposure.
    pub reach: Vec<Reach>,
}

/// Runs all toys. `sources`: one for each signal, by name; the null is that of the first, which share
/// their background. `set` distinguishes studies in one journal.
///
/// # Errors
/// Samples that are too small, tests that do not converge, and a journal that cannot be written.
pub fn run(
    set: &str,
    sources: &[(String, Source)],
    settings: &Settings,
    journal: &mut Journal,
    progress: &(dyn Fn() + Sync),
) -> Result<Outcome> {
    let mut outcome = Outcome { nulls: Vec::new(), points: Vec::new(), reach: Vec::new() };
    let mut stage = 0;
    let norm = settings.norm;
    for &exposure in &settings.exposures {
        let Some((_, first)) = sources.first() else { continue };
        let drift = match &settings.test {
            Test::Network(config) => {
                // The first toy without signal, as it is drawn below.
                let seed = settings.rng_seed.wrapping_add(1_000_003 * (stage + 1));
                let source = first.at(exposure, norm.shift)?;
                let experiment = source.draw(exposure, 0.0, norm.shift, seed, 0)?;
                Some(trained(&experiment, config, norm, seed + 1, 0)?.drift)
            }
            _ => None,
        };
        let mut toys =
            |name: &str, source: &Source, strengths: Vec<f64>, n, journal: &mut Journal| {
                let source = source.at(exposure, norm.shift)?;
                let grid = Grid { exposures: vec![exposure], strengths, toys: n };
                // Samples and centres of all toys differ.
                stage += 1;
                let seed = |point| settings.rng_seed.wrapping_add(1_000_003 * stage + 2 * point);
                let toy = |exposure, strength, point, number| {
                    let experiment =
                        source.draw(exposure, strength, norm.shift, seed(point), number)?;
                    settings.test.statistic(&experiment, norm, seed(point) + 1, number)
                };
                let points = grid.run(&format!("{set}/{name}"), journal, toy, progress)?;
                Ok::<_, Error>((points, source.sizes()))
            };
        let (null, sizes) = toys("null", first, vec![0.0], settings.null_toys, journal)?;
        let mut t = null.into_iter().flat_map(|point| point.values).collect::<Vec<_>>();
        let n_not_converged = replace_nan(&mut t, f64::INFINITY);
        if matches!(settings.test, Test::Bump { .. }) && t.iter().all(|&t| t == 0.0) {
            return Err(Error::NoEvents {
                what: "toys with an excess between the ends of `--range`",
            }
            .into());
        }
        let (shape, ks_p_value) = Shape::of(&t, settings)?;
        for (signal, source) in sources {
            let strengths = settings.strengths.clone();
            let (points, _) = toys(signal, source, strengths, settings.toys, journal)?;
            let mut curve = Vec::new();
            for point in points {
                let found = at_strength(signal, point, shape, &t, settings.rng_seed)?;
                curve.push((found.strength, found.z.value, found.z.error));
                outcome.points.push(found);
            }
            let found = LEVELS.map(|level| crossing(&curve, level));
            let lowest = curve.first().map(|&(strength, ..)| strength);
            outcome.reach.push(Reach {
                signal: signal.clone(),
                exposure,
                strengths: found.map(|found| Some(found?.0)),
                errors: found.map(|found| found.filter(|f| Some(f.0) != lowest).map(|f| f.1)),
            });
        }
        let (n_expected, n_reference) = sizes;
        outcome.nulls.push(Null {
            exposure,
            n_expected,
            n_reference,
            shape,
            ks_p_value,
            t,
            n_not_converged,
            drift,
        });
    }
    Ok(outcome)
}

/// Puts something in the place of statistics of fits that failed, and counts them.
fn replace_nan(t: &mut [f64], by: f64) -> usize {
    let failed = t.iter_mut().filter(|t| t.is_nan());
    failed.map(|t| *t = by).count()
}

fn at_strength(
    signal: &str,
    mut point: Point,
    shape: Shape,
    null: &[f64],
    rng_seed: u64,
) -> Result<AtStrength, Error> {
    let n_not_converged = replace_nan(&mut point.values, 0.0);
    let z = point.band(rng_seed, |t| shape.z_score(t))?;
    let median = point.band(rng_seed, |t| t)?.median;
    let p = empirical_p_value(null, median).value;
    let power = LEVELS.map(|level| {
        let Interval { value, low, high } = point.fraction(|t| shape.z_score(t) >= level);
        Spread { value, low, high, error: (high - low) / 2.0 }
    });
    Ok(AtStrength {
        signal: signal.to_owned(),
        exposure: point.exposure,
        strength: point.strength,
        z: z.into(),
        z_empirical: z_from_p(p.max(1.0 / null.len() as f64)),
        z_empirical_is_limit: p == 0.0,
        power,
        t: point.values,
        n_not_converged,
    })
}
