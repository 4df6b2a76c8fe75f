//! The causes, with what to do about each.

use std::io::{self, Write};

use super::{
    super::palette::{Palette, Tone},
    layout::{paragraph, wrap},
};
use crate::{
    explain::{Finding, Gain},
    units::{fmt_percent, fmt_us},
};

/// Below this a finding is told as a guess.
const SURE: f64 = 0.7;

/// Writes the causes, most of the time first; nothing where there is none. The first one's sentence is the answer already.
pub(super) fn write(findings: &[Finding], palette: Palette, out: &mut dyn Write) -> io::Result<()> {
    for (at, finding) in findings.iter().enumerate() {
        let head = format!(
            "{} explains {} of the time of the slowest 10 %, {} of all{}",
            finding.id.id(),
            fmt_percent(finding.share),
            fmt_percent(finding.share_of_all),
            sure(finding.confidence)
        );
        let heads = wrap(&format!("{:<12}{head}", if at == 0 { "Cause" } else { "Also" }), "");
        for line in heads {
            writeln!(out, "{}", palette.paint(Tone::Warn, &line))?;
        }
        if at > 0 {
            paragraph(out, " ", &finding.summary)?;
        }
        if let Some(gain) = finding.gain.as_ref().and_then(gain) {
            paragraph(out, " ", &gain)?;
        }
        paragraph(out, "Do", &finding.advice)?;
    }
    if !findings.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}

/// How sure it is, where that is less than usual.
fn sure(confidence: f64) -> String {
    if confidence < SURE { format!(" ({} sure)", fmt_percent(confidence)) } else { String::new() }
}

/// What would be without it, where that is less.
pub(in super::super) fn gain(gain: &Gain) -> Option<String> {
    let less = gain.p99_us < 0.95 * gain.p99_now_us || gain.mean_us < 0.95 * gain.mean_now_us;
    less.then(|| {
        format!(
            "Without it the mean would be about {} instead of {}, and p99 {} instead of {}.",
            fmt_us(gain.mean_us),
            fmt_us(gain.mean_now_us),
            fmt_us(gain.p99_us),
            fmt_us(gain.p99_now_us)
        )
    })
}
