//! The time cursor: what a command and the time that passes make of it.

use super::{Moment, Slowest, Survey, clock_time};
use crate::{
    clock::RequestId,
    live::Motion,
    units::{fmt_us, rounded},
};

/// Speeds that keys step through: seconds of the recording in a second.
pub const SPEEDS: [f64; 10] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// What the user wants of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop the time, or let it go on.
    Pause,
    /// The next higher speed.
    Faster,
    /// The next lower speed.
    Slower,
    /// To a moment.
    To(Moment),
    /// To the slowest request.
    Slowest,
    /// To the next moment at which a cause is found that was not found before.
    NextFinding,
    /// To the last such moment before this one.
    PreviousFinding,
}

/// What is to be done where a jump has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing.
    Plain,
    /// This is to be said.
    Say(String),
    /// This is to be said, and the request to be opened.
    Open(RequestId, String),
}

/// A jump under way.
#[derive(Clone, Debug)]
struct Goal {
    from: u64,
    to: u64,
    arrival: Arrival,
}

/// What can be answered only when the recording is looked through far enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Slowest,
    Next,
    Previous,
}

/// The cursor in a recording. Times are nanoseconds since its beginning.
#[derive(Clone, Debug)]
pub struct Player {
    length: u64,
    position: u64,
    reached: u64,
    speed: f64,
    plays: bool,
    goal: Option<Goal>,
    question: Option<Question>,
}

impl Player {
    /// A cursor at the beginning of a recording of this length.
    pub fn new(length: u64, speed: f64, plays: bool) -> Self {
        Self { length, position: 0, reached: 0, speed, plays, goal: None, question: None }
    }

    /// Does what the user wants; returns what is to be said about it at once.
    pub fn command(&mut self, command: Command) -> Option<String> {
        match command {
            Command::Pause if self.is_at_end() => {
                self.plays = true;
                self.jump(0, Arrival::Plain);
            }
            Command::Pause => self.plays = !self.plays,
            Command::Faster => {
                let next = SPEEDS.iter().find(|speed| **speed > self.speed);
                self.speed = next.copied().unwrap_or(self.speed);
            }
            Command::Slower => {
                let next = SPEEDS.iter().rev().find(|speed| **speed < self.speed);
                self.speed = next.copied().unwrap_or(self.speed);
            }
            Command::To(moment) => {
                self.question = None;
                self.jump(moment.within(self.length), Arrival::Plain);
                let beyond = match moment {
                    Moment::FromBegin(nanos) => (nanos > self.length).then_some("end"),
                    Moment::FromEnd(nanos) => (nanos > self.length).then_some("beginning"),
                };
                let length = clock_time(self.length);
                return beyond.map(|end| format!("the recording is {length} long: this is its {end}"));
            }
            Command::Slowest => self.question = Some(Question::Slowest),
            Command::NextFinding => self.question = Some(Question::Next),
            Command::PreviousFinding => self.question = Some(Question::Previous),
        }
        None
    }

    /// Answers what was asked for, where the survey has got far enough; returns what is to be said about it at once.
    pub fn answer(&mut self, survey: &Survey) -> Option<String> {
        let question = self.question?;
        let enough = match question {
            Question::Slowest => survey.is_complete,
            Question::Next => survey.is_complete || survey.after(self.position).is_some(),
            Question::Previous => survey.is_complete || survey.until >= self.position,
        };
        if !enough {
            return None;
        }
        self.question = None;
        let here = clock_time(self.position);
        let found = match question {
            Question::Slowest => {
                let Some(slowest) = survey.slowest() else {
                    return Some("no request was answered in this recording".to_owned());
                };
                self.plays = false;
                self.jump(slowest.known, Arrival::Open(slowest.id, words(slowest)));
                return None;
            }
            Question::Next => survey.after(self.position),
            Question::Previous => survey.before(self.position),
        };
        let Some(appearance) = found else {
            let side = if question == Question::Next { "after" } else { "before" };
            return Some(format!("no cause appears {side} {here}"));
        };
        let causes: Vec<&str> = appearance.causes.iter().map(|id| id.id()).collect();
        let at = clock_time(appearance.at);
        let text =
            format!("{at}: {} in the seconds before, not found earlier; e explains", causes.join(", "));
        self.plays = false;
        self.jump(appearance.at, Arrival::Say(text));
        None
    }

    /// Whether something is asked for that cannot be answered yet.
    pub fn waits(&self) -> bool {
        self.question.is_some()
    }

    fn jump(&mut self, to: u64, arrival: Arrival) {
        let from = if to < self.reached { 0 } else { self.reached };
        self.goal = Some(Goal { from, to, arrival });
    }

