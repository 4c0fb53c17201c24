//! The hosts of a run: all of it on this one, or strategy, gateway and venue on one each, which are network namespaces of a
//! lab (`scripts/veth-lab`).
//!
//! ```text
//!   strategy ───────── gateway ───────── venue
//!            orders ►          orders ►
//!            ◄ reports         ◄ reports, market data (multicast)
//!            ◄ market data
//! ```
//!
//! Two cores carry three hosts: strategy and exchange share a thread on a lab too, as a third busy one would only show the
//! scheduler. A socket is of the host on which it was made, so that thread makes each where it belongs, and goes back.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::runtime::NetworkNamespace;

/// Begins the names of all namespaces of labs.
const PREFIX: &str = "pst-";

/// Who lives on a host of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Strategy,
    Gateway,
    Venue,
}

impl Host {
    const fn name(self) -> &'static str {
        match self {
            Host::Strategy => "strategy",
            Host::Gateway => "gateway",
            Host::Venue => "venue",
        }
    }
}

/// Where the parties are, and by which addresses they reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hosts {
    /// The lab's name; `None` on one host.
    lab: Option<String>,
    /// The strategy's, on its cable to the gateway.
    pub strategy: Ipv4Addr,
    /// The gateway's, on its cable to the strategy.
    pub gateway_to_strategy: Ipv4Addr,
    /// The gateway's, on its cable to the venue.
    pub gateway_to_venue: Ipv4Addr,
    /// The venue's, on its cable to the gateway.
    pub venue: Ipv4Addr,
}

impl Hosts {
    /// All of it on this host, over loopback.
    pub const fn here() -> Hosts {
        Hosts {
            lab: None,
            strategy: Ipv4Addr::LOCALHOST,
            gateway_to_strategy: Ipv4Addr::LOCALHOST,
            gateway_to_venue: Ipv4Addr::LOCALHOST,
            venue: Ipv4Addr::LOCALHOST,
        }
    }

    /// The hosts `strategy`, `gateway` and `venue` of a lab, with the addresses that their cables have.
    ///
    /// # Errors
    /// That there is no such lab, that this process may not enter it, or that its cables are others.
    pub fn of_lab(lab: &str) -> Result<Hosts, String> {
        let found = |host: Host| {
            let name = namespace(lab, host);
            let own = NetworkNamespace::named(&name).and_then(|own| own.run(|| ()));
            own.map_err(|error| {
                format!("lab {lab}, host {}: {error} (scripts/veth-lab demo makes a lab, and runs the demo as root)", host.name())
            })?;
            addresses(&name)
        };
        let (strategy, gateway) = (found(Host::Strategy)?, found(Host::Gateway)?);
        let venue = found(Host::Venue)?;
        let cable = |ends: &[Interface], name: &str| {
            joined(ends, &gateway)
                .ok_or_else(|| format!("lab {lab}: {name} and gateway have no network in common"))
        };
        let (strategy, gateway_to_strategy) = cable(&strategy, "strategy")?;
        let (venue, gateway_to_venue) = cable(&venue, "venue")?;
        let lab = Some(lab.to_owned());
        Ok(Hosts { lab, strategy, gateway_to_strategy, gateway_to_venue, venue })
    }

    /// Whether each party has a host of its own.
    pub const fn are_apart(&self) -> bool {
        self.lab.is_some()
    }

    /// Does `work` on a host: the sockets it makes are of that host. The thread is back afterwards.
    pub fn at<T>(&self, host: Host, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let Some(lab) = &self.lab else { return work() };
        NetworkNamespace::named(&namespace(lab, host))
            .and_then(|own| own.run(work))
            .map_err(|error| format!("lab {lab}, host {}: {error}", host.name()))?
    }

    /// Such a program as a process of a host, with the host's `/sys` too.
    pub fn command(&self, host: Host, program: &Path) -> Command {
        let Some(lab) = &self.lab else { return Command::new(program) };
        // It becomes the program, and keeps its process id.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace(lab, host)]).arg(program);
        command
    }
}

fn namespace(lab: &str, host: Host) -> String {
    format!("{PREFIX}{lab}-{}", host.name())
}

/// An address of an interface, and how many of its bits are the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    address: Ipv4Addr,
    prefix: u8,
}

