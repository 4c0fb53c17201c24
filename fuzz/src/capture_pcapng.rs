//! Any bytes behind a section and an interface of a pcapng file: none panic, every defect lies within the file, and every
//! datagram does too.

use std::path::Path;

use postern::net::capture::Capture;

const SECTION: [u8; 28] = [
    0x0A, 0x0D, 0x0D, 0x0A, 28, 0, 0, 0, 0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 28, 0, 0, 0,
];
const INTERFACE: [u8; 20] = [1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0];

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    for head in [&[][..], &SECTION, &[&SECTION[..], &INTERFACE].concat()] {
        let file = [head, bytes].concat();
        let size = file.len();
        let Ok(capture) = Capture::from_pcapng(Path::new("fuzz"), file) else { continue };
        if let Some(defect) = capture.defect() {
            assert!(usize::try_from(defect.offset).is_ok_and(|offset| offset < size));
        }
        let payloads: usize = capture.iter().map(|(_, _, payload)| payload.len()).sum();
        assert!(payloads <= size);
    }
}
