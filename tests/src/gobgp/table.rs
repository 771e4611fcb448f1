//! GoBGP's table, asked for by its gRPC interface (api/gobgp.proto of GoBGP 3, of which only what is read here is there).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

/// Where gobgpd listens for questions, on each router.
pub(super) const ADDRESS: &str = "127.0.0.1:50051";

/// How long an answer may take, in a slow kernel.
const ANSWER: Duration = Duration::from_secs(60);

/// Unicast.
const SAFI: i32 = 1;

/// The paths to each prefix.
pub(super) type Table = BTreeMap<String, Vec<Way>>;

/// A path, as far as it matters to a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) hop: IpAddr,
    /// The session is down, and the path is kept since the neighbour is expected back.
    pub(super) is_stale: bool,
}

/// `ListPathRequest`; without a table's type it is about the global one.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(message, optional, tag = "3")]
    family: Option<Family>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Family {
    #[prost(int32, tag = "1")]
    afi: i32,
    #[prost(int32, tag = "2")]
    safi: i32,
}

/// `ListPathResponse`.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    destination: Option<Destination>,
}

#[derive(Clone, PartialEq, Message)]
struct Destination {
    #[prost(string, tag = "1")]
    prefix: String,
    #[prost(message, repeated, tag = "2")]
    paths: Vec<Path>,
}

#[derive(Clone, PartialEq, Message)]
struct Path {
    #[prost(message, repeated, tag = "2")]
    attributes: Vec<Any>,
    #[prost(bool, tag = "13")]
    stale: bool,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `NextHopAttribute`.
#[derive(Clone, PartialEq, Message)]
struct NextHop {
    #[prost(string, tag = "1")]
    next_hop: String,
}

/// `MpReachNLRIAttribute`.
#[derive(Clone, PartialEq, Message)]
struct MpReach {
    #[prost(string, repeated, tag = "2")]
    next_hops: Vec<String>,
}

impl Path {
    fn way(&self) -> Option<Way> {
        let hop = |attribute: &Any| match attribute.type_url.rsplit('.').next()? {
            "NextHopAttribute" => NextHop::decode(&*attribute.value).ok()?.next_hop.parse().ok(),
            "MpReachNLRIAttribute" => {
                MpReach::decode(&*attribute.value).ok()?.next_hops.first()?.parse().ok()
            }
            _ => None,
        };
        Some(Way { hop: self.attributes.iter().find_map(hop)?, is_stale: self.stale })
    }
}

/// A connection to the gobgpd of the network namespace that this thread is in.
pub(super) struct Client {
    grpc: Grpc<Channel>,
}

impl Client {
    /// Connects with the first question. To be called in a runtime.
    pub(super) fn new() -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{ADDRESS}"))?;
        Ok(Self { grpc: Grpc::new(endpoint.connect_lazy()) })
    }

    /// The whole table of the family with this number (1: IPv4, 2: IPv6).
    pub(super) async fn table(&mut self, afi: i32) -> Result<Table> {
        tokio::time::timeout(ANSWER, self.ask(afi)).await.context("gobgpd does not answer")?
    }

    async fn ask(&mut self, afi: i32) -> Result<Table> {
        self.grpc.ready().await?;
        let question = tonic::Request::new(Question { family: Some(Family { afi, safi: SAFI }) });
        let path = PathAndQuery::from_static("/apipb.GobgpApi/ListPath");
        let codec = tonic_prost::ProstCodec::<Question, Answer>::default();
        let mut answers = self.grpc.server_streaming(question, path, codec).await?.into_inner();
        let mut table = Table::new();
        while let Some(answer) = answers.message().await? {
            if let Some(Destination { prefix, paths }) = answer.destination {
                table.insert(prefix, paths.iter().filter_map(Path::way).collect());
            }
        }
        Ok(table)
    }
}
