//! How the media driver is run.

use std::path::PathBuf;

use crate::transport::TransportError;

/// Who runs the media driver, and on which threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DriverMode {
    /// Embedded, run by our own thread inside [`crate::transport::Client::service`]: no thread is added.
    #[default]
    Invoker,
    /// Embedded, one thread of its own (`aeron-md-shd`).
    Shared,
    /// Embedded, one thread each for conductor, sender and receiver (`aeron-md-cnd`, `-snd`, `-rcv`), and one that
    /// resolves names (`aeron-md-nra`).
    Dedicated,
    /// Another process's, found in the directory.
    External,
}

/// What a driver thread of its own does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DriverIdle {
    /// Nothing at all: the fastest, for a core of its own.
    Noop,
    /// The processor's pause instruction, for a core of its own.
    Spin,
    /// Yields to the scheduler.
    Yield,
    /// Sleeps about a millisecond.
    Sleep,
    /// Spins, yields, then sleeps from a microsecond up to a millisecond: for a shared core.
    #[default]
    Backoff,
}

/// Cores of the driver's threads, by number; `None` leaves the placing to the scheduler. Without a meaning for
/// [`DriverMode::Invoker`] and [`DriverMode::External`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DriverCores {
    /// The conductor's, and the only one of [`DriverMode::Shared`].
    pub conductor: Option<u8>,
    /// The sender's.
    pub sender: Option<u8>,
    /// The receiver's.
    pub receiver: Option<u8>,
    /// That of the thread that resolves names.
    pub native_resource: Option<u8>,
}

/// How the media driver and its clients are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AeronConfig {
    /// Where the driver keeps its files; on a memory file system such as `/dev/shm`. One driver, one directory.
    pub directory: PathBuf,
    /// Who runs the driver.
    pub mode: DriverMode,
    /// Length of one of a stream's three term buffers in bytes: a power of two, 64 KiB to 1 GiB. A publisher is
    /// back-pressured once half of it is unread.
    pub term_length_bytes: usize,
    /// Longest UDP datagram payload in bytes, 32-byte frame header included: a multiple of 32, 64 to 65504.
    pub mtu_bytes: usize,
    /// Longest IPC frame in bytes, as [`AeronConfig::mtu_bytes`].
    pub ipc_mtu_bytes: usize,
    /// Socket send buffer in bytes; 0 leaves the system's default.
    pub socket_send_bytes: usize,
    /// Socket receive buffer in bytes; 0 leaves the system's default.
    pub socket_receive_bytes: usize,
    /// How much a publisher may send ahead of a UDP subscriber, in bytes. At most the socket receive buffer.
    pub receive_window_bytes: usize,
    /// A driver without a sign of life for so many milliseconds is dead. The client looks eight times as often.
    pub driver_timeout_ms: u64,
    /// A client without a sign of life for so many milliseconds is evicted, with all its streams.
    pub client_liveness_ms: u64,
    /// A UDP publisher or subscriber without a sign of life for so many milliseconds is gone.
    pub image_liveness_ms: u64,
    /// Longest wait of an operation that must be answered by the driver, in milliseconds.
    pub operation_timeout_ms: u64,
    /// What the driver's own threads do when idle.
    pub idle: DriverIdle,
    /// Cores of the driver's own threads.
    pub cores: DriverCores,
    /// Whether a directory that a dead driver left is taken over. A live driver's never is.
    pub delete_on_start: bool,
    /// Whether the directory is removed at the end.
    pub delete_on_shutdown: bool,
    /// Whether clients touch every page of a log buffer when it is mapped, so that no page fault comes later.
    pub pre_touch: bool,
    /// Whether log buffers are sparse files. They then take memory as they are used, and a full file system kills the
    /// process with SIGBUS instead of failing at start.
    pub sparse: bool,
    /// How many log buffers there must be room for at start: one a publication, one more a UDP subscription and
    /// publisher of it.
    pub streams_max: u32,
    /// On a driver of our own thread without UDP channels: it is run once in so many loops. 1 to 1024.
    pub ipc_loops: u32,
}

