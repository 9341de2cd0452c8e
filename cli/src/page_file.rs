//! Writes a page: to a file, whole or not at all, or to standard output.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::{output, records};

/// Where a page goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageFile {
    /// Standard output.
    Stdout,
    /// A file, to be made or replaced.
    File {
        /// As it was named.
        named: PathBuf,
        /// Where it is: a link is followed, so that the link stays.
        path: PathBuf,
    },
}

impl PageFile {
    /// Checks that a page can be written there, before the first call to AWS.
    ///
    /// # Errors
    /// When there is something else than a file, or no folder that could hold one. A device or a pipe is refused, because
    /// the page would take its name; `-` writes to standard output.
    pub(crate) fn at(named: &Path) -> Result<Self, Failure> {
        if named == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let shown = named.display();
        let path = match fs::metadata(named) {
            Ok(found) if found.is_file() => fs::canonicalize(named),
            Ok(found) => {
                let what = if found.is_dir() {
                    "a folder"
                } else {
                    "no regular file"
                };
                return Err(Failure::failed(format_args!("{shown} is {what}"))
                    .hint("Name a file, or - for standard output."));
            }
            Err(_) => Ok(named.to_owned()),
        };
        let path = path.map_err(|error| Failure::failed(format_args!("{shown}: {error}")))?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if path.file_name().is_none() || !folder.is_dir() {
            return Err(Failure::failed(format_args!(
                "{shown} cannot be written: there is no folder {}",
                folder.display()
            )));
        }
        Ok(Self::File {
            named: named.to_owned(),
            path,
        })
    }

    /// Writes the page. A reader sees the page before or the new one, never a part of it.
    ///
    /// # Errors
    /// When it cannot be written; then a page that was there stays.
    pub(crate) fn write(&self, page: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout => output::print(page),
            Self::File { path, .. } => records::write_file(path, page, true),
        }
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".to_owned(),
            Self::File { named, .. } => named.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_to_a_file_or_to_standard_output_and_nowhere_else() {
        let at = |name: &str| PageFile::at(Path::new(name));
        assert!(matches!(at("-"), Ok(PageFile::Stdout)));
        let here = at("Cargo.toml").expect("a file may be replaced");
        assert_eq!(here.name(), "Cargo.toml");
        assert!(at("not-there.html").is_ok());
        for (name, fault) in [
            ("src", "src is a folder"),
            ("/dev/null", "/dev/null is no regular file"),
            ("not-there/page.html", "there is no folder not-there"),
            ("..", ".. is a folder"),
        ] {
            let failure = at(name).expect_err(name).to_string();
            assert!(failure.contains(fault), "{failure}");
        }
    }
}
