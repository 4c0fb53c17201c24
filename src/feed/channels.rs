//! A channel of any protocol: what is asked of all of them. What datagrams do is asked of each protocol's own.

use crate::feed::arbiter::Ordering;
use crate::feed::book::{self, BookIndex};
use crate::feed::channel::{Channel, ChannelSettings};
use crate::feed::iex::{IexChannel, IexSettings, books};
use crate::feed::recovery::RecoverySettings;
use crate::feed::sbe::{self, SbeChannel, SbeSettings};
use crate::feed::snapshot::ChannelSnapshot;
use crate::feed::view::AnyBooks;
use crate::types::{ChannelId, FeedState, Nanos, SessionPhase, Symbol};

/// A channel's protocol, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolSettings {
    /// ITCH 5.0 over MoldUDP64.
    Itch(ChannelSettings),
    /// DEEP 1.0 or TOPS 1.6 over IEX-TP.
    Iex(IexSettings),
    /// Another gateway's market data.
    Sbe(SbeSettings),
}

impl From<ChannelSettings> for ProtocolSettings {
    fn from(settings: ChannelSettings) -> ProtocolSettings {
        ProtocolSettings::Itch(settings)
    }
}

impl From<IexSettings> for ProtocolSettings {
    fn from(settings: IexSettings) -> ProtocolSettings {
        ProtocolSettings::Iex(settings)
    }
}

impl From<SbeSettings> for ProtocolSettings {
    fn from(settings: SbeSettings) -> ProtocolSettings {
        ProtocolSettings::Sbe(settings)
    }
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are a few of them, and they stay where they are"
)]
pub(super) enum AnyChannel {
    Itch(Channel),
    Iex(IexChannel),
    Sbe(SbeChannel),
}

impl AnyChannel {
    /// # Panics
    /// As [`Channel::new`], [`IexChannel::new`] and [`SbeChannel::new`].
    pub(super) fn new(settings: &ProtocolSettings, symbols: &[Symbol]) -> AnyChannel {
        match settings {
            ProtocolSettings::Itch(settings) => AnyChannel::Itch(Channel::new(settings, symbols)),
            ProtocolSettings::Iex(settings) => AnyChannel::Iex(IexChannel::new(settings, symbols)),
            ProtocolSettings::Sbe(settings) => AnyChannel::Sbe(SbeChannel::new(settings, symbols)),
        }
    }

    /// The same, waiting for packets out of order and recovering what it lost. A stream of IEX has no server; another gateway
    /// sends everything in order, and its snapshots unasked.
    ///
    /// # Panics
    /// As [`Channel::with_recovery`], or if there is a server for another protocol.
    pub(super) fn with_recovery(self, ordering: Ordering, settings: &RecoverySettings) -> Self {
        match self {
            AnyChannel::Itch(channel) => {
                AnyChannel::Itch(channel.with_recovery(ordering, settings))
            }
            AnyChannel::Iex(channel) => {
                assert!(!settings.has_server(), "only a channel of ITCH has servers");
                AnyChannel::Iex(channel.with_ordering(ordering))
            }
            AnyChannel::Sbe(_) => {
                assert!(!settings.has_server(), "only a channel of ITCH has servers");
                self
            }
        }
    }

    pub(super) const fn itch(&self) -> Option<&Channel> {
        match self {
            AnyChannel::Itch(channel) => Some(channel),
            AnyChannel::Iex(_) | AnyChannel::Sbe(_) => None,
        }
    }

    pub(super) const fn iex(&self) -> Option<&IexChannel> {
        match self {
            AnyChannel::Iex(channel) => Some(channel),
            AnyChannel::Itch(_) | AnyChannel::Sbe(_) => None,
        }
    }

    pub(super) const fn sbe(&self) -> Option<&SbeChannel> {
        match self {
            AnyChannel::Sbe(channel) => Some(channel),
            AnyChannel::Itch(_) | AnyChannel::Iex(_) => None,
        }
    }

