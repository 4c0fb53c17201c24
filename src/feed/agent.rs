//! The agent `feed`: polls its packet source, keeps books, tells risk and strategies what changed.

use std::sync::{Arc, OnceLock};

use crate::codec::journal::{FeedStatus, ReferencePrice};
use crate::codec::market_data::{ChannelStatus, SecurityDefinition, SecurityStatus, Trade};
use crate::feed::arbiter::Ordering;
use crate::feed::book::{Best, BookIndex, Books, Effect, Execution, Refusal, digest_of};
use crate::feed::channel::{Channel, ChannelSettings, FeedSink};
use crate::feed::itch50::{Message, OrderEvent};
use crate::feed::publish::{Listing, MarketDataStreams, Publisher};
use crate::feed::recovery::RecoverySettings;
use crate::feed::reference::References;
use crate::feed::snapshot::{BookSnapshot, BooksSnapshot, ChannelSnapshot};
use crate::feed::tally::Tally;
use crate::net::{Datagram, DatagramHandler, PacketSource, Polled, RecoveryLink};
use crate::ring::Producer;
use crate::runtime::{Agent, Clock, Fatal};
use crate::telemetry::{LinkGauge, Registry};
use crate::transport::Outbound;
use crate::types::{
    ChannelId, FeedState, InstrumentId, Nanos, Price, Side, Symbol, TradingStatus, UtcNanos,
};

/// A market data channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Its number.
    pub id: ChannelId,
    /// How it is kept.
    pub settings: ChannelSettings,
    /// UTC of the exchange's midnight, from which the times in messages count.
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
    midnight: UtcNanos,
    channel: Channel,
    /// The book at place `n` belongs to the instrument at place `first + n`.
    first: usize,
    /// Books of instruments; those beyond belong to none.
    count: usize,
    told: Option<FeedState>,
    link: Option<Box<dyn RecoveryLink>>,
}

#[derive(Debug)]
struct Instrument {
    config: InstrumentConfig,
    /// What was told last.
    best: Best,
    /// Whether its book was touched since.
    is_touched: bool,
}

/// What goes out, and what decides about it.
#[derive(Debug)]
struct Out<O> {
    /// Sorted by channel.
    instruments: Vec<Instrument>,
    /// Instruments whose book was touched by the datagram in hand.
    touched: Vec<usize>,
    references: References,
    publisher: Publisher<O>,
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
    /// If there are not as many as channels, or as [`Channel::with_recovery`].
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

    /// The books of each channel, in the order of the configuration.
    pub fn books(&self) -> impl Iterator<Item = (ChannelId, &Books)> {
        self.core.channels.iter().map(|slot| (slot.id, slot.channel.books()))
    }

    /// Each channel with what it took in, in the order of the configuration.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.core.channels.iter().map(|slot| (slot.id, &slot.channel))
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
        let channels = || self.core.channels.iter().map(|slot| &slot.channel);
        self.tally.set(channels(), self.core.unknown_channels, self.source.drops());
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
        is_touched: false,
    }));
    let symbols: Vec<Symbol> =
        instruments[first..].iter().map(|instrument| instrument.config.symbol).collect();
    ChannelSlot {
        id: channel.id,
        midnight: channel.midnight,
        channel: Channel::new(&channel.settings, &symbols),
        first,
        count: symbols.len(),
        told: None,
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
            Err(_) => return Err(Fatal::NetworkFailed),
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

impl<O: Outbound> DatagramHandler for Core<O> {
    #[inline]
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        let ingress = self.clock.now();
        let Some(slot) = self.channels.iter_mut().find(|slot| slot.id == datagram.channel) else {
            self.unknown_channels += 1;
            return;
        };
        let mut sink = Sink {
            out: &mut self.out,
            first: slot.first,
            count: slot.count,
            midnight: slot.midnight,
            last_ns: 0,
        };
        slot.channel.on_line(datagram.line, datagram.payload, self.now, &mut sink);
        let time = UtcNanos(slot.midnight.0.saturating_add(sink.last_ns));
        self.out.tell_touched(slot, time, ingress);
    }
}

