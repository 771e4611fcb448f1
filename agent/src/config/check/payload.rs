//! Bytes that are sent or looked for: text with escapes for what no text can hold.

use crate::config::walk::Node;
use health::Secret;

const PAYLOAD: &str = "a text, with \\r, \\n, \\t, \\0, \\\\ or \\xNN for what it cannot hold";

/// The bytes that a text stands for.
pub(super) fn read(node: &Node<'_>) -> Option<Vec<u8>> {
    node.parsed(PAYLOAD, unescaped)
}

/// The bytes that a text stands for and that are not to be shown.
pub(super) fn secret(node: &Node<'_>) -> Option<Secret> {
    let bytes = node.as_string().and_then(unescaped);
    if bytes.is_none() {
        node.unexpected_secret(PAYLOAD);
    }
    bytes.map(|bytes| bytes[..].into())
}

/// Nothing when a backslash begins no escape.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit()? << 4 | digit()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes_and_all_else_for_itself() {
        assert_eq!(unescaped(r"PING\r\n").as_deref(), Some(&b"PING\r\n"[..]));
        assert_eq!(unescaped(r"\x00\xfF\0\\x").as_deref(), Some(&b"\x00\xff\x00\\x"[..]));
        assert_eq!(unescaped("é\r\n").as_deref(), Some("é\r\n".as_bytes()));
        for text in [r"\", r"\q", r"\x", r"\x0", r"\xg0", r"\é"] {
            assert_eq!(unescaped(text), None, "{text}");
        }
    }
}
