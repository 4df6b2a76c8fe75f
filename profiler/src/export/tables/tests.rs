use std::collections::HashMap;

use ::parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};

use super::*;
use crate::{
    clock::State,
    export::testing::{Output, clock, export, requests},
};

fn one(encoding: Encoding, table: Table) -> Output {
    let out = Output::default();
    export(Tables::begin(clock(), encoding, Destination::One(table, Box::new(out.clone()))).unwrap());
    out
}

/// Rows of a CSV text without quotes, by the names of their columns.
fn rows(text: &str) -> Vec<HashMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect()
}

/// Every request is a row, and its states are its latency.
#[test]
fn a_request_is_a_row() {
    let text = one(Encoding::Csv, Table::Requests).text();
    let (rows, requests) = (rows(&text), requests());
    assert!(rows.len() > 1_000 && rows.len() == requests.len());
    for (row, request) in rows.iter().zip(&requests) {
        let number = |name: &str| row[name].parse::<u64>().unwrap();
        assert_eq!(row["route"], &**request.route.as_ref().unwrap());
        assert_eq!((number("start_ns"), number("latency_ns")), (request.start.0, request.latency()));
        let states: u64 = State::ALL.iter().map(|state| number(&format!("{}_ns", state.id()))).sum();
        assert_eq!(states, request.latency());
    }
    assert_eq!(rows[0]["start"], clock().rfc3339(requests[0].start));
}

/// The states of a request follow each other from its beginning to its end, with the thread that owned it.
#[test]
fn states_follow_each_other() {
    let text = one(Encoding::Csv, Table::States).text();
    let mut ends: HashMap<u64, u64> = HashMap::new();
    for row in rows(&text) {
        let number = |name: &str| row[name].parse::<u64>().unwrap();
        let (start, duration) = (number("start_ns"), number("duration_ns"));
        let before = ends.insert(number("request"), start + duration);
        assert!(before.is_none_or(|before| before == start));
        assert!(row["state"] != "on_cpu" || !row["thread"].is_empty());
    }
    for request in requests() {
        assert_eq!(ends[&request.id.0], request.end.0);
    }
}

/// Both encodings say the same.
#[test]
fn parquet_has_the_rows_of_csv() {
    for table in [Table::Requests, Table::States, Table::Intervals, Table::Threads, Table::Locks] {
        let text = one(Encoding::Csv, table).text();
        let bytes = one(Encoding::Parquet, table).bytes();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let csv = rows(&text);
        assert_eq!(usize::try_from(reader.metadata().file_metadata().num_rows()), Ok(csv.len()), "{table:?}");
        for (row, parsed) in reader.get_row_iter(None).unwrap().zip(csv) {
            for (name, field) in row.unwrap().get_column_iter() {
                let same = match field {
                    Field::Null => parsed[&**name].is_empty(),
                    Field::Str(text) => text == parsed[&**name],
                    Field::Long(number) => number.to_string() == parsed[&**name],
                    Field::Bool(value) => value.to_string() == parsed[&**name],
                    other => panic!("{table:?}.{name} is {other}"),
                };
                let moment = name == "start";
                assert!(same || moment, "{table:?}.{name}: {field} and {}", parsed[&**name]);
            }
        }
    }
}

/// A folder holds all tables.
#[test]
fn a_folder_has_every_table() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("tables");
    export(Tables::begin(clock(), Encoding::Csv, Destination::Folder(inside.clone())).unwrap());
    for table in Table::ALL {
        let text = fs::read_to_string(inside.join(table.name()).with_extension("csv")).unwrap();
        let names: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        assert_eq!(text.lines().next(), Some(names.join(",").as_str()));
    }
}

#[test]
fn text_that_separates_is_in_quotes() {
    let mut out = Vec::new();
    let mut writer = Box::new(CsvWriter::begin(Table::Stacks, &mut out).unwrap());
    writer.row(&[Value::Int(1), Value::None, Value::text("f(a, \"b\")"), Value::text("")]).unwrap();
    writer.finish().unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "stack,process,frames,end\n1,,\"f(a, \"\"b\"\")\",\"\"\n");
}