impl<O: Outbound> Core<O> {
    /// Lets time pass for channels that wait for something, and recovers those that lost something.
    #[inline]
    fn recover(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        for place in 0..self.channels.len() {
            let channel = &self.channels[place].channel;
            if channel.waits() || channel.is_recovery_due() {
                work += self.recover_channel(place, now);
            }
        }
        work
    }

    #[cold]
    fn recover_channel(&mut self, place: usize, now: Nanos) -> usize {
        let ingress = self.clock.now();
        let slot = &mut self.channels[place];
        let mut sink = Sink {
            out: &mut self.out,
            first: slot.first,
            count: slot.count,
            midnight: slot.midnight,
            last_ns: 0,
        };
        slot.channel.advance(now, &mut sink);
        let work = match &mut slot.link {
            Some(link) => slot.channel.recover(&mut **link, now, &mut sink),
            None => 0,
        };
        let time = UtcNanos(slot.midnight.0.saturating_add(sink.last_ns));
        self.out.tell_touched(slot, time, ingress);
        work
    }

    /// Looks at each channel's state and tells what changed.
    #[inline]
    fn check_channels(&mut self, now: Nanos) -> usize {
        let mut changes = 0;
        for place in 0..self.channels.len() {
            let state = self.channels[place].channel.check(now);
            if self.channels[place].told != Some(state) {
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
        self.channels[place].told = Some(state);
        if let Some(link) = self.links.get(place) {
            link.set(state == FeedState::Current);
        }
        self.tell_risk(place, state);
        let channel_id = self.channels[place].id;
        let status = ChannelStatus { rpt_seq: 0, channel_id, channel_state: state };
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
            books.extend(channel.books().indices().map(of));
            let counts = channel.counts();
            channels.push(ChannelSnapshot {
                id: *id,
                state: channel.arbiter().state(),
                next_sequence: channel.arbiter().next_sequence(),
                gaps: channel.arbiter().counts().gaps,
                messages: counts.messages,
                errors: counts.packet_errors + counts.message_errors + counts.misfits,
            });
        }
        books.sort_by_key(|book| (book.symbol, book.channel));
        let digest = digest_of(self.channels.iter().map(|slot| slot.channel.books()));
        BooksSnapshot { books, channels, digest }
    }
}

impl<O: Outbound> Out<O> {
    #[inline]
    fn touch(&mut self, place: usize) {
        if !self.instruments[place].is_touched {
            self.instruments[place].is_touched = true;
            self.touched.push(place);
        }
    }

    /// Tells what the datagram in hand changed: risk the best bids and offers, then strategies. A book that may be wrong has
    /// no prices.
    #[inline]
    fn tell_touched(&mut self, slot: &ChannelSlot, time: UtcNanos, ingress: Nanos) {
        let books = slot.channel.books();
        while let Some(place) = self.touched.pop() {
            let instrument = &mut self.instruments[place];
            instrument.is_touched = false;
            let Ok(book) = u16::try_from(place - slot.first).map(BookIndex) else { continue };
            let best = if books.is_stale(book) { Best::default() } else { books.best(book) };
            if best != instrument.best {
                instrument.best = best;
                let price = |side: Option<(Price, u64)>| side.map(|(price, _)| price);
                self.references.price(
                    place,
                    ReferencePrice {
                        bid_px: price(best.bid),
                        offer_px: price(best.ask),
                        ingress_time: ingress,
                        security_id: instrument.config.id,
                        channel_id: slot.id,
                    },
                );
            }
            self.publisher.tell(place, books, time);
        }
    }
}

/// What one channel's messages do to what goes out.
struct Sink<'a, O> {
    out: &'a mut Out<O>,
    first: usize,
    count: usize,
    midnight: UtcNanos,
    /// Time of the last message.
    last_ns: u64,
}

