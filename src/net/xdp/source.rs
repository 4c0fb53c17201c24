//! Datagrams of many groups and both lines from the rings of one interface, with the kernel's sockets behind them.
//!
//! In every gap the kernel has the traffic: before the program is there, while a queue is bound again, on other queues, in fragments.
//! Its sockets then have what is older than the ring's, or newer, and are read in that order: nothing is lost or comes twice.
//!
//! A queue whose socket died is bound again by a thread of its own ([`Mender`]), because that takes tens of milliseconds and
//! whoever polls here has other things to do: sources, and in some layouts orders. Meanwhile the kernel's sockets are read as if there
//! were no ring.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use crate::net::source::{BypassCounts, DatagramHandler, PacketSource, Polled};
use crate::net::udp::UdpSourceConfig;
use crate::net::xdp::cover::Cover;
use crate::net::xdp::error::XdpError;
use crate::net::xdp::flows::{FrameCounts, Sorter};
use crate::net::xdp::kernel::{LinkState, Watcher};
use crate::net::xdp::mender::{Done, Mender, Task};
use crate::net::xdp::mode::Mode;
use crate::net::xdp::port::Port;
use crate::net::xdp::socket::SocketStatistics;
use crate::types::{ChannelId, Nanos};

/// Datagrams that the kernel's sockets bring after the interface was down, with none from the rings between them, until the driver
/// is taken to have lost the queues.
const SUSPECT_DATAGRAMS: u64 = 64;

/// How often what the kernel counts of the sockets is asked for.
const STATISTICS_NS: u64 = 100_000_000;

/// How long after a queue could not be bound that is tried again. The kernel's sockets have all meanwhile.
const RETRY_NS: u64 = 1_000_000_000;

/// What a queue is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its ring is read.
    Live,
    /// The kernel keeps what comes in, and what was on its way to the ring arrives. The kernel's is newer, and is left until the ring
    /// is empty.
    Settling,
    /// All of it has arrived in the ring.
    Emptying,
    /// A new socket is being bound; the kernel's are read.
    Binding,
    /// It could not be bound. It is tried again after a while, and when the interface comes up again.
    Lost,
}

#[derive(Debug)]
struct Queue {
    /// Not here while the mender has it.
    port: Option<Box<Port>>,
    state: State,
    /// Whether it is to be bound again, as soon as no other is and the kernel's sockets have nothing older.
    is_to_bind: bool,
    /// Drops of the sockets before this one.
    earlier_drops: u64,
    /// Drops of this one when it was last asked.
    drops: u64,
    binds: u64,
}

/// A source of datagrams past the kernel's sockets. See the module.
#[derive(Debug)]
pub struct XdpSource {
    queues: Vec<Queue>,
    sorter: Sorter,
    cover: Cover,
    link: Arc<LinkState>,
    /// The interface's changes that were looked at.
    generation: u64,
    /// Queues that are not live, or of which it is not known.
    is_troubled: bool,
    /// Whether the interface was down since the rings last brought something: the driver may have lost its queues.
    is_suspect: bool,
    /// Whether the sockets were asked since then if they live.
    is_asked: bool,
    /// Datagrams of the kernel's sockets since then.
    covered: u64,
    /// Whether what the kernel's sockets have is older than what is in the rings.
    is_behind: bool,
    next_statistics: Nanos,
    next_retry: Nanos,
    remarks: Vec<String>,
    bind_failures: u64,
    /// Why it failed last.
    fault: Option<XdpError>,
    mender: Mender,
    // Who tells of the link and of the kernel's sockets.
    _watcher: Arc<Watcher>,
}

