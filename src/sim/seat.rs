//! A participant's seat at the simulated exchange: its session, the reports that wait, and those kept to be sent again.

use std::collections::VecDeque;

use crate::codec::order_entry::OrderEntry;
use crate::session::{ServerConfig, ServerSession};
use crate::transport::{OfferError, Outbound};
use crate::types::{Nanos, SeqNum};

/// Bytes of the longest message of the schema.
const MESSAGE_BYTES_MAX: usize = 128;
/// Attempts while a stream is being rotated.
const ROTATION_ATTEMPTS: usize = 4;

/// A seat. A report is numbered when it leaves, so that what waits for a participant who is away has no number yet and
/// is sent, in order, when it is back.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) session: ServerSession,
    /// The publisher that is bound to the session.
    pub(super) source: Option<i32>,
    waiting: VecDeque<OrderEntry>,
    waiting_max: usize,
    kept: VecDeque<OrderEntry>,
    kept_max: usize,
    /// Numbers of the reports still to be sent again: first, and one after the last.
    again: Option<(u32, u32)>,
}

impl Seat {
    pub(super) fn new(config: ServerConfig, waiting_max: usize) -> Seat {
        let kept_max = usize::try_from(config.retained_reports).expect("32 bits fit");
        Seat {
            session: ServerSession::new(config),
            source: None,
            waiting: VecDeque::with_capacity(waiting_max),
            waiting_max,
            kept: VecDeque::with_capacity(kept_max),
            kept_max,
            again: None,
        }
    }

    /// Reports that can be added.
    #[inline]
    pub(super) fn free(&self) -> usize {
        self.waiting_max - self.waiting.len()
    }

    /// Whether nothing waits to be sent.
    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.waiting.is_empty() && self.again.is_none()
    }

    /// Adds a report; its number is given when it leaves.
    ///
    /// # Panics
    /// If there is no room: a request is not read unless there is room for all it can cause.
    #[inline]
    pub(super) fn push(&mut self, report: OrderEntry) {
        assert!(self.free() > 0, "a report found no room at its seat");
        self.waiting.push_back(report);
    }

    /// A negotiation begins the numbers anew: what was sent before cannot be asked for again.
    pub(super) fn forget_sent(&mut self) {
        self.kept.clear();
        self.again = None;
    }

    /// The reports from number `from` on, `count` of them, are to be sent again.
    pub(super) fn send_again(&mut self, from: SeqNum, count: u32) {
        self.again = Some((from.0, from.0.saturating_add(count)));
    }

    /// Nobody is there: what was asked for again is asked for again by whoever comes.
    pub(super) fn leave(&mut self) {
        self.source = None;
        self.again = None;
    }

    /// Sends what waits while the stream has room; returns how many.
    ///
    /// # Errors
    /// The stream is of no use any more.
    #[inline]
    pub(super) fn flush(
        &mut self,
        now: Nanos,
        outbound: &mut impl Outbound,
    ) -> Result<usize, OfferError> {
        if !self.session.is_established() || self.is_flushed() {
            return Ok(0);
        }
        let mut sent = 0;
        while let Some((from, end)) = self.again {
            match self.sent_as(from) {
                Some(report) if from < end => {
                    if !offer(outbound, report)? {
                        return Ok(sent);
                    }
                    sent += 1;
                    self.again = Some((from + 1, end));
                }
                Some(_) | None => self.again = None,
            }
        }
        while let Some(report) = self.waiting.front() {
            let report = numbered(*report, self.session.next_number());
            if !offer(outbound, &report)? {
                break;
            }
            self.session.take_number(now);
            self.waiting.pop_front();
            if self.kept.len() == self.kept_max {
                self.kept.pop_front();
            }
            if self.kept_max > 0 {
                self.kept.push_back(report);
            }
            sent += 1;
        }
        Ok(sent)
    }

    fn sent_as(&self, number: u32) -> Option<&OrderEntry> {
        let kept = u32::try_from(self.kept.len()).ok()?;
        let first = self.session.next_number().0 - kept;
        self.kept.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }
}

/// Sends a message; `false`: the stream has no room now, or nobody listens.
///
/// # Errors
/// The stream is of no use any more.
#[inline]
pub(super) fn offer(
    outbound: &mut impl Outbound,
    message: &OrderEntry,
) -> Result<bool, OfferError> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let length = message.encode(&mut bytes);
    for _ in 0..ROTATION_ATTEMPTS {
        match outbound.offer(length, |slot| slot.copy_from_slice(&bytes[..length])) {
            Ok(()) => return Ok(true),
            Err(OfferError::AdminAction) => {}
            Err(error) if error.is_retryable() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[inline]
#[allow(clippy::wildcard_enum_match_arm, reason = "only these four are ever pushed")]
fn numbered(mut report: OrderEntry, number: SeqNum) -> OrderEntry {
    match &mut report {
        OrderEntry::ExecutionReport(m) => m.msg_seq_num = number,
        OrderEntry::OrderCancelReject(m) => m.msg_seq_num = number,
        OrderEntry::OrderMassActionReport(m) => m.msg_seq_num = number,
        OrderEntry::BusinessMessageReject(m) => m.msg_seq_num = number,
        other => unreachable!("{other:?} is not a report"),
    }
    report
}
