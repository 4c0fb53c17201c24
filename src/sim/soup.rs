//! SoupBinTCP 3.00 packets as a server sees them: reads what a client sends, writes what a server does. Pure and total.

/// Bytes of the length field and the type (sections 2.1 to 2.3: "Packet Length" counts from the type on).
pub const HEAD_BYTES: usize = 3;
/// The longest packet a client is heard with; nothing that makes sense here is longer than a login of 49 bytes.
pub const CLIENT_PACKET_BYTES_MAX: usize = 256;
/// Bytes of a login accepted packet (section 2.2.1).
pub const ACCEPTED_BYTES: usize = HEAD_BYTES + 30;

const LENGTH_BYTES: usize = 2;
const LOGIN_BYTES: usize = 46;

/// A password, padded with spaces on the right. Not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password(pub [u8; 10]);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a client asks to be let in with (section 2.3.1), as it was padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// Username.
    pub user: [u8; 6],
    /// Password.
    pub password: Password,
    /// Session, or blanks for the current one.
    pub session: [u8; 10],
    /// Number of the first message wanted, in digits.
    pub sequence: [u8; 20],
}

impl Login {
    /// The number of the first message wanted; `None` where it is no number.
    pub fn sequence(&self) -> Option<u64> {
        let digits = self.sequence.trim_ascii();
        // `parse` would take a sign, too.
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
    }
}

/// A packet from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPacket<'a> {
    /// `+`, section 2.1: to be ignored.
    Debug(&'a [u8]),
    /// `L`, section 2.3.1.
    Login(Login),
    /// `U`, section 2.3.2.
    Unsequenced(&'a [u8]),
    /// `R`, section 2.3.3.
    Heartbeat,
    /// `O`, section 2.3.4.
    Logout,
}

/// Why bytes are no packet of a client: nothing behind them can be made out either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoupError {
    /// Not even a type.
    NoType,
    /// A type no client sends.
    UnknownType(u8),
    /// Not as long as its type is.
    WrongLength(u8),
    /// Longer than [`CLIENT_PACKET_BYTES_MAX`].
    TooLong,
}

/// The first packet of `bytes` and its length in bytes; `None` while it is not complete.
///
/// # Errors
/// A [`SoupError`], as soon as it can be told.
pub fn next_packet(bytes: &[u8]) -> Result<Option<(ClientPacket<'_>, usize)>, SoupError> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    let total = LENGTH_BYTES + length;
    if length == 0 {
        return Err(SoupError::NoType);
    }
    if total > CLIENT_PACKET_BYTES_MAX {
        return Err(SoupError::TooLong);
    }
    let Some((&kind, payload)) = rest.get(..length).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    let packet = match kind {
        b'+' => ClientPacket::Debug(payload),
        b'U' => ClientPacket::Unsequenced(payload),
        b'L' => ClientPacket::Login(login(payload).ok_or(SoupError::WrongLength(kind))?),
        b'R' if payload.is_empty() => ClientPacket::Heartbeat,
        b'O' if payload.is_empty() => ClientPacket::Logout,
        b'R' | b'O' => return Err(SoupError::WrongLength(kind)),
        _ => return Err(SoupError::UnknownType(kind)),
    };
    Ok(Some((packet, total)))
}

fn login(payload: &[u8]) -> Option<Login> {
    let payload: &[u8; LOGIN_BYTES] = payload.try_into().ok()?;
    let (user, rest) = payload.split_first_chunk()?;
    let (password, rest) = rest.split_first_chunk()?;
    let (session, rest) = rest.split_first_chunk()?;
    let sequence = rest.try_into().ok()?;
    Some(Login { user: *user, password: Password(*password), session: *session, sequence })
}

/// Why a login is rejected (section 2.2.2, "Login Reject Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginReject {
    /// `A`: no such user, or another password.
    NotAuthorized,
    /// `S`: another session, or a message that cannot be begun with.
    SessionNotAvailable,
}

