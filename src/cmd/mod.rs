//! The commands of the `postern` binary.

pub mod check;
pub mod ctl;
pub mod demo;
pub mod hist;
pub mod output;
pub mod replay;
pub mod run;

/// Tells something that is no result: to standard error, so that it never mixes with one.
pub(crate) fn complain(text: &str) {
    use std::io::Write;
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a result to standard output.
pub(crate) fn answer(text: &str) {
    use std::io::Write;
    // A reader that went away, as `head` does, has read what it wanted.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
