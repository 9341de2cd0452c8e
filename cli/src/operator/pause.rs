//! Pauses: leaving a group alone for a time.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use serde::Serialize;

use super::history::settings_of;
use super::principals::SettingsDraft;
use super::{Archive, Author, Draft, OperatorError, recorded};
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

/// What became of the pause of every group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PausedAll {
    /// The generation of the settings that is current now.
    pub generation: u64,
    /// Whether that generation is new.
    pub changed: bool,
    /// Until when every group is left alone; absent when none is for that reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
}

/// Pauses every group in the settings for this long, or ends that pause. The function sees it with its next event.
///
/// # Errors
/// When the settings cannot be understood, were changed meanwhile, or cannot be written.
pub async fn pause_all(
    table: &impl Archive,
    length: Option<PauseLength>,
    reason: Option<&str>,
    author: &Author,
) -> Result<PausedAll, OperatorError> {
    let draft = SettingsDraft::of(table).await?;
    if length.is_none() && draft.before.paused_at(author.now).is_none() {
        return Ok(PausedAll {
            generation: draft.before.generation,
            changed: false,
            paused_until: None,
        });
    }
    let until = length.map(|length| author.now.checked_add(length.0));
    let until = until.transpose().map_err(|_| OperatorError::NoSuchTime)?;
    let said = match until {
        Some(until) => format!("every group is paused until {until}"),
        None => "every group is resumed".to_owned(),
    };
    let draft = draft.with(|settings| {
        settings.pause = until.map(|until| Pause {
            until,
            reason: reason.map(str::to_owned),
        });
        settings.reason = Some(super::because(&said, reason));
    });
    Ok(PausedAll {
        generation: draft.write(table, author).await?,
        changed: true,
        paused_until: until,
    })
}

/// The pause of every group that lasts at this time.
///
/// # Errors
/// When the settings cannot be read or understood.
pub async fn paused_all(
    table: &impl Archive,
    now: Timestamp,
) -> Result<Option<Pause>, OperatorError> {
    let settings = settings_of(table.settings().await?.as_ref())?;
    Ok(settings.paused_at(now).cloned())
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
