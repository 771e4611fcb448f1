use super::draw::draw;
use super::look::Seen;
use super::rows::short;
use super::state::{Action, Key, Order, State, View, Wish};
use crate::chronicle::Line;
use crate::core::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_micros(1_770_091_506_789_000);

fn backend(host: &str, last: u8, standing: &str, reason: &str) -> Value {
    json!({
        "host": host, "address": format!("10.64.0.{last}"), "weight": u8::from(standing == "pooled"), "standing": standing,
        "health": if standing == "down" { "down" } else { "up" }, "since": NOW, "reason": reason, "path": "by eth0",
        "on_link": true, "agent": null,
    })
}

fn service(name: &str, backends: &[Value]) -> Value {
    let serving = backends.iter().filter(|backend| backend["standing"] == "pooled").count();
    json!({
        "name": name, "protocol": "tcp", "port": 80, "fwmark": null, "vips": ["192.0.2.10"], "scheduler": "wrr",
        "settings": "scheduler wrr", "forwarding": "direct routing", "backend_port": 80, "source": "lvsd.toml:1:1",
        "source_error": null, "source_stale": false, "source_held": false, "source_errors": 0, "waiting": null,
        "unusable": [],
        "pools": [{"family": "ipv4", "pooled": serving, "serving": serving, "needed": 1, "total": backends.len(),
            "backends": backends, "draining": []}],
    })
}

/// A service of which a backend is down, and one that is as it should be and shares another.
fn seen_with(more: &[Value]) -> Seen {
    let web = [
        more,
        &[backend("rs1", 11, "pooled", "its check passes"), backend("rs2", 12, "down", "connection refused")],
    ];
    let api = [backend("rs1", 11, "pooled", "its check passes")];
    let status = json!({
        "ready": true, "phase": "running", "since": NOW, "kernel_failures": [], "foreign_services": 0, "absent_hosts": [],
        "sync_daemons": [],
        "services": [service("api", &api), service("web", &web.concat())],
        "vips": [{"address": "192.0.2.10", "announced": true, "since": NOW, "reason": "web: 1 of 2 backends can serve"}],
        "peers": [{"name": "r1", "address": null, "state": "Active", "since": NOW, "announced": 0, "in_sync": true,
            "withheld": [], "last_error": "connection refused"}],
    });
    let traffic = json!({"web": {"connections_per_second": 1234, "bytes_in_per_second": 99, "active": 12_345_678,
        "backends": {"10.64.0.11": {"connections_per_second": 7, "active": 3, "inactive": 0}}}});
    Seen {
        status: serde_json::from_value(status).unwrap(),
        traffic: serde_json::from_value(traffic).unwrap(),
        events: vec![line(1, "web: rs2: down: connection refused")],
    }
}

fn line(id: u64, message: &str) -> Line {
    let (level, target) = ("warn".into(), "lvsd".into());
    Line { id, at: NOW, level, message: message.into(), target, about: Default::default() }
}

fn seen() -> Seen {
    seen_with(&[])
}

fn state() -> State {
    State::new(seen(), NOW)
}

fn press(state: &mut State, keys: &str) -> Option<Action> {
    keys.chars().fold(None, |_, key| state.press(Key::Letter(key)))
}

fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, NOW, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

#[test]
fn services_show_what_serves_what_goes_through_them_and_what_is_odd() {
    assert_eq!(
        screen(&state(), 80, 7),
        [
            "lvsd running  2 services  2/3 pooled  VIPs 1/1  BGP 0/1",
            " 1 services  2 backends  3 routing  4 events",
            "SERVICE  LISTENS  SERVE  CONN   CONN/S  BYTES/S  WHAT IS ODD",
            "api      tcp 80   1/1",
            "web      tcp 80   1/2    12.3M  1.2k    99       rs2 down",
            "",
            "q quit  Tab view  j/k move  / search  d depool  p pool  Enter open  Esc back",
        ]
    );
}

#[test]
fn on_a_narrow_terminal_columns_go_and_backends_stay_readable() {
    let mut state = state();
    press(&mut state, "2");
    let wide = screen(&state, 110, 7);
    assert_eq!(wide[2], "SERVICE  BACKEND  ADDRESS     WEIGHT  STATE   CHECKS  CONN  CONN/S  WHY");
    assert_eq!(
        wide[5],
        "web      rs2      10.64.0.12  0       down    down                  connection refused"
    );
    let narrow = screen(&state, 60, 7);
    assert_eq!(narrow[2], "SERVICE  BACKEND  WEIGHT  STATE   CONN  CONN/S  WHY");
    assert_eq!(narrow[4], "web      rs1      1       pooled  3     7       its check pa");
    press(&mut state, "3");
    let routing = screen(&state, 60, 7);
    assert_eq!(routing[3], "VIP   192.0.2.10  announced  0s     web: 1 of 2 backends can");
    assert_eq!(routing[4], "BGP   r1          Active     0s     0 prefixes; connection r");
    press(&mut state, "4");
    assert_eq!(screen(&state, 60, 7)[3], "04:05:06.789  web: rs2: down: connection refused");
}

