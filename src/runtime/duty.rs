//! The duty cycle of one thread: every agent polled once, and where the time went.
//!
//! The clock is read once before a cycle and once after each poll that did work; an idle poll is not timed, as a stamp
//! costs as much as the poll. What passes between two stamps and is nobody's work (idle polls, an interrupt, the
//! hypervisor) counts against every agent of the thread when it is long: none of them was polled meanwhile.

use std::fmt;

use crate::runtime::alloc::{self, HotZone};
use crate::runtime::{Agent, Clock, Fatal, Phase};
use crate::telemetry::{AgentMetrics, Recorder, Registry};
use crate::types::Nanos;

/// The rarest an agent may be polled, in cycles of its thread.
pub const EVERY_MAX: u32 = 1024;

/// An agent and how often it is polled.
pub struct AgentSlot {
    /// The agent.
    pub agent: Box<dyn Agent>,
    /// It is polled once in this many cycles; in `1..=EVERY_MAX`. While the process drains, in every cycle.
    pub every: u32,
    /// Whether the agents before it are polled once more, in reverse order, after it did work: what it sends back up a
    /// chain of agents then reaches the first of them in the same cycle, as what comes down it reaches the last.
    pub turns_back: bool,
}

impl AgentSlot {
    /// An agent that is polled in every cycle.
    pub fn new(agent: impl Agent + 'static) -> AgentSlot {
        AgentSlot { agent: Box::new(agent), every: 1, turns_back: false }
    }

    /// The same, polled once in `every` cycles.
    #[must_use]
    pub fn every(self, every: u32) -> AgentSlot {
        AgentSlot { every, ..self }
    }

    /// The same as the end of a chain: see [`AgentSlot::turns_back`].
    #[must_use]
    pub fn turning_back(self) -> AgentSlot {
        AgentSlot { turns_back: true, ..self }
    }
}

impl fmt::Debug for AgentSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSlot")
            .field("agent", &self.agent.name())
            .field("every", &self.every)
            .finish()
    }
}

/// Where stamps come from: the clock, or a test's own time.
pub trait TimeSource {
    /// The time now.
    fn now(&self) -> Nanos;
}

impl TimeSource for Clock {
    #[inline]
    fn now(&self) -> Nanos {
        Clock::now(*self)
    }
}

/// An agent that cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Its name.
    pub agent: &'static str,
    /// Why.
    pub fatal: Fatal,
}

#[derive(Debug)]
struct Slot {
    slot: AgentSlot,
    name: &'static str,
    metrics: AgentMetrics,
    /// Times of the polls that did work, where there is such a histogram.
    times: Option<Recorder>,
    /// Cycles until it is polled again.
    wait_count: u32,
    /// The last phase it was told of.
    told: Phase,
    is_alive: bool,
}

/// The agents of one thread and their accounts. Time is an argument, but for the stamps of accounting.
#[derive(Debug)]
pub struct DutyCycle<T: TimeSource> {
    slots: Vec<Slot>,
    time: T,
    phase: Phase,
    stall_ns: u64,
    /// The last stamp: all before it is accounted for.
    stamp: Nanos,
    cycle_ns_max: u64,
    allocation_count: u64,
    /// Whose code is running: the one to blame for a panic.
    current: usize,
}

impl<T: TimeSource> DutyCycle<T> {
    /// A duty cycle over `agents`, in this order. A stretch of `stall_ns` and more without a stamp is a stall.
    ///
    /// # Panics
    /// If an agent's `every` is outside `1..=EVERY_MAX`, or there is no agent: the plan is wrong.
    pub fn new(
        agents: Vec<AgentSlot>,
        registry: &Registry,
        stall_ns: u64,
        time: T,
    ) -> DutyCycle<T> {
        assert!(!agents.is_empty(), "a thread without an agent");
        let slots = agents.into_iter().map(|slot| {
            assert!((1..=EVERY_MAX).contains(&slot.every), "polled every {} cycles", slot.every);
            let name = slot.agent.name();
            let metrics = registry.agent_metrics(name);
            let times = registry.duty_cycle(name);
            Slot {
                slot,
                name,
                metrics,
                times,
                wait_count: 0,
                told: Phase::Starting,
                is_alive: true,
            }
        });
        let slots = slots.collect();
        let stamp = time.now();
        DutyCycle {
            slots,
            time,
            phase: Phase::Starting,
            stall_ns,
            stamp,
            cycle_ns_max: 0,
            allocation_count: alloc::hot_allocation_count(),
            current: 0,
        }
    }

