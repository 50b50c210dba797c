//! Generation (CRDs, docs) and repository checks.
fn main() {}
