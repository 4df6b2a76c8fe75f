//! A recording that is played for a screen: moves the reel to where the player wants to be, and hands snapshots over.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{
    reel::Reel,
    replay::ReplayError,
    survey::{self, Shared, look},
};
use crate::{
    clock::RequestId,
    live::{Cursor, Kept, Said, Snapshot},
    platform::signals::StopFlag,
    playback::{Arrival, Command, Moment, Player},
    recording::ReadError,
};

/// How to play a recording.
pub struct PlaybackPlan {
    /// The file.
    pub path: PathBuf,
    /// Seconds of the recording in a second.
    pub speed: f64,
    /// It stands still at first.
    pub paused: bool,
    /// Where to begin.
    pub at: Option<Moment>,
    /// Snapshots a second.
    pub fps: u32,
    /// What the user wants.
    pub commands: Receiver<Command>,
    /// Takes each snapshot.
    pub publish: Box<dyn FnMut(Arc<Snapshot>) + Send>,
}

/// What goes on.
struct Playback {
    reel: Reel,
    player: Player,
    survey: Shared,
    /// What is shown: while a jump is under way, where it began.
    shown: Snapshot,
    /// Counts what was shown.
    pictures: u64,
    said: Option<Said>,
    cursor: Cursor,
}

/// Plays a recording until it is told to stop.
///
/// # Errors
/// When the file cannot be read any more, or no thread can be created.
pub fn playback(reel: Reel, plan: PlaybackPlan, stop: &StopFlag) -> Result<(), ReplayError> {
    let PlaybackPlan { path, speed, paused, at, fps, commands, mut publish } = plan;
    let survey = Shared::default();
    let looking = survey::start(path.clone(), Arc::clone(&survey), stop.clone())?;
    let failed = |cause| ReplayError::Read { path: path.clone(), cause };
    let player = Player::new(reel.length(), speed, !paused);
    let mut run = Playback::new(reel, player, survey).map_err(failed)?;
    if let Some(moment) = at {
        run.command(Command::To(moment));
    }
    let frame = Duration::from_secs(1) / fps.max(1);
    let (mut next_frame, mut before) = (Instant::now(), Instant::now());
    let mut last = None;
    while !stop.is_set() {
        let until = if run.player.jumps() {
            Duration::ZERO
        } else {
            next_frame.saturating_duration_since(Instant::now())
        };
        match commands.recv_timeout(until) {
            Ok(command) => run.command(command),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        next_frame = now + frame;
        let elapsed = u64::try_from(now.duration_since(before).as_nanos()).unwrap_or(u64::MAX);
        before = now;
        run.play(elapsed, &mut || Instant::now() >= next_frame || stop.is_set()).map_err(failed)?;
        let looks = (run.pictures, run.look());
        if last.as_ref() != Some(&looks) {
            publish(Arc::new(run.snapshot()));
            last = Some(looks);
        }
    }
    stop.set();
    // What went wrong there is in the log.
    let _ended = looking.join();
    Ok(())
}

impl Playback {
    fn new(mut reel: Reel, player: Player, survey: Shared) -> Result<Self, ReadError> {
        let shown = reel.snapshot()?;
        let cursor = reel.cursor();
        Ok(Self { reel, player, survey, shown, pictures: 0, said: None, cursor })
    }

    fn command(&mut self, command: Command) {
        let said = self.player.command(command);
        let answered = look(&self.survey, |survey| self.player.answer(survey));
        for text in said.into_iter().chain(answered) {
            self.say(text, None);
        }
        if self.player.waits() {
            self.say("the recording is still being looked through for that".to_owned(), None);
        }
    }

    fn say(&mut self, text: String, open: Option<Arc<Kept>>) {
        let number = self.said.as_ref().map_or(1, |said| said.number + 1);
        self.said = Some(Said { number, text, open });
    }

    /// Moves on by so many nanoseconds of the user's clock, or towards where a jump goes, until somebody has enough.
    fn play(&mut self, elapsed: u64, enough: &mut dyn FnMut() -> bool) -> Result<(), ReadError> {
        if let Some(text) = look(&self.survey, |survey| self.player.answer(survey)) {
            self.say(text, None);
        }
        let begin = self.reel.begin();
        let target = begin.plus(self.player.target(elapsed));
        let before = self.reel.position();
        if target < before {
            self.reel.rewind();
        }
        self.reel.run_to(target, enough)?;
        let arrival = self.player.reached(self.reel.position().since(begin));
        if !self.player.jumps() && (arrival.is_some() || self.reel.position() != before) {
            self.shown = self.reel.snapshot()?;
            self.pictures += 1;
        }
        match arrival {
            Some(Arrival::Say(text)) => self.say(text, None),
            Some(Arrival::Open(id, text)) => {
                let kept = self.kept(id);
                self.say(text, kept);
            }
            Some(Arrival::Plain) | None => {}
        }
        Ok(())
    }

    /// A request that is shown.
    fn kept(&self, id: RequestId) -> Option<Arc<Kept>> {
        let mut slowest = self.shown.buckets.iter().flat_map(|bucket| &bucket.slowest);
        slowest.find(|kept| kept.request.id == id).cloned()
    }

    /// Looks where the cursor is.
    fn look(&mut self) -> Cursor {
        let cursor = &mut self.cursor;
        look(&self.survey, |survey| {
            if survey.appearances().len() != cursor.appearances.len() {
                cursor.appearances = Arc::new(survey.appearances().iter().map(|one| one.at).collect());
            }
            cursor.slowest = survey.slowest().filter(|_| survey.is_complete).map(|slowest| slowest.end);
            let percent = survey.until.saturating_mul(100) / cursor.length.max(1);
            cursor.looked_through = if survey.is_complete { 1.0 } else { percent as f64 / 100.0 };
        });
        if self.reel.missing().len() != cursor.missing.len() {
            cursor.missing = Arc::new(self.reel.missing().to_vec());
        }
        cursor.position = self.player.position();
        cursor.speed = self.player.speed();
        cursor.motion = self.player.motion();
        cursor.recorder_percent = self.reel.recorder_percent();
        cursor.said.clone_from(&self.said);
        cursor.clone()
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { cursor: Some(self.cursor.clone()), ..self.shown.clone() }
    }
}
