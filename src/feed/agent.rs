//! The agent `feed`: polls its packet source, keeps books, tells risk and strategies what changed.

use std::io;
use std::sync::{Arc, OnceLock};

use crate::codec::journal::FeedStatus;
use crate::codec::market_data::{ChannelStatus, SecurityDefinition};
use crate::feed::arbiter::Ordering;
use crate::feed::book::{Best, BookIndex, Books};
use crate::feed::channel::Channel;
use crate::feed::channels::{AnyChannel, ProtocolSettings, digest_of};
use crate::feed::iex::IexChannel;
use crate::feed::out::{Instrument, Out, OutCounts, Sink};
use crate::feed::publish::{Listing, MarketDataStreams, Publisher};
use crate::feed::recovery::RecoverySettings;
use crate::feed::reference::References;
use crate::feed::sbe::SbeChannel;
use crate::feed::snapshot::{BookSnapshot, BooksSnapshot};
use crate::feed::tally::Tally;
use crate::net::{Datagram, DatagramHandler, PacketSource, Polled, PublisherChange, RecoveryLink};
use crate::ring::Producer;
use crate::runtime::{Agent, Clock, Fatal};
use crate::telemetry::{LinkGauge, Registry};
use crate::transport::Outbound;
use crate::types::{
    ChannelId, FeedState, InstrumentId, Nanos, Price, SessionPhase, Symbol, UtcNanos,
};

/// A market data channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Its number.
    pub id: ChannelId,
    /// Its protocol, and how it is kept.
    pub settings: ProtocolSettings,
    /// UTC of the exchange's midnight, from which the times in messages of ITCH count; those of all others are UTC.
    pub midnight: UtcNanos,
}

/// An instrument that risk and strategies are told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentConfig {
    /// Its number.
    pub id: InstrumentId,
    /// Its symbol on the feed.
    pub symbol: Symbol,
    /// The channel it comes by.
    pub channel: ChannelId,
    /// Smallest price step.
    pub tick: Price,
    /// Shares in a round lot.
    pub lot: u32,
}

/// How a channel deals with packets out of order and with lost ones.
#[derive(Debug)]
pub struct ChannelRecovery {
    /// How it waits for packets out of order.
    pub ordering: Ordering,
    /// What servers there are, and how they are asked.
    pub settings: RecoverySettings,
    /// The way to them; `None` where there are none. Only looked at while something is lost, so its calls may be virtual.
    pub link: Option<Box<dyn RecoveryLink>>,
}

/// What the agent is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedConfig {
    /// The channels.
    pub channels: Vec<ChannelConfig>,
    /// The instruments; each on one of the channels.
    pub instruments: Vec<InstrumentConfig>,
    /// Datagrams taken in one duty cycle.
    pub poll_budget: u32,
    /// How often risk is told that a channel is current while it is.
    pub status_interval_ns: u64,
}

impl FeedConfig {
    fn check(&self) {
        for (place, channel) in self.channels.iter().enumerate() {
            let first = self.channels.iter().position(|other| other.id == channel.id);
            assert!(first == Some(place), "channel {} is configured twice", channel.id);
        }
        for instrument in &self.instruments {
            let InstrumentConfig { id, channel, .. } = instrument;
            let known = self.channels.iter().any(|other| other.id == *channel);
            assert!(known, "instrument {id} is on channel {channel}, which is not configured");
        }
        assert!(self.poll_budget > 0, "a duty cycle takes at least one datagram");
    }
}

/// A channel, and where its instruments begin among all.
#[derive(Debug)]
struct ChannelSlot {
    id: ChannelId,
    /// What the times of its messages count from.
    epoch: UtcNanos,
    /// Time of the last message, for a stream whose messages do not all have one.
    last: UtcNanos,
    channel: AnyChannel,
    /// The book at place `n` belongs to the instrument at place `first + n`.
    first: usize,
    /// Books of instruments; those beyond belong to none.
    count: usize,
    told: Option<FeedState>,
    /// Session phase and circuit breaker as strategies were told last.
    told_session: (SessionPhase, u8),
    link: Option<Box<dyn RecoveryLink>>,
}

#[derive(Debug)]
struct Core<O> {
    channels: Vec<ChannelSlot>,
    out: Out<O>,
    clock: Clock,
    now: Nanos,
    unknown_channels: u64,
    /// For whoever looks at the process's health; none or one for each channel.
    links: Vec<LinkGauge>,
}

/// The agent. Subscribe the source to its groups before it is handed over.
#[derive(Debug)]
pub struct FeedAgent<S, O> {
    source: S,
    core: Core<O>,
    poll_budget: u32,
    status_interval_ns: u64,
    next_status: Nanos,
    is_over: bool,
    tally: Tally,
    snapshot: Arc<OnceLock<BooksSnapshot>>,
}

