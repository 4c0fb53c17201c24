//! The life of the daemon as a process: it is stopped, told to stop twice, killed while it trades and started again.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/transport.rs"]
mod support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use daemon::{Daemon, Options, Setup, World, command};
use postern::session::ClientAction;
use postern::types::{ClOrdId, DenyReason, ExecType, Side, TerminationCode};
use support::{now, wait_for};

/// A gateway that trades.
#[track_caller]
fn trading(options: Options) -> (Setup, Daemon, World) {
    let setup = Setup::new(options);
    let daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    world.open(&daemon);
    (setup, daemon, world)
}

fn stops_clean(options: Options, stop: impl Fn(&Daemon)) {
    let (_setup, mut daemon, mut world) = trading(options);
    let orders: Vec<ClOrdId> = (0..3).map(|_| world.rest(10)).collect();
    assert_eq!(world.open_at_venue(), 3);
    stop(&daemon);
    for order in orders {
        let report = world.report(order, ExecType::Canceled);
        assert_eq!((report.leaves_qty, report.cum_qty), (0, 0), "{report:?}");
    }
    let goodbye = ClientAction::Down(TerminationCode::ShuttingDown);
    world.until("goodbye", |world| world.strategy.actions.contains(&goodbye).then_some(()));
    let status = world.until_end(&mut daemon);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert_eq!(world.open_at_venue(), 0);
}

#[test]
fn sigterm_cancels_open_orders_tells_the_strategy_and_ends_with_0() {
    stops_clean(Options::default(), |daemon| daemon.signal("-TERM"));
}

#[test]
fn sigint_does_the_same_with_a_core_for_each_agent() {
    stops_clean(Options { layout: "split", ..Options::default() }, |daemon| daemon.signal("-INT"));
}

#[test]
fn ctl_stop_does_the_same() {
    stops_clean(Options::default(), |daemon| {
        let output = daemon.ctl(&["stop"]);
        assert!(output.status.success(), "{output:?}");
    });
}

/// There is nothing to wait for when the venue is gone, and yet nobody can say that the order is.
#[test]
fn an_order_at_a_venue_that_is_gone_is_told_at_the_end() {
    let (_setup, mut daemon, mut world) = trading(Options::default());
    world.rest(10);
    world.lose_exchange();
    let mut next_look = now();
    world.until("break of the venue's link", |_| {
        if now() < next_look {
            return None;
        }
        next_look = now().plus(20_000_000);
        (daemon.counter("router_venue_down_count") > 0).then_some(())
    });
    daemon.signal("-TERM");
    let status = world.until_end(&mut daemon);
    assert_eq!(status.code(), Some(69), "{}", daemon.log());
    assert!(daemon.log().contains("1 orders may be open at the venue"), "{}", daemon.log());
}

#[test]
fn health_follows_its_life_and_a_second_signal_ends_it_at_once() {
    let setup = Setup::new(Options::default());
    let mut daemon = Daemon::start(&setup);
    // It runs, but venue and market are not there.
    let (status, health) = daemon.health().expect("it answers");
    assert_eq!(status, 503, "{health}");
    let mut world = World::new(&setup);
    world.open(&daemon);
    let mut next_look = now();
    world.until("health", |_| {
        if now() < next_look {
            return None;
        }
        next_look = now().plus(20_000_000);
        (daemon.health()?.0 == 200).then_some(())
    });
    world.rest(10);
    // From here on the exchange does not answer: nobody turns the world.
    daemon.signal("-TERM");
    wait_for("drain", || (daemon.health()?.1["phase"] == "draining").then_some(()));
    let (status, _) = daemon.health().expect("it still answers");
    assert_eq!(status, 503);
    let asked = now();
    daemon.signal("-TERM");
    let status = daemon.wait_end();
    let took = Duration::from_nanos(now().since(asked));
    assert_eq!(status.code(), Some(69), "{}", daemon.log());
    assert!(took < Duration::from_secs(10), "the drain's own deadline is 20 s: {took:?}");
}

