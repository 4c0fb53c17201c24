//! The wiring: every agent, ring and thread of the gateway in one file. Read this first.
//!
//! ```text
//!   strategies ─Aeron─► entry ──entry_risk──► risk ──risk_router──► router ─Aeron─► venues
//!        ▲                ▲                   │ ▲ ▲                   │
//!        └────Aeron───────┴────risk_entry─────┘ │ └────router_risk────┘
//!        ▲                                      │
//!        └──Aeron── feed ──────feed_risk────────┤      risk ═risk_journal (mapped segments)═► journal
//!                    ▲                          │
//!        exchanges ──┘   control ─control_risk──┘
//! ```
//!
//! Each ring has one producer, one consumer, and a stated policy when it is full:
//!
//! | ring | full means |
//! |---|---|
//! | `entry_risk` | orders stay unread in Aeron, whose flow control holds the strategies |
//! | `risk_entry` | risk reads no input that could make a report |
//! | `risk_router` | risk reads no request |
//! | `router_risk` | venue reports stay unread in Aeron |
//! | `feed_risk` | the newest price of each instrument is kept and sent later (conflated, counted) |
//! | `control_risk` | the operator is told to try again |
//! | `risk_journal` | new orders are refused; cancels and executions use a reserve |
//!
//! Which agents share a thread is the layout's business ([`crate::runtime::layout::plan`]); all layouts run this same code.

mod aeron;
mod bypass;
mod settings;
mod sources;

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::config::{self, AfXdpUser, Config};
use crate::control::{ControlConfig, Reach};
use crate::entry::{EntryAgent, EntryConfig, EntryTelemetry, SessionConfig};
use crate::feed::{
    BooksSnapshot, ChannelRecovery, DEPTH_MAX, FeedAgent, FeedConfig, MarketDataStreams,
    SnapshotStream,
};
use crate::gate::{ApprovedReceiver, approved_ring};
use crate::host::Wants;
use crate::journal::{self, JournalAgent, JournalWriter, ReplayError};
use crate::net::{AeronSource, SourceSet};
use crate::ring::{Consumer, Producer, RingError, ring};
use crate::risk::{Engine, RiskAgent, RiskConfig, RiskRings, RiskSummary};
use crate::router::{RouterAgent, RouterConfig, RouterTelemetry, VenueConfig};
use crate::runtime::layout::{DriverPlace, Plan, PlannedThread, Role, plan};
use crate::runtime::{
    AgentSlot, Clock, Cores, Lifecycle, STACK_BYTES, StartError, ThreadSpec, start_on,
};
use crate::session::ServerConfig;
use crate::telemetry::{LinkGauge, Need, Registry};
use crate::topology::bypass::Bypass;
use crate::transport::xdp::{XdpTransport, XdpView};
use crate::transport::{AeronConfig, Client, Driver, Publication, Subscription, TransportError};
use crate::types::{ClOrdId, InstrumentId};

pub use aeron::{AeronAgent, Guests};
pub use bypass::{QueueFallback, aeron_over, interfaces_with, objection};

/// Where the outcome of a run is found once its agents have closed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The feed's books.
    pub books: Arc<OnceLock<BooksSnapshot>>,
    /// Risk's counts and positions.
    pub risk: Arc<OnceLock<RiskSummary>>,
}

/// One more agent for the thread that has the order path, built with that thread's Aeron client.
pub type ExtraAgent = Box<dyn FnOnce(&mut Client) -> Result<AgentSlot, TransportError> + Send>;

/// A gateway, wired and ready to start.
#[derive(Debug)]
pub struct Gateway {
    /// Which thread does what, and where.
    pub plan: Plan,
    /// The threads, for [`crate::runtime::Supervisor::start`].
    pub threads: Vec<ThreadSpec>,
    /// Risk's end of the slow lane.
    pub control_risk: Producer,
    /// How the slow lane is reached.
    pub control: ControlConfig,
    /// What the run will have come to.
    pub outcome: Outcome,
    /// What the operator should know besides the plan's own remarks.
    pub remarks: Vec<String>,
    /// The media driver's interfaces that go past the kernel, for who reports on them.
    pub bypass: Option<XdpView>,
    /// A media driver with threads of its own, to be kept until the end.
    pub driver: Option<Driver>,
}

