//! Code and documents use plain words.

use super::sources::{files_below, root};
use std::fs;

/// Old and literary turns: each has a plainer word that a reader understands at once.
const RIDDLES: &[&str] = &[
    "anew",
    "as good as",
    "be it",
    "lest",
    "none of ours",
    "reckon",
    "reckoned",
    "told of",
    "to be had",
    "whoever",
];

/// Whether a line has the word or words by themselves, in any case.
fn has_words(line: &str, words: &str) -> bool {
    let line = line.to_lowercase();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(words).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + words.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[test]
fn code_and_documents_use_plain_words() {
    let documents =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    let mut files: Vec<_> = documents.iter().map(|name| root().join(name)).collect();
    let folders = ["src", "docs", "deploy", "tests", "benches"];
    files.extend(folders.iter().flat_map(|folder| files_below(&root().join(folder))));
    let mut strays = Vec::new();
    for file in files {
        // The list itself.
        if file.ends_with(file!()) {
            continue;
        }
        let bytes = fs::read(&file).expect("a file");
        // Not a text: a compressed asset.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for (number, line) in text.lines().enumerate() {
            for words in RIDDLES.iter().filter(|words| has_words(line, words)) {
                let file = file.strip_prefix(root()).expect("below the root").display();
                strays.push(format!("{file}:{}: \"{words}\"", number + 1));
            }
        }
    }
    assert!(strays.is_empty(), "write these lines in plain words:\n{}", strays.join("\n"));
}
