//! LIST, NLST, MLSD, MLST and STAT with a path: a directory goes out in pieces, however large it is.

use std::ops::ControlFlow;

use filegrid_tree::{DirId, Row, RowRef, TreeError, TreePath, list_dir, lookup};

use super::control::Control;
use super::data::{Data, Way};
use super::listing::{Entry, Facts, kind, long};
use super::path::{is_pattern, matches};
use super::reply::{Reply, printable};
use super::session::{Done, Session};
use super::transfer::said;
use crate::clock;
use crate::error::Error;
use crate::limits::LISTING_PIECE_BYTES;
use crate::send::Sink as _;
use crate::store::Store;

/// What a line says of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// LIST.
    Long,
    /// NLST.
    Names,
    /// MLSD.
    Facts(Facts),
}

/// What is listed, and how.
struct Listing {
    store: Store,
    what: What,
    form: Form,
    writable: bool,
    /// In front of every name.
    prefix: String,
    now_ms: i64,
}

enum What {
    /// The entries of a directory (`None`: there are none yet) that match a pattern, if there is one.
    Directory(Option<DirId>, Option<String>),
    /// A file by its name.
    File(String, Row),
}

impl Session {
    pub(super) async fn list(&mut self, argument: Option<&str>, form: Form) -> Done {
        let named = argument.map_or("", without_options);
        match self.listing(named, form.clone()) {
            Ok(listing) => {
                let verb = if form == Form::Long { "LIST" } else { "NLST" };
                self.send_listing(verb, named, listing).await
            }
            Err(error) => self.refused(error.into()),
        }
    }

    pub(super) async fn list_facts(&mut self, path: Option<&str>) -> Done {
        let named = path.unwrap_or("");
        let form = Form::Facts(self.state.facts.clone());
        let path = match self.path(named) {
            Ok(path) => path,
            Err(error) => return self.refused(error.into()),
        };
        match self.directory(&path, form) {
            Ok(listing) => self.send_listing("MLSD", named, listing).await,
            Err(error) => {
                // RFC 3659 §7.2.1: 501 for a file. What is missing stays a 550, which clients take for that.
                let is_file = matches!(error, Error::Conflict(_));
                let done = match Done::from(error) {
                    Done::Reply(reply) if is_file => reply.with_code(501).into(),
                    done => done,
                };
                self.refused(done)
            }
        }
    }

    async fn send_listing(&mut self, verb: &'static str, named: &str, listing: Listing) -> Done {
        let end = self
            .transfer(
                verb,
                named,
                "Here it comes",
                Way::Out,
                async |data: &mut Data, _| {
                    let mut next = listing.start();
                    while let Some(after) = next {
                        let (piece, rest) = listing.piece(after)?;
                        data.write(&piece).await?;
                        next = rest;
                    }
                    Ok(())
                },
            )
            .await;
        said(end, "Listed")
    }

    pub(super) async fn stat(&mut self, argument: &str) -> Done {
        let named = without_options(argument);
        let listing = match self.listing(named, Form::Long) {
            Ok(listing) => listing,
            Err(error) => return error.into(),
        };
        match tell(&mut self.control, &listing, named).await {
            Ok(()) => Reply::new(213, "End").into(),
            Err(error) => {
                tracing::debug!(%error, "a listing ended early");
                Done::Silence
            }
        }
    }

    pub(super) fn mlst(&self, argument: Option<&str>) -> Result<Done, Error> {
        let path = self.path(argument.unwrap_or(""))?;
        let row = match self.partial(argument.unwrap_or(""))? {
            Some(partial) => Row::File(partial.row),
            None => self.row(&path)?,
        };
        let bytes = row.encode();
        let shown = self.shown(&path);
        let row = RowRef::new(&bytes)?;
        let entry = Entry::of(&shown, &row);
        let kind = kind(&entry);
        let line = self.state.facts.line(&entry, self.state.is_writable(), kind);
        Ok(Reply::lines(250, vec![format!("Listing {shown}"), line, "End".to_owned()]).into())
    }

