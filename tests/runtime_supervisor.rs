//! Threads under the supervisor: started in order, drained, ended together when one agent dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use postern::runtime::{
    Agent, AgentSlot, Cause, Cores, EXIT_NOT_DRAINED, Ending, Fatal, Idle, Phase, StartError,
    Supervisor, SupervisorConfig, ThreadSpec,
};
use postern::telemetry::Registry;
use postern::types::Nanos;

/// What a test's agent does, beside saying what happens to it.
#[derive(Clone, Debug)]
struct Script {
    name: &'static str,
    on_start: Result<(), Fatal>,
    /// In [`Phase::Running`].
    poll: Poll,
    /// Cycles of work after [`Phase::Draining`], before it is drained.
    drain_cycle_count: u64,
    /// `on_close` waits for this.
    close_gate: Option<Arc<AtomicBool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Idle,
    Die(Fatal),
    Panic,
    PanicOnDrain,
    /// Never comes back, until the gate opens.
    Hang,
    /// Always has something to do, in every phase, and owes nothing.
    Busy,
}

impl Script {
    fn idle(name: &'static str) -> Script {
        let poll = Poll::Idle;
        Script { name, on_start: Ok(()), poll, drain_cycle_count: 0, close_gate: None }
    }
}

struct Actor {
    script: Script,
    phase: Phase,
    events: Sender<String>,
    poll_count: Arc<AtomicU64>,
}

impl Actor {
    fn say(&self, what: &str) {
        self.events.send(format!("{} {what}", self.script.name)).expect("the test listens");
    }
}

impl Agent for Actor {
    fn name(&self) -> &'static str {
        self.script.name
    }

    fn last_words(&self) -> Option<String> {
        matches!(self.script.poll, Poll::Die(Fatal::JournalFailed))
            .then(|| "the disk is full".into())
    }

    fn on_start(&mut self, _now: Nanos) -> Result<(), Fatal> {
        self.say("start");
        self.script.on_start
    }

    fn poll(&mut self, _now: Nanos) -> Result<usize, Fatal> {
        self.poll_count.fetch_add(1, Ordering::Relaxed);
        if self.script.poll == Poll::Busy {
            return Ok(1);
        }
        if self.phase == Phase::Running {
            match self.script.poll {
                Poll::Idle | Poll::PanicOnDrain | Poll::Busy => {}
                Poll::Die(fatal) => return Err(fatal),
                Poll::Panic => panic!("on purpose, in {}", self.script.name),
                Poll::Hang => {
                    while self.script.close_gate.as_ref().is_some_and(|g| !g.load(Ordering::SeqCst))
                    {
                        std::thread::yield_now();
                    }
                }
            }
        }
        if self.phase == Phase::Draining && self.script.drain_cycle_count > 0 {
            self.script.drain_cycle_count -= 1;
            return Ok(1);
        }
        Ok(0)
    }

    fn on_phase(&mut self, phase: Phase, _now: Nanos) {
        self.phase = phase;
        self.say(&format!("{phase:?}"));
        assert!(
            phase != Phase::Draining || self.script.poll != Poll::PanicOnDrain,
            "on purpose, draining"
        );
    }

    fn is_drained(&self) -> bool {
        self.script.drain_cycle_count == 0
    }

    fn on_close(&mut self, _now: Nanos) {
        self.say("close");
    }
}

struct Stage {
    sender: Sender<String>,
    events: Receiver<String>,
    poll_count: Arc<AtomicU64>,
    config: SupervisorConfig,
}

impl Stage {
    fn new() -> Stage {
        let (sender, events) = mpsc::channel();
        let mut config = SupervisorConfig::new(Cores::of_this_machine().usable);
        // Generous: on a loaded machine only the tests of the deadlines themselves should meet them.
        config.drain_timeout = Duration::from_secs(60);
        config.stop_timeout = Duration::from_secs(60);
        Stage { sender, events, poll_count: Arc::default(), config }
    }

