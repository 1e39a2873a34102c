//! Captures of memory networks: what is in the file, and what happens when it takes no more.

use std::sync::Arc;

use super::*;
use crate::address::NetworkId;
use crate::driver::MemoryNetwork;
use crate::link::capture::{FILE_HEADER_LEN, RECORD_HEADER_LEN};
use crate::link::fault::Faults;

fn frame(to: LinkAddress, text: &str) -> Frame {
    Frame::new(NetworkId(0), to, text.as_bytes().to_vec())
}

fn receive(device: &dyn Device) -> Vec<String> {
    let mut frames = Vec::new();
    device.receive(Duration::ZERO, &mut |_, bytes| {
        frames.push(String::from_utf8_lossy(bytes).into_owned());
    });
    frames
}

/// The link type and the packets of a capture file.
fn packets(file: &[u8]) -> (u32, Vec<Vec<u8>>) {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    let mut found = Vec::new();
    let mut at = FILE_HEADER_LEN;
    while at < file.len() {
        let len = number(at + 8) as usize;
        at += RECORD_HEADER_LEN;
        found.push(file[at..at + len].to_vec());
        at += len;
    }
    (number(20), found)
}

fn folder() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("flip-capture-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for captures");
    folder
}

#[test]
fn what_is_sent_and_received_is_in_the_file_while_it_is_being_written() {
    let network = MemoryNetwork::new();
    let [a, b] = [network.device(), network.device()];
    let path = folder().join("bare.pcap");
    let plain: Arc<dyn Device> = a.clone();
    let captured = CaptureDevice::create(plain, &path).expect("a file");
    captured.send(&[
        frame(LinkAddress::Broadcast, "all"),
        frame(b.station(), "b"),
    ]);
    assert_eq!(receive(&*b), ["all", "b"]);
    b.send(&[frame(captured.station(), "a")]);
    assert_eq!(receive(&captured), ["a"]);
    let file = std::fs::read(&path).expect("the file");
    let expected = [&b"all"[..], b"b", b"a"].map(<[u8]>::to_vec).to_vec();
    assert_eq!(packets(&file), (147, expected));
    let stats = CaptureStats {
        frames: 3,
        ..CaptureStats::default()
    };
    assert_eq!(captured.stats(), stats);
    std::fs::remove_file(path).expect("it was there");
}

#[test]
fn networks_with_the_flow_control_header_are_captured_as_ethernet() {
    let network = MemoryNetwork::with(Link::ethernet(), Faults::default(), 0);
    let [a, b] = [network.device(), network.device()];
    let path = folder().join("ethernet.pcap");
    let captured = CaptureDevice::create(b, &path).expect("a file");
    captured.send(&[frame(a.station(), "to a")]);
    a.send(&[frame(LinkAddress::Broadcast, "all")]);
    assert_eq!(receive(&captured), ["all"]);
    let file = std::fs::read(&path).expect("the file");
    let header = |to: u8, from: u8| [0, 0, 0, 0, 0, to, 0, 0, 0, 0, 0, from, 0x81, 0x46];
    let expected = vec![
        [&header(0, 1)[..], b"to a"].concat(),
        [&header(1, 0)[..], b"all"].concat(),
    ];
    assert_eq!(packets(&file), (1, expected));
    std::fs::remove_file(path).expect("it was there");
}

/// Takes so many bytes, then fails; what it took stays behind.
struct Narrow {
    room: usize,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room {
            return Err(io::Error::other("no space left"));
        }
        self.room -= bytes.len();
        self.taken.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_takes_no_more_does_not_hurt_the_network() {
    let record = RECORD_HEADER_LEN + 3;
    for (room, bytes_max, errors) in [
        (FILE_HEADER_LEN + 2 * record, u64::MAX, 1),
        (usize::MAX, (FILE_HEADER_LEN + 2 * record) as u64, 0),
    ] {
        let network = MemoryNetwork::new();
        let [a, b] = [network.device(), network.device()];
        let taken = Arc::new(Mutex::new(Vec::new()));
        let out = Narrow {
            room,
            taken: Arc::clone(&taken),
        };
        let captured = CaptureDevice::new(a, out, "of a test", bytes_max).expect("room enough");
        for _ in 0..3 {
            captured.send(&[frame(b.station(), "yes")]);
        }
        b.send(&[frame(captured.station(), "no")]);
        assert_eq!(receive(&*b), ["yes", "yes", "yes"]);
        assert_eq!(receive(&captured), ["no"]);
        let stats = CaptureStats {
            frames: 2,
            missed: 2,
            errors,
        };
        assert_eq!(captured.stats(), stats);
        let (_, found) = packets(&taken.lock().expect("whole"));
        assert_eq!(found, [b"yes", b"yes"]);
    }
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_at_once() {
    let device = MemoryNetwork::new().device();
    let path = folder().join("no-such-folder").join("x.pcap");
    assert!(CaptureDevice::create(device, &path).is_err());
}
