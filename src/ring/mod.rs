//! The single-producer single-consumer ring that joins agents.
