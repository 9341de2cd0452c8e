//! One replay of one story: its clock, its waits, and what must hold at the end.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_bench::client::Client;
use rulekeeper_bench::time::{micros, now};
use rulekeeper_bench::{Error, Result};
use rulekeeper_local::Stack;

use crate::audit;
use crate::counts::Counts;
use crate::group_client::GroupClient;
use crate::measurements::{Measured, Measurements};
use crate::rules::{Rule, Traffic, list};
use crate::setup::{Mode, Principal, Setup};

/// How long after its event a rule may come back before the replay fails: the function waits three seconds for a change to
/// end, `eventTime` has whole seconds, and a throttled authorize is retried within the function's half minute.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(40);

/// How much longer the function may need if an invocation fails and Lambda retries it.
const LAMBDA_RETRIES: Duration = Duration::from_secs(60);

/// How long the probe and the function's reports take to arrive here.
const READ_DELAY: Duration = Duration::from_millis(300);

/// How long the probe alone takes.
const PROBE_DELAY: Duration = Duration::from_millis(20);

/// How often a condition is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(4);

/// A wait that was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) time: Duration,
    /// What the outage waited for.
    pub(crate) text: &'static str,
}

/// The traffic at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it passes.
    Flows,
    /// Some is cut, and nothing in the story will change that.
    Cut,
    /// Some is cut, as a principal with policy `accept` decided.
    Decided,
}

/// Which rules must be live at the end and which must not, besides what [`audit`] checks after every replay.
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

/// A running replay.
#[derive(Debug)]
pub(crate) struct Replay {
    setup: Setup,
    group: String,
    /// The ARN of the principal that revokes.
    principal: String,
    measured: Measurements,
    skips: Vec<Skip>,
    /// Whether the record must hold the live rules and no others at the end.
    record_is_live: bool,
}

impl Replay {
    /// Starts to measure. The client is of the principal that revokes; `principals` are those of the record.
    pub(crate) fn begin(
        setup: Setup,
        group: &str,
        client: Client,
        principals: &[Principal],
        traffic: Vec<Traffic>,
    ) -> Result<(Self, GroupClient)> {
        let run = setup.begin(group, principals)?;
        let measured = Measurements::start(&setup.stack, group, traffic, run)?;
        let replay = Self {
            setup,
            group: group.to_owned(),
            principal: client.arn().to_owned(),
            measured,
            skips: Vec::new(),
            record_is_live: false,
        };
        Ok((replay, GroupClient::new(client, group)))
    }

    /// Whether rulekeeper runs.
    pub(crate) fn has_rulekeeper(&self) -> bool {
        self.setup.mode != Mode::Without
    }

    /// Checks at the end that the record holds the live rules and no others.
    pub(crate) fn expect_live_record(&mut self) {
        self.record_is_live = true;
    }

    /// The group.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// The stack.
    pub(crate) fn stack(&self) -> &Stack {
        &self.setup.stack
    }

    /// Measures more traffic from now on.
    pub(crate) async fn add_traffic(&mut self, traffic: Traffic) -> Result<()> {
        self.wait(PROBE_DELAY).await?;
        self.measured.add(traffic)
    }

    /// Waits.
    pub(crate) async fn wait(&mut self, time: Duration) -> Result<()> {
        self.wait_until(time, |_| false).await.map(drop)
    }

    /// Waits for a new second. CloudTrail's times have whole seconds, and the function waits until three seconds after that
    /// time before it judges a change of a principal with policy `follow`. That wait is longest at the start of a second.
    pub(crate) async fn wait_for_new_second(&mut self) -> Result<()> {
        let rest = 1_000_000 - now() % 1_000_000;
        self.wait(Duration::from_micros(rest)).await
    }

