//! A ring in a mapped file: what is refused, who is let in, and that a killed side loses and tears nothing.
//!
//! The other process is this test program itself, started again for one test that does nothing unless told to by its
//! environment.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use postern::ring::{
    Backed, Backing, Consumer, Producer, RingConfig, RingError, Role, attach_consumer,
    attach_producer, ring,
};

const SLOTS: usize = 64;
/// Tells the other process which ring to use.
const FOLDER: &str = "POSTERN_TEST_RING_FOLDER";

fn config(path: &Path) -> RingConfig {
    RingConfig { name: "file_ring", slots: SLOTS, backing: Backing::File(path.to_path_buf()) }
}

fn put(producer: &mut Producer, message: &[u8]) -> bool {
    let Some(mut claim) = producer.claim(message.len()) else { return false };
    claim.copy_from_slice(message);
    claim.commit();
    true
}

fn take_all(consumer: &mut Consumer) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    consumer.drain(usize::MAX, |message| messages.push(message.to_vec()));
    messages
}

#[test]
fn what_was_committed_and_not_released_outlives_both_sides() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(&folder.path().join("a.ring"));
    let (mut producer, mut consumer) = ring(&config).expect("a new file");
    assert_eq!((producer.backing(), consumer.backing()), (Backed::File, Backed::File));
    for number in 0..50_u8 {
        assert!(put(&mut producer, &[number; 120]));
    }
    producer.claim(3).expect("room").copy_from_slice(b"not");
    assert_eq!(consumer.drain(7, |_| ()), 7); // fewer than are told to the producer at once
    assert!(consumer.peek().is_some());
    drop((producer, consumer));

    let (mut producer, mut consumer) = ring(&config).expect("the same file");
    assert_eq!((producer.position(), consumer.position()), (50, 7));
    assert_eq!(producer.free_slots(), SLOTS - 43);
    let expected: Vec<Vec<u8>> = (7..50).map(|number| vec![number; 120]).collect();
    assert_eq!(take_all(&mut consumer), expected);
    assert!(put(&mut producer, b"next"));
    assert_eq!(take_all(&mut consumer), [b"next"]);
}

#[test]
fn a_full_ring_is_found_full_again_after_many_laps() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(&folder.path().join("a.ring"));
    let (mut producer, mut consumer) = ring(&config).expect("a new file");
    for _ in 0..1_000 {
        while put(&mut producer, b"lap") {}
        assert!(consumer.drain(33, |_| ()) > 0);
    }
    while put(&mut producer, b"lap") {}
    let sent = producer.position();
    drop(producer);
    let mut producer = attach_producer(&config).expect("a free side");
    assert_eq!(producer.position(), sent);
    let left = take_all(&mut consumer).len();
    assert!(left > SLOTS * 3 / 4);
    assert!(consumer.peek().is_none());
    assert_eq!(producer.free_slots(), SLOTS);
}

#[test]
fn a_second_producer_or_consumer_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(&folder.path().join("a.ring"));
    let (producer, consumer) = ring(&config).expect("a new file");
    let refused = |result: Result<(), RingError>, wanted: Role| match result {
        Err(RingError::InUse { role, .. }) => assert_eq!(role, wanted),
        other => panic!("expected a refusal, got {other:?}"),
    };
    refused(attach_producer(&config).map(drop), Role::Producer);
    refused(attach_consumer(&config).map(drop), Role::Consumer);
    drop(producer);
    let producer = attach_producer(&config).expect("the side is free again");
    refused(attach_consumer(&config).map(drop), Role::Consumer);
    drop(consumer);
    drop(attach_consumer(&config).expect("the side is free again"));
    drop(producer);
}

fn layout_error(config: &RingConfig) -> &'static str {
    match ring(config) {
        Err(RingError::Layout { what, .. }) => what,
        other => panic!("expected another layout, got {other:?}"),
    }
}

#[test]
fn a_file_of_another_layout_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.ring");
    drop(ring(&config(&path)).expect("a new file"));
    let good = fs::read(&path).expect("readable");

    let name = RingConfig { name: "other_ring", ..config(&path) };
    assert_eq!(layout_error(&name), "name");
    let slots = RingConfig { slots: SLOTS * 2, ..config(&path) };
    assert_eq!(layout_error(&slots), "slots");
    for (offset, what) in [(256, "magic number"), (264, "version"), (268, "slot size")] {
        let mut bad = good.clone();
        bad[offset] ^= 0xff;
        fs::write(&path, &bad).expect("writable");
        assert_eq!(layout_error(&config(&path)), what);
        assert_eq!(fs::read(&path).expect("readable"), bad);
    }
    let text = b"somebody's notes";
    for (bytes, what) in [
        (&text[..], "too short for a header"),
        (&good[..good.len() - 1], "length"),
        (&[&good[..], &[0]].concat(), "length"),
    ] {
        fs::write(&path, bytes).expect("writable");
        assert_eq!(layout_error(&config(&path)), what);
        assert_eq!(fs::read(&path).expect("readable"), bytes);
    }
    let mut positions = good.clone();
    positions[128] = 200; // released further than what was published allows
    fs::write(&path, &positions).expect("writable");
    assert_eq!(layout_error(&config(&path)), "positions");
}

