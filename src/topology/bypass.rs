//! Opens the queues of network interfaces that go past the kernel's sockets, all of them here: on the main thread, before any other is
//! started and while the process still has the privileges to. What cannot be had is told, and is the kernel's.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::config::{AfXdp, AfXdpUser, Config, DriverMode, Fallback, Source};
use crate::net::Timestamps;
use crate::net::xdp::kernel::{Interface, Watcher, WatcherConfig, interfaces};
use crate::net::xdp::{BusyPoll, Port, PortConfig, SocketConfig, WantedMode};
use crate::runtime::CoreSet;
use crate::transport::xdp::{XdpInterface, XdpTransport};

/// Packets of one busy poll: what the kernel's own loop takes at a time.
const BUSY_POLL_BUDGET: u32 = 64;
/// What the kernel keeps of a frame for itself, and what stands before an IP packet, in bytes.
const HEADROOM_BYTES: u32 = 256;
const ETHERNET_BYTES: u32 = 14;

/// A queue that was asked for and is the kernel's after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFallback {
    /// The interface's name.
    pub interface: String,
    /// Which of its queues.
    pub queue: u32,
    /// Who was to use it.
    pub used_by: AfXdpUser,
    /// Why, with what to do where that is known.
    pub why: String,
}

impl fmt::Display for QueueFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueueFallback { interface, queue, used_by, why } = self;
        let user = user(*used_by);
        write!(
            f,
            "AF_XDP on {interface} queue {queue} for {user}: {why}: the kernel's sockets do it"
        )
    }
}

const fn user(used_by: AfXdpUser) -> &'static str {
    match used_by {
        AfXdpUser::Feed => "the feed",
        AfXdpUser::Aeron => "Aeron",
    }
}

/// A queue that was had.
#[derive(Debug)]
pub struct OpenQueue {
    /// The interface.
    pub interface: Interface,
    /// The queue.
    pub port: Port,
}

/// All queues that were asked for.
#[derive(Debug, Default)]
pub struct Bypass {
    /// The feed's, until its sources are opened.
    pub(super) feed: Vec<OpenQueue>,
    /// The media driver's.
    pub aeron: Vec<OpenQueue>,
    /// Those that could not be had.
    pub fallbacks: Vec<QueueFallback>,
    /// What was had, a line each.
    pub remarks: Vec<String>,
    /// Who tells of interfaces and of the kernel's sockets; where there is a queue.
    pub watcher: Option<Arc<Watcher>>,
}

/// What keeps a queue from being had, as far as that is known without asking for it; `Ok` with the interface.
///
/// # Errors
/// Why, in one line.
pub fn look<'i>(wanted: &AfXdp, all: &'i [Interface]) -> Result<&'i Interface, String> {
    let found = all.iter().find(|interface| interface.name == wanted.interface);
    let Some(interface) = found else {
        return Err("there is no such interface".to_owned());
    };
    if interface.is_loopback {
        return Err("it is the loopback interface, which has no queue".to_owned());
    }
    if !interface.is_ethernet {
        return Err("its frames are not those of Ethernet".to_owned());
    }
    let room = wanted.frame_bytes.saturating_sub(HEADROOM_BYTES + ETHERNET_BYTES);
    if interface.mtu > room {
        let (mtu, bytes) = (interface.mtu, wanted.frame_bytes);
        return Err(format!(
            "packets of its MTU, {mtu} bytes, have no room in frames of {bytes}, and would be lost: lower the MTU or raise frame_bytes"
        ));
    }
    Ok(interface)
}

/// Which of the feed's channels go by an interface with these addresses: what stamps each asks for.
fn channels<'c>(
    config: &'c Config,
    addresses: &'c [(Ipv4Addr, u8)],
) -> impl Iterator<Item = Timestamps> + 'c {
    config.channels.iter().filter_map(|channel| match channel.source {
        Source::Multicast { interface, timestamps, bypass: true, .. } => {
            addresses.iter().any(|(address, _)| *address == interface).then_some(timestamps)
        }
        Source::Multicast { .. } | Source::Capture { .. } | Source::Aeron { .. } => None,
    })
}

/// Opens what the configuration asks for. `cores` are those of threads that may wait.
///
/// # Errors
/// The first queue that cannot be had although its fallback is "refuse".
pub(super) fn open(config: &Config, cores: &CoreSet) -> Result<Bypass, String> {
    let mut bypass = Bypass::default();
    if config.af_xdp.is_empty() {
        return Ok(bypass);
    }
    let all =
        interfaces().map_err(|error| format!("the kernel does not tell of interfaces: {error}"));
    for wanted in &config.af_xdp {
        let opened =
            all.as_ref().map_err(String::clone).and_then(|all| look(wanted, all)).and_then(
                |interface| {
                    let channels = channels_of(config, wanted, interface)?;
                    bypass.open(wanted, interface, &channels, cores)
                },
            );
        let Err(why) = opened else { continue };
        let AfXdp { interface, queue, used_by, .. } = wanted.clone();
        if wanted.fallback == Fallback::Refuse {
            let user = user(used_by);
            return Err(format!("AF_XDP on {interface} queue {queue} for {user}: {why}"));
        }
        bypass.fallbacks.push(QueueFallback { interface, queue, used_by, why });
    }
    Ok(bypass)
}

