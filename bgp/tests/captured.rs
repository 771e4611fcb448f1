//! What routers were captured saying, and what this crate reads in it.
//!
//! `captured/ROUTER-KIND.hex` holds one message a line, in the order in which the router sent them: its OPEN first. The
//! routers are Debian 12's BIRD 2.0.12, BIRD 1.6.8, FRR 8.4.4, GoBGP 3.10 and ExaBGP 4.2.21; ours was a neighbour with
//! four-octet AS numbers that takes path identifiers (`narrow`: one with neither), in another AS (`internal`: the same). The
//! readings beside them were compared with the routers' configurations; `UPDATE_EXPECTED=1` writes them anew.

use std::{fmt::Write as _, fs, path::Path as File};

use bgp::{
    Family, Path,
    wire::{AddPath, Attributes, Capability, Context, Framer, Message, MpReach, Nlri, Open, Update},
};

fn messages(file: &File) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(file).expect("a captured session");
    let octet = |pair: &[u8]| {
        let digits = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(digits, 16).expect("hexadecimal")
    };
    text.lines().map(|line| line.as_bytes().chunks(2).map(octet).collect()).collect()
}

fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

fn capability(capability: &Capability) -> String {
    match capability {
        Capability::Unknown { code, value } => format!("unknown {code} {value:02x?}"),
        known => format!("{known:?}"),
    }
}

fn open(open: &Open) -> String {
    let mut text = format!("OPEN as {} hold {} id {}\n", open.asn(), open.hold_time, open.router_id);
    open.capabilities.iter().for_each(|each| writeln!(text, "  {}", capability(each)).expect("a string"));
    text
}

fn attributes(attributes: &Attributes<'_>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(text, "  {name}: {value}").expect("a string");
        }
    };
    line("origin", attributes.origin.map(|origin| format!("{origin:?}")));
    line("path", Path::of(attributes).map(|path| path.to_string()));
    line("next hop", attributes.next_hop.map(|hop| hop.to_string()));
    if let Some(MpReach::Known { next_hop, link_local, .. }) = attributes.mp_reach {
        line("next hop", Some(format!("{next_hop} {}", list(link_local.iter()))));
    }
    line("med", attributes.med.map(|med| med.to_string()));
    line("local pref", attributes.local_pref.map(|value| value.to_string()));
    line("atomic aggregate", attributes.atomic_aggregate.then(String::new));
    line("aggregator", attributes.aggregator.map(|by| format!("{} {}", by.asn, by.router_id)));
    line("communities", attributes.communities.map(|all| list(all.iter())));
    line("large communities", attributes.large_communities.map(|all| list(all.iter())));
    let extended = attributes.extended_communities;
    line("extended communities", extended.map(|all| format!("{:02x?}", all.iter().collect::<Vec<_>>())));
    line("originator", attributes.originator_id.map(|id| id.to_string()));
    line("clusters", attributes.cluster_list.map(|all| list(all.iter())));
    attributes.unknown().for_each(|unknown| line("unknown", Some(format!("{unknown:02x?}"))));
    text
}

fn update(update: &Update<'_>) -> String {
    if let Some(family) = update.end_of_rib() {
        return format!("UPDATE end of {family}\n");
    }
    let routes = |nlri: Nlri<'_>| list(nlri.paths().map(|(prefix, id)| format!("{prefix}#{}", id.0)));
    let mut text = String::from("UPDATE\n");
    update.withdrawn().for_each(|nlri| writeln!(text, "  - {}", routes(nlri)).expect("a string"));
    update.announced().for_each(|nlri| writeln!(text, "  + {}", routes(nlri)).expect("a string"));
    update.malformed.iter().for_each(|fault| writeln!(text, "  malformed: {fault}").expect("a string"));
    text + &attributes(&update.attributes)
}

/// What the session agreed on, for a neighbour as the module's documentation has it.
fn context(name: &str, router: &Open) -> Context {
    let narrow = name.contains("narrow");
    let ids = |family| !narrow && router.add_path(family).is_some_and(|entry| entry.send);
    Context {
        add_path: AddPath { ipv4: ids(Family::Ipv4), ipv6: ids(Family::Ipv6) },
        ..Context::new(!narrow && router.four_octet_asn().is_some(), name.contains("internal"))
    }
}

fn reading(name: &str, messages: &[Vec<u8>]) -> String {
    let (mut text, mut agreed) = (String::new(), Context::new(true, false));
    for bytes in messages {
        let mut framer = Framer::new();
        framer.space()[..bytes.len()].copy_from_slice(bytes);
        framer.filled(bytes.len());
        let frame = framer.next_frame(true).expect("a well-formed header").expect("a whole message");
        text += &match Message::decode(frame, agreed).expect("a message that does not reset the session") {
            Message::Open(router) => {
                agreed = context(name, &router);
                open(&router)
            }
            Message::Update(message) => update(&message),
            Message::Keepalive => "KEEPALIVE\n".into(),
            Message::RouteRefresh(refresh) => format!("ROUTE-REFRESH {:?}\n", refresh.meaning()),
            Message::Notification(notification) => format!("NOTIFICATION {notification}\n"),
        };
    }
    text
}

#[test]
fn every_captured_session_is_read_as_the_router_was_configured() {
    let directory = File::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured");
    let mut sessions = 0;
    for entry in fs::read_dir(&directory).expect("captured sessions") {
        let file = entry.expect("an entry").path();
        if file.extension().is_none_or(|extension| extension != "hex") {
            continue;
        }
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let found = reading(&name, &messages(&file));
        let expected = file.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &found).expect("the reading is written");
        }
        assert_eq!(found, fs::read_to_string(&expected).expect("a reading beside the session"), "{name}");
        sessions += 1;
    }
    assert_eq!(sessions, 8);
}
