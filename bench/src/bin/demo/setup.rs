//! What the stories share: the stack, its groups, and the programs that act on them.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_bench::client::Client;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::{Result, stack};
use rulekeeper_local::{Ec2, Stack};

use crate::observer::Observer;
use crate::options::Options;

/// How long after its event a rule may come back before the demo fails. The function needs a tenth of a second; its first
/// start, in a debug build on a busy machine, takes longer.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(10);

/// The stack, and what is in it.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) screen: Screen,
    pub(crate) stack: Stack,
    /// The principal that revokes.
    pub(crate) controller: Client,
    /// From a call until the function gets its event.
    pub(crate) delay: Duration,
    /// The cluster's VPC.
    pub(crate) vpc: String,
    /// The group that all load balancers share.
    pub(crate) load_balancers: String,
    /// The control plane's group.
    pub(crate) control_plane: String,
}

impl Setup {
    pub(crate) async fn start(screen: Screen, options: &Options) -> Result<Self> {
        let function = options.function.program()?;
        let stack = stack::start_without_events(Some(function))?;
        let delay_ms = u64::try_from(options.delay.as_millis())?;
        stack
            .bridge()
            .adjust(|delivery| delivery.delay_ms = delay_ms);
        let ec2 = stack.cloud().ec2().quietly();
        let vpc = ec2.create_vpc("10.0.0.0/16")?;
        let load_balancers = ec2.create_group("k8s-traffic-demo", &vpc)?;
        let control_plane = ec2.create_group("eks-control-plane", &vpc)?;
        let controller = Client::service_account(&stack, "LoadBalancerController");
        // This connects, so that the controller's first call is as fast as the others.
        controller.ingress_rules(&load_balancers).await?;
        Ok(Self {
            screen,
            stack,
            controller,
            delay: options.delay,
            vpc,
            load_balancers,
            control_plane,
        })
    }

    /// EC2 without events, for what is not part of a story.
    pub(crate) fn ec2(&self) -> Ec2 {
        self.stack.cloud().ec2().quietly()
    }

    /// Starts or stops the delivery of events; without events the account is as one without rulekeeper. Authorizes, which
    /// the rule in template.yaml matches too, are left out: in these stories they change nothing.
    pub(crate) fn deliver_events(&self, deliver: bool) {
        let names = if deliver {
            ["RevokeSecurityGroupIngress", "ModifySecurityGroupRules"]
                .map(str::to_owned)
                .into()
        } else {
            BTreeSet::new()
        };
        self.stack
            .bridge()
            .adjust(|delivery| delivery.event_names = names);
    }

    /// Runs the CLI and shows what it prints.
    pub(crate) fn rulekeeper(&self, arguments: &[&str], code: i32) -> Result<()> {
        let table = [arguments, &["--output", "table"]].concat();
        let printed = stack::run_cli(&self.stack, &table, "", code)?;
        let command = format!("rulekeeper {}", arguments.join(" "));
        Ok(self.screen.command(&command, &printed)?)
    }

    /// Lists groups with what they are.
    pub(crate) fn list_groups(&self, groups: &[(&str, &str)]) -> Result<()> {
        self.screen.gap()?;
        for (group, what) in groups {
            self.screen.line(&format!("    {group}  {what}"))?;
        }
        Ok(())
    }

    /// Starts to print what happens to a group.
    pub(crate) fn observe(&self, group: &str) -> Result<Observer<'_>> {
        self.screen.gap()?;
        Ok(Observer::start(&self.screen, &self.stack, group))
    }

    /// Waits until this many rules were revoked and all but `lost` are back, and until every event is handled.
    pub(crate) async fn wait_restored(
        &self,
        observer: &mut Observer<'_>,
        revoked: usize,
        lost: &[&str],
    ) -> Result<()> {
        let timeout = self.delay + RESTORE_TIMEOUT;
        let restored = |seen: &Observer<'_>| {
            seen.revoked() == revoked && seen.missing().iter().eq(lost.iter())
        };
        if !observer.watch(timeout, restored).await? {
            let missing: Vec<String> = observer.missing().into_iter().collect();
            return Err(format!(
                "{} s after the revoke {} of {revoked} rules are missing: {}",
                timeout.as_secs(),
                missing.len(),
                missing.join(", ")
            )
            .into());
        }
        if !observer.watch(timeout, Observer::is_idle).await? {
            return Err("events keep coming although the rules are back".into());
        }
        Ok(())
    }
}
