//! The ring against a queue of vectors that does the same in the obvious way.

use std::collections::VecDeque;

use postern::ring::{Backing, Consumer, Producer, RingConfig, ring};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<u8>),
    Abandon(usize),
    PeekTwice,
    Release,
    Drain(usize),
    Room(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..=120).prop_map(Step::Commit),
        1 => (0..=120_usize).prop_map(Step::Abandon),
        1 => Just(Step::PeekTwice),
        2 => Just(Step::Release),
        1 => (0..20_usize).prop_map(Step::Drain),
        1 => (0..40_usize).prop_map(Step::Room),
    ]
}

/// The ring and its oracle. Messages released but not yet told to the producer are fewer than a quarter of the slots.
struct Both {
    producer: Producer,
    consumer: Consumer,
    queue: VecDeque<Vec<u8>>,
    slots: usize,
    refused: u64,
}

impl Both {
    fn new(slots: usize) -> Both {
        let config = RingConfig { name: "property_ring", slots, backing: Backing::Heap };
        let (producer, consumer) = ring(&config).expect("a small ring");
        Both { producer, consumer, queue: VecDeque::new(), slots, refused: 0 }
    }

    /// What the producer may see as taken, at most.
    fn taken_at_most(&self) -> usize {
        self.queue.len() + (self.slots / 4).max(1) - 1
    }

    fn refuse(&mut self) {
        self.refused += 1;
        assert!(self.taken_at_most() >= self.slots, "refused with {} in it", self.queue.len());
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Commit(message) => match self.producer.claim(message.len()) {
                Some(mut claim) => {
                    assert_eq!(claim.len(), message.len());
                    claim.copy_from_slice(&message);
                    claim.commit();
                    self.queue.push_back(message);
                }
                None => self.refuse(),
            },
            Step::Abandon(bytes) => {
                let Some(mut claim) = self.producer.claim(bytes) else { return self.refuse() };
                claim.fill(0xee);
            }
            Step::PeekTwice => {
                assert_eq!(self.consumer.peek(), self.queue.front().map(Vec::as_slice));
                assert_eq!(self.consumer.peek(), self.queue.front().map(Vec::as_slice));
            }
            Step::Release => {
                let found = self.consumer.peek().map(<[u8]>::to_vec);
                assert_eq!(found, self.queue.pop_front());
                if found.is_some() {
                    self.consumer.release();
                }
            }
            Step::Drain(limit) => {
                let count = limit.min(self.queue.len());
                let queue = &mut self.queue;
                let taken = self.consumer.drain(limit, |message| {
                    assert_eq!(Some(message), queue.pop_front().as_deref());
                });
                assert_eq!(taken, count);
            }
            Step::Room(messages) => {
                let room = self.producer.has_room(messages);
                let free = self.producer.free_slots();
                assert!(!room || free >= messages);
                assert!(free <= self.slots - self.queue.len());
                assert!(free + self.taken_at_most() >= self.slots);
            }
        }
        assert!(self.queue.len() <= self.slots);
    }
}

proptest! {
    #[test]
    fn the_ring_is_a_bounded_queue(
        slots in 1..7_u32,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut both = Both::new(1 << slots);
        for step in steps {
            both.apply(step);
        }
        let (sent, refused) = (both.producer.position(), both.producer.full_count());
        assert_eq!(refused, both.refused);
        both.apply(Step::Drain(1 << slots));
        both.apply(Step::PeekTwice);
        assert_eq!(both.consumer.position(), sent);
        assert_eq!(both.producer.free_slots(), 1 << slots, "a ring seen empty is wholly free");
    }
}
