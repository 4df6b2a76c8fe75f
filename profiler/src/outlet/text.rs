//! Metrics as text: `OpenMetrics` 1.0, and the older format of Prometheus (0.0.4). They differ in names, in what is told of units, and in the
//! exemplars and the end that only the former has.

use std::fmt::{self, Write};

use super::{
    histogram::{Exemplar, Histogram},
    metrics::{Family, Kind, Labels, Value},
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Plain,
}

/// Families as text.
pub fn text(families: &[Family<'_>], version: Version) -> String {
    let mut text = Text { out: String::new(), version };
    for family in families {
        // Writing to a string does not fail.
        let _infallible = text.family(family);
    }
    if version == Version::OpenMetrics {
        text.out.push_str("# EOF\n");
    }
    text.out
}

/// What the name of a family's values ends with.
pub fn suffix(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    }
}

/// The upper bound of a classic bucket as the label `le` has it: as Go writes numbers, which readers compare as text.
pub fn bound(power: i32) -> String {
    let seconds = f64::from(power).exp2();
    if seconds >= 1.0 {
        return format!("{seconds:.1}");
    }
    if seconds >= 1e-4 {
        return seconds.to_string();
    }
    let (digits, exponent) = (format!("{seconds:e}"), seconds.log10().floor().abs());
    let digits = digits.split('e').next().unwrap_or_default();
    format!("{digits}e-{exponent:02}")
}

struct Text {
    out: String,
    version: Version,
}

impl Text {
    fn family(&mut self, family: &Family<'_>) -> fmt::Result {
        let (name, kind) = match (self.version, family.kind) {
            (_, Kind::Gauge) => (family.name.to_owned(), "gauge"),
            (_, Kind::Histogram) => (family.name.to_owned(), "histogram"),
            (Version::OpenMetrics, Kind::Counter) => (family.name.to_owned(), "counter"),
            (Version::OpenMetrics, Kind::Info) => (family.name.to_owned(), "info"),
            (Version::Plain, Kind::Counter) => (format!("{}_total", family.name), "counter"),
            (Version::Plain, Kind::Info) => (format!("{}_info", family.name), "gauge"),
        };
        writeln!(self.out, "# HELP {name} {}\n# TYPE {name} {kind}", family.help)?;
        if self.version == Version::OpenMetrics && family.is_in_seconds() {
            writeln!(self.out, "# UNIT {name} seconds")?;
        }
        for sample in &family.samples {
            match &sample.value {
                Value::Number(number) => {
                    self.sample((family.name, suffix(family.kind)), &sample.labels, None, *number)?;
                    self.out.push('\n');
                }
                Value::Times(times, bounds) => self.times(family.name, &sample.labels, times, bounds)?,
            }
        }
        Ok(())
    }

    fn times(&mut self, name: &str, labels: &Labels<'_>, times: &Histogram, bounds: &[i32]) -> fmt::Result {
        let mut over = None;
        for power in bounds.iter().copied().map(Some).chain([None]) {
            let le = power.map_or_else(|| "+Inf".to_owned(), bound);
            let count = power.map_or(times.count(), |power| times.up_to(power));
            self.sample((name, "_bucket"), labels, Some(&le), count as f64)?;
            if self.version == Version::OpenMetrics
                && let Some(exemplar) = times.exemplar_between(over, power)
            {
                self.exemplar(exemplar)?;
            }
            self.out.push('\n');
            over = power;
        }
        self.sample((name, "_sum"), labels, None, times.seconds())?;
        self.out.push('\n');
        self.sample((name, "_count"), labels, None, times.count() as f64)?;
        self.out.push('\n');
        Ok(())
    }

    fn sample(
        &mut self,
        (name, suffix): (&str, &str),
        labels: &Labels<'_>,
        le: Option<&str>,
        value: f64,
    ) -> fmt::Result {
        write!(self.out, "{name}{suffix}")?;
        let mut before = '{';
        for (name, value) in
            labels.iter().map(|(name, value)| (*name, &**value)).chain(le.map(|le| ("le", le)))
        {
            write!(self.out, "{before}{name}=\"{}\"", Escaped(value))?;
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
        write!(self.out, " {value}")
    }

    fn exemplar(&mut self, exemplar: &Exemplar) -> fmt::Result {
        write!(
            self.out,
            " # {{trace_id=\"{}\",span_id=\"{}\"}} {} {:.3}",
            hex(&exemplar.trace_id),
            hex(&exemplar.span_id),
            exemplar.value as f64 / 1e9,
            exemplar.at as f64 / 1e9
        )
    }
}

/// Bytes in hexadecimal, as ids of traces and spans are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
        let _infallible = write!(digits, "{byte:02x}");
        digits
    })
}

/// The value of a label, with what would end it escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outlet::testing::metrics;

    #[test]
    fn bounds_are_written_as_go_writes_them() {
        let bounds = [-16, -14, -13, -1, 0, 6].map(bound);
        assert_eq!(bounds, ["1.52587890625e-05", "6.103515625e-05", "0.0001220703125", "0.5", "1.0", "64.0"]);
    }

    /// Both formats tell the same values; they differ in the names of families alone.
    #[test]
    fn both_formats_have_the_same_samples() {
        let metrics = metrics();
        let families = metrics.families();
        let samples = |version| -> Vec<String> {
            text(&families, version)
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(str::to_owned)
                .collect()
        };
        let new = samples(Version::OpenMetrics);
        assert_eq!(new, samples(Version::Plain));
        assert!(new.contains(&"whywait_requests_total{route=\"GET /json\"} 30".to_owned()), "{new:#?}");
        assert!(new.contains(&"whywait_requests_total{route=\"POST /a\\\\b\\\"c\"} 10".to_owned()));
        assert!(new.contains(&"whywait_finding_share{id=\"lock_contention\"} 0.75".to_owned()));
        assert!(text(&families, Version::OpenMetrics).ends_with("# EOF\n"));
    }

    /// An exemplar stands behind the bucket that its time lies in.
    #[test]
    fn exemplars_stand_behind_their_bucket() {
        let mut metrics = metrics();
        let request =
            crate::outlet::testing::request(1, "GET /json", &[(crate::clock::State::Lock, 3_000_000)]);
        let exemplar =
            |value| Exemplar { value, at: 1_700_000_000_500_000_000, trace_id: [0xab; 16], span_id: [1; 8] };
        metrics.registry.explain(1, &request, exemplar);
        let text = text(&metrics.families(), Version::OpenMetrics);
        let with: Vec<&str> = text.lines().filter(|line| line.contains(" # {")).collect();
        assert_eq!(with.len(), 2, "{with:?}");
        assert!(
            with[0].starts_with(
                "whywait_request_duration_seconds_bucket{route=\"GET /json\",le=\"0.00390625\"} "
            )
        );
        let end = " # {trace_id=\"abababababababababababababababab\",span_id=\"0101010101010101\"} 0.003 1700000000.500";
        assert!(with[0].ends_with(end), "{}", with[0]);
        assert!(with[1].contains("state=\"lock\""));
    }

    proptest! {
        #[test]
        fn nothing_in_a_label_ends_it(value: String) {
            let escaped = Escaped(&value).to_string();
            prop_assert!(!escaped.contains('\n'));
            let mut plain = String::new();
            let mut letters = escaped.chars();
            while let Some(letter) = letters.next() {
                prop_assert!(letter != '"');
                let next = if letter == '\\' { letters.next() } else { None };
                plain.push(match next { None => letter, Some('n') => '\n', Some(other) => other });
            }
            prop_assert_eq!(plain, value);
        }
    }
}
