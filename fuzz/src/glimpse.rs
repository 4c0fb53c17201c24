//! Any bytes as what a snapshot server sends: none panic, and a number that ends a snapshot is above 0.

use postern::feed::glimpse::{SnapshotEvent, SnapshotMessage, SnapshotSettings, Snapshots, decode};
use postern::feed::soupbintcp::Login;
use postern::types::Nanos;

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    if let Ok(SnapshotMessage::End(sequence)) = decode(bytes) {
        assert!(sequence > 0);
    }
    let login = Login { user: [b' '; 6], password: [b' '; 10], session: [b' '; 10], sequence: 1 };
    let mut snapshots = Snapshots::new(SnapshotSettings {
        login,
        answer_ns: 100,
        silence_ns: 100,
        retry_ns: 10,
        retry_ns_max: 100,
    });
    snapshots.start();
    let mut now = Nanos(1);
    for piece in bytes.chunks(97) {
        now = now.plus(3);
        while snapshots.next_action(now).is_some() {}
        if !snapshots.is_listening() {
            continue;
        }
        snapshots.on_connected();
        while snapshots.next_action(now).is_some() {}
        snapshots.room()[..piece.len()].copy_from_slice(piece);
        snapshots.on_received(piece.len());
        while let Some(event) = snapshots.next_event(now) {
            if let SnapshotEvent::End(sequence) = event {
                assert!(sequence > 0);
            }
        }
    }
}
