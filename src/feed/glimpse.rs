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
    /// How long a snapshot may bring nothing more, in nanoseconds: heartbeats are nothing. All of it may take
    /// [`WHOLE_SILENCES`] times as long.
    pub silence_ns: u64,
    /// How long to wait after a failure, in nanoseconds; twice as long after each that follows.
    pub retry_ns: u64,
    /// The longest such wait.
    pub retry_ns_max: u64,
}

/// How long a snapshot may take from the login to its end, in times of [`SnapshotSettings::silence_ns`]: a server that tells
/// orders without end keeps nobody.
pub const WHOLE_SILENCES: u64 = 60;

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
    Receiving {
        since: Nanos,
    },
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
    /// When the snapshot last brought something.
    told: Nanos,
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
            told: Nanos(0),
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
            | Phase::Receiving { .. }
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
            | Phase::Receiving { .. } => None,
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
    pub fn on_connected(&mut self) {
        if let Phase::Connecting { .. } = self.phase {
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
    pub fn on_received(&mut self, bytes: usize) {
        self.reader.filled(bytes);
    }

    /// What the bytes received so far mean, one event a call; `None` once there is no more. After an error of the server
    /// the attempt has failed.
    pub fn next_event(&mut self, now: Nanos) -> Option<SnapshotEvent<'_>> {
        loop {
            match self.step(now) {
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

    fn step(&mut self, now: Nanos) -> Step {
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
            | (ServerPacket::Heartbeat, Phase::LoggingIn { .. } | Phase::Receiving { .. }) => {
                Step::Again
            }
            // Another first number would be a part of a snapshot.
            (ServerPacket::LoginAccepted { sequence: 1, .. }, Phase::LoggingIn { .. }) => {
                self.phase = Phase::Receiving { since: now };
                self.told = now;
                Step::Begin
            }
            (ServerPacket::LoginRejected(_), Phase::LoggingIn { .. }) => {
                self.counts.rejected += 1;
                Step::Failed
            }
            (ServerPacket::Sequenced(message), Phase::Receiving { .. }) => {
                self.counts.messages += 1;
                self.told = now;
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
            Phase::Receiving { since }
                if now.since(self.told) >= self.settings.silence_ns
                    || now.since(since)
                        >= self.settings.silence_ns.saturating_mul(WHOLE_SILENCES) =>
            {
                self.fail(now);
                self.next_action(now)
            }
            Phase::Receiving { .. } if now.since(self.sent) >= HEARTBEAT_NS => {
                self.sent = now;
                Some(SnapshotAction::Send(CLIENT_HEARTBEAT))
            }
            Phase::Idle
            | Phase::Waiting(_)
            | Phase::Connecting { .. }
            | Phase::LoggingIn { .. }
            | Phase::Receiving { .. }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    const SETTINGS: SnapshotSettings = SnapshotSettings {
        login: Login { user: *b"reader", password: [b' '; 10], session: [b' '; 10], sequence: 1 },
        answer_ns: 500,
        silence_ns: 1_000,
        retry_ns: 100,
        retry_ns_max: 400,
    };
    const WHOLE_NS: u64 = 60 * SETTINGS.silence_ns;

    fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len() + 1).expect("short").to_be_bytes();
        [&length[..], &[kind], payload].concat()
    }

    fn accepted() -> Vec<u8> {
        packet(b'A', format!("{:>10}{:>20}", "G", 1).as_bytes())
    }

    fn end() -> Vec<u8> {
        packet(b'S', format!("G{:>20}", 7).as_bytes())
    }

    /// Receives bytes, and does what a channel does with what they mean: it fails on a message that begins with `X`.
    fn receive(snapshots: &mut Snapshots, bytes: &[u8], now: Nanos) {
        snapshots.room()[..bytes.len()].copy_from_slice(bytes);
        snapshots.on_received(bytes.len());
        loop {
            let (end, is_well) = match snapshots.next_event(now) {
                None => break,
                Some(SnapshotEvent::Begin) => (None, true),
                Some(SnapshotEvent::Message(message)) => (None, message[0] != b'X'),
                Some(SnapshotEvent::End(sequence)) => (Some(sequence), true),
            };
            if let Some(sequence) = end {
                snapshots.await_join(sequence, now);
            } else if !is_well {
                snapshots.fail(now);
            }
        }
    }

    fn act(snapshots: &mut Snapshots, now: Nanos) -> Vec<SnapshotAction> {
        std::iter::from_fn(|| snapshots.next_action(now)).collect()
    }

    const STATES: [&str; 7] =
        ["idle", "waiting", "connecting", "connected", "logging in", "receiving", "complete"];

    fn name(snapshots: &Snapshots) -> &'static str {
        STATES[match snapshots.phase {
            Phase::Idle => 0,
            Phase::Waiting(_) => 1,
            Phase::Connecting { .. } => 2,
            Phase::Connected => 3,
            Phase::LoggingIn { .. } => 4,
            Phase::Receiving { .. } => 5,
            Phase::Complete { .. } => 6,
        }]
    }

    /// In this state at time 0.
    fn in_state(state: &str) -> Snapshots {
        let (mut snapshots, now) = (Snapshots::new(SETTINGS), Nanos(0));
        let steps: [&dyn Fn(&mut Snapshots); 6] = [
            &|s| s.start(),
            &|s| assert_eq!(s.next_action(now), Some(SnapshotAction::Connect)),
            &|s| s.on_connected(),
            &|s| assert!(matches!(s.next_action(now), Some(SnapshotAction::Login(_)))),
            &|s| receive(s, &accepted(), now),
            &|s| receive(s, &end(), now),
        ];
        for step in steps {
            if name(&snapshots) == state {
                break;
            }
            step(&mut snapshots);
        }
        assert_eq!(name(&snapshots), state);
        snapshots
    }

    #[test]
    fn every_state_and_event() {
        type Event<'a> = (&'a str, &'a dyn Fn(&mut Snapshots), [&'a str; 7]);
        let now = Nanos(10);
        let [i, w, c, d, l, r, e] = STATES;
        // After the event, by state before it. `w` where there was a connection: the attempt failed.
        let events: [Event<'_>; 14] = [
            ("start", &|s| s.start(), [w, w, c, d, l, r, e]),
            ("reset", &|s| s.reset(), [i; 7]),
            ("connected", &|s| s.on_connected(), [i, w, d, d, l, r, e]),
            ("closed", &|s| s.on_closed(now), [i, w, w, w, w, w, e]),
            ("heartbeat", &|s| receive(s, &packet(b'H', b""), now), [i, w, w, w, l, r, e]),
            ("debug", &|s| receive(s, &packet(b'+', b"x"), now), [i, w, c, d, l, r, e]),
            ("accepted", &|s| receive(s, &accepted(), now), [i, w, w, w, r, w, e]),
            ("rejected", &|s| receive(s, &packet(b'J', b"A"), now), [i, w, w, w, w, w, e]),
            ("message", &|s| receive(s, &packet(b'S', b"A"), now), [i, w, w, w, w, r, e]),
            ("misfit", &|s| receive(s, &packet(b'S', b"X"), now), [i, w, w, w, w, w, e]),
            ("end", &|s| receive(s, &end(), now), [i, w, w, w, w, e, e]),
            ("over", &|s| receive(s, &packet(b'Z', b""), now), [i, w, w, w, w, w, e]),
            ("time", &|s| drop(act(s, Nanos(499))), [i, c, c, l, l, r, e]),
            ("silence", &|s| drop(act(s, Nanos(1_000))), [i, c, w, l, w, w, e]),
        ];
        for (event, apply, expected) in events {
            for (state, expected) in STATES.into_iter().zip(expected) {
                let mut snapshots = in_state(state);
                apply(&mut snapshots);
                assert_eq!(name(&snapshots), expected, "{event} while {state}");
                let has_failed = expected == w && !matches!(state, "idle" | "waiting");
                assert_eq!(snapshots.counts().failures, u64::from(has_failed), "{event}, {state}");
            }
        }
    }

    /// A failed attempt hangs up and is made again after the wait.
    fn is_retried(snapshots: &mut Snapshots, now: Nanos) {
        assert_eq!((name(snapshots), snapshots.counts().failures), ("waiting", 1));
        assert_eq!(act(snapshots, now.plus(99)), []);
        assert_eq!(act(snapshots, now.plus(100)), [SnapshotAction::Connect]);
    }

    #[test]
    fn heartbeats_keep_no_snapshot_that_brings_nothing() {
        for is_begun in [false, true] {
            let mut snapshots = in_state("receiving");
            let last = if is_begun { 400 } else { 0 };
            if is_begun {
                receive(&mut snapshots, &packet(b'S', b"A"), Nanos(last));
            }
            for time in (last..last + 1_000).step_by(100) {
                receive(&mut snapshots, &packet(b'H', b""), Nanos(time));
                assert_eq!(act(&mut snapshots, Nanos(time)), []);
            }
            assert_eq!(act(&mut snapshots, Nanos(last + 999)), []);
            let now = Nanos(last + 1_000);
            assert_eq!(act(&mut snapshots, now), [SnapshotAction::Close]);
            is_retried(&mut snapshots, now);
        }
    }

    #[test]
    fn a_snapshot_without_end_is_left() {
        let mut snapshots = in_state("receiving");
        for time in (0..WHOLE_NS).step_by(500) {
            receive(&mut snapshots, &packet(b'S', b"A"), Nanos(time));
            assert_eq!(act(&mut snapshots, Nanos(time)), [], "{time}");
        }
        let before = Nanos(WHOLE_NS - 1);
        receive(&mut snapshots, &packet(b'S', b"A"), before);
        assert_eq!(act(&mut snapshots, before), []);
        let now = Nanos(WHOLE_NS);
        receive(&mut snapshots, &packet(b'S', b"A"), now);
        assert_eq!(act(&mut snapshots, now), [SnapshotAction::Close]);
        is_retried(&mut snapshots, now);
        // The next attempt has all the time again.
        snapshots.on_connected();
        let now = now.plus(100);
        assert!(matches!(act(&mut snapshots, now)[..], [SnapshotAction::Login(_)]));
        receive(&mut snapshots, &accepted(), now);
        receive(&mut snapshots, &end(), now);
        assert_eq!(name(&snapshots), "complete");
    }

    #[test]
    fn what_can_be_no_snapshot_is_left_at_once() {
        let mut snapshots = in_state("receiving");
        let bytes = [packet(b'S', b"A"), packet(b'S', b"X"), packet(b'S', b"A"), end()].concat();
        receive(&mut snapshots, &bytes, Nanos(5));
        assert_eq!(snapshots.counts().messages, 2, "what follows is not looked at");
        assert_eq!(act(&mut snapshots, Nanos(5)), [SnapshotAction::Close]);
        is_retried(&mut snapshots, Nanos(5));
    }

    proptest! {
        /// Ends of snapshots with numbers that are some and others, of the right length and others; and any other message.
        #[test]
        fn a_message_is_what_a_naive_reader_takes_it_for(
            letter in prop_oneof![3 => proptest::strategy::Just(b'G'), 1 => any::<u8>()],
            field in prop_oneof![3 => "[ 0-9]{20}", 1 => "[ 0-9x+-]{0,30}", 1 => " {0,19}[0-9]{1,3}"],
        ) {
            let message = [&[letter], field.as_bytes()].concat();
            let digits = field.trim();
            let number = digits.bytes().all(|digit| digit.is_ascii_digit());
            let number = if number { digits.parse::<u64>().ok() } else { None };
            let expected = match (letter, field.len(), number) {
                (b'G', 20, Some(number @ 1..)) => Ok(SnapshotMessage::End(number)),
                (b'G', 20, _) => Err(GlimpseError::BadNumber),
                (b'G', _, _) => Err(GlimpseError::WrongLength),
                _ => Ok(SnapshotMessage::Itch(&message[..])),
            };
            prop_assert_eq!(decode(&message), expected);
            prop_assert_eq!(decode(&[]), Err(GlimpseError::Empty));
        }
    }
}
