//! One queue of an interface, to receive and send on: the program, the socket, and what is subscribed to.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::net::xdp::bpf::Program;
use crate::net::xdp::error::XdpError;
use crate::net::xdp::mode::{AttachMode, Mode, WantedMode};
use crate::net::xdp::socket::{SocketConfig, UnboundSocket, XdpSocket, wait_for_receivers};
use crate::runtime::memory;

/// Sockets that are made ahead, to bind again when the process has given up the privilege to make them.
const SPARES: usize = 16;

/// How a [`Port`] is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// The socket's.
    pub socket: SocketConfig,
    /// How the program is attached.
    pub mode: WantedMode,
    /// Whether frames are stamped as they come in.
    pub stamps: bool,
}

/// An interface's queue. Dropped, all of its traffic is the kernel's again.
#[derive(Debug)]
pub struct Port {
    program: Arc<Program>,
    config: SocketConfig,
    mode: Mode,
    socket: Option<XdpSocket>,
    spares: Vec<UnboundSocket>,
    flows: BTreeSet<SocketAddrV4>,
    binds: u64,
}

impl Port {
    /// Attaches a program of its own to the interface and binds a socket to the queue, in the mode asked for. Takes a few
    /// milliseconds. Needs `CAP_NET_RAW`, `CAP_NET_ADMIN` and `CAP_BPF`; nothing later does.
    ///
    /// # Errors
    /// What cannot be had, and what to do about it; of [`WantedMode::Auto`] what kept the last mode from being had.
    ///
    /// # Panics
    /// As [`XdpSocket::bind`].
    pub fn open(config: &PortConfig) -> Result<Port, XdpError> {
        let try_mode = |attach: AttachMode, zero_copy: Option<bool>| {
            let socket = SocketConfig { zero_copy, ..config.socket };
            Port::attach(socket, attach, config.stamps)
        };
        match config.mode {
            WantedMode::ZeroCopy => try_mode(AttachMode::Native, Some(true)),
            WantedMode::Native => try_mode(AttachMode::Native, Some(false)),
            WantedMode::Generic => try_mode(AttachMode::Generic, Some(false)),
            WantedMode::Auto => try_mode(AttachMode::Native, None)
                .or_else(|_| try_mode(AttachMode::Generic, Some(false))),
        }
    }

    fn attach(socket: SocketConfig, attach: AttachMode, stamps: bool) -> Result<Port, XdpError> {
        let socket = SocketConfig { stamps, ..socket };
        let unbound = UnboundSocket::new()?;
        let mut program = Program::load(socket.interface, stamps, attach)?;
        program.attach(socket.interface, attach)?;
        Port::bind(Arc::new(program), socket, attach, unbound)
    }

    /// Binds a socket to another queue of the same interface, under the same program. Subscriptions are common to both: a
    /// datagram goes to the queue that the interface chose for it.
    ///
    /// # Errors
    /// As [`Port::open`].
    pub fn beside(&self, queue: u32) -> Result<Port, XdpError> {
        self.beside_with(SocketConfig { queue, ..self.config })
    }

    /// As [`Port::beside`], with a queue, frames and busy polling of its own. Interface, mode and stamps are this port's.
    ///
    /// # Errors
    /// As [`Port::open`].
    pub fn beside_with(&self, config: SocketConfig) -> Result<Port, XdpError> {
        let SocketConfig { interface, zero_copy, stamps, .. } = self.config;
        let config = SocketConfig { interface, zero_copy, stamps, ..config };
        let attach = match self.mode {
            Mode::ZeroCopy | Mode::Native => AttachMode::Native,
            Mode::Generic => AttachMode::Generic,
        };
        Port::bind(Arc::clone(&self.program), config, attach, UnboundSocket::new()?)
    }

