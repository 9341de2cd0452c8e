//! The verb that makes record files from what other tools say.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rulekeeper_core::desired::Mode;

use super::mode;

const IMPORT_HELP: &str = "\
Examples:
  rulekeeper import terraform state.json --output-dir records
  rulekeeper import cloudformation template.yaml --resources resources.json --output-dir records";

/// What to read.
#[derive(Debug, Subcommand)]
#[command(after_help = IMPORT_HELP)]
pub(crate) enum Import {
    /// Read the JSON that `terraform show -json` prints of a state or a plan
    Terraform(ImportTerraform),
    /// Read a template in JSON or YAML, and what its logical ids stand for
    Cloudformation(ImportCloudformation),
}

/// What becomes of the records.
#[derive(Debug, Args)]
pub(crate) struct Records {
    /// Write a file for each group here, and replace none [default: all to standard output, in YAML]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output_dir: Option<PathBuf>,
    /// The mode of the records: enforce or observe
    #[arg(long, value_name = "MODE", value_parser = mode, default_value = "enforce")]
    pub(crate) mode: Mode,
}

const TERRAFORM_HELP: &str = "\
Read are aws_security_group, aws_security_group_rule and aws_vpc_security_group_ingress_rule; egress is passed over.
A group of which anything is not known is left out as a whole and named on standard error; the exit code is 1 then.
Account and Region come from the group's ARN, or from --account and --region.

Examples:
  rulekeeper import terraform state.json --output-dir records
  terraform show -json | rulekeeper import terraform - | rulekeeper apply -f -";

#[derive(Debug, Args)]
#[command(after_help = TERRAFORM_HELP)]
pub(crate) struct ImportTerraform {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) records: Records,
}

const CLOUDFORMATION_HELP: &str = "\
Read are AWS::EC2::SecurityGroup and AWS::EC2::SecurityGroupIngress; egress is passed over. Of functions only Ref and GetAtt
of the template's own resources are understood, and AWS::AccountId and AWS::Region; parameters are not.
A group of which anything is not known is left out as a whole and named on standard error; the exit code is 1 then.
Account and Region come from the stack's ARN in --resources, or from --account and --region.

Examples:
  rulekeeper import cloudformation template.yaml --resources resources.json --output-dir records

Where the resources come from:
  aws cloudformation describe-stack-resources --stack-name NAME --output json > resources.json";

#[derive(Debug, Args)]
#[command(after_help = CLOUDFORMATION_HELP)]
pub(crate) struct ImportCloudformation {
    /// The template; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What `aws cloudformation describe-stack-resources` prints of the stack
    #[arg(long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) records: Records,
}
