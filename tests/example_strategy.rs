//! The examples of the README work: `postern run` with `examples/quickstart.toml`, the simulated exchange beside it, and a
//! strategy that trades through it, each a process.

#![allow(clippy::print_stdout, reason = "a test says why it skips")]

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const POSTERN: &str = env!("CARGO_BIN_EXE_postern");
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path, arguments: &[&str]) -> Running {
    let mut command = Command::new(program);
    let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.expect("starts"))
}

/// Where `cargo test` puts an example; none where only this test was built.
fn example(name: &str) -> Option<PathBuf> {
    let path = Path::new(POSTERN).with_file_name("examples").join(name);
    path.exists().then_some(path)
}

fn write_key(path: &Path, digit: &str) {
    use std::io::Write;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("made");
    file.write_all(digit.repeat(64).as_bytes()).expect("written");
    let mode = fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "a key is its owner's");
}

/// The quickstart's configuration, in a folder and on addresses of its own.
fn configuration(folder: &Path, aeron: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("examples/quickstart.toml")).expect("read");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    let group = 1 + std::process::id() % 250;
    let mut own = text;
    for (from, to) in [
        ("/dev/shm/postern-quickstart", aeron.to_owned()),
        ("239.255.17.1:26400", format!("239.255.18.{group}:{port}")),
        ("[control]\n", "[control]\nhttp = \"off\"\n".to_owned()),
    ] {
        assert!(own.contains(from), "the quickstart has {from}");
        own = own.replace(from, &to);
    }
    write_key(&folder.join("alpha.key"), "a");
    write_key(&folder.join("venue.key"), "b");
    let path = folder.join("quickstart.toml");
    fs::write(&path, own).expect("written");
    path
}

fn ctl(socket: &str, arguments: &[&str]) -> Output {
    Command::new(POSTERN).args(["ctl", "--socket", socket]).args(arguments).output().expect("runs")
}

/// Whether the gateway says that the venue and the feed are up.
fn is_ready(socket: &str) -> bool {
    let status = ctl(socket, &["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    let is_up = |link: &str| text.lines().any(|l| l.starts_with(link) && l.ends_with(" up"));
    status.status.success() && is_up("venue sim") && is_up("feed sim")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    #[allow(clippy::disallowed_methods, reason = "a test's own deadline")]
    let now = Instant::now;
    let deadline = now() + PATIENCE;
    while !is_so() {
        assert!(now() < deadline, "waited too long for: {what}");
    }
}

#[test]
fn the_example_strategy_buys_and_leaves_nothing_behind_and_the_mirror_is_the_book() {
    let (Some(exchange), Some(strategy), Some(mirror)) =
        (example("exchange"), example("strategy"), example("book_mirror"))
    else {
        println!("skipped: the examples are not built (cargo build --examples)");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let aeron = format!("/dev/shm/postern-example-{}", std::process::id());
    let config = configuration(folder.path(), &aeron).display().to_string();
    let socket = folder.path().join("quickstart.sock").display().to_string();

    let mut gateway = start(Path::new(POSTERN), &["run", "--config", &config]);
    until("the gateway", || ctl(&socket, &["status"]).status.success());
    let _exchange = start(&exchange, &[&config]);
    until("venue and feed", || is_ready(&socket));

    let key = folder.path().join("alpha.key").display().to_string();
    let run = Command::new(strategy)
        .args(["--directory", &aeron, "--key", &key, "--rest-ms", "100"])
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("session: established"), "{told}");
    assert!(told.contains("order 1: buy 100 at "), "{told}");
    assert!(told.contains("order 1: New, New"), "{told}");
    assert!(told.contains("Canceled, Canceled") || told.contains(", Filled"), "{told}");
    assert!(told.ends_with("session: terminated\n"), "{told}");

    let run = Command::new(mirror)
        .args(["--directory", &aeron, "--checks", "2", "--patience-s", "60"])
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("ALFA: bid ") && told.contains("Current\n"), "{told}");
    assert!(told.contains(" 0 holes, ") && told.ends_with(" 0 different\n"), "{told}");

    assert!(ctl(&socket, &["stop"]).status.success());
    let ended = gateway.0.wait().expect("ended");
    assert_eq!(ended.code(), Some(0), "nothing was left open");
}
