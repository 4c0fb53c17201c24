//! What a decision of risk costs: applied alone, and with its records in a real journal.
//!
//! `cargo bench --bench risk`, `-- --quick` for a short form; `cargo test --benches` runs a few hundred. Single decisions are
//! timed by two looks at the clock, whose own cost is printed beside them and not taken off; throughput is over whole
//! rounds. Orders are limit orders that pass every check, each accepted and cancelled by the venue in turn, so that the order table is
//! worked as in a session.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

#[path = "../tests/risk_support/mod.rs"]
mod risk_support;

use std::hint::black_box;

use hdrhistogram::Histogram;
use postern::codec::Message;
use postern::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, Decision, Journal,
    KillNotice, MassCancelReport, OrderReport, OrderRequest, VenueExecution,
};
use postern::gate::{DecisionLog, Room};
use postern::journal::{JournalAgent, JournalConfig, JournalWriter, open};
use postern::risk::{Effects, Engine, RiskConfig};
use postern::runtime::{Agent, Clock};
use postern::telemetry::Registry;
use postern::types::{
    AccountId, ClOrdId, ExecId, ExecType, InstrumentId, Nanos, OrdStatus, OrdType, OrderId,
    SessionId, Side, TimeInForce, UtcNanos,
};
use risk_support::{cents, opening};

/// Nanoseconds between two orders, as risk sees time: no throttle is met.
const PACE_NS: u64 = 10_000;

fn config() -> RiskConfig {
    let mut config = risk_support::config();
    config.open_orders_max = 4_096;
    config.feed_stale_ns = u64::MAX;
    for session in &mut config.sessions {
        session.open_orders_max = 4_096;
    }
    for account in &mut config.accounts {
        for (_, limits) in &mut account.instruments {
            (limits.long_max, limits.short_max) = (Some(i64::MAX), Some(i64::MAX));
        }
    }
    config
}

/// Takes decisions into a log, if there is one, and keeps what the venue needs to know.
struct Sink<'a> {
    log: Option<&'a mut JournalWriter>,
    now: Nanos,
    approved: OrderId,
    denied: u64,
}

impl Effects for Sink<'_> {
    fn decided(&mut self, decision: Decision) {
        (self.approved, self.denied) =
            (decision.order_id, self.denied + u64::from(decision.deny_reason != 0));
        if let Some(log) = &mut self.log {
            log.record(self.now, &decision);
        }
    }
    fn approve_order(&mut self, order: ApprovedOrder) {
        black_box(order);
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

struct Bench {
    engine: Engine,
    log: Option<(JournalWriter, JournalAgent)>,
    count: u64,
    open: std::collections::VecDeque<OrderId>,
    denied: u64,
}

impl Bench {
    fn new(log: Option<(JournalWriter, JournalAgent)>) -> Bench {
        let engine = Engine::new(&config()).expect("valid");
        let mut bench =
            Bench { engine, log, count: 0, open: std::collections::VecDeque::new(), denied: 0 };
        for input in opening() {
            bench.apply(&input);
        }
        bench
    }

    fn apply(&mut self, input: &Journal) -> OrderId {
        let now = Nanos(self.count * PACE_NS);
        let log = self.log.as_mut().map(|(writer, _)| writer);
        let mut sink = Sink { log, now, approved: OrderId(0), denied: 0 };
        if let Some(log) = &mut sink.log {
            assert!(log.has_room(4, Room::Ordinary), "the agent keeps up");
            let mut bytes = [0; 120];
            let length = input.encode(&mut bytes);
            log.append(now, &bytes[..length]);
        }
        self.engine.apply(now, input, &mut sink);
        self.denied += sink.denied;
        sink.approved
    }

    fn order(&mut self) -> Journal {
        self.count += 1;
        let number = self.count as u32;
        OrderRequest {
            cl_ord_id: ClOrdId(self.count),
            ingress_time: Nanos(0),
            price: Some(cents(9_950 + i64::from(number % 53))),
            session_id: SessionId(1),
            order_qty: 20 + 10 * (number % 61),
            security_id: InstrumentId(1 + number % 2),
            account: AccountId(1),
            sent_delta: 0,
            side: if number.is_multiple_of(3) { Side::Buy } else { Side::Sell },
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        }
        .into()
    }

    /// The venue accepts this order and ends the one before the last thousand.
    fn venue(&mut self, id: OrderId) {
        let execution = |order_id, exec_type, ord_status, number| VenueExecution {
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
        let number = self.count * 2;
        self.apply(&execution(id, ExecType::New, OrdStatus::New, number).into());
        self.open.push_back(id);
        if self.open.len() > 1_000 {
            let oldest = self.open.pop_front().expect("a thousand");
            let gone = execution(oldest, ExecType::Canceled, OrdStatus::Canceled, number + 1);
            self.apply(&gone.into());
        }
        if let Some((_, agent)) = &mut self.log {
            agent.poll(Nanos(self.count * PACE_NS)).expect("runs");
        }
    }
}

/// One decision at a time, timed each.
fn latency(clock: Clock, bench: &mut Bench, orders: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits");
    for _ in 0..orders {
        let order = bench.order();
        let begun = clock.now();
        let id = bench.apply(&order);
        let ended = clock.now();
        histogram.saturating_record(ended.since(begun));
        bench.venue(id);
    }
    histogram
}

/// Orders and all their executions, per second.
fn throughput(clock: Clock, bench: &mut Bench, orders: u64) -> f64 {
    let begun = clock.now();
    for _ in 0..orders {
        let order = bench.order();
        let id = bench.apply(&order);
        bench.venue(id);
    }
    orders as f64 * 1e9 / clock.now().since(begun).max(1) as f64
}

fn journal(directory: &std::path::Path) -> (JournalWriter, JournalAgent) {
    let config = JournalConfig::new(directory.to_path_buf(), [0; 32]);
    open(&config, Nanos(0), UtcNanos(0), &Registry::new()).expect("opens")
}

fn clock_cost(clock: Clock, looks: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits");
    for _ in 0..looks {
        let begun = clock.now();
        histogram.saturating_record(clock.now().since(begun));
    }
    histogram
}

fn row(name: &str, histogram: &Histogram<u64>) {
    let quantile = |q| histogram.value_at_quantile(q);
    println!(
        "{name:<28} {:>7} {:>7} {:>7} {:>7} {:>9}",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        histogram.max()
    );
}

fn main() {
    let given = |name: &str| std::env::args().any(|argument| argument == name);
    let orders = match (given("--bench"), given("--quick")) {
        (false, _) => 500,
        (true, true) => 200_000,
        (true, false) => 2_000_000,
    };
    let clock = Clock::start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut alone = Bench::new(None);
    let mut recorded = Bench::new(Some(journal(directory.path())));
    println!("{:<28} {:>7} {:>7} {:>7} {:>7} {:>9}", "ns", "p50", "p90", "p99", "p99.9", "max");
    row("two looks at the clock", &clock_cost(clock, orders));
    row("decision", &latency(clock, &mut alone, orders));
    row("decision, recorded", &latency(clock, &mut recorded, orders));
    let rates = [throughput(clock, &mut alone, orders), throughput(clock, &mut recorded, orders)];
    println!("orders with their executions a second: {:.0}, recorded {:.0}", rates[0], rates[1]);
    assert_eq!((alone.denied, recorded.denied), (0, 0), "every order is one that passes");
    assert_eq!(alone.engine.digest(), recorded.engine.digest(), "both did the same work");
    println!("state {:016x}, {} bytes a request", alone.engine.digest(), OrderRequest::BYTES);
}
