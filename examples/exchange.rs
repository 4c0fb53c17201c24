//! The simulated exchange by itself: a venue for a gateway that runs as `postern run` on this machine, and a market for
//! its strategies. It serves the first `[[venue]]` of the gateway's configuration and publishes ITCH on the first
//! `[[channel]]`, until Ctrl-C.
//!
//! `cargo run --release --example exchange -- target/quickstart/quickstart.toml`

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use postern::config::{Config, Source};
use postern::net::{KernelUdpSink, UdpSinkConfig};
use postern::runtime::{Agent, Clock};
use postern::session::ServerConfig;
use postern::sim::background::{Background, RandomFlow, RandomFlowConfig, RandomSymbol};
use postern::sim::matching::VenueInstrument;
use postern::sim::venue::{UtcAnchor, VenueAgent, VenueConfig, VenueLines};
use postern::telemetry::Registry;
use postern::transport::{AeronConfig, Client, DriverMode};
use postern::types::{Price, UtcNanos};

/// Serves the first [[venue]] of a gateway's configuration as a simulated exchange.
///
/// It has a generated market in all of its instruments, which it publishes as ITCH 5.0 on the first [[channel]]. Start the
/// gateway first: its media driver is used.
#[derive(Debug, Parser)]
struct Arguments {
    /// The gateway's configuration.
    config: PathBuf,
}

const DAY_NS: u64 = 86_400_000_000_000;
/// Every generated market starts around this price, in units of 1e-9.
const MIDDLE: Price = Price::from_units(100_000_000_000);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exchange: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let config = Config::load(&arguments.config)?;
    let clock = Clock::start();
    let mut client = Client::connect(&AeronConfig {
        mode: DriverMode::External,
        driver_timeout_ms: u64::from(config.aeron.driver_timeout_ms),
        ..AeronConfig::in_directory(&config.aeron.directory)
    })?;
    let mut exchange = exchange(&config, &mut client, clock)?;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    exchange.on_start(clock.now())?;
    eprintln!("the exchange is open");
    while !stop.load(Ordering::Relaxed) {
        let work = exchange.poll(clock.now())? + client.service(clock.now())?;
        if work == 0 {
            // A guest on the gateway's machine: it leaves the cores alone.
            std::thread::park_timeout(Duration::from_micros(100));
        }
    }
    exchange.on_close(clock.now());
    Ok(())
}

/// An exchange for the first venue of a gateway.
fn exchange(
    config: &Config,
    client: &mut Client,
    clock: Clock,
) -> Result<impl Agent + use<>, Box<dyn Error>> {
    let venue = config.venues.first().ok_or("the configuration has no [[venue]]")?;
    let channel = config.channels.first().ok_or("the configuration has no [[channel]]")?;
    let Source::Multicast { line_a, line_b, interface, .. } = &channel.source else {
        return Err(format!("channel {} is not multicast", channel.name).into());
    };
    let sink = |destination| {
        let interface = *interface;
        KernelUdpSink::new(UdpSinkConfig { destination, interface, ttl: 0, loopback: true })
    };
    let lines = VenueLines {
        requests: client.add_subscription(&venue.orders.channel, venue.orders.stream_id)?,
        reports: client.add_publication(&venue.reports.channel, venue.reports.stream_id)?,
        line_a: sink(*line_a)?,
        line_b: line_b.map(sink).transpose()?,
    };
    let instruments: Vec<VenueInstrument> = config
        .instruments
        .iter()
        .zip(1..)
        .map(|(instrument, stock_locate)| VenueInstrument {
            symbol: instrument.symbol,
            stock_locate,
            security_id: instrument.id,
            tick: instrument.tick,
            lot: instrument.lot.get(),
        })
        .collect();
    let symbols = instruments
        .iter()
        .map(|i| RandomSymbol {
            security_id: i.security_id,
            middle: MIDDLE,
            tick: i.tick,
            lot: i.lot,
        })
        .collect();
    let market = RandomFlowConfig {
        seed: 1,
        symbols,
        orders_max: 400,
        at_once: 1_000,
        steps_per_second: 100,
        steps_max: None,
    };
    let session = ServerConfig {
        session: venue.session_id,
        key: venue.key.clone(),
        keepalive_ms: 10..=60_000,
        own_keepalive_ms: venue.keepalive_ms,
        clock_skew_ns: 30_000_000_000,
        retained_reports: 8_192,
    };
    let now = clock.now();
    let utc = clock.utc(now);
    let midnight = UtcNanos(utc.0 - utc.0 % DAY_NS);
    let mut settings =
        VenueConfig::new(instruments, vec![session], UtcAnchor { now, utc }, midnight);
    // A start is a session of its own: who heard the last one must not take this one's messages for its continuation.
    let seconds = format!("{:010}", utc.0 / 1_000_000_000 % 10_000_000_000);
    settings.mold.session.copy_from_slice(seconds.as_bytes());
    let background = |_: &_| Background::Random(RandomFlow::new(&market));
    let (registry, ledger) = (Registry::new(), Arc::default());
    Ok(VenueAgent::new(settings, lines, background, &registry, ledger)?)
}
