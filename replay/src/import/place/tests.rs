//! Both ways of placing, on chunks made here.

use super::*;
use crate::event::{Column, Group};
use crate::lhc::{SLOTS_PER_ORBIT, lumi_section_of_orbit, slot_at};

fn columns() -> ColumnSet {
    Group::Jet.columns().union(Group::Event.columns())
}

/// Events with these crossings; event number = `first` + place, as many jets as its last digit
/// modulo 4.
fn chunk(first: u64, crossings: &[(u32, u32, i16)]) -> Chunk {
    let mut chunk = Chunk::default();
    chunk.reset(columns());
    for (i, &(run, orbit, bx)) in crossings.iter().enumerate() {
        let event = first + i as u64;
        let n_jets = (event % 4) as usize;
        let block = &mut chunk.events;
        block.get_mut::<u32>(Column::Orbit).push(orbit);
        block.get_mut::<i16>(Column::Bx).push(bx);
        block.get_mut::<u8>(Column::JetN).push(n_jets as u8);
        for column in [Column::MuonN, Column::EGammaN, Column::TauN] {
            block.get_mut::<u8>(column).push(0);
        }
        block.get_mut::<u64>(Column::Event).push(event);
        block.get_mut::<u64>(Column::Time).push(0);
        block
            .get_mut::<i16>(Column::JetPt)
            .extend((0..n_jets).map(|k| (event % 1000) as i16 + 9 - k as i16));
        block.get_mut::<i16>(Column::JetEta).extend((0..n_jets).map(|k| k as i16));
        block.get_mut::<i16>(Column::JetPhi).extend((0..n_jets).map(|_| (event % 144) as i16));
        chunk.runs.push(run);
    }
    chunk.events.index_objects().unwrap();
    chunk
}

fn place(place: Place, options: &PlaceOptions, chunks: &[Chunk]) -> (Vec<Block>, PlaceCounts) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut sink = |block: &Block| -> Result<(), ImportError> {
        block.check().unwrap();
        assert!(!block.is_empty());
        blocks.push(block.clone());
        Ok(())
    };
    let mut placer = Placer::new(place, columns(), options).unwrap();
    for chunk in chunks {
        placer.push(chunk, &mut sink).unwrap();
    }
    let counts = placer.finish(&mut sink).unwrap();
    assert_eq!(counts.events, counts.placed + counts.duplicates);
    assert_eq!(counts.placed, blocks.iter().map(|block| block.len() as u64).sum::<u64>());
    assert_eq!(counts.blocks, blocks.len() as u64);
    (blocks, counts)
}

/// (run, orbit, bx, event, jet pTs) of every event.
fn contents(blocks: &[Block]) -> Vec<(u32, u32, u16, u64, Vec<i16>)> {
    let mut all = Vec::new();
    for block in blocks {
        let offsets = block.offsets(crate::event::Collection::Jet);
        for i in 0..block.len() {
            let id = block.crossing_id(i);
            let jets = offsets[i] as usize..offsets[i + 1] as usize;
            let pt = block.get::<i16>(Column::JetPt)[jets].to_vec();
            all.push((id.run, id.orbit, id.bx, block.get::<u64>(Column::Event)[i], pt));
        }
    }
    all
}

fn options(spill_events: usize, folder: &std::path::Path) -> PlaceOptions {
    PlaceOptions { spill_events, target_crossings: 10, ..PlaceOptions::new(folder.into()) }
}

/// Crossings without any order, from a fixed sequence; about one in ten occurs before.
fn shuffled(n: usize) -> Vec<(u32, u32, i16)> {
    let mut state = 1_u64;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let n_orbits = (n as u64 / 5).max(1);
    (0..n).map(|_| (next(2) as u32 + 7, next(n_orbits) as u32, next(13) as i16 + 1)).collect()
}

