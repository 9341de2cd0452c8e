//! What a program weighs: Lambda fetches it before a cold start.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rulekeeper_bench::Result;
use rulekeeper_bench::screen::{Screen, markdown_row};

use crate::programs::Program;

/// The size of each program's binary, plain and as a zip compresses it.
pub(crate) fn table(screen: &Screen, programs: &[Program]) -> Result<()> {
    screen.markdown_head(&["program", "binary, MB", "zipped, MB"])?;
    for program in programs.iter().filter(|it| it.is_binary()) {
        let bytes = std::fs::read(&program.file)?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes)?;
        let mb = |bytes: usize| format!("{:.2}", bytes as f64 / 1e6);
        let zipped = mb(encoder.finish()?.len());
        screen.line(&markdown_row(&[
            program.name.clone(),
            mb(bytes.len()),
            zipped,
        ]))?;
    }
    Ok(())
}
