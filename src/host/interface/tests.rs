//! Judgement over network cards made here, as their drivers tell of themselves.

use std::collections::BTreeMap;

use super::*;
use crate::host::{Grade, HotThread};
use crate::net::interface::{
    AttachedMode, AttachedProgram, Channels, Coalescing, Features, Pause, PollableQueues, Rings,
};
use crate::runtime::Cores;
use crate::runtime::layout::{DriverPlace, Layout, plan};

const ON: Feature = Feature { is_on: true, can_change: true };
const OFF: Feature = Feature { is_on: false, can_change: true };
const FIXED_ON: Feature = Feature { is_on: true, can_change: false };

fn extent(now: u32, max: u32) -> Extent {
    Extent { now, max }
}

/// The hot cores are 2 and 3.
fn wants() -> Wants {
    let mut wants =
        Wants::of_plan(&plan(Layout::Fused, &Cores::of_this_machine(), DriverPlace::Invoked));
    let hot = |name: &str, core| HotThread { name: name.to_owned(), core, spins: true };
    wants.hot = vec![hot("gateway", 3), hot("feed", 2)];
    wants
}

/// A card in which nothing is amiss.
fn ice() -> InterfaceFacts {
    InterfaceFacts {
        name: "eth7".to_owned(),
        index: 7,
        kernel: Some((6, 14)),
        kernel_has_af_xdp: Some(true),
        driver: Some("ice".to_owned()),
        driver_version: None,
        bus: Some("pci 0000:03:00.0".to_owned()),
        numa_node: Some(0),
        node_cores: "0-3".parse().ok(),
        is_loopback: false,
        stacked: None,
        is_up: true,
        has_carrier: true,
        speed_mbps: Some(25_000),
        mtu: 1500,
        rx_queue_count: 1,
        channels: Some(Channels { combined: extent(1, 64), ..Channels::default() }),
        rings: Some(Rings { rx: extent(2048, 8160), tx: extent(256, 8160) }),
        coalescing: Some(Coalescing { rx_us: Some(0), adaptive_rx: Some(false) }),
        pause: Some(Pause::default()),
        features: Some(Features { lro: OFF, gro_hw: OFF, rx_vlan: OFF, ntuple: ON }),
        xdp: Some(XdpFeatures {
            native: true,
            redirect: true,
            zero_copy: true,
            multi_buffer: true,
            rx_stamp: true,
        }),
        program: None,
        pollable: Some(PollableQueues { queue_count: 1, with_napi_count: 1 }),
        defer_hard_irqs: Some(2),
        gro_flush_timeout_ns: Some(200_000),
    }
}

fn faults(facts: &InterfaceFacts) -> BTreeMap<&'static str, Finding> {
    let findings = check_interface(facts, &wants()).into_iter();
    findings.filter(|finding| finding.grade != Grade::Ok).map(|one| (one.id, one)).collect()
}

/// The ids that are not ok.
fn ids(facts: &InterfaceFacts) -> Vec<&'static str> {
    faults(facts).into_keys().collect()
}

#[test]
fn a_card_that_is_tuned_passes_every_check() {
    let findings = check_interface(&ice(), &wants());
    assert_eq!(findings.len(), interface_check_ids().count());
    for finding in &findings {
        assert_eq!(finding.grade, Grade::Ok, "{finding}");
        assert!(finding.remedy.is_empty() && finding.found.starts_with("eth7: "), "{finding}");
    }
}

type Break = fn(&mut InterfaceFacts);

