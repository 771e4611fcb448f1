//! Writes a recording beside the engine: on a thread of its own, so that no disk, slow or full, delays a verdict.

use super::Line;
use super::digest::Digester;
use crate::core::{Action, Event, Timestamp};
use crate::privileges;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Lines that may wait for the disk. A pool of hundreds that fails at once fits; who waits longer holds up the
/// memory of the daemon.
const QUEUE: usize = 1024;

/// Bytes of a recording after which no more is written: what is forgotten in a unit file must not fill the disk.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// How long a stop waits for the last lines. A disk that hangs must not hold the exit.
const FINISH: Duration = Duration::from_secs(2);

/// The engine's end of a recording.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    /// None once the recording has ended.
    lines: Option<SyncSender<Line>>,
    written: oneshot::Receiver<()>,
    digester: Digester,
    number: u64,
}

impl Recorder {
    /// Begins a recording; one that is there already is continued. Only its owner may read it.
    ///
    /// # Errors
    /// When the file cannot be opened, or no thread be had.
    pub fn start(path: &Path) -> io::Result<Self> {
        let (file, length) = open(path)?;
        let (lines, receiver) = sync_channel(QUEUE);
        let (done, written) = oneshot::channel();
        let name = path.to_path_buf();
        std::thread::Builder::new().name("recorder".into()).spawn(move || {
            privileges::give_way();
            match write(BufWriter::new(file), length, MAX_BYTES, &receiver) {
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(file = %name.display(), %error, "recording has ended; lvsd goes on");
                }
            }
            // Who waits for it may have gone.
            let _gone = done.send(());
        })?;
        Ok(Self { path: path.into(), lines: Some(lines), written, digester: Digester::default(), number: 0 })
    }

    /// Records an event, before it is acted on: a step that fails is the one that a recording is for.
    pub fn event(&mut self, event: &Event, at: Timestamp) {
        if self.lines.is_some() {
            self.number += 1;
            self.send(Line::Event { number: self.number, at, what: event.clone() });
        }
    }

    /// Records what came of the last event.
    pub fn did(&mut self, actions: &[Action]) {
        if self.lines.is_some() {
            let digest = self.digester.digest(actions);
            self.send(Line::Did { number: self.number, digest });
        }
    }

    /// Never waits. A line that does not find room ends the recording, as one with gaps is none.
    fn send(&mut self, line: Line) {
        let Some(lines) = &self.lines else { return };
        match lines.try_send(line) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => tracing::error!(
                file = %self.path.display(),
                "recording has ended: the disk is slower than the events; lvsd goes on"
            ),
            // The writer has said why.
            Err(TrySendError::Disconnected(_)) => {}
        }
        self.lines = None;
    }

    /// Ends the recording; waits a while until everything is written.
    pub async fn finish(mut self) {
        self.lines = None;
        if tokio::time::timeout(FINISH, self.written).await.is_err() {
            tracing::error!(file = %self.path.display(), "the end of the recording could not be written in time");
        }
    }
}

/// Opens a recording for more. A line that a crash has cut off is ended, so that the next one begins on its own.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, length))
}

/// Writes lines until there are no more. What waits for nothing is on its way to the disk: a crash loses little.
fn write(file: impl Write, length: u64, limit: u64, lines: &Receiver<Line>) -> io::Result<()> {
    let mut file = Counted { file, length };
    Line::begin().write(&mut file)?;
    file.flush()?;
    while let Ok(line) = lines.recv() {
        line.write(&mut file)?;
        while let Ok(line) = lines.try_recv() {
            line.write(&mut file)?;
        }
        file.flush()?;
        if file.length >= limit {
            return Err(io::Error::other(format!("it has grown to {limit} bytes")));
        }
    }
    Ok(())
}

struct Counted<W> {
    file: W,
    length: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn event(number: u64) -> Line {
        Line::Event { number, at: Timestamp::from_micros(number), what: Event::Tick }
    }

    #[tokio::test]
    async fn a_recording_goes_on_in_the_same_file_also_after_a_line_that_was_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lvsd.rec");
        let mut recorder = Recorder::start(&path).unwrap();
        recorder.event(&Event::Tick, Timestamp::from_micros(7));
        recorder.did(&[]);
        recorder.finish().await;
        let first = std::fs::read_to_string(&path).unwrap();
        assert_eq!(first.lines().count(), 3, "{first}");
        std::fs::write(&path, format!("{first}{{\"event\":{{\"num")).unwrap();
        Recorder::start(&path).unwrap().finish().await;
        let both = std::fs::read_to_string(&path).unwrap();
        let begin = first.lines().next().unwrap();
        assert_eq!(both, format!("{first}{{\"event\":{{\"num\n{begin}\n"));
    }

    /// A disk of which a test decides how much room it has.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<Vec<u8>>>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut content = self.0.lock().unwrap();
            if content.len() + bytes.len() > self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            content.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_or_a_full_measure_ends_the_recording_with_its_reason() {
        let outcome = |room: usize, limit: u64| {
            let (sender, receiver) = sync_channel(QUEUE);
            (1..100).for_each(|number| sender.send(event(number)).unwrap());
            drop(sender);
            write(Disk(Arc::default(), room), 0, limit, &receiver).map_err(|error| error.to_string())
        };
        assert_eq!(outcome(100_000, MAX_BYTES), Ok(()));
        assert!(outcome(200, MAX_BYTES).unwrap_err().contains("no storage space"));
        assert_eq!(outcome(100_000, 200), Err("it has grown to 200 bytes".into()));
    }

    #[tokio::test]
    async fn a_disk_that_hangs_ends_the_recording_and_holds_up_nobody() {
        let (lines, receiver) = sync_channel(QUEUE);
        let (_hanging, written) = oneshot::channel();
        let (path, digester) = (PathBuf::from("/dev/hangs"), Digester::default());
        let mut recorder = Recorder { path, lines: Some(lines), written, digester, number: 0 };
        for _ in 0..QUEUE + 10 {
            recorder.event(&Event::Tick, Timestamp::default());
        }
        assert!(recorder.lines.is_none(), "it has said that it ends");
        assert_eq!(receiver.try_iter().count(), QUEUE, "what had found room is still written");
        let begin = std::time::Instant::now();
        recorder.finish().await;
        assert!(begin.elapsed() < FINISH * 3);
    }
}
