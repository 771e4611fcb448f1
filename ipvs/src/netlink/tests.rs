//! The engine against a kernel that is played: what it does with answers that a real one gives seldom.

use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::read::table as dump;
use super::socket::Connection;
use super::write::{BATCH, Write, all as apply};
use super::*;
use crate::model::{Scheduler, SchedulerFlags, Service, ServiceKey};
use crate::wire::{Body, DecodeError, Messages, Request};

const FAMILY: u16 = 0x21;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const GET_DESTINATION: u8 = 8;
/// Long for a machine that is busy, short for a test that waits it out once.
const TIMEOUT: Duration = Duration::from_millis(200);

/// A request that was received.
#[derive(Clone, Copy, Debug)]
struct Received {
    sequence: u32,
    command: u8,
    wants_acknowledgement: bool,
}

impl Received {
    /// The answer of a kernel, which says nothing of a success that it is not asked for.
    fn answer(&self, errno: i32) -> Option<Vec<u8>> {
        (errno != 0 || self.wants_acknowledgement).then(|| acknowledgement(self.sequence, errno))
    }
}

/// What is sent back for one datagram: datagrams.
type Answers = Vec<Vec<u8>>;

/// A connection whose kernel answers each datagram so, until it is dropped. The thread gives the number of messages in
/// each datagram that it got.
fn played(
    mut answer: impl FnMut(&[Received]) -> Answers + Send + 'static,
) -> (Connection, JoinHandle<Vec<usize>>) {
    let (ours, kernel): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let thread = thread::spawn(move || {
        let mut counts = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
            if length == 0 {
                return counts;
            }
            let requests = received(&buffer[..length]);
            counts.push(requests.len());
            for datagram in answer(&requests) {
                send(kernel.as_raw_fd(), &datagram, MsgFlags::empty()).unwrap();
            }
        }
    });
    (Connection::over(ours, FAMILY, TIMEOUT), thread)
}

fn received(mut bytes: &[u8]) -> Vec<Received> {
    let mut requests = Vec::new();
    for message in Messages::new(bytes) {
        let message = message.unwrap();
        let Body::Attributes { command, .. } = message.body else { panic!("{message:?}") };
        let wants_acknowledgement = bytes[6] & 4 != 0;
        requests.push(Received { sequence: message.sequence, command, wants_acknowledgement });
        bytes = &bytes[u32::from_ne_bytes(*bytes.first_chunk().unwrap()) as usize..];
    }
    requests
}

fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([kind.to_ne_bytes(), [0, 0]].concat());
    bytes.extend([sequence.to_ne_bytes(), [0; 4]].concat());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn acknowledgement(sequence: u32, errno: i32) -> Vec<u8> {
    // With the header of the request, as the kernel has it.
    message(ERROR, sequence, &[&(-errno).to_ne_bytes()[..], &[0; 16]].concat())
}

fn key(number: u8) -> ServiceKey {
    format!("tcp 192.0.2.{number}:80").parse().unwrap()
}

fn deletions(count: usize) -> Vec<Op> {
    (0..count).map(|number| Op::DeleteService { key: key(u8::try_from(number % 250).unwrap()) }).collect()
}

fn service() -> Service {
    Service::new(Scheduler::Rr, SchedulerFlags::NONE).unwrap()
}

#[test]
fn operations_go_in_batches_and_results_come_in_their_order() {
    let (mut connection, kernel) = played(|requests| {
        // Every third is not there. Several answers to a datagram.
        let errno = |sequence: u32| if sequence.is_multiple_of(3) { Errno::ESRCH as i32 } else { 0 };
        let answers: Vec<Vec<u8>> =
            requests.iter().filter_map(|request| request.answer(errno(request.sequence))).collect();
        answers.chunks(50).map(<[_]>::concat).collect()
    });
    let ops = deletions(2 * BATCH + 1);
    let results = apply(&mut connection, ops.clone()).unwrap();
    drop(connection);
    assert_eq!(kernel.join().unwrap(), [BATCH, BATCH, 1]);
    assert_eq!(results.len(), ops.len());
    for ((sequence, op), result) in (1u32..).zip(ops).zip(results) {
        let expected = OpError { op: Box::new(op), refusal: Refusal::NoService };
        assert_eq!(result, if sequence % 3 == 0 { Err(expected) } else { Ok(()) });
    }
}

#[test]
fn only_the_last_of_a_batch_asks_to_be_acknowledged() {
    let (mut connection, kernel) = played(|requests| {
        let asking: Vec<_> = requests.iter().filter(|request| request.wants_acknowledgement).collect();
        assert_eq!(asking.len(), 1);
        assert_eq!(asking[0].sequence, requests.last().unwrap().sequence);
        vec![acknowledgement(asking[0].sequence, 0)]
    });
    // The last operation is one that no message can say, so the one before it asks.
    let unsaid = Service { scheduler: Scheduler::Other("twos".to_owned()), ..service() };
    let mut ops = deletions(2 * BATCH + 2);
    ops.push(Op::SetService { key: key(2), service: unsaid });
    let results = apply(&mut connection, ops).unwrap();
    drop(connection);
    assert_eq!(kernel.join().unwrap(), [BATCH, BATCH, 2]);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2 * BATCH + 2);
}

