//! What stands in the books of the generated day: securities whose middle wanders, and orders queued at each price.
//!
//! A security's prices are ticks of a cent in a window of [`WINDOW`]; bids stand at or below its `split`, offers above.
//! The split moves by a tick only over a price at which nothing stands, so the books are uncrossed at all times. Orders
//! far out stand beyond the window, where the split never comes; they are never at the touch and so need no queue.

use crate::sim::prng::SplitMix;
use crate::types::{Side, Symbol};

/// Prices of a security that have a queue of orders.
const WINDOW: usize = 256;
/// Where the split may wander.
const SPLIT_MIN: i16 = 64;
const SPLIT_MAX: i16 = 192;
/// The tick at which the day begins.
const SPLIT_START: i16 = 128;
/// A cent, in units of 1e-4.
const TICK: i32 = 100;
/// The furthest an order stands from its side's best price, in ticks.
const DISTANCE_MAX: u32 = 400;
/// A security's first price is at least this many ticks, so that the furthest bid still has a price.
const MIDDLE_TICKS_MIN: u32 = 700;

const NONE: u32 = u32::MAX;

/// A security.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    pub(super) symbol: Symbol,
    /// Market category (ITCH 5.0 section 1.2.1).
    pub(super) market: u8,
    /// Neither traded nor crossed at the moment.
    pub(super) is_paused: bool,
    /// Price of tick 0 in units of 1e-4; may be negative.
    base: i32,
    /// The highest tick at which a bid may stand.
    split: i16,
    /// Where the split is going.
    goal: i16,
}

impl Stock {
    #[inline]
    fn price(&self, tick: i16) -> u32 {
        u32::try_from(self.base + i32::from(tick) * TICK)
            .expect("even the furthest bid has a price")
    }

    /// The price between bids and offers, in units of 1e-4.
    #[inline]
    pub(super) fn middle(&self) -> u32 {
        self.price(self.split)
    }
}

/// An order in a book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) reference: u64,
    pub(super) shares: u32,
    pub(super) locate: u16,
    pub(super) side: Side,
    tick: i16,
    /// The orders before and after it at its price.
    before: u32,
    after: u32,
}

/// The orders at one price, from the earliest on.
#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

/// Securities and orders.
#[derive(Debug)]
pub(super) struct Market {
    pub(super) random: SplitMix,
    stocks: Vec<Stock>,
    /// Stock locates, the most active first.
    by_activity: Vec<u16>,
    /// [`WINDOW`] for each security.
    queues: Vec<Queue>,
    /// All orders, without holes; young ones tend to be at the end.
    orders: Vec<Order>,
    orders_max: u32,
    reference: u64,
}

#[inline]
fn index(place: u32) -> usize {
    usize::try_from(place).expect("32 bits fit an index")
}

impl Market {
    /// `symbols` securities without orders; all memory is allocated here.
    pub(super) fn new(symbols: u16, orders_max: u32, seed: u64) -> Market {
        let mut random = SplitMix::new(seed);
        let stocks = (0..symbols).map(|place| stock(place, &mut random)).collect();
        let mut by_activity: Vec<u16> = (1..=symbols).collect();
        for at in (1..symbols).rev() {
            let other = random.below(u32::from(at) + 1);
            by_activity.swap(usize::from(at), index(other));
        }
        Market {
            random,
            stocks,
            by_activity,
            queues: vec![Queue { first: NONE, last: NONE }; usize::from(symbols) * WINDOW],
            orders: Vec::with_capacity(index(orders_max)),
            orders_max,
            reference: 0,
        }
    }

    /// The security of a stock locate, which counts from 1.
    #[inline]
    pub(super) fn stock(&self, locate: u16) -> &Stock {
        &self.stocks[usize::from(locate) - 1]
    }

    #[inline]
    pub(super) fn stock_mut(&mut self, locate: u16) -> &mut Stock {
        &mut self.stocks[usize::from(locate) - 1]
    }

    #[inline]
    pub(super) fn order_count(&self) -> u32 {
        u32::try_from(self.orders.len()).expect("no more than a u32 of them")
    }

