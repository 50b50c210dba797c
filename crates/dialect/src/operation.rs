//! The closed sets that name a wire format: dialects, APIs and operations.

/// A family of wire formats that shares one error envelope and one way to present a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// `OpenAI` and the many servers that speak it, Azure `OpenAI` included.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
}

impl Dialect {
    /// The name used in resources.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
        }
    }
}

/// A request and response format that a Provider may or may not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Api {
    /// `POST /chat/completions`.
    ChatCompletions,
    /// `POST /completions`, the legacy text API.
    Completions,
    /// `POST /responses`.
    Responses,
    /// `POST /embeddings`.
    Embeddings,
    /// Anthropic's `POST /v1/messages`.
    Messages,
}

impl Api {
    /// The name used in resources.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "ChatCompletions",
            Self::Completions => "Completions",
            Self::Responses => "Responses",
            Self::Embeddings => "Embeddings",
            Self::Messages => "Messages",
        }
    }

    /// The dialect that this format belongs to.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Embeddings => Dialect::OpenAi,
            Self::Messages => Dialect::Anthropic,
        }
    }
}

/// Endpoints whose bytes are never looked into beyond the model name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Passthrough {
    /// `/v1/moderations`.
    Moderations,
    /// `/v1/images/*`.
    Images,
    /// `/v1/audio/*`.
    Audio,
    /// `/v1/rerank`.
    Rerank,
    /// `/v1/files*`.
    Files,
    /// `/v1/uploads*`.
    Uploads,
    /// `/v1/batches*`.
    Batches,
    /// `/v1/vector_stores*`.
    VectorStores,
}

/// What a caller asks an upstream to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Produces an answer in the given format.
    Generate(Api),
    /// A sub-route of a stored response: retrieve, delete, cancel, list its input items.
    StoredResponse,
    /// `POST /v1/responses/input_tokens`.
    ResponseInputTokens,
    /// `POST /v1/responses/compact`.
    ResponseCompact,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
    /// Forwarded untouched to the credential that holds the state.
    Passthrough(Passthrough),
}

impl Operation {
    /// The value of the `operation` label in metrics and of the span attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generate(Api::ChatCompletions) => "chat",
            Self::Generate(Api::Completions) => "completion",
            Self::Generate(Api::Responses) => "responses",
            Self::Generate(Api::Embeddings) => "embeddings",
            Self::Generate(Api::Messages) => "messages",
            Self::StoredResponse => "stored_response",
            Self::ResponseInputTokens => "responses_input_tokens",
            Self::ResponseCompact => "responses_compact",
            Self::CountTokens => "count_tokens",
            Self::Passthrough(Passthrough::Moderations) => "moderations",
            Self::Passthrough(Passthrough::Images) => "images",
            Self::Passthrough(Passthrough::Audio) => "audio",
            Self::Passthrough(Passthrough::Rerank) => "rerank",
            Self::Passthrough(Passthrough::Files) => "files",
            Self::Passthrough(Passthrough::Uploads) => "uploads",
            Self::Passthrough(Passthrough::Batches) => "batches",
            Self::Passthrough(Passthrough::VectorStores) => "vector_stores",
        }
    }

    /// The dialect whose clients use this operation.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Generate(api) => api.dialect(),
            Self::CountTokens => Dialect::Anthropic,
            Self::StoredResponse
            | Self::ResponseInputTokens
            | Self::ResponseCompact
            | Self::Passthrough(_) => Dialect::OpenAi,
        }
    }

    /// The format that a Provider must serve for this operation; `None` for what is only passed through.
    pub const fn api(self) -> Option<Api> {
        match self {
            Self::Generate(api) => Some(api),
            Self::StoredResponse | Self::ResponseInputTokens | Self::ResponseCompact => Some(Api::Responses),
            Self::CountTokens => Some(Api::Messages),
            Self::Passthrough(_) => None,
        }
    }
}
