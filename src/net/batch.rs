//! Many datagrams with one system call: `recvmmsg` and `sendmmsg`, and the socket options the standard library has not.
//!
//! Through `libc`, so that a library that replaces these calls (Onload) replaces them here too.

#![allow(unsafe_code, reason = "system calls that take arrays of pointers to buffers")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::net::source::{RxClock, RxStamp};

/// Bytes of a receive or send buffer: an Ethernet frame's payload and more.
pub(super) const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Datagrams of one system call.
pub(super) const BATCH: usize = 32;

/// Bytes for what the kernel tells about a datagram: three time stamps (64 bytes) and a count of drops (24).
const CONTROL_BYTES: usize = 128;

/// Buffers, and the arrays that describe them to the kernel.
///
/// The arrays hold pointers into `bytes` and `controls` and into each other. They are vectors, whose memory stays where it
/// is when the struct moves, and none of them is resized or reached but through those pointers after `new`.
struct Buffers {
    bytes: Vec<u8>,
    controls: Vec<u64>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers lead only into memory this struct owns, so it may go where that memory goes.
unsafe impl Send for Buffers {}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffers")
            .field("bytes", &self.bytes.len())
            .field("control_words", &self.controls.len())
            .field("vectors", &self.vectors.len())
            .finish_non_exhaustive()
    }
}

impl Buffers {
    fn new(with_control: bool) -> Buffers {
        let words = CONTROL_BYTES / size_of::<u64>();
        let mut bytes = vec![0_u8; BATCH * DATAGRAM_BYTES_MAX];
        let mut controls = vec![0_u64; if with_control { BATCH * words } else { 0 }];
        let mut vectors: Vec<libc::iovec> = bytes
            .chunks_exact_mut(DATAGRAM_BYTES_MAX)
            .map(|chunk| libc::iovec {
                iov_base: chunk.as_mut_ptr().cast(),
                iov_len: DATAGRAM_BYTES_MAX,
            })
            .collect();
        let mut controls_of = controls.chunks_exact_mut(words);
        let headers = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: all zeros is a header without name, buffers, control or flags.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                if let Some(control) = controls_of.next() {
                    header.msg_hdr.msg_control = control.as_mut_ptr().cast();
                    header.msg_hdr.msg_controllen = CONTROL_BYTES;
                }
                header
            })
            .collect();
        Buffers { bytes, controls, vectors, headers }
    }
}

/// What was received with one call, to be read before the next.
#[derive(Debug)]
pub(super) struct ReceiveBatch {
    buffers: Buffers,
    with_control: bool,
}

/// One received datagram.
pub(super) struct Received<'a> {
    pub(super) payload: &'a [u8],
    pub(super) stamp: RxStamp,
    /// Datagrams this socket has dropped so far, where the kernel said so.
    pub(super) drops: Option<u32>,
    /// Longer than the buffer: the payload is its beginning.
    pub(super) is_cut: bool,
}

impl ReceiveBatch {
    pub(super) fn new() -> ReceiveBatch {
        ReceiveBatch { buffers: Buffers::new(true), with_control: true }
    }

    /// Receives at most `limit` datagrams, without waiting; 0 if there is none.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>, limit: u32) -> io::Result<usize> {
        let limit = limit.min(u32::try_from(BATCH).unwrap_or(u32::MAX));
        let headers = self.buffers.headers.as_mut_ptr();
        let fd = socket.as_raw_fd();
        // SAFETY: `headers` are `BATCH` headers whose pointers lead to buffers of the lengths they state, all owned by
        // `self.buffers` and borrowed mutably here; the kernel keeps none of them beyond the call.
        let count =
            unsafe { libc::recvmmsg(fd, headers, limit, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => nothing_now(io::Error::last_os_error()),
        }
    }

