//! `postern check`: is this machine, and are these interfaces, fit for the gateway? One line a check, with the remedy to type.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cmd::output::heard;
use crate::config::{AfXdp, Config, Fallback};
use crate::host::{self, AfXdpMeans, AfXdpVerdict, AfXdpWanted, Finding, Grade, Wants, XdpMode};
use crate::net::interface::{InterfaceError, InterfaceFacts};
use crate::net::xdp::WantedMode;
use crate::topology;

/// Checks whether this machine is fit for the configured layout, and interfaces for AF_XDP: a line for each finding, with the remedy.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration whose layout is checked; without it the default configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A network interface whose fitness for AF_XDP is checked as well. May be given more than once.
    #[arg(long, value_name = "IF")]
    pub interface: Vec<String>,
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

/// The exit status when an interface is not there: an argument that makes no sense.
pub const EXIT_NO_INTERFACE: u8 = 2;
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
    report(&host::check(root, wants), output, out)
}

/// The findings on these interfaces of this machine, each asked once, in the order given.
///
/// # Errors
/// The first interface that is not there or not told of, in one sentence.
pub fn interfaces(names: &[String], wants: &Wants) -> Result<Vec<Finding>, InterfaceError> {
    let mut findings = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if !names[..at].contains(name) {
            let facts = InterfaceFacts::gather(name, Path::new("/"))?;
            findings.extend(host::check_interface(&facts, wants));
        }
    }
    Ok(findings)
}

/// Whether the queues that the configuration asks for can be had, and if not, why: a warning where the kernel's sockets do instead,
/// a failure where the gateway would not start.
pub fn queues(config: &Config) -> Vec<Finding> {
    let means = AfXdpMeans::of_this_thread(Path::new("/"));
    let finding = |queue: &AfXdp| {
        let facts = InterfaceFacts::gather(&queue.interface, Path::new("/"));
        let wants = AfXdpWanted {
            queue: queue.queue,
            mode: match queue.mode {
                WantedMode::Auto => None,
                WantedMode::ZeroCopy => Some(XdpMode::ZeroCopy),
                WantedMode::Native => Some(XdpMode::Native),
                WantedMode::Generic => Some(XdpMode::Generic),
            },
            umem_bytes: u64::from(queue.receive_frames + queue.send_frames)
                * u64::from(queue.frame_bytes),
        };
        let name = format!("{} queue {}", queue.interface, queue.queue);
        let mut verdict = host::af_xdp(facts.as_ref(), &wants, &means);
        // What the machine allows may still be of no use.
        if let (AfXdpVerdict::Obtainable(_), Some(why)) =
            (&verdict, topology::objection(config, queue))
        {
            verdict = AfXdpVerdict::Refused(vec![(why, "change the configuration".to_owned())]);
        }
        let mut finding = verdict.finding(&name);
        if queue.fallback == Fallback::Refuse && finding.grade == Grade::Warn {
            finding.grade = Grade::Fail;
        }
        finding
    };
    config.af_xdp.iter().map(finding).collect()
}

/// Prints `findings` to `out`. Returns the exit status, as [`run`].
///
/// # Errors
/// If `out` cannot be written.
pub fn report(findings: &[Finding], output: CheckOutput, out: &mut impl Write) -> io::Result<u8> {
    heard(match output {
        CheckOutput::Text => print_text(findings, out),
        CheckOutput::Json => print_json(findings, out),
    })?;
    Ok(if count(findings, Grade::Fail) > 0 { EXIT_UNFIT } else { 0 })
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
