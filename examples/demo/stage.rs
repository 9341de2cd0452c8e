//! The stage: the stack, the groups in it, and the binaries that play.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rulekeeper_local::{Delivery, Ec2, LambdaConfig, Stack, StackConfig};

use crate::Failure;
use crate::controller::Controller;
use crate::options::Options;
use crate::screen::Screen;

const TABLE: &str = "rulekeeper-demo";

/// Who and what plays.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The cloud.
    pub(crate) stack: Stack,
    /// The one who revokes.
    pub(crate) controller: Controller,
    /// The cluster's VPC.
    pub(crate) vpc: String,
    /// The group that all load balancers share.
    pub(crate) load_balancers: String,
    /// The control plane's group.
    pub(crate) control_plane: String,
    cli: PathBuf,
}

impl Stage {
    pub(crate) async fn set_up(options: &Options) -> Result<Self, Failure> {
        let function = match &options.function {
            Some(file) => std::path::absolute(file)?,
            None => beside_us("rulekeeper-function")?,
        };
        if !function.is_file() {
            return Err(format!("there is no file {}", function.display()).into());
        }
        let cli = beside_us("rulekeeper")?;
        let mut lambda = LambdaConfig::program(function);
        lambda
            .env
            .insert("RULEKEEPER_TABLE".to_owned(), TABLE.to_owned());
        let stack = Stack::start(StackConfig {
            region: "eu-west-1".to_owned(),
            table: Some(TABLE.to_owned()),
            lambda,
            delivery: Delivery {
                event_names: BTreeSet::new(),
                delay_ms: u64::try_from(options.delay.as_millis())?,
                ..Delivery::default()
            },
            ..StackConfig::default()
        })?;
        let ec2 = stack.cloud().ec2().quietly();
        let vpc = ec2.create_vpc("10.0.0.0/16")?;
        let load_balancers = ec2.create_group("k8s-traffic-demo", &vpc)?;
        let control_plane = ec2.create_group("eks-control-plane", &vpc)?;
        let controller = Controller::new(&stack);
        // Connects, so that its first call is not slower than the others.
        controller.rules(&load_balancers).await?;
        Ok(Self {
            stack,
            controller,
            vpc,
            load_balancers,
            control_plane,
            cli,
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
        let mut command = Command::new(&self.cli);
        command.args(arguments).args(["--output", "table"]);
        // Only what it needs: credentials and profiles of whoever watches stay out of it.
        command
            .env_clear()
            .envs(self.stack.client_env())
            .env("RULEKEEPER_TABLE", TABLE);
        let output = command.output()?;
        let typed = format!("rulekeeper {}", arguments.join(" "));
        screen.command(&typed, &String::from_utf8_lossy(&output.stdout))?;
        if output.status.code() != Some(code) {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{typed}` ended with {}: {}", output.status, said.trim()).into());
        }
        Ok(())
    }
}

/// A binary of the same build: examples lie in a folder of their own below the binaries.
fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let ours = std::env::current_exe()?;
    let folder = ours.parent().and_then(Path::parent);
    let file = folder
        .map(|folder| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .unwrap_or_default();
    if file.is_file() {
        return Ok(file);
    }
    Err(format!(
        "{} is not built; `make demo` builds it and starts the demo",
        file.display()
    )
    .into())
}
