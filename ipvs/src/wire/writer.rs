//! Attributes and headers into a buffer. A message of ours is a dozen small attributes: they are written where they go,
//! since building each as a value of its own takes as long as the kernel does to heed them all.

/// Attributes begin at multiples of this (`NLA_ALIGNTO`), and messages too (`NLMSG_ALIGNTO`).
const ALIGNMENT: usize = 4;

/// Attributes that hold attributes say so (`NLA_F_NESTED`).
const NESTED: u16 = nix::libc::NLA_F_NESTED as u16;

/// Writes one message to the end of a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

/// Of a message: `struct nlmsghdr` and `struct genlmsghdr`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) command: u8,
    pub(super) version: u8,
}

impl<'a> Writer<'a> {
    /// Appends a message whose attributes `write` writes; nothing when it fails.
    pub(super) fn message<E>(
        out: &'a mut Vec<u8>,
        header: Header,
        write: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let begin = out.len();
        let mut writer = Self { out };
        writer.out.extend([0; 4]);
        writer.out.extend(header.kind.to_ne_bytes());
        writer.out.extend(header.flags.to_ne_bytes());
        writer.out.extend(header.sequence.to_ne_bytes());
        // The port: the kernel knows whose socket it is.
        writer.out.extend([0; 4]);
        writer.out.extend([header.command, header.version, 0, 0]);
        let written = write(&mut writer);
        match &written {
            Ok(()) => {
                let length =
                    u32::try_from(writer.out.len() - begin).expect("a message is a few hundred bytes");
                writer.out[begin..begin + 4].copy_from_slice(&length.to_ne_bytes());
            }
            Err(_) => writer.out.truncate(begin),
        }
        written
    }

    /// An attribute.
    pub(super) fn bytes(&mut self, kind: u16, payload: &[u8]) {
        let begin = self.begin(kind);
        self.out.extend_from_slice(payload);
        self.end(begin);
    }

    /// An attribute that is a number in the machine's order.
    pub(super) fn u8(&mut self, kind: u16, number: u8) {
        self.bytes(kind, &[number]);
    }

    /// An attribute that is a number in the machine's order.
    pub(super) fn u16(&mut self, kind: u16, number: u16) {
        self.bytes(kind, &number.to_ne_bytes());
    }

    /// An attribute that is a number in the machine's order.
    pub(super) fn u32(&mut self, kind: u16, number: u32) {
        self.bytes(kind, &number.to_ne_bytes());
    }

    /// An attribute that is a text with a NUL at its end.
    pub(super) fn string(&mut self, kind: u16, text: &str) {
        let begin = self.begin(kind);
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(0);
        self.end(begin);
    }

    /// An attribute that holds those that `write` writes.
    pub(super) fn nest<T>(&mut self, kind: u16, write: impl FnOnce(&mut Self) -> T) -> T {
        let begin = self.begin(kind | NESTED);
        let written = write(self);
        self.end(begin);
        written
    }

    fn begin(&mut self, kind: u16) -> usize {
        let begin = self.out.len();
        self.out.extend([0; 2]);
        self.out.extend(kind.to_ne_bytes());
        begin
    }

    /// The length is without the padding that follows.
    fn end(&mut self, begin: usize) {
        let length = u16::try_from(self.out.len() - begin).expect("an attribute is a few hundred bytes");
        self.out[begin..begin + 2].copy_from_slice(&length.to_ne_bytes());
        while !self.out.len().is_multiple_of(ALIGNMENT) {
            self.out.push(0);
        }
    }
}
