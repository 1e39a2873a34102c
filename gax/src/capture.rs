//! The folder of `--capture`: made, and tried, before anything is started.
//!
//! Each processor makes its own files in it; that they can is found out here, where the user still
//! gets a clear answer. Files of an earlier run are emptied, so that none survives under this
//! run's names.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use orca_rts::capture_file;

/// Why nothing can be captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureFolderError {
    #[error("cannot make the folder `{0}` for captures: {1}")]
    Folder(String, io::Error),
    #[error("cannot write the capture `{0}`: {1}")]
    File(String, io::Error),
    #[error("the folder for captures `{0}` has a name that is not UTF-8; choose another one")]
    Name(String),
}

/// Makes the folder and an empty file for each network of each processor; gives its full name.
pub fn prepare(
    folder: &Path,
    processors: u16,
    networks: usize,
) -> Result<String, CaptureFolderError> {
    let shown = folder.display().to_string();
    let full = fs::create_dir_all(folder)
        .and_then(|()| folder.canonicalize())
        .map_err(|error| CaptureFolderError::Folder(shown.clone(), error))?;
    let Some(name) = full.to_str() else {
        return Err(CaptureFolderError::Name(shown));
    };
    for number in 0..processors {
        for network in 0..networks {
            let path = full.join(capture_file(number, network, networks));
            File::create(&path)
                .map_err(|error| CaptureFolderError::File(path.display().to_string(), error))?;
        }
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("gax-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_missing_folder_is_made_and_old_captures_are_emptied() {
        let top = folder("capture");
        let deep = top.join("a/b");
        prepare(&deep, 2, 1).expect("it can be made");
        let file = deep.join("processor-1.pcap");
        fs::write(&file, b"old").expect("a file");
        let name = prepare(&deep, 2, 1).expect("it is there");
        assert!(Path::new(&name).is_absolute(), "{name}");
        assert_eq!(fs::read(&file).expect("the file"), b"");
        fs::remove_dir_all(top).expect("it was there");
    }

    #[test]
    fn a_folder_that_is_none_or_a_file_in_the_way_is_named() {
        let top = folder("no-capture");
        fs::create_dir_all(top.join("processor-1.pcap")).expect("a folder");
        let error = prepare(&top, 2, 1).expect_err("a folder is in the way");
        assert!(error.to_string().contains("processor-1.pcap"), "{error}");
        let file = top.join("file");
        fs::write(&file, b"").expect("a file");
        let error = prepare(&file.join("below"), 1, 1).expect_err("a file is in the way");
        let message = error.to_string();
        assert!(message.starts_with("cannot make the folder"), "{message}");
        fs::remove_dir_all(top).expect("it was there");
    }
}
