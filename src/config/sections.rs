//! The checked configuration as plain values. What each key does, its unit and its range: `default.toml`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use crate::net::Timestamps;
use crate::net::xdp::WantedMode;
use crate::runtime::layout::Layout;
use crate::session::SessionKey;
use crate::types::{AccountId, ChannelId, InstrumentId, Price, Qty, SessionId, Symbol, VenueId};

/// `[gateway]`: the process as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Name in metrics, journal and threads; 1 to 11 characters.
    pub name: String,
    /// Which agents share a thread.
    pub layout: Layout,
    /// How long a stop waits, in milliseconds.
    pub drain_timeout_ms: u32,
}

/// What a hot thread does when it found no work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// By whether the core is the thread's own.
    Auto,
    /// Looks again at once.
    Spin,
    /// The same with the processor's pause instruction.
    Pause,
    /// Pauses while work keeps coming, then sleeps in short steps.
    Linger,
    /// Offers the core to others.
    Yield,
    /// Sleeps in short steps.
    Park,
}

/// How much something of the machine is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Tried; what is missing is reported.
    Auto,
    /// Refuses to start without.
    Required,
    /// Not tried.
    Off,
}

/// What an allocation in a hot poll does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationGuard {
    /// It is counted.
    Count,
    /// The process ends.
    Abort,
}

/// A core by its number, or `None` for "auto".
pub type Core = Option<u16>;

/// `[runtime]`: threads and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Core of the feed.
    pub feed_core: Core,
    /// Core of entry; in the fused layout of risk and router too.
    pub entry_core: Core,
    /// Core of risk.
    pub risk_core: Core,
    /// Core of the router.
    pub router_core: Core,
    /// Core of an Aeron driver with threads of its own.
    pub driver_core: Core,
    /// Core of all that may be slow.
    pub housekeeping_core: Core,
    /// What the feed does without work.
    pub feed_idle: Idle,
    /// What entry does without work; in the fused layout the whole thread.
    pub entry_idle: Idle,
    /// What risk does without work.
    pub risk_idle: Idle,
    /// What the router does without work.
    pub router_idle: Idle,
    /// Whether memory is locked.
    pub lock_memory: Wanted,
    /// Whether huge pages are used.
    pub huge_pages: Wanted,
    /// A longer duty cycle counts as a stall, in microseconds.
    pub stall_threshold_us: u32,
    /// What an allocation in a hot poll does.
    pub allocation_guard: AllocationGuard,
}

/// Where the Aeron media driver runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverMode {
    /// On our own threads.
    Invoker,
    /// One thread of this process.
    Shared,
    /// Three threads of this process.
    Dedicated,
    /// Another process.
    External,
}

/// `[aeron]`: the media driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aeron {
    /// Where it runs.
    pub driver: DriverMode,
    /// Its folder.
    pub directory: PathBuf,
    /// One of the three term buffers of each publication, in bytes; a power of two.
    pub term_length_bytes: u32,
    /// Largest datagram, in bytes; a multiple of 32.
    pub mtu_bytes: u32,
    /// Without a sign of life the driver is dead after this, in milliseconds.
    pub driver_timeout_ms: u32,
    /// Without a sign of life a client is dead after this, in milliseconds.
    pub client_liveness_ms: u32,
    /// Buffers of each UDP socket, in bytes.
    pub socket_buffer_bytes: u32,
}

/// An Aeron channel and a stream in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// The channel's URI.
    pub channel: String,
    /// The stream, above 0.
    pub stream_id: i32,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stream {}", self.channel, self.stream_id)
    }
}

/// `[entry]`: how strategies reach us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where strategies send.
    pub stream: Stream,
    /// Shortest keepalive interval a strategy may ask for, in milliseconds.
    pub keepalive_ms_min: u32,
    /// Longest, in milliseconds.
    pub keepalive_ms_max: u32,
    /// How far a credential's timestamp may be from our clock, in milliseconds.
    pub timestamp_tolerance_ms: u32,
    /// Reports kept for each session; a power of two.
    pub report_buffer_messages: u32,
}

/// `[[session]]`: a strategy's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// Its name for people.
    pub name: String,
    /// File the key was read from, as written.
    pub key_file: PathBuf,
    /// Its key.
    pub key: SessionKey,
    /// Accounts it may trade for; at least one, all configured.
    pub accounts: Vec<AccountId>,
    /// Where its reports go; no other session's.
    pub reports: Stream,
    /// New orders and replaces in a second.
    pub messages_per_second: u32,
    /// New orders and replaces at once.
    pub burst: u32,
    /// Cancels in a second.
    pub cancels_per_second: u32,
    /// Its orders open at the same time; at most `risk.max_open_orders`.
    pub max_open_orders: u32,
    /// Whether its orders are cancelled when it ends.
    pub cancel_on_disconnect: bool,
    /// Stream of a copy of all market data for it alone; 0: it has none.
    pub market_data_stream_id: i32,
}

