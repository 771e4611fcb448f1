//! Every view of the page with rows in it, and an lvsd that says nothing.

use super::made_up::{MadeUp, Parts};
use super::{ROWS, pictures, views};
use crate::browser::Browser;

/// What is seen behind a link.
struct Seen {
    link: &'static str,
    /// Rows of tables.
    rows: usize,
    texts: &'static [&'static str],
    absent: &'static [&'static str],
}

const SEEN: [Seen; 10] = [
    Seen {
        link: "service/shop",
        rows: 8,
        texts: &[
            "2001:db8:64::11:3",
            "weight 10",
            "251 + 20 conn.",
            "/s",
            "its agent asks for 50%",
            "held-though-down",
            "ann depooled it: disk",
            "canary on 192.0.2.12: no answer within 1 s",
            "1010 established",
        ],
        absent: &[],
    },
    Seen {
        link: "service/mail",
        rows: 8,
        texts: &["finishing their connections: 10.64.6.9"],
        absent: &["shop1"],
    },
    Seen {
        link: "routing",
        rows: 17,
        texts: &[
            "192.0.2.12withdrawn",
            "shop has too few; withdrawn by ann: rebuild",
            "tor-a198.51.100.1Established",
            "26 prefixes",
            "BFD Up",
            "2 of IPv6: no next hop",
            "0 prefixes, writing",
            "BFD Down",
            "hold timer expired",
        ],
        absent: &[],
    },
    Seen {
        link: "routing?only=trouble",
        rows: 2,
        texts: &["192.0.2.12", "tor-c"],
        absent: &["tor-a", "192.0.2.11"],
    },
    Seen {
        link: "nodes",
        rows: 3,
        texts: &[
            "3 of 3 nodes",
            "6 routes taken, 1 refused, 5 in the kernel, 2 of others in its table",
            "10.244.0.0/16 in blocks of /26",
            "line 3: expected a comma",
            "nodes have time to tell their routes again",
            "BGPPeer lb says",
            "10.244.1.0/26 comes from worker1 and from worker2",
            "10.244.3.0/26: no such device",
            "10.244.1.0/26, 10.244.1.64/26",
            "2 taken of 3",
            "10.244.1.0/26 is refused: the block is worker1's",
            "3 stale",
            "connection refused",
        ],
        absent: &[],
    },
    Seen {
        link: "nodes?only=trouble",
        rows: 2,
        texts: &["2 of 3 nodes", "worker2AS 64512", "worker3AS 64512"],
        absent: &["worker1AS"],
    },
    Seen { link: "nodes?q=10.244.3.64", rows: 1, texts: &["worker3"], absent: &["worker1AS"] },
    Seen {
        link: "fleet",
        rows: 2,
        texts: &[
            "lb2       drained",
            "mainetcdlive",
            "14 pools, 3 services",
            "oldetcdaway",
            "connection refused",
            "prod.web: its VIP is another's",
        ],
        absent: &[],
    },
    Seen { link: "events", rows: 0, texts: &["tor-a: Established", "warn: shop: shop3: down"], absent: &[] },
    Seen { link: "events?only=trouble", rows: 0, texts: &["warn: shop: shop3: down"], absent: &["tor-a"] },
];

