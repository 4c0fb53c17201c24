//! The simulated exchange as an agent: sessions, orders, reports, market data, the account at the end.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests: what is not expected fails them"
)]

mod sim_support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use postern::codec::Message;
use postern::codec::order_entry::{
    ExecutionReport, NewOrderSingle, OrderCancelReject, OrderCancelReplaceRequest,
    OrderCancelRequest, OrderEntry, OrderMassActionRequest,
};
use postern::feed::channel::Channel;
use postern::runtime::Agent;
use postern::session::{
    ClientAction, ClientConfig, ClientSession, ServerConfig, SessionKey, session_of,
};
use postern::sim::background::{Background, RandomFlow, RandomFlowConfig, RandomSymbol};
use postern::sim::ledger::VenueLedger;
use postern::sim::matching::Exchange;
use postern::sim::order::VenueReject;
use postern::sim::prng::SplitMix;
use postern::sim::venue::{LedgerCell, UtcAnchor, VenueAgent, VenueConfig, VenueLines};
use postern::telemetry::Registry;
use postern::transport::StreamEvent;
use postern::types::{
    AccountId, CancelRejectTo, ClOrdId, ExecType, InstrumentId, MassScope, Nanos, OrdStatus,
    OrdType, Price, SeqNum, SessionId, Side, TerminationCode, TimeInForce, UtcNanos,
};
use sim_support::{Line, Reports, Requests, feed, instrument, read};

const KEY: [u8; 32] = [9; 32];
const STOCK: InstrumentId = InstrumentId(500);

/// An exchange with two participants, and the gateway's feed over its line.
struct Hall {
    agent: VenueAgent<Requests, Reports, Line>,
    requests: Requests,
    reports: Reports,
    line: Line,
    feed: Channel,
    now: Nanos,
    clients: Vec<Client>,
    registry: Registry,
    cell: LedgerCell,
}

struct Client {
    session: ClientSession,
    source: i32,
    reports: Vec<OrderEntry>,
    told: Vec<ClientAction>,
}

fn server(session: u32) -> ServerConfig {
    ServerConfig {
        session: SessionId(session),
        key: SessionKey::new(KEY),
        keepalive_ms: 10..=60_000,
        own_keepalive_ms: 1_000,
        clock_skew_ns: 1_000_000_000,
        retained_reports: 64,
    }
}

fn client(session: u32, source: i32) -> Client {
    let config = ClientConfig {
        session: SessionId(session),
        key: SessionKey::new(KEY),
        keepalive_ms: 1_000,
        retry_ns: 500_000_000,
    };
    Client { session: ClientSession::new(config), source, reports: Vec::new(), told: Vec::new() }
}

const MIDNIGHT: UtcNanos = UtcNanos(1_580_342_400_000_000_000);

fn utc(now: Nanos) -> UtcNanos {
    UtcNanos(MIDNIGHT.0 + 34_200_000_000_000 + now.0)
}

impl Hall {
    fn new() -> Hall {
        Hall::with(|_| {}, |_| Background::None)
    }

    /// A hall whose clients have sessions.
    fn open() -> Hall {
        let mut hall = Hall::new();
        hall.start(0);
        hall.start(1);
        hall
    }

    fn with(
        change: impl FnOnce(&mut VenueConfig),
        background: impl FnOnce(&Exchange) -> Background,
    ) -> Hall {
        let instruments = vec![instrument("AAPL", 7, STOCK.0), instrument("MSFT", 8, 501)];
        let anchor = UtcAnchor { now: Nanos(0), utc: utc(Nanos(0)) };
        let sessions = vec![server(1), server(2)];
        let mut config = VenueConfig::new(instruments, sessions, anchor, MIDNIGHT);
        change(&mut config);
        let symbols: Vec<_> = config.instruments.iter().map(|i| i.symbol).collect();
        let (requests, line, registry) = (Requests::default(), Line::default(), Registry::new());
        let room = Rc::new(Cell::new(usize::MAX));
        let reports = Reports { messages: Rc::default(), room };
        let cell: LedgerCell = Arc::new(OnceLock::new());
        let lines = VenueLines {
            requests: requests.clone(),
            reports: reports.clone(),
            line_a: line.clone(),
            line_b: None,
        };
        let ledger = Arc::clone(&cell);
        let mut agent = VenueAgent::new(config, lines, background, &registry, ledger).unwrap();
        agent.on_start(Nanos(0)).unwrap();
        let clients = vec![client(1, 11), client(2, 22)];
        let (feed, now) = (feed(&symbols), Nanos(0));
        Hall { agent, requests, reports, line, feed, now, clients, registry, cell }
    }