#[test]
fn writes_beside_the_table_get_their_own_refusals() {
    let (mut connection, _kernel) = played(|requests| {
        let errnos = [Errno::ESRCH, Errno::EEXIST, Errno::ENODEV, Errno::EINVAL, Errno::EINVAL, Errno::ESRCH];
        let answers = requests.iter().zip(errnos).map(|(request, errno)| request.answer(errno as i32));
        answers.flatten().collect()
    });
    let role = crate::DaemonRole::Backup;
    let start = Control::StartDaemon { role, daemon: crate::Daemon::new("eth0".parse().unwrap(), 1) };
    let controls = vec![
        Control::StopDaemon { role },
        start.clone(),
        start.clone(),
        start,
        Control::SetTimeouts(crate::Timeouts::NONE),
        Control::ZeroStatistics { service: Some(key(1)) },
    ];
    let results = apply(&mut connection, controls).unwrap();
    let refusals: Vec<_> = results.into_iter().map(|result| result.unwrap_err().refusal).collect();
    let expected = [
        Refusal::NoDaemon,
        Refusal::Exists,
        Refusal::NoInterface,
        Refusal::MixedFamilies,
        Refusal::Timeout,
        Refusal::NoService,
    ];
    assert_eq!(refusals, expected);
}

#[test]
fn an_operation_that_no_message_can_say_fails_alone() {
    let (mut connection, kernel) =
        played(|requests| requests.iter().filter_map(|request| request.answer(0)).collect());
    let unsaid = Service { scheduler: Scheduler::Other("twos".to_owned()), ..service() };
    let ops = vec![
        Op::NewService { key: key(1), service: service() },
        Op::SetService { key: key(2), service: unsaid },
        Op::DeleteService { key: key(3) },
    ];
    let results = apply(&mut connection, ops).unwrap();
    let only_unsaid =
        apply(&mut connection, vec![results[1].clone().unwrap_err().op.as_ref().clone()]).unwrap();
    drop(connection);
    assert_eq!(kernel.join().unwrap(), [2], "a batch of which nothing can be said is not sent");
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(
        only_unsaid[0].as_ref().unwrap_err().to_string(),
        "cannot set service tcp 192.0.2.2:80, scheduler twos: scheduler \"twos\" can be read from the kernel but not written"
    );
}

#[test]
fn nothing_to_do_asks_nothing_of_the_kernel() {
    let (mut connection, kernel) = played(|_| Vec::new());
    assert_eq!(apply(&mut connection, Vec::<Op>::new()).unwrap(), []);
    drop(connection);
    assert_eq!(kernel.join().unwrap(), [0; 0]);
}

#[test]
fn a_kernel_that_says_nothing_is_a_timeout_and_a_resync() {
    let (mut connection, _kernel) = played(|requests| {
        requests
            .iter()
            .take(2)
            .map(|request| acknowledgement(request.sequence, Errno::ESRCH as i32))
            .collect()
    });
    let error = apply(&mut connection, deletions(3)).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Resync);
    assert_eq!(error.to_string(), "cannot write to IPVS: the kernel did not answer within 200ms");
}

