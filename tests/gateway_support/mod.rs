//! The whole gateway, an exchange and strategies on one thread, over streams in memory. The caller drives the time and says
//! who is polled when.
//!
//! All agents, rings, sessions and the journal are the real ones. Between router and exchange lies a [`wire::Wire`] that
//! can be watched, held and cut.
#![allow(dead_code, reason = "each test and benchmark uses a part of it")]

pub mod bench_line;
pub mod inlet;
pub mod mischief;
pub mod strategy;
pub mod wire;

#[path = "../support/random.rs"]
mod random;
pub use random::Random;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use postern::codec::Message;
use postern::codec::journal::{Decision, FeedStatus, Journal, KillCommand, ReferencePrice};
use postern::entry::{EntryAgent, EntryConfig, EntryTelemetry, SessionConfig as EntrySession};
use postern::gate::{StateMachine, approved_ring};
use postern::journal::{
    JournalAgent, JournalConfig, JournalReader, JournalWriter, open, recover, replay,
};
use postern::net::PacketSink;
use postern::ring::{Backing, Producer, RingConfig, ring};
use postern::risk::{
    AccountConfig, Band, CollarConfig, CollarReference, CollarSides, Engine, InstrumentConfig,
    OrderLimits, Position, PositionLimits, RateConfig, RiskAgent, RiskConfig, RiskRings,
    SessionConfig,
};
use postern::router::{RouterAgent, RouterConfig, RouterTelemetry, VenueConfig as RouterVenue};
use postern::runtime::{Agent, Clock, HotZone};
use postern::session::{ClientConfig, ServerConfig, SessionKey};
use postern::sim::background::{Background, RandomFlow, RandomFlowConfig, RandomSymbol};
use postern::sim::matching::VenueInstrument;
use postern::sim::venue::{UtcAnchor, VenueAgent, VenueConfig, VenueLines};
use postern::telemetry::{Need, Registry};
use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::types::{
    AccountId, ChannelId, FeedState, InstrumentId, KillAction, KillScope, Nanos, Price, SessionId,
    Side, Symbol, UtcNanos, VenueId,
};

use inlet::Inlet;
use strategy::Strategy;
use wire::Wire;

pub const MS: u64 = 1_000_000;
pub const VENUE_SESSION: SessionId = SessionId(77);
pub const CHANNEL: ChannelId = ChannelId(1);
pub const VENUE: VenueId = VenueId(1);
const MESSAGE_BYTES_MAX: usize = 128;
/// The keepalive of every session: three of them silent, and it is dead.
pub const KEEPALIVE_MS: u32 = 100;

/// A price in hundredths.
pub fn cents(cents: i64) -> Price {
    Price::from_units(cents * 10_000_000)
}

/// How a world is made.
pub struct Setup {
    pub risk: RiskConfig,
    /// Slots of `entry_risk`, `risk_entry`, `router_risk`, `feed_risk` and `control_risk`.
    pub ring_slots: usize,
    pub risk_router_slots: usize,
    /// Messages that fit each stream.
    pub stream_slots: usize,
    /// Where the journal is; one that is there already is recovered from.
    pub directory: PathBuf,
    pub segment_bytes: usize,
    /// Whether others trade too, by which seed.
    pub background: Option<u64>,
}

impl Setup {
    pub fn new(directory: &Path) -> Setup {
        Setup {
            risk: risk_config(2),
            ring_slots: 128,
            risk_router_slots: 128,
            stream_slots: 1 << 12,
            directory: directory.to_path_buf(),
            segment_bytes: 1 << 20,
            background: None,
        }
    }
}

