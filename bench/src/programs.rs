//! The programs under test: those of the same build, unless another is named.

use std::path::PathBuf;

use clap::Args;

use crate::Result;

/// The argument that names the function's program.
#[derive(Debug, Args)]
pub struct FunctionArgument {
    /// Another build of the function [default: the one built with this program].
    #[arg(long = "function", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl FunctionArgument {
    /// The file to run.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn program(&self) -> Result<PathBuf> {
        let Some(file) = &self.file else {
            return of_this_build("rulekeeper-function");
        };
        if !file.is_file() {
            return Err(format!("there is no file {}", file.display()).into());
        }
        Ok(std::path::absolute(file)?)
    }
}

/// The operator's command line.
///
/// # Errors
/// When it is not built.
pub fn cli() -> Result<PathBuf> {
    of_this_build("rulekeeper")
}

fn of_this_build(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let file = this.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if file.is_file() {
        return Ok(file);
    }
    let target = this.file_stem().unwrap_or_default().to_string_lossy();
    Err(format!(
        "{} is not built; `make {target}` builds it first",
        file.display()
    )
    .into())
}
