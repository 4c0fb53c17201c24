//! What people and scripts may ask for, as one line of JSON each, and the answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec::journal::KillCommand;
use crate::types::{KillAction, KillScope};

/// Most bytes of a request, with its line end.
pub const REQUEST_BYTES_MAX: usize = 4_096;
/// Most bytes of an operator's name: what the journal keeps.
pub const OPERATOR_BYTES_MAX: usize = 16;
/// Most bytes of a reason: what the journal keeps.
pub const REASON_BYTES_MAX: usize = 48;

/// A request. On the wire `{"verb":"kill","scope":"account","id":7,"cancel":true,"operator":"ann","reason":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Stops new orders and replaces in a scope.
    Kill {
        /// What is stopped.
        scope: Scope,
        /// Which one, in its scope; not for the whole firm.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// Whether open orders in the scope are cancelled too.
        cancel: bool,
        /// Who.
        operator: String,
        /// Why.
        reason: String,
    },
    /// Lets orders pass again in a scope.
    Rearm {
        /// What is let pass.
        scope: Scope,
        /// Which one, in its scope; not for the whole firm.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// Who.
        operator: String,
        /// Why.
        reason: String,
    },
    /// Asks how things are. Changes nothing.
    Status {},
    /// Ends the process: orders are cancelled first, reports still flow.
    #[serde(alias = "drain")]
    Stop {
        /// Does not wait for orders to be cancelled.
        #[serde(default)]
        now: bool,
    },
}

/// What a kill switch stops, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    Firm,
    /// Orders to one venue.
    Venue,
    /// Orders of one account.
    Account,
    /// Orders of one session.
    Session,
    /// Orders in one instrument.
    Instrument,
}

impl Scope {
    const fn wire(self) -> KillScope {
        match self {
            Scope::Firm => KillScope::Firm,
            Scope::Venue => KillScope::Venue,
            Scope::Account => KillScope::Account,
            Scope::Session => KillScope::Session,
            Scope::Instrument => KillScope::Instrument,
        }
    }
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not a request, or one with wrong values. Nothing was done.
    BadRequest,
    /// Longer than [`REQUEST_BYTES_MAX`]. Nothing was done.
    TooLong,
    /// Commands are not taken this way. Nothing was done.
    NotAllowed,
    /// What is named by scope and number is not in the configuration. Nothing was done.
    NotConfigured,
    /// This process has no risk agent, or it takes no commands. Nothing was done.
    Unavailable,
    /// The command was sent, but risk did not say in time what became of it. It may still do so.
    NotConfirmed,
}

/// The answer to a request: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was carried out.
    pub ok: bool,
    /// The number of the kill switch command, as the journal has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command_id: Option<u64>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<Code>,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Value>,
}

impl Answer {
    /// It was carried out.
    pub fn done() -> Answer {
        Answer { ok: true, command_id: None, code: None, error: None, status: None }
    }

    /// It was not.
    pub fn refused(code: Code, error: impl Into<String>) -> Answer {
        Answer { ok: false, code: Some(code), error: Some(error.into()), ..Answer::done() }
    }

    /// The line that is sent, with its end.
    pub fn line(&self) -> String {
        let text = serde_json::to_string(self);
        text.expect("an answer holds nothing that JSON cannot") + "\n"
    }
}

/// Reads a request from a line, with or without its end.
///
/// # Errors
/// The answer to send instead.
pub fn parse(line: &[u8]) -> Result<Request, Answer> {
    if line.len() > REQUEST_BYTES_MAX {
        return Err(too_long());
    }
    serde_json::from_slice(line)
        .map_err(|error| Answer::refused(Code::BadRequest, format!("not a request: {error}")))
}

/// The answer to a request longer than [`REQUEST_BYTES_MAX`].
pub fn too_long() -> Answer {
    let error = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
    Answer::refused(Code::TooLong, error)
}

impl Request {
    /// The kill switch command this asks for, less its number; `None` for another verb.
    ///
    /// # Errors
    /// The answer to send instead: an identifier missing or too much, an operator or reason empty, too long or not
    /// plain text.
    pub fn kill_command(&self) -> Result<Option<KillCommand>, Answer> {
        let (scope, id, kill_action, operator, reason) = match self {
            Request::Kill { scope, id, cancel, operator, reason } => {
                let action = if *cancel { KillAction::KillAndCancel } else { KillAction::Kill };
                (*scope, *id, action, operator, reason)
            }
            Request::Rearm { scope, id, operator, reason } => {
                (*scope, *id, KillAction::Rearm, operator, reason)
            }
            Request::Status {} | Request::Stop { .. } => return Ok(None),
        };
        let bad = |error: &str| Answer::refused(Code::BadRequest, error);
        let id = match (scope, id) {
            (Scope::Firm, None | Some(0)) => 0,
            (Scope::Firm, Some(_)) => return Err(bad("scope `firm` takes no id")),
            (_, Some(id)) => id,
            (_, None) => return Err(bad("this scope needs an id")),
        };
        Ok(Some(KillCommand {
            command_id: 0,
            id,
            kill_scope: scope.wire(),
            kill_action,
            operator_name: fixed("operator", operator)?,
            reason: fixed("reason", reason)?,
        }))
    }
}