    /// Whether the next of "an order enters" and "an order leaves" is to be the first: surely in empty books, as likely as
    /// not in full ones, never beyond.
    #[inline]
    pub(super) fn wants_order(&mut self) -> bool {
        let (count, max) = (self.order_count(), self.orders_max);
        count < max && self.random.below(max.saturating_mul(2)) >= count
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.order_count() < self.orders_max
    }

    /// Any security, active ones more often: the first 1 % of them have 10 % of all messages.
    #[inline]
    pub(super) fn active(&mut self) -> u16 {
        let part = self.random.next_u64() >> 32;
        let count = u64::try_from(self.by_activity.len()).expect("it fits");
        let place = (((part * part) >> 32) * count) >> 32;
        self.by_activity[usize::try_from(place).expect("below the count")]
    }

    /// Any security, each as likely.
    pub(super) fn any(&mut self) -> u16 {
        let place = self.random.below(u32::try_from(self.by_activity.len()).expect("it fits"));
        self.by_activity[index(place)]
    }

    /// A size such as orders have: a round lot more often than not, sometimes odd, sometimes large.
    #[inline]
    pub(super) fn size(&mut self) -> u32 {
        match self.random.below(16) {
            0..8 => 100,
            8..11 => 1 + self.random.below(99),
            11..15 => 100 * (1 + self.random.below(10)),
            _ => 100 * (1 + self.random.below(100)),
        }
    }

    /// An order enters; returns it and its price. There must be room.
    #[inline]
    pub(super) fn enter(&mut self, locate: u16) -> (Order, u32) {
        self.wander(locate);
        let side = if self.random.next_u64() >> 63 == 0 { Side::Buy } else { Side::Sell };
        let shares = self.size();
        self.stand(locate, side, shares)
    }

    /// An order of this side and size enters at a price near enough to the touch.
    #[inline]
    fn stand(&mut self, locate: u16, side: Side, shares: u32) -> (Order, u32) {
        let distance = self.distance();
        let stock = self.stock(locate);
        // Nothing new stands in the way of a split that is on its way.
        let tick = match side {
            Side::Buy => stock.split.min(stock.goal) - distance,
            Side::Sell => stock.split.max(stock.goal) + 1 + distance,
        };
        let price = stock.price(tick);
        self.reference += 1 + u64::from(self.random.below(8));
        let order = Order {
            reference: self.reference,
            shares,
            locate,
            side,
            tick,
            before: NONE,
            after: NONE,
        };
        let place = self.order_count();
        assert!(place < self.orders_max, "there is room for an order");
        self.orders.push(order);
        self.link(place);
        (order, price)
    }

    /// How far from its side's best price an order stands: mostly near, now and then far.
    #[inline]
    fn distance(&mut self) -> i16 {
        let ticks = match self.random.below(32) {
            0..10 => self.random.below(2),
            10..28 => self.random.below(12),
            28..31 => self.random.below(60),
            _ => self.random.below(DISTANCE_MAX + 1),
        };
        i16::try_from(ticks).expect("at most the maximum")
    }

    /// Moves a security's goal now and then, and its split towards the goal where nothing stands in the way.
    #[inline]
    fn wander(&mut self, locate: u16) {
        let dice = self.random.below(16);
        let stock = self.stock_mut(locate);
        match dice {
            0 => stock.goal = (stock.goal + 1).min(SPLIT_MAX),
            1 => stock.goal = (stock.goal - 1).max(SPLIT_MIN),
            _ => {}
        }
        loop {
            let Stock { split, goal, .. } = *self.stock(locate);
            let (gate, next) = match goal.cmp(&split) {
                std::cmp::Ordering::Equal => return,
                std::cmp::Ordering::Greater => (split + 1, split + 1),
                std::cmp::Ordering::Less => (split, split - 1),
            };
            if self.first_at(locate, gate).is_some() {
                return;
            }
            self.stock_mut(locate).split = next;
        }
    }