    fn start(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let message = client.session.start(self.now, utc(self.now));
        self.send_raw(place, &message);
        self.run();
        assert!(self.clients[place].session.is_established());
    }

    fn send_raw(&mut self, place: usize, message: &OrderEntry) {
        let mut bytes = vec![0; 128];
        let length = message.encode(&mut bytes);
        bytes.truncate(length);
        let source = self.clients[place].source;
        self.requests.messages.borrow_mut().push_back((source, bytes));
    }

    /// Sends a business message under the session's next number.
    fn send<M: Into<OrderEntry>>(&mut self, place: usize, message: impl Fn(SeqNum) -> M) {
        let number = self.clients[place].session.take_number(self.now);
        self.send_raw(place, &message(number).into());
    }

    fn submit(&mut self, place: usize, id: u64, side: Side, price: &str, qty: u32) {
        let new = order(self.clients[place].session.id(), id, side, price, qty);
        self.send(place, |number| NewOrderSingle { msg_seq_num: number, ..new });
    }

    fn cancel(&mut self, place: usize, id: u64, orig: u64) {
        let message = OrderCancelRequest {
            session_id: self.clients[place].session.id(),
            msg_seq_num: SeqNum(0),
            cl_ord_id: ClOrdId(id),
            sending_time: utc(self.now),
            orig_cl_ord_id: ClOrdId(orig),
        };
        self.send(place, |number| OrderCancelRequest { msg_seq_num: number, ..message });
    }

    fn replace(&mut self, place: usize, id: u64, orig: u64, price: &str, qty: u32) {
        let message = OrderCancelReplaceRequest {
            session_id: self.clients[place].session.id(),
            msg_seq_num: SeqNum(0),
            cl_ord_id: ClOrdId(id),
            sending_time: utc(self.now),
            orig_cl_ord_id: ClOrdId(orig),
            price: price.parse().unwrap(),
            order_qty: qty,
        };
        self.send(place, |number| OrderCancelReplaceRequest { msg_seq_num: number, ..message });
    }

    /// Duty cycles until nothing moves.
    fn settle(&mut self) {
        for _ in 0..100 {
            let work = self.agent.poll(self.now).unwrap();
            if self.deliver() + work == 0 {
                break;
            }
        }
    }

    /// Duty cycles until nothing moves, also after the longest that market data waits for what follows an answer; then the
    /// feed must have the exchange's books.
    fn run(&mut self) {
        self.settle();
        self.now = self.now.plus(100_000);
        self.settle();
        read(&mut self.feed, &self.line);
        for index in 0..2 {
            let book = self.agent.snapshot(index).unwrap();
            let place = self.feed.books().by_symbol(book.instrument.symbol).unwrap();
            for (side, levels) in [(Side::Buy, &book.bids), (Side::Sell, &book.asks)] {
                let levels =
                    levels.iter().map(|l| (l.price, l.qty, u32::try_from(l.orders.len()).unwrap()));
                assert!(levels.eq(self.feed.books().levels(place, side)));
            }
        }
    }