    /// What LIST, NLST and STAT mean by an argument: a directory, a file, or a pattern of names in a directory.
    fn listing(&self, named: &str, form: Form) -> Result<Listing, Error> {
        let path = self.path(named)?;
        let user = self.user()?;
        let found = lookup(self.ftp.store.view().as_ref(), user.association, &path)?;
        let name = path.name().unwrap_or_default();
        match found {
            Some(Row::File(row)) => {
                let shown = if form == Form::Names { named } else { name };
                Ok(self.listing_of(What::File(shown.to_owned(), Row::File(row)), form))
            }
            None if is_pattern(name) => {
                let above = path.parent().unwrap_or_default();
                let mut listing = self.directory(&above, form)?;
                if let What::Directory(_, pattern) = &mut listing.what {
                    *pattern = Some(name.to_owned());
                }
                if listing.form == Form::Names
                    && let Some((prefix, _)) = named.rsplit_once('/')
                {
                    listing.prefix = format!("{prefix}/");
                }
                Ok(listing)
            }
            _ => self.directory(&path, form),
        }
    }

    fn directory(&self, path: &TreePath, form: Form) -> Result<Listing, Error> {
        let user = self.user()?;
        let found = lookup(self.ftp.store.view().as_ref(), user.association, path)?;
        let directory = match found {
            Some(Row::Dir(row)) => Some(row.id),
            Some(Row::File(_)) => return Err(TreeError::NotDirectory(self.shown(path)).into()),
            // The root is there from the beginning, also before the first upload.
            None if *path == user.root => None,
            None => return Err(TreeError::NotFound(self.shown(path)).into()),
        };
        Ok(self.listing_of(What::Directory(directory, None), form))
    }

    fn listing_of(&self, what: What, form: Form) -> Listing {
        Listing {
            store: self.ftp.store.clone(),
            what,
            form,
            writable: self.state.is_writable(),
            prefix: String::new(),
            now_ms: clock::now_ms(),
        }
    }
}

/// Tells a listing over the control connection, RFC 959 §4.1.3.
async fn tell(control: &mut Control, listing: &Listing, named: &str) -> Result<(), Error> {
    let front = format!("213-Status of {}\r\n", printable(named));
    control.write(front.as_bytes()).await?;
    let mut next = listing.start();
    while let Some(after) = next {
        let (piece, rest) = listing.piece(after)?;
        // Nothing but the last line may begin with the code.
        let mut moved = Vec::with_capacity(piece.len() + piece.len() / 32);
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            moved.push(b' ');
            moved.extend_from_slice(line);
        }
        control.write(&moved).await?;
        next = rest;
    }
    Ok(())
}

/// Where a listing goes on: behind a name, or at the beginning.
type After = Option<String>;

impl Listing {
    fn start(&self) -> Option<After> {
        Some(None)
    }

    /// The next lines, and where to go on, if there is more. Every piece sees the directory as it is then.
    fn piece(&self, after: After) -> Result<(Vec<u8>, Option<After>), Error> {
        let mut piece = Vec::new();
        match &self.what {
            What::File(name, row) => {
                let bytes = row.encode();
                self.line(&Entry::of(name, &RowRef::new(&bytes)?), &mut piece);
                Ok((piece, None))
            }
            What::Directory(None, _) => Ok((piece, None)),
            What::Directory(Some(directory), pattern) => {
                let mut next = None;
                let view = self.store.view();
                list_dir(view.as_ref(), *directory, after.as_deref(), &mut |name, row| {
                    if pattern.as_ref().is_none_or(|pattern| matches(pattern, name)) {
                        self.line(&Entry::of(name, &row), &mut piece);
                    }
                    if piece.len() < LISTING_PIECE_BYTES {
                        return ControlFlow::Continue(());
                    }
                    next = Some(Some(name.to_owned()));
                    ControlFlow::Break(())
                })?;
                Ok((piece, next))
            }
        }
    }

    fn line(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let line = match &self.form {
            Form::Long => long(entry, self.writable, self.now_ms),
            Form::Names => format!("{}{}", self.prefix, printable(entry.name)),
            Form::Facts(facts) => facts.line(entry, self.writable, kind(entry)),
        };
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Clients put options of `ls` in front of the path.
fn without_options(argument: &str) -> &str {
    let mut rest = argument;
    while rest.starts_with('-') {
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ls_are_passed_over() {
        assert_eq!(without_options("-la"), "");
        assert_eq!(without_options("-l -a a b"), "a b");
        assert_eq!(without_options("a -l"), "a -l");
    }
}
