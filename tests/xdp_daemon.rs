//! A whole daemon with `[[af_xdp]]` on a host of a lab: the books are those of the kernel's path, what it could not have is told, and when
//! it is killed nothing of it stays on the interface.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/lab.rs"]
mod lab;
#[path = "support/random.rs"]
mod random;
#[path = "support/transport.rs"]
mod support;
#[path = "support/xdp.rs"]
mod xdp;

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use daemon::{Daemon, Options, Setup, command};
use lab::{Lab, Namespace};
use postern::net::KernelUdpSink;
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::types::{Side, Symbol};
use random::Random;
use serde_json::Value;
use support::{now, wait_for};
use xdp::{group, has_program, send, sink};

const LINES: [u8; 2] = [1, 2];

/// A setup whose feed is of two lines on the host's interface, and more sections.
fn setup(host: &Namespace, sections: &str) -> Setup {
    let setup = Setup::new(Options::default());
    let text = setup.text();
    let line = text.lines().find(|line| line.starts_with("line_a")).expect("a line").to_owned();
    let [line_a, line_b] = LINES.map(group);
    let lines = format!("line_a = \"{line_a}\"\nline_b = \"{line_b}\"");
    let own = format!("interface = \"{}\"", host.address());
    let text = text.replace(&line, &lines).replace("interface = \"127.0.0.1\"", &own);
    setup.write("postern.toml", &format!("{text}\n{sections}"));
    setup
}

/// `postern run` on that host.
fn run(setup: &Setup, host: &Namespace) -> Command {
    let mut run = host.command(env!("CARGO_BIN_EXE_postern"));
    run.args(["run", "--config"]).arg(setup.path("postern.toml"));
    run.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    run
}

#[track_caller]
fn start(setup: &Setup, host: &Namespace) -> Daemon {
    let mut daemon = Daemon::spawn_as(setup, run(setup, host), &[]);
    host.enter(|| daemon.wait_running());
    daemon
}

fn counter(daemon: &Daemon, host: &Namespace, name: &str) -> u64 {
    host.enter(|| daemon.counter(name))
}

/// An exchange on the other host, which tells of one book by two lines.
struct Market {
    sinks: [KernelUdpSink; 2],
    next: u64,
    sent: u64,
}

impl Market {
    fn new(host: &Namespace) -> Market {
        Market { sinks: LINES.map(|line| sink(host, group(line))), next: 1, sent: 0 }
    }

    /// A packet of so many messages, by the lines that are not left out.
    fn publish(&mut self, count: u16, messages: &[u8], is_left_out: [bool; 2]) {
        let head = [&b"BYHAND    "[..], &self.next.to_be_bytes(), &count.to_be_bytes()].concat();
        for (sink, _) in self.sinks.iter_mut().zip(is_left_out).filter(|(_, is_out)| !is_out) {
            send(sink, &[&head, messages].concat());
            self.sent += 1;
        }
        self.next += u64::from(count);
    }

    fn tell(&mut self, stamp: u64, message: &ItchMessage, is_left_out: [bool; 2]) {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(stamp, &mut bytes);
        let prefix = u16::try_from(length).expect("short").to_be_bytes();
        self.publish(1, &[&prefix, &bytes[..length]].concat(), is_left_out);
    }

    /// Orders that come and go, the same ones each time. Each line lacks some packets, and never both the same. Waits for the daemon now
    /// and then, so that nothing is lost for want of room.
    fn open(&mut self, daemon: &Daemon, host: &Namespace) {
        let (locate, stock) = (1, Symbol::new("ALFA").expect("a symbol"));
        let mut random = Random::new(0xDAE_0001);
        let directory =
            ItchMessage::StockDirectory { locate, stock, round_lot: 100, round_lots_only: false };
        self.tell(1, &directory, [false; 2]);
        for reference in 1..=600_u64 {
            let side = if random.one_in(2) { Side::Buy } else { Side::Sell };
            let away = random.small(50) * 100;
            let price = if side == Side::Buy { 1_000_000 - away } else { 1_000_100 + away };
            let shares = 100 * (1 + random.small(9));
            let add = ItchMessage::Add { locate, reference, side, shares, stock, price };
            let lost = random.index(4);
            self.tell(reference * 1_000, &add, [lost == 0, lost == 1]);
            if reference > 20 && random.one_in(3) {
                let delete = ItchMessage::Delete { locate, reference: reference - 20 };
                self.tell(reference * 1_000 + 1, &delete, [lost == 2, lost == 3]);
            }
            if reference % 30 == 0 {
                self.settle(daemon, host);
            }
        }
        self.settle(daemon, host);
    }

    /// Waits until the daemon has taken all there is.
    fn settle(&self, daemon: &Daemon, host: &Namespace) {
        wait_for("the messages", || {
            (counter(daemon, host, "feed_message_count") + 1 >= self.next).then_some(())
        });
    }
}

