//! The pass over a request body that [`super::peek`] makes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::names::{Top, is_callers_data, is_object_ids};
use super::{JsonType, Layout, Member, PeekError, Peeked, StreamOptions};
use crate::json::decode;
use crate::json::strict::{Reader, Text, Token};
use crate::{Api, Dialect, Operation};

/// How many top-level members a request may have. Real ones have a few dozen at most; the names are kept until
/// the end of the pass, so their number must not follow the size of the body.
const MAX_MEMBERS: usize = 1024;

/// How many object ids are collected; a request that names more is held by the same account anyway.
const MAX_OBJECT_IDS: usize = 256;

/// What the next value is, when the name before it says something below the top level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    IncludeUsage,
    UserId,
    ConversationId,
    /// The role of the message that is open.
    Role,
    /// One id, or an array of ids.
    ObjectIds,
}

/// How far the first messages have been followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turns {
    Unseen,
    /// Inside the array; where its first element starts, and whether the element that is open is the system's.
    Open {
        start: Option<usize>,
        system: bool,
    },
    Done,
}

struct Scan<'a> {
    body: &'a [u8],
    operation: Operation,
    top: Top,
    awaited: Option<Awaited>,
    /// The depth of the array whose strings are object ids.
    ids_at: Option<u32>,
    /// The depth of the value inside which names mean nothing: data of the caller's tools and schemas.
    muted_at: Option<u32>,
    turns: Turns,
    names: Vec<Text>,
    model: Option<Member<String>>,
    stream: bool,
    wants_usage: bool,
    user: Option<String>,
    safety_identifier: Option<String>,
    metadata_user: Option<String>,
    cache_key: Option<String>,
    conversation: Option<String>,
    prefix: Option<Range<usize>>,
    object_ids: Vec<String>,
    layout: Layout,
}

pub(super) fn scan(operation: Operation, body: &[u8]) -> Result<Peeked, PeekError> {
    if let Err(error) = std::str::from_utf8(body) {
        return Err(PeekError::NotUtf8 {
            at: error.valid_up_to(),
        });
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(PeekError::Empty);
    }
    let mut reader = Reader::new(body);
    match reader.next()? {
        Some(Token::OpenObject) => {}
        Some(other) => {
            return Err(PeekError::NotAnObject {
                found: JsonType::of(&other),
            });
        }
        None => return Err(PeekError::Empty),
    }
    let mut scan = Scan::new(operation, body, reader.position());
    while let Some(token) = reader.next()? {
        scan.token(&token, reader.depth(), reader.position())?;
    }
    scan.finish()
}

impl<'a> Scan<'a> {
    fn new(operation: Operation, body: &'a [u8], first_member: usize) -> Self {
        Self {
            body,
            operation,
            top: Top::Other,
            awaited: None,
            ids_at: None,
            muted_at: None,
            turns: Turns::Unseen,
            names: Vec::with_capacity(24),
            model: None,
            stream: false,
            wants_usage: false,
            user: None,
            safety_identifier: None,
            metadata_user: None,
            cache_key: None,
            conversation: None,
            prefix: None,
            object_ids: Vec::new(),
            layout: Layout {
                first_member,
                ..Layout::default()
            },
        }
    }

    /// `depth` and `position` are the reader's after the token.
    #[inline]
    fn token(&mut self, token: &Token, depth: u32, position: usize) -> Result<(), PeekError> {
        match token {
            Token::Key(text) if depth == 1 => self.top_name(text),
            Token::Key(text) => {
                self.nested_name(text, depth);
                Ok(())
            }
            Token::Close => {
                self.closed(depth, position);
                Ok(())
            }
            // The value of a top-level member: a scalar at depth 1, or an opening that just reached depth 2.
            Token::OpenObject | Token::OpenArray if depth == 2 => self.top_value(token, position),
            _ if depth == 1 => self.top_value(token, position),
            _ => self.nested_value(token, depth, position),
        }
    }

    fn top_name(&mut self, text: &Text) -> Result<(), PeekError> {
        if self.names.len() == MAX_MEMBERS {
            return Err(PeekError::TooManyMembers { limit: MAX_MEMBERS });
        }
        self.top = Top::named(&self.name(text));
        self.names.push(text.clone());
        Ok(())
    }

