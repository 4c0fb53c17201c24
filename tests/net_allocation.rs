//! Bursts from every kind of source are handed on without a call to the allocator, which aborts on one.

#[path = "support/transport.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;

use postern::net::capture::Capture;
use postern::net::xdp::frame::{self, read_udp, write_udp};
use postern::net::xdp::kernel::{Watcher, WatcherConfig};
use postern::net::{
    AeronSource, AnySource, CaptureSource, Datagram, DatagramHandler, KernelUdpSink,
    KernelUdpSource, Pace, PacketSink, PacketSource, Polled, RxClock, SourceSet, Timestamps,
    UdpSinkConfig, UdpSourceConfig,
};
use postern::runtime::{
    GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};
use postern::transport::Outbound;
use postern::transport::memory::stream;
use postern::types::ChannelId;
use support::{free_port, wait_for};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What came, by line; nothing is kept.
#[derive(Debug, Default)]
struct Tally {
    datagrams: [u64; 2],
    bytes: u64,
    stamped: u64,
    ended: u64,
}

impl DatagramHandler for Tally {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        self.datagrams[usize::from(datagram.line)] += 1;
        self.bytes += datagram.payload.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        self.stamped += u64::from(datagram.stamp.clock != RxClock::None);
    }

    fn on_burst_end(&mut self, count: u32) {
        self.ended += u64::from(count);
    }
}

impl Tally {
    fn count(&self) -> u64 {
        self.datagrams.iter().sum()
    }
}

/// Polls with an allocator that aborts, for at most `budget` datagrams.
fn hot_poll<S: PacketSource>(source: &mut S, budget: u32, tally: &mut Tally) -> Polled {
    on_hot_allocation(OnHotAllocation::Abort);
    let before = tally.count();
    let polled = {
        let _hot = HotZone::enter("feed");
        source.poll(budget, tally).expect("polls")
    };
    let taken = tally.count() - before;
    assert!(taken <= u64::from(budget), "{taken} datagrams with a budget of {budget}");
    assert_eq!(polled == Polled::Idle || polled == Polled::End, taken == 0);
    assert_eq!(hot_allocation_count(), 0);
    polled
}

fn sockets(timestamps: Timestamps) -> (KernelUdpSource, [KernelUdpSink; 2]) {
    let groups =
        [1, 2].map(|last| SocketAddrV4::new(Ipv4Addr::new(239, 192, 78, last), free_port()));
    let config = UdpSourceConfig { interface: LOOPBACK, receive_buffer_bytes: 200_000, timestamps };
    let mut source = KernelUdpSource::new(config);
    for (line, group) in (0..).zip(groups) {
        source.subscribe(group, ChannelId(1), line).expect("joins");
    }
    let sinks = groups.map(|destination| {
        let config = UdpSinkConfig { destination, interface: LOOPBACK, ttl: 0, loopback: true };
        KernelUdpSink::new(config).expect("a sink")
    });
    (source, sinks)
}

/// Sends bursts over both lines and takes them all, `rounds` times.
fn run<S: PacketSource>(source: &mut S, sinks: &mut [KernelUdpSink; 2], rounds: u64) -> Tally {
    let mut tally = Tally::default();
    for round in 0..rounds {
        for sink in sinks.iter_mut() {
            for size in 0..30 {
                assert!(sink.send_with(|bytes| {
                    bytes[..size * 40].fill(1);
                    size * 40
                }));
            }
            sink.flush().expect("sends");
        }
        let due = (round + 1) * 60;
        wait_for("datagrams of the round", || {
            hot_poll(source, 7, &mut tally);
            (tally.count() == due).then_some(())
        });
    }
    assert_eq!(tally.datagrams, [rounds * 30; 2]);
    assert_eq!(tally.bytes, rounds * 2 * (0..30).map(|size| size * 40).sum::<u64>());
    assert_eq!(tally.ended, tally.count());
    assert_eq!((source.drops(), source.errors()), (0, 0));
    tally
}

