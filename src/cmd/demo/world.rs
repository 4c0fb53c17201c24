//! What stands around the gateway in the demo: configuration, what exchange and strategy are made from, and the floor's relay.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cmd::demo::hosts::{Host, Hosts};
use crate::cmd::demo::lines::Recovery;
use crate::cmd::demo::litter::{self, Claim, Folders, PREFIX};
use crate::cmd::demo::parties::{Channels, Flow, PROBE_STREAM, Parties, VenueSeed};
use crate::cmd::demo::{DemoArgs, DemoTransport};
use crate::config::{self, Config};
use crate::feed::capture;
use crate::net::{KernelUdpSink, UdpSinkConfig};
use crate::runtime::{AgentSlot, Clock, Idle, PARK_DEFAULT, StartError, ThreadSpec};
use crate::session::{ClientConfig, ServerConfig, SessionKey};
use crate::sim::account::Account;
use crate::sim::background::{CaptureScript, RandomFlowConfig, RandomSymbol, Schedule};
use crate::sim::ledger::VenueLedger;
use crate::sim::matching::VenueInstrument;
use crate::sim::probe::RelayAgent;
use crate::sim::strategy::{StrategyConfig, StrategyInstrument, StrategyProgress};
use crate::sim::venue::{UtcAnchor, VenueConfig};
use crate::telemetry::Registry;
use crate::topology::{ExtraAgent, aeron_over, interfaces_with, plan_of};
use crate::transport::xdp::XdpTransport;
use crate::transport::{AeronConfig, Client};
use crate::types::{AccountId, InstrumentId, Price, SessionId, Symbol, UtcNanos};

/// The strategy's session.
pub(super) const SESSION: SessionId = SessionId(1);
/// The gateway's session at the exchange.
pub(super) const VENUE_SESSION: SessionId = SessionId(7);
/// The strategy's account.
pub(super) const ACCOUNT: AccountId = AccountId(1);
/// The gateway's configuration in the run's folder.
pub(super) const CONFIG_FILE: &str = "demo.toml";
/// Ports of all runs on a machine: below those that Linux gives to whoever asks for any (`ip_local_port_range`).
const PORT_FIRST: u16 = 16_000;
/// Ports of one run, with some to spare.
const PORT_BLOCK: u16 = 16;
/// Runs that have a block of their own.
const PORT_BLOCKS: u16 = 1_000;
const PORT_END: u16 = PORT_FIRST + PORT_BLOCK * PORT_BLOCKS;
/// Long, as a busy machine may keep all of the demo waiting, and no host can die alone.
const KEEPALIVE_MS: u32 = 5_000;
/// As long as a session bears silence: neither should end a run for a pause that the other bears.
const SILENCE_MS: u32 = 3 * KEEPALIVE_MS;
/// What Linux allows where nobody changed it, and more than ever waits here, in bytes.
const SOCKET_BUFFER_DEFAULT: u64 = 212_992;
const SOCKET_BUFFER_MAX: u64 = 4 << 20;
/// Orders open at the exchange at once: a snapshot has room for them all.
const OPEN_ORDERS_MAX: u32 = 1 << 15;
/// Names tried for a temporary folder.
const FOLDERS_TRIED: u32 = 8;
/// Steps of a capture that build the book before trading starts.
const OPENING_STEPS: u64 = 1_000;
/// Symbols of the generated market, with the middle their walk starts at.
const GENERATED: [(&str, &str); 4] =
    [("ALFA", "101.50"), ("BRVO", "47.20"), ("CHRL", "320.05"), ("DLTA", "12.34")];

/// Everything around the gateway.
pub(super) struct World {
    config: Config,
    hosts: Hosts,
    folders: Folders,
    // Until they are removed.
    _claim: Option<Claim>,
    instruments: Vec<VenueInstrument>,
    script: Option<CaptureScript>,
    recovery: Option<Recovery>,
    /// The market data session's name.
    market_session: [u8; 10],
    is_bad: bool,
    /// The strategy's progress.
    pub progress: Arc<StrategyProgress>,
    /// The strategy's account at the end.
    pub account: Arc<OnceLock<Account>>,
    /// The exchange's ledger at the end.
    pub ledger: Arc<OnceLock<VenueLedger>>,
}

