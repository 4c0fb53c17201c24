//! Whether every account of a run agrees with every other: strategy, gateway, exchange, and both books.

use std::collections::{BTreeMap, BTreeSet};

use crate::cmd::demo::outcome::{GatewayOutcome, LevelOutcome, RiskOutcome, count};
use crate::cmd::demo::world::{VENUE_SESSION, World};
use crate::sim::account::{Account, OrderState};
use crate::sim::ledger::{LevelSnapshot, VenueLedger};
use crate::types::{DenyReason, InstrumentId, OrdStatus, Side};

/// How many orders ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct OrderCounts {
    /// New orders sent by the strategy.
    pub sent: u64,
    /// Accepted by the exchange, whatever came of them.
    pub accepted: u64,
    /// Denied by the gateway.
    pub denied: u64,
    /// Rejected by the exchange.
    pub rejected: u64,
    /// Filled.
    pub filled: u64,
    /// Cancelled or expired.
    pub canceled: u64,
    /// Open at the end.
    pub open: u64,
}

/// The accounts of a run, and where they do not agree.
#[derive(Debug)]
pub(super) struct Balance {
    pub orders: OrderCounts,
    /// Denials by reason.
    pub denied_by_reason: BTreeMap<&'static str, u64>,
    /// Trades told to the strategy.
    pub fills: u64,
    /// Heap operations in hot duty cycles of the gateway.
    pub hot_path_allocations: u64,
    /// Whether the gateway got any packet of market data.
    pub has_market_data: bool,
    /// Everything that does not agree, in sentences.
    pub faults: Vec<String>,
}

impl Balance {
    /// Compares everything with everything.
    pub fn of(world: &World, gateway: &GatewayOutcome) -> Result<Balance, String> {
        let account = world.account.get().ok_or("the strategy left no account")?;
        let ledger = world.ledger.get().ok_or("the exchange left no ledger")?;
        let mut balance = Balance {
            orders: OrderCounts::default(),
            denied_by_reason: BTreeMap::new(),
            fills: count(account.fills().len()),
            hot_path_allocations: gateway.hot_path_allocations,
            has_market_data: gateway.counter("feed_packet_count") > 0,
            faults: Vec::new(),
        };
        balance.count(account);
        balance.orders_agree(account, ledger);
        balance.fills_agree(account, ledger);
        match &gateway.risk {
            Some(risk) => balance.risk_agrees(account, risk),
            None => balance.faults.push("risk left no positions".into()),
        }
        if balance.has_market_data {
            balance.books_agree(world, ledger, gateway);
        } else {
            let fault = "no market data arrived: the gateway got none of the exchange's packets, so no order was sent";
            balance.faults.push(fault.into());
        }
        balance.gateway_agrees(gateway);
        Ok(balance)
    }

    /// Whether nothing disagrees.
    pub fn is_balanced(&self) -> bool {
        self.faults.is_empty()
    }

    fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// Every order in exactly one state.
    fn count(&mut self, account: &Account) {
        let counts = &mut self.orders;
        let mut unanswered = 0_u64;
        for line in account.lines() {
            counts.sent += 1;
            match line.state {
                OrderState::Sent => unanswered += 1,
                OrderState::Denied(code) => {
                    counts.denied += 1;
                    let name = DenyReason::from_code(code).map_or("unknown", DenyReason::name);
                    *self.denied_by_reason.entry(name).or_insert(0) += 1;
                    continue;
                }
                OrderState::Rejected(_) => {
                    counts.rejected += 1;
                    continue;
                }
                OrderState::Filled => counts.filled += 1,
                OrderState::Canceled => counts.canceled += 1,
                OrderState::Open => counts.open += 1,
            }
            counts.accepted += 1;
        }
        counts.accepted -= unanswered;
        let OrderCounts { sent, denied, rejected, filled, canceled, open, .. } = *counts;
        let sum = denied + rejected + filled + canceled + open;
        self.expect(unanswered == 0, || format!("{unanswered} orders were never answered"));
        self.expect(sum + unanswered == sent, || {
            format!("{sent} orders were sent, but their ends add up to {sum}")
        });
        let anomalies = account.anomaly_count;
        self.expect(anomalies == 0, || {
            format!("the strategy was told {anomalies} things that did not fit its orders")
        });
    }

    /// Each order ended the same way at the strategy and at the exchange.
    fn orders_agree(&mut self, account: &Account, ledger: &VenueLedger) {
        let mut venue: BTreeMap<u64, _> = ledger
            .orders
            .iter()
            .filter(|order| order.session == VENUE_SESSION)
            .map(|order| (order.cl_ord_id.0, order))
            .collect();
        let mut different = 0_u64;
        for line in account.lines() {
            let Some(order) = venue.remove(&line.order_id.0) else {
                different += u64::from(!matches!(line.state, OrderState::Denied(_)));
                continue;
            };
            let same = match line.state {
                OrderState::Filled => order.status == OrdStatus::Filled,
                OrderState::Canceled => {
                    matches!(order.status, OrdStatus::Canceled | OrdStatus::Expired)
                }
                OrderState::Rejected(_) => order.status == OrdStatus::Rejected,
                OrderState::Open => !order.status.is_final(),
                OrderState::Sent | OrderState::Denied(_) => false,
            };
            different += u64::from(!same || order.cum_qty != line.cum_qty);
        }
        let unknown = venue.len();
        self.expect(different == 0, || {
            format!("{different} orders ended differently at the strategy and at the exchange")
        });
        self.expect(unknown == 0, || {
            format!("the exchange has {unknown} orders that the strategy never sent")
        });
    }

