//! `postern hist`: latency dumps summed up, spelled out, merged and compared.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use crate::cmd::output::Output;
use crate::telemetry::hlog::{Environment, LogWriter};
use crate::telemetry::hlog_reader::{Interval, LogFault, LogReader};
use crate::telemetry::{HISTOGRAMS, Latency, human_ns, latency_table, plain_table};
use crate::types::{Nanos, UtcNanos};

/// Most tags one run keeps apart: each holds a histogram in memory.
const TAGS_MAX: usize = 1_024;

/// Percentile steps in each halving of the distance to 100 %, as HdrHistogram's own tools print them.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

const EXAMPLES: &str = "\
Examples:
  postern hist run.hlog                           a table: one row for each hop
  postern hist run.hlog --tag gateway --percentiles
                                                  the whole distribution, for HdrHistogram's plotter
  postern hist --compare before.hlog after.hlog   two releases, percentile by percentile
  postern hist mon.hlog tue.hlog --merge week.hlog
  postern hist run.hlog --output json | jq .latency_ns.round_trip.p99";

/// Reads HdrHistogram interval logs (.hlog) and prints the latency of every tag over all their intervals.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Logs, of postern or of any HdrHistogram tool (format V2); several are taken together
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Print the full percentile distribution of each tag in HdrHistogram's classic form, in nanoseconds
    #[arg(long, conflicts_with_all = ["compare", "merge"])]
    percentiles: bool,
    /// Write all files into one log with one interval for each tag; `OUT.hlog` must not exist yet
    #[arg(long, value_name = "OUT.hlog", conflicts_with = "compare")]
    merge: Option<PathBuf>,
    /// Compare exactly two files: the ratio of the second to the first, percentile by percentile
    #[arg(long)]
    compare: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum HistError {
    /// A file could not be opened or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: LogFault,
    },
    /// No interval in any file is of a tag that was asked for.
    Nothing(String),
    /// The files hold more tags than are kept apart.
    TooManyTags,
    /// Histograms of one tag cannot be added.
    Unmergeable(String),
    /// The arguments contradict each other.
    Usage(&'static str),
    /// The answer could not be written.
    Output(io::Error),
}

impl fmt::Display for HistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistError::File { path, error } => write!(f, "{}: {error}", path.display()),
            HistError::Damaged { path, line, fault } => {
                write!(f, "{}:{line}: {fault}", path.display())
            }
            HistError::Nothing(what) => write!(f, "no histogram {what}"),
            HistError::TooManyTags => {
                write!(f, "more than {TAGS_MAX} different tags; choose some with --tag")
            }
            HistError::Unmergeable(tag) => {
                write!(f, "the histograms of tag `{tag}` cannot be added together")
            }
            HistError::Usage(why) => f.write_str(why),
            HistError::Output(error) => write!(f, "cannot print: {error}"),
        }
    }
}

impl std::error::Error for HistError {}

impl From<io::Error> for HistError {
    fn from(error: io::Error) -> HistError {
        HistError::Output(error)
    }
}

