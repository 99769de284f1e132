//! Generated events are like those of the stream that the model was fitted to, the same for any way of
//! making them, and sound; files of models that are not are refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::{Path, PathBuf};

use common::{assert_same, random_blocks, write_stream};
use scout40_replay::event::{Block, Collection, Column, ColumnSet, Group};
use scout40_replay::format::Compression;
use scout40_replay::generate::{
    Context, Directions, FitOptions, GenerateError, GeneratedStream, Generator, GeneratorModel,
    GeneratorSource, PileUp, Placement, fit,
};
use scout40_replay::lhc::{FillingScheme, lumi_section_of_orbit};
use scout40_replay::source::{Delivery, FileSource, Source};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// All events of a source, or its first `n`.
fn events(source: &mut dyn Source, n: usize) -> Block {
    let columns = source.columns();
    let (mut all, mut block) = (Block::new(columns), Block::default());
    while all.len() < n {
        match source.next_block(columns, &mut block).unwrap() {
            Delivery::Block => {
                (0..block.len().min(n - all.len())).for_each(|i| all.push_event(&block, i))
            }
            Delivery::End => break,
            other => panic!("{other}"),
        }
    }
    all
}

fn real() -> Block {
    events(&mut FileSource::open(&fixture("streams/zero-bias.s40")).unwrap(), usize::MAX)
}

/// `n` events of the shipped model.
fn generated(pile_up: PileUp, seed: u64, n: u64) -> Block {
    let stream = stream(pile_up, seed, n);
    let (mut all, mut block) = (Block::new(stream.columns()), Block::default());
    for number in 0..stream.n_blocks() {
        stream.fill(number, &mut block);
        block.check().unwrap();
        (0..block.len()).for_each(|i| all.push_event(&block, i));
    }
    all
}

fn stream(pile_up: PileUp, seed: u64, n: u64) -> GeneratedStream {
    let model = GeneratorModel::shipped();
    GeneratedStream::new(&model, pile_up, seed, Placement::default(), n).unwrap()
}

/// pT code of an object of each event, 0 where there is none.
fn pts(of: &Block, collection: Collection, rank: usize) -> Vec<i16> {
    let [pt, ..] = collection.kinematics().unwrap();
    (0..of.len()).map(|i| of.event(i).values::<i16>(pt).get(rank).copied().unwrap_or(0)).collect()
}

/// How many standard deviations two counts of two samples are apart.
fn deviations(a: (usize, usize), b: (usize, usize)) -> f64 {
    let share = (a.0 + b.0) as f64 / (a.1 + b.1) as f64;
    let variance = share * (1.0 - share) * (1.0 / a.1 as f64 + 1.0 / b.1 as f64);
    (a.0 as f64 / a.1 as f64 - b.0 as f64 / b.1 as f64) / variance.sqrt().max(1e-12)
}

const KINDS: [Collection; 3] = [Collection::Jet, Collection::EGamma, Collection::Muon];

#[test]
fn single_object_rates_and_multiplicities_are_those_of_the_stream_fitted_to() {
    let (real, made) = (real(), generated(PileUp::Fitted, 11, 400_000));
    // A rate is a count of independent events in both samples. 5 standard deviations of the
    // statistics of both (a chance of 6e-7 for each of some 90 counts), and a systematic part that is
    // the model's: codes that are joined, and what ranks below the first depend on beyond the one before.
    let check = |what: &str, counts: [usize; 2], systematic: f64| {
        let apart = deviations((counts[0], real.len()), (counts[1], made.len())).abs();
        let shares = [counts[0] as f64 / real.len() as f64, counts[1] as f64 / made.len() as f64];
        let relative = (shares[1] / shares[0].max(1e-12) - 1.0).abs();
        assert!(apart < 5.0 || relative < systematic, "{what}: {shares:?}, {apart:.1} deviations");
    };
    for collection in KINDS {
        for (rank, systematic) in [(0, 0.02), (1, 0.06), (2, 0.1)] {
            let both = [&real, &made].map(|events| pts(events, collection, rank));
            for cut in [8, 12, 20, 30, 40, 56, 72, 120, 180, 240] {
                let counts = both.each_ref().map(|pts| pts.iter().filter(|&&pt| pt >= cut).count());
                if counts[0] >= 30 {
                    check(&format!("{} {rank} >= {cut}", collection.name()), counts, systematic);
                }
            }
        }
        let column = collection.count_column().unwrap();
        for n in 0..=10 {
            let counts = [&real, &made]
                .map(|events| events.get::<u8>(column).iter().filter(|&&found| found == n).count());
            if counts[0] >= 30 {
                check(&format!("{n} {}", collection.name()), counts, 0.05);
            }
        }
    }
    let met = [&real, &made].map(|events| events.get::<i16>(Column::MetPt));
    for cut in [20, 40, 80, 120, 160, 200] {
        let counts = met.map(|met| met.iter().filter(|&&met| met >= cut).count());
        check(&format!("met >= {cut}"), counts, 0.05);
    }
}

