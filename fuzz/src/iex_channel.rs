//! Any datagrams, one behind its length after the other, into channels of DEEP and of TOPS, taken as they come by one line or
//! waited for on two: none panic, the books stay consistent with themselves, and what was refused is some line's.

use postern::feed::arbiter::{Join, Ordering};
use postern::feed::channel::NoSink;
use postern::feed::iex::tp::{StreamId, split_block};
use postern::feed::iex::{BooksConfig, Feed, IexChannel, IexSettings};
use postern::types::{Nanos, Side};

/// Little room and little time, so that all of it is used.
const BOTH: Ordering = Ordering {
    lines: 2,
    packets_max: 2,
    wait_ns: 3,
    line_wait_ns: 2,
    messages_max: 64,
    confirm_packets: 3,
};

/// Takes any bytes; the reserved one of a segment's header says which line it comes by.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    for (feed, ordering) in [
        (Feed::Deep, Ordering::OFF),
        (Feed::Tops, Ordering::OFF),
        (Feed::Deep, BOTH),
        (Feed::Tops, BOTH),
    ] {
        let settings = IexSettings {
            feed,
            stream: StreamId(1),
            join: Join::First,
            stale_after_ns: 10,
            books: BooksConfig { levels_max: 3, books_max: 4, follow_all_symbols: true },
        };
        let mut channel = IexChannel::new(&settings, &[]).with_ordering(ordering);
        let (mut rest, mut now) = (bytes, 0);
        while let Some((datagram, after)) = split_block(rest) {
            rest = after;
            now += 1;
            let line = datagram.get(1).map_or(0, |byte| byte % 2);
            channel.on_line(line, datagram, Nanos(now), &mut NoSink);
            if channel.waits() {
                channel.advance(Nanos(now), &mut NoSink);
            }
            channel.check(Nanos(now));
        }
        channel.advance(Nanos(now + 100), &mut NoSink);
        assert!(!channel.waits(), "no hole is waited for so long");
        channel.check(Nanos(now + 100));
        let errors: u64 = channel.arbiter().line_counts().iter().map(|counts| counts.errors).sum();
        assert_eq!(errors, channel.counts().refused_packets());
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
