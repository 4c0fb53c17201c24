//! The agent between its rings and a venue session over streams in memory; the venue's side of the session is the real one.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

use crate::codec::journal::{ApprovedCancel, ApprovedOrder, ApprovedReplace, Journal, KillNotice};
use crate::codec::order_entry::{ExecutionReport, OrderCancelReject, OrderEntry};
use crate::gate::{ApprovedSender, approved_ring};
use crate::ring::{Backing, Consumer, RingConfig, ring};
use crate::router::{RouterAgent, RouterConfig, RouterTelemetry, VenueConfig};
use crate::runtime::{Agent, Clock, Phase};
use crate::session::{ClientConfig, ServerAction, ServerConfig, ServerSession, SessionKey};
use crate::telemetry::{Need, Registry};
use crate::transport::memory::{MemoryPublication, MemorySubscription, stream};
use crate::transport::{Inbound, Outbound};
use crate::types::{
    AccountId, CancelRejectTo, ClOrdId, DenyReason, ExecId, ExecType, InstrumentId, KillAction,
    KillScope, LinkState, Nanos, OrdStatus, OrdType, OrderId, Price, SeqNum, SessionId, Side,
    TerminationCode, TimeInForce, VenueId,
};

const VENUE: VenueId = VenueId(1);
const LINE: SessionId = SessionId(77);

struct Bench {
    router: RouterAgent<MemorySubscription, MemoryPublication>,
    approved: ApprovedSender,
    router_risk: Consumer,
    venue_in: MemorySubscription,
    venue_out: Option<MemoryPublication>,
    venue: ServerSession,
    clock: Clock,
    registry: Registry,
    now: Nanos,
}

impl Bench {
    fn new(open_orders_max: usize, order_slots: usize) -> Bench {
        let config = |name| RingConfig { name, slots: 64, backing: Backing::Heap };
        let (approved, risk_router) = approved_ring(&config("risk_router")).expect("a ring");
        let (to_risk, router_risk) = ring(&config("router_risk")).expect("a ring");
        let (orders, venue_in) = stream(order_slots, 256);
        let (venue_out, reports) = stream(64, 256);
        let (clock, registry) = (Clock::start(), Registry::new());
        let key = SessionKey::new([5; 32]);
        let session = ClientConfig {
            session: LINE,
            key: key.clone(),
            keepalive_ms: 1_000,
            retry_ns: u64::MAX,
        };
        let router = RouterAgent::new(RouterConfig {
            venues: vec![VenueConfig {
                venue: VENUE,
                session,
                orders,
                reports,
                link: registry.link("venue", Need::Required),
            }],
            routes: vec![(InstrumentId(4), VENUE)],
            open_orders_max,
            risk_router,
            router_risk: to_risk,
            clock,
            telemetry: RouterTelemetry::new(&registry),
        });
        let venue = ServerSession::new(ServerConfig {
            session: LINE,
            key,
            keepalive_ms: 1..=60_000,
            own_keepalive_ms: 1_000,
            clock_skew_ns: u64::MAX,
            retained_reports: 64,
        });
        let now = clock.now();
        Bench {
            router,
            approved,
            router_risk,
            venue_in,
            venue_out: Some(venue_out),
            venue,
            clock,
            registry,
            now,
        }
    }

    fn up() -> Bench {
        let mut bench = Bench::new(16, 64);
        bench.connect();
        bench
    }

    fn connect(&mut self) {
        while !self.venue.is_established() {
            self.poll();
            assert_eq!(self.venue_reads(), []);
        }
        self.poll();
        let up = self.told_to_risk();
        assert!(matches!(up[..], [Journal::VenueLink(link)] if link.link_state == LinkState::Up));
    }

    fn poll(&mut self) {
        self.now = self.now.plus(1_000_000);
        self.router.poll(self.now).expect("the router lives");
    }

