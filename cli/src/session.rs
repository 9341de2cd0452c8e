//! Configuration, clients, and who is asking. Each is loaded when it is first needed, so a verb that needs none makes no
//! call.

use std::cell::OnceCell;
use std::time::Duration;

use aws_config::{Region as SdkRegion, SdkConfig};
use aws_sdk_sts::config::ProvideCredentials as _;
use jiff::Timestamp;
use rulekeeper::aws::{Clients, DynamoTable, Ec2, api_error, filter, https, load_sdk_config_over};
use rulekeeper_cli::operator::{Author, OperatorError};
use rulekeeper_core::decide::guardrail::Guardrails;
use rulekeeper_core::desired::Mode;
use rulekeeper_core::function::{Handler, Home};
use rulekeeper_core::model::{AccountId, GroupAddress, GroupId, Region, Scope};
use rulekeeper_core::ports::{Budget, Calls, Clouds as _, Pace, Table as _};
use rulekeeper_core::reconcile::Settings;
use serde_json::Value;

use crate::advice::{self, Around};
use crate::args::{Global, Group};
use crate::failure::{Failure, Status};
use crate::profiles::{Chosen, Profiles, with_causes};
use crate::wire::{TroubleKind, Wire};
use crate::{endpoint, say};

/// The time for one group, or for one piece of work with the table. EC2 takes well under a second; the rest is for
/// throttling.
pub(crate) const GROUP_TIME: Duration = Duration::from_secs(60);

/// The time for a sweep: what Lambda would allow the function at most.
pub(crate) const SWEEP_TIME: Duration = Duration::from_secs(15 * 60);

/// A Region for clients that make no call.
const NO_REGION: &str = "us-east-1";

/// Who is asking, as STS says.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The account of the credentials.
    pub(crate) account: AccountId,
    /// Who they belong to.
    pub(crate) arn: String,
}

/// What the command line names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    /// The table.
    pub(crate) table: Option<&'a str>,
    /// The table's Region, if it is another one.
    pub(crate) table_region: Option<&'a str>,
    /// The profile.
    pub(crate) profile: Option<&'a str>,
    /// The role in other accounts.
    pub(crate) role_name: Option<&'a str>,
}

/// One run of the program.
pub(crate) struct Session {
    options: Global,
    wire: Wire,
    profiles: OnceCell<Profiles>,
    config: OnceCell<SdkConfig>,
    caller: OnceCell<Caller>,
}

impl Session {
    pub(crate) fn new(options: Global) -> Self {
        Self {
            options,
            wire: Wire::default(),
            profiles: OnceCell::new(),
            config: OnceCell::new(),
            caller: OnceCell::new(),
        }
    }