impl Gateway {
    /// What control needs, once the supervisor has a lifecycle.
    pub fn reach(
        control_risk: Producer,
        registry: &Registry,
        lifecycle: Lifecycle,
        clock: Clock,
    ) -> Reach {
        Reach { registry: registry.clone(), lifecycle, clock, control_risk: Some(control_risk) }
    }
}

/// Why a gateway cannot be wired: one sentence that names what is wrong and what to do.
#[derive(Debug)]
pub struct WiringError(String);

impl fmt::Display for WiringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WiringError {}

fn because(what: &str) -> impl FnOnce(&dyn fmt::Display) -> WiringError {
    let what = what.to_owned();
    move |error| WiringError(format!("{what}: {error}"))
}

/// What may need a privilege to be opened, open. Nothing else of a gateway needs one.
#[derive(Debug)]
pub struct Opened {
    sources: SourceSet,
    /// The media driver's queues of interfaces, and the view of them.
    interfaces: Option<XdpTransport>,
    view: Option<XdpView>,
    /// Queues that were asked for and are the kernel's after all.
    fallbacks: Vec<QueueFallback>,
    remarks: Vec<String>,
}

/// Opens what may need a privilege: queues of interfaces, and the feeds' sockets, whose interfaces are told to stamp. The privileges
/// can then be given up ([`crate::runtime::capabilities`]): the two threads it may start, which wait for the kernel and bind queues
/// again, have given up theirs.
///
/// # Errors
/// The first source that cannot be opened, in one sentence.
pub fn open(config: &Config) -> Result<Opened, WiringError> {
    let cores = plan_of(config).housekeeping;
    // What waits belongs where others wait.
    start_on(&cores, || {
        let mut bypass = bypass::open(config, &cores)?;
        let (sources, more) = sources::open(config, &mut bypass)?;
        let interfaces = bypass.transport()?;
        let view = interfaces.as_ref().map(XdpTransport::view);
        let Bypass { fallbacks, mut remarks, .. } = bypass;
        remarks.extend(more);
        Ok(Opened { sources, interfaces, view, fallbacks, remarks })
    })
    .map_err(WiringError)
}

