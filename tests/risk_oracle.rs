//! A second, naive account of what is reserved and decided, held against the engine over long random runs.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not named is all the same to a test")]
#![allow(unsafe_code, reason = "an allocator that counts")]

mod risk_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;

use postern::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, Decision, Journal,
    KillNotice, MassCancelReport, OrderReport, OrderRequest, ReplaceRequest, VenueExecution,
};
use postern::risk::{Effects, Engine};
use postern::types::{
    CancelRejectTo, DenyReason, ExecType, Nanos, OrdStatus, OrderId, RequestKind, Side,
};
use risk_support::{Script, cents, config, opening};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what this thread asks for.
struct Counting;

// SAFETY: every call goes to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The last decision, and nothing that allocates.
#[derive(Default)]
struct Last {
    decision: Option<Decision>,
    sweep: Vec<OrderId>,
}

impl Effects for Last {
    fn decided(&mut self, decision: Decision) {
        self.decision = Some(decision);
    }
    fn approve_order(&mut self, _: ApprovedOrder) {}
    fn approve_cancel(&mut self, cancel: ApprovedCancel) {
        self.sweep.push(cancel.order_id);
    }
    fn approve_replace(&mut self, _: ApprovedReplace) {}
    fn report(&mut self, _: OrderReport) {}
    fn cancel_reject(&mut self, _: CancelRejectReport) {}
    fn mass_cancel_report(&mut self, _: MassCancelReport) {}
    fn kill_notice(&mut self, _: KillNotice) {}
}

/// An order as the naive account keeps it.
#[derive(Clone, Copy, Debug)]
struct Naive {
    key: (u32, u32),
    side: Side,
    qty: u32,
    cum: u32,
    replace: Option<u32>,
    is_open: bool,
    is_new: bool,
    last_exec: u64,
}

impl Naive {
    fn reserved(&self) -> u64 {
        let charged = self.qty.max(self.replace.unwrap_or(0));
        if self.is_open { u64::from(charged.saturating_sub(self.cum)) } else { 0 }
    }
}

/// Orders in a map, positions as sums over all of them, nothing kept up incrementally.
#[derive(Default)]
struct Oracle {
    orders: BTreeMap<u64, Naive>,
    net: BTreeMap<(u32, u32), i64>,
}

impl Oracle {
    fn open(&self, key: (u32, u32), side: Side) -> u64 {
        self.orders.values().filter(|o| o.key == key && o.side == side).map(Naive::reserved).sum()
    }

    /// What must deny an order by its numbers alone, whatever else is wrong; and what an approved one must satisfy.
    fn check(&self, request: &OrderRequest, decision: &Decision) {
        let key = (request.account.0, request.security_id.0);
        let open = i64::try_from(self.open(key, request.side)).expect("it fits");
        let net = self.net.get(&key).copied().unwrap_or(0);
        let qty = i64::from(request.order_qty);
        let (worst, limit) = match request.side {
            Side::Buy => (net + open + qty, 5_000),
            Side::Sell => (open + qty - net, 4_000),
        };
        let above = matches!(
            DenyReason::from_code(decision.deny_reason),
            Some(DenyReason::LongAboveLimit | DenyReason::ShortAboveLimit)
        );
        if decision.deny_reason == 0 {
            assert!(worst <= limit, "approved {request:?} makes {worst}");
            assert!(
                request.order_qty.is_multiple_of(10) && (20..=1_000).contains(&request.order_qty)
            );
            if let Some(price) = request.price {
                let worth = i128::from(price.units()) * i128::from(request.order_qty);
                assert!(worth <= i128::from(cents(10_000).units()) * 900);
            }
        } else if above {
            assert!(worst > limit, "denied {request:?} makes {worst}");
            assert_eq!((decision.value, decision.limit_value), (Some(worst), Some(limit)));
        }
    }

    fn order(&mut self, request: &OrderRequest, id: OrderId) {
        let order = Naive {
            key: (request.account.0, request.security_id.0),
            side: request.side,
            qty: request.order_qty,
            cum: 0,
            replace: None,
            is_open: true,
            is_new: true,
            last_exec: 0,
        };
        assert!(self.orders.insert(id.0, order).is_none(), "{id} was given twice");
    }

