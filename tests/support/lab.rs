//! A lab for tests: network namespaces as hosts, joined by veth pairs (`scripts/veth-lab`), removed when the test ends.
//!
//! Each lab is of its own, so tests with labs may run at once. What a test that was killed left, `scripts/veth-lab clean` removes.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postern::runtime::NetworkNamespace;

static LABS: AtomicU32 = AtomicU32::new(0);
/// Why this machine has no labs.
static SKIPPED: OnceLock<String> = OnceLock::new();

pub fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/veth-lab"))
}

/// Hosts and cables.
#[derive(Debug)]
pub struct Lab {
    name: String,
    ends: Vec<End>,
}

/// One end of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The host it is of.
    pub host: String,
    /// The interface's name there.
    pub interface: String,
    pub address: Ipv4Addr,
    /// Bits of the address that are the network's.
    pub prefix: u8,
    pub mac: [u8; 6],
    /// The host at the other end.
    pub peer: String,
}

impl Lab {
    /// Two hosts, `a` and `b`, and a cable between them. `name`: small letters, digits and underscores. `None`, after saying
    /// why, where this machine cannot.
    #[track_caller]
    pub fn new(name: &str) -> Option<Lab> {
        Lab::of(name, &["a=b"])
    }

    /// A lab with these cables, each `HOST=HOST` or `HOST:ADDRESS/LENGTH=HOST:ADDRESS/LENGTH`; the first is `veth1` on both of its
    /// hosts, with 10.77.1.1/24 and 10.77.1.2/24 unless it says others, the second `veth2`, and so on.
    #[track_caller]
    pub fn of(name: &str, links: &[&str]) -> Option<Lab> {
        if let Some(why) = SKIPPED.get() {
            say(why);
            return None;
        }
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let owner = std::process::id().to_string();
        let output = script()
            .args(["up", &format!("{name}_{number}"), "--owner", &owner])
            .args(links)
            .output()
            .expect("scripts/veth-lab is a program");
        let (told, complaint) = (text(&output.stdout), text(&output.stderr));
        if let Some(why) = told.lines().find(|line| line.starts_with("skipped: ")) {
            say(SKIPPED.get_or_init(|| why.to_owned()));
            return None;
        }
        assert!(output.status.success(), "scripts/veth-lab up: {told}{complaint}");
        let mut lines = told.lines();
        let name = lines.next().and_then(|line| line.strip_prefix("lab ")).expect("its name first");
        Some(Lab { name: name.to_owned(), ends: lines.map(end_of).collect() })
    }

    /// Its name, as `scripts/veth-lab` and `postern demo --lab` take it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One of its hosts.
    #[track_caller]
    pub fn namespace(&self, host: &str) -> Namespace {
        let ends: Vec<End> = self.ends.iter().filter(|end| end.host == host).cloned().collect();
        assert!(!ends.is_empty(), "the lab has no host {host}");
        Namespace { name: format!("pst-{}-{host}", self.name), ends }
    }

    /// Such a program, to be run on that host with its network interfaces and its `/sys`.
    #[track_caller]
    pub fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        self.namespace(host).command(program)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let removed = script().args(["down", &self.name]).output();
        // A test that has failed tells why; this would hide it.
        if !std::thread::panicking() {
            let removed = removed.expect("scripts/veth-lab is a program");
            assert!(removed.status.success(), "{} stays: {}", self.name, text(&removed.stderr));
        }
    }
}

/// A host of a lab. Of use as long as the lab lives.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    ends: Vec<End>,
}

impl Namespace {
    /// The namespace's name, as `ip netns` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ends of cables, in the cables' order; at least one.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// Its end of the first cable to that host.
    #[track_caller]
    pub fn end_to(&self, peer: &str) -> &End {
        let end = self.ends.iter().find(|end| end.peer == peer);
        end.unwrap_or_else(|| panic!("no cable from {} to {peer}", self.name))
    }

