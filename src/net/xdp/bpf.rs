//! Loading the program and keeping its two maps: `bpf(2)`, and nothing else.

#![allow(unsafe_code, reason = "bpf(2) takes structs with addresses in them")]

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::net::xdp::error::{Step, XdpError};
use crate::net::xdp::program::{Instruction, Stamping, filter, flow_key};
use crate::net::xdp::{btf, mode::AttachMode};

/// Commands (`enum bpf_cmd`).
const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;

const MAP_TYPE_HASH: u32 = 1;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
/// The program may ask one interface for what only it knows, such as its own stamps.
const XDP_DEV_BOUND_ONLY: u32 = 1 << 6;

/// Subscriptions an interface can have.
pub const FLOWS_MAX: u32 = 1_024;
/// Queues of an interface that can have a ring.
pub const QUEUES_MAX: u32 = 256;

/// What the kernel has to say about a program it refuses, in bytes.
const VERIFIER_LOG_BYTES: usize = 1 << 16;

/// The kernel function that gives the interface's stamp.
const RX_TIMESTAMP: &str = "bpf_xdp_metadata_rx_timestamp";

/// The beginnings of `union bpf_attr` that are used, a struct a command. The kernel takes what is shorter than its own as
/// if it went on in zeros.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct MapElement {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    prog_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    result: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    /// Fills it up: the kernel refuses what it does not know unless it is 0.
    rest: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 4],
}

/// Structs of the kernel's that `bpf(2)` may be given: plain old data, whose addresses lead to memory that outlives the call.
///
/// # Safety
/// An implementation says that every address in it is either zero or was taken from a borrow that its maker holds until
/// the call has returned, to as many bytes as the command reads or writes there.
unsafe trait Attributes {}
// SAFETY: no address.
unsafe impl Attributes for MapCreate {}
// SAFETY: made in `update` and `delete` only, from borrows of the map's own key and value types.
unsafe impl Attributes for MapElement {}
// SAFETY: made in `load` only, from borrows that live to the end of that function.
unsafe impl Attributes for ProgramLoad {}
// SAFETY: made in `Program::verdict` only, from borrows that live to its end.
unsafe impl Attributes for TestRun {}
// SAFETY: no address.
unsafe impl Attributes for LinkCreate {}

fn bpf<T: Attributes>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    let attributes: *mut T = attributes;
    // SAFETY: `attributes` is of the size given and, by its trait, leads only to memory that is ours for the whole call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// A new descriptor that a command gave.
fn descriptor<T: Attributes>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the command succeeded, so this is a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address_of<T: ?Sized>(value: *const T) -> u64 {
    u64::try_from(value.cast::<u8>().addr()).unwrap_or(0)
}

fn number_of(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn size_of_all<T>(items: &[T]) -> u32 {
    u32::try_from(size_of_val(items)).unwrap_or(u32::MAX)
}

/// Our name in the kernel's lists of programs and maps.
fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(text.bytes()) {
        *to = from;
    }
    name
}

fn create_map(map_type: u32, key_size: u32, max_entries: u32, text: &str) -> io::Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type,
        key_size,
        value_size: 4,
        max_entries,
        name: name(text),
        ..MapCreate::default()
    };
    descriptor(MAP_CREATE, &mut attributes)
}

fn load(instructions: &[Instruction], flags: u32, interface: u32) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; VERIFIER_LOG_BYTES];
    let mut attributes = ProgramLoad {
        prog_type: PROG_TYPE_XDP,
        instruction_count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: address_of(instructions),
        // Kernel functions may be called by programs under the GPL only; so this one is under both.
        license: address_of(c"Dual MIT/GPL".as_ptr()),
        log_level: 1,
        log_size: size_of_all(&log),
        log_buffer: address_of(log.as_mut_slice()),
        flags,
        name: name("postern_filter"),
        interface,
        expected_attach_type: ATTACH_TYPE_XDP,
        ..ProgramLoad::default()
    };
    descriptor(PROG_LOAD, &mut attributes).map_err(|error| {
        let said = log.split(|byte| *byte == 0).next().unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        match said.trim().lines().next_back() {
            None => error,
            Some(last) => io::Error::new(error.kind(), format!("{error}: {last}")),
        }
    })
}

/// The program on one interface, with its subscriptions and rings. Dropped, or with the process's end however it comes, it is
/// gone and all traffic is the kernel's again.
#[derive(Debug)]
pub struct Program {
    program: OwnedFd,
    flows: OwnedFd,
    rings: OwnedFd,
    /// Holds it to the interface.
    link: Option<OwnedFd>,
    is_stamping_by_interface: bool,
}