impl World {
    /// Reads the capture, finds free ports, and writes configuration and keys.
    pub fn prepare(args: &DemoArgs) -> Result<World, String> {
        args.lines.impairment().check()?;
        let hosts = args.lab.as_deref().map_or(Ok(Hosts::here()), Hosts::of_lab)?;
        let script = args.capture.as_deref().map(read_capture).transpose()?;
        let symbols: Vec<Symbol> = match &script {
            Some(script) => script.symbols().map(|(_, symbol)| symbol).collect(),
            None => GENERATED.iter().filter_map(|(symbol, _)| Symbol::new(symbol)).collect(),
        };
        let instruments: Vec<VenueInstrument> = symbols
            .into_iter()
            .zip(1..)
            .map(|(symbol, number)| VenueInstrument {
                symbol,
                stock_locate: number,
                security_id: InstrumentId(u32::from(number)),
                tick: Price::from_itch4(100),
                lot: 1,
            })
            .collect();
        if instruments.is_empty() {
            return Err("the capture names no instrument: no stock directory and no order".into());
        }
        litter::sweep();
        let folders = Folders::new(&folder(args)?, args.keep.is_some());
        let claim = Claim::new(folders.clone());
        let clock = Clock::start();
        let market_session = session_name(clock.utc(clock.now()));
        let furnished = furnish(args, &hosts, &folders, market_session, &instruments);
        let (config, recovery) = furnished.inspect_err(|_| folders.remove())?;
        Ok(World {
            config,
            hosts,
            folders,
            _claim: claim,
            instruments,
            script,
            recovery,
            market_session,
            is_bad: args.lines.is_bad(),
            progress: Arc::default(),
            account: Arc::default(),
            ledger: Arc::default(),
        })
    }

    /// The gateway's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its parties are.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The instruments traded.
    pub fn instruments(&self) -> &[VenueInstrument] {
        &self.instruments
    }

    /// Whether the market data lines are bad.
    pub fn is_bad(&self) -> bool {
        self.is_bad
    }

    /// How long the orders and probes take on schedule.
    pub fn planned(&self, args: &DemoArgs) -> Duration {
        Duration::from_nanos(2 * args.orders * interval_ns(args.rate))
    }

    /// The run's folder: configuration, keys, journal.
    pub fn directory(&self) -> &Path {
        &self.folders.directory
    }

    /// The floor's relay, for the gateway's thread: the same channels as orders and reports, streams of its own.
    pub fn relay(config: &Config) -> ExtraAgent {
        let channels = Channels::of(config);
        Box::new(move |client: &mut Client| {
            let forth = (
                client.add_subscription(&channels.orders, PROBE_STREAM)?,
                client.add_publication(&channels.venue_orders, PROBE_STREAM)?,
            );
            let back = (
                client.add_subscription(&channels.venue_reports, PROBE_STREAM)?,
                client.add_publication(&channels.reports, PROBE_STREAM)?,
            );
            Ok(AgentSlot::new(RelayAgent { forth, back }))
        })
    }

    /// The thread of exchange and strategy, with media drivers of its own: the other hosts.
    pub fn thread(
        &mut self,
        args: &DemoArgs,
        clock: Clock,
        registry: &Registry,
    ) -> Result<ThreadSpec, String> {
        let parties = Parties {
            hosts: self.hosts.clone(),
            aeron: self.aeron()?,
            interfaces: self.interfaces(args.transport)?,
            folders: self.folders.clone(),
            venue: self.venue(args, clock)?,
            strategy: self.strategy(args),
            clock,
            registry: registry.clone(),
            progress: Arc::clone(&self.progress),
            account: Arc::clone(&self.account),
            ledger: Arc::clone(&self.ledger),
        };
        let config = self.config.clone();
        let build = move |_: &Clock| parties.build(&config).map_err(StartError::build);
        Ok(ThreadSpec {
            name: "world".to_owned(),
            // The housekeeping cores: the gateway's own are left to it.
            core: None,
            idle: Idle::Linger(PARK_DEFAULT),
            // An exchange with its books is built on it, and its memory is no gateway's.
            stack_bytes: 4 << 20,
            build: Box::new(build),
        })
    }

