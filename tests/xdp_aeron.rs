//! Aeron over AF_XDP between hosts of a lab, with a driver over AF_XDP at both ends and with one of Aeron's own at either.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/transport.rs"]
mod support;
#[path = "support/xdp_driver.rs"]
mod xdp_driver;

use std::cell::Cell;
use std::collections::VecDeque;

use lab::{Lab, Namespace};
use postern::net::xdp::WantedMode;
use postern::runtime::{GuardedAllocator, HotZone, NetworkNamespace, hot_allocation_count};
use postern::transport::xdp::{XdpStats, XdpView};
use postern::transport::{
    AeronConfig, Client, Driver, DriverIdle, DriverMode, Inbound, Outbound, Publication,
    Subscription,
};
use support::{Directory, Process, now, wait_for};

const STREAM: i32 = 1001;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

/// How a host's driver reaches the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Aeron's own transport.
    Kernel,
    Xdp(WantedMode),
}

const GENERIC: Over = Over::Xdp(WantedMode::Generic);
const NATIVE: Over = Over::Xdp(WantedMode::Native);

/// A host of the lab: a client and the driver it runs, whose sockets are made there.
struct Host {
    client: Client,
    view: Option<XdpView>,
    // After the client.
    _driver: Option<Driver>,
    namespace: NetworkNamespace,
    _directory: Directory,
}

impl Host {
    fn new(of: &Namespace, over: Over) -> Host {
        Host::with(of, over, |config| config)
    }

    fn with(of: &Namespace, over: Over, change: impl FnOnce(AeronConfig) -> AeronConfig) -> Host {
        let namespace = NetworkNamespace::named(of.name()).expect("the lab lives");
        let directory = Directory::new();
        let config = change(directory.calm());
        let interfaces: Vec<&str> = of.ends().iter().map(|end| end.interface.as_str()).collect();
        let (client, driver, view) = namespace
            .run(|| {
                let transport = match over {
                    Over::Kernel => None,
                    Over::Xdp(mode) => Some(xdp_driver::transport(&interfaces, mode)),
                };
                let view = transport.as_ref().map(|transport| transport.view());
                if config.mode == DriverMode::Invoker {
                    let client = Client::start_over(&config, transport).expect("started");
                    return (client, None, view);
                }
                let driver = Driver::start_over(&config, transport).expect("started");
                (Client::connect(&config).expect("connected"), Some(driver), view)
            })
            .expect("whoever made it may enter it");
        Host { client, view, _driver: driver, namespace, _directory: directory }
    }

    /// Does something on the host: what makes sockets makes them there.
    fn run<T>(&mut self, work: impl FnOnce(&mut Client) -> T) -> T {
        let client = &mut self.client;
        self.namespace.run(|| work(client)).expect("whoever made it may enter it")
    }

    fn serve(&mut self) {
        self.run(|client| client.service(now()).expect("up"));
    }

    fn publish(&mut self, channel: &str) -> Publication {
        self.run(|client| client.add_publication(channel, STREAM).expect("published"))
    }

    fn subscribe(&mut self, channel: &str) -> Subscription {
        self.run(|client| client.add_subscription(channel, STREAM).expect("subscribed"))
    }

    fn view(&self) -> &XdpView {
        self.view.as_ref().expect("over AF_XDP")
    }

    /// No frame is lost or in use twice.
    fn check_frames(&mut self) {
        let Some(view) = self.view.clone() else { return };
        for (interface, frames) in view.count_frames() {
            assert_eq!(frames.total(), 4_096 + 1_024, "{interface}: {frames:?}");
            assert_eq!((frames.received, frames.receiving), (0, 4_096), "{interface}: {frames:?}");
        }
    }
}

/// How far a test came: messages sent, and for each subscription those that have not arrived.
#[derive(Default)]
struct Progress(Cell<(u32, Vec<usize>)>);

impl Drop for Progress {
    #[allow(clippy::print_stdout, reason = "what a failed test has to tell")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("sent, and missing by subscription: {:?}", self.0.take());
        }
    }
}

impl Drop for Host {
    /// A test that fails tells what its drivers did.
    #[allow(clippy::print_stdout, reason = "what a failed test has to tell")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let view = self.view.as_ref();
            println!("{:?} {:?}", self.client, view.map(XdpView::stats));
            println!("{:?}", view.map(|view| (view.count_frames(), view.statistics())));
        }
    }
}

