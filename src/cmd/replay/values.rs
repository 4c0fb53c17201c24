//! What the command line of a replay says, as values: speed, moment, percentage, symbol, destinations.

use std::fmt;
use std::net::SocketAddrV4;
use std::str::FromStr;

use crate::net::Speed;
use crate::types::Symbol;

/// A number with up to `digits` decimal places, in units of the last: `2.5` with three is 2,500.
fn decimal(text: &str, digits: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_odd = whole.is_empty() || text.ends_with('.') || part.len() > digits;
    if is_odd || !is_number(whole) || !is_number(part) {
        return None;
    }
    format!("{whole}{part:0<digits$}").parse().ok()
}

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(pub Option<Speed>);

impl Pace {
    /// As fast as can be.
    pub const UNPACED: Pace = Pace(None);
}

impl FromStr for Pace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Pace, &'static str> {
        match text {
            "unpaced" => Ok(Pace::UNPACED),
            "recorded" => Ok(Pace(Some(Speed::RECORDED))),
            _ => match decimal(text, 3).and_then(Speed::of_thousandths) {
                Some(speed) => Ok(Pace(Some(speed))),
                None => Err("neither unpaced, recorded nor a number of times such as 10 or 0.5"),
            },
        }
    }
}

/// A moment of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A time of the exchange's day, as the messages have it: nanoseconds since midnight.
    TimeOfDay(u64),
    /// A time of the capture: nanoseconds.
    Captured(u64),
}

const MOMENT_FORM: &str =
    "neither a time of day such as 09:30:00 or 09:30:00.5, nor nanoseconds of the capture";

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Moment, &'static str> {
        let Some((hour, rest)) = text.split_once(':') else {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let ns = text.parse().ok().filter(|_| digits);
            return ns.map(Moment::Captured).ok_or(MOMENT_FORM);
        };
        let (minute, second) = rest.split_once(':').unwrap_or((rest, "00"));
        let part = |text: &str, below: u64| {
            let two = text.len() == 2;
            decimal(text, 0).filter(|&number| two && number < below).ok_or(MOMENT_FORM)
        };
        let whole = second.split('.').next().unwrap_or("");
        part(whole, 60)?;
        let second_ns = decimal(second, 9).ok_or(MOMENT_FORM)?;
        let minutes = part(hour, 24)? * 60 + part(minute, 60)?;
        Ok(Moment::TimeOfDay(minutes * 60_000_000_000 + second_ns))
    }
}

/// A share of all packets, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percent {
    /// Parts per million, at most a million.
    pub ppm: u32,
}

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Percent, &'static str> {
        let ppm = decimal(text, 4).filter(|&ppm| ppm <= 1_000_000);
        let ppm = ppm.and_then(|ppm| u32::try_from(ppm).ok());
        ppm.map(|ppm| Percent { ppm }).ok_or("not a percentage such as 5 or 0.25")
    }
}

/// Reads a symbol.
///
/// # Errors
/// For a text that is none.
pub fn symbol(text: &str) -> Result<Symbol, &'static str> {
    Symbol::new(text).ok_or("not a symbol: 1 to 8 printable letters without spaces")
}

/// Where a replay is sent to: line A, and line B if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// Line A.
    pub a: SocketAddrV4,
    /// Line B.
    pub b: Option<SocketAddrV4>,
}

const DESTINATIONS_FORM: &str =
    "not of the form udp://239.1.1.1:5000 or udp://239.1.1.1:5000,udp://239.1.1.2:5000";

impl FromStr for Destinations {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Destinations, &'static str> {
        let line = |text: &str| -> Result<SocketAddrV4, &'static str> {
            let address = text.strip_prefix("udp://").ok_or(DESTINATIONS_FORM)?;
            let address: SocketAddrV4 = address.parse().map_err(|_| DESTINATIONS_FORM)?;
            if address.port() == 0 { Err(DESTINATIONS_FORM) } else { Ok(address) }
        };
        match text.split_once(',') {
            None => Ok(Destinations { a: line(text)?, b: None }),
            Some((a, b)) => {
                let (a, b) = (line(a)?, line(b)?);
                if a == b {
                    Err("two lines to one address")
                } else {
                    Ok(Destinations { a, b: Some(b) })
                }
            }
        }
    }
}

impl fmt::Display for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp://{}", self.a)?;
        self.b.map_or(Ok(()), |b| write!(f, ",udp://{b}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_words_or_numbers_of_times() {
        let thousandths = |text: &str| text.parse::<Pace>().map(|pace| pace.0);
        assert_eq!(thousandths("unpaced"), Ok(None));
        for (text, expected) in
            [("recorded", 1_000), ("1", 1_000), ("10", 10_000), ("0.5", 500), ("2.125", 2_125)]
        {
            assert_eq!(thousandths(text), Ok(Speed::of_thousandths(expected)), "{text}");
        }
        for text in
            ["", "0", "0.000", "-1", "1.2345", "1.", ".5", "1e3", "fast", "99999999999999999999"]
        {
            assert!(thousandths(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_times_of_day_or_nanoseconds() {
        for (text, expected) in [
            ("00:00:00", Moment::TimeOfDay(0)),
            ("09:30", Moment::TimeOfDay(34_200_000_000_000)),
            ("09:30:00", Moment::TimeOfDay(34_200_000_000_000)),
            ("09:30:01.000000002", Moment::TimeOfDay(34_201_000_000_002)),
            ("23:59:59.999", Moment::TimeOfDay(86_399_999_000_000)),
            ("1580371200000000000", Moment::Captured(1_580_371_200_000_000_000)),
            ("0", Moment::Captured(0)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "24:00:00",
            "09:60:00",
            "09:30:60",
            "9:30:00",
            "09:30:0",
            "09:30:00.",
            "+5",
            "-5",
            "09:30:00.1234567890",
            "09:30:00:00",
            "09:-1:00",
            "noon",
            "99999999999999999999",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(MOMENT_FORM), "{text}");
        }
    }

    #[test]
    fn percentages_are_parts_per_million() {
        for (text, ppm) in
            [("0", 0), ("5", 50_000), ("0.25", 2_500), ("0.0001", 1), ("100", 1_000_000)]
        {
            assert_eq!(text.parse(), Ok(Percent { ppm }), "{text}");
        }
        for text in ["", "100.0001", "101", "-1", "5%", "0.00001"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }

    #[test]
    fn destinations_are_one_or_two_addresses() {
        for text in ["udp://239.1.1.1:5000", "udp://239.1.1.1:5000,udp://127.0.0.1:5001"] {
            assert_eq!(text.parse::<Destinations>().map(|to| to.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "239.1.1.1:5000",
            "udp://239.1.1.1",
            "udp://239.1.1.1:0",
            "tcp://239.1.1.1:5000",
            "udp://239.1.1.1:5000,",
            "udp://1.1.1.1:5,udp://1.1.1.1:5",
            "udp://[::1]:5000",
            "udp://1.1.1.1:5,udp://1.1.1.2:5,udp://1.1.1.3:5",
        ] {
            assert!(text.parse::<Destinations>().is_err(), "{text}");
        }
    }
}
