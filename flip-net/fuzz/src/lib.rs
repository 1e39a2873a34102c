//! What the fuzz targets do with their inputs. `flip-net/tests/corpus.rs` includes the same files,
//! so each of them knows nothing but `flip_net` and `arbitrary`; `gax/tests/corpus.rs` that of flipd,
//! which knows nothing but the configuration.

pub mod flip_box;
pub mod flipd_config;
pub mod join;
pub mod packet;
pub mod seal;

/// The configuration of flipd without the rest of `gax`: that has a `main`, the one of Orca programs,
/// which would be taken for the fuzzer's.
#[path = "../../../gax/src/flipd"]
mod flipd {
    pub mod config;
    pub mod trust;
}
