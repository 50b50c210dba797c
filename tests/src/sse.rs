//! Reads server-sent events the strict way, so that a test sees what a client would.

/// One event, or one comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The `event:` field.
    pub event: Option<String>,
    /// The `data:` fields, joined with line feeds.
    pub data: String,
    /// The text after the colon of a comment line.
    pub comment: Option<String>,
}

impl Frame {
    /// The data as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// All frames of a finished body. Comments are frames of their own. Fails on a body that ends within a frame, because
/// a client would lose it.
pub fn frames(body: &[u8]) -> Vec<Frame> {
    let text = String::from_utf8(body.to_vec()).expect("an event stream is UTF-8");
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut frames = Vec::new();
    let mut open = Frame::default();
    let mut dirty = false;
    for line in text.lines() {
        if line.is_empty() {
            if dirty {
                frames.push(std::mem::take(&mut open));
            }
            dirty = false;
        } else if let Some(comment) = line.strip_prefix(':') {
            frames.push(Frame {
                comment: Some(comment.trim().to_owned()),
                ..Frame::default()
            });
        } else {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => open.event = Some(value.to_owned()),
                "data" if open.data.is_empty() => value.clone_into(&mut open.data),
                "data" => {
                    open.data.push('\n');
                    open.data.push_str(value);
                }
                _ => {}
            }
            dirty = true;
        }
    }
    assert!(!dirty, "the body ends within a frame: {open:?}");
    frames
}

/// The text that an `OpenAI` chat stream carries.
pub fn chat_text(frames: &[Frame]) -> String {
    frames
        .iter()
        .filter_map(|frame| {
            frame.json()["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_comments_are_told_apart() {
        let frames = frames(b": hi\r\n\r\nevent: a\ndata: {\"x\":1}\n\ndata: 1\ndata: 2\n\n");
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0].comment.as_deref(), Some("hi"));
        assert_eq!(
            (frames[1].event.as_deref(), frames[1].json()["x"].as_u64()),
            (Some("a"), Some(1))
        );
        assert_eq!(frames[2].data, "1\n2");
    }
}
