//! One replay of one story: its clock, its waits, and what has to hold in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_bench::client::Client;
use rulekeeper_bench::time::{micros, now};
use rulekeeper_bench::{Error, Result};

use crate::api::GroupClient;
use crate::audit;
use crate::rules::{Rule, Traffic, list};
use crate::stage::{Keeper, Principal, Stage};
use crate::tally::Tally;
use crate::watch::{Needed, Watch};

/// How much later than its event a rule may be back before the replay counts it as lost: settling takes three seconds,
/// `eventTime` has whole seconds, and a throttled authorize is repeated for up to the function's half minute.
const PATIENCE: Duration = Duration::from_secs(40);

/// How much longer the function may need if an invocation fails and Lambda repeats it.
const LAMBDA_RETRIES: Duration = Duration::from_secs(60);

/// Until everything has been read.
const LAST_LOOK: Duration = Duration::from_millis(300);

/// How often a story that waits looks up.
const STEP: Duration = Duration::from_millis(4);

/// Waiting that was not waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) time: Duration,
    pub(crate) why: &'static str,
}

/// What became of the traffic in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it gets through.
    Flows,
    /// Some is cut, and nothing in the story will change that.
    Cut,
    /// Some is cut because somebody who may decided so.
    Decided,
}

/// What has to hold in the end, besides what [`audit`] asks of every replay.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) live: Vec<Rule>,
    pub(crate) gone: Vec<Rule>,
}

/// What a replay showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) needed: Vec<Needed>,
    pub(crate) end: End,
    pub(crate) tally: Tally,
    pub(crate) events: usize,
    pub(crate) skips: Vec<Skip>,
}

/// A replay under way.
#[derive(Debug)]
pub(crate) struct Run {
    stage: Stage,
    group: String,
    actor: String,
    watch: Watch,
    skips: Vec<Skip>,
}

impl Run {
    /// Starts to measure. The client is of the principal that revokes; the other principals are those of the record.
    pub(crate) fn begin(
        stage: Stage,
        group: &str,
        client: Client,
        principals: &[Principal],
        needed: Vec<Traffic>,
    ) -> Result<(Self, GroupClient)> {
        stage.open(group, principals)?;
        let watch = Watch::start(&stage.stack, group, needed)?;
        let run = Self {
            stage,
            group: group.to_owned(),
            actor: client.arn().to_owned(),
            watch,
            skips: Vec::new(),
        };
        Ok((run, GroupClient::new(client, group)))
    }

    /// Who keeps the rules.
    pub(crate) fn keeper(&self) -> Keeper {
        self.stage.keeper
    }

    /// Where it takes place.
    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// More traffic that has to get through from now on.
    pub(crate) async fn need(&mut self, traffic: Traffic) -> Result<()> {
        self.pass(STEP * 5).await?;
        self.watch.need(traffic)
    }

    /// Waits.
    pub(crate) async fn pass(&mut self, time: Duration) -> Result<()> {
        self.wait(time, |_| false).await.map(drop)
    }

    /// Waits for a new second. CloudTrail tells times in whole seconds, and a followed principal's revoke is judged three
    /// seconds after the time that is told: right after a second has begun, that is longest.
    pub(crate) async fn new_second(&mut self) -> Result<()> {
        let rest = 1_000_000 - now() % 1_000_000;
        self.pass(Duration::from_micros(rest)).await
    }

