//! `postern run`: the gateway as a daemon.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::{AllocationGuard, Config, Wanted};
use crate::control::Server;
use crate::runtime::capabilities::{self, Capability};
use crate::runtime::memory::{self, Outcome as Grant};
use crate::runtime::{
    Clock, EXIT_NOT_DRAINED, OnHotAllocation, Signals, Supervisor, SupervisorConfig,
    on_hot_allocation,
};
use crate::telemetry::hlog::{Environment, LogWriter};
use crate::telemetry::{Intervals, Registry};
use crate::topology::{self, Gateway};
use crate::transport::xdp::{Told, XdpView};
use crate::types::Nanos;

/// Exit status of a configuration that is refused (`EX_CONFIG` of sysexits(3)).
pub(super) const EXIT_CONFIG: u8 = 78;
/// Stack of the control thread: all of it is resident where memory is locked.
const CONTROL_STACK_BYTES: usize = 512 << 10;
/// How often UTC is read again, in nanoseconds.
const ANCHOR_NS: u64 = 1_000_000_000;

/// Runs the gateway until it is told to stop (SIGTERM, SIGINT, `postern ctl stop`) or an agent dies.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postern run --config /etc/postern/postern.toml
  postern run --config postern.toml --check            refuse or accept the configuration, and do nothing else
  postern run --print-default > postern.toml           every key with its default and what it does

The first signal cancels open orders and waits for the venue's word; a second one ends at once.
Exit status: 0 stopped as asked with nothing left open, 69 orders may be open at the venue,
70 to 74 an agent died, 75 it could not start (a thread, the journal in use, an interface not there),
78 the configuration was refused.")]
pub struct RunArgs {
    /// The configuration (TOML). What it leaves out has the default.
    #[arg(long, value_name = "FILE", required_unless_present = "print_default")]
    pub config: Option<PathBuf>,
    /// Check the configuration, print it as it would be in force, and end.
    #[arg(long)]
    pub check: bool,
    /// Print the default configuration, in which every key is explained, and end.
    #[arg(long, conflicts_with_all = ["config", "check"])]
    pub print_default: bool,
}

/// Runs the daemon; the exit status says how it ended.
pub fn run(args: &RunArgs) -> ExitCode {
    let Some(path) = &args.config else {
        return super::answer(crate::config::DEFAULT_TOML);
    };
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(errors) => {
            super::complain(&errors.to_string());
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if args.check {
        return super::answer(&config.to_toml());
    }
    log_to_standard_error();
    match daemon(&config) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            tracing::error!("{}", failure.what);
            ExitCode::from(failure.status)
        }
    }
}

struct Failure {
    what: String,
    status: u8,
}

impl Failure {
    fn start(error: impl std::fmt::Display) -> Failure {
        let status = crate::runtime::Fatal::StartFailed.exit_status();
        Failure { what: error.to_string(), status }
    }
}

/// To standard error, where systemd's journal picks it up. `RUST_LOG` chooses what is told.
fn log_to_standard_error() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    let logging = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    // A second subscriber in one process is a test's doing; the first stays.
    let _ = logging.with_ansi(ansi).with_target(false).try_init();
}

fn daemon(config: &Config) -> Result<u8, Failure> {
    let clock = Clock::start();
    let registry = Registry::new();
    on_hot_allocation(match config.runtime.allocation_guard {
        AllocationGuard::Count => OnHotAllocation::Count,
        AllocationGuard::Abort => OnHotAllocation::Abort,
    });
    prepare_memory(config)?;
    let opened = topology::open(config).map_err(Failure::start)?;
    // What needs a capability is open. Threads of that have given up theirs; all others are started later.
    let dropped = capabilities::give_up().map_err(Failure::start)?;
    let mut gateway =
        topology::gateway(config, opened, &registry, clock, None).map_err(Failure::start)?;
    // Reading the journal of earlier runs took memory that is not needed any more.
    memory::give_back();
    // The plan tells its own remarks.
    let others = gateway.remarks.iter().filter(|remark| !gateway.plan.remarks.contains(remark));
    for line in gateway.plan.to_string().lines().chain(others.map(String::as_str)) {
        tracing::info!("{line}");
    }
    let settings = SupervisorConfig {
        stall_ns: u64::from(config.runtime.stall_threshold_us) * 1_000,
        drain_timeout: Duration::from_millis(u64::from(config.gateway.drain_timeout_ms)),
        ..SupervisorConfig::new(gateway.plan.housekeeping.clone())
    };
    let signals = Signals::catch().map_err(Failure::start)?;
    let threads = std::mem::take(&mut gateway.threads);
    let mut supervisor =
        Supervisor::start(settings, &registry, Some(signals), threads).map_err(|error| {
            let status = error.exit_status();
            Failure { what: error.to_string(), status }
        })?;
    let layout = gateway.plan.layout.to_string();
    let mut log = hlog(config, &registry, clock, &layout).map_err(Failure::start)?;
    // A media driver with threads of its own lives to the end of the process, on the thread that made it.
    let _driver = gateway.driver.take();
    let outcome = gateway.outcome.clone();
    let drops = registry.counter("transport_xdp_drop_count");
    let bypass = gateway.bypass.clone().map(|view| (view, drops));
    let control = start_control(gateway, &registry, &supervisor, clock)?;
    tell_capabilities(&dropped);
    let mut next_anchor = clock.now();
    let ending = supervisor.run(|_| {
        if clock.now() >= next_anchor {
            next_anchor = clock.now().plus(ANCHOR_NS);
            clock.anchor_utc();
        }
        if let Some(log) = &mut log {
            log.write_when_due(clock.now());
        }
        if let Some((view, drops)) = &bypass {
            drops.set(view.drops());
            tell_bypass(view);
        }
    });
    if let Some(log) = log {
        log.finish(clock.now());
    }
    // It ends by itself once the process stops; a panic in it was told on standard error.
    let _ = control.join();
    // An order whose venue cannot be reached leaves nothing to wait for, and may all the same be open.
    let open = outcome.risk.get().map_or(0, |risk| risk.open_order_count);
    let status = match ending.exit_status() {
        0 if open > 0 => EXIT_NOT_DRAINED,
        status => status,
    };
    if status == 0 {
        tracing::info!("{ending}");
    } else {
        tracing::error!("{ending}");
    }
    if open > 0 {
        tracing::error!(
            "{open} orders may be open at the venue: it could not be asked, or did not answer"
        );
    }
    Ok(status)
}

