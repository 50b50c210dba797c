//! Servers of their own for tests: real ones, on loopback, gone when dropped.
#![expect(clippy::missing_panics_doc, reason = "a server starts or the test cannot run")]

mod group;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

pub use group::{Cluster, Replicated};

/// How long tests wait for what must happen. It is generous: machines that test are slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server with an empty store that keeps nothing on disk.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    args: Vec<String>,
    child: Child,
    port: u16,
    folder: Folder,
    tls: bool,
}

/// A folder that goes with its owner.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Server {
    /// Starts `redis-server` with further arguments, in which `PORT` is its port, and waits until it listens.
    pub async fn start(args: &[&str]) -> Self {
        Self::start_as("redis-server", args).await
    }

    /// Starts another program that takes the same arguments.
    pub async fn start_as(binary: impl AsRef<Path>, args: &[&str]) -> Self {
        Self::start_in(Folder::new(), binary.as_ref(), args).await
    }

    /// Starts it in a folder that it takes over.
    async fn start_in(folder: Folder, binary: &Path, args: &[&str]) -> Self {
        let port = free_port();
        let child = spawn(binary, port, &folder, args);
        let server = Self {
            binary: binary.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            child,
            port,
            folder,
            tls: args.contains(&"--tls-port"),
        };
        server.listens().await;
        server
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without user and password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, empty, where it was.
    pub async fn restart(&mut self) {
        self.kill();
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.child = spawn(&self.binary, self.port, &self.folder, &args);
        self.listens().await;
    }

    /// Stops its process without ending it: connections stay and nothing is answered.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Runs a command on it with `redis-cli` and returns what that prints.
    pub fn cli(&self, args: &[&str]) -> String {
        cli(self.port, args)
    }

    fn signal(&self, signal: &str) {
        // The shell's own, which is there without a package.
        let status = Command::new("sh")
            .args(["-c", &format!("kill {signal} {}", self.child.id())])
            .status()
            .expect("the shell runs");
        assert!(status.success(), "kill {signal}: {status}");
    }

    async fn listens(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let accepts = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_ok();
            // One that loads or demands a password answers too, with an error.
            if accepts && (self.tls || !self.cli(&["PING"]).is_empty()) {
                return;
            }
            assert!(Instant::now() < until, "{} never listened", self.binary.display());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Folder {
    /// A new, empty folder.
    pub fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("roundhouse-redis-{}-{number}", process::id()));
        // One of a former process with this number may have been left.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for a test");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file for a test");
        path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `redis-cli` against a port.
fn cli(port: u16, args: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(args)
        .output()
        .expect("redis-cli runs (apt-get install redis-tools)");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn spawn(binary: &Path, port: u16, folder: &Folder, args: &[&str]) -> Child {
    let port = port.to_string();
    // A file of settings is an argument only in the first place.
    let (file, args) = match args {
        [file, args @ ..] if !file.starts_with('-') => (Some(*file), args),
        args => (None, args),
    };
    // With TLS the port is that of TLS, and there is no other.
    let plain = if args.contains(&"--tls-port") { "0" } else { &port };
    Command::new(binary)
        .args(file)
        .args(["--port", plain])
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder.path())
        .args(
            args.iter()
                .map(|&arg| if arg == "PORT" { port.as_str() } else { arg }),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts (apt-get install redis-server)")
}

/// A port that is free, and so is the one of its cluster bus. They are below those that the system gives out, and those of
/// the black-box suites.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 11_000;
    const COUNT: u32 = 5_000;
    loop {
        let offset = process::id() * 97 + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + offset % COUNT).expect("below 16000");
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}
