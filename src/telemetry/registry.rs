//! Every counter there is, with its help: the one table that code, metrics and documentation share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::telemetry::Counter;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    /// Unique name: agent, subject, unit. Never changes its meaning.
    pub name: &'static str,
    /// One sentence for whoever reads the metrics.
    pub help: &'static str,
}

const fn row(name: &'static str, help: &'static str) -> CounterRow {
    CounterRow { name, help }
}

/// Every counter, sorted by agent.
pub const COUNTERS: &[CounterRow] = &[
    row("feed_packet_count", "Datagrams taken from packet sources."),
    row("transport_admin_action_count", "Offers refused while Aeron rotated a term."),
    row("transport_back_pressured_count", "Offers refused because a subscriber was behind."),
    row("transport_down_code", "0 while the Aeron client is up, else the code it went down with."),
    row("transport_driver_error_count", "Failed duty cycles of the embedded Aeron driver."),
    row("transport_error_count", "Errors Aeron reported that did not end the client."),
    row("transport_not_connected_count", "Offers refused because nobody subscribed."),
    row("transport_refused_fragment_count", "Parts of messages longer than one frame, dropped."),
    row("transport_refused_offer_count", "Offers refused as too long, or on a closed stream."),
    row("transport_source_down_count", "Publishers that went."),
    row("transport_source_up_count", "Publishers that came."),
];

/// The counters of one process. Cheap to clone; clones share the numbers.
#[derive(Clone, Debug)]
pub struct Registry {
    cells: Arc<[Arc<AtomicU64>]>,
}

impl Registry {
    /// All counters, at zero.
    pub fn new() -> Registry {
        Registry { cells: COUNTERS.iter().map(|_| Arc::new(AtomicU64::new(0))).collect() }
    }

    /// The writer's handle of the counter `name`.
    ///
    /// # Panics
    /// If the table has no such row: a bug of ours, found by the first test that builds the agent.
    pub fn counter(&self, name: &'static str) -> Counter {
        let cell = COUNTERS.iter().zip(self.cells.iter()).find(|(row, _)| row.name == name);
        let (_, cell) = cell.unwrap_or_else(|| panic!("counter `{name}` is not a row of COUNTERS"));
        Counter::over(Arc::clone(cell))
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}
