//! The server's side of a session: the gateway towards a strategy, the simulated venue towards the gateway.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "any message but those named is a violation, also one of a later schema"
)]

use std::ops::RangeInclusive;

use crate::codec::order_entry::{
    Establish, EstablishmentAck, EstablishmentReject, Negotiate, NegotiationReject,
    NegotiationResponse, NotApplied, OrderEntry, Retransmission, RetransmitReject,
    RetransmitRequest, Sequence, Terminate,
};
use crate::session::{SILENT_INTERVALS, SessionKey, is_request, sequence_of};
use crate::types::{
    ClOrdId, EstablishmentRejectCode, FlowType, Nanos, NegotiationRejectCode, RetransmitRejectCode,
    SeqNum, SessionId, TerminationCode, UtcNanos,
};

/// What a server knows of a session before anybody connects.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The session.
    pub session: SessionId,
    /// Its key.
    pub key: SessionKey,
    /// Keepalive intervals a client may ask for, in milliseconds.
    pub keepalive_ms: RangeInclusive<u32>,
    /// The interval of the server's own keepalive, in milliseconds.
    pub own_keepalive_ms: u32,
    /// How far a request's timestamp may be from the server's time, in nanoseconds.
    pub clock_skew_ns: u64,
    /// How many of the last reports are kept to be sent again.
    pub retained_reports: u32,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Nobody is there.
    Idle,
    /// A client proved who it is and has not yet bound itself, or is unbound for now.
    Negotiated,
    /// A client is bound: business messages flow.
    Established,
}

/// What the server's owner must do after a message or a look at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAction {
    /// Nothing more.
    None,
    /// The session is up: tell whoever needs to know.
    Up,
    /// The message is the next business message: apply it.
    Apply,
    /// The message was applied before: ignore it.
    Duplicate,
    /// Send the reports numbered `from`, `count` of them, again, after the reply.
    Resend {
        /// The first.
        from: SeqNum,
        /// How many, at least 1.
        count: u32,
    },
    /// The session was up and is down: cancel its orders if so configured.
    Down(TerminationCode),
    /// A request was refused, or a message broke the protocol while no session was up.
    Refused,
}

/// A reply to send, if any, and what to do after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerResponse {
    /// To be sent first.
    pub reply: Option<OrderEntry>,
    /// To be done then.
    pub action: ServerAction,
}

impl ServerResponse {
    const NOTHING: ServerResponse = ServerResponse { reply: None, action: ServerAction::None };

    fn new(reply: impl Into<OrderEntry>, action: ServerAction) -> ServerResponse {
        ServerResponse { reply: Some(reply.into()), action }
    }
}

/// One session, server side. Allocates nothing.
#[derive(Debug)]
pub struct ServerSession {
    config: ServerConfig,
    state: ServerState,
    version: u64,
    version_max: u64,
    expected: SeqNum,
    next_out: SeqNum,
    keepalive_ns: u64,
    heard: Nanos,
    sent: Nanos,
    last_cl_ord_id: ClOrdId,
}

impl ServerSession {
    /// A session that waits for its client.
    pub fn new(config: ServerConfig) -> ServerSession {
        ServerSession {
            config,
            state: ServerState::Idle,
            version: 0,
            version_max: 0,
            expected: SeqNum::FIRST,
            next_out: SeqNum::FIRST,
            keepalive_ns: 0,
            heard: Nanos(0),
            sent: Nanos(0),
            last_cl_ord_id: ClOrdId(0),
        }
    }

    /// Its number.
    #[inline]
    pub fn id(&self) -> SessionId {
        self.config.session
    }

    /// How far it is.
    #[inline]
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// Whether business messages flow.
    #[inline]
    pub fn is_established(&self) -> bool {
        self.state == ServerState::Established
    }

    /// The largest ClOrdID applied so far, over all negotiations.
    #[inline]
    pub fn last_cl_ord_id(&self) -> ClOrdId {
        self.last_cl_ord_id
    }

    /// Restores what must outlive a restart: the largest ClOrdID used.
    pub fn restore(&mut self, last_cl_ord_id: ClOrdId) {
        self.last_cl_ord_id = last_cl_ord_id;
    }

    /// Takes the number for a report that is about to be sent.
    #[inline]
    pub fn take_number(&mut self, now: Nanos) -> SeqNum {
        let number = self.next_out;
        self.next_out = number.next();
        self.sent = now;
        number
    }

    /// The number the next report will get.
    #[inline]
    pub fn next_number(&self) -> SeqNum {
        self.next_out
    }

