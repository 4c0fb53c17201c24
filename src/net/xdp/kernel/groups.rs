//! Which groups this host has joined: what is sent to one of them must be heard here too.

use std::net::Ipv4Addr;

/// Where the kernel lists them for the calling thread's network namespace (proc_pid_net(5)).
const LIST: &str = "/proc/thread-self/net/igmp";

/// Whether somebody on this host has joined `group` on the interface of that number. Reads a small file; without it, nobody has.
pub(super) fn is_joined(group: Ipv4Addr, interface: u32) -> bool {
    std::fs::read_to_string(LIST).is_ok_and(|list| lists(&list, group, interface))
}

/// The list has a line for each interface, its number first, and below it one for each group, which begins with blanks and the
/// address in hexadecimal digits, as the machine has it in memory.
fn lists(list: &str, group: Ipv4Addr, interface: u32) -> bool {
    let mut is_here = false;
    for line in list.lines().skip(1) {
        let first = line.split_whitespace().next().unwrap_or_default();
        if line.starts_with(char::is_whitespace) {
            let address = u32::from_str_radix(first, 16).map(u32::to_ne_bytes);
            if is_here && address.is_ok_and(|address| Ipv4Addr::from(address) == group) {
                return true;
            }
        } else {
            is_here = first.parse() == Ok(interface);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_on_its_interface_only() {
        let list = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
            1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
            12\tveth1     :     2      V3\n\t\t\t\t030201EF     1 0:00000000\t\t0\n\
            \t\t\t\t010000E0     1 0:00000000\t\t0\n";
        let group = Ipv4Addr::new(239, 1, 2, 3);
        assert!(cfg!(target_endian = "big") || lists(list, group, 12));
        assert!(!lists(list, group, 1), "on another interface");
        assert!(!lists(list, Ipv4Addr::new(239, 1, 2, 4), 12));
        for cut in 0..list.len() {
            let _ = lists(&list[..cut], group, 12);
        }
    }
}
