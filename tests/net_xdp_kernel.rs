//! What a sender past the kernel is told of it, held against a real kernel: two network namespaces, a virtual pair between them.
//!
//! Namespaces need CAP_SYS_ADMIN and CAP_NET_ADMIN; where they cannot be made the tests say that they skip.

#[path = "support/random.rs"]
mod random;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use postern::net::xdp::frame::{Path, read_udp, write_udp};
use postern::net::xdp::kernel::{
    Destination, Interface, RouteKind, Unresolved, Watcher, WatcherConfig, interfaces, route,
};
use random::Random;
use socket2::{Domain, Protocol, Socket, Type};

const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 1, 2);
const A_MAC: [u8; 6] = [2, 0, 0, 77, 0, 1];
const B_MAC: [u8; 6] = [2, 0, 0, 77, 0, 2];
const WAIT_COUNT_MAX: u32 = 60_000;

/// Calls `step` until it gives something: at most for a minute.
#[track_caller]
fn wait_for<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    for _ in 0..WAIT_COUNT_MAX {
        if let Some(done) = step() {
            return done;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("no {what} within a minute");
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

#[track_caller]
fn wait_why(destination: &Destination, why: Unresolved) {
    wait_until(&format!("destination because {why}"), || destination.why() == Some(why));
}

#[track_caller]
fn wait_mac(destination: &Destination, mac: [u8; 6]) {
    wait_until(&format!("destination at {mac:02X?}"), || {
        destination.resolved().is_some_and(|found| found.mac == mac)
    });
}

/// Runs `ip`; what it said if it failed.
fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split_whitespace()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Removes what a run that was killed has left.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("pstk").and_then(|rest| rest.split('n').next());
        if process.is_some_and(|process| !std::path::Path::new("/proc").join(process).exists()) {
            let _ = ip(&format!("netns del {name}")); // another test may have been faster
        }
    }
}

/// Namespaces `a` and `b`, joined by a pair: `pst0` in both, 10.77.0.1/24 and 10.77.0.2/24.
struct Lab {
    a: String,
    b: String,
}

static LABS: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// None, told, where there is no privilege for it.
    fn new() -> Option<Lab> {
        sweep();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("pstk{}n{number}{side}", std::process::id());
        let lab = Lab { a: name("a"), b: name("b") };
        for side in [&lab.a, &lab.b] {
            if let Err(why) = ip(&format!("netns add {side}")) {
                let _ = writeln!(
                    std::io::stderr(),
                    "skipped: network namespaces: needs CAP_NET_ADMIN and CAP_SYS_ADMIN ({why})"
                );
                return None;
            }
        }
        let (a, b) = (&lab.a, &lab.b);
        for command in [
            format!(
                "-n {a} link add pst0 address 02:00:00:4d:00:01 type veth peer name pst0 netns {b}"
            ),
            format!("-n {b} link set pst0 address 02:00:00:4d:00:02"),
            format!("-n {a} address add {A}/24 dev pst0"),
            format!("-n {b} address add {B}/24 dev pst0"),
            format!("-n {a} link set lo up"),
            format!("-n {a} link set pst0 up"),
            format!("-n {b} link set pst0 up"),
        ] {
            ip(&command).unwrap_or_else(|why| panic!("ip {command}: {why}"));
        }
        wait_until("carrier", || lab.interface().is_some_and(|interface| interface.is_up));
        Some(lab)
    }

    /// `ip` in `a`.
    #[track_caller]
    fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.a))
            .unwrap_or_else(|why| panic!("{arguments}: {why}"));
    }

    /// Runs `body` in a namespace, on a thread of its own.
    fn inside<T: Send>(&self, side: &str, body: impl FnOnce() -> T + Send) -> T {
        let file = fs::File::open(format!("/run/netns/{side}")).expect("the namespace is there");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let network = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(file.as_fd(), network).expect("allowed");
                body()
            });
            match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.inside(&self.a, || interfaces().expect("the kernel answers"))
    }

    fn interface(&self) -> Option<Interface> {
        self.interfaces().into_iter().find(|interface| interface.name == "pst0")
    }

    fn index(&self) -> u32 {
        self.interface().expect("there").index
    }

    /// A watcher in `a` that hears, and looks at nothing by itself.
    fn watcher(&self) -> Watcher {
        let belt = Duration::from_secs(3_600);
        self.watcher_with(&WatcherConfig { belt, ..WatcherConfig::default() })
    }

    fn watcher_with(&self, config: &WatcherConfig) -> Watcher {
        self.inside(&self.a, || Watcher::start(config).expect("it starts"))
    }

    /// A datagram from `a` to `b` by the kernel, which has to find `b` for it.
    fn send(&self) {
        self.inside(&self.a, || {
            // A port of the namespace's own: always the same checksum.
            let socket = UdpSocket::bind((A, 4_077)).expect("nobody else is there");
            let _ = socket.send_to(b"where are you", (B, 9));
        });
    }

    fn put_neighbour(&self, mac: &str, state: &str) {
        self.ip(&format!("neigh replace {B} lladdr {mac} dev pst0 nud {state}"));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for side in [&self.a, &self.b] {
            let _ = ip(&format!("netns del {side}"));
        }
    }
}

