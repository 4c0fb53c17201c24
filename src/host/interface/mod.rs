//! Is a network interface fit for AF_XDP? Each judgement is a pure function of what was gathered, so that it can be had of any card.

use crate::host::{Conclusion, Finding, Wants};
use crate::net::interface::{AttachedMode, Extent, Feature, InterfaceFacts, XdpFeatures};
use crate::runtime::CoreSet;

type InterfaceCheck = (&'static str, fn(&InterfaceFacts, &Wants) -> Conclusion);

/// Every check of an interface, in the order of the report: what stops AF_XDP first.
const CHECKS: &[InterfaceCheck] = &[
    ("interface-driver", driver),
    ("interface-link", link),
    ("interface-xdp-mode", xdp_mode),
    ("interface-xdp-program", xdp_program),
    ("interface-mtu", mtu),
    ("interface-queues", queues),
    ("interface-steering", steering),
    ("interface-offloads", offloads),
    ("interface-busy-poll", busy_poll),
    ("interface-coalescing", coalescing),
    ("interface-rings", rings),
    ("interface-flow-control", flow_control),
    ("interface-numa", numa),
];

/// The ids of all checks of an interface, in the order of the report.
pub fn interface_check_ids() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(id, _)| *id)
}

/// Judges an interface for what the gateway wants. Each finding begins with the interface's name.
pub fn check_interface(facts: &InterfaceFacts, wants: &Wants) -> Vec<Finding> {
    let finding = |(id, judge): &InterfaceCheck| {
        let Conclusion { grade, found, remedy } = judge(facts, wants);
        Finding { id, grade, found: format!("{}: {found}", facts.name), remedy }
    };
    CHECKS.iter().map(finding).collect()
}

/// Whether the kernel is at least that.
fn has_kernel(facts: &InterfaceFacts, version: (u32, u32)) -> bool {
    facts.kernel.is_some_and(|kernel| kernel >= version)
}

/// Something only newer kernels tell.
fn untold(what: &str, version: (u32, u32)) -> Conclusion {
    let (major, minor) = version;
    Conclusion::warn(
        format!("{what}: unknown, as only Linux {major}.{minor} and later tell"),
        format!("run Linux {major}.{minor} or later; tuning/README.md lists drivers"),
    )
}

fn driver(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let Some(driver) = &facts.driver else {
        return Conclusion::warn("no driver is told", "mount /sys");
    };
    let mut found = driver.clone();
    match (&facts.driver_version, facts.kernel) {
        (Some(version), _) => found.push_str(&format!(" {version}")),
        (None, Some((major, minor))) => found.push_str(&format!(", Linux {major}.{minor}")),
        (None, None) => {}
    }
    if let Some(bus) = &facts.bus {
        found.push_str(&format!(", {bus}"));
    }
    if facts.is_loopback {
        return Conclusion::warn(
            format!("{found}: nothing to bypass"),
            "none is needed: what goes over it takes the kernel's path",
        );
    }
    match &facts.stacked {
        Some(kind) => Conclusion::warn(
            format!("{found}: a {kind}, whose packets come in by other interfaces"),
            format!("check and configure those: ip -details link show {}", facts.name),
        ),
        None => Conclusion::ok(found),
    }
}

fn link(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let speed = facts.speed_mbps.filter(|speed| *speed > 0);
    let speed = speed.map_or("speed unknown".to_owned(), |speed| format!("{speed} Mbit/s"));
    match (facts.is_up, facts.has_carrier) {
        (true, true) => Conclusion::ok(format!("up, {speed}")),
        (true, false) => Conclusion::fail(
            "up, but without a carrier",
            "look at cable, transceiver and the switch's port",
        ),
        (false, _) => Conclusion::fail("down", format!("sudo ip link set dev {} up", facts.name)),
    }
}

fn xdp_mode(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    const KERNEL: &str = "run a kernel with CONFIG_XDP_SOCKETS=y";
    if facts.kernel_has_af_xdp == Some(false) {
        return Conclusion::fail("none: this kernel has no AF_XDP", KERNEL);
    }
    let Some(xdp) = facts.xdp else { return untold("XDP of the driver", (6, 3)) };
    let stamp = if xdp.rx_stamp { ", with the hardware's stamps" } else { "" };
    match best_mode(xdp) {
        XdpMode::ZeroCopy => Conclusion::ok(format!("native, zero-copy{stamp}")),
        XdpMode::Native => Conclusion::warn(
            format!("native, but each packet is copied{stamp}"),
            "a card and driver with zero-copy: tuning/README.md lists them",
        ),
        XdpMode::Generic => Conclusion::warn(
            "generic only: each packet passes half the kernel's stack, and is copied",
            "a card and driver with native XDP: tuning/README.md lists them",
        ),
    }
}

