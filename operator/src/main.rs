//! Starts the operator.

fn main() {}