    /// Takes a message that names this session and came over this session's transport.
    #[inline]
    pub fn on_message(
        &mut self,
        now: Nanos,
        utc: UtcNanos,
        message: &OrderEntry,
    ) -> ServerResponse {
        if let Some(number) = sequence_of(message) {
            return self.on_business(now, number, message);
        }
        match message {
            OrderEntry::Negotiate(m) => self.on_negotiate(utc, m),
            OrderEntry::Establish(m) => self.on_establish(now, utc, m),
            OrderEntry::Sequence(m) => self.on_sequence(now, m),
            OrderEntry::RetransmitRequest(m) => self.on_retransmit_request(now, m),
            OrderEntry::Terminate(m) => self.on_terminate(m),
            _ => self.violation(),
        }
    }

    /// Looks at the time: sends a keepalive when it is due, ends the session when the client is silent for too long.
    #[inline]
    pub fn on_time(&mut self, now: Nanos) -> ServerResponse {
        if self.state != ServerState::Established {
            return ServerResponse::NOTHING;
        }
        if now.since(self.heard) > self.keepalive_ns * SILENT_INTERVALS {
            return self.terminate(TerminationCode::KeepaliveExpired);
        }
        if now.since(self.sent) >= u64::from(self.config.own_keepalive_ms) * 1_000_000 {
            self.sent = now;
            let next_seq_no = self.next_out;
            return ServerResponse::new(
                Sequence { session_id: self.config.session, next_seq_no },
                ServerAction::None,
            );
        }
        ServerResponse::NOTHING
    }

    /// Ends the session from this side; the reply tells the client why.
    pub fn terminate(&mut self, code: TerminationCode) -> ServerResponse {
        let was_up = self.state == ServerState::Established;
        let reply =
            Terminate { session_id: self.config.session, code, session_ver_id: self.version };
        // The client may bind again and ask for what it missed; after a protocol violation it must negotiate anew. What
        // comes while it is unbound was on its way when the session ended: no reason to forget what it has to be told.
        self.state = match (self.state, code) {
            (ServerState::Idle, _)
            | (ServerState::Established, TerminationCode::UnspecifiedError) => ServerState::Idle,
            (ServerState::Negotiated | ServerState::Established, _) => ServerState::Negotiated,
        };
        ServerResponse::new(
            reply,
            if was_up { ServerAction::Down(code) } else { ServerAction::Refused },
        )
    }

    /// The client's transport is gone, without a word from it.
    pub fn on_disconnect(&mut self) -> ServerAction {
        if self.state != ServerState::Established {
            return ServerAction::None;
        }
        self.state = ServerState::Negotiated;
        ServerAction::Down(TerminationCode::KeepaliveExpired)
    }

    #[inline]
    fn on_business(&mut self, now: Nanos, number: SeqNum, message: &OrderEntry) -> ServerResponse {
        if self.state != ServerState::Established
            || !is_request(message)
            || number.0 >= u32::MAX - 1
        {
            return self.violation();
        }
        self.heard = now;
        if number == self.expected {
            self.expected = number.next();
            self.note_cl_ord_id(message);
            return ServerResponse { reply: None, action: ServerAction::Apply };
        }
        if number < self.expected {
            return ServerResponse { reply: None, action: ServerAction::Duplicate };
        }
        let missed = NotApplied {
            session_id: self.config.session,
            from_seq_no: self.expected,
            count: number.0 - self.expected.0,
        };
        self.expected = number.next();
        self.note_cl_ord_id(message);
        ServerResponse::new(missed, ServerAction::Apply)
    }

    #[inline]
    fn note_cl_ord_id(&mut self, message: &OrderEntry) {
        let id = match message {
            OrderEntry::NewOrderSingle(m) => m.cl_ord_id,
            OrderEntry::OrderCancelRequest(m) => m.cl_ord_id,
            OrderEntry::OrderCancelReplaceRequest(m) => m.cl_ord_id,
            OrderEntry::OrderMassActionRequest(m) => m.cl_ord_id,
            _ => return,
        };
        self.last_cl_ord_id = self.last_cl_ord_id.max(id);
    }

    fn on_negotiate(&mut self, utc: UtcNanos, m: &Negotiate) -> ServerResponse {
        let refuse = |code| {
            let reply = NegotiationReject {
                session_id: m.session_id,
                code,
                session_ver_id: m.session_ver_id,
                request_timestamp: m.timestamp,
            };
            ServerResponse::new(reply, ServerAction::Refused)
        };
        // Who asks comes first: whoever cannot prove it learns nothing else of the session's state.
        if !self.proven(utc, m.session_ver_id, m.timestamp, &m.credentials) {
            return refuse(NegotiationRejectCode::Credentials);
        }
        if m.client_flow != FlowType::Idempotent {
            return refuse(NegotiationRejectCode::FlowTypeNotSupported);
        }
        if self.state == ServerState::Established || m.session_ver_id <= self.version_max {
            return refuse(NegotiationRejectCode::DuplicateId);
        }
        self.state = ServerState::Negotiated;
        self.version = m.session_ver_id;
        self.version_max = m.session_ver_id;
        self.expected = SeqNum::FIRST;
        self.next_out = SeqNum::FIRST;
        let reply = NegotiationResponse {
            session_id: m.session_id,
            server_flow: FlowType::Recoverable,
            session_ver_id: m.session_ver_id,
            request_timestamp: m.timestamp,
        };
        ServerResponse::new(reply, ServerAction::None)
    }

