//! Files with the key of a network: 64 hexadecimal digits and a newline, readable by their owner
//! only. No decision about keys in here, only about files.

#![allow(unsafe_code, reason = "geteuid has no safe form in std")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::seal::{KEY_LEN, Key};

const DIGITS: usize = 2 * KEY_LEN;

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be opened or read.
    #[error("cannot read the key of the network from {path}: {source}; {}", how_to_make(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It is a directory, a pipe, a device.
    #[error("the key of the network is not read from {path}: it is no regular file; {}", how_to_make(.path))]
    NotRegular {
        /// What was given as a file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error(
        "the key of the network is not read from {path}: it belongs to user {owner}, and this is user {user}; \
         type: chown {user} '{path}'"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// The user it belongs to.
        owner: u32,
        /// The user who wants to read it.
        user: u32,
    },
    /// Others may read or write it.
    #[error(
        "the key of the network is not read from {path}: others may use it (mode {mode:04o}); \
         type: chmod 600 '{path}'"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("{path} holds no key: 64 hexadecimal digits and a newline were expected; {}", how_to_make(.path))]
    Content {
        /// The file.
        path: PathBuf,
    },
}

fn how_to_make(path: &Path) -> String {
    let path = path.display();
    format!("to make a key, type: umask 077; head -c 32 /dev/urandom | xxd -p -c 64 > '{path}'")
}

impl Key {
    /// Reads the key of epoch 0 from a file that only its owner, who is this user, can use.
    pub fn read(path: &Path) -> Result<Key, KeyError> {
        let failed = |source| {
            let path = path.to_owned();
            KeyError::Read { path, source }
        };
        // A pipe must not make us wait for its writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(failed)?;
        check(&file, path)?;
        // One byte more than a key has, to see that there is more.
        let mut text = Zeroizing::new([0; DIGITS + 2]);
        let len = read_up_to(file, &mut text[..]).map_err(failed)?;
        let secret = parse(&text[..len]).ok_or_else(|| KeyError::Content {
            path: path.to_owned(),
        })?;
        Ok(Key::new(*secret, 0))
    }
}

/// Looks at the file that is open, so that nobody can put another one in its place.
fn check(file: &File, path: &Path) -> Result<(), KeyError> {
    let path = path.to_owned();
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(source) => return Err(KeyError::Read { path, source }),
    };
    // SAFETY: geteuid takes nothing, touches no memory of ours and cannot fail.
    let user = unsafe { libc::geteuid() };
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if !metadata.is_file() {
        Err(KeyError::NotRegular { path })
    } else if owner != user {
        Err(KeyError::Owner { path, owner, user })
    } else if mode & 0o177 != 0 {
        Err(KeyError::Mode { path, mode })
    } else {
        Ok(())
    }
}

/// Reads until the end of the file or of the buffer, without a copy elsewhere.
fn read_up_to(mut file: File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    if digits.len() != DIGITS {
        return None;
    }
    let mut secret = Zeroizing::new([0; KEY_LEN]);
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| (digit as char).to_digit(16));
        *byte = (high? << 4 | low?) as u8;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder of this test alone, gone at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("flip-key-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        fn file(&self, text: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join("key");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const TEXT: &[u8] = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1B1c1D1e1F\n";

    #[test]
    fn a_file_of_64_digits_is_a_key() {
        let folder = Folder::new("good");
        for mode in [0o600, 0o400] {
            for text in [TEXT, &TEXT[..DIGITS]] {
                let key = Key::read(&folder.file(text, mode)).unwrap();
                assert_eq!(key.epoch(), 0);
                fs::remove_file(folder.0.join("key")).unwrap();
            }
        }
        let expected: Vec<u8> = (0..32).collect();
        assert_eq!(parse(TEXT).unwrap()[..], expected[..]);
    }

    #[test]
    fn anything_else_is_none() {
        let folder = Folder::new("content");
        let mut long = TEXT.to_vec();
        long.push(b'\n');
        let other = [&TEXT[..DIGITS - 1], b"g\n"].concat();
        let sign = [&TEXT[..DIGITS - 2], b"+1\n"].concat();
        for text in [&TEXT[1..], &long, &other, &sign, b"", &[0xff; DIGITS]] {
            let read = Key::read(&folder.file(text, 0o600));
            assert!(matches!(read, Err(KeyError::Content { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let folder = Folder::new("mode");
        for mode in [0o640, 0o604, 0o660, 0o602, 0o700, 0o610] {
            let path = folder.file(TEXT, mode);
            let error = Key::read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Mode { mode: found, .. } if found == mode));
            let todo = format!("type: chmod 600 '{}'", path.display());
            assert!(error.to_string().ends_with(&todo), "{error}");
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        // SAFETY: geteuid takes nothing, touches no memory of ours and cannot fail.
        let user = unsafe { libc::geteuid() };
        if user != 0 {
            println!("only root can give files away: skipped");
            return;
        }
        let folder = Folder::new("owner");
        let path = folder.file(TEXT, 0o600);
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        let error = Key::read(&path).unwrap_err();
        assert!(matches!(error, KeyError::Owner { owner: 1, .. }), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused_and_nobody_waits() {
        let folder = Folder::new("kind");
        let read = Key::read(&folder.0);
        assert!(
            matches!(read, Err(KeyError::NotRegular { .. })),
            "a directory"
        );
        let pipe = folder.0.join("pipe");
        let name = std::ffi::CString::new(pipe.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: the name is a string that ends with a zero byte and lives during the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let read = Key::read(&pipe);
        assert!(matches!(read, Err(KeyError::NotRegular { .. })), "a pipe");
        let missing = folder.0.join("missing");
        let error = Key::read(&missing).unwrap_err().to_string();
        let todo = format!("| xxd -p -c 64 > '{}'", missing.display());
        assert!(error.ends_with(&todo), "{error}");
    }
}
