//! Payloads of every source: back and forth, and everything that can be wrong with them.

use proptest::prelude::*;

use super::*;
use crate::raw::words::VectorSum;

const ORBIT: u32 = 1000;

fn sources() -> Vec<Source> {
    let mut all = Source::of_columns(ColumnSet::ALL, Calo::Tcp);
    all.push(Source::CaloDma);
    all
}

fn crossing(n: usize) -> Crossing {
    let object = |k: usize| CaloObject {
        pt: 200 - k as i16 / 2,
        eta: -3 * k as i16,
        phi: 11 * k as i16,
        qual: k as u8 & 3,
        displaced: false,
    };
    let muon = |k: usize| Muon {
        // Pairs of equal pT: their order must survive, too.
        pt: 100 - k as i16 / 2,
        eta: k as i16 - 8,
        phi: 35 * k as i16,
        qual: 12,
        iso: k as u8 & 3,
        charge: [-1, 0, 1][k % 3],
        tf_index: 7 * k as u8,
        phi_raw: 36 * k as i16,
        eta_raw: 9 - k as i16,
        pt_unconstrained: 2 * k as i16,
        dxy: k as u8 & 3,
    };
    let of = |n: usize| (0..n.min(12)).map(object).collect::<Vec<_>>();
    let jets = of(n).into_iter().enumerate();
    let stub = |k: usize| SectorStub {
        sector: (k % 12) as u8,
        tag: u8::from(k < 12),
        stub: Stub { phi: k as i16 - 100, wheel: -2, station: 3, qual: 5, ..Stub::default() },
    };
    let mut stubs: Vec<SectorStub> = (0..2 * n).map(stub).collect();
    stubs.sort_by_key(|stub| stub.sector);
    let vector = |pt, phi, asymmetry| VectorSum { pt, phi, asymmetry };
    Crossing {
        muons: (0..n.min(16)).map(muon).collect(),
        egammas: of(n),
        jets: jets.map(|(k, jet)| CaloObject { displaced: k % 2 == 0, ..jet }).collect(),
        taus: of(n / 2),
        sums: Some(Sums {
            et: 4095,
            et_em: 7,
            ht: 300,
            tower_count: 8191,
            met: vector(50, 143, 9),
            mht: vector(51, 142, 8),
            met_hf: vector(52, 141, 7),
            mht_hf: vector(53, 140, 255),
            min_bias: [1, 2, 3, 15],
            centrality: 0xd2,
        }),
        stubs,
        ..Crossing::default()
    }
}

fn bx(number: u32) -> Bx {
    Bx::new(number).unwrap()
}

fn payload(source: Source, crossings: &[(u32, Crossing)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, crossing) in crossings {
        encode(source, ORBIT, bx(*number), crossing, &mut bytes);
    }
    bytes
}

fn read(source: Source, bytes: &[u8], sources: &[Source]) -> (OrbitEvents, Report) {
    let (mut events, mut report) = (OrbitEvents::default(), Report::default());
    report.set_file("x.raw");
    let origin = Origin { source, orbit: ORBIT, sources, offset: 28 };
    decode(origin, bytes, &mut events, &mut report);
    (events, report)
}

/// The crossings that were delivered.
fn delivered(mut events: OrbitEvents) -> Vec<(u32, Crossing)> {
    events.begin_record();
    let take = |number: u32| {
        let delivered = events.crossing(bx(number)).unwrap();
        let crossing = std::mem::take(delivered);
        (crossing != Crossing::default()).then_some((number, crossing))
    };
    (1..=3564).filter_map(take).collect()
}

/// What of a crossing a source carries.
fn part(source: Source, crossing: &Crossing) -> Crossing {
    let all = crossing.clone();
    let none = Crossing::default();
    match source {
        Source::Muons => Crossing { muons: all.muons, ..none },
        Source::Jets => Crossing { jets: all.jets, ..none },
        Source::EGammas => Crossing { egammas: all.egammas, ..none },
        Source::Taus => Crossing { taus: all.taus, ..none },
        Source::Sums => Crossing { sums: all.sums, ..none },
        Source::CaloDma => {
            let (jets, egammas, taus, sums) = (all.jets, all.egammas, all.taus, all.sums);
            Crossing { jets, egammas, taus, sums, ..none }
        }
        Source::Stubs(sector) => {
            let stubs = all.stubs.into_iter().filter(|stub| stub.sector == sector);
            Crossing { stubs: stubs.collect(), ..none }
        }
    }
}

fn three() -> Vec<(u32, Crossing)> {
    vec![(1, crossing(3)), (43, crossing(20)), (3564, crossing(1))]
}

