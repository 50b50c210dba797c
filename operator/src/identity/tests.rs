//! Who is let in, with an API server that says what a test tells it to. What a real one says: `tests/api`.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use pool::{Clock, ManualClock};
use serde_json::{Value, json};
use tokio::time::advance;
use tower::service_fn;

use super::*;

/// An API server that gives one answer after each other review.
#[derive(Clone, Default)]
pub(crate) struct Reviews {
    status: Arc<Mutex<Value>>,
    /// What it answers with instead; 0 for a review.
    failure: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Reviews {
    pub(crate) fn says(&self, status: Value) {
        *self.status.lock().unwrap() = status;
    }

    fn fails(&self, code: u16) {
        self.failure.store(code.into(), Ordering::Relaxed);
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn client(&self) -> Client {
        let this = self.clone();
        Client::new(
            service_fn(move |request: Request<Body>| {
                let this = this.clone();
                async move {
                    assert_eq!(
                        request.uri().path(),
                        "/apis/authentication.k8s.io/v1/tokenreviews"
                    );
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let mut review: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(review["spec"]["audiences"], json!(["roundhouse-discovery"]));
                    this.asked.fetch_add(1, Ordering::Relaxed);
                    review["status"] = this.status.lock().unwrap().clone();
                    let code = match this.failure.load(Ordering::Relaxed) {
                        0 => StatusCode::CREATED,
                        code => StatusCode::from_u16(code.try_into().unwrap()).unwrap(),
                    };
                    let answer = Body::from(serde_json::to_vec(&review).unwrap());
                    let response = Response::builder().status(code).body(answer).unwrap();
                    Ok::<_, Infallible>(response)
                }
            }),
            "default",
        )
    }
}

/// What an API server says of an accepted token of a pod.
pub(crate) fn accepted(account: &str, pod: &str) -> Value {
    json!({
        "authenticated": true,
        "audiences": ["roundhouse-discovery"],
        "user": {
            "username": format!("system:serviceaccount:{account}"),
            "uid": "1",
            "groups": ["system:serviceaccounts"],
            "extra": {"authentication.kubernetes.io/pod-name": [pod]},
        },
    })
}

pub(crate) fn token(expires: Timestamp) -> String {
    let claims = json!({"exp": expires.as_secs()}).to_string();
    format!("head.{}.sign", URL_SAFE_NO_PAD.encode(claims))
}

fn metadata(authorization: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", authorization.parse().unwrap());
    metadata
}

fn reviewer(reviews: &Reviews, clock: &Arc<ManualClock>) -> Reviewer {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Reviewer::new(reviews.client(), "roundhouse-discovery", clock)
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(
        Timestamp::EPOCH + Duration::from_secs(1_700_000_000),
    ))
}

const NOT_ACCEPTED: Unidentified = Unidentified::NotAccepted {
    audience: "roundhouse-discovery",
};

#[tokio::test(start_paused = true)]
async fn a_token_is_accepted_for_its_audience_only() {
    let (reviews, clock) = (Reviews::default(), clock());
    let reviewer = reviewer(&reviews, &clock);
    let with = |key: &str, value: Value| {
        let mut status = accepted("here:it", "pod-1");
        status[key] = value;
        status
    };
    let cases = [
        ("as it should be", accepted("here:it", "pod-1"), true),
        ("not accepted", json!({"error": "it is expired"}), false),
        ("says no", with("authenticated", json!(false)), false),
        ("of another audience", with("audiences", json!(["other"])), false),
        (
            "of the API server's audience",
            with("audiences", json!([])),
            false,
        ),
        ("of nobody", with("user", json!({})), false),
    ];
    for (index, (what, status, is_accepted)) in cases.into_iter().enumerate() {
        reviews.says(status);
        let result = reviewer.identify(&metadata(&format!("Bearer t{index}"))).await;
        if is_accepted {
            let identity = result.expect(what);
            assert_eq!(identity.pod(), Some("pod-1"));
            let account = ServiceAccount {
                namespace: "here",
                name: "it",
            };
            assert_eq!(identity.service_account(), Some(account));
        } else {
            assert_eq!(result, Err(NOT_ACCEPTED), "{what}");
        }
    }
    for odd in [
        "Basic abc",
        "Bearer",
        "Bearer  ",
        &format!("Bearer {}", "x".repeat(20_000)),
    ] {
        let result = reviewer.identify(&metadata(odd)).await;
        assert_eq!(result, Err(Unidentified::NoToken));
    }
    let none = reviewer.identify(&MetadataMap::new()).await;
    assert_eq!(none, Err(Unidentified::NoToken));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_remembered_for_a_moment_and_never_beyond_the_end() {
    let (reviews, clock) = (Reviews::default(), clock());
    let reviewer = reviewer(&reviews, &clock);
    reviews.says(accepted("here:it", "pod-1"));
    let end = clock.now() + Duration::from_secs(14);
    let bearer = metadata(&format!("bearer {}", token(end)));
    let pass = async |seconds| {
        advance(Duration::from_secs(seconds)).await;
        clock.step(Duration::from_secs(seconds));
    };
    for _ in 0..3 {
        assert_eq!(reviewer.identify(&bearer).await.unwrap().expires, Some(end));
    }
    assert_eq!(reviews.asked(), 1);
    pass(10).await;
    assert!(reviewer.identify(&bearer).await.is_ok());
    assert_eq!(reviews.asked(), 1, "asked again");
    pass(4).await;
    // The API server's clock may be behind.
    assert_eq!(reviewer.identify(&bearer).await, Err(NOT_ACCEPTED));
    assert_eq!(reviews.asked(), 1, "the end is not remembered over");
    assert_eq!(reviewer.identify(&bearer).await, Err(NOT_ACCEPTED));
    assert_eq!(reviews.asked(), 0);
    pass(1).await;
    assert_eq!(reviewer.identify(&bearer).await, Err(NOT_ACCEPTED));
    assert_eq!(reviews.asked(), 1, "a refusal is remembered for a second");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_cannot_answer_is_nobodys_fault() {
    let (reviews, clock) = (Reviews::default(), clock());
    let reviewer = reviewer(&reviews, &clock);
    reviews.says(accepted("here:it", "pod-1"));
    reviews.fails(500);
    let error = reviewer.identify(&metadata("Bearer t")).await.unwrap_err();
    assert_eq!(error.reason(), "review_unavailable");
    assert_eq!(Status::from(&error).code(), Code::Unavailable);
    reviews.fails(0);
    assert!(
        reviewer.identify(&metadata("Bearer t")).await.is_ok(),
        "that is not remembered"
    );

    let silent = Client::new(
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>()),
        "default",
    );
    let reviewer = Reviewer::new(silent, "roundhouse-discovery", clock);
    let error = reviewer.identify(&metadata("Bearer t")).await.unwrap_err();
    assert_eq!(Status::from(&error).code(), Code::Unavailable);
}
