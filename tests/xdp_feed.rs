//! The feed's source over AF_XDP: what comes by its rings and what by the kernel's sockets is the same stream, whatever happens between.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/random.rs"]
mod random;
#[path = "support/transport.rs"]
mod support;
#[path = "support/xdp.rs"]
mod xdp;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lab::{Lab, Namespace};
use postern::net::xdp::kernel::{Watcher, WatcherConfig};
use postern::net::xdp::{
    Mode, Port, PortConfig, SocketConfig, UnboundSocket, WantedMode, XdpSource,
};
use postern::net::{
    Datagram, DatagramHandler, KernelUdpSink, KernelUdpSource, PacketSource, Polled, Timestamps,
    UdpSinkConfig, UdpSourceConfig,
};
use postern::runtime::capabilities;
use postern::runtime::{
    GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};
use postern::types::Nanos;
use random::Random;
use support::{Process, now, role, say, wait_for};
use xdp::{
    CHANNEL, Feed, MODES, Seen, as_joined, config_of, group, has_program, joined, send, sink,
};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

/// A number as a datagram.
fn numbered(number: u64) -> Vec<u8> {
    let mut payload = vec![0x5A; 100];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload
}

fn number_in(payload: &[u8]) -> u64 {
    u64::from_be_bytes(*payload.first_chunk().expect("eight bytes"))
}

/// Polls until so many datagrams have come.
#[track_caller]
fn poll_until<S: PacketSource>(source: &mut S, seen: &mut Seen, count: usize) {
    wait_for("the datagrams", || {
        source.poll(32, seen).expect("polls");
        (seen.count() >= count).then_some(())
    });
    assert_eq!(seen.count(), count, "none comes twice");
}

#[test]
fn groups_and_lines_come_by_one_ring_in_their_order() {
    let Some(lab) = Lab::new("feed") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let mut feed = Feed::open(&b, mode, false, &[group(1), group(2)]);
        let expected = if mode == WantedMode::Native { Mode::Native } else { Mode::Generic };
        assert_eq!(feed.source.mode(), Some(expected));
        for to in [group(1), group(2)] {
            assert!(joined(&b).contains(&as_joined(to)), "{to}");
        }
        assert!(has_program(&b, b.interface()));
        let (mut seen, mut sinks) = (Seen::default(), [1, 2].map(|line| sink(&a, group(line))));
        for number in 0..6_000 {
            for sink in &mut sinks {
                send(sink, &numbered(number));
            }
            if number % 100 == 99 {
                let sent = 2 * usize::try_from(number + 1).expect("few");
                poll_until(&mut feed.source, &mut seen, sent);
            }
        }
        for line in &seen.lines {
            assert!((0..6_000).eq(line.iter().map(|payload| number_in(payload))));
        }
        let counts = feed.source.bypass();
        assert_eq!((counts.datagrams, counts.by_kernel, counts.binds), (12_000, 0, 1));
        assert_eq!((seen.bursts, feed.source.frames().total()), (12_000, 12_000));
        feed.assert_whole();
        drop(feed);
        for to in [group(1), group(2)] {
            assert!(!joined(&b).contains(&as_joined(to)), "{to}");
        }
        assert!(!has_program(&b, b.interface()));
    }
}

