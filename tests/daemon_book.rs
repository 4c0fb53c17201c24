//! `postern book`: the book of an instrument of a daemon that runs, and what is said where there is none.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/transport.rs"]
mod support;

use std::net::Ipv4Addr;
use std::process::{Output, Stdio};

use daemon::{Daemon, Options, Setup, World, command};
use postern::net::{KernelUdpSink, PacketSink, UdpSinkConfig};
use postern::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX};
use postern::transport::{AeronConfig, Client, DriverMode};
use postern::types::{Side, Symbol};
use serde_json::Value;
use support::{now, wait_for};

fn ask(setup: &Setup, symbol: &str, more: &[&str]) -> std::process::Command {
    let mut command = command(&["book", symbol, "--config"]);
    command.arg(setup.path("postern.toml")).args(more);
    command
}

/// What it says while the world around the daemon goes on.
fn answer(world: &mut World, setup: &Setup, more: &[&str]) -> Output {
    let child = ask(setup, "ALFA", more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Some(child.expect("it starts"));
    world.until("a book", |_| {
        let is_over = child.as_mut()?.try_wait().expect("it can be asked").is_some();
        let child = if is_over { child.take() } else { None };
        child.map(|child| child.wait_with_output().expect("an end"))
    })
}

#[test]
fn the_book_of_a_running_daemon_is_shown_while_it_trades() {
    let setup = Setup::new(Options::default());
    let daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    world.open(&daemon);
    world.until_tradable(&daemon);
    let (bid, offer) = world.touch();
    let json = answer(&mut world, &setup, &["--output", "json"]);
    assert!(json.status.success(), "{}", String::from_utf8_lossy(&json.stderr));
    let book: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&book["symbol"], &book["stale"]), (&"ALFA".into(), &false.into()));
    assert_eq!(book["status"], "T");
    assert!(book["transact_time"].is_string() && book["last_msg_seq_num_processed"].is_u64());
    assert_eq!(book["bids"][0]["price"], bid.to_string());
    assert_eq!(book["asks"][0]["price"], offer.to_string());
    let levels = |side: &str| book[side].as_array().expect("levels").clone();
    for side in ["bids", "asks"] {
        assert!(levels(side).iter().all(|level| level["qty"].as_u64() > Some(0)), "{book}");
    }
    let text = answer(&mut world, &setup, &[]);
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(text.starts_with("ALFA: current, status T\nchanged last at "), "{text}");
    assert!(text.contains(&bid.to_string()) && text.contains(&offer.to_string()), "{text}");
    // Nobody else noticed.
    world.round_trip();
    assert_eq!(daemon.hot_allocations(), 0);
}

/// A market of one line, written by hand so that it changes exactly when the test wants.
struct Market {
    sink: KernelUdpSink,
    next: u64,
}

impl Market {
    fn new(setup: &Setup) -> Market {
        let text = setup.text();
        let line = text.lines().find_map(|line| line.strip_prefix("line_a = ")).expect("a line");
        let destination = line.trim_matches('"').parse().expect("an address");
        let interface = Ipv4Addr::LOCALHOST;
        let config = UdpSinkConfig { destination, interface, ttl: 0, loopback: true };
        Market { sink: KernelUdpSink::new(config).expect("a socket"), next: 1 }
    }

