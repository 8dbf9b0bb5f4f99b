//! HTTP: a client for servers of files that are no nodes, and what the one of the REST API is made of.

mod answer;
mod archive;
mod client;
pub mod form;

use std::collections::HashSet;
use std::sync::Arc;

pub use self::archive::ArchiveCheck;
pub use self::client::{Answered, Client, Payload, Server, Sink, whole};
use self::form::Form;
use crate::content::{Check, Content};
use crate::failure::Failure;
use crate::files::{File, Files};
use crate::plan::{Directories, HttpAccess, Store};

/// How a form is answered that was taken: look there (RFC 9110, 15.4.4).
const SEE_OTHER: u16 = 303;

/// A client of a server of files, with what it needs to know.
pub struct Session {
    client: Client,
    access: Arc<HttpAccess>,
    content: Arc<Content>,
    files: Arc<Files>,
    verify: bool,
}

impl Session {
    /// To a server.
    #[must_use]
    pub fn new(
        server: Arc<Server>,
        access: Arc<HttpAccess>,
        content: Arc<Content>,
        files: Arc<Files>,
        verify: bool,
    ) -> Self {
        Self {
            client: Client::new(server),
            access,
            content,
            files,
            verify,
        }
    }

    /// Connects, unless it is.
    ///
    /// # Errors
    ///
    /// As the system has them.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        self.client.connect().await
    }

    /// The head of a request, with what all carry.
    fn head(&self, method: &str, route: &[&str], fields: &str, length: Option<u64>) -> String {
        let fields: &[&[&str]] = &[&[&self.access.headers, fields]];
        self.client.head(method, route, fields, length, 0)
    }

    /// Stores a file; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn upload(&mut self, file: &File) -> Result<u64, Failure> {
        match &self.access.store {
            Store::Put => {
                let head = self.head("PUT", &[file.path()], "", Some(file.size));
                let payload = Payload {
                    content: &self.content,
                    number: file.number,
                    size: file.size,
                    tail: &[],
                };
                self.client
                    .exchange(&head, Some(payload), &mut Sink::Drop)
                    .await?;
            }
            Store::Form {
                action,
                field,
                fields,
            } => {
                let form = Form::default().texts(fields).file(field, file.name());
                let action = action.replace("{}", file.directory());
                let length = Some(form.length(file.size));
                let head = self.head("POST", &[&action], form::TYPE, length) + form.front();
                let payload = form::payload(&self.content, file);
                let mut sink = Sink::Drop;
                taken(self.client.answered(&head, Some(payload), &mut sink).await?)?;
            }
        }
        Ok(file.size)
    }

    /// Fetches a file, and compares it if asked to; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn download(&mut self, file: &File, verify: bool) -> Result<u64, Failure> {
        let head = self.head("GET", &[file.path()], "", None);
        let mut sink = match verify {
            true => Sink::Check(Check::new(&self.content, file.number, file.size)),
            false => Sink::Drop,
        };
        let received = self.client.exchange(&head, None, &mut sink).await?;
        whole(&sink, received, file)
    }

    /// Fetches the page of the directory of the prepared files; its bytes. What it looks like is up to the server, so that
    /// only names can be compared.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn list(&mut self) -> Result<u64, Failure> {
        let head = self.head("GET", &[&self.files.prepared_directory(), "/"], "", None);
        let mut sink = match self.verify {
            true => Sink::Keep(Vec::new()),
            false => Sink::Drop,
        };
        let received = self.client.exchange(&head, None, &mut sink).await?;
        if self.verify {
            all_named(sink.kept(), &self.files).map_err(Failure::wrong)?;
        }
        Ok(received)
    }

    /// Fetches the directory of the prepared files as an archive; its bytes. A ZIP whose files are stored with their sizes in
    /// front is compared if that is asked for; of others only their end and their least length are known.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn archive(&mut self) -> Result<u64, Failure> {
        let Some(behind) = &self.access.archive else {
            return Err(Failure::refused("unsupported", "this server has no archives"));
        };
        let route = [&self.files.prepared_directory(), "/", behind];
        let head = self.head("GET", &route, "", None);
        let mut sink = match self.verify {
            true => Sink::Archive(Box::new(ArchiveCheck::if_possible(&self.content, &self.files))),
            false => Sink::Drop,
        };
        let received = self.client.exchange(&head, None, &mut sink).await?;
        sink.finish()?;
        self.files.may_be_all(received).map_err(Failure::wrong)?;
        Ok(received)
    }

    /// Makes a directory in one that is there, if that is how the server has it.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn make_directory(&mut self, path: &str) -> Result<(), Failure> {
        match &self.access.directories {
            Directories::Implied => Ok(()),
            Directories::Mkcol => {
                // Some refuse it without the slash.
                let head = self.head("MKCOL", &[path, "/"], "", Some(0));
                let made = self.client.exchange(&head, None, &mut Sink::Drop).await;
                made.map(drop)
            }
            Directories::Form {
                action,
                field,
                fields,
            } => {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let body = form::without_file(fields, field, name);
                let parent = if parent.is_empty() { "/" } else { parent };
                let action = action.replace("{}", parent);
                let head = self.head("POST", &[&action], form::TYPE, Some(body.len() as u64)) + &body;
                taken(self.client.answered(&head, None, &mut Sink::Drop).await?)
            }
        }
    }

    /// Deletes a directory with all that is below it, as WebDAV has it (RFC 4918, 9.6).
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete(&mut self, path: &str) -> Result<(), Failure> {
        let head = self.head("DELETE", &[path, "/"], "", None);
        let deleted = self.client.exchange(&head, None, &mut Sink::Drop).await;
        deleted.map(drop)
    }
}

/// Whether a form was taken.
fn taken(answered: Answered) -> Result<(), Failure> {
    match answered.status {
        SEE_OTHER => Ok(()),
        _ => answered.success().map(drop),
    }
}

/// Whether a page has the names of all prepared files.
fn all_named(page: &[u8], files: &Files) -> Result<(), String> {
    let words = page.split(|byte| !byte.is_ascii_alphanumeric());
    let words: HashSet<&[u8]> = words.collect();
    let missing = files
        .expected()
        .find(|(name, _)| !words.contains(name.as_bytes()));
    missing.map_or(Ok(()), |(name, _)| Err(format!("{name} is not listed")))
}
