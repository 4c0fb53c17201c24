//! Starts the threads, watches them, and ends them: in order, or all together when one agent dies.
//!
//! It runs on the main thread, which stays on the housekeeping cores. It touches no hot data: it reads pulses and
//! receives reports.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::runtime::cores::CoreSet;
use crate::runtime::duty::Death;
use crate::runtime::lifecycle::{Lifecycle, ThreadPulse, all_drained, all_quiet};
use crate::runtime::thread::{
    self, Report, StartError, THREAD_NAME_BYTES_MAX, ThreadContext, ThreadSpec,
};
use crate::runtime::{Clock, Fatal, Phase, memory, sys};
use crate::telemetry::Registry;
use crate::types::Nanos;

/// More threads than this no layout has.
pub const THREAD_COUNT_MAX: usize = 64;

/// How long all threads must have been quiet together for the drain to be complete: many cycles of the slowest idle
/// strategy's default.
const QUIET_NS: u64 = 2_000_000;
/// How long all agents must have owed nothing, where they never fall quiet: market data goes on whatever we do.
const DRAINED_NS: u64 = 500_000_000;
/// How long the supervisor waits for reports before it looks at signals and pulses.
const TICK: Duration = Duration::from_millis(10);
/// How the supervisor behaves.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// Where the main thread, threads without a core of their own, and all helpers run.
    pub housekeeping: CoreSet,
    /// A duty cycle this long is a stall.
    pub stall_ns: u64,
    /// How long orders may take to be cancelled before the process ends regardless.
    pub drain_timeout: Duration,
    /// How long closing may take before a thread counts as stuck and is left behind.
    pub stop_timeout: Duration,
}

impl SupervisorConfig {
    /// The defaults over these housekeeping cores: stalls from 1 ms, 5 s to drain, 5 s to stop.
    pub fn new(housekeeping: CoreSet) -> SupervisorConfig {
        SupervisorConfig {
            housekeeping,
            stall_ns: 1_000_000,
            drain_timeout: Duration::from_secs(5),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// SIGTERM and SIGINT, caught: the first asks for a drain, the second ends at once.
#[derive(Clone, Debug)]
pub struct Signals {
    is_raised: Arc<AtomicBool>,
}

impl Signals {
    /// Catches them for the whole process from here on.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn catch() -> io::Result<Signals> {
        let is_raised = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&is_raised))?;
        }
        Ok(Signals { is_raised })
    }

    fn take(&self) -> bool {
        self.is_raised.swap(false, Ordering::Relaxed)
    }
}

/// Why the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked through [`Lifecycle::advance`].
    Requested,
    /// SIGTERM or SIGINT.
    Signalled,
    /// An agent died. If several did, the first.
    Died {
        /// The thread.
        thread: String,
        /// The agent.
        agent: &'static str,
        /// Why.
        fatal: Fatal,
        /// The panic's message, or the reason in words.
        message: String,
    },
}

/// How the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// Whether every living agent finished its work before the drain's deadline. If not, orders may be open.
    pub is_drained: bool,
    /// Threads that did not end in time. They still run; the process must exit without them.
    pub stuck: Vec<String>,
}

/// The exit status of a process that was asked to end but could not finish its work: orders may be open at the venue.
pub const EXIT_NOT_DRAINED: u8 = 69;

impl Ending {
    /// The process's exit status: 0 only if it was asked to end and left nothing open.
    pub fn exit_status(&self) -> u8 {
        match &self.cause {
            Cause::Died { fatal, .. } => fatal.exit_status(),
            Cause::Requested | Cause::Signalled if self.is_drained && self.stuck.is_empty() => 0,
            Cause::Requested | Cause::Signalled => EXIT_NOT_DRAINED,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Requested => f.write_str("ended as requested")?,
            Cause::Signalled => f.write_str("ended by a signal")?,
            Cause::Died { thread, agent, fatal, message } => {
                write!(
                    f,
                    "ended as agent `{agent}` on thread `{thread}` died: {fatal} ({message})"
                )?;
            }
        }
        f.write_str(if self.is_drained {
            "; drained"
        } else {
            "; NOT drained, orders may be open"
        })?;
        if !self.stuck.is_empty() {
            write!(f, "; stuck threads: {}", self.stuck.join(", "))?;
        }
        Ok(())
    }
}

