//! IEX: DEEP 1.0 (depth of book) and TOPS 1.6 (top of book) over IEX-TP.
//!
//! [`tp`] checks and opens a segment, [`deep`] and [`tops`] decode its messages, most of which both feeds have
//! ([`message`]); [`channel`] is the way of a datagram to the [`books`]. Decoders are pure and total: any bytes in, a value
//! or an error out.
//!
//! Specifications: "IEX Transport Specification" 1.26, "IEX DEEP Specification" 1.08, "IEX TOPS Specification" 1.66. DEEP+
//! and earlier versions go by other message protocol numbers and are counted as another's, never guessed at.
//!
//! Nothing in here may know where datagrams come from or who reads the books.

mod bytes;
mod levels;
mod offset;
mod symbols;

pub mod books;
pub mod channel;
pub mod deep;
pub mod message;
pub mod tops;
pub mod tp;

pub use books::{Books, BooksConfig};
pub use channel::{Feed, IexChannel, IexSettings, IexSink};
pub use message::{IexError, Message};