impl<S: PacketSource, O: Outbound> FeedAgent<S, O> {
    /// The agent that polls `source` and tells risk through `feed_risk` and strategies through `out`. All memory is
    /// allocated here. When it closes it leaves its books in `snapshot`.
    ///
    /// # Panics
    /// If a channel is configured twice, or an instrument is on none: the configuration was to be checked before.
    pub fn new(
        config: &FeedConfig,
        source: S,
        out: O,
        feed_risk: Producer,
        registry: &Registry,
        clock: Clock,
        snapshot: Arc<OnceLock<BooksSnapshot>>,
    ) -> FeedAgent<S, O> {
        config.check();
        let mut instruments = Vec::with_capacity(config.instruments.len());
        let channels =
            config.channels.iter().map(|channel| slot(config, channel, &mut instruments));
        let channels: Vec<ChannelSlot> = channels.collect();
        let out = Out {
            touched: Vec::with_capacity(instruments.len()),
            references: References::new(
                feed_risk,
                clock,
                registry,
                instruments.len(),
                channels.len(),
            ),
            publisher: Publisher::new(
                out,
                registry,
                &listings(&channels, &instruments),
                channels.len(),
            ),
            instruments,
            counts: OutCounts::default(),
        };
        FeedAgent {
            source,
            core: Core {
                channels,
                out,
                clock,
                now: Nanos(0),
                unknown_channels: 0,
                links: Vec::new(),
            },
            poll_budget: config.poll_budget,
            status_interval_ns: config.status_interval_ns,
            next_status: Nanos(0),
            is_over: false,
            tally: Tally::new(registry),
            snapshot,
        }
    }

    /// The same, telling `links`, one for each channel in the order of the configuration, whether its channel is current.
    #[must_use]
    pub fn with_links(mut self, links: Vec<LinkGauge>) -> FeedAgent<S, O> {
        self.core.links = links;
        self
    }

    /// The same, telling strategies more than best bids and offers on one stream. Before the first poll.
    ///
    /// # Panics
    /// If the depth is above [`DEPTH_MAX`](crate::feed::DEPTH_MAX), the interval of snapshots is 0, or a stream is for an
    /// instrument that is not configured or has one already.
    #[must_use]
    pub fn with_market_data(
        mut self,
        streams: MarketDataStreams<O>,
        registry: &Registry,
    ) -> FeedAgent<S, O> {
        self.core.out.publisher = self.core.out.publisher.extended(streams, registry);
        self
    }

    /// The same, whose channels wait for packets out of order and recover lost ones, each as said at its place of
    /// `recoveries`, in the order of the configuration. Allocates.
    ///
    /// # Panics
    /// If there are not as many as channels, one that is not of ITCH has a server, or as [`Channel::with_recovery`].
    #[must_use]
    pub fn with_recovery(mut self, recoveries: Vec<ChannelRecovery>) -> FeedAgent<S, O> {
        assert_eq!(recoveries.len(), self.core.channels.len(), "one for each channel");
        let slots = self.core.channels.into_iter().zip(recoveries);
        let with = |(slot, recovery): (ChannelSlot, ChannelRecovery)| ChannelSlot {
            channel: slot.channel.with_recovery(recovery.ordering, &recovery.settings),
            link: recovery.link,
            ..slot
        };
        self.core.channels = slots.map(with).collect();
        self
    }

    /// The books of each channel of ITCH, in the order of the configuration.
    pub fn books(&self) -> impl Iterator<Item = (ChannelId, &Books)> {
        self.channels().map(|(id, channel)| (id, channel.books()))
    }

    /// Each channel of ITCH with what it took in, in the order of the configuration.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.core.channels.iter().filter_map(|slot| Some((slot.id, slot.channel.itch()?)))
    }

    /// Each channel of IEX with its books and what it took in, in the order of the configuration.
    pub fn iex_channels(&self) -> impl Iterator<Item = (ChannelId, &IexChannel)> {
        self.core.channels.iter().filter_map(|slot| Some((slot.id, slot.channel.iex()?)))
    }

    /// Each channel that is another gateway's market data, in the order of the configuration.
    pub fn sbe_channels(&self) -> impl Iterator<Item = (ChannelId, &SbeChannel)> {
        self.core.channels.iter().filter_map(|slot| Some((slot.id, slot.channel.sbe()?)))
    }

    /// The digest of the books of all channels: see [`BookDigest`](crate::feed::BookDigest). Sorts a copy of all orders.
    pub fn digest(&self) -> u64 {
        digest_of(self.core.channels.iter().map(|slot| &slot.channel))
    }

    /// A copy of all books and channels as they are. Allocates.
    pub fn snapshot(&self) -> BooksSnapshot {
        self.core.snapshot()
    }

    /// Whether the source has come to its end: a capture was played.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The packet source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    #[cold]
    fn heartbeat(&mut self, now: Nanos) {
        self.next_status = now.plus(self.status_interval_ns);
        for place in 0..self.core.channels.len() {
            let slot = &mut self.core.channels[place];
            let is_told = slot.told == Some(FeedState::Current);
            if is_told && slot.channel.check(now) == FeedState::Current {
                self.core.tell_risk(place, FeedState::Current);
            }
        }
        self.tell_tally();
    }

    fn tell_tally(&self) {
        let channels = self.core.channels.iter().map(|slot| &slot.channel);
        let (unknown, out) = (self.core.unknown_channels, self.core.out.counts);
        let arrived = (self.source.drops(), self.source.bypass());
        self.tally.set(channels, unknown, arrived, out);
    }
}