#[test]
fn the_nth_event_goes_onto_the_nth_colliding_slot() {
    let scheme = FillingScheme::lhc();
    let n = 3 * 2748 + 100;
    let chunks: Vec<Chunk> = (0..n)
        .step_by(1000)
        .map(|i| chunk(i, &vec![(0, 0, 0); 1000.min(n - i) as usize]))
        .collect();
    let how = Place::Fill { scheme: scheme.clone(), run: 9, first_orbit: (1 << 18) - 1 };
    let options = PlaceOptions { orbits_per_block: 2, ..PlaceOptions::new("unused".into()) };
    let (blocks, counts) = place(how, &options, &chunks);
    assert_eq!(blocks.iter().map(Block::len).collect::<Vec<_>>(), [2 * 2748, 2748 + 100]);
    for (i, (run, orbit, bx, event, jets)) in contents(&blocks).into_iter().enumerate() {
        let slot = scheme.slot_of_nth(i as u64) + slot_at((1 << 18) - 1, 1);
        assert_eq!((run, event, jets.len()), (9, i as u64, i % 4));
        assert_eq!(slot_at(u64::from(orbit), bx), slot);
    }
    for block in &blocks {
        assert!(block.columns().contains(Column::Lumi));
        let orbits = block.get::<u32>(Column::Orbit).iter();
        assert!(
            orbits
                .map(|&o| lumi_section_of_orbit(o))
                .eq(block.get::<u32>(Column::Lumi).iter().copied())
        );
    }
    assert_eq!((counts.events, counts.duplicates), (n, 0));
}

#[test]
fn a_recorded_luminosity_section_is_not_replaced() {
    let mut chunk = chunk(0, &[(0, 0, 0)]);
    let with_lumi = columns().with(Column::Lumi);
    let mut events = Block::new(with_lumi);
    events.push_event(&chunk.events, 0);
    events.get_mut::<u32>(Column::Lumi)[0] = 77;
    chunk.events = events;
    let how = Place::Fill { scheme: FillingScheme::single(), run: 1, first_orbit: 0 };
    let mut placer = Placer::new(how, with_lumi, &PlaceOptions::new("unused".into())).unwrap();
    let mut lumi = Vec::new();
    let mut sink = |block: &Block| -> Result<(), ImportError> {
        lumi.extend_from_slice(block.get::<u32>(Column::Lumi));
        Ok(())
    };
    placer.push(&chunk, &mut sink).unwrap();
    placer.finish(&mut sink).unwrap();
    assert_eq!(lumi, [77]);
}

#[test]
fn orbits_end_at_32_bits() {
    let how = Place::Fill { scheme: FillingScheme::single(), run: 1, first_orbit: u32::MAX };
    let mut placer = Placer::new(how, columns(), &PlaceOptions::new("unused".into())).unwrap();
    let mut sink = |_: &Block| -> Result<(), ImportError> { Ok(()) };
    let error = placer.push(&chunk(0, &[(0, 0, 0); 2]), &mut sink).unwrap_err();
    assert!(matches!(error, ImportError::OrbitRange { event: 1, orbit: 0x1_0000_0000 }));
}

#[test]
fn recorded_events_are_sorted_alike_whatever_fits_into_memory() {
    let crossings = shuffled(3000);
    let chunks: Vec<Chunk> = crossings
        .chunks(701)
        .scan(0, |first, part| {
            let chunk = chunk(*first, part);
            *first += part.len() as u64;
            Some(chunk)
        })
        .collect();
    let mut expected: Vec<(u32, u32, u16, u64)> = crossings
        .iter()
        .zip(0..)
        .map(|(&(run, orbit, bx), i)| (run, orbit, bx as u16, i))
        .collect();
    expected.sort_unstable();
    expected.dedup_by_key(|event| (event.0, event.1, event.2));
    let folder = tempfile::tempdir().unwrap();
    // 10: more spills than are merged at once, so that they are merged twice.
    for (spill_events, spills) in [(10_000, 0), (3000, 1), (1000, 3), (999, 4), (10, 300)] {
        let options = options(spill_events, folder.path());
        let (blocks, counts) = place(Place::Keep, &options, &chunks);
        let found = contents(&blocks);
        let ids: Vec<_> = found.iter().map(|e| (e.0, e.1, e.2, e.3)).collect();
        assert!(ids == expected, "{spill_events}: same events, the first of each crossing");
        assert!(found.iter().all(|e| e.4.len() as u64 == e.3 % 4), "objects stay with their event");
        assert_eq!(counts.duplicates, 3000 - expected.len() as u64);
        assert_eq!(counts.spills, spills, "{spill_events}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");
    }
}