    /// Hands reports to their clients, and sends what those answer.
    fn deliver(&mut self) -> usize {
        let messages = self.reports.messages.take();
        let count = messages.len();
        for message in messages {
            let is_for = |c: &Client| c.session.id() == session_of(&message);
            let place = self.clients.iter().position(is_for).unwrap();
            let client = &mut self.clients[place];
            let response = client.session.on_message(self.now, utc(self.now), &message);
            match response.action {
                ClientAction::Apply => client.reports.push(message),
                ClientAction::None => {}
                other => client.told.push(other),
            }
            if let Some(reply) = response.reply {
                self.send_raw(place, &reply);
            }
        }
        count
    }

    fn take(&mut self, place: usize) -> Vec<OrderEntry> {
        std::mem::take(&mut self.clients[place].reports)
    }

    /// The execution reports a client got, and nothing else.
    fn executions(&mut self, place: usize) -> Vec<ExecutionReport> {
        let execution = |message| match message {
            OrderEntry::ExecutionReport(report) => report,
            other => panic!("{other:?} is not an execution report"),
        };
        self.take(place).into_iter().map(execution).collect()
    }

    fn kinds(&mut self, place: usize) -> Vec<(u64, ExecType, u32, u32)> {
        let kind = |r: ExecutionReport| (r.cl_ord_id.0, r.exec_type, r.cum_qty, r.leaves_qty);
        self.executions(place).into_iter().map(kind).collect()
    }

    fn count(&self, name: &'static str) -> u64 {
        self.registry.counter(name).get()
    }

    fn close(mut self) -> (Channel, VenueLedger) {
        self.agent.on_close(self.now);
        read(&mut self.feed, &self.line);
        (self.feed, self.cell.get().unwrap().clone())
    }
}

fn order(session_id: SessionId, id: u64, side: Side, price: &str, qty: u32) -> NewOrderSingle {
    NewOrderSingle {
        session_id,
        msg_seq_num: SeqNum(0),
        cl_ord_id: ClOrdId(id),
        sending_time: UtcNanos(0),
        price: Some(price.parse().unwrap()),
        order_qty: qty,
        security_id: STOCK,
        account: AccountId(77),
        side,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
    }
}

#[test]
fn an_order_that_rests_is_acknowledged_and_shows_in_the_feed() {
    let mut hall = Hall::open();
    hall.now = Nanos(5_000);
    hall.submit(0, 100, Side::Buy, "320.15", 300);
    hall.run();
    let [report] = hall.executions(0)[..] else { panic!("one report") };
    let expected = ExecutionReport {
        session_id: SessionId(1),
        msg_seq_num: SeqNum(1),
        cl_ord_id: ClOrdId(100),
        transact_time: utc(Nanos(5_000)),
        price: Some("320.15".parse().unwrap()),
        last_px: None,
        order_qty: 300,
        last_qty: 0,
        cum_qty: 0,
        leaves_qty: 300,
        security_id: STOCK,
        account: AccountId(77),
        ord_rej_reason: 0,
        exec_type: ExecType::New,
        ord_status: OrdStatus::New,
        side: Side::Buy,
        ..report
    };
    assert_eq!(report, expected);
    let book = hall.feed.books().by_symbol(instrument("AAPL", 7, 1).symbol).unwrap();
    assert_eq!(hall.feed.books().best(book).bid, Some(("320.15".parse().unwrap(), 300)));
    assert!(hall.executions(1).is_empty());
}

#[test]
fn market_data_waits_for_what_follows_an_answer_but_not_for_long() {
    let mut hall = Hall::open();
    let start = hall.now;
    let packets = |hall: &mut Hall, after_ns| {
        hall.now = start.plus(after_ns);
        hall.settle();
        hall.line.take().len()
    };
    assert_eq!(packets(&mut hall, 0), 0);
    hall.submit(0, 1, Side::Buy, "320.15", 300);
    assert_eq!(packets(&mut hall, 0), 0);
    assert!(!hall.agent.is_drained(), "the market has not heard of it");
    assert_eq!(packets(&mut hall, 19_999), 0);
    assert_eq!(packets(&mut hall, 20_000), 1);
    assert!(hall.agent.is_drained());
    // Each answer makes it wait again, but none beyond what it may wait in all.
    for id in 2..=11 {
        let after_ns = 10_000 * (id + 1);
        hall.submit(0, id, Side::Buy, "320.15", 300);
        assert_eq!(packets(&mut hall, after_ns), 0, "{id}");
    }
    hall.submit(0, 12, Side::Buy, "320.15", 300);
    assert_eq!(packets(&mut hall, 130_000), 1);
    assert_eq!(hall.take(0).len(), 12, "no answer waited");
}

