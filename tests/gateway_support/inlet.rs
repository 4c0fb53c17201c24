//! Many publishers on one subscription, as entry hears its strategies.

use std::cell::RefCell;
use std::rc::Rc;

use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::transport::{Fragment, Inbound, StreamEvent, TransportDown};

/// Publishers that can be connected while it is read. A clone is the same inlet.
#[derive(Clone, Debug, Default)]
pub struct Inlet(Rc<RefCell<Vec<(i32, MemorySubscription)>>>);

impl Inlet {
    /// A new publisher, with room for `slots` messages.
    pub fn connect(&self, slots: usize) -> MemoryPublication {
        let (publication, subscription) = stream(slots, super::MESSAGE_BYTES_MAX);
        let mut doors = self.0.borrow_mut();
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
        let mut count = 0;
        for (source, subscription) in self.0.borrow_mut().iter_mut() {
            count += subscription.poll(limit - count, &mut |fragment: Fragment<'_>| {
                handler(Fragment { source: *source, ..fragment });
            })?;
        }
        Ok(count)
    }

    fn next_event(&mut self) -> Option<StreamEvent> {
        self.0.borrow_mut().iter_mut().find_map(|(source, subscription)| {
            subscription.next_event().map(|event| match event {
                StreamEvent::SourceUp(_) => StreamEvent::SourceUp(*source),
                StreamEvent::SourceDown(_) => StreamEvent::SourceDown(*source),
            })
        })
    }
}
