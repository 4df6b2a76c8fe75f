//! Servers of different concurrency models side by side, where `whywait race` or `whywait demo` runs them.

use super::{Rows, stack};
use crate::{
    live::{Mark, ModelRow, Models},
    top::{answer::mostly, canvas::Canvas, view::View},
};

/// What the screen is for, where nobody runs servers.
const PURPOSE: &str = "Here the reference servers stand side by side: one for each concurrency model, run one after the other under the \
                       same load, with what a request costs in each. `whywait demo` ends its tour with some of them; `whywait race \
                       --screen` runs all fifteen, or a server of your own beside them.";

/// What the marks mean.
const MARKS: &str = "+ best, ! worst";

/// Columns of a bar of states.
const BAR: u16 = 40;

pub fn draw(view: &View, canvas: &mut Canvas) -> Rows {
    let theme = canvas.theme;
    let Some(models) = view.snapshot.models.as_deref() else {
        canvas.heading(0, "Models side by side");
        canvas.paragraph(2, PURPOSE, theme.plain());
        return Rows::default();
    };
    canvas.heading(0, &format!("Models side by side: {}", how_far(models)));
    let mut y = canvas.paragraph(1, &format!("{}.", models.conditions), theme.faint());
    for line in &models.conclusions {
        y = canvas.paragraph(y, line, theme.strong());
    }
    for (name, why) in &models.failed {
        y = canvas.paragraph(y, &format!("{name} could not run: {why}"), theme.bad());
    }
    y += 1;
    let label = label_width(models);
    let left = canvas.height().saturating_sub(y + 2);
    // Both tables where there is room for them, else one at a time.
    let count = u16::try_from(models.rows.len()).unwrap_or(u16::MAX);
    let both = left >= 2 * count + 4;
    if both || !view.switched {
        y = figures(models, label, canvas, y) + 1;
    }
    if both || view.switched {
        bars(models, label, canvas, y);
    }
    Rows::default()
}

/// Who runs, and who is to come.
fn how_far(models: &Models) -> String {
    let mut parts: Vec<String> =
        models.running.iter().map(|name| format!("{name} runs, its figures follow")).collect();
    if models.is_over() {
        parts.push("all have run".to_owned());
    } else if !models.to_come.is_empty() {
        parts.push(format!("then {}", models.to_come.join(", ")));
    }
    parts.join("; ")
}

/// Columns of the names, also of those that are still to come: figures stay where they are.
fn label_width(models: &Models) -> u16 {
    let names = models.rows.iter().map(|row| &row.name).chain(&models.running).chain(&models.to_come);
    names.map(|name| width(name)).max().unwrap_or(0).max(width(MARKS))
}

fn width(text: &str) -> u16 {
    u16::try_from(text.chars().count()).unwrap_or(u16::MAX)
}

/// Figures, as many columns as there is room for; returns the row below.
fn figures(models: &Models, label: u16, canvas: &mut Canvas, y: u16) -> u16 {
    let theme = canvas.theme;
    let mut x = label;
    for (column, head) in models.heads.iter().enumerate() {
        let cells = models.rows.iter().filter_map(|row| row.cells.get(column));
        let wide = cells.map(|(text, _)| width(text)).chain(head.iter().map(|line| width(line))).max();
        let right = x + 1 + wide.unwrap_or(0);
        // One more for the mark.
        if right + 1 > canvas.width() {
            break;
        }
        for (line, text) in (y..).zip(head) {
            canvas.text(right - width(text), line, text, theme.faint());
        }
        for (line, row) in (y + 2..canvas.height()).zip(&models.rows) {
            let Some((text, mark)) = row.cells.get(column) else { continue };
            let (style, sign) = match mark {
                Some(Mark::Best) => (theme.good(), "+"),
                Some(Mark::Worst) => (theme.bad(), "!"),
                None => (theme.plain(), ""),
            };
            canvas.text(right - width(text), line, text, style);
            canvas.text(right, line, sign, style);
        }
        x = right + 1;
    }
    names(models, canvas, y + 1, MARKS)
}

/// The first column; returns the row below.
fn names(models: &Models, canvas: &mut Canvas, y: u16, head: &str) -> u16 {
    let theme = canvas.theme;
    canvas.text(0, y, head, theme.faint());
    let mut line = y + 1;
    for ModelRow { name, .. } in &models.rows {
        canvas.text(0, line, name, theme.plain());
        line += 1;
    }
    if let Some(name) = &models.running {
        canvas.text(0, line, &format!("{name} …"), theme.warn());
        line += 1;
    }
    line
}

/// Where the time of a request goes in each.
fn bars(models: &Models, label: u16, canvas: &mut Canvas, y: u16) {
    let theme = canvas.theme;
    let x = label + 1;
    canvas.text(x + 9, y, "Where the time of a request goes, in the mean", theme.faint());
    names(models, canvas, y, "");
    for (line, row) in (y + 1..canvas.height()).zip(&models.rows) {
        canvas.text(x + 8 - width(&row.mean).min(8), line, &row.mean, theme.plain());
        let bar = canvas.width().saturating_sub(x + 45).clamp(8, BAR);
        stack::bar(canvas, (x + 9, line), bar, &row.times);
        canvas.text(x + 10 + bar, line, &mostly(&row.times), theme.faint());
    }
}
