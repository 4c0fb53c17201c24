//! What risk is configured with, and the bounds of everything that grows.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::types::{AccountId, ChannelId, InstrumentId, Price, SessionId, VenueId};

/// Most instruments, accounts or sessions.
pub const TABLE_MAX: usize = 65_536;
/// Most open orders of all sessions together.
pub const OPEN_ORDERS_MAX: usize = 1 << 19;
/// Bits of an order identifier that are its place in the order table.
pub const SLOT_BITS: u32 = 20;
/// Most messages of one session's sliding window.
pub const WINDOW_MESSAGES_MAX: u32 = 65_536;
/// Most cancels one tick of a sweep sends.
pub const SWEEP_CANCELS_MAX: usize = 16;

// The order table keeps as many closed orders as open ones, for executions that come late, and each needs a place.
const _: () = assert!(2 * OPEN_ORDERS_MAX <= 1 << SLOT_BITS);

/// A distance from a price: the larger of a share of it and a number of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Share of the price in basis points (1e-4), rounded down to 1e-9 of the currency.
    pub basis_points: u32,
    /// Ticks.
    pub ticks: u32,
}

/// What a collar compares a price with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollarReference {
    /// The middle of best bid and offer, rounded down to 1e-9.
    Mid,
    /// What the order would trade with: the offer for a buy, the bid for a sell.
    FarTouch,
}

/// Which prices a collar refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollarSides {
    /// Buys too high and sells too low.
    Aggressive,
    /// Any price too far off.
    Both,
}

/// C13: how far from the market a price may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollarConfig {
    /// Compared with what.
    pub reference: CollarReference,
    /// In which direction.
    pub sides: CollarSides,
    /// How far.
    pub band: Band,
}

/// Limits of one order. Where both instrument and account have one, both must pass; where neither has, orders are denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderLimits {
    /// C11: largest quantity of an order, the filled part included.
    pub qty_max: Option<u32>,
    /// C12: largest value of an order, in units of 1e-9 of the currency.
    pub notional_max: Option<i128>,
}

/// C30: limits of what an account may come to hold of an instrument. Missing: orders of that side are denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PositionLimits {
    /// Largest net long position if all open buys fill; not negative.
    pub long_max: Option<i64>,
    /// Largest net short position, as a positive number, if all open sells fill; not negative.
    pub short_max: Option<i64>,
}

/// An instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentConfig {
    /// Its number.
    pub id: InstrumentId,
    /// Where its orders go.
    pub venue: VenueId,
    /// Where its prices come from.
    pub channel: ChannelId,
    /// C10: prices are multiples of this; positive.
    pub tick: Price,
    /// C10: quantities are multiples of this; at least 1.
    pub lot: u32,
    /// C10: smallest quantity; at least 1.
    pub qty_min: u32,
    /// Units of the underlying that quantity 1 stands for: 1 for shares; at least 1.
    pub multiplier: u32,
    /// C13: none denies every order.
    pub collar: Option<CollarConfig>,
    /// C16: how much worse than the far touch a market order is taken to trade; none denies market orders.
    pub market_protection: Option<Band>,
    /// C11, C12.
    pub limits: OrderLimits,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// Its number.
    pub id: AccountId,
    /// C11, C12.
    pub limits: OrderLimits,
    /// What it may trade, and how much of it it may hold.
    pub instruments: Vec<(InstrumentId, PositionLimits)>,
}

/// C20: how many messages a session may send. Orders and replaces count, those denied too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// Token bucket: messages at once; at least 1.
    pub burst: u32,
    /// Token bucket: messages a second; at least 1.
    pub per_second: u32,
    /// Sliding window: messages within any `window_ns`; 1 to [`WINDOW_MESSAGES_MAX`].
    pub window_messages: u32,
    /// Length of the sliding window.
    pub window_ns: u64,
    /// The reserve of cancels: at once; beyond it a cancel takes from the session's bucket, and still passes.
    pub cancel_burst: u32,
    /// The reserve of cancels: a second.
    pub cancel_per_second: u32,
}

/// A strategy's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Its number.
    pub id: SessionId,
    /// Accounts it may trade for.
    pub accounts: Vec<AccountId>,
    /// C20.
    pub rate: RateConfig,
    /// C33: most open orders of this session.
    pub open_orders_max: u32,
    /// Whether its open orders are cancelled when it goes down, and at the next start if the gateway did.
    pub cancel_on_disconnect: bool,
}

/// C18: when identical orders in a row are taken for a mistake.
///
/// Orders are identical where account, instrument, side, type, price and quantity agree. They are in a row while the account
/// sends no other order in that instrument and no two follow each other by more than `window_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateConfig {
    /// The order with this place in the row is denied, and all after it; at least 2.
    pub count: u32,
    /// Longest pause within a row.
    pub window_ns: u64,
}

/// All that risk decides by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskConfig {
    /// Instruments.
    pub instruments: Vec<InstrumentConfig>,
    /// Accounts.
    pub accounts: Vec<AccountConfig>,
    /// Sessions.
    pub sessions: Vec<SessionConfig>,
    /// C33: most open orders together; 1 to [`OPEN_ORDERS_MAX`].
    pub open_orders_max: usize,
    /// C18; none switches off the count of identical orders, never that of `ClOrdID`.
    pub duplicate: Option<DuplicateConfig>,
    /// C03: a channel not heard from for longer is stale.
    pub feed_stale_ns: u64,
    /// Sequence of the first order identifier; at least 1. Must grow from run to run where no journal is recovered from.
    pub first_order_sequence: u64,
}

