//! What the kernel tells of a network interface: driver, link, queues, rings, offloads, XDP. Read in one place, as plain values.
//!
//! Over netlink (rtnetlink, and the families `ethtool` and `netdev`), and from `/sys` and `/proc`. It changes nothing and needs no
//! privilege. What a kernel or driver does not tell is `None`.

mod query;

use std::fmt;
use std::path::Path;

use crate::runtime::CoreSet;
use query::{Attributes, Link, QueryError, Question};

/// How many there are and how many there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// As set now.
    pub now: u32,
    /// At most.
    pub max: u32,
}

/// Queues of an interface (`ethtool -l`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Those that receive and send.
    pub combined: Extent,
    /// Those that only receive.
    pub rx: Extent,
    /// Those that only send.
    pub tx: Extent,
}

/// Descriptors of each queue (`ethtool -g`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    /// To receive.
    pub rx: Extent,
    /// To send.
    pub tx: Extent,
}

/// When the interface interrupts (`ethtool -c`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coalescing {
    /// How long a received packet may wait for the interrupt, in microseconds.
    pub rx_us: Option<u32>,
    /// Whether the driver chooses that itself.
    pub adaptive_rx: Option<bool>,
}

/// Flow control of Ethernet (`ethtool -a`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// Whether the other end may stop what we send.
    pub rx: bool,
    /// Whether we stop the other end when we are full.
    pub tx: bool,
}

/// A feature of the interface (`ethtool -k`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feature {
    /// Whether it is on.
    pub is_on: bool,
    /// Whether it can be switched.
    pub can_change: bool,
}

/// The features that matter to AF_XDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `rx-lro`: received packets are joined by the interface.
    pub lro: Feature,
    /// `rx-gro-hw`: the same, so that they can be told apart again.
    pub gro_hw: Feature,
    /// `rx-vlan-hw-parse`: VLAN tags are taken out of frames.
    pub rx_vlan: Feature,
    /// `rx-ntuple-filter`: rules steer flows to queues.
    pub ntuple: Feature,
}

/// What the driver says it can do with XDP (family `netdev`, Linux 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures {
    /// Programs run in the driver: native mode.
    pub native: bool,
    /// Packets can be redirected, to AF_XDP sockets among others.
    pub redirect: bool,
    /// AF_XDP without copying.
    pub zero_copy: bool,
    /// Frames in more than one buffer.
    pub multi_buffer: bool,
    /// Programs can read the hardware's receive stamp.
    pub rx_stamp: bool,
}

/// How an XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// In the kernel's stack, for any interface.
    Generic,
    /// In the interface.
    Hardware,
    /// In several of these.
    Several,
}

impl AttachedMode {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            AttachedMode::Native => "native",
            AttachedMode::Generic => "generic",
            AttachedMode::Hardware => "hardware",
            AttachedMode::Several => "several modes",
        }
    }
}

/// An XDP program that is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Its number (`bpftool prog`).
    pub id: u32,
    /// How.
    pub mode: AttachedMode,
}

/// Whether the queues have a number the kernel can be asked to poll (family `netdev`, Linux 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollableQueues {
    /// Receive queues there are.
    pub queue_count: u32,
    /// Those with a NAPI instance that is told.
    pub with_napi_count: u32,
}

/// All that is known of an interface. What the kernel or the driver does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Linux, major and minor.
    pub kernel: Option<(u32, u32)>,
    /// Whether this kernel has AF_XDP.
    pub kernel_has_af_xdp: Option<bool>,
    /// The driver, or the kind of a virtual interface.
    pub driver: Option<String>,
    /// The driver's own version, if it is not the kernel's.
    pub driver_version: Option<String>,
    /// Where it is on the bus: `pci 0000:03:00.0`.
    pub bus: Option<String>,
    /// The NUMA node it is attached to; none where the machine has one, or it is virtual.
    pub numa_node: Option<u32>,
    /// The cores of that node.
    pub node_cores: Option<CoreSet>,
    /// Whether it is `lo`.
    pub is_loopback: bool,
    /// Whether it is one made of others, by its kind: `bond`, `bridge`, `vlan`, `team`, `macvlan`, `ipvlan`.
    pub stacked: Option<String>,
    /// Whether it has been set up.
    pub is_up: bool,
    /// Whether it has a carrier.
    pub has_carrier: bool,
    /// In Mbit/s.
    pub speed_mbps: Option<u32>,
    /// In bytes, without the Ethernet header.
    pub mtu: u32,
    /// Receive queues in use.
    pub rx_queue_count: u32,
    /// Queues that can be set.
    pub channels: Option<Channels>,
    /// Descriptors.
    pub rings: Option<Rings>,
    /// Interrupts.
    pub coalescing: Option<Coalescing>,
    /// Flow control.
    pub pause: Option<Pause>,
    /// Offloads and filters.
    pub features: Option<Features>,
    /// What XDP it can do; none before Linux 6.3.
    pub xdp: Option<XdpFeatures>,
    /// The XDP program on it.
    pub program: Option<AttachedProgram>,
    /// Which queues can be busy-polled; none before Linux 6.8.
    pub pollable: Option<PollableQueues>,
    /// `napi_defer_hard_irqs`: empty polls before interrupts are on again.
    pub defer_hard_irqs: Option<u32>,
    /// `gro_flush_timeout`, in nanoseconds.
    pub gro_flush_timeout_ns: Option<u64>,
}

