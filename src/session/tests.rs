//! Both state machines against each other, and each alone against every message in every state.

use crate::codec::order_entry::{
    ExecutionReport, NewOrderSingle, OrderCancelRequest, OrderEntry, RetransmitRequest, Sequence,
    Terminate,
};
use crate::session::{
    ClientAction, ClientConfig, ClientSession, ClientState, ServerAction, ServerConfig,
    ServerSession, ServerState, SessionKey,
};
use crate::types::{
    AccountId, ClOrdId, ExecId, ExecType, InstrumentId, Nanos, NegotiationRejectCode, OrdStatus,
    OrdType, OrderId, SeqNum, SessionId, Side, TerminationCode, TimeInForce, UtcNanos,
};

const SESSION: SessionId = SessionId(7);
const UTC: UtcNanos = UtcNanos(1_800_000_000_000_000_000);
const MS: u64 = 1_000_000;

fn server() -> ServerSession {
    ServerSession::new(ServerConfig {
        session: SESSION,
        key: SessionKey::new([1; 32]),
        keepalive_ms: 10..=10_000,
        own_keepalive_ms: 100,
        clock_skew_ns: 1_000_000_000,
        retained_reports: 8,
    })
}

fn client_with(key: [u8; 32]) -> ClientSession {
    ClientSession::new(ClientConfig {
        session: SESSION,
        key: SessionKey::new(key),
        keepalive_ms: 50,
        retry_ns: 1_000 * MS,
    })
}

fn order(number: u32) -> OrderEntry {
    NewOrderSingle {
        session_id: SESSION,
        msg_seq_num: SeqNum(number),
        cl_ord_id: ClOrdId(u64::from(number) + 100),
        sending_time: UTC,
        price: None,
        order_qty: 1,
        security_id: InstrumentId(1),
        account: AccountId(1),
        side: Side::Buy,
        ord_type: OrdType::Market,
        time_in_force: TimeInForce::Day,
    }
    .into()
}

fn report(number: u32) -> OrderEntry {
    ExecutionReport {
        session_id: SESSION,
        msg_seq_num: SeqNum(number),
        order_id: OrderId(1),
        cl_ord_id: ClOrdId(1),
        orig_cl_ord_id: ClOrdId(0),
        exec_id: ExecId(1),
        transact_time: UTC,
        price: None,
        last_px: None,
        order_qty: 1,
        last_qty: 0,
        cum_qty: 0,
        leaves_qty: 1,
        security_id: InstrumentId(1),
        account: AccountId(1),
        ord_rej_reason: 0,
        deny_reason: 0,
        exec_type: ExecType::New,
        ord_status: OrdStatus::New,
        side: Side::Buy,
    }
    .into()
}

fn up() -> (ServerSession, ClientSession) {
    let (mut server, mut client) = (server(), client_with([1; 32]));
    let negotiate = client.start(Nanos(0), UTC);
    let response = server.on_message(Nanos(0), UTC, &negotiate).reply.expect("a response");
    let establish = client.on_message(Nanos(0), UTC, &response).reply.expect("an establish");
    let ack = server.on_message(Nanos(0), UTC, &establish);
    assert_eq!(ack.action, ServerAction::Up);
    let answer = client.on_message(Nanos(0), UTC, &ack.reply.expect("an ack"));
    assert_eq!((answer.action, answer.reply), (ClientAction::Up, None));
    (server, client)
}

#[test]
fn a_client_with_the_key_gets_a_session() {
    let (server, client) = up();
    assert_eq!(server.state(), ServerState::Established);
    assert_eq!(client.state(), ClientState::Established);
}

#[test]
fn a_wrong_key_an_old_timestamp_and_a_used_version_are_refused() {
    let mut server = server();
    let mut wrong = client_with([2; 32]);
    let refusal = server.on_message(Nanos(0), UTC, &wrong.start(Nanos(0), UTC));
    assert_eq!(refusal.action, ServerAction::Refused);
    let told = wrong.on_message(Nanos(0), UTC, &refusal.reply.expect("a reject"));
    assert_eq!(told.action, ClientAction::NegotiationRefused(NegotiationRejectCode::Credentials));
    assert_eq!(wrong.state(), ClientState::Refused);

    let mut right = client_with([1; 32]);
    let old = right.start(Nanos(0), UtcNanos(UTC.0 - 1_000_000_001));
    assert_eq!(server.on_message(Nanos(0), UTC, &old).action, ServerAction::Refused);

    let good = right.start(Nanos(0), UTC);
    assert_eq!(server.on_message(Nanos(0), UTC, &good).action, ServerAction::None);
    let again = server.on_message(Nanos(0), UTC, &good);
    assert_eq!(again.action, ServerAction::Refused, "a captured Negotiate cannot be used again");
}

