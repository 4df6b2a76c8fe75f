//! `whywait replay`: the dashboard on a recording, without any privilege, on any machine.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::{Context, Result, bail};

use super::top::{ScreenArgs, needs_terminal};
use crate::{
    observe::{PlaybackPlan, Reel, playback},
    platform::signals::StopFlag,
    playback::{Moment, SPEEDS},
    top::{Asked, Theme, keep_log, run as show},
};

/// Options of `whywait replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A recording of `whywait record`, of `whywait explain --record` or of the dashboard
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Seconds of the recording in a second, from 0.1 to 100
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Where to begin: 12.5 (seconds), 1:03, or -5s for that long before the end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<Moment>,
    /// Stand still at first
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    screen: ScreenArgs,
}

/// Takes a speed.
fn speed(text: &str) -> Result<f64, String> {
    let (slowest, fastest) = (SPEEDS[0], SPEEDS[SPEEDS.len() - 1]);
    let speed: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if !(slowest..=fastest).contains(&speed) {
        return Err(format!("{text} is not between {slowest} and {fastest}"));
    }
    Ok(speed)
}

/// Runs the command.
///
/// # Errors
/// When standard output is no terminal, or the file is no recording.
pub fn run(args: Args) -> Result<ExitCode> {
    let Args { file, speed, at, paused, screen } = args;
    // What is wrong with the file is told on the ordinary screen.
    let mut reel = Reel::open(&file)?;
    needs_terminal("`whywait report` prints what a recording tells")?;
    keep_log();
    let theme = Theme::of_terminal(screen.background);
    let stop = StopFlag::new();
    let mut first = reel.snapshot().with_context(|| format!("cannot replay {}", file.display()))?;
    first.cursor = Some(reel.cursor());
    let (publisher, snapshots) = tokio::sync::watch::channel(Arc::new(first));
    let (tell, commands) = mpsc::channel();
    let plan = PlaybackPlan {
        path: file,
        speed,
        paused,
        at,
        fps: screen.fps,
        commands,
        publish: Box::new(move |snapshot| {
            publisher.send_replace(snapshot);
        }),
    };
    let over = stop.clone();
    let thread = thread::Builder::new()
        .name("whywait-replay".to_owned())
        .spawn(move || playback(reel, plan, &over))
        .context("cannot start the thread that replays")?;
    let mut ask = move |asked| {
        match asked {
            // Where nobody plays any more, the screen is about to end.
            Asked::Play(command) => drop(tell.send(command)),
            Asked::Record => {}
        }
        None
    };
    let shown = show(snapshots, theme, screen.fps, &mut ask);
    stop.set();
    let ended = thread.join();
    shown.context("cannot use the terminal")?;
    match ended {
        Ok(played) => played?,
        Err(_) => bail!("the thread that replays has failed"),
    }
    Ok(ExitCode::SUCCESS)
}
