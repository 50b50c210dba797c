//! One replica leads, by the rules of every other Kubernetes component.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use cluster::ApiServer;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use operator::{
    leader::{self, LeaderSettings, Lost},
    watch::Contact,
};
use pool::SystemClock;
use prometheus::Registry;
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// A candidate that can be stopped like a process.
struct Replica {
    leads: watch::Receiver<bool>,
    is_stopped: Arc<AtomicBool>,
    end: CancellationToken,
    task: JoinHandle<Result<(), Lost>>,
}

/// A future that is not polled while its process is stopped.
struct Stoppable<F> {
    inner: Pin<Box<F>>,
    is_stopped: Arc<AtomicBool>,
}

impl<F: Future> Future for Stoppable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.is_stopped.load(Ordering::SeqCst) {
            let waker = context.waker().clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(20)).await;
                waker.wake();
            });
            return Poll::Pending;
        }
        self.inner.as_mut().poll(context)
    }
}

impl Replica {
    fn start(client: &Client, namespace: &str, pod: &str) -> Self {
        let mut settings = LeaderSettings::new(namespace, "roundhouse-operator", pod, 1);
        settings.lease = Duration::from_secs(2);
        settings.renew = Duration::from_millis(1200);
        settings.retry = Duration::from_millis(200);
        let (sender, leads) = watch::channel(false);
        let (end, is_stopped) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let meter = leader::meter(&Registry::new()).expect("it works as always");
        let clock = Arc::new(SystemClock::default());
        let party = Contact::default().party("Lease");
        let run = leader::run(client.clone(), party, settings, clock, meter, sender, end.clone());
        let task = tokio::spawn(Stoppable {
            inner: Box::pin(run),
            is_stopped: Arc::clone(&is_stopped),
        });
        Self {
            leads,
            is_stopped,
            end,
            task,
        }
    }

    async fn leads(&mut self) {
        let leads = timeout(PATIENCE, self.leads.wait_for(|leads| *leads)).await;
        leads.expect("it leads in time").expect("it runs");
    }

    fn is_leader(&self) -> bool {
        *self.leads.borrow()
    }

    async fn ends(self) -> Result<(), Lost> {
        let ended = timeout(PATIENCE, self.task).await;
        ended.expect("it ends in time").expect("it does not panic")
    }
}

async fn holder(leases: &Api<Lease>) -> String {
    let lease = leases
        .get("roundhouse-operator")
        .await
        .expect("it works as always");
    lease
        .spec
        .expect("it works as always")
        .holder_identity
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_ends_hands_over_at_once() {
    let server = ApiServer::shared();
    server.namespace("leader-hands-over");
    let client = server.client().await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), "leader-hands-over");
    let mut first = Replica::start(&client, "leader-hands-over", "a");
    first.leads().await;
    let mut second = Replica::start(&client, "leader-hands-over", "b");
    sleep(Duration::from_secs(3)).await;
    assert!(
        first.is_leader() && !second.is_leader(),
        "a leader that renews stays"
    );
    assert_eq!(holder(&leases).await, "a_0000000000000001");

    first.end.cancel();
    let given_up = Instant::now();
    first.ends().await.expect("it works as always");
    second.leads().await;
    // Without the handover it would be the two seconds of the Lease at the least.
    assert!(
        given_up.elapsed() < Duration::from_secs(2),
        "{:?}",
        given_up.elapsed()
    );
    let lease = leases
        .get("roundhouse-operator")
        .await
        .expect("it works as always")
        .spec
        .expect("it works as always");
    assert!(lease.lease_transitions >= Some(2), "{lease:?}");
    second.end.cancel();
    second.ends().await.expect("it works as always");
    assert_eq!(holder(&leases).await, "", "nobody holds it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_for_too_long_is_lost() {
    let server = ApiServer::shared();
    server.namespace("leader-stopped");
    let client = server.client().await;
    let mut first = Replica::start(&client, "leader-stopped", "a");
    first.leads().await;
    let mut second = Replica::start(&client, "leader-stopped", "b");
    sleep(Duration::from_millis(500)).await;
    first.is_stopped.store(true, Ordering::SeqCst);
    second.leads().await;
    first.is_stopped.store(false, Ordering::SeqCst);
    let leads = first.leads.clone();
    let lost = first.ends().await.expect_err("another leads");
    assert!(matches!(lost, Lost::Late | Lost::Taken(_)), "{lost}");
    assert!(!*leads.borrow());
    assert!(second.is_leader());
    second.end.cancel();
    second.ends().await.expect("it works as always");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_taken_or_changed_by_hand_is_read_again() {
    let server = ApiServer::shared();
    server.namespace("leader-conflict");
    let client = server.client().await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), "leader-conflict");
    let mut replica = Replica::start(&client, "leader-conflict", "a");
    replica.leads().await;
    let merge = |patch| {
        let leases = leases.clone();
        async move {
            let patch = Patch::Merge(patch);
            let params = PatchParams::default();
            leases
                .patch("roundhouse-operator", &params, &patch)
                .await
                .expect("it works as always");
        }
    };
    // A conflict, and the Lease is still ours.
    merge(json!({"metadata": {"labels": {"seen": "yes"}}})).await;
    sleep(Duration::from_secs(2)).await;
    assert!(replica.is_leader());
    let lease = leases
        .get("roundhouse-operator")
        .await
        .expect("it works as always");
    assert_eq!(
        lease.metadata.labels.expect("it works as always")["seen"],
        "yes",
        "what others write stays"
    );
    // A clock elsewhere that is ten years ahead or behind says nothing.
    merge(json!({"spec": {"renewTime": "2016-01-01T00:00:00.000000Z"}})).await;
    sleep(Duration::from_millis(600)).await;
    merge(json!({"spec": {"renewTime": "2036-01-01T00:00:00.000000Z"}})).await;
    sleep(Duration::from_millis(600)).await;
    assert!(replica.is_leader());
    // It is gone.
    leases
        .delete("roundhouse-operator", &DeleteParams::default())
        .await
        .expect("it works as always");
    sleep(Duration::from_secs(1)).await;
    assert!(replica.is_leader());
    assert_eq!(holder(&leases).await, "a_0000000000000001");
    // Another took it.
    merge(json!({"spec": {"holderIdentity": "somebody"}})).await;
    let lost = replica.ends().await.expect_err("another holds it");
    assert!(
        matches!(&lost, Lost::Taken(holder) if holder == "somebody"),
        "{lost}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_begin_at_once_one_leads() {
    let server = ApiServer::shared();
    server.namespace("leader-race");
    let client = server.client().await;
    let mut replicas: Vec<Replica> = (0..8)
        .map(|pod| Replica::start(&client, "leader-race", &format!("pod-{pod}")))
        .collect();
    for round in 0..3 {
        let started = Instant::now();
        while !replicas.iter().any(Replica::is_leader) {
            assert!(started.elapsed() < PATIENCE, "somebody leads in round {round}");
            sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..20 {
            let leaders = replicas.iter().filter(|replica| replica.is_leader()).count();
            assert!(leaders <= 1, "{leaders} lead in round {round}");
            sleep(Duration::from_millis(20)).await;
        }
        let leader = replicas
            .iter()
            .position(Replica::is_leader)
            .expect("it works as always");
        let leader = replicas.remove(leader);
        leader.end.cancel();
        leader.ends().await.expect("it works as always");
    }
    for replica in replicas {
        replica.end.cancel();
        replica.ends().await.expect("it works as always");
    }
}
