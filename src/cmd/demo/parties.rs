//! Exchange and strategy, built on the thread that they share, with the media drivers that serve them.

use std::sync::{Arc, OnceLock};

use crate::cmd::demo::hosts::{Host, Hosts};
use crate::cmd::demo::litter::Folders;
use crate::config::{self, Config};
use crate::net::KernelUdpSink;
use crate::runtime::{AgentSlot, Clock};
use crate::sim::account::Account;
use crate::sim::background::{
    Background, CaptureFlow, CaptureScript, RandomFlow, RandomFlowConfig, Schedule,
};
use crate::sim::ledger::VenueLedger;
use crate::sim::probe::{EchoAgent, Probe};
use crate::sim::recovery::RecoveryServers;
use crate::sim::strategy::{StrategyAgent, StrategyConfig, StrategyParts, StrategyProgress};
use crate::sim::venue::{VenueAgent, VenueConfig, VenueLines};
use crate::telemetry::Registry;
use crate::topology::{AeronAgent, Guests};
use crate::transport::xdp::XdpTransport;
use crate::transport::{AeronConfig, Client, TransportError};

/// Streams of the floor, beside those of the gateway on the same channels.
pub(super) const PROBE_STREAM: i32 = 9_001;

/// Channels of the demo, by what goes over them.
#[derive(Clone)]
pub(super) struct Channels {
    pub orders: String,
    pub reports: String,
    pub venue_orders: String,
    pub venue_reports: String,
    pub market_data: String,
}

impl Channels {
    pub fn of(config: &Config) -> Channels {
        let first = |stream: Option<&config::Stream>| {
            stream.map(|stream| stream.channel.clone()).unwrap_or_default()
        };
        Channels {
            orders: config.entry.stream.channel.clone(),
            reports: first(config.sessions.first().map(|s| &s.reports)),
            venue_orders: first(config.venues.first().map(|v| &v.orders)),
            venue_reports: first(config.venues.first().map(|v| &v.reports)),
            market_data: config.market_data.stream.channel.clone(),
        }
    }
}

/// Their stream ids.
struct Streams {
    orders: i32,
    reports: i32,
    venue_orders: i32,
    venue_reports: i32,
    market_data: i32,
}

impl Streams {
    fn of(config: &Config) -> Streams {
        let first = |stream: Option<&config::Stream>| stream.map_or(0, |stream| stream.stream_id);
        Streams {
            orders: config.entry.stream.stream_id,
            reports: first(config.sessions.first().map(|s| &s.reports)),
            venue_orders: first(config.venues.first().map(|v| &v.orders)),
            venue_reports: first(config.venues.first().map(|v| &v.reports)),
            market_data: config.market_data.stream.stream_id,
        }
    }
}

/// Where the market's orders come from.
pub(super) enum Flow {
    Capture(CaptureScript, Schedule),
    Random(RandomFlowConfig),
}

/// What the exchange is built from.
pub(super) struct VenueSeed {
    pub config: VenueConfig,
    pub lines: (KernelUdpSink, Option<KernelUdpSink>),
    pub flow: Flow,
    pub recovery: RecoveryServers,
}

/// What both are built from, and what they leave.
pub(super) struct Parties {
    pub hosts: Hosts,
    /// Of the media drivers, but for the directory.
    pub aeron: AeronConfig,
    /// The interfaces of venue and strategy, where their drivers go past the kernel. Opened by the main thread: these have small stacks.
    pub interfaces: [Option<XdpTransport>; 2],
    pub folders: Folders,
    pub venue: VenueSeed,
    pub strategy: StrategyConfig,
    pub clock: Clock,
    pub registry: Registry,
    pub progress: Arc<StrategyProgress>,
    pub account: Arc<OnceLock<Account>>,
    pub ledger: Arc<OnceLock<VenueLedger>>,
}

fn told(error: TransportError) -> String {
    error.to_string()
}

