//! The gateway of a demo in a process of its own, and how the two processes agree on the beginning and the end.
//!
//! ```text
//!   world (parent)                                     gateway (child)
//!     starts it with the run's folder              ──►   wires and starts the gateway
//!     the exchange opens                           ◄──   "up": it hears the feed from the first message on
//!     … every order is answered, the market stands still
//!     "drain"                                      ──►   cancels what is open
//!     the world ends once it has heard all         ◄──   "quiet": all is over, and told
//!     "end"                                        ──►   ends once it has heard all
//!     takes outcome and histograms                 ◄──   "done": they are in the folder
//! ```
//!
//! A closed pipe is a word too: whoever finds it closed knows that the other is dead, and ends in good order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::Duration;

use crate::cmd::demo::hosts::{Host, Hosts};
use crate::cmd::demo::outcome::GatewayOutcome;
use crate::cmd::demo::world::{CONFIG_FILE, World};
use crate::cmd::demo::{DemoArgs, supervision};
use crate::config::Config;
use crate::runtime::{
    Agent, AgentSlot, Cause, Clock, Fatal, Idle, Phase, STACK_BYTES, Signals, StartError,
    Supervisor, ThreadSpec, all_quiet,
};
use crate::telemetry::hlog::{Environment, LogWriter};
use crate::telemetry::hlog_reader::LogReader;
use crate::telemetry::{HISTOGRAMS, HistogramValue, Registry, Snapshot, empty_histogram};
use crate::topology;
use crate::types::{Nanos, UtcNanos};

/// The thread that keeps a process from ending before the other one is ready.
const HOLD: &str = "hold";
/// How often that thread looks.
const HOLD_LOOK: Duration = Duration::from_millis(5);
/// How long nothing may be under way until the gateway counts as quiet, in nanoseconds.
const QUIET_NS: u64 = 2_000_000;
/// How long the gateway may take to end: its deadlines for draining and stopping are 5 s each.
const PATIENCE: Duration = Duration::from_secs(15);
const OUTCOME_FILE: &str = "gateway.json";
const HISTOGRAM_FILE: &str = "gateway.hlog";

/// What the gateway's process says, a line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Up,
    Quiet,
    Done,
}

impl Word {
    const ALL: [Word; 3] = [Word::Up, Word::Quiet, Word::Done];

    const fn text(self) -> &'static str {
        match self {
            Word::Up => "up",
            Word::Quiet => "quiet",
            Word::Done => "done",
        }
    }
}

/// What it is told, a line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Drain,
    End,
}

impl Order {
    const ALL: [Order; 2] = [Order::Drain, Order::End];

    const fn text(self) -> &'static str {
        match self {
            Order::Drain => "drain",
            Order::End => "end",
        }
    }
}

/// The gateway's process as the world's process has it. Dropped, it is asked to end, and ended if it does not.
#[derive(Debug)]
pub(super) struct GatewayProcess {
    child: Child,
    orders: Option<ChildStdin>,
    output: Option<ChildStdout>,
    words: Receiver<Word>,
    sender: Option<Sender<Word>>,
    directory: PathBuf,
    may_end: Arc<AtomicBool>,
    is_draining: bool,
    told_to_drain: bool,
    is_done: bool,
    is_gone: bool,
}

impl GatewayProcess {
    /// Starts it on its host, with the configuration in the run's folder. To be called before any thread is pinned.
    pub fn start(
        args: &DemoArgs,
        hosts: &Hosts,
        directory: &Path,
    ) -> Result<GatewayProcess, String> {
        let told = |error: io::Error| format!("the gateway's process: {error}");
        let program = std::env::current_exe().map_err(told)?;
        let mut command = hosts.command(Host::Gateway, &program);
        command.arg("demo").arg("--gateway-of").arg(directory);
        if args.abort_on_allocation {
            command.arg("--abort-on-allocation");
        }
        // A group of its own: a signal from the terminal is for the world, which tells the gateway in good order.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(told)?;
        let (sender, words) = mpsc::channel();
        Ok(GatewayProcess {
            orders: child.stdin.take(),
            output: child.stdout.take(),
            child,
            words,
            sender: Some(sender),
            directory: directory.to_owned(),
            may_end: Arc::default(),
            is_draining: false,
            told_to_drain: false,
            is_done: false,
            is_gone: false,
        })
    }

