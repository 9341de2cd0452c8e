//! The stack: ports, threads, shutdown.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::api;
use crate::bridge::{Bridge, Delivery};
use crate::cloud::Cloud;
use crate::dynamodb::DynamoDb;
use crate::events::Buses;
use crate::http;
use crate::identity::Identity;
use crate::lambda::{EXTERNAL, FUNCTION_ACCESS_KEY, Lambda, LambdaConfig, runtime_api};
use crate::policy::{Iam, Role};
use crate::services::Services;
use crate::sqs::{QueueConfig, Queues};

/// What to start.
#[derive(Debug, Clone)]
pub struct StackConfig {
    /// Port of the endpoint; 0 for any.
    pub port: u16,
    /// Port of the Runtime API for functions started elsewhere; 0 for any.
    pub runtime_port: u16,
    /// Account of callers that assumed no role, and of the function.
    pub account: String,
    /// Region of the function and of in-process calls.
    pub region: String,
    /// A DynamoDB table to make, with the keys `pk` and `sk`.
    pub table: Option<String>,
    /// The function.
    pub lambda: LambdaConfig,
    /// How events are delivered to it.
    pub delivery: Delivery,
    /// The address of the DynamoDB to pass calls on to; the embedded one without it.
    pub dynamodb: Option<String>,
    /// The roles that IAM knows. With any, their calls are judged by their policies, and no other role can be assumed.
    pub roles: Vec<Role>,
    /// SQS queues to make.
    pub queues: Vec<QueueConfig>,
    /// Name of the function's role, as CloudTrail records it.
    pub function_role: String,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            port: 0,
            runtime_port: 0,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            table: None,
            lambda: LambdaConfig::default(),
            delivery: Delivery::default(),
            dynamodb: None,
            roles: Vec::new(),
            queues: Vec::new(),
            function_role: "rulekeeper-function".to_owned(),
        }
    }
}

/// The stack couldn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, or loopback is not available.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port asked for.
        port: u16,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Threads couldn't be started.
    #[error("cannot start the stack's threads")]
    Threads(#[source] std::io::Error),
    /// The table couldn't be made.
    #[error("{0}")]
    Table(String),
}

/// The cloud on loopback. It has threads of its own, so both blocking and asynchronous tests can use it. Dropping it stops it and every process it started.
#[derive(Debug)]
pub struct Stack {
    cloud: Cloud,
    lambda: Lambda,
    queues: Queues,
    buses: Buses,
    endpoint: SocketAddr,
    runtime_api: SocketAddr,
    runtime: Option<Runtime>,
}

impl Stack {
    /// Starts everything; when it returns, the ports answer.
    ///
    /// # Errors
    /// When a port is taken, or the table can't be made.
    pub fn start(config: StackConfig) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("rulekeeper-local")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        match Self::start_on(runtime.handle().clone(), config) {
            Ok(mut stack) => {
                stack.runtime = Some(runtime);
                Ok(stack)
            }
            Err(error) => {
                // Dropping a runtime panics in asynchronous code, and the caller may be asynchronous.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    fn start_on(handle: tokio::runtime::Handle, config: StackConfig) -> Result<Self, StartError> {
        let _inside = handle.enter();
        let (endpoint, endpoint_listener) = listen(config.port)?;
        let (runtime_address, runtime_listener) = listen(config.runtime_port)?;

        let (account, region) = (config.account, config.region);
        let name = config.lambda.name.clone();
        let session = Identity::assumed_role(&account, &config.function_role, &name);
        let session = session.in_partition_of(&region);
        let role = session.role().unwrap_or_default().to_owned();
        let iam = Iam::new(config.roles);
        let lambda = Lambda::new(
            config.lambda,
            handle.clone(),
            account.clone(),
            region.clone(),
            format!("http://{endpoint}"),
            (role, iam.clone()),
        );
        let bridge = Bridge::new(lambda.clone());
        bridge.set_delivery(config.delivery);
        let cloud = Cloud::new(account.clone(), region.clone(), bridge, iam);
        cloud.register(FUNCTION_ACCESS_KEY, session);

        let queues = Queues::new(lambda.clone());
        for queue in config.queues {
            queues.create(queue);
        }
        let buses = Buses::default();

        let dynamodb = Arc::new(DynamoDb::new(config.dynamodb));
        if let Some(table) = config.table {
            let (made, ready) = std::sync::mpsc::channel();
            let dynamodb = Arc::clone(&dynamodb);
            handle.spawn(async move {
                let result = dynamodb.create_table(&account, &region, &table).await;
                // An error means that `start` no longer waits.
                let _ = made.send(result.map_err(|error| error.to_string()));
            });
            match ready.recv_timeout(Duration::from_secs(10)) {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => return Err(StartError::Table(problem)),
                Err(_) => {
                    return Err(StartError::Table(
                        "the embedded DynamoDB does not answer".to_owned(),
                    ));
                }
            }
        }

        let services = Services {
            cloud: cloud.clone(),
            lambda: lambda.clone(),
            dynamodb,
            queues: queues.clone(),
            buses: buses.clone(),
        };
        handle.spawn(http::serve(endpoint_listener, api::routes(services)));
        let external = runtime_api::routes(lambda.clone(), EXTERNAL);
        handle.spawn(http::serve(runtime_listener, external));
        Ok(Self {
            cloud,
            lambda,
            queues,
            buses,
            endpoint,
            runtime_api: runtime_address,
            runtime: None,
        })
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.endpoint)
    }

    /// `127.0.0.1:PORT`, for `AWS_LAMBDA_RUNTIME_API` of functions started elsewhere.
    #[must_use]
    pub fn runtime_api(&self) -> String {
        self.runtime_api.to_string()
    }

    /// Set-up, dials, journal.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// Delivery of events to the function.
    #[must_use]
    pub fn bridge(&self) -> &Bridge {
        self.cloud.bridge()
    }

    /// Invocations.
    #[must_use]
    pub fn lambda(&self) -> &Lambda {
        &self.lambda
    }

    /// SQS queues.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// What was put on event buses.
    #[must_use]
    pub fn buses(&self) -> &Buses {
        &self.buses
    }

    /// The environment for AWS clients of the stack.
    #[must_use]
    pub fn client_env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "AKIALOCALOPERATOR000".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_REGION", self.cloud.region().to_owned()),
            ("AWS_DEFAULT_REGION", self.cloud.region().to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Stops the stack and its processes, as dropping it does, without blocking the caller's thread.
    pub async fn shutdown(self) {
        self.lambda.close();
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            drop(self);
            // An error means that the caller no longer waits.
            let _ = done.send(());
        });
        let _ = ended.await;
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.lambda.close();
        // Tasks on our own threads reap the processes; killing takes milliseconds.
        let started = Instant::now();
        while self.lambda.has_processes() && started.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Must run in a runtime's context.
fn listen(port: u16) -> Result<(SocketAddr, tokio::net::TcpListener), StartError> {
    let bound = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok((
            listener.local_addr()?,
            tokio::net::TcpListener::from_std(listener)?,
        ))
    };
    bound().map_err(|source| StartError::Listen { port, source })
}
