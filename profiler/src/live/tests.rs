//! Bounds and sums of the history.
