//! Every call that the function makes, by everything that can happen to a call on the wire.

mod places;
mod proxy;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rulekeeper_core::event::{Intent, intent};
use rulekeeper_local::{LogLine, Outcome};
use serde_json::Value;
use tokio::sync::Semaphore;

use places::{Place, Set};
use proxy::{Fault, Proxy, Spoil};

/// What happens to a call, by the columns of [`TABLE`]. Behind `>` the call took effect before it happened.
const FAULTS: [(&str, Fault, bool); 19] = [
    ("late", Fault::Late, true),
    ("drip", Fault::Drip, true),
    ("cut", Fault::Truncated, true),
    ("garbled", Fault::Garbled, true),
    ("long", Fault::Long, true),
    ("short", Fault::Short, true),
    ("refused", Fault::Refused, false),
    ("429", Fault::Status(429, "slow down"), false),
    ("400", Fault::Status(400, ""), false),
    ("silent", Fault::Silent, false),
    (">silent", Fault::Silent, true),
    ("reset", Fault::Reset, false),
    (">reset", Fault::Reset, true),
    ("error", Fault::ErrorDocument, false),
    (">error", Fault::ErrorDocument, true),
    ("502", Fault::Status(502, HTML), false),
    (">502", Fault::Status(502, HTML), true),
    ("empty", Fault::Ok(""), false),
    (">empty", Fault::Ok(""), true),
];

const HTML: &str = "<html><body>502 Bad Gateway</body></html>";

/// What the function says of a call that it gave up.
const LATE: &str = "did not succeed in the time for it";

/// How many cells run at once. Most of them wait.
const AT_ONCE: usize = 8;

/// What must come of each call by each fault: the first letter if it happens once, the second if it lasts. In all of them
/// nothing else is authorized, nothing false is said, every invocation ends in time, and once the fault is over and the next
/// sweep has been, everything is as it should be.
///
/// | letter | means |
/// | --- | --- |
/// | `r` | done at once, perhaps by a repeated call |
/// | `w` | the same, and what went wrong is told |
/// | `n` | done by the next delivery; the first failed and told why |
/// | `d` | done, and the invocation failed to the end: it could not know |
/// | `f` | not done; the invocation failed, told why, and was given up |
/// | `h` | not done; what went wrong is told, and the next sweep goes on |
/// | `.` | not tried: whether a read took effect makes no difference, and half of a key for a role is an unknown key, which
/// AWS refuses and the stack takes for somebody's |
const TABLE: &str = "
               late drip cut garbled long short refused 429 400 silent >silent reset >reset error >error 502 >502 empty >empty
load rules    |   rr   rf  rf      rf   rf    rf      rf  rf  nf     rf      ..    rf     ..    rf     ..  rf   ..    rf     ..
verify        |   rr   rr  rr      rr   rr    rr      rr  rr  rr     rr      ..    rr     ..    rr     ..  rr   ..    rr     ..
authorize     |   rr   rd  rr      rr   rr    rr      rf  rf  rf     rf      rd    rf     rr    rf     rr  rf   rr    rf     rr
load record   |   rr   rf  rf      rf   rf    rf      rf  rf  nf     rf      ..    rf     ..    rf     ..  rf   ..    rf     ..
state         |   rw   rr  rw      rr   rw    rr      rw  rw  rw     ww      ww    rw     rw    rw     rw  rw   rw    rw     rw
incident      |   rw   rr  rw      rw   rw    rw      rw  rw  ww     ww      ww    rw     rw    rw     rw  rw   rw    rw     rw
group gone    |   rr   rr  rr      rr   rr    rr      rf  rr  rr     rr      ..    rr     ..    rr     ..  rr   ..    rr     ..
list gone     |   rr   rr  rr      rr   rr    rr      rf  rr  rr     rr      ..    rr     ..    rr     ..  rr   ..    rr     ..
list entries  |   rw   ww  rw      ww   rw    rr      rf  rw  ww     ww      ..    rw     ..    rw     ..  rw   ..    rw     ..
default VPC   |   rr   rf  rf      rf   rf    rf      rf  rf  nf     rf      ..    rf     ..    rf     ..  rf   ..    rf     ..
name          |   rr   rf  rf      rf   rf    rf      rf  rf  nf     rf      ..    rf     ..    rf     ..  rf   ..    rf     ..
sweep rules   |   rr   rf  rf      rf   rf    rf      rf  rf  nf     rf      ..    rf     ..    rf     ..  rf   ..    rf     ..
sweep records |   rf   wf  rf      rf   rf    rf      rf  rf  wf     wf      ..    rf     ..    rf     ..  rf   ..    rf     ..
queue length  |   rr   rr  rr      rr   rr    rr      rr  rr  rr     rr      ..    rr     ..    rr     ..  rr   ..    rr     ..
hand over     |   rw   ww  rw      ww   rw    ww      rh  hh  hh     hh      ww    rh     rw    hh     ww  rh   rw    hh     ww
tell          |   rw   ww  rw      ww   rw    ww      rw  ww  ww     ww      ww    rw     rw    ww     ww  rw   rw    ww     ww
role          |   rr   rh  rh      wf   rh    ..      rh  wf  wf     rh      ..    rh     ..    wf     ..  rh   ..    wf     ..
decision      |   rd   rr  rd      rd   rd    rd      rf  rf  nf     nf      nd    rf     rd    rf     rd  rf   rd    rf     rd
wake          |   rw   ww  rw      ww   rw    ww      rh  hh  hh     hh      ww    rh     rw    hh     ww  rh   rw    hh     ww
";

