//! What the transport's tests share: directories of their own, waiting for a condition, and child processes.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use postern::transport::{
    AeronConfig, Client, Inbound, OfferError, Outbound, Publication, StreamEvent, Subscription,
};
use postern::types::Nanos;

/// Longest wait for anything that must happen. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

static DIRECTORIES: AtomicU32 = AtomicU32::new(0);

/// A driver directory of this test alone, removed at its end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Directory {
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let name = format!("postern-test-{}-{number}", std::process::id());
        Directory(PathBuf::from("/dev/shm").join(name))
    }

    /// A configuration in which nothing times out on a busy machine.
    pub fn calm(&self) -> AeronConfig {
        AeronConfig {
            term_length_bytes: 64 << 10,
            driver_timeout_ms: 20_000,
            client_liveness_ms: 20_000,
            image_liveness_ms: 20_000,
            operation_timeout_ms: 30_000,
            ..AeronConfig::in_directory(&self.0)
        }
    }

    /// A configuration in which deaths are noticed soon.
    pub fn alert(&self) -> AeronConfig {
        AeronConfig {
            driver_timeout_ms: 1_000,
            client_liveness_ms: 2_000,
            image_liveness_ms: 2_000,
            ..self.calm()
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[allow(clippy::disallowed_methods, reason = "the tests' clock")]
pub fn now() -> Nanos {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    Nanos(Nanos::of(START.get_or_init(Instant::now).elapsed()) + 1)
}

/// Calls `step` until it gives something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(done) = step() {
            return done;
        }
        let waited = Duration::from_nanos(now().since(start));
        assert!(waited < PATIENCE, "no {what} within {waited:?}");
        std::thread::yield_now();
    }
}

/// Services every client and calls `step` until it gives something.
#[track_caller]
pub fn drive<T>(what: &str, clients: &mut [&mut Client], mut step: impl FnMut() -> Option<T>) -> T {
    wait_for(what, || {
        for client in clients.iter_mut() {
            client
                .service(now())
                .unwrap_or_else(|_| panic!("down while waiting for {what}: {client:?}"));
        }
        step()
    })
}

/// Sends `message`, waiting while the stream is not connected or back-pressured.
#[track_caller]
pub fn send(clients: &mut [&mut Client], publication: &mut Publication, message: &[u8]) {
    drive("taken offer", clients, || match offer(publication, message) {
        Ok(()) => Some(()),
        Err(error) if error.is_retryable() => None,
        Err(error) => panic!("offer refused: {error}"),
    });
}

pub fn offer(publication: &mut Publication, message: &[u8]) -> Result<(), OfferError> {
    publication.offer(message.len(), |bytes| bytes.copy_from_slice(message))
}

/// The next message and its source.
#[track_caller]
pub fn receive(clients: &mut [&mut Client], subscription: &mut Subscription) -> (i32, Vec<u8>) {
    let mut got = None;
    drive("message", clients, || {
        let mut take = |fragment: postern::transport::Fragment<'_>| {
            got = Some((fragment.source, fragment.bytes.to_vec()));
        };
        subscription.poll(1, &mut take).expect("the subscription is open");
        got.take()
    })
}

/// The next publisher that came or went.
#[track_caller]
pub fn event(clients: &mut [&mut Client], subscription: &mut Subscription) -> StreamEvent {
    drive("event", clients, || subscription.next_event())
}

/// A UDP port of the loopback interface that was free a moment ago.
pub fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("it is bound").port()
}

/// A TCP port of the loopback interface that was free a moment ago.
pub fn free_tcp_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

const ROLE: &str = "POSTERN_TEST_ROLE";

/// Another process: this test binary in a role, which its test `child` plays. Killed when dropped.
pub struct Process {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Process {
    /// Starts `role` with arguments that hold no newline.
    pub fn start(role: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
        command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
        Process::spawn(command, role, arguments)
    }

    pub fn spawn(mut command: Command, role: &str, arguments: &[&str]) -> Process {
        let told = std::iter::once(role).chain(arguments.iter().copied());
        let mut child = command
            .env(ROLE, told.collect::<Vec<_>>().join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary starts again");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Process { child, lines }
    }

    /// Waits for the line `ready`, which the role prints; blocks, so nothing else may depend on this thread.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let line = self.next_said();
        assert_eq!(line, "ready", "the child process failed");
    }

    /// The next line the role said, without what the test harness prints.
    #[track_caller]
    pub fn next_said(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.lines.read_line(&mut line).expect("its output can be read");
            assert!(read > 0, "the child process ended");
            if let Some((_, said)) = line.trim_end().split_once("SAID ") {
                return said.to_owned();
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a child process: its role and arguments.
pub fn role() -> Option<Vec<String>> {
    let told = std::env::var(ROLE).ok()?;
    Some(told.split('\n').map(str::to_owned).collect())
}

/// In a child process: tells the parent.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nSAID {line}").and_then(|()| out.flush()).expect("the parent reads");
}

/// In a child process: a flag that is set once the parent is gone.
pub fn orphaned() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    std::thread::Builder::new()
        .name("orphan-watch".to_owned())
        .spawn(move || {
            let mut rest = Vec::new();
            let _ = std::io::stdin().read_to_end(&mut rest);
            set.store(true, Ordering::Relaxed);
        })
        .expect("a thread starts");
    flag
}
