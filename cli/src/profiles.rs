//! The profiles in the files of the AWS CLI, read as the SDK reads them.

use std::env;
use std::error::Error;

use aws_config::profile::ProfileSet;
use aws_types::os_shim_internal::{Env, Fs};

use crate::failure::Failure;

/// Where a profile's name comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The name.
    pub(crate) name: String,
    /// `--profile` or `AWS_PROFILE`; `None` for `default`, which nobody named.
    pub(crate) by: Option<&'static str>,
}

impl Chosen {
    /// The profile that is meant.
    pub(crate) fn of(option: Option<&str>) -> Self {
        let variable = env::var("AWS_PROFILE").ok().filter(|it| !it.is_empty());
        let (name, by) = match (option, variable) {
            (Some(name), _) => (name.to_owned(), Some("--profile")),
            (None, Some(name)) => (name, Some("AWS_PROFILE")),
            (None, None) => ("default".to_owned(), None),
        };
        Self { name, by }
    }
}

/// The profiles that there are.
#[derive(Debug)]
pub(crate) struct Profiles {
    /// Why the files cannot be read, if they cannot.
    read: Result<ProfileSet, String>,
}

impl Profiles {
    /// Reads the files: those of `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, or the usual ones.
    pub(crate) async fn load() -> Self {
        #[expect(
            deprecated,
            reason = "the alias is the only name of this type in aws-config"
        )]
        let files = aws_config::profile::profile_file::ProfileFiles::default();
        let read = aws_config::profile::load(&Fs::real(), &Env::real(), &files, None).await;
        let read = read.map_err(|error| with_causes(&error));
        Self { read }
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.read.iter().flat_map(ProfileSet::profiles).collect();
        names.sort_unstable();
        names
    }

    /// A setting of a profile.
    pub(crate) fn setting(&self, profile: &str, name: &str) -> Option<&str> {
        self.read.as_ref().ok()?.get_profile(profile)?.get(name)
    }

    /// The profile to log in to with IAM Identity Center (SSO), for this one or for one that it takes its credentials from.
    pub(crate) fn login(&self, profile: &str) -> Option<String> {
        let mut name = profile.to_owned();
        // Profiles may take credentials from each other in a circle.
        for _ in 0..10 {
            if ["sso_session", "sso_start_url"]
                .iter()
                .any(|setting| self.setting(&name, setting).is_some())
            {
                return Some(name);
            }
            self.setting(&name, "source_profile")?.clone_into(&mut name);
        }
        None
    }

    /// What is wrong if a profile was named that is not there, or the files cannot be read.
    ///
    /// # Errors
    /// In these cases.
    pub(crate) fn must_have(&self, chosen: &Chosen) -> Result<(), Failure> {
        let set = match &self.read {
            Ok(set) => set,
            Err(error) => {
                let message = format!("the files of profiles cannot be read: {error}");
                let hint = "Correct ~/.aws/config or ~/.aws/credentials, or the files that AWS_CONFIG_FILE and \
                            AWS_SHARED_CREDENTIALS_FILE name.";
                return Err(Failure::usage(message).hint(hint));
            }
        };
        let Some(by) = chosen.by else { return Ok(()) };
        if set.get_profile(&chosen.name).is_some() {
            return Ok(());
        }
        let name = &chosen.name;
        let there = match self.names()[..] {
            [] => "there is none at all, neither in ~/.aws/config nor in ~/.aws/credentials"
                .to_owned(),
            ref names => format!("there are: {}", names.join(", ")),
        };
        let hint = format!(
            "Name one that there is, or make this one with `aws configure --profile {name}` or `aws configure sso --profile \
             {name}`. AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name other files."
        );
        let message = format!("there is no profile {name:?} ({by}); {there}");
        Err(Failure::usage(message).hint(hint))
    }
}

/// An error with what caused it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let words = deeper.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = deeper.source();
    }
    text
}
