//! The measured distributions as an `HdrHistogram` interval log, which the tools of that project read
//! (`HistogramLogProcessor`, the log analysers on the web, the libraries in other languages).

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::report::{Latencies, Measured};

/// Writes one interval for the latency of all requests, without a tag since some tools look at no other, and tagged ones
/// for the service time and for each of several URLs.
pub(super) fn write(file: &Path, measured: &Measured) -> Result<()> {
    let mut out = BufWriter::new(fs::File::create(file)?);
    let mut serializer = V2DeflateSerializer::new();
    let began = SystemTime::now() - measured.duration;
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[latencies in nanoseconds, the maximum of an interval in milliseconds]")
        .with_max_value_divisor(1e6)
        .with_start_time(began)
        .with_base_time(began)
        .begin_log_with(&mut out, &mut serializer)?;
    let mut interval = |latencies: &Latencies, tag: Option<&str>| {
        let tag =
            tag.map(|tag| Tag::new(tag).context("a tag may contain no comma and no space")).transpose()?;
        log.write_histogram(latencies.histogram(), Duration::ZERO, measured.duration, tag)
            .map_err(|error| anyhow::anyhow!("{error}"))
    };
    interval(&measured.total.latency, None)?;
    interval(&measured.total.service, Some("service"))?;
    if measured.by_url.len() > 1 {
        for part in &measured.by_url {
            interval(&part.latency, Some(&as_tag(&part.target)))?;
        }
    }
    out.flush().context("the disk may be full")
}

/// A path contains no space, but may contain the character that ends a tag.
fn as_tag(target: &str) -> String {
    target.replace(',', "%2C")
}
