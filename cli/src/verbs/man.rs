//! `man`: the help as manual pages.

use std::path::Path;
use std::{fs, io};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, roman};
use serde_json::json;

use crate::args::{Cli, Man};
use crate::failure::{Failure, Status};
use crate::output::{self, Output};

pub(super) fn run(output: Output, man: &Man) -> Result<Status, Failure> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    match &man.dir {
        None => output::print(&page(&program)?.1)?,
        Some(folder) => write(output, folder, &program)?,
    }
    Ok(Status::Done)
}

fn write(output: Output, folder: &Path, program: &Command) -> Result<(), Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::failed(format_args!("{}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut files = Vec::new();
    for command in all(program) {
        let (name, text) = page(command)?;
        let file = folder.join(name);
        fs::write(&file, text).map_err(|error| failed(&file, error))?;
        files.push(file.display().to_string());
    }
    let items: Vec<_> = files.iter().map(|file| json!({ "file": file })).collect();
    output.show(&items, || {
        files.iter().map(|file| format!("{file}\n")).collect()
    })
}

/// A command and all below it.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(all);
    std::iter::once(command).chain(below).collect()
}

/// The file name and the text of a command's page.
fn page(command: &Command) -> Result<(String, String), Failure> {
    let page = Page::new(command.clone())
        .source(concat!("rulekeeper ", env!("CARGO_PKG_VERSION")))
        .manual("rulekeeper");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let help = command.get_after_help();
    let help = help.map(ToString::to_string).unwrap_or_default();
    sections(&help).to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(Failure::failed)?;
    Ok((page.get_filename(), text))
}

/// What stands below a command's options: a paragraph `Title:` with indented lines becomes a section of its own, line by
/// line, and all others become notes.
fn sections(help: &str) -> Roff {
    let mut roff = Roff::new();
    let mut in_notes = false;
    for paragraph in help.split("\n\n").filter(|text| !text.is_empty()) {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        match first.strip_suffix(':').filter(|_| rest.starts_with("  ")) {
            Some(title) => {
                in_notes = false;
                roff.control("SH", [title.to_uppercase().as_str()]);
                roff.control("nf", []);
                for line in rest.lines() {
                    roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
                }
                roff.control("fi", []);
            }
            None => {
                match in_notes {
                    true => roff.control("PP", []),
                    false => roff.control("SH", ["NOTES"]),
                };
                in_notes = true;
                for line in paragraph.lines() {
                    roff.text([roman(line)]);
                }
            }
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines_and_the_rest_becomes_notes() {
        let help = "One thing.\nAnd more.\n\nAnother.\n\nExamples:\n  rulekeeper list\n  .x 'y'";
        let text = sections(help).to_roff();
        assert_eq!(
            text,
            ".SH NOTES\nOne thing.\nAnd more.\n.PP\nAnother.\n.SH EXAMPLES\n.nf\nrulekeeper list\n\\&.x 'y'\n.fi\n"
        );
    }

    #[test]
    fn every_verb_has_a_page_with_examples_and_the_global_options() {
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        let pages = all(&program);
        assert!(pages.len() > 25, "{}", pages.len());
        for command in pages {
            let (name, text) = page(command).expect("a page");
            assert!(
                name.starts_with("rulekeeper") && name.ends_with(".1"),
                "{name}"
            );
            for part in [
                ".TH rulekeeper",
                ".SH NAME",
                ".SH SYNOPSIS",
                "\\-\\-table",
                "fi\n",
            ] {
                assert!(text.contains(part), "{name} has no {part}: {text}");
            }
            assert!(text.contains(".SH EXAMPLES"), "{name} has no examples");
        }
    }
}
