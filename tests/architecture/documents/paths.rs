//! Paths that documents and comments name exist.

use crate::sources::{files_below, root};
use std::fs;
use std::path::Path;

/// Folders below the root with files that name paths.
const FOLDERS: [&str; 4] = ["docs", "src", "tests", "benches"];

/// The documents, and the Rust files, whose comments count.
fn files() -> Vec<std::path::PathBuf> {
    let entries =
        fs::read_dir(root()).expect("the root").map(|entry| entry.expect("an entry").path());
    let below = FOLDERS.iter().flat_map(|folder| files_below(&root().join(folder)));
    let is_kind =
        |path: &Path| matches!(path.extension(), Some(kind) if kind == "md" || kind == "rs");
    entries.chain(below).filter(|path| is_kind(path)).collect()
}

/// The text of a document; of a Rust file its comments.
fn prose(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("UTF-8");
    if file.extension().is_some_and(|kind| kind == "md") {
        return text;
    }
    let comments = text.lines().filter(|line| line.trim_start().starts_with("//"));
    comments.collect::<Vec<_>>().join("\n")
}

/// Whether a word in backticks is a path: it has a slash, and begins with a folder of the root or of `src`,
/// or ends as a file does.
fn is_path(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let Some((folder, _)) = word.split_once('/') else { return false };
    let is_folder = |base: &str| root().join(base).join(folder).is_dir();
    let is_file = Path::new(word).extension().is_some_and(|kind| kind == "rs" || kind == "md");
    word.chars().all(is_plain)
        && !folder.is_empty()
        && folder != "target"
        && (is_file || is_folder("") || is_folder("src"))
}

/// The words in backticks of each line, and the targets of relative links.
fn named(prose: &str) -> Vec<&str> {
    let quoted = prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    let links = links.filter(|link| !link.is_empty() && !link.contains(':'));
    quoted.filter(|word| is_path(word)).chain(links.filter(|link| is_path(link))).collect()
}

#[test]
fn paths_that_documents_and_comments_name_exist() {
    let (mut strays, mut found) = (Vec::new(), 0);
    for file in files() {
        let own = file.parent().expect("a file is in a folder").to_owned();
        let bases = [root().to_owned(), root().join("src"), own];
        let prose = prose(&file);
        for path in named(&prose) {
            found += 1;
            if !bases.iter().any(|base| base.join(path).exists()) {
                let file = file.strip_prefix(root()).expect("below the root").display();
                strays.push(format!("{file}: {path}"));
            }
        }
    }
    assert!(strays.is_empty(), "no such files:\n{}", strays.join("\n"));
    assert!(found > 100, "only {found} paths were recognized");
}
