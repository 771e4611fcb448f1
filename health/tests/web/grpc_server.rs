//! A real gRPC server: tonic's health service.

use std::net::SocketAddr;

use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

/// A gRPC server that knows of the health of `routing`, until it is dropped.
pub(crate) struct Health {
    pub(crate) address: SocketAddr,
    pub(crate) reporter: HealthReporter,
    task: JoinHandle<()>,
}

impl Health {
    /// Starts it at a free port of this address; `routing` is served.
    pub(crate) async fn start(ip: &str) -> Self {
        let listener = std::net::TcpListener::bind((ip, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("its address");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        let (reporter, service) = health_reporter();
        reporter.set_service_status("routing", ServingStatus::Serving).await;
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let task = tokio::spawn(async move {
            let served = Server::builder().add_service(service).serve_with_incoming(incoming).await;
            served.expect("a server");
        });
        Self { address, reporter, task }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}