/// Two instruments around 100.00 and 50.00 on one venue, and `sessions` sessions, each with the account of its number.
pub fn risk_config(sessions: u32) -> RiskConfig {
    let instrument = |id| InstrumentConfig {
        id: InstrumentId(id),
        venue: VENUE,
        channel: CHANNEL,
        tick: cents(1),
        lot: 1,
        qty_min: 1,
        multiplier: 1,
        collar: Some(CollarConfig {
            reference: CollarReference::FarTouch,
            sides: CollarSides::Both,
            band: Band { basis_points: 500, ticks: 20 },
        }),
        market_protection: Some(Band { basis_points: 100, ticks: 5 }),
        limits: OrderLimits { qty_max: Some(1_000), notional_max: None },
    };
    let position = PositionLimits { long_max: Some(3_000), short_max: Some(2_500) };
    RiskConfig {
        instruments: vec![instrument(1), instrument(2)],
        accounts: (1..=sessions)
            .map(|id| AccountConfig {
                id: AccountId(id),
                limits: OrderLimits {
                    qty_max: Some(500),
                    notional_max: Some(i128::from(cents(10_000).units()) * 400),
                },
                instruments: vec![(InstrumentId(1), position), (InstrumentId(2), position)],
            })
            .collect(),
        sessions: (1..=sessions)
            .map(|id| SessionConfig {
                id: SessionId(id),
                accounts: vec![AccountId(id)],
                rate: RateConfig {
                    burst: 1_000_000,
                    per_second: 1_000_000,
                    window_messages: 65_536,
                    window_ns: 1,
                    cancel_burst: 1_000,
                    cancel_per_second: 1_000,
                },
                open_orders_max: 200,
                cancel_on_disconnect: true,
            })
            .collect(),
        open_orders_max: 1_000,
        duplicate: None,
        feed_stale_ns: 1_000 * MS,
        first_order_sequence: 1,
    }
}

/// What can be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Entry,
    Risk,
    Router,
    Journal,
    Wire,
    Venue,
    Strategies,
}

/// All parts, those of the gateway in the order of a fused thread.
pub const PARTS: [Part; 7] = [
    Part::Entry,
    Part::Risk,
    Part::Router,
    Part::Wire,
    Part::Venue,
    Part::Journal,
    Part::Strategies,
];

/// A line of market data nobody listens to: prices come to risk straight from the exchange's book.
#[derive(Debug)]
pub struct Unheard(Box<[u8; 2_048]>);

impl PacketSink for Unheard {
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        write(&mut self.0[..]);
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything.
pub struct World {
    pub now: Nanos,
    pub clock: Clock,
    pub registry: Registry,
    pub entry: EntryAgent<Inlet, MemoryPublication>,
    pub risk: RiskAgent<JournalWriter>,
    pub journal: JournalAgent,
    pub router: RouterAgent<MemorySubscription, MemoryPublication>,
    pub venue: VenueAgent<MemorySubscription, MemoryPublication, Unheard>,
    pub wire: Wire,
    pub strategies: Vec<Strategy>,
    inlet: Inlet,
    control_risk: Producer,
    feed_risk: Producer,
    /// What risk was last told: status at, and quotes.
    status_at: Nanos,
    quotes: Vec<(InstrumentId, Option<Price>, Option<Price>)>,
    pub feed_is_silent: bool,
    command_id: u64,
    stream_slots: usize,
}

fn key(session: SessionId) -> SessionKey {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&session.0.to_le_bytes());
    SessionKey::new(bytes)
}

pub fn server(session: SessionId) -> ServerConfig {
    ServerConfig {
        session,
        key: key(session),
        keepalive_ms: 1..=60_000,
        own_keepalive_ms: KEEPALIVE_MS,
        clock_skew_ns: u64::MAX,
        retained_reports: 1 << 13,
    }
}

pub fn client(session: SessionId) -> ClientConfig {
    let retry_ns = 50 * MS;
    ClientConfig { session, key: key(session), keepalive_ms: KEEPALIVE_MS, retry_ns }
}

pub fn venue_instruments() -> Vec<VenueInstrument> {
    let instrument = |symbol, number: u16| VenueInstrument {
        symbol: Symbol::new(symbol).expect("a symbol"),
        stock_locate: number,
        security_id: InstrumentId(u32::from(number)),
        tick: cents(1),
        lot: 1,
    };
    vec![instrument("ONE", 1), instrument("TWO", 2)]
}

