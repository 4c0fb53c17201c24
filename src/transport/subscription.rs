//! A stream of others' that we read.
#![allow(
    unsafe_code,
    reason = "the frame's flags have no safe accessor that is not a copy through C"
)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use rusteron_client::bindings::aeron_data_header_t;
use rusteron_client::{AeronHeader, AeronImage, AeronSubscription};

use crate::transport::shared::Shared;
use crate::transport::{DownReason, Fragment, Inbound, StreamEvent, TransportDown};

/// Publisher events that may be unread at once. More mean that nobody reads them, and a publisher's end must not be
/// missed: the subscription then reports [`TransportDown`].
const EVENTS_MAX: usize = 1024;

/// Longest `address:port` there is: a bracketed IPv6 address with its scope and a port (Aeron's own limit).
const ENDPOINT_BYTES: usize = 64;

/// Frame flags of a message that is one frame: both its beginning and its end (Aeron transport protocol, data frame).
const WHOLE_MESSAGE: u8 = 0xC0;

/// Events from the client's callbacks to the subscription, on one thread. The memory is reserved at the beginning.
#[derive(Debug)]
pub(super) struct Events {
    queue: RefCell<std::collections::VecDeque<StreamEvent>>,
    overflowed: Cell<bool>,
}

impl Events {
    pub(super) fn new() -> Events {
        Events {
            queue: RefCell::new(std::collections::VecDeque::with_capacity(EVENTS_MAX)),
            overflowed: Cell::new(false),
        }
    }

    pub(super) fn on_image(&self, image: &AeronImage, shared: &Shared, up: bool) {
        match image.get_constants() {
            Ok(constants) => self.push(constants.session_id(), shared, up),
            // A publisher that cannot be named cannot be followed.
            Err(_) => self.overflowed.set(true),
        }
    }

    fn push(&self, source: i32, shared: &Shared, up: bool) {
        shared.count(|stats| if up { stats.sources_up += 1 } else { stats.sources_down += 1 });
        let event =
            if up { StreamEvent::SourceUp(source) } else { StreamEvent::SourceDown(source) };
        match self.queue.try_borrow_mut() {
            Ok(mut queue) if queue.len() < EVENTS_MAX => queue.push_back(event),
            Ok(_) | Err(_) => self.overflowed.set(true),
        }
    }
}

/// A reader of a stream. Stays on the thread of its client.
pub struct Subscription {
    inner: AeronSubscription,
    shared: Rc<Shared>,
    events: Rc<Events>,
    stream_id: i32,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("stream_id", &self.stream_id).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn new(
        inner: AeronSubscription,
        shared: Rc<Shared>,
        events: Rc<Events>,
        stream_id: i32,
    ) -> Subscription {
        Subscription { inner, shared, events, stream_id }
    }

    /// The stream id it was opened with.
    pub fn stream_id(&self) -> i32 {
        self.stream_id
    }

    /// Whether a publisher is there now.
    #[inline]
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    /// Whether the stream is closed for good.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed() || self.events.overflowed.get()
    }

    /// The port that a channel with port 0 was given, or the address a channel resolved to, as `address:port`; `None`
    /// until the driver has opened the socket, and for IPC. Allocates: set-up only.
    pub fn resolved_endpoint(&self) -> Option<String> {
        let endpoint = self.inner.resolved_endpoint_as_string(ENDPOINT_BYTES).ok()?;
        (!endpoint.is_empty()).then_some(endpoint)
    }
}

impl Inbound for Subscription {
    /// Costs about 10 ns when there is nothing. Messages longer than one frame are dropped and counted
    /// (`refused_fragments`): none of ours is, and nothing is assembled.
    #[inline]
    fn poll(
        &mut self,
        limit: usize,
        handler: &mut impl FnMut(Fragment<'_>),
    ) -> Result<usize, TransportDown> {
        // Aeron's poll returns 0 for ever on a dead driver.
        if self.is_closed() {
            return Err(self.closed());
        }
        let shared = &self.shared;
        let deliver = |bytes: &[u8], header: AeronHeader| match frame_of(&header) {
            Some((WHOLE_MESSAGE, source)) => handler(Fragment { source, bytes }),
            Some(_) | None => shared.count(|stats| stats.refused_fragments += 1),
        };
        match self.inner.poll_fn(deliver, limit) {
            Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
            Err(_) => Err(TransportDown),
        }
    }

    #[inline]
    fn next_event(&mut self) -> Option<StreamEvent> {
        self.events.queue.borrow_mut().pop_front()
    }
}

impl Subscription {
    #[cold]
    fn closed(&self) -> TransportDown {
        if self.events.overflowed.get() {
            self.shared.go_down(DownReason::EventsUnread);
        }
        TransportDown
    }
}

/// Flags and session id of the frame that `header` is of.
#[inline]
fn frame_of(header: &AeronHeader) -> Option<(u8, i32)> {
    // SAFETY: `aeron_header_t` begins with a pointer to its data frame, and the header is valid until the fragment
    // handler returns, which is longer than this call.
    let frame =
        unsafe { header.get_inner().cast::<*const aeron_data_header_t>().as_ref() }.copied()?;
    // SAFETY: as above, the frame lies in the mapped log buffer while the handler runs.
    let frame = unsafe { frame.as_ref() }?;
    Some((frame.frame_header.flags, frame.session_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_order_and_one_too_many_is_the_end() {
        let (events, shared) = (Events::new(), Shared::new());
        let half = i32::try_from(EVENTS_MAX / 2).expect("small");
        for source in 0..half {
            events.push(source, &shared, true);
            events.push(source, &shared, false);
        }
        assert!(!events.overflowed.get());
        events.push(half, &shared, true);
        assert!(events.overflowed.get());
        let read: Vec<StreamEvent> = events.queue.borrow_mut().drain(..).collect();
        assert_eq!(read.len(), EVENTS_MAX);
        assert_eq!(read[..2], [StreamEvent::SourceUp(0), StreamEvent::SourceDown(0)]);
        let stats = shared.stats();
        assert_eq!((stats.sources_up, stats.sources_down), (513, 512));
    }
}
