//! A run gets from the network what is in the file, or knows what it did not get.
//!
//! Senders are the real server, the real server behind a line that is cut and damaged, and hand-made
//! ones that lie. Everything is on loopback and in this process. A watchdog ends what hangs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod network_parts;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use network_parts::*;
use scout40::config::RunConfig;
use scout40::generate::write_stream;
use scout40::network::{Framing, NetworkSummary, Overflow};
use scout40::sink::RunSummary;
use scout40::source::SourceSpec;
use scout40_replay::event::Block;
use scout40_replay::format::{Compression, StreamWriter};
use scout40_replay::framing::native::{OrbitEncoder, native_columns};
use scout40_replay::framing::{
    ClientHello, FrameHead, FrameKind, PAYLOAD_BYTES_MAX, SERVER_HELLO_BYTES, ServerHello,
};
use scout40_replay::generate::{GeneratedStream, GeneratorModel, PileUp, Placement};
use scout40_replay::pacing::Rate;
use scout40_replay::source::{Delivery, FileSource, Source};

/// Crossings of the stream.
const CROSSINGS: u64 = 500;

fn network(summary: &RunSummary) -> &NetworkSummary {
    summary.network.as_ref().unwrap()
}

/// Every crossing was read or is known to be missing, and nothing else was read.
fn check_account(summary: &RunSummary) {
    let counts = summary.counts;
    assert!(counts.is_conserved(), "{counts:?}");
    let of_network = network(summary);
    let known = counts.read + summary.trouble.missing_crossings + of_network.late_crossings;
    assert_eq!(known, CROSSINGS, "{counts:?} {:?} {of_network:?}", summary.trouble);
}

#[test]
fn what_comes_over_the_network_is_what_is_in_the_file() {
    watched(|| {
        let (of_file, expected) = run(file());
        assert_eq!(of_file.counts.read, CROSSINGS);
        for n in [1, 2, 3] {
            let server = Serving::start(serve_options(n));
            let (summary, accepted) = run(server.source());
            assert_eq!(summary.counts, of_file.counts, "{n} connections");
            assert_eq!(accepted, expected, "{n} connections");
            assert_eq!(network(&summary).blocks_delivered, n_blocks());
            assert!(network(&summary).bytes_received > 10_000);
            assert_eq!(summary.stream.digest, of_file.stream.digest);
            let reports = server.stop();
            assert_eq!(reports.len(), n);
            assert!(reports.iter().all(|report| report.problem.is_empty()), "{reports:?}");
            let crossings: u64 = reports.iter().map(|report| report.crossings).sum();
            assert_eq!(crossings, CROSSINGS);
        }
    });
}

#[test]
fn the_result_does_not_depend_on_how_many_threads_decode() {
    watched(|| {
        let (_, expected) = run(file());
        for readers in [1, 2, 3, 7] {
            let (summary, accepted) = run_with(file(), |config| config.readers = readers);
            assert_eq!(accepted, expected, "{readers} readers of the file");
            assert_eq!(summary.host.cores_decoders.len(), if readers > 1 { readers } else { 0 });
            let server = Serving::start(serve_options(2));
            let (_, accepted) = run_with(server.source(), |config| config.readers = readers);
            assert_eq!(accepted, expected, "{readers} readers from the network");
        }
        let repeated = |readers| {
            run_with(file(), |config| {
                (config.readers, config.repeat, config.orbits) = (readers, true, Some(35));
            })
        };
        assert_eq!(repeated(1).1, repeated(3).1, "and when the stream begins again");
    });
}

#[test]
fn threads_that_decode_account_for_a_damaged_block_like_one() {
    watched(|| {
        for damaged in ["flipped-block.s40", "no-index.s40", "truncated.s40"] {
            let stream = || fixture(&format!("pathological/{damaged}")).into();
            let (one, expected) = run(stream());
            let (many, accepted) = run_with(stream(), |config| config.readers = 3);
            assert_eq!(many.counts, one.counts, "{damaged}");
            assert_eq!(many.trouble, one.trouble, "{damaged}");
            assert_eq!(accepted, expected, "{damaged}");
        }
    });
}

