//! The flight recorder of `whywait record --ring`: the newest records in memory, written to a file when something happens.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use signal_hook::consts::SIGUSR1;

use crate::{
    live::{Armed, Snapshot, Status, Trigger},
    observe::{Command, LivePlan, LiveRecord, live},
    outlet::Outlets,
    platform::{
        signals::StopFlag,
        target::{Resolved, TargetSpec},
    },
    printable::printable,
    probe::Options,
    recording::{RingPlan, numbered},
};

/// How often triggers are looked at, a second.
const LOOKS: u32 = 4;

/// What to hold, and when to write it.
pub struct Flight {
    /// What is held.
    pub ring: RingPlan,
    /// What makes it be written.
    pub triggers: Vec<Trigger>,
    /// The file; the numbers of those that are written come behind its name.
    pub path: PathBuf,
    /// How long to watch; `None`: until stopped, or until the target ends.
    pub duration: Option<Duration>,
    /// Who else hears of it.
    pub outlets: Option<Outlets>,
}

/// Watches, and writes a file whenever a trigger is met or the process gets SIGUSR1.
///
/// # Errors
/// When attaching fails, or the signal cannot be caught.
pub fn run(
    flight: Flight,
    target: Resolved,
    (spec, options): (TargetSpec, Options),
    stop: &StopFlag,
) -> Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    let caught = signal_hook::flag::register(SIGUSR1, Arc::clone(&asked)).context("cannot catch SIGUSR1")?;
    let (commands, taken) = mpsc::channel();
    let (_tell, told) = mpsc::channel();
    let mut watch = Watch {
        armed: flight.triggers.into_iter().map(Armed::new).collect(),
        asked,
        path: flight.path,
        number: 0,
        length: flight.ring.length,
        written: None,
        commands,
        began: Instant::now(),
        duration: flight.duration,
        stop: stop.clone(),
    };
    let name = printable(&target.command).into_owned();
    let pid = target.pids.first().map_or(0, |pid| pid.0);
    let plan = LivePlan {
        spec,
        options,
        follow: None,
        fps: LOOKS,
        next: None,
        told,
        publish: Box::new(move |snapshot| watch.look(&snapshot)),
        attached: Box::new(move || eprintln!("attached to {name} ({pid})")),
        outlets: flight.outlets,
        record: LiveRecord {
            commands: taken,
            ring: Some(flight.ring),
            told: Box::new(|result| match result {
                Ok(path) => eprintln!("wrote {}", path.display()),
                Err(error) => eprintln!("whywait: {error}"),
            }),
        },
    };
    let watched = live(target, plan, stop);
    signal_hook::low_level::unregister(caught);
    Ok(watched?)
}

/// What is waited for.
struct Watch {
    armed: Vec<Armed>,
    asked: Arc<AtomicBool>,
    path: PathBuf,
    number: u32,
    length: Duration,
    written: Option<Instant>,
    commands: mpsc::Sender<Command>,
    began: Instant,
    duration: Option<Duration>,
    stop: StopFlag,
}

impl Watch {
    fn look(&mut self, snapshot: &Snapshot) {
        let mut reasons: Vec<String> =
            self.armed.iter_mut().filter_map(|armed| armed.look(snapshot)).collect();
        // What has just been written would be written again.
        if self.written.is_some_and(|written| written.elapsed() < self.length) {
            reasons.clear();
        }
        if self.asked.swap(false, Ordering::Relaxed) {
            reasons.push("SIGUSR1".to_owned());
        }
        if !reasons.is_empty() {
            let path = self.next_path();
            eprintln!("{}; writing {}", printable(&reasons.join("; ")), path.display());
            // The run outlives this.
            let _over = self.commands.send(Command::Write(path));
            self.written = Some(Instant::now());
        }
        let over = self.duration.is_some_and(|duration| self.began.elapsed() >= duration);
        if over || snapshot.status == Status::Ended {
            self.stop.set();
        }
    }

    /// A file that there is not yet.
    fn next_path(&mut self) -> PathBuf {
        loop {
            self.number += 1;
            let path = numbered(&self.path, self.number);
            if !path.exists() {
                return path;
            }
        }
    }
}

/// Fails early where no file can be written beside the named one.
///
/// # Errors
/// When its folder does not exist; which.
pub fn check_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(());
    }
    let what = format!("there is no folder {}: name a file in one that there is", folder.display());
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}
