//! Two threads, every size, every byte checked: what goes in comes out, once, whole and in order.

use std::thread;

use postern::ring::{Backing, Consumer, Producer, RingConfig, SLOT_PAYLOAD_BYTES, ring};

const MESSAGES: u64 = 400_000;

/// The bytes of message `number`, of which there are 1 to 120.
fn expected(number: u64) -> ([u8; SLOT_PAYLOAD_BYTES], usize) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut message = [0; SLOT_PAYLOAD_BYTES];
    for word in message.chunks_exact_mut(8) {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word.copy_from_slice(&state.to_le_bytes());
    }
    let size = usize::try_from(state >> 32).expect("32 bits") % SLOT_PAYLOAD_BYTES + 1;
    (message, size)
}

fn produce(producer: &mut Producer) {
    for number in 0..MESSAGES {
        let (message, size) = expected(number);
        if number.is_multiple_of(97)
            && let Some(mut claim) = producer.claim(SLOT_PAYLOAD_BYTES)
        {
            claim.fill(0xee); // abandoned: it must leave no trace
        }
        loop {
            let Some(mut claim) = producer.claim(size) else {
                thread::yield_now();
                continue;
            };
            claim.copy_from_slice(&message[..size]);
            claim.commit();
            break;
        }
    }
}

/// Takes all messages, by `peek` or `drain` as their numbers fall, and sums them up.
fn consume(consumer: &mut Consumer) -> u64 {
    let mut number = 0;
    let mut sum = 0_u64;
    while number < MESSAGES {
        let mut take = |found: &[u8]| {
            let (message, size) = expected(number);
            assert_eq!(found, &message[..size], "message {number}");
            sum = found.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
            number += 1;
        };
        let taken = if consumer.position().is_multiple_of(3) {
            consumer.drain(16, take)
        } else if let Some(message) = consumer.peek() {
            take(message);
            consumer.release();
            1
        } else {
            0
        };
        if taken == 0 {
            thread::yield_now();
        }
    }
    assert!(consumer.peek().is_none(), "nothing was sent twice");
    sum
}

fn stress(slots: usize, backing: Backing) {
    let config = RingConfig { name: "stress_ring", slots, backing };
    let (mut producer, mut consumer) = ring(&config).expect("a small ring");
    let sum = thread::scope(|scope| {
        let producing = scope.spawn(move || {
            produce(&mut producer);
            assert_eq!(producer.position(), MESSAGES);
        });
        let sum = consume(&mut consumer);
        producing.join().expect("the producer ends");
        sum
    });
    let sent = (0..MESSAGES).fold(0_u64, |sum, number| {
        let (message, size) = expected(number);
        message[..size].iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte))
    });
    assert_eq!(sum, sent);
}

#[test]
fn two_slots_lose_and_tear_nothing() {
    stress(2, Backing::Heap);
}

#[test]
fn a_latency_ring_loses_and_tears_nothing() {
    stress(128, Backing::HugePages);
}

#[test]
fn a_mapped_file_loses_and_tears_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    stress(64, Backing::File(folder.path().join("stress.ring")));
}
