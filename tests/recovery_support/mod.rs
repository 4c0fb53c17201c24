//! What the tests of recovery share: a day of messages, lines that lose, repeat and exchange packets, and servers that send
//! again what was lost, written from the specifications alone.

#![allow(dead_code, reason = "each test binary uses its part")]

#[path = "../support/random.rs"]
pub mod random;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use postern::feed::arbiter::{Join, Ordering};
use postern::feed::book::BooksConfig;
use postern::feed::channel::{Channel, ChannelSettings, NoSink};
use postern::feed::glimpse::SnapshotSettings;
use postern::feed::recovery::RecoverySettings;
use postern::feed::rerequest::RerequestSettings;
use postern::feed::soupbintcp::Login;
use postern::net::{RecoveryLink, StreamState};
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::types::{Nanos, Side, Symbol, TradingStatus};
use random::Random;

pub const STOCKS: u16 = 8;
pub const SESSION: &[u8; 10] = b"20260220AA";
/// Between two packets of a line.
pub const STEP_NS: u64 = 10_000;
pub const STALE_AFTER_NS: u64 = 3_000_000_000;

pub fn stock(locate: u16) -> Symbol {
    Symbol::new(&format!("S{locate}")).expect("a symbol")
}

#[derive(Clone, Copy)]
struct Live {
    locate: u16,
    side: Side,
    shares: u32,
    price: u32,
    /// Which entered first.
    entry: u64,
}

/// The messages of a session, numbered from 1.
pub struct Day {
    bytes: Vec<u8>,
    /// Where each message begins; one more than there are.
    starts: Vec<usize>,
    /// Packets: number of the first message, and how many.
    pub packets: Vec<(u64, u16)>,
}

impl Day {
    /// A day of `count` messages that fit each other.
    pub fn new(seed: u64, count: usize) -> Day {
        let mut random = Random::new(seed);
        let mut day = Day { bytes: Vec::new(), starts: vec![0], packets: Vec::new() };
        for locate in 1..=STOCKS {
            let stock = stock(locate);
            day.push(&ItchMessage::StockDirectory {
                locate,
                stock,
                round_lot: 100,
                round_lots_only: false,
            });
            day.push(&ItchMessage::TradingAction { locate, stock, state: TradingStatus::Trading });
        }
        let mut live: Vec<(u64, Live)> = Vec::new();
        let mut reference = 0;
        while day.count() < count {
            reference += 1;
            let message = step(&mut random, &mut live, reference);
            day.push(&message);
        }
        let (mut first, end) = (1, u64::try_from(count).expect("few") + 1);
        while first < end {
            let count = (1 + random.below(12)).min(end - first);
            day.packets.push((first, u16::try_from(count).expect("few")));
            first += count;
        }
        day
    }

    fn push(&mut self, message: &ItchMessage) {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let stamp = u64::try_from(self.starts.len()).expect("few");
        let length = message.encode(stamp, &mut bytes);
        self.bytes.extend_from_slice(&bytes[..length]);
        self.starts.push(self.bytes.len());
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// One past the number of the last message.
    pub fn end(&self) -> u64 {
        u64::try_from(self.starts.len()).expect("few")
    }

    pub fn message(&self, number: u64) -> &[u8] {
        let place = usize::try_from(number).expect("few") - 1;
        &self.bytes[self.starts[place]..self.starts[place + 1]]
    }

    /// Writes a downstream packet with as many of the messages as fit and are told by `end`; returns its size.
    pub fn packet(&self, first: u64, count: u16, end: u64, to: &mut [u8]) -> usize {
        let (mut at, mut taken) = (20, 0_u16);
        for number in first..(first + u64::from(count)).min(end) {
            let message = self.message(number);
            if at + 2 + message.len() > to.len().min(1_400) {
                break;
            }
            let length = u16::try_from(message.len()).expect("short");
            to[at..at + 2].copy_from_slice(&length.to_be_bytes());
            to[at + 2..at + 2 + message.len()].copy_from_slice(message);
            at += 2 + message.len();
            taken += 1;
        }
        to[..10].copy_from_slice(SESSION);
        to[10..18].copy_from_slice(&first.to_be_bytes());
        to[18..20].copy_from_slice(&taken.to_be_bytes());
        at
    }

    /// The messages of a snapshot before message `sequence`, as GLIMPSE sends them: directory, statuses, then the orders
    /// that stand, each with what is left of it, in the order in which they entered.
    pub fn snapshot(&self, sequence: u64) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut orders: BTreeMap<u64, (u64, Vec<u8>)> = BTreeMap::new();
        for number in 1..sequence {
            let bytes = self.message(number);
            let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8"));
            let half = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4"));
            let mut reduce = |reference: u64, by: u32| {
                let order = &mut orders.get_mut(&reference).expect("it stands").1;
                let left = u32::from_be_bytes(order[20..24].try_into().expect("4")) - by;
                order[20..24].copy_from_slice(&left.to_be_bytes());
                if left == 0 {
                    orders.remove(&reference);
                }
            };
            match bytes[0] {
                b'R' | b'H' => messages.push(bytes.to_vec()),
                b'A' => drop(orders.insert(word(11), (number, bytes.to_vec()))),
                b'E' | b'X' => reduce(word(11), half(19)),
                b'D' => drop(orders.remove(&word(11))),
                b'U' => {
                    let (_, mut order) = orders.remove(&word(11)).expect("it stands");
                    order[11..19].copy_from_slice(&word(19).to_be_bytes());
                    order[20..24].copy_from_slice(&bytes[27..31]);
                    order[32..36].copy_from_slice(&bytes[31..35]);
                    orders.insert(word(19), (number, order));
                }
                other => panic!("the day has no {}", char::from(other)),
            }
        }
        let mut orders: Vec<(u64, Vec<u8>)> = orders.into_values().collect();
        orders.sort();
        messages.extend(orders.into_iter().map(|(_, order)| order));
        messages
    }

