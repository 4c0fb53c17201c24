//! A ring in a mapped file, for two processes or for one that must lose nothing when it is killed.
//!
//! ```text
//! offset 0      published, on its own pair of lines
//! offset 128    released, likewise
//! offset 256    magic: u64 | version: u32 | slot bytes: u32 | slots: u64 | name: 32 bytes, zero-filled
//! offset 4096   the slots
//! ```
//! All in the byte order of the machine: the magic number of another order is another number.
//!
//! Three bytes of the file are locked, each by an open-file-description lock, which the kernel takes back however a
//! process ends: byte 0 by the producer, byte 1 by the consumer, byte 2 by whoever looks whether the file is good or makes it so. Blocks
//! are allocated before anything is mapped, so that a full file system is an error here and no SIGBUS later. (A file
//! that somebody truncates while it is mapped still raises one.)

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};

use super::memory::{parts, region_bytes};
use super::protocol::{Control, Parts, SLOT_BYTES};
use super::{Backing, RingConfig, RingError};

/// Most bytes of a name.
pub(super) const NAME_BYTES: usize = 32;
/// `PSTNRING` on a little-endian machine.
const MAGIC: u64 = u64::from_le_bytes(*b"PSTNRING");
/// Changes with any change of layout or protocol.
const VERSION: u32 = 1;
/// Where the header is.
const HEADER_OFFSET: u64 = 256;
const HEADER_BYTES: usize = 24 + NAME_BYTES;
/// Lock of the one who checks or makes the file.
const BUILDER_BYTE: libc::off_t = 2;
const PAGE_BYTES: usize = 4096;

const _: () = assert!(size_of::<Control>() == 256);

/// A side of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Puts messages in.
    Producer,
    /// Takes messages out.
    Consumer,
}

impl Role {
    /// The byte of the file that its holder locks.
    fn lock_byte(self) -> libc::off_t {
        match self {
            Role::Producer => 0,
            Role::Consumer => 1,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Producer => "producer",
            Role::Consumer => "consumer",
        })
    }
}

/// How often, and how far apart, a lock is tried before it counts as taken.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// What a side holds on to. The lock goes when the file is closed.
struct Mapped {
    _map: MmapRaw,
    _locked: File,
}

