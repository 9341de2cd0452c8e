//! `apply`: files become records.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::{ApplyOptions, Applying, OperatorError, Submitted};
use rulekeeper_core::model::Scope;

use crate::args::Apply;
use crate::confirm::{self, declined, on_terminal};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::progress::Progress;
use crate::session::{SWEEP_TIME, Session};
use crate::{records, render, say};

/// The time for asking EC2 which rules are live. Without an answer the records are written all the same.
const LOOK_UP_TIME: Duration = Duration::from_secs(15);

pub(super) async fn run(
    session: &Session,
    output: Output,
    apply: &Apply,
) -> Result<Status, Failure> {
    let folders = folders(apply)?;
    let files = submitted(session, apply).await?;
    let scopes: BTreeSet<Scope> = {
        let records = operator::records(&files, apply.yes);
        for (group, record) in &records {
            super::warn_of(session, group, record);
        }
        records.into_keys().map(|group| group.scope).collect()
    };
    let options = ApplyOptions {
        confirmed: apply.yes,
        reason: apply.reason.clone(),
        prune: match apply.prune {
            true => Some((with_the_named(session, scopes)?, folders.join(", "))),
            false => None,
        },
    };
    let table = session.table_for(SWEEP_TIME).await?;
    let progress = Progress::of("reads and writes");
    let tell = |done, total| {
        if total > 2 {
            progress.tell(done, total);
        }
    };
    let mut applying = operator::plan_apply(&table, &files, &options, &tell).await?;
    drop(progress);
    let looked = look(session, &mut applying).await;
    let items = applying.items();
    let said = render::live_rules(&items);
    if !said.is_empty() {
        say::note(said.trim_end());
    }
    let (to_write, to_prune) = applying.counts();
    if apply.dry_run {
        output.show(&items, || render::applied(&items))?;
        return Ok(match to_write + to_prune {
            0 => Status::Done,
            _ => Status::Drift,
        });
    }
    let doubt = to_prune > 0 || !looked || !said.is_empty();
    if to_write + to_prune > 0 && doubt && !agreed(apply, &applying)? {
        return Ok(declined());
    }
    // A new table client has a new time budget: the answer may have taken a while.
    let table = session.table_for(SWEEP_TIME).await?;
    let author = session.author().await?;
    let progress = Progress::of("reads and writes");
    let tell = |done, total| {
        if total > 2 {
            progress.tell(done, total);
        }
    };
    let items = applying.write(&table, &author, &tell).await?;
    drop(progress);
    output.show(&items, || render::applied(&items))?;
    Ok(Status::Done)
}

/// The folders among the files, by name.
fn folders(apply: &Apply) -> Result<Vec<String>, Failure> {
    let folders = apply.files.iter().filter(|file| file.is_dir());
    let folders: Vec<String> = folders.map(|file| records::name_of(file)).collect();
    if apply.prune && folders.is_empty() {
        let message = "--prune takes out what a folder does not hold, and no folder is given";
        return Err(
            Failure::usage(message).hint("Give the folder that holds every record with -f.")
        );
    }
    Ok(folders)
}

/// The records of all files, checked. Nothing is asked of a cloud for files that are at fault.
async fn submitted(session: &Session, apply: &Apply) -> Result<Vec<Submitted>, Failure> {
    let findings = |findings| Failure::from(OperatorError::Findings(findings));
    let paths = records::files_of(&apply.files).map_err(findings)?;
    let (mut files, mut faults) = records::read_all(&paths);
    // The account is asked for only if a file does not name its own, and makes no difference to what is wrong with one.
    let (account, region) = session.stated()?;
    let any = Scope {
        account: account
            .map_or_else(|| "000000000000".parse(), Ok)
            .map_err(Failure::failed)?,
        region: region
            .map_or_else(|| "us-east-1".parse(), Ok)
            .map_err(Failure::failed)?,
    };
    let mut placed = files.clone();
    let unnamed = records::place_in(&mut placed, &any);
    faults.extend(operator::findings(&placed, apply.yes));
    if !faults.is_empty() {
        return Err(findings(faults));
    }
    if unnamed {
        records::place_in(&mut files, &session.scope().await?);
        // Now that all have their own, two of one group may show.
        let faults = operator::findings(&files, apply.yes);
        if !faults.is_empty() {
            return Err(findings(faults));
        }
    }
    Ok(files)
}

/// The scopes of files, and the one that the command line names in full.
fn with_the_named(
    session: &Session,
    mut scopes: BTreeSet<Scope>,
) -> Result<BTreeSet<Scope>, Failure> {
    if let (Some(account), Some(region)) = session.stated()? {
        scopes.insert(Scope { account, region });
    }
    Ok(scopes)
}

/// Compares what would change with the live rules, as far as EC2 can be read. Whether it could.
async fn look(session: &Session, applying: &mut Applying) -> bool {
    let mut all = true;
    for scope in applying.changed_scopes() {
        let looked = match session.in_scope_for(&scope, LOOK_UP_TIME).await {
            Ok((ec2, _)) => {
                let looked = applying.look(&ec2, &scope, Timestamp::now()).await;
                looked.map_err(|error| error.to_string())
            }
            Err(failure) => Err(failure.to_string()),
        };
        if let Err(why) = looked {
            all = false;
            say::warning(&format!(
                "{scope}: which rules are live is not known: {}",
                render::plain(&why)
            ));
        }
    }
    all
}

/// Whether to go on. What takes records out is asked for, or said with --yes; an empty scope is not left to a hasty `y`,
/// because a wrong folder or a wrong profile looks just like it.
fn agreed(apply: &Apply, applying: &Applying) -> Result<bool, Failure> {
    if apply.yes {
        return Ok(true);
    }
    if let Some((scope, number)) = applying.emptied().iter().next() {
        let message = format!(
            "{scope}: the files hold none of the {number} records that the table has, and --prune would take out all of them; \
             nothing was written"
        );
        return Err(Failure::failed(message).hint(
            "Is this the right folder, --account, --region and --profile? If it is meant, give --yes.",
        ));
    }
    let (to_write, to_prune) = applying.counts();
    let question = match (to_write, to_prune) {
        (write, 0) => format!("Write {}?", records_in_words(write)),
        (0, prune) => format!("Take out {}?", records_in_words(prune)),
        (write, prune) => format!(
            "Write {} and take out {}?",
            records_in_words(write),
            records_in_words(prune)
        ),
    };
    let shown = || render::applied(&applying.items());
    if to_prune > 0 && !on_terminal() {
        say::note(shown().trim_end());
        let out = records_in_words(to_prune);
        let message = format!("--prune would take out {out}; nothing was written");
        return Err(Failure::failed(message).hint("Give --yes to take them out."));
    }
    confirm::agreed(false, shown, &question)
}

fn records_in_words(number: usize) -> String {
    match number {
        1 => "1 record".to_owned(),
        more => format!("{more} records"),
    }
}
