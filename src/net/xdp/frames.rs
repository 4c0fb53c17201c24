//! Who has which frame of the umem. Every change of hands is looked up and noted here, so that no frame is used twice and
//! none is lost, whatever the kernel or a driver puts into a ring.

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With the kernel, to receive into.
    Receiving,
    /// Received, and with us.
    Received,
    /// With us, to send from.
    Free,
    /// With the kernel, being sent.
    Sending,
}

/// How many frames are where. Together they are as many as the umem has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCount {
    /// With the kernel, to receive into.
    pub receiving: usize,
    /// Received and with us: 0 when no poll is under way and nobody was handed one.
    pub received: usize,
    /// With us, to send from.
    pub free: usize,
    /// With the kernel, being sent.
    pub sending: usize,
}

impl FrameCount {
    /// All of them.
    pub const fn total(&self) -> usize {
        let FrameCount { receiving, received, free, sending } = *self;
        receiving + received + free + sending
    }
}

/// The list of places.
#[derive(Debug)]
pub(super) struct Frames {
    places: Box<[Place]>,
    /// Those that are [`Place::Free`]; with room for all that can be.
    free: Vec<u32>,
    /// A frame is 2 to this power bytes long.
    shift: u32,
    refused: u64,
}

impl Frames {
    /// `receive` frames with the kernel to receive into and `send` to send from, of 2 to the power `shift` bytes.
    pub(super) fn new(receive: u32, send: u32, shift: u32) -> Frames {
        let count = |frames: u32| usize::try_from(frames).unwrap_or(0);
        let mut places = vec![Place::Receiving; count(receive)];
        places.resize(count(receive) + count(send), Place::Free);
        // The lowest is taken first, and stays in the cache.
        let free = (receive..receive + send).rev().collect();
        Frames { places: places.into_boxed_slice(), free, shift, refused: 0 }
    }

    /// Bytes of a frame.
    #[inline]
    pub(super) const fn frame_bytes(&self) -> usize {
        1 << self.shift
    }

    /// Where in the umem a frame begins.
    #[inline]
    pub(super) const fn start(&self, address: u64) -> u64 {
        address & !((1 << self.shift) - 1)
    }

    /// Moves the frame that holds `address`, which came from the kernel, if it is where it should be. `false`: it is not, and
    /// whoever named it must not use it.
    #[inline]
    pub(super) fn step(&mut self, address: u64, from: Place, to: Place) -> bool {
        let index = usize::try_from(address >> self.shift).unwrap_or(usize::MAX);
        match self.places.get_mut(index) {
            Some(place) if *place == from => {
                *place = to;
                true
            }
            _ => {
                self.refused += 1;
                false
            }
        }
    }

    /// Whether the frame that holds `address`, which came from the kernel, is where it should be. If not, whoever named it must not
    /// use it.
    #[inline]
    pub(super) fn is_at(&mut self, address: u64, place: Place) -> bool {
        let index = usize::try_from(address >> self.shift).unwrap_or(usize::MAX);
        let is_there = self.places.get(index) == Some(&place);
        self.refused += u64::from(!is_there);
        is_there
    }

    /// A frame to send from; it is with us until [`Frames::step`] says that it is being sent, or [`Frames::give_back`].
    #[inline]
    pub(super) fn take_free(&mut self) -> Option<u64> {
        self.free.pop().map(|frame| u64::from(frame) << self.shift)
    }

    /// As if it had not been taken.
    #[inline]
    pub(super) fn give_back(&mut self, address: u64) {
        if let Ok(frame) = u32::try_from(address >> self.shift) {
            self.free.push(frame);
        }
    }

    /// The kernel says that it has sent the frame at `address`.
    #[inline]
    pub(super) fn sent(&mut self, address: u64) {
        if self.step(address, Place::Sending, Place::Free) {
            self.give_back(address);
        }
    }

