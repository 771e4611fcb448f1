//! What both ends of a session sign with: `password_file` (TCP-MD5) or `tcp_ao`.

use crate::config::Problem;
use crate::config::model::TcpAo;
use crate::config::secret::{self, Secret};
use crate::config::walk::{Node, Section};

pub(in crate::config) const KEYS: &[&str] = &["key_id", "algorithm", "secret_file"];

const TCP_AO: &str = "{ key_id = 1, secret_file = \"/etc/lvsd/r1.key\" }";
const KEY_ID: &str = "a key's number 0-255, the same at both ends";
const ALGORITHM: &str = "\"hmac-sha-1-96\" or \"aes-128-cmac-96\"";

/// The outer `None` of each: it could not be read, which is reported.
pub(super) struct Key {
    pub(super) password: Option<Option<Secret>>,
    pub(super) tcp_ao: Option<Option<TcpAo>>,
}

pub(super) fn read(section: &Section<'_>) -> Key {
    let (password, ao) = (section.get("password_file"), section.get("tcp_ao"));
    if let (Some(_), Some(node)) = (&password, &ao) {
        let what = "password_file and tcp_ao exclude one another: the kernel signs with one of them";
        node.report(Problem::Conflict(what.to_owned()));
    }
    Key {
        password: password.map_or(Some(None), |node| secret::read(&node).map(Some)),
        tcp_ao: ao.map_or(Some(None), |node| tcp_ao(&node).map(Some)),
    }
}

fn tcp_ao(node: &Node<'_>) -> Option<TcpAo> {
    let section = node.section(KEYS)?;
    let key_id = section
        .required("key_id", TCP_AO)
        .and_then(|node| u8::try_from(node.integer(KEY_ID, 0..=u8::MAX.into())?).ok());
    let algorithm = section
        .get("algorithm")
        .map_or(Some(bgp::AoAlgorithm::default()), |node| node.parsed(ALGORITHM, |text| text.parse().ok()));
    let secret = section.required("secret_file", TCP_AO).and_then(|node| secret::read(&node));
    Some(TcpAo { key_id: key_id?, algorithm: algorithm?, secret: secret? })
}
