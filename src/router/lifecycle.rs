//! The life of one order as the router sees it: a pure state machine, every state against every event.
//!
//! The venue's word counts. An event that does not fit the state is an anomaly: it is reported as such, and what it says
//! of quantities is believed all the same, because what traded has traded.

use crate::types::{OrdStatus, Qty};

/// What is outstanding at the venue besides the order itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The new order is not answered yet.
    New,
    /// Nothing.
    Nothing,
    /// A cancel is not answered yet.
    Cancel,
    /// A replace is not answered yet.
    Replace,
}

/// What happens to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A cancel left for the venue.
    CancelSent,
    /// A replace left for the venue.
    ReplaceSent,
    /// The venue accepted the order.
    Accepted,
    /// The venue refused the order.
    Rejected,
    /// The order traded; so much in all.
    Traded {
        /// Quantity traded so far.
        cum_qty: u32,
        /// Quantity still open.
        leaves_qty: u32,
    },
    /// The order is cancelled.
    Canceled,
    /// The order ended by its own terms.
    Expired,
    /// The order was replaced; its total is now so much.
    Replaced {
        /// New total quantity.
        order_qty: u32,
        /// Quantity still open.
        leaves_qty: u32,
    },
    /// The venue refused a cancel.
    CancelRejected,
    /// The venue refused a replace.
    ReplaceRejected,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// As expected; the order goes on.
    Open,
    /// As expected; the order is over.
    Closed,
    /// The event does not fit the state; what it says was taken, and the order goes on.
    Anomaly,
    /// The event does not fit the state; what it says was taken, and the order is over.
    AnomalyClosed,
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// What is outstanding.
    pub pending: Pending,
    /// Whether the venue has accepted the order.
    pub accepted: bool,
    /// Total quantity.
    pub order_qty: u32,
    /// Quantity traded so far.
    pub cum_qty: u32,
    /// How it ended; `None` while it is open.
    pub ended: Option<OrdStatus>,
}

impl Life {
    /// An order that just left for the venue.
    pub fn sent(qty: Qty) -> Life {
        Life {
            pending: Pending::New,
            accepted: false,
            order_qty: qty.get(),
            cum_qty: 0,
            ended: None,
        }
    }

    /// Its state in FIX terms (tag 39).
    #[inline]
    pub fn status(&self) -> OrdStatus {
        if let Some(ended) = self.ended {
            return ended;
        }
        match (self.pending, self.accepted, self.cum_qty) {
            (Pending::Cancel, _, _) => OrdStatus::PendingCancel,
            (Pending::Replace, _, _) => OrdStatus::PendingReplace,
            (_, false, 0) => OrdStatus::PendingNew,
            (_, true, 0) => OrdStatus::New,
            (_, _, _) => OrdStatus::PartiallyFilled,
        }
    }

    /// Takes an event.
    #[inline]
    pub fn step(&mut self, event: Event) -> Step {
        if self.ended.is_some() {
            return self.after_the_end(event);
        }
        match event {
            Event::CancelSent => self.outstanding(Pending::Cancel),
            Event::ReplaceSent => self.outstanding(Pending::Replace),
            Event::Accepted => {
                let fits = !self.accepted;
                self.accepted = true;
                if self.pending == Pending::New {
                    self.pending = Pending::Nothing;
                }
                if fits { Step::Open } else { Step::Anomaly }
            }
            Event::Rejected => {
                let fits = !self.accepted && self.cum_qty == 0;
                self.end(OrdStatus::Rejected, fits)
            }
            Event::Traded { cum_qty, leaves_qty } => self.traded(cum_qty, leaves_qty),
            Event::Canceled => self.end(OrdStatus::Canceled, true),
            Event::Expired => self.end(OrdStatus::Expired, true),
            Event::Replaced { order_qty, leaves_qty } => {
                let fits = self.pending == Pending::Replace && order_qty >= self.cum_qty;
                self.order_qty = order_qty;
                self.pending = Pending::Nothing;
                if leaves_qty == 0 { self.end(OrdStatus::Filled, fits) } else { Step::of(fits) }
            }
            Event::CancelRejected => self.answered(Pending::Cancel),
            Event::ReplaceRejected => self.answered(Pending::Replace),
        }
    }

    fn traded(&mut self, cum_qty: u32, leaves_qty: u32) -> Step {
        let fits = self.accepted && cum_qty > self.cum_qty && cum_qty <= self.order_qty;
        // The venue traded it, so it has accepted it, whatever it said before.
        self.accepted = true;
        if self.pending == Pending::New {
            self.pending = Pending::Nothing;
        }
        self.cum_qty = self.cum_qty.max(cum_qty);
        if leaves_qty == 0 { self.end(OrdStatus::Filled, fits) } else { Step::of(fits) }
    }

    fn outstanding(&mut self, pending: Pending) -> Step {
        let fits =
            matches!(self.pending, Pending::Nothing | Pending::New) || pending == Pending::Cancel;
        self.pending = pending;
        Step::of(fits)
    }

    fn answered(&mut self, pending: Pending) -> Step {
        let fits = self.pending == pending;
        if fits {
            self.pending = if self.accepted { Pending::Nothing } else { Pending::New };
        }
        Step::of(fits)
    }

