//! One replay of one story: its clock, its waits, and what has to hold in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_bench::client::Client;
use rulekeeper_bench::time::{micros, now};
use rulekeeper_bench::{Error, Result};

use crate::audit;
use crate::counts::Counts;
use crate::group_client::GroupClient;
use crate::rules::{Rule, Traffic, list};
use crate::setup::{Mode, Principal, Setup};
use crate::watch::{Measured, Watch};

/// How much later than its event a rule may be back before the replay counts it as lost: settling takes three seconds,
/// `eventTime` has whole seconds, and a throttled authorize is repeated for up to the function's half minute.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(40);

/// How much longer the function may need if an invocation fails and Lambda repeats it.
const LAMBDA_RETRIES: Duration = Duration::from_secs(60);

/// Until everything has been read.
const READ_DELAY: Duration = Duration::from_millis(300);

/// How often a story that waits looks up.
const POLL_INTERVAL: Duration = Duration::from_millis(4);

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
    pub(crate) traffic: Vec<Measured>,
    pub(crate) end: End,
    pub(crate) counts: Counts,
    pub(crate) events: usize,
    pub(crate) skips: Vec<Skip>,
}

/// A replay under way.
#[derive(Debug)]
pub(crate) struct Replay {
    setup: Setup,
    group: String,
    actor: String,
    watch: Watch,
    skips: Vec<Skip>,
}

impl Replay {
    /// Starts to measure. The client is of the principal that revokes; the other principals are those of the record.
    pub(crate) fn begin(
        setup: Setup,
        group: &str,
        client: Client,
        principals: &[Principal],
        needed: Vec<Traffic>,
    ) -> Result<(Self, GroupClient)> {
        setup.open(group, principals)?;
        let watch = Watch::start(&setup.stack, group, needed)?;
        let replay = Self {
            setup,
            group: group.to_owned(),
            actor: client.arn().to_owned(),
            watch,
            skips: Vec::new(),
        };
        Ok((replay, GroupClient::new(client, group)))
    }

    /// Who keeps the rules.
    pub(crate) fn mode(&self) -> Mode {
        self.setup.mode
    }

    /// Where it takes place.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// More traffic that has to get through from now on.
    pub(crate) async fn add_traffic(&mut self, traffic: Traffic) -> Result<()> {
        self.wait(POLL_INTERVAL * 5).await?;
        self.watch.add(traffic)
    }

    /// Waits.
    pub(crate) async fn wait(&mut self, time: Duration) -> Result<()> {
        self.wait_until(time, |_| false).await.map(drop)
    }

    /// Waits for a new second. CloudTrail tells times in whole seconds, and a followed principal's revoke is judged three
    /// seconds after the time that is told: right after a second has begun, that is longest.
    pub(crate) async fn wait_for_new_second(&mut self) -> Result<()> {
        let rest = 1_000_000 - now() % 1_000_000;
        self.wait(Duration::from_micros(rest)).await
    }

    /// Waits until something is so, but only for so long; says whether it became so.
    pub(crate) async fn wait_until(
        &mut self,
        most: Duration,
        until: impl Fn(&Watch) -> bool,
    ) -> Result<bool> {
        let deadline = now() + micros(most);
        loop {
            if self.holds(&until)? {
                return Ok(true);
            }
            if now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Takes in what happened, and says whether something is so.
    pub(crate) fn holds(&mut self, so: &impl Fn(&Watch) -> bool) -> Result<bool> {
        self.watch.update()?;
        Ok(so(&self.watch))
    }

    /// The longest that restoring may take.
    pub(crate) fn restore_timeout(&self) -> Duration {
        match self.setup.mode {
            Mode::Without => Duration::ZERO,
            Mode::With(delay) => delay + RESTORE_TIMEOUT,
        }
    }

    /// Waits until all traffic gets through again.
    pub(crate) async fn wait_restored(&mut self) -> Result<()> {
        if self
            .wait_until(self.restore_timeout(), |seen| !seen.is_cut())
            .await?
        {
            return Ok(());
        }
        Err(self.not_restored())
    }

    /// The failure of a replay whose traffic stayed cut.
    pub(crate) fn not_restored(&self) -> Error {
        let last = self.watch.reports().last().map(ToString::to_string);
        format!(
            "traffic is still cut {} s after it should have been back; the last report is {}",
            RESTORE_TIMEOUT.as_secs(),
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
        self.wait(POLL_INTERVAL * 5).await?;
        if self.setup.mode != Mode::Without {
            let before = self.watch.open_cuts();
            self.setup.stack.bridge().hurry();
            self.wait_idle().await?;
            if self.watch.open_cuts() != before {
                return Err("an event that was hurried along changed what is cut".into());
            }
        }
        self.watch.skip(time);
        self.skips.push(Skip { time, why });
        Ok(())
    }

    /// Waits until every event of others than the function so far is handled.
    pub(crate) async fn wait_idle(&mut self) -> Result<()> {
        let most = self.restore_timeout() + LAMBDA_RETRIES;
        let events = self.watch.events_to_come();
        if !self
            .wait_until(most, |seen| seen.is_idle_after(events))
            .await?
        {
            return Err("the function does not come to rest".into());
        }
        self.wait(READ_DELAY).await
    }

    /// Waits until every event is handled, and checks what has to hold.
    pub(crate) async fn finish(mut self, end: End, expected: Expected) -> Result<Outcome> {
        self.wait(POLL_INTERVAL * 5).await?;
        let cloud = self.setup.stack.cloud().clone();
        if self.setup.mode != Mode::Without {
            self.wait_idle().await?;
            let generations = audit::generations(&self.setup.stack, &self.group).await?;
            let (live, reports) = (self.watch.live(), self.watch.reports());
            let mut findings = audit::findings(&cloud, &generations, live, reports);
            let given_up = self.setup.stack.lambda().dead_letters();
            findings.extend(given_up.iter().map(|it| format!("given up: {it:?}")));
            if !findings.is_empty() {
                return Err(findings.join("; ").into());
            }
        }
        self.check(end, &expected)?;
        let watch = &self.watch;
        Ok(Outcome {
            traffic: watch.traffic(),
            end,
            counts: Counts::of(&cloud, &self.group, &self.actor, watch.reports()),
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
