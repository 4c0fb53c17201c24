//! Asks the kernel about network interfaces over netlink: one question, all its answers. Changes nothing and needs no privilege.
//!
//! Formats: netlink(7), rtnetlink(7); `Documentation/netlink/genetlink.rst`; the answers of each family are read where they are used.

use std::fmt;
use std::io;

use netlink_packet_core::{NetlinkBuffer, NlaBuffer, NlasIterator};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};

const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;
/// `nlctrl`, the family that tells the numbers of the others.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum QueryError {
    /// The kernel's refusal: `EOPNOTSUPP` where the driver does not tell, `ENODEV` where there is no such interface.
    Refused(io::Error),
    /// The socket, or an answer that does not keep to its form.
    Broken(io::Error),
}

impl QueryError {
    /// Whether the interface is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, QueryError::Refused(e) if e.raw_os_error() == Some(libc::ENODEV))
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::Refused(error) => write!(f, "the kernel says: {error}"),
            QueryError::Broken(error) => write!(f, "netlink: {error}"),
        }
    }
}

impl From<io::Error> for QueryError {
    fn from(error: io::Error) -> QueryError {
        QueryError::Broken(error)
    }
}

fn malformed() -> QueryError {
    QueryError::Broken(io::Error::new(io::ErrorKind::InvalidData, "an answer that is cut short"))
}

/// One attribute of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub kind: u16,
    pub value: Vec<u8>,
}

/// The attributes of an answer, or of an attribute that holds others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<Attribute>);

impl Attributes {
    /// Reads them; those after one that does not fit are not there.
    pub fn read(bytes: &[u8]) -> Attributes {
        let all = NlasIterator::new(bytes).map_while(Result::ok);
        let owned =
            |nla: NlaBuffer<&[u8]>| Attribute { kind: nla.kind(), value: nla.value().to_vec() };
        Attributes(all.map(owned).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Attribute> {
        self.0.iter()
    }

    pub fn get(&self, kind: u16) -> Option<&[u8]> {
        let found = self.0.iter().find(|attribute| attribute.kind == kind)?;
        Some(&found.value)
    }

    pub fn nested(&self, kind: u16) -> Attributes {
        self.get(kind).map(Attributes::read).unwrap_or_default()
    }

    pub fn byte(&self, kind: u16) -> Option<u8> {
        self.get(kind)?.first().copied()
    }

    pub fn u16(&self, kind: u16) -> Option<u16> {
        Some(u16::from_ne_bytes(self.get(kind)?.try_into().ok()?))
    }

    pub fn u32(&self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// A number of 8 bytes, or of 4 where the kernel found that enough (`uint` of the netlink specifications).
    pub fn u64(&self, kind: u16) -> Option<u64> {
        let value = self.get(kind)?;
        value.try_into().map(u64::from_ne_bytes).ok().or_else(|| self.u32(kind).map(u64::from))
    }

    /// A text without the zero that ends it.
    pub fn text(&self, kind: u16) -> Option<String> {
        let text = String::from_utf8_lossy(self.get(kind)?);
        Some(text.trim_end_matches('\0').to_owned())
    }
}

/// A question's attributes, encoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Question(Vec<u8>);

impl Question {
    pub fn u32(self, kind: u16, value: u32) -> Question {
        self.bytes(kind, &value.to_ne_bytes())
    }

    pub fn text(self, kind: u16, text: &str) -> Question {
        let ended: Vec<u8> = text.bytes().chain([0]).collect();
        self.bytes(kind, &ended)
    }

    pub fn nested(self, kind: u16, inner: &Question) -> Question {
        self.bytes(kind | NLA_F_NESTED, inner.encoded())
    }

    #[cfg(test)]
    pub fn byte(self, kind: u16, value: u8) -> Question {
        self.bytes(kind, &[value])
    }

    #[cfg(test)]
    pub fn bits(self, kind: u16, value: u64) -> Question {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// As it is sent.
    pub fn encoded(&self) -> &[u8] {
        &self.0
    }

    fn bytes(mut self, kind: u16, value: &[u8]) -> Question {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

/// A netlink socket to the kernel.
pub(super) struct Link {
    socket: Socket,
    sequence: u32,
}

impl Link {
    /// To rtnetlink, which knows interfaces.
    pub fn route() -> Result<Link, QueryError> {
        Link::open(NETLINK_ROUTE)
    }

    /// To the families of generic netlink.
    pub fn generic() -> Result<Link, QueryError> {
        Link::open(NETLINK_GENERIC)
    }

    fn open(protocol: isize) -> Result<Link, QueryError> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Link { socket, sequence: 0 })
    }

    /// Sends a question of this type with the family's own header, and returns what follows the netlink header of each answer.
    pub fn ask(
        &mut self,
        message_type: u16,
        is_dump: bool,
        family_header: &[u8],
        question: &Question,
    ) -> Result<Vec<Vec<u8>>, QueryError> {
        self.sequence += 1;
        let flags = NLM_F_REQUEST | if is_dump { NLM_F_DUMP } else { NLM_F_ACK };
        let length = HEADER_BYTES + family_header.len() + question.encoded().len();
        let mut message = Vec::with_capacity(length);
        message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        message.extend(message_type.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(family_header);
        message.extend(question.encoded());
        self.socket.send(&message, 0)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, from) = self.socket.recv_from_full()?;
            if from.port_number() == 0 && take(&datagram, self.sequence, &mut answers)? {
                return Ok(answers);
            }
        }
    }

    /// The number of a family of generic netlink.
    pub fn family(&mut self, name: &str) -> Result<u16, QueryError> {
        let question = Question::default().text(CTRL_ATTR_FAMILY_NAME, name);
        let answers = self.ask(GENL_ID_CTRL, false, &genl(CTRL_CMD_GETFAMILY), &question)?;
        let answer = answers.first().ok_or_else(malformed)?;
        genl_attributes(answer).u16(CTRL_ATTR_FAMILY_ID).ok_or_else(malformed)
    }

    /// Asks a family of generic netlink, and reads the attributes of its answers.
    pub fn ask_family(
        &mut self,
        family: u16,
        command: u8,
        is_dump: bool,
        question: &Question,
    ) -> Result<Vec<Attributes>, QueryError> {
        let answers = self.ask(family, is_dump, &genl(command), question)?;
        Ok(answers.iter().map(|answer| genl_attributes(answer)).collect())
    }
}

/// The header of generic netlink: command, version 1, nothing.
fn genl(command: u8) -> [u8; 4] {
    [command, 1, 0, 0]
}

fn genl_attributes(answer: &[u8]) -> Attributes {
    Attributes::read(answer.get(4..).unwrap_or_default())
}

/// Takes the answers to `sequence` out of a datagram; whether that was the last.
fn take(datagram: &[u8], sequence: u32, answers: &mut Vec<Vec<u8>>) -> Result<bool, QueryError> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).map_err(|_| malformed())?;
        let length = usize::try_from(message.length()).map_err(|_| malformed())?;
        let (kind, body) = (message.message_type(), message.payload());
        let is_ours = message.sequence_number() == sequence;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        match kind {
            _ if !is_ours => {}
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = body.get(..4).and_then(|code| code.try_into().ok());
                return match i32::from_ne_bytes(code.ok_or_else(malformed)?) {
                    0 => Ok(true),
                    code => {
                        let error = io::Error::from_raw_os_error(code.saturating_neg());
                        Err(QueryError::Refused(error))
                    }
                };
            }
            _ => answers.push(body.to_vec()),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel would send it.
    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + body.len()).expect("short");
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn answers_are_those_to_the_question_up_to_its_end() {
        let end = message(NLMSG_ERROR, 7, &0_i32.to_ne_bytes());
        let datagram = [message(20, 6, b"old"), message(20, 7, b"odd"), message(20, 7, b"even")];
        let mut answers = Vec::new();
        assert!(!take(&datagram.concat(), 7, &mut answers).expect("read"));
        assert!(take(&end, 7, &mut answers).expect("read"));
        assert_eq!(answers, [b"odd".to_vec(), b"even".to_vec()]);
        assert!(take(&message(NLMSG_DONE, 7, &[0; 4]), 7, &mut answers).expect("read"));
    }