impl XdpSource {
    /// A source over the queues of one interface. Starts a thread on the cores of the one that calls.
    ///
    /// # Errors
    /// As the kernel says, for want of descriptors or a thread.
    ///
    /// # Panics
    /// If there is no port.
    pub fn new(ports: Vec<Port>, watcher: Arc<Watcher>) -> io::Result<XdpSource> {
        let interface = ports.first().map(|port| port.config().interface);
        let interface = interface.expect("a source of no queue has nothing to bring");
        let link = watcher.link(interface);
        let generation = link.generation();
        let mender = Mender::start(ports.len())?;
        let queue = |port: Port| Queue {
            binds: port.binds(),
            port: Some(Box::new(port)),
            state: State::Live,
            is_to_bind: false,
            earlier_drops: 0,
            drops: 0,
        };
        Ok(XdpSource {
            queues: ports.into_iter().map(queue).collect(),
            sorter: Sorter::new(),
            cover: Cover::new(&watcher)?,
            link,
            generation,
            is_troubled: false,
            is_suspect: false,
            is_asked: false,
            covered: 0,
            is_behind: true,
            next_statistics: Nanos(0),
            next_retry: Nanos(0),
            fault: None,
            remarks: Vec::new(),
            bind_failures: 0,
            mender,
            _watcher: watcher,
        })
    }

    /// Takes datagrams sent to `group` as line `line` of `channel`, with the kernel's socket opened as `config` says. Cold. Where the program takes no more destinations
    /// the kernel's socket alone takes it, and [`XdpSource::remarks`] says so.
    ///
    /// # Errors
    /// What the kernel says of its socket.
    pub fn subscribe_with(
        &mut self,
        config: UdpSourceConfig,
        group: SocketAddrV4,
        channel: ChannelId,
        line: u8,
    ) -> io::Result<()> {
        self.cover.subscribe(config, group, channel, line)?;
        self.sorter.insert(group, channel, line);
        // Queues of one interface have one program; each port remembers what it asked for.
        for port in self.queues.iter_mut().filter_map(|queue| queue.port.as_mut()) {
            if let Err(error) = port.subscribe(group) {
                self.remarks.push(format!("{error}; it comes by the kernel's socket"));
            }
        }
        self.is_behind = true;
        Ok(())
    }

    /// What was asked for and could not be had in full, for people.
    pub fn remarks(&self) -> Vec<String> {
        self.cover.remarks().chain(self.remarks.iter().cloned()).collect()
    }

    /// How frames come in.
    pub fn mode(&self) -> Option<Mode> {
        self.queues.iter().find_map(|queue| queue.port.as_ref()).map(|port| port.mode())
    }

    /// What became of the frames of the rings.
    pub const fn frames(&self) -> FrameCounts {
        self.sorter.counts()
    }

    /// Times a queue could not be bound again.
    pub const fn bind_failures(&self) -> u64 {
        self.bind_failures
    }

    /// Why a queue could not be bound again the last time it could not.
    pub const fn fault(&self) -> Option<&XdpError> {
        self.fault.as_ref()
    }

    /// Whether every queue has its ring, and keeps it as far as is known.
    pub fn is_live(&self) -> bool {
        self.queues.iter().all(|queue| queue.state == State::Live && !queue.is_to_bind)
    }

    /// The ports that are here, which is all of them while [`XdpSource::is_live`]. For tests.
    pub fn ports(&mut self) -> impl Iterator<Item = &mut Port> {
        self.queues.iter_mut().filter_map(|queue| queue.port.as_deref_mut())
    }

    /// What the kernel counts of the sockets, added up. A system call for each.
    pub fn statistics(&mut self) -> SocketStatistics {
        let mut sum = SocketStatistics::default();
        for socket in self.ports().filter_map(|port| port.socket()) {
            let Ok(of) = socket.statistics() else { continue };
            sum.receive_dropped += of.receive_dropped;
            sum.receive_invalid += of.receive_invalid;
            sum.transmit_invalid += of.transmit_invalid;
            sum.receive_ring_full += of.receive_ring_full;
            sum.fill_ring_empty += of.fill_ring_empty;
            sum.transmit_ring_empty += of.transmit_ring_empty;
        }
        sum
    }

    /// Binds every queue again, whether it needs that or not: goes on over the polls that follow. What comes meanwhile waits with the
    /// kernel for some tens of milliseconds.
    #[cold]
    pub fn bind_again(&mut self) {
        self.is_troubled = true;
        for queue in &mut self.queues {
            queue.is_to_bind = matches!(queue.state, State::Live | State::Lost);
        }
    }

