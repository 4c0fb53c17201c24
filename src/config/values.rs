//! Single values with a form of their own: names, Aeron channels, addresses, paths, key files.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::reader::{Reader, Section};
use crate::config::sections::Stream;
use crate::session::SessionKey;
use crate::types::{Price, Qty};

/// A name of up to `longest` letters, digits and the characters of `marks`.
pub(super) fn name(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
    longest: usize,
    marks: &str,
) -> Option<String> {
    let text = section.text(reader, key)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    if !text.is_empty() && text.len() <= longest && text.chars().all(fits) {
        return Some(text.to_owned());
    }
    let list: Vec<String> = marks.chars().map(|mark| format!("`{mark}`")).collect();
    section.refuse(
        reader,
        key,
        format_args!("\"{text}\" is not 1 to {longest} letters, digits or {}", list.join(" ")),
    );
    None
}

/// An Aeron channel and stream, from two keys.
pub(super) fn stream(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    channel_key: &'static str,
    stream_key: &'static str,
) -> Option<Stream> {
    let channel = section.text(reader, channel_key);
    let fault = channel.and_then(channel_fault);
    if let (Some(text), Some(fault)) = (channel, fault) {
        section.refuse(reader, channel_key, format_args!("\"{text}\" {fault}"));
    }
    let stream_id = section.integer(reader, stream_key, 1..=i32::MAX)?;
    if fault.is_some() {
        return None;
    }
    Some(Stream { channel: channel?.to_owned(), stream_id })
}

/// What is wrong with an Aeron channel; `None` where it is sound as far as its form tells.
fn channel_fault(channel: &str) -> Option<&'static str> {
    let (media, parameters) = channel.split_once('?').unwrap_or((channel, ""));
    let well_formed = parameters.is_empty()
        || parameters
            .split('|')
            .all(|pair| pair.split_once('=').is_some_and(|(k, v)| !k.is_empty() && !v.is_empty()));
    let named = |wanted: &str| {
        parameters.split('|').any(|pair| pair.split_once('=').is_some_and(|(k, _)| k == wanted))
    };
    if media != "aeron:ipc" && media != "aeron:udp" {
        return Some("is no Aeron channel: it begins with aeron:ipc or aeron:udp");
    }
    if !well_formed {
        return Some(
            "is no Aeron channel: after ? come pairs such as endpoint=HOST:PORT, separated by |",
        );
    }
    if media == "aeron:udp" && !named("endpoint") && !named("control") {
        return Some("names neither an endpoint nor a control address");
    }
    None
}

/// A path as written, relative to `folder`; "off" is not one.
pub(super) fn path(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
    folder: &Path,
) -> Option<PathBuf> {
    let text = section.text(reader, key)?;
    if text.is_empty() || text.contains('\0') {
        section.refuse(reader, key, "is no path");
        return None;
    }
    Some(folder.join(text))
}

/// As [`path`], or `None` inside for "off".
pub(super) fn path_or_off(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
    folder: &Path,
) -> Option<Option<PathBuf>> {
    match section.text_or_none(reader, key)? {
        Some("off") => Some(None),
        Some(_) | None => path(section, reader, key, folder).map(Some),
    }
}

/// An IPv4 address and port such as `239.1.1.1:26400`.
pub(super) fn socket_address(
    section: &Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
    text: &str,
) -> Option<SocketAddrV4> {
    match text.parse::<SocketAddrV4>() {
        Ok(address) if address.port() != 0 => return Some(address),
        Ok(_) => section.refuse(reader, key, format_args!("\"{text}\" has no port")),
        Err(_) => section.refuse(
            reader,
            key,
            format_args!("\"{text}\" is no IPv4 address and port such as 239.1.1.1:26400"),
        ),
    }
    None
}

/// The address of a server: one host's, not a group's.
pub(super) fn server(
    section: &Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
    text: &str,
) -> Option<SocketAddrV4> {
    let address = socket_address(section, reader, key, text)?;
    let ip = address.ip();
    let fault = if ip.is_multicast() {
        "is a multicast group"
    } else if ip.is_broadcast() {
        "is everybody's address"
    } else if ip.is_unspecified() {
        "is nobody's address"
    } else {
        return Some(address);
    };
    section.refuse(reader, key, format_args!("{ip} {fault}: give the server's own address"));
    None
}

/// A multicast group and port.
pub(super) fn group(
    section: &Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
    text: &str,
) -> Option<SocketAddrV4> {
    let address = socket_address(section, reader, key, text)?;
    if address.ip().is_multicast() {
        return Some(address);
    }
    section.refuse(
        reader,
        key,
        format_args!("{} is no multicast group (224.0.0.0 to 239.255.255.255)", address.ip()),
    );
    None
}

/// The address of an interface.
pub(super) fn interface(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
) -> Option<Ipv4Addr> {
    let text = section.text(reader, key)?;
    match text.parse::<Ipv4Addr>() {
        Ok(ip) if !ip.is_multicast() && !ip.is_broadcast() => return Some(ip),
        Ok(ip) => section.refuse(
            reader,
            key,
            format_args!("{ip} is no interface's address: give this machine's own on that network"),
        ),
        Err(_) => section.refuse(
            reader,
            key,
            format_args!("\"{text}\" is no IPv4 address such as 192.0.2.10"),
        ),
    }
    None
}

/// A price above 0.
pub(super) fn price(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
) -> Option<Price> {
    let units = section.decimal(reader, key, 9)?;
    i64::try_from(units).ok().map(Price::from_units)
}

/// Price times quantity, in units of 1e-9, above 0.
pub(super) fn notional(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
) -> Option<i128> {
    section.decimal(reader, key, 15)
}

/// A quantity.
pub(super) fn quantity(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    key: &'static str,
) -> Option<Qty> {
    Qty::new(section.integer(reader, key, 1..=u32::MAX)?)
}

/// The file of a key, as written and relative to `folder`, and the key in it.
pub(super) fn key(
    section: &mut Section<'_>,
    reader: &mut Reader<'_>,
    folder: &Path,
) -> Option<(PathBuf, SessionKey)> {
    const KEY: &str = "key_file";
    let file = path(section, reader, KEY, folder)?;
    match read_key(&file) {
        Ok(key) => Some((file, key)),
        Err(reason) => {
            section.refuse(reader, KEY, format_args!("{} {reason}", file.display()));
            None
        }
    }
}

/// Reads a key of 64 hexadecimal digits. What is in the file never gets into a message.
fn read_key(file: &Path) -> Result<SessionKey, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let about = opened.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err("is not a file".to_owned());
    }
    if about.permissions().mode() & 0o007 != 0 {
        return Err("may be used by everybody: chmod o= it, and make a new key".to_owned());
    }
    let mut text = String::new();
    let malformed = || "does not hold 64 hexadecimal digits".to_owned();
    opened.take(256).read_to_string(&mut text).map_err(|_| malformed())?;
    text.trim().parse().map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_from_other_texts() {
        for good in [
            "aeron:ipc",
            "aeron:ipc?term-length=64k",
            "aeron:udp?endpoint=127.0.0.1:40123|interface=lo",
            "aeron:udp?control=h:1|control-mode=dynamic",
        ] {
            assert_eq!(channel_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "ipc",
            "aeron:",
            "aeron:tcp?endpoint=a:1",
            "aeron:udp",
            "aeron:udp?endpoint",
            "aeron:ipc?=x",
            "aeron:udp?interface=lo",
        ] {
            assert!(channel_fault(bad).is_some(), "{bad}");
        }
    }
}
