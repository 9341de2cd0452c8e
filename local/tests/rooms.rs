//! Every module imports only modules that the map in `src/lib.rs` lists above it, which is from the bottom to the top.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn imports_run_down_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    let (_, map) = lib.split_once("//! # Map").expect("a map");
    let (map, _) = map.split_once("//! # ").expect("a section after the map");
    let modules: Vec<_> = map
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
        .collect();
    for module in lib.lines().filter_map(|line| line.strip_prefix("mod ")) {
        let module = module.trim_end_matches(';');
        assert!(modules.contains(&module), "{module} is not on the map");
    }
    for (floor, module) in modules.iter().enumerate() {
        for file in files(&src, module) {
            let text = fs::read_to_string(&file).expect("a module");
            for imported in text.split("crate::").skip(1).flat_map(names) {
                let below = modules.iter().position(|one| *one == imported);
                assert!(
                    below.is_none_or(|below| below <= floor),
                    "{} imports {imported}, which the map lists below {module}",
                    file.display()
                );
            }
        }
    }
}

/// `module.rs`, and the files of the folder `module`.
fn files(src: &Path, module: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(src.join(module)).into_iter().flatten();
    let files = folder.map(|entry| entry.expect("an entry").path());
    let single = src.join(format!("{module}.rs"));
    files.chain(single.is_file().then_some(single)).collect()
}

/// The modules after `crate::`: one, or those of a list in braces.
fn names(path: &str) -> Vec<&str> {
    let list = path
        .strip_prefix('{')
        .and_then(|list| list.split('}').next());
    list.map_or(vec![path], |list| list.split(',').collect())
        .into_iter()
        .filter_map(|path| {
            path.trim()
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
        .collect()
}
