//! Which session a packet is for.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Discriminator, Malformed, Packet, State};

/// Why a packet was not taken (RFC 5880 §6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discard {
    /// Nobody could take it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It names a session that we do not have: one of an earlier process, perhaps.
    #[error("it is for a session {0} that is not there")]
    UnknownSession(Discriminator),
    /// It names a session with somebody else.
    #[error("it is for a session with {0}")]
    OtherNeighbour(IpAddr),
    /// Only a sender that has not heard us may name no session.
    #[error("it names no session though its sender is {0}")]
    NoSession(State),
    /// No path to its sender is watched.
    #[error("no session with its sender")]
    UnknownSender,
    /// It says that it is authenticated, which none of ours is.
    #[error("it is authenticated")]
    Authenticated,
}

/// Picks the neighbour whose session a packet is for. Beyond the RFC a packet that names a session has to come from
/// that session's neighbour: there is one address to a session, and nobody else has anything to say on it.
pub(super) fn select(
    packet: &Packet,
    from: IpAddr,
    sessions: &BTreeMap<Discriminator, IpAddr>,
) -> Result<IpAddr, Discard> {
    let neighbour = match (packet.your_discriminator, packet.state) {
        (Some(named), _) => {
            let neighbour = *sessions.get(&named).ok_or(Discard::UnknownSession(named))?;
            if neighbour != from {
                return Err(Discard::OtherNeighbour(neighbour));
            }
            neighbour
        }
        (None, State::Down | State::AdminDown) => {
            *sessions.values().find(|neighbour| **neighbour == from).ok_or(Discard::UnknownSender)?
        }
        (None, state @ (State::Init | State::Up)) => return Err(Discard::NoSession(state)),
    };
    if packet.authenticated { Err(Discard::Authenticated) } else { Ok(neighbour) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bfd::Diagnostic;

    const R1: [u8; 4] = [10, 0, 0, 1];
    const R2: [u8; 4] = [10, 0, 0, 2];

    fn discriminator(number: u32) -> Discriminator {
        Discriminator::new(number).unwrap()
    }

    /// What becomes of a packet from R1, where session 1 is with R1 and session 2 with R2.
    fn taken(yours: u32, state: State, authenticated: bool, from: [u8; 4]) -> Result<IpAddr, Discard> {
        let packet = Packet {
            diagnostic: Diagnostic::NONE,
            state,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            authenticated,
            demand: false,
            multiplier: 3,
            my_discriminator: discriminator(77),
            your_discriminator: Discriminator::new(yours),
            desired_min_tx: Duration::from_secs(1),
            required_min_rx: Duration::from_secs(1),
            required_min_echo_rx: Duration::ZERO,
        };
        let sessions = BTreeMap::from([(discriminator(1), R1.into()), (discriminator(2), R2.into())]);
        select(&packet, from.into(), &sessions)
    }

    #[test]
    fn a_packet_goes_to_the_session_that_it_names_or_by_its_sender_when_that_has_heard_nothing() {
        for state in State::ALL {
            assert_eq!(taken(1, state, false, R1), Ok(R1.into()));
        }
        assert_eq!(taken(0, State::Down, false, R2), Ok(R2.into()));
        assert_eq!(taken(0, State::AdminDown, false, R2), Ok(R2.into()));
    }

    #[test]
    fn what_is_for_nobody_is_discarded_with_the_reason() {
        assert_eq!(taken(3, State::Up, false, R1), Err(Discard::UnknownSession(discriminator(3))));
        assert_eq!(taken(2, State::Down, false, R1), Err(Discard::OtherNeighbour(R2.into())));
        assert_eq!(taken(0, State::Up, false, R1), Err(Discard::NoSession(State::Up)));
        assert_eq!(taken(0, State::Init, false, R1), Err(Discard::NoSession(State::Init)));
        assert_eq!(taken(0, State::Down, false, [10, 0, 0, 3]), Err(Discard::UnknownSender));
        assert_eq!(taken(1, State::Up, true, R1), Err(Discard::Authenticated));
    }
}
