//! Why AF_XDP cannot be had, with what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddrV4;

use crate::net::xdp::mode::AttachMode;
use crate::runtime::capabilities::{self, Capability};

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making a socket of the family.
    Socket,
    /// Making the memory for frames.
    Memory,
    /// Giving it to the kernel.
    Umem,
    /// Making a ring.
    RingMemory,
    /// Binding the socket to an interface's queue.
    Bind(u32),
    /// Making the maps.
    Maps,
    /// Loading the program.
    Program,
    /// Attaching it.
    Attach(AttachMode),
    /// Changing a subscription.
    Flow(SocketAddrV4),
    /// Directing a queue to its ring.
    Ring(u32),
}

/// Why AF_XDP cannot be had: one line that says what to do.
#[derive(Debug)]
pub struct XdpError {
    step: Step,
    error: io::Error,
    /// What the process lacks of what AF_XDP needs, where the kernel refused for want of a privilege.
    missing: Vec<Capability>,
}

impl XdpError {
    pub(super) fn new(step: Step, error: io::Error) -> XdpError {
        // Which one a call wants is not always the one its name suggests, so all that are missing are told.
        let is_refused = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
        let mut missing = if is_refused { Capability::missing() } else { Vec::new() };
        missing.retain(|one| *one != Capability::IpcLock);
        XdpError { step, error, missing }
    }

    /// What was being done.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// What the kernel said.
    pub const fn cause(&self) -> &io::Error {
        &self.error
    }

    /// What to do about it, where that can be told from what the kernel said.
    fn advice(&self) -> Option<&'static str> {
        let code = self.error.raw_os_error()?;
        Some(match (self.step, code) {
            (Step::Socket, libc::EAFNOSUPPORT) => "the kernel has no AF_XDP (CONFIG_XDP_SOCKETS)",
            (Step::Umem, libc::ENOBUFS) => {
                "more than RLIMIT_MEMLOCK allows: raise LimitMEMLOCK or give CAP_IPC_LOCK"
            }
            (Step::Attach(_), libc::EBUSY | libc::EEXIST) => {
                "another program is attached: `ip link show` names it"
            }
            (Step::Attach(_) | Step::Bind(_), libc::EOPNOTSUPP) => "the driver cannot",
            (Step::Attach(_), libc::EINVAL | libc::ERANGE) => {
                "the driver cannot as it is set up: its MTU may be too large, or LRO on"
            }
            (Step::Bind(_), libc::EBUSY) => "another socket has the queue",
            (Step::Bind(_), libc::EINVAL) => "the interface has no such queue",
            (Step::Bind(_), libc::ENETDOWN) => "the interface is down",
            (Step::Flow(_), libc::E2BIG) => {
                "there are as many subscriptions as an interface can have"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for XdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Socket => f.write_str("no AF_XDP socket"),
            Step::Memory => f.write_str("no memory for frames"),
            Step::Umem => f.write_str("the kernel does not take the memory for frames"),
            Step::RingMemory => f.write_str("no memory for a ring"),
            Step::Bind(queue) => write!(f, "the socket cannot be bound to queue {queue}"),
            Step::Maps => f.write_str("the program's maps cannot be made"),
            Step::Program => f.write_str("the program cannot be loaded"),
            Step::Attach(mode) => write!(f, "the program cannot be attached in {mode} mode"),
            Step::Flow(to) => write!(f, "the subscription to {to} cannot be changed"),
            Step::Ring(queue) => write!(f, "queue {queue} cannot be directed to its ring"),
        }?;
        if !self.missing.is_empty() {
            let names = capabilities::names(&self.missing);
            return write!(f, ": missing: {names} ({})", self.error);
        }
        match self.advice() {
            Some(advice) => write!(f, ": {advice} ({})", self.error),
            None => write!(f, ": {}", self.error),
        }
    }
}

impl std::error::Error for XdpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do() {
        let text = |step, code| XdpError::new(step, io::Error::from_raw_os_error(code)).to_string();
        let lacking = XdpError {
            step: Step::Socket,
            error: io::Error::from_raw_os_error(libc::EPERM),
            missing: vec![Capability::NetAdmin, Capability::NetRaw],
        };
        let lacking = lacking.to_string();
        let begins = "no AF_XDP socket: missing: CAP_NET_ADMIN";
        assert!(lacking.starts_with(begins) && lacking.contains("CAP_NET_RAW"), "{lacking}");
        let umem = text(Step::Umem, libc::ENOBUFS);
        assert!(umem.contains("CAP_IPC_LOCK"), "{umem}");
        let bind = text(Step::Bind(3), libc::EINVAL);
        assert!(bind.contains("queue 3") && bind.contains("no such queue"), "{bind}");
        let attach = text(Step::Attach(AttachMode::Native), libc::EEXIST);
        assert!(attach.contains("native mode: another program"), "{attach}");
        let other = text(Step::Memory, libc::ENOMEM);
        assert_eq!(other.matches(':').count(), 1, "{other}");
    }
}
