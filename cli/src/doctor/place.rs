//! Commands that mend, completed: a command that is copied has to name the Region, the table and the profile that are meant.

use rulekeeper_core::function::permissions::Check;

/// Where we look, as the command line was told.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// The groups' Region.
    pub(super) region: String,
    /// The table's name.
    pub(super) table: Option<String>,
    /// The table's Region, if it is another one.
    pub(super) table_region: Option<String>,
    /// The profile, if one was given as an option.
    pub(super) profile: Option<String>,
}

impl Place {
    /// Completes the commands of a check's fix: its lines that begin with `aws` or `rulekeeper`, and those between backticks.
    pub(super) fn complete(&self, mut check: Check) -> Check {
        let fix = check.fix.as_deref().map(|fix| {
            let lines = fix.lines().map(|line| match is_command(line) {
                true => self.completed(line),
                false => self.quoted(line),
            });
            lines.collect::<Vec<_>>().join("\n")
        });
        check.fix = fix;
        check
    }

    fn quoted(&self, line: &str) -> String {
        let parts = line.split('`').enumerate();
        let parts = parts.map(|(place, part)| match place % 2 == 1 && is_command(part) {
            true => self.completed(part),
            false => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("`")
    }

    fn completed(&self, command: &str) -> String {
        let mut made = command.to_owned();
        let mut give = |option: &str, value: Option<&str>| {
            if let Some(value) = value
                && !made.split_whitespace().any(|word| word == option)
            {
                made += &format!(" {option} {value}");
            }
        };
        let of_aws = command.starts_with("aws ");
        let elsewhere = self.table_region.as_deref();
        let region = elsewhere.filter(|_| command.starts_with("aws dynamodb "));
        // A login is a profile's, and has no Region.
        if ["aws sso ", "aws configure "]
            .iter()
            .all(|it| !command.starts_with(it))
        {
            if command.starts_with("aws dynamodb ") && command.contains("-item ") {
                give("--table-name", self.table.as_deref());
            }
            if !of_aws {
                give("--table", self.table.as_deref());
                give("--table-region", elsewhere);
            }
            give("--region", Some(region.unwrap_or(&self.region)));
        }
        give("--profile", self.profile.as_deref());
        made
    }
}

fn is_command(text: &str) -> bool {
    text.starts_with("aws ") || text.starts_with("rulekeeper ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::failed;

    #[test]
    fn commands_name_where_they_work_and_words_stay() {
        let place = Place {
            region: "eu-west-1".to_owned(),
            table: Some("t".to_owned()),
            table_region: Some("us-east-1".to_owned()),
            profile: Some("prod".to_owned()),
        };
        let of = |fix: &str| {
            let check = place.complete(failed("x", "y", "z").fix(fix));
            check.fix.unwrap_or_default()
        };
        assert_eq!(
            of("Say:\naws events enable-rule --name r\nor `rulekeeper restore`, and `look`."),
            "Say:\naws events enable-rule --name r --region eu-west-1 --profile prod\nor `rulekeeper restore --table t \
             --table-region us-east-1 --region eu-west-1 --profile prod`, and `look`."
        );
        assert_eq!(
            of("aws dynamodb get-item --key k"),
            "aws dynamodb get-item --key k --table-name t --region us-east-1 --profile prod"
        );
        assert_eq!(
            of("aws dynamodb x"),
            "aws dynamodb x --region us-east-1 --profile prod"
        );
        assert_eq!(
            of("aws cloudtrail x --region us-east-2 --profile p"),
            "aws cloudtrail x --region us-east-2 --profile p"
        );
        assert_eq!(
            of("`aws sso login --profile p`"),
            "`aws sso login --profile p`"
        );
    }
}