#[test]
fn a_trade_is_told_to_both_at_the_resting_price_and_is_in_the_ledger() {
    let mut hall = Hall::open();
    hall.submit(0, 100, Side::Buy, "320.15", 300);
    hall.run();
    hall.take(0);
    hall.submit(1, 9, Side::Sell, "320.10", 120);
    hall.run();
    let resting = hall.executions(0);
    let taking = hall.executions(1);
    assert_eq!(
        taking.iter().map(|r| r.exec_type).collect::<Vec<_>>(),
        [ExecType::New, ExecType::Trade]
    );
    for report in [&resting[0], &taking[1]] {
        assert_eq!(report.last_px, Some("320.15".parse().unwrap()));
        assert_eq!((report.last_qty, report.cum_qty), (120, 120));
    }
    assert_eq!((resting[0].leaves_qty, resting[0].ord_status), (180, OrdStatus::PartiallyFilled));
    assert_eq!((taking[1].leaves_qty, taking[1].ord_status), (0, OrdStatus::Filled));
    let exec_ids = [resting[0].exec_id, taking[0].exec_id, taking[1].exec_id];
    assert!(exec_ids[0] != exec_ids[1] && exec_ids[1] != exec_ids[2] && exec_ids[0] != exec_ids[2]);
    let ledger = hall.agent.ledger();
    assert_eq!(ledger.fills.len(), 1);
    let fill = ledger.fills[0];
    assert_eq!(
        (fill.qty, fill.resting.session, fill.aggressor.session),
        (120, Some(SessionId(1)), Some(SessionId(2)))
    );
    assert_eq!((fill.resting.cl_ord_id, fill.aggressor.cl_ord_id), (ClOrdId(100), ClOrdId(9)));
    let state: Vec<_> = ledger.orders.iter().map(|o| (o.cum_qty, o.leaves_qty, o.status)).collect();
    assert_eq!(state, [(120, 180, OrdStatus::PartiallyFilled), (120, 0, OrdStatus::Filled)]);
}

#[test]
fn cancels_and_replaces_are_answered_under_the_requests_identifiers() {
    let mut hall = Hall::open();
    hall.submit(0, 1, Side::Buy, "320.15", 300);
    hall.submit(1, 1, Side::Sell, "320.15", 100);
    hall.replace(0, 2, 1, "320.15", 200);
    hall.replace(0, 3, 2, "320.20", 200);
    hall.cancel(0, 4, 3);
    hall.run();
    let reports = hall.executions(0);
    let ids: Vec<_> = reports
        .iter()
        .map(|r| (r.exec_type, r.cl_ord_id.0, r.orig_cl_ord_id.0, r.leaves_qty))
        .collect();
    assert_eq!(
        ids,
        [
            (ExecType::New, 1, 0, 300),
            (ExecType::Trade, 1, 0, 200),
            (ExecType::Replaced, 2, 1, 100),
            (ExecType::Replaced, 3, 2, 100),
            (ExecType::Canceled, 4, 3, 0),
        ]
    );
    assert!(
        reports.iter().all(|r| r.order_id == reports[0].order_id && r.account == AccountId(77))
    );
    hall.cancel(0, 5, 3);
    hall.replace(0, 6, 99, "320.15", 100);
    hall.run();
    let rejects = hall.take(0);
    let reject = |place: usize| match rejects[place] {
        OrderEntry::OrderCancelReject(OrderCancelReject {
            cl_ord_id,
            cxl_rej_reason,
            ord_status,
            cxl_rej_response_to,
            ..
        }) => {
            (cl_ord_id.0, VenueReject::from_code(cxl_rej_reason), ord_status, cxl_rej_response_to)
        }
        other => panic!("{other:?}"),
    };
    let late = Some(VenueReject::TooLate);
    assert_eq!(reject(0), (5, late, OrdStatus::Canceled, CancelRejectTo::Cancel));
    let unknown = Some(VenueReject::UnknownOrder);
    assert_eq!(reject(1), (6, unknown, OrdStatus::Rejected, CancelRejectTo::Replace));
}

