//! An AF_XDP socket on one queue of an interface: frames in and out of memory that the kernel shares with us
//! (Documentation/networking/af_xdp.rst). All memory is made when it is bound; receiving makes no system call except where a
//! driver asks to be woken, sending one a flush.

#![allow(unsafe_code, reason = "system calls of the family, and frames in shared memory")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::time::Duration;

use crate::net::source::{RxClock, RxStamp};
use crate::net::xdp::error::{Step, XdpError};
use crate::net::xdp::frames::{FrameCount, Frames, Place};
use crate::net::xdp::memory::Mapping;
use crate::net::xdp::program::{STAMP_BYTES, STAMP_MONOTONIC, STAMP_NIC};
use crate::net::xdp::ring::{Consuming, Descriptor, Offsets, Producing};
use crate::runtime::prefetch;

/// What is asked of a socket of the family (include/uapi/linux/if_xdp.h).
const XDP_MMAP_OFFSETS: libc::c_int = 1;
const XDP_RX_RING: libc::c_int = 2;
const XDP_TX_RING: libc::c_int = 3;
const XDP_UMEM_REG: libc::c_int = 4;
const XDP_UMEM_FILL_RING: libc::c_int = 5;
const XDP_UMEM_COMPLETION_RING: libc::c_int = 6;
const XDP_STATISTICS: libc::c_int = 7;
const XDP_OPTIONS: libc::c_int = 8;
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
const XDP_COPY: u16 = 1 << 1;
const XDP_ZEROCOPY: u16 = 1 << 2;
const XDP_USE_NEED_WAKEUP: u16 = 1 << 3;
const XDP_OPTIONS_ZEROCOPY: u32 = 1;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;
const SO_PREFER_BUSY_POLL: libc::c_int = 69;

/// Offsets of the rings in the socket's pages.
const RECEIVE_AT: i64 = 0;
const TRANSMIT_AT: i64 = 0x8000_0000;
const FILL_AT: i64 = 0x1_0000_0000;
const COMPLETION_AT: i64 = 0x1_8000_0000;

/// A queue is free only a moment after the socket that had it was closed: 16 to 33 ms were seen, and some seconds where network
/// namespaces come and go, with which it shares a lock of the kernel's. So long it is tried again.
const BIND_PATIENCE: Duration = Duration::from_secs(5);
const BIND_PAUSE: Duration = Duration::from_millis(1);

/// Frames the kernel is asked to send with one call at most, in copy mode. Its own default is 32.
const SEND_BUDGET: u32 = 256;

/// How far ahead a frame is asked for, and how many of its cache lines: headers and a short message.
const AHEAD: u32 = 16;
const LINES: usize = 2;
const LINE_BYTES: usize = 64;

/// Calls of a flush for one that the kernel has more to do than it does in one.
const FLUSH_CALLS_MAX: u32 = 16;

/// How a driver is polled by whoever receives, rather than by interrupts (Documentation/networking/napi.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// `SO_BUSY_POLL`, in microseconds.
    pub microseconds: u32,
    /// `SO_BUSY_POLL_BUDGET`: packets at a time.
    pub budget: u32,
}

/// How an [`XdpSocket`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// The interface, by its number.
    pub interface: u32,
    /// Which of its queues.
    pub queue: u32,
    /// Frames to receive into: a power of two, 64 to 65536.
    pub receive_frames: u32,
    /// Frames to send from: a power of two, 64 to 65536.
    pub send_frames: u32,
    /// Bytes of a frame, 2048 or 4096. The kernel keeps the first 256 of what is received for itself.
    pub frame_bytes: u32,
    /// Whether the program stamps frames, or has the interface do it.
    pub stamps: bool,
    /// Whether the interface must (`Some(true)`) or must not write to our memory itself; `None` lets the kernel choose.
    pub zero_copy: Option<bool>,
    /// Who drives the driver.
    pub busy_poll: Option<BusyPoll>,
}

impl SocketConfig {
    /// 4096 frames to receive into and 1024 to send from, of 2048 bytes: 10 MiB.
    pub const fn new(interface: u32, queue: u32) -> SocketConfig {
        SocketConfig {
            interface,
            queue,
            receive_frames: 4_096,
            send_frames: 1_024,
            frame_bytes: 2_048,
            stamps: false,
            zero_copy: None,
            busy_poll: None,
        }
    }