    /// A thread for the world: it starts once the gateway is up, and lets the world end once the gateway is quiet.
    pub fn hold(&mut self) -> ThreadSpec {
        let (output, sender) = (self.output.take(), self.sender.take());
        let wait = move || {
            let (Some(output), Some(sender)) = (output, sender) else {
                return Err(StartError::build("the gateway's process has no output"));
            };
            let mut lines = BufReader::new(output).lines();
            match lines.next() {
                Some(Ok(line)) if line == Word::Up.text() => {}
                Some(_) | None => return Err(StartError::build("the gateway could not start")),
            }
            listen("gateway-words", lines, &Word::ALL, Word::text, sender)
                .map_err(StartError::build)
        };
        hold(Arc::clone(&self.may_end), wait)
    }

    /// Hears and tells what there is; about a hundred times a second, with the world's phase. `true` once the gateway wants
    /// to end, or has ended.
    pub fn tend(&mut self, phase: Phase) -> bool {
        loop {
            match self.words.try_recv() {
                Ok(word) => self.hear(word),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.is_gone = true;
                    self.may_end.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        // One look later, so that the market stands still when the gateway is told.
        if self.is_draining && !self.told_to_drain {
            self.told_to_drain = true;
            self.tell(Order::Drain);
        }
        self.is_draining = phase >= Phase::Draining;
        self.may_end.load(Ordering::Relaxed)
    }

    /// Ends it, once the world has ended, and takes what it came to; its histograms go into `snapshot`.
    pub fn finish(mut self, snapshot: &mut Snapshot) -> Result<GatewayOutcome, String> {
        self.tell(Order::End);
        while !self.is_done && !self.is_gone {
            match self.words.recv_timeout(PATIENCE) {
                Ok(word) => self.hear(word),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err("the gateway's process did not end in time".into());
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => self.is_gone = true,
            }
        }
        let status = self.child.wait().map_err(|e| format!("the gateway's process: {e}"))?;
        if !self.is_done || !status.success() {
            return Err(format!("the gateway's process died ({status})"));
        }
        take_histograms(&self.directory.join(HISTOGRAM_FILE), snapshot)?;
        let path = self.directory.join(OUTCOME_FILE);
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| told(&error))?;
        serde_json::from_str(&text).map_err(|error| told(&error))
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Up => {}
            Word::Quiet => self.may_end.store(true, Ordering::Relaxed),
            Word::Done => {
                self.is_done = true;
                self.may_end.store(true, Ordering::Relaxed);
            }
        }
    }

    fn tell(&mut self, order: Order) {
        if let Some(orders) = &mut self.orders {
            // Where the pipe is closed, its other end says so too.
            let _ = writeln!(orders, "{}", order.text());
        }
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        self.orders = None;
        // It ends by itself when it finds the pipe closed; what it says until then is of no use any more.
        self.output = None;
        self.sender = None;
        while !self.is_gone {
            match self.words.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    break;
                }
            }
        }
        let _ = self.child.wait();
    }
}

/// Adds the histograms of a log to those of `snapshot`, in the order of the table.
fn take_histograms(path: &Path, snapshot: &mut Snapshot) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| told(&error))?;
    let mut sums: BTreeMap<usize, HistogramValue> = BTreeMap::new();
    let place = |name: &str| HISTOGRAMS.iter().position(|row| row.name == name);
    for value in std::mem::take(&mut snapshot.histograms) {
        if let Some(place) = place(value.row.name) {
            sums.insert(place, value);
        }
    }
    for interval in LogReader::new(BufReader::new(file)) {
        let interval = interval.map_err(|error| told(&error))?;
        let place = place(&interval.tag)
            .ok_or_else(|| format!("{}: unknown tag {}", path.display(), interval.tag))?;
        let sum = sums.entry(place).or_insert_with(|| HistogramValue {
            row: &HISTOGRAMS[place],
            histogram: empty_histogram(),
            overflow_count: 0,
        });
        sum.histogram.add(&interval.histogram).map_err(|error| told(&error))?;
    }
    snapshot.histograms = sums.into_values().collect();
    Ok(())
}

