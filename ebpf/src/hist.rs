//! Log-linear histograms: eight buckets for each power of two, so that a bucket is never wider than an eighth of
//! its values (the H2 layout with grouping power 3). And small ones, of times by powers of two.

/// Buckets in each power of two, as a power of two.
const GROUPING: u32 = 3;
/// Number of buckets that cover all of `u64`.
pub const BUCKETS: usize = ((64 - GROUPING + 1) << GROUPING) as usize;

/// Bucket of a value.
#[expect(clippy::cast_possible_truncation, reason = "a bucket's number is less than BUCKETS")]
#[inline]
pub const fn index(value: u64) -> usize {
    if value < 1 << GROUPING {
        return value as usize;
    }
    let power = value.ilog2();
    let shift = power - GROUPING;
    (((shift + 1) << GROUPING) as u64 + ((value >> shift) - (1 << GROUPING))) as usize
}

/// Smallest value of a bucket.
pub const fn lower(index: usize) -> u64 {
    let index = index as u64;
    let group = index >> GROUPING;
    if group == 0 {
        return index;
    }
    let shift = group - 1;
    ((index & ((1 << GROUPING) - 1)) + (1 << GROUPING)) << shift
}

/// Largest value of a bucket.
pub const fn upper(index: usize) -> u64 {
    if index + 1 >= BUCKETS { u64::MAX } else { lower(index + 1) - 1 }
}

/// Number of buckets of times by powers of two.
pub const POWERS: usize = 32;
/// The first of them holds times of less than two to the power of this plus one, in nanoseconds.
const FIRST: u32 = 6;

/// Bucket of a time in nanoseconds by powers of two; the last one holds all that are longer.
#[inline]
pub const fn power(nanos: u64) -> usize {
    let power = (nanos | 1 << FIRST).ilog2() - FIRST;
    if power as usize >= POWERS { POWERS - 1 } else { power as usize }
}

/// Smallest time of a bucket by powers of two, in nanoseconds.
pub const fn power_lower(power: usize) -> u64 {
    if power == 0 { 0 } else { 1 << (power as u64 + FIRST as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_and_last_values_have_a_bucket() {
        assert_eq!(index(0), 0);
        assert_eq!(index(u64::MAX), BUCKETS - 1);
        assert_eq!(upper(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn powers_cover_what_waits_take() {
        assert_eq!([power(0), power(127), power(128), power(u64::MAX)], [0, 0, 1, POWERS - 1]);
        // Two minutes are told from an hour.
        assert!(power_lower(POWERS - 1) > 120_000_000_000);
    }

    proptest! {
        #[test]
        fn a_time_lies_in_its_power(nanos: u64) {
            let bucket = power(nanos);
            prop_assert!(power_lower(bucket) <= nanos);
            prop_assert!(bucket + 1 == POWERS || nanos < power_lower(bucket + 1));
        }

        #[test]
        fn a_value_lies_in_its_bucket_and_the_bucket_is_narrow(value: u64) {
            let bucket = index(value);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(lower(bucket) <= value && value <= upper(bucket));
            prop_assert!(upper(bucket) - lower(bucket) <= lower(bucket) / 8);
        }

        #[test]
        fn buckets_are_in_order(a: u64, b: u64) {
            prop_assert_eq!(index(a.min(b)) <= index(a.max(b)), true);
        }
    }
}
