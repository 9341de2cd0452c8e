//! The scenarios that are explored.

use super::scenario::{Bounds, CALM, Do, Ends, Scenario, Step, Who, promptly, slow, step};

const OLD: &str = "tcp 80-9093 from 10.0.0.0/8";
const WIDER: &str = "tcp 80-9100 from 10.0.0.0/8";
const BAD: &str = "tcp 80-9100 from sg-0bad";
const NARROW: &str = "tcp 443 from 10.0.0.0/8";
const OTHER: &str = "udp 53 from 10.0.0.0/8";
const THIRD: &str = "udp 123 from 10.0.0.0/8";
const FOURTH: &str = "udp 514 from 10.0.0.0/8";
const FIFTH: &str = "udp 1812 from 10.0.0.0/8";
const REFERRING: &str = "tcp 5432 from sg-0def";
const PUBLIC: &str = "tcp 443 from 0.0.0.0/0";
const OFFICE: &str = "tcp 443 from 203.0.113.0/24";

/// Two instances at once, one of which may die.
const TWO: Bounds = Bounds {
    running: 2,
    retries: 1,
    crashes: 1,
    ..CALM
};

/// One instance at a time, which may die.
const DYING: Bounds = Bounds {
    retries: 1,
    crashes: 1,
    ..CALM
};

/// One instance at a time, with a little of everything else.
const ROUGH: Bounds = Bounds {
    copies: 2,
    retries: 1,
    crashes: 1,
    stale_reads: 1,
    ..CALM
};

/// Calls that end without an answer and may have worked.
const SILENT: Bounds = Bounds {
    retries: 1,
    silences: 2,
    ..CALM
};

/// Every event may be lost, and a sweep may come at any time.
const LOSSY: Bounds = Bounds {
    lossy: true,
    sweeps: 1,
    pauses_ms: &[5_000, 20 * 60_000],
    ..ROUGH
};

fn replaces() -> Vec<Step> {
    vec![step(Do::Revoke(0)), promptly(Do::Authorize(1))]
}

fn in_the_new_order() -> Vec<Step> {
    vec![step(Do::Authorize(1)), promptly(Do::Revoke(0))]
}

fn insists(times: usize) -> Vec<Step> {
    vec![step(Do::RevokeWhenLive(0)); times]
}

fn tries_twice() -> Vec<Step> {
    vec![
        step(Do::Revoke(0)),
        promptly(Do::Authorize(1)),
        step(Do::RevokeWhenLive(0)),
        promptly(Do::Authorize(1)),
    ]
}

fn of(name: &'static str, rules: &[&str], bounds: Bounds) -> Scenario {
    Scenario {
        bounds,
        ..Scenario::new(name, rules)
    }
}

/// A followed controller replaces a rule with a wider one.
fn replacement(name: &'static str, steps: Vec<Step>, bounds: Bounds) -> Scenario {
    of(name, &[OLD, WIDER], bounds)
        .with(Who::Controller, steps)
        .ends(Ends {
            accepted: vec![0],
            entered: vec![1],
            ..Ends::default()
        })
}

/// A followed controller revokes a rule, and the authorize of its replacement is refused.
fn abortion(name: &'static str, steps: Vec<Step>, bounds: Bounds) -> Scenario {
    let scenario = Scenario {
        invalid: vec![1],
        ..of(name, &[OLD, BAD], bounds)
    };
    scenario.with(Who::Controller, steps).ends(Ends {
        restored: vec![0],
        ..Ends::default()
    })
}

fn restored(rules: &[u8]) -> Ends {
    Ends {
        restored: rules.into(),
        ..Ends::default()
    }
}

fn accepted(rules: &[u8]) -> Ends {
    Ends {
        accepted: rules.into(),
        ..Ends::default()
    }
}

/// The scenarios for a short run, or with more faults at once for a long run.
pub(super) fn all(large: bool) -> Vec<Scenario> {
    [
        replacements(large),
        drops(large),
        decisions(large),
        modifies(large),
        deletions(large),
        waits(large),
    ]
    .concat()
}

