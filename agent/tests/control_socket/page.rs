//! The page, as a person sees it.

mod made_up;
mod rows;
mod views;

use crate::browser::Browser;
use crate::daemon::{Daemon, out};
use std::path::PathBuf;
use tracing_subscriber::layer::SubscriberExt;

const SERVICES: usize = 500;

/// Keys that have no letter (W3C WebDriver, section 17.4.2).
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// Services with four backends each, on two VIPs; each service has hosts of its own.
fn configuration() -> String {
    let service = |n: usize| {
        let (high, low) = (n / 250, n % 250 + 1);
        let backend =
            |b: usize| format!("{{ host = \"cp{n:03}{b}\", addresses = [\"10.{}.{high}.{low}\"] }}", 64 + b);
        let backends: Vec<String> = (0..4).map(backend).collect();
        format!(
            "[service.app-{n:03}]\nvips = [\"198.18.{high}.{low}\"]\nport = 443\nchecks = []\nbackends = [{}]\n",
            backends.join(", ")
        )
    };
    (0..SERVICES).map(service).collect()
}

/// Where pictures are kept.
fn pictures() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

const ROWS: &str = "document.querySelectorAll('[data-service]').length";

#[tokio::test]
async fn the_page_shows_500_services_follows_changes_and_says_when_lvsd_is_gone() {
    let mut daemon = Daemon::start_with(&configuration()).await;
    let chronicle = daemon.log.chronicle.clone();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(chronicle));
    let browser = Browser::start().await;
    browser.resize(1280, 800).await;
    let home = format!("http://{}/", daemon.http);
    // Those of the browser's own first page.
    drop(browser.requests().await);
    browser.open(&home).await;
    it_is_quick(&browser, &daemon, &home).await;
    out(&daemon.lvsctl(&["depool", "cp0421", "--reason", "disk"]).await);
    browser.wait("the depool", &format!("{ROW}.includes('out: cp0421')")).await;

    browser.run("document.querySelector('[data-service=app-042]').scrollIntoView({block: 'center'})").await;
    browser.picture(&pictures().join("services.png")).await;

    a_person_finds_a_service_by_keyboard(&browser).await;
    out(&daemon.lvsctl(&["pool", "cp0421"]).await);
    browser
        .wait("the pool", "document.querySelector('[data-backend=cp0421]').textContent.includes('pooled')")
        .await;

    tracing::warn!(service = "app-007", "app-007: cp0071: down: <b>refused</b>");
    browser.keys("5").await;
    let events = "document.querySelector('.events')?.textContent ?? ''";
    browser.wait("the event as text", &format!("({events}).includes('<b>refused</b>')")).await;
    browser.picture(&pictures().join("events.png")).await;

    it_fits_a_phone_and_the_dark(&browser, &home).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    let (inside, outside): (Vec<_>, Vec<_>) =
        browser.requests().await.into_iter().partition(|url| url.starts_with(&home));
    assert!(inside.iter().any(|url| url.ends_with("/live")) && outside.is_empty(), "{inside:?} {outside:?}");

    daemon.stop();
    browser.wait("lvsd is gone", "document.body.innerText.includes('No word from lvsd since')").await;
    assert_eq!(browser.run(&format!("return {ROWS}")).await, SERVICES, "what was known last is still there");
    browser.picture(&pictures().join("gone.png")).await;
    browser.close().await;
}

/// Takes the time from an event's arrival to the laid out page, by the browser's own clock.
const STOPWATCH: &str = "
    window.took = {};
    const add = EventSource.prototype.addEventListener;
    EventSource.prototype.addEventListener = function (name, handle) {
      return add.call(this, name, (event) => {
        const begin = performance.now();
        handle(event);
        document.body.offsetHeight;
        (window.took[name] ??= []).push(performance.now() - begin);
      });
    };";

/// Milliseconds that a page may take: a person waits for no more than a second.
const QUICK: f64 = 1000.0;

const ROW: &str = "document.querySelector('[data-service=app-042]').textContent";

