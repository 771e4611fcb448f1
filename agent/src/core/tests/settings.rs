//! What the kernel is set to beside its table.

use super::world::World;
use super::{ALL, WEB, running};

const BOTH: &str =
    "[ipvs]\nudp_timeout = \"10s\"\nsync = { role = \"both\", interface = \"eth1\", sync_id = 3 }\n";

fn with(settings: &str) -> String {
    format!("{settings}{WEB}")
}

#[test]
fn timeouts_and_sync_daemons_are_set_once_and_a_restart_sets_nothing_again() {
    let mut world = World::with(&with(BOTH));
    world.up(&ALL);
    assert_eq!(
        world.controls,
        [
            "set timeouts udp 10 s",
            "start master sync daemon on eth1, sync id 3, group 224.0.0.81 port 8848 ttl 1",
            "start backup sync daemon on eth1, sync id 3, group 224.0.0.81 port 8848 ttl 1",
        ]
    );
    assert_eq!(world.saved.sync_daemons.len(), 2);
    world.restart(&with(BOTH));
    assert_eq!(world.controls.len(), 3);
}

#[test]
fn a_daemon_that_the_configuration_loses_is_stopped_also_by_the_next_process_and_then_is_nobodys() {
    let stops = ["stop master sync daemon", "stop backup sync daemon"];
    let mut reloaded = World::with(&with(BOTH));
    reloaded.controls.clear();
    reloaded.configure(WEB);
    let mut restarted = World::with(&with(BOTH));
    restarted.controls.clear();
    restarted.restart(WEB);
    for world in [reloaded, restarted] {
        assert_eq!(world.controls, stops);
        assert!(world.saved.sync_daemons.is_empty(), "one that somebody starts now is somebody's");
        assert!(world.settings.timeouts.udp.is_some(), "what it was before is not known");
    }
}

#[test]
fn a_daemon_that_somebody_else_started_is_left_alone() {
    let mut world = running();
    world.settings = super::world::parse(&with(BOTH)).ipvs;
    world.configure(&with("[ipvs]\ntcp_timeout = \"1h\"\n"));
    assert_eq!(world.controls, ["set timeouts tcp 3600 s"]);
    world.configure(&with("[ipvs]\nsync = { role = \"backup\", interface = \"eth2\" }\n"));
    let others = &world.controls[1..];
    assert_eq!(others.len(), 2, "only the one whose role is configured: {others:?}");
    assert!(others.iter().all(|control| control.contains("backup")), "{others:?}");
}

#[test]
fn a_plan_says_what_would_change_beside_the_table() {
    let world = running();
    let config = std::sync::Arc::new(super::world::parse(&with(BOTH)));
    let plan = crate::core::plan::plan(&world.state, config, world.now);
    assert_eq!(plan.kernel.len(), 3, "{:?}", plan.kernel);
    assert!(plan.kernel[1].starts_with("start master sync daemon on eth1"), "{:?}", plan.kernel);
}
