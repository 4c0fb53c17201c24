//! Every section, key by key: ranges and forms here, relations between sections in `check`.

use std::ops::RangeInclusive;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use crate::config::af_xdp;
use crate::config::check;
use crate::config::reader::{Reader, Section, Tables};
use crate::config::recovery;
use crate::config::sections::{
    Account, Aeron, AfXdp, AllocationGuard, Channel, Control, DriverMode, Entry, Feed, Gateway,
    Glimpse, Idle, Instrument, Journal, MarketData, Pace, Protocol, Reorder, Rerequest, Risk,
    Runtime, Session, Source, Telemetry, Venue, Wanted,
};
use crate::config::upstream;
use crate::config::values;
use crate::config::{Config, REFERENCE_STALE_MS_MIN};
use crate::net::Timestamps;
use crate::runtime::layout::Layout;
use crate::types::{AccountId, ChannelId, InstrumentId, Qty, SessionId, Symbol, VenueId};

/// Differences to UTC that time zones have, in minutes.
const UTC_OFFSET_MINUTES: RangeInclusive<i16> = -720..=840;
/// Largest number of a session, account, instrument, channel or venue.
const ID_MAX: u32 = u32::MAX;
/// A million and so many more in these ranges: far beyond use, near enough to catch a wrong unit.
const MILLION: u32 = 1_000_000;
/// Most orders open at the same time.
const OPEN_ORDERS_MAX: u32 = 1 << 19;
/// Most price levels of a side that strategies can be told.
const DEPTH_MAX: u32 = 64;
/// An hour, in milliseconds.
const HOUR_MS: u32 = 3_600_000;
/// Ten minutes, in milliseconds.
const MINUTES_10_MS: u32 = 600_000;
/// The sizes a socket buffer and a term may have, in bytes.
const GIBIBYTE: u32 = 1 << 30;

pub(super) const LAYOUTS: [(&str, Layout); 3] =
    [("auto", Layout::Auto), ("fused", Layout::Fused), ("split", Layout::Split)];
pub(super) const IDLES: [(&str, Idle); 6] = [
    ("auto", Idle::Auto),
    ("spin", Idle::Spin),
    ("pause", Idle::Pause),
    ("linger", Idle::Linger),
    ("yield", Idle::Yield),
    ("park", Idle::Park),
];
pub(super) const WANTED: [(&str, Wanted); 3] =
    [("auto", Wanted::Auto), ("required", Wanted::Required), ("off", Wanted::Off)];
pub(super) const GUARDS: [(&str, AllocationGuard); 2] =
    [("count", AllocationGuard::Count), ("abort", AllocationGuard::Abort)];
pub(super) const DRIVERS: [(&str, DriverMode); 4] = [
    ("invoker", DriverMode::Invoker),
    ("shared", DriverMode::Shared),
    ("dedicated", DriverMode::Dedicated),
    ("external", DriverMode::External),
];
pub(super) const TIMESTAMPS: [(&str, Timestamps); 3] = [
    ("none", Timestamps::None),
    ("software", Timestamps::Software),
    ("hardware", Timestamps::Hardware),
];
pub(super) const PROTOCOLS: [(&str, Protocol); 4] = [
    ("itch50", Protocol::Itch50),
    ("iex_deep", Protocol::IexDeep),
    ("iex_tops", Protocol::IexTops),
    ("sbe", Protocol::Sbe),
];
pub(super) const PACES: [(&str, Pace); 2] = [("recorded", Pace::Recorded), ("fast", Pace::Fast)];

/// Where a channel comes from, before its own keys are read.
#[derive(Clone, Copy)]
enum SourceKind {
    Multicast,
    Capture,
    Aeron,
}

/// An entry of a list: where it stands, and what of it could be read.
pub(super) struct Item<'r, T> {
    pub(super) section: Section<'r>,
    pub(super) id: Option<u32>,
    pub(super) value: Option<T>,
}

/// The lists of a configuration, with their places.
pub(super) struct Lists<'r> {
    pub(super) sessions: Vec<Item<'r, Session>>,
    pub(super) channels: Vec<Item<'r, Channel>>,
    pub(super) af_xdp: Vec<Item<'r, AfXdp>>,
    pub(super) instruments: Vec<Item<'r, Instrument>>,
    pub(super) accounts: Vec<Item<'r, Account>>,
    pub(super) venues: Vec<Item<'r, Venue>>,
}

