//! Many publishers on one subscription, as entry hears its strategies.

use std::cell::RefCell;
use std::rc::Rc;

use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::transport::{Fragment, Inbound, StreamEvent, TransportDown};

/// Publishers that can be connected while it is read. A clone is the same inlet.
#[derive(Clone, Debug, Default)]
pub struct Inlet {
    doors: Rc<RefCell<Vec<(i32, MemorySubscription)>>>,
    /// The door that is read first: each in its turn, as Aeron does.
    first: usize,
}

impl Inlet {
    /// A new publisher, with room for `slots` messages.
    pub fn connect(&self, slots: usize) -> MemoryPublication {
        let (publication, subscription) = stream(slots, super::MESSAGE_BYTES_MAX);
        let mut doors = self.doors.borrow_mut();
        let source = 1 + i32::try_from(doors.len()).expect("few");
        doors.push((source, subscription));
        publication
    }
}

impl Inbound for Inlet {
    fn poll(
        &mut self,
        limit: usize,
        handler: &mut impl FnMut(Fragment<'_>),
    ) -> Result<usize, TransportDown> {
        let (mut doors, mut count) = (self.doors.borrow_mut(), 0);
        self.first = (self.first + 1) % doors.len().max(1);
        let (last, first) = doors.split_at_mut(self.first);
        for (source, subscription) in first.iter_mut().chain(last) {
            count += subscription.poll(limit - count, &mut |fragment: Fragment<'_>| {
                handler(Fragment { source: *source, ..fragment });
            })?;
        }
        Ok(count)
    }

    fn next_event(&mut self) -> Option<StreamEvent> {
        self.doors.borrow_mut().iter_mut().find_map(|(source, subscription)| {
            subscription.next_event().map(|event| match event {
                StreamEvent::SourceUp(_) => StreamEvent::SourceUp(*source),
                StreamEvent::SourceDown(_) => StreamEvent::SourceDown(*source),
            })
        })
    }
}
