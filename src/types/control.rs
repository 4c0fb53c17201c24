//! Enumerations of sessions, links, feeds and control. The discriminant is the byte on the wire.

use crate::types::wire_enum::wire_enum;

wire_enum! {
    /// Whether a session or venue link is usable.
    LinkState {
        /// Not usable.
        Down = 0,
        /// Usable.
        Up = 1,
    }
}

wire_enum! {
    /// Whether a market data channel can be relied on.
    FeedState {
        /// Missing, late or with an unfilled gap.
        Stale = 0,
        /// Complete and alive.
        Current = 1,
        /// The exchange ended the session.
        Ended = 2,
    }
}

wire_enum! {
    /// What a FIXP flow guarantees (FIXP 1.1, "Flow Types").
    FlowType {
        /// Exactly once: can be asked for again.
        Recoverable = 0,
        /// At most once: what was lost is told and not applied.
        Idempotent = 1,
        /// Best effort.
        Unsequenced = 2,
        /// Nothing flows.
        NoFlow = 3,
    }
}

wire_enum! {
    /// Why a negotiation was refused (FIXP 1.1, "NegotiationReject").
    NegotiationRejectCode {
        /// Unknown session, wrong key, or a timestamp too far from now.
        Credentials = 0,
        /// The flow asked for is not offered.
        FlowTypeNotSupported = 1,
        /// The `SessionVerID` is not larger than the last one used.
        DuplicateId = 2,
        /// Any other reason.
        Unspecified = 3,
    }
}

wire_enum! {
    /// Why a binding was refused (FIXP 1.1, "EstablishmentReject").
    EstablishmentRejectCode {
        /// No negotiation came before.
        Unnegotiated = 0,
        /// The session is bound already.
        AlreadyEstablished = 1,
        /// The session may not be used now.
        SessionBlocked = 2,
        /// The keepalive interval is outside what is accepted.
        KeepaliveInterval = 3,
        /// Wrong key, or a timestamp too far from now.
        Credentials = 4,
        /// Any other reason.
        Unspecified = 5,
    }
}

wire_enum! {
    /// Why a retransmission was refused (FIXP 1.1, "RetransmitReject").
    RetransmitRejectCode {
        /// Beyond what was sent, or no longer kept.
        OutOfRange = 0,
        /// Not this session's.
        InvalidSession = 1,
        /// More messages than are sent again at once.
        RequestLimitExceeded = 2,
    }
}

wire_enum! {
    /// Why a session ended (FIXP 1.1, "Terminate"; 4 and up are ours).
    TerminationCode {
        /// As intended.
        Finished = 0,
        /// A protocol violation.
        UnspecifiedError = 1,
        /// A retransmission was asked for that cannot be.
        ReRequestOutOfBounds = 2,
        /// A retransmission was asked for during another.
        ReRequestInProgress = 3,
        /// Nothing was heard for three keepalive intervals.
        KeepaliveExpired = 4,
        /// Reports were not read in time.
        SlowConsumer = 5,
        /// The gateway is going down.
        ShuttingDown = 6,
    }
}

wire_enum! {
    /// What a mass cancel takes in.
    MassScope {
        /// All orders of the session.
        Session = 0,
        /// The session's orders in one instrument.
        Instrument = 1,
    }
}

wire_enum! {
    /// What a kill switch stops.
    KillScope {
        /// Everything.
        Firm = 0,
        /// Orders to one venue.
        Venue = 1,
        /// Orders of one account.
        Account = 2,
        /// Orders of one session.
        Session = 3,
        /// Orders in one instrument.
        Instrument = 4,
    }
}

wire_enum! {
    /// What to do with a kill switch.
    KillAction {
        /// Lets orders pass again.
        Rearm = 0,
        /// Refuses new orders and replaces; open orders stay.
        Kill = 1,
        /// Refuses new orders and replaces, and cancels the open orders in scope.
        KillAndCancel = 2,
    }
}

wire_enum! {
    /// What a request asked for.
    RequestKind {
        /// A new order.
        New = 0,
        /// A cancel.
        Cancel = 1,
        /// A replace.
        Replace = 2,
    }
}