#[test]
fn blocks_close_at_orbit_boundaries_and_never_mix_runs() {
    let folder = tempfile::tempdir().unwrap();
    let crowded: Vec<_> = (1..=25).map(|bx| (1, 5, bx)).collect();
    let sparse: Vec<_> = (6..20).map(|orbit| (1, orbit, 1)).collect();
    let chunks = [chunk(0, &crowded), chunk(25, &sparse), chunk(39, &[(2, 0, 1), (2, 1, 1)])];
    let (blocks, _) = place(Place::Keep, &options(100, folder.path()), &chunks);
    let sizes: Vec<_> = blocks.iter().map(|block| (block.run, block.len())).collect();
    assert_eq!(sizes, [(1, 25), (1, 10), (1, 4), (2, 2)]);
}

#[test]
fn events_that_are_sorted_already_make_the_same_blocks_without_being_gathered() {
    let crossings: Vec<_> = (0..300).map(|i| (1 + i / 200, i / 7, (i % 7) as i16 + 1)).collect();
    let chunks: Vec<Chunk> =
        crossings.chunks(41).zip(0..).map(|(part, k)| chunk(41 * k, part)).collect();
    let folder = tempfile::tempdir().unwrap();
    let options = options(10, folder.path());
    let (expected, _) = place(Place::Keep, &options, &chunks);
    let options = PlaceOptions { sorted: true, ..options };
    let (blocks, counts) = place(Place::Keep, &options, &chunks);
    assert_eq!(contents(&blocks), contents(&expected));
    let sizes = |blocks: &[Block]| blocks.iter().map(Block::len).collect::<Vec<_>>();
    assert_eq!(sizes(&blocks), sizes(&expected));
    assert_eq!((counts.events, counts.duplicates, counts.spills), (300, 0, 0));
    let mut placer = Placer::new(Place::Keep, columns(), &options).unwrap();
    let mut sink = |_: &Block| -> Result<(), ImportError> { Ok(()) };
    let error = placer.push(&chunk(0, &[(1, 1, 0)]), &mut sink).unwrap_err();
    assert!(matches!(error, ImportError::NotPlaced { event: 0, bx: 0 }), "{error}");
}

#[test]
fn events_without_crossing_numbers_cannot_be_kept() {
    for bx in [0, -1, SLOTS_PER_ORBIT as i16 + 1] {
        let options = PlaceOptions::new("unused".into());
        let mut placer = Placer::new(Place::Keep, columns(), &options).unwrap();
        let mut sink = |_: &Block| -> Result<(), ImportError> { Ok(()) };
        let error = placer.push(&chunk(0, &[(1, 1, 1), (1, 1, bx)]), &mut sink).unwrap_err();
        assert!(matches!(error, ImportError::NotPlaced { event: 1, .. }), "{error}");
    }
}

#[test]
fn nothing_pushed_gives_no_block() {
    let how = Place::Fill { scheme: FillingScheme::all(), run: 1, first_orbit: 0 };
    for how in [how, Place::Keep] {
        let (blocks, counts) = place(how, &PlaceOptions::new("unused".into()), &[]);
        assert!(blocks.is_empty());
        assert_eq!(counts, PlaceCounts::default());
    }
}

#[test]
fn a_spill_folder_that_does_not_exist_and_sizes_of_zero_are_refused() {
    let options = PlaceOptions { spill_events: 1, ..PlaceOptions::new("/nowhere/at/all".into()) };
    let mut placer = Placer::new(Place::Keep, columns(), &options).unwrap();
    let mut sink = |_: &Block| -> Result<(), ImportError> { Ok(()) };
    let error = placer.push(&chunk(0, &[(1, 1, 1)]), &mut sink).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    let options = PlaceOptions { target_crossings: 0, ..options };
    assert!(matches!(
        Placer::new(Place::Keep, columns(), &options),
        Err(ImportError::Option { .. })
    ));
}

#[test]
fn an_error_of_the_sink_comes_back_as_it_is_and_leaves_no_files() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Full,
        Import,
    }
    impl From<ImportError> for Mine {
        fn from(_: ImportError) -> Mine {
            Mine::Import
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut placer = Placer::new(Place::Keep, columns(), &options(10, folder.path())).unwrap();
    let mut sink = |_: &Block| Err(Mine::Full);
    placer.push(&chunk(0, &shuffled(100)), &mut sink).unwrap();
    assert_eq!(placer.finish(&mut sink), Err(Mine::Full));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
