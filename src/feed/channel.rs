//! One channel from datagram to book: packet, sequence, messages, orders.

use crate::feed::arbiter::{Arbiter, Join, JoinError, Ordering, Take};
use crate::feed::book::{Books, BooksConfig, Effect, Misfit, Refusal};
use crate::feed::faults::Faults;
use crate::feed::glimpse::SnapshotEvent;
use crate::feed::itch50::{self, ItchError, Message, OrderEvent, OrderEventKind, decode_event};
use crate::feed::lookahead::Lookahead;
use crate::feed::market_state::{MarketChange, MarketState, trades_kept};
use crate::feed::moldudp64::{self, Messages, Packet};
use crate::feed::recovery::{Action, Recovery, RecoveryCounts, RecoverySettings};
use crate::feed::view::ItchBooks;
use crate::net::{RecoveryLink, StreamState};
use crate::types::{FeedState, Nanos, Symbol};

/// What a channel needs to know of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSettings {
    /// Where it may be joined.
    pub join: Join,
    /// Silence after which it is stale; exchanges send a heartbeat each second.
    pub stale_after_ns: u64,
    /// Room for its books.
    pub books: BooksConfig,
}

/// What a channel took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelCounts {
    /// Datagrams, the refused ones too.
    pub packets: u64,
    /// Messages that were new.
    pub messages: u64,
    /// Those that are of a known type and well formed, by letter.
    pub by_type: [u64; 256],
    /// Datagrams refused as a whole.
    pub packet_errors: u64,
    /// Messages refused as malformed or of no known type.
    pub message_errors: u64,
    /// Messages that did not fit their book.
    pub misfits: u64,
}

impl Default for ChannelCounts {
    fn default() -> ChannelCounts {
        ChannelCounts {
            packets: 0,
            messages: 0,
            by_type: [0; 256],
            packet_errors: 0,
            message_errors: 0,
            misfits: 0,
        }
    }
}

/// Who wants to know what a channel's messages did.
pub trait FeedSink {
    /// What happened to a displayed order was applied to `books`, with this outcome.
    fn on_event(&mut self, books: &Books, event: &OrderEvent, outcome: &Result<Effect, Refusal>);

    /// `message`, which is about no displayed order, was applied to `books`, with this outcome.
    fn on_message(&mut self, books: &Books, message: &Message, outcome: &Result<Effect, Refusal>);

    /// All orders, statuses and locate codes were forgotten: a new session begins.
    fn on_clear(&mut self, books: &Books);

    /// Something changed of what is known besides orders. Told after [`FeedSink::on_message`] of the message that did it.
    #[inline]
    fn on_market(&mut self, market: &MarketState, change: &MarketChange) {
        let _ = (market, change);
    }
}

/// For whom the books themselves are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSink;

impl FeedSink for NoSink {
    #[inline]
    fn on_event(&mut self, _: &Books, _: &OrderEvent, _: &Result<Effect, Refusal>) {}

    #[inline]
    fn on_message(&mut self, _: &Books, _: &Message, _: &Result<Effect, Refusal>) {}

    #[inline]
    fn on_clear(&mut self, _: &Books) {}
}

/// Retransmissions taken at once, at most.
const REPLIES_AT_ONCE: u64 = 16;

/// Messages of a snapshot applied at once, at most: a large one is loaded over many duty cycles, so that what else is on the
/// thread goes on. Some tens of microseconds.
pub const SNAPSHOT_MESSAGES_AT_ONCE: u32 = 256;

/// Messages applied at once, at most, that were queued behind a hole or a snapshot; the channel is stale until all are.
pub const QUEUED_MESSAGES_AT_ONCE: u32 = 1_024;

/// A market data channel: its sequence and its books.
#[derive(Debug)]
pub struct Channel {
    arbiter: Arbiter,
    books: Books,
    ahead: Lookahead,
    about: About,
    recovery: Recovery,
}

/// What a channel knows besides its books.
#[derive(Debug)]
struct About {
    counts: ChannelCounts,
    market: MarketState,
    faults: Faults,
    /// Whether something did not fit for want of room since all was forgotten: more may miss what was left out.
    lacks_room: bool,
    /// Whether something did not fit for another reason: to be looked at, and taken back, by who applies a snapshot.
    is_misfit: bool,
}

impl Channel {
    /// A channel with books for `symbols`, in this order. It neither waits for packets out of order nor recovers.
    ///
    /// # Panics
    /// As [`Books::new`].
    pub fn new(settings: &ChannelSettings, symbols: &[Symbol]) -> Channel {
        let BooksConfig { books_max, orders_max, .. } = settings.books;
        Channel {
            arbiter: Arbiter::new(settings.join, settings.stale_after_ns),
            books: Books::new(settings.books, symbols),
            ahead: Lookahead::default(),
            about: About {
                counts: ChannelCounts::default(),
                market: MarketState::new(books_max, trades_kept(orders_max)),
                faults: Faults::new(books_max),
                lacks_room: false,
                is_misfit: false,
            },
            recovery: Recovery::new(&RecoverySettings::default()),
        }
    }

