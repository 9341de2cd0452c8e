//! Every room imports only rooms that the map in `src/lib.rs` lists above it.

use std::fs;
use std::path::Path;

#[test]
fn imports_follow_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    let (_, map) = lib.split_once("//! # Map").expect("a map");
    let (map, _) = map.split_once("//! # ").expect("a section after the map");
    let rooms: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("//! - [`")?.split('`').next())
        .collect();
    // Tests may import any room.
    let shipped = lib.split("\npub mod ").skip(1);
    let shipped = shipped.filter_map(|rest| rest.split(';').next());
    let shipped: Vec<&str> = shipped
        .filter(|name| !["fakes", "probe"].contains(name))
        .collect();
    let mut on_map = rooms.clone();
    on_map.sort_unstable();
    assert_eq!(on_map, shipped, "the map lists each module of lib.rs");
    let mut imports = 0;
    for (floor, room) in rooms.iter().enumerate() {
        visit(&src.join(room), &mut |file, text| {
            for imported in text.split("crate::").skip(1).flat_map(names) {
                let below = rooms.iter().position(|other| *other == imported);
                let file = file.display();
                assert!(
                    below.is_some_and(|below| below <= floor) || imported == "probe",
                    "{file} of {room} imports {imported}, which the map does not list above it"
                );
                imports += 1;
            }
        });
    }
    assert!(imports > 100, "only {imports} imports were found");
}

/// Passes each file under a folder to `each`, without its tests.
fn visit(folder: &Path, each: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a room is a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            visit(&path, each);
        } else if path.is_file() && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("text");
            let shipped = text.split("#[cfg(test)]\nmod tests").next();
            each(&path, shipped.unwrap_or_default());
        }
    }
}

/// The modules after `crate::`: one, or those of a list in braces.
fn names(path: &str) -> Vec<&str> {
    let list = match path.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap_or_default(),
        None => path.split([';', ',']).next().unwrap_or_default(),
    };
    list.split(',')
        .filter_map(|path| {
            path.trim()
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .next()
        })
        .filter(|name| !name.is_empty())
        .collect()
}