/// Mean and correlation of two quantities.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        x.iter().zip(y).map(|(&x, &y)| f(x - mx, y - my)).sum::<f64>()
    };
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn correlations_between_kinds_missing_energy_and_pile_up_are_kept() {
    let (real, made) = (real(), generated(PileUp::Fitted, 12, 300_000));
    let floats = |values: &[u8]| values.iter().map(|&n| f64::from(n)).collect::<Vec<_>>();
    let quantities = |events: &Block| -> Vec<(&'static str, Vec<f64>)> {
        vec![
            ("jets", floats(events.get(Column::JetN))),
            ("e/gammas", floats(events.get(Column::EGammaN))),
            ("met", events.get::<i16>(Column::MetPt).iter().map(|&met| f64::from(met)).collect()),
            ("pile-up", events.get::<f32>(Column::PileUp).iter().map(|&n| f64::from(n)).collect()),
            (
                "leading jet",
                pts(events, Collection::Jet, 0).iter().map(|&pt| f64::from(pt)).collect(),
            ),
            (
                "leading e/gamma",
                pts(events, Collection::EGamma, 0).iter().map(|&pt| f64::from(pt)).collect(),
            ),
        ]
    };
    let (of_real, of_made) = (quantities(&real), quantities(&made));
    for i in 0..of_real.len() {
        for j in 0..i {
            let found = correlation(&of_made[i].1, &of_made[j].1);
            let expected = correlation(&of_real[i].1, &of_real[j].1);
            // Statistics of both: 0.0026 each; the rest is the model's.
            let names = (of_real[i].0, of_real[j].0);
            assert!((found - expected).abs() < 0.05, "{names:?}: {found:.3} for {expected:.3}");
        }
    }
}

#[test]
fn leading_jets_are_back_to_back_and_missing_energy_is_opposite_to_the_jets_as_in_the_stream() {
    let (real, made) = (real(), generated(PileUp::Fitted, 13, 300_000));
    let turned = |a: i16, b: i16| i32::from((a - b).rem_euclid(144));
    let away = |events: &Block| {
        let hard = |i: &usize| {
            events.event(*i).values::<i16>(Column::JetPt).get(1).is_some_and(|&pt| pt >= 120)
        };
        let dijets: Vec<usize> = (0..events.len()).filter(hard).collect();
        let is_away = |&&i: &&usize| {
            let phis = events.event(i).values::<i16>(Column::JetPhi);
            (60..=84).contains(&turned(phis[0], phis[1]))
        };
        (dijets.iter().filter(is_away).count(), dijets.len())
    };
    let (a, b) = (away(&real), away(&made));
    assert!(a.0 * 2 > a.1, "most of the stream's are: {a:?}");
    assert!(deviations(a, b).abs() < 5.0, "{a:?} {b:?}");
    let opposite = |events: &Block| {
        let hard = |i: &usize| {
            events.event(*i).values::<i16>(Column::JetPt).first().is_some_and(|&pt| pt >= 120)
        };
        let chosen: Vec<usize> = (0..events.len()).filter(hard).collect();
        let is_opposite = |&&i: &&usize| {
            let event = events.event(i);
            let phi = event.values::<i16>(Column::JetPhi)[0];
            (36..=108).contains(&turned(event.value(Column::MetPhi), phi))
        };
        chosen.iter().filter(is_opposite).count() as f64 / chosen.len() as f64
    };
    let (a, b) = (opposite(&real), opposite(&made));
    assert!(a > 0.55 && (a - b).abs() < 0.06, "{a:.3} {b:.3}");
}

