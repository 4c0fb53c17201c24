//! All numbers of a registry at one moment, and the difference between two moments.

use std::sync::atomic::Ordering;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::telemetry::link::Need;
use crate::telemetry::registry::Shared;
use crate::telemetry::{
    AGENT_COUNTERS, COUNTERS, CounterKind, CounterRow, HISTOGRAMS, HistogramRow, Registry,
};

/// A counter's row and its number.
#[derive(Clone, Copy, Debug)]
pub struct CounterValue {
    /// Its row.
    pub row: &'static CounterRow,
    /// Its number.
    pub value: u64,
}

/// A histogram's row and what it holds.
#[derive(Clone, Debug)]
pub struct HistogramValue {
    /// Its row.
    pub row: &'static HistogramRow,
    /// Nanoseconds, exact by bucket.
    pub histogram: Histogram<u64>,
    /// Values above [`RECORDED_NS_MAX`](crate::telemetry::RECORDED_NS_MAX), which the histogram counts there.
    pub overflow_count: u64,
}

/// The numbers of one agent, in the order of [`AGENT_COUNTERS`].
#[derive(Clone, Debug)]
pub struct AgentValue {
    /// The agent.
    pub name: &'static str,
    /// Its numbers.
    pub counters: Vec<CounterValue>,
}

impl AgentValue {
    /// The number of the row `name` of [`AGENT_COUNTERS`]; 0 where there is no such row.
    pub fn get(&self, name: &str) -> u64 {
        self.counters.iter().find(|counter| counter.row.name == name).map_or(0, |c| c.value)
    }
}

/// The state of one link.
#[derive(Clone, Debug, Serialize)]
pub struct LinkValue {
    /// Its name.
    pub name: String,
    /// Whether health fails while it is down.
    pub required: bool,
    /// Whether it is usable.
    pub up: bool,
}

/// Everything a registry holds, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Every row of [`COUNTERS`].
    pub counters: Vec<CounterValue>,
    /// The rows of [`HISTOGRAMS`] whose recorder has been taken.
    pub histograms: Vec<HistogramValue>,
    /// Every agent that has numbers.
    pub agents: Vec<AgentValue>,
    /// Every link.
    pub links: Vec<LinkValue>,
}

impl Snapshot {
    /// The number of the row `name` of [`COUNTERS`]; `None` where there is no such row.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.counters.iter().find(|counter| counter.row.name == name).map(|c| c.value)
    }

    /// The histogram `name`; `None` where its recorder has not been taken.
    pub fn histogram(&self, name: &str) -> Option<&Histogram<u64>> {
        self.histograms.iter().find(|value| value.row.name == name).map(|value| &value.histogram)
    }

    /// What came in since `earlier`, an older snapshot of the same registry. Gauges and links are as they are now.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        let mut difference = self.clone();
        subtract_all(&mut difference.counters, &earlier.counters);
        for agent in &mut difference.agents {
            if let Some(before) = earlier.agents.iter().find(|before| before.name == agent.name) {
                subtract_all(&mut agent.counters, &before.counters);
            }
        }
        for value in &mut difference.histograms {
            let before = earlier.histograms.iter().find(|before| before.row.name == value.row.name);
            if let Some(before) = before {
                value
                    .histogram
                    .subtract(&before.histogram)
                    .expect("counts of one registry only grow, in one layout");
                value.overflow_count = value.overflow_count.wrapping_sub(before.overflow_count);
            }
        }
        difference
    }
}

fn subtract_all(now: &mut [CounterValue], before: &[CounterValue]) {
    for (now, before) in now.iter_mut().zip(before) {
        if now.row.kind == CounterKind::Counter {
            now.value = now.value.wrapping_sub(before.value);
        }
    }
}

/// Snapshots of what came in since the one before.
#[derive(Debug)]
pub struct Intervals {
    registry: Registry,
    last: Snapshot,
}

impl Intervals {
    /// What came in since the last call, or since [`Registry::intervals`].
    pub fn take(&mut self) -> Snapshot {
        let now = self.registry.snapshot();
        let difference = now.since(&self.last);
        self.last = now;
        difference
    }
}

