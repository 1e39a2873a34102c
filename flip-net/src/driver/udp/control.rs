//! Datagrams that are not simply a frame. They begin with a byte that no FLIP packet begins with,
//! since that is the version there, and it is 1.
//!
//! ```text
//!   probe, heard    F1  1 or 2  nonce (8)
//!   except          F2  count   count times: 4 ip (4) port (2)  or  6 ip (16) port (2)   frame
//! ```
//! A probe goes out by multicast; who hears it answers *heard* with the same nonce to the socket
//! that sent it. *Except* is a multicast frame that is not for the stations in the list, because
//! each of them gets a copy of its own: so everybody gets the frame exactly once, whoever hears the
//! group, and whatever is still under way when the list changes. Numbers are big endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most stations in the list of an *except*.
pub(super) const EXCEPT_MAX: usize = 16;

/// First bytes from here on belong to us; a frame never begins with one.
const RESERVED: u8 = 0xf1;
const PROBE: u8 = 0xf1;
const EXCEPT: u8 = 0xf2;
const KIND_PROBE: u8 = 1;
const KIND_HEARD: u8 = 2;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datagram<'a> {
    /// A frame.
    Frame(&'a [u8]),
    /// A frame for those who are not in the list; `listed` says whether this station is.
    Except { frame: &'a [u8], listed: bool },
    /// Whoever hears this is asked to say so.
    Probe(u64),
    /// The answer.
    Heard(u64),
}

/// It is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Whether bytes can be told from what is ours.
pub(super) fn is_frame(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < RESERVED)
}

/// Tells what a datagram is to the station `own`.
pub(super) fn parse(bytes: &[u8], own: SocketAddr) -> Result<Datagram<'_>, Malformed> {
    match bytes {
        [PROBE, kind, nonce @ ..] => {
            let nonce = u64::from_be_bytes(nonce.try_into().map_err(|_| Malformed)?);
            match *kind {
                KIND_PROBE => Ok(Datagram::Probe(nonce)),
                KIND_HEARD => Ok(Datagram::Heard(nonce)),
                _ => Err(Malformed),
            }
        }
        [EXCEPT, count, rest @ ..] => parse_except(usize::from(*count), rest, own),
        _ if is_frame(bytes) => Ok(Datagram::Frame(bytes)),
        _ => Err(Malformed),
    }
}

fn parse_except(count: usize, mut rest: &[u8], own: SocketAddr) -> Result<Datagram<'_>, Malformed> {
    if count > EXCEPT_MAX {
        return Err(Malformed);
    }
    let mut listed = false;
    for _ in 0..count {
        let (address, behind) = parse_address(rest)?;
        listed |= address == (own.ip(), own.port());
        rest = behind;
    }
    if is_frame(rest) {
        let frame = rest;
        Ok(Datagram::Except { frame, listed })
    } else {
        Err(Malformed)
    }
}

fn parse_address(bytes: &[u8]) -> Result<((IpAddr, u16), &[u8]), Malformed> {
    let (kind, rest) = bytes.split_first().ok_or(Malformed)?;
    let (ip, rest) = match kind {
        4 => {
            let (ip, rest) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
            (IpAddr::V4(Ipv4Addr::from(*ip)), rest)
        }
        6 => {
            let (ip, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
            (IpAddr::V6(Ipv6Addr::from(*ip)), rest)
        }
        _ => return Err(Malformed),
    };
    let (port, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    Ok(((ip, u16::from_be_bytes(*port)), rest))
}

/// A probe.
pub(super) fn probe(nonce: u64) -> Vec<u8> {
    [&[PROBE, KIND_PROBE][..], &nonce.to_be_bytes()].concat()
}

/// The answer to a probe.
pub(super) fn heard(nonce: u64) -> Vec<u8> {
    [&[PROBE, KIND_HEARD][..], &nonce.to_be_bytes()].concat()
}

/// What stands before a frame that is not for these.
pub(super) fn except(listed: &[SocketAddr]) -> Vec<u8> {
    assert!(listed.len() <= EXCEPT_MAX, "the list has a bound");
    let mut bytes = vec![EXCEPT, listed.len() as u8];
    for address in listed {
        match address.ip() {
            IpAddr::V4(ip) => {
                bytes.push(4);
                bytes.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.push(6);
                bytes.extend(ip.octets());
            }
        }
        bytes.extend(address.port().to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> SocketAddr {
        "10.0.0.1:7".parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse(&probe(7), own()), Ok(Datagram::Probe(7)));
        assert_eq!(
            parse(&heard(u64::MAX), own()),
            Ok(Datagram::Heard(u64::MAX))
        );
        assert_eq!(parse(&[1, 2], own()), Ok(Datagram::Frame(&[1, 2])));
        let others: [SocketAddr; 2] = ["10.0.0.1:8", "[fd00::1]:7"].map(|a| a.parse().unwrap());
        for (list, listed) in [
            (vec![], false),
            (others.to_vec(), false),
            (vec![others[1], own()], true),
        ] {
            let bytes = [except(&list), vec![1, 9]].concat();
            let frame = &[1, 9][..];
            assert_eq!(parse(&bytes, own()), Ok(Datagram::Except { frame, listed }));
        }
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_refused() {
        let whole = [except(&[own(), "[fd00::1]:7".parse().unwrap()]), vec![1]].concat();
        for bytes in [&whole[..], &probe(5), &heard(5)] {
            for len in 0..bytes.len() {
                assert_eq!(
                    parse(&bytes[..len], own()),
                    Err(Malformed),
                    "{len} of {bytes:x?}"
                );
            }
        }
        for bytes in [
            &[0xff, 1][..],
            &[0xf3],
            &[PROBE, 3, 0, 0, 0, 0, 0, 0, 0, 0],
            &[PROBE, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[EXCEPT, EXCEPT_MAX as u8 + 1, 1],
            &[EXCEPT, 0, EXCEPT, 0, 1],
            &[EXCEPT, 1, 5, 0, 0, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(parse(bytes, own()), Err(Malformed), "{bytes:x?}");
        }
    }
}
