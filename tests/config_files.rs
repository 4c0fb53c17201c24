//! Configuration files as people write them: what is wrong is told all at once, exactly, and nothing else.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use postern::config::{Config, Layout, Source};

/// A sound file for `folder`; the tests spoil parts of it.
const SOUND: &str = r#"
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

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_key(&folder.path().join("a.key"), &"5a".repeat(32), 0o600);
    folder
}

fn write_key(path: &Path, text: &str, mode: u32) {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).expect("created");
    file.write_all(text.as_bytes()).expect("written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("whatever the umask");
}

/// The faults of `text`, without the folder's name.
fn faults(folder: &Path, text: &str) -> String {
    let name = folder.join("g.toml").display().to_string();
    match Config::from_toml(&name, text) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string().replace(&format!("{}/", folder.display()), ""),
    }
}

/// [`SOUND`] with one text in place of another has exactly these faults.
fn check(from: &str, to: &str, expected: &[&str]) {
    let folder = folder();
    assert!(from.is_empty() || SOUND.contains(from), "{from}");
    let text = if from.is_empty() { format!("{SOUND}{to}") } else { SOUND.replacen(from, to, 1) };
    assert_eq!(faults(folder.path(), &text), expected.join("\n"), "{from} → {to}");
}

#[test]
fn a_sound_file_is_read_exactly() {
    let folder = folder();
    let path = folder.path().join("g.toml");
    fs::write(&path, SOUND).expect("written");
    let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.gateway.layout, Layout::Fused);
    assert_eq!(config.gateway.name, "postern", "what is not written keeps its default");
    assert_eq!(config.instruments[0].tick.units(), 10_000_000);
    assert_eq!(config.instruments[0].max_order_notional, 1_000_000_500_000_000);
    assert_eq!(config.instruments[0].min_qty.get(), 1);
    assert_eq!(config.accounts[0].max_order_notional, 250_000_000_000_000);
    assert!(config.sessions[0].cancel_on_disconnect);
    assert_eq!(config.sessions[0].key.0, [0x5a; 32]);
    assert_eq!(config.sessions[0].key_file, folder.path().join("a.key"));
    assert!(matches!(config.channels[0].source, Source::Multicast { line_b: Some(_), .. }));
}

#[test]
fn one_fault_is_one_line() {
    check("layout = \"fused\"", "layuot = \"fused\"", &["X"]);
    check("", "[rsk]\nmax_open_orders = 64\n", &["X"]);
    check("", "[risk]\nmax_open_orders = \"many\"\n", &["X"]);
    check("", "[risk]\nmax_open_orders = 65\n", &["X"]);
    check("", "[risk]\nmax_open_orders = 0\n", &["X"]);
    check("", "[risk]\nduplicate_count = 99999999999999999999999999999999999999999999\n", &["X"]);
    check("", "[risk]\nduplicate_count = 2.5\n", &["X"]);
    check("", "[[risk]]\nduplicate_count = 2\n", &["X"]);
    check("[gateway]\nlayout = \"fused\"", "gateway = 5", &["X"]);
    check("layout = \"fused\"", "layout = \"fussed\"", &["X"]);
    check("layout = \"fused\"", "layout = 3", &["X"]);
    check("layout = \"fused\"", "name = \"a name with spaces\"", &["X"]);
    check("[[session]]", "[session]", &["X"]);
    check("burst = 10\n", "", &["X"]);
    check("burst = 10\n", "burst = true\n", &["X"]);
    check("accounts = [7]", "accounts = []", &["X"]);
    check("accounts = [7]", "accounts = [7, \"x\"]", &["X"]);
    check("accounts = [7]", "accounts = [7, 7]", &["X"]);
    check("accounts = [7]", "accounts = [7, 8]", &["X"]);
    check("report_stream_id = 2001", "report_stream_id = 1001", &["X"]);
    check("report_stream_id = 2001", "report_stream_id = 3002", &["X"]);
    check(
        "report_channel = \"aeron:ipc\"\nreport_stream_id = 2001",
        "report_channel = \"aeron:udp\"\nreport_stream_id = 2001",
        &["X"],
    );
    check("line_b = \"239.1.1.2:26400\"", "line_b = \"239.1.1.1:26400\"", &["X"]);
    check("line_b = \"239.1.1.2:26400\"", "line_b = \"10.1.1.1:26400\"", &["X"]);
    check("line_b = \"239.1.1.2:26400\"", "line_b = \"239.1.1.2\"", &["X"]);
    check("line_b = \"239.1.1.2:26400\"", "file = \"x.pcap\"", &["X"]);
    check("interface = \"127.0.0.1\"\n", "", &["X"]);
    check("source = \"multicast\"", "source = \"multcast\"", &["X"]);
    check("symbol = \"AAPL\"", "symbol = \"TOOLONGSYM\"", &["X"]);
    check("venue = 1\n", "venue = 9\n", &["X"]);
    check("channel = 1\n", "channel = 2\n", &["X"]);
    check("tick = 0.01", "tick = 0", &["X"]);
    check("tick = 0.01", "tick = 1e-2", &["X"]);
    check("tick = 0.01", "tick = 0.0000000001", &["X"]);
    check("tick = 0.01", "tick = -0.01", &["X"]);
    check("tick = 0.01", "tick = nan", &["X"]);
    check("tick = 0.01", "tick = 0.01\nlot = 100", &["X"]);
    check("tick = 0.01", "tick = 0.01\nlot = 100\nmin_qty = 150", &["X"]);
    check("tick = 0.01", "tick = 0.01\nlot = 2000", &["X"]);
    check("collar_bps = 500", "collar_bps = 0", &["X"]);
    check("id = 7", "id = 0", &["X"]);
    check("keepalive_ms = 1000", "keepalive_ms = 1000\nkeepalive = 1", &["X"]);
    check("", "[aeron]\nmtu_bytes = 1400\nterm_length_bytes = 100000\n", &["X"]);
    check("", "[control]\nhttp = \"0.0.0.0:9181\"\n", &["X"]);
    check("", "[entry]\nkeepalive_ms_min = 70000\n", &["X"]);
    check("", "[runtime]\nfeed_core = 2\nentry_core = 2\nfeed_idle = \"pause\"\n", &["X"]);
    check("", "[runtime]\nentry_core = 2\nrisk_core = 3\ndriver_core = 4\n", &["X"]);
    check("", "[runtime]\nfeed_core = \"none\"\nentry_core = 5000\n", &["X"]);
    check(
        "",
        "[[account]]\nid = 7\nname = \"house\"\nmax_long = 1\nmax_short = 1\nmax_order_qty = 1\nmax_order_notional = 1\n",
        &["X"],
    );
}

#[test]
fn text_that_is_not_toml_is_told_by_line() {
    check("layout = \"fused\"", "layout = ", &["X"]);
    check("burst = 10", "burst = 10\nburst = 11", &["X"]);
}

#[test]
fn all_faults_are_told_at_once() {
    let folder = folder();
    let text = "[gatway]\n[risk]\nmax_open_orders = -1\nduplicate_window = 5\n[[session]]\nid = 1\nname = \"\"\nkey_file = \"none\"\n\
                accounts = [3]\nreport_channel = \"ipc\"\nreport_stream_id = 0\nburst = 0\n[feed]\nmax_orders = 1000\n";
    assert_eq!(faults(folder.path(), text), "X");
}
