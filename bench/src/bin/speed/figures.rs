//! Medians of what was measured.

use std::time::{Duration, Instant};

use crate::gate::{Call, Seen};
use crate::runtime::Handled;

/// One event.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) handled: Handled,
    pub(crate) calls: Vec<Call>,
    /// Connections that were opened after the event was handed over.
    pub(crate) opened: usize,
    pub(crate) cpu: Duration,
    pub(crate) init: Option<Duration>,
    pub(crate) peak_kib: Option<u64>,
}

impl Sample {
    pub(crate) fn of(handled: Handled, seen: Seen) -> Self {
        let mut calls = seen.calls;
        calls.sort_by_key(|call| call.began);
        let opened = seen.connections.iter().filter(|at| **at > handled.sent);
        Self {
            opened: opened.count(),
            cpu: handled.cpu,
            init: None,
            peak_kib: None,
            calls,
            handled,
        }
    }

    /// When the last authorize was answered; the answer itself, of a program that makes none.
    fn back(&self) -> Instant {
        let authorizes = self
            .calls
            .iter()
            .filter(|it| it.action.starts_with("Authorize"));
        authorizes
            .map(|it| it.ended)
            .max()
            .unwrap_or(self.handled.answered)
    }

    /// The times at which calls were in the servers' hands, up to `end`, those of overlapping calls joined.
    fn rounds(&self, end: Instant) -> Vec<(Instant, Instant)> {
        let mut rounds: Vec<(Instant, Instant)> = Vec::new();
        for call in self.calls.iter().filter(|call| call.began < end) {
            match rounds.last_mut() {
                Some((_, until)) if call.began <= *until => *until = call.ended.max(*until),
                _ => rounds.push((call.began, call.ended)),
            }
        }
        rounds
    }

    fn servers(&self, end: Instant) -> Duration {
        let rounds = self.rounds(end).into_iter();
        rounds.map(|(began, ended)| ended.min(end) - began).sum()
    }

    fn own(&self, end: Instant) -> Duration {
        (end - self.handled.sent).saturating_sub(self.servers(end))
    }
}

/// The samples of one program.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) samples: Vec<Sample>,
}

impl Figures {
    pub(crate) fn init(&self) -> String {
        self.millis(|it| it.init.unwrap_or_default())
    }

    pub(crate) fn start_to_back(&self) -> String {
        self.millis(|it| it.init.unwrap_or_default() + (it.back() - it.handled.sent))
    }

    pub(crate) fn start_to_answer(&self) -> String {
        self.millis(|it| it.init.unwrap_or_default() + (it.handled.answered - it.handled.sent))
    }

    pub(crate) fn cpu(&self) -> String {
        self.millis(|it| it.cpu)
    }

    pub(crate) fn opened(&self) -> String {
        self.count(|it| it.opened)
    }

    pub(crate) fn peak(&self) -> String {
        let mib = |it: &Sample| it.peak_kib.unwrap_or_default() as f64 / 1024.0;
        self.cell(mib)
    }

    pub(crate) fn back(&self) -> String {
        self.millis(|it| it.back() - it.handled.sent)
    }

    pub(crate) fn answer(&self) -> String {
        self.millis(|it| it.handled.answered - it.handled.sent)
    }

    pub(crate) fn own_back(&self) -> String {
        self.millis(|it| it.own(it.back()))
    }

    pub(crate) fn own_answer(&self) -> String {
        self.millis(|it| it.own(it.handled.answered))
    }

    pub(crate) fn servers(&self) -> String {
        self.millis(|it| it.servers(it.handled.answered))
    }

    pub(crate) fn calls(&self) -> String {
        self.count(|it| it.calls.len())
    }

    pub(crate) fn rounds_back(&self) -> String {
        self.count(|it| it.rounds(it.back()).len())
    }

    pub(crate) fn rounds_answer(&self) -> String {
        self.count(|it| it.rounds(it.handled.answered).len())
    }

    fn millis(&self, of: impl Fn(&Sample) -> Duration) -> String {
        self.cell(|it| of(it).as_secs_f64() * 1_000.0)
    }

    fn cell(&self, of: impl Fn(&Sample) -> f64) -> String {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (values.len().saturating_sub(1) as f64 * share).round() as usize;
            values.get(place).copied().unwrap_or(f64::NAN)
        };
        let (median, low, high) = (at(0.5), at(0.25), at(0.75));
        match median {
            100.0.. => format!("{median:.0} ({low:.0}–{high:.0})"),
            10.0..100.0 => format!("{median:.1} ({low:.1}–{high:.1})"),
            _ => format!("{median:.2} ({low:.2}–{high:.2})"),
        }
    }

    fn count(&self, of: impl Fn(&Sample) -> usize) -> String {
        let mut values: Vec<usize> = self.samples.iter().map(of).collect();
        values.sort_unstable();
        match (values.first(), values.last()) {
            (Some(least), Some(most)) if least != most => format!("{least}–{most}"),
            (Some(least), _) => least.to_string(),
            _ => String::new(),
        }
    }
}
