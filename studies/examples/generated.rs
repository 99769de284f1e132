//! Figures of a generated stream beside the real one: those of `docs/generator.md`.
//!
//! `cargo run --release -p scout40-studies --features plot --example generated -- FOLDER REAL.s40 GENERATED.s40`

use std::error::Error;
use std::path::Path;

use scout40_replay::event::{Block, Collection, Column, ColumnSet, EventRef};
use scout40_replay::source::{Delivery, FileSource, Source as _};
use scout40_replay::units;
use scout40_studies::plot::{Axis, Plot};
use scout40_studies::rate::{Interval, ONE_SIGMA, garwood};

/// What is drawn: how many bins of which width from where on, and the value of an event.
struct Quantity {
    stem: &'static str,
    x: Axis,
    bins: u32,
    first: f64,
    width: f64,
    value: fn(EventRef<'_>) -> f64,
}

fn pts(of: EventRef<'_>, collection: Collection) -> &[i16] {
    let [pt, ..] = collection.kinematics().expect("objects have kinematics");
    of.values::<i16>(pt)
}

/// Of the hardest object, in GeV; below any bin where there is none.
fn leading(of: EventRef<'_>, collection: Collection) -> f64 {
    let gev = match collection {
        Collection::Muon => units::muon_pt_gev_from_hw,
        _ => units::calo_pt_gev_from_hw,
    };
    pts(of, collection).first().map_or(-1.0, |&pt| gev(pt))
}

fn quantities() -> Vec<Quantity> {
    let gev = |name: &str| Axis::linear(name).unit("GeV");
    let of = |stem, x, bins, first, width, value| Quantity { stem, x, bins, first, width, value };
    vec![
        of("generated-jet-pt", gev("Leading jet p_{T}"), 40, 0.0, 5.0, |e| {
            leading(e, Collection::Jet)
        }),
        of("generated-egamma-pt", gev("Leading e/γ p_{T}"), 30, 0.0, 2.0, |e| {
            leading(e, Collection::EGamma)
        }),
        of("generated-muon-pt", gev("Leading muon p_{T}"), 30, 0.0, 1.0, |e| {
            leading(e, Collection::Muon)
        }),
        of("generated-met", gev("p_{T}^{miss}"), 32, 0.0, 4.0, |e| {
            units::calo_pt_gev_from_hw(e.value(Column::MetPt))
        }),
        of("generated-jets", Axis::linear("Jets"), 11, -0.5, 1.0, |e| {
            pts(e, Collection::Jet).len() as f64
        }),
        of("generated-egammas", Axis::linear("e/γ"), 5, -0.5, 1.0, |e| {
            pts(e, Collection::EGamma).len() as f64
        }),
    ]
}

/// How often each quantity was in each bin.
struct Counts {
    of: Vec<Vec<u64>>,
    n_crossings: u64,
}

impl Counts {
    fn share(&self, quantity: usize) -> Vec<Interval> {
        let share = |&n: &u64| garwood(n, ONE_SIGMA).scaled(1.0 / self.n_crossings as f64);
        self.of[quantity].iter().map(share).collect()
    }
}

/// Counts of a stream.
fn count(path: &str, of: &[Quantity]) -> Result<Counts, Box<dyn Error>> {
    let mut source = FileSource::open(Path::new(path))?;
    let mut counts: Vec<Vec<u64>> = of.iter().map(|q| vec![0; q.bins as usize]).collect();
    let (mut n, mut block) = (0, Block::default());
    loop {
        match source.next_block(ColumnSet::ALL.intersection(source.columns()), &mut block)? {
            Delivery::Block => {}
            Delivery::End => return Ok(Counts { of: counts, n_crossings: n }),
            trouble => return Err(format!("`{path}` is damaged: {trouble}").into()),
        }
        n += block.len() as u64;
        for (quantity, counts) in of.iter().zip(&mut counts) {
            for i in 0..block.len() {
                let bin = ((quantity.value)(block.event(i)) - quantity.first) / quantity.width;
                if bin >= 0.0
                    && let Some(count) = counts.get_mut(bin as usize)
                {
                    *count += 1;
                }
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, real, generated] = &arguments[..] else {
        return Err("usage: generated FOLDER REAL.s40 GENERATED.s40".into());
    };
    let quantities = quantities();
    let (of_real, of_made) = (count(real, &quantities)?, count(generated, &quantities)?);
    for (k, quantity) in quantities.into_iter().enumerate() {
        let (real, made) = (of_real.share(k), of_made.share(k));
        let edge = |k: u32| quantity.first + f64::from(k) * quantity.width;
        let edges: Vec<f64> = (0..=quantity.bins).map(edge).collect();
        // Empty bins have no point: their upper limits would hide the others.
        let seen = |(k, of): (usize, &Interval)| {
            (of.value > 0.0).then(|| (edges[k] + quantity.width / 2.0, *of))
        };
        let points: Vec<(f64, Interval)> = real.iter().enumerate().filter_map(seen).collect();
        let without_errors = |of: &Interval| Interval { low: of.value, high: of.value, ..*of };
        let line: Vec<Interval> = made.iter().map(without_errors).collect();
        let ratio: Vec<(f64, Interval)> = points
            .iter()
            .map(|&(x, of_real)| {
                let bin = ((x - quantity.first) / quantity.width) as usize;
                (x, of_real.scaled(1.0 / made[bin].value.max(1e-12)))
            })
            .collect();
        Plot::new("Generated and real zero bias", quantity.x, Axis::log("Share of crossings"))
            .points("real", &points)
            .steps("generated", &edges, &line)
            .lower(Axis::linear("real / generated").range(0.5, 1.5))
            .points("real", &ratio)
            .mark_y(1.0, "")
            .save(&Path::new(folder).join(quantity.stem))?;
    }
    Ok(())
}