    fn end(&mut self, status: OrdStatus, fits: bool) -> Step {
        self.ended = Some(status);
        self.pending = Pending::Nothing;
        if fits { Step::Closed } else { Step::AnomalyClosed }
    }

    fn after_the_end(&mut self, event: Event) -> Step {
        match event {
            // A fill that crossed the cancel on its way: the position is real.
            Event::Traded { cum_qty, .. } => {
                self.cum_qty = self.cum_qty.max(cum_qty);
                Step::AnomalyClosed
            }
            // The answer to a request that the end overtook.
            Event::CancelRejected | Event::ReplaceRejected => Step::Closed,
            Event::CancelSent
            | Event::ReplaceSent
            | Event::Accepted
            | Event::Rejected
            | Event::Canceled
            | Event::Expired
            | Event::Replaced { .. } => Step::AnomalyClosed,
        }
    }
}

impl Step {
    fn of(fits: bool) -> Step {
        if fits { Step::Open } else { Step::Anomaly }
    }

    /// Whether the order is over.
    pub const fn is_closed(self) -> bool {
        matches!(self, Step::Closed | Step::AnomalyClosed)
    }

    /// Whether the event did not fit.
    pub const fn is_anomaly(self) -> bool {
        matches!(self, Step::Anomaly | Step::AnomalyClosed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 12] = [
        Event::CancelSent,
        Event::ReplaceSent,
        Event::Accepted,
        Event::Rejected,
        Event::Traded { cum_qty: 4, leaves_qty: 6 },
        Event::Traded { cum_qty: 10, leaves_qty: 0 },
        Event::Canceled,
        Event::Expired,
        Event::Replaced { order_qty: 12, leaves_qty: 12 },
        Event::Replaced { order_qty: 4, leaves_qty: 0 },
        Event::CancelRejected,
        Event::ReplaceRejected,
    ];

    fn life() -> Life {
        Life::sent(Qty::new(10).expect("not zero"))
    }

    fn after(events: &[Event]) -> Life {
        let mut life = life();
        for &event in events {
            life.step(event);
        }
        life
    }

    #[test]
    fn the_usual_lives_have_no_anomaly() {
        let traded = |cum_qty: u32| Event::Traded { cum_qty, leaves_qty: 10 - cum_qty };
        for (events, end) in [
            (vec![Event::Rejected], OrdStatus::Rejected),
            (vec![Event::Accepted, traded(10)], OrdStatus::Filled),
            (vec![Event::Accepted, traded(3), traded(10)], OrdStatus::Filled),
            (vec![Event::Accepted, Event::CancelSent, Event::Canceled], OrdStatus::Canceled),
            (vec![Event::CancelSent, Event::Accepted, Event::Canceled], OrdStatus::Canceled),
            (
                vec![Event::Accepted, Event::CancelSent, traded(10), Event::CancelRejected],
                OrdStatus::Filled,
            ),
            (vec![Event::Accepted, traded(2), Event::Expired], OrdStatus::Expired),
        ] {
            let mut life = life();
            for &event in &events {
                let step = life.step(event);
                assert!(!step.is_anomaly(), "{event:?} of {events:?}: {step:?}");
            }
            assert_eq!(life.status(), end, "{events:?}");
        }
    }

    #[test]
    fn a_replace_changes_the_total_and_can_end_the_order() {
        let mut life = after(&[
            Event::Accepted,
            Event::Traded { cum_qty: 4, leaves_qty: 6 },
            Event::ReplaceSent,
        ]);
        assert_eq!(life.status(), OrdStatus::PendingReplace);
        assert_eq!(life.step(Event::Replaced { order_qty: 4, leaves_qty: 0 }), Step::Closed);
        assert_eq!((life.status(), life.cum_qty), (OrdStatus::Filled, 4));
    }

    #[test]
    fn a_refused_cancel_leaves_the_order_as_it_was() {
        let mut life = after(&[Event::Accepted, Event::CancelSent]);
        assert_eq!(life.status(), OrdStatus::PendingCancel);
        assert_eq!(life.step(Event::CancelRejected), Step::Open);
        assert_eq!(life.status(), OrdStatus::New);
    }

    #[test]
    fn a_fill_after_the_end_is_counted_and_told() {
        let mut life = after(&[Event::Accepted, Event::Canceled]);
        assert_eq!(life.step(Event::Traded { cum_qty: 4, leaves_qty: 0 }), Step::AnomalyClosed);
        assert_eq!((life.cum_qty, life.status()), (4, OrdStatus::Canceled));
    }

    /// Every event in every state that two events can reach: an order that is over stays over, traded quantity never
    /// shrinks, and the returned step agrees with the state.
    #[test]
    fn every_state_takes_every_event() {
        for first in EVENTS {
            for second in EVENTS {
                for event in EVENTS {
                    let mut life = after(&[first, second]);
                    let before = life;
                    let step = life.step(event);
                    assert_eq!(step.is_closed(), life.ended.is_some(), "{before:?} {event:?}");
                    assert!(life.cum_qty >= before.cum_qty, "{before:?} {event:?}");
                    if before.ended.is_some() {
                        assert_eq!(life.ended, before.ended, "{before:?} {event:?}");
                    }
                    assert_eq!(life.status().is_final(), life.ended.is_some());
                }
            }
        }
    }
}
