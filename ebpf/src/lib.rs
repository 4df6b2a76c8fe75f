//! Record layouts.
