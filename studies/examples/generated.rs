//! A generated stream beside the real one: rates, multiplicities, correlations, scores, as a table and
//! as figures.
//!
//! `cargo run --release -p scout40-studies --features plot --example generated -- FOLDER REAL GENERATED [MODEL...]`

use std::error::Error;
use std::path::Path;

use scout40_models::{FillPlan, MAX_BATCH, Model, RowBuffer, Score};
use scout40_replay::event::{Block, Collection, Column, ColumnSet, EventRef};
use scout40_replay::lhc::FillingScheme;
use scout40_replay::source::{Delivery, FileSource, Source as _};
use scout40_replay::units;
use scout40_studies::plot::{Axis, Plot};
use scout40_studies::rate::{Interval, ONE_SIGMA, garwood};

/// Real rates, in kHz, whose thresholds on a score are compared.
const SCORE_RATES_KHZ: [f64; 4] = [1000.0, 100.0, 10.0, 1.0];
/// Thresholds on the pT of objects, in GeV, as of Level-1 menus.
const CUTS: [(&str, Collection, &[f64]); 3] = [
    ("jet", Collection::Jet, &[35.0, 60.0, 90.0, 120.0, 180.0]),
    ("e/gamma", Collection::EGamma, &[10.0, 15.0, 20.0, 28.0, 36.0]),
    ("muon", Collection::Muon, &[3.0, 5.0, 7.0, 12.0, 22.0]),
];
const MET_CUTS: [f64; 4] = [60.0, 80.0, 100.0, 120.0];

/// What is looked at in each event.
struct Event {
    counts: [usize; 3],
    leading_gev: [f64; 3],
    second_gev: [f64; 3],
    met_gev: f64,
    ht_gev: f64,
    jet_sum_gev: f64,
    /// Cosine of the angle between missing energy and the opposite of the jets' sum.
    cos_met: f64,
    /// Between the two leading jets, in rad.
    delta_phi: Option<f64>,
}

fn event(of: EventRef<'_>) -> Event {
    let pts = |collection: Collection| {
        let [pt, ..] = collection.kinematics().expect("objects have kinematics");
        of.values::<i16>(pt)
    };
    let kinds = CUTS.map(|(_, collection, _)| collection);
    let gev = |collection: Collection, rank: usize| {
        let to_gev = match collection {
            Collection::Muon => units::muon_pt_gev_from_hw,
            _ => units::calo_pt_gev_from_hw,
        };
        pts(collection).get(rank).map_or(0.0, |&pt| to_gev(pt))
    };
    let phis = of.values::<i16>(Column::JetPhi);
    let (mut x, mut y, mut ht) = (0.0, 0.0, 0.0);
    for (&pt, &phi) in pts(Collection::Jet).iter().zip(phis) {
        let (pt, phi) = (units::calo_pt_gev_from_hw(pt), units::calo_phi_rad_from_hw(phi));
        (x, y, ht) = (x + pt * phi.cos(), y + pt * phi.sin(), ht + pt);
    }
    let met_phi = units::calo_phi_rad_from_hw(of.value(Column::MetPhi));
    let delta_phi = match *phis {
        [first, second, ..] => {
            let turned = units::calo_phi_rad_from_hw((first - second).rem_euclid(144));
            Some(turned.abs())
        }
        _ => None,
    };
    Event {
        counts: kinds.map(|collection| pts(collection).len()),
        leading_gev: kinds.map(|collection| gev(collection, 0)),
        second_gev: kinds.map(|collection| gev(collection, 1)),
        met_gev: units::calo_pt_gev_from_hw(of.value(Column::MetPt)),
        ht_gev: ht,
        jet_sum_gev: x.hypot(y),
        cos_met: -(x * met_phi.cos() + y * met_phi.sin()) / x.hypot(y).max(1e-9),
        delta_phi,
    }
}

fn read(path: &str, models: &[Model]) -> Result<(Vec<Event>, Vec<Vec<Score>>), Box<dyn Error>> {
    let mut source = FileSource::open(Path::new(path))?;
    let mut scores = vec![Vec::new(); models.len()];
    let (mut events, mut block) = (Vec::new(), Block::default());
    loop {
        match source.next_block(ColumnSet::ALL.intersection(source.columns()), &mut block)? {
            Delivery::Block => {}
            Delivery::End => return Ok((events, scores)),
            trouble => return Err(format!("`{path}` is damaged: {trouble}").into()),
        }
        events.extend((0..block.len()).map(|i| event(block.event(i))));
        for (model, scores) in models.iter().zip(&mut scores) {
            let (scorer, plan) = (model.scorer(), FillPlan::new(model.spec()));
            let (mut rows, mut scratch) = (RowBuffer::new(scorer.n_features()), scorer.scratch());
            for first in (0..block.len()).step_by(MAX_BATCH) {
                let range = first..block.len().min(first + MAX_BATCH);
                let from = scores.len();
                scores.resize(from + range.len(), 0);
                rows.set_len(range.len());
                plan.fill(&block, range, &mut rows, 0);
                scorer.score(rows.rows(), &mut scratch, &mut scores[from..]);
            }
        }
    }
}

