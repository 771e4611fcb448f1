//! Golden bytes, round trips, and bytes that mean no good.

use proptest::collection::vec;
use proptest::prelude::*;

use super::decode::{Attributes, destination_key, destination_setting, service_key, service_setting};
use super::*;
use crate::arbitrary;
use crate::diff::{Control, Op};
use crate::model::{
    Destination, DestinationKey, Family, Scheduler, SchedulerFlags, Service, ServiceKey, Weight,
};

/// The number that the kernel gave the family when the golden bytes were taken.
const FAMILY: u16 = 0x21;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn encoded(op: &Op, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    Request::Write(op).encode(FAMILY, sequence, &mut out).unwrap();
    out
}

fn web() -> ServiceKey {
    "tcp 192.0.2.1:80".parse().unwrap()
}

fn wrr() -> Service {
    Service::new(Scheduler::Wrr, SchedulerFlags::NONE).unwrap()
}

fn backend() -> (DestinationKey, Destination) {
    ("10.0.0.7:80".parse().unwrap(), Destination::direct_routing(Weight::new(10).unwrap()))
}

#[test]
fn a_new_service_is_byte_for_byte_what_ipvsadm_sends() {
    let want = bytes(
        "68000000 2100 0500 00000000 00000000 01010000 54000180 0600010002000000 0600020006000000
         14000300c0000201000000000000000000000000 0600040000500000 0800060077727200
         0c00070000000000ffffffff 0800080000000000 08000900ffffffff",
    );
    assert_eq!(want.len(), 104);
    assert_eq!(encoded(&Op::NewService { key: web(), service: wrr() }, 0), want);
}

#[test]
fn a_new_destination_is_byte_for_byte_what_ipvsadm_sends() {
    let (key, destination) = backend();
    let want = bytes(
        "c8000000 2100 0500 00000000 00000000 05010000 54000180 0600010002000000 0600020006000000
         14000300c0000201000000000000000000000000 0600040000500000 0500060000000000
         0c00070000000000ffffffff 0800080000000000 08000900ffffffff
         60000280 06000b0002000000 140001000a000007000000000000000000000000 0600020000500000
         0800030003000000 080004000a000000 05000d0000000000 06000e0000000000 06000f0000000000
         0800050000000000 0800060000000000",
    );
    assert_eq!(want.len(), 200);
    assert_eq!(encoded(&Op::NewDestination { service: web(), key, destination }, 0), want);
}

#[test]
fn requests_are_appended_to_one_another_with_their_own_numbers() {
    let (key, destination) = backend();
    let mut out = Vec::new();
    let ops = [
        Op::NewService { key: web(), service: wrr() },
        Op::NewDestination { service: web(), key, destination },
        Op::DeleteService { key: web() },
    ];
    for (sequence, op) in (7..).zip(&ops) {
        Request::Write(op).encode(FAMILY, sequence, &mut out).unwrap();
    }
    let read: Vec<u32> = Messages::new(&out).map(|message| message.unwrap().sequence).collect();
    assert_eq!(read, [7, 8, 9]);
}

#[test]
fn what_another_program_chose_is_not_written() {
    let service = Service { scheduler: Scheduler::Other("twos".to_owned()), ..wrr() };
    let op = Op::SetService { key: web(), service };
    let error = Request::Write(&op).encode(FAMILY, 1, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "scheduler \"twos\" can be read from the kernel but not written");
}

#[test]
fn persistence_of_ipv6_is_not_written_to_an_ipv4_service() {
    let persistence = crate::Persistence::new(60, 64, Family::V6).unwrap();
    let op = Op::NewService { key: web(), service: wrr().with_persistence(persistence) };
    let mut out = vec![1, 2, 3];
    let error = Request::Write(&op).encode(FAMILY, 1, &mut out).unwrap_err();
    assert_eq!(error, EncodeError::PersistencePrefix { prefix_len: 64, family: Family::V4 });
    assert_eq!(out, [1, 2, 3]);
}

fn decoded(message: &[u8]) -> (u8, Attributes) {
    let message = Messages::new(message).next().unwrap().unwrap();
    let Body::Attributes { command, attributes } = message.body else { panic!("{message:?}") };
    (command, Attributes::parse("message", attributes).unwrap())
}

/// An operation from its message.
fn read_op(message: &[u8]) -> Op {
    let (command, attributes) = decoded(message);
    let of_service = attributes.nested(command_attribute::SERVICE, "service").unwrap();
    let service = service_key(&of_service).unwrap();
    let setting = || service_setting(&of_service, service.family()).unwrap();
    let of_destination = || attributes.nested(command_attribute::DESTINATION, "destination").unwrap();
    let key = || destination_key(&of_destination(), service.family()).unwrap();
    let destination = || destination_setting(&of_destination()).unwrap();
    match command {
        command::NEW_SERVICE => Op::NewService { key: service, service: setting() },
        command::SET_SERVICE => Op::SetService { key: service, service: setting() },
        command::DELETE_SERVICE => Op::DeleteService { key: service },
        command::NEW_DESTINATION => Op::NewDestination { service, key: key(), destination: destination() },
        command::SET_DESTINATION => Op::SetDestination { service, key: key(), destination: destination() },
        command::DELETE_DESTINATION => Op::DeleteDestination { service, key: key() },
        other => panic!("command {other}"),
    }
}

