//! The strategy-side session against the server's state machine, over streams in memory.

use postern::client::{Handler, NewOrder, OrderSession, SendError, SessionEvent};
use postern::codec::order_entry::OrderEntry;
use postern::session::{
    ClientConfig, ClientState, ServerAction, ServerConfig, ServerSession, SessionKey, sequence_of,
};
use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::transport::{Inbound, OfferError, Outbound};
use postern::types::{
    AccountId, ClOrdId, EstablishmentRejectCode, InstrumentId, Nanos, Price, SeqNum, SessionId,
    Side, TerminationCode, TimeInForce, UtcNanos,
};

const SESSION: SessionId = SessionId(7);
const UTC: UtcNanos = UtcNanos(1_800_000_000_000_000_000);
const MS: u64 = 1_000_000;

#[derive(Debug, Default)]
struct Events(Vec<SessionEvent>, usize);

impl Handler for Events {
    fn on_session(&mut self, event: SessionEvent) {
        self.0.push(event);
    }

    fn on_report(&mut self, _: &OrderEntry) {
        self.1 += 1;
    }
}

/// A gateway that answers the session layer and takes requests.
struct Server {
    session: ServerSession,
    orders: MemorySubscription,
    reports: MemoryPublication,
    taken: Vec<OrderEntry>,
    gaps: u32,
}

struct Pair {
    client: OrderSession<MemoryPublication, MemorySubscription>,
    server: Server,
    events: Events,
    now: Nanos,
}

fn session() -> ServerSession {
    ServerSession::new(ServerConfig {
        session: SESSION,
        key: SessionKey::new([1; 32]),
        keepalive_ms: 10..=10_000,
        own_keepalive_ms: 100,
        clock_skew_ns: 1_000_000_000,
        retained_reports: 8,
    })
}

fn pair(order_slots: usize) -> Pair {
    let (orders, orders_in) = stream(order_slots, 256);
    let (reports_out, reports) = stream(64, 256);
    let session = session();
    let client = ClientConfig {
        session: SESSION,
        key: SessionKey::new([1; 32]),
        keepalive_ms: 50,
        retry_ns: 1_000 * MS,
    };
    Pair {
        client: OrderSession::new(client, orders, reports),
        server: Server {
            session,
            orders: orders_in,
            reports: reports_out,
            taken: Vec::new(),
            gaps: 0,
        },
        events: Events::default(),
        now: Nanos(1),
    }
}

impl Server {
    fn send(&mut self, message: &OrderEntry) {
        let mut bytes = [0; 256];
        let length = message.encode(&mut bytes);
        let taken = self.reports.offer(length, |slot| slot.copy_from_slice(&bytes[..length]));
        taken.expect("there is room");
    }

    fn poll(&mut self, now: Nanos) {
        let mut messages = Vec::new();
        let mut take = |fragment: postern::transport::Fragment<'_>| {
            messages.push(OrderEntry::decode(fragment.bytes).expect("a message"));
        };
        self.orders.poll(usize::MAX, &mut take).expect("up");
        for message in messages {
            let response = self.session.on_message(now, UTC, &message);
            if let Some(reply) = response.reply {
                self.gaps += u32::from(matches!(reply, OrderEntry::NotApplied(_)));
                self.send(&reply);
            }
            if response.action == ServerAction::Apply {
                self.taken.push(message);
            }
        }
        if let Some(reply) = self.session.on_time(now).reply {
            self.send(&reply);
        }
    }
}

impl Pair {
    fn turn(&mut self) {
        self.now = self.now.plus(MS);
        self.client.poll(self.now, UTC, &mut self.events).expect("up");
        self.server.poll(self.now);
    }

    fn up() -> Pair {
        let mut pair = pair(64);
        for _ in 0..4 {
            pair.turn();
        }
        let last_cl_ord_id = ClOrdId(0);
        assert_eq!(pair.events.0, [SessionEvent::Up { last_cl_ord_id }]);
        pair
    }

    fn buy(&mut self) -> Result<ClOrdId, SendError> {
        let order = NewOrder {
            instrument: InstrumentId(1),
            account: AccountId(2),
            side: Side::Buy,
            qty: 100,
            price: Some(Price::from_units(5)),
            time_in_force: TimeInForce::Day,
        };
        self.client.send_new(self.now, UTC, &order)
    }
}