/// Reads everything; `None` where a fault kept it from being whole. Paths are relative to `folder`.
pub(super) fn config(
    reader: &mut Reader<'_>,
    roots: &[Spanned<DeTable<'_>>],
    folder: &Path,
) -> Option<Config> {
    let tables = &mut Tables::new(roots);
    let gateway = whole(tables, reader, "gateway", gateway);
    let runtime_section = tables.section(reader, "runtime");
    let (runtime_section, runtime) = finished(runtime_section, reader, runtime);
    let aeron = whole(tables, reader, "aeron", |s, r| aeron(s, r, folder));
    let entry_section = tables.section(reader, "entry");
    let (entry_section, entry) = finished(entry_section, reader, entry);
    let market_section = tables.section(reader, "market_data");
    let (market_section, market_data) = finished(market_section, reader, market_data);
    let lists = Lists {
        sessions: list(tables, reader, "session", |s, r, id| session(s, r, folder, id)),
        channels: list(tables, reader, "channel", |s, r, id| channel(s, r, folder, id)),
        af_xdp: unnumbered(tables, reader, "af_xdp", af_xdp::af_xdp),
        instruments: list(tables, reader, "instrument", instrument),
        accounts: list(tables, reader, "account", account),
        venues: list(tables, reader, "venue", |s, r, id| venue(s, r, folder, id)),
    };
    let risk = whole(tables, reader, "risk", risk);
    let journal = whole(tables, reader, "journal", |s, r| journal(s, r, folder));
    let control = whole(tables, reader, "control", |s, r| control(s, r, folder));
    let telemetry = whole(tables, reader, "telemetry", |s, r| telemetry(s, r, folder));
    let feed_section = tables.section(reader, "feed");
    let (feed_section, feed) = finished(feed_section, reader, feed);
    tables.finish(reader);

    if let (Some(gateway), Some(runtime)) = (&gateway, &runtime) {
        check::cores(reader, &runtime_section, gateway, runtime);
    }
    if let (Some(aeron), Some(runtime)) = (&aeron, &runtime) {
        check::driver_core(reader, &runtime_section, aeron.driver, runtime);
    }
    check::lists(reader, &lists);
    check::channels(reader, &lists);
    af_xdp::check(reader, &lists.af_xdp);
    if let (Some(feed), Some(market_data)) = (&feed, &market_data) {
        check::depth(reader, &feed_section, feed, market_data);
    }
    if let Some(risk) = &risk {
        check::open_orders(reader, &lists, risk.max_open_orders);
    }
    let mut streams = check::Streams::default();
    if let Some(entry) = &entry {
        streams.claim(reader, &entry_section, "stream_id", &entry.stream);
    }
    if let Some(market_data) = &market_data {
        streams.claim(reader, &market_section, "stream_id", &market_data.stream);
        if market_data.has_snapshots() {
            streams.claim(reader, &market_section, "snapshot_stream_id", &market_data.snapshots);
        }
        streams.claim_market_data(reader, &lists, market_data);
    }
    streams.claim_lists(reader, &lists);

    Some(Config {
        gateway: gateway?,
        runtime: runtime?,
        aeron: aeron?,
        entry: entry?,
        sessions: values_of(lists.sessions)?,
        market_data: market_data?,
        channels: values_of(lists.channels)?,
        af_xdp: values_of(lists.af_xdp)?,
        instruments: values_of(lists.instruments)?,
        accounts: values_of(lists.accounts)?,
        venues: values_of(lists.venues)?,
        risk: risk?,
        journal: journal?,
        control: control?,
        telemetry: telemetry?,
        feed: feed?,
    })
}

fn values_of<T>(items: Vec<Item<'_, T>>) -> Option<Vec<T>> {
    items.into_iter().map(|item| item.value).collect()
}

/// Reads a section with `read`, and refuses what is left of it.
fn finished<'r, T>(
    mut section: Section<'r>,
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Section<'r>, &mut Reader<'_>) -> Option<T>,
) -> (Section<'r>, Option<T>) {
    let value = read(&mut section, reader);
    section.finish(reader);
    (section, value)
}