#[test]
fn business_messages_are_applied_once_and_gaps_are_told() {
    let (mut server, _) = up();
    assert_eq!(server.on_message(Nanos(1), UTC, &order(1)).action, ServerAction::Apply);
    assert_eq!(server.on_message(Nanos(1), UTC, &order(1)).action, ServerAction::Duplicate);
    let gap = server.on_message(Nanos(1), UTC, &order(4));
    assert_eq!(gap.action, ServerAction::Apply);
    let Some(OrderEntry::NotApplied(told)) = gap.reply else { panic!("{gap:?}") };
    assert_eq!((told.from_seq_no, told.count), (SeqNum(2), 2));
    assert_eq!(server.on_message(Nanos(1), UTC, &order(3)).action, ServerAction::Duplicate);
    assert_eq!(server.last_cl_ord_id(), ClOrdId(104));
}

#[test]
fn a_keepalive_with_a_larger_number_tells_the_gap_too() {
    let (mut server, _) = up();
    let sequence = Sequence { session_id: SESSION, next_seq_no: SeqNum(3) }.into();
    let Some(OrderEntry::NotApplied(told)) = server.on_message(Nanos(1), UTC, &sequence).reply
    else {
        panic!("no NotApplied")
    };
    assert_eq!((told.from_seq_no, told.count), (SeqNum(1), 2));
    assert_eq!(server.on_message(Nanos(1), UTC, &order(3)).action, ServerAction::Apply);
}

#[test]
fn a_business_message_without_a_session_is_a_violation() {
    let mut server = server();
    let response = server.on_message(Nanos(0), UTC, &order(1));
    assert_eq!(response.action, ServerAction::Refused);
    assert!(matches!(
        response.reply,
        Some(OrderEntry::Terminate(Terminate { code: TerminationCode::UnspecifiedError, .. }))
    ));
}

#[test]
fn a_report_sent_by_a_client_ends_the_session() {
    let (mut server, _) = up();
    let response = server.on_message(Nanos(0), UTC, &report(1));
    assert_eq!(response.action, ServerAction::Down(TerminationCode::UnspecifiedError));
    assert_eq!(server.state(), ServerState::Idle);
}

#[test]
fn silence_ends_the_session_on_both_sides_and_keepalives_prevent_it() {
    let (mut server, mut client) = up();
    let beat = client.on_time(Nanos(50 * MS), UTC).reply.expect("a keepalive is due");
    assert_eq!(server.on_message(Nanos(50 * MS), UTC, &beat).action, ServerAction::None);
    assert_eq!(server.on_time(Nanos(150 * MS)).action, ServerAction::None);
    assert_eq!(
        server.on_time(Nanos(200 * MS)).action,
        ServerAction::None,
        "three intervals exactly"
    );
    let expired = server.on_time(Nanos(200 * MS + 1));
    assert_eq!(expired.action, ServerAction::Down(TerminationCode::KeepaliveExpired));
    assert_eq!(
        client.on_time(Nanos(300 * MS + 1), UTC).action,
        ClientAction::Down(TerminationCode::KeepaliveExpired)
    );
}

#[test]
fn a_client_that_missed_reports_asks_and_applies_them_in_order() {
    let (mut server, mut client) = up();
    for _ in 0..3 {
        server.take_number(Nanos(1));
    }
    assert_eq!(client.on_message(Nanos(1), UTC, &report(1)).action, ClientAction::Apply);
    let gap = client.on_message(Nanos(1), UTC, &report(3));
    assert_eq!(gap.action, ClientAction::Ignore);
    let resend = server.on_message(Nanos(1), UTC, &gap.reply.expect("a request"));
    assert_eq!(resend.action, ServerAction::Resend { from: SeqNum(2), count: 2 });
    let retransmission = resend.reply.expect("an announcement");
    assert_eq!(client.on_message(Nanos(1), UTC, &retransmission).action, ClientAction::None);
    assert_eq!(client.on_message(Nanos(1), UTC, &report(2)).action, ClientAction::Apply);
    assert_eq!(client.on_message(Nanos(1), UTC, &report(3)).action, ClientAction::Apply);
    assert_eq!(client.on_message(Nanos(1), UTC, &report(3)).action, ClientAction::Ignore);
}