    fn thread(&self, name: &str, scripts: &[Script]) -> ThreadSpec {
        let (events, poll_count) = (self.sender.clone(), Arc::clone(&self.poll_count));
        let scripts = scripts.to_vec();
        let actor = move |script: Script| {
            let (events, poll_count) = (events.clone(), Arc::clone(&poll_count));
            AgentSlot::new(Actor { script, phase: Phase::Starting, events, poll_count })
        };
        ThreadSpec {
            name: name.to_owned(),
            core: None,
            idle: "park:50us".parse().expect("a strategy"),
            stack_bytes: postern::runtime::STACK_BYTES,
            build: Box::new(move |_clock| Ok(scripts.into_iter().map(actor).collect())),
        }
    }

    fn start(&self, threads: Vec<ThreadSpec>) -> Result<Supervisor, StartError> {
        Supervisor::start(self.config.clone(), &Registry::new(), None, threads)
    }

    /// Starts, drains as soon as every agent knows that it runs, and ends.
    fn run(&self, threads: Vec<ThreadSpec>) -> Ending {
        let mut supervisor = self.start(threads).expect("a start");
        let lifecycle = supervisor.lifecycle();
        lifecycle.advance(Phase::Draining);
        supervisor.run(|_| {})
    }

    fn taken(&self) -> Vec<String> {
        self.events.try_iter().collect()
    }

    /// What happened to one agent.
    fn story(events: &[String], agent: &str) -> Vec<String> {
        let prefix = format!("{agent} ");
        events.iter().filter_map(|event| event.strip_prefix(&prefix)).map(str::to_owned).collect()
    }
}

#[test]
fn threads_start_in_order_and_every_agent_sees_its_life_through() {
    let stage = Stage::new();
    let one = stage.thread("one", &[Script::idle("a"), Script::idle("b")]);
    let two = stage.thread("two", &[Script::idle("c")]);
    let ending = stage.run(vec![one, two]);
    assert_eq!(ending.cause, Cause::Requested);
    assert!(ending.is_drained && ending.stuck.is_empty());
    assert_eq!(ending.exit_status(), 0);
    let events = stage.taken();
    assert_eq!(events[..3], ["a start", "b start", "c start"]);
    for agent in ["a", "b", "c"] {
        let story = Stage::story(&events, agent);
        assert_eq!(story, ["start", "Running", "Draining", "Stopping", "close"], "{agent}");
    }
}

#[test]
fn a_drain_waits_for_the_slowest_agent() {
    let stage = Stage::new();
    let slow = Script { drain_cycle_count: 1_000, ..Script::idle("slow") };
    let one = stage.thread("one", &[Script::idle("a")]);
    let two = stage.thread("two", &[slow]);
    let ending = stage.run(vec![one, two]);
    assert!(ending.is_drained);
    assert!(stage.poll_count.load(Ordering::Relaxed) >= 1_000);
}

#[test]
fn who_is_always_busy_and_owes_nothing_does_not_hold_up_the_drain() {
    let stage = Stage::new();
    let one = stage.thread("one", &[Script { poll: Poll::Busy, ..Script::idle("feed") }]);
    let two = stage.thread("two", &[Script { drain_cycle_count: 50, ..Script::idle("b") }]);
    let ending = stage.run(vec![one, two]);
    assert!(ending.is_drained);
    assert_eq!(ending.exit_status(), 0);
}

#[test]
fn a_drain_that_never_ends_is_cut_at_its_deadline_and_says_so() {
    let mut stage = Stage::new();
    stage.config.drain_timeout = Duration::from_millis(30);
    let slow = Script { drain_cycle_count: u64::MAX, ..Script::idle("slow") };
    let ending = stage.run(vec![stage.thread("one", &[slow])]);
    assert!(!ending.is_drained);
    assert_eq!(ending.exit_status(), EXIT_NOT_DRAINED);
    assert!(ending.to_string().contains("orders may be open"), "{ending}");
}

