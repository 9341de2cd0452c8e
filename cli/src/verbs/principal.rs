//! `principal`: the policies for principals.

use rulekeeper_cli::operator;
use rulekeeper_cli::operator::{OperatorError, PrincipalChange, PrincipalDraft, change_principals};
use rulekeeper_core::desired::{Policy, Principal as Entry};
use rulekeeper_core::model::GroupAddress;

use crate::args::{AddPrincipal, Group, Principal, RemovePrincipal, ResetPrincipals};
use crate::confirm::{self, declined};
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::records::Ordered;
use crate::session::Session;
use crate::{render, say, steering};

pub(super) async fn run(
    session: &Session,
    output: Output,
    principal: Principal,
) -> Result<Status, Failure> {
    match principal {
        Principal::List(list) => {
            let group = address(session, list.group.as_ref()).await?;
            let list = operator::principals(&session.table().await?, group.as_ref()).await?;
            let document = output
                .document(&list.principals)
                .with("group", &list.group)?;
            output.show_document(&document, || render::principals(&list))?;
            Ok(Status::Done)
        }
        Principal::Add(add) => self::add(session, output, add).await,
        Principal::Remove(remove) => self::remove(session, output, remove).await,
        Principal::Reset(reset) => self::reset(session, output, &reset).await,
    }
}

async fn add(session: &Session, output: Output, add: AddPrincipal) -> Result<Status, Failure> {
    if add.settle_seconds.is_some() && add.policy != Policy::Follow {
        return Err(Failure::usage(
            "--settle-seconds needs --policy follow: with other policies no revoke waits",
        ));
    }
    let group = address(session, add.group.as_ref()).await?;
    let change = PrincipalChange::Add {
        principal: Entry {
            arn: add.arn,
            policy: add.policy,
            settle_seconds: add.settle_seconds,
        },
        first: add.first,
    };
    let table = session.table().await?;
    let draft = async |confirmed| {
        let reason = add.reason.as_deref();
        change_principals(&table, group.as_ref(), &change, confirmed, reason).await
    };
    let (draft, asked) = match draft(add.yes).await {
        Err(OperatorError::Doubtful { arn, doubt }) if confirm::on_terminal() => {
            let shown = || format!("{arn:?} {doubt}\n");
            if !confirm::agreed(false, shown, "Add it all the same?")? {
                return Ok(declined());
            }
            (draft(true).await?, true)
        }
        draft => (draft?, false),
    };
    if let Some(warning) = draft.warning() {
        say::warning(&render::plain(&warning.to_string()));
    }
    finish(session, output, draft, add.yes || asked).await
}

async fn remove(
    session: &Session,
    output: Output,
    remove: RemovePrincipal,
) -> Result<Status, Failure> {
    let group = address(session, remove.group.as_ref()).await?;
    let change = PrincipalChange::Remove { arn: remove.arn };
    let table = session.table().await?;
    let reason = remove.reason.as_deref();
    let draft = change_principals(&table, group.as_ref(), &change, false, reason).await?;
    finish(session, output, draft, remove.consent.yes).await
}

async fn reset(
    session: &Session,
    output: Output,
    reset: &ResetPrincipals,
) -> Result<Status, Failure> {
    let table = session.table().await?;
    let draft = operator::reset_principals(&table, reset.reason.as_deref()).await?;
    if let Some(lost) = draft.lost() {
        say::note("these settings cannot be understood:");
        let lost = steering::json(&Ordered(lost)).map_err(Failure::failed)?;
        say::note(lost.trim_end());
    }
    let question = "Replace them by an empty list?";
    if !confirm::agreed(reset.consent.yes, String::new, question)? {
        return Ok(declined());
    }
    write(session, output, draft).await
}

async fn finish(
    session: &Session,
    output: Output,
    draft: PrincipalDraft,
    yes: bool,
) -> Result<Status, Failure> {
    let shown = || render::principal_lines(draft.list());
    if !draft.changes_nothing() && !confirm::agreed(yes, shown, "Make this the list?")? {
        return Ok(declined());
    }
    write(session, output, draft).await
}

async fn write(
    session: &Session,
    output: Output,
    draft: PrincipalDraft,
) -> Result<Status, Failure> {
    let author = session.author().await?;
    let written = draft.write(&session.table().await?, &author).await?;
    let document = output
        .document(&written.principals)
        .with("group", &written.group)?;
    let document = document
        .with("generation", written.generation)?
        .with("changed", written.changed)?;
    output.show_document(&document, || render::principals_written(&written))?;
    Ok(Status::Done)
}

async fn address(
    session: &Session,
    group: Option<&Group>,
) -> Result<Option<GroupAddress>, Failure> {
    match group {
        Some(id) => Ok(Some(session.address(id).await?)),
        None => Ok(None),
    }
}
