//! An exchange with servers for who missed something, on a clock of its own, and clients written from the specifications.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "tests: what is not expected fails them")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::sim_support::{Line, digest, instrument};
use postern::feed::book::{Books, BooksConfig};
use postern::feed::itch50;
use postern::feed::moldudp64::{Packet, parse};
use postern::runtime::Agent;
use postern::sim::background::{
    Background, CaptureFlow, CaptureScript, RandomFlow, RandomFlowConfig, RandomSymbol, Schedule,
};
use postern::sim::glimpse::{GlimpseConfig, GlimpseCounts, GlimpseServer};
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::sim::matching::{Exchange, VenueInstrument};
use postern::sim::recovery::{LOOK_NS, RecoveryServers};
use postern::sim::rerequest::{RerequestConfig, RerequestCounts, RerequestServer};
use postern::sim::soup::Password;
use postern::sim::venue::{UtcAnchor, VenueAgent, VenueConfig, VenueLines};
use postern::telemetry::Registry;
use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::types::{Nanos, Side, Symbol, UtcNanos};
use socket2::{Domain, Socket, Type};

pub const SESSION: &[u8; 10] = b"SIMULATION";
pub const PACKET_BYTES_MAX: usize = 1_400;
pub const SECOND: u64 = 1_000_000_000;
/// Looks after which what must happen over the loopback interface has not.
pub const PATIENCE: u32 = 2_000_000;

/// An exchange with a generated market and its servers, on a clock of its own.
pub struct Venue {
    pub agent: VenueAgent<MemorySubscription, MemoryPublication, Line>,
    pub line: Line,
    pub now: Nanos,
    pub rerequest: SocketAddr,
    pub glimpse: SocketAddr,
    pub symbols: Vec<Symbol>,
    /// Every message that came by the line, by its number.
    pub published: BTreeMap<u64, Vec<u8>>,
    /// The number of the next message, as the line told it.
    pub told: u64,
    pub registry: Registry,
}

/// What a test changes in the exchange.
pub struct Setup {
    pub venue: VenueConfig,
    pub glimpse: GlimpseConfig,
    pub steps_per_second: u32,
    /// So many orders that only stand, beside others that come and go; 0: a generated market.
    pub standing: u64,
}

pub fn any_port() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)
}

impl Venue {
    pub fn new(change: impl FnOnce(&mut Setup)) -> Venue {
        let instruments =
            vec![instrument("ALFA", 1, 10), instrument("BRVO", 2, 20), instrument("CHRL", 9, 30)];
        let symbols = instruments.iter().map(|i| i.symbol).collect();
        let anchor = UtcAnchor { now: Nanos(0), utc: UtcNanos(34_200 * SECOND) };
        let venue = VenueConfig::new(instruments.clone(), Vec::new(), anchor, UtcNanos(0));
        let (user, password) = (*b"sim   ", Password(*b"Secret    "));
        // Nothing ends by the clock but where a test is about that.
        let glimpse = GlimpseConfig {
            login_ns: u64::MAX,
            silence_ns: u64::MAX,
            stall_ns: u64::MAX,
            ..GlimpseConfig::new(any_port(), user, password, 3, venue.open_orders_max)
        };
        let mut setup = Setup { venue, glimpse, steps_per_second: 1_000, standing: 0 };
        (setup.venue.mold.kept_messages_max, setup.venue.mold.kept_bytes_max) = (1 << 16, 4 << 20);
        change(&mut setup);
        let rerequest = RerequestServer::bind(&RerequestConfig::at(any_port())).unwrap();
        let glimpse = GlimpseServer::bind(setup.glimpse).unwrap();
        let addresses = (rerequest.address().unwrap(), glimpse.address().unwrap());
        let line = Line::default();
        let lines = VenueLines {
            requests: stream(16, 128).1,
            reports: stream(16, 128).0,
            line_a: line.clone(),
            line_b: None,
        };
        let (steps_per_second, standing) = (setup.steps_per_second, setup.standing);
        let background = |exchange: &Exchange| match standing {
            0 => generated(exchange, steps_per_second),
            orders => deep(exchange, orders, steps_per_second),
        };
        let (registry, ledger) = (Registry::new(), Arc::new(OnceLock::new()));
        let mut agent = VenueAgent::new(setup.venue, lines, background, &registry, ledger)
            .unwrap()
            .with_recovery(RecoveryServers::new(Some(rerequest), Some(glimpse)));
        agent.on_start(Nanos(0)).unwrap();
        let (published, (rerequest, glimpse)) = (BTreeMap::new(), addresses);
        let now = Nanos(0);
        let mut venue =
            Venue { agent, line, now, rerequest, glimpse, symbols, published, told: 1, registry };
        while u64::from(venue.agent.exchange().open_count()) < standing {
            venue.look();
        }
        for _ in 0..100 {
            venue.look();
        }
        venue
    }

