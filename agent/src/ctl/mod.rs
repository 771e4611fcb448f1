//! What `lvsctl` is made of: a client of the control socket, and text for people.

pub mod announcements;
pub mod arguments;
pub mod bgp;
pub mod change;
pub mod client;
pub mod complete;
pub mod events;
pub mod import;
pub mod output;
pub mod remote;
pub mod render;
pub mod resync;
pub mod top;
pub mod watch;
pub mod yaml;

/// A name as a part of a path, query or file name (RFC 3986 §2.1).
pub fn escape(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(escape("cp1075.example.org"), "cp1075.example.org");
        assert_eq!(escape("../a b?c#d\r\n"), "..%2Fa%20b%3Fc%23d%0D%0A");
    }
}
