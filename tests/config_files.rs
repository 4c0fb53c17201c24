//! Configuration files as people write them: what is wrong is told all at once, exactly, and nothing else.

#[path = "support/config.rs"]
mod config;

use std::fs;
use std::path::Path;

use config::{SOUND, check, faults, folder, write_key};

use postern::config::{Config, Protocol, Source};
use postern::net::Timestamps;
use postern::runtime::layout::Layout;
use postern::session::SessionKey;

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
    assert_eq!(config.sessions[0].key, SessionKey::new([0x5a; 32]));
    assert_eq!(config.sessions[0].key_file, folder.path().join("a.key"));
    assert!(matches!(config.channels[0].source, Source::Multicast { line_b: Some(_), .. }));
    assert_eq!(config.channels[0].utc_offset_minutes, 0);
}

#[test]
fn a_channel_is_of_itch_unless_it_says_otherwise_and_is_printed_as_it_is_read() {
    for (line, expected) in [
        ("", Protocol::Itch50),
        ("protocol = \"itch50\"\n", Protocol::Itch50),
        ("protocol = \"iex_deep\"\n", Protocol::IexDeep),
        ("protocol = \"iex_tops\"\n", Protocol::IexTops),
    ] {
        let text = format!(
            "[[channel]]\nid = 1\nname = \"c\"\nstale_after_ms = 3000\nsource = \"capture\"\n\
             file = \"/x.pcap\"\npace = \"fast\"\n{line}"
        );
        let config = Config::from_toml("g.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.channels[0].protocol, expected);
        let printed = Config::from_toml("g.toml", &config.to_toml());
        assert_eq!(printed.unwrap_or_else(|errors| panic!("{errors}")), config);
    }
}

#[test]
fn stamps_are_none_unless_asked_for_and_are_printed_as_they_are_read() {
    let folder = folder();
    let path = folder.path().join("g.toml");
    let asked = [
        ("", Timestamps::None),
        ("timestamps = \"none\"\n", Timestamps::None),
        ("timestamps = \"software\"\n", Timestamps::Software),
        ("timestamps = \"hardware\"\n", Timestamps::Hardware),
    ];
    for (line, expected) in asked {
        let text = SOUND.replacen("interface =", &format!("{line}interface ="), 1);
        fs::write(&path, text).expect("written");
        let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let Source::Multicast { timestamps, .. } = config.channels[0].source else {
            panic!("a multicast channel");
        };
        assert_eq!(timestamps, expected);
        fs::write(&path, config.to_toml()).expect("written");
        let again = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(again.channels, config.channels);
    }
}

#[test]
fn one_fault_is_one_line() {
    check(
        "layout = \"fused\"",
        "layuot = \"fused\"",
        &[r#"g.toml:3: gateway.layuot: no such key, did you mean "layout"?"#],
    );
    check(
        "",
        "[rsk]\nmax_open_orders = 64\n",
        &[r#"g.toml:54: rsk: no such section, did you mean "risk"?"#],
    );
    check(
        "",
        "[risk]\nmax_open_orders = \"many\"\n",
        &["g.toml:55: risk.max_open_orders: must be an integer, not a string"],
    );
    check(
        "",
        "[risk]\nmax_open_orders = 65\n",
        &["g.toml:55: risk.max_open_orders: 65 is not a power of two"],
    );
    check(
        "",
        "[risk]\nmax_open_orders = 0\n",
        &["g.toml:55: risk.max_open_orders: 0 is outside 64 to 524288"],
    );
    check(
        "",
        "[risk]\nduplicate_count = 99999999999999999999999999999999999999999999\n",
        &[
            "g.toml:55: risk.duplicate_count: 99999999999999999999999999999999999999999999 is outside 0 to 1000",
        ],
    );
    check(
        "",
        "[risk]\nduplicate_count = 2.5\n",
        &["g.toml:55: risk.duplicate_count: must be an integer, not a float"],
    );
    check(
        "",
        "[[risk]]\nduplicate_count = 2\n",
        &["g.toml:54: risk: there is one of it: write [risk], not [[risk]]"],
    );
    check(
        "[gateway]\nlayout = \"fused\"",
        "gateway = 5",
        &["g.toml:2: gateway: is a section: write [gateway]"],
    );
    check(
        "layout = \"fused\"",
        "layout = \"fussed\"",
        &[
            r#"g.toml:3: gateway.layout: "fussed" is none of "auto", "fused", "split", did you mean "fused"?"#,
        ],
    );
    check(
        "layout = \"fused\"",
        "layout = 3",
        &["g.toml:3: gateway.layout: must be a text in quotes, not an integer"],
    );
    check(
        "layout = \"fused\"",
        "name = \"a name with spaces\"",
        &[
            r#"g.toml:3: gateway.name: "a name with spaces" is not 1 to 11 letters, digits or `-` `_`"#,
        ],
    );
    check(
        "[[session]]",
        "[session]",
        &["g.toml:5: session: there may be several: write [[session]]"],
    );
    check("burst = 10\n", "", &["g.toml:5: session.burst: is missing"]);
    check(
        "burst = 10\n",
        "burst = true\n",
        &["g.toml:13: session.burst: must be an integer, not a boolean"],
    );
    check(
        "accounts = [7]",
        "accounts = []",
        &["g.toml:9: session.accounts: is empty: a session trades for at least one account"],
    );
    check(
        "accounts = [7]",
        "accounts = [7, \"x\"]",
        &["g.toml:9: session.accounts: must be an integer, not a string"],
    );
    check(
        "accounts = [7]",
        "accounts = [7, 7]",
        &["g.toml:9: session.accounts: names account 7 twice"],
    );
    check(
        "accounts = [7]",
        "accounts = [7, 8]",
        &["g.toml:9: session.accounts: there is no [[account]] with id = 8"],
    );
    check(
        "report_stream_id = 2001",
        "report_stream_id = 1001",
        &[
            "g.toml:11: session.report_stream_id: aeron:ipc stream 1001 is taken: default.toml (built in):N",
        ],
    );
    check(
        "report_stream_id = 2001",
        "report_stream_id = 3002",
        &["g.toml:50: venue.report_stream_id: aeron:ipc stream 3002 is taken: line 11"],
    );
    check(
        "report_channel = \"aeron:ipc\"\nreport_stream_id = 2001",
        "report_channel = \"aeron:udp\"\nreport_stream_id = 2001",
        &[
            r#"g.toml:10: session.report_channel: "aeron:udp" names neither an endpoint nor a control address"#,
        ],
    );
    check(
        "line_b = \"239.1.1.2:26400\"",
        "line_b = \"239.1.1.1:26400\"",
        &[
            "g.toml:21: channel.line_b: is the same as line_a: leave it out where there is only one line",
        ],
    );
    check(
        "line_b = \"239.1.1.2:26400\"",
        "line_b = \"10.1.1.1:26400\"",
        &[
            "g.toml:21: channel.line_b: 10.1.1.1 is no multicast group (224.0.0.0 to 239.255.255.255)",
        ],
    );
    check(
        "line_b = \"239.1.1.2:26400\"",
        "line_b = \"239.1.1.2\"",
        &[
            r#"g.toml:21: channel.line_b: "239.1.1.2" is no IPv4 address and port such as 239.1.1.1:26400"#,
        ],
    );
    check(
        "line_b = \"239.1.1.2:26400\"",
        "file = \"x.pcap\"",
        &[r#"g.toml:21: channel.file: does not go with source = "multicast""#],
    );
    check(
        "stale_after_ms = 3000",
        "stale_after_ms = 3000\nutc_offset_minutes = -721",
        &["g.toml:24: channel.utc_offset_minutes: -721 is outside -720 to 840"],
    );
    check("interface = \"127.0.0.1\"\n", "", &["g.toml:16: channel.interface: is missing"]);
    check(
        "stale_after_ms = 3000",
        "stale_after_ms = 3000\nprotocol = \"iex\"\nreorder_packets = 9999",
        &[
            r#"g.toml:24: channel.protocol: "iex" is none of "itch50", "iex_deep", "iex_tops", "sbe""#,
        ],
    );
    check(
        "stale_after_ms = 3000",
        "stale_after_ms = 3000\nprotocol = \"iex_tops\"\nutc_offset_minutes = 0\nrecovery_queue_messages = 1\n\
         rerequest = \"10.0.0.1:1\"\nglimpse_user = \"x\"",
        &[
            "g.toml:25: channel.utc_offset_minutes: does not go with a protocol of IEX",
            "g.toml:26: channel.recovery_queue_messages: does not go with a protocol of IEX",
            "g.toml:27: channel.rerequest: does not go with a protocol of IEX",
            "g.toml:28: channel.glimpse_user: does not go with a protocol of IEX",
        ],
    );
    check(
        "stale_after_ms = 3000",
        "stale_after_ms = 3000\nprotocol = \"iex_deep\"\nreorder_packets = 4097\nreorder_us = -1\nline_wait_us = 1000001",
        &[
            "g.toml:25: channel.reorder_packets: 4097 is outside 0 to 4096",
            "g.toml:26: channel.reorder_us: -1 is outside 0 to 1000000",
            "g.toml:27: channel.line_wait_us: 1000001 is outside 0 to 1000000",
        ],
    );
    check(
        "stale_after_ms = 3000",
        "stale_after_ms = 3000\ntimestamps = \"hard\"",
        &[r#"g.toml:24: channel.timestamps: "hard" is none of "none", "software", "hardware""#],
    );
    check(
        "source = \"multicast\"\nline_a = \"239.1.1.1:26400\"\nline_b = \"239.1.1.2:26400\"\ninterface = \"127.0.0.1\"",
        "source = \"capture\"\nfile = \"x.pcap\"\npace = \"fast\"\ntimestamps = \"none\"",
        &[r#"g.toml:22: channel.timestamps: does not go with source = "capture""#],
    );
    check(
        "source = \"multicast\"",
        "source = \"multcast\"",
        &[
            r#"g.toml:19: channel.source: "multcast" is none of "multicast", "capture", "aeron", did you mean "multicast"?"#,
        ],
    );
    check(
        "symbol = \"AAPL\"",
        "symbol = \"TOOLONGSYM\"",
        &[r#"g.toml:27: instrument.symbol: "TOOLONGSYM" is not 1 to 8 printable ASCII characters"#],
    );
    check(
        "venue = 1\n",
        "venue = 9\n",
        &["g.toml:29: instrument.venue: there is no [[venue]] with id = 9"],
    );
    check(
        "channel = 1\n",
        "channel = 2\n",
        &["g.toml:28: instrument.channel: there is no [[channel]] with id = 2"],
    );
    check("tick = 0.01", "tick = 0", &["g.toml:30: instrument.tick: 0 is not above 0"]);
    check(
        "tick = 0.01",
        "tick = 1e-2",
        &["g.toml:30: instrument.tick: 1e-2 is not a decimal number such as 0.01"],
    );
    check(
        "tick = 0.01",
        "tick = 0.0000000001",
        &[
            "g.toml:30: instrument.tick: 0.0000000001 is too precise: at most nine digits after the point",
        ],
    );
    check("tick = 0.01", "tick = -0.01", &["g.toml:30: instrument.tick: -0.01 is not above 0"]);
    check(
        "tick = 0.01",
        "tick = nan",
        &["g.toml:30: instrument.tick: nan is not a decimal number such as 0.01"],
    );
    check(
        "tick = 0.01",
        "tick = 0.01\nlot = 100\nmin_qty = 150",
        &["g.toml:32: instrument.min_qty: 150 is not a multiple of lot, 100"],
    );
    check(
        "tick = 0.01",
        "tick = 0.01\nlot = 2000",
        &["g.toml:32: instrument.max_order_qty: 1000 is below min_qty, 2000: no order could pass"],
    );
    check(
        "collar_bps = 500",
        "collar_bps = 0",
        &[
            "g.toml:33: instrument.collar_bps: is 0, and so is collar_ticks: hardly an order could pass",
        ],
    );
    check(
        "id = 7",
        "id = 0",
        &[
            "g.toml:9: session.accounts: there is no [[account]] with id = 7",
            "g.toml:37: account.id: 0 is outside 1 to 4294967295",
        ],
    );
    check(
        "keepalive_ms = 1000",
        "keepalive_ms = 1000\nkeepalive = 1",
        &[r#"g.toml:54: venue.keepalive: no such key, did you mean "keepalive_ms"?"#],
    );
    check(
        "",
        "[aeron]\nmtu_bytes = 1400\nterm_length_bytes = 100000\n",
        &[
            "g.toml:55: aeron.mtu_bytes: 1400 is not a multiple of 32",
            "g.toml:56: aeron.term_length_bytes: 100000 is not a power of two",
        ],
    );
    check(
        "",
        "[control]\nhttp = \"0.0.0.0:9181\"\n",
        &[
            "g.toml:55: control.http: 0.0.0.0 can be reached from other machines, and HTTP has no password: use 127.0.0.1",
        ],
    );
    check(
        "",
        "[entry]\nkeepalive_ms_min = 70000\n",
        &["g.toml:55: entry.keepalive_ms_min: 70000 is above keepalive_ms_max, 60000"],
    );
    check(
        "",
        "[runtime]\nfeed_core = 2\nentry_core = 2\nfeed_idle = \"pause\"\n",
        &[
            r#"g.toml:56: runtime.entry_core: 2 is feed_core too, and one of the two never lets go of it: make both idle "yield" or "park""#,
        ],
    );
    check(
        "",
        "[runtime]\nentry_core = 2\nrisk_core = 3\ndriver_core = 4\n",
        &[
            r#"g.toml:56: runtime.risk_core: contradicts gateway.layout = "fused", in which it is entry_core"#,
            "g.toml:57: runtime.driver_core: is set, but aeron.driver gives the driver no thread of its own here",
        ],
    );
    check(
        "",
        "[runtime]\nfeed_core = \"none\"\nentry_core = 5000\n",
        &[
            r#"g.toml:55: runtime.feed_core: "none" is neither "auto" nor a number"#,
            "g.toml:56: runtime.entry_core: 5000 is outside 0 to 1023",
        ],
    );
    check(
        "",
        "[[account]]\nid = 7\nname = \"house\"\nmax_long = 1\nmax_short = 1\nmax_order_qty = 1\nmax_order_notional = 1\n",
        &[
            "g.toml:55: account.id: 7 is taken: line 37",
            "g.toml:56: account.name: house is taken: line 38",
        ],
    );
}

#[test]
fn text_that_is_not_toml_is_told_by_line() {
    check(
        "layout = \"fused\"",
        "layout = ",
        &["g.toml:3: not TOML: string values must be quoted, expected literal string"],
    );
    check("burst = 10", "burst = 10\nburst = 11", &["g.toml:14: not TOML: duplicate key"]);
}

#[test]
fn all_faults_are_told_at_once() {
    let folder = folder();
    let text = "[gatway]\n[risk]\nmax_open_orders = -1\nduplicate_window = 5\n[[session]]\nid = 1\nname = \"\"\nkey_file = \"none\"\n\
                accounts = [3]\nreport_channel = \"ipc\"\nreport_stream_id = 0\nburst = 0\n[feed]\nmax_orders = 1000\n";
    let expected = [
        r#"g.toml:1: gatway: no such section, did you mean "gateway"?"#,
        r#"g.toml:3: risk.max_open_orders: -1 is outside 64 to 524288"#,
        r#"g.toml:4: risk.duplicate_window: no such key, did you mean "duplicate_window_ms"?"#,
        r#"g.toml:5: session.cancels_per_second: is missing"#,
        r#"g.toml:5: session.messages_per_second: is missing"#,
        r#"g.toml:7: session.name: "" is not 1 to 32 letters, digits or `-` `_` `.`"#,
        r#"g.toml:8: session.key_file: none cannot be read: No such file or directory (os error 2)"#,
        r#"g.toml:10: session.report_channel: "ipc" is no Aeron channel: it begins with aeron:ipc or aeron:udp"#,
        r#"g.toml:11: session.report_stream_id: 0 is outside 1 to 2147483647"#,
        r#"g.toml:12: session.burst: 0 is outside 1 to 1000000"#,
        r#"g.toml:14: feed.max_orders: 1000 is outside 1024 to 134217728"#,
    ];
    assert_eq!(faults(folder.path(), text), expected.join("\n"));
}

#[test]
fn what_contradicts_another_section_is_told() {
    check(
        "burst = 10",
        "burst = 10\nmax_open_orders = 20000",
        &["g.toml:14: session.max_open_orders: 20000 is above risk.max_open_orders, 8192"],
    );
    check(
        "",
        "[risk]\nduplicate_count = 1\n",
        &["g.toml:55: risk.duplicate_count: 1 would deny every order: 2 or more, or 0 for none"],
    );
}

#[test]
fn a_journal_keeps_two_to_seven_segments_ready() {
    for sound in [2, 7] {
        check("", &format!("[journal]\nsegments_ready = {sound}\n"), &[]);
    }
    for refused in [1, 8] {
        check(
            "",
            &format!("[journal]\nsegments_ready = {refused}\n"),
            &[&format!("g.toml:55: journal.segments_ready: {refused} is outside 2 to 7")],
        );
    }
}

#[test]
fn what_follows_from_another_key_is_sound() {
    check("tick = 0.01", "tick = 0.01\nlot = 100", &[]);
    for offset in ["-720", "-300", "840"] {
        let written = format!("stale_after_ms = 3000\nutc_offset_minutes = {offset}");
        check("stale_after_ms = 3000", &written, &[]);
    }
    check("", "[runtime]\nfeed_core = 2\nentry_core = 2\nfeed_idle = \"yield\"\n", &[]);
    check("", "[control]\nhttp = \"off\"\n[telemetry]\nhlog_directory = \"hlog\"\n", &[]);
}

#[test]
fn key_files_are_refused_without_telling_what_is_in_them() {
    let secret = "c0ffee00".repeat(8);
    for (text, mode, reason) in [
        (secret.clone(), 0o604, "may be used by everybody: chmod o= it, and make a new key"),
        (secret.clone(), 0o602, "may be used by everybody: chmod o= it, and make a new key"),
        (secret[1..].to_owned(), 0o600, "does not hold 64 hexadecimal digits"),
        (format!("{}zz", &secret[2..]), 0o600, "does not hold 64 hexadecimal digits"),
        (format!("{secret}{secret}"), 0o640, "does not hold 64 hexadecimal digits"),
        (String::new(), 0o600, "does not hold 64 hexadecimal digits"),
    ] {
        let folder = folder();
        write_key(&folder.path().join("b.key"), &text, mode);
        let spoiled = SOUND.replacen("a.key", "b.key", 1);
        assert_eq!(
            faults(folder.path(), &spoiled),
            format!("g.toml:8: session.key_file: b.key {reason}")
        );
    }
    check(
        "key_file = \"a.key\"",
        "key_file = \".\"",
        &["g.toml:8: session.key_file: . is not a file"],
    );
}

#[test]
fn a_key_may_end_its_line_and_be_read_by_a_group() {
    let folder = folder();
    write_key(&folder.path().join("b.key"), &format!("{}\n", "A5".repeat(32)), 0o640);
    assert_eq!(faults(folder.path(), &SOUND.replacen("a.key", "b.key", 1)), "");
}

#[test]
fn a_file_that_is_not_there_is_told_without_a_line() {
    let errors = Config::load(Path::new("/nowhere/g.toml")).expect_err("not there");
    assert_eq!(
        errors.to_string(),
        "/nowhere/g.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn streams_of_market_data_are_ones_own() {
    let (session, instrument) = ("burst = 10\n", "collar_ticks = 0\n");
    let own = |keys: &str, id: u32| format!("{keys}market_data_stream_id = {id}\n");
    check(session, &own(session, 2101), &[]);
    check(
        session,
        &own(session, 1003),
        &[
            "g.toml:14: session.market_data_stream_id: aeron:ipc stream 1003 is taken: default.toml (built in):N",
        ],
    );
    check(
        instrument,
        &own(instrument, 1002),
        &[
            "g.toml:35: instrument.market_data_stream_id: aeron:ipc stream 1002 is taken: default.toml (built in):N",
        ],
    );
    check(
        instrument,
        &own(instrument, 2001),
        &["g.toml:11: session.report_stream_id: aeron:ipc stream 2001 is taken: line 35"],
    );
    check("", "\n[market_data]\ndepth = 64\nsnapshot_interval_ms = 600000\n", &[]);
    check(
        "",
        "\n[market_data]\ndepth = 65\n",
        &["g.toml:56: market_data.depth: 65 is outside 0 to 64"],
    );
    // Without snapshots their stream is anybody's.
    let folder = folder();
    let text = SOUND.replacen(session, &own(session, 1003), 1);
    let without = format!("{text}\n[market_data]\nsnapshot_interval_ms = 0\n");
    assert_eq!(faults(folder.path(), &without), "");
}

#[test]
fn what_is_said_of_market_data_is_in_force() {
    let folder = folder();
    let text = format!(
        "{}\n[market_data]\ndepth = 3\nsnapshot_stream_id = 1103\nsnapshot_interval_ms = 250\n",
        SOUND.replacen("collar_ticks = 0\n", "collar_ticks = 0\nmarket_data_stream_id = 1101\n", 1)
    );
    let name = folder.path().join("g.toml").display().to_string();
    let config = Config::from_toml(&name, &text).unwrap_or_else(|errors| panic!("{errors}"));
    let market_data = &config.market_data;
    assert_eq!((market_data.depth, market_data.snapshot_interval_ms), (3, 250));
    assert_eq!(market_data.snapshots.stream_id, 1103);
    assert_eq!(config.instruments[0].market_data_stream_id, 1101);
    assert_eq!(config.sessions[0].market_data_stream_id, 0);
    assert_eq!(market_data.stream_with(0), None);
    let own = market_data.stream_with(1101).expect("a stream");
    assert_eq!((own.channel.as_str(), own.stream_id), ("aeron:ipc", 1101));
}

/// A channel that another gateway's streams are, as `[[channel]]` number 2.
const CHAINED: &str = r#"
[[channel]]
id = 2
name = "upstream"
protocol = "sbe"
source = "aeron"
aeron_channel = "aeron:udp?endpoint=127.0.0.1:40457"
aeron_stream_id = 1002
stale_after_ms = 500
"#;

#[test]
fn a_channel_may_be_another_gateway_and_is_printed_as_it_is_read() {
    let folder = folder();
    let name = folder.path().join("g.toml").display().to_string();
    let with_snapshots = format!(
        "{CHAINED}aeron_snapshot_channel = \"aeron:ipc\"\naeron_snapshot_stream_id = 1103\n"
    );
    for (chained, expected) in [(CHAINED, None), (with_snapshots.as_str(), Some(1103))] {
        let config = Config::from_toml(&name, &format!("{SOUND}{chained}"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        let channel = &config.channels[1];
        assert_eq!((channel.protocol, channel.stale_after_ms), (Protocol::Sbe, 500));
        let Source::Aeron { changes, snapshots } = &channel.source else { panic!("a stream") };
        assert_eq!(changes.channel, "aeron:udp?endpoint=127.0.0.1:40457");
        assert_eq!(changes.stream_id, 1002, "another channel's stream than our own 1002");
        assert_eq!(snapshots.as_ref().map(|stream| stream.stream_id), expected);
        let printed = Config::from_toml(&name, &config.to_toml());
        assert_eq!(printed.unwrap_or_else(|errors| panic!("{errors}")), config);
    }
}

#[test]
fn what_does_not_go_with_another_gateway_is_told_and_the_other_way_round() {
    let chained = |from: &str, to: &str, expected: &[&str]| {
        assert!(CHAINED.contains(from), "{from}");
        let folder = folder();
        let text = format!("{SOUND}{}", CHAINED.replacen(from, to, 1));
        assert_eq!(faults(folder.path(), &text), expected.join("\n"), "{from} → {to}");
    };
    let last = "stale_after_ms = 500\n";
    let with = |rest: &str| format!("{last}{rest}\n");
    chained(
        last,
        &with("line_a = \"239.1.1.1:1\"\nfile = \"x\"\nreorder_us = 1\nglimpse_user = \"x\""),
        &[
            "g.toml:63: channel.line_a: does not go with source = \"aeron\"",
            "g.toml:64: channel.file: does not go with source = \"aeron\"",
            "g.toml:65: channel.reorder_us: does not go with protocol = \"sbe\"",
            "g.toml:66: channel.glimpse_user: does not go with protocol = \"sbe\"",
        ],
    );
    chained(
        "protocol = \"sbe\"\n",
        "protocol = \"iex_deep\"\n",
        &["g.toml:59: channel.source: brings nothing but protocol = \"sbe\""],
    );
    chained(
        "protocol = \"sbe\"\n",
        "",
        &["g.toml:58: channel.source: brings nothing but protocol = \"sbe\""],
    );
    chained(
        "source = \"aeron\"",
        "source = \"capture\"\nfile = \"x\"\npace = \"fast\"",
        &[
            "g.toml:59: channel.source: does not go with protocol = \"sbe\", which comes from \"aeron\"",
            "g.toml:62: channel.aeron_channel: does not go with source = \"capture\"",
            "g.toml:63: channel.aeron_stream_id: does not go with source = \"capture\"",
        ],
    );
    chained("aeron_stream_id = 1002\n", "", &["g.toml:55: channel.aeron_stream_id: is missing"]);
    chained(
        "aeron_channel = \"aeron:udp?endpoint=127.0.0.1:40457\"",
        "aeron_channel = \"127.0.0.1:40457\"",
        &[
            "g.toml:60: channel.aeron_channel: \"127.0.0.1:40457\" is no Aeron channel: it begins with aeron:ipc or aeron:udp",
        ],
    );
    chained(
        last,
        &with("aeron_snapshot_stream_id = 1103"),
        &["g.toml:55: channel.aeron_snapshot_channel: is missing"],
    );
    chained(
        last,
        &with(
            "aeron_snapshot_channel = \"aeron:udp?endpoint=127.0.0.1:40457\"\naeron_snapshot_stream_id = 1002",
        ),
        &[
            "g.toml:64: channel.aeron_snapshot_stream_id: is the stream of market data: snapshots have one of their own",
        ],
    );
    // What we publish is not what we read.
    chained(
        "aeron:udp?endpoint=127.0.0.1:40457",
        "aeron:ipc",
        &[
            "g.toml:61: channel.aeron_stream_id: aeron:ipc stream 1002 is taken: default.toml (built in):N",
        ],
    );
    check(
        "line_b = \"239.1.1.2:26400\"",
        "aeron_stream_id = 1",
        &["g.toml:21: channel.aeron_stream_id: does not go with source = \"multicast\""],
    );
}
