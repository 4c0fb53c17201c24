//! What has to hold between keys of different sections: unique numbers and names, references that lead somewhere, streams
//! and cores that are used once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::config::parse::{Item, Lists};
use crate::config::reader::{Place, Reader, Section};
use crate::config::sections::{
    Channel, DriverMode, Feed, Gateway, Idle, Instrument, MarketData, Protocol, Runtime, Source,
    Stream,
};
use crate::runtime::layout::Layout;

/// Refuses keys that go with another choice than `chosen`.
pub(super) fn foreign(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    keys: &[&'static str],
    chosen: &str,
) {
    for &key in keys {
        if section.has(key) {
            section.look_at(reader, key);
            section.refuse(reader, key, format_args!("does not go with {chosen}"));
        }
    }
}

/// Lets keys pass whose meaning cannot be told for another fault.
pub(super) fn allow<'k>(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    keys: impl Iterator<Item = &'k &'static str>,
) {
    for key in keys {
        section.look_at(reader, key);
    }
}

/// Refuses a layout whose hot threads cannot run as they are told to.
pub(super) fn cores(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    gateway: &Gateway,
    runtime: &Runtime,
) {
    if gateway.layout != Layout::Split {
        for (key, core) in [("risk_core", runtime.risk_core), ("router_core", runtime.router_core)]
        {
            if core.is_some() && core != runtime.entry_core {
                section.refuse(
                    reader,
                    key,
                    format_args!(
                        "contradicts gateway.layout = \"{}\", in which it is entry_core",
                        gateway.layout
                    ),
                );
            }
        }
    }
    let mut hot = vec![
        ("feed_core", runtime.feed_core, runtime.feed_idle),
        ("entry_core", runtime.entry_core, runtime.entry_idle),
    ];
    if gateway.layout == Layout::Split {
        hot.push(("risk_core", runtime.risk_core, runtime.risk_idle));
        hot.push(("router_core", runtime.router_core, runtime.router_idle));
    }
    let mut used: BTreeMap<u16, (&str, Idle)> = BTreeMap::new();
    for (key, core, idle) in hot {
        let Some(core) = core else { continue };
        let burns = |idle| matches!(idle, Idle::Spin | Idle::Pause);
        match used.get(&core) {
            Some((other, other_idle)) if burns(idle) || burns(*other_idle) => {
                section.refuse(reader, key, format_args!("{core} is {other} too, and one of the two never lets go of it: make both idle \"yield\" or \"park\""));
            }
            Some(_) => {}
            None => {
                used.insert(core, (key, idle));
            }
        }
    }
    for (key, core) in
        [("housekeeping_core", runtime.housekeeping_core), ("driver_core", runtime.driver_core)]
    {
        if let Some((other, _)) = core
            .and_then(|core| used.get(&core))
            .filter(|(_, idle)| matches!(idle, Idle::Spin | Idle::Pause))
        {
            section.refuse(
                reader,
                key,
                format_args!("is {other} too, which never lets go of its core"),
            );
        }
    }
}

/// Refuses a core for a driver that has no thread of its own.
pub(super) fn driver_core(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    driver: DriverMode,
    runtime: &Runtime,
) {
    if runtime.driver_core.is_some() && matches!(driver, DriverMode::Invoker | DriverMode::External)
    {
        section.refuse(
            reader,
            "driver_core",
            "is set, but aeron.driver gives the driver no thread of its own here",
        );
    }
}

/// Refuses numbers, names and symbols used twice, and references to what is not there.
pub(super) fn lists(reader: &mut Reader<'_>, lists: &Lists<'_>) {
    unique(reader, &lists.sessions, |session| session.name.clone(), "name");
    let channels = unique(reader, &lists.channels, |channel| channel.name.clone(), "name");
    let in_channel = |instrument: &Instrument| {
        format!("{} in channel {}", instrument.symbol, instrument.channel)
    };
    unique(reader, &lists.instruments, in_channel, "symbol");
    let accounts = unique(reader, &lists.accounts, |account| account.name.clone(), "name");
    let venues = unique(reader, &lists.venues, |venue| venue.name.clone(), "name");
    for item in &lists.sessions {
        let mut seen = BTreeSet::new();
        for account in item.value.iter().flat_map(|session| &session.accounts) {
            refer(reader, &item.section, "accounts", account.0, &accounts, "account");
            if !seen.insert(account) {
                item.section.refuse(
                    reader,
                    "accounts",
                    format_args!("names account {account} twice"),
                );
            }
        }
    }
    for item in &lists.instruments {
        if let Some(instrument) = &item.value {
            refer(reader, &item.section, "channel", instrument.channel.0, &channels, "channel");
            refer(reader, &item.section, "venue", instrument.venue.0, &venues, "venue");
        }
    }
}

