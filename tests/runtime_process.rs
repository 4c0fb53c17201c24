//! What needs a process of its own: signals, and where every thread of a process is.
//!
//! A test starts this test binary again, with only the `child_` test of its name and a variable that lets it act.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use postern::runtime::{
    Agent, AgentSlot, Clock, Cores, Fatal, GuardedAllocator, Idle, OnHotAllocation, Phase, Signals,
    StartError, Supervisor, SupervisorConfig, ThreadSpec, memory, misplaced, on_hot_allocation,
    own_tasks,
};
use postern::telemetry::Registry;
use postern::types::Nanos;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const CHILD: &str = "POSTERN_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// A child that runs one test of this binary. Killed on drop.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(test: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
        command.env_remove("RUST_BACKTRACE").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a child");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Process { child, output }
    }

    /// Reads up to a line with this in it.
    fn await_line(&mut self, what: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let bytes = self.output.read_line(&mut line).expect("a pipe");
            assert!(bytes > 0, "the child ended before it said `{what}`");
            if line.contains(what) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill");
        assert!(status.success());
    }

    fn status(&mut self) -> Option<i32> {
        self.child.wait().expect("a child").code()
    }

    fn errors(&mut self) -> String {
        let pipe = self.child.stderr.take().expect("a pipe");
        std::io::read_to_string(pipe).expect("text")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says what phase it is in; allocates in `poll` if asked to; drains only if it may.
struct Speaker {
    name: &'static str,
    phase: Phase,
    said: Phase,
    allocates: bool,
    drains: bool,
    out: File,
}

impl Agent for Speaker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn poll(&mut self, _now: Nanos) -> Result<usize, Fatal> {
        if self.allocates && self.phase == Phase::Running {
            drop(std::hint::black_box(Box::new(self.phase)));
        }
        if self.said < self.phase {
            self.said = self.phase;
            let text: &[u8] = match self.phase {
                Phase::Starting => b"phase starting\n",
                Phase::Running => b"phase running\n",
                Phase::Draining => b"phase draining\n",
                Phase::Stopping => b"phase stopping\n",
            };
            self.out.write_all(text).map_err(|_| Fatal::NetworkFailed)?;
        }
        Ok(0)
    }

    fn on_phase(&mut self, phase: Phase, _now: Nanos) {
        self.phase = phase;
    }

    fn is_drained(&self) -> bool {
        self.drains
    }
}

/// Standard output without the buffer, which is allocated at its first use.
fn unbuffered_output() -> File {
    File::from(std::io::stdout().as_fd().try_clone_to_owned().expect("a descriptor"))
}

fn say(text: &str) {
    unbuffered_output().write_all(format!("{text}\n").as_bytes()).expect("a pipe");
}

fn speaker(name: &'static str) -> Speaker {
    let (phase, out) = (Phase::Starting, unbuffered_output());
    Speaker { name, phase, said: phase, allocates: false, drains: true, out }
}

fn thread(name: &str, core: Option<usize>, agent: Speaker) -> ThreadSpec {
    ThreadSpec {
        name: name.to_owned(),
        core,
        idle: Idle::Yield,
        stack_bytes: postern::runtime::STACK_BYTES,
        build: Box::new(move |_| Ok(vec![AgentSlot::new(agent)])),
    }
}

fn run_until_ended(agent: Speaker) -> ! {
    let config = SupervisorConfig::new(Cores::of_this_machine().usable);
    let signals = Signals::catch().expect("handlers");
    let threads = vec![thread("speaker", None, agent)];
    let started = Supervisor::start(config, &Registry::new(), Some(signals), threads);
    let ending = started.expect("a start").run(|_| {});
    say(&ending.to_string());
    std::process::exit(i32::from(ending.exit_status()));
}

#[test]
fn child_drains() {
    if is_child() {
        run_until_ended(speaker("speaker"));
    }
}