    fn on_establish(&mut self, now: Nanos, utc: UtcNanos, m: &Establish) -> ServerResponse {
        let refuse = |code| {
            let reply = EstablishmentReject {
                session_id: m.session_id,
                code,
                session_ver_id: m.session_ver_id,
                request_timestamp: m.timestamp,
            };
            ServerResponse::new(reply, ServerAction::Refused)
        };
        if !self.proven(utc, m.session_ver_id, m.timestamp, &m.credentials) {
            return refuse(EstablishmentRejectCode::Credentials);
        }
        match self.state {
            ServerState::Established => return refuse(EstablishmentRejectCode::AlreadyEstablished),
            ServerState::Idle => return refuse(EstablishmentRejectCode::Unnegotiated),
            ServerState::Negotiated => {}
        }
        if m.session_ver_id != self.version {
            return refuse(EstablishmentRejectCode::Unnegotiated);
        }
        if !self.config.keepalive_ms.contains(&m.keepalive_interval) {
            return refuse(EstablishmentRejectCode::KeepaliveInterval);
        }
        self.state = ServerState::Established;
        self.keepalive_ns = u64::from(m.keepalive_interval) * 1_000_000;
        self.heard = now;
        self.sent = now;
        let reply = EstablishmentAck {
            session_id: m.session_id,
            keepalive_interval: self.config.own_keepalive_ms,
            session_ver_id: m.session_ver_id,
            request_timestamp: m.timestamp,
            next_seq_no: self.next_out,
            expected_seq_no: self.expected,
            last_cl_ord_id: self.last_cl_ord_id,
        };
        ServerResponse::new(reply, ServerAction::Up)
    }

    fn on_sequence(&mut self, now: Nanos, m: &Sequence) -> ServerResponse {
        if self.state != ServerState::Established {
            return self.violation();
        }
        self.heard = now;
        if m.next_seq_no <= self.expected || m.next_seq_no.0 >= u32::MAX - 1 {
            return ServerResponse::NOTHING;
        }
        let missed = NotApplied {
            session_id: self.config.session,
            from_seq_no: self.expected,
            count: m.next_seq_no.0 - self.expected.0,
        };
        self.expected = m.next_seq_no;
        ServerResponse::new(missed, ServerAction::None)
    }

    fn on_retransmit_request(&mut self, now: Nanos, m: &RetransmitRequest) -> ServerResponse {
        if self.state != ServerState::Established {
            return self.violation();
        }
        self.heard = now;
        let end = m.from_seq_no.0.saturating_add(m.count);
        let oldest = self.next_out.0.saturating_sub(self.config.retained_reports).max(1);
        let refusal = if m.count == 0 || m.from_seq_no.0 == 0 || end > self.next_out.0 {
            Some(RetransmitRejectCode::OutOfRange)
        } else if m.count > self.config.retained_reports {
            Some(RetransmitRejectCode::RequestLimitExceeded)
        } else if m.from_seq_no.0 < oldest {
            Some(RetransmitRejectCode::OutOfRange)
        } else {
            None
        };
        if let Some(code) = refusal {
            let reply =
                RetransmitReject { session_id: m.session_id, code, request_timestamp: m.timestamp };
            return ServerResponse::new(reply, ServerAction::Refused);
        }
        let reply = Retransmission {
            session_id: m.session_id,
            next_seq_no: m.from_seq_no,
            request_timestamp: m.timestamp,
            count: m.count,
        };
        ServerResponse::new(reply, ServerAction::Resend { from: m.from_seq_no, count: m.count })
    }

    fn on_terminate(&mut self, m: &Terminate) -> ServerResponse {
        if m.session_ver_id != self.version || self.state == ServerState::Idle {
            return ServerResponse { reply: None, action: ServerAction::Refused };
        }
        let response = self.terminate(TerminationCode::Finished);
        let action = match response.action {
            ServerAction::Down(_) => ServerAction::Down(m.code),
            _ => ServerAction::None,
        };
        ServerResponse { action, ..response }
    }

    /// FIXP 1.1, "Summary of Protocol Violations": the session is terminated at once.
    fn violation(&mut self) -> ServerResponse {
        self.terminate(TerminationCode::UnspecifiedError)
    }

    fn proven(&self, utc: UtcNanos, version: u64, timestamp: UtcNanos, proof: &[u8; 32]) -> bool {
        let skew = utc.0.abs_diff(timestamp.0);
        self.config.key.verify(self.config.session, version, timestamp, proof)
            && skew <= self.config.clock_skew_ns
    }
}
