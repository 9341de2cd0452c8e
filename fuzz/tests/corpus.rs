//! Every kept input, the samples, and spoilt ones of both, on every target.

use std::fs;
use std::path::{Path, PathBuf};

use rulekeeper_fuzz::{TARGETS, Target, spoil};

/// Says which input it was, if the target panics.
struct Telling<'a>(&'a Target, &'a str, &'a [u8]);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(target, of, input) = self;
            let text = String::from_utf8_lossy(input);
            eprintln!(
                "target {}, {of}, fails for this input:\n{text}",
                target.name
            );
        }
    }
}

fn checked(target: &Target, of: &str, input: &[u8]) {
    let telling = Telling(target, of, input);
    (target.check)(input);
    drop(telling);
}

fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = here.join("corpus").join(target.name);
    let folders = target
        .samples
        .map(|samples| here.join("..").join(samples))
        .into_iter()
        .chain([own]);
    let files = folders.flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_none_or(|it| it != "md"));
    let read = |path: PathBuf| (path.clone(), fs::read(path).expect("readable"));
    paths.into_iter().map(read).collect()
}

#[test]
fn every_kept_input_keeps_every_promise() {
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{} has no inputs", target.name);
        for (path, input) in inputs {
            checked(target, &path.display().to_string(), &input);
        }
    }
}

#[test]
fn spoilt_inputs_keep_every_promise() {
    for target in TARGETS {
        let inputs = inputs(target);
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..target.rounds {
            let (path, input) = &inputs[random.usize(..inputs.len())];
            let spoilt = spoil::spoiled(&String::from_utf8_lossy(input), &mut random);
            let of = format!("{} spoilt, round {round}", path.display());
            checked(target, &of, spoilt.as_bytes());
        }
    }
}
