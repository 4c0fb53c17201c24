//! A seeded generator of liquidity: for each symbol orders around a price that walks at random.
//!
//! The mix of a trading day: of 1,000 messages 440 adds, 420 deletes, 80 replaces, 20 takers, 10 cancels in part, 5
//! hidden trades. The same seed gives the same requests, however often and with whatever limit it is polled, as long as
//! nobody else trades.

use crate::sim::background::BACKGROUND;
use crate::sim::matching::{Exchange, PRICE_MAX};
use crate::sim::order::{EventSink, NewOrder, Replace};
use crate::sim::prng::SplitMix;
use crate::types::{ClOrdId, InstrumentId, Nanos, OrdType, Price, Side, TimeInForce};

/// How far from the middle orders are put, in ticks.
const DEPTH_TICKS: u32 = 24;
/// The middle moves by a tick once in so many steps of its symbol.
const STEPS_PER_MOVE: u32 = 32;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A symbol with generated liquidity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomSymbol {
    /// The instrument; must be one of the exchange's.
    pub security_id: InstrumentId,
    /// Where the walk starts.
    pub middle: Price,
    /// The instrument's tick.
    pub tick: Price,
    /// The instrument's lot.
    pub lot: u32,
}

/// What is generated.
#[derive(Clone, Debug)]
pub struct RandomFlowConfig {
    /// The seed.
    pub seed: u64,
    /// The symbols, at least one.
    pub symbols: Vec<RandomSymbol>,
    /// Orders held open in each symbol at most; at least 8. About half of it once the flow has settled.
    pub orders_max: usize,
    /// Steps taken at once, to open with a book.
    pub at_once: u64,
    /// Steps a second after that.
    pub steps_per_second: u32,
    /// Steps in all; none runs on for ever.
    pub steps_max: Option<u64>,
}

#[derive(Debug)]
struct Walk {
    symbol: RandomSymbol,
    middle_ticks: i64,
    orders: Vec<ClOrdId>,
}

/// The generator. Allocates nothing after it is made.
#[derive(Debug)]
pub struct RandomFlow {
    walks: Vec<Walk>,
    random: SplitMix,
    orders_max: usize,
    at_once: u64,
    steps_per_second: u32,
    steps_max: u64,
    started: Option<Nanos>,
    done: u64,
    next_id: u64,
}

impl RandomFlow {
    /// A generator.
    ///
    /// # Panics
    /// Without symbols, with fewer than 8 orders a symbol, or with a tick or lot that is not positive.
    pub fn new(config: &RandomFlowConfig) -> RandomFlow {
        assert!(!config.symbols.is_empty(), "a flow has symbols");
        assert!(config.orders_max >= 8, "a book of {} orders", config.orders_max);
        let walk = |&symbol: &RandomSymbol| {
            assert!(symbol.tick.units() > 0, "a tick is positive");
            assert!(symbol.lot > 0, "a lot is positive");
            let middle_ticks = symbol.middle.units() / symbol.tick.units();
            Walk { symbol, middle_ticks, orders: Vec::with_capacity(config.orders_max) }
        };
        RandomFlow {
            walks: config.symbols.iter().map(walk).collect(),
            random: SplitMix::new(config.seed),
            orders_max: config.orders_max,
            at_once: config.at_once,
            steps_per_second: config.steps_per_second,
            steps_max: config.steps_max.unwrap_or(u64::MAX),
            started: None,
            done: 0,
            next_id: 1,
        }
    }

    /// Takes at most `limit` of the steps that are due; returns how many.
    pub fn poll(
        &mut self,
        now: Nanos,
        limit: usize,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) -> usize {
        let elapsed = u128::from(now.since(*self.started.get_or_insert(now)));
        let paced = elapsed * u128::from(self.steps_per_second) / NANOS_PER_SECOND;
        let due = u64::try_from(u128::from(self.at_once) + paced).unwrap_or(u64::MAX);
        let due = due.min(self.steps_max);
        let mut count = 0;
        while self.done < due && count < limit {
            self.done += 1;
            count += 1;
            self.step(exchange, sink);
        }
        count
    }

    /// Whether no step is left.
    pub fn is_finished(&self) -> bool {
        self.done == self.steps_max
    }

    /// Steps taken so far.
    pub fn done_count(&self) -> u64 {
        self.done
    }

    fn step(&mut self, exchange: &mut Exchange, sink: &mut impl EventSink) {
        let count = u32::try_from(self.walks.len()).expect("symbols are few");
        let index = crate::sim::slab::at(self.random.below(count));
        let walk = &mut self.walks[index];
        let random = &mut self.random;
        walk.drift(random);
        let (live, few) = (walk.orders.len(), self.orders_max / 4);
        match random.below(975) {
            // A thin book is filled first, and a full one thinned.
            _ if live < few => walk.add(random, &mut self.next_id, exchange, sink),
            0..=439 if live < self.orders_max => {
                walk.add(random, &mut self.next_id, exchange, sink);
            }
            0..=859 => {
                let id = walk.forget_one(random);
                // The order may have traded: then there is nothing to cancel.
                let _ = exchange.cancel(BACKGROUND, id, id, sink);
            }
            860..=939 => walk.replace(random, &mut self.next_id, exchange, sink),
            940..=959 => walk.take(random, &mut self.next_id, exchange, sink),
            960..=969 => walk.shrink(random, exchange, sink),
            _ => {
                let qty = walk.qty(random);
                let price = walk.price_at(0);
                exchange.print(walk.symbol.security_id, price, qty, sink);
            }
        }
    }
}

