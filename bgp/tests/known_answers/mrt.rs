//! Files of messages as route collectors publish them (RFC 6396).

/// `BGP4MP` and `BGP4MP_ET`, which has microseconds in front; `BGP4MP_MESSAGE_AS4`.
const KINDS: [usize; 2] = [16, 17];
const MESSAGE_AS4: usize = 4;

/// The UPDATEs of a file.
pub(crate) fn updates(mut file: &[u8]) -> Vec<Vec<u8>> {
    let word = |bytes: &[u8], at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let mut all = Vec::new();
    while file.len() >= 12 {
        let (kind, subtype, length) = (word(file, 4), word(file, 6), word(file, 8) << 16 | word(file, 10));
        let (record, rest) = file[12..].split_at(length);
        file = rest;
        if KINDS.contains(&kind) && subtype == MESSAGE_AS4 {
            let record = &record[if kind == 17 { 4 } else { 0 }..];
            let addresses = if word(record, 10) == 1 { 8 } else { 32 };
            let message = &record[12 + addresses..];
            if message[18] == 2 {
                all.push(message.to_vec());
            }
        }
    }
    all
}

/// A file of these UPDATEs, from two collected routers in turn.
pub(crate) fn file_of(updates: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for (index, message) in updates.iter().enumerate() {
        let (family, addresses) = if index % 2 == 0 { (1_u16, 8) } else { (2, 32) };
        let mut record = [64_500_u32.to_be_bytes(), 64_501_u32.to_be_bytes()].concat();
        record.extend_from_slice(&0_u16.to_be_bytes());
        record.extend_from_slice(&family.to_be_bytes());
        record.extend_from_slice(&vec![0; addresses]);
        record.extend_from_slice(message);
        file.extend_from_slice(&0_u32.to_be_bytes());
        file.extend_from_slice(&[0, 16, 0, 4]);
        file.extend_from_slice(&u32::try_from(record.len()).expect("a short record").to_be_bytes());
        file.extend_from_slice(&record);
    }
    file
}
