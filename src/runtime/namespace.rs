//! Network namespaces: being in another one while sockets are made.
//!
//! The kernel looks at a thread's namespace when the thread makes a socket, and at the socket's from then on. So one thread
//! can have sockets in several: it enters a namespace, makes those that belong there, and goes back.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::runtime::sys;

/// Where `ip netns` keeps the names of namespaces (ip-netns(8)).
const NAMED: &str = "/run/netns";
/// That of the calling thread, whichever the process began in (proc_pid_ns(5)).
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace, which lives at least as long as this.
#[derive(Debug)]
pub struct NetworkNamespace(File);

impl NetworkNamespace {
    /// The one called `name` by `ip netns`.
    ///
    /// # Errors
    /// That there is none, or that it cannot be opened.
    pub fn named(name: &str) -> io::Result<NetworkNamespace> {
        // A name that is a path would be of something else.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of a namespace"));
        }
        File::open(Path::new(NAMED).join(name)).map(NetworkNamespace)
    }

    /// The calling thread's.
    ///
    /// # Errors
    /// That there is no `/proc`.
    pub fn own() -> io::Result<NetworkNamespace> {
        File::open(OWN).map(NetworkNamespace)
    }

    /// Does `work` with the calling thread in this namespace, and comes back, also from a panic. Sockets made meanwhile
    /// stay in it, and so do threads started meanwhile. Set-up only: four system calls.
    ///
    /// `/proc/net` and `/sys/class/net` go on showing what they showed: the first is the process's (`/proc/thread-self/net` is the
    /// thread's), the second its mount namespace's.
    ///
    /// # Errors
    /// Most often that `CAP_SYS_ADMIN` is missing; then `work` was not done.
    ///
    /// # Panics
    /// If the kernel does not let the thread back: nothing it did from then on would be where it should.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let back = Back(NetworkNamespace::own()?);
        sys::enter_network(self.0.as_fd())?;
        let done = work();
        drop(back);
        Ok(done)
    }
}

/// Brings the thread back where it came from.
struct Back(NetworkNamespace);

impl Drop for Back {
    fn drop(&mut self) {
        let back = sys::enter_network(self.0.0.as_fd());
        assert!(back.is_ok(), "the thread cannot leave a network namespace: {back:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn identity() -> u64 {
        let own = NetworkNamespace::own().expect("procfs");
        own.0.metadata().expect("open").ino()
    }

    #[test]
    fn what_is_no_name_opens_nothing() {
        for name in ["", "../../etc/passwd", "a/b", ".", ".."] {
            let error = NetworkNamespace::named(name).expect_err("no name");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        let error = NetworkNamespace::named("pst-nobody").expect_err("none is called so");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// With and without privilege: without it, nothing was done.
    #[test]
    fn a_thread_is_where_it_was_afterwards() {
        let before = identity();
        let own = NetworkNamespace::own().expect("procfs");
        match own.run(identity) {
            Ok(within) => assert_eq!(within, before),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
        assert_eq!(identity(), before);
    }
}