#[test]
fn a_damaged_block_of_the_sender_is_corrupt_at_the_receiver_too() {
    watched(|| {
        let stream = || fixture("pathological/flipped-block.s40");
        let (of_file, expected) = run(stream().into());
        assert!(of_file.counts.corrupt > 0);
        let server = Serving::of(&stream(), serve_options(1));
        let (summary, accepted) = run(server.source());
        assert_eq!(summary.counts, of_file.counts);
        assert_eq!(accepted, expected);
    });
}

#[test]
fn a_repeated_stream_goes_on_where_it_ended_as_in_a_file() {
    watched(|| {
        let repeat = |config: &mut RunConfig| config.orbits = Some(35);
        let (of_file, expected) = run_with(file(), |config| {
            repeat(config);
            config.repeat = true;
        });
        let server = Serving::start(ServeOptions { repeat: true, ..serve_options(2) });
        let (summary, accepted) = run_with(server.source(), repeat);
        assert_eq!(summary.counts, of_file.counts);
        assert!(summary.counts.read > 3 * CROSSINGS);
        assert_eq!(events(&accepted), events(&expected));
    });
}

#[test]
fn a_run_cannot_repeat_what_is_sent_and_says_so_without_connecting() {
    watched(|| {
        // Nobody listens there: connecting would fail otherwise, and later.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for framing in [Framing::S40, Framing::Dth256] {
            let (refused, _) = try_run(tcp(&[closed]), |config| {
                config.network.framing = framing;
                config.repeat = true;
            });
            let refused = refused.unwrap_err();
            assert!(refused.contains("`--repeat`") && refused.contains("hint:"), "{refused}");
            assert!(refused.contains("scout40 serve STREAM --repeat"), "{refused}");
        }
    });
}

#[test]
fn a_server_that_repeats_for_one_client_ends_when_that_has_gone() {
    watched(|| {
        for framing in [Framing::S40, Framing::Dth256] {
            let options =
                ServeOptions { repeat: true, until_served: Some(1), framing, ..serve_options(1) };
            let server = Serving::start(options);
            if framing == Framing::S40 {
                // One that does not greet has had no share.
                drop(TcpStream::connect(server.address()).unwrap());
            }
            let (summary, _) = run_with(server.source(), |config| {
                config.network.framing = framing;
                config.orbits = Some(30);
            });
            assert!(summary.counts.read > 2 * CROSSINGS);
            // Ends of itself, or the watchdog says so.
            let reports = server.wait();
            assert!(reports.iter().any(|report| report.crossings > 0), "{reports:?}");
        }
    });
}

#[test]
fn a_connection_that_is_cut_anywhere_is_made_again_and_loses_nothing() {
    watched(|| {
        let (of_file, expected) = run(file());
        let server = Serving::start(serve_options(1));
        let hello = server_hello().to_bytes().len();
        let block = sections()[0].len();
        let cuts = [0, 1, 40, hello - 1, hello, hello + 1, hello + 31, hello + 32, hello + 33];
        let later = [hello + 32 + block / 2, hello + 32 + block, hello + 2 * (32 + block) - 5];
        for cut in cuts.into_iter().chain(later) {
            let line = Line::start(
                server.address(),
                Box::new(move |connection| match connection {
                    0 => vec![Fault::Cut { at: cut }],
                    _ => Vec::new(),
                }),
            );
            let (summary, accepted) = run(line.source());
            assert_eq!(summary.counts, of_file.counts, "cut after {cut} bytes");
            assert_eq!(accepted, expected, "cut after {cut} bytes");
            let counted = network(&summary);
            assert_eq!(counted.reconnects, u64::from(cut >= hello), "cut after {cut} bytes");
            let in_frame = cut > hello && cut != hello + 32 + block;
            assert_eq!(counted.truncated_frames, u64::from(in_frame), "cut after {cut} bytes");
        }
    });
}

