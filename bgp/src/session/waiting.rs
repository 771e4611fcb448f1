//! What a session waits for, when there is any of it. Cancel-safe, all of it.

use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    time::Instant,
};

use tokio::net::TcpStream;

use super::transport::Transport;

/// An attempt to connect. Dropping it gives the attempt up.
pub(super) type Dialling = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

pub(super) async fn ready(transport: Option<&Transport>) {
    match transport {
        Some(transport) => transport.ready().await,
        None => pending().await,
    }
}

pub(super) async fn dial(dialling: &mut Option<Dialling>) -> io::Result<TcpStream> {
    match dialling {
        Some(dialling) => dialling.await,
        None => pending().await,
    }
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}
