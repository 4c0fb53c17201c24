//! The configuration in force as TOML. Secrets are not in it, only the files that hold them.

use std::fmt::{Display, Write};

use crate::config::Config;
use crate::config::af_xdp::{BYPASSES, FALLBACKS, MODES, USERS};
use crate::config::parse::{DRIVERS, GUARDS, IDLES, LAYOUTS, PACES, PROTOCOLS, TIMESTAMPS, WANTED};
use crate::config::sections::{
    Account, AfXdp, Channel, Core, Instrument, Protocol, Runtime, Session, Source, Stream, Venue,
};
use crate::types::Price;

/// A text that grows by sections and keys.
struct Page(String);

impl Page {
    fn head(&mut self, line: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn raw(&mut self, key: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.raw(key, toml::Value::String(value.to_string()));
    }

    fn word<T: PartialEq>(&mut self, key: &str, value: T, words: &[(&str, T)]) {
        let word = words.iter().find(|(_, meaning)| *meaning == value);
        self.text(key, word.map_or("", |(word, _)| word));
    }

    fn core(&mut self, key: &str, core: Core) {
        match core {
            Some(number) => self.raw(key, number),
            None => self.text(key, "auto"),
        }
    }

    fn stream(&mut self, prefix: &str, stream: &Stream) {
        self.text(&format!("{prefix}channel"), &stream.channel);
        self.raw(&format!("{prefix}stream_id"), stream.stream_id);
    }

    /// An amount in units of 1e-9; in quotes, so that no reader takes it for a float.
    fn amount(&mut self, key: &str, units: i128) {
        let unit = i128::from(Price::UNITS);
        let text = format!("{}.{:09}", units / unit, units % unit);
        self.text(key, text.trim_end_matches('0').trim_end_matches('.'));
    }
}

/// The whole configuration.
pub(super) fn to_toml(config: &Config) -> String {
    let mut page = Page(String::new());
    page.head("[gateway]");
    page.text("name", &config.gateway.name);
    page.word("layout", config.gateway.layout, &LAYOUTS);
    page.raw("drain_timeout_ms", config.gateway.drain_timeout_ms);
    runtime(&mut page, &config.runtime);
    page.head("[aeron]");
    page.word("driver", config.aeron.driver, &DRIVERS);
    page.text("directory", config.aeron.directory.display());
    page.raw("term_length_bytes", config.aeron.term_length_bytes);
    page.raw("mtu_bytes", config.aeron.mtu_bytes);
    page.raw("driver_timeout_ms", config.aeron.driver_timeout_ms);
    page.raw("client_liveness_ms", config.aeron.client_liveness_ms);
    page.raw("socket_buffer_bytes", config.aeron.socket_buffer_bytes);
    page.head("[entry]");
    page.stream("", &config.entry.stream);
    page.raw("keepalive_ms_min", config.entry.keepalive_ms_min);
    page.raw("keepalive_ms_max", config.entry.keepalive_ms_max);
    page.raw("timestamp_tolerance_ms", config.entry.timestamp_tolerance_ms);
    page.raw("report_buffer_messages", config.entry.report_buffer_messages);
    page.head("[market_data]");
    page.stream("", &config.market_data.stream);
    page.raw("depth", config.market_data.depth);
    page.stream("snapshot_", &config.market_data.snapshots);
    page.raw("snapshot_interval_ms", config.market_data.snapshot_interval_ms);
    services(&mut page, config);
    config.sessions.iter().for_each(|item| session(&mut page, item));
    config.channels.iter().for_each(|item| channel(&mut page, item));
    config.af_xdp.iter().for_each(|item| af_xdp(&mut page, item));
    config.instruments.iter().for_each(|item| instrument(&mut page, item));
    config.accounts.iter().for_each(|item| account(&mut page, item));
    config.venues.iter().for_each(|item| venue(&mut page, item));
    page.0
}

fn runtime(page: &mut Page, runtime: &Runtime) {
    page.head("[runtime]");
    page.core("feed_core", runtime.feed_core);
    page.core("entry_core", runtime.entry_core);
    page.core("risk_core", runtime.risk_core);
    page.core("router_core", runtime.router_core);
    page.core("driver_core", runtime.driver_core);
    page.core("housekeeping_core", runtime.housekeeping_core);
    page.word("feed_idle", runtime.feed_idle, &IDLES);
    page.word("entry_idle", runtime.entry_idle, &IDLES);
    page.word("risk_idle", runtime.risk_idle, &IDLES);
    page.word("router_idle", runtime.router_idle, &IDLES);
    page.word("lock_memory", runtime.lock_memory, &WANTED);
    page.word("huge_pages", runtime.huge_pages, &WANTED);
    page.raw("stall_threshold_us", runtime.stall_threshold_us);
    page.word("allocation_guard", runtime.allocation_guard, &GUARDS);
}

fn services(page: &mut Page, config: &Config) {
    page.head("[risk]");
    page.raw("max_open_orders", config.risk.max_open_orders);
    page.raw("duplicate_count", config.risk.duplicate_count);
    page.raw("duplicate_window_ms", config.risk.duplicate_window_ms);
    page.raw("reference_stale_ms", config.risk.reference_stale_ms);
    page.head("[journal]");
    page.text("directory", config.journal.directory.display());
    page.raw("segment_bytes", config.journal.segment_bytes);
    page.raw("segments_ready", config.journal.segments_ready);
    page.raw("reserve_bytes", config.journal.reserve_bytes);
    page.head("[control]");
    page.text("socket", config.control.socket.display());
    page.text("http", config.control.http.map_or("off".to_owned(), |address| address.to_string()));
    page.head("[telemetry]");
    let hlog = config.telemetry.hlog_directory.as_ref();
    page.text("hlog_directory", hlog.map_or("off".to_owned(), |path| path.display().to_string()));
    page.raw("interval_s", config.telemetry.interval_s);
    page.head("[feed]");
    page.raw("max_orders", config.feed.max_orders);
    page.raw("max_levels", config.feed.max_levels);
    page.raw("poll_budget", config.feed.poll_budget);
}

fn session(page: &mut Page, session: &Session) {
    page.head("[[session]]");
    page.raw("id", session.id);
    page.text("name", &session.name);
    page.text("key_file", session.key_file.display());
    let accounts: Vec<String> = session.accounts.iter().map(ToString::to_string).collect();
    page.raw("accounts", format_args!("[{}]", accounts.join(", ")));
    page.stream("report_", &session.reports);
    page.raw("messages_per_second", session.messages_per_second);
    page.raw("burst", session.burst);
    page.raw("cancels_per_second", session.cancels_per_second);
    page.raw("max_open_orders", session.max_open_orders);
    page.raw("cancel_on_disconnect", session.cancel_on_disconnect);
    page.raw("market_data_stream_id", session.market_data_stream_id);
}

fn channel(page: &mut Page, channel: &Channel) {
    page.head("[[channel]]");
    page.raw("id", channel.id);
    page.text("name", &channel.name);
    page.word("protocol", channel.protocol, &PROTOCOLS);
    match &channel.source {
        Source::Multicast { line_a, line_b, interface, timestamps, bypass } => {
            page.text("source", "multicast");
            page.text("line_a", line_a);
            if let Some(line_b) = line_b {
                page.text("line_b", line_b);
            }
            page.text("interface", interface);
            page.word("timestamps", *timestamps, &TIMESTAMPS);
            page.word("bypass", *bypass, &BYPASSES);
        }
        Source::Capture { file, pace } => {
            page.text("source", "capture");
            page.text("file", file.display());
            page.word("pace", *pace, &PACES);
        }
        Source::Aeron { changes, snapshots } => {
            page.text("source", "aeron");
            page.stream("aeron_", changes);
            if let Some(snapshots) = snapshots {
                page.stream("aeron_snapshot_", snapshots);
            }
        }
    }
    page.raw("stale_after_ms", channel.stale_after_ms);
    if channel.protocol == Protocol::Itch50 {
        page.raw("utc_offset_minutes", channel.utc_offset_minutes);
    }
    if channel.protocol != Protocol::Sbe {
        page.raw("reorder_packets", channel.reorder.packets);
        page.raw("reorder_us", channel.reorder.wait_us);
        page.raw("line_wait_us", channel.reorder.line_wait_us);
    }
    if channel.protocol == Protocol::Itch50 {
        recovery_keys(page, channel);
    }
}

/// How a channel of ITCH gets back what was lost.
fn recovery_keys(page: &mut Page, channel: &Channel) {
    page.raw("recovery_queue_messages", channel.reorder.queue_messages);
    if let Some(rerequest) = &channel.rerequest {
        page.text("rerequest", rerequest.server);
        page.raw("rerequest_messages", rerequest.messages);
        page.raw("rerequest_per_second", rerequest.per_second);
        page.raw("rerequest_timeout_ms", rerequest.timeout_ms);
        page.raw("rerequest_attempts", rerequest.attempts);
        page.raw("rerequest_gap_messages", rerequest.gap_messages);
    }
    if let Some(glimpse) = &channel.glimpse {
        page.text("glimpse", glimpse.server);
        page.text("glimpse_user", &glimpse.user);
        if let Some(file) = &glimpse.password_file {
            page.text("glimpse_password_file", file.display());
        }
        page.raw("glimpse_timeout_ms", glimpse.timeout_ms);
        page.raw("glimpse_retry_ms", glimpse.retry_ms);
    }
}

fn af_xdp(page: &mut Page, af_xdp: &AfXdp) {
    page.head("[[af_xdp]]");
    page.text("interface", &af_xdp.interface);
    page.raw("queue", af_xdp.queue);
    page.word("used_by", af_xdp.used_by, &USERS);
    page.word("mode", af_xdp.mode, &MODES);
    page.raw("receive_frames", af_xdp.receive_frames);
    page.raw("send_frames", af_xdp.send_frames);
    page.raw("frame_bytes", af_xdp.frame_bytes);
    page.raw("busy_poll_us", af_xdp.busy_poll_us);
    page.word("fallback", af_xdp.fallback, &FALLBACKS);
}

fn instrument(page: &mut Page, instrument: &Instrument) {
    page.head("[[instrument]]");
    page.raw("id", instrument.id);
    page.text("symbol", instrument.symbol);
    page.raw("channel", instrument.channel);
    page.raw("venue", instrument.venue);
    page.text("tick", instrument.tick);
    page.raw("lot", instrument.lot);
    page.raw("min_qty", instrument.min_qty);
    page.raw("max_order_qty", instrument.max_order_qty);
    page.amount("max_order_notional", instrument.max_order_notional);
    page.raw("collar_bps", instrument.collar_bps);
    page.raw("collar_ticks", instrument.collar_ticks);
    page.raw("protection_bps", instrument.protection_bps);
    page.raw("protection_ticks", instrument.protection_ticks);
    page.raw("market_data_stream_id", instrument.market_data_stream_id);
}

fn account(page: &mut Page, account: &Account) {
    page.head("[[account]]");
    page.raw("id", account.id);
    page.text("name", &account.name);
    page.raw("max_long", account.max_long);
    page.raw("max_short", account.max_short);
    page.raw("max_order_qty", account.max_order_qty);
    page.amount("max_order_notional", account.max_order_notional);
}

fn venue(page: &mut Page, venue: &Venue) {
    page.head("[[venue]]");
    page.raw("id", venue.id);
    page.text("name", &venue.name);
    page.stream("order_", &venue.orders);
    page.stream("report_", &venue.reports);
    page.raw("session_id", venue.session_id);
    page.text("key_file", venue.key_file.display());
    page.raw("keepalive_ms", venue.keepalive_ms);
}