fn replacements(large: bool) -> Vec<Scenario> {
    let choose = |short: Bounds, long: Bounds| if large { long } else { short };
    let two = choose(TWO, Bounds { copies: 2, ..TWO });
    let late = choose(
        Bounds {
            pauses_ms: &[20 * 60_000],
            ..LOSSY
        },
        LOSSY,
    );
    let untold = Bounds {
        ids: false,
        ..ROUGH
    };
    let mut all = vec![
        replacement("replaced, two instances", replaces(), two),
        replacement("replaced, delivered twice", replaces(), ROUGH),
        replacement("replaced, told without ids", replaces(), untold),
        replacement("new order, two instances", in_the_new_order(), two),
        replacement("new order, delivered twice", in_the_new_order(), ROUGH),
        // A controller that stops half-way, or whose event is lost, gets no complete change. Still, nothing may stay
        // missing.
        replacement("replaced, stopped, lost, late", replaces(), late)
            .may_stop()
            .ends(Ends::default()),
        abortion("aborted, two instances", replaces(), two),
        abortion("aborted, delivered twice", replaces(), ROUGH),
        abortion("aborted, silent calls", replaces(), SILENT),
        abortion(
            "aborted, lost, swept",
            replaces(),
            Bounds {
                pauses_ms: &[],
                ..late
            },
        ),
        abortion("aborted twice", tries_twice(), choose(DYING, ROUGH)),
    ];
    // The second of two authorizes is refused. So the whole change is aborted, but the first authorize stays.
    let half = Scenario {
        invalid: vec![2],
        ..of("half aborted", &[OLD, WIDER, BAD], choose(DYING, ROUGH))
    };
    let steps = vec![
        step(Do::Revoke(0)),
        promptly(Do::Authorize(1)),
        promptly(Do::Authorize(2)),
    ];
    all.push(half.with(Who::Controller, steps).ends(Ends {
        entered: vec![1],
        ..restored(&[0])
    }));
    // The step takes longer than a revoke settles. The old rule is restored, and the controller has to revoke it again.
    let slowly = vec![
        step(Do::Revoke(0)),
        slow(Do::Authorize(1), 6_000),
        step(Do::RevokeWhenLive(0)),
        step(Do::RevokeWhenLive(0)),
    ];
    all.push(replacement("replaced slowly", slowly, choose(CALM, DYING)));
    // After an aborted change no revoke counts for a quarter of an hour.
    let again = Scenario {
        invalid: vec![2],
        ..of(
            "tried again, then asked",
            &[OLD, WIDER, BAD],
            choose(CALM, DYING),
        )
    };
    let steps = vec![
        step(Do::Revoke(0)),
        promptly(Do::Authorize(2)),
        step(Do::RevokeWhenLive(0)),
        promptly(Do::Authorize(1)),
        slow(Do::Insist(0), 20 * 60_000),
        step(Do::Insist(0)),
        // If an invocation dies before it notes a restore, one more revoke is needed.
        step(Do::Insist(0)),
    ];
    all.push(again.with(Who::Controller, steps).ends(Ends {
        entered: vec![1],
        ..accepted(&[0])
    }));
    // The drop of one controller is handled while the other is half-way, which restores the other's old rule.
    let insisting = vec![step(Do::Insist(0)); 2];
    let both = Scenario {
        recorded: vec![0, 2],
        ..of("two controllers", &[OLD, WIDER, OTHER], choose(CALM, DYING))
    };
    all.push(
        both.with(Who::Controller, [replaces(), insisting].concat())
            .with(Who::Second, vec![step(Do::Revoke(2))])
            .ends(Ends {
                entered: vec![1],
                restored: vec![2],
                ..accepted(&[0])
            }),
    );
    all
}

/// A rule is revoked and authorized again, as for a change of its description.
fn made_anew() -> Vec<Step> {
    vec![step(Do::Revoke(0)), promptly(Do::Authorize(0))]
}

fn drops(large: bool) -> Vec<Scenario> {
    let choose = |short: Bounds, long: Bounds| if large { long } else { short };
    let everything = Bounds {
        silences: 1,
        ..LOSSY
    };
    let within = Scenario {
        recorded: vec![0, 1],
        ..of("a rule within another", &[OLD, NARROW], TWO)
    };
    let gone = Scenario {
        recorded: vec![0, 1],
        invalid: vec![1],
        ..of("dropped with an invalid one", &[OLD, BAD], TWO)
    };
    let fight = Scenario {
        fights: true,
        ..of("a fight", &[OLD], choose(CALM, DYING))
    };
    vec![
        of(
            "dropped, everything goes wrong",
            &[OLD],
            choose(
                everything,
                Bounds {
                    silences: 2,
                    ..everything
                },
            ),
        )
        .with(Who::Stranger, vec![step(Do::Revoke(0))])
        .ends(restored(&[0])),
        within
            .with(Who::Stranger, vec![step(Do::Revoke(1))])
            .ends(restored(&[0, 1])),
        gone.with(
            Who::Stranger,
            vec![step(Do::Revoke(0)), step(Do::Revoke(1))],
        )
        .ends(restored(&[0])),
        fight.with(Who::Stranger, insists(8)).ends(restored(&[0])),
    ]
}

