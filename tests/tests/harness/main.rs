//! The harness itself: what a suite builds on must do what it says.

#[cfg(test)]
mod counts;
#[cfg(test)]
mod redis;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use harness::{Client, Gate, Reply, Streaming, Upstream, When, credential_key, raw};
    use serde_json::json;

    fn client(upstream: &Upstream, name: &str) -> Client {
        Client::new(upstream.address()).bearer(&credential_key(name))
    }

    #[tokio::test]
    async fn every_usual_answer_is_well_formed() {
        let upstream = Upstream::start().await;
        let client = client(&upstream, "a");
        for streamed in [false, true] {
            for tools in [json!(null), json!([{ "name": "f", "function": { "name": "f" } }])] {
                for path in ["chat/completions", "completions", "responses", "messages"] {
                    let body = json!({ "model": "m", "stream": streamed, "tools": tools, "stream_options": { "include_usage": true } });
                    let answer = client.post(&format!("/v1/{path}"), &body).await.expect(200);
                    if streamed {
                        let frames = answer.frames();
                        assert!(frames.len() >= 3, "{path}: {frames:?}");
                    } else {
                        assert!(answer.json()["usage"].is_object(), "{path}: {}", answer.text());
                    }
                }
            }
        }
        let made = client.post("/v1/responses", &json!({})).await.json();
        let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
        client.get(&path).await.expect(200);
        self::client(&upstream, "b").get(&path).await.expect(404);
        assert_eq!(upstream.counts()["a"], 18);
    }

    #[tokio::test]
    async fn rules_are_used_in_order_and_used_up() {
        let upstream = Upstream::start().await;
        upstream.once(When::credential("a"), Reply::rate_limited("7"));
        upstream.times(2, When::any().path("/chat"), Reply::status(500));
        let (a, b) = (client(&upstream, "a"), client(&upstream, "b"));
        let limited = a.chat("m").await;
        assert_eq!((limited.status, limited.retry_after()), (429, 7));
        let statuses = [
            b.chat("m").await.status,
            a.chat("m").await.status,
            b.chat("m").await.status,
        ];
        assert_eq!(statuses, [500, 500, 200]);
        upstream.expect_counts(&[("a", 2), ("b", 2)]);
    }

    #[tokio::test]
    async fn pieces_cuts_and_resets_arrive_as_scripted() {
        let upstream = Upstream::start().await;
        let client = client(&upstream, "a");
        upstream.once(
            When::any(),
            Reply::stream().byte_by_byte("data: 1\n\n", Duration::ZERO).end(),
        );
        assert_eq!(client.chat_stream("m").await.finish().await.text(), "data: 1\n\n");
        for broken in [
            Reply::stream().chunk("x").cut(),
            Reply::stream().chunk("x").wait(Duration::from_millis(50)).reset(),
        ] {
            upstream.once(When::any(), broken);
            let error = client.chat_stream("m").await.finish_or_error().await.unwrap_err();
            assert!(error.contains("after 1 bytes"), "{error}");
        }
        upstream.once(When::any(), Reply::refuse());
        assert!(client.request("GET", "/").attempt().await.is_err());
    }

    #[tokio::test]
    async fn a_caller_that_leaves_is_noticed() {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(
            When::any(),
            Reply::stream().chunk("data: 1\n\n").until(&gate).end(),
        );
        let mut stream: Streaming = client(&upstream, "a").chat_stream("m").await;
        stream.until("1").await;
        drop(stream);
        assert_eq!(upstream.until_gone().await.credential(), "a");
        upstream.once(When::any(), Reply::silence());
        let call = tokio::spawn({
            let client = client(&upstream, "b");
            async move { client.chat("m").await }
        });
        upstream.until_seen(2).await;
        call.abort();
        harness::eventually("b is gone", Duration::from_secs(5), || async {
            upstream
                .seen()
                .into_iter()
                .find(|seen| seen.gone && seen.credential() == "b")
        })
        .await;
    }

    #[tokio::test]
    async fn connections_are_kept_and_counted_and_chunked_bodies_read() {
        let upstream = Upstream::start().await;
        let one = "POST /v1/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let heard = raw::exchange(
            upstream.address(),
            format!("{one}{one}").as_bytes(),
            Duration::from_millis(300),
        )
        .await;
        assert_eq!(
            (heard.answers(), heard.status(), heard.closed),
            (2, 200, false),
            "{}",
            heard.text
        );
        let seen = upstream.seen();
        assert_eq!(seen[1].body.as_ref(), b"abcde");
        assert_eq!(
            (seen[0].reused, seen[1].reused, upstream.connections()),
            (false, true, 1)
        );
    }
}
