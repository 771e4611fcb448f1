//! Every scenario of the lab, each on a kernel of its own. `cargo test -p lab NAME` runs those whose names match.

mod announcements;
mod bad_networks;
mod checks;
mod cluster;
mod crowds;
mod doctor;
mod drains;
mod etcd;
mod evidence_of_failure;
mod kernel_contract;
mod kernel_settings;
mod kernel_table;
mod kills;
mod kubernetes;
mod kubernetes_vips;
mod links;
mod many_services;
mod monitoring;
mod names;
mod node_sessions;
mod nodes;
mod operator;
mod order;
mod other_routers;
mod paths;
mod pool_files;
mod pybal;
mod recordings;
mod reflector;
mod reloads;
mod restarts;
mod routers;
mod servers;
mod service_manager;
mod small_buffer;
mod the_lab_itself;
mod the_line;
mod through_ipvs;
mod vip_checks;
mod vip_tunnels;

use std::time::Duration;

use anyhow::{Context, Result};
use lab::kernel::{Console, Run};
use lab::world::World;
use libtest_mimic::{Arguments, Failed, Trial};

/// Longest that a scenario may take inside: one that hangs is ended, a slow machine has its time.
pub(crate) const LIMIT: Duration = Duration::from_secs(900);

/// Kernels at once, unless told otherwise: each keeps about one core busy.
const AT_ONCE: usize = 2;

