//! The daemon on its machine: every layout with every place of the media driver, its threads, its memory, its
//! allocations, the death of what it depends on, and a strategy written with another Aeron client.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not named is all the same to a test")]

#[path = "support/aeron_rs_strategy.rs"]
mod aeron_rs_strategy;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/transport.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aeron_rs_strategy::{Strategy, Stream};
use daemon::{ACCOUNT, Daemon, INSTRUMENT, Options, SESSION, STRATEGY_KEY, Setup, World};
use postern::codec::order_entry::{
    Establish, ExecutionReport, Negotiate, NewOrderSingle, OrderCancelRequest, OrderEntry,
    Terminate,
};
use postern::config::Config;
use postern::runtime::{misplaced, tasks_under};
use postern::session::SessionKey;
use postern::topology;
use postern::transport::{AeronConfig, Driver, DriverMode};
use postern::types::{
    ClOrdId, ExecType, FlowType, OrdType, OrderId, SeqNum, Side, TerminationCode, TimeInForce,
    UtcNanos,
};
use support::{Process, now, orphaned, role, say, wait_for};

/// Plays the role this process was started in.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let [kind, directory] = role.as_slice() else { panic!("{role:?}") };
    assert_eq!(kind, "driver");
    let _driver = Driver::start(&AeronConfig {
        mode: DriverMode::Shared,
        driver_timeout_ms: 10_000,
        client_liveness_ms: 10_000,
        ..AeronConfig::in_directory(directory)
    })
    .expect("a driver");
    say("ready");
    let orphaned = orphaned();
    while !orphaned.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// An external media driver in the folder the daemon of `setup` expects it in.
fn external_driver(setup: &Setup) -> Process {
    let mut driver = Process::start("driver", &[setup.aeron.to_str().expect("plain")]);
    driver.wait_ready();
    driver
}

/// Every thread is named, and none that was not placed there may run on a hot core.
fn assert_threads(setup: &Setup, daemon: &Daemon, wanted: &[&str]) {
    let config = Config::load(&setup.path("postern.toml")).expect("sound");
    let plan = topology::plan_of(&config);
    let hot: Vec<(&str, usize)> =
        plan.threads.iter().filter_map(|t| t.core.map(|core| (t.name, core))).collect();
    let pid = daemon.child.id();
    let tasks = tasks_under(Path::new(&format!("/proc/{pid}"))).expect("it runs");
    let listing: Vec<String> = tasks.iter().map(ToString::to_string).collect();
    let faults: Vec<String> =
        misplaced(&tasks, pid, &hot).iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{faults:#?} of {listing:#?}");
    for name in wanted {
        assert!(tasks.iter().any(|task| task.name == *name), "no {name} in {listing:#?}");
    }
    eprintln!("{}/{}: {listing:#?}", setup.options.layout, setup.options.driver);
}

fn trades(layout: &'static str, driver: &'static str, threads: &[&str]) {
    let runtime = "allocation_guard = \"abort\"";
    let setup = Setup::new(Options { layout, driver, runtime, ..Options::default() });
    let outside = (driver == "external").then(|| external_driver(&setup));
    let mut daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    world.open(&daemon);
    world.round_trip();
    let common: &[&str] = match layout {
        "split" => &["entry", "risk", "router", "feed", "journal", "control"],
        _ => &["gateway", "journal", "control"],
    };
    assert_threads(&setup, &daemon, &[common, threads].concat());
    assert_eq!(daemon.hot_allocations(), 0);
    daemon.signal("-TERM");
    let status = world.until_end(&mut daemon);
    assert_eq!(status.code(), Some(0), "{layout}, {driver}: {}", daemon.log());
    drop(outside);
}

#[test]
fn a_fused_gateway_trades_with_the_driver_in_every_place() {
    trades("fused", "invoker", &[]);
    trades("fused", "shared", &[]);
    trades("fused", "dedicated", &[]);
    trades("fused", "external", &[]);
}

#[test]
fn a_split_gateway_trades_with_the_driver_in_every_place() {
    trades("split", "invoker", &["driver"]);
    trades("split", "shared", &[]);
    trades("split", "dedicated", &[]);
    trades("split", "external", &[]);
}

#[test]
fn two_thousand_orders_allocate_nothing_on_the_hot_path() {
    for layout in ["fused", "split"] {
        let runtime = "allocation_guard = \"abort\"";
        let setup = Setup::new(Options { layout, runtime, ..Options::default() });
        let daemon = Daemon::start(&setup);
        let mut world = World::new(&setup);
        world.open(&daemon);
        let (bid, _) = world.touch();
        for _ in 0..10 {
            let orders: Vec<ClOrdId> =
                (0..100).map(|_| world.send_order(Side::Buy, bid, 10)).collect();
            for &order in &orders {
                world.send_cancel(order);
            }
            world.report(*orders.last().expect("a hundred"), ExecType::Canceled);
            world.strategy.executions.clear();
        }
        assert!(daemon.counter("router_order_count") >= 2_000);
        assert_eq!(daemon.hot_allocations(), 0, "{layout}");
    }
}

#[test]
fn the_death_of_the_driver_ends_the_daemon_with_71() {
    for layout in ["fused", "split"] {
        let aeron = "driver_timeout_ms = 1000\nclient_liveness_ms = 2000\n";
        let setup = Setup::new(Options {
            layout,
            driver: "external",
            aeron,
            drain_ms: 2_000,
            ..Options::default()
        });
        let mut outside = external_driver(&setup);
        let mut daemon = Daemon::start(&setup);
        let mut world = World::new(&setup);
        world.open(&daemon);
        world.rest(10);
        outside.kill();
        let killed = now();
        let status = world.until_end(&mut daemon);
        let took = Duration::from_nanos(now().since(killed));
        assert_eq!(status.code(), Some(71), "{layout}: {}", daemon.log());
        assert!(took < Duration::from_secs(20), "{layout}: {took:?}");
        // Nothing can reach the venue any more but silence, which it takes for a reason to cancel.
        world.until("cancel on disconnect", |world| (world.open_at_venue() == 0).then_some(()));
        eprintln!("{layout}: ended {took:?} after its driver");
    }
}

/// What is resident of a process, by what it is.
#[derive(Default)]
struct Resident {
    /// Bytes of all mappings: what the kernel calls the resident set. A page mapped twice counts twice.
    mapped: BTreeMap<&'static str, u64>,
    /// Bytes of memory: a page of Aeron's files that driver and clients of one process map counts once.
    held: BTreeMap<&'static str, u64>,
}

const LOG_BUFFERS: &str = "Aeron log buffers";

fn kind_of<'a>(name: &str, aeron: &str, journal: &str) -> &'a str {
    match name {
        _ if name.starts_with(aeron) && name.ends_with(".logbuffer") => LOG_BUFFERS,
        _ if name.starts_with(aeron) => "Aeron driver files",
        _ if name.starts_with(journal) => "journal segments",
        "[heap]" => "heap",
        "[stack]" => "main stack",
        "" => "anonymous (tables, rings, stacks)",
        _ if name.ends_with("/postern") => "the binary",
        _ if name.starts_with('/') => "libraries and other files",
        _ => "other",
    }
}

fn resident(pid: u32, setup: &Setup) -> Resident {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it runs");
    let aeron = setup.aeron.to_str().expect("plain");
    let journal = setup.path("journal");
    let journal = journal.to_str().expect("plain");
    let mut resident = Resident::default();
    let mut files: BTreeMap<String, u64> = BTreeMap::new();
    let mut name = String::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first.contains('-') && !first.ends_with(':') {
            name = words.nth(4).unwrap_or_default().to_owned();
        } else if first == "Rss:" {
            let kilobytes: u64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
            let kind = kind_of(&name, aeron, journal);
            *resident.mapped.entry(kind).or_default() += kilobytes << 10;
            let held = resident.held.entry(kind).or_default();
            if name.starts_with(aeron) {
                let known = files.entry(name.clone()).or_default();
                *held += (kilobytes << 10).saturating_sub(*known);
                *known = (*known).max(kilobytes << 10);
            } else {
                *held += kilobytes << 10;
            }
        }
    }
    resident
}

