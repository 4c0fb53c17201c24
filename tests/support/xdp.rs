//! What the tests of AF_XDP share: ports on a lab's interfaces, sources over them, senders, and what came.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use postern::net::xdp::frame::{Path, multicast_mac, write_udp};
use postern::net::xdp::kernel::{Watcher, WatcherConfig, interfaces};
use postern::net::xdp::{
    Port, PortConfig, SocketConfig, Step, WantedMode, XdpError, XdpSocket, XdpSource,
};
use postern::net::{
    Datagram, DatagramHandler, KernelUdpSink, PacketSink, PacketSource, Timestamps, UdpSinkConfig,
    UdpSourceConfig,
};
use postern::types::ChannelId;

use crate::lab::Namespace;

/// Both modes that a veth has.
pub const MODES: [WantedMode; 2] = [WantedMode::Generic, WantedMode::Native];

pub const CHANNEL: ChannelId = ChannelId(1);

pub fn group(last: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(239, 77, 1, last), 30_000 + u16::from(last))
}

/// The number of a host's interface.
#[track_caller]
pub fn number_of(host: &Namespace, interface: &str) -> u32 {
    let all = host.enter(interfaces).expect("the kernel tells");
    all.iter().find(|known| known.name == interface).expect("the lab made it").index
}

/// As few frames as there may be, so that rings wrap and run out soon.
pub fn small(interface: u32) -> SocketConfig {
    SocketConfig { receive_frames: 64, send_frames: 64, ..SocketConfig::new(interface, 0) }
}

pub fn open(host: &Namespace, socket: SocketConfig, mode: WantedMode) -> Result<Port, XdpError> {
    host.enter(|| Port::open(&PortConfig { socket, mode, stamps: false }))
}

/// Opens a port, however long the kernel takes to give the queue free of the one before.
#[track_caller]
pub fn open_patiently(config: &PortConfig) -> Port {
    crate::support::wait_for("the queue", || match Port::open(config) {
        Ok(port) => Some(port),
        Err(error) => {
            let is_busy = error.cause().raw_os_error() == Some(libc::EBUSY);
            assert!(is_busy && matches!(error.step(), Step::Bind(_)), "{config:?}: {error}");
            None
        }
    })
}

#[track_caller]
pub fn port(host: &Namespace, mode: WantedMode) -> Port {
    let socket = small(number_of(host, host.interface()));
    host.enter(|| open_patiently(&PortConfig { socket, mode, stamps: false }))
}

/// All frames are with somebody, and none with us.
#[track_caller]
pub fn assert_whole(socket: &mut XdpSocket, frames: usize) {
    let count = socket.count_frames();
    assert_eq!((count.total(), count.received), (frames, 0), "{count:?}");
    assert_eq!(socket.refused_frames(), 0);
}

/// A source, and the thread that watches for it.
#[derive(Debug)]
pub struct Feed {
    pub source: XdpSource,
    pub watcher: Arc<Watcher>,
}

pub fn config_of(host: &Namespace) -> UdpSourceConfig {
    UdpSourceConfig {
        interface: host.address(),
        receive_buffer_bytes: 2 << 20,
        timestamps: Timestamps::None,
    }
}

impl Feed {
    /// A source on the host's first interface, subscribed to these lines of one channel.
    #[track_caller]
    pub fn open(host: &Namespace, mode: WantedMode, stamps: bool, lines: &[SocketAddrV4]) -> Feed {
        let interface = number_of(host, host.interface());
        let socket = SocketConfig::new(interface, 0);
        host.enter(|| {
            let port = open_patiently(&PortConfig { socket, mode, stamps });
            let watcher = Watcher::start(&WatcherConfig::default()).expect("a thread");
            let watcher = Arc::new(watcher);
            let source = XdpSource::new(vec![port], Arc::clone(&watcher));
            let mut source = source.expect("descriptors and a thread");
            for (line, to) in (0..).zip(lines) {
                source.subscribe_with(config_of(host), *to, CHANNEL, line).expect("joins");
            }
            Feed { source, watcher }
        })
    }

    /// No frame is missing, and the kernel dropped none.
    #[track_caller]
    pub fn assert_whole(&mut self) {
        for port in self.source.ports() {
            let config = *port.config();
            let frames = usize::try_from(config.receive_frames + config.send_frames);
            let socket = port.socket().expect("bound");
            assert_whole(socket, frames.expect("few"));
        }
        assert_eq!(self.source.drops(), 0);
    }
}

/// What came, by line.
#[derive(Debug, Default)]
pub struct Seen {
    pub lines: [Vec<Vec<u8>>; 2],
    pub stamped: u64,
    pub bursts: u32,
}

impl DatagramHandler for Seen {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        assert_eq!(datagram.channel, CHANNEL);
        self.stamped += u64::from(datagram.stamp.ns > 0);
        self.lines[usize::from(datagram.line)].push(datagram.payload.to_vec());
    }

    fn on_burst_end(&mut self, count: u32) {
        self.bursts += count;
    }
}

impl Seen {
    pub fn count(&self) -> usize {
        self.lines.iter().map(Vec::len).sum()
    }
}

/// Sends to a group by the kernel.
#[track_caller]
pub fn sink(host: &Namespace, destination: SocketAddrV4) -> KernelUdpSink {
    let interface = host.address();
    let config = UdpSinkConfig { destination, interface, ttl: 1, loopback: false };
    host.enter(|| KernelUdpSink::new(config)).expect("a sink")
}

#[track_caller]
pub fn send(sink: &mut KernelUdpSink, payload: &[u8]) {
    let built = sink.send_with(|buffer| {
        buffer[..payload.len()].copy_from_slice(payload);
        payload.len()
    });
    assert!(built, "each is flushed");
    sink.flush().expect("a network");
}

/// A frame from one host's first interface to `to`.
pub fn frame(from: &Namespace, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let path = Path {
        source_mac: from.mac(),
        destination_mac: multicast_mac(*to.ip()),
        source: SocketAddrV4::new(from.address(), 40_000),
        destination: to,
        ttl: 1,
        tos: 0,
    };
    let mut frame = vec![0; payload.len() + 64];
    let length = write_udp(&mut frame, &path, payload);
    frame.truncate(length);
    frame
}

/// The groups joined on a host's interfaces, as the kernel tells them.
pub fn joined(host: &Namespace) -> String {
    host.enter(|| std::fs::read_to_string("/proc/thread-self/net/igmp")).expect("procfs")
}

/// How a group stands there: in hexadecimal digits, as the machine has the word.
pub fn as_joined(to: SocketAddrV4) -> String {
    format!("{:08X}", u32::from_ne_bytes(to.ip().octets()))
}

/// Whether a program is on the host's interface.
#[track_caller]
pub fn has_program(host: &Namespace, interface: &str) -> bool {
    let told = host.ip(&["-d", "link", "show", interface]);
    told.contains("xdp")
}

#[allow(clippy::print_stdout, reason = "whoever reads the test log must see what did not run")]
pub fn skip(why: &str) {
    println!("skipped: {why}");
}
