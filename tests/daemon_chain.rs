//! Two gateways as two processes: the first reads the exchange, the second reads the first, over UDP or a media driver that
//! both share; in every layout, and over the first one's death.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not named is all the same to a test")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/transport.rs"]
mod support;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daemon::{Daemon, INSTRUMENT, Options, Setup, World};
use postern::client::{BookMirror, Handler, Level, Strategy, StrategyConfig, StreamName};
use postern::codec::market_data::MarketData;
use postern::sim::ledger::LevelSnapshot;
use postern::transport::{AeronConfig, Driver, DriverMode};
use postern::types::{BookState, DenyReason, Side};
use support::{Process, free_port, now, orphaned, role, say, wait_for};

/// Price levels that gateways tell by default.
const DEPTH: usize = 10;

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

/// How the first gateway is read: market data and snapshots, as it publishes them and as the second one subscribes.
struct Way {
    published: [String; 2],
    subscribed: [String; 2],
}

impl Way {
    fn udp() -> Way {
        let control =
            [(); 2].map(|()| format!("control=127.0.0.1:{}|control-mode=dynamic", free_port()));
        Way {
            published: [0, 1].map(|at| format!("aeron:udp?{}", control[at])),
            subscribed: [0, 1].map(|at| format!("aeron:udp?endpoint=127.0.0.1:0|{}", control[at])),
        }
    }

    fn ipc() -> Way {
        let ipc = || [(); 2].map(|()| "aeron:ipc".to_owned());
        Way { published: ipc(), subscribed: ipc() }
    }

    /// The first gateway's configuration.
    fn first(&self, setup: &Setup) -> String {
        let [changes, snapshots] = &self.published;
        let market_data = format!(
            "[market_data]\nchannel = \"{changes}\"\nsnapshot_channel = \"{snapshots}\"\nsnapshot_interval_ms = 50"
        );
        setup.text().replacen("[market_data]\nchannel = \"aeron:ipc\"", &market_data, 1)
    }

    /// The second gateway's configuration. What it publishes itself are streams 1202 and 1203.
    fn second(&self, setup: &Setup) -> String {
        let text = setup.text().replacen(
            "[market_data]\n",
            "[market_data]\nstream_id = 1202\nsnapshot_stream_id = 1203\n",
            1,
        );
        let (before, rest) = text.split_once("source = \"multicast\"").expect("a channel");
        let (_, after) = rest.split_once("[[instrument]]").expect("and an instrument");
        let [changes, snapshots] = &self.subscribed;
        format!(
            "{before}protocol = \"sbe\"\nsource = \"aeron\"\naeron_channel = \"{changes}\"\naeron_stream_id = 1002\n\
             aeron_snapshot_channel = \"{snapshots}\"\naeron_snapshot_stream_id = 1003\nstale_after_ms = 3000\n\
             [[instrument]]{after}"
        )
    }
}

/// A strategy that looks on at the second gateway.
struct Onlooker {
    strategy: Strategy,
    mirror: Mirror,
}

struct Mirror(BookMirror);

impl Handler for Mirror {
    fn on_market_data(&mut self, source: i32, message: &MarketData) {
        self.0.on_message(source, message);
    }

    fn on_snapshot(&mut self, message: &MarketData) {
        self.0.on_snapshot(message);
    }
}

impl Onlooker {
    fn at(directory: &Path) -> Onlooker {
        let aeron = AeronConfig {
            mode: DriverMode::External,
            driver_timeout_ms: 10_000,
            client_liveness_ms: 10_000,
            ..AeronConfig::in_directory(directory)
        };
        let strategy = Strategy::connect(StrategyConfig {
            aeron,
            session: None,
            market_data: Some(StreamName::new("aeron:ipc", 1202)),
            snapshots: Some(StreamName::new("aeron:ipc", 1203)),
        });
        Onlooker { strategy: strategy.expect("a driver"), mirror: Mirror(BookMirror::new()) }
    }

    fn state(&mut self) -> Option<BookState> {
        self.strategy.poll(&mut self.mirror).expect("up");
        self.mirror.0.book(INSTRUMENT).map(|book| book.state())
    }

    fn levels(&self, side: Side) -> Vec<Level> {
        self.mirror.0.book(INSTRUMENT).map_or_else(Vec::new, |book| book.levels(side).to_vec())
    }
}

/// The exchange's best levels, as a mirror has them.
fn truth(world: &World, side: Side) -> Vec<Level> {
    let book = world.exchange.snapshot(0).expect("a book");
    let levels = match side {
        Side::Buy => &book.bids,
        Side::Sell => &book.asks,
    };
    let level = |level: &LevelSnapshot| Level {
        price: level.price,
        size: level.qty,
        orders: u32::try_from(level.orders.len()).expect("few"),
    };
    levels.iter().take(DEPTH).map(level).collect()
}

/// Turns the world until who looks on at the second gateway has the exchange's book.
#[track_caller]
fn wait_equal(world: &mut World, onlooker: &mut Onlooker) {
    world.until("the exchange's book at the second gateway", |world| {
        let is_current = onlooker.state() == Some(BookState::Current);
        let is_equal = |side| {
            let levels = onlooker.levels(side);
            !levels.is_empty() && levels == truth(world, side)
        };
        (is_current && is_equal(Side::Buy) && is_equal(Side::Sell)).then_some(())
    });
}

