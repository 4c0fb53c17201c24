//! The feed's counters: totals over its channels.

use crate::feed::arbiter::ArbiterCounts;
use crate::feed::channel::Channel;
use crate::feed::channels::{AnyChannel, misfits};
use crate::feed::faults::MisfitCounts;
use crate::feed::iex::IexChannel;
use crate::feed::iex::books::BooksCounts;
use crate::feed::line::LineCounts;
use crate::feed::market_state::MarketCounts;
use crate::feed::out::OutCounts;
use crate::feed::recovery::RecoveryCounts;
use crate::feed::sbe::SbeChannel;
use crate::net::BypassCounts;
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

/// What did not fit, by why.
#[derive(Debug)]
struct MisfitTally {
    unknown_orders: Counter,
    duplicate_orders: Counter,
    excess_shares: Counter,
    zero_shares: Counter,
    wrong_securities: Counter,
    orders_full: Counter,
    levels_full: Counter,
    books_full: Counter,
}

impl MisfitTally {
    fn new(registry: &Registry) -> MisfitTally {
        MisfitTally {
            unknown_orders: registry.counter("feed_unknown_order_count"),
            duplicate_orders: registry.counter("feed_duplicate_order_count"),
            excess_shares: registry.counter("feed_excess_shares_count"),
            zero_shares: registry.counter("feed_zero_shares_count"),
            wrong_securities: registry.counter("feed_wrong_security_count"),
            orders_full: registry.counter("feed_orders_full_count"),
            levels_full: registry.counter("feed_levels_full_count"),
            books_full: registry.counter("feed_books_full_count"),
        }
    }
}

/// What only other gateways have.
#[derive(Debug)]
struct UpstreamTally {
    conflated: Counter,
    dropped: Counter,
    foreign: Counter,
    installed: Counter,
    differed: Counter,
    unnamed: Counter,
}

impl UpstreamTally {
    fn new(registry: &Registry) -> UpstreamTally {
        UpstreamTally {
            conflated: registry.counter("feed_upstream_conflated_count"),
            dropped: registry.counter("feed_upstream_dropped_count"),
            foreign: registry.counter("feed_upstream_foreign_count"),
            installed: registry.counter("feed_upstream_snapshot_count"),
            differed: registry.counter("feed_upstream_snapshot_differed_count"),
            unnamed: registry.counter("feed_upstream_unnamed_count"),
        }
    }

    fn set<'a>(&self, channels: impl Iterator<Item = &'a SbeChannel> + Clone) {
        let total = |number: fn(&SbeChannel) -> u64| -> u64 {
            channels.clone().map(number).fold(0, u64::saturating_add)
        };
        self.conflated.set(total(|c| c.counts().conflated));
        self.dropped.set(total(|c| c.counts().dropped_trades));
        self.foreign.set(total(|c| c.upstream().counts().foreign));
        self.installed.set(total(|c| c.books().counts().installed));
        self.differed.set(total(|c| c.books().counts().differed));
        self.unnamed.set(total(|c| u64::try_from(c.books().unnamed_count()).unwrap_or(u64::MAX)));
    }
}

#[derive(Debug)]
pub(super) struct Tally {
    packets: Counter,
    messages: Counter,
    packet_errors: Counter,
    message_errors: Counter,
    misfits: Counter,
    misfits_by: MisfitTally,
    crossed: Counter,
    contradicted: Counter,
    breaks: Counter,
    unknown_breaks: Counter,
    state_misfits: Counter,
    gaps: Counter,
    missing: Counter,
    offset_faults: Counter,
    recovered: Counter,
    reordered: Counter,
    retransmitted: Counter,
    overflows: Counter,
    lines: [LineTally; 2],
    recovery: RecoveryTally,
    upstream: UpstreamTally,
    duplicates: Counter,
    late_sessions: Counter,
    session_changes: Counter,
    restarts: Counter,
    refuted: Counter,
    unknown_channels: Counter,
    drops: Counter,
    bypass: BypassTally,
    spills: Counter,
    orders: Counter,
    current_channels: Counter,
}

/// What came past the kernel's sockets.
#[derive(Debug)]
struct BypassTally {
    packets: Counter,
    by_kernel: Counter,
    refused: Counter,
    checksums: Counter,
    unsubscribed: Counter,
    binds: Counter,
    lost: Counter,
}

