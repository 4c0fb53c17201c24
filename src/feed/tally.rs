//! The feed's counters: totals over its channels.

use crate::feed::channel::Channel;
use crate::feed::channels::{AnyChannel, misfits};
use crate::feed::iex::IexChannel;
use crate::feed::line::LineCounts;
use crate::feed::recovery::RecoveryCounts;
use crate::telemetry::{Counter, Registry};
use crate::types::FeedState;

/// What a line brought, so that it shows which one is bad.
#[derive(Debug)]
struct LineTally {
    packets: Counter,
    first: Counter,
    late: Counter,
    duplicates: Counter,
    out_of_order: Counter,
    missing: Counter,
    errors: Counter,
    doubted: Counter,
}

impl LineTally {
    fn set(&self, total: impl Fn(fn(&LineCounts) -> u64) -> u64) {
        self.packets.set(total(|c| c.packets));
        self.first.set(total(|c| c.first));
        self.late.set(total(|c| c.late));
        self.duplicates.set(total(|c| c.duplicates));
        self.out_of_order.set(total(|c| c.out_of_order));
        self.missing.set(total(|c| c.missing));
        self.errors.set(total(|c| c.errors));
        self.doubted.set(total(|c| c.doubted));
    }
}

/// What recovery did.
#[derive(Debug)]
struct RecoveryTally {
    requests: Counter,
    repeats: Counter,
    replies: Counter,
    reply_errors: Counter,
    given_up: Counter,
    lost_gaps: Counter,
    attempts: Counter,
    snapshots: Counter,
    failures: Counter,
    rejected: Counter,
}

impl RecoveryTally {
    fn new(registry: &Registry) -> RecoveryTally {
        RecoveryTally {
            requests: registry.counter("feed_rerequest_count"),
            repeats: registry.counter("feed_rerequest_repeat_count"),
            replies: registry.counter("feed_rerequest_reply_count"),
            reply_errors: registry.counter("feed_rerequest_reply_error_count"),
            given_up: registry.counter("feed_rerequest_given_up_count"),
            lost_gaps: registry.counter("feed_gap_lost_count"),
            attempts: registry.counter("feed_glimpse_attempt_count"),
            snapshots: registry.counter("feed_glimpse_count"),
            failures: registry.counter("feed_glimpse_failure_count"),
            rejected: registry.counter("feed_glimpse_rejected_count"),
        }
    }

    fn set(&self, total: impl Fn(fn(&RecoveryCounts) -> u64) -> u64) {
        self.requests.set(total(|c| c.rerequest.requests));
        self.repeats.set(total(|c| c.rerequest.repeats));
        self.replies.set(total(|c| c.replies));
        self.reply_errors.set(total(|c| c.reply_errors));
        self.given_up.set(total(|c| c.rerequest.given_up));
        self.lost_gaps.set(total(|c| c.lost_gaps));
        self.attempts.set(total(|c| c.snapshot.attempts));
        self.snapshots.set(total(|c| c.snapshot.completed));
        self.failures.set(total(|c| c.snapshot.failures));
        self.rejected.set(total(|c| c.snapshot.rejected));
    }
}