/// The gateway's process: runs the gateway that is configured in `directory` until it is told to end.
pub(super) fn gateway(directory: &Path) -> Result<(), String> {
    let signals = Signals::catch().map_err(|error| format!("signals: {error}"))?;
    let config = Config::load(&directory.join(CONFIG_FILE)).map_err(|errors| errors.to_string())?;
    let (clock, registry) = (Clock::start(), Registry::new());
    let relay = Some(World::relay(&config));
    let mut gateway = topology::open(&config)
        .and_then(|opened| topology::gateway(&config, opened, &registry, clock, relay))
        .map_err(|error| error.to_string())?;
    let layout = gateway.plan.layout.to_string();
    let may_end = Arc::<AtomicBool>::default();
    let mut threads = std::mem::take(&mut gateway.threads);
    threads.push(hold(Arc::clone(&may_end), || Ok(())));
    let settings = supervision(&config, gateway.plan.housekeeping.clone());
    let began = clock.now();
    let mut supervisor = Supervisor::start(settings, &registry, Some(signals), threads)
        .map_err(|error| error.to_string())?;
    let (sender, orders) = mpsc::channel();
    let input = BufReader::new(io::stdin()).lines();
    listen("demo-orders", input, &Order::ALL, Order::text, sender)
        .map_err(|error| format!("the thread that hears the demo: {error}"))?;
    say(Word::Up);
    let mut is_quiet = false;
    let ending = supervisor.run(|supervisor| {
        obey(&orders, supervisor, &may_end);
        if !is_quiet && is_all_told(supervisor) {
            is_quiet = true;
            say(Word::Quiet);
        }
    });
    if let Cause::Died { .. } = ending.cause {
        return Err(format!("gateway: {ending}"));
    }
    let snapshot = registry.snapshot();
    let outcome = GatewayOutcome::of(&gateway.outcome, &snapshot, ending.is_drained);
    let length = Duration::from_nanos(clock.now().since(began));
    leave(directory, &outcome, &snapshot, (clock.utc(began), length), &layout)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    say(Word::Done);
    Ok(())
}

fn obey(orders: &Receiver<Order>, supervisor: &Supervisor, may_end: &AtomicBool) {
    let order = match orders.try_recv() {
        Ok(order) => order,
        Err(TryRecvError::Empty) => return,
        // The world is dead: nobody is left to be told anything.
        Err(TryRecvError::Disconnected) => Order::End,
    };
    supervisor.lifecycle().advance(Phase::Draining);
    if order == Order::End {
        may_end.store(true, Ordering::Relaxed);
    }
}

/// Whether every agent is drained and nothing is under way between them, whatever holds the process.
fn is_all_told(supervisor: &Supervisor) -> bool {
    let threads = supervisor.threads().iter().filter(|thread| thread.name != HOLD);
    let pulses: Vec<_> = threads.map(|thread| Arc::clone(&thread.pulse)).collect();
    supervisor.lifecycle().phase() == Phase::Draining && all_quiet(&pulses, QUIET_NS)
}

/// Writes what the run came to where the world's process looks for it.
fn leave(
    directory: &Path,
    outcome: &GatewayOutcome,
    snapshot: &Snapshot,
    (start, length): (UtcNanos, Duration),
    layout: &str,
) -> io::Result<()> {
    std::fs::write(directory.join(OUTCOME_FILE), serde_json::to_string(outcome)?)?;
    let file = BufWriter::new(File::create(directory.join(HISTOGRAM_FILE))?);
    let mut log = LogWriter::begin(file, &Environment::here(layout), start)?;
    log.write_snapshot(snapshot, Duration::ZERO, length)?;
    log.finish().map(|_| ())
}

