//! Call + hop + credential → the request for the upstream.

mod form;

pub(super) use form::TooLong;

use bytes::Bytes;
use dialect::{Api, Dialect, Edits, Operation};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use snapshot::{Azure, AzureStyle};

use super::{
    peek::{Call, Form, Payload, Unsent},
    route::Hop,
};
use crate::{
    failure::Failure,
    live::{LiveCredential, LiveProvider},
    upstream::{RequestBody, StreamedBody},
};

/// A request for the upstream, and what of the caller's was changed in it.
pub(super) struct Outbound {
    pub(super) request: Box<Request<RequestBody>>,
    /// The stream's usage was asked for on our own account, and must be taken out again.
    pub(super) hide_usage: bool,
}

/// Writes the request: the body spliced, the path as the vendor wants it, the key of this moment.
pub(super) fn encode(
    call: &mut Call,
    hop: &Hop,
    provider: &LiveProvider,
    credential: &LiveCredential,
) -> Result<Outbound, Failure> {
    let hide_usage = asks_for_usage(call, hop);
    let mut headers = headers(call, provider, credential);
    let body = match &mut call.payload {
        Payload::Empty => RequestBody::Empty,
        Payload::Json { body, peeked, .. } => {
            let written = peeked.model.as_ref().map(|model| model.value.as_str());
            let rename =
                !hop.model.is_empty() && written != Some(&*hop.model) && !in_path(hop, call.operation);
            let edits = Edits {
                model: rename.then_some(&*hop.model),
                ask_usage: hide_usage,
            };
            RequestBody::Whole(peeked.splice(body, &edits).into())
        }
        Payload::Form(form) => {
            headers.remove(header::CONTENT_LENGTH);
            match form.take() {
                Some(Unsent::Form(form)) => send_form(form, &hop.model),
                Some(Unsent::Written { model, body }) if model == hop.model => RequestBody::Streamed(body),
                Some(Unsent::Written { .. }) | None => return Err(Failure::internal()),
            }
        }
    };
    if in_path(hop, call.operation) && matches!(&*hop.model, "." | "..") {
        return Err(Failure::invalid("invalid_model", "this name cannot be a deployment's").param("model"));
    }
    // Boxed, because it moves through several futures, each of which has room for what it is given.
    let mut request = Box::new(Request::new(body));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = path_and_query(call, hop).parse().map_err(|_| {
        Failure::invalid(
            "invalid_path",
            "the path or model name cannot be sent to the upstream",
        )
    })?;
    *request.headers_mut() = headers;
    Ok(Outbound { request, hide_usage })
}

/// Whether the upstream must be asked for a stream's usage because the caller did not.
fn asks_for_usage(call: &Call, hop: &Hop) -> bool {
    let knows = hop
        .provider
        .provider
        .azure
        .as_ref()
        .is_none_or(azure_reports_usage);
    let Payload::Json { peeked, .. } = &call.payload else {
        return false;
    };
    let streams = matches!(
        call.operation,
        Operation::Generate(Api::ChatCompletions | Api::Completions)
    );
    streams && call.stream && !peeked.wants_usage && knows
}

/// Azure's dated API refuses `stream_options` before version 2024-09-01-preview.
fn azure_reports_usage(azure: &Azure) -> bool {
    azure.style == AzureStyle::V1
        || azure
            .api_version
            .as_deref()
            .is_none_or(|version| version >= "2024-09-01")
}

/// Whether the model's name is part of the upstream's path instead of the body.
fn in_path(hop: &Hop, operation: Operation) -> bool {
    let azure = hop.provider.provider.azure.as_ref();
    azure.is_some_and(|azure| azure.style == AzureStyle::Deployments) && deployed(operation)
}

/// Whether Azure's dated API has the operation below a deployment.
fn deployed(operation: Operation) -> bool {
    use dialect::Passthrough::{Audio, Images};
    matches!(
        operation,
        Operation::Generate(Api::ChatCompletions | Api::Completions | Api::Embeddings)
            | Operation::Passthrough(Audio | Images)
    )
}

/// What may stand unescaped in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The path below the host, with the query.
fn path_and_query(call: &Call, hop: &Hop) -> String {
    let provider = &hop.provider.provider;
    let mut path = String::from(&*provider.endpoint.path);
    // Azure's endpoints end in /openai or /openai/v1; Anthropic's are written without the version.
    if in_path(hop, call.operation) {
        path.push_str("/deployments/");
        path.extend(utf8_percent_encode(&hop.model, SEGMENT));
    } else if provider.dialect == Dialect::Anthropic {
        path.push_str("/v1");
    }
    path.push_str(&call.path.suffix);
    let version = provider
        .azure
        .as_ref()
        .and_then(|azure| azure.api_version.as_deref());
    let own = version.map(|version| format!("api-version={}", utf8_percent_encode(version, SEGMENT)));
    let given = call
        .query
        .iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| passes(pair))
        .map(str::to_owned);
    for (index, pair) in given.chain(own).enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(&pair);
    }
    path
}

/// Query parameters that are the gateway's own business: keys, and the version of an Azure client's API.
fn passes(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or(pair);
    !name.is_empty() && !matches!(name, "key" | "api-key" | "api_key" | "api-version")
}

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("roundhouse/", env!("CARGO_PKG_VERSION")));
/// The version assumed for clients that send none, as curl users do.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

fn headers(call: &Call, provider: &LiveProvider, credential: &LiveCredential) -> HeaderMap {
    let dialect = provider.provider.dialect;
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::HOST, provider.host.clone());
    headers.insert(header::USER_AGENT, USER_AGENT);
    for (name, value) in &call.headers {
        if dialect::request_header_allowed(dialect, name) {
            headers.append(name.clone(), value.clone());
        }
    }
    if dialect == Dialect::Anthropic {
        headers
            .entry(HeaderName::from_static("anthropic-version"))
            .or_insert(ANTHROPIC_VERSION);
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some((name, value)) = &credential.header {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

/// A form with the model's name of this upstream in it.
fn send_form(form: Form, model: &str) -> RequestBody {
    let Form {
        head,
        model: range,
        rest,
        length,
    } = form;
    let (head, length) = match range {
        Some(range) if !model.is_empty() && head.get(range.clone()) != Some(model.as_bytes()) => {
            let renamed = [&head[..range.start], model.as_bytes(), &head[range.end..]].concat();
            let length = length.map(|length| length - head.len() as u64 + renamed.len() as u64);
            (Bytes::from(renamed), length)
        }
        _ => (head, length),
    };
    RequestBody::Streamed(StreamedBody::new(form::FormBody::new(head, rest, length)))
}
