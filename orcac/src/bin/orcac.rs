//! The compiler from the command line.

fn main() {}
