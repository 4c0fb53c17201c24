//! Nasdaq GLIMPSE 5.0: the book as ITCH messages over SoupBinTCP, up to the number the live stream goes on from.
//!
//! [`Snapshots`] is the client as a state machine: it is told the time and what the connection did, and answers with what
//! to do with the connection. It neither connects, sends nor receives itself.

use crate::feed::soupbintcp::{
    CLIENT_HEARTBEAT, LOGIN_BYTES, LOGOUT, Login, PacketReader, ServerPacket, number,
};
use crate::types::Nanos;

/// Bytes of the End of Snapshot message: type and number (GLIMPSE 5.0 section 1.7).
const END_BYTES: usize = 21;

/// A message of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMessage<'a> {
    /// A message of ITCH 5.0.
    Itch(&'a [u8]),
    /// `G`: all was told; the live stream goes on from this number.
    End(u64),
}

/// Why bytes are no message of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GlimpseError {
    /// No bytes.
    Empty,
    /// An End of Snapshot of a wrong length.
    WrongLength,
    /// An End of Snapshot whose number is none, or 0: messages count from 1.
    BadNumber,
}

/// Reads a message of a snapshot. ITCH messages are not looked into.
///
/// # Errors
/// A [`GlimpseError`]; never panics.
pub fn decode(message: &[u8]) -> Result<SnapshotMessage<'_>, GlimpseError> {
    match message.split_first() {
        None => Err(GlimpseError::Empty),
        // GLIMPSE 5.0 section 1.7; ITCH 5.0 has no message of this type.
        Some((b'G', field)) => {
            if message.len() != END_BYTES {
                return Err(GlimpseError::WrongLength);
            }
            let sequence = number(field).filter(|&sequence| sequence > 0);
            sequence.map(SnapshotMessage::End).ok_or(GlimpseError::BadNumber)
        }
        Some(_) => Ok(SnapshotMessage::Itch(message)),
    }
}

/// How snapshots are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// Who asks. The number is always 1 (GLIMPSE 5.0, "Architecture").
    pub login: Login,
    /// How long a connection or an answer to the login may take, in nanoseconds.
    pub answer_ns: u64,
    /// Silence of the server after which it is taken for dead, in nanoseconds. It sends a heartbeat every second.
    pub silence_ns: u64,
    /// How long to wait after a failure, in nanoseconds; twice as long after each that follows.
    pub retry_ns: u64,
    /// The longest such wait.
    pub retry_ns_max: u64,
}

/// How often a client says that it is there, in nanoseconds (SoupBinTCP 3.00 section 1.3).
const HEARTBEAT_NS: u64 = 1_000_000_000;

/// What to do with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotAction {
    /// Begin to connect.
    Connect,
    /// Log in.
    Login([u8; LOGIN_BYTES]),
    /// Send these bytes: a heartbeat or a farewell.
    Send([u8; 3]),
    /// Close it.
    Close,
}

/// What a snapshot brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotEvent<'a> {
    /// It begins: all books are to be forgotten.
    Begin,
    /// A message of ITCH 5.0.
    Message(&'a [u8]),
    /// It is complete; the live stream goes on from this number.
    End(u64),
}

/// What became of the snapshots asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SnapshotCounts {
    /// Connections begun.
    pub attempts: u64,
    /// Snapshots that were complete and joined the stream.
    pub completed: u64,
    /// Attempts that failed, for whatever reason.
    pub failures: u64,
    /// Logins the server refused.
    pub rejected: u64,
    /// Messages read.
    pub messages: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is wanted.
    Idle,
    /// The next attempt begins at this time.
    Waiting(Nanos),
    Connecting {
        since: Nanos,
    },
    /// Connected; the login is still to be sent.
    Connected,
    LoggingIn {
        since: Nanos,
    },
    Receiving,
    /// All was read; it waits until the stream has come as far.
    Complete {
        sequence: u64,
        since: Nanos,
    },
}

