//! Many objects at once.

use http::Request;
use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;

/// Calls at a time.
const CALLS: usize = 8;

/// Makes objects in the collection `path`, several at a time.
pub async fn make(client: &Client, path: &str, objects: impl IntoIterator<Item = Value>) {
    let mut calls = JoinSet::new();
    for object in objects {
        if calls.len() >= CALLS {
            let done = calls.join_next().await;
            done.expect("there are some").expect("no call panics");
        }
        let (client, path) = (client.clone(), path.to_owned());
        calls.spawn(async move {
            let request = Request::post(path)
                .header("content-type", "application/json")
                .body(object.to_string().into_bytes())
                .expect("a request is whole");
            client.request_text(request).await.map(drop).expect("it is made");
        });
    }
    while let Some(done) = calls.join_next().await {
        done.expect("no call panics");
    }
}