/// Drives both until `done`.
#[track_caller]
fn drive(hosts: &mut [&mut Host], what: &str, mut done: impl FnMut() -> bool) {
    wait_for(what, || {
        hosts.iter_mut().for_each(|host| host.serve());
        done().then_some(())
    });
}

/// A numbered message of a length that depends on its number.
fn message(number: u32, longest: usize) -> Vec<u8> {
    let length = 4 + usize::try_from(number).expect("small") * 37 % (longest - 4);
    let mut bytes = vec![number.to_le_bytes()[0]; length];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Sends `count` messages, and makes sure that all arrive, in order and whole.
#[track_caller]
fn carry(hosts: &mut [&mut Host], from: &mut Publication, to: &mut [Subscription], count: u32) {
    carry_while(hosts, from, to, count, |_, _| {});
}

/// As [`carry`]; `disturb` is told how many were sent, after each turn.
#[track_caller]
fn carry_while(
    hosts: &mut [&mut Host],
    from: &mut Publication,
    to: &mut [Subscription],
    count: u32,
    mut disturb: impl FnMut(&mut [&mut Host], u32),
) {
    let longest = from.message_bytes_max();
    let (mut sent, mut expected) = (0, vec![VecDeque::new(); to.len()]);
    let progress = Progress::default();
    wait_for("all messages", || {
        hosts.iter_mut().for_each(|host| host.serve());
        while sent < count {
            let bytes = message(sent, longest);
            if support::offer(from, &bytes).is_err() {
                break;
            }
            expected.iter_mut().for_each(|queue| queue.push_back(bytes.clone()));
            sent += 1;
        }
        disturb(hosts, sent);
        for (subscription, queue) in to.iter_mut().zip(&mut expected) {
            let mut check = |fragment: postern::transport::Fragment<'_>| {
                assert_eq!(queue.pop_front().as_deref(), Some(fragment.bytes));
            };
            subscription.poll(64, &mut check).expect("open");
        }
        let missing: Vec<usize> = expected.iter().map(VecDeque::len).collect();
        progress.0.set((sent, missing.clone()));
        (sent == count && missing.iter().all(|count| *count == 0)).then_some(())
    });
}

#[track_caller]
fn connect(hosts: &mut [&mut Host], from: &Publication, to: &[Subscription]) {
    drive(hosts, "connection", || from.is_connected() && to.iter().all(Subscription::is_connected));
}

/// Sends until the driver of the sender, where it is over AF_XDP, knows the way; what it did until then.
#[track_caller]
fn warm_up(hosts: &mut [&mut Host], from: &mut Publication, to: &mut [Subscription]) -> XdpStats {
    let stats =
        |hosts: &[&mut Host]| hosts[0].view.as_ref().map(XdpView::stats).unwrap_or_default();
    wait_for("a way past the kernel", || {
        carry(hosts, from, to, 10);
        (hosts[0].view.is_none() || stats(hosts).sent > 20).then_some(())
    });
    stats(hosts)
}

/// What a driver over AF_XDP did since `before` was done by it, and not by the kernel's sockets that stand behind it.
#[track_caller]
fn check_bypass(host: &Host, before: XdpStats) {
    let stats = host.view().stats();
    let since = |count: fn(&XdpStats) -> u64| count(&stats) - count(&before);
    let (received, sent) = (since(|stats| stats.received), since(|stats| stats.sent));
    assert!(received > 50 && sent > 50, "{before:?}, {stats:?}");
    let (in_kernel, out_kernel) =
        (since(|stats| stats.kernel_received), since(|stats| stats.kernel_sent));
    assert_eq!((in_kernel, out_kernel), (0, 0), "{before:?}, {stats:?}");
    assert_eq!((stats.refused, stats.kick_errors, stats.ring_full), (0, 0, 0), "{stats:?}");
    assert_eq!(host.view().fallbacks(), 0, "{:?}", host.view().take_told());
}

