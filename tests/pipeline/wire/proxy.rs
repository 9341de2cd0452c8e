//! A proxy between the function and its neighbours that spoils answers, call by call.
//!
//! Proxies for streams know nothing of the operation that a stream carries, so this one reads HTTP.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The services, by the ends of their endpoint variables.
pub(super) const SERVICES: [&str; 5] = ["EC2", "STS", "DYNAMODB", "SQS", "EVENTBRIDGE"];

/// What the caller gets in place of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Half of the body, and the end of the connection.
    Truncated,
    /// A body that is no text after its first third.
    Garbled,
    /// The whole body, and the promise of more.
    Long,
    /// A length that is half of the body's. The rest of the body follows on the connection.
    Short,
    /// The body, 20 bytes a second.
    Drip,
    /// The whole answer, after a second.
    Late,
    /// Nothing, on an open connection.
    Silent,
    /// A reset.
    Reset,
    /// 200 with this body.
    Ok(&'static str),
    /// 200 with an error of the service: a server's error, which says nothing of the effect.
    ErrorDocument,
    /// Another status with this body.
    Status(u16, &'static str),
    /// No connection: nobody listens until the fault is over. For the caller, the whole service is gone.
    Refused,
}

/// Calls that are to be spoilt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoil {
    pub(super) action: &'static str,
    pub(super) fault: Fault,
    /// Whether the call reaches the service. Faults that spoil the service's own answer always let it.
    pub(super) reached: bool,
    /// How many calls pass first.
    pub(super) after: u32,
    /// How many calls are hit; `None` for all.
    pub(super) times: Option<u32>,
}

#[derive(Debug)]
struct State {
    upstreams: BTreeMap<&'static str, String>,
    spoils: Vec<Spoil>,
    /// Calls by action, those that were hit among them.
    calls: BTreeMap<String, usize>,
    hits: usize,
    /// The services that refuse connections.
    refusing: watch::Sender<Vec<&'static str>>,
}

/// The proxy. Each service has a port of its own, so that one alone can refuse connections. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Proxy {
    state: Arc<Mutex<State>>,
    ports: BTreeMap<&'static str, u16>,
    /// Closed when this is dropped.
    _alive: tokio::sync::oneshot::Sender<()>,
}

impl Proxy {
    /// Starts it on a thread of its own. Calls fail until it is told where the services are.
    pub(super) fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            upstreams: BTreeMap::new(),
            spoils: Vec::new(),
            calls: BTreeMap::new(),
            hits: 0,
            refusing: watch::Sender::default(),
        }));
        let (alive, ended) = tokio::sync::oneshot::channel::<()>();
        let (bound, ports) = std::sync::mpsc::channel();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let mut services = JoinSet::new();
                let mut ports = BTreeMap::new();
                for service in SERVICES {
                    let (listener, port) = listen(0).expect("a port on loopback");
                    ports.insert(service, port);
                    services.spawn(serve(Arc::clone(&shared), service, listener, port));
                }
                bound.send(ports).expect("the caller waits");
                // An error is what dropping the proxy looks like.
                let _ = ended.await;
            });
        });
        Self {
            state,
            ports: ports.recv().expect("the thread binds its ports"),
            _alive: alive,
        }
    }

    /// Where a service is.
    pub(super) fn lead(&self, service: &'static str, url: &str) {
        let address = url.trim_start_matches("http://").to_owned();
        self.lock().upstreams.insert(service, address);
    }

    /// The endpoint of a service here.
    pub(super) fn endpoint(&self, service: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[service])
    }

    pub(super) fn spoil(&self, spoil: Spoil) {
        self.lock().spoils.push(spoil);
    }

    /// From now on all is well.
    pub(super) fn heal(&self) {
        let mut state = self.lock();
        state.spoils.clear();
        state.refusing.send_replace(Vec::new());
    }

    /// How often each action was called.
    pub(super) fn calls(&self) -> BTreeMap<String, usize> {
        self.lock().calls.clone()
    }

    /// How many calls were hit.
    pub(super) fn hits(&self) -> usize {
        self.lock().hits
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens. Several sockets may have the port, so that a spare one can keep it while nobody listens.
fn listen(port: u16) -> io::Result<(TcpListener, u16)> {
    let listener = bind(port)?.listen(1024)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

/// Serves one service. While it refuses, its listener and all connections are closed.
async fn serve(
    state: Arc<Mutex<State>>,
    service: &'static str,
    mut listener: TcpListener,
    port: u16,
) {
    let mut refusing = lock(&state).refusing.subscribe();
    loop {
        let spare = bind(port).expect("the port is ours");
        let mut connections = JoinSet::new();
        loop {
            let refused = async {
                let refused = refusing.wait_for(|names| names.contains(&service));
                refused.await.is_ok()
            };
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    connections.spawn(connection(Arc::clone(&state), service, stream));
                }
                Some(_) = connections.join_next() => {}
                _ = refused => break,
            }
        }
        drop((listener, connections));
        let over = refusing.wait_for(|names| !names.contains(&service));
        if over.await.is_err() {
            return;
        }
        listener = spare.listen(1024).expect("the port is ours");
    }
}