fn ask(watcher: &Watcher, to: Ipv4Addr) -> Arc<Destination> {
    watcher.destination(to, ANY, None).expect("room")
}

#[test]
fn interfaces_are_as_they_were_made() {
    let Some(lab) = Lab::new() else { return };
    lab.ip("address add 10.77.9.1/16 dev pst0");
    let all = lab.interfaces();
    let pst0 = all.iter().find(|one| one.name == "pst0").expect("there");
    assert_eq!((pst0.mac, pst0.mtu, pst0.kind.as_deref()), (A_MAC, 1_500, Some("veth")));
    assert!(pst0.is_up && pst0.is_ethernet && !pst0.is_loopback);
    assert_eq!(pst0.addresses, [(A, 24), (Ipv4Addr::new(10, 77, 9, 1), 16)]);
    let lo = all.iter().find(|one| one.name == "lo").expect("there");
    assert!(lo.is_up && lo.is_loopback && !lo.is_ethernet);
    assert_eq!(lo.addresses, [(Ipv4Addr::LOCALHOST, 8)]);
    assert!(all.iter().all(|one| one.index > 0));
}

#[test]
fn routes_are_as_the_kernel_chooses_them() {
    let Some(lab) = Lab::new() else { return };
    for command in [
        "address add 10.77.0.3/24 dev pst0",
        "route add 10.78.0.0/24 via 10.77.0.2",
        "route add 10.79.0.0/24 dev pst0 src 10.77.0.3 mtu 1400",
        "route add unreachable 10.80.0.0/24",
        "route add blackhole 10.81.0.0/24",
        "route add prohibit 10.82.0.0/24",
        "route add 239.0.0.0/8 dev pst0",
    ] {
        lab.ip(command);
    }
    let pst0 = lab.index();
    let other = Ipv4Addr::new(10, 77, 0, 3);
    let far = |third| Ipv4Addr::new(10, third, 0, 9);
    let cases = [
        (B, None, None, RouteKind::Unicast, A, B, None),
        (B, Some(other), None, RouteKind::Unicast, other, B, None),
        (far(78), None, None, RouteKind::Unicast, A, B, None),
        (far(79), None, None, RouteKind::Unicast, other, far(79), Some(1_400)),
        (GROUP, None, None, RouteKind::Multicast, A, GROUP, None),
        (GROUP, Some(other), None, RouteKind::Multicast, other, GROUP, None),
        // No route, but an interface or an address says where.
        (
            Ipv4Addr::new(224, 0, 7, 7),
            None,
            Some(pst0),
            RouteKind::Multicast,
            A,
            Ipv4Addr::new(224, 0, 7, 7),
            None,
        ),
        (
            Ipv4Addr::new(224, 0, 7, 7),
            Some(A),
            None,
            RouteKind::Multicast,
            A,
            Ipv4Addr::new(224, 0, 7, 7),
            None,
        ),
        (
            Ipv4Addr::new(10, 77, 0, 255),
            None,
            None,
            RouteKind::Broadcast,
            A,
            Ipv4Addr::new(10, 77, 0, 255),
            None,
        ),
    ];
    lab.inside(&lab.a, || {
        for (to, from, by, kind, source, next_hop, mtu) in cases {
            let found = route(to, from, by).expect("an answer");
            let what = format!("{to} from {from:?} by {by:?}");
            assert_eq!((found.kind, found.interface), (kind, pst0), "{what}");
            assert_eq!((found.source, found.next_hop), (source, next_hop), "{what}");
            assert_eq!(found.mtu, mtu, "{what}");
        }
        assert_eq!(route(A, None, None).expect("an answer").kind, RouteKind::Local);
        assert_eq!(route(Ipv4Addr::LOCALHOST, None, None).expect("one").kind, RouteKind::Local);
        for (to, from, by) in [
            (far(80), None, None),
            (far(81), None, None),
            (far(82), None, None),
            (far(99), None, None),
            (Ipv4Addr::new(224, 0, 7, 7), None, None),
            (B, Some(Ipv4Addr::new(9, 9, 9, 9)), None),
            (B, None, Some(99_999)),
        ] {
            let found = route(to, from, by).expect("an answer");
            assert_eq!(found.kind, RouteKind::Unreachable, "{to} from {from:?} by {by:?}");
        }
    });
}

