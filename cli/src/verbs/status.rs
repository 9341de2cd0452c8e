//! `status`: what is wrong now, and the command that helps with each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::Listed;
use rulekeeper_core::model::{GroupId, Scope};

use super::plan::of_answer;
use super::reconcile::{self, Does};
use super::scopes;
use crate::args::StatusOf;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::planned::{Planned, PlannedGroup};
use crate::render;
use crate::session::{SWEEP_TIME, Session};
use crate::trouble::Trouble;

/// The time between two looks of `--follow`.
const EVERY: Duration = Duration::from_secs(5);

/// How far back incidents are looked for that tell who dropped what is missing: as long as the table keeps them.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What is wrong, and how many groups were looked at.
pub(super) struct Troubles {
    pub(super) items: Vec<Trouble>,
    pub(super) groups: u64,
    /// Whether everything was looked at.
    pub(super) is_whole: bool,
}

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &StatusOf,
) -> Result<Status, Failure> {
    let follows = asked.follow;
    if follows && !(std::io::stdout().is_terminal() && output.is_table()) {
        return Err(Failure::usage("--follow needs a terminal and a table")
            .hint("Elsewhere, run `rulekeeper status` again and again."));
    }
    loop {
        let found = everywhere(session, asked).await?;
        let document = output.document(&found.items).with("groups", found.groups)?;
        let shown = || {
            let text = render::troubles(&found.items, found.groups);
            match follows {
                true => format!("{:.0}\n\n{text}", Timestamp::now()),
                false => text,
            }
        };
        if follows {
            crate::output::clear_terminal()?;
        }
        output.show_document(&document, shown)?;
        if !follows {
            return Ok(match (found.is_whole, found.items.is_empty()) {
                (false, _) => Status::Failed,
                (true, true) => Status::Done,
                (true, false) => Status::Drift,
            });
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn everywhere(session: &Session, asked: &StatusOf) -> Result<Troubles, Failure> {
    let mut all = Troubles {
        items: Vec::new(),
        groups: 0,
        is_whole: true,
    };
    let groups = session.ids(&asked.groups).await?;
    for scope in scopes(session, asked.all_scopes).await? {
        match of_scope(session, &scope, &groups).await {
            Ok(found) => {
                all.items.extend(found.items);
                all.groups += found.groups;
                all.is_whole &= found.is_whole;
            }
            // One account that cannot be reached hides no other.
            Err(failure) if asked.all_scopes => {
                all.items
                    .push(Trouble::unknown(&scope, &failure.to_string()));
                all.is_whole = false;
            }
            Err(failure) => return Err(failure),
        }
    }
    let options = options(session);
    all.items
        .iter_mut()
        .for_each(|it| it.with_options(&options));
    Ok(all)
}

/// What this run was told beside the environment, for the commands to say too.
fn options(session: &Session) -> String {
    let named = session.named();
    let options = [
        ("--table", named.table),
        ("--table-region", named.table_region),
        ("--profile", named.profile),
        ("--role-name", named.role_name),
    ];
    let given = options
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    given
        .map(|(name, value)| format!(" {name} {value}"))
        .collect()
}

/// What is wrong in a scope now. EC2 is read as a sweep reads it, and the table tells who dropped what is missing.
pub(super) async fn of_scope(
    session: &Session,
    scope: &Scope,
    groups: &[GroupId],
) -> Result<Troubles, Failure> {
    let answers = reconcile::answers(session, scope, groups, Does::Look).await?;
    let named = reconcile::named(&answers);
    let (mut plans, mut unfinished, mut looked_at) = (Vec::new(), Vec::new(), 0);
    for answer in answers {
        match of_answer(session, answer).await? {
            Planned::Group(one) => {
                looked_at += 1;
                plans.push(*one);
            }
            Planned::Groups(all) => {
                looked_at += all.sweep.get("groups").copied().unwrap_or(0);
                // Groups that were not looked at may lack anything.
                let unread = all.reason.iter();
                unfinished.extend(unread.map(|why| Trouble::unknown(scope, why)));
                plans.extend(all.plans);
            }
            Planned::Other(_) => {}
        }
    }
    let mut items: Vec<Trouble> = plans.iter().flat_map(Trouble::of_plan).collect();
    let table = session.table_for(SWEEP_TIME).await?;
    let now = Timestamp::now();
    let about: BTreeSet<GroupId> = plans.iter().filter_map(PlannedGroup::id).collect();
    if !items.is_empty() && !about.is_empty() {
        let about: Vec<GroupId> = about.into_iter().collect();
        let since = now.checked_sub(TOLD_WITHIN).unwrap_or(now);
        let told =
            operator::incidents(&table, scope, &about, (since, Timestamp::MAX), &|_, _| ()).await?;
        for item in &mut items {
            item.told_by(&told.incidents);
        }
    }
    let listed = operator::list(&table, scope, now).await?;
    let listed: BTreeMap<&str, &Listed> =
        listed.iter().map(|one| (one.group.as_str(), one)).collect();
    for item in &mut items {
        let id = item.group.as_ref().map(|group| group.id.as_str());
        if let Some(one) = id.and_then(|id| listed.get(id)) {
            item.of_record(one);
        }
    }
    items.extend(unfinished);
    let is_whole = named == Status::Done && !items.iter().any(Trouble::is_unknown);
    let is_asked = |id: &str| groups.is_empty() || groups.iter().any(|it| it.as_str() == id);
    for (_, one) in listed.into_iter().filter(|(id, _)| is_asked(id)) {
        let foreseen = Trouble::foreseen(scope, one, &items);
        items.extend(foreseen);
    }
    items.sort();
    let groups = looked_at;
    Ok(Troubles {
        items,
        groups,
        is_whole,
    })
}