#[test]
fn one_identifier_for_an_order_and_all_requests_about_it_works_too() {
    let mut hall = Hall::open();
    hall.submit(0, 1, Side::Buy, "320.15", 300);
    hall.replace(0, 1, 1, "320.15", 100);
    hall.replace(0, 1, 1, "320.16", 100);
    hall.cancel(0, 1, 1);
    hall.run();
    let expected = [
        (ExecType::New, 300),
        (ExecType::Replaced, 100),
        (ExecType::Replaced, 100),
        (ExecType::Canceled, 0),
    ];
    assert_eq!(hall.kinds(0), expected.map(|(kind, leaves)| (1, kind, 0, leaves)));
}

#[test]
fn a_rejected_order_says_why_and_an_immediate_one_expires() {
    let mut hall = Hall::open();
    hall.submit(0, 1, Side::Buy, "320.155", 300);
    let session_id = SessionId(1);
    let unknown =
        NewOrderSingle { security_id: InstrumentId(3), ..order(session_id, 2, Side::Buy, "1", 1) };
    hall.send(0, |number| NewOrderSingle { msg_seq_num: number, ..unknown });
    let immediate = NewOrderSingle {
        time_in_force: TimeInForce::ImmediateOrCancel,
        ..order(session_id, 3, Side::Buy, "320.15", 300)
    };
    hall.send(0, |number| NewOrderSingle { msg_seq_num: number, ..immediate });
    let market = NewOrderSingle {
        ord_type: OrdType::Market,
        price: None,
        ..order(session_id, 4, Side::Sell, "1", 9)
    };
    hall.send(0, |number| NewOrderSingle { msg_seq_num: number, ..market });
    hall.run();
    let reports = hall.executions(0);
    let kinds: Vec<_> = reports
        .iter()
        .map(|r| (r.cl_ord_id.0, r.exec_type, r.ord_status, r.ord_rej_reason))
        .collect();
    let rejected =
        |id, reason: VenueReject| (id, ExecType::Rejected, OrdStatus::Rejected, reason.code());
    assert_eq!(
        kinds,
        [
            rejected(1, VenueReject::BadTick),
            rejected(2, VenueReject::UnknownInstrument),
            (3, ExecType::New, OrdStatus::New, 0),
            (3, ExecType::Expired, OrdStatus::Expired, 0),
            (4, ExecType::New, OrdStatus::New, 0),
            (4, ExecType::Expired, OrdStatus::Expired, 0),
        ]
    );
    assert_eq!(hall.count("venue_reject_count"), 2);
    let status: Vec<_> = hall.agent.ledger().orders.iter().map(|o| o.status).collect();
    assert_eq!(
        status,
        [OrdStatus::Rejected, OrdStatus::Rejected, OrdStatus::Expired, OrdStatus::Expired]
    );
}

