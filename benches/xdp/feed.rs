//! The feed: a packet of one ITCH message by multicast, into the book, and a datagram back.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use hdrhistogram::Histogram;
use postern::feed::book::Books;
use postern::feed::itch50;
use postern::feed::lookahead::Lookahead;
use postern::feed::moldudp64::{HEADER_BYTES, Messages, split_block};
use postern::net::xdp::{Path, Port, WantedMode, XdpSource, multicast_mac, write_udp};
use postern::net::{
    Datagram, DatagramHandler, KernelUdpSink, KernelUdpSource, PacketSink, PacketSource,
    Timestamps, UdpSinkConfig, UdpSourceConfig,
};
use postern::types::ChannelId;
use quanta::Clock;

use crate::lab::{End, Namespace};
use crate::support::machine;
use crate::{END, NOBODY, days, xdp_driver};

pub const WAYS: [&str; 2] = ["kernel, recvmmsg", "AF_XDP"];

/// The cable of each way.
const INTERFACES: [&str; 2] = ["veth1", "veth2"];

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 7, 7, 7);
const FEED_PORT: u16 = 26_000;
const ANSWER_PORT: u16 = 26_001;
const ANSWER_BYTES: usize = 100;

/// Packets that wait when the receiving core begins.
const WAITING: u32 = 1_024;
const SYMBOLS: u16 = 100;

/// Histograms of every way, by rounds.
pub struct Figures {
    pub round_trips: Vec<Vec<Histogram<u64>>>,
    pub receiving: Vec<Vec<Histogram<u64>>>,
}

/// Sends and receives by one mechanism.
enum Link {
    Kernel(KernelUdpSource, Box<KernelUdpSink>),
    Xdp(Box<XdpSource>, Box<Path>),
}

impl Link {
    /// Hears `from`, sends to `to`; on the host of `own`, whose cable leads to `peer`.
    fn open(is_xdp: bool, own: &End, peer: &End, from: SocketAddrV4, to: SocketAddrV4) -> Link {
        let config = UdpSourceConfig {
            interface: own.address,
            receive_buffer_bytes: 4 << 20,
            timestamps: Timestamps::None,
        };
        if !is_xdp {
            let mut source = KernelUdpSource::new(config);
            source.subscribe(from, ChannelId(1), 0).expect("subscribed");
            let (destination, interface) = (to, own.address);
            let sink = UdpSinkConfig { destination, interface, ttl: 1, loopback: false };
            return Link::Kernel(source, Box::new(KernelUdpSink::new(sink).expect("a sink")));
        }
        let interface = xdp_driver::interface(&own.interface);
        let port: Port = xdp_driver::port(&interface, WantedMode::Generic);
        let source = XdpSource::new(vec![port], xdp_driver::watcher());
        let mut source = source.expect("a source");
        source.subscribe_with(config, from, ChannelId(1), 0).expect("subscribed");
        let to_mac = if to.ip().is_multicast() { multicast_mac(*to.ip()) } else { peer.mac };
        let path = Path {
            source_mac: own.mac,
            destination_mac: to_mac,
            source: SocketAddrV4::new(own.address, to.port()),
            destination: to,
            ttl: 1,
            tos: 0,
        };
        Link::Xdp(Box::new(source), Box::new(path))
    }

    #[inline]
    fn send(&mut self, payload: &[u8]) {
        match self {
            Link::Kernel(_, sink) => {
                let is_queued = sink.send_with(|room| {
                    room[..payload.len()].copy_from_slice(payload);
                    payload.len()
                });
                assert!(is_queued && sink.flush().is_ok(), "sent");
            }
            Link::Xdp(source, path) => {
                let mut port = source.ports().next();
                let socket = port.as_mut().and_then(|port| port.socket()).expect("it lives");
                while !socket.send_with(|frame| write_udp(frame, path, payload)) {
                    socket.flush().expect("the interface is up");
                }
                socket.flush().expect("the interface is up");
            }
        }
    }

