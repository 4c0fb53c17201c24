//! A sound configuration, and what is told of it when parts of it are spoilt.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use postern::config::Config;

/// A sound file for `folder`; the tests spoil parts of it.
pub const SOUND: &str = r#"
[gateway]
layout = "fused"

[[session]]
id = 1
name = "alpha"
key_file = "a.key"
accounts = [7]
report_channel = "aeron:ipc"
report_stream_id = 2001
messages_per_second = 1000
burst = 10
cancels_per_second = 1000

[[channel]]
id = 1
name = "itch"
source = "multicast"
line_a = "239.1.1.1:26400"
line_b = "239.1.1.2:26400"
interface = "127.0.0.1"
stale_after_ms = 3000

[[instrument]]
id = 1
symbol = "AAPL"
channel = 1
venue = 1
tick = 0.01
max_order_qty = 1000
max_order_notional = 1_000_000.5
collar_bps = 500
collar_ticks = 0

[[account]]
id = 7
name = "house"
max_long = 1000
max_short = 0
max_order_qty = 1000
max_order_notional = "250000"

[[venue]]
id = 1
name = "sim"
order_channel = "aeron:ipc"
order_stream_id = 3001
report_channel = "aeron:ipc"
report_stream_id = 3002
session_id = 1
key_file = "a.key"
keepalive_ms = 1000
"#;

pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_key(&folder.path().join("a.key"), &"5a".repeat(32), 0o600);
    folder
}

pub fn write_key(path: &Path, text: &str, mode: u32) {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).expect("created");
    file.write_all(text.as_bytes()).expect("written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("whatever the umask");
}

/// The faults of `text`, without the folder's name.
pub fn faults(folder: &Path, text: &str) -> String {
    let name = folder.join("g.toml").display().to_string();
    match Config::from_toml(&name, text) {
        Ok(_) => String::new(),
        Err(errors) => errors
            .to_string()
            .replace(&format!("{}/", folder.display()), "")
            // Where something stands in the defaults is not of interest here.
            .split('\n')
            .map(|line| match line.split_once("(built in):") {
                Some((before, _)) => format!("{before}(built in):N"),
                None => line.to_owned(),
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// [`SOUND`] with one text in place of another has exactly these faults.
pub fn check(from: &str, to: &str, expected: &[&str]) {
    let folder = folder();
    assert!(from.is_empty() || SOUND.contains(from), "{from}");
    let text = if from.is_empty() { format!("{SOUND}{to}") } else { SOUND.replacen(from, to, 1) };
    assert_eq!(faults(folder.path(), &text), expected.join("\n"), "{from} → {to}");
}
