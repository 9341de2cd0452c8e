//! The programs that are measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use rulekeeper_bench::Result;
use rulekeeper_bench::stack::TABLE;

use crate::cgroup::Cgroup;
use crate::groups::{Place, RULES_MAX};
use crate::runtime::Instance;

/// Our function, started before there is an event.
const PROVISIONED: &str = "provisioned";

/// The file of root certificates: of Debian and its kind, and of Amazon Linux.
const BUNDLES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// A function, and how to start it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    arguments: Vec<PathBuf>,
    /// As Lambda gives it in `AWS_LAMBDA_INITIALIZATION_TYPE`.
    initialization: &'static str,
}

/// Those that are there.
///
/// # Errors
/// When one of the release builds is missing.
pub(crate) fn programs(
    release: &Path,
    other: Option<&Path>,
    python: Option<&Path>,
) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    let mut add = |name: &str, file: &Path, arguments: Vec<PathBuf>| -> Result<()> {
        if !file.is_file() {
            let file = file.display();
            return Err(format!("there is no {file}; `make bench` builds it first").into());
        }
        let (name, file) = (name.to_owned(), std::path::absolute(file)?);
        programs.push(Program {
            initialization: match name.as_str() {
                PROVISIONED => "provisioned-concurrency",
                _ => "on-demand",
            },
            name,
            file,
            arguments,
        });
        Ok(())
    };
    let function = release.join("rulekeeper-function");
    add("rulekeeper", &function, vec![])?;
    add(PROVISIONED, &function, vec![])?;
    if let Some(other) = other {
        add("other", other, vec![])?;
    }
    if let Some(python) = python {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("boto3/function.py");
        add("boto3", python, vec![source])?;
    }
    add("bare", &release.join("bare"), vec![])?;
    add("floor", &release.join("floor"), vec![])?;
    Ok(programs)
}

impl Program {
    /// Whether it makes the calls and reads nothing.
    pub(crate) fn is_bare(&self) -> bool {
        self.name == "bare"
    }

    /// Whether it compares the group with its record.
    pub(crate) fn restores_by_record(&self) -> bool {
        !["bare", "floor", PROVISIONED].contains(&self.name.as_str())
    }

    /// Whether it puts anything back.
    pub(crate) fn restores(&self) -> bool {
        self.name != "floor"
    }

    /// Whether it is a program of its own.
    pub(crate) fn is_binary(&self) -> bool {
        self.arguments.is_empty() && self.name != PROVISIONED
    }

    /// Starts a process in Lambda's environment.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(&self, place: &Place, cgroup: Option<&Cgroup>) -> Result<Instance> {
        let mut command = Command::new(&self.file);
        command.args(&self.arguments);
        let account = place.stack.cloud().account();
        Instance::start(
            self.prepared(command, place),
            cgroup.map(Cgroup::path),
            account,
        )
    }

    /// Starts a process under another program.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start_under(
        &self,
        place: &Place,
        tool: &Path,
        arguments: &[PathBuf],
    ) -> Result<Instance> {
        let mut command = Command::new(tool);
        command
            .args(arguments)
            .arg(&self.file)
            .args(&self.arguments);
        let mut command = self.prepared(command, place);
        // Tools are looked for where the user's shell would find them.
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        Instance::start(command, None, place.stack.cloud().account())
    }

    fn prepared(&self, mut command: Command, place: &Place) -> Command {
        command.env_clear();
        // One file, as in Lambda's image. Debian's folder has each certificate a second time.
        let file = BUNDLES.iter().find(|file| Path::new(file).is_file());
        command.envs(file.map(|file| ("SSL_CERT_FILE", file)));
        command.envs(place.stack.client_env());
        command.env_remove("AWS_ENDPOINT_URL");
        for (name, value) in [
            ("AWS_LAMBDA_FUNCTION_NAME", "rulekeeper"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", self.initialization),
            ("AWS_SESSION_TOKEN", "local"),
            ("AWS_ENDPOINT_URL_EC2", &place.gate.url(place.gate.ec2)),
            (
                "AWS_ENDPOINT_URL_DYNAMODB",
                &place.gate.url(place.gate.dynamodb),
            ),
            ("RULEKEEPER_TABLE", TABLE),
            ("RULEKEEPER_RULES_PER_GROUP", &RULES_MAX.to_string()),
        ] {
            command.env(name, value);
        }
        if let Some(certificate) = &place.certificate {
            command.env("SSL_CERT_FILE", certificate);
            command.env("AWS_CA_BUNDLE", certificate);
        }
        command
    }
}