    /// The queue of a price; none beyond the window.
    #[inline]
    fn queue(locate: u16, tick: i16) -> Option<usize> {
        let tick = usize::try_from(tick).ok().filter(|&tick| tick < WINDOW)?;
        Some((usize::from(locate) - 1) * WINDOW + tick)
    }

    #[inline]
    fn first_at(&self, locate: u16, tick: i16) -> Option<u32> {
        let first = self.queues[Market::queue(locate, tick)?].first;
        (first != NONE).then_some(first)
    }

    /// The earliest order at the best price of one side, if there is one in the window.
    #[inline]
    pub(super) fn touch(&self, locate: u16, side: Side) -> Option<u32> {
        let split = self.stock(locate).split;
        match side {
            Side::Buy => (0..=split).rev().find_map(|tick| self.first_at(locate, tick)),
            Side::Sell => {
                let end = i16::try_from(WINDOW).expect("a small number");
                (split + 1..end).find_map(|tick| self.first_at(locate, tick))
            }
        }
    }

    /// The side that has to retreat for the split to reach its goal.
    #[inline]
    pub(super) fn retreating(&self, locate: u16) -> Option<Side> {
        let stock = self.stock(locate);
        match stock.goal.cmp(&stock.split) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Side::Sell),
            std::cmp::Ordering::Less => Some(Side::Buy),
        }
    }

    /// Some order: mostly one of the young, as orders die young. None where there are none.
    #[inline]
    pub(super) fn pick(&mut self) -> Option<u32> {
        let count = self.order_count();
        if count == 0 {
            return None;
        }
        if self.random.below(4) == 0 {
            return Some(self.random.below(count));
        }
        Some(count - 1 - self.random.below(count.min(4_096)))
    }

    /// The order to be deleted next: sometimes one that stands in a split's way.
    #[inline]
    pub(super) fn pick_leaving(&mut self) -> Option<u32> {
        if self.random.below(4) == 0 {
            let locate = self.active();
            let side = self.retreating(locate);
            if let Some(place) = side.and_then(|side| self.touch(locate, side)) {
                return Some(place);
            }
        }
        self.pick()
    }

    #[inline]
    pub(super) fn order(&self, place: u32) -> &Order {
        &self.orders[index(place)]
    }

    /// Price of the order at `place` in units of 1e-4.
    #[inline]
    pub(super) fn price(&self, place: u32) -> u32 {
        let order = self.order(place);
        self.stock(order.locate).price(order.tick)
    }

    /// Takes fewer shares off an order than it has.
    #[inline]
    pub(super) fn reduce(&mut self, place: u32, shares: u32) {
        let order = &mut self.orders[index(place)];
        assert!(shares < order.shares, "an order of {} less {shares}", order.shares);
        order.shares -= shares;
    }

    /// An order leaves, and another of its side enters its book in its stead; returns the new one and its price.
    #[inline]
    pub(super) fn replace(&mut self, place: u32) -> (Order, u32) {
        let Order { locate, side, .. } = self.remove(place);
        let shares = self.size();
        self.stand(locate, side, shares)
    }

    /// An order leaves. The last one takes its place.
    #[inline]
    pub(super) fn remove(&mut self, place: u32) -> Order {
        self.unlink(place);
        let order = self.orders.swap_remove(index(place));
        if let Some(&moved) = self.orders.get(index(place))
            && let Some(queue) = Market::queue(moved.locate, moved.tick)
        {
            match moved.before {
                NONE => self.queues[queue].first = place,
                before => self.orders[index(before)].after = place,
            }
            match moved.after {
                NONE => self.queues[queue].last = place,
                after => self.orders[index(after)].before = place,
            }
        }
        order
    }

    /// Puts the order at `place` to the end of its price's queue.
    #[inline]
    fn link(&mut self, place: u32) {
        let Order { locate, tick, .. } = self.orders[index(place)];
        let Some(queue) = Market::queue(locate, tick) else { return };
        let queue = &mut self.queues[queue];
        let last = std::mem::replace(&mut queue.last, place);
        if last == NONE {
            queue.first = place;
        } else {
            self.orders[index(last)].after = place;
            self.orders[index(place)].before = last;
        }
    }

    #[inline]
    fn unlink(&mut self, place: u32) {
        let Order { locate, tick, before, after, .. } = self.orders[index(place)];
        let Some(queue) = Market::queue(locate, tick) else { return };
        match before {
            NONE => self.queues[queue].first = after,
            before => self.orders[index(before)].after = after,
        }
        match after {
            NONE => self.queues[queue].last = before,
            after => self.orders[index(after)].before = before,
        }
    }
}

