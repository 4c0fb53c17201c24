//! What the kernel answers is read right: answers made here, and the loopback interface of this machine.

use super::*;

/// A link as the kernel tells it: index, flags, attributes.
fn link(index: u32, flags: u32, attributes: &Question) -> Vec<u8> {
    let mut answer = vec![0; 4];
    answer.extend(index.to_ne_bytes());
    answer.extend(flags.to_ne_bytes());
    answer.extend([0; 4]);
    answer.extend(attributes.encoded());
    answer
}

fn taken(answer: &[u8]) -> InterfaceFacts {
    let mut facts = InterfaceFacts::default();
    facts.take_link(answer);
    facts
}

#[test]
fn a_link_is_read() {
    let kind = Question::default().text(IFLA_INFO_KIND, "veth");
    let xdp = Question::default().byte(IFLA_XDP_ATTACHED, 1).u32(IFLA_XDP_PROG_ID, 77);
    let attributes = Question::default()
        .u32(IFLA_MTU, 9000)
        .u32(IFLA_NUM_RX_QUEUES, 4)
        .byte(IFLA_CARRIER, 1)
        .nested(IFLA_LINKINFO, &kind)
        .nested(IFLA_XDP, &xdp)
        .text(IFLA_PARENT_DEV_BUS_NAME, "pci")
        .text(IFLA_PARENT_DEV_NAME, "0000:03:00.0");
    let facts = taken(&link(9, IFF_UP, &attributes));
    let expected = InterfaceFacts {
        index: 9,
        driver: Some("veth".to_owned()),
        bus: Some("pci 0000:03:00.0".to_owned()),
        is_up: true,
        has_carrier: true,
        mtu: 9000,
        rx_queue_count: 4,
        program: Some(AttachedProgram { id: 77, mode: AttachedMode::Native }),
        ..InterfaceFacts::default()
    };
    assert_eq!(facts, expected);
    let bond = Question::default().text(IFLA_INFO_KIND, "bond");
    let facts = taken(&link(2, 0, &Question::default().nested(IFLA_LINKINFO, &bond)));
    assert_eq!(
        (facts.stacked.as_deref(), facts.is_up, facts.has_carrier),
        (Some("bond"), false, false)
    );
    assert!(taken(&link(1, IFF_LOOPBACK, &Question::default())).is_loopback);
}

#[test]
fn a_program_is_read_in_each_mode() {
    for (attached, expected) in [
        (0, None),
        (1, Some(AttachedMode::Native)),
        (2, Some(AttachedMode::Generic)),
        (3, Some(AttachedMode::Hardware)),
        (4, Some(AttachedMode::Several)),
    ] {
        // Several programs have their own numbers, and none in common.
        let xdp = Question::default().byte(IFLA_XDP_ATTACHED, attached).u32(6, 5);
        let found = program(&Attributes::read(xdp.encoded()));
        assert_eq!(found, expected.map(|mode| AttachedProgram { id: 5, mode }), "{attached}");
    }
    assert_eq!(program(&Attributes::default()), None);
}

/// A bit set of `ethtool`, written out.
fn bit_set(is_list: bool, named: &[(&str, bool)]) -> Question {
    let mut bits = Question::default();
    for (name, value) in named {
        let bit = Question::default().u32(1, 3).text(2, name);
        let bit = if *value { bit.text(3, "") } else { bit };
        bits = bits.nested(1, &bit);
    }
    let set = if is_list { Question::default().text(1, "") } else { Question::default() };
    set.u32(2, 64).nested(3, &bits)
}

