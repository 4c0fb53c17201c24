//! A simulated exchange, a strategy, and faults: they drive the real topology.

pub mod account;
pub mod background;
pub mod book;
pub mod day;
pub mod day_file;
mod desk;
pub mod glimpse;
pub mod impair;
pub mod itch_out;
pub mod ledger;
pub mod matching;
pub mod mold_out;
pub mod mold_store;
pub mod order;
pub mod prng;
pub mod probe;
pub mod recovery;
pub mod rerequest;
mod seat;
pub mod slab;
pub mod soup;
pub mod strategy;
pub mod venue;
