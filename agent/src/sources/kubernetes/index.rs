//! What is known of a cluster, and what a change of it concerns.

use super::model::{Key, Node, Service, Slice};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Services.
    Services,
    /// EndpointSlices.
    Slices,
    /// Nodes.
    Nodes,
}

impl Resource {
    /// As the API and its permissions call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Slices => "endpointslices.discovery.k8s.io",
            Self::Nodes => "nodes",
        }
    }
}

/// One kind of objects, made small.
#[derive(Debug)]
pub enum Objects {
    /// Services.
    Services(Vec<Service>),
    /// EndpointSlices.
    Slices(Vec<Slice>),
    /// Nodes.
    Nodes(Vec<Node>),
}

/// One object that changed.
#[derive(Debug)]
pub enum Object {
    /// A Service.
    Service(Box<Service>),
    /// An EndpointSlice.
    Slice(Box<Slice>),
    /// A Node.
    Node(Box<Node>),
}

impl From<Vec<Service>> for Objects {
    fn from(all: Vec<Service>) -> Self {
        Self::Services(all)
    }
}

impl From<Vec<Slice>> for Objects {
    fn from(all: Vec<Slice>) -> Self {
        Self::Slices(all)
    }
}

impl From<Vec<Node>> for Objects {
    fn from(all: Vec<Node>) -> Self {
        Self::Nodes(all)
    }
}

impl From<Service> for Object {
    fn from(service: Service) -> Self {
        Self::Service(Box::new(service))
    }
}

impl From<Slice> for Object {
    fn from(slice: Slice) -> Self {
        Self::Slice(Box::new(slice))
    }
}

impl From<Node> for Object {
    fn from(node: Node) -> Self {
        Self::Node(Box::new(node))
    }
}

/// What a watch says.
#[derive(Debug)]
pub enum Change {
    /// All that there is in a namespace, or everywhere: what is not in it is gone.
    All {
        /// The namespace that was listed; none is all of them.
        namespace: Option<Arc<str>>,
        /// What is there.
        objects: Objects,
    },
    /// An object is new, or is different.
    Set(Object),
    /// An object is gone.
    Gone(Object),
}

/// What a change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// A Service itself, by the watch.
    Service(Key),
    /// A Service itself, by a list: it is new or different there, or is not in it.
    Listed(Key),
    /// The endpoints of a Service.
    Endpoints(Key),
    /// Whatever nodes have a part in.
    Nodes,
}

/// The objects of a cluster.
#[derive(Debug, Default)]
pub struct Index {
    /// Apart from the map, which has room for more.
    services: HashMap<Key, Box<Service>>,
    /// Those of a Service, by name. Most have one.
    slices: HashMap<Key, Vec<Slice>>,
    /// The Service that each slice was last of: it may change.
    owners: HashMap<Key, Key>,
    nodes: BTreeMap<Arc<str>, Node>,
}

impl Index {
    /// A Service.
    pub fn service(&self, key: &Key) -> Option<&Service> {
        self.services.get(key).map(Box::as_ref)
    }

