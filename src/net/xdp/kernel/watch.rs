//! The thread that listens to the kernel and tells what it hears, and the handle to it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[allow(
    clippy::disallowed_types,
    reason = "set-up and the watching thread meet; never the hot path"
)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::net::xdp::kernel::destination::{Asked, Destination, Unresolved};
use crate::net::xdp::kernel::links::LinkState;
use crate::net::xdp::kernel::listen::{EVENTS, Listener, TIMER, WAKE};
use crate::net::xdp::kernel::netlink::Netlink;
use crate::net::xdp::kernel::query::ask_links;
use crate::net::xdp::kernel::rtnetlink::{GROUPS, Link};
use crate::net::xdp::kernel::sockets::{self, SocketFlag};
use crate::runtime::{CoreSet, capabilities, start_on};

/// Destinations held at a time.
pub const DESTINATION_COUNT_MAX: usize = 1_024;
/// Interfaces whose state is held at a time.
pub const LINK_COUNT_MAX: usize = 1_024;
/// Sockets watched at a time.
pub const SOCKET_COUNT_MAX: usize = 1_024;

const THREAD_NAME: &str = "xdp-watch";
const SOCKETS_THREAD_NAME: &str = "xdp-sockets";

/// How the kernel is watched.
#[derive(Clone, Debug)]
pub struct WatcherConfig {
    /// The cores the thread runs on: housekeeping cores. None: those of the thread that starts it.
    pub cores: Option<CoreSet>,
    /// Room for events that the thread has not read yet, in bytes; the kernel cuts it to `net.core.rmem_max`. Where it does not
    /// suffice everything is asked for anew.
    pub event_buffer_bytes: usize,
    /// How often everything is looked up again although nothing was heard, and stale neighbours are looked for. Zero: never.
    pub belt: Duration,
}

impl Default for WatcherConfig {
    fn default() -> WatcherConfig {
        let belt = Duration::from_secs(2);
        WatcherConfig { cores: None, event_buffer_bytes: 1 << 20, belt }
    }
}

/// What the thread has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    /// Look-ups of a destination.
    pub look_up_count: u64,
    /// Times that events of the kernel were lost and everything was asked for anew.
    pub overrun_count: u64,
    /// Questions the kernel did not answer.
    pub unanswered_count: u64,
    /// Destinations refused because the table was full.
    pub table_full_count: u64,
    /// Times that a datagram to a stale neighbour was asked to go through the kernel.
    pub confirmation_count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub look_ups: AtomicU64,
    pub overruns: AtomicU64,
    pub unanswered: AtomicU64,
    pub table_full: AtomicU64,
    pub confirmations: AtomicU64,
}

/// What the handle, the thread and the sockets' flags share.
#[derive(Debug)]
pub(super) struct Shared {
    pub epoll: OwnedFd,
    /// Of the sockets that are watched, and what wakes that thread.
    pub sockets: OwnedFd,
    pub wake_sockets: OwnedFd,
    pub sockets_ended: AtomicBool,
    pub wake: OwnedFd,
    /// The thread is asked to end.
    pub should_end: AtomicBool,
    /// It has ended, for whatever reason.
    pub has_ended: AtomicBool,
    pub counts: Counts,
    #[allow(
        clippy::disallowed_types,
        reason = "held for table look-ups only, by set-up and the watching thread"
    )]
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    /// By what was asked. Room for all of them is there from the start, as in the two that follow: who asks does not allocate.
    pub destinations: Vec<Arc<Destination>>,
    /// Those of `destinations` that were not looked up yet.
    pub queued: Vec<Arc<Destination>>,
    /// Those that nobody has asked for.
    free: Vec<Arc<Destination>>,
    /// What the kernel has told of its interfaces.
    pub links: BTreeMap<u32, Link>,
    pub states: BTreeMap<u32, Arc<LinkState>>,
    pub sockets: BTreeMap<u64, Arc<AtomicBool>>,
    socket_id: u64,
    pub fault: Option<String>,
}

impl Shared {
    /// The tables. Nobody makes a system call while holding them.
    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget_socket(&self, id: u64) {
        self.tables().sockets.remove(&id);
    }

