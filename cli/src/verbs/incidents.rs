//! `incidents`: who dropped which rules, and how that ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::{Content, Incidents as Found, PastIncident};
use rulekeeper_core::model::{GroupAddress, GroupId, Scope};

use super::{scopes, status};
use crate::args::Incidents;
use crate::failure::{Failure, Status};
use crate::output::{Document, Output};
use crate::page_file::PageFile;
use crate::progress::Progress;
use crate::session::{SWEEP_TIME, Session};
use crate::trouble::Trouble;
use crate::{render, say};

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &Incidents,
) -> Result<Status, Failure> {
    let page = asked.html.as_deref().map(PageFile::at).transpose()?;
    if page == Some(PageFile::Stdout) && output.is_asked() {
        return Err(
            Failure::usage("--html - and --output both write to standard output")
                .hint("Name a file for the page, or leave out --output."),
        );
    }
    let now = Timestamp::now();
    let since = asked.since.before(now)?;
    let until = match asked.until {
        Some(until) => until.before(now)?,
        None => now,
    };
    if until < since {
        return Err(Failure::usage("--until is before --since"));
    }
    let groups = session.ids(&asked.groups).await?;
    let scopes = scopes(session, asked.all_scopes).await?;
    let mut found = Found::nothing(since);
    for scope in &scopes {
        found.add(of_scope(session, scope, &groups, (since, until)).await?);
    }
    if !groups.is_empty() && found.unknown > 0 && found.incidents.is_empty() {
        let message = "these groups have no record and no incident";
        return Err(Failure::failed(message).hint("`rulekeeper list` has the recorded groups."));
    }
    let mut open = None;
    if page.is_some() || asked.open {
        open = Some(open_now(session, &scopes, &groups, &found, asked.open).await?);
    }
    if let Some(text) = &asked.principal {
        found.incidents.retain(|incident| is_by(incident, text));
    }
    if let (true, Some(open)) = (asked.open, &open) {
        found.incidents.retain(|incident| open.is_of(incident));
    }
    let mut document = output.document(&found.incidents).with("since", since)?;
    document = document.with("reopened", &found.reopened)?;
    document = document.with("unrestorable", &found.unrestorable)?;
    if let Some(open) = &open {
        document = document
            .with("open", &open.rules)?
            .with("open_checked", open.is_checked)?;
    }
    if let Some(page) = &page {
        document = document.with("changes", changes(session, &found, since).await?)?;
        write(page, &scopes[0], &found, &document, now)?;
    }
    if page.is_none() || output.is_asked() {
        output.show_document(&document, || {
            render::incidents(&scopes[0], &found, asked.details)
        })?;
    }
    Ok(Status::Done)
}

async fn of_scope(
    session: &Session,
    scope: &Scope,
    groups: &[GroupId],
    times: (Timestamp, Timestamp),
) -> Result<Found, Failure> {
    let table = session.table_for(SWEEP_TIME).await?;
    let progress = Progress::of("groups");
    let tell = |done, total| progress.tell(done, total);
    Ok(operator::incidents(&table, scope, groups, times, &tell).await?)
}

/// What is missing now.
struct Open {
    rules: Vec<Trouble>,
    /// Whether EC2 was asked. If not, it is what the incidents last told.
    is_checked: bool,
}

impl Open {
    /// Whether an incident is about a rule that is missing.
    fn is_of(&self, incident: &PastIncident) -> bool {
        let Content::Readable(facts) = &incident.content else {
            return false;
        };
        self.rules.iter().any(|open| {
            let rule = open.rule.as_ref().map(ToString::to_string);
            open.group.as_ref() == Some(&incident.group)
                && facts
                    .own()
                    .any(|line| Some(&line.rule) == rule.as_ref() && line.is_missing())
        })
    }
}

async fn open_now(
    session: &Session,
    scopes: &[Scope],
    groups: &[GroupId],
    found: &Found,
    must: bool,
) -> Result<Open, Failure> {
    let (mut rules, mut is_checked) = (Vec::new(), true);
    for scope in scopes {
        match status::of_scope(session, scope, groups).await {
            Ok(troubles) => {
                if troubles.items.iter().any(Trouble::is_unknown) {
                    is_checked = false;
                    say::warning(
                        "not everything could be looked at: `rulekeeper status` says what",
                    );
                }
                rules.extend(troubles.items.into_iter().filter(Trouble::is_missing));
            }
            Err(failure) if must => return Err(failure),
            Err(failure) => {
                let why = render::plain(&failure.to_string());
                say::warning(&format!(
                    "what is missing now is not known, only what the incidents told last: {why}"
                ));
                return Ok(Open {
                    rules: Trouble::last_told(&found.incidents),
                    is_checked: false,
                });
            }
        }
    }
    Ok(Open { rules, is_checked })
}

/// Whether a call was made by a principal or in a session with this in its name.
fn is_by(incident: &PastIncident, text: &str) -> bool {
    let Content::Readable(facts) = &incident.content else {
        return false;
    };
    let names = [&facts.principal, &facts.session];
    names.into_iter().flatten().any(|name| name.contains(text))
}

/// The generations of the records of groups with incidents.
async fn changes(
    session: &Session,
    found: &Found,
    since: Timestamp,
) -> Result<Vec<operator::PastChange>, Failure> {
    let groups = found.incidents.iter();
    let groups = groups.map(|incident| (incident.group.clone(), incident.name.clone()));
    let groups: BTreeMap<GroupAddress, Option<String>> = groups.collect();
    let table = session.table_for(SWEEP_TIME).await?;
    Ok(operator::past_changes(&table, groups, since).await?)
}

fn write(
    page: &PageFile,
    scope: &Scope,
    found: &Found,
    document: &Document<'_, PastIncident>,
    now: Timestamp,
) -> Result<(), Failure> {
    let text = render::page(scope, found, document, now)?;
    page.write(&text)?;
    say::note(&written(page, found, text.len()));
    Ok(())
}

fn written(page: &PageFile, found: &Found, bytes: usize) -> String {
    let plural = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    };
    format!(
        "wrote {} since {:.0} to {}: {} looked at, {} KB",
        plural(found.incidents.len(), "incident"),
        found.since,
        page.name(),
        plural(found.groups, "group"),
        bytes.div_ceil(1000),
    )
}