#[test]
fn orders_are_cancelled_when_the_publisher_goes_and_the_reports_wait() {
    let mut hall = Hall::open();
    hall.submit(0, 1, Side::Buy, "320.15", 300);
    hall.submit(0, 2, Side::Buy, "320.14", 300);
    hall.submit(1, 3, Side::Buy, "320.13", 300);
    hall.run();
    hall.take(0);
    hall.take(1);
    hall.requests.events.borrow_mut().push_back(StreamEvent::SourceDown(11));
    hall.run();
    assert_eq!(hall.agent.exchange().open_count(), 1);
    assert!(hall.take(0).is_empty(), "nobody is there to be told");
    assert_eq!(hall.count("venue_session_down_count"), 1);

    hall.clients[0].session.on_disconnect();
    hall.clients[0].source = 12;
    let (now, client) = (hall.now, &mut hall.clients[0]);
    let message = client.session.resume(now, utc(now));
    hall.send_raw(0, &message);
    hall.run();
    assert_eq!(hall.kinds(0), [(1, ExecType::Canceled, 0, 0), (2, ExecType::Canceled, 0, 0)]);
    hall.submit(0, 4, Side::Buy, "320.15", 300);
    hall.run();
    assert_eq!(hall.kinds(0), [(4, ExecType::New, 0, 300)]);
}

#[test]
fn terminate_and_silence_cancel_too() {
    let mut hall = Hall::open();
    hall.submit(0, 1, Side::Buy, "320.15", 300);
    hall.submit(1, 2, Side::Buy, "320.14", 300);
    hall.run();
    let message = hall.clients[0].session.terminate(TerminationCode::Finished);
    hall.send_raw(0, &message);
    hall.run();
    assert_eq!(hall.agent.exchange().open_count(), 1);
    hall.now = hall.now.plus(3_000_000_001);
    hall.run();
    assert_eq!(hall.agent.exchange().open_count(), 0, "three silent intervals");
    let down = ClientAction::Down(TerminationCode::KeepaliveExpired);
    assert_eq!(hall.clients[1].told.last(), Some(&down));
}

#[test]
fn a_mass_cancel_cancels_and_counts() {
    let mut hall = Hall::open();
    for id in 1..=3 {
        hall.submit(0, id, Side::Buy, "320.15", 300);
    }
    hall.submit(1, 1, Side::Buy, "320.15", 300);
    let message = OrderMassActionRequest {
        session_id: SessionId(1),
        msg_seq_num: SeqNum(0),
        cl_ord_id: ClOrdId(50),
        sending_time: UtcNanos(0),
        security_id: InstrumentId(501),
        mass_action_scope: MassScope::Instrument,
    };
    hall.send(0, |number| OrderMassActionRequest { msg_seq_num: number, ..message });
    let all = OrderMassActionRequest { mass_action_scope: MassScope::Session, ..message };
    hall.send(0, |number| OrderMassActionRequest { msg_seq_num: number, ..all });
    hall.run();
    let reports = hall.take(0);
    let affected = |place: usize| match reports[place] {
        OrderEntry::OrderMassActionReport(report) => report.total_affected_orders,
        other => panic!("{other:?}"),
    };
    assert_eq!((affected(3), affected(7), reports.len()), (0, 3, 8));
    assert_eq!(hall.agent.exchange().open_count(), 1);
}