#[test]
fn one_agents_death_drains_all_others_and_ends_with_its_status() {
    let stage = Stage::new();
    let dying = Script { poll: Poll::Die(Fatal::JournalFailed), ..Script::idle("dying") };
    let one = stage.thread("one", &[Script::idle("a"), dying, Script::idle("b")]);
    let two = stage.thread("two", &[Script { drain_cycle_count: 50, ..Script::idle("c") }]);
    let ending = stage.start(vec![one, two]).expect("a start").run(|_| {});
    let Cause::Died { thread, agent, fatal, message } = &ending.cause else { panic!("{ending}") };
    assert_eq!((thread.as_str(), *agent, *fatal), ("one", "dying", Fatal::JournalFailed));
    assert_eq!(message, "the disk is full", "what it said of it itself");
    assert!(ending.is_drained, "the living could finish");
    assert_eq!(ending.exit_status(), Fatal::JournalFailed.exit_status());
    let events = stage.taken();
    for agent in ["a", "b", "c"] {
        let story = Stage::story(&events, agent);
        assert_eq!(story, ["start", "Running", "Draining", "Stopping", "close"], "{agent}");
    }
    assert_eq!(Stage::story(&events, "dying"), ["start", "Running", "close"]);
}

#[test]
fn a_panic_is_a_death_with_its_message_and_the_rest_of_the_thread_goes_on() {
    let stage = Stage::new();
    let bad = Script { poll: Poll::Panic, ..Script::idle("bad") };
    let worse = Script { poll: Poll::PanicOnDrain, ..Script::idle("worse") };
    let last = Script { drain_cycle_count: 20, ..Script::idle("last") };
    let one = stage.thread("one", &[bad, worse, last]);
    let ending = stage.start(vec![one]).expect("a start").run(|_| {});
    let Cause::Died { agent, fatal, message, .. } = &ending.cause else { panic!("{ending}") };
    assert_eq!((*agent, *fatal), ("bad", Fatal::Panicked));
    assert_eq!(message, "on purpose, in bad");
    assert!(ending.is_drained);
    assert_eq!(ending.exit_status(), 70);
    let events = stage.taken();
    assert_eq!(Stage::story(&events, "bad"), ["start", "Running"]);
    assert_eq!(Stage::story(&events, "worse"), ["start", "Running", "Draining"]);
    let whole = ["start", "Running", "Draining", "Stopping", "close"];
    assert_eq!(Stage::story(&events, "last"), whole);
}

