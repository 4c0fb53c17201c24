//! Reading `.hlog` files, line by line: those of postern and of any other HdrHistogram tool.
//!
//! The bytes are nobody's promise: whatever is wrong becomes an error that names the line, and no length or bound in
//! the file is believed before it is checked.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use flate2::bufread::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

/// Most bytes of a line: a histogram of the finest kind there is, with room.
pub const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes of a histogram once inflated.
const INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most header comments that are kept, and bytes of each.
const COMMENTS_MAX: usize = 64;
const COMMENT_BYTES_MAX: usize = 1_024;
/// Bytes before the counts of an encoded histogram: cookie, length, offset, digits, bounds, ratio.
const HEADER_BYTES: usize = 40;

/// Cookies of HdrHistogram's encodings. In V1 and V2 the second nibble is the word size and is masked out.
const V2: u32 = 0x1c84_9303;
const V2_DEFLATED: u32 = 0x1c84_9304;
const V1: [u32; 2] = [0x1c84_9301, 0x1c84_9302];
const V0: [u32; 2] = [0x1c84_9308, 0x1c84_9309];
const DOUBLE: [u32; 2] = [0x0c72_124e, 0x0c72_124f];

/// One histogram of a log.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Its tag; empty where the line has none.
    pub tag: String,
    /// When it began, since 1970.
    pub start: Duration,
    /// How long it was.
    pub length: Duration,
    /// Its values.
    pub histogram: Histogram<u64>,
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFault {
    /// The file could not be read on.
    Unreadable(String),
    /// Not a byte in it.
    Empty,
    /// The first line is neither a comment nor the legend nor an interval.
    NotALog,
    /// The log says it is of another version.
    WrongVersion(String),
    /// Longer than [`LINE_BYTES_MAX`].
    LineTooLong,
    /// Bytes that are not text.
    NotText,
    /// Fewer than the four fields of an interval.
    TooFewFields,
    /// The named field is not a number of seconds.
    BadNumber(&'static str),
    /// A byte that base64 has not, or a wrong length.
    BadBase64,
    /// The histogram ends before its length says.
    Truncated,
    /// The compressed bytes do not inflate: damaged, or cut short.
    BadDeflate,
    /// The histogram is in an encoding other than V2, named here.
    WrongEncoding(&'static str),
    /// The histogram's header or counts cannot be.
    BadHistogram(&'static str),
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogFault::Unreadable(why) => write!(f, "cannot be read: {why}"),
            LogFault::Empty => f.write_str("the file is empty"),
            LogFault::NotALog => f.write_str("not an HdrHistogram interval log (.hlog)"),
            LogFault::WrongVersion(version) => {
                write!(f, "log format version {version} is not known; 1.x is")
            }
            LogFault::LineTooLong => write!(f, "a line of more than {LINE_BYTES_MAX} bytes"),
            LogFault::NotText => f.write_str("bytes that are not text"),
            LogFault::TooFewFields => {
                f.write_str("cut short: an interval is [Tag=name,]start,length,max,histogram")
            }
            LogFault::BadNumber(field) => write!(f, "the interval's {field} is not a number"),
            LogFault::BadBase64 => f.write_str("the histogram is not whole base64"),
            LogFault::Truncated => f.write_str("the histogram is cut short"),
            LogFault::BadDeflate => f.write_str("the histogram's compressed bytes are damaged"),
            LogFault::WrongEncoding(name) => {
                write!(f, "the histogram is encoded as {name}; only V2 is read")
            }
            LogFault::BadHistogram(why) => write!(f, "the histogram cannot be: {why}"),
        }
    }
}

/// A fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: LogFault,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl std::error::Error for LogError {}

/// The intervals of a log in the order of its lines. Holds one line at a time, so a log may be of any size.
///
/// After an error it ends: what follows a damaged line is not trusted.
pub struct LogReader<R> {
    reader: R,
    line: u64,
    text: Vec<u8>,
    decoder: Deserializer,
    start_time: Option<Duration>,
    base_time: Option<Duration>,
    comments: Vec<String>,
    has_ended: bool,
}

impl<R> fmt::Debug for LogReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").field("line", &self.line).finish_non_exhaustive()
    }
}

impl<R: BufRead> LogReader<R> {
    /// A reader of the log in `reader`.
    pub fn new(reader: R) -> LogReader<R> {
        LogReader {
            reader,
            line: 0,
            text: Vec::new(),
            decoder: Deserializer::new(),
            start_time: None,
            base_time: None,
            comments: Vec::new(),
            has_ended: false,
        }
    }

    /// The comments read so far, without `#`: at most 64, of at most 1,024 bytes each.
    pub fn comments(&self) -> &[String] {
        &self.comments
    }

