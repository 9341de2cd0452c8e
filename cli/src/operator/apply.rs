//! Making records what files say they should be.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::files::check;
use super::history::settings_of;
use super::{
    Archive, Author, Difference, Draft, OperatorError, Submitted, Unpinning, Written, because,
    generation_of, gone, read, unpin,
};
use rulekeeper_core::decide::plan::{Hold, plan};
use rulekeeper_core::desired::{DesiredRecord, Mode};
use rulekeeper_core::model::{ActualRules, GroupAddress, GroupId, RuleKey, Scope};
use rulekeeper_core::ports::{GROUPS_PER_READ, Loaded, SecurityGroups};
use rulekeeper_core::sweep::Progress;

/// How many records are read at the same time.
const READS_AT_ONCE: usize = 8;

/// What to do with the records of files.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// Whether doubtful entries are meant.
    pub confirmed: bool,
    /// Why, for the history.
    pub reason: Option<String>,
    /// Where records that no file holds are taken out, and the folders, for the history.
    pub prune: Option<(BTreeSet<Scope>, String)>,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyOutcome {
    /// It was written.
    Written,
    /// The table holds the same content.
    Unchanged,
    /// It was taken out of the table.
    Pruned,
    /// It differs, or there is none yet.
    WouldWrite,
    /// No file holds it.
    WouldPrune,
}

/// A record of a file, or one that no file holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applied {
    /// The group.
    pub group: GroupAddress,
    /// Its name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What became of it, or would.
    pub outcome: ApplyOutcome,
    /// The generation that is current now; 0 where there is no record yet. Of a record that was taken out: the generation
    /// of its history that says so.
    pub generation: u64,
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From the table's record to the file's.
    pub difference: Difference,
    /// What of it differs from the live rules. Absent if nothing is written, or if EC2 was not read.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveView>,
}

/// What differs between a record and the live rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LiveView {
    /// Why the live rules are not as they seem: the group does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Rules of the record that are not live.
    pub not_live: Vec<NotLive>,
    /// Live rules that the record held and will not hold.
    pub kept_no_more: Vec<RuleKey>,
}

