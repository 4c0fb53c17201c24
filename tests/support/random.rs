//! A small seeded generator for tests: the same seed gives the same inputs everywhere.
#![allow(dead_code, reason = "each test uses a part of it")]

use postern::sim::prng::SplitMix;

/// [`SplitMix`], with what random tests ask of it.
#[derive(Clone, Debug)]
pub struct Random(SplitMix);

impl Random {
    pub const fn new(seed: u64) -> Random {
        Random(SplitMix::new(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn small(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).expect("less than a u32")
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).expect("it fits"))).expect("it fits")
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// Changes, cuts or lengthens `bytes`.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.index(3) {
            match self.index(4) {
                0 => bytes.truncate(self.index(bytes.len() + 1)),
                1 => bytes.push(self.byte()),
                _ => {
                    let at = self.index(bytes.len().max(1));
                    let byte = self.byte();
                    if let Some(slot) = bytes.get_mut(at) {
                        *slot = byte;
                    }
                }
            }
        }
    }
}
