//! One thread of the gateway: named, placed, built, run, closed.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::runtime::cores::CoreSet;
use crate::runtime::duty::{AgentSlot, Death, DutyCycle};
use crate::runtime::idle::{Idle, Idler};
use crate::runtime::lifecycle::{Lifecycle, ThreadPulse};
use crate::runtime::{Clock, Fatal, Phase, memory, sys};
use crate::telemetry::Registry;

/// The kernel keeps this much of a thread's name.
pub const THREAD_NAME_BYTES_MAX: usize = 15;

/// Builds a thread's agents, on that thread.
///
/// It runs before the thread is pinned, so that threads it starts (a library's helpers) inherit the housekeeping cores
/// and do not land on a hot one. What should be near the hot core is allocated and touched in `Agent::on_start`.
pub type BuildAgents = Box<dyn FnOnce(&Clock) -> Result<Vec<AgentSlot>, StartError> + Send>;

/// A thread to start.
pub struct ThreadSpec {
    /// Its name in `top`, `perf` and our own listings: 1 to 15 bytes.
    pub name: String,
    /// The core it is pinned to; none: the housekeeping cores.
    pub core: Option<usize>,
    /// What it does without work.
    pub idle: Idle,
    /// Bytes of its stack, [`STACK_BYTES`] if nothing speaks for more; all of it is resident where memory is locked.
    pub stack_bytes: usize,
    /// Builds its agents.
    pub build: BuildAgents,
}

/// The stack of a thread with hot agents: the hot path is shallow; what is locked into memory should be small.
pub const STACK_BYTES: usize = 640 << 10;

const _: () = assert!(memory::STACK_PREFAULT_BYTES * 2 <= STACK_BYTES);

impl fmt::Debug for ThreadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadSpec")
            .field("name", &self.name)
            .field("core", &self.core)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

/// Why the threads could not be started. None is left running.
#[derive(Debug)]
pub enum StartError {
    /// A name is empty, too long, holds a NUL, or is taken.
    Name {
        /// The name.
        name: String,
    },
    /// A thread asks for a core that there is not, or that the process may not use.
    Core {
        /// The thread.
        thread: String,
        /// The core it asks for.
        core: usize,
        /// Those it could have.
        reachable: CoreSet,
    },
    /// None of the housekeeping cores may be used.
    Housekeeping {
        /// The cores asked for.
        cores: CoreSet,
        /// Those there are.
        reachable: CoreSet,
    },
    /// The kernel gave no thread.
    Spawn {
        /// The thread.
        thread: String,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// An agent could not be built.
    Build {
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// An agent could not start.
    Agent {
        /// The thread.
        thread: String,
        /// The agent.
        agent: &'static str,
        /// Why.
        fatal: Fatal,
    },
    /// The thread panicked before it ran: a bug of ours.
    Panic {
        /// The thread.
        thread: String,
        /// The panic's message.
        message: String,
    },
    /// A signal asked the process to end before everything was up.
    Interrupted,
}

impl StartError {
    /// An agent that could not be built, for this reason.
    pub fn build(reason: impl fmt::Display) -> StartError {
        StartError::Build { reason: reason.to_string() }
    }

    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            StartError::Agent { fatal, .. } => fatal.exit_status(),
            StartError::Panic { .. } => Fatal::Panicked.exit_status(),
            StartError::Name { .. }
            | StartError::Core { .. }
            | StartError::Housekeeping { .. }
            | StartError::Spawn { .. }
            | StartError::Build { .. } => Fatal::StartFailed.exit_status(),
            StartError::Interrupted => 0,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Name { name } => write!(
                f,
                "thread name `{name}`: it must be unique, have 1 to {THREAD_NAME_BYTES_MAX} bytes and no NUL"
            ),
            StartError::Core { thread, core, reachable } => write!(
                f,
                "thread `{thread}` asks for core {core}, but this process can have cores {reachable}: there is no such \
                 core, it is offline, or the control group (AllowedCPUs=, docker --cpuset-cpus) excludes it"
            ),
            StartError::Housekeeping { cores, reachable } => write!(
                f,
                "none of the housekeeping cores {cores} can be used; this process can have cores {reachable}"
            ),
            StartError::Spawn { thread, error } => write!(f, "thread `{thread}`: {error}"),
            StartError::Build { reason } => f.write_str(reason),
            StartError::Agent { thread, agent, fatal } => {
                write!(f, "agent `{agent}` on thread `{thread}` could not start: {fatal}")
            }
            StartError::Panic { thread, message } => {
                write!(f, "thread `{thread}` panicked while starting: {message}")
            }
            StartError::Interrupted => f.write_str("a signal ended the process while it started"),
        }
    }
}

impl std::error::Error for StartError {}

