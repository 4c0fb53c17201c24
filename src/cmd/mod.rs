//! The commands of the `postern` binary.

pub mod check;
