//! The agent around the engine: what it reads when there is room, in what order it records, and what it leaves alone.

mod risk_support;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use postern::codec::journal::{Journal, KillCommand, OrderRequest};
use postern::gate::{Approved, DecisionLog, Mark, Room};
use postern::risk::{Engine, RiskAgent, RiskSummary};
use postern::runtime::{Agent, Clock, Phase};
use postern::telemetry::Registry;
use postern::types::{
    ClOrdId, DenyReason, ExecType, KillAction, KillScope, LinkState, Nanos, OrdStatus, Side,
};
use risk_support::rings::{OtherEnds, rings};
use risk_support::{Desk, cents, config, kill, link, opening, quote, session};

/// A log in memory whose room is set by the test.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    records: Vec<(Nanos, String)>,
    ordinary: usize,
    reserved: usize,
}

impl DecisionLog for Memory {
    fn has_room(&mut self, records: usize, room: Room) -> bool {
        let state = self.0.borrow();
        match room {
            Room::Ordinary => records <= state.ordinary,
            Room::Reserved => records <= state.reserved,
        }
    }

    fn append(&mut self, now: Nanos, bytes: &[u8]) {
        let text = format!("{:?}", Journal::decode(bytes).expect("a message"));
        let name = text.split_once('(').expect("a variant").0.to_owned();
        self.0.borrow_mut().records.push((now, name));
    }

    fn mark(&mut self, now: Nanos, mark: Mark) {
        self.0.borrow_mut().records.push((now, format!("{mark:?}")));
    }
}

struct World {
    agent: RiskAgent<Memory>,
    log: Memory,
    ends: OtherEnds,
    registry: Registry,
    summary: Arc<OnceLock<RiskSummary>>,
    /// Makes requests; its own engine is not used.
    desk: Desk,
}

fn world(slots_out: usize) -> World {
    let registry = Registry::new();
    let (rings, ends) = rings(slots_out, 32);
    let log = Memory::default();
    (log.0.borrow_mut().ordinary, log.0.borrow_mut().reserved) = (100, 100);
    let engine = Engine::new(&config()).expect("valid");
    let summary = Arc::new(OnceLock::new());
    let mut agent =
        RiskAgent::new(engine, log.clone(), rings, Clock::start(), &registry, Arc::clone(&summary));
    agent.on_start(Nanos(1)).expect("starts");
    let desk = Desk::new(&config());
    let mut world = World { agent, log, ends, registry, summary, desk };
    for input in opening() {
        world.put(input);
        world.agent.poll(Nanos(2)).expect("runs");
    }
    world.taken();
    world
}

impl World {
    fn put(&mut self, input: impl Into<Journal>) {
        self.ends.put(&input.into());
    }

    fn order(&mut self) -> OrderRequest {
        let price = 9_000 + i64::try_from(self.desk.next_id).expect("it fits");
        self.desk.limit(Side::Buy, cents(price), 20)
    }

    fn poll(&mut self, now: u64) {
        self.agent.poll(Nanos(now)).expect("runs");
    }

    /// Names of what was recorded since the last call.
    fn taken(&mut self) -> Vec<String> {
        self.log.0.borrow_mut().records.drain(..).map(|(_, name)| name).collect()
    }

    /// A counter's number.
    fn shown(&self, name: &'static str) -> u64 {
        self.registry.read(name).expect("a row")
    }

    fn sent(&mut self) -> Vec<Approved> {
        self.ends.sent()
    }

    fn told(&mut self) -> Vec<Journal> {
        self.ends.told()
    }
}

#[test]
fn a_market_is_recorded_when_it_is_used_and_only_then() {
    let mut world = world(32);
    let order = world.order();
    world.put(order);
    world.poll(10);
    assert_eq!(world.taken(), ["FeedStatus", "ReferencePrice", "OrderRequest", "Decision"]);
    let order = world.order();
    world.put(order);
    world.poll(11);
    assert_eq!(world.taken(), ["OrderRequest", "Decision"]);
    for cent in 0..5 {
        world.put(quote(1, Some(cents(9_990 + cent)), Some(cents(10_001))));
        world.put(quote(2, Some(cents(9_990 + cent)), Some(cents(10_001))));
    }
    world.poll(12);
    assert_eq!(world.taken(), [""; 0]);
    let order = world.order();
    world.put(order);
    world.poll(13);
    assert_eq!(world.taken(), ["ReferencePrice", "OrderRequest", "Decision"]);
    assert_eq!(world.sent().len(), 3);
}

#[test]
fn executions_come_before_orders_and_commands_before_both() {
    let mut world = world(32);
    let order = world.order();
    world.put(order);
    world.put(link(1, LinkState::Down));
    world.put(kill(KillScope::Firm, 0, KillAction::Kill));
    world.poll(10);
    let names =
        ["KillCommand", "VenueLink", "FeedStatus", "ReferencePrice", "OrderRequest", "Decision"];
    assert_eq!(world.taken(), names);
    let [Journal::OrderReport(report)] = world.told()[..] else { panic!("one report") };
    assert_eq!(report.deny_reason, DenyReason::KilledFirm.code());
    assert!(matches!(world.sent()[..], [Approved::Kill(_)]));
    // What is counted is shown when there is nothing else to do.
    world.poll(11);
    assert_eq!((world.shown("risk_kill_command_id"), world.shown("risk_kill_refused_id")), (1, 0));
    let unknown = KillCommand { command_id: 2, ..kill(KillScope::Account, 7, KillAction::Kill) };
    world.put(unknown);
    world.poll(12);
    world.poll(13);
    assert_eq!(world.taken(), ["KillCommand"], "refused, and evidence all the same");
    assert_eq!(world.sent().len(), 0);
    assert_eq!((world.shown("risk_kill_command_id"), world.shown("risk_kill_refused_id")), (2, 2));
}