    /// The books when nothing is lost.
    pub fn digest(&self) -> u64 {
        let mut channel = channel(self, None, RecoverySettings::default());
        let mut room = [0; 2_048];
        for &(first, count) in &self.packets {
            let bytes = self.packet(first, count, self.end(), &mut room);
            channel.on_datagram(&room[..bytes], Nanos(1), &mut NoSink);
        }
        assert_eq!(channel.counts().misfits, 0, "the day fits");
        assert!(channel.books().order_count_total() > 100);
        channel.books().digest()
    }
}

fn step(random: &mut Random, live: &mut Vec<(u64, Live)>, reference: u64) -> ItchMessage {
    let chosen = (live.len() > 200).then(|| random.index(live.len()));
    let Some(place) = chosen.filter(|_| random.below(100) < 55) else {
        let side = if random.one_in(2) { Side::Buy } else { Side::Sell };
        let away = random.small(40) * 100;
        let price = if side == Side::Buy { 999_900 - away } else { 1_000_000 + away };
        let locate = 1 + u16::try_from(random.below(u64::from(STOCKS))).expect("few");
        let shares = 1 + random.small(900);
        live.push((reference, Live { locate, side, shares, price, entry: reference }));
        return ItchMessage::Add { locate, reference, side, shares, stock: stock(locate), price };
    };
    let (old, order) = live[place];
    let Live { locate, shares, price, .. } = order;
    match random.below(4) {
        0 => {
            live.swap_remove(place);
            ItchMessage::Delete { locate, reference: old }
        }
        1 => {
            live[place] = (reference, Live { shares: shares + 5, entry: reference, ..order });
            ItchMessage::Replace { locate, old, new: reference, shares: shares + 5, price }
        }
        kind => {
            let taken = 1 + random.small(shares);
            live[place].1.shares -= taken;
            if taken == shares {
                live.swap_remove(place);
            }
            if kind == 2 {
                ItchMessage::Cancel { locate, reference: old, shares: taken }
            } else {
                let match_number = reference;
                ItchMessage::Executed { locate, reference: old, shares: taken, match_number }
            }
        }
    }
}

/// What the lines do to packets, in percent.
#[derive(Clone, Copy)]
pub struct Faults {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    /// Whether both lines may lose the same packet by chance.
    pub may_lose_both: bool,
}

pub const USUAL: Faults = Faults { loss: 5, duplicate: 2, reorder: 2, may_lose_both: true };
pub const NONE: Faults = Faults { loss: 0, duplicate: 0, reorder: 0, may_lose_both: true };

/// A packet on its way: when it arrives, by which line, which.
pub struct Arrival {
    pub at: u64,
    pub line: u8,
    pub first: u64,
    pub count: u16,
}

