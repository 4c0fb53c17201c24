//! Any run of length-framed messages into small books and the state beside them: none panic, and both stay consistent with
//! themselves.

use postern::feed::book::{Books, BooksConfig, Effect};
use postern::feed::itch50::decode;
use postern::feed::market_state::MarketState;
use postern::feed::moldudp64::split_block;
use postern::types::{Side, TradingStatus};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let config =
        BooksConfig { orders_max: 16, levels_max: 3, books_max: 4, follow_all_symbols: true };
    let mut books = Books::new(config, &[]);
    let mut market = MarketState::new(config.books_max, 8);
    let mut rest = bytes;
    while let Some((message, after)) = split_block(rest) {
        rest = after;
        if let Ok(message) = decode(message) {
            match books.apply(&message) {
                Ok(Effect::Executed(execution)) => market.executed(&execution),
                Ok(Effect::Changed(_) | Effect::None) => {
                    let _ = market.apply(&books, &message);
                }
                Err(_) => {}
            }
        }
    }
    let counts = market.counts();
    assert!(counts.unknown_breaks <= counts.breaks);
    let mut orders = 0;
    for book in books.indices() {
        let sales = market.sales(book);
        assert!(sales.last.is_none() || sales.trades > 0);
        if market.is_continuous(book) {
            assert_eq!(market.security(book).trading, TradingStatus::Trading);
        }
        orders += usize::try_from(books.order_count(book)).expect("at most 16");
        let best = books.best(book);
        for (side, best) in [(Side::Buy, best.bid), (Side::Sell, best.ask)] {
            let levels: Vec<_> = books.levels(book, side).collect();
            assert_eq!(levels.first().map(|&(price, shares, _)| (price, shares)), best);
            assert!(levels.iter().all(|&(_, shares, orders)| shares > 0 && orders > 0));
            let sorted = |a: &(_, u64, u32), b: &(_, u64, u32)| match side {
                Side::Buy => a.0 > b.0,
                Side::Sell => a.0 < b.0,
            };
            assert!(levels.windows(2).all(|pair| sorted(&pair[0], &pair[1])));
        }
    }
    assert_eq!(orders, books.order_count_total());
}
