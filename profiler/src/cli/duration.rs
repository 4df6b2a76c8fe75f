//! Durations on the command line.

use std::time::Duration;

/// Seconds, with a fraction and an `s` behind them if wanted.
///
/// # Errors
/// When the text is not a number from 0.05 to 86400; why.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text
        .strip_suffix('s')
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("`{text}` is not a number of seconds"))?;
    if !(0.05..=86_400.0).contains(&value) {
        return Err(format!("{text} seconds are not between 0.05 and 86400"));
    }
    Ok(Duration::from_secs_f64(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_numbers_within_a_day() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("60s"), Ok(Duration::from_mins(1)));
        for bad in ["0", "-1", "NaN", "inf", "1e9", "five"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