#[test]
fn unicast_both_ways_with_either_end_past_the_kernel() {
    for (a, b) in [
        (GENERIC, GENERIC),
        (GENERIC, Over::Kernel),
        (Over::Kernel, GENERIC),
        (NATIVE, NATIVE),
        (NATIVE, Over::Kernel),
    ] {
        let Some(lab) = Lab::new("unicast") else { return };
        let hosts = ["a", "b"].map(|host| lab.namespace(host));
        let [mut a, mut b] = [Host::new(&hosts[0], a), Host::new(&hosts[1], b)];
        let at = |host: &Namespace| format!("aeron:udp?endpoint={}:20121", host.address());
        let mut at_b = [b.subscribe(&at(&hosts[1]))];
        let mut at_a = [a.subscribe(&at(&hosts[0]))];
        let mut to_b = a.publish(&at(&hosts[1]));
        let mut to_a = b.publish(&at(&hosts[0]));
        connect(&mut [&mut a, &mut b], &to_b, &at_b);
        connect(&mut [&mut a, &mut b], &to_a, &at_a);
        let before = [
            warm_up(&mut [&mut a, &mut b], &mut to_b, &mut at_b),
            warm_up(&mut [&mut b, &mut a], &mut to_a, &mut at_a),
        ];
        carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 3_000);
        carry(&mut [&mut a, &mut b], &mut to_a, &mut at_a, 3_000);
        for (host, before) in [&mut a, &mut b].into_iter().zip(before) {
            if host.view.is_some() {
                check_bypass(host, before);
                host.check_frames();
            }
        }
    }
}

#[test]
fn multicast_with_either_end_past_the_kernel() {
    for (a, b) in [(GENERIC, GENERIC), (GENERIC, Over::Kernel), (Over::Kernel, GENERIC)] {
        let Some(lab) = Lab::new("multicast") else { return };
        let hosts = ["a", "b"].map(|host| lab.namespace(host));
        let [mut a, mut b] = [Host::new(&hosts[0], a), Host::new(&hosts[1], b)];
        let on = |host: &Namespace| {
            format!("aeron:udp?endpoint=239.20.30.39:20121|interface={}", host.address())
        };
        let mut at_b = [b.subscribe(&on(&hosts[1]))];
        let mut to_b = a.publish(&on(&hosts[0]));
        connect(&mut [&mut a, &mut b], &to_b, &at_b);
        carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 3_000);
        for host in [&mut a, &mut b] {
            host.check_frames();
            let Some(view) = &host.view else { continue };
            let stats = view.stats();
            assert!(stats.received > 50 && stats.sent > 50, "{stats:?}");
            assert_eq!(view.fallbacks(), 0, "{:?}", view.take_told());
        }
    }
}

#[test]
fn a_group_that_this_host_has_joined_is_heard_here_too() {
    let Some(lab) = Lab::new("joined") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let [mut a, mut b] = [Host::new(&hosts[0], GENERIC), Host::new(&hosts[1], GENERIC)];
    // A receiver of which the sender hears later than of the other could be left behind, unless it waits for both.
    let on = |host: &Namespace| {
        format!("aeron:udp?endpoint=239.20.30.39:20121|interface={}|fc=min,g:/2", host.address())
    };
    let mut everywhere = [b.subscribe(&on(&hosts[1])), a.subscribe(&on(&hosts[0]))];
    let mut from_a = a.publish(&on(&hosts[0]));
    connect(&mut [&mut a, &mut b], &from_a, &everywhere);
    carry(&mut [&mut a, &mut b], &mut from_a, &mut everywhere, 1_000);
    let stats = a.view().stats();
    assert!(stats.kernel_sent > 500, "the kernel alone can do that: {stats:?}");
}

#[test]
fn many_destinations_of_one_publication() {
    let Some(lab) = Lab::of("destinations", &["a=b", "a=c"]) else { return };
    let hosts = ["a", "b", "c"].map(|host| lab.namespace(host));
    let overs = [GENERIC, GENERIC, Over::Kernel];
    let [mut a, mut b, mut c] = [0, 1, 2].map(|place| Host::new(&hosts[place], overs[place]));
    // Each of the two reaches it by its own cable.
    let control = |peer: &str| hosts[0].end_to(peer).address;
    let subscribe = |host: &Namespace, peer: &str| {
        let (own, control) = (host.address(), control(peer));
        format!("aeron:udp?endpoint={own}:20122|control={control}:20121|control-mode=dynamic")
    };
    let mut to_all = a.publish("aeron:udp?control=0.0.0.0:20121|control-mode=dynamic|fc=min,g:/2");
    let mut at_all =
        [b.subscribe(&subscribe(&hosts[1], "b")), c.subscribe(&subscribe(&hosts[2], "c"))];
    connect(&mut [&mut a, &mut b, &mut c], &to_all, &at_all);
    let before = warm_up(&mut [&mut a, &mut b, &mut c], &mut to_all, &mut at_all);
    carry(&mut [&mut a, &mut b, &mut c], &mut to_all, &mut at_all, 3_000);
    let stats = a.view().stats();
    assert!(stats.sent - before.sent > 2_000, "{before:?}, {stats:?}");
    assert_eq!(a.view().fallbacks(), 0, "{:?}", a.view().take_told());
    a.check_frames();
    b.check_frames();
}

