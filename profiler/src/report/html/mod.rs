//! A report as one page that loads nothing: the finding first, then what it rests on, as pictures.
//!
//! The page holds its data in one block of JSON, which a script of its own draws. Names of routes, threads and functions come from strangers:
//! the block cannot be left by anything in it, the script makes text of it and never markup, and the page's policy lets nothing else run.

mod course;
mod data;
mod escape;
mod flame;

use std::io::{self, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

pub use self::course::Course;
use self::{data::Data, escape::json};
use super::{
    explanation::Explanation,
    text::{answer, gain, losses},
};
use crate::{markup::escaped, observe::Observation, units::fmt_percent};

const STYLE: &str = include_str!("style.css");
const BODY: &str = include_str!("body.html");
const SCRIPT: &str = concat!(include_str!("draw.js"), include_str!("sections.js"), include_str!("flame.js"));

/// Writes the page of a run.
///
/// # Errors
/// When it cannot be written.
pub fn write_page(
    explanation: &Explanation,
    observation: &Observation,
    course: &Course,
    out: &mut dyn Write,
) -> io::Result<()> {
    write(explanation, &Data::new(explanation, observation, course), out)
}

fn write(explanation: &Explanation, data: &Data, out: &mut dyn Write) -> io::Result<()> {
    let name = escaped(&explanation.target.command);
    let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action \
         'none'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>whywait: {name}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Why requests to {name} wait</h1>\n<p class=\"answer\">{}</p>",
        escaped(&answer(explanation))
    )?;
    for loss in losses(explanation) {
        writeln!(out, "<p class=\"loss\">{}</p>", escaped(&loss))?;
    }
    write_findings(explanation, out)?;
    out.write_all(BODY.as_bytes())?;
    let data = json(&serde_json::to_string(data)?);
    writeln!(
        out,
        "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>"
    )
}

/// The causes, with what to do about each.
fn write_findings(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    if explanation.findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section id=\"findings\">\n<h2>Causes</h2>\n<ol>")?;
    for finding in &explanation.findings {
        writeln!(
            out,
            "<li><h3>{}</h3>\n<p class=\"faint\">explains {} of the time of the slowest 10 %, {} of all; {} sure</p>\n<p>{}</p>",
            finding.id.id(),
            fmt_percent(finding.share),
            fmt_percent(finding.share_of_all),
            fmt_percent(finding.confidence),
            escaped(&finding.summary)
        )?;
        if let Some(gain) = finding.gain.as_ref().and_then(gain) {
            writeln!(out, "<p>{}</p>", escaped(&gain))?;
        }
        writeln!(out, "<p><b>Do:</b> {}</p></li>", escaped(&finding.advice))?;
    }
    writeln!(out, "</ol>\n</section>")
}
