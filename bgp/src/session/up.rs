//! A session comes up.

use super::{
    link::link_local,
    outbound::Outbound,
    task::{Session, now},
};
use crate::{
    fsm::{Negotiated, Side},
    rib::{AdjRibOut, Export},
    speaker::SessionStatus,
};

impl Session {
    pub(super) fn session_up(&mut self, side: Side, negotiated: &Negotiated) {
        let Some((local, remote)) = self.ends(side) else {
            // The connection broke in this moment; the next read says so.
            return;
        };
        let (v4, v6) = (self.config.next_hop_v4, self.config.next_hop_v6);
        let mut export =
            Export::new(self.identity.asn, &self.config.families, negotiated, local.ip(), v4, v6)
                .filtered(self.config.export.clone())
                .overriding(self.config.overrides)
                .beside(
                    self.config
                        .link_local_next_hop
                        .then(|| link_local(local.ip(), remote.ip(), v6))
                        .flatten(),
                );
        if let Some(cluster_id) = self.config.cluster_id {
            export = export.reflecting(cluster_id, negotiated, remote.ip().to_canonical());
        }
        if let Some(with) = self.neighbourhood(side, negotiated) {
            self.heard.up(with.source(&self.config.name), negotiated.add_path);
            self.learned.iter_mut().for_each(|learned| learned.up(with.clone(), now()));
        }
        self.outbound = Some(Outbound::new(AdjRibOut::new(export), now()));
        self.report.session_up(SessionStatus {
            remote_router_id: negotiated.remote_router_id,
            local,
            remote,
            hold_time: negotiated.hold_time,
            families: negotiated.families.clone(),
            four_octet_asn: negotiated.four_octet_asn,
            graceful_restart: negotiated.graceful_restart.is_some(),
            restarting: negotiated.graceful_restart.as_ref().is_some_and(|restart| restart.restarting),
        });
        self.report.sighted(negotiated);
        self.set_routes();
    }
}
