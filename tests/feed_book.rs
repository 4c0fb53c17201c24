//! The books against a plain one made of maps, on random streams of messages that fit and that do not.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

use std::collections::BTreeMap;

use postern::feed::BookDigest;
use postern::feed::book::{Best, BookIndex, Books, BooksConfig, Effect, Misfit, Refusal};
use postern::feed::itch50::{
    AddOrder, Head, Message, OrderCancel, OrderDelete, OrderExecuted, OrderExecutedWithPrice,
    OrderReplace, StockDirectory, Trade,
};
use postern::feed::market_state::MarketState;
use postern::types::{Price, Side, Symbol};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest,
};

#[derive(Clone, Copy, Debug)]
struct Standing {
    book: BookIndex,
    side: Side,
    price: Price,
    shares: u32,
    entry: usize,
}

/// Books as anybody would write them.
#[derive(Default)]
struct Oracle {
    orders: BTreeMap<u64, Standing>,
    stale: Vec<bool>,
    entries: usize,
    orders_max: usize,
}

const FIRST: u16 = 1;
const SECOND: u16 = 2;
const NOT_FOLLOWED: u16 = 3;
const NEVER_SEEN: u16 = 4;

fn symbol(locate: u16) -> Symbol {
    Symbol::new(["NONE", "AAA", "BBB", "CCC", "DDD"][usize::from(locate)]).expect("a symbol")
}

fn book_of(locate: u16) -> Option<BookIndex> {
    [FIRST, SECOND].contains(&locate).then(|| BookIndex(locate - 1))
}

type Outcome = Result<Option<BookIndex>, Misfit>;

impl Oracle {
    fn apply(&mut self, message: &Message) -> Outcome {
        let locate = message.head().locate;
        let outcome = self.outcome(message);
        if let (Err(_), Some(book)) = (outcome, book_of(locate)) {
            self.stale[book.index()] = true;
        }
        outcome
    }

    fn outcome(&mut self, message: &Message) -> Outcome {
        let locate = message.head().locate;
        match *message {
            Message::AddOrder(m) => {
                let Some(book) = book_of(locate) else { return Ok(None) };
                if m.symbol != symbol(locate) {
                    return Err(Misfit::WrongSecurity);
                }
                self.enter(m.reference, book, m.side, m.price, m.shares)
            }
            Message::OrderDelete(m) => self.take(locate, m.reference, None),
            Message::OrderCancel(m) => self.take(locate, m.reference, Some(m.shares)),
            Message::OrderExecuted(m) => self.take(locate, m.reference, Some(m.shares)),
            Message::OrderExecutedWithPrice(m) => self.take(locate, m.reference, Some(m.shares)),
            Message::OrderReplace(m) => {
                let Some(old) = self.standing(locate, m.reference)? else { return Ok(None) };
                if m.shares == 0 {
                    return Err(Misfit::ZeroShares);
                }
                if self.orders.contains_key(&m.new_reference) {
                    return Err(Misfit::DuplicateOrder);
                }
                self.orders.remove(&m.reference);
                self.enter(m.new_reference, old.book, old.side, m.price, m.shares)
            }
            _ => Ok(None),
        }
    }

    fn enter(
        &mut self,
        reference: u64,
        book: BookIndex,
        side: Side,
        price: Price,
        shares: u32,
    ) -> Outcome {
        if shares == 0 {
            return Err(Misfit::ZeroShares);
        }
        if self.orders.contains_key(&reference) {
            return Err(Misfit::DuplicateOrder);
        }
        if self.orders.len() == self.orders_max {
            return Err(Misfit::OrdersFull);
        }
        self.entries += 1;
        let entry = self.entries;
        self.orders.insert(reference, Standing { book, side, price, shares, entry });
        Ok(Some(book))
    }

    fn standing(&self, locate: u16, reference: u64) -> Result<Option<Standing>, Misfit> {
        if locate == NOT_FOLLOWED {
            return Ok(None);
        }
        let book = book_of(locate).ok_or(Misfit::UnknownOrder)?;
        match self.orders.get(&reference) {
            None => Err(Misfit::UnknownOrder),
            Some(order) if order.book != book => Err(Misfit::WrongSecurity),
            Some(order) => Ok(Some(*order)),
        }
    }