    fn top_value(&mut self, token: &Token, position: usize) -> Result<(), PeekError> {
        match (self.top, token) {
            (Top::Model, Token::String(text)) => {
                let value = self.decoded(text)?;
                self.model = Some(Member {
                    value,
                    range: text.range.start - 1..position,
                });
            }
            (Top::Model, other) => return Err(wrong("model", JsonType::String, other)),
            (Top::Stream, Token::True) => {
                self.stream = true;
                if matches!(
                    self.operation,
                    Operation::Generate(Api::ChatCompletions | Api::Completions)
                ) {
                    self.layout.usage_can_be_asked = Some(position);
                }
            }
            (Top::Stream, Token::False | Token::Null) => {}
            (Top::Stream, other) => return Err(wrong("stream", JsonType::Boolean, other)),
            (Top::StreamOptions, Token::OpenObject) => {
                self.layout.stream_options = StreamOptions::Object {
                    first_member: position,
                    is_empty: true,
                    include_usage: None,
                };
            }
            (Top::StreamOptions, Token::Null) => {
                self.layout.stream_options = StreamOptions::Null(position - 4..position);
            }
            (Top::StreamOptions, other) => return Err(wrong("stream_options", JsonType::Object, other)),
            (Top::SafetyIdentifier, Token::String(text)) => self.safety_identifier = self.said(text),
            (Top::User, Token::String(text)) => self.user = self.said(text),
            (Top::PromptCacheKey, Token::String(text)) => self.cache_key = self.said(text),
            (Top::Conversation, Token::String(text)) => self.conversation = self.said(text),
            (Top::PreviousResponseId | Top::Objects, Token::String(text)) => self.object_id(text),
            (Top::Turns, Token::String(text)) => {
                self.prefix.get_or_insert(text.range.start - 1..position);
            }
            (Top::Turns, Token::OpenArray) if self.turns == Turns::Unseen => {
                self.turns = Turns::Open {
                    start: None,
                    system: false,
                };
            }
            (Top::Objects, Token::OpenArray) => self.ids_at = Some(2),
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn nested_name(&mut self, text: &Text, depth: u32) {
        self.awaited = None;
        if self.muted_at.is_some() {
            return;
        }
        let name = self.name(text);
        self.awaited = match (self.top, depth, &*name) {
            (Top::StreamOptions, 2, name) => {
                if let StreamOptions::Object { is_empty, .. } = &mut self.layout.stream_options {
                    *is_empty = false;
                }
                (name == b"include_usage").then_some(Awaited::IncludeUsage)
            }
            (Top::Metadata, 2, b"user_id") => Some(Awaited::UserId),
            (Top::Metadata | Top::Notes, _, _) => None,
            (Top::Conversation, 2, b"id") => Some(Awaited::ConversationId),
            (Top::Turns, 3, b"role") if matches!(self.turns, Turns::Open { .. }) => Some(Awaited::Role),
            (_, _, name) if is_object_ids(name) => Some(Awaited::ObjectIds),
            (_, _, name) if is_callers_data(name) => {
                self.muted_at = Some(depth);
                None
            }
            _ => None,
        };
    }

    #[inline]
    fn nested_value(&mut self, token: &Token, depth: u32, position: usize) -> Result<(), PeekError> {
        if let Turns::Open {
            start: start @ None, ..
        } = &mut self.turns
            && self.top == Top::Turns
        {
            *start = Some(match token {
                Token::OpenObject | Token::OpenArray => position - 1,
                Token::String(text) => text.range.start - 1,
                Token::Number(range) => range.start,
                _ => position,
            });
        }
        let opened = matches!(token, Token::OpenObject | Token::OpenArray);
        if self.top == Top::Turns && depth == 2 && !opened {
            // A plain element: of an array of prompts the first is the prefix, of an array of tokens all are.
            if let (Turns::Open { system, .. }, Token::Number(_)) = (&mut self.turns, token) {
                *system = true;
            }
            self.turn_ended(position);
        }
        if self.top == Top::Turns
            && depth == 3
            && opened
            && let Turns::Open { system, .. } = &mut self.turns
        {
            *system = false;
        }
        // A muted value that is a scalar ends at once.
        if !opened && self.muted_at == Some(depth) {
            self.muted_at = None;
        }
        match (self.awaited.take(), token) {
            (Some(Awaited::IncludeUsage), token) => self.include_usage(token, position)?,
            (Some(Awaited::UserId), Token::String(text)) => self.metadata_user = self.said(text),
            (Some(Awaited::ConversationId), Token::String(text)) => self.conversation = self.said(text),
            (Some(Awaited::Role), Token::String(text)) => {
                let is_system = matches!(&*self.name(text), b"system" | b"developer");
                if let Turns::Open { system, .. } = &mut self.turns {
                    *system = is_system;
                }
            }
            (Some(Awaited::ObjectIds), Token::String(text)) => self.object_id(text),
            (Some(Awaited::ObjectIds), Token::OpenArray) => self.ids_at = Some(depth),
            (None, Token::String(text)) if self.ids_at == Some(depth) => self.object_id(text),
            _ => {}
        }
        Ok(())
    }

    fn include_usage(&mut self, token: &Token, position: usize) -> Result<(), PeekError> {
        let length = match token {
            Token::True => {
                self.wants_usage = true;
                4
            }
            Token::False => 5,
            Token::Null => 4,
            other => return Err(wrong("stream_options.include_usage", JsonType::Boolean, other)),
        };
        let StreamOptions::Object { include_usage, .. } = &mut self.layout.stream_options else {
            return Ok(());
        };
        if include_usage.replace(position - length..position).is_some() {
            return Err(PeekError::Duplicate {
                name: "stream_options.include_usage".to_owned(),
            });
        }
        Ok(())
    }

    /// An array or object was closed; `depth` is what is still open around it.
    #[inline]
    fn closed(&mut self, depth: u32, position: usize) {
        if self.ids_at == Some(depth + 1) {
            self.ids_at = None;
        }
        if self.muted_at == Some(depth) {
            self.muted_at = None;
        }
        if self.top == Top::Turns {
            if depth == 2 {
                self.turn_ended(position);
            } else if depth == 1 && matches!(self.turns, Turns::Open { .. }) {
                self.turns = Turns::Done;
            }
        }
    }

    /// An element of the messages ended; the prefix grows until one is not the system's.
    fn turn_ended(&mut self, position: usize) {
        if let Turns::Open {
            start: Some(start),
            system,
        } = self.turns
        {
            self.prefix = Some(start..position);
            if !system {
                self.turns = Turns::Done;
            }
        }
    }

    fn finish(mut self) -> Result<Peeked, PeekError> {
        self.refuse_duplicates()?;
        let mut object_ids = std::mem::take(&mut self.object_ids);
        if let Some(id) = &self.conversation
            && !object_ids.contains(id)
        {
            object_ids.push(id.clone());
        }
        self.layout.is_empty = self.names.is_empty();
        let (user, session) = match self.operation.dialect() {
            Dialect::OpenAi => (
                self.safety_identifier.or(self.user),
                self.cache_key.or(self.conversation),
            ),
            Dialect::Anthropic => (self.metadata_user.clone(), self.metadata_user),
        };
        Ok(Peeked {
            model: self.model,
            stream: self.stream,
            wants_usage: self.wants_usage,
            user,
            session,
            prefix: self.prefix,
            object_ids,
            layout: self.layout,
        })
    }

    fn refuse_duplicates(&mut self) -> Result<(), PeekError> {
        let mut names = std::mem::take(&mut self.names);
        names.sort_unstable_by(|left, right| self.compare(left, right));
        let twin = names.windows(2).find_map(|pair| match pair {
            [left, right] if self.compare(left, right) == Ordering::Equal => Some(left),
            _ => None,
        });
        if let Some(name) = twin {
            let name = String::from_utf8_lossy(&self.name(name)).into_owned();
            return Err(PeekError::Duplicate { name });
        }
        self.names = names;
        Ok(())
    }

    /// Lengths first: names of different length, which most are, are told apart without being read.
    fn compare(&self, left: &Text, right: &Text) -> Ordering {
        if left.escaped || right.escaped {
            let (left, right) = (self.name(left), self.name(right));
            return left.len().cmp(&right.len()).then_with(|| left.cmp(&right));
        }
        let (left, right) = (&self.body[left.range.clone()], &self.body[right.range.clone()]);
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    }

    /// What a name says, however it is spelled. One that says nothing (a lone surrogate) stands for itself.
    #[inline]
    fn name(&self, text: &Text) -> Cow<'a, [u8]> {
        let raw = self.body.get(text.range.clone()).unwrap_or_default();
        if !text.escaped {
            return Cow::Borrowed(raw);
        }
        match decode(raw) {
            Some(Cow::Owned(name)) => Cow::Owned(name.into_bytes()),
            _ => Cow::Borrowed(raw),
        }
    }

    fn decoded(&self, text: &Text) -> Result<String, PeekError> {
        let raw = self.body.get(text.range.clone()).unwrap_or_default();
        decode(raw).map(Cow::into_owned).ok_or(PeekError::Malformed {
            at: text.range.start,
            expected: "a string of Unicode characters",
        })
    }

    /// A value that is only a hint: empty and undecodable ones are taken as absent.
    fn said(&self, text: &Text) -> Option<String> {
        self.decoded(text).ok().filter(|value| !value.is_empty())
    }

    fn object_id(&mut self, text: &Text) {
        if let Some(id) = self.said(text)
            && self.object_ids.len() < MAX_OBJECT_IDS
            && !self.object_ids.contains(&id)
        {
            self.object_ids.push(id);
        }
    }
}

fn wrong(name: &'static str, expected: JsonType, found: &Token) -> PeekError {
    PeekError::WrongType {
        name,
        expected,
        found: JsonType::of(found),
    }
}