    /// The datagram at `place` of those the last call received.
    #[inline]
    pub(super) fn get(&mut self, place: usize) -> Received<'_> {
        let header = &mut self.buffers.headers[place];
        let length = usize::try_from(header.msg_len).unwrap_or(usize::MAX).min(DATAGRAM_BYTES_MAX);
        let (stamp, drops) = if self.with_control { control(&header.msg_hdr) } else { UNKNOWN };
        let is_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        // The kernel has written the control's length here; the next call needs the room there is.
        header.msg_hdr.msg_controllen = CONTROL_BYTES;
        let vector = header.msg_hdr.msg_iov;
        // SAFETY: `vector` was made in `Buffers::new` and points to this header's entry of `vectors`.
        let start = unsafe { (*vector).iov_base.cast::<u8>().cast_const() };
        // SAFETY: `start` is the beginning of this header's buffer, of which `length` is within bounds; the kernel writes
        // there only during `receive`, which the borrow of `self` rules out for as long as the slice lives.
        let payload = unsafe { std::slice::from_raw_parts(start, length) };
        Received { payload, stamp, drops, is_cut }
    }
}

const UNKNOWN: (RxStamp, Option<u32>) = (RxStamp { ns: 0, clock: RxClock::None }, None);

/// Time stamp and drop count in what the kernel told about a datagram.
fn control(header: &libc::msghdr) -> (RxStamp, Option<u32>) {
    let (mut stamp, mut drops) = UNKNOWN;
    // SAFETY: `header` was filled by the kernel, so its control pointer and length describe memory of ours.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: a control message that `CMSG_FIRSTHDR` or `CMSG_NXTHDR` returned lies within that memory, aligned.
    while let Some(head) = unsafe { message.as_ref() } {
        // SAFETY: as above: the data follows the head.
        let data = unsafe { libc::CMSG_DATA(head) };
        match (head.cmsg_level, head.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => {
                // SAFETY: the kernel puts three `timespec` behind a head of this type (Linux,
                // Documentation/networking/timestamping.rst, 2.1).
                let times = unsafe { data.cast::<[libc::timespec; 3]>().read_unaligned() };
                stamp = stamp_of(&times);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                // SAFETY: the kernel puts a 32-bit count behind a head of this type (socket(7), SO_RXQ_OVFL).
                drops = Some(unsafe { data.cast::<u32>().read_unaligned() });
            }
            _ => {}
        }
        // SAFETY: `message` is a head within the control memory of `header`.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    (stamp, drops)
}

/// The best of what the kernel knows of a datagram's arrival: the first time is its own, the third the network
/// interface's, and one that is not known is zero.
fn stamp_of(times: &[libc::timespec; 3]) -> RxStamp {
    let ns = |time: &libc::timespec| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let part = u64::try_from(time.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(part)
    };
    let [software, _, hardware] = times;
    match (ns(hardware), ns(software)) {
        (0, 0) => UNKNOWN.0,
        (0, ns) => RxStamp { ns, clock: RxClock::SoftRealtime },
        (ns, _) => RxStamp { ns, clock: RxClock::Nic },
    }
}

/// Datagrams to be sent with one call.
#[derive(Debug)]
pub(super) struct SendBatch {
    buffers: Buffers,
    /// Of the datagrams built, so many were sent.
    sent: usize,
    built: usize,
}

impl SendBatch {
    pub(super) fn new() -> SendBatch {
        SendBatch { buffers: Buffers::new(false), sent: 0, built: 0 }
    }

    /// Lets `write` build a datagram; `false` if there is no room for another.
    #[inline]
    pub(super) fn build(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        if self.built == BATCH {
            return false;
        }
        let vector = self.buffers.headers[self.built].msg_hdr.msg_iov;
        // SAFETY: `vector` was made in `Buffers::new` and points to this header's entry of `vectors`.
        let start = unsafe { (*vector).iov_base.cast::<u8>() };
        // SAFETY: `start` is the beginning of this header's buffer of that many bytes; the kernel reads it only during
        // `send`, which the borrow of `self` rules out for as long as the slice lives.
        let buffer = unsafe { std::slice::from_raw_parts_mut(start, DATAGRAM_BYTES_MAX) };
        let length = write(buffer);
        assert!(length <= DATAGRAM_BYTES_MAX, "a datagram of {length} bytes was not written here");
        // SAFETY: as above.
        unsafe { (*vector).iov_len = length };
        self.built += 1;
        true
    }

    /// Datagrams built and not yet sent.
    pub(super) fn waiting(&self) -> usize {
        self.built - self.sent
    }

    /// Sends what was built, without waiting; what the kernel does not take now stays.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while self.waiting() > 0 {
            let count = u32::try_from(self.waiting()).unwrap_or(0);
            let headers = self.buffers.headers[self.sent..].as_mut_ptr();
            let fd = socket.as_raw_fd();
            // SAFETY: `headers` are at least `count` headers whose pointers lead to buffers of the lengths they state, all
            // owned by `self.buffers` and borrowed mutably here; the kernel keeps none of them beyond the call.
            let sent = unsafe { libc::sendmmsg(fd, headers, count, libc::MSG_DONTWAIT) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => self.sent += sent,
                Ok(_) => break,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if nothing_now(error)? == 0 {
                        break;
                    }
                }
            }
        }
        if self.waiting() == 0 {
            (self.sent, self.built) = (0, 0);
        }
        Ok(())
    }

    /// Forgets what was not sent, and says how many that were.
    pub(super) fn discard(&mut self) -> usize {
        let waiting = self.waiting();
        (self.sent, self.built) = (0, 0);
        waiting
    }
}

