//! Whether what the gateway talks to is there: one gauge for each venue, channel or session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the gateway is healthy without a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Health fails while it is down: a venue, a feed channel, the driver.
    Required,
    /// It may come and go: a strategy's session.
    Optional,
}

/// What is known about a link.
#[derive(Debug)]
pub(super) struct LinkCell {
    pub(super) name: String,
    pub(super) need: Need,
    pub(super) is_up: AtomicBool,
}

/// The writer's end of a link's state. Not `Clone`: one writer. Down until said otherwise.
#[derive(Debug)]
pub struct LinkGauge {
    cell: Arc<LinkCell>,
}

impl LinkGauge {
    pub(super) fn over(cell: Arc<LinkCell>) -> LinkGauge {
        LinkGauge { cell }
    }

    /// Says whether the link is usable. A single store.
    #[inline]
    pub fn set(&self, is_up: bool) {
        // Relaxed: the state stands for itself and publishes nothing else.
        self.cell.is_up.store(is_up, Ordering::Relaxed);
    }
}
