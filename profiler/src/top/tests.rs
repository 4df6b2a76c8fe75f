//! Pictures of every screen, from one fixed stream of events, in the files of `tests/`: as text at several sizes, with their colours as SVG.
//! `UPDATE_PICTURES=1 cargo test -p whywait top::` writes them anew.

use std::{env, fs, path::Path, sync::Arc};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier},
};

use super::{
    app::{App, Wish},
    screens::{SCREENS, Screen},
    shot,
    theme::{Background, Depth, Theme},
};
use crate::{
    live::{Cursor, Lost, Motion, Note, Said, Snapshot, Status, testing},
    playback::{Command, Moment},
    units::Ns,
};

const PLAIN: Theme = Theme::new(Depth::None, Background::Dark);
const COLOUR: Theme = Theme::new(Depth::True, Background::Dark);
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn picture(app: &mut App, (width, height): (u16, u16), theme: Theme) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    app.draw(&mut buffer, theme);
    buffer
}

fn press(app: &mut App, code: KeyCode) -> Option<Wish> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE), PLAIN)
}

fn text(app: &mut App, size: (u16, u16)) -> String {
    shot::text(&picture(app, size, PLAIN))
}

/// Compares with a file of `tests/`, or writes it.
fn check(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/tests").join(name);
    if env::var_os("UPDATE_PICTURES").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{name} is not as it was (UPDATE_PICTURES=1 writes it anew):\n{found}");
}

fn check_all(name: &str, app: &mut App) {
    for size in SIZES {
        let (width, height) = size;
        let plain = text(app, size);
        check(&format!("{name}-{width}x{height}.txt"), &plain);
        for depth in [Depth::Sixteen, Depth::Indexed, Depth::True] {
            for background in [Background::Dark, Background::Light] {
                let coloured = picture(app, size, Theme::new(depth, background));
                assert_eq!(shot::text(&coloured), plain, "{name}: colours change the text");
            }
        }
        check(&format!("{name}-{width}x{height}.colours"), &colours(&picture(app, size, COLOUR)));
    }
    check(&format!("{name}.svg"), &shot::svg(&picture(app, (120, 40), COLOUR)));
}

/// The picture's colours: what looks alike has the same letter, and the letters are explained below.
fn colours(buffer: &Buffer) -> String {
    const LETTERS: &str = " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut looks: Vec<(Color, Color, Modifier)> = vec![(Color::Reset, Color::Reset, Modifier::empty())];
    let mut map = String::new();
    for row in buffer.content().chunks(usize::from(buffer.area.width)) {
        let letters = row.iter().map(|cell| {
            let look = (cell.fg, cell.bg, cell.modifier);
            let place = looks.iter().position(|known| *known == look).unwrap_or_else(|| {
                looks.push(look);
                looks.len() - 1
            });
            LETTERS.chars().nth(place).expect("a letter for every look")
        });
        map += letters.collect::<String>().trim_end();
        map.push('\n');
    }
    let told = LETTERS.chars().zip(&looks).skip(1);
    let told = told
        .map(|(letter, (ink, ground, modifier))| format!("{letter}: {ink:?} on {ground:?} {modifier:?}\n"));
    map + &told.collect::<String>()
}

/// Every depth of colour, on dark and on light.
#[test]
fn the_overview_has_the_terminals_colours() {
    let mut app = App::new(testing::recorded(45));
    for (depth, name) in [(Depth::Sixteen, "16"), (Depth::Indexed, "256"), (Depth::True, "true")] {
        for (background, ground) in [(Background::Dark, "dark"), (Background::Light, "light")] {
            let picture = picture(&mut app, (120, 40), Theme::new(depth, background));
            check(&format!("overview-{name}-{ground}.colours"), &colours(&picture));
        }
    }
}

/// Where system calls are traced their counts, errors and times are told.
#[test]
fn traced_calls_are_as_they_were() {
    let mut app = App::new(testing::traced());
    press(&mut app, KeyCode::Char('5'));
    check_all("calls-traced", &mut app);
}

