//! Every latency histogram there is: the hops of an order's way, and the agents' duty cycles.

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct HistogramRow {
    /// Unique name, also the tag in a `.hlog`: no comma, no space. Never changes its meaning.
    pub name: &'static str,
    /// From where to where, in one sentence.
    pub help: &'static str,
}

const fn row(name: &'static str, help: &'static str) -> HistogramRow {
    HistogramRow { name, help }
}

/// Every histogram, in the order in which an order meets them. All are in nanoseconds.
pub const HISTOGRAMS: &[HistogramRow] = &[
    row("round_trip", "Strategy meant to send an order until it read the first report on it."),
    row("gateway", "Order read from Aeron until it was claimed for the venue."),
    row("round_trip_denied", "The same, for orders that the gateway denied."),
    row(
        "relay_round_trip",
        "A bare Aeron relay of the same messages over the same channels: the floor.",
    ),
    row("hop_entry", "Entry's own work: order read until it was put into entry_risk."),
    row("hop_entry_risk", "Order in the ring entry_risk."),
    row("hop_risk", "Decision with its journal record: request read until it was put on."),
    row("hop_risk_router", "Approved order in the ring risk_router."),
    row("hop_router", "Router's own work: order read until it was claimed for the venue."),
    row("hop_venue", "Order claimed for the venue until the first report on it was read."),
    row("hop_report", "Report read by the router until it was claimed for the strategy."),
    row("hop_feed", "Datagram read until its change of the book was put on."),
    row("duty_cycle_feed", "Duty cycles of feed that found work."),
    row("duty_cycle_entry", "Duty cycles of entry that found work."),
    row("duty_cycle_risk", "Duty cycles of risk that found work."),
    row("duty_cycle_router", "Duty cycles of router that found work."),
    row("duty_cycle_journal", "Duty cycles of journal that found work."),
    row("duty_cycle_aeron", "Duty cycles of the thread's Aeron client and driver that found work."),
    row("duty_cycle_venue", "Duty cycles of the simulated venue that found work."),
    row("duty_cycle_strategy", "Duty cycles of the simulated strategy that found work."),
];
