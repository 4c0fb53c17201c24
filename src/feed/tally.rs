//! The feed's counters: totals over its channels.

use crate::feed::channel::Channel;
use crate::telemetry::{Counter, Registry};
use crate::types::FeedState;

#[derive(Debug)]
pub(super) struct Tally {
    packets: Counter,
    messages: Counter,
    packet_errors: Counter,
    message_errors: Counter,
    misfits: Counter,
    gaps: Counter,
    missing: Counter,
    duplicates: Counter,
    session_changes: Counter,
    unknown_channels: Counter,
    drops: Counter,
    spills: Counter,
    orders: Counter,
    current_channels: Counter,
}

impl Tally {
    pub(super) fn new(registry: &Registry) -> Tally {
        Tally {
            packets: registry.counter("feed_packet_count"),
            messages: registry.counter("feed_message_count"),
            packet_errors: registry.counter("feed_packet_error_count"),
            message_errors: registry.counter("feed_message_error_count"),
            misfits: registry.counter("feed_misfit_count"),
            gaps: registry.counter("feed_gap_count"),
            missing: registry.counter("feed_missing_count"),
            duplicates: registry.counter("feed_duplicate_count"),
            session_changes: registry.counter("feed_session_change_count"),
            unknown_channels: registry.counter("feed_unknown_channel_count"),
            drops: registry.counter("feed_drop_count"),
            spills: registry.counter("feed_spill_count"),
            orders: registry.counter("feed_order_count"),
            current_channels: registry.counter("feed_current_channel_count"),
        }
    }

    /// Sets every counter to the total over `channels`. A few stores; neither allocates nor blocks.
    pub(super) fn set<'a>(
        &self,
        channels: impl Iterator<Item = &'a Channel> + Clone,
        unknown_channels: u64,
        drops: u64,
    ) {
        let total = |number: fn(&Channel) -> u64| -> u64 {
            channels.clone().map(number).fold(0, u64::saturating_add)
        };
        self.packets.set(total(|c| c.counts().packets));
        self.messages.set(total(|c| c.counts().messages));
        self.packet_errors.set(total(|c| c.counts().packet_errors));
        self.message_errors.set(total(|c| c.counts().message_errors));
        self.misfits.set(total(|c| c.counts().misfits));
        self.gaps.set(total(|c| c.arbiter().counts().gaps));
        self.missing.set(total(|c| c.arbiter().counts().missing));
        self.duplicates.set(total(|c| c.arbiter().counts().duplicates));
        self.session_changes.set(total(|c| c.arbiter().counts().session_changes));
        self.unknown_channels.set(unknown_channels);
        self.drops.set(drops);
        self.spills.set(total(|c| c.books().spills_and_refills().0));
        let orders = total(|c| u64::try_from(c.books().order_count_total()).unwrap_or(u64::MAX));
        self.orders.set(orders);
        self.current_channels.set(total(|c| u64::from(c.arbiter().state() == FeedState::Current)));
    }
}