#[test]
fn one_connection_of_two_that_dies_costs_its_share_and_no_more() {
    watched(|| {
        let server = Serving::start(serve_options(1));
        let hello = server_hello().to_bytes().len();
        // The first connection is whole; the second has no frame, and cannot be made again.
        let line = Line::start(
            server.address(),
            Box::new(move |connection| match connection {
                0 => vec![Fault::Cut { at: hello }],
                _ => vec![Fault::Cut { at: 0 }],
            }),
        );
        let source = tcp(&[server.address(), line.address()]);
        let (summary, _) = run_with(source, impatient);
        check_account(&summary);
        let sizes = block_sizes();
        let share: u64 = sizes.iter().skip(1).step_by(2).sum();
        assert_eq!(summary.trouble.missing_crossings, share);
        assert_eq!(summary.counts.scored, CROSSINGS - share);
        let counted = network(&summary);
        assert_eq!(counted.connections_given_up, 1);
        assert_eq!(counted.missing_frames, sizes.len() as u64 / 2);
        assert!(counted.missing_orbits > 0);
    });
}

#[test]
fn a_sender_that_dies_within_a_block_leaves_a_truncated_one() {
    watched(|| {
        let server = Serving::start(serve_options(1));
        let sections = sections();
        let cut = server_hello().to_bytes().len() + 32 + sections[0].len() + 32 + 10;
        let line = Line::start(
            server.address(),
            Box::new(move |connection| match connection {
                0 => vec![Fault::Cut { at: cut }],
                _ => vec![Fault::Cut { at: 0 }],
            }),
        );
        let (summary, _) = run_with(line.source(), impatient);
        check_account(&summary);
        let sizes = block_sizes();
        assert_eq!((summary.counts.scored, summary.counts.truncated), (sizes[0], sizes[1]));
    });
}

/// A sender that says hello and then what `frames` makes of the blocks, to each connection.
fn lie(frames: impl Fn(u64, &mut Vec<u8>) + Send + 'static) -> Scripted {
    Scripted::start(move |connection, mut stream: TcpStream, _hello: ClientHello| {
        let mut bytes = server_hello().to_bytes();
        frames(connection, &mut bytes);
        // Whoever has heard enough hangs up.
        let _ = stream.write_all(&bytes);
        let _ = stream.read(&mut [0; 1]);
    })
}

#[test]
fn lengths_that_lie_neither_fill_the_memory_nor_hang() {
    watched(|| {
        let head = |payload_len| FrameHead {
            payload_len,
            n_crossings: 50,
            ..FrameHead::empty(FrameKind::Block, 0)
        };
        for len in [PAYLOAD_BYTES_MAX as u32, PAYLOAD_BYTES_MAX as u32 + 1, u32::MAX] {
            let sender = lie(move |_, bytes| bytes.extend(head(len).to_bytes()));
            let (summary, _) = run_with(sender.source(), impatient);
            check_account(&summary);
            assert_eq!(summary.counts.scored, 0);
            let counted = network(&summary);
            assert!(counted.stalled_peers + counted.protocol_errors > 0, "{counted:?}");
            assert_eq!(counted.connections_given_up, 1);
        }
    });
}

#[test]
fn a_sender_that_says_nothing_or_nonsense_is_given_up() {
    watched(|| {
        let (summary, _) = run_with(lie(|_, _| {}).source(), impatient);
        check_account(&summary);
        assert!(network(&summary).stalled_peers > 0);
        let (summary, _) = run_with(lie(|_, bytes| bytes.extend([0x5a; 4000])).source(), impatient);
        check_account(&summary);
        assert!(network(&summary).protocol_errors > 0);
        for text in
            [&b"HTTP/1.1 400 Bad Request\r\n\r\n                                        "[..], b""]
        {
            let sender = Scripted::start(move |_, mut stream: TcpStream, _| {
                let _ = stream.write_all(text);
            });
            let (refused, _) = try_run(sender.source(), impatient);
            let refused = refused.unwrap_err();
            assert!(refused.contains("scout40") && refused.contains("hint:"), "{refused}");
        }
    });
}

#[test]
fn nobody_listening_is_told_with_what_to_do() {
    watched(|| {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (refused, _) = try_run(tcp(&[closed]), impatient);
        let refused = refused.unwrap_err();
        assert!(refused.contains(&closed.to_string()) && refused.contains("scout40 serve"));
    });
}