/// A name and what runs inside a kernel.
type Scenario = (&'static str, fn(&World) -> Result<()>);

/// A name and what looks at runs from outside.
type Outside = (&'static str, fn() -> Result<()>);

/// Functions with their own names, the module left out.
macro_rules! named {
    ($($module:ident::$function:ident),* $(,)?) => {
        [$((stringify!($function), $module::$function)),*]
    };
}

const SCENARIOS: &[Scenario] = &named![
    the_lab_itself::the_lab_itself_carries_traffic_v4_and_v6,
    routers::routers_spread_over_balancers_and_keep_the_routes_of_one_that_crashed,
    kernel_contract::the_kernel_keeps_the_contract_of_ipvs,
    the_line::a_configuration_carries_requests_over_both_balancers_v4_and_v6,
    servers::a_server_that_dies_gets_no_more_requests_until_it_returns,
    servers::a_server_that_calls_itself_unhealthy_leaves_without_a_failed_request,
    servers::a_vip_is_withdrawn_when_no_server_can_serve_and_announced_when_one_can,
    checks::agents_weigh_certificates_expire_and_any_of_two_checks_is_enough,
    bad_networks::a_link_that_delays_and_loses_packets_takes_no_server_out_until_it_is_as_good_as_cut,
    bad_networks::a_server_that_is_stopped_is_found_by_what_it_is_asked_and_not_by_its_port,
    bad_networks::checks_come_from_the_source_that_they_are_given_in_both_families,
    operator::depool_and_pool_fail_no_request,
    operator::a_depool_is_kept_over_a_restart_with_its_reason,
    operator::a_depool_that_would_break_the_threshold_is_refused,
    order::balancers_with_different_histories_agree_once_their_servers_are_sorted,
    drains::a_server_that_drains_keeps_its_connections_until_they_end_or_their_time_is_over,
    drains::a_client_that_uses_its_port_again_is_not_sent_to_a_server_that_drains_or_is_gone,
    restarts::lvsd_killed_and_started_again_fails_no_request,
    other_routers::gobgp_keeps_the_routes_of_an_lvsd_that_is_killed_and_no_request_fails,
    other_routers::frr_keeps_the_routes_of_an_lvsd_that_is_killed_and_no_request_fails,
    restarts::a_balancer_that_is_stopped_and_returns_fails_no_request,
    restarts::connections_placed_while_a_server_was_out_survive_their_balancer,
    announcements::a_drained_balancer_fails_no_request_and_stays_drained_over_a_restart,
    announcements::a_stop_asks_the_routers_to_prefer_others_before_it_withdraws,
    announcements::a_vip_that_is_withdrawn_for_a_time_comes_back_by_itself,
    announcements::a_reload_that_changes_one_router_resets_its_session_alone,
    reloads::a_reload_adds_and_removes_a_service_and_the_other_goes_on,
    reloads::a_configuration_with_errors_is_refused_and_the_old_one_goes_on,
    kernel_settings::what_a_configuration_tells_the_kernel_is_what_ipvsadm_shows,
    recordings::a_recording_replays_to_the_same_actions_byte_for_byte,
    kernel_table::what_was_changed_by_hand_is_repaired_and_foreign_services_are_left_alone,
    links::a_server_on_a_second_link_of_the_balancers_serves_like_the_others,
    links::a_server_behind_a_router_is_not_pooled_until_the_balancers_have_a_leg_there,
    links::an_unplugged_server_is_found_sooner_than_its_checks_would_come,
    paths::a_balancer_that_is_unplugged_is_missed_within_a_second_with_bfd,
    kernel_table::what_was_changed_by_hand_is_named_by_diff_and_repaired_by_resync,
    nodes::pods_behind_calicos_bird_are_reached_and_followed,
    node_sessions::nodes_that_do_not_sign_tell_too_much_or_never_return_lose_their_routes_and_no_other_does,
    node_sessions::nodes_that_connect_from_a_known_prefix_are_taken_without_being_named,
    crowds::a_hundred_nodes_keep_their_sessions_over_reloads_and_each_is_followed,
    reflector::nodes_without_a_mesh_reach_one_anothers_pods_by_what_lvsd_passes_on,
    reflector::pods_behind_a_node_that_reflects_are_reached_once_it_is_known_to,
    many_services::a_restart_with_a_hundred_services_breaks_no_connection_and_writes_nothing,
    kills::lvsd_killed_at_any_point_of_a_change_completes_it_at_its_next_start,
    small_buffer::a_table_becomes_right_though_answers_are_lost,
    service_manager::systemd_hears_ready_when_it_serves_then_watchdog_and_stopping,
    names::names_that_hang_delay_no_check_and_nothing_that_an_operator_does,
    pool_files::a_pool_file_is_followed_and_a_broken_one_changes_nothing,
    pybal::a_dry_run_agrees_with_pybals_table_and_the_switch_changes_no_server,
    pybal::from_pybal_to_lvsd_and_back_no_request_fails,
    etcd::a_depool_in_etcd_is_one_on_both_balancers_and_a_dead_etcd_changes_nothing,
    vip_checks::a_server_that_lost_the_vip_passes_direct_checks_and_leaves_by_those_to_the_vip,
    vip_checks::while_the_probe_namespace_is_not_served_verdicts_stay_and_then_go_on,
    vip_checks::a_server_that_answers_arp_or_nd_for_a_vip_is_named_by_doctor,
    through_ipvs::checks_and_canaries_through_ipvs_tell_servers_and_the_balancer_apart,
    vip_tunnels::clients_and_checks_go_through_the_same_tunnels_in_both_families,
    doctor::doctor_names_what_is_wrong_and_its_command_mends_it,
];

const OUTSIDE: &[Outside] = &named![
    kubernetes::a_service_is_served_as_it_is_applied_and_its_pods_are_rolled_out_without_a_failed_request,
    kubernetes_vips::external_addresses_and_node_ports_are_served_from_kubectl_apply_until_they_are_deleted,
    evidence_of_failure::a_failing_scenario_leaves_logs_captures_and_tables,
    evidence_of_failure::a_hanging_scenario_is_ended_at_its_time_limit,
    monitoring::a_prometheus_scrapes_lvsd_and_has_data_for_each_question_of_the_dashboard,
];

fn main() {
    if let Some(world) = World::entered() {
        world.run(inside);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let scenarios = SCENARIOS.iter().map(|(name, _)| Trial::test(*name, || boot(name)));
    let others = OUTSIDE.iter().map(|(name, test)| Trial::test(*name, || test().map_err(told)));
    libtest_mimic::run(&arguments, scenarios.chain(others).collect()).exit();
}

/// Inside the lab's kernel: the scenario itself.
fn inside(world: &World) -> Result<()> {
    let known = SCENARIOS
        .iter()
        .chain(&evidence_of_failure::ON_PURPOSE)
        .chain(&monitoring::INSIDE)
        .chain(&kubernetes::INSIDE)
        .chain(&kubernetes_vips::INSIDE);
    let (_, scenario) = known
        .into_iter()
        .find(|(name, _)| *name == world.name())
        .with_context(|| format!("no scenario {}", world.name()))?;
    scenario(world)
}

/// Outside: boots a kernel for it and takes its verdict.
fn boot(name: &str) -> Result<(), Failed> {
    let run = Run::new(name, LIMIT, Console::File).map_err(told)?;
    run.pass().map_err(told)
}

fn told(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
