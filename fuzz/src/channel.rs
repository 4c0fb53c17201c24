//! Any datagrams, one behind its length after the other, into a channel: none panic.

use postern::feed::arbiter::Join;
use postern::feed::book::BooksConfig;
use postern::feed::channel::{Channel, ChannelSettings, NoSink};
use postern::feed::moldudp64::split_block;
use postern::types::Nanos;

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let settings = ChannelSettings {
        join: Join::First,
        stale_after_ns: 10,
        books: BooksConfig {
            orders_max: 16,
            levels_max: 3,
            books_max: 4,
            follow_all_symbols: true,
        },
    };
    let mut channel = Channel::new(&settings, &[]);
    let (mut rest, mut now) = (bytes, 0);
    while let Some((datagram, after)) = split_block(rest) {
        rest = after;
        now += 1;
        channel.on_datagram(datagram, Nanos(now), &mut NoSink);
    }
    channel.check(Nanos(now + 100));
}
