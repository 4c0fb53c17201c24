//! Which protocol a recording is of, and what of the command line goes with it.

use std::net::SocketAddrV4;

use clap::ValueEnum;

use crate::cmd::replay::ReplayArgs;
use crate::cmd::replay::file::AnyRecording;
use crate::cmd::replay::values::Moment;
use crate::feed::iex::Feed;
use crate::feed::iex::tp::{self, ProtocolId, StreamId};
use crate::feed::moldudp64::{self, Session};
use crate::net::capture::Capture;

/// The protocol of a recording, as the command line says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Whichever its first datagrams are of
    #[default]
    Auto,
    /// ITCH 5.0 over MoldUDP64
    Itch50,
    /// DEEP 1.0 over IEX-TP
    IexDeep,
    /// TOPS 1.6 over IEX-TP
    IexTops,
}

/// What the datagrams to one destination are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// MoldUDP64 of this session.
    Itch(Session),
    /// IEX-TP with messages that are read.
    Iex(Feed, StreamId),
    /// IEX-TP with others.
    OtherIex(ProtocolId),
    /// Neither.
    Nothing,
}

/// Datagrams of a destination that are looked at.
const LOOKS: usize = 16;

impl Found {
    /// What the first datagrams to `flow` say that say anything.
    fn of(capture: &Capture, flow: SocketAddrV4) -> Found {
        let all = capture.iter().filter(|&(to, _, _)| to == flow).take(LOOKS);
        let found = all.map(|(_, _, payload)| Found::of_datagram(payload));
        found.into_iter().find(|&found| found != Found::Nothing).unwrap_or(Found::Nothing)
    }

    /// IEX-TP is asked first: its segments begin with a byte that no session of MoldUDP64 does, and their lengths agree.
    fn of_datagram(payload: &[u8]) -> Found {
        if let Ok(segment) = tp::parse(payload) {
            let header = segment.header();
            return match header.protocol {
                ProtocolId::DEEP_1_0 => Found::Iex(Feed::Deep, header.stream),
                ProtocolId::TOPS_1_6 => Found::Iex(Feed::Tops, header.stream),
                other => Found::OtherIex(other),
            };
        }
        match moldudp64::parse(payload) {
            Ok(packet) => Found::Itch(packet.header().session),
            Err(_) => Found::Nothing,
        }
    }

    const fn is_itch(self) -> bool {
        matches!(self, Found::Itch(_))
    }

    const fn is_iex(self) -> bool {
        matches!(self, Found::Iex(..) | Found::OtherIex(_))
    }
}

/// What is replayed of a recording: destinations, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// ITCH over MoldUDP64.
    Itch(Vec<SocketAddrV4>),
    /// DEEP or TOPS over IEX-TP; at least one destination is known to be of it.
    Iex(Vec<(SocketAddrV4, Found)>),
}

/// Chooses what of `recording` is replayed into books.
///
/// # Errors
/// If it holds nothing of the protocol asked for, or two and neither was asked for; or something of the command line does not
/// go with it.
pub(super) fn choose(recording: &AnyRecording, args: &ReplayArgs) -> Result<Choice, String> {
    let name = args.file.display();
    let AnyRecording::Capture(played) = recording else {
        return match args.protocol {
            Protocol::Auto | Protocol::Itch50 => Ok(Choice::Itch(Vec::new())),
            Protocol::IexDeep | Protocol::IexTops => {
                Err(format!("{name}: is a BinaryFILE of ITCH 5.0, so --protocol cannot be of IEX"))
            }
        };
    };
    let capture = played.capture();
    let flows = capture.flows().iter().map(|&flow| (flow, Found::of(capture, flow)));
    let flows: Vec<(SocketAddrV4, Found)> = flows.collect();
    let of = |feed: Feed| -> Vec<(SocketAddrV4, Found)> {
        let is_of = |found: Found| matches!(found, Found::Iex(of, _) if of == feed);
        flows.iter().copied().filter(|&(_, found)| is_of(found)).collect()
    };
    let chosen = match args.protocol {
        Protocol::Auto => return automatic(flows, args),
        Protocol::Itch50 => {
            let others = flows.iter().filter(|(_, found)| !found.is_iex());
            let chosen: Vec<SocketAddrV4> = others.map(|&(flow, _)| flow).collect();
            if chosen.is_empty() && !flows.is_empty() {
                return Err(format!("{name}: holds no MoldUDP64, only IEX-TP"));
            }
            return Ok(Choice::Itch(chosen));
        }
        Protocol::IexDeep => of(Feed::Deep),
        Protocol::IexTops => of(Feed::Tops),
    };
    if chosen.is_empty() {
        return Err(format!("{name}: holds no IEX-TP segment of the protocol asked for"));
    }
    check_iex(args)?;
    Ok(Choice::Iex(chosen))
}

fn automatic(flows: Vec<(SocketAddrV4, Found)>, args: &ReplayArgs) -> Result<Choice, String> {
    let name = args.file.display();
    let any = |is: fn(Found) -> bool| flows.iter().any(|&(_, found)| is(found));
    match (any(Found::is_itch), any(Found::is_iex)) {
        (true, true) => Err(format!(
            "{name}: holds both MoldUDP64 and IEX-TP: say which to replay with --protocol"
        )),
        (_, false) => Ok(Choice::Itch(flows.into_iter().map(|(flow, _)| flow).collect())),
        (false, true) => {
            let is_read = any(|found| matches!(found, Found::Iex(..)));
            let other = flows.iter().find_map(|&(_, found)| match found {
                Found::OtherIex(protocol) => Some(protocol),
                Found::Itch(_) | Found::Iex(..) | Found::Nothing => None,
            });
            if let (false, Some(protocol)) = (is_read, other) {
                return Err(format!(
                    "{name}: IEX-TP of message protocol {protocol}; read are {} (DEEP 1.0) and {} (TOPS 1.6)",
                    ProtocolId::DEEP_1_0,
                    ProtocolId::TOPS_1_6
                ));
            }
            check_iex(args)?;
            Ok(Choice::Iex(flows))
        }
    }
}

/// Whether what is sent onto the wire is chosen by something that can be read of it.
///
/// # Errors
/// What does not go with IEX-TP, if the recording has any.
pub(super) fn check_wire(recording: &AnyRecording, args: &ReplayArgs) -> Result<(), String> {
    let AnyRecording::Capture(played) = recording else { return Ok(()) };
    let capture = played.capture();
    if !capture.flows().iter().any(|&flow| Found::of(capture, flow).is_iex()) {
        return Ok(());
    }
    if !args.symbols.is_empty() {
        return Err("--symbols with --to does not go with IEX: its segments are sent whole".into());
    }
    check_iex(args)
}

fn check_iex(args: &ReplayArgs) -> Result<(), String> {
    let is_time = |moment: Option<Moment>| matches!(moment, Some(Moment::TimeOfDay(_)));
    if is_time(args.from) || is_time(args.until) {
        return Err(
            "--from and --until with IEX take nanoseconds of the capture: it has no time of day"
                .into(),
        );
    }
    Ok(())
}

impl Protocol {
    /// Whether a replay onto the wire, which sends datagrams as they are, was told of a protocol.
    ///
    /// # Errors
    /// If it was.
    pub(super) fn check_unused(self) -> Result<(), String> {
        match self {
            Protocol::Auto => Ok(()),
            Protocol::Itch50 | Protocol::IexDeep | Protocol::IexTops => {
                Err("--protocol does not go with --to: datagrams are sent as they are".into())
            }
        }
    }
}
