//! The journal's files: what is written is read back, what is damaged is told with its place, what is full is refused.

use std::fs;
use std::path::Path;

use postern::codec::Message;
use postern::codec::journal::{Decision, Journal};
use postern::gate::{DecisionLog, Mark, Room};
use postern::journal::{
    JournalAgent, JournalConfig, JournalError, JournalReader, JournalWriter, Tail, open,
};
use postern::runtime::Agent;
use postern::telemetry::Registry;
use postern::types::{ClOrdId, Nanos, OrderId, RequestKind, SessionId, UtcNanos};

fn small(directory: &Path) -> JournalConfig {
    JournalConfig {
        segment_bytes: 64 * 1024,
        ..JournalConfig::new(directory.to_path_buf(), [7; 32])
    }
}

fn start(directory: &Path) -> (JournalWriter, JournalAgent) {
    open(&small(directory), Nanos(1), UtcNanos(2), &Registry::new()).expect("opens")
}

fn decision(number: u64) -> Decision {
    Decision {
        order_id: OrderId(number),
        cl_ord_id: ClOrdId(number),
        reference_px: None,
        limit_value: None,
        value: None,
        session_id: SessionId(1),
        deny_reason: 0,
        decision_kind: RequestKind::New,
    }
}

/// Appends decisions with these numbers, with the agent's work in between.
fn write(writer: &mut JournalWriter, agent: &mut JournalAgent, numbers: std::ops::Range<u64>) {
    for number in numbers {
        agent.poll(Nanos(number)).expect("never fails");
        assert!(writer.has_room(1, Room::Ordinary));
        writer.record(Nanos(number), &decision(number));
    }
}

/// Order identifiers of the decisions in the journal, and how it ends.
fn read(directory: &Path) -> Result<(Vec<u64>, Tail), JournalError> {
    let mut reader = JournalReader::open(directory)?;
    let mut ids = Vec::new();
    while let Some(record) = reader.next()? {
        if let Ok(Journal::Decision(decision)) = Journal::decode(record.payload) {
            ids.push(decision.order_id.0);
        }
    }
    Ok((ids, reader.tail().clone()))
}

fn files(directory: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

#[test]
fn records_come_back_over_segments_and_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut writer, mut agent) = start(directory.path());
    write(&mut writer, &mut agent, 1..3_001);
    // While it is being written, too.
    assert_eq!(read(directory.path()).expect("whole"), ((1..3_001).collect(), Tail::Clean));
    drop(writer);
    agent.on_close(Nanos(0));
    drop(agent);
    assert!(files(directory.path(), "open").is_empty(), "all are sealed, unused ones gone");
    assert!(files(directory.path(), "journal").len() >= 4);
    let (mut writer, mut agent) = start(directory.path());
    write(&mut writer, &mut agent, 3_001..4_001);
    assert_eq!(read(directory.path()).expect("whole").0, (1..4_001).collect::<Vec<_>>());
}

#[test]
fn a_run_that_was_killed_is_gone_on_from() {
    let directory = tempfile::tempdir().expect("a directory");
    for run in 0..3u64 {
        let (mut writer, mut agent) = start(directory.path());
        write(&mut writer, &mut agent, run * 1_000..run * 1_000 + 1_000);
        // As after a kill: nothing is told to anyone, and files stay as they are.
        let copy = tempfile::tempdir().expect("a directory");
        for file in
            files(directory.path(), "open").iter().chain(&files(directory.path(), "journal"))
        {
            fs::copy(file, copy.path().join(file.file_name().expect("named"))).expect("copied");
        }
        drop((writer, agent));
        fs::remove_dir_all(directory.path()).expect("removed");
        fs::rename(copy.keep(), directory.path()).expect("moved");
    }
    assert_eq!(read(directory.path()).expect("whole"), ((0..3_000).collect(), Tail::Clean));
}

/// More room is asked to stay free than any disk has: only the segment in use is made.
#[test]
fn below_the_reserve_no_segment_is_made_ahead() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::new();
    let config = JournalConfig { reserve_bytes: u64::MAX, ..small(directory.path()) };
    let (mut writer, mut agent) = open(&config, Nanos(1), UtcNanos(2), &registry).expect("opens");
    agent.poll(Nanos(1)).expect("lives");
    assert_eq!(registry.read("journal_segment_ready_count"), Some(0));
    assert_eq!(registry.read("journal_segment_failure_count"), Some(1));
    let mut written = 0;
    while writer.has_room(1, Room::Ordinary) {
        writer.record(Nanos(3), &decision(written));
        written += 1;
    }
    assert!(written > 0 && writer.has_room(1, Room::Reserved), "cancels have their reserve");
}

#[test]
fn two_writers_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let _first = start(directory.path());
    let second = open(&small(directory.path()), Nanos(1), UtcNanos(2), &Registry::new());
    assert!(matches!(second, Err(JournalError::InUse { .. })));
}

#[test]
fn wrong_sizes_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let sizes = [(4096, 2), (65_537, 2), (1 << 40, 2), (65_536, 0), (65_536, 7)];
    for (segment_bytes, segments_ahead) in sizes {
        let config = JournalConfig { segment_bytes, segments_ahead, ..small(directory.path()) };
        let refused = open(&config, Nanos(1), UtcNanos(2), &Registry::new());
        assert!(
            matches!(refused, Err(JournalError::Config { .. })),
            "{segment_bytes} {segments_ahead}"
        );
    }
}