    /// What the kernel named that it did not have. 0, or the driver is at fault.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Counts all of them.
    pub(super) fn count(&self) -> FrameCount {
        let mut count = FrameCount::default();
        for place in &self.places {
            *match place {
                Place::Receiving => &mut count.receiving,
                Place::Received => &mut count.received,
                Place::Free => &mut count.free,
                Place::Sending => &mut count.sending,
            } += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop, proptest};

    use super::*;

    #[test]
    fn a_frame_is_used_by_one_at_a_time() {
        let mut frames = Frames::new(2, 1, 11);
        assert!(!frames.step(0, Place::Received, Place::Receiving), "not received yet");
        assert!(frames.step(300, Place::Receiving, Place::Received), "named by a byte within");
        assert!(!frames.step(0, Place::Receiving, Place::Received), "twice");
        assert!(!frames.step(3 << 11, Place::Receiving, Place::Received), "there is none");
        assert!(!frames.step(u64::MAX, Place::Receiving, Place::Received));
        assert!(frames.is_at(2048, Place::Receiving) && !frames.is_at(0, Place::Receiving));
        assert_eq!(frames.refused(), 5);
        let count = FrameCount { receiving: 1, received: 1, free: 1, sending: 0 };
        assert_eq!((frames.count(), frames.count().total()), (count, 3));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against a naive list, whatever addresses the kernel names and in whatever order.
        #[test]
        fn no_frame_is_lost_or_used_twice(
            steps in prop::collection::vec((0_u8..5, 0_u64..14 << 11), 0..400),
        ) {
            const PLACES: [Place; 4] = [Place::Receiving, Place::Received, Place::Free, Place::Sending];
            let mut frames = Frames::new(8, 4, 11);
            let mut naive: Vec<Place> = [[Place::Receiving; 4], [Place::Receiving; 4], [Place::Free; 4]].concat();
            let mut expected_refused = 0;
            for (kind, address) in steps {
                let index = usize::try_from(address >> 11).expect("few");
                let is = naive.get(index).copied();
                let [receiving, received, _, sending] = PLACES;
                match kind {
                    0 | 1 => {
                        let (from, to) = if kind == 0 { (receiving, received) } else { (received, receiving) };
                        assert_eq!(frames.step(address, from, to), is == Some(from));
                        if is == Some(from) {
                            naive[index] = to;
                        } else {
                            expected_refused += 1;
                        }
                    }
                    2 => {
                        frames.sent(address);
                        if is == Some(sending) {
                            naive[index] = Place::Free;
                        } else {
                            expected_refused += 1;
                        }
                    }
                    _ => match frames.take_free() {
                        None => assert!(!naive.contains(&Place::Free)),
                        Some(free) => {
                            let index = usize::try_from(free >> 11).expect("few");
                            assert_eq!(naive[index], Place::Free);
                            if kind == 3 {
                                assert!(frames.step(free, Place::Free, Place::Sending));
                                naive[index] = Place::Sending;
                            } else {
                                frames.give_back(free);
                            }
                        }
                    },
                }
                let count = frames.count();
                let of = |place| naive.iter().filter(|is| **is == place).count();
                let counted = [count.receiving, count.received, count.free, count.sending];
                assert_eq!(counted, PLACES.map(of));
                assert_eq!((count.total(), frames.refused()), (12, expected_refused));
            }
        }
    }

    #[test]
    fn what_was_sent_can_be_sent_from_again_once() {
        let mut frames = Frames::new(1, 1, 12);
        let address = frames.take_free().expect("one");
        assert_eq!((address, frames.take_free()), (4096, None));
        assert!(frames.step(address, Place::Free, Place::Sending));
        frames.sent(address + 64);
        frames.sent(address);
        assert_eq!(
            (frames.take_free(), frames.take_free(), frames.refused()),
            (Some(4096), None, 1)
        );
        frames.give_back(4096);
        assert_eq!(frames.count().free, 1);
    }
}
