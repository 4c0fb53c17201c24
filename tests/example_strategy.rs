//! The examples of the README work: `postern run` with `examples/quickstart.toml`, the simulated exchange beside it, a
//! strategy that trades through it and a mirror of its books, each a process; and the client library trades with the same.

#![allow(clippy::print_stdout, reason = "a test says why it skips")]

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use postern::client::{
    BookMirror, Handler, NewOrder, SessionEvent, SessionStreams, Strategy, StrategyConfig,
    StreamName,
};
use postern::codec::market_data::MarketData;
use postern::codec::order_entry::{ExecutionReport, OrderEntry};
use postern::session::ClientConfig;
use postern::transport::{AeronConfig, DriverMode};
use postern::types::{
    AccountId, ClOrdId, ExecType, InstrumentId, Price, SessionId, Side, TimeInForce,
};

const POSTERN: &str = env!("CARGO_BIN_EXE_postern");
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path, arguments: &[&str]) -> Running {
    let mut command = Command::new(program);
    let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.expect("starts"))
}

/// Where `cargo test` puts an example; none where only this test was built.
fn example(name: &str) -> Option<PathBuf> {
    let path = Path::new(POSTERN).with_file_name("examples").join(name);
    path.exists().then_some(path)
}

fn write_key(path: &Path, digit: &str) {
    use std::io::Write;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("made");
    file.write_all(digit.repeat(64).as_bytes()).expect("written");
    let mode = fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "a key is its owner's");
}

/// The quickstart's configuration, in a folder and on addresses of its own.
fn configuration(folder: &Path, aeron: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("examples/quickstart.toml")).expect("read");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    let group = 1 + std::process::id() % 250;
    let mut own = text;
    for (from, to) in [
        ("/dev/shm/postern-quickstart", aeron.to_owned()),
        ("239.255.17.1:26400", format!("239.255.18.{group}:{port}")),
        ("burst = 100\n", "burst = 100\nmarket_data_stream_id = 2101\n".to_owned()),
        ("[control]\n", "[control]\nhttp = \"off\"\n".to_owned()),
    ] {
        assert!(own.contains(from), "the quickstart has {from}");
        own = own.replace(from, &to);
    }
    write_key(&folder.join("alpha.key"), "a");
    write_key(&folder.join("venue.key"), "b");
    let path = folder.join("quickstart.toml");
    fs::write(&path, own).expect("written");
    path
}

fn ctl(socket: &str, arguments: &[&str]) -> Output {
    Command::new(POSTERN).args(["ctl", "--socket", socket]).args(arguments).output().expect("runs")
}

