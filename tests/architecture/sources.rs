//! The source files, and files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below `src/`, and its text without comments and tests.
pub struct Source {
    pub path: String,
    pub code: String,
}

impl Source {
    pub fn is_in(&self, rooms: &[&str]) -> bool {
        rooms.iter().any(|room| self.path.starts_with(room))
    }

    /// Lines that hold one of the words.
    pub fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let holds = |line: &&str| words.iter().any(|word| line.contains(word));
        self.code
            .lines()
            .filter(holds)
            .map(|line| format!("src/{}: {}", self.path, line.trim()))
            .collect()
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

pub fn sources() -> Vec<Source> {
    let src = root().join("src");
    let rust = files_below(&src).into_iter().filter(|path| path.extension() == Some("rs".as_ref()));
    rust.map(|path| {
        let text = fs::read_to_string(&path).expect("UTF-8");
        let tested = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = tested.lines().filter(|line| !line.trim_start().starts_with("//"));
        let path = path.strip_prefix(&src).expect("below src").to_string_lossy().replace('\\', "/");
        Source { path, code: code.collect::<Vec<_>>().join("\n") }
    })
    .collect()
}
