//! Any bytes as a run of frames from a ring, each behind its length in two bytes: every frame is counted once, and what is handed on is of a
//! destination that was subscribed to and lies within its frame.

use postern::net::xdp::frame::read_udp;
use postern::net::xdp::{FrameCounts, Sorter};
use postern::net::{Datagram, DatagramHandler, RxClock, RxStamp};
use postern::types::ChannelId;

/// Destinations that are subscribed to: line B of the first is line A of the second.
const LINES: [(&str, u32, u8); 4] = [
    ("239.77.1.1:30001", 1, 0),
    ("239.77.1.2:30002", 1, 1),
    ("239.77.1.2:30001", 2, 0),
    ("10.0.0.2:26400", 3, 0),
];

#[derive(Default)]
struct Taken {
    count: u64,
    bytes: usize,
    last: (u32, u8),
}

impl DatagramHandler for Taken {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        self.count += 1;
        self.bytes += datagram.payload.len();
        self.last = (datagram.channel.0, datagram.line);
    }
}

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let mut sorter = Sorter::new();
    for (to, channel, line) in LINES {
        sorter.insert(to.parse().expect("an address"), ChannelId(channel), line);
    }
    let (mut taken, mut rest, mut frames) = (Taken::default(), bytes, 0);
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(more.len());
        let (frame, behind) = more.split_at(length);
        rest = behind;
        let before = FrameCounts { handed: 0, ..sorter.counts() };
        let stamp = RxStamp { ns: 0, clock: RxClock::None };
        let is_handed = sorter.take(frame, stamp, &mut taken);
        frames += 1;
        let after = FrameCounts { handed: 0, ..sorter.counts() };
        assert_eq!(is_handed, before == after, "either handed on or counted as not");
        if is_handed {
            let udp = read_udp(frame).expect("it was read");
            let to = udp.destination.to_string();
            let (channel, line) = taken.last;
            assert!(LINES.contains(&(to.as_str(), channel, line)), "{to} as {channel} {line}");
        }
    }
    assert_eq!((sorter.counts().total(), sorter.counts().handed), (frames, taken.count));
    assert!(taken.bytes <= bytes.len());
}