/// How an AF_XDP socket gets its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum XdpMode {
    /// In the kernel's stack, copied; any interface.
    Generic,
    /// In the driver, copied.
    Native,
    /// In the driver, not copied.
    ZeroCopy,
}

impl XdpMode {
    /// The words of a report.
    pub const fn words(self) -> &'static str {
        match self {
            XdpMode::Generic => "generic",
            XdpMode::Native => "native",
            XdpMode::ZeroCopy => "native, zero-copy",
        }
    }
}

/// The best mode of a driver.
pub(super) fn best_mode(xdp: XdpFeatures) -> XdpMode {
    match (xdp.native && xdp.redirect, xdp.zero_copy) {
        (true, true) => XdpMode::ZeroCopy,
        (true, false) => XdpMode::Native,
        (false, _) => XdpMode::Generic,
    }
}

fn xdp_program(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    match facts.program {
        None => Conclusion::ok("none is attached"),
        Some(program) => Conclusion::fail(
            format!(
                "program {} is attached ({}): unless it is this gateway's own, ours cannot be",
                program.id,
                program.mode.word()
            ),
            take_off(&facts.name, program.mode),
        ),
    }
}

/// How to be rid of a program: one that a link holds goes with its owner, and can be taken off by nobody else.
pub(super) fn take_off(interface: &str, mode: AttachedMode) -> String {
    let word = match mode {
        AttachedMode::Native => "xdpdrv",
        AttachedMode::Generic => "xdpgeneric",
        AttachedMode::Hardware => "xdpoffload",
        AttachedMode::Several => "xdp",
    };
    format!(
        "end its owner (sudo bpftool net show dev {interface}; sudo bpftool link); if it has none: sudo ip link set dev {interface} {word} off"
    )
}

/// What a frame has besides the MTU: Ethernet's header and a VLAN tag.
const FRAME_EXTRA_BYTES: u32 = 18;
/// What is left of an AF_XDP frame of 2 KiB after the kernel's headroom (`XDP_PACKET_HEADROOM`).
const SMALL_FRAME_BYTES: u32 = 2048 - 256;
/// The largest MTU at which drivers still take a program without multi-buffer support, in a page of 4 KiB: ENA's figure, and within a
/// few bytes that of others.
const MTU_MAX: u32 = 3498;

fn mtu(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let mtu = facts.mtu;
    if facts.is_loopback {
        return Conclusion::ok(format!("{mtu}: the loopback interface's own"));
    }
    let set = format!("sudo ip link set dev {} mtu 1500", facts.name);
    if mtu.saturating_add(FRAME_EXTRA_BYTES) <= SMALL_FRAME_BYTES {
        Conclusion::ok(format!("{mtu}: a packet fits a buffer of 2 KiB"))
    } else if mtu <= MTU_MAX {
        Conclusion::warn(format!("{mtu}: a packet fits a buffer of 4 KiB, not one of 2 KiB"), set)
    } else {
        Conclusion::warn(
            format!(
                "{mtu}: above {MTU_MAX} most drivers take no native XDP program, and longer packets are not received"
            ),
            set,
        )
    }
}

fn extent(name: &str, extent: Extent) -> Option<String> {
    (extent.max > 0).then(|| format!("{} {name} of {}", extent.now, extent.max))
}

fn queues(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let Some(channels) = facts.channels else {
        return match facts.rx_queue_count {
            0 | 1 => Conclusion::ok("1 to receive, not to be set"),
            count => Conclusion::warn(
                format!(
                    "{count} to receive, not to be set: which one a flow comes in by is the driver's choice"
                ),
                "a card whose queues can be set",
            ),
        };
    };
    let all = [("combined", channels.combined), ("rx", channels.rx), ("tx", channels.tx)];
    let parts: Vec<String> = all.into_iter().filter_map(|(name, e)| extent(name, e)).collect();
    let found = parts.join(", ");
    let is_steered = facts.features.is_some_and(|features| features.ntuple.is_on);
    match (facts.rx_queue_count, is_steered) {
        (0 | 1, _) => Conclusion::ok(found),
        (_, true) => Conclusion::ok(format!("{found}; rules steer flows")),
        (count, false) => {
            let set = if channels.combined.max > 0 { "combined 1" } else { "rx 1" };
            Conclusion::warn(
                format!(
                    "{found}: an AF_XDP socket hears one queue, and flows are spread over {count}"
                ),
                format!("sudo ethtool -L {} {set}; or steer: interface-steering", facts.name),
            )
        }
    }
}

