//! What the tests of the simulated exchange share: streams and lines that keep what was sent, and the feed that reads it.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use postern::codec::order_entry::OrderEntry;
use postern::feed::BookDigest;
use postern::feed::arbiter::Join;
use postern::feed::book::BooksConfig;
use postern::feed::channel::{Channel, ChannelSettings, NoSink};
use postern::net::PacketSink;
use postern::sim::matching::{Exchange, VenueInstrument};
use postern::sim::order::Order;
use postern::transport::{Fragment, Inbound, OfferError, Outbound, StreamEvent, TransportDown};
use postern::types::{InstrumentId, Nanos, Price, Side, Symbol};

type Sent = VecDeque<(i32, Vec<u8>)>;

/// A stream of requests: what clients sent, with the publisher's number.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    pub messages: Rc<RefCell<Sent>>,
    pub events: Rc<RefCell<VecDeque<StreamEvent>>>,
}

impl Inbound for Requests {
    fn poll(
        &mut self,
        limit: usize,
        handler: &mut impl FnMut(Fragment<'_>),
    ) -> Result<usize, TransportDown> {
        let mut count = 0;
        while count < limit {
            let Some((source, bytes)) = self.messages.borrow_mut().pop_front() else { break };
            handler(Fragment { source, bytes: &bytes });
            count += 1;
        }
        Ok(count)
    }

    fn next_event(&mut self) -> Option<StreamEvent> {
        self.events.borrow_mut().pop_front()
    }
}

/// A stream of reports with room for so many messages.
#[derive(Clone, Debug)]
pub struct Reports {
    pub messages: Rc<RefCell<VecDeque<OrderEntry>>>,
    pub room: Rc<Cell<usize>>,
}

impl Outbound for Reports {
    fn offer(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) -> Result<(), OfferError> {
        if self.room.get() == 0 {
            return Err(OfferError::BackPressured);
        }
        self.room.set(self.room.get() - 1);
        let mut message = vec![0; bytes];
        write(&mut message);
        self.messages.borrow_mut().push_back(OrderEntry::decode(&message).expect("a message"));
        Ok(())
    }

    fn is_connected(&self) -> bool {
        true
    }
}

/// A line whose packets are kept until somebody takes them.
#[derive(Clone, Debug, Default)]
pub struct Line(Rc<RefCell<Vec<Vec<u8>>>>);

impl Line {
    /// Takes the packets sent since the last time.
    pub fn take(&self) -> Vec<Vec<u8>> {
        self.0.take()
    }
}

impl PacketSink for Line {
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        let mut packet = vec![0; 9_000];
        let bytes = write(&mut packet);
        packet.truncate(bytes);
        self.0.borrow_mut().push(packet);
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The gateway's feed over a line.
pub fn feed(symbols: &[Symbol]) -> Channel {
    let books = BooksConfig {
        orders_max: 1 << 15,
        levels_max: 4_096,
        books_max: 64,
        follow_all_symbols: false,
    };
    let settings = ChannelSettings { join: Join::First, stale_after_ns: u64::MAX, books };
    Channel::new(&settings, symbols)
}

/// Lets the feed read what the line has, and holds it to no error.
pub fn read(feed: &mut Channel, line: &Line) {
    for packet in line.take() {
        feed.on_datagram(&packet, Nanos(1), &mut NoSink);
    }
    let counts = feed.counts();
    assert_eq!((counts.packet_errors, counts.message_errors, counts.misfits), (0, 0, 0));
}

/// An instrument with a tick of a cent.
pub fn instrument(symbol: &str, stock_locate: u16, security_id: u32) -> VenueInstrument {
    VenueInstrument {
        symbol: Symbol::new(symbol).expect("a symbol"),
        stock_locate,
        security_id: InstrumentId(security_id),
        tick: Price::from_itch4(100),
        lot: 1,
    }
}

/// The digest that a feed with the exchange's books has, each order under the number that `reference` gives it.
pub fn digest(exchange: &Exchange, reference: impl Fn(&Order) -> u64) -> u64 {
    let mut instruments: Vec<_> = (0..).zip(exchange.instruments()).collect();
    instruments.sort_by_key(|(_, instrument)| instrument.symbol);
    let mut digest = BookDigest::new();
    for (index, instrument) in instruments {
        let sides = [Side::Buy, Side::Sell];
        if sides.iter().all(|&side| exchange.best(index, side).is_none()) {
            continue;
        }
        digest.book(instrument.symbol);
        for side in sides {
            for level in exchange.levels(index, side) {
                for order in exchange.orders(level) {
                    digest.order(side, level.price, order.leaves_qty, reference(order));
                }
            }
        }
    }
    digest.finish()
}
