//! Segments handed from one thread to another, without a lock, an allocation or a wait.
#![allow(unsafe_code, reason = "a box travels between threads as a raw pointer")]

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Most boxes on their way.
pub(super) const PLACES: usize = 8;

/// One producer puts boxes in, one consumer takes them out, in order.
struct Shared<T> {
    places: [AtomicPtr<T>; PLACES],
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        for place in &mut self.places {
            let pointer = *place.get_mut();
            if !pointer.is_null() {
                // SAFETY: a pointer in a place came from `Box::into_raw` in `put` and nobody took it out.
                drop(unsafe { Box::from_raw(pointer) });
            }
        }
    }
}

/// The end that puts in.
pub(super) struct Giver<T> {
    shared: Arc<Shared<T>>,
    next: usize,
}

/// The end that takes out.
pub(super) struct Taker<T> {
    shared: Arc<Shared<T>>,
    next: usize,
}

/// A way for boxes from one thread to another.
pub(super) fn handoff<T: Send>() -> (Giver<T>, Taker<T>) {
    let places = std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
    let shared = Arc::new(Shared { places });
    (Giver { shared: Arc::clone(&shared), next: 0 }, Taker { shared, next: 0 })
}

impl<T: Send> Giver<T> {
    /// Puts `item` in; gives it back where all places are taken.
    pub(super) fn put(&mut self, item: Box<T>) -> Result<(), Box<T>> {
        let place = &self.shared.places[self.next];
        if !place.load(Ordering::Acquire).is_null() {
            return Err(item);
        }
        // Release: the taker's acquiring swap sees the item as it is now.
        place.store(Box::into_raw(item), Ordering::Release);
        self.next = (self.next + 1) % PLACES;
        Ok(())
    }

    /// Boxes that were not taken yet.
    pub(super) fn waiting(&self) -> usize {
        self.shared.places.iter().filter(|place| !place.load(Ordering::Acquire).is_null()).count()
    }

    /// Takes back what was put in and not taken yet, in no order. Nothing may be put in afterwards.
    pub(super) fn recall(self) -> Vec<Box<T>> {
        self.shared.places.iter().filter_map(take).collect()
    }
}

impl<T: Send> Taker<T> {
    /// Takes the next box, if there is one.
    pub(super) fn take(&mut self) -> Option<Box<T>> {
        let item = take(&self.shared.places[self.next])?;
        self.next = (self.next + 1) % PLACES;
        Some(item)
    }
}

fn take<T>(place: &AtomicPtr<T>) -> Option<Box<T>> {
    let pointer = place.swap(ptr::null_mut(), Ordering::AcqRel);
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the pointer came from `Box::into_raw` in `put`, and the swap made this the only one who has it.
    Some(unsafe { Box::from_raw(pointer) })
}

impl<T> fmt::Debug for Giver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Giver").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Taker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_arrive_once_and_in_order_and_none_leaks() {
        let (mut giver, mut taker) = handoff::<Arc<u64>>();
        let counted = Arc::new(0);
        for _ in 0..PLACES {
            assert!(giver.put(Box::new(Arc::clone(&counted))).is_ok());
        }
        let refused = giver.put(Box::new(Arc::clone(&counted)));
        assert!(refused.is_err());
        drop(refused);
        assert_eq!((giver.waiting(), Arc::strong_count(&counted)), (PLACES, PLACES + 1));
        drop(taker.take());
        assert!(giver.put(Box::new(Arc::clone(&counted))).is_ok());
        assert_eq!(giver.recall().len(), PLACES);
        assert!(taker.take().is_none());
        drop(taker);
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn two_threads_agree_on_the_order() {
        let (mut giver, mut taker) = handoff::<u64>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..10_000u64 {
                    let mut item = Box::new(number);
                    while let Err(back) = giver.put(item) {
                        item = back;
                        std::thread::yield_now();
                    }
                }
            });
            for number in 0..10_000u64 {
                let item = loop {
                    match taker.take() {
                        Some(item) => break item,
                        None => std::thread::yield_now(),
                    }
                };
                assert_eq!(*item, number);
            }
        });
    }
}
