//! Any datagrams, one behind its length after the other, into a channel of DEEP and one of TOPS: none panic, and the books
//! stay consistent with themselves.

use postern::feed::arbiter::Join;
use postern::feed::channel::NoSink;
use postern::feed::iex::tp::{StreamId, split_block};
use postern::feed::iex::{BooksConfig, Feed, IexChannel, IexSettings};
use postern::types::{Nanos, Side};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    for feed in [Feed::Deep, Feed::Tops] {
        let settings = IexSettings {
            feed,
            stream: StreamId(1),
            join: Join::First,
            stale_after_ns: 10,
            books: BooksConfig { levels_max: 3, books_max: 4, follow_all_symbols: true },
        };
        let mut channel = IexChannel::new(&settings, &[]);
        let (mut rest, mut now) = (bytes, 0);
        while let Some((datagram, after)) = split_block(rest) {
            rest = after;
            now += 1;
            channel.on_datagram(datagram, Nanos(now), &mut NoSink);
        }
        channel.check(Nanos(now + 100));
        let books = channel.books();
        for book in books.indices() {
            let best = books.best(book);
            for (side, best) in [(Side::Buy, best.bid), (Side::Sell, best.ask)] {
                let Some(levels) = books.levels(book, side) else { continue };
                let levels: Vec<_> = levels.collect();
                assert_eq!(levels.first().map(|&(price, size)| (price, u64::from(size))), best);
                assert!(levels.iter().all(|&(_, size)| size > 0));
                assert!(levels.windows(2).all(|pair| match side {
                    Side::Buy => pair[0].0 > pair[1].0,
                    Side::Sell => pair[0].0 < pair[1].0,
                }));
            }
        }
    }
}
