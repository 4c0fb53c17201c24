//! Keys of the feed that are sound one by one and cannot work together: each is refused by its name, with what to do.

#[path = "support/config.rs"]
mod config;

use config::{SOUND, check, faults, folder};

#[test]
fn a_server_has_an_address_of_its_own() {
    let (stale, glimpse) = ("stale_after_ms = 3000", "glimpse_user = \"reader\"\nglimpse =");
    for (address, fault) in [
        ("239.1.1.9:26410", "239.1.1.9 is a multicast group: give the server's own address"),
        (
            "255.255.255.255:1",
            "255.255.255.255 is everybody's address: give the server's own address",
        ),
        ("0.0.0.0:26410", "0.0.0.0 is nobody's address: give the server's own address"),
        ("10.0.0.9:0", "\"10.0.0.9:0\" has no port"),
    ] {
        let rerequest = format!("{stale}\nrerequest = \"{address}\"");
        check(stale, &rerequest, &[&format!("g.toml:24: channel.rerequest: {fault}")]);
        let written = format!("{stale}\n{glimpse} \"{address}\"");
        check(stale, &written, &[&format!("g.toml:25: channel.glimpse: {fault}")]);
    }
    // One is asked by UDP, the other by TCP: a host may serve both at one number.
    let same = format!("{stale}\nrerequest = \"10.0.0.9:7\"\n{glimpse} \"10.0.0.9:7\"");
    check(stale, &same, &[]);
    for interface in ["239.1.1.1", "255.255.255.255"] {
        check(
            "interface = \"127.0.0.1\"",
            &format!("interface = \"{interface}\""),
            &[&format!(
                "g.toml:22: channel.interface: {interface} is no interface's address: give this machine's own on that network"
            )],
        );
    }
}

#[test]
fn a_gap_that_is_asked_for_has_room_in_the_queue() {
    let stale = "stale_after_ms = 3000";
    let with = |keys: &str| format!("{stale}\nrerequest = \"10.0.0.9:7\"\n{keys}");
    check(stale, &with("rerequest_gap_messages = 1023\nrecovery_queue_messages = 1024"), &[]);
    check(stale, &with("rerequest_gap_messages = 131071"), &[]);
    let no_room = |gap: u32, queue: u32, remedy: &str| {
        format!(
            "a gap of rerequest_gap_messages, {gap}, has no room in recovery_queue_messages, {queue}, which holds the gap \
             and what comes behind it: {remedy}"
        )
    };
    let lower = "lower it, or raise recovery_queue_messages";
    check(
        stale,
        &with("rerequest_gap_messages = 1024\nrecovery_queue_messages = 1024"),
        &[&format!("g.toml:25: channel.rerequest_gap_messages: {}", no_room(1_024, 1_024, lower))],
    );
    check(
        stale,
        &with("rerequest_gap_messages = 1000000"),
        &[&format!(
            "g.toml:25: channel.rerequest_gap_messages: {}",
            no_room(1_000_000, 131_072, lower)
        )],
    );
    let raise = "raise it, or lower rerequest_gap_messages";
    check(
        stale,
        &with("recovery_queue_messages = 8192"),
        &[&format!(
            "g.toml:25: channel.recovery_queue_messages: {}",
            no_room(10_000, 8_192, raise)
        )],
    );
    // Without a server nothing is asked for.
    check(stale, &format!("{stale}\nrecovery_queue_messages = 1024"), &[]);
}