/// Asks for snapshots until one fits.
#[derive(Clone, Debug)]
pub struct Snapshots {
    settings: SnapshotSettings,
    phase: Phase,
    /// What there is to say when there is no attempt any more.
    must_close: bool,
    says_farewell: bool,
    /// No attempt begins before.
    not_before: Nanos,
    retry_ns: u64,
    sent: Nanos,
    heard: Nanos,
    reader: PacketReader,
    counts: SnapshotCounts,
}

impl Snapshots {
    /// A client that wants nothing yet. Allocates its buffer here only.
    pub fn new(settings: SnapshotSettings) -> Snapshots {
        Snapshots {
            settings: SnapshotSettings {
                login: Login { sequence: 1, ..settings.login },
                ..settings
            },
            phase: Phase::Idle,
            must_close: false,
            says_farewell: false,
            not_before: Nanos(0),
            retry_ns: settings.retry_ns,
            sent: Nanos(0),
            heard: Nanos(0),
            reader: PacketReader::new(),
            counts: SnapshotCounts::default(),
        }
    }

    /// A snapshot is wanted, as soon as one may be asked for.
    pub fn start(&mut self) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Waiting(self.not_before);
        }
    }

    /// None is wanted any more, and the next may be asked for at once: a new session begins.
    pub fn reset(&mut self) {
        self.must_close |= self.has_connection();
        self.phase = Phase::Idle;
        self.not_before = Nanos(0);
        self.retry_ns = self.settings.retry_ns;
    }

    const fn has_connection(&self) -> bool {
        match self.phase {
            Phase::Idle | Phase::Waiting(_) => false,
            Phase::Connecting { .. }
            | Phase::Connected
            | Phase::LoggingIn { .. }
            | Phase::Receiving
            | Phase::Complete { .. } => true,
        }
    }

    /// Whether a snapshot is wanted.
    pub fn is_active(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Whether there is anything to do, now or later.
    pub fn is_busy(&self) -> bool {
        self.is_active() || self.must_close
    }

    /// Whether the connection is to be looked at.
    pub const fn is_listening(&self) -> bool {
        !self.must_close && self.has_connection()
    }

    /// The attempt failed; the next one waits, longer each time.
    pub fn fail(&mut self, now: Nanos) {
        self.counts.failures += 1;
        self.must_close |= self.has_connection();
        self.not_before = now.plus(self.retry_ns);
        self.retry_ns = self.retry_ns.saturating_mul(2).min(self.settings.retry_ns_max);
        self.phase = Phase::Waiting(self.not_before);
    }

    /// The snapshot, which ends with this number, is to be joined to the stream.
    pub fn await_join(&mut self, sequence: u64, now: Nanos) {
        self.phase = Phase::Complete { sequence, since: now };
    }

    /// The number of a snapshot that is to be joined, and whether it has waited for as long as it may.
    pub fn awaited_join(&self, now: Nanos) -> Option<(u64, bool)> {
        match self.phase {
            Phase::Complete { sequence, since } => {
                Some((sequence, now.since(since) >= self.settings.answer_ns))
            }
            Phase::Idle
            | Phase::Waiting(_)
            | Phase::Connecting { .. }
            | Phase::Connected
            | Phase::LoggingIn { .. }
            | Phase::Receiving => None,
        }
    }

    /// The snapshot joined the stream.
    pub fn complete(&mut self, now: Nanos) {
        self.counts.completed += 1;
        self.must_close = true;
        self.says_farewell = true;
        self.phase = Phase::Idle;
        self.retry_ns = self.settings.retry_ns;
        self.not_before = now.plus(self.retry_ns);
    }

    /// The connection stands.
    pub fn on_connected(&mut self, now: Nanos) {
        if let Phase::Connecting { .. } = self.phase {
            self.heard = now;
            self.phase = Phase::Connected;
        }
    }

    /// The connection is gone, or was never there.
    pub fn on_closed(&mut self, now: Nanos) {
        // A server may hang up after the end of its snapshot.
        if self.is_listening() && !matches!(self.phase, Phase::Complete { .. }) {
            self.fail(now);
        }
    }

    /// Where bytes that are received go. Never empty.
    pub fn room(&mut self) -> &mut [u8] {
        self.reader.room()
    }

    /// So many bytes were received.
    pub fn on_received(&mut self, bytes: usize, now: Nanos) {
        self.heard = now;
        self.reader.filled(bytes);
    }

    /// What the bytes received so far mean, one event a call; `None` once there is no more. After an error of the server
    /// the attempt has failed.
    pub fn next_event(&mut self, now: Nanos) -> Option<SnapshotEvent<'_>> {
        loop {
            match self.step() {
                Step::Again => {}
                Step::Nothing => return None,
                Step::Failed => {
                    self.fail(now);
                    return None;
                }
                Step::Begin => return Some(SnapshotEvent::Begin),
                Step::End(sequence) => return Some(SnapshotEvent::End(sequence)),
                Step::Message => return Some(SnapshotEvent::Message(self.reader.payload())),
            }
        }
    }

    fn step(&mut self) -> Step {
        if !self.is_listening() || matches!(self.phase, Phase::Complete { .. }) {
            return Step::Nothing;
        }
        let packet = match self.reader.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Step::Nothing,
            Err(_) => return Step::Failed,
        };
        match (packet, self.phase) {
            (ServerPacket::Debug(_) | ServerPacket::Unsequenced(_), _)
            | (ServerPacket::Heartbeat, Phase::LoggingIn { .. } | Phase::Receiving) => Step::Again,
            // Another first number would be a part of a snapshot.
            (ServerPacket::LoginAccepted { sequence: 1, .. }, Phase::LoggingIn { .. }) => {
                self.phase = Phase::Receiving;
                Step::Begin
            }
            (ServerPacket::LoginRejected(_), Phase::LoggingIn { .. }) => {
                self.counts.rejected += 1;
                Step::Failed
            }
            (ServerPacket::Sequenced(message), Phase::Receiving) => {
                self.counts.messages += 1;
                match decode(message) {
                    Ok(SnapshotMessage::Itch(_)) => Step::Message,
                    Ok(SnapshotMessage::End(sequence)) => Step::End(sequence),
                    Err(_) => Step::Failed,
                }
            }
            // The end of the session before the end of the snapshot, or a packet out of its turn.
            (
                ServerPacket::EndOfSession
                | ServerPacket::LoginAccepted { .. }
                | ServerPacket::LoginRejected(_)
                | ServerPacket::Sequenced(_)
                | ServerPacket::Heartbeat,
                _,
            ) => Step::Failed,
        }
    }

    /// What to do now; to be asked until there is nothing.
    pub fn next_action(&mut self, now: Nanos) -> Option<SnapshotAction> {
        if self.must_close {
            if std::mem::take(&mut self.says_farewell) {
                return Some(SnapshotAction::Send(LOGOUT));
            }
            self.must_close = false;
            self.reader.clear();
            return Some(SnapshotAction::Close);
        }
        match self.phase {
            Phase::Waiting(until) if now >= until => {
                self.counts.attempts += 1;
                self.reader.clear();
                self.phase = Phase::Connecting { since: now };
                Some(SnapshotAction::Connect)
            }
            Phase::Connected => {
                self.sent = now;
                self.phase = Phase::LoggingIn { since: now };
                Some(SnapshotAction::Login(self.settings.login.encode()))
            }
            Phase::Connecting { since } | Phase::LoggingIn { since }
                if now.since(since) >= self.settings.answer_ns =>
            {
                self.fail(now);
                self.next_action(now)
            }
            Phase::Receiving if now.since(self.heard) >= self.settings.silence_ns => {
                self.fail(now);
                self.next_action(now)
            }
            Phase::Receiving if now.since(self.sent) >= HEARTBEAT_NS => {
                self.sent = now;
                Some(SnapshotAction::Send(CLIENT_HEARTBEAT))
            }
            Phase::Idle
            | Phase::Waiting(_)
            | Phase::Connecting { .. }
            | Phase::LoggingIn { .. }
            | Phase::Receiving
            | Phase::Complete { .. } => None,
        }
    }

    /// What became of the snapshots asked for.
    pub const fn counts(&self) -> SnapshotCounts {
        self.counts
    }
}

/// What one packet led to.
enum Step {
    Again,
    Nothing,
    Failed,
    Begin,
    Message,
    End(u64),
}
