//! What a gateway's run came to, as plain numbers that fit into a file: it may have run in a process of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::feed;
use crate::risk::RiskSummary;
use crate::telemetry::Snapshot;
use crate::topology::Outcome;

/// Agents whose duty cycles are the hot path.
const HOT_AGENTS: [&str; 8] =
    ["entry", "risk", "router", "feed", "aeron", "aeron_driver", "aeron_router", "aeron_feed"];

/// Everything of the gateway that is held against strategy and exchange, but for the histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GatewayOutcome {
    /// What risk left; `None` where it did not close.
    pub risk: Option<RiskOutcome>,
    /// What the feed left; `None` where it did not close.
    pub books: Option<BooksOutcome>,
    /// Heap operations in hot duty cycles.
    pub hot_path_allocations: u64,
    /// Whether every order was over when the gateway ended.
    pub is_drained: bool,
    /// Every counter that is not 0, by its name.
    pub counters: BTreeMap<String, u64>,
}

/// What risk came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RiskOutcome {
    pub orders_approved: u64,
    pub open_order_count: u64,
    pub positions: Vec<PositionOutcome>,
}

/// What an account has of an instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PositionOutcome {
    pub instrument: u32,
    /// Bought less sold.
    pub net: i64,
    /// Reserved for open orders.
    pub open_buys: u64,
    pub open_sells: u64,
}

/// What the feed came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BooksOutcome {
    /// By symbol.
    pub books: BTreeMap<String, BookOutcome>,
    /// Of all books.
    pub digest: u64,
    /// Gaps in the market data.
    pub gaps: u64,
}

/// One book, best level first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BookOutcome {
    pub is_stale: bool,
    pub bids: Vec<LevelOutcome>,
    pub asks: Vec<LevelOutcome>,
}

/// One price level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LevelOutcome {
    /// In units of 1e-9.
    pub price_units: i64,
    pub shares: u64,
    pub orders: u64,
}

impl GatewayOutcome {
    /// What the gateway's agents left in `outcome`, and what its registry counted.
    pub fn of(outcome: &Outcome, snapshot: &Snapshot, is_drained: bool) -> GatewayOutcome {
        let counted = snapshot.counters.iter().filter(|counter| counter.value > 0);
        let hot = snapshot.agents.iter().filter(|agent| HOT_AGENTS.contains(&agent.name));
        GatewayOutcome {
            risk: outcome.risk.get().map(RiskOutcome::of),
            books: outcome.books.get().map(BooksOutcome::of),
            hot_path_allocations: hot.map(|agent| agent.get("agent_allocation_count")).sum(),
            is_drained,
            counters: counted.map(|c| (c.row.name.to_owned(), c.value)).collect(),
        }
    }

    /// The number of the counter `name`.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}

impl RiskOutcome {
    fn of(summary: &RiskSummary) -> RiskOutcome {
        let positions = summary.positions.iter().map(|position| PositionOutcome {
            instrument: position.instrument.0,
            net: position.net,
            open_buys: position.open_buys,
            open_sells: position.open_sells,
        });
        RiskOutcome {
            orders_approved: summary.counts.orders_approved,
            open_order_count: count(summary.open_order_count),
            positions: positions.collect(),
        }
    }
}

impl BooksOutcome {
    fn of(snapshot: &feed::BooksSnapshot) -> BooksOutcome {
        let books = snapshot.books.iter().map(|book| {
            let levels = |levels: &[feed::LevelSnapshot]| {
                let level = |level: &feed::LevelSnapshot| LevelOutcome {
                    price_units: level.price.units(),
                    shares: level.shares,
                    orders: u64::from(level.orders),
                };
                levels.iter().map(level).collect()
            };
            let (bids, asks) = (levels(&book.bids), levels(&book.asks));
            (book.symbol.to_string(), BookOutcome { is_stale: book.is_stale, bids, asks })
        });
        BooksOutcome {
            books: books.collect(),
            digest: snapshot.digest,
            gaps: snapshot.channels.iter().map(|channel| channel.gaps).sum(),
        }
    }
}

/// A length as a number.
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_comes_through_a_file_as_it_was() {
        let level = LevelOutcome { price_units: i64::MAX, shares: u64::MAX, orders: 3 };
        let book = BookOutcome { is_stale: true, bids: vec![level], asks: vec![level, level] };
        let outcome = GatewayOutcome {
            risk: Some(RiskOutcome {
                orders_approved: 7,
                open_order_count: 1,
                positions: vec![PositionOutcome { instrument: 1, net: -5, ..Default::default() }],
            }),
            books: Some(BooksOutcome {
                books: [("AAPL".to_owned(), book)].into(),
                digest: u64::MAX - 1,
                gaps: 2,
            }),
            hot_path_allocations: 3,
            is_drained: true,
            counters: [("router_order_count".to_owned(), u64::MAX)].into(),
        };
        let text = serde_json::to_string(&outcome).expect("numbers and names");
        let back: GatewayOutcome = serde_json::from_str(&text).expect("what was written");
        assert_eq!(back, outcome);
        assert_eq!(back.counter("router_order_count"), u64::MAX);
        assert_eq!(back.counter("router_report_count"), 0);
    }
}
