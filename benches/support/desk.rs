//! Risk with what surrounds it in a process: the router's ring, a journal or none, and a venue that accepts every order and ends
//! the oldest of a thousand.

use std::collections::VecDeque;
use std::hint::black_box;
use std::path::Path;

use postern::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, Decision, Journal,
    KillNotice, MassCancelReport, OrderReport, OrderRequest, ReferencePrice, VenueExecution,
};
use postern::gate::{ApprovedReceiver, ApprovedSender, DecisionLog, Room, approved_ring};
use postern::journal::{JournalAgent, JournalConfig, JournalWriter, open};
use postern::ring::{Backing, RingConfig};
use postern::risk::{Effects, Engine, RiskConfig};
use postern::runtime::Agent;
use postern::telemetry::Registry;
use postern::types::{ExecId, ExecType, Nanos, OrdStatus, OrderId, UtcNanos};

/// Nanoseconds between two orders as risk sees time: no throttle is met.
const PACE_NS: u64 = 10_000;
/// Orders open at once.
pub const OPEN: usize = 1_000;
/// Records of an order at most, as risk's agent counts them.
const ORDER_RECORDS: usize = 4;

/// Where decisions and approved orders go.
struct Sink<'a> {
    log: Option<&'a mut JournalWriter>,
    router: &'a mut ApprovedSender,
    now: Nanos,
    decided: (OrderId, u16),
}

impl Effects for Sink<'_> {
    #[inline]
    fn decided(&mut self, decision: Decision) {
        self.decided = (decision.order_id, decision.deny_reason);
        if let Some(log) = &mut self.log {
            log.record(self.now, &decision);
        }
    }
    #[inline]
    fn approve_order(&mut self, order: ApprovedOrder) {
        self.router.order(&order).expect("the ring is emptied after each");
    }
    fn approve_cancel(&mut self, cancel: ApprovedCancel) {
        black_box(cancel);
    }
    fn approve_replace(&mut self, replace: ApprovedReplace) {
        black_box(replace);
    }
    fn report(&mut self, report: OrderReport) {
        black_box(report);
    }
    fn cancel_reject(&mut self, report: CancelRejectReport) {
        black_box(report);
    }
    fn mass_cancel_report(&mut self, report: MassCancelReport) {
        black_box(report);
    }
    fn kill_notice(&mut self, notice: KillNotice) {
        black_box(notice);
    }
}

/// All of it.
pub struct Desk {
    pub engine: Engine,
    log: Option<(JournalWriter, JournalAgent)>,
    router: (ApprovedSender, ApprovedReceiver),
    /// Orders so far.
    pub count: u64,
    open: VecDeque<OrderId>,
    /// Why orders were denied.
    pub denied: Vec<u16>,
}

impl Desk {
    /// With a journal in `directory`, if there is one.
    pub fn new(config: &RiskConfig, directory: Option<&Path>) -> Desk {
        let ring = RingConfig { name: "risk_router", slots: 128, backing: Backing::Heap };
        let log = directory.map(|directory| {
            let config = JournalConfig::new(directory.to_path_buf(), [0; 32]);
            open(&config, Nanos(0), UtcNanos(0), &Registry::new()).expect("a journal")
        });
        Desk {
            engine: Engine::new(config).expect("valid"),
            log,
            router: approved_ring(&ring).expect("a ring"),
            count: 0,
            open: VecDeque::with_capacity(OPEN + 1),
            denied: Vec::new(),
        }
    }

    /// Applies any input, recorded before.
    pub fn apply(&mut self, input: &Journal) {
        let now = Nanos(self.count * PACE_NS);
        let log = self.log.as_mut().map(|(writer, _)| writer);
        let mut sink = Sink { log, router: &mut self.router.0, now, decided: (OrderId(0), 0) };
        if let Some(log) = &mut sink.log {
            assert!(log.has_room(ORDER_RECORDS, Room::Ordinary), "the journal keeps up");
            let mut bytes = [0; 120];
            let length = input.encode(&mut bytes);
            log.append(now, &bytes[..length]);
        }
        self.engine.apply(now, input, &mut sink);
    }

    /// Decides on an order by a price that has just come, if one has, as risk's agent does; returns the order's identifier and
    /// why it was denied.
    #[inline]
    pub fn order(
        &mut self,
        price: Option<&ReferencePrice>,
        request: &OrderRequest,
    ) -> (OrderId, u16) {
        self.count += 1;
        let now = Nanos(self.count * PACE_NS);
        let log = self.log.as_mut().map(|(writer, _)| writer);
        let mut sink = Sink { log, router: &mut self.router.0, now, decided: (OrderId(0), 0) };
        if let Some(log) = &mut sink.log {
            assert!(log.has_room(ORDER_RECORDS, Room::Ordinary), "the journal keeps up");
            if let Some(price) = price {
                log.record(now, price);
            }
            log.record(now, request);
        }
        if let Some(price) = price {
            self.engine.price(price);
        }
        self.engine.order(now, request, &mut sink);
        sink.decided
    }

    /// The router takes the order, the venue accepts it and ends the oldest of a thousand.
    pub fn answer(&mut self, (order_id, deny_reason): (OrderId, u16)) {
        if deny_reason != 0 {
            self.denied.push(deny_reason);
            return;
        }
        assert!(self.router.1.peek().is_some(), "an approved order is in the ring");
        self.router.1.release();
        self.engine.prepare();
        let number = self.count * 2;
        self.execution(order_id, ExecType::New, OrdStatus::New, number);
        self.open.push_back(order_id);
        if self.open.len() > OPEN {
            let oldest = self.open.pop_front().expect("a thousand");
            self.execution(oldest, ExecType::Canceled, OrdStatus::Canceled, number + 1);
        }
        if let Some((_, agent)) = &mut self.log {
            agent.poll(Nanos(self.count * PACE_NS)).expect("runs");
        }
    }

    fn execution(
        &mut self,
        order_id: OrderId,
        exec_type: ExecType,
        ord_status: OrdStatus,
        number: u64,
    ) {
        let execution = VenueExecution {
            order_id,
            exec_id: ExecId(number),
            ingress_time: Nanos(0),
            price: None,
            last_px: None,
            order_qty: 0,
            last_qty: 0,
            cum_qty: 0,
            leaves_qty: 0,
            sent_delta: 0,
            ord_rej_reason: 0,
            exec_type,
            ord_status,
        };
        self.apply(&execution.into());
    }
}
