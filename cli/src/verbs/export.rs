//! `export`: records as files that `apply` reads.

use std::fs;
use std::path::Path;

use rulekeeper_cli::operator;
use rulekeeper_cli::operator::Exported;
use rulekeeper_core::desired::RecordFile;

use crate::args::{Export, Group};
use crate::failure::{Failure, Status};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::records::{self, Extras, FileFormat, SCHEMA_FILE};
use crate::session::{SWEEP_TIME, Session};
use crate::{render, say, schema, steering};

pub(super) async fn run(
    session: &Session,
    output: Output,
    export: &Export,
) -> Result<Status, Failure> {
    match (&export.group, &export.output_dir) {
        (Some(group), _) => one(session, output, export, group).await,
        (None, Some(folder)) => all(session, output, export, folder).await,
        (None, None) => Err(Failure::usage("give a group, or --all with --output-dir")),
    }
}

fn extras(export: &Export) -> Extras {
    Extras {
        generation: export.with_generation,
        scope: export.with_scope,
    }
}

async fn one(
    session: &Session,
    output: Output,
    export: &Export,
    group: &Group,
) -> Result<Status, Failure> {
    // Before any call is made for it.
    if let Some(file) = &export.out {
        records::refuse_existing(file, export.force)?;
    }
    let group = session.address(group).await?;
    let record = operator::show(&session.table().await?, &group).await?;
    let text = records::export_text(&record, export.format, extras(export))?;
    let Some(file) = &export.out else {
        output::print(&text)?;
        return Ok(Status::Done);
    };
    records::write_file(file, &text, export.force)?;
    show(output, &[exported(&record, file, "written")])?;
    Ok(Status::Done)
}

async fn all(
    session: &Session,
    output: Output,
    export: &Export,
    folder: &Path,
) -> Result<Status, Failure> {
    let scope = session.scope().await?;
    let table = session.table_for(SWEEP_TIME).await?;
    let (records, faults) = operator::export_all(&table, &scope).await?;
    let extension = match export.format {
        FileFormat::Yaml => "yaml",
        FileFormat::Json => "json",
    };
    let extras = extras(export);
    let file = |record: &RecordFile| folder.join(format!("{}.{extension}", record.address.id));
    let (same, differing): (Vec<_>, Vec<_>) = records
        .iter()
        .map(|record| (record, file(record)))
        .partition(|(record, file)| records::holds_the_same(file, record, extras));
    if !export.force {
        let taken: Vec<String> = differing
            .iter()
            .filter(|(_, file)| fs::symlink_metadata(file).is_ok())
            .map(|(_, file)| file.display().to_string())
            .collect();
        if !taken.is_empty() {
            let message = format!(
                "nothing was written: these files differ from their records:\n{}",
                taken.join("\n")
            );
            return Err(Failure::failed(message).hint("Give --force to replace them."));
        }
    }
    let failed =
        |error: std::io::Error| Failure::failed(format_args!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    write_schema(folder)?;
    let progress = Progress::of("files");
    for (done, (record, file)) in differing.iter().enumerate() {
        let text = records::export_text(record, export.format, extras)?;
        records::write_file(file, &text, export.force)?;
        progress.tell(done + 1, differing.len());
    }
    drop(progress);
    let same = same.iter().map(|it| (it, "unchanged"));
    let done = differing.iter().map(|it| (it, "written")).chain(same);
    let mut done: Vec<Exported> = done
        .map(|((record, file), outcome)| exported(record, file, outcome))
        .collect();
    done.sort_by(|one, other| one.group.cmp(&other.group));
    for fault in &faults {
        say::note(&format!("not exported: {}", render::plain(fault)));
    }
    show(output, &done)?;
    Ok(match faults.is_empty() {
        true => Status::Done,
        false => Status::Failed,
    })
}

/// Writes the schema that the first line of a record file names, unless it is there.
fn write_schema(folder: &Path) -> Result<(), Failure> {
    let file = folder.join(SCHEMA_FILE);
    let text = steering::json(&schema::schema()).map_err(Failure::failed)?;
    match fs::read_to_string(&file) {
        Ok(there) if there == text => Ok(()),
        _ => records::write_file(&file, &text, true),
    }
}

fn exported(record: &RecordFile, file: &Path, outcome: &'static str) -> Exported {
    Exported {
        group: record.address.clone(),
        outcome,
        generation: record.record.generation,
        file: file.display().to_string(),
    }
}

fn show(output: Output, done: &[Exported]) -> Result<(), Failure> {
    output.show(done, || {
        let written = done.iter().filter(|it| it.outcome == "written");
        let lines = written.map(|it| {
            let Exported {
                group,
                generation,
                file,
                ..
            } = it;
            format!("{group}: generation {generation} is in {file}\n")
        });
        let mut text: String = lines.collect();
        let unchanged = done.iter().filter(|it| it.outcome == "unchanged").count();
        if done.is_empty() {
            text += "there are no records to export\n";
        } else if unchanged > 0 {
            text += &format!("{unchanged} unchanged\n");
        }
        text
    })
}