#[test]
fn a_reader_that_does_not_read_loses_nothing_and_is_not_heard() {
    let mut hall = Hall::with(|config| config.open_orders_max = 20, |_| Background::None);
    hall.start(0);
    hall.start(1);
    hall.reports.room.set(3);
    for id in 1..=200 {
        let side = if id % 2 == 0 { Side::Buy } else { Side::Sell };
        hall.submit(usize::from(id % 3 == 0), id, side, "320.15", 100);
    }
    hall.run();
    assert!(!hall.requests.messages.borrow().is_empty(), "requests wait unread");
    assert!(hall.count("venue_pressure_count") > 0);
    assert!(!hall.agent.is_drained());
    let mut seen = [Vec::new(), Vec::new()];
    while !hall.agent.is_drained() || !hall.requests.messages.borrow().is_empty() {
        hall.reports.room.set(1);
        hall.run();
        for (place, seen) in seen.iter_mut().enumerate() {
            seen.extend(hall.executions(place));
        }
    }
    let new = seen.iter().flatten().filter(|r| r.exec_type == ExecType::New).count();
    let traded = seen.iter().flatten().filter(|r| r.exec_type == ExecType::Trade).count();
    assert_eq!((new, traded), (200, 200));
    for seen in &seen {
        let numbers: Vec<_> = seen.iter().map(|r| r.msg_seq_num.0).collect();
        assert_eq!(numbers, (1..=u32::try_from(seen.len()).unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(hall.agent.ledger().fills.len(), 100);
}

#[test]
fn a_client_that_missed_reports_gets_them_again() {
    let mut hall = Hall::open();
    hall.submit(0, 1, Side::Buy, "320.15", 300);
    hall.submit(0, 2, Side::Buy, "320.14", 300);
    hall.agent.poll(hall.now).unwrap();
    let lost = hall.reports.messages.take();
    assert_eq!(lost.len(), 2);
    hall.submit(0, 3, Side::Buy, "320.13", 300);
    hall.run();
    let kinds = [1, 2, 3].map(|id| (id, ExecType::New, 0, 300));
    assert_eq!(hall.kinds(0), kinds);
}

#[test]
fn what_is_no_message_or_comes_from_nobody_known_is_counted_and_refused() {
    let mut hall = Hall::open();
    let put = |hall: &mut Hall, source, bytes: &[u8]| {
        hall.requests.messages.borrow_mut().push_back((source, bytes.to_vec()));
    };
    let mut bytes = vec![0; NewOrderSingle::BYTES];
    NewOrderSingle { msg_seq_num: SeqNum(1), ..order(SessionId(1), 1, Side::Buy, "1", 1) }
        .encode(&mut bytes);
    for cut in 0..bytes.len() {
        put(&mut hall, 99, &bytes[..cut]);
    }
    put(&mut hall, 99, &bytes);
    NewOrderSingle { msg_seq_num: SeqNum(1), ..order(SessionId(3), 1, Side::Buy, "1", 1) }
        .encode(&mut bytes);
    put(&mut hall, 11, &bytes);
    let mut random = SplitMix::new(3);
    for _ in 0..2_000 {
        let mut noise: Vec<u8> =
            (0..random.below(130)).map(|_| random.next_u64().to_le_bytes()[3]).collect();
        if noise.len() > 8 && random.below(2) == 0 {
            noise[..8].copy_from_slice(&bytes[..8]);
        }
        put(&mut hall, 99, &noise);
    }
    while !hall.requests.messages.borrow().is_empty() {
        hall.run();
    }
    assert!(hall.count("venue_malformed_count") >= u64::try_from(bytes.len()).unwrap());
    assert!(hall.count("venue_refused_count") >= 2);
    assert_eq!(hall.agent.exchange().open_count(), 0);
    put(&mut hall, 11, &bytes[..20]);
    hall.run();
    assert!(matches!(hall.take(0)[..], [OrderEntry::BusinessMessageReject(_)]));
    hall.submit(0, 1, Side::Buy, "320.15", 300);
    hall.run();
    assert_eq!(hall.kinds(0), [(1, ExecType::New, 0, 300)], "the exchange goes on");
}

#[test]
fn a_wrong_key_gets_no_session() {
    let mut hall = Hall::new();
    let config = ClientConfig {
        session: SessionId(1),
        key: SessionKey::new([8; 32]),
        keepalive_ms: 1_000,
        retry_ns: 500_000_000,
    };
    hall.clients[0].session = ClientSession::new(config);
    let message = hall.clients[0].session.start(Nanos(0), utc(Nanos(0)));
    hall.send_raw(0, &message);
    hall.run();
    assert!(matches!(hall.clients[0].told[..], [ClientAction::NegotiationRefused(_)]));
    assert_eq!(hall.count("venue_refused_count"), 1);
}

#[test]
fn an_order_the_ledger_has_no_room_for_is_rejected() {
    let mut hall = Hall::with(|config| config.ledger_orders_max = 2, |_| Background::None);
    hall.start(0);
    for id in 1..=3 {
        hall.submit(0, id, Side::Buy, "320.15", 300);
    }
    hall.run();
    let last = hall.executions(0)[2];
    assert_eq!((last.exec_type, last.account), (ExecType::Rejected, AccountId(77)));
    assert_eq!(VenueReject::from_code(last.ord_rej_reason), Some(VenueReject::TooManyOrders));
}

/// Two participants trade at random with each other and with generated liquidity; at the end all accounts agree.
#[test]
fn at_the_end_the_ledger_the_reports_and_the_feed_agree() {
    let background = |exchange: &Exchange| {
        let symbol = |i: &postern::sim::matching::VenueInstrument| RandomSymbol {
            security_id: i.security_id,
            middle: Price::from_itch4(1_000_000),
            tick: i.tick,
            lot: i.lot,
        };
        Background::Random(RandomFlow::new(&RandomFlowConfig {
            seed: 11,
            symbols: exchange.instruments().map(symbol).collect(),
            orders_max: 200,
            at_once: 500,
            steps_per_second: 1_000_000,
            steps_max: Some(20_000),
        }))
    };
    let mut hall = Hall::with(|_| {}, background);
    hall.start(0);
    hall.start(1);
    let mut random = SplitMix::new(12);
    let mut reports = Vec::new();
    for id in 1..=4_000 {
        hall.now = hall.now.plus(5_000);
        let place = usize::try_from(random.below(2)).unwrap();
        let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let price = Price::from_itch4((9_990 + random.below(20)) * 100).to_string();
        match random.below(10) {
            0..=6 => hall.submit(place, id, side, &price, random.below(300) + 1),
            7 => hall.cancel(place, id, id - u64::from(random.below(20)).min(id - 1)),
            _ => {
                let qty = random.below(300) + 1;
                hall.replace(place, id, id - u64::from(random.below(20)).min(id - 1), &price, qty);
            }
        }
        hall.agent.poll(hall.now).unwrap();
        hall.deliver();
        reports.extend(hall.take(0).into_iter().chain(hall.take(1)));
    }
    hall.run();
    reports.extend(hall.take(0).into_iter().chain(hall.take(1)));
    assert!(hall.agent.is_drained());
    let (feed, ledger) = hall.close();
    assert_eq!(feed.books().digest(), ledger.digest());
    assert_eq!(feed.counts().messages, ledger.message_count);
    assert_eq!((ledger.fills_unrecorded_count, ledger.packet_drop_count), (0, 0));
    assert!(ledger.fills.len() > 500, "{} fills", ledger.fills.len());
    check_accounts(&ledger, &reports);
}

fn check_accounts(ledger: &VenueLedger, reports: &[OrderEntry]) {
    for order in &ledger.orders {
        let filled: u32 = ledger
            .fills
            .iter()
            .flat_map(|fill| [(fill.resting, fill.qty), (fill.aggressor, fill.qty)])
            .filter(|(p, _)| p.session == Some(order.session) && p.cl_ord_id == order.cl_ord_id)
            .map(|(_, qty)| qty)
            .sum();
        assert_eq!(filled, order.cum_qty, "{order:?}");
        let told: Vec<_> = reports
            .iter()
            .filter_map(|message| match message {
                OrderEntry::ExecutionReport(report) => Some(report),
                _ => None,
            })
            .filter(|r| r.session_id == order.session && r.order_id.0 == order.order_id)
            .collect();
        let traded: u32 = told.iter().map(|report| report.last_qty).sum();
        assert_eq!(traded, order.cum_qty);
        let last = told.last().unwrap();
        assert_eq!((last.ord_status, last.leaves_qty), (order.status, order.leaves_qty));
    }
    let open = ledger.orders.iter().filter(|order| !order.status.is_final()).count();
    let resting = ledger
        .books
        .iter()
        .flat_map(|book| book.bids.iter().chain(&book.asks))
        .flat_map(|level| &level.orders)
        .filter(|order| order.session.is_some())
        .count();
    assert_eq!(open, resting);
}
