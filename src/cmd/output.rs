//! How a command prints its answer.

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Text and tables.
    #[default]
    Text,
    /// One JSON object on one line.
    Json,
}
