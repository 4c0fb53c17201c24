//! The thread that watches the kernel, over loopback: its tables' bounds, the sockets it watches, and what outlives it.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postern::net::xdp::kernel::{
    DESTINATION_COUNT_MAX, Destination, LINK_COUNT_MAX, SOCKET_COUNT_MAX, Unresolved, Watcher,
    WatcherConfig, interfaces,
};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
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

fn ask(watcher: &Watcher, to: Ipv4Addr) -> Arc<Destination> {
    watcher.destination(to, ANY, None).expect("room")
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