#[test]
fn a_driver_with_threads_of_its_own_shares_the_queue_between_them() {
    for mode in [DriverMode::Shared, DriverMode::Dedicated] {
        let Some(lab) = Lab::new("threads") else { return };
        let hosts = ["a", "b"].map(|host| lab.namespace(host));
        let threads = |config| AeronConfig { mode, idle: DriverIdle::Yield, ..config };
        let mut a = Host::with(&hosts[0], GENERIC, threads);
        let mut b = Host::new(&hosts[1], GENERIC);
        let at = |host: &Namespace| format!("aeron:udp?endpoint={}:20121", host.address());
        let mut at_b = [b.subscribe(&at(&hosts[1]))];
        let mut at_a = [a.subscribe(&at(&hosts[0]))];
        let mut to_b = a.publish(&at(&hosts[1]));
        let mut to_a = b.publish(&at(&hosts[0]));
        connect(&mut [&mut a, &mut b], &to_b, &at_b);
        connect(&mut [&mut a, &mut b], &to_a, &at_a);
        carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 5_000);
        carry(&mut [&mut a, &mut b], &mut to_a, &mut at_a, 5_000);
        let stats = a.view().stats();
        assert!(stats.received > 100 && stats.sent > 100, "{stats:?}");
    }
}

#[test]
fn what_does_not_fit_into_a_frame_goes_through_the_kernel() {
    let Some(lab) = Lab::new("large") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let large = |config| AeronConfig { mtu_bytes: 8_192, ..config };
    let mut a = Host::with(&hosts[0], GENERIC, large);
    let mut b = Host::with(&hosts[1], GENERIC, large);
    let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
    let mut at_b = [b.subscribe(&channel)];
    let mut to_b = a.publish(&channel);
    connect(&mut [&mut a, &mut b], &to_b, &at_b);
    carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 500);
    let (sent, received) = (a.view().stats(), b.view().stats());
    assert!(sent.kernel_sent > 50 && sent.sent > 0, "{sent:?}");
    assert!(received.kernel_received > 0, "fragments are the kernel's to join: {received:?}");
    b.check_frames();
}

/// Where a publication's driver sends from, as it told.
fn sender_of(host: &Host) -> String {
    let told = host.view().take_told();
    let line = told.iter().rev().find_map(|told| told.line.strip_prefix("Aeron sender at "));
    line.and_then(|line| line.split(' ').next()).expect("it has a sender").to_owned()
}

/// Datagrams of no Aeron from another port of a host.
fn datagrams(from: &Namespace, to: &str, count: usize) {
    from.enter(|| {
        let socket = std::net::UdpSocket::bind((from.address(), 0)).expect("a port");
        for _ in 0..count {
            socket.send_to(&[0; 64], to).expect("sent");
        }
    });
}

#[test]
fn a_connected_transport_takes_nothing_from_anybody_else() {
    let Some(lab) = Lab::new("others") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let [mut a, mut b] = [Host::new(&hosts[0], GENERIC), Host::new(&hosts[1], Over::Kernel)];
    let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
    let mut at_b = [b.subscribe(&channel)];
    let mut to_b = a.publish(&channel);
    connect(&mut [&mut a, &mut b], &to_b, &at_b);
    datagrams(&hosts[1], &sender_of(&a), 500);
    let view = a.view().clone();
    drive(&mut [&mut a, &mut b], "the others' datagrams", || view.stats().refused >= 500);
    carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 300);
    a.check_frames();
}