    /// Starts the agents, in order.
    ///
    /// # Errors
    /// The first that cannot start. Those before it have been closed, and all are gone.
    pub fn start(&mut self) -> Result<(), Death> {
        for index in 0..self.slots.len() {
            self.current = index;
            let now = self.time.now();
            let slot = &mut self.slots[index];
            if let Err(fatal) = slot.slot.agent.on_start(now) {
                let death = Death { agent: slot.name, fatal };
                self.slots.truncate(index);
                self.close();
                return Err(death);
            }
        }
        self.rested(self.time.now());
        Ok(())
    }

    /// Lets the agents do what others need in order to start, while nothing is polled yet.
    ///
    /// # Errors
    /// The agent that cannot go on.
    pub fn wait(&mut self, now: Nanos) -> Result<(), Death> {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if !slot.is_alive {
                continue;
            }
            self.current = index;
            if let Err(fatal) = slot.slot.agent.on_wait(now) {
                slot.is_alive = false;
                return Err(Death { agent: slot.name, fatal });
            }
        }
        Ok(())
    }

    /// One cycle: polls every agent that is due, in order, and back up from one that turns back. Returns the work done.
    ///
    /// # Errors
    /// The agent that cannot go on: it is not polled again. Those after it are next polled in the next cycle.
    #[inline]
    pub fn cycle(&mut self, now: Nanos) -> Result<usize, Death> {
        let gap = now.since(self.stamp);
        if gap > self.cycle_ns_max.min(self.stall_ns) {
            self.account_gap(gap);
        }
        self.stamp = now;
        let every_one_is_due = self.phase >= Phase::Draining;
        let mut total = 0_usize;
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.wait_count > 0 && !every_one_is_due {
                slot.wait_count -= 1;
                continue;
            }
            slot.wait_count = slot.slot.every - 1;
            let turns_back = slot.slot.turns_back;
            let work = self.poll(index, now)?;
            total = total.saturating_add(work);
            if turns_back && work > 0 {
                for before in (0..index).rev() {
                    total = total.saturating_add(self.poll(before, now)?);
                }
            }
        }
        Ok(total)
    }

    /// Polls one agent, if it lives, and accounts for it.
    #[inline]
    fn poll(&mut self, index: usize, now: Nanos) -> Result<usize, Death> {
        let slot = &mut self.slots[index];
        if !slot.is_alive {
            return Ok(0);
        }
        self.current = index;
        let polled = {
            let _zone = HotZone::enter(slot.name);
            slot.slot.agent.poll(now)
        };
        slot.metrics.cycle_count.increment();
        let allocations = alloc::hot_allocation_count();
        if allocations != self.allocation_count {
            slot.metrics.allocation_count.add(allocations.wrapping_sub(self.allocation_count));
            self.allocation_count = allocations;
        }
        match polled {
            Ok(0) => Ok(0),
            Ok(work) => {
                let stamp = self.time.now();
                slot.account_work(work, stamp.since(self.stamp), self.stall_ns);
                self.stamp = stamp;
                Ok(work)
            }
            Err(fatal) => {
                slot.is_alive = false;
                Err(Death { agent: slot.name, fatal })
            }
        }
    }

    /// The thread gave its core away until `now`: that time is nobody's.
    #[inline]
    pub fn rested(&mut self, now: Nanos) {
        self.stamp = now;
    }

    /// The phase that every living agent was told of.
    #[inline]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Tells every living agent of `phase`. After a panic in it, call it again: it goes on with the next agent.
    pub fn enter(&mut self, phase: Phase, now: Nanos) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.told >= phase || !slot.is_alive {
                continue;
            }
            slot.told = phase;
            self.current = index;
            let _zone = HotZone::enter(slot.name);
            slot.slot.agent.on_phase(phase, now);
        }
        self.phase = phase;
    }

    /// Whether no living agent has anything left to do.
    pub fn is_drained(&self) -> bool {
        self.slots.iter().filter(|slot| slot.is_alive).all(|slot| slot.slot.agent.is_drained())
    }

    /// What the agent whose code ran last has to say of its death; not for one that panicked.
    pub fn last_words(&self) -> Option<String> {
        self.slots.get(self.current).and_then(|slot| slot.slot.agent.last_words())
    }

    /// Declares the agent whose code ran last dead, after a panic in it.
    pub fn bury_current(&mut self) -> Death {
        let slot = &mut self.slots[self.current];
        slot.is_alive = false;
        // It panicked half way through something. It is not run again: neither closed nor dropped.
        let grave = Box::new(Grave { name: slot.name });
        std::mem::forget(std::mem::replace(&mut slot.slot.agent, grave));
        Death { agent: slot.name, fatal: Fatal::Panicked }
    }

    /// Closes the agents, in order, and lets them go. An agent that gave up with an error is closed too: it may hold
    /// things that others wait for.
    ///
    /// A panic in it goes to the caller; after [`DutyCycle::bury_current`], call it again.
    pub fn close(&mut self) {
        while !self.slots.is_empty() {
            self.current = 0;
            let now = self.time.now();
            let slot = &mut self.slots[0];
            slot.slot.agent.on_close(now);
            // Dropped while its slot is still in place: a panic in the drop is then blamed on it, too.
            let grave = Box::new(Grave { name: slot.name });
            drop(std::mem::replace::<Box<dyn Agent>>(&mut slot.slot.agent, grave));
            self.slots.remove(0);
        }
    }

    /// The names of the agents, in order.
    pub fn agent_names(&self) -> Vec<&'static str> {
        self.slots.iter().map(|slot| slot.name).collect()
    }

    #[cold]
    fn account_gap(&mut self, gap: u64) {
        self.cycle_ns_max = self.cycle_ns_max.max(gap);
        for slot in &mut self.slots {
            slot.metrics.cycle_ns_max.raise(gap);
            if gap >= self.stall_ns {
                slot.metrics.stall_count.increment();
            }
        }
    }
}