    #[inline]
    pub(super) const fn books(&self) -> AnyBooks<'_> {
        match self {
            AnyChannel::Itch(channel) => AnyBooks::Itch(channel.view()),
            AnyChannel::Iex(channel) => AnyBooks::Iex(channel.books()),
            AnyChannel::Sbe(channel) => AnyBooks::Sbe(channel.books()),
        }
    }

    /// Every book's place.
    pub(super) fn book_indices(&self) -> impl Iterator<Item = BookIndex> + use<> {
        let count = match self {
            AnyChannel::Itch(channel) => channel.books().indices().count(),
            AnyChannel::Iex(channel) => channel.books().indices().count(),
            AnyChannel::Sbe(channel) => channel.books().indices().count(),
        };
        (0..u16::try_from(count).unwrap_or(u16::MAX)).map(BookIndex)
    }

    /// Its state at `now`.
    #[inline]
    pub(super) fn check(&mut self, now: Nanos) -> FeedState {
        match self {
            AnyChannel::Itch(channel) => channel.check(now),
            AnyChannel::Iex(channel) => channel.check(now),
            AnyChannel::Sbe(channel) => channel.check(now),
        }
    }

    /// Its state as of the last datagram or check.
    pub(super) const fn state(&self) -> FeedState {
        match self {
            AnyChannel::Itch(channel) => channel.arbiter().state(),
            AnyChannel::Iex(channel) => channel.arbiter().state(),
            AnyChannel::Sbe(channel) => channel.upstream().state(),
        }
    }

    /// How far the exchange's day is, and the level of the market-wide circuit breaker that was breached.
    #[inline]
    pub(super) const fn session(&self) -> (SessionPhase, u8) {
        match self {
            AnyChannel::Itch(channel) => {
                let market = channel.market();
                (market.phase(), market.breached_level())
            }
            AnyChannel::Iex(channel) => (channel.phase(), 0),
            AnyChannel::Sbe(channel) => channel.session(),
        }
    }

    /// Whether it waits for packets out of order or has something to recover.
    #[inline]
    pub(super) fn is_in_want(&self) -> bool {
        match self {
            AnyChannel::Itch(channel) => channel.waits() || channel.is_recovery_due(),
            AnyChannel::Iex(channel) => channel.waits(),
            AnyChannel::Sbe(_) => false,
        }
    }

    pub(super) fn snapshot(&self, id: ChannelId) -> ChannelSnapshot {
        match self {
            AnyChannel::Itch(channel) => {
                let (arbiter, counts) = (channel.arbiter(), channel.counts());
                ChannelSnapshot {
                    id,
                    state: arbiter.state(),
                    next_sequence: arbiter.next_sequence(),
                    gaps: arbiter.counts().gaps,
                    messages: counts.messages,
                    errors: counts.packet_errors + counts.message_errors + counts.misfits,
                }
            }
            AnyChannel::Iex(channel) => {
                let (arbiter, counts) = (channel.arbiter(), channel.counts());
                ChannelSnapshot {
                    id,
                    state: arbiter.state(),
                    next_sequence: arbiter.next_sequence(),
                    gaps: arbiter.counts().gaps,
                    messages: counts.messages,
                    errors: counts.refused_packets() + counts.message_errors + misfits(channel),
                }
            }
            AnyChannel::Sbe(channel) => {
                let (upstream, counts) = (channel.upstream(), channel.counts());
                ChannelSnapshot {
                    id,
                    state: upstream.state(),
                    next_sequence: upstream.next().unwrap_or(0),
                    gaps: upstream.counts().gaps,
                    messages: counts.messages,
                    errors: counts.message_errors + channel.books().counts().misfits,
                }
            }
        }
    }
}

/// Messages of IEX there was no room for in a book, or for a book.
pub(super) const fn misfits(channel: &IexChannel) -> u64 {
    let counts = channel.books().counts();
    counts.overflows + counts.books_full
}

/// The digest of all books: that of one protocol's where there are no others, else a mixture of those of each.
pub(super) fn digest_of<'a>(channels: impl Iterator<Item = &'a AnyChannel> + Clone) -> u64 {
    let itch = || channels.clone().filter_map(AnyChannel::itch).map(Channel::books);
    let iex = || channels.clone().filter_map(AnyChannel::iex).map(IexChannel::books);
    let sbe = || channels.clone().filter_map(AnyChannel::sbe).map(SbeChannel::books);
    let digests = [
        itch().next().map(|_| book::digest_of(itch())),
        iex().next().map(|_| books::digest_of(iex())),
        sbe().next().map(|_| sbe::books::digest_of(sbe())),
    ];
    let all = digests.into_iter().flatten();
    all.reduce(|all, next| all.rotate_left(1) ^ next).unwrap_or_else(|| book::digest_of(itch()))
}