#[test]
fn directions_are_those_of_the_stream_code_by_code() {
    let (real, made) = (real(), generated(PileUp::Fitted, 15, 400_000));
    // Half of the summed differences of shares. Statistics of both samples make 0.4 √(codes / objects): 0.01 for
    // e/gammas and jets, 0.09 for muons; the rest is the model's, whose chance to be in a jet does not know eta.
    for (collection, at_most) in
        [(Collection::Jet, 0.01), (Collection::EGamma, 0.03), (Collection::Muon, 0.1)]
    {
        let [_, eta, phi] = collection.kinematics().unwrap();
        for column in [eta, phi] {
            let shares = [&real, &made].map(|events| {
                let codes = events.get::<i16>(column);
                let mut shares = [0.0; 2048];
                codes.iter().for_each(|&c| shares[(c + 1024) as usize] += 1.0 / codes.len() as f64);
                shares
            });
            let apart = |(a, b): (&f64, &f64)| (a - b).abs() / 2.0;
            let distance: f64 = shares[0].iter().zip(&shares[1]).map(apart).sum();
            let name = column.spec().name;
            assert!(distance < at_most, "{name}: {distance:.4}");
            // No tower that there is not.
            let is_new = |(a, b): (&f64, &f64)| *a == 0.0 && *b > 0.0;
            assert_eq!(
                shares[0].iter().zip(&shares[1]).filter(|&s| is_new(s)).count(),
                0,
                "{name}"
            );
        }
    }
}

#[test]
fn events_full_of_hard_jets_have_as_many_hard_objects_beside_them_as_in_the_stream() {
    let (real, made) = (real(), generated(PileUp::Fitted, 16, 600_000));
    let sum = |events: &Block, i: usize, collection: Collection| -> i32 {
        let [pt, ..] = collection.kinematics().unwrap();
        events.event(i).values::<i16>(pt).iter().map(|&pt| i32::from(pt)).sum()
    };
    for (beside, least) in
        [(Collection::EGamma, 40), (Collection::EGamma, 60), (Collection::Muon, 12)]
    {
        let both = [&real, &made].map(|events| {
            let of = |&i: &usize| {
                sum(events, i, Collection::Jet) >= 400 && sum(events, i, beside) >= least
            };
            ((0..events.len()).filter(of).count(), events.len())
        });
        let ratio = both[1].0 as f64 / both[1].1 as f64 / (both[0].0 as f64 / both[0].1 as f64);
        let apart = deviations(both[0], both[1]).abs();
        let name = beside.name();
        assert!(apart < 4.0 || (ratio - 1.0).abs() < 0.1, "{name} {least}: {both:?} {ratio:.3}");
    }
}

#[test]
fn rates_rise_with_pile_up_as_in_the_stream() {
    let real = real();
    let pile_up = real.get::<f32>(Column::PileUp);
    for (low, high, mean) in [(44.0, 52.0, 49_u16), (56.0, 64.0, 60), (68.0, 78.0, 71)] {
        let chosen: Vec<usize> =
            (0..real.len()).filter(|&i| (low..=high).contains(&pile_up[i])).collect();
        let of_chosen: f32 = chosen.iter().map(|&i| pile_up[i]).sum::<f32>() / chosen.len() as f32;
        assert!((of_chosen - f32::from(mean)).abs() < 1.0, "{of_chosen}");
        let made = generated(PileUp::Fixed(mean), 14, 60_000);
        for (column, systematic) in
            [(Column::JetN, 0.04), (Column::EGammaN, 0.04), (Column::MuonN, 0.1)]
        {
            let counts = real.get::<u8>(column);
            let expected =
                chosen.iter().map(|&i| f64::from(counts[i])).sum::<f64>() / chosen.len() as f64;
            let counts = made.get::<u8>(column);
            let found = counts.iter().map(|&n| f64::from(n)).sum::<f64>() / made.len() as f64;
            assert!(
                (found / expected - 1.0).abs() < systematic,
                "{} at {mean}: {found} {expected}",
                column.spec().name
            );
        }
        assert!(made.get::<f32>(Column::PileUp).iter().all(|&n| n as u16 == mean));
    }
}

