use super::*;
use crate::core::path::Path;
use crate::engine::Input;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use round::Way;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a test waits for what must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

async fn next(inbox: &mut mpsc::Receiver<Input>) -> Event {
    match timeout(PATIENCE, inbox.recv()).await.expect("an event in time") {
        Some(Input::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

fn server() -> IpAddr {
    "10.64.0.11".parse().unwrap()
}

/// An executor that has found the server straight out of interface 2.
fn executor() -> (Executor, mpsc::Receiver<Input>) {
    let (inbox, events) = Inbox::new();
    let mut executor = Executor::new(inbox);
    executor.want(BTreeSet::from([server()]));
    executor.due = None;
    let path = Path::Direct { interface: "eth0".into() };
    executor.ways.insert(server(), Way { index: 2, path });
    (executor, events)
}

fn neighbour(index: u32, address: &str, state: NeighbourState) -> NetlinkPayload<RouteNetlinkMessage> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    (message.header.ifindex, message.header.state) = (index, state);
    let address = NeighbourAddress::Inet(address.parse().unwrap());
    message.attributes.push(NeighbourAttribute::Destination(address));
    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message))
}

#[tokio::test]
async fn what_is_wanted_is_reported_and_so_is_what_is_wanted_again() {
    let (inbox, mut events) = Inbox::new();
    let handle = Handle::spawn(inbox);
    let wanted: BTreeSet<IpAddr> = ["127.0.0.1", "127.0.0.2"].map(|text| text.parse().unwrap()).into();
    for _ in 0..2 {
        handle.set(wanted.clone());
        let Event::PathsSeen(seen) = next(&mut events).await else { panic!("paths are reported") };
        assert_eq!(seen.iter().map(|seen| seen.address).collect::<BTreeSet<_>>(), wanted);
        assert!(seen.iter().all(|seen| seen.path == Path::Local), "{seen:?}");
    }
    handle.stop();
}

#[tokio::test]
async fn a_failed_neighbour_is_told_each_time_that_it_fails() {
    let (mut executor, mut events) = executor();
    for _ in 0..2 {
        executor.hear(neighbour(2, "10.64.0.11", NeighbourState::Failed)).await;
        let Event::NeighboursFailed(failed) = next(&mut events).await else { panic!("it is told") };
        assert_eq!(failed, BTreeSet::from([server()]));
    }
    executor.report().await;
    let Event::PathsSeen(seen) = next(&mut events).await else { panic!("it is reported") };
    assert_eq!(seen[0].neighbour, Neighbour::Failed);
}

#[tokio::test]
async fn neighbours_elsewhere_and_changes_without_meaning_are_not_told() {
    let (mut executor, mut events) = executor();
    executor.report().await;
    next(&mut events).await;
    executor.hear(neighbour(3, "10.64.0.11", NeighbourState::Failed)).await;
    executor.hear(neighbour(2, "10.64.0.99", NeighbourState::Failed)).await;
    executor.report().await;
    executor.hear(neighbour(2, "10.64.0.11", NeighbourState::Reachable)).await;
    executor.report().await;
    next(&mut events).await;
    executor.hear(neighbour(2, "10.64.0.11", NeighbourState::Stale)).await;
    executor.report().await;
    assert!(events.try_recv().is_err());
    assert_eq!(executor.due, None, "a neighbour's change asks for no round");
}

#[tokio::test]
async fn a_failed_neighbour_of_which_the_word_was_lost_is_told_once_it_is_found() {
    let (mut executor, mut events) = executor();
    let found = || Round {
        neighbours: Some(Neighbours::from([((2, server()), Neighbour::Failed)])),
        ..Round::default()
    };
    executor.take(found()).await;
    assert!(matches!(next(&mut events).await, Event::NeighboursFailed(_)));
    executor.take(found()).await;
    assert!(events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn many_changes_of_the_network_are_one_round_and_a_long_round_is_followed_by_rest() {
    let (mut executor, _events) = executor();
    let link = || NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(LinkMessage::default()));
    let begin = Instant::now();
    for _ in 0..10 {
        executor.hear(link()).await;
        tokio::time::advance(Duration::from_millis(5)).await;
    }
    assert_eq!(executor.next_round(), Some(begin + SETTLE));
    executor.due = None;
    let end = Instant::now();
    executor.take(Round { took: Duration::from_secs(1), ..Round::default() }).await;
    executor.hear(link()).await;
    assert_eq!(executor.next_round(), Some(end + Duration::from_secs(9)));
}

#[tokio::test]
async fn what_could_not_be_looked_up_stays_as_it_was_and_is_tried_again() {
    let (mut executor, mut events) = executor();
    executor.take(Round { failure: Some("no answer in time".into()), ..Round::default() }).await;
    assert!(executor.due.is_some());
    executor.report().await;
    let Event::PathsSeen(seen) = next(&mut events).await else { panic!("it is reported") };
    assert!(seen[0].path.is_on_link());
}
