//! `postern replay`: a recorded feed through the feed agent, or onto the wire, at any pace.

use std::io::{self, IsTerminal, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

mod books;
mod complaints;
mod cut;
mod file;
mod frames;
mod protocol;
mod report;
mod seen;
mod stopwatch;
mod values;
mod wire;

use crate::cmd::output::{Output, heard};
use crate::cmd::whole_file::WholeFile;
use crate::feed::channel::ChannelCounts;
use crate::runtime::Clock;
use crate::types::{Nanos, Symbol};

pub use cut::{Before, OnlySymbols, Rounds, Window};
pub use file::{AnyRecording, MessageFile, Packing};
pub use protocol::Protocol;
pub use report::{BookLine, ReplayReport};
pub use seen::Seen;
pub use stopwatch::{Measured, Stopwatch};
pub use values::{Destinations, Moment, Pace, Percent};
pub use wire::{LineReport, WireError, WireReport};

/// Replays a recorded feed into books, or onto the wire, and says what is in it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  postern replay day.pcap                   what is in a capture, and the best bid and offer it ends with
  postern replay day.pcap.gz --output json  the same for scripts
  postern replay 01302020.NASDAQ_ITCH50.gz  the exchange's own file of a day
  postern replay deep.pcap.gz               the same of IEX: DEEP and TOPS are told apart from ITCH by themselves
  postern replay day.pcap --output json | jq -r .digest
                                            one number to compare two runs by
  postern replay day.pcap --hlog day.hlog && postern hist day.hlog
                                            how long each type of message takes
  postern replay day.itch --until 10:00:00 --symbols AAPL,MSFT
                                            these books as they were at ten
  postern replay day.pcap --to udp://239.1.1.1:5000,udp://239.1.1.2:5000 --speed recorded --interface 127.0.0.1
                                            the day again, for another process, on lines A and B
  postern replay day.itch --to udp://239.1.1.1:5000 --from 09:30:00 --speed 10 --loop 0 --loss 1 --seed 7
                                            from the opening bell at ten times the pace, losing 1 % of the packets, for ever

The file is pcap or pcapng (IPv4, UDP; ITCH 5.0 over MoldUDP64, or DEEP 1.0 or TOPS 1.6 over IEX-TP) or BinaryFILE (ITCH
5.0 messages behind their lengths), each also as gzip; a BinaryFILE may be of any size. Destinations that carry the same
session, or stream of IEX, are taken as lines of one channel. IEX tells of price levels and not of orders: `orders` of a
book is then the number of its levels; times of day do not go with it. Each datagram's time is computed from the start, so a paced replay does not drift and bursts stay bursts. Ctrl-C
ends a replay with the report so far, and the exit status 130. Symbols that no message names are told, and are
`symbols_absent` in the JSON. Packets out of order are put in order as far as 1,024 messages go; what is missing beyond that is a
gap, after which the books are stale. The exit status is 1 if a part of the file could not be read or was left out, messages
were lost, a book is stale, or none of the symbols is in it; `complete` is false in the JSON if it breaks off.")]
pub struct ReplayArgs {
    /// The recording
    pub file: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// Which protocol it is of; destinations of others are then left out
    #[arg(long, value_enum, default_value = "auto")]
    pub protocol: Protocol,
    /// The most orders that can be open at once on a channel of ITCH: 64 to 128 bytes of memory each. Fewer are made room for
    /// where the recording cannot hold as many
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub orders_max: u32,
    /// The most symbols of a channel
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u16).range(1..=65_534))]
    pub symbols_max: u16,
    /// `unpaced`, `recorded`, or so many times as fast as recorded
    #[arg(long, default_value = "unpaced")]
    pub speed: Pace,
    /// So many times, each as a session of its own, which begins with empty books; 0 is for ever
    #[arg(long = "loop", value_name = "COUNT", default_value_t = 1)]
    pub rounds: u32,
    /// From this time of day (09:30:00.5) or nanosecond of the capture on. Books are built from what comes before, at once;
    /// onto the wire it is not sent
    #[arg(long, value_name = "TIME")]
    pub from: Option<Moment>,
    /// Until before this time of day or nanosecond of the capture
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Only these symbols
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', value_parser = values::symbol)]
    pub symbols: Vec<Symbol>,
    /// Write the latency of each type of message to this file, for `postern hist`; each message is handed on alone then
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub hlog: Option<PathBuf>,
    /// Send the datagrams to one address, or to two as lines A and B, instead of keeping books
    #[arg(long, value_name = "udp://GROUP:PORT[,udp://GROUP:PORT]")]
    pub to: Option<Destinations>,
    /// Address of the interface to send from
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    pub interface: Option<Ipv4Addr>,
    /// Packets to lose, per cent, on each line its own
    #[arg(long, value_name = "PERCENT", default_value = "0", requires = "to")]
    pub loss: Percent,
    /// Packets to send twice, per cent
    #[arg(long, value_name = "PERCENT", default_value = "0", requires = "to")]
    pub duplicate: Percent,
    /// Packets to send after up to 8 later ones, per cent
    #[arg(long, value_name = "PERCENT", default_value = "0", requires = "to")]
    pub reorder: Percent,
    /// Packets at which a line stalls, for up to 8 packets, per cent
    #[arg(long, value_name = "PERCENT", default_value = "0", requires = "to")]
    pub delay: Percent,
    /// Packets to damage, per cent
    #[arg(long, value_name = "PERCENT", default_value = "0", requires = "to")]
    pub corrupt: Percent,
    /// What is lost, sent twice and so on is drawn from this
    #[arg(long, default_value_t = 1, requires = "to")]
    pub seed: u64,
}

