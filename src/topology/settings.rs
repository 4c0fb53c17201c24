//! From the checked configuration to what each agent is built from: field by field, nothing decided that a user could have
//! wanted otherwise.

use std::time::Duration;

use crate::config::{self, Config, Wanted};
use crate::control::ControlConfig;
use crate::feed::arbiter::{Join, Ordering};
use crate::feed::book::BooksConfig;
use crate::feed::channel::ChannelSettings;
use crate::feed::glimpse::SnapshotSettings;
use crate::feed::iex::tp::StreamId;
use crate::feed::iex::{self, Feed, IexSettings};
use crate::feed::recovery::RecoverySettings;
use crate::feed::rerequest::RerequestSettings;
use crate::feed::sbe::SbeSettings;
use crate::feed::soupbintcp::Login;
use crate::feed::{
    ChannelConfig, FeedConfig, InstrumentConfig as FeedInstrument, ProtocolSettings,
};
use crate::host::Wants;
use crate::journal::JournalConfig;
use crate::ring::{Backing, RingConfig};
use crate::risk;
use crate::runtime::Idle;
use crate::runtime::layout::Plan;
use crate::session::{ClientConfig, ServerConfig};
use crate::topology::sources;
use crate::transport::{AeronConfig, DriverCores, DriverIdle, DriverMode};
use crate::types::UtcNanos;

/// Slots of each ring on the order path: few, so that both ends' working sets stay in the first-level cache.
pub(super) const ORDER_RING_SLOTS: usize = 128;
/// Slots of `feed_risk`: a burst of the whole market must not be conflated for want of room.
pub(super) const FEED_RING_SLOTS: usize = 1024;
/// Slots of `control_risk`: operators type slowly.
pub(super) const CONTROL_RING_SLOTS: usize = 16;
/// How often risk hears that a channel is current, in nanoseconds.
const FEED_STATUS_NS: u64 = 5_000_000;
/// The sliding window of the message rate.
const RATE_WINDOW_NS: u64 = 1_000_000_000;
/// How long a session request waits for its answer, in nanoseconds.
const SESSION_RETRY_NS: u64 = 1_000_000_000;

/// Messages a packet has at most, for the size of a channel's reorder window: no message is shorter than 12 bytes, with
/// its length, in ITCH or IEX.
const WINDOW_PACKET_MESSAGES: u32 = 128;
/// Packets in all with which one line is believed without the other ([`Ordering::confirm_packets`]).
const CONFIRM_PACKETS: u32 = 3;
/// The only stream there is of DEEP, and of TOPS (both specifications, "Protocol Identification on IEX-TP").
const IEX_STREAM: StreamId = StreamId(1);
/// The longest wait between two attempts to get a snapshot.
const SNAPSHOT_RETRY_NS_MAX: u64 = 60_000_000_000;

/// A ring of the gateway.
pub(super) fn ring(config: &Config, name: &'static str, slots: usize) -> RingConfig {
    let backing = match config.runtime.huge_pages {
        // A ring takes a whole huge page, so it is only asked for where it is wanted for sure.
        Wanted::Required => Backing::HugePages,
        Wanted::Auto | Wanted::Off => Backing::Heap,
    };
    RingConfig { name, slots, backing }
}

/// The media driver and its clients.
pub(super) fn aeron(config: &Config) -> AeronConfig {
    let bytes = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let aeron = &config.aeron;
    let core = config.runtime.driver_core.and_then(|core| u8::try_from(core).ok());
    // One a publication, and one more for each publisher a UDP subscription hears.
    let own = config.instruments.iter().filter(|i| i.market_data_stream_id > 0).count();
    let copies = config.sessions.iter().filter(|s| s.market_data_stream_id > 0).count();
    let market_data = 2 + own + copies;
    let feeds = sources::streams(config).len();
    let streams = 4 * (1 + market_data + feeds + config.sessions.len() + config.venues.len());
    AeronConfig {
        directory: aeron.directory.clone(),
        mode: match aeron.driver {
            config::DriverMode::Invoker => DriverMode::Invoker,
            config::DriverMode::Shared => DriverMode::Shared,
            config::DriverMode::Dedicated => DriverMode::Dedicated,
            config::DriverMode::External => DriverMode::External,
        },
        term_length_bytes: bytes(aeron.term_length_bytes),
        mtu_bytes: bytes(aeron.mtu_bytes),
        ipc_mtu_bytes: bytes(aeron.mtu_bytes),
        socket_send_bytes: bytes(aeron.socket_buffer_bytes),
        socket_receive_bytes: bytes(aeron.socket_buffer_bytes),
        driver_timeout_ms: u64::from(aeron.driver_timeout_ms),
        client_liveness_ms: u64::from(aeron.client_liveness_ms),
        idle: DriverIdle::Backoff,
        cores: DriverCores { conductor: core, sender: core, receiver: core, native_resource: None },
        streams_max: u32::try_from(streams).unwrap_or(u32::MAX),
        ..AeronConfig::default()
    }
}

