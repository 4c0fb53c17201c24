//! The matching engine against a second, naive implementation, over long random streams.

#![allow(clippy::unwrap_used, reason = "tests")]

use postern::sim::matching::{Exchange, ExchangeConfig, VenueInstrument};
use postern::sim::order::{
    BookEvent, CancelCause, EventSink, NewOrder, OwnerId, Replace, Report, VenueReject,
};
use postern::sim::prng::SplitMix;
use postern::types::{
    ClOrdId, InstrumentId, OrdStatus, OrdType, Price, Side, Symbol, TimeInForce, TradingStatus,
};

/// What both implementations say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Accepted(u64),
    Rejected(u64, VenueReject),
    Trade { resting: u64, aggressor: u64, price: Price, qty: u32 },
    Canceled(u64),
    Replaced { entry: u64, kept_place: bool, leaves: u32 },
    Expired(u64, u32),
    CancelRejected(u64, VenueReject),
}

#[derive(Default)]
struct Log {
    said: Vec<Said>,
    reports: Vec<Report>,
    book: Vec<BookEvent>,
}

impl EventSink for Log {
    fn on_report(&mut self, report: &Report) {
        self.reports.push(*report);
        self.said.push(match *report {
            Report::Accepted(order) => Said::Accepted(order.entry_id.0),
            Report::Rejected(new, reason) => Said::Rejected(new.client_id.0, reason),
            Report::Trade { resting, aggressor, price, qty, .. } => Said::Trade {
                resting: resting.entry_id.0,
                aggressor: aggressor.entry_id.0,
                price,
                qty,
            },
            Report::Canceled(order, _) => Said::Canceled(order.entry_id.0),
            Report::Replaced { order, kept_place, .. } => {
                Said::Replaced { entry: order.entry_id.0, kept_place, leaves: order.leaves_qty }
            }
            Report::Expired(order) => Said::Expired(order.entry_id.0, order.cum_qty),
            Report::CancelRejected { client_id, reason, .. } => {
                Said::CancelRejected(client_id.0, reason)
            }
        });
    }

    fn on_book(&mut self, event: &BookEvent) {
        self.book.push(*event);
    }
}

/// An exchange as one would write it on a blackboard: one list, everything looked for from the start.
#[derive(Default)]
struct Naive {
    open: Vec<NaiveOrder>,
    ended: Vec<(OwnerId, u64)>,
    next_place: u64,
}

#[derive(Clone, Copy)]
struct NaiveOrder {
    owner: OwnerId,
    entry: u64,
    id: u64,
    security: InstrumentId,
    side: Side,
    price: Price,
    place: u64,
    leaves: u32,
    cum: u32,
}

