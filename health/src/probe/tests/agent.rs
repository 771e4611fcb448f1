//! An agent beside a server.

use super::*;
use crate::failure::{Advice, Evidence, Mode};
use crate::spec::{AgentParts, AgentQuestion, Unanswered};

fn question(send: &str, unanswered: Unanswered) -> Kind {
    let parts = AgentParts { send: send.into(), unanswered };
    Kind::Agent(AgentQuestion::new(parts).expect("a valid question"))
}

async fn ask(target: SocketAddr) -> Outcome {
    run(target, question("", Unanswered::Keep), PATIENCE).await
}

/// Says this at once and leaves the connection open.
async fn agent(says: &'static [u8]) -> servers::Server {
    serve(move |mut stream| async move {
        drop(stream.write_all(says).await);
        servers::until_closed(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn an_agent_is_taken_at_its_word_up_to_the_first_end_of_line() {
    for line in [&b"up 50% drain\ndown\n"[..], b"up 50% drain\r\n", b"up 50% drain\r"] {
        let found = ask(agent(line).await.address).await.expect("up");
        assert_eq!(found.advice, Some(Advice { percent: Some(50), mode: Some(Mode::Drain) }));
        assert_eq!(found.evidence, Evidence::Answer);
    }
    let down = ask(agent(b"stopped # by hand\n").await.address).await.expect_err("down");
    assert_eq!(down.to_string(), "the agent says stopped: by hand");
    assert!(!down.is_inconclusive());
}

#[tokio::test]
async fn an_agent_that_closes_instead_of_ending_its_line_has_said_it_and_one_that_is_told_a_name_answers_for_it()
 {
    let server = serve(|mut stream| async move {
        let mut name = Vec::new();
        while let Ok(byte @ 0x20..) = stream.read_u8().await {
            name.push(byte);
        }
        let answer: &[u8] = if name == b"web" { b"75%" } else { b"down" };
        drop(stream.write_all(answer).await);
    })
    .await;
    let found = run(server.address, question("web\n", Unanswered::Keep), PATIENCE).await.expect("advice");
    assert_eq!(found.advice, Some(Advice { percent: Some(75), mode: None }));
    assert_eq!(found.evidence, Evidence::Neutral);
    let down = run(server.address, question("db\n", Unanswered::Keep), PATIENCE).await;
    assert!(matches!(down, Err(Failure::Agent { .. })), "{down:?}");
}

#[tokio::test]
async fn an_agent_without_an_answer_leaves_its_server_as_it_was_unless_it_is_to_fail() {
    let closed = servers::closed();
    let silent = agent(b"").await;
    let garbage = agent(b"HTTP/1.1 400 Bad Request\r\n").await;
    let endless =
        serve(|mut stream| async move { while stream.write_all(&[b'x'; 512]).await.is_ok() {} }).await;
    for (target, timeout, words) in [
        (closed.address, PATIENCE, "connection refused"),
        (silent.address, TIMEOUT, "timeout after 300 ms while waiting for the answer"),
        (
            garbage.address,
            PATIENCE,
            "answer lacks a word of an agent such as up, down, drain or 50%: found \"HTTP/1.1 400 Bad Request\"",
        ),
        (endless.address, PATIENCE, "answer lacks the end of its line: found \""),
    ] {
        let kept = run(target, question("", Unanswered::Keep), timeout).await.expect_err("no answer");
        assert!(kept.is_inconclusive(), "{kept}");
        let known = format!("no answer from the agent, so what it said last holds: {words}");
        assert!(kept.to_string().starts_with(&known), "{kept}");
        let failed = run(target, question("", Unanswered::Fail), timeout).await.expect_err("no answer");
        assert!(!failed.is_inconclusive() && failed.to_string().starts_with(words), "{failed}");
    }
}