/// Away from the pile-up that the model was fitted to, by real streams of other pile-up, which are the
/// user's to supply: `SCOUT40_PILE_UP_STREAMS` names them, `45=PATH,75=PATH`. Within what `docs/generator.md`
/// says, beside 4 standard deviations of both: exponents of hard objects come from few events.
#[test]
fn rates_of_real_streams_of_other_pile_up_are_met_as_documented() {
    const USUAL: f64 = 0.17;
    const HARD: f64 = 0.25;
    let Ok(named) = std::env::var("SCOUT40_PILE_UP_STREAMS") else { return };
    for stream in named.split(',') {
        let (mean, path) = stream.split_once('=').expect("MEAN=PATH");
        let real = events(&mut FileSource::open(path.as_ref()).unwrap(), usize::MAX);
        let made = generated(PileUp::Poisson(mean.parse().unwrap()), 1, 400_000);
        let check = |what: String, systematic: f64, rate: &dyn Fn(&Block) -> usize| {
            let (a, b) = (rate(&real) as f64, rate(&made) as f64);
            assert!(a >= 10.0, "{what} at {mean}: {a} real events tell nothing");
            let ratio = b / a * real.len() as f64 / made.len() as f64;
            let sigma = ratio * (1.0 / a + 1.0 / b.max(1.0)).sqrt();
            println!("{what} at {mean}: generated / real {ratio:.3} ± {sigma:.3}");
            assert!((ratio - 1.0).abs() < systematic + 4.0 * sigma, "{what} at {mean}: {ratio}");
        };
        for (collection, gev, systematic) in [
            (Collection::Jet, 35, USUAL),
            (Collection::Jet, 60, USUAL),
            (Collection::Jet, 90, HARD),
            (Collection::Jet, 120, HARD),
            (Collection::EGamma, 15, USUAL),
            (Collection::EGamma, 28, USUAL),
            (Collection::Muon, 5, USUAL),
            (Collection::Muon, 12, HARD),
        ] {
            let offset = i16::from(collection == Collection::Muon);
            let passes = |events: &Block| {
                pts(events, collection, 0).iter().filter(|&&pt| pt >= 2 * gev + offset).count()
            };
            check(format!("{} {gev}", collection.name()), systematic, &passes);
        }
        for gev in [60, 80, 100] {
            let passes = |events: &Block| {
                events.get::<i16>(Column::MetPt).iter().filter(|&&met| met >= 2 * gev).count()
            };
            check(format!("missing energy {gev}"), USUAL, &passes);
        }
    }
}