/// The stamps that the feed's channels on an interface ask for.
///
/// # Errors
/// Why nobody would use its queue.
fn channels_of(
    config: &Config,
    wanted: &AfXdp,
    interface: &Interface,
) -> Result<Vec<Timestamps>, String> {
    let channels: Vec<Timestamps> = channels(config, &interface.addresses).collect();
    match wanted.used_by {
        AfXdpUser::Feed if channels.is_empty() => {
            Err("no channel has one of its addresses as interface".to_owned())
        }
        AfXdpUser::Aeron if config.aeron.driver == DriverMode::External => {
            Err("the media driver is another process's".to_owned())
        }
        AfXdpUser::Feed | AfXdpUser::Aeron => Ok(channels),
    }
}

/// Why nobody would use the queue, or it could not be used, however much the machine allows; `None` where nothing speaks against it.
pub fn objection(config: &Config, wanted: &AfXdp) -> Option<String> {
    let all = interfaces().ok()?;
    look(wanted, &all).and_then(|interface| channels_of(config, wanted, interface)).err()
}

/// The interfaces of this host with these addresses, in their order, by name.
///
/// # Errors
/// That the kernel does not tell, or the first address of no interface.
pub fn interfaces_with(addresses: &[Ipv4Addr]) -> Result<Vec<String>, String> {
    let all =
        interfaces().map_err(|error| format!("the kernel does not tell of interfaces: {error}"))?;
    let with = |address: &Ipv4Addr| {
        let has = |interface: &&Interface| interface.addresses.iter().any(|(a, _)| a == address);
        let found = all.iter().find(has).map(|interface| interface.name.clone());
        found.ok_or_else(|| format!("no interface has the address {address}"))
    };
    addresses.iter().map(with).collect()
}

/// The interfaces of this host with these addresses as those of a media driver outside a gateway: a strategy's, or a venue's.
///
/// # Errors
/// What cannot be had.
pub fn aeron_over(addresses: &[Ipv4Addr], cores: &CoreSet) -> Result<XdpTransport, String> {
    let all =
        interfaces().map_err(|error| format!("the kernel does not tell of interfaces: {error}"))?;
    let mut bypass = Bypass::default();
    for name in interfaces_with(addresses)? {
        let wanted = AfXdp::for_aeron(&name);
        let interface = look(&wanted, &all);
        interface
            .and_then(|interface| bypass.open(&wanted, interface, &[], cores))
            .map_err(|why| format!("AF_XDP on {name}: {why}"))?;
    }
    bypass.transport()?.ok_or_else(|| "no address is given".to_owned())
}

impl Bypass {
    /// The media driver's queues as its transport, if it has some.
    ///
    /// # Errors
    /// As the kernel says, for want of descriptors.
    pub(super) fn transport(&mut self) -> Result<Option<XdpTransport>, String> {
        let queues = std::mem::take(&mut self.aeron);
        let Some(watcher) = self.watcher.as_ref().filter(|_| !queues.is_empty()) else {
            return Ok(None);
        };
        let ports = queues.into_iter().map(|OpenQueue { interface, port }| {
            let Interface { index, name, mac, addresses, .. } = interface;
            let addresses = addresses.iter().map(|(address, _)| *address).collect();
            (XdpInterface { index, name, mac, addresses }, port)
        });
        let transport = XdpTransport::new(ports.collect(), Arc::clone(watcher));
        transport.map(Some).map_err(|error| format!("AF_XDP for Aeron: {error}"))
    }

    /// Opens one; `channels` are the stamps that the feed's channels on the interface ask for.
    fn open(
        &mut self,
        wanted: &AfXdp,
        interface: &Interface,
        channels: &[Timestamps],
        cores: &CoreSet,
    ) -> Result<(), String> {
        if self.watcher.is_none() {
            let watching = WatcherConfig { cores: Some(cores.clone()), ..WatcherConfig::default() };
            let watcher = Watcher::start(&watching);
            let watcher =
                watcher.map_err(|error| format!("nobody can watch the kernel: {error}"))?;
            self.watcher = Some(Arc::new(watcher));
        }
        let busy_poll = (wanted.busy_poll_us > 0)
            .then_some(BusyPoll { microseconds: wanted.busy_poll_us, budget: BUSY_POLL_BUDGET });
        let socket = SocketConfig {
            interface: interface.index,
            queue: wanted.queue,
            receive_frames: wanted.receive_frames,
            send_frames: wanted.send_frames,
            frame_bytes: wanted.frame_bytes,
            zero_copy: None,
            busy_poll,
            ..SocketConfig::new(interface.index, wanted.queue)
        };
        // Measured on virtual pairs: native mode takes a hop from core to core that generic does not.
        let is_pair = interface.kind.as_deref() == Some("veth");
        let is_free = wanted.mode == WantedMode::Auto;
        let mode = if is_pair && is_free { WantedMode::Generic } else { wanted.mode };
        let stamps = channels.iter().any(|stamps| *stamps != Timestamps::None);
        let open = self.feed.iter().chain(&self.aeron);
        let beside =
            open.map(|queue| &queue.port).find(|port| port.config().interface == interface.index);
        let port = match beside {
            Some(port) => port.beside_with(socket),
            None => Port::open(&PortConfig { socket, mode, stamps }),
        };
        let mut port = port.map_err(|error| error.to_string())?;
        let napi_id = port.socket().map_or(0, |socket| socket.napi_id());
        if busy_poll.is_some() && napi_id == 0 {
            return Err("its driver cannot be busy-polled: set busy_poll_us = 0".to_owned());
        }
        self.remarks.push(remark(wanted, &port, channels));
        let queue = OpenQueue { interface: interface.clone(), port };
        match wanted.used_by {
            AfXdpUser::Feed => self.feed.push(queue),
            AfXdpUser::Aeron => self.aeron.push(queue),
        }
        Ok(())
    }
}