#[test]
fn a_file_that_was_killed_while_it_was_made_is_made_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.ring");
    for zeros in [0, 100, 4096 + SLOTS * 128] {
        fs::write(&path, vec![0; zeros]).expect("writable");
        let (mut producer, mut consumer) = ring(&config(&path)).expect("nothing is lost in zeros");
        assert!(put(&mut producer, b"one"));
        assert_eq!(take_all(&mut consumer), [b"one"]);
    }
}

#[test]
fn what_is_no_file_or_cannot_be_opened_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let device = config(Path::new("/dev/zero"));
    assert_eq!(layout_error(&device), "not a regular file");
    let missing = config(&folder.path().join("no/such/folder/a.ring"));
    match ring(&missing) {
        Err(RingError::File { source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::NotFound);
        }
        other => panic!("expected an error, got {other:?}"),
    }
}

#[test]
fn words_that_no_producer_wrote_are_not_messages() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.ring");
    drop(ring(&config(&path)).expect("a new file"));
    // The right sequence with a length that no slot holds, and a wrong sequence with a good one.
    for word in [(1_u64 << 16) | 121, (1 << 16) | 0xffff, (2 << 16) | 5, u64::MAX] {
        let file = File::options().write(true).open(&path).expect("writable");
        file.write_all_at(&word.to_ne_bytes(), 4096).expect("written");
        let (mut producer, mut consumer) = ring(&config(&path)).expect("the layout is right");
        assert_eq!(producer.position(), 0);
        assert!(consumer.peek().is_none());
        assert!(producer.has_room(SLOTS));
    }
}

// Two processes.

/// Where the other process says how far it is, after the fact.
struct Progress(File);

impl Progress {
    fn open(folder: &Path) -> Progress {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        Progress(options.open(folder.join("progress")).expect("a file for the progress"))
    }

    fn set(&self, count: u64) {
        self.0.write_all_at(&count.to_ne_bytes(), 0).expect("written");
    }

    fn get(&self) -> u64 {
        let mut bytes = [0; 8];
        let read = self.0.read_at(&mut bytes, 0).expect("readable");
        assert!(read == 0 || read == 8);
        u64::from_ne_bytes(bytes)
    }
}

/// Message `number`: itself, then as many bytes of it as its size says.
fn message(number: u64) -> Vec<u8> {
    let size = usize::try_from(number % 113).expect("small") + 8;
    number.to_le_bytes().iter().copied().cycle().take(size).collect()
}

/// The other process's whole life, when this program was started as one: it works until it is killed.
#[test]
fn other_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let config = config(&folder.join("a.ring"));
    let progress = Progress::open(&folder);
    if folder.join("consume").exists() {
        let mut consumer = attach_consumer(&config).expect("a free side");
        loop {
            let Some(found) = consumer.peek().map(<[u8]>::to_vec) else {
                thread::yield_now();
                continue;
            };
            let number = u64::from_le_bytes(found[..8].try_into().expect("eight bytes"));
            assert_eq!(found, message(number));
            progress.set(number + 1); // taken; the kill may come before or after the release
            consumer.release();
        }
    }
    let mut producer = attach_producer(&config).expect("a free side");
    loop {
        let number = producer.position();
        if put(&mut producer, &message(number)) {
            progress.set(number + 1);
        } else {
            thread::yield_now();
        }
    }
}

fn start_other(folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "other_process", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("started")
}

/// Lets it run on; it must not have come to an end.
fn wait_for(child: &mut Child) {
    assert!(child.try_wait().expect("a child of ours").is_none(), "it failed before it was killed");
    thread::yield_now();
}

/// Sends `SIGKILL` and waits for the end, which must not have come before.
fn kill(mut child: Child) {
    wait_for(&mut child);
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
}

#[test]
fn a_killed_producer_loses_and_tears_nothing_it_committed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(&folder.path().join("a.ring"));
    let progress = Progress::open(folder.path());
    let mut consumer = attach_consumer(&config).expect("a new file");
    let mut next = 0;
    for round in 1..=8_u64 {
        let mut child = start_other(folder.path());
        while next < round * 1_500 {
            let taken = consumer.drain(SLOTS, |found| {
                assert_eq!(found, message(next));
                next += 1;
            });
            if taken == 0 {
                wait_for(&mut child);
            }
        }
        kill(child);
        consumer.drain(usize::MAX, |found| {
            assert_eq!(found, message(next));
            next += 1;
        });
        assert!(next >= progress.get(), "{next} received, {} committed", progress.get());
        let producer = attach_producer(&config).expect("a killed process holds nothing");
        assert_eq!(producer.position(), next);
    }
}

#[test]
fn a_killed_consumer_leaves_every_message_it_did_not_take() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(&folder.path().join("a.ring"));
    let progress = Progress::open(folder.path());
    fs::write(folder.path().join("consume"), []).expect("written");
    let mut producer = attach_producer(&config).expect("a new file");
    for round in 1..=8_u64 {
        let mut child = start_other(folder.path());
        while progress.get() < round * 1_500 {
            let number = producer.position();
            if !put(&mut producer, &message(number)) {
                wait_for(&mut child);
            }
        }
        kill(child);
        let mut consumer = attach_consumer(&config).expect("a killed process holds nothing");
        let (position, taken) = (consumer.position(), progress.get());
        assert!(position == taken || position + 1 == taken, "{taken} taken, {position} released");
        if position < producer.position() {
            assert_eq!(consumer.peek(), Some(&message(position)[..]));
        }
    }
}
