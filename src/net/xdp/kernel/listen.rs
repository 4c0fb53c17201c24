//! What the watching thread does: waits for the kernel, and tells destinations, interfaces and sockets what it heard.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;

use crate::net::xdp::frame::multicast_mac;
use crate::net::xdp::kernel::destination::{Destination, Hop, Resolved, Unresolved};
use crate::net::xdp::kernel::groups;
use crate::net::xdp::kernel::netlink::Netlink;
use crate::net::xdp::kernel::query::{RouteKind, ask_links, ask_neighbour, ask_route};
use crate::net::xdp::kernel::rtnetlink::{Link, kind, read_link, read_neighbour};
use crate::net::xdp::kernel::watch::Shared;

/// What an event of epoll is about.
pub(super) const EVENTS: u64 = 0;
pub(super) const WAKE: u64 = 1;
pub(super) const TIMER: u64 = 2;

/// Events of epoll taken at once.
const EVENT_COUNT_MAX: usize = 64;
/// More changed neighbours than this at once, and everything is looked up.
const HOP_COUNT_MAX: usize = 1_024;

/// What has to be looked up again.
#[derive(Debug, Default)]
struct Due {
    /// Every destination.
    all: bool,
    /// Every interface.
    links: bool,
    /// The destinations behind these.
    hops: BTreeSet<Hop>,
    /// Stale neighbours are to be looked for.
    refresh: bool,
}

/// The thread's own state.
pub(super) struct Listener {
    shared: Arc<Shared>,
    events: Netlink,
    requests: Netlink,
    timer: OwnedFd,
}

/// Tells everybody that nobody watches any more, however the thread ends.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let mut tables = self.0.tables();
        self.0.has_ended.store(true, Ordering::SeqCst);
        for destination in &tables.destinations {
            destination.tell(Err(Unresolved::Unwatched), None);
        }
        for state in tables.states.values() {
            state.tell(false);
        }
        tables.queued.clear();
    }
}

impl Listener {
    pub(super) fn new(
        shared: Arc<Shared>,
        events: Netlink,
        requests: Netlink,
        timer: OwnedFd,
    ) -> Listener {
        Listener { shared, events, requests, timer }
    }

