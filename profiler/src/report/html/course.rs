//! A whole run in constant space: requests over time by state and by latency, and the slowest of them.

use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{
    clock::{Request, StateTimes},
    units::Ns,
    window::index,
};

/// Columns of time at most; with more than these, each becomes twice as wide.
const COLUMNS: usize = 240;
/// Width of a column at the beginning, in nanoseconds.
const NARROWEST: u64 = 10_000_000;
/// Requests that are kept whole.
const SLOWEST: usize = 40;
/// Rows of latency in each power of two, as a power of two: a row is 19 to 25 % higher than the last.
pub(super) const GROUPING: u32 = 2;

/// Requests that have something in common.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sum {
    /// How many.
    pub count: u64,
    /// Microseconds by state, in the order of [`State::ALL`](crate::clock::State::ALL).
    #[serde(serialize_with = "micros")]
    pub times: StateTimes,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.times.add(&other.times);
    }
}

fn micros<S: Serializer>(times: &StateTimes, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for (_, nanos) in times.iter() {
        list.serialize_element(&(nanos / 1_000))?;
    }
    list.end()
}

/// Requests that ended in a column's time.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Column {
    /// All of them.
    pub all: Sum,
    /// How many by row of latency, from the first row on.
    pub rows: Vec<u64>,
}

impl Column {
    fn add(&mut self, other: &Self) {
        self.all.add(&other.all);
        if self.rows.len() < other.rows.len() {
            self.rows.resize(other.rows.len(), 0);
        }
        for (sum, count) in self.rows.iter_mut().zip(&other.rows) {
            *sum += count;
        }
    }
}

/// What a page tells of a run beside its explanation.
#[derive(Debug)]
pub struct Course {
    begin: Ns,
    width: u64,
    columns: Vec<Column>,
    rows: Vec<Sum>,
    slowest: Vec<Request>,
}

impl Course {
    /// The course of a run that begins at `begin`.
    pub fn new(begin: Ns) -> Self {
        Self { begin, width: NARROWEST, columns: Vec::new(), rows: Vec::new(), slowest: Vec::new() }
    }

    /// Takes a finished request.
    pub fn request(&mut self, request: &Request) {
        let sum = Sum { count: 1, times: request.times };
        let row = index(request.latency() / 1_000, GROUPING) as usize;
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Sum::default);
        }
        self.rows[row].add(&sum);
        let mut rows = vec![0; row + 1];
        rows[row] = 1;
        let place = self.place(request.end);
        if self.columns.len() <= place {
            self.columns.resize_with(place + 1, Column::default);
        }
        self.columns[place].add(&Column { all: sum, rows });
        self.keep(request);
    }

    /// Column of a moment, once columns are wide enough for it.
    fn place(&mut self, at: Ns) -> usize {
        loop {
            let place = at.since(self.begin) / self.width;
            if let Some(place) = usize::try_from(place).ok().filter(|place| *place < COLUMNS) {
                return place;
            }
            self.width *= 2;
            self.columns = self
                .columns
                .chunks(2)
                .map(|pair| {
                    let mut sum = pair[0].clone();
                    pair[1..].iter().for_each(|other| sum.add(other));
                    sum
                })
                .collect();
        }
    }

    fn keep(&mut self, request: &Request) {
        let latency = request.latency();
        let place = self.slowest.partition_point(|other| other.latency() >= latency);
        if place < SLOWEST {
            self.slowest.insert(place, request.clone());
            self.slowest.truncate(SLOWEST);
        }
    }

    /// When it begins.
    pub(super) fn begin(&self) -> Ns {
        self.begin
    }

    /// Width of a column in nanoseconds.
    pub(super) fn width(&self) -> u64 {
        self.width
    }

    /// Columns, from the beginning on.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Requests by row of latency.
    pub(super) fn rows(&self) -> &[Sum] {
        &self.rows
    }

    /// The slowest requests, slowest first.
    pub(super) fn slowest(&self) -> &[Request] {
        &self.slowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::RequestClock, decode::Event, live::testing};

    /// However long a run is, each request stands in one column and in one row, and its time with it.
    #[test]
    fn columns_are_few_and_nothing_is_lost_as_they_grow() {
        let mut done = requests();
        assert!(done.len() > 100, "{} requests", done.len());
        let begin = done[0].start;
        let mut course = Course::new(begin);
        let (mut total, mut longest) = (0, 0);
        for (place, request) in (0_u64..).zip(&mut done) {
            // Later and later: the last one ends many hours after the first.
            let later = place * place * 1_000_000_000;
            (request.start, request.end) = (request.start.plus(later), request.end.plus(later));
            total += request.times.total();
            longest = longest.max(request.latency());
            course.request(request);
        }
        let count = done.len() as u64;
        assert!(course.columns().len() <= COLUMNS);
        let columns = course.columns().iter();
        assert_eq!(columns.clone().map(|column| column.all.count).sum::<u64>(), count);
        assert_eq!(columns.clone().flat_map(|column| &column.rows).sum::<u64>(), count);
        assert_eq!(columns.map(|column| column.all.times.total()).sum::<u64>(), total);
        assert_eq!(course.rows().iter().map(|row| row.count).sum::<u64>(), count);
        assert_eq!(course.slowest().len(), SLOWEST);
        assert_eq!(course.slowest()[0].latency(), longest);
        assert!(course.slowest().is_sorted_by(|a, b| a.latency() >= b.latency()));
    }

    fn requests() -> Vec<Request> {
        let (mut clock, mut done) = (RequestClock::new(), Vec::new());
        clock.keep_paths();
        let events: Vec<Event> = testing::events();
        for event in &events {
            clock.apply(event, &mut done);
        }
        done
    }
}