/// Without what the machine does beside: the page's own work is measured, and of several times the middle one counts.
async fn it_is_quick(browser: &Browser, daemon: &Daemon, home: &str) {
    browser.before_each_page(STOPWATCH).await;
    let (mut painted, mut drawn) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        browser.open(home).await;
        browser.wait("500 services", &format!("{ROWS} === {SERVICES} && window.took.all")).await;
        let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
        browser.wait("the first paint", paint).await;
        let answered = "performance.getEntriesByType('navigation')[0].responseEnd";
        painted.push(browser.run(&format!("return {paint} - {answered}")).await.as_f64().unwrap());
        drawn.push(browser.run("return window.took.all[0]").await.as_f64().unwrap());
    }
    let mut followed = Vec::new();
    for at in 0..6 {
        let (word, is_out) = if at % 2 == 0 { ("depool", true) } else { ("pool", false) };
        out(&daemon.lvsctl(&[word, "cp0421"]).await);
        browser.wait(word, &format!("{ROW}.includes('out: cp0421') === {is_out}")).await;
        followed.push(browser.run("return window.took.some.at(-1)").await.as_f64().unwrap());
    }
    for (what, took) in [("first paint", painted), ("500 services", drawn), ("a change", followed)] {
        println!("{what}: {took:.1?} ms");
        assert!(median(took) < QUICK, "{what} took the page more than {QUICK} ms");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn a_person_finds_a_service_by_keyboard(browser: &Browser) {
    browser.keys("/").await;
    browser.keys("cp0421").await;
    browser.wait("one service", &format!("{ROWS} === 1")).await;
    browser.wait("a link for others", "location.hash === '#/services?q=cp0421'").await;
    browser.keys(ENTER).await;
    let backend = "document.querySelector('[data-backend=cp0421]')?.textContent";
    browser.wait("its page", &format!("{backend}?.includes('depooled')")).await;
    browser.run("document.querySelector('[data-backend=cp0421] button').click()").await;
    let section = "document.querySelector('section')?.textContent";
    browser.wait("why", &format!("{section}?.includes('disk')")).await;
    browser.picture(&pictures().join("service.png")).await;
    browser.keys(ESCAPE).await;
    browser.wait("the list again", &format!("{ROWS} === {SERVICES}")).await;
    browser.run("location.hash = '#/service/app-042'").await;
    browser.wait("its page by a link", backend).await;
}

async fn it_fits_a_phone_and_the_dark(browser: &Browser, home: &str) {
    browser.resize(390, 800).await;
    for view in ["services", "service/app-042", "routing", "nodes", "fleet", "events"] {
        browser.run(&format!("location.hash = '#/{view}'")).await;
        let drawn =
            format!("document.querySelector('main').dataset.view === '{}'", view.split('/').next().unwrap());
        browser.wait(view, &drawn).await;
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        browser.wait(&format!("{view} is no wider than a phone"), fits).await;
    }
    browser.run("location.hash = '#/services'").await;
    browser.wait("the list", &format!("{ROWS} === {SERVICES}")).await;
    browser.picture(&pictures().join("phone.png")).await;
    browser.resize(1280, 800).await;
    browser
        .run("document.documentElement.dataset.theme = 'light'; document.getElementById('theme').click()")
        .await;
    let is_dark = "getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 27)'";
    browser.wait("the dark", is_dark).await;
    browser.picture(&pictures().join("dark.png")).await;
    // It is kept for the next time.
    browser.open(home).await;
    browser.wait("the dark again", "document.documentElement.dataset.theme === 'dark'").await;
    browser.wait("500 services again", &format!("{ROWS} === {SERVICES}")).await;
}

#[tokio::test]
async fn the_page_is_for_browsers_and_its_files_are_guarded() {
    let daemon = Daemon::start().await;
    assert!(daemon.get("/").await.contains("/metrics  for Prometheus"));
    let file = daemon.get("/page/main.js").await;
    assert!(file.contains("content-type: text/javascript"), "{file}");
    assert!(file.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{file}");
    assert!(daemon.get("/page/..%2Fpage.rs").await.starts_with("HTTP/1.1 404"));
    assert!(daemon.get("/live/why/rs9").await.starts_with("HTTP/1.1 404"));
}

/// Every path of the HTTP server.
const PATHS: [&str; 12] = [
    "/",
    "/page/main.js",
    "/live",
    "/live/why/rs1",
    "/metrics",
    "/healthz",
    "/readyz",
    "/pools",
    "/pools/web",
    "/pools/web/",
    "/pools/web/rs1",
    "/alerts",
];

#[tokio::test]
async fn nothing_can_be_changed_over_http() {
    let daemon = Daemon::start().await;
    let before = out(&daemon.lvsctl(&["status", "-o", "json"]).await);
    for path in PATHS {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = daemon.request(method, path).await;
            assert!(answer.starts_with("HTTP/1.1 405 "), "{method} {path}: {answer}");
            assert!(answer.contains("allow: GET,HEAD"), "{method} {path}: {answer}");
        }
    }
    assert_eq!(out(&daemon.lvsctl(&["status", "-o", "json"]).await), before);
}
