//! What goes wrong, for a few seconds at a time.

use rulekeeper_local::{Bucket, Delivery, Dials, Fault, Latency, Stack};

const READ: &str = "DescribeSecurityGroupRules";
const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

/// The calls that fail now and then.
const CALLS: [&str; 7] = [
    READ,
    AUTHORIZE,
    "BatchGetItem",
    "Query",
    "UpdateItem",
    "PutItem",
    "TransactWriteItems",
];

pub(super) struct Weather {
    rng: fastrand::Rng,
}

impl Weather {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self { rng }
    }

    /// Other trouble from now on.
    pub(super) fn change(&mut self, stack: &Stack) {
        let rng = &mut self.rng;
        stack.bridge().set_delivery(Delivery {
            delay_ms: rng.u64(0..1_500),
            jitter_ms: rng.u64(0..1_500),
            duplicates: rng.u32(0..2),
            reorder_window_ms: rng.u64(0..4) * 200,
            lose_fraction: [0.0, 0.0, 0.1, 0.3][rng.usize(0..4)],
            seed: rng.u64(..),
            ..Delivery::default()
        });
        let mut dials = Dials {
            seed: rng.u64(..),
            staleness_ms: [0, 0, 300, 1_500][rng.usize(0..4)],
            page_limit: [None, None, Some(5)][rng.usize(0..3)],
            faults: (0..rng.u32(0..5)).map(|_| fault(rng)).collect(),
            ..Dials::default()
        };
        let jitter_ms = rng.u64(0..200);
        let latency = Latency {
            fixed_ms: 0,
            jitter_ms,
        };
        dials.latency.insert("*".to_owned(), latency);
        if rng.u8(0..3) == 0 {
            let bucket = Bucket {
                burst: 3.0,
                per_second: 2.0,
            };
            let action = [READ, AUTHORIZE][rng.usize(0..2)];
            dials.throttles.insert(action.to_owned(), bucket);
        }
        if rng.u8(0..12) == 0 {
            dials.denied.insert(AUTHORIZE.to_owned());
        }
        stack.cloud().adjust(|now| *now = dials);
    }

    /// All is well again.
    pub(super) fn end(stack: &Stack) {
        stack.bridge().set_delivery(Delivery::default());
        stack.cloud().adjust(|dials| *dials = Dials::default());
    }
}

/// Some calls, or a share of them, fail before they worked or after.
fn fault(rng: &mut fastrand::Rng) -> Fault {
    let action = CALLS[rng.usize(0..CALLS.len())];
    let table = !action.contains("SecurityGroup");
    let fault = match rng.u8(0..6) {
        0 => Fault::error(action, "InternalServerError", 500).taking_effect(),
        1 => Fault::error(action, "ServiceUnavailable", 503),
        2 => Fault::drop_connection(action).taking_effect(),
        3 if table => Fault::error(action, "ThrottlingException", 400),
        4 if action == "TransactWriteItems" => Fault::cancelled(&["None", "TransactionConflict"]),
        // Each takes seconds.
        _ => return Fault::silence(action).times(rng.u32(1..4)),
    };
    match rng.bool() {
        true => fault.times(rng.u32(1..4)),
        false => fault.always().percent(30),
    }
}