fn background(seed: Option<u64>) -> Background {
    let Some(seed) = seed else { return Background::None };
    let symbols = venue_instruments().into_iter().zip([10_000, 5_000]).map(|(i, middle)| {
        RandomSymbol { security_id: i.security_id, middle: cents(middle), tick: i.tick, lot: 1 }
    });
    Background::Random(RandomFlow::new(&RandomFlowConfig {
        seed,
        symbols: symbols.collect(),
        orders_max: 300,
        at_once: 400,
        steps_per_second: 2_000,
        steps_max: None,
    }))
}

fn venue(
    setup: &Setup,
    anchor: UtcAnchor,
    registry: &Registry,
    requests: MemorySubscription,
    reports: MemoryPublication,
) -> VenueAgent<MemorySubscription, MemoryPublication, Unheard> {
    let midnight = UtcNanos(anchor.utc.0 - anchor.utc.0 % 86_400_000_000_000);
    let sessions = vec![server(VENUE_SESSION)];
    let mut config = VenueConfig::new(venue_instruments(), sessions, anchor, midnight);
    (config.orders_max, config.open_orders_max) = (8_192, 4_096);
    let line_a = Unheard(Box::new([0; 2_048]));
    let lines = VenueLines { requests, reports, line_a, line_b: None };
    let cell = Arc::new(OnceLock::new());
    VenueAgent::new(config, lines, |_| background(setup.background), registry, cell)
        .expect("a valid exchange")
}

impl World {
    /// Wires and starts everything; nobody has logged on yet.
    pub fn new(setup: &Setup) -> World {
        let (clock, registry) = (Clock::start(), Registry::new());
        let now = clock.now();
        let pair = |name| {
            ring(&RingConfig { name, slots: setup.ring_slots, backing: Backing::Heap })
                .expect("a ring")
        };
        let (to_entry_risk, entry_risk) = pair("entry_risk");
        let (to_risk_entry, risk_entry) = pair("risk_entry");
        let (to_router_risk, router_risk) = pair("router_risk");
        let (feed_risk, from_feed) = pair("feed_risk");
        let (control_risk, from_control) = pair("control_risk");
        let approved = RingConfig {
            name: "risk_router",
            slots: setup.risk_router_slots,
            backing: Backing::Heap,
        };
        let (to_risk_router, risk_router) = approved_ring(&approved).expect("a ring");

        let mut engine = Engine::new(&setup.risk).expect("valid limits");
        recover(&setup.directory, &mut engine).expect("a whole journal");
        let inlet = Inlet::default();
        let (mut sessions, mut strategies) = (Vec::new(), Vec::new());
        for session in setup.risk.sessions.iter().map(|session| session.id) {
            let (reports, from_entry) = stream(setup.stream_slots, MESSAGE_BYTES_MAX);
            let orders = inlet.connect(setup.stream_slots);
            let link = registry.link(&format!("session {session}"), Need::Optional);
            let last_cl_ord_id = engine.last_cl_ord_id(session);
            sessions.push(EntrySession { server: server(session), last_cl_ord_id, reports, link });
            strategies.push(Strategy::new(client(session), orders, from_entry));
        }
        let entry = EntryAgent::new(EntryConfig {
            orders: inlet.clone(),
            sessions,
            entry_risk: to_entry_risk,
            risk_entry,
            clock,
            telemetry: EntryTelemetry::new(&registry),
        });

        let config = JournalConfig {
            segment_bytes: setup.segment_bytes,
            ..JournalConfig::new(setup.directory.clone(), setup.risk.digest())
        };
        let (writer, journal) =
            open(&config, now, clock.utc(now), &registry).expect("the journal opens");
        let rings = RiskRings {
            control_risk: from_control,
            router_risk,
            feed_risk: from_feed,
            entry_risk,
            risk_entry: to_risk_entry,
            risk_router: to_risk_router,
        };
        let summary = Arc::new(OnceLock::new());
        let mut risk = RiskAgent::new(engine, writer, rings, clock, &registry, summary);

        let (to_wire, from_router) = stream(setup.stream_slots, MESSAGE_BYTES_MAX);
        let (to_venue, requests) = stream(setup.stream_slots, MESSAGE_BYTES_MAX);
        let (reports, from_venue) = stream(setup.stream_slots, MESSAGE_BYTES_MAX);
        let (to_router, router_reports) = stream(setup.stream_slots, MESSAGE_BYTES_MAX);
        let router = RouterAgent::new(RouterConfig {
            venues: vec![RouterVenue {
                venue: VENUE,
                session: client(VENUE_SESSION),
                orders: to_wire,
                reports: router_reports,
                link: registry.link("venue", Need::Required),
            }],
            routes: setup.risk.instruments.iter().map(|i| (i.id, i.venue)).collect(),
            open_orders_max: setup.risk.open_orders_max,
            risk_router,
            router_risk: to_router_risk,
            clock,
            telemetry: RouterTelemetry::new(&registry),
        });
        let anchor = UtcAnchor { now, utc: clock.utc(now) };
        let mut venue = venue(setup, anchor, &registry, requests, reports);
        venue.on_start(now).expect("opens");
        risk.on_start(now).expect("starts");
        World {
            now,
            clock,
            registry,
            entry,
            risk,
            journal,
            router,
            venue,
            wire: Wire::new((from_router, to_venue), (from_venue, to_router)),
            strategies,
            inlet,
            control_risk,
            feed_risk,
            status_at: Nanos(0),
            quotes: setup.risk.instruments.iter().map(|i| (i.id, None, None)).collect(),
            feed_is_silent: false,
            command_id: 0,
            stream_slots: setup.stream_slots,
        }
    }

