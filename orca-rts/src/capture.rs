//! Captures of what a launched processor sends and receives: a file for each of its networks.
//!
//! The launcher has tried the files before it started anybody. If one fails here all the same, that is told and the program goes on.

use std::path::Path;
use std::sync::Arc;

use stack::flip_net::driver::{CaptureDevice, Device};

/// The name of the file for one of the networks of a processor.
pub fn capture_file(processor: u16, network: usize, networks: usize) -> String {
    match networks {
        1 => format!("processor-{processor}.pcap"),
        _ => format!("processor-{processor}-network-{network}.pcap"),
    }
}

/// The devices, with everything that passes them written to files in `folder`.
pub(crate) fn captured(
    devices: Vec<Arc<dyn Device>>,
    folder: &Path,
    processor: u16,
) -> Vec<Arc<dyn Device>> {
    let count = devices.len();
    let captured = devices.into_iter().enumerate().map(|(network, device)| {
        let path = folder.join(capture_file(processor, network, count));
        capture(device, &path)
    });
    captured.collect()
}

fn capture(device: Arc<dyn Device>, path: &Path) -> Arc<dyn Device> {
    match CaptureDevice::create(Arc::clone(&device), path) {
        Ok(captured) => Arc::new(captured),
        Err(error) => {
            eprintln!("cannot write the capture `{}`: {error}", path.display());
            device
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_the_network_where_there_are_several() {
        assert_eq!(capture_file(2, 0, 1), "processor-2.pcap");
        assert_eq!(capture_file(2, 1, 2), "processor-2-network-1.pcap");
    }
}