/// A row: a call at one place of the work.
#[derive(Debug, Clone, Copy)]
struct Row {
    name: &'static str,
    place: Place,
    action: &'static str,
    /// Calls of the action that come before.
    after: u32,
    /// Whether it matters if the call reached the service.
    changes: bool,
}

const fn row(name: &'static str, place: Place, action: &'static str) -> Row {
    Row {
        name,
        place,
        action,
        after: 0,
        changes: false,
    }
}

const fn change(name: &'static str, place: Place, action: &'static str) -> Row {
    Row {
        changes: true,
        ..row(name, place, action)
    }
}

const ROWS: [Row; 19] = [
    row("load rules", Place::Drop, "DescribeSecurityGroupRules"),
    Row {
        after: 1,
        ..row("verify", Place::Drop, "DescribeSecurityGroupRules")
    },
    change("authorize", Place::Drop, "AuthorizeSecurityGroupIngress"),
    row("load record", Place::Drop, "BatchGetItem"),
    change("state", Place::Drop, "UpdateItem"),
    change("incident", Place::Drop, "PutItem"),
    row("group gone", Place::GroupGone, "DescribeSecurityGroups"),
    row("list gone", Place::ListGone, "DescribeManagedPrefixLists"),
    row(
        "list entries",
        Place::Guarded,
        "GetManagedPrefixListEntries",
    ),
    row("default VPC", Place::ByName, "DescribeVpcs"),
    row("name", Place::ByName, "DescribeSecurityGroups"),
    row("sweep rules", Place::Sweep, "DescribeSecurityGroupRules"),
    row("sweep records", Place::Sweep, "Query"),
    row("queue length", Place::Sweep, "GetQueueAttributes"),
    change("hand over", Place::Members, "SendMessageBatch"),
    change("tell", Place::Members, "PutEvents"),
    row("role", Place::Members, "AssumeRole"),
    change("decision", Place::Decision, "TransactWriteItems"),
    change("wake", Place::Waiting, "SendMessageBatch"),
];

/// How long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// One call; connections are refused for 300 ms.
    Once,
    /// Until everything is at rest.
    Lasting,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    row: Row,
    fault: (&'static str, Fault, bool),
    span: Span,
}

/// What came of a cell: a letter, and what may never be.
#[derive(Debug)]
struct Ended {
    letter: char,
    wrong: Vec<String>,
}

impl Cell {
    /// The function's time, and how often Lambda calls again. There is time to repeat a silent call. A fault that lasts is
    /// not to be waited for that long.
    fn limits(&self) -> (Duration, usize) {
        match self.span {
            Span::Once => (Duration::from_secs(9), 1),
            Span::Lasting => (Duration::from_secs(4), 0),
        }
    }

