//! What the load generator measured, beside what whywait found: two views of the same requests.

use std::io::{self, Write};

use demo_servers::load::LoadReport;

use crate::{
    report::{Explanation, Palette, Tone, paragraph},
    units::{fmt_count, fmt_us},
};

/// Writes both views.
pub fn write(
    explanation: &Explanation,
    load: &LoadReport,
    palette: Palette,
    out: &mut dyn Write,
) -> io::Result<()> {
    let title =
        format!("{:<38} {:>10} {:>10} {:>10} {:>10}", "Do the two agree?", "requests", "mean", "p50", "p99");
    writeln!(out, "{}", palette.paint(Tone::Faint, &title))?;
    let (inside, outside) = (&explanation.requests.latency_us, &load.service_us);
    let rows = [
        ("whywait, from kernel events", explanation.requests.count, inside.mean, inside.p50, inside.p99),
        ("the load generator, from outside", load.requests, outside.mean, outside.p50, outside.p99),
    ];
    for (who, count, mean, p50, p99) in rows {
        let [mean, p50, p99] = [mean, p50, p99].map(fmt_us);
        writeln!(out, "{who:<38} {:>10} {mean:>10} {p50:>10} {p99:>10}", fmt_count(count))?;
    }
    paragraph(
        out,
        "",
        "(The load generator's time includes opening the connection, the way there and back, and its own wait for a CPU.)",
    )?;
    let failed = load.errors.total() + load.unsent;
    if failed > 0 {
        let text = format!(
            "{} requests failed or could not be sent: the server is slower than the load asks for, or the machine is \
             too busy.",
            fmt_count(failed)
        );
        writeln!(out)?;
        paragraph(out, "", &text)?;
    }
    Ok(())
}