#[test]
fn what_was_on_its_way_to_a_transport_that_goes_is_given_back() {
    for mode in [DriverMode::Invoker, DriverMode::Dedicated] {
        let Some(lab) = Lab::new("going") else { return };
        let hosts = ["a", "b"].map(|host| lab.namespace(host));
        let hasty =
            |config| AeronConfig { mode, idle: DriverIdle::Yield, image_liveness_ms: 50, ..config };
        let mut a = Host::with(&hosts[0], GENERIC, hasty);
        let soon = |config| AeronConfig { image_liveness_ms: 50, ..config };
        let mut b = Host::with(&hosts[1], Over::Kernel, soon);
        let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
        let at_b = [b.subscribe(&channel)];
        // The driver's other half goes on, and finds what is for the one that has nothing any more.
        let own = a.subscribe(&format!("aeron:udp?endpoint={}:20121", hosts[0].address()));
        for _ in 0..5 {
            let to_b = a.publish(&channel);
            connect(&mut [&mut a, &mut b], &to_b, &at_b);
            let sender = sender_of(&a);
            drop(to_b);
            let view = a.view().clone();
            drive(&mut [&mut a, &mut b], "its end", || {
                datagrams(&hosts[1], &sender, 40);
                // Nobody is connected, or the program is not told of it any more: the count stands still.
                let before = view.stats().refused;
                datagrams(&hosts[1], &sender, 40);
                !at_b[0].is_connected() && view.stats().refused == before
            });
        }
        drop(own);
        drive(&mut [&mut a, &mut b], "the last frames", || true);
        if mode == DriverMode::Invoker {
            a.check_frames();
        }
        let view = a.view().clone();
        let received =
            || view.count_frames().iter().map(|(_, frames)| frames.received).sum::<usize>();
        drive(&mut [&mut a, &mut b], "every frame", || received() == 0);
    }
}

#[test]
fn more_receivers_of_a_group_than_can_share_it_are_all_heard() {
    let Some(lab) = Lab::new("many") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let [mut a, mut b] = [Host::new(&hosts[0], Over::Kernel), Host::new(&hosts[1], GENERIC)];
    let on = |host: &Namespace, more: &str| {
        let interface = host.address();
        format!("aeron:udp?endpoint=239.20.30.39:20121|interface={interface}{more}")
    };
    let tagged = |number: u32| on(&hosts[1], &format!("|tags={},{}", 100 + number, 200 + number));
    let mut at_b: Vec<Subscription> = (0..6).map(|number| b.subscribe(&tagged(number))).collect();
    let mut to_b = a.publish(&on(&hosts[0], "|fc=min,g:/6"));
    connect(&mut [&mut a, &mut b], &to_b, &at_b);
    carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 300);
    b.check_frames();
}

#[test]
fn what_an_interface_takes_and_a_frame_does_not_goes_through_the_kernel() {
    let Some(lab) = Lab::new("jumbo") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    for host in &hosts {
        host.ip(&["link", "set", "veth1", "mtu", "9000"]);
    }
    let large = |config| AeronConfig { mtu_bytes: 8_192, ..config };
    let mut a = Host::with(&hosts[0], GENERIC, large);
    let mut b = Host::with(&hosts[1], Over::Kernel, large);
    let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
    let mut at_b = [b.subscribe(&channel)];
    let mut to_b = a.publish(&channel);
    connect(&mut [&mut a, &mut b], &to_b, &at_b);
    carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 500);
    let stats = a.view().stats();
    assert!(stats.kernel_sent > 50 && stats.sent > 0, "{stats:?}");
    a.check_frames();
}

#[test]
fn a_driver_that_ended_has_no_queue_any_more_although_somebody_looks_on() {
    let Some(lab) = Lab::new("ended") else { return };
    let host = lab.namespace("a");
    let ended = Host::new(&host, GENERIC);
    let view = ended.view().clone();
    assert!(has_program(&host));
    drop(ended);
    assert!(!has_program(&host));
    assert_eq!(view.count_frames()[0].1.total(), 0);
    // And another may have it.
    Host::new(&host, GENERIC).check_frames();
}