    async fn run(self) -> Ended {
        let (limit, retries) = self.limits();
        let set = self.row.place.set(limit, retries).await;
        let (_, fault, reached) = self.fault;
        set.proxy.spoil(Spoil {
            action: self.row.action,
            fault,
            reached,
            after: self.row.after,
            times: (self.span == Span::Once).then_some(1),
        });
        set.begin();
        if fault == Fault::Refused && self.span == Span::Once {
            hit(&set.proxy).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            set.proxy.heal();
        }
        match (self.row.action, self.span) {
            ("AssumeRole", Span::Lasting) => set.rest_or_given_back().await,
            _ => set.rest().await,
        }
        let mut wrong = Vec::new();
        if set.proxy.hits() == 0 {
            wrong.push("the fault hit no call".to_owned());
        }
        let letter = self.letter(&set).await;
        wrong.extend(untrue(&set, limit));
        let told = said(&set);
        set.proxy.heal();
        set.look_again().await;
        wrong.extend(untrue(&set, limit));
        if !set.reached().await {
            wrong.push("not everything is back after a sweep".to_owned());
        }
        let unknown = set.proxy.calls().into_keys();
        let unknown = unknown.filter(|call| ROWS.iter().all(|row| row.action != call));
        wrong.extend(unknown.map(|call| format!("{call} has no row")));
        if letter == 'x' || !wrong.is_empty() {
            wrong.extend(told);
            wrong.push("after that:".to_owned());
            wrong.extend(said(&set));
        }
        Ended { letter, wrong }
    }

    async fn letter(&self, set: &Set) -> char {
        let lambda = set.scene.stack.lambda();
        let invocations = lambda.invocations();
        let failed = invocations
            .iter()
            .any(|it| it.outcome == Outcome::FunctionError);
        let failed = failed || !set.scene.stack.queues().bodies("dead").is_empty();
        let given_up = lambda.dead_letters().len() + set.scene.stack.queues().bodies("dead").len();
        let named = |line: &String| match (self.fault.1, self.row.action) {
            // The whole service is gone, so it is another call of it that fails in the end.
            (Fault::Refused, _) => line.contains("dispatch failure") || line.contains(LATE),
            // The call fails that needs the role, unless STS says why.
            (_, "AssumeRole") => line.contains("AssumeRole") || line.contains(LATE),
            (_, action) => line.contains(action),
        };
        let named = said(set).iter().any(named);
        match (set.reached().await, failed, given_up > 0, named) {
            (true, false, _, false) => 'r',
            (true, false, _, true) => 'w',
            (true, true, false, true) => 'n',
            (true, true, true, true) => 'd',
            (false, true, true, true) => 'f',
            (false, _, false, true) => 'h',
            _ => 'x',
        }
    }
}

async fn hit(proxy: &Proxy) {
    for _ in 0..400 {
        if proxy.hits() > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Everything that the function said, without the names of calls that are only counted, and of events.
fn said(set: &Set) -> Vec<String> {
    let lambda = set.scene.stack.lambda();
    let lines = lambda.logs().into_iter().map(|LogLine { text, .. }| text);
    let answers = lambda
        .invocations()
        .into_iter()
        .map(|it| it.response.to_string());
    lines
        .chain(answers)
        .map(|line| match serde_json::from_str::<Value>(&line) {
            Ok(mut value) => {
                strip(&mut value);
                value.to_string()
            }
            Err(_) => line,
        })
        .filter(|line| !line.contains("\"_aws\""))
        .collect()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !["calls", "trigger"].contains(&&name[..]));
            fields.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// What is said and is not so, and what is done and may not be.
fn untrue(set: &Set, limit: Duration) -> Vec<String> {
    let mut wrong = Vec::new();
    let stack = &set.scene.stack;
    for invocation in stack.lambda().invocations() {
        let ended = matches!(
            invocation.outcome,
            Outcome::Success | Outcome::FunctionError
        );
        if !ended || Duration::from_micros(invocation.took_us) >= limit {
            let took = Duration::from_micros(invocation.took_us);
            wrong.push(format!("{:?} after {took:?}", invocation.outcome));
        }
    }
    let live: BTreeSet<String> = set.live();
    for line in said(set) {
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let mut lines = Vec::new();
        rule_lines(&value, &mut lines);
        for line in lines {
            let rule = line["rule"].as_str().unwrap_or_default();
            let is_live = live.contains(rule);
            let lie = match line["outcome"].as_str().unwrap_or_default() {
                "restored" | "already_present" => !is_live,
                "restored_elsewhere" => true,
                "failed" => is_live && !line.to_string().contains("may have worked"),
                _ => false,
            };
            if lie {
                wrong.push(format!("live: {is_live}, and said: {line}"));
            }
        }
    }
    for record in stack.cloud().records() {
        if record["eventName"] != "AuthorizeSecurityGroupIngress" {
            continue;
        }
        if let Intent::Reconcile(lookup) = intent(&record) {
            for rule in lookup.evidence.authorized.keys() {
                if !set.recorded.contains(&rule.to_string()) {
                    wrong.push(format!("{rule} was authorized"));
                }
            }
        }
    }
    wrong
}

fn rule_lines<'v>(value: &'v Value, lines: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("rule") && fields.contains_key("outcome") {
                lines.push(value);
            }
            fields.values().for_each(|field| rule_lines(field, lines));
        }
        Value::Array(list) => list.iter().for_each(|item| rule_lines(item, lines)),
        _ => {}
    }
}

