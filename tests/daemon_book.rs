//! `postern book`: the book of an instrument of a daemon that runs, and what is said where there is none.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/transport.rs"]
mod support;

use std::process::{Output, Stdio};

use daemon::{Daemon, Options, Setup, World, command};
use serde_json::Value;

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
    assert_eq!(book["bids"][0]["price"], bid.to_string());
    assert_eq!(book["asks"][0]["price"], offer.to_string());
    let levels = |side: &str| book[side].as_array().expect("levels").clone();
    for side in ["bids", "asks"] {
        assert!(levels(side).iter().all(|level| level["qty"].as_u64() > Some(0)), "{book}");
    }
    let text = answer(&mut world, &setup, &[]);
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(text.starts_with("ALFA: current, status T\n"), "{text}");
    assert!(text.contains(&bid.to_string()) && text.contains(&offer.to_string()), "{text}");
    // Nobody else noticed.
    world.round_trip();
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
