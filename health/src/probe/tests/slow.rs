//! Servers that take their time, and how exactly it is measured.

use super::*;
use crate::spec::{
    AgentParts, AgentQuestion, DnsParts, Exchange, ExchangeParts, Grpc, GrpcParts, Pattern, Question,
    Transport, Unanswered,
};

fn exchange() -> Kind {
    let expect = Some(Pattern::Contains(b"pong".to_vec()));
    Kind::TcpExchange(
        Exchange::new(ExchangeParts { expect, ..ExchangeParts::default() }).expect("an exchange"),
    )
}

fn agent() -> Kind {
    let parts = AgentParts { unanswered: Unanswered::Fail, ..AgentParts::default() };
    Kind::Agent(AgentQuestion::new(parts).expect("a question"))
}

fn name() -> Kind {
    let parts = DnsParts::new("www.example.org", "A".parse().expect("a type"));
    let parts = DnsParts { transport: Transport::Tcp, ..parts };
    Kind::Dns(Question::new(parts).expect("a question"))
}

#[tokio::test]
async fn an_answer_that_comes_a_byte_at_a_time_times_out_whatever_was_asked() {
    let server = serve(|mut stream| async move {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for kind in [exchange(), agent(), name()] {
        times_out(server.address, kind, Stage::AwaitingAnswer).await;
    }
}

/// On a clock that stands still while anybody has something to do.
#[tokio::test(start_paused = true)]
async fn a_probe_ends_with_its_timeout_and_not_a_moment_later() {
    let server = servers::silent().await;
    let grpc = Kind::Grpc(Grpc::new(GrpcParts::default()).expect("a call"));
    for kind in [exchange(), agent(), name(), request(HttpParts::default()), grpc] {
        let started = Instant::now();
        let failure = run(server.address, kind, TIMEOUT).await.expect_err("silence");
        assert!(matches!(failure, Failure::Timeout { after: TIMEOUT, .. }), "{failure}");
        // The clock counts whole milliseconds.
        let over = started.elapsed() - TIMEOUT;
        assert!(over <= Duration::from_millis(1), "{failure}: {over:?} late");
    }
}