impl Naive {
    fn best_against(
        &self,
        side: Side,
        security: InstrumentId,
        limit: Option<Price>,
    ) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (index, order) in self.open.iter().enumerate() {
            let meets = match (side, limit) {
                (_, None) => true,
                (Side::Buy, Some(limit)) => order.price <= limit,
                (Side::Sell, Some(limit)) => order.price >= limit,
            };
            if order.side == side || order.security != security || !meets {
                continue;
            }
            let wins = best.is_none_or(|b| {
                let b = &self.open[b];
                let better = match side {
                    Side::Buy => order.price < b.price,
                    Side::Sell => order.price > b.price,
                };
                better || (order.price == b.price && order.place < b.place)
            });
            if wins {
                best = Some(index);
            }
        }
        best
    }

    fn trade(&mut self, order: &mut NaiveOrder, limit: Option<Price>, said: &mut Vec<Said>) {
        while order.leaves > 0
            && let Some(index) = self.best_against(order.side, order.security, limit)
        {
            let resting = &mut self.open[index];
            let qty = resting.leaves.min(order.leaves);
            resting.leaves -= qty;
            resting.cum += qty;
            order.leaves -= qty;
            order.cum += qty;
            said.push(Said::Trade {
                resting: resting.entry,
                aggressor: order.entry,
                price: resting.price,
                qty,
            });
            if resting.leaves == 0 {
                let gone = self.open.remove(index);
                self.end(&gone);
            }
        }
    }

    fn end(&mut self, order: &NaiveOrder) {
        self.ended.push((order.owner, order.entry));
        self.ended.push((order.owner, order.id));
    }

    fn submit(&mut self, new: &NewOrder, said: &mut Vec<Said>) {
        said.push(Said::Accepted(new.client_id.0));
        let mut order = NaiveOrder {
            owner: new.owner,
            entry: new.client_id.0,
            id: new.client_id.0,
            security: new.security_id,
            side: new.side,
            price: new.price.unwrap_or_default(),
            place: 0,
            leaves: new.qty,
            cum: 0,
        };
        self.trade(&mut order, new.price, said);
        let rests = new.time_in_force == TimeInForce::Day && new.price.is_some();
        if order.leaves > 0 && rests {
            self.place(order);
        } else {
            self.end(&order);
            if order.leaves > 0 {
                said.push(Said::Expired(order.entry, order.cum));
            }
        }
    }

    fn place(&mut self, mut order: NaiveOrder) {
        order.place = self.next_place;
        self.next_place += 1;
        self.open.push(order);
    }

    fn position(&self, owner: OwnerId, id: u64) -> Result<usize, VenueReject> {
        let known = |o: &NaiveOrder| o.owner == owner && (o.id == id || o.entry == id);
        match self.open.iter().position(known) {
            Some(index) => Ok(index),
            None if self.ended.contains(&(owner, id)) => Err(VenueReject::TooLate),
            None => Err(VenueReject::UnknownOrder),
        }
    }

    fn cancel(&mut self, owner: OwnerId, request: u64, id: u64, said: &mut Vec<Said>) {
        match self.position(owner, id) {
            Ok(index) => {
                let gone = self.open.remove(index);
                self.end(&gone);
                said.push(Said::Canceled(gone.entry));
            }
            Err(reason) => said.push(Said::CancelRejected(request, reason)),
        }
    }

    fn replace(&mut self, r: &Replace, said: &mut Vec<Said>) {
        let index = match self.position(r.owner, r.orig_client_id.0) {
            Ok(index) => index,
            Err(reason) => return said.push(Said::CancelRejected(r.client_id.0, reason)),
        };
        if r.qty <= self.open[index].cum {
            return said.push(Said::CancelRejected(r.client_id.0, VenueReject::QtyBelowFilled));
        }
        let mut order = self.open[index];
        let leaves = r.qty - order.cum;
        let kept_place = r.price == order.price && leaves < order.leaves;
        (order.leaves, order.price, order.id) = (leaves, r.price, r.client_id.0);
        said.push(Said::Replaced { entry: order.entry, kept_place, leaves });
        if kept_place {
            self.open[index] = order;
            return;
        }
        self.open.remove(index);
        self.trade(&mut order, Some(r.price), said);
        if order.leaves > 0 { self.place(order) } else { self.end(&order) }
    }

    fn book(&self, security: InstrumentId, side: Side) -> Vec<(Price, u64, u32)> {
        let mut orders: Vec<_> =
            self.open.iter().filter(|o| o.security == security && o.side == side).collect();
        orders.sort_by_key(|o| {
            let best_first = if side == Side::Buy { -o.price.units() } else { o.price.units() };
            (best_first, o.place)
        });
        orders.iter().map(|o| (o.price, o.entry, o.leaves)).collect()
    }
}

const SECURITIES: [InstrumentId; 3] = [InstrumentId(900), InstrumentId(7), InstrumentId(31)];

fn config(orders_max: usize, levels_max: usize) -> ExchangeConfig {
    let instrument = |(security_id, locate): (InstrumentId, u16)| VenueInstrument {
        symbol: Symbol::new(&format!("S{locate}")).unwrap(),
        stock_locate: locate,
        security_id,
        tick: "0.01".parse().unwrap(),
        lot: 10,
    };
    let instruments = SECURITIES.into_iter().zip(1..).map(instrument).collect();
    ExchangeConfig { instruments, orders_max, open_orders_max: u32::MAX, levels_max, owners_max: 4 }
}

fn exchange(orders_max: usize, levels_max: usize) -> Exchange {
    let mut exchange = Exchange::new(&config(orders_max, levels_max)).unwrap();
    exchange.set_open(true);
    exchange
}

fn cents(cents: u32) -> Price {
    Price::from_itch4(cents * 100)
}

fn limit(id: u64, side: Side, price: u32, qty: u32) -> NewOrder {
    NewOrder {
        owner: OwnerId(1),
        client_id: ClOrdId(id),
        tag: 0,
        security_id: SECURITIES[0],
        side,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
        price: Some(cents(price)),
        qty,
    }
}

