//! What the kernel knows and a sender past it must know too: interfaces, routes, neighbours, and when a socket has something.
//!
//! It is asked and listened to through rtnetlink by one thread that blocks ([`Watcher`]); whoever polls reads atomics and makes no
//! system call. Nothing here sends a datagram: who finds a destination unresolved sends through the kernel, which then resolves it.
//!
//! This module must not know what is sent, nor change the kernel's state but for one thing: it tells the kernel that a neighbour is
//! in use, as the kernel would notice by itself if it did the sending. What else stands between a socket and its interface is
//! passed by as well: packet filters, IPsec, traffic control, and the copy of multicast that a host sends to itself.

mod destination;
mod groups;
mod links;
mod listen;
mod netlink;
mod query;
mod rtnetlink;
mod sockets;
mod watch;

pub use destination::{Destination, Resolved, Unresolved};
pub use links::LinkState;
pub use query::{Interface, Route, RouteKind, interfaces, route};
pub use sockets::SocketFlag;
pub use watch::{
    DESTINATION_COUNT_MAX, LINK_COUNT_MAX, SOCKET_COUNT_MAX, WatchCounts, Watcher, WatcherConfig,
};