    fn take(&mut self, locate: u16, reference: u64, shares: Option<u32>) -> Outcome {
        let Some(order) = self.standing(locate, reference)? else { return Ok(None) };
        let shares = shares.unwrap_or(order.shares);
        match shares {
            0 => return Err(Misfit::ZeroShares),
            _ if shares > order.shares => return Err(Misfit::TooManyShares),
            _ if shares == order.shares => drop(self.orders.remove(&reference)),
            _ => self.orders.get_mut(&reference).expect("it stands").shares -= shares,
        }
        Ok(Some(order.book))
    }

    fn side(&self, book: BookIndex, side: Side) -> Vec<(Price, u64, u32)> {
        let mut levels: BTreeMap<Price, (u64, u32)> = BTreeMap::new();
        for order in self.orders.values().filter(|o| o.book == book && o.side == side) {
            let level = levels.entry(order.price).or_default();
            *level = (level.0 + u64::from(order.shares), level.1 + 1);
        }
        let mut levels: Vec<_> = levels.into_iter().map(|(p, (s, n))| (p, s, n)).collect();
        if side == Side::Buy {
            levels.reverse();
        }
        levels
    }

    fn best(&self, book: BookIndex) -> Best {
        let first = |side| self.side(book, side).first().map(|&(price, shares, _)| (price, shares));
        Best { bid: first(Side::Buy), ask: first(Side::Sell) }
    }

    fn digest(&self) -> u64 {
        let mut digest = BookDigest::new();
        for book in [BookIndex(0), BookIndex(1)] {
            let own = || self.orders.iter().filter(|(_, o)| o.book == book);
            if own().next().is_none() {
                continue;
            }
            digest.book(symbol(book.0 + 1));
            for side in [Side::Buy, Side::Sell] {
                for (price, ..) in self.side(book, side) {
                    let mut level: Vec<_> =
                        own().filter(|(_, o)| o.side == side && o.price == price).collect();
                    level.sort_by_key(|(_, o)| o.entry);
                    for (&reference, order) in level {
                        digest.order(side, price, order.shares, reference);
                    }
                }
            }
        }
        digest.finish()
    }
}

fn head(locate: u16) -> Head {
    Head { locate, tracking: 0, time_ns: 0 }
}

/// Of how many different prices and orders messages are.
#[derive(Clone, Copy)]
struct Spread {
    prices: u32,
    references: u64,
    /// From one order's number to the next.
    stride: u64,
}

/// Few of both, so that messages often fit what is there.
const NARROW: Spread = Spread { prices: 11, references: 24, stride: 1 };
/// More prices than are kept near the touch, and more than there may be room for; numbers that all have the same place
/// among the young orders.
const WIDE: Spread = Spread { prices: 60, references: 64, stride: 64 };

fn message(spread: Spread) -> impl Strategy<Value = Message> {
    let Spread { prices, references, stride } = spread;
    let locate = || prop_oneof![8 => Just(FIRST), 4 => Just(SECOND), 1 => Just(NOT_FOLLOWED), 1 => Just(NEVER_SEEN)];
    let reference = move || (0..references).prop_map(move |number| number * stride);
    let price = move || (1..=prices).prop_map(Price::from_itch4);
    let add = (locate(), reference(), any::<bool>(), 0..20_u32, price(), 0..40_u8).prop_map(
        |(locate, reference, buy, shares, price, odd)| {
            // A locate code that is never seen must not become known by an add.
            let locate = if locate == NEVER_SEEN { FIRST } else { locate };
            Message::AddOrder(AddOrder {
                head: head(locate),
                reference,
                side: if buy { Side::Buy } else { Side::Sell },
                shares,
                symbol: symbol(if odd == 0 { 3 - locate.min(SECOND) } else { locate }),
                price,
                attribution: None,
            })
        },
    );
    let delete = (locate(), reference()).prop_map(|(locate, reference)| {
        Message::OrderDelete(OrderDelete { head: head(locate), reference })
    });
    let cancel = (locate(), reference(), 0..20_u32).prop_map(|(locate, reference, shares)| {
        Message::OrderCancel(OrderCancel { head: head(locate), reference, shares })
    });
    let executed = (locate(), reference(), 0..20_u32).prop_map(|(locate, reference, shares)| {
        let head = head(locate);
        Message::OrderExecuted(OrderExecuted { head, reference, shares, match_number: 1 })
    });
    let elsewhere = (locate(), reference(), 0..20_u32, price()).prop_map(
        |(locate, reference, shares, price)| {
            Message::OrderExecutedWithPrice(OrderExecutedWithPrice {
                head: head(locate),
                reference,
                shares,
                match_number: 1,
                printable: true,
                price,
            })
        },
    );
    let replace = (locate(), reference(), reference(), 0..20_u32, price()).prop_map(
        |(locate, reference, new_reference, shares, price)| {
            let head = head(locate);
            Message::OrderReplace(OrderReplace { head, reference, new_reference, shares, price })
        },
    );
    let trade = (locate(), price()).prop_map(|(locate, price)| {
        Message::Trade(Trade {
            head: head(locate),
            reference: 0,
            side: Side::Buy,
            shares: 5,
            symbol: symbol(locate),
            price,
            match_number: 1,
        })
    });
    prop_oneof![
        10 => add, 3 => delete, 2 => cancel, 3 => executed, 1 => elsewhere, 3 => replace, 1 => trade
    ]
}