#[test]
fn an_order_is_given_only_after_a_yes_to_a_question_that_names_host_and_services() {
    let mut state = state();
    assert_eq!(press(&mut state, "d"), None);
    assert!(screen(&state, 80, 7)[6].starts_with("select a backend to depool it"), "a service is no backend");
    for (key, wish, word) in [('d', Wish::Depool, "depool"), ('p', Wish::Pool, "pool")] {
        assert_eq!(press(&mut state, "2j"), None);
        assert_eq!(state.press(Key::Letter(key)), None);
        assert_eq!(screen(&state, 80, 7)[6], format!("{word} rs1 in api, web? y/N"));
        for no in [Key::Letter('n'), Key::Enter, Key::Escape, Key::Down, Key::Letter('q')] {
            assert_eq!(state.press(no), None, "{no:?} is no yes, and nothing else either");
            assert_eq!(screen(&state, 80, 7)[6], "rs1: nothing was done");
            state.press(Key::Letter(key));
        }
        assert_eq!(state.press(Key::Letter('y')), Some(Action::Order(Order { wish, host: "rs1".into() })));
        assert_eq!(press(&mut state, "y"), None, "it is asked for once");
    }
    state.tell(Err("0 of 2 backends would be left serving".into()));
    assert_eq!(screen(&state, 80, 7)[6], "0 of 2 backends would be left serving");
    assert_eq!(press(&mut state, "q"), Some(Action::Quit));
    assert_eq!(state.press(Key::Interrupt), Some(Action::Quit));
}

#[test]
fn the_question_fits_however_many_services_share_the_host() {
    let mut seen = seen();
    let web = seen.status.services[1].clone();
    seen.status.services.extend((0..50).map(|n| {
        let mut service = web.clone();
        service.name = format!("service-{n}");
        service
    }));
    let mut state = State::new(seen, NOW);
    press(&mut state, "2d");
    assert_eq!(screen(&state, 60, 7)[6], "depool rs1 in 52 services? y/N");
}

#[test]
fn a_search_shows_what_matches_and_enter_opens_a_service() {
    let mut state = state();
    press(&mut state, "2/refu");
    let found = screen(&state, 80, 7);
    assert!(found[1].ends_with("/refu_") && found[3].contains("rs2") && found[4].is_empty(), "{found:?}");
    assert_eq!(press(&mut state, "q"), None, "it is typed");
    assert_eq!(screen(&state, 80, 7)[2], "nothing here");
    state.press(Key::Backspace);
    state.press(Key::Enter);
    press(&mut state, "d");
    assert_eq!(screen(&state, 80, 7)[6], "depool rs2 in web? y/N");
    state.press(Key::Letter('n'));
    state.press(Key::Escape);
    press(&mut state, "1j");
    state.press(Key::Enter);
    let opened = screen(&state, 80, 7);
    assert!(
        opened[1].ends_with(" of web") && opened[3].starts_with("web") && opened[5].is_empty(),
        "{opened:?}"
    );
    state.press(Key::Escape);
    assert_eq!(state.view, View::Services);
}

#[test]
fn tab_goes_round_and_the_selection_stays_with_its_backend() {
    let mut state = state();
    for view in [View::Backends, View::Routing, View::Events, View::Services] {
        state.press(Key::Tab);
        assert_eq!(state.view, view);
    }
    state.press(Key::BackTab);
    assert_eq!(state.view, View::Events);
    press(&mut state, "2G");
    state.take(Ok(seen_with(&[backend("rs0", 10, "pooled", "")])), NOW);
    press(&mut state, "d");
    assert_eq!(screen(&state, 80, 7)[6], "depool rs2 in web? y/N");
    state.press(Key::Escape);
    state.press(Key::PageDown);
    state.press(Key::Home);
    state.take(Ok(seen_with(&[])), NOW);
    press(&mut state, "d");
    assert_eq!(screen(&state, 80, 7)[6], "depool rs1 in api, web? y/N");
}

#[test]
fn what_was_seen_stays_with_since_when_while_lvsd_is_away() {
    let mut state = state();
    state.take(Err("lvsd is not running".into()), NOW);
    let shown = screen(&state, 80, 7);
    assert_eq!(shown[0], "! stale since 2026-02-03T04:05:06.789Z (0s ago): lvsd is not running");
    assert!(shown[4].starts_with("web "), "{shown:?}");
    state.take(Ok(seen()), NOW);
    assert!(screen(&state, 80, 7)[0].starts_with("lvsd running"));
}

#[test]
fn events_come_once_the_latest_first_and_go_on_with_an_lvsd_that_counts_anew() {
    let mut state = state();
    press(&mut state, "4");
    let with = |events| Ok(Seen { events, ..seen() });
    state.take(with(vec![line(2, "second")]), NOW);
    state.take(with(Vec::new()), NOW);
    let shown = screen(&state, 80, 7);
    assert!(
        shown[3].ends_with("second") && shown[4].ends_with("refused") && shown[5].is_empty(),
        "{shown:?}"
    );
    state.take(with(vec![line(1, "begun anew")]), NOW);
    assert!(screen(&state, 80, 7)[3].ends_with("begun anew"));
}

#[test]
fn among_thousands_the_selected_row_is_on_the_screen() {
    let many: Vec<Value> = (0..3000)
        .map(|n| {
            let mut one = backend(&format!("cp{n}"), 1, "pooled", "");
            one["address"] = format!("10.1.{}.{}", n / 250, n % 250 + 1).into();
            one
        })
        .collect();
    let mut state = State::new(seen_with(&many), NOW);
    press(&mut state, "2");
    for (keys, host) in [("G", "rs2"), ("kkk", "cp2999"), ("g", "rs1")] {
        press(&mut state, keys);
        let shown = screen(&state, 80, 24);
        assert!(shown.iter().any(|line| line.contains(&format!(" {host} "))), "{keys}: {shown:#?}");
    }
}

#[test]
fn numbers_are_short() {
    for (number, text) in
        [(0, "0"), (999, "999"), (1000, "1.0k"), (12_345, "12.3k"), (999_999, "999k"), (4_500_000, "4.5M")]
    {
        assert_eq!(short(number), text);
    }
}