#[test]
fn what_cannot_be_bypassed_works_and_is_told() {
    let Some(lab) = Lab::of("fallback", &["a=b", "a=c"]) else { return };
    let hosts = ["a", "b", "c"].map(|host| lab.namespace(host));
    // Of the first only one of two interfaces is bypassed.
    let namespace = NetworkNamespace::named(hosts[0].name()).expect("the lab lives");
    let directory = Directory::new();
    let (client, view) = namespace
        .run(|| {
            let transport = xdp_driver::transport(&["veth1"], WantedMode::Generic);
            let view = transport.view();
            (Client::start_over(&directory.calm(), Some(transport)).expect("started"), view)
        })
        .expect("entered");
    let mut a = Host { client, view: Some(view), _driver: None, namespace, _directory: directory };
    let mut c = Host::new(&hosts[2], Over::Kernel);
    let far = format!("aeron:udp?endpoint={}:20121", hosts[2].address());
    let own = format!("aeron:udp?endpoint={}:20123", hosts[0].address());
    for (name, channel) in
        [("loopback", "aeron:udp?endpoint=127.0.0.1:20122"), ("own address", own.as_str())]
    {
        let mut here = [a.subscribe(channel)];
        let mut there = a.publish(channel);
        connect(&mut [&mut a], &there, &here);
        carry(&mut [&mut a], &mut there, &mut here, 300);
        assert!(a.view().fallbacks() > 0, "{name}");
    }
    let mut at_c = [c.subscribe(&far)];
    let mut to_c = a.publish(&far);
    connect(&mut [&mut a, &mut c], &to_c, &at_c);
    carry(&mut [&mut a, &mut c], &mut to_c, &mut at_c, 300);
    let told = a.view().take_told();
    let tells = |what: &[&str]| {
        let line = |line: &str| what.iter().all(|part| line.contains(part));
        told.iter().any(|told| told.is_fallback && line(&told.line) && !told.line.contains('\n'))
    };
    assert!(tells(&["receiver at 127.0.0.1:20122: through the kernel", "loopback"]), "{told:?}");
    assert!(tells(&["sender at", "to 127.0.0.1:20122: through the kernel"]), "{told:?}");
    assert!(tells(&["sender at", ":20123: through the kernel", "of this host"]), "{told:?}");
    assert!(
        tells(&["sender at", ":20121: through the kernel", "of no interface with AF_XDP"]),
        "{told:?}"
    );
}

#[test]
fn a_peer_that_starts_again_is_connected_again() {
    for (a, b) in [(GENERIC, GENERIC), (GENERIC, Over::Kernel), (Over::Kernel, GENERIC)] {
        let Some(lab) = Lab::new("restart") else { return };
        let hosts = ["a", "b"].map(|host| lab.namespace(host));
        let alert = |config| AeronConfig { image_liveness_ms: 300, ..config };
        let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
        let mut publisher = Host::with(&hosts[0], a, alert);
        let mut to_b = publisher.publish(&channel);
        for _ in 0..3 {
            let mut subscriber = Host::with(&hosts[1], b, alert);
            let mut at_b = [subscriber.subscribe(&channel)];
            connect(&mut [&mut publisher, &mut subscriber], &to_b, &at_b);
            carry(&mut [&mut publisher, &mut subscriber], &mut to_b, &mut at_b, 200);
            subscriber.check_frames();
            drop((at_b, subscriber));
            drive(&mut [&mut publisher], "the subscriber's end", || !to_b.is_connected());
        }
        let mut subscriber = Host::with(&hosts[1], b, alert);
        let mut at_b = [subscriber.subscribe(&channel)];
        connect(&mut [&mut publisher, &mut subscriber], &to_b, &at_b);
        drop((to_b, publisher));
        drive(&mut [&mut subscriber], "the publisher's end", || !at_b[0].is_connected());
        let mut publisher = Host::with(&hosts[0], a, alert);
        let mut to_b = publisher.publish(&channel);
        connect(&mut [&mut publisher, &mut subscriber], &to_b, &at_b);
        carry(&mut [&mut publisher, &mut subscriber], &mut to_b, &mut at_b, 200);
        publisher.check_frames();
        subscriber.check_frames();
    }
}

#[test]
fn an_interface_that_goes_down_and_up_loses_nothing() {
    for (a, b) in [(GENERIC, GENERIC), (NATIVE, Over::Kernel), (Over::Kernel, GENERIC)] {
        let Some(lab) = Lab::new("updown") else { return };
        let hosts = ["a", "b"].map(|host| lab.namespace(host));
        let [mut a, mut b] = [Host::new(&hosts[0], a), Host::new(&hosts[1], b)];
        let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
        let mut at_b = [b.subscribe(&channel)];
        let mut to_b = a.publish(&channel);
        connect(&mut [&mut a, &mut b], &to_b, &at_b);
        let mut turns = 0;
        carry_while(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 4_000, |_, sent| {
            turns += u32::from(sent > 500);
            for (down, up, host) in [(10, 200, &hosts[0]), (400, 600, &hosts[1])] {
                if turns == down {
                    host.link_down("veth1");
                }
                if turns == up {
                    host.link_up("veth1");
                }
            }
        });
        // What was sent and what was lost on the way is all given back.
        a.check_frames();
        b.check_frames();
    }
}