impl Registry {
    /// All numbers as they are. Takes some 30 µs a histogram and its memory; for the slow lane.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            counters: self.counter_values(),
            histograms: histograms(&self.shared),
            agents: self.agent_values(),
            links: self.link_values(),
        }
    }

    /// Begins a sequence of differences with the numbers as they are.
    pub fn intervals(&self) -> Intervals {
        Intervals { registry: self.clone(), last: self.snapshot() }
    }

    /// Every row of [`COUNTERS`] with its number.
    pub fn counter_values(&self) -> Vec<CounterValue> {
        let cells = COUNTERS.iter().zip(&self.shared.counters);
        cells.map(|(row, (block, slot))| CounterValue { row, value: block.get(*slot) }).collect()
    }

    /// The number of the row `name` of [`COUNTERS`], for a reader; `None` where there is no such row.
    pub fn read(&self, name: &str) -> Option<u64> {
        let index = COUNTERS.iter().position(|row| row.name == name)?;
        self.shared.counters.get(index).map(|(block, slot)| block.get(*slot))
    }

    /// Every agent with its numbers, in the order in which they were asked for.
    pub fn agent_values(&self) -> Vec<AgentValue> {
        let known = self.shared.agents.iter().map_while(|slot| slot.get());
        known
            .map(|(name, block)| {
                let rows = AGENT_COUNTERS.iter().enumerate();
                let counters = rows.map(|(slot, row)| CounterValue { row, value: block.get(slot) });
                AgentValue { name, counters: counters.collect() }
            })
            .collect()
    }

    /// Every link with its state, in the order in which they were asked for.
    pub fn link_values(&self) -> Vec<LinkValue> {
        let known = self.shared.links.iter().map_while(|slot| slot.get());
        known
            .map(|link| LinkValue {
                name: link.name.clone(),
                required: link.need == Need::Required,
                up: link.is_up.load(Ordering::Relaxed),
            })
            .collect()
    }
}

fn histograms(shared: &Shared) -> Vec<HistogramValue> {
    let taken = HISTOGRAMS.iter().zip(&shared.histograms);
    taken
        .filter_map(|(row, cells)| {
            let cells = cells.get()?;
            let overflow_count = cells.overflow_count();
            Some(HistogramValue { row, histogram: cells.histogram(), overflow_count })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{RECORDED_NS_MAX, empty_histogram};

    #[test]
    fn a_snapshot_equals_what_hdrhistogram_recorded() {
        let registry = Registry::new();
        let recorder = registry.recorder("hop_risk");
        let mut reference = empty_histogram();
        let mut value = 1_u64;
        for step in 0..100_000_u64 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step | 1);
            let ns = (value >> 20) >> (value % 40);
            recorder.record(ns);
            reference.record(ns.min(RECORDED_NS_MAX)).expect("in range");
        }
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.histogram("hop_risk"), Some(&reference));
        assert!(snapshot.histogram("hop_entry").is_none());
    }

    #[test]
    fn intervals_add_up_to_the_whole() {
        let registry = Registry::new();
        let packets = registry.counter("feed_packet_count");
        let agent = registry.agent_metrics("feed");
        let mut intervals = registry.intervals();
        let recorder = registry.recorder("hop_feed");
        let mut sum = empty_histogram();
        for round in 1..=5_u64 {
            packets.add(round);
            agent.cycle_count.add(2);
            agent.cycle_ns_max.raise(round * 100);
            (0..round * 10).for_each(|i| recorder.record(i * i * round));
            recorder.record(RECORDED_NS_MAX + 1);
            let interval = intervals.take();
            assert_eq!(interval.counter("feed_packet_count"), Some(round));
            assert_eq!(interval.agents[0].get("agent_cycle_count"), 2);
            assert_eq!(interval.agents[0].get("agent_cycle_ns_max"), round * 100);
            assert_eq!(interval.histograms[0].overflow_count, 1);
            let histogram = interval.histogram("hop_feed").expect("taken");
            assert_eq!(histogram.len(), round * 10 + 1);
            sum.add(histogram).expect("same layout");
        }
        assert_eq!(registry.snapshot().histogram("hop_feed"), Some(&sum));
        assert_eq!(intervals.take().histogram("hop_feed").map(Histogram::len), Some(0));
    }

    #[test]
    fn a_link_is_down_until_said_otherwise() {
        let registry = Registry::new();
        let venue = registry.link("venue sim", Need::Required);
        let session = registry.link("session 1", Need::Optional);
        session.set(true);
        let links = registry.link_values();
        assert_eq!(links.iter().map(|link| link.up).collect::<Vec<_>>(), [false, true]);
        assert!(links[0].required && !links[1].required);
        venue.set(true);
        assert!(registry.link_values()[0].up);
    }
}