/// The frame of block `block` under another number.
fn frame(number: u64, block: usize) -> Vec<u8> {
    let section = &sections()[block];
    let head = FrameHead {
        payload_len: section.len() as u32,
        n_crossings: block_sizes()[block] as u32,
        ..FrameHead::empty(FrameKind::Block, number)
    };
    [&head.to_bytes()[..], section].concat()
}

fn end(number: u64) -> [u8; 32] {
    FrameHead::empty(FrameKind::End, number).to_bytes()
}

#[test]
fn orbits_that_go_backwards_are_counted_and_not_used() {
    watched(|| {
        let sender = lie(|_, bytes| {
            for (number, block) in [(0, 0), (1, 3), (2, 1), (3, 2), (4, 4)] {
                bytes.extend(frame(number, block));
            }
            bytes.extend(end(n_blocks()));
        });
        let (summary, accepted) = run(sender.source());
        check_account(&summary);
        let sizes = block_sizes();
        let counted = network(&summary);
        assert_eq!(counted.late_crossings, sizes[1] + sizes[2]);
        assert!(counted.late_orbits >= 2);
        assert_eq!(counted.missing_frames, n_blocks() - 5);
        assert_eq!(summary.counts.scored, sizes[0] + sizes[3] + sizes[4]);
        let orbits: Vec<u32> = events(&accepted).iter().map(|event| event.0).collect();
        assert!(orbits.is_sorted());
    });
}

#[test]
fn what_comes_twice_is_used_once_and_what_never_comes_is_counted() {
    watched(|| {
        let sender = lie(|_, bytes| {
            for number in [0, 1, 1, 0, 4, 4] {
                bytes.extend(frame(number, number as usize));
            }
            bytes.extend(end(n_blocks()));
        });
        let (summary, _) = run(sender.source());
        check_account(&summary);
        let sizes = block_sizes();
        let counted = network(&summary);
        assert_eq!(counted.duplicate_blocks, 3);
        assert_eq!(counted.missing_frames, 2 + n_blocks() - 5);
        assert_eq!(counted.missing_orbits, orbits_between(1, 4));
        assert_eq!(summary.counts.scored, sizes[0] + sizes[1] + sizes[4]);
    });
}

#[test]
fn a_block_that_is_not_what_its_frame_says_is_corrupt() {
    watched(|| {
        let sender = lie(|_, bytes| {
            let mut flipped = frame(0, 0);
            let last = flipped.len() - 1;
            flipped[last] ^= 1;
            bytes.extend(flipped);
            let mut meta = frame(1, 1);
            meta[32 + 20] ^= 1;
            bytes.extend(meta);
            let mut head = FrameHead::read(frame(2, 2).first_chunk().unwrap()).unwrap();
            head.n_crossings += 7;
            bytes.extend(head.to_bytes());
            bytes.extend(&sections()[2]);
            head = FrameHead { number: 3, orbits: u32::MAX, ..head };
            bytes.extend(head.to_bytes());
            bytes.extend(&sections()[2]);
            bytes.extend(end(4));
        });
        let (summary, _) = run(sender.source());
        assert!(summary.counts.is_conserved());
        let sizes = block_sizes();
        let corrupt = sizes[0] + sizes[1] + 2 * (sizes[2] + 7);
        assert_eq!((summary.counts.scored, summary.counts.corrupt), (0, corrupt));
    });
}

#[test]
fn a_late_sender_drops_blocks_and_says_so() {
    watched(|| {
        let server = Serving::start(ServeOptions {
            rate: Rate::Hz(1_000_000_000),
            overflow: Overflow::DropAfter(Duration::ZERO),
            ..serve_options(1)
        });
        let (summary, _) = run(server.source());
        check_account(&summary);
        let counted = network(&summary);
        assert!(counted.sender_dropped_crossings > 0, "no timer is exact to the picosecond");
        assert_eq!(counted.sender_dropped_crossings, summary.trouble.missing_crossings);
        let reports = server.stop();
        assert_eq!(reports[0].dropped_crossings, counted.sender_dropped_crossings);
        assert_eq!(reports[0].crossings, summary.counts.scored);
    });
}

