//! One IEX stream from datagram to book: segment, sequence, messages, levels.
//!
//! Both lines of a stream go into one [`IexChannel`]; what is of another stream or protocol is counted and left alone. What is
//! new, what is waited for and what is a gap is the [`Arbiter`]'s to say, as for every feed. A segment that goes on by number
//! but not by byte is refused: its messages count as not received.

use crate::feed::arbiter::{Arbiter, Join, Ordering, Take};
use crate::feed::channel::{NoSink, QUEUED_MESSAGES_AT_ONCE};
use crate::feed::iex::books::{Books, BooksConfig, BooksFull, Effect};
use crate::feed::iex::message::{IexError, Message, SystemEvent};
use crate::feed::iex::offset::StreamOffset;
use crate::feed::iex::tp::{self, IexTp, Messages, ProtocolId, Segment, StreamId, TpError};
use crate::feed::iex::{deep, tops};
use crate::types::{FeedState, Nanos, SessionPhase, Symbol};

/// Which of IEX's feeds a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// DEEP 1.0: depth of book.
    Deep,
    /// TOPS 1.6: top of book.
    Tops,
}

impl Feed {
    /// Its number in the header of a segment.
    #[inline]
    pub const fn protocol(self) -> ProtocolId {
        match self {
            Feed::Deep => ProtocolId::DEEP_1_0,
            Feed::Tops => ProtocolId::TOPS_1_6,
        }
    }

    /// Reads one of its messages.
    ///
    /// # Errors
    /// An [`IexError`] for bytes that are none.
    #[inline]
    pub fn decode(self, bytes: &[u8]) -> Result<Message, IexError> {
        match self {
            Feed::Deep => deep::decode(bytes),
            Feed::Tops => tops::decode(bytes),
        }
    }
}

/// What a channel needs to know of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IexSettings {
    /// What it carries.
    pub feed: Feed,
    /// Its stream; of DEEP and of TOPS there is only number 1.
    pub stream: StreamId,
    /// Where it may be joined.
    pub join: Join,
    /// Silence after which it is stale; IEX sends a heartbeat each second.
    pub stale_after_ns: u64,
    /// Room for its books.
    pub books: BooksConfig,
}

/// What a channel took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IexCounts {
    /// Datagrams, the refused ones too.
    pub packets: u64,
    /// Those without messages, of either line.
    pub heartbeats: u64,
    /// Messages that were new.
    pub messages: u64,
    /// Those that are of a known type and well formed, by letter.
    pub by_type: [u64; 256],
    /// Datagrams refused as a whole.
    pub packet_errors: u64,
    /// Those of them that are of another version of the transport.
    pub unknown_versions: u64,
    /// Segments of another protocol or stream.
    pub foreign_packets: u64,
    /// Segments refused because they follow by number but not by byte.
    pub offset_faults: u64,
    /// Messages refused as malformed or of no known type.
    pub message_errors: u64,
    /// Those of them that are of no known type: IEX may add types without notice.
    pub unknown_types: u64,
}

impl Default for IexCounts {
    fn default() -> IexCounts {
        IexCounts {
            packets: 0,
            heartbeats: 0,
            messages: 0,
            by_type: [0; 256],
            packet_errors: 0,
            unknown_versions: 0,
            foreign_packets: 0,
            offset_faults: 0,
            message_errors: 0,
            unknown_types: 0,
        }
    }
}

impl IexCounts {
    /// Datagrams that gave nothing: refused, or of another protocol or stream.
    pub const fn refused_packets(&self) -> u64 {
        self.packet_errors + self.foreign_packets + self.offset_faults
    }
}

/// Who wants to know what a channel's messages did.
pub trait IexSink {
    /// `message` was applied to `books`, with this outcome.
    fn on_message(
        &mut self,
        books: &Books,
        message: &Message,
        outcome: Result<Option<Effect>, BooksFull>,
    );

    /// All levels and statuses were forgotten: a new session begins.
    fn on_clear(&mut self, books: &Books);
}

impl IexSink for NoSink {
    #[inline]
    fn on_message(&mut self, _: &Books, _: &Message, _: Result<Option<Effect>, BooksFull>) {}

    #[inline]
    fn on_clear(&mut self, _: &Books) {}
}

/// A stream of DEEP or TOPS: its sequence and its books.
#[derive(Debug)]
pub struct IexChannel {
    stream: StreamId,
    arbiter: Arbiter<IexTp>,
    offset: StreamOffset,
    content: Content,
}

