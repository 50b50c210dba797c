//! The embedded Redis, started as its container would be, but for the places of its files.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cluster::Chart;
use harness::free_port;
use tempfile::TempDir;

/// What a quoted password would have to escape, and the line's end of an editor.
const PASSWORD: &str = "with \"quotes\" $(and) #more\\ 'of' %s them\n";

#[test]
fn it_asks_for_the_password_and_keeps_administrators_commands_to_itself() {
    let redis = Redis::start("");
    let password = PASSWORD.trim_end();

    assert!(redis.ask(None, &["GET", "k"]).starts_with("NOAUTH"));
    assert!(redis.ask(Some("wrong"), &["GET", "k"]).contains("WRONGPASS"));
    assert_eq!(redis.ask(Some(password), &["SET", "k", "v"]), "OK");
    assert_eq!(
        redis.ask(
            Some(password),
            &["EVAL", "return redis.call('GET', KEYS[1])", "1", "k"]
        ),
        "v"
    );
    for command in [
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"][..],
        &["ACL", "SETUSER", "other", "on", "nopass", "+@all"],
        &["SHUTDOWN"],
        &["REPLICAOF", "NO", "ONE"],
    ] {
        let said = redis.ask(Some(password), command);
        assert!(said.starts_with("NOPERM"), "{command:?}: {said}");
    }
    let memory = redis.ask(Some(password), &["INFO", "memory"]);
    for line in ["maxmemory:268435456", "maxmemory_policy:noeviction"] {
        assert!(memory.contains(line), "{memory}");
    }
    let files = fs::read_to_string(redis.folder.path().join("run/password.conf")).expect("it is written");
    assert!(
        !files.contains("quotes"),
        "the password itself is nowhere: {files}"
    );
}

#[test]
fn it_keeps_its_data_where_a_volume_is_asked_for() {
    let values = "redis: {embedded: {persistence: {enabled: true}}}";
    let redis = Redis::start(values);
    let password = Some(PASSWORD.trim_end());
    assert_eq!(redis.ask(password, &["SET", "k", "v"]), "OK");
    let redis = redis.restarted();
    assert_eq!(redis.ask(password, &["GET", "k"]), "v");

    let redis = Redis::start("");
    assert_eq!(redis.ask(password, &["SET", "k", "v"]), "OK");
    let redis = redis.restarted();
    assert_eq!(
        redis.ask(password, &["GET", "k"]),
        "",
        "without, a restart is empty"
    );
}

struct Redis {
    server: Child,
    folder: TempDir,
    port: u16,
}

impl Redis {
    fn start(values: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let objects = Chart::new("r", "redis").with(values).render();
        let files = objects
            .iter()
            .find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == "r-redis");
        let files = files.expect("it has a configuration")["data"].as_object();
        let port = free_port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["etc", "password", "run", "data"] {
            fs::create_dir(at(name)).expect("the folder is writable");
        }
        for (name, text) in files.expect("it has files") {
            let text = text.as_str().expect("a file is text");
            let text = text
                .replace("/etc/redis-password", &at("password"))
                .replace("/etc/redis", &at("etc"))
                .replace("/run/redis", &at("run"))
                .replace("/data", &at("data"))
                .replace("port 6379", &format!("bind 127.0.0.1\nport {port}"));
            fs::write(folder.path().join("etc").join(name), text).expect("the folder is writable");
        }
        fs::write(folder.path().join("password/password"), PASSWORD).expect("the folder is writable");
        let server = launch(&folder);
        let redis = Self { server, folder, port };
        redis.until_it_answers();
        redis
    }

    /// The same again, after an end that its files survive.
    fn restarted(mut self) -> Self {
        self.stop();
        self.server = launch(&self.folder);
        self.until_it_answers();
        self
    }

    fn stop(&mut self) {
        // What a pod's end sends, so that what was written is on disk.
        let pid = self.server.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.server.wait();
    }

    fn until_it_answers(&self) {
        let started = Instant::now();
        while !self.ask(None, &["PING"]).starts_with("NOAUTH") {
            assert!(started.elapsed() < Duration::from_secs(60), "it does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it answers, or why it cannot be asked.
    fn ask(&self, password: Option<&str>, command: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &self.port.to_string()]).args(command);
        if let Some(password) = password {
            client.env("REDISCLI_AUTH", password);
        }
        let done = client.stdin(Stdio::null()).output().expect("redis-cli starts");
        let said = [done.stderr, done.stdout].concat();
        String::from_utf8_lossy(&said).trim_end().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn launch(folder: &TempDir) -> Child {
    let mut command = Command::new("sh");
    command
        .arg(folder.path().join("etc/start.sh"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("sh starts")
}