/// One attribute, padded.
fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_ne_bytes())
}

/// What a kernel answers about a destination; `more` is put to the end.
fn destination_answer(more: &[u8]) -> Vec<u8> {
    let counters: Vec<u8> = (1..=10u16)
        .flat_map(|kind| attribute(kind, &(u64::from(kind) << 40).to_ne_bytes()))
        .chain(attribute(11, &[]))
        .collect();
    let fields = [
        attribute(1, &[10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        attribute(2, &80u16.to_be_bytes()),
        number(3, 3),
        number(4, 10),
        number(5, 20),
        number(6, 15),
        number(7, 1),
        number(8, 2),
        number(9, 3),
        attribute(10, &[0; 80]),
        attribute(11, &2u16.to_ne_bytes()),
        attribute(12, &counters),
        attribute(13, &[0]),
        more.to_vec(),
    ];
    attribute(2 | 0x8000, &fields.concat())
}

/// What a kernel answers about a service with these flags and netmask.
fn service_answer(protocol: u16, flags: u32, netmask: [u8; 4]) -> Vec<u8> {
    let fields = [
        attribute(1, &2u16.to_ne_bytes()),
        attribute(2, &protocol.to_ne_bytes()),
        attribute(3, &[192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        attribute(4, &80u16.to_be_bytes()),
        attribute(6, b"twos\0"),
        attribute(7, &[flags.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat()),
        number(8, 300),
        attribute(9, &netmask),
        attribute(99, b"from the future"),
    ];
    attribute(1, &fields.concat())
}

#[test]
fn a_destination_of_the_kernel_is_read_with_its_counters_and_without_what_is_unknown() {
    let record = destination(&destination_answer(&attribute(77, b"future")), Family::V6).unwrap();
    assert_eq!(record.key.to_string(), "10.0.0.7:80");
    assert_eq!(record.destination.to_string(), "weight 10, direct routing, thresholds 20 and 15");
    assert_eq!(
        (record.connections.active, record.connections.inactive, record.connections.persistent),
        (1, 2, 3)
    );
    assert_eq!(record.statistics.connections, 1 << 40);
    assert_eq!(record.statistics.bytes_out_per_second, 10 << 40);
}

#[test]
fn a_service_of_another_program_is_read_as_it_is() {
    // HASHED and PERSISTENT and the flag that nobody uses; a netmask that is no prefix.
    let record = service(&service_answer(17, 0x23, [255, 0, 255, 0])).unwrap();
    assert_eq!(record.key.to_string(), "udp 192.0.2.1:80");
    assert_eq!(record.service.to_string(), "scheduler twos (flag-3), persistent 300 s for /0");
}

#[test]
fn the_hashed_flag_of_the_kernel_makes_no_difference() {
    let [plain, hashed] = [0, 2].map(|flags| service(&service_answer(6, flags, [255; 4])).unwrap());
    assert_eq!(plain, hashed);
}

#[test]
fn a_protocol_without_a_name_is_unsupported_and_not_damage() {
    let error = service(&service_answer(50, 0, [255; 4])).unwrap_err();
    assert!(matches!(error, DecodeError::Unsupported { value: 50, .. }), "{error}");
    assert_eq!(error.to_string(), "IP protocol 50 is nothing that this program knows");
}

#[test]
fn an_attribute_that_is_missing_or_of_the_wrong_size_is_named() {
    let error = service(&attribute(1, &attribute(1, &2u16.to_ne_bytes()))).unwrap_err();
    assert_eq!(error.to_string(), "the kernel's answer lacks the service's protocol");
    let error = service(&attribute(1, &number(1, 2))).unwrap_err();
    assert_eq!(error.to_string(), "the kernel's answer has 4 bytes for the service's address family");
    let error = destination(&[], Family::V4).unwrap_err();
    assert_eq!(error.to_string(), "the kernel's answer lacks the destination");
}

#[test]
fn acknowledgements_and_ends_of_dumps_carry_their_errno() {
    let message = |kind: u16, payload: &[u8]| {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), [0, 0]].concat());
        bytes.extend([5u32.to_ne_bytes(), [0; 4]].concat());
        bytes.extend(payload);
        bytes
    };
    let body =
        |bytes: &[u8]| Messages::new(bytes).next().unwrap().map(|message| format!("{:?}", message.body));
    assert_eq!(body(&message(2, &0i32.to_ne_bytes())).unwrap(), "Acknowledgement(0)");
    assert_eq!(body(&message(2, &(-17i32).to_ne_bytes())).unwrap(), "Acknowledgement(17)");
    assert_eq!(body(&message(3, &[])).unwrap(), "Done(0)");
    assert_eq!(body(&message(3, &(-1i32).to_ne_bytes())).unwrap(), "Done(1)");
    assert_eq!(body(&message(1, &[])).unwrap(), "Nothing");
    assert!(matches!(body(&message(4, &[])), Err(DecodeError::Overrun)));
    assert!(matches!(body(&message(2, &[1, 2])), Err(DecodeError::Truncated { .. })));
    assert!(matches!(body(&message(33, &[1, 2])), Err(DecodeError::Truncated { .. })));
    let mut long = message(2, &0i32.to_ne_bytes());
    long[0] = 21;
    assert!(matches!(body(&long), Err(DecodeError::Truncated { .. })));
    assert!(matches!(body(&[15, 0, 0, 0, 0, 0]), Err(DecodeError::Truncated { .. })));
}

/// Reads bytes in every way there is; that it returns is what is tested.
fn read_in_every_way(bytes: &[u8]) {
    let bodies = Messages::new(bytes).filter_map(Result::ok).filter_map(|message| match message.body {
        Body::Attributes { attributes, .. } => Some(attributes),
        _ => None,
    });
    for attributes in bodies.chain([bytes]) {
        let _ = family_id(attributes);
        let _ = service(attributes);
        let _ = destination(attributes, Family::V4);
        let _ = destination(attributes, Family::V6);
        let _ = daemon(attributes);
        let _ = timeouts(attributes);
        let _ = info(attributes);
    }
}

/// Messages of every kind, as the kernel sends them or close to it.
fn specimens() -> Vec<Vec<u8>> {
    let service: ServiceKey = "tcp [2001:db8::1]:80".parse().unwrap();
    let (key, destination) = backend();
    let role = crate::DaemonRole::Master;
    let daemon = crate::Daemon::new("eth0".parse().unwrap(), 7).with_max_len(crate::SyncMaxLen::MIN);
    let timeouts = crate::Timeouts { tcp: crate::TimeoutSeconds::new(900).ok(), ..crate::Timeouts::NONE };
    let persistent = wrr().with_persistence(crate::Persistence::default_for(Family::V6));
    let mut specimens = vec![
        encoded(&Op::NewService { key: service, service: persistent }, 1),
        encoded(&Op::NewDestination { service, key, destination }, 1),
    ];
    for control in [Control::StartDaemon { role, daemon }, Control::SetTimeouts(timeouts)] {
        let mut out = Vec::new();
        Request::Control(&control).encode(FAMILY, 1, &mut out).unwrap();
        specimens.push(out);
    }
    // An acknowledgement and the end of a dump, with an errno.
    for kind in [2u8, 3] {
        specimens.push(
            [&[20, 0, 0, 0, kind, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], &[0xef, 0xff, 0xff, 0xff]].concat(),
        );
    }
    let bare = [
        destination_answer(&[]),
        service_answer(6, 1, [255; 4]),
        [number(1, 0x1_0201), number(2, 4096)].concat(),
    ];
    specimens.extend(bare);
    specimens
}

#[test]
fn every_message_with_any_byte_changed_or_cut_anywhere_is_read_without_a_panic() {
    for specimen in specimens() {
        for at in 0..specimen.len() {
            read_in_every_way(&specimen[..at]);
            read_in_every_way(&specimen[at..]);
            let mut damaged = specimen.clone();
            for value in [0, 1, 2, 3, 4, 5, 8, 0x10, 0x7f, 0x80, 0xfe, 0xff, !specimen[at]] {
                damaged[at] = value;
                read_in_every_way(&damaged);
            }
            damaged[at] = specimen[at];
            // Lengths are two bytes.
            for value in [[0, 0], [3, 0], [0xff, 0xff], [0xff, 0x7f]] {
                let mut damaged = specimen.clone();
                damaged.splice(at..(at + 2).min(specimen.len()), value);
                read_in_every_way(&damaged);
            }
        }
    }
}

proptest! {
    // Damage finds the deep places seldom, and a case costs microseconds.
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn every_operation_reads_back_from_its_message(op in arbitrary::op(), sequence: u32) {
        let message = encoded(&op, sequence);
        prop_assert_eq!(message.len() % 4, 0);
        prop_assert_eq!(Messages::new(&message).count(), 1);
        prop_assert_eq!(read_op(&message), op);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_in_every_way(&bytes);
    }

    #[test]
    fn damaged_messages_are_read_without_a_panic(
        op in arbitrary::op(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        for mut bytes in [encoded(&op, 1), destination_answer(&[]), service_answer(6, 1, [255; 4])] {
            for (at, value) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            read_in_every_way(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            read_in_every_way(&bytes);
        }
    }

    #[test]
    fn a_cut_answer_is_an_error(cut in 0..service_answer(6, 1, [255; 4]).len()) {
        let whole = service_answer(6, 1, [255; 4]);
        prop_assert!(service(&whole).is_ok());
        prop_assert!(service(&whole[..cut]).is_err());
    }
}
