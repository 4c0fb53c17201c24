//! What the daemon's tests share: `postern run` as a process of its own, and the world around it in this one: the
//! simulated exchange, the market data it publishes by multicast, and a strategy.
//!
//! The world has no thread: whoever waits for something turns it ([`World::until`]), so that nothing depends on how
//! threads are scheduled. The test binary that includes this file has `support/transport.rs` as its module `support`.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not named is all the same to a test")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use postern::codec::order_entry::{
    BusinessMessageReject, ExecutionReport, NewOrderSingle, OrderCancelReject, OrderCancelRequest,
    OrderEntry,
};
use postern::net::{KernelUdpSink, UdpSinkConfig};
use postern::runtime::{Agent, Clock};
use postern::session::{
    ClientAction, ClientConfig, ClientSession, ServerConfig, SessionKey, session_of,
};
use postern::sim::background::{Background, RandomFlow, RandomFlowConfig, RandomSymbol};
use postern::sim::matching::VenueInstrument;
use postern::sim::venue::{UtcAnchor, VenueAgent, VenueConfig, VenueLines};
use postern::telemetry::Registry;
use postern::transport::{
    AeronConfig, Client, Inbound, OfferError, Outbound, Publication, Subscription,
};
use postern::types::{
    AccountId, ClOrdId, ExecType, InstrumentId, OrdType, Price, SessionId, Side, Symbol,
    TimeInForce, UtcNanos,
};
use serde_json::Value;

use super::support::{free_port, free_tcp_port, now, wait_for};

/// The strategy's session at the gateway.
pub const SESSION: SessionId = SessionId(1);
/// The gateway's session at the exchange.
pub const VENUE_SESSION: SessionId = SessionId(7);
/// The strategy's account.
pub const ACCOUNT: AccountId = AccountId(1);
/// What is traded.
pub const INSTRUMENT: InstrumentId = InstrumentId(1);
/// Keys as they stand in the key files: 64 hexadecimal digits.
pub const STRATEGY_KEY: &str = "3c6e0b8a9c15224a8228b9a98ca1531d3c6e0b8a9c15224a8228b9a98ca1531d";
pub const VENUE_KEY: &str = "900150983cd24fb0d6963f7d28e17f72900150983cd24fb0d6963f7d28e17f72";
/// Silence after which a session's other end is asked for, in milliseconds: long, since the machine may be busy.
const KEEPALIVE_MS: u32 = 3_000;

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// What differs from test to test.
#[derive(Clone, Copy)]
pub struct Options {
    pub layout: &'static str,
    pub driver: &'static str,
    pub drain_ms: u32,
    /// More lines of `[runtime]`.
    pub runtime: &'static str,
    /// More lines of `[aeron]`.
    pub aeron: &'static str,
    /// More lines of `[journal]`.
    pub journal: &'static str,
    /// Orders and reports over shared memory of the daemon's driver, which the world's strategy cannot reach.
    pub ipc: bool,
    /// More sections.
    pub more: &'static str,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            layout: "fused",
            driver: "invoker",
            drain_ms: 20_000,
            runtime: "",
            aeron: "driver_timeout_ms = 10000\nclient_liveness_ms = 10000\n",
            journal: "",
            ipc: false,
            more: "",
        }
    }
}

/// Folders, ports and the configuration of one gateway. Removes what it made.
pub struct Setup {
    pub folder: tempfile::TempDir,
    /// The folder of the daemon's media driver.
    pub aeron: PathBuf,
    world_aeron: PathBuf,
    pub options: Options,
    pub orders: String,
    pub reports: String,
    venue_orders: String,
    venue_reports: String,
    feed: SocketAddrV4,
    spare: SocketAddrV4,
    pub http: u16,
}

