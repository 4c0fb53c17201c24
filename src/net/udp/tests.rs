//! Loopback multicast. The port is the kernel's choice, so tests that run at once do not hear each other.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::net::source::{RxClock, RxStamp};
use crate::types::Nanos;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A group with a port that is free now.
fn group(last: u8) -> SocketAddrV4 {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let port = probe.local_addr().expect("bound").port();
    SocketAddrV4::new(Ipv4Addr::new(239, 192, 77, last), port)
}

fn source(timestamps: Timestamps) -> KernelUdpSource {
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
    stamps: Vec<RxStamp>,
    bursts: u32,
}

impl DatagramHandler for Seen {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        self.datagrams.push((datagram.channel, datagram.line, datagram.payload.to_vec()));
        self.stamps.push(datagram.stamp);
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
    let mut source = source(Timestamps::None);
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
    let mut source = source(Timestamps::None);
    assert_eq!(source.poll(8, &mut Seen::default()).expect("polls"), Polled::Idle);
    source.subscribe(here, ChannelId(1), 0).expect("joins");
    let mut other = sink(there);
    send(&mut other, b"not for here");
    other.flush().expect("sends");
    assert_eq!(source.poll(8, &mut Seen::default()).expect("polls"), Polled::Idle);
}

#[allow(clippy::disallowed_methods, reason = "what the kernel's stamps are compared with")]
fn realtime_ns() -> u64 {
    Nanos::of(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"))
}

/// Sends datagrams until one arrives stamped: the kernel switches stamps on for the whole machine, a little after it was
/// told to.
fn wait_for_stamps(source: &mut KernelUdpSource, sink: &mut KernelUdpSink) {
    let start = realtime_ns();
    loop {
        send(sink, b"first");
        sink.flush().expect("sends");
        if receive(source, 1).stamps[0].clock != RxClock::None {
            return;
        }
        let waited = Duration::from_nanos(realtime_ns().saturating_sub(start));
        assert!(waited < Duration::from_secs(60), "no stamp in {waited:?}");
        std::thread::yield_now();
    }
}

#[test]
fn stamps_are_the_kernels_when_asked_for() {
    const MINUTE_NS: u64 = 60_000_000_000;
    let here = group(5);
    let mut source = source(Timestamps::Software);
    source.subscribe(here, ChannelId(1), 0).expect("joins");
    assert_eq!(source.timestamps(), Timestamps::Software);
    let mut sink = sink(here);
    wait_for_stamps(&mut source, &mut sink);
    let before = realtime_ns();
    for round in 0..20_u8 {
        send(&mut sink, &[round]);
        if round % 4 == 3 {
            sink.flush().expect("sends");
        }
    }
    let seen = receive(&mut source, 20);
    let after = realtime_ns();
    assert!(seen.stamps.iter().all(|stamp| stamp.clock == RxClock::SoftRealtime));
    assert!(seen.stamps.is_sorted_by_key(|stamp| stamp.ns), "{:?}", seen.stamps);
    let plausible = before.saturating_sub(MINUTE_NS)..=after + MINUTE_NS;
    assert!(seen.stamps.iter().all(|stamp| plausible.contains(&stamp.ns)), "{:?}", seen.stamps);
}

#[test]
fn nothing_is_stamped_where_no_stamps_are_asked_for() {
    let here = group(11);
    // Another socket's stamps are not this one's.
    let mut stamped = source(Timestamps::Software);
    stamped.subscribe(here, ChannelId(1), 0).expect("joins");
    let mut plain = source(Timestamps::None);
    plain.subscribe(here, ChannelId(1), 0).expect("joins");
    let mut sink = sink(here);
    wait_for_stamps(&mut stamped, &mut sink);
    let stamps = receive(&mut plain, 1).stamps;
    assert!(stamps.iter().all(|&stamp| stamp == RxStamp { ns: 0, clock: RxClock::None }));
    assert_eq!((plain.timestamps(), plain.remark()), (Timestamps::None, None));
}

#[test]
fn stamps_an_interface_cannot_make_are_the_kernels_and_that_is_told() {
    let here = group(12);
    let mut source = source(Timestamps::Hardware);
    assert_eq!((source.timestamps(), source.remark()), (Timestamps::Hardware, None));
    source.subscribe(here, ChannelId(1), 0).expect("joins");
    assert_eq!(source.timestamps(), Timestamps::Software, "loopback has no hardware");
    let remark = source.remark().expect("a remark");
    assert!(remark.starts_with("timestamps as asked for cannot be had on interface 127.0.0.1 ("));
    assert!(remark.ends_with("): the kernel's are used"), "{remark}");
    let mut sink = sink(here);
    wait_for_stamps(&mut source, &mut sink);
    send(&mut sink, b"stamped");
    sink.flush().expect("sends");
    assert_eq!(receive(&mut source, 1).stamps[0].clock, RxClock::SoftRealtime);
}

#[test]
fn drops_are_counted_over_the_end_of_32_bits() {
    let mut drops = Drops::default();
    let mut expected = 0;
    for (count, more) in [
        (3, 3),
        (3, 0),
        // Behind what was seen: a datagram counted by another core.
        (2, 0),
        (1 << 31, (1_u64 << 31) - 3),
        (u32::MAX, (1 << 31) - 1),
        (0, 1),
        (u32::MAX, 0),
        (5, 5),
    ] {
        drops.note(count);
        expected += more;
        assert_eq!(drops.total, expected, "after {count}");
    }
}

#[test]
fn a_budget_is_never_exceeded() {
    let here = group(13);
    let mut source = source(Timestamps::None);
    source.subscribe(here, ChannelId(1), 0).expect("joins");
    let mut sink = sink(here);
    for number in 0..30_u8 {
        send(&mut sink, &[number]);
    }
    sink.flush().expect("sends");
    let mut seen = Seen::default();
    assert_eq!(source.poll(0, &mut seen).expect("polls"), Polled::Idle);
    for (budget, expected) in [(1, 1), (7, 8), (20, 28), (100, 30)] {
        source.poll(budget, &mut seen).expect("polls");
        assert_eq!(seen.datagrams.len(), expected, "with a budget of {budget}");
    }
    // More than a batch holds is left for the next poll.
    for round in 0..2_u8 {
        (0..32).for_each(|_| send(&mut sink, &[round]));
        sink.flush().expect("sends");
    }
    assert_eq!(source.poll(1_000, &mut seen).expect("polls"), Polled::Got(32));
    assert_eq!(source.poll(1_000, &mut seen).expect("polls"), Polled::Got(32));
    assert_eq!(seen.bursts, 94);
}

/// Something that is no socket, so that every call fails.
fn broken() -> Socket {
    Socket::from(OwnedFd::from(File::open("/dev/null").expect("it is there")))
}

impl KernelUdpSource {
    /// From now on every call on every line fails.
    pub(in crate::net) fn break_lines(&mut self) {
        for line in &mut self.lines {
            line.socket = broken();
        }
    }
}

#[test]
fn a_line_that_fails_does_not_stop_the_other() {
    let (a, b) = (group(14), group(15));
    let mut source = source(Timestamps::None);
    source.subscribe(a, ChannelId(1), 0).expect("joins A");
    source.subscribe(b, ChannelId(1), 1).expect("joins B");
    let good = std::mem::replace(&mut source.lines[0].socket, broken());
    let mut sink_b = sink(b);
    for number in 0..10_u8 {
        send(&mut sink_b, &[number]);
        sink_b.flush().expect("sends");
        let seen = receive(&mut source, 1);
        assert_eq!(seen.datagrams, [(ChannelId(1), 1, vec![number])]);
    }
    assert!(source.errors() >= 9, "{}", source.errors());
    // What is broken may become well again.
    source.lines[0].socket = good;
    let mut sink_a = sink(a);
    send(&mut sink_a, b"back");
    sink_a.flush().expect("sends");
    assert_eq!(receive(&mut source, 1).datagrams, [(ChannelId(1), 0, b"back".to_vec())]);
}

#[test]
fn an_error_of_every_line_is_told() {
    let mut source = source(Timestamps::None);
    source.subscribe(group(16), ChannelId(1), 0).expect("joins A");
    source.subscribe(group(17), ChannelId(1), 1).expect("joins B");
    source.break_lines();
    let mut seen = Seen::default();
    assert_eq!(source.poll(8, &mut seen).expect("the other may be well"), Polled::Idle);
    let error = source.poll(8, &mut seen).expect_err("no line is left");
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    assert_eq!(source.errors(), 2);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let here = group(6);
    let mut source = source(Timestamps::None);
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
    let mut source = source(Timestamps::None);
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
        timestamps: Timestamps::None,
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
        timestamps: Timestamps::None,
    });
    let here = group(10);
    let error = source.subscribe(here, ChannelId(1), 0).expect_err("no such interface");
    assert!(error.to_string().contains(&here.to_string()), "{error}");
}
