//! Lambda's Runtime API for one process, with a clock at each step.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rulekeeper_bench::Result;

use crate::http::Message;

/// The longest that a process may take for a step. Under Valgrind a cold start takes seconds.
const STEP: Duration = Duration::from_secs(120);

enum Heard {
    Polled(Instant),
    Sent(Instant),
    Answered(Instant, Vec<u8>),
    Failed(String),
}

/// A process of a function.
#[derive(Debug)]
pub(crate) struct Instance {
    child: Child,
    events: Sender<Vec<u8>>,
    heard: Receiver<Heard>,
    /// From the start of the process to its first request for an event.
    pub(crate) init: Duration,
}

/// When an event was handed over, and when its answer came.
#[derive(Debug, Clone)]
pub(crate) struct Handled {
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    pub(crate) answer: Vec<u8>,
    /// The process's CPU time from the event to the next request for one.
    pub(crate) cpu: Duration,
}

impl Instance {
    /// Starts a process, in a cgroup if there is one, and waits until it asks for an event. Its role is of this account.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(
        mut command: Command,
        cgroup: Option<&Path>,
        account: &str,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?.to_string();
        let (events, to_send) = channel();
        let (to_hear, heard) = channel();
        let to_send = Arc::new(Mutex::new(to_send));
        let arn = format!("arn:aws:lambda:eu-west-1:{account}:function:rulekeeper");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (to_send, to_hear, arn) = (Arc::clone(&to_send), to_hear.clone(), arn.clone());
                // An error is what a process that ended looks like.
                thread::spawn(move || drop(serve(stream, &to_send, &to_hear, &arn)));
            }
        });
        command.env("AWS_LAMBDA_RUNTIME_API", address);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(cgroup) = cgroup {
            command = within(&command, cgroup);
        }
        let began = Instant::now();
        let child = command.spawn()?;
        let mut instance = Self {
            child,
            events,
            heard,
            init: Duration::ZERO,
        };
        match instance.hear()? {
            Heard::Polled(at) => instance.init = at - began,
            _ => return Err("the process did not ask for an event first".into()),
        }
        Ok(instance)
    }

    /// Hands over an event, and waits for the answer and for the process to ask for the next one.
    ///
    /// # Errors
    /// When there is no answer, or one of failure.
    pub(crate) fn invoke(&self, event: Vec<u8>) -> Result<Handled> {
        let before = self.cpu()?;
        self.events.send(event)?;
        let Heard::Sent(sent) = self.hear()? else {
            return Err("the process did not take the event".into());
        };
        let (answered, answer) = match self.hear()? {
            Heard::Answered(at, body) => (at, body),
            Heard::Failed(error) => return Err(error.into()),
            _ => return Err("the process did not answer the event".into()),
        };
        match self.hear()? {
            Heard::Polled(_) => Ok(Handled {
                sent,
                answered,
                answer,
                cpu: self.cpu()?.saturating_sub(before),
            }),
            _ => Err("the process did not ask for another event".into()),
        }
    }

    fn hear(&self) -> Result<Heard> {
        Ok(self.heard.recv_timeout(STEP)?)
    }

    /// The CPU time of all its threads, in nanoseconds of the kernel's scheduler (`proc(5)`, `/proc/PID/schedstat`).
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end meanwhile.
            let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let nanos = text.split(' ').next().and_then(|it| it.parse().ok());
            total += Duration::from_nanos(nanos.unwrap_or(0));
        }
        Ok(total)
    }

    /// The most memory that it had, in KiB.
    pub(crate) fn peak_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mut lines = status.lines();
        let peak = lines.find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap_or_default().trim().trim_end_matches(" kB");
        Ok(peak.parse()?)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn terminate(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same command, which first puts itself into a cgroup.
fn within(command: &Command, cgroup: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]);
    shell
        .arg(cgroup)
        .arg(command.get_program())
        .args(command.get_args());
    shell.env_clear();
    let set = command.get_envs();
    shell.envs(set.filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    shell
}

fn serve(
    mut stream: TcpStream,
    events: &Mutex<Receiver<Vec<u8>>>,
    heard: &Sender<Heard>,
    arn: &str,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(request) = Message::read(&mut stream)? {
        let at = Instant::now();
        let line = request.head.lines().next().unwrap_or_default();
        let path = line.split(' ').nth(1).unwrap_or_default();
        let accepted = || Message::answer("202 Accepted", "", b"{\"status\":\"OK\"}".to_vec());
        let what = if path.ends_with("/invocation/next") {
            heard
                .send(Heard::Polled(at))
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            let events = events.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(event) = events.recv() else {
                return Ok(());
            };
            let sent = Heard::Sent(Instant::now());
            // Before the answer to it can be heard.
            heard.send(sent).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Message::answer("200 OK", &headers(arn), event).write(&mut stream)?;
            continue;
        } else if path.ends_with("/response") {
            Heard::Answered(at, request.body)
        } else {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            Heard::Failed(format!("{path}: {body}"))
        };
        heard.send(what).map_err(|_| io::ErrorKind::BrokenPipe)?;
        accepted().write(&mut stream)?;
    }
    Ok(())
}

/// Lambda Developer Guide, "Using the Lambda runtime API".
fn headers(arn: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let deadline = now.unwrap_or_default() + Duration::from_secs(60);
    let id = fastrand::u64(..);
    format!(
        "lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-{:012x}\r\nlambda-runtime-deadline-ms: {}\r\nlambda-runtime-invoked-function-arn: {arn}\r\nlambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n",
        id >> 16,
        deadline.as_millis()
    )
}