/// Takes one side of the ring in the configured file, made if it does not exist.
pub(super) fn attach(config: &RingConfig, role: Role) -> Result<Parts, RingError> {
    let Backing::File(path) = &config.backing else {
        panic!("ring {}: only a ring in a file can be attached to", config.name)
    };
    let failed = |source| RingError::File { path: path.clone(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(RingError::Layout { path: path.clone(), what: "not a regular file" });
    }
    lock(&file, BUILDER_BYTE, Wait::Yes).map_err(failed)?;
    if !lock_patiently(&file, role.lock_byte()).map_err(failed)? {
        return Err(RingError::InUse { path: path.clone(), role });
    }
    let header = header(config);
    if is_blank(&mut file, config.slots).map_err(failed)? {
        reserve(&file, config.slots).map_err(failed)?;
        file.write_all_at(&header, HEADER_OFFSET).map_err(failed)?;
    } else {
        check_layout(&file, &header, config, path)?;
        reserve(&file, config.slots).map_err(failed)?; // a copied file may have holes
    }
    let map = MmapOptions::new().len(region_bytes(config.slots)).map_raw(&file).map_err(failed)?;
    let start = NonNull::new(map.as_mut_ptr())
        .ok_or_else(|| failed(io::Error::other("mapped at address 0")))?;
    touch(&map);
    check_positions(&map, config.slots, role, path)?;
    unlock(&file, BUILDER_BYTE).map_err(failed)?;
    let keep = Arc::new(Mapped { _map: map, _locked: file });
    // SAFETY: `keep` holds the map, which is as long as the ring and starts on a page; the lock makes this the only one of its
    // role. Any bytes are valid for atomics and payload.
    Ok(unsafe { parts(start, config.slots, keep) })
}

/// The header of a ring as configured.
fn header(config: &RingConfig) -> [u8; HEADER_BYTES] {
    let slot_bytes = u32::try_from(SLOT_BYTES).expect("128 fits");
    let slots = u64::try_from(config.slots).expect("the limit on slots fits");
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    header[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    header[12..16].copy_from_slice(&slot_bytes.to_ne_bytes());
    header[16..24].copy_from_slice(&slots.to_ne_bytes());
    header[24..][..config.name.len()].copy_from_slice(config.name.as_bytes());
    header
}

/// Whether the file is new, or was left by one who was killed while making it: nothing in it but zeros, and no longer than
/// the ring is to be.
fn is_blank(file: &mut File, slots: usize) -> io::Result<bool> {
    let length = file.metadata()?.len();
    if length > u64::try_from(region_bytes(slots)).expect("the limit on slots fits") {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

/// Refuses a file whose header is not `wanted`, saying what differs.
fn check_layout(
    file: &File,
    wanted: &[u8; HEADER_BYTES],
    config: &RingConfig,
    path: &Path,
) -> Result<(), RingError> {
    let refused = |what| Err(RingError::Layout { path: path.to_path_buf(), what });
    let mut found = [0; HEADER_BYTES];
    if file.read_exact_at(&mut found, HEADER_OFFSET).is_err() {
        return refused("too short for a header");
    }
    let fields =
        [(0..8, "magic number"), (8..12, "version"), (12..16, "slot size"), (16..24, "slots")];
    for (range, what) in fields.into_iter().chain([(24..HEADER_BYTES, "name")]) {
        if found[range.clone()] != wanted[range] {
            return refused(what);
        }
    }
    let length = file
        .metadata()
        .map_err(|source| RingError::File { path: path.to_path_buf(), source })?
        .len();
    if length != u64::try_from(region_bytes(config.slots)).expect("the limit on slots fits") {
        return refused("length");
    }
    Ok(())
}

/// Gives the file its size and all its blocks.
fn reserve(file: &File, slots: usize) -> io::Result<()> {
    let bytes = libc::off_t::try_from(region_bytes(slots)).expect("the limit on slots fits");
    // SAFETY: a call on an open descriptor; no memory is passed.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes every page present and writable, changing nothing, even while the other side runs.
fn touch(map: &MmapRaw) {
    for offset in (0..map.len()).step_by(PAGE_BYTES) {
        let word = word_at(map, offset);
        let value = word.load(Ordering::Relaxed);
        // A store of the same value, or none if the other side was faster, and then the page was written by that.
        let _ = word.compare_exchange(value, value, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A consumer that starts from positions which cannot be would read what was never written.
fn check_positions(map: &MmapRaw, slots: usize, role: Role, path: &Path) -> Result<(), RingError> {
    let published = word_at(map, 0).load(Ordering::Relaxed);
    let released = word_at(map, size_of::<Control>() / 2).load(Ordering::Relaxed);
    let ahead = released.wrapping_sub(published);
    // While a consumer runs these move on, so only a new consumer can compare them.
    if role == Role::Consumer && ahead > u64::try_from(slots).expect("the limit on slots fits") {
        return Err(RingError::Layout { path: path.to_path_buf(), what: "positions" });
    }
    Ok(())
}

fn word_at(map: &MmapRaw, offset: usize) -> &AtomicU64 {
    assert!(offset + size_of::<u64>() <= map.len(), "{offset} is outside of the map");
    // SAFETY: inside the map, by the line before.
    let word = unsafe { map.as_mut_ptr().add(offset) };
    // SAFETY: every caller's offset is a multiple of 8, and the map starts on a page; both sides reach these words as atomics
    // only.
    unsafe { AtomicU64::from_ptr(word.cast()) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

/// Locks one byte for this open file; whether it did.
fn lock(file: &File, byte: libc::off_t, wait: Wait) -> io::Result<bool> {
    let command = if wait == Wait::Yes { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    loop {
        match set_lock(file, byte, command, libc::F_WRLCK) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
                Some(_) | None => return Err(error),
            },
        }
    }
}

/// Takes a lock, or finds that somebody really has it: a process that is just being started from this one holds a copy of
/// every descriptor, and so of a lock given back meanwhile, until it runs its own program some milliseconds later.
fn lock_patiently(file: &File, byte: libc::off_t) -> io::Result<bool> {
    for _ in 0..LOCK_ATTEMPTS {
        if lock(file, byte, Wait::No)? {
            return Ok(true);
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "a file is attached at start, where waiting is allowed"
        )]
        std::thread::sleep(LOCK_PAUSE);
    }
    lock(file, byte, Wait::No)
}

fn unlock(file: &File, byte: libc::off_t) -> io::Result<()> {
    set_lock(file, byte, libc::F_OFD_SETLK, libc::F_UNLCK)
}

fn set_lock(
    file: &File,
    byte: libc::off_t,
    command: libc::c_int,
    kind: libc::c_int,
) -> io::Result<()> {
    let narrow = |value: libc::c_int| libc::c_short::try_from(value).expect("a small constant");
    let range = libc::flock {
        l_type: narrow(kind),
        l_whence: narrow(libc::SEEK_SET),
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: an open descriptor, and a range that lives through the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const range) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
