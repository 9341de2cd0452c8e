//! A proxy before the local stack: it notes when each call was in the servers' hands, and delays answers.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rulekeeper_bench::Result;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::Message;

/// A call, from the last byte of the request to the first of the answer.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) action: String,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

/// What the gates have seen since they were last asked.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
    /// When connections were opened.
    pub(crate) connections: Vec<Instant>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    delay_us: AtomicU64,
    seen: Mutex<Seen>,
}

/// A door for each service, so that each has connections of its own, as at AWS.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
    tls: bool,
    pub(crate) ec2: u16,
    pub(crate) dynamodb: u16,
}

impl Gate {
    /// Opens the doors, with TLS if there is a configuration for it. They stay open until the program ends.
    ///
    /// # Errors
    /// When no port is to be had.
    pub(crate) fn open(upstream: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let shared = Arc::new(Shared {
            upstream,
            delay_us: AtomicU64::new(0),
            seen: Mutex::default(),
        });
        let door = || -> io::Result<u16> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = listener.local_addr()?.port();
            let (shared, tls) = (Arc::clone(&shared), tls.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (shared, tls) = (Arc::clone(&shared), tls.clone());
                    thread::spawn(move || shared.connection(stream, tls));
                }
            });
            Ok(port)
        };
        Ok(Self {
            ec2: door()?,
            dynamodb: door()?,
            tls: tls.is_some(),
            shared,
        })
    }

    /// The endpoint behind a door.
    pub(crate) fn url(&self, port: u16) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://localhost:{port}")
    }

    /// `plain` or `TLS`.
    pub(crate) fn protocol(&self) -> &'static str {
        if self.tls { "TLS" } else { "plain" }
    }

    /// From now on each call takes at least this long.
    pub(crate) fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.delay_us.store(delay, Ordering::Relaxed);
    }

    /// What was seen since the last time.
    pub(crate) fn take(&self) -> Seen {
        let seen = self.shared.seen.lock();
        std::mem::take(&mut seen.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn connection(&self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) {
        let opened = Instant::now();
        self.note(|seen| seen.connections.push(opened));
        // An error is what a caller that goes away looks like.
        let _ = stream.set_nodelay(true);
        let _ = match tls {
            None => self.serve(stream),
            Some(config) => ServerConnection::new(config)
                .map_err(io::Error::other)
                .and_then(|tls| self.serve(StreamOwned::new(tls, stream))),
        };
    }

    fn serve(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let mut upstream = TcpStream::connect(self.upstream)?;
        upstream.set_nodelay(true)?;
        while let Some(request) = Message::read(&mut stream)? {
            let began = Instant::now();
            request.write(&mut upstream)?;
            let answer = Message::read(&mut upstream)?;
            let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
            let delay = Duration::from_micros(self.delay_us.load(Ordering::Relaxed));
            thread::sleep(delay.saturating_sub(began.elapsed()));
            let call = Call {
                action: request.action(),
                began,
                ended: Instant::now(),
            };
            self.note(|seen| seen.calls.push(call));
            answer.write(&mut stream)?;
        }
        Ok(())
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