/// Why an interface cannot be told of.
#[derive(Debug)]
pub enum InterfaceError {
    /// It is not there.
    Absent {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        there: Vec<String>,
    },
    /// The kernel does not answer.
    Unanswered {
        /// The interface.
        name: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterfaceError::Absent { name, there } => {
                write!(f, "no network interface `{name}`; there are: {}", there.join(" "))
            }
            InterfaceError::Unanswered { name, why } => write!(f, "interface {name}: {why}"),
        }
    }
}

impl std::error::Error for InterfaceError {}

const RTM_GETLINK: u16 = 18;
const IFINFOMSG_BYTES: usize = 16;
/// The longest name an interface can have (`IFNAMSIZ` less the zero).
const NAME_BYTES_MAX: usize = 15;

impl InterfaceFacts {
    /// Asks the kernel about the interface named `name` in this process's network namespace. `root` is where `/proc` and `/sys` are,
    /// normally `/`. About 0.2 ms.
    ///
    /// # Errors
    /// If there is no such interface, or the kernel does not answer on netlink.
    pub fn gather(name: &str, root: &Path) -> Result<InterfaceFacts, InterfaceError> {
        let unanswered = |error: QueryError| InterfaceError::Unanswered {
            name: name.to_owned(),
            why: error.to_string(),
        };
        let absent = |there| InterfaceError::Absent { name: name.to_owned(), there };
        let mut route = Link::route().map_err(unanswered)?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(absent(names(&mut route).map_err(unanswered)?));
        }
        let question = Question::default().text(IFLA_IFNAME, name);
        let answers = match route.ask(RTM_GETLINK, false, &[0; IFINFOMSG_BYTES], &question) {
            Ok(answers) => answers,
            Err(error) if error.is_absent() => {
                return Err(absent(names(&mut route).map_err(unanswered)?));
            }
            Err(error) => return Err(unanswered(error)),
        };
        let mut facts = InterfaceFacts { name: name.to_owned(), ..InterfaceFacts::default() };
        if let Some(answer) = answers.first() {
            facts.take_link(answer);
        }
        // A kernel without generic netlink, or without one of its families, tells less.
        if let Ok(mut generic) = Link::generic() {
            facts.ask_ethtool(&mut generic);
            facts.ask_netdev(&mut generic);
        }
        facts.read_files(root);
        Ok(facts)
    }
}

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_CARRIER: u16 = 33;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_MODE_PROG_IDS: [u16; 3] = [5, 6, 7];
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
/// Kinds of `IFLA_INFO_KIND` whose packets come from other interfaces.
const STACKED: [&str; 7] = ["bond", "bridge", "vlan", "team", "macvlan", "ipvlan", "vrf"];

/// The names of the interfaces there are.
fn names(route: &mut Link) -> Result<Vec<String>, QueryError> {
    let answers = route.ask(RTM_GETLINK, true, &[0; IFINFOMSG_BYTES], &Question::default())?;
    let name = |answer: &Vec<u8>| link_attributes(answer).text(IFLA_IFNAME);
    Ok(answers.iter().filter_map(name).collect())
}

fn link_attributes(answer: &[u8]) -> Attributes {
    Attributes::read(answer.get(IFINFOMSG_BYTES..).unwrap_or_default())
}

