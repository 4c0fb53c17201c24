//! Streams as traits that are monomorphised at each use.

use std::fmt;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfferError {
    /// Nobody subscribes. Passes by itself when somebody does.
    NotConnected,
    /// The slowest subscriber, or the driver, is behind. Passes by itself.
    BackPressured,
    /// The stream is being rotated. Try again at once.
    AdminAction,
    /// The stream is closed for ever: the driver is gone or evicted us.
    Closed,
    /// The stream is at its largest position: it must be opened anew.
    MaxPositionExceeded,
    /// The message is longer than the stream takes.
    TooLong,
}

impl OfferError {
    /// Whether the same offer can succeed later on the same stream.
    pub const fn is_retryable(self) -> bool {
        match self {
            OfferError::NotConnected | OfferError::BackPressured | OfferError::AdminAction => true,
            OfferError::Closed | OfferError::MaxPositionExceeded | OfferError::TooLong => false,
        }
    }
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OfferError::NotConnected => "nobody subscribes to the stream",
            OfferError::BackPressured => "the subscriber or the driver is behind",
            OfferError::AdminAction => "the stream is being rotated",
            OfferError::Closed => "the stream is closed",
            OfferError::MaxPositionExceeded => "the stream is at its largest position",
            OfferError::TooLong => "the message is longer than the stream takes",
        })
    }
}

impl std::error::Error for OfferError {}

/// The transport is gone for good; what was opened on it must be opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportDown;

impl fmt::Display for TransportDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transport is down: the Aeron driver died or evicted this client")
    }
}

impl std::error::Error for TransportDown {}

/// A received message, borrowed until the handler returns.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Which publisher it came from (Aeron's session id). Stable for as long as that publisher lives.
    pub source: i32,
    /// The message.
    pub bytes: &'a [u8],
}

/// A publisher of this stream came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The publisher with this Aeron session id is there.
    SourceUp(i32),
    /// The publisher with this Aeron session id is gone.
    SourceDown(i32),
}

/// Where messages go.
pub trait Outbound {
    /// Claims `bytes` in place, lets `write` fill all of them, and commits. Hot: neither blocks nor allocates.
    ///
    /// # Errors
    /// An [`OfferError`]; `write` was then not called and nothing was sent.
    fn offer(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) -> Result<(), OfferError>;

    /// Whether somebody subscribes now.
    fn is_connected(&self) -> bool;

    /// What subscribers see as [`Fragment::source`]; 0 where a stream has no such thing.
    fn source(&self) -> i32 {
        0
    }
}

/// Where messages come from.
pub trait Inbound {
    /// Hands at most `limit` messages to `handler`, in order for each source. Hot: neither blocks nor allocates.
    ///
    /// # Errors
    /// [`TransportDown`] once the stream is closed.
    fn poll(
        &mut self,
        limit: usize,
        handler: &mut impl FnMut(Fragment<'_>),
    ) -> Result<usize, TransportDown>;

    /// The next publisher that came or went, if any. Cheap when there is none.
    fn next_event(&mut self) -> Option<StreamEvent>;
}
