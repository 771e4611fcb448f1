//! Many services, a line each; and in full those of which somebody should know more.

use super::{Paint, line, listener, service_text};
use crate::core::view::{PoolView, ServiceView, Status};
use crate::ctl::render::table::Table;

/// Whether lvsd has left out what serves as it should.
pub(super) fn is_brief(status: &Status) -> bool {
    status.left_out_vips > 0 || status.services.iter().any(|service| left_out(service) > 0)
}

fn left_out(service: &ServiceView) -> usize {
    service.pools.iter().map(|pool| pool.left_out).sum()
}

/// The services.
pub(super) fn services(text: &mut String, services: &[ServiceView], paint: Paint) {
    let odd: Vec<&ServiceView> = services.iter().filter(|service| is_odd(service)).collect();
    for service in &odd {
        service_text(text, service, paint);
    }
    text.push('\n');
    let mut table =
        Table::new(paint, ["SERVICE", "PACKETS", "FAMILY", "CAN SERVE", "POOLED", "THRESHOLD", "VIPS"]);
    for service in services {
        for pool in &service.pools {
            table.row(row(service, pool, paint));
        }
    }
    text.push_str(&table.to_string());
    let all: usize = services.iter().map(left_out).sum();
    let more = "`lvsctl status SERVICE` and `lvsctl status -o wide` show them";
    line(text, format_args!("\n{all} backends that serve as they should are left out: {more}"));
}

fn row(service: &ServiceView, pool: &PoolView, paint: Paint) -> [String; 7] {
    let serving = format!("{} of {}", pool.serving, pool.total);
    let is_v4 = pool.family == crate::config::Family::Ipv4;
    let vips = service.vips.iter().filter(|vip| vip.is_ipv4() == is_v4);
    [
        service.name.clone(),
        listener(service),
        pool.family.to_string(),
        if pool.serving < pool.needed { paint.bad(&serving) } else { serving },
        pool.pooled.to_string(),
        pool.needed.to_string(),
        vips.map(ToString::to_string).collect::<Vec<_>>().join(" "),
    ]
}

/// Whether more is to be said of it than its line does.
fn is_odd(service: &ServiceView) -> bool {
    service.source_error.is_some()
        || service.source_stale
        || service.waiting.is_some()
        || service.pools.iter().any(|pool| !pool.backends.is_empty() || !pool.draining.is_empty())
        || !(service.unusable.is_empty() && service.stale_names.is_empty() && service.unsorted.is_empty())
        || service.canaries.iter().any(|canary| canary.state != "up")
}