fn directory(locate: u16) -> Message {
    Message::StockDirectory(StockDirectory {
        head: head(locate),
        symbol: symbol(locate),
        market_category: b'Q',
        financial_status: b'N',
        round_lot: 100,
        round_lots_only: b'N',
        issue_classification: b'C',
        issue_sub_type: *b"Z ",
        authenticity: b'P',
        short_sale_threshold: b'N',
        ipo: b'N',
        luld_tier: b'1',
        etp: b'N',
        etp_leverage: 0,
        inverse: b'N',
    })
}

fn books(config: BooksConfig) -> Books {
    let mut books = Books::new(config, &[symbol(FIRST), symbol(SECOND)]);
    for locate in [FIRST, SECOND, NOT_FOLLOWED] {
        assert_eq!(books.apply(&directory(locate)), Ok(Effect::None));
    }
    books
}

const ROOMY: BooksConfig =
    BooksConfig { orders_max: 64, levels_max: 64, books_max: 2, follow_all_symbols: false };

fn compare(
    config: BooksConfig,
    messages: &[Message],
) -> Result<(), proptest::test_runner::TestCaseError> {
    let mut books = books(config);
    let mut oracle =
        Oracle { stale: vec![false; 2], orders_max: config.orders_max, ..Oracle::default() };
    let mut market = MarketState::new(config.books_max, 4);
    let mut volumes = [0; 2];
    for (place, message) in messages.iter().enumerate() {
        if place % 50 == 49 {
            // A new session begins: the numbers of the last one come again.
            books.clear();
            for locate in [FIRST, SECOND, NOT_FOLLOWED] {
                prop_assert_eq!(books.apply(&directory(locate)), Ok(Effect::None));
            }
            oracle.orders.clear();
            oracle.stale = vec![false; 2];
        }
        let applied = books.apply(message);
        match &applied {
            Ok(Effect::Executed(execution)) => market.executed(execution),
            Ok(_) => drop(market.apply(&books, message)),
            Err(_) => {}
        }
        let outcome = match applied {
            Ok(Effect::None) => Ok(None),
            Ok(Effect::Changed(book)) => Ok(Some(book)),
            Ok(Effect::Executed(execution)) => Ok(Some(execution.book)),
            Err(refusal) => Err(refusal.misfit),
        };
        prop_assert_eq!(outcome, oracle.apply(message), "{:?}", message);
        let traded = match (message, outcome) {
            (Message::OrderExecuted(m), Ok(book)) => book.zip(Some(m.shares)),
            (Message::OrderExecutedWithPrice(m), Ok(book)) => book.zip(Some(m.shares)),
            (Message::Trade(m), _) => book_of(m.head.locate).zip(Some(m.shares)),
            _ => None,
        };
        if let Some((book, shares)) = traded {
            volumes[book.index()] += u64::from(shares);
        }
        for (book, volume) in (0..).zip(volumes) {
            prop_assert_eq!(market.sales(BookIndex(book)).volume, volume, "{:?}", message);
        }
        for book in [BookIndex(0), BookIndex(1)] {
            prop_assert_eq!(books.best(book), oracle.best(book), "after {:?}", message);
            prop_assert_eq!(books.is_stale(book), oracle.stale[book.index()]);
            for side in [Side::Buy, Side::Sell] {
                let kept: Vec<_> = books.levels(book, side).collect();
                let all = oracle.side(book, side);
                prop_assert_eq!(&kept, &all[..kept.len()]);
                // All levels are kept, unless there have been more of them than there is room for.
                if config.levels_max >= 64 {
                    prop_assert_eq!(kept.len(), all.len());
                }
            }
        }
        prop_assert_eq!(books.order_count_total(), oracle.orders.len());
    }
    prop_assert_eq!(books.digest(), oracle.digest());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn books_agree_with_plain_ones(messages in proptest::collection::vec(message(NARROW), 0..200)) {
        compare(ROOMY, &messages)?;
    }

    #[test]
    fn books_of_many_levels_agree_with_plain_ones(
        messages in proptest::collection::vec(message(WIDE), 0..400),
    ) {
        compare(ROOMY, &messages)?;
    }

    #[test]
    fn best_prices_are_right_with_room_for_fewer_levels_than_there_are(
        messages in proptest::collection::vec(message(WIDE), 0..400),
        levels_max in 1..24_usize,
    ) {
        compare(BooksConfig { levels_max, ..ROOMY }, &messages)?;
    }

    #[test]
    fn running_out_of_orders_is_told_and_leaves_the_rest_right(
        messages in proptest::collection::vec(message(NARROW), 0..200),
    ) {
        compare(BooksConfig { orders_max: 5, ..ROOMY }, &messages)?;
    }
}