#[test]
fn a_ring_and_the_kernels_sockets_bring_the_same() {
    let Some(lab) = Lab::new("same") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let mut random = Random::new(0x0FEE_D000);
    // Line B lacks some of what line A has, and the other way round.
    let sent: Vec<(usize, Vec<u8>)> = (0..4_000)
        .map(|_| {
            let line = usize::from(random.below(2) == 1);
            let length = usize::try_from(random.below(1_473)).expect("a datagram");
            (line, (0..length).map(|_| random.byte()).collect())
        })
        .collect();
    let mut all: Vec<[Vec<Vec<u8>>; 2]> = Vec::new();
    let mut run = |source: &mut dyn FnMut(&mut Seen)| {
        let (mut seen, mut sinks) = (Seen::default(), [1, 2].map(|line| sink(&a, group(line))));
        for (count, (line, payload)) in (1..).zip(&sent) {
            send(&mut sinks[*line], payload);
            if count % 50 == 0 {
                wait_for("what was sent", || {
                    source(&mut seen);
                    (seen.count() >= count).then_some(())
                });
            }
        }
        all.push(seen.lines);
    };
    let mut kernel = b.enter(|| {
        let mut source = KernelUdpSource::new(config_of(&b));
        for line in [0, 1] {
            source.subscribe(group(line + 1), CHANNEL, line).expect("joins");
        }
        source
    });
    run(&mut |seen| {
        kernel.poll(32, seen).expect("polls");
    });
    drop(kernel);
    for mode in MODES {
        let mut feed = Feed::open(&b, mode, true, &[group(1), group(2)]);
        run(&mut |seen| {
            feed.source.poll(32, seen).expect("polls");
        });
        assert_eq!(feed.source.bypass().datagrams, 4_000, "all by the ring");
        feed.assert_whole();
    }
    let expected: [Vec<Vec<u8>>; 2] = [0, 1].map(|line| {
        sent.iter().filter(|(of, _)| *of == line).map(|(_, payload)| payload.clone()).collect()
    });
    for lines in all {
        assert!(lines == expected);
    }
}

/// Sends numbered datagrams by both lines, no more at a time than sockets have room for, until `is_over`; how many.
fn send_numbered(from: &Namespace, received: &AtomicU64, is_over: &AtomicBool) -> u64 {
    const AT_ONCE: u64 = 100;
    let mut sinks = [1, 2].map(|line| sink(from, group(line)));
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        if number >= received.load(Ordering::Relaxed) / 2 + AT_ONCE {
            std::thread::yield_now();
            continue;
        }
        for sink in &mut sinks {
            send(sink, &numbered(number));
        }
        number += 1;
    }
    number
}