/// What messages change.
#[derive(Debug)]
struct Content {
    feed: Feed,
    books: Books,
    counts: IexCounts,
    phase: SessionPhase,
}

/// What messages say of the stream they came by.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    is_broken: bool,
    is_ended: bool,
}

impl IexChannel {
    /// A channel with books for `symbols`, in this order. It does not wait for packets out of order.
    ///
    /// # Panics
    /// As [`Books::new`].
    pub fn new(settings: &IexSettings, symbols: &[Symbol]) -> IexChannel {
        IexChannel {
            stream: settings.stream,
            arbiter: Arbiter::new(settings.join, settings.stale_after_ns),
            offset: StreamOffset::default(),
            content: Content {
                feed: settings.feed,
                books: Books::new(settings.books, symbols),
                counts: IexCounts::default(),
                phase: SessionPhase::Unknown,
            },
        }
    }

    /// The same, waiting for packets out of order. There is no server to ask: a gap that is declared is passed over, and the
    /// channel is stale until the next session. Allocates 128 bytes for each message that can be kept.
    ///
    /// # Panics
    /// As [`Arbiter::with_ordering`].
    #[must_use]
    pub fn with_ordering(mut self, ordering: Ordering) -> IexChannel {
        self.arbiter = self.arbiter.with_ordering(ordering, false);
        self
    }

    /// Takes a datagram of line A: for a channel that has one line, or whose lines come as one.
    #[inline]
    pub fn on_datagram(&mut self, payload: &[u8], now: Nanos, sink: &mut impl IexSink) {
        self.on_line(0, payload, now, sink);
    }

    /// Takes a datagram of a line, 0 for A and 1 for B, and tells `sink` what its messages did.
    #[inline]
    pub fn on_line(&mut self, line: u8, payload: &[u8], now: Nanos, sink: &mut impl IexSink) {
        self.content.counts.packets += 1;
        let segment = match tp::parse(payload) {
            Ok(segment) => segment,
            Err(error) => return self.refuse_packet(line, error),
        };
        if !self.is_own(line, &segment) {
            return;
        }
        let judgement = self.arbiter.judge(line, &segment.packet(), now);
        if judgement.new_session {
            self.clear(sink);
        }
        match segment {
            Segment::Heartbeat(_) => self.content.counts.heartbeats += 1,
            Segment::Data(_, messages) => match judgement.take {
                Take::Nothing => {}
                Take::From { skip } => {
                    self.offset.follow(&segment);
                    self.apply(messages.after(skip), sink);
                }
                Take::Beyond { first, count } => {
                    self.pass_over(first, sink);
                    self.arbiter.accept_beyond(first, count);
                    self.offset.follow(&segment);
                    self.apply(messages, sink);
                }
            },
        }
        // Who is catching up takes its share once a duty cycle.
        if self.arbiter.has_hole() && !self.arbiter.is_catching_up() {
            self.settle(now, sink);
        }
    }

    #[cold]
    fn refuse_packet(&mut self, line: u8, error: TpError) {
        let counts = &mut self.content.counts;
        counts.packet_errors += 1;
        counts.unknown_versions += u64::from(matches!(error, TpError::UnknownVersion(_)));
        self.arbiter.note_error(line);
    }

    /// Whether a segment is of this stream, and goes on where its bytes do if it goes on.
    #[inline]
    fn is_own(&mut self, line: u8, segment: &Segment<'_>) -> bool {
        let header = segment.header();
        let counts = &mut self.content.counts;
        if header.protocol != self.content.feed.protocol() || header.stream != self.stream {
            counts.foreign_packets += 1;
        } else if self.arbiter.session() == Some(header.session.name())
            && self.offset.is_contradicted(segment, self.arbiter.next_sequence())
        {
            counts.offset_faults += 1;
        } else {
            return true;
        }
        self.arbiter.note_error(line);
        false
    }

    /// Forgets all of a session.
    #[cold]
    fn clear(&mut self, sink: &mut impl IexSink) {
        self.content.books.clear();
        self.content.phase = SessionPhase::Unknown;
        self.offset.forget();
        sink.on_clear(&self.content.books);
    }