/// What a thread reports to the supervisor, outside its hot loop.
#[derive(Debug)]
pub(super) enum Report {
    /// Its agents are built and started; it waits for [`Phase::Running`].
    Started { agents: Vec<&'static str> },
    /// It could not start and has ended.
    Failed(StartError),
    /// An agent of it died; the others on it go on.
    Died { death: Death, message: String },
    /// Its agents are closed and it ends.
    Stopped,
}

/// What a thread is given.
#[derive(Debug)]
pub(super) struct ThreadContext {
    pub index: usize,
    pub clock: Clock,
    pub registry: Registry,
    pub lifecycle: Lifecycle,
    pub pulse: Arc<ThreadPulse>,
    pub reports: Sender<(usize, Report)>,
    pub stall_ns: u64,
    pub stack_prefault_bytes: usize,
}

impl ThreadContext {
    fn report(&self, report: Report) {
        // The supervisor outlives its threads, unless it gave up on one that was stuck.
        let _ = self.reports.send((self.index, report));
    }
}

/// The body of a thread.
pub(super) fn run(spec: ThreadSpec, context: &ThreadContext) {
    let ThreadSpec { name, core, idle, build, .. } = spec;
    let started = catch_unwind(AssertUnwindSafe(|| start(&name, core, idle, build, context)));
    let mut duty = match started {
        Ok(Ok(duty)) => duty,
        Ok(Err(error)) => return context.report(Report::Failed(error)),
        Err(payload) => {
            let message = panic_message(payload.as_ref());
            return context.report(Report::Failed(StartError::Panic { thread: name, message }));
        }
    };
    context.report(Report::Started { agents: duty.agent_names() });
    while context.lifecycle.phase() == Phase::Starting {
        guard(&mut duty, context, |duty| duty.wait(context.clock.now()));
        sys::nanosleep(Duration::from_micros(100));
    }
    let mut idler = Idler::new(idle);
    duty.rested(context.clock.now());
    guard(&mut duty, context, |duty| spin(duty, &mut idler, context));
    guard(&mut duty, context, |duty| {
        duty.close();
        Ok(())
    });
    context.report(Report::Stopped);
}

fn start(
    name: &str,
    core: Option<usize>,
    idle: Idle,
    build: BuildAgents,
    context: &ThreadContext,
) -> Result<DutyCycle<Clock>, StartError> {
    if idle.shares_core() {
        sys::set_timer_slack();
    }
    let agents = build(&context.clock)?;
    if agents.is_empty() {
        return Err(StartError::build(format!("thread `{name}` has no agent")));
    }
    if let Some(core) = core {
        pin(name, core)?;
    }
    memory::prefault_stack(context.stack_prefault_bytes);
    let mut duty = DutyCycle::new(agents, &context.registry, context.stall_ns, context.clock);
    match duty.start() {
        Ok(()) => Ok(duty),
        Err(Death { agent, fatal }) => {
            Err(StartError::Agent { thread: name.to_owned(), agent, fatal })
        }
    }
}

/// Pins the calling thread to `core`, and makes sure that it is there.
fn pin(name: &str, core: usize) -> Result<(), StartError> {
    let refused =
        || StartError::Core { thread: name.to_owned(), core, reachable: sys::reachable_cores() };
    if core >= crate::runtime::cores::CORE_COUNT_MAX {
        return Err(refused());
    }
    let is_pinned = core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let is_there = is_pinned && sys::affinity() == CoreSet::from_iter([core]);
    if is_there { Ok(()) } else { Err(refused()) }
}

/// Runs `body` to its end, however many agents die in it. Each death is reported, and the rest goes on.
fn guard(
    duty: &mut DutyCycle<Clock>,
    context: &ThreadContext,
    mut body: impl FnMut(&mut DutyCycle<Clock>) -> Result<(), Death>,
) {
    loop {
        let (death, message) = match catch_unwind(AssertUnwindSafe(|| body(duty))) {
            Ok(Ok(())) => return,
            Ok(Err(death)) => {
                let told = duty.last_words();
                (death, told.unwrap_or_else(|| death.fatal.to_string()))
            }
            Err(payload) => (duty.bury_current(), panic_message(payload.as_ref())),
        };
        context.report(Report::Died { death, message });
    }
}

/// The hot loop: until [`Phase::Stopping`] or a death. After a death, call it again.
fn spin(
    duty: &mut DutyCycle<Clock>,
    idler: &mut Idler,
    context: &ThreadContext,
) -> Result<(), Death> {
    let clock = context.clock;
    loop {
        let now = clock.now();
        let phase = context.lifecycle.phase();
        if phase > duty.phase() {
            // A thread that slept through the start of the day is still told of it before its end.
            if phase == Phase::Draining && duty.phase() == Phase::Starting {
                duty.enter(Phase::Running, now);
            }
            duty.enter(phase, now);
        }
        if phase == Phase::Stopping {
            return Ok(());
        }
        context.pulse.beat(now);
        let work = duty.cycle(now)?;
        if phase == Phase::Draining {
            context.pulse.set_drained(duty.is_drained(), work == 0, now);
        }
        if work > 0 {
            idler.reset();
        } else if idler.idle() {
            duty.rested(clock.now());
        }
    }
}

/// The text of a panic.
fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}