/// A thread as the supervisor knows it.
#[derive(Debug)]
pub struct ThreadState {
    /// Its name.
    pub name: String,
    /// The core it is pinned to.
    pub core: Option<usize>,
    /// Its agents, in the order they are polled.
    pub agents: Vec<&'static str>,
    /// What it tells of itself.
    pub pulse: Arc<ThreadPulse>,
    handle: Option<JoinHandle<()>>,
    has_ended: bool,
}

/// The running threads. Dropping it ends them.
#[derive(Debug)]
pub struct Supervisor {
    clock: Clock,
    config: SupervisorConfig,
    lifecycle: Lifecycle,
    signals: Option<Signals>,
    threads: Vec<ThreadState>,
    reports: Receiver<(usize, Report)>,
    cause: Option<Cause>,
    is_drained: bool,
    drain_deadline: Option<Nanos>,
    stop_deadline: Option<Nanos>,
}

impl Supervisor {
    /// Starts the threads one after another, each complete before the next is built, and lets them run. The calling
    /// thread moves to the housekeeping cores first, so that no thread inherits a hot core.
    ///
    /// # Errors
    /// The first thread that could not start; those before it have been closed again.
    pub fn start(
        config: SupervisorConfig,
        registry: &Registry,
        signals: Option<Signals>,
        specs: Vec<ThreadSpec>,
    ) -> Result<Supervisor, StartError> {
        check_names(&specs)?;
        let clock = Clock::start();
        let reachable = sys::reachable_cores();
        for spec in &specs {
            check_core(spec, &reachable)?;
        }
        sys::set_affinity(&config.housekeeping).map_err(|_| StartError::Housekeeping {
            cores: config.housekeeping.clone(),
            reachable,
        })?;
        let (sender, reports) = mpsc::channel();
        let mut supervisor = Supervisor {
            clock,
            config,
            lifecycle: Lifecycle::new(),
            signals,
            threads: Vec::with_capacity(specs.len()),
            reports,
            cause: None,
            is_drained: false,
            drain_deadline: None,
            stop_deadline: None,
        };
        for spec in specs {
            let started = supervisor.start_thread(spec, registry, sender.clone());
            if let Err(error) = started {
                supervisor.abandon();
                return Err(error);
            }
        }
        supervisor.lifecycle.advance(Phase::Running);
        Ok(supervisor)
    }