fn book(exchange: &Exchange, instrument: u16, side: Side) -> Vec<(Price, u64, u32)> {
    let mut orders = Vec::new();
    for level in exchange.levels(instrument, side) {
        let before = orders.len();
        for order in exchange.orders(level) {
            assert_eq!(order.price, Some(level.price));
            orders.push((level.price, order.entry_id.0, order.leaves_qty));
        }
        let qty: u64 = orders[before..].iter().map(|&(_, _, qty)| u64::from(qty)).sum();
        assert_eq!(level.qty, qty);
        assert_eq!(usize::try_from(level.count).unwrap(), orders.len() - before);
    }
    orders
}

/// One random request to both. Identifiers count up; old ones are named now and then.
fn step(
    random: &mut SplitMix,
    id: u64,
    exchange: &mut Exchange,
    naive: &mut Naive,
    log: &mut Log,
) -> Vec<Said> {
    let mut said = Vec::new();
    let owner = OwnerId(random.below(4));
    let orig = if naive.open.is_empty() || random.below(10) == 0 {
        id.saturating_sub(u64::from(random.below(20)) + 1)
    } else {
        let order = naive.open
            [usize::try_from(random.below(u32::try_from(naive.open.len()).unwrap())).unwrap()];
        if random.below(2) == 0 { order.id } else { order.entry }
    };
    let orig_owner =
        naive.open.iter().find(|o| o.id == orig || o.entry == orig).map_or(owner, |o| o.owner);
    let price = cents(10_000 + random.below(12));
    let qty = (random.below(9) + 1) * 10;
    match random.below(100) {
        0..=54 => {
            let is_market = random.below(15) == 0;
            let new = NewOrder {
                owner,
                client_id: ClOrdId(id),
                tag: 3,
                security_id: SECURITIES[usize::try_from(random.below(3)).unwrap()],
                side: if random.below(2) == 0 { Side::Buy } else { Side::Sell },
                ord_type: if is_market { OrdType::Market } else { OrdType::Limit },
                time_in_force: if random.below(6) == 0 {
                    TimeInForce::ImmediateOrCancel
                } else {
                    TimeInForce::Day
                },
                price: if is_market { None } else { Some(price) },
                qty,
            };
            naive.submit(&new, &mut said);
            exchange.submit(&new, log).unwrap();
        }
        55..=79 => {
            naive.cancel(orig_owner, id, orig, &mut said);
            let _ = exchange.cancel(orig_owner, ClOrdId(id), ClOrdId(orig), log);
        }
        _ => {
            let same = naive.open.iter().find(|o| o.id == orig || o.entry == orig);
            let price = same.map_or(price, |o| if random.below(2) == 0 { o.price } else { price });
            let request = Replace {
                owner: orig_owner,
                client_id: ClOrdId(id),
                orig_client_id: ClOrdId(orig),
                price,
                qty,
            };
            naive.replace(&request, &mut said);
            let _ = exchange.replace(&request, log);
        }
    }
    said
}

#[test]
fn the_engine_does_what_the_naive_one_does() {
    for seed in 0..12 {
        let mut random = SplitMix::new(seed);
        let mut exchange = exchange(40_000, 64);
        let mut naive = Naive::default();
        for id in 1..=6_000 {
            let mut log = Log::default();
            let said = step(&mut random, id, &mut exchange, &mut naive, &mut log);
            assert_eq!(log.said, said, "seed {seed}, request {id}");
            for (instrument, security) in (0_u16..).zip(SECURITIES) {
                for side in [Side::Buy, Side::Sell] {
                    let expected = naive.book(security, side);
                    assert_eq!(
                        book(&exchange, instrument, side),
                        expected,
                        "seed {seed}, request {id}"
                    );
                }
                let [bid, ask] = [Side::Buy, Side::Sell].map(|s| exchange.best(instrument, s));
                if let (Some(bid), Some(ask)) = (bid, ask) {
                    assert!(bid < ask, "crossed: seed {seed}, request {id}");
                }
            }
            let open: u32 = (0..4).map(|owner| exchange.open_count_of(OwnerId(owner))).sum();
            assert_eq!(open, exchange.open_count());
            assert_eq!(usize::try_from(open).unwrap(), naive.open.len());
        }
    }
}

