//! From the bytes of one receive to messages.

use super::DecodeError;

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// Messages begin at multiples of this (`NLMSG_ALIGNTO`).
const ALIGNMENT: usize = 4;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The attributes of a generic netlink message.
    Attributes {
        /// Command.
        command: u8,
        /// The bytes after the generic netlink header.
        attributes: &'a [u8],
    },
    /// The end of one request: 0 for success, else an errno (positive).
    Acknowledgement(i32),
    /// The end of a dump: 0 for success, else an errno (positive).
    Done(i32),
    /// Says nothing.
    Nothing,
}

/// A netlink message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The number of the request that it answers.
    pub sequence: u32,
    /// What it says.
    pub body: Body<'a>,
}

/// The messages in the bytes of one receive. Ends after the first error: what follows has no known beginning.
///
/// Headers are read here and not by `neli`, whose reader subtracts from lengths before it checks them.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Of the bytes of one receive.
    pub fn new(received: &'a [u8]) -> Self {
        Self { rest: received }
    }

    fn take(&mut self) -> Result<Message<'a>, DecodeError> {
        let short = DecodeError::Truncated { what: "netlink message" };
        let length = native_u32(self.rest, 0).ok_or(short.clone())? as usize;
        let message =
            self.rest.get(..length).filter(|message| message.len() >= HEADER).ok_or(short.clone())?;
        self.rest = self.rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        let kind = native_u16(message, 4).ok_or(short.clone())?;
        let sequence = native_u32(message, 8).ok_or(short)?;
        Ok(Message { sequence, body: body(kind, &message[HEADER..])? })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.take();
        if message.is_err() {
            self.rest = &[];
        }
        Some(message)
    }
}

fn body(kind: u16, payload: &[u8]) -> Result<Body<'_>, DecodeError> {
    const NOOP: u16 = nix::libc::NLMSG_NOOP as u16;
    const ERROR: u16 = nix::libc::NLMSG_ERROR as u16;
    const DONE: u16 = nix::libc::NLMSG_DONE as u16;
    const OVERRUN: u16 = nix::libc::NLMSG_OVERRUN as u16;
    match kind {
        NOOP => Ok(Body::Nothing),
        ERROR => Ok(Body::Acknowledgement(errno(payload)?)),
        DONE if payload.is_empty() => Ok(Body::Done(0)),
        DONE => Ok(Body::Done(errno(payload)?)),
        OVERRUN => Err(DecodeError::Overrun),
        _ => match payload {
            [command, _version, _, _, attributes @ ..] => {
                Ok(Body::Attributes { command: *command, attributes })
            }
            _ => Err(DecodeError::Truncated { what: "generic netlink header" }),
        },
    }
}

/// The kernel sends errors as negative numbers.
fn errno(payload: &[u8]) -> Result<i32, DecodeError> {
    let raw = payload.first_chunk().ok_or(DecodeError::Truncated { what: "netlink acknowledgement" })?;
    Ok(i32::from_ne_bytes(*raw).saturating_neg())
}

fn native_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn native_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}
