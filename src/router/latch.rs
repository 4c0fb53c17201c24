//! The kill switch as the router holds it, for the last look before bytes leave.

use crate::codec::journal::KillNotice;
use crate::types::{
    AccountId, DenyReason, InstrumentId, KillAction, KillScope, SessionId, VenueId,
};

/// Scopes that can be stopped one by one at the same time; one more stops the firm.
const LATCHED_MAX: usize = 256;

/// Which scopes are stopped. Allocated at start.
#[derive(Debug)]
pub struct KillLatch {
    firm: bool,
    latched: Vec<(KillScope, u32)>,
}

/// What the scopes of one order are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// Where it goes.
    pub venue: VenueId,
    /// Whose it is.
    pub account: AccountId,
    /// Who sent it.
    pub session: SessionId,
    /// What it is in.
    pub instrument: InstrumentId,
}

impl KillLatch {
    /// Nothing is stopped.
    pub fn new() -> KillLatch {
        KillLatch { firm: false, latched: Vec::with_capacity(LATCHED_MAX) }
    }

    /// Takes what risk says of one scope.
    pub fn apply(&mut self, notice: &KillNotice) {
        let scope = (notice.kill_scope, notice.id);
        match notice.kill_action {
            KillAction::Rearm if notice.kill_scope == KillScope::Firm => self.firm = false,
            KillAction::Rearm => self.latched.retain(|&latched| latched != scope),
            KillAction::Kill | KillAction::KillAndCancel => {
                if notice.kill_scope == KillScope::Firm || self.latched.len() >= LATCHED_MAX {
                    // No room for one more scope: stopping too much is the safe side.
                    self.firm = true;
                } else if !self.latched.contains(&scope) {
                    self.latched.push(scope);
                }
            }
        }
    }

    /// Why an order of these scopes may not leave, if it may not. A few nanoseconds while nothing is stopped.
    #[inline]
    pub fn denies(&self, scopes: Scopes) -> Option<DenyReason> {
        if self.firm {
            return Some(DenyReason::KilledFirm);
        }
        if self.latched.is_empty() {
            return None;
        }
        self.latched.iter().find_map(|&(scope, id)| match scope {
            KillScope::Firm => Some(DenyReason::KilledFirm),
            KillScope::Venue => (id == scopes.venue.0).then_some(DenyReason::KilledVenue),
            KillScope::Account => (id == scopes.account.0).then_some(DenyReason::KilledAccount),
            KillScope::Session => (id == scopes.session.0).then_some(DenyReason::KilledSession),
            KillScope::Instrument => {
                (id == scopes.instrument.0).then_some(DenyReason::KilledInstrument)
            }
        })
    }
}

impl Default for KillLatch {
    fn default() -> KillLatch {
        KillLatch::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPES: Scopes = Scopes {
        venue: VenueId(1),
        account: AccountId(2),
        session: SessionId(3),
        instrument: InstrumentId(4),
    };

    fn notice(kill_scope: KillScope, id: u32, kill_action: KillAction) -> KillNotice {
        KillNotice { id, kill_scope, kill_action }
    }

    #[test]
    fn each_scope_stops_its_own_orders_until_rearmed() {
        for (scope, id, reason) in [
            (KillScope::Firm, 0, DenyReason::KilledFirm),
            (KillScope::Venue, 1, DenyReason::KilledVenue),
            (KillScope::Account, 2, DenyReason::KilledAccount),
            (KillScope::Session, 3, DenyReason::KilledSession),
            (KillScope::Instrument, 4, DenyReason::KilledInstrument),
        ] {
            let mut latch = KillLatch::new();
            latch.apply(&notice(scope, id, KillAction::Kill));
            latch.apply(&notice(scope, id, KillAction::KillAndCancel));
            assert_eq!(latch.denies(SCOPES), Some(reason));
            if scope != KillScope::Firm {
                let mut other = KillLatch::new();
                other.apply(&notice(scope, id + 100, KillAction::Kill));
                assert_eq!(other.denies(SCOPES), None);
            }
            latch.apply(&notice(scope, id, KillAction::Rearm));
            assert_eq!(latch.denies(SCOPES), None);
        }
    }

    #[test]
    fn more_scopes_than_there_is_room_for_stop_the_firm() {
        let mut latch = KillLatch::new();
        for id in 0..=256 {
            latch.apply(&notice(KillScope::Account, 1_000 + id, KillAction::Kill));
        }
        assert_eq!(latch.denies(SCOPES), Some(DenyReason::KilledFirm));
    }
}
