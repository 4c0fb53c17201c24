//! A copy of all books at one moment, for comparing after a run.

use crate::feed::book::BookIndex;
use crate::feed::view::{AnyBooks, BookView};
use crate::types::{ChannelId, FeedState, Price, Side, Symbol};

/// One price level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelSnapshot {
    /// Its price.
    pub price: Price,
    /// Shares of all its orders.
    pub shares: u64,
    /// How many orders those are; 0 where the exchange does not tell.
    pub orders: u32,
}

/// One security's book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookSnapshot {
    /// The security.
    pub symbol: Symbol,
    /// The channel it came by.
    pub channel: ChannelId,
    /// Bids, best first.
    pub bids: Vec<LevelSnapshot>,
    /// Offers, best first.
    pub asks: Vec<LevelSnapshot>,
    /// Orders on both sides; 0 where the exchange does not tell.
    pub orders: u32,
    /// Whether it may differ from the exchange's.
    pub is_stale: bool,
}

impl BookSnapshot {
    /// The book at `index`; one in transition has no levels.
    pub(super) fn of(books: AnyBooks<'_>, index: BookIndex, channel: ChannelId) -> BookSnapshot {
        let levels = |side| {
            let mut levels = Vec::new();
            books.each_level(index, side, usize::MAX, |price, shares, orders| {
                levels.push(LevelSnapshot { price, shares, orders });
            });
            levels
        };
        let (symbol, orders) = match books {
            AnyBooks::Itch(view) => (view.books.symbol(index), view.books.order_count(index)),
            AnyBooks::Iex(books) => (books.symbol(index), 0),
            AnyBooks::Sbe(books) => (books.symbol(index), 0),
        };
        BookSnapshot {
            symbol,
            channel,
            bids: levels(Side::Buy),
            asks: levels(Side::Sell),
            orders,
            is_stale: books.is_stale(index),
        }
    }
}

/// What a channel came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSnapshot {
    /// The channel.
    pub id: ChannelId,
    /// Its state at the end.
    pub state: FeedState,
    /// The message it expects next.
    pub next_sequence: u64,
    /// Gaps in its sequence.
    pub gaps: u64,
    /// Messages it took.
    pub messages: u64,
    /// Datagrams and messages refused, and messages that did not fit their book.
    pub errors: u64,
}

/// All books and channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BooksSnapshot {
    /// By symbol.
    pub books: Vec<BookSnapshot>,
    /// In the order of the configuration.
    pub channels: Vec<ChannelSnapshot>,
    /// [`BookDigest`](crate::feed::BookDigest) of all books.
    pub digest: u64,
}
