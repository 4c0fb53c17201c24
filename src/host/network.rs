//! Socket buffers.

use crate::host::Conclusion;
use crate::host::probe::{Probe, bytes_text};

pub(super) fn receive_buffer(probe: &Probe<'_>) -> Conclusion {
    buffer(probe, "rmem_max", probe.wants.receive_buffer_bytes)
}

pub(super) fn send_buffer(probe: &Probe<'_>) -> Conclusion {
    buffer(probe, "wmem_max", probe.wants.send_buffer_bytes)
}

/// The kernel cuts a larger wish down without a word (socket(7)), and Aeron refuses to start.
fn buffer(probe: &Probe<'_>, name: &str, wanted: u64) -> Conclusion {
    match probe.number::<u64>(format!("proc/sys/net/core/{name}")) {
        Some(max) if max >= wanted => {
            Conclusion::ok(format!("{} allowed, {} wanted", bytes_text(max), bytes_text(wanted)))
        }
        Some(max) => Conclusion::fail(
            format!("{} allowed, {} wanted", bytes_text(max), bytes_text(wanted)),
            format!("sudo sysctl net.core.{name}={wanted}"),
        ),
        None => Conclusion::warn("unknown", "mount /proc"),
    }
}
