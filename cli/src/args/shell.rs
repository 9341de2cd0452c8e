//! The verbs that are about the program itself.

use std::path::PathBuf;

use clap::Args;

const COMPLETIONS_HELP: &str = "\
Examples:
  rulekeeper completions bash > ~/.local/share/bash-completion/completions/rulekeeper
  rulekeeper completions fish > ~/.config/fish/completions/rulekeeper.fish";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

const MAN_HELP: &str = "\
Without --dir it prints the program's own page; with --dir it also writes one for each verb, such as rulekeeper-pin.1.

Examples:
  rulekeeper man | man -l -
  rulekeeper man --dir ~/.local/share/man/man1";

#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(crate) struct Man {
    /// Write every page to this folder, and replace those that are there
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}

const SCHEMA_HELP: &str = "\
An editor completes and checks record files by it: see the first line of an exported file.

Examples:
  rulekeeper schema > records/rulekeeper.schema.json";

#[derive(Debug, Args)]
#[command(after_help = SCHEMA_HELP)]
pub(crate) struct Schema {}