#[test]
fn two_lines_need_a_window() {
    let stale = "stale_after_ms = 3000";
    let none = format!("{stale}\nreorder_packets = 0");
    check(
        stale,
        &none,
        &[
            "g.toml:24: channel.reorder_packets: is 0, so that what one line loses is a gap before the other can bring it: \
             give 1 or more, or leave out line_b",
        ],
    );
    check(stale, &format!("{stale}\nreorder_packets = 1\nreorder_us = 0"), &[]);
    let iex = format!("{stale}\nprotocol = \"iex_deep\"");
    check(
        stale,
        &format!("{iex}\nreorder_packets = 0"),
        &[
            "g.toml:25: channel.reorder_packets: is 0, so that what one line loses is a gap before the other can bring it: \
             give 1 or more, or leave out line_b",
        ],
    );
    check(stale, &format!("{iex}\nreorder_packets = 1\nreorder_us = 0\nline_wait_us = 0"), &[]);
    // A server's queue keeps what is behind a hole.
    check(stale, &format!("{none}\nrerequest = \"10.0.0.9:7\""), &[]);
    let folder = folder();
    let one_line =
        SOUND.replacen("line_b = \"239.1.1.2:26400\"\n", "", 1).replacen(stale, &none, 1);
    assert_eq!(faults(folder.path(), &one_line), "");
}

#[test]
fn no_two_channels_hear_the_same_packets() {
    let channel = |line_a: &str, line_b: &str, interface: &str| {
        format!(
            "[[channel]]\nid = 2\nname = \"other\"\nsource = \"multicast\"\nline_a = \"{line_a}\"\n\
             line_b = \"{line_b}\"\ninterface = \"{interface}\"\nstale_after_ms = 3000\n"
        )
    };
    let (a, b) = ("239.1.1.1:26400", "239.1.1.2:26400");
    check(
        "",
        &channel(b, a, "127.0.0.1"),
        &[
            "g.toml:58: channel.line_a: 239.1.1.2:26400 on interface 127.0.0.1 is taken: line 21: each line has a group and \
             port of its own",
            "g.toml:59: channel.line_b: 239.1.1.1:26400 on interface 127.0.0.1 is taken: line 20: each line has a group and \
             port of its own",
        ],
    );
    check("", &channel("239.1.1.1:26401", "239.1.1.3:26400", "127.0.0.1"), &[]);
    check("", &channel(a, b, "127.0.0.2"), &[]);
}

#[test]
fn books_keep_as_many_levels_as_are_told() {
    check("", "[market_data]\ndepth = 64\n[feed]\nmax_levels = 64\n", &[]);
    check(
        "",
        "[feed]\nmax_levels = 9\n",
        &[
            "g.toml:55: feed.max_levels: 9 is below market_data.depth, 10: a book keeps no more levels than that to tell of",
        ],
    );
}

#[test]
fn a_price_does_not_age_between_two_words_of_the_feed() {
    check("", "[risk]\nreference_stale_ms = 10\n", &[]);
    check(
        "",
        "[risk]\nreference_stale_ms = 9\n",
        &["g.toml:55: risk.reference_stale_ms: 9 is outside 10 to 3600000"],
    );
}

#[test]
fn a_stream_is_the_same_whatever_else_its_channel_says() {
    let session = "report_channel = \"aeron:ipc\"\nreport_stream_id = 2001";
    check(
        session,
        "report_channel = \"aeron:ipc?term-length=64k\"\nreport_stream_id = 1001",
        &[
            "g.toml:11: session.report_stream_id: aeron:ipc?term-length=64k stream 1001 is taken: default.toml (built in):N",
        ],
    );
    let udp = |parameters: &str| format!("\"aeron:udp?endpoint=10.0.0.1:7{parameters}\"");
    let folder = folder();
    let both = |order: &str, report: &str| {
        let text = SOUND
            .replacen("order_channel = \"aeron:ipc\"", &format!("order_channel = {order}"), 1)
            .replacen("report_stream_id = 3002", "report_stream_id = 3001", 1)
            .replacen(
                "report_channel = \"aeron:ipc\"\nreport_stream_id = 3001",
                &format!("report_channel = {report}\nreport_stream_id = 3001"),
                1,
            );
        faults(folder.path(), &text)
    };
    assert_eq!(
        both(&udp(""), &udp("|interface=lo")),
        "g.toml:50: venue.report_stream_id: aeron:udp?endpoint=10.0.0.1:7|interface=lo stream 3001 is taken: line 48"
    );
    assert_eq!(both(&udp(""), "\"aeron:udp?endpoint=10.0.0.1:8\""), "");
    assert_eq!(both(&udp("|control=10.0.0.1:9"), &udp("|control=10.0.0.1:8")), "");
}
