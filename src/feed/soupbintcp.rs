//! SoupBinTCP 3.00: logical packets over a byte stream, as its client reads and writes them. Pure and total.

use std::fmt;

/// Bytes in front of a packet's payload: length 2, type 1 (section 1.1, "SoupBinTCP Logical Packets").
pub const HEAD_BYTES: usize = 3;

/// Bytes of a Login Request (section 2.3.1).
pub const LOGIN_BYTES: usize = 49;

/// A Client Heartbeat (section 2.3.3).
pub const CLIENT_HEARTBEAT: [u8; HEAD_BYTES] = [0, 1, b'R'];

/// A Logout Request (section 2.3.4).
pub const LOGOUT: [u8; HEAD_BYTES] = [0, 1, b'O'];

/// Bytes of the longest packet: the length counts the type and the payload.
pub const PACKET_BYTES_MAX: usize = 2 + 65_535;

/// Who logs in, and to what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Login {
    /// User name, padded with spaces on the right.
    pub user: [u8; 6],
    /// Password, padded with spaces on the right.
    pub password: [u8; 10],
    /// The session asked for; spaces for the one that is active.
    pub session: [u8; 10],
    /// The first sequence number asked for.
    pub sequence: u64,
}

impl fmt::Debug for Login {
    /// Everything but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &format_args!("{}", self.user.escape_ascii()))
            .field("session", &format_args!("{}", self.session.escape_ascii()))
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// The Login Request (section 2.3.1). The number is written to the right of its field, as Login Accepted does.
    pub fn encode(&self) -> [u8; LOGIN_BYTES] {
        let mut bytes = [b' '; LOGIN_BYTES];
        bytes[..3].copy_from_slice(&[0, 47, b'L']);
        bytes[3..9].copy_from_slice(&self.user);
        bytes[9..19].copy_from_slice(&self.password);
        bytes[19..29].copy_from_slice(&self.session);
        let mut rest = self.sequence;
        for place in bytes[29..].iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        bytes
    }
}

/// Why a login was refused (section 2.2.2, "Login Reject Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginReject {
    /// `A`: wrong user name or password.
    NotAuthorized,
    /// `S`: the session asked for is not available.
    SessionNotAvailable,
    /// A code the specification does not know.
    Other(u8),
}

/// What a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPacket<'a> {
    /// `+`: a text for people, to be ignored.
    Debug(&'a [u8]),
    /// `A`: logged in to `session`; the next sequenced packet has number `sequence`.
    LoginAccepted {
        /// Name of the session.
        session: [u8; 10],
        /// Number of the next sequenced packet.
        sequence: u64,
    },
    /// `J`.
    LoginRejected(LoginReject),
    /// `S`: a message of the session.
    Sequenced(&'a [u8]),
    /// `U`: a message outside the sequence.
    Unsequenced(&'a [u8]),
    /// `H`.
    Heartbeat,
    /// `Z`: the session is over.
    EndOfSession,
}

/// Why bytes are no packet of a server. There is no way to go on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SoupError {
    /// A length of 0, which leaves no room for a type.
    Empty,
    /// A type no server sends.
    UnknownType(u8),
    /// A length that is not the type's.
    WrongLength(u8),
    /// A number that is none.
    BadNumber,
}

impl fmt::Display for SoupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SoupError::Empty => f.write_str("packet without a type"),
            SoupError::UnknownType(letter) => {
                write!(f, "packet of unknown type {}", [*letter].escape_ascii())
            }
            SoupError::WrongLength(letter) => {
                write!(f, "packet of type {} has a wrong length", [*letter].escape_ascii())
            }
            SoupError::BadNumber => f.write_str("packet with a malformed number"),
        }
    }
}

impl std::error::Error for SoupError {}

