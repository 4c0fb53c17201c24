//! What a run of the demo prints: tables for people, one JSON object for programs.
#![allow(clippy::float_arithmetic, reason = "ratios of measured times")]

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cmd::demo::DemoArgs;
use crate::cmd::demo::balance::Balance;
use crate::cmd::output::Output;
use crate::telemetry::{Latency, Snapshot, latency_table};

/// Hops that are shown, in the order in which an order meets them.
const HOPS: [&str; 12] = [
    "round_trip",
    "gateway",
    "hop_entry",
    "hop_entry_risk",
    "hop_risk",
    "hop_risk_router",
    "hop_router",
    "hop_venue",
    "hop_report",
    "hop_feed",
    "round_trip_denied",
    "relay_round_trip",
];

/// Faults that are shown to people.
const FAULTS_SHOWN: usize = 10;

/// Everything that is printed.
#[derive(Debug)]
pub(super) struct Report<'a> {
    balance: &'a Balance,
    layout: &'a str,
    transport: &'static str,
    hlog: &'a Path,
    /// Orders asked for.
    asked: u64,
    latencies: Vec<(&'static str, Latency)>,
    floor: Latency,
    round_trip: Latency,
}

impl<'a> Report<'a> {
    pub fn new(
        balance: &'a Balance,
        snapshot: &Snapshot,
        layout: &'a str,
        args: &'a DemoArgs,
    ) -> Report<'a> {
        let of = |name: &str| snapshot.histogram(name).filter(|h| !h.is_empty()).map(Latency::of);
        Report {
            balance,
            layout,
            transport: args.transport.name(),
            hlog: &args.hlog,
            asked: args.orders,
            latencies: HOPS.iter().filter_map(|&name| Some((name, of(name)?))).collect(),
            floor: of("relay_round_trip").unwrap_or_default(),
            round_trip: of("round_trip").unwrap_or_default(),
        }
    }

    pub fn print(&self, output: Output) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match output {
            Output::Json => writeln!(out, "{}", self.json()),
            Output::Text => self.text(&mut out),
        }
    }

    /// Whether the run ended before all orders were sent.
    fn is_interrupted(&self) -> bool {
        self.balance.orders.sent < self.asked
    }

    fn ratio(&self, of: impl Fn(&Latency) -> u64) -> Option<f64> {
        let floor = of(&self.floor);
        #[allow(clippy::as_conversions, reason = "nanoseconds are far below 2^53")]
        let ratio = of(&self.round_trip) as f64 / floor as f64;
        (floor > 0).then_some((ratio * 1_000.0).round() / 1_000.0)
    }

    fn json(&self) -> Value {
        let latencies: Map<String, Value> = self
            .latencies
            .iter()
            .filter(|(name, _)| *name != "relay_round_trip")
            .map(|(name, latency)| ((*name).to_owned(), json!(latency)))
            .collect();
        json!({
            "orders": self.balance.orders,
            "denied_by_reason": self.balance.denied_by_reason,
            "fills": self.balance.fills,
            "latency_ns": latencies,
            "relay_floor_ns": self.floor,
            "ratio_p50": self.ratio(|l| l.p50),
            "ratio_p99": self.ratio(|l| l.p99),
            "hot_path_allocations": self.balance.hot_path_allocations,
            "layout": self.layout,
            "transport": self.transport,
            "balanced": self.balance.is_balanced(),
            "interrupted": self.is_interrupted(),
            "faults": self.balance.faults,
            "hlog": self.hlog,
        })
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let rows = self.latencies.iter().map(|(name, latency)| (*name, *latency));
        writeln!(out, "{}", latency_table(rows))?;
        let ratio = |ratio: Option<f64>| ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
        writeln!(
            out,
            "\nround trip against the bare relay: p50 {}, p99 {} (layout {})",
            ratio(self.ratio(|l| l.p50)),
            ratio(self.ratio(|l| l.p99)),
            self.layout
        )?;
        let orders = &self.balance.orders;
        writeln!(
            out,
            "orders: {} sent, {} accepted, {} denied, {} rejected, {} filled, {} canceled, {} open; {} fills",
            orders.sent,
            orders.accepted,
            orders.denied,
            orders.rejected,
            orders.filled,
            orders.canceled,
            orders.open,
            self.balance.fills
        )?;
        for (reason, count) in &self.balance.denied_by_reason {
            writeln!(out, "  denied {count:>8}  {reason}")?;
        }
        writeln!(out, "hot-path allocations: {}", self.balance.hot_path_allocations)?;
        writeln!(out, "histograms: {} (postern hist {0})", self.hlog.display())?;
        if self.is_interrupted() && self.balance.has_market_data {
            writeln!(out, "INTERRUPTED: {} of {} orders were sent", orders.sent, self.asked)?;
        }
        if self.balance.is_balanced() {
            return writeln!(
                out,
                "balanced: every order ended once, both sides agree on every fill, positions are the sums of the fills, \
                 and the gateway's book is the exchange's"
            );
        }
        writeln!(out, "NOT BALANCED:")?;
        let faults = &self.balance.faults;
        faults.iter().take(FAULTS_SHOWN).try_for_each(|fault| writeln!(out, "  {fault}"))?;
        match faults.len().checked_sub(FAULTS_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(out, "  and {more} more (--output json has them all)"),
        }
    }
}