/// 0 for an error that means "nothing now".
#[cold]
fn nothing_now(error: io::Error) -> io::Result<usize> {
    let passes = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    if passes { Ok(0) } else { Err(error) }
}

/// Sets an integer option of the socket level.
pub(super) fn set_socket_option(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    let value: *const libc::c_int = &value;
    let fd = socket.as_raw_fd();
    // SAFETY: `value` points to an integer that lives until the call returns, and `length` is its size.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, value.cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn time(tv_sec: i64, tv_nsec: i64) -> libc::timespec {
        libc::timespec { tv_sec, tv_nsec }
    }

    #[test]
    fn the_interfaces_stamp_is_taken_before_the_kernels() {
        let none = time(0, 0);
        let stamp = |ns, clock| RxStamp { ns, clock };
        let both = [time(5, 1), none, time(3, 999_999_999)];
        assert_eq!(stamp_of(&both), stamp(3_999_999_999, RxClock::Nic));
        assert_eq!(
            stamp_of(&[time(5, 1), none, none]),
            stamp(5_000_000_001, RxClock::SoftRealtime)
        );
        assert_eq!(stamp_of(&[none, none, time(0, 7)]), stamp(7, RxClock::Nic));
        assert_eq!(stamp_of(&[none; 3]), stamp(0, RxClock::None));
        // The second has had no meaning since long ago.
        assert_eq!(stamp_of(&[none, time(9, 9), none]), stamp(0, RxClock::None));
        assert_eq!(stamp_of(&[time(-1, -1), none, none]), stamp(0, RxClock::None));
    }

    /// What the kernel would have written for those messages: level, type and data each.
    fn told(messages: &[(libc::c_int, libc::c_int, Vec<u8>)]) -> Vec<u64> {
        let head_bytes = size_of::<libc::cmsghdr>();
        let mut bytes = Vec::new();
        for (level, kind, data) in messages {
            bytes.extend_from_slice(&(head_bytes + data.len()).to_ne_bytes());
            bytes.extend_from_slice(&level.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let (words, _) = bytes.as_chunks::<8>();
        words.iter().map(|word| u64::from_ne_bytes(*word)).collect()
    }

    #[test]
    fn what_the_kernel_tells_is_found_among_other_things() {
        let times = [5_i64, 1, 0, 0, 3, 2].map(i64::to_ne_bytes).concat();
        let other = (libc::IPPROTO_IP, libc::SCM_TIMESTAMPING, vec![1; 48]);
        let stamps = (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, times);
        let drops = (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 9_u32.to_ne_bytes().to_vec());
        let hardware = RxStamp { ns: 3_000_000_002, clock: RxClock::Nic };
        for (messages, expected) in [
            (vec![], UNKNOWN),
            (vec![drops.clone()], (UNKNOWN.0, Some(9))),
            (vec![stamps.clone()], (hardware, None)),
            (vec![other, drops, stamps], (hardware, Some(9))),
        ] {
            let mut words = told(&messages);
            // SAFETY: all zeros is a header without name, buffers, control or flags.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_control = words.as_mut_ptr().cast();
            header.msg_controllen = words.len() * 8;
            assert_eq!(control(&header), expected);
        }
    }
}
