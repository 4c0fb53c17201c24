//! The client's side of a session: a strategy towards the gateway, the gateway's router towards a venue.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "any message but those named is ignored, also one of a later schema"
)]

use crate::codec::order_entry::{
    Establish, EstablishmentAck, Negotiate, NotApplied, OrderEntry, RetransmitRequest, Sequence,
    Terminate,
};
use crate::session::{SILENT_INTERVALS, SessionKey, is_request, sequence_of};
use crate::types::{
    ClOrdId, EstablishmentRejectCode, FlowType, Nanos, NegotiationRejectCode, SeqNum, SessionId,
    TerminationCode, UtcNanos,
};

/// What a client knows of its session.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The session.
    pub session: SessionId,
    /// Its key.
    pub key: SessionKey,
    /// The longest silence the server is to expect, in milliseconds.
    pub keepalive_ms: u32,
    /// How long to wait for an answer before asking again, in nanoseconds.
    pub retry_ns: u64,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Not asked yet, or ended.
    Idle,
    /// Asked who we are: waiting for the answer.
    Negotiating,
    /// Asked to be bound: waiting for the answer.
    Establishing,
    /// Business messages flow.
    Established,
    /// Refused for good; the configuration must change.
    Refused,
}

/// What the client's owner must do after a message or a look at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAction {
    /// Nothing more.
    None,
    /// The session is up.
    Up,
    /// The message is the next business message: apply it.
    Apply,
    /// The message was applied before, or came after one that is missing and has been asked for again: ignore it.
    Ignore,
    /// The server did not apply these of our messages, and will not.
    NotApplied {
        /// The first.
        from: SeqNum,
        /// How many.
        count: u32,
    },
    /// These reports are lost for good: what they said must be learnt in another way.
    Lost {
        /// The first.
        from: SeqNum,
        /// How many.
        count: u32,
    },
    /// The session was up and is down.
    Down(TerminationCode),
    /// The server refuses to negotiate.
    NegotiationRefused(NegotiationRejectCode),
    /// The server refuses to bind.
    EstablishmentRefused(EstablishmentRejectCode),
}

/// A reply to send, if any, and what to do after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientResponse {
    /// To be sent first.
    pub reply: Option<OrderEntry>,
    /// To be done then.
    pub action: ClientAction,
}

impl ClientResponse {
    const NOTHING: ClientResponse = ClientResponse { reply: None, action: ClientAction::None };

    fn only(action: ClientAction) -> ClientResponse {
        ClientResponse { reply: None, action }
    }
}

/// One session, client side. Allocates nothing.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    state: ClientState,
    version: u64,
    /// Whether the server is known to have taken `version`.
    negotiated: bool,
    request_timestamp: UtcNanos,
    asked: Nanos,
    next_out: SeqNum,
    expected: SeqNum,
    server_keepalive_ns: u64,
    heard: Nanos,
    sent: Nanos,
    server_cl_ord_id: ClOrdId,
    asked_until: SeqNum,
}

impl ClientSession {
    /// A session that has not been asked for yet.
    pub fn new(config: ClientConfig) -> ClientSession {
        ClientSession {
            config,
            state: ClientState::Idle,
            version: 0,
            negotiated: false,
            request_timestamp: UtcNanos(0),
            asked: Nanos(0),
            next_out: SeqNum::FIRST,
            expected: SeqNum::FIRST,
            server_keepalive_ns: 0,
            heard: Nanos(0),
            sent: Nanos(0),
            server_cl_ord_id: ClOrdId(0),
            asked_until: SeqNum(0),
        }
    }

    /// Its number.
    #[inline]
    pub fn id(&self) -> SessionId {
        self.config.session
    }

    /// How far it is.
    #[inline]
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// Whether business messages flow.
    #[inline]
    pub fn is_established(&self) -> bool {
        self.state == ClientState::Established
    }

    /// The largest ClOrdID the server had seen when the session came up; ours must be larger.
    pub fn server_cl_ord_id(&self) -> ClOrdId {
        self.server_cl_ord_id
    }

    /// The number that the next business message takes.
    #[inline]
    pub fn next_number(&self) -> SeqNum {
        self.next_out
    }

    /// Takes the number for a business message that is about to be sent.
    #[inline]
    pub fn take_number(&mut self, now: Nanos) -> SeqNum {
        let number = self.next_out;
        self.next_out = number.next();
        self.sent = now;
        number
    }