#[test]
fn the_payload_of_every_source_survives() {
    for source in sources() {
        let bytes = payload(source, &three());
        let (events, report) = read(source, &bytes, &[source]);
        let expected: Vec<_> = three()
            .into_iter()
            .map(|(number, crossing)| (number, part(source, &crossing)))
            .filter(|(_, crossing)| *crossing != Crossing::default())
            .collect();
        assert_eq!(delivered(events), expected, "{source:?}");
        assert!(report.counts().is_empty(), "{source:?}: {:?}", report.counts());
    }
}

#[test]
fn sources_have_the_ids_of_the_numbering_scheme() {
    for source in sources() {
        assert_eq!(Source::from_id(source.id()), Ok(source));
    }
    let known = (0..=40).filter(|&id| Source::from_id(id).is_ok()).collect::<Vec<u32>>();
    assert_eq!(known, [1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
    assert!(Source::from_id(4).unwrap_err().contains("global trigger"));
    assert!(Source::from_id(32).unwrap_err().contains("towers"));
}

#[test]
fn the_golden_block_of_muons_is_read_and_written() {
    // Made by an independent encoder from the tables of the format.
    let bytes: Vec<u8> = [
        0xff01_ff01_u32,
        43,
        ORBIT,
        0xce60_a52c,
        0x82a9_b28f,
        0x0df3_c02a,
        0x1cc0_2c0a,
        0x6058,
        0x0df3_c02b,
    ]
    .into_iter()
    .flat_map(u32::to_le_bytes)
    .collect();
    let (events, report) = read(Source::Muons, &bytes, &[Source::Muons]);
    let crossings = delivered(events);
    assert!(report.counts().is_empty());
    let [(43, crossing)] = &crossings[..] else { panic!("{crossings:?}") };
    let pts: Vec<_> = crossing.muons.iter().map(|m| (m.pt, m.eta, m.eta_raw)).collect();
    assert_eq!(pts, [(41, -100, -98), (11, 57, 55)]);
    assert_eq!(payload(Source::Muons, &crossings), bytes);
}

#[test]
fn sums_are_read_with_and_without_a_header_word() {
    let crossings: Vec<_> = (0..9).map(|k| (k * 18 + 1, crossing(0))).collect();
    let without = payload(Source::Sums, &crossings);
    let with: Vec<u8> =
        without.chunks(32).flat_map(|block| [&[9, 0, 0, 0], block].concat()).collect();
    assert_eq!(with.len(), 9 * 36);
    for bytes in [without, with] {
        // 288 bytes are a multiple of both strides: the orbits decide.
        let (events, report) = read(Source::Sums, &bytes, &[Source::Sums]);
        assert_eq!(delivered(events).len(), 9);
        assert!(report.counts().is_empty());
    }
    let (events, report) = read(Source::Sums, &payload(Source::Sums, &crossings)[..100], &[]);
    assert!(delivered(events).is_empty());
    assert!(report.messages()[0].contains("32 or 36 bytes"), "{:?}", report.messages());
}

/// Changes the word at `at`.
fn with_word(bytes: &[u8], at: usize, word: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    bytes
}

#[test]
fn a_block_that_cannot_be_costs_the_rest_of_its_payload_and_nothing_before() {
    let bytes = payload(Source::Jets, &three());
    let second = 12 + 3 * 4;
    for (at, word, what) in [
        (second, 13, "at most 12 objects, found 13"),
        (second + 4, 0, "1..=3564, found 0"),
        (second + 4, 3565, "found 3565"),
        (second + 4, 65_535, "found 65535"),
        (second + 8, ORBIT + 1, "orbit 1000, found 1001"),
    ] {
        let (events, report) = read(Source::Jets, &with_word(&bytes, at, word), &[]);
        let numbers: Vec<u32> = delivered(events).iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1], "{what}");
        let message = &report.messages()[0];
        assert!(message.contains(what), "{message}");
        assert!(message.starts_with("x.raw: byte 52, orbit 1000: "), "{message}");
    }
    let muons = payload(Source::Muons, &three());
    let (_, report) = read(Source::Muons, &with_word(&muons, 0, 9 << 16), &[]);
    assert!(report.messages()[0].contains("found 9 and 0"), "{:?}", report.messages());
    let flagged = with_word(&bytes, second + 8, ORBIT | 1 << 31);
    assert_eq!(delivered(read(Source::Jets, &flagged, &[]).0).len(), 3, "the top bit is a flag");
}

#[test]
fn of_a_crossing_that_occurs_twice_the_first_is_kept() {
    let bytes = payload(Source::Jets, &[(7, crossing(2)), (7, crossing(5)), (8, crossing(1))]);
    let (events, report) = read(Source::Jets, &bytes, &[]);
    let crossings = delivered(events);
    assert_eq!(
        crossings.iter().map(|(n, c)| (*n, c.jets.len())).collect::<Vec<_>>(),
        [(7, 2), (8, 1)]
    );
    assert_eq!(report.of(Trouble::DuplicateBx), 1);
}

