//! What a decision of risk costs, from the request to the order in the router's ring: alone, and with its records in a real
//! journal.
//!
//! `cargo bench --bench risk`, `-- --quick` for a short form; `cargo test --benches` runs a few hundred. Single decisions are
//! timed by two looks at the clock, whose own cost is printed beside them and not taken off; throughput is over whole
//! rounds. Orders are limit orders that pass every check, each accepted and cancelled by the venue in turn, so that the order table is
//! worked as in a session.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

#[path = "support/desk.rs"]
mod desk;
#[path = "../tests/risk_support/mod.rs"]
mod risk_support;

use std::path::Path;

use hdrhistogram::Histogram;
use postern::codec::Message;
use postern::codec::journal::OrderRequest;
use postern::risk::RiskConfig;
use postern::runtime::Clock;
use postern::types::{
    AccountId, ClOrdId, InstrumentId, Nanos, OrdType, SessionId, Side, TimeInForce,
};

use desk::Desk;
use risk_support::{cents, opening};

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

fn desk(directory: Option<&Path>) -> Desk {
    let mut desk = Desk::new(&config(), directory);
    for input in opening() {
        desk.apply(&input);
    }
    desk
}

/// One after so many.
fn order(count: u64) -> OrderRequest {
    let count = count + 1;
    let number = count as u32;
    OrderRequest {
        cl_ord_id: ClOrdId(count),
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
}

/// One decision at a time, timed each.
fn latency(clock: Clock, desk: &mut Desk, orders: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits");
    for _ in 0..orders {
        let order = order(desk.count);
        let begun = clock.now();
        let decision = desk.order(None, &order);
        let ended = clock.now();
        histogram.saturating_record(ended.since(begun));
        desk.answer(decision);
    }
    histogram
}

/// Orders and all their executions, per second.
fn throughput(clock: Clock, desk: &mut Desk, orders: u64) -> f64 {
    let begun = clock.now();
    for _ in 0..orders {
        let decision = desk.order(None, &order(desk.count));
        desk.answer(decision);
    }
    orders as f64 * 1e9 / clock.now().since(begun).max(1) as f64
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
    let (mut alone, mut recorded) = (desk(None), desk(Some(directory.path())));
    println!("{:<28} {:>7} {:>7} {:>7} {:>7} {:>9}", "ns", "p50", "p90", "p99", "p99.9", "max");
    row("two looks at the clock", &clock_cost(clock, orders));
    row("decision", &latency(clock, &mut alone, orders));
    row("decision, recorded", &latency(clock, &mut recorded, orders));
    let rates = [throughput(clock, &mut alone, orders), throughput(clock, &mut recorded, orders)];
    println!("orders with their executions a second: {:.0}, recorded {:.0}", rates[0], rates[1]);
    assert_eq!((alone.denied.len(), recorded.denied.len()), (0, 0), "every order passes");
    assert_eq!(alone.engine.digest(), recorded.engine.digest(), "both did the same work");
    println!("state {:016x}, {} bytes a request", alone.engine.digest(), OrderRequest::BYTES);
}
