//! Model checks of the ring's protocol: loom runs every interleaving and every reordering the memory model allows.
//!
//! Each claim is checked twice over: with the orderings that ship no execution may fail, and with any one of the four
//! weakened to `Relaxed` loom must find an execution that does, or the model proves nothing.

#![cfg(test)]

mod primitive;
#[path = "../../../src/ring/protocol.rs"]
#[allow(dead_code, reason = "the checks use a part of it")]
mod protocol;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use loom::thread;
use primitive::{AtomicU64, Ordering, Payload};
use protocol::{Control, Orderings, Parts, Position, Reader, Slot, Sound, Writer};

/// Threads are switched at most this often against their will in one execution; five found nothing else and took six seconds.
const PREEMPTIONS: usize = 3;

/// A ring in loom's types.
struct Memory {
    control: Box<Control>,
    slots: Box<[Slot]>,
}

// SAFETY: holds atomics and cells that loom watches.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

fn ring<O: Orderings>(count: usize) -> (Writer<O>, Reader<O>) {
    let parts = memory(count);
    (Writer::attach(parts.clone()), Reader::attach(parts))
}

fn memory(count: usize) -> Parts {
    let position = || Position(AtomicU64::new(0));
    let slot = |_| Slot { word: AtomicU64::new(0), payload: Payload::new() };
    let memory = Arc::new(Memory {
        control: Box::new(Control { published: position(), released: position() }),
        slots: (0..count).map(slot).collect(),
    });
    let control = NonNull::from(&*memory.control);
    let slots = NonNull::from(&*memory.slots).cast();
    // SAFETY: `memory` owns both and is kept.
    unsafe { Parts::new(control, slots, count, memory) }
}

/// Puts `byte` in, `byte` times over, waiting for a slot.
fn put<O: Orderings>(writer: &mut Writer<O>, byte: u8) {
    loop {
        if let Some(mut grant) = writer.claim(usize::from(byte)) {
            grant.fill(byte);
            grant.commit();
            return;
        }
        thread::yield_now();
    }
}

/// Takes the next message out, waiting for it, and checks that it is `byte`, `byte` times over.
fn take<O: Orderings>(reader: &mut Reader<O>, byte: u8) {
    loop {
        if let Some(message) = reader.peek() {
            assert_eq!(message.len(), usize::from(byte));
            assert!(message.iter().all(|found| *found == byte));
            reader.release();
            return;
        }
        thread::yield_now();
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

/// `count` messages through `slots` slots.
fn pass<O: Orderings + 'static>(slots: usize, count: u8) {
    let (mut writer, mut reader) = ring::<O>(slots);
    let producer = thread::spawn(move || (1..=count).for_each(|byte| put(&mut writer, byte)));
    (1..=count).for_each(|byte| take(&mut reader, byte));
    assert!(reader.peek().is_none());
    producer.join().expect("the producer ends");
}

#[test]
fn what_is_committed_is_seen_whole_and_in_order() {
    check(|| pass::<Sound>(4, 3));
}

#[test]
fn a_slot_is_reused_only_after_it_was_read() {
    check(|| pass::<Sound>(2, 5));
}

#[test]
fn an_abandoned_claim_publishes_nothing() {
    check(|| {
        let (mut writer, mut reader) = ring::<Sound>(2);
        let producer = thread::spawn(move || {
            writer.claim(9).expect("empty").fill(9);
            put(&mut writer, 1);
            if let Some(mut grant) = writer.claim(9) {
                grant.fill(9);
            }
            put(&mut writer, 2);
        });
        take(&mut reader, 1);
        take(&mut reader, 2);
        producer.join().expect("the producer ends");
    });
}

#[test]
fn a_full_ring_gets_every_slot_back_once_it_was_seen_empty() {
    check(|| {
        let (mut writer, mut reader) = ring::<Sound>(4);
        put(&mut writer, 1);
        let consumer = thread::spawn(move || {
            take(&mut reader, 1);
            assert!(reader.peek().is_none());
        });
        while writer.free() != writer.slots() {
            thread::yield_now();
        }
        consumer.join().expect("the consumer ends");
    });
}

#[test]
fn a_producer_that_attaches_finds_the_end_while_the_consumer_runs() {
    check(|| {
        let parts = memory(2);
        let mut writer = Writer::<Sound>::attach(parts.clone());
        let mut reader = Reader::<Sound>::attach(parts.clone());
        put(&mut writer, 1);
        put(&mut writer, 2);
        let successor = thread::spawn(move || {
            drop(writer);
            let mut writer = Writer::<Sound>::attach(parts);
            assert_eq!(writer.position(), 2);
            put(&mut writer, 3);
        });
        (1..=3).for_each(|byte| take(&mut reader, byte));
        successor.join().expect("the successor ends");
    });
}

macro_rules! weakened {
    ($($name:ident: $weak:ident = $test:ident;)+) => {$(
        struct $name;

        impl Orderings for $name {
            const COMMIT: Ordering = weakened!(COMMIT $weak);
            const PEEK: Ordering = weakened!(PEEK $weak);
            const PUBLISH: Ordering = weakened!(PUBLISH $weak);
            const REFRESH: Ordering = weakened!(REFRESH $weak);
        }

        #[test]
        fn $test() {
            let found = catch_unwind(AssertUnwindSafe(|| check(|| pass::<$name>(2, 5))));
            let message = found.expect_err("loom finds what the ordering is for");
            let message = message.downcast_ref::<String>().map_or("", String::as_str);
            assert!(message.contains("Causality violation"), "another failure: {message}");
        }
    )+};
    (COMMIT COMMIT) => { Ordering::Relaxed };
    (PEEK PEEK) => { Ordering::Relaxed };
    (PUBLISH PUBLISH) => { Ordering::Relaxed };
    (REFRESH REFRESH) => { Ordering::Relaxed };
    ($access:ident $weak:ident) => { Sound::$access };
}

weakened! {
    CommitRelaxed: COMMIT = the_model_fails_when_commit_is_relaxed;
    PeekRelaxed: PEEK = the_model_fails_when_peek_is_relaxed;
    PublishRelaxed: PUBLISH = the_model_fails_when_publish_is_relaxed;
    RefreshRelaxed: REFRESH = the_model_fails_when_refresh_is_relaxed;
}
