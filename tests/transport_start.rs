//! What keeps a driver from starting, and what must not.

#[path = "support/transport.rs"]
mod support;

use std::process::Command;

use postern::transport::{AeronConfig, Client, Driver, DriverMode, TransportError};
use support::{Directory, Process, orphaned, receive, role, say, send, wait_for};

const STREAM: i32 = 1001;

/// Not a test by itself: what this binary does when a test starts it as another process.
#[test]
fn child() {
    let Some(told) = role() else { return };
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    match told[..] {
        ["driver", directory] => {
            let orphaned = orphaned();
            let config =
                AeronConfig { mode: DriverMode::Shared, ..AeronConfig::in_directory(directory) };
            let _driver = Driver::start(&config).expect("started");
            say("ready");
            while !orphaned.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
        }
        ["small", directory] => in_a_small_file_system(directory),
        _ => panic!("no such role: {told:?}"),
    }
}

#[test]
fn a_killed_driver_s_directory_is_taken_over_within_seconds() {
    let directory = Directory::new();
    let mut killed = Process::start("driver", &[directory.0.to_str().expect("ASCII")]);
    killed.wait_ready();
    killed.kill();
    assert!(directory.0.join("cnc.dat").exists(), "it left its files");
    let mut client = Client::start(&directory.calm()).expect("started over what it left");
    let mut subscription = client.add_subscription("aeron:ipc", STREAM).expect("subscribed");
    let mut publication = client.add_publication("aeron:ipc", STREAM).expect("published");
    send(&mut [&mut client], &mut publication, b"works");
    assert_eq!(receive(&mut [&mut client], &mut subscription).1, b"works");
}

#[test]
fn a_killed_driver_s_directory_is_left_alone_if_so_configured() {
    let directory = Directory::new();
    std::fs::create_dir(&directory.0).expect("created");
    std::fs::write(directory.0.join("cnc.dat"), b"half written").expect("written");
    let config = AeronConfig { delete_on_start: false, ..directory.calm() };
    let error = Driver::start(&config).expect_err("it exists");
    assert_eq!(error, TransportError::DirectoryExists { directory: directory.0.clone() });
    // With a file that was cut short there is nothing alive to protect.
    Driver::start(&directory.calm()).expect("started over what was left");
}

#[test]
fn a_live_driver_is_never_robbed_of_its_directory() {
    let directory = Directory::new();
    let mut alive = Process::start("driver", &[directory.0.to_str().expect("ASCII")]);
    alive.wait_ready();
    let error = Driver::start(&directory.calm()).expect_err("it is in use");
    let pid = i64::from(alive.id());
    assert_eq!(error, TransportError::DirectoryInUse { directory: directory.0.clone(), pid });
    assert!(error.to_string().contains("another directory"), "{error}");
    Client::connect(&directory.calm()).expect("it goes on serving clients");
}

#[test]
fn two_drivers_of_one_thread_cannot_share_a_directory() {
    let directory = Directory::new();
    let first = Driver::start(&directory.calm()).expect("started");
    let error = Driver::start(&directory.calm()).expect_err("it is in use");
    let pid = i64::from(std::process::id());
    assert_eq!(error, TransportError::DirectoryInUse { directory: directory.0.clone(), pid });
    assert!(directory.0.join("cnc.dat").exists(), "the first is not touched");
    drop(first);
    Driver::start(&directory.calm()).expect("it is free again");
}

#[test]
fn too_little_memory_is_told_at_start() {
    let directory = Directory::new();
    // No machine has that much.
    let config =
        AeronConfig { term_length_bytes: 1 << 30, streams_max: u32::MAX, ..directory.calm() };
    let error = Driver::start(&config).expect_err("too little memory");
    let text = error.to_string();
    let TransportError::TooLittleMemory { needed_bytes, free_bytes, .. } = error else {
        panic!("{text}")
    };
    assert_eq!(needed_bytes, config.needed_bytes());
    assert!(free_bytes < needed_bytes && free_bytes > 0, "{text}");
    assert!(text.contains("aeron.term_length_bytes"), "{text}");
    assert!(!directory.0.exists(), "nothing was created");
}

