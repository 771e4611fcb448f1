//! Inside a guest: a reader who types every block of the documentation, and finds below each command what the page shows.

use crate::elsewhere;
use anyhow::{Context, Result, bail, ensure};
use lab::pages::{Block, Page};
use lab::steps::{self, Step};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest that a page's state may take to come about, such as a check that is to fail three times.
const LIMIT: Duration = Duration::from_secs(60);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What stands for the reader's own words on the pages' site.
const OWN: &[(&str, &str)] = &[
    ("HOST", "rs1"),
    ("SERVICE", "web"),
    ("PEER", "r1-v4"),
    ("VIP", "192.0.2.10"),
    ("PREFIX", "203.0.113.0/24"),
    ("FILE", "/etc/lvsd/lvsd.toml"),
    ("A,B", "rs1,rs2"),
    ("lvsd_VERSION_ARCHITECTURE.deb", "lvsd_*.deb"),
    ("./lvsd_VERSION_ARCHITECTURE.deb", "./lvsd_*.deb"),
];

/// Commands that only look: what they show may take its time to come about.
const LOOKS: &[&str] = &[
    "lvsctl status",
    "lvsctl why",
    "lvsctl bgp",
    "lvsctl nodes",
    "lvsctl routes",
    "lvsctl fleet",
    "lvsctl diff",
    "lvsctl doctor",
    "lvsctl events",
    "curl",
    "lvsctl --",
    "lvsctl -o",
    "grep",
    "journalctl",
];

#[derive(Debug)]
pub(crate) struct Reader {
    pages: Vec<Page>,
    /// Blocks that nobody has typed yet.
    left: Vec<(String, Block)>,
    /// Where the reader is.
    folder: PathBuf,
    /// The namespace of the host that the reader is on; `None` on the balancer.
    host: Option<String>,
    /// What stands for further words of the pages.
    own: Vec<(&'static str, String)>,
    /// What was not as a page says.
    wrong: Vec<String>,
}

impl Reader {
    /// Who reads these pages, in `/root`.
    pub(crate) fn new(pages: Vec<Page>) -> Self {
        let blocks =
            pages.iter().flat_map(|page| page.blocks().into_iter().map(|block| (page.path.clone(), block)));
        let left = blocks.filter(|(_, block)| block.language.is_none()).collect();
        Self { pages, left, folder: "/root".into(), host: None, own: Vec::new(), wrong: Vec::new() }
    }

    /// Goes to a folder of a host (the name of its namespace), or of the balancer.
    pub(crate) fn go_to(&mut self, host: Option<&str>, folder: &str) {
        (self.host, self.folder) = (host.map(ToOwned::to_owned), folder.into());
    }

    /// What is typed for a word of the pages, beside [`OWN`].
    pub(crate) fn means(&mut self, word: &'static str, own: &str) {
        self.own.retain(|(known, _)| *known != word);
        self.own.push((word, own.to_owned()));
    }

    /// The first fenced block of a language in a page, from a line with these words on.
    pub(crate) fn fenced(&self, page: &str, language: &str, after: &str) -> Result<String> {
        let page =
            self.pages.iter().find(|known| known.path == page).with_context(|| format!("no page {page}"))?;
        let from =
            page.text.lines().position(|line| line.contains(after)).context("a line with these words")?;
        let mut blocks = page.blocks().into_iter();
        let block = blocks.find(|block| block.line > from && block.language.as_deref() == Some(language));
        Ok(block.with_context(|| format!("no {language} in {}", page.path))?.text)
    }

    /// Types the block of a page that begins so; each command is to exit with 0.
    pub(crate) fn types(&mut self, page: &str, first: &str) -> Result<()> {
        self.types_but(page, first, &[])
    }

    /// The same, but for commands that begin so and are to exit otherwise.
    pub(crate) fn types_but(&mut self, page: &str, first: &str, exits: &[(&str, i32)]) -> Result<()> {
        let block = self.take(page, first)?;
        for step in steps::of(&block) {
            let wanted =
                exits.iter().find(|(begin, _)| step.command.starts_with(begin)).map(|(_, code)| *code);
            self.notes(page, &step, |reader| reader.does(&step, wanted));
        }
        Ok(())
    }

    /// Holds a block without commands against what a command prints, and its exit.
    pub(crate) fn sees(&mut self, page: &str, first: &str, command: &str, exit: i32) -> Result<()> {
        let block = self.take(page, first)?;
        let shown = block.text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect();
        let step = Step { line: block.line, command: command.to_owned(), shown };
        self.notes(page, &step, |reader| reader.looks(&step, &[exit], Instant::now() + LIMIT));
        Ok(())
    }

    /// Goes on with the next chapter after one that could not be read to its end.
    pub(crate) fn closes(&mut self, chapter: &str, done: Result<()>) {
        self.wrong.extend(done.err().map(|error| format!("the chapter {chapter}: {error:#}")));
    }

