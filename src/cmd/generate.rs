//! `postern generate`: market data made from a seed, to a file or to standard output.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cmd::complain;
use crate::cmd::whole_file::WholeFile;
use crate::sim::day::{BUFFER_BYTES, Day, DayConfig, DayError, ORDERS_MAX};
use crate::sim::day_file::{BinaryFile, PcapFile};
use crate::types::UtcNanos;

/// Makes market data from a seed: the same seed gives the same bytes everywhere.
#[derive(Args, Clone, Debug)]
pub struct GenerateArgs {
    #[command(subcommand)]
    feed: Feed,
}

#[derive(Clone, Debug, Subcommand)]
enum Feed {
    Itch(ItchArgs),
}

/// A trading day of Nasdaq TotalView-ITCH 5.0 with the mix of messages of a real one.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  postern generate itch --messages 20000000 --output day.itch
                                          a BinaryFILE: each message behind its length of two bytes
  postern generate itch --messages 1000000 --format pcap --output day.pcap
                                          the same in MoldUDP64 packets
  postern generate itch --messages 100000 --symbols 10 | gzip > small.itch.gz
  postern generate itch --messages 5000000 --symbols 8000 --orders 200000 --seed 7 --output busy.itch
                                          another day, with up to 200,000 orders open at once

All 23 types occur; books are never crossed; securities are marked as test issues. The times spread over the trading
hours, whatever the number of messages. Memory depends on symbols and open orders, not on messages.

A file gets its name once it is whole. Until then it is FILE.….part beside it; a signal, a full disk or any other fault
removes that, and leaves what was in FILE before. Exit status: 0 made, or the reader of a pipe went away; 1 not made; 130 after
Ctrl-C, 143 after SIGTERM.")]
pub struct ItchArgs {
    /// Messages, from the start of the day to its end
    #[arg(long, value_name = "COUNT")]
    pub messages: u64,
    /// Securities
    #[arg(long, value_name = "COUNT", default_value_t = 8_000, value_parser = clap::value_parser!(u16).range(1..))]
    pub symbols: u16,
    /// What the day is drawn from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Orders open at once: their number levels off just below this and never exceeds it [default: 18.25 a security]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(ORDERS_MAX)))]
    pub orders: Option<u32>,
    /// The file to write, anew if it exists; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// How messages are wrapped
    #[arg(long, value_enum, default_value_t = Format::Binary)]
    pub format: Format,
    /// The day, from whose midnight (UTC) packets are stamped; a BinaryFILE has only times of day
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2020-01-30")]
    pub date: Date,
}

/// How messages are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// BinaryFILE: each behind its length, two bytes, big-endian
    Binary,
    /// MoldUDP64 packets of one multicast group, in a pcap file with times in nanoseconds
    Pcap,
}

/// A day of the calendar, 1970-01-01 to 2105-12-31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    text: [u8; 10],
    days: u32,
}

impl Date {
    /// Its midnight.
    pub fn midnight(self) -> UtcNanos {
        UtcNanos(u64::from(self.days) * 86_400_000_000_000)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text.escape_ascii())
    }
}

const DATE_FORM: &str = "not a day from 1970-01-01 to 2105-12-31";

impl FromStr for Date {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Date, &'static str> {
        let bytes: [u8; 10] = text.as_bytes().try_into().map_err(|_| DATE_FORM)?;
        let number = |part: &[u8]| {
            part.iter().try_fold(0_u32, |number, digit| {
                digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
            })
        };
        let parts = (number(&bytes[..4]), number(&bytes[5..7]), number(&bytes[8..]));
        let (Some(year), Some(month), Some(day)) = parts else { return Err(DATE_FORM) };
        let is_leap = |year: u32| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let february = if is_leap(year) { 29 } else { 28 };
        let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let before = usize::try_from(month).unwrap_or(0).checked_sub(1);
        let length = before.and_then(|before| months.get(before)).copied().unwrap_or(0);
        if bytes[4] != b'-' || bytes[7] != b'-' || !(1..=length).contains(&day) {
            return Err(DATE_FORM);
        }
        if !(1970..=2105).contains(&year) {
            return Err(DATE_FORM);
        }
        let years: u32 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
        let months: u32 = months.iter().take(before.unwrap_or(0)).sum();
        Ok(Date { text: bytes, days: years + months + day - 1 })
    }
}

