//! Any bytes as a capture: none panic, and every datagram of one can be played.

use std::path::Path;

use postern::feed::capture::from_binary_file;
use postern::net::capture::Capture;
use postern::net::{CaptureSource, Datagram, DatagramHandler, Pace, PacketSource, Polled};
use postern::types::ChannelId;

struct Count(usize);

impl DatagramHandler for Count {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        self.0 += datagram.payload.len();
    }
}

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let path = Path::new("fuzz");
    let captures = [Capture::from_pcap(path, bytes.to_vec()), from_binary_file(path, bytes)];
    for capture in captures.into_iter().flatten() {
        let payloads: usize = capture.iter().map(|(_, _, payload)| payload.len()).sum();
        let mut source = CaptureSource::new(capture, Pace::Unpaced);
        source.subscribe_all(ChannelId(0));
        let mut count = Count(0);
        while let Ok(Polled::Got(_)) = source.poll(64, &mut count) {}
        assert_eq!(count.0, payloads);
    }
}
