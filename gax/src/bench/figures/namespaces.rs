//! Network namespaces on one bridge, one for each member: what corosync needs, whose daemons do not share one.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// One for the bridge and one for each member; gone when this is.
pub(super) struct Namespaces(Vec<String>);

fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.map_err(|error| format!("no `ip`: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

impl Namespaces {
    pub(super) fn new(count: usize) -> Result<Namespaces, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("bench-{}-{number}", std::process::id());
        let mut namespaces = Namespaces(Vec::new());
        let hub = format!("{prefix}-hub");
        ip(&format!("netns add {hub}"))?;
        namespaces.0.push(hub.clone());
        ip(&format!(
            "-n {hub} link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0"
        ))?;
        ip(&format!("-n {hub} link set br0 up"))?;
        for number in 0..count {
            let name = format!("{prefix}-{number}");
            ip(&format!("netns add {name}"))?;
            namespaces.0.push(name.clone());
            for line in [
                format!("-n {name} link add eth0 type veth peer name port{number} netns {hub}"),
                format!("-n {hub} link set port{number} master br0 up"),
                format!("-n {name} address add {}/24 dev eth0", address(number)),
                format!("-n {name} link set eth0 up"),
                format!("-n {name} link set lo up"),
                format!("-n {name} route add 224.0.0.0/4 dev eth0"),
            ] {
                ip(&line)?;
            }
        }
        Ok(namespaces)
    }

    /// That of a member.
    pub(super) fn of(&self, number: usize) -> &str {
        &self.0[number + 1]
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            // What was not made is not there to be removed.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// The address of a member in its namespace.
pub(super) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number as u8 + 1)
}
