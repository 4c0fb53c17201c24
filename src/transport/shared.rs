//! What a client and its streams share: whether they are up, and what was counted. One thread, so plain cells.

use std::cell::{Cell, RefCell};

use crate::telemetry::{Counter, Registry};
use crate::transport::DownReason;

/// What a client and its streams counted since the client was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// Offers refused because the subscriber or the driver was behind.
    pub back_pressured: u64,
    /// Offers refused because nobody subscribed.
    pub not_connected: u64,
    /// Offers refused while a term was rotated.
    pub admin_action: u64,
    /// Offers refused because they were too long, or the stream was closed or at its end.
    pub refused_offers: u64,
    /// Parts of messages that were longer than one frame: dropped.
    pub refused_fragments: u64,
    /// Publishers that came.
    pub sources_up: u64,
    /// Publishers that went.
    pub sources_down: u64,
    /// Errors that Aeron reported and that did not end the client.
    pub errors: u64,
    /// Failed duty cycles of an embedded driver on our thread.
    pub driver_errors: u64,
}

/// The same numbers as counters, written once in each pass of the client's conductor. One client in a process has them.
#[derive(Debug)]
pub struct TransportCounters {
    back_pressured: Counter,
    not_connected: Counter,
    admin_action: Counter,
    refused_offers: Counter,
    refused_fragments: Counter,
    sources_up: Counter,
    sources_down: Counter,
    errors: Counter,
    driver_errors: Counter,
    down_code: Counter,
}

impl TransportCounters {
    /// The writer's handles.
    ///
    /// # Panics
    /// If the counter table lacks a row: a bug of ours.
    pub fn new(registry: &Registry) -> TransportCounters {
        TransportCounters {
            back_pressured: registry.counter("transport_back_pressured_count"),
            not_connected: registry.counter("transport_not_connected_count"),
            admin_action: registry.counter("transport_admin_action_count"),
            refused_offers: registry.counter("transport_refused_offer_count"),
            refused_fragments: registry.counter("transport_refused_fragment_count"),
            sources_up: registry.counter("transport_source_up_count"),
            sources_down: registry.counter("transport_source_down_count"),
            errors: registry.counter("transport_error_count"),
            driver_errors: registry.counter("transport_driver_error_count"),
            down_code: registry.counter("transport_down_code"),
        }
    }

    pub(super) fn write(&self, stats: &TransportStats, down: Option<DownReason>) {
        self.back_pressured.set(stats.back_pressured);
        self.not_connected.set(stats.not_connected);
        self.admin_action.set(stats.admin_action);
        self.refused_offers.set(stats.refused_offers);
        self.refused_fragments.set(stats.refused_fragments);
        self.sources_up.set(stats.sources_up);
        self.sources_down.set(stats.sources_down);
        self.errors.set(stats.errors);
        self.driver_errors.set(stats.driver_errors);
        let code = down.map_or(0, DownReason::code);
        self.down_code.set(u64::from(code.unsigned_abs()));
    }
}

/// Longest text of Aeron's that is kept, in bytes.
const ERROR_TEXT_BYTES: usize = 512;

/// Shared by a client, its callbacks and its streams, all on one thread.
#[derive(Debug, Default)]
pub(super) struct Shared {
    stats: Cell<TransportStats>,
    down: Cell<Option<DownReason>>,
    driver_wanted: Cell<bool>,
    error_text: RefCell<String>,
}

impl Shared {
    pub(super) fn new() -> Shared {
        let shared = Shared::default();
        shared.error_text.borrow_mut().reserve(ERROR_TEXT_BYTES);
        shared
    }

    #[inline]
    pub(super) fn stats(&self) -> TransportStats {
        self.stats.get()
    }

    #[inline]
    pub(super) fn count(&self, change: impl FnOnce(&mut TransportStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }

    #[inline]
    pub(super) fn down(&self) -> Option<DownReason> {
        self.down.get()
    }

    /// The first reason stays.
    pub(super) fn go_down(&self, reason: DownReason) {
        if self.down.get().is_none() {
            self.down.set(Some(reason));
        }
    }

    /// Asks for a run of the driver in the next loop: an offer waits for it.
    #[inline]
    pub(super) fn want_driver(&self) {
        self.driver_wanted.set(true);
    }

    #[inline]
    pub(super) fn take_driver_wanted(&self) -> bool {
        self.driver_wanted.replace(false)
    }

    /// Takes what Aeron's error handler is told. Does not allocate.
    pub(super) fn on_error(&self, code: i32, text: &str) {
        match DownReason::from_code(code) {
            Some(reason) => self.go_down(reason),
            None => self.count(|stats| stats.errors += 1),
        }
        // A callback within a callback would find it borrowed: the first text is kept then.
        if let Ok(mut kept) = self.error_text.try_borrow_mut() {
            kept.clear();
            for character in text.chars() {
                if kept.len() + character.len_utf8() > ERROR_TEXT_BYTES {
                    break;
                }
                kept.push(character);
            }
        }
    }

    pub(super) fn error_text(&self) -> String {
        self.error_text.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays_and_other_codes_are_counted() {
        let shared = Shared::new();
        shared.on_error(1003, "a full buffer");
        assert_eq!((shared.down(), shared.stats().errors), (None, 1));
        shared.on_error(1002, "not serviced");
        shared.on_error(1000, "and no driver");
        assert_eq!(shared.down(), Some(DownReason::ServiceTimeout));
        assert_eq!(shared.stats().errors, 1);
        assert_eq!(shared.error_text(), "and no driver");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let shared = Shared::new();
        shared.on_error(1, &"ä".repeat(ERROR_TEXT_BYTES));
        assert_eq!(shared.error_text(), "ä".repeat(ERROR_TEXT_BYTES / 2));
    }
}
