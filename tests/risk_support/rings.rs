//! The rings around the agent `risk`, with the ends that the other agents hold.

use postern::codec::journal::Journal;
use postern::gate::{Approved, ApprovedReceiver, approved_ring};
use postern::ring::{Backing, Consumer, Producer, RingConfig, ring};
use postern::risk::RiskRings;

/// What control, router, feed and entry hold.
pub struct OtherEnds {
    pub control_risk: Producer,
    pub router_risk: Producer,
    pub feed_risk: Producer,
    pub entry_risk: Producer,
    pub risk_entry: Consumer,
    pub risk_router: ApprovedReceiver,
}

fn config(name: &'static str, slots: usize) -> RingConfig {
    RingConfig { name, slots, backing: Backing::Heap }
}

fn pair(name: &'static str, slots: usize) -> (Producer, Consumer) {
    ring(&config(name, slots)).expect("a ring")
}

/// All rings of risk; those it writes have so many slots.
pub fn rings(risk_entry_slots: usize, risk_router_slots: usize) -> (RiskRings, OtherEnds) {
    let (control_risk, control_end) = pair("control_risk", 8);
    let (router_risk, router_end) = pair("router_risk", 64);
    let (feed_risk, feed_end) = pair("feed_risk", 64);
    let (entry_risk, entry_end) = pair("entry_risk", 64);
    let (entry_out, risk_entry) = pair("risk_entry", risk_entry_slots);
    let (router_out, risk_router) =
        approved_ring(&config("risk_router", risk_router_slots)).expect("a ring");
    let own = RiskRings {
        control_risk: control_end,
        router_risk: router_end,
        feed_risk: feed_end,
        entry_risk: entry_end,
        risk_entry: entry_out,
        risk_router: router_out,
    };
    let others =
        OtherEnds { control_risk, router_risk, feed_risk, entry_risk, risk_entry, risk_router };
    (own, others)
}

impl OtherEnds {
    /// Puts `input` into the ring it belongs to.
    pub fn put(&mut self, input: &Journal) {
        let ring = if let Journal::KillCommand(_) = input {
            &mut self.control_risk
        } else if matches!(
            input,
            Journal::VenueExecution(_)
                | Journal::VenueCancelReject(_)
                | Journal::VenueLink(_)
                | Journal::RouterRefusal(_)
        ) {
            &mut self.router_risk
        } else if matches!(input, Journal::ReferencePrice(_) | Journal::FeedStatus(_)) {
            &mut self.feed_risk
        } else {
            &mut self.entry_risk
        };
        let mut bytes = [0; 128];
        let length = input.encode(&mut bytes);
        let mut claim = ring.claim(length).expect("room");
        claim.copy_from_slice(&bytes[..length]);
        claim.commit();
    }

    /// What was sent to the router since the last call.
    pub fn sent(&mut self) -> Vec<Approved> {
        let mut sent = Vec::new();
        while let Some(message) = self.risk_router.peek() {
            sent.push(message);
            self.risk_router.release();
        }
        sent
    }

    /// What was told to entry since the last call.
    pub fn told(&mut self) -> Vec<Journal> {
        let mut told = Vec::new();
        self.risk_entry.drain(64, |bytes| told.push(Journal::decode(bytes).expect("ours")));
        told
    }
}
