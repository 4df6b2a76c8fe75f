//! Colours of the screens. No meaning is in a colour alone: a state has a letter, a loss a word.

use std::env;

use ratatui::style::{Color, Modifier, Style};

use crate::clock::State;

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None, or `NO_COLOR` (no-color.org) forbids them.
    None,
    /// The sixteen of ANSI.
    Sixteen,
    /// The 256 of xterm.
    Indexed,
    /// Red, green and blue.
    True,
}

/// What the terminal's background is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Background {
    /// Light letters on a dark ground.
    Dark,
    /// Dark letters on a light ground.
    Light,
}

/// The colours in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    depth: Depth,
    background: Background,
}

/// Red, green, blue, and the nearest of the sixteen.
type Tint = (u8, u8, u8, Color);

impl Theme {
    /// A theme.
    pub const fn new(depth: Depth, background: Background) -> Self {
        Self { depth, background }
    }

    /// What the environment tells of the terminal; `background` is what the user says.
    pub fn of_terminal(background: Option<Background>) -> Self {
        let value = |name: &str| env::var(name).unwrap_or_default();
        let depth = depth_of(&value("NO_COLOR"), &value("COLORTERM"), &value("TERM"));
        let background = background.unwrap_or_else(|| background_of(&value("COLORFGBG")));
        Self { depth, background }
    }

    /// Whether there are colours at all.
    pub fn has_colours(self) -> bool {
        self.depth != Depth::None
    }

    fn colour(self, (red, green, blue, nearest): Tint) -> Option<Color> {
        match self.depth {
            Depth::None => None,
            Depth::Sixteen => Some(nearest),
            Depth::Indexed => Some(Color::Indexed(cube(red, green, blue))),
            Depth::True => Some(Color::Rgb(red, green, blue)),
        }
    }

    fn letters(self, dark: Tint, light: Tint) -> Style {
        let tint = if self.background == Background::Dark { dark } else { light };
        self.colour(tint).map_or(Style::new(), |colour| Style::new().fg(colour))
    }

    /// Plain text.
    pub fn plain(self) -> Style {
        Style::new()
    }

    /// The answer, headings.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What can be passed over.
    pub fn faint(self) -> Style {
        if self.depth == Depth::None {
            return Style::new();
        }
        self.letters((140, 140, 140, Color::DarkGray), (110, 110, 110, Color::DarkGray))
    }

    /// As it should be.
    pub fn good(self) -> Style {
        self.letters((0, 190, 140, Color::Green), (0, 120, 85, Color::Green))
    }

    /// Worth a look.
    pub fn warn(self) -> Style {
        self.letters((230, 159, 0, Color::Yellow), (170, 100, 0, Color::Magenta)).add_modifier(Modifier::BOLD)
    }

    /// Wrong, or lost.
    pub fn bad(self) -> Style {
        self.letters((255, 105, 80, Color::Red), (190, 40, 20, Color::Red)).add_modifier(Modifier::BOLD)
    }

    /// Keys in the footer, a chosen screen.
    pub fn key(self) -> Style {
        self.letters((86, 180, 233, Color::Cyan), (0, 95, 160, Color::Blue)).add_modifier(Modifier::BOLD)
    }

    /// The chosen row.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A part of a chart that stands for a state, or for waiting for something to do; its letter is drawn in it.
    pub fn block(self, share: Option<State>) -> Style {
        let Some(state) = share else { return self.faint() };
        let tint = tint(state);
        let Some(ground) = self.colour(tint) else { return Style::new() };
        let bright = u32::from(tint.0) * 3 + u32::from(tint.1) * 6 + u32::from(tint.2) > 1_250;
        let ink = if bright { Color::Black } else { Color::White };
        Style::new().fg(ink).bg(ground)
    }

    /// Density, from 0 to 1, in a heat map.
    pub fn heat(self, density: f64) -> Style {
        // From blue over purple and orange to yellow: told apart by its lightness alone, too. The ground is the least of it.
        const DARK: [Tint; 5] = [
            (38, 60, 120, Color::Blue),
            (110, 60, 150, Color::Magenta),
            (190, 70, 100, Color::Red),
            (235, 130, 50, Color::Yellow),
            (250, 220, 90, Color::White),
        ];
        const LIGHT: [Tint; 5] = [
            (150, 170, 220, Color::Cyan),
            (120, 120, 200, Color::Blue),
            (150, 70, 160, Color::Magenta),
            (150, 40, 60, Color::Red),
            (80, 10, 30, Color::Black),
        ];
        let ramp = if self.background == Background::Dark { DARK } else { LIGHT };
        self.colour(ramp[level(density, ramp.len())]).map_or(Style::new(), |colour| Style::new().fg(colour))
    }
}

/// Which of `levels` steps a density from 0 to 1 belongs to.
pub fn level(density: f64, levels: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the steps")]
    let step = (density.clamp(0.0, 1.0) * levels as f64) as usize;
    step.min(levels.saturating_sub(1))
}

/// A state's letter.
pub fn letter(share: Option<State>) -> char {
    match share {
        None => '·',
        Some(State::AcceptQueue) => 'A',
        Some(State::RecvQueue) => 'Q',
        Some(State::AppQueue) => 'q',
        Some(State::OnCpu) => 'C',
        Some(State::RunQueue) => 'R',
        Some(State::Lock) => 'L',
        Some(State::KernelLock) => 'K',
        Some(State::Disk) => 'D',
        Some(State::PageFault) => 'P',
        Some(State::Downstream) => 'S',
        Some(State::Child) => 'c',
        Some(State::Sleep) => 'Z',
        Some(State::Send) => 'W',
        Some(State::Other) => '?',
    }
}