impl InterfaceFacts {
    /// Reads an `RTM_NEWLINK` (rtnetlink(7)): `ifinfomsg`, with the index at 4 and the flags at 8, and attributes.
    fn take_link(&mut self, answer: &[u8]) {
        let word = |at: usize| {
            let bytes = answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        let (index, flags, link) = (word(4), word(8), link_attributes(answer));
        self.index = index;
        self.is_up = flags & IFF_UP != 0;
        self.is_loopback = flags & IFF_LOOPBACK != 0;
        self.has_carrier = link.byte(IFLA_CARRIER) == Some(1);
        self.mtu = link.u32(IFLA_MTU).unwrap_or(0);
        self.rx_queue_count = link.u32(IFLA_NUM_RX_QUEUES).unwrap_or(1);
        let kind = link.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND);
        self.stacked = kind.clone().filter(|kind| STACKED.contains(&kind.as_str()));
        self.driver = if self.is_loopback { Some("loopback".to_owned()) } else { kind };
        let device = (link.text(IFLA_PARENT_DEV_BUS_NAME), link.text(IFLA_PARENT_DEV_NAME));
        if let (Some(bus), Some(name)) = device {
            self.bus = Some(format!("{bus} {name}"));
        }
        self.program = program(&link.nested(IFLA_XDP));
    }
}

/// `XDP_ATTACHED_…` of `linux/if_link.h`.
fn program(xdp: &Attributes) -> Option<AttachedProgram> {
    let mode = match xdp.byte(IFLA_XDP_ATTACHED)? {
        0 => return None,
        1 => AttachedMode::Native,
        2 => AttachedMode::Generic,
        3 => AttachedMode::Hardware,
        _ => AttachedMode::Several,
    };
    let of_a_mode = IFLA_XDP_MODE_PROG_IDS.iter().find_map(|kind| xdp.u32(*kind));
    let id = xdp.u32(IFLA_XDP_PROG_ID).or(of_a_mode).unwrap_or(0);
    Some(AttachedProgram { id, mode })
}

/// The header with the interface, in every question of the family `ethtool`.
const ETHTOOL_HEADER: u16 = 1;
const ETHTOOL_HEADER_DEV_INDEX: u16 = 1;
const LINKMODES_GET: u8 = 4;
const FEATURES_GET: u8 = 11;
const RINGS_GET: u8 = 15;
const CHANNELS_GET: u8 = 17;
const COALESCE_GET: u8 = 19;
const PAUSE_GET: u8 = 21;

impl InterfaceFacts {
    /// Asks the family `ethtool` (Documentation/networking/ethtool-netlink.rst, Linux 5.6 to 5.7).
    fn ask_ethtool(&mut self, generic: &mut Link) {
        let Ok(family) = generic.family("ethtool") else { return };
        let header = Question::default().u32(ETHTOOL_HEADER_DEV_INDEX, self.index);
        let question = Question::default().nested(ETHTOOL_HEADER, &header);
        let mut ask = |command| {
            let answers = generic.ask_family(family, command, false, &question).ok()?;
            answers.into_iter().next()
        };
        const SPEED: u16 = 5;
        // -1 is "unknown".
        self.speed_mbps =
            ask(LINKMODES_GET).and_then(|modes| modes.u32(SPEED)).filter(|speed| *speed < u32::MAX);
        self.features = ask(FEATURES_GET).map(|answer| features(&answer));
        self.rings = ask(RINGS_GET).map(|answer| rings(&answer));
        self.channels = ask(CHANNELS_GET).map(|answer| channels(&answer));
        self.coalescing = ask(COALESCE_GET).map(|answer| coalescing(&answer));
        self.pause = ask(PAUSE_GET).map(|answer| pause(&answer));
        if let Some(Channels { combined, rx, .. }) = self.channels {
            self.rx_queue_count = combined.now.saturating_add(rx.now);
        }
    }
}

fn extent(answer: &Attributes, now: u16, max: u16) -> Extent {
    Extent { now: answer.u32(now).unwrap_or(0), max: answer.u32(max).unwrap_or(0) }
}

fn rings(answer: &Attributes) -> Rings {
    Rings { rx: extent(answer, 6, 2), tx: extent(answer, 9, 5) }
}

fn channels(answer: &Attributes) -> Channels {
    Channels { combined: extent(answer, 9, 5), rx: extent(answer, 6, 2), tx: extent(answer, 7, 3) }
}

fn coalescing(answer: &Attributes) -> Coalescing {
    Coalescing { rx_us: answer.u32(2), adaptive_rx: answer.byte(11).map(|on| on != 0) }
}

fn pause(answer: &Attributes) -> Pause {
    Pause { rx: answer.byte(3) == Some(1), tx: answer.byte(4) == Some(1) }
}

fn features(answer: &Attributes) -> Features {
    const HARDWARE: u16 = 2;
    const ACTIVE: u16 = 4;
    let (hardware, active) = (bits(&answer.nested(HARDWARE)), bits(&answer.nested(ACTIVE)));
    let feature = |name: &str| Feature {
        is_on: active.iter().any(|bit| bit == name),
        can_change: hardware.iter().any(|bit| bit == name),
    };
    Features {
        lro: feature("rx-lro"),
        gro_hw: feature("rx-gro-hw"),
        rx_vlan: feature("rx-vlan-hw-parse"),
        ntuple: feature("rx-ntuple-filter"),
    }
}

