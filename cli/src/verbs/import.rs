//! `import`: record files from Terraform's JSON or CloudFormation templates.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rulekeeper_core::desired::RecordFile;
use serde_json::{Value, json};

use crate::args::{Import as Asked, ImportCloudformation, ImportTerraform};
use crate::failure::{Failure, Status};
use crate::import::{Import, Stated, cloudformation, terraform};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::session::Session;
use crate::strict::Strict;
use crate::{records, render, say};

pub(super) fn run(session: &Session, output: Output, asked: &Asked) -> Result<Status, Failure> {
    let (account, region) = session.stated()?;
    let records = match asked {
        Asked::Terraform(asked) => &asked.records,
        Asked::Cloudformation(asked) => &asked.records,
    };
    let stated = Stated {
        account,
        region,
        mode: records.mode,
    };
    let (file, import) = match asked {
        Asked::Terraform(asked) => (&asked.file, of_terraform(asked, &stated)?),
        Asked::Cloudformation(asked) => (&asked.file, of_cloudformation(asked, &stated)?),
    };
    for unresolved in &import.unresolved {
        say::note(&format!(
            "unresolved: {}",
            render::plain(&unresolved.to_string())
        ));
    }
    for file in &import.records {
        super::warn_of(session, &file.address, &file.record);
    }
    if import.records.is_empty() && import.unresolved.is_empty() {
        let name = records::name_of(file);
        return Err(Failure::failed(format_args!(
            "{name}: holds no security group"
        )));
    }
    match &records.output_dir {
        None => print(&import.records)?,
        Some(folder) => write(folder, &import, output)?,
    }
    Ok(match import.unresolved.is_empty() {
        true => Status::Done,
        false => Status::Failed,
    })
}

fn of_terraform(asked: &ImportTerraform, stated: &Stated) -> Result<Import, Failure> {
    terraform::read(&read_json(&asked.file)?, stated)
}

fn of_cloudformation(asked: &ImportCloudformation, stated: &Stated) -> Result<Import, Failure> {
    let files = [
        Some(&asked.file),
        asked.resources.as_ref(),
        asked.parameters.as_ref(),
    ];
    let from_stdin = |file: &&PathBuf| file.as_path() == Path::new("-");
    if files.into_iter().flatten().filter(from_stdin).count() > 1 {
        let message = "only one of template, resources and parameters can come from standard input";
        return Err(Failure::usage(message));
    }
    let text = records::read_text(&asked.file).map_err(Failure::failed)?;
    let name = records::name_of(&asked.file);
    let template = cloudformation::parse(&text)
        .map_err(|error| Failure::failed(format_args!("{name}: {error}")))?;
    let stack = match &asked.resources {
        Some(file) => Some(cloudformation::stack(&read_json(file)?)?),
        None => None,
    };
    let parameters = match &asked.parameters {
        Some(file) => Some(cloudformation::parameters(&read_json(file)?)?),
        None => None,
    };
    cloudformation::read(&template, stack.as_ref(), parameters.as_ref(), stated)
}

fn read_json(file: &Path) -> Result<Value, Failure> {
    let text = records::read_text(file).map_err(Failure::failed)?;
    let name = records::name_of(file);
    let Strict(content) = serde_json::from_str(&text)
        .map_err(|error| Failure::failed(format_args!("{name}: is not JSON: {error}")))?;
    Ok(content)
}

/// All records as the YAML documents that `apply -f -` takes.
fn print(files: &[RecordFile]) -> Result<(), Failure> {
    let mut text = String::new();
    for file in files {
        text += "---\n";
        text += &records::new_text(file)?;
    }
    output::print(&text)
}

/// One file for each group; none of them when one exists already.
fn write(folder: &Path, import: &Import, output: Output) -> Result<(), Failure> {
    let path = |file: &RecordFile| folder.join(format!("{}.yaml", file.address.id));
    let existing: Vec<PathBuf> = import
        .records
        .iter()
        .map(path)
        .filter(|file| fs::symlink_metadata(file).is_ok())
        .collect();
    if let Some(first) = existing.first() {
        let message = format!("{} exists; nothing was written", first.display());
        return Err(Failure::failed(message).hint("Move it away, or give another folder."));
    }
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(format_args!("{}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut written = Vec::new();
    let progress = Progress::of("files");
    for file in &import.records {
        let (path, text) = (path(file), records::new_text(file)?);
        // Not by way of another file that takes its name: that would replace one that came meanwhile.
        File::create_new(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| failed(&path, error))?;
        written.push((&file.address, path.display().to_string()));
        progress.tell(written.len(), import.records.len());
    }
    drop(progress);
    let files: Vec<Value> = written
        .iter()
        .map(|(group, file)| json!({"group": group, "file": file}))
        .collect();
    let document = output
        .document(&files)
        .with("unresolved", &import.unresolved)?;
    output.show_document(&document, || {
        let lines = written
            .iter()
            .map(|(group, file)| format!("{group} is in {file}\n"));
        lines.collect()
    })
}
