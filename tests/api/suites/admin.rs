//! The services for administrators, with people and rights of a real API server.

mod delegated;
mod objects;
mod rights;

use std::sync::Arc;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};
use operator::admin::{Admin, Caller, Delegated, Identify, Parts, Settings, unserved};
use pool::SystemClock;
use proto::admin::v1;
use resources::kinds::{Credential, Provider};
use serde_json::json;
use tonic::{Request, Status, async_trait, metadata::MetadataMap};

use crate::stand_in::{PLACE, World, may};

/// An installation with the Provider `up` and one Credential, `main`.
struct Installation {
    world: World,
    admin: Admin,
    delegated: Delegated,
}

/// What the operator's own account may do: nothing more is needed.
const OPERATOR: [(&str, &str); 3] = [
    ("get,create,patch,delete", "credentials.roundhouse.dev"),
    ("get,create,patch,delete", "clientkeys.roundhouse.dev"),
    ("get,create,update,delete", "secrets"),
];

impl Installation {
    async fn new(namespace: &str) -> Self {
        let world = World::new(namespace).await;
        may(namespace, "roundhouse-operator", &OPERATOR);
        may(namespace, "roundhouse-gateway", &[]);
        let server = cluster::ApiServer::shared();
        let role = format!("reviews-{namespace}");
        let resources =
            "--resource=tokenreviews.authentication.k8s.io,subjectaccessreviews.authorization.k8s.io";
        server.kubectl(&["create", "clusterrole", &role, "--verb=create", resources]);
        let subject = format!("--serviceaccount={namespace}:roundhouse-operator");
        let to = format!("--clusterrole={role}");
        server.kubectl(&["create", "clusterrolebinding", &role, &to, &subject]);

        world
            .make::<Provider>(
                "up",
                &json!({"dialect": "OpenAI", "url": "https://api.example.com/v1"}),
            )
            .await;
        world.secret("main", "api-key", "sk-main").await;
        let spec = json!({"providerRef": {"name": "up"}, "apiKey": {"secretRef": {"name": "main"}}});
        world.make::<Credential>("main", &spec).await;
        world.publish().await;
        let client = server.client_of(namespace, "roundhouse-operator").await;
        let (admin, delegated) = unserved(Parts {
            client: client.clone(),
            publications: world.publications(),
            gateways: Arc::new(Vec::new),
            in_flight: Arc::new(|_| 0),
            usage: None,
            people: Reviewer::of(&client, "roundhouse-admin"),
            gateway_identities: Reviewer::of(&client, "roundhouse-discovery"),
            clock: Arc::new(SystemClock::default()),
            settings: Settings {
                namespace: namespace.to_owned(),
                gateway_user: format!("system:serviceaccount:{namespace}:roundhouse-gateway"),
                place: PLACE,
                mints: true,
            },
        });
        Self {
            world,
            admin,
            delegated,
        }
    }

    /// A token of an account of the namespace, for administration.
    fn token(&self, account: &str) -> String {
        self.world.token(account, "roundhouse-admin")
    }

    /// Makes an account that may do so much, and a token of it.
    fn person(&self, account: &str, rules: &[(&str, &str)]) -> String {
        may(&self.world.namespace, account, rules);
        self.token(account)
    }

    /// A person who may do everything with credentials and client keys of the namespace.
    fn administrator(&self) -> String {
        let all = ["get,list,create,patch,delete"];
        let resources = "credentials.roundhouse.dev,clientkeys.roundhouse.dev";
        self.person("alice", &all.map(|verbs| (verbs, resources)))
    }

    fn named(&self, name: &str) -> v1::ObjectName {
        v1::ObjectName {
            namespace: self.world.namespace.clone(),
            name: name.to_owned(),
        }
    }
}

/// A request of whoever has this token.
fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a token fits a header");
    request.metadata_mut().insert("authorization", value);
    request
}

/// Reviews tokens.
struct Reviewer {
    client: Client,
    audience: &'static str,
}

impl Reviewer {
    fn of(client: &Client, audience: &'static str) -> Arc<Self> {
        let client = client.clone();
        Arc::new(Self { client, audience })
    }
}

#[async_trait]
impl Identify for Reviewer {
    async fn identify(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let refused = || Status::unauthenticated("the token is not accepted");
        let value = metadata.get("authorization").ok_or_else(refused)?;
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "));
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.to_owned()]),
                token: token.map(str::to_owned),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let reviewed = reviews.create(&PostParams::default(), &review).await;
        let status = reviewed
            .expect("tokens can be reviewed")
            .status
            .expect("it is reviewed");
        let user = status
            .user
            .filter(|_| status.authenticated == Some(true))
            .ok_or_else(refused)?;
        Ok(Caller {
            username: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        })
    }
}
