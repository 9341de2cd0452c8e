//! Deliberate mistakes, so that tests can show that they notice them.

/// Whether to make a mistake here. Always false outside tests.
#[cfg(not(any(test, feature = "fakes")))]
macro_rules! fault {
    ($fault:ident) => {
        false
    };
}

/// Whether to make a mistake here. A test can ask for it.
#[cfg(any(test, feature = "fakes"))]
macro_rules! fault {
    ($fault:ident) => {
        crate::probe::is_made(crate::probe::Fault::$fault)
    };
}