/// A number written in ASCII digits, with spaces on either side; `None` if it is something else or too large.
pub fn number(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The first packet of `bytes` and how long it is; `None` while it is not all there.
///
/// # Errors
/// A [`SoupError`] as soon as the bytes cannot become a packet.
pub fn decode(bytes: &[u8]) -> Result<Option<(ServerPacket<'_>, usize)>, SoupError> {
    let Some((&length, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(length));
    if length == 0 {
        return Err(SoupError::Empty);
    }
    let Some((&letter, _)) = rest.split_first() else { return Ok(None) };
    check_length(letter, length - 1)?;
    let Some(payload) = rest.get(1..length) else { return Ok(None) };
    let packet = match letter {
        b'+' => ServerPacket::Debug(payload),
        b'A' => login_accepted(payload)?,
        b'J' => ServerPacket::LoginRejected(match payload.first() {
            Some(b'A') => LoginReject::NotAuthorized,
            Some(b'S') => LoginReject::SessionNotAvailable,
            other => LoginReject::Other(other.copied().unwrap_or(0)),
        }),
        b'S' => ServerPacket::Sequenced(payload),
        b'U' => ServerPacket::Unsequenced(payload),
        b'H' => ServerPacket::Heartbeat,
        b'Z' => ServerPacket::EndOfSession,
        other => return Err(SoupError::UnknownType(other)),
    };
    Ok(Some((packet, 2 + length)))
}

/// The payload's length is known with the third byte, and so is whether the type can have it.
fn check_length(letter: u8, payload: usize) -> Result<(), SoupError> {
    let fits = match letter {
        b'+' | b'S' | b'U' => true,
        b'A' => payload == 30,
        b'J' => payload == 1,
        b'H' | b'Z' => payload == 0,
        other => return Err(SoupError::UnknownType(other)),
    };
    if fits { Ok(()) } else { Err(SoupError::WrongLength(letter)) }
}

fn login_accepted(payload: &[u8]) -> Result<ServerPacket<'_>, SoupError> {
    let Some((&session, field)) = payload.split_first_chunk::<10>() else {
        return Err(SoupError::WrongLength(b'A'));
    };
    let sequence = number(field).ok_or(SoupError::BadNumber)?;
    Ok(ServerPacket::LoginAccepted { session, sequence })
}

/// Bytes taken from the stream at once, at most.
const READ_BYTES: usize = 16_384;

/// Packets out of a stream that is read in pieces of any size.
#[derive(Clone)]
pub struct PacketReader {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Where the payload of the last packet is.
    payload: (usize, usize),
}

impl fmt::Debug for PacketReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketReader({} bytes)", self.end - self.start)
    }
}

impl Default for PacketReader {
    fn default() -> PacketReader {
        PacketReader::new()
    }
}

impl PacketReader {
    /// A reader with room for the longest packet and the next read. Allocates here only.
    pub fn new() -> PacketReader {
        let buffer = vec![0; PACKET_BYTES_MAX + READ_BYTES].into_boxed_slice();
        PacketReader { buffer, start: 0, end: 0, payload: (0, 0) }
    }