    /// Those of venue and strategy, where their drivers are to go past the kernel.
    fn interfaces(&self, transport: DemoTransport) -> Result<[Option<XdpTransport>; 2], String> {
        if transport == DemoTransport::Kernel {
            return Ok([None, None]);
        }
        let cores = plan_of(&self.config).housekeeping;
        let hosts = &self.hosts;
        let open = |host, address| hosts.at(host, || aeron_over(&[address], &cores)).map(Some);
        Ok([open(Host::Venue, hosts.venue)?, open(Host::Strategy, hosts.strategy)?])
    }

    /// How the media drivers of exchange and strategy are run; the gateway's is in its configuration.
    fn aeron(&self) -> Result<AeronConfig, String> {
        let buffer_bytes = usize::try_from(self.config.aeron.socket_buffer_bytes)
            .map_err(|_| "a socket buffer beyond all memory")?;
        Ok(AeronConfig {
            streams_max: 16,
            socket_send_bytes: buffer_bytes,
            socket_receive_bytes: buffer_bytes,
            driver_timeout_ms: u64::from(self.config.aeron.driver_timeout_ms),
            client_liveness_ms: u64::from(self.config.aeron.client_liveness_ms),
            ..AeronConfig::default()
        })
    }

    fn venue(&mut self, args: &DemoArgs, clock: Clock) -> Result<VenueSeed, String> {
        let now = clock.now();
        let utc = clock.utc(now);
        let midnight = UtcNanos(utc.0 - utc.0 % 86_400_000_000_000);
        let key = self.config.venues.first().map(|venue| venue.key.clone()).ok_or("no venue")?;
        let session = ServerConfig {
            session: VENUE_SESSION,
            key,
            keepalive_ms: 10..=60_000,
            own_keepalive_ms: KEEPALIVE_MS,
            clock_skew_ns: 60_000_000_000,
            retained_reports: 1 << 16,
        };
        let orders = usize::try_from(args.orders).unwrap_or(usize::MAX);
        let config = VenueConfig {
            ledger_orders_max: orders + 1,
            ledger_fills_max: orders.saturating_mul(2) + 1_024,
            open_orders_max: OPEN_ORDERS_MAX,
            mold: args.lines.mold(args.seed, self.market_session),
            ..VenueConfig::new(
                self.instruments.clone(),
                vec![session],
                UtcAnchor { now, utc },
                midnight,
            )
        };
        let channel = self.config.channels.first().ok_or("no channel")?;
        let config::Source::Multicast { line_a, line_b, .. } = channel.source else {
            return Err("the demo's channel is multicast".into());
        };
        let lines = self.hosts.at(Host::Venue, || {
            Ok((self.sink(line_a)?, line_b.map(|line| self.sink(line)).transpose()?))
        })?;
        let flow = match self.script.take() {
            Some(script) => {
                // The capture ends with the orders, so that the market lives as long as they are sent.
                let schedule = Schedule {
                    at_once: OPENING_STEPS,
                    over_ns: crate::types::Nanos::of(self.planned(args)),
                };
                Flow::Capture(script, schedule)
            }
            None => Flow::Random(RandomFlowConfig {
                seed: args.seed,
                symbols: self.instruments.iter().zip(GENERATED).filter_map(random_symbol).collect(),
                orders_max: 400,
                at_once: 4_000,
                steps_per_second: 1_000,
                steps_max: None,
            }),
        };
        let recovery = self.recovery.take().map(|recovery| recovery.servers).unwrap_or_default();
        Ok(VenueSeed { config, lines, flow, recovery })
    }

    /// Where a market data line is sent: it stays on this host, or goes as far as the next.
    fn sink(&self, destination: SocketAddrV4) -> Result<KernelUdpSink, String> {
        let apart = self.hosts.are_apart();
        let interface = self.hosts.venue;
        let settings =
            UdpSinkConfig { destination, interface, ttl: u32::from(apart), loopback: !apart };
        KernelUdpSink::new(settings).map_err(|error| format!("multicast {destination}: {error}"))
    }