impl Parties {
    /// Builds exchange, echo and strategy on their thread: with one media driver on one host, or one each on their own. Each
    /// driver is served after those that use it, so that what was claimed leaves at once.
    pub fn build(mut self, config: &Config) -> Result<Vec<AgentSlot>, String> {
        let hosts = self.hosts.clone();
        let (clock, registry) = (self.clock, self.registry.clone());
        let aeron = |client| {
            AgentSlot::new(AeronAgent::new(
                client,
                "world",
                &registry,
                clock,
                &Guests::default(),
                None,
            ))
        };
        if !hosts.are_apart() {
            let mut client = self.client("world", None)?;
            let (venue, strategy) = self.split(config);
            let mut agents = venue.build(&mut client)?;
            agents.push(strategy.build(&mut client)?);
            agents.push(aeron(client));
            return Ok(agents);
        }
        // A stream is opened before `add_…` returns, so all sockets of a driver are made here and none later: the thread
        // serves both from its own host.
        let [venue, strategy] = std::mem::take(&mut self.interfaces);
        let (mut at_venue, mut at_strategy) = (
            hosts.at(Host::Venue, || self.client("venue", venue))?,
            hosts.at(Host::Strategy, || self.client("strategy", strategy))?,
        );
        let (venue, strategy) = self.split(config);
        let mut agents = hosts.at(Host::Venue, || venue.build(&mut at_venue))?;
        agents.push(aeron(at_venue));
        agents.push(hosts.at(Host::Strategy, || strategy.build(&mut at_strategy))?);
        agents.push(aeron(at_strategy));
        Ok(agents)
    }

    /// A media driver of the thread's own, with its client, past the kernel on `interfaces`.
    fn client(&self, name: &str, interfaces: Option<XdpTransport>) -> Result<Client, String> {
        let directory = self.folders.memory(name);
        Client::start_over(&AeronConfig { directory, ..self.aeron.clone() }, interfaces)
            .map_err(told)
    }

    fn split(self, config: &Config) -> (VenueSide, StrategySide) {
        let channels = Channels::of(config);
        let venue = VenueSide {
            seed: self.venue,
            channels: channels.clone(),
            streams: Streams::of(config),
            registry: self.registry.clone(),
            ledger: self.ledger,
        };
        let strategy = StrategySide {
            config: self.strategy,
            channels,
            streams: Streams::of(config),
            clock: self.clock,
            registry: self.registry,
            progress: self.progress,
            account: self.account,
        };
        (venue, strategy)
    }
}

struct VenueSide {
    seed: VenueSeed,
    channels: Channels,
    streams: Streams,
    registry: Registry,
    ledger: Arc<OnceLock<VenueLedger>>,
}

impl VenueSide {
    /// The exchange, and the echo of the floor.
    fn build(self, client: &mut Client) -> Result<Vec<AgentSlot>, String> {
        let VenueSide { seed, channels, streams, registry, ledger } = self;
        let lines = VenueLines {
            requests: client
                .add_subscription(&channels.venue_orders, streams.venue_orders)
                .map_err(told)?,
            reports: client
                .add_publication(&channels.venue_reports, streams.venue_reports)
                .map_err(told)?,
            line_a: seed.lines.0,
            line_b: seed.lines.1,
        };
        let flow = seed.flow;
        let exchange = VenueAgent::new(
            seed.config,
            lines,
            |exchange| match flow {
                Flow::Capture(script, schedule) => {
                    Background::Capture(CaptureFlow::new(script, schedule, exchange))
                }
                Flow::Random(config) => Background::Random(RandomFlow::new(&config)),
            },
            &registry,
            ledger,
        )
        .map_err(|error| format!("exchange: {error}"))?
        .with_recovery(seed.recovery);
        let echo = EchoAgent {
            from: client.add_subscription(&channels.venue_orders, PROBE_STREAM).map_err(told)?,
            to: client.add_publication(&channels.venue_reports, PROBE_STREAM).map_err(told)?,
        };
        Ok(vec![AgentSlot::new(exchange), AgentSlot::new(echo)])
    }
}

struct StrategySide {
    config: StrategyConfig,
    channels: Channels,
    streams: Streams,
    clock: Clock,
    registry: Registry,
    progress: Arc<StrategyProgress>,
    account: Arc<OnceLock<Account>>,
}

impl StrategySide {
    /// The strategy, with the probe of the floor.
    fn build(self, client: &mut Client) -> Result<AgentSlot, String> {
        let StrategySide { channels, streams, registry, .. } = self;
        let probe = Probe {
            out: client.add_publication(&channels.orders, PROBE_STREAM).map_err(told)?,
            back: client.add_subscription(&channels.reports, PROBE_STREAM).map_err(told)?,
            round_trip: registry.recorder("relay_round_trip"),
        };
        let parts = StrategyParts {
            orders: client.add_publication(&channels.orders, streams.orders).map_err(told)?,
            reports: client.add_subscription(&channels.reports, streams.reports).map_err(told)?,
            market: client
                .add_subscription(&channels.market_data, streams.market_data)
                .map_err(told)?,
            probe: Some(probe),
            clock: self.clock,
            registry,
            progress: self.progress,
            result: self.account,
        };
        Ok(AgentSlot::new(StrategyAgent::new(self.config, parts)))
    }
}