impl BypassTally {
    fn new(registry: &Registry) -> BypassTally {
        BypassTally {
            packets: registry.counter("feed_xdp_packet_count"),
            by_kernel: registry.counter("feed_xdp_kernel_count"),
            refused: registry.counter("feed_xdp_refused_count"),
            checksums: registry.counter("feed_xdp_checksum_count"),
            unsubscribed: registry.counter("feed_xdp_unsubscribed_count"),
            binds: registry.counter("feed_xdp_bind_count"),
            lost: registry.counter("feed_xdp_lost_count"),
        }
    }

    fn set(&self, counts: BypassCounts) {
        self.packets.set(counts.datagrams);
        self.by_kernel.set(counts.by_kernel);
        self.refused.set(counts.refused);
        self.checksums.set(counts.bad_checksums);
        self.unsubscribed.set(counts.unsubscribed);
        self.binds.set(counts.binds);
        self.lost.set(counts.lost);
    }
}

impl Tally {
    pub(super) fn new(registry: &Registry) -> Tally {
        Tally {
            packets: registry.counter("feed_packet_count"),
            messages: registry.counter("feed_message_count"),
            packet_errors: registry.counter("feed_packet_error_count"),
            message_errors: registry.counter("feed_message_error_count"),
            misfits: registry.counter("feed_misfit_count"),
            misfits_by: MisfitTally::new(registry),
            crossed: registry.counter("feed_crossed_count"),
            contradicted: registry.counter("feed_contradicted_count"),
            breaks: registry.counter("feed_trade_break_count"),
            unknown_breaks: registry.counter("feed_trade_break_unknown_count"),
            state_misfits: registry.counter("feed_state_misfit_count"),
            gaps: registry.counter("feed_gap_count"),
            missing: registry.counter("feed_missing_count"),
            offset_faults: registry.counter("feed_offset_fault_count"),
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
            upstream: UpstreamTally::new(registry),
            duplicates: registry.counter("feed_duplicate_count"),
            late_sessions: registry.counter("feed_late_session_count"),
            session_changes: registry.counter("feed_session_change_count"),
            restarts: registry.counter("feed_session_restart_count"),
            refuted: registry.counter("feed_refuted_count"),
            unknown_channels: registry.counter("feed_unknown_channel_count"),
            drops: registry.counter("feed_drop_count"),
            bypass: BypassTally::new(registry),
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
        (drops, bypass): (u64, BypassCounts),
        out: OutCounts,
    ) {
        let itch = channels.clone().filter_map(AnyChannel::itch);
        let iex = channels.clone().filter_map(AnyChannel::iex);
        let sbe = channels.clone().filter_map(AnyChannel::sbe);
        let total = |of_itch: fn(&Channel) -> u64,
                     of_iex: fn(&IexChannel) -> u64,
                     of_sbe: fn(&SbeChannel) -> u64| {
            let others = iex.clone().map(of_iex).chain(sbe.clone().map(of_sbe));
            itch.clone().map(of_itch).chain(others).fold(0, u64::saturating_add)
        };
        self.packets.set(total(
            |c| c.counts().packets,
            |c| c.counts().packets,
            |c| c.counts().packets,
        ));
        self.messages.set(total(
            |c| c.counts().messages,
            |c| c.counts().messages,
            |c| c.counts().messages,
        ));
        self.packet_errors.set(total(
            |c| c.counts().packet_errors,
            |c| c.counts().refused_packets(),
            |_| 0,
        ));
        self.message_errors.set(total(
            |c| c.counts().message_errors,
            |c| c.counts().message_errors,
            |c| c.counts().message_errors,
        ));
        self.misfits.set(total(|c| c.counts().misfits, misfits, |c| c.books().counts().misfits));
        self.gaps.set(total(
            |c| c.arbiter().counts().gaps,
            |c| c.arbiter().counts().gaps,
            |c| c.upstream().counts().gaps,
        ));
        self.missing.set(total(
            |c| c.arbiter().counts().missing,
            |c| c.arbiter().counts().missing,
            |c| c.upstream().counts().missing,
        ));
        self.duplicates.set(total(
            |c| c.arbiter().counts().duplicates,
            |c| c.arbiter().counts().duplicates,
            |c| c.upstream().counts().repeated,
        ));
        self.late_sessions.set(total(
            |c| c.arbiter().counts().late_sessions,
            |c| c.arbiter().counts().late_sessions,
            |_| 0,
        ));
        self.session_changes.set(total(
            |c| c.arbiter().counts().session_changes,
            |c| c.arbiter().counts().session_changes,
            |c| c.upstream().counts().publisher_changes,
        ));
        self.upstream.set(sbe.clone());
        self.unknown_channels.set(unknown_channels);
        self.drops.set(drops);
        self.bypass.set(bypass);
        let current = channels.filter(|c| c.state() == FeedState::Current).count();
        self.current_channels.set(u64::try_from(current).unwrap_or(u64::MAX));
        self.set_misfits(itch.clone(), iex.clone(), out);
        self.set_arbiters(itch.clone(), iex);
        self.set_itch(itch);
    }

    /// Sets what did not fit, what there was no room for, and what should not be.
    fn set_misfits<'a>(
        &self,
        itch: impl Iterator<Item = &'a Channel> + Clone,
        iex: impl Iterator<Item = &'a IexChannel> + Clone,
        out: OutCounts,
    ) {
        let by = |number: fn(&MisfitCounts) -> u64| -> u64 {
            let counts = itch.clone().map(|c| number(&c.faults().counts()));
            counts.fold(0, u64::saturating_add)
        };
        let of_iex = |number: fn(&BooksCounts) -> u64| -> u64 {
            let counts = iex.clone().map(|c| number(&c.books().counts()));
            counts.fold(0, u64::saturating_add)
        };
        let market = |number: fn(&MarketCounts) -> u64| -> u64 {
            let counts = itch.clone().map(|c| number(&c.market().counts()));
            counts.fold(0, u64::saturating_add)
        };
        let misfits = &self.misfits_by;
        misfits.unknown_orders.set(by(|c| c.unknown_orders));
        misfits.duplicate_orders.set(by(|c| c.duplicate_orders));
        misfits.excess_shares.set(by(|c| c.excess_shares));
        misfits.zero_shares.set(by(|c| c.zero_shares));
        misfits.wrong_securities.set(by(|c| c.wrong_securities));
        misfits.orders_full.set(by(|c| c.orders_full));
        misfits.levels_full.set(by(|c| c.levels_full) + of_iex(|c| c.overflows));
        misfits.books_full.set(by(|c| c.books_full) + of_iex(|c| c.books_full));
        self.crossed.set(out.crossed + of_iex(|c| c.crossed));
        self.contradicted.set(out.contradicted);
        self.breaks.set(market(|c| c.breaks));
        self.unknown_breaks.set(market(|c| c.unknown_breaks));
        self.state_misfits.set(market(|c| c.misfits));
    }

