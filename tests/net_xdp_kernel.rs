//! What a sender past the kernel is told of it, held against a real kernel: two network namespaces, a virtual pair between them.
//!
//! Namespaces need CAP_SYS_ADMIN and CAP_NET_ADMIN; where they cannot be made the tests say that they skip.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use postern::net::xdp::kernel::{
    DESTINATION_COUNT_MAX, Destination, Interface, LINK_COUNT_MAX, RouteKind, SOCKET_COUNT_MAX,
    Unresolved, Watcher, WatcherConfig, interfaces, route,
};

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

/// Namespaces `a` and `b`, joined by a pair: `pst0` in both, 10.77.0.1/24 and 10.77.0.2/24.
struct Lab {
    a: String,
    b: String,
}

static LABS: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// None, told, where there is no privilege for it.
    fn new() -> Option<Lab> {
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
            let socket = UdpSocket::bind((A, 0)).expect("ours");
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
    // The kernel asks there, nobody answers, and it gives the address up.
    wait_why(&destination, Unresolved::NoNeighbour);
    let counts = watcher.counts();
    assert!(counts.refresh_count > 0 && counts.refresh_refused_count == 0, "{counts:?}");
    lab.send();
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
    let batch = std::env::temp_dir().join(format!("{}.batch", lab.a));
    let neighbour = |last: u8| {
        format!("neigh replace 10.77.0.{last} lladdr 02:00:00:00:00:11 dev pst0 nud permanent\n")
    };
    fs::write(&batch, (2..250).map(neighbour).collect::<String>()).expect("written");
    // An interface that goes down takes all its neighbours with it at once: more than there is room for to hear of.
    let mut rounds = 0..50;
    while watcher.counts().overrun_count == 0 {
        assert!(rounds.next().is_some(), "no event was lost in 50 rounds");
        lab.ip(&format!("-batch {}", batch.display()));
        wait_mac(&destination, [2, 0, 0, 0, 0, 0x11]);
        lab.ip("link set pst0 down");
        wait_until("link down", || !link.is_up());
        wait_why(&destination, Unresolved::Unreachable);
        lab.ip("link set pst0 up");
        wait_until("link up", || link.is_up());
        wait_why(&destination, Unresolved::NoNeighbour);
    }
    fs::remove_file(&batch).expect("ours");
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

#[test]
fn a_full_table_refuses_and_makes_room_for_what_is_no_longer_held() {
    let watcher = Watcher::start(&WatcherConfig::default()).expect("it starts");
    let address = |number: usize| {
        let [high, low] = u16::try_from(number).expect("small").to_be_bytes();
        Ipv4Addr::new(127, 9, high, low)
    };
    let mut held: Vec<_> =
        (0..DESTINATION_COUNT_MAX).map(|number| ask(&watcher, address(number))).collect();
    assert!(watcher.destination(address(9_999), ANY, None).is_none());
    assert_eq!(watcher.counts().table_full_count, 1);
    assert!(watcher.destination(address(7), ANY, None).is_some(), "a known one has its place");
    for destination in &held {
        wait_why(destination, Unresolved::Local);
    }
    held.truncate(DESTINATION_COUNT_MAX / 2);
    wait_until("room", || watcher.destination(address(9_999), ANY, None).is_some());

    let links: Vec<_> = (0..LINK_COUNT_MAX)
        .map(|number| watcher.link(u32::try_from(number + 1_000_000).expect("small")))
        .collect();
    assert!(links.iter().all(|link| !link.is_up()));
    let lo = interfaces().expect("some").into_iter().find(|one| one.is_loopback && one.is_up);
    if let Some(lo) = lo {
        assert!(!watcher.link(lo.index).is_up(), "no room for it");
        drop(links);
        assert!(watcher.link(lo.index).is_up());
    }
}

/// A socket on loopback that does not block, and one that sends to it.
fn sockets() -> (UdpSocket, UdpSocket) {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    receiver.set_nonblocking(true).expect("ours");
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    sender.connect(receiver.local_addr().expect("bound")).expect("loopback");
    (receiver, sender)
}

/// How many datagrams there are to read.
fn read_all(socket: &UdpSocket) -> u64 {
    let mut count = 0;
    while socket.recv(&mut [0; 64]).is_ok() {
        count += 1;
    }
    count
}

#[test]
fn a_socket_is_ready_when_it_has_something_and_only_then() {
    let watcher = Watcher::start(&WatcherConfig::default()).expect("it starts");
    let (receiver, sender) = sockets();
    let flag = watcher.watch_socket(receiver.as_fd()).expect("watched");
    let (other, other_sender) = sockets();
    let other_flag = watcher.watch_socket(other.as_fd()).expect("watched");
    assert!(!flag.is_ready());
    sender.send(b"one").expect("sent");
    wait_until("datagram", || flag.is_ready());
    assert_eq!(read_all(&receiver), 1);
    flag.rearm();
    // What is told of another socket later was told in order: the first had nothing in between.
    other_sender.send(b"two").expect("sent");
    wait_until("other datagram", || other_flag.is_ready());
    assert!(!flag.is_ready());
    sender.send(b"three").expect("sent");
    wait_until("next datagram", || flag.is_ready());
    // Armed again without reading: it is told at once of what is still there.
    flag.rearm();
    wait_until("unread datagram", || flag.is_ready());
}

#[test]
fn what_is_there_before_it_is_watched_is_told() {
    let watcher = Watcher::start(&WatcherConfig::default()).expect("it starts");
    let (receiver, sender) = sockets();
    sender.send(b"early").expect("sent");
    let flag = watcher.watch_socket(receiver.as_fd()).expect("watched");
    wait_until("datagram", || flag.is_ready());
}

#[test]
fn no_datagram_is_missed_while_it_is_rearmed() {
    const COUNT: u64 = 20_000;
    let watcher = Watcher::start(&WatcherConfig::default()).expect("it starts");
    let (receiver, sender) = sockets();
    let flag = watcher.watch_socket(receiver.as_fd()).expect("watched");
    let read = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One or two under way: the next leaves while the last is read and the flag rearmed.
            for number in 0..COUNT {
                let ahead = number % 2;
                wait_for("reader", || {
                    for _ in 0..2_000 {
                        if read.load(Ordering::Relaxed) + ahead >= number {
                            return Some(());
                        }
                        std::thread::yield_now();
                    }
                    None
                });
                sender.send(b"datagram").expect("sent");
            }
        });
        while read.load(Ordering::Relaxed) < COUNT {
            wait_for("datagram", || {
                for _ in 0..2_000 {
                    if flag.is_ready() {
                        return Some(());
                    }
                    std::thread::yield_now();
                }
                None
            });
            read.fetch_add(read_all(&receiver), Ordering::Relaxed);
            flag.rearm();
        }
    });
    assert_eq!(read.load(Ordering::Relaxed), COUNT);
}

