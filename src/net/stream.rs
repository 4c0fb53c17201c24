//! A message stream as a packet source, so that one gateway can read the market data another publishes over Aeron.

use std::io;
use std::net::SocketAddrV4;

use crate::net::source::{
    Datagram, DatagramHandler, PacketSource, Polled, PublisherChange, RxClock, RxStamp,
};
use crate::transport::{Inbound, StreamEvent};
use crate::types::ChannelId;

/// Messages of a stream, each handed on as a datagram of one line of one channel.
#[derive(Debug)]
pub struct AeronSource<I> {
    inbound: I,
    channel: ChannelId,
    line: u8,
    /// Whose message was handed on last.
    speaker: Option<i32>,
    publisher_count: u64,
    arrival_count: u64,
}

impl<I: Inbound> AeronSource<I> {
    /// A source of what comes from `inbound`, as line `line` of `channel`. The stream is opened before.
    pub const fn new(inbound: I, channel: ChannelId, line: u8) -> AeronSource<I> {
        AeronSource { inbound, channel, line, speaker: None, publisher_count: 0, arrival_count: 0 }
    }

    /// Publishers that are there now, as of the last poll. More than one mean that the order between their messages is
    /// not known.
    pub const fn publisher_count(&self) -> u64 {
        self.publisher_count
    }

    /// Publishers that ever came. Whenever it grows, a gateway was started, whose sequence numbers begin anew.
    pub const fn arrival_count(&self) -> u64 {
        self.arrival_count
    }
}

impl<I: Inbound> PacketSource for AeronSource<I> {
    /// Refused: a stream has no groups.
    fn subscribe(&mut self, group: SocketAddrV4, _: ChannelId, _: u8) -> io::Result<()> {
        let text = format!("{group}: a stream is opened before it is made a source");
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    /// Messages are not stamped: the stream does not say when they came.
    ///
    /// # Errors
    /// `NotConnected` once the stream is closed for good. That nobody publishes is none: see
    /// [`AeronSource::publisher_count`].
    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        while let Some(event) = self.inbound.next_event() {
            match event {
                StreamEvent::SourceUp(source) => {
                    self.publisher_count += 1;
                    self.arrival_count += 1;
                    handler.on_publisher(self.channel, self.line, PublisherChange::Came(source));
                }
                StreamEvent::SourceDown(source) => {
                    self.publisher_count = self.publisher_count.saturating_sub(1);
                    handler.on_publisher(self.channel, self.line, PublisherChange::Went(source));
                }
            }
        }
        let mut count = 0;
        let (channel, line, speaker) = (self.channel, self.line, &mut self.speaker);
        let limit = usize::try_from(budget).unwrap_or(usize::MAX);
        let polled = self.inbound.poll(limit, &mut |fragment| {
            count += 1;
            if *speaker != Some(fragment.source) {
                *speaker = Some(fragment.source);
                let change = PublisherChange::Speaks(fragment.source);
                handler.on_publisher(channel, line, change);
            }
            handler.on_datagram(Datagram {
                channel,
                line,
                stamp: RxStamp { ns: 0, clock: RxClock::None },
                payload: fragment.bytes,
            });
        });
        if count > 0 {
            handler.on_burst_end(count);
            return Ok(Polled::Got(count));
        }
        match polled {
            Ok(_) => Ok(Polled::Idle),
            // Made of its kind alone, which needs no memory.
            Err(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// None: a stream is reliable, or ends.
    fn drops(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::transport::memory::{SOURCE, stream};
    use crate::transport::{Outbound, TransportDown};

    #[derive(Default)]
    struct Seen {
        payloads: Vec<Vec<u8>>,
        bursts: Vec<u32>,
        changes: Vec<PublisherChange>,
    }

    impl DatagramHandler for Seen {
        fn on_datagram(&mut self, datagram: Datagram<'_>) {
            assert_eq!((datagram.channel, datagram.line), (ChannelId(7), 1));
            assert_eq!(datagram.stamp, RxStamp { ns: 0, clock: RxClock::None });
            self.payloads.push(datagram.payload.to_vec());
        }

        fn on_publisher(&mut self, channel: ChannelId, line: u8, change: PublisherChange) {
            assert_eq!((channel, line), (ChannelId(7), 1));
            self.changes.push(change);
        }

        fn on_burst_end(&mut self, count: u32) {
            self.bursts.push(count);
        }
    }

    #[test]
    fn messages_are_handed_on_in_order_and_within_the_budget() {
        let (mut publication, subscription) = stream(16, 64);
        let mut source = AeronSource::new(subscription, ChannelId(7), 1);
        let mut seen = Seen::default();
        assert_eq!(source.poll(4, &mut seen).expect("polls"), Polled::Idle);
        for number in 0..10_u8 {
            let length = usize::from(number);
            publication.offer(length, |bytes| bytes.fill(number)).expect("room");
        }
        let polled: Vec<Polled> =
            (0..4).map(|_| source.poll(4, &mut seen).expect("polls")).collect();
        let got = Polled::Got;
        assert_eq!(polled, [got(4), got(4), got(2), Polled::Idle]);
        assert_eq!(seen.bursts, [4, 4, 2]);
        let expected: Vec<Vec<u8>> = (0..10_u8).map(|n| vec![n; usize::from(n)]).collect();
        assert_eq!(seen.payloads, expected);
        assert_eq!(source.drops(), 0);
    }

    #[test]
    fn publishers_that_come_and_go_are_counted() {
        let (mut publication, subscription) = stream(16, 64);
        let mut source = AeronSource::new(subscription, ChannelId(7), 1);
        let mut seen = Seen::default();
        for _ in 0..2 {
            publication.offer(1, |bytes| bytes.fill(1)).expect("room");
        }
        source.poll(4, &mut seen).expect("polls");
        assert_eq!((source.publisher_count(), source.arrival_count()), (1, 1));
        drop(publication);
        for _ in 0..3 {
            assert_eq!(source.poll(4, &mut seen).expect("polls"), Polled::Idle);
        }
        assert_eq!((source.publisher_count(), source.arrival_count()), (0, 1));
        let expected = [
            PublisherChange::Came(SOURCE),
            PublisherChange::Speaks(SOURCE),
            PublisherChange::Went(SOURCE),
        ];
        assert_eq!(seen.changes, expected);
    }

    #[test]
    fn a_group_cannot_be_subscribed_to() {
        let (_publication, subscription) = stream(16, 64);
        let mut source = AeronSource::new(subscription, ChannelId(7), 1);
        let group = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        let error = source.subscribe(group, ChannelId(7), 1).expect_err("no groups");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    /// A stream that is closed.
    struct Closed;

    impl Inbound for Closed {
        fn poll(
            &mut self,
            _: usize,
            _: &mut impl FnMut(crate::transport::Fragment<'_>),
        ) -> Result<usize, TransportDown> {
            Err(TransportDown)
        }

        fn next_event(&mut self) -> Option<StreamEvent> {
            None
        }
    }

    #[test]
    fn a_closed_stream_is_an_error() {
        let mut source = AeronSource::new(Closed, ChannelId(7), 1);
        let error = source.poll(4, &mut Seen::default()).expect_err("closed");
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }
}
