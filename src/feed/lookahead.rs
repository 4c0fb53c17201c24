//! Messages of a packet on their way into the books, some ahead of the one that is applied.
//!
//! What a message changes lies where no cache has it as often as not, and to wait for that takes longer than all the rest.
//! While one message is applied, those behind it are decoded and the memory they will need is asked for, in two steps: the
//! second needs what the first brought near ([`PrefetchStep`]).

use crate::feed::book::{Books, PrefetchStep};
use crate::feed::itch50::{Events, OrderEvent, decode_event};
use crate::feed::moldudp64::Messages;

/// Messages from one step to the next: in the time they take, memory answers.
const STEP: usize = 8;
/// Places of messages between decoding and the books: a power of two with room for two steps.
const PLACES: usize = 16;

/// A message between decoding and the books.
#[derive(Clone, Copy, Debug)]
struct Place {
    event: Option<OrderEvent>,
    /// Where it lies in its packet.
    start: usize,
    end: usize,
}

/// Decodes packets for one channel's books.
#[derive(Debug)]
pub struct Lookahead {
    places: Box<[Place; PLACES]>,
}

impl Default for Lookahead {
    fn default() -> Lookahead {
        Lookahead { places: Box::new([Place { event: None, start: 0, end: 0 }; PLACES]) }
    }
}

impl Lookahead {
    /// Hands each of `messages` to `apply` in their order, with `books` and what it tells of a displayed order: `None` for
    /// what [`decode`](crate::feed::itch50::decode) is to read.
    #[inline]
    pub fn each<'a>(
        &mut self,
        messages: Messages<'a>,
        books: &mut Books,
        mut apply: impl FnMut(&mut Books, &'a [u8], Option<&OrderEvent>),
    ) {
        let packet = messages.packet();
        let mut one = messages;
        let Some(first) = one.next() else { return };
        if one.rest().is_empty() {
            // One alone has nobody to wait with. Decoded straight from the packet's end, and used where it is.
            let event = decode_event(&packet[..one.position()], first.len());
            let event = event.as_ref();
            event.iter().for_each(|event| books.prefetch(event, PrefetchStep::Alone));
            return apply(books, first, event);
        }
        let mut events = Events::new(messages);
        // Messages that were decoded, those whose old orders were asked for, and those that were applied.
        let (mut decoded, mut asked, mut applied) = (0, 0, 0);
        loop {
            if let Some((message, event)) = events.next() {
                if let Some(event) = &event {
                    books.prefetch(event, PrefetchStep::First);
                }
                let end = events.position();
                let start = end - message.len();
                self.places[decoded % PLACES] = Place { event, start, end };
                decoded += 1;
                if decoded < applied + PLACES {
                    continue;
                }
            } else if applied == decoded {
                break;
            }
            while asked < decoded.min(applied + STEP) {
                if let Some(event) = &self.places[asked % PLACES].event {
                    books.prefetch(event, PrefetchStep::Second);
                }
                asked += 1;
            }
            let Place { event, start, end } = &self.places[applied % PLACES];
            apply(books, &packet[*start..*end], event.as_ref());
            applied += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::feed::book::BooksConfig;

    proptest! {
        /// Any number of messages, each once and in its order, whatever was in the places before.
        #[test]
        fn every_message_comes_once_in_its_order(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..100),
            cut in 0..3_usize,
        ) {
            let config =
                BooksConfig { orders_max: 8, levels_max: 8, books_max: 1, follow_all_symbols: true };
            let mut books = Books::new(config, &[]);
            let mut blocks = Vec::new();
            for message in &messages {
                blocks.extend(u16::try_from(message.len()).expect("short").to_be_bytes());
                blocks.extend(message);
            }
            // The beginning of one more, cut.
            blocks.extend(&[0, 5, 1][..cut]);
            let mut ahead = Lookahead::default();
            for _ in 0..2 {
                let mut seen = Vec::new();
                ahead.each(Messages::new(&blocks, 0), &mut books, |_, bytes, event| {
                    assert_eq!(event.is_some(), decode_event(bytes, bytes.len()).is_some());
                    seen.push(bytes.to_vec());
                });
                prop_assert_eq!(&seen, &messages);
            }
        }
    }
}