impl Default for AeronConfig {
    fn default() -> AeronConfig {
        AeronConfig {
            directory: PathBuf::from("/dev/shm/postern"),
            mode: DriverMode::Invoker,
            term_length_bytes: 1 << 20,
            mtu_bytes: 1408,
            ipc_mtu_bytes: 1408,
            socket_send_bytes: 0,
            socket_receive_bytes: 0,
            receive_window_bytes: 128 << 10,
            driver_timeout_ms: 1_000,
            client_liveness_ms: 2_000,
            image_liveness_ms: 2_000,
            operation_timeout_ms: 5_000,
            idle: DriverIdle::Backoff,
            cores: DriverCores::default(),
            delete_on_start: true,
            delete_on_shutdown: true,
            pre_touch: true,
            sparse: false,
            streams_max: 8,
            ipc_loops: 64,
        }
    }
}

/// Bytes of Aeron's frame header, part of every frame (Aeron transport protocol, data frame).
pub(super) const FRAME_HEADER_BYTES: usize = 32;

/// Bytes of the driver's files beside the log buffers: command buffers, counters, error log, loss report; rounded up.
const DRIVER_FILE_BYTES: u64 = 13 << 20;

impl AeronConfig {
    /// The default configuration with this directory.
    pub fn in_directory(directory: impl Into<PathBuf>) -> AeronConfig {
        AeronConfig { directory: directory.into(), ..AeronConfig::default() }
    }

    /// Bytes that must be free in the directory's file system at start.
    pub fn needed_bytes(&self) -> u64 {
        // Three terms and a page of metadata.
        let log_buffer =
            u64::try_from(self.term_length_bytes).unwrap_or(u64::MAX).saturating_mul(3) + 4096;
        DRIVER_FILE_BYTES.saturating_add(log_buffer.saturating_mul(u64::from(self.streams_max)))
    }

    /// How often the driver looks after timeouts and gives its sign of life, in nanoseconds: often enough that no
    /// timeout is late by more than an eighth, nor the word of a publisher's going by more than a quarter of a second.
    pub(super) fn timer_interval_ns(&self) -> u64 {
        let shortest =
            self.driver_timeout_ms.min(self.client_liveness_ms).min(self.image_liveness_ms);
        (shortest * 1_000_000 / 8).clamp(1_000_000, 250_000_000)
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`TransportError::BadSetting`] for the first field that cannot work.
    pub fn check(&self) -> Result<(), TransportError> {
        let bad = |field, why: &str| Err(TransportError::BadSetting { field, why: why.to_owned() });
        if !self.directory.is_absolute() {
            return bad("directory", "must be an absolute path");
        }
        if self.directory.as_os_str().as_encoded_bytes().contains(&0) {
            return bad("directory", "must not hold a zero byte");
        }
        if !self.term_length_bytes.is_power_of_two()
            || !(64 << 10..=1 << 30).contains(&self.term_length_bytes)
        {
            return bad("term_length_bytes", "must be a power of two from 65536 to 1073741824");
        }
        for (field, bytes) in [("mtu_bytes", self.mtu_bytes), ("ipc_mtu_bytes", self.ipc_mtu_bytes)]
        {
            if !bytes.is_multiple_of(FRAME_HEADER_BYTES) || !(64..=65504).contains(&bytes) {
                return bad(field, "must be a multiple of 32 from 64 to 65504");
            }
        }
        if self.receive_window_bytes < self.mtu_bytes {
            return bad("receive_window_bytes", "must be at least mtu_bytes");
        }
        for (field, ms) in [
            ("driver_timeout_ms", self.driver_timeout_ms),
            ("client_liveness_ms", self.client_liveness_ms),
            ("image_liveness_ms", self.image_liveness_ms),
            ("operation_timeout_ms", self.operation_timeout_ms),
        ] {
            if !(10..=600_000).contains(&ms) {
                return bad(field, "must be from 10 to 600000");
            }
        }
        if !(1..=1024).contains(&self.ipc_loops) {
            return bad("ipc_loops", "must be from 1 to 1024");
        }
        Ok(())
    }
}