#[test]
fn features_are_read_from_both_forms_of_bit_sets() {
    let hardware =
        bit_set(false, &[("rx-lro", true), ("rx-gro-hw", false), ("rx-ntuple-filter", true)]);
    let active = bit_set(true, &[("rx-lro", false), ("rx-vlan-hw-parse", false)]);
    let answer = Question::default().nested(2, &hardware).nested(4, &active);
    let found = features(&Attributes::read(answer.encoded()));
    let expected = Features {
        lro: Feature { is_on: true, can_change: true },
        gro_hw: Feature { is_on: false, can_change: false },
        rx_vlan: Feature { is_on: true, can_change: false },
        ntuple: Feature { is_on: false, can_change: true },
    };
    assert_eq!(found, expected);
    assert_eq!(features(&Attributes::default()), Features::default());
}

#[test]
fn xdp_and_queues_are_read() {
    let device = |features: u64| {
        let low = Question::default().bits(3, features).bits(5, 1);
        xdp_features(&Attributes::read(low.encoded()))
    };
    let all = device(0b10_1111).expect("told");
    assert!(all.native && all.redirect && all.zero_copy && all.multi_buffer && all.rx_stamp);
    let some = device(0b11).expect("told");
    assert!(some.native && some.redirect && !some.zero_copy && !some.multi_buffer);
    assert_eq!(xdp_features(&Attributes::default()), None);
    let queue = |kind: u32, napi: Option<u32>| {
        let queue = Question::default().u32(3, kind);
        Attributes::read(napi.map_or(queue.clone(), |napi| queue.u32(4, napi)).encoded())
    };
    let queues = [queue(0, Some(513)), queue(0, None), queue(0, Some(0)), queue(1, Some(514))];
    assert_eq!(pollable(&queues), PollableQueues { queue_count: 3, with_napi_count: 1 });
}

#[test]
fn whatever_the_bytes_nothing_panics() {
    let kind = Question::default().text(IFLA_INFO_KIND, "veth");
    let whole = link(9, 1, &Question::default().u32(IFLA_MTU, 1).nested(IFLA_LINKINFO, &kind));
    for cut in 0..whole.len() {
        taken(&whole[..cut]);
        for value in [0, 1, 4, 5, 43, 255] {
            let mut bent = whole.clone();
            bent[cut] = value;
            taken(&bent);
            let attributes = Attributes::read(&bent[cut..]);
            let _ = (features(&attributes), rings(&attributes), xdp_features(&attributes));
        }
    }
}

#[test]
fn kernels_are_read_by_their_first_two_numbers() {
    for (release, expected) in [
        ("6.8.0-45-generic", Some((6, 8))),
        ("5.11", Some((5, 11))),
        ("6.18.44+", Some((6, 18))),
        ("7.0-rc1", Some((7, 0))),
        ("6", None),
        ("", None),
        ("linux", None),
    ] {
        assert_eq!(version(release), expected, "{release}");
    }
}

#[test]
fn the_loopback_interface_is_told_of() {
    let facts = InterfaceFacts::gather("lo", Path::new("/")).expect("every machine has it");
    assert_eq!((facts.name.as_str(), facts.index), ("lo", 1));
    assert!(facts.is_loopback && facts.mtu >= 1500 && facts.rx_queue_count == 1, "{facts:?}");
    assert_eq!(facts.driver.as_deref(), Some("loopback"));
    assert!(facts.kernel > Some((3, 0)), "{facts:?}");
    assert_eq!((facts.numa_node, facts.channels, facts.program), (None, None, None));
    if facts.kernel >= Some((5, 7)) {
        assert!(!facts.features.expect("told").ntuple.is_on);
    }
    if facts.kernel >= Some((6, 3)) {
        assert!(!facts.xdp.expect("told").native);
    }
}

#[test]
fn an_interface_that_is_not_there_is_told_with_those_that_are() {
    for name in ["pst-none", "", "a-name-longer-than-the-kernel-takes", "l\0"] {
        let Err(error) = InterfaceFacts::gather(name, Path::new("/")) else {
            panic!("{name:?} is there");
        };
        let InterfaceError::Absent { there, .. } = &error else { panic!("{error}") };
        assert!(there.contains(&"lo".to_owned()), "{error}");
        assert!(error.to_string().contains("there are: "), "{error}");
    }
}