#[test]
fn a_poisson_pile_up_has_its_mean_and_its_variance() {
    let made = generated(PileUp::Poisson(75.0), 3, 100_000);
    let values: Vec<f64> = made.get::<f32>(Column::PileUp).iter().map(|&n| f64::from(n)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / values.len() as f64;
    // Standard deviations: 0.027 and 0.34.
    assert!((mean - 75.0).abs() < 0.16 && (variance - 75.0).abs() < 2.1, "{mean} {variance}");
}

#[test]
fn events_are_the_same_in_blocks_of_any_size_and_order_and_others_with_another_seed() {
    let n = 3 * 2748 + 100;
    let whole = generated(PileUp::Poisson(60.0), 5, n);
    let model = GeneratorModel::shipped();
    let place =
        Placement { orbits_per_block: 1, scheme: FillingScheme::lhc(), ..Placement::default() };
    let stream = GeneratedStream::new(&model, PileUp::Poisson(60.0), 5, place, n).unwrap();
    assert_eq!((stream.n_blocks(), stream.n_events()), (4, n));
    let mut block = Block::default();
    for number in [3, 0, 2, 1] {
        stream.fill(number, &mut block);
        let first = number as usize * 2748;
        let mut expected = Block::new(whole.columns());
        expected.run = 1;
        (first..first + block.len()).for_each(|i| expected.push_event(&whole, i));
        assert_same(&block, &expected, whole.columns());
    }
    stream.fill(4, &mut block);
    assert!(block.is_empty());
    let other = generated(PileUp::Poisson(60.0), 6, n);
    assert_ne!(other.get::<i16>(Column::JetPt), whole.get::<i16>(Column::JetPt));
    // By crossing alone, without a place.
    let generator = Generator::new(&model, PileUp::Poisson(60.0), 5).unwrap();
    let mut alone = Block::new(generator.columns());
    generator.fill(4711, 1, &mut alone);
    let jets = whole.event(4711).values::<i16>(Column::JetPt);
    assert_eq!(alone.get::<i16>(Column::JetPt), jets);
}

#[test]
fn placed_events_fill_the_colliding_slots_in_order() {
    let made = generated(PileUp::Fitted, 1, 2 * 2748 + 5);
    let scheme = FillingScheme::lhc();
    for i in 0..made.len() {
        let slot = scheme.slot_of_nth(i as u64);
        let id = made.crossing_id(i);
        assert_eq!((u64::from(id.orbit) - 1) * 3564 + u64::from(id.bx) - 1, slot);
        assert_eq!(made.get::<u32>(Column::Lumi)[i], lumi_section_of_orbit(id.orbit));
        assert_eq!(made.get::<u64>(Column::Event)[i], i as u64);
    }
}

#[test]
fn a_pool_comes_again_in_other_crossings_and_without_one_no_event_does() {
    let n_pool = 3_u64;
    let stream_of = || stream(PileUp::Fitted, 2, 1 << 40);
    let pool: Vec<Block> = (0..n_pool)
        .map(|number| {
            let mut block = Block::default();
            stream_of().fill(number, &mut block);
            block
        })
        .collect();
    let per_block = pool[0].len();
    let mut source = GeneratorSource::new(stream_of(), pool);
    assert!(source.facts().is_endless && source.facts().n_crossings == Some(3 * per_block as u64));
    let all = events(&mut source, 7 * per_block);
    let fresh = events(&mut GeneratorSource::new(stream_of(), Vec::new()), 7 * per_block);
    let places = Group::Crossing.columns().with(Column::Lumi);
    assert_same(&all, &fresh, places);
    let (numbers, fresh_numbers) = (all.get::<u64>(Column::Event), fresh.get::<u64>(Column::Event));
    assert!(fresh_numbers.iter().enumerate().all(|(i, &number)| number == i as u64));
    assert!(numbers.iter().enumerate().all(|(i, &number)| number == (i % (3 * per_block)) as u64));
    let mut block = Block::default();
    source.rewind().unwrap();
    let wanted = ColumnSet::EMPTY.with(Column::MetPt);
    assert_eq!(source.next_block(wanted, &mut block).unwrap(), Delivery::Block);
    block.check_shape().unwrap();
    assert_eq!(block.columns(), ColumnSet::skeleton().with(Column::MetPt));
    assert_eq!(block.get::<i16>(Column::MetPt), &fresh.get::<i16>(Column::MetPt)[..per_block]);
}

#[test]
fn the_shipped_model_is_what_a_fit_to_the_shipped_stream_gives() {
    let mut source = FileSource::open(&fixture("streams/zero-bias.s40")).unwrap();
    let model = fit(&mut source, &FitOptions::default()).unwrap();
    let shipped = GeneratorModel::shipped();
    assert_eq!(model.fitted_to, shipped.fitted_to);
    assert_eq!(model.left_out, ["time", "l1_accept", "order"]);
    assert!(model == shipped, "fixtures/make.sh makes it");
}

#[test]
fn streams_of_every_column_are_fitted_and_generated_with_all_that_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.s40");
    let mut blocks = random_blocks(ColumnSet::ALL, &[900, 600], 3);
    for block in &mut blocks {
        block.get_mut::<f32>(Column::PileUp).iter_mut().for_each(|n| *n = n.abs() % 80.0);
    }
    write_stream(&path, &blocks, Compression::Fast);
    let model = fit(&mut FileSource::open(&path).unwrap(), &FitOptions::default()).unwrap();
    let again = GeneratorModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(model, again);
    let stream =
        GeneratedStream::new(&model, PileUp::Fixed(40), 1, Placement::default(), 12_000).unwrap();
    let mut block = Block::default();
    for number in 0..stream.n_blocks() {
        stream.fill(number, &mut block);
        block.check().unwrap();
    }
    let left_out =
        ["time", "l1_accept", "order", "truth_process", "truth_event", "weight", "score", "lines"];
    // The model knows objects of Run 3 and what is said of them one by one.
    let further = [
        Group::SumsExtra,
        Group::FurtherCounts,
        Group::Puppi,
        Group::PuppiExtra,
        Group::TrackMuon,
        Group::TrackMuonExtra,
        Group::Stub,
    ];
    let missing: ColumnSet = left_out.iter().filter_map(|name| Column::from_name(name)).collect();
    let missing = further.iter().fold(missing, |missing, group| missing.union(group.columns()));
    let told: ColumnSet =
        model.left_out.iter().filter_map(|name| Column::from_name(name)).collect();
    assert_eq!(told, missing);
    assert_eq!(stream.columns(), ColumnSet::ALL.minus(missing));
}

