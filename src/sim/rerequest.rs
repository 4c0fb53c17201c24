//! The MoldUDP64 re-request server: messages of the session again, by unicast, to whoever asks.
//!
//! An answer is one packet: of the messages asked for, as many from the first on as there are and as completely fit
//! (MoldUDP64 1.00, "Requested Message Count"). The protocol has no refusal: whoever asks for what is not there, or not any
//! more, hears nothing, and it is counted.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

use crate::net::PacketSink;
use crate::sim::mold_out::{HEADER_BYTES, MoldOut, PACKET_BYTES_LARGEST};

/// Bytes of a request packet (MoldUDP64 1.00, "Request Packet").
pub const REQUEST_BYTES: usize = 20;

/// How requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RerequestConfig {
    /// Where requests are taken.
    pub address: SocketAddrV4,
    /// Requests taken at a look, at most: a flood waits in the socket's buffer and is lost there.
    pub requests_per_poll: u32,
}

impl RerequestConfig {
    /// Two requests at a look: more than a million messages a second again, in a small part of the exchange's time.
    pub const fn at(address: SocketAddrV4) -> RerequestConfig {
        RerequestConfig { address, requests_per_poll: 2 }
    }
}

/// What a server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RerequestCounts {
    /// Requests answered with at least one message.
    pub answered: u64,
    /// Messages in those answers.
    pub messages: u64,
    /// Datagrams that are no request.
    pub malformed: u64,
    /// Requests for another session.
    pub wrong_session: u64,
    /// Requests for no messages, or the first of which is kept no more or not sent yet.
    pub unavailable: u64,
    /// Answers the socket had no room for, or refused, and failures to read.
    pub failed: u64,
}

impl RerequestCounts {
    /// Requests without an answer.
    pub const fn refused(&self) -> u64 {
        self.malformed + self.wrong_session + self.unavailable + self.failed
    }
}

/// A request, as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The session.
    pub session: [u8; 10],
    /// Number of the first message.
    pub sequence: u64,
    /// How many messages.
    pub count: u16,
}

impl Request {
    /// The request in a datagram; `None` if it is none. Any bytes will do.
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let bytes: &[u8; REQUEST_BYTES] = bytes.try_into().ok()?;
        let (session, rest) = bytes.split_first_chunk()?;
        let (sequence, count) = rest.split_first_chunk()?;
        Some(Request {
            session: *session,
            sequence: u64::from_be_bytes(*sequence),
            count: u16::from_be_bytes(count.try_into().ok()?),
        })
    }
}

/// The server. Neither blocks nor allocates once it is bound.
#[derive(Debug)]
pub struct RerequestServer {
    socket: UdpSocket,
    requests_per_poll: u32,
    packet: Box<[u8; PACKET_BYTES_LARGEST]>,
    counts: RerequestCounts,
}

impl RerequestServer {
    /// A server at the address, of which port 0 is any that is free.
    ///
    /// # Errors
    /// What the kernel says, with the address in the message.
    pub fn bind(config: &RerequestConfig) -> io::Result<RerequestServer> {
        let bound = UdpSocket::bind(config.address)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let socket = bound.map_err(|error| {
            io::Error::new(error.kind(), format!("re-requests at {}: {error}", config.address))
        })?;
        Ok(RerequestServer {
            socket,
            requests_per_poll: config.requests_per_poll,
            packet: Box::new([0; PACKET_BYTES_LARGEST]),
            counts: RerequestCounts::default(),
        })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What it did.
    pub fn counts(&self) -> RerequestCounts {
        self.counts
    }

    /// Answers the requests there are, up to the maximum; returns how many it read. One system call where there is none.
    pub fn poll<K: PacketSink>(&mut self, mold: &MoldOut<K>) -> usize {
        let mut read = 0;
        for _ in 0..self.requests_per_poll {
            // One byte more than a request: what is longer is none.
            let mut bytes = [0; REQUEST_BYTES + 1];
            let (length, from) = match self.socket.recv_from(&mut bytes) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.counts.failed += 1;
                    break;
                }
            };
            read += 1;
            match Request::decode(&bytes[..length]) {
                Some(request) => self.answer(request, from, mold),
                None => self.counts.malformed += 1,
            }
        }
        read
    }

    fn answer<K: PacketSink>(&mut self, request: Request, to: SocketAddr, mold: &MoldOut<K>) {
        if request.session != mold.config().session {
            self.counts.wrong_session += 1;
            return;
        }
        let (bytes, count) = self.fill(request, mold);
        if count == 0 {
            self.counts.unavailable += 1;
            return;
        }
        self.packet[..10].copy_from_slice(&request.session);
        self.packet[10..18].copy_from_slice(&request.sequence.to_be_bytes());
        self.packet[18..HEADER_BYTES].copy_from_slice(&count.to_be_bytes());
        match self.socket.send_to(&self.packet[..bytes], to) {
            Ok(_) => {
                self.counts.answered += 1;
                self.counts.messages += u64::from(count);
            }
            // No room is loss, as anywhere on a network: who needs the messages asks again.
            Err(_) => self.counts.failed += 1,
        }
    }

    /// Puts as many of the messages asked for as fit into the packet; returns its length and how many they are.
    fn fill<K: PacketSink>(&mut self, request: Request, mold: &MoldOut<K>) -> (usize, u16) {
        let (mut bytes, mut count) = (HEADER_BYTES, 0);
        while count < request.count {
            let Some(sequence) = request.sequence.checked_add(u64::from(count)) else { break };
            // What is kept but not sent yet is not old: it is about to come to everybody.
            let sent = (sequence < mold.unsent_sequence()).then(|| mold.store().block(sequence));
            let Some(block) = sent.flatten() else { break };
            let end = bytes + block.len();
            if end > mold.config().packet_bytes_max {
                break;
            }
            self.packet[bytes..end].copy_from_slice(block);
            bytes = end;
            count += 1;
        }
        (bytes, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_these_twenty_bytes_and_nothing_else_is() {
        let mut bytes = b"SIMULATION\0\0\0\0\0\0\x01\x02\0\x09".to_vec();
        let request = Request { session: *b"SIMULATION", sequence: 258, count: 9 };
        assert_eq!(Request::decode(&bytes), Some(request));
        for cut in 0..bytes.len() {
            assert_eq!(Request::decode(&bytes[..cut]), None);
        }
        bytes.push(0);
        assert_eq!(Request::decode(&bytes), None);
    }
}
