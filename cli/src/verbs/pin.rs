//! `pin`: record the live rules of groups.

use rulekeeper_cli::operator;
use rulekeeper_cli::operator::{
    BulkPin, BulkPinGroup, BulkPinOptions, BulkPinOutcome, PinOptions, Selection, Written,
};
use serde::Serialize;

use crate::args::{Group, Pin};
use crate::confirm::{self, declined, on_terminal};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::progress::Progress;
use crate::render;
use crate::session::{SWEEP_TIME, Session};

pub(super) async fn run(session: &Session, output: Output, pin: Pin) -> Result<Status, Failure> {
    let (selection, mut options) = asked(session, &pin).await?;
    let alone = match &selection {
        Selection::Named(ids) if ids.len() == 1 => ids.first().cloned(),
        _ => None,
    };
    if let Some(id) = alone {
        if !pin.dry_run {
            let group = session.address(&Group::Id(id)).await?;
            let (ec2, table) = session.in_scope(&group.scope).await?;
            let author = session.author().await?;
            let written = operator::pin(&ec2, &table, &group, &options.pin, &author).await?;
            let file = operator::show(&table, &group).await?;
            super::warn_of(session, &group, &file.record);
            let outcome = match written.changed {
                false => BulkPinOutcome::Unchanged,
                true if written.removed.is_empty()
                    && written.added.len() == file.record.rules.len() =>
                {
                    BulkPinOutcome::New
                }
                true => BulkPinOutcome::Changed,
            };
            let item = Pinned {
                name: file.record.name.as_deref(),
                outcome,
                written: &written,
            };
            output.show_one(&item, || render::written(&written))?;
            return Ok(Status::Done);
        }
        // What is shown is what the same command would do without --dry-run.
        options.replace = true;
    } else if !(pin.yes || pin.dry_run || on_terminal()) {
        return Err(Failure::usage(
            "without a terminal, several groups are pinned only with --yes",
        )
        .hint("See with --dry-run what would be recorded, then give --yes."));
    }
    many(session, output, &pin, &selection, &options).await
}

/// The selection and options. A group that is named is pinned even if a service manages it or its record was taken out.
async fn asked(session: &Session, pin: &Pin) -> Result<(Selection, BulkPinOptions), Failure> {
    for (place, tag) in pin.tags.iter().enumerate() {
        let earlier = pin.tags.iter().take(place);
        let contradicts = |other: &&operator::TagChoice| {
            other.key == tag.key && other.value.is_some() && other.value != tag.value
        };
        if let Some(other) = earlier.filter(contradicts).find(|_| tag.value.is_some()) {
            return Err(
                Failure::usage(format_args!("no group is tagged both {other} and {tag}")).hint(
                    "A group must have every --tag; for groups with either tag, run the command twice.",
                ),
            );
        }
    }
    let named = !pin.groups.is_empty();
    let selection = match named {
        true => Selection::Named(session.live_ids(&pin.groups).await?.into_iter().collect()),
        false => Selection::Chosen {
            vpcs: pin.vpcs.iter().cloned().collect(),
            tags: pin.tags.clone(),
        },
    };
    let options = BulkPinOptions {
        pin: PinOptions {
            mode: pin.mode,
            note: pin.note.clone(),
            watch: pin.watch,
        },
        include_managed: pin.include_managed || named,
        replace: pin.replace,
        include_unpinned: named,
        include_default: named,
    };
    Ok((selection, options))
}

/// The item of a group that was pinned alone: one of many has the same names, and more.
#[derive(Serialize)]
struct Pinned<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    outcome: BulkPinOutcome,
    #[serde(flatten)]
    written: &'a Written,
}

async fn many(
    session: &Session,
    output: Output,
    pin: &Pin,
    selection: &Selection,
    options: &BulkPinOptions,
) -> Result<Status, Failure> {
    let bulk_pin = planned(session, selection, options).await?;
    for (group, record) in bulk_pin.records() {
        super::warn_of(session, group, record);
    }
    if pin.dry_run {
        return show(output, true, &bulk_pin.groups());
    }
    let to_write = bulk_pin.to_write();
    let records = match to_write {
        1 => "this record".to_owned(),
        more => format!("these {more} records"),
    };
    let shown = || render::bulk_pin(&bulk_pin.groups());
    let question = format!("Write {records}?");
    if to_write > 0 && !confirm::agreed(pin.yes, shown, &question)? {
        return Ok(declined());
    }
    // A new table client has a new time budget: the answer may have taken a while.
    let table = session.table_for(SWEEP_TIME).await?;
    let author = session.author().await?;
    let progress = Progress::of("records");
    let tell = |done, total| progress.tell(done, total);
    let groups = bulk_pin.write(&table, &author, &tell).await;
    drop(progress);
    show(output, false, &groups)
}

async fn planned(
    session: &Session,
    selection: &Selection,
    options: &BulkPinOptions,
) -> Result<BulkPin, Failure> {
    let scope = session.scope().await?;
    let (ec2, table) = session.in_scope_for(&scope, SWEEP_TIME).await?;
    let progress = Progress::of("groups");
    let tell = |done, total| progress.tell(done, total);
    Ok(operator::plan_bulk_pin(&ec2, &table, &scope, selection, options, &tell).await?)
}

fn show(output: Output, dry_run: bool, groups: &[BulkPinGroup]) -> Result<Status, Failure> {
    let mut document = output.document(groups);
    if dry_run {
        document = document.with("dry_run", true)?;
    }
    output.show_document(&document, || render::bulk_pin(groups))?;
    let failed = groups
        .iter()
        .any(|group| group.outcome == BulkPinOutcome::Failed);
    Ok(if failed { Status::Failed } else { Status::Done })
}