fn beyond_log_buffers(table: &BTreeMap<&'static str, u64>) -> u64 {
    table.iter().filter(|(kind, _)| **kind != LOG_BUFFERS).map(|(_, bytes)| bytes).sum()
}

#[test]
fn at_rest_it_holds_no_more_than_64_mib_beyond_log_buffers() {
    const MIB: u64 = 1 << 20;
    let setup = Setup::new(Options::default());
    // The defaults, and only what has none.
    let text: Vec<String> = setup
        .text()
        .lines()
        .filter(|line| {
            let key = line.split(' ').next().unwrap_or_default();
            let sizes = [
                "socket_buffer_bytes",
                "driver_timeout_ms",
                "client_liveness_ms",
                "duplicate_count",
            ];
            !key.ends_with("_idle") && !sizes.contains(&key)
        })
        .map(str::to_owned)
        .collect();
    setup.write("postern.toml", &text.join("\n"));
    for layout in ["fused", "split"] {
        let text = text.join("\n").replace("layout = \"fused\"", &format!("layout = \"{layout}\""));
        setup.write("postern.toml", &text);
        let mut daemon = Daemon::start(&setup);
        let resident = resident(daemon.child.id(), &setup);
        let (mapped, held) =
            (beyond_log_buffers(&resident.mapped), beyond_log_buffers(&resident.held));
        eprintln!("resident at rest, layout {layout}: KiB mapped, KiB held");
        for (kind, bytes) in &resident.mapped {
            eprintln!("  {kind:<34} {:>8} {:>8}", bytes >> 10, resident.held[kind] >> 10);
        }
        eprintln!("  {:<34} {:>8} {:>8}", "beyond log buffers", mapped >> 10, held >> 10);
        assert!(held <= 64 * MIB, "{} KiB held beyond log buffers", held >> 10);
        // Each thread that uses Aeron maps the driver's files once more, and the kernel counts them each time: the default
        // layout has one such thread.
        if layout == "fused" {
            assert!(mapped <= 64 * MIB, "{} KiB resident beyond log buffers", mapped >> 10);
        }
        daemon.signal("-TERM");
        assert_eq!(daemon.wait_end().code(), Some(0), "{}", daemon.log());
    }
}

