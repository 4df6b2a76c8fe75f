//! The findings for people.

use std::io::{self, Write};

use super::diagnosis::{Diagnosis, Group, State};
use crate::report::{Palette, Tone, paragraph};

/// Columns of a name.
const NAME: usize = 20;

pub fn write(diagnosis: &Diagnosis, palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    for group in Group::ALL {
        let mut checks = diagnosis.checks.iter().filter(|check| check.group == group).peekable();
        if checks.peek().is_none() {
            continue;
        }
        writeln!(out, "{}", palette.paint(Tone::Strong, group.title()))?;
        for check in checks {
            let (mark, tone) = match check.state {
                State::Available => ("ok", Tone::Good),
                State::Missing if group == Group::Extras => ("no", Tone::Faint),
                State::Missing if check.required => ("NO", Tone::Bad),
                State::Missing => ("no", Tone::Warn),
                State::NotTried => ("-", Tone::Faint),
            };
            let mark = palette.paint(tone, &format!("{mark:<3}"));
            writeln!(out, "  {mark} {:<NAME$} {}", check.name, check.gives)?;
            if let Some(why) = &check.why {
                let takes = check.takes.as_deref().map_or_else(String::new, |takes| format!("; {takes}"));
                paragraph(out, "        ->", &format!("{why}{takes}"))?;
            }
        }
        writeln!(out)?;
    }
    if diagnosis.checks.iter().any(|check| check.state == State::NotTried) {
        let key = "(- : not tried, because another one does its work, or something above is missing)";
        writeln!(out, "{}\n", palette.paint(Tone::Faint, key))?;
    }
    let tone = if diagnosis.works { Tone::Good } else { Tone::Bad };
    let mut verdict = Vec::new();
    paragraph(&mut verdict, "", &diagnosis.verdict)?;
    for line in String::from_utf8_lossy(&verdict).lines() {
        writeln!(out, "{}", palette.paint(tone, line))?;
    }
    Ok(())
}