/// A route as `ip` prints it, one word after the other.
fn naive_route(lab: &Lab, arguments: &str) -> Option<(RouteKind, u32, Ipv4Addr, Ipv4Addr)> {
    let command = format!("-n {} route get {arguments}", lab.a);
    let output = Command::new("ip").args(command.split_whitespace()).output().expect("installed");
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace().peekable();
    let kind = match words.peek() {
        Some(&"local") => RouteKind::Local,
        Some(&"broadcast") => RouteKind::Broadcast,
        Some(&"multicast") => RouteKind::Multicast,
        _ => RouteKind::Unicast,
    };
    let words: Vec<&str> = words.skip(usize::from(kind != RouteKind::Unicast)).collect();
    let behind = |word: &str| {
        let at = words.iter().position(|other| *other == word)?;
        words.get(at + 1).copied()
    };
    let to: Ipv4Addr = words.first()?.parse().ok()?;
    let device = behind("dev")?;
    let index = lab.interfaces().iter().find(|one| one.name == device)?.index;
    let source = behind("src").or(behind("from"))?.parse().ok()?;
    let next_hop = behind("via").map_or(Some(to), |gateway| gateway.parse().ok())?;
    Some((kind, index, source, next_hop))
}

#[test]
fn any_route_is_the_one_that_ip_prints() {
    let Some(lab) = Lab::new() else { return };
    let mut random = Random::new(6);
    lab.ip("address add 10.77.0.3/24 dev pst0");
    lab.ip("link add pst1 type veth peer name pst2");
    lab.ip("address add 10.90.0.1/16 dev pst1");
    lab.ip("link set pst1 up");
    lab.ip("link set pst2 up");
    for _ in 0..24 {
        let to = format!("10.{}.{}.0/24", 76 + random.small(3), random.small(4));
        let way = ["via 10.77.0.2", "dev pst0 src 10.77.0.3", "via 10.90.7.7", "dev pst1"];
        let way = way[random.index(way.len())];
        let metric = random.small(100);
        // The same route twice is refused, which is as good.
        let _ = ip(&format!("-n {} route add {to} {way} metric {metric}", lab.a));
    }
    lab.ip("route add 232.0.0.0/6 dev pst1");
    let mut counts = (0, 0);
    for _ in 0..80 {
        let to = match random.index(8) {
            0 => Ipv4Addr::new(239, random.byte(), 0, 1),
            1 => Ipv4Addr::new(10, 77, 0, [1, 3, 255][random.index(3)]),
            _ => Ipv4Addr::new(10, 76 + random.byte() % 4, random.byte() % 5, random.byte()),
        };
        let from = [None, None, Some(A), Some(Ipv4Addr::new(10, 77, 0, 3))][random.index(4)];
        let from_text = from.map_or(String::new(), |from| format!("from {from}"));
        let expected = naive_route(&lab, &format!("{to} {from_text}"));
        let found = lab.inside(&lab.a, || route(to, from, None).expect("an answer"));
        let found = (found.kind != RouteKind::Unreachable).then_some((
            found.kind,
            found.interface,
            found.source,
            found.next_hop,
        ));
        assert_eq!(found, expected, "{to} {from_text}");
        if expected.is_some() { counts.0 += 1 } else { counts.1 += 1 }
    }
    assert!(counts.0 > 20 && counts.1 > 5, "{counts:?}");
}