    #[test]
    fn a_refusal_is_the_kernels_error() {
        let refused = |code: i32| {
            let datagram = message(NLMSG_ERROR, 1, &(-code).to_ne_bytes());
            take(&datagram, 1, &mut Vec::new()).expect_err("refused")
        };
        assert!(refused(libc::ENODEV).is_absent());
        for code in [libc::EPERM, libc::EOPNOTSUPP] {
            assert!(!refused(code).is_absent());
            let words = io::Error::from_raw_os_error(code).to_string();
            assert!(refused(code).to_string().contains(&words));
        }
        let none = QueryError::from(io::Error::from_raw_os_error(libc::ENODEV));
        assert!(!none.is_absent(), "the socket's own trouble");
    }

    #[test]
    fn whatever_the_bytes_nothing_panics() {
        let whole = [message(20, 1, b"body"), message(NLMSG_ERROR, 1, &[0; 20])].concat();
        for cut in 0..whole.len() {
            let _ = take(&whole[..cut], 1, &mut Vec::new());
            for value in [0, 1, 3, 4, 15, 16, 255] {
                let mut bent = whole.clone();
                bent[cut] = value;
                let _ = take(&bent, 1, &mut Vec::new());
                let _ = Attributes::read(&bent[cut..]);
            }
        }
    }

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let inner = Question::default().text(2, "lo").u32(3, 7);
        let question = Question::default().u32(1, 9).nested(4, &inner).text(5, "");
        let read = Attributes::read(&question.0);
        assert_eq!(read.u32(1), Some(9));
        assert_eq!(read.u64(1), Some(9), "a short number");
        assert_eq!(read.nested(4).text(2).as_deref(), Some("lo"));
        assert_eq!(read.nested(4).u32(3), Some(7));
        assert_eq!(read.text(5).as_deref(), Some(""));
        assert_eq!(
            (read.u32(2), read.u16(1), read.byte(1)),
            (None, None, Some(9_u32.to_ne_bytes()[0]))
        );
        assert_eq!(read.nested(99), Attributes::default());
    }

    #[test]
    fn the_kernel_knows_its_families_and_says_which_it_does_not() {
        let mut link = Link::generic().expect("a socket");
        assert_eq!(link.family("nlctrl").expect("every kernel has it"), GENL_ID_CTRL);
        assert!(matches!(link.family("no-such-family"), Err(QueryError::Refused(_))));
        assert_eq!(link.family("nlctrl").expect("still of use"), GENL_ID_CTRL);
    }
}
