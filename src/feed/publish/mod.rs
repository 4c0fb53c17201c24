//! What strategies are told: normalised market data, conflated where they do not keep up.
//!
//! An instrument is told on its own stream, or on the one that all others share, and on every copy: a stream of all
//! instruments for one strategy, which then holds back nobody else. What a stream's readers know of a
//! book is kept as it was told, and only the difference to the book is sent, after each datagram that touched it. While a
//! stream is full nothing is lost but what was between: its instruments wait in turn, and when there is room each is told
//! how many states were left out, and the newest. Trades, and what else happens once, cannot be conflated and are dropped, counted
//! and told too.
//! `RptSeq` counts what was sent in a stream, so a hole tells a reader that it lost messages; it then waits for a snapshot.
//!
//! The states of channels are told ten times a second besides, so that a reader who comes late knows them, and who reads
//! nothing for long knows that we are gone.
//!
//! Nothing is sent while nobody reads. Whoever comes to a stream that nobody read is told everything.
//!
//! A book is stale while its channel is, or where messages did not fit it. Its readers are told so and hold no prices of
//! it; when it is current again they are told all of it.

mod ladder;
mod outlet;
mod snapshots;
mod stream;
mod told;

use crate::codec::Message;
use crate::codec::market_data::{AuctionImbalance, ChannelStatus, SecurityStatus, Trade};
use crate::feed::publish::outlet::{Outlet, is_stale};
use crate::feed::publish::snapshots::Snapshots;
use crate::feed::publish::told::Room;
use crate::feed::view::{AnyBooks, BookView};
use crate::runtime::Fatal;
use crate::telemetry::Registry;
use crate::transport::Outbound;
use crate::types::{InstrumentId, Nanos, UtcNanos};

pub(super) use told::Listing;

/// Most price levels of a side that can be told.
pub const DEPTH_MAX: usize = 64;

/// How market data goes out besides the best bids and offers on the stream that all instruments share.
#[derive(Debug)]
pub struct MarketDataStreams<O> {
    /// Price levels told of each side, 0 to [`DEPTH_MAX`]; 0: best bid and offer only.
    pub depth: usize,
    /// Instruments with a stream of their own, on which they are told instead of on the shared one.
    pub own: Vec<(InstrumentId, O)>,
    /// Streams on which all instruments are told once more, each for one reader.
    pub copies: Vec<O>,
    /// Where snapshots of all instruments go.
    pub snapshots: Option<SnapshotStream<O>>,
}

/// The stream of snapshots, for who comes late.
#[derive(Debug)]
pub struct SnapshotStream<O> {
    /// The stream.
    pub out: O,
    /// In which time every instrument has its turn, in nanoseconds, above 0.
    pub interval_ns: u64,
}

/// Where an instrument is told.
#[derive(Clone, Copy, Debug)]
struct Home {
    outlet: usize,
    member: usize,
}

#[derive(Debug)]
pub(super) struct Publisher<O> {
    /// The first is the shared one.
    outlets: Vec<Outlet<O>>,
    /// By instrument: first where it is told to all, then the copies.
    homes: Vec<Vec<Home>>,
    /// The outlet that is looked at next.
    look_next: usize,
    /// By channel, as last told.
    channels: Vec<Option<ChannelStatus>>,
    snapshots: Option<Snapshots<O>>,
    room: Room,
}

impl<O: Outbound> Publisher<O> {
    /// Tells best bids and offers of `listings` on the stream `out`.
    pub(super) fn new(out: O, registry: &Registry, listings: &[Listing], channels: usize) -> Self {
        let shared = Outlet::new(out, registry, listings.iter().copied(), 0, channels);
        Publisher {
            outlets: vec![shared],
            homes: (0..listings.len()).map(|member| vec![Home { outlet: 0, member }]).collect(),
            look_next: 0,
            channels: vec![None; channels],
            snapshots: None,
            room: Room::new(0),
        }
    }