    /// Waits until a condition holds, and returns true; false if it does not hold in time.
    pub(crate) async fn wait_until(
        &mut self,
        timeout: Duration,
        condition: impl Fn(&Measurements) -> bool,
    ) -> Result<bool> {
        let deadline = now() + micros(timeout);
        loop {
            if self.holds(&condition)? {
                return Ok(true);
            }
            if now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Whether a condition holds now.
    pub(crate) fn holds(&mut self, condition: &impl Fn(&Measurements) -> bool) -> Result<bool> {
        self.measured.update()?;
        Ok(condition(&self.measured))
    }

    /// The longest that restoring may take.
    pub(crate) fn restore_timeout(&self) -> Duration {
        let delay = self.setup.mode.delay();
        delay.map_or(Duration::ZERO, |delay| delay + RESTORE_TIMEOUT)
    }

    /// Waits until no traffic is cut.
    pub(crate) async fn wait_restored(&mut self) -> Result<()> {
        let timeout = self.restore_timeout();
        if self.wait_until(timeout, |seen| !seen.is_cut()).await? {
            return Ok(());
        }
        Err(self.not_restored())
    }

    /// The error of a replay whose traffic stayed cut.
    pub(crate) fn not_restored(&self) -> Error {
        let last = self.measured.reports().last().map(ToString::to_string);
        format!(
            "traffic is still cut {} s after the event arrived; the last report is {}",
            RESTORE_TIMEOUT.as_secs(),
            last.unwrap_or_default()
        )
        .into()
    }

    /// Continues as if this time had passed: events that are on their way arrive.
    ///
    /// # Errors
    /// When one of them starts or ends a cut, which would be measured wrong.
    pub(crate) async fn skip(&mut self, time: Duration, text: &'static str) -> Result<()> {
        // The last change is from before the skipped time.
        self.wait(PROBE_DELAY).await?;
        if self.has_rulekeeper() {
            let before = self.measured.open_cuts();
            self.setup.stack.bridge().hurry();
            self.wait_idle().await?;
            if self.measured.open_cuts() != before {
                return Err("an event that arrived early changed what is cut".into());
            }
        }
        self.measured.skip(time);
        self.skips.push(Skip { time, text });
        Ok(())
    }

    /// Waits until the function has handled the events of all calls so far but its own.
    pub(crate) async fn wait_idle(&mut self) -> Result<()> {
        let timeout = self.restore_timeout() + LAMBDA_RETRIES;
        let events = self.measured.events_to_come();
        let idle = |seen: &Measurements| seen.is_idle_after(events);
        if !self.wait_until(timeout, idle).await? {
            return Err("the function is still busy".into());
        }
        self.wait(READ_DELAY).await
    }

    /// Waits until every event is handled, and checks what must hold.
    pub(crate) async fn finish(mut self, end: End, expected: Expected) -> Result<Outcome> {
        self.wait(PROBE_DELAY).await?;
        if self.has_rulekeeper() {
            self.wait_idle().await?;
            let findings = self.audit(end).await?;
            if !findings.is_empty() {
                return Err(findings.join("; ").into());
            }
        }
        self.check(end, &expected)?;
        let measured = &self.measured;
        let cloud = self.setup.stack.cloud();
        Ok(Outcome {
            traffic: measured.traffic(),
            end,
            counts: Counts::of(cloud, &self.group, &self.principal, measured.reports()),
            events: measured.events(),
            skips: self.skips,
        })
    }

    async fn audit(&self, end: End) -> Result<Vec<String>> {
        let stack = &self.setup.stack;
        let generations = audit::generations(stack, &self.group).await?;
        let (live, reports) = (self.measured.live(), self.measured.reports());
        let mut findings = audit::findings(stack.cloud(), &self.group, &generations, live, reports);
        if end == End::Decided {
            findings.extend(audit::opened_again(stack.cloud()));
        }
        if self.record_is_live {
            findings.extend(audit::unlike_the_record(&generations, live));
        }
        let dead_letters = stack.lambda().dead_letters();
        findings.extend(dead_letters.iter().map(|it| format!("dead letter: {it:?}")));
        Ok(findings)
    }

    fn check(&self, end: End, expected: &Expected) -> Result<()> {
        let live = self.measured.live();
        let cut = self.measured.is_cut();
        if cut != (end != End::Flows) {
            let is = if cut { "cut" } else { "not cut" };
            return Err(format!("at the end traffic is {is}; live are {}", list(live)).into());
        }
        let wanted = expected.live.iter();
        let missing: BTreeSet<_> = wanted.filter(|rule| !live.contains(rule)).collect();
        if !missing.is_empty() {
            return Err(format!("at the end these rules are missing: {}", list(missing)).into());
        }
        let gone = expected.gone.iter();
        let left: BTreeSet<_> = gone.filter(|rule| live.contains(rule)).collect();
        if !left.is_empty() {
            return Err(format!("at the end these rules are still live: {}", list(left)).into());
        }
        Ok(())
    }
}
