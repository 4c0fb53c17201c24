//! Messages of a packet on their way into the books, some ahead of the one that is applied.
//!
//! What a message changes lies where no cache has it as often as not, and to wait for that takes longer than all the rest.
//! While one message is applied, those behind it are decoded and the memory they will need is asked for, in three steps:
//! each needs what the one before brought near ([`PrefetchStep`]).

use crate::feed::book::{Books, PrefetchStep};
use crate::feed::itch50::{ItchError, OrderEvent, each_event};

/// Messages from one step to the next: in the time they take, memory answers.
const STEP: usize = 8;
/// Places of messages between decoding and the books: a power of two with room for three steps.
const PLACES: usize = 32;

/// A message that was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What it tells of a displayed order; `None` for any other message of the right length for its type.
    pub event: Result<Option<OrderEvent>, ItchError>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    event: Result<Option<OrderEvent>, ItchError>,
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
        let place = Place { event: Ok(None), start: 0, end: 0 };
        Lookahead { places: Box::new([place; PLACES]) }
    }
}

impl Lookahead {
    /// Decodes the messages of `blocks`, each behind its length in two bytes, big-endian, and hands them to `apply` in their
    /// order, together with `books`. What follows the last whole block is left out; the caller has checked that nothing does.
    #[inline]
    pub fn each<'a>(
        &mut self,
        blocks: &'a [u8],
        books: &mut Books,
        mut apply: impl FnMut(&mut Books, Decoded<'a>),
    ) {
        let (mut at, mut count) = (0, 0);
        each_event(blocks, |bytes, event| {
            if let Ok(Some(event)) = &event {
                books.prefetch(event, PrefetchStep::Young);
            }
            let start = at + 2;
            at = start + bytes.len();
            self.places[count % PLACES] = Place { event, start, end: at };
            if count >= STEP {
                self.prefetch(count - STEP, books, PrefetchStep::Old);
            }
            if count >= 2 * STEP {
                self.prefetch(count - 2 * STEP, books, PrefetchStep::Levels);
            }
            if count >= 3 * STEP {
                apply(books, self.decoded(count - 3 * STEP, blocks));
            }
            count += 1;
        });
        // One alone has nobody to wait with.
        if count > 1 {
            (count.saturating_sub(STEP)..count)
                .for_each(|place| self.prefetch(place, books, PrefetchStep::Old));
            (count.saturating_sub(2 * STEP)..count)
                .for_each(|place| self.prefetch(place, books, PrefetchStep::Levels));
        }
        for place in count.saturating_sub(3 * STEP)..count {
            apply(books, self.decoded(place, blocks));
        }
    }

    #[inline]
    fn prefetch(&self, place: usize, books: &Books, step: PrefetchStep) {
        if let Ok(Some(event)) = &self.places[place % PLACES].event {
            books.prefetch(event, step);
        }
    }

    #[inline]
    fn decoded<'a>(&self, place: usize, blocks: &'a [u8]) -> Decoded<'a> {
        let Place { event, start, end } = self.places[place % PLACES];
        Decoded { bytes: &blocks[start..end], event }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::feed::book::BooksConfig;
    use crate::feed::itch50::{WINDOW_BYTES, decode_event, window};

    proptest! {
        /// Any number of messages, with room behind them or none, each once and in its order.
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
            let mut seen = Vec::new();
            Lookahead::default().each(&blocks, &mut books, |_, decoded| {
                let mut pad = [0; WINDOW_BYTES];
                let alone = decode_event(window(decoded.bytes, &mut pad), decoded.bytes.len());
                assert_eq!(decoded.event.is_ok(), alone.is_ok());
                seen.push(decoded.bytes.to_vec());
            });
            prop_assert_eq!(seen, messages);
        }
    }
}
