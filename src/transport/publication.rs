//! A stream of ours that others read.

use std::fmt;
use std::rc::Rc;

use rusteron_client::{AeronExclusivePublication, AeronOfferError};

use crate::transport::shared::Shared;
use crate::transport::{OfferError, Outbound};

/// The one writer of a stream. Stays on the thread of its client.
pub struct Publication {
    inner: AeronExclusivePublication,
    shared: Rc<Shared>,
    message_bytes_max: usize,
    session_id: i32,
    stream_id: i32,
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("session_id", &self.session_id)
            .field("stream_id", &self.stream_id)
            .field("message_bytes_max", &self.message_bytes_max)
            .finish_non_exhaustive()
    }
}

impl Publication {
    pub(super) fn new(inner: AeronExclusivePublication, shared: Rc<Shared>) -> Option<Publication> {
        let constants = inner.get_constants().ok()?;
        Some(Publication {
            message_bytes_max: constants.max_payload_length(),
            session_id: constants.session_id(),
            stream_id: constants.stream_id(),
            inner,
            shared,
        })
    }

    /// Longest message in bytes: one frame without its header.
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Aeron's session id: the [`crate::transport::Fragment::source`] that subscribers see.
    pub fn session_id(&self) -> i32 {
        self.session_id
    }

    /// The stream id it was opened with.
    pub fn stream_id(&self) -> i32 {
        self.stream_id
    }

    /// Whether the stream is closed for good.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    #[cold]
    fn refused(&self, error: &AeronOfferError) -> OfferError {
        let error = match error {
            AeronOfferError::NotConnected => OfferError::NotConnected,
            AeronOfferError::BackPressured => OfferError::BackPressured,
            AeronOfferError::AdminAction => OfferError::AdminAction,
            AeronOfferError::Closed => OfferError::Closed,
            AeronOfferError::MaxPositionExceeded => OfferError::MaxPositionExceeded,
            // The length was checked, so what is left is a handle that Aeron no longer takes.
            AeronOfferError::TooManyParts | AeronOfferError::Error(_) => OfferError::Closed,
        };
        self.shared.count(|stats| match error {
            OfferError::NotConnected => stats.not_connected += 1,
            OfferError::BackPressured => stats.back_pressured += 1,
            OfferError::AdminAction => stats.admin_action += 1,
            OfferError::Closed | OfferError::MaxPositionExceeded | OfferError::TooLong => {
                stats.refused_offers += 1;
            }
        });
        if error.is_retryable() {
            // The driver moves the limit that this offer ran into.
            self.shared.want_driver();
        }
        error
    }

    #[cold]
    fn too_long(&self) -> OfferError {
        self.shared.count(|stats| stats.refused_offers += 1);
        OfferError::TooLong
    }
}

impl Outbound for Publication {
    /// Costs about 20 ns. On a driver that has died, offers succeed until the client finds out (within its timeout).
    #[inline]
    fn offer(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) -> Result<(), OfferError> {
        if bytes > self.message_bytes_max {
            return Err(self.too_long());
        }
        // Dropped without a commit, as where `write` panics, the claim is given back as padding.
        let mut claim = self.inner.try_claim_owned(bytes).map_err(|error| self.refused(&error))?;
        write(claim.data());
        match claim.commit() {
            Ok(_) => Ok(()),
            Err(_) => Err(OfferError::Closed),
        }
    }

    #[inline]
    fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    fn source(&self) -> i32 {
        self.session_id
    }
}
