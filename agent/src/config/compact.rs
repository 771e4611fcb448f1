//! A configuration in as little memory as it needs: what is equal is there once.

use super::model::{Pool, Service};
use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

/// What was seen already.
#[derive(Debug, Default)]
pub(super) struct Shared {
    hosts: HashSet<Arc<str>>,
    addresses: HashSet<Arc<[IpAddr]>>,
}

impl Shared {
    /// The same service; hosts that others have as well share their names and addresses.
    pub(super) fn service(&mut self, mut service: Service) -> Service {
        if let Pool::Inline(backends) = &mut service.pool {
            for backend in backends {
                share(&mut self.hosts, &mut backend.host);
                backend.addresses.iter_mut().for_each(|addresses| share(&mut self.addresses, addresses));
            }
        }
        let addresses = std::mem::take(&mut service.addresses).into_iter();
        let shared = addresses.map(|(mut host, mut of_host)| {
            share(&mut self.hosts, &mut host);
            share(&mut self.addresses, &mut of_host);
            (host, of_host)
        });
        service.addresses = shared.collect();
        service
    }
}

/// Puts the first of its kind in place of a value.
fn share<T: ?Sized + Eq + Hash>(seen: &mut HashSet<Arc<T>>, value: &mut Arc<T>) {
    match seen.get(&**value) {
        Some(first) => *value = Arc::clone(first),
        None => drop(seen.insert(Arc::clone(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const TEXT: &str = "\
        [service.a]\nvips = [\"192.0.2.1\"]\nport = 80\nchecks = []\n\
        backends = [{ host = \"rs1\", addresses = [\"10.0.0.1\"] }]\n\
        [service.b]\nvips = [\"192.0.2.2\"]\nport = 80\nchecks = []\n\
        backends = [{ host = \"rs1\", addresses = [\"10.0.0.1\"] }]\n";

    #[test]
    fn services_share_what_they_have_of_the_same_host() {
        let config = parse(&[("lvsd.toml".into(), TEXT.to_owned())]).unwrap();
        let backend = |service: &str| match &config.services[service].pool {
            Pool::Inline(backends) => backends[0].clone(),
            Pool::Sources(pools) => panic!("{pools:?}"),
        };
        let (a, b) = (backend("a"), backend("b"));
        assert!(Arc::ptr_eq(&a.host, &b.host));
        assert!(Arc::ptr_eq(&a.addresses.unwrap(), &b.addresses.unwrap()));
    }
}
