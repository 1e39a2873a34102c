//! flipd.
pub mod config;
pub mod trust;