/// Says how each of Aeron's transports goes, since some may have been opened.
fn tell_bypass(view: &XdpView) {
    for Told { line, is_fallback } in view.take_told() {
        if is_fallback {
            tracing::warn!("{line}");
        } else {
            tracing::info!("{line}");
        }
    }
}

/// Says what was given up, and makes sure of it over every thread there is: by now that is all of them.
fn tell_capabilities(dropped: &[Capability]) {
    let kept = capabilities::kept();
    let (holders, thread_count) = match capabilities::holders(Path::new("/proc/self")) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!("capabilities: the threads cannot be looked at: {error}");
            return;
        }
    };
    let has_more = |holder: &&capabilities::Holder| holder.held != kept;
    for holder in holders.iter().filter(has_more) {
        tracing::error!("capabilities: not given up by thread {holder}");
    }
    if holders.iter().any(|holder| has_more(&holder)) {
        return;
    }
    let why = if kept.is_empty() {
        ""
    } else {
        ", as memory is locked beyond the limit (with LimitMEMLOCK=infinity in the unit it goes as well)"
    };
    tracing::info!(
        "capabilities: given up: {}; left in {thread_count} threads: {}{why}",
        capabilities::names(dropped),
        capabilities::names(kept)
    );
}

fn prepare_memory(config: &Config) -> Result<(), Failure> {
    capabilities::plan_to_give_up();
    let report = memory::prepare(config.runtime.lock_memory != Wanted::Off);
    for (what, wanted, grant) in [
        ("locked memory", config.runtime.lock_memory, &report.locked),
        ("huge pages", config.runtime.huge_pages, &report.huge_pages),
    ] {
        match (wanted, grant) {
            (Wanted::Required, Grant::Refused { .. }) => {
                return Err(Failure::start(format!("{what} is required: {grant}")));
            }
            (Wanted::Off, _) => {}
            (Wanted::Auto | Wanted::Required, _) => tracing::info!("{what}: {grant}"),
        }
    }
    Ok(())
}

/// Control on a thread of its own among the housekeeping cores: it serves people, and may wait.
fn start_control(
    gateway: Gateway,
    registry: &Registry,
    supervisor: &Supervisor,
    clock: Clock,
) -> Result<std::thread::JoinHandle<()>, Failure> {
    let Gateway { control, control_risk, .. } = gateway;
    let reach = Gateway::reach(control_risk, registry, supervisor.lifecycle(), clock);
    let server = Server::bind(&control, reach).map_err(Failure::start)?;
    if let Some(address) = server.http_address() {
        tracing::info!("control: http://{address}/health and /metrics");
    }
    let serve = move || {
        if let Err(error) = server.run() {
            tracing::error!("control: {error}");
        }
    };
    let builder = std::thread::Builder::new().name("control".into());
    builder.stack_size(CONTROL_STACK_BYTES).spawn(serve).map_err(Failure::start)
}

/// The histogram log of a daemon, one interval after the other.
struct HistogramLog {
    path: PathBuf,
    writer: LogWriter<BufWriter<File>>,
    intervals: Intervals,
    start: Nanos,
    last: Nanos,
    length_ns: u64,
}

fn hlog(
    config: &Config,
    registry: &Registry,
    clock: Clock,
    layout: &str,
) -> Result<Option<HistogramLog>, String> {
    let Some(directory) = &config.telemetry.hlog_directory else { return Ok(None) };
    let start = clock.now();
    let utc = clock.utc(start);
    let path = directory.join(format!("{}-{}.hlog", config.gateway.name, utc.0 / 1_000_000_000));
    let at = |error: std::io::Error| told(&path, &error);
    std::fs::create_dir_all(directory).map_err(at)?;
    let file = File::create_new(&path).map_err(at)?;
    let writer =
        LogWriter::begin(BufWriter::new(file), &Environment::here(layout), utc).map_err(at)?;
    let length_ns = u64::from(config.telemetry.interval_s) * 1_000_000_000;
    let intervals = registry.intervals();
    Ok(Some(HistogramLog { path, writer, intervals, start, last: start, length_ns }))
}

fn told(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

impl HistogramLog {
    fn write_when_due(&mut self, now: Nanos) {
        if now.since(self.last) >= self.length_ns {
            self.write(now);
        }
    }

    fn write(&mut self, now: Nanos) {
        let length = Duration::from_nanos(now.since(self.last));
        let since_start = Duration::from_nanos(self.last.since(self.start));
        self.last = now;
        let snapshot = self.intervals.take();
        if let Err(error) = self.writer.write_snapshot(&snapshot, since_start, length) {
            // A full disk costs histograms, never orders.
            tracing::warn!("{}", told(&self.path, &error));
        }
    }

    fn finish(mut self, now: Nanos) {
        self.write(now);
        if let Err(error) = self.writer.finish() {
            tracing::warn!("{}", told(&self.path, &error));
        }
    }
}
