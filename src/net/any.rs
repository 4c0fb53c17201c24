//! Several sources of any kind as one, so that one agent can take channels from wires, from files and from streams.

use std::io;
use std::net::SocketAddrV4;

use crate::net::replay::CaptureSource;
use crate::net::source::{BypassCounts, DatagramHandler, PacketSource, Polled};
use crate::net::stream::AeronSource;
use crate::net::udp::KernelUdpSource;
use crate::net::xdp::XdpSource;
use crate::transport::Inbound;
use crate::types::{ChannelId, Nanos};

/// A source of a kind that is known only from the configuration.
#[derive(Debug)]
pub enum AnySource {
    /// Kernel sockets.
    Kernel(KernelUdpSource),
    /// A capture.
    Capture(CaptureSource),
    /// Rings of a network interface, with kernel sockets behind them.
    Xdp(Box<XdpSource>),
}

impl PacketSource for AnySource {
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()> {
        match self {
            AnySource::Kernel(source) => source.subscribe(group, channel, line),
            AnySource::Capture(source) => source.subscribe(group, channel, line),
            AnySource::Xdp(source) => source.subscribe(group, channel, line),
        }
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        match self {
            AnySource::Kernel(source) => source.advance(now),
            AnySource::Capture(source) => source.advance(now),
            AnySource::Xdp(source) => source.advance(now),
        }
    }

    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        match self {
            AnySource::Kernel(source) => source.poll(budget, handler),
            AnySource::Capture(source) => source.poll(budget, handler),
            AnySource::Xdp(source) => source.poll(budget, handler),
        }
    }

    fn drops(&self) -> u64 {
        match self {
            AnySource::Kernel(source) => source.drops(),
            AnySource::Capture(source) => source.drops(),
            AnySource::Xdp(source) => source.drops(),
        }
    }

    fn errors(&self) -> u64 {
        match self {
            AnySource::Kernel(source) => source.errors(),
            AnySource::Capture(source) => source.errors(),
            AnySource::Xdp(source) => source.errors(),
        }
    }

    fn bypass(&self) -> BypassCounts {
        match self {
            AnySource::Xdp(source) => source.bypass(),
            AnySource::Kernel(_) | AnySource::Capture(_) => BypassCounts::default(),
        }
    }
}

/// Sources of which every poll visits each, in their order. Each is subscribed before it is put in.
#[derive(Debug)]
pub struct SourceSet {
    sources: Vec<AnySource>,
}

impl SourceSet {
    /// The set of `sources`.
    pub const fn new(sources: Vec<AnySource>) -> SourceSet {
        SourceSet { sources }
    }

    /// The sources.
    pub fn sources(&self) -> &[AnySource] {
        &self.sources
    }

    /// The same and `streams`, which are opened on the thread that polls them, as the set need not be. Each poll visits them
    /// after the others, in their order.
    pub const fn with_streams<I>(self, streams: Vec<AeronSource<I>>) -> StreamedSet<I> {
        StreamedSet { set: self, streams }
    }
}

/// A [`SourceSet`], and streams.
#[derive(Debug)]
pub struct StreamedSet<I> {
    set: SourceSet,
    streams: Vec<AeronSource<I>>,
}

impl<I> StreamedSet<I> {
    /// The sources that are no streams.
    pub const fn set(&self) -> &SourceSet {
        &self.set
    }

    /// The streams.
    pub fn streams(&self) -> &[AeronSource<I>] {
        &self.streams
    }
}

impl<I: Inbound> PacketSource for StreamedSet<I> {
    /// Refused, as by the set.
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()> {
        self.set.subscribe(group, channel, line)
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        self.set.advance(now);
    }

    /// Polls every source for at most `budget` datagrams each. It ends when the set does and there are no streams: those may
    /// always have more.
    ///
    /// # Errors
    /// The first source's that failed, after all were polled.
    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        let mut polled = self.set.poll(budget, handler);
        for stream in &mut self.streams {
            polled = match (polled, stream.poll(budget, handler)) {
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                (Ok(Polled::Got(before)), Ok(Polled::Got(count))) => {
                    Ok(Polled::Got(before.saturating_add(count)))
                }
                (Ok(Polled::Got(count)), Ok(_)) | (Ok(_), Ok(Polled::Got(count))) => {
                    Ok(Polled::Got(count))
                }
                (Ok(_), Ok(_)) => Ok(Polled::Idle),
            };
        }
        polled
    }

    fn drops(&self) -> u64 {
        self.set.drops()
    }

    fn errors(&self) -> u64 {
        self.set.errors()
    }

    fn bypass(&self) -> BypassCounts {
        self.set.bypass()
    }
}