/// `text` as the journal keeps it: padded with zeros, never cut, since it is evidence.
fn fixed<const BYTES: usize>(field: &str, text: &str) -> Result<[u8; BYTES], Answer> {
    let text = text.trim();
    let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let error = if text.is_empty() {
        format!("{field} must be given")
    } else if text.len() > BYTES {
        format!("{field} has {} bytes; the journal keeps {BYTES}", text.len())
    } else if !text.bytes().all(plain) {
        format!("{field} must be printable ASCII")
    } else {
        let mut bytes = [0; BYTES];
        for (slot, byte) in bytes.iter_mut().zip(text.bytes()) {
            *slot = byte;
        }
        return Ok(bytes);
    };
    Err(Answer::refused(Code::BadRequest, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(text: &str) -> Result<Option<KillCommand>, Answer> {
        parse(text.as_bytes())?.kill_command()
    }

    #[test]
    fn a_kill_becomes_its_message() {
        let line = r#"{"verb":"kill","scope":"account","id":7,"cancel":true,"operator":"ann","reason":"runaway"}"#;
        let command = kill(line).expect("a request").expect("a kill");
        assert_eq!((command.id, command.kill_scope), (7, KillScope::Account));
        assert_eq!(command.kill_action, KillAction::KillAndCancel);
        assert_eq!(&command.operator_name, b"ann\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert!(command.reason.starts_with(b"runaway\0"));
        let line = r#"{"verb":"rearm","scope":"firm","operator":"ann","reason":"fixed"}"#;
        let command = kill(line).expect("a request").expect("a rearm");
        assert_eq!((command.id, command.kill_action), (0, KillAction::Rearm));
        assert_eq!(kill(r#"{"verb":"status"}"#), Ok(None));
        assert_eq!(parse(br#"{"verb":"drain"}"#), Ok(Request::Stop { now: false }));
    }

    #[test]
    fn what_is_missing_or_wrong_is_refused_in_words() {
        let long = "x".repeat(49);
        let cases = [
            ("", "EOF"),
            ("[]", "not a request"),
            ("{\"verb\":\"explode\"}", "unknown variant `explode`"),
            (r#"{"verb":"kill"}"#, "missing field `scope`"),
            (
                r#"{"verb":"kill","scope":"planet","cancel":true,"operator":"a","reason":"b"}"#,
                "planet",
            ),
            (
                r#"{"verb":"kill","scope":"firm","operator":"a","reason":"b"}"#,
                "missing field `cancel`",
            ),
            (
                r#"{"verb":"kill","scope":"firm","cancel":true,"reason":"b"}"#,
                "missing field `operator`",
            ),
            (r#"{"verb":"rearm","scope":"firm","operator":"a"}"#, "missing field `reason`"),
            (
                r#"{"verb":"rearm","scope":"firm","operator":" ","reason":"b"}"#,
                "operator must be given",
            ),
            (r#"{"verb":"rearm","scope":"firm","operator":"a\u0007","reason":"b"}"#, "printable"),
            (
                r#"{"verb":"rearm","scope":"firm","operator":"aaaaaaaaaaaaaaaaa","reason":"b"}"#,
                "17 bytes",
            ),
            (
                r#"{"verb":"rearm","scope":"firm","id":3,"operator":"a","reason":"b"}"#,
                "takes no id",
            ),
            (r#"{"verb":"rearm","scope":"venue","operator":"a","reason":"b"}"#, "needs an id"),
            (r#"{"verb":"rearm","scope":"venue","id":-1,"operator":"a","reason":"b"}"#, "-1"),
            (r#"{"verb":"rearm","scope":"firm","operator":"a","reason":"b","cancle":1}"#, "cancle"),
        ];
        for (line, expected) in cases {
            let answer = kill(line).expect_err(line);
            let error = answer.error.expect("words");
            assert!(error.contains(expected), "{error} instead of {expected}");
            assert_eq!(answer.code, Some(Code::BadRequest));
        }
        let line = format!(r#"{{"verb":"rearm","scope":"firm","operator":"a","reason":"{long}"}}"#);
        assert!(kill(&line).is_err());
        let huge = vec![b' '; REQUEST_BYTES_MAX + 1];
        assert_eq!(parse(&huge).expect_err("too long").code, Some(Code::TooLong));
    }

    #[test]
    fn no_bytes_panic() {
        let seed = br#"{"verb":"kill","scope":"account","id":7,"cancel":true,"operator":"ann","reason":"x"}"#;
        for place in 0..seed.len() {
            for byte in 0..=255 {
                let mut line = seed.to_vec();
                line[place] = byte;
                let _ = parse(&line).map(|request| request.kill_command());
            }
            let _ = parse(&seed[..place]);
        }
        let deep = "[".repeat(REQUEST_BYTES_MAX);
        assert!(parse(deep.as_bytes()).is_err());
    }
}
