//! A certificate authority of a test's own.

use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// An authority, and a certificate of it for `localhost` alone.
pub struct Authority(TempDir);

impl Authority {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("names"), "subjectAltName=DNS:localhost")
            .expect("written");
        for line in [
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
            "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
            "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out server.pem",
        ] {
            let mut openssl = Command::new("openssl");
            openssl.current_dir(directory.path()).args(line.split(' '));
            let output = openssl.output().expect("openssl is installed");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Self(directory)
    }

    pub fn file(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
