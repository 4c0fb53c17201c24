//! Runs the embedded Aeron media driver by itself until SIGTERM or SIGINT: a driver that outlives the programs that use
//! it, as `aeronmd` is.
//!
//! `cargo run --release --example media_driver -- /dev/shm/postern [core]`

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use postern::transport::{AeronConfig, Driver, DriverCores, DriverMode};

/// Runs an Aeron media driver until SIGTERM or SIGINT, for a gateway with aeron.driver = "external".
#[derive(Debug, Parser)]
struct Arguments {
    /// Its folder (aeron.directory): an absolute path, in memory.
    directory: PathBuf,
    /// The core its thread is pinned to.
    core: Option<u8>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("media_driver: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let config = AeronConfig {
        mode: DriverMode::Shared,
        cores: DriverCores { conductor: arguments.core, ..DriverCores::default() },
        ..AeronConfig::in_directory(arguments.directory)
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let driver = Driver::start(&config)?;
    eprintln!("driver runs in {}", driver.directory().display());
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    drop(driver);
    Ok(())
}