/// Why there is no day.
#[derive(Debug)]
enum GenerateError {
    Day(DayError),
    Terminal,
    Write {
        path: PathBuf,
        error: io::Error,
    },
    /// A file for which there is no room: how much of it was written, and how much that was of the day.
    Full {
        path: PathBuf,
        error: io::Error,
        bytes: u64,
        made: u64,
        messages: u64,
    },
    /// By this signal, before the file was whole.
    Interrupted(u8),
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GenerateError::Day(error) => error.fmt(f),
            GenerateError::Terminal => f.write_str(
                "standard output is a terminal: name a file with --output, or pipe it somewhere",
            ),
            GenerateError::Write { path, error } if path.as_os_str() == "-" => {
                write!(f, "standard output: {error}")
            }
            GenerateError::Write { path, error } => {
                write!(f, "{}: cannot be written: {error}", path.display())
            }
            GenerateError::Full { path, error, bytes, made, messages } => {
                let all = u128::from(*bytes) * u128::from(*messages) / u128::from(*made).max(1);
                write!(
                    f,
                    "{}: cannot be written: {error}. It went up to {} of about {} MiB and was removed: make room for all of \
                     it, or name a file elsewhere with --output",
                    path.display(),
                    bytes >> 20,
                    (all >> 20) + 1
                )
            }
            GenerateError::Interrupted(_) => {
                f.write_str("ended by a signal before the file was whole: it was removed")
            }
        }
    }
}

/// Makes what `args` ask for; what is wrong goes to standard error.
pub fn run(args: &GenerateArgs) -> ExitCode {
    let Feed::Itch(args) = &args.feed;
    let Err(error) = itch(args) else { return ExitCode::SUCCESS };
    let status = match &error {
        // A reader that went away, as `head` does, has read what it wanted.
        GenerateError::Write { error, .. } if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        GenerateError::Interrupted(signal) => 128 + signal,
        GenerateError::Day(_)
        | GenerateError::Terminal
        | GenerateError::Write { .. }
        | GenerateError::Full { .. } => 1,
    };
    complain(&format!("postern generate: {error}"));
    ExitCode::from(status)
}

/// Bytes collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

fn itch(args: &ItchArgs) -> Result<(), GenerateError> {
    let config = DayConfig {
        messages: args.messages,
        symbols: args.symbols,
        orders: args.orders.unwrap_or_else(|| DayConfig::orders_of(args.symbols)),
        seed: args.seed,
    };
    let mut day = Day::new(config).map_err(GenerateError::Day)?;
    let failed = |error| GenerateError::Write { path: args.output.clone(), error };
    if args.output.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            return Err(GenerateError::Terminal);
        }
        let mut out = BufWriter::with_capacity(WRITE_BYTES, io::stdout().lock());
        write_day(&mut day, args, &mut out, &AtomicUsize::new(0)).map_err(failed)?;
        return Ok(());
    }
    let file = WholeFile::begin(&args.output).map_err(failed)?;
    let signal = Arc::new(AtomicUsize::new(0));
    if file.is_removable() {
        catch(&signal);
    }
    let mut out = BufWriter::with_capacity(WRITE_BYTES, file);
    let written = write_day(&mut day, args, &mut out, &signal);
    // What is still buffered was flushed, or is given up.
    let (file, _) = out.into_parts();
    match written {
        Ok(true) => file.finish().map_err(failed),
        Ok(false) => {
            let signal = u8::try_from(signal.load(Ordering::Relaxed)).unwrap_or(0);
            Err(GenerateError::Interrupted(signal))
        }
        Err(error) if is_full(&error) && file.is_removable() => Err(GenerateError::Full {
            path: args.output.clone(),
            error,
            bytes: file.written_bytes(),
            made: day.made(),
            messages: args.messages,
        }),
        Err(error) => Err(failed(error)),
    }
}

