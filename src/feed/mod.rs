//! Market data: arbitrate, decode, keep books, tell risk and strategies.
//!
//! [`agent`] is the agent; [`channel`] is the way of a datagram to the books, which [`capture`] feeds from files too.
//!
//! The agent must not know where its datagrams come from or how strategies are reached.

mod channels;
mod digest;
mod levels;
mod line;
mod order_table;
mod out;
mod publish;
mod reference;
mod snapshot;
mod tally;
mod view;

pub mod agent;
pub mod arbiter;
pub mod book;
pub mod capture;
pub mod channel;
pub mod faults;
pub mod glimpse;
pub mod iex;
pub mod itch50;
pub mod lookahead;
pub mod market_state;
pub mod moldudp64;
pub mod packet;
pub mod recovery;
pub mod rerequest;
pub mod sbe;
pub mod soupbintcp;
pub mod window;

pub use agent::{ChannelConfig, ChannelRecovery, FeedAgent, FeedConfig, InstrumentConfig};
pub use channels::ProtocolSettings;
pub use digest::BookDigest;
pub use line::LineCounts;
pub use publish::{DEPTH_MAX, MarketDataStreams, SnapshotStream};
pub use snapshot::{BookSnapshot, BooksSnapshot, ChannelSnapshot, LevelSnapshot};