#[test]
fn a_small_buffer_makes_boards_wait_and_loses_nothing() {
    watched(|| {
        let (_, expected) = run(file());
        for n in [1, 3] {
            let server = Serving::start(boards(n));
            let (summary, accepted) = run_with(server.source(), |config| {
                config.network.framing = Framing::Dth256;
                config.network.buffer_bytes = 1;
            });
            assert_eq!(events(&accepted), events(&expected), "{n} connections");
            let counted = network(&summary);
            // An orbit of each connection at a time: 50 crossings of at most 58 words and a header.
            let most = n as u64 * (50 * 59 * 8 + 32);
            assert!((1..=most).contains(&counted.buffered_bytes_max), "{counted:?}");
            assert_eq!(counted.buffered_bytes, 0, "and all of it is free again");
        }
    });
}

/// Head of a block of a board.
fn dth_head(flags: u8, n_units: u8, run: u64, orbit: u64) -> [u8; 32] {
    let mut head = [0; 32];
    (head[0], head[1], head[5], head[6]) = (0x47, 0x5a, flags, n_units);
    head[16..24].copy_from_slice(&(0b11 << 62 | run << 56 | orbit << 24).to_le_bytes());
    head
}

/// An orbit with an event at crossing 6 that has no words.
fn one_event(run: u64, orbit: u64) -> Vec<u8> {
    let event = (0b10_u64 << 62 | run << 56 | orbit << 24 | 5 << 12).to_le_bytes();
    [&dth_head(0xc0, 1, run, orbit)[..], &event, &[0; 24]].concat()
}

#[test]
fn empty_orbits_of_boards_have_come_and_runs_go_on_where_their_lowest_bits_begin_again() {
    watched(|| {
        let empty = |run, orbit| dth_head(0xc0, 0, run, orbit).to_vec();
        let bytes = [
            one_event(31, 5),
            empty(31, 6),
            one_event(31, 7),
            one_event(0, 1),
            empty(0, 2),
            one_event(0, 3),
            // Behind what has been used.
            one_event(31, 9),
        ];
        let sender = Scripted::without_hello(bytes.concat());
        let (summary, _) = run_with(sender.source(), impatient_with_boards);
        assert_eq!(summary.counts.scored, 4);
        let counted = network(&summary);
        assert_eq!((counted.missing_orbits, counted.corrupt_blocks), (0, 0), "{counted:?}");
        // The board says it all again when it is connected again.
        let again = counted.reconnects;
        let late = (1 + 7 * again, 1 + 5 * again);
        assert_eq!((counted.late_orbits, counted.late_crossings), late, "{counted:?}");
    });
}

#[test]
fn boards_that_lie_about_orbits_fill_neither_the_buffer_nor_the_memory() {
    watched(|| {
        // Orbits that are many and tiny, that have no end, and that are nothing but headers.
        let head = |flags, n_units, orbit| dth_head(flags, n_units, 0, orbit);
        let mut tiny = Vec::new();
        for orbit in 0..20_000 {
            tiny.extend(one_event(0, orbit));
        }
        let mut endless = Vec::from(head(0x80, 255, 7));
        endless.resize(32 * 256, 0xab);
        for _ in 0..500 {
            endless.extend(head(0, 255, 7));
            endless.resize(endless.len() + 32 * 255, 0xab);
        }
        let empty: Vec<u8> = (0..50_000).flat_map(|orbit| head(0xc0, 0, orbit)).collect();
        for (bytes, n_read) in [(tiny, 20_000), (endless, 0), (empty, 0)] {
            let sender = Scripted::without_hello(bytes);
            let (summary, _) = run_with(sender.source(), |config| {
                impatient_with_boards(config);
                config.network.buffer_bytes = 1 << 16;
            });
            assert_eq!(summary.counts.scored, n_read);
            let counted = network(&summary);
            assert!(counted.buffered_bytes_max <= 1 << 16, "{counted:?}");
            assert_eq!(counted.buffered_bytes, 0, "{counted:?}");
        }
    });
}

