//! Where datagrams to an address go: told by the watching thread, read without waiting by whoever sends.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// All that the frames to a destination need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The interface they leave by.
    pub interface: u32,
    /// The address they come from.
    pub source: Ipv4Addr,
    /// The hardware address they go to: the destination's, its gateway's, or the group's.
    pub mac: [u8; 6],
    /// The largest IP packet of this way, in bytes.
    pub mtu: u32,
}

/// Why frames to a destination cannot be made. The kernel can send to all of them, or says what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unresolved {
    /// It was asked for and not yet looked up.
    Pending,
    /// The next hop's hardware address is not known, or it does not answer.
    NoNeighbour,
    /// It is an address of this host.
    Local,
    /// There is no route, or one that forbids it.
    Unreachable,
    /// Its interface is down or gone.
    InterfaceDown,
    /// It is the broadcast address of a network.
    Broadcast,
    /// It is a group that somebody on this host has joined on that interface: only the kernel can hand it to them too.
    Joined,
    /// It is reached by something that is not plain Ethernet.
    Unsupported,
    /// The kernel did not answer.
    Unanswered,
    /// The thread that watched it has ended.
    Unwatched,
    /// It is being told this very moment.
    Changing,
}

impl Unresolved {
    const ALL: [Unresolved; 11] = [
        Unresolved::Pending,
        Unresolved::NoNeighbour,
        Unresolved::Local,
        Unresolved::Unreachable,
        Unresolved::InterfaceDown,
        Unresolved::Broadcast,
        Unresolved::Joined,
        Unresolved::Unsupported,
        Unresolved::Unanswered,
        Unresolved::Unwatched,
        Unresolved::Changing,
    ];

    const fn code(self) -> u8 {
        match self {
            Unresolved::Pending => 1,
            Unresolved::NoNeighbour => 2,
            Unresolved::Local => 3,
            Unresolved::Unreachable => 4,
            Unresolved::InterfaceDown => 5,
            Unresolved::Broadcast => 6,
            Unresolved::Unsupported => 7,
            Unresolved::Unanswered => 8,
            Unresolved::Unwatched => 9,
            Unresolved::Changing => 10,
            Unresolved::Joined => 11,
        }
    }

    #[cold]
    fn of_code(code: u8) -> Unresolved {
        let found = Unresolved::ALL.iter().find(|one| one.code() == code);
        found.copied().unwrap_or(Unresolved::Changing)
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unresolved::Pending => "not looked up yet",
            Unresolved::NoNeighbour => "the next hop's hardware address is not known",
            Unresolved::Local => "it is an address of this host",
            Unresolved::Unreachable => "there is no route to it",
            Unresolved::InterfaceDown => "its interface is down or gone",
            Unresolved::Broadcast => "it is a broadcast address",
            Unresolved::Joined => "it is a group that this host has joined as well",
            Unresolved::Unsupported => "the way to it is not plain Ethernet",
            Unresolved::Unanswered => "the kernel did not say which way it is",
            Unresolved::Unwatched => "nobody watches the kernel's tables any more",
            Unresolved::Changing => "its way changes at this moment",
        })
    }
}

impl std::error::Error for Unresolved {}

/// What is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Asked {
    pub to: Ipv4Addr,
    /// Unspecified: any.
    pub from: Ipv4Addr,
    pub out_interface: Option<u32>,
}

impl Asked {
    /// What nobody asks.
    pub(super) const NOTHING: Asked =
        Asked { to: Ipv4Addr::UNSPECIFIED, from: Ipv4Addr::UNSPECIFIED, out_interface: None };
}

/// A next hop: an interface, and an address behind it.
pub(super) type Hop = (u32, Ipv4Addr);

/// Where datagrams to one address go, kept up to date for as long as it is held.
///
/// A sequence lock: the version is odd while the words are written. One thread writes; readers copy the words and see by the version
/// whether they are of one moment.
#[derive(Debug)]
#[repr(align(64))]
pub struct Destination {
    version: AtomicU64,
    /// The hardware address in the upper six bytes, and the code of an [`Unresolved`] in the lowest: 0 for none.
    mac_and_why: AtomicU64,
    /// The interface above the source address.
    interface_and_source: AtomicU64,
    mtu: AtomicU64,
    /// The interface and the address of its next hop; 0 for none. The watching thread's own.
    hop: AtomicU64,
    should_confirm: AtomicBool,
    asked: Asked,
}

