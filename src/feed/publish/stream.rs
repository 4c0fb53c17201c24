//! One stream of market data: its sequence, and whether anybody reads it.

use crate::codec::Message;
use crate::runtime::Fatal;
use crate::telemetry::Counter;
use crate::transport::{OfferError, Outbound};

/// A stream whose messages are numbered.
#[derive(Debug)]
pub(super) struct Stream<O> {
    out: O,
    /// Messages sent: a reader that sees a hole has lost some.
    rpt_seq: u64,
    /// As last seen: there is nothing to do for nobody.
    is_connected: bool,
    fatal: Option<Fatal>,
    sent: Counter,
}

/// What a look at the stream found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// As before.
    Same,
    /// Somebody reads it, and nobody did.
    Came,
}

impl<O: Outbound> Stream<O> {
    pub(super) const fn new(out: O, sent: Counter) -> Stream<O> {
        Stream { out, rpt_seq: 0, is_connected: false, fatal: None, sent }
    }

    pub(super) fn into_out(self) -> O {
        self.out
    }

    /// How many messages were sent.
    #[inline]
    pub(super) const fn rpt_seq(&self) -> u64 {
        self.rpt_seq
    }

    /// What its readers see as its source.
    pub(super) fn source(&self) -> i32 {
        self.out.source()
    }

    #[inline]
    pub(super) const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Why the stream is gone for good, if it is.
    #[inline]
    pub(super) const fn fatal(&self) -> Option<Fatal> {
        self.fatal
    }

    /// Looks whether anybody reads it.
    #[inline]
    pub(super) fn look(&mut self) -> Readers {
        let was = self.is_connected;
        self.is_connected = self.fatal.is_none() && self.out.is_connected();
        if self.is_connected && !was { Readers::Came } else { Readers::Same }
    }

    /// Sends a message under the next number; `false` if it was not taken.
    #[inline]
    pub(super) fn offer<M: Message>(&mut self, numbered: impl FnOnce(u64) -> M) -> bool {
        if !self.is_connected {
            return false;
        }
        let message = numbered(self.rpt_seq + 1);
        let mut offered = self.out.offer(M::BYTES, |bytes| message.encode(bytes));
        if offered == Err(OfferError::AdminAction) {
            // The stream went over to its next term with this call; a trade would be lost for it.
            offered = self.out.offer(M::BYTES, |bytes| message.encode(bytes));
        }
        match offered {
            Ok(()) => {
                self.rpt_seq += 1;
                self.sent.increment();
                true
            }
            Err(error) => {
                self.refused(error);
                false
            }
        }
    }

    #[cold]
    fn refused(&mut self, error: OfferError) {
        match error {
            OfferError::BackPressured | OfferError::AdminAction => {}
            OfferError::NotConnected => self.is_connected = false,
            OfferError::MaxPositionExceeded => self.end(Fatal::MaxPosition),
            // A stream that does not take a message of this size never will: as good as gone.
            OfferError::Closed | OfferError::TooLong => self.end(Fatal::TransportDown),
        }
    }

    fn end(&mut self, fatal: Fatal) {
        self.fatal = Some(fatal);
        self.is_connected = false;
    }
}