#[test]
fn quantity_is_conserved_and_numbers_only_grow() {
    let (mut random, mut exchange, mut naive) =
        (SplitMix::new(99), exchange(40_000, 64), Naive::default());
    let mut log = Log::default();
    for id in 1..=6_000 {
        step(&mut random, id, &mut exchange, &mut naive, &mut log);
    }
    let (mut last_match, mut last_reference) = (0, 0);
    for report in &log.reports {
        match report {
            Report::Trade { resting, aggressor, match_number, price, .. } => {
                assert_eq!(*match_number, last_match + 1);
                last_match = *match_number;
                for order in [resting, aggressor] {
                    assert_eq!(order.cum_qty + order.leaves_qty, order.order_qty);
                    let is_filled = order.leaves_qty == 0;
                    assert_eq!(order.status == OrdStatus::Filled, is_filled);
                }
                assert_eq!(resting.price, Some(*price));
            }
            Report::Accepted(order) | Report::Replaced { order, .. } => {
                assert_eq!(order.cum_qty + order.leaves_qty, order.order_qty);
            }
            Report::Canceled(order, _) | Report::Expired(order) => assert_eq!(order.leaves_qty, 0),
            Report::Rejected(..) | Report::CancelRejected { .. } => {}
        }
    }
    for event in &log.book {
        if let BookEvent::Added { reference, .. } | BookEvent::Replaced { new: reference, .. } =
            event
        {
            assert!(*reference > last_reference);
            last_reference = *reference;
        }
    }
    assert!(last_match > 500, "the stream traded {last_match} times only");
}

#[test]
fn each_refusal_has_its_reason() {
    let mut exchange = exchange(64, 2);
    let mut log = Log::default();
    let good = limit(1, Side::Buy, 10_000, 100);
    let refused = [
        (NewOrder { security_id: InstrumentId(8), ..good }, VenueReject::UnknownInstrument),
        (NewOrder { price: Some(Price::from_itch4(1_000_050)), ..good }, VenueReject::BadTick),
        (NewOrder { qty: 15, ..good }, VenueReject::BadLot),
        (NewOrder { qty: 0, ..good }, VenueReject::ZeroQty),
        (NewOrder { price: None, ..good }, VenueReject::BadPrice),
        (NewOrder { ord_type: OrdType::Market, ..good }, VenueReject::BadPrice),
        (NewOrder { price: Some(Price::default()), ..good }, VenueReject::BadPrice),
        (NewOrder { price: Some(Price::MIN), ..good }, VenueReject::BadPrice),
        (NewOrder { price: Some(Price::MAX), ..good }, VenueReject::BadPrice),
    ];
    for (new, reason) in refused {
        assert_eq!(exchange.submit(&new, &mut log), Err(reason));
        assert_eq!(log.reports.pop(), Some(Report::Rejected(new, reason)));
    }
    exchange.submit(&good, &mut log).unwrap();
    assert_eq!(exchange.submit(&good, &mut log), Err(VenueReject::DuplicateOrder));
    exchange.submit(&limit(2, Side::Buy, 10_001, 100), &mut log).unwrap();
    assert_eq!(
        exchange.submit(&limit(3, Side::Buy, 10_002, 100), &mut log),
        Err(VenueReject::TooManyLevels)
    );
    let replace = |id, orig, price, qty| Replace {
        owner: OwnerId(1),
        client_id: ClOrdId(id),
        orig_client_id: ClOrdId(orig),
        price: cents(price),
        qty,
    };
    assert_eq!(
        exchange.replace(&replace(9, 2, 10_002, 100), &mut log),
        Err(VenueReject::TooManyLevels)
    );
    assert_eq!(
        exchange.replace(&replace(9, 77, 10_001, 100), &mut log),
        Err(VenueReject::UnknownOrder)
    );
    assert_eq!(
        exchange.replace(&replace(1, 2, 10_001, 100), &mut log),
        Err(VenueReject::DuplicateOrder)
    );
    assert_eq!(exchange.replace(&replace(9, 2, 10_001, 105), &mut log), Err(VenueReject::BadLot));
    exchange.submit(&limit(4, Side::Sell, 10_001, 40), &mut log).unwrap();
    assert_eq!(
        exchange.replace(&replace(9, 2, 10_001, 40), &mut log),
        Err(VenueReject::QtyBelowFilled)
    );
    let cancel = |exchange: &mut Exchange, owner, orig| {
        exchange.cancel(OwnerId(owner), ClOrdId(50), ClOrdId(orig), &mut Log::default())
    };
    assert_eq!(cancel(&mut exchange, 1, 4), Err(VenueReject::TooLate));
    assert_eq!(cancel(&mut exchange, 2, 1), Err(VenueReject::UnknownOrder), "another's order");
    exchange.set_status(SECURITIES[0], TradingStatus::Halted, &mut log);
    assert_eq!(
        exchange.submit(&limit(5, Side::Buy, 10_000, 10), &mut log),
        Err(VenueReject::Halted)
    );
    assert_eq!(exchange.replace(&replace(9, 2, 10_001, 50), &mut log), Err(VenueReject::Halted));
    assert_eq!(cancel(&mut exchange, 1, 2), Ok(()), "a cancel passes in a halt");
    exchange.set_open(false);
    assert_eq!(
        exchange.submit(&limit(5, Side::Buy, 10_000, 10), &mut log),
        Err(VenueReject::MarketClosed)
    );
    assert_eq!(cancel(&mut exchange, 1, 1), Ok(()), "a cancel passes when closed");
    assert_eq!(exchange.open_count(), 0);
}