    /// Begins: the message to send. The session's version is the time, so that it grows over restarts.
    pub fn start(&mut self, now: Nanos, utc: UtcNanos) -> OrderEntry {
        self.version = utc.0.max(self.version + 1);
        self.negotiated = false;
        self.state = ClientState::Negotiating;
        self.next_out = SeqNum::FIRST;
        self.expected = SeqNum::FIRST;
        self.asked_until = SeqNum(0);
        self.negotiate(now, utc)
    }

    /// Begins, or begins again where the session was after the transport broke or a refusal: the message to send. What
    /// the server sent meanwhile is asked for as soon as it answers.
    pub fn resume(&mut self, now: Nanos, utc: UtcNanos) -> OrderEntry {
        if !self.negotiated {
            return self.start(now, utc);
        }
        self.state = ClientState::Establishing;
        self.establish(now, utc)
    }

    /// Ends the session from this side: the message to send.
    pub fn terminate(&mut self, code: TerminationCode) -> OrderEntry {
        self.state = ClientState::Idle;
        Terminate { session_id: self.config.session, code, session_ver_id: self.version }.into()
    }

    /// The server's transport is gone, without a word from it.
    pub fn on_disconnect(&mut self) -> ClientAction {
        let was_up = self.is_established();
        self.state = ClientState::Idle;
        if was_up {
            ClientAction::Down(TerminationCode::KeepaliveExpired)
        } else {
            ClientAction::None
        }
    }

    /// Takes a message that names this session.
    #[inline]
    pub fn on_message(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        message: &OrderEntry,
    ) -> ClientResponse {
        if let Some(number) = sequence_of(message) {
            return self.on_business(now, utc, number, message);
        }
        match message {
            OrderEntry::NegotiationResponse(m)
                if self.answers(
                    ClientState::Negotiating,
                    m.session_ver_id,
                    m.request_timestamp,
                ) =>
            {
                self.state = ClientState::Establishing;
                self.negotiated = true;
                let reply = Some(self.establish(now, utc));
                ClientResponse { reply, action: ClientAction::None }
            }
            OrderEntry::NegotiationReject(m)
                if self.answers(
                    ClientState::Negotiating,
                    m.session_ver_id,
                    m.request_timestamp,
                ) =>
            {
                self.state = ClientState::Refused;
                ClientResponse::only(ClientAction::NegotiationRefused(m.code))
            }
            OrderEntry::EstablishmentAck(m)
                if self.answers(
                    ClientState::Establishing,
                    m.session_ver_id,
                    m.request_timestamp,
                ) =>
            {
                self.on_ack(now, utc, m)
            }
            OrderEntry::EstablishmentReject(m)
                if self.answers(
                    ClientState::Establishing,
                    m.session_ver_id,
                    m.request_timestamp,
                ) =>
            {
                self.state = ClientState::Refused;
                // A server that restarted has forgotten the negotiation; any other refusal leaves it standing.
                self.negotiated = m.code != EstablishmentRejectCode::Unnegotiated;
                ClientResponse::only(ClientAction::EstablishmentRefused(m.code))
            }
            OrderEntry::Sequence(m) if self.is_established() => {
                self.heard = now;
                self.ask_again(utc, m.next_seq_no)
            }
            OrderEntry::NotApplied(NotApplied { from_seq_no, count, .. })
                if self.is_established() =>
            {
                self.heard = now;
                ClientResponse::only(ClientAction::NotApplied { from: *from_seq_no, count: *count })
            }
            OrderEntry::Retransmission(_) if self.is_established() => {
                self.heard = now;
                ClientResponse::NOTHING
            }
            OrderEntry::RetransmitReject(_) if self.is_established() => self.on_lost(now),
            // Where no session is up, it answers what was on its way when the last one ended.
            OrderEntry::Terminate(m)
                if self.is_established() && m.session_ver_id == self.version =>
            {
                self.state = ClientState::Idle;
                ClientResponse::only(ClientAction::Down(m.code))
            }
            _ => ClientResponse::only(ClientAction::Ignore),
        }
    }