/// Red, green and blue of a state.
pub fn rgb(state: State) -> [u8; 3] {
    let (red, green, blue, _) = tint(state);
    [red, green, blue]
}

/// Colours that people with any kind of colour vision tell apart (after Okabe and Ito), as far as fourteen can be.
fn tint(state: State) -> Tint {
    match state {
        State::AcceptQueue => (250, 235, 150, Color::LightYellow),
        State::RecvQueue => (240, 228, 66, Color::Yellow),
        State::AppQueue => (190, 160, 110, Color::Yellow),
        State::OnCpu => (0, 158, 115, Color::Green),
        State::RunQueue => (230, 159, 0, Color::LightRed),
        State::Lock => (213, 94, 0, Color::Red),
        State::KernelLock => (150, 50, 40, Color::Red),
        State::Disk => (0, 114, 178, Color::Blue),
        State::PageFault => (120, 94, 200, Color::Magenta),
        State::Downstream => (86, 180, 233, Color::Cyan),
        State::Child => (150, 150, 220, Color::LightMagenta),
        State::Sleep => (204, 121, 167, Color::Magenta),
        State::Send => (70, 110, 220, Color::LightBlue),
        State::Other => (130, 130, 130, Color::DarkGray),
    }
}

fn depth_of(no_color: &str, colorterm: &str, term: &str) -> Depth {
    if !no_color.is_empty() || term == "dumb" {
        Depth::None
    } else if matches!(colorterm, "truecolor" | "24bit") {
        Depth::True
    } else if term.contains("256color") {
        Depth::Indexed
    } else {
        Depth::Sixteen
    }
}

/// `COLORFGBG` is `foreground;background` in the sixteen colours of ANSI.
fn background_of(colorfgbg: &str) -> Background {
    match colorfgbg.rsplit(';').next().and_then(|number| number.parse::<u8>().ok()) {
        Some(7 | 9..=15) => Background::Light,
        _ => Background::Dark,
    }
}

/// The nearest colour of xterm's cube of 6 × 6 × 6.
fn cube(red: u8, green: u8, blue: u8) -> u8 {
    let step = |part: u8| match part {
        0..48 => 0,
        48..115 => 1,
        part => (part - 35) / 40,
    };
    16 + 36 * step(red) + 6 * step(green) + step(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_tells_how_many_colours_there_are() {
        assert_eq!(depth_of("1", "truecolor", "xterm-256color"), Depth::None);
        assert_eq!(depth_of("", "truecolor", "xterm"), Depth::True);
        assert_eq!(depth_of("", "", "screen-256color"), Depth::Indexed);
        assert_eq!(depth_of("", "", "linux"), Depth::Sixteen);
        assert_eq!(background_of("0;15"), Background::Light);
        assert_eq!(background_of("15;0"), Background::Dark);
        assert_eq!(background_of(""), Background::Dark);
    }

    /// Every state can be told from the others without its colour.
    #[test]
    fn letters_are_different() {
        let mut letters: Vec<char> = State::ALL.into_iter().map(|state| letter(Some(state))).collect();
        letters.push(letter(None));
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), State::COUNT + 1);
    }

    #[test]
    fn without_colours_there_are_none() {
        let theme = Theme::new(Depth::None, Background::Dark);
        for state in State::ALL {
            assert_eq!(theme.block(Some(state)).bg, None);
        }
        assert_eq!((theme.bad().fg, theme.heat(1.0).fg), (None, None));
    }

    /// Letters can be read on the ground that they are for (the ratio of WCAG 2; three to one is its least for large or bold text, and
    /// heat is told by its character as well).
    #[test]
    fn letters_stand_out_from_their_ground() {
        let luminance = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let light = |red, green, blue| {
            0.2126 * luminance(red) + 0.7152 * luminance(green) + 0.0722 * luminance(blue) + 0.05
        };
        for (background, ground) in
            [(Background::Dark, light(22, 24, 29)), (Background::Light, light(255, 255, 255))]
        {
            let theme = Theme::new(Depth::True, background);
            let letters = [theme.faint(), theme.good(), theme.warn(), theme.bad(), theme.key()];
            for style in letters.into_iter().chain([theme.heat(1.0)]) {
                let Some(Color::Rgb(red, green, blue)) = style.fg else { panic!("{style:?}") };
                let ink = light(red, green, blue);
                let ratio = (ink / ground).max(ground / ink);
                assert!(ratio >= 3.0, "{background:?} {style:?}: {ratio}");
            }
        }
    }

    /// Of the sixteen, none that a light ground swallows is used on it, and none that a dark one does.
    #[test]
    fn the_sixteen_are_chosen_for_the_ground() {
        let densities = [0.0, 0.3, 0.5, 0.7, 1.0];
        for (background, swallowed) in [
            (Background::Dark, [Color::Black, Color::Reset, Color::Reset]),
            (Background::Light, [Color::White, Color::Yellow, Color::LightYellow]),
        ] {
            let theme = Theme::new(Depth::Sixteen, background);
            let letters = [theme.faint(), theme.good(), theme.warn(), theme.bad(), theme.key()];
            for style in letters.into_iter().chain(densities.map(|density| theme.heat(density))) {
                assert!(style.fg.is_some_and(|ink| !swallowed.contains(&ink)), "{background:?} {style:?}");
            }
        }
    }

    #[test]
    fn the_cube_has_its_corners() {
        assert_eq!((cube(0, 0, 0), cube(255, 255, 255), cube(255, 0, 0)), (16, 231, 196));
    }
}
