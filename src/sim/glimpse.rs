//! The GLIMPSE 5.0 server: whoever logs in over SoupBinTCP is told all books as they stand, and where the feed goes on.
//!
//! The snapshot is written into the client's buffer in one go, so that it is of one instant, and sent in pieces. A client that
//! does not read costs its place and nothing else: it is cut off when nothing has gone out to it for a while, or when its
//! buffer has no room. After the snapshot a client hears heartbeats until it logs out.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};

use socket2::SockRef;

use crate::sim::itch_out::{ItchMessage, MESSAGE_BYTES_MAX, SystemEvent};
use crate::sim::matching::Exchange;
use crate::sim::order::BookEvent;
use crate::sim::slab::at;
use crate::sim::soup::{
    ACCEPTED_BYTES, CLIENT_PACKET_BYTES_MAX, ClientPacket, HEAD_BYTES, Login, LoginReject,
    Password, ServerPacket, next_packet, number,
};
use crate::types::{Nanos, Side};

/// The only number a client may begin with (GLIMPSE 5.0, "Architecture").
const SEQUENCE_FIRST: u64 = 1;
/// Bytes offered to a client's socket at a look.
const WRITE_BYTES_MAX: usize = 16 << 10;
/// Bytes that the kernel may hold for a client, of which it takes twice as many: who does not read is soon told apart.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Bytes of heartbeats and the end of the session behind a snapshot.
const SPARE_BYTES: usize = 64;
/// How long a client that was told no may take to hang up, before it is hung up on, in nanoseconds.
const FAREWELL_NS: u64 = 1_000_000_000;
/// Bytes of a snapshot's messages in their packets: system event, directory, trading action, add order, end.
const EVENT_BYTES: usize = HEAD_BYTES + 12;
const INSTRUMENT_BYTES: usize = HEAD_BYTES + 39 + HEAD_BYTES + 25;
const ORDER_BYTES: usize = HEAD_BYTES + 36;
const END_BYTES: usize = HEAD_BYTES + 21;

/// How clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlimpseConfig {
    /// Where clients connect to.
    pub address: SocketAddrV4,
    /// Who may log in, padded with spaces on the right. Case does not matter.
    pub user: [u8; 6],
    /// Its password. Case does not matter.
    pub password: Password,
    /// The session's name: ten letters or digits, padded with spaces on the left.
    pub session: [u8; 10],
    /// Clients at once; one more is hung up on.
    pub clients_max: usize,
    /// Bytes that may wait for a client: see [`GlimpseConfig::buffer_bytes_for`].
    pub buffer_bytes_max: usize,
    /// A heartbeat follows this much silence of the server, in nanoseconds.
    pub heartbeat_ns: u64,
    /// A client logs in within this time, in nanoseconds.
    pub login_ns: u64,
    /// A client silent for this long is cut off, in nanoseconds.
    pub silence_ns: u64,
    /// A client to which nothing went out for this long although something waited is cut off, in nanoseconds.
    pub stall_ns: u64,
}

impl GlimpseConfig {
    /// The times that SoupBinTCP 3.00 names (sections 1.3 and 2.3.1), four clients, and room for the snapshot of
    /// `instruments` with `orders_max` orders.
    pub fn new(
        address: SocketAddrV4,
        user: [u8; 6],
        password: Password,
        instruments: usize,
        orders_max: u32,
    ) -> GlimpseConfig {
        GlimpseConfig {
            address,
            user,
            password,
            session: *b"SIMULATION",
            clients_max: 4,
            buffer_bytes_max: GlimpseConfig::buffer_bytes_for(instruments, orders_max),
            heartbeat_ns: 1_000_000_000,
            login_ns: 30_000_000_000,
            silence_ns: 15_000_000_000,
            stall_ns: 5_000_000_000,
        }
    }

    /// Bytes that a snapshot of so many instruments and orders takes at most, with all that stands around it.
    pub const fn buffer_bytes_for(instruments: usize, orders_max: u32) -> usize {
        #[allow(clippy::as_conversions, reason = "`at` is not const; u32 to usize cannot fail")]
        let orders = orders_max as usize;
        ACCEPTED_BYTES + snapshot_bytes(instruments, orders) + SPARE_BYTES
    }
}

const fn snapshot_bytes(instruments: usize, orders: usize) -> usize {
    EVENT_BYTES + instruments * INSTRUMENT_BYTES + orders * ORDER_BYTES + END_BYTES
}