/// The channel with books for its instruments, which are added to `instruments`.
fn slot(
    config: &FeedConfig,
    channel: &ChannelConfig,
    instruments: &mut Vec<Instrument>,
) -> ChannelSlot {
    let first = instruments.len();
    let own = config.instruments.iter().filter(|instrument| instrument.channel == channel.id);
    instruments.extend(own.map(|&config| Instrument {
        config,
        best: Best::default(),
        status: None,
        is_touched: false,
        is_contradicted: false,
    }));
    let symbols: Vec<Symbol> =
        instruments[first..].iter().map(|instrument| instrument.config.symbol).collect();
    ChannelSlot {
        id: channel.id,
        epoch: match channel.settings {
            ProtocolSettings::Itch(_) => channel.midnight,
            ProtocolSettings::Iex(_) | ProtocolSettings::Sbe(_) => UtcNanos(0),
        },
        last: UtcNanos(0),
        channel: AnyChannel::new(&channel.settings, &symbols),
        first,
        count: symbols.len(),
        told: None,
        told_session: (SessionPhase::Unknown, 0),
        link: None,
    }
}

/// What the publisher has to know of the instruments, in their order.
fn listings(channels: &[ChannelSlot], instruments: &[Instrument]) -> Vec<Listing> {
    let mut listings = Vec::with_capacity(instruments.len());
    for (channel, slot) in channels.iter().enumerate() {
        let own = &instruments[slot.first..slot.first + slot.count];
        listings.extend((0..).zip(own).map(|(book, instrument)| {
            let InstrumentConfig { id, symbol, tick, lot, .. } = instrument.config;
            let definition = SecurityDefinition {
                rpt_seq: 0,
                min_price_increment: tick,
                round_lot: lot,
                security_id: id,
                symbol: symbol.wire(),
            };
            Listing { channel, channel_id: slot.id, book: BookIndex(book), definition }
        }));
    }
    listings
}

impl<S: PacketSource, O: Outbound> Agent for FeedAgent<S, O> {
    fn name(&self) -> &'static str {
        "feed"
    }

    #[inline]
    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        self.core.now = now;
        let mut work = self.core.out.references.retry() + self.core.publish(now);
        self.source.advance(now);
        match self.source.poll(self.poll_budget, &mut self.core) {
            Ok(Polled::Got(count)) => work += usize::try_from(count).unwrap_or(usize::MAX),
            Ok(Polled::Idle) => {}
            Ok(Polled::End) => self.is_over = true,
            Err(error) => return Err(fatal_of(&error)),
        }
        work += self.core.recover(now);
        // Before the states are looked at, so that a change is told once.
        if now >= self.next_status {
            self.heartbeat(now);
        }
        work += self.core.check_channels(now);
        match self.core.out.publisher.fatal() {
            Some(fatal) => Err(fatal),
            None => Ok(work),
        }
    }

    fn on_close(&mut self, _: Nanos) {
        self.tell_tally();
        // Whoever gave the cell gave it to one agent; a second value would be a second closing, which changes nothing.
        let _ = self.snapshot.set(self.core.snapshot());
    }
}

/// What ends the agent where a source fails: only a stream can be not connected any more.
#[cold]
fn fatal_of(error: &io::Error) -> Fatal {
    match error.kind() == io::ErrorKind::NotConnected {
        true => Fatal::TransportDown,
        false => Fatal::NetworkFailed,
    }
}

