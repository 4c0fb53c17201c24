//! Configuration: text, then single checked values, then a whole that fits together; all faults are told at once.
//!
//! [`DEFAULT_TOML`] explains every key and holds the defaults; a user's file is laid over it. Nothing half checked leaves this
//! module: whoever holds a [`Config`] may rely on every range and relation that `default.toml` states.

mod af_xdp;
mod check;
mod error;
mod parse;
mod print;
mod reader;
mod recovery;
mod sections;
mod upstream;
mod values;

use std::collections::BTreeSet;
use std::path::Path;

pub use error::{ConfigError, ConfigErrors};
pub use sections::{
    Account, Aeron, AfXdp, AfXdpUser, AllocationGuard, Channel, Control, Core, DriverMode, Entry,
    Fallback, Feed, Gateway, Glimpse, Idle, Instrument, Journal, MarketData, Pace, Protocol,
    Reorder, Rerequest, Risk, Runtime, Session, Source, Stream, Telemetry, Venue, Wanted,
};

/// The defaults, with every key explained.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// The least `risk.reference_stale_ms`: twice the time between two words of the feed that a channel is current, since a price
/// in force must not age between them.
pub(crate) const REFERENCE_STALE_MS_MIN: u32 = 10;

/// How the built-in defaults are named in a fault.
const DEFAULT_NAME: &str = "default.toml (built in)";

/// A whole, checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The process as a whole.
    pub gateway: Gateway,
    /// Threads and memory.
    pub runtime: Runtime,
    /// The media driver.
    pub aeron: Aeron,
    /// How strategies reach us.
    pub entry: Entry,
    /// Strategies' sessions.
    pub sessions: Vec<Session>,
    /// Normalised market data.
    pub market_data: MarketData,
    /// Market data feeds.
    pub channels: Vec<Channel>,
    /// Queues of network interfaces that are ours past the kernel's sockets.
    pub af_xdp: Vec<AfXdp>,
    /// What may be traded.
    pub instruments: Vec<Instrument>,
    /// Who trades.
    pub accounts: Vec<Account>,
    /// Where orders go.
    pub venues: Vec<Venue>,
    /// Limits of the firm.
    pub risk: Risk,
    /// The record.
    pub journal: Journal,
    /// People and scripts.
    pub control: Control,
    /// Histograms on disk.
    pub telemetry: Telemetry,
    /// Sizes of the books.
    pub feed: Feed,
}

impl Config {
    /// Reads `path` over the defaults, and the key files it names.
    ///
    /// # Errors
    /// Every fault there is, each with file, line and key; a file that cannot be read is one, without a line.
    pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Config::from_toml(&name, &text),
            Err(error) => Err(ConfigErrors(vec![ConfigError {
                file: name,
                line: 0,
                key: String::new(),
                message: format!("cannot be read: {error}"),
            }])),
        }
    }

    /// Reads `text` over the defaults. `name` is the file it came from: faults name it, and relative paths start from its folder.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(name: &str, text: &str) -> Result<Config, ConfigErrors> {
        Config::from_layers(&[(DEFAULT_NAME, DEFAULT_TOML), (name, text)]).0
    }

    /// Reads texts over each other; also gives every key that was looked for, as `section.key`.
    fn from_layers(texts: &[(&str, &str)]) -> (Result<Config, ConfigErrors>, BTreeSet<String>) {
        let (mut reader, roots) = reader::Reader::new(texts);
        if reader.has_faults() {
            // What a broken text means is guesswork; more faults would only hide the first.
            let (errors, known) = reader.finish();
            return (Err(ConfigErrors(errors)), known);
        }
        let name = texts.last().map_or("", |(name, _)| *name);
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let config = parse::config(&mut reader, &roots, folder);
        let (errors, known) = reader.finish();
        let result = match config {
            Some(config) if errors.is_empty() => Ok(config),
            Some(_) | None => {
                assert!(!errors.is_empty(), "a configuration is refused for a reason");
                Err(ConfigErrors(errors))
            }
        };
        (result, known)
    }

    /// The whole configuration in force as TOML that reads back as the same. Keys are not in it, only the files they are in.
    pub fn to_toml(&self) -> String {
        print::to_toml(self)
    }
}

impl Default for Config {
    /// The built-in defaults: no session, no instrument, nothing that could trade.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    fn default() -> Config {
        match Config::from_toml(DEFAULT_NAME, "") {
            Ok(config) => config,
            Err(errors) => panic!("the built-in defaults are sound: {errors}"),
        }
    }
}

#[cfg(test)]
mod tests;
