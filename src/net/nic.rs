//! Hardware receive stamps: which network interface has an address, and having it stamp all it receives.

#![allow(unsafe_code, reason = "getifaddrs and the ioctl of hardware stamps take pointers")]

use std::ffi::CStr;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The name of an interface, as `ifreq` has it: ended by a zero.
type Name = [libc::c_char; libc::IFNAMSIZ];

/// Makes the interface with that address stamp every packet it receives, unless it does already. It goes on after this
/// process ends. `socket` may be any socket.
///
/// # Errors
/// That no interface has the address, or what the kernel or the driver says: most often that it cannot
/// (`EOPNOTSUPP`), or that `CAP_NET_ADMIN` is missing.
pub(super) fn stamp_all_received(socket: BorrowedFd<'_>, address: Ipv4Addr) -> io::Result<()> {
    let name = interface_name(address)?;
    let all = libc::c_int::try_from(libc::HWTSTAMP_FILTER_ALL).unwrap_or(1);
    let mut config = libc::hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
    // Asking needs no privilege. What is sent may be stamped for somebody else, who keeps that. A driver that cannot be
    // asked may still do as it is told.
    if hardware_stamps(socket, &name, libc::SIOCGHWTSTAMP, &mut config).is_ok()
        && config.rx_filter == all
    {
        return Ok(());
    }
    config.flags = 0;
    config.rx_filter = all;
    hardware_stamps(socket, &name, libc::SIOCSHWTSTAMP, &mut config)?;
    // The driver writes what it made of it.
    if config.rx_filter == all {
        Ok(())
    } else {
        Err(io::Error::other("the network interface stamps only some packets"))
    }
}

/// Asks the driver for its stamping, or sets it.
fn hardware_stamps(
    socket: BorrowedFd<'_>,
    name: &Name,
    request: libc::Ioctl,
    config: &mut libc::hwtstamp_config,
) -> io::Result<()> {
    let data: *mut libc::hwtstamp_config = config;
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: data.cast() };
    let mut asked = libc::ifreq { ifr_name: *name, ifr_ifru };
    let asked: *mut libc::ifreq = &mut asked;
    // SAFETY: `asked` and the `hwtstamp_config` it points to live until the call returns, which keeps neither; both
    // requests read and write no more than that.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, asked) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The addresses of the machine's interfaces, given back when dropped.
struct Addresses(*mut libc::ifaddrs);

impl Drop for Addresses {
    fn drop(&mut self) {
        // SAFETY: the list came from `getifaddrs` and is given back once.
        unsafe { libc::freeifaddrs(self.0) };
    }
}

fn interface_name(address: Ipv4Addr) -> io::Result<Name> {
    let mut list = std::ptr::null_mut();
    // SAFETY: `list` takes the pointer that the call writes.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let list = Addresses(list);
    let mut next = list.0;
    // SAFETY: `next` is null or an entry of the list, which lives as long as `list`.
    while let Some(entry) = unsafe { next.as_ref() } {
        if ipv4_of(entry) == Some(address) {
            // SAFETY: an entry's name is a text ended by a zero, which lives as long as `list`.
            let text = unsafe { CStr::from_ptr(entry.ifa_name) };
            return name_of(text);
        }
        next = entry.ifa_next;
    }
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no network interface has the address"))
}

/// The IPv4 address of an entry, if it has one.
fn ipv4_of(entry: &libc::ifaddrs) -> Option<Ipv4Addr> {
    // SAFETY: an entry's address is null or a socket address of the family it states.
    let address = unsafe { entry.ifa_addr.as_ref() }?;
    if libc::c_int::from(address.sa_family) != libc::AF_INET {
        return None;
    }
    // SAFETY: of the family IPv4, so it is a `sockaddr_in`; read unaligned, since only its own type promises alignment.
    let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
    Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)))
}

fn name_of(text: &CStr) -> io::Result<Name> {
    let mut name: Name = [0; libc::IFNAMSIZ];
    let bytes = text.to_bytes();
    if bytes.len() >= name.len() {
        return Err(io::Error::other("the network interface's name is too long"));
    }
    for (to, from) in name.iter_mut().zip(bytes) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn text(name: &Name) -> String {
        name.iter().take_while(|&&c| c != 0).map(|c| char::from(c.to_ne_bytes()[0])).collect()
    }

    #[test]
    fn an_interface_is_found_by_its_address() {
        let name = interface_name(Ipv4Addr::LOCALHOST).expect("every machine has it");
        assert_eq!(text(&name), "lo");
        // An address for documentation, which no interface has.
        let error = interface_name(Ipv4Addr::new(203, 0, 113, 9)).expect_err("nobody's");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn an_interface_without_hardware_says_that_it_cannot() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let error = stamp_all_received(socket.as_fd(), Ipv4Addr::LOCALHOST).expect_err("loopback");
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
    }

    #[test]
    fn a_name_too_long_for_the_kernel_is_refused() {
        assert!(name_of(c"fifteen-letters").is_ok());
        assert!(name_of(c"sixteen--letters").is_err());
    }
}