/// When each packet of the day arrives, and how many messages neither line brings. `cut` says which packets both lose.
pub fn arrivals(
    day: &Day,
    faults: Faults,
    seed: u64,
    cut: impl Fn(u64) -> bool,
) -> (Vec<Arrival>, u64) {
    let mut random = Random::new(seed ^ 0x5EED);
    let (mut list, mut missing) = (Vec::new(), 0);
    for (step, &(first, count)) in (1_u64..).zip(&day.packets) {
        let mut brought = 0;
        for line in 0..2_u8 {
            let is_lost = random.below(100) < faults.loss
                && (faults.may_lose_both || line == 0 || brought > 0);
            if is_lost || cut(first) {
                continue;
            }
            brought += 1;
            // Line B is a packet and a half behind.
            let mut at = step * STEP_NS + u64::from(line) * 15_000;
            if random.below(100) < faults.reorder {
                at += (1 + random.below(5)) * STEP_NS + 1;
            }
            list.push(Arrival { at, line, first, count });
            if random.below(100) < faults.duplicate {
                let again = at + random.below(4) * STEP_NS;
                list.push(Arrival { at: again, line, first, count });
            }
        }
        missing += if brought == 0 { u64::from(count) } else { 0 };
    }
    // The lines go on with heartbeats.
    let steps = u64::try_from(day.packets.len()).expect("few");
    for beat in 1..200 {
        for line in 0..2 {
            let at = (steps + 10 + beat * 10) * STEP_NS;
            list.push(Arrival { at, line, first: day.end(), count: 0 });
        }
    }
    list.sort_by_key(|arrival| arrival.at);
    (list, missing)
}

pub const LOGIN: Login =
    Login { user: *b"reader", password: *b"secret    ", session: [b' '; 10], sequence: 1 };

pub const REREQUEST: RerequestSettings = RerequestSettings {
    messages_per_request: 10,
    interval_ns: 20_000,
    answer_ns: 500_000,
    attempts_max: 4,
    gap_messages_max: 2_000,
};

pub const SNAPSHOT: SnapshotSettings = SnapshotSettings {
    login: LOGIN,
    answer_ns: 2_000_000,
    silence_ns: 5_000_000,
    retry_ns: 1_000_000,
    retry_ns_max: 8_000_000,
};

pub const BOTH: RecoverySettings =
    RecoverySettings { rerequest: Some(REREQUEST), snapshot: Some(SNAPSHOT) };

pub const ORDERING: Ordering = Ordering {
    lines: 2,
    packets_max: 64,
    wait_ns: 1_000_000,
    line_wait_ns: 300_000,
    messages_max: 16_384,
    confirm_packets: 3,
};

pub fn settings(orders_max: usize) -> ChannelSettings {
    let books = BooksConfig {
        orders_max,
        levels_max: 128,
        books_max: usize::from(STOCKS),
        follow_all_symbols: false,
    };
    ChannelSettings { join: Join::First, stale_after_ns: STALE_AFTER_NS, books }
}

/// A channel for the day's stocks.
pub fn channel(day: &Day, ordering: Option<Ordering>, recovery: RecoverySettings) -> Channel {
    let symbols: Vec<Symbol> = (1..=STOCKS).map(stock).collect();
    let channel = Channel::new(&settings(day.count().min(1 << 16)), &symbols);
    match ordering {
        Some(ordering) => channel.with_recovery(ordering, &recovery),
        None => channel,
    }
}

/// What the test and the servers both know.
#[derive(Debug, Default)]
pub struct World {
    pub now: AtomicU64,
    /// The number of the message the exchange sends next.
    pub next: AtomicU64,
    pub is_rerequest_dead: AtomicBool,
    pub is_snapshot_dead: AtomicBool,
    pub logins: AtomicU64,
    pub heartbeats: AtomicU64,
}

/// How a connection of the snapshot server stands.
#[derive(Debug)]
enum Connection {
    None,
    Connecting(u64),
    Connected,
    /// Logged in; what is to be sent is built by [`Servers::work`].
    Asked,
    /// The bytes, how many were read, and whether the server closes then.
    Sending(Vec<u8>, usize, bool),
    Refused,
}

/// Both servers of a channel.
pub struct Servers {
    pub day: Arc<Day>,
    pub world: Arc<World>,
    requests: VecDeque<(u64, u64, u16)>,
    connection: Connection,
    /// A connection that was closed; freed by [`Servers::work`], outside of what is watched for allocations.
    closed: Connection,
    pieces: usize,
    /// Whether it builds snapshots when it is looked at, rather than when the test lets it work.
    pub builds_at_once: bool,
    /// Sent in place of the end of the snapshot.
    pub end: Option<Vec<u8>>,
    /// Sent in place of the acceptance.
    pub answer: Option<Vec<u8>>,
    /// Requests that get lost: one of so many.
    pub loses: u64,
    asked: u64,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Servers")
    }
}

impl Servers {
    pub fn new(day: &Arc<Day>) -> Servers {
        Servers {
            day: Arc::clone(day),
            world: Arc::new(World::default()),
            requests: VecDeque::with_capacity(64),
            connection: Connection::None,
            closed: Connection::None,
            pieces: 0,
            builds_at_once: true,
            end: None,
            answer: None,
            loses: u64::MAX,
            asked: 0,
        }
    }

