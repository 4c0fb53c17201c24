//! Approved orders to venue sessions, executions back; the router's own order table and state machine.

pub mod lifecycle;
mod table;

pub use table::OrderTable;
