//! What must hold for any input. `tests/corpus.rs` holds it for the inputs in `corpus/` and for spoilt ones; `make fuzz`
//! looks for an input for which it does not, guided by coverage. See `README.md`.

mod cloud;
mod dynamodb;
mod ec2;
mod events;
mod files;
mod imports;
mod notation;
mod records;
pub mod spoil;

/// Something that reads what others wrote.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also its folder's in `corpus/`.
    pub name: &'static str,
    /// Panics if the input breaks a promise. Most inputs are texts; others are passed over.
    pub check: fn(&[u8]),
    /// A folder of the repository with more inputs, if there is one.
    pub samples: Option<&'static str>,
    /// How many spoilt inputs a test tries.
    pub rounds: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "events",
        check: events::check,
        samples: Some("events"),
        rounds: 4_000,
    },
    Target {
        name: "records",
        check: records::check,
        samples: None,
        rounds: 4_000,
    },
    Target {
        name: "notation",
        check: notation::check,
        samples: None,
        rounds: 20_000,
    },
    Target {
        name: "files",
        check: files::check,
        samples: Some("examples"),
        rounds: 4_000,
    },
    Target {
        name: "terraform",
        check: imports::terraform,
        samples: None,
        rounds: 4_000,
    },
    Target {
        name: "cloudformation",
        check: imports::cloudformation,
        samples: None,
        rounds: 4_000,
    },
    Target {
        name: "ec2",
        check: ec2::check,
        samples: None,
        rounds: 1_000,
    },
    Target {
        name: "dynamodb",
        check: dynamodb::check,
        samples: None,
        rounds: 1_000,
    },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
