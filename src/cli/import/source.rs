//! The text of a file: copies a pipe, which can be read only once, unpacks gzip, and refuses formats that are
//! not CSV with advice.

use anyhow::{Context, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// A file that can be read several times.
pub(super) struct Source {
    file: File,
}

impl Source {
    /// Opens a file; `-` is standard input. A pipe is copied to a temporary file without a name, so that it can
    /// be read twice.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = if path == Path::new("-") {
            copied(&mut std::io::stdin().lock())?
        } else {
            let mut opened = File::open(path)?;
            let kind = opened.metadata()?;
            if kind.is_dir() {
                bail!("it is a directory");
            }
            if kind.is_file() { opened } else { copied(&mut opened)? }
        };
        Ok(Self { file })
    }

    /// The text from the start, unpacked if the first two bytes are those of gzip.
    pub(super) fn text(&self) -> anyhow::Result<Box<dyn BufRead>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = BufReader::new(file);
        let mut text: Box<dyn BufRead> = if bytes.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(bytes)))
        } else {
            Box::new(bytes)
        };
        refuse_other_formats(text.fill_buf()?)?;
        Ok(text)
    }
}

fn copied(pipe: &mut dyn Read) -> anyhow::Result<File> {
    let mut file = tempfile::tempfile().context("cannot create a temporary copy")?;
    std::io::copy(pipe, &mut file).context("cannot copy it")?;
    Ok(file)
}

fn refuse_other_formats(start: &[u8]) -> anyhow::Result<()> {
    const SAVE: &str = "save it as CSV UTF-8";
    match start {
        [b'P', b'K', 3..=8, ..] => {
            bail!("it is an Excel workbook or a zip archive: {SAVE}, or unpack it")
        }
        [0xd0, 0xcf, 0x11, 0xe0, ..] => bail!("it is an old Excel workbook: {SAVE}"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            bail!("it is UTF-16 text: {SAVE}")
        }
        _ => Ok(()),
    }
}