/// A strategy's session, as entry serves it.
pub(super) fn session(config: &Config, session: &config::Session) -> ServerConfig {
    ServerConfig {
        session: session.id,
        key: session.key.clone(),
        keepalive_ms: config.entry.keepalive_ms_min..=config.entry.keepalive_ms_max,
        own_keepalive_ms: config.entry.keepalive_ms_min.max(100),
        clock_skew_ns: u64::from(config.entry.timestamp_tolerance_ms) * 1_000_000,
        retained_reports: config.entry.report_buffer_messages,
    }
}

/// The session with a venue, as the router keeps it.
pub(super) fn venue(venue: &config::Venue) -> ClientConfig {
    ClientConfig {
        session: venue.session_id,
        key: venue.key.clone(),
        keepalive_ms: venue.keepalive_ms,
        retry_ns: SESSION_RETRY_NS,
    }
}

/// Everything risk decides by.
pub(super) fn risk(config: &Config) -> risk::RiskConfig {
    risk::RiskConfig {
        instruments: config.instruments.iter().map(risk_instrument).collect(),
        accounts: config.accounts.iter().map(|account| risk_account(config, account)).collect(),
        sessions: config.sessions.iter().map(risk_session).collect(),
        open_orders_max: usize::try_from(config.risk.max_open_orders).unwrap_or(usize::MAX),
        duplicate: (config.risk.duplicate_count > 0).then_some(risk::DuplicateConfig {
            count: config.risk.duplicate_count,
            window_ns: u64::from(config.risk.duplicate_window_ms) * 1_000_000,
        }),
        feed_stale_ns: u64::from(config.risk.reference_stale_ms) * 1_000_000,
        first_order_sequence: 1,
    }
}

fn risk_instrument(instrument: &config::Instrument) -> risk::InstrumentConfig {
    let band = risk::Band { basis_points: instrument.collar_bps, ticks: instrument.collar_ticks };
    risk::InstrumentConfig {
        id: instrument.id,
        venue: instrument.venue,
        channel: instrument.channel,
        tick: instrument.tick,
        lot: instrument.lot.get(),
        qty_min: instrument.min_qty.get(),
        multiplier: 1,
        collar: Some(risk::CollarConfig {
            reference: risk::CollarReference::FarTouch,
            sides: risk::CollarSides::Both,
            band,
        }),
        market_protection: (instrument.protection_bps > 0 || instrument.protection_ticks > 0)
            .then_some(risk::Band {
                basis_points: instrument.protection_bps,
                ticks: instrument.protection_ticks,
            }),
        limits: risk::OrderLimits {
            qty_max: Some(instrument.max_order_qty.get()),
            notional_max: Some(instrument.max_order_notional),
        },
    }
}

fn risk_account(config: &Config, account: &config::Account) -> risk::AccountConfig {
    let limits = risk::PositionLimits {
        long_max: Some(account.max_long),
        short_max: Some(account.max_short),
    };
    risk::AccountConfig {
        id: account.id,
        limits: risk::OrderLimits {
            qty_max: Some(account.max_order_qty.get()),
            notional_max: Some(account.max_order_notional),
        },
        instruments: config.instruments.iter().map(|i| (i.id, limits)).collect(),
    }
}

fn risk_session(session: &config::Session) -> risk::SessionConfig {
    // The window holds so many messages at most, so for a faster session it is shorter than a second.
    let wanted = session.messages_per_second.saturating_add(session.burst);
    let window_messages = wanted.min(risk::limits::WINDOW_MESSAGES_MAX);
    let window_ns = RATE_WINDOW_NS * u64::from(window_messages) / u64::from(wanted);
    risk::SessionConfig {
        id: session.id,
        accounts: session.accounts.clone(),
        rate: risk::RateConfig {
            burst: session.burst,
            per_second: session.messages_per_second,
            window_messages,
            window_ns,
            cancel_burst: session.cancels_per_second,
            cancel_per_second: session.cancels_per_second,
        },
        open_orders_max: session.max_open_orders,
        cancel_on_disconnect: session.cancel_on_disconnect,
    }
}