    /// A world in which every session is up and there is a market: risk takes orders.
    pub fn open(setup: &Setup) -> World {
        let mut world = World::new(setup);
        if setup.background.is_none() {
            world.tell_quote(InstrumentId(1), Some(cents(9_999)), Some(cents(10_001)));
            world.tell_quote(InstrumentId(2), Some(cents(4_999)), Some(cents(5_001)));
        }
        world.log_on();
        world
    }

    /// Lets everybody who is not logged on do so.
    pub fn log_on(&mut self) {
        for _ in 0..2_000 {
            let (now, utc) = (self.now, self.clock.utc(self.now));
            for strategy in &mut self.strategies {
                strategy.log_on(now, utc);
            }
            self.cycle(MS);
            let all_up = self.strategies.iter().all(|s| s.session.is_established());
            if all_up && self.risk.engine().is_venue_up(VENUE) {
                self.settle();
                return;
            }
        }
        panic!("not everybody could log on");
    }

    /// Polls one part once.
    pub fn poll(&mut self, part: Part) -> usize {
        let now = self.now;
        let done = match part {
            Part::Entry => hot("entry", || self.entry.poll(now)),
            Part::Risk => {
                let told = self.tell_market();
                hot("risk", || self.risk.poll(now)).map(|work| work + told)
            }
            Part::Router => hot("router", || self.router.poll(now)),
            Part::Journal => self.journal.poll(now),
            Part::Venue => self.venue.poll(now),
            Part::Wire => Ok(self.wire.carry()),
            Part::Strategies => {
                let utc = self.clock.utc(now);
                Ok(self.strategies.iter_mut().map(|s| s.poll(now, utc)).sum())
            }
        };
        done.unwrap_or_else(|fatal| panic!("{part:?}: {fatal}"))
    }

    /// Lets `ns` pass and polls every part once.
    pub fn cycle(&mut self, ns: u64) -> usize {
        self.now = self.now.plus(ns);
        PARTS.iter().map(|&part| self.poll(part)).sum()
    }

