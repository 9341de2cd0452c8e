//! SDK clients, built once and reused.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
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

/// The standard SDK configuration (environment, profile, the function's role) with our HTTP client, time limits and
/// retries. Endpoint variables such as `AWS_ENDPOINT_URL_EC2` work as usual. If `profile` is given, its credentials win
/// over the environment, as with the AWS CLI's `--profile`.
pub async fn load_sdk_config(mut loader: ConfigLoader, profile: Option<&str>) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
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

/// EC2's clients for one Region and one set of credentials.
#[derive(Debug, Clone)]
struct Ec2Clients {
    /// Repeats calls that fail for a retryable reason.
    reading: aws_sdk_ec2::Client,
    /// Repeats no call.
    changing: aws_sdk_ec2::Client,
}

/// Clients for every account and Region used so far, and for the table.
#[derive(Debug)]
pub struct Clients {
    pub(super) config: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    table: String,
    role_name: Option<String>,
    sweep_queue: Option<String>,
    pub(super) results_bus: Option<String>,
    ec2: Mutex<HashMap<Place, Ec2Clients>>,
    pacers: Mutex<HashMap<(Place, Pace), Arc<Pacer>>>,
    scopes: Arc<Mutex<BTreeSet<Scope>>>,
}

/// A Region, and the ARN of the role that is assumed there.
type Place = (SdkRegion, Option<String>);

impl Clients {
    /// Clients with this configuration. `role_name` is the role to assume in other accounts.
    pub fn new(config: SdkConfig, table: String, role_name: Option<String>) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        Self {
            config,
            dynamodb,
            table,
            role_name,
            sweep_queue: None,
            results_bus: None,
            ec2: Mutex::default(),
            pacers: Mutex::default(),
            scopes: Arc::default(),
        }
    }

    /// The same with the table in another Region.
    #[must_use]
    pub fn with_table_region(mut self, region: Option<String>) -> Self {
        if let Some(region) = region {
            let config = aws_sdk_dynamodb::config::Builder::from(&self.config);
            let config = config.region(SdkRegion::new(region)).build();
            self.dynamodb = aws_sdk_dynamodb::Client::from_conf(config);
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
    /// them.
    pub async fn prepare(&self) {
        if let Some(region) = self.config.region() {
            let _ = self.clients(region.clone(), None).await;
        }
    }

    /// EC2's clients for a Region, with the function's own credentials or with those of an assumed role.
    async fn clients(&self, region: SdkRegion, role_arn: Option<String>) -> Ec2Clients {
        let place = (region, role_arn);
        let known = self
            .ec2
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
            .cloned();
        if let Some(clients) = known {
            return clients;
        }
        let mut config = aws_sdk_ec2::config::Builder::from(&self.config).region(place.0.clone());
        if let Some(role_arn) = &place.1 {
            config = config.credentials_provider(self.role_provider(role_arn).await);
        }
        let clients = Ec2Clients {
            reading: aws_sdk_ec2::Client::from_conf(config.clone().build()),
            changing: aws_sdk_ec2::Client::from_conf(
                config.retry_config(RetryConfig::disabled()).build(),
            ),
        };
        self.ec2
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(place, clients.clone());
        clients
    }

    /// The token buckets of sweeps in a place. Time fills them, whether or not they are used.
    fn pacer(&self, place: Place, pace: Pace) -> Option<Arc<Pacer>> {
        let mut pacers = self.pacers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pacers.get(&(place.clone(), pace)) {
            return Some(Arc::clone(known));
        }
        let pacer = Arc::new(Pacer::new(pace)?);
        pacers.insert((place, pace), Arc::clone(&pacer));
        Some(pacer)
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
        let partition = match scope.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
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
            deadline: budget.calls_until,
            record_deadline: budget.record_until,
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
        let Ec2Clients { reading, changing } = self.clients(region.clone(), role.clone()).await;
        let ec2 = Ec2 {
            pacer: self.pacer((region, role.clone()), pace),
            reading,
            changing,
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
            deadline: budget.record_until,
        })
    }
}