    /// Whether nobody is connected.
    pub fn is_closed(&self) -> bool {
        matches!(self.connection, Connection::None)
    }

    /// Does what a login waits for.
    pub fn work(&mut self) {
        self.closed = Connection::None;
        if !matches!(self.connection, Connection::Asked) {
            return;
        }
        if let Some(answer) = &self.answer {
            self.connection = Connection::Sending(answer.clone(), 0, true);
            return;
        }
        let sequence = self.world.next.load(Relaxed);
        let mut bytes = Vec::new();
        let mut send = |kind: u8, payload: &[u8]| {
            let length = u16::try_from(payload.len() + 1).expect("short");
            bytes.extend(length.to_be_bytes());
            bytes.push(kind);
            bytes.extend(payload);
        };
        send(b'+', b"snapshot server of the tests");
        send(b'A', format!("{:>10}{:>20}", "GLIMPSE", 1).as_bytes());
        for (count, message) in self.day.snapshot(sequence).iter().enumerate() {
            send(b'S', message);
            match count % 50 {
                7 => send(b'H', b""),
                19 => send(b'U', b"unsequenced"),
                33 => send(b'+', &vec![b'.'; count % 3_000]),
                _ => {}
            }
        }
        match &self.end {
            Some(end) => bytes.extend(end),
            None => send(b'S', format!("G{sequence:>20}").as_bytes()),
        }
        self.connection = Connection::Sending(bytes, 0, false);
    }
}

impl RecoveryLink for Servers {
    fn request(&mut self, packet: &[u8]) {
        assert_eq!(packet.len(), 20, "a request packet");
        assert_eq!(&packet[..10], SESSION);
        let first = u64::from_be_bytes(packet[10..18].try_into().expect("8"));
        let count = u16::from_be_bytes(packet[18..20].try_into().expect("2"));
        assert!((1..=10).contains(&count), "{count} messages");
        self.asked += 1;
        let is_lost = self.asked.is_multiple_of(self.loses);
        if !is_lost && !self.world.is_rerequest_dead.load(Relaxed) {
            self.requests.push_back((self.world.now.load(Relaxed) + 100_000, first, count));
        }
    }

    fn reply(&mut self, room: &mut [u8]) -> Option<usize> {
        let &(due, first, count) = self.requests.front()?;
        if self.world.now.load(Relaxed) < due {
            return None;
        }
        self.requests.pop_front();
        Some(self.day.packet(first, count, self.world.next.load(Relaxed), room))
    }

    fn connect(&mut self) {
        self.connection = if self.world.is_snapshot_dead.load(Relaxed) {
            Connection::Refused
        } else {
            Connection::Connecting(self.world.now.load(Relaxed) + 100_000)
        };
    }

    fn stream(&mut self, room: &mut [u8]) -> StreamState {
        if self.builds_at_once {
            self.work();
        }
        match &mut self.connection {
            Connection::None | Connection::Refused => StreamState::Closed,
            Connection::Connecting(due) if self.world.now.load(Relaxed) < *due => StreamState::Idle,
            Connection::Connecting(_) => {
                self.connection = Connection::Connected;
                StreamState::Connected
            }
            Connection::Connected | Connection::Asked => StreamState::Idle,
            Connection::Sending(bytes, read, closes) => {
                if *read == bytes.len() {
                    return if *closes { StreamState::Closed } else { StreamState::Idle };
                }
                // Pieces of every size, so that packets are cut everywhere.
                self.pieces += 1;
                let piece = 1 + self.pieces * 7_919 % 6_000;
                let piece = piece.min(room.len()).min(bytes.len() - *read);
                room[..piece].copy_from_slice(&bytes[*read..*read + piece]);
                *read += piece;
                StreamState::Received(piece)
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        match (bytes, &self.connection) {
            ([0, 47, b'L', rest @ ..], Connection::Connected) => {
                assert_eq!(&rest[..6], b"reader");
                assert_eq!(&rest[6..16], b"secret    ");
                assert_eq!(&rest[16..26], b"          ", "the active session");
                assert_eq!(&rest[26..], b"                   1");
                self.world.logins.fetch_add(1, Relaxed);
                self.connection = Connection::Asked;
            }
            ([0, 1, b'R'], Connection::Asked | Connection::Sending(..)) => {
                self.world.heartbeats.fetch_add(1, Relaxed);
            }
            ([0, 1, b'O'], Connection::Sending(..)) => {}
            (other, connection) => panic!("{other:?} in {connection:?}"),
        }
        true
    }

    fn close(&mut self) {
        self.closed = std::mem::replace(&mut self.connection, Connection::None);
    }
}
