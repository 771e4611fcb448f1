//! A path to a server that can be cut: what goes in does not come out any more, and nobody is told.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) port: u16,
    cut: Arc<Mutex<Cut>>,
    _task: JoinSet<()>,
}

/// Whose connections are cut.
#[derive(Clone, Debug, Default)]
enum Cut {
    #[default]
    Nobodys,
    Everybodys,
    /// Of those who begin with something that has these words.
    Of(String),
}

impl Cut {
    fn concerns(&self, begin: &str) -> bool {
        match self {
            Self::Nobodys => false,
            Self::Everybodys => true,
            Self::Of(words) => begin.contains(words),
        }
    }
}

/// One connection on a path.
struct Connection {
    cut: Arc<Mutex<Cut>>,
    /// What came first.
    begin: Mutex<String>,
}

impl Connection {
    /// Whether these bytes are swallowed.
    fn loses(&self, bytes: &[u8]) -> bool {
        let mut begin = self.begin.lock().unwrap();
        if begin.is_empty() {
            *begin = String::from_utf8_lossy(bytes).into_owned();
        }
        self.cut.lock().unwrap().concerns(&begin)
    }
}

impl Path {
    /// A path to a port of this host.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let cut: Arc<Mutex<Cut>> = Arc::default();
        let (own_cut, mut task) = (Arc::clone(&cut), JoinSet::new());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((one, _)) = listener.accept().await {
                let cut = Arc::clone(&own_cut);
                connections.spawn(async move {
                    let Ok(other) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                    let ((one_read, one_write), (other_read, other_write)) =
                        (one.into_split(), other.into_split());
                    let connection = Connection { cut, begin: Mutex::default() };
                    tokio::join!(
                        carry(one_read, other_write, &connection),
                        carry(other_read, one_write, &connection)
                    );
                });
            }
        });
        Self { port: own, cut, _task: task }
    }

    /// From now on everything that is sent is swallowed, on connections old and new.
    pub(crate) fn cut(&self) {
        *self.cut.lock().unwrap() = Cut::Everybodys;
    }

    /// The same for those connections alone whose first bytes have these words.
    pub(crate) fn cut_for(&self, words: &str) {
        *self.cut.lock().unwrap() = Cut::Of(words.to_owned());
    }

    /// New bytes arrive again.
    pub(crate) fn mend(&self) {
        *self.cut.lock().unwrap() = Cut::Nobodys;
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    connection: &Connection,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut has_lost = false;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // Of a stream that has lost bytes nothing more can be had, as of a TCP connection that was reset.
        has_lost |= connection.loses(&buffer[..length]);
        if !has_lost && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
