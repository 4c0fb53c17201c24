//! Whether a kernel socket has something to read, told by a thread of its own: whoever polls asks no kernel while it has nothing.
//!
//! The thread does nothing else. Questions to the kernel about routes and neighbours wait for its network configuration lock, which
//! others may hold for seconds; a datagram must not.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;

use crate::net::xdp::kernel::watch::Shared;

/// Events of epoll taken at once.
const EVENT_COUNT_MAX: usize = 64;

/// Whether a socket has something to read. The socket is watched for as long as this is held.
///
/// It holds a duplicate of the socket's descriptor: closing the socket's own first is safe, and the socket then lives until this is
/// dropped as well.
pub struct SocketFlag {
    /// The watching thread has it too, and nothing else of this: whoever drops the flag has closed its descriptor then.
    is_ready: Arc<AtomicBool>,
    id: u64,
    fd: OwnedFd,
    shared: Arc<Shared>,
}

impl SocketFlag {
    pub(super) fn new(id: u64, fd: OwnedFd, shared: Arc<Shared>) -> SocketFlag {
        SocketFlag { is_ready: Arc::default(), id, fd, shared }
    }

    /// What the watching thread sets.
    pub(super) fn signal(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_ready)
    }

    /// Whether the socket has something to read, or an error to tell. One load. Stays true once nobody watches any more, so that
    /// the socket is then polled as any other.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Asks to be told of the next datagram, once the socket was read until it had nothing more (`WouldBlock`). What arrived
    /// since is told as well. One system call.
    pub fn rearm(&self) {
        // Lowered first: what makes it true again is an event of the arming below, and that looks at what is there already.
        self.is_ready.store(false, Ordering::SeqCst);
        let armed = epoll::modify(&self.shared.sockets, &self.fd, self.event(), interest());
        // The thread's end sets the one and then the other: either it is seen here, or it comes after what was lowered above.
        if armed.is_err() || self.shared.sockets_ended.load(Ordering::SeqCst) {
            self.is_ready.store(true, Ordering::SeqCst);
        }
    }

    /// Has it watched from now on.
    pub(super) fn arm(&self) -> std::io::Result<()> {
        Ok(epoll::add(&self.shared.sockets, &self.fd, self.event(), interest())?)
    }

    pub(super) fn raise(&self) {
        self.is_ready.store(true, Ordering::SeqCst);
    }

    fn event(&self) -> epoll::EventData {
        epoll::EventData::new_u64(self.id)
    }
}

/// The thread's end, whatever it is: from then on every socket is to be polled.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let tables = self.0.tables();
        self.0.sockets_ended.store(true, Ordering::SeqCst);
        for socket in tables.sockets.values() {
            socket.store(true, Ordering::SeqCst);
        }
    }
}

/// The body of the thread: tells flags until it is asked to end, or epoll fails, which it does for faults of ours only.
pub(super) fn run(shared: &Shared) {
    let _end = End(shared);
    let mut ready: Vec<epoll::Event> = Vec::with_capacity(EVENT_COUNT_MAX);
    while !shared.should_end.load(Ordering::SeqCst) {
        ready.clear();
        match epoll::wait(&shared.sockets, spare_capacity(&mut ready), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let tables = shared.tables();
        for event in &ready {
            if let Some(is_ready) = tables.sockets.get(&event.data.u64()) {
                is_ready.store(true, Ordering::SeqCst);
            }
        }
    }
}

/// Readable, once: errors are told as well, unasked (epoll_ctl(2)).
fn interest() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::ONESHOT
}

impl Drop for SocketFlag {
    fn drop(&mut self) {
        // It is not there if it could not be added.
        let _ = epoll::delete(&self.shared.sockets, self.fd.as_fd());
        self.shared.forget_socket(self.id);
    }
}

impl fmt::Debug for SocketFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketFlag")
            .field("is_ready", &self.is_ready())
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}
