//! Writing `.hlog` files: the HdrHistogram interval log, V2, one tag for each hop.
//!
//! ```text
//! #[Logged with postern 0.1.0]
//! #[Histogram log format version 1.3]
//! #[Layout: fused]
//! #[StartTime: 1580371200.000 (seconds since epoch)]
//! #[BaseTime: 1580371200.000 (seconds since epoch)]
//! "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
//! Tag=hop_risk,0.000,10.000,4231.000,HISTFAAAA…
//! ```
//!
//! All values are nanoseconds, `Interval_Max` too. Every HDR tool reads it.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::telemetry::Snapshot;
use crate::types::UtcNanos;

/// The version of the log's lines, as HdrHistogram's `HistogramLogWriter` gives it.
pub const LOG_FORMAT_VERSION: &str = "1.3";

/// The column names every log has before its first interval.
pub const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

/// What a latency figure means nothing without: where and how it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Name of the machine.
    pub machine: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub cpu: String,
    /// The kernel's command line: isolation, ticks, mitigations.
    pub kernel_command_line: String,
    /// How the process was started.
    pub command: String,
    /// Which agents share which thread.
    pub layout: String,
}

impl Environment {
    /// What `/proc` says about this machine and process; `unknown` where it says nothing.
    pub fn here(layout: &str) -> Environment {
        let read = |path: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text.trim().is_empty() { "unknown".to_owned() } else { text.trim().to_owned() }
        };
        let cpus = read("/proc/cpuinfo");
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.map_or("unknown", |rest| rest.trim_start_matches(['\t', ' ', ':']));
        Environment {
            machine: read("/proc/sys/kernel/hostname"),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: model.to_owned(),
            kernel_command_line: read("/proc/cmdline"),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            layout: layout.to_owned(),
        }
    }

    /// Name and text of each line, as the log's header has them.
    pub fn lines(&self) -> [(&'static str, &str); 6] {
        [
            ("Machine", &self.machine),
            ("Kernel", &self.kernel),
            ("CPU", &self.cpu),
            ("KernelCommandLine", &self.kernel_command_line),
            ("Command", &self.command),
            ("Layout", &self.layout),
        ]
    }
}

/// A log being written.
pub struct LogWriter<W: Write> {
    writer: W,
    serializer: V2DeflateSerializer,
}

impl<W: Write> fmt::Debug for LogWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").finish_non_exhaustive()
    }
}

impl<W: Write> LogWriter<W> {
    /// Writes the header: who measured where, and that all times count from `start`.
    ///
    /// # Errors
    /// What `writer` says.
    pub fn begin(mut writer: W, environment: &Environment, start: UtcNanos) -> io::Result<Self> {
        let mut header = IntervalLogWriterBuilder::new();
        header.add_comment(concat!("[Logged with postern ", env!("CARGO_PKG_VERSION"), "]"));
        header.add_comment(&format!("[Histogram log format version {LOG_FORMAT_VERSION}]"));
        for (name, text) in environment.lines() {
            // A line end would end the comment, and what follows would be read as data.
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            header.add_comment(&format!("[{name}: {text}]"));
        }
        header.add_comment("[Unit: nanoseconds]");
        let start = UNIX_EPOCH + Duration::from_nanos(start.0);
        header.with_start_time(start).with_base_time(start);
        let mut serializer = V2DeflateSerializer::new();
        header.begin_log_with(&mut writer, &mut serializer)?;
        writeln!(writer, "{LEGEND}")?;
        Ok(LogWriter { writer, serializer })
    }

    /// Writes one interval: `histogram` of `tag`, begun `since_start` after the log's start and `length` long.
    ///
    /// # Errors
    /// What the writer says.
    ///
    /// # Panics
    /// If `tag` holds a comma, a space or a line end: no row of
    /// [`HISTOGRAMS`](crate::telemetry::HISTOGRAMS) does.
    pub fn write(
        &mut self,
        tag: &str,
        histogram: &Histogram<u64>,
        since_start: Duration,
        length: Duration,
    ) -> io::Result<()> {
        let tag = Tag::new(tag).unwrap_or_else(|| panic!("`{tag}` cannot be a tag"));
        // A builder without settings writes no line of its own.
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.writer, &mut self.serializer)?
            .write_histogram(histogram, since_start, length, Some(tag))
            .map_err(|error| io::Error::other(error.to_string()))
    }

    /// Writes every histogram of `snapshot` that holds a value as one interval.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_snapshot(
        &mut self,
        snapshot: &Snapshot,
        since_start: Duration,
        length: Duration,
    ) -> io::Result<()> {
        let filled = snapshot.histograms.iter().filter(|value| !value.histogram.is_empty());
        for value in filled {
            self.write(value.row.name, &value.histogram, since_start, length)?;
        }
        Ok(())
    }

    /// Flushes and gives the writer back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Registry;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_follows_the_format_and_the_crate_reads_it() {
        let registry = Registry::new();
        let recorder = registry.recorder("hop_risk");
        (0..1_000).for_each(|ns| recorder.record(ns));
        registry.recorder("hop_entry");
        let environment =
            Environment { command: "postern\ndemo".to_owned(), ..Environment::here("fused") };
        let start = UtcNanos(1_580_371_200_250_000_000);
        let mut log = LogWriter::begin(Vec::new(), &environment, start).expect("memory");
        let (since_start, length) = (Duration::from_millis(1_500), Duration::from_secs(10));
        log.write_snapshot(&registry.snapshot(), since_start, length).expect("memory");
        let bytes = log.finish().expect("memory");
        let text = String::from_utf8(bytes).expect("text");
        for line in [
            "#[Histogram log format version 1.3]",
            "#[Command: postern demo]",
            "#[Layout: fused]",
            "#[StartTime: 1580371200.250 (seconds since epoch)]",
            "#[BaseTime: 1580371200.250 (seconds since epoch)]",
            LEGEND,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        let data: Vec<&str> = text.lines().filter(|line| !line.starts_with(['#', '"'])).collect();
        assert_eq!(data.len(), 1, "a histogram without values is not written");
        assert!(data[0].starts_with("Tag=hop_risk,1.500,10.000,999.000,HISTFAAA"), "{}", data[0]);
        let intervals = IntervalLogIterator::new(text.as_bytes())
            .filter(|entry| matches!(entry, Ok(LogEntry::Interval(_))));
        assert_eq!(intervals.count(), 1);
    }
}