    /// Bytes of all frames.
    pub(super) fn umem_bytes(&self) -> u64 {
        u64::from(self.receive_frames + self.send_frames) * u64::from(self.frame_bytes)
    }
}

/// What the kernel counts of a socket (`struct xdp_statistics`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Dropped for other reasons than those below.
    pub receive_dropped: u64,
    /// Descriptors in the fill ring that it did not understand.
    pub receive_invalid: u64,
    /// Descriptors in the transmit ring that it did not understand.
    pub transmit_invalid: u64,
    /// Dropped because the receive ring was full.
    pub receive_ring_full: u64,
    /// Times the fill ring had no frame for what came in: the umem was exhausted.
    pub fill_ring_empty: u64,
    /// Times the transmit ring had nothing to send.
    pub transmit_ring_empty: u64,
}

/// `struct xdp_mmap_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct MapOffsets {
    receive: Offsets,
    transmit: Offsets,
    fill: Offsets,
    completion: Offsets,
}

/// `struct xdp_umem_reg`.
#[repr(C)]
struct UmemRegistration {
    address: u64,
    length: u64,
    chunk_size: u32,
    headroom: u32,
    flags: u32,
    metadata: u32,
}

/// A frame that was received and is ours until it is handed to [`XdpSocket::release`]. It can neither be copied nor released
/// twice.
#[derive(Debug)]
#[must_use = "a frame that is not released is lost to the socket"]
pub struct ReceivedFrame(Descriptor);

