//! The numbers of one process: a writer's handle of each counter and histogram.

use std::sync::{Arc, OnceLock};

use crate::telemetry::agent::AgentMetrics;
use crate::telemetry::counter::{BLOCK_CELLS, Block};
use crate::telemetry::hops::HISTOGRAMS;
use crate::telemetry::link::{LinkCell, LinkGauge, Need};
use crate::telemetry::recorder::Cells;
use crate::telemetry::table::COUNTERS;
use crate::telemetry::{Counter, Recorder};

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// Only ever grows; its rate is what is looked at.
    Counter,
    /// Goes up and down; its value is what is looked at.
    Gauge,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    /// Unique name: agent, subject, unit. Never changes its meaning.
    pub name: &'static str,
    /// One sentence for whoever reads the metrics.
    pub help: &'static str,
    /// How it moves.
    pub kind: CounterKind,
}

/// A row whose number only grows.
pub(super) const fn row(name: &'static str, help: &'static str) -> CounterRow {
    CounterRow { name, help, kind: CounterKind::Counter }
}

/// A row whose number moves both ways.
pub(super) const fn gauge(name: &'static str, help: &'static str) -> CounterRow {
    CounterRow { name, help, kind: CounterKind::Gauge }
}

/// Most agents one process has.
pub const AGENTS_MAX: usize = 32;

/// Most links one process has.
pub const LINKS_MAX: usize = 256;

/// The counters and histograms of one process. Cheap to clone; clones share the numbers.
///
/// A new registry is small: a histogram's array exists from the moment its recorder is taken.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Block and slot of each row of [`COUNTERS`].
    pub(super) counters: Box<[(Arc<Block>, usize)]>,
    /// One of each row of [`HISTOGRAMS`].
    pub(super) histograms: Box<[OnceLock<Arc<Cells>>]>,
    /// In the order in which they were asked for; the first empty one ends the list.
    pub(super) agents: [OnceLock<(&'static str, Arc<Block>)>; AGENTS_MAX],
    /// As `agents`.
    pub(super) links: Box<[OnceLock<Arc<LinkCell>>]>,
}

impl Registry {
    /// All counters, at zero.
    pub fn new() -> Registry {
        Registry {
            shared: Arc::new(Shared {
                counters: place(COUNTERS),
                histograms: HISTOGRAMS.iter().map(|_| OnceLock::new()).collect(),
                agents: std::array::from_fn(|_| OnceLock::new()),
                links: (0..LINKS_MAX).map(|_| OnceLock::new()).collect(),
            }),
        }
    }

    /// The writer's handle of the counter `name`.
    ///
    /// # Panics
    /// If the table has no such row: a bug of ours, found by the first test that builds the agent.
    pub fn counter(&self, name: &'static str) -> Counter {
        let cell = COUNTERS.iter().zip(&self.shared.counters).find(|(row, _)| row.name == name);
        let (_, (block, slot)) =
            cell.unwrap_or_else(|| panic!("counter `{name}` is not a row of COUNTERS"));
        Counter::over(block, *slot)
    }

    /// The writer's handle of the histogram `name`. The first one allocates its array (216 KiB).
    ///
    /// # Panics
    /// If the table [`HISTOGRAMS`] has no such row: a bug of ours, as with [`Registry::counter`].
    pub fn recorder(&self, name: &'static str) -> Recorder {
        self.find_recorder(name)
            .unwrap_or_else(|| panic!("histogram `{name}` is not a row of HISTOGRAMS"))
    }

    /// The histogram `duty_cycle_<agent>`; `None` where there is no such row.
    pub fn duty_cycle(&self, agent: &str) -> Option<Recorder> {
        self.find_recorder(&format!("duty_cycle_{agent}"))
    }

    fn find_recorder(&self, name: &str) -> Option<Recorder> {
        let index = HISTOGRAMS.iter().position(|row| row.name == name)?;
        let cells = self.shared.histograms.get(index)?.get_or_init(|| Arc::new(Cells::new()));
        Some(Recorder::over(Arc::clone(cells)))
    }

    /// The numbers that the thread running `agent` writes. Asked again, the same numbers.
    ///
    /// # Panics
    /// If there are more than [`AGENTS_MAX`] agents: a bug of ours.
    pub fn agent_metrics(&self, agent: &'static str) -> AgentMetrics {
        for slot in &self.shared.agents {
            let (name, block) = slot.get_or_init(|| (agent, Arc::new(Block::default())));
            if *name == agent {
                return AgentMetrics::over(block);
            }
        }
        panic!("more than {AGENTS_MAX} agents");
    }

    /// The state of the link `name`, such as `venue sim` or `channel 1`. Asked again, the same state.
    ///
    /// # Panics
    /// If there are more than [`LINKS_MAX`] links: the configuration holds no more.
    pub fn link(&self, name: &str, need: Need) -> LinkGauge {
        for slot in &self.shared.links {
            let is_up = false.into();
            let link =
                slot.get_or_init(|| Arc::new(LinkCell { name: name.to_owned(), need, is_up }));
            if link.name == name {
                return LinkGauge::over(Arc::clone(link));
            }
        }
        panic!("more than {LINKS_MAX} links");
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

/// Gives each row a cell so that no block holds rows of two agents.
fn place(rows: &[CounterRow]) -> Box<[(Arc<Block>, usize)]> {
    let mut open: Option<(&str, Arc<Block>, usize)> = None;
    rows.iter()
        .map(|row| {
            let agent = row.name.split('_').next().unwrap_or_default();
            let (block, slot) = match open.take() {
                Some((of, block, used)) if of == agent && used < BLOCK_CELLS => (block, used),
                Some(_) | None => (Arc::default(), 0),
            };
            open = Some((agent, Arc::clone(&block), slot + 1));
            (block, slot)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut names: Vec<&str> = COUNTERS.iter().map(|row| row.name).collect();
        names.extend(HISTOGRAMS.iter().map(|row| row.name));
        names.extend(crate::telemetry::AGENT_COUNTERS.iter().map(|row| row.name));
        for name in &names {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(name.bytes().all(plain) && !name.starts_with('_'), "{name}");
        }
        names.sort_unstable();
        let doubled = names.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(doubled, None);
    }

    #[test]
    fn rows_of_two_agents_share_no_block() {
        let rows: Vec<CounterRow> = ["a_x", "a_y", "b_x", "a_z"].map(|name| row(name, "")).into();
        let cells = place(&rows);
        assert!(Arc::ptr_eq(&cells[0].0, &cells[1].0));
        assert_ne!(cells[0].1, cells[1].1);
        assert!(!Arc::ptr_eq(&cells[1].0, &cells[2].0));
        assert!(!Arc::ptr_eq(&cells[2].0, &cells[3].0));
        let many: Vec<CounterRow> = (0..BLOCK_CELLS * 2 + 1).map(|_| row("a_x", "")).collect();
        let slots: Vec<usize> = place(&many).iter().map(|(_, slot)| *slot).collect();
        assert_eq!(slots[BLOCK_CELLS - 1..BLOCK_CELLS + 1], [BLOCK_CELLS - 1, 0]);
        assert_eq!(slots.last(), Some(&0));
    }

    #[test]
    fn an_agent_asked_for_twice_has_the_same_numbers() {
        let registry = Registry::new();
        registry.agent_metrics("entry").cycle_count.add(2);
        registry.agent_metrics("risk").cycle_count.add(5);
        registry.clone().agent_metrics("entry").cycle_count.add(1);
        assert_eq!(registry.agent_metrics("entry").cycle_count.get(), 3);
        assert_eq!(registry.agent_metrics("risk").cycle_count.get(), 5);
    }
}
