//! A name server beside a balancer: answers what the scenario has it answer, or swallows every question.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use crate::host::Host;

/// How often it looks whether it is to end: well below what a scenario waits.
const PAUSE: Duration = Duration::from_millis(50);

/// Names and their addresses.
pub type Names = BTreeMap<String, Ipv4Addr>;

/// One name server, in a thread of its own that ends with it.
#[derive(Debug)]
pub struct NameServer {
    says: Arc<Mutex<Option<Names>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts it on a host with these names, and has every host of the lab ask the server at 127.0.0.1 with these options
    /// of resolv.conf(5). Others have no address.
    pub fn start(host: &Host, names: Names, options: &str) -> Result<Self> {
        let file = host.files().join("resolv.conf");
        fs::write(&file, format!("nameserver 127.0.0.1\noptions {options}\n"))?;
        // Over the machine's own, in the lab's own view of the file system.
        mount(Some(&file), "/etc/resolv.conf", None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .context("mount over /etc/resolv.conf")?;
        let socket = host.enter(|| UdpSocket::bind(("127.0.0.1", 53)))?.context("the name server's port")?;
        socket.set_read_timeout(Some(PAUSE)).context("the name server's socket")?;
        let (says, ends) = (Arc::new(Mutex::new(Some(names))), Arc::new(AtomicBool::new(false)));
        let (known, end) = (Arc::clone(&says), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            let mut question = [0; 512];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = known.as_ref().and_then(|names| answer(&question[..length], names)) {
                    // Whoever asked and went away needs no answer.
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        Ok(Self { says, ends, thread: Some(thread) })
    }

    /// Takes every question from now on and answers none.
    pub fn fall_silent(&self) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Answers by these from now on.
    pub fn answer(&self, names: Names) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The answer to a question of one name (RFC 1035, section 4.1): its address, if there is one and it is asked for.
fn answer(question: &[u8], names: &Names) -> Option<Vec<u8>> {
    let (head, mut rest) = question.split_at_checked(12)?;
    let mut labels: Vec<String> = Vec::new();
    loop {
        let (length, others) = rest.split_first()?;
        let (label, others) = others.split_at_checked(usize::from(*length))?;
        rest = others;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let asked = &question[12..question.len() - rest.len() + 4];
    let is_for_v4 = rest.get(..4)? == [0, 1, 0, 1];
    let address = names.get(&labels.join(".")).filter(|_| is_for_v4);
    // The same identity; a response, recursion desired and there; one question, no more answers than one.
    let mut answer =
        [&head[..2], &[0x81, 0x80, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0], asked].concat();
    if let Some(address) = address {
        // The name as in the question, A, IN, a minute, four octets.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_answered_with_its_address_and_another_with_none() {
        let question =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";
        let names = Names::from([("a.example".to_owned(), Ipv4Addr::new(10, 64, 0, 12))]);
        let said = answer(question, &names).unwrap_or_default();
        assert_eq!(said[..12], *b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00");
        assert_eq!(said[12..question.len()], question[12..]);
        assert_eq!(said[said.len() - 4..], [10, 64, 0, 12]);
        let none = answer(question, &Names::new()).unwrap_or_default();
        assert_eq!((none[7], none.len()), (0, question.len()));
    }
}