#[test]
fn a_neighbour_with_a_new_hardware_address_is_found() {
    let Some(lab) = Lab::new("neighbour") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let [mut a, mut b] = [Host::new(&hosts[0], GENERIC), Host::new(&hosts[1], Over::Kernel)];
    let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
    let mut at_b = [b.subscribe(&channel)];
    let mut to_b = a.publish(&channel);
    connect(&mut [&mut a, &mut b], &to_b, &at_b);
    carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 500);
    let before = a.view().stats();
    hosts[1].replace_mac("veth1", [2, 0, 0, 0, 0, 0x77]);
    // The kernel finds out in its own time: here, because somebody makes it ask again.
    hosts[0].delete_neighbour("veth1", hosts[1].address());
    carry(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 2_000);
    let after = a.view().stats();
    assert!(after.kernel_sent > before.kernel_sent, "the kernel asked: {after:?}");
    assert!(after.sent > before.sent + 200, "and then it was bypassed again: {after:?}");
    a.check_frames();
}

#[test]
fn more_than_the_ring_holds_is_repeated() {
    let Some(lab) = Lab::new("small") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    // A receiver lets its sender be ahead by half a term at most.
    let long = |config| AeronConfig { term_length_bytes: 1 << 20, ..config };
    let mut a = Host::with(&hosts[0], GENERIC, long);
    let namespace = NetworkNamespace::named(hosts[1].name()).expect("the lab lives");
    let directory = Directory::new();
    let (client, view) = namespace
        .run(|| {
            let transport = xdp_driver::small_transport("veth1", 64);
            let view = transport.view();
            let config = long(directory.calm());
            (Client::start_over(&config, Some(transport)).expect("started"), view)
        })
        .expect("entered");
    let mut b =
        Host { client, view: Some(view.clone()), _driver: None, namespace, _directory: directory };
    let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
    let mut at_b = [b.subscribe(&channel)];
    let mut to_b = a.publish(&channel);
    connect(&mut [&mut a, &mut b], &to_b, &at_b);
    // The receiver is away while the sender sends all it may: a window of 128 KiB into 64 frames.
    carry_while(&mut [&mut a, &mut b], &mut to_b, &mut at_b, 4_000, |hosts, _| {
        for _ in 0..20 {
            hosts[0].serve();
        }
    });
    let (_, statistics) = view.statistics().remove(0);
    let dropped =
        statistics.receive_dropped + statistics.receive_ring_full + statistics.fill_ring_empty;
    assert!(dropped > 0, "{statistics:?}");
    let (_, frames) = view.count_frames().remove(0);
    assert_eq!((frames.total(), frames.receiving), (128, 64), "{frames:?}");
}

/// What the interface says of a program on it.
fn has_program(host: &Namespace) -> bool {
    host.ip(&["link", "show", "veth1"]).contains("xdp")
}

#[test]
fn a_driver_that_is_killed_leaves_the_interface_clean() {
    let Some(lab) = Lab::new("killed") else { return };
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let channel = format!("aeron:udp?endpoint={}:20121", hosts[1].address());
    let alert = |config| AeronConfig { image_liveness_ms: 300, ..config };
    let mut publisher = Host::with(&hosts[0], GENERIC, alert);
    let mut to_b = publisher.publish(&channel);
    for _ in 0..2 {
        let mut child = {
            let binary = std::env::current_exe().expect("this binary has a path");
            let mut command = hosts[1].command(binary);
            command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
            Process::spawn(command, "subscriber", &[&channel])
        };
        child.wait_ready();
        assert!(has_program(&hosts[1]));
        drive(&mut [&mut publisher], "connection", || to_b.is_connected());
        for number in 0..200 {
            let bytes = message(number, 1_000);
            drive(&mut [&mut publisher], "room", || support::offer(&mut to_b, &bytes).is_ok());
        }
        child.kill();
        wait_for("a clean interface", || (!has_program(&hosts[1])).then_some(()));
        drive(&mut [&mut publisher], "its end", || !to_b.is_connected());
    }
    // The kernel's stack has the traffic again, and Aeron's own transport works on it. On a new stream: what the dead one did not
    // read of the old one is still to come there.
    drop(to_b);
    let mut to_b = publisher.publish(&channel);
    let mut subscriber = Host::with(&hosts[1], Over::Kernel, alert);
    let mut at_b = [subscriber.subscribe(&channel)];
    connect(&mut [&mut publisher, &mut subscriber], &to_b, &at_b);
    carry(&mut [&mut publisher, &mut subscriber], &mut to_b, &mut at_b, 300);
    publisher.check_frames();
}

