//! Pauses: leaving a group alone for a time.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::{Archive, Draft, OperatorError, recorded};
use rulekeeper_core::desired::{DesiredRecord, Pause};
use rulekeeper_core::model::GroupAddress;

/// How long a group may be paused: long enough for any piece of work, short enough that a forgotten pause ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PauseLength(SignedDuration);

/// The longest pause, in days.
const DAYS_MAX: i64 = 30;

/// Why a text is not the length of a pause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPause {
    /// It is no duration.
    #[error("give a duration such as 90m, 2h or 1d 12h: {0}")]
    Notation(String),
    /// It ends before it begins.
    #[error("a pause must be longer than 0")]
    NotPositive,
    /// It is longer than any pause should be.
    #[error(
        "a pause lasts {DAYS_MAX} days at most; to leave a group alone for longer, use `rulekeeper pin GROUP --mode observe` \
         (reports, changes nothing) or `rulekeeper unpin GROUP`"
    )]
    TooLong,
}

impl FromStr for PauseLength {
    type Err = InvalidPause;

    fn from_str(text: &str) -> Result<Self, InvalidPause> {
        let span: Span = text
            .trim()
            .parse()
            .map_err(|error: jiff::Error| InvalidPause::Notation(error.to_string()))?;
        let day = SpanRelativeTo::days_are_24_hours();
        // Months and years have no length of their own, and are too long in any case.
        let length = span.to_duration(day).map_err(|_| InvalidPause::TooLong)?;
        if length < SignedDuration::from_secs(1) {
            Err(InvalidPause::NotPositive)
        } else if length > SignedDuration::from_hours(24 * DAYS_MAX) {
            Err(InvalidPause::TooLong)
        } else {
            Ok(Self(length))
        }
    }
}

impl fmt::Display for PauseLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// Drafts a record that pauses its group from now on, whether it is paused already or not.
///
/// # Errors
/// When there is no record, or it cannot be read or understood.
pub async fn pause(
    table: &impl Archive,
    group: &GroupAddress,
    length: PauseLength,
    reason: &str,
    now: Timestamp,
) -> Result<Draft, OperatorError> {
    let (loaded, before) = recorded(table, group).await?;
    let until = now
        .checked_add(length.0)
        .map_err(|_| OperatorError::NoSuchTime)?;
    let record = DesiredRecord {
        pause: Some(Pause {
            until,
            reason: Some(reason.to_owned()),
        }),
        ..before.clone()
    };
    Ok(Draft {
        group: group.clone(),
        record,
        before: Some(before),
        loaded,
        reason: format!("paused until {until}: {reason}"),
    })
}

/// Drafts a record without its pause; it changes nothing when the group is not paused, or no longer.
///
/// # Errors
/// When there is no record, or it cannot be read or understood.
pub async fn resume(
    table: &impl Archive,
    group: &GroupAddress,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Draft, OperatorError> {
    let (loaded, before) = recorded(table, group).await?;
    let mut record = before.clone();
    if before.paused_at(now).is_some() {
        record.pause = None;
    }
    Ok(Draft {
        group: group.clone(),
        record,
        before: Some(before),
        loaded,
        reason: super::because("resumed", reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        let length = |text: &str| text.parse::<PauseLength>().map(|length| length.0);
        let hours = SignedDuration::from_hours;
        for (text, expected) in [
            ("2h", hours(2)),
            ("90m", SignedDuration::from_mins(90)),
            ("1d 12h", hours(36)),
            ("2 hours", hours(2)),
            ("30d", hours(720)),
            ("1w", hours(168)),
            ("PT2H", hours(2)),
        ] {
            assert_eq!(length(text), Ok(expected), "{text}");
        }
        for text in ["0s", "-2h", "2h ago", "0.4s"] {
            assert_eq!(length(text), Err(InvalidPause::NotPositive), "{text}");
        }
        for text in ["31d", "30d 1s", "1 month", "2 years"] {
            assert_eq!(length(text), Err(InvalidPause::TooLong), "{text}");
        }
        for text in ["", "2", "soon", "2h until noon"] {
            let error = length(text).expect_err(text);
            assert!(
                matches!(error, InvalidPause::Notation(_)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_pause_that_is_too_long_names_what_is_meant() {
        let said = InvalidPause::TooLong.to_string();
        assert!(
            said.contains("--mode observe") && said.contains("unpin"),
            "{said}"
        );
    }
}