#[test]
fn requests_are_numbered_and_taken_in_order() {
    let mut pair = Pair::up();
    let first = pair.buy().expect("sent");
    let replaced = pair.client.replace(pair.now, UTC, first, Price::from_units(6), 50);
    let replaced = replaced.expect("sent");
    let cancel = pair.client.cancel(pair.now, UTC, replaced).expect("sent");
    assert_eq!([first, replaced, cancel], [ClOrdId(1), ClOrdId(2), ClOrdId(3)]);
    pair.turn();
    let numbers: Vec<Option<SeqNum>> = pair.server.taken.iter().map(sequence_of).collect();
    assert_eq!(numbers, [1, 2, 3].map(|number| Some(SeqNum(number))));
    let [
        OrderEntry::NewOrderSingle(new),
        OrderEntry::OrderCancelReplaceRequest(replace),
        OrderEntry::OrderCancelRequest(cancel),
    ] = pair.server.taken[..]
    else {
        panic!("{:?}", pair.server.taken)
    };
    assert_eq!((new.order_qty, new.price), (100, Some(Price::from_units(5))));
    assert_eq!((replace.orig_cl_ord_id, replace.order_qty), (ClOrdId(1), 50));
    assert_eq!(cancel.orig_cl_ord_id, ClOrdId(2));
}

#[test]
fn nothing_is_sent_before_the_session_is_up() {
    let mut pair = pair(64);
    assert_eq!(pair.buy(), Err(SendError::NotEstablished));
    assert_eq!(pair.client.state(), ClientState::Idle);
}

#[test]
fn a_request_that_found_no_room_leaves_no_gap() {
    let mut pair = pair(4);
    for _ in 0..4 {
        pair.turn();
    }
    let mut sent = 0;
    let full = SendError::Refused(OfferError::BackPressured);
    loop {
        match pair.buy() {
            Ok(_) => sent += 1,
            Err(error) => {
                assert_eq!(error, full);
                break;
            }
        }
        assert!(sent <= 4, "the stream has four places");
    }
    // Long enough for keepalives, for which there is no room either.
    for _ in 0..3 {
        pair.now = pair.now.plus(60 * MS);
        pair.client.poll(pair.now, UTC, &mut pair.events).expect("up");
        assert_eq!(pair.buy(), Err(full));
    }
    pair.turn();
    pair.turn();
    assert_eq!(pair.buy(), Ok(ClOrdId(sent + 1)));
    pair.turn();
    assert_eq!(pair.server.gaps, 0);
    assert_eq!(u64::try_from(pair.server.taken.len()).expect("few"), sent + 1);
}

#[test]
fn keepalives_keep_it_up_and_silence_ends_it_and_it_comes_back() {
    let mut pair = Pair::up();
    for _ in 0..1_000 {
        pair.turn();
    }
    assert_eq!(pair.events.0.len(), 1, "{:?}", pair.events.0);
    assert!(pair.client.is_established() && pair.server.session.is_established());
    // The server says nothing for too long.
    pair.now = pair.now.plus(1_000 * MS);
    pair.client.poll(pair.now, UTC, &mut pair.events).expect("up");
    let down = SessionEvent::Down(TerminationCode::KeepaliveExpired);
    assert_eq!(pair.events.0.last(), Some(&down));
    // The server holds the old binding until it misses us too: it refuses, and is asked again.
    for _ in 0..1_100 {
        pair.turn();
    }
    let refused = EstablishmentRejectCode::AlreadyEstablished;
    assert_eq!(pair.events.0[2], SessionEvent::EstablishmentRefused(refused));
    assert!(matches!(pair.events.0[3], SessionEvent::Up { .. }), "{:?}", pair.events.0);
    assert!(pair.client.is_established());
}

#[test]
fn a_gateway_that_was_started_anew_is_negotiated_with_again() {
    let mut pair = Pair::up();
    pair.buy().expect("sent");
    pair.turn();
    pair.server.session = session();
    pair.server.session.restore(ClOrdId(9));
    for _ in 0..2_000 {
        pair.turn();
    }
    assert!(pair.client.is_established(), "{:?}", pair.events.0);
    let last_cl_ord_id = ClOrdId(9);
    assert_eq!(pair.events.0.last(), Some(&SessionEvent::Up { last_cl_ord_id }));
    assert_eq!(pair.buy(), Ok(ClOrdId(10)));
}

#[test]
fn reports_are_handed_over_once_and_goodbye_is_said() {
    let mut pair = Pair::up();
    let report = postern::codec::order_entry::BusinessMessageReject {
        session_id: SESSION,
        msg_seq_num: pair.server.session.take_number(pair.now),
        ref_seq_num: SeqNum(1),
        ref_template_id: 1,
        business_reject_reason: 1,
    };
    pair.server.send(&report.into());
    pair.server.send(&report.into());
    pair.turn();
    assert_eq!(pair.events.1, 1);
    pair.client.terminate().expect("sent");
    pair.server.poll(pair.now);
    assert!(!pair.server.session.is_established());
    assert_eq!(pair.client.state(), ClientState::Idle);
}