    fn wake(&self) {
        // It fails only if it was woken 2^64 times already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Tables {
    fn new(links: BTreeMap<u32, Link>) -> Tables {
        let unused = || Arc::new(Destination::new(Asked::NOTHING));
        Tables {
            destinations: Vec::with_capacity(DESTINATION_COUNT_MAX),
            queued: Vec::with_capacity(DESTINATION_COUNT_MAX),
            free: std::iter::repeat_with(unused).take(DESTINATION_COUNT_MAX).collect(),
            links,
            socket_id: TIMER,
            ..Tables::default()
        }
    }

    /// Lets go of what nobody but these tables holds.
    pub(super) fn purge(&mut self) {
        let free = &mut self.free;
        self.destinations.retain_mut(|destination| {
            let is_held = Arc::get_mut(destination).is_none();
            if !is_held {
                free.push(Arc::clone(destination));
            }
            is_held
        });
        self.states.retain(|_, state| Arc::strong_count(state) > 1);
    }

    /// A destination for a new question, at its place; `None` if all are held.
    fn insert(&mut self, asked: Asked, place: usize) -> Option<Arc<Destination>> {
        let mut destination = self.free.pop()?;
        let unused = Arc::get_mut(&mut destination)?; // nobody else holds what is free
        *unused = Destination::new(asked);
        self.destinations.insert(place, Arc::clone(&destination));
        self.queued.push(Arc::clone(&destination));
        Some(destination)
    }

    fn find(&self, asked: &Asked) -> Result<usize, usize> {
        self.destinations.binary_search_by(|destination| destination.asked().cmp(asked))
    }
}

/// The handle to the two threads that watch the kernel, in the network namespace they were started in. Dropping it ends them, and
/// what they told is then unresolved, down, or to be polled.
pub struct Watcher {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the threads. They block until the kernel has something to tell, and need no privilege.
    ///
    /// # Errors
    /// As the kernel says, where it gives no socket, no descriptor or no thread.
    pub fn start(config: &WatcherConfig) -> io::Result<Watcher> {
        // Listening begins before the first question, so that no change falls between.
        let events = Netlink::for_events(GROUPS, config.event_buffer_bytes)?;
        let mut requests = Netlink::for_requests()?;
        let links = ask_links(&mut requests)?.into_iter().map(|link| (link.index, link)).collect();
        let timer = interval(config.belt)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let shared = Arc::new(Shared {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sockets: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            wake_sockets: eventfd(0, flags)?,
            sockets_ended: AtomicBool::new(false),
            wake: eventfd(0, flags)?,
            should_end: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            counts: Counts::default(),
            #[allow(clippy::disallowed_types, reason = "as the field says")]
            tables: Mutex::new(Tables::new(links)),
        });
        for (fd, id) in
            [(events.as_fd(), EVENTS), (shared.wake.as_fd(), WAKE), (timer.as_fd(), TIMER)]
        {
            let data = epoll::EventData::new_u64(id);
            epoll::add(&shared.epoll, fd, data, epoll::EventFlags::IN)?;
        }
        // No socket has the number of what wakes it.
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&shared.sockets, &shared.wake_sockets, data, epoll::EventFlags::IN)?;
        let listener = Listener::new(Arc::clone(&shared), events, requests, timer);
        // From here on what fails ends the threads there are.
        let mut watcher = Watcher { shared: Arc::clone(&shared), threads: Vec::new() };
        let spawn = || {
            watcher.threads.push(start(THREAD_NAME, move || listener.run())?);
            watcher.threads.push(start(SOCKETS_THREAD_NAME, move || sockets::run(&shared))?);
            io::Result::Ok(())
        };
        match &config.cores {
            Some(cores) => start_on(cores, spawn)?,
            None => spawn()?,
        }
        Ok(watcher)
    }

