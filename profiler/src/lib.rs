//! whywait.