impl LiveView {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A rule of a record that is not live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotLive {
    /// The rule.
    pub rule: RuleKey,
    /// Why the next look does not simply open it, as far as the record and the live rules tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// One record, and what is to be done.
#[derive(Debug)]
struct Step {
    group: GroupAddress,
    file: Option<String>,
    what: What,
    live: Option<LiveView>,
}

#[derive(Debug)]
enum What {
    Keep(u64, Option<String>),
    Write(Box<Draft>),
    Prune(Box<Unpinning>),
}

/// Records before they are written. Nothing is until [`Applying::write`].
#[derive(Debug)]
pub struct Applying {
    steps: Vec<Step>,
    /// Scopes of which every record would be taken out, and how many there are.
    emptied: BTreeMap<Scope, usize>,
}

/// Compares files with the table. Every file is checked, and every record that it would replace is read. `progress` counts
/// records, each when it is read and again when it is written.
///
/// # Errors
/// All findings of all files; or the table cannot be read.
pub async fn plan_apply(
    table: &impl Archive,
    files: &[Submitted],
    options: &ApplyOptions,
    progress: Progress<'_>,
) -> Result<Applying, OperatorError> {
    let (records, mut findings) = check(files, options.confirmed);
    if !findings.is_empty() {
        return Err(OperatorError::Findings(findings));
    }
    let (mut emptied, mut superfluous) = (BTreeMap::new(), Vec::new());
    for scope in options.prune.iter().flat_map(|(scopes, _)| scopes) {
        let there = in_table(table, scope).await?;
        let held = there.iter().filter(|group| records.contains_key(group));
        if held.count() == 0 && !there.is_empty() {
            emptied.insert(scope.clone(), there.len());
        }
        let not_held = |group: &GroupAddress| !records.contains_key(group);
        superfluous.extend(there.into_iter().filter(not_held));
    }
    let total = 2 * (records.len() + superfluous.len());
    let groups: Vec<GroupAddress> = records.keys().cloned().collect();
    let loads = groups.iter().map(|group| table.load(group));
    let mut loads = stream::iter(loads).buffered(READS_AT_ONCE);
    let mut steps = Vec::new();
    for (group, (file, record)) in records {
        let Some(loaded) = loads.try_next().await? else {
            break;
        };
        match compare(group, file, record, loaded, options.reason.as_deref()) {
            Ok(step) => steps.push(step),
            Err(finding) => findings.push(finding),
        }
        progress(steps.len(), total);
    }
    drop(loads);
    if !findings.is_empty() {
        return Err(OperatorError::Findings(findings));
    }
    let folders = options.prune.as_ref().map(|(_, folders)| folders.as_str());
    let reason = because(
        &format!("not in {}", folders.unwrap_or_default()),
        options.reason.as_deref(),
    );
    for group in superfluous {
        let unpinning = unpin(table, &group, Some(&reason)).await?;
        steps.push(Step {
            group,
            file: None,
            what: What::Prune(Box::new(unpinning)),
            live: None,
        });
        progress(steps.len(), total);
    }
    Ok(Applying { steps, emptied })
}

/// The groups of a scope that have a record. Items under other names are none that anything acts on.
async fn in_table(
    table: &impl Archive,
    scope: &Scope,
) -> Result<BTreeSet<GroupAddress>, OperatorError> {
    let items = table.all_desired(scope).await?.into_iter();
    let address = |(id, _): (String, Value)| {
        Some(GroupAddress {
            scope: scope.clone(),
            id: id.parse().ok()?,
        })
    };
    Ok(items.filter_map(address).collect())
}

/// What is to be done with a record of a file, or why it cannot be.
fn compare(
    group: GroupAddress,
    file: &Submitted,
    mut record: DesiredRecord,
    loaded: Loaded,
    reason: Option<&str>,
) -> Result<Step, String> {
    let item = loaded.desired.as_ref();
    // A record that cannot be understood may be replaced: this is the way to fix it.
    let before = item.and_then(|item| read(&group, item).ok());
    let current = item.map_or(0, generation_of);
    if let Some(before) = &before {
        // A file need not know the name, which no file changes, nor a pause, which an operator makes.
        record.name = record.name.or_else(|| before.name.clone());
        record.pause = record.pause.or_else(|| before.pause.clone());
    }
    let of_file = record.generation;
    let step = |what| Step {
        group: group.clone(),
        file: Some(file.file.clone()),
        what,
        live: None,
    };
    if before
        .as_ref()
        .is_some_and(|before| before.same_content(&record))
    {
        return Ok(step(What::Keep(current, record.name)));
    }
    if of_file != 0 && of_file != current {
        let at = file.at("generation");
        let now = match current {
            0 => "has no record".to_owned(),
            current => format!("is at generation {current} with other content"),
        };
        return Err(format!(
            "{at}: generation: the file was made from generation {of_file}, and {group} {now}; export it again and \
             repeat your change, or take `generation` out of the file to overwrite the record"
        ));
    }
    let draft = Draft {
        group: group.clone(),
        record,
        before,
        loaded,
        reason: because(&format!("applied {}", file.file), reason),
    };
    Ok(step(What::Write(Box::new(draft))))
}

impl Step {
    fn applied(&self) -> Applied {
        let (outcome, name, generation, difference) = match &self.what {
            What::Keep(generation, name) => (
                ApplyOutcome::Unchanged,
                name.clone(),
                *generation,
                Difference::default(),
            ),
            What::Write(draft) => (
                ApplyOutcome::WouldWrite,
                draft.record.name.clone(),
                draft.loaded.desired.as_ref().map_or(0, generation_of),
                draft.difference(),
            ),
            What::Prune(unpinning) => (
                ApplyOutcome::WouldPrune,
                unpinning.record().and_then(|record| record.name.clone()),
                unpinning.generation(),
                Difference {
                    removed: unpinning.rules().to_vec(),
                    ..Difference::default()
                },
            ),
        };
        Applied {
            group: self.group.clone(),
            name,
            outcome,
            generation,
            file: self.file.clone(),
            difference,
            live: self.live.clone(),
        }
    }

    fn changes(&self) -> bool {
        !matches!(self.what, What::Keep(..))
    }