impl Setup {
    pub fn new(options: Options) -> Setup {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("postern-daemon-{}-{number}", std::process::id());
        let group = |last| {
            let [high, low] =
                u16::try_from(std::process::id() % 65_000).expect("below").to_be_bytes();
            Ipv4Addr::new(239, high, low, last)
        };
        let last = u8::try_from(2 * number % 250 + 1).expect("below 252");
        let udp = || format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
        let (orders, reports) = if options.ipc {
            ("aeron:ipc".to_owned(), "aeron:ipc".to_owned())
        } else {
            (udp(), udp())
        };
        let setup = Setup {
            folder: tempfile::tempdir().expect("a folder"),
            aeron: Path::new("/dev/shm").join(&name),
            world_aeron: Path::new("/dev/shm").join(format!("{name}-world")),
            options,
            orders,
            reports,
            venue_orders: udp(),
            venue_reports: udp(),
            feed: SocketAddrV4::new(group(last), free_port()),
            spare: SocketAddrV4::new(group(last + 1), free_port()),
            http: free_tcp_port(),
        };
        setup.write("strategy.key", STRATEGY_KEY);
        setup.write("venue.key", VENUE_KEY);
        setup.write("postern.toml", &setup.text());
        setup
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, name: &str, text: &str) {
        let mut options = File::options();
        let file =
            options.write(true).create(true).truncate(true).mode(0o600).open(self.path(name));
        file.expect("a file").write_all(text.as_bytes()).expect("written");
    }

