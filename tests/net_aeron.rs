//! A real Aeron stream as a packet source: what one gateway publishes is what another reads.

#[path = "support/transport.rs"]
mod support;

use postern::net::{
    AeronSource, Datagram, DatagramHandler, PacketSource, Polled, RxClock, RxStamp,
};
use postern::transport::{Client, Subscription};
use postern::types::ChannelId;
use support::{Directory, drive, free_port, now, send};

const STREAM: i32 = 1002;
const CHANNEL: ChannelId = ChannelId(9);

#[derive(Default)]
struct Seen {
    payloads: Vec<Vec<u8>>,
    ended: u32,
}

impl DatagramHandler for Seen {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        assert_eq!((datagram.channel, datagram.line), (CHANNEL, 0));
        assert_eq!(datagram.stamp, RxStamp { ns: 0, clock: RxClock::None });
        self.payloads.push(datagram.payload.to_vec());
    }

    fn on_burst_end(&mut self, count: u32) {
        self.ended += count;
    }
}

type Source = AeronSource<Subscription>;

/// Polls `source` for at most three messages at a time until `count` are there.
#[track_caller]
fn receive(client: &mut Client, source: &mut Source, count: usize) -> Vec<Vec<u8>> {
    let mut seen = Seen::default();
    drive("messages", &mut [client], || {
        let before = seen.payloads.len();
        source.poll(3, &mut seen).expect("the stream is open");
        assert!(seen.payloads.len() - before <= 3, "more than the budget");
        (seen.payloads.len() >= count).then_some(())
    });
    assert_eq!(usize::try_from(seen.ended), Ok(seen.payloads.len()));
    seen.payloads
}

/// Polls `source` until that many publishers are there.
#[track_caller]
fn wait_for_publishers(client: &mut Client, source: &mut Source, count: u64) {
    drive("publishers", &mut [client], || {
        source.poll(3, &mut Seen::default()).expect("the stream is open");
        (source.publisher_count() == count).then_some(())
    });
}

fn messages() -> Vec<Vec<u8>> {
    (0..200_u8).map(|number| vec![number; 1 + usize::from(number) * 5]).collect()
}

fn chained(channel: &str) {
    let directory = Directory::new();
    let mut client = Client::start(&directory.calm()).expect("started");
    let subscription = client.add_subscription(channel, STREAM).expect("subscribed");
    let mut source = AeronSource::new(subscription, CHANNEL, 0);
    assert_eq!(source.poll(3, &mut Seen::default()).expect("open"), Polled::Idle);
    for start in 1..=2 {
        let mut publication = client.add_publication(channel, STREAM).expect("published");
        wait_for_publishers(&mut client, &mut source, 1);
        assert_eq!(source.arrival_count(), start);
        let mut received = Vec::new();
        for burst in messages().chunks(8) {
            for message in burst {
                send(&mut [&mut client], &mut publication, message);
            }
            received.extend(receive(&mut client, &mut source, burst.len()));
        }
        assert_eq!(received, messages());
        // The next round is the same gateway after a restart.
        drop(publication);
        wait_for_publishers(&mut client, &mut source, 0);
    }
    assert_eq!((source.drops(), source.errors()), (0, 0));
    client.service(now()).expect("up");
}

#[test]
fn on_the_same_machine() {
    chained("aeron:ipc");
}

#[test]
fn over_a_network() {
    chained(&format!("aeron:udp?endpoint=127.0.0.1:{}", free_port()));
}
