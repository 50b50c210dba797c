//! Certificates, and what else connects.

use std::time::Duration;

use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    Gateway, World,
    client::{Channel, SERVICE, tls},
    contents,
    world::PATIENCE,
};
use crate::authority::testing;

#[tokio::test]
async fn certificates_change_while_streams_go_on() {
    let mut world = World::new().await;
    let first = contents(&[("a", "one")]);
    world.publish(&first);
    let mut gateway = Gateway::subscribe(&world, None).await;
    assert_eq!(gateway.next().await, first);
    gateway.ack(&first).await;

    // Another certificate of another authority.
    let (authority, leaf) = testing::issue();
    world.presented.send_replace(Some(leaf));
    let former = std::mem::replace(&mut world.authority, authority);
    let second = contents(&[("a", "two")]);
    world.publish(&second);
    assert_eq!(gateway.next().await, second, "the stream goes on");
    gateway.ack(&second).await;

    let refused = tls(world.address, std::slice::from_ref(&former), SERVICE, &[b"h2"]).await;
    assert!(refused.is_err(), "the former authority has not signed it");
    let both = [former, world.authority.clone()];
    assert!(tls(world.address, &both, SERVICE, &[b"h2"]).await.is_ok());
    for name in [
        "it-operator.here.svc",
        "it-operator-discovery.here.svc.cluster.local",
        "10-0-0-7.it-operator-discovery.here.svc",
        "localhost",
        "127.0.0.1",
    ] {
        let trusted = [world.authority.clone()];
        assert!(
            tls(world.address, &trusted, name, &[b"h2"]).await.is_ok(),
            "{name}"
        );
    }
    let trusted = [world.authority.clone()];
    let other = "it-operator-discovery.elsewhere.svc";
    assert!(tls(world.address, &trusted, other, &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn only_encrypted_http2_is_spoken() {
    let world = World::new().await;
    let mut plain = TcpStream::connect(world.address).await.unwrap();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, or the end.
    let _ = timeout(PATIENCE, plain.read_to_end(&mut answer))
        .await
        .expect("it ends");
    assert!(answer.len() < 16, "{answer:?}");
    assert_eq!(
        world.metric(r#"roundhouse_operator_refusals_total{reason="plaintext"}"#),
        1
    );

    let trusted = [world.authority.clone()];
    let old = tls(world.address, &trusted, SERVICE, &[b"http/1.1"]).await;
    assert!(old.is_err(), "HTTP/1 is not offered");
    if let Ok(mut none) = tls(world.address, &trusted, SERVICE, &[]).await {
        let ended = timeout(PATIENCE, none.read(&mut [0; 1])).await.expect("it ends");
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    assert_eq!(
        world.metric(r#"roundhouse_operator_refusals_total{reason="no_http2"}"#),
        2
    );
}

#[tokio::test]
async fn whoever_says_nothing_is_not_waited_for() {
    let world = World::with(|_, serving| {
        serving.handshake = Duration::from_millis(200);
        serving.idle = Duration::from_millis(200);
    })
    .await;
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    let ended = timeout(PATIENCE, silent.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");

    let trusted = [world.authority.clone()];
    let mut idle = tls(world.address, &trusted, SERVICE, &[b"h2"]).await.unwrap();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut said = Vec::new();
    let ended = timeout(PATIENCE, idle.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "it is still open");

    // A stream is a call that goes on.
    let now = contents(&[("a", "one")]);
    world.publish(&now);
    let mut gateway = Gateway::subscribe(&world, Some(&now)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let next = contents(&[("a", "two")]);
    world.publish(&next);
    assert_eq!(gateway.next().await, next);
}

#[tokio::test]
async fn tools_find_what_they_expect_of_a_grpc_server() {
    let world = World::new().await;
    let channel = Channel::open(&world).await;
    let mut health = HealthClient::with_origin(channel.clone(), Channel::origin());
    let service = String::new();
    let answer = health.check(HealthCheckRequest { service }).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);

    let mut channel = channel;
    let request = Request::post(format!("https://{SERVICE}/nothing.Known/Call"))
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::empty())
        .unwrap();
    let answer = tower::Service::call(&mut channel, request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "12");
}