    /// Waits until something is so, but only for so long; says whether it became so.
    pub(crate) async fn wait(
        &mut self,
        most: Duration,
        until: impl Fn(&Watch) -> bool,
    ) -> Result<bool> {
        let deadline = now() + micros(most);
        loop {
            if self.look(&until)? {
                return Ok(true);
            }
            if now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Takes in what happened, and says whether something is so.
    pub(crate) fn look(&mut self, so: &impl Fn(&Watch) -> bool) -> Result<bool> {
        self.watch.look()?;
        Ok(so(&self.watch))
    }

    /// The longest that restoring may take.
    pub(crate) fn patience(&self) -> Duration {
        match self.stage.keeper {
            Keeper::Nobody => Duration::ZERO,
            Keeper::Rulekeeper(delay) => delay + PATIENCE,
        }
    }

    /// Waits until all traffic gets through again.
    pub(crate) async fn restored(&mut self) -> Result<()> {
        if self.wait(self.patience(), |seen| !seen.is_cut()).await? {
            return Ok(());
        }
        Err(self.lost())
    }

    /// The failure of a replay whose traffic stayed cut.
    pub(crate) fn lost(&self) -> Error {
        let last = self.watch.reports().last().map(ToString::to_string);
        format!(
            "traffic is still cut {} s after it should have been back; the last report is {}",
            PATIENCE.as_secs(),
            last.unwrap_or_default()
        )
        .into()
    }

    /// Goes on as if so much time had passed: events that are on their way arrive.
    ///
    /// # Errors
    /// When one of them begins or ends a cut, which would be measured wrong.
    pub(crate) async fn skip(&mut self, time: Duration, why: &'static str) -> Result<()> {
        // What was done just before belongs before it.
        self.pass(STEP * 5).await?;
        if self.stage.keeper != Keeper::Nobody {
            let before = self.watch.open_cuts();
            self.stage.stack.bridge().hurry();
            self.rest().await?;
            if self.watch.open_cuts() != before {
                return Err("an event that was hurried along changed what is cut".into());
            }
        }
        self.watch.skip(time);
        self.skips.push(Skip { time, why });
        Ok(())
    }

    /// Waits until every event of others than the function so far is handled.
    pub(crate) async fn rest(&mut self) -> Result<()> {
        let most = self.patience() + LAMBDA_RETRIES;
        let events = self.watch.events_of_others();
        if !self.wait(most, |seen| seen.is_quiet_after(events)).await? {
            return Err("the function does not come to rest".into());
        }
        self.pass(LAST_LOOK).await
    }

    /// Waits until every event is handled, and checks what has to hold.
    pub(crate) async fn finish(mut self, end: End, expected: Expected) -> Result<Outcome> {
        self.pass(STEP * 5).await?;
        let cloud = self.stage.stack.cloud().clone();
        if self.stage.keeper != Keeper::Nobody {
            self.rest().await?;
            let generations = audit::generations(&self.stage.stack, &self.group).await?;
            let (live, reports) = (self.watch.live(), self.watch.reports());
            let mut findings = audit::findings(&cloud, &generations, live, reports);
            let given_up = self.stage.stack.lambda().dead_letters();
            findings.extend(given_up.iter().map(|it| format!("given up: {it:?}")));
            if !findings.is_empty() {
                return Err(findings.join("; ").into());
            }
        }
        self.check(end, &expected)?;
        let watch = &self.watch;
        Ok(Outcome {
            needed: watch.needed(),
            end,
            tally: Tally::of(&cloud, &self.group, &self.actor, watch.reports()),
            events: watch.events(),
            skips: self.skips,
        })
    }

    fn check(&self, end: End, expected: &Expected) -> Result<()> {
        let live = self.watch.live();
        let cut = self.watch.is_cut();
        if cut != (end != End::Flows) {
            let is = if cut { "cut" } else { "not cut" };
            return Err(format!("in the end traffic is {is}; live are {}", list(live)).into());
        }
        let wanted = expected.live.iter();
        let missing: BTreeSet<_> = wanted.filter(|rule| !live.contains(rule)).collect();
        if !missing.is_empty() {
            return Err(format!("in the end these rules are missing: {}", list(missing)).into());
        }
        let gone = expected.gone.iter();
        let left: BTreeSet<_> = gone.filter(|rule| live.contains(rule)).collect();
        if !left.is_empty() {
            return Err(format!("in the end these rules are still there: {}", list(left)).into());
        }
        Ok(())
    }
}
