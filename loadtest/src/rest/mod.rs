//! The REST API, as a client that makes one request after the other.

mod client;
mod token;

use std::sync::Arc;

use serde_json::{Value, json};

pub use self::client::{Client, Request, Server};
pub use self::token::{Keys, Token};
use crate::content::{Check, Content};
use crate::failure::Failure;
use crate::files::{File, Files};
use crate::http::form::{self, Form};
use crate::http::{self, ArchiveCheck, Sink};

/// How files are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Listing {
    /// `list/files`: one directory, from the node's own store.
    Files,
    /// `list/dirs`: all directories below that of the run, from the node's own store.
    Dirs,
    /// `list/tree`: from the metadata cluster.
    Tree,
}

/// A client with what it needs to know.
pub struct Session {
    client: Client,
    content: Arc<Content>,
    files: Arc<Files>,
    listing: Listing,
    verify: bool,
}

impl Session {
    /// To a server.
    #[must_use]
    pub fn new(
        server: Arc<Server>,
        content: Arc<Content>,
        files: Arc<Files>,
        listing: Listing,
        verify: bool,
    ) -> Self {
        Self {
            client: Client::new(server),
            content,
            files,
            listing,
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

    /// Stores a file; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn upload(&mut self, file: &File) -> Result<u64, Failure> {
        let meta = [
            "{\"files\":[{\"field\":\"f\",\"path\":\"",
            file.directory(),
            "\"}]}",
        ];
        let form = Form::default().text("meta", &meta).file("f", file.name());
        let request = Request {
            method: "POST",
            route: &["/api/upload"],
            fields: form::TYPE,
            length: Some(form.length(file.size)),
            front: form.front(),
            payload: Some(form::payload(&self.content, file)),
        };
        let mut sink = Sink::Keep(Vec::new());
        self.client.exchange(&request, &mut sink).await?;
        accepted(sink.kept())?;
        Ok(file.size)
    }

    /// Fetches a file, and compares it if asked to; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn download(&mut self, file: &File, verify: bool) -> Result<u64, Failure> {
        let route = ["/api/download/single?path=", file.path()];
        let mut sink = match verify {
            true => Sink::Check(Check::new(&self.content, file.number, file.size)),
            false => Sink::Drop,
        };
        let received = self.client.exchange(&Request::get(&route), &mut sink).await?;
        http::whole(&sink, received, file)
    }

    /// Lists the directory of the prepared files; the bytes of the list.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn list(&mut self) -> Result<u64, Failure> {
        let prepared = self.files.prepared_directory();
        let (route, directory) = match self.listing {
            Listing::Files => ("/api/list/files", &prepared),
            Listing::Dirs => ("/api/list/dirs", &self.files.root),
            Listing::Tree => ("/api/list/tree", &prepared),
        };
        let mut sink = if self.verify {
            Sink::Keep(Vec::new())
        } else {
            Sink::Drop
        };
        let received = self
            .client
            .ask(route, &json!({"Params": directory}), &mut sink)
            .await?;
        if self.verify && self.listing == Listing::Dirs {
            has_directory(sink.kept(), &prepared).map_err(Failure::wrong)?;
        } else if self.verify {
            let entries = entries(sink.kept(), &prepared).map_err(Failure::malformed)?;
            self.files.compare(entries).map_err(Failure::wrong)?;
        }
        Ok(received)
    }

    /// Fetches all prepared files as one archive; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn archive(&mut self) -> Result<u64, Failure> {
        let mut sink = Sink::Keep(Vec::new());
        let list = json!({"Filelist": [self.files.prepared_directory()]});
        self.client.ask("/api/download/prepare", &list, &mut sink).await?;
        let answer: Value = serde_json::from_slice(sink.kept()).unwrap_or_default();
        let id = answer.get("rslt").and_then(Value::as_str).unwrap_or_default();
        if id.is_empty()
            || !id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            return Err(Failure::malformed(
                "there is no id in the answer to download/prepare",
            ));
        }
        let route = ["/api/download/multi?id=", id];
        let mut sink = match self.verify {
            // One file comes as itself.
            true if self.files.prepared == 1 => {
                let file = self.files.prepared(0);
                Sink::Check(Check::new(&self.content, file.number, file.size))
            }
            true => Sink::Archive(Box::new(ArchiveCheck::new(&self.content, &self.files))),
            false => Sink::Drop,
        };
        let received = self.client.exchange(&Request::get(&route), &mut sink).await?;
        sink.finish()?;
        self.files.may_be_all(received).map_err(Failure::wrong)?;
        Ok(received)
    }

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn make_directory(&mut self, path: &str) -> Result<(), Failure> {
        self.client
            .ask("/api/mkdir", &json!({"Params": path}), &mut Sink::Drop)
            .await
            .map(drop)
    }

    /// Deletes a directory with all that is below it.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete(&mut self, path: &str) -> Result<(), Failure> {
        self.client
            .ask("/api/delete", &json!({"Filelist": [path]}), &mut Sink::Drop)
            .await
            .map(drop)
    }
}