fn steering(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let name = &facts.name;
    if facts.rx_queue_count <= 1 {
        return Conclusion::ok("one queue: nothing to steer");
    }
    let rule =
        format!("sudo ethtool -N {name} flow-type udp4 dst-ip GROUP dst-port PORT action QUEUE");
    match facts.features.map(|features| features.ntuple) {
        None => untold("ntuple rules", (5, 7)),
        Some(Feature { is_on: true, .. }) => Conclusion::ok(format!(
            "rules are on; ethtool -n {name} shows them, and {rule} adds one"
        )),
        Some(Feature { can_change: true, .. }) => Conclusion::warn(
            "rules are possible, but off",
            format!("sudo ethtool -K {name} ntuple on; then {rule}"),
        ),
        Some(_) => Conclusion::warn(
            "this driver takes no rules",
            format!("one queue: sudo ethtool -L {name} combined 1"),
        ),
    }
}

fn offloads(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let Some(features) = facts.features else { return untold("offloads", (5, 7)) };
    let all = [
        (features.lro, "lro", "LRO joins packets"),
        (features.gro_hw, "rx-gro-hw", "GRO in hardware joins packets"),
        (features.rx_vlan, "rxvlan", "VLAN tags are taken out of frames"),
    ];
    let on: Vec<_> = all.into_iter().filter(|(feature, _, _)| feature.is_on).collect();
    if on.is_empty() {
        return Conclusion::ok("none that changes packets before a program sees them");
    }
    let found: Vec<&str> = on.iter().map(|(_, _, why)| *why).collect();
    let (changeable, fixed): (Vec<_>, Vec<_>) =
        on.iter().partition(|(feature, _, _)| feature.can_change);
    let found = format!("{} before a program sees them", found.join(", "));
    if changeable.is_empty() {
        let names: Vec<&str> = fixed.iter().map(|(_, name, _)| *name).collect();
        // Nothing to type: a driver that fixes it on takes care of it under XDP, or refuses the program.
        return Conclusion::ok(format!("{found}; fixed by the driver: {}", names.join(" ")));
    }
    let off: Vec<String> = changeable.iter().map(|(_, name, _)| format!("{name} off")).collect();
    Conclusion::warn(found, format!("sudo ethtool -K {} {}", facts.name, off.join(" ")))
}

/// Kernels from here on poll a queue for an AF_XDP socket only where the driver tells the queue's NAPI instance.
const NAPI_TOLD: (u32, u32) = (6, 13);
/// From here on there is `SO_PREFER_BUSY_POLL`.
const PREFERRED: (u32, u32) = (5, 11);

fn busy_poll(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    if facts.is_loopback {
        return Conclusion::ok("the loopback interface has nothing to poll");
    }
    if !facts.is_up {
        // The kernel tells no queue of it then.
        return Conclusion::ok("not told while it is down");
    }
    if facts.kernel.is_none() {
        return Conclusion::warn("unknown", "mount /proc");
    }
    if !has_kernel(facts, PREFERRED) {
        return Conclusion::warn(
            "this kernel has no preferred busy polling",
            "run Linux 5.11 or later",
        );
    }
    let kernel_polls = || {
        Conclusion::warn(
            "this driver does not tell its queues' NAPI instances: the kernel's interrupt handling serves them",
            "leave busy polling off, and keep the interrupt on a core beside the hot one; or a driver of tuning/README.md",
        )
    };
    match facts.pollable {
        Some(queues) if queues.with_napi_count == 0 && has_kernel(facts, NAPI_TOLD) => {
            return kernel_polls();
        }
        Some(queues)
            if queues.with_napi_count < queues.queue_count && has_kernel(facts, NAPI_TOLD) =>
        {
            return Conclusion::warn(
                format!(
                    "{} of {} queues can be polled",
                    queues.with_napi_count, queues.queue_count
                ),
                "use one of those: the gateway reads SO_INCOMING_NAPI_ID after it has bound",
            );
        }
        Some(_) => {}
        None if has_kernel(facts, (6, 8)) => return kernel_polls(),
        None => return untold("which queues can be polled", (6, 8)),
    }
    deferral(facts)
}

