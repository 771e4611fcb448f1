//! Which mark stands for which server (pure).

use super::Server;
use crate::config::MARKS;
use std::collections::{BTreeMap, BTreeSet};

/// Servers by slot, 0 to [`MARKS`] - 1; a slot's mark is the first mark and its number.
pub type Slots = BTreeMap<u32, Server>;

/// The slots of a new set of servers: who had one keeps it, as connections may be under way by its mark; new ones get
/// those that were free before first, for the same reason. Also gives the servers for whom none is left.
pub fn assign(have: &Slots, wanted: &BTreeSet<Server>) -> (Slots, BTreeSet<Server>) {
    let mut slots: Slots = BTreeMap::new();
    let mut homeless = wanted.clone();
    for (slot, server) in have {
        // Of two slots of one server, which nobody should have made, the first is kept.
        if *slot < MARKS && homeless.remove(server) {
            slots.insert(*slot, *server);
        }
    }
    let unused = (0..MARKS).filter(|slot| !have.contains_key(slot));
    let freed = have.keys().filter(|slot| **slot < MARKS && !slots.contains_key(slot)).copied();
    let mut free = unused.chain(freed.collect::<Vec<_>>());
    while let Some(server) = homeless.pop_first() {
        match free.next() {
            Some(slot) => drop(slots.insert(slot, server)),
            None => {
                homeless.insert(server);
                break;
            }
        }
    }
    (slots, homeless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn server(number: u32) -> Server {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        Server { address, encapsulation: None }
    }

    fn servers(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<Server> {
        numbers.into_iter().map(server).collect()
    }

    #[test]
    fn a_server_keeps_its_slot_and_a_new_one_gets_one_that_nobody_had() {
        let (slots, _) = assign(&Slots::new(), &servers([1, 2, 3]));
        assert_eq!(slots, [(0, server(1)), (1, server(2)), (2, server(3))].into());
        let (slots, homeless) = assign(&slots, &servers([0, 1, 3]));
        assert_eq!(slots, [(0, server(1)), (2, server(3)), (3, server(0))].into());
        assert!(homeless.is_empty());
    }

    #[test]
    fn freed_slots_are_used_when_no_other_is_left_and_the_rest_is_told() {
        let (full, homeless) = assign(&Slots::new(), &servers(0..MARKS));
        assert!(homeless.is_empty());
        let (slots, homeless) = assign(&full, &servers(1..=MARKS));
        assert_eq!((slots.len(), slots[&0]), (full.len(), server(MARKS)));
        assert!(homeless.is_empty());
        let (slots, homeless) = assign(&full, &servers(0..MARKS + 2));
        assert_eq!((slots, homeless), (full, servers([MARKS, MARKS + 1])));
    }

    #[test]
    fn slots_that_are_out_of_range_or_double_are_given_up() {
        let have = [(3, server(1)), (5, server(1)), (MARKS, server(2))].into();
        let (slots, _) = assign(&have, &servers([1, 2]));
        assert_eq!(slots, [(3, server(1)), (0, server(2))].into());
    }
}