#[test]
fn kernel_sockets_with_and_without_stamps() {
    for timestamps in [Timestamps::None, Timestamps::Software, Timestamps::Hardware] {
        let (mut source, mut sinks) = sockets(timestamps);
        let mut tally = run(&mut source, &mut sinks, 100);
        if timestamps == Timestamps::None {
            assert_eq!(tally.stamped, 0);
        } else {
            // The kernel begins to stamp a little after it was told to.
            wait_for("a stamp", || {
                assert!(sinks[0].send_with(|_| 1));
                sinks[0].flush().expect("sends");
                let before = tally.count();
                while tally.count() == before {
                    hot_poll(&mut source, 7, &mut tally);
                }
                (tally.stamped > 0).then_some(())
            });
        }
        assert_eq!(hot_poll(&mut source, 7, &mut Tally::default()), Polled::Idle);
        assert_eq!(source.cut_count(), 0);
    }
}

#[test]
fn a_set_of_sources_of_every_kind() {
    let (socket, mut sinks) = sockets(Timestamps::Software);
    let mut set = SourceSet::new(vec![AnySource::Kernel(socket)]);
    run(&mut set, &mut sinks, 50);
}

#[test]
fn captures_of_many_datagrams() {
    const COUNT: u64 = 20_000;
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 192, 78, 3), 1);
    let other = SocketAddrV4::new(Ipv4Addr::new(239, 192, 78, 3), 2);
    let mut capture = Capture::empty(Path::new("made"));
    for number in 0..COUNT {
        let to = if number % 10 == 9 { other } else { group };
        assert!(capture.push(to, number, &[1], &[1; 20]));
    }
    let mut source = CaptureSource::new(capture, Pace::Unpaced);
    source.subscribe(group, ChannelId(1), 0).expect("subscribes");
    let mut tally = Tally::default();
    let mut budgets = (1..=50).cycle();
    while hot_poll(&mut source, budgets.next().expect("for ever"), &mut tally) != Polled::End {}
    assert_eq!(tally.datagrams, [COUNT * 9 / 10, 0]);
    assert_eq!((tally.bytes, tally.stamped), (COUNT * 9 / 10 * 21, COUNT * 9 / 10));
    assert_eq!(source.unrouted_count(), COUNT / 10);
}

#[test]
fn a_stream_of_messages() {
    let (mut publication, subscription) = stream(64, 256);
    let mut source = AeronSource::new(subscription, ChannelId(1), 1);
    let mut tally = Tally::default();
    for _ in 0..200 {
        for length in 0..50 {
            publication.offer(length, |bytes| bytes.fill(1)).expect("room");
        }
        while hot_poll(&mut source, 7, &mut tally) != Polled::Idle {}
    }
    assert_eq!(tally.datagrams, [0, 10_000]);
    drop(publication);
    assert_eq!(hot_poll(&mut source, 7, &mut tally), Polled::Idle);
}

#[test]
fn what_a_sender_past_the_kernel_asks_and_writes_allocates_nothing() {
    let config = WatcherConfig::default();
    let watcher = Watcher::start(&config).expect("it starts");
    let receiver = UdpSocket::bind((LOOPBACK, 0)).expect("a port");
    receiver.set_nonblocking(true).expect("ours");
    let sender = UdpSocket::bind((LOOPBACK, 0)).expect("a port");
    let to = receiver.local_addr().expect("bound");
    let flag = watcher.watch_socket(receiver.as_fd()).expect("watched");
    let path = frame::Path {
        source_mac: [2; 6],
        destination_mac: [4; 6],
        source: SocketAddrV4::new(LOOPBACK, 1),
        destination: SocketAddrV4::new(LOOPBACK, 2),
        ttl: 1,
        tos: 0,
    };
    let mut frame = [0; 512];
    on_hot_allocation(OnHotAllocation::Abort);
    for round in 0..3_000_u32 {
        sender.send_to(b"datagram", to).expect("loopback");
        wait_for("datagram", || flag.is_ready().then_some(()));
        let _hot = HotZone::enter("driver");
        // More than the table holds, none of them held: each finds the room of another.
        let [.., high, low] = round.to_be_bytes();
        let destination = watcher.destination(Ipv4Addr::new(127, 8, high, low), LOOPBACK, None);
        assert!(destination.is_none_or(|destination| destination.resolved().is_none()));
        let bytes = write_udp(&mut frame, &path, b"payload");
        assert!(read_udp(&frame[..bytes]).is_ok());
        while receiver.recv(&mut [0; 64]).is_ok() {}
        flag.rearm();
    }
    assert_eq!(hot_allocation_count(), 0);
}
