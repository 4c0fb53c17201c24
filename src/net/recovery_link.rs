//! The way to the servers that make good what multicast lost: datagrams to ask with, and a byte stream.
//!
//! For the cold path of a thread that must not wait: every call returns at once, and whatever the kernel says against it
//! is an answer that did not come or a connection that is gone. The feed knows the trait alone.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// What became of a connection since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// Nothing new.
    Idle,
    /// It stands now.
    Connected,
    /// So many bytes came.
    Received(usize),
    /// It is gone, or could not be made.
    Closed,
}

/// The servers that serve one channel. Nothing blocks or allocates.
pub trait RecoveryLink: fmt::Debug + Send {
    /// Sends a datagram to the re-request server; what gets lost is asked for again.
    fn request(&mut self, packet: &[u8]);

    /// The next datagram from it: its bytes are put into `room`, whose length they may not exceed.
    fn reply(&mut self, room: &mut [u8]) -> Option<usize>;

    /// Begins to connect to the snapshot server, in place of any connection there is.
    fn connect(&mut self);

    /// Looks at the connection; bytes received are put into `room`.
    fn stream(&mut self, room: &mut [u8]) -> StreamState;

    /// Sends bytes to the snapshot server: all of them or, with `false`, the connection is of no use any more.
    fn send(&mut self, bytes: &[u8]) -> bool;

    /// Closes the connection, if there is one.
    fn close(&mut self);
}

/// Through the kernel.
#[derive(Debug)]
pub struct KernelRecoveryLink {
    requests: Option<UdpSocket>,
    snapshots: Option<SockAddr>,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    socket: Socket,
    is_connected: bool,
}

impl KernelRecoveryLink {
    /// A link to the servers there are. The socket for requests is opened here, connections later.
    ///
    /// # Errors
    /// What the kernel says, with the server's address in the message.
    pub fn new(
        rerequest: Option<SocketAddrV4>,
        snapshot: Option<SocketAddrV4>,
    ) -> io::Result<KernelRecoveryLink> {
        let requests = rerequest.map(|server| {
            request_socket(server).map_err(|error| {
                io::Error::new(error.kind(), format!("re-request server {server}: {error}"))
            })
        });
        Ok(KernelRecoveryLink {
            requests: requests.transpose()?,
            snapshots: snapshot.map(SockAddr::from),
            stream: None,
        })
    }

    fn open(&self) -> io::Result<Stream> {
        let server = self.snapshots.as_ref().ok_or(ErrorKind::AddrNotAvailable)?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(server) {
            Err(error) if !is_under_way(&error) => Err(error),
            // Whatever came of it is told by the first look at it.
            Ok(()) | Err(_) => Ok(Stream { socket, is_connected: false }),
        }
    }
}

/// A socket that sends to `server` and hears it alone.
fn request_socket(server: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    Ok(socket)
}

fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS) || is_nothing_now(error)
}

fn is_nothing_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Stream {
    /// Whether the connection stands by now: it does when it has no error and knows its peer.
    fn is_up(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn look(&mut self, room: &mut [u8]) -> io::Result<StreamState> {
        if !self.is_connected {
            self.is_connected = self.is_up()?;
            let state = if self.is_connected { StreamState::Connected } else { StreamState::Idle };
            return Ok(state);
        }
        match self.socket.read(room) {
            Ok(0) => Ok(StreamState::Closed),
            Ok(bytes) => Ok(StreamState::Received(bytes)),
            Err(error) if is_nothing_now(&error) => Ok(StreamState::Idle),
            Err(error) => Err(error),
        }
    }
}

impl RecoveryLink for KernelRecoveryLink {
    fn request(&mut self, packet: &[u8]) {
        if let Some(socket) = &self.requests {
            // A server that is not there is told by the kernel here; it is asked again all the same.
            let _ = socket.send(packet);
        }
    }

    fn reply(&mut self, room: &mut [u8]) -> Option<usize> {
        self.requests.as_ref()?.recv(room).ok()
    }

    fn connect(&mut self) {
        self.stream = self.open().ok();
    }

    fn stream(&mut self, room: &mut [u8]) -> StreamState {
        let Some(stream) = &mut self.stream else { return StreamState::Closed };
        let state = stream.look(room).unwrap_or(StreamState::Closed);
        if state == StreamState::Closed {
            self.stream = None;
        }
        state
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        // Logins and heartbeats are short and few: a kernel with no room for them has a peer that reads nothing.
        let sent = self.stream.as_mut().map(|stream| stream.socket.write(bytes));
        matches!(sent, Some(Ok(count)) if count == bytes.len())
    }

    fn close(&mut self) {
        self.stream = None;
    }
}