/// `[market_data]`: normalised market data for strategies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketData {
    /// Where it goes.
    pub stream: Stream,
    /// Price levels told of each side; 0: best bid and offer only.
    pub depth: u32,
    /// Where snapshots go.
    pub snapshots: Stream,
    /// In which time every instrument has its turn, in milliseconds; 0: there are no snapshots.
    pub snapshot_interval_ms: u32,
}

impl MarketData {
    /// Whether there are snapshots.
    pub const fn has_snapshots(&self) -> bool {
        self.depth > 0 && self.snapshot_interval_ms > 0
    }

    /// Stream `stream_id` of the channel that all market data goes to; `None` for 0.
    pub fn stream_with(&self, stream_id: i32) -> Option<Stream> {
        (stream_id > 0).then(|| Stream { channel: self.stream.channel.clone(), stream_id })
    }
}

/// How fast a capture is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// With the gaps in time it was recorded with.
    Recorded,
    /// As fast as it is read.
    Fast,
}

/// Where a channel's packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The network: kernel UDP sockets, or the queue of an `[[af_xdp]]`.
    Multicast {
        /// Group and port of line A.
        line_a: SocketAddrV4,
        /// Group and port of line B; never line A's.
        line_b: Option<SocketAddrV4>,
        /// Address of the interface to join on.
        interface: Ipv4Addr,
        /// Who stamps packets as they arrive.
        timestamps: Timestamps,
        /// Whether it goes by a queue of its interface that is ours, where there is one.
        bypass: bool,
    },
    /// A file.
    Capture {
        /// The file: as written, relative to the configuration's folder.
        file: PathBuf,
        /// How fast it is read.
        pace: Pace,
    },
    /// Streams of another gateway; only for SBE, which comes from nowhere else.
    Aeron {
        /// Its market data.
        changes: Stream,
        /// Its snapshots; never the same stream.
        snapshots: Option<Stream>,
    },
}

/// What a channel's packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ITCH 5.0 over MoldUDP64.
    Itch50,
    /// IEX DEEP 1.0 over IEX-TP.
    IexDeep,
    /// IEX TOPS 1.6 over IEX-TP.
    IexTops,
    /// The market data that another gateway publishes.
    Sbe,
}

/// `[[channel]]`: a market data feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its number.
    pub id: ChannelId,
    /// Its name for people.
    pub name: String,
    /// What its packets are.
    pub protocol: Protocol,
    /// Where packets come from.
    pub source: Source,
    /// Silence after which its prices are stale, in milliseconds.
    pub stale_after_ms: u32,
    /// Difference of the exchange's time zone to UTC, in minutes, −720 to 840; only for ITCH.
    pub utc_offset_minutes: i16,
    /// How packets out of order are waited for; not for another gateway's market data.
    pub reorder: Reorder,
    /// Where missing messages are asked for again; only for ITCH from multicast.
    pub rerequest: Option<Rerequest>,
    /// Where a snapshot of the books is asked for; only for ITCH from multicast.
    pub glimpse: Option<Glimpse>,
}

/// How a channel waits for packets out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorder {
    /// Packets kept behind a hole before it is a gap.
    pub packets: u32,
    /// How long a hole may be open before it is a gap, in microseconds.
    pub wait_us: u32,
    /// How long a line is waited for that says nothing, in microseconds.
    pub line_wait_us: u32,
    /// Messages that are queued during a recovery, a power of two.
    pub queue_messages: u32,
}

/// A MoldUDP64 re-request server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rerequest {
    /// Its address.
    pub server: SocketAddrV4,
    /// Messages of one request.
    pub messages: u16,
    /// Requests in a second, at most.
    pub per_second: u32,
    /// How long an answer is waited for, in milliseconds.
    pub timeout_ms: u32,
    /// How often a request is sent before the server is given up.
    pub attempts: u32,
    /// The longest gap that is asked for, in messages.
    pub gap_messages: u32,
}

/// A GLIMPSE snapshot server.
#[derive(Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// Its address.
    pub server: SocketAddrV4,
    /// The user that logs in: up to 6 letters or digits.
    pub user: String,
    /// The file the password is read from; `None` for no password.
    pub password_file: Option<PathBuf>,
    /// The password, padded with spaces.
    pub password: [u8; 10],
    /// How long an answer, or any sign of life, is waited for, in milliseconds.
    pub timeout_ms: u32,
    /// How long to wait after a failure, in milliseconds; twice as long after each that follows, up to a minute.
    pub retry_ms: u32,
}

impl fmt::Debug for Glimpse {
    /// Everything but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glimpse")
            .field("server", &self.server)
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("timeout_ms", &self.timeout_ms)
            .field("retry_ms", &self.retry_ms)
            .finish_non_exhaustive()
    }
}

/// Who uses a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfXdpUser {
    /// The feed, for the channels on that interface.
    Feed,
    /// Aeron's media driver.
    Aeron,
}

/// What is done where a queue cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The kernel's sockets do it.
    Kernel,
    /// The gateway does not start.
    Refuse,
}