fn decisions(large: bool) -> Vec<Scenario> {
    let choose = |short: Bounds, long: Bounds| if large { long } else { short };
    let two = Bounds { running: 2, ..CALM };
    let of_two = |name, bounds| Scenario {
        recorded: vec![0, 1],
        ..of(name, &[OLD, OTHER], bounds)
    };
    let mut all = vec![
        of(
            "asked twice",
            &[OLD],
            Bounds {
                stale_reads: 1,
                ..CALM
            },
        )
        .with(Who::Controller, vec![step(Do::Insist(0)); 2])
        .ends(accepted(&[0])),
        // Each fault may cost one more revoke.
        of(
            "asked again",
            &[OLD],
            choose(
                DYING,
                Bounds {
                    stale_reads: 1,
                    ..DYING
                },
            ),
        )
        .with(Who::Controller, insists(4))
        .ends(accepted(&[0])),
        of(
            "accepted",
            &[OLD],
            Bounds {
                running: 2,
                sweeps: 1,
                ..ROUGH
            },
        )
        .with(Who::Terraform, vec![step(Do::Revoke(0))])
        .ends(accepted(&[0])),
        Scenario {
            recorded: vec![0, 1],
            stays_closed: true,
            ..of(
                "accepted, two calls",
                &[OLD, OTHER],
                Bounds {
                    running: 2,
                    sweeps: 1,
                    ..CALM
                },
            )
        }
        .with(
            Who::Terraform,
            vec![step(Do::Revoke(0)), promptly(Do::Revoke(1))],
        )
        .ends(accepted(&[0, 1])),
        of("accepted and taken back", &[OLD], TWO)
            .with(Who::Terraform, made_anew())
            .ends(restored(&[0])),
        of("made anew", &[OLD], TWO)
            .with(Who::Controller, made_anew())
            .ends(restored(&[0])),
        of("added, then dropped", &[OLD, OTHER], TWO)
            .with(Who::Controller, vec![step(Do::Authorize(1))])
            .with(Who::Stranger, vec![step(Do::RevokeWhenLive(1))])
            .ends(restored(&[0])),
        of_two("released by an operator", TWO)
            .with(Who::Stranger, vec![step(Do::Revoke(0))])
            .with(Who::Operator, vec![step(Do::Apply(vec![1]))])
            .ends(restored(&[1])),
        of("applied meanwhile", &[OLD, OTHER], choose(two, TWO))
            .with(Who::Terraform, vec![step(Do::Revoke(0))])
            .with(Who::Operator, vec![step(Do::Apply(vec![0, 1]))]),
        of_two("two principals", choose(CALM, two))
            .with(Who::Terraform, vec![step(Do::Revoke(0))])
            .with(Who::Controller, vec![step(Do::Revoke(1))])
            .ends(Ends {
                restored: vec![1],
                ..accepted(&[0])
            }),
    ];
    if large {
        all.push(
            of("asked again, two instances", &[OLD], two)
                .with(Who::Controller, insists(4))
                .ends(accepted(&[0])),
        );
        all.push(
            of("replaced and applied meanwhile", &[OLD, WIDER, OTHER], two)
                .with(Who::Controller, replaces())
                .with(Who::Operator, vec![step(Do::Apply(vec![0, 2]))]),
        );
    }
    all
}

/// Writes that the table refuses because of another transaction.
const BUSY: Bounds = Bounds {
    retries: 2,
    conflicts: 2,
    ..CALM
};

/// A rule is modified, and another one is dropped or decided on.
fn modifies(large: bool) -> Vec<Scenario> {
    let choose = |short: Bounds, long: Bounds| if large { long } else { short };
    let swept = Bounds { sweeps: 1, ..ROUGH };
    let modified = |name, who, bounds| {
        let scenario = Scenario {
            pinned: true,
            ..of(name, &[OLD, OTHER], bounds)
        };
        scenario.with(who, vec![step(Do::Modify(0, 1))])
    };
    let replaced = || Ends {
        entered: vec![1],
        ..accepted(&[0])
    };
    let mixed = Scenario {
        recorded: vec![0, 1],
        pinned: true,
        stays_closed: true,
        ..of(
            "accepted, three calls",
            &[OLD, OTHER, THIRD, FOURTH],
            Bounds {
                sweeps: 1,
                copies: 2,
                lossy: true,
                ..CALM
            },
        )
    };
    let twice = Scenario {
        pinned: true,
        ..of("modified twice", &[OLD, OTHER, THIRD], choose(DYING, TWO))
    };
    vec![
        modified("modified, accepted", Who::Terraform, swept).ends(replaced()),
        modified("modified, followed", Who::Controller, swept).ends(replaced()),
        modified("modified by a stranger", Who::Stranger, swept).ends(restored(&[0])),
        modified(
            "modified, lost",
            Who::Terraform,
            Bounds { sweeps: 1, ..LOSSY },
        )
        .ends(replaced()),
        twice
            .with(
                Who::Terraform,
                vec![step(Do::Modify(0, 1)), step(Do::Modify(1, 2))],
            )
            .ends(Ends {
                entered: vec![2],
                ..accepted(&[0, 1])
            }),
        mixed
            .with(
                Who::Terraform,
                vec![
                    step(Do::Revoke(0)),
                    promptly(Do::Modify(1, 2)),
                    promptly(Do::Authorize(3)),
                ],
            )
            .ends(Ends {
                entered: vec![2, 3],
                ..accepted(&[0, 1])
            }),
        Scenario {
            pinned: true,
            ..of("described anew", &[OLD], Bounds { ..swept })
        }
        .with(Who::Controller, vec![step(Do::Describe(0))])
        .ends(Ends {
            described: vec![0],
            ..Ends::default()
        }),
    ]
}

