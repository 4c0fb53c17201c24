//! What risk and strategies are told while a channel recovers; and the way to real servers, over sockets.

mod recovery_support;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use postern::codec::journal::Journal;
use postern::codec::market_data::MarketData;
use postern::feed::channel::NoSink;
use postern::feed::{ChannelConfig, ChannelRecovery, FeedAgent, FeedConfig, InstrumentConfig};
use postern::net::{Datagram, DatagramHandler, PacketSource, Polled, RxClock, RxStamp};
use postern::net::{KernelRecoveryLink, RecoveryLink, StreamState};
use postern::ring::{Backing, RingConfig, ring};
use postern::runtime::{Agent, Clock};
use postern::telemetry::Registry;
use postern::transport::Inbound;
use postern::transport::memory::stream;
use postern::types::{ChannelId, FeedState, InstrumentId, Nanos, Price, UtcNanos};
use recovery_support::{
    Arrival, BOTH, Day, NONE, ORDERING, SESSION, STOCKS, Servers, World, arrivals, channel,
    settings, stock,
};

const CHANNEL: ChannelId = ChannelId(3);

/// The lines of a day: at each poll what has arrived by then.
struct Lines {
    day: Arc<Day>,
    world: Arc<World>,
    list: Vec<Arrival>,
    next: usize,
}

impl PacketSource for Lines {
    fn subscribe(&mut self, _: SocketAddrV4, _: ChannelId, _: u8) -> io::Result<()> {
        Ok(())
    }

    fn poll<H: DatagramHandler>(&mut self, _: u32, handler: &mut H) -> io::Result<Polled> {
        let Some(&Arrival { at, line, first, count }) = self.list.get(self.next) else {
            return Ok(Polled::End);
        };
        if self.world.now.load(Relaxed) < at {
            return Ok(Polled::Idle);
        }
        self.next += 1;
        self.world.next.fetch_max(first + u64::from(count), Relaxed);
        let mut room = [0; 2_048];
        let bytes = self.day.packet(first, count, u64::MAX, &mut room);
        let stamp = RxStamp { ns: 0, clock: RxClock::None };
        let payload = &room[..bytes];
        handler.on_datagram(Datagram { channel: CHANNEL, line, stamp, payload });
        Ok(Polled::Got(1))
    }

    fn drops(&self) -> u64 {
        0
    }
}

#[test]
fn risk_and_strategies_are_told_while_nothing_helps_and_when_a_snapshot_does() {
    let day = Arc::new(Day::new(11, 40_000));
    let (list, _) = arrivals(&day, NONE, 11, |first| (5_000..5_050).contains(&first));
    let servers = Servers::new(&day);
    let world = Arc::clone(&servers.world);
    world.is_rerequest_dead.store(true, Relaxed);
    world.is_snapshot_dead.store(true, Relaxed);
    let back = list[list.len() / 2].at;
    let times: Vec<u64> = list.iter().map(|arrival| arrival.at).collect();
    let source = Lines { day: Arc::clone(&day), world: Arc::clone(&world), list, next: 0 };
    let instrument = |locate: u16| InstrumentConfig {
        id: InstrumentId(u32::from(locate)),
        symbol: stock(locate),
        channel: CHANNEL,
        tick: Price::from_itch4(100),
        lot: 100,
    };
    let config = FeedConfig {
        channels: vec![ChannelConfig {
            id: CHANNEL,
            settings: settings(1 << 16).into(),
            midnight: UtcNanos(0),
        }],
        instruments: (1..=STOCKS).map(instrument).collect(),
        poll_budget: 1,
        status_interval_ns: 1_000_000_000_000,
    };
    let slots = RingConfig { name: "feed_risk", slots: 1_024, backing: Backing::Heap };
    let (producer, mut risk) = ring(&slots).expect("a ring");
    let (publication, mut strategy) = stream(4_096, 128);
    let registry = Registry::new();
    let cell = Arc::new(OnceLock::new());
    let clock = Clock::start();
    let agent = FeedAgent::new(&config, source, publication, producer, &registry, clock, cell);
    let recovery =
        ChannelRecovery { ordering: ORDERING, settings: BOTH, link: Some(Box::new(servers)) };
    let mut agent = agent.with_recovery(vec![recovery]);
    let (mut to_risk, mut to_strategies) = (Vec::new(), Vec::new());
    for now in times {
        world.now.store(now, Relaxed);
        if now >= back {
            world.is_snapshot_dead.store(false, Relaxed);
        }
        agent.poll(Nanos(now)).expect("runs");
        risk.drain(usize::MAX, |bytes| {
            if let Ok(Journal::FeedStatus(status)) = Journal::decode(bytes) {
                to_risk.push((status.feed_state, now >= back));
            }
        });
        let take = &mut |fragment: postern::transport::Fragment<'_>| {
            if let Ok(MarketData::ChannelStatus(status)) = MarketData::decode(fragment.bytes) {
                to_strategies.push((status.channel_state, now >= back));
            }
        };
        strategy.poll(usize::MAX, take).expect("a stream");
    }
    let (current, stale) = (FeedState::Current, FeedState::Stale);
    // Before the first packet nothing is known; then all is well, until the gap.
    let expected = [(current, false), (stale, false), (current, true)];
    assert_eq!(to_risk, expected);
    assert_eq!(to_strategies, expected);
    assert_eq!(agent.snapshot().digest, day.digest());
    agent.on_close(Nanos(u64::MAX));
    for (name, least) in [
        ("feed_gap_count", 1),
        ("feed_rerequest_count", 4),
        ("feed_rerequest_given_up_count", 1),
        ("feed_glimpse_failure_count", 3),
        ("feed_glimpse_count", 1),
        ("feed_line_a_first_count", 1_000),
        ("feed_line_b_late_count", 1_000),
    ] {
        assert!(registry.counter(name).get() >= least, "{name}");
    }
}