    /// The same, waiting for packets out of order and recovering with the help of the servers there are. Allocates.
    ///
    /// # Panics
    /// As [`Arbiter::with_ordering`].
    #[must_use]
    pub fn with_recovery(mut self, ordering: Ordering, settings: &RecoverySettings) -> Channel {
        self.arbiter = self.arbiter.with_ordering(ordering, settings.has_server());
        self.recovery = Recovery::new(settings);
        self
    }

    /// Takes a datagram of line A: for a channel that has one line, or whose lines come as one.
    #[inline]
    pub fn on_datagram(&mut self, payload: &[u8], now: Nanos, sink: &mut impl FeedSink) {
        self.on_line(0, payload, now, sink);
    }

    /// Takes a datagram of a line, 0 for A and 1 for B, and tells `sink` what its messages did.
    #[inline]
    pub fn on_line(&mut self, line: u8, payload: &[u8], now: Nanos, sink: &mut impl FeedSink) {
        self.about.counts.packets += 1;
        let Ok(packet) = moldudp64::parse(payload) else {
            self.about.counts.packet_errors += 1;
            self.arbiter.note_error(line);
            return;
        };
        let judgement = self.arbiter.judge(line, &packet, now);
        if judgement.new_session {
            self.clear(sink);
        }
        if let Packet::Data(_, messages) = packet {
            match judgement.take {
                Take::Nothing => {}
                Take::From { skip } => self.apply(messages, skip, sink),
                Take::Beyond { first, count } => {
                    self.pass_over(first, sink);
                    self.arbiter.accept_beyond(first, count);
                    self.apply(messages, 0, sink);
                }
            }
        }
        // Who is catching up takes its share once a duty cycle.
        if self.arbiter.has_hole() && !self.arbiter.is_catching_up() {
            self.settle(now, sink);
        }
    }

    #[cold]
    fn clear(&mut self, sink: &mut impl FeedSink) {
        clear(&mut self.books, &mut self.about, sink);
    }

    /// Takes everything that can be taken from behind a hole, and looks whether it is time to declare the next one.
    #[cold]
    fn settle(&mut self, now: Nanos, sink: &mut impl FeedSink) {
        let mut budget = QUEUED_MESSAGES_AT_ONCE;
        loop {
            self.take_kept(&mut budget, sink);
            if budget == 0 || !self.arbiter.judge_hole(now) {
                break;
            }
        }
        self.arbiter.set_catching_up(budget == 0 && self.arbiter.has_hole());
        self.arbiter.check(now);
    }

    fn take_kept(&mut self, budget: &mut u32, sink: &mut impl FeedSink) {
        let mut refused = None;
        while *budget > 0
            && let Some(bytes) = self.arbiter.take_kept()
        {
            *budget -= 1;
            let taken = apply_message(&mut self.books, &mut self.about, bytes, sink);
            refused = taken.err().filter(breaks).or(refused);
        }
        if let Some(error) = refused {
            self.refuse(error);
        }
    }

    /// Applies what is kept and passes over what is missing, up to message `first`.
    #[cold]
    fn pass_over(&mut self, first: u64, sink: &mut impl FeedSink) {
        loop {
            let mut budget = u32::MAX;
            self.take_kept(&mut budget, sink);
            if !self.arbiter.pass_over(first) {
                break;
            }
        }
    }

    #[inline]
    fn apply(&mut self, messages: Messages<'_>, skip: u16, sink: &mut impl FeedSink) {
        let Channel { books, about, ahead, .. } = self;
        let mut refused = None;
        ahead.each(messages.after(skip), books, |books, bytes, event| {
            if let Err(error) = apply_decoded(books, about, bytes, event, sink) {
                refused = Some(error).filter(breaks).or(refused);
            }
        });
        if let Some(error) = refused {
            self.refuse(error);
        }
    }

    /// A message of a type this build does not know is left out; one that is malformed may have changed a book, so
    /// nothing of the channel can be relied on any more.
    #[cold]
    fn refuse(&mut self, error: ItchError) {
        if breaks(&error) {
            self.arbiter.mark_broken();
        }
    }

    /// Lets time pass for a channel that waits for something: to be called once a duty cycle where [`Channel::waits`].
    #[cold]
    pub fn advance(&mut self, now: Nanos, sink: &mut impl FeedSink) {
        self.settle(now, sink);
    }

    /// Whether a hole is open, so that time decides what becomes of it.
    #[inline]
    pub fn waits(&self) -> bool {
        self.arbiter.has_hole()
    }

