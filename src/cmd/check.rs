//! `postern check`: is this machine fit for the configured layout? One line a check, with the remedy to type.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cmd::output::heard;
use crate::host::{self, Finding, Grade, Wants};

/// Checks whether this machine is fit for the configured layout: a line for each finding, with the remedy.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration whose layout is checked; without it the default configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the findings are printed.
    #[arg(long, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CheckOutput {
    /// One line each: id, grade, what was found, remedy.
    Text,
    /// One JSON object: `findings` (array of `id grade found remedy`), `ok`, `warn`, `fail` (counts).
    Json,
}

/// The exit status when a check failed.
pub const EXIT_UNFIT: u8 = 1;

/// Checks this machine for `wants` and prints to `out`. Returns the exit status: 0, or [`EXIT_UNFIT`] when a check failed;
/// a warning does not fail.
///
/// # Errors
/// If `out` cannot be written.
pub fn run(wants: &Wants, output: CheckOutput, out: &mut impl Write) -> io::Result<u8> {
    run_under(Path::new("/"), wants, output, out)
}

/// [`run`] over the `/proc` and `/sys` under `root`.
///
/// # Errors
/// If `out` cannot be written.
pub fn run_under(
    root: &Path,
    wants: &Wants,
    output: CheckOutput,
    out: &mut impl Write,
) -> io::Result<u8> {
    let findings = host::check(root, wants);
    heard(match output {
        CheckOutput::Text => print_text(&findings, out),
        CheckOutput::Json => print_json(&findings, out),
    })?;
    Ok(if count(&findings, Grade::Fail) > 0 { EXIT_UNFIT } else { 0 })
}

fn count(findings: &[Finding], grade: Grade) -> usize {
    findings.iter().filter(|finding| finding.grade == grade).count()
}

fn print_text(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    let [ok, warn, fail] =
        [Grade::Ok, Grade::Warn, Grade::Fail].map(|grade| count(findings, grade));
    writeln!(out, "{ok} ok, {warn} warn, {fail} fail; tuning/README.md explains each by its name")
}

fn print_json(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "id": finding.id,
                "grade": finding.grade.word(),
                "found": finding.found,
                "remedy": finding.remedy,
            })
        })
        .collect();
    let object = json!({
        "findings": rows,
        "ok": count(findings, Grade::Ok),
        "warn": count(findings, Grade::Warn),
        "fail": count(findings, Grade::Fail),
    });
    writeln!(out, "{object}")
}
