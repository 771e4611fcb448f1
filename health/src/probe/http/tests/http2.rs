//! Servers that speak HTTP/2 badly or not at all. Frames are written as RFC 9113, section 4.1, lays them out.

use tokio::io::AsyncReadExt;

use super::*;
use crate::spec::{Grpc, GrpcParts, HttpVersion};

/// An empty SETTINGS frame, with which a server begins.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// GOAWAY for the whole connection with ENHANCE_YOUR_CALM.
const CALM: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

/// HEADERS that end a stream's header but not the stream: `:status: 200` by the static table (RFC 7541, appendix A).
const OK: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88";

/// Reads the client's preface and says `bytes` bit by bit.
async fn saying(bytes: Vec<u8>) -> Server {
    serve(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            let mut preface = [0; 24];
            drop(stream.read_exact(&mut preface).await);
            drop(stream.write_all(&bytes).await);
            servers::until_closed(&mut stream).await;
        }
    })
    .await
}

async fn get(target: SocketAddr) -> Outcome {
    http(target, HttpParts { version: HttpVersion::Http2, ..HttpParts::default() }).await
}

/// Asserts that both a request and a call fail, the request with `words`.
async fn fails(bytes: &[&[u8]], words: &str) {
    let server = saying(bytes.concat()).await;
    let failure = get(server.address).await.expect_err("a failure").to_string();
    assert!(failure.contains(words), "{failure}");
    let grpc = Grpc::new(GrpcParts::default()).expect("a question");
    let outcome = run(server.address, Kind::Grpc(grpc), 0).await;
    assert!(outcome.is_err(), "{outcome:?}");
}

#[tokio::test]
async fn a_server_of_another_protocol_speaks_no_http2() {
    fails(&[b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"], "HTTP/2").await;
    fails(&[b"220 mail.example.org ESMTP\r\n"], "HTTP/2").await;
    fails(&[&[0xff; 64]], "HTTP/2").await;
}

#[tokio::test]
async fn a_server_that_says_goodbye_is_told_by_its_reason() {
    fails(&[SETTINGS, CALM], "HTTP/2 failed: server sent GOAWAY with ENHANCE_YOUR_CALM").await;
}

#[tokio::test]
async fn a_server_that_resets_the_request_is_told_by_its_reason() {
    // RST_STREAM of stream 1 with REFUSED_STREAM.
    let reset = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07";
    fails(&[SETTINGS, OK, reset], "HTTP/2 failed: server reset the request with REFUSED_STREAM").await;
}

#[tokio::test]
async fn a_frame_that_lies_about_its_length_is_no_http2() {
    fails(&[SETTINGS, b"\xff\xff\xff\x01\x04\0\0\0\x01"], "HTTP/2").await;
    fails(&[SETTINGS, b"\0\0\x05\x01\x04\0\0\0\x01\xff\xff\xff\xff\xff"], "HTTP/2").await;
}

#[tokio::test]
async fn a_silent_server_and_one_that_stops_in_the_body_time_out() {
    let timeout = Duration::from_secs(1);
    let timing = Timing::new(timeout, timeout, 1, 1).expect("a timing");
    for (bytes, stage) in [(vec![], Stage::AwaitingAnswer), ([SETTINGS, OK].concat(), Stage::ReadingBody)] {
        let server = saying(bytes).await;
        let parts = HttpParts { version: HttpVersion::Http2, ..HttpParts::default() };
        let kind = Kind::Http(HttpRequest::new(parts).expect("a request"));
        let outcome = probe(&Check::new(server.address, kind, timing), &OwnSockets, 0).await;
        assert_eq!(outcome, Err(Failure::Timeout { after: timeout, stage }));
    }
}

#[tokio::test]
async fn a_connection_that_ends_is_closed() {
    let server = serve(|mut stream| async move {
        let mut preface = [0; 24];
        drop(stream.read_exact(&mut preface).await);
        drop(stream.write_all(SETTINGS).await);
        drop(stream.shutdown().await);
        servers::until_closed(&mut stream).await;
    })
    .await;
    assert_eq!(get(server.address).await, Err(Failure::Closed { stage: Stage::AwaitingAnswer }));
}

#[tokio::test]
async fn a_body_is_held_against_what_is_expected() {
    // DATA of stream 1 that ends it.
    let server = saying([SETTINGS, OK, b"\0\0\x05\0\x01\0\0\0\x01hello"].concat()).await;
    let asking = |body| HttpParts { version: HttpVersion::Http2, ..body };
    assert!(http(server.address, asking(digesting("hello"))).await.is_ok());
    let outcome = http(server.address, asking(matching("world"))).await;
    assert_eq!(outcome, Err(HttpFailure::Mismatch { regex: "world".to_owned(), read: 5 }.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn arbitrary_bytes_are_a_failure_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), shakes: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let begin = if shakes { SETTINGS } else { b"" };
            let said = [begin, &bytes].concat();
            let server = serve(move |mut stream| {
                let said = said.clone();
                async move {
                    drop(stream.write_all(&said).await);
                    drop(stream.shutdown().await);
                    servers::until_closed(&mut stream).await;
                }
            })
            .await;
            assert!(get(server.address).await.is_err());
        });
    }
}