/// Every cell that can be told from another: whether a read reached the service makes no difference.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for row in ROWS {
        let told = FAULTS
            .into_iter()
            .filter(|fault| row.changes || !fault.0.starts_with('>'));
        for fault in told {
            let spans = [Span::Once, Span::Lasting];
            let both = spans.map(|span| Cell { row, fault, span });
            cells.extend(both.into_iter().filter(|cell| cell.expected() != Some('.')));
        }
    }
    cells
}

impl Cell {
    fn name(&self) -> String {
        format!("{}/{}/{:?}", self.row.name, self.fault.0, self.span)
    }

    /// The letter in the table.
    fn expected(&self) -> Option<char> {
        let mut lines = TABLE.lines().filter(|line| !line.is_empty());
        let column = lines
            .next()?
            .split_whitespace()
            .position(|name| name == self.fault.0)?;
        let row = lines.find_map(|line| {
            line.split_once('|')
                .filter(|(name, _)| name.trim() == self.row.name)
        })?;
        let letters = row.1.split_whitespace().nth(column)?;
        letters.chars().nth(usize::from(self.span == Span::Lasting))
    }

    /// What is wrong with the cell; nothing, if all is as it must be.
    async fn check(self) -> Option<(char, String)> {
        let name = self.name();
        let (letter, wrong) = match tokio::spawn(self.run()).await {
            Ok(ended) => (ended.letter, ended.wrong),
            Err(error) => ('x', vec![error.to_string()]),
        };
        let expected = self.expected();
        let is_right = expected == Some(letter) && wrong.is_empty();
        (!is_right).then(|| {
            (
                letter,
                format!("{name} is {expected:?} in the table, and was {letter:?}: {wrong:#?}"),
            )
        })
    }
}

/// The cells to try: one in six, others each day, or those whose names contain `RULEKEEPER_WIRE`, or all of them.
fn chosen() -> Vec<Cell> {
    let cells = cells().into_iter();
    match std::env::var("RULEKEEPER_WIRE").as_deref() {
        Ok("all") => cells.collect(),
        Ok(part) => cells.filter(|cell| cell.name().contains(part)).collect(),
        Err(_) => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let day = since.expect("after 1970").as_secs() / 86_400;
            let first = usize::try_from(day % 6).expect("small");
            eprintln!("cells of part {first} of 6; RULEKEEPER_WIRE=all tries all");
            cells.skip(first).step_by(6).collect()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_by_every_fault_ends_as_the_table_says() {
    let cells = chosen();
    assert!(!cells.is_empty(), "RULEKEEPER_WIRE names no cell");
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let runs = cells.iter().map(|cell| {
        let (cell, turns) = (*cell, Arc::clone(&turns));
        tokio::spawn(async move {
            let _turn = turns.acquire_owned().await.expect("open");
            cell.check().await
        })
    });
    let runs: Vec<_> = runs.collect();
    let mut failures = Vec::new();
    for (cell, run) in cells.iter().zip(runs) {
        let mut failure = run.await.expect("it ends");
        if failure.is_some() && cell.expected().is_some() {
            // A busy machine may have had no time for it.
            failure = cell.check().await;
        }
        failures.extend(failure);
    }
    let letters: Vec<String> = failures
        .iter()
        .map(|(letter, _)| letter.to_string())
        .collect();
    let texts: Vec<&String> = failures.iter().map(|(_, text)| text).collect();
    for text in &texts {
        eprintln!("{text}");
    }
    assert!(
        texts.is_empty(),
        "{} of {} cells: {}",
        texts.len(),
        cells.len(),
        letters.concat()
    );
}

#[test]
fn every_operation_that_the_adapters_name_has_a_row() {
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.action.to_owned()).collect();
    let named = operations();
    assert!(named.len() > 10, "{named:?}");
    assert_eq!(rows, named);
}

/// The operations that the adapters name, each beside its call.
fn operations() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aws");
    let mut named = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the adapters") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("text");
        for constant in ["const OPERATION: &str = \"", "const ASSUME_ROLE: &str = \""] {
            let lines = text.lines();
            let names = lines.filter_map(|line| line.trim().strip_prefix(constant));
            named.extend(names.map(|rest| rest.trim_end_matches("\";").to_owned()));
        }
    }
    named
}
