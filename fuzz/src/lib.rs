//! What every fuzz target asserts of any bytes: a module each, without the fuzzer, so that tests can run them too.

pub mod book;
pub mod capture;
pub mod capture_pcapng;
pub mod channel;
pub mod client_mirror;
pub mod frame;
pub mod glimpse;
pub mod iex_channel;
pub mod iex_deep;
pub mod iex_tops;
pub mod iex_tp;
pub mod itch50;
pub mod moldudp64;
pub mod recovery;
pub mod sbe_channel;
pub mod sbe_journal;
pub mod sbe_market_data;
pub mod sbe_order_entry;
pub mod soupbintcp;
pub mod xdp_frame;
pub mod xdp_source;