    /// The name of its first interface.
    pub fn interface(&self) -> &str {
        &self.ends[0].interface
    }

    /// The address of its first interface.
    pub fn address(&self) -> Ipv4Addr {
        self.ends[0].address
    }

    /// The hardware address of its first interface, as it was when the lab was made.
    pub fn mac(&self) -> [u8; 6] {
        self.ends[0].mac
    }

    /// Runs `work` here, on a thread of its own. Sockets it makes stay here, wherever they go. `/sys/class/net` and
    /// `/proc/net` are those of the test's own host: `/proc/thread-self/net` is right.
    #[track_caller]
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = NetworkNamespace::named(&self.name).expect("the lab lives");
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("lab-host".to_owned());
            let thread = thread
                .spawn_scoped(scope, || namespace.run(work).expect("whoever made it may enter it"));
            match thread.expect("a thread").join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Such a program, to be run here, with this host's `/sys` too. Its process is the program's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` on this host's interfaces and tables, which must succeed; gives what it says.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) -> String {
        let output = Command::new("ip").args(["-n", &self.name]).args(arguments).output();
        let output = output.expect("ip made the lab");
        assert!(output.status.success(), "ip {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Takes an interface down: the cable carries nothing.
    #[track_caller]
    pub fn link_down(&self, interface: &str) {
        self.ip(&["link", "set", interface, "down"]);
    }

    /// Takes an interface up. The other end has noticed it once its [`Namespace::is_up`].
    #[track_caller]
    pub fn link_up(&self, interface: &str) {
        self.ip(&["link", "set", interface, "up"]);
    }

    /// Whether an interface carries what is sent by it.
    #[track_caller]
    pub fn is_up(&self, interface: &str) -> bool {
        let told = self.ip(&["-o", "link", "show", interface]);
        told.contains("state UP") && !told.contains("qdisc noop ")
    }

    /// Gives an interface another hardware address. Nobody is told.
    #[track_caller]
    pub fn replace_mac(&self, interface: &str, mac: [u8; 6]) {
        let digits: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ip(&["link", "set", interface, "address", &digits.join(":")]);
    }

    /// Forgets the hardware address of a neighbour, if it was known.
    #[track_caller]
    pub fn delete_neighbour(&self, interface: &str, neighbour: Ipv4Addr) {
        let neighbour = neighbour.to_string();
        if !self.ip(&["neigh", "show", "dev", interface, "to", &neighbour]).is_empty() {
            self.ip(&["neigh", "del", &neighbour, "dev", interface]);
        }
    }
}

/// The names of the labs there are.
pub fn labs() -> Vec<String> {
    let output = script().arg("list").stdin(Stdio::null()).output();
    text(&output.expect("scripts/veth-lab is a program").stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The names of all network namespaces.
pub fn namespaces() -> Vec<String> {
    let entries = std::fs::read_dir(PathBuf::from("/run/netns"));
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    entries
        .map(|entries| entries.filter_map(|entry| name(entry).ok()).collect())
        .unwrap_or_default()
}

/// A line of `scripts/veth-lab show`.
fn end_of(line: &str) -> End {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [host, interface, address, mac, peer] = fields[..] else { panic!("no end: {line}") };
    let (address, prefix) = address.split_once('/').expect("an address with its length");
    let mut bytes = [0; 6];
    let mut digits = mac.split(':');
    for byte in &mut bytes {
        let digits = digits.next().expect("six bytes");
        *byte = u8::from_str_radix(digits, 16).expect("hexadecimal digits");
    }
    End {
        host: host.to_owned(),
        interface: interface.to_owned(),
        address: address.parse().expect("an IPv4 address"),
        prefix: prefix.parse().expect("a number of bits"),
        mac: bytes,
        peer: peer.to_owned(),
    }
}

#[allow(clippy::print_stdout, reason = "whoever reads the test log must see what did not run")]
fn say(why: &str) {
    println!("{why}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
