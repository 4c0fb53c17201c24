//! The kernel's sockets behind a ring: they hold the membership of the groups and take what comes another way. No call is made to them
//! while they have nothing.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll;

use crate::net::source::{DatagramHandler, PacketSource, Polled};
use crate::net::udp::{KernelUdpSource, UdpSourceConfig};
use crate::net::xdp::kernel::{SocketFlag, Watcher};
use crate::types::ChannelId;

/// Sockets of one way of being opened.
#[derive(Debug)]
struct Sockets {
    config: UdpSourceConfig,
    source: KernelUdpSource,
    count: usize,
}

/// The kernel's sockets of an interface's channels. All of them are in one epoll instance, and that is what is watched: whether any has
/// something is one load.
#[derive(Debug)]
pub(super) struct Cover {
    sockets: Vec<Sockets>,
    /// The one to read from next.
    next: usize,
    all: OwnedFd,
    flag: Arc<SocketFlag>,
    /// Whether they are to be read although the flag says nothing: they were not read to their end, or the flag may be behind.
    is_due: bool,
    datagrams: u64,
}

impl Cover {
    /// # Errors
    /// As the kernel says, for want of descriptors.
    pub(super) fn new(watcher: &Watcher) -> io::Result<Cover> {
        let all = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flag = watcher.watch_socket(all.as_fd())?;
        Ok(Cover { sockets: Vec::new(), next: 0, all, flag, is_due: true, datagrams: 0 })
    }

    /// Opens a socket for a line.
    ///
    /// # Errors
    /// As of [`KernelUdpSource::subscribe`].
    pub(super) fn subscribe(
        &mut self,
        config: UdpSourceConfig,
        group: SocketAddrV4,
        channel: ChannelId,
        line: u8,
    ) -> io::Result<()> {
        let place = self.sockets.iter().position(|sockets| sockets.config == config);
        let place = place.unwrap_or_else(|| {
            let source = KernelUdpSource::new(config);
            self.sockets.push(Sockets { config, source, count: 0 });
            self.sockets.len() - 1
        });
        let sockets = &mut self.sockets[place];
        sockets.source.subscribe(group, channel, line)?;
        sockets.count += 1;
        if let Some(socket) = sockets.source.newest() {
            // Level triggered: it says so for as long as there is something, so nothing depends on when it is asked.
            let nothing = epoll::EventData::new_u64(0);
            epoll::add(&self.all, socket, nothing, epoll::EventFlags::IN)?;
        }
        self.is_due = true;
        Ok(())
    }

    /// Whether there may be something to read. One load.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.is_due || self.flag.is_ready()
    }

    /// Has them read at the next opportunity whatever the flag says, which is told by another thread and may be late.
    pub(super) const fn call(&mut self) {
        self.is_due = true;
    }

    /// Reads at most `budget` datagrams; `Ok(true)` with them: there is nothing more.
    ///
    /// # Errors
    /// As of [`KernelUdpSource::poll`].
    #[cold]
    pub(super) fn drain<H: DatagramHandler>(
        &mut self,
        budget: u32,
        handler: &mut H,
    ) -> io::Result<(u32, bool)> {
        self.is_due = true;
        let mut taken = 0;
        let mut emptied = 0;
        while emptied < self.sockets.len() {
            if taken >= budget {
                // Another's turn, so that none is waited for by the others.
                self.next += 1;
                self.datagrams += u64::from(taken);
                return Ok((taken, false));
            }
            if self.next >= self.sockets.len() {
                self.next = 0;
            }
            let Sockets { source, count, .. } = &mut self.sockets[self.next];
            // A call asks one of its sockets, the next call the next.
            let mut idle = 0;
            while idle < *count && taken < budget {
                match source.poll(budget - taken, handler)? {
                    Polled::Got(got) => (taken, idle) = (taken + got, 0),
                    Polled::Idle | Polled::End => idle += 1,
                }
            }
            if idle == *count {
                (emptied, self.next) = (emptied + 1, self.next + 1);
            }
        }
        self.datagrams += u64::from(taken);
        self.is_due = false;
        self.flag.rearm();
        Ok((taken, true))
    }

    /// Datagrams that came by these sockets.
    pub(super) const fn datagrams(&self) -> u64 {
        self.datagrams
    }

    pub(super) fn drops(&self) -> u64 {
        self.sockets.iter().map(|sockets| sockets.source.drops()).fold(0, u64::saturating_add)
    }

    pub(super) fn errors(&self) -> u64 {
        self.sockets.iter().map(|sockets| sockets.source.errors()).fold(0, u64::saturating_add)
    }

    /// What was asked for and could not be had in full.
    pub(super) fn remarks(&self) -> impl Iterator<Item = String> {
        self.sockets.iter().filter_map(|sockets| sockets.source.remark())
    }
}
