//! Whether each file imports only what stands below it in the maps of `main.rs`, `lib.rs` and `doctor.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files that stand on no map.
const OUTSIDE: [&str; 4] = ["main", "lib", "imports", "tests"];

#[test]
fn imports_point_down_the_maps() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (program, library) = (map(&src.join("main.rs")), map(&src.join("lib.rs")));
    check(&src, &program, &["crate::"]);
    check(&src, &library, &["crate::"]);
    let all: BTreeSet<_> = program.into_iter().chain(library).collect();
    assert_eq!(all, rooms(&src));

    let doctor = map(&src.join("doctor.rs"));
    check(
        &src.join("doctor"),
        &doctor,
        &["crate::doctor::", "super::"],
    );
    assert_eq!(BTreeSet::from_iter(doctor), rooms(&src.join("doctor")));
}

/// The list at the head of a file: one line for each room, the top one first.
fn map(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a source file");
    let lines = text.lines().filter_map(|line| line.strip_prefix("//! - "));
    let names = lines.filter_map(|line| line.split('`').nth(1));
    names.map(str::to_owned).collect()
}

fn rooms(folder: &Path) -> BTreeSet<String> {
    let stems = entries(folder).into_iter();
    let stems = stems.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    stems
        .filter(|stem| !OUTSIDE.contains(&stem.as_str()))
        .collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

/// The Rust files at and below a path.
fn files(path: PathBuf) -> Vec<PathBuf> {
    match path.is_dir() {
        true => entries(&path).into_iter().flat_map(files).collect(),
        false => vec![path],
    }
}

/// Fails at a path such as `crate::args` in a room below `args`.
fn check(folder: &Path, map: &[String], beginnings: &[&str]) {
    for (place, room) in map.iter().enumerate() {
        let own = files(folder.join(room))
            .into_iter()
            .chain([folder.join(format!("{room}.rs"))]);
        for file in own.filter(|file| file.exists()) {
            let text = fs::read_to_string(&file).expect("a source file");
            let paths = beginnings
                .iter()
                .flat_map(|beginning| text.split(beginning).skip(1));
            for path in paths {
                let name = path
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next();
                let up = map[..place]
                    .iter()
                    .find(|above| Some(above.as_str()) == name);
                assert_eq!(
                    up,
                    None,
                    "{} imports what stands above {room}",
                    file.display()
                );
            }
        }
    }
}