/// Refuses channels that could not do what their keys ask for together, or that would hear the same packets.
pub(super) fn channels(reader: &mut Reader<'_>, lists: &Lists<'_>) {
    let mut heard: BTreeMap<(Ipv4Addr, SocketAddrV4), Place> = BTreeMap::new();
    for item in &lists.channels {
        let Some(channel) = &item.value else { continue };
        if channel.protocol != Protocol::Sbe {
            waits(reader, &item.section, channel);
        }
        let Source::Multicast { line_a, line_b, interface, .. } = &channel.source else { continue };
        // Line B as line A is told where they are read.
        let line_b = line_b.filter(|line_b| line_b != line_a);
        for (key, group) in [("line_a", Some(*line_a)), ("line_b", line_b)] {
            let Some(group) = group else { continue };
            if let Some(&first) = heard.get(&(*interface, group)) {
                let line = reader.line_of(first);
                item.section.refuse(
                    reader,
                    key,
                    format_args!("{group} on interface {interface} is taken: {line}: each line has a group and port of its own"),
                );
            } else {
                heard.insert((*interface, group), item.section.place(key));
            }
        }
    }
}

/// Refuses a window that keeps nothing where it has to, and a gap that is asked for and has no room.
fn waits(reader: &mut Reader<'_>, section: &Section<'_>, channel: &Channel) {
    let reorder = &channel.reorder;
    let has_server = channel.rerequest.is_some() || channel.glimpse.is_some();
    let has_lines = matches!(channel.source, Source::Multicast { line_b: Some(_), .. });
    if reorder.packets == 0 && has_lines && !has_server {
        section.refuse(
            reader,
            "reorder_packets",
            "is 0, so that what one line loses is a gap before the other can bring it: give 1 or more, or leave out line_b",
        );
    }
    let Some(rerequest) = &channel.rerequest else { return };
    let (gap, queue) = (rerequest.gap_messages, reorder.queue_messages);
    if gap >= queue {
        // One of the two was written: the defaults go together.
        let (key, remedy) = match section.has("rerequest_gap_messages") {
            true => ("rerequest_gap_messages", "lower it, or raise recovery_queue_messages"),
            false => ("recovery_queue_messages", "raise it, or lower rerequest_gap_messages"),
        };
        section.refuse(
            reader,
            key,
            format_args!(
                "a gap of rerequest_gap_messages, {gap}, has no room in recovery_queue_messages, {queue}, which \
                 holds the gap and what comes behind it: {remedy}"
            ),
        );
    }
}

/// Refuses books that keep fewer levels than strategies are to be told.
pub(super) fn depth(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    feed: &Feed,
    market_data: &MarketData,
) {
    let (levels, depth) = (feed.max_levels, market_data.depth);
    if levels < depth {
        // The default is beyond every depth, so this is the key that was written.
        section.refuse(
            reader,
            "max_levels",
            format_args!("{levels} is below market_data.depth, {depth}: a book keeps no more levels than that to tell of"),
        );
    }
}

/// Refuses a session that may have more open orders than there is room for.
pub(super) fn open_orders(reader: &mut Reader<'_>, lists: &Lists<'_>, most: u32) {
    for item in &lists.sessions {
        if let Some(session) = item.value.as_ref().filter(|session| session.max_open_orders > most)
        {
            let wanted = session.max_open_orders;
            item.section.refuse(
                reader,
                "max_open_orders",
                format_args!("{wanted} is above risk.max_open_orders, {most}"),
            );
        }
    }
}