#[test]
fn an_answer_to_something_else_is_a_resync() {
    let stray = |requests: &[Received]| vec![acknowledgement(requests[0].sequence + 1000, 0)];
    let (mut connection, _kernel) = played(stray);
    let error = apply(&mut connection, deletions(1)).unwrap_err();
    assert!(matches!(error, Error::Sequence { expected: 1, got: 1001, .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Resync);
    let (mut connection, _kernel) = played(stray);
    let error = dump(&mut connection).unwrap_err();
    assert!(matches!(error, Error::Sequence { .. }), "{error:?}");
}

#[test]
fn an_operation_that_is_acknowledged_twice_is_a_resync() {
    let (mut connection, _kernel) =
        played(|requests| vec![acknowledgement(requests[0].sequence, 0).repeat(2)]);
    let error = apply(&mut connection, deletions(2)).unwrap_err();
    assert!(matches!(error, Error::Sequence { .. }), "{error:?}");
}

#[test]
fn answers_that_make_no_sense_are_a_resync() {
    let (mut connection, _kernel) = played(|_| vec![vec![1, 2, 3]]);
    let error = apply(&mut connection, deletions(1)).unwrap_err();
    assert!(matches!(error, Error::Decode { source: DecodeError::Truncated { .. }, .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Resync);
    let (mut connection, _kernel) =
        played(|requests| vec![message(FAMILY, requests[0].sequence, &[1, 1, 0, 0, 9, 0])]);
    let error = dump(&mut connection).unwrap_err();
    assert!(matches!(error, Error::Decode { source: DecodeError::Attributes { .. }, .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Resync);
}

#[test]
fn a_dump_that_ends_in_an_errno_says_what_it_means() {
    let ending = |errno: Errno| {
        let (mut connection, _kernel) = played(move |requests| {
            vec![message(DONE, requests[0].sequence, &(-(errno as i32)).to_ne_bytes())]
        });
        dump(&mut connection).unwrap_err()
    };
    assert_eq!(ending(Errno::EPERM).kind(), ErrorKind::Fatal);
    assert!(ending(Errno::EPERM).to_string().contains("CAP_NET_ADMIN"));
    assert_eq!(ending(Errno::EBUSY).kind(), ErrorKind::Retry);
    assert_eq!(ending(Errno::ENOENT).kind(), ErrorKind::Resync);
}

#[test]
fn a_refusal_says_what_the_errno_means_for_what_was_being_done() {
    let on_service = Op::SetService { key: key(1), service: service() };
    let on_destination = Op::DeleteDestination { service: key(1), key: "10.0.0.7:80".parse().unwrap() };
    let cases = [
        (&on_service, Errno::EEXIST, Refusal::Exists),
        (&on_service, Errno::ESRCH, Refusal::NoService),
        (&on_service, Errno::ENOENT, Refusal::NoScheduler),
        (&on_destination, Errno::ESRCH, Refusal::NoService),
        (&on_destination, Errno::ENOENT, Refusal::NoDestination),
        (&on_destination, Errno::ERANGE, Refusal::Range),
        (&on_destination, Errno::EINVAL, Refusal::Invalid),
        (&on_destination, Errno::EAFNOSUPPORT, Refusal::Family),
        (&on_destination, Errno::EPERM, Refusal::Permission),
        (&on_destination, Errno::ENOMEM, Refusal::Other(Errno::ENOMEM)),
    ];
    for (op, errno, refusal) in cases {
        assert_eq!(op.refusal(errno), refusal, "{errno} of {op}");
    }
    assert_eq!(
        OpError { op: Box::new(on_destination), refusal: Refusal::NoDestination }.to_string(),
        "cannot delete destination 10.0.0.7:80 of tcp 192.0.2.1:80: there is no such destination (ENOENT)"
    );
}

/// What the kernel says about a service: what is written to make it.
fn told(key: ServiceKey, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let op = Op::NewService { key, service: service() };
    Request::Write(&op).encode(FAMILY, sequence, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_service_that_is_deleted_while_the_table_is_read_is_left_out() {
    let mut lookups = 0;
    let (mut connection, kernel) = played(move |requests| {
        let Received { sequence, command, .. } = requests[0];
        let done = message(DONE, sequence, &0i32.to_ne_bytes());
        match (sequence, command) {
            (1, _) => vec![[told(key(1), 1), told(key(2), 1)].concat(), done],
            (_, GET_DESTINATION) => vec![done],
            _ => {
                lookups += 1;
                match lookups {
                    1 => vec![acknowledgement(sequence, Errno::ESRCH as i32)],
                    _ => vec![told(key(2), sequence), acknowledgement(sequence, 0)],
                }
            }
        }
    });
    let snapshot = dump(&mut connection).unwrap();
    drop(connection);
    assert_eq!(kernel.join().unwrap().len(), 5);
    assert_eq!(snapshot.table.keys().collect::<Vec<_>>(), [&key(2)]);
    assert_eq!(snapshot.service_statistics.keys().collect::<Vec<_>>(), [&key(2)]);
}

#[test]
fn an_entry_that_the_model_has_no_words_for_is_counted_and_the_rest_is_read() {
    let (mut connection, _kernel) = played(move |requests| {
        let Received { sequence, command, .. } = requests[0];
        let done = message(DONE, sequence, &0i32.to_ne_bytes());
        match (sequence, command) {
            (1, _) => {
                let mut foreign = told(key(1), 1);
                // The protocol's attribute follows three headers and the family's attribute.
                let protocol = 16 + 4 + 4 + 8 + 4;
                assert_eq!(foreign[protocol], 6);
                foreign[protocol] = 50;
                vec![[foreign, told(key(2), 1)].concat(), done]
            }
            (_, GET_DESTINATION) => vec![done],
            _ => vec![told(key(2), sequence), acknowledgement(sequence, 0)],
        }
    });
    let snapshot = dump(&mut connection).unwrap();
    assert_eq!(snapshot.unsupported, 1);
    assert_eq!(snapshot.table.keys().collect::<Vec<_>>(), [&key(2)]);
}
