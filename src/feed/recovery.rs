//! How a channel gets back what its lines lost: by re-request, and where that fails or is too much, by a snapshot.
//!
//! | the channel | and then |
//! |---|---|
//! | has declared a gap | the missing messages are asked for again; what follows them is queued |
//! | got them | it goes on from the queue and is current |
//! | has a gap longer than is asked for, or open for too long, an overflown queue, a silent server or a malformed message | everything is queued and a snapshot is asked for, again and again until there is one |
//! | got a snapshot | its books are the snapshot's; it goes on from the queue, from the snapshot's number on |
//! | has no server that could help | passes over the gap, and stays stale until the next session |
//!
//! A state machine without input and output of its own: it looks at the [`Arbiter`] and at the time, and answers with an
//! [`Action`] for the one who has the connections.

use crate::feed::arbiter::Arbiter;
use crate::feed::glimpse::{SnapshotAction, SnapshotCounts, SnapshotSettings, Snapshots};
use crate::feed::moldudp64::{HEADER_BYTES, Session};
use crate::feed::rerequest::{
    NextRequest, Rerequest, RerequestCounts, RerequestSettings, request_packet,
};
use crate::feed::soupbintcp::LOGIN_BYTES;
use crate::types::Nanos;

/// Bytes of the longest retransmission that is read: a jumbo frame's.
pub(super) const REPLY_BYTES_MAX: usize = 9_216;

/// What servers there are, and how they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RecoverySettings {
    /// The re-request server; `None` if there is none.
    pub rerequest: Option<RerequestSettings>,
    /// The snapshot server; `None` if there is none.
    pub snapshot: Option<SnapshotSettings>,
}

impl RecoverySettings {
    /// Whether there is a server that may help.
    pub const fn has_server(&self) -> bool {
        self.rerequest.is_some() || self.snapshot.is_some()
    }
}

/// What the one who has the connections is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this datagram to the re-request server.
    Request([u8; HEADER_BYTES]),
    /// Begin to connect to the snapshot server.
    Connect,
    /// Send this login there.
    Login([u8; LOGIN_BYTES]),
    /// Send these bytes there.
    Send([u8; 3]),
    /// Close that connection.
    Close,
}

/// What recovery did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RecoveryCounts {
    /// Asking for messages.
    pub rerequest: RerequestCounts,
    /// Asking for snapshots.
    pub snapshot: SnapshotCounts,
    /// Retransmissions received, useful or not.
    pub replies: u64,
    /// Those refused because their framing is wrong.
    pub reply_errors: u64,
    /// Gaps passed over for good: no server made them good.
    pub lost_gaps: u64,
}

/// The recovery of one channel.
#[derive(Debug)]
pub struct Recovery {
    rerequest: Option<Rerequest>,
    pub(super) snapshots: Option<Snapshots>,
    /// The session that what was asked for belongs to.
    session: Option<Session>,
    /// Which of the streams it is that the arbiter saw begin.
    epoch: u64,
    /// Whether the re-request server was given up for the gap in hand.
    is_given_up: bool,
    /// Where a retransmission is received.
    pub(super) reply: Box<[u8]>,
    pub(super) replies: u64,
    pub(super) reply_errors: u64,
    lost_gaps: u64,
}

impl Recovery {
    /// Nothing is asked for yet. All memory is allocated here.
    pub fn new(settings: &RecoverySettings) -> Recovery {
        Recovery {
            rerequest: settings.rerequest.map(Rerequest::new),
            snapshots: settings.snapshot.map(Snapshots::new),
            session: None,
            epoch: 0,
            is_given_up: false,
            reply: vec![0; REPLY_BYTES_MAX].into_boxed_slice(),
            replies: 0,
            reply_errors: 0,
            lost_gaps: 0,
        }
    }

    /// Whether a retransmission may come.
    pub fn awaits_reply(&self) -> bool {
        self.rerequest.as_ref().is_some_and(Rerequest::is_waiting)
    }

    /// Whether the connection to the snapshot server is to be looked at.
    pub fn is_listening(&self) -> bool {
        self.snapshots.as_ref().is_some_and(Snapshots::is_listening)
    }