#[test]
fn a_neighbour_is_known_once_the_kernel_has_sent_to_it() {
    let Some(lab) = Lab::new() else { return };
    let watcher = lab.watcher();
    lab.ip("route add 10.78.0.0/24 via 10.77.0.2");
    let near = ask(&watcher, B);
    let far = ask(&watcher, Ipv4Addr::new(10, 78, 0, 9));
    wait_why(&near, Unresolved::NoNeighbour);
    wait_why(&far, Unresolved::NoNeighbour);
    lab.send();
    wait_mac(&near, B_MAC);
    wait_mac(&far, B_MAC);
    let found = near.resolved().expect("resolved");
    assert_eq!((found.interface, found.source, found.mtu), (lab.index(), A, 1_500));
    assert!(Arc::ptr_eq(&near, &ask(&watcher, B)), "one for the same question");
}

#[test]
fn a_neighbour_that_changes_or_goes_is_followed() {
    let Some(lab) = Lab::new() else { return };
    let watcher = lab.watcher();
    let destination = ask(&watcher, B);
    wait_why(&destination, Unresolved::NoNeighbour);
    for (mac, last, state) in [
        ("02:00:00:00:00:11", 0x11, "permanent"),
        ("02:00:00:00:00:12", 0x12, "stale"),
        ("02:00:00:00:00:13", 0x13, "reachable"),
        ("02:00:00:00:00:14", 0x14, "noarp"),
    ] {
        lab.put_neighbour(mac, state);
        wait_mac(&destination, [2, 0, 0, 0, 0, last]);
    }
    lab.ip(&format!("neigh del {B} dev pst0"));
    wait_why(&destination, Unresolved::NoNeighbour);
    lab.put_neighbour("02:00:00:00:00:15", "permanent");
    wait_mac(&destination, [2, 0, 0, 0, 0, 0x15]);
    lab.put_neighbour("02:00:00:00:00:15", "failed");
    wait_why(&destination, Unresolved::NoNeighbour);
}

#[test]
fn a_stale_neighbour_that_moved_without_a_word_is_noticed() {
    let Some(lab) = Lab::new() else { return };
    lab.inside(&lab.a, || {
        for (key, value) in [("delay_first_probe_time", "1"), ("retrans_time_ms", "50")] {
            fs::write(format!("/proc/sys/net/ipv4/neigh/pst0/{key}"), value).expect("ours");
        }
    });
    let belt = Duration::from_millis(100);
    let watcher = lab.watcher_with(&WatcherConfig { belt, ..WatcherConfig::default() });
    let destination = ask(&watcher, B);
    lab.put_neighbour("02:00:00:00:00:99", "stale");
    wait_mac(&destination, [2, 0, 0, 0, 0, 0x99]);
    // Whoever sends there is asked to do so through the kernel once; the kernel then asks, nobody answers, and it gives the address up.
    wait_until("a wish to confirm", || destination.take_confirmation());
    assert!(watcher.counts().confirmation_count > 0);
    lab.send();
    wait_why(&destination, Unresolved::NoNeighbour);
    lab.send();
    wait_mac(&destination, B_MAC);
}