/// A count in each of two samples, as rates.
fn print_rate(name: &str, counts: [u64; 2], totals: [usize; 2]) {
    let rate_khz = FillingScheme::lhc().collision_rate_hz() / 1000.0;
    let rates = [0, 1].map(|k| counts[k] as f64 / totals[k] as f64 * rate_khz);
    let ratio = rates[1] / rates[0];
    let error = ratio * counts.iter().map(|&n| 1.0 / n.max(1) as f64).sum::<f64>().sqrt();
    println!("{name:<32} {:>11.2} {:>11.2}   {ratio:>6.3} ± {error:.3}", rates[0], rates[1]);
}

fn print_value(name: &str, values: [f64; 2]) {
    println!("{name:<32} {:>11.4} {:>11.4}   {:>6.3}", values[0], values[1], values[1] / values[0]);
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

fn correlation(events: &[Event], x: fn(&Event) -> f64, y: fn(&Event) -> f64) -> f64 {
    let (mx, my) = (mean(events.iter().map(x)), mean(events.iter().map(y)));
    let of = |f: &dyn Fn(&Event) -> f64| mean(events.iter().map(f));
    let covariance = of(&|e| (x(e) - mx) * (y(e) - my));
    covariance / (of(&|e| (x(e) - mx).powi(2)) * of(&|e| (y(e) - my).powi(2))).sqrt()
}

fn print_table(samples: [&[Event]; 2]) {
    let totals = samples.map(<[Event]>::len);
    let count = |pass: &dyn Fn(&Event) -> bool| {
        samples.map(|events| events.iter().filter(|event| pass(event)).count() as u64)
    };
    for (k, (name, _, cuts)) in CUTS.iter().enumerate() {
        for &cut in *cuts {
            let name = format!("{name} >= {cut} GeV [kHz]");
            print_rate(&name, count(&|event| event.leading_gev[k] >= cut), totals);
        }
    }
    for (name, k, cut) in [
        ("two jets", 0, 60.0),
        ("two jets", 0, 100.0),
        ("two e/gammas", 1, 15.0),
        ("two muons", 2, 5.0),
    ] {
        let pass = |event: &Event| event.second_gev[k] >= cut;
        print_rate(&format!("{name} >= {cut} GeV [kHz]"), count(&pass), totals);
    }
    for cut in MET_CUTS {
        print_rate(
            &format!("MET >= {cut} GeV [kHz]"),
            count(&|event| event.met_gev >= cut),
            totals,
        );
    }
    for cut in [200.0, 300.0, 400.0] {
        print_rate(&format!("HT >= {cut} GeV [kHz]"), count(&|event| event.ht_gev >= cut), totals);
    }
    for (k, (name, ..)) in CUTS.iter().enumerate() {
        print_value(
            &format!("mean number of {name}s"),
            samples.map(|events| mean(events.iter().map(|event| event.counts[k] as f64))),
        );
    }
    for (name, x, y) in [
        (
            "correlation MET, jet sum",
            (|e| e.met_gev) as fn(&Event) -> f64,
            (|e| e.jet_sum_gev) as fn(&Event) -> f64,
        ),
        ("correlation MET, number of jets", |e| e.met_gev, |e| e.counts[0] as f64),
        ("correlation MET, HT", |e| e.met_gev, |e| e.ht_gev),
        ("correlation jets, e/gammas", |e| e.counts[0] as f64, |e| e.counts[1] as f64),
        ("correlation jets, muons", |e| e.counts[0] as f64, |e| e.counts[2] as f64),
        ("correlation leading jet, e/gamma", |e| e.leading_gev[0], |e| e.leading_gev[1]),
    ] {
        print_value(name, samples.map(|events| correlation(events, x, y)));
    }
    print_value("mean MET [GeV]", samples.map(|events| mean(events.iter().map(|e| e.met_gev))));
    print_value(
        "mean jet vector sum [GeV]",
        samples.map(|events| mean(events.iter().map(|e| e.jet_sum_gev))),
    );
    let hard = |event: &&Event| event.jet_sum_gev >= 50.0;
    print_value(
        "mean cos(MET, -jets), sum >= 50",
        samples.map(|events| mean(events.iter().filter(hard).map(|e| e.cos_met))),
    );
    let dijet = |event: &&Event| event.second_gev[0] >= 60.0;
    let apart = |event: &Event| f64::from(u8::from(event.delta_phi.is_some_and(|phi| phi > 2.6)));
    print_value(
        "back to back, both >= 60 GeV",
        samples.map(|events| mean(events.iter().filter(dijet).map(apart))),
    );
}

/// Of each model: the real threshold of a rate, and what passes it of both.
fn print_scores(names: &[String], scores: [&[Vec<Score>]; 2]) {
    let rate_khz = FillingScheme::lhc().collision_rate_hz() / 1000.0;
    for (k, name) in names.iter().enumerate() {
        let mut sorted = scores[0][k].clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        for target in SCORE_RATES_KHZ {
            let n = (target / rate_khz * sorted.len() as f64) as usize;
            let Some(&threshold) = sorted.get(n) else { continue };
            let counts =
                scores.map(|scores| scores[k].iter().filter(|&&s| s >= threshold).count() as u64);
            let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("{stem} score, {target} kHz");
            print_rate(&name, counts, scores.map(|scores| scores[k].len()));
        }
    }
}

/// Counts of a quantity, with the generated sample scaled to the real one, and their ratio.
fn figure(
    stem: &Path,
    x: Axis,
    edges: &[f64],
    values: [Vec<f64>; 2],
) -> Result<(), Box<dyn Error>> {
    let scale = values[0].len() as f64 / values[1].len() as f64;
    let counts = values.map(|values| {
        let mut counts = vec![0_u64; edges.len() - 1];
        for value in values {
            let bin = edges.partition_point(|&edge| edge <= value);
            if (1..edges.len()).contains(&bin) {
                counts[bin - 1] += 1;
            }
        }
        counts
    });
    let real: Vec<Interval> = counts[0].iter().map(|&n| garwood(n, ONE_SIGMA)).collect();
    let generated: Vec<Interval> =
        counts[1].iter().map(|&n| garwood(n, ONE_SIGMA).scaled(scale)).collect();
    let ratio: Vec<Interval> = (generated.iter().zip(&real))
        .map(|(generated, real)| generated.scaled(1.0 / real.value.max(1.0)))
        .collect();
    Plot::new("Generated and real zero bias", x, Axis::log("Crossings"))
        .steps("real", edges, &real)
        .steps("generated, scaled", edges, &generated)
        .lower(Axis::linear("generated / real").range(0.5, 1.5))
        .steps("generated, scaled", edges, &ratio)
        .mark_y(1.0, "")
        .save(stem)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, real, generated, models @ ..] = &arguments[..] else {
        return Err("usage: generated FOLDER REAL GENERATED [MODEL...]".into());
    };
    let folder = Path::new(folder);
    let read_model = |name: &String| Model::read(Path::new(name));
    let loaded: Vec<Model> = models.iter().map(read_model).collect::<Result<_, _>>()?;
    let (real, real_scores) = read(real, &loaded)?;
    let (generated, generated_scores) = read(generated, &loaded)?;
    println!("{:<32} {:>11} {:>11}   {:>6}", "", "real", "generated", "ratio");
    print_table([&real, &generated]);
    print_scores(models, [&real_scores, &generated_scores]);

    let of = |value: &dyn Fn(&Event) -> f64| {
        [&real, &generated].map(|events| events.iter().map(value).collect())
    };
    let steps = |n: u32, width: f64| (0..=n).map(|k| f64::from(k) * width).collect::<Vec<f64>>();
    let numbers: Vec<f64> = (0..=13).map(|n| f64::from(n) - 0.5).collect();
    let figures: [(&str, Axis, Vec<f64>, [Vec<f64>; 2]); 6] = [
        (
            "leading-jet",
            Axis::linear("Leading jet p_{T}").unit("GeV"),
            steps(50, 5.0),
            of(&|e| e.leading_gev[0]),
        ),
        (
            "leading-egamma",
            Axis::linear("Leading e/γ p_{T}").unit("GeV"),
            steps(40, 2.0),
            of(&|e| e.leading_gev[1]),
        ),
        ("met", Axis::linear("p_{T}^{miss}").unit("GeV"), steps(40, 4.0), of(&|e| e.met_gev)),
        ("n-jets", Axis::linear("Jets"), numbers.clone(), of(&|e| e.counts[0] as f64)),
        ("n-egammas", Axis::linear("e/γ"), numbers, of(&|e| e.counts[1] as f64)),
        (
            "delta-phi",
            Axis::linear("Angle between leading jets").unit("rad"),
            steps(36, std::f64::consts::PI / 36.0),
            of(&|e| e.delta_phi.unwrap_or(-1.0)),
        ),
    ];
    for (name, x, edges, values) in figures {
        figure(&folder.join(name), x, &edges, values)?;
    }
    Ok(())
}
