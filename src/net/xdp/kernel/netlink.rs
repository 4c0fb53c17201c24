//! A netlink socket: requests answered at once, and events as they come. Knows messages and attributes, not what they mean.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NlasIterator,
};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto,
    socket_with, sockopt,
};

/// A netlink header (`struct nlmsghdr`, netlink(7)).
const HEADER_BYTES: usize = 16;
/// The kernel fills a dump's parts to 32 KiB at most (`af_netlink.c`); a single message of a link with many functions may be longer.
const BUFFER_BYTES: usize = 1 << 17;
/// An answer is there when the request returns; longer waits are for a kernel that has none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a dump is asked for again that the kernel says changed under way.
const DUMP_COUNT_MAX: usize = 8;

/// A socket of `NETLINK_ROUTE`, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What came of reading all events that were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Drained {
    /// Some were lost for want of room: what they said has to be asked for.
    pub is_overrun: bool,
}

impl Netlink {
    /// A socket for requests.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn for_requests() -> io::Result<Netlink> {
        let netlink = Netlink::open(SocketFlags::CLOEXEC, 0)?;
        let timeout = Some(ANSWER_TIMEOUT);
        sockopt::set_socket_timeout(&netlink.fd, sockopt::Timeout::Recv, timeout)?;
        Ok(netlink)
    }

    /// A socket that hears the multicast groups in the mask `groups`, and keeps about `buffer_bytes` of what was not yet read.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn for_events(groups: u32, buffer_bytes: usize) -> io::Result<Netlink> {
        let netlink = Netlink::open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, groups)?;
        sockopt::set_socket_recv_buffer_size(&netlink.fd, buffer_bytes)?;
        Ok(netlink)
    }

    fn open(flags: SocketFlags, groups: u32) -> io::Result<Netlink> {
        // Protocol 0 is NETLINK_ROUTE.
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Netlink { fd, sequence: 0, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Asks for one thing, or tells one, and gives each message of the answer to `each` with its type and what follows its header.
    ///
    /// # Errors
    /// The kernel's answer, where it is an error; `TimedOut` without one.
    pub(super) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.exchange(kind, flags | NLM_F_ACK, body, &mut each).map(|_is_whole| ())
    }

    /// Asks for all there is of a kind, and adds each message's body to the whole with `each`. Begins anew where the kernel says
    /// that it changed under way.
    ///
    /// # Errors
    /// As [`request`](Netlink::request); `Interrupted` if it never stood still.
    pub(super) fn dump<T: Default>(
        &mut self,
        kind: u16,
        body: &[u8],
        mut each: impl FnMut(&mut T, &[u8]),
    ) -> io::Result<T> {
        for _ in 0..DUMP_COUNT_MAX {
            let mut all = T::default();
            let answer = &mut |_kind: u16, body: &[u8]| each(&mut all, body);
            if self.exchange(kind, NLM_F_DUMP, body, answer)? {
                return Ok(all);
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// Sends a request and reads to the end of its answer; whether nothing changed under way.
    fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = message(kind, flags | NLM_F_REQUEST, self.sequence, body);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::io::retry_on_intr(|| sendto(&self.fd, &message, SendFlags::empty(), &kernel))?;
        let mut is_whole = true;
        loop {
            let Some(bytes) = receive(&self.fd, &mut self.buffer)? else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            let mut end = None;
            each_message(&self.buffer[..bytes], |header, body| {
                if header.sequence_number() != self.sequence || end.is_some() {
                    return; // of an earlier request that was given up
                }
                is_whole &= header.flags() & NLM_F_DUMP_INTR == 0;
                match header.message_type() {
                    NLMSG_DONE | NLMSG_ERROR => end = Some(status(body)),
                    kind => each(kind, body),
                }
            });
            if let Some(end) = end {
                return end.map(|()| is_whole);
            }
        }
    }

    /// Gives every event that is there to `each`. Never blocks.
    ///
    /// # Errors
    /// As the kernel says; lost events are none.
    pub(super) fn events(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<Drained> {
        let mut drained = Drained::default();
        loop {
            match receive(&self.fd, &mut self.buffer) {
                Ok(None) => return Ok(drained),
                Ok(Some(bytes)) => each_message(&self.buffer[..bytes], |header, body| {
                    each(header.message_type(), body);
                }),
                Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                    drained.is_overrun = true;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The next datagram of the kernel's; `None` if there is none. Those of other processes are left out.
fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match recvfrom(fd, &mut *buffer, RecvFlags::TRUNC) {
            Ok((_, bytes, from)) => {
                let sender = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                if sender.is_none_or(|sender| sender.pid() != 0) {
                    continue;
                }
                if bytes > buffer.len() {
                    return Err(Errno::NOBUFS.into()); // as good as lost
                }
                return Ok(Some(bytes));
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let bytes = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(0); // the kernel refuses 0
    let mut message = bytes.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // the kernel knows who asks
    message.extend(body);
    message
}

/// What an acknowledgement or the end of a dump says: 0, or a negative error number.
fn status(body: &[u8]) -> io::Result<()> {
    match body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)) {
        None | Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

/// Every whole message in `bytes`, with what follows its header.
fn each_message(bytes: &[u8], mut each: impl FnMut(&NetlinkBuffer<&[u8]>, &[u8])) {
    let mut rest = bytes;
    while let Ok(message) = NetlinkBuffer::new_checked(rest) {
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        let Some(body) = rest.get(HEADER_BYTES..length) else { return };
        each(&message, body);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
}

/// Every whole attribute in `bytes`: its number, and what it holds.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?.into_inner();
        let kind = u16::from_ne_bytes([*attribute.get(2)?, *attribute.get(3)?]) & 0x3FFF;
        let length = usize::from(u16::from_ne_bytes([*attribute.first()?, *attribute.get(1)?]));
        Some((kind, attribute.get(4..length)?))
    })
}

/// Appends an attribute to a body.
pub(super) fn push_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(0); // the kernel refuses 0
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::prng::SplitMix;

    #[test]
    fn messages_and_attributes_read_back() {
        let mut body = vec![1, 2, 3, 4];
        push_attribute(&mut body, 7, b"odd");
        push_attribute(&mut body, 8, b"");
        let both = [message(20, 0, 5, &body), message(21, 1, 6, &[])].concat();
        let mut seen = Vec::new();
        each_message(&both, |header, body| {
            seen.push((header.message_type(), header.sequence_number(), body.to_vec()));
        });
        assert_eq!(seen, [(20, 5, body.clone()), (21, 6, Vec::new())]);
        let found: Vec<_> = attributes(&body[4..]).collect();
        assert_eq!(found, [(7, &b"odd"[..]), (8, &b""[..])]);
    }

    #[test]
    fn any_bytes_end() {
        let mut random = SplitMix::new(5);
        let mut good = vec![0; 12];
        push_attribute(&mut good, 1, &[10, 0, 0, 1]);
        push_attribute(&mut good, 2, &[1; 6]);
        let good = [message(28, 0, 1, &good), message(28, 0, 2, &good)].concat();
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..random.next_u64() % 6 {
                let [at, value, ..] = random.next_u64().to_le_bytes();
                let at = usize::from(at) % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(bytes.len() - usize::from(random.next_u64().to_le_bytes()[0]) % 40);
            let mut count = 0;
            each_message(&bytes, |_, body| {
                count += 1;
                count += attributes(body.get(12..).unwrap_or(&[])).count();
            });
            assert!(count <= bytes.len());
        }
    }

    #[test]
    fn an_answer_is_an_error_or_none() {
        assert!(status(&[]).is_ok());
        assert!(status(&0_i32.to_ne_bytes()).is_ok());
        let error = status(&(-101_i32).to_ne_bytes()).expect_err("network unreachable");
        assert_eq!(error.raw_os_error(), Some(101));
        assert!(status(&i32::MIN.to_ne_bytes()).is_err());
    }
}