impl Slot {
    #[inline]
    fn account_work(&mut self, work: usize, spent_ns: u64, stall_ns: u64) {
        let metrics = &self.metrics;
        metrics.busy_cycle_count.increment();
        metrics.work_count.add(u64::try_from(work).unwrap_or(u64::MAX));
        metrics.busy_ns.add(spent_ns);
        metrics.cycle_ns_max.raise(spent_ns);
        if let Some(times) = &self.times {
            times.record(spent_ns);
        }
        if spent_ns >= stall_ns {
            metrics.stall_count.increment();
        }
    }
}

/// Stands where an agent panicked.
#[derive(Debug)]
struct Grave {
    name: &'static str,
}

impl Agent for Grave {
    fn name(&self) -> &'static str {
        self.name
    }

    fn poll(&mut self, _now: Nanos) -> Result<usize, Fatal> {
        Err(Fatal::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;

    /// A test's own time: it stands still until someone moves it.
    #[derive(Clone, Debug, Default)]
    struct Hand(Rc<Cell<u64>>);

    impl Hand {
        fn advance(&self, nanos: u64) {
            self.0.set(self.0.get() + nanos);
        }
    }

    impl TimeSource for Hand {
        fn now(&self) -> Nanos {
            Nanos(self.0.get())
        }
    }

    type Log = Rc<RefCell<Vec<String>>>;

    /// Does what its script says, one entry a poll: (nanoseconds spent, outcome).
    #[derive(Debug)]
    struct Scripted {
        name: &'static str,
        time: Hand,
        log: Log,
        script: Vec<(u64, Result<usize, Fatal>)>,
    }

    impl Agent for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }

        fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
            self.log.borrow_mut().push(format!("{} {}", self.name, now.0));
            let (spent, outcome) = self.script.pop().unwrap_or((0, Ok(0)));
            self.time.advance(spent);
            outcome
        }

        fn on_phase(&mut self, phase: Phase, _now: Nanos) {
            if self.name == "bad" && phase == Phase::Draining {
                panic!("on purpose");
            }
            self.log.borrow_mut().push(format!("{} {phase:?}", self.name));
        }

        fn on_close(&mut self, _now: Nanos) {
            self.log.borrow_mut().push(format!("{} closed", self.name));
        }
    }

    struct Bench {
        time: Hand,
        log: Log,
        registry: Registry,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { time: Hand::default(), log: Log::default(), registry: Registry::new() }
        }

        /// `script` is given in order.
        fn agent(&self, name: &'static str, script: &[(u64, Result<usize, Fatal>)]) -> AgentSlot {
            let mut script = script.to_vec();
            script.reverse();
            let (time, log) = (self.time.clone(), Rc::clone(&self.log));
            AgentSlot::new(Scripted { name, time, log, script })
        }

        fn duty(&self, agents: Vec<AgentSlot>) -> DutyCycle<Hand> {
            DutyCycle::new(agents, &self.registry, 1_000, self.time.clone())
        }

        fn taken(&self) -> Vec<String> {
            self.log.take()
        }
    }

    #[test]
    fn agents_are_polled_in_order_with_the_same_now_and_rare_ones_rarely() {
        let bench = Bench::new();
        let mut duty =
            bench.duty(vec![bench.agent("one", &[(50, Ok(1))]), bench.agent("two", &[]).every(3)]);
        assert_eq!(duty.agent_names(), ["one", "two"]);
        for cycle in 0..4 {
            let now = bench.time.now();
            assert_eq!(duty.cycle(now), Ok(usize::from(cycle == 0)));
            bench.time.advance(10);
        }
        assert_eq!(bench.taken(), ["one 0", "two 0", "one 60", "one 70", "one 80", "two 80"]);
        duty.enter(Phase::Draining, Nanos(90));
        let _ = bench.taken();
        for _ in 0..2 {
            assert_eq!(duty.cycle(Nanos(90)), Ok(0));
        }
        assert_eq!(bench.taken(), ["one 90", "two 90", "one 90", "two 90"], "draining");
    }

    #[test]
    fn work_is_timed_to_the_agent_that_did_it() {
        let bench = Bench::new();
        let one = bench.agent("one", &[(300, Ok(2)), (0, Ok(0))]);
        let two = bench.agent("two", &[(70, Ok(1)), (2_000, Ok(5))]);
        let mut duty = bench.duty(vec![one, two]);
        assert_eq!(duty.cycle(bench.time.now()), Ok(3));
        assert_eq!(duty.cycle(bench.time.now()), Ok(5));
        let one = bench.registry.agent_metrics("one");
        let two = bench.registry.agent_metrics("two");
        assert_eq!((one.cycle_count.get(), two.cycle_count.get()), (2, 2));
        assert_eq!((one.busy_cycle_count.get(), two.busy_cycle_count.get()), (1, 2));
        assert_eq!((one.work_count.get(), two.work_count.get()), (2, 6));
        assert_eq!((one.busy_ns.get(), two.busy_ns.get()), (300, 2_070));
        assert_eq!((one.cycle_ns_max.get(), two.cycle_ns_max.get()), (300, 2_000));
        assert_eq!((one.stall_count.get(), two.stall_count.get()), (0, 1));
    }

    #[test]
    fn a_long_gap_counts_against_all_unless_the_core_was_given_away() {
        let bench = Bench::new();
        let mut duty = bench.duty(vec![bench.agent("one", &[]), bench.agent("two", &[])]);
        assert_eq!(duty.cycle(bench.time.now()), Ok(0));
        bench.time.advance(5_000);
        assert_eq!(duty.cycle(bench.time.now()), Ok(0));
        bench.time.advance(9_000);
        duty.rested(bench.time.now());
        assert_eq!(duty.cycle(bench.time.now()), Ok(0));
        for name in ["one", "two"] {
            let metrics = bench.registry.agent_metrics(name);
            assert_eq!(metrics.stall_count.get(), 1, "{name}");
            assert_eq!(metrics.cycle_ns_max.get(), 5_000, "{name}");
        }
        // Every stall counts, also one that is no new maximum.
        bench.time.advance(1_500);
        assert_eq!(duty.cycle(bench.time.now()), Ok(0));
        assert_eq!(bench.registry.agent_metrics("one").stall_count.get(), 2);
    }

    #[test]
    fn the_dead_are_not_polled_again_and_the_others_go_on() {
        let bench = Bench::new();
        let one = bench.agent("one", &[(0, Err(Fatal::NetworkFailed))]);
        let mut duty = bench.duty(vec![one, bench.agent("two", &[])]);
        let death = Death { agent: "one", fatal: Fatal::NetworkFailed };
        assert_eq!(duty.cycle(Nanos(1)), Err(death));
        assert_eq!(duty.cycle(Nanos(2)), Ok(0));
        duty.enter(Phase::Draining, Nanos(3));
        duty.close();
        let log = ["one 1", "two 2", "two Draining", "one closed", "two closed"];
        assert_eq!(bench.taken(), log);
    }

    #[test]
    fn after_a_panic_the_other_agents_are_still_told_and_the_dead_one_is_left_alone() {
        let bench = Bench::new();
        let agents = ["one", "bad", "two"].map(|name| bench.agent(name, &[]));
        let mut duty = bench.duty(agents.into());
        let mut enter = || {
            let told = std::panic::AssertUnwindSafe(|| duty.enter(Phase::Draining, Nanos(1)));
            let told = std::panic::catch_unwind(told);
            told.map_err(|_| duty.bury_current())
        };
        assert_eq!(enter(), Err(Death { agent: "bad", fatal: Fatal::Panicked }));
        assert_eq!(enter(), Ok(()));
        assert_eq!(duty.cycle(Nanos(2)), Ok(0));
        assert!(duty.is_drained());
        duty.close();
        let log = ["one Draining", "two Draining", "one 2", "two 2", "one closed", "two closed"];
        assert_eq!(bench.taken(), log);
    }

    #[test]
    fn allocations_are_counted_to_the_agent_that_made_them() {
        #[derive(Debug)]
        struct Allocating(&'static str, usize);
        impl Agent for Allocating {
            fn name(&self) -> &'static str {
                self.0
            }
            fn poll(&mut self, _now: Nanos) -> Result<usize, Fatal> {
                for index in 0..self.1 {
                    drop(std::hint::black_box(Box::new(index)));
                }
                Ok(0)
            }
        }
        let bench = Bench::new();
        let names = [("none", 0), ("some", 3), ("more", 5)];
        let agents = names.map(|(name, count)| AgentSlot::new(Allocating(name, count)));
        let mut duty = bench.duty(agents.into());
        for _ in 0..10 {
            assert_eq!(duty.cycle(Nanos(0)), Ok(0));
        }
        for (name, count) in [("none", 0), ("some", 60), ("more", 100)] {
            let metrics = bench.registry.agent_metrics(name);
            assert_eq!(metrics.allocation_count.get(), count, "{name}");
        }
    }
}
