//! Metrics as Prometheus' protobuf, the one of its formats that carries native histograms: `io/prometheus/client/metrics.proto` of
//! `github.com/prometheus/client_model`, as far as it is written here. Each family is one message with its length before it.

use prost::{Enumeration, Message};

use super::{
    histogram::{self, Histogram, SCALE, ZERO_POWER},
    metrics::{Family, Kind, Labels, Sample, Value},
    text::{hex, suffix},
};

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A counter or a gauge, which are alike.
#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Times {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
    #[prost(message, repeated, tag = "16")]
    exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`
#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Times>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    /// Written even if it is 0, a counter: readers take a family without a type for one of none.
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    r#type: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

/// Families, each with its length before it.
pub fn delimited(families: &[Family<'_>]) -> Vec<u8> {
    families.iter().flat_map(|family| message(family).encode_length_delimited_to_vec()).collect()
}

fn message(family: &Family<'_>) -> MetricFamily {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge | Kind::Info => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    MetricFamily {
        name: format!("{}{}", family.name, suffix(family.kind)),
        help: family.help.to_owned(),
        r#type: Some(kind.into()),
        metric: family.samples.iter().map(|sample| metric(kind, sample)).collect(),
    }
}

fn metric(kind: MetricType, sample: &Sample<'_>) -> Metric {
    let label = labels(&sample.labels);
    match &sample.value {
        Value::Number(value) => {
            let number = Some(Number { value: *value });
            let (gauge, counter) = if kind == MetricType::Counter { (None, number) } else { (number, None) };
            Metric { label, gauge, counter, histogram: None }
        }
        Value::Times(histogram, bounds) => {
            Metric { label, gauge: None, counter: None, histogram: Some(times(histogram, bounds)) }
        }
    }
}

fn labels(labels: &Labels<'_>) -> Vec<LabelPair> {
    labels
        .iter()
        .map(|(name, value)| LabelPair { name: (*name).to_owned(), value: value.to_string() })
        .collect()
}

fn times(histogram: &Histogram, bounds: &[i32]) -> Times {
    let mut over = None;
    let mut bucket = Vec::with_capacity(bounds.len() + 1);
    for power in bounds.iter().copied().map(Some).chain([None]) {
        bucket.push(Bucket {
            cumulative_count: power.map_or(histogram.count(), |power| histogram.up_to(power)),
            upper_bound: power.map_or(f64::INFINITY, |power| f64::from(power).exp2()),
            exemplar: histogram.exemplar_between(over, power).map(exemplar),
        });
        over = power;
    }
    let (first, counts) = histogram.buckets();
    let (positive_span, positive_delta) = sparse(first + 1, counts);
    Times {
        sample_count: histogram.count(),
        sample_sum: histogram.seconds(),
        bucket,
        schema: i32::from(SCALE),
        zero_threshold: f64::from(ZERO_POWER).exp2(),
        zero_count: histogram.zero(),
        positive_span,
        positive_delta,
        exemplars: histogram.exemplars().map(exemplar).collect(),
    }
}

/// Buckets that are not empty, as spans, and the differences of their counts. The first span begins at the number of its first bucket, each
/// other one so many buckets behind the end of the one before.
fn sparse(first: i32, counts: &[u64]) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<BucketSpan>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut gap, mut before) = (first, 0);
    for count in counts {
        if *count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(last) if gap == 0 => last.length += 1,
            _ => spans.push(BucketSpan { offset: gap, length: 1 }),
        }
        gap = 0;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        before = count;
    }
    (spans, deltas)
}

fn exemplar(exemplar: &histogram::Exemplar) -> Exemplar {
    const SECOND: u64 = 1_000_000_000;
    let pair = |name: &str, value| LabelPair { name: name.to_owned(), value };
    Exemplar {
        label: vec![pair("trace_id", hex(&exemplar.trace_id)), pair("span_id", hex(&exemplar.span_id))],
        value: exemplar.value as f64 / 1e9,
        timestamp: Some(Timestamp {
            seconds: i64::try_from(exemplar.at / SECOND).unwrap_or(i64::MAX),
            nanos: i32::try_from(exemplar.at % SECOND).unwrap_or(0),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outlet::testing::metrics;

    #[test]
    fn every_family_is_there() {
        let metrics = metrics();
        let families = metrics.families();
        let bytes = delimited(&families);
        let (mut rest, mut read) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            read.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
        }
        assert_eq!(read.len(), families.len());
        for (message, family) in read.iter().zip(&families) {
            assert!(message.name.starts_with(family.name) && message.metric.len() == family.samples.len());
        }
        let times = read[1].metric[0].histogram.as_ref().unwrap();
        assert_eq!(times.sample_count, times.bucket.last().unwrap().cumulative_count);
    }

    proptest! {
        /// What is read from spans and differences is what was written.
        #[test]
        fn sparse_buckets_are_the_buckets(first in -100..100, counts in prop::collection::vec(0_u64..4, 0..60)) {
            let (spans, deltas) = sparse(first, &counts);
            let (mut at, mut count, mut deltas) = (0, 0, deltas.into_iter());
            let mut read = std::collections::BTreeMap::new();
            for span in spans {
                at += span.offset;
                for _ in 0..span.length {
                    count += deltas.next().unwrap();
                    read.insert(at, u64::try_from(count).unwrap());
                    at += 1;
                }
            }
            let written = (first..).zip(counts).filter(|(_, count)| *count > 0).collect();
            prop_assert_eq!(read, written);
        }
    }
}
