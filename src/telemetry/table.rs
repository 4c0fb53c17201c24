//! Every counter there is, with its help, sorted by agent: what code, metrics and documentation share.

use crate::telemetry::registry::{CounterRow, gauge, row};

/// Every counter, sorted by name. A name never changes its meaning.
pub const COUNTERS: &[CounterRow] = &[
    row("entry_decode_error_count", "Messages that could not be decoded and were refused."),
    row("entry_duplicate_count", "Messages ignored because they were applied before."),
    row("entry_not_applied_count", "Gaps told to strategies with NotApplied."),
    row("entry_order_count", "Requests passed on to risk."),
    row(
        "entry_refused_count",
        "Session requests and messages refused by the protocol, or while the gateway goes down.",
    ),
    row("entry_report_count", "Reports numbered and stored for strategies."),
    row("entry_report_wait_count", "Times a report had to wait for its strategy's stream."),
    row(
        "entry_ring_full_count",
        "Duty cycles in which orders stayed unread because entry_risk was full.",
    ),
    row("entry_session_down_count", "Established sessions that ended."),
    row("entry_session_up_count", "Sessions established."),
    row("entry_slow_consumer_count", "Sessions ended because their reports were not read."),
    row("entry_unknown_session_count", "Messages that named a session that is not configured."),
    row("entry_wrong_source_count", "Messages that named a session bound to another publisher."),
    row("feed_packet_count", "Datagrams taken from packet sources."),
    gauge("risk_kill_command_id", "Number of the kill switch command that risk applied last."),
    row("router_anomaly_count", "Venue reports that did not fit the order's state."),
    row("router_decode_error_count", "Venue messages that could not be decoded."),
    row("router_drain_cancel_count", "Cancels sent because the gateway goes down."),
    row(
        "router_held_count",
        "Duty cycles in which an approved request waited for the venue's stream.",
    ),
    row("router_lost_report_count", "Venue reports lost for good: positions must be reconciled."),
    gauge("router_open_order_count", "Orders open at venues now."),
    row("router_order_count", "Approved orders, replaces and cancels sent to venues."),
    row(
        "router_refused_count",
        "Approved requests that did not leave: killed, venue down, or held too long.",
    ),
    row("router_report_count", "Venue reports passed on to risk."),
    row("router_unknown_order_count", "Venue reports about orders that are not open here."),
    row("router_venue_down_count", "Established venue sessions that ended."),
    row("router_venue_up_count", "Venue sessions established."),
    row("transport_admin_action_count", "Offers refused while Aeron rotated a term."),
    row("transport_back_pressured_count", "Offers refused because a subscriber was behind."),
    row("transport_down_code", "0 while the Aeron client is up, else the code it went down with."),
    row("transport_driver_error_count", "Failed duty cycles of the embedded Aeron driver."),
    row("transport_error_count", "Errors Aeron reported that did not end the client."),
    row("transport_not_connected_count", "Offers refused because nobody subscribed."),
    row("transport_refused_fragment_count", "Parts of messages longer than one frame, dropped."),
    row("transport_refused_offer_count", "Offers refused as too long, or on a closed stream."),
    row("transport_source_down_count", "Publishers that went."),
    row("transport_source_up_count", "Publishers that came."),
];
