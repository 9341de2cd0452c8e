//! The fuzzer of one target, which `RULEKEEPER_FUZZ` names: `make fuzz`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use rulekeeper_fuzz::{Target, spoil, target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("RULEKEEPER_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("RULEKEEPER_FUZZ is {name:?}, which is no target"))
});

fuzz_target!(|input: &[u8]| (TARGET.check)(input));

// Every other change is one of libFuzzer's own.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let text = std::str::from_utf8(&data[..size]).ok();
    let text = text.filter(|text| !text.is_empty() && seed % 2 == 0);
    let spoiled = text.map(|text| {
        let mut random = fastrand::Rng::with_seed(seed.into());
        spoil::spoiled(text, &mut random)
    });
    match spoiled.filter(|spoiled| spoiled.len() <= max_size) {
        Some(spoiled) => {
            data[..spoiled.len()].copy_from_slice(spoiled.as_bytes());
            spoiled.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
