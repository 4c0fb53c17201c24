//! Any messages on either line of a channel that reads another gateway, and publishers that come and go: none panic, a stale book
//! has no prices, and the others have their levels in order.

use postern::feed::book::Best;
use postern::feed::channel::NoSink;
use postern::feed::sbe::{SbeChannel, SbeSettings};
use postern::net::PublisherChange;
use postern::types::{Nanos, Side, Symbol};

/// What happens, header and block of the longest message.
const MESSAGE_BYTES_MAX: usize = 81;

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let symbols = ["AAA", "BBB"].map(|text| Symbol::new(text).expect("a symbol"));
    let mut channel = SbeChannel::new(&SbeSettings { stale_after_ns: 10 }, &symbols);
    for (now, chunk) in (0..).map(Nanos).zip(bytes.chunks(MESSAGE_BYTES_MAX)) {
        let Some((&how, rest)) = chunk.split_first() else { continue };
        let (line, source) = (how & 1, i32::from(how >> 1 & 3));
        let change = match how >> 3 & 15 {
            0 => Some(PublisherChange::Came(source)),
            1 => Some(PublisherChange::Speaks(source)),
            2 => Some(PublisherChange::Went(source)),
            _ => None,
        };
        if let Some(change) = change {
            channel.on_publisher(line, change, &mut NoSink);
        }
        // The message is as long as its header says, so that most chunks hold one.
        let block =
            rest.first_chunk::<2>().map_or(0, |size| usize::from(u16::from_le_bytes(*size)));
        channel.on_message(line, rest.get(..8 + block).unwrap_or(rest), now, &mut NoSink);
        channel.check(now);
        let books = channel.books();
        for book in books.indices() {
            if books.is_stale(book) {
                assert_eq!(books.best(book), Best::default());
                continue;
            }
            for side in [Side::Buy, Side::Sell] {
                let prices: Vec<_> = books.levels(book, side).map(|(price, _, _)| price).collect();
                assert!(prices.windows(2).all(|pair| match side {
                    Side::Buy => pair[0] > pair[1],
                    Side::Sell => pair[0] < pair[1],
                }));
            }
        }
    }
}