fn remark(wanted: &AfXdp, port: &Port, channels: &[Timestamps]) -> String {
    let AfXdp { interface, queue, used_by, .. } = wanted;
    let (user, mode) = (user(*used_by), port.mode());
    let wants = channels.contains(&Timestamps::Hardware);
    let stamps = match wants && !port.program().is_stamping_by_interface() {
        true => "; its driver tells no stamps here, so the program's are used",
        false => "",
    };
    format!("AF_XDP on {interface} queue {queue} for {user}: {mode} mode{stamps}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml("x.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn wanted(keys: &str) -> AfXdp {
        let text = format!("[[af_xdp]]\ninterface = \"eth1\"\nused_by = \"feed\"\n{keys}");
        config(&text).af_xdp.remove(0)
    }

    fn interface() -> Interface {
        Interface {
            index: 2,
            name: "eth1".to_owned(),
            mac: [2; 6],
            mtu: 1_500,
            is_up: true,
            is_loopback: false,
            is_ethernet: true,
            kind: None,
            addresses: vec![(Ipv4Addr::new(192, 0, 2, 10), 24)],
        }
    }

    #[test]
    fn what_cannot_be_had_is_told_before_it_is_asked_for() {
        let look = |interface: Interface, keys: &str| look(&wanted(keys), &[interface]).map(drop);
        assert_eq!(look(interface(), ""), Ok(()));
        assert_eq!(look(Interface { mtu: 1_778, ..interface() }, ""), Ok(()));
        assert_eq!(look(Interface { mtu: 3_826, ..interface() }, "frame_bytes = 4096"), Ok(()));
        for (other, says) in [
            (Interface { name: "eth2".to_owned(), ..interface() }, "no such interface"),
            (Interface { is_loopback: true, ..interface() }, "loopback"),
            (Interface { is_ethernet: false, ..interface() }, "not those of Ethernet"),
            (Interface { mtu: 1_779, ..interface() }, "1779 bytes, have no room in frames of 2048"),
        ] {
            let why = look(other, "").expect_err(says);
            assert!(why.contains(says) && !why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn without_the_interface_all_is_the_kernels_or_nothing_starts() {
        let text = "[[af_xdp]]\ninterface = \"pst-nobody\"\nused_by = \"feed\"\n";
        let bypass = open(&config(text), &CoreSet::new()).expect("a fallback");
        let [fallback] = &bypass.fallbacks[..] else { panic!("{bypass:?}") };
        assert_eq!(
            fallback.to_string(),
            "AF_XDP on pst-nobody queue 0 for the feed: there is no such interface: the kernel's sockets do it"
        );
        assert!(bypass.watcher.is_none() && bypass.remarks.is_empty());
        let text = format!("{text}fallback = \"refuse\"\n");
        let error = open(&config(&text), &CoreSet::new()).expect_err("refused");
        assert!(error.contains("there is no such interface"), "{error}");
    }

    #[test]
    fn channels_go_by_the_interface_that_has_their_address() {
        let channel = |id: u32, address: &str, more: &str| {
            format!(
                "[[channel]]\nid = {id}\nname = \"c{id}\"\nsource = \"multicast\"\nline_a = \"239.1.1.{id}:5000\"\n\
                 interface = \"{address}\"\nstale_after_ms = 1000\n{more}"
            )
        };
        let text = [
            channel(1, "192.0.2.10", "timestamps = \"software\"\n"),
            channel(2, "192.0.2.10", "bypass = \"off\"\n"),
            channel(3, "192.0.2.11", ""),
            channel(4, "192.0.2.10", ""),
        ];
        let config = config(&text.concat());
        let found: Vec<Timestamps> = channels(&config, &interface().addresses).collect();
        assert_eq!(found, [Timestamps::Software, Timestamps::None]);
    }
}
