//! Crossings as words and back, and words that fit no kind.

use proptest::prelude::*;

use super::*;
use crate::raw::native64::{Events, push_event};

fn bx() -> Bx {
    Bx::new(43).unwrap()
}

fn run3(n: usize) -> Crossing {
    let object = |k: usize| CaloObject {
        pt: 100 - k as i16,
        eta: k as i16 - 6,
        phi: 12 * k as i16,
        qual: k as u8 & 3,
        displaced: false,
    };
    let muon = |k: usize| Muon {
        pt: 60 - k as i16,
        eta: -(k as i16),
        phi: 30 * k as i16,
        qual: 12,
        charge: if k.is_multiple_of(2) { -1 } else { 1 },
        eta_raw: k as i16 - 8,
        tf_index: k as u8,
        ..Muon::default()
    };
    let of = |n: usize| (0..n).map(object).collect::<Vec<_>>();
    Crossing {
        muons: (0..n.min(16)).map(muon).collect(),
        egammas: of(n.min(12)),
        jets: of((n + 3).min(12)),
        taus: of((n / 2).min(12)),
        sums: (n % 3 != 1).then(|| Sums { et: 900, centrality: 0xa5, ..Sums::default() }),
        ..Crossing::default()
    }
}

fn puppi(n: usize) -> Crossing {
    let candidate = |k: usize| Puppi {
        pt: 400 - k as i16,
        eta: k as i16 - 100,
        phi: 3 * k as i16,
        pid: 2 + k as u8 % 6,
        z0: -5,
        ..Puppi::default()
    };
    Crossing { puppi: (0..n).map(candidate).collect(), ..Crossing::default() }
}

fn track_muons(n: usize) -> Crossing {
    let muon = |k: usize| TrackMuon {
        pt: 40_000 - k as i32,
        eta: -3000,
        phi: 4 * k as i16,
        d0: -1,
        charge: -1,
        ..TrackMuon::default()
    };
    Crossing { track_muons: (0..n).map(muon).collect(), ..Crossing::default() }
}

fn bytes_of(payload: Payload, crossings: &[Crossing]) -> Vec<u8> {
    let (mut bytes, mut words) = (Vec::new(), Vec::new());
    for crossing in crossings {
        assert_eq!(payload.write(crossing, bx(), &mut words), 0);
        push_event(header(7, 1000, bx()), &words, &mut bytes);
    }
    bytes
}

fn events(bytes: &[u8]) -> impl Iterator<Item = Event<'_>> {
    Events::new(bytes).map(Result::unwrap)
}

#[test]
fn crossings_of_every_size_survive_and_their_kind_is_found() {
    type Kind = (Payload, fn(usize) -> Crossing, usize);
    let kinds: [Kind; 3] = [
        (Payload::Run3, run3, 16),
        (Payload::Puppi, puppi, 255),
        (Payload::TrackMuon, track_muons, 170),
    ];
    for (payload, make, most) in kinds {
        let crossings: Vec<Crossing> = (0..=most).map(make).collect();
        let bytes = bytes_of(payload, &crossings);
        assert_eq!(Payload::guess(events(&bytes)), Ok(payload));
        let mut report = Report::default();
        for (expected, event) in crossings.iter().zip(events(&bytes)) {
            let mut found = Crossing::default();
            payload.read(event, &mut found, 0, &mut report);
            assert_eq!(&found, expected);
        }
        assert!(report.counts().is_empty(), "{:?}", report.counts());
    }
}

#[test]
fn what_has_no_room_is_counted() {
    let mut words = Vec::new();
    assert_eq!(Payload::Puppi.write(&puppi(300), bx(), &mut words), 45);
    assert_eq!(words.len(), WORDS_MAX);
}

#[test]
fn words_that_fit_no_kind_or_say_nothing_are_told() {
    let guess = |words: &[u64]| {
        let mut bytes = Vec::new();
        push_event(header(1, 1, bx()), words, &mut bytes);
        Payload::guess(events(&bytes))
    };
    assert!(guess(&[]).unwrap_err().contains("no event has objects"));
    assert!(guess(&[u64::MAX]).unwrap_err().contains("no kind"));
    let one_track = track_muons(1);
    let mut words = Vec::new();
    Payload::TrackMuon.write(&one_track, bx(), &mut words);
    assert_eq!(guess(&words), Ok(Payload::TrackMuon));
    // Small positive impact parameters leave the upper bits zero, as Puppi candidates do.
    let both = guess(&[1 | 40 << 1, 1 << 14 | 3]).unwrap_err();
    assert!(both.contains("puppi, track-muon"), "{both}");
}

#[test]
fn words_that_do_not_hold_what_they_count_are_reported_and_skipped() {
    let mut bytes = Vec::new();
    push_event(header(1, 1000, bx()), &[u64::from(RUN3_MARK) << 24 | 16], &mut bytes);
    let mut report = Report::default();
    report.set_file("x");
    let mut crossing = Crossing::default();
    Payload::Run3.read(events(&bytes).next().unwrap(), &mut crossing, 320, &mut report);
    assert_eq!(crossing, Crossing::default());
    assert!(report.messages()[0].starts_with("x: byte 320, orbit 1000: "));
    push_event(header(1, 1000, bx()), &[1], &mut bytes);
    Payload::TrackMuon.read(events(&bytes).last().unwrap(), &mut crossing, 0, &mut report);
    assert_eq!(report.of(Trouble::Block), 2);
}

#[test]
fn a_stream_is_sent_as_what_it_has() {
    let of = |group: Group| Payload::of_columns(group.columns());
    assert_eq!(of(Group::Puppi), Some(Payload::Puppi));
    assert_eq!(of(Group::TrackMuonExtra), Some(Payload::TrackMuon));
    assert_eq!(of(Group::Met), Some(Payload::Run3));
    assert_eq!(of(Group::Stub), None);
    assert_eq!(Payload::of_columns(ColumnSet::skeleton()), None);
}

proptest! {
    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(any::<u64>(), 0..=255)) {
        let mut bytes = Vec::new();
        push_event(header(1, 1000, bx()), &words, &mut bytes);
        let event = events(&bytes).next().unwrap();
        for payload in Payload::ALL {
            let (mut crossing, mut report) = (Crossing::default(), Report::default());
            payload.read(event, &mut crossing, 0, &mut report);
            let n = crossing.puppi.len() + crossing.track_muons.len() + crossing.muons.len();
            prop_assert!(n <= 255);
        }
        let _ = Payload::guess(events(&bytes));
    }
}
