//! Many calls on many groups in all weathers, while processes are killed: nothing is lost, memory stays flat, and
//! connections stay few. `make soak` runs more of them.

mod processes;
mod weather;

use std::time::{Duration, Instant};

use rulekeeper_local::{LambdaConfig, Outcome, Stack, StackConfig};

use crate::accounted::acts::{self, Sequence};
use crate::accounted::{RULES, account_for_everything, keep};
use crate::support::Scene;
use processes::Processes;
use weather::Weather;

/// How many turns there are in a second.
const PER_SECOND: u64 = 10;

/// With more events than this in the queue, the callers wait: moto copies its tables for each transaction, so it gets slower.
const BACKLOG: usize = 40;

/// The longest that the function may take to come to rest.
const REST: Duration = Duration::from_secs(180);

/// Sweeps come this often. In `template.yaml` it is a quarter of an hour.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// The least turns from which memory can be compared.
const LONG: usize = 300;

/// How many turns of how many groups, and the seed: `RULEKEEPER_SOAK=TURNS,GROUPS,SEED`.
fn size() -> (usize, usize, u64) {
    let text = std::env::var("RULEKEEPER_SOAK").unwrap_or_else(|_| "60,6,1".to_owned());
    let numbers = text.split(',').map(|number| number.parse::<u32>());
    let numbers: Vec<u32> = numbers.collect::<Result<_, _>>().expect("three numbers");
    let [turns, groups, seed] = numbers[..] else {
        panic!("RULEKEEPER_SOAK is TURNS,GROUPS,SEED and not {text:?}")
    };
    let count = |number| usize::try_from(number).expect("it fits");
    (count(turns), count(groups), seed.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_long_run_nothing_is_lost() {
    let began = Instant::now();
    let (turns, groups, seed) = size();
    let mut rng = fastrand::Rng::with_seed(seed);
    let scene = Scene::with(configure).await;
    let others = (1..groups).map(|number| scene.beside(&format!("group-{number}")));
    let scenes: Vec<Scene> = others.collect();
    let scenes: Vec<&Scene> = scenes.iter().chain([&scene]).collect();
    let mut sequences = Vec::new();
    for scene in &scenes {
        let (peer, peer_rule) = acts::peer_of(scene);
        let candidates = RULES.into_iter().chain([peer_rule.as_str()]);
        let start: Vec<&str> = candidates.filter(|_| rng.bool()).collect();
        keep(scene, &start).await;
        sequences.push(Sequence::new(scene, rng.fork(), peer));
    }

    let mut weather = Weather::new(rng.fork());
    let mut processes = Processes::default();
    let (mut kills, mut swept) = (0, Instant::now());
    for turn in 0..turns {
        if turn % 30 == 0 {
            weather.change(&scene.stack);
        }
        if turn % 100 == 0 {
            eprintln!("{:.0} s: turn {turn}", began.elapsed().as_secs_f64());
        }
        if rng.u8(0..30) == 0 {
            kills += usize::from(kill_one(&scene.stack, &mut rng));
        }
        if swept.elapsed() >= SWEEP_EVERY {
            swept = Instant::now();
            scene.stack.bridge().schedule("sweep");
        }
        if turn % 5 == 0 {
            processes.look();
        }
        let chosen = rng.usize(0..groups);
        sequences[chosen].act();
        tokio::time::sleep(Duration::from_millis(1_000 / PER_SECOND)).await;
        while scene.stack.lambda().load().queued > BACKLOG {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Weather::end(&scene.stack);
    rest(&scene.stack).await;
    let given_up = scene.stack.lambda().dead_letters();
    for letter in &given_up {
        scene.stack.lambda().invoke_event(letter.payload.clone());
    }
    rest(&scene.stack).await;
    for _ in 0..3 {
        // What waits for its cause waits a second here.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        scene.stack.bridge().schedule("sweep");
        rest(&scene.stack).await;
    }
    processes.look();

    let (stack, lambda) = (&scene.stack, scene.stack.lambda());
    let events = stack.bridge().log();
    let lost = events.iter().filter(|event| event.fate == "lost").count();
    let invocations = lambda.invocations();
    let ended = |outcome| {
        invocations
            .iter()
            .filter(|it| it.outcome == outcome)
            .count()
    };
    let memory = processes.memory();
    eprintln!(
        "{:.0} s, seed {seed}: {turns} turns on {groups} groups; {} events, {lost} of them lost; {} invocations, {} failed, \
         {kills} processes killed; {} events given up and delivered again; memory of the oldest process {:.1} MiB in the \
         first quarter, {:.1} MiB in the last; at most {} open files",
        began.elapsed().as_secs_f64(),
        events.len(),
        invocations.len(),
        ended(Outcome::FunctionError),
        given_up.len(),
        memory.first,
        memory.last,
        processes.most_files,
    );
    assert_eq!(ended(Outcome::TimedOut), 0, "an invocation took too long");
    for (scene, sequence) in scenes.iter().zip(&sequences) {
        account_for_everything(seed, scene).await;
        let unexplained = sequence.ledger.unexplained(scene);
        assert!(
            unexplained.is_empty(),
            "{}: live without a word: {unexplained:#?}",
            scene.group
        );
    }
    processes.check(turns >= LONG);
}

fn configure(config: &mut StackConfig) {
    config.lambda = LambdaConfig {
        concurrency: 4,
        timeout: Duration::from_secs(20),
        ..config.lambda.clone()
    };
}

/// Kills a process that is not the oldest. `false` if there is none.
fn kill_one(stack: &Stack, rng: &mut fastrand::Rng) -> bool {
    let instances = stack.lambda().instances();
    let younger = instances.get(1..).unwrap_or_default();
    let chosen = rng.choice(younger);
    if let Some(id) = chosen {
        stack.lambda().kill_instance(*id);
    }
    chosen.is_some()
}

/// Waits until no event is on its way and no invocation is under way.
async fn rest(stack: &Stack) {
    let rest = stack.lambda().wait_idle(REST).await;
    rest.unwrap_or_else(|error| panic!("{error}"));
}
