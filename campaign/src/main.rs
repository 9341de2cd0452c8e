//! A campaign: thousands of random cases against the whole function, with time under control and in one process.
//!
//! A `case::Case` is made from a seed. It has actors with intents, a way in which events come, and what goes wrong with
//! our own calls. A run of it is always the same: there is one thread, the clock is tokio's paused one, and every chance
//! is drawn from the seed. So the number of a seed is enough to see a failure again.
//!
//! # What is real
//! `function::Handler` and everything behind it: events are read from their JSON, reports are made,
//! records and states go to the table and back as JSON. EC2 and the table are the fakes of the other tests.
//!
//! # What can happen
//! - **Actors** (`actors`): up to three listed principals, each with an intent about rules of its own: a decision of one
//!   or more calls, at once or one by one; a replacement in either order, refused, throttled or taken back; a modify; a
//!   deletion of the group that a rule refers to; closing nearly everything. Others, who are not listed, drop rules, cover
//!   them, modify them, fill the quota and delete groups. A person insists. An operator writes records.
//! - **Events** come late, up to an hour, twice, in another order, or never.
//! - **Calls** of the function take time, and each may be throttled, conflict, end in a server error, in silence or with
//!   an answer that cannot be read, whether or not it worked; the instance may die before it or after it. Reads of rules
//!   may be up to five seconds old. For a time, all calls to one service may fail.
//! - **Invocations** run beside each other, each instance with a clock of its own. Lambda tries an event three times,
//!   the queue a message five times.
//!
//! # What must hold
//! Each actor knows what it means, so each rule has an end that it must have (`actors::End`), as far as the events came
//! that tell of it. `promises` checks after each answer that nothing in it is false, and at rest that nothing that was
//! decided is open, nothing that was lost is closed, and each missing rule is told of. `ports` checks each authorize
//! against the records that were current.
//!
//! # What is left out
//! More than one kept group; references in other accounts; pauses, observe mode and settings; tags.
mod actors;
mod case;
mod clock;
mod cloud;
mod ports;
mod promises;
mod run;
mod sum;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use sum::Sum;

/// From this many seeds on, every verdict has to be reached.
const ENOUGH: u64 = 1_000;

/// Runs seeds: `campaign COUNT [FIRST]`.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]
fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (count, first) = match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(count)), None, None) => (count, 1),
        (Some(Ok(count)), Some(Ok(first)), None) => (count, first),
        _ => {
            eprintln!(
                "usage: campaign COUNT [FIRST]: how many seeds to run, and the first of them (1)"
            );
            return ExitCode::from(2);
        }
    };
    let sum = Sum::of(first..first + count);
    println!("{sum}");
    let unreached = sum.unreached();
    if count >= ENOUGH && !unreached.is_empty() {
        println!("never reached: {}", unreached.join("; "));
        return ExitCode::FAILURE;
    }
    match sum.first_story() {
        None => ExitCode::SUCCESS,
        Some(story) => {
            println!("{story}");
            ExitCode::FAILURE
        }
    }
}