#[test]
fn a_small_buffer_makes_the_socket_wait_and_loses_nothing() {
    watched(|| {
        let (_, expected) = run(file());
        let server = Serving::start(serve_options(2));
        let (summary, accepted) =
            run_with(server.source(), |config| config.network.buffer_bytes = 1);
        assert_eq!(accepted, expected);
        let longest = sections().iter().map(Vec::len).max().unwrap();
        assert!(network(&summary).buffered_bytes_max <= 2 * longest as u64);
        assert_eq!(network(&summary).buffered_bytes, 0, "and all of it is free again");
    });
}

#[test]
fn a_paced_sender_and_a_paced_run_come_together() {
    watched(|| {
        let (of_file, expected) = run(file());
        let server = Serving::start(ServeOptions { rate: Rate::LHC, ..serve_options(1) });
        let (summary, accepted) = run_with(server.source(), |config| {
            (config.rate, config.stall) = (Rate::LHC, true);
        });
        assert_eq!(summary.counts, of_file.counts);
        assert_eq!(events(&accepted), events(&expected));
    });
}

#[test]
fn a_client_that_takes_nothing_or_talks_nonsense_costs_the_server_nothing() {
    watched(|| {
        let server =
            Serving::start(ServeOptions { repeat: true, timeout: 4 * TIMEOUT, ..serve_options(1) });
        let hello = ClientHello { connection: 0, connections: 1, first_frame: 0, digest: 0 };
        let mut silent = TcpStream::connect(server.address()).unwrap();
        silent.write_all(&hello.to_bytes()).unwrap();
        let mut mute = TcpStream::connect(server.address()).unwrap();
        let mut loud = TcpStream::connect(server.address()).unwrap();
        loud.write_all(&[b'x'; 48]).unwrap();
        let mut other = TcpStream::connect(server.address()).unwrap();
        other.write_all(&ClientHello { digest: 77, ..hello }.to_bytes()).unwrap();
        let verdict = |stream: &mut TcpStream| {
            let mut bytes = [0; SERVER_HELLO_BYTES];
            stream.read_exact(&mut bytes).unwrap();
            ServerHello::header_len(&bytes).unwrap_err().to_string()
        };
        assert!(verdict(&mut loud).contains("did not understand"));
        assert!(verdict(&mut other).contains("another stream"));
        assert_eq!(mute.read(&mut [0; 1]).unwrap(), 0, "it is hung up on");
        let (summary, _) = run_with(server.source(), |config| config.orbits = Some(30));
        assert!(summary.counts.scored > 1000);
        let reports = server.stop_after(5);
        let told = |text: &str| reports.iter().filter(|r| r.problem.contains(text)).count();
        assert!(told("took nothing") >= 1, "{reports:?}");
        assert_eq!(told("did not greet"), 1, "{reports:?}");
        assert_eq!(told("refused"), 2, "{reports:?}");
    });
}

fn boards(n: usize) -> ServeOptions {
    ServeOptions { framing: Framing::Dth256, ..serve_options(n) }
}

fn run_boards(source: SourceSpec) -> (RunSummary, Vec<u8>) {
    run_with(source, |config| config.network.framing = Framing::Dth256)
}

fn impatient_with_boards(config: &mut RunConfig) {
    impatient(config);
    config.network.framing = Framing::Dth256;
}

#[test]
fn orbits_from_boards_give_the_events_of_the_file_over_any_number_of_connections() {
    watched(|| {
        let (of_file, expected) = run(file());
        for n in [1, 2, 3] {
            let server = Serving::start(boards(n));
            let (summary, accepted) = run_boards(server.source());
            assert_eq!(summary.counts, of_file.counts, "{n} connections");
            assert_eq!(events(&accepted), events(&expected), "{n} connections");
            let counted = network(&summary);
            assert_eq!((counted.missing_orbits, counted.late_orbits), (0, 0));
        }
    });
}