/// What a server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GlimpseCounts {
    /// Connections taken.
    pub connections: u64,
    /// Connections beyond the maximum, hung up on.
    pub beyond: u64,
    /// Logins rejected.
    pub rejected: u64,
    /// Snapshots written for clients.
    pub snapshots: u64,
    /// Clients hung up on because what they sent is no SoupBinTCP, or nothing they may send.
    pub malformed: u64,
    /// Clients cut off because they did not log in or fell silent.
    pub silent: u64,
    /// Clients cut off because they did not read, or their buffer had no room.
    pub slow: u64,
    /// Clients that logged out.
    pub logouts: u64,
    /// Clients whose connection ended without a word.
    pub lost: u64,
}

/// The exchange as a snapshot tells it.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The books.
    pub exchange: &'a Exchange,
    /// The last milestone of the day.
    pub event: SystemEvent,
    /// Nanoseconds since midnight.
    pub stamp_ns: u64,
    /// Number of the first message of the feed that is not in the books.
    pub sequence: u64,
}

impl Standing<'_> {
    /// Adds the snapshot to `out` if that needs no more memory; `false`: it has no room, and nothing was added.
    fn put(&self, out: &mut Vec<u8>) -> bool {
        let exchange = self.exchange;
        let orders = at(exchange.open_count());
        let bytes = snapshot_bytes(exchange.instruments().len(), orders);
        if out.capacity() - out.len() < bytes {
            return false;
        }
        self.put_message(&ItchMessage::System(self.event), out);
        for instrument in exchange.instruments() {
            self.put_message(&ItchMessage::directory(instrument), out);
        }
        for (instrument, status) in
            (0..).map_while(|i| exchange.status(i).map(|status| (i, status)))
        {
            let event = BookEvent::Status { instrument, status };
            self.put_message(&ItchMessage::of_event(&event, exchange), out);
        }
        for instrument in (0..u16::MAX).take(exchange.instruments().len()) {
            for side in [Side::Buy, Side::Sell] {
                self.put_orders(instrument, side, out);
            }
        }
        let mut end = [0; 21];
        end[0] = b'G';
        end[1..].copy_from_slice(&number(self.sequence));
        assert!(ServerPacket::Sequenced(&end).put(out), "an open order is in a book, once");
        true
    }

    /// The orders of one side, first to trade first.
    fn put_orders(&self, instrument: u16, side: Side, out: &mut Vec<u8>) {
        let exchange = self.exchange;
        for level in exchange.levels(instrument, side) {
            for order in exchange.orders(level) {
                let (reference, qty, price) = (order.reference, order.leaves_qty, level.price);
                let event = BookEvent::Added { instrument, reference, side, qty, price };
                self.put_message(&ItchMessage::of_event(&event, exchange), out);
            }
        }
    }

    fn put_message(&self, message: &ItchMessage, out: &mut Vec<u8>) {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let length = message.encode(self.stamp_ns, &mut bytes);
        assert!(ServerPacket::Sequenced(&bytes[..length]).put(out), "the room was counted before");
    }
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Connected, not logged in.
    Waiting,
    /// Logged in.
    Ready,
    /// Told no, or that the session is over: what is left is sent, and it is waited for its hanging up.
    Leaving,
}

/// Why a client is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Malformed,
    Silent,
    Slow,
    Logout,
    Lost,
    /// It hung up after it was told no.
    Farewell,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    stage: Stage,
    is_shut: bool,
    /// When this stage began.
    since: Nanos,
    /// When the client was heard last.
    heard_at: Nanos,
    /// When something was said to it last.
    said_at: Nanos,
    /// When something went out to it last, or began to wait.
    moved_at: Nanos,
}

/// A place for a client, with its buffers.
#[derive(Debug)]
struct Place {
    connection: Option<Connection>,
    inbox: Box<[u8; CLIENT_PACKET_BYTES_MAX]>,
    inbox_bytes: usize,
    out: Vec<u8>,
    /// Bytes of `out` that have gone out.
    out_sent: usize,
}

/// The server. Neither blocks nor allocates once it is bound.
#[derive(Debug)]
pub struct GlimpseServer {
    config: GlimpseConfig,
    listener: TcpListener,
    places: Vec<Place>,
    counts: GlimpseCounts,
}