/// Losses, lag, missing probes; the log below is of this process, with the time of day.
#[test]
fn the_health_is_as_it_was() {
    let mut app = App::new(testing::recorded(45));
    press(&mut app, KeyCode::Char('0'));
    for (width, height) in SIZES {
        let shown = text(&mut app, (width, height));
        let until: Vec<&str> = shown.lines().take_while(|line| !line.starts_with("Log ─")).collect();
        check(&format!("log-{width}x{height}.txt"), &(until.join("\n") + "\n"));
    }
}

/// What happened to the target is told for a while, in the place of what is to be seen.
#[test]
fn news_are_told_for_ten_seconds() {
    let shown = |ago: u64| {
        let mut snapshot = Snapshot::clone(&testing::recorded(45));
        let at = Ns(snapshot.at.0 - ago * 1_000_000_000);
        snapshot.notes.push(Note { at, title: "sh (7) executes shop now".to_owned(), text: String::new() });
        text(&mut App::new(Arc::new(snapshot)), (120, 40))
    };
    assert!(shown(3).contains("▲ sh (7) executes shop now"));
    assert!(shown(12).contains("▲ a slow database: Stock"), "{}", shown(12));
}

#[test]
fn every_screen_is_as_it_was() {
    let mut app = App::new(testing::recorded(45));
    for screen in SCREENS {
        press(&mut app, KeyCode::Char(screen.number()));
        assert_eq!(app.screen, *screen);
        // The log is of this process, with the time of day.
        if *screen != Screen::Health {
            check_all(&screen.name().to_lowercase(), &mut app);
        }
    }
    press(&mut app, KeyCode::Char('?'));
    check_all("help", &mut app);
}

#[test]
fn a_request_opens_as_it_was() {
    let mut app = App::new(testing::recorded(28));
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Enter);
    check_all("request", &mut app);
}

#[test]
fn a_lock_opens_as_it_was() {
    let mut app = App::new(testing::recorded(28));
    press(&mut app, KeyCode::Char('4'));
    press(&mut app, KeyCode::Enter);
    check_all("lock", &mut app);
}

/// Where nobody runs servers side by side the screen says who does.
#[test]
fn without_models_the_screen_says_what_it_is_for() {
    let snapshot = Snapshot { models: None, ..Snapshot::clone(&testing::recorded(5)) };
    let mut app = App::new(Arc::new(snapshot));
    press(&mut app, KeyCode::Char('9'));
    assert!(text(&mut app, (80, 24)).contains("whywait race"));
}

/// The planted cause of each part is in the first sentence.
#[test]
fn the_overview_says_why() {
    let first_lines = |seconds| {
        let mut app = App::new(testing::recorded(seconds));
        text(&mut app, (120, 40)).lines().skip(2).take(3).collect::<Vec<_>>().join(" ")
    };
    assert!(first_lines(14).contains("running on a CPU"), "{}", first_lines(14));
    assert!(first_lines(29).contains("waiting for a lock"), "{}", first_lines(29));
    assert!(first_lines(29).contains("0x7f3a1c00d040"), "{}", first_lines(29));
    assert!(first_lines(44).contains("waiting for another service"), "{}", first_lines(44));
    assert!(first_lines(44).contains("10.0.9.1:5432"), "{}", first_lines(44));
}

/// Nothing is drawn outside, nothing panics: any key on any screen at any size, with nothing to show and with much.
#[test]
fn any_key_at_any_size() {
    let codes = "?1234567890 []+-=jkeo/x\u{1b}sr<>,.gnpw".chars().map(KeyCode::Char).chain([
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
    ]);
    let codes: Vec<KeyCode> = codes.collect();
    let snapshots = [
        Arc::new(Snapshot::default()),
        testing::recorded(31),
        replayed(31, Motion::Playing),
        Arc::new(Snapshot { cursor: Some(cursor(0, Motion::AtEnd)), ..Snapshot::default() }),
    ];
    for snapshot in snapshots {
        let mut app = App::new(Arc::clone(&snapshot));
        for screen in SCREENS {
            for size in [(0, 0), (1, 1), (79, 24), (80, 24), (300, 100)] {
                for code in &codes {
                    press(&mut app, KeyCode::Char(screen.number()));
                    press(&mut app, *code);
                    picture(&mut app, size, COLOUR);
                    press(&mut app, KeyCode::Esc);
                    press(&mut app, KeyCode::Esc);
                }
            }
        }
    }
}