    fn strategy(&self, args: &DemoArgs) -> StrategyConfig {
        let session = self.config.sessions.first();
        let key = session.map_or(SessionKey::new([0; 32]), |session| session.key.clone());
        StrategyConfig {
            session: ClientConfig {
                session: SESSION,
                key,
                keepalive_ms: KEEPALIVE_MS,
                retry_ns: 500_000_000,
            },
            account: ACCOUNT,
            instruments: self
                .instruments
                .iter()
                .map(|i| StrategyInstrument { instrument: i.security_id, tick: i.tick, lot: i.lot })
                .collect(),
            orders: args.orders,
            interval_ns: interval_ns(args.rate),
            seed: args.seed,
            resting_max: 64,
            position_max: 500,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.folders.remove();
        // A gateway's process that was killed has left word that it uses them.
        litter::sweep();
    }
}

fn random_symbol(
    (instrument, (_, middle)): (&VenueInstrument, (&str, &str)),
) -> Option<RandomSymbol> {
    Some(RandomSymbol {
        security_id: instrument.security_id,
        middle: middle.parse().ok()?,
        tick: instrument.tick,
        lot: instrument.lot,
    })
}

fn interval_ns(rate: u32) -> u64 {
    1_000_000_000 / u64::from(rate)
}

fn read_capture(path: &Path) -> Result<CaptureScript, String> {
    let capture = capture::open(path)
        .and_then(|capture| capture.whole())
        .map_err(|error| error.to_string())?;
    let mut script = CaptureScript::new();
    for (_, _, payload) in capture.iter() {
        script.push_packet(payload).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if script.is_empty() {
        return Err(format!("{}: no ITCH order in it", path.display()));
    }
    Ok(script)
}

/// The run's folder: the one to keep, or a temporary one.
fn folder(args: &DemoArgs) -> Result<PathBuf, String> {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    let own = std::process::id();
    // A process of the same number that was killed may have left its folder.
    let temporary = (0..FOLDERS_TRIED).map(|turn| match turn {
        0 => std::env::temp_dir().join(format!("{PREFIX}{own}")),
        _ => std::env::temp_dir().join(format!("{PREFIX}{own}-{turn}")),
    });
    let mut refused = String::new();
    for path in args.keep.iter().cloned().chain(temporary.filter(|_| args.keep.is_none())) {
        match builder.create(&path) {
            Ok(()) => {
                return path.canonicalize().map_err(|error| format!("{}: {error}", path.display()));
            }
            Err(error) => refused = format!("{}: {error}", path.display()),
        }
    }
    Err(refused)
}

/// Writes configuration and keys into the run's folder, and reads the configuration as a gateway would. Where the lines are
/// bad, the exchange has servers for who missed something.
fn furnish(
    args: &DemoArgs,
    hosts: &Hosts,
    folders: &Folders,
    session: [u8; 10],
    instruments: &[VenueInstrument],
) -> Result<(Config, Option<Recovery>), String> {
    let directory = folders.directory.as_path();
    let recovery = args.lines.is_bad();
    let prepare =
        || Recovery::prepare(directory, hosts.venue, session, instruments.len(), OPEN_ORDERS_MAX);
    let recovery = recovery.then(|| hosts.at(Host::Venue, prepare)).transpose()?;
    let text = configuration(args, hosts, folders, instruments, recovery.as_ref())?;
    for key in ["strategy.key", "venue.key"] {
        write_key(&directory.join(key)).map_err(|error| format!("{key}: {error}"))?;
    }
    let path = directory.join(CONFIG_FILE);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    let config = Config::load(&path).map_err(|errors| errors.to_string())?;
    Ok((config, recovery))
}

/// A start is a session of its own: who heard the last one must not take this one's messages for its continuation. Named
/// after the second it begins.
fn session_name(utc: UtcNanos) -> [u8; 10] {
    let mut name = [b'0'; 10];
    let text = format!("{:010}", utc.0 / 1_000_000_000 % 10_000_000_000);
    name.copy_from_slice(text.as_bytes());
    name
}

fn write_key(path: &Path) -> std::io::Result<()> {
    use std::io::{Read, Write};
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{digits}")
}

/// Ports nobody uses now. Outside the range that the kernel hands out by itself, and for each process from a block of its
/// own, so that nobody takes one between this look and its use.
fn free_ports<const N: usize>() -> Result<[u16; N], String> {
    let block = u16::try_from(std::process::id() % u32::from(PORT_BLOCKS)).unwrap_or_default();
    let first = PORT_FIRST + block * PORT_BLOCK;
    let is_free = |port: &u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // The block of its own, and those behind it where others use some of that.
    let mut free = (first..PORT_END).chain(PORT_FIRST..first).filter(is_free);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free.next().ok_or("no free UDP port on 127.0.0.1")?;
    }
    Ok(ports)
}

/// As much as the kernel allows anybody: what a busy machine does not read in time is kept, not lost.
fn socket_buffer_bytes() -> u64 {
    let allowed = ["rmem_max", "wmem_max"].map(|name| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}"));
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(SOCKET_BUFFER_DEFAULT)
    });
    allowed.into_iter().fold(SOCKET_BUFFER_MAX, u64::min)
}

