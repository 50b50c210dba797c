//! Objects that only one account knows.

use harness::{Fixture, Gateway, Upstream};
use serde_json::json;

#[tokio::test]
async fn a_stored_response_is_found_on_the_credential_that_made_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b", "c"])).await;
    let mut made = Vec::new();
    for streamed in [false, false, true] {
        let body = json!({ "model": "m", "input": "x", "stream": streamed });
        let answer = gateway.client().post("/v1/responses", &body).await.expect(200);
        let id = if streamed {
            answer.frames()[0].json()["response"]["id"].clone()
        } else {
            answer.json()["id"].clone()
        };
        made.push((
            id.as_str().unwrap().to_owned(),
            upstream.last().credential().to_owned(),
        ));
    }
    for (id, credential) in &made {
        for (method, path) in [
            ("GET", format!("/v1/responses/{id}")),
            ("GET", format!("/v1/responses/{id}/input_items?limit=5")),
            ("POST", format!("/v1/responses/{id}/cancel")),
            ("DELETE", format!("/v1/responses/{id}")),
        ] {
            let answer = gateway.client().request(method, &path).send().await;
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
            assert_eq!(upstream.last().credential(), credential, "{method} {path}");
            assert_eq!(upstream.last().path, path);
        }
        for _ in 0..3 {
            let body = json!({ "model": "m", "input": "x", "previous_response_id": id });
            gateway.client().post("/v1/responses", &body).await.expect(200);
            assert_eq!(upstream.last().credential(), credential, "the chain stays");
        }
    }
}

#[tokio::test]
async fn an_id_that_nobody_here_made_is_not_guessed_at() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    gateway
        .client()
        .get("/v1/responses/resp_a_0_0")
        .await
        .openai_error(404);
    gateway.client().get("/v1/files/file-a").await.openai_error(404);
    let body = json!({ "model": "m", "input": "x", "previous_response_id": "resp_elsewhere" });
    let answer = gateway.client().post("/v1/responses", &body).await;
    assert!(
        matches!(answer.status, 400 | 404),
        "{}: {}",
        answer.status,
        answer.text()
    );
    answer.openai_error(answer.status);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn another_callers_object_is_not_there() {
    let upstream = Upstream::start().await;
    let fixture = Fixture::pool(&upstream, ["a"])
        .namespace("other")
        .provider("p", &upstream.url("/v1"), &["m"])
        .credential("p", "b")
        .client("app", "rh-other-key-0123456789abcdef");
    let gateway = Gateway::start(fixture).await;
    let body = json!({ "model": "m", "input": "x" });
    let made = gateway
        .client()
        .post("/v1/responses", &body)
        .await
        .expect(200)
        .json();
    let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
    gateway.client().get(&path).await.expect(200);
    gateway
        .client_with("rh-other-key-0123456789abcdef")
        .get(&path)
        .await
        .openai_error(404);
}

#[tokio::test]
async fn files_are_found_where_they_were_uploaded() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Fixture::pool(&upstream, ["a", "b"])).await;
    let form = "--B\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n\
        --B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\nhello\r\n--B--\r\n";
    let made = gateway
        .client()
        .request("POST", "/p/v1/files")
        .header("content-type", "multipart/form-data; boundary=B")
        .body(form)
        .send()
        .await
        .expect(200)
        .json();
    let seen = upstream.last();
    assert_eq!(seen.body, form.as_bytes(), "the form is untouched");
    let owner = seen.credential().to_owned();
    let id = made["id"].as_str().unwrap();
    for _ in 0..2 {
        gateway.client().get(&format!("/v1/files/{id}")).await.expect(200);
        assert_eq!(upstream.last().credential(), owner);
        let content = gateway
            .client()
            .get(&format!("/v1/files/{id}/content"))
            .await
            .expect(200);
        assert_eq!(content.body.as_ref(), [0, 159, 146, 150], "bytes, not text");
    }
    let body = json!({ "model": "m", "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": id }] }] });
    for _ in 0..2 {
        gateway.client().post("/v1/responses", &body).await.expect(200);
        assert_eq!(
            upstream.last().credential(),
            owner,
            "a call that names the file goes there too"
        );
    }
    gateway
        .client()
        .request("DELETE", &format!("/v1/files/{id}"))
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.last().credential(), owner);
}

#[tokio::test]
async fn a_conversation_goes_on_under_a_routes_name_and_from_azures_paths() {
    let upstream = Upstream::start().await;
    let targets = json!([{ "providerRef": { "name": "p" }, "model": "m" }]);
    let fixture = Fixture::pool(&upstream, ["a", "b"])
        .route("smart", &["smart"], targets)
        .amend("Credential", "a", "/spec/models", json!({ "allow": ["m"] }))
        .amend("Credential", "b", "/spec/models", json!({ "allow": ["m"] }));
    let gateway = Gateway::start(fixture).await;
    for name in ["smart", "p/m", "m"] {
        let body = json!({ "model": name, "input": "x" });
        let first = gateway.client().post("/v1/responses", &body).await.expect(200);
        let id = first.json()["id"].as_str().unwrap().to_owned();
        let credential = upstream.last().credential().to_owned();
        for path in ["/v1/responses", "/openai/v1/responses"] {
            let body = json!({ "model": name, "input": "y", "previous_response_id": id });
            gateway.client().post(path, &body).await.expect(200);
            assert_eq!(upstream.last().json()["model"], "m", "{name} on {path}");
            assert_eq!(upstream.last().credential(), credential, "{name} on {path}");
        }
        let stored = format!("/v1/responses/{id}");
        gateway.client().get(&stored).await.expect(200);
        assert_eq!(
            upstream.last().credential(),
            credential,
            "{name}: a call without a model"
        );
    }
}