#[test]
fn reports_no_longer_kept_are_told_as_lost() {
    let (mut server, mut client) = up();
    for _ in 0..20 {
        server.take_number(Nanos(1));
    }
    let request = client.on_message(Nanos(1), UTC, &report(20)).reply.expect("a request");
    let refusal = server.on_message(Nanos(1), UTC, &request);
    assert_eq!(refusal.action, ServerAction::Refused);
    let told = client.on_message(Nanos(1), UTC, &refusal.reply.expect("a reject"));
    assert_eq!(told.action, ClientAction::Lost { from: SeqNum(1), count: 20 });
}

#[test]
fn a_session_is_bound_again_after_the_transport_broke() {
    let (mut server, mut client) = up();
    assert_eq!(server.on_message(Nanos(1), UTC, &order(1)).action, ServerAction::Apply);
    client.take_number(Nanos(1));
    assert_eq!(server.on_disconnect(), ServerAction::Down(TerminationCode::KeepaliveExpired));
    client.on_disconnect();
    server.take_number(Nanos(2));
    let establish = client.resume(Nanos(2), UTC);
    let ack = server.on_message(Nanos(2), UTC, &establish);
    assert_eq!(ack.action, ServerAction::Up);
    let answer = client.on_message(Nanos(2), UTC, &ack.reply.expect("an ack"));
    assert_eq!(answer.action, ClientAction::Up);
    let Some(OrderEntry::RetransmitRequest(RetransmitRequest { from_seq_no, count, .. })) =
        answer.reply
    else {
        panic!("the missed report is not asked for: {answer:?}")
    };
    assert_eq!((from_seq_no, count), (SeqNum(1), 1));
    assert_eq!(client.take_number(Nanos(3)), SeqNum(2), "numbering goes on");
    assert_eq!(client.server_cl_ord_id(), ClOrdId(101));
}

/// The client noticed the break first: the server still holds the old binding, refuses, and nothing is lost by that.
#[test]
fn a_refused_binding_keeps_the_negotiation_unless_the_server_forgot_it() {
    let (mut old_server, mut client) = up();
    client.on_disconnect();
    let refusal = old_server.on_message(Nanos(1), UTC, &client.resume(Nanos(1), UTC)).reply;
    client.on_message(Nanos(1), UTC, &refusal.expect("a reject"));
    assert_eq!(client.state(), ClientState::Refused);
    old_server.on_disconnect();
    let establish = client.resume(Nanos(2), UTC);
    assert_eq!(old_server.on_message(Nanos(2), UTC, &establish).action, ServerAction::Up);

    let mut restarted = server();
    client.on_disconnect();
    let refusal = restarted.on_message(Nanos(3), UTC, &client.resume(Nanos(3), UTC)).reply;
    client.on_message(Nanos(3), UTC, &refusal.expect("a reject"));
    assert!(matches!(client.resume(Nanos(4), UTC), OrderEntry::Negotiate(_)));
}

#[test]
fn an_unanswered_negotiation_is_tried_again_with_a_larger_version() {
    let mut client = client_with([1; 32]);
    let OrderEntry::Negotiate(first) = client.start(Nanos(0), UTC) else { panic!() };
    assert_eq!(client.on_time(Nanos(999 * MS), UTC).reply, None);
    let Some(OrderEntry::Negotiate(second)) = client.on_time(Nanos(1_000 * MS), UTC).reply else {
        panic!("no second try")
    };
    assert!(second.session_ver_id > first.session_ver_id);
}

#[test]
fn terminate_is_answered_and_ends_both() {
    let (mut server, mut client) = up();
    let bye = client.terminate(TerminationCode::Finished);
    let response = server.on_message(Nanos(1), UTC, &bye);
    assert_eq!(response.action, ServerAction::Down(TerminationCode::Finished));
    assert!(matches!(response.reply, Some(OrderEntry::Terminate(_))));
    assert_eq!(server.on_message(Nanos(1), UTC, &order(1)).action, ServerAction::Refused);
}