impl Walk {
    fn drift(&mut self, random: &mut SplitMix) {
        if random.below(STEPS_PER_MOVE) != 0 {
            return;
        }
        let lowest = 2 * i64::from(DEPTH_TICKS);
        let highest = PRICE_MAX.units() / self.symbol.tick.units() - lowest;
        let moved = self.middle_ticks + if random.below(2) == 0 { 1 } else { -1 };
        self.middle_ticks = moved.max(lowest).min(highest.max(lowest));
    }

    /// The price so many ticks from the middle.
    fn price_at(&self, ticks: i64) -> Price {
        Price::from_units((self.middle_ticks + ticks) * self.symbol.tick.units())
    }

    fn side(random: &mut SplitMix) -> Side {
        if random.below(2) == 0 { Side::Buy } else { Side::Sell }
    }

    /// A resting price: near the middle more often than far from it.
    fn resting_price(&self, random: &mut SplitMix, side: Side) -> Price {
        let away = random.below(DEPTH_TICKS).min(random.below(DEPTH_TICKS)) + 1;
        self.price_at(match side {
            Side::Buy => -i64::from(away),
            Side::Sell => i64::from(away),
        })
    }

    fn qty(&self, random: &mut SplitMix) -> u32 {
        let lots = if random.below(3) == 0 { random.below(99) + 1 } else { 100 };
        self.symbol.lot.saturating_mul(lots)
    }

    fn forget_one(&mut self, random: &mut SplitMix) -> ClOrdId {
        let index = self.pick(random);
        self.orders.swap_remove(index)
    }

    fn pick(&self, random: &mut SplitMix) -> usize {
        let count = u32::try_from(self.orders.len()).expect("orders are few");
        crate::sim::slab::at(random.below(count))
    }

    fn add(
        &mut self,
        random: &mut SplitMix,
        next_id: &mut u64,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) {
        let side = Walk::side(random);
        let price = self.resting_price(random, side);
        let qty = self.qty(random);
        let new = self.new_order(next_id, side, price, qty, TimeInForce::Day);
        if exchange.submit(&new, sink).is_ok() {
            self.orders.push(new.client_id);
        }
    }

    fn take(
        &mut self,
        random: &mut SplitMix,
        next_id: &mut u64,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) {
        let side = Walk::side(random);
        let reach = i64::from(random.below(4) + 1);
        let price = self.price_at(if side == Side::Buy { reach } else { -reach });
        let qty = self.qty(random);
        let new = self.new_order(next_id, side, price, qty, TimeInForce::ImmediateOrCancel);
        // Refused only where the exchange is full or closed; the next step sees the same.
        let _ = exchange.submit(&new, sink);
    }

    fn replace(
        &mut self,
        random: &mut SplitMix,
        next_id: &mut u64,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) {
        let index = self.pick(random);
        let orig_client_id = self.orders[index];
        let fresh = self.qty(random);
        let Some(&order) = exchange.find(BACKGROUND, orig_client_id) else {
            self.orders.swap_remove(index);
            return;
        };
        let price = self.resting_price(random, order.side);
        let client_id = ClOrdId(*next_id);
        *next_id += 1;
        let qty = order.cum_qty.saturating_add(fresh);
        let request = Replace { owner: BACKGROUND, client_id, orig_client_id, price, qty };
        if !order.status.is_final() && exchange.replace(&request, sink).is_ok() {
            self.orders[index] = client_id;
        } else {
            self.orders.swap_remove(index);
        }
    }

    fn shrink(
        &mut self,
        random: &mut SplitMix,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) {
        let client_id = self.orders[self.pick(random)];
        let Some(order) = exchange.find(BACKGROUND, client_id) else { return };
        let lots = order.leaves_qty / self.symbol.lot;
        let Some(price) = order.price.filter(|_| lots > 1) else { return };
        let qty = order.cum_qty + (lots / 2) * self.symbol.lot;
        let (owner, orig_client_id) = (BACKGROUND, client_id);
        // A refusal leaves the order as it is.
        let _ = exchange.replace(&Replace { owner, client_id, orig_client_id, price, qty }, sink);
    }

    fn new_order(
        &self,
        next_id: &mut u64,
        side: Side,
        price: Price,
        qty: u32,
        time_in_force: TimeInForce,
    ) -> NewOrder {
        let client_id = ClOrdId(*next_id);
        *next_id += 1;
        NewOrder {
            owner: BACKGROUND,
            client_id,
            tag: u32::MAX,
            security_id: self.symbol.security_id,
            side,
            ord_type: OrdType::Limit,
            time_in_force,
            price: Some(price),
            qty,
        }
    }
}
