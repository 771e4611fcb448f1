//! lvsd's end, against a namespace that is none.

use super::*;
use crate::probes::wire::{accept, listen};
use health::{Kind, Timing, probe::probe};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::net::TcpListener;

const SECOND: Duration = Duration::from_secs(1);

/// Answers as the namespace does, with sockets of its own; refuses 10.0.0.9. Ends, and what it was asked is kept.
#[derive(Clone, Default)]
struct Namespace(Arc<Mutex<Vec<Request>>>);

impl Namespace {
    fn requests(&self) -> Vec<Request> {
        self.0.lock().expect("no panic").clone()
    }

    async fn serve(self, path: &Path) {
        let listener = listen(path).expect("a socket");
        let mut channel = accept(&listener).await.expect("a connection");
        while let Ok(Some((request, _))) = channel.receive::<Request>().await {
            self.0.lock().expect("no panic").push(request.clone());
            let (answer, sockets) = match request {
                Request::WhoAnswers(_) => (Answer::Failed("nobody knows".to_owned()), Vec::new()),
                Request::Servers(_) => {
                    let refused =
                        Server { address: "10.0.0.9".parse().expect("an address"), encapsulation: None };
                    (Answer::Servers([(refused, "10.0.0.9 is nowhere".to_owned())].into()), Vec::new())
                }
                Request::Open(wishes) => {
                    let open =
                        |_| Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).expect("a socket");
                    (
                        Answer::Opened(wishes.iter().map(|_| Ok(())).collect()),
                        wishes.iter().map(open).collect(),
                    )
                }
            };
            let borrowed: Vec<_> = sockets.iter().map(std::os::fd::AsFd::as_fd).collect();
            channel.send(&answer, &borrowed).await.expect("the other end");
        }
    }
}

fn through(target: SocketAddr, server: &str) -> Check {
    let timing = Timing::new(SECOND * 10, SECOND * 10, 3, 2).expect("a timing");
    let server = server.parse().expect("an address");
    Check::new(target, Kind::Tcp, timing).by(Route::Through { server, encapsulation: None })
}

fn handle() -> (TempDir, Handle) {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("probes.sock");
    (directory, Handle::spawn(Probes { socket, ..Probes::default() }))
}

async fn until(view: &mut watch::Receiver<ProbesView>, is_so: impl Fn(&ProbesView) -> bool) -> ProbesView {
    let found = tokio::time::timeout(SECOND * 30, view.wait_for(is_so)).await;
    found.expect("soon enough").expect("the handle lives").clone()
}

#[tokio::test]
async fn while_nobody_answers_a_check_is_inconclusive_and_says_which_unit_to_start() {
    let (directory, handle) = handle();
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let check = through(target.local_addr().expect("an address"), "10.0.0.1");
    handle.set([&check]);
    let sockets = handle.sockets();
    let failure = probe(&check, &sockets, 0).await.expect_err("nobody answers");
    assert!(failure.is_inconclusive());
    assert!(failure.to_string().contains("systemctl start lvsd-probes"), "{failure}");
    let mut view = handle.view();
    assert!(!until(&mut view, |view| view.error.is_some()).await.is_up);

    let namespace = Namespace::default();
    let path = directory.path().join("probes.sock");
    let serving = tokio::spawn({
        let (namespace, path) = (namespace.clone(), path.clone());
        async move { namespace.serve(&path).await }
    });
    until(&mut view, |view| view.is_up && view.servers == 1).await;
    probe(&check, &sockets, 0).await.expect("up");
    let server = Server { address: "10.0.0.1".parse().expect("an address"), encapsulation: None };
    let [servers, open] = &namespace.requests()[..] else { panic!("{:?}", namespace.requests()) };
    assert_eq!(*servers, Request::Servers([server].into()));
    let wish = Wish { server, kind: Type::STREAM.into(), protocol: 0 };
    assert_eq!(*open, Request::Open(vec![wish]));

    serving.abort();
    until(&mut view, |view| !view.is_up).await;
    assert!(probe(&check, &sockets, 0).await.expect_err("it has gone").is_inconclusive());
}

#[tokio::test]
async fn a_server_that_is_refused_is_inconclusive_with_the_reason_and_others_go_on() {
    let (directory, handle) = handle();
    let path = directory.path().join("probes.sock");
    let namespace = Namespace::default();
    tokio::spawn({
        let namespace = namespace.clone();
        async move { namespace.serve(&path).await }
    });
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = target.local_addr().expect("an address");
    let checks = [through(target, "10.0.0.9"), through(target, "10.0.0.1")];
    handle.set(&checks);
    let view = until(&mut handle.view(), |view| view.servers == 2).await;
    assert_eq!(
        view.refused,
        BTreeMap::from([(
            Server { address: "10.0.0.9".parse().expect("an address"), encapsulation: None },
            "10.0.0.9 is nowhere".into()
        )])
    );
    let failure = probe(&checks[0], &handle.sockets(), 0).await.expect_err("refused");
    assert_eq!(
        (failure.is_inconclusive(), failure.to_string().as_str()),
        (true, "cannot probe: 10.0.0.9 is nowhere")
    );
    assert!(
        probe(&checks[1], &handle.sockets(), 0).await.err().is_none_or(|failure| !failure.is_inconclusive())
    );
}

#[tokio::test]
async fn sockets_that_are_waited_for_at_once_are_asked_for_at_once() {
    let (directory, handle) = handle();
    let namespace = Namespace::default();
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let check = through(target.local_addr().expect("an address"), "10.0.0.1");
    handle.set([&check]);
    let path = directory.path().join("probes.sock");
    tokio::spawn({
        let namespace = namespace.clone();
        async move { namespace.serve(&path).await }
    });
    until(&mut handle.view(), |view| view.is_up && view.servers == 1).await;
    let sockets = handle.sockets();
    let openings: Vec<_> =
        (0..200).map(|_| sockets.open(&check.route, Domain::IPV4, Type::STREAM, None)).collect();
    for opened in futures_util::future::join_all(openings).await {
        opened.expect("a socket");
    }
    let requests = namespace.requests().len() - 1;
    assert!((4..=8).contains(&requests), "{requests} requests for 200 sockets");
}

#[tokio::test]
async fn own_checks_need_no_namespace() {
    let (_directory, handle) = handle();
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let check = Check { route: Route::default(), ..through(target.local_addr().expect("an address"), "::1") };
    handle.set([&check]);
    probe(&check, &handle.sockets(), 0).await.expect("up");
}
