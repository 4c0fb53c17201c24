//! `[[af_xdp]]`: queues of network interfaces that are ours past the kernel's sockets.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::config::parse::Item;
use crate::config::reader::{Place, Reader, Section};
use crate::config::sections::{AfXdp, AfXdpUser, Fallback};
use crate::config::values;
use crate::net::xdp::WantedMode;

/// Bytes of an interface's name (`IFNAMSIZ` of Linux, less the zero behind it).
const NAME_BYTES: usize = 15;
/// The last queue there can be a ring for.
const QUEUE_LAST: u32 = crate::net::xdp::QUEUES_MAX - 1;

/// Frames of one direction.
const FRAMES: RangeInclusive<u32> = 64..=65_536;

pub(super) const USERS: [(&str, AfXdpUser); 2] =
    [("feed", AfXdpUser::Feed), ("aeron", AfXdpUser::Aeron)];
pub(super) const MODES: [(&str, WantedMode); 4] = [
    ("auto", WantedMode::Auto),
    ("zero-copy", WantedMode::ZeroCopy),
    ("native", WantedMode::Native),
    ("generic", WantedMode::Generic),
];
pub(super) const FALLBACKS: [(&str, Fallback); 2] =
    [("kernel", Fallback::Kernel), ("refuse", Fallback::Refuse)];
/// Whether a channel goes by its interface's queue, where that is ours.
pub(super) const BYPASSES: [(&str, bool); 2] = [("auto", true), ("off", false)];

/// Reads one of them.
pub(super) fn af_xdp(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<AfXdp> {
    let interface = values::name(s, r, "interface", NAME_BYTES, "-_.@");
    let queue = s.integer_or(r, "queue", 0..=QUEUE_LAST, 0);
    let used_by = s.word(r, "used_by", &USERS);
    let mode = word_or(s, r, "mode", &MODES, WantedMode::Auto);
    let receive_frames = power_of_two_or(s, r, "receive_frames", FRAMES, 4_096);
    let send_frames = power_of_two_or(s, r, "send_frames", FRAMES, 1_024);
    let frame_bytes = power_of_two_or(s, r, "frame_bytes", 2_048..=4_096, 2_048);
    let busy_poll_us = s.integer_or(r, "busy_poll_us", 0..=1_000, 0);
    let fallback = word_or(s, r, "fallback", &FALLBACKS, Fallback::Kernel);
    Some(AfXdp {
        interface: interface?,
        queue: queue?,
        used_by: used_by?,
        mode: mode?,
        receive_frames: receive_frames?,
        send_frames: send_frames?,
        frame_bytes: frame_bytes?,
        busy_poll_us: busy_poll_us?,
        fallback: fallback?,
    })
}

/// One of `words`, or `default` where the key is not written.
pub(super) fn word_or<T: Copy>(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    default: T,
) -> Option<T> {
    match s.text_or_none(r, key)? {
        Some(_) => s.word(r, key, words),
        None => Some(default),
    }
}

fn power_of_two_or(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    key: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
) -> Option<u32> {
    if s.has(key) {
        return s.power_of_two(r, key, range);
    }
    s.look_at(r, key);
    Some(default)
}

/// Refuses a queue that is given twice, and one interface in two modes: it has one program.
pub(super) fn check(reader: &mut Reader<'_>, items: &[Item<'_, AfXdp>]) {
    let mut queues: BTreeMap<(&str, u32), Place> = BTreeMap::new();
    let mut modes: BTreeMap<&str, (WantedMode, Place)> = BTreeMap::new();
    for item in items {
        let Some(AfXdp { interface, queue, mode, .. }) = &item.value else { continue };
        let section = &item.section;
        if let Some(&first) = queues.get(&(interface.as_str(), *queue)) {
            let line = reader.line_of(first);
            section.refuse(
                reader,
                "queue",
                format_args!("{queue} of {interface} is taken: {line}: a queue has one user"),
            );
            continue;
        }
        queues.insert((interface, *queue), section.place("interface"));
        match modes.get(interface.as_str()) {
            Some(&(other, first)) if other != *mode => {
                let line = reader.line_of(first);
                section.refuse(
                    reader,
                    "mode",
                    format_args!("is another than for the queue of {interface} in {line}: an interface has one"),
                );
            }
            Some(_) => {}
            None => {
                modes.insert(interface, (*mode, section.place("interface")));
            }
        }
    }
}
