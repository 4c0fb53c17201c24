//! The strategy's side of the gateway, as a library: a session to send orders on, market data, and a mirror of the books.
//!
//! [`Strategy`] is one thread's connection to a running gateway: it opens the streams, keeps the session alive and hands what
//! arrives to a [`Handler`]. [`OrderSession`] and [`MarketReader`] are its two halves, for who has streams of their own.
//! [`BookMirror`] keeps the books that market data tells, knows where it lost something, and finds back by the next snapshot.
//!
//! All of it is what a strategy in any language does with an Aeron client and the codecs of `sbe-schemas/`, so this module
//! must not know anything of the gateway but its messages.
//!
//! ```no_run
//! use postern::client::{BookMirror, Handler, StrategyConfig, Strategy, StreamName};
//! use postern::codec::market_data::MarketData;
//! use postern::transport::{AeronConfig, DriverMode};
//!
//! struct Watcher(BookMirror);
//!
//! impl Handler for Watcher {
//!     fn on_market_data(&mut self, source: i32, message: &MarketData) {
//!         self.0.on_message(source, message);
//!     }
//!     fn on_snapshot(&mut self, message: &MarketData) {
//!         self.0.on_snapshot(message);
//!     }
//! }
//!
//! let aeron = AeronConfig { mode: DriverMode::External, ..AeronConfig::in_directory("/dev/shm/postern") };
//! let mut strategy = Strategy::connect(StrategyConfig {
//!     aeron,
//!     session: None,
//!     market_data: Some(StreamName::new("aeron:ipc", 1002)),
//!     snapshots: Some(StreamName::new("aeron:ipc", 1003)),
//! })?;
//! let mut watcher = Watcher(BookMirror::new());
//! loop {
//!     strategy.poll(&mut watcher)?;
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod market;
mod mirror;
mod orders;
mod strategy;

pub use crate::mirror::{Difference, Level, MirroredBook, SnapshotOfBook};
pub use market::MarketReader;
pub use mirror::{BookMirror, HISTORY_MESSAGES_MAX, MirrorCounts};
pub use orders::{NewOrder, OrderSession, SendError, SessionEvent};
pub use strategy::{SessionStreams, Strategy, StrategyConfig, StreamName};

use crate::codec::market_data::MarketData;
use crate::codec::order_entry::OrderEntry;

/// What a strategy does with what arrives. Nothing by default.
pub trait Handler {
    /// The session came up, went down, or something was lost on it.
    fn on_session(&mut self, event: SessionEvent) {
        let _ = event;
    }

    /// A report that is the session's next: an execution report, or a reject.
    fn on_report(&mut self, report: &OrderEntry) {
        let _ = report;
    }

    /// A message of the stream of market data that `source` publishes.
    fn on_market_data(&mut self, source: i32, message: &MarketData) {
        let _ = (source, message);
    }

    /// A message of the stream of snapshots.
    fn on_snapshot(&mut self, message: &MarketData) {
        let _ = message;
    }
}
