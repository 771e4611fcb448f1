//! Servers on loopback, well-behaved and otherwise, for tests.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A server that ends with its test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves each connection by `handle`, on `address`.
async fn serve_at<H, F>(address: &str, handle: H) -> Server
where
    H: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let accepted = Arc::new(AtomicUsize::new(0));
    let open = Arc::new(AtomicUsize::new(0));
    let (counter, gauge) = (Arc::clone(&accepted), Arc::clone(&open));
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    counter.fetch_add(1, Ordering::SeqCst);
                    gauge.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(handle(stream));
                }
                Some(_) = connections.join_next() => {
                    gauge.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
    });
    Server { address, accepted, open, task }
}

/// Serves each connection by `handle`.
pub(crate) async fn serve<H, F>(handle: H) -> Server
where
    H: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    serve_at("127.0.0.1:0", handle).await
}

/// Reads the request's header, up to the empty line.
pub(crate) async fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Answers every request with these bytes and closes.
pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Server {
    let answer: Arc<[u8]> = answer.into().into();
    serve(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            request(&mut stream).await;
            drop(stream.write_all(&answer).await);
            drop(stream.shutdown().await);
            until_closed(&mut stream).await;
        }
    })
    .await
}

/// Answers with the status that the test has set.
pub(crate) async fn with_status(status: Arc<AtomicU16>) -> Server {
    serve(move |mut stream| {
        let status = Arc::clone(&status);
        async move {
            request(&mut stream).await;
            let answer = format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", status.load(Ordering::SeqCst));
            drop(stream.write_all(answer.as_bytes()).await);
        }
    })
    .await
}

/// Accepts and says nothing.
pub(crate) async fn silent() -> Server {
    serve(|mut stream| async move { until_closed(&mut stream).await }).await
}

/// Writes `head` and then `drip` over and over, with a pause after each.
pub(crate) async fn dripping(head: &'static [u8], drip: &'static [u8], pause: Duration) -> Server {
    serve(move |mut stream| async move {
        request(&mut stream).await;
        let mut alive = stream.write_all(head).await.is_ok();
        while alive {
            alive = stream.write_all(drip).await.is_ok();
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    })
    .await
}

/// Accepts connections to the whole of 127.0.0.0/8 at one port.
pub(crate) async fn at_every_loopback_address() -> Server {
    serve_at("0.0.0.0:0", |mut stream| async move { until_closed(&mut stream).await }).await
}

/// An address that nobody else can take, at which nothing listens.
pub(crate) struct Closed {
    pub(crate) address: SocketAddr,
    _socket: TcpSocket,
}

pub(crate) fn closed() -> Closed {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    Closed { address: socket.local_addr().expect("its address"), _socket: socket }
}

/// A listener whose queue is full: the kernel drops further SYNs, as a dead host does.
pub(crate) struct Deaf {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

pub(crate) async fn deaf() -> Deaf {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
    {
        queued.push(stream.expect("a connection or nothing"));
    }
    Deaf { address, _listener: listener, _queued: queued }
}

/// Waits until the peer closes or resets.
pub(crate) async fn until_closed(stream: &mut TcpStream) {
    let mut sink = [0; 1024];
    while matches!(stream.read(&mut sink).await, Ok(1..)) {}
}
