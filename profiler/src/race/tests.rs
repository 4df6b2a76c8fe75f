//! What is written for fixed figures, word for word, in the files of `tests/`.

use std::{env, fs, path::Path};

use demo_servers::load::LatencySummary;

use super::{
    check,
    perf::PerfCounts,
    report::{Conditions, Failed, Race},
    row::{Cost, Counts, Outside, Row},
    sweep::{Knob, Setting},
    usage::{Memory, ProcCounts},
    write_csv, write_html, write_table,
};
use crate::{
    clock::State,
    report::{AtOnce, Breakdown, Breakdowns, Latency, Lost, Palette},
};

/// A server that costs `factor` times the first one.
fn row(name: &str, setting: Option<Setting>, factor: f64, perf: bool) -> Row {
    let requests = 10_000;
    let ebpf = Counts {
        requests,
        cpu_us: 300_000.0 * factor,
        voluntary_switches: 5_000,
        involuntary_switches: 60,
        migrations: 12,
        ..Counts::default()
    };
    let perf = perf.then_some(PerfCounts {
        task_clock_ns: 298_000_000,
        context_switches: 5_061,
        migrations: 13,
        page_faults: 40,
        cycles: None,
        instructions: None,
    });
    let procfs = ProcCounts { cpu_user_us: 50_000.0, cpu_kernel_us: 250_000.0, context_switches: None };
    let answered = requests + u64::from(factor > 2.0);
    let mean = 400.0 * factor;
    let breakdown = || Breakdown(State::ALL.into_iter().map(|state| (state, 0.0)).collect());
    Row {
        name: name.to_owned(),
        setting,
        requests_per_second: 20_000.0 / factor,
        latency_us: Latency {
            mean,
            p50: mean / 2.0,
            p90: mean * 2.0,
            p99: mean * 6.0,
            p999: mean * 9.0,
            max: mean * 10.0,
        },
        concurrency: AtOnce { mean: 4.0 * factor, max: 16 },
        parallelism: AtOnce { mean: 0.61, max: 2 },
        processes: 1,
        threads: 6,
        memory_bytes: Memory { rss: 5_242_880, pss: Some(2_097_152) },
        others_share: Some(0.03 * factor),
        per_request: Cost {
            cpu_us: 30.0 * factor,
            cpu_user_us: (factor < 2.0).then_some(5.0 * factor),
            cpu_kernel_us: (factor < 2.0).then_some(25.0 * factor),
            voluntary_switches: 0.5,
            involuntary_switches: 0.006,
            migrations: 0.0012,
            system_calls: Some(9.25 * factor),
            futex_waits: 0.0,
            threads_created: 0.0,
            processes_created: 0.0,
            on_cpu_us: mean * 0.25,
            run_queue_us: mean * 0.25,
            lock_us: 0.0,
            queue_us: mean * 0.5,
            rest_us: 0.0,
            page_faults: perf.map(|_| 0.004),
            cycles: None,
            instructions: None,
        },
        breakdown_us: Breakdowns { mean: breakdown(), p99: breakdown() },
        outside: Outside {
            requests: answered,
            failed: 0,
            not_ok: 0,
            unsent: 0,
            latency_us: LatencySummary::default(),
        },
        ebpf,
        perf,
        perf_absent: perf.is_none().then(|| "not allowed".to_owned()),
        procfs,
        check: check::differences(&ebpf, perf.as_ref(), procfs, answered),
        lost: Lost {
            events: 0,
            requests: 0,
            by_kind: std::collections::BTreeMap::new(),
            missing: 0,
            late: 0,
        },
    }
}

fn conditions() -> Conditions {
    Conditions {
        paths: vec!["/plaintext".to_owned()],
        connections: 16,
        rate: 0.0,
        duration_s: 3.0,
        keep_alive: false,
        threads: None,
        workers: None,
        cpus: 2,
    }
}

