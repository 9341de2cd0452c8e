//! Reads records page by page.

use serde_json::Value;

use super::Stop;
use crate::model::{GroupId, GroupRange, InvalidIdentifier, Scope};
use crate::ports::{GroupMarks, Table};

/// A record as it was read, with its key, which should be a group's id.
pub(super) struct Recorded {
    pub(super) name: String,
    pub(super) item: Value,
    pub(super) group: Result<GroupId, InvalidIdentifier>,
    pub(super) mark: Mark,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    /// The group was found not to exist.
    Orphaned,
    /// The group must be judged even if nothing is missing.
    Open,
}

impl Recorded {
    pub(super) fn new((name, item): (String, Value), marks: &GroupMarks) -> Self {
        let group = name.parse::<GroupId>();
        let mark = match &group {
            Ok(id) if marks.orphaned.contains(id) => Mark::Orphaned,
            Ok(id) if marks.open.contains(id) => Mark::Open,
            _ => Mark::None,
        };
        Self {
            name,
            item,
            group,
            mark,
        }
    }

    /// The group, if its rules must be read.
    pub(super) fn asked(&self) -> Option<&GroupId> {
        match self.mark {
            Mark::Orphaned => None,
            Mark::None | Mark::Open => self.group.as_ref().ok(),
        }
    }
}

/// A page of records, and the rest of the range.
pub(super) struct Page {
    pub(super) records: Vec<Recorded>,
    pub(super) unread: Option<GroupRange>,
}

/// Reads the next page of a range, with the marks of its groups.
pub(super) async fn page<T: Table>(
    table: &T,
    scope: &Scope,
    range: &GroupRange,
) -> Result<Page, Stop> {
    let page = match table.desired_page(scope, range).await {
        Ok(page) => page,
        Err(error) => {
            let what = "records";
            return Err(Stop::Unread { what, error });
        }
    };
    let read = match &page.last {
        Some(last) => range.up_to(last),
        None => range.clone(),
    };
    let marks = match page.items.is_empty() {
        true => GroupMarks::default(),
        // Without the marks, a few calls more are made and nothing else changes.
        false => table.marks(scope, &read).await.unwrap_or_default(),
    };
    let records = page.items.into_iter();
    Ok(Page {
        records: records
            .map(|record| Recorded::new(record, &marks))
            .collect(),
        unread: page.last.map(|last| range.behind(&last)),
    })
}