fn say(word: Word) {
    // Where the pipe is closed, the orders end too.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", word.text()).and_then(|()| out.flush());
}

/// Passes on each line that is one of `known`, on a thread of its own, until there are no more.
fn listen<T: Copy + Send + Sync + 'static>(
    name: &str,
    lines: impl Iterator<Item = io::Result<String>> + Send + 'static,
    known: &'static [T],
    text: fn(T) -> &'static str,
    to: Sender<T>,
) -> io::Result<()> {
    let pass_on = move || {
        for line in lines.map_while(Result::ok) {
            let known = known.iter().find(|&&word| text(word) == line);
            if known.is_some_and(|&word| to.send(word).is_err()) {
                return;
            }
        }
    };
    // It ends with the pipe; nobody waits for it.
    std::thread::Builder::new().name(name.to_owned()).spawn(pass_on).map(|_| ())
}

/// A thread that starts when `wait` has returned, and is not drained before `may_end`.
fn hold(
    may_end: Arc<AtomicBool>,
    wait: impl FnOnce() -> Result<(), StartError> + Send + 'static,
) -> ThreadSpec {
    ThreadSpec {
        name: HOLD.to_owned(),
        core: None,
        idle: Idle::Park(HOLD_LOOK),
        stack_bytes: STACK_BYTES,
        build: Box::new(move |_| {
            wait()?;
            Ok(vec![AgentSlot::new(HoldAgent { may_end })])
        }),
    }
}

#[derive(Debug)]
struct HoldAgent {
    may_end: Arc<AtomicBool>,
}

impl Agent for HoldAgent {
    fn name(&self) -> &'static str {
        HOLD
    }

    fn poll(&mut self, _now: Nanos) -> Result<usize, Fatal> {
        Ok(0)
    }

    fn is_drained(&self) -> bool {
        self.may_end.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn histograms_of_both_processes_become_one_each_in_the_order_of_the_table() {
        let directory = tempfile::tempdir().expect("a folder");
        let (world, gateway) = (Registry::new(), Registry::new());
        world.recorder("round_trip").record(5);
        world.recorder("hop_risk").record(7);
        gateway.recorder("gateway").record(9);
        gateway.recorder("hop_risk").record(11);
        let left = GatewayOutcome::default();
        let when = (UtcNanos(0), Duration::from_secs(1));
        leave(directory.path(), &left, &gateway.snapshot(), when, "fused").expect("written");
        let mut snapshot = world.snapshot();
        take_histograms(&directory.path().join(HISTOGRAM_FILE), &mut snapshot).expect("read");
        let names: Vec<&str> = snapshot.histograms.iter().map(|value| value.row.name).collect();
        assert_eq!(names, ["round_trip", "gateway", "hop_risk"]);
        let risk = snapshot.histogram("hop_risk").expect("there");
        assert_eq!((risk.len(), risk.min(), risk.max()), (2, 7, 11));
    }

    #[test]
    fn a_process_that_ends_before_it_is_up_is_an_error_and_no_wait() {
        let mut child = Command::new("true");
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("coreutils");
        let (sender, words) = mpsc::channel();
        let mut process = GatewayProcess {
            orders: child.stdin.take(),
            output: child.stdout.take(),
            child,
            words,
            sender: Some(sender),
            directory: PathBuf::new(),
            may_end: Arc::default(),
            is_draining: false,
            told_to_drain: false,
            is_done: false,
            is_gone: false,
        };
        let error = (process.hold().build)(&Clock::start()).expect_err("it never was up");
        assert_eq!(error.to_string(), "the gateway could not start");
        assert!(process.tend(Phase::Running), "its end is seen");
        let error = process.finish(&mut Registry::new().snapshot()).expect_err("no outcome");
        assert!(error.starts_with("the gateway's process died"), "{error}");
    }
}
