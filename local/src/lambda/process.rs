//! Instances as processes.

use std::net::Ipv4Addr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::engine::{Instance, Lambda};
use super::runtime_api;
use crate::http;

/// The access key that instances sign with.
pub(crate) const FUNCTION_ACCESS_KEY: &str = "ASIALOCALFUNCTION000";

impl Lambda {
    /// Starts a process in the environment that Lambda gives (Lambda Developer Guide, "Defined runtime environment variables").
    pub(super) fn start(&self, id: u64) -> Instance {
        let config = &self.inner.config;
        let (kill, killed) = oneshot::channel();
        let (flush_out, out_asked) = mpsc::unbounded_channel();
        let (flush_err, err_asked) = mpsc::unbounded_channel();
        let instance = Instance::new(kill, vec![flush_out, flush_err], self.opens_log(id));
        let Some(program) = &config.program else {
            return instance;
        };
        let region = self.inner.region.as_str();
        let mut command = Command::new(program);
        command.args(&config.args).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .env("AWS_LAMBDA_FUNCTION_NAME", &config.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env(
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                config.memory_mb.to_string(),
            )
            .env("AWS_LAMBDA_LOG_GROUP_NAME", self.log_group())
            .env("AWS_LAMBDA_LOG_STREAM_NAME", Self::log_stream_name(id))
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("_HANDLER", "bootstrap")
            .env("TZ", ":UTC")
            .env("AWS_REGION", region)
            .env("AWS_DEFAULT_REGION", region)
            .env("AWS_ACCESS_KEY_ID", FUNCTION_ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_SESSION_TOKEN", "local")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .envs(&config.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let lambda = self.clone();
        let program = program.clone();
        self.inner.runtime.spawn(async move {
            let (mut child, _api) = match lambda.spawn(id, command).await {
                Ok(started) => started,
                Err(error) => {
                    let problem = format!("cannot start {}: {error}", program.display());
                    lambda.log_line(id, "stderr", problem.clone());
                    lambda.ended(id, &problem);
                    return;
                }
            };
            let read_out = child
                .stdout
                .take()
                .map(|out| read(lambda.clone(), id, "stdout", out, out_asked));
            let read_err = child
                .stderr
                .take()
                .map(|err| read(lambda.clone(), id, "stderr", err, err_asked));
            let (out, err) = (read_out.map(tokio::spawn), read_err.map(tokio::spawn));
            let status = tokio::select! {
                status = child.wait() => status,
                _ = killed => {
                    // An error means that the process has ended by itself; `wait` says so as well.
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            // The pipes close with the process, unless its children hold them open; we don't wait for children.
            let output_read = async {
                for reader in [out, err].into_iter().flatten() {
                    let _ = reader.await;
                }
            };
            let _ = tokio::time::timeout(std::time::Duration::from_millis(200), output_read).await;
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            lambda.ended(id, &status);
        });
        instance
    }

    /// The process, and its Runtime API on a port of its own. The port closes when the set is dropped.
    async fn spawn(&self, id: u64, mut command: Command) -> std::io::Result<(Child, JoinSet<()>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        command.env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string());
        let mut api = JoinSet::new();
        api.spawn(http::serve(listener, runtime_api::routes(self.clone(), id)));
        Ok((command.spawn()?, api))
    }
}

/// Reads lines until the pipe closes. Answers each request in `asked` once there is nothing left to read.
async fn read(
    lambda: Lambda,
    id: u64,
    stream: &'static str,
    pipe: impl AsyncRead + Unpin,
    mut asked: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
) {
    let mut lines = BufReader::new(pipe).lines();
    loop {
        tokio::select! {
            biased;
            line = lines.next_line() => match line {
                Ok(Some(line)) => lambda.log_line(id, stream, line),
                Ok(None) | Err(_) => return,
            },
            Some(done) = asked.recv() => {
                // An error means that the caller no longer waits.
                let _ = done.send(());
            }
        }
    }
}
