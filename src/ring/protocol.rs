//! The protocol of the ring: who owns a slot when, and the orderings that hand it over.
//!
//! ```text
//! slot (2 cache lines)   | word: u64 | payload: 120 bytes ......................... |
//! word                   | position + 1, modulo 2^48 | length: 16 bits |
//! control                | published | (its own line pair) | released | (its own)
//! ```
//!
//! A position counts messages from 0; position `p` lives in slot `p & mask`. The word of a slot carries the sequence
//! *and* the length, so that one store publishes both, and it lies on the line of the first 56 payload bytes, so that a
//! message of that size costs one line transfer: the consumer polls the very line that brings the message.
//!
//! Ownership. The producer owns slot `p & mask` for position `p` while `p < published + slots`; the consumer owns it from
//! the moment the word says `p + 1` until it publishes a position above `p`.
//!
//! Orderings. There are two hand-overs, each one `Release` and one `Acquire` ([`Orderings`]):
//!
//! * **commit → peek**: the producer's `COMMIT` store of the word is read by the consumer's `PEEK` load. The payload
//!   written before the one is seen after the other.
//! * **publish → refresh**: the consumer's `PUBLISH` store of `published` is read by the producer's `REFRESH` load. The
//!   consumer's reads of the payload come before the one, so before the producer writes there again, after the other.
//!
//! `released` is the consumer's own memory of how far it is, for one that attaches to the memory after it was killed. The
//! producer never looks at it, hence it can be stored for every message without a line going to and fro, and `published`
//! only every quarter of the ring. It needs no ordering: on the way to another consumer lies the end of a process, or the
//! lock that makes consumers exclusive.
//!
//! Wrap. Sequences are compared modulo 2^48, which takes nothing away: a slot holds either the sequence of this lap or
//! that of the lap before, and these differ by at most 65,536. Zeroed memory says sequence 0, which is that of position
//! 2^48 - 1; its slot has been written many times by then. Positions themselves wrap at 2^64.
//!
//! Compiled into a caller that knows the size of its message, claim is one comparison, an `and` and a shift; commit a store;
//! peek a load, an `xor` and a comparison that is both the check of the sequence and that of the length; release a store and
//! a comparison. No check of bounds and no panic is left. A copy of small messages by way of a buffer, in fewer and wider
//! stores, was measured: better on far cores under load (15 ns a message in place of 25), worse on near ones (5.0 in place
//! of 3.7), the same round trip; so the bytes are written in place.
//!
//! A crash of either side at any instruction leaves a good ring: an uncommitted payload has no word, and the producer's
//! position is not stored but found again from the words ([`Writer::attach`]), so it cannot disagree with them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use super::primitive::{AtomicU64, Ordering, Payload};

/// Most bytes a message may have.
pub const SLOT_PAYLOAD_BYTES: usize = 120;
/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = 128;
/// Bits of the word that hold the length.
const LENGTH_BITS: u32 = 16;

const _: () = assert!(usize::BITS == 64, "lengths and indices convert without loss");
const _: () = assert!(SLOT_PAYLOAD_BYTES < 1 << LENGTH_BITS);

/// The orderings of the four accesses that hand slots over. Only the model checker has others than [`Sound`].
pub(super) trait Orderings {
    /// Producer's store of a word.
    const COMMIT: Ordering;
    /// Consumer's load of a word.
    const PEEK: Ordering;
    /// Consumer's store of its position.
    const PUBLISH: Ordering;
    /// Producer's load of the consumer's position.
    const REFRESH: Ordering;
}

/// The orderings that are right.
pub(super) struct Sound;

impl Orderings for Sound {
    const COMMIT: Ordering = Ordering::Release; // read by PEEK
    const PEEK: Ordering = Ordering::Acquire; // reads COMMIT
    const PUBLISH: Ordering = Ordering::Release; // read by REFRESH
    const REFRESH: Ordering = Ordering::Acquire; // reads PUBLISH
}

/// A slot: two cache lines, so that neighbours share none, nor the pair that the machine fetches together.
#[repr(C, align(128))]
pub(super) struct Slot {
    /// Sequence and length.
    pub(super) word: AtomicU64,
    /// The message.
    pub(super) payload: Payload<SLOT_PAYLOAD_BYTES>,
}

/// A position alone on its pair of lines.
#[repr(C, align(128))]
pub(super) struct Position(pub(super) AtomicU64);

/// What the two sides share beside the slots. Zeroed memory is the control of an empty ring.
#[repr(C)]
pub(super) struct Control {
    /// Up to where the producer may take the consumer to be done. Written by the consumer.
    pub(super) published: Position,
    /// Up to where the consumer is done. Written and read by consumers only.
    pub(super) released: Position,
}

