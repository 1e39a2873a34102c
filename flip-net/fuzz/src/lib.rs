//! What the fuzz targets do with their inputs. `flip-net/tests/corpus.rs` includes the same files,
//! so each of them knows nothing but `flip_net` and `arbitrary`.

pub mod flip_box;
pub mod join;
pub mod packet;
pub mod seal;
