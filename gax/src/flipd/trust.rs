//! Which networks may be trusted: the one place that decides.
//!
//! A trusted network carries packets that ask for security. Who can put packets on it, or read
//! them there, can do whatever security was asked against, so trust has to come from somewhere: from a
//! key, from the walls of one host, or from the one who wrote the configuration and said so twice.
//!
//! Implements: [Thesis §2.2], trusted and untrusted networks.
//! Differs: in the thesis an administrator may trust any network; here one without a key and
//! beyond this host must be asked for as insecure.

/// What is known of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// What it carries is authenticated and encrypted.
    pub keyed: bool,
    /// Nothing from beyond this host can come in by it.
    pub loopback: bool,
    /// The configuration says that no key is no mistake.
    pub insecure: bool,
}

/// A network that was to be trusted and cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a network beyond this host cannot be trusted without a key: give it `key`, or leave `trusted` out, or, if nobody \
     but friends can reach it, add `insecure = true`"
)]
pub struct NotTrusted;

/// Whether the network is trusted, when the configuration says `wanted`.
///
/// # Errors
/// If it is to be trusted without a reason.
pub fn trusted(network: Exposure, wanted: Option<bool>) -> Result<bool, NotTrusted> {
    let safe = network.keyed || network.loopback;
    match wanted {
        None => Ok(safe),
        Some(true) if !safe && !network.insecure => Err(NotTrusted),
        Some(wanted) => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of: nothing said, `trusted = false`, `trusted = true`.
    fn check(keyed: bool, loopback: bool, insecure: bool, expected: [Result<bool, NotTrusted>; 3]) {
        let network = Exposure {
            keyed,
            loopback,
            insecure,
        };
        let wanted = [None, Some(false), Some(true)];
        assert_eq!(wanted.map(|wanted| trusted(network, wanted)), expected);
    }

    #[test]
    fn a_key_or_this_host_alone_is_a_reason_to_trust() {
        for insecure in [false, true] {
            for (keyed, loopback) in [(true, false), (false, true), (true, true)] {
                check(keyed, loopback, insecure, [Ok(true), Ok(false), Ok(true)]);
            }
        }
    }

    #[test]
    fn a_bare_network_beyond_this_host_is_trusted_only_if_asked_twice() {
        let refused = Err(NotTrusted);
        check(false, false, false, [Ok(false), Ok(false), refused]);
        // `insecure` alone trusts nothing.
        check(false, false, true, [Ok(false), Ok(false), Ok(true)]);
    }
}
