//! AF_XDP on the hosts of a lab.
#![allow(dead_code, reason = "each user takes a part")]

use std::sync::Arc;

use postern::net::xdp::kernel::{self, Watcher, WatcherConfig};
use postern::net::xdp::{Port, PortConfig, SocketConfig, WantedMode};
use postern::transport::xdp::{XdpInterface, XdpTransport};

/// A thread that watches the kernel's tables of the calling thread's host.
pub fn watcher() -> Arc<Watcher> {
    Arc::new(Watcher::start(&WatcherConfig::default()).expect("netlink needs no privilege"))
}

/// What an interface of the calling thread's host is.
pub fn interface(name: &str) -> XdpInterface {
    let all = kernel::interfaces().expect("the kernel tells");
    let found = all.into_iter().find(|interface| interface.name == name).expect("the lab has it");
    XdpInterface {
        index: found.index,
        name: found.name,
        mac: found.mac,
        addresses: found.addresses.iter().map(|(address, _)| *address).collect(),
    }
}

/// The queue of an interface of the calling thread's host.
pub fn port(interface: &XdpInterface, mode: WantedMode) -> Port {
    let socket = SocketConfig::new(interface.index, 0);
    let config = PortConfig { socket, mode, stamps: false };
    Port::open(&config).unwrap_or_else(|error| panic!("{}: {error}", interface.name))
}

/// A media driver's interfaces on the calling thread's host.
pub fn transport(names: &[&str], mode: WantedMode) -> XdpTransport {
    let ports = names.iter().map(|name| {
        let interface = interface(name);
        let port = port(&interface, mode);
        (interface, port)
    });
    XdpTransport::new(ports.collect(), watcher()).expect("descriptors")
}

/// As [`transport`], of one interface, with so few frames to receive into and to send from.
pub fn small_transport(name: &str, frames: u32) -> XdpTransport {
    let interface = interface(name);
    let socket = SocketConfig {
        receive_frames: frames,
        send_frames: frames,
        ..SocketConfig::new(interface.index, 0)
    };
    let config = PortConfig { socket, mode: WantedMode::Generic, stamps: false };
    let port = Port::open(&config).expect("the lab has AF_XDP");
    XdpTransport::new(vec![(interface, port)], watcher()).expect("descriptors")
}