fn add(locate: u16, reference: u64, price: u32) -> Message {
    Message::AddOrder(AddOrder {
        head: head(locate),
        reference,
        side: Side::Buy,
        shares: 10,
        symbol: symbol(locate),
        price: Price::from_itch4(price),
        attribution: None,
    })
}

#[test]
fn a_replaced_order_loses_its_place_in_the_queue() {
    let mut books = books(ROOMY);
    books.apply(&add(FIRST, 1, 100)).expect("fits");
    books.apply(&add(FIRST, 2, 100)).expect("fits");
    let replace = OrderReplace {
        head: head(FIRST),
        reference: 1,
        new_reference: 3,
        shares: 10,
        price: Price::from_itch4(100),
    };
    books.apply(&Message::OrderReplace(replace)).expect("fits");
    let mut digest = BookDigest::new();
    digest.book(symbol(FIRST));
    for reference in [2, 3] {
        digest.order(Side::Buy, Price::from_itch4(100), 10, reference);
    }
    assert_eq!(books.digest(), digest.finish());
}

#[test]
fn a_new_session_empties_the_books_and_heals_them() {
    let mut books = books(ROOMY);
    books.apply(&add(FIRST, 1, 100)).expect("fits");
    books.apply(&add(FIRST, 1, 100)).expect_err("a duplicate");
    assert!(books.is_stale(BookIndex(0)));
    books.clear();
    assert!(!books.is_stale(BookIndex(0)));
    assert_eq!((books.best(BookIndex(0)), books.order_count_total()), (Best::default(), 0));
    assert_eq!(books.digest(), BookDigest::new().finish());
    books.apply(&add(SECOND, 1, 100)).expect("locate codes are learned anew");
}

#[test]
fn all_symbols_are_followed_up_to_the_most_there_may_be() {
    let config = BooksConfig { follow_all_symbols: true, ..ROOMY };
    let mut books = Books::new(config, &[]);
    for locate in [NOT_FOLLOWED, NEVER_SEEN] {
        books.apply(&add(locate, u64::from(locate), 100)).expect("a new book");
    }
    assert_eq!(books.by_symbol(symbol(NEVER_SEEN)), Some(BookIndex(1)));
    let refusal = books.apply(&add(FIRST, 9, 100)).expect_err("no third book");
    assert_eq!((refusal.misfit, refusal.book), (Misfit::BooksFull, None));
}

#[test]
fn more_shares_at_a_price_than_can_be_counted_are_refused() {
    let mut books = books(ROOMY);
    let huge = |reference| match add(FIRST, reference, 10) {
        Message::AddOrder(m) => Message::AddOrder(AddOrder { shares: u32::MAX, ..m }),
        other => other,
    };
    (1..=16).for_each(|reference| assert!(books.apply(&huge(reference)).is_ok()));
    let best = books.best(BookIndex(0));
    let refusal = Refusal { misfit: Misfit::LevelFull, book: Some(BookIndex(0)) };
    assert_eq!(books.apply(&huge(17)), Err(refusal));
    assert_eq!(books.best(BookIndex(0)), best, "nothing was changed");
    assert_eq!(books.order_count_total(), 16);
    assert!(books.is_stale(BookIndex(0)) && !books.is_stale(BookIndex(1)));
    assert!(books.apply(&add(FIRST, 17, 11)).is_ok(), "its number was not taken");
}