#[test]
fn frames_that_a_kernel_left_to_its_interface_are_read() {
    let Some(lab) = Lab::new() else { return };
    let ipv4 = i32::from(0x0800_u16.to_be());
    let tap = lab.inside(&lab.b, || {
        let tap = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ipv4)));
        tap.expect("allowed, as namespaces are")
    });
    tap.set_nonblocking(true).expect("ours");
    lab.send();
    let mut bytes = [0; 2_048];
    let length = wait_for("frame", || {
        let length = (&tap).read(&mut bytes).ok()?;
        bytes[..length].ends_with(b"where are you").then_some(length)
    });
    let udp = read_udp(&bytes[..length]).expect("the kernel's own");
    assert_eq!((udp.source.ip(), udp.destination), (&A, SocketAddrV4::new(B, 9)));
    assert_eq!(udp.payload, b"where are you");
    let path = Path {
        source_mac: A_MAC,
        destination_mac: B_MAC,
        source: udp.source,
        destination: udp.destination,
        ttl: 64,
        tos: 0,
    };
    let mut ours = [0; 2_048];
    assert_eq!(write_udp(&mut ours, &path, udp.payload), length);
    assert_eq!(ours[..18], bytes[..18], "but for the identification, the same up to the checksums");
    assert_eq!((&ours[20..24], &ours[26..40]), (&bytes[20..24], &bytes[26..40]));
    assert_ne!(ours[40..42], bytes[40..42], "the kernel would have had to do it itself");
}

#[test]
fn it_needs_no_privilege() {
    let Some(lab) = Lab::new() else { return };
    lab.put_neighbour("02:00:00:00:00:98", "stale");
    let config = WatcherConfig { belt: Duration::from_millis(50), ..WatcherConfig::default() };
    let watcher = lab.inside(&lab.a, || {
        // Of this thread and those it starts.
        let none = rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, none).expect("fewer are always allowed");
        Watcher::start(&config).expect("it needs none")
    });
    let destination = ask(&watcher, B);
    wait_mac(&destination, [2, 0, 0, 0, 0, 0x98]);
    wait_until("a wish to confirm", || destination.take_confirmation());
    assert!(destination.resolved().is_some() && watcher.is_watching());
    lab.put_neighbour("02:00:00:4d:00:02", "reachable");
    wait_mac(&destination, B_MAC);
}

#[test]
fn what_is_no_neighbour_says_why() {
    let Some(lab) = Lab::new() else { return };
    lab.ip("route add 239.0.0.0/8 dev pst0");
    let watcher = lab.watcher();
    let index = lab.index();
    let lo = lab.interfaces().iter().find(|one| one.is_loopback).map(|one| one.index);
    for (to, from, by, why) in [
        (A, ANY, None, Unresolved::Local),
        (Ipv4Addr::LOCALHOST, ANY, None, Unresolved::Local),
        (GROUP, ANY, lo, Unresolved::Local),
        (Ipv4Addr::new(10, 99, 0, 1), ANY, None, Unresolved::Unreachable),
        (Ipv4Addr::new(10, 77, 0, 255), ANY, None, Unresolved::Broadcast),
        (Ipv4Addr::new(224, 0, 7, 7), ANY, None, Unresolved::Unreachable),
        (B, Ipv4Addr::new(9, 9, 9, 9), None, Unresolved::Unreachable),
        (B, ANY, Some(99_999), Unresolved::InterfaceDown),
    ] {
        wait_why(&watcher.destination(to, from, by).expect("room"), why);
    }
    for (from, by) in [(ANY, None), (A, None), (ANY, Some(index))] {
        let group = watcher.destination(GROUP, from, by).expect("room");
        wait_mac(&group, [0x01, 0x00, 0x5E, 77, 1, 2]);
        assert_eq!(group.resolved().map(|found| (found.interface, found.source)), Some((index, A)));
    }
}

