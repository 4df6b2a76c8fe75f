//! The columns of the tables: one definition for text, CSV and HTML.

use super::row::Row;
pub(super) use crate::live::Mark;
use crate::units::{fmt_count, fmt_us};

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// A whole number.
    Count,
    /// A mean of counts.
    Mean,
    /// Microseconds.
    Time,
    /// Bytes.
    Bytes,
}

/// Which end is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
    /// Neither.
    Neutral,
}

/// A column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    /// What it has in common with its neighbours, as the first line of its head.
    pub(super) group: &'static str,
    /// The second line.
    pub(super) title: &'static str,
    /// Its name in CSV, with its unit.
    pub(super) key: &'static str,
    pub(super) show: Show,
    pub(super) better: Better,
    /// `None`: absent in this run.
    pub(super) value: fn(&Row) -> Option<f64>,
}

/// A table.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) columns: &'static [Column],
}

/// All tables, in their order.
pub(super) const TABLES: [Table; 4] = [
    Table { title: "Speed", columns: SPEED },
    Table { title: "Cost of a request", columns: COST },
    Table { title: "Time of a request", columns: TIME },
    Table { title: "Do the sources agree?", columns: SOURCES },
];

/// The lines of a column's head.
pub(super) const HEADS: [fn(&Column) -> &'static str; 2] = [|column| column.group, |column| column.title];

/// What figures mean that could be taken for something else.
pub(super) const LEGEND: &str = "– not known. Latency is inside the server, from the arrival of a request's first byte to \
                                 the last write of its answer. perf's migrations are also those of threads that wait.";

macro_rules! column {
    ($group:literal, $title:literal, $key:literal, $show:ident, $better:ident, $value:expr) => {
        Column {
            group: $group,
            title: $title,
            key: $key,
            show: Show::$show,
            better: Better::$better,
            value: $value,
        }
    };
}

const SPEED: &[Column] = &[
    column!("requests", "a second", "requests_per_second", Count, More, |row| Some(row.requests_per_second)),
    column!("latency", "p50", "p50_us", Time, Less, |row| Some(row.latency_us.p50)),
    column!("", "p99", "p99_us", Time, Less, |row| Some(row.latency_us.p99)),
    column!("", "p99.9", "p999_us", Time, Less, |row| Some(row.latency_us.p999)),
    column!("requests", "in flight", "concurrency", Mean, Neutral, |row| Some(row.concurrency.mean)),
    column!("threads", "on CPU", "parallelism", Mean, Neutral, |row| Some(row.parallelism.mean)),
    column!("ran:", "proc.", "processes", Count, Neutral, |row| Some(row.processes as f64)),
    column!("", "threads", "threads", Count, Neutral, |row| Some(row.threads as f64)),
    column!("peak", "RSS", "peak_rss_bytes", Bytes, Less, |row| Some(row.memory_bytes.rss as f64)),
    column!("memory", "PSS", "peak_pss_bytes", Bytes, Less, |row| row.memory_bytes.pss.map(|pss| pss as f64)),
];

const COST: &[Column] = &[
    column!("CPU time", "in all", "cpu_us", Time, Less, |row| Some(row.per_request.cpu_us)),
    column!("", "user", "cpu_user_us", Time, Less, |row| row.per_request.cpu_user_us),
    column!("", "kernel", "cpu_kernel_us", Time, Less, |row| row.per_request.cpu_kernel_us),
    column!("switches", "volunt.", "voluntary_switches", Mean, Less, |row| Some(
        row.per_request.voluntary_switches
    )),
    column!("", "invol.", "involuntary_switches", Mean, Less, |row| Some(
        row.per_request.involuntary_switches
    )),
    column!("", "migr.", "migrations", Mean, Less, |row| Some(row.per_request.migrations)),
    column!("system", "calls", "system_calls", Mean, Less, |row| row.per_request.system_calls),
    column!("futex", "waits", "futex_waits", Mean, Less, |row| Some(row.per_request.futex_waits)),
    column!("created", "thread", "threads_created", Mean, Less, |row| Some(row.per_request.threads_created)),
    column!("", "proc.", "processes_created", Mean, Less, |row| Some(row.per_request.processes_created)),
    column!("page", "faults", "page_faults", Mean, Less, |row| row.per_request.page_faults),
];

const TIME: &[Column] = &[
    column!("", "in all", "mean_us", Time, Less, |row| Some(row.latency_us.mean)),
    column!("", "on CPU", "on_cpu_us", Time, Less, |row| Some(row.per_request.on_cpu_us)),
    column!("", "run queue", "run_queue_us", Time, Less, |row| Some(row.per_request.run_queue_us)),
    column!("", "locks", "lock_us", Time, Less, |row| Some(row.per_request.lock_us)),
    column!("", "queues", "queue_us", Time, Less, |row| Some(row.per_request.queue_us)),
    column!("", "the rest", "rest_us", Time, Less, |row| Some(row.per_request.rest_us)),
    column!("CPU", "cycles", "cycles", Count, Less, |row| row.per_request.cycles),
    column!("", "instr.", "instructions", Count, Less, |row| row.per_request.instructions),
];

const SOURCES: &[Column] = &[
    column!("requests", "found", "requests_found", Count, Neutral, |row| Some(row.ebpf.requests as f64)),
    column!("", "answered", "requests_answered", Count, Neutral, |row| Some(row.outside.requests as f64)),
    column!("switches", "eBPF", "switches_ebpf", Count, Neutral, |row| {
        Some(row.ebpf.context_switches() as f64)
    }),
    column!("", "perf", "switches_perf", Count, Neutral, |row| {
        row.perf.map(|perf| perf.context_switches as f64)
    }),
    column!("", "/proc", "switches_procfs", Count, Neutral, |row| {
        row.procfs.context_switches.map(|count| count as f64)
    }),
    column!("CPU time", "eBPF", "cpu_us_ebpf", Time, Neutral, |row| Some(row.ebpf.cpu_us)),
    column!("", "perf", "cpu_us_perf", Time, Neutral, |row| {
        row.perf.map(|perf| perf.task_clock_ns as f64 / 1e3)
    }),
    column!("", "/proc", "cpu_us_procfs", Time, Neutral, |row| Some(row.procfs.cpu_us())),
    column!("migrations", "eBPF", "migrations_ebpf", Count, Neutral, |row| Some(row.ebpf.migrations as f64)),
    column!("", "perf", "migrations_perf", Count, Neutral, |row| row.perf.map(|perf| perf.migrations as f64)),
];

impl Show {
    /// The figure as people read it.
    pub(super) fn write(self, value: Option<f64>) -> String {
        let Some(value) = value else { return "–".to_owned() };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, and below 2^53")]
        let whole = || fmt_count(value.round() as u64);
        match self {
            Self::Mean if value == 0.0 => "0".to_owned(),
            Self::Mean if value < 0.005 => "<0.01".to_owned(),
            Self::Mean if value < 99.995 => format!("{value:.2}"),
            Self::Mean | Self::Count => whole(),
            Self::Time => fmt_us(value),
            Self::Bytes => bytes(value),
        }
    }
}

fn bytes(value: f64) -> String {
    let mib = value / f64::from(1 << 20);
    if mib < 99.95 {
        format!("{mib:.1} MiB")
    } else if mib < 999.5 {
        format!("{mib:.0} MiB")
    } else {
        format!("{:.1} GiB", mib / 1024.0)
    }
}

impl Column {
    /// Whether any of the rows has such a figure.
    pub(super) fn is_known(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| (self.value)(row).is_some())
    }

    /// The best and the worst of a column, by the place of their row; none where they are almost the same, or where so many
    /// are the best that it says nothing.
    pub(super) fn marks(&self, rows: &[Row]) -> Vec<Option<Mark>> {
        let none = vec![None; rows.len()];
        let sign = match self.better {
            Better::More => -1.0,
            Better::Less => 1.0,
            Better::Neutral => return none,
        };
        let values: Vec<Option<f64>> = rows.iter().map(|row| (self.value)(row)).collect();
        let known = || values.iter().flatten().map(|value| value * sign);
        let (best, worst) =
            (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
        if rows.len() < 2 || worst - best <= 0.05 * worst.abs().max(best.abs()) {
            return none;
        }
        let place = |end: f64, mark: Mark| {
            let written = self.show.write(Some(end * sign));
            let at = |value: &Option<f64>| value.is_some() && self.show.write(*value) == written;
            let few = values.iter().filter(|value| at(value)).count() * 3 <= rows.len().max(3);
            values.iter().map(move |value| (few && at(value)).then_some(mark)).collect::<Vec<_>>()
        };
        let (best, worst) = (place(best, Mark::Best), place(worst, Mark::Worst));
        best.into_iter().zip(worst).map(|(best, worst)| best.or(worst)).collect()
    }
}
