//! The keys of a `[[channel]]` that say how it waits for packets out of order and gets back lost ones.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::check;
use crate::config::reader::{Reader, Section};
use crate::config::sections::{Glimpse, Reorder, Rerequest};
use crate::config::values;

/// Bytes of a user name and of a password (SoupBinTCP 3.00 section 2.3.1).
const USER_BYTES: usize = 6;
const PASSWORD_BYTES: usize = 10;

const QUEUE: &str = "recovery_queue_messages";
const QUEUE_MESSAGES: u32 = 131_072;

/// The keys of a channel that has lines: how packets out of order are waited for.
pub(super) const ORDER_KEYS: [&str; 3] = ["reorder_packets", "reorder_us", "line_wait_us"];

/// The keys of a channel that only ITCH has: that its times have no day, and that what is lost can be got back.
pub(super) const ITCH_KEYS: [&str; 13] = [
    "utc_offset_minutes",
    QUEUE,
    "rerequest",
    "rerequest_messages",
    "rerequest_per_second",
    "rerequest_timeout_ms",
    "rerequest_attempts",
    "rerequest_gap_messages",
    "glimpse",
    "glimpse_user",
    "glimpse_password_file",
    "glimpse_timeout_ms",
    "glimpse_retry_ms",
];

/// Of a channel that takes packets as they come.
pub(super) const NO_REORDER: Reorder =
    Reorder { packets: 0, wait_us: 0, line_wait_us: 0, queue_messages: QUEUE_MESSAGES };

/// How packets out of order are waited for; `has_queue` where those behind a gap may be queued too.
pub(super) fn reorder(s: &mut Section<'_>, r: &mut Reader<'_>, has_queue: bool) -> Option<Reorder> {
    let [packets_key, wait_key, line_wait_key] = ORDER_KEYS;
    let packets = s.integer_or(r, packets_key, 0..=4_096, 64);
    let wait_us = s.integer_or(r, wait_key, 0..=1_000_000, 2_000);
    let line_wait_us = s.integer_or(r, line_wait_key, 0..=1_000_000, 10_000);
    let queue_messages = if has_queue && s.has(QUEUE) {
        s.power_of_two(r, QUEUE, 1_024..=16_777_216)
    } else {
        Some(QUEUE_MESSAGES)
    };
    Some(Reorder {
        packets: packets?,
        wait_us: wait_us?,
        line_wait_us: line_wait_us?,
        queue_messages: queue_messages?,
    })
}

/// The re-request server, if there is one.
pub(super) fn rerequest(s: &mut Section<'_>, r: &mut Reader<'_>) -> Option<Option<Rerequest>> {
    const KEYS: [&str; 5] = [
        "rerequest_messages",
        "rerequest_per_second",
        "rerequest_timeout_ms",
        "rerequest_attempts",
        "rerequest_gap_messages",
    ];
    let Some(text) = s.text_or_none(r, "rerequest")? else {
        check::foreign(s, r, &KEYS, "a channel without rerequest");
        return Some(None);
    };
    let server = values::server(s, r, "rerequest", text);
    let [messages_key, rate_key, timeout_key, attempts_key, gap_key] = KEYS;
    let messages = s.integer_or(r, messages_key, 1..=1_000, 32);
    let per_second = s.integer_or(r, rate_key, 1..=100_000, 1_000);
    let timeout_ms = s.integer_or(r, timeout_key, 1..=10_000, 50);
    let attempts = s.integer_or(r, attempts_key, 1..=100, 5);
    let gap_messages = s.integer_or(r, gap_key, 1..=1_000_000, 10_000);
    Some(Some(Rerequest {
        server: server?,
        messages: messages?,
        per_second: per_second?,
        timeout_ms: timeout_ms?,
        attempts: attempts?,
        gap_messages: gap_messages?,
    }))
}