/// One way or more to get each check wrong: its id, its grade, a word of what is found, a word of the remedy.
const FAULTS: &[(&str, Grade, &str, &str, Break)] = &[
    ("interface-driver", Grade::Warn, "no driver", "/sys", |f| f.driver = None),
    ("interface-driver", Grade::Warn, "a bond, whose packets", "ip -details link show eth7", |f| {
        f.stacked = Some("bond".to_owned());
    }),
    ("interface-driver", Grade::Warn, "nothing to bypass", "kernel's path", |f| {
        f.is_loopback = true
    }),
    ("interface-link", Grade::Fail, "down", "sudo ip link set dev eth7 up", |f| f.is_up = false),
    ("interface-link", Grade::Fail, "without a carrier", "cable", |f| f.has_carrier = false),
    ("interface-xdp-mode", Grade::Fail, "no AF_XDP", "CONFIG_XDP_SOCKETS", |f| {
        f.kernel_has_af_xdp = Some(false);
    }),
    ("interface-xdp-mode", Grade::Warn, "only Linux 6.3", "run Linux 6.3", |f| f.xdp = None),
    ("interface-xdp-mode", Grade::Warn, "is copied", "zero-copy", |f| {
        f.xdp = f.xdp.map(|xdp| XdpFeatures { zero_copy: false, ..xdp });
    }),
    ("interface-xdp-mode", Grade::Warn, "generic only", "native XDP", |f| {
        f.xdp = f.xdp.map(|xdp| XdpFeatures { redirect: false, ..xdp });
    }),
    (
        "interface-xdp-program",
        Grade::Fail,
        "program 42 is attached (generic)",
        "xdpgeneric off",
        |f| {
            f.program = Some(AttachedProgram { id: 42, mode: AttachedMode::Generic });
        },
    ),
    ("interface-mtu", Grade::Warn, "4 KiB", "mtu 1500", |f| f.mtu = 1775),
    ("interface-mtu", Grade::Warn, "4 KiB", "mtu 1500", |f| f.mtu = 3498),
    ("interface-mtu", Grade::Warn, "above 3498", "mtu 1500", |f| f.mtu = 3499),
    ("interface-mtu", Grade::Warn, "above 3498", "mtu 1500", |f| f.mtu = u32::MAX),
    ("interface-queues", Grade::Warn, "spread over 8", "ethtool -L eth7 rx 1", |f| {
        f.rx_queue_count = 8;
        f.channels = Some(Channels { rx: extent(8, 8), ..Channels::default() });
        f.features = f.features.map(|all| Features { ntuple: Feature::default(), ..all });
    }),
    ("interface-queues", Grade::Warn, "2 to receive, not to be set", "a card", |f| {
        f.rx_queue_count = 2;
        f.channels = None;
    }),
    ("interface-steering", Grade::Warn, "possible, but off", "-K eth7 ntuple on", |f| {
        f.rx_queue_count = 64;
        f.features = f.features.map(|all| Features { ntuple: OFF, ..all });
    }),
    ("interface-steering", Grade::Warn, "takes no rules", "-L eth7 combined 1", |f| {
        f.rx_queue_count = 2;
        f.features = f.features.map(|all| Features { ntuple: Feature::default(), ..all });
    }),
    (
        "interface-offloads",
        Grade::Warn,
        "LRO joins",
        "sudo ethtool -K eth7 lro off rx-gro-hw off rxvlan off",
        |f| {
            f.features = Some(Features { lro: ON, gro_hw: ON, rx_vlan: ON, ntuple: ON });
        },
    ),
    ("interface-offloads", Grade::Warn, "VLAN tags", "sudo ethtool -K eth7 rxvlan off", |f| {
        f.features = f.features.map(|all| Features { rx_vlan: ON, lro: FIXED_ON, ..all });
    }),
    ("interface-offloads", Grade::Warn, "only Linux 5.7", "5.7", |f| f.features = None),
    ("interface-busy-poll", Grade::Warn, "competes", "napi_defer_hard_irqs", |f| {
        f.defer_hard_irqs = Some(0);
    }),
    (
        "interface-busy-poll",
        Grade::Warn,
        "competes",
        "/sys/class/net/eth7/gro_flush_timeout",
        |f| {
            f.gro_flush_timeout_ns = Some(0);
        },
    ),
    ("interface-busy-poll", Grade::Warn, "does not tell its queues", "interrupt", |f| {
        f.pollable = Some(PollableQueues { queue_count: 1, with_napi_count: 0 });
    }),
    ("interface-busy-poll", Grade::Warn, "2 of 4 queues", "SO_INCOMING_NAPI_ID", |f| {
        f.pollable = Some(PollableQueues { queue_count: 4, with_napi_count: 2 });
    }),
    ("interface-busy-poll", Grade::Warn, "does not tell its queues", "interrupt", |f| {
        f.pollable = None
    }),
    ("interface-busy-poll", Grade::Warn, "only Linux 6.8", "6.8", |f| {
        f.pollable = None;
        f.kernel = Some((6, 7));
    }),
    ("interface-busy-poll", Grade::Warn, "no preferred busy polling", "5.11", |f| {
        f.kernel = Some((5, 10));
    }),
    ("interface-busy-poll", Grade::Warn, "unknown", "/proc", |f| f.kernel = None),
    ("interface-coalescing", Grade::Warn, "rx-usecs 50", "ethtool -C eth7 rx-usecs 0", |f| {
        f.coalescing = Some(Coalescing { rx_us: Some(50), adaptive_rx: None });
    }),
    ("interface-coalescing", Grade::Warn, "adaptive", "adaptive-rx off rx-usecs 0", |f| {
        f.coalescing = Some(Coalescing { rx_us: Some(0), adaptive_rx: Some(true) });
    }),
    ("interface-rings", Grade::Warn, "rx 256 of 4096", "ethtool -G eth7 rx 1024", |f| {
        f.rings = Some(Rings { rx: extent(256, 4096), tx: extent(256, 4096) });
    }),
    ("interface-rings", Grade::Warn, "rx 511 of 512", "ethtool -G eth7 rx 512", |f| {
        f.rings = Some(Rings { rx: extent(511, 512), tx: extent(1, 1) });
    }),
    ("interface-flow-control", Grade::Warn, "rx and tx", "ethtool -A eth7", |f| {
        f.pause = Some(Pause { rx: true, tx: true });
    }),
    ("interface-flow-control", Grade::Warn, "stop what we send", "rx off", |f| {
        f.pause = Some(Pause { rx: true, tx: false });
    }),
    ("interface-flow-control", Grade::Warn, "stop the switch", "tx off", |f| {
        f.pause = Some(Pause { rx: false, tx: true });
    }),
    ("interface-numa", Grade::Warn, "hot core 3 is on another", "hot cores of that node", |f| {
        f.node_cores = "0-2".parse().ok();
    }),
];

