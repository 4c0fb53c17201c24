//! `postern demo`: an order's whole way on one machine, with the latency of every hop, and an account that must balance.
//!
//! A gateway, a simulated exchange and a strategy are wired as they would be on three hosts: order entry, venue orders,
//! reports and market data go over Aeron UDP, the exchange publishes its book as ITCH over MoldUDP64 multicast, and strategy
//! and exchange use a media driver of their own. Beside the gateway stands a bare relay that copies the same messages
//! over the same channels: the floor.

mod balance;
mod report;
mod world;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cmd::demo::balance::Balance;
use crate::cmd::demo::report::Report;
use crate::cmd::demo::world::World;
use crate::cmd::output::Output;
use crate::runtime::{
    Cause, Clock, OnHotAllocation, Phase, Signals, Supervisor, SupervisorConfig, on_hot_allocation,
};
use crate::telemetry::Registry;
use crate::telemetry::hlog::{Environment, LogWriter};
use crate::topology;

/// How long the run may take beyond its schedule until it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the agents are grouped on threads, or processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoLayout {
    /// By the cores there are.
    Auto,
    /// Entry, risk and router on one thread: no order leaves its core.
    Fused,
    /// A thread each.
    Split,
}

/// Sends orders through a whole gateway on this machine and shows where the time goes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postern demo                                  20,000 orders against a generated market
  postern demo --orders 100000 --rate 10000
  postern demo --capture day.pcap               the market is a recorded Nasdaq feed (pcap or BinaryFILE)
  postern demo --layout split --output json

The exit status is 0 if every account balances: every order ended in exactly one state, both sides agree on every fill,
positions are the sums of the fills, and the gateway's book equals the exchange's.")]
pub struct DemoArgs {
    /// New orders to send.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub orders: u64,
    /// Orders a second. The schedule is absolute: round trips count from when an order was due.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// A recorded Nasdaq ITCH 5.0 feed (pcap or BinaryFILE, also gzip) as the market; without it, one is generated.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// How the agents are grouped.
    #[arg(long, value_enum, default_value = "auto")]
    pub layout: DemoLayout,
    /// Seed of the order flow and of the generated market.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// Where to write the histograms (HdrHistogram log, V2; one tag a hop).
    #[arg(long, value_name = "FILE", default_value = "postern-demo.hlog")]
    pub hlog: PathBuf,
    /// Keep the run's configuration, keys and journal in this folder, which must not exist.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// End at once if a hot duty cycle allocates, rather than count it.
    #[arg(long)]
    pub abort_on_allocation: bool,
}

/// Runs the demo; the exit status says whether everything balanced.
pub fn run(args: &DemoArgs) -> ExitCode {
    match demo(args) {
        Ok(balanced) if balanced => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            super::complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &DemoArgs) -> Result<bool, String> {
    if args.abort_on_allocation {
        on_hot_allocation(OnHotAllocation::Abort);
    }
    let clock = Clock::start();
    let registry = Registry::new();
    let mut world = World::prepare(args)?;
    let config = world.config().clone();
    let mut gateway = topology::gateway(&config, &registry, clock, Some(world.relay()))
        .map_err(|error| error.to_string())?;
    let layout = gateway.plan.layout.to_string();
    if args.output == Output::Text && io::stderr().is_terminal() {
        super::complain(gateway.plan.to_string().trim_end());
    }
    let mut threads = std::mem::take(&mut gateway.threads);
    threads.push(world.thread(args, clock, &registry)?);
    let settings = SupervisorConfig {
        drain_timeout: Duration::from_millis(u64::from(config.gateway.drain_timeout_ms)),
        stall_ns: u64::from(config.runtime.stall_threshold_us) * 1_000,
        ..SupervisorConfig::new(gateway.plan.housekeeping.clone())
    };
    let signals = Signals::catch().map_err(|error| format!("signals: {error}"))?;
    let began = clock.now();
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
        stuck = clock.now().since(began) > crate::types::Nanos::of(limit);
        if stage >= 2 || stuck {
            lifecycle.advance(Phase::Draining);
        }
    });
    bar.finish_and_clear();
    let elapsed = Duration::from_nanos(clock.now().since(began));
    if let Cause::Died { .. } = ending.cause {
        return Err(ending.to_string());
    }
    let snapshot = registry.snapshot();
    write_hlog(args, &snapshot, clock.utc(began), elapsed, &layout)?;
    let mut balance = Balance::of(&world, &gateway.outcome, &snapshot)?;
    if stuck {
        balance
            .faults
            .push("the run did not end in time: orders were left without an answer".into());
    }
    if !ending.is_drained {
        balance.faults.push("orders could not be cancelled in time".into());
    }
    let report = Report::new(&balance, &snapshot, &layout, &args.hlog);
    report.print(args.output).map_err(|error| format!("standard output: {error}"))?;
    Ok(balance.is_balanced())
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

fn write_hlog(
    args: &DemoArgs,
    snapshot: &crate::telemetry::Snapshot,
    start: crate::types::UtcNanos,
    length: Duration,
    layout: &str,
) -> Result<(), String> {
    let at = |error: io::Error| format!("{}: {error}", args.hlog.display());
    let file = std::fs::File::create(&args.hlog).map_err(at)?;
    let environment = Environment::here(layout);
    let mut log = LogWriter::begin(io::BufWriter::new(file), &environment, start).map_err(at)?;
    log.write_snapshot(snapshot, Duration::ZERO, length).map_err(at)?;
    log.finish().map_err(at)?;
    Ok(())
}