#[test]
fn sigterm_and_sigint_drain_and_end_with_status_0() {
    for signal in ["TERM", "INT"] {
        let mut process = Process::start("child_drains");
        process.await_line("phase running");
        process.signal(signal);
        process.await_line("ended by a signal; drained");
        assert_eq!(process.status(), Some(0), "SIG{signal}");
    }
}

#[test]
fn child_never_drains() {
    if is_child() {
        run_until_ended(Speaker { drains: false, ..speaker("speaker") });
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut process = Process::start("child_never_drains");
    process.await_line("phase running");
    process.signal("TERM");
    process.await_line("phase draining");
    process.signal("TERM");
    process.await_line("NOT drained");
    assert_eq!(process.status(), Some(69));
}

#[test]
fn child_is_interrupted_while_it_starts() {
    if !is_child() {
        return;
    }
    // Held by the first thread's agent: the other end closes when that agent is gone.
    let (held, gate) = std::sync::mpsc::channel::<()>();
    let build = move |_: &Clock| {
        let agent = speaker("first");
        Ok(vec![AgentSlot::new(Holder { agent, _held: held })])
    };
    let first = ThreadSpec { build: Box::new(build), ..thread("first", None, speaker("x")) };
    let build = move |_: &Clock| {
        let id = std::process::id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(status.is_ok_and(|status| status.success()));
        let _ = gate.recv();
        Err(StartError::build("too late"))
    };
    let second = ThreadSpec { build: Box::new(build), ..thread("second", None, speaker("x")) };
    let config = SupervisorConfig::new(Cores::of_this_machine().usable);
    let signals = Signals::catch().expect("handlers");
    let threads = vec![first, second];
    let started = Supervisor::start(config, &Registry::new(), Some(signals), threads);
    let error = started.expect_err("no start");
    assert!(matches!(error, StartError::Interrupted), "{error}");
    assert_eq!(error.exit_status(), 0);
    say("interrupted");
}

/// An agent that keeps something until it is dropped.
struct Holder {
    agent: Speaker,
    _held: std::sync::mpsc::Sender<()>,
}

impl Agent for Holder {
    fn name(&self) -> &'static str {
        self.agent.name()
    }

    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        self.agent.poll(now)
    }
}

#[test]
fn a_signal_during_the_start_undoes_it() {
    let mut process = Process::start("child_is_interrupted_while_it_starts");
    process.await_line("interrupted");
    assert_eq!(process.status(), Some(0));
}

#[test]
fn child_allocates() {
    if is_child() {
        on_hot_allocation(OnHotAllocation::Abort);
        run_until_ended(Speaker { allocates: true, ..speaker("wasteful") });
    }
}

#[test]
fn an_allocation_in_a_hot_poll_aborts_and_names_the_agent() {
    let mut process = Process::start("child_allocates");
    assert_eq!(process.status(), None, "ended by SIGABRT");
    let errors = process.errors();
    assert!(errors.contains("allocation in the hot poll of agent `wasteful`"), "{errors}");
}

#[test]
fn child_counts() {
    if !is_child() {
        return;
    }
    let registry = Registry::new();
    let config = SupervisorConfig::new(Cores::of_this_machine().usable);
    let threads = vec![
        thread(
            "one",
            None,
            Speaker { allocates: true, said: Phase::Stopping, ..speaker("wasteful") },
        ),
        thread("two", None, Speaker { said: Phase::Stopping, ..speaker("thrifty") }),
    ];
    let mut supervisor = Supervisor::start(config, &registry, None, threads).expect("a start");
    let (wasteful, thrifty) =
        (registry.agent_metrics("wasteful"), registry.agent_metrics("thrifty"));
    while wasteful.cycle_count.get() < 1_000 || thrifty.cycle_count.get() < 1_000 {
        assert_eq!(supervisor.tick(std::time::Duration::from_millis(1)), None);
    }
    supervisor.lifecycle().advance(Phase::Draining);
    assert!(supervisor.run(|_| {}).is_drained);
    // Two calls a poll, and none once it drains.
    let count = wasteful.allocation_count.get();
    assert!(count >= 1_000 && count % 2 == 0, "{count}");
    assert!(count <= 2 * wasteful.cycle_count.get());
    assert_eq!(
        thrifty.allocation_count.get(),
        0,
        "starting, draining and stopping are free of them"
    );
    say("counted");
}