/// A part of a received frame, by its address. It stays there, and is its holder's alone to read and write, until the frame
/// is released.
#[derive(Clone, Copy, Debug)]
pub struct FramePart {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address. Whoever uses it has to have the frame, which one thread has at a time.
unsafe impl Send for FramePart {}

impl FramePart {
    /// Its first byte.
    #[inline]
    pub const fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// How many there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A socket of the family without a queue yet. To make one needs `CAP_NET_RAW`, to bind it nothing.
#[derive(Debug)]
pub struct UnboundSocket(OwnedFd);

impl UnboundSocket {
    /// Makes one.
    ///
    /// # Errors
    /// That `CAP_NET_RAW` is missing, or that the kernel does not know the family.
    pub fn new() -> Result<UnboundSocket, XdpError> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_XDP, kind, 0) };
        if fd < 0 {
            return Err(XdpError::new(Step::Socket, io::Error::last_os_error()));
        }
        // SAFETY: a new descriptor that nobody else has.
        Ok(UnboundSocket(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

/// An AF_XDP socket bound to a queue.
#[derive(Debug)]
pub struct XdpSocket {
    fill: Producing<u64>,
    completion: Consuming<u64>,
    receive: Consuming<Descriptor>,
    transmit: Producing<Descriptor>,
    frames: Frames,
    umem: Mapping,
    /// Whether it is the driver's own polling that is driven by ours.
    is_busy_polling: bool,
    is_zero_copy: bool,
    has_stamps: bool,
    wakeups: u64,
    is_unpublished: bool,
    // Last: the umem must outlive it, which the kernel sees to, as it holds the pages while the socket is open.
    fd: OwnedFd,
}

impl XdpSocket {
    /// Binds `socket` to a queue, with memory of its own. Waits for a queue that was given up a moment ago.
    ///
    /// # Errors
    /// What cannot be had, and what to do about it.
    ///
    /// # Panics
    /// If the numbers of frames are not powers of two, or a frame has neither 2048 nor 4096 bytes.
    pub fn bind(socket: UnboundSocket, config: &SocketConfig) -> Result<XdpSocket, XdpError> {
        let (receive, send) = (config.receive_frames, config.send_frames);
        assert!(receive.is_power_of_two() && send.is_power_of_two(), "rings are powers of two");
        assert!(matches!(config.frame_bytes, 2_048 | 4_096), "a frame is half a page or a page");
        let UnboundSocket(fd) = socket;
        let frames = Frames::new(receive, send, config.frame_bytes.trailing_zeros());
        let bytes = config.umem_bytes();
        let umem = Mapping::anonymous(usize::try_from(bytes).unwrap_or(usize::MAX))
            .map_err(|error| XdpError::new(Step::Memory, error))?;
        register(fd.as_fd(), &umem, bytes, config.frame_bytes)
            .map_err(|error| XdpError::new(Step::Umem, error))?;
        let rings = map_rings(fd.as_fd(), receive, send);
        let (mut fill, completion, receive_ring, transmit) =
            rings.map_err(|error| XdpError::new(Step::RingMemory, error))?;
        for frame in 0..receive {
            let put = fill.put(u64::from(frame) * u64::from(config.frame_bytes));
            assert!(put.is_ok(), "the fill ring has room for every frame");
        }
        fill.publish();
        if let Some(busy_poll) = config.busy_poll {
            set_busy_poll(fd.as_fd(), busy_poll)
                .map_err(|error| XdpError::new(Step::Socket, error))?;
        }
        // Kernels before 6.18 do not know it, and keep their 32: then a flush takes more calls.
        let _ = set_option(fd.as_fd(), libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &SEND_BUDGET);
        bind_patiently(fd.as_fd(), config)
            .map_err(|error| XdpError::new(Step::Bind(config.queue), error))?;
        let options: u32 = get_option(fd.as_fd(), libc::SOL_XDP, XDP_OPTIONS).unwrap_or(0);
        Ok(XdpSocket {
            fill,
            completion,
            receive: receive_ring,
            transmit,
            frames,
            umem,
            is_busy_polling: config.busy_poll.is_some(),
            is_zero_copy: options & XDP_OPTIONS_ZEROCOPY != 0,
            has_stamps: config.stamps,
            wakeups: 0,
            is_unpublished: false,
            fd,
        })
    }

    /// Whether the interface itself reads and writes our memory.
    pub const fn is_zero_copy(&self) -> bool {
        self.is_zero_copy
    }

    /// Whether that memory is in the machine's huge pages.
    pub const fn is_in_huge_pages(&self) -> bool {
        self.umem.is_huge()
    }

    /// Calls made to wake the driver's receiving side; 0 with a driver that needs none.
    pub const fn wakeups(&self) -> u64 {
        self.wakeups
    }

    /// Bytes that a frame to be sent can have.
    pub fn send_bytes_max(&self) -> usize {
        self.frames.frame_bytes()
    }

    /// Hands at most `budget` received frames to `handle`, with their stamps, in place, and gives them back to the kernel.
    /// About 5 ns a frame and 1 ns if there is none; no system call unless the driver asks for one or is busy-polled.
    #[inline]
    pub fn receive<F: FnMut(&[u8], RxStamp)>(&mut self, budget: u32, mut handle: F) -> u32 {
        let count = self.arrived().min(budget);
        for _ in 0..count {
            let Some(descriptor) = self.next_descriptor() else { continue };
            // It goes back at once, so who has it need not be noted in between.
            if !self.frames.is_at(descriptor.address, Place::Receiving) {
                continue;
            }
            let frame = ReceivedFrame(descriptor);
            handle(self.bytes(&frame), self.stamp(&frame));
            self.recycle(descriptor.address);
        }
        if count > 0 {
            self.receive.release();
            self.fill.publish();
        }
        count
    }

    /// Received frames that are waiting. Where there are none and the driver asks for it, wakes the driver.
    #[inline]
    pub fn arrived(&mut self) -> u32 {
        let waiting = self.receive.available();
        if waiting > 0 || !(self.is_busy_polling || self.fill.needs_wakeup()) {
            return waiting;
        }
        self.wake_receiver();
        self.receive.available()
    }

    /// The next received frame, to be kept for a while: of those that [`XdpSocket::arrived`] counted.
    #[inline]
    pub fn take(&mut self) -> Option<ReceivedFrame> {
        let descriptor = self.next_descriptor()?;
        let is_ours = self.frames.step(descriptor.address, Place::Receiving, Place::Received);
        is_ours.then_some(ReceivedFrame(descriptor))
    }

    #[inline]
    fn next_descriptor(&mut self) -> Option<Descriptor> {
        if let Some(later) = self.receive.peek(AHEAD) {
            self.ask_for(later.address);
        }
        self.receive.take()
    }

    /// Has a frame come into the cache that will be looked at soon: another core has just written it.
    #[inline]
    fn ask_for(&self, address: u64) {
        let at = usize::try_from(address).unwrap_or(usize::MAX);
        // SAFETY: nothing is looked at here; the frame is ours, as `peek` saw it in the ring.
        let bytes = unsafe { self.umem.bytes(at, LINES * LINE_BYTES) }.unwrap_or_default();
        for line in 0..LINES {
            prefetch(bytes, line * LINE_BYTES);
        }
    }

    /// Tells the kernel which frames were taken, and gives it those that were released.
    #[inline]
    pub fn publish(&mut self) {
        self.receive.release();
        self.fill.publish();
    }

    /// The bytes of a received frame.
    #[inline]
    pub fn bytes(&self, frame: &ReceivedFrame) -> &[u8] {
        let ReceivedFrame(Descriptor { address, length, .. }) = frame;
        let at = usize::try_from(*address).unwrap_or(usize::MAX);
        let length = usize::try_from(*length).unwrap_or(usize::MAX);
        // SAFETY: the frame was taken from the kernel (`take` made sure that it had it) and goes back by `release`, which
        // takes `frame` by value and `self` mutably; frames to send from are others.
        unsafe { self.umem.bytes(at, length) }.unwrap_or_default()
    }

    /// Where `part` of a received frame is, for who hands it to code that takes addresses; `None` if it is no part of the frame.
    #[inline]
    pub fn place(&self, frame: &ReceivedFrame, part: &[u8]) -> Option<FramePart> {
        let bytes = self.bytes(frame);
        let at = part.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
        let is_within = at.checked_add(part.len())? <= bytes.len();
        let ReceivedFrame(Descriptor { address, .. }) = frame;
        let start = self.umem.place(usize::try_from(*address).ok()?.checked_add(at)?)?;
        is_within.then_some(FramePart { start, len: part.len() })
    }

    /// When it was received, as the program stamped it.
    #[inline]
    pub fn stamp(&self, frame: &ReceivedFrame) -> RxStamp {
        const NONE: RxStamp = RxStamp { ns: 0, clock: RxClock::None };
        let ReceivedFrame(Descriptor { address, .. }) = frame;
        let start = usize::try_from(*address).unwrap_or(usize::MAX);
        let at = start.checked_sub(STAMP_BYTES).filter(|_| self.has_stamps);
        let Some(at) = at else { return NONE };
        // SAFETY: as in `bytes`; what lies before the frame's first byte belongs to it as well.
        let before = unsafe { self.umem.bytes(at, STAMP_BYTES) }.unwrap_or_default();
        let (words, _) = before.as_chunks::<8>();
        let &[ns, kind] = words else { return NONE };
        let ns = u64::from_ne_bytes(ns);
        match u64::from_ne_bytes(kind) {
            STAMP_MONOTONIC => RxStamp { ns, clock: RxClock::SoftMonotonic },
            STAMP_NIC => RxStamp { ns, clock: RxClock::Nic },
            _ => NONE,
        }
    }

    /// Gives a frame back. The kernel hears of it with [`XdpSocket::publish`].
    #[inline]
    pub fn release(&mut self, frame: ReceivedFrame) {
        let ReceivedFrame(Descriptor { address, .. }) = frame;
        let is_ours = self.frames.step(address, Place::Received, Place::Receiving);
        debug_assert!(is_ours, "a received frame is with us until now");
        self.recycle(address);
    }

    /// Puts a frame to receive into where the kernel takes such from.
    #[inline]
    fn recycle(&mut self, address: u64) {
        if self.has_stamps {
            self.forget_stamp(address);
        }
        // The ring has a slot for every frame to receive into, and no more of them are there.
        let put = self.fill.put(self.frames.start(address));
        debug_assert!(put.is_ok(), "every received frame has its slot");
    }

    /// So that the next packet in this frame, should it come without a stamp, does not inherit this one's.
    #[inline]
    fn forget_stamp(&mut self, address: u64) {
        let start = usize::try_from(address).unwrap_or(usize::MAX);
        let Some(at) = start.checked_sub(8) else { return };
        // SAFETY: the frame is ours until it is put into the fill ring, and nothing borrows from it any more.
        if let Some(kind) = unsafe { self.umem.bytes_mut(at, 8) } {
            kind.fill(0);
        }
    }

    /// Lets `write` build a frame in place and queues it; `write` returns its size in bytes, 0 for "none after all".
    /// `false`: no frame is free or the ring is full, and nothing was written.
    #[inline]
    pub fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        let Some(address) = self.free_frame() else { return false };
        let bytes = self.frames.frame_bytes();
        let at = usize::try_from(address).unwrap_or(usize::MAX);
        // SAFETY: the frame is free, so it is neither with the kernel nor with anybody else, and `self` is borrowed.
        let room = unsafe { self.umem.bytes_mut(at, bytes) }.unwrap_or_default();
        let length = write(room).min(bytes);
        let length = u32::try_from(length).unwrap_or(0);
        let is_queued = length > 0
            && self.transmit.put(Descriptor { address, length, options: 0 }).is_ok()
            && self.frames.step(address, Place::Free, Place::Sending);
        if !is_queued {
            self.frames.give_back(address);
        }
        self.is_unpublished |= is_queued;
        is_queued || length == 0
    }

    #[inline]
    fn free_frame(&mut self) -> Option<u64> {
        match self.frames.take_free() {
            Some(address) => Some(address),
            None => {
                self.collect();
                self.frames.take_free()
            }
        }
    }

    /// Takes back what has been sent.
    #[inline]
    fn collect(&mut self) {
        if self.completion.available() == 0 {
            return;
        }
        while let Some(address) = self.completion.take() {
            self.frames.sent(address);
        }
        self.completion.release();
    }

    /// Shows the kernel what was queued. What it then has to be told is [`kick`]'s.
    #[inline]
    pub fn publish_sends(&mut self) -> bool {
        if std::mem::take(&mut self.is_unpublished) {
            self.transmit.publish();
        }
        self.transmit.needs_wakeup() && self.transmit.waiting() > 0
    }

    /// Sends what is queued: one system call where the driver needs it, more where it sends fewer at a time.
    ///
    /// # Errors
    /// What the kernel says, where it is not "later": that the interface is down or gone. What is queued stays queued.
    #[inline]
    pub fn flush(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for _ in 0..FLUSH_CALLS_MAX {
            if !self.publish_sends() {
                break;
            }
            result = kick(self.fd.as_fd());
            if result.is_err() {
                break;
            }
        }
        self.collect();
        result
    }

    /// What is queued and not yet taken by the kernel.
    pub fn unsent(&self) -> u32 {
        self.transmit.waiting()
    }

    #[cold]
    fn wake_receiver(&mut self) {
        self.wakeups += 1;
        let (fd, flags) = (self.fd.as_raw_fd(), libc::MSG_DONTWAIT);
        let none = std::ptr::null_mut();
        // SAFETY: no buffer is given, and no address asked for. What it returns is in the ring.
        unsafe { libc::recvfrom(fd, none, 0, flags, none.cast(), none.cast()) };
    }

    /// What the kernel counted. A system call.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn statistics(&self) -> io::Result<SocketStatistics> {
        get_option(self.fd.as_fd(), libc::SOL_XDP, XDP_STATISTICS)
    }

    /// What happened to the socket since this was last asked: `ENETDOWN` where its interface was removed, which it does not survive.
    /// A system call.
    pub fn take_error(&self) -> Option<io::Error> {
        let code: u32 = get_option(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR).ok()?;
        (code != 0).then(|| io::Error::from_raw_os_error(code.cast_signed()))
    }

    /// The number of the driver's polling context; 0 where busy polling would do nothing (`SO_INCOMING_NAPI_ID`).
    pub fn napi_id(&self) -> u32 {
        get_option(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID).unwrap_or(0)
    }

    /// Who has how many frames now. Goes through all of them.
    pub fn count_frames(&mut self) -> FrameCount {
        self.collect();
        self.frames.count()
    }

    /// Frames the kernel named that it did not have. 0, or the driver is at fault; they are not used.
    pub const fn refused_frames(&self) -> u64 {
        self.frames.refused()
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Tells the kernel that there is something to send.
///
/// # Errors
/// What it says, where it is not "later".
#[inline]
pub fn kick(socket: BorrowedFd<'_>) -> io::Result<()> {
    let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
    // SAFETY: neither a buffer nor an address is given.
    let sent = unsafe { libc::sendto(fd, std::ptr::null(), 0, flags, std::ptr::null(), 0) };
    if sent >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // There is more than it sends in one call, or the driver's own ring is full (Documentation/networking/af_xdp.rst).
        Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS) => Ok(()),
        _ => Err(error),
    }
}

/// Waits until every receive path that was running when this was called has ended: a grace period of the kernel's.
#[allow(
    clippy::disallowed_methods,
    reason = "set-up: where the kernel lends no grace period, one is waited for that is longer than any"
)]
pub(super) fn wait_for_receivers() {
    const GRACE: Duration = Duration::from_millis(50);
    // SAFETY: takes numbers only (membarrier(2)).
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    // A kernel with cores without a tick (`nohz_full`) refuses.
    if waited != 0 {
        std::thread::sleep(GRACE);
    }
}

