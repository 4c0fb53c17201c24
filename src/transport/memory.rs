//! A stream in memory with the rules of the real ones, for measurements without a network.
//!
//! One writer, one reader, a fixed number of slots of a fixed size. A full stream is back-pressured, a dropped reader
//! leaves it not connected, and a dropped writer is an event after its last message, as on Aeron.
#![allow(unsafe_code, reason = "slots are shared between one writer and one reader")]

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::transport::{Fragment, Inbound, OfferError, Outbound, StreamEvent, TransportDown};

/// The [`Fragment::source`] of every message.
pub const SOURCE: i32 = 1;

/// Most messages a stream can hold.
pub const SLOTS_MAX: usize = 1 << 20;

/// Longest message a stream can be made for, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

struct Slot {
    bytes: UnsafeCell<Box<[u8]>>,
    length: UnsafeCell<usize>,
}

struct Stream {
    slots: Box<[Slot]>,
    /// Messages ever written.
    tail: CachePadded<AtomicUsize>,
    /// Messages ever read.
    head: CachePadded<AtomicUsize>,
    writer_gone: AtomicBool,
    reader_gone: AtomicBool,
    message_bytes_max: usize,
}

// SAFETY: a slot is touched by the writer while its index is not below `tail`, or was passed by `head`, and by the
// reader while it is between `head` and `tail`; the release stores of both indices and the acquire loads that meet them
// hand it over. There is one writer and one reader, neither is `Clone`, and both need `&mut self`.
unsafe impl Sync for Stream {}

impl Stream {
    #[inline]
    fn slot(&self, index: usize) -> &Slot {
        // The number of slots is a power of two.
        &self.slots[index & (self.slots.len() - 1)]
    }
}

/// A stream for `slots` messages (a power of two, 2 to [`SLOTS_MAX`]) of at most `message_bytes_max` bytes
/// (1 to [`MESSAGE_BYTES_MAX`]). All its memory is allocated and touched here.
///
/// # Panics
/// If a number is outside of its range.
pub fn stream(slots: usize, message_bytes_max: usize) -> (MemoryPublication, MemorySubscription) {
    assert!(slots.is_power_of_two(), "{slots} slots are not a power of two");
    assert!((2..=SLOTS_MAX).contains(&slots), "{slots} slots are not within 2 to {SLOTS_MAX}");
    assert!(
        (1..=MESSAGE_BYTES_MAX).contains(&message_bytes_max),
        "{message_bytes_max} bytes are not within 1 to {MESSAGE_BYTES_MAX}"
    );
    let slot = || Slot {
        bytes: UnsafeCell::new(vec![0xff; message_bytes_max].into_boxed_slice()),
        length: UnsafeCell::new(0),
    };
    let stream = Arc::new(Stream {
        slots: std::iter::repeat_with(slot).take(slots).collect(),
        tail: CachePadded::new(AtomicUsize::new(0)),
        head: CachePadded::new(AtomicUsize::new(0)),
        writer_gone: AtomicBool::new(false),
        reader_gone: AtomicBool::new(false),
        message_bytes_max,
    });
    (
        MemoryPublication { stream: Arc::clone(&stream), tail: 0, head_seen: 0 },
        MemorySubscription { stream, head: 0, tail_seen: 0, told: Told::Nothing },
    )
}

/// The writer of a stream in memory.
pub struct MemoryPublication {
    stream: Arc<Stream>,
    tail: usize,
    /// The reader's index when it was last looked at: behind the true one, never ahead.
    head_seen: usize,
}

impl fmt::Debug for MemoryPublication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPublication").field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl Drop for MemoryPublication {
    fn drop(&mut self) {
        // Release: whoever sees it sees the last message too.
        self.stream.writer_gone.store(true, Ordering::Release);
    }
}

impl Outbound for MemoryPublication {
    #[inline]
    fn offer(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) -> Result<(), OfferError> {
        if bytes > self.stream.message_bytes_max {
            return Err(OfferError::TooLong);
        }
        if self.stream.reader_gone.load(Ordering::Relaxed) {
            return Err(OfferError::NotConnected);
        }
        if self.tail.wrapping_sub(self.head_seen) == self.stream.slots.len() {
            // Acquire: the reader has done with what it gave back.
            self.head_seen = self.stream.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.stream.slots.len() {
                return Err(OfferError::BackPressured);
            }
        }
        let slot = self.stream.slot(self.tail);
        // SAFETY: `tail` is not published, so this slot is the writer's, and `&mut self` is the one writer.
        let memory = unsafe { &mut *slot.bytes.get() };
        write(&mut memory[..bytes]);
        // SAFETY: as above.
        unsafe { *slot.length.get() = bytes };
        self.tail = self.tail.wrapping_add(1);
        // Release: hands the slot over.
        self.stream.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    #[inline]
    fn is_connected(&self) -> bool {
        !self.stream.reader_gone.load(Ordering::Relaxed)
    }

    fn source(&self) -> i32 {
        SOURCE
    }
}

/// Which events were handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Up,
    Down,
}

/// The reader of a stream in memory.
pub struct MemorySubscription {
    stream: Arc<Stream>,
    head: usize,
    /// The writer's index when it was last looked at: behind the true one, never ahead.
    tail_seen: usize,
    told: Told,
}

impl fmt::Debug for MemorySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySubscription").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.stream.reader_gone.store(true, Ordering::Relaxed);
    }
}

