//! Sizes on the command line.

/// Bytes: a number with K, M or G (1024 each), or without.
///
/// # Errors
/// When the text is no such size, or less than 64 KiB; why.
pub fn bytes(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 64 << 10;
    let bad = || format!("`{text}` is no size: write a number with K, M or G, such as 100M");
    let plain = text.trim_end_matches(['b', 'B']).trim_end_matches(['i']);
    let (number, shift) = match plain.chars().last() {
        Some('k' | 'K') => (&plain[..plain.len() - 1], 10),
        Some('m' | 'M') => (&plain[..plain.len() - 1], 20),
        Some('g' | 'G') => (&plain[..plain.len() - 1], 30),
        _ => (plain, 0),
    };
    let value: u64 = number.parse().map_err(|_| bad())?;
    let bytes = value.checked_mul(1 << shift).ok_or_else(bad)?;
    if bytes < LEAST {
        Err(format!("{text} is less than 64K, which is no room for a recording"))
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_letters() {
        assert_eq!(bytes("100M"), Ok(100 << 20));
        assert_eq!((bytes("2GiB"), bytes("64kB"), bytes("65536")), (Ok(2 << 30), Ok(64 << 10), Ok(65_536)));
        for bad in ["", "M", "1.5M", "-1", "99999999999G", "10K", "ten"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