    /// Goes on after what is wrong: all of it is told at the end.
    fn notes(&mut self, page: &str, step: &Step, done: impl FnOnce(&Self) -> Result<()>) {
        if let Err(error) = done(self) {
            let told = format!("{page}:{}: {error:#}", step.line);
            println!("{told}");
            self.wrong.push(told);
        }
    }

    /// An error with everything that was wrong, and with every block that nobody has typed.
    pub(crate) fn has_read_everything(mut self) -> Result<()> {
        self.left.retain(|(page, block)| !elsewhere::has(page, block.first()));
        let left = self.left.iter().map(|(page, block)| {
            format!("{page}:{}: a block that no test runs: {}", block.line, block.first())
        });
        self.wrong.extend(left);
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        Ok(())
    }

    fn take(&mut self, page: &str, first: &str) -> Result<Block> {
        let is_it = |(path, block): &(String, Block)| path == page && block.first().starts_with(first);
        let index =
            self.left.iter().position(is_it).with_context(|| format!("{page} has no block {first:?}"))?;
        Ok(self.left.remove(index).1)
    }

    fn does(&self, step: &Step, wanted: Option<i32>) -> Result<()> {
        // In a copy of the project (crate::tools looks at those), and options of the commands above (documented_commands.rs).
        if ["make ", "cargo ", "…", "  …"].iter().any(|begin| step.command.starts_with(begin)) {
            return Ok(());
        }
        let wanted = wanted.map_or_else(|| usual_exits(step), |code| vec![code]);
        let is_look = LOOKS.iter().any(|begin| step.command.starts_with(begin));
        let deadline = if is_look { Instant::now() + LIMIT } else { Instant::now() };
        self.looks(step, &wanted, deadline)
    }

    /// Runs a command until it exits as wanted with what is shown.
    fn looks(&self, step: &Step, wanted: &[i32], deadline: Instant) -> Result<()> {
        let command = self.filled_in(&step.command);
        println!("{}$ {command}", self.host.as_deref().unwrap_or_default());
        loop {
            let (exit, printed) = self.run(&command)?;
            let missing = steps::missing(&step.shown, &printed);
            if missing.is_none() && wanted.contains(&exit) {
                print!("{printed}");
                return Ok(());
            }
            if Instant::now() > deadline {
                let missing = missing.map_or_else(String::new, |line| format!(", without the line\n{line}"));
                bail!("`{command}` exits with {exit} (wanted: {wanted:?}){missing}\nIt printed:\n{printed}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A command of a page with words of the reader's own.
    fn filled_in(&self, command: &str) -> String {
        let own = |word: &str| {
            let further = self.own.iter().find(|(name, _)| *name == word).map(|(_, own)| own.as_str());
            let usual = || OWN.iter().find(|(name, _)| *name == word).map(|(_, own)| *own);
            further.or_else(usual).unwrap_or(word).to_owned()
        };
        let words = command.replace(['[', ']'], "");
        let is_shell = command.contains('\'') || command.contains('"');
        let words = if is_shell { command } else { &words };
        words.split(' ').map(own).collect::<Vec<_>>().join(" ")
    }

    fn run(&self, command: &str) -> Result<(i32, String)> {
        // What does not end by itself gets its Ctrl-C, a daemon once it has come up.
        let is_daemon = ["--record", "--dry-run --config"].iter().any(|option| command.contains(option));
        let endless = is_daemon || ["--follow", "--watch"].iter().any(|option| command.contains(option));
        let limit = match (is_daemon, endless) {
            (true, _) => "20",
            (_, true) => "3",
            (false, false) => "300",
        };
        let mut shell = match &self.host {
            Some(host) => {
                let mut shell = Command::new("ip");
                shell.args(["netns", "exec", host, "timeout"]);
                shell
            }
            None => Command::new("timeout"),
        };
        shell.args(["--preserve-status", "--signal=INT", limit, "bash", "-c"]);
        // Whoever is asked says yes.
        let replaced =
            if endless { format!("exec {command} 2>&1") } else { format!("exec 2>&1 <<<y; {command}") };
        shell.arg(replaced).current_dir(&self.folder);
        shell.envs([("DEBIAN_FRONTEND", "noninteractive"), ("LC_ALL", "C.UTF-8"), ("HOME", "/root")]);
        let output = shell.output().context("start bash")?;
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// How a command may exit of which nothing else is said.
fn usual_exits(step: &Step) -> Vec<i32> {
    let last = step.command.rsplit('|').next().unwrap_or_default().trim_start();
    // There may be nothing to be found.
    let may_find_nothing = last.starts_with("grep ") && step.shown.is_empty();
    let is_doctor = last.starts_with("lvsctl doctor");
    match () {
        () if may_find_nothing => vec![0, 1],
        () if is_doctor => vec![0, 8],
        () => vec![0],
    }
}