/// The book as it is shown, without the times.
fn book(setup: &Setup, market: &mut Market) -> Value {
    let mut asked = command(&["book", "ALFA", "--output", "json", "--config"]);
    asked.arg(setup.path("postern.toml")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = asked.spawn().expect("it starts");
    let mut next_heartbeat = now();
    wait_for("a book", || {
        if now() >= next_heartbeat {
            next_heartbeat = now().plus(100_000_000);
            market.publish(0, &[], [false; 2]);
        }
        child.try_wait().expect("it can be asked")
    });
    let shown = child.wait_with_output().expect("an end");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let book: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(book["stale"], false, "{book}");
    let sides = [&book["bids"], &book["asks"]];
    assert!(sides.iter().all(|side| side.as_array().is_some_and(|levels| levels.len() > 5)));
    serde_json::json!([book["bids"], book["asks"], book["status"]])
}

fn queue(interface: &str, more: &str) -> String {
    format!("[[af_xdp]]\ninterface = \"{interface}\"\nused_by = \"feed\"\n{more}")
}

/// Starts a daemon, opens the market, and gives the book; `seen` looks at the daemon before it is killed.
fn day(a: &Namespace, b: &Namespace, sections: &str, seen: impl FnOnce(&Daemon, &Market)) -> Value {
    let setup = setup(b, sections);
    let mut daemon = start(&setup, b);
    let mut market = Market::new(a);
    market.open(&daemon, b);
    let shown = book(&setup, &mut market);
    market.settle(&daemon, b);
    assert_eq!(b.enter(|| daemon.hot_allocations()), 0);
    assert_eq!(counter(&daemon, b, "feed_gap_count"), 0);
    seen(&daemon, &market);
    daemon.kill();
    shown
}

#[test]
fn books_are_those_of_the_kernels_path() {
    let Some(lab) = Lab::new("books") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let own = queue(b.interface(), "");
    let count = |daemon: &Daemon, name: &str| counter(daemon, &b, name);
    let by_kernel = day(&a, &b, "", |daemon, _| {
        assert_eq!(
            (count(daemon, "feed_xdp_packet_count"), count(daemon, "feed_xdp_bind_count")),
            (0, 0)
        );
        assert!(!has_program(&b, b.interface()));
    });
    for (section, mode) in [(own.clone(), "generic"), (own + "mode = \"native\"\n", "native")] {
        let shown = day(&a, &b, &section, |daemon, market| {
            assert!(has_program(&b, b.interface()));
            wait_for("the counters", || {
                (count(daemon, "feed_xdp_packet_count") == market.sent).then_some(())
            });
            for (name, expected) in [
                ("feed_xdp_kernel_count", 0),
                ("feed_xdp_bind_count", 1),
                ("feed_xdp_fallback_count", 0),
                ("feed_xdp_checksum_count", 0),
                ("feed_xdp_refused_count", 0),
                ("feed_xdp_unsubscribed_count", 0),
                ("feed_xdp_lost_count", 0),
                ("feed_drop_count", 0),
            ] {
                assert_eq!(count(daemon, name), expected, "{name}");
            }
            let line = format!("AF_XDP on {} queue 0 for the feed: {mode} mode", b.interface());
            assert!(daemon.log().contains(&line), "{}", daemon.log());
        });
        assert_eq!(shown, by_kernel, "{mode}");
        assert!(!has_program(&b, b.interface()), "it was killed");
    }
}

#[test]
fn a_daemon_that_is_killed_leaves_the_traffic_to_the_kernel() {
    let Some(lab) = Lab::new("killed") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let (setup, mut market) = (setup(&b, &queue(b.interface(), "")), Market::new(&a));
    // Somebody else on that host listens to the same group: while it is the daemon's, nothing comes by.
    let other = b.enter(|| {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("shared");
        socket.bind(&group(1).into()).expect("its group");
        socket.join_multicast_v4(group(1).ip(), &b.address()).expect("joined");
        UdpSocket::from(socket)
    });
    other.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let mut daemon = start(&setup, &b);
    market.open(&daemon, &b);
    assert!(has_program(&b, b.interface()));
    daemon.kill();
    assert!(!has_program(&b, b.interface()));
    let mut buffer = [0; 2_048];
    send(&mut market.sinks[0], b"to the kernel");
    let (length, _) = other.recv_from(&mut buffer).expect("it comes");
    assert_eq!(&buffer[..length], b"to the kernel", "and nothing came before");
    // The next run has it again.
    let daemon = start(&setup, &b);
    assert!(has_program(&b, b.interface()));
    assert_eq!(counter(&daemon, &b, "feed_xdp_fallback_count"), 0);
}

#[test]
fn what_cannot_be_had_is_told_in_a_line_and_is_the_kernels() {
    let Some(lab) = Lab::new("fallback") else { return };
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let own = b.interface().to_owned();
    let expected = day(&a, &b, "", |_, _| ());
    for (section, why) in [
        (queue("pst-nobody", ""), "pst-nobody queue 0 for the feed: there is no such interface"),
        (queue("lo", ""), "lo queue 0 for the feed: it is the loopback interface"),
        (
            queue(&own, "queue = 200\n"),
            "queue 200 for the feed: the socket cannot be bound to queue 200",
        ),
        (
            queue(&own, "mode = \"zero-copy\"\n"),
            "for the feed: the socket cannot be bound to queue 0",
        ),
        (queue(&own, "busy_poll_us = 20\n"), "for the feed: its driver cannot be busy-polled"),
    ] {
        let shown = day(&a, &b, &section, |daemon, _| {
            let log = daemon.log();
            let told: Vec<&str> = log.lines().filter(|line| line.contains("AF_XDP")).collect();
            let is_so =
                |line: &&str| line.contains(why) && line.contains("the kernel's sockets do it");
            assert!(told.len() == 1 && told.iter().all(is_so), "{why}: {log}");
            assert_eq!(counter(daemon, &b, "feed_xdp_fallback_count"), 1);
            assert!(!has_program(&b, &own));
        });
        assert_eq!(shown, expected, "{why}");
    }
    let refusing = setup(&b, &queue("lo", "fallback = \"refuse\"\n"));
    let mut daemon = Daemon::spawn_as(&refusing, run(&refusing, &b), &[]);
    assert_eq!(daemon.wait_end().code(), Some(75));
    assert!(daemon.log().contains("AF_XDP on lo queue 0 for the feed: it is the loopback"));
}