#[test]
fn a_small_terminal_is_told_so() {
    let mut app = App::new(testing::recorded(5));
    assert!(text(&mut app, (60, 20)).contains("whywait needs 80 × 24"));
}

#[test]
fn losses_and_the_targets_end_are_in_the_header() {
    let mut snapshot = Snapshot::clone(&testing::recorded(5));
    snapshot.health.lost = Lost { records: 7, ..Lost::default() };
    snapshot.health.lag = 250_000_000;
    snapshot.status = Status::Waiting { whom: "a process named shop".to_owned() };
    let header =
        text(&mut App::new(Arc::new(snapshot)), (120, 40)).lines().next().unwrap_or_default().to_owned();
    for part in ["LOST 7", "lag 250 ms", "HAS ENDED, waiting for a process named shop"] {
        assert!(header.contains(part), "{header}");
    }
}

/// A frozen picture stays while time goes on, and so does a moment of the past.
#[test]
fn a_moment_stays() {
    let mut app = App::new(testing::recorded(20));
    press(&mut app, KeyCode::Char(' '));
    let frozen = text(&mut app, (120, 40));
    assert!(frozen.contains("FROZEN"));
    assert!(!app.update(testing::recorded(40)));
    assert_eq!(text(&mut app, (120, 40)), frozen);
    press(&mut app, KeyCode::Char(' '));
    let mut app = App::new(testing::recorded(20));
    // Far enough for requests whose end is told late.
    (0..6).for_each(|_| {
        press(&mut app, KeyCode::Left);
    });
    let routes = |app: &mut App| {
        let text = text(app, (120, 40));
        text.lines().filter(|line| line.contains("GET /")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = routes(&mut app);
    app.update(testing::recorded(22));
    assert_eq!(routes(&mut app), before);
}

#[test]
fn a_filter_keeps_what_contains_it() {
    let mut app = App::new(testing::recorded(28));
    press(&mut app, KeyCode::Char('2'));
    press(&mut app, KeyCode::Char('/'));
    "ORDER".chars().for_each(|letter| {
        press(&mut app, KeyCode::Char(letter));
    });
    press(&mut app, KeyCode::Enter);
    let shown = text(&mut app, (120, 40));
    assert!(shown.contains("POST /order") && !shown.contains("GET /report"), "{shown}");
    press(&mut app, KeyCode::Esc);
    assert!(app.filter.is_empty());
}

/// Requests are filtered by route, state and latency, all at once.
#[test]
fn requests_are_filtered_by_several_words() {
    let listed = |filter: &str| {
        let mut app = App::new(testing::recorded(28));
        press(&mut app, KeyCode::Char('2'));
        press(&mut app, KeyCode::Char('/'));
        filter.chars().for_each(|letter| {
            press(&mut app, KeyCode::Char(letter));
        });
        let text = text(&mut app, (120, 100));
        text.lines().skip(4).filter(|line| line.contains(" GET /") || line.contains(" POST /")).count()
    };
    let all = listed("");
    let long = listed("post lock >50ms");
    assert!(long > 0 && long < listed("lock"), "{long} of {all}");
    assert_eq!(listed("lock <1ms"), 0);
    assert_eq!(listed("downstream"), 0);
}

#[test]
fn the_mouse_chooses_tabs_and_rows() {
    let mut app = App::new(testing::recorded(28));
    let click = |app: &mut App, column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        app.mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    picture(&mut app, (120, 40), PLAIN);
    click(&mut app, 13, 1);
    assert_eq!(app.screen, Screen::Requests);
    picture(&mut app, (120, 40), PLAIN);
    click(&mut app, 5, 6);
    assert_eq!(app.view(PLAIN).chosen, 2);
}

#[test]
fn quit_closes_what_is_open_first() {
    let mut app = App::new(testing::recorded(5));
    press(&mut app, KeyCode::Char('?'));
    assert_eq!(press(&mut app, KeyCode::Char('q')), Some(Wish::Redraw));
    assert_eq!(press(&mut app, KeyCode::Char('q')), Some(Wish::Quit));
}

/// What comes from the wire or from a process's name does not reach the terminal as it is.
#[test]
fn control_characters_are_not_shown() {
    let mut snapshot = Snapshot::clone(&testing::recorded(5));
    snapshot.target.command = "evil\u{1b}[2J\u{7}".to_owned();
    let shown = text(&mut App::new(Arc::new(snapshot)), (120, 40));
    assert!(shown.chars().all(|letter| letter == '\n' || !letter.is_control()));
}

const SECOND: u64 = 1_000_000_000;

/// A cursor in a recording of 45 s, in which causes appear and one request is the slowest.
fn cursor(seconds: u64, motion: Motion) -> Cursor {
    Cursor {
        position: seconds * SECOND,
        length: 45 * SECOND,
        speed: 10.0,
        motion,
        appearances: Arc::new(vec![20 * SECOND, 35 * SECOND]),
        slowest: Some(40 * SECOND),
        looked_through: 1.0,
        origin: "12,345 records from 2026-11-24 17:00:00 UTC on".into(),
        recorder_percent: 1.5,
        missing: Arc::new(vec!["the recording was cut off before its end".to_owned()]),
        said: None,
    }
}

/// The stream as a recording shows it.
fn replayed(seconds: u64, motion: Motion) -> Arc<Snapshot> {
    let live = Snapshot::clone(&testing::recorded(seconds));
    Arc::new(Snapshot { cursor: Some(cursor(seconds, motion)), backlogs: Vec::new(), ..live })
}

#[test]
fn a_recording_is_as_it_was() {
    check_all("replay", &mut App::new(replayed(28, Motion::Playing)));
    let mut app = App::new(replayed(28, Motion::Paused));
    press(&mut app, KeyCode::Char('?'));
    check_all("replay-help", &mut app);
}

/// The header of each way in which time goes on.
#[test]
fn the_header_says_how_time_goes_on() {
    for (motion, said) in [
        (Motion::Playing, "▶ playing 10×"),
        (Motion::Paused, "‖ paused 10×"),
        (Motion::AtEnd, "■ end 10×"),
        (Motion::Jumping { to: 44 * SECOND, done: 0.43 }, "» to 0:44.0 43 %"),
    ] {
        let text = text(&mut App::new(replayed(31, motion)), (80, 24));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("whywait replay: shop") && !lines[0].contains("lag"), "{}", lines[0]);
        let bar = lines[2];
        assert!(bar.starts_with(said) && bar.contains("0:31.0 / 0:45.0"), "{bar}");
        let place = |sign| bar.chars().position(|letter| letter == sign);
        assert!(place('◆') < place('●') && place('●') < place('w'), "{bar}");
    }
}

/// Keys of the cursor are handed on; the moment that was looked at in the past is let go where the cursor jumps.
#[test]
fn keys_move_the_cursor() {
    let mut app = App::new(replayed(31, Motion::Playing));
    for (code, command) in [
        (KeyCode::Char(' '), Command::Pause),
        (KeyCode::Char('<'), Command::Slower),
        (KeyCode::Char('>'), Command::Faster),
        (KeyCode::Char('n'), Command::NextFinding),
        (KeyCode::Char('p'), Command::PreviousFinding),
        (KeyCode::Char('w'), Command::Slowest),
        (KeyCode::Home, Command::To(Moment::FromBegin(0))),
        (KeyCode::End, Command::To(Moment::FromEnd(0))),
    ] {
        assert_eq!(press(&mut app, code), Some(Wish::Play(command)));
    }
    press(&mut app, KeyCode::Left);
    press(&mut app, KeyCode::Char(' '));
    assert_eq!(app.back, 1);
    press(&mut app, KeyCode::Char('n'));
    assert_eq!(app.back, 0);
    assert!(!app.is_frozen());
    let mut live = App::new(testing::recorded(31));
    assert_eq!(press(&mut live, KeyCode::Char('n')), None);
}

#[test]
fn a_moment_is_typed() {
    let mut app = App::new(replayed(31, Motion::Playing));
    let mut type_in = |text: &str| {
        press(&mut app, KeyCode::Char('g'));
        text.chars().for_each(|letter| {
            press(&mut app, KeyCode::Char(letter));
        });
        let wish = press(&mut app, KeyCode::Enter);
        (wish, app.message.clone().unwrap_or_default())
    };
    let (wish, _) = type_in("0:12.5");
    assert_eq!(wish, Some(Wish::Play(Command::To(Moment::FromBegin(12 * SECOND + SECOND / 2)))));
    let (wish, _) = type_in("-5s");
    assert_eq!(wish, Some(Wish::Play(Command::To(Moment::FromEnd(5 * SECOND)))));
    let (wish, message) = type_in("noon");
    assert!(wish == Some(Wish::Redraw) && message.contains("`noon` is no time"), "{message}");
    press(&mut app, KeyCode::Char('g'));
    assert!(text(&mut app, (120, 40)).contains("go to: "));
    press(&mut app, KeyCode::Esc);
    assert!(!text(&mut app, (120, 40)).contains("go to: "));
}

#[test]
fn a_click_on_the_bar_goes_there() {
    let mut app = App::new(replayed(31, Motion::Playing));
    picture(&mut app, (120, 40), PLAIN);
    let mut click = |column| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        app.mouse(MouseEvent { kind, column, row: 2, modifiers: KeyModifiers::NONE })
    };
    assert_eq!(click(44), Some(Wish::Play(Command::To(Moment::FromBegin(0)))));
    assert_eq!(click(107), Some(Wish::Play(Command::To(Moment::FromBegin(45 * SECOND)))));
    assert_eq!((click(3), click(119)), (None, None));
}