impl GlimpseServer {
    /// A server at the address, of which port 0 is any that is free.
    ///
    /// # Errors
    /// What the kernel says, with the address in the message.
    pub fn bind(config: GlimpseConfig) -> io::Result<GlimpseServer> {
        let bound = TcpListener::bind(config.address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        let listener = bound.map_err(|error| {
            io::Error::new(error.kind(), format!("snapshots at {}: {error}", config.address))
        })?;
        let place = |_| Place {
            connection: None,
            inbox: Box::new([0; CLIENT_PACKET_BYTES_MAX]),
            inbox_bytes: 0,
            out: Vec::with_capacity(config.buffer_bytes_max),
            out_sent: 0,
        };
        let places = (0..config.clients_max).map(place).collect();
        Ok(GlimpseServer { config, listener, places, counts: GlimpseCounts::default() })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What it did.
    pub fn counts(&self) -> GlimpseCounts {
        self.counts
    }

    /// Clients connected now.
    pub fn client_count(&self) -> usize {
        self.places.iter().filter(|place| place.connection.is_some()).count()
    }

    /// Takes one new client, and hears and serves each; returns how much it did. `standing` is the exchange now.
    pub fn poll(&mut self, now: Nanos, standing: &Standing<'_>) -> usize {
        let mut work = self.accept(now);
        let GlimpseServer { config, places, counts, .. } = self;
        for place in places {
            match place.serve(now, config, standing, counts) {
                Ok(done) => work += done,
                Err(end) => {
                    work += 1;
                    place.leave();
                    counts.note(end);
                }
            }
        }
        work
    }

    /// Tells every client that the session is over, as far as its socket has room, and hangs up.
    pub fn end_session(&mut self) {
        for place in &mut self.places {
            let stage = place.connection.as_ref().map(|connection| connection.stage);
            // A client with half a snapshot before it knows by the lack of its end that it has not all of it.
            if stage == Some(Stage::Ready) && ServerPacket::EndOfSession.put(&mut place.out) {
                let _ = place.write(Nanos(0));
            }
            place.leave();
        }
    }

    fn accept(&mut self, now: Nanos) -> usize {
        // An error is a client that has gone again, or a lack of descriptors that may pass.
        let Ok((stream, _)) = self.listener.accept() else { return 0 };
        let free = self.places.iter_mut().find(|place| place.connection.is_none());
        let settled = stream
            .set_nonblocking(true)
            .and_then(|()| SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES));
        let (Some(place), Ok(())) = (free, settled) else {
            self.counts.beyond += 1;
            return 1;
        };
        self.counts.connections += 1;
        place.connection = Some(Connection {
            stream,
            stage: Stage::Waiting,
            is_shut: false,
            since: now,
            heard_at: now,
            said_at: now,
            moved_at: now,
        });
        1
    }
}

impl GlimpseCounts {
    /// Clients that got no snapshot, or were cut off.
    pub const fn refused(&self) -> u64 {
        self.beyond + self.rejected + self.malformed + self.silent + self.slow
    }

    fn note(&mut self, end: End) {
        match end {
            End::Malformed => self.malformed += 1,
            End::Silent => self.silent += 1,
            End::Slow => self.slow += 1,
            End::Logout => self.logouts += 1,
            End::Lost => self.lost += 1,
            End::Farewell => {}
        }
    }
}

impl Place {
    /// Hears the client, answers, and sends what waits.
    fn serve(
        &mut self,
        now: Nanos,
        config: &GlimpseConfig,
        standing: &Standing<'_>,
        counts: &mut GlimpseCounts,
    ) -> Result<usize, End> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        if connection.stage == Stage::Leaving {
            return self.see_off(now);
        }
        let heard = self.read(now)?;
        while let Some((packet, bytes)) =
            next_packet(&self.inbox[..self.inbox_bytes]).map_err(|_| End::Malformed)?
        {
            let login = self.stage_on(&packet)?;
            self.inbox.copy_within(bytes..self.inbox_bytes, 0);
            self.inbox_bytes -= bytes;
            if let Some(login) = login {
                self.answer(now, &login, config, standing, counts)?;
            }
        }
        self.check_time(now, config)?;
        let sent = self.write(now)?;
        Ok(usize::from(heard + sent > 0))
    }

    /// What a packet means at this stage: a login to be answered, nothing, or the end.
    fn stage_on(&self, packet: &ClientPacket<'_>) -> Result<Option<Login>, End> {
        let stage = self.connection.as_ref().map(|connection| connection.stage);
        match (packet, stage) {
            (ClientPacket::Debug(_), _) => Ok(None),
            (ClientPacket::Login(login), Some(Stage::Waiting)) => Ok(Some(*login)),
            // Said after a login that was rejected, before its client heard of it.
            (_, Some(Stage::Leaving)) => Ok(None),
            (ClientPacket::Heartbeat, Some(Stage::Ready)) => Ok(None),
            (ClientPacket::Logout, _) => Err(End::Logout),
            (
                ClientPacket::Login(_) | ClientPacket::Heartbeat | ClientPacket::Unsequenced(_),
                _,
            ) => Err(End::Malformed),
        }
    }