    fn replace(&mut self, request: &ReplaceRequest, id: OrderId) {
        let order = self.orders.get_mut(&id.0).expect("approved before");
        assert!(order.is_open && order.replace.is_none() && request.order_qty > order.cum);
        order.replace = Some(request.order_qty);
    }

    fn execution(&mut self, e: &VenueExecution) {
        let Some(order) = self.orders.get_mut(&e.order_id.0) else { return };
        if e.exec_id.0 != 0 && e.exec_id.0 == order.last_exec {
            return;
        }
        order.last_exec = e.exec_id.0;
        if e.exec_type == ExecType::Replaced && order.is_open {
            order.qty =
                if e.order_qty != 0 { e.order_qty } else { order.replace.unwrap_or(order.qty) };
            order.replace = None;
        }
        let matters =
            e.exec_type != ExecType::New && (e.exec_type != ExecType::Replaced || order.is_open);
        if e.cum_qty > order.cum && matters {
            let traded = i64::from(e.cum_qty - order.cum);
            let net = self.net.entry(order.key).or_default();
            *net += if order.side == Side::Buy { traded } else { -traded };
            order.cum = e.cum_qty;
            order.is_new = false;
            order.is_open &= !(e.exec_type == ExecType::Trade
                && (e.ord_status.is_final() || (e.leaves_qty == 0 && order.cum >= order.qty)));
        }
        order.is_new &= !matches!(e.exec_type, ExecType::New | ExecType::Replaced);
        let ends =
            matches!(e.exec_type, ExecType::Canceled | ExecType::Expired | ExecType::Rejected);
        order.is_open &= !(ends || e.exec_type == ExecType::Replaced && e.ord_status.is_final());
    }

