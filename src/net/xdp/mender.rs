//! Waiting and binding away from whoever polls: a thread that is handed a port, does to it what takes tens of milliseconds, and hands
//! it back.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::net::xdp::error::XdpError;
use crate::net::xdp::port::Port;
use crate::runtime::capabilities;

/// What is done to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Waits until what was on its way to its ring has arrived.
    Settle,
    /// Closes its socket and binds another, and waits until what the kernel took meanwhile has arrived with it.
    Bind,
}

/// A port, and which queue's it is.
#[derive(Debug)]
struct Job {
    place: usize,
    port: Box<Port>,
    task: Task,
}

/// A port that comes back.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) place: usize,
    pub(super) port: Box<Port>,
    pub(super) task: Task,
    pub(super) result: Result<(), XdpError>,
}

/// The way to the thread, and back. Neither end waits or allocates.
#[derive(Debug)]
pub(super) struct Mender {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

const THREAD_NAME: &str = "xdp-mend";
/// All of it is resident where memory is locked.
const STACK_BYTES: usize = 128 << 10;

impl Mender {
    /// Starts the thread, on the cores of the one that calls, for so many queues.
    pub(super) fn start(queues: usize) -> io::Result<Mender> {
        let (jobs, taken) = sync_channel::<Job>(queues);
        let (give_back, done) = sync_channel::<Done>(queues);
        let builder = std::thread::Builder::new().name(THREAD_NAME.to_owned());
        let thread = builder.stack_size(STACK_BYTES).spawn(move || {
            // Sockets to bind again are made ahead. What is refused here is told of all threads at the start.
            let _ = capabilities::give_up();
            for Job { place, mut port, task } in taken {
                let result = work(&mut port, task);
                if give_back.send(Done { place, port, task, result }).is_err() {
                    break;
                }
            }
        })?;
        Ok(Mender { jobs: Some(jobs), done, thread: Some(thread) })
    }

    /// Hands a port over; back if the thread is gone.
    pub(super) fn hand_over(
        &self,
        place: usize,
        port: Box<Port>,
        task: Task,
    ) -> Result<(), Box<Port>> {
        let job = Job { place, port, task };
        let Some(jobs) = &self.jobs else { return Err(job.port) };
        // There is room for every queue, and each is handed over once at a time.
        jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job.port,
        })
    }

    /// A port that is done with.
    #[inline]
    pub(super) fn take_back(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

fn work(port: &mut Port, task: Task) -> Result<(), XdpError> {
    match task {
        Task::Settle => Port::settle(),
        Task::Bind => {
            port.bind_again()?;
            Port::settle();
        }
    }
    Ok(())
}

impl Drop for Mender {
    /// Waits for the thread: with it goes what it holds of an interface.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was told on standard error.
            let _ = thread.join();
        }
    }
}
