//! The single-producer single-consumer ring that joins agents.
//!
//! A message is written where it will be read: the producer claims a slot, encodes into it and commits; the consumer
//! looks at it there and releases it. Nothing is copied, allocated or locked, and neither side ever waits for the other: a full ring
//! says so ([`Producer::claim`], counted by [`Producer::full_count`]) and the owner of the producer follows its stated
//! policy. A slot is two cache lines; a message of up to 56 bytes costs the transfer of one.
//!
//! ```
//! use postern::ring::{Backing, RingConfig, ring};
//!
//! let config = RingConfig { name: "entry_risk", slots: 128, backing: Backing::Heap };
//! let (mut producer, mut consumer) = ring(&config)?;
//! let mut claim = producer.claim(5).expect("the ring is empty");
//! claim.copy_from_slice(b"order");
//! claim.commit();
//! assert_eq!(consumer.peek(), Some(&b"order"[..]));
//! consumer.release();
//! # Ok::<(), postern::ring::RingError>(())
//! ```
//!
//! `protocol.rs` is the algorithm with its memory orderings and imports nothing but atomics; the rest is memory and names.
//! `tests/loom` is a crate of its own that model-checks that very file:
//! `cargo test --release --manifest-path tests/loom/Cargo.toml --target-dir target/loom`.
//!
//! This module must not know what the messages are for.

#![allow(unsafe_code, reason = "slots are handed between threads and processes by their words")]

mod file;
mod memory;
mod primitive;
mod protocol;

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use crate::codec::Message;
use protocol::{Grant, Reader, Sound, Writer};

pub use file::Role;
pub use protocol::SLOT_PAYLOAD_BYTES;

/// Fewest slots of a ring.
pub const SLOTS_MIN: usize = 2;
/// Most slots of a ring: 8 MiB.
pub const SLOTS_MAX: usize = 65_536;

/// The memory a ring is asked to be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Plain memory of this process.
    Heap,
    /// Huge pages, or the best there is instead, which [`Producer::backing`] tells. Takes at least one, 2 MiB.
    HugePages,
    /// A file mapped by one or two processes, which outlives both. Best on a memory file system: elsewhere the kernel
    /// writes pages back and the next store to one waits for a fault.
    File(PathBuf),
}

/// The memory a ring is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backed {
    /// Plain memory of this process.
    Heap,
    /// Huge pages reserved by the administrator.
    HugePages,
    /// Huge pages the kernel made on request, because none were reserved.
    TransparentHugePages,
    /// Ordinary pages, because the kernel would not make huge ones.
    Pages,
    /// A mapped file.
    File,
}

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// `producer_consumer`, at most 32 bytes.
    pub name: &'static str,
    /// Slots, a power of two from [`SLOTS_MIN`] to [`SLOTS_MAX`]; at most 128 where latency counts, so that the slots stay
    /// in the caches of both cores.
    pub slots: usize,
    /// Where.
    pub backing: Backing,
}

/// Why there is no ring. All happen at start.
#[derive(Debug)]
pub enum RingError {
    /// Not a power of two from [`SLOTS_MIN`] to [`SLOTS_MAX`].
    Slots(usize),
    /// A name of 0 or more than 32 bytes.
    Name(&'static str),
    /// No memory.
    Memory(io::Error),
    /// The file could not be opened, given its blocks, locked or mapped.
    File {
        /// The file.
        path: PathBuf,
        /// What was refused.
        source: io::Error,
    },
    /// The file is not such a ring. It was not touched.
    Layout {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// Another process, or another handle of this one, has that side of the ring.
    InUse {
        /// The file.
        path: PathBuf,
        /// The side.
        role: Role,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingError::Slots(slots) => {
                write!(f, "{slots} slots: must be a power of two from {SLOTS_MIN} to {SLOTS_MAX}")
            }
            RingError::Name(name) => write!(f, "ring name {name:?}: must have 1 to 32 bytes"),
            RingError::Memory(source) => write!(f, "no memory for a ring: {source}"),
            RingError::File { path, source } => write!(f, "ring file {}: {source}", path.display()),
            RingError::Layout { path, what } => {
                write!(f, "ring file {}: not this ring: {what}", path.display())
            }
            RingError::InUse { path, role } => {
                write!(f, "ring file {}: already has a {role}", path.display())
            }
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RingError::Memory(source) | RingError::File { source, .. } => Some(source),
            RingError::Slots(_)
            | RingError::Name(_)
            | RingError::Layout { .. }
            | RingError::InUse { .. } => None,
        }
    }
}

/// The ring has no free slot; the message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is full")
    }
}

impl std::error::Error for Full {}

/// Builds a ring. Every page is there and touched afterwards, so nothing faults later.
///
/// With [`Backing::File`], a file that exists is attached to, with the messages that were committed and not released.
///
/// # Errors
/// A [`RingError`]; a file that is not a ring of this name and size is left as it was.
pub fn ring(config: &RingConfig) -> Result<(Producer, Consumer), RingError> {
    check(config)?;
    let (parts, backed) = match &config.backing {
        Backing::Heap => (memory::heap(config.slots), Backed::Heap),
        Backing::HugePages => memory::huge(config.slots)?,
        Backing::File(_) => return Ok((attach_producer(config)?, attach_consumer(config)?)),
    };
    let consumer = Consumer { reader: Reader::attach(parts.clone()), name: config.name, backed };
    let producer = Producer { writer: Writer::attach(parts), name: config.name, backed };
    Ok((producer, consumer))
}

