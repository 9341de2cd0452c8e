//! SDK clients, built once and reused.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{ConfigLoader, SdkConfig};
use aws_sdk_ec2::config::Region as SdkRegion;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::call::{Greeting, RepeatUnusable};
use super::pace::Pacer;
use super::{DynamoTable, Ec2, SqsSweepQueue};
use rulekeeper_core::model::Scope;
use rulekeeper_core::ports::{Budget, Calls, Clouds, Pace, SESSION_NAME};

/// Time limits of one call. Without them the SDK waits for more than a minute on a server that accepts a connection and
/// does not answer. That is longer than the function may run. EC2 answers an authorize in well under a second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
const READ_TIMEOUT: Duration = Duration::from_secs(4);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The most attempts of one read. Backoff starts at 100 ms, because rules are missing while we wait. The invocation's
/// deadline ends the attempts earlier.
const READ_ATTEMPTS: u32 = 12;

/// How long the function waits for its first connections before it asks for events.
const GREETING_TIMEOUT: Duration = Duration::from_millis(500);

/// The standard SDK configuration (environment, profile, the function's role) with our HTTP client, time limits and
/// retries. Endpoint variables such as `AWS_ENDPOINT_URL_EC2` work as usual. If `profile` is given, its credentials win
/// over the environment, as with the AWS CLI's `--profile`.
pub async fn load_sdk_config(loader: ConfigLoader, profile: Option<&str>) -> SdkConfig {
    load_sdk_config_over(https(), loader, profile).await
}

/// The HTTP client of every call.
pub fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// The same configuration with another HTTP client.
pub async fn load_sdk_config_over(
    http: SharedHttpClient,
    mut loader: ConfigLoader,
    profile: Option<&str>,
) -> SdkConfig {
    if let Some(profile) = profile {
        let config = ProviderConfig::without_region().with_http_client(http.clone());
        let credentials = ProfileFileCredentialsProvider::builder()
            .configure(&config.load_default_region().await)
            .profile_name(profile)
            .build();
        loader = loader
            .profile_name(profile)
            .credentials_provider(credentials);
    }
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(READ_ATTEMPTS)
        .with_initial_backoff(Duration::from_millis(100))
        .with_max_backoff(Duration::from_secs(2));
    loader
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries)
        .load()
        .await
}

