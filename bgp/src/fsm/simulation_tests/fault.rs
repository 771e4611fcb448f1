//! What happens between two peers, and what goes wrong.

use std::{net::Ipv4Addr, time::Duration};

use super::super::*;
use super::world::{Node, World};
use crate::{
    Role,
    rib::Batch,
    wire::{Capability, Open},
};

/// A TCP connection: its number. The dialling end is `Outgoing` at node `dialler`.
pub(super) type Wire = usize;

#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// Something arrives at a node from a connection.
    Arrives {
        node: usize,
        wire: Wire,
        event: Event,
    },
    /// A connection reaches the node that was dialled.
    Dialled {
        node: usize,
        wire: Wire,
    },
    /// A timer of a connection, valid while it is the latest of its kind.
    Timer {
        node: usize,
        side: Side,
        timer: Timer,
        serial: u64,
    },
    IdleHold {
        node: usize,
        serial: u64,
    },
    /// Routes arrive at a node from a connection.
    Told {
        node: usize,
        wire: Wire,
        batch: Batch,
    },
    /// A node is to announce so many routes from now on.
    Wants {
        node: usize,
        routes: u8,
    },
    Fault(Fault),
}

impl Happening {
    /// It is on its way from one node to the other.
    pub(super) const fn is_under_way(&self) -> bool {
        match self {
            Self::Arrives { .. } | Self::Dialled { .. } | Self::Told { .. } => true,
            Self::Timer { .. } | Self::IdleHold { .. } | Self::Wants { .. } | Self::Fault(_) => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Every connection breaks; both ends see it.
    Reset,
    /// A node forgets everything without a word; the other end learns of it when it sends.
    Crash(usize),
    /// Nothing that is sent on the present connections arrives any more, and nobody is told.
    Silence,
    /// Nothing arrives for so many milliseconds; TCP sends it again, so it comes then.
    Partition(u64),
    /// A node says this OPEN from now on, or a right one.
    Opens(usize, Option<Wrong>),
}

/// An OPEN that has to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    As,
    /// The other's own, towards a neighbour in the same AS; zero towards any other.
    RouterId,
    HoldTime,
    /// One that goes with neither: of a provider and a customer. Of neighbours in the same AS roles are not looked at.
    Role,
}

impl Wrong {
    pub(super) const ALL: [Self; 4] = [Self::As, Self::RouterId, Self::HoldTime, Self::Role];

    /// Makes an OPEN to a node with this identifier wrong.
    pub(super) fn spoil(self, open: &mut Open, internal: bool, to: Ipv4Addr) {
        match self {
            Self::Role if !internal => {
                open.capabilities.retain(|one| !matches!(one, Capability::Role(_)));
                open.capabilities.push(Capability::Role(Role::Peer.octet()));
            }
            Self::As | Self::Role => {
                open.my_as = 65_009;
                open.capabilities.retain(|one| !matches!(one, Capability::FourOctetAsn(_)));
            }
            Self::RouterId => open.router_id = if internal { to } else { Ipv4Addr::UNSPECIFIED },
            Self::HoldTime => open.hold_time = 1,
        }
    }
}

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Reset => {
                for node in 0..2 {
                    for (_, wire) in self.nodes[node].wires.clone() {
                        let event = Event::TcpClosed("reset".into());
                        self.deliver(node, wire, Happening::Arrives { node, wire, event });
                    }
                }
            }
            Fault::Crash(node) => {
                let wires: Vec<_> = self.nodes[node].wires.values().copied().collect();
                self.dead.extend(wires);
                let wants = self.nodes[node].wants.clone();
                let seed = self.serial();
                self.nodes[node] = Node::new(node, self.internal, true, seed);
                self.nodes[node].wants = wants;
                self.input(node, Input::Start);
            }
            Fault::Silence => {
                let wires = self.nodes.iter().flat_map(|node| node.wires.values()).copied();
                self.deaf.extend(wires);
            }
            Fault::Partition(millis) => {
                self.parted_until = self.parted_until.max(self.now + Duration::from_millis(millis));
                self.put_off();
            }
            Fault::Opens(node, wrong) => self.wrong[node] = wrong,
        }
    }
}
