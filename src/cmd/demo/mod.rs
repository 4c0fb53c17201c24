//! `postern demo`: an order's whole way on one machine, with the latency of every hop, and an account that must balance.
//!
//! A gateway, a simulated exchange and a strategy are wired as they would be on three hosts: order entry, venue orders,
//! reports and market data go over Aeron UDP, the exchange publishes its book as ITCH over MoldUDP64 multicast, and strategy
//! and exchange use a media driver of their own. On a lab (`--lab`) they are on three hosts: network namespaces, with a driver each. Beside the gateway stands a bare relay that copies the same messages
//! over the same channels: the floor.

mod balance;
mod hosts;
mod lines;
mod litter;
mod outcome;
mod parties;
mod parts;
mod report;
mod world;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cmd::demo::balance::Balance;
use crate::cmd::demo::lines::LineArgs;
use crate::cmd::demo::outcome::GatewayOutcome;
use crate::cmd::demo::parts::GatewayProcess;
use crate::cmd::demo::report::Report;
use crate::cmd::demo::world::World;
use crate::cmd::output::{Output, heard};
use crate::config::Config;
use crate::runtime::layout::Plan;
use crate::runtime::{
    Cause, Clock, CoreSet, OnHotAllocation, Phase, Signals, Supervisor, SupervisorConfig,
    ThreadSpec, on_hot_allocation,
};
use crate::telemetry::hlog::{Environment, LogWriter};
use crate::telemetry::{Registry, Snapshot};
use crate::topology;
use crate::types::UtcNanos;

/// The strategy's stage before it has a session and prices.
const WAITING: u8 = 0;
/// The strategy's stages from which on there is nothing more to come.
const SETTLED: u8 = 2;
const REFUSED: u8 = 3;
/// How long the run may take beyond its schedule until it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take until the strategy sends its first order.
const PATIENCE_TO_START: Duration = Duration::from_secs(30);

/// How the agents are grouped on threads, or processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoLayout {
    /// By the cores there are.
    Auto,
    /// Entry, risk and router on one thread: no order leaves its core.
    Fused,
    /// A thread each.
    Split,
    /// The gateway in a process of its own, exchange and strategy in another, as on two hosts.
    Processes,
}

/// How Aeron reaches the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoTransport {
    /// Through sockets, and so through the kernel's network stack.
    Kernel,
    /// Past it, by queues of the network interfaces (AF_XDP).
    #[value(name = "af_xdp")]
    AfXdp,
}

impl DemoTransport {
    const fn name(self) -> &'static str {
        match self {
            DemoTransport::Kernel => "kernel",
            DemoTransport::AfXdp => "af_xdp",
        }
    }
}

/// Sends orders through a whole gateway on this machine and shows where the time goes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postern demo                                  20,000 orders against a generated market
  postern demo --orders 100000 --rate 10000
  postern demo --capture day.pcap               the market is a recorded Nasdaq feed (pcap, pcapng or BinaryFILE)
  postern demo --layout split --output json
  postern demo --lab demo --transport af_xdp    the same with Aeron past the kernel's network stack on all of them
  postern demo --loss 5 --duplicate 2 --reorder 2   market data over two bad lines, each with faults of its own
  postern demo --lab demo                       across network namespaces (scripts/veth-lab demo makes and removes them)

The exit status is 0 if every order was sent and every account balances: every order ended in exactly one state, both
sides agree on every fill, positions are the sums of the fills, and the gateway's book equals the exchange's. What both bad
lines lost the gateway asks the exchange for again; until it has it, orders priced off that market are denied.
A first signal (SIGINT, SIGTERM) ends the run in good order: open orders are cancelled, what was done is reported, and the
exit status is 1 as orders are left unsent. A second one does not wait for the cancels.")]
pub struct DemoArgs {
    /// New orders to send.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub orders: u64,
    /// Orders a second. The schedule is absolute: round trips count from when an order was due.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// A recorded Nasdaq ITCH 5.0 feed (pcap, pcapng or BinaryFILE, also gzip) as the market; without it, one is generated.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// How the agents are grouped.
    #[arg(long, value_enum, default_value = "auto")]
    pub layout: DemoLayout,
    /// Run across this lab, which `scripts/veth-lab up` made: strategy, gateway and venue as hosts of their own, the gateway a
    /// process of its own. Needs root.
    #[arg(long, value_name = "NAME")]
    pub lab: Option<String>,
    /// How Aeron reaches the network on all three hosts of a lab.
    #[arg(long, value_enum, default_value = "kernel", requires = "lab")]
    pub transport: DemoTransport,
    /// Seed of the order flow, of the generated market, and of what bad lines do.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Faults of the market data lines.
    #[command(flatten, next_help_heading = "Bad market data lines")]
    pub lines: LineArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// Where to write the histograms (HdrHistogram log, V2; one tag a hop).
    #[arg(long, value_name = "FILE", default_value = "postern-demo.hlog")]
    pub hlog: PathBuf,
    /// Keep the run's configuration, keys and journal in this folder, which must not exist.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Be the gateway's process of the run in this folder (what `--layout processes` starts).
    #[arg(long, value_name = "DIR", hide = true)]
    pub gateway_of: Option<PathBuf>,
    /// End at once if a hot duty cycle allocates, rather than count it.
    #[arg(long)]
    pub abort_on_allocation: bool,
}