    #[inline]
    fn poll<H: DatagramHandler>(&mut self, handler: &mut H) -> u32 {
        let polled = match self {
            Link::Kernel(source, _) => source.poll(64, handler),
            Link::Xdp(source, _) => source.poll(64, handler),
        };
        match polled.expect("it works") {
            postern::net::Polled::Got(count) => count,
            postern::net::Polled::Idle | postern::net::Polled::End => 0,
        }
    }
}

/// Counts datagrams and looks at their first byte.
#[derive(Default)]
struct Counted(u64);

impl DatagramHandler for Counted {
    #[inline]
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        self.0 += u64::from(!datagram.payload.is_empty());
    }
}

/// Puts what comes into books.
struct Book {
    books: Books,
    ahead: Lookahead,
    messages: u64,
}

impl DatagramHandler for Book {
    #[inline]
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        let Book { books, ahead, messages } = self;
        *messages += 1;
        let packet = Messages::new(datagram.payload, HEADER_BYTES);
        ahead.each(packet, books, |books, bytes, event| match event {
            // A day that begins again does not fit its books.
            Some(event) => {
                let _ = books.apply_order(event);
            }
            None => {
                let _ = itch50::decode(bytes).map(|message| books.apply(&message));
            }
        });
    }
}

/// Where on the host of `own` the ways lead, and where they answer.
fn links(own: &Namespace, peer: &Namespace, is_exchange: bool) -> Vec<Link> {
    let end = |host: &Namespace, interface: &str| {
        let found = host.ends().iter().find(|end| end.interface == interface);
        found.expect("the lab has it").clone()
    };
    let open = |(place, interface): (usize, &&str)| {
        let (own, peer) = (end(own, interface), end(peer, interface));
        let feed = SocketAddrV4::new(GROUP, FEED_PORT);
        let exchange = if is_exchange { own.address } else { peer.address };
        let answers = SocketAddrV4::new(exchange, ANSWER_PORT);
        let (from, to) = if is_exchange { (answers, feed) } else { (feed, answers) };
        Link::open(place == 1, &own, &peer, from, to)
    };
    INTERFACES.iter().enumerate().map(open).collect()
}

/// What both hosts know: whose turn it is, and how much of it is done.
struct Turns {
    turn: AtomicUsize,
    /// Packets sent, of a turn of receiving.
    sent: AtomicU64,
    /// Nanoseconds that was read with, and a mark that it was.
    read: AtomicU64,
    ready: AtomicUsize,
}

/// A turn of receiving, beyond those of round trips.
const RECEIVING: usize = 100;

pub fn run(hosts: [&Namespace; 2], rounds: usize, messages: usize) -> Figures {
    let turns = Turns {
        turn: AtomicUsize::new(NOBODY),
        sent: AtomicU64::new(0),
        read: AtomicU64::new(0),
        ready: AtomicUsize::new(0),
    };
    let [exchange, gateway] = hosts;
    thread::scope(|scope| {
        scope.spawn(|| gateway.enter(|| answer(gateway, exchange, &turns)));
        exchange.enter(|| ask(exchange, gateway, &turns, rounds, messages))
    })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("good bounds")
}

/// The exchange: sends packets, and times the answers.
fn ask(
    own: &Namespace,
    peer: &Namespace,
    turns: &Turns,
    rounds: usize,
    messages: usize,
) -> Figures {
    machine::pin(0);
    let day = days::day(100_000, SYMBOLS);
    let mut links = links(own, peer, true);
    while turns.ready.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
    let clock = Clock::new();
    let none = || vec![Vec::new(); WAYS.len()];
    let mut figures = Figures { round_trips: none(), receiving: none() };
    let mut packets = Packets::new(&day);
    for round in 0..=rounds {
        for (place, link) in links.iter_mut().enumerate() {
            turns.turn.store(place, Ordering::Release);
            let mut trips = histogram();
            for message in 0..messages {
                let took = round_trip(link, packets.next_packet(), &clock);
                if message >= messages / 10 {
                    trips.saturating_record(took);
                }
            }
            let mut reads = histogram();
            while reads.len() < 4 {
                if let Some(took) = receiving(turns, place, link, &mut packets) {
                    reads.saturating_record(took);
                }
            }
            // The first round warms up.
            if round > 0 {
                figures.round_trips[place].push(trips);
                figures.receiving[place].push(reads);
            }
        }
    }
    turns.turn.store(END, Ordering::Release);
    figures
}