    /// The same with depth, streams of single instruments, copies and snapshots. Before the first poll. Allocates.
    ///
    /// # Panics
    /// If the depth is above [`DEPTH_MAX`], the interval of snapshots is 0, or a stream is for an instrument that is not
    /// configured or has one.
    pub(super) fn extended(mut self, streams: MarketDataStreams<O>, registry: &Registry) -> Self {
        let MarketDataStreams { depth, own, copies, snapshots } = streams;
        assert!(depth <= DEPTH_MAX, "{depth} levels are more than {DEPTH_MAX}");
        let shared = self.outlets.remove(0);
        let listings: Vec<Listing> = shared.told.iter().map(|told| told.listing).collect();
        let channels = self.channels.len();
        let mut alone: Vec<Option<usize>> = vec![None; listings.len()];
        let mut outlets = Vec::with_capacity(own.len() + copies.len());
        for (id, out) in own {
            let place = listings.iter().position(|listing| listing.definition.security_id == id);
            let place = place.unwrap_or_else(|| panic!("no instrument {id} for a stream"));
            let stands = alone[place].replace(1 + outlets.len());
            assert!(stands.is_none(), "instrument {id} has two streams of its own");
            let listing = std::iter::once(listings[place]);
            outlets.push(Outlet::new(out, registry, listing, depth, channels));
        }
        let first_copy = 1 + outlets.len();
        outlets.extend(
            copies
                .into_iter()
                .map(|out| Outlet::new(out, registry, listings.iter().copied(), depth, channels)),
        );
        let together = listings.iter().zip(&alone).filter(|(_, alone)| alone.is_none());
        self.outlets = vec![shared.rebuilt(registry, together.map(|(l, _)| *l), depth)];
        self.outlets.extend(outlets);
        let mut members = 0..;
        self.homes = (0..listings.len())
            .map(|place| {
                let first = match alone[place] {
                    Some(outlet) => Home { outlet, member: 0 },
                    None => Home { outlet: 0, member: members.next().unwrap_or(0) },
                };
                let copies = first_copy..self.outlets.len();
                let copies = copies.map(|outlet| Home { outlet, member: place });
                std::iter::once(first).chain(copies).collect()
            })
            .collect();
        self.room = Room::new(depth);
        self.snapshots =
            snapshots.map(|stream| Snapshots::new(stream, registry, depth, listings.len()));
        self
    }

    /// Why a stream is gone for good, if one is.
    #[inline]
    pub(super) fn fatal(&self) -> Option<Fatal> {
        let streams = self.outlets.iter().find_map(|outlet| outlet.stream.fatal());
        streams.or_else(|| self.snapshots.as_ref().and_then(Snapshots::fatal))
    }

    /// The instrument's trading status, to be told with its book.
    pub(super) fn status(&mut self, place: usize, status: SecurityStatus) {
        for home in &self.homes[place] {
            self.outlets[home.outlet].status(home.member, status);
        }
    }

    /// A trade: sent now or never.
    pub(super) fn trade(&mut self, place: usize, trade: Trade) {
        self.event(place, |rpt_seq| Trade { rpt_seq, ..trade });
    }

    /// What happened once, as a trade did: sent now or never.
    pub(super) fn event<M: Message>(&mut self, place: usize, numbered: impl Fn(u64) -> M) {
        for home in &self.homes[place] {
            self.outlets[home.outlet].event(home.member, &numbered);
        }
    }

    /// How the instrument's coming cross stands, to be told with its book.
    pub(super) fn auction(&mut self, place: usize, auction: AuctionImbalance) {
        for home in &self.homes[place] {
            self.outlets[home.outlet].auction(home.member, auction);
        }
    }

    /// There is no coming cross any more that could still be told of.
    pub(super) fn forget_auction(&mut self, place: usize) {
        for home in &self.homes[place] {
            let told = &mut self.outlets[home.outlet].told[home.member];
            (told.auction, told.is_auction_due) = (None, false);
        }
    }

    /// Where the feed itself was told that something was left out: so are strategies, with the instrument's book.
    pub(super) fn left_out(&mut self, place: usize, conflated: u32, dropped: u32) {
        for home in &self.homes[place] {
            self.outlets[home.outlet].left_out(home.member, conflated, dropped);
        }
    }

    /// The state of the channel at `channel`; its instruments are told theirs in the next [`Publisher::retry`].
    pub(super) fn channel(&mut self, channel: usize, status: ChannelStatus) {
        let was = self.channels[channel].replace(status);
        let has_turned = was.map(is_stale) != Some(is_stale(status));
        for outlet in &mut self.outlets {
            outlet.channel(channel, status, has_turned);
        }
    }

    /// Tells what the datagram in hand changed of the instrument at `place`.
    #[inline]
    pub(super) fn tell(&mut self, place: usize, books: &impl BookView, time: UtcNanos) {
        let Publisher { outlets, homes, channels, room, .. } = self;
        for home in &homes[place] {
            outlets[home.outlet].tell(home.member, books, time, channels, room);
        }
    }

    /// Looks who reads, and sends what waits as far as there is room and the cycle's share goes; returns how many
    /// messages that was. `books` are those of a channel, by place.
    #[inline]
    pub(super) fn retry<'b>(&mut self, now: Nanos, books: impl Fn(usize) -> AnyBooks<'b>) -> usize {
        let Publisher { outlets, homes, channels, room, snapshots, .. } = self;
        // One stream in each cycle: a look costs as much as a message.
        outlets[self.look_next].look();
        self.look_next = (self.look_next + 1) % outlets.len();
        let mut count = 0;
        for outlet in outlets.iter_mut() {
            count += outlet.retry(now, &books, channels, room);
        }
        if let Some(snapshots) = snapshots {
            count += snapshots.poll(now, outlets, homes, channels, &books);
        }
        count
    }
}