/// The snapshot server, if there is one.
pub(super) fn glimpse(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    folder: &Path,
) -> Option<Option<Glimpse>> {
    const KEYS: [&str; 4] =
        ["glimpse_user", "glimpse_password_file", "glimpse_timeout_ms", "glimpse_retry_ms"];
    let Some(text) = s.text_or_none(r, "glimpse")? else {
        check::foreign(s, r, &KEYS, "a channel without glimpse");
        return Some(None);
    };
    let server = values::server(s, r, "glimpse", text);
    let [user_key, password_key, timeout_key, retry_key] = KEYS;
    let user = s.text(r, user_key).filter(|user| {
        let is_sound = is_word(user, USER_BYTES);
        if !is_sound {
            s.refuse(r, user_key, format_args!("\"{user}\" is not 1 to 6 letters or digits"));
        }
        is_sound
    });
    let password = if s.has(password_key) {
        password(s, r, password_key, folder).map(|(file, password)| (Some(file), password))
    } else {
        Some((None, [b' '; PASSWORD_BYTES]))
    };
    let timeout_ms = s.integer_or(r, timeout_key, 100..=60_000, 5_000);
    let retry_ms = s.integer_or(r, retry_key, 10..=60_000, 1_000);
    let (password_file, password) = password?;
    Some(Some(Glimpse {
        server: server?,
        user: user?.to_owned(),
        password_file,
        password,
        timeout_ms: timeout_ms?,
        retry_ms: retry_ms?,
    }))
}

fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The file of a password, as written and relative to `folder`, and the password in it.
fn password(
    s: &mut Section<'_>,
    r: &mut Reader<'_>,
    key: &'static str,
    folder: &Path,
) -> Option<(PathBuf, [u8; PASSWORD_BYTES])> {
    let file = values::path(s, r, key, folder)?;
    match read_password(&file) {
        Ok(password) => Some((file, password)),
        Err(reason) => {
            s.refuse(r, key, format_args!("{} {reason}", file.display()));
            None
        }
    }
}

/// What is in the file never gets into a message.
fn read_password(file: &Path) -> Result<[u8; PASSWORD_BYTES], String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let about = opened.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err("is not a file".to_owned());
    }
    if about.permissions().mode() & 0o007 != 0 {
        return Err("may be used by everybody: chmod o= it, and change the password".to_owned());
    }
    let malformed = || "does not hold 1 to 10 letters or digits".to_owned();
    let mut text = String::new();
    opened.take(64).read_to_string(&mut text).map_err(|_| malformed())?;
    let text = text.trim();
    if !is_word(text, PASSWORD_BYTES) {
        return Err(malformed());
    }
    let mut password = [b' '; PASSWORD_BYTES];
    password[..text.len()].copy_from_slice(text.as_bytes());
    Ok(password)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn config(rest: &str) -> Result<Config, String> {
        let text = format!(
            "[[channel]]\nid = 1\nname = \"c\"\nstale_after_ms = 3000\nsource = \"multicast\"\n\
             line_a = \"239.1.1.1:5000\"\ninterface = \"127.0.0.1\"\n{rest}\n"
        );
        Config::from_toml("x.toml", &text).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_channel_waits_and_has_no_servers_unless_told() {
        let config = config("").expect("sound");
        let channel = &config.channels[0];
        assert_eq!((channel.reorder.packets, channel.reorder.wait_us), (64, 2_000));
        assert_eq!((channel.rerequest, &channel.glimpse), (None, &None));
    }

    #[test]
    fn every_fault_is_told_by_its_key() {
        for (rest, key) in [
            ("reorder_packets = 4097", "reorder_packets"),
            ("reorder_us = -1", "reorder_us"),
            ("line_wait_us = 1000001", "line_wait_us"),
            ("recovery_queue_messages = 1000", "recovery_queue_messages"),
            ("recovery_queue_messages = 3000", "recovery_queue_messages"),
            ("rerequest = \"nowhere\"", "rerequest"),
            ("rerequest_attempts = 3", "rerequest_attempts"),
            ("rerequest = \"127.0.0.1:1\"\nrerequest_messages = 0", "rerequest_messages"),
            ("glimpse = \"127.0.0.1:1\"", "glimpse_user"),
            ("glimpse_user = \"a\"", "glimpse_user"),
            ("glimpse = \"127.0.0.1:1\"\nglimpse_user = \"toolong\"", "glimpse_user"),
            (
                "glimpse = \"127.0.0.1:1\"\nglimpse_user = \"a\"\nglimpse_password_file = \"/no\"",
                "glimpse_password_file",
            ),
            ("glimpse = \"127.0.0.1:1\"\nglimpse_user = \"a\"\nglimpse_retry_ms = 1", "retry_ms"),
        ] {
            let errors = config(rest).expect_err(rest);
            assert!(errors.contains(key), "{rest}: {errors}");
        }
    }
}
