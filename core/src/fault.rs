//! Mistakes to be made on purpose, so that the model of the protocol can show that it would notice them.

/// Whether a mistake is to be made here: never in what is shipped.
#[cfg(not(test))]
macro_rules! fault {
    ($fault:ident) => {
        false
    };
}

/// Whether a mistake is to be made here: when a test of the model asks for it.
#[cfg(test)]
macro_rules! fault {
    ($fault:ident) => {
        crate::modelcheck::faults::is_made(crate::modelcheck::faults::Fault::$fault)
    };
}