fn whole<'r, T>(
    tables: &mut Tables<'r>,
    reader: &mut Reader<'_>,
    name: &'static str,
    read: impl FnOnce(&mut Section<'r>, &mut Reader<'_>) -> Option<T>,
) -> Option<T> {
    let section = tables.section(reader, name);
    finished(section, reader, read).1
}

fn list<'r, T>(
    tables: &mut Tables<'r>,
    reader: &mut Reader<'_>,
    name: &'static str,
    read: impl Fn(&mut Section<'r>, &mut Reader<'_>, Option<u32>) -> Option<T>,
) -> Vec<Item<'r, T>> {
    let mut items = Vec::new();
    for mut section in tables.list(reader, name) {
        let id = section.integer(reader, "id", 1..=ID_MAX);
        let value = read(&mut section, reader, id);
        section.finish(reader);
        items.push(Item { section, id, value });
    }
    items
}

/// As [`list`], of sections that have no number.
fn unnumbered<'r, T>(
    tables: &mut Tables<'r>,
    reader: &mut Reader<'_>,
    name: &'static str,
    read: impl Fn(&mut Section<'r>, &mut Reader<'_>) -> Option<T>,
) -> Vec<Item<'r, T>> {
    let sections = tables.list(reader, name);
    let read_one = |section| {
        let (section, value) = finished(section, reader, &read);
        Item { section, id: None, value }
    };
    sections.into_iter().map(read_one).collect()
}