/// How often a reader looks again whose copy was written to meanwhile; a write takes nanoseconds and is rare.
const LOOK_COUNT_MAX: usize = 4;

impl Destination {
    pub(super) fn new(asked: Asked) -> Destination {
        Destination {
            version: AtomicU64::new(0),
            mac_and_why: AtomicU64::new(u64::from(Unresolved::Pending.code())),
            interface_and_source: AtomicU64::new(0),
            mtu: AtomicU64::new(0),
            hop: AtomicU64::new(0),
            should_confirm: AtomicBool::new(false),
            asked,
        }
    }

    /// The address it is about.
    pub fn to(&self) -> Ipv4Addr {
        self.asked.to
    }

    /// Where frames to it go; `None` if they have to be sent through the kernel ([`why`](Destination::why)). Five loads, never waits.
    #[inline]
    pub fn resolved(&self) -> Option<Resolved> {
        self.state().ok()
    }

    /// As [`resolved`](Destination::resolved), with the reason.
    ///
    /// # Errors
    /// Why frames to it cannot be made.
    #[inline]
    pub fn state(&self) -> Result<Resolved, Unresolved> {
        match self.look() {
            Some((mac_and_why, interface_and_source, mtu)) => {
                unpack(mac_and_why, interface_and_source, mtu)
            }
            None => self.look_again(),
        }
    }

    /// The words, if they were not written to meanwhile.
    #[inline]
    fn look(&self) -> Option<(u64, u64, u64)> {
        let before = self.version.load(Ordering::Acquire);
        let mac_and_why = self.mac_and_why.load(Ordering::Relaxed);
        let interface_and_source = self.interface_and_source.load(Ordering::Relaxed);
        let mtu = self.mtu.load(Ordering::Relaxed);
        // Pairs with the fence in `tell`: a word of a later write makes that write's version seen here.
        fence(Ordering::Acquire);
        let is_whole = before & 1 == 0 && self.version.load(Ordering::Relaxed) == before;
        is_whole.then_some((mac_and_why, interface_and_source, mtu))
    }

    #[cold]
    fn look_again(&self) -> Result<Resolved, Unresolved> {
        let words = (1..LOOK_COUNT_MAX).find_map(|_| self.look());
        words.map_or(Err(Unresolved::Changing), |(mac_and_why, interface_and_source, mtu)| {
            unpack(mac_and_why, interface_and_source, mtu)
        })
    }

    /// Why frames to it cannot be made; `None` if they can.
    pub fn why(&self) -> Option<Unresolved> {
        self.state().err()
    }

    /// Whether the next datagram should go through the kernel, which then makes sure that the neighbour still is where it was:
    /// true once, each time that it has not heard of it for a while and cannot be asked otherwise. One load.
    #[inline]
    pub fn take_confirmation(&self) -> bool {
        self.should_confirm.load(Ordering::Relaxed)
            && self.should_confirm.swap(false, Ordering::Relaxed)
    }

    pub(super) fn ask_to_confirm(&self) {
        self.should_confirm.store(true, Ordering::Relaxed);
    }

    /// Changes with every change of [`state`](Destination::state), so that what was made of it can be kept meanwhile. One load.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    pub(super) fn hop(&self) -> Option<Hop> {
        let [a, b, c, d, rest @ ..] = self.hop.load(Ordering::Relaxed).to_be_bytes();
        let interface = u32::from_be_bytes([a, b, c, d]);
        (interface != 0).then_some((interface, Ipv4Addr::from(rest)))
    }

    /// Tells its state, where it differs; the watching thread alone does.
    pub(super) fn tell(&self, state: Result<Resolved, Unresolved>, hop: Option<Hop>) {
        let hop = hop.map_or(0, |(interface, address)| pair(interface, address));
        self.hop.store(hop, Ordering::Relaxed);
        if self.state() == state {
            return;
        }
        let (mac_and_why, interface_and_source, mtu) = pack(state);
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.mac_and_why.store(mac_and_why, Ordering::Relaxed);
        self.interface_and_source.store(interface_and_source, Ordering::Relaxed);
        self.mtu.store(mtu, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }
}

