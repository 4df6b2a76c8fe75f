//! How whywait itself is, and its log.

use ratatui::widgets::Widget;
use tui_logger::{TuiLoggerLevelOutput, TuiLoggerWidget};

use super::Rows;
use crate::{
    live::MOST_BYTES,
    top::{canvas::Canvas, view::View},
    units::{fmt_count, fmt_us},
};

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let health = &view.snapshot.health;
    let theme = canvas.theme;
    let title = if view.snapshot.cursor.is_some() { "The recording" } else { "whywait itself" };
    canvas.heading(0, title);
    let lost = &health.lost;
    let said = if lost.total() == 0 {
        ("nothing was lost".to_owned(), theme.good())
    } else {
        let kinds: Vec<String> =
            lost.by_kind.iter().map(|(kind, count)| format!("{kind} {}", fmt_count(*count))).collect();
        let text = format!(
            "LOST {} records ({}), {} missing by number, {} too late for their order",
            fmt_count(lost.records),
            kinds.join(", "),
            fmt_count(lost.missing),
            fmt_count(lost.late)
        );
        (text, theme.bad())
    };
    let records = format!(
        "{} records since the beginning, {:.0} a second in the {}",
        fmt_count(health.records),
        view.span.per_second(view.span.sums.records),
        view.numbers_words()
    );
    let cursor = view.snapshot.cursor.as_ref();
    let behind = if health.lag == 0 {
        "keeps up".to_owned()
    } else {
        format!("{} behind", fmt_us(health.lag as f64 / 1e3))
    };
    let cost = format!(
        "{:.1} % of a CPU (this program; its probes run in the target's time, see docs/overhead.md)",
        health.cpu_percent
    );
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let memory = format!(
        "{:.1} MiB of history: ten minutes at most, {:.0} MiB at most",
        mib(health.history_bytes),
        mib(MOST_BYTES)
    );
    let sockets = if health.sockets_by_syscall {
        "system calls, which makes each one slower"
    } else {
        "socket tracepoints"
    };
    let lag = if health.lag == 0 { theme.good() } else { theme.warn() };
    let (reading, cost) = match cursor {
        None => (("reading", behind, lag), cost),
        Some(cursor) => (
            ("from", cursor.origin.to_string(), theme.plain()),
            format!("{:.1} % of a CPU, while it was recorded", cursor.recorder_percent),
        ),
    };
    let mut rows = vec![
        ("losses", said.0, said.1),
        ("records", records, theme.plain()),
        reading,
        ("cost", cost, theme.plain()),
        ("memory", memory, theme.plain()),
        ("sockets", sockets.to_owned(), theme.plain()),
    ];
    if let Some(cursor) = cursor {
        let room = usize::from(canvas.height() / 4);
        rows.extend(
            cursor.missing.iter().take(room).map(|missing| ("MISSING", missing.clone(), theme.bad())),
        );
    }
    let mut y = 1;
    for (label, text, style) in rows {
        canvas.text(0, y, label, theme.faint());
        canvas.text(9, y, &text, style);
        y += 1;
    }
    let missing: Vec<_> = health.capabilities.iter().filter(|(.., why)| why.is_some()).collect();
    canvas.text(0, y, "probes", theme.faint());
    let attached = health.capabilities.len() - missing.len();
    canvas.text(9, y, &format!("{attached} attached, {} missing", missing.len()), theme.plain());
    y += 1;
    for (hook, gives, why) in missing.iter().take(usize::from(canvas.height() / 4)) {
        let why = why.as_deref().unwrap_or_default();
        canvas.text(9, y, &format!("without {hook}: {gives} ({why})"), theme.warn());
        y += 1;
    }
    canvas.heading(y, "Log");
    let log = canvas.part(0, y + 1, canvas.width(), canvas.height().saturating_sub(y + 1)).area;
    TuiLoggerWidget::default()
        .output_separator(' ')
        .output_timestamp(Some("%H:%M:%S".to_owned()))
        .output_level(Some(TuiLoggerLevelOutput::Abbreviated))
        .output_target(false)
        .output_file(false)
        .output_line(false)
        .style_error(theme.bad())
        .style_warn(theme.warn())
        .style_info(theme.plain())
        .render(log, canvas.buffer());
    Rows::default()
}
