//! The record files in folders.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{SCHEMA_FILE, name_of};

/// The files that these paths name: files as they are, and of each folder every record file in it and below it. A file that
/// is reached twice is read once.
///
/// # Errors
/// One line for each path that cannot be read, and for each folder without a record file.
pub fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<String>> {
    let (mut found, mut faults) = (Found::default(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            found.take(path);
            continue;
        }
        let before = found.seen.len();
        if let Err((path, error)) = found.walk(path) {
            faults.push(format!("{}: {error}", name_of(&path)));
        } else if found.seen.len() == before && !found.has_any_in(path) {
            let name = name_of(path);
            faults.push(format!(
                "{name}: holds no record file (*.yaml, *.yml or *.json)"
            ));
        }
    }
    match faults.is_empty() {
        true => Ok(found.files),
        false => Err(faults),
    }
}

#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    /// The files by their own paths, whatever links lead to them.
    seen: BTreeSet<PathBuf>,
    /// Folders likewise, so that a loop of links ends.
    walked: BTreeSet<PathBuf>,
}

impl Found {
    fn take(&mut self, file: &Path) {
        // One that is not there is told of when it is read. Standard input is no path.
        let own = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        if self.seen.insert(own) {
            self.files.push(file.to_owned());
        }
    }

    fn walk(&mut self, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
        let failed = |error| (folder.to_owned(), error);
        if !self
            .walked
            .insert(fs::canonicalize(folder).map_err(failed)?)
        {
            return Ok(());
        }
        let entries = fs::read_dir(folder).map_err(failed)?;
        let entries: Result<BTreeSet<PathBuf>, io::Error> =
            entries.map(|entry| Ok(entry?.path())).collect();
        for path in entries.map_err(failed)? {
            let name = path.file_name().map(|name| name.to_string_lossy());
            if name.is_none_or(|name| name.starts_with('.')) {
                continue;
            }
            if path.is_dir() {
                self.walk(&path)?;
            } else if is_record_file(&path) {
                self.take(&path);
            }
        }
        Ok(())
    }

    /// Whether files that were found before lie in a folder.
    fn has_any_in(&self, folder: &Path) -> bool {
        let folder = fs::canonicalize(folder);
        folder.is_ok_and(|folder| self.seen.iter().any(|file| file.starts_with(&folder)))
    }
}

/// Whether a file in a folder holds records, by its name.
fn is_record_file(path: &Path) -> bool {
    let extension = path.extension().map(|it| it.to_ascii_lowercase());
    let known = ["yaml", "yml", "json"];
    extension.is_some_and(|it| known.iter().any(|known| it == *known))
        && path.file_name().is_none_or(|name| name != SCHEMA_FILE)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rulekeeper-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("sub/.hidden")).expect("folders");
        folder
    }

    #[test]
    fn record_files_are_found_below_a_folder_once_each_and_loops_end() {
        let folder = folder("folders");
        for file in [
            "b.yaml",
            "a.YML",
            "sub/c.json",
            ".d.yaml",
            "sub/.hidden/e.yaml",
            "README.md",
            SCHEMA_FILE,
        ] {
            fs::write(folder.join(file), "").expect("a file");
        }
        symlink(&folder, folder.join("sub/loop")).expect("a link");
        symlink(folder.join("b.yaml"), folder.join("again.yaml")).expect("a link");
        let found = files_of(&[folder.clone(), folder.join("sub"), folder.join("b.yaml")]);
        let expected = ["a.YML", "again.yaml", "sub/c.json"].map(|file| folder.join(file));
        assert_eq!(found, Ok(expected.to_vec()));
        fs::remove_dir_all(folder).expect("it goes");
    }

    #[test]
    fn a_folder_without_a_record_file_is_named_and_a_link_to_nothing_is_a_file() {
        let folder = folder("empty");
        let faults = files_of(std::slice::from_ref(&folder)).expect_err("an empty folder");
        let expected = format!(
            "{}: holds no record file (*.yaml, *.yml or *.json)",
            folder.display()
        );
        assert_eq!(faults, [expected]);
        let link = folder.join("web.yaml");
        symlink("nowhere", &link).expect("a link");
        assert_eq!(files_of(std::slice::from_ref(&folder)), Ok(vec![link]));
        fs::remove_dir_all(folder).expect("it goes");
    }
}