/// The names of the bits that are set in a bit set written out (ethtool-netlink.rst, "Bit sets").
fn bits(set: &Attributes) -> Vec<String> {
    const NO_MASK: u16 = 1;
    const BITS: u16 = 3;
    const BIT_NAME: u16 = 2;
    const BIT_VALUE: u16 = 3;
    // Without a mask a bit is set by being there.
    let is_list = set.get(NO_MASK).is_some();
    let name = |value: &[u8]| {
        let bit = Attributes::read(value);
        let is_set = is_list || bit.get(BIT_VALUE).is_some();
        bit.text(BIT_NAME).filter(|_| is_set)
    };
    set.nested(BITS).iter().filter_map(|bit| name(&bit.value)).collect()
}

impl InterfaceFacts {
    /// Asks the family `netdev` (Documentation/netlink/specs/netdev.yaml): `dev-get` since Linux 6.3, `queue-get` since 6.8.
    fn ask_netdev(&mut self, generic: &mut Link) {
        const DEV_GET: u8 = 1;
        const DEV_IFINDEX: u16 = 1;
        const QUEUE_GET: u8 = 10;
        const QUEUE_IFINDEX: u16 = 2;
        let Ok(family) = generic.family("netdev") else { return };
        let question = Question::default().u32(DEV_IFINDEX, self.index);
        if let Ok(answers) = generic.ask_family(family, DEV_GET, false, &question) {
            self.xdp = answers.first().and_then(xdp_features);
        }
        let question = Question::default().u32(QUEUE_IFINDEX, self.index);
        if let Ok(answers) = generic.ask_family(family, QUEUE_GET, true, &question) {
            self.pollable = Some(pollable(&answers));
        }
    }
}

fn xdp_features(device: &Attributes) -> Option<XdpFeatures> {
    const FEATURES: u16 = 3;
    const RX_METADATA: u16 = 5;
    let has = |bits: u64, number: u32| bits >> number & 1 == 1;
    let features = device.u64(FEATURES)?;
    Some(XdpFeatures {
        native: has(features, 0),
        redirect: has(features, 1),
        zero_copy: has(features, 3),
        multi_buffer: has(features, 5),
        rx_stamp: device.u64(RX_METADATA).is_some_and(|metadata| has(metadata, 0)),
    })
}

fn pollable(queues: &[Attributes]) -> PollableQueues {
    const TYPE: u16 = 3;
    const TYPE_RX: u32 = 0;
    const NAPI_ID: u16 = 4;
    let rx = || queues.iter().filter(|queue| queue.u32(TYPE) == Some(TYPE_RX));
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    PollableQueues {
        queue_count: count(rx().count()),
        with_napi_count: count(rx().filter(|queue| queue.u32(NAPI_ID) > Some(0)).count()),
    }
}

impl InterfaceFacts {
    /// Reads what only files tell: the driver of a device and its version, its node, when the kernel polls.
    fn read_files(&mut self, root: &Path) {
        let text = |path: &Path| Some(std::fs::read_to_string(path).ok()?.trim().to_owned());
        let folder = root.join("sys/class/net").join(&self.name);
        let driver = std::fs::read_link(folder.join("device/driver")).ok();
        let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        if let Some(driver) = driver {
            let version = root.join("sys/module").join(&driver).join("version");
            self.driver_version = text(&version);
            self.driver = Some(driver);
        }
        let number = |name: &str| text(&folder.join(name))?.parse::<u64>().ok();
        self.numa_node = number("device/numa_node").and_then(|node| u32::try_from(node).ok());
        self.node_cores = self.numa_node.and_then(|node| {
            CoreSet::read(&root.join(format!("sys/devices/system/node/node{node}/cpulist")))
        });
        self.defer_hard_irqs =
            number("napi_defer_hard_irqs").and_then(|count| u32::try_from(count).ok());
        self.gro_flush_timeout_ns = number("gro_flush_timeout");
        let release = text(&root.join("proc/sys/kernel/osrelease"));
        self.kernel = release.and_then(|release| version(&release));
        let protocols = text(&root.join("proc/net/protocols"));
        self.kernel_has_af_xdp = protocols.map(|protocols| {
            protocols.lines().any(|line| line.split_whitespace().next() == Some("XDP"))
        });
    }
}

/// `6.8.0-45-generic` is (6, 8).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
