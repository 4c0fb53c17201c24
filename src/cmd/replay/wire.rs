//! A replay onto the wire: the datagrams of a recording for another process, on one line or two, whole or impaired.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::cmd::replay::cut::{Before, OnlySymbols, Rounds, Window};
use crate::cmd::replay::file::AnyRecording;
use crate::cmd::replay::frames;
use crate::cmd::replay::seen::Seen;
use crate::cmd::replay::values::Destinations;
use crate::cmd::replay::{Progress, ReplayArgs, wait_until};
use crate::feed::moldudp64::{self, Session};
use crate::net::{Datagram, DatagramHandler, PacketSink, PacketSource, Player, Polled, Recording};
use crate::runtime::Clock;
use crate::sim::impair::{Impaired, Impairment};
use crate::sim::prng::SplitMix;
use crate::types::ChannelId;

/// Datagrams sent between two looks at the clock and the signals.
const BURST: u32 = 32;
/// Bytes a datagram can have.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// How many later packets a reordered or duplicated one may let go first.
const DISTANCE_MAX: u32 = 8;

/// What became of a replay onto the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WireReport {
    /// Datagrams of the recording that were played.
    pub packets: u64,
    /// Bytes of payload in them.
    pub bytes: u64,
    /// Whether the recording was played to its end, or to where it was to end.
    pub complete: bool,
    /// Time from the first datagram until after the last.
    pub elapsed_ns: u64,
    /// Frames of the capture that hold no datagram, by why, as of a replay into books.
    pub frames_skipped: BTreeMap<&'static str, u64>,
    /// Symbols that were asked for and that no message named.
    pub symbols_absent: Vec<String>,
    /// The latest a datagram came after it was due; 0 where none had a time.
    pub late_ns_max: u64,
    /// Each line.
    pub lines: Vec<LineReport>,
}

/// What became of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineReport {
    /// Where it goes.
    pub to: String,
    /// Datagrams given to it.
    pub packets: u64,
    /// Of these, never sent.
    pub lost: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Sent after later ones.
    pub reordered: u64,
    /// At which the line stalled: they and those behind them were sent late.
    pub delayed: u64,
    /// Sent with bits flipped or cut.
    pub corrupted: u64,
    /// Datagrams that left, copies too.
    pub sent: u64,
    /// Datagrams the kernel refused.
    pub errors: u64,
}

/// Why a recording cannot be sent.
#[derive(Debug)]
pub enum WireError {
    /// A socket could not be made.
    Socket(SocketAddrV4, io::Error),
    /// There is more than one session in the recording.
    Sessions(usize),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WireError::Socket(to, error) => write!(f, "udp://{to}: {error}"),
            WireError::Sessions(count) => write!(
                f,
                "{count} sessions in one capture; --to sends one (cut the capture by destination first)"
            ),
        }
    }
}

/// A socket that waits until the kernel has room: a replay loses nothing on its own.
#[derive(Debug)]
struct Outlet {
    socket: UdpSocket,
    datagram: Box<[u8; DATAGRAM_BYTES_MAX]>,
    sent: u64,
    errors: u64,
}

impl Outlet {
    fn open(to: SocketAddrV4, interface: Option<Ipv4Addr>) -> Result<Outlet, WireError> {
        let open = || -> io::Result<UdpSocket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            if to.ip().is_multicast() {
                if let Some(interface) = interface {
                    socket.set_multicast_if_v4(&interface)?;
                }
                socket.set_multicast_loop_v4(true)?;
            } else if let Some(interface) = interface {
                socket.bind(&SocketAddrV4::new(interface, 0).into())?;
            }
            socket.connect(&to.into())?;
            Ok(socket.into())
        };
        let socket = open().map_err(|error| WireError::Socket(to, error))?;
        Ok(Outlet { socket, datagram: Box::new([0; DATAGRAM_BYTES_MAX]), sent: 0, errors: 0 })
    }
}

impl PacketSink for Outlet {
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        let length = write(&mut self.datagram[..]);
        let datagram = &self.datagram[..length];
        // An error may be an earlier datagram's, for which nobody listened, and then this one was not tried.
        match self.socket.send(datagram).or_else(|_| self.socket.send(datagram)) {
            Ok(_) => self.sent += 1,
            Err(_) => self.errors += 1,
        }
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines, and which datagrams go to which.
#[derive(Debug)]
struct Wire {
    lines: Vec<(SocketAddrV4, Impaired<Outlet>)>,
    /// Whether the recording has lines of its own: then each goes to its line here, else all go to all.
    has_lines: bool,
    bytes: u64,
    too_long: u64,
}

impl DatagramHandler for Wire {
    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        let payload = datagram.payload;
        if payload.len() > DATAGRAM_BYTES_MAX {
            self.too_long += 1;
            return;
        }
        self.bytes += u64::try_from(payload.len()).unwrap_or(0);
        let own = usize::from(datagram.line).min(self.lines.len() - 1);
        for (place, (_, line)) in self.lines.iter_mut().enumerate() {
            if self.has_lines && place != own {
                continue;
            }
            // A line takes every packet; what becomes of it, it counts.
            line.send_with(|room| {
                room[..payload.len()].copy_from_slice(payload);
                payload.len()
            });
        }
    }
}

/// What a replay onto the wire came to.
#[derive(Debug)]
pub struct Outcome {
    /// What is printed.
    pub report: WireReport,
    /// What is worth to be told and is no fault.
    pub remarks: Vec<String>,
    /// What went wrong on the way.
    pub complaints: Vec<String>,
}