    /// The requests the venue got; its session answers by itself.
    fn venue_reads(&mut self) -> Vec<OrderEntry> {
        let mut messages = Vec::new();
        self.venue_in
            .poll(64, &mut |f| messages.push(OrderEntry::decode(f.bytes).expect("whole")))
            .expect("in memory");
        let mut requests = Vec::new();
        for message in messages {
            let response = self.venue.on_message(self.now, self.clock.utc(self.now), &message);
            if let Some(reply) = response.reply {
                self.venue_sends(&reply);
            }
            if response.action == ServerAction::Apply {
                requests.push(message);
            }
        }
        requests
    }

    fn venue_sends(&mut self, message: &OrderEntry) {
        let mut bytes = [0; 256];
        let length = message.encode(&mut bytes);
        let out = self.venue_out.as_mut().expect("the venue is there");
        out.offer(length, |slot| slot.copy_from_slice(&bytes[..length])).expect("room");
    }

    fn execution(&mut self, id: u64, exec_type: ExecType, cum_qty: u32) {
        let report = ExecutionReport {
            session_id: LINE,
            msg_seq_num: self.venue.take_number(self.now),
            order_id: OrderId(900 + id),
            cl_ord_id: ClOrdId(id),
            orig_cl_ord_id: ClOrdId(0),
            exec_id: ExecId(id * 10),
            transact_time: self.clock.utc(self.now),
            price: None,
            last_px: Some(Price::from_units(3)),
            order_qty: 10,
            last_qty: cum_qty,
            cum_qty,
            leaves_qty: 10 - cum_qty,
            security_id: InstrumentId(4),
            account: AccountId(5),
            ord_rej_reason: 0,
            deny_reason: 0,
            exec_type,
            ord_status: OrdStatus::New,
            side: Side::Buy,
        };
        self.venue_sends(&report.into());
    }

    fn cancel_reject(&mut self, id: u64, cxl_rej_response_to: CancelRejectTo) {
        let reject = OrderCancelReject {
            session_id: LINE,
            msg_seq_num: self.venue.take_number(self.now),
            order_id: OrderId(900 + id),
            cl_ord_id: ClOrdId(id),
            orig_cl_ord_id: ClOrdId(id),
            transact_time: self.clock.utc(self.now),
            cxl_rej_reason: 4,
            deny_reason: 0,
            ord_status: OrdStatus::New,
            cxl_rej_response_to,
        };
        self.venue_sends(&reject.into());
    }

    fn told_to_risk(&mut self) -> Vec<Journal> {
        let mut messages = Vec::new();
        self.router_risk.drain(64, |bytes| messages.push(Journal::decode(bytes).expect("whole")));
        messages
    }

    fn refusals(&mut self) -> Vec<(u64, DenyReason)> {
        let refusal = |message: &Journal| match message {
            Journal::RouterRefusal(m) => {
                Some((m.order_id.0, DenyReason::from_code(m.deny_reason)?))
            }
            _ => None,
        };
        self.told_to_risk().iter().filter_map(refusal).collect()
    }

    fn count(&self, name: &'static str) -> u64 {
        self.registry.snapshot().counter(name).expect("a known counter")
    }
}

fn order(id: u64, now: Nanos) -> ApprovedOrder {
    ApprovedOrder {
        order_id: OrderId(id),
        ingress_time: now,
        price: Some(Price::from_units(3)),
        order_qty: 10,
        security_id: InstrumentId(4),
        account: AccountId(5),
        session_id: SessionId(6),
        sent_delta: 0,
        side: Side::Buy,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
    }
}

fn cancel(id: u64) -> ApprovedCancel {
    ApprovedCancel {
        order_id: OrderId(id),
        ingress_time: Nanos(1),
        security_id: InstrumentId(4),
        sent_delta: 0,
    }
}

fn replace(id: u64, now: Nanos) -> ApprovedReplace {
    ApprovedReplace {
        order_id: OrderId(id),
        ingress_time: now,
        price: Price::from_units(4),
        order_qty: 12,
        sent_delta: 0,
    }
}

