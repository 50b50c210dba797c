use proptest::prelude::*;

use super::{Framing, Malformed, Place};

/// Feeds the bytes in one piece and gives the place they end in and the number of heads.
fn follow(bytes: &[u8]) -> Result<(Place, u64), Malformed> {
    let mut framing = Framing::new();
    framing.feed(bytes)?;
    Ok((framing.place(), framing.messages()))
}

#[test]
fn messages_end_where_their_heads_say() {
    let cases: &[(&str, Place, u64)] = &[
        ("", Place::Between, 0),
        ("\r\n\r\n", Place::Between, 0),
        ("G", Place::Head, 0),
        ("GET / HTTP/1.1\r\nHost: x\r\n", Place::Head, 0),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Place::Between, 1),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", Place::Between, 2),
        ("POST / HTTP/1.1\r\ncontent-LENGTH:  3 \r\n\r\nab", Place::Body, 1),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcG", Place::Head, 1),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Place::Between, 1),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n",
            Place::Body,
            1,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA ;x=y\r\n0123456789\r\n0\r\n\r\n",
            Place::Between,
            1,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\nG",
            Place::Head,
            1,
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n", Place::Head, 0),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\0", Place::Http2, 0),
    ];
    for (bytes, place, messages) in cases {
        assert_eq!(follow(bytes.as_bytes()), Ok((*place, *messages)), "{bytes:?}");
    }
}

#[test]
fn ambiguous_framing_is_refused() {
    let post = "POST / HTTP/1.1\r\n";
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        "\n".to_owned(),
        "GET / HTTP/1.1\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nXX\r\n".to_owned(),
        format!("{post}Host: x\nA: b\r\n\r\n"),
        format!("{post}Host: x\r\n\n"),
        format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        format!("{post}Content-Length: 3\r\nContent-Length: 4\r\n"),
        format!("{post}Content-Length: 3\r\nContent-Length: 3\r\n"),
        format!("{post}Content-Length: 3, 3\r\n"),
        format!("{post}Content-Length: +3\r\n"),
        format!("{post}Content-Length: 0x3\r\n"),
        format!("{post}Content-Length:\r\n"),
        format!("{post}Content-Length: 99999999999999999999\r\n"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        format!("{post}Transfer-Encoding: identity\r\n"),
        format!("{post}Transfer-Encoding: \x0bchunked\r\n"),
        format!("{chunked}\r\n"),
        format!("{chunked}3\nabc\r\n"),
        format!("{chunked}+3\r\n"),
        format!("{chunked}3 4\r\n"),
        format!("{chunked}11111111111111111\r\n"),
        format!("{chunked}3\r\nabcd\r\n"),
        format!("{chunked}3\r\nabc\n"),
        format!("{chunked}0\r\nX-Trailer: 1\n"),
    ];
    for bytes in cases {
        assert!(follow(bytes.as_bytes()).is_err(), "{bytes:?} must be refused");
    }
}

#[test]
fn a_refusal_points_at_the_line_feed_and_says_where_it_was() {
    let head = "GET / HTTP/1.1\nHost: x\r\n\r\n";
    assert_eq!(
        follow(head.as_bytes()),
        Err(Malformed {
            at: 14,
            in_body: false
        })
    );
    let body = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n";
    let at = body.len() - 1;
    assert_eq!(follow(body.as_bytes()), Err(Malformed { at, in_body: true }));
}

fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /v1 HTTP/1.1\r\n",
        "Host: example\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "x",
        "0",
        "Content-Length: 7\r\n",
        "Content-Length:\t0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "7\r\n1234567\r\n",
        "0\r\n",
        "a;ext=\"1\"\r\n",
        "PRI * HTTP/2.0\r\n",
        "1234567",
        "X-Long: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
        "Content-Length:                                                                      7\r\n",
    ]);
    prop::collection::vec(piece, 0..12)
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_answer(pieces in pieces(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let bytes = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut framing = Framing::new();
        let mut split = Ok(());
        for pair in cuts.windows(2) {
            split = framing
                .feed(&bytes.as_bytes()[pair[0]..pair[1]])
                .map_err(|malformed| Malformed { at: malformed.at + pair[0], ..malformed });
            if split.is_err() {
                break;
            }
        }
        let split = split.map(|()| (framing.place(), framing.messages()));
        prop_assert_eq!(split, follow(bytes.as_bytes()), "{:?} cut at {:?}", bytes, cuts);
    }
}
