//! Whatever a server says over plain HTTP or instead of TLS: an outcome, and never a panic.

use super::*;
use crate::spec::{TlsParts, Trust};

/// Answers that are right, to be spoilt.
const ANSWERS: [&[u8]; 4] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.0 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"localEndpoints\":1}",
];

/// What comes of a check over `tls` of a server that says this and closes.
fn asked(said: Vec<u8>, tls: Option<Tls>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = answering_at_once(said).await;
        http(server.address, HttpParts { tls, ..matching("hello") }).await
    })
}

async fn answering_at_once(said: Vec<u8>) -> Server {
    serve(move |mut stream| {
        let said = said.clone();
        async move {
            // Something of a request or of a hello has come; there need be no end of it.
            drop(tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 16]).await);
            drop(stream.write_all(&said).await);
            drop(stream.shutdown().await);
            servers::until_closed(&mut stream).await;
        }
    })
    .await
}

fn is_told_in_plain_words(outcome: &Outcome) -> bool {
    outcome.as_ref().err().is_none_or(|failure| !failure.to_string().chars().any(char::is_control))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_right_answer_with_a_part_replaced_is_judged(
        answer in 0..ANSWERS.len(),
        place in 0_usize..100,
        taken in 0_usize..12,
        put in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut said = ANSWERS[answer].to_vec();
        let place = place % said.len();
        let end = said.len().min(place + taken);
        said.splice(place..end, put);
        let outcome = asked(said, None);
        prop_assert!(is_told_in_plain_words(&outcome), "{:?}", outcome);
    }

    #[test]
    fn arbitrary_bytes_are_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), begins: bool) {
        let begin = if begins { &b"HTTP/1.1 "[..] } else { b"" };
        let outcome = asked([begin, &bytes].concat(), None);
        prop_assert!(outcome.is_err() && is_told_in_plain_words(&outcome), "{:?}", outcome);
    }

    #[test]
    fn arbitrary_bytes_are_no_handshake(kind in 20_u8..24, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let tls = Tls::new(TlsParts { trust: Trust::Anyone, ..TlsParts::default() }).expect("settings");
        // A record of one of TLS' own types and of the right length (RFC 8446, section 5.1).
        let length = u16::try_from(bytes.len()).expect("a short record").to_be_bytes();
        let outcome = asked([&[kind, 3, 3][..], &length, &bytes].concat(), Some(tls));
        prop_assert!(outcome.is_err() && is_told_in_plain_words(&outcome), "{:?}", outcome);
    }
}