    /// Looks at the time: asks again, sends a keepalive, or takes a silent server for dead.
    #[inline]
    pub fn on_time(&mut self, now: Nanos, utc: UtcNanos) -> ClientResponse {
        match self.state {
            ClientState::Idle | ClientState::Refused => ClientResponse::NOTHING,
            ClientState::Negotiating if now.since(self.asked) >= self.config.retry_ns => {
                // A new version each time: the server may have taken the last one and its answer be lost.
                let reply = Some(self.start(now, utc));
                ClientResponse { reply, action: ClientAction::None }
            }
            ClientState::Establishing if now.since(self.asked) >= self.config.retry_ns => {
                let reply = Some(self.establish(now, utc));
                ClientResponse { reply, action: ClientAction::None }
            }
            ClientState::Negotiating | ClientState::Establishing => ClientResponse::NOTHING,
            ClientState::Established => {
                if now.since(self.heard) > self.server_keepalive_ns * SILENT_INTERVALS {
                    self.state = ClientState::Idle;
                    return ClientResponse::only(ClientAction::Down(
                        TerminationCode::KeepaliveExpired,
                    ));
                }
                if now.since(self.sent) >= u64::from(self.config.keepalive_ms) * 1_000_000 {
                    self.sent = now;
                    let session_id = self.config.session;
                    let reply = Some(Sequence { session_id, next_seq_no: self.next_out }.into());
                    return ClientResponse { reply, action: ClientAction::None };
                }
                ClientResponse::NOTHING
            }
        }
    }

    #[inline]
    fn on_business(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        number: SeqNum,
        message: &OrderEntry,
    ) -> ClientResponse {
        if !self.is_established() || is_request(message) {
            return ClientResponse::only(ClientAction::Ignore);
        }
        self.heard = now;
        if number == self.expected && number.0 < u32::MAX - 1 {
            self.expected = number.next();
            return ClientResponse::only(ClientAction::Apply);
        }
        if number < self.expected {
            return ClientResponse::only(ClientAction::Ignore);
        }
        let response = self.ask_again(utc, SeqNum(number.0.saturating_add(1)));
        ClientResponse { action: ClientAction::Ignore, ..response }
    }

    /// Asks for the reports from the one expected to before `next`, if they have not been asked for yet.
    fn ask_again(&mut self, utc: UtcNanos, next: SeqNum) -> ClientResponse {
        if next <= self.expected || next <= self.asked_until || next.0 >= u32::MAX - 1 {
            return ClientResponse::NOTHING;
        }
        let from = self.expected.max(self.asked_until);
        self.asked_until = next;
        let reply = RetransmitRequest {
            session_id: self.config.session,
            from_seq_no: from,
            timestamp: utc,
            count: next.0 - from.0,
        };
        ClientResponse { reply: Some(reply.into()), action: ClientAction::None }
    }

    fn on_lost(&mut self, now: Nanos) -> ClientResponse {
        self.heard = now;
        let (from, until) = (self.expected, self.asked_until);
        if until <= from {
            return ClientResponse::NOTHING;
        }
        self.expected = until;
        ClientResponse::only(ClientAction::Lost { from, count: until.0 - from.0 })
    }

    fn on_ack(&mut self, now: Nanos, utc: UtcNanos, m: &EstablishmentAck) -> ClientResponse {
        self.state = ClientState::Established;
        self.heard = now;
        self.sent = now;
        self.server_keepalive_ns = u64::from(m.keepalive_interval) * 1_000_000;
        self.server_cl_ord_id = m.last_cl_ord_id;
        self.next_out = m.expected_seq_no.max(SeqNum::FIRST);
        self.asked_until = SeqNum(0);
        let missed = self.ask_again(utc, m.next_seq_no);
        ClientResponse { action: ClientAction::Up, ..missed }
    }

    fn negotiate(&mut self, now: Nanos, utc: UtcNanos) -> OrderEntry {
        self.asked = now;
        self.request_timestamp = utc;
        Negotiate {
            session_id: self.config.session,
            client_flow: FlowType::Idempotent,
            session_ver_id: self.version,
            timestamp: utc,
            credentials: self.config.key.sign(self.config.session, self.version, utc),
        }
        .into()
    }

    fn establish(&mut self, now: Nanos, utc: UtcNanos) -> OrderEntry {
        self.asked = now;
        self.request_timestamp = utc;
        Establish {
            session_id: self.config.session,
            keepalive_interval: self.config.keepalive_ms,
            session_ver_id: self.version,
            timestamp: utc,
            next_seq_no: self.next_out,
            credentials: self.config.key.sign(self.config.session, self.version, utc),
        }
        .into()
    }

    fn answers(&self, state: ClientState, version: u64, timestamp: UtcNanos) -> bool {
        self.state == state && version == self.version && timestamp == self.request_timestamp
    }
}
