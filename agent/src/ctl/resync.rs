//! `lvsctl resync`: the kernel is repaired now, and with `--sort` put in order.

use super::arguments::Resync;
use super::client::{Client, ClientError};
use crate::api::messages::{Problem, ProblemKind, ResyncRequest};
use crate::exec::ipvs::Comparison;

/// What decides whether a connection outlives the instant in which its server is deleted and added again. Of the network
/// namespace of who asks, which is lvsd's: lvsd's own unit hides such files from it.
const EXPIRES: &str = "/proc/sys/net/ipv4/vs/expire_nodest_conn";

/// Has it done.
///
/// # Errors
/// See [`ClientError`]; a problem of kind refused when sorting would end connections.
pub async fn run(client: &Client, asked: Resync) -> Result<Comparison, ClientError> {
    let Resync { sort, force } = asked;
    if sort && !force {
        let value = std::fs::read_to_string(EXPIRES).map_err(|error| error.to_string());
        may_sort(value.as_deref().map_err(String::as_str))?;
    }
    client.post("/v1/resync", &ResyncRequest { sort }).await
}

/// Whether connections survive it, by what the file holds.
fn may_sort(value: Result<&str, &str>) -> Result<(), ClientError> {
    let is = match value.map(str::trim) {
        Ok("0") => return Ok(()),
        Ok(value) => format!("net.ipv4.vs.expire_nodest_conn is {value}"),
        Err(error) => format!("{EXPIRES} cannot be read ({error})"),
    };
    let message = format!(
        "{is}: a connection ends of which a packet comes while its server is deleted and added again. Set it to 0 for that long \
         (sysctl -w net.ipv4.vs.expire_nodest_conn=0; lvsctl resync --sort; sysctl -w net.ipv4.vs.expire_nodest_conn=1), \
         drain the balancer before, or say --force"
    );
    Err(ClientError::Problem(Problem { kind: ProblemKind::Refused, message }))
}

#[cfg(test)]
mod tests {
    use super::may_sort;

    #[test]
    fn what_would_end_connections_is_not_sorted_unless_forced() {
        may_sort(Ok("0\n")).unwrap();
        for value in [Ok("1\n"), Ok("2"), Err("no such file")] {
            let said = may_sort(value).unwrap_err().to_string();
            assert!(said.contains("sysctl -w net.ipv4.vs.expire_nodest_conn=0"), "{said}");
        }
    }
}