    /// Every Service, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values().map(Box::as_ref)
    }

    /// The slices of a Service.
    pub fn slices(&self, service: &Key) -> impl Iterator<Item = &Slice> {
        self.slices.get(service).into_iter().flatten()
    }

    /// The nodes by name.
    pub fn nodes(&self) -> &BTreeMap<Arc<str>, Node> {
        &self.nodes
    }

    /// Takes what a watch says, and gives what is different by it.
    pub fn apply(&mut self, change: Change) -> Vec<Concerned> {
        match change {
            Change::All { namespace, objects: Objects::Services(all) } => self.all_services(namespace, all),
            Change::All { namespace, objects: Objects::Slices(all) } => self.all_slices(namespace, all),
            Change::All { objects: Objects::Nodes(all), .. } => self.all_nodes(all),
            Change::Set(Object::Service(service)) => {
                self.set_service(service).map(Concerned::Service).into_iter().collect()
            }
            Change::Set(Object::Slice(slice)) => self.set_slice(*slice),
            Change::Set(Object::Node(node)) => self.set_node(*node),
            Change::Gone(Object::Service(service)) => {
                let was = self.services.remove(&service.key);
                was.map(|_| Concerned::Service(service.key)).into_iter().collect()
            }
            Change::Gone(Object::Slice(slice)) => self.drop_slice(&slice.own_key()),
            Change::Gone(Object::Node(node)) => {
                self.nodes.remove(&node.name).map(|_| Concerned::Nodes).into_iter().collect()
            }
        }
    }

    fn all_services(&mut self, namespace: Option<Arc<str>>, all: Vec<Service>) -> Vec<Concerned> {
        let listed: std::collections::HashSet<Key> = all.iter().map(|service| service.key.clone()).collect();
        let is_gone = |key: &&Key| is_in(key, namespace.as_deref()) && !listed.contains(key);
        let gone: Vec<Key> = self.services.keys().filter(is_gone).cloned().collect();
        let mut concerned: Vec<Concerned> = Vec::new();
        for key in gone {
            self.services.remove(&key);
            concerned.push(Concerned::Listed(key));
        }
        let set = |service| self.set_service(Box::new(service)).map(Concerned::Listed);
        concerned.extend(all.into_iter().filter_map(set));
        self.services.shrink_to_fit();
        concerned
    }

    /// Its key, if it is new or different.
    fn set_service(&mut self, service: Box<Service>) -> Option<Key> {
        let key = service.key.clone();
        if self.services.get(&key) == Some(&service) {
            return None;
        }
        self.services.insert(key.clone(), service);
        Some(key)
    }

    fn all_slices(&mut self, namespace: Option<Arc<str>>, all: Vec<Slice>) -> Vec<Concerned> {
        let mut listed: HashMap<Key, Vec<Slice>> = HashMap::new();
        self.owners.retain(|own, _| !is_in(own, namespace.as_deref()));
        for slice in all.into_iter().filter(Slice::has_service) {
            self.owners.insert(slice.own_key(), slice.service.clone());
            let slices = listed.entry(slice.service.clone()).or_insert_with(|| Vec::with_capacity(1));
            put(slices, slice);
        }
        let was = std::mem::take(&mut self.slices);
        let mut concerned = Vec::new();
        for (key, slices) in was {
            if !is_in(&key, namespace.as_deref()) {
                self.slices.insert(key, slices);
                continue;
            }
            match listed.remove(&key) {
                Some(now) if now == slices => {
                    self.slices.insert(key, slices);
                }
                Some(now) => {
                    concerned.push(Concerned::Endpoints(key.clone()));
                    self.slices.insert(key, now);
                }
                None => concerned.push(Concerned::Endpoints(key)),
            }
        }
        for (key, slices) in listed {
            concerned.push(Concerned::Endpoints(key.clone()));
            self.slices.insert(key, slices);
        }
        concerned
    }

    fn set_slice(&mut self, slice: Slice) -> Vec<Concerned> {
        let own = slice.own_key();
        let has_moved = self.owners.get(&own).is_some_and(|owner| *owner != slice.service);
        let mut concerned = if has_moved { self.drop_slice(&own) } else { Vec::new() };
        if !slice.has_service() {
            return concerned;
        }
        let key = slice.service.clone();
        if put(self.slices.entry(key.clone()).or_insert_with(|| Vec::with_capacity(1)), slice) {
            self.owners.insert(own, key.clone());
            concerned.push(Concerned::Endpoints(key));
        }
        concerned
    }

    fn drop_slice(&mut self, own: &Key) -> Vec<Concerned> {
        let Some(service) = self.owners.remove(own) else { return Vec::new() };
        let Some(slices) = self.slices.get_mut(&service) else { return Vec::new() };
        let was = place(slices, &own.name).ok().map(|at| slices.remove(at));
        if slices.is_empty() {
            self.slices.remove(&service);
        }
        was.map(|_| Concerned::Endpoints(service)).into_iter().collect()
    }

    fn all_nodes(&mut self, all: Vec<Node>) -> Vec<Concerned> {
        let all: BTreeMap<_, _> = all.into_iter().map(|node| (Arc::clone(&node.name), node)).collect();
        let is_different = self.nodes != all;
        self.nodes = all;
        is_different.then_some(Concerned::Nodes).into_iter().collect()
    }

    fn set_node(&mut self, node: Node) -> Vec<Concerned> {
        if self.nodes.get(&node.name) == Some(&node) {
            return Vec::new();
        }
        self.nodes.insert(Arc::clone(&node.name), node);
        vec![Concerned::Nodes]
    }
}

/// Where a slice is among others, or would be.
fn place(slices: &[Slice], name: &str) -> Result<usize, usize> {
    slices.binary_search_by(|slice| (*slice.name).cmp(name))
}

/// Takes a slice in. Whether it is new or different.
fn put(slices: &mut Vec<Slice>, slice: Slice) -> bool {
    match place(slices, &slice.name) {
        Ok(at) if slices[at] == slice => return false,
        Ok(at) => slices[at] = slice,
        Err(at) => slices.insert(at, slice),
    }
    true
}

fn is_in(key: &Key, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|namespace| *key.namespace == *namespace)
}
