//! Every state and every event; intervals; polls.

use std::time::{Duration, Instant};

use super::*;
use crate::fsm::Jitter;

fn discriminator(number: u32) -> Discriminator {
    Discriminator::new(number).unwrap()
}

fn timing(millis: u64, multiplier: u8) -> Timing {
    Timing::new(Duration::from_millis(millis), multiplier).unwrap()
}

/// What a neighbour with the default timing says in this state; it knows us once it is past Down.
fn says(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        multiplier: 3,
        my_discriminator: discriminator(77),
        your_discriminator: (state > State::Down).then(|| discriminator(1)),
        desired_min_tx: Duration::from_millis(if state == State::Up { 300 } else { 1000 }),
        required_min_rx: Duration::from_millis(300),
        required_min_echo_rx: Duration::ZERO,
    }
}

/// A session in a state, without jitter.
fn session(state: State, now: Instant) -> Session {
    let mut session = Session::new(discriminator(1), Timing::DEFAULT, Jitter::none());
    let way: &[Event] = match state {
        State::AdminDown => &[],
        State::Down => &[Event::Start],
        State::Init => &[Event::Start, Event::Received(says(State::Down))],
        State::Up => &[Event::Start, Event::Received(says(State::Init))],
    };
    for event in way {
        session.handle(event.clone(), now);
    }
    assert_eq!(session.state(), state);
    session
}

fn sent(outputs: &[Output]) -> Vec<Packet> {
    let packet = |output: &Output| if let Output::Send(packet) = output { Some(*packet) } else { None };
    outputs.iter().filter_map(packet).collect()
}

fn set(outputs: &[Output], timer: Timer, now: Instant) -> Option<Duration> {
    let after = |output: &Output| match output {
        Output::SetTimer(of, at) if *of == timer => Some(*at - now),
        _ => None,
    };
    outputs.iter().rev().find_map(after)
}

fn finished() -> Packet {
    Packet { is_final: true, ..says(State::Up) }
}

#[test]
fn every_event_in_every_state_leads_where_the_diagram_says() {
    use State::{AdminDown, Down, Init, Up};
    let received = |state| Event::Received(says(state));
    let expired = Event::Timer(Timer::Detection);
    // The states after it in AdminDown, Down, Init, Up.
    let table = [
        (Event::Start, [Down, Down, Init, Up]),
        (Event::Disable, [AdminDown; 4]),
        (received(AdminDown), [AdminDown, Down, Down, Down]),
        (received(Down), [AdminDown, Init, Init, Down]),
        (received(Init), [AdminDown, Up, Up, Up]),
        (received(Up), [AdminDown, Down, Up, Up]),
        (expired, [AdminDown, Down, Down, Down]),
        (Event::Timer(Timer::Transmit), State::ALL),
        (Event::Configure(timing(50, 5)), State::ALL),
    ];
    let now = Instant::now();
    for (event, states) in table {
        for (before, after) in State::ALL.into_iter().zip(states) {
            let mut session = session(before, now);
            let outputs = session.handle(event.clone(), now);
            assert_eq!(session.state(), after, "{event:?} in {before}");
            let changes = outputs.iter().filter(|output| matches!(output, Output::Changed(_))).count();
            assert_eq!(changes, usize::from(before != after), "{event:?} in {before}");
            let told = sent(&outputs).iter().any(|packet| packet.state == after);
            assert!(told || before == after, "{event:?} in {before}: the neighbour is told at once");
        }
    }
}

#[test]
fn only_a_session_that_was_up_and_that_nobody_took_down_counts_as_a_failure() {
    let now = Instant::now();
    let failure = |before, event: Event| {
        let outputs = session(before, now).handle(event, now);
        outputs.iter().any(|output| matches!(output, Output::Changed(change) if change.is_failure()))
    };
    assert!(failure(State::Up, Event::Timer(Timer::Detection)));
    assert!(failure(State::Up, Event::Received(says(State::Down))));
    assert!(!failure(State::Up, Event::Received(says(State::AdminDown))), "its operator");
    assert!(!failure(State::Up, Event::Disable), "ours");
    assert!(!failure(State::Init, Event::Timer(Timer::Detection)), "it never was up");
}

#[test]
fn a_session_is_slow_until_it_is_up_and_polls_then() {
    let now = Instant::now();
    let mut session = session(State::Down, now);
    assert_eq!(session.transmit_interval(), Some(Duration::from_secs(1)));
    assert_eq!(session.detection_time(), None);
    let outputs = session.handle(Event::Received(says(State::Down)), now);
    assert_eq!(session.detection_time(), Some(Duration::from_secs(3)));
    assert_eq!(set(&outputs, Timer::Detection, now), Some(Duration::from_secs(3)));
    let said = sent(&outputs)[0];
    assert_eq!((said.state, said.poll, said.desired_min_tx), (State::Init, false, Duration::from_secs(1)));
    let outputs = session.handle(Event::Received(says(State::Up)), now);
    let said = sent(&outputs)[0];
    assert_eq!((said.state, said.poll, said.desired_min_tx), (State::Up, true, Duration::from_millis(300)));
    assert_eq!(set(&outputs, Timer::Transmit, now), Some(Duration::from_millis(300)));
    assert_eq!(set(&outputs, Timer::Detection, now), Some(Duration::from_millis(900)));
    session.handle(Event::Received(finished()), now);
    assert!(!sent(&session.handle(Event::Timer(Timer::Transmit), now))[0].poll, "it was answered");
}

#[test]
fn a_poll_is_answered_at_once_and_the_answer_polls_nothing() {
    let now = Instant::now();
    for state in [State::Init, State::Up] {
        let mut session = session(state, now);
        let poll = Packet { poll: true, ..says(State::Up) };
        let answers = sent(&session.handle(Event::Received(poll), now));
        let finals: Vec<_> = answers.iter().filter(|packet| packet.is_final).collect();
        assert_eq!(finals.len(), 1, "{state}");
        assert!(!finals[0].poll && finals[0].state == State::Up);
    }
}

