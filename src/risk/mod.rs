//! The gate and the sequencer: executions first, then orders; approve or deny.