    /// Whether [`Channel::recover`] has something to do.
    #[inline]
    pub fn is_recovery_due(&self) -> bool {
        self.recovery.is_due(&self.arbiter)
    }

    /// Goes on recovering, over `link`: takes what came by it, decides, and does what is to be done. Returns how much that
    /// was. To be called once a duty cycle while [`Channel::is_recovery_due`].
    #[cold]
    pub fn recover(
        &mut self,
        link: &mut dyn RecoveryLink,
        now: Nanos,
        sink: &mut impl FeedSink,
    ) -> usize {
        self.recovery.see_session(&self.arbiter);
        let mut work = self.take_replies(link, now, sink);
        work += self.read_snapshot(link, now, sink);
        self.join_snapshot(now, sink);
        while self.recovery.decide(&mut self.arbiter, now) {
            self.settle(now, sink);
        }
        while let Some(action) = self.recovery.next_action(&self.arbiter, now) {
            work += 1;
            self.act(action, link, now);
        }
        self.arbiter.check(now);
        work
    }

    fn act(&mut self, action: Action, link: &mut dyn RecoveryLink, now: Nanos) {
        let is_sent = match action {
            Action::Request(packet) => {
                link.request(&packet);
                true
            }
            Action::Connect => {
                link.connect();
                true
            }
            Action::Login(bytes) => link.send(&bytes),
            Action::Send(bytes) => link.send(&bytes),
            Action::Close => {
                link.close();
                true
            }
        };
        if let (false, Some(snapshots)) = (is_sent, &mut self.recovery.snapshots) {
            snapshots.on_closed(now);
        }
    }

    fn take_replies(
        &mut self,
        link: &mut dyn RecoveryLink,
        now: Nanos,
        sink: &mut impl FeedSink,
    ) -> usize {
        let mut work = 0;
        for _ in 0..REPLIES_AT_ONCE {
            if !self.recovery.awaits_reply() {
                break;
            }
            let Some(bytes) = link.reply(&mut self.recovery.reply) else { break };
            work += 1;
            self.recovery.replies += 1;
            match self.recovery.reply.get(..bytes).map(moldudp64::parse) {
                Some(Ok(packet)) => {
                    self.arbiter.fill(&packet, now);
                }
                Some(Err(_)) | None => self.recovery.reply_errors += 1,
            }
        }
        if work > 0 {
            self.settle(now, sink);
        }
        work
    }

    /// Applies what came of a snapshot, and reads once from its server when there is no more, as far as one turn goes.
    fn read_snapshot(
        &mut self,
        link: &mut dyn RecoveryLink,
        now: Nanos,
        sink: &mut impl FeedSink,
    ) -> usize {
        let mut budget = SNAPSHOT_MESSAGES_AT_ONCE;
        self.apply_snapshot(&mut budget, now, sink);
        let Some(snapshots) = self.recovery.snapshots.as_mut().filter(|s| s.is_listening()) else {
            return 0;
        };
        if budget == 0 {
            return 1;
        }
        match link.stream(snapshots.room()) {
            StreamState::Idle => return 0,
            StreamState::Connected => snapshots.on_connected(),
            StreamState::Closed => snapshots.on_closed(now),
            StreamState::Received(bytes) => snapshots.on_received(bytes),
        }
        self.apply_snapshot(&mut budget, now, sink);
        1
    }

    /// Applies what was received of a snapshot, as far as the budget goes.
    fn apply_snapshot(&mut self, budget: &mut u32, now: Nanos, sink: &mut impl FeedSink) {
        let Some(snapshots) = &mut self.recovery.snapshots else { return };
        while *budget > 0
            && let Some(event) = snapshots.next_event(now)
        {
            *budget -= 1;
            let is_well = match event {
                SnapshotEvent::Begin => {
                    clear(&mut self.books, &mut self.about, sink);
                    true
                }
                SnapshotEvent::Message(bytes) => {
                    self.about.is_misfit = false;
                    let taken = apply_message(&mut self.books, &mut self.about, bytes, sink);
                    // What does not fit itself is no snapshot; what only finds no room leaves its book stale.
                    !self.about.is_misfit && !taken.err().is_some_and(|error| breaks(&error))
                }
                SnapshotEvent::End(sequence) => {
                    self.about.market.halt_absent();
                    sink.on_market(&self.about.market, &MarketChange::AllStatuses);
                    snapshots.await_join(sequence, now);
                    true
                }
            };
            if !is_well {
                snapshots.fail(now);
            }
        }
    }