fn person_name(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<String> {
    values::name(section, reader, "name", 32, "-_.")
}

fn gateway(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Gateway> {
    let name = values::name(s, r, "name", 11, "-_");
    let layout = s.word(r, "layout", &LAYOUTS);
    let drain_timeout_ms = s.integer(r, "drain_timeout_ms", 0..=MINUTES_10_MS);
    Some(Gateway { name: name?, layout: layout?, drain_timeout_ms: drain_timeout_ms? })
}

fn runtime(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Runtime> {
    const CORE_LAST: u16 = 1023;
    let cores =
        ["feed_core", "entry_core", "risk_core", "router_core", "driver_core", "housekeeping_core"]
            .map(|key| s.auto_or_number(r, key, CORE_LAST));
    let idles =
        ["feed_idle", "entry_idle", "risk_idle", "router_idle"].map(|key| s.word(r, key, &IDLES));
    let lock_memory = s.word(r, "lock_memory", &WANTED);
    let huge_pages = s.word(r, "huge_pages", &WANTED);
    let stall_threshold_us = s.integer(r, "stall_threshold_us", 1..=10 * MILLION);
    let allocation_guard = s.word(r, "allocation_guard", &GUARDS);
    let [feed_core, entry_core, risk_core, router_core, driver_core, housekeeping_core] = cores;
    let [feed_idle, entry_idle, risk_idle, router_idle] = idles;
    Some(Runtime {
        feed_core: feed_core?,
        entry_core: entry_core?,
        risk_core: risk_core?,
        router_core: router_core?,
        driver_core: driver_core?,
        housekeeping_core: housekeeping_core?,
        feed_idle: feed_idle?,
        entry_idle: entry_idle?,
        risk_idle: risk_idle?,
        router_idle: router_idle?,
        lock_memory: lock_memory?,
        huge_pages: huge_pages?,
        stall_threshold_us: stall_threshold_us?,
        allocation_guard: allocation_guard?,
    })
}

fn aeron(s: &mut Section<'_>, r: &mut Reader<'_>, folder: &Path) -> Option<Aeron> {
    let driver = s.word(r, "driver", &DRIVERS);
    let directory = values::path(s, r, "directory", folder);
    let term_length_bytes = s.power_of_two(r, "term_length_bytes", 65_536..=GIBIBYTE);
    let mtu_bytes = s.integer(r, "mtu_bytes", 256..=65_504);
    let driver_timeout_ms = s.integer(r, "driver_timeout_ms", 100..=MINUTES_10_MS);
    let client_liveness_ms = s.integer(r, "client_liveness_ms", 100..=MINUTES_10_MS);
    let socket_buffer_bytes = s.integer(r, "socket_buffer_bytes", 65_536..=GIBIBYTE);
    if let Some(mtu) = mtu_bytes.filter(|mtu| mtu % 32 != 0) {
        s.refuse(r, "mtu_bytes", format_args!("{mtu} is not a multiple of 32"));
    }
    Some(Aeron {
        driver: driver?,
        directory: directory?,
        term_length_bytes: term_length_bytes?,
        mtu_bytes: mtu_bytes?,
        driver_timeout_ms: driver_timeout_ms?,
        client_liveness_ms: client_liveness_ms?,
        socket_buffer_bytes: socket_buffer_bytes?,
    })
}

fn entry(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Entry> {
    let stream = values::stream(s, r, "channel", "stream_id");
    let keepalive_ms_min = s.integer(r, "keepalive_ms_min", 10..=MINUTES_10_MS);
    let keepalive_ms_max = s.integer(r, "keepalive_ms_max", 10..=MINUTES_10_MS);
    let timestamp_tolerance_ms = s.integer(r, "timestamp_tolerance_ms", 1..=HOUR_MS);
    let report_buffer_messages = s.power_of_two(r, "report_buffer_messages", 64..=1_048_576);
    if let (Some(min), Some(max)) = (keepalive_ms_min, keepalive_ms_max)
        && min > max
    {
        s.refuse(r, "keepalive_ms_min", format_args!("{min} is above keepalive_ms_max, {max}"));
    }
    Some(Entry {
        stream: stream?,
        keepalive_ms_min: keepalive_ms_min?,
        keepalive_ms_max: keepalive_ms_max?,
        timestamp_tolerance_ms: timestamp_tolerance_ms?,
        report_buffer_messages: report_buffer_messages?,
    })
}

fn market_data(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<MarketData> {
    let stream = values::stream(s, r, "channel", "stream_id");
    let depth = s.integer(r, "depth", 0..=DEPTH_MAX);
    let snapshots = values::stream(s, r, "snapshot_channel", "snapshot_stream_id");
    let snapshot_interval_ms = s.integer(r, "snapshot_interval_ms", 0..=MINUTES_10_MS);
    Some(MarketData {
        stream: stream?,
        depth: depth?,
        snapshots: snapshots?,
        snapshot_interval_ms: snapshot_interval_ms?,
    })
}

fn session(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    folder: &Path,
    id: Option<u32>,
) -> Option<Session> {
    let name = person_name(s, r);
    let key = values::key(s, r, folder);
    let accounts = s.integers(r, "accounts", 1..=ID_MAX);
    let reports = values::stream(s, r, "report_channel", "report_stream_id");
    let messages_per_second = s.integer(r, "messages_per_second", 1..=10 * MILLION);
    let burst = s.integer(r, "burst", 1..=MILLION);
    let cancels_per_second = s.integer(r, "cancels_per_second", 1..=10 * MILLION);
    let max_open_orders = s.integer_or(r, "max_open_orders", 1..=OPEN_ORDERS_MAX, 1024);
    let cancel_on_disconnect = s.flag_or(r, "cancel_on_disconnect", true);
    let market_data_stream_id = s.integer_or(r, "market_data_stream_id", 0..=i32::MAX, 0);
    if accounts.as_ref().is_some_and(Vec::is_empty) {
        s.refuse(r, "accounts", "is empty: a session trades for at least one account");
    }
    let (key_file, key) = key?;
    Some(Session {
        id: SessionId(id?),
        name: name?,
        key_file,
        key,
        accounts: accounts?.into_iter().map(AccountId).collect(),
        reports: reports?,
        messages_per_second: messages_per_second?,
        burst: burst?,
        cancels_per_second: cancels_per_second?,
        max_open_orders: max_open_orders?,
        cancel_on_disconnect: cancel_on_disconnect?,
        market_data_stream_id: market_data_stream_id?,
    })
}

fn channel(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    folder: &Path,
    id: Option<u32>,
) -> Option<Channel> {
    let name = person_name(s, r);
    let protocol = match s.has("protocol") {
        true => s.word(r, "protocol", &PROTOCOLS),
        false => Some(Protocol::Itch50),
    };
    let stale_after_ms = s.integer(r, "stale_after_ms", 1..=HOUR_MS);
    let source = source(s, r, folder, protocol);
    let own = match protocol {
        Some(Protocol::Itch50) => itch_keys(s, r, folder),
        Some(Protocol::IexDeep | Protocol::IexTops) => {
            check::foreign(s, r, &recovery::ITCH_KEYS, "a protocol of IEX");
            recovery::reorder(s, r, false).map(|reorder| OwnKeys { reorder, ..NO_OWN_KEYS })
        }
        Some(Protocol::Sbe) => {
            check::foreign(s, r, &recovery::ORDER_KEYS, "protocol = \"sbe\"");
            check::foreign(s, r, &recovery::ITCH_KEYS, "protocol = \"sbe\"");
            Some(NO_OWN_KEYS)
        }
        None => {
            check::allow(s, r, recovery::ORDER_KEYS.iter().chain(&recovery::ITCH_KEYS));
            None
        }
    };
    let (protocol, name, source) = (protocol?, name?, source?);
    let (stale_after_ms, own) = (stale_after_ms?, own?);
    let OwnKeys { utc_offset_minutes, reorder, rerequest, glimpse } = own;
    Some(Channel {
        id: ChannelId(id?),
        name,
        protocol,
        source,
        stale_after_ms,
        utc_offset_minutes,
        reorder,
        rerequest,
        glimpse,
    })
}

/// What a channel of some protocol has and one of another has not.
struct OwnKeys {
    utc_offset_minutes: i16,
    reorder: Reorder,
    rerequest: Option<Rerequest>,
    glimpse: Option<Glimpse>,
}

/// Of a channel that has none of them.
const NO_OWN_KEYS: OwnKeys = OwnKeys {
    utc_offset_minutes: 0,
    reorder: recovery::NO_REORDER,
    rerequest: None,
    glimpse: None,
};

fn itch_keys(s: &mut Section<'_>, r: &mut Reader<'_>, folder: &Path) -> Option<OwnKeys> {
    let utc_offset_minutes = s.integer_or(r, "utc_offset_minutes", UTC_OFFSET_MINUTES, 0);
    let reorder = recovery::reorder(s, r, true);
    let rerequest = recovery::rerequest(s, r);
    let glimpse = recovery::glimpse(s, r, folder);
    Some(OwnKeys {
        utc_offset_minutes: utc_offset_minutes?,
        reorder: reorder?,
        rerequest: rerequest?,
        glimpse: glimpse?,
    })
}

/// Where a channel comes from.
fn source(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    folder: &Path,
    protocol: Option<Protocol>,
) -> Option<Source> {
    const KINDS: [(&str, SourceKind); 3] = [
        ("multicast", SourceKind::Multicast),
        ("capture", SourceKind::Capture),
        ("aeron", SourceKind::Aeron),
    ];
    const MULTICAST: [&str; 5] = ["line_a", "line_b", "interface", "timestamps", "bypass"];
    const CAPTURE: [&str; 2] = ["file", "pace"];
    const SERVERS: [&str; 2] = ["rerequest", "glimpse"];
    let kind = s.word(r, "source", &KINDS);
    if let Some(kind) = kind {
        upstream::check(s, r, protocol, matches!(kind, SourceKind::Aeron));
    }
    match kind {
        Some(SourceKind::Multicast) => {
            check::foreign(s, r, &CAPTURE, "source = \"multicast\"");
            upstream::refuse_keys(s, r, "source = \"multicast\"");
            multicast(s, r)
        }
        Some(SourceKind::Capture) => {
            check::foreign(s, r, &MULTICAST, "source = \"capture\"");
            upstream::refuse_keys(s, r, "source = \"capture\"");
            if protocol == Some(Protocol::Itch50) {
                check::foreign(s, r, &SERVERS, "source = \"capture\"");
            }
            let file = values::path(s, r, "file", folder);
            let pace = s.word(r, "pace", &PACES);
            file.zip(pace).map(|(file, pace)| Source::Capture { file, pace })
        }
        Some(SourceKind::Aeron) => {
            check::foreign(s, r, &MULTICAST, "source = \"aeron\"");
            check::foreign(s, r, &CAPTURE, "source = \"aeron\"");
            upstream::source(s, r)
        }
        None => {
            check::allow(s, r, MULTICAST.iter().chain(&CAPTURE).chain(&upstream::KEYS));
            None
        }
    }
}

fn multicast(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Source> {
    let line_a = s.text(r, "line_a").and_then(|text| values::group(s, r, "line_a", text));
    let line_b = match s.text_or_none(r, "line_b") {
        Some(Some(text)) => values::group(s, r, "line_b", text).map(Some),
        other => other.map(|_| None),
    };
    let interface = values::interface(s, r, "interface");
    let timestamps = match s.has("timestamps") {
        true => s.word(r, "timestamps", &TIMESTAMPS),
        false => Some(Timestamps::None),
    };
    let bypass = af_xdp::word_or(s, r, "bypass", &af_xdp::BYPASSES, true);
    if line_a.is_some() && line_b.flatten() == line_a {
        s.refuse(r, "line_b", "is the same as line_a: leave it out where there is only one line");
    }
    let (interface, timestamps, bypass) = (interface?, timestamps?, bypass?);
    Some(Source::Multicast { line_a: line_a?, line_b: line_b?, interface, timestamps, bypass })
}

fn instrument(s: &mut Section<'_>, r: &mut Reader<'_>, id: Option<u32>) -> Option<Instrument> {
    let text = s.text(r, "symbol");
    let symbol = text.and_then(Symbol::new);
    if let (Some(text), None) = (text, symbol) {
        s.refuse(r, "symbol", format_args!("\"{text}\" is not 1 to 8 printable ASCII characters"));
    }
    let channel = s.integer(r, "channel", 1..=ID_MAX);
    let venue = s.integer(r, "venue", 1..=ID_MAX);
    let tick = values::price(s, r, "tick");
    let lot = s.integer_or(r, "lot", 1..=u32::MAX, 1);
    let min_qty = s.integer_or(r, "min_qty", 1..=u32::MAX, lot.unwrap_or(1));
    let max_order_qty = values::quantity(s, r, "max_order_qty");
    let max_order_notional = values::notional(s, r, "max_order_notional");
    let collar_bps = s.integer(r, "collar_bps", 0..=10_000);
    let collar_ticks = s.integer(r, "collar_ticks", 0..=MILLION);
    let protection_bps = s.integer_or(r, "protection_bps", 0..=10_000, 0);
    let protection_ticks = s.integer_or(r, "protection_ticks", 0..=MILLION, 0);
    let market_data_stream_id = s.integer_or(r, "market_data_stream_id", 0..=i32::MAX, 0);
    if let (Some(lot), Some(min)) = (lot, min_qty)
        && min % lot != 0
    {
        s.refuse(r, "min_qty", format_args!("{min} is not a multiple of lot, {lot}"));
    }
    if let (Some(min), Some(max)) = (min_qty, max_order_qty)
        && max.get() < min
    {
        s.refuse(
            r,
            "max_order_qty",
            format_args!("{max} is below min_qty, {min}: no order could pass"),
        );
    }
    if collar_bps == Some(0) && collar_ticks == Some(0) {
        s.refuse(r, "collar_bps", "is 0, and so is collar_ticks: hardly an order could pass");
    }
    Some(Instrument {
        id: InstrumentId(id?),
        symbol: symbol?,
        channel: ChannelId(channel?),
        venue: VenueId(venue?),
        tick: tick?,
        lot: Qty::new(lot?)?,
        min_qty: Qty::new(min_qty?)?,
        max_order_qty: max_order_qty?,
        max_order_notional: max_order_notional?,
        collar_bps: collar_bps?,
        collar_ticks: collar_ticks?,
        protection_bps: protection_bps?,
        protection_ticks: protection_ticks?,
        market_data_stream_id: market_data_stream_id?,
    })
}

fn account(s: &mut Section<'_>, r: &mut Reader<'_>, id: Option<u32>) -> Option<Account> {
    const POSITION_MAX: i64 = 1_000_000_000_000;
    let name = person_name(s, r);
    let max_long = s.integer(r, "max_long", 0..=POSITION_MAX);
    let max_short = s.integer(r, "max_short", 0..=POSITION_MAX);
    let max_order_qty = values::quantity(s, r, "max_order_qty");
    let max_order_notional = values::notional(s, r, "max_order_notional");
    Some(Account {
        id: AccountId(id?),
        name: name?,
        max_long: max_long?,
        max_short: max_short?,
        max_order_qty: max_order_qty?,
        max_order_notional: max_order_notional?,
    })
}

fn venue(s: &mut Section<'_>, r: &mut Reader<'_>, folder: &Path, id: Option<u32>) -> Option<Venue> {
    let name = person_name(s, r);
    let orders = values::stream(s, r, "order_channel", "order_stream_id");
    let reports = values::stream(s, r, "report_channel", "report_stream_id");
    let session_id = s.integer(r, "session_id", 1..=ID_MAX);
    let key = values::key(s, r, folder);
    let keepalive_ms = s.integer(r, "keepalive_ms", 10..=MINUTES_10_MS);
    let (key_file, key) = key?;
    Some(Venue {
        id: VenueId(id?),
        name: name?,
        orders: orders?,
        reports: reports?,
        session_id: SessionId(session_id?),
        key_file,
        key,
        keepalive_ms: keepalive_ms?,
    })
}

fn risk(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Risk> {
    let max_open_orders = s.power_of_two(r, "max_open_orders", 64..=OPEN_ORDERS_MAX);
    let duplicate_count = s.integer(r, "duplicate_count", 0..=1000);
    if duplicate_count == Some(1) {
        s.refuse(r, "duplicate_count", "1 would deny every order: 2 or more, or 0 for none");
    }
    let duplicate_window_ms = s.integer(r, "duplicate_window_ms", 1..=60_000);
    let reference_stale_ms = s.integer(r, "reference_stale_ms", REFERENCE_STALE_MS_MIN..=HOUR_MS);
    Some(Risk {
        max_open_orders: max_open_orders?,
        duplicate_count: duplicate_count?,
        duplicate_window_ms: duplicate_window_ms?,
        reference_stale_ms: reference_stale_ms?,
    })
}

fn journal(s: &mut Section<'_>, r: &mut Reader<'_>, folder: &Path) -> Option<Journal> {
    const PEBIBYTE: u64 = 1 << 50;
    let directory = values::path(s, r, "directory", folder);
    let segment_bytes = s.power_of_two(r, "segment_bytes", 1_048_576..=u64::from(GIBIBYTE));
    // The journal hands at most six ahead of the one in use from thread to thread.
    let segments_ready = s.integer(r, "segments_ready", 2..=7);
    let reserve_bytes = s.integer(r, "reserve_bytes", 0..=PEBIBYTE);
    Some(Journal {
        directory: directory?,
        segment_bytes: segment_bytes?,
        segments_ready: segments_ready?,
        reserve_bytes: reserve_bytes?,
    })
}

fn control(s: &mut Section<'_>, r: &mut Reader<'_>, folder: &Path) -> Option<Control> {
    let socket = values::path(s, r, "socket", folder);
    let http = match s.text(r, "http") {
        Some("off") => Some(None),
        Some(text) => values::socket_address(s, r, "http", text).map(Some),
        None => None,
    };
    if let Some(address) = http.flatten().filter(|address| !address.ip().is_loopback()) {
        s.refuse(
            r,
            "http",
            format_args!(
                "{} can be reached from other machines, and HTTP has no password: use 127.0.0.1",
                address.ip()
            ),
        );
    }
    Some(Control { socket: socket?, http: http? })
}

fn telemetry(s: &mut Section<'_>, r: &mut Reader<'_>, folder: &Path) -> Option<Telemetry> {
    let hlog_directory = values::path_or_off(s, r, "hlog_directory", folder);
    let interval_s = s.integer(r, "interval_s", 1..=86_400);
    Some(Telemetry { hlog_directory: hlog_directory?, interval_s: interval_s? })
}

fn feed(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Feed> {
    let max_orders = s.power_of_two(r, "max_orders", 1024..=134_217_728);
    let max_levels = s.integer(r, "max_levels", 8..=65_536);
    let poll_budget = s.integer(r, "poll_budget", 1..=4096);
    Some(Feed { max_orders: max_orders?, max_levels: max_levels?, poll_budget: poll_budget? })
}
