//! Name servers that answer what nobody asked.

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::spec::{DnsParts, Question, Records, Transport};

fn kind(transport: Transport) -> Kind {
    let records = Records::Among(["192.0.2.7".to_owned()].into());
    let record_type = "A".parse().expect("a type");
    let parts = DnsParts { records, transport, ..DnsParts::new("www.example.org", record_type) };
    Kind::Dns(Question::new(parts).expect("a question"))
}

/// The right answer, changed.
fn answer(question: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::from_vec(question).expect("a question");
    message.metadata.message_type = MessageType::Response;
    let name = message.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 7))));
    change(&mut message);
    message.to_vec().expect("bytes")
}

/// Answers one question with each of `answers` in turn; keeps its port until it is dropped.
async fn server(
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, tokio::task::JoinHandle<UdpSocket>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("its address");
    let task = tokio::spawn(async move {
        let mut question = [0; 512];
        let (length, from) = socket.recv_from(&mut question).await.expect("a question");
        for answer in answers(&question[..length]) {
            socket.send_to(&answer, from).await.expect("sent");
        }
        socket
    });
    (address, task)
}

#[tokio::test]
async fn answers_with_another_id_or_to_another_question_are_passed_over() {
    let (target, _task) = server(|question| {
        vec![
            answer(question, |message| message.metadata.id = message.metadata.id.wrapping_add(1)),
            answer(question, |message| message.queries.clear()),
            question.to_vec(),
            b"x".to_vec(),
            answer(question, |_| ()),
        ]
    })
    .await;
    run(target, kind(Transport::Udp), PATIENCE).await.expect("up");
}

#[tokio::test]
async fn a_name_server_that_answers_only_other_questions_or_not_at_all_times_out() {
    let wrong = |question: &[u8]| vec![answer(question, |message| message.queries.clear())];
    let (target, _task) = server(wrong).await;
    times_out(target, kind(Transport::Udp), Stage::AwaitingAnswer).await;
    let silent = servers::silent().await;
    times_out(silent.address, kind(Transport::Tcp), Stage::AwaitingAnswer).await;
}

#[tokio::test]
async fn an_answer_of_garbage_is_a_failure_at_once() {
    let garbage = |question: &[u8]| vec![[&question[..2], &[0xff; 40]].concat()];
    let (target, _task) = server(garbage).await;
    let failure = run(target, kind(Transport::Udp), PATIENCE).await.expect_err("garbage");
    assert!(failure.to_string().starts_with("answer cannot be read: "), "{failure}");
    let broken = answering("").await;
    let failure = run(broken.address, kind(Transport::Tcp), TIMEOUT).await.expect_err("it never answers");
    assert_eq!(failure, Failure::Timeout { after: TIMEOUT, stage: Stage::AwaitingAnswer });
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_by_tcp_where_the_same_server_must_answer() {
    let truncated = |question: &[u8]| vec![answer(question, |message| message.metadata.truncation = true)];
    let (target, task) = server(truncated).await;
    let failure = run(target, kind(Transport::Udp), PATIENCE).await.expect_err("nothing listens for TCP");
    assert_eq!(failure, Failure::Refused);
    drop(task.await);
}

#[tokio::test]
async fn a_question_that_is_lost_is_asked_again_when_half_of_the_time_is_over() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let target = socket.local_addr().expect("its address");
    let server = tokio::spawn(async move {
        let mut question = [0; 512];
        let (first, _) = socket.recv_from(&mut question).await.expect("a question");
        let lost = question[..first].to_vec();
        let (length, from) = socket.recv_from(&mut question).await.expect("a question");
        assert_eq!(question[..length], lost);
        socket.send_to(&answer(&lost, |_| ()), from).await.expect("sent");
    });
    let timing = Duration::from_secs(6);
    run(target, kind(Transport::Udp), timing).await.expect("up");
    server.await.expect("it was asked twice");
}