    /// What this changes about the keeping of live rules.
    fn view(&self, live: &ActualRules, is_gone: bool, now: Timestamp) -> LiveView {
        let (before, after, settings) = match &self.what {
            What::Keep(..) => return LiveView::default(),
            What::Write(draft) => {
                let settings = draft.loaded.settings.as_ref();
                (draft.before.as_ref(), Some(&draft.record), settings)
            }
            What::Prune(unpinning) => (unpinning.record(), None, None),
        };
        // Of settings that cannot be understood the function says itself that rules wait.
        let shared = settings_of(settings).unwrap_or_default();
        if is_gone {
            let problem = "the group does not exist, or these credentials cannot see it";
            return LiveView {
                problem: after.map(|_| problem.to_owned()),
                ..LiveView::default()
            };
        }
        let was_kept = |rule: &RuleKey| before.is_some_and(|it| it.rules.contains_key(rule));
        let no_more = before.iter().flat_map(|before| before.rules.keys());
        let no_more = no_more.filter(|rule| {
            live.contains(rule) && after.is_none_or(|after| !after.rules.contains_key(*rule))
        });
        LiveView {
            problem: None,
            not_live: after.map_or_else(Vec::new, |after| {
                let hold = Hold::of(after, &shared, Mode::Enforce, now);
                not_live(after, live, &was_kept, hold)
            }),
            kept_no_more: no_more.cloned().collect(),
        }
    }
}

fn not_live(
    record: &DesiredRecord,
    live: &ActualRules,
    was_kept: &dyn Fn(&RuleKey) -> bool,
    hold: Option<Hold>,
) -> Vec<NotLive> {
    let plan = plan(record, live, &BTreeSet::new());
    let hold = hold.map(|hold| hold.reason());
    let missing = plan.missing.into_iter().map(|rule| NotLive {
        held: hold.clone().or_else(|| {
            was_kept(&rule.key).then(|| "it was recorded and missing before".to_owned())
        }),
        rule: rule.key,
    });
    let superseded = plan.superseded.into_iter().map(|superseded| NotLive {
        held: superseded.report().reason,
        rule: superseded.rule,
    });
    missing.chain(superseded).collect()
}

impl Applying {
    /// What would become of each record.
    pub fn items(&self) -> Vec<Applied> {
        self.steps.iter().map(Step::applied).collect()
    }

    /// How many records would be written, and how many taken out.
    pub fn counts(&self) -> (usize, usize) {
        let pruned = |step: &&Step| matches!(step.what, What::Prune(..));
        let pruned = self.steps.iter().filter(pruned).count();
        let changed = self.steps.iter().filter(|step| step.changes()).count();
        (changed - pruned, pruned)
    }

    /// Scopes of which every record would be taken out, and how many there are.
    pub fn emptied(&self) -> &BTreeMap<Scope, usize> {
        &self.emptied
    }

    /// The scopes of the records that would be written or taken out.
    pub fn changed_scopes(&self) -> BTreeSet<Scope> {
        let changed = self.steps.iter().filter(|step| step.changes());
        changed.map(|step| step.group.scope.clone()).collect()
    }