#[test]
fn routes_and_addresses_that_change_are_followed() {
    let Some(lab) = Lab::new() else { return };
    lab.put_neighbour("02:00:00:4d:00:02", "permanent");
    let watcher = lab.watcher();
    let far = ask(&watcher, Ipv4Addr::new(10, 78, 0, 9));
    wait_why(&far, Unresolved::Unreachable);
    lab.ip("route add 10.78.0.0/24 via 10.77.0.2");
    wait_mac(&far, B_MAC);
    lab.ip("route change 10.78.0.0/24 via 10.77.0.2 mtu 1300");
    wait_until("smaller packets", || far.resolved().is_some_and(|found| found.mtu == 1_300));
    lab.ip("link set pst0 mtu 1200");
    wait_until("smallest packets", || far.resolved().is_some_and(|found| found.mtu == 1_200));
    lab.ip("route del 10.78.0.0/24");
    wait_why(&far, Unresolved::Unreachable);

    // By a next hop that routes share, and by a rule.
    lab.ip("nexthop add id 7 via 10.77.0.9 dev pst0");
    lab.ip("route add 10.78.0.0/24 nhid 7");
    wait_why(&far, Unresolved::NoNeighbour);
    lab.ip("nexthop replace id 7 via 10.77.0.2 dev pst0");
    wait_mac(&far, B_MAC);
    lab.ip("rule add to 10.78.0.9 unreachable");
    wait_why(&far, Unresolved::Unreachable);
    lab.ip("rule del to 10.78.0.9 unreachable");
    wait_mac(&far, B_MAC);
    lab.ip("link set pst0 mtu 1500"); // IPv6 leaves an interface of less than 1280
    let over_ipv6 = format!("-n {} route add 10.78.0.9/32 via inet6 fe80::2 dev pst0", lab.a);
    match ip(&over_ipv6) {
        Ok(()) => {
            wait_why(&far, Unresolved::Unsupported);
            lab.ip("route del 10.78.0.9/32");
            wait_mac(&far, B_MAC);
        }
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "skipped: a next hop of IPv6: {why}");
        }
    }

    let other = Ipv4Addr::new(10, 77, 0, 3);
    let from_other = watcher.destination(B, other, None).expect("room");
    wait_why(&from_other, Unresolved::Unreachable);
    lab.ip("address add 10.77.0.3/24 dev pst0");
    wait_mac(&from_other, B_MAC);
    assert_eq!(from_other.resolved().map(|found| found.source), Some(other));
    lab.ip("address del 10.77.0.3/24 dev pst0");
    wait_why(&from_other, Unresolved::Unreachable);
}