    /// Every fill on both sides, with the same price and quantity.
    fn fills_agree(&mut self, account: &Account, ledger: &VenueLedger) {
        let own: BTreeSet<_> =
            account.fills().iter().map(|f| (f.order_id.0, f.price, f.qty, f.exec_id)).collect();
        self.expect(own.len() == account.fills().len(), || {
            "the strategy was told of a fill twice".into()
        });
        let mut told: BTreeMap<(u64, _, u32), u64> = BTreeMap::new();
        for fill in account.fills() {
            *told.entry((fill.order_id.0, fill.price, fill.qty)).or_insert(0) += 1;
        }
        for fill in &ledger.fills {
            for party in [fill.resting, fill.aggressor] {
                if party.session == Some(VENUE_SESSION) {
                    let key = (party.cl_ord_id.0, fill.price, fill.qty);
                    match told.get_mut(&key) {
                        Some(count) if *count > 0 => *count -= 1,
                        Some(_) | None => {
                            self.faults.push(format!(
                                "the strategy was not told of a fill: {} at {}, match {}",
                                fill.qty, fill.price, fill.match_number
                            ));
                        }
                    }
                }
            }
        }
        let more: u64 = told.values().sum();
        self.expect(more == 0, || format!("the strategy was told of {more} fills that never were"));
        let unrecorded = ledger.fills_unrecorded_count;
        self.expect(unrecorded == 0, || {
            format!("the exchange had no room to record {unrecorded} fills")
        });
    }

    /// Risk's positions are the sums of the fills, and its orders those of the strategy.
    fn risk_agrees(&mut self, account: &Account, risk: &RiskOutcome) {
        let mut sums: BTreeMap<InstrumentId, i64> = BTreeMap::new();
        let orders: BTreeMap<_, _> = account.lines().iter().map(|l| (l.order_id, l)).collect();
        for fill in account.fills() {
            let Some(line) = orders.get(&fill.order_id) else { continue };
            let signed = match line.side {
                Side::Buy => i64::from(fill.qty),
                Side::Sell => -i64::from(fill.qty),
            };
            *sums.entry(line.instrument).or_insert(0) += signed;
        }
        for position in &risk.positions {
            let sum = sums.remove(&InstrumentId(position.instrument)).unwrap_or(0);
            self.expect(position.net == sum, || {
                format!(
                    "instrument {}: risk holds {}, the fills sum to {sum}",
                    position.instrument, position.net
                )
            });
            self.expect(position.open_buys == 0 && position.open_sells == 0, || {
                format!("instrument {}: exposure is still reserved", position.instrument)
            });
        }
        self.expect(sums.values().all(|&sum| sum == 0), || {
            "the strategy holds a position that risk does not know".into()
        });
        let approved = risk.orders_approved;
        let passed = self.orders.sent - self.orders.denied;
        self.expect(approved == passed, || {
            format!("risk approved {approved} orders, but {passed} were not denied")
        });
        let open = risk.open_order_count;
        self.expect(open == 0, || format!("risk still holds {open} open orders"));
    }

    /// The gateway's book of each instrument equals the exchange's, level by level, also where both lines lost a packet.
    fn books_agree(&mut self, world: &World, ledger: &VenueLedger, gateway: &GatewayOutcome) {
        let Some(books) = &gateway.books else {
            self.faults.push("the feed left no books".into());
            return;
        };
        let gaps = books.gaps;
        self.expect(gaps == 0 || world.is_bad(), || format!("{gaps} gaps in the market data"));
        for instrument in world.instruments() {
            let own = books.books.get(&instrument.symbol.to_string());
            let venue =
                ledger.books.iter().find(|book| book.instrument.symbol == instrument.symbol);
            let (Some(own), Some(venue)) = (own, venue) else {
                self.faults.push(format!("{}: a book is missing", instrument.symbol));
                continue;
            };
            let same = same_side(&own.bids, &venue.bids) && same_side(&own.asks, &venue.asks);
            self.expect(same && !own.is_stale, || {
                format!("{}: the gateway's book is not the exchange's", instrument.symbol)
            });
        }
        let same = books.digest == ledger.digest();
        self.expect(same, || "the digests of the books differ".into());
    }

    /// Nothing happened in the gateway that must not happen.
    fn gateway_agrees(&mut self, gateway: &GatewayOutcome) {
        for name in [
            "router_anomaly_count",
            "router_unknown_order_count",
            "router_lost_report_count",
            "entry_decode_error_count",
        ] {
            let count = gateway.counter(name);
            self.expect(count == 0, || format!("{name} is {count}"));
        }
        self.expect(gateway.is_drained, || "orders could not be cancelled in time".into());
    }
}

/// Whether one side of a book has the same levels at the gateway and at the exchange.
fn same_side(own: &[LevelOutcome], venue: &[LevelSnapshot]) -> bool {
    own.len() == venue.len()
        && own.iter().zip(venue).all(|(a, b)| {
            (a.price_units, a.shares, a.orders) == (b.price.units(), b.qty, count(b.orders.len()))
        })
}