#[test]
fn streams_that_cannot_be_fitted_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let few = folder.path().join("few.s40");
    write_stream(&few, &random_blocks(ColumnSet::ALL, &[500], 3), Compression::Fast);
    let error = fit(&mut FileSource::open(&few).unwrap(), &FitOptions::default()).unwrap_err();
    assert!(matches!(error, GenerateError::TooFew { least: 1000, found: 500, .. }), "{error}");
    let wild = folder.path().join("wild.s40");
    let mut blocks = random_blocks(ColumnSet::ALL, &[1500], 3);
    blocks[0].get_mut::<f32>(Column::PileUp).fill(60.0);
    blocks[0].get_mut::<f32>(Column::PileUp)[700] = f32::NAN;
    write_stream(&wild, &blocks, Compression::Fast);
    let error = fit(&mut FileSource::open(&wild).unwrap(), &FitOptions::default()).unwrap_err();
    assert!(error.to_string().contains("pile-up within 0..=400, found NaN"), "{error}");
    let path = fixture("pathological/truncated.s40");
    let error = fit(&mut FileSource::open(&path).unwrap(), &FitOptions::default()).unwrap_err();
    assert!(matches!(error, GenerateError::Damaged { .. }), "{error}");
}

#[test]
fn a_model_without_pile_up_takes_none_and_pile_ups_are_in_range() {
    let mut model = GeneratorModel::shipped();
    for bad in ["0", "401", "poisson:0", "poisson:nan", "poisson:1e9", "many", "-3", ""] {
        assert!(bad.parse::<PileUp>().is_err(), "{bad}");
    }
    assert_eq!("poisson:60".parse(), Ok(PileUp::Poisson(60.0)));
    assert_eq!("60".parse(), Ok(PileUp::Fixed(60)));
    let range = Generator::new(&model, PileUp::Poisson(f64::NAN), 1).err().unwrap();
    assert!(matches!(range, GenerateError::PileUpRange { .. }), "{range}");
    model.pile_up = None;
    model.columns.retain(|name| name != "pile_up");
    let error = Generator::new(&model, PileUp::Fixed(60), 1).err().unwrap();
    assert!(matches!(error, GenerateError::NoPileUp), "{error}");
}

#[test]
fn damaged_models_are_refused_at_every_cut_and_flip() {
    let good = GeneratorModel::shipped().to_bytes().unwrap();
    for length in (0..200).chain((200..good.len()).step_by(997)) {
        assert!(GeneratorModel::from_bytes(&good[..length]).is_err(), "cut after {length}");
    }
    for at in (0..64).chain((64..good.len()).step_by(701)) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(GeneratorModel::from_bytes(&bytes).is_err(), "flipped at {at}");
    }
    // A length that promises too much is not believed.
    let mut bytes = good.clone();
    bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(GeneratorModel::from_bytes(&bytes).is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(&path, "once upon a time, there was a longer text than a head").unwrap();
    let error = GeneratorModel::read(&path).unwrap_err().to_string();
    for word in ["text", "S40GENER", "once upo", "--fit"] {
        assert!(error.contains(word), "{error}");
    }
    let mut other = good;
    other[8] = 9;
    let error = GeneratorModel::from_bytes(&other).unwrap_err();
    assert!(matches!(error, GenerateError::NewerVersion { found: 9, .. }), "{error}");
    other[8] = 1;
    let error = GeneratorModel::from_bytes(&other).unwrap_err();
    assert!(matches!(error, GenerateError::OlderVersion { found: 1, .. }), "{error}");
    assert!(error.to_string().contains("hint: `scout40 generate --fit"), "{error}");
}