/// Ends the sender whatever happens.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls with traffic on both lines until `step`, which is told how much has come, says that it is enough; then sees to it that all that
/// was sent has come, once and in order.
#[track_caller]
fn under_traffic(
    from: &Namespace,
    feed: &mut Feed,
    mut step: impl FnMut(&mut XdpSource, u64) -> bool,
) {
    let (received, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_numbered(from, &received, &is_over));
        let over = Over(&is_over);
        wait_for("the end", || {
            // A queue that the kernel is slow to give free is asked for again after a while.
            feed.source.advance(now());
            feed.source.poll(32, &mut seen).expect("polls");
            let count = u64::try_from(seen.count()).expect("few");
            received.store(count, Ordering::Relaxed);
            step(&mut feed.source, count).then_some(())
        });
        drop(over);
        let sent = sender.join().expect("it sends");
        poll_until(&mut feed.source, &mut seen, usize::try_from(sent * 2).expect("few"));
    });
    for line in &seen.lines {
        for (expected, payload) in (0..).zip(line) {
            assert_eq!(number_in(payload), expected, "none is missing, doubled or out of order");
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_a_queue_is_bound_again() {
    const ROUNDS: u64 = 5;
    let Some(lab) = Lab::new("again") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let mut feed = Feed::open(&b, mode, false, &[group(1), group(2)]);
        let (mut begun, mut next) = (0, 500);
        under_traffic(&a, &mut feed, |source, count| {
            if begun < ROUNDS && source.is_live() && count >= next {
                source.bind_again();
                source.bind_again();
                (begun, next) = (begun + 1, count + 500);
            }
            begun == ROUNDS && source.is_live() && count >= next
        });
        let counts = feed.source.bypass();
        assert_eq!((counts.binds, counts.lost), (1 + ROUNDS, 0), "{counts:?}");
        assert!(counts.by_kernel > 0 && counts.datagrams > 500, "{counts:?}");
        feed.assert_whole();
    }
}

#[test]
fn a_queue_is_bound_again_by_who_gave_up_the_privilege_to_open_one() {
    let Some(lab) = Lab::new("dropped") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let socket = xdp::small(xdp::number_of(&b, b.interface()));
    let mut feed = b.enter(|| {
        let config = PortConfig { socket, mode: WantedMode::Generic, stamps: false };
        let port = xdp::open_patiently(&config);
        // Of this thread, and of those it starts: what follows needs none of them.
        capabilities::drop_all().expect("they are ours to give up");
        let error = UnboundSocket::new().expect_err("CAP_NET_RAW is gone");
        assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
        let watcher = Arc::new(Watcher::start(&WatcherConfig::default()).expect("a thread"));
        let source = XdpSource::new(vec![port], Arc::clone(&watcher));
        let mut source = source.expect("a thread");
        source.subscribe_with(config_of(&b), group(1), CHANNEL, 0).expect("joins");
        Feed { source, watcher }
    });
    for round in 1..=3 {
        exchange(&a, &mut feed, 20);
        assert_eq!(feed.source.bypass().datagrams, 20 * round, "by the ring");
        feed.source.bind_again();
        let mut seen = Seen::default();
        wait_for("the queue", || {
            feed.source.advance(now());
            feed.source.poll(32, &mut seen).expect("polls");
            feed.source.is_live().then_some(())
        });
        assert_eq!((feed.source.bypass().binds, seen.count()), (1 + round, 0));
    }
    feed.assert_whole();
}

/// Takes the host's interface down and up, and waits until the source can know.
fn flap(a: &Namespace, b: &Namespace, feed: &Feed) {
    let link = feed.watcher.link(xdp::number_of(b, b.interface()));
    let before = link.generation();
    b.link_down(b.interface());
    wait_for("the watcher to see it go", || (!link.is_up()).then_some(()));
    b.link_up(b.interface());
    wait_for("the watcher to see it come", || {
        (link.is_up() && a.is_up(a.interface())).then_some(())
    });
    assert!(link.generation() >= before + 2);
}

/// Sends `count` to line A, and polls until they have come.
#[track_caller]
fn exchange(from: &Namespace, feed: &mut Feed, count: usize) {
    let (mut seen, mut line_a) = (Seen::default(), sink(from, group(1)));
    for number in 0..count {
        send(&mut line_a, &numbered(u64::try_from(number).expect("few")));
        poll_until(&mut feed.source, &mut seen, number + 1);
    }
}

#[test]
fn an_interface_that_goes_down_and_comes_up_brings_the_same_by_the_same_ring() {
    let Some(lab) = Lab::new("flap") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for mode in MODES {
        let mut feed = Feed::open(&b, mode, false, &[group(1)]);
        exchange(&a, &mut feed, 10);
        flap(&a, &b, &feed);
        exchange(&a, &mut feed, 200);
        let counts = feed.source.bypass();
        assert_eq!((counts.datagrams, counts.by_kernel, counts.binds), (210, 0, 1), "{mode:?}");
        feed.assert_whole();
    }
}

#[test]
fn a_driver_that_forgot_the_queue_is_noticed_and_the_kernels_sockets_have_all_until_then() {
    let Some(lab) = Lab::new("forgot") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let mut feed = Feed::open(&b, WantedMode::Auto, false, &[group(1)]);
    exchange(&a, &mut feed, 10);
    // As if by a driver that does not take its queues up again.
    feed.source.ports().for_each(|port: &mut Port| port.silence().expect("it has a ring"));
    exchange(&a, &mut feed, 200);
    assert_eq!(feed.source.bypass().by_kernel, 200, "that alone is no reason to doubt the driver");
    flap(&a, &b, &feed);
    exchange(&a, &mut feed, 100);
    let mut seen = Seen::default();
    wait_for("the queue", || {
        feed.source.advance(now());
        feed.source.poll(32, &mut seen).expect("polls");
        (feed.source.is_live() && feed.source.bypass().binds == 2).then_some(())
    });
    let before = feed.source.bypass();
    exchange(&a, &mut feed, 200);
    let after = feed.source.bypass();
    assert_eq!((after.by_kernel, seen.count()), (before.by_kernel, 0), "by the ring again");
    assert_eq!((after.binds, after.lost), (2, 0));
    feed.assert_whole();
}

#[test]
fn an_interface_that_is_removed_is_survived() {
    let Some(lab) = Lab::of("gone", &["a=b", "a=b"]) else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let mut feed = Feed::open(&b, WantedMode::Auto, false, &[group(1)]);
    exchange(&a, &mut feed, 10);
    let link = feed.watcher.link(xdp::number_of(&b, b.interface()));
    b.ip(&["link", "del", b.interface()]);
    wait_for("the watcher to see it go", || (!link.is_up()).then_some(()));
    let mut seen = Seen::default();
    for _ in 0..1_000 {
        assert_eq!(feed.source.poll(32, &mut seen).expect("polls"), Polled::Idle);
    }
    feed.source.bind_again();
    wait_for("the refusal", || {
        feed.source.poll(32, &mut seen).expect("polls");
        (feed.source.bind_failures() > 0).then_some(())
    });
    assert!(!feed.source.is_live());
}

#[test]
fn a_burst_is_handed_on_without_an_allocation() {
    let Some(lab) = Lab::new("alloc") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    /// Keeps nothing.
    #[derive(Default)]
    struct Tally(u64);
    impl DatagramHandler for Tally {
        fn on_datagram(&mut self, datagram: Datagram<'_>) {
            self.0 += u64::from(datagram.payload[99] == 0x5A);
        }
    }
    for stamps in [false, true] {
        let mut feed = Feed::open(&b, WantedMode::Auto, stamps, &[group(1), group(2)]);
        let (mut tally, mut sinks) = (Tally::default(), [1, 2].map(|line| sink(&a, group(line))));
        for number in 0..2_000 {
            for sink in &mut sinks {
                send(sink, &numbered(number));
            }
            on_hot_allocation(OnHotAllocation::Abort);
            wait_for("the datagrams", || {
                let _hot = HotZone::enter("feed");
                feed.source.advance(Nanos(number * 1_000_000));
                feed.source.poll(32, &mut tally).expect("polls");
                (tally.0 == 2 * (number + 1)).then_some(())
            });
        }
        assert_eq!((hot_allocation_count(), feed.source.bypass().by_kernel), (0, 0));
        feed.assert_whole();
    }
}

#[test]
fn stamps_are_the_programs_and_are_never_another_packets() {
    let Some(lab) = Lab::new("stamps") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    for (mode, stamps) in [(MODES[0], true), (MODES[1], true), (MODES[0], false)] {
        let mut feed = Feed::open(&b, mode, stamps, &[group(1)]);
        let (mut seen, mut line_a) = (Seen::default(), sink(&a, group(1)));
        for number in 0..200 {
            send(&mut line_a, &numbered(number));
        }
        poll_until(&mut feed.source, &mut seen, 200);
        assert_eq!(seen.stamped, if stamps { 200 } else { 0 }, "{mode:?}");
    }
}

/// A second cable with two queues at its end on `b`; their numbers there. Each flow has one of them, by its ports.
fn cable_of_two_queues(a: &Namespace, b: &Namespace) -> (Ipv4Addr, Ipv4Addr) {
    let two = ["numtxqueues", "2", "numrxqueues", "2"];
    let mut add = vec!["link", "add", "wide"];
    add.extend(two);
    add.extend(["type", "veth", "peer", "name", "wide"]);
    add.extend(two);
    add.extend(["netns", b.name()]);
    a.ip(&add);
    for (host, address) in [(a, "10.78.1.1/24"), (b, "10.78.1.2/24")] {
        host.ip(&["address", "add", address, "dev", "wide"]);
        host.link_up("wide");
    }
    wait_for("the cable", || (a.is_up("wide") && b.is_up("wide")).then_some(()));
    (Ipv4Addr::new(10, 78, 1, 1), Ipv4Addr::new(10, 78, 1, 2))
}

#[test]
fn what_comes_by_another_queue_is_the_kernels_and_two_queues_are_one_source() {
    const FLOWS: usize = 16;
    let Some(lab) = Lab::new("queues") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let (from, to) = cable_of_two_queues(&a, &b);
    let socket = xdp::small(xdp::number_of(&b, "wide"));
    let mut by_second = 0;
    for queues in [1, 2] {
        let mut source = b.enter(|| {
            // In generic mode a veth takes all for its first queue.
            let config = PortConfig { socket, mode: WantedMode::Native, stamps: true };
            let first = xdp::open_patiently(&config);
            let second = (queues == 2).then(|| {
                let second = SocketConfig { queue: 1, ..socket };
                first.beside_with(second).expect("there are two")
            });
            let watcher = Arc::new(Watcher::start(&WatcherConfig::default()).expect("a thread"));
            let ports = std::iter::once(first).chain(second).collect();
            let mut source = XdpSource::new(ports, watcher).expect("a thread");
            let config = UdpSourceConfig { interface: to, ..config_of(&b) };
            source.subscribe_with(config, group(1), CHANNEL, 0).expect("joins");
            source
        });
        let config =
            UdpSinkConfig { destination: group(1), interface: from, ttl: 1, loopback: false };
        let sink = |_| a.enter(|| KernelUdpSink::new(config)).expect("a sink");
        let mut sinks: Vec<KernelUdpSink> = (0..FLOWS).map(sink).collect();
        let mut seen = Seen::default();
        for number in 0..50 {
            for sink in &mut sinks {
                send(sink, &numbered(number));
            }
            let sent = seen.count() + FLOWS;
            poll_until(&mut source, &mut seen, sent);
        }
        let counts = source.bypass();
        assert_eq!(counts.datagrams + counts.by_kernel, 50 * 16);
        assert_eq!(seen.stamped, counts.datagrams, "the program is one, and stamps for all rings");
        if queues == 1 {
            by_second = counts.by_kernel;
            assert!(by_second > 0 && counts.datagrams > 0, "both queues had some: {counts:?}");
        } else {
            assert_eq!(
                (counts.by_kernel, counts.binds),
                (0, 2),
                "of which the kernel had {by_second}"
            );
        }
        source.bind_again();
        wait_for("both", || {
            source.advance(now());
            source.poll(32, &mut seen).expect("polls");
            source.is_live().then_some(())
        });
        for port in source.ports() {
            xdp::assert_whole(port.socket().expect("bound"), 128);
        }
    }
}

#[test]
fn damaged_frames_are_counted_and_no_frame_of_ours_is_lost() {
    const FRAMES: u64 = 5_000;
    let Some(lab) = Lab::new("damaged") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let mut feed = Feed::open(&b, WantedMode::Auto, false, &[group(1)]);
    let mut from = xdp::port(&a, WantedMode::Generic);
    let mut random = Random::new(0xDA_3A6E);
    let (mut seen, mut whole) = (Seen::default(), 0);
    for number in 0..=FRAMES {
        let mut frame = xdp::frame(&a, group(1), &numbered(number));
        // Whatever the program does not look at: lengths, checksums, where it came from, and the datagram.
        let places =
            (14..frame.len()).filter(|at| !matches!(at, 14 | 20 | 21 | 23 | 30..34 | 36 | 37));
        let places: Vec<usize> = places.collect();
        let is_whole = number == FRAMES || random.one_in(3);
        whole += usize::from(is_whole);
        for _ in 0..if is_whole { 0 } else { 1 + random.index(3) } {
            let (place, bit) = (places[random.index(places.len())], random.index(8));
            frame[place] ^= 1 << bit;
        }
        wait_for("room", || {
            let socket = from.socket().expect("bound");
            let is_queued = socket.send_with(|room| {
                room[..frame.len()].copy_from_slice(&frame);
                frame.len()
            });
            socket.flush().expect("the interface is up");
            is_queued.then_some(())
        });
        feed.source.poll(32, &mut seen).expect("polls");
    }
    wait_for("the last", || {
        feed.source.poll(32, &mut seen).expect("polls");
        (feed.source.frames().total() == FRAMES + 1).then_some(())
    });
    let counts = feed.source.frames();
    // One bit in three may be turned twice, and back.
    let handed = usize::try_from(counts.handed).expect("few");
    assert!(handed == seen.count() && handed >= whole && handed < whole + 100, "{counts:?}");
    assert!(counts.bad_checksum > 500 && counts.bad_length > 10 && counts.cut > 10, "{counts:?}");
    assert_eq!((counts.not_udp, counts.fragment, counts.unsubscribed), (0, 0, 0));
    assert_eq!(feed.source.bypass().by_kernel, 0);
    feed.assert_whole();
}

/// Receives in a process of its own, whose system calls another counts.
#[test]
fn child() {
    let Some(arguments) = role() else { return };
    assert_eq!(arguments[0], "receive");
    let interfaces = postern::net::xdp::kernel::interfaces().expect("the kernel tells");
    let own = interfaces.iter().find(|interface| interface.kind.as_deref() == Some("veth"));
    let own = own.expect("the lab made it");
    let socket = SocketConfig::new(own.index, 0);
    let port = Port::open(&PortConfig { socket, mode: WantedMode::Generic, stamps: true });
    let watcher = Watcher::start(&WatcherConfig::default()).expect("a thread");
    let config = UdpSourceConfig {
        interface: own.addresses[0].0,
        receive_buffer_bytes: 1 << 20,
        timestamps: Timestamps::None,
    };
    let mut source = XdpSource::new(vec![port.expect("generic mode")], Arc::new(watcher));
    let source = source.as_mut().expect("descriptors and a thread");
    for line in [0, 1] {
        source.subscribe_with(config, group(line + 1), CHANNEL, line).expect("joins");
    }
    let mut seen = Seen { lines: [1, 2].map(|_| Vec::with_capacity(1 << 16)), ..Seen::default() };
    assert_eq!(source.poll(32, &mut seen).expect("polls"), Polled::Idle);
    say("ready");
    let mut polls = 0_u64;
    while seen.count() < 4_000 {
        source.poll(32, &mut seen).expect("polls");
        polls += 1;
    }
    say(&format!("done {}", source.bypass().by_kernel));
    assert!(polls > 0);
}

#[test]
fn no_system_call_is_made_for_a_packet() {
    let Some(lab) = Lab::new("calls") else { return };
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        xdp::skip("there is no strace");
        return;
    }
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut command = b.command("strace");
    command.args(["-f", "-e", "trace=network,read,write,ppoll,poll,epoll_wait"]);
    command.arg("-o").arg(log.path());
    command.arg(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    let mut child = Process::spawn(command, "receive", &[]);
    child.wait_ready();
    let mut sinks = [1, 2].map(|line| sink(&a, group(line)));
    for number in 0..2_000 {
        for sink in &mut sinks {
            send(sink, &numbered(number));
        }
    }
    assert_eq!(child.next_said(), "done 0", "none came by the kernel's sockets");
    drop(child);
    let log = std::fs::read_to_string(log.path()).expect("written");
    let ready = log.lines().find(|line| line.contains("SAID ready")).expect("it said so");
    let thread = ready.split_whitespace().next().expect("its number");
    let calls: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with(thread))
        .skip_while(|line| !line.contains("SAID ready"))
        .take_while(|line| !line.contains("SAID done"))
        .skip(1)
        // What the harness's way of saying "done" begins with.
        .filter(|line| !line.contains(r#"write(1, "\n", 1)"#))
        .collect();
    assert!(log.contains("SAID done"), "{log}");
    let none: Vec<&str> = Vec::new();
    assert_eq!(calls, none, "between ready and done the thread called nobody");
}