    /// One duty cycle, at which the servers look at their sockets.
    pub fn look(&mut self) {
        self.now = self.now.plus(LOOK_NS);
        self.agent.poll(self.now).unwrap();
        for packet in self.line.take() {
            match parse(&packet).unwrap() {
                Packet::Heartbeat(header) => self.told = self.told.max(header.sequence),
                Packet::EndOfSession(_) => panic!("the day is not over"),
                Packet::Data(header, messages) => {
                    let numbered = (header.sequence..).zip(messages);
                    self.published.extend(numbered.map(|(n, message)| (n, message.to_vec())));
                    self.told = self.told.max(header.sequence + u64::from(header.count));
                }
            }
        }
    }

    /// Duty cycles until `step` gives something.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut step: impl FnMut(&mut Venue) -> Option<T>) -> T {
        for _ in 0..PATIENCE {
            self.look();
            if let Some(done) = step(self) {
                return done;
            }
            std::thread::yield_now();
        }
        panic!("no {what}");
    }

    pub fn rerequests(&self) -> RerequestCounts {
        self.agent.recovery().counts().0
    }

    pub fn snapshots(&self) -> GlimpseCounts {
        self.agent.recovery().counts().1
    }

    /// Numbers of all messages published so far.
    pub fn range(&self) -> Range<u64> {
        1..self.told
    }

    pub fn digest(&self) -> u64 {
        digest(self.agent.exchange(), |order| order.reference)
    }

    pub fn books(&self) -> Books {
        let (orders_max, levels_max, books_max) = (1 << 16, 4_096, 8);
        let config = BooksConfig { orders_max, levels_max, books_max, follow_all_symbols: false };
        Books::new(config, &self.symbols)
    }

    pub fn udp(&self) -> Asker {
        Asker::new(self.rerequest)
    }

    pub fn tcp(&self) -> Soup {
        Soup::new(self.glimpse)
    }
}

/// A market that comes and goes by chance.
pub fn generated(exchange: &Exchange, steps_per_second: u32) -> Background {
    let symbol = |i: &VenueInstrument| RandomSymbol {
        security_id: i.security_id,
        middle: "100".parse().unwrap(),
        tick: i.tick,
        lot: i.lot,
    };
    Background::Random(RandomFlow::new(&RandomFlowConfig {
        seed: 5,
        symbols: exchange.instruments().map(symbol).collect(),
        orders_max: 300,
        at_once: 2_000,
        steps_per_second,
        steps_max: None,
    }))
}

/// A market of so many orders that stand for ever, while one comes and goes.
pub fn deep(exchange: &Exchange, standing: u64, steps_per_second: u32) -> Background {
    let stock = exchange.instrument(0).unwrap().symbol;
    let mut script = CaptureScript::new();
    let mut push = |message: &ItchMessage| {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(1, &mut bytes);
        script.push_message(&bytes[..length]).unwrap();
    };
    let add = |reference, side, cents: u64| ItchMessage::Add {
        locate: 1,
        reference,
        side,
        shares: 100,
        stock,
        price: u32::try_from(cents).unwrap() * 100,
    };
    for reference in 1..=standing {
        let distance = reference % 2_000;
        let (side, cents) = match reference % 2 {
            0 => (Side::Buy, 9_999 - distance),
            _ => (Side::Sell, 10_001 + distance),
        };
        push(&add(reference, side, cents));
    }
    let comings = 100_000;
    for reference in standing + 1..=standing + comings {
        push(&add(reference, Side::Buy, 9_000));
        push(&ItchMessage::Delete { locate: 1, reference });
    }
    let over_ns = 2 * comings * SECOND / u64::from(steps_per_second);
    Background::Capture(CaptureFlow::new(script, Schedule { at_once: standing, over_ns }, exchange))
}

pub fn apply(books: &mut Books, bytes: &[u8]) {
    let message = itch50::decode(bytes).unwrap();
    books.apply(&message).unwrap();
}

/// A MoldUDP64 client that asks for messages.
pub struct Asker(pub UdpSocket);

impl Asker {
    pub fn new(server: SocketAddr) -> Asker {
        let socket = UdpSocket::bind(any_port()).unwrap();
        socket.connect(server).unwrap();
        socket.set_nonblocking(true).unwrap();
        Asker(socket)
    }

