//! A path to a server that can be cut: what goes in does not come out any more, and nobody is told.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) port: u16,
    is_cut: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Path {
    /// A path to a port of this host.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let is_cut = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        let cut = Arc::clone(&is_cut);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((one, _)) = listener.accept().await {
                let cut = Arc::clone(&cut);
                connections.spawn(async move {
                    let Ok(other) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                    let ((one_read, one_write), (other_read, other_write)) =
                        (one.into_split(), other.into_split());
                    tokio::join!(carry(one_read, other_write, &cut), carry(other_read, one_write, &cut));
                });
            }
        });
        Self { port: own, is_cut, _task: task }
    }

    /// From now on everything that is sent is swallowed, on connections old and new.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// New bytes arrive again.
    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    is_cut: &AtomicBool,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut has_lost = false;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // Of a stream that has lost bytes nothing more can be had, as of a TCP connection that was reset.
        has_lost |= is_cut.load(Ordering::SeqCst);
        if !has_lost && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