    fn answer(
        &mut self,
        now: Nanos,
        login: &Login,
        config: &GlimpseConfig,
        standing: &Standing<'_>,
        counts: &mut GlimpseCounts,
    ) -> Result<(), End> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        (connection.since, connection.said_at, connection.moved_at) = (now, now, now);
        if let Err(reject) = judge(login, config) {
            counts.rejected += 1;
            connection.stage = Stage::Leaving;
            return room(ServerPacket::Rejected(reject).put(&mut self.out));
        }
        connection.stage = Stage::Ready;
        let accepted = ServerPacket::Accepted { session: config.session, sequence: SEQUENCE_FIRST };
        room(accepted.put(&mut self.out) && standing.put(&mut self.out))?;
        counts.snapshots += 1;
        Ok(())
    }

    /// Cuts off who is silent or does not read; says that we are there where nothing else was said.
    fn check_time(&mut self, now: Nanos, config: &GlimpseConfig) -> Result<(), End> {
        let is_waiting = self.out_sent < self.out.len();
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if connection.stage == Stage::Waiting && now.since(connection.since) >= config.login_ns {
            return Err(End::Silent);
        }
        if connection.stage != Stage::Ready {
            return Ok(());
        }
        if now.since(connection.heard_at) >= config.silence_ns {
            return Err(End::Silent);
        }
        if is_waiting && now.since(connection.moved_at) >= config.stall_ns {
            return Err(End::Slow);
        }
        if !is_waiting && now.since(connection.said_at) >= config.heartbeat_ns {
            (connection.said_at, connection.moved_at) = (now, now);
            return room(ServerPacket::Heartbeat.put(&mut self.out));
        }
        Ok(())
    }

    /// Sends what is left and waits for the client to hang up: a socket that is closed on a client who is still talking
    /// takes back what it was told.
    fn see_off(&mut self, now: Nanos) -> Result<usize, End> {
        let sent = self.write(now)?;
        let is_told = self.out_sent == self.out.len();
        let Some(connection) = &mut self.connection else { return Ok(0) };
        if now.since(connection.since) >= FAREWELL_NS {
            return Err(End::Farewell);
        }
        if is_told && !connection.is_shut {
            connection.is_shut = true;
            connection.stream.shutdown(Shutdown::Write).map_err(|_| End::Farewell)?;
        }
        // Nothing that it says matters any more.
        self.inbox_bytes = 0;
        let heard = self.read(now).map_err(|_| End::Farewell)?;
        self.inbox_bytes = 0;
        Ok(usize::from(heard + sent > 0))
    }

    /// Reads once; returns how many bytes.
    fn read(&mut self, now: Nanos) -> Result<usize, End> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        // A whole packet fits, and whole ones have been taken out: there is room.
        match connection.stream.read(&mut self.inbox[self.inbox_bytes..]) {
            Ok(0) => Err(End::Lost),
            Ok(bytes) => {
                self.inbox_bytes += bytes;
                connection.heard_at = now;
                Ok(bytes)
            }
            Err(error) if is_passing(&error) => Ok(0),
            Err(_) => Err(End::Lost),
        }
    }

    /// Writes once; returns how many bytes.
    fn write(&mut self, now: Nanos) -> Result<usize, End> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let waiting = &self.out[self.out_sent..];
        if waiting.is_empty() {
            return Ok(0);
        }
        match connection.stream.write(&waiting[..waiting.len().min(WRITE_BYTES_MAX)]) {
            Ok(bytes) => {
                self.out_sent += bytes;
                (connection.moved_at, connection.said_at) = (now, now);
                if self.out_sent == self.out.len() {
                    self.out.clear();
                    self.out_sent = 0;
                }
                Ok(bytes)
            }
            Err(error) if is_passing(&error) => Ok(0),
            Err(_) => Err(End::Lost),
        }
    }

    fn leave(&mut self) {
        self.connection = None;
        self.inbox_bytes = 0;
        self.out.clear();
        self.out_sent = 0;
    }
}

/// Nothing now, maybe later.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn room(is_put: bool) -> Result<(), End> {
    if is_put { Ok(()) } else { Err(End::Slow) }
}

/// Whether a login is good (SoupBinTCP 3.00 section 2.3.1).
fn judge(login: &Login, config: &GlimpseConfig) -> Result<(), LoginReject> {
    let same = |a: &[u8], b: &[u8]| a.trim_ascii().eq_ignore_ascii_case(b.trim_ascii());
    if !same(&login.user, &config.user) || !same(&login.password.0, &config.password.0) {
        return Err(LoginReject::NotAuthorized);
    }
    let asked = login.session.trim_ascii();
    let is_current = asked.is_empty() || asked == config.session.trim_ascii();
    if !is_current || login.sequence() != Some(SEQUENCE_FIRST) {
        return Err(LoginReject::SessionNotAvailable);
    }
    Ok(())
}
