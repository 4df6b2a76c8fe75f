//! The profile format of `pprof`: where requests spend their time, on the CPU and off it, with route and state as labels.
//!
//! The messages are those of `profile.proto` (github.com/google/pprof), as far as they are used here.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use prost::Message;
use rustc_hash::FxHashMap;

use super::{End, ExportError, Exporter, WallClock};
use crate::{
    clock::State,
    stacks::{Frame, Place, Stacks},
    units::rounded,
};

/// Columns of a sample: all time, that on the CPU, that off it.
const TYPES: [&str; 3] = ["time", "on_cpu", "off_cpu"];

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

/// `type` and `unit` are numbers of strings.
#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

/// A profile that grows.
struct Builder {
    profile: Profile,
    strings: FxHashMap<String, i64>,
    mappings: FxHashMap<Place, u64>,
    locations: FxHashMap<Frame, u64>,
}

impl Builder {
    fn new() -> Self {
        let mut builder = Self {
            profile: Profile::default(),
            strings: FxHashMap::default(),
            mappings: FxHashMap::default(),
            locations: FxHashMap::default(),
        };
        // The first string is the empty one.
        builder.string("");
        let unit = builder.string("nanoseconds");
        builder.profile.sample_type =
            TYPES.iter().map(|name| ValueType { r#type: builder.string(name), unit }).collect();
        builder.profile.default_sample_type = builder.string(TYPES[0]);
        builder
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(known) = self.strings.get(text) {
            return *known;
        }
        let number = i64::try_from(self.profile.string_table.len()).unwrap_or(0);
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), number);
        number
    }

    fn mapping(&mut self, place: &Place) -> u64 {
        if let Some(known) = self.mappings.get(place) {
            return *known;
        }
        let name = match place {
            Place::Kernel => "[kernel]",
            Place::File(file) => file,
            Place::Memory => "[memory]",
        };
        let filename = self.string(name);
        let id = self.profile.mapping.len() as u64 + 1;
        self.profile.mapping.push(Mapping { id, filename, has_functions: true });
        self.mappings.insert(place.clone(), id);
        id
    }

    fn location(&mut self, frame: &Frame) -> u64 {
        if let Some(known) = self.locations.get(frame) {
            return *known;
        }
        let name = self.string(&frame.text());
        let mapping_id = self.mapping(&frame.place);
        let id = self.profile.location.len() as u64 + 1;
        // Without a name of the linker, `pprof` takes the name as it is, its parameters with it.
        self.profile.function.push(Function { id, name });
        self.profile.location.push(Location { id, mapping_id, line: vec![Line { function_id: id }] });
        self.locations.insert(frame.clone(), id);
        id
    }

    fn sample(&mut self, frames: &[Frame], time_us: f64, route: &str, state: State) {
        let location_id = frames.iter().map(|frame| self.location(frame)).collect();
        let nanos = i64::try_from(rounded(time_us * 1e3)).unwrap_or(i64::MAX);
        let on_cpu = if state == State::OnCpu { nanos } else { 0 };
        let labels = [("route", route), ("state", state.id())];
        let label = labels.map(|(key, text)| Label { key: self.string(key), str: self.string(text) });
        let value = vec![nanos, on_cpu, nanos - on_cpu];
        self.profile.sample.push(Sample { location_id, value, label: label.into() });
    }

    fn stacks(&mut self, stacks: &Stacks) {
        let none = [Frame { name: Some("[no stack]".to_owned()), place: Place::Memory }];
        for state in &stacks.states {
            let route = state.route.as_deref().unwrap_or("requests");
            for hot in &state.stacks {
                self.sample(&hot.frames, hot.time_us, route, state.state);
            }
            if state.without_us > 0.0 {
                self.sample(&none, state.without_us, route, state.state);
            }
        }
    }
}

/// Writes the profile when the recording has been read.
pub struct Pprof<W> {
    clock: WallClock,
    out: W,
}

impl<W: Write + Send> Pprof<W> {
    /// A profile whose times are those of this clock.
    pub fn new(clock: WallClock, out: W) -> Self {
        Self { clock, out }
    }
}

impl<W: Write + Send> Exporter for Pprof<W> {
    fn finish(self: Box<Self>, end: End<'_>) -> Result<(), ExportError> {
        let mut builder = Builder::new();
        builder.stacks(&end.stacks_of_routes());
        let (from, to) = end.pipeline.window().span();
        let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
        builder.profile.time_nanos = signed(self.clock.unix(from));
        builder.profile.duration_nanos = signed(to.since(from));
        let comment = builder.string("Time of all requests together, by whywait; labels: route, state.");
        builder.profile.comment.push(comment);
        let mut out = GzEncoder::new(self.out, Compression::default());
        out.write_all(&builder.profile.encode_to_vec())?;
        Ok(out.finish()?.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::export::testing::{Output, clock, export};

    /// Samples sum to the time of their stacks, on and off the CPU, and say route and state.
    #[test]
    fn samples_are_the_time_of_stacks() {
        let out = Output::default();
        export(Pprof::new(clock(), out.clone()));
        let mut bytes = Vec::new();
        GzDecoder::new(out.bytes().as_slice()).read_to_end(&mut bytes).unwrap();
        let profile = Profile::decode(bytes.as_slice()).unwrap();
        let sum = |column: usize| profile.sample.iter().map(|sample| sample.value[column]).sum::<i64>();
        assert_eq!([sum(0), sum(1), sum(2)], [470_000, 150_000, 320_000]);
        let text = |number: i64| profile.string_table[usize::try_from(number).unwrap()].as_str();
        let name = |id: u64| {
            let location = profile.location.iter().find(|location| location.id == id).unwrap();
            let function = profile.function.iter().find(|f| f.id == location.line[0].function_id).unwrap();
            text(function.name)
        };
        let lock = profile.sample.iter().find(|sample| name(sample.location_id[0]) == "Mutex::lock").unwrap();
        assert_eq!(
            lock.location_id.iter().map(|id| name(*id)).collect::<Vec<_>>(),
            ["Mutex::lock", "order", "main"]
        );
        let labels: Vec<_> = lock.label.iter().map(|label| (text(label.key), text(label.str))).collect();
        assert_eq!(labels, [("route", "POST /order"), ("state", "lock")]);
        assert_eq!((text(0), profile.time_nanos), ("", 1_700_000_000_000_000_000));
    }
}