    /// The configuration as one would write it by hand.
    pub fn text(&self) -> String {
        let Setup { aeron, orders, reports, venue_orders, venue_reports, feed, http, .. } = self;
        let Options { layout, driver, drain_ms, runtime, aeron: more_aeron, journal, more, .. } =
            self.options;
        format!(
            r#"[gateway]
name = "test"
layout = "{layout}"
drain_timeout_ms = {drain_ms}
[runtime]
feed_idle = "park"
entry_idle = "park"
risk_idle = "park"
router_idle = "park"
{runtime}
[aeron]
driver = "{driver}"
directory = "{aeron}"
socket_buffer_bytes = 212992
{more_aeron}
[entry]
channel = "{orders}"
keepalive_ms_min = {KEEPALIVE_MS}
[market_data]
channel = "aeron:ipc"
[journal]
directory = "journal"
reserve_bytes = 0
{journal}
[control]
socket = "control.sock"
http = "127.0.0.1:{http}"
[[session]]
id = {SESSION}
name = "strategy"
key_file = "strategy.key"
accounts = [{ACCOUNT}]
report_channel = "{reports}"
report_stream_id = 2001
messages_per_second = 10000
burst = 10000
cancels_per_second = 10000
max_open_orders = 4096
[[account]]
id = {ACCOUNT}
name = "house"
max_long = 10000
max_short = 10000
max_order_qty = 5000
max_order_notional = 5000000
[[venue]]
id = 1
name = "sim"
order_channel = "{venue_orders}"
order_stream_id = 3001
report_channel = "{venue_reports}"
report_stream_id = 3002
session_id = {VENUE_SESSION}
key_file = "venue.key"
keepalive_ms = {KEEPALIVE_MS}
[[channel]]
id = 1
name = "sim"
source = "multicast"
line_a = "{feed}"
interface = "127.0.0.1"
stale_after_ms = 10000
[[instrument]]
id = {INSTRUMENT}
symbol = "ALFA"
channel = 1
venue = 1
tick = 0.01
max_order_qty = 1000
max_order_notional = 1000000
collar_bps = 500
collar_ticks = 10
protection_bps = 100
protection_ticks = 10
[risk]
duplicate_count = 0
reference_stale_ms = 10000
{more}"#,
            aeron = aeron.display(),
        )
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        for directory in [&self.aeron, &self.world_aeron] {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// `postern run`. Killed when dropped.
pub struct Daemon {
    pub child: Child,
    http: u16,
    log: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// Starts it on the configuration of `setup` and waits until its agents run.
    #[track_caller]
    pub fn start(setup: &Setup) -> Daemon {
        let mut daemon = Daemon::spawn(setup, &[]);
        daemon.wait_running();
        daemon
    }

    /// Starts it, with more environment, and does not wait.
    pub fn spawn(setup: &Setup, environment: &[(&str, &str)]) -> Daemon {
        let mut run = command(&["run", "--config"]);
        run.arg(setup.path("postern.toml"));
        Daemon::spawn_as(setup, run, environment)
    }

    /// Starts it by a command that becomes it.
    pub fn spawn_as(setup: &Setup, mut run: Command, environment: &[(&str, &str)]) -> Daemon {
        let log = setup.path("daemon.log");
        let file = File::options().create(true).append(true).open(&log).expect("a log");
        let child = run
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the daemon starts");
        Daemon { child, http: setup.http, log, socket: setup.path("control.sock") }
    }

    #[track_caller]
    pub fn wait_running(&mut self) {
        wait_for("running daemon", || {
            self.assert_alive();
            (self.health()?.1["phase"] == "running").then_some(())
        });
    }

    #[track_caller]
    fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("it can be asked") {
            panic!("the daemon ended with {status}:\n{}", self.log());
        }
    }

    /// All it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Status and body of `GET /health`; `None` while nothing listens.
    pub fn health(&self) -> Option<(u16, Value)> {
        self.get("/health")
    }

    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        let (status, body) = self.get_text(path)?;
        Some((status, serde_json::from_str(&body).ok()?))
    }

    pub fn get_text(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// A counter's value now.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        let (_, counters) = self.get("/counters").expect("the daemon answers");
        counters["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// Allocations in hot polls, of all agents.
    pub fn hot_allocations(&self) -> u64 {
        let (_, counters) = self.get("/counters").expect("the daemon answers");
        let agents = counters["agents"].as_object().expect("agents").clone();
        assert!(agents.len() >= 5, "{agents:?}");
        let count = |agent: &Value| agent["agent_allocation_count"].as_u64().expect("a count");
        agents.values().map(count).sum()
    }

    /// Runs `postern ctl` against it.
    pub fn ctl(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = command(&["ctl", "--socket"]);
        command.arg(&self.socket).args(arguments).output().expect("postern ctl runs")
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end, without turning any world.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        wait_for("end of the daemon", || self.child.try_wait().expect("it can be asked"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (_, counters) = self.get_text("/counters").unwrap_or_default();
            eprintln!("--- the daemon counted:\n{counters}\n--- and said:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `postern` binary.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.args(arguments).env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    command
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Strategist { session, actions, .. } = &self.strategy;
            eprintln!("--- {session:?}, was told {actions:?}");
        }
    }
}

type Exchange = VenueAgent<Subscription, Publication, KernelUdpSink>;

/// Everything around the gateway: exchange, market data, and the strategy.
pub struct World {
    // Before the client: their streams are its.
    pub strategy: Strategist,
    pub exchange: Exchange,
    market: Option<Exchange>,
    client: Client,
    clock: Clock,
    registry: Registry,
    feed: SocketAddrV4,
}

impl World {
    /// A world whose market data begins at once: the gateway is up already, so that it misses no message of it.
    pub fn new(setup: &Setup) -> World {
        let clock = Clock::start();
        let registry = Registry::new();
        let mut client = Client::start(&AeronConfig {
            term_length_bytes: 256 << 10,
            driver_timeout_ms: 20_000,
            client_liveness_ms: 20_000,
            image_liveness_ms: 2_000,
            operation_timeout_ms: 30_000,
            streams_max: 8,
            ..AeronConfig::in_directory(&setup.world_aeron)
        })
        .expect("the world's driver");
        let lines = VenueLines {
            requests: client.add_subscription(&setup.venue_orders, 3001).expect("subscribed"),
            reports: client.add_publication(&setup.venue_reports, 3002).expect("published"),
            line_a: sink(setup.spare),
            line_b: None,
        };
        let exchange = exchange(lines, clock, &registry);
        let strategy = Strategist::new(&mut client, setup);
        let mut world =
            World { strategy, exchange, market: None, client, clock, registry, feed: setup.feed };
        world.exchange.on_start(clock.now()).expect("it opens");
        world.restart_market();
        world
    }

    /// The exchange is gone without a word; another one nobody is connected to takes its place.
    pub fn lose_exchange(&mut self) {
        let lines = self.own_lines(9_003);
        self.exchange = exchange(lines, self.clock, &self.registry);
    }

    /// Publishes the same book from the start, as for a gateway that came up late.
    pub fn restart_market(&mut self) {
        self.market = None;
        let lines = self.own_lines(9_001);
        let mut market = exchange(lines, self.clock, &self.registry);
        market.on_start(self.clock.now()).expect("it opens");
        self.market = Some(market);
    }

    /// Lines of an exchange that take and give nothing but market data.
    fn own_lines(&mut self, stream: i32) -> VenueLines<Subscription, Publication, KernelUdpSink> {
        VenueLines {
            requests: self.client.add_subscription("aeron:ipc", stream).expect("subscribed"),
            reports: self.client.add_publication("aeron:ipc", stream + 10).expect("published"),
            line_a: sink(self.feed),
            line_b: None,
        }
    }

    /// One turn.
    pub fn turn(&mut self) {
        let now = self.clock.now();
        let utc = self.clock.utc(now);
        self.client.service(now).expect("the world's driver is up");
        self.exchange.poll(now).expect("the exchange works");
        if let Some(market) = &mut self.market {
            market.poll(now).expect("the market works");
        }
        self.strategy.poll(now, utc);
    }

    /// Turns until `step` gives something.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut step: impl FnMut(&mut World) -> Option<T>) -> T {
        wait_for(what, || {
            self.turn();
            step(self)
        })
    }

    /// Brings the strategy's session up, and waits until the gateway may trade: its venue and its market are there.
    #[track_caller]
    pub fn open(&mut self, daemon: &Daemon) {
        self.connect();
        self.until_tradable(daemon);
    }

    /// Brings the strategy's session up.
    #[track_caller]
    pub fn connect(&mut self) {
        self.begin();
        self.until("session", |world| world.strategy.session.is_established().then_some(()));
    }

    /// Asks to be let in, without waiting.
    pub fn begin(&mut self) {
        let (now, utc) = self.time();
        let first = self.strategy.session.start(now, utc);
        self.strategy.outbox.push(first);
    }

    /// Waits until venue and market are there.
    #[track_caller]
    pub fn until_tradable(&mut self, daemon: &Daemon) {
        let mut next = now();
        self.until("venue and market", |_| {
            // Asked rarely: to ask holds up the world.
            if now() < next {
                return None;
            }
            next = now().plus(20_000_000);
            let (_, counters) = daemon.get("/counters")?;
            let at_least = |name: &str| counters["counters"][name].as_u64() >= Some(1);
            let ready = at_least("feed_current_channel_count")
                && at_least("feed_reference_count")
                && at_least("router_venue_up_count");
            ready.then_some(())
        });
    }

    /// The exchange's best bid and offer, which are the market's too as long as nobody trades.
    pub fn touch(&self) -> (Price, Price) {
        let book = self.exchange.snapshot(0).expect("a book");
        (book.bids.first().expect("a bid").price, book.asks.first().expect("an offer").price)
    }

    /// Orders of the gateway that are open at the exchange.
    pub fn open_at_venue(&self) -> usize {
        let book = self.exchange.snapshot(0).expect("a book");
        let sides = book.bids.iter().chain(&book.asks);
        let orders = sides.flat_map(|level| &level.orders);
        orders.filter(|order| order.session == Some(VENUE_SESSION)).count()
    }

    fn time(&self) -> (postern::types::Nanos, UtcNanos) {
        let now = self.clock.now();
        (now, self.clock.utc(now))
    }

    /// Sends a limit order and returns its identifier, without waiting.
    pub fn send_order(&mut self, side: Side, price: Price, qty: u32) -> ClOrdId {
        let cl_ord_id = self.strategy.take_id();
        self.send_order_as(cl_ord_id, side, price, qty, |_| {});
        cl_ord_id
    }

    /// Sends an order after `change` was made to it.
    pub fn send_order_as(
        &mut self,
        cl_ord_id: ClOrdId,
        side: Side,
        price: Price,
        qty: u32,
        change: impl FnOnce(&mut NewOrderSingle),
    ) {
        let (now, utc) = self.time();
        let mut order = NewOrderSingle {
            session_id: SESSION,
            msg_seq_num: self.strategy.session.take_number(now),
            cl_ord_id,
            sending_time: utc,
            price: Some(price),
            order_qty: qty,
            security_id: INSTRUMENT,
            account: ACCOUNT,
            side,
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        };
        change(&mut order);
        self.strategy.outbox.push(order.into());
    }

    /// Sends a cancel of `orig`, without waiting.
    pub fn send_cancel(&mut self, orig: ClOrdId) -> ClOrdId {
        let (now, utc) = self.time();
        let cl_ord_id = self.strategy.take_id();
        let cancel = OrderCancelRequest {
            session_id: SESSION,
            msg_seq_num: self.strategy.session.take_number(now),
            cl_ord_id,
            sending_time: utc,
            orig_cl_ord_id: orig,
        };
        self.strategy.outbox.push(cancel.into());
        cl_ord_id
    }

    /// Waits for the report of `kind` about `id`.
    #[track_caller]
    pub fn report(&mut self, id: ClOrdId, kind: ExecType) -> ExecutionReport {
        let what = format!("{kind:?} of {id:?}");
        self.until(&what, |world| {
            let mut reports = world.strategy.executions.iter();
            let about = |r: &&ExecutionReport| r.cl_ord_id == id || r.orig_cl_ord_id == id;
            reports.find(|r| about(r) && r.exec_type == kind).copied()
        })
    }

    /// Sends an order that rests at the best bid, and waits until the exchange has it.
    #[track_caller]
    pub fn rest(&mut self, qty: u32) -> ClOrdId {
        let (bid, _) = self.touch();
        let id = self.send_order(Side::Buy, bid, qty);
        let report = self.any_report(id);
        assert_eq!((report.exec_type, report.deny_reason), (ExecType::New, 0), "{report:?}");
        id
    }

    /// Waits for the first report about `id`.
    #[track_caller]
    pub fn any_report(&mut self, id: ClOrdId) -> ExecutionReport {
        self.until("answer to an order", |world| {
            world.strategy.executions.iter().find(|r| r.cl_ord_id == id).copied()
        })
    }

    /// A resting order, its cancel, and both reports.
    #[track_caller]
    pub fn round_trip(&mut self) {
        let id = self.rest(10);
        self.send_cancel(id);
        self.report(id, ExecType::Canceled);
    }

    /// Waits for the daemon's end.
    #[track_caller]
    pub fn until_end(&mut self, daemon: &mut Daemon) -> ExitStatus {
        self.until("end of the daemon", |_| daemon.child.try_wait().expect("it can be asked"))
    }
}

fn sink(destination: SocketAddrV4) -> KernelUdpSink {
    let interface = Ipv4Addr::LOCALHOST;
    let config = UdpSinkConfig { destination, interface, ttl: 0, loopback: true };
    KernelUdpSink::new(config).expect("multicast on the loopback interface")
}

fn exchange(
    lines: VenueLines<Subscription, Publication, KernelUdpSink>,
    clock: Clock,
    registry: &Registry,
) -> Exchange {
    let tick: Price = "0.01".parse().expect("a price");
    let instrument = VenueInstrument {
        symbol: Symbol::new("ALFA").expect("a symbol"),
        stock_locate: 1,
        security_id: INSTRUMENT,
        tick,
        lot: 1,
    };
    let now = clock.now();
    let utc = clock.utc(now);
    let session = ServerConfig {
        session: VENUE_SESSION,
        key: VENUE_KEY.parse().expect("a key"),
        keepalive_ms: 10..=60_000,
        own_keepalive_ms: KEEPALIVE_MS,
        clock_skew_ns: 60_000_000_000,
        retained_reports: 1 << 12,
    };
    let config = VenueConfig {
        orders_max: 1 << 13,
        open_orders_max: 1 << 12,
        ledger_orders_max: 1 << 14,
        ledger_fills_max: 1 << 14,
        ..VenueConfig::new(
            vec![instrument],
            vec![session],
            UtcAnchor { now, utc },
            UtcNanos(utc.0 - utc.0 % 86_400_000_000_000),
        )
    };
    let symbol = RandomSymbol {
        security_id: INSTRUMENT,
        middle: "101.50".parse().expect("a price"),
        tick,
        lot: 1,
    };
    // All at once, and the same each time: exchange and market have the same book, which moves only by our own trades.
    let flow = RandomFlowConfig {
        seed: 7,
        symbols: vec![symbol],
        orders_max: 200,
        at_once: 600,
        steps_per_second: 0,
        steps_max: None,
    };
    let background = |_: &_| Background::Random(RandomFlow::new(&flow));
    VenueAgent::new(config, lines, background, registry, Default::default()).expect("an exchange")
}

/// A strategy: its session, and what it was told.
pub struct Strategist {
    pub session: ClientSession,
    orders: Publication,
    reports: Subscription,
    /// To be sent, in order, as the stream has room.
    pub outbox: Vec<OrderEntry>,
    /// Bytes to be sent as they are.
    pub raw: Vec<Vec<u8>>,
    pub executions: Vec<ExecutionReport>,
    pub cancel_rejects: Vec<OrderCancelReject>,
    pub business_rejects: Vec<BusinessMessageReject>,
    pub actions: Vec<ClientAction>,
    next_id: u64,
}

impl Strategist {
    fn new(client: &mut Client, setup: &Setup) -> Strategist {
        Strategist {
            session: ClientSession::new(client_config(STRATEGY_KEY)),
            orders: client.add_publication(&setup.orders, 1001).expect("published"),
            reports: client.add_subscription(&setup.reports, 2001).expect("subscribed"),
            outbox: Vec::new(),
            raw: Vec::new(),
            executions: Vec::new(),
            cancel_rejects: Vec::new(),
            business_rejects: Vec::new(),
            actions: Vec::new(),
            next_id: 1,
        }
    }

    pub fn take_id(&mut self) -> ClOrdId {
        self.next_id = self.next_id.max(self.session.server_cl_ord_id().0 + 1);
        let id = self.next_id;
        self.next_id += 1;
        ClOrdId(id)
    }

    fn poll(&mut self, now: postern::types::Nanos, utc: UtcNanos) {
        while send_first(&mut self.orders, &mut self.raw) {}
        let mut messages = Vec::new();
        let mut take = |fragment: postern::transport::Fragment<'_>| {
            messages.push(OrderEntry::decode(fragment.bytes).expect("the gateway's own message"));
        };
        self.reports.poll(64, &mut take).expect("open");
        while self.reports.next_event().is_some() {}
        for message in messages {
            assert_eq!(session_of(&message), SESSION);
            let response = self.session.on_message(now, utc, &message);
            self.outbox.extend(response.reply);
            match response.action {
                ClientAction::Apply => self.apply(message),
                ClientAction::None | ClientAction::Ignore => {}
                other => self.actions.push(other),
            }
        }
        let response = self.session.on_time(now, utc);
        self.outbox.extend(response.reply);
        if !matches!(response.action, ClientAction::None) {
            self.actions.push(response.action);
        }
        while let Some(message) = self.outbox.first() {
            let mut bytes = [0; 128];
            let length = message.encode(&mut bytes);
            let sent = self.orders.offer(length, |slot| slot.copy_from_slice(&bytes[..length]));
            match sent {
                Ok(()) => drop(self.outbox.remove(0)),
                Err(OfferError::AdminAction) => {}
                Err(error) if error.is_retryable() => break,
                Err(error) => panic!("offer refused: {error}"),
            }
        }
    }

    fn apply(&mut self, message: OrderEntry) {
        match message {
            OrderEntry::ExecutionReport(report) => self.executions.push(report),
            OrderEntry::OrderCancelReject(reject) => self.cancel_rejects.push(reject),
            OrderEntry::BusinessMessageReject(reject) => self.business_rejects.push(reject),
            other => panic!("not a report: {other:?}"),
        }
    }
}

/// The strategy's side of its session.
pub fn client_config(key: &str) -> ClientConfig {
    ClientConfig {
        session: SESSION,
        key: key.parse::<SessionKey>().expect("a key"),
        keepalive_ms: KEEPALIVE_MS,
        retry_ns: 1_000_000_000,
    }
}

/// Sends the first of `raw`; false if none was sent.
fn send_first(orders: &mut Publication, raw: &mut Vec<Vec<u8>>) -> bool {
    let Some(bytes) = raw.first() else { return false };
    let is_sent = orders.offer(bytes.len(), |slot| slot.copy_from_slice(bytes)).is_ok();
    is_sent.then(|| raw.remove(0)).is_some()
}
