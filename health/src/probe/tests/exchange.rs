//! What is said over a TCP connection.

use super::*;
use crate::spec::{Exchange, ExchangeParts, Pattern, Regex};

fn contains(text: &str) -> Option<Pattern> {
    Some(Pattern::Contains(text.as_bytes().to_vec()))
}

fn matches(text: &str) -> Option<Pattern> {
    Some(Pattern::Matches(Regex::new(text).expect("a regex")))
}

fn saying(send: &str, expect: Option<Pattern>) -> ExchangeParts {
    ExchangeParts { send: send.into(), expect, ..ExchangeParts::default() }
}

fn kind(parts: ExchangeParts) -> Kind {
    Kind::TcpExchange(Exchange::new(parts).expect("a valid exchange"))
}

async fn exchange(target: SocketAddr, parts: ExchangeParts) -> Outcome {
    run(target, kind(parts), PATIENCE).await
}

/// Greets, and answers each line with the same in capitals.
async fn shouting() -> servers::Server {
    serve(|mut stream| async move {
        drop(stream.write_all(b"220 ready\r\n").await);
        while let Ok(byte) = stream.read_u8().await {
            drop(stream.write_u8(byte.to_ascii_uppercase()).await);
        }
    })
    .await
}

/// Says this, in single bytes, and closes.
async fn saying_and_closing(bytes: &'static [u8]) -> servers::Server {
    serve(move |mut stream| async move {
        drop(stream.set_nodelay(true));
        for byte in bytes {
            drop(stream.write_u8(*byte).await);
            tokio::task::yield_now().await;
        }
        drop(stream.shutdown().await);
        servers::until_closed(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn what_is_sent_is_answered_as_expected_or_the_answer_is_shown() {
    let server = shouting().await;
    for expect in [contains("PONG\r\n"), matches("PONG"), contains("220 ready\r\nPONG")] {
        exchange(server.address, saying("pong\r\n", expect)).await.expect("up");
    }
    exchange(server.address, saying("", matches("^220[ -]"))).await.expect("a greeting unasked for");
    exchange(server.address, saying("quit\r\n", None)).await.expect("nothing is expected");

    let server = saying_and_closing(b"421 busy\r\n").await;
    let failure = exchange(server.address, saying("", matches("^220[ -]"))).await.expect_err("down");
    assert_eq!(failure.to_string(), r#"answer lacks /^220[ -]/: found "421 busy\r\n""#);
}

#[tokio::test]
async fn an_answer_is_looked_at_up_to_its_bound_even_across_its_pieces() {
    let server = saying_and_closing(b"0123456789").await;
    for wanted in ["0", "456", "789"] {
        exchange(server.address, saying("", contains(wanted))).await.expect("up");
    }
    let up_to = |max_read| ExchangeParts { max_read, ..saying("", contains("456")) };
    exchange(server.address, up_to(7)).await.expect("its last byte is the bound's");
    let failure = exchange(server.address, up_to(6)).await.expect_err("beyond the bound");
    assert_eq!(failure.to_string(), r#"answer lacks "456": found "012345""#);
}

#[tokio::test]
async fn a_server_that_closes_resets_or_is_silent_instead_of_answering_is_down() {
    let stage = Stage::AwaitingAnswer;
    let silent = servers::silent().await;
    times_out(silent.address, kind(saying("PING\r\n", contains("PONG"))), stage).await;
    let closing = saying_and_closing(b"").await;
    let closed = exchange(closing.address, saying("", contains("220"))).await;
    assert_eq!(closed, Err(Failure::Closed { stage }));
    let resetting = serve(|mut stream| async move {
        drop(stream.read_u8().await);
        drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
    })
    .await;
    let reset = exchange(resetting.address, saying("PING\r\n", contains("PONG"))).await;
    assert_eq!(reset, Err(Failure::Reset { stage }));
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further_than_the_bound() {
    let server =
        serve(|mut stream| async move { while stream.write_all(&[b'x'; 1024]).await.is_ok() {} }).await;
    let failure = exchange(server.address, saying("", contains("y"))).await.expect_err("down");
    let shown = format!("\"{}...\"", "x".repeat(60));
    assert_eq!(failure, Failure::Answer { wanted: "\"y\"".to_owned(), found: shown });
}
