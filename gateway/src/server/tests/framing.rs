//! Shapes that two parties could read differently.

use super::*;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn ambiguous_requests_are_refused_and_nothing_after_them_is_read() {
    let server = start(ServerSettings::default());
    let post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
    let get = "GET /echo HTTP/1.1\r\nHost: x\r\n";
    let cases = [
        (
            "length and chunks",
            format!("{post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunks and length",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n"),
        ),
        (
            "two lengths",
            format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
        ),
        (
            "the same length twice",
            format!("{post}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
        ),
        (
            "a list of lengths",
            format!("{post}Content-Length: 2, 2\r\n\r\nab"),
        ),
        ("a signed length", format!("{post}Content-Length: +2\r\n\r\nab")),
        ("a negative length", format!("{post}Content-Length: -2\r\n\r\n")),
        ("an empty length", format!("{post}Content-Length:\r\n\r\n")),
        (
            "a blank before the colon",
            format!("{post}Content-Length : 2\r\n\r\nab"),
        ),
        (
            "an unknown coding",
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a coding before chunked",
            format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked twice",
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a hidden coding",
            format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunks in HTTP/1.0",
            "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("a folded field", format!("{get}X: a\r\n b\r\n\r\n")),
        (
            "a folded coding",
            format!("{post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a bare line feed after the request line",
            "GET /echo HTTP/1.1\nHost: x\r\n\r\n".to_owned(),
        ),
        (
            "a bare line feed after a field",
            format!("{get}X: a\nY: b\r\n\r\n"),
        ),
        (
            "a bare line feed at the end of the head",
            format!("{get}X: a\r\n\n"),
        ),
        (
            "only bare line feeds",
            "GET /echo HTTP/1.1\nHost: x\n\n".to_owned(),
        ),
        ("a bare carriage return", format!("{get}X: a\rY: b\r\n\r\n")),
        ("a field without a colon", format!("{get}nonsense\r\n\r\n")),
        ("a field without a name", format!("{get}: x\r\n\r\n")),
        ("a zero byte", format!("{get}X: a\0b\r\n\r\n")),
        ("a line before the request", format!("\n{get}\r\n")),
        ("no protocol", "GET /echo\r\n\r\n".to_owned()),
        ("another protocol", "GET /echo HTTP/9.9\r\n\r\n".to_owned()),
        ("half of HTTP/2", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned()),
    ];
    for (name, request) in cases {
        let answers = exchange(&server, format!("{request}{SMUGGLED}")).await;
        assert_eq!(statuses(&answers), ["400"], "{name}: {answers}");
        let after_another = exchange(&server, format!("{get}\r\n{request}{SMUGGLED}")).await;
        assert_eq!(
            statuses(&after_another),
            ["200", "400"],
            "{name}, pipelined: {after_another}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_framed_badly_is_refused_by_the_handler_and_ends_the_connection() {
    let server = start(ServerSettings::default());
    let chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-3\r\nabc\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "zz\r\n",
        "0\r\nX: 1\n\r\n",
    ];
    for body in cases {
        let answers = exchange(&server, format!("{chunked}{body}{SMUGGLED}")).await;
        assert_eq!(statuses(&answers), ["400"], "{body:?}: {answers}");
        assert!(answers.ends_with("malformed"), "{body:?}: {answers}");
    }
}

#[tokio::test]
async fn sound_requests_pass_whatever_their_pieces() {
    let server = start(ServerSettings::default());
    let requests = "\r\nPOST /one HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
        POST /two HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n04\r\ndefg\r\n0\r\nT: 1\r\n\r\n\
        GET /three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let expected = [
        "/one 5 HTTP/1.1 tls=false",
        "/two 7 HTTP/1.1 tls=false",
        "/three 0 HTTP/1.1 tls=false",
    ];
    for size in [requests.len(), 1, 7, 64] {
        let mut stream = connect(&server).await;
        stream.set_nodelay(true).unwrap();
        for piece in requests.as_bytes().chunks(size) {
            send(&mut stream, piece).await;
            tokio::task::yield_now().await;
        }
        let answers = rest(&mut stream).await;
        assert_eq!(
            statuses(&answers),
            ["200", "200", "200"],
            "pieces of {size}: {answers}"
        );
        for line in expected {
            assert!(answers.contains(line), "pieces of {size}: {answers}");
        }
    }
}