#[tokio::test]
async fn every_view_of_the_page_shows_its_rows_and_only_what_is_asked_for() {
    let lvsd = MadeUp::start().await;
    let browser = Browser::start().await;
    browser.resize(1280, 800).await;
    browser.open(&lvsd.home).await;
    services_have_charts_and_filters(&browser).await;
    for seen in &SEEN {
        // Away from the page, so that the link by itself is enough.
        browser.open("about:blank").await;
        browser.open(&format!("{}#/{}", lvsd.home, seen.link)).await;
        is_seen(&browser, seen).await;
        let view = seen.link.split(['/', '?']).next().unwrap();
        browser.picture(&pictures().join(format!("rows-{view}.png"))).await;
    }
    browser
        .wait("the way to a service", "document.querySelector('.events a')?.hash === '#/service/shop'")
        .await;
    a_backend_tells_why(&browser, &lvsd).await;
    changes_are_followed(&browser, &lvsd).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

async fn is_seen(browser: &Browser, seen: &Seen) {
    let count = format!("document.querySelectorAll('main tbody tr').length === {}", seen.rows);
    browser.wait(&format!("{} rows of {}", seen.rows, seen.link), &count).await;
    let main = "document.querySelector('main').textContent";
    for text in seen.texts {
        browser.wait(&format!("{text:?} of {}", seen.link), &format!("{main}.includes({text:?})")).await;
    }
    for text in seen.absent {
        let has = browser.run(&format!("return {main}.includes({text:?})")).await;
        assert_eq!(has, false, "{}: {text}", seen.link);
    }
}

async fn services_have_charts_and_filters(browser: &Browser) {
    let all = views::SERVICES.len();
    browser.wait("all services", &format!("{ROWS} === {all}")).await;
    let charts = "[...document.querySelectorAll('#services svg path')]";
    browser.wait("a chart each", &format!("{charts}.length === {all}")).await;
    let is_line = format!(
        "{charts}.every((path) => /^M0,[0-9.]+(L[0-9.]+,[0-9.]+)*L100,[0-9.]+$/.test(path.getAttribute('d')))"
    );
    browser.wait("they are lines over the whole width", &is_line).await;
    let shop = "document.querySelector('[data-service=shop]').textContent";
    for text in [
        "/s",
        "2/4",
        "out: shop2, shop3, shop4",
        "ipv4: 1 of 4 serve, 2 are needed",
        "shop5: it has no address",
    ] {
        browser.wait(text, &format!("{shop}.includes({text:?})")).await;
    }
    browser.picture(&pictures().join("rows.png")).await;
    for (only, rows) in [("trouble", "shop"), ("out", "mail,shop"), ("all", &*views::SERVICES.join(","))] {
        let select = "document.getElementById('only')";
        browser.run(&format!("{select}.value = '{only}'; {select}.dispatchEvent(new Event('change'))")).await;
        let names =
            "[...document.querySelectorAll('[data-service]')].map((row) => row.dataset.service).join()";
        browser.wait(only, &format!("{names} === '{rows}'")).await;
        let is_in_link = browser.run("return location.hash.includes('only=')").await;
        assert_eq!(is_in_link, only != "all", "a link for others");
    }
}

async fn a_backend_tells_why(browser: &Browser, lvsd: &MadeUp) {
    browser.open(&format!("{}#/service/shop", lvsd.home)).await;
    browser.wait("the backend", "document.querySelector('[data-backend=shop1] button')").await;
    browser.run("document.querySelector('[data-backend=shop1] button').click()").await;
    let why = "document.querySelector('section')?.textContent";
    for text in
        ["On the link, by eth0", "answers in 2.5 ms", "certificate until 2030-03-17", "was refused before"]
    {
        browser.wait(text, &format!("{why}?.includes({text:?})")).await;
    }
    browser.wait("the latencies", "document.querySelector('section svg path')").await;
    browser.wait("the rate", "document.querySelector('h2 svg path')").await;
    browser.picture(&pictures().join("rows-why.png")).await;
}

async fn changes_are_followed(browser: &Browser, lvsd: &MadeUp) {
    browser.run("location.hash = '#/routing'").await;
    browser.wait("the routers", "document.querySelectorAll('main tbody tr').length === 17").await;
    let down = serde_json::to_value(views::peer("tor-a", "Idle")).unwrap();
    lvsd.tell(Parts::from([("peer/tor-a".into(), down)]), &["peer/tor-c"]);
    let main = "document.querySelector('main').textContent";
    browser
        .wait("a session that ends", &format!("{main}.includes('tor-aIdle') && !{main}.includes('tor-c')"))
        .await;
    browser.run("location.hash = '#/services'").await;
    lvsd.tell(Parts::new(), &["service/wiki", "traffic/wiki"]);
    browser.wait("a service less", &format!("{ROWS} === {}", views::SERVICES.len() - 1)).await;
}

#[tokio::test]
async fn an_lvsd_that_is_silent_is_said_to_be_gone_and_is_tried_until_it_answers() {
    let lvsd = MadeUp::start().await;
    let browser = Browser::start().await;
    browser.open(&lvsd.home).await;
    let all = format!("{ROWS} === {}", views::SERVICES.len());
    browser.wait("all services", &all).await;
    let state = "document.getElementById('state').textContent";
    browser.wait("it is live", &format!("{state} === 'live, running'")).await;
    assert_eq!(browser.run("return document.getElementById('notices').textContent").await, "");

    lvsd.is_silent(true);
    let notice = "document.getElementById('notices').textContent.startsWith('No word from lvsd since ')";
    browser.wait("no word", &format!("{notice} && {state} === 'no connection'")).await;
    browser
        .wait("what was known last", &format!("{all} && document.documentElement.matches('.stale')"))
        .await;

    lvsd.is_silent(false);
    browser.wait("it is live again", &format!("{state} === 'live, running' && !({notice})")).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}
