//! Metrics as a message of OTLP. Names have dots and no suffix of their unit, from which readers that translate them for Prometheus make
//! the names that a scrape has; histograms are exponential, as they are kept.

use super::{
    histogram::{Histogram, SCALE, ZERO_POWER},
    metrics::{Family, Kind, Labels, Metrics, Value},
};
use crate::export::otlp::{
    proto::{
        Buckets, CUMULATIVE, Data, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
        ExportMetricsServiceRequest, Gauge, KeyValue, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
        Sum,
    },
    resource, scope,
};

/// The message of a moment.
pub fn message(metrics: &Metrics) -> ExportMetricsServiceRequest {
    let point = Point { began: metrics.began, at: metrics.at };
    let told = metrics
        .families()
        .iter()
        .filter(|family| !family.samples.is_empty())
        .map(|family| point.metric(family))
        .collect();
    let vitals = &metrics.vitals;
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(&vitals.command, vitals.pid.map(|pid| pid.0))),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics: told }],
        }],
    }
}

/// From when to when values count.
struct Point {
    began: u64,
    at: u64,
}

impl Point {
    fn metric(&self, family: &Family<'_>) -> Metric {
        let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
        for sample in &family.samples {
            match &sample.value {
                Value::Number(value) => numbers.push(self.number(&sample.labels, *value)),
                Value::Times(times, _) => histograms.push(self.histogram(&sample.labels, times)),
            }
        }
        let data = match family.kind {
            Kind::Histogram => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: histograms,
                aggregation_temporality: CUMULATIVE,
            }),
            Kind::Counter => Data::Sum(Sum {
                data_points: numbers,
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
            Kind::Gauge | Kind::Info => Data::Gauge(Gauge { data_points: numbers }),
        };
        let name = family.name.strip_suffix("_seconds").unwrap_or(family.name).replace('_', ".");
        Metric {
            name: if family.kind == Kind::Info { format!("{name}.info") } else { name },
            description: family.help.to_owned(),
            unit: if family.is_in_seconds() { "s".to_owned() } else { String::new() },
            data: Some(data),
        }
    }

    fn number(&self, labels: &Labels<'_>, value: f64) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.began,
            time_unix_nano: self.at,
            as_double: Some(value),
        }
    }

    fn histogram(&self, labels: &Labels<'_>, times: &Histogram) -> ExponentialHistogramDataPoint {
        let (offset, counts) = times.buckets();
        ExponentialHistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: self.began,
            time_unix_nano: self.at,
            count: times.count(),
            sum: Some(times.seconds()),
            scale: i32::from(SCALE),
            zero_count: times.zero(),
            positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
            exemplars: times
                .exemplars()
                .map(|exemplar| Exemplar {
                    time_unix_nano: exemplar.at,
                    as_double: Some(exemplar.value as f64 / 1e9),
                    span_id: exemplar.span_id.into(),
                    trace_id: exemplar.trace_id.into(),
                })
                .collect(),
            zero_threshold: f64::from(ZERO_POWER).exp2(),
        }
    }
}

fn attributes(labels: &Labels<'_>) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| KeyValue::text(name, &**value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlet::testing::metrics;

    /// Every family is a metric, by a name that a reader turns back into that of a scrape; buckets and counts of histograms agree.
    #[test]
    fn every_family_is_a_metric() {
        let metrics = metrics();
        let message = message(&metrics);
        let told = &message.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!(told.len(), metrics.families().len());
        for (metric, family) in told.iter().zip(metrics.families()) {
            let unit = if metric.unit == "s" { "_seconds" } else { "" };
            assert_eq!(
                format!("{}{unit}", metric.name.trim_end_matches(".info").replace('.', "_")),
                family.name
            );
            if let Some(Data::ExponentialHistogram(histogram)) = &metric.data {
                for point in &histogram.data_points {
                    let counts = &point.positive.as_ref().unwrap().bucket_counts;
                    assert_eq!(point.zero_count + counts.iter().sum::<u64>(), point.count);
                }
            }
        }
    }
}