    fn send(&mut self, count: u16, payload: &[u8]) {
        let head = [&b"BYHAND    "[..], &self.next.to_be_bytes(), &count.to_be_bytes()].concat();
        let bytes = [&head, payload].concat();
        let is_sent = self.sink.send_with(|room| {
            room[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        });
        assert!(is_sent);
        self.sink.flush().expect("sent");
    }

    /// Publishes a message at so many nanoseconds of the day, again and again until the daemon took it: a datagram may be lost
    /// on a busy machine.
    fn tell(&mut self, daemon: &Daemon, stamp: u64, message: &ItchMessage) {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(stamp, &mut bytes);
        let prefix = u16::try_from(length).expect("short").to_be_bytes();
        let payload = [&prefix, &bytes[..length]].concat();
        wait_for("message taken", || {
            self.send(1, &payload);
            (daemon.counter("feed_message_count") == self.next).then_some(())
        });
        self.next += 1;
    }

    /// The best bid's quantity, when the book changed last in nanoseconds, and the `RptSeq` it goes up to.
    fn shown(&mut self, setup: &Setup) -> (u64, u64, u64) {
        let mut asked = ask(setup, "ALFA", &["--output", "json"]);
        let child = asked.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("it starts");
        let mut next_heartbeat = now();
        wait_for("a book", || {
            if now() >= next_heartbeat {
                next_heartbeat = now().plus(100_000_000);
                self.send(0, &[]);
            }
            child.try_wait().expect("it can be asked")
        });
        let json = child.wait_with_output().expect("an end");
        assert!(json.status.success(), "{}", String::from_utf8_lossy(&json.stderr));
        let book: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert_eq!(book["stale"], false, "{book}");
        let time = book["transact_time"].as_str().expect("a time").replace('.', "");
        let number = |value: &Value| value.as_u64().expect("a number");
        let rpt_seq = number(&book["last_msg_seq_num_processed"]);
        (number(&book["bids"][0]["qty"]), time.parse().expect("digits"), rpt_seq)
    }
}

/// Lets the daemon write some snapshots for a reader that goes without having read them.
fn leave_unread(setup: &Setup, daemon: &Daemon) {
    let config = AeronConfig {
        mode: DriverMode::External,
        driver_timeout_ms: 10_000,
        ..AeronConfig::in_directory(&setup.aeron)
    };
    let mut client = Client::connect(&config).expect("the daemon's driver");
    let stream = client.add_subscription("aeron:ipc", 1003).expect("subscribed");
    let before = daemon.counter("feed_snapshot_count");
    wait_for("snapshots that nobody reads", || {
        client.service(now()).expect("it is up");
        (daemon.counter("feed_snapshot_count") > before + 3).then_some(())
    });
    drop(stream);
}

/// What the daemon wrote after the last reader left is not taken for the book of now.
#[test]
fn a_book_that_changed_while_nobody_read_is_shown_as_it_is_now() {
    let setup = Setup::new(Options::default());
    // Often enough that some are written after a reader left and before the daemon knows.
    let fast = setup.text().replace("[market_data]\n", "[market_data]\nsnapshot_interval_ms = 1\n");
    setup.write("postern.toml", &fast);
    let daemon = Daemon::start(&setup);
    let mut market = Market::new(&setup);
    let (locate, stock) = (1, Symbol::new("ALFA").expect("a symbol"));
    let directory =
        ItchMessage::StockDirectory { locate, stock, round_lot: 100, round_lots_only: false };
    market.tell(&daemon, 1, &directory);
    let mut shown: Vec<(u64, u64, u64)> = Vec::new();
    for round in 1..=8_u64 {
        leave_unread(&setup, &daemon);
        let (side, shares, price) = (Side::Buy, 100, 1_000_000);
        let add = ItchMessage::Add { locate, reference: round, side, shares, stock, price };
        market.tell(&daemon, 1_000 * round, &add);
        let (qty, time, rpt_seq) = market.shown(&setup);
        assert_eq!(qty, 100 * round, "round {round} after {shown:?}");
        if let Some(&(_, last_time, last_rpt_seq)) = shown.last() {
            assert_eq!(time, last_time + 1_000, "round {round}");
            assert!(rpt_seq >= last_rpt_seq, "round {round}");
        }
        shown.push((qty, time, rpt_seq));
    }
    assert_eq!(daemon.hot_allocations(), 0);
}

#[test]
fn what_cannot_be_shown_is_told() {
    let setup = Setup::new(Options::default());
    let refused = |symbol: &str, more: &[&str]| {
        let ran = ask(&setup, symbol, more).output().expect("runs");
        assert!(!ran.status.success() && ran.stdout.is_empty());
        (ran.status.code(), String::from_utf8(ran.stderr).expect("text"))
    };
    let (code, said) = refused("BETA", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("BETA is no [[instrument]]"), "{said}");
    let (code, said) = refused("not a symbol", &[]);
    assert_eq!(code, Some(2), "{said}");
    let mut without = setup.text();
    without = without.replace("[market_data]\n", "[market_data]\ndepth = 0\n");
    setup.write("postern.toml", &without);
    let (code, said) = refused("ALFA", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no snapshots"), "{said}");
}
