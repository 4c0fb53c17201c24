//! What an operator should find in the log: links that came and went, and troubles that were counted.
//!
//! Agents write no log. This looks at what they count, once in a while, and says what is new.

use crate::telemetry::Registry;

/// Counters whose rise is trouble with a feed.
const TROUBLES: [&str; 15] = [
    "feed_books_full_count",
    "feed_contradicted_count",
    "feed_gap_count",
    "feed_glimpse_failure_count",
    "feed_glimpse_rejected_count",
    "feed_levels_full_count",
    "feed_message_error_count",
    "feed_misfit_count",
    "feed_offset_fault_count",
    "feed_orders_full_count",
    "feed_packet_error_count",
    "feed_session_change_count",
    "feed_session_restart_count",
    "feed_unknown_channel_count",
    "feed_upstream_unnamed_count",
];

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link is usable now, or no longer.
    Link {
        /// Its name.
        name: String,
        /// Whether it is usable.
        up: bool,
    },
    /// A counter of troubles rose.
    Trouble {
        /// Its name.
        name: &'static str,
        /// What it counts.
        help: &'static str,
        /// By how much since it was looked at last.
        more: u64,
    },
}

/// What was seen last.
#[derive(Debug, Default)]
pub struct Changes {
    links: Vec<(String, bool)>,
    troubles: Vec<(&'static str, u64)>,
}

impl Changes {
    /// Nothing seen yet: links are down, and nothing was counted.
    pub fn new() -> Changes {
        Changes::default()
    }

    /// What is new since the last call.
    pub fn look(&mut self, registry: &Registry) -> Vec<Change> {
        let mut changes = Vec::new();
        for link in registry.link_values() {
            let known = self.links.iter_mut().find(|(name, _)| *name == link.name);
            let was_up = match known {
                Some((_, up)) => std::mem::replace(up, link.up),
                None => {
                    self.links.push((link.name.clone(), link.up));
                    false
                }
            };
            if was_up != link.up {
                changes.push(Change::Link { name: link.name, up: link.up });
            }
        }
        let counters = registry.counter_values().into_iter();
        for counter in counters.filter(|counter| TROUBLES.contains(&counter.row.name)) {
            let (name, help, value) = (counter.row.name, counter.row.help, counter.value);
            let known = self.troubles.iter_mut().find(|(known, _)| *known == name);
            let seen = match known {
                Some((_, seen)) => std::mem::replace(seen, value),
                None => {
                    self.troubles.push((name, value));
                    0
                }
            };
            if value > seen {
                changes.push(Change::Trouble { name, help, more: value - seen });
            }
        }
        changes
    }
}

impl Change {
    /// Writes it into the log.
    pub fn log(&self) {
        match self {
            Change::Link { name, up: true } => tracing::info!(link = name, "up"),
            Change::Link { name, up: false } => tracing::warn!(link = name, "down"),
            Change::Trouble { name, help, more } => tracing::warn!(counter = name, more, "{help}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{COUNTERS, Need};

    #[test]
    fn each_change_is_told_once() {
        let registry = Registry::new();
        let (link, gaps) =
            (registry.link("feed itch", Need::Required), registry.counter("feed_gap_count"));
        let mut changes = Changes::new();
        assert_eq!(changes.look(&registry), [], "down, as it began");
        link.set(true);
        gaps.add(3);
        let [up, trouble] = &changes.look(&registry)[..] else { panic!("two changes") };
        assert_eq!(*up, Change::Link { name: "feed itch".to_owned(), up: true });
        assert!(matches!(trouble, Change::Trouble { name: "feed_gap_count", more: 3, .. }));
        assert_eq!(changes.look(&registry), []);
        link.set(false);
        gaps.add(1);
        let [down, trouble] = &changes.look(&registry)[..] else { panic!("two changes") };
        assert_eq!(*down, Change::Link { name: "feed itch".to_owned(), up: false });
        assert!(matches!(trouble, Change::Trouble { more: 1, .. }));
    }

    #[test]
    fn every_trouble_is_a_counter_there_is() {
        for name in TROUBLES {
            assert!(COUNTERS.iter().any(|row| row.name == name), "{name}");
        }
    }
}
