//! `[[af_xdp]]` as people write it: what is wrong is told by line and key, and what is right is printed as it is read.

#[path = "support/config.rs"]
mod config;

use config::{SOUND, check, folder};
use postern::config::{AfXdp, AfXdpUser, Config, Fallback, Source};
use postern::net::xdp::WantedMode;

/// The end of a sound file, behind which sections are put.
const END: &str = "keepalive_ms = 1000\n";

fn queue(keys: &str) -> String {
    format!("[[af_xdp]]\ninterface = \"eth1\"\nused_by = \"feed\"\n{keys}")
}

fn read(text: &str) -> Config {
    let config = Config::from_toml("g.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
    let printed = Config::from_toml("g.toml", &config.to_toml());
    assert_eq!(printed.unwrap_or_else(|errors| panic!("{errors}")), config);
    config
}

#[test]
fn what_is_not_written_has_its_default() {
    assert!(Config::default().af_xdp.is_empty());
    let plain = AfXdp {
        interface: "eth1".to_owned(),
        queue: 0,
        used_by: AfXdpUser::Feed,
        mode: WantedMode::Auto,
        receive_frames: 4_096,
        send_frames: 1_024,
        frame_bytes: 2_048,
        busy_poll_us: 0,
        fallback: Fallback::Kernel,
    };
    assert_eq!(read(&queue("")).af_xdp[..], *std::slice::from_ref(&plain));
    let other = "[[af_xdp]]\ninterface = \"enp1s0f0.5\"\nused_by = \"aeron\"\nqueue = 255\nmode = \"native\"\n\
                 receive_frames = 64\nsend_frames = 65536\nframe_bytes = 4096\nbusy_poll_us = 1000\nfallback = \"refuse\"\n";
    let written = AfXdp {
        interface: "enp1s0f0.5".to_owned(),
        queue: 255,
        used_by: AfXdpUser::Aeron,
        mode: WantedMode::Native,
        receive_frames: 64,
        send_frames: 65_536,
        frame_bytes: 4_096,
        busy_poll_us: 1_000,
        fallback: Fallback::Refuse,
    };
    assert_eq!(read(&(queue("") + other)).af_xdp, [plain, written]);
    for (word, mode) in [
        ("auto", WantedMode::Auto),
        ("zero-copy", WantedMode::ZeroCopy),
        ("generic", WantedMode::Generic),
    ] {
        assert_eq!(read(&queue(&format!("mode = \"{word}\"\n"))).af_xdp[0].mode, mode);
    }
}

#[test]
fn each_fault_is_told_by_its_key() {
    for (keys, key, fault) in [
        ("queue = 256\n", "queue", "256 is outside 0 to 255"),
        ("receive_frames = 100\n", "receive_frames", "100 is not a power of two"),
        ("receive_frames = 32\n", "receive_frames", "32 is outside 64 to 65536"),
        ("send_frames = 131072\n", "send_frames", "131072 is outside 64 to 65536"),
        ("frame_bytes = 3000\n", "frame_bytes", "3000 is not a power of two"),
        ("frame_bytes = 8192\n", "frame_bytes", "8192 is outside 2048 to 4096"),
        ("busy_poll_us = 1001\n", "busy_poll_us", "1001 is outside 0 to 1000"),
        (
            "mode = \"nativ\"\n",
            "mode",
            "\"nativ\" is none of \"auto\", \"zero-copy\", \"native\", \"generic\", did you mean \"native\"?",
        ),
        ("mode = 1\n", "mode", "must be a text in quotes, not an integer"),
        ("fallback = \"off\"\n", "fallback", "\"off\" is none of \"kernel\", \"refuse\""),
        ("queu = 1\n", "queu", "no such key, did you mean \"queue\"?"),
    ] {
        let text = queue(keys);
        check(END, &format!("{END}{text}"), &[&format!("g.toml:57: af_xdp.{key}: {fault}")]);
    }
    let nothing = format!("{END}[[af_xdp]]\n");
    check(
        END,
        &nothing,
        &["g.toml:54: af_xdp.interface: is missing", "g.toml:54: af_xdp.used_by: is missing"],
    );
}

#[test]
fn a_queue_has_one_user_and_an_interface_one_mode() {
    let twice = format!("{END}{}{}", queue("queue = 3\n"), queue("queue = 3\n"));
    check(
        END,
        &twice,
        &["g.toml:61: af_xdp.queue: 3 of eth1 is taken: line 55: a queue has one user"],
    );
    let modes = format!("{END}{}{}", queue("mode = \"native\"\n"), queue("queue = 1\n"));
    check(
        END,
        &modes,
        &[
            "g.toml:58: af_xdp.mode: is another than for the queue of eth1 in line 55: an interface has one",
        ],
    );
    let apart = format!("{}{}", queue(""), queue("queue = 1\n")).replace("feed", "aeron");
    assert_eq!(read(&apart).af_xdp.len(), 2);
    let others = format!("{}{}", queue(""), queue("").replace("eth1", "eth2"));
    assert_eq!(read(&others).af_xdp.len(), 2);
}

#[test]
fn a_channel_may_stay_with_the_kernel() {
    let folder = folder();
    let path = folder.path().join("g.toml");
    for (line, expected) in
        [("", true), ("bypass = \"auto\"\n", true), ("bypass = \"off\"\n", false)]
    {
        let text = SOUND.replacen("interface =", &format!("{line}interface ="), 1);
        std::fs::write(&path, text).expect("written");
        let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let Source::Multicast { bypass, .. } = config.channels[0].source else {
            panic!("a multicast channel");
        };
        assert_eq!(bypass, expected);
        std::fs::write(&path, config.to_toml()).expect("written");
        let again = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(again.channels, config.channels);
    }
    check(
        "interface = \"127.0.0.1\"",
        "interface = \"127.0.0.1\"\nbypass = \"on\"",
        &["g.toml:23: channel.bypass: \"on\" is none of \"auto\", \"off\""],
    );
}