fn count_of(fallbacks: &[QueueFallback], user: AfXdpUser) -> u64 {
    let count = fallbacks.iter().filter(|queue| queue.used_by == user).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Wires a gateway around what [`open`] opened: opens the journal, builds rings, and hands each thread what it needs. Nothing runs
/// yet but the threads of a media driver that has its own.
///
/// # Errors
/// What is missing, in one sentence.
pub fn gateway(
    config: &Config,
    opened: Opened,
    registry: &Registry,
    clock: Clock,
    extra: Option<ExtraAgent>,
) -> Result<Gateway, WiringError> {
    let plan = plan_of(config);
    let aeron = settings::aeron(config);
    let mut opened = opened;
    let (interfaces, view) = (opened.interfaces.take(), opened.view.take());
    let mut interfaces = interfaces;
    let driver = match config.aeron.driver {
        config::DriverMode::Shared | config::DriverMode::Dedicated => {
            // Its threads without a core of their own belong among the housekeeping cores, not where this thread is.
            let start = || Driver::start_over(&aeron, interfaces.take());
            let driver = start_on(&plan.housekeeping, start);
            Some(driver.map_err(|e| because("the Aeron driver")(&e))?)
        }
        config::DriverMode::Invoker | config::DriverMode::External => None,
    };
    let outcome = Outcome::default();
    let (mut seeds, control_risk, remarks) = seeds(config, opened, registry, clock, &outcome)?;
    let mut extra = extra;
    let guests = Guests::default();
    let mut threads = Vec::new();
    for planned in &plan.threads {
        if planned.agents.iter().all(|agent| agent.role == Role::Control) {
            // Control serves people on a thread of its own that is no duty cycle.
            continue;
        }
        let has_orders = planned.agents.iter().any(|agent| agent.role == Role::Entry);
        let extra = if has_orders { extra.take() } else { None };
        let wires = Wires { aeron: aeron.clone(), guests: guests.clone(), view: view.clone() };
        threads.push(thread(planned, &mut seeds, wires, registry, &mut interfaces, extra));
    }
    let control = settings::control(config);
    Ok(Gateway { plan, threads, control_risk, control, outcome, remarks, bypass: view, driver })
}

/// Which thread does what, and where, on this machine. To be called before any thread is pinned.
pub fn plan_of(config: &Config) -> Plan {
    let driver = match config.aeron.driver {
        config::DriverMode::Invoker => DriverPlace::Invoked,
        config::DriverMode::Shared
        | config::DriverMode::Dedicated
        | config::DriverMode::External => DriverPlace::Elsewhere,
    };
    place_threads(config, plan(config.gateway.layout, &Cores::of_this_machine(), driver))
}

/// What the configured layout asks of the machine.
pub fn wants(config: &Config) -> Wants {
    settings::wants(config, &plan_of(config))
}

/// Everything risk decides by.
pub fn limits(config: &Config) -> RiskConfig {
    settings::risk(config)
}

/// The plan with the cores and idle strategies that the configuration insists on.
fn place_threads(config: &Config, mut plan: Plan) -> Plan {
    let runtime = &config.runtime;
    for thread in &mut plan.threads {
        let leads = |role| thread.agents.iter().any(|agent| agent.role == role);
        let (core, idle) = if leads(Role::Entry) {
            (runtime.entry_core, runtime.entry_idle)
        } else if leads(Role::Risk) {
            (runtime.risk_core, runtime.risk_idle)
        } else if leads(Role::Router) {
            (runtime.router_core, runtime.router_idle)
        } else if leads(Role::Feed) {
            (runtime.feed_core, runtime.feed_idle)
        } else if leads(Role::Driver) {
            (runtime.driver_core, config::Idle::Auto)
        } else {
            continue;
        };
        if let Some(core) = core {
            thread.core = Some(usize::from(core));
        }
        thread.idle = settings::idle(idle, thread.idle);
    }
    if let Some(core) = runtime.housekeeping_core {
        plan.housekeeping = [usize::from(core)].into_iter().collect();
    }
    plan
}

/// What each agent is built from, made before any thread runs. All of it can be sent to a thread.
struct Seeds {
    entry: Option<EntrySeed>,
    risk: Option<Box<RiskSeed>>,
    router: Option<RouterSeed>,
    feed: Option<FeedSeed>,
    journal: Option<JournalAgent>,
}

struct EntrySeed {
    entry: config::Stream,
    /// Each with the largest ClOrdID it used in earlier runs.
    sessions: Vec<(config::Session, ServerConfig, ClOrdId)>,
    entry_risk: Producer,
    risk_entry: Consumer,
}

struct RiskSeed {
    engine: Engine,
    writer: JournalWriter,
    rings: RiskRings,
    summary: Arc<OnceLock<RiskSummary>>,
}

struct RouterSeed {
    venues: Vec<config::Venue>,
    routes: Vec<(InstrumentId, crate::types::VenueId)>,
    open_orders_max: usize,
    risk_router: ApprovedReceiver,
    router_risk: Producer,
}

struct FeedSeed {
    config: FeedConfig,
    sources: SourceSet,
    /// What is read from other gateways.
    streams: Vec<sources::FeedStream>,
    recoveries: Vec<ChannelRecovery>,
    market_data: config::MarketData,
    /// Streams of single instruments, and of copies for single sessions.
    own_streams: Vec<(InstrumentId, config::Stream)>,
    copies: Vec<config::Stream>,
    feed_risk: Producer,
    books: Arc<OnceLock<BooksSnapshot>>,
    links: Vec<LinkGauge>,
}

/// Builds every ring and gives its two ends to the two agents it joins.
fn seeds(
    config: &Config,
    opened: Opened,
    registry: &Registry,
    clock: Clock,
    outcome: &Outcome,
) -> Result<(Seeds, Producer, Vec<String>), WiringError> {
    let order_ring = |name| pair(config, name, settings::ORDER_RING_SLOTS);
    let (entry_risk_in, entry_risk) = order_ring("entry_risk")?;
    let (risk_entry, risk_entry_out) = order_ring("risk_entry")?;
    let (router_risk_in, router_risk) = order_ring("router_risk")?;
    let (feed_risk_in, feed_risk) = pair(config, "feed_risk", settings::FEED_RING_SLOTS)?;
    let (control_risk_in, control_risk) =
        pair(config, "control_risk", settings::CONTROL_RING_SLOTS)?;
    let approved = settings::ring(config, "risk_router", settings::ORDER_RING_SLOTS);
    let (risk_router, risk_router_out) =
        approved_ring(&approved).map_err(|e| because("ring risk_router")(&e))?;
    let rings =
        RiskRings { control_risk, router_risk, feed_risk, entry_risk, risk_entry, risk_router };

    let (engine, writer, journal_agent, mut remarks) = risk_and_journal(config, registry, clock)?;
    let Opened { sources, remarks: opened_remarks, fallbacks, .. } = opened;
    registry.counter("feed_xdp_fallback_count").set(count_of(&fallbacks, AfXdpUser::Feed));
    registry
        .counter("transport_xdp_queue_fallback_count")
        .set(count_of(&fallbacks, AfXdpUser::Aeron));
    remarks.extend(opened_remarks);
    remarks.extend(fallbacks.iter().map(ToString::to_string));
    let seeds = Seeds {
        entry: Some(EntrySeed {
            entry: config.entry.stream.clone(),
            sessions: config
                .sessions
                .iter()
                .map(|session| {
                    let used = engine.last_cl_ord_id(session.id);
                    (session.clone(), settings::session(config, session), used)
                })
                .collect(),
            entry_risk: entry_risk_in,
            risk_entry: risk_entry_out,
        }),
        risk: Some(Box::new(RiskSeed {
            engine,
            writer,
            rings,
            summary: Arc::clone(&outcome.risk),
        })),
        router: Some(RouterSeed {
            venues: config.venues.clone(),
            routes: config.instruments.iter().map(|i| (i.id, i.venue)).collect(),
            open_orders_max: usize::try_from(config.risk.max_open_orders).unwrap_or(usize::MAX),
            risk_router: risk_router_out,
            router_risk: router_risk_in,
        }),
        feed: Some(FeedSeed {
            config: settings::feed(config, clock.utc(clock.now())),
            sources,
            streams: sources::streams(config),
            recoveries: sources::recoveries(config).map_err(WiringError)?,
            market_data: config.market_data.clone(),
            own_streams: config
                .instruments
                .iter()
                .filter_map(|i| {
                    Some((i.id, config.market_data.stream_with(i.market_data_stream_id)?))
                })
                .collect(),
            copies: config
                .sessions
                .iter()
                .filter_map(|s| config.market_data.stream_with(s.market_data_stream_id))
                .collect(),
            feed_risk: feed_risk_in,
            books: Arc::clone(&outcome.books),
            links: config
                .channels
                .iter()
                .map(|channel| registry.link(&format!("feed {}", channel.name), Need::Required))
                .collect(),
        }),
        journal: Some(journal_agent),
    };
    Ok((seeds, control_risk_in, remarks))
}

fn pair(
    config: &Config,
    name: &'static str,
    slots: usize,
) -> Result<(Producer, Consumer), WiringError> {
    let made: Result<_, RingError> = ring(&settings::ring(config, name, slots));
    made.map_err(|error| because(&format!("ring {name}"))(&error))
}

/// Restores what risk knew when the last run ended, and goes on writing where it ended.
fn risk_and_journal(
    config: &Config,
    registry: &Registry,
    clock: Clock,
) -> Result<(Engine, JournalWriter, JournalAgent, Vec<String>), WiringError> {
    let limits = settings::risk(config);
    let mut engine = Engine::new(&limits).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        WiringError(all.join("\n"))
    })?;
    let directory = &config.journal.directory;
    let recovered = journal::recover(directory, &mut engine).map_err(|error| {
        if let ReplayError::Journal(error) = error {
            // It names the place itself.
            WiringError(error.to_string())
        } else {
            because(&format!("journal {}", directory.display()))(&error)
        }
    })?;
    let mut remarks = Vec::new();
    if recovered.records > 0 {
        remarks.push(format!(
            "journal: {} records of earlier runs restored from {}",
            recovered.records,
            directory.display()
        ));
    }
    let now = clock.now();
    let journal = settings::journal(config, limits.digest());
    let (writer, agent) = journal::open(&journal, now, clock.utc(now), registry)
        .map_err(|error| WiringError(error.to_string()))?;
    Ok((engine, writer, agent, remarks))
}

