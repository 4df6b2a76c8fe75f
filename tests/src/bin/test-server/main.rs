//! A server
fn main() {}
