//! Loopback multicast. The port is the kernel's choice, so tests that run at once do not hear each other.

use std::net::UdpSocket;

use super::*;
use crate::net::source::RxClock;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A group with a port that is free now.
fn group(last: u8) -> SocketAddrV4 {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let port = probe.local_addr().expect("bound").port();
    SocketAddrV4::new(Ipv4Addr::new(239, 192, 77, last), port)
}

fn source(timestamps: bool) -> KernelUdpSource {
    KernelUdpSource::new(UdpSourceConfig {
        interface: LOOPBACK,
        receive_buffer_bytes: 64 << 10,
        timestamps,
    })
}

fn sink(destination: SocketAddrV4) -> KernelUdpSink {
    let config = UdpSinkConfig { destination, interface: LOOPBACK, ttl: 0, loopback: true };
    KernelUdpSink::new(config).expect("a sink")
}

fn send(sink: &mut KernelUdpSink, payload: &[u8]) {
    assert!(sink.send_with(|buffer| {
        buffer[..payload.len()].copy_from_slice(payload);
        payload.len()
    }));
}

#[derive(Default)]
struct Seen {
    datagrams: Vec<(ChannelId, u8, Vec<u8>)>,
    stamps: Vec<RxClock>,
    bursts: u32,
}

impl DatagramHandler for Seen {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        self.datagrams.push((datagram.channel, datagram.line, datagram.payload.to_vec()));
        self.stamps.push(datagram.stamp.clock);
    }

    fn on_burst_end(&mut self, count: u32) {
        self.bursts += count;
    }
}

/// Polls until `count` datagrams are there. On loopback they are delivered before the send returns, so a few rounds over
/// all sockets are enough; the bound only keeps a broken test from running for ever.
fn receive(source: &mut KernelUdpSource, count: usize) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..10_000 {
        if seen.datagrams.len() >= count {
            break;
        }
        source.poll(8, &mut seen).expect("polls");
    }
    seen
}

#[test]
fn datagrams_arrive_whole_in_order_and_with_their_line() {
    let (a, b) = (group(1), group(2));
    let mut source = source(false);
    source.subscribe(a, ChannelId(7), 0).expect("joins A");
    source.subscribe(b, ChannelId(7), 1).expect("joins B");
    let (mut sink_a, mut sink_b) = (sink(a), sink(b));
    for number in 0..20_u8 {
        send(&mut sink_a, &vec![number; usize::from(number)]);
    }
    send(&mut sink_b, b"other line");
    sink_a.flush().expect("sends");
    sink_b.flush().expect("sends");
    let seen = receive(&mut source, 21);
    let of = |line: u8| -> Vec<Vec<u8>> {
        seen.datagrams.iter().filter(|d| d.1 == line).map(|d| d.2.clone()).collect()
    };
    let expected: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; usize::from(n)]).collect();
    assert_eq!(of(0), expected);
    assert_eq!(of(1), [b"other line".to_vec()]);
    assert!(seen.datagrams.iter().all(|d| d.0 == ChannelId(7)));
    assert_eq!(seen.bursts, 21);
    assert_eq!(source.drops(), 0);
}

#[test]
fn nothing_there_is_idle_and_groups_do_not_hear_each_other() {
    let (here, there) = (group(3), group(4));
    let there = SocketAddrV4::new(*there.ip(), here.port());
    let mut source = source(false);
    assert_eq!(source.poll(8, &mut Seen::default()).expect("polls"), Polled::Idle);
    source.subscribe(here, ChannelId(1), 0).expect("joins");
    let mut other = sink(there);
    send(&mut other, b"not for here");
    other.flush().expect("sends");
    assert_eq!(source.poll(8, &mut Seen::default()).expect("polls"), Polled::Idle);
}

#[test]
fn stamps_are_the_kernels_when_asked_for() {
    let here = group(5);
    for (timestamps, clock) in [(true, RxClock::SoftRealtime), (false, RxClock::None)] {
        let mut source = source(timestamps);
        source.subscribe(here, ChannelId(1), 0).expect("joins");
        let mut sink = sink(here);
        send(&mut sink, b"stamped");
        sink.flush().expect("sends");
        assert_eq!(receive(&mut source, 1).stamps, [clock]);
    }
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let here = group(6);
    let mut source = source(false);
    source.subscribe(here, ChannelId(1), 0).expect("joins");
    let mut sink = sink(here);
    // Far more than the receive buffer holds, unread.
    for _ in 0..200 {
        send(&mut sink, &[1; 1_400]);
        sink.flush().expect("sends");
    }
    let first = receive(&mut source, 200).datagrams.len();
    assert!(first < 200, "{first} fit a buffer of 64 KiB");
    // The kernel tells of drops with the next datagram that arrives.
    send(&mut sink, b"after");
    sink.flush().expect("sends");
    let after = receive(&mut source, 1);
    assert_eq!(after.datagrams.len(), 1);
    assert_eq!(source.drops(), u64::try_from(200 - first).expect("small"));
}

#[test]
fn a_datagram_longer_than_a_buffer_is_left_out_and_counted() {
    let here = group(7);
    let mut source = source(false);
    source.subscribe(here, ChannelId(1), 0).expect("joins");
    let plain = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
    socket2::SockRef::from(&plain).set_multicast_if_v4(&LOOPBACK).expect("an interface");
    plain.send_to(&[0; 4_000], here).expect("sends");
    plain.send_to(b"short", here).expect("sends");
    let seen = receive(&mut source, 1);
    assert_eq!(seen.datagrams[0].2, b"short");
    assert_eq!(source.cut_count(), 1);
}

#[test]
fn a_receive_buffer_cut_by_the_kernel_is_told() {
    let mut source = KernelUdpSource::new(UdpSourceConfig {
        interface: LOOPBACK,
        receive_buffer_bytes: 1 << 30,
        timestamps: false,
    });
    assert_eq!(source.buffer_shortfall(), None);
    source.subscribe(group(8), ChannelId(1), 0).expect("joins");
    assert!(source.buffer_shortfall().is_some_and(|bytes| bytes < 1 << 30));
}

#[test]
fn a_full_sink_says_so_and_is_empty_after_a_flush() {
    let mut sink = sink(group(9));
    let built = (0..100).take_while(|_| sink.send_with(|_| 1)).count();
    assert_eq!(built, 32);
    sink.flush().expect("sends");
    assert!(sink.send_with(|_| 1));
}

#[test]
fn an_error_names_the_group() {
    let mut source = KernelUdpSource::new(UdpSourceConfig {
        interface: Ipv4Addr::new(203, 0, 113, 9), // documentation addresses: no interface has one
        receive_buffer_bytes: 1 << 16,
        timestamps: false,
    });
    let here = group(10);
    let error = source.subscribe(here, ChannelId(1), 0).expect_err("no such interface");
    assert!(error.to_string().contains(&here.to_string()), "{error}");
}