#[test]
fn each_fault_is_found_alone_with_what_to_type() {
    for (id, grade, found, remedy, breaks) in FAULTS {
        let mut facts = ice();
        breaks(&mut facts);
        let faults = faults(&facts);
        let finding = faults.get(id).unwrap_or_else(|| panic!("{id}, {found}: {faults:#?}"));
        assert_eq!(finding.grade, *grade, "{finding}");
        assert!(finding.found.contains(found), "{finding}");
        assert!(finding.remedy.contains(remedy), "{finding}");
        // Queues and steering are two sides of one thing.
        let others = faults.keys().filter(|other| {
            *other != id && !["interface-queues", "interface-steering"].contains(*other)
        });
        assert_eq!(others.count(), 0, "{id}: {faults:#?}");
    }
    for id in interface_check_ids() {
        assert!(FAULTS.iter().any(|fault| fault.0 == id), "no way to get {id} wrong");
    }
}

#[test]
fn a_program_is_taken_off_in_its_own_mode() {
    for (mode, word) in [
        (AttachedMode::Native, "eth7 xdpdrv off"),
        (AttachedMode::Generic, "eth7 xdpgeneric off"),
        (AttachedMode::Hardware, "eth7 xdpoffload off"),
        (AttachedMode::Several, "eth7 xdp off"),
    ] {
        let program = Some(AttachedProgram { id: 42, mode });
        let fault = &faults(&InterfaceFacts { program, ..ice() })["interface-xdp-program"];
        assert!(fault.remedy.ends_with(word), "{fault}");
    }
}

