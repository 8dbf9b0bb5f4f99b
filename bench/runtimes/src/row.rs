//! What is measured.

use std::path::Path;

use crate::client;
use crate::contender::{Contender, Server};
use crate::content::Content;
use crate::limits::SMALL_MAX_BYTES;

/// One kind of work.
pub(crate) struct Row {
    /// `1 GiB`.
    pub(crate) name: String,
    /// Bodies in all.
    pub(crate) bodies: u64,
    /// Bytes of each.
    pub(crate) bytes: u64,
    /// Connections.
    pub(crate) connections: usize,
}

/// What one run has taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// From the first byte to the last answer, in seconds.
    pub(crate) seconds: f64,
    /// CPU of the server meanwhile, in seconds.
    pub(crate) cpu: f64,
}

impl Row {
    /// Whether its bodies go to the log.
    pub(crate) fn small(&self) -> bool {
        self.bytes <= SMALL_MAX_BYTES as u64
    }

    /// Runs it once against a fresh server, and compares what is stored with what was sent.
    ///
    /// # Errors
    ///
    /// Says why the contender cannot run, or what it has stored otherwise.
    pub(crate) fn measure(
        &self,
        contender: Contender,
        content: &Content,
        directory: &Path,
        run: u64,
    ) -> Result<Sample, String> {
        let server = Server::start(contender, directory, run).map_err(|error| error.to_string())?;
        let ran = client::run(server.address, content, self);
        let said = server.stop();
        let (seconds, cpu) = ran.map_err(|error| match said.as_str() {
            "" => error.to_string(),
            said => format!("{error}; its server said: {said}"),
        })?;
        self.check(content, directory, run)
            .map_err(|error| error.to_string())?;
        Ok(Sample { seconds, cpu })
    }

    fn check(&self, content: &Content, directory: &Path, run: u64) -> std::io::Result<()> {
        if self.small() {
            let bytes = usize::try_from(self.bytes).map_err(std::io::Error::other)?;
            return content.check_log(&directory.join("log"), run, self.bodies, bytes);
        }
        for number in 0..self.bodies {
            let path = directory.join(format!("{run}-{number}"));
            content.check_file(&path, number, self.bytes)?;
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}