fn set_option<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let value: *const T = value;
    // SAFETY: `value` is of the length given and is only read.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Values the kernel may write any bytes of.
trait Written: Copy + Default {}
impl Written for u32 {}
impl Written for SocketStatistics {}
impl Written for MapOffsets {}

fn get_option<T: Written>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    let mut value = T::default();
    let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let (into, fd): (*mut T, _) = (&mut value, socket.as_raw_fd());
    // SAFETY: the kernel writes at most `length` bytes, which `value` has, and any bytes are a value of its type.
    let result = unsafe { libc::getsockopt(fd, level, name, into.cast(), &raw mut length) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

fn register(socket: BorrowedFd<'_>, umem: &Mapping, bytes: u64, frame: u32) -> io::Result<()> {
    let (address, length) = (umem.address(), bytes);
    let registration =
        UmemRegistration { address, length, chunk_size: frame, headroom: 0, flags: 0, metadata: 0 };
    set_option(socket, libc::SOL_XDP, XDP_UMEM_REG, &registration)
}

type Rings = (Producing<u64>, Consuming<u64>, Consuming<Descriptor>, Producing<Descriptor>);

fn map_rings(socket: BorrowedFd<'_>, receive: u32, send: u32) -> io::Result<Rings> {
    // With twice the slots it need never be asked how many the kernel has taken, which another core writes with every packet.
    let fill = 2 * receive;
    for (name, size) in [
        (XDP_UMEM_FILL_RING, fill),
        (XDP_UMEM_COMPLETION_RING, send),
        (XDP_RX_RING, receive),
        (XDP_TX_RING, send),
    ] {
        set_option(socket, libc::SOL_XDP, name, &size)?;
    }
    let offsets: MapOffsets = get_option(socket, libc::SOL_XDP, XDP_MMAP_OFFSETS)?;
    Ok((
        Producing::map(socket, FILL_AT, offsets.fill, fill)?,
        Consuming::map(socket, COMPLETION_AT, offsets.completion, send)?,
        Consuming::map(socket, RECEIVE_AT, offsets.receive, receive)?,
        Producing::map(socket, TRANSMIT_AT, offsets.transmit, send)?,
    ))
}

fn set_busy_poll(socket: BorrowedFd<'_>, busy_poll: BusyPoll) -> io::Result<()> {
    let BusyPoll { microseconds, budget } = busy_poll;
    for (name, value) in [
        (SO_PREFER_BUSY_POLL, 1),
        (libc::SO_BUSY_POLL, microseconds),
        (SO_BUSY_POLL_BUDGET, budget),
    ] {
        set_option(socket, libc::SOL_SOCKET, name, &value)?;
    }
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "set-up: the kernel frees a queue of a closed socket later, and has no way to say when"
)]
fn bind_patiently(socket: BorrowedFd<'_>, config: &SocketConfig) -> io::Result<()> {
    let pauses = BIND_PATIENCE.as_millis() / BIND_PAUSE.as_millis();
    for _ in 0..pauses {
        match bind_once(socket, config) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(BIND_PAUSE);
            }
            result => return result,
        }
    }
    bind_once(socket, config)
}

fn bind_once(socket: BorrowedFd<'_>, config: &SocketConfig) -> io::Result<()> {
    let copying = match config.zero_copy {
        None => 0,
        Some(true) => XDP_ZEROCOPY,
        Some(false) => XDP_COPY,
    };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::sa_family_t::try_from(libc::AF_XDP).map_err(io::Error::other)?,
        sxdp_flags: XDP_USE_NEED_WAKEUP | copying,
        sxdp_ifindex: config.interface,
        sxdp_queue_id: config.queue,
        sxdp_shared_umem_fd: 0,
    };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    let address: *const libc::sockaddr_xdp = &raw const address;
    // SAFETY: `address` is a `sockaddr_xdp` of the length given, and is only read.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