#[test]
fn blocks_that_are_encoded_ahead_and_those_too_large_for_it_are_sent_in_order_and_whole() {
    watched(|| {
        let desk = tempfile::tempdir().unwrap();
        for (orbits_per_block, n_events) in [(1, 20_000), (15, 100_000)] {
            let stream = desk.path().join(format!("{orbits_per_block}.s40"));
            let place = Placement { orbits_per_block, ..Placement::default() };
            let model = GeneratorModel::shipped();
            let made = GeneratedStream::new(&model, PileUp::Fixed(60), 1, place, n_events).unwrap();
            let mut writer =
                StreamWriter::create(&stream, made.header(), Compression::Fast).unwrap();
            write_stream(&made, &mut writer, Compression::Fast, 2, &mut |_| {}).unwrap();
            writer.finish().unwrap();
            let server = Serving::of(&stream, boards(1));
            let mut bytes = Vec::new();
            TcpStream::connect(server.address()).unwrap().read_to_end(&mut bytes).unwrap();
            let reports = server.stop();
            assert_eq!((reports[0].crossings, reports[0].problem.as_str()), (n_events, ""));
            let mut source = FileSource::open(&stream).unwrap();
            let columns = native_columns().intersection(source.columns());
            let (mut of_file, mut orbits) = (Block::default(), Vec::new());
            while source.next_block(columns, &mut of_file).unwrap() == Delivery::Block {
                OrbitEncoder::default().push_orbits(&of_file, 0, (0, 1), &mut orbits);
            }
            assert!(bytes == orbits, "{orbits_per_block} orbits in a block");
        }
    });
}

#[test]
fn a_board_that_is_cut_within_an_orbit_is_connected_again_and_nothing_is_used_twice() {
    watched(|| {
        let (of_file, expected) = run(file());
        let server = Serving::start(boards(1));
        for cut in [1, 31, 32, 500, 5000, 9001] {
            let line = Line::to_board(
                server.address(),
                Box::new(move |connection| match connection {
                    0 => vec![Fault::Cut { at: cut }],
                    _ => Vec::new(),
                }),
            );
            let (summary, accepted) = run_boards(line.source());
            assert_eq!(summary.counts, of_file.counts, "cut after {cut} bytes");
            assert_eq!(events(&accepted), events(&expected), "cut after {cut} bytes");
            assert_eq!(network(&summary).reconnects, 1);
        }
    });
}

#[test]
fn boards_that_die_say_nothing_or_nonsense_are_given_up() {
    watched(|| {
        let server = Serving::start(boards(2));
        let lines = [0, 1].map(|k| {
            let at = if k == 0 { usize::MAX } else { 6000 };
            Line::to_board(
                server.addresses()[k],
                Box::new(move |connection| match connection {
                    0 => vec![Fault::Cut { at }],
                    _ => vec![Fault::Cut { at: 0 }],
                }),
            )
        });
        let (summary, _) =
            run_with(tcp(&lines.each_ref().map(Line::address)), impatient_with_boards);
        assert!(summary.counts.is_conserved());
        assert!(summary.counts.read > CROSSINGS / 2 && summary.counts.read < CROSSINGS);
        let counted = network(&summary);
        assert_eq!(counted.connections_given_up, 1);
        assert!(counted.missing_orbits > 0);
        for nonsense in [&[][..], &[0x47, 0x5a, 0, 0, 0, 0x80, 0xff, 0], &[b'x'; 5000]] {
            let sender = Scripted::without_hello(nonsense.to_vec());
            let (summary, _) = run_with(sender.source(), impatient_with_boards);
            assert_eq!(summary.counts.read, 0);
            assert_eq!(network(&summary).connections_given_up, 1);
        }
    });
}

#[test]
fn whatever_the_line_of_a_board_does_the_law_holds() {
    watched(|| {
        let server = Serving::start(boards(1));
        let run = |line: &Line| try_run(line.source(), impatient_with_boards).0;
        check_random_faults(&server, Line::to_board, run, |summary| {
            assert!(summary.counts.is_conserved(), "{:?}", summary.counts);
            assert!(summary.counts.scored <= CROSSINGS);
        });
    });
}

#[test]
fn whatever_the_line_does_every_crossing_is_accounted_for() {
    watched(|| {
        let server = Serving::start(serve_options(1));
        let run = |line: &Line| try_run(line.source(), impatient).0;
        check_random_faults(&server, Line::start, run, |summary| {
            check_account(summary);
            let counted = network(summary);
            assert_eq!(counted.buffered_bytes, 0, "{counted:?}");
        });
    });
}