    /// Compares the records of a scope that would change with the live rules: one read for 200 groups, and one describe for
    /// those of them without rules.
    ///
    /// # Errors
    /// When EC2 cannot be read. Nothing is known of the groups that it was asked for, then.
    pub async fn look(
        &mut self,
        ec2: &impl SecurityGroups,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<(), OperatorError> {
        let changed = |step: &&mut Step| step.changes() && step.group.scope == *scope;
        let mut steps: Vec<&mut Step> = self.steps.iter_mut().filter(changed).collect();
        let nothing = ActualRules::default();
        for steps in steps.chunks_mut(GROUPS_PER_READ) {
            let ids: Vec<GroupId> = steps.iter().map(|step| step.group.id.clone()).collect();
            let live = ec2.ingress_rules(&ids).await?;
            let gone = gone(ec2, &ids, &live).await?;
            for step in steps {
                let id = &step.group.id;
                let actual = live.get(id).unwrap_or(&nothing);
                step.live = Some(step.view(actual, gone.contains(id), now));
            }
        }
        Ok(())
    }

    /// Writes what differs, and takes out what no file holds.
    ///
    /// # Errors
    /// At the first record that could not be written, with those that were by then.
    pub async fn write(
        self,
        table: &impl Archive,
        author: &Author,
        progress: Progress<'_>,
    ) -> Result<Vec<Applied>, OperatorError> {
        let total = 2 * self.steps.len();
        let (mut applied, mut written) = (Vec::new(), Vec::new());
        for step in self.steps {
            let mut item = step.applied();
            let done = match step.what {
                What::Keep(..) => None,
                What::Write(draft) => Some(draft.write(table, author).await),
                What::Prune(unpinning) => Some(unpinning.write(table, author).await),
            };
            match done {
                None => {}
                Some(Ok(record)) => {
                    item.outcome = match record.unpinned {
                        true => ApplyOutcome::Pruned,
                        false => ApplyOutcome::Written,
                    };
                    item.generation = record.generation;
                    written.push(record);
                }
                Some(Err(cause)) if written.is_empty() => return Err(cause),
                Some(Err(cause)) => return Err(interrupted(step.group, written, cause)),
            }
            applied.push(item);
            progress(total / 2 + applied.len(), total);
        }
        Ok(applied)
    }
}

fn interrupted(group: GroupAddress, written: Vec<Written>, cause: OperatorError) -> OperatorError {
    OperatorError::Interrupted {
        group,
        written,
        cause: Box::new(cause),
    }
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::desired::RecordFile;
    use rulekeeper_core::fakes::{FakeEc2, FakeTable, group, key, record};

    use super::*;

    const WEB: &str = "tcp 443 from 10.0.0.0/8";
    const OLD: &str = "tcp 80 from 10.0.0.0/8";
    const SSH: &str = "tcp 22 from 10.0.0.0/8";
    const NEW: &str = "tcp 8443 from 10.0.0.0/8";
    const COVERED: &str = "tcp 9000 from 10.0.0.0/8";
    const COVERING: &str = "tcp 9000-9001 from 10.0.0.0/8";

    async fn looked_at(ec2: &FakeEc2, mode: Mode) -> Applied {
        let table = FakeTable::with(&record(&[WEB, OLD, SSH]));
        let mut wanted = record(&[WEB, SSH, NEW, COVERED]);
        wanted.generation = 0;
        wanted.mode = mode;
        let file = RecordFile {
            address: group(),
            record: wanted,
        };
        let file = Submitted {
            file: "f".to_owned(),
            content: Value::Object(file.to_json()),
            ..Submitted::default()
        };
        let options = ApplyOptions::default();
        let mut applying = plan_apply(&table, &[file], &options, &|_, _| {})
            .await
            .expect("a plan");
        let now = Timestamp::UNIX_EPOCH;
        let looked = applying.look(ec2, &group().scope, now).await;
        looked.expect("EC2 can be read");
        applying.items().remove(0)
    }

    fn held(item: &Applied) -> Vec<(String, Option<&str>)> {
        let view = item.live.as_ref().expect("a look");
        let rules = view.not_live.iter();
        let mut rules: Vec<_> = rules
            .map(|it| (it.rule.to_string(), it.held.as_deref()))
            .collect();
        rules.sort();
        rules
    }

    #[tokio::test]
    async fn of_rules_that_are_not_live_only_new_ones_without_a_hindrance_are_said_to_open() {
        let ec2 = FakeEc2::new(&[WEB, OLD, COVERING]);
        let item = looked_at(&ec2, Mode::Enforce).await;
        assert_eq!(item.outcome, ApplyOutcome::WouldWrite);
        let expected = [
            (SSH.to_owned(), Some("it was recorded and missing before")),
            (NEW.to_owned(), None),
            (
                COVERED.to_owned(),
                Some("live rules allow the same: tcp 9000-9001 from 10.0.0.0/8"),
            ),
        ];
        assert_eq!(held(&item), expected);
        let kept_no_more = item.live.map(|view| view.kept_no_more);
        assert_eq!(kept_no_more, Some(vec![key(OLD)]));
        assert_eq!(ec2.called("DescribeSecurityGroupRules"), 1);
        assert_eq!(ec2.called("DescribeSecurityGroups"), 0);
    }

    #[tokio::test]
    async fn a_record_that_observes_opens_nothing() {
        let ec2 = FakeEc2::new(&[WEB, OLD, SSH]);
        let item = looked_at(&ec2, Mode::Observe).await;
        let observes = Some("the record only observes");
        let expected = [(NEW.to_owned(), observes), (COVERED.to_owned(), observes)];
        assert_eq!(held(&item), expected);
    }
}
