//! The binaries that play: those of the same build, unless others are asked for.

use std::path::{Path, PathBuf};

use crate::Failure;

/// The function: the file that was asked for, or the one of the same build.
pub fn function(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let file = match asked {
        Some(file) => std::path::absolute(file)?,
        None => return beside_us("rulekeeper-function"),
    };
    if !file.is_file() {
        return Err(format!("there is no file {}", file.display()).into());
    }
    Ok(file)
}

/// The operator's command line.
pub fn cli() -> Result<PathBuf, Failure> {
    beside_us("rulekeeper")
}

/// A program of the same build.
fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let ours = std::env::current_exe()?;
    let folder = ours.parent();
    let file = folder
        .map(|folder| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .unwrap_or_default();
    if file.is_file() {
        return Ok(file);
    }
    let program = ours.file_stem().unwrap_or_default().to_string_lossy();
    Err(format!(
        "{} is not built; `make {program}` builds it first",
        file.display()
    )
    .into())
}