#[test]
fn an_impatient_side_waits_for_the_end_of_the_poll() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    session.handle(Event::Received(finished()), now);
    // Slower: we go on sending as often as the neighbour expects, and wait for its packets longer at once.
    let outputs = session.handle(Event::Configure(timing(1000, 3)), now);
    let said = sent(&outputs)[0];
    assert_eq!((said.poll, said.desired_min_tx), (true, Duration::from_secs(1)));
    assert_eq!(session.transmit_interval(), Some(Duration::from_millis(300)));
    assert_eq!(session.detection_time(), Some(Duration::from_secs(3)));
    session.handle(Event::Received(finished()), now);
    assert_eq!(session.transmit_interval(), Some(Duration::from_secs(1)));
    // Quicker: we send more often at once, and go on waiting as long as before.
    session.handle(Event::Configure(timing(300, 3)), now);
    assert_eq!(session.transmit_interval(), Some(Duration::from_millis(300)));
    assert_eq!(session.detection_time(), Some(Duration::from_secs(3)));
    session.handle(Event::Received(finished()), now);
    assert_eq!(session.detection_time(), Some(Duration::from_millis(900)));
}

#[test]
fn an_answer_to_an_earlier_poll_does_not_end_a_later_one() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    session.handle(Event::Configure(timing(1000, 3)), now);
    session.handle(Event::Received(finished()), now);
    assert_eq!(session.transmit_interval(), Some(Duration::from_millis(300)), "that was for coming up");
    session.handle(Event::Received(finished()), now);
    assert_eq!(session.transmit_interval(), Some(Duration::from_secs(1)));
}

#[test]
fn the_slower_side_decides_in_each_direction() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    let slow = Packet {
        desired_min_tx: Duration::from_millis(700),
        required_min_rx: Duration::from_millis(2000),
        multiplier: 5,
        ..says(State::Up)
    };
    session.handle(Event::Received(slow), now);
    assert_eq!(session.transmit_interval(), Some(Duration::from_secs(2)));
    assert_eq!(session.detection_time(), Some(Duration::from_millis(3500)));
}

#[test]
fn a_neighbour_that_wants_no_packets_gets_none_until_it_does() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    session.handle(Event::Received(finished()), now);
    for quiet in [
        Packet { required_min_rx: Duration::ZERO, ..says(State::Up) },
        Packet { demand: true, ..says(State::Up) },
    ] {
        let outputs = session.handle(Event::Received(quiet), now);
        assert!(outputs.contains(&Output::StopTimer(Timer::Transmit)));
        assert_eq!(session.transmit_interval(), None);
        let outputs = session.handle(Event::Received(says(State::Up)), now);
        assert!(set(&outputs, Timer::Transmit, now).is_some());
    }
    let demand = Event::Received(Packet { demand: true, ..says(State::Up) });
    session.handle(demand, now);
    assert!(sent(&session.handle(Event::Configure(timing(100, 3)), now))[0].poll);
    assert!(session.transmit_interval().is_some(), "a poll goes on until it is answered (§6.6)");
}

#[test]
fn a_neighbour_that_wants_packets_sooner_gets_the_next_one_sooner() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    let slow = Packet { required_min_rx: Duration::from_secs(60), ..says(State::Up) };
    session.handle(Event::Received(slow), now);
    session.handle(Event::Timer(Timer::Transmit), now);
    let later = now + Duration::from_millis(100);
    let outputs = session.handle(Event::Received(says(State::Up)), later);
    assert_eq!(set(&outputs, Timer::Transmit, later), Some(Duration::from_millis(200)));
    let much_later = now + Duration::from_secs(5);
    session.handle(Event::Received(slow), much_later);
    let outputs = session.handle(Event::Received(says(State::Up)), much_later);
    assert_eq!(set(&outputs, Timer::Transmit, much_later), Some(Duration::ZERO), "it is overdue");
}

#[test]
fn what_is_authenticated_changes_nothing_and_does_not_count_as_heard() {
    let now = Instant::now();
    let forged = Packet { authenticated: true, ..says(State::Down) };
    assert_eq!(session(State::Up, now).handle(Event::Received(forged), now), []);
}

#[test]
fn silence_is_told_with_its_diagnostic_and_the_neighbours_name_forgotten() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    let told = sent(&session.handle(Event::Timer(Timer::Detection), now))[0];
    assert_eq!((told.diagnostic, told.your_discriminator), (Diagnostic::TIME_EXPIRED, None));
    assert_eq!((told.state, told.desired_min_tx), (State::Down, Duration::from_secs(1)));
    assert_eq!((session.detection_time(), session.remote_discriminator()), (None, None));
}

#[test]
fn jitter_takes_off_a_quarter_at_most_and_a_tenth_at_least_when_one_packet_decides() {
    for (multiplier, range) in [(3, 225..=300), (1, 225..=270)] {
        let now = Instant::now();
        let mut session =
            Session::new(discriminator(1), timing(300, multiplier), Jitter::seeded(u64::from(multiplier)));
        session.handle(Event::Start, now);
        session.handle(Event::Received(says(State::Init)), now);
        let mut waits: Vec<_> = (0..500)
            .map(|_| {
                let outputs = session.handle(Event::Timer(Timer::Transmit), now);
                set(&outputs, Timer::Transmit, now).expect("it goes on").as_millis()
            })
            .collect();
        assert!(waits.iter().all(|wait| range.contains(wait)), "{multiplier}: {waits:?}");
        waits.dedup();
        assert!(waits.len() > 400);
    }
}
