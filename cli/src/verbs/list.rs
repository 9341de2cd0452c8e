//! `list`: every record with its state.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::{Inventory as _, Listed, OperatorError, Selection};
use rulekeeper_core::model::Scope;
use serde::Serialize;

use super::scopes;
use crate::args::{List, State};

use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::progress::Progress;
use crate::session::Session;
use crate::{render, say};

/// The time for asking EC2 which groups exist. The list is the table's; it waits no longer for more.
const LOOK_UP_TIME: Duration = Duration::from_secs(15);

pub(super) async fn run(
    session: &Session,
    output: Output,
    asked: &List,
) -> Result<Status, Failure> {
    let table = session.table().await?;
    let (mut items, mut texts) = (Vec::new(), Vec::new());
    for scope in scopes(session, asked.all_scopes).await? {
        let mut records = operator::list(&table, &scope, Timestamp::now()).await?;
        if !records.is_empty()
            && let Err(failure) = find_gone(session, &scope, &mut records).await
        {
            let why = render::plain(&failure.to_string());
            say::warning(&format!(
                "{scope}: whether the groups exist is not known: {why}"
            ));
        }
        let of_vpcs = match asked.vpcs.is_empty() {
            true => None,
            false => Some(of_vpcs(session, &scope, &asked.vpcs).await?),
        };
        records.retain(|record| {
            is_asked(asked, record)
                && of_vpcs
                    .as_ref()
                    .is_none_or(|ids| ids.contains(&record.group))
        });
        texts.push(render::list(&scope, &records));
        let scope = &scope;
        items.extend(records.into_iter().map(|record| Item {
            scope: scope.clone(),
            record,
        }));
    }
    output.show(&items, || texts.join("\n"))?;
    Ok(Status::Done)
}

/// A record, and where it is.
#[derive(Serialize)]
struct Item {
    #[serde(flatten)]
    scope: Scope,
    #[serde(flatten)]
    record: Listed,
}

fn is_asked(asked: &List, record: &Listed) -> bool {
    let needs_attention = record.standing.in_words().is_some();
    let is_in = |state: &State| match state {
        State::Attention => needs_attention,
        state => state.name() == record.state,
    };
    let is_named = |text: &String| {
        let name = record.name.as_deref().unwrap_or_default();
        name.contains(text.as_str())
    };
    (asked.states.is_empty() || asked.states.iter().any(is_in))
        && asked.name.as_ref().is_none_or(is_named)
}

/// The groups of VPCs. Records do not say in which VPC a group is.
async fn of_vpcs(
    session: &Session,
    scope: &Scope,
    vpcs: &[String],
) -> Result<BTreeSet<String>, Failure> {
    let (ec2, _) = session.in_scope_for(scope, LOOK_UP_TIME).await?;
    let selection = Selection::Chosen {
        vpcs: vpcs.iter().cloned().collect(),
        tags: Vec::new(),
    };
    let groups = ec2.groups(&selection).await.map_err(OperatorError::from)?;
    Ok(groups
        .into_iter()
        .map(|group| group.id.to_string())
        .collect())
}

async fn find_gone(
    session: &Session,
    scope: &Scope,
    records: &mut [Listed],
) -> Result<(), Failure> {
    let (ec2, _) = session.in_scope_for(scope, LOOK_UP_TIME).await?;
    let progress = Progress::of("groups");
    let tell = |done, total| progress.tell(done, total);
    let found = operator::find_gone(&ec2, records, &tell).await;
    found.map_err(Failure::failed)
}
