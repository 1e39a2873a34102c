//! Network namespaces that a test makes for itself, and that go when it ends, also by a panic.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A network namespace.
pub(crate) struct Namespace {
    /// As `ip netns` knows it.
    pub(crate) name: String,
}

impl Namespace {
    /// A fresh one with a loopback interface that is up. Without root, or without `ip`, there is
    /// none: then a line says that the test is skipped.
    pub(crate) fn new() -> Option<Namespace> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("flip-{}-{count}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        let why = match made {
            Ok(output) if output.status.success() => {
                let namespace = Namespace { name };
                namespace.ip("link set lo up");
                return Some(namespace);
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("no `ip`: {error}"),
        };
        println!("skipped: no network namespace ({why})");
        None
    }

    /// Waits until frames pass an interface: that is some time after both of its ends are set up.
    pub(crate) fn wait_until_up(&self, interface: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let state = self.ip(&format!("link show dev {interface}"));
            if state.contains("state UP") && !state.contains("qdisc noop ") {
                return;
            }
            assert!(Instant::now() < deadline, "{state}");
        }
    }

    /// Runs `ip` in there; the arguments are separated by blanks. Gives what it says.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let output = Command::new("ip")
            .args(["-n", &self.name])
            .args(arguments.split(' '))
            .output()
            .expect("`ip` made the namespace");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deleted = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        if !deleted.is_ok_and(|status| status.success()) {
            eprintln!("network namespace {} stays behind", self.name);
        }
    }
}