/// Whether the gateway says that the venue and the feed are up.
fn is_ready(socket: &str) -> bool {
    let status = ctl(socket, &["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    let is_up = |link: &str| text.lines().any(|l| l.starts_with(link) && l.ends_with(" up"));
    status.status.success() && is_up("venue sim") && is_up("feed sim")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    #[allow(clippy::disallowed_methods, reason = "a test's own deadline")]
    let now = Instant::now;
    let deadline = now() + PATIENCE;
    while !is_so() {
        assert!(now() < deadline, "waited too long for: {what}");
    }
}

/// What the library's session is told.
#[derive(Debug, Default)]
struct Trader {
    mirror: BookMirror,
    up: Option<ClOrdId>,
    reports: Vec<ExecutionReport>,
    lost: Vec<SessionEvent>,
}

impl Handler for Trader {
    fn on_session(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Up { last_cl_ord_id } => self.up = Some(last_cl_ord_id),
            SessionEvent::Down(_)
            | SessionEvent::NegotiationRefused(_)
            | SessionEvent::EstablishmentRefused(_)
            | SessionEvent::NotApplied { .. }
            | SessionEvent::Lost { .. } => self.lost.push(event),
        }
    }

    fn on_report(&mut self, report: &OrderEntry) {
        if let OrderEntry::ExecutionReport(report) = report {
            self.reports.push(*report);
        }
    }

    fn on_market_data(&mut self, source: i32, message: &MarketData) {
        self.mirror.on_message(source, message);
    }
}

/// A session by the library: an order a level below the best bid, replaced, cancelled.
fn trade_by_the_library(aeron: &str, key: &Path) {
    const STOCK: InstrumentId = InstrumentId(1);
    let key = fs::read_to_string(key).expect("read").trim().parse().expect("a key");
    let mut strategy = Strategy::connect(StrategyConfig {
        aeron: AeronConfig {
            mode: DriverMode::External,
            driver_timeout_ms: 10_000,
            ..AeronConfig::in_directory(aeron)
        },
        session: Some(SessionStreams {
            client: ClientConfig {
                session: SessionId(1),
                key,
                keepalive_ms: 500,
                retry_ns: 500_000_000,
            },
            orders: StreamName::new("aeron:ipc", 1001),
            reports: StreamName::new("aeron:ipc", 2001),
        }),
        market_data: Some(StreamName::new("aeron:ipc", 2101)),
        snapshots: None,
    })
    .expect("connected");
    let mut trader = Trader::default();
    let bid = |mirror: &BookMirror| Some(mirror.book(STOCK)?.best(Side::Buy)?.price);
    until("a session and a price", || {
        strategy.poll(&mut trader).expect("up");
        trader.up.is_some() && bid(&trader.mirror).is_some()
    });
    let price = bid(&trader.mirror).expect("there");
    let below = Price::from_units(price.units() - 10_000_000);
    let order = NewOrder {
        instrument: STOCK,
        account: AccountId(1),
        side: Side::Buy,
        qty: 100,
        price: Some(below),
        time_in_force: TimeInForce::Day,
    };
    let mut reported = |strategy: &mut Strategy, cl_ord_id: ClOrdId, exec_type: ExecType| {
        until("a report", || {
            strategy.poll(&mut trader).expect("up");
            let is_it = |r: &ExecutionReport| (r.cl_ord_id, r.exec_type) == (cl_ord_id, exec_type);
            trader.reports.iter().any(is_it)
        });
        assert!(trader.lost.is_empty(), "{:?}", trader.lost);
        trader.up.expect("up")
    };
    let (orders, now, utc) = strategy.orders().expect("a session");
    let first = orders.send_new(now, utc, &order).expect("sent");
    let last_before = reported(&mut strategy, first, ExecType::New);
    assert!(first > last_before && last_before > ClOrdId(0), "above those of the session before");
    let (orders, now, utc) = strategy.orders().expect("a session");
    let second = orders.replace(now, utc, first, below, 50).expect("sent");
    reported(&mut strategy, second, ExecType::Replaced);
    let (orders, now, utc) = strategy.orders().expect("a session");
    let third = orders.cancel(now, utc, second).expect("sent");
    reported(&mut strategy, third, ExecType::Canceled);
    let (orders, _, _) = strategy.orders().expect("a session");
    orders.terminate().expect("said");
}

#[test]
fn the_example_strategy_buys_and_leaves_nothing_behind_and_the_mirror_is_the_book() {
    let (Some(exchange), Some(strategy), Some(mirror)) =
        (example("exchange"), example("strategy"), example("book_mirror"))
    else {
        println!("skipped: the examples are not built (cargo build --examples)");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let aeron = format!("/dev/shm/postern-example-{}", std::process::id());
    let config = configuration(folder.path(), &aeron).display().to_string();
    let socket = folder.path().join("quickstart.sock").display().to_string();

    let mut gateway = start(Path::new(POSTERN), &["run", "--config", &config]);
    until("the gateway", || ctl(&socket, &["status"]).status.success());
    let _exchange = start(&exchange, &[&config]);
    until("venue and feed", || is_ready(&socket));

    let key = folder.path().join("alpha.key").display().to_string();
    let run = Command::new(strategy)
        .args(["--directory", &aeron, "--key", &key, "--rest-ms", "100"])
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("session: established"), "{told}");
    assert!(told.contains("order 1: buy 100 at "), "{told}");
    assert!(told.contains("order 1: New, New"), "{told}");
    assert!(told.contains("Canceled, Canceled") || told.contains(", Filled"), "{told}");
    assert!(told.ends_with("session: terminated\n"), "{told}");

    let run = Command::new(&mirror)
        .args(["--directory", &aeron, "--checks", "2", "--patience-s", "60"])
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("ALFA: bid ") && told.contains("Current\n"), "{told}");
    assert!(told.contains(" 0 holes, ") && told.ends_with(" 0 different\n"), "{told}");

    // The strategy's own copy of the market data tells whoever comes all of it, without snapshots.
    let run = Command::new(&mirror)
        .args(["--directory", &aeron, "--market-stream", "2101", "--snapshot-stream", "9"])
        .args(["--checks", "0", "--patience-s", "60"])
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("ALFA: bid "), "{told}");

    trade_by_the_library(&aeron, &folder.path().join("alpha.key"));

    assert!(ctl(&socket, &["stop"]).status.success());
    let ended = gateway.0.wait().expect("ended");
    assert_eq!(ended.code(), Some(0), "nothing was left open");
}
