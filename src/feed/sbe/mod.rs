//! Our own market data, SBE over Aeron, as a feed: one gateway reads what another publishes.
//!
//! [`channel`] is the way of a message to the [`books`]; [`upstream`] judges who publishes, what was lost and whether the other
//! gateway says of its feeds that they can be relied on. All of it is pure and total: any bytes in, books or a count out.
//!
//! Nothing in here may know what the messages come by.

mod instruments;
#[cfg(test)]
mod tests;

pub mod books;
pub mod channel;
pub mod upstream;

pub use books::Books;
pub use channel::{CHANGES_LINE, SNAPSHOTS_LINE, SbeChannel, SbeCounts, SbeSettings, SbeSink};