impl<O: Outbound> Sink<'_, O> {
    /// The instrument's place, if the book is one's.
    #[inline]
    fn place(&self, book: BookIndex) -> Option<usize> {
        (book.index() < self.count).then_some(self.first + book.index())
    }

    #[inline]
    fn touch(&mut self, book: BookIndex) {
        if let Some(place) = self.place(book) {
            self.out.touch(place);
        }
    }

    fn time(&self) -> UtcNanos {
        UtcNanos(self.midnight.0.saturating_add(self.last_ns))
    }

    fn execution(&mut self, execution: &Execution) {
        if execution.printable {
            let Execution { price, shares, resting, match_number, .. } = *execution;
            self.trade(execution.book, price, shares, resting, match_number);
        }
    }

    fn trade(
        &mut self,
        book: BookIndex,
        last_px: Price,
        last_qty: u32,
        aggressor_side: Side,
        trade_id: u64,
    ) {
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        let transact_time = self.time();
        self.out.publisher.trade(
            place,
            Trade {
                rpt_seq: 0,
                transact_time,
                last_px,
                trade_id,
                last_qty,
                security_id,
                aggressor_side,
            },
        );
    }

    fn status(&mut self, book: BookIndex, status: TradingStatus) {
        let Some(place) = self.place(book) else { return };
        let security_id = self.out.instruments[place].config.id;
        let transact_time = self.time();
        self.out.publisher.status(
            place,
            SecurityStatus {
                rpt_seq: 0,
                transact_time,
                security_id,
                security_trading_status: status,
            },
        );
        // Told with the book, when the datagram is done.
        self.out.touch(place);
    }

    fn refused(&mut self, refusal: &Refusal) {
        if let Some(book) = refusal.book {
            self.touch(book);
        }
    }

    /// A message that is about no displayed order.
    fn other(&mut self, books: &Books, message: &Message) {
        match message {
            Message::Trade(m) => {
                if let Some(book) = books.by_locate(m.head.locate) {
                    self.trade(book, m.price, m.shares, m.side, m.match_number);
                }
            }
            Message::CrossTrade(m) if m.shares > 0 => {
                if let Some(book) = books.by_locate(m.head.locate) {
                    // A cross has no side; `P` always says buy, and so does this.
                    let shares = u32::try_from(m.shares).unwrap_or(u32::MAX);
                    self.trade(book, m.price, shares, Side::Buy, m.match_number);
                }
            }
            Message::TradingAction(m) => {
                if let Some(book) = books.by_locate(m.head.locate) {
                    self.status(book, m.status);
                }
            }
            Message::SystemEvent(_)
            | Message::StockDirectory(_)
            | Message::AddOrder(_)
            | Message::OrderExecuted(_)
            | Message::OrderExecutedWithPrice(_)
            | Message::OrderCancel(_)
            | Message::OrderDelete(_)
            | Message::OrderReplace(_)
            | Message::CrossTrade(_)
            | Message::BrokenTrade(_)
            | Message::RegShoRestriction(_)
            | Message::ParticipantPosition(_)
            | Message::MwcbDeclineLevel(_)
            | Message::MwcbStatus(_)
            | Message::QuotingPeriod(_)
            | Message::LuldCollar(_)
            | Message::OperationalHalt(_)
            | Message::Imbalance(_)
            | Message::RetailInterest(_)
            | Message::CapitalRaise(_) => {}
        }
    }
}

impl<O: Outbound> FeedSink for Sink<'_, O> {
    #[inline]
    fn on_event(&mut self, _: &Books, event: &OrderEvent, outcome: &Result<Effect, Refusal>) {
        self.last_ns = event.time_ns;
        match outcome {
            Ok(Effect::Changed(book)) => self.touch(*book),
            Ok(Effect::Executed(execution)) => {
                self.touch(execution.book);
                self.execution(execution);
            }
            Ok(Effect::None) => {}
            Err(refusal) => self.refused(refusal),
        }
    }

    #[cold]
    fn on_message(&mut self, books: &Books, message: &Message, outcome: &Result<Effect, Refusal>) {
        self.last_ns = message.head().time_ns;
        match outcome {
            Ok(_) => self.other(books, message),
            Err(refusal) => self.refused(refusal),
        }
    }

    fn on_clear(&mut self, _: &Books) {
        for place in self.first..self.first + self.count {
            self.out.touch(place);
        }
    }
}