/// The gateway's configuration as a file, as one would write it by hand.
fn configuration(
    args: &DemoArgs,
    hosts: &Hosts,
    folders: &Folders,
    instruments: &[VenueInstrument],
    recovery: Option<&Recovery>,
) -> Result<String, String> {
    let [orders, reports, venue_orders, venue_reports, market, feed, second] = free_ports::<7>()?;
    let Hosts { strategy, gateway_to_strategy, gateway_to_venue, venue, .. } = hosts;
    let layout = match args.layout {
        super::DemoLayout::Auto | super::DemoLayout::Processes => "auto",
        super::DemoLayout::Fused => "fused",
        super::DemoLayout::Split => "split",
    };
    let buffer = socket_buffer_bytes();
    let aeron = folders.memory("gateway");
    let aeron = aeron.display();
    // A group of its own for each run, so that two runs at once do not hear each other.
    let group = 1 + std::process::id() % 250;
    let rate = args.rate.saturating_mul(8).clamp(1_000, 1_000_000);
    let line_b = recovery.map_or_else(String::new, |recovery| {
        format!("line_b = \"239.255.{group}.2:{second}\"\n{}", recovery.keys())
    });
    let mut text = format!(
        r#"# Written by `postern demo`.
[gateway]
name = "demo"
layout = "{layout}"
[runtime]
stall_threshold_us = 1000
[aeron]
directory = "{aeron}"
driver_timeout_ms = {SILENCE_MS}
client_liveness_ms = {SILENCE_MS}
socket_buffer_bytes = {buffer}
[entry]
channel = "aeron:udp?endpoint={gateway_to_strategy}:{orders}"
keepalive_ms_min = {KEEPALIVE_MS}
[market_data]
channel = "aeron:udp?endpoint={strategy}:{market}"
[journal]
directory = "journal"
reserve_bytes = 0
[control]
socket = "control.sock"
http = "off"
[risk]
duplicate_count = 50

[[session]]
id = {session}
name = "strategy"
key_file = "strategy.key"
accounts = [{account}]
report_channel = "aeron:udp?endpoint={strategy}:{reports}"
report_stream_id = 2001
messages_per_second = {rate}
burst = {rate}
cancels_per_second = {rate}
max_open_orders = 4096

[[account]]
id = {account}
name = "house"
max_long = 10000
max_short = 10000
max_order_qty = 5000
max_order_notional = 5000000

[[venue]]
id = 1
name = "sim"
order_channel = "aeron:udp?endpoint={venue}:{venue_orders}"
order_stream_id = 3001
report_channel = "aeron:udp?endpoint={gateway_to_venue}:{venue_reports}"
report_stream_id = 3002
session_id = {venue_session}
key_file = "venue.key"
keepalive_ms = {KEEPALIVE_MS}

[[channel]]
id = 1
name = "sim"
source = "multicast"
line_a = "239.255.{group}.1:{feed}"
interface = "{gateway_to_venue}"
stale_after_ms = 3000
{line_b}"#,
        session = SESSION,
        account = ACCOUNT,
        venue_session = VENUE_SESSION,
    );
    for instrument in instruments {
        text.push_str(&format!(
            r#"
[[instrument]]
id = {id}
symbol = "{symbol}"
channel = 1
venue = 1
tick = {tick}
max_order_qty = 1000
max_order_notional = 1000000
collar_bps = 500
collar_ticks = 10
protection_bps = 100
protection_ticks = 10
"#,
            id = instrument.security_id,
            symbol = instrument.symbol,
            tick = instrument.tick,
        ));
    }
    if args.transport == DemoTransport::AfXdp {
        let own = [*gateway_to_strategy, *gateway_to_venue];
        for interface in hosts.at(Host::Gateway, || interfaces_with(&own))? {
            // What was asked for is measured, or nothing.
            text.push_str(&format!(
                r#"
[[af_xdp]]
interface = "{interface}"
used_by = "aeron"
fallback = "refuse"
"#
            ));
        }
    }
    Ok(text)
}