    /// The phase of the process, for whoever may ask for a drain.
    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.clone()
    }

    /// The threads, in the order they were started.
    pub fn threads(&self) -> &[ThreadState] {
        &self.threads
    }

    /// The threads whose last cycle began more than `limit_ns` ago: hung, or starved. A watchdog is fed while there is
    /// none.
    pub fn stale_threads(&self, limit_ns: u64) -> impl Iterator<Item = &ThreadState> {
        let now = self.clock.now();
        let is_stale = move |thread: &&ThreadState| {
            !thread.has_ended && now.since(thread.pulse.last_beat()) > limit_ns
        };
        self.threads.iter().filter(is_stale)
    }

    /// Watches until the process has ended. Between looks it calls `housekeep`, about a hundred times a second.
    pub fn run(&mut self, mut housekeep: impl FnMut(&Supervisor)) -> Ending {
        loop {
            if let Some(ending) = self.tick(TICK) {
                return ending;
            }
            housekeep(self);
        }
    }

    /// Waits for a report for at most `wait`, then looks at signals, deadlines and pulses, and moves the phase. Returns
    /// how the process ended, once it has.
    pub fn tick(&mut self, wait: Duration) -> Option<Ending> {
        let mut next = self.reports.recv_timeout(wait);
        while let Ok((index, report)) = next {
            self.take_report(index, report);
            next = self.reports.recv_timeout(Duration::ZERO);
        }
        if matches!(next, Err(RecvTimeoutError::Disconnected)) {
            self.mourn_vanished();
        }
        self.take_signal();
        let now = self.clock.now();
        if self.lifecycle.phase() == Phase::Draining {
            self.watch_drain(now);
        }
        if self.lifecycle.phase() == Phase::Stopping {
            return self.watch_stop(now);
        }
        None
    }

    fn start_thread(
        &mut self,
        spec: ThreadSpec,
        registry: &Registry,
        reports: mpsc::Sender<(usize, Report)>,
    ) -> Result<(), StartError> {
        let (name, core) = (spec.name.clone(), spec.core);
        let pulse = Arc::new(ThreadPulse::default());
        let context = ThreadContext {
            index: self.threads.len(),
            clock: self.clock,
            registry: registry.clone(),
            lifecycle: self.lifecycle.clone(),
            pulse: Arc::clone(&pulse),
            reports,
            stall_ns: self.config.stall_ns,
            stack_prefault_bytes: memory::STACK_PREFAULT_BYTES,
        };
        let builder = std::thread::Builder::new().name(name.clone()).stack_size(spec.stack_bytes);
        let handle = builder
            .spawn(move || thread::run(spec, &context))
            .map_err(|error| StartError::Spawn { thread: name.clone(), error })?;
        let agents = Vec::new();
        let handle = Some(handle);
        self.threads.push(ThreadState { name, core, agents, pulse, handle, has_ended: false });
        self.await_start()
    }

    /// Waits for the thread started last.
    fn await_start(&mut self) -> Result<(), StartError> {
        let own = self.threads.len() - 1;
        loop {
            match self.reports.recv_timeout(TICK) {
                Ok((index, Report::Started { agents })) if index == own => {
                    self.threads[own].agents = agents;
                    return Ok(());
                }
                Ok((index, Report::Failed(error))) => {
                    self.threads[index].has_ended = true;
                    return Err(error);
                }
                // Threads started before only wait.
                Ok((index, report)) => self.take_report(index, report),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let reason = format!("thread `{}` ended silently", self.threads[own].name);
                    return Err(StartError::build(reason));
                }
            }
            if self.signals.as_ref().is_some_and(Signals::take) {
                return Err(StartError::Interrupted);
            }
        }
    }

    /// Ends the threads that were started before one could not be.
    fn abandon(&mut self) {
        self.lifecycle.advance(Phase::Stopping);
        loop {
            if let Some(ending) = self.tick(TICK) {
                if !ending.stuck.is_empty() {
                    tracing::error!(threads = ending.stuck.join(", "), "threads did not end");
                }
                return;
            }
        }
    }

    fn take_report(&mut self, index: usize, report: Report) {
        match report {
            Report::Started { agents } => self.threads[index].agents = agents,
            Report::Failed(error) => {
                tracing::error!(thread = self.threads[index].name, %error, "thread did not start");
                self.threads[index].has_ended = true;
            }
            Report::Stopped => self.threads[index].has_ended = true,
            Report::Died { death, message } => {
                let thread = self.threads[index].name.clone();
                let (agent, fatal) = (death.agent, death.fatal);
                tracing::error!(thread, agent, message, "agent died; the process drains and ends");
                let is_from_agent = !matches!(self.cause, Some(Cause::Died { .. }));
                if is_from_agent {
                    self.cause = Some(Cause::Died { thread, agent, fatal, message });
                }
                self.lifecycle.advance(Phase::Draining);
            }
        }
    }

    /// All threads have let go of their reports: those that did not say that they stopped ended through a bug of ours.
    fn mourn_vanished(&mut self) {
        for index in 0..self.threads.len() {
            if !self.threads[index].has_ended {
                self.threads[index].has_ended = true;
                let death = Death { agent: "runtime", fatal: Fatal::Panicked };
                let message = "the thread ended without a report".to_owned();
                self.take_report(index, Report::Died { death, message });
            }
        }
    }

    fn take_signal(&mut self) {
        if !self.signals.as_ref().is_some_and(Signals::take) {
            return;
        }
        if self.lifecycle.phase() < Phase::Draining {
            tracing::info!("signal: draining; a second one ends at once");
            self.cause.get_or_insert(Cause::Signalled);
            self.lifecycle.advance(Phase::Draining);
        } else {
            tracing::warn!("second signal: ending at once");
            self.lifecycle.advance(Phase::Stopping);
        }
    }

    fn watch_drain(&mut self, now: Nanos) {
        let timeout_ns = Nanos::of(self.config.drain_timeout);
        let deadline = *self.drain_deadline.get_or_insert_with(|| now.plus(timeout_ns));
        let pulses: Vec<_> =
            self.threads.iter().filter(|t| !t.has_ended).map(|t| Arc::clone(&t.pulse)).collect();
        if all_quiet(&pulses, QUIET_NS) || all_drained(&pulses, DRAINED_NS) {
            self.is_drained = true;
            self.lifecycle.advance(Phase::Stopping);
        } else if now >= deadline {
            let names: Vec<&str> = self.threads.iter().filter(is_busy).map(name_of).collect();
            tracing::error!(threads = names.join(", "), "the drain's deadline passed");
            self.lifecycle.advance(Phase::Stopping);
        }
    }

    fn watch_stop(&mut self, now: Nanos) -> Option<Ending> {
        let timeout_ns = Nanos::of(self.config.stop_timeout);
        let deadline = *self.stop_deadline.get_or_insert_with(|| now.plus(timeout_ns));
        let all_ended = self.threads.iter().all(|thread| thread.has_ended);
        if !all_ended && now < deadline {
            return None;
        }
        let mut stuck = Vec::new();
        for thread in &mut self.threads {
            match thread.handle.take() {
                Some(handle) if thread.has_ended => {
                    // Its body catches every panic and has returned.
                    let _ = handle.join();
                }
                Some(_) | None if !thread.has_ended => stuck.push(thread.name.clone()),
                Some(_) | None => {}
            }
        }
        let cause = self.cause.clone().unwrap_or(Cause::Requested);
        Some(Ending { cause, is_drained: self.is_drained, stuck })
    }
}