/// The memory of a ring.
#[derive(Clone)]
pub(super) struct Parts {
    control: NonNull<Control>,
    slots: NonNull<Slot>,
    mask: u64,
    _keep: Arc<dyn Send + Sync>,
}

impl Parts {
    /// `count` slots at `slots`, a power of two from 2, with their `control`; `keep` is what keeps them alive.
    ///
    /// # Safety
    /// Both pointers are valid, aligned and initialised, and stay so while `keep` lives; all access is by a [`Writer`] and
    /// a [`Reader`] of this protocol, at most one of each at a time in all processes.
    pub(super) unsafe fn new(
        control: NonNull<Control>,
        slots: NonNull<Slot>,
        count: usize,
        keep: Arc<dyn Send + Sync>,
    ) -> Parts {
        assert!(count.is_power_of_two(), "slots must be a power of two: {count}");
        assert!(count >= 2, "slots must be at least two: {count}");
        Parts { control, slots, mask: widen(count) - 1, _keep: keep }
    }

    #[inline(always)]
    fn control(&self) -> &Control {
        // SAFETY: valid while `_keep` lives, by the contract of `new`; only atomics are reached through it.
        unsafe { self.control.as_ref() }
    }

    /// The slot of `position`.
    #[inline(always)]
    fn slot(&self, position: u64) -> &Slot {
        let index = narrow(position & self.mask);
        // SAFETY: `index <= mask`, hence inside the slots of `new`.
        let slot = unsafe { self.slots.add(index) };
        // SAFETY: valid while `_keep` lives; the word is atomic and the payload a cell, so this claims no bytes.
        unsafe { slot.as_ref() }
    }

    #[inline(always)]
    fn count(&self) -> u64 {
        self.mask.wrapping_add(1)
    }
}

/// The producer's side.
pub(super) struct Writer<O> {
    parts: Parts,
    /// Position of the next message.
    position: u64,
    /// Positions below this are known to be free: a `published` once read, plus the slots.
    limit: u64,
    full_count: u64,
    orderings: PhantomData<O>,
}

// SAFETY: the pointers are to memory that any thread may reach; that there is one writer is the contract of `Parts::new`.
unsafe impl<O> Send for Writer<O> {}

impl<O: Orderings> Writer<O> {
    /// Takes the producer's side where it was left: after the last committed message.
    ///
    /// Committed messages lie without a hole from `published` on, and the consumer never changes a word, so counting the
    /// words that are right finds the end also while the consumer runs.
    pub(super) fn attach(parts: Parts) -> Writer<O> {
        let published = parts.control().published.0.load(O::REFRESH);
        let limit = published.wrapping_add(parts.count());
        let mut position = published;
        // The word is all that is looked at here, so this load of it hands nothing over.
        while position != limit
            && length(parts.slot(position).word.load(Ordering::Relaxed), position).is_some()
        {
            position = position.wrapping_add(1);
        }
        Writer { parts, position, limit, full_count: 0, orderings: PhantomData }
    }

    /// Claims the next slot for a message of `bytes`; `None` where the ring is full, which is counted.
    #[inline(always)]
    pub(super) fn claim(&mut self, bytes: usize) -> Option<Grant<'_, O>> {
        assert!(bytes <= SLOT_PAYLOAD_BYTES, "a message larger than a slot");
        if self.position == self.limit && !self.refresh() {
            self.full_count = self.full_count.wrapping_add(1);
            return None;
        }
        let payload = self.parts.slot(self.position).payload.write_ptr();
        Some(Grant { writer: self, payload, bytes })
    }

    /// Looks how far the consumer is; whether a slot is free.
    #[inline(never)]
    fn refresh(&mut self) -> bool {
        // Reads PUBLISH: what the consumer read from the slots below comes before what is written there from now on.
        let published = self.parts.control().published.0.load(O::REFRESH);
        self.limit = published.wrapping_add(self.parts.count());
        self.position != self.limit
    }

    /// Free slots by what is known, without a look at the consumer's line.
    #[inline(always)]
    pub(super) fn known_free(&self) -> usize {
        narrow(self.limit.wrapping_sub(self.position))
    }

    /// Free slots by a fresh look.
    #[inline]
    pub(super) fn free(&mut self) -> usize {
        self.refresh();
        self.known_free()
    }

    #[inline]
    pub(super) fn slots(&self) -> usize {
        narrow(self.parts.count())
    }

    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    pub(super) fn full_count(&self) -> u64 {
        self.full_count
    }
}

