//! The keys of a `[[channel]]` that is another gateway's market data.

use crate::config::check;
use crate::config::reader::{Reader, Section};
use crate::config::sections::{Protocol, Source};
use crate::config::values;

const SNAPSHOT_KEYS: [&str; 2] = ["aeron_snapshot_channel", "aeron_snapshot_stream_id"];

/// The keys that only such a channel has.
pub(super) const KEYS: [&str; 4] =
    ["aeron_channel", "aeron_stream_id", SNAPSHOT_KEYS[0], SNAPSHOT_KEYS[1]];

/// The streams it is read from.
pub(super) fn source(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Source> {
    let [channel_key, stream_key] = SNAPSHOT_KEYS;
    let changes = values::stream(s, r, "aeron_channel", "aeron_stream_id");
    let snapshots = match s.has(channel_key) || s.has(stream_key) {
        true => values::stream(s, r, channel_key, stream_key).map(Some),
        false => Some(None),
    };
    if let (Some(changes), Some(Some(snapshots))) = (&changes, &snapshots)
        && changes == snapshots
    {
        s.refuse(r, stream_key, "is the stream of market data: snapshots have one of their own");
        return None;
    }
    changes.zip(snapshots).map(|(changes, snapshots)| Source::Aeron { changes, snapshots })
}

/// Refuses our own market data from anything but a stream, and anything else from a stream.
pub(super) fn check(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    protocol: Option<Protocol>,
    is_stream: bool,
) {
    match protocol {
        Some(Protocol::Sbe) if !is_stream => {
            s.refuse(
                r,
                "source",
                "does not go with protocol = \"sbe\", which comes from \"aeron\"",
            );
        }
        Some(Protocol::Itch50 | Protocol::IexDeep | Protocol::IexTops) if is_stream => {
            s.refuse(r, "source", "brings nothing but protocol = \"sbe\"");
        }
        Some(_) | None => {}
    }
}

/// Refuses the keys where the source is another.
pub(super) fn refuse_keys(s: &mut Section<'_>, r: &mut Reader<'_>, chosen: &str) {
    check::foreign(s, r, &KEYS, chosen);
}