#[derive(Debug)]
pub(super) struct Tally {
    packets: Counter,
    messages: Counter,
    packet_errors: Counter,
    message_errors: Counter,
    misfits: Counter,
    gaps: Counter,
    missing: Counter,
    recovered: Counter,
    reordered: Counter,
    retransmitted: Counter,
    overflows: Counter,
    lines: [LineTally; 2],
    recovery: RecoveryTally,
    duplicates: Counter,
    late_sessions: Counter,
    session_changes: Counter,
    restarts: Counter,
    refuted: Counter,
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
            recovered: registry.counter("feed_gap_recovered_count"),
            reordered: registry.counter("feed_reordered_count"),
            retransmitted: registry.counter("feed_retransmitted_count"),
            overflows: registry.counter("feed_queue_overflow_count"),
            lines: [
                LineTally {
                    packets: registry.counter("feed_line_a_packet_count"),
                    first: registry.counter("feed_line_a_first_count"),
                    late: registry.counter("feed_line_a_late_count"),
                    duplicates: registry.counter("feed_line_a_duplicate_count"),
                    out_of_order: registry.counter("feed_line_a_out_of_order_count"),
                    missing: registry.counter("feed_line_a_missing_count"),
                    errors: registry.counter("feed_line_a_error_count"),
                    doubted: registry.counter("feed_line_a_doubted_count"),
                },
                LineTally {
                    packets: registry.counter("feed_line_b_packet_count"),
                    first: registry.counter("feed_line_b_first_count"),
                    late: registry.counter("feed_line_b_late_count"),
                    duplicates: registry.counter("feed_line_b_duplicate_count"),
                    out_of_order: registry.counter("feed_line_b_out_of_order_count"),
                    missing: registry.counter("feed_line_b_missing_count"),
                    errors: registry.counter("feed_line_b_error_count"),
                    doubted: registry.counter("feed_line_b_doubted_count"),
                },
            ],
            recovery: RecoveryTally::new(registry),
            duplicates: registry.counter("feed_duplicate_count"),
            late_sessions: registry.counter("feed_late_session_count"),
            session_changes: registry.counter("feed_session_change_count"),
            restarts: registry.counter("feed_session_restart_count"),
            refuted: registry.counter("feed_refuted_count"),
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
        channels: impl Iterator<Item = &'a AnyChannel> + Clone,
        unknown_channels: u64,
        drops: u64,
    ) {
        let itch = channels.clone().filter_map(AnyChannel::itch);
        let iex = channels.clone().filter_map(AnyChannel::iex);
        let total = |of_itch: fn(&Channel) -> u64, of_iex: fn(&IexChannel) -> u64| -> u64 {
            itch.clone().map(of_itch).chain(iex.clone().map(of_iex)).fold(0, u64::saturating_add)
        };
        self.packets.set(total(|c| c.counts().packets, |c| c.counts().packets));
        self.messages.set(total(|c| c.counts().messages, |c| c.counts().messages));
        self.packet_errors
            .set(total(|c| c.counts().packet_errors, |c| c.counts().refused_packets()));
        self.message_errors
            .set(total(|c| c.counts().message_errors, |c| c.counts().message_errors));
        self.misfits.set(total(|c| c.counts().misfits, misfits));
        self.gaps.set(total(|c| c.arbiter().counts().gaps, |c| c.sequence().counts().gaps));
        self.missing
            .set(total(|c| c.arbiter().counts().missing, |c| c.sequence().counts().missing));
        self.duplicates
            .set(total(|c| c.arbiter().counts().duplicates, |c| c.sequence().counts().duplicates));
        self.late_sessions.set(total(
            |c| c.arbiter().counts().late_sessions,
            |c| c.sequence().counts().late_sessions,
        ));
        self.session_changes.set(total(
            |c| c.arbiter().counts().session_changes,
            |c| c.sequence().counts().session_changes,
        ));
        self.unknown_channels.set(unknown_channels);
        self.drops.set(drops);
        let current = channels.filter(|c| c.state() == FeedState::Current).count();
        self.current_channels.set(u64::try_from(current).unwrap_or(u64::MAX));
        self.set_itch(itch);
    }

    /// Sets what only channels of ITCH have: orders, what each line brought, and recovery.
    fn set_itch<'a>(&self, channels: impl Iterator<Item = &'a Channel> + Clone) {
        let total = |number: fn(&Channel) -> u64| -> u64 {
            channels.clone().map(number).fold(0, u64::saturating_add)
        };
        self.recovered.set(total(|c| c.arbiter().counts().recovered));
        self.restarts.set(total(|c| c.arbiter().counts().restarts));
        self.refuted.set(total(|c| c.arbiter().counts().refuted));
        self.reordered.set(total(|c| c.arbiter().counts().reordered));
        self.retransmitted.set(total(|c| c.arbiter().counts().retransmitted));
        self.overflows.set(total(|c| c.arbiter().counts().overflows));
        for (place, line) in self.lines.iter().enumerate() {
            line.set(|number| {
                let counts = channels.clone().map(|c| number(&c.arbiter().line_counts()[place]));
                counts.fold(0, u64::saturating_add)
            });
        }
        self.recovery.set(|number| {
            let counts = channels.clone().map(|c| number(&c.recovery_counts()));
            counts.fold(0, u64::saturating_add)
        });
        self.spills.set(total(|c| c.books().spills_and_refills().0));
        let orders = total(|c| u64::try_from(c.books().order_count_total()).unwrap_or(u64::MAX));
        self.orders.set(orders);
    }
}