impl PacketSource for SourceSet {
    /// Refused: which of the sources should it be?
    fn subscribe(&mut self, group: SocketAddrV4, _: ChannelId, _: u8) -> io::Result<()> {
        let text = format!("{group}: sources are subscribed before they are put into a set");
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    #[inline]
    fn advance(&mut self, now: Nanos) {
        for source in &mut self.sources {
            source.advance(now);
        }
    }

    /// Polls every source for at most `budget` datagrams each. The set ends when all of its sources have; one without
    /// sources has nothing that could end and is idle.
    ///
    /// # Errors
    /// The first source's that failed, after all were polled.
    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        let mut taken = 0;
        let mut is_over = !self.sources.is_empty();
        let mut failed = None;
        for source in &mut self.sources {
            match source.poll(budget, handler) {
                Ok(Polled::Got(count)) => taken += count,
                Ok(Polled::Idle) => is_over = false,
                Ok(Polled::End) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(match (taken, is_over) {
            (0, true) => Polled::End,
            (0, false) => Polled::Idle,
            (count, _) => Polled::Got(count),
        })
    }

    fn drops(&self) -> u64 {
        self.sources.iter().map(PacketSource::drops).fold(0, u64::saturating_add)
    }

    fn errors(&self) -> u64 {
        self.sources.iter().map(PacketSource::errors).fold(0, u64::saturating_add)
    }

    fn bypass(&self) -> BypassCounts {
        let counts = self.sources.iter().map(PacketSource::bypass);
        counts.fold(BypassCounts::default(), BypassCounts::plus)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use super::*;
    use crate::net::capture::Capture;
    use crate::net::replay::Pace;
    use crate::net::source::Datagram;
    use crate::net::udp::{Timestamps, UdpSourceConfig};

    struct Seen(Vec<u32>);

    impl DatagramHandler for Seen {
        fn on_datagram(&mut self, datagram: Datagram<'_>) {
            self.0.push(datagram.channel.0);
        }
    }

    fn capture(channel: u32, datagrams: usize) -> AnySource {
        let mut capture = Capture::empty(Path::new("made"));
        for _ in 0..datagrams {
            assert!(capture.push(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), 0, &[], b"x"));
        }
        let mut source = CaptureSource::new(capture, Pace::Unpaced);
        source.subscribe_all(ChannelId(channel));
        AnySource::Capture(source)
    }

    #[test]
    fn every_poll_visits_all_sources_and_the_set_ends_when_they_have() {
        let mut set = SourceSet::new(vec![capture(1, 3), capture(2, 1)]);
        let mut seen = Seen(Vec::new());
        let polled: Vec<Polled> = (0..4).map(|_| set.poll(2, &mut seen).expect("polls")).collect();
        assert_eq!(seen.0, [1, 1, 2, 1]);
        let (got, end) = (Polled::Got, Polled::End);
        assert_eq!(polled, [got(3), got(1), end, end]);
    }

    #[test]
    fn a_set_goes_on_while_one_source_may_have_more() {
        let mut seen = Seen(Vec::new());
        let socket = KernelUdpSource::new(UdpSourceConfig {
            interface: Ipv4Addr::LOCALHOST,
            receive_buffer_bytes: 65_536,
            timestamps: Timestamps::None,
        });
        for sources in [Vec::new(), vec![capture(1, 0), AnySource::Kernel(socket)]] {
            let mut set = SourceSet::new(sources);
            assert_eq!(set.poll(2, &mut seen).expect("polls"), Polled::Idle);
        }
    }

    #[test]
    fn streams_are_polled_after_the_others_and_a_set_with_one_never_ends() {
        use crate::transport::Outbound;
        let (mut publication, subscription) = crate::transport::memory::stream(16, 64);
        let stream = AeronSource::new(subscription, ChannelId(8), 0);
        let mut set = SourceSet::new(vec![capture(1, 3)]).with_streams(vec![stream]);
        assert_eq!((set.set().sources().len(), set.streams().len()), (1, 1));
        let mut seen = Seen(Vec::new());
        publication.offer(1, |bytes| bytes.fill(1)).expect("room");
        let polled: Vec<Polled> = (0..3).map(|_| set.poll(2, &mut seen).expect("polls")).collect();
        assert_eq!(seen.0, [1, 1, 8, 1]);
        assert_eq!(polled, [Polled::Got(3), Polled::Got(1), Polled::Idle]);
        let none: Vec<AeronSource<crate::transport::memory::MemorySubscription>> = Vec::new();
        let mut ends = SourceSet::new(vec![capture(1, 0)]).with_streams(none);
        assert_eq!(ends.poll(2, &mut seen).expect("polls"), Polled::End);
    }

    #[test]
    fn a_source_that_fails_is_told_after_the_others_were_polled() {
        let mut socket = KernelUdpSource::new(UdpSourceConfig {
            interface: Ipv4Addr::LOCALHOST,
            receive_buffer_bytes: 65_536,
            timestamps: Timestamps::None,
        });
        let anywhere = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        socket.subscribe(anywhere, ChannelId(9), 0).expect("binds");
        socket.break_lines();
        let mut set = SourceSet::new(vec![AnySource::Kernel(socket), capture(2, 3)]);
        let mut seen = Seen(Vec::new());
        assert!(set.poll(2, &mut seen).is_err());
        assert_eq!((seen.0, set.errors()), (vec![2, 2], 1));
    }
}
