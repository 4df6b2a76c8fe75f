//! The dashboard: an immutable snapshot as screens in the terminal.
//!
//! It knows nothing of where snapshots come from. It waits, on one thread, for input, signals and ticks; what it draws it
//! draws at a tick, from the newest snapshot.

mod answer;
mod app;
mod bar;
mod canvas;
mod frame;
mod keys;
mod log;
mod screens;
mod shot;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod view;

use std::{io, path::Path, sync::Arc, time::Duration};

use crossterm::event::{Event, EventStream};
use ratatui::buffer::Buffer;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::StreamExt;

pub use app::App;
pub use log::keep_log;
pub use theme::{Background, Depth, Theme, rgb};

use crate::{live::Snapshot, playback::Command};
use app::Wish;
use terminal::Screen;

/// What the user wants of the run that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Begin to record it, or end that.
    Record,
    /// Move the time cursor of a recording.
    Play(Command),
}

/// Shows snapshots until the user, a signal, the end of the terminal or that of the snapshots ends it. `ask` does what the user wants, and returns what is
/// to be said about it.
///
/// # Errors
/// When the terminal cannot be used, or the system has no room for what waits for it.
pub fn run(
    snapshots: watch::Receiver<Arc<Snapshot>>,
    theme: Theme,
    fps: u32,
    ask: &mut dyn FnMut(Asked) -> Option<String>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(show(snapshots, theme, fps, ask));
    // The terminal is given back by now; the thread that waits for its input is not waited for.
    runtime.shutdown_background();
    match ended {
        // Whoever closed the terminal does not read why it could not be written to.
        Err(error) if is_gone(&error) => Ok(()),
        ended => ended,
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(libc::EIO)
}

/// Signals that are waited for.
struct Signals {
    term: Signal,
    hangup: Signal,
    interrupt: Signal,
    stop: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            stop: signal(SignalKind::from_raw(libc::SIGTSTP))?,
        })
    }

    /// What a signal asks for.
    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.term.recv() => Wish::Quit,
            _ = self.hangup.recv() => Wish::Quit,
            _ = self.interrupt.recv() => Wish::Quit,
            _ = self.stop.recv() => Wish::Suspend,
        }
    }
}

async fn show(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    theme: Theme,
    fps: u32,
    ask: &mut dyn FnMut(Asked) -> Option<String>,
) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let mut screen = Screen::take()?;
    let mut input = EventStream::new();
    let mut ticks = interval(Duration::from_secs(1) / fps.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let first = Arc::clone(&snapshots.borrow_and_update());
    let mut app = App::new(first);
    let mut picture = draw(&mut screen, &mut app, theme)?;
    let mut changed = false;
    loop {
        let wish = tokio::select! {
            event = input.next() => match event {
                Some(Ok(Event::Key(key))) => app.key(key, theme),
                Some(Ok(Event::Mouse(mouse))) => app.mouse(mouse),
                Some(Ok(Event::Resize(..))) => Some(Wish::Redraw),
                Some(Ok(_)) => None,
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            wish = signals.next() => Some(wish),
            new = snapshots.changed() => {
                // Nobody watches any more: what happened is told by who did.
                if new.is_err() {
                    return Ok(());
                }
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                changed |= app.update(snapshot);
                None
            }
            _ = ticks.tick() => {
                tui_logger::move_events();
                std::mem::take(&mut changed).then_some(Wish::Redraw)
            }
        };
        // A thread has panicked, and said so on the terminal that is whole again.
        if !terminal::is_taken() {
            return Ok(());
        }
        match wish {
            Some(Wish::Quit) => return Ok(()),
            Some(Wish::Suspend) => {
                screen.sleep()?;
                picture = draw(&mut screen, &mut app, theme)?;
            }
            Some(Wish::Screenshot) => {
                app.message = Some(match shot::save(&picture, Path::new(".")) {
                    Ok(path) => format!("written to {} and .svg beside it", path.display()),
                    Err(error) => format!("cannot write the picture here: {error}"),
                });
                picture = draw(&mut screen, &mut app, theme)?;
            }
            Some(Wish::Record) => {
                app.message = ask(Asked::Record);
                picture = draw(&mut screen, &mut app, theme)?;
            }
            Some(Wish::Play(command)) => {
                app.message = ask(Asked::Play(command));
                picture = draw(&mut screen, &mut app, theme)?;
            }
            Some(Wish::Redraw) => picture = draw(&mut screen, &mut app, theme)?,
            None => {}
        }
    }
}

/// Draws, and keeps what was drawn. Only cells that have changed are sent to the terminal.
fn draw(screen: &mut Screen, app: &mut App, theme: Theme) -> io::Result<Buffer> {
    let drawn = screen.terminal.draw(|frame| app.draw(frame.buffer_mut(), theme))?;
    Ok(drawn.buffer.clone())
}
