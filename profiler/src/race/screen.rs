//! The race as the dashboard shows it, while it goes on.

use super::{
    column::{Column, Mark, TABLES},
    report::Race,
    row::Row,
    text::label,
};
use crate::{
    clock::StateTimes,
    live::{ModelRow, Models},
    units::{fmt_us, rounded},
};

/// The columns that the dashboard shows: name in CSV, head. What does not fit is left out from the end, so each head is complete by itself.
const SHOWN: [(&str, [&str; 2]); 12] = [
    ("requests_per_second", ["req.", "per s"]),
    ("p50_us", ["latency", "p50"]),
    ("p99_us", ["latency", "p99"]),
    ("concurrency", ["in", "flight"]),
    ("parallelism", ["on", "CPU"]),
    ("voluntary_switches", ["swit.", "vol."]),
    ("involuntary_switches", ["swit.", "invol."]),
    ("system_calls", ["syst.", "calls"]),
    ("cpu_us", ["CPU", "time"]),
    ("run_queue_us", ["run", "queue"]),
    ("lock_us", ["", "locks"]),
    ("queue_us", ["", "queues"]),
];

fn columns() -> impl Iterator<Item = &'static Column> {
    let all = || TABLES.iter().flat_map(|table| table.columns);
    SHOWN.iter().filter_map(move |(key, _)| all().find(|column| column.key == *key))
}

/// The race so far, with who runs now and who is to come.
pub fn standing(race: &Race, running: Option<String>, to_come: Vec<String>) -> Models {
    let marks: Vec<Vec<Option<Mark>>> = columns().map(|column| column.marks(&race.rows)).collect();
    let row = |(at, row): (usize, &Row)| ModelRow {
        name: label(row, race),
        cells: columns()
            .zip(&marks)
            .map(|(column, marks)| (column.show.write((column.value)(row)), marks[at]))
            .collect(),
        times: times(row),
        mean: fmt_us(row.latency_us.mean),
    };
    Models {
        conditions: race.conditions.words(race.sweep),
        heads: SHOWN.iter().map(|(_, head)| *head).collect(),
        rows: race.rows.iter().enumerate().map(row).collect(),
        running,
        to_come,
        failed: race.failed.iter().map(|failed| (failed.label.clone(), failed.why.clone())).collect(),
        conclusions: race.conclusions(),
    }
}

fn times(row: &Row) -> StateTimes {
    let mut times = StateTimes::default();
    for (state, us) in &row.breakdown_us.mean.0 {
        times[*state] = rounded(us * 1e3);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name in the list is that of a column.
    #[test]
    fn every_column_that_is_shown_exists() {
        let found: Vec<&str> = columns().map(|column| column.key).collect();
        assert_eq!(found, SHOWN.map(|(key, _)| key));
    }
}