/// Runs the command: the answer goes to standard output, what went wrong to standard error.
pub fn run(args: &Args) -> ExitCode {
    match report(args, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the pipe has seen enough.
        Err(HistError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "postern hist: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the answer to `out`.
///
/// # Errors
/// A file that is not there or is damaged, named with its line; an output that cannot be written.
pub fn report(args: &Args, out: &mut dyn Write) -> Result<(), HistError> {
    if args.compare {
        let [before, after] = args.files.as_slice() else {
            return Err(HistError::Usage("--compare takes exactly two files"));
        };
        return compare(
            &Tags::read([before], &args.tag)?,
            &Tags::read([after], &args.tag)?,
            args,
            out,
        );
    }
    let tags = Tags::read(&args.files, &args.tag)?;
    if let Some(path) = &args.merge {
        tags.merge_into(path)?;
    }
    match (args.percentiles, args.output) {
        (false, Output::Text) => {
            write!(out, "{}", tags.environment())?;
            let rows = tags.latencies().map(|(tag, latency)| (tag_name(tag), latency));
            writeln!(out, "{}", latency_table(rows))?;
        }
        (true, Output::Text) => {
            for (tag, sum) in &tags.by_tag {
                writeln!(out, "#[Tag: {}, unit: nanoseconds]", tag_name(tag))?;
                distribution::write(&sum.histogram, out)?;
                writeln!(out)?;
            }
        }
        (with_percentiles, Output::Json) => {
            let latency: serde_json::Map<_, _> =
                tags.latencies().map(|(tag, latency)| (tag.to_owned(), json!(latency))).collect();
            let mut answer = json!({ "intervals": tags.interval_count, "latency_ns": latency });
            if with_percentiles {
                let all = tags
                    .by_tag
                    .iter()
                    .map(|(tag, sum)| (tag.clone(), distribution::json(&sum.histogram)));
                answer["percentiles"] = all.collect::<serde_json::Map<_, _>>().into();
            }
            writeln!(out, "{answer}")?;
        }
    }
    Ok(())
}

fn tag_name(tag: &str) -> &str {
    if tag.is_empty() { "(no tag)" } else { tag }
}

/// What all intervals of a tag hold together.
#[derive(Debug)]
struct Sum {
    histogram: Histogram<u64>,
    start: Duration,
    end: Duration,
}

/// Everything that was read, by tag.
#[derive(Debug, Default)]
struct Tags {
    by_tag: BTreeMap<String, Sum>,
    interval_count: u64,
    /// The header of each file.
    comments: Vec<(PathBuf, Vec<String>)>,
}

impl Tags {
    fn read<'a>(
        files: impl IntoIterator<Item = &'a PathBuf>,
        only: &[String],
    ) -> Result<Tags, HistError> {
        let mut tags = Tags::default();
        let mut names = Vec::new();
        for path in files {
            let file = File::open(path);
            let file = file.map_err(|error| HistError::File { path: path.clone(), error })?;
            let mut reader = LogReader::new(BufReader::with_capacity(256 * 1_024, file));
            for interval in &mut reader {
                let interval = interval.map_err(|error| HistError::Damaged {
                    path: path.clone(),
                    line: error.line,
                    fault: error.fault,
                })?;
                if only.is_empty() || only.contains(&interval.tag) {
                    tags.add(interval)?;
                }
            }
            tags.comments.push((path.clone(), reader.comments().to_vec()));
            names.push(path.display().to_string());
        }
        match (tags.by_tag.is_empty(), only.is_empty()) {
            (false, _) => Ok(tags),
            (true, true) => Err(HistError::Nothing(format!("in {}", names.join(", ")))),
            (true, false) => {
                let only = only.join("`, `");
                Err(HistError::Nothing(format!("of tag `{only}` in {}", names.join(", "))))
            }
        }
    }

    fn add(&mut self, interval: Interval) -> Result<(), HistError> {
        self.interval_count += 1;
        let Interval { tag, start, length, mut histogram } = interval;
        let end = start.saturating_add(length);
        if let Some(sum) = self.by_tag.get_mut(&tag) {
            sum.start = sum.start.min(start);
            sum.end = sum.end.max(end);
            let added = sum.histogram.add(&histogram);
            return added.map_err(|_| HistError::Unmergeable(tag));
        }
        if self.by_tag.len() == TAGS_MAX {
            return Err(HistError::TooManyTags);
        }
        // A log of another tool may hold histograms of different ranges.
        histogram.auto(true);
        self.by_tag.insert(tag, Sum { histogram, start, end });
        Ok(())
    }

    /// Each tag's latency: known hops in the order in which an order meets them, then the others by name.
    fn latencies(&self) -> impl Iterator<Item = (&str, Latency)> {
        let place = |tag: &str| HISTOGRAMS.iter().position(|row| row.name == tag);
        let mut tags: Vec<_> = self.by_tag.iter().collect();
        tags.sort_by_key(|(tag, _)| place(tag).unwrap_or(HISTOGRAMS.len()));
        tags.into_iter().map(|(tag, sum)| (tag.as_str(), Latency::of(&sum.histogram)))
    }

    /// Where the files say they were measured: a figure is worth nothing without.
    fn environment(&self) -> String {
        let mut text = String::new();
        for (path, comments) in &self.comments {
            text += &format!("{}\n", path.display());
            for name in ["Machine", "CPU", "Kernel", "Layout", "Logged with"] {
                let line = comments.iter().find(|comment| {
                    comment.strip_prefix('[').is_some_and(|rest| rest.starts_with(name))
                });
                if let Some(line) = line {
                    text += &format!("  {}\n", line.trim_matches(['[', ']']));
                }
            }
        }
        text
    }

    fn merge_into(&self, path: &Path) -> Result<(), HistError> {
        let failed = |error| HistError::File { path: path.to_owned(), error };
        let file = File::options().write(true).create_new(true).open(path).map_err(failed)?;
        let start = self.by_tag.values().map(|sum| sum.start).min().unwrap_or_default();
        let text = |name: &str| {
            let named = format!("[{name}: ");
            let mut found = self.comments.iter().map(|(_, comments)| {
                let line = comments.iter().find_map(|comment| comment.strip_prefix(&named));
                line.map_or("unknown", |rest| rest.trim_end_matches(']'))
            });
            let first = found.next().unwrap_or("unknown");
            if found.all(|other| other == first) { first.to_owned() } else { "several".to_owned() }
        };
        let environment = Environment {
            machine: text("Machine"),
            kernel: text("Kernel"),
            cpu: text("CPU"),
            kernel_command_line: text("KernelCommandLine"),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            layout: text("Layout"),
        };
        let begun = UtcNanos(Nanos::of(start));
        let mut log =
            LogWriter::begin(BufWriter::new(file), &environment, begun).map_err(failed)?;
        for (tag, sum) in &self.by_tag {
            let tag = tag.replace([' ', ','], "_");
            let length = sum.end.saturating_sub(sum.start);
            log.write(&tag, &sum.histogram, sum.start.saturating_sub(start), length)
                .map_err(failed)?;
        }
        log.finish().map_err(failed)?;
        Ok(())
    }
}

/// Prints how the tags that both files hold have changed, and names those that only one holds.
fn compare(before: &Tags, after: &Tags, args: &Args, out: &mut dyn Write) -> Result<(), HistError> {
    let pairs: Vec<(&str, Latency, Latency)> = before
        .latencies()
        .filter_map(|(tag, old)| {
            let new = after.by_tag.get(tag)?;
            Some((tag, old, Latency::of(&new.histogram)))
        })
        .collect();
    let alone = |of: &Tags, in_: &Tags| -> Vec<String> {
        of.by_tag.keys().filter(|tag| !in_.by_tag.contains_key(*tag)).cloned().collect()
    };
    let (only_before, only_after) = (alone(before, after), alone(after, before));
    if args.output == Output::Json {
        let tags = pairs.iter().map(|(tag, old, new)| {
            let ratios = old.percentiles().into_iter().zip(new.percentiles());
            let ratios = ratios.map(|((name, old), (_, new))| {
                (name.replace('.', "_"), ratio_permille(old, new).map(permille_json).into())
            });
            let ratios: serde_json::Map<_, _> = ratios.collect();
            ((*tag).to_owned(), json!({ "before": old, "after": new, "ratio": ratios }))
        });
        let tags: serde_json::Map<_, _> = tags.collect();
        let answer = json!({
            "tags": tags, "only_before": only_before, "only_after": only_after,
        });
        writeln!(out, "{answer}")?;
        return Ok(());
    }
    write!(out, "{}{}", before.environment(), after.environment())?;
    let mut header = vec!["hop", ""];
    header.extend(Latency::default().percentiles().map(|(name, _)| name));
    header.push("count");
    let mut table = plain_table(&header);
    for (tag, old, new) in &pairs {
        for (side, latency) in [("before", old), ("after", new)] {
            let mut row = vec![tag_name(tag).to_owned(), side.to_owned()];
            row.extend(latency.percentiles().map(|(_, ns)| human_ns(ns)));
            row.push(latency.count.to_string());
            table.add_row(row);
        }
        let mut row = vec![String::new(), "ratio".to_owned()];
        row.extend(old.percentiles().into_iter().zip(new.percentiles()).map(
            |((_, old), (_, new))| ratio_permille(old, new).map_or("-".to_owned(), permille_text),
        ));
        table.add_row(row);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    for (tags, which) in [(only_before, "first"), (only_after, "second")] {
        if !tags.is_empty() {
            writeln!(out, "only in the {which} file: {}", tags.join(", "))?;
        }
    }
    Ok(())
}

/// `new` in thousandths of `old`, rounded; `None` where `old` is 0.
fn ratio_permille(old: u64, new: u64) -> Option<u128> {
    let (old, new) = (u128::from(old), u128::from(new));
    (new * 1_000 + old / 2).checked_div(old)
}

fn permille_text(permille: u128) -> String {
    format!("{}.{:03}", permille / 1_000, permille % 1_000)
}

fn permille_json(permille: u128) -> serde_json::Value {
    permille_text(permille).parse::<f64>().map_or(serde_json::Value::Null, serde_json::Value::from)
}

mod distribution {
    //! HdrHistogram's classic percentile distribution.
    #![allow(
        clippy::float_arithmetic,
        reason = "percentiles are for people to read, not to act on"
    )]

    use super::{Histogram, TICKS_PER_HALF_DISTANCE, Write, io, json};

    /// Writes what `outputPercentileDistribution` of HdrHistogram writes, with values in nanoseconds.
    pub(super) fn write(histogram: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{:>12} {:>14} {:>10} {:>14}\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        )?;
        let mut count = 0;
        for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
            count += step.count_since_last_iteration();
            let (value, quantile) = (step.value_iterated_to(), step.quantile_iterated_to());
            write!(out, "{value:>8}.000 {quantile:>14.12} {count:>10}")?;
            if quantile < 1.0 {
                writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
            } else {
                writeln!(out)?;
            }
        }
        let (mean, deviation) = (histogram.mean(), histogram.stdev());
        let (max, total) = (histogram.max(), histogram.len());
        let buckets = histogram.buckets();
        let sub_buckets = histogram.distinct_values() / (usize::from(buckets) + 1) * 2;
        writeln!(out, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
        writeln!(out, "#[Max     = {max:>8}.000, Total count    = {total:>12}]")?;
        writeln!(out, "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]")
    }

    /// The same steps as a list of objects.
    pub(super) fn json(histogram: &Histogram<u64>) -> serde_json::Value {
        let mut count = 0;
        let steps = histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE).map(|step| {
            count += step.count_since_last_iteration();
            let quantile = step.quantile_iterated_to();
            json!({ "value": step.value_iterated_to(), "quantile": quantile, "count": count })
        });
        steps.collect::<Vec<_>>().into()
    }
}