#[test]
fn without_segments_orders_stop_before_cancels_do_and_go_on_when_there_are_some() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut writer, mut agent) = start(directory.path());
    let mut number = 0;
    // The agent does not get to run, as on a full disk: what is ready is used up.
    while writer.has_room(4, Room::Ordinary) {
        writer.record(Nanos(number), &decision(number));
        number += 1;
    }
    let orders = number;
    while writer.has_room(2, Room::Reserved) {
        writer.record(Nanos(number), &decision(number));
        number += 1;
    }
    assert!(number > orders + 50, "{} records are a poor reserve", number - orders);
    assert!(!writer.has_room(4, Room::Ordinary));
    agent.poll(Nanos(0)).expect("never fails");
    assert!(writer.has_room(4, Room::Ordinary));
    writer.mark(Nanos(number), Mark::Tick);
    assert_eq!(read(directory.path()).expect("whole").0, (0..number).collect::<Vec<_>>());
}

#[test]
fn a_directory_that_cannot_be_written_is_counted_and_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::new();
    let (mut writer, mut agent) =
        open(&small(directory.path()), Nanos(1), UtcNanos(2), &registry).expect("opens");
    // The name of the next segment is taken: making it fails, whoever runs the test.
    let next = directory.path().join("0000000004.open");
    fs::create_dir(&next).expect("made");
    while writer.has_room(4, Room::Ordinary) {
        writer.record(Nanos(0), &decision(0));
    }
    agent.poll(Nanos(5)).expect("never fails");
    assert!(!writer.has_room(4, Room::Ordinary));
    agent.poll(Nanos(6)).expect("not tried at once again");
    fs::remove_dir(&next).expect("removed");
    agent.poll(Nanos(5 + 200_000_000)).expect("never fails");
    assert!(writer.has_room(4, Room::Ordinary));
}

#[test]
fn a_torn_tail_is_told_cut_off_and_kept_aside() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut writer, mut agent) = start(directory.path());
    write(&mut writer, &mut agent, 0..10);
    drop((writer, agent));
    let segment = files(directory.path(), "open")[0].clone();
    let mut bytes = fs::read(&segment).expect("readable");
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("written");
    bytes[end] ^= 1;
    fs::write(&segment, &bytes).expect("written");
    let (ids, tail) = read(directory.path()).expect("only the tail is torn");
    assert_eq!(ids, (0..9).collect::<Vec<_>>());
    assert!(
        matches!(&tail, Tail::Torn { path, what, .. } if *path == segment && what.contains("checksum")),
        "{tail:?}"
    );
    let (mut writer, mut agent) = start(directory.path());
    assert_eq!(files(directory.path(), "torn").len(), 1);
    write(&mut writer, &mut agent, 9..12);
    assert_eq!(read(directory.path()).expect("whole"), ((0..12).collect(), Tail::Clean));
}

#[test]
fn damage_before_the_end_is_told_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut writer, mut agent) = start(directory.path());
    write(&mut writer, &mut agent, 0..10);
    let frame = (24 + Decision::BYTES).next_multiple_of(8);
    drop((writer, agent));
    let segment = files(directory.path(), "open")[0].clone();
    let good = fs::read(&segment).expect("readable");
    let first = (24 + postern::codec::journal::SegmentStart::BYTES).next_multiple_of(8);
    let at = first + 3 * frame;
    for (spoil, expected) in [(30, "checksum"), (3, "no known kind"), (1, "longer")] {
        let mut bytes = good.clone();
        bytes[at + spoil] ^= 0xf0;
        fs::write(&segment, &bytes).expect("written");
        let error = read(directory.path()).expect_err("damaged").to_string();
        assert!(error.contains(expected) && error.contains(&format!("byte {at}")), "{error}");
        let refused = open(&small(directory.path()), Nanos(1), UtcNanos(2), &Registry::new());
        assert!(refused.is_err(), "nothing is cut off that records follow");
    }
    // A record taken out whole, and one that looks like the end.
    let mut bytes = good.clone();
    bytes.drain(at..at + frame);
    fs::write(&segment, &bytes).expect("written");
    assert!(matches!(read(directory.path()), Err(JournalError::Gap { expected: 5, found: 6, .. })));
    let mut bytes = good;
    bytes[at..at + frame].fill(0);
    fs::write(&segment, &bytes).expect("written");
    assert!(read(directory.path()).is_err());
}

#[test]
fn hostile_bytes_never_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut writer, mut agent) = start(directory.path());
    write(&mut writer, &mut agent, 0..20);
    drop((writer, agent));
    let segment = files(directory.path(), "open")[0].clone();
    let good = fs::read(&segment).expect("readable");
    let mut state = 1u64;
    let mut random = move |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    };
    for _ in 0..300 {
        let mut bytes = good[..2_400].to_vec();
        for _ in 0..random(6) + 1 {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(256)).expect("a byte");
        }
        bytes.truncate(random(2_400) + 1);
        fs::write(&segment, &bytes).expect("written");
        drop(read(directory.path()));
    }
}
