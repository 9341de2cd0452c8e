//! `incidents`: who dropped which rules, and how that ended.

use jiff::Timestamp;
use rulekeeper_cli::operator;
use rulekeeper_cli::operator::Incidents as Found;

use crate::args::Incidents;
use crate::failure::{Failure, Status};
use crate::output::Output;
use crate::page_file::PageFile;
use crate::progress::Progress;
use crate::render;
use crate::session::{SWEEP_TIME, Session};

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
    let table = session.table_for(SWEEP_TIME).await?;
    let scope = session.scope().await?;
    let found = {
        let progress = Progress::of("groups");
        let tell = |done, total| progress.tell(done, total);
        operator::incidents(&table, &scope, &asked.groups, since, &tell).await?
    };
    if let Some(page) = &page {
        let text = render::page(&scope, &found, now)?;
        page.write(&text)?;
        eprintln!("{}", written(page, &found, text.len()));
    }
    if page.is_none() || output.is_asked() {
        output.show(&found, || render::incidents(&scope, &found))?;
    }
    Ok(Status::Done)
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