fn pair(interface: u32, address: Ipv4Addr) -> u64 {
    u64::from(interface) << 32 | u64::from(address.to_bits())
}

fn pack(state: Result<Resolved, Unresolved>) -> (u64, u64, u64) {
    match state {
        Ok(Resolved { interface, source, mac: [a, b, c, d, e, f], mtu }) => {
            (u64::from_be_bytes([a, b, c, d, e, f, 0, 0]), pair(interface, source), u64::from(mtu))
        }
        Err(why) => (u64::from(why.code()), 0, 0),
    }
}

#[inline]
fn unpack(mac_and_why: u64, interface_and_source: u64, mtu: u64) -> Result<Resolved, Unresolved> {
    let [a, b, c, d, e, f, _, why] = mac_and_why.to_be_bytes();
    if why != 0 {
        return Err(Unresolved::of_code(why));
    }
    let [i, j, k, l, source @ ..] = interface_and_source.to_be_bytes();
    let [_, _, _, _, m, n, o, p] = mtu.to_be_bytes();
    Ok(Resolved {
        interface: u32::from_be_bytes([i, j, k, l]),
        source: Ipv4Addr::from(source),
        mac: [a, b, c, d, e, f],
        mtu: u32::from_be_bytes([m, n, o, p]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn destination() -> Destination {
        let (to, from) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::UNSPECIFIED);
        Destination::new(Asked { to, from, out_interface: None })
    }

    fn resolved(number: u8) -> Resolved {
        Resolved {
            interface: u32::from(number),
            source: Ipv4Addr::from([number; 4]),
            mac: [number; 6],
            mtu: u32::from(number) * 100,
        }
    }

    #[test]
    fn what_is_told_is_read() {
        let destination = destination();
        assert_eq!(destination.why(), Some(Unresolved::Pending));
        for why in Unresolved::ALL {
            destination.tell(Err(why), None);
            assert_eq!((destination.resolved(), destination.why()), (None, Some(why)));
        }
        let whole = Resolved {
            interface: u32::MAX,
            source: Ipv4Addr::new(1, 2, 3, 4),
            mac: [0xFF, 0, 1, 2, 3, 0xFF],
            mtu: u32::MAX,
        };
        destination.tell(Ok(whole), Some((7, Ipv4Addr::new(9, 8, 7, 6))));
        assert_eq!((destination.resolved(), destination.why()), (Some(whole), None));
        assert_eq!(destination.hop(), Some((7, Ipv4Addr::new(9, 8, 7, 6))));
    }

    #[test]
    fn the_version_changes_with_the_state_and_only_then() {
        let destination = destination();
        destination.tell(Ok(resolved(1)), None);
        let version = destination.version();
        destination.tell(Ok(resolved(1)), None);
        assert_eq!(destination.version(), version);
        destination.tell(Ok(resolved(2)), None);
        assert_ne!(destination.version(), version);
    }

    #[test]
    fn a_reader_never_sees_two_states_in_one() {
        let destination = destination();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut seen = 0_u64;
                        while !is_over.load(Ordering::Relaxed) {
                            if let Some(found) = destination.resolved() {
                                assert_eq!(found, resolved(found.mac[0]));
                                seen += 1;
                            }
                        }
                        seen
                    })
                })
                .collect();
            for round in 0..400_000_u32 {
                let [number, ..] = round.to_le_bytes();
                let state =
                    if number == 0 { Err(Unresolved::NoNeighbour) } else { Ok(resolved(number)) };
                destination.tell(state, None);
            }
            is_over.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().expect("saw states whole");
            }
        });
    }

    #[test]
    fn reasons_are_told_in_one_line_and_differ() {
        let texts: std::collections::BTreeSet<String> =
            Unresolved::ALL.iter().map(Unresolved::to_string).collect();
        assert_eq!(texts.len(), Unresolved::ALL.len());
        assert!(texts.iter().all(|text| text.len() > 10 && !text.contains('\n')));
    }
}
