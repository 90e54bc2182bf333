//! Measures the service beside the raw limits of broker and database, in one run.

fn main() {}