#[test]
fn what_is_told_only_of_an_interface_that_is_up_is_no_fault_of_one_that_is_down() {
    let none = Some(PollableQueues { queue_count: 0, with_napi_count: 0 });
    let facts = InterfaceFacts { is_up: false, has_carrier: false, pollable: none, ..ice() };
    assert_eq!(ids(&facts), ["interface-link"]);
}

#[test]
fn bounds_are_on_the_right_side() {
    for (mtu, is_ok) in [(0, true), (1500, true), (1774, true), (1775, false)] {
        assert_eq!(ids(&InterfaceFacts { mtu, ..ice() }).is_empty(), is_ok, "{mtu}");
    }
    for (now, max, is_ok) in [(512, 4096, true), (511, 4096, false), (64, 64, true), (0, 0, true)] {
        let rings = Some(Rings { rx: extent(now, max), tx: extent(now, max) });
        assert_eq!(ids(&InterfaceFacts { rings, ..ice() }).is_empty(), is_ok, "{now} of {max}");
    }
}

#[test]
fn what_a_driver_cannot_set_is_no_fault() {
    let facts = InterfaceFacts { rings: None, coalescing: None, pause: None, ..ice() };
    assert_eq!(ids(&facts), [""; 0]);
    let features = Some(Features { lro: FIXED_ON, ..ice().features.expect("some") });
    assert_eq!(ids(&InterfaceFacts { features, ..ice() }), [""; 0]);
}

/// i40e as it comes out of the box on Linux 6.8: many queues, adaptive interrupts, VLAN tags taken out, small rings.
#[test]
fn i40e_out_of_the_box() {
    let facts = InterfaceFacts {
        kernel: Some((6, 8)),
        driver: Some("i40e".to_owned()),
        rx_queue_count: 32,
        channels: Some(Channels { combined: extent(32, 64), ..Channels::default() }),
        rings: Some(Rings { rx: extent(256, 4096), tx: extent(512, 4096) }),
        coalescing: Some(Coalescing { rx_us: Some(50), adaptive_rx: Some(true) }),
        features: Some(Features {
            lro: Feature::default(),
            gro_hw: Feature::default(),
            rx_vlan: ON,
            ntuple: ON,
        }),
        // It does not tell NAPI instances, and before 6.13 need not.
        pollable: Some(PollableQueues { queue_count: 32, with_napi_count: 0 }),
        defer_hard_irqs: Some(0),
        gro_flush_timeout_ns: Some(0),
        ..ice()
    };
    assert_eq!(
        ids(&facts),
        ["interface-busy-poll", "interface-coalescing", "interface-offloads", "interface-rings"]
    );
    let newer = InterfaceFacts { kernel: Some((6, 13)), ..facts };
    let fault = &faults(&newer)["interface-busy-poll"];
    assert!(fault.found.contains("does not tell its queues"), "{fault}");
}

/// mlx5 with LRO, jumbo frames and flow control.
#[test]
fn mlx5_for_storage() {
    let facts = InterfaceFacts {
        driver: Some("mlx5_core".to_owned()),
        mtu: 9000,
        pause: Some(Pause { rx: true, tx: true }),
        features: Some(Features { lro: ON, gro_hw: OFF, rx_vlan: ON, ntuple: OFF }),
        rx_queue_count: 63,
        channels: Some(Channels { combined: extent(63, 63), ..Channels::default() }),
        ..ice()
    };
    assert_eq!(
        ids(&facts),
        [
            "interface-flow-control",
            "interface-mtu",
            "interface-offloads",
            "interface-queues",
            "interface-steering"
        ]
    );
}