    pub fn ask(&self, session: &[u8; 10], sequence: u64, count: u16) {
        let parts = [&session[..], &sequence.to_be_bytes(), &count.to_be_bytes()];
        self.0.send(&parts.concat()).unwrap();
    }

    pub fn try_answer(&self) -> Option<Vec<u8>> {
        let mut packet = vec![0; 65_536];
        match self.0.recv(&mut packet) {
            Ok(bytes) => {
                packet.truncate(bytes);
                Some(packet)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        }
    }

    /// The messages of the next answer, and its bytes; the answer begins with `sequence`.
    #[track_caller]
    pub fn answer(&self, venue: &mut Venue, sequence: u64) -> (Vec<Vec<u8>>, usize) {
        let packet = venue.until("answer", |_| self.try_answer());
        let Ok(Packet::Data(header, messages)) = parse(&packet) else { panic!("{packet:?}") };
        assert_eq!((&header.session.0, header.sequence), (SESSION, sequence));
        (messages.map(<[u8]>::to_vec).collect(), packet.len())
    }

    /// Nothing of what was asked is answered: each is refused.
    #[track_caller]
    pub fn hears_nothing(&self, venue: &mut Venue, requests: u64) {
        let before = venue.rerequests().refused();
        venue.until("refusals", |venue| {
            (venue.rerequests().refused() == before + requests).then_some(())
        });
        assert_eq!(self.try_answer(), None);
    }
}

/// A SoupBinTCP client.
pub struct Soup {
    pub stream: TcpStream,
    pub inbox: Vec<u8>,
    pub is_over: bool,
}

impl Soup {
    pub fn new(server: SocketAddr) -> Soup {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nonblocking(true).unwrap();
        Soup { stream, inbox: Vec::new(), is_over: false }
    }

    /// What is written to a server that has hung up is lost, as it is for anybody.
    pub fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u16::try_from(payload.len() + 1).unwrap().to_be_bytes();
        let _ = self.stream.write_all(&[&length[..], &[kind], payload].concat());
    }

    pub fn login(&mut self, user: &str, password: &str, session: &str, sequence: &str) {
        let payload = format!("{user:6}{password:10}{session:10}{sequence:>20}");
        self.send(b'L', payload.as_bytes());
    }

    pub fn log_in(&mut self) {
        self.login("sim", "Secret", "", "1");
    }

    /// The next packet that has come, `None` while there is none.
    pub fn try_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut bytes = [0; 4_096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.is_over = true,
            Ok(count) => self.inbox.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.is_over = true,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let (length, rest) = self.inbox.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let packet = rest.get(..length)?.to_vec();
        self.inbox.drain(..length + 2);
        Some((packet[0], packet[1..].to_vec()))
    }

    #[track_caller]
    pub fn packet(&mut self, venue: &mut Venue) -> (u8, Vec<u8>) {
        venue.until("packet", |_| self.try_packet())
    }

    /// The server hangs up, having said nothing more.
    #[track_caller]
    pub fn is_hung_up_on(&mut self, venue: &mut Venue) {
        venue.until("end", |_| {
            assert_eq!(self.try_packet(), None);
            self.is_over.then_some(())
        });
    }

    /// After a login: the messages of the snapshot, and the number that the feed goes on with.
    #[track_caller]
    pub fn snapshot(&mut self, venue: &mut Venue) -> (Vec<Vec<u8>>, u64) {
        let (kind, payload) = self.packet(venue);
        assert_eq!((kind, &payload[..]), (b'A', &b"SIMULATION                   1"[..]));
        let mut messages = Vec::new();
        loop {
            let (kind, message) = self.packet(venue);
            assert_eq!(kind, b'S');
            if message[0] == b'G' {
                assert_eq!(message.len(), 21);
                let number = std::str::from_utf8(&message[1..]).unwrap();
                assert_eq!(number, format!("{:>20}", number.trim()));
                return (messages, number.trim().parse().unwrap());
            }
            messages.push(message);
        }
    }
}

/// A market whose snapshot does not fit into the buffers of two sockets: over a megabyte.
pub fn large(setup: &mut Setup) {
    (setup.standing, setup.steps_per_second) = (30_000, 20_000);
    setup.glimpse.stall_ns = 2 * SECOND;
}

/// A client whose kernel keeps little for it.
pub fn narrow(venue: &Venue) -> Soup {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&venue.glimpse.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    Soup { stream: socket.into(), inbox: Vec::new(), is_over: false }
}
