//! The command line, and the request that it describes.

#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) mode: String,
    pub(crate) addr: String,
    pub(crate) path: String,
    pub(crate) conns: usize,
    pub(crate) duration: f64,
    pub(crate) warmup: f64,
    pub(crate) rate: f64,
    pub(crate) body_bytes: usize,
    pub(crate) model: String,
    pub(crate) headers: Vec<String>,
    pub(crate) directive: String,
    pub(crate) pid: u32,
    pub(crate) other: u32,
    pub(crate) name: String,
    pub(crate) ramp: f64,
    pub(crate) once: bool,
}

pub(crate) fn args() -> Args {
    let mut a = Args {
        mode: String::new(),
        addr: String::new(),
        path: "/".into(),
        conns: 32,
        duration: 10.0,
        warmup: 2.0,
        rate: 0.0,
        body_bytes: 1024,
        model: "mock-model".into(),
        headers: vec![],
        directive: String::new(),
        pid: 0,
        other: 0,
        name: String::new(),
        ramp: 0.0,
        once: false,
    };
    let mut it = std::env::args().skip(1);
    a.mode = it.next().unwrap_or_default();
    while let Some(k) = it.next() {
        if k == "--once" {
            a.once = true;
            continue;
        }
        let v = it.next().unwrap_or_default();
        let f = || v.parse::<f64>().unwrap_or_else(|_| panic!("{k} needs a number"));
        match k.as_str() {
            "--url" => {
                let rest = v.strip_prefix("http://").expect("http:// url");
                let (addr, path) = rest.split_once('/').unwrap_or((rest, ""));
                a.addr = addr.into();
                a.path = format!("/{path}");
            }
            "--conns" => a.conns = f() as usize,
            "--duration" => a.duration = f(),
            "--warmup" => a.warmup = f(),
            "--rate" => a.rate = f(),
            "--body-bytes" => a.body_bytes = f() as usize,
            "--model" => a.model = v,
            "--header" => a.headers.push(v),
            "--directive" => a.directive = v,
            "--pid" => a.pid = f() as u32,
            "--other-pid" => a.other = f() as u32,
            "--name" => a.name = v,
            "--ramp" => a.ramp = f(),
            _ => panic!("unknown option {k}"),
        }
    }
    let sa: std::net::SocketAddr = a.addr.parse().expect("--url http://127.0.0.1:PORT/path");
    assert!(sa.ip().is_loopback(), "loopback targets only");
    a
}

pub(crate) fn request(a: &Args, stream: bool) -> Vec<u8> {
    let mut text = String::new();
    if !a.directive.is_empty() {
        text.push_str(&format!("[[mock {}]] ", a.directive));
    }
    let opts = if stream {
        ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"
    } else {
        ""
    };
    let head = format!(
        "{{\"model\":\"{}\"{opts},\"temperature\":0.5,\"messages\":[{{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"}},{{\"role\":\"user\",\"content\":\"{text}",
        a.model
    );
    let tail = "\"}]}";
    let words = "the quick brown fox jumps over the lazy dog ";
    let pad = a.body_bytes.saturating_sub(head.len() + tail.len());
    let fill: String = words.chars().cycle().take(pad).collect();
    let body = format!("{head}{fill}{tail}");
    let mut h = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\n",
        a.path, a.addr
    );
    if !a
        .headers
        .iter()
        .any(|x| x.to_ascii_lowercase().starts_with("authorization:"))
    {
        h.push_str("authorization: Bearer sk-bench\r\n");
    }
    for x in &a.headers {
        h.push_str(x);
        h.push_str("\r\n");
    }
    h.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    h.push_str(&body);
    h.into_bytes()
}
