//! What risk did, recorded before it takes effect: format, segments, reader, recovery.
//!
//! The journal is a directory of segments, files of equal size that are allocated, mapped and touched before they are used.
//! [`JournalWriter`] lives in risk's thread and only stores to memory; [`JournalAgent`] does everything that needs the
//! kernel. What was stored survives `kill -9` at any instant, because the pages belong to the file; against loss of power
//! segments are flushed when they are full.
//!
//! A record is a frame ([`frame`]) around an SBE message, numbered from 1 without a gap over all segments and all runs.
//!
//! This module must not know what the messages mean, nor that it is risk that decides: it replays any
//! [`StateMachine`](crate::gate::StateMachine).

mod agent;
mod crc;
pub mod frame;
mod handoff;
mod open;
mod reader;
mod replay;
mod segment;
mod writer;

pub use agent::JournalAgent;
pub use open::{JournalConfig, open};
pub use reader::{JournalError, JournalReader, Record, Tail};
pub use replay::{ReplayError, Replayed, recover, replay};
pub use writer::JournalWriter;
