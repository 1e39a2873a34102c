//! Source files: where their text comes from, and how a byte position becomes a line and a column.
//!
//! Everything the compiler reads goes through the `Files` trait, so that an editor's unsaved buffers and tests without a
//! disk look the same as files. `DiskFiles` is the only place that touches the file system.
//! A position is a byte offset; lines and columns exist only for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file known to the session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(u32);

impl FileId {
    /// The position in the table of sources.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A piece of one file: bytes `start .. end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes `start .. end` of `file`.
    pub fn new(file: FileId, start: u32, end: u32) -> Span {
        debug_assert!(start <= end, "a span runs forward");
        Span { file, start, end }
    }

    /// From the start of `self` to the end of `other`, which lies in the same file.
    pub fn to(self, other: Span) -> Span {
        assert_eq!(self.file, other.file, "a span lies in one file");
        Span {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The empty span just behind this one.
    pub fn after(self) -> Span {
        Span {
            start: self.end,
            ..self
        }
    }

    /// The length in bytes.
    pub fn len(self) -> u32 {
        self.end - self.start
    }

    /// Whether it covers nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Where source texts come from.
pub trait Files {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Whether `path` is a file that can be read.
    fn exists(&self, path: &Path) -> bool;
    /// The names of the files in a folder, sorted; empty if there is no such folder.
    fn list(&self, folder: &Path) -> Vec<String>;
}

/// The file system.
#[derive(Clone, Copy, Default, Debug)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

/// Files that exist only in memory.
#[derive(Clone, Default, Debug)]
pub struct MemoryFiles {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MemoryFiles {
    /// No files.
    pub fn new() -> MemoryFiles {
        MemoryFiles::default()
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), text.into());
    }

    /// The same, for building in one expression.
    pub fn with(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> MemoryFiles {
        self.insert(path, text);
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let names: BTreeSet<String> = self
            .files
            .keys()
            .filter(|path| path.parent() == Some(folder))
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect();
        names.into_iter().collect()
    }
}

/// One loaded file.
#[derive(Debug)]
pub struct Source {
    /// As the user or the search named it.
    pub path: PathBuf,
    /// The text; a byte that is not UTF-8 is replaced by `NOT_UTF8`, so offsets are those of the file.
    pub text: Arc<str>,
    line_starts: Vec<u32>,
}

/// What stands in a `Source` for a byte that is not part of UTF-8 text.
pub const NOT_UTF8: u8 = 0x1a;

/// The largest source file: positions are 32 bits, and nobody writes more by hand.
pub const SOURCE_SIZE_MAX: usize = 64 << 20;

impl Source {
    fn new(path: PathBuf, text: String) -> Source {
        let line_starts = std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|&(_, b)| b == b'\n')
                    .map(|(i, _)| i as u32 + 1),
            )
            .collect();
        Source {
            path,
            text: text.into(),
            line_starts,
        }
    }

    /// The line (from 1) and the column in bytes (from 1) of a byte offset.
    pub fn line_column(&self, offset: u32) -> (u32, u32) {
        let line = self.line_starts.partition_point(|&start| start <= offset);
        (line as u32, offset - self.line_starts[line - 1] + 1)
    }

    /// The number of lines.
    pub fn line_count(&self) -> u32 {
        self.line_starts.len() as u32
    }

    /// The text of a line (from 1), without its newline.
    pub fn line(&self, line: u32) -> &str {
        let start = self.line_starts[line as usize - 1] as usize;
        let end = self
            .line_starts
            .get(line as usize)
            .map_or(self.text.len(), |&e| e as usize);
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }
}

/// All files of a session. Loading the same path twice gives the same `FileId`.
#[derive(Default, Debug)]
pub struct Sources {
    sources: Vec<Source>,
    by_path: BTreeMap<PathBuf, FileId>,
}

impl Sources {
    /// Adds a text under a path, replacing nothing: a known path keeps its text and id.
    pub fn add(&mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) -> io::Result<FileId> {
        let path = path.into();
        if let Some(&id) = self.by_path.get(&path) {
            return Ok(id);
        }
        if bytes.len() > SOURCE_SIZE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let id = FileId(u32::try_from(self.sources.len()).expect("fewer than 2^32 files"));
        self.sources.push(Source::new(path.clone(), decode(bytes)));
        self.by_path.insert(path, id);
        Ok(id)
    }

    /// Reads a file, once.
    pub fn load(&mut self, files: &dyn Files, path: &Path) -> io::Result<FileId> {
        match self.by_path.get(path) {
            Some(&id) => Ok(id),
            None => self.add(path, files.read(path)?),
        }
    }

    /// The file behind an id.
    pub fn get(&self, id: FileId) -> &Source {
        &self.sources[id.index()]
    }

    /// All loaded files, in the order of loading.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.sources
            .iter()
            .enumerate()
            .map(|(i, source)| (FileId(i as u32), source))
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        &self.get(span.file).text[span.start as usize..span.end as usize]
    }

    /// The line (from 1) on which a span starts.
    pub fn line(&self, span: Span) -> u32 {
        self.get(span.file).line_column(span.start).0
    }
}

fn decode(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let bytes = error.into_bytes();
            let mut text = String::with_capacity(bytes.len());
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| NOT_UTF8 as char));
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_bytes_from_one() {
        let mut sources = Sources::default();
        let id = sources
            .add("a.orca", b"ab\n\nc\xc3\xa9d\n".to_vec())
            .unwrap();
        let source = sources.get(id);
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(2), (1, 3));
        assert_eq!(source.line_column(3), (2, 1));
        assert_eq!(source.line_column(7), (3, 4));
        assert_eq!(source.line_count(), 4);
        assert_eq!(source.line(3), "c\u{e9}d");
    }

    #[test]
    fn bytes_that_are_not_utf8_keep_the_offsets() {
        let mut sources = Sources::default();
        let id = sources.add("a.orca", b"# caf\xe9 #\nx".to_vec()).unwrap();
        assert_eq!(sources.get(id).text.len(), 10);
        assert_eq!(sources.get(id).line(2), "x");
    }

    #[test]
    fn memory_files_list_one_folder() {
        let files = MemoryFiles::new()
            .with("lib/b.spf", "")
            .with("lib/a.spf", "")
            .with("c.spf", "");
        assert_eq!(files.list(Path::new("lib")), ["a.spf", "b.spf"]);
        assert_eq!(files.list(Path::new("")), ["c.spf"]);
        assert!(files.exists(Path::new("c.spf")) && !files.exists(Path::new("d.spf")));
    }
}