/// Polling keeps interrupts away only where the kernel is told to hold them back.
fn deferral(facts: &InterfaceFacts) -> Conclusion {
    let (defer, timeout) = (facts.defer_hard_irqs, facts.gro_flush_timeout_ns);
    let told = |defer: u32, timeout: u64| {
        format!("possible; napi_defer_hard_irqs {defer}, gro_flush_timeout {timeout} ns")
    };
    match (defer, timeout) {
        (Some(defer), Some(timeout)) if defer > 0 && timeout > 0 => {
            Conclusion::ok(told(defer, timeout))
        }
        (Some(defer), Some(timeout)) => Conclusion::warn(
            format!("{}: the interrupt competes with polling", told(defer, timeout)),
            format!(
                "echo 2 | sudo tee /sys/class/net/{0}/napi_defer_hard_irqs; echo 200000 | sudo tee /sys/class/net/{0}/gro_flush_timeout",
                facts.name
            ),
        ),
        _ => Conclusion::warn("possible; when interrupts are held back is unknown", "mount /sys"),
    }
}

fn coalescing(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let Some(coalescing) = facts.coalescing else {
        return Conclusion::ok("not this driver's to set");
    };
    let us = coalescing.rx_us.map_or("rx-usecs unknown".to_owned(), |us| format!("rx-usecs {us}"));
    let adaptive = coalescing.adaptive_rx == Some(true);
    if !adaptive && coalescing.rx_us.is_none_or(|us| us == 0) {
        return Conclusion::ok(us);
    }
    let mut settings = String::new();
    if adaptive {
        settings.push_str(" adaptive-rx off");
    }
    if coalescing.rx_us.is_some() {
        settings.push_str(" rx-usecs 0");
    }
    Conclusion::warn(
        format!(
            "{us}{}: a packet waits for its interrupt",
            if adaptive { ", adaptive" } else { "" }
        ),
        format!("sudo ethtool -C {}{settings}", facts.name),
    )
}

/// A burst at the open is some hundred packets within the time a thread may be away.
const RING_MIN: u32 = 512;

fn rings(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let Some(rings) = facts.rings else { return Conclusion::ok("not this driver's to set") };
    let found =
        format!("rx {} of {}, tx {} of {}", rings.rx.now, rings.rx.max, rings.tx.now, rings.tx.max);
    if rings.rx.now >= RING_MIN || rings.rx.now >= rings.rx.max {
        return Conclusion::ok(found);
    }
    let size = rings.rx.max.min(2 * RING_MIN);
    Conclusion::warn(
        format!("{found}: a burst longer than the ring is lost"),
        format!("sudo ethtool -G {} rx {size}", facts.name),
    )
}

fn flow_control(facts: &InterfaceFacts, _: &Wants) -> Conclusion {
    let Some(pause) = facts.pause else { return Conclusion::ok("not this driver's to set") };
    let off = format!("sudo ethtool -A {} autoneg off rx off tx off", facts.name);
    match (pause.rx, pause.tx) {
        (false, false) => Conclusion::ok("off"),
        (true, false) => Conclusion::warn("rx: the switch may stop what we send", off),
        (false, true) => Conclusion::warn("tx: we may stop the switch", off),
        (true, true) => Conclusion::warn("rx and tx: each end may stop the other", off),
    }
}

fn numa(facts: &InterfaceFacts, wants: &Wants) -> Conclusion {
    let (Some(node), Some(cores)) = (facts.numa_node, &facts.node_cores) else {
        return Conclusion::ok("no node of its own");
    };
    let hot: CoreSet = wants.hot.iter().map(|thread| thread.core).collect();
    let far = hot.without(cores);
    if far.is_empty() {
        return Conclusion::ok(format!("node {node}, where the hot cores are"));
    }
    Conclusion::warn(
        format!("node {node} (cores {cores}), but hot core {far} is on another"),
        "configure hot cores of that node, or move the card to a slot of theirs",
    )
}

#[cfg(test)]
mod tests;