/// Runs the demo; the exit status says whether all orders were sent and everything balanced.
pub fn run(args: &DemoArgs) -> ExitCode {
    if args.abort_on_allocation {
        on_hot_allocation(OnHotAllocation::Abort);
    }
    let result = match &args.gateway_of {
        Some(directory) => gateway_of(directory),
        None => demo(args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            super::complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// The gateway's process: it outlives a run that is killed, and removes then what that left.
fn gateway_of(directory: &Path) -> Result<bool, String> {
    let claim = litter::Claim::join(directory);
    let ended = parts::gateway(directory);
    drop(claim);
    litter::sweep();
    ended.map(|()| true)
}

fn demo(args: &DemoArgs) -> Result<bool, String> {
    if args.lab.is_some() && matches!(args.layout, DemoLayout::Fused | DemoLayout::Split) {
        return Err("across a lab the layout is `processes`: its gateway is on another host".into());
    }
    let signals = Signals::catch().map_err(|error| format!("signals: {error}"))?;
    let hlog = HistogramFile::open(&args.hlog)?;
    let (clock, registry) = (Clock::start(), Registry::new());
    let mut world = World::prepare(args)?;
    let config = world.config().clone();
    let (mut side, plan, mut threads) = GatewaySide::prepare(args, &world, &registry, clock)?;
    if args.output == Output::Text && io::stderr().is_terminal() {
        super::complain(plan.to_string().trim_end());
    }
    let layout = side.layout(&plan);
    threads.push(world.thread(args, clock, &registry)?);
    let began = clock.now();
    let settings = supervision(&config, plan.housekeeping);
    let mut supervisor = Supervisor::start(settings, &registry, Some(signals), threads)
        .map_err(|error| error.to_string())?;
    let bar = progress(args);
    let lifecycle = supervisor.lifecycle();
    let limit = world.planned(args) + PATIENCE;
    let mut stuck = false;
    let ending = supervisor.run(|_| {
        let sent = world.progress.sent.load(Ordering::Relaxed);
        bar.set_position(sent);
        let stage = world.progress.stage.load(Ordering::Relaxed);
        let elapsed_ns = clock.now().since(began);
        // Nobody trades without prices: where they do not come, they are not waited for to the end.
        let limit = if stage == WAITING { PATIENCE_TO_START } else { limit };
        stuck = elapsed_ns > crate::types::Nanos::of(limit);
        let phase = lifecycle.phase();
        if side.tend(phase) || stage >= SETTLED || stuck {
            lifecycle.advance(Phase::Draining);
        }
    });
    bar.finish_and_clear();
    let elapsed = Duration::from_nanos(clock.now().since(began));
    if let Cause::Died { .. } = ending.cause {
        return Err(ending.to_string());
    }
    let mut snapshot = registry.snapshot();
    let outcome = side.finish(&mut snapshot, ending.is_drained)?;
    hlog.write(&snapshot, clock.utc(began), elapsed, &layout)?;
    let mut balance = Balance::of(&world, &outcome)?;
    if world.progress.stage.load(Ordering::Relaxed) == REFUSED {
        balance.faults.push("the gateway refused the strategy's session".into());
    }
    if stuck && balance.has_market_data {
        let fault = "the run did not end in time: orders were left without an answer";
        balance.faults.push(fault.into());
    }
    let is_complete = balance.orders.sent == args.orders;
    let report = Report::new(&balance, &snapshot, &layout, args);
    heard(report.print(args.output)).map_err(|error| format!("standard output: {error}"))?;
    Ok(balance.is_balanced() && is_complete)
}

/// The gateway: in this process, or in one of its own.
enum GatewaySide {
    Here(Box<topology::Gateway>),
    /// And what that is called.
    Elsewhere(Box<GatewayProcess>, &'static str),
}

impl GatewaySide {
    /// Wires it, or starts its process. Gives its plan, and the threads of this process that it needs.
    fn prepare(
        args: &DemoArgs,
        world: &World,
        registry: &Registry,
        clock: Clock,
    ) -> Result<(GatewaySide, Plan, Vec<ThreadSpec>), String> {
        let config = world.config();
        let hosts = world.hosts();
        if args.layout == DemoLayout::Processes || hosts.are_apart() {
            let mut process = GatewayProcess::start(args, hosts, world.directory())?;
            let threads = vec![process.hold()];
            let layout = if hosts.are_apart() { "lab" } else { "processes" };
            let side = GatewaySide::Elsewhere(Box::new(process), layout);
            return Ok((side, topology::plan_of(config), threads));
        }
        let relay = Some(World::relay(config));
        let mut gateway = topology::open(config)
            .and_then(|opened| topology::gateway(config, opened, registry, clock, relay))
            .map_err(|error| error.to_string())?;
        let (plan, threads) = (gateway.plan.clone(), std::mem::take(&mut gateway.threads));
        Ok((GatewaySide::Here(Box::new(gateway)), plan, threads))
    }

    fn layout(&self, plan: &Plan) -> String {
        match self {
            GatewaySide::Here(_) => plan.layout.to_string(),
            GatewaySide::Elsewhere(_, layout) => (*layout).to_owned(),
        }
    }

    /// Whether the gateway asks for the end.
    fn tend(&mut self, phase: Phase) -> bool {
        match self {
            GatewaySide::Here(_) => false,
            GatewaySide::Elsewhere(process, _) => process.tend(phase),
        }
    }

    /// What it came to, once this process has ended its threads; `snapshot` is this process's, and that of the whole run afterwards.
    fn finish(self, snapshot: &mut Snapshot, is_drained: bool) -> Result<GatewayOutcome, String> {
        match self {
            GatewaySide::Here(gateway) => {
                Ok(GatewayOutcome::of(&gateway.outcome, snapshot, is_drained))
            }
            GatewaySide::Elsewhere(process, _) => {
                let outcome = process.finish(snapshot)?;
                let is_drained = outcome.is_drained && is_drained;
                Ok(GatewayOutcome { is_drained, ..outcome })
            }
        }
    }
}

/// How the threads of a process of the demo are watched.
fn supervision(config: &Config, housekeeping: CoreSet) -> SupervisorConfig {
    SupervisorConfig {
        drain_timeout: Duration::from_millis(u64::from(config.gateway.drain_timeout_ms)),
        stall_ns: u64::from(config.runtime.stall_threshold_us) * 1_000,
        ..SupervisorConfig::new(housekeeping)
    }
}

fn progress(args: &DemoArgs) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(args.orders), ProgressDrawTarget::stderr());
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{bar:40} {human_pos} of {human_len} orders, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

/// The file for the histograms, opened before anything runs. What was in it stays until the run has succeeded, and a file
/// that was not there is removed if it has not.
struct HistogramFile {
    path: PathBuf,
    file: File,
    is_litter: bool,
}

impl HistogramFile {
    fn open(path: &Path) -> Result<HistogramFile, String> {
        let (file, is_litter) = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path), false)
            }
            created => (created, true),
        };
        let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(HistogramFile { path: path.to_owned(), file, is_litter })
    }

    fn write(
        mut self,
        snapshot: &Snapshot,
        start: UtcNanos,
        length: Duration,
        layout: &str,
    ) -> Result<(), String> {
        let write = |file: &File| -> io::Result<()> {
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            let environment = Environment::here(layout);
            let mut log = LogWriter::begin(io::BufWriter::new(file), &environment, start)?;
            log.write_snapshot(snapshot, Duration::ZERO, length)?;
            log.finish().map(|_| ())
        };
        self.is_litter = false;
        write(&self.file).map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

impl Drop for HistogramFile {
    fn drop(&mut self) {
        if self.is_litter {
            // An empty file that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
