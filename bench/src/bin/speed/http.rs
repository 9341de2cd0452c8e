//! As much of HTTP/1.1 as the measurements need, on blocking streams, so that little time passes outside the clocks.

use std::io::{self, Read, Write};

/// A request or an answer.
#[derive(Debug)]
pub(crate) struct Message {
    /// The first line and the headers, up to and with the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The next message of a stream; `None` when the stream is over.
    ///
    /// # Errors
    /// When the stream ends within a message, or the message has no length.
    pub(crate) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut chunk)? {
                0 if bytes.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => bytes.extend_from_slice(&chunk[..count]),
            }
        };
        let mut body = bytes.split_off(end);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let message = Self {
            head,
            body: Vec::new(),
        };
        let length = message.header("content-length").unwrap_or("0");
        let length: usize = length.parse().map_err(io::Error::other)?;
        let read = body.len();
        body.resize(length, 0);
        if read < length {
            stream.read_exact(&mut body[read..])?;
        }
        Ok(Some(Self { body, ..message }))
    }

    /// An answer with a body of JSON.
    pub(crate) fn answer(status: &str, headers: &str, body: Vec<u8>) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        Self { head, body }
    }

    /// Writes it at once.
    ///
    /// # Errors
    /// When the other side is gone.
    pub(crate) fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        stream.write_all(&[self.head.as_bytes(), &self.body].concat())?;
        stream.flush()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The operation that a request to AWS asks for.
    pub(crate) fn action(&self) -> String {
        if let Some(target) = self.header("x-amz-target") {
            return target.rsplit('.').next().unwrap_or_default().to_owned();
        }
        let form = String::from_utf8_lossy(&self.body);
        let action = form
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="));
        action.unwrap_or_default().to_owned()
    }
}