/// Plays `recording` to `to` until its end or until `is_stopped`.
///
/// # Errors
/// A [`WireError`] before anything is sent.
pub fn replay(
    recording: AnyRecording,
    to: Destinations,
    args: &ReplayArgs,
    is_stopped: &AtomicBool,
) -> Result<Outcome, WireError> {
    let clock = Clock::start();
    let routes = routes(&recording)?;
    let mut wire = Wire {
        lines: lines(to, args)?,
        // Of some symbols there is one line only, which both get.
        has_lines: routes.len() > 1 && args.symbols.is_empty(),
        bytes: 0,
        too_long: 0,
    };
    let seen = Seen::new(recording, &args.symbols);
    let window = Window::new(seen, args.from, args.until, Before::Skipped);
    let part = Rounds::new(OnlySymbols::new(window, args.symbols.clone()));
    let mut player = Player::new(part, args.speed.0, args.rounds);
    for (flow, line) in routes {
        // Subscribing to a recording does not fail.
        let _ = player.subscribe(flow, ChannelId(0), line);
    }
    let progress = Progress::begin();
    let started = clock.now();
    let mut is_over = false;
    while !is_over && !is_stopped.load(Ordering::Relaxed) {
        player.advance(clock.now());
        match player.poll(BURST, &mut wire) {
            Ok(Polled::Got(_)) => progress.set(player.recording().progress()),
            Ok(Polled::Idle) => {
                if let Some(due) = player.next_due() {
                    wait_until(due, clock);
                }
            }
            Ok(Polled::End) | Err(_) => is_over = true,
        }
    }
    for (_, line) in &mut wire.lines {
        // Nothing is held back for packets that do not come.
        line.release();
    }
    progress.end();
    let seen = player.recording().inner().inner().inner();
    let recording = seen.inner();
    let (mut remarks, mut complaints) = (Vec::new(), Vec::new());
    if let Some(defect) = recording.defect() {
        complaints.push(format!("{defect}; what comes before it was sent"));
    } else if player.handed_count() == 0 && is_over {
        complaints.push(format!("{}: no datagram to send in it", args.file.display()));
    }
    frames::tell(recording.skipped(), args, &mut remarks, &mut complaints);
    seen.tell(args, is_over, &mut remarks, &mut complaints);
    if wire.too_long > 0 {
        complaints.push(format!(
            "{}: {} datagrams longer than {DATAGRAM_BYTES_MAX} bytes were left out",
            args.file.display(),
            wire.too_long
        ));
    }
    let report = WireReport {
        packets: player.handed_count(),
        bytes: wire.bytes,
        complete: is_over && recording.defect().is_none(),
        elapsed_ns: clock.now().since(started),
        frames_skipped: frames::by_reason(recording.skipped()),
        symbols_absent: seen.absent_names(),
        late_ns_max: player.late_ns_max(),
        lines: wire.lines.iter().map(line_report).collect(),
    };
    Ok(Outcome { report, remarks, complaints })
}

fn line_report((to, line): &(SocketAddrV4, Impaired<Outlet>)) -> LineReport {
    let counts = line.counts();
    LineReport {
        to: format!("udp://{to}"),
        packets: counts.sent,
        lost: counts.lost,
        duplicated: counts.duplicated,
        reordered: counts.reordered,
        delayed: counts.delayed,
        corrupted: counts.corrupted,
        sent: line.sink().sent,
        errors: line.sink().errors,
    }
}

/// What is done to each line.
pub(super) fn impairment(args: &ReplayArgs) -> Impairment {
    Impairment {
        loss_ppm: args.loss.ppm,
        duplicate_ppm: args.duplicate.ppm,
        reorder_ppm: args.reorder.ppm,
        corrupt_ppm: args.corrupt.ppm,
        delay_ppm: args.delay.ppm,
        distance_max: DISTANCE_MAX,
    }
}

/// The lines of `to`, each with its own seed, so that they do not lose the same packets.
fn lines(
    to: Destinations,
    args: &ReplayArgs,
) -> Result<Vec<(SocketAddrV4, Impaired<Outlet>)>, WireError> {
    let impairment = impairment(args);
    let addresses = [Some(to.a), to.b];
    let lines = addresses.into_iter().flatten().zip(0..).map(|(address, line)| {
        let outlet = Outlet::open(address, args.interface)?;
        Ok((address, Impaired::new(outlet, impairment, line_seed(args.seed, line))))
    });
    lines.collect()
}

/// The seed of a line: of neighbouring seeds no line has the fate of another.
const fn line_seed(seed: u64, line: u64) -> u64 {
    let of_all = SplitMix::new(seed).next_u64();
    SplitMix::new(of_all.wrapping_add(line)).next_u64()
}

/// Which destination of the recording is which line of its one session.
fn routes(recording: &AnyRecording) -> Result<Vec<(SocketAddrV4, u8)>, WireError> {
    let flows = recording.flows();
    if let AnyRecording::Capture(of) = recording {
        let mut sessions: Vec<Option<Session>> = Vec::new();
        for &flow in flows {
            let first = of.capture().first_to(flow);
            let packet = first.and_then(|payload| moldudp64::parse(payload).ok());
            let session = packet.map(|packet| packet.header().session);
            if !sessions.contains(&session) {
                sessions.push(session);
            }
        }
        if sessions.len() > 1 {
            return Err(WireError::Sessions(sessions.len()));
        }
    }
    Ok(flows.iter().copied().zip(0..=u8::MAX).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lines_of_neighbouring_seeds_have_seeds_of_their_own() {
        let some = [0, 1, 2, 3, 9, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        let seeds: BTreeSet<u64> =
            some.iter().flat_map(|&seed| [line_seed(seed, 0), line_seed(seed, 1)]).collect();
        assert_eq!(seeds.len(), 2 * some.len());
    }
}
