//! What systemd hears of lvsd, and tells it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::configuration::{Configuration, Service};
use lab::host::Host;
use lab::lvsd::Lvsd;
use lab::network::{FIRST, Lab};
use lab::own_time::Stopwatch;
use lab::site::{LIMIT, web};
use lab::table;
use lab::wait::wait_until;
use lab::world::World;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// After this without WATCHDOG=1 systemd would kill it.
const WATCHDOG: Duration = Duration::from_secs(6);

const POOL: &str = "pool.json";

pub(crate) fn systemd_hears_ready_when_it_serves_then_watchdog_and_stopping(world: &World) -> Result<()> {
    let lab = Lab::build_without_captures(world)?;
    let _servers = lab.start_servers()?;
    let host = &lab.balancers[0];
    let manager = Manager::of(host)?;
    let service = Service { pool_file: Some(POOL), ..Service::new("web", &FIRST) };
    let configuration =
        Configuration { resync_interval: "1h", services: vec![service], ..Configuration::with_web(64600) };
    let pool = host.files().join(POOL);
    mkfifo(&pool, Mode::S_IRWXU)?;
    let mut lvsd = Lvsd::new(host, manager.environment());
    lvsd.configure(&configuration)?;
    lvsd.start_again()?;

    // Somebody holds the pool file and says nothing: lvsd waits, and is not ready.
    let mut held = None;
    wait_until("lvsd reads its pool file", LIMIT, || {
        held = File::options().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pool).ok();
        held.is_some()
    })?;
    wait_until("lvsd can be asked", LIMIT, || lvsd.ctl_json(&["status"]).is_ok())?;
    ensure!(lvsd.ctl_json(&["status"])?["ready"] == false, "lvsd is ready before its pool is known");
    ensure!(manager.heard_nothing()?, "systemd heard something before the pool is known");
    ensure!(table::whole(host)?.is_empty(), "there is a service in the kernel before its pool is known");
    let text = r#"{"rs1": {"weight": 10}, "rs2": {"weight": 10}}"#;
    replace(&pool, text)?;
    held.context("the pool file")?.write_all(text.as_bytes())?;
    manager.hear("READY=1")?;
    let servers = || table::weights(host, web(&FIRST)[0]).map(|weights| weights.len());
    ensure!(servers()? == 2, "ready with {} servers in the kernel", servers()?);
    let status = lvsd.ctl_json(&["status"])?;
    let announced = |vip: &serde_json::Value| vip["announced"] == true;
    ensure!(
        status["vips"].as_array().is_some_and(|vips| vips.len() == 2 && vips.iter().all(announced)),
        "ready and not announced: {}",
        status["vips"]
    );

    for _ in 0..3 {
        let waited = Stopwatch::start();
        manager.hear("WATCHDOG=1")?;
        ensure!(waited.elapsed() < WATCHDOG, "no WATCHDOG=1 for {:?}", waited.elapsed());
    }
    replace(&pool, r#"{"rs1": {"weight": 10}, "rs2": {"weight": 10}, "rs3": {}}"#)?;
    wait_until("the pool file is followed", LIMIT, || servers().is_ok_and(|count| count == 3))?;
    // Whoever hears of the stop late still finds it running.
    lvsd.configure(&Configuration { shutdown_delay: "10s", ..Configuration::with_web(64600).and_second() })?;
    lvsd.reload()?;
    wait_until("SIGHUP reloads", LIMIT, || table::whole(host).is_ok_and(|table| table.len() == 4))?;

    lvsd.ask_to_stop()?;
    manager.hear("STOPPING=1")?;
    // It goes on for the shutdown delay.
    ensure!(lvsd.is_running(), "it had ended when it said that it stops");
    lvsd.wait_stopped(LIMIT)?;
    ensure!(table::whole(host)?.len() == 4, "the kernel does not go on serving");
    logs_are_json(host)
}

fn replace(pool: &Path, text: &str) -> Result<()> {
    let new = pool.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, pool)?)
}

fn logs_are_json(host: &Host) -> Result<()> {
    let log = fs::read_to_string(host.log("lvsd"))?;
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).with_context(|| format!("a line that is no JSON: {line}"))?;
        let has = |field: &str| line[field].is_string();
        ensure!(["timestamp", "level", "message"].into_iter().all(has), "a field is missing: {line}");
        let is_decision = line["target"] == "lvsd::engine::teller";
        ensure!(!is_decision || (has("reason") && line["event"].is_u64()), "no reason or no event: {line}");
    }
    ensure!(log.lines().count() > 3, "hardly a line in the log: {log}");
    Ok(())
}

/// The end of systemd.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn of(host: &Host) -> Result<Self> {
        let path = host.files().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path: path.to_string_lossy().into_owned() })
    }

    fn environment(&self) -> Vec<(String, String)> {
        let limit = WATCHDOG.as_micros().to_string();
        vec![("NOTIFY_SOCKET".to_owned(), self.path.clone()), ("WATCHDOG_USEC".to_owned(), limit)]
    }

    /// Waits for it; what comes before is let pass.
    fn hear(&self, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut heard = Vec::new();
        let mut bytes = [0; 1024];
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            self.socket.set_read_timeout(Some(left))?;
            let Ok(length) = self.socket.recv(&mut bytes) else { break };
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if message.lines().any(|line| line == wanted) {
                return Ok(());
            }
            heard.push(message);
        }
        anyhow::bail!("systemd waited for {wanted} in vain and heard {heard:?}")
    }

    fn heard_nothing(&self) -> Result<bool> {
        self.socket.set_nonblocking(true)?;
        let nothing = self.socket.recv(&mut [0; 1024]).is_err();
        self.socket.set_nonblocking(false)?;
        Ok(nothing)
    }
}