#[test]
fn an_agent_that_cannot_start_undoes_the_start() {
    let stage = Stage::new();
    let refusing = Script { on_start: Err(Fatal::TransportDown), ..Script::idle("refusing") };
    let one = stage.thread("one", &[Script::idle("a")]);
    let two = stage.thread("two", &[Script::idle("b"), refusing, Script::idle("c")]);
    let three = stage.thread("three", &[Script::idle("d")]);
    let error = stage.start(vec![one, two, three]).expect_err("no start");
    assert!(matches!(error, StartError::Agent { agent: "refusing", .. }), "{error}");
    assert_eq!(error.exit_status(), Fatal::TransportDown.exit_status());
    let events = stage.taken();
    assert_eq!(Stage::story(&events, "a"), ["start", "Stopping", "close"]);
    assert_eq!(Stage::story(&events, "b"), ["start", "close"]);
    assert_eq!(Stage::story(&events, "refusing"), ["start"]);
    assert!(Stage::story(&events, "c").is_empty() && Stage::story(&events, "d").is_empty());
    assert_eq!(stage.poll_count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_builder_that_fails_or_panics_is_a_start_error() {
    let stage = Stage::new();
    let spec = |name: &str, build| ThreadSpec { build, ..stage.thread(name, &[]) };
    let refuse = spec("one", Box::new(|_| Err(StartError::build("the file is not there"))));
    let error = stage.start(vec![refuse]).expect_err("no start");
    assert_eq!(error.to_string(), "the file is not there");
    let error = stage.start(vec![spec("one", Box::new(|_| panic!("oh")))]).expect_err("no start");
    assert_eq!(error.to_string(), "thread `one` panicked while starting: oh");
    let error = stage.start(vec![spec("one", Box::new(|_| Ok(Vec::new())))]).expect_err("no start");
    assert_eq!(error.to_string(), "thread `one` has no agent");
}

#[test]
fn a_core_that_is_not_there_is_a_start_error_that_names_it() {
    let stage = Stage::new();
    for core in [1023, 1024, usize::MAX] {
        let first = stage.thread("first", &[Script::idle("a")]);
        let spec = ThreadSpec { core: Some(core), ..stage.thread("lost", &[Script::idle("b")]) };
        let error = stage.start(vec![first, spec]).expect_err("no start").to_string();
        assert!(error.contains("`lost`") && error.contains(&core.to_string()), "{error}");
    }
    assert!(stage.taken().is_empty(), "nothing was started");
}

#[test]
fn a_thread_name_must_fit_the_kernel_and_be_the_only_one() {
    let stage = Stage::new();
    for name in ["", "sixteen-bytes-ab", "nul\0"] {
        let spec = stage.thread(name, &[Script::idle("a")]);
        assert!(matches!(stage.start(vec![spec]), Err(StartError::Name { .. })), "{name:?}");
    }
    let twice = ["same", "same"].map(|name| stage.thread(name, &[Script::idle("a")]));
    assert!(matches!(stage.start(twice.into()), Err(StartError::Name { .. })));
}

#[test]
fn a_hung_thread_is_seen_as_stale_and_left_behind_as_stuck() {
    let mut stage = Stage::new();
    stage.config.drain_timeout = Duration::from_millis(20);
    stage.config.stop_timeout = Duration::from_millis(20);
    let gate = Arc::new(AtomicBool::new(false));
    let close_gate = Some(Arc::clone(&gate));
    let hanging = Script { poll: Poll::Hang, close_gate, ..Script::idle("hanging") };
    let mut supervisor = stage
        .start(vec![stage.thread("well", &[Script::idle("a")]), stage.thread("hung", &[hanging])])
        .expect("a start");
    let is_stale = |supervisor: &Supervisor| {
        let mut stale = supervisor.stale_threads(20_000_000);
        stale.any(|thread| thread.name == "hung" && thread.pulse.last_beat() > Nanos(0))
    };
    while !is_stale(&supervisor) {
        assert_eq!(supervisor.tick(Duration::from_millis(1)), None);
    }
    supervisor.lifecycle().advance(Phase::Draining);
    let ending = supervisor.run(|_| {});
    assert_eq!(ending.stuck, ["hung"]);
    assert_eq!(ending.exit_status(), EXIT_NOT_DRAINED);
    gate.store(true, Ordering::SeqCst);
}

#[test]
fn a_supervisor_that_is_dropped_ends_its_threads() {
    let stage = Stage::new();
    let supervisor = stage.start(vec![stage.thread("one", &[Script::idle("a")])]).expect("a start");
    drop(supervisor);
    let Stage { sender, events, .. } = stage;
    drop(sender);
    // The channel ends with the agent.
    let story: Vec<String> = events.iter().collect();
    assert_eq!(story.last().map(String::as_str), Some("a close"), "{story:?}");
}

#[test]
fn a_thread_that_parks_leaves_its_core_to_others() {
    let stage = Stage::new();
    let spec = stage.thread("parking", &[Script::idle("a")]);
    let spec = ThreadSpec { idle: Idle::Park(Duration::from_millis(10)), ..spec };
    let mut supervisor = stage.start(vec![spec]).expect("a start");
    let mut tick_count = 0;
    while tick_count < 20 {
        assert_eq!(supervisor.tick(Duration::from_millis(10)), None);
        tick_count += 1;
    }
    // At least 200 ms went by: a spinning thread would have polled millions of times.
    assert!(stage.poll_count.load(Ordering::Relaxed) < 2_000);
    supervisor.lifecycle().advance(Phase::Draining);
    assert_eq!(supervisor.run(|_| {}).exit_status(), 0);
}