/// A thread of the plan with its agents.
/// What every thread with an Aeron client has of it.
struct Wires {
    aeron: AeronConfig,
    guests: Guests,
    view: Option<XdpView>,
}

fn thread(
    planned: &PlannedThread,
    seeds: &mut Seeds,
    wires: Wires,
    registry: &Registry,
    interfaces: &mut Option<XdpTransport>,
    extra: Option<ExtraAgent>,
) -> ThreadSpec {
    let mut own = Seeds { entry: None, risk: None, router: None, feed: None, journal: None };
    for agent in &planned.agents {
        match agent.role {
            Role::Entry => own.entry = seeds.entry.take(),
            Role::Risk => own.risk = seeds.risk.take(),
            Role::Router => own.router = seeds.router.take(),
            Role::Feed => own.feed = seeds.feed.take(),
            Role::Journal => own.journal = seeds.journal.take(),
            Role::Driver | Role::Control => {}
        }
    }
    let runs_driver = planned.agents.iter().any(|agent| agent.role == Role::Driver);
    let interfaces = if runs_driver { interfaces.take() } else { None };
    let (planned, registry) = (planned.clone(), registry.clone());
    ThreadSpec {
        name: planned.name.to_owned(),
        core: planned.core,
        idle: planned.idle,
        stack_bytes: STACK_BYTES,
        build: Box::new(move |clock| {
            build(&planned, own, &wires, &registry, *clock, interfaces, extra)
        }),
    }
}

