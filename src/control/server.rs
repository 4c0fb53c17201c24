//! The control thread: binds, serves, and keeps watch over the agents until the process stops.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::control::changes::{Change, Changes};
use crate::control::desk::{Desk, phase_name};
use crate::control::http;
use crate::control::liveness::Liveness;
use crate::control::notify::Notifier;
use crate::control::socket::{self, BoundSocket};
use crate::ring::Producer;
use crate::runtime::{Clock, Lifecycle, Phase};
use crate::telemetry::Registry;

/// How often the phase is looked at: how late systemd hears of it, and how long the thread outlives the process.
const PHASE_INTERVAL: Duration = Duration::from_millis(20);
/// How often agents are looked at, unless the watchdog wants it more often.
const LIVENESS_INTERVAL: Duration = Duration::from_secs(1);

/// How often what is new is written into the log: troubles that come in thousands are a line a second.
const CHANGES_INTERVAL: Duration = Duration::from_secs(1);

/// How the outside reaches the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// Where HTTP listens; `None` for not at all. Whoever reaches it can read metrics and health.
    pub http: Option<SocketAddr>,
    /// Whether HTTP takes commands, from this machine only. Any user of the machine can then stop trading.
    pub http_commands: bool,
    /// Path of the unix socket; `None` for none. Only the user of the process and root can use it.
    pub socket: Option<PathBuf>,
    /// How long a kill switch command may take until risk confirms it.
    pub confirm_timeout: Duration,
}

impl Default for ControlConfig {
    /// Nothing listens; commands are confirmed within 2 seconds.
    fn default() -> ControlConfig {
        ControlConfig {
            http: None,
            http_commands: false,
            socket: None,
            confirm_timeout: Duration::from_secs(2),
        }
    }
}

/// What control sees and moves.
#[derive(Debug)]
pub struct Reach {
    /// Where all numbers are.
    pub registry: Registry,
    /// The phase of the process; `stop` moves it on.
    pub lifecycle: Lifecycle,
    /// The time that numbers commands.
    pub clock: Clock,
    /// The producer of `control_risk`; `None` where there is no risk agent.
    pub control_risk: Option<Producer>,
}

/// Why control cannot run.
#[derive(Debug)]
pub struct ControlError {
    /// What it was about.
    pub what: String,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for ControlError {}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ControlError {
    let what = what.into();
    move |error| ControlError { what, error }
}

/// Control, bound and ready to run.
#[derive(Debug)]
pub struct Server {
    http: Option<std::net::TcpListener>,
    http_commands: bool,
    socket: Option<BoundSocket>,
    desk: Arc<Desk>,
    stalled: watch::Sender<Vec<&'static str>>,
    notifier: Notifier,
}

impl Server {
    /// Binds what `config` names, so that a port or path that is taken is known at start.
    ///
    /// # Errors
    /// What cannot be bound, and why.
    pub fn bind(config: &ControlConfig, reach: Reach) -> Result<Server, ControlError> {
        let http = config.http.map(|address| {
            let what = format!("control cannot listen on http {address}");
            let bound = std::net::TcpListener::bind(address);
            bound
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(failed(what))
        });
        let socket = config.socket.as_ref().map(|path| {
            let what = format!("control cannot listen on socket {}", path.display());
            BoundSocket::bind(path).map_err(failed(what))
        });
        let (stalled, stalled_view) = watch::channel(Vec::new());
        let Reach { registry, lifecycle, clock, control_risk } = reach;
        let timeout = config.confirm_timeout;
        let desk = Desk::new(registry, lifecycle, clock, control_risk, timeout, stalled_view);
        Ok(Server {
            http: http.transpose()?,
            http_commands: config.http_commands,
            socket: socket.transpose()?,
            desk: Arc::new(desk),
            stalled,
            notifier: Notifier::from_env(),
        })
    }

    /// Where HTTP listens: the port that was given where 0 was asked for.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves on this thread until the process is in [`Phase::Stopping`]. Tells systemd of each phase, and keeps its
    /// watchdog quiet as long as every agent runs.
    ///
    /// # Errors
    /// If a socket fails for good.
    pub fn run(self) -> Result<(), ControlError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(failed("control cannot start"))?.block_on(self.serve())
    }

    async fn serve(self) -> Result<(), ControlError> {
        let Server { http, http_commands, socket, desk, stalled, notifier } = self;
        let serve_http = async {
            let Some(listener) = http else { return std::future::pending().await };
            let listener = tokio::net::TcpListener::from_std(listener)?;
            http::serve(listener, Arc::clone(&desk), http_commands).await
        };
        let serve_socket = async {
            let Some(socket) = &socket else { return std::future::pending().await };
            socket::serve(socket, Arc::clone(&desk)).await
        };
        tokio::select! {
            ended = serve_http => ended.map_err(failed("control's HTTP ended")),
            ended = serve_socket => ended.map_err(failed("control's socket ended")),
            () = watch_over(&desk, &stalled, &notifier) => Ok(()),
        }
    }
}

/// Follows the phase and the agents until the process stops.
async fn watch_over(desk: &Desk, stalled: &watch::Sender<Vec<&'static str>>, notifier: &Notifier) {
    // Half the timeout, as sd_watchdog_enabled(3) advises; agents are judged over the same time.
    let watchdog = notifier.watchdog_timeout().map(|timeout| timeout / 2);
    let between_looks = watchdog.unwrap_or(LIVENESS_INTERVAL).min(LIVENESS_INTERVAL);
    let mut ticks = interval(PHASE_INTERVAL.min(between_looks));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut liveness = Liveness::new();
    let mut changes = Changes::new();
    let mut last_changes = Instant::now();
    let mut last_look = Instant::now();
    let mut told = Phase::Starting;
    loop {
        ticks.tick().await;
        let phase = desk.lifecycle.phase();
        if phase != told {
            if told == Phase::Starting && phase == Phase::Running {
                notifier.ready();
            }
            if phase >= Phase::Draining && told < Phase::Draining {
                notifier.stopping();
            }
            notifier.status(&status_line(desk, phase, &[]));
            tracing::info!(phase = phase_name(phase), "phase");
            told = phase;
        }
        if phase == Phase::Stopping {
            return;
        }
        if last_changes.elapsed() >= CHANGES_INTERVAL {
            last_changes = Instant::now();
            changes.look(&desk.registry).iter().for_each(Change::log);
        }
        if phase > Phase::Starting && last_look.elapsed() >= between_looks {
            last_look = Instant::now();
            let now_stalled = liveness.stalled(&desk.registry);
            // A thread that has drained may end before the others: from here on systemd's stop timeout watches.
            if now_stalled.is_empty() || phase >= Phase::Draining {
                notifier.watchdog();
            }
            let has_changed = stalled.send_if_modified(|known| {
                let has_changed = *known != now_stalled;
                known.clone_from(&now_stalled);
                has_changed
            });
            if has_changed {
                tracing::warn!(agents = ?now_stalled, "agents that do not move");
                notifier.status(&status_line(desk, phase, &now_stalled));
            }
        }
    }
}

/// One line for `systemctl status`.
fn status_line(desk: &Desk, phase: Phase, stalled: &[&str]) -> String {
    let links = desk.registry.link_values();
    let up = links.iter().filter(|link| link.up).count();
    let mut line = format!("{}; {up} of {} links up", phase_name(phase), links.len());
    if !stalled.is_empty() {
        line += &format!("; agents that do not move: {}", stalled.join(", "));
    }
    line
}