impl Interface {
    fn network(self) -> (u32, u8) {
        let hosts = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        (u32::from(self.address) & !hosts, self.prefix)
    }
}

/// The IPv4 addresses of a namespace's interfaces, but for loopback.
fn addresses(namespace: &str) -> Result<Vec<Interface>, String> {
    let told = |error: io::Error| format!("ip: {error}");
    let output = Command::new("ip")
        .args(["-n", namespace, "-o", "-4", "address", "show"])
        .output()
        .map_err(told)?;
    if !output.status.success() {
        return Err(format!("ip: {}", String::from_utf8_lossy(&output.stderr).trim_end()));
    }
    Ok(interfaces(&String::from_utf8_lossy(&output.stdout)))
}

/// What `ip -o -4 address show` tells: in each line, an address and its length behind the word `inet`.
fn interfaces(told: &str) -> Vec<Interface> {
    let interface = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip_while(|&word| word != "inet");
        let (address, prefix) = words.nth(1)?.split_once('/')?;
        let (address, prefix): (Ipv4Addr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        (!address.is_loopback() && prefix <= 32).then_some(Interface { address, prefix })
    };
    told.lines().filter_map(interface).collect()
}

/// The first addresses of two hosts that are of one network.
fn joined(one: &[Interface], other: &[Interface]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    one.iter().find_map(|a| {
        let b = other.iter().find(|b| b.network() == a.network())?;
        Some((a.address, b.address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = "\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: veth1    inet 10.77.1.2/24 scope global veth1\\       valid_lft forever preferred_lft forever
3: veth2    inet 10.77.2.1/24 brd 10.77.2.255 scope global veth2\\       valid_lft forever preferred_lft forever
";

    fn interface(address: [u8; 4], prefix: u8) -> Interface {
        Interface { address: Ipv4Addr::from(address), prefix }
    }

    #[test]
    fn addresses_are_read_and_loopback_is_none() {
        let found = interfaces(GATEWAY);
        assert_eq!(found, [interface([10, 77, 1, 2], 24), interface([10, 77, 2, 1], 24)]);
        for nonsense in ["", "inet", "2: veth1 inet 10.77.1.2", "inet x/24", "inet 10.0.0.1/33"] {
            assert_eq!(interfaces(nonsense), [], "{nonsense}");
        }
    }

    #[test]
    fn a_cable_joins_addresses_of_one_network() {
        let gateway = interfaces(GATEWAY);
        let venue = [interface([192, 168, 0, 1], 16), interface([10, 77, 2, 9], 24)];
        let (end, other) = joined(&venue, &gateway).expect("one network");
        assert_eq!((end.octets(), other.octets()), ([10, 77, 2, 9], [10, 77, 2, 1]));
        assert_eq!(joined(&[interface([10, 77, 3, 1], 24)], &gateway), None);
        assert_eq!(joined(&[interface([10, 77, 2, 9], 25)], &gateway), None, "another length");
    }

    #[test]
    fn a_network_is_the_bits_of_its_length() {
        let of = |address, prefix| interface(address, prefix).network().0.to_be_bytes();
        assert_eq!(of([10, 77, 2, 9], 32), [10, 77, 2, 9]);
        assert_eq!(of([10, 77, 2, 9], 31), [10, 77, 2, 8]);
        assert_eq!(of([10, 77, 2, 9], 8), [10, 0, 0, 0]);
        assert_eq!(of([10, 77, 2, 9], 0), [0, 0, 0, 0]);
    }

    #[test]
    fn on_one_host_work_is_done_where_it_is() {
        let hosts = Hosts::here();
        assert!(!hosts.are_apart());
        assert_eq!(hosts.at(Host::Venue, || Ok(7)), Ok(7));
        assert_eq!(hosts.at(Host::Venue, || Err::<(), _>("no".to_owned())), Err("no".to_owned()));
        assert_eq!(hosts.command(Host::Gateway, Path::new("/x")).get_program(), "/x");
    }

    #[test]
    fn a_lab_that_is_not_there_is_told_by_its_name() {
        let error = Hosts::of_lab("nobody").expect_err("none");
        assert!(error.contains("lab nobody, host strategy"), "{error}");
        assert!(error.contains("scripts/veth-lab demo"), "{error}");
    }
}