/// Refuses a number that is used twice, and a `label` (as `key` gives it) that is; returns the numbers.
fn unique<T>(
    reader: &mut Reader<'_>,
    items: &[Item<'_, T>],
    label: impl Fn(&T) -> String,
    key: &'static str,
) -> BTreeSet<u32> {
    let mut numbers: BTreeMap<u32, Place> = BTreeMap::new();
    let mut labels: BTreeMap<String, Place> = BTreeMap::new();
    for item in items {
        if let Some(id) = item.id {
            match numbers.get(&id) {
                Some(&first) => {
                    let line = reader.line_of(first);
                    item.section.refuse(reader, "id", format_args!("{id} is taken: {line}"));
                }
                None => {
                    numbers.insert(id, item.section.place("id"));
                }
            }
        }
        if let Some(text) = item.value.as_ref().map(&label) {
            match labels.get(&text) {
                Some(&first) => {
                    let line = reader.line_of(first);
                    item.section.refuse(reader, key, format_args!("{text} is taken: {line}"));
                }
                None => {
                    labels.insert(text, item.section.place(key));
                }
            }
        }
    }
    numbers.into_keys().collect()
}

fn refer(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &'static str,
    id: u32,
    known: &BTreeSet<u32>,
    what: &str,
) {
    if !known.contains(&id) {
        section.refuse(reader, key, format_args!("there is no [[{what}]] with id = {id}"));
    }
}

/// The Aeron streams in use: no two uses may share one.
#[derive(Default)]
pub(super) struct Streams {
    used: BTreeMap<(String, i32), Place>,
}

/// Where a channel leads: what else its parameters say, as the length of its terms, makes no other of it.
fn destination(channel: &str) -> String {
    let (media, parameters) = channel.split_once('?').unwrap_or((channel, ""));
    if media == "aeron:ipc" {
        return media.to_owned();
    }
    let value = |wanted: &str| {
        let mut pairs = parameters.split('|').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == wanted).map_or("", |(_, value)| value)
    };
    format!("{media} {} {}", value("endpoint"), value("control"))
}

impl Streams {
    /// Takes `stream` for the section, and refuses it where it is taken.
    pub(super) fn claim(
        &mut self,
        reader: &mut Reader<'_>,
        section: &Section<'_>,
        key: &'static str,
        stream: &Stream,
    ) {
        let place = (destination(&stream.channel), stream.stream_id);
        match self.used.get(&place) {
            Some(&first) => {
                let line = reader.line_of(first);
                section.refuse(reader, key, format_args!("{stream} is taken: {line}"));
            }
            None => {
                self.used.insert(place, section.place(key));
            }
        }
    }

    /// Takes the streams of market data that are one session's or one instrument's.
    pub(super) fn claim_market_data(
        &mut self,
        reader: &mut Reader<'_>,
        lists: &Lists<'_>,
        market_data: &MarketData,
    ) {
        const KEY: &str = "market_data_stream_id";
        for item in &lists.sessions {
            let id = item.value.as_ref().map_or(0, |session| session.market_data_stream_id);
            if let Some(stream) = market_data.stream_with(id) {
                self.claim(reader, &item.section, KEY, &stream);
            }
        }
        for item in &lists.instruments {
            let id = item.value.as_ref().map_or(0, |instrument| instrument.market_data_stream_id);
            if let Some(stream) = market_data.stream_with(id) {
                self.claim(reader, &item.section, KEY, &stream);
            }
        }
    }

    /// Takes the streams of all sessions, channels and venues: what we publish is not what we read.
    pub(super) fn claim_lists(&mut self, reader: &mut Reader<'_>, lists: &Lists<'_>) {
        for item in &lists.sessions {
            if let Some(session) = &item.value {
                self.claim(reader, &item.section, "report_stream_id", &session.reports);
            }
        }
        for item in &lists.channels {
            let source = item.value.as_ref().map(|channel| &channel.source);
            if let Some(Source::Aeron { changes, snapshots }) = source {
                self.claim(reader, &item.section, "aeron_stream_id", changes);
                if let Some(stream) = snapshots {
                    self.claim(reader, &item.section, "aeron_snapshot_stream_id", stream);
                }
            }
        }
        for item in &lists.venues {
            if let Some(venue) = &item.value {
                self.claim(reader, &item.section, "order_stream_id", &venue.orders);
                self.claim(reader, &item.section, "report_stream_id", &venue.reports);
            }
        }
    }
}