impl Program {
    /// Loads it, to be attached to this interface in this mode. Costs about a millisecond.
    ///
    /// With `stamps` every frame is stamped, by the interface where its driver offers that and by the program otherwise.
    ///
    /// # Errors
    /// What the kernel says: most often that `CAP_BPF` is missing.
    pub fn load(interface: u32, stamps: bool, mode: AttachMode) -> Result<Program, XdpError> {
        let (hash, xskmap) = (MAP_TYPE_HASH, MAP_TYPE_XSKMAP);
        let told = |error| XdpError::new(Step::Maps, error);
        let flows = create_map(hash, 8, FLOWS_MAX, "postern_flows").map_err(told)?;
        let rings = create_map(xskmap, 4, QUEUES_MAX, "postern_rings").map_err(told)?;
        let assemble = |stamping| filter(flows.as_raw_fd(), rings.as_raw_fd(), stamping);
        // A program that asks the interface can be attached in its driver only.
        let can_ask = stamps && mode == AttachMode::Native;
        let bound = if can_ask { interface_stamps() } else { None };
        let bound = bound.and_then(|function| {
            // Bound to an interface that knows of no stamps it is refused.
            load(&assemble(Stamping::Interface(function)), XDP_DEV_BOUND_ONLY, interface).ok()
        });
        let is_stamping_by_interface = bound.is_some();
        let program = bound.map_or_else(
            || {
                let stamping = if stamps { Stamping::Program } else { Stamping::Nobody };
                load(&assemble(stamping), 0, 0).map_err(|e| XdpError::new(Step::Program, e))
            },
            Ok,
        )?;
        Ok(Program { program, flows, rings, link: None, is_stamping_by_interface })
    }

    /// Whether it asks the interface for stamps.
    pub const fn is_stamping_by_interface(&self) -> bool {
        self.is_stamping_by_interface
    }

    /// Puts it into the interface's receive path.
    ///
    /// # Errors
    /// That another program is there, that the driver cannot, that `CAP_NET_ADMIN` is missing, or what else the kernel says.
    pub fn attach(&mut self, interface: u32, mode: AttachMode) -> Result<(), XdpError> {
        let mut attributes = LinkCreate {
            program: number_of(&self.program),
            interface,
            attach_type: ATTACH_TYPE_XDP,
            flags: mode.flag(),
            ..LinkCreate::default()
        };
        let link = descriptor(LINK_CREATE, &mut attributes);
        self.link = Some(link.map_err(|error| XdpError::new(Step::Attach(mode), error))?);
        Ok(())
    }

    /// Takes it off the interface: from here on all traffic is the kernel's.
    pub fn detach(&mut self) {
        self.link = None;
    }

    /// From now on datagrams to `to` that come in on `queue` go to its ring. To subscribe twice is the same as once.
    ///
    /// # Errors
    /// That there are [`FLOWS_MAX`] already (`E2BIG`), or what else the kernel says.
    pub fn subscribe(&self, to: SocketAddrV4, queue: u32) -> Result<(), XdpError> {
        update(&self.flows, &flow_key(to, queue), &0).map_err(|e| XdpError::new(Step::Flow(to), e))
    }

    /// From now on they pass to the kernel.
    ///
    /// # Errors
    /// That it is not subscribed to (`ENOENT`), or what else the kernel says.
    pub fn unsubscribe(&self, to: SocketAddrV4, queue: u32) -> Result<(), XdpError> {
        delete(&self.flows, &flow_key(to, queue)).map_err(|e| XdpError::new(Step::Flow(to), e))
    }

    /// From now on what comes in on `queue` and is subscribed to goes to `socket`'s ring. The kernel forgets it when the
    /// socket closes.
    ///
    /// # Errors
    /// That the socket is not bound, or what else the kernel says.
    pub(super) fn set_ring(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), XdpError> {
        let socket = socket.as_raw_fd().cast_unsigned();
        update(&self.rings, &queue, &socket).map_err(|e| XdpError::new(Step::Ring(queue), e))
    }

    /// From now on what comes in on `queue` passes to the kernel. What is on its way to the ring now may still arrive there.
    pub(super) fn clear_ring(&self, queue: u32) -> Result<(), XdpError> {
        delete(&self.rings, &queue).map_err(|e| XdpError::new(Step::Ring(queue), e))
    }

    /// What it says of a frame that came in on a queue without a ring, or with one: [`XDP_PASS`](super::XDP_PASS) or
    /// [`XDP_REDIRECT`](super::XDP_REDIRECT). Asks the kernel to run it; for tests.
    ///
    /// # Errors
    /// What the kernel says; it takes no frame shorter than an Ethernet header.
    pub fn verdict(&self, frame: &[u8]) -> io::Result<u32> {
        let mut out = vec![0_u8; frame.len() + 256];
        let mut attributes = TestRun {
            program: number_of(&self.program),
            data_size_in: size_of_all(frame),
            data_size_out: size_of_all(&out),
            data_in: address_of(frame),
            data_out: address_of(out.as_mut_slice()),
            repeat: 1,
            ..TestRun::default()
        };
        bpf(PROG_TEST_RUN, &mut attributes)?;
        Ok(attributes.result)
    }
}

/// The number of the kernel function that gives interfaces' stamps, if this kernel has it.
fn interface_stamps() -> Option<i32> {
    btf::function(&std::fs::read(btf::KERNEL_BTF).ok()?, RX_TIMESTAMP)
}

fn update<K>(map: &OwnedFd, key: &K, value: &u32) -> io::Result<()> {
    let mut attributes = MapElement {
        map_fd: number_of(map),
        pad: 0,
        key: address_of(key),
        value: address_of(value),
        flags: 0,
    };
    bpf(MAP_UPDATE_ELEM, &mut attributes).map(|_| ())
}

fn delete<K>(map: &OwnedFd, key: &K) -> io::Result<()> {
    let key = address_of(key);
    let mut attributes = MapElement { map_fd: number_of(map), pad: 0, key, value: 0, flags: 0 };
    bpf(MAP_DELETE_ELEM, &mut attributes).map(|_| ())
}