/// The other client's strategy: what it does is written out here, message by message, with none of our session code.
struct Stranger {
    strategy: Strategy,
    next: u32,
}

impl Stranger {
    fn send(&mut self, world: &mut World, message: impl Into<OrderEntry>) {
        let mut bytes = [0; 128];
        let length = message.into().encode(&mut bytes);
        let Stranger { strategy, .. } = self;
        world.until("taken message", |_| strategy.send(&bytes[..length]).then_some(()));
    }

    /// The next message that is no sign of life.
    fn receive(&mut self, world: &mut World) -> OrderEntry {
        let Stranger { strategy, .. } = self;
        world.until("message", |_| {
            let message = OrderEntry::decode(&strategy.receive()?).expect("the gateway's own");
            (!matches!(message, OrderEntry::Sequence(_))).then_some(message)
        })
    }

    fn report(&mut self, world: &mut World) -> ExecutionReport {
        match self.receive(world) {
            OrderEntry::ExecutionReport(report) => report,
            other => panic!("not a report: {other:?}"),
        }
    }

    fn number(&mut self) -> SeqNum {
        self.next += 1;
        SeqNum(self.next)
    }
}

fn utc() -> UtcNanos {
    let clock = postern::runtime::Clock::start();
    clock.utc(clock.now())
}

/// Negotiates and establishes the session; returns its version.
fn enter(world: &mut World, stranger: &mut Stranger) -> u64 {
    let key: SessionKey = STRATEGY_KEY.parse().expect("a key");
    let (session_id, session_ver_id) = (SESSION, utc().0);
    let timestamp = utc();
    let credentials = key.sign(SESSION, session_ver_id, timestamp);
    let client_flow = FlowType::Idempotent;
    let negotiate = Negotiate { session_id, client_flow, session_ver_id, timestamp, credentials };
    stranger.send(world, negotiate);
    let answer = stranger.receive(world);
    assert!(matches!(answer, OrderEntry::NegotiationResponse(_)), "{answer:?}");
    let timestamp = utc();
    let establish = Establish {
        session_id,
        keepalive_interval: 10_000,
        session_ver_id,
        timestamp,
        next_seq_no: SeqNum(1),
        credentials: key.sign(SESSION, session_ver_id, timestamp),
    };
    stranger.send(world, establish);
    let answer = stranger.receive(world);
    assert!(matches!(answer, OrderEntry::EstablishmentAck(_)), "{answer:?}");
    session_ver_id
}

#[test]
fn a_strategy_written_with_another_client_does_a_whole_session() {
    let setup = Setup::new(Options { ipc: true, ..Options::default() });
    let daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    world.until_tradable(&daemon);
    let orders = Stream { channel: &setup.orders, stream_id: 1001 };
    let reports = Stream { channel: &setup.reports, stream_id: 2001 };
    let mut stranger =
        Stranger { strategy: Strategy::connect(&setup.aeron, orders, reports), next: 0 };
    world.until("connection", |_| stranger.strategy.is_connected().then_some(()));

    let session_ver_id = enter(&mut world, &mut stranger);
    let session_id = SESSION;
    let (bid, offer) = world.touch();
    let order = NewOrderSingle {
        session_id,
        msg_seq_num: stranger.number(),
        cl_ord_id: ClOrdId(1),
        sending_time: utc(),
        price: Some(bid),
        order_qty: 10,
        security_id: INSTRUMENT,
        account: ACCOUNT,
        side: Side::Buy,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
    };
    stranger.send(&mut world, order);
    let report = stranger.report(&mut world);
    assert_eq!((report.exec_type, report.cl_ord_id), (ExecType::New, ClOrdId(1)), "{report:?}");
    assert_ne!(report.order_id, OrderId(0));
    let cancel = OrderCancelRequest {
        session_id,
        msg_seq_num: stranger.number(),
        cl_ord_id: ClOrdId(2),
        sending_time: utc(),
        orig_cl_ord_id: ClOrdId(1),
    };
    stranger.send(&mut world, cancel);
    let report = stranger.report(&mut world);
    assert_eq!((report.exec_type, report.leaves_qty), (ExecType::Canceled, 0), "{report:?}");
    let taker = NewOrderSingle {
        msg_seq_num: stranger.number(),
        cl_ord_id: ClOrdId(3),
        price: Some(offer),
        order_qty: 1,
        ..order
    };
    stranger.send(&mut world, taker);
    let kinds = [stranger.report(&mut world).exec_type, stranger.report(&mut world).exec_type];
    assert_eq!(kinds, [ExecType::New, ExecType::Trade]);
    let code = TerminationCode::Finished;
    stranger.send(&mut world, Terminate { session_id, code, session_ver_id });
    let answer = stranger.receive(&mut world);
    assert!(matches!(answer, OrderEntry::Terminate(_)), "{answer:?}");
    wait_for("end of the session", || {
        (daemon.counter("entry_session_down_count") == 1).then_some(())
    });
}
