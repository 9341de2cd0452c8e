//! Deliberate mistakes, so that the model of the protocol can show that it notices them.

/// Whether to make a mistake here. Always false outside tests.
#[cfg(not(test))]
macro_rules! fault {
    ($fault:ident) => {
        false
    };
}

/// Whether to make a mistake here. A test of the model can ask for it.
#[cfg(test)]
macro_rules! fault {
    ($fault:ident) => {
        crate::modelcheck::faults::is_made(crate::modelcheck::faults::Fault::$fault)
    };
}