/// Waits until a link of the second gateway is up or down, turning the world now and then.
#[track_caller]
fn wait_link(world: &mut World, daemon: &Daemon, is_up: bool) {
    let mut next = now();
    world.until("state of the channel", |_| {
        if now() < next {
            return None;
        }
        next = now().plus(20_000_000);
        let (_, health) = daemon.health()?;
        let links = health["links"].as_array()?.clone();
        let feed = links.iter().find(|link| link["name"] == "feed sim")?;
        (feed["up"] == is_up).then_some(())
    });
}

/// Brings the strategy's session up again, if it went down while the world stood still.
#[track_caller]
fn reconnect(world: &mut World) {
    world.turn();
    if !world.strategy.session.is_established() {
        world.connect();
    }
}

#[test]
fn the_second_gateway_denies_when_the_first_is_killed_and_trades_when_it_is_back() {
    let way = Way::udp();
    let runtime = "allocation_guard = \"abort\"";
    let (first_setup, second_setup) =
        (Setup::new(Options::default()), Setup::new(Options { runtime, ..Options::default() }));
    // Of one world: its exchange and its strategy are the second gateway's, its market data is the first one's.
    let (first_text, second_text) = (way.first(&first_setup), second_setup.text());
    let group =
        |text: &str| text.lines().find(|line| line.starts_with("line_a")).map(str::to_owned);
    let (own, shared) = (group(&first_text).expect("a line"), group(&second_text).expect("a line"));
    first_setup.write("postern.toml", &first_text.replacen(&own, &shared, 1));
    second_setup.write("postern.toml", &way.second(&second_setup));
    let mut first = Daemon::start(&first_setup);
    let second = Daemon::start(&second_setup);
    let mut onlooker = Onlooker::at(&second_setup.aeron);
    let mut world = World::new(&second_setup);
    world.open(&second);
    wait_equal(&mut world, &mut onlooker);
    wait_link(&mut world, &second, true);
    world.round_trip();

    first.kill();
    wait_link(&mut world, &second, false);
    world.until("a stale book", |_| (onlooker.state() == Some(BookState::Stale)).then_some(()));
    let (bid, _) = world.touch();
    reconnect(&mut world);
    let denied = world.send_order(Side::Buy, bid, 10);
    let report = world.any_report(denied);
    assert_eq!(report.deny_reason, DenyReason::FeedNotCurrent.code(), "{report:?}");

    let first = Daemon::start(&first_setup);
    world.restart_market();
    wait_link(&mut world, &second, true);
    wait_equal(&mut world, &mut onlooker);
    reconnect(&mut world);
    world.round_trip();
    // A machine that stood still for long may have cost it the first gateway once more.
    assert!(second.counter("feed_session_change_count") >= 1);
    assert_eq!(second.counter("feed_message_error_count"), 0);
    assert_eq!(second.counter("feed_misfit_count"), 0);
    assert_eq!(second.counter("feed_upstream_snapshot_differed_count"), 0);
    assert_eq!((first.hot_allocations(), second.hot_allocations()), (0, 0));
}

#[test]
fn the_second_gateway_reads_the_first_in_every_layout_and_comes_late() {
    let way = Way::udp();
    let first_setup = Setup::new(Options::default());
    first_setup.write("postern.toml", &way.first(&first_setup));
    let _first = Daemon::start(&first_setup);
    let mut world = World::new(&first_setup);
    for (layout, driver) in [("split", "invoker"), ("fused", "dedicated"), ("split", "shared")] {
        let runtime = "allocation_guard = \"abort\"";
        let setup = Setup::new(Options { layout, driver, runtime, ..Options::default() });
        setup.write("postern.toml", &way.second(&setup));
        let second = Daemon::start(&setup);
        let mut onlooker = Onlooker::at(&setup.aeron);
        wait_equal(&mut world, &mut onlooker);
        wait_link(&mut world, &second, true);
        assert_eq!(second.counter("feed_gap_count"), 0, "{layout} {driver}");
        assert_eq!(second.hot_allocations(), 0, "{layout} {driver}");
    }
}

#[test]
fn two_gateways_of_one_media_driver_are_chained_over_shared_memory() {
    let way = Way::ipc();
    let options = Options { driver: "external", ..Options::default() };
    let (first_setup, second_setup) = (Setup::new(options), Setup::new(options));
    let mut driver = Process::start("driver", &[first_setup.aeron.to_str().expect("plain")]);
    driver.wait_ready();
    first_setup.write("postern.toml", &way.first(&first_setup));
    let (own, shared) = (second_setup.aeron.display(), first_setup.aeron.display());
    let text = way.second(&second_setup).replacen(&own.to_string(), &shared.to_string(), 1);
    second_setup.write("postern.toml", &text);
    let _first = Daemon::start(&first_setup);
    let second = Daemon::start(&second_setup);
    let mut onlooker = Onlooker::at(&first_setup.aeron);
    let mut world = World::new(&first_setup);
    wait_equal(&mut world, &mut onlooker);
    wait_link(&mut world, &second, true);
    wait_for("snapshots", || (second.counter("feed_packet_count") > 100).then_some(()));
}
