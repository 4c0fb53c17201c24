//! A simulated exchange, a strategy, and faults: they drive the real topology.