    /// The moment to move to, when so many nanoseconds have passed on the user's clock.
    pub fn target(&self, elapsed: u64) -> u64 {
        match &self.goal {
            Some(goal) => goal.to,
            None if self.plays => {
                self.position.saturating_add(rounded(elapsed as f64 * self.speed)).min(self.length)
            }
            None => self.position,
        }
    }

    /// This moment has been reached; returns what is to be done if that ends a jump.
    pub fn reached(&mut self, at: u64) -> Option<Arrival> {
        self.reached = at;
        let ended = self.goal.take_if(|goal| goal.to == at);
        if self.goal.is_none() {
            self.position = at;
        }
        ended.map(|goal| goal.arrival)
    }

    /// Whether a jump is under way.
    pub fn jumps(&self) -> bool {
        self.goal.is_some()
    }

    fn is_at_end(&self) -> bool {
        self.goal.is_none() && self.position >= self.length
    }

    /// The moment that is shown: where a jump began, until it has ended.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Length of the recording.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Seconds of the recording in a second.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// How time goes on.
    pub fn motion(&self) -> Motion {
        match &self.goal {
            Some(goal) => {
                let way = goal.to.saturating_sub(goal.from).max(1) as f64;
                let done = self.reached.saturating_sub(goal.from) as f64 / way;
                Motion::Jumping { to: goal.to, done: if self.reached > goal.to { 0.0 } else { done } }
            }
            None if self.is_at_end() => Motion::AtEnd,
            None if self.plays => Motion::Playing,
            None => Motion::Paused,
        }
    }
}

