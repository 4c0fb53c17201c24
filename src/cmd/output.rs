//! How a command prints its answer.

use std::io;

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Text and tables.
    #[default]
    Text,
    /// One JSON object on one line.
    Json,
}

/// What came of printing, but that a reader that went away, as `head` does, has read what it wanted: that is no fault of any
/// command, and its exit status is what it is without.
pub(crate) fn heard(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