    /// Where the next bytes of the stream go, once all packets that are complete were taken. Never empty.
    pub fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end, self.payload) = (0, self.end - self.start, (0, 0));
        // An incomplete packet is shorter than the longest, so there is always room for a read.
        let end = self.buffer.len().min(self.end + READ_BYTES);
        &mut self.buffer[self.end..end]
    }

    /// So many bytes were put there.
    ///
    /// # Panics
    /// If that is more than there was room for.
    pub fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.buffer.len() - self.end, "{bytes} bytes were not read here");
        self.end += bytes;
    }

    /// The next packet, if all of it is there.
    ///
    /// # Errors
    /// As [`decode`]; the stream is of no use then.
    #[allow(
        clippy::should_implement_trait,
        reason = "it lends what an iterator would have to give"
    )]
    pub fn next(&mut self) -> Result<Option<ServerPacket<'_>>, SoupError> {
        let found = decode(&self.buffer[self.start..self.end])?;
        Ok(found.map(|(packet, length)| {
            let end = self.start + length;
            self.payload = (self.start + HEAD_BYTES, end);
            self.start = end;
            packet
        }))
    }

    /// The payload of the packet taken last, until the next one is taken or room is made.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[self.payload.0..self.payload.1]
    }

    /// Forgets what was read: another connection begins.
    pub fn clear(&mut self) {
        (self.start, self.end, self.payload) = (0, 0, (0, 0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::sim::prng::SplitMix;

    const ACCEPTED: &[u8] = b"\x00\x1fA   SESSION                   1";

    fn login() -> Login {
        Login { user: *b"user  ", password: *b"secret    ", session: [b' '; 10], sequence: 1 }
    }

    #[test]
    fn a_login_is_these_bytes_and_does_not_tell_its_password() {
        let bytes = login().encode();
        let text = format!("\0\x2fL{:6}{:10}{:10}{:>20}", "user", "secret", "", 1);
        assert_eq!(&bytes[..], text.as_bytes());
        let largest = Login { sequence: u64::MAX, ..login() }.encode();
        assert_eq!(&largest[29..], b"18446744073709551615");
        assert_eq!(number(&largest[29..]), Some(u64::MAX));
        assert!(!format!("{:?}", login()).contains("secret"));
    }

    #[test]
    fn numbers_are_digits_between_spaces() {
        for (field, value) in [
            ("                   1", Some(1)),
            ("1                   ", Some(1)),
            ("00000000000000000012", Some(12)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("                    ", None),
            ("", None),
            ("                 1 2", None),
            ("                  -1", None),
        ] {
            assert_eq!(number(field.as_bytes()), value, "{field:?}");
        }
    }

    #[test]
    fn every_packet_of_a_server_is_read() {
        let packet = |bytes| {
            decode(bytes).expect("sound").map(|(packet, length)| {
                assert_eq!(length, bytes.len());
                packet
            })
        };
        let accepted = ServerPacket::LoginAccepted { session: *b"   SESSION", sequence: 1 };
        assert_eq!(packet(ACCEPTED), Some(accepted));
        for (code, reject) in [
            (b'A', LoginReject::NotAuthorized),
            (b'S', LoginReject::SessionNotAvailable),
            (b'?', LoginReject::Other(b'?')),
        ] {
            let expected = Some(ServerPacket::LoginRejected(reject));
            let bytes = [0, 2, b'J', code];
            assert_eq!(decode(&bytes).expect("sound").map(|(packet, _)| packet), expected);
        }
        assert_eq!(packet(b"\0\x04Sabc"), Some(ServerPacket::Sequenced(b"abc")));
        assert_eq!(packet(b"\0\x01S"), Some(ServerPacket::Sequenced(b"")));
        assert_eq!(packet(b"\0\x03Uab"), Some(ServerPacket::Unsequenced(b"ab")));
        assert_eq!(packet(b"\0\x03+hi"), Some(ServerPacket::Debug(b"hi")));
        assert_eq!(packet(b"\0\x01H"), Some(ServerPacket::Heartbeat));
        assert_eq!(packet(b"\0\x01Z"), Some(ServerPacket::EndOfSession));
    }

    #[test]
    fn what_cannot_become_a_packet_is_refused_at_once() {
        for (bytes, error) in [
            (b"\0\0".as_slice(), SoupError::Empty),
            (b"\0\x02H", SoupError::WrongLength(b'H')),
            (b"\0\x02Z", SoupError::WrongLength(b'Z')),
            (b"\0\x01J", SoupError::WrongLength(b'J')),
            (b"\0\x1eA", SoupError::WrongLength(b'A')),
            (b"\0\x01R", SoupError::UnknownType(b'R')),
            (b"\0\x1fASESSION001                   x", SoupError::BadNumber),
            (b"\0\x1fASESSION001                    ", SoupError::BadNumber),
        ] {
            assert_eq!(decode(bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_packet_cut_anywhere_is_waited_for() {
        for bytes in [ACCEPTED, b"\0\x04Sabc", b"\0\x01H", b"\0\x02JA"] {
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), Ok(None), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_stream_gives_the_same_packets_in_whatever_pieces_it_comes() {
        for seed in 0..40 {
            let mut random = SplitMix::new(seed);
            let (mut stream, mut sent) = (Vec::new(), Vec::new());
            for _ in 0..60 {
                let longest = if random.below(20) == 0 { 65_535 } else { 60 };
                let payload = vec![b'x'; usize::try_from(random.below(longest)).expect("few")];
                let length = u16::try_from(payload.len() + 1).expect("short");
                stream.extend(length.to_be_bytes());
                stream.push(b'S');
                stream.extend(&payload);
                sent.push(payload.len());
            }
            let (mut reader, mut rest, mut got) = (PacketReader::new(), &stream[..], Vec::new());
            while !rest.is_empty() {
                let room = reader.room();
                assert!(!room.is_empty());
                let most = usize::try_from(random.below(20_000)).expect("few") + 1;
                let piece = most.min(room.len()).min(rest.len());
                room[..piece].copy_from_slice(&rest[..piece]);
                reader.filled(piece);
                rest = &rest[piece..];
                while let Some(packet) = reader.next().expect("sound") {
                    let ServerPacket::Sequenced(payload) = packet else { panic!("{packet:?}") };
                    got.push(payload.len());
                }
            }
            assert_eq!(got, sent, "seed {seed}");
        }
    }

    #[test]
    fn any_bytes_are_packets_or_an_error() {
        let mut random = SplitMix::new(5);
        for _ in 0..200_000 {
            let mut bytes: Vec<u8> =
                (0..random.below(40)).map(|_| random.next_u64().to_le_bytes()[3]).collect();
            if let (Some(length), true) = (bytes.first_mut(), random.below(4) > 0) {
                *length = 0;
            }
            if let Ok(Some((_, length))) = decode(&bytes) {
                assert!(length >= HEAD_BYTES && length <= bytes.len());
            }
        }
    }

    /// What a naive reader makes of the first packet: type, payload and length; `None` while it waits, `Err` for no packet.
    fn naive(bytes: &[u8]) -> Result<Option<(u8, Vec<u8>, usize)>, ()> {
        let [high, low, rest @ ..] = bytes else { return Ok(None) };
        let length = 256 * usize::from(*high) + usize::from(*low);
        if length == 0 {
            return Err(());
        }
        let Some(&letter) = rest.first() else { return Ok(None) };
        let sound = match letter {
            b'+' | b'S' | b'U' => true,
            b'A' => length == 31,
            b'J' => length == 2,
            b'H' | b'Z' => length == 1,
            _ => false,
        };
        if !sound {
            return Err(());
        }
        if rest.len() < length {
            return Ok(None);
        }
        let payload = rest[1..length].to_vec();
        let text = String::from_utf8_lossy(payload.get(10..).unwrap_or_default()).into_owned();
        let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{c}']);
        let is_number = !trimmed.starts_with('+') && trimmed.parse::<u64>().is_ok();
        if letter == b'A' && !is_number {
            return Err(());
        }
        Ok(Some((letter, payload, 2 + length)))
    }

    /// A packet's type and payload as they were sent.
    fn sent(packet: ServerPacket<'_>, bytes: &[u8]) -> (u8, Vec<u8>) {
        match packet {
            ServerPacket::Debug(payload) => (b'+', payload.to_vec()),
            ServerPacket::Sequenced(payload) => (b'S', payload.to_vec()),
            ServerPacket::Unsequenced(payload) => (b'U', payload.to_vec()),
            ServerPacket::Heartbeat => (b'H', Vec::new()),
            ServerPacket::EndOfSession => (b'Z', Vec::new()),
            ServerPacket::LoginAccepted { session, sequence } => {
                let field = String::from_utf8_lossy(&bytes[13..33]).trim().to_owned();
                assert_eq!(field.parse(), Ok(sequence));
                (b'A', [&session, &bytes[13..33]].concat())
            }
            ServerPacket::LoginRejected(reject) => (
                b'J',
                vec![match reject {
                    LoginReject::NotAuthorized => b'A',
                    LoginReject::SessionNotAvailable => b'S',
                    LoginReject::Other(code) => code,
                }],
            ),
        }
    }

    proptest! {
        /// Lengths that are right or lie, of types there are and others; numbers that are some and others; cut anywhere.
        #[test]
        fn it_reads_what_a_naive_reader_reads(
            letter in prop_oneof![8 => proptest::sample::select(b"+SUAJHZ".to_vec()), 1 => any::<u8>()],
            payload in proptest::collection::vec(any::<u8>(), 0..40),
            number in "[ 0-9]{20}",
            usual in prop_oneof![3 => Just(true), 1 => Just(false)],
            lie in prop_oneof![6 => Just(0_i32), 1 => -3..4_i32],
            cut in 0..60_usize,
        ) {
            let payload = match letter {
                b'A' if usual => [b"SESSION001".as_slice(), number.as_bytes()].concat(),
                b'J' if usual => vec![payload.first().copied().unwrap_or(b'A')],
                b'H' | b'Z' if usual => Vec::new(),
                _ => payload,
            };
            let length = i32::try_from(payload.len()).expect("short") + 1 + lie;
            let length = u16::try_from(length.max(0)).expect("short");
            let mut bytes = [&length.to_be_bytes()[..], &[letter], &payload, b"\0\x01H"].concat();
            // Mostly whole.
            bytes.truncate(bytes.len() - cut.saturating_sub(40).min(bytes.len()));
            let read = decode(&bytes).map_err(|_| ());
            let read = read.map(|read| read.map(|(packet, length)| {
                let (letter, payload) = sent(packet, &bytes);
                (letter, payload, length)
            }));
            prop_assert_eq!(read, naive(&bytes));
        }
    }
}
