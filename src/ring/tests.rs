//! Units of the ring: boundaries, claims, what is published when, memory. Those on the heap run under Miri too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::protocol::{Orderings, Sound};
use super::{
    Backing, Consumer, Full, Producer, RingConfig, RingError, SLOT_PAYLOAD_BYTES, SLOTS_MAX,
    attach_producer, ring,
};
use crate::codec::Message;
use crate::codec::journal::{FeedStatus, Journal};
use crate::types::{ChannelId, FeedState, Nanos};

fn heap(slots: usize) -> (Producer, Consumer) {
    let config = RingConfig { name: "test_ring", slots, backing: Backing::Heap };
    ring(&config).expect("a small ring")
}

fn put(producer: &mut Producer, message: &[u8]) -> bool {
    let Some(mut claim) = producer.claim(message.len()) else { return false };
    claim.copy_from_slice(message);
    claim.commit();
    true
}

fn panics(action: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(action)).is_err()
}

#[test]
fn the_orderings_that_ship_are_two_pairs_of_release_and_acquire() {
    let pairs = [(Sound::COMMIT, Sound::PEEK), (Sound::PUBLISH, Sound::REFRESH)];
    assert_eq!(pairs, [(Ordering::Release, Ordering::Acquire); 2]);
}

#[test]
fn every_size_up_to_the_largest_arrives_as_it_was() {
    let (mut producer, mut consumer) = heap(4);
    for bytes in [0, 1, 7, 8, 55, 56, 57, 64, 119, 120] {
        let message: Vec<u8> = (0..bytes).map(|index| index ^ bytes).collect();
        assert!(put(&mut producer, &message));
        assert_eq!(consumer.peek(), Some(&message[..]));
        assert_eq!(consumer.peek(), Some(&message[..]), "it stays until it is released");
        consumer.release();
        assert_eq!(consumer.peek(), None);
    }
}

#[test]
fn a_claim_above_the_largest_size_panics() {
    let (mut producer, mut consumer) = heap(2);
    for bytes in [SLOT_PAYLOAD_BYTES + 1, usize::MAX] {
        assert!(panics(|| assert!(producer.claim(bytes).is_none())));
    }
    assert_eq!(producer.full_count(), 0, "refused for its size, not for want of room");
    assert!(put(&mut producer, b"after"));
    assert_eq!(consumer.peek(), Some(&b"after"[..]));
}

#[test]
fn releasing_what_was_not_looked_at_panics() {
    let (mut producer, mut consumer) = heap(2);
    assert!(panics(|| consumer.release()));
    assert!(put(&mut producer, b"one"));
    assert!(panics(|| consumer.release()));
    assert_eq!(consumer.peek(), Some(&b"one"[..]));
    consumer.release();
    assert!(panics(|| consumer.release()));
    assert_eq!(consumer.position(), 1);
}

#[test]
fn the_smallest_ring_wraps_many_times() {
    let (mut producer, mut consumer) = heap(2);
    let laps: u32 = if cfg!(miri) { 50 } else { 200_000 };
    for number in 0..laps {
        assert!(put(&mut producer, &number.to_le_bytes()));
        if number % 2 == 1 {
            assert!(!put(&mut producer, b"full"));
            let mut expected = number - 1;
            let taken = consumer.drain(9, |message| {
                assert_eq!(message, expected.to_le_bytes());
                expected += 1;
            });
            assert_eq!(taken, 2);
        }
    }
    assert_eq!(producer.full_count(), u64::from(laps / 2));
    assert_eq!(producer.position(), u64::from(laps));
    assert_eq!(consumer.position(), u64::from(laps));
}

#[test]
fn a_dropped_claim_publishes_nothing_and_keeps_its_slot() {
    let (mut producer, mut consumer) = heap(2);
    producer.claim(5).expect("empty").copy_from_slice(b"never");
    assert_eq!(consumer.peek(), None);
    assert_eq!(producer.free_slots(), 2);
    assert!(put(&mut producer, b"first"));
    producer.claim(5).expect("one free").copy_from_slice(b"never");
    assert_eq!(consumer.drain(9, |message| assert_eq!(message, b"first")), 1);
}

#[test]
fn either_side_may_go_first_and_a_claim_may_be_held_meanwhile() {
    let (mut producer, mut consumer) = heap(2);
    assert!(put(&mut producer, b"left"));
    let claim = producer.claim(3).expect("one free");
    assert_eq!(consumer.peek(), Some(&b"left"[..]));
    assert_eq!(claim.len(), 3);
    drop(producer);
    assert_eq!(consumer.drain(9, |_| ()), 1);
    let (mut producer, consumer) = heap(2);
    drop(consumer);
    assert!(put(&mut producer, b"unheard"));
}