fn words(slowest: &Slowest) -> String {
    let route = slowest.route.as_deref().unwrap_or("no HTTP/1 route");
    let latency = fmt_us(slowest.latency as f64 / 1e3);
    format!("the slowest request: {latency}, {route}, answered at {}", clock_time(slowest.end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::explain::Id;

    const S: u64 = 1_000_000_000;

    /// Moves to where the player wants to be, as whoever has the recording does.
    fn pass(player: &mut Player, elapsed: u64) -> Option<Arrival> {
        let target = player.target(elapsed);
        player.reached(target)
    }

    fn survey() -> Survey {
        let mut survey = Survey { until: 60 * S, is_complete: true, ..Survey::default() };
        survey.window(5 * S, vec![]);
        survey.window(20 * S, vec![Id::LockContention]);
        survey.window(40 * S, vec![Id::DiskSlow]);
        let slowest = Slowest { id: RequestId(7), latency: 3 * S, route: None, end: 31 * S, known: 32 * S };
        survey.request(slowest);
        survey
    }

    #[test]
    fn time_passes_at_its_speed_while_it_plays() {
        let mut player = Player::new(60 * S, 1.0, true);
        pass(&mut player, 2 * S);
        assert_eq!(player.position(), 2 * S);
        player.command(Command::Faster);
        pass(&mut player, S);
        assert_eq!((player.position(), player.speed()), (4 * S, 2.0));
        player.command(Command::Pause);
        pass(&mut player, S);
        assert_eq!((player.position(), player.motion()), (4 * S, Motion::Paused));
        player.command(Command::Pause);
        (0..3).for_each(|_| {
            player.command(Command::Slower);
        });
        pass(&mut player, S);
        assert_eq!((player.position(), player.speed()), (4 * S + S / 5, 0.2));
    }

    #[test]
    fn the_speed_has_ends_and_steps_from_any_value() {
        let told = |player: &Player| player.speed().to_string();
        let mut player = Player::new(S, 3.0, true);
        player.command(Command::Faster);
        assert_eq!(told(&player), "5");
        for _ in 0..20 {
            player.command(Command::Faster);
        }
        assert_eq!(told(&player), "100");
        for _ in 0..20 {
            player.command(Command::Slower);
        }
        assert_eq!(told(&player), "0.1");
    }

    /// What is behind the end is the end; from there it begins anew.
    #[test]
    fn it_stops_at_the_end_and_begins_anew() {
        let mut player = Player::new(3 * S, 100.0, true);
        pass(&mut player, S);
        assert_eq!((player.position(), player.motion()), (3 * S, Motion::AtEnd));
        player.command(Command::Pause);
        assert_eq!(player.target(0), 0);
        assert_eq!(pass(&mut player, 0), Some(Arrival::Plain));
        assert_eq!((player.position(), player.motion()), (0, Motion::Playing));
    }

    #[test]
    fn a_jump_goes_to_its_moment_and_shows_how_far_it_is() {
        let mut player = Player::new(60 * S, 1.0, false);
        player.command(Command::To(Moment::FromBegin(40 * S)));
        player.reached(10 * S);
        assert_eq!(player.motion(), Motion::Jumping { to: 40 * S, done: 0.25 });
        assert_eq!(player.position(), 0, "what is shown is where it began");
        player.reached(40 * S);
        assert_eq!((player.position(), player.motion()), (40 * S, Motion::Paused));
        // Back is a way from the beginning.
        player.command(Command::To(Moment::FromEnd(40 * S)));
        assert_eq!(player.motion(), Motion::Jumping { to: 20 * S, done: 0.0 });
        player.reached(5 * S);
        assert_eq!(player.motion(), Motion::Jumping { to: 20 * S, done: 0.25 });
    }

    #[test]
    fn a_moment_outside_is_told() {
        let mut player = Player::new(60 * S, 1.0, false);
        let said = player.command(Command::To(Moment::FromBegin(61 * S))).unwrap_or_default();
        assert!(said.contains("1:00.0 long") && said.contains("end"), "{said}");
        assert_eq!(player.target(0), 60 * S);
        assert_eq!(player.command(Command::To(Moment::FromEnd(60 * S))), None);
    }

    #[test]
    fn findings_are_gone_through_in_both_directions() {
        let (mut player, survey) = (Player::new(60 * S, 1.0, true), survey());
        let mut go = |command| {
            player.command(command);
            let said = player.answer(&survey);
            let arrival = pass(&mut player, 0);
            (player.position() / S, said.is_some(), arrival)
        };
        let (at, _, arrival) = go(Command::NextFinding);
        assert!(at == 20 && matches!(arrival, Some(Arrival::Say(text)) if text.contains("lock_contention")));
        let (at, _, arrival) = go(Command::NextFinding);
        assert!(at == 40 && matches!(arrival, Some(Arrival::Say(text)) if text.contains("disk_slow")));
        assert!(matches!(go(Command::NextFinding), (40, true, None)));
        assert!(matches!(go(Command::PreviousFinding), (20, false, Some(Arrival::Say(_)))));
        assert!(matches!(go(Command::PreviousFinding), (20, true, None)));
        assert_eq!(player.motion(), Motion::Paused, "a finding is looked at in peace");
    }

    #[test]
    fn the_slowest_request_is_opened_where_it_is_known() {
        let (mut player, mut survey) = (Player::new(60 * S, 1.0, true), survey());
        survey.is_complete = false;
        player.command(Command::Slowest);
        assert_eq!(player.answer(&survey), None);
        assert!(player.waits() && !player.jumps(), "it is not known before all is looked through");
        survey.is_complete = true;
        player.answer(&survey);
        let arrival = pass(&mut player, 0);
        assert!(matches!(arrival, Some(Arrival::Open(RequestId(7), text)) if text.contains("3.00 s")));
        assert_eq!(player.position(), 32 * S);
    }

    /// A recording without a request.
    #[test]
    fn without_a_request_nothing_is_sought_for_ever() {
        let mut player = Player::new(0, 1.0, true);
        let survey = Survey { is_complete: true, ..Survey::default() };
        for command in [Command::Slowest, Command::NextFinding, Command::PreviousFinding] {
            player.command(command);
            let said = player.answer(&survey);
            assert!(said.is_some() && !player.waits() && !player.jumps(), "{command:?}");
        }
    }

    #[test]
    fn a_new_jump_takes_the_place_of_what_is_sought() {
        let mut player = Player::new(60 * S, 1.0, false);
        player.command(Command::Slowest);
        player.command(Command::To(Moment::FromBegin(S)));
        player.answer(&survey());
        assert_eq!(player.target(0), S);
    }

    fn commands() -> impl Strategy<Value = Command> {
        prop_oneof![
            Just(Command::Pause),
            Just(Command::Faster),
            Just(Command::Slower),
            Just(Command::Slowest),
            Just(Command::NextFinding),
            Just(Command::PreviousFinding),
            (0..90 * S).prop_map(|at| Command::To(Moment::FromBegin(at))),
            (0..90 * S).prop_map(|at| Command::To(Moment::FromEnd(at))),
        ]
    }

    proptest! {
        /// Whatever is pressed, whenever: the cursor stays within the recording, and a jump that is left alone ends where it should.
        #[test]
        fn the_cursor_stays_within(steps in prop::collection::vec((commands(), 0..5 * S, any::<bool>()), 1..60)) {
            let (mut player, survey) = (Player::new(60 * S, 1.0, true), survey());
            for (command, elapsed, whole) in steps {
                player.command(command);
                player.answer(&survey);
                let target = player.target(elapsed);
                prop_assert!(target <= 60 * S);
                // Half of the way, or all of it.
                let from = player.reached.min(target);
                player.reached(if whole { target } else { from + (target - from) / 2 });
                prop_assert!(player.position() <= player.length());
                if let Motion::Jumping { done, .. } = player.motion() {
                    prop_assert!((0.0..=1.0).contains(&done));
                }
            }
            player.reached(player.target(0));
            prop_assert!(!player.jumps());
        }
    }
}
