//! Fuzzing of what strangers write: sound inputs, changed at random, and a property that holds for each.
//!
//! Inputs that once failed are files in `corpus`, a folder for each target. They are checked first. A new
//! failure is shrunk and written there. `FUZZ_CASES` sets how many random inputs each target gets.

mod mutation;
mod socket;

pub use mutation::{CSV, Change, JSON, MESSAGE, Mutation, REQUEST, TEXT, changed};
pub use socket::SOCKET;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Random inputs of a target, unless `FUZZ_CASES` says otherwise: a second or two of a debug build.
const CASES: u32 = 300;

/// Changes of one input.
const CHANGES_MAX: usize = 4;

/// Inputs of one kind: where they come from, and how they are changed.
pub struct Target {
    /// The name of its folder in `corpus`.
    pub name: &'static str,
    /// Sound inputs.
    pub seeds: Vec<Vec<u8>>,
    /// What changes them.
    pub mutations: &'static [Mutation],
}

impl Target {
    /// Checks the corpus, the seeds, and random changes of the seeds. `check` panics on a fault.
    pub fn run(&self, mut check: impl FnMut(&[u8])) {
        for (file, input) in self.corpus() {
            eprintln!("corpus: {}", file.display());
            check(&input);
        }
        for seed in &self.seeds {
            check(seed);
        }
        let check = std::cell::RefCell::new(check);
        let cases = std::env::var("FUZZ_CASES").map_or(CASES, |n| n.parse().expect("a number"));
        let config = ProptestConfig {
            cases,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..ProptestConfig::default()
        };
        let started_at = Instant::now();
        let inputs = (0..self.seeds.len(), vec(any::<Change>(), 1..=CHANGES_MAX));
        let outcome = TestRunner::new(config).run(&inputs, |(seed, changes)| {
            check.borrow_mut()(&self.input(seed, &changes));
            Ok(())
        });
        match outcome {
            Ok(()) => eprintln!("{}: {cases} cases in {:?}", self.name, started_at.elapsed()),
            Err(TestError::Fail(why, (seed, changes))) => {
                let file = self.keep(&self.input(seed, &changes));
                panic!("{}: {why}; the input is kept in {}", self.name, file.display());
            }
            Err(TestError::Abort(why)) => panic!("{}: {why}", self.name),
        }
    }

    fn input(&self, seed: usize, changes: &[Change]) -> Vec<u8> {
        changed(&self.seeds[seed], self.mutations, changes)
    }

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzzing/corpus").join(self.name)
    }

    /// The kept inputs, by name.
    fn corpus(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = fs::read_dir(self.folder()).into_iter().flatten();
        let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::read(file).expect("a file"))).collect()
    }

    fn keep(&self, input: &[u8]) -> PathBuf {
        let digest = Sha256::digest(input);
        let name = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
        let file = self.folder().join(format!("found-{name:016x}"));
        fs::create_dir_all(self.folder()).expect("a folder");
        fs::write(&file, input).expect("written");
        file
    }
}

/// The part before the first blank line, and the part after it; everything is the second if there is none.
pub fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    match input.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (&[], input),
    }
}
