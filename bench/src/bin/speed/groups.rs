//! The local stack behind the proxy, and groups that lose rules.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs, process};

use rulekeeper_bench::stack::{self, TABLE};
use rulekeeper_bench::{Result, client};
use rulekeeper_local::{Bridge, Stack};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::runtime::{Builder, Runtime};

use crate::figures::Sample;
use crate::gate::Gate;
use crate::programs::Program;
use crate::runtime::Instance;

/// The most rules that a group may have here.
pub(crate) const RULES_MAX: u32 = 1_000;

/// A stack, and the way to it.
pub(crate) struct Place {
    pub(crate) stack: Stack,
    pub(crate) gate: Gate,
    /// The file with the certificate that clients have to trust.
    pub(crate) certificate: Option<PathBuf>,
    vpc: String,
    groups: Cell<usize>,
    runtime: Runtime,
}

impl Place {
    /// Starts a stack, and its proxy with or without TLS.
    ///
    /// # Errors
    /// When a part does not start.
    pub(crate) fn start(tls: bool) -> Result<Self> {
        let stack = stack::start_without_events(None)?;
        stack.cloud().adjust(|dials| dials.quota = RULES_MAX);
        let upstream: SocketAddr = stack.endpoint().trim_start_matches("http://").parse()?;
        let (config, certificate) = match tls {
            true => tls_config().map(|(config, file)| (Some(config), Some(file)))?,
            false => (None, None),
        };
        Ok(Self {
            gate: Gate::open(upstream, config)?,
            certificate,
            vpc: stack.cloud().ec2().create_vpc("10.0.0.0/16")?,
            groups: Cell::new(0),
            runtime: Builder::new_current_thread().enable_all().build()?,
            stack,
        })
    }

    /// A new group with so many rules loses some, and a process is told.
    ///
    /// # Errors
    /// When it does not put them back.
    pub(crate) fn event(
        &self,
        instance: &Instance,
        rules: usize,
        dropped: usize,
        program: &Program,
    ) -> Result<Sample> {
        let ec2 = self.stack.cloud().ec2();
        self.groups.set(self.groups.get() + 1);
        let name = format!("group-{}", self.groups.get());
        let group = ec2.create_group(&name, &self.vpc)?;
        let rules: Vec<String> = (0..rules)
            .map(|number| format!("tcp {} from 10.0.0.0/8", 1_000 + number))
            .collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        ec2.clone().quietly().authorize(&group, &rules)?;
        self.record(&group, &rules)?;
        ec2.revoke(&group, &rules[rules.len() - dropped..])?;
        let record = self.stack.cloud().records().pop();
        let event = Bridge::envelope(record.ok_or("the revoke left no record")?);
        let event = serde_json::to_vec(&event)?;
        let opened_before = self.gate.take().connections;
        let handled = instance.invoke(event)?;
        let mut seen = self.gate.take();
        seen.connections.extend(opened_before);
        let live = ec2.rules(&group).len();
        if program.restores() && live != rules.len() {
            let answer = String::from_utf8_lossy(&handled.answer);
            return Err(format!("{live} of {} rules are live: {answer}", rules.len()).into());
        }
        Ok(Sample::of(handled, seen))
    }

    fn record(&self, group: &str, rules: &[&str]) -> Result<()> {
        let item = client::record(&self.stack, group, rules);
        let put = client::dynamodb(&self.stack).put_item().table_name(TABLE);
        self.runtime.block_on(put.set_item(Some(item)).send())?;
        Ok(())
    }
}

/// A server's configuration with a new certificate for `localhost`, and the certificate's file.
fn tls_config() -> Result<(Arc<ServerConfig>, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let file = env::temp_dir().join(format!("rulekeeper-speed-{}.pem", process::id()));
    fs::write(&file, made.cert.pem())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((Arc::new(config), file))
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(file) = &self.certificate {
            // An error leaves a file in the folder for temporary files.
            let _ = fs::remove_file(file);
        }
    }
}
