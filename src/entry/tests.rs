//! The agent between streams in memory on one side and its rings on the other.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

use crate::codec::Message;
use crate::codec::journal::{Journal, OrderReport};
use crate::codec::order_entry::{
    BusinessMessageReject, NewOrderSingle, OrderCancelRequest, OrderEntry,
};
use crate::entry::{EntryAgent, EntryConfig, EntryRefusal, EntryTelemetry, SessionConfig};
use crate::ring::{Backing, Consumer, Producer, RingConfig, ring};
use crate::runtime::{Agent, Clock, Phase};
use crate::session::{ClientAction, ClientConfig, ClientSession, ServerConfig, SessionKey};
use crate::telemetry::{Need, Registry};
use crate::transport::memory::{MemoryPublication, MemorySubscription, stream};
use crate::transport::{Inbound, Outbound};
use crate::types::{
    AccountId, ClOrdId, ExecId, ExecType, InstrumentId, LinkState, Nanos, OrdStatus, OrdType,
    OrderId, Price, SeqNum, SessionId, Side, TerminationCode, TimeInForce,
};

const SESSION: SessionId = SessionId(9);
const RETAINED: u32 = 8;

struct Bench {
    entry: EntryAgent<MemorySubscription, MemoryPublication>,
    orders: Option<MemoryPublication>,
    reports: MemorySubscription,
    entry_risk: Consumer,
    risk_entry: Producer,
    client: ClientSession,
    clock: Clock,
    registry: Registry,
    now: Nanos,
}

impl Bench {
    fn new(ring_slots: usize, report_slots: usize) -> Bench {
        let make = |name, slots| {
            ring(&RingConfig { name, slots, backing: Backing::Heap }).expect("a ring")
        };
        let (to_risk, entry_risk) = make("entry_risk", ring_slots);
        let (risk_entry, from_risk) = make("risk_entry", 64);
        let (orders, orders_in) = stream(64, 256);
        let (reports_out, reports) = stream(report_slots, 256);
        let (clock, registry) = (Clock::start(), Registry::new());
        let server = ServerConfig {
            session: SESSION,
            key: SessionKey::new([3; 32]),
            keepalive_ms: 1..=60_000,
            own_keepalive_ms: 1_000,
            clock_skew_ns: u64::MAX,
            retained_reports: RETAINED,
        };
        let entry = EntryAgent::new(EntryConfig {
            orders: orders_in,
            sessions: vec![SessionConfig {
                server,
                reports: reports_out,
                last_cl_ord_id: ClOrdId(99),
                link: registry.link("session", Need::Optional),
            }],
            entry_risk: to_risk,
            risk_entry: from_risk,
            clock,
            telemetry: EntryTelemetry::new(&registry),
        });
        let client = ClientSession::new(ClientConfig {
            session: SESSION,
            key: SessionKey::new([3; 32]),
            keepalive_ms: 1_000,
            retry_ns: u64::MAX,
        });
        let now = clock.now();
        Bench {
            entry,
            orders: Some(orders),
            reports,
            entry_risk,
            risk_entry,
            client,
            clock,
            registry,
            now,
        }
    }

    fn up() -> Bench {
        let mut bench = Bench::new(64, 64);
        bench.connect();
        bench
    }

    fn connect(&mut self) {
        let negotiate = self.client.start(self.now, self.clock.utc(self.now));
        self.send(&negotiate);
        while !self.client.is_established() {
            self.poll();
            self.read();
        }
        assert_eq!(self.links(), [LinkState::Up]);
    }

    fn send(&mut self, message: &OrderEntry) {
        let mut bytes = [0; 256];
        let length = message.encode(&mut bytes);
        self.send_bytes(&bytes[..length]);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        let orders = self.orders.as_mut().expect("the publisher is there");
        orders.offer(bytes.len(), |slot| slot.copy_from_slice(bytes)).expect("room");
    }

    fn poll(&mut self) {
        self.now = self.now.plus(1_000_000);
        self.entry.poll(self.now).expect("entry lives");
    }

    /// The business messages the strategy got, in order; session messages are answered.
    fn read(&mut self) -> Vec<OrderEntry> {
        let mut messages = Vec::new();
        self.reports
            .poll(64, &mut |f| messages.push(OrderEntry::decode(f.bytes).expect("whole")))
            .expect("in memory");
        let mut business = Vec::new();
        for message in messages {
            let response = self.client.on_message(self.now, self.clock.utc(self.now), &message);
            if let Some(reply) = response.reply {
                self.send(&reply);
            }
            if response.action == ClientAction::Apply {
                business.push(message);
            }
        }
        business
    }

