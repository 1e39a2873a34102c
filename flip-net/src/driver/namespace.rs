//! Entering a network namespace, for tests and tools: several hosts on one.
//!
//! A socket stays in the namespace it was opened in, whoever uses it afterwards. So it is enough to
//! open a device in there; it may then be used from everywhere.

#![allow(unsafe_code, reason = "setns has no safe form in std")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::path::Path;

/// Where `ip netns add` puts them.
const NAMESPACES: &str = "/run/netns";

/// Runs `act` on a thread of its own inside the network namespace that `ip netns add` made by this
/// name, and waits for it. The calling thread stays where it is; a panic in there is one out here.
pub fn within<R: Send>(name: &str, act: impl FnOnce() -> R + Send) -> io::Result<R> {
    let path = Path::new(NAMESPACES).join(name);
    let namespace = File::open(&path).map_err(|error| {
        let text = format!("no network namespace {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    })?;
    let inside = || {
        // SAFETY: the descriptor is open during the call. It moves only this thread, which is ours
        // and ends with the closure.
        if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            let error = io::Error::last_os_error();
            let text = format!("cannot enter {}: {error}; that takes root", path.display());
            return Err(io::Error::new(error.kind(), text));
        }
        Ok(act())
    };
    std::thread::scope(|scope| match scope.spawn(inside).join() {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_not_there_is_named() {
        let error = within("no-such-namespace", || ()).unwrap_err().to_string();
        assert!(error.contains("/run/netns/no-such-namespace"), "{error}");
    }
}