    /// Begins with the next queue that is to be bound again. One at a time, and not before the kernel's sockets have nothing that is older
    /// than what is in the rings: from then on what they have is newer.
    #[cold]
    fn begin_next(&mut self) {
        let is_still = self.queues.iter().all(|q| matches!(q.state, State::Live | State::Lost));
        if self.is_behind || !is_still {
            return;
        }
        if let Some(place) = self.queues.iter().position(|queue| queue.is_to_bind) {
            self.queues[place].is_to_bind = false;
            self.begin(place);
        }
    }

    #[cold]
    fn begin(&mut self, place: usize) {
        let queue = &mut self.queues[place];
        let Some(mut port) = queue.port.take() else { return };
        if port.socket().is_none() {
            queue.state = State::Binding;
            self.hand_over(place, port, Task::Bind);
            return;
        }
        queue.state = State::Settling;
        // That it knows of no ring any more is as good.
        let _ = port.silence();
        self.hand_over(place, port, Task::Settle);
    }

    #[cold]
    fn hand_over(&mut self, place: usize, port: Box<Port>, task: Task) {
        if let Err(port) = self.mender.hand_over(place, port, task) {
            // The mender ended, which nothing but a fault of ours makes it do. The kernel's sockets go on.
            self.queues[place].port = Some(port);
            self.queues[place].state = State::Lost;
            self.bind_failures += 1;
        }
    }

    /// Looks after queues that are not live and interfaces that changed.
    #[cold]
    fn care(&mut self) {
        while let Some(done) = self.mender.take_back() {
            self.returned(done);
        }
        let generation = self.link.generation();
        if generation != self.generation {
            self.generation = generation;
            (self.is_suspect, self.is_asked, self.covered) = (true, false, 0);
        }
        if self.is_suspect && self.link.is_up() {
            self.suspect();
        }
        for place in 0..self.queues.len() {
            let queue = &mut self.queues[place];
            let Some(port) = queue.port.as_mut().filter(|_| queue.state == State::Emptying) else {
                continue;
            };
            let Some(socket) = port.socket() else { continue };
            if socket.arrived() == 0 {
                let dropped = socket.statistics().map_or(queue.drops, |told| drops_of(&told));
                (queue.earlier_drops, queue.drops) = (queue.earlier_drops + dropped, 0);
                let Some(port) = queue.port.take() else { continue };
                queue.state = State::Binding;
                self.cover.call();
                self.hand_over(place, port, Task::Bind);
            }
        }
        self.begin_next();
        let is_well =
            |queue: &Queue| matches!(queue.state, State::Live | State::Lost) && !queue.is_to_bind;
        self.is_troubled = self.is_suspect || !self.queues.iter().all(is_well);
    }

    /// The interface is up and was down: is there still something behind its queues? A socket whose interface was removed says so;
    /// of a driver that forgot one nothing is heard but what the kernel's sockets bring in its place.
    fn suspect(&mut self) {
        let is_silent = self.covered >= SUSPECT_DATAGRAMS;
        let is_first = !std::mem::replace(&mut self.is_asked, true);
        if !(is_silent || is_first) {
            return;
        }
        self.is_suspect = !is_silent;
        for queue in &mut self.queues {
            queue.is_to_bind |=
                match (queue.state, queue.port.as_mut().and_then(|port| port.socket())) {
                    (State::Lost, _) | (State::Live, None) => is_first,
                    (State::Live, Some(socket)) => is_silent || socket.take_error().is_some(),
                    (State::Settling | State::Emptying | State::Binding, _) => false,
                };
        }
    }

    /// A port came back from the mender.
    fn returned(&mut self, Done { place, port, task, result }: Done) {
        let queue = &mut self.queues[place];
        queue.binds = port.binds();
        queue.port = Some(port);
        queue.state = match (task, result) {
            (Task::Settle, _) => State::Emptying,
            (Task::Bind, Ok(())) => {
                // What came before is with the kernel's sockets, and their flag may be late.
                self.is_behind = true;
                self.cover.call();
                State::Live
            }
            (Task::Bind, Err(error)) => {
                self.bind_failures += 1;
                self.fault = Some(error);
                State::Lost
            }
        };
    }

    /// Whether the kernel's sockets have what is newer than what is still to come from a ring.
    fn is_ahead(&self) -> bool {
        let ends = |queue: &Queue| matches!(queue.state, State::Settling | State::Emptying);
        self.is_troubled && self.queues.iter().any(ends)
    }