    /// The body of the thread.
    pub(super) fn run(mut self) {
        let _end = End(Arc::clone(&self.shared));
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.shared.tables().fault =
                        Some(format!("the kernel's tables cannot be watched: {error}"));
                    return;
                }
            }
        }
    }

    /// Waits for something and handles it; false if it is the end.
    fn turn(&mut self) -> io::Result<bool> {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(EVENT_COUNT_MAX);
        match epoll::wait(&self.shared.epoll, spare_capacity(&mut ready), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut due = Due::default();
        for event in ready {
            match event.data.u64() {
                EVENTS => self.listen(&mut due)?,
                WAKE => drain(&self.shared.wake),
                TIMER => {
                    drain(&self.timer);
                    (due.all, due.links, due.refresh) = (true, true, true);
                }
                _ => {}
            }
        }
        if self.shared.should_end.load(Ordering::SeqCst) {
            return Ok(false);
        }
        if due.links {
            self.look_at_links(&mut due);
        }
        self.look_up(&due);
        Ok(true)
    }

    /// Reads what the kernel tells.
    fn listen(&mut self, due: &mut Due) -> io::Result<()> {
        let shared = &self.shared;
        let drained = self.events.events(|message, body| match message {
            kind::NEW_LINK => {
                if let Some(link) = read_link(body) {
                    hear_link(shared, link, due);
                }
            }
            kind::DELETE_LINK => {
                if let Some(link) = read_link(body) {
                    forget_link(shared, link.index);
                    due.all = true;
                }
            }
            kind::NEW_NEIGHBOUR | kind::DELETE_NEIGHBOUR => {
                if let Some(neighbour) = read_neighbour(body) {
                    due.hops.insert((neighbour.interface, neighbour.address));
                    if due.hops.len() > HOP_COUNT_MAX {
                        due.hops.clear();
                        due.all = true;
                    }
                }
            }
            // Addresses, routes, rules, shared next hops.
            _ => due.all = true,
        })?;
        if drained.is_overrun {
            count(&shared.counts.overruns);
            (due.all, due.links) = (true, true);
        }
        Ok(())
    }

    /// Asks for all interfaces.
    fn look_at_links(&mut self, due: &mut Due) {
        let Ok(links) = ask_links(&mut self.requests) else {
            count(&self.shared.counts.unanswered);
            return;
        };
        let there: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
        let gone: Vec<u32> = {
            let tables = self.shared.tables();
            tables.links.keys().filter(|index| !there.contains(index)).copied().collect()
        };
        for index in gone {
            forget_link(&self.shared, index);
            due.all = true;
        }
        for link in links {
            hear_link(&self.shared, link, due);
        }
    }

    /// Looks up what is new and what is due.
    fn look_up(&mut self, due: &Due) {
        let destinations: Vec<Arc<Destination>> = {
            let mut tables = self.shared.tables();
            if due.refresh {
                tables.purge();
            }
            let mut destinations: Vec<_> = tables.queued.drain(..).collect();
            if due.all {
                destinations = tables.destinations.clone();
            } else if !due.hops.is_empty() {
                let is_due = |destination: &&Arc<Destination>| {
                    destination.hop().is_some_and(|hop| due.hops.contains(&hop))
                };
                destinations.extend(tables.destinations.iter().filter(is_due).cloned());
            }
            destinations
        };
        for destination in destinations {
            count(&self.shared.counts.look_ups);
            let found = self.find(&destination);
            destination.tell(found.state, found.hop);
            // What is sent past the kernel does not tell it that a neighbour is in use, and one that moved without a word would be
            // missed for ever.
            if found.is_stale && due.refresh {
                count(&self.shared.counts.confirmations);
                destination.ask_to_confirm();
            }
        }
    }

    /// The way to a destination: the kernel's route, then its neighbour.
    fn find(&mut self, destination: &Destination) -> Found {
        let asked = *destination.asked();
        let from = Some(asked.from).filter(|from| !from.is_unspecified());
        if let Some(interface) = asked.out_interface
            && self.link(interface).is_none_or(|link| !link.is_up)
        {
            return Found::none(Unresolved::InterfaceDown);
        }
        let Ok(route) = ask_route(&mut self.requests, asked.to, from, asked.out_interface) else {
            count(&self.shared.counts.unanswered);
            return Found::none(Unresolved::Unanswered);
        };
        match route.kind {
            RouteKind::Unicast | RouteKind::Multicast => {}
            RouteKind::Local => return Found::none(Unresolved::Local),
            RouteKind::Broadcast => return Found::none(Unresolved::Broadcast),
            RouteKind::Unreachable => return Found::none(Unresolved::Unreachable),
            RouteKind::Unsupported => return Found::none(Unresolved::Unsupported),
        }
        let Some(link) = self.link(route.interface).filter(|link| link.is_up) else {
            return Found::none(Unresolved::InterfaceDown);
        };
        if !link.is_ethernet {
            let why = if link.is_loopback { Unresolved::Local } else { Unresolved::Unsupported };
            return Found::none(why);
        }
        let resolved = |mac| Resolved {
            interface: route.interface,
            source: route.source,
            mac,
            mtu: route.mtu.unwrap_or(link.mtu).min(link.mtu),
        };
        if route.kind == RouteKind::Multicast {
            if groups::is_joined(asked.to, route.interface) {
                return Found::none(Unresolved::Joined);
            }
            let state = Ok(resolved(multicast_mac(asked.to)));
            return Found { state, hop: None, is_stale: false };
        }
        let hop = Some((route.interface, route.next_hop));
        let Ok(neighbour) = ask_neighbour(&mut self.requests, route.interface, route.next_hop)
        else {
            count(&self.shared.counts.unanswered);
            return Found { state: Err(Unresolved::Unanswered), hop, is_stale: false };
        };
        let is_stale = neighbour.is_some_and(|neighbour| neighbour.is_stale);
        match neighbour.and_then(|neighbour| neighbour.mac) {
            Some(mac) => Found { state: Ok(resolved(mac)), hop, is_stale },
            None => Found { state: Err(Unresolved::NoNeighbour), hop, is_stale: false },
        }
    }

    fn link(&self, interface: u32) -> Option<Link> {
        self.shared.tables().links.get(&interface).cloned()
    }
}

/// What a look-up found.
struct Found {
    state: Result<Resolved, Unresolved>,
    hop: Option<(u32, Ipv4Addr)>,
    is_stale: bool,
}

impl Found {
    fn none(why: Unresolved) -> Found {
        Found { state: Err(why), hop: None, is_stale: false }
    }
}

/// Keeps what is told of an interface, and tells its state.
fn hear_link(shared: &Shared, link: Link, due: &mut Due) {
    if link.mtu == 0 {
        due.links = true; // told in part, as of wireless events: asked for as a whole
        return;
    }
    let mut tables = shared.tables();
    if let Some(state) = tables.states.get(&link.index) {
        state.tell(link.is_up);
    }
    if tables.links.get(&link.index) != Some(&link) {
        tables.links.insert(link.index, link);
        due.all = true;
    }
}

fn forget_link(shared: &Shared, index: u32) {
    let mut tables = shared.tables();
    if tables.links.remove(&index).is_some()
        && let Some(state) = tables.states.get(&index)
    {
        state.tell_removed();
    }
}

/// Takes what an eventfd or a timer has counted: it then waits for the next.
fn drain(fd: &OwnedFd) {
    let _ = rustix::io::read(fd, &mut [0; 8]);
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