/// A followed principal deletes a group to which a rule refers.
fn deletions(large: bool) -> Vec<Scenario> {
    let choose = |short: Bounds, long: Bounds| if large { long } else { short };
    let deletion = |name, bounds, steps| {
        let scenario = of(name, &[REFERRING], bounds);
        scenario.with(Who::Controller, steps).ends(Ends {
            deleted: true,
            ..accepted(&[0])
        })
    };
    let swept = Bounds { sweeps: 1, ..CALM };
    vec![
        deletion(
            "reference deleted",
            choose(TWO, Bounds { copies: 2, ..TWO }),
            vec![step(Do::Revoke(0)), promptly(Do::Delete)],
        ),
        // Something else depends on the group too, for some minutes.
        deletion(
            "reference deleted at the second try",
            choose(swept, ROUGH),
            vec![
                step(Do::TryDelete),
                step(Do::Revoke(0)),
                slow(Do::Delete, 5 * 60_000),
                step(Do::Revoke(0)),
                step(Do::Delete),
            ],
        ),
        // The rule may be back before the deletion is tried. The next revoke is withheld.
        deletion(
            "reference deleted late",
            choose(CALM, swept),
            vec![
                step(Do::Revoke(0)),
                slow(Do::Delete, 10_000),
                step(Do::Revoke(0)),
                step(Do::Delete),
            ],
        ),
    ]
}

/// Rules that wait for another call, or for a person.
fn waits(large: bool) -> Vec<Scenario> {
    let choose = |short: Bounds, long: Bounds| if large { long } else { short };
    let covered = of(
        "covered by a stranger's rule",
        &[NARROW, OLD],
        choose(CALM, DYING),
    );
    let narrowed = of(
        "narrowed, throttled at first",
        &[OLD, NARROW],
        choose(DYING, ROUGH),
    );
    let four = |name, rules: &[&str]| Scenario {
        recorded: vec![0, 1, 2, 3],
        pinned: true,
        ..of(name, rules, CALM)
    };
    let pending = |rules: &[u8]| Ends {
        pending: rules.into(),
        ..Ends::default()
    };
    let large_change = || [0, 1, 2].map(|rule| step(Do::Revoke(rule))).to_vec();
    let later = [step(Do::Rest), step(Do::Modify(3, 4))].to_vec();
    let refused = Scenario {
        invalid: vec![1],
        ..of(
            "a narrowing refused",
            &[PUBLIC, OFFICE],
            choose(CALM, ROUGH),
        )
    };
    let busy = |name, policy: Who| of(name, &[OLD, WIDER], BUSY).with(policy, replaces());
    vec![
        covered
            .with(
                Who::Stranger,
                vec![step(Do::Authorize(1)), step(Do::Rest), step(Do::Revoke(1))],
            )
            .with(Who::Controller, vec![step(Do::Revoke(0))])
            .ends(restored(&[0])),
        narrowed
            .with(
                Who::Controller,
                vec![
                    step(Do::Revoke(0)),
                    promptly(Do::TryAuthorize(1)),
                    slow(Do::Authorize(1), 20_000),
                ],
            )
            .ends(Ends {
                entered: vec![1],
                ..accepted(&[0])
            }),
        four("a large change", &[OLD, OTHER, THIRD, FOURTH])
            .with(Who::Terraform, large_change())
            .ends(pending(&[0, 1, 2])),
        four(
            "a large change, two days later",
            &[OLD, OTHER, THIRD, FOURTH, FIFTH],
        )
        .with(Who::Terraform, [large_change(), later].concat())
        .ends(Ends {
            accepted: vec![3],
            entered: vec![4],
            ..pending(&[0, 1, 2])
        }),
        refused
            .with(
                Who::Terraform,
                vec![
                    step(Do::Revoke(0)),
                    promptly(Do::Authorize(1)),
                    step(Do::Rest),
                ],
            )
            .ends(pending(&[0])),
        busy("busy table, accepted", Who::Terraform).ends(Ends {
            entered: vec![1],
            ..accepted(&[0])
        }),
        busy("busy table, followed", Who::Controller).ends(Ends {
            entered: vec![1],
            ..accepted(&[0])
        }),
    ]
}
