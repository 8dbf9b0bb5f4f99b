//! The head of a request, RFC 9112 as far as the clients of measurements use it.

/// What a head says that matters here.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// `GET`.
    pub(crate) method: &'a str,
    /// `/file`.
    pub(crate) target: &'a str,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// Whether the connection ends with this request.
    pub(crate) close: bool,
    /// Whether the client waits to be told that it may send the body (RFC 9110, section 10.1.1).
    pub(crate) expects: bool,
}

impl<'a> Request<'a> {
    /// Reads a head without its empty line.
    ///
    /// Returns `None` if it is none, or its body comes in chunks, which is not needed here.
    pub(crate) fn parse(head: &'a [u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, version) = (first.next()?, first.next()?, first.next()?);
        let mut request = Self {
            method,
            target,
            length: 0,
            close: version != "HTTP/1.1",
            expects: false,
        };
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                request.length = value.parse().ok()?;
            } else if name.eq_ignore_ascii_case("connection") {
                request.close |= value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("expect") {
                request.expects = value.eq_ignore_ascii_case("100-continue");
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return None;
            }
        }
        Some(request)
    }
}
