//! The commands of the `postern` binary.

pub mod check;
pub mod ctl;
pub mod hist;
pub mod output;
pub mod replay;