/// Why a configuration is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskConfigError {
    /// What is wrong, naming the item.
    pub what: String,
}

impl fmt::Display for RiskConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for RiskConfigError {}

impl RiskConfig {
    /// SHA-256 over everything here: the journal's `ConfigDigest`. Two configurations with one digest decide alike.
    pub fn digest(&self) -> [u8; 32] {
        // The derived text names every field and value, so nothing is left out when a field is added.
        Sha256::digest(format!("{self:?}").as_bytes()).into()
    }

    /// Everything that is wrong with it.
    ///
    /// # Errors
    /// All errors at once; never an empty list.
    pub fn validate(&self) -> Result<(), Vec<RiskConfigError>> {
        let mut errors = Errors(Vec::new());
        self.validate_sizes(&mut errors);
        let instruments = self.validate_instruments(&mut errors);
        let accounts = self.validate_accounts(&instruments, &mut errors);
        self.validate_sessions(&accounts, &mut errors);
        if errors.0.is_empty() { Ok(()) } else { Err(errors.0) }
    }

    fn validate_sizes(&self, errors: &mut Errors) {
        for (name, count) in [
            ("instruments", self.instruments.len()),
            ("accounts", self.accounts.len()),
            ("sessions", self.sessions.len()),
        ] {
            errors.unless(count <= TABLE_MAX, || {
                format!("{count} {name}: there can be {TABLE_MAX} at most")
            });
        }
        errors.unless((1..=OPEN_ORDERS_MAX).contains(&self.open_orders_max), || {
            format!("open_orders_max {}: must be 1 to {OPEN_ORDERS_MAX}", self.open_orders_max)
        });
        let sequence_max = u64::MAX >> (SLOT_BITS + 1);
        errors.unless((1..=sequence_max).contains(&self.first_order_sequence), || {
            format!(
                "first_order_sequence {}: must be 1 to {sequence_max}",
                self.first_order_sequence
            )
        });
        if let Some(duplicate) = self.duplicate {
            errors.unless(duplicate.count >= 2, || {
                format!("duplicate count {}: the first order is never one", duplicate.count)
            });
        }
    }

    fn validate_instruments(&self, errors: &mut Errors) -> BTreeSet<InstrumentId> {
        let mut known = BTreeSet::new();
        for instrument in &self.instruments {
            let id = instrument.id;
            errors.unless(known.insert(id), || format!("instrument {id} is there twice"));
            errors.unless(instrument.tick > Price::default(), || {
                format!("instrument {id}: tick {} must be positive", instrument.tick)
            });
            for (name, value) in [
                ("lot", instrument.lot),
                ("qty_min", instrument.qty_min),
                ("multiplier", instrument.multiplier),
            ] {
                errors.unless(value >= 1, || format!("instrument {id}: {name} must be at least 1"));
            }
            validate_limits(&instrument.limits, &format!("instrument {id}"), errors);
        }
        known
    }

    fn validate_accounts(
        &self,
        instruments: &BTreeSet<InstrumentId>,
        errors: &mut Errors,
    ) -> BTreeSet<AccountId> {
        let mut known = BTreeSet::new();
        for account in &self.accounts {
            let id = account.id;
            errors.unless(known.insert(id), || format!("account {id} is there twice"));
            validate_limits(&account.limits, &format!("account {id}"), errors);
            let mut own = BTreeSet::new();
            for (instrument, limits) in &account.instruments {
                errors.unless(instruments.contains(instrument), || {
                    format!("account {id}: instrument {instrument} is not configured")
                });
                errors.unless(own.insert(*instrument), || {
                    format!("account {id}: instrument {instrument} is there twice")
                });
                for limit in [limits.long_max, limits.short_max].into_iter().flatten() {
                    errors.unless(limit >= 0, || {
                        format!("account {id}: position limit {limit} must not be negative")
                    });
                }
            }
        }
        known
    }

    fn validate_sessions(&self, accounts: &BTreeSet<AccountId>, errors: &mut Errors) {
        let mut known = BTreeSet::new();
        for session in &self.sessions {
            let id = session.id;
            errors.unless(known.insert(id), || format!("session {id} is there twice"));
            for account in &session.accounts {
                errors.unless(accounts.contains(account), || {
                    format!("session {id}: account {account} is not configured")
                });
            }
            let rate = session.rate;
            for (name, value) in [
                ("burst", rate.burst),
                ("per_second", rate.per_second),
                ("window_messages", rate.window_messages),
            ] {
                errors.unless(value >= 1, || format!("session {id}: {name} must be at least 1"));
            }
            errors.unless(rate.window_messages <= WINDOW_MESSAGES_MAX, || {
                format!(
                    "session {id}: window_messages {} must be {WINDOW_MESSAGES_MAX} at most",
                    rate.window_messages
                )
            });
        }
    }
}

fn validate_limits(limits: &OrderLimits, owner: &str, errors: &mut Errors) {
    if let Some(limit) = limits.notional_max {
        errors.unless(limit >= 0, || format!("{owner}: notional_max {limit} must not be negative"));
    }
}

struct Errors(Vec<RiskConfigError>);

impl Errors {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(RiskConfigError { what: what() });
        }
    }
}