/// A request or an answer.
#[derive(Debug)]
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The next message on a connection; `None` when the connection is over.
    async fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(stream.read_line(&mut head).await, Ok(1..)) {
                return None;
            }
        }
        let mut message = Self {
            head,
            body: Vec::new(),
        };
        let length = message.header("content-length").unwrap_or("0");
        message.body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut message.body).await.ok()?;
        Some(message)
    }

    /// The same head with another length.
    fn head_of(&self, length: usize) -> String {
        let others = self
            .head
            .lines()
            .filter(|line| !line.is_empty())
            .filter(|line| {
                let name = line.split(':').next().unwrap_or_default();
                !["content-length", "connection"].contains(&&name.to_ascii_lowercase()[..])
            });
        let others: String = others.map(|line| format!("{line}\r\n")).collect();
        format!("{others}content-length: {length}\r\n\r\n")
    }

    /// The operation that a request asks for; nothing for one that only opens a connection.
    fn action(&self) -> String {
        if let Some(target) = self.header("x-amz-target") {
            return target.rsplit('.').next().unwrap_or_default().to_owned();
        }
        let form = String::from_utf8_lossy(&self.body);
        let mut pairs = form.split('&');
        let action = pairs.find_map(|pair| pair.strip_prefix("Action="));
        action.unwrap_or_default().to_owned()
    }
}

/// Passes on requests until one of them ends the connection.
async fn connection(state: Arc<Mutex<State>>, service: &'static str, stream: TcpStream) {
    // An error means that the caller is gone already.
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(request) = Message::read(&mut stream).await {
        let action = request.action();
        let (upstream, spoil) = {
            let mut state = lock(&state);
            if !action.is_empty() {
                *state.calls.entry(action.clone()).or_default() += 1;
            }
            let spoil = state.take(&action);
            if spoil.is_some_and(|spoil| spoil.fault == Fault::Refused) {
                state.refusing.send_modify(|names| names.push(service));
            }
            (state.upstreams.get(service).cloned(), spoil)
        };
        let fault = spoil.map(|spoil| spoil.fault);
        let answer = match spoil {
            Some(spoil) if !spoil.reached && !fault.is_some_and(Fault::spoils_an_answer) => None,
            _ => ask(upstream.as_deref(), &request).await,
        };
        if !reply(&mut stream, service, fault, answer).await {
            return;
        }
    }
}

impl Fault {
    /// Whether there is nothing to spoil without an answer.
    fn spoils_an_answer(self) -> bool {
        use Fault::{Drip, Garbled, Late, Long, Short, Truncated};
        matches!(self, Truncated | Garbled | Long | Short | Drip | Late)
    }
}

impl State {
    fn take(&mut self, action: &str) -> Option<Spoil> {
        for spoil in &mut self.spoils {
            if spoil.action != action || spoil.times == Some(0) {
                continue;
            }
            if spoil.after > 0 {
                spoil.after -= 1;
                continue;
            }
            if let Some(times) = &mut spoil.times {
                *times -= 1;
            }
            self.hits += 1;
            return Some(*spoil);
        }
        None
    }
}

/// The service's own answer.
async fn ask(upstream: Option<&str>, request: &Message) -> Option<Message> {
    let stream = TcpStream::connect(upstream?).await.ok()?;
    let mut stream = BufReader::new(stream);
    let head = request.head_of(request.body.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&request.body).await.ok()?;
    Message::read(&mut stream).await
}

/// Answers, as the fault has it. `false` if the connection is over.
async fn reply(
    stream: &mut BufReader<TcpStream>,
    service: &str,
    fault: Option<Fault>,
    answer: Option<Message>,
) -> bool {
    let canned = |status: u16, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} said\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    };
    let spoilt = |length: usize, body: &[u8]| match &answer {
        Some(answer) => [answer.head_of(length).as_bytes(), body].concat(),
        None => Vec::new(),
    };
    let body = answer.as_ref().map_or(&[][..], |answer| &answer.body);
    let (bytes, stays) = match fault {
        None => (spoilt(body.len(), body), answer.is_some()),
        Some(Fault::Late) => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (spoilt(body.len(), body), answer.is_some())
        }
        Some(Fault::Truncated) => (spoilt(body.len(), &body[..body.len() / 2]), false),
        Some(Fault::Long) => (spoilt(body.len() + 100, body), false),
        Some(Fault::Short) => (spoilt(body.len() / 2, body), true),
        Some(Fault::Garbled) => {
            let mut garbled = body.to_vec();
            garbled[body.len() / 3..].fill(0xff);
            (spoilt(body.len(), &garbled), true)
        }
        Some(Fault::Drip) => {
            let head = spoilt(body.len(), &[]);
            let mut alive = stream.write_all(&head).await.is_ok();
            for byte in body {
                tokio::time::sleep(Duration::from_millis(50)).await;
                alive = alive && stream.write_all(&[*byte]).await.is_ok();
                if !alive {
                    return false;
                }
            }
            (Vec::new(), true)
        }
        Some(Fault::Silent) => {
            // The caller gives up.
            let _ = stream.read_u8().await;
            return false;
        }
        Some(Fault::Reset | Fault::Refused) => {
            // An error means that the caller is gone already.
            let _ = stream.get_ref().set_zero_linger();
            return false;
        }
        Some(Fault::Ok(body)) => (canned(200, body), true),
        Some(Fault::Status(status, body)) => (canned(status, body), true),
        Some(Fault::ErrorDocument) => {
            let document = match service {
                "EC2" => {
                    "<Response><Errors><Error><Code>InternalError</Code><Message>said</Message></Error></Errors></Response>"
                }
                "STS" => {
                    "<ErrorResponse><Error><Code>InternalFailure</Code><Message>said</Message></Error></ErrorResponse>"
                }
                _ => r#"{"__type":"said#InternalServerError","message":"said"}"#,
            };
            (canned(200, document), true)
        }
    };
    stream.write_all(&bytes).await.is_ok() && stays
}
