//! Orders through entry, risk and router in one thread, without the network: from SBE bytes of a strategy to SBE bytes for
//! the venue, and two executions of each back to the strategy.
//!
//! `cargo bench --bench gateway`, `-- --quick` for a short form; `cargo test --benches` runs a few hundred orders. Interleaved
//! in one run: the floor, which copies the same bytes through the same streams and rings' worth of hops without a gateway.
//! Agents, sessions and journal are the real ones; the venue only acknowledges and fills, and neither it nor the strategy is
//! timed. `burst`: so many orders are there at once, as under load; 1 is an order alone.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

#[path = "../tests/gateway_support/mod.rs"]
mod gateway_support;
mod support;

use gateway_support::bench_line::{BenchLine, Copier, Stage};
use postern::runtime::Clock;
use support::{machine, table};

/// How much is run.
struct Scale {
    orders: usize,
    rounds: usize,
}

impl Scale {
    fn from_arguments() -> Scale {
        let given = |name: &str| std::env::args().any(|argument| argument == name);
        if !given("--bench") {
            return Scale { orders: 512, rounds: 2 };
        }
        if given("--quick") {
            return Scale { orders: 20_000, rounds: 5 };
        }
        Scale { orders: 50_000, rounds: 15 }
    }
}

/// Nanoseconds of each order of a round, by stage.
type Timed = [f64; 3];

fn main() {
    let scale = Scale::from_arguments();
    machine::pin(1);
    let clock = Clock::start();
    println!("gateway: {}", machine::describe());
    println!("{} orders a round, {} rounds, journal on disk", scale.orders, scale.rounds);
    let mut rows = Vec::new();
    for burst in [1, 4, 16] {
        rows.push(throughput(&scale, clock, burst));
    }
    table::print(
        &[
            "burst",
            "ns/order p50",
            "p90",
            "orders/s",
            "entry",
            "risk",
            "router",
            "floor",
            "x floor",
        ],
        &rows,
    );
    latency(&scale, clock);
}

fn throughput(scale: &Scale, clock: Clock, burst: usize) -> Vec<String> {
    let (mut whole, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut stages: [Vec<f64>; 3] = Default::default();
    let mut copier = Copier::new();
    for _ in 0..scale.rounds {
        let directory = tempfile::tempdir().expect("a directory");
        let mut line = BenchLine::new(directory.path(), clock);
        line.warm(scale.orders / 10);
        let floor = copier.run(clock, scale.orders, burst);
        let ns = line.run(scale.orders, burst, None) as f64 / scale.orders as f64;
        let timed: Timed = Stage::ALL
            .map(|stage| line.run(scale.orders, burst, Some(stage)) as f64 / scale.orders as f64);
        assert!(line.is_whole(), "every order was sent and filled");
        whole.push(ns);
        floors.push(floor);
        ratios.push(ns / floor);
        for (of, ns) in stages.iter_mut().zip(timed) {
            of.push(ns);
        }
    }
    let ns = table::median(&whole);
    let mut row = vec![
        burst.to_string(),
        table::number(ns, 1),
        table::number(table::quantile(&whole, 0.9), 1),
        table::number(1e9 / ns, 0),
    ];
    row.extend(stages.iter().map(|of| table::number(table::median(of), 1)));
    row.push(table::number(table::median(&floors), 1));
    row.push(table::number(table::median(&ratios), 1));
    row
}

/// The hop `gateway` of the agents' own histograms: an order alone, from its first byte read to its bytes claimed.
fn latency(scale: &Scale, clock: Clock) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut line = BenchLine::new(directory.path(), clock);
    line.warm(scale.orders / 10);
    let before = line.world.registry.snapshot();
    line.run(scale.orders, 1, None);
    let after = line.world.registry.snapshot().since(&before);
    let mut rows = Vec::new();
    for name in
        ["gateway", "hop_entry", "hop_entry_risk", "hop_risk", "hop_risk_router", "hop_router"]
    {
        let Some(histogram) = after.histogram(name) else { continue };
        let at = |share: f64| histogram.value_at_quantile(share).to_string();
        rows.push(vec![name.to_owned(), at(0.5), at(0.99), at(0.999), histogram.max().to_string()]);
    }
    table::print(&["one order alone, ns", "p50", "p99", "p99.9", "max"], &rows);
    println!("hash of the work {:016x}", line.hash());
}
