//! NOTIFICATION (RFC 4271 §4.5), with the shutdown communication (RFC 9003).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{DecodeError, ErrorCode, HEADER_LEN, MAX_MESSAGE, MessageType, cursor::Cursor, push_message};

/// The longest text in a shutdown communication, in octets (RFC 9003 §2).
pub const MAX_SHUTDOWN_TEXT: usize = 255;

/// Most octets of a neighbour's data that are printed.
const MAX_PRINTED: usize = 32;

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Code and subcode.
    pub code: ErrorCode,
    /// What the code says it is.
    pub data: Vec<u8>,
}

impl Notification {
    /// Without data.
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, data: Vec::new() }
    }

    /// Cease/Administrative Shutdown with a text for the neighbour's operator, cut to [`MAX_SHUTDOWN_TEXT`]
    /// octets at a character's border (RFC 9003).
    pub fn shutdown(text: &str) -> Self {
        let mut end = text.len().min(MAX_SHUTDOWN_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text.as_bytes()[..end];
        let mut data = Vec::with_capacity(1 + end);
        data.push(u8::try_from(end).unwrap_or(u8::MAX));
        data.extend_from_slice(text);
        Self { code: ErrorCode::ADMINISTRATIVE_SHUTDOWN, data }
    }

    /// The neighbour's operator's text, when the code carries one and it is whole and UTF-8. Control characters
    /// are replaced, since it goes to logs.
    pub fn shutdown_text(&self) -> Option<String> {
        match self.code {
            ErrorCode::ADMINISTRATIVE_SHUTDOWN | ErrorCode::ADMINISTRATIVE_RESET => {}
            ErrorCode { .. } => return None,
        }
        let text =
            std::str::from_utf8(Cursor::new(&self.data).block8()?).ok().filter(|text| !text.is_empty())?;
        Some(text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect())
    }

    /// The same end, said so that nobody keeps routes over it (RFC 8538 §3).
    pub fn hard(&self) -> Self {
        let data = [&[self.code.code, self.code.subcode][..], &self.data].concat();
        Self { code: ErrorCode::HARD_RESET, data }
    }

    /// No route is kept over it.
    pub fn is_hard_reset(&self) -> bool {
        self.code == ErrorCode::HARD_RESET
    }

    /// What a hard reset has in it.
    fn inner(&self) -> Option<Self> {
        match self.data.as_slice() {
            [code, subcode, data @ ..] if self.is_hard_reset() => {
                Some(Self { code: ErrorCode { code: *code, subcode: *subcode }, data: data.to_vec() })
            }
            _ => None,
        }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        match (cursor.u8(), cursor.u8()) {
            (Some(code), Some(subcode)) => {
                Ok(Self { code: ErrorCode { code, subcode }, data: cursor.rest().to_vec() })
            }
            (_, _) => Err(DecodeError::new(ErrorCode::BAD_MESSAGE_LENGTH, "NOTIFICATION is cut short")),
        }
    }

    /// Appends the message; data that does not fit is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let data = &self.data[..self.data.len().min(MAX_MESSAGE - HEADER_LEN - 2)];
        let mut body = Vec::with_capacity(2 + data.len());
        body.extend_from_slice(&[self.code.code, self.code.subcode]);
        body.extend_from_slice(data);
        let fits = push_message(out, MessageType::Notification, &body);
        debug_assert!(fits, "the data was cut");
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        // One in another goes no deeper: what a neighbour sends does not decide how far we recurse.
        if let Some(inner) = self.inner().filter(|inner| !inner.is_hard_reset()) {
            return write!(f, ": {inner}");
        }
        if let Some(text) = self.shutdown_text() {
            return write!(f, ": {text}");
        }
        if self.data.is_empty() {
            return Ok(());
        }
        f.write_str(", data ")?;
        self.data.iter().take(MAX_PRINTED).try_for_each(|octet| write!(f, "{octet:02x}"))?;
        if self.data.len() > MAX_PRINTED { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_text_survives_the_wire() {
        let mut out = Vec::new();
        Notification::shutdown("maintenance of rack 4 ☕").encode(&mut out);
        let back = Notification::decode(&out[HEADER_LEN..]).unwrap();
        assert_eq!(back.to_string(), "Cease/Administrative Shutdown: maintenance of rack 4 ☕");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let sent = Notification::shutdown(&"é".repeat(200));
        assert_eq!(sent.shutdown_text().unwrap(), "é".repeat(127));
        assert_eq!(sent.data.len(), 255);
    }

    #[test]
    fn a_text_that_lies_about_its_length_or_is_not_utf8_is_printed_as_octets() {
        let cut = Notification { code: ErrorCode::ADMINISTRATIVE_SHUTDOWN, data: vec![9, b'x'] };
        assert_eq!(cut.to_string(), "Cease/Administrative Shutdown, data 0978");
        let latin1 = Notification { code: ErrorCode::ADMINISTRATIVE_RESET, data: vec![1, 0xe9] };
        assert_eq!(latin1.shutdown_text(), None);
    }

    #[test]
    fn a_hard_reset_shows_what_is_in_it_and_one_in_another_shows_octets() {
        let hard = Notification::shutdown("rack 4").hard();
        assert!(hard.is_hard_reset());
        assert_eq!(hard.to_string(), "Cease/Hard Reset: Cease/Administrative Shutdown: rack 4");
        assert_eq!(hard.hard().to_string(), "Cease/Hard Reset, data 060906020672616".to_owned() + "36b2034");
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        assert_eq!(Notification::shutdown("a\x1b[2J\nb").shutdown_text().unwrap(), "a\u{fffd}[2J\u{fffd}b");
    }

    #[test]
    fn data_that_is_too_long_is_cut_to_a_legal_message() {
        let mut out = Vec::new();
        Notification { code: ErrorCode::BAD_MESSAGE_LENGTH, data: vec![0; 5000] }.encode(&mut out);
        assert_eq!(out.len(), MAX_MESSAGE);
    }

    #[test]
    fn an_unknown_code_is_printed_as_numbers() {
        let unknown = Notification::new(ErrorCode { code: 9, subcode: 77 });
        assert_eq!(unknown.to_string(), "code 9, subcode 77");
    }
}
