//! The capabilities of the daemon: each of its threads is without those of the AF_XDP path once it runs, whatever it was
//! started with and wherever its media driver lives.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/transport.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use daemon::{Daemon, Options, Setup, command};
use postern::runtime::capabilities::{Capability, Holder, holders, names};
use support::wait_for;

/// Says visibly what a test leaves out.
fn skipped(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

/// The `/proc` folder of a daemon.
fn process(daemon: &Daemon) -> PathBuf {
    PathBuf::from(format!("/proc/{}", daemon.child.id()))
}

/// The threads that have any, of all that a running daemon has, once it has said that it is through with them.
fn held(daemon: &Daemon) -> Vec<Holder> {
    wait_for("line on capabilities", || daemon.log().contains("capabilities: ").then_some(()));
    let (holders, count) = holders(&process(daemon)).expect("it runs");
    assert!(count >= 4, "main, gateway, journal and control at least: {count}");
    holders
}

fn ends_well(mut daemon: Daemon) {
    daemon.signal("-TERM");
    assert_eq!(daemon.wait_end().code(), Some(0), "{}", daemon.log());
}

/// A daemon that would have some of them, were they not dropped.
fn may_have_any() -> bool {
    if Capability::held().is_empty() {
        skipped("this test has no capability to drop: run it as root");
        return false;
    }
    true
}

#[test]
fn no_thread_is_left_with_one_wherever_the_media_driver_lives() {
    if !may_have_any() {
        return;
    }
    for layout in ["fused", "split"] {
        for driver in ["invoker", "shared", "dedicated"] {
            let runtime = "lock_memory = \"off\"";
            let setup = Setup::new(Options { layout, driver, runtime, ..Options::default() });
            let daemon = Daemon::start(&setup);
            assert_eq!(held(&daemon), [], "{layout}, {driver}");
            let log = daemon.log();
            let dropped = names(&Capability::held());
            assert!(log.contains(&format!("capabilities: given up: {dropped}; left in")), "{log}");
            assert!(log.contains("threads: none"), "{log}");
            ends_well(daemon);
        }
    }
}

#[test]
fn locked_memory_keeps_the_one_capability_it_depends_on() {
    if !may_have_any() {
        return;
    }
    let setup = Setup::new(Options { driver: "shared", ..Options::default() });
    let daemon = Daemon::start(&setup);
    let holders = held(&daemon);
    let log = daemon.log();
    let stays = log.contains("threads: CAP_IPC_LOCK, as memory is locked");
    for holder in holders {
        assert!(stays, "{holder}: {log}");
        assert_eq!(holder.held, [Capability::IpcLock], "{holder}");
    }
    let status = std::fs::read_to_string(process(&daemon).join("status")).expect("it runs");
    let locked = status.lines().find(|line| line.starts_with("VmLck:")).expect("a line");
    let is_locked = !locked.split_whitespace().any(|word| word == "0");
    assert_eq!(is_locked, log.contains("locked memory: granted"), "{locked}: {log}");
    if stays {
        assert!(is_locked, "kept for nothing: {log}");
        assert!(log.contains("LimitMEMLOCK=infinity"), "{log}");
    }
    ends_well(daemon);
}

/// A user without privileges, as `postern.service` runs it: nobody.
const USER: u32 = 65534;

/// Gives everything in and below `folder` to that user.
fn give(folder: &Path) {
    std::os::unix::fs::chown(folder, Some(USER), Some(USER)).expect("root may");
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            give(&path);
        } else {
            std::os::unix::fs::chown(&path, Some(USER), Some(USER)).expect("root may");
        }
    }
}

#[test]
fn a_user_given_exactly_the_four_ends_up_with_none() {
    const FOUR: &str = "-all,+net_raw,+net_admin,+bpf,+ipc_lock";
    let user = USER.to_string();
    let mut run = Command::new("setpriv");
    run.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--bounding-set", FOUR]);
    run.args(["--inh-caps", FOUR, "--ambient-caps", FOUR]);
    let mut probe = Command::new("setpriv");
    probe.args(run.get_args()).arg(env!("CARGO_BIN_EXE_postern")).arg("--version");
    if !probe.output().is_ok_and(|output| output.status.success()) {
        return skipped("setpriv cannot start this program as another user: run it as root");
    }
    let runtime = "lock_memory = \"off\"";
    let setup = Setup::new(Options { driver: "dedicated", runtime, ..Options::default() });
    give(setup.folder.path());
    run.args([env!("CARGO_BIN_EXE_postern"), "run", "--config"]).arg(setup.path("postern.toml"));
    for (key, value) in command(&[]).get_envs() {
        match value {
            Some(value) => run.env(key, value),
            None => run.env_remove(key),
        };
    }
    let mut daemon = Daemon::spawn_as(&setup, run, &[]);
    daemon.wait_running();
    assert_eq!(held(&daemon), []);
    let every = names(&Capability::ALL);
    let log = daemon.log();
    assert!(log.contains(&format!("capabilities: given up: {every}; left in")), "{log}");
    // Those four were all it had: not one capability of any kind is left.
    for entry in std::fs::read_dir(process(&daemon).join("task")).expect("it runs") {
        let status = entry.expect("an entry").path().join("status");
        let Ok(status) = std::fs::read_to_string(status) else { continue };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(set)).expect("a line");
            assert_eq!(line.trim(), "0000000000000000", "{set} of {status}");
        }
    }
    ends_well(daemon);
}

#[test]
fn who_had_none_is_told_that_none_was_given_up() {
    let mut run = Command::new("setpriv");
    run.args(["--bounding-set=-net_raw,-net_admin,-bpf,-ipc_lock", "--inh-caps=-all"]);
    let mut probe = Command::new("setpriv");
    if !probe.args(run.get_args()).arg("true").status().is_ok_and(|status| status.success()) {
        return skipped("setpriv cannot take capabilities away here");
    }
    let setup = Setup::new(Options::default());
    run.args([env!("CARGO_BIN_EXE_postern"), "run", "--config"]).arg(setup.path("postern.toml"));
    let mut daemon = Daemon::spawn_as(&setup, run, &[]);
    daemon.wait_running();
    assert_eq!(held(&daemon), []);
    let log = daemon.log();
    assert!(log.contains("capabilities: given up: none; left in"), "{log}");
    ends_well(daemon);
}