#[test]
fn with_a_full_journal_orders_are_refused_and_cancels_pass() {
    let mut world = world(32);
    let order = world.order();
    world.put(order);
    world.poll(10);
    let [Approved::Order(open)] = world.sent()[..] else { panic!("one order") };
    world.taken();
    world.log.0.borrow_mut().ordinary = 3;
    let refused = world.order();
    world.put(refused);
    let replace = world.desk.replace(order.cl_ord_id, cents(9_990), 40);
    world.put(replace);
    let cancel = world.desk.cancel(order.cl_ord_id);
    world.put(cancel);
    world.poll(11);
    assert_eq!(world.taken(), ["CancelRequest", "Decision"]);
    let told = world.told();
    let [Journal::OrderReport(report), Journal::CancelRejectReport(reject)] = told[..] else {
        panic!("two refusals, not {told:?}")
    };
    assert_eq!(
        (report.cl_ord_id, report.deny_reason),
        (refused.cl_ord_id, DenyReason::JournalFull.code())
    );
    assert_eq!((report.ord_status, report.exec_type), (OrdStatus::Rejected, ExecType::Rejected));
    assert_eq!(reject.deny_reason, DenyReason::JournalFull.code());
    assert!(matches!(world.sent()[..], [Approved::Cancel(c)] if c.order_id == open.order_id));
    assert_eq!(world.shown("risk_journal_full_count"), 2);
    // Nothing of what was refused is remembered: with room again the same identifier passes.
    world.log.0.borrow_mut().ordinary = 100;
    world.put(OrderRequest { cl_ord_id: ClOrdId(cancel.cl_ord_id.0 + 1), ..refused });
    world.poll(12);
    assert_eq!(world.sent().len(), 1);
    // Without even the reserve, everything waits unread.
    (world.log.0.borrow_mut().ordinary, world.log.0.borrow_mut().reserved) = (0, 0);
    let cancel = world.desk.cancel(refused.cl_ord_id);
    world.put(cancel);
    world.poll(13);
    assert_eq!((world.sent().len(), world.told().len()), (0, 0));
    (world.log.0.borrow_mut().ordinary, world.log.0.borrow_mut().reserved) = (100, 100);
    world.poll(14);
    assert_eq!(world.told().len() + world.sent().len(), 1);
}

#[test]
fn without_room_for_its_answer_an_input_stays_unread() {
    let mut world = world(2);
    for _ in 0..5 {
        let mut order = world.order();
        order.order_qty = 21;
        world.put(order);
    }
    world.poll(10);
    assert_eq!(world.taken().len(), 2 + 2 * 2, "market and two orders");
    assert!(world.shown("risk_back_pressure_count") > 0);
    assert_eq!(world.told().len(), 2);
    world.poll(11);
    assert_eq!(world.told().len(), 2);
    world.poll(12);
    assert_eq!(world.told().len(), 1);
}

#[test]
fn a_sweep_records_its_tick_and_fits_its_ring() {
    let mut world = world(32);
    for _ in 0..40 {
        let order = world.order();
        world.put(order);
        world.poll(10);
        assert_eq!(world.sent().len(), 1);
    }
    world.taken();
    world.put(session(1, LinkState::Down));
    world.poll(20);
    assert_eq!(world.taken(), ["SessionLink"]);
    let mut sizes = Vec::new();
    for cycle in 0..4 {
        world.poll(21 + cycle);
        let names = world.taken();
        let sent = world.sent().len();
        assert!(names.is_empty() || names[0] == "Tick" && names.len() == sent + 1, "{names:?}");
        sizes.push(sent);
    }
    assert_eq!(sizes, [16, 16, 8, 0]);
}

#[test]
fn draining_refuses_cancels_and_waits_for_the_venue() {
    let mut world = world(32);
    let order = world.order();
    world.put(order);
    world.poll(10);
    let [Approved::Order(open)] = world.sent()[..] else { panic!("one order") };
    assert!(!world.agent.is_drained(), "an order is open");
    world.agent.on_phase(Phase::Draining, Nanos(11));
    world.poll(12);
    assert!(matches!(world.sent()[..], [Approved::Cancel(c)] if c.order_id == open.order_id));
    let late = world.order();
    world.put(late);
    world.poll(13);
    assert!(
        matches!(world.told()[..], [Journal::OrderReport(r)] if r.deny_reason == DenyReason::ShuttingDown.code())
    );
    let gone = world.desk.execution(open.order_id, ExecType::Canceled);
    world.put(gone);
    world.poll(14);
    assert!(world.agent.is_drained());
    world.agent.on_close(Nanos(15));
    assert_eq!(world.summary.get().expect("closed").open_order_count, 0);
}

#[test]
fn what_does_not_belong_in_a_ring_is_counted_and_skipped() {
    let mut world = world(32);
    let mut claim = world.ends.entry_risk.claim(5).expect("room");
    claim.copy_from_slice(b"hello");
    claim.commit();
    let order = world.order();
    world.put(order);
    world.poll(10);
    assert_eq!(world.sent().len(), 1);
    assert_eq!(world.shown("risk_input_invalid_count"), 1);
}
