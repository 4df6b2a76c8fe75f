//! Looks a recording through once, on a thread of its own, for what one may want to jump to.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use super::{
    reel::{BEAT, Reel},
    replay::ReplayError,
};
use crate::{
    clock::Request,
    platform::signals::StopFlag,
    playback::{Slowest, Survey, clock_time},
    units::Ns,
};

/// What is found, while it is looked for.
pub type Shared = Arc<Mutex<Survey>>;

/// Looks with a guard, also when the other thread has failed.
pub fn look<T>(shared: &Shared, look: impl FnOnce(&mut Survey) -> T) -> T {
    look(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Starts the thread. It ends at the recording's end, or when it is told to stop.
///
/// # Errors
/// When no thread can be created.
pub fn start(path: PathBuf, shared: Shared, stop: StopFlag) -> Result<JoinHandle<()>, ReplayError> {
    let thread = thread::Builder::new().name("whywait-survey".to_owned()).spawn(move || {
        if let Err(error) = survey(&path, &shared, &stop) {
            log::error!("the recording cannot be looked through: {error}");
        }
        look(&shared, |survey| survey.is_complete = true);
    });
    thread.map_err(ReplayError::Thread)
}

/// Looks a recording through.
///
/// # Errors
/// When it cannot be read any more.
pub fn survey(path: &Path, shared: &Shared, stop: &StopFlag) -> Result<(), ReplayError> {
    let slowest: Arc<Mutex<Option<Request>>> = Arc::default();
    let kept = Arc::clone(&slowest);
    let mut longest = None;
    let mut reel = Reel::listen(
        path,
        Box::new(move |request: &Request| {
            if longest.is_none_or(|longest| request.latency() > longest) {
                longest = Some(request.latency());
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.clone());
            }
        }),
    )?;
    let failed = |cause| ReplayError::Read { path: path.to_owned(), cause };
    let (begin, end) = (reel.begin(), reel.end());
    while reel.position() < end && !stop.is_set() {
        let next = reel.position().plus(BEAT);
        reel.run_to(next, &mut || false).map_err(failed)?;
        let at = reel.position();
        let request = slowest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let since = |moment: Ns| moment.since(begin);
        let found = if reel.ends_window() {
            let explained = reel.explained().map_err(failed)?.filter(|explained| explained.at == at);
            let found = explained.map(|explained| &explained.explanation.findings);
            Some(found.into_iter().flatten().map(|finding| finding.id).collect())
        } else {
            None
        };
        look(shared, |survey| {
            survey.until = since(at);
            if let Some(request) = request {
                survey.request(Slowest {
                    id: request.id,
                    latency: request.latency(),
                    route: request.route.clone(),
                    end: since(request.end),
                    known: since(at),
                });
            }
            if let Some(appearance) = found.and_then(|found| survey.window(since(at), found)) {
                let causes: Vec<&str> = appearance.causes.iter().map(|id| id.id()).collect();
                log::info!("at {}: found {}", clock_time(appearance.at), causes.join(", "));
            }
        });
    }
    for missing in reel.missing() {
        log::warn!("{missing}");
    }
    Ok(())
}