/// Whether an upload was taken.
fn accepted(answer: &[u8]) -> Result<(), Failure> {
    // What nodes send; anything else that says the same is as good.
    if answer == br#"{"rslt":"OK"}"# {
        return Ok(());
    }
    let parsed: Value = serde_json::from_slice(answer).unwrap_or_default();
    match parsed.get("rslt").and_then(Value::as_str) {
        Some("OK") => Ok(()),
        _ => Err(Failure::malformed(format!(
            "no OK in {}",
            String::from_utf8_lossy(answer)
        ))),
    }
}

/// Whether a list of directories has one of a path.
fn has_directory(answer: &[u8], path: &str) -> Result<(), String> {
    let list: Vec<Value> = serde_json::from_slice(answer).map_err(|error| format!("no list: {error}"))?;
    let is_there = list
        .iter()
        .any(|entry| entry.get("path").and_then(Value::as_str) == Some(path));
    is_there
        .then_some(())
        .ok_or_else(|| format!("{path} is not listed"))
}

/// Name and size of all files in a list, of either kind.
fn entries(answer: &[u8], directory: &str) -> Result<Vec<(String, u64)>, String> {
    let list: Vec<Value> = serde_json::from_slice(answer).map_err(|error| format!("no list: {error}"))?;
    let files = list
        .iter()
        .filter(|entry| entry.get("is_dir") != Some(&Value::Bool(true)));
    let entry = |entry: &Value| {
        let name = match entry.get("path").and_then(Value::as_str) {
            Some(path) => path.strip_prefix(directory)?.strip_prefix('/')?,
            None => entry.get("name")?.as_str()?,
        };
        Some((name.to_owned(), entry.get("size")?.as_u64()?))
    };
    let entries: Option<Vec<_>> = files.map(entry).collect();
    entries.ok_or_else(|| "an entry of the list has no name or size".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let files = br#"[{"name":"a","size":1,"type":"file","lastModified":5}]"#;
        assert_eq!(entries(files, "/d"), Ok(vec![("a".to_owned(), 1)]));
        let tree = br#"[{"path":"/d","is_dir":true,"size":0},{"path":"/d/a","is_dir":false,"size":7}]"#;
        assert_eq!(entries(tree, "/d"), Ok(vec![("a".to_owned(), 7)]));
        for wrong in [
            &b"{}"[..],
            br#"[{"name":"a"}]"#,
            br#"[{"path":"/e/a","size":1}]"#,
            b"[{",
        ] {
            assert!(entries(wrong, "/d").is_err());
        }
    }

    #[test]
    fn an_upload_counts_only_if_it_was_taken() {
        assert!(accepted(br#"{"rslt": "OK"}"#).is_ok());
        assert!(accepted(br#"{"rslt":"ERROR"}"#).is_err() && accepted(b"").is_err());
    }
}
