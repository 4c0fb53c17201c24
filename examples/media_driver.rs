//! Runs the embedded Aeron media driver by itself until SIGTERM or SIGINT: a driver that outlives the programs that use
//! it, as `aeronmd` is.
//!
//! `cargo run --release --example media_driver -- /dev/shm/postern [core]`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postern::transport::{AeronConfig, Driver, DriverCores, DriverMode};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: media_driver DIRECTORY [CORE]")?;
    let conductor = arguments.next().map(|core| core.parse()).transpose()?;
    let config = AeronConfig {
        mode: DriverMode::Shared,
        cores: DriverCores { conductor, ..DriverCores::default() },
        ..AeronConfig::in_directory(directory)
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