    /// Sets what channels with lines have: what each line brought, and what became of holes.
    fn set_arbiters<'a>(
        &self,
        itch: impl Iterator<Item = &'a Channel> + Clone,
        iex: impl Iterator<Item = &'a IexChannel> + Clone,
    ) {
        let total = |number: fn(&ArbiterCounts) -> u64| -> u64 {
            let itch = itch.clone().map(|c| number(&c.arbiter().counts()));
            let iex = iex.clone().map(|c| number(&c.arbiter().counts()));
            itch.chain(iex).fold(0, u64::saturating_add)
        };
        let offset_faults = iex.clone().map(|c| c.counts().offset_faults);
        self.offset_faults.set(offset_faults.fold(0, u64::saturating_add));
        self.recovered.set(total(|c| c.recovered));
        self.restarts.set(total(|c| c.restarts));
        self.refuted.set(total(|c| c.refuted));
        self.reordered.set(total(|c| c.reordered));
        self.retransmitted.set(total(|c| c.retransmitted));
        self.overflows.set(total(|c| c.overflows));
        for (place, line) in self.lines.iter().enumerate() {
            line.set(|number| {
                let itch = itch.clone().map(|c| number(&c.arbiter().line_counts()[place]));
                let iex = iex.clone().map(|c| number(&c.arbiter().line_counts()[place]));
                itch.chain(iex).fold(0, u64::saturating_add)
            });
        }
    }

    /// Sets what only channels of ITCH have: orders and recovery.
    fn set_itch<'a>(&self, channels: impl Iterator<Item = &'a Channel> + Clone) {
        let total = |number: fn(&Channel) -> u64| -> u64 {
            channels.clone().map(number).fold(0, u64::saturating_add)
        };
        self.recovery.set(|number| {
            let counts = channels.clone().map(|c| number(&c.recovery_counts()));
            counts.fold(0, u64::saturating_add)
        });
        self.spills.set(total(|c| c.books().spills_and_refills().0));
        let orders = total(|c| u64::try_from(c.books().order_count_total()).unwrap_or(u64::MAX));
        self.orders.set(orders);
    }
}