    /// Takes everything that can be taken from behind a hole, and looks whether it is time to declare the next one.
    #[cold]
    fn settle(&mut self, now: Nanos, sink: &mut impl IexSink) {
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

    fn take_kept(&mut self, budget: &mut u32, sink: &mut impl IexSink) {
        let mut word = Word::default();
        let whole_below = self.arbiter.kept_bytes();
        while *budget > 0 {
            let number = self.arbiter.next_sequence();
            let Some(bytes) = self.arbiter.take_kept() else { break };
            *budget -= 1;
            // One that fills its place may have been cut.
            let length = Some(bytes.len()).filter(|&length| length < whole_below);
            self.offset.pass(number, length);
            self.content.apply(bytes, &mut word, sink);
        }
        self.take_word(word);
    }

    /// Applies what is kept and passes over what is missing, up to message `first`.
    #[cold]
    fn pass_over(&mut self, first: u64, sink: &mut impl IexSink) {
        loop {
            let mut budget = u32::MAX;
            self.take_kept(&mut budget, sink);
            if !self.arbiter.pass_over(first) {
                break;
            }
        }
    }

    #[inline]
    fn apply(&mut self, messages: Messages<'_>, sink: &mut impl IexSink) {
        let mut word = Word::default();
        for bytes in messages {
            self.content.apply(bytes, &mut word, sink);
        }
        self.take_word(word);
    }

    #[inline]
    fn take_word(&mut self, word: Word) {
        if word.is_broken {
            self.arbiter.mark_broken();
        }
        if word.is_ended {
            self.arbiter.mark_ended();
        }
    }

    /// Lets time pass for a channel that waits for something: to be called once a duty cycle where [`IexChannel::waits`].
    #[cold]
    pub fn advance(&mut self, now: Nanos, sink: &mut impl IexSink) {
        self.settle(now, sink);
    }

    /// Whether a hole is open, so that time decides what becomes of it.
    #[inline]
    pub fn waits(&self) -> bool {
        self.arbiter.has_hole()
    }

    /// Its state at `now`.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        self.arbiter.check(now)
    }

    /// Its sequence.
    pub const fn arbiter(&self) -> &Arbiter<IexTp> {
        &self.arbiter
    }

    /// Bytes of the stream before the next message, where they are known: a segment that says otherwise is refused.
    pub const fn next_offset(&self) -> Option<u64> {
        self.offset.before(self.arbiter.next_sequence())
    }

    /// How far the exchange's day is, as it told last.
    pub const fn phase(&self) -> SessionPhase {
        self.content.phase
    }

    /// Its books.
    #[inline]
    pub const fn books(&self) -> &Books {
        &self.content.books
    }

    /// What it took in.
    #[inline]
    pub const fn counts(&self) -> &IexCounts {
        &self.content.counts
    }
}

impl Content {
    /// Decodes a message, applies it and tells `sink`; what it says of its stream goes to `word`.
    #[inline]
    fn apply(&mut self, bytes: &[u8], word: &mut Word, sink: &mut impl IexSink) {
        self.counts.messages += 1;
        let message = match self.feed.decode(bytes) {
            Ok(message) => message,
            Err(error) => return self.refuse(error, word),
        };
        if let Some(&letter) = bytes.first() {
            self.counts.by_type[usize::from(letter)] += 1;
        }
        if let Message::SystemEvent(m) = message {
            self.on_system_event(m, word);
        }
        let outcome = self.books.apply(&message);
        sink.on_message(&self.books, &message, outcome);
    }

    #[cold]
    fn on_system_event(&mut self, m: SystemEvent, word: &mut Word) {
        // The market opens with another letter than at Nasdaq; all others are the same.
        let letter = if m.event == SystemEvent::START_OF_MARKET_HOURS { b'Q' } else { m.event };
        self.phase = SessionPhase::from_wire(letter).unwrap_or(SessionPhase::Unknown);
        word.is_ended |= m.event == SystemEvent::END_OF_MESSAGES;
    }

    /// A message of a type this build does not know is left out, as IEX asks its readers to; one that is malformed may have
    /// changed a book, so nothing of the stream can be relied on any more.
    #[cold]
    fn refuse(&mut self, error: IexError, word: &mut Word) {
        self.counts.message_errors += 1;
        match error {
            IexError::UnknownType(_) => self.counts.unknown_types += 1,
            IexError::Empty
            | IexError::ShortMessage { .. }
            | IexError::PriceOutOfRange(_)
            | IexError::TimeOutOfRange(_) => word.is_broken = true,
        }
    }
}
