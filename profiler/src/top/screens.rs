//! The screens: one file for each. A screen is a function from a view to cells, and to its rows.

mod calls;
mod connections;
mod flame;
mod health;
mod heat;
mod histogram;
mod lock;
mod locks;
mod models;
mod overview;
mod requests;
mod scheduler;
mod stack;
mod threads;
mod waterfall;

pub use flame::chosen as chosen_function;
pub use lock::draw as draw_lock;
pub use waterfall::draw as draw_request;

use super::{app::Overlay, canvas::Canvas, keys::Place, view::View};

/// A screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The answer, and what it rests on.
    Overview,
    /// Slow and late requests.
    Requests,
    /// Threads.
    Threads,
    /// Locks.
    Locks,
    /// System calls.
    Calls,
    /// The scheduler.
    Scheduler,
    /// Connections.
    Connections,
    /// Where in the code time is spent.
    Flame,
    /// Servers side by side.
    Models,
    /// Log and health.
    Health,
}

/// Screens in the order of their numbers.
pub const SCREENS: &[Screen] = &[
    Screen::Overview,
    Screen::Requests,
    Screen::Threads,
    Screen::Locks,
    Screen::Calls,
    Screen::Scheduler,
    Screen::Connections,
    Screen::Flame,
    Screen::Models,
    Screen::Health,
];

impl Screen {
    /// Its number.
    pub fn number(self) -> char {
        match self {
            Self::Overview => '1',
            Self::Requests => '2',
            Self::Threads => '3',
            Self::Locks => '4',
            Self::Calls => '5',
            Self::Scheduler => '6',
            Self::Connections => '7',
            Self::Flame => '8',
            Self::Models => '9',
            Self::Health => '0',
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Requests => "Requests",
            Self::Threads => "Threads",
            Self::Locks => "Locks",
            Self::Calls => "Calls",
            Self::Scheduler => "Sched",
            Self::Connections => "Peers",
            Self::Flame => "Flame",
            Self::Models => "Models",
            Self::Health => "Log",
        }
    }

    /// Which keys are worth a place in the footer.
    pub fn has(self, place: Place) -> bool {
        match place {
            Place::Help => false,
            Place::Always => true,
            Place::Lists => !matches!(self, Self::Overview | Self::Scheduler | Self::Models | Self::Health),
            Place::Opens => matches!(self, Self::Requests | Self::Locks | Self::Flame),
            Place::Switches => matches!(self, Self::Requests | Self::Threads | Self::Models),
        }
    }

    /// Draws it. Returns how many rows can be chosen from, and in which row of the canvas the first of them is.
    pub fn draw(self, view: &View, canvas: &mut Canvas) -> Rows {
        match self {
            Self::Overview => overview::draw(view, canvas),
            Self::Requests => requests::draw(view, canvas),
            Self::Threads => threads::draw(view, canvas),
            Self::Locks => locks::draw(view, canvas),
            Self::Calls => calls::draw(view, canvas),
            Self::Scheduler => scheduler::draw(view, canvas),
            Self::Connections => connections::draw(view, canvas),
            Self::Flame => flame::draw(view, canvas),
            Self::Models => models::draw(view, canvas),
            Self::Health => health::draw(view, canvas),
        }
    }

    /// What the chosen row opens.
    pub fn open(self, view: &View) -> Option<Overlay> {
        match self {
            Self::Requests => requests::listed(view).get(view.chosen).cloned().map(Overlay::Request),
            Self::Locks => locks::listed(view).get(view.chosen).map(|(lock, _)| Overlay::Lock(lock.place)),
            _ => None,
        }
    }
}

/// Rows that can be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many there are.
    pub count: usize,
    /// Row of the canvas in which the first shown one is.
    pub top: u16,
    /// Which one that is.
    pub first: usize,
}

impl Rows {
    /// Rows below `top`, moved so that the chosen one is shown.
    fn new(count: usize, top: u16, height: u16, chosen: usize) -> Self {
        let room = usize::from(height.saturating_sub(top)).max(1);
        let first = (chosen + 1).saturating_sub(room).min(count.saturating_sub(room));
        Self { count, top, first }
    }
}
