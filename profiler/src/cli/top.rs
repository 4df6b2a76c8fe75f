//! `whywait top`: the dashboard on a live server.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::{Context, Result, bail};

use super::{outlet::OutletArgs, privileges, target::TargetArgs};
use crate::{
    live::{Snapshot, Told},
    observe::{Command, LivePlan, LiveRecord, live, named},
    outlet::Outlets,
    platform::{
        signals::StopFlag,
        target::{Resolved, TargetSpec, resolve},
    },
    probe::Options,
    top::{Asked, Background, Theme, keep_log, run as show},
};

/// Options of `whywait top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    screen: ScreenArgs,
    /// Watch processes of this name (as in /proc/PID/comm), whenever there are some: also after a restart
    #[arg(long, value_name = "CMD-NAME")]
    follow: Option<String>,
    #[command(flatten)]
    outlets: OutletArgs,
}

/// How the dashboard is shown.
#[derive(Clone, Debug, clap::Args)]
pub struct ScreenArgs {
    /// Pictures a second
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub fps: u32,
    /// The terminal's background [default: what COLORFGBG says, else dark]
    #[arg(long, value_enum)]
    pub background: Option<Background>,
}

/// Runs the command.
///
/// # Errors
/// When standard output is no terminal, or the target cannot be found or attached to.
pub fn run(args: Args) -> Result<ExitCode> {
    let outlets = args.outlets.open_behind_the_screen()?;
    let (spec, options) = args.target.into_parts();
    let target = match (&args.follow, names_something(&spec)) {
        (Some(name), false) => following(name, &spec)?,
        _ => resolve(&spec)?,
    };
    privileges::check()?;
    let watch = Watch { target, spec, options, follow: args.follow, next: None, outlets };
    dashboard(watch, &args.screen, |_| Ok(()))?;
    Ok(ExitCode::SUCCESS)
}

fn names_something(spec: &TargetSpec) -> bool {
    !spec.pids.is_empty() || spec.port.is_some() || spec.cgroup.is_some() || !spec.command.is_empty()
}

/// Processes of a name as the target; none is waited for.
fn following(name: &str, spec: &TargetSpec) -> Result<Resolved> {
    let pids: Vec<u32> =
        named(name).into_iter().map(|pid| pid.0).filter(|pid| *pid != std::process::id()).collect();
    if pids.is_empty() {
        return Ok(nobody_yet(name));
    }
    Ok(resolve(&TargetSpec { pids, ..spec.clone() })?)
}

/// A target of this name that is still to come.
pub fn nobody_yet(name: &str) -> Resolved {
    Resolved {
        pids: Vec::new(),
        gone: Vec::new(),
        command: name.to_owned(),
        ports: Vec::new(),
        launched: None,
    }
}

/// What the dashboard watches.
pub struct Watch {
    /// The target.
    pub target: Resolved,
    /// As it was named.
    pub spec: TargetSpec,
    /// How to attach.
    pub options: Options,
    /// When the target has ended, processes of this name are the target.
    pub follow: Option<String>,
    /// Who the next target is, in words, where it is told when the last one has ended.
    pub next: Option<String>,
    /// Who else hears of it.
    pub outlets: Option<Outlets>,
}

/// Fails where there is no terminal to show anything in.
///
/// # Errors
/// When standard output is none; `instead` says what needs none.
pub fn needs_terminal(instead: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        return Ok(());
    }
    bail!("standard output is no terminal, which the dashboard needs; {instead}")
}

/// Shows the dashboard on a target until the user ends it. When everything is attached `attached` is called, with where things can be
/// told to the run; what it returns is returned, `None` if it never came to that.
///
/// # Errors
/// When standard output is no terminal, or attaching fails.
pub fn dashboard<T: Send + 'static>(
    watch: Watch,
    screen: &ScreenArgs,
    attached: impl FnOnce(mpsc::Sender<Told>) -> io::Result<T> + Send + 'static,
) -> Result<Option<T>> {
    needs_terminal("`whywait explain` prints what it finds")?;
    keep_log();
    let Watch { target, spec, options, follow, next, outlets } = watch;
    let theme = Theme::of_terminal(screen.background);
    let stop = StopFlag::new();
    let (publisher, snapshots) = tokio::sync::watch::channel(Arc::new(Snapshot::default()));
    let (tell, told) = mpsc::channel();
    let (begun_in, begun) = mpsc::channel();
    let name = target.command.clone();
    let (commands, asked) = mpsc::channel();
    let mut recorded = None;
    let mut ask = move |asked| match asked {
        Asked::Record => Some(toggle(&name, &mut recorded, &commands)),
        // There is a time cursor in recordings only.
        Asked::Play(_) => None,
    };
    let plan = LivePlan {
        spec,
        options,
        follow,
        next,
        fps: screen.fps,
        told,
        publish: Box::new(move |snapshot| {
            publisher.send_replace(snapshot);
        }),
        attached: Box::new(move || match attached(tell) {
            Ok(value) => {
                // It is taken when the dashboard has ended.
                let _kept = begun_in.send(value);
            }
            Err(error) => log::error!("{error}"),
        }),
        record: LiveRecord {
            commands: asked,
            ring: None,
            told: Box::new(|result| match result {
                Ok(path) => log::info!("recorded to {}", path.display()),
                Err(error) => log::error!("{error}"),
            }),
        },
        outlets,
    };
    let over = stop.clone();
    let thread = thread::Builder::new()
        .name("whywait-live".to_owned())
        .spawn(move || live(target, plan, &over))
        .context("cannot start the thread that watches")?;
    let shown = show(snapshots, theme, screen.fps, &mut ask);
    stop.set();
    let ended = thread.join();
    shown.context("cannot use the terminal")?;
    match ended {
        Ok(watched) => {
            watched?;
            Ok(begun.try_recv().ok())
        }
        Err(_) => bail!("the thread that watches has failed"),
    }
}

/// Begins a recording, or ends the one that there is; says which.
fn toggle(name: &str, recorded: &mut Option<PathBuf>, commands: &mpsc::Sender<Command>) -> String {
    let (command, said) = if let Some(path) = recorded.take() {
        (Command::End, format!("recorded to {}", path.display()))
    } else {
        let path = free_name(name);
        let said = format!("recording to {}; r ends it", path.display());
        *recorded = Some(path.clone());
        (Command::Begin(path), said)
    };
    match commands.send(command) {
        Ok(()) => said,
        Err(_) => "nothing is watched any more".to_owned(),
    }
}

/// A file here that there is not yet, named after the target.
fn free_name(name: &str) -> PathBuf {
    let plain: String = name
        .chars()
        .map(|letter| if letter.is_alphanumeric() || letter == '-' { letter } else { '_' })
        .collect();
    let named = |number| PathBuf::from(format!("whywait-{plain}-{number}.rec"));
    (1..u32::MAX).map(named).find(|path| !path.exists()).unwrap_or_else(|| named(0))
}
