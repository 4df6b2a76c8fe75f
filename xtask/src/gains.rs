//! What a finding said would help, held against the same scenario without its cause.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What `detect.py --out` writes, as far as it matters here.
#[derive(Deserialize)]
struct Run {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    score: Option<Score>,
}

#[derive(Deserialize)]
struct Score {
    mean_us: Option<f64>,
    client: Option<Client>,
    #[serde(default)]
    findings: Vec<Finding>,
}

/// What the load generator measured.
#[derive(Deserialize)]
struct Client {
    p99_us: Option<f64>,
}

#[derive(Deserialize)]
struct Finding {
    id: String,
    gain: Option<Gain>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "names of the JSON contract")]
struct Gain {
    mean_us: f64,
    p99_us: f64,
    mean_now_us: f64,
}

/// The first finding of each scenario: mean and 99th percentile as it said they would be without its cause, and as they were in the run without
/// it.
///
/// # Errors
/// When one of the files is not what `detect.py` writes.
pub fn table(with: &Path, without: &Path) -> Result<String> {
    Ok(compared(&read(with)?, &read(without)?))
}

fn read(file: &Path) -> Result<Run> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what detect.py writes", file.display()))
}

fn compared(with: &Run, without: &Run) -> String {
    let came: HashMap<&str, &Score> =
        without.scenarios.iter().filter_map(|one| Some((one.name.as_str(), one.score.as_ref()?))).collect();
    let mut table = String::from(
        "| scenario | finding | mean with it | without it, as said | as it came | off | p99, as said | as it came | off |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for scenario in &with.scenarios {
        let first = scenario.score.as_ref().and_then(|score| score.findings.first());
        let (Some(finding), Some(after)) = (first, came.get(scenario.name.as_str())) else { continue };
        let (Some(gain), Some(mean)) = (&finding.gain, after.mean_us) else { continue };
        let p99 = after.client.as_ref().and_then(|client| client.p99_us);
        let _ = writeln!(
            table,
            "| {} | `{}` | {} | {} | {} | {} | {} | {} | {} |",
            scenario.name,
            finding.id,
            ms(Some(gain.mean_now_us)),
            ms(Some(gain.mean_us)),
            ms(Some(mean)),
            off(gain.mean_us, Some(mean)),
            ms(Some(gain.p99_us)),
            ms(p99),
            off(gain.p99_us, p99),
        );
    }
    table
}

fn ms(us: Option<f64>) -> String {
    us.map_or_else(|| "–".to_owned(), |us| format!("{:.2} ms", us / 1e3))
}

fn off(said: f64, came: Option<f64>) -> String {
    let came = came.filter(|came| *came > 0.0);
    came.map_or_else(|| "–".to_owned(), |came| format!("{:+.0} %", (said / came - 1.0) * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_stands_beside_what_came() {
        let with = r#"{"scenarios":[{"name":"lock","score":{"mean_us":9000.0,"findings":[
            {"id":"lock_contention","gain":{"mean_us":1200.0,"p99_us":2000.0,"mean_now_us":9000.0}}]}},
            {"name":"healthy","score":{"mean_us":10.0,"findings":[]}},{"name":"skipped"}]}"#;
        let without =
            r#"{"scenarios":[{"name":"lock","score":{"mean_us":1000.0,"client":{"p99_us":2000.0}}}]}"#;
        let (with, without): (Run, Run) =
            (serde_json::from_str(with).unwrap(), serde_json::from_str(without).unwrap());
        let rows: Vec<String> = compared(&with, &without).lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            rows,
            ["| lock | `lock_contention` | 9.00 ms | 1.20 ms | 1.00 ms | +20 % | 2.00 ms | 2.00 ms | +0 % |"]
        );
    }
}