    /// Where datagrams to `to` go, from the address `from` (unspecified: whichever the kernel takes) and by `out_interface` where
    /// one is given. Returns at once, with a destination that is looked up soon; the same one for the same question. `None`,
    /// counted, where [`DESTINATION_COUNT_MAX`] are held already.
    ///
    /// Takes a short lock, and a system call for a new one; allocates nothing: for set-up, and a new peer now and then.
    pub fn destination(
        &self,
        to: Ipv4Addr,
        from: Ipv4Addr,
        out_interface: Option<u32>,
    ) -> Option<Arc<Destination>> {
        let asked = Asked { to, from, out_interface };
        let mut tables = self.shared.tables();
        let mut place = tables.find(&asked);
        if place.is_err() && tables.free.is_empty() {
            tables.purge();
            place = tables.find(&asked);
        }
        let place = match place {
            Ok(known) => return tables.destinations.get(known).cloned(),
            Err(place) => place,
        };
        let Some(destination) = tables.insert(asked, place) else {
            self.shared.counts.table_full.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if self.shared.has_ended.load(Ordering::SeqCst) {
            destination.tell(Err(Unresolved::Unwatched), None);
        }
        drop(tables);
        self.shared.wake();
        Some(destination)
    }

    /// The state of an interface, as it is known now and kept up to date; the same one for the same interface. One that nobody has
    /// heard of is down. Where [`LINK_COUNT_MAX`] are held already it stays down.
    ///
    /// Takes a short lock.
    pub fn link(&self, interface: u32) -> Arc<LinkState> {
        let mut tables = self.shared.tables();
        if let Some(known) = tables.states.get(&interface) {
            return Arc::clone(known);
        }
        if tables.states.len() >= LINK_COUNT_MAX {
            tables.purge();
        }
        let is_known =
            !self.shared.has_ended.load(Ordering::SeqCst) && tables.states.len() < LINK_COUNT_MAX;
        if !is_known {
            return Arc::new(LinkState::new(interface, false));
        }
        let is_up = tables.links.get(&interface).is_some_and(|link| link.is_up);
        let state = Arc::new(LinkState::new(interface, is_up));
        tables.states.insert(interface, Arc::clone(&state));
        state
    }

    /// Has a socket watched for something to read, until the flag is dropped. Some system calls.
    ///
    /// # Errors
    /// As the kernel says, for want of descriptors for one; where [`SOCKET_COUNT_MAX`] are watched already.
    pub fn watch_socket(&self, fd: BorrowedFd<'_>) -> io::Result<Arc<SocketFlag>> {
        let fd = fd.try_clone_to_owned()?;
        let mut tables = self.shared.tables();
        if tables.sockets.len() >= SOCKET_COUNT_MAX {
            drop(tables);
            return Err(io::Error::other(format!(
                "{SOCKET_COUNT_MAX} sockets are watched already"
            )));
        }
        tables.socket_id = tables.socket_id.saturating_add(1);
        let id = tables.socket_id;
        let flag = Arc::new(SocketFlag::new(id, fd, Arc::clone(&self.shared)));
        let has_ended = self.shared.sockets_ended.load(Ordering::SeqCst);
        if !has_ended {
            tables.sockets.insert(id, flag.signal());
        }
        drop(tables);
        if has_ended {
            flag.raise();
        } else {
            flag.arm()?;
        }
        Ok(flag)
    }

    /// Whether both threads still watch: nothing but a fault ends one before this handle is dropped.
    pub fn is_watching(&self) -> bool {
        let Shared { has_ended, sockets_ended, .. } = &*self.shared;
        ![has_ended, sockets_ended].iter().any(|ended| ended.load(Ordering::SeqCst))
    }

    /// What ended the thread, in one line.
    pub fn fault(&self) -> Option<String> {
        self.shared.tables().fault.clone()
    }

    /// What was counted until now.
    pub fn counts(&self) -> WatchCounts {
        let counts = &self.shared.counts;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchCounts {
            look_up_count: count(&counts.look_ups),
            overrun_count: count(&counts.overruns),
            unanswered_count: count(&counts.unanswered),
            table_full_count: count(&counts.table_full),
            confirmation_count: count(&counts.confirmations),
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("is_watching", &self.is_watching())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.should_end.store(true, Ordering::SeqCst);
        self.shared.wake();
        // It fails only if it was woken 2^64 times already.
        let _ = rustix::io::write(&self.shared.wake_sockets, &1_u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // what it panicked with was printed
        }
    }
}

/// Starts a thread without the process's capabilities.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // What is refused here is told of all threads at the start.
        let _ = capabilities::give_up();
        work();
    })
}

/// A timer that expires every `period`.
fn interval(period: Duration) -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let seconds = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
    let every = Timespec { tv_sec: seconds, tv_nsec: i64::from(period.subsec_nanos()) };
    let times = Itimerspec { it_interval: every, it_value: every };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
    Ok(timer)
}
