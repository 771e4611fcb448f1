//! Cutting the stream into messages.

use super::{
    DecodeError, ErrorCode, HEADER_LEN, MARKER, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, MessageType,
    cursor::Cursor,
};

/// How much is read from TCP at once, at most. With the longest message before it, it bounds the buffer.
const READ: usize = 16_384;

/// A message's body, its header checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message's type.
    pub kind: MessageType,
    /// What follows the header.
    pub body: &'a [u8],
}

/// A receive buffer that gives out whole messages. It holds at most one incomplete message and one read.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Framer {
    /// An empty buffer; it allocates with the first read.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0 }
    }

    /// Where the next read goes; never empty. Call [`filled`](Self::filled) with how much was read.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = (self.end + READ).min(MAX_EXTENDED_MESSAGE + READ);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// `count` octets were put into [`space`](Self::space).
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// The next whole message, `None` when more must be read first. `extended` allows [`MAX_EXTENDED_MESSAGE`]
    /// octets instead of [`MAX_MESSAGE`], except to OPEN and KEEPALIVE (RFC 8654 §3). The header is judged as
    /// soon as it is there. After an error the stream is lost; further calls return the error again.
    pub fn next_frame(&mut self, extended: bool) -> Result<Option<Frame<'_>>, DecodeError> {
        let pending = &self.buffer[self.start..self.end];
        let mut cursor = Cursor::new(pending);
        let (Some(marker), Some(length), Some(kind)) = (cursor.array(), cursor.u16(), cursor.u8()) else {
            return Ok(None);
        };
        let kind = check_header(marker, length, kind, extended)?;
        let Some(body) = cursor.take(usize::from(length) - HEADER_LEN) else {
            return Ok(None);
        };
        self.start += usize::from(length);
        Ok(Some(Frame { kind, body }))
    }
}

/// RFC 4271 §6.1.
fn check_header(marker: [u8; 16], length: u16, kind: u8, extended: bool) -> Result<MessageType, DecodeError> {
    if marker != MARKER {
        return Err(DecodeError::new(
            ErrorCode::NOT_SYNCHRONIZED,
            "a message does not start with the marker",
        ));
    }
    let bad_length = |what| DecodeError::with(ErrorCode::BAD_MESSAGE_LENGTH, what, length.to_be_bytes());
    let octets = usize::from(length);
    if octets < HEADER_LEN {
        return Err(bad_length("a message is shorter than its header"));
    }
    let Some(kind) = MessageType::from_octet(kind) else {
        return Err(DecodeError::with(ErrorCode::BAD_MESSAGE_TYPE, "a message has an unknown type", [kind]));
    };
    let longest = match kind {
        MessageType::Keepalive => HEADER_LEN,
        MessageType::Open => MAX_MESSAGE,
        MessageType::Update | MessageType::Notification | MessageType::RouteRefresh if extended => {
            MAX_EXTENDED_MESSAGE
        }
        MessageType::Update | MessageType::Notification | MessageType::RouteRefresh => MAX_MESSAGE,
    };
    if octets < kind.min_len() || octets > longest {
        return Err(bad_length("a message's length is not one of its type"));
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{encode_keepalive, push_message};

    fn feed(framer: &mut Framer, bytes: &[u8]) {
        framer.space()[..bytes.len()].copy_from_slice(bytes);
        framer.filled(bytes.len());
    }

    fn error(bytes: &[u8], extended: bool) -> DecodeError {
        let mut framer = Framer::new();
        feed(&mut framer, bytes);
        framer.next_frame(extended).unwrap_err()
    }

    fn header(length: u16, kind: u8) -> Vec<u8> {
        [&MARKER[..], &length.to_be_bytes(), &[kind]].concat()
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        encode_keepalive(&mut stream);
        push_message(&mut stream, MessageType::Update, &[0, 0, 0, 0]);
        encode_keepalive(&mut stream);
        for cut in 1..stream.len() {
            let mut framer = Framer::new();
            let mut kinds = Vec::new();
            for part in stream.chunks(cut) {
                feed(&mut framer, part);
                while let Some(frame) = framer.next_frame(false).unwrap() {
                    kinds.push(frame.kind);
                }
            }
            assert_eq!(kinds, [MessageType::Keepalive, MessageType::Update, MessageType::Keepalive]);
        }
    }

    #[test]
    fn a_wrong_header_is_refused_before_its_body_arrives() {
        let mut unsynchronized = header(23, 2);
        unsynchronized[7] = 0;
        assert_eq!(error(&unsynchronized, false).code, ErrorCode::NOT_SYNCHRONIZED);
        let unknown = error(&header(19, 6), false);
        assert_eq!((unknown.code, unknown.data), (ErrorCode::BAD_MESSAGE_TYPE, vec![6]));
        let wrong = [(18, 4), (20, 4), (28, 1), (22, 2), (20, 3), (22, 5), (4097, 2), (4097, 3), (0, 2)];
        for (length, kind) in wrong {
            let error = error(&header(length, kind), false);
            assert_eq!(error.code, ErrorCode::BAD_MESSAGE_LENGTH, "length {length}, type {kind}");
            assert_eq!(error.data, length.to_be_bytes(), "the NOTIFICATION carries the wrong length");
        }
    }

    #[test]
    fn an_extended_message_is_taken_only_when_negotiated_and_never_as_open_or_keepalive() {
        let mut framer = Framer::new();
        let mut long = header(u16::MAX, 2);
        long.resize(usize::from(u16::MAX), 0);
        for part in long.chunks(READ) {
            assert_eq!(framer.next_frame(true), Ok(None));
            feed(&mut framer, part);
        }
        assert_eq!(framer.next_frame(true).unwrap().unwrap().body.len(), MAX_EXTENDED_MESSAGE - HEADER_LEN);
        for kind in [1, 4] {
            assert_eq!(error(&header(5000, kind), true).code, ErrorCode::BAD_MESSAGE_LENGTH);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic_and_the_buffer_stays_bounded(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..20),
            synchronized: bool, extended: bool,
        ) {
            let mut framer = Framer::new();
            if synchronized {
                feed(&mut framer, &MARKER);
            }
            for part in parts {
                feed(&mut framer, &part);
                while let Ok(Some(_)) = framer.next_frame(extended) {}
                if framer.next_frame(extended).is_err() {
                    break;
                }
                prop_assert!(framer.buffer.len() <= MAX_EXTENDED_MESSAGE + READ);
            }
        }
    }
}