    fn order(&mut self, id: u64) -> OrderEntry {
        NewOrderSingle {
            session_id: SESSION,
            msg_seq_num: self.client.take_number(self.now),
            cl_ord_id: ClOrdId(id),
            sending_time: self.clock.utc(self.now),
            price: Some(Price::from_units(7)),
            order_qty: 3,
            security_id: InstrumentId(4),
            account: AccountId(5),
            side: Side::Sell,
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        }
        .into()
    }

    fn told_to_risk(&mut self) -> Vec<Journal> {
        let mut messages = Vec::new();
        self.entry_risk.drain(64, |bytes| messages.push(Journal::decode(bytes).expect("whole")));
        messages
    }

    fn links(&mut self) -> Vec<LinkState> {
        let link = |message: &Journal| match message {
            Journal::SessionLink(link) => Some(link.link_state),
            _ => None,
        };
        self.told_to_risk().iter().filter_map(link).collect()
    }

    fn count(&self, name: &'static str) -> u64 {
        self.registry.snapshot().counter(name).expect("a known counter")
    }
}

fn report(id: u64) -> OrderReport {
    OrderReport {
        order_id: OrderId(1),
        cl_ord_id: ClOrdId(id),
        orig_cl_ord_id: ClOrdId(0),
        exec_id: ExecId(id),
        ingress_time: Nanos(1),
        price: None,
        last_px: None,
        session_id: SESSION,
        order_qty: 1,
        last_qty: 0,
        cum_qty: 0,
        leaves_qty: 1,
        security_id: InstrumentId(4),
        account: AccountId(5),
        sent_delta: 0,
        ord_rej_reason: 0,
        deny_reason: 0,
        exec_type: ExecType::New,
        ord_status: OrdStatus::New,
        side: Side::Buy,
    }
}

fn numbers(messages: &[OrderEntry]) -> Vec<u32> {
    messages.iter().filter_map(|m| crate::session::sequence_of(m).map(|n| n.0)).collect()
}

#[test]
fn an_order_reaches_risk_with_all_it_said() {
    let mut bench = Bench::up();
    let order = bench.order(100);
    bench.send(&order);
    bench.poll();
    let [Journal::OrderRequest(request)] = bench.told_to_risk()[..] else { panic!("one request") };
    assert_eq!((request.cl_ord_id, request.session_id), (ClOrdId(100), SESSION));
    assert_eq!((request.price, request.order_qty), (Some(Price::from_units(7)), 3));
    assert_eq!((request.security_id, request.account), (InstrumentId(4), AccountId(5)));
    assert_eq!((request.side, request.ord_type), (Side::Sell, OrdType::Limit));
    assert!(request.ingress_time > Nanos(0));
}

#[test]
fn a_strategy_is_told_the_last_identifier_of_earlier_runs() {
    assert_eq!(Bench::up().client.server_cl_ord_id(), ClOrdId(99));
}

#[test]
fn reports_are_numbered_and_reach_the_strategy() {
    let mut bench = Bench::up();
    for id in 1..=3 {
        bench.risk_entry.send(&report(id)).expect("room");
    }
    bench.poll();
    assert_eq!(numbers(&bench.read()), [1, 2, 3]);
}

#[test]
fn without_a_session_nothing_reaches_risk() {
    let mut bench = Bench::new(64, 64);
    let order = bench.order(100);
    bench.send(&order);
    bench.poll();
    assert_eq!(bench.told_to_risk(), []);
    assert_eq!(bench.count("entry_wrong_source_count"), 1);
}