    fn apply(&mut self, input: &Journal, decision: Option<Decision>) {
        match (input, decision) {
            (Journal::OrderRequest(request), Some(decision)) => {
                self.check(request, &decision);
                if decision.deny_reason == 0 {
                    self.order(request, decision.order_id);
                }
            }
            (Journal::ReplaceRequest(request), Some(decision)) if decision.deny_reason == 0 => {
                self.replace(request, decision.order_id);
            }
            (Journal::VenueExecution(execution), _) => self.execution(execution),
            (Journal::VenueCancelReject(reject), _)
                if reject.cxl_rej_response_to == CancelRejectTo::Replace =>
            {
                if let Some(order) = self.orders.get_mut(&reject.order_id.0) {
                    order.replace = None;
                }
            }
            (Journal::VenueCancelReject(reject), _) if reject.ord_status == OrdStatus::Rejected => {
                if let Some(order) = self.orders.get_mut(&reject.order_id.0) {
                    order.is_open = false;
                }
            }
            (Journal::RouterRefusal(refusal), _) => {
                if let Some(order) = self.orders.get_mut(&refusal.order_id.0) {
                    match refusal.decision_kind {
                        RequestKind::New if order.is_new => order.is_open = false,
                        RequestKind::Replace => order.replace = None,
                        RequestKind::New | RequestKind::Cancel => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// The engine did not know the order of `input` any more: it must be one that was closed.
    fn forgotten(&self, input: &Journal) {
        let id = match input {
            Journal::VenueExecution(execution) => execution.order_id,
            Journal::VenueCancelReject(reject) => reject.order_id,
            Journal::RouterRefusal(refusal) => refusal.order_id,
            _ => panic!("{input:?} is of no order"),
        };
        let order = self.orders.get(&id.0);
        assert!(order.is_none_or(|order| !order.is_open), "{id} is open and was forgotten");
    }

    fn compare(&self, engine: &Engine, step: u64) {
        for position in engine.positions() {
            let key = (position.account.0, position.instrument.0);
            let net = self.net.get(&key).copied().unwrap_or(0);
            let open = (self.open(key, Side::Buy), self.open(key, Side::Sell));
            assert_eq!(
                (position.net, position.open_buys, position.open_sells),
                (net, open.0, open.1),
                "step {step}, {key:?}"
            );
            let traded = i64::try_from(position.bought).expect("it fits")
                - i64::try_from(position.sold).expect("it fits");
            assert_eq!(position.net, traded);
        }
        let open = self.orders.values().filter(|order| order.is_open).count();
        assert_eq!(engine.open_order_count(), open, "step {step}");
    }
}

#[test]
fn the_engine_agrees_with_a_naive_account_over_200_000_inputs() {
    for seed in 0..4u64 {
        let mut engine = Engine::new(&config()).expect("valid");
        let mut oracle = Oracle::default();
        let mut script = Script::new(seed);
        let mut out = Last::default();
        for input in opening() {
            engine.apply(Nanos(0), &input, &mut out);
        }
        let mut approved = 0u64;
        for step in 0..50_000u64 {
            let input = script.next();
            let now = Nanos(step * 50_000);
            let unknown = engine.counts().executions_unknown;
            out.decision = None;
            engine.apply(now, &input, &mut out);
            if let Some(decision) = out.decision.filter(|decision| decision.deny_reason == 0) {
                approved += 1;
                script.approved(&input, decision.order_id);
            }
            if engine.counts().executions_unknown == unknown {
                oracle.apply(&input, out.decision);
            } else {
                oracle.forgotten(&input);
            }
            engine.tick(now, &mut out);
            if step % 64 == 0 {
                oracle.compare(&engine, step);
                // Those closed long ago are forgotten by the engine as well.
                let oldest = oracle.orders.len().saturating_sub(3_000);
                oracle.orders = oracle
                    .orders
                    .split_off(&oracle.orders.keys().nth(oldest).copied().unwrap_or(0));
            }
        }
        oracle.compare(&engine, u64::MAX);
        assert!(approved > 2_000, "seed {seed}: only {approved} approved");
        let denied = DenyReason::ALL
            .iter()
            .filter(|&&reason| engine.counts().denied_for(reason) > 0)
            .count();
        assert!(denied >= 20, "seed {seed}: only {denied} reasons were met");
    }
}

#[test]
fn applying_never_allocates() {
    let mut engine = Engine::new(&config()).expect("valid");
    let mut script = Script::new(99);
    let mut out = Last { decision: None, sweep: Vec::with_capacity(1 << 16) };
    for input in opening() {
        engine.apply(Nanos(0), &input, &mut out);
    }
    for step in 0..50_000u64 {
        let input = script.next();
        let now = Nanos(step * 50_000);
        out.decision = None;
        out.sweep.clear();
        let before = ALLOCATIONS.with(Cell::get);
        engine.apply(now, &input, &mut out);
        engine.tick(now, &mut out);
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{input:?} allocated");
        if let Some(decision) = out.decision.filter(|decision| decision.deny_reason == 0) {
            script.approved(&input, decision.order_id);
        }
    }
}

#[test]
fn random_bytes_of_every_field_never_panic() {
    let mut engine = Engine::new(&config()).expect("valid");
    let mut random = risk_support::Random::new(5);
    let mut script = Script::new(6);
    let mut out = Last::default();
    for input in opening() {
        engine.apply(Nanos(0), &input, &mut out);
    }
    let mut taken = 0;
    for _ in 0..200_000 {
        let mut bytes = [0; 128];
        let length = script.next().encode(&mut bytes);
        for _ in 0..random.below(4) {
            let at = 8 + usize::try_from(random.below(u64::try_from(length - 8).expect("it fits")))
                .expect("it fits");
            bytes[at] = random.next().to_le_bytes()[0];
        }
        if let Ok(input) = Journal::decode(&bytes[..length]) {
            taken += 1;
            engine.apply(Nanos(random.next()), &input, &mut out);
            engine.tick(Nanos(random.next()), &mut out);
        }
    }
    assert!(taken > 100_000);
    // It still works: an execution of an unknown order is counted, a market can open again.
    for input in opening() {
        engine.apply(Nanos(0), &input, &mut out);
    }
    assert!(engine.is_venue_up(postern::types::VenueId(1)));
}
