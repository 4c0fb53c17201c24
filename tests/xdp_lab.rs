//! The lab that other tests stand on: two hosts that hear each other and nobody else, and nothing left of it, however it ends.

use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::panic::AssertUnwindSafe;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[path = "support/lab.rs"]
mod lab;
#[path = "support/transport.rs"]
mod support;

use lab::{Lab, Namespace, labs, namespaces, script};
use support::{Process, orphaned, role, say};

/// Longest wait for a datagram. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn bound(host: &Namespace) -> UdpSocket {
    let address = host.address();
    let socket = host.enter(|| UdpSocket::bind((address, 0))).expect("its own address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn send(from: &UdpSocket, to: &UdpSocket, bytes: &[u8]) {
    let sent = from.send_to(bytes, to.local_addr().expect("bound")).expect("a route");
    assert_eq!(sent, bytes.len());
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let (length, _) = socket.recv_from(&mut buffer).expect("it comes");
    buffer[..length].to_vec()
}

/// Nothing is left of labs whose names begin so, neither names nor namespaces.
fn assert_gone(lab: &str) {
    let is_ours = |name: &String| name.contains(lab);
    let left: Vec<String> = labs().into_iter().chain(namespaces()).filter(is_ours).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_hosts_exchange_datagrams_and_nothing_is_left() {
    let Some(lab) = Lab::new("pair") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    assert_eq!((a.interface(), a.ends().len()), ("veth1", 1));
    assert_eq!(a.end_to("b").address.to_string(), "10.77.1.1");
    assert_eq!(b.address().to_string(), "10.77.1.2");
    assert_ne!(a.mac(), b.mac());
    let (one, other) = (bound(&a), bound(&b));
    send(&one, &other, b"forth");
    assert_eq!(receive(&other), b"forth");
    send(&other, &one, b"back");
    assert_eq!(receive(&one), b"back");
    let address = a.address();
    UdpSocket::bind((address, 0)).expect_err("this thread never was there");
    let name = lab.name().to_owned();
    assert!(labs().contains(&name));
    drop(lab);
    assert_gone(&name);
}

#[test]
fn a_datagram_to_a_group_leaves_by_the_cable() {
    let Some(lab) = Lab::new("group") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let group = "239.77.0.1".parse().expect("a group");
    let hearer = b.enter(|| {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("any");
        // The interface is left to the host's routes.
        socket.join_multicast_v4(&group, &"0.0.0.0".parse().expect("any")).expect("joined");
        socket
    });
    hearer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let port = hearer.local_addr().expect("bound").port();
    bound(&a).send_to(b"all", (group, port)).expect("a route");
    assert_eq!(receive(&hearer), b"all");
}

#[test]
fn a_chain_has_a_cable_for_each_link_with_the_addresses_it_says() {
    let links = ["a:192.168.7.1/30=b:192.168.7.2/30", "b=c"];
    let Some(lab) = Lab::of("chain", &links) else { return };
    let b = lab.namespace("b");
    let told: Vec<(String, String)> = b
        .ends()
        .iter()
        .map(|end| {
            (format!("{} {}", end.interface, end.peer), format!("{}/{}", end.address, end.prefix))
        })
        .collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(told, [pair("veth1 a", "192.168.7.2/30"), pair("veth2 c", "10.77.2.1/24")]);
    assert_eq!(lab.namespace("c").address().to_string(), "10.77.2.2");
}

#[test]
fn a_program_runs_on_a_host_and_ends_with_the_lab() {
    let Some(lab) = Lab::new("program") else { return };
    let listed = lab.command("b", "ls").arg("/sys/class/net").output().expect("coreutils");
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "lo\nveth1\n");
    let mut asleep = lab.command("b", "sleep");
    let mut asleep = asleep.arg("1000").process_group(0).stdin(Stdio::null()).spawn().expect("it");
    // It is there once its process is no longer `ip`, which enters first.
    let name = format!("/proc/{}/comm", asleep.id());
    while std::fs::read_to_string(&name).expect("it lives").trim() != "sleep" {
        std::thread::yield_now();
    }
    drop(lab);
    let status = asleep.wait().expect("a child");
    assert_eq!(status.code(), None, "ended by a signal: {status}");
}

#[test]
fn a_cable_is_unplugged_and_hardware_addresses_change() {
    let Some(lab) = Lab::new("cable") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let (one, other) = (bound(&a), bound(&b));
    a.link_down("veth1");
    assert!(!a.is_up("veth1"));
    a.link_up("veth1");
    while !(a.is_up("veth1") && b.is_up("veth1")) {
        std::thread::yield_now();
    }
    let mac = [2, 0, 0, 0, 0, 9];
    b.replace_mac("veth1", mac);
    a.delete_neighbour("veth1", b.address());
    a.delete_neighbour("veth1", b.address());
    send(&one, &other, b"again");
    assert_eq!(receive(&other), b"again");
    let known = a.ip(&["neigh", "show", "dev", "veth1"]);
    assert!(known.contains("02:00:00:00:00:09"), "{known}");
}

#[test]
fn nothing_is_left_after_a_panic() {
    let mut name = String::new();
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let Some(lab) = Lab::new("panic") else { return };
        name = lab.name().to_owned();
        lab.namespace("b").enter(|| panic!("on a host"));
    }));
    if name.is_empty() {
        return;
    }
    let panic = ended.expect_err("it panicked");
    assert_eq!(panic.downcast_ref(), Some(&"on a host"), "the host's panic is the test's");
    assert_gone(&name);
}

/// Plays the other process of the test below.
#[test]
fn child() {
    let Some(arguments) = role() else { return };
    assert_eq!(arguments, ["owner"]);
    let orphaned = orphaned();
    let Some(lab) = Lab::new("killed") else {
        say("none");
        return;
    };
    say(lab.name());
    while !orphaned.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
}

#[test]
fn what_a_killed_process_left_is_removed_by_clean_and_only_that() {
    let Some(lab) = Lab::new("alive") else { return };
    let mut owner = Process::start("owner", &[]);
    let killed = owner.next_said();
    // Another test's, or another lab's, `clean` may come at any time; it may only ever take what is dead.
    assert!(labs().contains(&killed));
    owner.kill();
    let cleaned = script().arg("clean").output().expect("the script");
    assert!(cleaned.status.success());
    assert_gone(&killed);
    assert!(labs().contains(&lab.name().to_owned()), "its owner lives");
}

#[test]
fn what_is_no_lab_is_refused() {
    for arguments in [
        &["up", "Big"][..],
        &["up", "a-b"],
        &["up", "../a"],
        &["up", "x", "--owner", "0"],
        &["up", "x", "a"],
        &["up", "x", "a=b;c"],
        &["up", "x", "a:10.1/8=b"],
        &["down", "nobody"],
        &["down", ""],
        &["show", "nobody"],
        &["exec", "nobody-a", "true"],
        &["fly"],
        &["run", "--fast"],
    ] {
        let output = script().args(arguments).output().expect("the script");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