#[test]
fn bytes_that_are_no_message_are_refused_and_counted() {
    let mut bench = Bench::up();
    let mut order = [0; 256];
    let length = bench.order(100).encode(&mut order);
    let order = &mut order[..length];
    bench.send_bytes(&order[..length - 1]);
    order[6] = 1;
    bench.send_bytes(order);
    order[6] = 0;
    order[52] = b'9';
    bench.send_bytes(order);
    bench.poll();
    let reasons: Vec<u16> = bench
        .read()
        .iter()
        .map(|m| match m {
            OrderEntry::BusinessMessageReject(m) => m.business_reject_reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(reasons, [1, 3, 7], "cut short, a version from the future, a side that is none");
    assert_eq!(bench.told_to_risk(), []);
    assert_eq!(bench.count("entry_decode_error_count"), 3);
    let order = bench.order(101);
    bench.send(&order);
    bench.poll();
    assert_eq!(bench.told_to_risk().len(), 1, "the session goes on");
}

#[test]
fn a_session_that_is_not_configured_is_counted() {
    let mut bench = Bench::up();
    let other = OrderCancelRequest {
        session_id: SessionId(1),
        msg_seq_num: SeqNum(1),
        cl_ord_id: ClOrdId(1),
        sending_time: bench.clock.utc(bench.now),
        orig_cl_ord_id: ClOrdId(1),
    };
    bench.send(&other.into());
    bench.poll();
    assert_eq!(bench.count("entry_unknown_session_count"), 1);
}

#[test]
fn orders_wait_in_the_transport_while_risk_is_behind() {
    let mut bench = Bench::new(4, 64);
    bench.connect();
    for id in 1..=10 {
        let order = bench.order(id);
        bench.send(&order);
    }
    for _ in 0..5 {
        bench.poll();
    }
    assert_eq!(bench.told_to_risk().len(), 4, "as many as there is room for");
    assert!(bench.count("entry_ring_full_count") > 0);
    let mut rest = 0;
    for _ in 0..10 {
        bench.poll();
        rest += bench.told_to_risk().len();
    }
    assert_eq!(rest, 6, "nothing is lost");
}

#[test]
fn a_strategy_that_does_not_read_is_ended_and_its_orders_are_cancelled() {
    let mut bench = Bench::new(64, 4);
    bench.connect();
    for id in 1..=16 {
        bench.risk_entry.send(&report(id)).expect("room");
        bench.poll();
    }
    assert_eq!(bench.links(), [LinkState::Down]);
    assert_eq!(bench.count("entry_slow_consumer_count"), 1);
    let told = bench.read();
    assert_eq!(numbers(&told), [1, 2, 3, 4], "what the stream held");
    assert!(bench.entry.is_drained(), "nobody is waited for");
}

#[test]
fn a_strategy_that_comes_back_gets_what_it_missed() {
    let mut bench = Bench::new(64, 4);
    bench.connect();
    for id in 1..=6 {
        bench.risk_entry.send(&report(id)).expect("room");
        bench.poll();
    }
    // Two reports are still in the store when the publisher goes; two more come while nobody is there.
    bench.entry.desk_for_test().on_source_down(crate::transport::memory::SOURCE);
    bench.client.on_disconnect();
    assert_eq!(bench.links(), [LinkState::Down]);
    for id in 7..=8 {
        bench.risk_entry.send(&report(id)).expect("room");
        bench.poll();
    }
    let lost_with_the_stream = bench.read();
    assert_eq!(lost_with_the_stream, [], "they came after the client had given up");
    let establish = bench.client.resume(bench.now, bench.clock.utc(bench.now));
    bench.send(&establish);
    let mut told = Vec::new();
    for _ in 0..8 {
        bench.poll();
        told.extend(bench.read());
    }
    assert_eq!(numbers(&told), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_publisher_that_goes_takes_its_session_down() {
    let mut bench = Bench::up();
    let order = bench.order(1);
    bench.send(&order);
    bench.orders = None;
    bench.poll();
    bench.poll();
    let messages = bench.told_to_risk();
    assert!(
        matches!(messages[0], Journal::OrderRequest(_)),
        "what it said before is applied first"
    );
    let last = messages.last();
    assert!(matches!(last, Some(Journal::SessionLink(link)) if link.link_state == LinkState::Down));
}

#[test]
fn silence_takes_a_session_down() {
    let mut bench = Bench::up();
    bench.now = bench.now.plus(3_000_000_001);
    bench.poll();
    assert_eq!(bench.links(), [LinkState::Down]);
    let last = bench.read();
    assert_eq!(last, []);
    assert!(!bench.client.is_established(), "it was told");
}

#[test]
fn while_the_gateway_goes_down_only_cancels_pass() {
    let mut bench = Bench::up();
    bench.entry.on_phase(Phase::Draining, bench.now);
    let order = bench.order(1);
    bench.send(&order);
    let cancel = OrderCancelRequest {
        session_id: SESSION,
        msg_seq_num: bench.client.take_number(bench.now),
        cl_ord_id: ClOrdId(2),
        sending_time: bench.clock.utc(bench.now),
        orig_cl_ord_id: ClOrdId(1),
    };
    bench.send(&cancel.into());
    bench.poll();
    assert!(matches!(bench.told_to_risk()[..], [Journal::CancelRequest(_)]));
    let told = bench.read();
    let [
        OrderEntry::BusinessMessageReject(BusinessMessageReject {
            business_reject_reason,
            ref_template_id,
            ..
        }),
    ] = told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(business_reject_reason, EntryRefusal::ShuttingDown.code());
    assert_eq!(ref_template_id, NewOrderSingle::TEMPLATE);
    bench.entry.on_phase(Phase::Stopping, bench.now);
    bench.read();
    assert!(!bench.client.is_established(), "it was told of the end");
    assert_eq!(bench.client.on_disconnect(), ClientAction::None);
    let _ = TerminationCode::ShuttingDown;
}
