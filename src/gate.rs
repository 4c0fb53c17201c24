//! What stands between a decision of risk and its effect: the record of it, and the one way to the router.
//!
//! Nothing reaches a venue unchecked: `risk_router` is built only here, and what it carries is put in by the
//! [`ApprovedSender`] alone, of which there is one, in risk. Nothing is sent before it is recorded: what risk consumes and
//! decides goes through a [`DecisionLog`] first, and a [`StateMachine`] gives the same decisions when that log is
//! read back. Risk, router and journal meet here and do not name each other.

use std::fmt;

use crate::codec::Message;
use crate::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, Decision, Journal, KillNotice,
};
use crate::ring::{self, Consumer, Full, Producer, RingConfig, RingError};
use crate::types::Nanos;

/// Builds `risk_router`. To be called by the topology, once: a test looks for calls elsewhere.
///
/// # Errors
/// As [`ring::ring`].
pub fn approved_ring(config: &RingConfig) -> Result<(ApprovedSender, ApprovedReceiver), RingError> {
    let (producer, consumer) = ring::ring(config)?;
    Ok((ApprovedSender { producer }, ApprovedReceiver { consumer }))
}

/// Risk's end of `risk_router`: not `Clone`, so there is one.
#[derive(Debug)]
pub struct ApprovedSender {
    producer: Producer,
}

impl ApprovedSender {
    /// Sends an approved order. A few nanoseconds.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent.
    #[inline]
    pub fn order(&mut self, order: &ApprovedOrder) -> Result<(), Full> {
        self.producer.send(order)
    }

    /// Sends a cancel.
    ///
    /// # Errors
    /// As [`ApprovedSender::order`].
    #[inline]
    pub fn cancel(&mut self, cancel: &ApprovedCancel) -> Result<(), Full> {
        self.producer.send(cancel)
    }

    /// Sends an approved replace.
    ///
    /// # Errors
    /// As [`ApprovedSender::order`].
    #[inline]
    pub fn replace(&mut self, replace: &ApprovedReplace) -> Result<(), Full> {
        self.producer.send(replace)
    }

    /// Tells the router how a kill switch stands now.
    ///
    /// # Errors
    /// As [`ApprovedSender::order`].
    #[inline]
    pub fn kill(&mut self, notice: &KillNotice) -> Result<(), Full> {
        self.producer.send(notice)
    }

    /// Whether `messages` can be sent now.
    #[inline]
    pub fn has_room(&mut self, messages: usize) -> bool {
        self.producer.has_room(messages)
    }

    /// `risk_router`.
    pub fn name(&self) -> &'static str {
        self.producer.name()
    }
}

/// What the router receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approved {
    /// An order that passed every check.
    Order(ApprovedOrder),
    /// A cancel.
    Cancel(ApprovedCancel),
    /// A replace that passed every check.
    Replace(ApprovedReplace),
    /// How a kill switch stands.
    Kill(KillNotice),
}

/// The router's end of `risk_router`.
#[derive(Debug)]
pub struct ApprovedReceiver {
    consumer: Consumer,
}

impl ApprovedReceiver {
    /// The next message, which stays in the ring until [`ApprovedReceiver::release`].
    ///
    /// # Panics
    /// If the ring holds anything else, which no [`ApprovedSender`] puts there.
    #[inline]
    pub fn peek(&mut self) -> Option<Approved> {
        let bytes = self.consumer.peek()?;
        match Journal::decode(bytes) {
            Ok(Journal::ApprovedOrder(order)) => Some(Approved::Order(order)),
            Ok(Journal::ApprovedCancel(cancel)) => Some(Approved::Cancel(cancel)),
            Ok(Journal::ApprovedReplace(replace)) => Some(Approved::Replace(replace)),
            Ok(Journal::KillNotice(notice)) => Some(Approved::Kill(notice)),
            other => panic!("risk_router holds what risk did not approve: {other:?}"),
        }
    }

    /// Gives back the slot of the message that [`ApprovedReceiver::peek`] showed.
    ///
    /// # Panics
    /// If there was none.
    #[inline]
    pub fn release(&mut self) {
        self.consumer.release();
    }

    /// `risk_router`.
    pub fn name(&self) -> &'static str {
        self.consumer.name()
    }
}

/// An input of risk that is no message of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A run of the process began: every link is down until said otherwise.
    RunStart,
    /// Part of the cancels that are due was sent.
    Tick,
    /// The process began to go down.
    Drain,
}

/// Who may use the last of a log's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Requests for new risk: must leave the reserve alone.
    Ordinary,
    /// Cancels, executions and commands: may use the reserve.
    Reserved,
}

/// Where inputs and decisions are recorded before they take effect. Hot: neither blocks nor allocates.
pub trait DecisionLog {
    /// Whether `records` records, of the largest size, can be appended now.
    fn has_room(&mut self, records: usize, room: Room) -> bool;

    /// Records an input or decision, as the SBE message `bytes`.
    ///
    /// # Panics
    /// If there is no room: it is asked for before an input is read.
    fn append(&mut self, now: Nanos, bytes: &[u8]);

    /// Records an input that is no message.
    ///
    /// # Panics
    /// As [`DecisionLog::append`].
    fn mark(&mut self, now: Nanos, mark: Mark);

    /// Records a message.
    ///
    /// # Panics
    /// As [`DecisionLog::append`].
    fn record<M: Message>(&mut self, now: Nanos, message: &M) {
        let mut bytes = [0; ring::SLOT_PAYLOAD_BYTES];
        let (bytes, _) = bytes.split_at_mut(M::BYTES);
        message.encode(bytes);
        self.append(now, bytes);
    }
}

/// One recorded input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A message of a ring.
    Message(Journal),
    /// Anything else.
    Mark(Mark),
}

/// Whether recorded decisions are recomputed or believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// Decide again by the limits in force now, for comparison.
    Recompute,
    /// What was recorded was done, whatever the limits are now: for recovery.
    Recorded,
}

/// Why a record cannot be applied: state in the log has no place in the present configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CannotRestore {
    /// What is missing, as a sentence for an operator.
    pub what: &'static str,
    /// Its number: of the order, account or instrument.
    pub id: u64,
}

impl fmt::Display for CannotRestore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.id)
    }
}

impl std::error::Error for CannotRestore {}

/// A deterministic consumer of recorded inputs: [`risk`](crate::risk) as the journal sees it.
pub trait StateMachine {
    /// Applies one input and hands each decision on it to `decided`. `recorded` are the decisions that were recorded
    /// on it.
    ///
    /// # Errors
    /// [`CannotRestore`] with [`Belief::Recorded`].
    fn replay(
        &mut self,
        now: Nanos,
        input: &Input,
        belief: Belief,
        recorded: &[Decision],
        decided: &mut dyn FnMut(Decision),
    ) -> Result<(), CannotRestore>;

    /// Whether `message` is answered by exactly one decision. One whose decision was not recorded was never acted upon.
    fn decides_on(&self, message: &Journal) -> bool;

    /// A number that two machines in the same state share.
    fn digest(&self) -> u64;
}