#[test]
fn a_full_exchange_refuses_and_forgets_ended_orders_oldest_first() {
    let mut exchange = exchange(3, 8);
    let mut log = Log::default();
    for id in 1..=3 {
        exchange.submit(&limit(id, Side::Buy, 10_000, 10), &mut log).unwrap();
    }
    assert_eq!(
        exchange.submit(&limit(4, Side::Buy, 10_000, 10), &mut log),
        Err(VenueReject::TooManyOrders)
    );
    for id in [2, 1] {
        exchange.cancel(OwnerId(1), ClOrdId(90 + id), ClOrdId(id), &mut log).unwrap();
    }
    exchange.submit(&limit(4, Side::Buy, 10_000, 10), &mut log).unwrap();
    assert!(exchange.find(OwnerId(1), ClOrdId(2)).is_none(), "ended first, forgotten first");
    assert_eq!(exchange.find(OwnerId(1), ClOrdId(1)).unwrap().status, OrdStatus::Canceled);
}

#[test]
fn mass_cancel_takes_the_owners_orders_oldest_first_and_no_other() {
    let mut exchange = exchange(64, 8);
    let mut log = Log::default();
    for id in 1..=6 {
        let owner = OwnerId(if id == 3 { 2 } else { 1 });
        let security_id = SECURITIES[usize::try_from(id % 2).unwrap()];
        let new = NewOrder { owner, security_id, ..limit(id, Side::Buy, 10_000, 10) };
        exchange.submit(&new, &mut log).unwrap();
    }
    log.said.clear();
    assert_eq!(
        exchange.mass_cancel(OwnerId(1), Some(SECURITIES[1]), CancelCause::Mass, &mut log),
        2
    );
    assert_eq!(exchange.mass_cancel(OwnerId(1), None, CancelCause::Disconnect, &mut log), 3);
    assert_eq!(exchange.mass_cancel(OwnerId(99), None, CancelCause::Mass, &mut log), 0);
    let order: Vec<_> =
        log.said.iter().map(|s| matches!(s, Said::Canceled(_)).then_some(*s)).collect();
    assert_eq!(order, [1, 5, 2, 4, 6].map(|id| Some(Said::Canceled(id))));
    assert_eq!(exchange.open_count_of(OwnerId(2)), 1);
}

#[test]
fn an_order_is_found_by_its_first_and_its_last_identifier() {
    let mut exchange = exchange(64, 8);
    let mut log = Log::default();
    exchange.submit(&limit(1, Side::Buy, 10_000, 50), &mut log).unwrap();
    for (id, orig) in [(2, 1), (3, 2), (4, 1)] {
        let (client_id, orig_client_id) = (ClOrdId(id), ClOrdId(orig));
        let request =
            Replace { owner: OwnerId(1), client_id, orig_client_id, price: cents(9_999), qty: 50 };
        exchange.replace(&request, &mut log).unwrap();
    }
    let found = [1, 2, 3, 4].map(|id| exchange.find(OwnerId(1), ClOrdId(id)).is_some());
    assert_eq!(found, [true, false, false, true]);
}