/// igc: four queues, zero-copy, rules.
#[test]
fn igc_on_a_desk() {
    let facts = InterfaceFacts {
        driver: Some("igc".to_owned()),
        speed_mbps: Some(2500),
        rx_queue_count: 4,
        channels: Some(Channels { combined: extent(4, 4), ..Channels::default() }),
        coalescing: Some(Coalescing { rx_us: Some(3), adaptive_rx: Some(false) }),
        ..ice()
    };
    assert_eq!(ids(&facts), ["interface-coalescing"]);
}

/// virtio without much: native XDP where there are queues for it, no rules, no pause frames.
#[test]
fn virtio_in_a_guest() {
    let facts = InterfaceFacts {
        driver: Some("virtio_net".to_owned()),
        bus: Some("virtio virtio1".to_owned()),
        speed_mbps: None,
        numa_node: None,
        node_cores: None,
        pause: None,
        coalescing: Some(Coalescing { rx_us: Some(0), adaptive_rx: Some(false) }),
        features: Some(Features { gro_hw: FIXED_ON, ..Features::default() }),
        xdp: Some(XdpFeatures { native: true, redirect: true, ..XdpFeatures::default() }),
        ..ice()
    };
    assert_eq!(ids(&facts), ["interface-xdp-mode"]);
}

/// ena at its usual MTU.
#[test]
fn ena_in_a_cloud() {
    let facts = InterfaceFacts {
        driver: Some("ena".to_owned()),
        driver_version: Some("2.13.1g".to_owned()),
        mtu: 9001,
        rx_queue_count: 4,
        channels: Some(Channels { combined: extent(4, 8), ..Channels::default() }),
        features: Some(Features::default()),
        xdp: Some(XdpFeatures { native: true, redirect: true, ..XdpFeatures::default() }),
        ..ice()
    };
    assert_eq!(
        ids(&facts),
        ["interface-mtu", "interface-queues", "interface-steering", "interface-xdp-mode"]
    );
    let findings = check_interface(&facts, &wants());
    assert!(findings[0].found.contains("ena 2.13.1g, pci"), "{}", findings[0]);
}

/// veth: nothing to set but its queues; its queues tell no NAPI instance.
#[test]
fn veth_in_a_lab() {
    let facts = InterfaceFacts {
        driver: Some("veth".to_owned()),
        bus: None,
        numa_node: None,
        node_cores: None,
        channels: Some(Channels { rx: extent(1, 1), tx: extent(1, 1), ..Channels::default() }),
        rings: None,
        coalescing: None,
        pause: None,
        features: Some(Features { rx_vlan: ON, ..Features::default() }),
        xdp: Some(XdpFeatures { native: true, redirect: true, ..XdpFeatures::default() }),
        pollable: Some(PollableQueues { queue_count: 1, with_napi_count: 0 }),
        ..ice()
    };
    assert_eq!(ids(&facts), ["interface-busy-poll", "interface-offloads", "interface-xdp-mode"]);
}

#[test]
fn loopback_and_bond_say_what_they_are() {
    let lo = InterfaceFacts {
        name: "lo".to_owned(),
        driver: Some("loopback".to_owned()),
        is_loopback: true,
        mtu: 65536,
        channels: None,
        rings: None,
        coalescing: None,
        pause: None,
        xdp: Some(XdpFeatures::default()),
        ..ice()
    };
    assert_eq!(ids(&lo), ["interface-driver", "interface-xdp-mode"]);
    let bond = InterfaceFacts {
        driver: Some("bond".to_owned()),
        stacked: Some("bond".to_owned()),
        rx_queue_count: 16,
        channels: None,
        ..ice()
    };
    assert_eq!(ids(&bond), ["interface-driver", "interface-queues"]);
}

#[test]
fn all_that_is_unknown_is_told_and_nothing_panics() {
    let facts = InterfaceFacts { name: "eth0".to_owned(), ..InterfaceFacts::default() };
    for finding in check_interface(&facts, &wants()) {
        let needs = finding.grade != Grade::Ok;
        assert_eq!(!finding.remedy.is_empty(), needs, "{finding}");
    }
}
