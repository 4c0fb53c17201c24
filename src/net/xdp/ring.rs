//! The four rings of an AF_XDP socket, from our side (Documentation/networking/af_xdp.rst). Indices run on and wrap at 2^32.

#![allow(unsafe_code, reason = "slots of mapped memory, ours by the rings' indices")]

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use crate::net::xdp::memory::{Mapping, Plain, SharedArray, SharedWord};

/// A descriptor of the receive and transmit rings (`struct xdp_desc`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Where in the umem the frame's first byte is.
    pub(super) address: u64,
    /// Bytes of the frame.
    pub(super) length: u32,
    pub(super) options: u32,
}

impl Plain for Descriptor {}

/// Where the parts of a ring are in its mapping (`struct xdp_ring_offset`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offsets {
    producer: u64,
    consumer: u64,
    descriptors: u64,
    flags: u64,
}

/// Set in a ring's flags while the kernel waits to be called (`XDP_RING_NEED_WAKEUP`).
const NEED_WAKEUP: u32 = 1;

#[derive(Debug)]
struct Parts<T> {
    producer: SharedWord,
    consumer: SharedWord,
    flags: SharedWord,
    slots: SharedArray<T>,
    size: u32,
    // Keeps all of these valid.
    _mapping: Mapping,
}

impl<T: Plain> Parts<T> {
    fn map(socket: BorrowedFd<'_>, at: i64, offsets: Offsets, size: u32) -> io::Result<Parts<T>> {
        let place = |offset: u64| usize::try_from(offset).map_err(io::Error::other);
        let (slots_at, count) = (place(offsets.descriptors)?, place(u64::from(size))?);
        let mapping = Mapping::ring(socket, slots_at + count * size_of::<T>(), at)?;
        Ok(Parts {
            producer: mapping.word(place(offsets.producer)?),
            consumer: mapping.word(place(offsets.consumer)?),
            flags: mapping.word(place(offsets.flags)?),
            slots: mapping.array(slots_at, count),
            size,
            _mapping: mapping,
        })
    }
}

/// A ring into which we put: fill and transmit.
#[derive(Debug)]
pub(super) struct Producing<T> {
    parts: Parts<T>,
    /// What we have put in, whether it is published or not.
    head: u32,
    /// What the kernel had taken out when we last looked.
    taken: u32,
}

impl<T: Plain> Producing<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        at: i64,
        offsets: Offsets,
        size: u32,
    ) -> io::Result<Producing<T>> {
        let parts = Parts::map(socket, at, offsets, size)?;
        Ok(Producing { parts, head: 0, taken: 0 })
    }

    /// Puts `value` in, to be published; gives it back if the ring is full.
    #[inline]
    pub(super) fn put(&mut self, value: T) -> Result<(), T> {
        if self.head.wrapping_sub(self.taken) >= self.parts.size {
            self.taken = self.parts.consumer.load(Ordering::Acquire);
            if self.head.wrapping_sub(self.taken) >= self.parts.size {
                return Err(value);
            }
        }
        // SAFETY: at most `size` slots are between what the kernel has taken and `head`, so it is done with this one, and
        // it does not look at it before it is published.
        unsafe { self.parts.slots.write(self.head, value) };
        self.head = self.head.wrapping_add(1);
        Ok(())
    }

    /// Lets the kernel see all that was put in.
    #[inline]
    pub(super) fn publish(&self) {
        self.parts.producer.store(self.head, Ordering::Release);
    }

    /// What the kernel has not taken yet.
    #[inline]
    pub(super) fn waiting(&self) -> u32 {
        self.head.wrapping_sub(self.parts.consumer.load(Ordering::Acquire))
    }

    /// Whether the kernel wants to be called.
    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.parts.flags.load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }
}

/// A ring from which we take: receive and completion.
#[derive(Debug)]
pub(super) struct Consuming<T> {
    parts: Parts<T>,
    /// What we have taken out, whether the kernel knows or not.
    tail: u32,
    /// What the kernel had put in when we last looked.
    put: u32,
}

impl<T: Plain> Consuming<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        at: i64,
        offsets: Offsets,
        size: u32,
    ) -> io::Result<Consuming<T>> {
        let parts = Parts::map(socket, at, offsets, size)?;
        Ok(Consuming { parts, tail: 0, put: 0 })
    }

    /// How much can be taken now: what was seen last, or, once that is taken, what is there.
    #[inline]
    pub(super) fn available(&mut self) -> u32 {
        let left = self.put.wrapping_sub(self.tail);
        if left > 0 {
            return left;
        }
        let put = self.parts.producer.load(Ordering::Acquire);
        let more = put.wrapping_sub(self.tail);
        // More than there are slots cannot be.
        if more > self.parts.size {
            return 0;
        }
        self.put = put;
        more
    }

    /// Takes the next, if [`Consuming::available`] saw one.
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        if self.put == self.tail {
            return None;
        }
        // SAFETY: the kernel has put it in, as `available` saw with acquire, and does not reuse the slot before `release`.
        let value = unsafe { self.parts.slots.read(self.tail) };
        self.tail = self.tail.wrapping_add(1);
        Some(value)
    }

    /// The one that comes `ahead` places after the next, if it was seen already. Those as far again behind it are asked for.
    #[inline]
    pub(super) fn peek(&self, ahead: u32) -> Option<T> {
        self.parts.slots.ask_for(self.tail.wrapping_add(2 * ahead));
        if self.put.wrapping_sub(self.tail) <= ahead {
            return None;
        }
        // SAFETY: as in `take`.
        Some(unsafe { self.parts.slots.read(self.tail.wrapping_add(ahead)) })
    }

    /// Gives all slots that were taken from back to the kernel.
    #[inline]
    pub(super) fn release(&self) {
        self.parts.consumer.store(self.tail, Ordering::Release);
    }
}