impl ReplayArgs {
    /// All of a file into books, once and as fast as can be.
    pub fn new(file: &Path) -> ReplayArgs {
        ReplayArgs {
            file: file.to_owned(),
            output: Output::Text,
            protocol: Protocol::Auto,
            orders_max: 4_000_000,
            symbols_max: 20_000,
            speed: Pace::UNPACED,
            rounds: 1,
            from: None,
            until: None,
            symbols: Vec::new(),
            hlog: None,
            to: None,
            interface: None,
            loss: Percent::default(),
            duplicate: Percent::default(),
            reorder: Percent::default(),
            delay: Percent::default(),
            corrupt: Percent::default(),
            seed: 1,
        }
    }
}

/// The exit status after Ctrl-C, as shells give it.
const EXIT_INTERRUPTED: u8 = 130;

/// Replays `args.file` and prints what became of it to standard output; what is wrong goes to standard error.
pub fn run(args: &ReplayArgs) -> ExitCode {
    let is_stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the process at once. Without handlers the first does, which is no reason not to begin.
        let flag = || Arc::clone(&is_stopped);
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, flag());
        let _ = signal_hook::flag::register(signal, flag());
    }
    match play(args, &is_stopped) {
        Err(error) => complain(&[error]),
        Ok(complaints) if !complaints.is_empty() => complain(&complaints),
        Ok(_) if is_stopped.load(Ordering::Relaxed) => ExitCode::from(EXIT_INTERRUPTED),
        Ok(_) => ExitCode::SUCCESS,
    }
}

/// Replays and prints; returns what is wrong with the recording.
fn play(args: &ReplayArgs, is_stopped: &AtomicBool) -> Result<Vec<String>, String> {
    if let (Some(Moment::TimeOfDay(from)), Some(Moment::TimeOfDay(until)))
    | (Some(Moment::Captured(from)), Some(Moment::Captured(until))) = (args.from, args.until)
        && from >= until
    {
        return Err("--from is not before --until: nothing lies between them".to_owned());
    }
    let packing = if args.to.is_some() { Packing::Packed } else { Packing::Single };
    let recording = AnyRecording::open(&args.file, packing).map_err(|error| error.to_string())?;
    let (printed, remarks, mut complaints) = match args.to {
        Some(to) => {
            args.protocol.check_unused()?;
            protocol::check_wire(&recording, args)?;
            wire::impairment(args).check()?;
            let outcome = wire::replay(recording, to, args, is_stopped)
                .map_err(|error| format!("{}: {error}", args.file.display()))?;
            let printed = match args.output {
                Output::Json => report::print_json(&outcome.report),
                Output::Text => report::print_wire(&outcome.report),
            };
            (printed, outcome.remarks, outcome.complaints)
        }
        None => {
            let choice = protocol::choose(&recording, args)?;
            let hlog = args.hlog.as_deref().map(begin).transpose()?;
            let mut outcome = books::replay(recording, choice, args, is_stopped, hlog);
            let misfit = complaints::of(&outcome, args);
            outcome.complaints.extend(misfit);
            let printed = match args.output {
                Output::Json => report::print_json(&outcome.report),
                Output::Text => report::print_text(&outcome.report),
            };
            (printed, outcome.remarks, outcome.complaints)
        }
    };
    complain(&remarks);
    if let Err(error) = heard(printed) {
        complaints.push(format!("standard output: {error}"));
    }
    Ok(complaints)
}

fn begin(path: &Path) -> Result<WholeFile, String> {
    let unwritten = |error| format!("{}: cannot be written: {error}", path.display());
    WholeFile::begin(path).map_err(unwritten)
}

fn complain(complaints: &[String]) -> ExitCode {
    let mut stderr = io::stderr().lock();
    for complaint in complaints {
        // Nothing is left to tell it to if this fails.
        let _ = writeln!(stderr, "postern replay: {complaint}");
    }
    ExitCode::FAILURE
}

/// Plays a recording through a feed agent and says what that gave.
///
/// # Panics
/// If something of `args` does not go with the protocol of the recording, or it has two.
pub fn replay(
    recording: impl Into<AnyRecording>,
    args: &ReplayArgs,
) -> (ReplayReport, ChannelCounts) {
    let recording = recording.into();
    let choice = protocol::choose(&recording, args).unwrap_or_else(|error| panic!("{error}"));
    let outcome = books::replay(recording, choice, args, &AtomicBool::new(false), None);
    (outcome.report, outcome.totals)
}

/// A bar on standard error, where that is a terminal.
struct Progress(ProgressBar);

impl Progress {
    fn begin() -> Progress {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        if !io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) =
            ProgressStyle::with_template("{bar:40} {percent} %, {elapsed}, {eta} left")
        {
            bar.set_style(style);
        }
        Progress(bar)
    }

    /// So far, of so much.
    fn set(&self, (done, all): (u64, u64)) {
        if !self.0.is_hidden() {
            self.0.set_length(all);
            self.0.set_position(done);
        }
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// This much before something is due, waiting becomes watching the clock: the kernel wakes no sooner than it likes.
const WATCH_NS: u64 = 1_000_000;
/// The longest nap, so that a signal is seen.
const NAP_NS_MAX: u64 = 50_000_000;

/// Waits until `due`, or a nap long: asleep while it is far, watching the clock when it is near.
fn wait_until(due: Nanos, clock: Clock) {
    let left_ns = due.since(clock.now());
    if left_ns > WATCH_NS {
        #[allow(clippy::disallowed_methods, reason = "a tool that has nothing to do until then")]
        std::thread::sleep(Duration::from_nanos((left_ns - WATCH_NS).min(NAP_NS_MAX)));
    } else {
        std::hint::spin_loop();
    }
}