/// Builds a thread's agents on that thread. The one that serves Aeron is polled last, so that what the others claimed
/// leaves in the same cycle.
fn build(
    planned: &PlannedThread,
    mut seeds: Seeds,
    Wires { aeron, guests, view }: &Wires,
    registry: &Registry,
    clock: Clock,
    interfaces: Option<XdpTransport>,
    extra: Option<ExtraAgent>,
) -> Result<Vec<AgentSlot>, StartError> {
    let roles = |role| planned.agents.iter().any(|agent| agent.role == role);
    let runs_driver = roles(Role::Driver);
    let needs_client =
        runs_driver || roles(Role::Entry) || roles(Role::Router) || roles(Role::Feed);
    let mut client = match (needs_client, runs_driver) {
        (false, _) => None,
        (true, true) => Some(Client::start_over(aeron, interfaces).map_err(StartError::build)?),
        (true, false) => Some(Client::connect(aeron).map_err(StartError::build)?),
    };
    let mut slots = Vec::new();
    for agent in &planned.agents {
        let slot = match (agent.role, &mut client) {
            (Role::Entry, Some(client)) => entry(seeds.entry.take(), client, registry, clock)?,
            (Role::Risk, _) => seeds.risk.take().map(|seed| risk(*seed, registry, clock)),
            (Role::Router, Some(client)) => router(seeds.router.take(), client, registry, clock)?,
            (Role::Feed, Some(client)) => feed(seeds.feed.take(), client, registry, clock)?,
            (Role::Journal, _) => seeds.journal.take().map(AgentSlot::new),
            (Role::Driver | Role::Control | Role::Entry | Role::Router | Role::Feed, _) => None,
        };
        slots.extend(slot.map(|slot| slot.every(agent.every)));
    }
    if let (Some(extra), Some(client)) = (extra, &mut client) {
        slots.push(extra(client).map_err(StartError::build)?);
    }
    if let Some(client) = client {
        let agent = AeronAgent::new(client, planned.name, registry, clock, guests, view.as_ref());
        slots.push(AgentSlot::new(agent));
    }
    Ok(slots)
}

fn entry(
    seed: Option<EntrySeed>,
    client: &mut Client,
    registry: &Registry,
    clock: Clock,
) -> Result<Option<AgentSlot>, StartError> {
    let Some(seed) = seed else { return Ok(None) };
    let orders = subscription(client, &seed.entry)?;
    let mut sessions = Vec::new();
    for (session, server, last_cl_ord_id) in seed.sessions {
        sessions.push(SessionConfig {
            server,
            last_cl_ord_id,
            reports: publication(client, &session.reports)?,
            // A strategy may come and go as it likes.
            link: registry.link(&format!("session {}", session.name), Need::Optional),
        });
    }
    let agent = EntryAgent::new(EntryConfig {
        orders,
        sessions,
        entry_risk: seed.entry_risk,
        risk_entry: seed.risk_entry,
        clock,
        telemetry: EntryTelemetry::new(registry),
    });
    Ok(Some(AgentSlot::new(agent)))
}

fn risk(seed: RiskSeed, registry: &Registry, clock: Clock) -> AgentSlot {
    let RiskSeed { engine, writer, rings, summary } = seed;
    AgentSlot::new(RiskAgent::new(engine, writer, rings, clock, registry, summary))
}

