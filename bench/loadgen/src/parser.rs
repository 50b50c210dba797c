//! A parser for HTTP/1.1 responses that costs little.

pub(crate) enum BodyState {
    Head,
    Len(usize),
    ChunkSize,
    ChunkData(usize),
    ChunkEnd,
    Trailer,
    UntilClose,
    Done,
}

pub(crate) struct Parser {
    pub(crate) buf: Vec<u8>,
    pub(crate) at: usize,
    pub(crate) state: BodyState,
    pub(crate) status: u16,
    pub(crate) close: bool,
}

impl Parser {
    pub(crate) fn new() -> Self {
        Parser {
            buf: Vec::with_capacity(16384),
            at: 0,
            state: BodyState::Head,
            status: 0,
            close: false,
        }
    }
    pub(crate) fn reset(&mut self) {
        self.buf.drain(..self.at);
        self.at = 0;
        self.state = BodyState::Head;
        self.status = 0;
        self.close = false;
    }
    pub(crate) fn line(&mut self) -> Option<(usize, usize)> {
        let i = memchr::memchr(b'\n', &self.buf[self.at..])?;
        let start = self.at;
        self.at += i + 1;
        Some((
            start,
            if i > 0 && self.buf[start + i - 1] == b'\r' {
                start + i - 1
            } else {
                start + i
            },
        ))
    }
    /// Consumes what is buffered; gives body bytes to `sink`; true when the answer is complete.
    pub(crate) fn advance(&mut self, mut sink: impl FnMut(&[u8])) -> Result<bool, &'static str> {
        loop {
            match self.state {
                BodyState::Head => {
                    let mut hs = [httparse::EMPTY_HEADER; 64];
                    let mut r = httparse::Response::new(&mut hs);
                    match r.parse(&self.buf[self.at..]) {
                        Ok(httparse::Status::Complete(n)) => {
                            let status = r.code.unwrap_or(0);
                            let (mut len, mut chunked, mut close) = (None, false, false);
                            for h in r.headers.iter() {
                                if h.name.eq_ignore_ascii_case("content-length") {
                                    len = std::str::from_utf8(h.value)
                                        .ok()
                                        .and_then(|v| v.trim().parse().ok());
                                } else if h.name.eq_ignore_ascii_case("transfer-encoding") {
                                    chunked = h.value.to_ascii_lowercase().ends_with(b"chunked");
                                } else if h.name.eq_ignore_ascii_case("connection") {
                                    close = h.value.eq_ignore_ascii_case(b"close");
                                }
                            }
                            self.at += n;
                            if status == 100 {
                                continue;
                            }
                            self.status = status;
                            self.close = close;
                            self.state = if chunked {
                                BodyState::ChunkSize
                            } else if let Some(n) = len {
                                BodyState::Len(n)
                            } else {
                                self.close = true;
                                BodyState::UntilClose
                            };
                        }
                        Ok(httparse::Status::Partial) => return Ok(false),
                        Err(_) => return Err("bad head"),
                    }
                }
                BodyState::Len(n) => {
                    let take = n.min(self.buf.len() - self.at);
                    sink(&self.buf[self.at..self.at + take]);
                    self.at += take;
                    if take == n {
                        self.state = BodyState::Done;
                    } else {
                        self.state = BodyState::Len(n - take);
                        self.compact();
                        return Ok(false);
                    }
                }
                BodyState::ChunkSize => {
                    let Some((s, e)) = self.line() else {
                        return Ok(false);
                    };
                    let text = std::str::from_utf8(&self.buf[s..e]).map_err(|_| "bad chunk")?;
                    let hex = text.split(';').next().unwrap_or("").trim();
                    let n = usize::from_str_radix(hex, 16).map_err(|_| "bad chunk size")?;
                    self.state = if n == 0 {
                        BodyState::Trailer
                    } else {
                        BodyState::ChunkData(n)
                    };
                }
                BodyState::ChunkData(n) => {
                    let take = n.min(self.buf.len() - self.at);
                    if take > 0 {
                        sink(&self.buf[self.at..self.at + take]);
                        self.at += take;
                    }
                    if take == n {
                        self.state = BodyState::ChunkEnd;
                    } else {
                        self.state = BodyState::ChunkData(n - take);
                        self.compact();
                        return Ok(false);
                    }
                }
                BodyState::ChunkEnd => {
                    if self.line().is_none() {
                        return Ok(false);
                    }
                    self.state = BodyState::ChunkSize;
                    self.compact();
                }
                BodyState::Trailer => {
                    let Some((s, e)) = self.line() else {
                        return Ok(false);
                    };
                    if s == e {
                        self.state = BodyState::Done;
                    }
                }
                BodyState::UntilClose => {
                    sink(&self.buf[self.at..]);
                    self.at = self.buf.len();
                    self.compact();
                    return Ok(false);
                }
                BodyState::Done => return Ok(true),
            }
        }
    }
    pub(crate) fn compact(&mut self) {
        if self.at == self.buf.len() {
            self.buf.clear();
            self.at = 0;
        } else if self.at > 65536 {
            self.buf.drain(..self.at);
            self.at = 0;
        }
    }
}
