//! One strategy's session as entry holds it: protocol state, report stream, reports.

use crate::codec::Message;
use crate::codec::order_entry::{
    BusinessMessageReject, ExecutionReport, OrderCancelReject, OrderEntry, OrderMassActionReport,
};
use crate::entry::store::{REPORT_BYTES_MAX, ReportStore};
use crate::session::ServerSession;
use crate::telemetry::LinkGauge;
use crate::transport::{OfferError, Outbound};
use crate::types::{LinkState, Nanos, SeqNum};

/// Reports a session may still have in flight when it ends; a session message is tried this often.
const CONTROL_ATTEMPTS: usize = 3;

/// What came of an attempt to send what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// So many reports were sent; none waits, or the stream has no room now.
    Sent(usize),
    /// The stream is closed or worn out.
    Broken(OfferError),
}

/// A session with its report stream.
#[derive(Debug)]
pub(super) struct Slot<O> {
    pub(super) session: ServerSession,
    pub(super) reports: O,
    pub(super) store: ReportStore,
    /// The Aeron session id of the publisher that is bound to the session.
    pub(super) source: Option<i32>,
    /// What risk has still to be told.
    pub(super) link_pending: Option<LinkState>,
    link: LinkGauge,
}

impl<O: Outbound> Slot<O> {
    pub(super) fn new(
        session: ServerSession,
        reports: O,
        link: LinkGauge,
        retained: u32,
    ) -> Slot<O> {
        Slot {
            session,
            reports,
            store: ReportStore::new(retained),
            source: None,
            link_pending: None,
            link,
        }
    }

    /// The session came up or went down: risk is told as soon as its ring has room, everybody else at once.
    pub(super) fn tell(&mut self, state: LinkState) {
        self.link.set(state == LinkState::Up);
        self.link_pending = Some(state);
    }

    /// Numbers and stores a report, to be sent by [`Slot::flush`].
    #[inline]
    pub(super) fn push(&mut self, now: Nanos, mut report: Report) {
        let number = self.session.take_number(now);
        report.set_number(number);
        self.store.push(number, report.bytes(), |slot| report.encode(slot));
    }

    /// Sends what waits while the stream has room.
    #[inline]
    pub(super) fn flush(&mut self) -> Flushed {
        let mut sent = 0;
        if !self.session.is_established() {
            return Flushed::Sent(0);
        }
        while let Some(bytes) = self.store.peek_unsent() {
            match self.reports.offer(bytes.len(), |slot| slot.copy_from_slice(bytes)) {
                Ok(()) => {
                    self.store.mark_sent();
                    sent += 1;
                }
                Err(OfferError::AdminAction) => {}
                Err(e) if e.is_retryable() => break,
                Err(e) => return Flushed::Broken(e),
            }
        }
        Flushed::Sent(sent)
    }

    /// Sends a session message now, or not at all: a lost one is repeated by the protocol.
    pub(super) fn send_control(&mut self, message: &OrderEntry) -> Result<(), OfferError> {
        let mut bytes = [0; REPORT_BYTES_MAX];
        let length = message.encode(&mut bytes);
        let mut last = OfferError::NotConnected;
        for _ in 0..CONTROL_ATTEMPTS {
            match self.reports.offer(length, |slot| slot.copy_from_slice(&bytes[..length])) {
                Ok(()) => return Ok(()),
                Err(e @ OfferError::AdminAction) => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }
}

/// A report on its way to a strategy, to be numbered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Report {
    Execution(ExecutionReport),
    CancelReject(OrderCancelReject),
    MassAction(OrderMassActionReport),
    Business(BusinessMessageReject),
}

impl Report {
    #[inline]
    fn set_number(&mut self, number: SeqNum) {
        match self {
            Report::Execution(m) => m.msg_seq_num = number,
            Report::CancelReject(m) => m.msg_seq_num = number,
            Report::MassAction(m) => m.msg_seq_num = number,
            Report::Business(m) => m.msg_seq_num = number,
        }
    }

    #[inline]
    fn bytes(&self) -> usize {
        match self {
            Report::Execution(_) => ExecutionReport::BYTES,
            Report::CancelReject(_) => OrderCancelReject::BYTES,
            Report::MassAction(_) => OrderMassActionReport::BYTES,
            Report::Business(_) => BusinessMessageReject::BYTES,
        }
    }

    #[inline]
    fn encode(&self, buf: &mut [u8]) {
        match self {
            Report::Execution(m) => m.encode(buf),
            Report::CancelReject(m) => m.encode(buf),
            Report::MassAction(m) => m.encode(buf),
            Report::Business(m) => m.encode(buf),
        }
    }
}
