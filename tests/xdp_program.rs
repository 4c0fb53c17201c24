//! What the program in the interface's receive path lets through, asked of the kernel itself.

use std::net::{Ipv4Addr, SocketAddrV4};

use postern::net::xdp::{AttachMode, Program, Step, XDP_PASS, XDP_REDIRECT, XdpError};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const TO: SocketAddrV4 = SocketAddrV4::new(GROUP, 5_000);

/// A program, unless this process may not load one.
#[allow(clippy::print_stdout, reason = "whoever reads the test log must see what did not run")]
fn program(stamps: bool) -> Option<Program> {
    match Program::load(1, stamps, AttachMode::Generic) {
        Ok(program) => Some(program),
        Err(error) => {
            let refused = matches!(error.step(), Step::Maps | Step::Program);
            assert!(refused && error.cause().raw_os_error() == Some(libc::EPERM), "{error}");
            println!("skipped: the XDP program, as {error}");
            None
        }
    }
}

/// An Ethernet frame with a UDP datagram to `to`.
fn frame(to: SocketAddrV4) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 8 + 18];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14] = 0x45;
    frame[17] = 46;
    frame[23] = 17;
    frame[30..34].copy_from_slice(&to.ip().octets());
    frame[36..38].copy_from_slice(&to.port().to_be_bytes());
    frame
}

#[test]
fn only_whole_datagrams_that_are_subscribed_to_are_redirected() {
    for stamps in [false, true] {
        let Some(program) = program(stamps) else { return };
        let verdict = |frame: &[u8]| program.verdict(frame).expect("the kernel runs it");
        assert_eq!(verdict(&frame(TO)), XDP_PASS, "nothing is subscribed to yet");
        program.subscribe(TO, 0).expect("room");
        program.subscribe(TO, 0).expect("again is the same as once");
        // There is no ring: the redirect falls back to the kernel. That it was tried shows in the next test.
        assert_eq!(verdict(&frame(TO)), XDP_PASS);
        program.unsubscribe(TO, 0).expect("it is there");
        let error = program.unsubscribe(TO, 0).expect_err("it is gone");
        assert_eq!(error.cause().raw_os_error(), Some(libc::ENOENT), "{error}");
    }
}

/// Frames that must pass to the kernel whatever is subscribed to, each by one change to one that would not.
fn foreign() -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, value: u8| {
        let mut changed = frame(TO);
        changed[at] = value;
        changed
    };
    vec![
        ("ARP", changed(13, 0x06)),
        ("a VLAN tag", changed(12, 0x81)),
        ("IPv6 by version", changed(14, 0x65)),
        ("options", changed(14, 0x46)),
        ("TCP", changed(23, 6)),
        ("IGMP", changed(23, 2)),
        ("the first fragment", changed(20, 0x20)),
        ("a later fragment", changed(21, 1)),
        ("the farthest fragment", changed(20, 0x1F)),
        ("another group", changed(33, 4)),
        ("another port", changed(37, 0x89)),
        ("another port's high byte", changed(36, 0x12)),
        ("too short", frame(TO)[..41].to_vec()),
        ("a header only", frame(TO)[..14].to_vec()),
    ]
}

#[test]
fn all_else_passes_to_the_kernel() {
    let Some(program) = program(true) else { return };
    program.subscribe(TO, 0).expect("room");
    for (what, frame) in foreign() {
        assert_eq!(program.verdict(&frame).expect("the kernel runs it"), XDP_PASS, "{what}");
    }
    assert_ne!(XDP_PASS, XDP_REDIRECT);
}

#[test]
fn there_is_room_for_so_many_subscriptions_and_one_more_is_refused() {
    let Some(program) = program(false) else { return };
    let to = |port: u16| SocketAddrV4::new(GROUP, port);
    let most = u16::try_from(postern::net::xdp::FLOWS_MAX).expect("fits");
    for port in 1..=most {
        program.subscribe(to(port), 0).expect("room");
    }
    let error: XdpError = program.subscribe(to(most + 1), 0).expect_err("full");
    assert!(error.to_string().contains("as many subscriptions"), "{error}");
    program.unsubscribe(to(1), 0).expect("there");
    program.subscribe(to(most + 1), 0).expect("room again");
}