/// In a name space of our own, where a small file system can be mounted without privileges.
#[test]
fn a_full_file_system_is_an_error_and_no_signal() {
    let directory = Directory::new();
    std::fs::create_dir(&directory.0).expect("created");
    let may = Command::new("unshare").args(["-Urm", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this system does not let us make a mount name space");
        return;
    }
    let mut command = Command::new("unshare");
    let mount =
        format!("mount -t tmpfs -o size=20m none {} && exec \"$0\" \"$@\"", directory.0.display());
    command.args(["-Urm", "sh", "-c", &mount]);
    command.arg(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    let path = directory.0.join("aeron");
    let mut small = Process::spawn(command, "small", &[path.to_str().expect("ASCII")]);
    let refused = small.next_said();
    assert!(refused.contains("bytes free"), "{refused}");
    let refused = small.next_said();
    assert!(refused.contains("insufficient usable storage"), "{refused}");
    assert_eq!(small.next_said(), "works");
}

fn in_a_small_file_system(directory: &str) {
    let config = AeronConfig {
        driver_timeout_ms: 20_000,
        client_liveness_ms: 20_000,
        ..AeronConfig::in_directory(directory)
    };
    // Eight streams of three megabytes do not fit into twenty, with the driver's own files.
    say(&Driver::start(&config).expect_err("too small").to_string());
    // One does; what comes after is refused, not written into memory that is not there.
    let config = AeronConfig { streams_max: 1, ..config };
    let mut client = Client::start(&config).expect("one stream fits");
    let mut publications = Vec::new();
    let refused = wait_for("refused stream", || {
        assert!(publications.len() < 6, "more streams than memory");
        match client.add_publication("aeron:ipc", STREAM) {
            Ok(publication) => {
                publications.push(publication);
                None
            }
            Err(error) => Some(error),
        }
    });
    say(&refused.to_string().replace('\n', " "));
    let mut subscription = client.add_subscription("aeron:ipc", STREAM).expect("subscribed");
    let first = publications.first_mut().expect("one stream fits");
    send(&mut [&mut client], first, b"works");
    say(&String::from_utf8_lossy(&receive(&mut [&mut client], &mut subscription).1));
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let directory = Directory::new();
    let good = directory.calm();
    good.check().expect("the tests' own settings are good");
    AeronConfig::default().check().expect("the default settings are good");
    let bad = [
        ("directory", AeronConfig { directory: "relative".into(), ..good.clone() }),
        ("directory", AeronConfig { directory: "/a\0b".into(), ..good.clone() }),
        ("term_length_bytes", AeronConfig { term_length_bytes: 100_000, ..good.clone() }),
        ("term_length_bytes", AeronConfig { term_length_bytes: 32 << 10, ..good.clone() }),
        ("term_length_bytes", AeronConfig { term_length_bytes: 2 << 30, ..good.clone() }),
        ("mtu_bytes", AeronConfig { mtu_bytes: 1400, ..good.clone() }),
        ("mtu_bytes", AeronConfig { mtu_bytes: 32, ..good.clone() }),
        ("ipc_mtu_bytes", AeronConfig { ipc_mtu_bytes: 65_536, ..good.clone() }),
        ("receive_window_bytes", AeronConfig { receive_window_bytes: 1000, ..good.clone() }),
        ("driver_timeout_ms", AeronConfig { driver_timeout_ms: 0, ..good.clone() }),
        ("client_liveness_ms", AeronConfig { client_liveness_ms: u64::MAX, ..good.clone() }),
        ("image_liveness_ms", AeronConfig { image_liveness_ms: 9, ..good.clone() }),
        ("operation_timeout_ms", AeronConfig { operation_timeout_ms: 0, ..good.clone() }),
        ("ipc_loops", AeronConfig { ipc_loops: 0, ..good.clone() }),
    ];
    for (name, config) in bad {
        let error = Client::start(&config).expect_err(name);
        let TransportError::BadSetting { field, .. } = &error else { panic!("{name}: {error}") };
        assert_eq!(*field, name, "{error}");
    }
}

#[test]
fn a_setting_that_only_aeron_can_judge_is_refused_in_its_words() {
    let directory = Directory::new();
    // A window that the socket buffer cannot hold is known to Aeron alone.
    let config = AeronConfig {
        receive_window_bytes: 1 << 29,
        socket_receive_bytes: 64 << 10,
        ..directory.calm()
    };
    let error = Driver::start(&config).expect_err("the window does not fit");
    let text = error.to_string();
    assert!(matches!(error, TransportError::Driver { .. }), "{text}");
    assert!(text.contains("window"), "{text}");
}

#[test]
fn the_driver_s_own_files_fit_into_what_is_asked_for() {
    let directory = Directory::new();
    let config = AeronConfig { streams_max: 0, ..directory.calm() };
    let _driver = Driver::start(&config).expect("started");
    let bytes: u64 = std::fs::read_dir(&directory.0)
        .expect("it is there")
        .flatten()
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    eprintln!("{bytes} bytes");
    assert!(bytes <= config.needed_bytes(), "{bytes} of {}", config.needed_bytes());
    assert!(bytes * 4 > config.needed_bytes(), "{bytes} of {}", config.needed_bytes());
}