/// The address a socket was given.
fn address(of: io::Result<std::net::SocketAddr>) -> SocketAddrV4 {
    match of.expect("bound") {
        std::net::SocketAddr::V4(address) => address,
        std::net::SocketAddr::V6(other) => panic!("{other} was not asked for"),
    }
}

/// Re-request and snapshot over the kernel's sockets: this thread is both the gateway and the servers.
#[test]
fn the_same_over_real_sockets() {
    let day = Arc::new(Day::new(12, 6_000));
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    udp.set_nonblocking(true).expect("a socket");
    tcp.set_nonblocking(true).expect("a socket");
    let (udp_address, tcp_address) = (address(udp.local_addr()), address(tcp.local_addr()));
    let mut link = KernelRecoveryLink::new(Some(udp_address), Some(tcp_address)).expect("opens");

    // Joined in the middle, with a hole later on: first a snapshot, then a retransmission.
    let mut channel = channel(&day, Some(ORDERING), BOTH);
    let (mut room, mut now) = ([0; 2_048], 1_000_000);
    let middle = day.packets.len() / 2;
    let hole = day.packets.len() - 20;
    let mut packets = day.packets[middle..].iter().enumerate();
    let (mut peer, mut outbox, mut next) = (None, Vec::new(), 1);
    let mut states = Vec::new();
    for _ in 0..2_000_000 {
        now += 1_000;
        // The lines, as fast as the snapshot lets them.
        let is_waiting =
            next > day.packets[middle + 50].0 && channel.recovery_counts().snapshot.completed == 0;
        if let Some((place, &(first, count))) = (!is_waiting).then(|| packets.next()).flatten() {
            next = first + u64::from(count);
            let bytes = day.packet(first, count, u64::MAX, &mut room);
            if middle + place != hole {
                channel.on_line(0, &room[..bytes], Nanos(now), &mut NoSink);
                channel.on_line(1, &room[..bytes], Nanos(now), &mut NoSink);
            }
        } else {
            now += 50_000;
        }
        // The servers.
        let mut request = [0; 64];
        if let Ok((20, from)) = udp.recv_from(&mut request) {
            assert_eq!(&request[..10], SESSION);
            let first = u64::from_be_bytes(request[10..18].try_into().expect("8"));
            let count = u16::from_be_bytes(request[18..20].try_into().expect("2"));
            let bytes = day.packet(first, count, next, &mut room);
            udp.send_to(&room[..bytes], from).expect("sent");
        }
        serve(&day, &tcp, &mut peer, &mut outbox, next);
        // The gateway.
        if channel.waits() {
            channel.advance(Nanos(now), &mut NoSink);
        }
        if channel.is_recovery_due() {
            channel.recover(&mut link, Nanos(now), &mut NoSink);
        }
        let state = channel.check(Nanos(now));
        if states.last() != Some(&state) {
            states.push(state);
        }
        if channel.arbiter().next_sequence() == day.end() {
            break;
        }
    }
    assert_eq!(channel.arbiter().next_sequence(), day.end(), "{:?}", channel.recovery_counts());
    let (current, stale) = (FeedState::Current, FeedState::Stale);
    assert_eq!(states, [stale, current, stale, current]);
    assert_eq!(channel.books().digest(), day.digest());
    assert_eq!(channel.recovery_counts().snapshot.completed, 1);
    assert!(channel.arbiter().counts().retransmitted > 0);
}

/// One turn of the snapshot server: accepts, reads the login, and sends what the connection takes.
fn serve(
    day: &Day,
    listener: &TcpListener,
    peer: &mut Option<std::net::TcpStream>,
    outbox: &mut Vec<u8>,
    next: u64,
) {
    if let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true).expect("a socket");
        *peer = Some(stream);
        outbox.clear();
    }
    let Some(stream) = peer else { return };
    let mut bytes = [0; 49];
    if let Ok(49) = stream.read(&mut bytes) {
        assert_eq!(&bytes[..19], b"\0\x2fLreadersecret    ");
        let packet = |kind: u8, payload: &[u8]| {
            let length = u16::try_from(payload.len() + 1).expect("short").to_be_bytes();
            [&length[..], &[kind], payload].concat()
        };
        outbox.extend(packet(b'A', format!("{:>10}{:>20}", "GLIMPSE", 1).as_bytes()));
        for message in day.snapshot(next) {
            outbox.extend(packet(b'S', &message));
        }
        outbox.extend(packet(b'S', format!("G{next:<20}").as_bytes()));
    }
    if !outbox.is_empty() {
        let piece = outbox.len().min(1_000);
        if let Ok(sent) = stream.write(&outbox[..piece]) {
            outbox.drain(..sent);
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_told_and_nothing_waits() {
    // Bound and not listening: connections to it are refused.
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let dead = address(socket.local_addr());
    drop(socket);
    let mut link = KernelRecoveryLink::new(Some(dead), Some(dead)).expect("opens");
    let mut room = [0; 64];
    assert_eq!(link.stream(&mut room), StreamState::Closed, "nothing was connected");
    link.connect();
    let state =
        (0..1_000_000).map(|_| link.stream(&mut room)).find(|&state| state != StreamState::Idle);
    assert_eq!(state, Some(StreamState::Closed));
    assert!(!link.send(b"login"));
    link.request(&[0; 20]);
    assert_eq!(link.reply(&mut room), None);
    link.close();
    let mut none = KernelRecoveryLink::new(None, None).expect("opens");
    none.connect();
    none.request(&[0; 20]);
    assert_eq!((none.reply(&mut room), none.stream(&mut room)), (None, StreamState::Closed));
}