/// The journal.
pub(super) fn journal(config: &Config, digest: [u8; 32]) -> JournalConfig {
    JournalConfig {
        directory: config.journal.directory.clone(),
        segment_bytes: usize::try_from(config.journal.segment_bytes).unwrap_or(usize::MAX),
        // The configuration counts the one in use; the journal those ahead of it.
        segments_ahead: usize::try_from(config.journal.segments_ready - 1).unwrap_or(1),
        reserve_bytes: config.journal.reserve_bytes,
        config_digest: digest,
    }
}

/// The market data agent. The day it is at each exchange `now` is the one its times count in.
pub(super) fn feed(config: &Config, now: UtcNanos) -> FeedConfig {
    FeedConfig {
        channels: config
            .channels
            .iter()
            .map(|channel| ChannelConfig {
                id: channel.id,
                settings: protocol(config, channel),
                midnight: now.midnight(channel.utc_offset_minutes),
            })
            .collect(),
        instruments: config
            .instruments
            .iter()
            .map(|instrument| FeedInstrument {
                id: instrument.id,
                symbol: instrument.symbol,
                channel: instrument.channel,
                tick: instrument.tick,
                lot: instrument.lot.get(),
            })
            .collect(),
        poll_budget: config.feed.poll_budget,
        status_interval_ns: FEED_STATUS_NS,
    }
}

/// What a channel carries, and room for its books.
fn protocol(config: &Config, channel: &config::Channel) -> ProtocolSettings {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let levels_max = count(config.feed.max_levels);
    let books_max = config.instruments.iter().filter(|i| i.channel == channel.id).count().max(1);
    let (join, stale_after_ns) = (Join::First, u64::from(channel.stale_after_ms) * 1_000_000);
    let iex = |feed, levels_max| IexSettings {
        feed,
        stream: IEX_STREAM,
        join,
        stale_after_ns,
        books: iex::BooksConfig { levels_max, books_max, follow_all_symbols: false },
    };
    match channel.protocol {
        config::Protocol::Itch50 => {
            let orders_max = count(config.feed.max_orders);
            let books =
                BooksConfig { books_max, orders_max, levels_max, follow_all_symbols: false };
            ChannelSettings { join, stale_after_ns, books }.into()
        }
        config::Protocol::IexDeep => iex(Feed::Deep, levels_max).into(),
        config::Protocol::IexTops => iex(Feed::Tops, 1).into(),
        config::Protocol::Sbe => SbeSettings { stale_after_ns }.into(),
    }
}

/// How a channel waits for packets out of order.
pub(super) fn ordering(channel: &config::Channel) -> Ordering {
    let reorder = &channel.reorder;
    let has_server = channel.rerequest.is_some() || channel.glimpse.is_some();
    // What is kept behind a hole for as long as it may be open.
    let window = match reorder.packets {
        0 => 0,
        packets => packets.saturating_mul(WINDOW_PACKET_MESSAGES).max(1_024),
    };
    let messages = if has_server { reorder.queue_messages.max(window) } else { window };
    let (lines, confirm_packets) = match &channel.source {
        config::Source::Multicast { line_b: Some(_), .. } => (2, CONFIRM_PACKETS),
        config::Source::Multicast { line_b: None, .. } => (1, CONFIRM_PACKETS),
        // What was recorded may be of both lines, and comes as one: nothing tells who says what.
        config::Source::Capture { .. } | config::Source::Aeron { .. } => (1, 0),
    };
    Ordering {
        lines,
        packets_max: reorder.packets,
        wait_ns: u64::from(reorder.wait_us) * 1_000,
        line_wait_ns: u64::from(reorder.line_wait_us) * 1_000,
        messages_max: usize::try_from(messages).unwrap_or(usize::MAX),
        confirm_packets,
    }
}

/// What servers a channel has.
pub(super) fn recovery(channel: &config::Channel) -> RecoverySettings {
    let ns = |milliseconds: u32| u64::from(milliseconds) * 1_000_000;
    let rerequest = channel.rerequest.as_ref().map(|server| RerequestSettings {
        messages_per_request: server.messages,
        interval_ns: 1_000_000_000 / u64::from(server.per_second),
        answer_ns: ns(server.timeout_ms),
        attempts_max: server.attempts,
        gap_messages_max: u64::from(server.gap_messages),
    });
    let snapshot = channel.glimpse.as_ref().map(|server| {
        let mut user = [b' '; 6];
        user.iter_mut().zip(server.user.bytes()).for_each(|(place, byte)| *place = byte);
        SnapshotSettings {
            login: Login { user, password: server.password, session: [b' '; 10], sequence: 1 },
            answer_ns: ns(server.timeout_ms),
            silence_ns: ns(server.timeout_ms),
            retry_ns: ns(server.retry_ms),
            retry_ns_max: SNAPSHOT_RETRY_NS_MAX,
        }
    });
    RecoverySettings { rerequest, snapshot }
}