#[test]
fn an_interface_that_goes_down_or_away_is_followed() {
    let Some(lab) = Lab::new() else { return };
    lab.ip("route add 239.0.0.0/8 dev pst0");
    let watcher = lab.watcher();
    let index = lab.index();
    let link = watcher.link(index);
    assert!(link.is_up() && Arc::ptr_eq(&link, &watcher.link(index)));
    let here = watcher.destination(GROUP, ANY, Some(index)).expect("room");
    let anywhere = ask(&watcher, GROUP);
    wait_mac(&here, [0x01, 0x00, 0x5E, 77, 1, 2]);
    wait_mac(&anywhere, [0x01, 0x00, 0x5E, 77, 1, 2]);
    let mut generation = link.generation();
    let mut grown = |up: bool| {
        wait_until("change of the link", || link.is_up() == up && link.generation() > generation);
        generation = link.generation();
    };

    lab.ip("link set pst0 down");
    grown(false);
    wait_why(&here, Unresolved::InterfaceDown);
    wait_why(&anywhere, Unresolved::Unreachable); // its route went with the interface
    lab.ip("link set pst0 up");
    grown(true);
    wait_mac(&here, [0x01, 0x00, 0x5E, 77, 1, 2]);

    // Its carrier goes and comes back with the other end.
    lab.ip("route add 239.0.0.0/8 dev pst0");
    wait_mac(&anywhere, [0x01, 0x00, 0x5E, 77, 1, 2]);
    ip(&format!("-n {} link set pst0 down", lab.b)).expect("the other end");
    grown(false);
    wait_why(&here, Unresolved::InterfaceDown);
    wait_why(&anywhere, Unresolved::InterfaceDown);
    ip(&format!("-n {} link set pst0 up", lab.b)).expect("the other end");
    grown(true);
    wait_mac(&anywhere, [0x01, 0x00, 0x5E, 77, 1, 2]);

    lab.ip("link del pst0");
    grown(false);
    wait_why(&here, Unresolved::InterfaceDown);
    wait_why(&anywhere, Unresolved::Unreachable);
}

#[test]
fn an_interface_that_leaves_a_bridge_is_still_there() {
    let Some(lab) = Lab::new() else { return };
    if let Err(why) = ip(&format!("-n {} link add pstbr type bridge", lab.a)) {
        let _ = writeln!(std::io::stderr(), "skipped: bridges: {why}");
        return;
    }
    let watcher = lab.watcher();
    let (link, bridge) = (watcher.link(lab.index()), ask(&watcher, B));
    let generation = link.generation();
    lab.ip("link set pst0 master pstbr");
    lab.ip("link set pst0 nomaster");
    lab.put_neighbour("02:00:00:00:00:16", "permanent"); // heard after the rest
    wait_mac(&bridge, [2, 0, 0, 0, 0, 0x16]);
    assert_eq!((link.is_up(), link.generation()), (true, generation));
}

#[test]
fn lost_events_are_made_good() {
    let Some(lab) = Lab::new() else { return };
    let belt = Duration::from_secs(3_600);
    let config = WatcherConfig { belt, event_buffer_bytes: 1, ..WatcherConfig::default() };
    let watcher = lab.watcher_with(&config);
    let (link, destination) = (watcher.link(lab.index()), ask(&watcher, B));
    let batch = tempfile::NamedTempFile::new().expect("a file");
    let neighbour = |last: u8| {
        format!("neigh replace 10.77.0.{last} lladdr 02:00:00:00:00:11 dev pst0 nud permanent\n")
    };
    fs::write(batch.path(), (2..250).map(neighbour).collect::<String>()).expect("written");
    // An interface that goes down takes all its neighbours with it at once: more than there is room for to hear of.
    let mut rounds = 0..50;
    while watcher.counts().overrun_count == 0 {
        assert!(rounds.next().is_some(), "no event was lost in 50 rounds");
        lab.ip(&format!("-batch {}", batch.path().display()));
        wait_mac(&destination, [2, 0, 0, 0, 0, 0x11]);
        lab.ip("link set pst0 down");
        wait_until("link down", || !link.is_up());
        wait_why(&destination, Unresolved::Unreachable);
        lab.ip("link set pst0 up");
        wait_until("link up", || link.is_up());
        wait_why(&destination, Unresolved::NoNeighbour);
    }
}

#[test]
fn the_belt_finds_what_was_not_heard() {
    let Some(lab) = Lab::new() else { return };
    let belt = Duration::from_millis(20);
    let watcher = lab.watcher_with(&WatcherConfig { belt, ..WatcherConfig::default() });
    let destination = ask(&watcher, A);
    wait_why(&destination, Unresolved::Local);
    let before = watcher.counts().look_up_count;
    wait_until("two more look-ups", || watcher.counts().look_up_count >= before + 2);
}