#[test]
fn models_whose_columns_are_not_made_once_each_are_refused_before_anything_is_made() {
    type Spoil = fn(&mut GeneratorModel);
    let nothing = "nothing in the model makes it";
    let spoiled: [(Spoil, &str, &str); 7] = [
        // Of no kind, of a kind that there is, of the crossing, of an object that is never generated.
        (|model| model.columns.push("tau_pt".into()), "tau_pt", nothing),
        (|model| model.columns.push("jet_raw_pt".into()), "jet_raw_pt", nothing),
        (|model| drop(model.scalars.pop()), "met_pt", nothing),
        (|model| model.columns.push("puppi_pt".into()), "puppi_pt", nothing),
        (|model| model.pile_up = None, "pile_up", nothing),
        (|model| drop(model.kinds.pop()), "muon_pt", nothing),
        (
            |model| {
                let again = model.scalars[0].clone();
                model.scalars.push(again);
            },
            "met_pt",
            "is made twice",
        ),
    ];
    for (k, (spoil, column, problem)) in spoiled.into_iter().enumerate() {
        let mut model = GeneratorModel::shipped();
        spoil(&mut model);
        let error = model.check().unwrap_err();
        assert!(matches!(error, GenerateError::Column { .. }), "{k}: {error}");
        let error = error.to_string();
        assert!(error.contains(column) && error.contains(problem), "{k}: {error}");
        assert!(error.contains("hint:"), "{error}");
        assert!(Generator::new(&model, PileUp::Fitted, 1).is_err(), "{k}");
    }
}

#[test]
fn models_whose_parts_do_not_fit_together_are_refused() {
    let spoiled: [fn(&mut GeneratorModel); 15] = [
        // Factors of pile-up beyond what numbers can hold.
        |model| model.pile_up.as_mut().unwrap().reference = 1e-300,
        |model| model.jet_bins = vec![3],
        |model| model.sum_bins = vec![3],
        |model| model.scalars[0].context = Context::Nothing,
        |model| match &mut model.kinds[1].directions {
            Directions::Loose { eta_in_jet, .. } => drop(eta_in_jet.pop()),
            Directions::Jets { .. } => panic!("jets are the first kind"),
        },
        |model| model.kinds[0].ranks[1].hazards.truncate(3),
        |model| model.kinds[0].ranks[1].exponents.push(1.0),
        |model| model.kinds[1].collection = "electron".into(),
        |model| model.kinds.swap(0, 1),
        |model| model.scalars[0].codes.truncate(1),
        |model| model.columns.push("jet_mass".into()),
        |model| model.scalars[0].codes[0].weights.resize(5000, 1.0),
        |model| {
            let bins = model.scalars[0].edges.len();
            model.scalars[0].edges.resize(bins + 60, 1e18);
        },
        |model| {
            // More tables than memory should be asked for.
            let rank = &mut model.kinds[1].ranks[0];
            rank.previous_bins = (0..60).collect();
            rank.hazards = vec![rank.hazards[0].clone(); 60 * rank.hazards.len()];
        },
        |model| {
            let rank = model.kinds[0].ranks[0].clone();
            model.kinds[0].ranks.resize(20, rank);
        },
    ];
    for (k, spoil) in spoiled.into_iter().enumerate() {
        let mut model = GeneratorModel::shipped();
        model.check().unwrap();
        spoil(&mut model);
        let error = model.check().unwrap_err();
        assert!(matches!(error, GenerateError::Unsound { .. }), "{k}: {error}");
        assert!(Generator::new(&model, PileUp::Fitted, 1).is_err(), "{k}");
    }
}