    /// The SDK's configuration, with a Region in it.
    pub(crate) async fn config(&self) -> Result<&SdkConfig, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let profiles = self.profiles().await;
        let chosen = self.profile();
        endpoint::check(
            self.options.endpoint_url.as_deref(),
            profiles.setting(&chosen.name, "endpoint_url"),
        )?;
        // Keys in the environment come before a profile of the environment, but not before one that is given.
        if self.options.profile.is_some() {
            profiles.must_have(&chosen)?;
        }
        let config = self.load(self.options.region.clone()).await;
        if config.region().is_none() {
            profiles.must_have(&chosen)?;
            return Err(Failure::usage("no AWS Region is set")
                .hint("Give --region, set AWS_REGION, or name a profile that has a Region with --profile or AWS_PROFILE."));
        }
        Ok(self.config.get_or_init(|| config))
    }

    async fn load(&self, region: Option<String>) -> SdkConfig {
        let mut loader = aws_config::from_env();
        if let Some(region) = region {
            loader = loader.region(SdkRegion::new(region));
        }
        if let Some(url) = &self.options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let client = self.wire.around(https());
        load_sdk_config_over(client, loader, self.options.profile.as_deref()).await
    }

    /// What goes over the wire.
    pub(crate) fn wire(&self) -> Wire {
        self.wire.clone()
    }

    async fn profiles(&self) -> &Profiles {
        match self.profiles.get() {
            Some(profiles) => profiles,
            None => {
                let profiles = Profiles::load().await;
                self.profiles.get_or_init(|| profiles)
            }
        }
    }

    fn profile(&self) -> Chosen {
        Chosen::of(self.options.profile.as_deref())
    }

    /// The Region in which we work.
    pub(crate) async fn region(&self) -> Result<Region, Failure> {
        let region = self
            .config()
            .await?
            .region()
            .map(ToString::to_string)
            .unwrap_or_default();
        region.parse().map_err(Failure::usage)
    }

    /// Who is asking.
    pub(crate) async fn caller(&self) -> Result<&Caller, Failure> {
        if let Some(caller) = self.caller.get() {
            return Ok(caller);
        }
        let sts = aws_sdk_sts::Client::new(self.config().await?);
        let identity = match sts.get_caller_identity().send().await {
            Ok(identity) => identity,
            Err(error) => {
                let error = api_error("GetCallerIdentity", &error);
                let said = format!("STS did not say who these credentials belong to: {error}");
                let failure = Failure::of_api(&error, said);
                return Err(failure.hint("Check the credentials, --region and --endpoint-url."));
            }
        };
        let (Some(account), Some(arn)) = (identity.account, identity.arn) else {
            let failure = "STS did not say who these credentials belong to";
            return Err(Failure::failed(failure).hint("Check --endpoint-url, and try again."));
        };
        let account = account.parse().map_err(Failure::failed)?;
        Ok(self.caller.get_or_init(|| Caller { account, arn }))
    }

    /// The account and Region that the command line names, and nothing else.
    ///
    /// # Errors
    /// When the Region is none.
    pub(crate) fn stated(&self) -> Result<(Option<AccountId>, Option<Region>), Failure> {
        let region = self.options.region.as_deref().map(str::parse).transpose();
        Ok((
            self.options.account.clone(),
            region.map_err(Failure::usage)?,
        ))
    }

    /// The account and Region whose groups are meant.
    pub(crate) async fn scope(&self) -> Result<Scope, Failure> {
        let account = match &self.options.account {
            Some(account) => account.clone(),
            None => self.caller().await?.account.clone(),
        };
        Ok(Scope {
            account,
            region: self.region().await?,
        })
    }

    /// A group of that account and Region, which has a record if it is named by its name.
    pub(crate) async fn address(&self, group: &Group) -> Result<GroupAddress, Failure> {
        let scope = self.scope().await?;
        let id = match group {
            Group::Id(id) => id.clone(),
            Group::Name(name) => self.recorded_group(&scope, name).await?,
        };
        Ok(GroupAddress { scope, id })
    }

    /// The ids of such groups, each once.
    pub(crate) async fn ids(&self, groups: &[Group]) -> Result<Vec<GroupId>, Failure> {
        each_once(groups, async |name| {
            self.recorded_group(&self.scope().await?, name).await
        })
        .await
    }

    /// The ids of groups that need no record, each once.
    pub(crate) async fn live_ids(&self, groups: &[Group]) -> Result<Vec<GroupId>, Failure> {
        each_once(groups, async |name| {
            let scope = self.scope().await?;
            let (ec2, _) = self.in_scope(&scope).await?;
            let named = vec![filter("group-name", [name])];
            let found = ec2.describe_groups(named).await;
            let found = found.map_err(OperatorError::from)?.into_iter();
            let found = found.filter(|group| group.name == name);
            let none = format!("{scope} has no security group");
            the_one(name, &none, found.map(|group| group.id).collect())
        })
        .await
    }

    async fn recorded_group(&self, scope: &Scope, name: &str) -> Result<GroupId, Failure> {
        let records = self.table().await?.all_desired(scope).await;
        let records = records.map_err(OperatorError::from)?.into_iter();
        let is_named = |item: &Value| item.get("name").and_then(Value::as_str) == Some(name);
        let found = records.filter(|(_, item)| is_named(item));
        let found = found.filter_map(|(id, _)| id.parse().ok()).collect();
        the_one(name, &format!("{scope} has no record of a group"), found)
    }

    /// Who writes records now, to the second: that is how records and CloudTrail tell time.
    pub(crate) async fn author(&self) -> Result<Author, Failure> {
        let now = Timestamp::now();
        Ok(Author {
            arn: self.caller().await?.arn.clone(),
            now: Timestamp::from_second(now.as_second()).unwrap_or(now),
        })
    }

    /// Our own account and Region.
    pub(crate) async fn home(&self) -> Result<Home, Failure> {
        let account = self.caller().await?.account.clone();
        Ok(Home {
            account: Some(account),
            region: Some(self.region().await?),
            ..Home::default()
        })
    }

    /// The account of `--account`, if it was given.
    pub(crate) fn account_asked_for(&self) -> Option<AccountId> {
        self.options.account.clone()
    }

    /// What the command line names, for commands that people copy.
    pub(crate) fn named(&self) -> Named<'_> {
        Named {
            table: self.options.table.as_deref(),
            table_region: self.options.table_region.as_deref(),
            profile: self.options.profile.as_deref(),
            role_name: self.options.role_name.as_deref(),
        }
    }

    /// The table's name.
    ///
    /// # Errors
    /// When none was given.
    pub(crate) fn table_name(&self) -> Result<&str, Failure> {
        let named = self.options.table.as_deref();
        named.filter(|name| !name.trim().is_empty()).ok_or_else(|| {
            Failure::usage("no table is named")
                .hint("Give --table, or set RULEKEEPER_TABLE to its name.")
        })
    }

    /// Clients for EC2 and the table.
    pub(crate) async fn clients(&self) -> Result<Clients, Failure> {
        let clients = self.table_clients().await?;
        if self.has_role() {
            clients.are_in_partition_of(&self.caller().await?.arn);
        }
        Ok(clients)
    }

    /// Clients of which only the table's is used.
    async fn table_clients(&self) -> Result<Clients, Failure> {
        let table = self.table_name()?.to_owned();
        let clients = Clients::new(self.config().await?.clone(), table, self.role_name());
        Ok(clients.with_table_region(self.options.table_region.clone()))
    }

    /// Clients for answers that need no call, whatever is or isn't configured.
    pub(crate) async fn idle_clients(&self) -> Clients {
        Clients::new(
            self.load(Some(NO_REGION.to_owned())).await,
            String::new(),
            None,
        )
    }

    /// The table alone.
    pub(crate) async fn table(&self) -> Result<DynamoTable, Failure> {
        self.table_for(GROUP_TIME).await
    }

    /// The table alone, for a piece of work that may take so long.
    pub(crate) async fn table_for(&self, time: Duration) -> Result<DynamoTable, Failure> {
        let clients = self.table_clients().await?;
        Ok(clients.table(&Calls::default(), Budget::of(time)))
    }

    /// EC2 and the table, where our groups are.
    pub(crate) async fn in_scope(&self, scope: &Scope) -> Result<(Ec2, DynamoTable), Failure> {
        self.in_scope_for(scope, GROUP_TIME).await
    }

    /// The same, for a piece of work that may take so long.
    pub(crate) async fn in_scope_for(
        &self,
        scope: &Scope,
        time: Duration,
    ) -> Result<(Ec2, DynamoTable), Failure> {
        let clients = self.clients().await?;
        let foreign = self.reach(&scope.account).await?;
        Ok(clients
            .in_scope(
                scope,
                foreign,
                Pace::Free,
                &Calls::default(),
                Budget::of(time),
            )
            .await)
    }

    /// Whether an account is not that of the credentials. EC2 shows a group to its own account only: asked with the
    /// wrong credentials it looks like a group that is gone.
    ///
    /// # Errors
    /// When it is not, and there is no role to assume there.
    pub(crate) async fn reach(&self, account: &AccountId) -> Result<bool, Failure> {
        let ours = &self.caller().await?.account;
        if ours == account {
            return Ok(false);
        }
        if self.role_name().is_some() {
            return Ok(true);
        }
        let message = format!("{account} is not the account of these credentials, which is {ours}");
        Err(Failure::failed(message).hint(
            "Give --role-name (RULEKEEPER_ROLE_NAME) to assume a role there, or other credentials.",
        ))
    }

    fn role_name(&self) -> Option<String> {
        self.options
            .role_name
            .clone()
            .filter(|name| !name.trim().is_empty())
    }

    /// The settings of a reconcile that acts, or of one that changes nothing.
    fn settings(&self, acts: bool) -> Settings {
        let mode = if acts { Mode::Enforce } else { Mode::Observe };
        Settings {
            mode,
            rules_per_group: self.options.rules_per_group,
            writes: acts,
        }
    }

    /// Rules that are never authorized.
    pub(crate) fn never(&self) -> &Guardrails {
        &self.options.never
    }

    /// The account's quota of ingress rules per group.
    pub(crate) fn rules_per_group(&self) -> u32 {
        self.options.rules_per_group
    }

    /// The function's code, which acts or changes nothing.
    pub(crate) fn handler(&self, clients: Clients, acts: bool) -> Handler<Clients> {
        let handler = Handler::new(clients, self.settings(acts), Timestamp::now);
        handler.with_guardrails(self.never().clone())
    }

    /// Whether a role is assumed in other accounts.
    pub(crate) fn has_role(&self) -> bool {
        self.role_name().is_some()
    }

    /// Whether there are credentials to sign with.
    ///
    /// # Errors
    /// When there are none; it says why, and what to do.
    pub(crate) async fn credentials(&self) -> Result<(), Failure> {
        let provider = self.config.get().and_then(SdkConfig::credentials_provider);
        let Some(provider) = provider else {
            return Ok(());
        };
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.no_credentials(&with_causes(&error)).await),
        }
    }

    async fn no_credentials(&self, said: &str) -> Failure {
        let (profiles, chosen) = (self.profiles().await, self.profile());
        if let Err(missing) = profiles.must_have(&chosen) {
            return missing;
        }
        let name = &chosen.name;
        let login = profiles.login(name);
        // A profile may need calls: to the login, or to STS for a role. Without one only this machine is asked.
        if (login.is_some() || chosen.by.is_some())
            && let Some(of_call) = self.advice(|_| true)
        {
            return of_call;
        }
        if let Some(login) = login {
            return Failure::failed(format_args!(
                "there is no valid login of the profile {login:?} to IAM Identity Center (SSO): none was made, or it has \
                 expired"
            ))
            .hint(format!("Log in: `aws sso login --profile {login}`."));
        }
        let mut names = profiles.names();
        names.retain(|name| *name != "default");
        let there = match names[..] {
            [] => String::new(),
            _ => format!(" (there are: {})", names.join(", ")),
        };
        let half = [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")];
        let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let half = half
            .iter()
            .find(|(id, secret)| is_set(id) != is_set(secret));
        let why = match (chosen.by, half) {
            (Some(_), _) => format!("the profile {name:?} gives none: {said}"),
            (None, Some((id, secret))) => format!("only one of {id} and {secret} is set"),
            // Each provider's own reason would fill a screen, and none is a fault.
            (None, None) if profiles.setting(name, "credential_process").is_none() => {
                "neither the environment, a profile nor a role of this machine gives any".to_owned()
            }
            (None, None) => said.to_owned(),
        };
        Failure::failed(format_args!("there are no AWS credentials to use: {why}")).hint(format!(
            "Name a profile with --profile or AWS_PROFILE{there}, log in to it, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY."
        ))
    }

    /// The same failure, or a clearer one if it is the person's at the keyboard to end it.
    pub(crate) async fn explain(&self, failure: Failure) -> Failure {
        let Some((_, code)) = failure.call.clone() else {
            return failure;
        };
        let no_answer = ["NoAnswer", "OutOfTime"].contains(&code.as_str());
        let known = self.advice(|kind| match kind {
            TroubleKind::Unreachable(_) => no_answer,
            TroubleKind::Refused { code: refused, .. } => *refused == code,
        });
        let clearer = match known {
            Some(clearer) => clearer,
            // Without credentials nothing is sent.
            None if no_answer => match self.credentials().await {
                Ok(()) => return failure,
                Err(clearer) => clearer,
            },
            None if code == "UnusableAnswer" && !failure.says_more => {
                return failure.hint(
                    "What answered may not be AWS: check --endpoint-url, AWS_ENDPOINT_URL and proxies.",
                );
            }
            None => return failure,
        };
        match failure.says_more {
            true => {
                let hint = clearer.advice().unwrap_or_default();
                failure.hint(format!("{clearer}. {hint}"))
            }
            false => clearer,
        }
    }

    /// Says what a person can do about calls that failed and that the result tells of. A result in which all is done needs
    /// no more than the advice.
    pub(crate) fn advise(&self, status: Status) {
        let Some(failure) = self.advice(|_| true) else {
            return;
        };
        match status {
            Status::Done => say::hint(&format!(
                "{failure}. {}",
                failure.advice().unwrap_or_default()
            )),
            _ => failure.say(),
        }
    }

    /// What to say of the last trouble of these kinds that there is something to say of.
    fn advice(&self, is_meant: impl Fn(&TroubleKind) -> bool) -> Option<Failure> {
        let troubles = self.wire.troubles();
        let mut meant = troubles.iter().rev().filter(|it| is_meant(&it.kind));
        let around = self.around();
        meant.find_map(|trouble| advice::of(trouble, &around))
    }

    /// What advice is given with.
    fn around(&self) -> Around {
        let chosen = self.profile();
        let (name, by) = (&chosen.name, chosen.by);
        let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let of_environment = by != Some("--profile") && is_set("AWS_ACCESS_KEY_ID");
        let login = self.profiles.get().and_then(|all| all.login(name));
        let (credentials, renew) = match (of_environment, login) {
            (true, _) => (
                "AWS_ACCESS_KEY_ID in the environment".to_owned(),
                "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if it belongs to them, AWS_SESSION_TOKEN anew, or unset \
                 them and give a --profile."
                    .to_owned(),
            ),
            (false, Some(login)) => (
                format!("the profile {name:?}"),
                format!("Log in again: `aws sso login --profile {login}`."),
            ),
            (false, None) => (
                format!("the profile {name:?}"),
                format!("Get new ones for it, for example with `aws configure --profile {name}`."),
            ),
        };
        Around {
            credentials,
            renew,
            caller: self.caller.get().map(|caller| caller.arn.clone()),
            table: self.options.table.clone(),
        }
    }
}

/// The ids of groups, each once; `look_up` finds that of a name.
async fn each_once(
    groups: &[Group],
    look_up: impl AsyncFn(&str) -> Result<GroupId, Failure>,
) -> Result<Vec<GroupId>, Failure> {
    let mut ids = Vec::new();
    for group in groups {
        let id = match group {
            Group::Id(id) => id.clone(),
            Group::Name(name) => look_up(name).await?,
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The one group of this name.
fn the_one(name: &str, none: &str, found: Vec<GroupId>) -> Result<GroupId, Failure> {
    match &found[..] {
        [id] => Ok(id.clone()),
        [] => Err(Failure::failed(format_args!("{none} named {name:?}"))
            .hint("`rulekeeper list` has the names of the recorded groups; a record that was written by hand may have none.")),
        several => {
            let ids: Vec<&str> = several.iter().map(GroupId::as_str).collect();
            let ids = ids.join(", ");
            Err(Failure::usage(format_args!("{name:?} is the name of several groups: {ids}"))
                .hint("Name one by its id."))
        }
    }
}