    fn advance(&mut self) -> Result<Option<Interval>, LogFault> {
        loop {
            let bytes = read_line(&mut self.reader, &mut self.text)?;
            if bytes == 0 {
                let is_empty = self.line == 0;
                self.line = self.line.max(1);
                return if is_empty { Err(LogFault::Empty) } else { Ok(None) };
            }
            self.line += 1;
            let text = std::str::from_utf8(&self.text).map_err(|_| match self.line {
                1 => LogFault::NotALog,
                _ => LogFault::NotText,
            })?;
            let text = text.trim_end_matches(['\r', '\n']);
            if let Some(comment) = text.strip_prefix('#') {
                let comment = comment.to_owned();
                self.take_comment(&comment)?;
            } else if !(text.is_empty() || text.starts_with("\"StartTimestamp\"")) {
                return interval(text, &mut self.decoder, (self.start_time, self.base_time))
                    .map(Some)
                    .map_err(|fault| match (self.line, fault) {
                        (1, LogFault::TooFewFields | LogFault::BadNumber(_)) => LogFault::NotALog,
                        (_, fault) => fault,
                    });
            }
        }
    }

    fn take_comment(&mut self, comment: &str) -> Result<(), LogFault> {
        let seconds = |rest: &str, field| {
            let number = rest.trim_start().split([' ', ']']).next().unwrap_or_default();
            parse_seconds(number).ok_or(LogFault::BadNumber(field))
        };
        if let Some(rest) = comment.strip_prefix("[StartTime:") {
            self.start_time = Some(seconds(rest, "StartTime")?);
        } else if let Some(rest) = comment.strip_prefix("[BaseTime:") {
            self.base_time = Some(seconds(rest, "BaseTime")?);
        } else if let Some(rest) = comment.strip_prefix("[Histogram log format version ") {
            let version = rest.trim_end_matches(']');
            if !version.starts_with("1.") {
                return Err(LogFault::WrongVersion(version.chars().take(16).collect()));
            }
        }
        if self.comments.len() < COMMENTS_MAX {
            let mut end = comment.len().min(COMMENT_BYTES_MAX);
            while !comment.is_char_boundary(end) {
                end -= 1;
            }
            self.comments.push(comment.get(..end).unwrap_or_default().to_owned());
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for LogReader<R> {
    type Item = Result<Interval, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.advance();
        self.has_ended = !matches!(next, Ok(Some(_)));
        next.map_err(|fault| LogError { line: self.line, fault }).transpose()
    }
}

/// Reads one line with its end into `text`; 0 at the end of the file.
fn read_line(reader: &mut impl BufRead, text: &mut Vec<u8>) -> Result<usize, LogFault> {
    text.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes = reader.take(limit).read_until(b'\n', text);
    match bytes {
        Ok(LINE_BYTES_MAX) if text.last() != Some(&b'\n') => Err(LogFault::LineTooLong),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &io::Error) -> LogFault {
    LogFault::Unreadable(error.to_string())
}

/// A line of data: `[Tag=name,]start,length,max,histogram`.
fn interval(
    text: &str,
    decoder: &mut Deserializer,
    (start_time, base_time): (Option<Duration>, Option<Duration>),
) -> Result<Interval, LogFault> {
    let mut rest = text;
    let mut tag = "";
    if let Some(tagged) = text.strip_prefix("Tag=") {
        (tag, rest) = tagged.split_once(',').ok_or(LogFault::TooFewFields)?;
    }
    let mut fields = rest.splitn(4, ',');
    let mut field = || fields.next().map(str::trim).ok_or(LogFault::TooFewFields);
    let (start, length, max, encoded) = (field()?, field()?, field()?, field()?);
    let start = parse_seconds(start).ok_or(LogFault::BadNumber("start"))?;
    let length = parse_seconds(length).ok_or(LogFault::BadNumber("length"))?;
    max.parse::<f64>().map_err(|_| LogFault::BadNumber("maximum"))?;
    let histogram = decode(&from_base64(encoded).ok_or(LogFault::BadBase64)?, decoder)?;
    // Without a base time, Java's reader takes a start that lies more than a year before the log's as counted from it.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let base = base_time.or_else(|| start_time.filter(|&at| start.saturating_add(YEAR) < at));
    let start = start.saturating_add(base.unwrap_or_default());
    Ok(Interval { tag: tag.to_owned(), start, length, histogram })
}

/// A number of seconds such as `12.345`, exact to the nanosecond.
fn parse_seconds(text: &str) -> Option<Duration> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let nanos: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    Some(Duration::new(seconds.parse().ok()?, nanos.parse().ok()?))
}

/// The bytes of whole base64 (RFC 4648 section 4, padded); `None` for anything else.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.bytes().rev().take_while(|&byte| byte == b'=').count();
    let symbols = text.len().checked_sub(padding).filter(|_| padding <= 2)?;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.as_bytes().get(..symbols)?.chunks(4) {
        let mut word = 0_u32;
        for slot in 0..4 {
            word = word << 6 | four.get(slot).map_or(Some(0), |&byte| symbol(byte))?;
        }
        let [_, rest @ ..] = word.to_be_bytes();
        bytes.extend_from_slice(rest.get(..four.len().checked_sub(1)?)?);
    }
    Some(bytes)
}

fn symbol(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

/// Decodes a histogram in V2, deflated or plain.
fn decode(bytes: &[u8], decoder: &mut Deserializer) -> Result<Histogram<u64>, LogFault> {
    let cookie = word(bytes, 0).ok_or(LogFault::Truncated)?;
    match cookie & !0xf0 {
        V2 => decode_plain(bytes, decoder),
        V2_DEFLATED => {
            let length = word(bytes, 4).ok_or(LogFault::Truncated)?;
            let deflated = bytes.get(8..).ok_or(LogFault::Truncated)?;
            match usize::try_from(length).unwrap_or(usize::MAX).cmp(&deflated.len()) {
                std::cmp::Ordering::Greater => return Err(LogFault::Truncated),
                std::cmp::Ordering::Less => {
                    return Err(LogFault::BadHistogram("it is longer than its length says"));
                }
                std::cmp::Ordering::Equal => {}
            }
            decode_plain(&inflate(deflated)?, decoder)
        }
        _ => Err(match cookie {
            c if V1.contains(&(c & !0xf0)) => LogFault::WrongEncoding("V1"),
            c if V0.contains(&c) => LogFault::WrongEncoding("V0"),
            c if DOUBLE.contains(&c) => LogFault::WrongEncoding("a histogram of doubles"),
            _ => LogFault::BadHistogram("it does not begin with an HdrHistogram cookie"),
        }),
    }
}

/// Inflates all of `deflated`, so that its checksum is looked at too.
fn inflate(deflated: &[u8]) -> Result<Vec<u8>, LogFault> {
    let mut inflated = Vec::new();
    let limit = u64::try_from(INFLATED_BYTES_MAX).unwrap_or(u64::MAX);
    let mut decoder = ZlibDecoder::new(deflated);
    let bytes = (&mut decoder).take(limit).read_to_end(&mut inflated);
    match bytes {
        Ok(INFLATED_BYTES_MAX) => Err(LogFault::BadHistogram("it inflates to more than 64 MiB")),
        Ok(_) => Ok(inflated),
        Err(_) => Err(LogFault::BadDeflate),
    }
}

/// Checks everything the library would believe, then lets it decode.
fn decode_plain(bytes: &[u8], decoder: &mut Deserializer) -> Result<Histogram<u64>, LogFault> {
    if word(bytes, 0).map(|cookie| cookie & !0xf0) != Some(V2) {
        return Err(LogFault::BadHistogram("what was compressed is not V2"));
    }
    let counts = bytes.get(HEADER_BYTES..).ok_or(LogFault::Truncated)?;
    let length = word(bytes, 4).map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    match length.cmp(&counts.len()) {
        std::cmp::Ordering::Greater => return Err(LogFault::Truncated),
        std::cmp::Ordering::Less => {
            return Err(LogFault::BadHistogram("it is longer than its length says"));
        }
        std::cmp::Ordering::Equal => {}
    }
    if word(bytes, 8) != Some(0) {
        return Err(LogFault::BadHistogram("its counts are shifted, which is not supported"));
    }
    if word(bytes, 12).is_none_or(|digits| digits > 5) {
        return Err(LogFault::BadHistogram("it has more than five significant digits"));
    }
    let (low, high) = (long(bytes, 16).unwrap_or(0), long(bytes, 24).unwrap_or(0));
    if low == 0 || high / 2 < low {
        return Err(LogFault::BadHistogram("its bounds are in the wrong order"));
    }
    check_counts(counts)?;
    let mut plain = bytes;
    decoder.deserialize(&mut plain).map_err(|error| {
        use hdrhistogram::serialization::DeserializeError as E;
        LogFault::BadHistogram(match error {
            E::IoError(_) => "a count is cut short",
            E::InvalidCookie => "its cookie is unknown",
            E::UnsupportedFeature => "it uses a feature that is not supported",
            E::UnsuitableCounterType => "a count is too large",
            E::InvalidParameters => "its bounds or digits are impossible",
            E::UsizeTypeTooSmall => "a run of zeros is too long",
            E::EncodedArrayTooLong => "it has more counts than its bounds allow",
        })
    })
}

/// Walks the counts (ZigZag LEB128-64b9B) and refuses the one number that cannot be negated, which the library would.
fn check_counts(mut counts: &[u8]) -> Result<(), LogFault> {
    while !counts.is_empty() {
        let mut value = 0_u64;
        let mut used = 0_usize;
        loop {
            let &byte = counts.get(used).ok_or(LogFault::Truncated)?;
            let (bits, is_last) = if used == 8 { (byte, true) } else { (byte & 0x7f, byte < 0x80) };
            value |= u64::from(bits) << (7 * used);
            used += 1;
            if is_last {
                break;
            }
        }
        if value == u64::MAX {
            return Err(LogFault::BadHistogram("a run of zeros is too long"));
        }
        counts = counts.get(used..).unwrap_or_default();
    }
    Ok(())
}
