//! The stage: the stack, the groups in it, and the binaries that play.

use std::collections::BTreeSet;

use rulekeeper_local::{Ec2, Stack};

use crate::options::Options;
use rulekeeper_bench::client::Client;
use rulekeeper_bench::screen::Screen;
use rulekeeper_bench::{Failure, stack};

/// Who and what plays.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The cloud.
    pub(crate) stack: Stack,
    /// The one who revokes.
    pub(crate) controller: Client,
    /// The cluster's VPC.
    pub(crate) vpc: String,
    /// The group that all load balancers share.
    pub(crate) load_balancers: String,
    /// The control plane's group.
    pub(crate) control_plane: String,
}

impl Stage {
    pub(crate) async fn set_up(options: &Options) -> Result<Self, Failure> {
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
        // Connects, so that its first call is not slower than the others.
        controller.ingress_rules(&load_balancers).await?;
        Ok(Self {
            stack,
            controller,
            vpc,
            load_balancers,
            control_plane,
        })
    }

    /// EC2 in process, for what is not part of the story; without events.
    pub(crate) fn ec2(&self) -> Ec2 {
        self.stack.cloud().ec2().quietly()
    }

    /// Lets the events go to the function that the event rule of template.yaml lets through, or none, as in an account
    /// without rulekeeper.
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

    /// Runs the CLI, shows what it prints, and fails unless it exits with this code.
    pub(crate) fn rulekeeper(
        &self,
        screen: &Screen,
        arguments: &[&str],
        code: i32,
    ) -> Result<(), Failure> {
        let printed = stack::run_cli(
            &self.stack,
            &[arguments, &["--output", "table"]].concat(),
            "",
            code,
        )?;
        screen.command(&format!("rulekeeper {}", arguments.join(" ")), &printed)?;
        Ok(())
    }
}