/// Messages that are answered before calls are counted, and while they are.
const WARM_UP: usize = 500;
const COUNTED: usize = 2_000;

/// Answers messages, and says between which of them calls are to be counted.
fn answer(client: &mut Client, from: &mut Subscription, to: &mut Publication) {
    let mut some = |count: usize| {
        let mut answered = 0;
        while answered < count {
            client.service(now()).expect("up");
            let mut waiting = 0;
            from.poll(1, &mut |_| waiting += 1).expect("open");
            for _ in 0..waiting {
                while support::offer(to, b"answer").is_err() {
                    client.service(now()).expect("up");
                }
                answered += 1;
            }
        }
    };
    some(WARM_UP);
    let zone = HotZone::enter("answer");
    some(COUNTED);
    drop(zone);
    assert_eq!(hot_allocation_count(), 0, "nothing is allocated for a message");
    support::say("done");
    for _ in 0..1_000 {
        client.service(now()).expect("up");
    }
}

#[test]
fn a_message_takes_no_call_to_receive_and_one_to_send() {
    let Some(lab) = Lab::new("calls") else { return };
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        println_skipped("there is no strace");
        return;
    }
    let hosts = ["a", "b"].map(|host| lab.namespace(host));
    let at = |host: &Namespace| format!("aeron:udp?endpoint={}:20121", host.address());
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut command = hosts[1].command("strace");
    command.args(["-f", "-e", "trace=network,ppoll,poll,epoll_wait"]).arg("-o").arg(log.path());
    command.arg(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    let mut child = Process::spawn(command, "answer", &[&at(&hosts[1]), &at(&hosts[0])]);
    let mut a = Host::new(&hosts[0], GENERIC);
    let mut answers = [a.subscribe(&at(&hosts[0]))];
    let mut questions = a.publish(&at(&hosts[1]));
    connect(&mut [&mut a], &questions, &answers);
    for _ in 0..WARM_UP + COUNTED {
        drive(&mut [&mut a], "room", || support::offer(&mut questions, b"question").is_ok());
        drive(&mut [&mut a], "answer", || answers[0].poll(1, &mut |_| {}) == Ok(1));
    }
    assert_eq!(child.next_said(), "done");
    let log = wait_for("the end of the log", || {
        let log = std::fs::read_to_string(log.path()).expect("written");
        log.contains("+++ exited").then_some(log)
    });
    // The thread that has nothing but kicks: zero bytes to a socket of AF_XDP.
    let is_kick = |line: &&str| line.contains("sendto(") && line.contains("NULL, 0, MSG_DONTWAIT");
    let thread = log.lines().find(is_kick).and_then(|line| line.split_whitespace().next());
    let thread = thread.expect("it sent past the kernel");
    let own: Vec<&str> = log.lines().filter(|line| line.starts_with(thread)).collect();
    let last = own.iter().rposition(is_kick).expect("as above");
    let kicks: Vec<usize> = (0..=last).filter(|place| is_kick(&own[*place])).collect();
    let counted = &own[kicks[kicks.len() - COUNTED]..=last];
    let others: Vec<&&str> = counted.iter().filter(|line| !is_kick(line)).collect();
    // A neighbour that is confirmed is one datagram through the kernel.
    assert!(others.len() <= 2, "{others:?}");
}

/// Says visibly what did not run.
#[allow(clippy::print_stdout, reason = "whoever reads the test log must see what did not run")]
fn println_skipped(why: &str) {
    println!("skipped: {why}");
}

/// The roles of child processes.
#[test]
fn child() {
    let Some(role) = support::role() else { return };
    let is_answering = role[0] == "answer";
    assert!(is_answering || role[0] == "subscriber", "{role:?}");
    let directory = Directory::new();
    let transport = xdp_driver::transport(&["veth1"], WantedMode::Generic);
    let config = AeronConfig { image_liveness_ms: 300, ..directory.calm() };
    let mut client = Client::start_over(&config, Some(transport)).expect("started");
    let mut subscription = client.add_subscription(&role[1], STREAM).expect("subscribed");
    if is_answering {
        let mut answers = client.add_publication(&role[2], STREAM).expect("published");
        return answer(&mut client, &mut subscription, &mut answers);
    }
    support::say("ready");
    let orphaned = support::orphaned();
    while !orphaned.load(std::sync::atomic::Ordering::Relaxed) {
        client.service(now()).expect("up");
        subscription.poll(64, &mut |_| {}).expect("open");
        std::thread::yield_now();
    }
}
