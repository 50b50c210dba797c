//! A whole installation: operators, gateways, a Redis and an upstream as processes, with an API server.

mod detour;
mod network;
mod objects;
mod volume;

use std::{
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use harness::{Client, Fixture, Gateway, Launch, Redis, Upstream};
use serde_json::Value;
use tokio::task::JoinSet;

use self::{network::Network, volume::Volume};
use crate::{ApiServer, Chart, Operator, OperatorLaunch, operator::RELEASE};

pub use self::{detour::Detour, objects::said};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where operators listen, each at an address of its own, and where upstreams do.
const OPERATOR_PORT: u16 = 9443;
const UPSTREAM_PORT: u16 = 8000;

/// Flags of the chart that the harness sets itself, or that name folders of a pod.
const SET_HERE: [&str; 9] = [
    "serve",
    "--discovery",
    "--discovery-ca-file",
    "--discovery-token-file",
    "--cache-dir",
    "--listen",
    "--admin-listen",
    "--log-format",
    "--drain-min",
];

/// An installation of the chart in a namespace of its own, whose processes have the accounts, rights, tokens and
/// arguments that the chart gives them. It begins without processes but a Redis and an upstream, which is the Service
/// `upstream` of the namespace.
///
/// It needs the network that `hack/netns.sh` makes. Dropping it ends all processes.
pub struct System {
    server: &'static ApiServer,
    client: kube::Client,
    namespace: String,
    network: Network,
    operator_arguments: Vec<String>,
    gateway_arguments: Vec<String>,
    /// The pod of every gateway, without a name.
    gateway_pod: Value,
    operators: Vec<OperatorSeat>,
    gateways: Vec<GatewaySeat>,
    /// Ways of gateways that can be parted from the operators: for each operator one.
    apart: Vec<Detour>,
    upstream: Upstream,
    redis: Redis,
    /// What processes that have ended have logged.
    past_logs: String,
}

/// A replica of the operator, whose process may end and be started again.
#[derive(Debug)]
struct OperatorSeat {
    address: SocketAddr,
    /// Its way to the API server.
    way: Detour,
    process: Option<Operator>,
    /// Its latest token for the API server.
    token: String,
}

/// A replica of the gateway.
#[derive(Debug)]
struct GatewaySeat {
    volume: Volume,
    discovery: String,
    process: Option<Gateway>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl System {
    /// Makes the namespace and installs the chart's accounts there, with these values, written as YAML.
    pub async fn start(namespace: &str, values: &str) -> Self {
        // Without it there is no use in an API server.
        let network = Network::new();
        Self::install(ApiServer::shared(), network, namespace, values).await
    }

    /// The same on an API server that is not for all.
    pub async fn start_on(server: &'static ApiServer, namespace: &str, values: &str) -> Self {
        Self::install(server, Network::new(), namespace, values).await
    }

    async fn install(server: &'static ApiServer, network: Network, namespace: &str, values: &str) -> Self {
        let redis = Redis::start().await;
        let store = format!(
            "redis: {{mode: External, url: 'redis://127.0.0.1:{}'}}",
            redis.port()
        );
        let chart = Chart::new(RELEASE, namespace).with(&store).with(values);
        server.namespace(namespace);
        chart.install_accounts(server);
        let upstream = SocketAddr::new(network.address(), UPSTREAM_PORT);
        network.name(&format!("upstream.{namespace}.svc"), upstream.ip());
        let mut gateway_arguments = chart.arguments("gateway");
        gateway_arguments.retain(|argument| {
            let flag = argument.split('=').next().unwrap_or_default();
            !SET_HERE.contains(&flag)
        });
        Self {
            server,
            client: server.client().await,
            namespace: namespace.to_owned(),
            network,
            operator_arguments: chart.arguments("operator"),
            gateway_arguments,
            gateway_pod: chart.pod("gateway"),
            operators: Vec::new(),
            gateways: Vec::new(),
            apart: Vec::new(),
            upstream: Upstream::start_at(upstream).await,
            redis,
            past_logs: String::new(),
        }
    }

    /// The API server.
    pub fn server(&self) -> &'static ApiServer {
        self.server
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The upstream that is the Service `upstream`.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The Redis that all processes share.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// A Service `name` of the namespace, and an address for it.
    pub fn service(&self, name: &str) -> IpAddr {
        let address = self.network.address();
        self.network
            .name(&format!("{name}.{}.svc", self.namespace), address);
        address
    }

    /// The usual objects: a Provider `p` at the upstream with the model `m`, one Credential a name with its Secret, and
    /// the client `app` with the harness' client key.
    pub fn pool<const N: usize>(&self, credentials: [&str; N]) -> Fixture {
        let mut pool = Fixture::new()
            .namespace(&self.namespace)
            .provider_at("p", "upstream", UPSTREAM_PORT, &["m"])
            .client("app", harness::CLIENT_KEY);
        for name in credentials {
            pool = pool.credential("p", name);
        }
        pool
    }

    /// Adds so many operators and waits until all are ready.
    pub async fn add_operators(&mut self, count: usize) {
        for _ in 0..count {
            let address = SocketAddr::new(self.network.address(), OPERATOR_PORT);
            let name = format!("{RELEASE}-operator-discovery.{}.svc", self.namespace);
            self.network.name(&name, address.ip());
            self.operators.push(OperatorSeat {
                address,
                way: Detour::new(SocketAddr::from(([127, 0, 0, 1], 0)), self.server.address()).await,
                process: None,
                token: String::new(),
            });
            self.start_operator(self.operators.len() - 1).await;
        }
        for number in 0..self.operators.len() {
            self.operator(number).until_ready().await;
        }
    }

    /// Starts the operator `number`, which has ended, at its old address, and does not wait until it is ready.
    pub async fn start_operator(&mut self, number: usize) {
        let seat = &self.operators[number];
        let account = format!("{RELEASE}-operator");
        let way = seat.way.address();
        let kubeconfig = self.server.kubeconfig_through(&self.namespace, &account, way);
        let token = token_in(&kubeconfig);
        let arguments: Vec<&str> = self.operator_arguments.iter().map(String::as_str).collect();
        let launch = OperatorLaunch::with_kubeconfig(&self.namespace, kubeconfig)
            .arguments(&arguments)
            .arguments(&[&format!("--pod={RELEASE}-operator-{number}")])
            .listen(seat.address);
        self.operators[number].token = token;
        self.operators[number].process = Some(launch.start().await);
    }

    /// Starts the operators that have ended by themselves, as a kubelet does, and says which these were.
    pub async fn restart_ended_operators(&mut self) -> Vec<usize> {
        let mut ended = Vec::new();
        for (number, seat) in self.operators.iter_mut().enumerate() {
            if let Some(process) = seat.process.take_if(Operator::has_ended) {
                self.past_logs.push_str(&process.log());
                ended.push(number);
            }
        }
        for &number in &ended {
            self.start_operator(number).await;
        }
        ended
    }

    /// The operator `number`. Fails when it has ended.
    pub fn operator(&self, number: usize) -> &Operator {
        let process = self.operators[number].process.as_ref();
        process.expect("the operator was started again")
    }

    /// The way of the operator `number` to the API server.
    pub fn way_to_api_server(&self, number: usize) -> &Detour {
        &self.operators[number].way
    }

    /// Ends the operator `number` with SIGKILL.
    pub fn kill_operator(&mut self, number: usize) {
        if let Some(mut process) = self.operators[number].process.take() {
            process.kill();
            self.past_logs.push_str(&process.log());
        }
    }

    /// Adds so many gateways and waits until all are ready.
    pub async fn add_gateways(&mut self, count: usize) {
        let name = format!("{RELEASE}-operator-discovery.{}.svc", self.namespace);
        let discovery = format!("https://{name}:{OPERATOR_PORT}");
        for _ in 0..count {
            self.add_gateway(discovery.clone()).await;
        }
        let missing = self.gateways.len() - count..self.gateways.len();
        let mut starting = JoinSet::new();
        for number in missing {
            let launch = self.launch(number);
            starting.spawn(async move { (number, launch.start().await) });
        }
        for (number, process) in starting.join_all().await {
            self.gateways[number].process = Some(process);
        }
    }

    /// Adds a gateway that can be parted from the operators, and returns its number. There are no operators but those
    /// that there are now.
    pub async fn add_gateway_apart(&mut self) -> usize {
        let name = format!("{RELEASE}-operator.{}.svc", self.namespace);
        for seat in &self.operators[self.apart.len()..] {
            let address = SocketAddr::new(self.network.address(), OPERATOR_PORT);
            self.network.name(&name, address.ip());
            self.apart.push(Detour::new(address, seat.address).await);
        }
        self.add_gateway(format!("https://{name}:{OPERATOR_PORT}")).await;
        let number = self.gateways.len() - 1;
        self.start_gateway(number).await;
        number
    }

    /// Parts all gateways of [`System::add_gateway_apart`] from the operators: a black hole.
    pub fn part(&self) {
        self.apart.iter().for_each(Detour::swallow);
    }

    /// The same, and ends their connections: nobody listens.
    pub fn cut(&self) {
        self.apart.iter().for_each(Detour::close);
    }

    /// Ends what [`System::part`] or [`System::cut`] began.
    pub fn unite(&self) {
        self.apart.iter().for_each(Detour::open);
    }

    async fn add_gateway(&mut self, discovery: String) {
        let name = format!("{RELEASE}-gateway-{}", self.gateways.len());
        let mut pod = self.gateway_pod.clone();
        pod["metadata"]["name"] = name.as_str().into();
        // Nobody schedules it; it is whom the gateway's token is for.
        let applied = self.server.apply_objects(&[pod], &[]);
        assert!(applied.success, "{}", applied.error);
        let volume = Volume::mount(self.server, self.client.clone(), &self.namespace, &name).await;
        self.gateways.push(GatewaySeat {
            volume,
            discovery,
            process: None,
        });
    }

    fn launch(&self, number: usize) -> Launch {
        let seat = &self.gateways[number];
        let arguments = [self.gateway_arguments.clone(), seat.volume.arguments()].concat();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Gateway::bare().operator(&seat.discovery).arguments(&arguments)
    }

    /// Starts the gateway `number`, which has ended, with the cache that it had, and waits until it is ready.
    pub async fn start_gateway(&mut self, number: usize) {
        let process = self.launch(number).start().await;
        self.gateways[number].process = Some(process);
    }

    /// The gateway `number`. Fails when it has ended.
    pub fn gateway(&self, number: usize) -> &Gateway {
        let process = self.gateways[number].process.as_ref();
        process.expect("the gateway was started again")
    }

    /// All gateways that run.
    pub fn gateways(&self) -> impl Iterator<Item = &Gateway> {
        self.gateways.iter().filter_map(|seat| seat.process.as_ref())
    }

    /// A client of each gateway that runs, with the harness' client key.
    pub fn clients(&self) -> Vec<Client> {
        self.gateways().map(Gateway::client).collect()
    }

    /// Ends the gateway `number` with SIGKILL.
    pub fn kill_gateway(&mut self, number: usize) {
        if let Some(mut process) = self.gateways[number].process.take() {
            process.kill();
            self.past_logs.push_str(&process.log());
        }
    }

    /// Ends the gateway `number` with SIGTERM and waits until it has said goodbye.
    pub async fn terminate_gateway(&mut self, number: usize) {
        if let Some(mut process) = self.gateways[number].process.take() {
            process.terminate();
            process.exit(PATIENCE).await;
            self.past_logs.push_str(&process.log());
        }
    }

    /// Gives the gateway `number` another token, as a kubelet does long before the old one ends.
    pub fn renew_token(&self, number: usize) {
        self.gateways[number].volume.renew_token(self.server);
    }

    /// The tokens that the processes have.
    pub fn tokens(&self) -> Vec<String> {
        let operators = self.operators.iter().map(|seat| seat.token.clone());
        let gateways = self.gateways.iter().map(|seat| seat.volume.token());
        operators.chain(gateways).collect()
    }

    /// What all processes have logged so far, also those that have ended.
    pub fn logs(&self) -> String {
        let operators = self.operators.iter().filter_map(|seat| seat.process.as_ref());
        let mut logs = self.past_logs.clone();
        logs.extend(operators.map(Operator::log));
        logs.extend(self.gateways().map(Gateway::log));
        logs
    }
}

/// The token in a kubeconfig.
fn token_in(kubeconfig: &Path) -> String {
    let text = fs::read_to_string(kubeconfig).expect("the file was written");
    let config: Value = serde_json::from_str(&text).expect("the file is written as JSON");
    let token = config["users"][0]["user"]["token"].as_str();
    token.expect("an account has a token").to_owned()
}