/// A slow client that is busy: what it sent before it read that it is out must not cost it what it has to be told.
#[test]
fn what_was_on_its_way_when_the_server_ended_a_session_does_not_hinder_binding_it_again() {
    let (mut server, mut client) = up();
    server.take_number(Nanos(1));
    let out = server.terminate(TerminationCode::SlowConsumer).reply.expect("it tells why");
    let late = server.on_message(Nanos(1), UTC, &order(1));
    assert_eq!((late.action, server.state()), (ServerAction::Refused, ServerState::Negotiated));
    let down = client.on_message(Nanos(2), UTC, &out).action;
    assert_eq!(down, ClientAction::Down(TerminationCode::SlowConsumer));
    let bind = client.resume(Nanos(3), UTC);
    // The answer to the late order comes while the client asks to be bound.
    client.on_message(Nanos(3), UTC, &late.reply.expect("it is told that nobody is bound"));
    let ack = server.on_message(Nanos(4), UTC, &bind).reply.expect("bound");
    let up = client.on_message(Nanos(5), UTC, &ack);
    assert_eq!(up.action, ClientAction::Up);
    assert!(matches!(up.reply, Some(OrderEntry::RetransmitRequest(_))), "asks for what it missed");
}

/// Numbers at the very end of the range neither panic nor wrap.
#[test]
fn extreme_numbers_are_refused() {
    for number in [0, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        let (mut server, mut client) = up();
        server.on_message(Nanos(1), UTC, &order(number));
        server.on_message(Nanos(1), UTC, &order(1));
        client.on_message(Nanos(1), UTC, &report(number));
        let sequence: OrderEntry =
            Sequence { session_id: SESSION, next_seq_no: SeqNum(number) }.into();
        let (mut server, _) = up();
        server.on_message(Nanos(1), UTC, &sequence);
        client.on_message(Nanos(1), UTC, &sequence);
        let request = RetransmitRequest {
            session_id: SESSION,
            from_seq_no: SeqNum(number),
            timestamp: UTC,
            count: number,
        };
        assert_eq!(server.on_message(Nanos(1), UTC, &request.into()).action, ServerAction::Refused);
    }
}

/// A peer that jumps to the last number and goes on from there ends its session; it does not end the process.
#[test]
fn a_session_that_is_out_of_numbers_is_terminated() {
    let (mut server, _) = up();
    assert_eq!(server.on_message(Nanos(1), UTC, &order(u32::MAX - 2)).action, ServerAction::Apply);
    let out = server.on_message(Nanos(1), UTC, &order(u32::MAX - 1));
    assert_eq!(out.action, ServerAction::Down(TerminationCode::UnspecifiedError));
}

#[test]
fn every_message_in_every_state_is_answered_without_a_panic() {
    let mut messages = Vec::new();
    for &(template, _) in OrderEntry::TEMPLATES {
        // A zeroed body is decodable wherever no character enumeration is in it; the others are made by hand.
        let mut bytes = vec![0; 256];
        bytes[2..4].copy_from_slice(&template.to_le_bytes());
        bytes[4..6].copy_from_slice(&7101_u16.to_le_bytes());
        for block in 0..200_u16 {
            bytes[0..2].copy_from_slice(&block.to_le_bytes());
            if let Ok(message) = OrderEntry::decode(&bytes[..8 + usize::from(block)]) {
                messages.push(message);
            }
        }
    }
    messages.extend([order(1), report(1)]);
    messages.push(
        OrderCancelRequest {
            session_id: SESSION,
            msg_seq_num: SeqNum(1),
            cl_ord_id: ClOrdId(1),
            sending_time: UTC,
            orig_cl_ord_id: ClOrdId(1),
        }
        .into(),
    );
    assert!(messages.len() > 15, "{}", messages.len());
    for message in &messages {
        for stage in 0..4 {
            let (mut server, mut client) = (server(), client_with([1; 32]));
            if stage > 0 {
                let negotiate = client.start(Nanos(0), UTC);
                if stage > 1 {
                    server.on_message(Nanos(0), UTC, &negotiate);
                }
            }
            if stage == 3 {
                (server, client) = up();
            }
            server.on_message(Nanos(1), UTC, message);
            client.on_message(Nanos(1), UTC, message);
            server.on_time(Nanos(u64::MAX));
            client.on_time(Nanos(u64::MAX), UTC);
        }
    }
}