/// A packet from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPacket<'a> {
    /// `A`, section 2.2.1.
    Accepted {
        /// The session.
        session: [u8; 10],
        /// Number of the message that comes next.
        sequence: u64,
    },
    /// `J`, section 2.2.2.
    Rejected(LoginReject),
    /// `S`, section 2.2.3.
    Sequenced(&'a [u8]),
    /// `H`, section 2.2.4.
    Heartbeat,
    /// `Z`, section 2.2.5.
    EndOfSession,
}

impl ServerPacket<'_> {
    /// Adds the packet to `out` if that needs no more memory; `false`: it has no room.
    ///
    /// # Panics
    /// If a message is longer than 65,534 bytes: a bug of ours.
    pub fn put(&self, out: &mut Vec<u8>) -> bool {
        match *self {
            ServerPacket::Accepted { session, sequence } => {
                let mut payload = [0; ACCEPTED_BYTES - HEAD_BYTES];
                payload[..10].copy_from_slice(&session);
                payload[10..].copy_from_slice(&number(sequence));
                put(out, b'A', &payload)
            }
            ServerPacket::Rejected(LoginReject::NotAuthorized) => put(out, b'J', b"A"),
            ServerPacket::Rejected(LoginReject::SessionNotAvailable) => put(out, b'J', b"S"),
            ServerPacket::Sequenced(message) => put(out, b'S', message),
            ServerPacket::Heartbeat => put(out, b'H', b""),
            ServerPacket::EndOfSession => put(out, b'Z', b""),
        }
    }
}

fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) -> bool {
    if out.capacity() - out.len() < HEAD_BYTES + payload.len() {
        return false;
    }
    let length = u16::try_from(1 + payload.len()).expect("messages are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(payload);
    true
}

/// A number as the protocol writes it: digits, padded with spaces on the left.
pub fn number(value: u64) -> [u8; 20] {
    let (mut digits, mut rest, mut at) = ([b' '; 20], value, 20);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
        if rest == 0 {
            return digits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login_bytes() -> Vec<u8> {
        format!("\0\x2FL{:6}{:10}{:10}{:>20}", "sim", "secret", "", 1).into_bytes()
    }

    #[test]
    fn a_login_is_these_bytes() {
        let bytes = login_bytes();
        let expected = Login {
            user: *b"sim   ",
            password: Password(*b"secret    "),
            session: *b"          ",
            sequence: *b"                   1",
        };
        assert_eq!(next_packet(&bytes), Ok(Some((ClientPacket::Login(expected), 49))));
        assert_eq!(expected.sequence(), Some(1));
        assert!(!format!("{expected:?}").contains("115, 101"), "a password is not printed");
        for cut in 0..bytes.len() {
            assert_eq!(next_packet(&bytes[..cut]), Ok(None), "{cut} bytes");
        }
    }

    #[test]
    fn a_number_is_digits_among_spaces() {
        let with = |text: &[u8; 20]| {
            let Ok(Some((ClientPacket::Login(login), _))) = next_packet(&login_bytes()) else {
                panic!("a login");
            };
            Login { sequence: *text, ..login }.sequence()
        };
        assert_eq!(with(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(with(b"0                   "), Some(0));
        assert_eq!(with(b"  00000012          "), Some(12));
        for text in [
            b"18446744073709551616",
            b"                    ",
            b"                  +1",
            b"1 1                 ",
        ] {
            assert_eq!(with(text), None);
        }
        for value in [0, 7, 10, 1_234_567, u64::MAX] {
            assert_eq!(std::str::from_utf8(&number(value)), Ok(format!("{value:>20}").as_str()));
        }
    }

    #[test]
    fn each_type_has_its_length() {
        let (ok, wrong) = (|packet, bytes| Ok(Some((packet, bytes))), SoupError::WrongLength);
        assert_eq!(next_packet(b"\0\x01R\0"), ok(ClientPacket::Heartbeat, 3));
        assert_eq!(next_packet(b"\0\x01O"), ok(ClientPacket::Logout, 3));
        assert_eq!(next_packet(b"\0\x04+hey"), ok(ClientPacket::Debug(b"hey"), 6));
        assert_eq!(next_packet(b"\0\x01U"), ok(ClientPacket::Unsequenced(b""), 3));
        assert_eq!(next_packet(b"\0\x02R "), Err(wrong(b'R')));
        assert_eq!(next_packet(b"\0\x02O "), Err(wrong(b'O')));
        assert_eq!(next_packet(b"\0\x03L  "), Err(wrong(b'L')));
        assert_eq!(next_packet(b"\0\x01S"), Err(SoupError::UnknownType(b'S')));
        assert_eq!(next_packet(b"\0\0"), Err(SoupError::NoType));
        assert_eq!(next_packet(b"\0\xFE+"), Ok(None));
        assert_eq!(next_packet(b"\0\xFF"), Err(SoupError::TooLong));
        assert_eq!(next_packet(b"\xFF\xFF"), Err(SoupError::TooLong));
    }

    #[test]
    fn what_a_server_sends_is_these_bytes_where_there_is_room() {
        let cases: [(ServerPacket<'_>, &[u8]); 6] = [
            (
                ServerPacket::Accepted { session: *b"SIMULATION", sequence: 1 },
                b"\0\x1FASIMULATION                   1",
            ),
            (ServerPacket::Rejected(LoginReject::NotAuthorized), b"\0\x02JA"),
            (ServerPacket::Rejected(LoginReject::SessionNotAvailable), b"\0\x02JS"),
            (ServerPacket::Sequenced(b"xyz"), b"\0\x04Sxyz"),
            (ServerPacket::Heartbeat, b"\0\x01H"),
            (ServerPacket::EndOfSession, b"\0\x01Z"),
        ];
        for (packet, bytes) in cases {
            let mut out = Vec::with_capacity(bytes.len());
            assert!(packet.put(&mut out));
            assert_eq!(out, bytes);
            assert!(!packet.put(&mut out), "no room");
            assert_eq!(out, bytes);
        }
    }

    /// Table first, field by field: against bytes that are mostly packets.
    #[test]
    fn any_bytes_are_what_a_naive_reading_says() {
        let naive = |bytes: &[u8]| -> Result<Option<usize>, ()> {
            let Some(&[high, low]) = bytes.first_chunk::<2>() else { return Ok(None) };
            let length = 256 * usize::from(high) + usize::from(low);
            if !(1..=254).contains(&length) {
                return Err(());
            }
            if bytes.len() < 2 + length {
                return Ok(None);
            }
            let lengths = match bytes[2] {
                b'+' | b'U' => 1..=254,
                b'R' | b'O' => 1..=1,
                b'L' => 47..=47,
                _ => return Err(()),
            };
            if lengths.contains(&length) { Ok(Some(2 + length)) } else { Err(()) }
        };
        let mut random = crate::sim::prng::SplitMix::new(6);
        let mut byte = move |bound| u8::try_from(random.below(bound)).expect("a byte");
        let mut taken = 0;
        for _ in 0..20_000 {
            let mut bytes =
                vec![u8::from(byte(20) == 0), [0, 1, 2, 47, 255, byte(256)][usize::from(byte(6))]];
            bytes.push(b"+ULROSA"[usize::from(byte(7))]);
            bytes.extend((0..byte(70)).map(|_| byte(256)));
            bytes.truncate(usize::from(byte(100)));
            let (read, expected) = (next_packet(&bytes), naive(&bytes));
            assert_eq!(
                read.map(|packet| packet.map(|(_, n)| n)).map_err(|_| ()),
                expected,
                "{bytes:?}"
            );
            taken += u32::from(matches!(expected, Ok(Some(_))));
        }
        assert!(taken > 2_000, "{taken}");
    }
}