/// A packet and its answer; nanoseconds. What the kernel drops because it does not get a core is sent again, and timed as that.
fn round_trip(link: &mut Link, packet: &[u8], clock: &Clock) -> u64 {
    let start = clock.raw();
    link.send(packet);
    let mut answers = Counted::default();
    let mut polls = 0_u64;
    while answers.0 == 0 {
        link.poll(&mut answers);
        polls += 1;
        if polls.is_multiple_of(1 << 20) {
            link.send(packet);
        }
    }
    clock.delta_as_nanos(start, clock.raw())
}

/// Has packets wait for the other host, and has it read them: nanoseconds a packet. `None` if some were dropped on the way.
fn receiving(
    turns: &Turns,
    place: usize,
    link: &mut Link,
    packets: &mut Packets<'_>,
) -> Option<u64> {
    turns.sent.store(0, Ordering::Relaxed);
    turns.read.store(0, Ordering::Relaxed);
    turns.turn.store(RECEIVING + place, Ordering::Release);
    for _ in 0..WAITING {
        link.send(packets.next_packet());
    }
    turns.sent.store(u64::from(WAITING), Ordering::Release);
    loop {
        let read = turns.read.load(Ordering::Acquire);
        if read > 0 {
            turns.turn.store(NOBODY, Ordering::Release);
            let waiting = u64::from(WAITING);
            return (read != u64::MAX).then_some((read + waiting / 2) / waiting);
        }
        std::hint::spin_loop();
    }
}

/// The gateway: puts packets into its book and answers each.
fn answer(own: &Namespace, peer: &Namespace, turns: &Turns) {
    machine::pin(1);
    let mut links = links(own, peer, false);
    let mut book = Book { books: days::books(SYMBOLS), ahead: Lookahead::default(), messages: 0 };
    let clock = Clock::new();
    turns.ready.store(1, Ordering::Release);
    loop {
        match turns.turn.load(Ordering::Acquire) {
            END => return,
            NOBODY => thread::yield_now(),
            place if place >= RECEIVING => {
                let is_waiting = turns.sent.load(Ordering::Acquire) > 0;
                if is_waiting && turns.read.load(Ordering::Relaxed) == 0 {
                    let took = drain(&mut links[place - RECEIVING], &clock);
                    turns.read.store(took.max(1), Ordering::Release);
                }
            }
            place => {
                for _ in 0..links[place].poll(&mut book) {
                    links[place].send(&[7; ANSWER_BYTES]);
                }
            }
        }
    }
}

/// Reads all that waits; nanoseconds, or `u64::MAX` if not all of it comes.
fn drain(link: &mut Link, clock: &Clock) -> u64 {
    let mut counted = Counted::default();
    let mut idle = 0;
    let start = clock.raw();
    while counted.0 < u64::from(WAITING) {
        idle = if link.poll(&mut counted) > 0 { 0 } else { idle + 1 };
        if idle > 100_000 {
            return u64::MAX;
        }
    }
    clock.delta_as_nanos(start, clock.raw())
}

/// A day's messages, each as a packet of its own, over and over.
struct Packets<'a> {
    day: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    fn new(day: &'a [u8]) -> Packets<'a> {
        Packets { day, rest: &day[HEADER_BYTES..] }
    }

    /// As many bytes before it as a header has; what they are nobody looks at.
    #[inline]
    fn next_packet(&mut self) -> &'a [u8] {
        if self.rest.is_empty() {
            self.rest = &self.day[HEADER_BYTES..];
        }
        let (_, after) = split_block(self.rest).expect("whole messages");
        let begin = self.day.len() - self.rest.len() - HEADER_BYTES;
        self.rest = after;
        &self.day[begin..self.day.len() - after.len()]
    }
}