#[test]
fn a_socket_closed_first_and_a_flag_dropped_first_are_both_safe() {
    let watcher = Watcher::start(&WatcherConfig::default()).expect("it starts");
    for _ in 0..SOCKET_COUNT_MAX + 10 {
        let (receiver, sender) = sockets();
        let flag = watcher.watch_socket(receiver.as_fd()).expect("room: the others are gone");
        sender.send(b"datagram").expect("sent");
        drop(receiver);
        flag.rearm();
        drop(flag);
    }
    let (receiver, sender) = sockets();
    drop(watcher.watch_socket(receiver.as_fd()).expect("watched"));
    let flag = watcher.watch_socket(receiver.as_fd()).expect("watched again");
    sender.send(b"datagram").expect("sent");
    wait_until("datagram", || flag.is_ready());
    assert!(watcher.is_watching() && watcher.fault().is_none());
}

#[test]
fn what_outlives_the_watcher_is_unresolved_down_or_to_be_polled() {
    let watcher = Watcher::start(&WatcherConfig::default()).expect("it starts");
    let destination = ask(&watcher, Ipv4Addr::LOCALHOST);
    wait_why(&destination, Unresolved::Local);
    let lo = interfaces().expect("some").into_iter().find(|one| one.is_loopback).expect("lo");
    let link = watcher.link(lo.index);
    let (receiver, _sender) = sockets();
    let flag = watcher.watch_socket(receiver.as_fd()).expect("watched");
    assert!(!flag.is_ready());
    drop(watcher);
    assert_eq!(destination.why(), Some(Unresolved::Unwatched));
    assert!(!link.is_up());
    assert!(flag.is_ready());
    flag.rearm();
    assert!(flag.is_ready());
}

#[test]
fn the_thread_has_its_name_and_ends_with_the_watcher() {
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").expect("Linux");
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim() == "xdp-watch").count()
    };
    let watcher = Watcher::start(&WatcherConfig::default()).expect("it starts");
    wait_until("named thread", || threads() > 0);
    // Other tests have theirs in this process: this one's is joined by the drop, or it would hang here.
    drop(watcher);
}
