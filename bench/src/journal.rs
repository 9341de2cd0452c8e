//! Who called, in the stack's journal and in CloudTrail's records.

use rulekeeper_local::StackConfig;

/// Whether an ARN is that of the function.
pub fn is_function(principal: &str) -> bool {
    let role = StackConfig::default().function_role;
    principal.contains(&format!(":assumed-role/{role}/"))
}