    /// Whether there is something to do for the channel, now or later.
    #[inline]
    pub fn is_due(&self, arbiter: &Arbiter) -> bool {
        arbiter.is_recovering() || self.is_busy(arbiter)
    }

    fn is_busy(&self, arbiter: &Arbiter) -> bool {
        let is_repairable = arbiter.is_broken() && !arbiter.is_ended() && self.snapshots.is_some();
        is_repairable
            || self.awaits_reply()
            || self.snapshots.as_ref().is_some_and(Snapshots::is_busy)
    }

    /// Takes note of the session: what was asked for in another, or before it began again, is of no interest any more.
    pub fn see_session(&mut self, arbiter: &Arbiter) {
        if arbiter.epoch() == self.epoch {
            return;
        }
        (self.session, self.epoch) = (arbiter.session(), arbiter.epoch());
        self.is_given_up = false;
        if let Some(rerequest) = &mut self.rerequest {
            rerequest.reset();
        }
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.reset();
        }
    }

    /// Chooses the way back, after all that came was taken note of. Returns whether a hole was passed over, so that there
    /// may be more to take from the arbiter.
    pub fn decide(&mut self, arbiter: &mut Arbiter, now: Nanos) -> bool {
        if self.snapshots.as_ref().is_some_and(Snapshots::is_active) {
            return false;
        }
        let mut wants_snapshot = arbiter.is_broken();
        if arbiter.is_recovering() {
            let most = self.rerequest.as_ref().map_or(0, |r| r.settings().gap_messages_max);
            let has_overflown = arbiter.take_overflow();
            let is_too_long = arbiter.declared_messages() > most;
            let is_too_old = self.rerequest.as_ref().is_some_and(|rerequest| {
                self.snapshots.is_some()
                    && arbiter.recovering_ns(now) >= rerequest.settings().patience_ns()
            });
            wants_snapshot |= has_overflown || is_too_long || is_too_old || self.is_given_up;
        }
        if !wants_snapshot {
            return false;
        }
        if let Some(snapshots) = self.snapshots.as_mut().filter(|_| !arbiter.is_ended()) {
            snapshots.start();
            arbiter.collect();
            self.is_given_up = false;
            if let Some(rerequest) = &mut self.rerequest {
                rerequest.reset();
            }
            return false;
        }
        // Without snapshots, what no server sends again is lost. A long gap is asked for all the same, piece by piece.
        let is_hopeless = self.rerequest.is_none() || self.is_given_up || arbiter.is_broken();
        if !is_hopeless || !arbiter.is_recovering() {
            return false;
        }
        self.is_given_up = false;
        self.lost_gaps += 1;
        arbiter.give_up()
    }

    /// What to do now; to be asked until there is nothing.
    pub fn next_action(&mut self, arbiter: &Arbiter, now: Nanos) -> Option<Action> {
        if let Some(snapshots) = &mut self.snapshots
            && let Some(action) = snapshots.next_action(now)
        {
            return Some(match action {
                SnapshotAction::Connect => Action::Connect,
                SnapshotAction::Login(bytes) => Action::Login(bytes),
                SnapshotAction::Send(bytes) => Action::Send(bytes),
                SnapshotAction::Close => Action::Close,
            });
        }
        let (rerequest, session) = (self.rerequest.as_mut()?, self.session?);
        if !(arbiter.is_recovering() || rerequest.is_waiting()) || self.is_given_up {
            return None;
        }
        match rerequest.next(arbiter, now) {
            NextRequest::Wait => None,
            NextRequest::Ask { first, count } => {
                Some(Action::Request(request_packet(session, first, count)))
            }
            NextRequest::GivenUp => {
                self.is_given_up = arbiter.is_recovering();
                None
            }
        }
    }

    /// What it did.
    pub fn counts(&self) -> RecoveryCounts {
        RecoveryCounts {
            rerequest: self.rerequest.as_ref().map(Rerequest::counts).unwrap_or_default(),
            snapshot: self.snapshots.as_ref().map(Snapshots::counts).unwrap_or_default(),
            replies: self.replies,
            reply_errors: self.reply_errors,
            lost_gaps: self.lost_gaps,
        }
    }
}
