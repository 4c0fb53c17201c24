//! Which agents still run their duty cycle.

use crate::telemetry::Registry;

/// Judges agents by whether their cycle counters move.
#[derive(Debug, Default)]
pub struct Liveness {
    seen: Vec<(&'static str, u64)>,
}

impl Liveness {
    /// Nothing seen yet.
    pub fn new() -> Liveness {
        Liveness::default()
    }

    /// The agents whose cycle counter has not moved since the last call. One that is seen for the first time counts as
    /// moving.
    pub fn stalled(&mut self, registry: &Registry) -> Vec<&'static str> {
        let mut stalled = Vec::new();
        for agent in registry.agent_values() {
            let cycles = agent.get("agent_cycle_count");
            match self.seen.iter_mut().find(|(name, _)| *name == agent.name) {
                Some((name, seen)) if *seen == cycles => stalled.push(*name),
                Some((_, seen)) => *seen = cycles,
                None => self.seen.push((agent.name, cycles)),
            }
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_does_not_move_is_named() {
        let registry = Registry::new();
        let (entry, risk) = (registry.agent_metrics("entry"), registry.agent_metrics("risk"));
        let mut liveness = Liveness::new();
        assert!(liveness.stalled(&registry).is_empty());
        entry.cycle_count.add(1);
        assert_eq!(liveness.stalled(&registry), ["risk"]);
        risk.cycle_count.add(1);
        assert_eq!(liveness.stalled(&registry), ["entry"]);
        let router = registry.agent_metrics("router");
        for agent in [&entry, &risk] {
            agent.cycle_count.add(1);
        }
        assert!(liveness.stalled(&registry).is_empty());
        router.cycle_count.add(0);
        assert_eq!(liveness.stalled(&registry), ["entry", "risk", "router"]);
    }
}
