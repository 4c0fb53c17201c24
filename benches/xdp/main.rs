//! AF_XDP beside the kernel's network stack, across a lab of network namespaces and veth pairs, in turns in one run.
//!
//! `cargo bench --bench xdp [-- --quick]` as root; without `--bench` (as `cargo test` runs it) it makes few rounds. A host is a thread
//! with a core of its own. Each figure stands beside the kernel's of the same round, and is told as a ratio to it; what is printed is
//! the median over rounds. Where the machine has no lab it says so.
//!
//! - `feed`: a MoldUDP64 packet with an ITCH message by multicast, decoded and put into the book, answered by a datagram; the
//!   same mechanism sends and receives on both hosts.
//! - `feed, receiving`: what the receiving core spends a packet where a thousand wait.
//! - `aeron`: a message there and back.
#![allow(clippy::print_stdout, reason = "the figures are the result")]
#![allow(clippy::float_arithmetic, reason = "ratios for people")]
#![allow(clippy::as_conversions, reason = "ratios for people")]
#![allow(clippy::disallowed_methods, reason = "a benchmark has a clock and threads of its own")]

mod aeron;
#[allow(dead_code, reason = "only its days and books are used here")]
#[path = "../support/feed.rs"]
mod days;
mod feed;
#[path = "../../tests/support/lab.rs"]
mod lab;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../tests/support/xdp_driver.rs"]
mod xdp_driver;

use hdrhistogram::Histogram;
use lab::Lab;
use support::{machine, table};

/// Whose turn it is: nobody's, so that all look after their connections; or the end of the run.
const NOBODY: usize = usize::MAX - 1;
const END: usize = usize::MAX;

/// How much is run.
struct Scale {
    rounds: usize,
    messages: usize,
}

/// A table of round trips. The first way is what the others are measured against.
fn print(title: &str, names: &[&str], ways: &[Vec<Histogram<u64>>]) {
    let mut rows = Vec::new();
    for (name, histograms) in names.iter().zip(ways) {
        let mut row = vec![(*name).to_owned()];
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            let of = |histogram: &Histogram<u64>| histogram.value_at_quantile(quantile) as f64;
            let values: Vec<f64> = histograms.iter().map(of).collect();
            let pairs = histograms.iter().zip(&ways[0]);
            let ratios: Vec<f64> = pairs.map(|(one, floor)| of(one) / of(floor)).collect();
            row.push(table::number(table::median(&values), 0));
            row.push(table::number(table::median(&ratios), 2));
        }
        rows.push(row);
    }
    let head = [title, "p50", "ratio", "p90", "ratio", "p99", "ratio", "p99.9", "ratio"];
    table::print(&head, &rows);
}

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = match (full, quick) {
        (true, false) => Scale { rounds: 40, messages: 4_000 },
        (true, true) => Scale { rounds: 12, messages: 2_000 },
        (false, _) => Scale { rounds: 1, messages: 50 },
    };
    let Some(lab) = Lab::of("bench", &["a=b", "a=b", "a=b"]) else { return };
    println!("{}, {} rounds of {}", machine::describe(), scale.rounds, scale.messages);
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let [here, there] = [&hosts[0], &hosts[1]];
    let feed = feed::run([here, there], scale.rounds, scale.messages);
    print("feed, ns", &feed::WAYS, &feed.round_trips);
    print("feed, receiving, ns a packet", &feed::WAYS, &feed.receiving);
    let aeron = aeron::round_trips([here, there], scale.rounds, scale.messages);
    print("aeron, ns", &aeron::WAYS.map(|way| way.name), &aeron);
}
