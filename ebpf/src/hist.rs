//! Log-linear histograms: eight buckets for each power of two, so that a bucket is never wider than an eighth of
//! its values (the H2 layout with grouping power 3).

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

    proptest! {
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
