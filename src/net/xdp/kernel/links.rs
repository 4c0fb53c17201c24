//! Whether an interface is up, and how often it went: told by the watching thread, read by whoever polls.

use std::sync::atomic::{AtomicU64, Ordering};

/// The state of one interface.
#[derive(Debug)]
pub struct LinkState {
    interface: u32,
    /// The generation, and in the lowest bit whether it is up: one word, so that both are of the same moment.
    word: AtomicU64,
}

impl LinkState {
    pub(super) fn new(interface: u32, is_up: bool) -> LinkState {
        LinkState { interface, word: AtomicU64::new(u64::from(is_up)) }
    }

    /// Its number.
    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// Whether it is switched on and has something to talk to. One load; false once nobody watches any more.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.word.load(Ordering::Acquire) & 1 == 1
    }

    /// Grows whenever the interface goes down, comes up, or is removed; never falls. One load.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.word.load(Ordering::Acquire) >> 1
    }

    /// Tells its state; the watching thread alone does.
    pub(super) fn tell(&self, is_up: bool) {
        let word = self.word.load(Ordering::Relaxed);
        if (word & 1 == 1) != is_up {
            let generation = (word >> 1).wrapping_add(1);
            self.word.store(generation << 1 | u64::from(is_up), Ordering::Release);
        }
    }

    /// Tells that there is no such interface any more; the watching thread alone does.
    pub(super) fn tell_removed(&self) {
        let generation = (self.word.load(Ordering::Relaxed) >> 1).wrapping_add(1);
        self.word.store(generation << 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_grows_with_every_change_and_only_then() {
        let link = LinkState::new(3, true);
        assert!(link.is_up());
        for (is_up, generation) in [(true, 0), (false, 1), (false, 1), (true, 2), (true, 2)] {
            link.tell(is_up);
            assert_eq!((link.is_up(), link.generation()), (is_up, generation));
        }
        link.tell_removed();
        assert_eq!((link.is_up(), link.generation()), (false, 3));
        link.tell(true);
        assert_eq!((link.is_up(), link.generation()), (true, 4));
    }
}
