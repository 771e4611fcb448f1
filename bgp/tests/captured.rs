//! What routers were captured saying, and what this crate reads in it.
//!
//! The readings beside the sessions were compared with the routers' configurations; `UPDATE_EXPECTED=1` writes them anew.

mod capture;

use std::{fmt::Write as _, fs, path::Path as File};

use bgp::{
    Path,
    wire::{Attributes, Capability, Context, Framer, Message, MpReach, Nlri, Open, Update},
};

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

fn reading(name: &str, messages: &[Vec<u8>]) -> String {
    let (mut text, mut agreed) = (String::new(), Context::new(true, false));
    for bytes in messages {
        let mut framer = Framer::new();
        framer.space()[..bytes.len()].copy_from_slice(bytes);
        framer.filled(bytes.len());
        let frame = framer.next_frame(true).expect("a well-formed header").expect("a whole message");
        text += &match Message::decode(frame, agreed).expect("a message that does not reset the session") {
            Message::Open(router) => {
                agreed = capture::agreed(name, bytes).expect("an OPEN");
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
    let sessions = capture::sessions();
    for (name, messages) in &sessions {
        let found = reading(name, messages);
        let expected = directory.join(format!("{name}.expected"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &found).expect("the reading is written");
        }
        assert_eq!(found, fs::read_to_string(&expected).expect("a reading beside the session"), "{name}");
    }
    assert_eq!(sessions.len(), 8);
}