/// An answer is said once, and opens what it is about.
#[test]
fn an_answer_is_said_and_opened() {
    let mut app = App::new(replayed(31, Motion::Playing));
    let mut snapshot = Snapshot::clone(&replayed(31, Motion::Paused));
    let kept = snapshot.buckets.iter().find_map(|bucket| bucket.slowest.first()).cloned();
    let said = Said { number: 1, text: "the slowest request: 68.0 ms".to_owned(), open: kept };
    snapshot.cursor.as_mut().unwrap().said = Some(said);
    let snapshot = Arc::new(snapshot);
    app.update(Arc::clone(&snapshot));
    let shown = text(&mut app, (120, 40));
    assert!(shown.contains("the slowest request: 68.0 ms") && shown.contains("read by"), "{shown}");
    press(&mut app, KeyCode::Esc);
    app.update(snapshot);
    let shown = text(&mut app, (120, 40));
    assert!(!shown.contains("the slowest request: 68.0 ms") && shown.contains("Slowest requests"), "{shown}");
}

/// What is not in a recording is said, where a live run would show it.
#[test]
fn what_is_not_in_a_recording_is_said() {
    let mut app = App::new(replayed(31, Motion::Playing));
    press(&mut app, KeyCode::Char('r'));
    assert!(text(&mut app, (120, 40)).contains("this is a recording"));
    press(&mut app, KeyCode::Char('7'));
    assert!(text(&mut app, (120, 40)).contains("is not in a recording"));
    press(&mut app, KeyCode::Char('0'));
    let shown = text(&mut app, (120, 40));
    for part in ["12,345 records from 2026", "MISSING", "was cut off before its end", "1.5 % of a CPU"] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    assert!(!shown.contains("keeps up"), "{shown}");
}
