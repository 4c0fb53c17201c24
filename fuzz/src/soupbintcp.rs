//! Any bytes as a stream of a SoupBinTCP server: none panic, and in pieces they are the same packets.

use postern::feed::soupbintcp::{PacketReader, decode};

/// Takes any bytes.
///
/// # Panics
/// If what this file says does not hold.
pub fn take(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let (mut at, mut whole) = (0, Vec::new());
    while let Ok(Some((packet, length))) = decode(&stream[at..]) {
        whole.push(format!("{packet:?}"));
        at += length;
    }
    let (mut reader, mut pieces) = (PacketReader::new(), Vec::new());
    for piece in stream.chunks(usize::from(piece) + 1) {
        reader.room()[..piece.len()].copy_from_slice(piece);
        reader.filled(piece.len());
        let is_refused = loop {
            match reader.next() {
                Ok(Some(packet)) => pieces.push(format!("{packet:?}")),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        if is_refused {
            break;
        }
    }
    // A stream that is refused halfway is refused at the same packet.
    assert_eq!(pieces, whole);
}
