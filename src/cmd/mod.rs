//! The commands of the `postern` binary.