/// All kinds of figures: the longest names, absent ones, a server that failed, one whose name is markup.
fn race() -> Race {
    let mut race = Race::new(conditions(), None, 5);
    race.rows = vec![
        row("thread-pool", None, 1.0, true),
        row("thread-per-connection", None, 1.5, true),
        row("my, \"own\" <server> of a very long name", None, 8.0, true),
    ];
    race.failed = vec![Failed { label: "node".to_owned(), why: "it did not listen".to_owned() }];
    race.hardware_absent = Some("this machine has no hardware counters".to_owned());
    race
}

fn sweep(names: &[&str]) -> Race {
    let values = [(1, 1.4), (4, 1.0), (64, 2.5)];
    let mut race = Race::new(conditions(), Some(Knob::Threads), values.len() * names.len());
    for name in names {
        race.rows.extend(
            values.map(|(value, factor)| {
                row(name, Some(Setting { option: Knob::Threads, value }), factor, false)
            }),
        );
    }
    race
}

/// Compares with the file; `WHYWAIT_UPDATE` writes it anew.
fn assert_is(name: &str, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/race/tests").join(name);
    if env::var_os("WHYWAIT_UPDATE").is_some() {
        fs::write(&path, written).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == written,
        "not what is in {} (WHYWAIT_UPDATE=1 writes it anew):\n{written}",
        path.display()
    );
}

fn table(race: &Race) -> String {
    let mut out = Vec::new();
    write_table(race, Palette::PLAIN, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn page(race: &Race) -> String {
    let mut out = Vec::new();
    write_html(race, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table_of_a_race() {
    assert_is("race.txt", &table(&race()));
}

#[test]
fn the_table_of_a_sweep() {
    assert_is("sweep.txt", &table(&sweep(&["thread-pool"])));
}

#[test]
fn comma_separated_values() {
    let mut out = Vec::new();
    write_csv(&race(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let commas = |line: &str| line.split('"').step_by(2).map(|part| part.matches(',').count()).sum::<usize>();
    let (head, lines) = text.split_once('\n').unwrap();
    assert!(lines.lines().take(2).all(|line| commas(line) == commas(head)), "{text}");
    assert_is("race.csv", &text);
}

#[test]
fn the_page_of_a_race() {
    assert_is("race.html", &page(&race()));
}

/// A page that is opened on a machine without a network looks the same; and a name is no markup.
#[test]
fn pages_load_nothing() {
    for race in [race(), sweep(&["thread-pool", "prefork-threads"]), Race::new(conditions(), None, 1)] {
        let page = page(&race);
        for from_elsewhere in ["http:", "https:", "src=", "<link", "<script", "url(", "@import", "<server>"] {
            assert!(!page.contains(from_elsewhere), "{from_elsewhere} in {page}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{page}");
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    }
}

#[test]
fn tables_fit_120_columns() {
    let mut widest = sweep(&["thread-per-connection", "prefork-threads"]);
    widest.rows.extend(race().rows);
    for row in &mut widest.rows {
        // As wide as figures get.
        row.requests_per_second = 123_456.0;
        row.memory_bytes = Memory { rss: 12_345 << 20, pss: Some(12_345 << 20) };
        row.threads = 123_456;
        row.processes = 123_456;
        row.per_request.cycles = Some(1_234_567.0);
        row.per_request.instructions = Some(1_234_567.0);
        row.ebpf.requests = 1_234_567;
        row.ebpf.voluntary_switches = 1_234_567;
        row.outside.requests = 1_234_567;
        row.procfs.context_switches = Some(1_234_567);
    }
    for race in [widest, race(), sweep(&["thread-pool"])] {
        let text = table(&race);
        let long = text.lines().find(|line| line.chars().count() > 120);
        assert!(long.is_none(), "{long:?}\n{text}");
    }
}

/// The best of most rows says nothing, and almost equal figures are neither.
#[test]
fn marks_are_for_what_stands_out() {
    let text = table(&race());
    let line = |name: &str| text.lines().filter(|line| line.starts_with(name)).nth(1).unwrap().to_owned();
    assert!(line("thread-pool").contains("30.0 µs+") && line("my, ").contains("240 µs!"), "{text}");
    assert!(line("thread-pool").contains("0.50 "), "all have as many switches: {text}");
}
