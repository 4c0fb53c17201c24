//! What can go wrong while the transport is set up, and why it went down.

use std::fmt;
use std::path::PathBuf;

/// Why a client is down for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// Aeron's 1000: the driver gave no sign of life for longer than its timeout, or shut down.
    DriverTimeout,
    /// Aeron's 1001: the driver evicted this client, which gave no sign of life.
    ClientTimeout,
    /// Aeron's 1002: this client was not serviced for longer than the client liveness timeout.
    ServiceTimeout,
    /// The client's conductor failed with another code of Aeron's.
    Conductor(i32),
    /// A subscriber left more than its maximum of publisher events unread.
    EventsUnread,
}

impl DownReason {
    /// Aeron's code, 1000 to 1002 for the three timeouts; 1 for [`DownReason::EventsUnread`], which is our own.
    pub const fn code(self) -> i32 {
        match self {
            DownReason::DriverTimeout => 1000,
            DownReason::ClientTimeout => 1001,
            DownReason::ServiceTimeout => 1002,
            DownReason::Conductor(code) => code,
            DownReason::EventsUnread => 1,
        }
    }

    /// What happened, and what to do about it, for who configured these timeouts; `is_own`: the driver is run by the thread
    /// that runs the client.
    pub(super) fn advice(
        self,
        driver_timeout_ms: u64,
        client_liveness_ms: u64,
        is_own: bool,
    ) -> String {
        let paused = "Something kept it from running: the machine or this process was paused or suspended, swapped, or its \
                      cores or its disk were busy with others (`postern check` tells what may take a core). What was missed \
                      meanwhile is not known here, so it ends: start it again";
        match self {
            DownReason::DriverTimeout if is_own => format!(
                "this thread, which runs the Aeron driver, did not run for aeron.driver_timeout_ms, {driver_timeout_ms} ms. \
                 {paused}. A larger value of that key bears longer pauses"
            ),
            DownReason::DriverTimeout => format!(
                "{self} for aeron.driver_timeout_ms, {driver_timeout_ms} ms: it died, or did not run. Start it again if it is \
                 another process, then this one"
            ),
            DownReason::ClientTimeout | DownReason::ServiceTimeout if is_own => format!(
                "this thread did not run for aeron.client_liveness_ms, {client_liveness_ms} ms, so that its Aeron client \
                 counts as dead and all its streams are closed. {paused}. A larger value of that key bears \
                 longer pauses, and finds out later that a strategy is dead"
            ),
            DownReason::ClientTimeout | DownReason::ServiceTimeout => format!(
                "this thread did not run for the client liveness timeout of the Aeron driver (aeron.client_liveness_ms, \
                 {client_liveness_ms} ms, or an external driver's aeron.client.liveness.timeout), so that its client counts as \
                 dead and all its streams are closed. {paused}"
            ),
            DownReason::Conductor(_) | DownReason::EventsUnread => self.to_string(),
        }
    }

    /// The reason behind a code of Aeron's error handler, if that code means that the client is closed.
    pub(super) const fn from_code(code: i32) -> Option<DownReason> {
        match code.wrapping_abs() {
            1000 => Some(DownReason::DriverTimeout),
            1001 => Some(DownReason::ClientTimeout),
            1002 => Some(DownReason::ServiceTimeout),
            _ => None,
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownReason::DriverTimeout => f.write_str("the Aeron driver gave no sign of life"),
            DownReason::ClientTimeout => f.write_str("the Aeron driver evicted this client"),
            DownReason::ServiceTimeout => {
                f.write_str("this client was not serviced for longer than its liveness timeout")
            }
            DownReason::Conductor(code) => write!(f, "the Aeron client failed with code {code}"),
            DownReason::EventsUnread => f.write_str("publisher events were left unread"),
        }
    }
}

/// Why the transport could not be started, or a stream not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// A setting cannot work.
    BadSetting {
        /// Which field of the configuration.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A live driver owns the directory.
    DirectoryInUse {
        /// The directory.
        directory: PathBuf,
        /// The process that owns it, as it says.
        pid: i64,
    },
    /// The directory exists, and the configuration forbids to take it over.
    DirectoryExists {
        /// The directory.
        directory: PathBuf,
    },
    /// The file system of the directory has too little room for the log buffers.
    TooLittleMemory {
        /// The directory.
        directory: PathBuf,
        /// Bytes needed for the configured number of streams.
        needed_bytes: u64,
        /// Bytes there are.
        free_bytes: u64,
    },
    /// The file system of the directory cannot be asked.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The embedded driver did not start.
    Driver {
        /// Its directory.
        directory: PathBuf,
        /// What Aeron says.
        why: String,
    },
    /// No client could be made.
    Client {
        /// The driver's directory.
        directory: PathBuf,
        /// What Aeron says.
        why: String,
    },
    /// A stream could not be opened.
    Stream {
        /// The channel as given.
        channel: String,
        /// The stream id as given.
        stream_id: i32,
        /// What Aeron says.
        why: String,
    },
    /// The driver did not answer in time.
    TimedOut {
        /// The channel as given.
        channel: String,
        /// The stream id as given.
        stream_id: i32,
        /// Milliseconds waited.
        waited_ms: u64,
    },
    /// The client is down.
    Down(DownReason),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportError::BadSetting { field, why } => write!(f, "aeron.{field}: {why}"),
            TransportError::DirectoryInUse { directory, pid } => write!(
                f,
                "an Aeron driver (process {pid}) is alive in {}: give this one another directory",
                directory.display()
            ),
            TransportError::DirectoryExists { directory } => {
                write!(f, "{} exists and aeron.delete_on_start is false", directory.display())
            }
            TransportError::TooLittleMemory { directory, needed_bytes, free_bytes } => write!(
                f,
                "{} has {free_bytes} bytes free, Aeron's log buffers need {needed_bytes}: enlarge that file \
                 system, lower aeron.term_length_bytes, or configure fewer sessions and venues, whose streams they are",
                directory.display()
            ),
            TransportError::Directory { directory, why } => {
                write!(f, "{}: {why}", directory.display())
            }
            TransportError::Driver { directory, why } => {
                write!(f, "the Aeron driver in {} did not start: {why}", directory.display())
            }
            TransportError::Client { directory, why } => {
                write!(f, "no Aeron client in {}: {why}", directory.display())
            }
            TransportError::Stream { channel, stream_id, why } => {
                write!(f, "channel `{channel}` stream {stream_id}: {why}")
            }
            TransportError::TimedOut { channel, stream_id, waited_ms } => write!(
                f,
                "channel `{channel}` stream {stream_id}: the driver did not answer within {waited_ms} ms"
            ),
            TransportError::Down(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for TransportError {}

/// Aeron's errors are a line each for code, cause and place; in one line they stay together in a log.
pub(super) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timeout_names_the_key_that_set_it() {
        for is_own in [false, true] {
            let advice = |reason: DownReason| reason.advice(111, 222, is_own);
            let driver = advice(DownReason::DriverTimeout);
            assert!(driver.contains("aeron.driver_timeout_ms, 111 ms"), "{driver}");
            for reason in [DownReason::ClientTimeout, DownReason::ServiceTimeout] {
                let client = advice(reason);
                assert!(client.contains("aeron.client_liveness_ms, 222 ms"), "{client}");
                assert_eq!(client.contains("external driver"), !is_own, "{client}");
            }
            assert_eq!(advice(DownReason::EventsUnread), DownReason::EventsUnread.to_string());
        }
    }
}