impl Inbound for MemorySubscription {
    #[inline]
    fn poll(
        &mut self,
        limit: usize,
        handler: &mut impl FnMut(Fragment<'_>),
    ) -> Result<usize, TransportDown> {
        let mut count = 0;
        while count < limit {
            if self.head == self.tail_seen {
                // Acquire: what was written is there.
                self.tail_seen = self.stream.tail.load(Ordering::Acquire);
                if self.head == self.tail_seen {
                    break;
                }
            }
            let slot = self.stream.slot(self.head);
            // SAFETY: the slot is below the published `tail` and not given back, so the writer leaves it alone.
            let memory = unsafe { &*slot.bytes.get() };
            // SAFETY: as above.
            let length = unsafe { *slot.length.get() };
            handler(Fragment { source: SOURCE, bytes: &memory[..length] });
            self.head = self.head.wrapping_add(1);
            // Release: gives the slot back once it was read.
            self.stream.head.store(self.head, Ordering::Release);
            count += 1;
        }
        Ok(count)
    }

    #[inline]
    fn next_event(&mut self) -> Option<StreamEvent> {
        match self.told {
            Told::Nothing => {
                self.told = Told::Up;
                Some(StreamEvent::SourceUp(SOURCE))
            }
            Told::Up => {
                // Acquire: with the end comes the last message, and that is read first.
                let gone = self.stream.writer_gone.load(Ordering::Acquire);
                let drained = self.head == self.stream.tail.load(Ordering::Acquire);
                (gone && drained).then(|| {
                    self.told = Told::Down;
                    StreamEvent::SourceDown(SOURCE)
                })
            }
            Told::Down => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(subscription: &mut MemorySubscription) -> Vec<Vec<u8>> {
        let mut read = Vec::new();
        subscription
            .poll(usize::MAX, &mut |fragment| read.push(fragment.bytes.to_vec()))
            .expect("a memory stream does not go down");
        read
    }

    #[test]
    fn messages_arrive_in_order_and_with_their_length() {
        let (mut publication, mut subscription) = stream(4, 8);
        for round in 0u8..20 {
            publication.offer(3, |bytes| bytes.fill(round)).expect("there is room");
            publication.offer(0, |bytes| assert!(bytes.is_empty())).expect("there is room");
            assert_eq!(read_all(&mut subscription), [vec![round; 3], vec![]]);
        }
    }

    #[test]
    fn a_full_stream_is_back_pressured_until_one_is_read() {
        let (mut publication, mut subscription) = stream(2, 8);
        publication.offer(1, |bytes| bytes[0] = 1).expect("there is room");
        publication.offer(1, |bytes| bytes[0] = 2).expect("there is room");
        let refused = publication.offer(1, |_| panic!("must not be asked to write"));
        assert_eq!(refused, Err(OfferError::BackPressured));
        assert_eq!(subscription.poll(1, &mut |fragment| assert_eq!(fragment.bytes, [1])), Ok(1));
        publication.offer(1, |bytes| bytes[0] = 3).expect("one was read");
        assert_eq!(read_all(&mut subscription), [[2], [3]]);
    }

    #[test]
    fn too_long_and_not_connected_are_told_apart() {
        let (mut publication, subscription) = stream(2, 8);
        assert!(publication.is_connected());
        assert_eq!(publication.offer(9, |_| {}), Err(OfferError::TooLong));
        drop(subscription);
        assert!(!publication.is_connected());
        assert_eq!(publication.offer(8, |_| {}), Err(OfferError::NotConnected));
    }

    #[test]
    fn the_end_of_the_writer_comes_after_its_last_message() {
        let (mut publication, mut subscription) = stream(2, 8);
        assert_eq!(subscription.next_event(), Some(StreamEvent::SourceUp(SOURCE)));
        publication.offer(1, |bytes| bytes[0] = 1).expect("there is room");
        drop(publication);
        assert_eq!(subscription.next_event(), None);
        assert_eq!(read_all(&mut subscription), [[1]]);
        assert_eq!(subscription.next_event(), Some(StreamEvent::SourceDown(SOURCE)));
        assert_eq!(subscription.next_event(), None);
    }

    #[test]
    fn a_writer_that_panics_publishes_nothing() {
        let (mut publication, mut subscription) = stream(2, 8);
        let offer = std::panic::AssertUnwindSafe(|| publication.offer(1, |_| panic!("no message")));
        assert!(std::panic::catch_unwind(offer).is_err());
        assert!(read_all(&mut subscription).is_empty());
        publication.offer(1, |bytes| bytes[0] = 7).expect("there is room");
        assert_eq!(read_all(&mut subscription), [[7]]);
    }

    #[test]
    fn two_threads_lose_and_change_nothing() {
        const MESSAGES: u64 = if cfg!(miri) { 200 } else { 200_000 };
        let (mut publication, mut subscription) = stream(8, 24);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let fill = |bytes: &mut [u8]| {
                        for word in bytes.chunks_exact_mut(8) {
                            word.copy_from_slice(&number.to_le_bytes());
                        }
                    };
                    while publication.offer(24, fill) == Err(OfferError::BackPressured) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut expected = 0u64;
            while expected < MESSAGES {
                let read = subscription.poll(16, &mut |fragment| {
                    for word in fragment.bytes.chunks_exact(8) {
                        assert_eq!(word, expected.to_le_bytes());
                    }
                    expected += 1;
                });
                if read == Ok(0) {
                    std::thread::yield_now();
                }
            }
        });
        assert!(matches!(subscription.next_event(), Some(StreamEvent::SourceUp(SOURCE))));
        assert!(matches!(subscription.next_event(), Some(StreamEvent::SourceDown(SOURCE))));
    }
}
