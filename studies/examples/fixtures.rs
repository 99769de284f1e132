//! All studies on the fixtures, as tables and figures: what they say of a model that can be had at once.
//!
//! `cargo run --release -p scout40-studies --features plot --example fixtures -- MODEL FOLDER`

use std::error::Error;
use std::path::Path;

use scout40_models::{FillPlan, MAX_BATCH, Model, RowBuffer, Score};
use scout40_replay::event::{Block, Column, ColumnSet};
use scout40_replay::lhc::FillingScheme;
use scout40_replay::source::{Delivery, FileSource, Source as _};
use scout40_studies::figures;
use scout40_studies::observable::Histogram;
use scout40_studies::pile_up::{PileUpCounts, RateAtPileUp};
use scout40_studies::plot::Axis;
use scout40_studies::rate::Interval;
use scout40_studies::regression::fit;
use scout40_studies::roc::Roc;
use scout40_studies::scan::{at_rate, scan};
use scout40_studies::sculpting::sculpting;
use scout40_studies::significance::best_significance_improvement;
use scout40_studies::spectrum::Spectrum;

const SIGNALS: [&str; 8] = [
    "Ato4l",
    "HToAATo4Tau",
    "HToAATo4b",
    "SVJ",
    "VBFHToInv",
    "hChToTauNu",
    "hToTauTau",
    "leptoquark",
];
const TARGETS_KHZ: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];

/// A sample as the studies need it.
#[derive(Default)]
struct Sample {
    scores: Vec<Score>,
    met_gev: Vec<f64>,
    pile_up: Vec<f32>,
}

fn read(name: &str, model: &Model) -> Result<Sample, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/streams");
    let mut source = FileSource::open(&folder.join(name).with_extension("s40"))?;
    let scorer = model.scorer();
    let plan = FillPlan::new(model.spec());
    let columns = ColumnSet::EMPTY.with(Column::PileUp).with(Column::MetPt);
    let (mut rows, mut scratch) = (RowBuffer::new(scorer.n_features()), scorer.scratch());
    let (mut sample, mut block) = (Sample::default(), Block::default());
    loop {
        match source.next_block(model.spec().columns().union(columns), &mut block)? {
            Delivery::Block => {}
            Delivery::End => return Ok(sample),
            trouble => return Err(format!("`{name}` is damaged: {trouble}").into()),
        }
        for first in (0..block.len()).step_by(MAX_BATCH) {
            let range = first..block.len().min(first + MAX_BATCH);
            let from = sample.scores.len();
            sample.scores.resize(from + range.len(), 0);
            rows.set_len(range.len());
            plan.fill(&block, range, &mut rows, 0);
            scorer.score(rows.rows(), &mut scratch, &mut sample.scores[from..]);
        }
        sample
            .met_gev
            .extend(block.get::<i16>(Column::MetPt).iter().map(|&pt| f64::from(pt) / 2.0));
        sample.pile_up.extend_from_slice(block.get(Column::PileUp));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder] = &arguments[..] else {
        return Err("usage: fixtures MODEL FOLDER".into());
    };
    let folder = Path::new(folder);
    let model = Model::read(Path::new(model))?;
    let collision_rate_hz = FillingScheme::lhc().collision_rate_hz();
    let zero_bias = read("zero-bias", &model)?;
    let background = Spectrum::of(&zero_bias.scores)?;
    let signals: Vec<Spectrum> = SIGNALS
        .iter()
        .map(|name| Ok(Spectrum::of(&read(name, &model)?.scores)?))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let by_reference: Vec<&Spectrum> = signals.iter().collect();

    let percent = |Interval { value, low, high }: Interval| {
        format!("{:7.3} [{:.3}, {:.3}] %", 100.0 * value, 100.0 * low, 100.0 * high)
    };
    for (name, signal) in SIGNALS.iter().zip(&signals) {
        let roc = Roc::new(&background, signal);
        let (area, error) = roc.auroc_with_error();
        let best = best_significance_improvement(&roc, 100.0)?;
        println!(
            "{name:12} AUROC {area:.4} ± {error:.4}, average precision at 1e-3 {:.4}, \
             significance improvement {:.2} at {}",
            roc.average_precision(1e-3)?,
            best.value,
            best.threshold
        );
    }
    for target_khz in TARGETS_KHZ {
        let row = at_rate(&background, &by_reference, collision_rate_hz, target_khz)?;
        let Interval { value, low, high } = row.at.rate_khz;
        println!(
            "{target_khz} kHz: threshold {} ({} to {:?}), rate {value:.3} [{low:.3}, {high:.3}] kHz",
            row.at.threshold, row.loose, row.strict
        );
        for (name, efficiency) in SIGNALS.iter().zip(&row.at.signal_efficiencies) {
            println!("    {name:12} {}", percent(*efficiency));
        }
    }

    let curve = |(name, signal)| (name, Roc::new(&background, signal));
    let curves: Vec<_> = SIGNALS.into_iter().zip(&signals).map(curve).collect();
    figures::roc("ROC", &curves).save(&folder.join("roc"))?;
    let points = scan(&background, &by_reference, collision_rate_hz, 20)?;
    figures::efficiency_at_rate("Efficiency", &SIGNALS, &points)
        .mark_x(10.0, "10 kHz")
        .save(&folder.join("efficiency"))?;
    figures::rate_at_threshold("Rate", &points).save(&folder.join("rate"))?;

    let threshold = at_rate(&background, &[], collision_rate_hz, 100.0)?.at.threshold;
    let accepted: Vec<bool> = zero_bias.scores.iter().map(|&score| score >= threshold).collect();
    let kept = zero_bias.met_gev.iter().zip(&accepted).filter(|&(_, &accepted)| accepted);
    let kept: Vec<f64> = kept.map(|(&met, _)| met).collect();
    let empty = Histogram::uniform(40, 0.0, 200.0)?;
    let (mut all, mut passing) = (empty.clone(), empty);
    all.fill(&zero_bias.met_gev)?;
    passing.fill(&kept)?;
    let met = Axis::linear("p_{T}^{miss}").unit("GeV");
    figures::sculpting("100 kHz", met, &all, &passing, &sculpting(&all, &passing)?)
        .save(&folder.join("sculpting"))?;

    let mut counts = PileUpCounts::new(&(6..19).map(|k| f64::from(5 * k)).collect::<Vec<_>>())?;
    counts.add(&zero_bias.pile_up, &accepted, None)?;
    let rates = counts.rates(collision_rate_hz);
    let points: Vec<_> = rates.iter().map(RateAtPileUp::point).collect();
    let (line, parabola) = (fit(&points, 1)?, fit(&points, 2)?);
    println!("parabola instead of a straight line: p = {:.2e}", parabola.p_value_of_highest());
    let fits = [("straight line", &line), ("parabola", &parabola)];
    figures::pile_up("100 kHz at pile-up 60", &rates, &fits, 100.0)
        .save(&folder.join("pile-up"))?;
    Ok(())
}