    fn bind(
        program: Arc<Program>,
        config: SocketConfig,
        attach: AttachMode,
        unbound: UnboundSocket,
    ) -> Result<Port, XdpError> {
        let socket = XdpSocket::bind(unbound, &config)?;
        program.set_ring(config.queue, socket.as_fd())?;
        memory::will_lock_again(config.umem_bytes());
        let mode = match (attach, socket.is_zero_copy()) {
            (AttachMode::Native, true) => Mode::ZeroCopy,
            (AttachMode::Native, false) => Mode::Native,
            (AttachMode::Generic, _) => Mode::Generic,
        };
        let spares = (0..SPARES).map_while(|_| UnboundSocket::new().ok()).collect();
        let socket = Some(socket);
        Ok(Port { program, config, mode, socket, spares, flows: BTreeSet::new(), binds: 1 })
    }

    /// How frames come in.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How it was made.
    pub const fn config(&self) -> &SocketConfig {
        &self.config
    }

    /// The socket; `None` after a [`Port::rebind`] that failed: the kernel has all traffic then.
    #[inline]
    pub const fn socket(&mut self) -> Option<&mut XdpSocket> {
        self.socket.as_mut()
    }

    /// How often a socket was bound.
    pub const fn binds(&self) -> u64 {
        self.binds
    }

    /// From now on datagrams to `to` come to the queues' sockets.
    ///
    /// # Errors
    /// That the interface has [`FLOWS_MAX`](super::FLOWS_MAX) subscriptions, or what else the kernel says.
    pub fn subscribe(&mut self, to: SocketAddrV4) -> Result<(), XdpError> {
        self.program.subscribe(to, self.config.queue)?;
        self.flows.insert(to);
        Ok(())
    }

    /// From now on they pass to the kernel.
    ///
    /// # Errors
    /// That they are not subscribed to, or what else the kernel says.
    pub fn unsubscribe(&mut self, to: SocketAddrV4) -> Result<(), XdpError> {
        self.flows.remove(&to);
        self.program.unsubscribe(to, self.config.queue)
    }

    /// What is subscribed to through this port.
    pub const fn flows(&self) -> &BTreeSet<SocketAddrV4> {
        &self.flows
    }

    /// The program, for tests of what it lets through.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// From now on what comes in on the queue passes to the kernel. What is on its way to the ring may still arrive there, until
    /// [`Port::settle`] has returned. One system call.
    ///
    /// # Errors
    /// What the kernel says: that it knows of no ring for the queue, as its socket died, or the interface is gone.
    pub fn silence(&self) -> Result<(), XdpError> {
        self.program.clear_ring(self.config.queue)
    }

    /// Waits until what was on its way has arrived: into the rings, or with the kernel. Takes some tens of milliseconds.
    pub fn settle() {
        wait_for_receivers();
    }

    /// Closes the socket, with what is in its rings, and binds a new one to the queue. To be called in the network namespace of the
    /// interface, as whatever makes sockets. Waits for the kernel to give the queue free:
    /// some tens of milliseconds, in which what is subscribed to passes to the kernel. Subscriptions stay.
    ///
    /// # Errors
    /// What keeps it from being bound. The kernel then keeps all traffic, and this can be tried again.
    pub fn bind_again(&mut self) -> Result<(), XdpError> {
        self.socket = None;
        let unbound = UnboundSocket::new().or_else(|error| self.spares.pop().ok_or(error))?;
        let socket = XdpSocket::bind(unbound, &self.config)?;
        self.program.set_ring(self.config.queue, socket.as_fd())?;
        self.socket = Some(socket);
        self.binds += 1;
        Ok(())
    }

    /// Closes the socket and binds a new one to the queue: after the driver has lost it. Until that is done, some tens of
    /// milliseconds, what is subscribed to passes to the kernel. Nothing falls between: first the program sends no more to
    /// the old socket, then `drain` takes what is in it. Subscriptions stay.
    ///
    /// # Errors
    /// As [`Port::bind_again`].
    pub fn rebind(&mut self, drain: impl FnOnce(&mut XdpSocket)) -> Result<(), XdpError> {
        if self.socket.is_some() && self.silence().is_ok() {
            Port::settle();
        }
        self.socket.as_mut().map(drain);
        self.bind_again()
    }
}