/// The security at `place`: its price is between 7 and some 900 dollars, low ones as likely as high ones.
fn stock(place: u16, random: &mut SplitMix) -> Stock {
    let scale = MIDDLE_TICKS_MIN << random.below(7);
    let middle = i32::try_from(scale + random.below(scale)).expect("below a thousand dollars");
    let market = *b"QQQGGSNNAP"
        .get(index(random.below(10)))
        .expect("ten markets, Nasdaq's as often as the others'");
    Stock {
        symbol: name(place),
        market,
        is_paused: false,
        base: (middle - i32::from(SPLIT_START)) * TICK,
        split: SPLIT_START,
        goal: SPLIT_START,
    }
}

/// `A` to `Z`, `AA` to `ZZ` and so on.
fn name(place: u16) -> Symbol {
    let mut letters = [b' '; 8];
    let mut length = 0;
    let mut rest = u32::from(place) + 1;
    while rest > 0 {
        rest -= 1;
        letters[length] = b'A' + u8::try_from(rest % 26).expect("a letter");
        rest /= 26;
        length += 1;
    }
    letters[..length].reverse();
    Symbol::from_wire(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_columns_in_a_spreadsheet() {
        let text = |place| name(place).to_string();
        let names = [0, 25, 26, 701, 702, 18_277, 18_278, u16::MAX].map(text);
        assert_eq!(names, ["A", "Z", "AA", "ZZ", "AAA", "ZZZ", "AAAA", "CRXP"]);
    }

    /// Every queue holds the orders of its price, once each, in the order of their numbers unless they were moved.
    fn check(market: &Market) {
        let mut seen = 0;
        for (place, queue) in market.queues.iter().enumerate() {
            let (mut at, mut before, mut last) = (queue.first, NONE, 0);
            while at != NONE {
                let order = market.order(at);
                assert_eq!(Market::queue(order.locate, order.tick), Some(place));
                assert_eq!(order.before, before);
                assert!(order.reference > last, "the earlier order is before the later");
                (before, at, last) = (at, order.after, order.reference);
                seen += 1;
            }
            assert_eq!(queue.last, before);
        }
        let far = market.orders.iter().filter(|o| Market::queue(o.locate, o.tick).is_none());
        assert_eq!(seen + far.count(), market.orders.len());
        for order in &market.orders {
            let split = market.stock(order.locate).split;
            assert_eq!(order.side == Side::Buy, order.tick <= split, "{order:?} about {split}");
        }
    }

    #[test]
    fn queues_hold_every_order_and_splits_part_them() {
        let mut market = Market::new(5, 300, 7);
        let mut splits = std::collections::BTreeSet::new();
        for step in 0..30_000 {
            if market.wants_order() {
                let locate = market.active();
                market.enter(locate);
            } else if let Some(place) = market.pick_leaving() {
                if market.random.below(4) == 0 {
                    market.replace(place);
                } else {
                    market.remove(place);
                }
            }
            splits.extend((1..=5).map(|locate| market.stock(locate).split));
            if step % 100 == 0 {
                check(&market);
            }
        }
        assert!(market.order_count() > 200, "{} orders", market.order_count());
        assert!(splits.len() > 20, "{splits:?} are prices that walk");
    }

    #[test]
    fn there_are_never_more_orders_than_allowed() {
        let mut market = Market::new(1, 3, 7);
        for _ in 0..1_000 {
            if market.wants_order() {
                market.enter(1);
            } else {
                market.remove(0);
            }
            assert!(market.order_count() <= 3);
        }
        assert!(market.wants_order() || market.order_count() > 0);
    }
}
