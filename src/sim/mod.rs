//! A simulated exchange, a strategy, and faults: they drive the real topology.

pub mod account;
pub mod background;
pub mod book;
pub mod day;
pub mod day_file;
mod desk;
pub mod impair;
pub mod itch_out;
pub mod ledger;
pub mod matching;
pub mod mold_out;
pub mod order;
pub mod prng;
pub mod probe;
mod seat;
pub mod slab;
pub mod strategy;
pub mod venue;