    /// Joins a snapshot that is complete to the stream, as soon as the lines have told of the number it ends with.
    fn join_snapshot(&mut self, now: Nanos, sink: &mut impl FeedSink) {
        let Some(snapshots) = &mut self.recovery.snapshots else { return };
        let Some((sequence, is_late)) = snapshots.awaited_join(now) else { return };
        match self.arbiter.join_at(sequence, now) {
            Ok(()) => snapshots.complete(now),
            Err(JoinError::TooNew) if !is_late => return,
            Err(JoinError::TooNew | JoinError::TooOld) => snapshots.fail(now),
        }
        self.settle(now, sink);
    }

    /// Its state at `now`.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        self.arbiter.check(now)
    }

    /// Its sequence.
    pub const fn arbiter(&self) -> &Arbiter {
        &self.arbiter
    }

    /// Its books.
    #[inline]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// What it took in.
    #[inline]
    pub const fn counts(&self) -> &ChannelCounts {
        &self.about.counts
    }

    /// Its books with what is known of their securities.
    #[inline]
    pub(super) const fn view(&self) -> ItchBooks<'_> {
        ItchBooks { books: &self.books, market: &self.about.market }
    }

    /// What is known of its securities besides their orders.
    #[inline]
    pub const fn market(&self) -> &MarketState {
        &self.about.market
    }

    /// Why books of it are stale.
    pub const fn faults(&self) -> &Faults {
        &self.about.faults
    }

    /// What its recovery did.
    pub fn recovery_counts(&self) -> RecoveryCounts {
        self.recovery.counts()
    }
}

/// Forgets all of a session.
#[cold]
fn clear(books: &mut Books, about: &mut About, sink: &mut impl FeedSink) {
    books.clear();
    about.market.clear();
    about.faults.clear();
    about.lacks_room = false;
    sink.on_clear(books);
    sink.on_market(&about.market, &MarketChange::AllStatuses);
}

/// Decodes a message that comes alone, applies it and tells `sink`.
fn apply_message(
    books: &mut Books,
    about: &mut About,
    bytes: &[u8],
    sink: &mut impl FeedSink,
) -> Result<(), ItchError> {
    let event = decode_event(bytes, bytes.len());
    apply_decoded(books, about, bytes, event.as_ref(), sink)
}

/// Applies a message, which tells `event` of a displayed order if of anything, and tells `sink`.
#[inline]
fn apply_decoded(
    books: &mut Books,
    about: &mut About,
    bytes: &[u8],
    event: Option<&OrderEvent>,
    sink: &mut impl FeedSink,
) -> Result<(), ItchError> {
    about.counts.messages += 1;
    if let Some(event) = event {
        let outcome = books.apply_order(event);
        sink.on_event(books, event, &outcome);
        match &outcome {
            Ok(Effect::Executed(execution)) => about.market.executed(execution),
            Ok(Effect::Changed(_) | Effect::None) => {}
            Err(refusal) => about.refuse(refusal, event.locate, || {
                (event.kind == OrderEventKind::Add).then(|| event.symbol())
            }),
        }
    } else {
        apply_other(books, about, bytes, sink)?;
    }
    if let Some(&letter) = bytes.first() {
        about.counts.by_type[usize::from(letter)] += 1;
    }
    Ok(())
}

/// Applies a message that is about no displayed order, or none at all, and tells `sink`.
#[cold]
fn apply_other(
    books: &mut Books,
    about: &mut About,
    bytes: &[u8],
    sink: &mut impl FeedSink,
) -> Result<(), ItchError> {
    let message = match itch50::decode(bytes) {
        Ok(message) => message,
        Err(error) => {
            about.counts.message_errors += 1;
            return Err(error);
        }
    };
    let outcome = books.apply(&message);
    sink.on_message(books, &message, &outcome);
    match &outcome {
        Ok(_) => {
            if let Some(change) = about.market.apply(books, &message) {
                sink.on_market(&about.market, &change);
            }
        }
        Err(refusal) => about.refuse(refusal, message.head().locate, || message.symbol()),
    }
    Ok(())
}

impl About {
    #[cold]
    fn refuse(&mut self, refusal: &Refusal, locate: u16, symbol: impl FnOnce() -> Option<Symbol>) {
        self.counts.misfits += 1;
        match refusal.misfit {
            Misfit::OrdersFull | Misfit::BooksFull | Misfit::LevelFull => self.lacks_room = true,
            // It may be one that found no room.
            Misfit::UnknownOrder => self.is_misfit |= !self.lacks_room,
            Misfit::DuplicateOrder
            | Misfit::TooManyShares
            | Misfit::ZeroShares
            | Misfit::WrongSecurity => self.is_misfit = true,
        }
        self.faults.note(refusal, locate, symbol);
    }
}

/// Whether what follows a message refused so cannot be relied on.
const fn breaks(error: &ItchError) -> bool {
    match error {
        ItchError::UnknownType(_) => false,
        ItchError::Empty | ItchError::WrongLength { .. } | ItchError::BadSide(_) => true,
    }
}