    /// Polls `parts` in turn, at one and the same time, until none has anything left to do.
    pub fn settle_in(&mut self, parts: &[Part]) {
        let mut idle = 0;
        for _ in 0..100_000 {
            let work: usize = parts.iter().map(|&part| self.poll(part)).sum();
            idle = if work == 0 { idle + 1 } else { 0 };
            if idle == 2 {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    pub fn settle(&mut self) {
        self.settle_in(&PARTS);
    }

    /// The strategy at `index` loses its transport without a word, and opens another.
    pub fn reconnect(&mut self, index: usize) {
        let orders = self.inlet.connect(self.stream_slots);
        self.strategies[index].disconnect(orders);
    }

    pub fn tell_quote(
        &mut self,
        id: InstrumentId,
        bid: Option<Price>,
        offer: Option<Price>,
    ) -> bool {
        let price = ReferencePrice {
            bid_px: bid,
            offer_px: offer,
            ingress_time: self.now,
            security_id: id,
            channel_id: CHANNEL,
        };
        self.feed_risk.send(&price).is_ok()
    }

    /// An operator's command; `false`: the ring is full.
    pub fn command(&mut self, kill_scope: KillScope, id: u32, kill_action: KillAction) -> bool {
        let command = KillCommand {
            command_id: self.command_id + 1,
            id,
            kill_scope,
            kill_action,
            operator_name: *b"officer\0\0\0\0\0\0\0\0\0",
            reason: [0; 48],
        };
        let sent = self.control_risk.send(&command).is_ok();
        self.command_id += u64::from(sent);
        sent
    }

    /// What the feed would say: that it lives, and the best prices where they changed.
    pub fn tell_market(&mut self) -> usize {
        if self.feed_is_silent {
            return 0;
        }
        let mut told = 0;
        if self.now.since(self.status_at) >= 5 * MS {
            let status = FeedStatus {
                ingress_time: self.now,
                channel_id: CHANNEL,
                feed_state: FeedState::Current,
            };
            if self.feed_risk.send(&status).is_ok() {
                self.status_at = self.now;
                told += 1;
            }
        }
        if matches!(self.venue.background(), Background::None) {
            return told;
        }
        for place in 0..self.quotes.len() {
            let (id, bid, offer) = self.quotes[place];
            let index = u16::try_from(place).expect("few");
            let exchange = self.venue.exchange();
            let best = (exchange.best(index, Side::Buy), exchange.best(index, Side::Sell));
            if best != (bid, offer) && self.tell_quote(id, best.0, best.1) {
                self.quotes[place] = (id, best.0, best.1);
                told += 1;
            }
        }
        told
    }

    pub fn positions(&self) -> Vec<Position> {
        self.risk.engine().positions().collect()
    }

    pub fn position(&self, account: u32, instrument: u32) -> Position {
        self.positions()
            .into_iter()
            .find(|p| (p.account, p.instrument) == (AccountId(account), InstrumentId(instrument)))
            .expect("configured")
    }
}

fn hot<T>(agent: &'static str, poll: impl FnOnce() -> T) -> T {
    let _hot = HotZone::enter(agent);
    poll()
}

/// Every decision that the journal in `directory` holds.
pub fn decisions(directory: &Path) -> Vec<Decision> {
    let mut reader = JournalReader::open(directory).expect("opens");
    let mut decisions = Vec::new();
    while let Some(record) = reader.next().expect("no damage") {
        if let Ok(Journal::Decision(decision)) = Journal::decode(record.payload) {
            decisions.push(decision);
        }
    }
    decisions
}

/// Decides again all that the journal in `directory` holds, and returns what it went through and the state at the end.
pub fn replayed(
    directory: &Path,
    risk: &RiskConfig,
    belief: postern::gate::Belief,
) -> (postern::journal::Replayed, u64) {
    let mut engine = Engine::new(risk).expect("valid");
    let mut reader = JournalReader::open(directory).expect("opens");
    let done = replay(&mut reader, &mut engine, belief).unwrap_or_else(|e| panic!("{e}"));
    (done, StateMachine::digest(&engine))
}

/// The bytes of a message.
pub fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; M::BYTES];
    message.encode(&mut bytes);
    bytes
}
