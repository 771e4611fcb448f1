//! The metrics that grow with the services, and how each is taken from the numbers.

use super::page::{Family, Of};

/// The metrics that grow with the services.
pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "lvsd_pool_backends",
        "Backends that are not inactive.",
        Of::Pool(|pool| number(pool.counts.total)),
    ),
    gauge(
        "lvsd_pool_pooled",
        "Backends with a weight, those held though down among them.",
        Of::Pool(|pool| number(pool.counts.pooled)),
    ),
    gauge(
        "lvsd_pool_serving",
        "Backends with a weight on their own merit.",
        Of::Pool(|pool| number(pool.counts.serving)),
    ),
    gauge(
        "lvsd_pool_needed",
        "Backends that the depool threshold asks for.",
        Of::Pool(|pool| number(pool.counts.needed)),
    ),
    gauge(
        "lvsd_pool_held_though_down",
        "Backends that are down but kept for the threshold.",
        Of::Pool(|pool| number(pool.counts.pooled - pool.counts.serving)),
    ),
    gauge(
        "lvsd_pool_draining",
        "Former backends that finish their connections.",
        Of::Pool(|pool| number(pool.draining)),
    ),
    gauge(
        "lvsd_source_failed",
        "Whether the last reading of the service's source failed.",
        Of::Service(|service| service.source_failed.into()),
    ),
    gauge(
        "lvsd_source_held",
        "Whether a large change of the service's source is held back.",
        Of::Service(|service| service.source_held.into()),
    ),
    gauge(
        "lvsd_source_stale",
        "Whether the backends are those of an earlier process.",
        Of::Service(|service| service.source_stale.into()),
    ),
    counter(
        "lvsd_source_errors_total",
        "Readings of the service's source that failed since it was first read.",
        Of::Service(|service| service.source_errors),
    ),
    gauge(
        "lvsd_service_unsorted",
        "Services in the kernel with mh whose servers were added out of their order.",
        Of::ServiceIf(|service| service.unsorted.map(number)),
    ),
    gauge(
        "lvsd_backend_up",
        "Whether the backend's checks pass.",
        Of::Backend(|backend| Some(backend.is_up.into())),
    ),
    gauge(
        "lvsd_backend_weight",
        "The weight that the backend is to have in the kernel.",
        Of::Backend(|backend| Some(backend.weight.into())),
    ),
    gauge(
        "lvsd_backend_on_link",
        "Whether the backend is on a link of the balancer's own.",
        Of::Backend(|backend| backend.on_link.map(u64::from)),
    ),
    gauge(
        "lvsd_backend_agent_ratio",
        "The share of its weight that the backend's own agent asks for, 1 for all of it.",
        Of::BackendShare(|backend| backend.agent_percent.map(|percent| f64::from(percent) / 100.0)),
    ),
    gauge(
        "lvsd_backend_agent_out",
        "Whether the backend's own agent asks for no new connections (drain, maintenance).",
        Of::Backend(|backend| backend.agent_out.map(u64::from)),
    ),
    gauge(
        "lvsd_certificate_expiry_timestamp_seconds",
        "When the first certificate expires that the service's checks see, in seconds since 1970.",
        Of::ServiceIf(|service| service.certificate_expires),
    ),
    counter(
        "lvsd_service_connections_total",
        "Connections that the kernel has scheduled for the service.",
        Of::PoolIf(|pool| Some(pool.traffic?.connections)),
    ),
    counter(
        "lvsd_service_packets_total",
        "Packets of the service that the kernel has forwarded.",
        Of::PoolFlow(|counted| [counted.packets_in, counted.packets_out]),
    ),
    counter(
        "lvsd_service_bytes_total",
        "Bytes of the service that the kernel has forwarded.",
        Of::PoolFlow(|counted| [counted.bytes_in, counted.bytes_out]),
    ),
    gauge(
        "lvsd_service_connections_per_second",
        "New connections a second, as the kernel estimates them.",
        Of::PoolIf(|pool| Some(pool.traffic?.connections_per_second)),
    ),
    gauge(
        "lvsd_service_packets_per_second",
        "Packets a second, as the kernel estimates them.",
        Of::PoolFlow(|counted| [counted.packets_in_per_second, counted.packets_out_per_second]),
    ),
    gauge(
        "lvsd_service_bytes_per_second",
        "Bytes a second, as the kernel estimates them.",
        Of::PoolFlow(|counted| [counted.bytes_in_per_second, counted.bytes_out_per_second]),
    ),
    gauge(
        "lvsd_backend_active_connections",
        "Established connections.",
        Of::Backend(|backend| Some(backend.traffic?.connections.active.into())),
    ),
    gauge(
        "lvsd_backend_inactive_connections",
        "Connections in any other state.",
        Of::Backend(|backend| Some(backend.traffic?.connections.inactive.into())),
    ),
    counter(
        "lvsd_backend_connections_total",
        "Connections that the kernel has scheduled to the backend.",
        Of::Backend(|backend| Some(backend.traffic?.statistics.connections)),
    ),
    counter(
        "lvsd_backend_packets_total",
        "Packets of the backend that the kernel has forwarded.",
        Of::BackendFlow(|counted| [counted.packets_in, counted.packets_out]),
    ),
    counter(
        "lvsd_backend_bytes_total",
        "Bytes of the backend that the kernel has forwarded.",
        Of::BackendFlow(|counted| [counted.bytes_in, counted.bytes_out]),
    ),
    gauge(
        "lvsd_backend_connections_per_second",
        "New connections a second, as the kernel estimates them.",
        Of::Backend(|backend| Some(backend.traffic?.statistics.connections_per_second)),
    ),
    gauge(
        "lvsd_backend_packets_per_second",
        "Packets a second, as the kernel estimates them.",
        Of::BackendFlow(|counted| [counted.packets_in_per_second, counted.packets_out_per_second]),
    ),
    gauge(
        "lvsd_backend_bytes_per_second",
        "Bytes a second, as the kernel estimates them.",
        Of::BackendFlow(|counted| [counted.bytes_in_per_second, counted.bytes_out_per_second]),
    ),
    gauge("lvsd_canary_up", "Whether IPVS forwards what the service's canary asks of the VIP.", Of::Canary),
    gauge(
        "lvsd_vip_announced",
        "Whether the routers are to hear of the VIP.",
        Of::Vip(|vip| vip.is_announced),
    ),
    gauge(
        "lvsd_vip_operator_word",
        "Whether the VIP is announced or withdrawn by an operator's word.",
        Of::Vip(|vip| vip.has_word),
    ),
];

const fn gauge(name: &'static str, help: &'static str, of: Of) -> Family {
    Family { name, help, is_counter: false, of }
}

const fn counter(name: &'static str, help: &'static str, of: Of) -> Family {
    Family { name, help, is_counter: true, of }
}

fn number(count: usize) -> u64 {
    count as u64
}