    /// Reads the kernel's sockets; the datagrams, and whether the rings are to wait.
    #[cold]
    fn poll_cover<H: DatagramHandler>(
        &mut self,
        budget: u32,
        handler: &mut H,
    ) -> io::Result<(u32, bool)> {
        if self.is_ahead() {
            return Ok((0, false));
        }
        let (taken, is_empty) = self.cover.drain(budget, handler)?;
        self.covered += u64::from(taken);
        self.is_behind &= !is_empty;
        Ok((taken, self.is_behind))
    }

    #[inline]
    fn poll_rings<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> u32 {
        let (mut left, mut handed) = (budget, 0);
        let sorter = &mut self.sorter;
        for queue in &mut self.queues {
            let Some(socket) = queue.port.as_mut().and_then(|port| port.socket()) else { continue };
            let frames = socket.receive(left, |frame, stamp| {
                handed += u32::from(sorter.take(frame, stamp, handler));
            });
            left -= frames;
        }
        if left < budget {
            (self.covered, self.is_suspect) = (0, false);
            handler.on_burst_end(handed);
        }
        handed
    }

    #[cold]
    fn ask_statistics(&mut self, now: Nanos) {
        self.next_statistics = now.plus(STATISTICS_NS);
        let is_retry = now >= self.next_retry;
        if is_retry {
            self.next_retry = now.plus(RETRY_NS);
        }
        for queue in &mut self.queues {
            if queue.state == State::Lost && is_retry && self.link.is_up() {
                (queue.is_to_bind, self.is_troubled) = (true, true);
            }
            let socket = queue.port.as_mut().and_then(|port| port.socket());
            if let Some(Ok(statistics)) = socket.map(|socket| socket.statistics()) {
                queue.drops = drops_of(&statistics);
            }
        }
    }
}

/// What was lost for want of room: in the ring, or of frames.
const fn drops_of(statistics: &SocketStatistics) -> u64 {
    statistics.receive_dropped.saturating_add(statistics.receive_ring_full)
}

impl PacketSource for XdpSource {
    /// Refused: how is the kernel's socket to be opened? [`XdpSource::subscribe_with`] is told.
    fn subscribe(&mut self, group: SocketAddrV4, _: ChannelId, _: u8) -> io::Result<()> {
        let text = format!("{group}: the kernel's socket is opened with a configuration");
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        if now >= self.next_statistics {
            self.ask_statistics(now);
        }
    }

    /// Two loads where there is nothing: of the interface and of the kernel's sockets; and one for each ring. No system call, but
    /// where the kernel's sockets have something or a queue is bound again.
    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        if self.is_troubled || self.link.generation() != self.generation {
            self.care();
        }
        let mut taken = 0;
        if self.cover.is_due() {
            let (covered, is_first) = self.poll_cover(budget, handler)?;
            if is_first {
                return Ok(got(covered));
            }
            taken = covered;
        }
        taken += self.poll_rings(budget - taken, handler);
        Ok(got(taken))
    }

    /// As they were at most 0.1 s ago.
    fn drops(&self) -> u64 {
        let of_rings = self.queues.iter().map(|queue| queue.earlier_drops + queue.drops);
        of_rings.fold(self.cover.drops(), u64::saturating_add)
    }

    fn errors(&self) -> u64 {
        self.cover.errors()
    }

    fn bypass(&self) -> BypassCounts {
        let frames = self.sorter.counts();
        BypassCounts {
            datagrams: frames.handed,
            by_kernel: self.cover.datagrams(),
            refused: frames.refused() - frames.bad_checksum,
            bad_checksums: frames.bad_checksum,
            unsubscribed: frames.unsubscribed,
            binds: self.queues.iter().map(|queue| queue.binds).sum(),
            lost: match self.link.is_up() {
                true => self.queues.iter().map(|q| u64::from(q.state == State::Lost)).sum(),
                false => u64::try_from(self.queues.len()).unwrap_or(u64::MAX),
            },
        }
    }
}

const fn got(count: u32) -> Polled {
    if count > 0 { Polled::Got(count) } else { Polled::Idle }
}
