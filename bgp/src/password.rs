//! The key of TCP-MD5.

use std::fmt;

/// The longest key that the kernel takes (linux/tcp.h `TCP_MD5SIG_MAXKEYLEN`).
const LONGEST: usize = 80;

/// What both ends of a TCP-MD5 session know (RFC 2385): 1 to 80 octets. It is never shown, written or sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

/// Why something cannot be a password. It does not say what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing to sign with.
    #[error("an empty password protects nothing; expected 1 to {LONGEST} bytes")]
    Empty,
    /// Routers take longer ones, Linux does not.
    #[error("a password of {0} bytes is too long for Linux' TCP-MD5; expected 1 to {LONGEST} bytes")]
    TooLong(usize),
}

impl Password {
    /// Checks the length.
    pub fn new(octets: impl Into<Vec<u8>>) -> Result<Self, PasswordError> {
        let octets = octets.into();
        match octets.len() {
            0 => Err(PasswordError::Empty),
            1..=LONGEST => Ok(Self(octets)),
            length => Err(PasswordError::TooLong(length)),
        }
    }

    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_one_to_eighty_octets_and_is_not_shown() {
        assert_eq!(Password::new(""), Err(PasswordError::Empty));
        assert_eq!(Password::new([b'x'; 81]), Err(PasswordError::TooLong(81)));
        assert!(PasswordError::TooLong(81).to_string().contains("81 bytes is too long"));
        let password = Password::new([b'x'; 80]).unwrap();
        assert_eq!(password.expose().len(), 80);
        assert!(!format!("{password:?}").contains('x'));
    }
}