/// Whether there is no room: on the disk, in what its user may have of it, or in a file of this process.
fn is_full(error: &io::Error) -> bool {
    let kinds =
        [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
    kinds.contains(&error.kind())
}

/// Notes signals that would end the process, so that it can remove what it has begun.
fn catch(signal: &Arc<AtomicUsize>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for number in [SIGINT, SIGTERM, SIGHUP] {
        // Without handlers a signal leaves a file that says by its name that it is a part.
        let noted = usize::try_from(number).unwrap_or(0);
        let _ = signal_hook::flag::register_usize(number, Arc::clone(signal), noted);
    }
}

/// Messages made between two looks at signals and progress.
const LOOK_MESSAGES: u64 = 1 << 12;

/// Writes a day as `args` say; `false` if a signal came before its end.
fn write_day(
    day: &mut Day,
    args: &ItchArgs,
    out: &mut impl Write,
    signal: &AtomicUsize,
) -> io::Result<bool> {
    let bar = progress(args.messages);
    let written = write_messages(day, args, out, |made| {
        bar.set_position(made);
        signal.load(Ordering::Relaxed) == 0
    });
    // Before anything is said of what went wrong.
    bar.finish_and_clear();
    written
}

/// Writes until the end, or until `goes_on` says no, which is asked now and then with the messages made so far.
fn write_messages(
    day: &mut Day,
    args: &ItchArgs,
    out: &mut impl Write,
    goes_on: impl Fn(u64) -> bool,
) -> io::Result<bool> {
    let mut buffer = [0; BUFFER_BYTES];
    let goes_on = |made: u64| !made.is_multiple_of(LOOK_MESSAGES) || goes_on(made);
    match args.format {
        Format::Binary => {
            let mut file = BinaryFile::new(out);
            while let Some(length) = day.next_message(&mut buffer) {
                file.push(&buffer[..length])?;
                if !goes_on(day.made()) {
                    return Ok(false);
                }
            }
            file.finish()?;
        }
        Format::Pcap => {
            let mut file = PcapFile::new(out, args.date.midnight(), session(args.date))?;
            while let Some(length) = day.next_message(&mut buffer) {
                file.push(&buffer[..length], day.time_ns())?;
                if !goes_on(day.made()) {
                    return Ok(false);
                }
            }
            file.finish()?;
        }
    }
    Ok(true)
}

/// The name of a day's session: its date without the dashes, padded.
fn session(date: Date) -> [u8; 10] {
    let mut session = [b' '; 10];
    let digits = date.text.iter().filter(|&&byte| byte != b'-');
    session.iter_mut().zip(digits).for_each(|(to, from)| *to = *from);
    session
}

fn progress(messages: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(messages), ProgressDrawTarget::stderr());
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{bar:40} {human_pos} of {human_len} messages, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1970-12-31", 364),
            ("2000-02-29", 11_016),
            ("2000-03-01", 11_017),
            ("2020-01-30", 18_291),
            ("2100-03-01", 47_541),
            ("2105-12-31", 49_672),
        ] {
            let date: Date = text.parse().expect(text);
            assert_eq!((date.days, date.to_string().as_str()), (days, text));
            assert_eq!(date.midnight().0, u64::from(days) * 86_400_000_000_000);
        }
        assert_eq!(&session("2020-01-30".parse().expect("a day")), b"20200130  ");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2020-1-30",
            "2020-00-01",
            "2020-13-01",
            "2020-01-00",
            "2020-01-32",
            "2021-02-29",
            "2100-02-29",
            "1969-12-31",
            "2106-01-01",
            "2020/01/30",
            "20200130",
            "2020-01-3x",
            "é020-01-3",
        ] {
            assert_eq!(text.parse::<Date>(), Err(DATE_FORM), "{text}");
        }
    }
}