fn router(
    seed: Option<RouterSeed>,
    client: &mut Client,
    registry: &Registry,
    clock: Clock,
) -> Result<Option<AgentSlot>, StartError> {
    let Some(seed) = seed else { return Ok(None) };
    let mut venues = Vec::new();
    for venue in &seed.venues {
        venues.push(VenueConfig {
            venue: venue.id,
            session: settings::venue(venue),
            orders: publication(client, &venue.orders)?,
            reports: subscription(client, &venue.reports)?,
            link: registry.link(&format!("venue {}", venue.name), Need::Required),
        });
    }
    let agent = RouterAgent::new(RouterConfig {
        venues,
        routes: seed.routes,
        open_orders_max: seed.open_orders_max,
        risk_router: seed.risk_router,
        router_risk: seed.router_risk,
        clock,
        telemetry: RouterTelemetry::new(registry),
    });
    // The end of the order path: what venues say goes back up to the strategies in the same cycle.
    Ok(Some(AgentSlot::new(agent).turning_back()))
}

fn feed(
    seed: Option<FeedSeed>,
    client: &mut Client,
    registry: &Registry,
    clock: Clock,
) -> Result<Option<AgentSlot>, StartError> {
    let Some(seed) = seed else { return Ok(None) };
    let out = publication(client, &seed.market_data.stream)?;
    let streams = market_data(&seed, client)?;
    let mut read = Vec::with_capacity(seed.streams.len());
    for feed in &seed.streams {
        read.push(AeronSource::new(subscription(client, &feed.stream)?, feed.channel, feed.line));
    }
    let agent = FeedAgent::new(
        &seed.config,
        seed.sources.with_streams(read),
        out,
        seed.feed_risk,
        registry,
        clock,
        seed.books,
    );
    let agent = agent.with_links(seed.links).with_recovery(seed.recoveries);
    let agent = agent.with_market_data(streams, registry);
    Ok(Some(AgentSlot::new(agent)))
}

/// The streams of market data besides the one that all instruments share.
fn market_data(
    seed: &FeedSeed,
    client: &mut Client,
) -> Result<MarketDataStreams<Publication>, StartError> {
    let mut own = Vec::with_capacity(seed.own_streams.len());
    for (id, stream) in &seed.own_streams {
        own.push((*id, publication(client, stream)?));
    }
    let mut copies = Vec::with_capacity(seed.copies.len());
    for stream in &seed.copies {
        copies.push(publication(client, stream)?);
    }
    let config = &seed.market_data;
    let snapshots = if config.has_snapshots() {
        Some(SnapshotStream {
            out: publication(client, &config.snapshots)?,
            interval_ns: u64::from(config.snapshot_interval_ms) * 1_000_000,
        })
    } else {
        None
    };
    let depth = usize::try_from(config.depth).unwrap_or(DEPTH_MAX);
    Ok(MarketDataStreams { depth, own, copies, snapshots })
}

fn publication(client: &mut Client, stream: &config::Stream) -> Result<Publication, StartError> {
    client.add_publication(&stream.channel, stream.stream_id).map_err(StartError::build)
}

fn subscription(client: &mut Client, stream: &config::Stream) -> Result<Subscription, StartError> {
    client.add_subscription(&stream.channel, stream.stream_id).map_err(StartError::build)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_journal(directory: &std::path::Path, rest: &str) -> Config {
        let place = directory.display();
        let text = format!("[journal]\ndirectory = \"{place}\"\nreserve_bytes = 0\n{rest}");
        Config::from_toml("x.toml", &text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn a_journal_opens_with_the_fewest_and_the_most_segments_there_may_be() {
        for ready in [2, 7] {
            let directory = tempfile::tempdir().expect("a folder");
            let rest = format!("segment_bytes = 1048576\nsegments_ready = {ready}\n");
            let config = with_journal(directory.path(), &rest);
            let opened = risk_and_journal(&config, &Registry::new(), Clock::start());
            assert!(opened.is_ok(), "{ready}: {:?}", opened.err());
        }
    }

    #[test]
    fn a_journal_that_is_in_use_is_told_once() {
        let directory = tempfile::tempdir().expect("a folder");
        let config = with_journal(directory.path(), "");
        let open = || risk_and_journal(&config, &Registry::new(), Clock::start());
        let _writer = open().expect("the first");
        let Err(error) = open() else { panic!("a second writer") };
        let place = directory.path().display();
        assert_eq!(error.to_string(), format!("journal {place}: another process writes to it"));
    }
}