impl<O: Outbound> DatagramHandler for Core<O> {
    #[inline]
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        let ingress = self.clock.now();
        let Some(slot) = self.channels.iter_mut().find(|slot| slot.id == datagram.channel) else {
            self.unknown_channels += 1;
            return;
        };
        let (id, first) = (slot.id, slot.first);
        let mut sink = Sink::new(&mut self.out, first, slot.count, slot.epoch);
        // The one question about the protocol a datagram costs.
        match &mut slot.channel {
            AnyChannel::Itch(channel) => {
                channel.on_line(datagram.line, datagram.payload, self.now, &mut sink);
                let time = sink.time();
                self.out.tell_touched(&channel.view(), first, id, time, ingress);
            }
            AnyChannel::Iex(channel) => {
                channel.on_line(datagram.line, datagram.payload, self.now, &mut sink);
                if sink.time() != UtcNanos(0) {
                    slot.last = sink.time();
                }
                let time = slot.last;
                self.out.tell_touched(channel.books(), first, id, time, ingress);
            }
            AnyChannel::Sbe(channel) => {
                channel.on_message(datagram.line, datagram.payload, self.now, &mut sink);
                if sink.time() != UtcNanos(0) {
                    slot.last = sink.time();
                }
                let time = slot.last;
                self.out.tell_touched(channel.books(), first, id, time, ingress);
            }
        }
    }

    #[cold]
    fn on_publisher(&mut self, channel: ChannelId, line: u8, change: PublisherChange) {
        let ingress = self.clock.now();
        let Some(slot) = self.channels.iter_mut().find(|slot| slot.id == channel) else { return };
        let AnyChannel::Sbe(channel) = &mut slot.channel else { return };
        let mut sink = Sink::new(&mut self.out, slot.first, slot.count, slot.epoch);
        channel.on_publisher(line, change, &mut sink);
        self.out.tell_touched(channel.books(), slot.first, slot.id, slot.last, ingress);
    }
}

impl<O: Outbound> Core<O> {
    /// Lets time pass for channels that wait for something, and recovers those that lost something.
    #[inline]
    fn recover(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        for place in 0..self.channels.len() {
            if self.channels[place].channel.is_in_want() {
                work += self.recover_channel(place, now);
            }
        }
        work
    }

    #[cold]
    fn recover_channel(&mut self, place: usize, now: Nanos) -> usize {
        let ingress = self.clock.now();
        let slot = &mut self.channels[place];
        let mut sink = Sink::new(&mut self.out, slot.first, slot.count, slot.epoch);
        match &mut slot.channel {
            AnyChannel::Itch(channel) => {
                channel.advance(now, &mut sink);
                let work = match &mut slot.link {
                    Some(link) => channel.recover(&mut **link, now, &mut sink),
                    None => 0,
                };
                let time = sink.time();
                self.out.tell_touched(&channel.view(), slot.first, slot.id, time, ingress);
                work
            }
            AnyChannel::Iex(channel) => {
                channel.advance(now, &mut sink);
                if sink.time() != UtcNanos(0) {
                    slot.last = sink.time();
                }
                self.out.tell_touched(channel.books(), slot.first, slot.id, slot.last, ingress);
                0
            }
            AnyChannel::Sbe(_) => 0,
        }
    }

    /// Looks at each channel's state and tells what changed.
    #[inline]
    fn check_channels(&mut self, now: Nanos) -> usize {
        let mut changes = 0;
        for place in 0..self.channels.len() {
            let slot = &mut self.channels[place];
            let state = slot.channel.check(now);
            if slot.told != Some(state) || slot.told_session != slot.channel.session() {
                changes += 1;
                self.tell_state(place, state);
            }
        }
        if changes > 0 {
            changes += self.publish(now);
        }
        changes
    }

    /// Tells strategies what waits.
    #[inline]
    fn publish(&mut self, now: Nanos) -> usize {
        let channels = &self.channels;
        self.out.publisher.retry(now, |channel| channels[channel].channel.books())
    }

    #[cold]
    fn tell_state(&mut self, place: usize, state: FeedState) {
        let slot = &mut self.channels[place];
        let session @ (session_phase, circuit_breaker_level) = slot.channel.session();
        slot.told_session = session;
        let status = ChannelStatus {
            rpt_seq: 0,
            channel_id: slot.id,
            channel_state: state,
            session_phase,
            circuit_breaker_level,
        };
        // Risk does not ask how far the day is.
        if slot.told.replace(state) != Some(state) {
            if let Some(link) = self.links.get(place) {
                link.set(state == FeedState::Current);
            }
            self.tell_risk(place, state);
        }
        self.out.publisher.channel(place, status);
    }

    fn tell_risk(&mut self, place: usize, feed_state: FeedState) {
        let channel_id = self.channels[place].id;
        let status = FeedStatus { ingress_time: self.now, channel_id, feed_state };
        self.out.references.status(place, status);
    }

    fn snapshot(&self) -> BooksSnapshot {
        let mut books = Vec::new();
        let mut channels = Vec::with_capacity(self.channels.len());
        for ChannelSlot { id, channel, .. } in &self.channels {
            let of = |index| BookSnapshot::of(channel.books(), index, *id);
            books.extend(channel.book_indices().map(of));
            channels.push(channel.snapshot(*id));
        }
        books.sort_by_key(|book| (book.symbol, book.channel));
        let digest = digest_of(self.channels.iter().map(|slot| &slot.channel));
        BooksSnapshot { books, channels, digest }
    }
}