/// A claimed slot. Dropped, it leaves the ring as it was.
pub(super) struct Grant<'a, O: Orderings> {
    writer: &'a mut Writer<O>,
    payload: *mut u8,
    bytes: usize,
}

impl<O: Orderings> Grant<'_, O> {
    /// Publishes the message.
    #[inline(always)]
    pub(super) fn commit(self) {
        let position = self.writer.position;
        let word = base(position) | widen(self.bytes);
        // Read by PEEK: the payload is written before.
        self.writer.parts.slot(position).word.store(word, O::COMMIT);
        self.writer.position = position.wrapping_add(1);
    }
}

impl<O: Orderings> Deref for Grant<'_, O> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: `bytes` is at most the payload's size; the position is below `limit`, so the producer owns the slot,
        // and the grant holds the only writer.
        unsafe { std::slice::from_raw_parts(self.payload, self.bytes) }
    }
}

impl<O: Orderings> DerefMut for Grant<'_, O> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the grant is borrowed for as long as the bytes.
        unsafe { std::slice::from_raw_parts_mut(self.payload, self.bytes) }
    }
}

/// The consumer's side.
pub(super) struct Reader<O> {
    parts: Parts,
    /// Position of the next message.
    position: u64,
    /// What the producer was last told.
    published: u64,
    /// After how many messages the producer is told.
    quarter: u64,
    /// Whether the message at `position` was seen and not yet released.
    peeked: bool,
    orderings: PhantomData<O>,
}

// SAFETY: as for `Writer`.
unsafe impl<O> Send for Reader<O> {}

impl<O: Orderings> Reader<O> {
    /// Takes the consumer's side where it was left: before the first message that was not released.
    pub(super) fn attach(parts: Parts) -> Reader<O> {
        let position = parts.control().released.0.load(Ordering::Relaxed);
        let quarter = (parts.count() / 4).max(1);
        let mut reader = Reader {
            published: position,
            parts,
            position,
            quarter,
            peeked: false,
            orderings: PhantomData,
        };
        reader.publish();
        reader
    }

    /// The next message, if there is one.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Option<&[u8]> {
        let position = self.position;
        // Reads COMMIT: the payload was written before.
        let Some(bytes) = length(self.parts.slot(position).word.load(O::PEEK), position) else {
            // Nothing to do, so the time to tell all: a producer that waits for the whole ring gets it.
            if self.published != position {
                self.publish();
            }
            return None;
        };
        self.peeked = true;
        let payload = self.parts.slot(position).payload.read_ptr();
        // SAFETY: `length` gives no more than the payload's size; the word said this position is committed, so the consumer
        // owns the slot until it publishes a higher one, for which it needs `&mut self` again.
        Some(unsafe { std::slice::from_raw_parts(payload, bytes) })
    }

    /// Done with the message that `peek` gave.
    #[inline(always)]
    pub(super) fn release(&mut self) {
        assert!(self.peeked, "released a message that was not looked at");
        self.peeked = false;
        self.position = self.position.wrapping_add(1);
        self.parts.control().released.0.store(self.position, Ordering::Relaxed);
        if self.position.wrapping_sub(self.published) >= self.quarter {
            self.publish();
        }
    }

    #[inline(always)]
    fn publish(&mut self) {
        self.published = self.position;
        // Read by REFRESH: what was read from the slots below was read before.
        self.parts.control().published.0.store(self.position, O::PUBLISH);
    }

    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.position
    }
}

impl<O> fmt::Debug for Writer<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut form = f.debug_struct("Writer");
        form.field("position", &self.position).field("limit", &self.limit);
        form.field("full_count", &self.full_count).finish_non_exhaustive()
    }
}

impl<O: Orderings> fmt::Debug for Grant<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<O> fmt::Debug for Reader<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut form = f.debug_struct("Reader");
        form.field("position", &self.position).field("published", &self.published);
        form.finish_non_exhaustive()
    }
}

/// The word of a committed message of no bytes at `position`.
#[inline(always)]
fn base(position: u64) -> u64 {
    position.wrapping_add(1) << LENGTH_BITS
}

/// The length a word gives, if it is that of a message at `position`. One comparison tells that the sequence is the right
/// one and that the length is one a slot can hold, whatever a file may contain.
#[inline(always)]
fn length(word: u64, position: u64) -> Option<usize> {
    let bytes = narrow(word ^ base(position));
    (bytes <= SLOT_PAYLOAD_BYTES).then_some(bytes)
}

#[inline(always)]
#[allow(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
const fn widen(count: usize) -> u64 {
    count as u64
}

#[inline(always)]
#[allow(clippy::as_conversions, reason = "usize has 64 bits, asserted above")]
const fn narrow(count: u64) -> usize {
    count as usize
}