fn dynamodb(config: &SdkConfig, region: Option<SdkRegion>) -> aws_sdk_dynamodb::Client {
    let region = region.or_else(|| config.region().cloned());
    let mut config = aws_sdk_dynamodb::config::Builder::from(config);
    config = config.retry_classifier(RepeatUnusable);
    config.set_region(region);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// The most places whose clients are kept. Those of a place take about 50 KiB (measured). They are made for every event
/// of the organization, also where no group has a record. Making them again costs a call to STS, unless the place is our
/// own account.
const PLACES_MAX: usize = 64;

/// A Region, and the ARN of the role that is assumed there.
type Place = (SdkRegion, Option<String>);

/// EC2's clients for one place.
#[derive(Debug, Clone)]
struct Ec2Clients {
    /// Repeats calls that fail for a retryable reason.
    reading: aws_sdk_ec2::Client,
    /// Repeats no call.
    changing: aws_sdk_ec2::Client,
    /// The token buckets of sweeps and of the watch. Time fills them, whether or not they are used.
    alone: Option<Arc<Pacer>>,
    among_three: Option<Arc<Pacer>>,
    watch: Option<Arc<Pacer>>,
}

/// Clients for the accounts and Regions used last, and for the table.
#[derive(Debug)]
pub struct Clients {
    pub(super) config: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    table: String,
    role_name: Option<String>,
    sweep_queue: Option<String>,
    pub(super) results_bus: Option<String>,
    /// The place used last is the first.
    ec2: Mutex<Vec<(Place, Ec2Clients)>>,
    partition: OnceLock<String>,
    scopes: Arc<Mutex<BTreeSet<Scope>>>,
}

impl Clients {
    /// Clients with this configuration. `role_name` is the role to assume in other accounts.
    pub fn new(config: SdkConfig, table: String, role_name: Option<String>) -> Self {
        let dynamodb = dynamodb(&config, None);
        Self {
            config,
            dynamodb,
            table,
            role_name,
            sweep_queue: None,
            results_bus: None,
            ec2: Mutex::default(),
            partition: OnceLock::new(),
            scopes: Arc::default(),
        }
    }

    /// The same with the table in another Region.
    #[must_use]
    pub fn with_table_region(mut self, region: Option<String>) -> Self {
        if let Some(region) = region {
            self.dynamodb = dynamodb(&self.config, Some(SdkRegion::new(region)));
        }
        self
    }

    /// The same with a queue for the work that a sweep has no time for, and a bus that receives its results.
    #[must_use]
    pub fn with_queue(mut self, url: Option<String>, results_bus: Option<String>) -> Self {
        self.sweep_queue = url;
        self.results_bus = results_bus;
        self
    }

    /// Builds the clients for our own account and Region before the first event, so that the event does not wait for
    /// them. This makes no call.
    pub async fn prepare(&self) {
        if let Some(region) = self.config.region() {
            let _ = self.clients(region.clone(), None).await;
        }
    }

    /// Opens the connections to EC2 and the table. The SDK opens one for a request only, so this waits for an answer to
    /// each. A service that does not answer delays it by half a second; the first event then finds out.
    pub async fn connect(&self) {
        let Some(region) = self.config.region() else {
            return;
        };
        let ec2 = self.clients(region.clone(), None).await.changing;
        let ec2 = ec2.describe_security_group_rules().customize();
        // The table's client would repeat a call that is answered so, on another connection.
        let table = aws_sdk_dynamodb::config::Builder::from(&self.config)
            .retry_config(RetryConfig::disabled())
            .build();
        let table = aws_sdk_dynamodb::Client::from_conf(table);
        let table = table.query().table_name(&self.table).customize();
        let (ec2, table) = (
            ec2.interceptor(Greeting).send(),
            table.interceptor(Greeting).send(),
        );
        // The answers are none of these operations, so they are errors.
        let greeted = async { drop(tokio::join!(ec2, table)) };
        let _ = tokio::time::timeout(GREETING_TIMEOUT, greeted).await;
    }

    /// Learns the partition from an ARN of our own account. No role of another partition can be assumed.
    pub fn are_in_partition_of(&self, arn: &str) {
        if let Some(partition) = arn.split(':').nth(1).filter(|name| !name.is_empty()) {
            self.partition.get_or_init(|| partition.to_owned());
        }
    }

    /// EC2's clients for a Region, with the function's own credentials or with those of an assumed role.
    async fn clients(&self, region: SdkRegion, role_arn: Option<String>) -> Ec2Clients {
        let place = (region, role_arn);
        if let Some(clients) = self.kept(&place) {
            return clients;
        }
        let mut config = aws_sdk_ec2::config::Builder::from(&self.config).region(place.0.clone());
        if let Some(role_arn) = &place.1 {
            config = config.credentials_provider(self.role_provider(role_arn).await);
        }
        let clients = Ec2Clients {
            reading: aws_sdk_ec2::Client::from_conf(
                config.clone().retry_classifier(RepeatUnusable).build(),
            ),
            changing: aws_sdk_ec2::Client::from_conf(
                config.retry_config(RetryConfig::disabled()).build(),
            ),
            alone: Pacer::new(Pace::Alone).map(Arc::new),
            among_three: Pacer::new(Pace::AmongThree).map(Arc::new),
            watch: Pacer::new(Pace::Watch).map(Arc::new),
        };
        let mut places = self.ec2.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert(0, (place, clients.clone()));
        places.truncate(PLACES_MAX);
        clients
    }

    fn kept(&self, place: &Place) -> Option<Ec2Clients> {
        let mut places = self.ec2.lock().unwrap_or_else(PoisonError::into_inner);
        let index = places.iter().position(|(kept, _)| kept == place)?;
        places[..=index].rotate_right(1);
        places.first().map(|(_, clients)| clients.clone())
    }

    /// The credentials of a role. They are requested when they are first needed.
    pub(super) async fn role_provider(&self, role_arn: &str) -> AssumeRoleProvider {
        AssumeRoleProvider::builder(role_arn)
            .session_name(SESSION_NAME)
            .configure(&self.config)
            .build()
            .await
    }

    /// The ARN of the role to assume in a foreign scope, if a role is configured.
    pub(super) fn role_in(&self, scope: &Scope) -> Option<String> {
        let name = self.role_name.as_ref()?;
        let partition = self.partition.get().map_or("aws", String::as_str);
        Some(format!(
            "arn:{partition}:iam::{}:role/{name}",
            scope.account
        ))
    }

    /// The table, for work within this budget.
    pub fn table(&self, calls: &Calls, budget: Budget) -> DynamoTable {
        DynamoTable {
            client: self.dynamodb.clone(),
            name: self.table.clone(),
            calls: calls.clone(),
            scopes: Arc::clone(&self.scopes),
            budget,
        }
    }
}

impl Clouds for Clients {
    type Ec2 = Ec2;
    type Table = DynamoTable;
    type SweepQueue = SqsSweepQueue;

    fn has_role(&self) -> bool {
        self.role_name.is_some()
    }

    async fn in_scope(
        &self,
        scope: &Scope,
        foreign: bool,
        pace: Pace,
        calls: &Calls,
        budget: Budget,
    ) -> (Ec2, DynamoTable) {
        let role = if foreign { self.role_in(scope) } else { None };
        let region = SdkRegion::new(scope.region.as_str().to_owned());
        let clients = self.clients(region, role.clone()).await;
        let ec2 = Ec2 {
            pacer: match pace {
                Pace::Free => None,
                Pace::Alone => clients.alone,
                Pace::AmongThree => clients.among_three,
                Pace::Watch => clients.watch,
            },
            reading: clients.reading,
            changing: clients.changing,
            account: scope.account.clone(),
            calls: calls.clone(),
            deadline: budget.calls_until,
            role,
            refused_role: Arc::default(),
        };
        (ec2, self.table(calls, budget))
    }

    fn sweep_queue(&self, calls: &Calls, budget: Budget) -> Option<SqsSweepQueue> {
        Some(SqsSweepQueue {
            url: self.sweep_queue.clone()?,
            client: aws_sdk_sqs::Client::new(&self.config),
            calls: calls.clone(),
            budget,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn clients() -> Clients {
        let loader = aws_config::from_env().region("eu-west-1");
        let config = load_sdk_config(loader, None).await;
        Clients::new(config, "t".to_owned(), Some("member".to_owned()))
    }

    fn scope(account: usize) -> Scope {
        Scope {
            account: format!("{account:012}").parse().expect("an account"),
            region: "eu-west-1".parse().expect("a Region"),
        }
    }

    #[tokio::test]
    async fn events_of_any_number_of_accounts_leave_a_bounded_number_of_clients() {
        let clients = clients().await;
        let budget = Budget::of(Duration::from_secs(1));
        for account in 1..=3 * PLACES_MAX {
            // The first account has something to do again and again.
            for account in [1, account] {
                let scope = scope(account);
                let calls = Calls::default();
                clients
                    .in_scope(&scope, true, Pace::Alone, &calls, budget)
                    .await;
            }
        }
        let places = clients.ec2.lock().expect("not poisoned");
        assert_eq!(places.len(), PLACES_MAX);
        let mut roles = places.iter().filter_map(|((_, role), _)| role.as_deref());
        assert!(roles.any(|role| role == "arn:aws:iam::000000000001:role/member"));
    }

    #[tokio::test]
    async fn roles_are_assumed_in_our_own_partition_whatever_the_region_is_called() {
        let clients = clients().await;
        clients.are_in_partition_of("test");
        clients.are_in_partition_of("arn:aws-eusc:lambda:eusc-de-east-1:111122223333:function:f");
        let role = clients.role_in(&scope(7)).expect("a role");
        assert_eq!(role, "arn:aws-eusc:iam::000000000007:role/member");
    }
}