#[test]
fn a_full_ring_is_freed_by_the_quarter_and_wholly_once_seen_empty() {
    let (mut producer, mut consumer) = heap(16);
    for number in 0..16_u8 {
        assert!(producer.has_room(1));
        assert!(put(&mut producer, &[number]));
    }
    assert_eq!((producer.free_slots(), producer.has_room(1)), (0, false));
    assert_eq!(consumer.drain(3, |_| ()), 3);
    assert_eq!(producer.free_slots(), 0, "less than a quarter is not told");
    assert_eq!(consumer.drain(1, |_| ()), 1);
    assert_eq!((producer.has_room(4), producer.has_room(5)), (true, false));
    assert_eq!(consumer.drain(12, |_| ()), 12);
    assert_eq!(consumer.drain(1, |_| ()), 0);
    assert!(producer.has_room(16));
    assert_eq!(producer.free_slots(), 16);
}

#[test]
fn drain_stops_at_its_limit_and_keeps_a_message_whose_taker_panicked() {
    let (mut producer, mut consumer) = heap(8);
    for number in 0..5_u8 {
        assert!(put(&mut producer, &[number]));
    }
    assert_eq!(consumer.drain(0, |_| ()), 0);
    assert_eq!(consumer.drain(2, |_| ()), 2);
    assert!(panics(|| {
        consumer.drain(9, |message| assert_ne!(message, [3]));
    }));
    let mut left = Vec::new();
    assert_eq!(consumer.drain(9, |message| left.extend_from_slice(message)), 2);
    assert_eq!(left, [3, 4]);
}

#[test]
fn send_encodes_in_place_and_says_when_full() {
    let (mut producer, mut consumer) = heap(2);
    let status = FeedStatus {
        ingress_time: Nanos(5),
        channel_id: ChannelId(7),
        feed_state: FeedState::from_wire(1).expect("a state"),
    };
    assert_eq!(producer.send(&status), Ok(()));
    assert_eq!(producer.send(&status), Ok(()));
    assert_eq!(producer.send(&status), Err(Full));
    assert_eq!(producer.full_count(), 1);
    let taken = consumer.drain(9, |message| {
        assert_eq!(message.len(), FeedStatus::BYTES);
        assert_eq!(Journal::decode(message), Ok(Journal::FeedStatus(status)));
    });
    assert_eq!(taken, 2);
}

#[test]
fn a_ring_that_cannot_be_is_refused() {
    for slots in [0, 1, 3, 100, SLOTS_MAX + 1, SLOTS_MAX * 2, usize::MAX] {
        let config = RingConfig { name: "test_ring", slots, backing: Backing::Heap };
        assert!(matches!(ring(&config), Err(RingError::Slots(refused)) if refused == slots));
    }
    for name in ["", "a_name_of_more_than_thirty_two_bytes"] {
        let config = RingConfig { name, slots: 2, backing: Backing::Heap };
        assert!(matches!(ring(&config), Err(RingError::Name(refused)) if refused == name));
    }
    let config = RingConfig { name: "test_ring", slots: 2, backing: Backing::Heap };
    assert!(panics(|| drop(attach_producer(&config))), "only a file can be attached to");
}

#[test]
#[cfg(not(miri))] // Miri has no kernel to ask for huge pages
fn huge_pages_or_what_there_is_instead_make_a_ring() {
    for slots in [2, 128, SLOTS_MAX] {
        let config = RingConfig { name: "test_ring", slots, backing: Backing::HugePages };
        let (mut producer, mut consumer) = ring(&config).expect("memory of some kind");
        assert!(matches!(
            producer.backing(),
            super::Backed::HugePages | super::Backed::TransparentHugePages | super::Backed::Pages
        ));
        assert_eq!(producer.backing(), consumer.backing());
        for lap in 0..3_u8 {
            (0..slots).for_each(|_| assert!(put(&mut producer, &[lap; 120])));
            assert!(!put(&mut producer, &[]));
            assert_eq!(consumer.drain(slots, |message| assert_eq!(message, [lap; 120])), slots);
        }
    }
}

#[test]
fn messages_cross_threads_whole() {
    let (mut producer, mut consumer) = heap(4);
    let count: u32 = if cfg!(miri) { 60 } else { 20_000 };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..count {
                while !put(&mut producer, &number.to_le_bytes()) {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0_u32;
        while expected < count {
            let taken = consumer.drain(3, |message| {
                assert_eq!(message, expected.to_le_bytes());
                expected += 1;
            });
            if taken == 0 {
                std::thread::yield_now();
            }
        }
    });
}