impl Drop for Supervisor {
    /// Ends the threads at once, if they still run, and does not wait for them.
    fn drop(&mut self) {
        self.lifecycle.advance(Phase::Stopping);
    }
}

fn is_busy(thread: &&ThreadState) -> bool {
    !thread.has_ended && thread.pulse.quiet_since().is_none()
}

fn name_of(thread: &ThreadState) -> &str {
    &thread.name
}

fn check_names(specs: &[ThreadSpec]) -> Result<(), StartError> {
    assert!(specs.len() <= THREAD_COUNT_MAX, "{} threads", specs.len());
    let mut taken = BTreeSet::new();
    for spec in specs {
        let name = spec.name.as_str();
        let is_right = (1..=THREAD_NAME_BYTES_MAX).contains(&name.len()) && !name.contains('\0');
        if !is_right || !taken.insert(name) {
            return Err(StartError::Name { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Before anything is started: a wrong core in the configuration should not cost a half-built gateway.
fn check_core(spec: &ThreadSpec, reachable: &CoreSet) -> Result<(), StartError> {
    match spec.core {
        Some(core) if !reachable.contains(core) => {
            Err(StartError::Core { thread: spec.name.clone(), core, reachable: reachable.clone() })
        }
        Some(_) | None => Ok(()),
    }
}
