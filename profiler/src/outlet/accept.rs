//! Which format a scraper asks for: HTTP's `Accept` and `Accept-Encoding` (RFC 9110, section 12.5).

use super::{
    metrics::Family,
    protobuf,
    text::{Version, text},
};

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' protobuf.
    Protobuf,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' older text.
    Plain,
}

impl Format {
    /// The one that is asked for most; the older text where none of them is.
    pub fn of(accept: &str) -> Self {
        let mut best = (0.0, Self::Plain);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<(String, String)> = parts
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let parameter = |name: &str| {
                parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            };
            let format = match kind.as_str() {
                "application/vnd.google.protobuf"
                    if parameter("encoding") == Some("delimited")
                        && parameter("proto") == Some("io.prometheus.client.MetricFamily") =>
                {
                    Self::Protobuf
                }
                "application/openmetrics-text"
                    if matches!(parameter("version"), None | Some("1.0.0" | "0.0.1")) =>
                {
                    Self::OpenMetrics
                }
                "text/plain" => Self::Plain,
                _ => continue,
            };
            let weight = quality(parameter("q"));
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }

    /// What it is called.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Families in it.
    pub fn write(self, families: &[Family<'_>]) -> Vec<u8> {
        match self {
            Self::Protobuf => protobuf::delimited(families),
            Self::OpenMetrics => text(families, Version::OpenMetrics).into_bytes(),
            Self::Plain => text(families, Version::Plain).into_bytes(),
        }
    }
}

/// Whether an answer may be compressed with gzip.
pub fn takes_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && quality(parts.next().and_then(|part| part.strip_prefix("q="))) > 0.0
    })
}

/// 1 where none is given or it is no number.
fn quality(text: Option<&str>) -> f64 {
    text.and_then(|text| text.parse().ok()).filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Prometheus 2.42 sends, without and with native histograms; what browsers and curl send.
    #[test]
    fn scrapers_get_what_they_ask_for() {
        let text = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                    text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let native = format!(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,{}",
            text.replace("1.0.0", "1.0.0;q=0.8")
        );
        assert_eq!(Format::of(text), Format::OpenMetrics);
        assert_eq!(Format::of(&native), Format::Protobuf);
        for other in [
            "",
            "*/*",
            "text/html,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=2.0.0",
        ] {
            assert_eq!(Format::of(other), Format::Plain, "{other}");
        }
        assert_eq!(Format::of("text/plain;q=0.2, application/openmetrics-text;q=0.9"), Format::OpenMetrics);
        assert_eq!(Format::of("application/openmetrics-text;q=0"), Format::Plain);
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, takes) in
            [("gzip", true), ("deflate, GZIP;q=0.5", true), ("gzip;q=0", false), ("br", false), ("", false)]
        {
            assert_eq!(takes_gzip(accepted), takes, "{accepted}");
        }
    }
}
