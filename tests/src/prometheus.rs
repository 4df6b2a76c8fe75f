//! A Prometheus of Debian's package that scrapes one endpoint.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::guard::{Guard, wait_until};
use crate::rules::skip;

/// How long it may take until it has scraped something.
const START: Duration = Duration::from_secs(20);

/// Labels and a value.
pub type Series = (BTreeMap<String, String>, f64);

/// A Prometheus with a database of its own.
#[derive(Debug)]
pub struct Prometheus {
    _guard: Guard,
    address: String,
    _dir: TempDir,
}

impl Prometheus {
    /// One that scrapes `endpoint`, `HOST:PORT`, each second, and takes histograms as native ones if that is wanted. Says so and gives none where
    /// it is not installed.
    pub fn scraping(endpoint: &str, native: bool) -> Option<Self> {
        if Command::new("prometheus")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            skip("Prometheus", "it is not installed");
            return None;
        }
        let dir = tempfile::tempdir().expect("making a folder");
        let config = dir.path().join("prometheus.yml");
        let jobs = format!("[{{job_name: whywait, static_configs: [{{targets: ['{endpoint}']}}]}}]");
        fs::write(&config, format!("global: {{scrape_interval: 1s}}\nscrape_configs: {jobs}\n"))
            .expect("writing a file");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.args([&format!("--web.listen-address={address}"), "--log.level=warn"]);
        command.arg(if native {
            "--enable-feature=exemplar-storage,native-histograms"
        } else {
            "--enable-feature=exemplar-storage"
        });
        let prometheus = Self { _guard: Guard::spawn(command.stdin(Stdio::null())), address, _dir: dir };
        let scraped =
            || prometheus.try_query("up").is_some_and(|found| found.iter().any(|(_, value)| *value > 0.0));
        assert!(wait_until(START, scraped), "Prometheus has not scraped {endpoint}");
        Some(prometheus)
    }

    /// What a query gives now.
    pub fn query(&self, expression: &str) -> Vec<Series> {
        self.try_query(expression).unwrap_or_else(|| panic!("no answer to {expression}"))
    }

    /// The one value that a query gives; 0 where it gives none.
    pub fn number(&self, expression: &str) -> f64 {
        let found = self.query(expression);
        assert!(found.len() < 2, "{expression} gives {found:?}");
        found.first().map_or(0.0, |(_, value)| *value)
    }

    /// Exemplars of a metric of the last minute: labels and value.
    pub fn exemplars(&self, metric: &str) -> Vec<Series> {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
        let (from, to) = ((now - 60).to_string(), (now + 60).to_string());
        let answer = self.ask("query_exemplars", &[("query", metric), ("start", &from), ("end", &to)]);
        let all = answer.as_ref().and_then(|answer| answer["data"].as_array()).cloned().unwrap_or_default();
        let each = all.iter().flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default());
        each.map(|exemplar| (labels(&exemplar["labels"]), number(&exemplar["value"]))).collect()
    }

    fn try_query(&self, expression: &str) -> Option<Vec<Series>> {
        let answer = self.ask("query", &[("query", expression)])?;
        let found = answer["data"]["result"].as_array()?;
        Some(found.iter().map(|series| (labels(&series["metric"]), number(&series["value"][1]))).collect())
    }

    fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let request = ureq::get(format!("http://{}/api/v1/{what}", self.address));
        let request = parameters.iter().fold(request, |request, (name, value)| request.query(name, value));
        let text = request.call().ok()?.body_mut().read_to_string().ok()?;
        serde_json::from_str(&text).ok()
    }
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}