#[test]
fn production_counts_hot_allocations_and_runs_on() {
    let mut process = Process::start("child_counts");
    process.await_line("counted");
    assert_eq!(process.status(), Some(0));
}

#[test]
fn child_places() {
    if !is_child() {
        return;
    }
    let cores = Cores::of_this_machine();
    let hot = cores.usable.iter().next_back().expect("a core");
    let rest = cores.usable.without(&[hot].into_iter().collect());
    let rest = if rest.is_empty() { cores.usable.clone() } else { rest };
    // A library that starts a helper while its agent is built: it must not land on the hot core.
    let (asked, answer) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel());
    let (release, gate) = asked;
    let build = move |_: &Clock| {
        let helper = std::thread::Builder::new().name("helper".to_owned());
        let helper = helper.spawn(move || gate.recv()).map_err(StartError::build)?;
        answer.0.send(helper).map_err(StartError::build)?;
        Ok(vec![AgentSlot::new(speaker("gateway"))])
    };
    let gateway =
        ThreadSpec { build: Box::new(build), ..thread("gateway", Some(hot), speaker("x")) };
    let journal = thread("journal", None, speaker("journal"));
    let config = SupervisorConfig::new(rest.clone());
    let mut supervisor =
        Supervisor::start(config, &Registry::new(), None, vec![gateway, journal]).expect("a start");
    let tasks = own_tasks().expect("/proc");
    let allowed = |name: &str| {
        let task = tasks.iter().find(|task| task.name == name);
        task.unwrap_or_else(|| panic!("`{name}` in {tasks:?}")).allowed.clone()
    };
    assert_eq!(allowed("gateway"), [hot].into_iter().collect());
    for name in ["journal", "helper", "child_places"] {
        assert_eq!(allowed(name), rest, "{name}");
    }
    // The test harness's own main thread is placed by nobody here; a real process has none but ours.
    let main = std::process::id();
    let ours: Vec<_> = tasks.iter().filter(|task| task.id != main).cloned().collect();
    if cores.usable.count() > 1 {
        assert_eq!(misplaced(&ours, main, &[("gateway", hot)]), []);
    }
    drop(release);
    answer.1.recv().expect("a helper").join().expect("no panic").expect_err("the gate closed");
    supervisor.lifecycle().advance(Phase::Draining);
    assert_eq!(supervisor.run(|_| {}).exit_status(), 0);
    say("placed");
}

#[test]
fn every_thread_is_named_and_placed_and_helpers_do_not_inherit_a_hot_core() {
    let mut process = Process::start("child_places");
    process.await_line("placed");
    assert_eq!(process.status(), Some(0));
}

#[test]
fn child_locks() {
    if !is_child() {
        return;
    }
    let report = memory::prepare(true);
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("a line");
    let locked: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    match &report.locked {
        memory::Outcome::Granted(_) => assert!(locked > 0, "{line}"),
        memory::Outcome::Refused { reason, remedy } => {
            assert_eq!(locked, 0, "what was refused is not done by half");
            assert!(!reason.is_empty() && remedy.contains("LimitMEMLOCK"), "{report}");
        }
    }
    assert!(report.malloc.is_granted() || cfg!(not(target_env = "gnu")), "{report}");
    say(&format!("{report}"));
    say("reported");
}

#[test]
fn memory_is_locked_or_the_refusal_says_what_to_do() {
    let mut process = Process::start("child_locks");
    process.await_line("memory lock: ");
    process.await_line("huge pages: ");
    process.await_line("reported");
    assert_eq!(process.status(), Some(0));
}