#[test]
fn what_a_tcp_source_delivers_is_not_taken_from_dma() {
    let all = [Source::CaloDma, Source::Jets, Source::Sums];
    let (events, report) = read(Source::CaloDma, &payload(Source::CaloDma, &three()), &all);
    let crossings = delivered(events);
    let none =
        |(_, crossing): &(u32, Crossing)| crossing.jets.is_empty() && crossing.sums.is_none();
    assert!(crossings.iter().all(none));
    assert_eq!(crossings[1].1.egammas.len(), 12);
    assert_eq!(report.of(Trouble::BothCalo), 2, "jets and sums");
}

#[test]
fn objects_that_the_real_system_skips_are_skipped_and_counted() {
    let mut crossing = crossing(4);
    crossing.muons[1].qual = 0;
    crossing.muons[2].pt = 0;
    crossing.muons[3].phi = 576;
    crossing.jets[0].pt = 0;
    crossing.jets[1].phi = 144;
    let crossings = [(9, crossing)];
    let (events, report) = read(Source::Muons, &payload(Source::Muons, &crossings), &[]);
    assert_eq!(delivered(events)[0].1.muons.len(), 1);
    let counts = [Trouble::MuonQuality, Trouble::EmptyObject, Trouble::Phi].map(|k| report.of(k));
    assert_eq!(counts, [1, 1, 1]);
    let (events, report) = read(Source::Jets, &payload(Source::Jets, &crossings), &[]);
    assert_eq!(delivered(events)[0].1.jets.len(), 2);
    assert_eq!([Trouble::EmptyObject, Trouble::Phi].map(|k| report.of(k)), [1, 1]);
    let muons = payload(Source::Muons, &crossings);
    let intermediate = with_word(&muons, 12 + 8, 1 << 31);
    assert_eq!(read(Source::Muons, &intermediate, &[]).1.of(Trouble::IntermediateMuon), 1);
}

#[test]
fn stubs_are_valid_or_skipped_and_tagged_by_station_and_wheel() {
    let stub = |station, wheel| SectorStub {
        stub: Stub { station, wheel, ..Stub::default() },
        ..SectorStub::default()
    };
    let stubs = vec![stub(1, -2), stub(1, -2), stub(1, 2), stub(4, 2), stub(1, 2)];
    let crossings = [(9, Crossing { stubs, ..Crossing::default() })];
    let bytes = payload(Source::Stubs(0), &crossings);
    let (events, _) = read(Source::Stubs(0), &bytes, &[]);
    let tags: Vec<u8> = delivered(events)[0].1.stubs.iter().map(|stub| stub.tag).collect();
    assert_eq!(tags, [1, 0, 1, 1, 0]);
    let mut damaged = bytes;
    damaged[12] &= !1;
    damaged[12 + 8 + 6] ^= 1;
    let (events, report) = read(Source::Stubs(0), &damaged, &[]);
    assert_eq!(delivered(events)[0].1.stubs.len(), 4);
    assert_eq!([Trouble::InvalidStub, Trouble::StubBx].map(|k| report.of(k)), [1, 1]);
}

#[test]
fn cut_at_every_byte_the_blocks_before_are_kept() {
    for source in sources() {
        let bytes = payload(source, &three());
        let whole = delivered(read(source, &bytes, &[]).0);
        for n in 0..bytes.len() {
            let (events, report) = read(source, &bytes[..n], &[]);
            let crossings = delivered(events);
            assert_eq!(crossings, whole[..crossings.len()], "{source:?}, {n} bytes");
            assert!(crossings.len() < whole.len());
            assert!(report.of(Trouble::Block) <= 1);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        which in 0usize..18, bytes in proptest::collection::vec(any::<u8>(), 0..600)
    ) {
        let source = sources()[which];
        let (events, report) = read(source, &bytes, &sources());
        prop_assert!(report.of(Trouble::Block) <= 1);
        prop_assert!(delivered(events).len() <= bytes.len() / 12);
    }

    #[test]
    fn flipped_bits_invent_no_crossing(
        which in 0usize..18, flips in proptest::collection::vec((0usize..4000, 0u8..8), 1..4)
    ) {
        let source = sources()[which];
        let mut bytes = payload(source, &three());
        let n = bytes.len();
        for (at, bit) in flips {
            if n > 0 {
                bytes[at % n] ^= 1 << bit;
            }
        }
        let (mut events, mut report) = read(source, &bytes, &[]);
        let mut block = crate::event::Block::new(ColumnSet::ALL.minus(Group::Score.columns()));
        let columns = source.columns();
        block.reset(1, columns);
        events.append_to(ORBIT, &mut block, &mut report);
        block.index_objects().unwrap();
        block.check().unwrap();
    }
}