/// The slow lane.
pub(super) fn control(config: &Config) -> ControlConfig {
    ControlConfig {
        http: config.control.http.map(Into::into),
        http_commands: false,
        socket: Some(config.control.socket.clone()),
        confirm_timeout: Duration::from_secs(2),
    }
}

/// How a thread idles: as configured, or as planned.
pub(super) fn idle(wanted: config::Idle, planned: Idle) -> Idle {
    match wanted {
        config::Idle::Auto => planned,
        config::Idle::Spin => Idle::Spin,
        config::Idle::Pause => Idle::Pause,
        config::Idle::Linger => Idle::Linger(crate::runtime::PARK_DEFAULT),
        config::Idle::Yield => Idle::Yield,
        config::Idle::Park => Idle::Park(crate::runtime::PARK_DEFAULT),
    }
}

/// What the configured layout asks of the machine.
pub(super) fn wants(config: &Config, plan: &Plan) -> Wants {
    let buffer = u64::from(config.aeron.socket_buffer_bytes);
    let aeron = aeron(config);
    Wants {
        receive_buffer_bytes: buffer,
        send_buffer_bytes: buffer,
        lock_memory: config.runtime.lock_memory != Wanted::Off,
        huge_page_count: match config.runtime.huge_pages {
            // One each for the rings.
            Wanted::Required => 6,
            Wanted::Auto | Wanted::Off => 0,
        },
        aeron_dir: aeron.directory.clone(),
        aeron_bytes: aeron.needed_bytes(),
        ..Wants::of_plan(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_price_that_is_in_force_ages_between_two_words_of_the_feed() {
        let least_ns = u64::from(config::REFERENCE_STALE_MS_MIN) * 1_000_000;
        assert!(least_ns >= 2 * FEED_STATUS_NS, "{least_ns}");
    }

    #[test]
    fn a_channel_of_iex_has_room_for_its_instruments() {
        let channel = |protocol| {
            format!(
                "[feed]\nmax_levels = 100\n[[channel]]\nid = 1\nname = \"c\"\nsource = \"capture\"\nfile = \"day.pcap\"\n\
                 pace = \"fast\"\nstale_after_ms = 3000\nprotocol = \"{protocol}\"\n"
            )
        };
        for (protocol, feed_of, levels_max) in
            [("iex_deep", Feed::Deep, 100), ("iex_tops", Feed::Tops, 1)]
        {
            let config = Config::from_toml("x.toml", &channel(protocol));
            let config = config.unwrap_or_else(|errors| panic!("{errors}"));
            let expected = IexSettings {
                feed: feed_of,
                stream: StreamId(1),
                join: Join::First,
                stale_after_ns: 3_000_000_000,
                books: iex::BooksConfig { levels_max, books_max: 1, follow_all_symbols: false },
            };
            assert_eq!(feed(&config, UtcNanos(0)).channels[0].settings, expected.into());
            assert!(!recovery(&config.channels[0]).has_server());
        }
    }

    #[test]
    fn each_channel_counts_from_its_own_midnight() {
        let channel = |id: u32, rest: &str| {
            format!(
                "[[channel]]\nid = {id}\nname = \"c{id}\"\nsource = \"capture\"\nfile = \"day.pcap\"\n\
                 pace = \"fast\"\nstale_after_ms = 3000\n{rest}"
            )
        };
        let text = channel(1, "") + &channel(2, "utc_offset_minutes = -300\n");
        let config = Config::from_toml("x.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        // 2020-01-30T00:00:00Z, and four hours later: in New York it is still the 29th.
        const MIDNIGHT_NS: u64 = 1_580_342_400_000_000_000;
        const HOUR_NS: u64 = 3_600_000_000_000;
        let feed = feed(&config, UtcNanos(MIDNIGHT_NS + 4 * HOUR_NS));
        let midnights: Vec<UtcNanos> = feed.channels.iter().map(|c| c.midnight).collect();
        assert_eq!(midnights, [UtcNanos(MIDNIGHT_NS), UtcNanos(MIDNIGHT_NS - 19 * HOUR_NS)]);
    }
}
