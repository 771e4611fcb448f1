//! A question to a name server (RFC 1035), by UDP or TCP.
//!
//! The question is as plain as can be: without EDNS, so that a server of any age can answer it, with 512 bytes at most by
//! UDP. An answer counts only when it comes from the target to the port of the question, which is a new one each time,
//! with its random id, and repeats it; others are passed over as if they had not come.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Record, RecordType};
use socket2::{Protocol, Type};
use tokio::io::AsyncReadExt;

use super::way::Way;
use super::{connection_failure, datagram, exchange, tcp};
use crate::failure::{Failure, Found, Stage};
use crate::spec::{Question, Rcode, Records, Recursion, Transport, is_record};

/// How many of an answer's records a failure shows, and how much of each in characters: enough to see which one is wrong.
const SHOWN: usize = 3;
const SHOWN_WIDTH: usize = 60;

/// Asks, and judges the answer.
pub(super) async fn probe(way: &Way<'_>, question: &Question) -> Result<Found, Failure> {
    // Each hasher of the standard library has keys of its own, drawn at random for each thread and counted on.
    let id = RandomState::new().hash_one(way.target) as u16;
    let asked = ask(question, id);
    let bytes = asked.to_vec().map_err(|error| Failure::Local { error: error.to_string() })?;
    let answer = match question.parts().transport {
        Transport::Udp => match by_udp(way, &asked, &bytes).await? {
            answer if answer.metadata.truncation => by_tcp(way, &asked, &bytes).await?,
            answer => answer,
        },
        Transport::Tcp => by_tcp(way, &asked, &bytes).await?,
    };
    judge(&answer, question).map(|()| Found::default())
}

/// The question as a message.
fn ask(question: &Question, id: u16) -> Message {
    let record_type = RecordType::from(question.parts().record_type.number());
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = question.parts().recursion == Recursion::Desired;
    message.add_query(Query::query(question.name(), record_type));
    message
}

async fn by_udp(way: &Way<'_>, asked: &Message, bytes: &[u8]) -> Result<Message, Failure> {
    let socket = way.socket(Type::DGRAM, Some(Protocol::UDP)).await?;
    let socket = datagram::connected(way.target, socket)?;
    datagram::ask(way, &socket, bytes, |received| read(received, asked)).await
}

async fn by_tcp(way: &Way<'_>, asked: &Message, bytes: &[u8]) -> Result<Message, Failure> {
    let stage = Stage::AwaitingAnswer;
    let too_long = |_| Failure::Local { error: "a question of more than 65535 bytes".to_owned() };
    let length = u16::try_from(bytes.len()).map_err(too_long)?.to_be_bytes();
    let mut stream = tcp::connect(way).await?;
    exchange::send(&mut stream, &[&length, bytes].concat(), &way.limit).await?;
    let broken = |error| connection_failure(&error, stage);
    let length = way.limit.within(stage, stream.read_u16()).await?.map_err(broken)?;
    let mut answer = vec![0; usize::from(length)];
    way.limit.within(stage, stream.read_exact(&mut answer)).await?.map_err(broken)?;
    read(&answer, asked)?.ok_or_else(|| Failure::Garbled { error: "it answers another question".to_owned() })
}

/// The answer to `asked` that these bytes are; none when they are something else.
fn read(bytes: &[u8], asked: &Message) -> Result<Option<Message>, Failure> {
    if bytes.get(..2) != Some(&asked.metadata.id.to_be_bytes()[..]) {
        return Ok(None);
    }
    let answer = Message::from_vec(bytes).map_err(|error| Failure::Garbled { error: error.to_string() })?;
    // A server that does not understand a question need not repeat it.
    let is_same = answer.queries == asked.queries
        || (answer.queries.is_empty() && Rcode::new(answer.metadata.response_code.into()) != Rcode::NOERROR);
    Ok((answer.metadata.message_type == MessageType::Response && is_same).then_some(answer))
}

fn judge(answer: &Message, question: &Question) -> Result<(), Failure> {
    let parts = question.parts();
    let rcode = Rcode::new(answer.metadata.response_code.into());
    if !parts.rcodes.contains(&rcode) {
        return Err(Failure::Rcode { found: rcode, expected: parts.rcodes.clone() });
    }
    let asked_for = RecordType::from(parts.record_type.number());
    let is_asked_for = |record: &&Record| asked_for == RecordType::ANY || record.record_type() == asked_for;
    let mut records = answer.answers.iter().filter(is_asked_for);
    let is_right = match &parts.records {
        Records::Unchecked => true,
        _ if rcode != Rcode::NOERROR => true,
        Records::Any => records.next().is_some(),
        Records::Among(wanted) => {
            let is_wanted = |record: &Record| {
                wanted.iter().any(|wanted| is_record(&record.data, parts.record_type, wanted))
            };
            records.any(is_wanted)
        }
    };
    if is_right { Ok(()) } else { Err(lacks(answer, question)) }
}

/// The failure of an answer without the records that are wanted.
fn lacks(answer: &Message, question: &Question) -> Failure {
    let parts = question.parts();
    let wanted = match &parts.records {
        Records::Among(wanted) => {
            let wanted: Vec<_> = wanted.iter().map(String::as_str).take(SHOWN).collect();
            format!("{} {}", parts.record_type, wanted.join(" or "))
        }
        Records::Any | Records::Unchecked => format!("a record {}", parts.record_type),
    };
    let shown = |record: &Record| {
        let text = format!("{} {}", record.record_type(), record.data);
        text.escape_debug().take(SHOWN_WIDTH).collect::<String>()
    };
    let found: Vec<_> = answer.answers.iter().take(SHOWN).map(shown).collect();
    let found = match answer.answers.len() {
        0 => "no record".to_owned(),
        count if count > SHOWN => format!("{} and {} more", found.join(", "), count - SHOWN),
        _ => found.join(", "),
    };
    Failure::Answer { wanted, found }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::DnsParts;

    fn question() -> Question {
        let record_type = "A".parse().expect("a type");
        Question::new(DnsParts::new("www.example.org", record_type)).expect("a question")
    }

    #[test]
    fn an_answer_to_another_question_or_id_or_a_question_is_passed_over() {
        let asked = ask(&question(), 7);
        let answer = |change: fn(&mut Message)| {
            let mut answer = asked.clone();
            answer.metadata.message_type = MessageType::Response;
            change(&mut answer);
            read(&answer.to_vec().expect("bytes"), &asked).expect("a message").is_some()
        };
        assert!(answer(|_| ()));
        assert!(!answer(|answer| answer.metadata.id = 8));
        assert!(!answer(|answer| answer.metadata.message_type = MessageType::Query));
        assert!(!answer(|answer| answer.queries.clear()));
        assert!(!answer(|answer| {
            answer.queries[0].set_query_type(RecordType::AAAA);
        }));
        assert!(answer(|answer| {
            answer.queries.clear();
            answer.metadata.response_code = hickory_proto::op::ResponseCode::FormErr;
        }));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(tail in prop::collection::vec(any::<u8>(), 0..600), place in 0_usize..600, byte: u8) {
            let question = question();
            let asked = ask(&question, 7);
            let mut random = vec![0, 7];
            random.extend(&tail);
            let mut changed = asked.to_vec().expect("bytes");
            let place = place % changed.len();
            changed[place] = byte;
            changed.extend(tail);
            for bytes in [random, changed] {
                if let Ok(Some(answer)) = read(&bytes, &asked)
                    && let Err(failure) = judge(&answer, &question)
                {
                    prop_assert!(!failure.to_string().chars().any(char::is_control));
                }
            }
        }
    }
}