/// Takes the producer's side of a ring in a file, after the last message that was committed; the file is made if it does
/// not exist.
///
/// # Errors
/// As [`ring`]; [`RingError::InUse`] while there is another producer, which a killed process is not.
///
/// # Panics
/// If the backing is not a file.
pub fn attach_producer(config: &RingConfig) -> Result<Producer, RingError> {
    check(config)?;
    let parts = file::attach(config, Role::Producer)?;
    Ok(Producer { writer: Writer::attach(parts), name: config.name, backed: Backed::File })
}

/// Takes the consumer's side of a ring in a file, before the first message that was not released; the file is made if it
/// does not exist.
///
/// # Errors
/// As [`attach_producer`].
///
/// # Panics
/// If the backing is not a file.
pub fn attach_consumer(config: &RingConfig) -> Result<Consumer, RingError> {
    check(config)?;
    let parts = file::attach(config, Role::Consumer)?;
    Ok(Consumer { reader: Reader::attach(parts), name: config.name, backed: Backed::File })
}

fn check(config: &RingConfig) -> Result<(), RingError> {
    if !config.slots.is_power_of_two() || !(SLOTS_MIN..=SLOTS_MAX).contains(&config.slots) {
        return Err(RingError::Slots(config.slots));
    }
    if config.name.is_empty() || config.name.len() > file::NAME_BYTES {
        return Err(RingError::Name(config.name));
    }
    Ok(())
}

/// The side that puts messages in.
#[derive(Debug)]
pub struct Producer {
    writer: Writer<Sound>,
    name: &'static str,
    backed: Backed,
}

impl Producer {
    /// Claims a slot for a message of `bytes` (0 to [`SLOT_PAYLOAD_BYTES`]); `None` where the ring is full, which is
    /// counted. The claimed bytes hold what an earlier message left. Costs a few instructions; the consumer's line is looked at only
    /// where the slots known to be free run out.
    ///
    /// # Panics
    /// If `bytes` is more than a slot holds.
    #[inline(always)]
    pub fn claim(&mut self, bytes: usize) -> Option<Claim<'_>> {
        self.writer.claim(bytes).map(Claim)
    }

    /// Encodes `message` into the ring. Too large a message does not compile.
    ///
    /// # Errors
    /// [`Full`] where the ring is full, which is counted.
    #[inline(always)]
    pub fn send<M: Message>(&mut self, message: &M) -> Result<(), Full> {
        const { assert!(M::BYTES <= SLOT_PAYLOAD_BYTES, "the message is larger than a slot") }
        let mut claim = self.claim(M::BYTES).ok_or(Full)?;
        message.encode(&mut claim);
        claim.commit();
        Ok(())
    }

    /// Slots free at this moment, by a fresh look at the consumer's line. For a condition on the hot path
    /// [`has_room`](Producer::has_room) is cheaper.
    #[inline]
    pub fn free_slots(&mut self) -> usize {
        self.writer.free()
    }

    /// Whether `messages` can be claimed now: asked before a burst is begun that must not stop half way. Looks at the
    /// consumer's line only where the slots known to be free are too few.
    #[inline(always)]
    pub fn has_room(&mut self, messages: usize) -> bool {
        self.writer.known_free() >= messages || self.writer.free() >= messages
    }

    /// How often a claim found the ring full.
    #[inline]
    pub fn full_count(&self) -> u64 {
        self.writer.full_count()
    }

    /// Messages committed since the ring was made; wraps at 2^64.
    #[inline]
    pub fn position(&self) -> u64 {
        self.writer.position()
    }

    /// Slots of the ring.
    #[inline]
    pub fn slots(&self) -> usize {
        self.writer.slots()
    }

    /// The memory the ring is in.
    #[inline]
    pub fn backing(&self) -> Backed {
        self.backed
    }

    /// `producer_consumer`.
    #[inline]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// A claimed slot: the bytes of the message to be. Dropped without [`commit`](Claim::commit), nothing is published and the
/// next claim gives the same slot.
#[must_use = "a claim that is dropped publishes nothing"]
#[derive(Debug)]
pub struct Claim<'a>(Grant<'a, Sound>);

impl Claim<'_> {
    /// Publishes the message.
    #[inline(always)]
    pub fn commit(self) {
        self.0.commit();
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Claim<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The side that takes messages out.
#[derive(Debug)]
pub struct Consumer {
    reader: Reader<Sound>,
    name: &'static str,
    backed: Backed,
}

impl Consumer {
    /// The next message, in its slot, if there is one; the same until it is released.
    ///
    /// Costs one load from the first-level cache where there is none. An agent's duty cycle lies between two looks, which
    /// is as it should be: a loop of nothing but `peek` without [`spin_loop`](std::hint::spin_loop) takes the line back while
    /// the producer wants it, and a message then takes half as long again.
    #[inline(always)]
    pub fn peek(&mut self) -> Option<&[u8]> {
        self.reader.peek()
    }

    /// Gives back the slot of the message that [`peek`](Consumer::peek) showed.
    ///
    /// # Panics
    /// If there was none: a message would be lost unread.
    #[inline(always)]
    pub fn release(&mut self) {
        self.reader.release();
    }

    /// Hands up to `limit` messages to `take`, releasing each after it; returns how many. Where `take` panics, its message
    /// stays in the ring.
    #[inline(always)]
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit {
            let Some(message) = self.reader.peek() else { break };
            take(message);
            self.reader.release();
            count = count.wrapping_add(1);
        }
        count
    }

    /// Messages released since the ring was made; wraps at 2^64.
    #[inline]
    pub fn position(&self) -> u64 {
        self.reader.position()
    }

    /// The memory the ring is in.
    #[inline]
    pub fn backing(&self) -> Backed {
        self.backed
    }

    /// `producer_consumer`.
    #[inline]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

#[cfg(test)]
mod tests;