/// `[[af_xdp]]`: a queue of a network interface, past the kernel's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfXdp {
    /// The interface's name.
    pub interface: String,
    /// Which of its queues; with the interface, no other's.
    pub queue: u32,
    /// Who uses it.
    pub used_by: AfXdpUser,
    /// How frames come; the same for all queues of an interface.
    pub mode: WantedMode,
    /// Frames to receive into: a power of two, 64 to 65536.
    pub receive_frames: u32,
    /// Frames to send from: a power of two, 64 to 65536.
    pub send_frames: u32,
    /// Bytes of a frame: 2048 or 4096.
    pub frame_bytes: u32,
    /// How long the kernel may poll the driver for each of our polls, in microseconds, up to 1000; 0: interrupts do.
    pub busy_poll_us: u32,
    /// What is done where it cannot be had.
    pub fallback: Fallback,
}

impl AfXdp {
    /// The first queue of an interface for the media driver, with all else as by default.
    pub fn for_aeron(interface: &str) -> AfXdp {
        AfXdp {
            interface: interface.to_owned(),
            queue: 0,
            used_by: AfXdpUser::Aeron,
            mode: WantedMode::Auto,
            receive_frames: 4_096,
            send_frames: 1_024,
            frame_bytes: 2_048,
            busy_poll_us: 0,
            fallback: Fallback::Refuse,
        }
    }
}

/// `[[instrument]]`: what may be traded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Its number.
    pub id: InstrumentId,
    /// Its symbol in the feed; unique within the channel.
    pub symbol: Symbol,
    /// Channel its prices come from; configured.
    pub channel: ChannelId,
    /// Venue its orders go to; configured.
    pub venue: VenueId,
    /// Price step; above 0.
    pub tick: Price,
    /// Quantity step.
    pub lot: Qty,
    /// Smallest quantity of an order; a multiple of `lot`.
    pub min_qty: Qty,
    /// Largest quantity of an order; at least `min_qty`.
    pub max_order_qty: Qty,
    /// Largest price times quantity of an order, in units of 1e-9; above 0.
    pub max_order_notional: i128,
    /// Collar in 1/100 of a percent of the reference price; not 0 together with `collar_ticks`.
    pub collar_bps: u32,
    /// Collar in ticks.
    pub collar_ticks: u32,
    /// How much worse than the far side a market order is taken to trade, in 1/100 of a percent; 0 together with
    /// `protection_ticks`: market orders are denied.
    pub protection_bps: u32,
    /// The same in ticks.
    pub protection_ticks: u32,
    /// Stream of its market data alone; 0: the one it shares.
    pub market_data_stream_id: i32,
}

/// `[[account]]`: who trades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name for people.
    pub name: String,
    /// Largest long position in an instrument, open orders included.
    pub max_long: i64,
    /// Largest short position in an instrument, open orders included, as a positive number.
    pub max_short: i64,
    /// Largest quantity of an order.
    pub max_order_qty: Qty,
    /// Largest price times quantity of an order, in units of 1e-9; above 0.
    pub max_order_notional: i128,
}

/// `[[venue]]`: where orders go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Venue {
    /// Its number.
    pub id: VenueId,
    /// Its name for people.
    pub name: String,
    /// Where orders go.
    pub orders: Stream,
    /// Where executions come from.
    pub reports: Stream,
    /// Our session there.
    pub session_id: SessionId,
    /// File the key was read from, as written.
    pub key_file: PathBuf,
    /// Its key.
    pub key: SessionKey,
    /// The keepalive interval we ask for, in milliseconds.
    pub keepalive_ms: u32,
}

/// `[risk]`: limits of the firm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// Orders open at the same time; a power of two.
    pub max_open_orders: u32,
    /// The order with this place in a row of identical ones is denied; at least 2, or 0: none is.
    pub duplicate_count: u32,
    /// Longest pause within a row, in milliseconds.
    pub duplicate_window_ms: u32,
    /// Age at which a price is no reference any more, in milliseconds.
    pub reference_stale_ms: u32,
}

/// `[journal]`: the record of all that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Its folder.
    pub directory: PathBuf,
    /// Size of a segment, in bytes; a power of two.
    pub segment_bytes: u64,
    /// Segments kept ready, the current one included: 2 to 7.
    pub segments_ready: u32,
    /// Free space that has to remain, in bytes.
    pub reserve_bytes: u64,
}

/// `[control]`: people and scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Unix socket.
    pub socket: PathBuf,
    /// Address for HTTP, of this machine; `None` is off.
    pub http: Option<SocketAddrV4>,
}

/// `[telemetry]`: histograms on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Folder of the `.hlog` files; `None` is off.
    pub hlog_directory: Option<PathBuf>,
    /// Seconds between two entries.
    pub interval_s: u32,
}

/// `[feed]`: sizes of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Orders in all books; a power of two.
    pub max_orders: u32,
    /// Levels on each side of a book.
    pub max_levels: u32,
    /// Packets taken in one duty cycle.
    pub poll_budget: u32,
}
