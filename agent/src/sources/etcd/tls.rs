//! How gRPC to etcd is secured. The files are read for each connection: what was renewed is used.

use crate::config::{Endpoint, EtcdSettings};
use crate::tls::roots;
use etcd_client::{Identity, TlsOptions};
use std::path::Path;

/// The options of a secured connection.
///
/// # Errors
/// The file that cannot be read, and why.
pub(super) fn options(settings: &EtcdSettings, endpoint: &Endpoint) -> Result<TlsOptions, String> {
    let files = &settings.tls;
    let name = settings.server_name.as_deref().unwrap_or(&endpoint.host);
    let options = TlsOptions::new().domain_name(name).trust_anchors(roots(files.ca_file.as_deref())?.roots);
    Ok(match &files.identity {
        None => options,
        Some((chain, key)) => options.identity(Identity::from_pem(read(chain)?, read(key)?)),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