#[test]
fn an_order_goes_out_and_its_executions_come_back() {
    let mut bench = Bench::up();
    bench.approved.order(&order(1, bench.now)).expect("room");
    bench.poll();
    let [OrderEntry::NewOrderSingle(sent)] = bench.venue_reads()[..] else { panic!("one order") };
    assert_eq!((sent.cl_ord_id, sent.order_qty, sent.msg_seq_num), (ClOrdId(1), 10, SeqNum(1)));
    bench.execution(1, ExecType::New, 0);
    bench.execution(1, ExecType::Trade, 10);
    bench.poll();
    let told = bench.told_to_risk();
    let kinds: Vec<ExecType> = told
        .iter()
        .map(|m| match m {
            Journal::VenueExecution(m) => m.exec_type,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, [ExecType::New, ExecType::Trade]);
    assert_eq!(bench.count("router_open_order_count"), 0);
    assert_eq!(bench.count("router_anomaly_count"), 0);
}

#[test]
fn cancels_and_replaces_name_the_order() {
    let mut bench = Bench::up();
    bench.approved.order(&order(1, bench.now)).expect("room");
    bench.approved.replace(&replace(1, bench.now)).expect("room");
    bench.approved.cancel(&cancel(1)).expect("room");
    bench.poll();
    let sent = bench.venue_reads();
    let [
        OrderEntry::NewOrderSingle(_),
        OrderEntry::OrderCancelReplaceRequest(replaced),
        OrderEntry::OrderCancelRequest(cancelled),
    ] = sent[..]
    else {
        panic!("{sent:?}")
    };
    assert_eq!((replaced.orig_cl_ord_id, replaced.order_qty), (ClOrdId(1), 12));
    assert_eq!((cancelled.orig_cl_ord_id, cancelled.msg_seq_num), (ClOrdId(1), SeqNum(3)));
    bench.cancel_reject(1, CancelRejectTo::Cancel);
    bench.poll();
    assert!(
        matches!(bench.told_to_risk()[..], [Journal::VenueCancelReject(m)] if m.cxl_rej_reason == 4)
    );
}

#[test]
fn without_a_venue_session_everything_is_refused_with_a_reason() {
    let mut bench = Bench::new(16, 64);
    bench.approved.order(&order(1, bench.now)).expect("room");
    bench.approved.cancel(&cancel(2)).expect("room");
    bench.poll();
    assert_eq!(bench.refusals(), [(1, DenyReason::VenueDown), (2, DenyReason::TooLateToCancel)]);
}

#[test]
fn an_instrument_without_a_route_is_refused() {
    let mut bench = Bench::up();
    let stray = ApprovedOrder { security_id: InstrumentId(99), ..order(1, bench.now) };
    bench.approved.order(&stray).expect("room");
    bench.poll();
    assert_eq!(bench.refusals(), [(1, DenyReason::VenueDown)]);
}

/// The order was approved before the switch was thrown, and is on its way when it is: the last look stops it.
#[test]
fn a_killed_order_does_not_leave_and_its_cancel_does() {
    let mut bench = Bench::up();
    bench.approved.order(&order(1, bench.now)).expect("room");
    let kill = KillNotice { id: 6, kill_scope: KillScope::Session, kill_action: KillAction::Kill };
    bench.approved.kill(&kill).expect("room");
    bench.approved.order(&order(2, bench.now)).expect("room");
    bench.approved.replace(&replace(1, bench.now)).expect("room");
    bench.approved.cancel(&cancel(1)).expect("room");
    bench.poll();
    let sent = bench.venue_reads();
    assert!(
        matches!(sent[..], [OrderEntry::NewOrderSingle(_), OrderEntry::OrderCancelRequest(_)]),
        "{sent:?}"
    );
    let refused = [(2, DenyReason::KilledSession), (1, DenyReason::KilledSession)];
    assert_eq!(bench.refusals(), refused);
}

/// Risk remembers the orders of earlier runs; the router does not, and lets the venue answer.
#[test]
fn a_cancel_of_an_earlier_runs_order_goes_to_its_venue_and_a_late_one_does_not() {
    let mut bench = Bench::up();
    bench.approved.cancel(&cancel(4)).expect("room");
    bench.approved.order(&order(5, bench.now)).expect("room");
    bench.approved.cancel(&cancel(4)).expect("room");
    bench.approved.cancel(&cancel(6)).expect("room");
    bench.poll();
    let sent = bench.venue_reads();
    assert!(
        matches!(
            sent[..],
            [
                OrderEntry::OrderCancelRequest(_),
                OrderEntry::NewOrderSingle(_),
                OrderEntry::OrderCancelRequest(_)
            ]
        ),
        "{sent:?}"
    );
    assert_eq!(bench.refusals(), [(6, DenyReason::TooLateToCancel)]);
}

#[test]
fn more_open_orders_than_there_is_room_for_are_refused() {
    let mut bench = Bench::new(2, 64);
    bench.connect();
    for id in 1..=3 {
        bench.approved.order(&order(id, bench.now)).expect("room");
    }
    bench.poll();
    assert_eq!(bench.refusals(), [(3, DenyReason::RouterFull)]);
}

#[test]
fn an_order_that_waited_too_long_for_the_venue_is_refused_and_a_cancel_waits() {
    let mut bench = Bench::new(16, 2);
    bench.connect();
    let approved_at = bench.now;
    for id in 1..=3 {
        bench.approved.order(&order(id, approved_at)).expect("room");
    }
    bench.approved.cancel(&cancel(1)).expect("room");
    bench.poll();
    assert_eq!(bench.count("router_order_count"), 2, "the stream holds two");
    assert!(bench.count("router_held_count") > 0);
    bench.poll();
    assert_eq!(bench.refusals(), [(3, DenyReason::VenueBackPressured)]);
    assert_eq!(bench.venue_reads().len(), 2);
    bench.poll();
    assert!(matches!(bench.venue_reads()[..], [OrderEntry::OrderCancelRequest(_)]));
}

/// The venue does not read: its cancel waits apart, and the kill switch behind it is heard at once.
#[test]
fn a_cancel_that_waits_for_its_venue_holds_up_nothing_else() {
    let mut bench = Bench::new(16, 2);
    bench.connect();
    for id in 1..=2 {
        bench.approved.order(&order(id, bench.now)).expect("room");
    }
    bench.approved.cancel(&cancel(1)).expect("room");
    bench.approved.cancel(&cancel(2)).expect("room");
    let kill = KillNotice { id: 0, kill_scope: KillScope::Firm, kill_action: KillAction::Kill };
    bench.approved.kill(&kill).expect("room");
    bench.approved.order(&order(3, bench.now)).expect("room");
    bench.poll();
    assert_eq!(bench.refusals(), [(3, DenyReason::KilledFirm)]);
    assert!(!bench.router.is_drained());
    assert_eq!(bench.venue_reads().len(), 2);
    bench.poll();
    let cancels: Vec<u64> = bench
        .venue_reads()
        .iter()
        .map(|message| match message {
            OrderEntry::OrderCancelRequest(m) => m.orig_cl_ord_id.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(cancels, [1, 2], "in the order in which they came");
}

#[test]
fn a_venue_that_goes_is_told_and_its_orders_stay_open() {
    let mut bench = Bench::up();
    bench.approved.order(&order(1, bench.now)).expect("room");
    bench.poll();
    bench.venue_out = None;
    bench.poll();
    bench.poll();
    assert!(
        matches!(bench.told_to_risk()[..], [Journal::VenueLink(link)] if link.link_state == LinkState::Down)
    );
    assert_eq!(bench.count("router_open_order_count"), 1, "its fate is not known");
    bench.approved.order(&order(2, bench.now)).expect("room");
    bench.poll();
    assert_eq!(bench.refusals(), [(2, DenyReason::VenueDown)]);
}

#[test]
fn a_venue_that_ends_the_session_is_asked_again_and_what_was_missed_comes() {
    let mut bench = Bench::up();
    bench.approved.order(&order(1, bench.now)).expect("room");
    bench.poll();
    bench.venue_reads();
    let goodbye = bench.venue.terminate(TerminationCode::Finished).reply.expect("a terminate");
    bench.venue_sends(&goodbye);
    let missed = bench.venue.take_number(bench.now);
    bench.poll();
    assert!(
        matches!(bench.told_to_risk()[..], [Journal::VenueLink(link)] if link.link_state == LinkState::Down)
    );
    while !bench.venue.is_established() {
        bench.poll();
        bench.venue_reads();
    }
    bench.poll();
    assert!(
        matches!(bench.told_to_risk()[..], [Journal::VenueLink(link)] if link.link_state == LinkState::Up)
    );
    assert_eq!(missed, SeqNum(1));
    let mut asked = Vec::new();
    bench
        .venue_in
        .poll(8, &mut |f| asked.push(OrderEntry::decode(f.bytes).expect("whole")))
        .expect("in memory");
    assert!(
        matches!(asked[..], [OrderEntry::RetransmitRequest(m)] if m.from_seq_no == missed && m.count == 1)
    );
}

#[test]
fn going_down_cancels_what_is_open_and_refuses_what_is_new() {
    let mut bench = Bench::up();
    for id in 1..=2 {
        bench.approved.order(&order(id, bench.now)).expect("room");
    }
    bench.poll();
    bench.venue_reads();
    bench.router.on_phase(Phase::Draining, bench.now);
    bench.approved.order(&order(3, bench.now)).expect("room");
    bench.poll();
    assert_eq!(bench.refusals(), [(3, DenyReason::ShuttingDown)]);
    assert_eq!(bench.venue_reads(), [], "risk has its time to cancel");
    for _ in 0..25 {
        bench.poll();
    }
    let cancels = bench.venue_reads();
    assert_eq!(cancels.len(), 2, "one each, once: {cancels:?}");
    assert!(!bench.router.is_drained());
    bench.execution(1, ExecType::Canceled, 0);
    bench.execution(2, ExecType::Trade, 10);
    bench.poll();
    assert!(bench.router.is_drained());
    bench.router.on_phase(Phase::Stopping, bench.now);
    bench.venue_reads();
    assert!(!bench.venue.is_established(), "the venue was told");
}

#[test]
fn bytes_from_the_venue_that_are_no_message_are_counted() {
    let mut bench = Bench::up();
    let out = bench.venue_out.as_mut().expect("there");
    for length in [0, 1, 7, 8, 100] {
        out.offer(length, |slot| slot.fill(0xa5)).expect("room");
    }
    bench.poll();
    assert_eq!(bench.count("router_decode_error_count"), 5);
    assert_eq!(bench.told_to_risk(), []);
}

#[test]
fn a_report_about_an_order_that_is_not_open_is_counted_and_passed_on() {
    let mut bench = Bench::up();
    bench.execution(42, ExecType::Trade, 10);
    bench.poll();
    assert_eq!(bench.count("router_unknown_order_count"), 1);
    assert!(
        matches!(bench.told_to_risk()[..], [Journal::VenueExecution(m)] if m.order_id == OrderId(42))
    );
}

/// The fill was on its way when the cancel and the replace left, and the venue answers them in order.
#[test]
fn an_answer_to_a_request_that_crossed_the_end_is_late_and_no_stranger() {
    let mut bench = Bench::up();
    for id in 1..=2 {
        bench.approved.order(&order(id, bench.now)).expect("room");
    }
    bench.poll();
    bench.approved.cancel(&cancel(1)).expect("room");
    bench.approved.replace(&replace(2, bench.now)).expect("room");
    bench.poll();
    for id in 1..=2 {
        bench.execution(id, ExecType::New, 0);
        bench.execution(id, ExecType::Trade, 10);
    }
    bench.cancel_reject(1, CancelRejectTo::Cancel);
    bench.cancel_reject(2, CancelRejectTo::Replace);
    bench.poll();
    let rejects = |message: &Journal| matches!(message, Journal::VenueCancelReject(_));
    assert_eq!(
        bench.told_to_risk().iter().filter(|m| rejects(m)).count(),
        2,
        "risk must answer them"
    );
    assert_eq!(bench.count("router_late_answer_count"), 2);
    assert_eq!(bench.count("router_unknown_order_count"), 0);
    assert_eq!(bench.count("router_anomaly_count"), 0);
    assert_eq!(bench.count("router_open_order_count"), 0);
}