/// What `postern journal verify` says of the journal of `setup`.
fn verify(setup: &Setup) {
    let output = command(&["journal", "verify"]).arg(setup.path("journal")).output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    let output = command(&["journal", "replay"])
        .arg(setup.path("journal"))
        .arg("--config")
        .arg(setup.path("postern.toml"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
}

/// How many new orders the journal of `setup` says were approved.
fn approved_orders(setup: &Setup) -> usize {
    let mut dump = command(&["journal", "dump", "--output", "json"]);
    let output = dump.arg(setup.path("journal")).output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let records = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let approved = |record: &serde_json::Value| {
        let fields = &record["fields"];
        record["type"] == "Decision"
            && fields["deny_reason"] == 0
            && fields["decision_kind"] == "New"
    };
    records.filter(approved).count()
}

#[test]
fn a_kill_at_any_instant_loses_nothing_and_repeats_nothing() {
    let (setup, mut daemon, mut world) = trading(Options::default());
    let (bid, offer) = world.touch();
    // A position of 5, and twenty orders open; then it is killed in the middle of four hundred more.
    let bought = world.send_order(Side::Buy, offer, 5);
    let fill = world.report(bought, ExecType::Trade);
    assert_eq!(fill.cum_qty, 5);
    let mut ids: Vec<u64> = vec![fill.order_id.0];
    for _ in 0..20 {
        let id = world.rest(10);
        ids.push(world.any_report(id).order_id.0);
    }
    let acknowledged = world.strategy.executions.len() + 80;
    for _ in 0..400 {
        world.send_order(Side::Buy, bid, 10);
    }
    world.until("answers", |world| (world.strategy.executions.len() >= acknowledged).then_some(()));
    daemon.kill();
    ids.extend(world.strategy.executions.iter().map(|report| report.order_id.0));
    let used = world.strategy.take_id();
    verify(&setup);
    let approved = approved_orders(&setup);

    // The exchange takes the disconnect for a reason to cancel, before the gateway is back.
    world.until("cancel on disconnect", |world| (world.open_at_venue() == 0).then_some(()));
    let mut daemon = Daemon::start(&setup);
    world.restart_market();
    world.strategy.executions.clear();
    world.open(&daemon);
    let told = world.strategy.session.server_cl_ord_id();
    assert!(told >= ClOrdId(21) && told < used, "the session tells what was used: {told:?}");
    // What the exchange said meanwhile arrives and ends every order that it ever saw. What was approved and lost on the way
    // to it ends because the cancel that the gateway sends for each order of the last run tells that it is not there.
    let arrived = world.exchange.ledger().orders.len();
    assert!((21..=approved).contains(&arrived), "{approved} approved, {arrived} arrived");
    let mut next_look = now();
    world.until("end of the last run's orders", |_| {
        if now() < next_look {
            return None;
        }
        next_look = now().plus(20_000_000);
        (daemon.counter("risk_order_open_count") == 0).then_some(())
    });
    assert_eq!(world.exchange.ledger().orders.len(), arrived, "nothing is sent again");
    eprintln!("{approved} approved, {arrived} reached the exchange");

    // An identifier used before is refused, a new one passes, and no number of an order comes twice.
    world.send_order_as(ClOrdId(2), Side::Buy, bid, 10, |_| {});
    let report = world.report(ClOrdId(2), ExecType::Rejected);
    assert_eq!(report.deny_reason, DenyReason::DuplicateClOrdId.code(), "{report:?}");
    let mut next = ClOrdId(used.0 + 1_000);
    for _ in 0..5 {
        world.send_order_as(next, Side::Buy, bid, 10, |_| {});
        let report = world.any_report(next);
        assert_eq!(report.exec_type, ExecType::New, "{report:?}");
        assert!(!ids.contains(&report.order_id.0), "{report:?} has a number of the last run");
        ids.push(report.order_id.0);
        next = ClOrdId(next.0 + 1);
    }
    // The limit is 10,000: the 5 bought in the last run and 50 open now leave room for so many, not one more.
    let mut room = 10_000 - 5 - 50;
    while room > 0 {
        next = ClOrdId(next.0 + 1);
        world.send_order_as(next, Side::Buy, bid, room.min(1_000), |_| {});
        assert_eq!(world.any_report(next).exec_type, ExecType::New);
        room -= room.min(1_000);
    }
    next = ClOrdId(next.0 + 1);
    world.send_order_as(next, Side::Buy, bid, 1, |_| {});
    assert_eq!(world.any_report(next).deny_reason, DenyReason::LongAboveLimit.code());
    daemon.signal("-TERM");
    let status = world.until_end(&mut daemon);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    verify(&setup);
}

#[test]
fn a_kill_switch_outlives_a_kill_and_is_rearmed_by_name() {
    let (setup, mut daemon, mut world) = trading(Options::default());
    let resting = world.rest(10);
    let output =
        daemon.ctl(&["kill", "firm", "--cancel", "no", "--operator", "ann", "--reason", "drill"]);
    assert!(output.status.success(), "{output:?}");
    let (bid, _) = world.touch();
    let denied = world.send_order(Side::Buy, bid, 10);
    let report = world.any_report(denied);
    assert_eq!(report.deny_reason, DenyReason::KilledFirm.code(), "{report:?}");
    world.send_cancel(resting);
    world.report(resting, ExecType::Canceled);
    daemon.kill();
    world.until("cancel on disconnect", |world| (world.open_at_venue() == 0).then_some(()));

    let daemon = Daemon::start(&setup);
    world.restart_market();
    world.open(&daemon);
    let denied = world.send_order(Side::Buy, bid, 10);
    let report = world.any_report(denied);
    assert_eq!(report.deny_reason, DenyReason::KilledFirm.code(), "{report:?}");
    let nameless = daemon.ctl(&["rearm", "firm", "--operator", " ", "--reason", "drill over"]);
    assert!(!nameless.status.success(), "{nameless:?}");
    let output = daemon.ctl(&["rearm", "firm", "--operator", "ann", "--reason", "drill over"]);
    assert!(output.status.success(), "{output:?}");
    world.round_trip();
}

/// What was sent to the socket of systemd so far.
fn notes(socket: &UnixDatagram) -> Vec<String> {
    let mut notes = Vec::new();
    let mut bytes = [0; 4_096];
    while let Ok(length) = socket.recv(&mut bytes) {
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        notes.extend(text.lines().map(str::to_owned));
    }
    notes
}

#[test]
fn systemd_hears_of_start_life_and_end() {
    let setup = Setup::new(Options::default());
    let path = setup.path("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("bound");
    socket.set_nonblocking(true).expect("non-blocking");
    let name = path.to_str().expect("plain");
    let environment = [("NOTIFY_SOCKET", name), ("WATCHDOG_USEC", "400000")];
    let mut daemon = Daemon::spawn(&setup, &environment);
    let mut heard = Vec::new();
    wait_for("READY", || {
        heard.extend(notes(&socket));
        heard.iter().any(|note| note == "READY=1").then_some(())
    });
    let (_, health) = daemon.health().expect("who is ready answers");
    assert_eq!(health["phase"], "running");
    heard.clear();
    let dogs = |heard: &[String]| heard.iter().filter(|note| *note == "WATCHDOG=1").count();
    wait_for("three signs of life", || {
        heard.extend(notes(&socket));
        (dogs(&heard) >= 3).then_some(())
    });
    daemon.signal("-TERM");
    wait_for("STOPPING", || {
        heard.extend(notes(&socket));
        heard.iter().any(|note| note == "STOPPING=1").then_some(())
    });
    assert_eq!(daemon.wait_end().code(), Some(0), "{}", daemon.log());
}
