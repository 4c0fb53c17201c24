//! Bad market data lines in the demo: what the options ask for, and what helps the gateway over it.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use clap::Args;

use crate::sim::glimpse::{GlimpseConfig, GlimpseServer};
use crate::sim::impair::{Impairment, PPM_ALL};
use crate::sim::mold_out::MoldConfig;
use crate::sim::recovery::RecoveryServers;
use crate::sim::rerequest::{RerequestConfig, RerequestServer};
use crate::sim::soup::Password;

/// Packets by which a reordered or delayed one comes later, at most.
const DISTANCE_MAX: u32 = 8;
/// On bad lines the last message may be lost on both: heartbeats soon tell that there was one.
const HEARTBEAT_NS: u64 = 20_000_000;
/// Messages kept to be sent again, at most, and their bytes: some seconds of the fastest market the demo has.
const KEPT_MESSAGES_MAX: usize = 1 << 17;
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Requests for lost messages in a second, at most: enough where each line loses a third of the fastest market the demo has.
const REREQUESTS_PER_SECOND: u32 = 20_000;
const USER: &str = "demo";
const PASSWORD_FILE: &str = "glimpse.password";
const PASSWORD_BYTES: usize = 10;

/// Faults of the market data lines. With any of them the feed comes by two lines, each with faults of its own.
#[derive(Args, Clone, Copy, Debug)]
pub struct LineArgs {
    /// Per cent of packets that each line loses, with up to four decimals. What both lose is asked for again.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = ppm_of)]
    pub loss: u32,
    /// Per cent of packets that each line sends twice.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = ppm_of)]
    pub duplicate: u32,
    /// Per cent of packets that each line sends up to eight packets late.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = ppm_of)]
    pub reorder: u32,
    /// Per cent of packets at which each line stalls, for up to eight packets.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = ppm_of)]
    pub delay: u32,
    /// Per cent of packets that each line damages. No checksum covers what is left: a book may be wrong after it.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = ppm_of)]
    pub corrupt: u32,
}

impl LineArgs {
    /// What is done to each line.
    pub fn impairment(&self) -> Impairment {
        Impairment {
            loss_ppm: self.loss,
            duplicate_ppm: self.duplicate,
            reorder_ppm: self.reorder,
            corrupt_ppm: self.corrupt,
            delay_ppm: self.delay,
            distance_max: DISTANCE_MAX,
        }
    }

    /// Whether the lines are bad in any way.
    pub fn is_bad(&self) -> bool {
        !self.impairment().is_none()
    }

    /// How the exchange sends market data.
    pub fn mold(&self, seed: u64, session: [u8; 10]) -> MoldConfig {
        if !self.is_bad() {
            return MoldConfig { session, ..MoldConfig::default() };
        }
        MoldConfig {
            heartbeat_ns: HEARTBEAT_NS,
            kept_messages_max: KEPT_MESSAGES_MAX,
            kept_bytes_max: KEPT_BYTES_MAX,
            impairments: [self.impairment(); 2],
            impairment_seed: seed,
            session,
            ..MoldConfig::default()
        }
    }
}

/// Parts per million of a percentage: digits, and up to four decimals.
fn ppm_of(text: &str) -> Result<u32, String> {
    let fault = || format!("`{text}` is no percentage from 0 to 100 with up to four decimals");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 4 {
        return Err(fault());
    }
    let percent: u32 = whole.parse().map_err(|_| fault())?;
    let fraction: u32 = format!("{decimals:0<4}").parse().map_err(|_| fault())?;
    let ppm = percent.checked_mul(10_000).and_then(|ppm| ppm.checked_add(fraction));
    ppm.filter(|&ppm| ppm <= PPM_ALL).ok_or_else(fault)
}

/// The exchange's servers for who missed something, bound and not yet polled.
#[derive(Debug)]
pub(super) struct Recovery {
    pub servers: RecoveryServers,
    rerequest: SocketAddr,
    glimpse: SocketAddr,
}

impl Recovery {
    /// Binds the servers to free ports of an address, and writes the password into the run's folder.
    pub fn prepare(
        directory: &Path,
        address: Ipv4Addr,
        session: [u8; 10],
        instruments: usize,
        orders_max: u32,
    ) -> Result<Recovery, String> {
        let told = |error: std::io::Error| error.to_string();
        let password = write_password(&directory.join(PASSWORD_FILE))
            .map_err(|error| format!("{PASSWORD_FILE}: {error}"))?;
        let any_port = SocketAddrV4::new(address, 0);
        let mut user = [b' '; 6];
        user[..USER.len()].copy_from_slice(USER.as_bytes());
        let config = GlimpseConfig {
            session,
            ..GlimpseConfig::new(any_port, user, Password(password), instruments, orders_max)
        };
        let glimpse = GlimpseServer::bind(config).map_err(told)?;
        let rerequest = RerequestServer::bind(&RerequestConfig::at(any_port)).map_err(told)?;
        Ok(Recovery {
            rerequest: rerequest.address().map_err(told)?,
            glimpse: glimpse.address().map_err(told)?,
            servers: RecoveryServers::new(Some(rerequest), Some(glimpse)),
        })
    }

    /// The keys of the gateway's channel that name the servers.
    pub fn keys(&self) -> String {
        format!(
            "rerequest = \"{}\"\nrerequest_per_second = {REREQUESTS_PER_SECOND}\nglimpse = \"{}\"\nglimpse_user = \"{USER}\"\nglimpse_password_file = \"{PASSWORD_FILE}\"\n",
            self.rerequest, self.glimpse
        )
    }
}

/// Makes up a password, and writes it where only its owner reads it.
fn write_password(path: &Path) -> std::io::Result<[u8; PASSWORD_BYTES]> {
    let mut bytes = [0; PASSWORD_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    // 32 letters and digits: each byte is as likely to become any of them.
    let password = bytes.map(|byte| b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789"[usize::from(byte % 32)]);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&password)?;
    file.write_all(b"\n")?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_exact_to_four_decimals() {
        for (text, ppm) in
            [("0", 0), ("1", 10_000), ("0.5", 5_000), ("99.9999", 999_999), ("100", 1_000_000)]
        {
            assert_eq!(ppm_of(text), Ok(ppm), "{text}");
        }
        assert_eq!((ppm_of("100.0000"), ppm_of("007.25")), (Ok(1_000_000), Ok(72_500)));
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e1",
            "1,5",
            "100.0001",
            "0.12345",
            "99999999999",
            " 1",
        ] {
            assert!(ppm_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_servers_are_bound_and_the_password_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let here = Ipv4Addr::LOCALHOST;
        let recovery =
            Recovery::prepare(folder.path(), here, *b"SIMULATION", 4, 1_000).expect("free ports");
        assert!(recovery.rerequest.port() != 0 && recovery.glimpse.port() != 0);
        let path = folder.path().join(PASSWORD_FILE);
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let password = std::fs::read_to_string(&path).expect("text");
        assert_eq!(password.trim_end().len(), PASSWORD_BYTES);
        assert!(password.trim_end().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
